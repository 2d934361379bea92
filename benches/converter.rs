//! Rows per second of the Parquet side of the converter, and bytes per row: `book_delta` from the levels of real
//! recordings. Frames are parsed before the clock starts.
//!
//! ```text
//! buffer   rows of the fold into the compact builder
//! columns  the above, and out of it as Arrow columns
//! hash     the above, and rows_sha256
//! file     the above, encoded into a file with its footer: what a part costs
//! verify   reading the file again and comparing what it holds: what publishing adds
//! ```
//! First a table of interleaved rounds (median, spread), then criterion's own runs. Time is the thread's CPU time in the
//! table, because the machine is shared.
#![allow(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a bench prints, and has nothing to go on with where a recording is broken"
)]

use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use criterion::{Criterion, Throughput};
use lobtape::dataset::hash::RowsHash;
use lobtape::dataset::{Builder, ClosedPart, Dataset, PartKey, PartWriter, Table, part, read};
use lobtape::model::{DeltaMsg, Head, InstrumentId, Level, RowRef, VenueIx, time};
use lobtape::sys::clock::thread_cpu_ns;
use serde_json::Value;

/// As the binary has it: allocation is part of what a part costs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 9;
const STEPS: [&str; 5] = ["buffer", "columns", "hash", "file", "verify"];

struct Message {
    head: Head,
    ids: [i64; 3],
    bids: Vec<Level>,
    asks: Vec<Level>,
}

/// A recording's diffs as the fold would say them.
struct Tape {
    name: &'static str,
    exps: (u8, u8),
    key: String,
    messages: Vec<Message>,
    rows: u64,
}

fn recording(name: &str) -> PathBuf {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/recordings").join(name);
    match std::env::var_os("LOBTAPE_RECORDINGS").map(|dir| PathBuf::from(dir).join(name)) {
        Some(path) if path.exists() => path,
        _ => own,
    }
}

fn dec(v: &Value, exp: u8) -> i64 {
    let text = v.as_str().expect("a decimal");
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = &format!("{part:0<width$}", width = exp as usize)[..exp as usize];
    format!("{whole}{digits}").parse().expect("a mantissa")
}

fn message(line: &str, exps: (u8, u8), rseq: i64) -> Option<Message> {
    let (stamp, json) = line.split_once(' ')?;
    if !(json.starts_with("{\"stream\"") && json.contains("@depth@")) {
        return None;
    }
    let v: Value = serde_json::from_str(json).expect("a frame");
    let d = &v["data"];
    let side = |v: &Value| -> Vec<Level> {
        let level = |l: &Value| Level { price: dec(&l[0], exps.0), size: dec(&l[1], exps.1) };
        v.as_array().expect("levels").iter().map(level).collect()
    };
    let stamp: i64 = stamp.parse().expect("a receive time");
    let ts_recv = if stamp < 100_000_000_000_000_000 { stamp * 1_000 } else { stamp };
    let int = |name: &str| d[name].as_i64().unwrap_or(-1);
    let head = Head {
        instrument: InstrumentId(0),
        venue: VenueIx(0),
        lane: 1,
        ts_recv,
        ts_kernel: 0,
        ts_event: time::ms_to_ns(int("T").max(0)),
        ts_send: time::ms_to_ns(int("E").max(0)),
        conn: 1_723_161_255_030_314_667,
        rseq,
        flags: 0,
    };
    Some(Message { head, ids: [int("U"), int("u"), int("pu")], bids: side(&d["b"]), asks: side(&d["a"]) })
}

impl Tape {
    /// Reads the diffs of files; `None` where one is missing.
    fn read(name: &'static str, files: &[&str], exps: (u8, u8)) -> Option<Tape> {
        let mut messages = Vec::new();
        let mut lines = 0;
        for file in files {
            let file = std::fs::File::open(recording(file)).ok()?;
            for line in BufReader::new(flate2::read::GzDecoder::new(file)).lines() {
                lines += 1;
                messages.extend(message(&line.expect("a readable recording"), exps, lines));
            }
        }
        let rows = messages.iter().map(|m| (m.bids.len() + m.asks.len()).max(1) as u64).sum();
        Some(Tape { name, exps, key: format!("bench:{name}"), messages, rows })
    }

