//! A recorder under a load for long, with or without trouble, looked at each second. `scripts/soak` says how long and how much, and
//! judges what was seen; that nothing is missing or doubled is judged here, as everywhere.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use lobtape::simulator::{FaultKind, FaultSpec};
use serde_json::{Map, Value, json};

use super::oracle_check::{Rules, check};
use super::refold::refold;
use super::rig::{
    Place, Recorder, Venue, faults, lobtape, number, pass, proved, status, status_of, turn, wait_for,
};

/// Fields of a `/proc` file of `key: number` lines.
fn field(text: &str, key: &str) -> Option<i64> {
    text.lines().find(|l| l.starts_with(key))?.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// CPU ticks and context switches by thread name.
fn threads(pid: u32) -> Option<(Map<String, Value>, i64, usize)> {
    let (mut cpu, mut switches, mut n) = (Map::new(), 0, 0);
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        let read = |f: &str| std::fs::read_to_string(task.path().join(f)).unwrap_or_default();
        let (stat, status) = (read("stat"), read("status"));
        let Some((name, rest)) = stat.split_once('(').and_then(|s| s.1.rsplit_once(')')) else { continue };
        let ticks: i64 =
            rest.split_ascii_whitespace().skip(11).take(2).filter_map(|t| t.parse::<i64>().ok()).sum();
        let before = cpu.get(name).and_then(Value::as_i64).unwrap_or(0);
        cpu.insert(name.to_owned(), (before + ticks).into());
        switches +=
            field(&status, "voluntary_ctxt").unwrap_or(0) + field(&status, "nonvoluntary_ctxt").unwrap_or(0);
        n += 1;
    }
    Some((cpu, switches, n))
}

/// What is seen of a process at this moment; `None` if it is not there.
fn sample(pid: u32, addr: std::net::SocketAddr) -> Option<Value> {
    let read = |f: &str| std::fs::read_to_string(format!("/proc/{pid}/{f}")).ok();
    let (of, rollup) = (read("status")?, read("smaps_rollup")?);
    let (cpu, switches, n) = threads(pid)?;
    let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
    let mut s = json!({"rss_kib": field(&of, "VmRSS"), "anonymous_pss_kib": field(&rollup, "Pss_Anon"), "fds": fds, "threads": n,
        "cpu_ticks": cpu, "context_switches": switches});
    if let Some(mut said) = status(addr) {
        for key in ["journal_bytes", "disk_free", "books_synced", "books_stale"] {
            s[key] = said[key].take();
        }
        let keep = [
            "lane",
            "frames",
            "rejects",
            "stalls",
            "gaps",
            "gaps_open",
            "ring_used",
            "ring_capacity",
            "marks",
            "latency",
        ];
        let lanes = said["lanes"].as_array().cloned().unwrap_or_default();
        let of = |l: &Value| keep.iter().map(|k| ((*k).to_owned(), l[*k].clone())).collect::<Map<_, _>>();
        s["lanes"] = lanes.iter().map(of).collect();
    }
    Some(s)
}

/// What may be done to a recorder.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    Kill,
    Stop,
    Freeze,
    NoDescriptors,
}

impl Trouble {
    const ALL: [Trouble; 4] = [Trouble::Kill, Trouble::Stop, Trouble::Freeze, Trouble::NoDescriptors];

    /// Does it; returns the recorder that runs then.
    fn strike(self, place: &Place, recorder: Recorder, dice: &mut fastrand::Rng) -> Recorder {
        let pid = recorder.pid().to_string();
        let run = |c: &[&str]| {
            assert!(Command::new(c[0]).args(&c[1..]).status().is_ok_and(|s| s.success()), "{c:?}");
        };
        match self {
            Trouble::Kill => {
                recorder.kill();
                place.record()
            }
            Trouble::Stop => {
                recorder.stop();
                place.record()
            }
            Trouble::Freeze => {
                run(&["kill", "-STOP", &pid]);
                pass(Duration::from_millis(dice.u64(1000..3000)));
                run(&["kill", "-CONT", &pid]);
                recorder
            }
            Trouble::NoDescriptors => {
                run(&["prlimit", "--pid", &pid, "--nofile=3:"]);
                pass(Duration::from_millis(dice.u64(1000..4000)));
                run(&["prlimit", "--pid", &pid, "--nofile=1024:"]);
                recorder
            }
        }
    }
}

