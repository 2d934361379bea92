//! What the truth audit costs the fold: the USD-M recording as records, with audits put into it.
//!
//! ```text
//! bare        the recording alone
//! snapshots   with a snapshot of 1,000 levels a side every 2,000 frames that nobody waits for: reading their JSON
//! under way   with audits begun instead, whose snapshots never come: what events replace is kept all the time
//! audited     with both: each book is taken back to its snapshot's id and compared
//! ```
//! Snapshots are what the book was a hundred frames before they come, so every verdict must be `equal` before anything is
//! timed. CPU time of the thread, interleaved rounds.
#![allow(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a bench prints, and has nothing to go on with where a recording is broken"
)]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;

use lobtape::fold::{Fold, NoSink, RULES_VERSION};
use lobtape::import::{ImportOptions, import};
use lobtape::model::control::to_payload;
use lobtape::model::{InstrumentId, Kind, Level, Record, Side, TimerEvent};
use lobtape::sys::clock::thread_cpu_ns;
use lobtape::venue;

const RECORDING: &str = "binance-usdm_btcusdt_20240808.gz";
const ROUNDS: usize = 9;
const WAYS: [&str; 4] = ["bare", "snapshots", "under way", "audited"];
/// Frames from one audit to the next, and how long its snapshot is on its way.
const EVERY: usize = 2_000;
const LATE: usize = 100;
const LIMIT: usize = 1_000;
const BOOK: InstrumentId = InstrumentId(0);
const EXPS: (u8, u8) = (1, 3);

/// A record that owns its bytes.
struct Own {
    kind: Kind,
    status: i32,
    conn: i64,
    rseq: i64,
    times: [i64; 3],
    url: String,
    payload: Vec<u8>,
}

impl Own {
    fn of(r: &Record<'_>) -> Own {
        Own {
            kind: r.kind,
            status: r.status,
            conn: r.conn,
            rseq: r.rseq,
            times: [r.ts_kernel, r.ts_mono, r.ts_recv],
            url: r.url.to_owned(),
            payload: r.payload.to_owned(),
        }
    }

    fn record(&self, lane_seq: i64) -> Record<'_> {
        Record {
            kind: self.kind,
            flags: 0,
            lane: 1,
            status: self.status,
            conn: self.conn,
            lane_seq,
            rseq: self.rseq,
            ts_kernel: self.times[0],
            ts_mono: self.times[1],
            ts_recv: self.times[2],
            url: &self.url,
            payload: &self.payload,
        }
    }
}

fn path() -> PathBuf {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/recordings").join(RECORDING);
    match std::env::var_os("LOBTAPE_RECORDINGS").map(|dir| PathBuf::from(dir).join(RECORDING)) {
        Some(path) if path.exists() => path,
        _ => own,
    }
}

/// The recording as the records of its lane, without its end.
fn recording() -> Vec<Own> {
    let dir = tempfile::tempdir().expect("a directory");
    let mut text = Vec::new();
    let file = File::open(path()).expect("the recording in data/recordings or $LOBTAPE_RECORDINGS");
    flate2::read::MultiGzDecoder::new(file).read_to_end(&mut text).expect("a gzip file");
    let plain = dir.path().join("plain");
    std::fs::write(&plain, text).expect("the recording is unpacked");
    let v = venue::by_id("binance-usdm").expect("a known venue").1;
    let url = |s: &str| v.snapshot_request(s).path;
    let opts = ImportOptions {
        venue: "binance-usdm",
        snapshot_url: &url,
        words: &[],
        rules_version: RULES_VERSION,
        interval_ns: 3_600_000_000_000,
        book_top_interval_ns: 100_000_000,
        lane_memory_bytes: 256 << 20,
    };
    let mut all = Vec::new();
    import(&[plain], &opts, &mut |rec, _| {
        if rec.lane == 1 && rec.kind != Kind::Stop {
            all.push(Own::of(rec));
        }
        Ok(())
    })
    .expect("a recording");
    all
}

fn side(fold: &Fold, side: Side) -> String {
    let mut levels: Vec<Level> = Vec::new();
    fold.book(BOOK).expect("a proven book").top(side, LIMIT, &mut levels);
    let text = |m: i64, exp: u8| {
        let one = 10i64.pow(u32::from(exp));
        format!("{}.{:0width$}", m / one, m % one, width = usize::from(exp))
    };
    let level = |l: &Level| format!("[\"{}\",\"{}\"]", text(l.price, EXPS.0), text(l.size, EXPS.1));
    levels.iter().map(level).collect::<Vec<_>>().join(",")
}