    fn each(&self, mut say: impl FnMut(&Head, RowRef<'_>)) {
        for m in &self.messages {
            let delta = DeltaMsg {
                seq_first: m.ids[0],
                seq_last: m.ids[1],
                seq_prev: m.ids[2],
                book_epoch: 1_723_161_255_030_314_667,
                bids: &m.bids,
                asks: &m.asks,
                horizon: None,
            };
            say(&m.head, RowRef::BookDelta(delta));
        }
    }

    fn build(&self, columns: bool, mut hash: Option<RowsHash>) -> usize {
        let mut b = Builder::new(Table::BookDelta);
        let mut row = 0;
        let mut out = 0;
        self.each(|head, r| {
            if b.rows() + Builder::rows_of(&r) > part::GROUP_ROWS {
                out += finish(&mut b, columns, hash.as_mut());
            }
            b.push(&mut row, head, &self.key, self.exps, &r);
        });
        out + finish(&mut b, columns, hash.as_mut())
    }

    fn file(&self, ds: &Dataset) -> ClosedPart {
        let first = self.messages[0].head.ts_recv;
        let key = PartKey {
            table: Table::BookDelta,
            venue: "bench".to_owned(),
            symbol: Some(self.name.to_owned()),
            day: time::day_of(first),
            interval_start: time::floor_to(first, 3_600 * time::NS_PER_S),
            lane: 1,
            n: 0,
        };
        let mut w = PartWriter::new(ds, key, 1).expect("a part");
        let mut row = 0;
        self.each(|head, r| w.push(&mut row, head, &self.key, self.exps, &r).expect("room on the disk"));
        w.close().expect("room on the disk").expect("rows")
    }

    fn step(&self, step: usize, ds: &Dataset, written: &ClosedPart) {
        match step {
            0 => _ = black_box(self.build(false, None)),
            1 => _ = black_box(self.build(true, None)),
            2 => _ = black_box(self.build(true, Some(RowsHash::default()))),
            3 => std::fs::remove_file(self.file(ds).tmp).expect("our file"),
            _ => _ = black_box(read::content(&written.tmp, Table::BookDelta).expect("our file")),
        }
    }
}

fn finish(b: &mut Builder, columns: bool, hash: Option<&mut RowsHash>) -> usize {
    if !columns {
        let bytes = b.buffered_bytes();
        *b = Builder::new(Table::BookDelta);
        return bytes;
    }
    let batch = b.take().expect("columns of one length");
    if let Some(h) = hash {
        h.update(&batch);
    }
    batch.num_rows()
}

fn check(tape: &Tape, ds: &Dataset) -> ClosedPart {
    let part = tape.file(ds);
    let (stats, rows) = read::summary(&part.tmp, Table::BookDelta).expect("our file");
    assert_eq!(
        (stats, &rows, stats.rows as u64),
        (part.stats, &part.rows_sha256, tape.rows),
        "{}",
        tape.name
    );
    part
}

fn table(tapes: &[Tape], ds: &Dataset) {
    println!("million rows per CPU second, median of {ROUNDS} rounds (least … most)");
    print!("{:<20} {:>9} {:>9}", "recording", "rows", "B/row");
    STEPS.iter().for_each(|s| print!(" {s:>22}"));
    println!();
    for tape in tapes {
        let part = check(tape, ds);
        let bytes = std::fs::metadata(&part.tmp).expect("our file").len();
        let mut rates: [Vec<f64>; STEPS.len()] = Default::default();
        for _ in 0..ROUNDS {
            for (i, rate) in rates.iter_mut().enumerate() {
                let begin = thread_cpu_ns();
                tape.step(i, ds, &part);
                rate.push(tape.rows as f64 * 1e3 / (thread_cpu_ns() - begin).max(1) as f64);
            }
        }
        print!("{:<20} {:>9} {:>9.2}", tape.name, tape.rows, bytes as f64 / tape.rows as f64);
        for mut rate in rates {
            rate.sort_by(f64::total_cmp);
            print!("   {:>5.1} ({:>4.1} … {:>4.1})", rate[ROUNDS / 2], rate[0], rate[ROUNDS - 1]);
        }
        println!();
    }
}

fn criterion_runs(c: &mut Criterion, tapes: &[Tape], ds: &Dataset) {
    for tape in tapes {
        let part = check(tape, ds);
        let mut g = c.benchmark_group(format!("converter/{}", tape.name));
        g.throughput(Throughput::Elements(tape.rows)).sample_size(10);
        for (i, name) in STEPS.iter().enumerate().skip(2) {
            g.bench_function(*name, |b| b.iter(|| tape.step(i, ds, &part)));
        }
        g.finish();
    }
}

fn main() {
    let tapes: Vec<Tape> = [
        Tape::read("usdm-btcusdt", &["binance-usdm_btcusdt_20240808.gz"], (2, 3)),
        Tape::read(
            "spot-btcusdt",
            &["binance-spot_btcusdt_20240808.gz", "binance-spot_btcusdt_20240809.gz"],
            (2, 5),
        ),
        Tape::read(
            "coinm-ethusd_perp",
            &["binance-coinm_ethusd_perp_20240808.gz", "binance-coinm_ethusd_perp_20240809.gz"],
            (2, 0),
        ),
    ]
    .into_iter()
    .flatten()
    .collect();
    assert!(!tapes.is_empty(), "no recording in data/recordings or $LOBTAPE_RECORDINGS");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ds = Dataset::create(dir.path()).expect("a dataset");
    let has = |flag| std::env::args().any(|a| a == flag);
    if has("--test") || has("--profile-time") {
        tapes.iter().for_each(|t| _ = check(t, &ds));
    } else {
        table(&tapes, &ds);
    }
    let mut c = Criterion::default().configure_from_args();
    criterion_runs(&mut c, &tapes, &ds);
    c.final_summary();
}
