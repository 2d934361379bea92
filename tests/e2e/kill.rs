//! SIGKILL at random moments under load, one data directory: nothing that reached the ring is lost, nothing is doubled,
//! and the dataset does not break into pieces.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lobtape::bus::raw::{RingMark, inspect};
use lobtape::dataset::Dataset;
use lobtape::simulator::FaultKind;

use super::oracle_check::{Rules, Verdict, check};
use super::refold::refold;
use super::rig::{Place, Recorder, Venue, faults, lobtape, number, pass, proved, turn, wait_for};
use super::tape::Tape;

/// How far the rings' `rx` marks reached at the kills.
#[derive(Default)]
struct Reached {
    lanes: BTreeMap<u16, i64>,
    conns: BTreeMap<i64, i64>,
    /// Kills after which a ring held something that was not durable.
    with_ring: usize,
    kills: usize,
}

impl Reached {
    fn note(&mut self, m: &RingMark) {
        assert_eq!(m.damaged, 0, "{m:?}");
        assert!(m.dur <= m.jrn && m.jrn <= m.head, "{m:?}");
        self.with_ring += usize::from(m.dur < m.head);
        let last = self.lanes.entry(m.lane).or_insert(-1);
        *last = (*last).max(m.last_lane_seq);
        for (conn, rseq) in &m.conns {
            let last = self.conns.entry(*conn).or_insert(-1);
            *last = (*last).max(*rseq);
        }
    }

    /// What had reached a ring is in the record. Returns how many frames are not.
    fn judge(&self, tape: &Tape, v: &mut Verdict) -> i64 {
        let mut lost = 0;
        for (lane, last) in &self.lanes {
            let have = tape.lanes.get(lane).copied().unwrap_or(0);
            if have <= *last {
                v.fault(format!("lane {lane}: rx had reached record {last}, the record has {have}"));
            }
        }
        for (conn, last) in &self.conns {
            let have = tape.conns.get(conn).map_or(0, |c| c.bodies.max(c.frames.len() as i64));
            if have <= *last {
                lost += last + 1 - have;
                v.fault(format!("connection {conn}: rx had reached frame {last}, the record has {have}"));
            }
        }
        lost
    }
}

fn kill_and_look(place: &Place, recorder: Recorder, reached: &mut Reached) {
    recorder.kill();
    reached.kills += 1;
    for entry in std::fs::read_dir(place.rings()).unwrap() {
        // A ring that was never finished holds nothing.
        if let Some(mark) = inspect(&entry.unwrap().path()).unwrap() {
            reached.note(&mark);
        }
    }
}