/// Last id of a diff.
fn last_id(frame: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(frame).ok().filter(|t| t.contains("depthUpdate"))?;
    let at = text.find("\"u\":")? + 4;
    text[at..].split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The four tapes, in the order of [`WAYS`], and how many audits the last one has.
fn tapes(bare: Vec<Own>) -> ([Vec<Own>; 4], u64) {
    let mut fold = Fold::new(1);
    let mut tapes: [Vec<Own>; 4] = Default::default();
    let (mut frames, mut last, mut due, mut audits) = (0, None, None, 0);
    // Snapshots come as the recording's own one did.
    let first = bare.iter().find(|r| r.kind == Kind::Rest).expect("a snapshot");
    let (url, conn, rseq) = (first.url.clone(), first.conn, first.rseq);
    for (seq, r) in bare.into_iter().enumerate() {
        fold.step(&r.record(seq as i64), &mut NoSink);
        last = last_id(&r.payload).or(last);
        frames += usize::from(r.kind == Kind::Frame);
        let times = r.times;
        for tape in &mut tapes {
            tape.push(Own::of(&r.record(0)));
        }
        let proven = fold.book(BOOK).is_some();
        if proven && frames % EVERY == 0 && due.is_none() {
            let timer = TimerEvent::Audit { instrument: "binance-usdm:BTCUSDT".to_owned() };
            let payload = to_payload(&timer);
            for way in [2, 3] {
                let (url, payload) = (String::new(), payload.clone());
                tapes[way].push(Own { kind: Kind::Timer, status: 0, conn: 0, rseq: -1, times, url, payload });
            }
            due = Some((frames + LATE, None));
        }
        // The snapshot shows the book after the next diff.
        let is_diff = last_id(&r.payload).is_some();
        if let (true, true, Some((_, body @ None)), Some(id)) = (proven, is_diff, &mut due, last) {
            let (bids, asks) = (side(&fold, Side::Bid), side(&fold, Side::Ask));
            *body = Some(format!("{{\"lastUpdateId\":{id},\"bids\":[{bids}],\"asks\":[{asks}]}}"));
        }
        if let Some((at, Some(body))) = &due
            && frames >= *at
        {
            for way in [1, 3] {
                let (url, payload) = (url.clone(), body.clone().into_bytes());
                tapes[way].push(Own {
                    kind: Kind::Rest,
                    status: 200,
                    conn,
                    rseq: rseq + 1 + audits,
                    times,
                    url,
                    payload,
                });
            }
            (audits, due) = (audits + 1, None);
        }
    }
    (tapes, audits as u64)
}

fn run(tape: &[Own]) -> Fold {
    let mut fold = Fold::new(1);
    for (seq, r) in tape.iter().enumerate() {
        fold.step(&r.record(seq as i64), &mut NoSink);
    }
    fold
}

/// Median, least and most.
fn spread(mut of: Vec<f64>) -> (f64, f64, f64) {
    of.sort_by(f64::total_cmp);
    (of[of.len() / 2], of[0], of[of.len() - 1])
}

fn main() {
    let (tapes, audits) = tapes(recording());
    let book = |fold: &Fold| fold.book(BOOK).expect("a proven book").checksum(EXPS.0, EXPS.1);
    let want = book(&run(&tapes[0]));
    for (way, tape) in WAYS.iter().zip(&tapes) {
        let fold = run(tape);
        let equal = if *way == "audited" { audits } else { 0 };
        assert_eq!((book(&fold), fold.counters().audits), (want, [equal, 0, 0, 0]), "{way}");
    }
    let diffs = tapes[0].iter().filter(|r| last_id(&r.payload).is_some()).count() as f64;
    let mut times: [Vec<f64>; 4] = Default::default();
    for _ in 0..ROUNDS {
        for (tape, times) in tapes.iter().zip(&mut times) {
            let begin = thread_cpu_ns();
            std::hint::black_box(run(tape));
            times.push((thread_cpu_ns() - begin) as f64);
        }
    }
    let differ = |a: usize, b: usize, of: f64| {
        spread(times[a].iter().zip(&times[b]).map(|(a, b)| (a - b) / of).collect())
    };
    println!(
        "{} frames, {diffs} diffs, {audits} audits; CPU, median of {ROUNDS} rounds (least … most)",
        tapes[0].len()
    );
    for (way, times) in WAYS.iter().zip(&times) {
        let (mid, low, high) = spread(times.iter().map(|t| t / tapes[0].len() as f64).collect());
        println!("  {way:10} {mid:7.1} ({low:.1} … {high:.1}) ns per frame");
    }
    let n = audits as f64;
    for (name, (mid, low, high)) in [
        ("audit_note_ns_per_diff", differ(2, 0, diffs)),
        ("audit_snapshot_read_us", differ(1, 0, n * 1e3)),
        ("audit_verdict_us", differ(3, 1, n * 1e3)),
    ] {
        println!("  {name:24} {mid:8.1} ({low:.1} … {high:.1})");
        if let Some(path) = std::env::var_os("LOBTAPE_BENCH_JSON") {
            let line = serde_json::json!({"name": name, "unit": "", "value": mid, "min": low, "max": high});
            let mut out = File::options().create(true).append(true).open(path).expect("the results' file");
            writeln!(out, "{line}").expect("the results' file");
        }
    }
}