/// Lines of a file.
fn lines(path: &Path) -> usize {
    std::fs::read(path).map_or(0, |b| b.iter().filter(|c| **c == b'\n').count())
}

/// The venue of a run: what it does by itself is part of the load.
fn venue(place: &Place, seconds: u64, is_rough: bool) -> Venue {
    let (symbols, rate) = (number("LOBTAPE_PROVE_SYMBOLS", 4), number("LOBTAPE_PROVE_RATE", 1000));
    let burst_every = number("LOBTAPE_PROVE_BURST_EVERY", 0);
    Venue::start(place.dir.path(), "aster-futures", symbols as usize, rate as u32, |c| {
        (c.duration_ms, c.quiet_tail_ms) = (Some(seconds * 1000), 5000.min(seconds * 300));
        if is_rough {
            c.faults = faults(20_000);
        }
        if burst_every > 0 {
            // What was held back for so long comes at once: some 200,000 frames/s for 2 s if 20,000 a second are due.
            let held = FaultSpec {
                for_ms: number("LOBTAPE_PROVE_BURST_MS", 2000),
                every_ms: Some(burst_every * 1000),
                ..FaultSpec::new(FaultKind::Stall)
            };
            c.faults.push(held.at(burst_every * 500));
        }
    })
}

#[test]
#[ignore = "as long as it is told; scripts/soak"]
fn a_load_for_long_loses_nothing_and_needs_no_more_at_its_end() {
    let _turn = turn();
    let (seconds, is_rough) = (number("LOBTAPE_PROVE_SECONDS", 60), number("LOBTAPE_PROVE_CHAOS", 0) == 1);
    let mut dice = fastrand::Rng::with_seed(number("LOBTAPE_PROVE_SEED", 7));
    let place = Place::new();
    let mut venue = venue(&place, seconds, is_rough);
    let addr = status_of(&mut venue);
    place.configure("1m", 0, &[&venue]);
    let at = std::env::var("LOBTAPE_PROVE_SAMPLES")
        .unwrap_or_else(|_| place.dir.path().join("samples").display().to_string());
    let mut samples = File::create(at).unwrap();
    let (begun, mut life, mut struck) = (Instant::now(), 0, 0);
    let mut next = begun + Duration::from_secs(dice.u64(10..30));
    let mut recorder = place.record();
    while !venue.sim.is_over() {
        assert!(recorder.is_alive(), "ended by itself: {}", recorder.words());
        let end = Duration::from_secs(seconds.saturating_sub(12));
        if is_rough && Instant::now() >= next && begun.elapsed() < end {
            let trouble = Trouble::ALL[dice.usize(..Trouble::ALL.len())];
            let pid = recorder.pid();
            recorder = trouble.strike(&place, recorder, &mut dice);
            (life, struck) = (life + u64::from(recorder.pid() != pid), struck + 1);
            writeln!(
                samples,
                "{}",
                json!({"t": begun.elapsed().as_secs_f64(), "trouble": format!("{trouble:?}")})
            )
            .unwrap();
            next = Instant::now() + Duration::from_secs(dice.u64(20..60));
        }
        if let Some(mut s) = sample(recorder.pid(), addr) {
            (s["t"], s["life"], s["log_lines"]) =
                (begun.elapsed().as_secs_f64().into(), life.into(), lines(&place.log()).into());
            writeln!(samples, "{s}").unwrap();
        }
        wait_for(Duration::from_secs(1), || venue.sim.is_over());
    }
    let (id, log) = venue.end();
    recorder.stop();
    let v = check(&place.dataset(), &id, &log, Rules { killed: is_rough, ..Rules::default() });
    proved("soak", &json!({"seconds": seconds, "troubles": struck, "figures": v.figures}));
    v.demand("soak");
    refold(&place.dataset());
    let (code, words) = lobtape(&["verify", place.dataset().to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}