/// Kills a recorder again and again, lets the last one end well, and judges. `capture`: further lines of that part of the
/// configuration.
fn killed(name: &str, interval: &str, cuts_every_ms: u64, legs: u8, capture: &str) {
    let _turn = turn();
    // So many that each life fills a small segment.
    let usual = if capture.is_empty() { 1000 } else { 3000 };
    let (kills, rate) = (number("LOBTAPE_PROVE_KILLS", 4), number("LOBTAPE_PROVE_RATE", usual));
    let mut dice = fastrand::Rng::with_seed(number("LOBTAPE_PROVE_SEED", 7));
    let place = Place::new();
    let mut venue = Venue::start(place.dir.path(), "aster-futures", 20, rate as u32, |c| {
        c.faults = faults(cuts_every_ms);
        // What one leg says twice is told twice where it has no ids.
        c.faults.retain(|f| legs == 1 || f.kind != FaultKind::Duplicate);
    });
    venue.more = format!("legs = {legs}\n");
    place.configure(interval, 0, &[&venue]);
    place.change("[capture]\n", &format!("[capture]\n{capture}"));
    let mut reached = Reached::default();
    let open = || venue.sim.stats().open.load(Ordering::Relaxed) > 0;
    for n in 0..kills {
        let mut recorder = place.record();
        // One in four dies at its start, while it still recovers from the one before.
        if n % 4 != 3 {
            let there = wait_for(Duration::from_secs(60), || open() || !recorder.is_alive());
            assert!(there, "{}", recorder.words());
            pass(Duration::from_millis(dice.u64(100..900)));
        } else {
            pass(Duration::from_millis(dice.u64(5..500)));
        }
        assert!(recorder.is_alive(), "ended by itself: {}", recorder.words());
        kill_and_look(&place, recorder, &mut reached);
        assert!(wait_for(Duration::from_secs(10), || !open()), "the venue did not notice");
    }
    let recorder = place.record();
    assert!(wait_for(Duration::from_secs(60), open), "nobody came: {}", recorder.words());
    venue.sim.quiesce().unwrap();
    pass(Duration::from_secs(2));
    recorder.stop();
    let (id, log) = venue.end();
    let rules = Rules { killed: true, stopped_first: true, legs: legs == 2, ..Rules::default() };
    let mut v = check(&place.dataset(), &id, &log, rules);
    let lost = reached.judge(&Tape::load(&place.dataset()), &mut v);
    whole_parts(&place, &mut v);
    let figures = serde_json::json!({"kills": reached.kills, "with_ring": reached.with_ring, "rx_lost": lost, "figures": v.figures});
    proved(name, &figures);
    v.demand(name);
    refold(&place.dataset());
    let (code, words) = lobtape(&["verify", place.dataset().to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}

#[test]
fn clean_stops_and_starts_lose_nothing_between_them() {
    let _turn = turn();
    let (stops, rate) = (number("LOBTAPE_PROVE_STOPS", 3), number("LOBTAPE_PROVE_RATE", 1000));
    let place = Place::new();
    let venue = Venue::start(place.dir.path(), "aster-futures", 20, rate as u32, |c| c.faults = faults(700));
    let open = || venue.sim.stats().open.load(Ordering::Relaxed) > 0;
    for n in 0..=stops {
        // The interval changes from run to run: what is open is cut by the one in force.
        place.configure(if n % 2 == 0 { "2s" } else { "1h" }, 0, &[&venue]);
        let recorder = place.record();
        assert!(wait_for(Duration::from_secs(60), open), "nobody came: {}", recorder.words());
        if n == stops {
            venue.sim.quiesce().unwrap();
        }
        pass(Duration::from_millis(1500));
        recorder.stop();
        assert!(wait_for(Duration::from_secs(10), || !open()), "the venue did not notice");
    }
    let (id, log) = venue.end();
    let v =
        check(&place.dataset(), &id, &log, Rules { killed: true, stopped_first: true, ..Rules::default() });
    proved("stops", &v.figures);
    v.demand("stops");
    refold(&place.dataset());
    let (code, words) = lobtape(&["verify", place.dataset().to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}

/// A recorder that stands still for days, and one whose clock is set back while it stands still.
#[test]
fn days_without_a_recorder_and_a_clock_set_back_are_told_as_they_were() {
    let _turn = turn();
    let place = Place::new();
    let venue = Venue::start(place.dir.path(), "aster-futures", 4, 500, |c| c.faults = faults(700));
    let open = || venue.sim.stats().open.load(Ordering::Relaxed) > 0;
    const HOUR: i64 = 3_600_000;
    for offset in [3 * HOUR, 0, 50 * HOUR, 150 * HOUR] {
        place.configure("1h", offset, &[&venue]);
        let recorder = place.record();
        assert!(wait_for(Duration::from_secs(60), open), "nobody came: {}", recorder.words());
        pass(Duration::from_millis(1500));
        if offset == 0 {
            recorder.kill()
        } else {
            recorder.stop();
        }
        assert!(wait_for(Duration::from_secs(10), || !open()), "the venue did not notice");
    }
    let _ = venue.end();
    refold(&place.dataset());
    let (code, words) = lobtape(&["verify", place.dataset().to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}

#[test]
fn kills_lose_nothing_that_reached_the_ring() {
    killed("kill", "1h", 0, 1, "");
}

#[test]
fn kills_between_boundaries_and_cuts_lose_nothing_and_publish_once() {
    killed("kill over boundaries", "1s", 400, 1, "");
}

#[test]
fn kills_of_a_recorder_with_two_legs_lose_nothing_and_double_nothing() {
    killed("kill with two legs", "1s", 700, 2, "");
}

/// Small segments, and no boundary for long: what is not yet published fills many of them, and none may be taken back.
#[test]
fn kills_among_full_segments_lose_nothing() {
    killed("kill over segments", "1h", 0, 1, "segment_size = \"1MiB\"\n");
}

/// A crash cuts no part: each table has one file per interval. Lane 000 alone goes on after the clean stop that closes
/// its part, with the checkpoints of that stop.
fn whole_parts(place: &Place, v: &mut Verdict) {
    let manifest = Dataset::open(place.dataset()).unwrap().manifest().unwrap();
    for p in manifest.parts().filter(|p| p.n > u32::from(p.lane == 0)) {
        v.fault(format!("{}: more than one part of an interval", p.path));
    }
}
