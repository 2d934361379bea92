//! Rows per second of the Parquet side of the converter, and bytes per row: `book_delta` from the levels of real
//! recordings. Frames are parsed before the clock starts.
//!
//! ```text
//! buffer   rows of the fold into the compact builder
//! columns  the above, and out of it as Arrow columns
//! hash     the above, and rows_sha256
//! encode   Arrow columns into a file, as pyarrow would do it: no builder, no hash
//! file     everything, into a file with its footer: what a part costs
//! verify   reading the file again and comparing what it holds: what publishing adds
//! ```
//! First a table of interleaved rounds (median, spread), then criterion's own runs. Time is the thread's CPU time in the
//! table, because the machine is shared.
//!
//! `scripts/bench-parquet` runs it beside pyarrow: with `--pyarrow PYTHON` each round also has pyarrow write the table of our
//! file, with the same encodings, codec and groups, and the ratios go to `$LOBTAPE_BENCH_JSON` as JSON lines.
#![allow(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a bench prints, and has nothing to go on with where a recording is broken"
)]

use std::fs::File;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use arrow_array::RecordBatch;
use criterion::{Criterion, Throughput};
use lobtape::dataset::hash::RowsHash;
use lobtape::dataset::{Builder, ClosedPart, Dataset, PartKey, PartWriter, Table, encode, part, read};
use lobtape::model::{DeltaMsg, Head, InstrumentId, Level, RowRef, VenueIx, time};
use lobtape::sys::clock::thread_cpu_ns;
use serde_json::Value;

/// As the binary has it: allocation is part of what a part costs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 9;
const STEPS: [&str; 6] = ["buffer", "columns", "hash", "encode", "file", "verify"];
const ENCODE: usize = 3;
const FILE: usize = 4;

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
            let file = File::open(recording(file)).ok()?;
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

    /// The rows as the groups of a part, ready to be encoded.
    fn batches(&self) -> Vec<RecordBatch> {
        let mut b = Builder::new(Table::BookDelta);
        let (mut row, mut out) = (0, Vec::new());
        self.each(|head, r| {
            if b.rows() + Builder::rows_of(&r) > part::GROUP_ROWS {
                out.push(b.take().expect("columns of one length"));
            }
            b.push(&mut row, head, &self.key, self.exps, &r);
        });
        out.push(b.take().expect("columns of one length"));
        out
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

    fn encode(&self, written: &Written) {
        let out = File::create(&written.again).expect("room on the disk");
        let mut w = part::begin(out, Table::BookDelta).expect("a file");
        for batch in &written.batches {
            encode::row_group(&mut w, Table::BookDelta.spec(), batch).expect("room on the disk");
        }
        w.close().expect("room on the disk");
    }

    fn step(&self, step: usize, ds: &Dataset, written: &Written) {
        match step {
            0 => _ = black_box(self.build(false, None)),
            1 => _ = black_box(self.build(true, None)),
            2 => _ = black_box(self.build(true, Some(RowsHash::default()))),
            ENCODE => self.encode(written),
            FILE => std::fs::remove_file(self.file(ds).tmp).expect("our file"),
            _ => _ = black_box(read::content(&written.part.tmp, Table::BookDelta).expect("our file")),
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

/// A tape's file, and its rows as they went into it.
struct Written {
    part: ClosedPart,
    batches: Vec<RecordBatch>,
    /// Where rounds write.
    again: PathBuf,
}

impl Written {
    fn bytes_per_row(&self) -> f64 {
        std::fs::metadata(&self.part.tmp).expect("our file").len() as f64 / self.part.stats.rows as f64
    }
}

/// pyarrow in a process of its own, asked for one round at a time.
struct Peer {
    process: Child,
    ask: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    fn start(python: &str, written: &Written) -> Peer {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scripts/parquet_peer.py");
        let mut process = Command::new(python)
            .args([script.as_os_str(), written.part.tmp.as_os_str()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python");
        let ask = process.stdin.take().expect("piped");
        let mut answers = BufReader::new(process.stdout.take().expect("piped")).lines();
        let hello = answers.next().expect("an answer").expect("text");
        let rows = hello.split(' ').nth(1).and_then(|n| n.parse().ok());
        assert_eq!(rows, Some(written.part.stats.rows), "pyarrow reads our rows: {hello}");
        Peer { process, ask, answers }
    }

    /// One round: CPU ns and bytes.
    fn write(&mut self, written: &Written) -> (f64, f64) {
        writeln!(self.ask, "{}", written.again.display()).expect("python");
        let answer = self.answers.next().expect("an answer").expect("text");
        let mut numbers = answer.split(' ').map(|n| n.parse::<f64>().expect("a number"));
        (numbers.next().expect("time"), numbers.next().expect("bytes"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It ends by itself when nobody asks any more; the bench does not wait for it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn check(tape: &Tape, ds: &Dataset) -> Written {
    let part = tape.file(ds);
    let (stats, rows) = read::summary(&part.tmp, Table::BookDelta).expect("our file");
    assert_eq!(
        (stats, &rows, stats.rows as u64),
        (part.stats, &part.rows_sha256, tape.rows),
        "{}",
        tape.name
    );
    let reader = read::open(&part.tmp, read::Want::default()).expect("our file");
    let rows: Vec<RecordBatch> = reader.map(|b| b.expect("our file").batch).collect();
    let batches = tape.batches();
    let sum = |batches: &[RecordBatch]| {
        let mut h = RowsHash::default();
        batches.iter().for_each(|b| _ = h.update(b));
        h.hex()
    };
    assert_eq!((sum(&rows), sum(&batches)), (part.rows_sha256.clone(), part.rows_sha256.clone()));
    let again = part.tmp.with_extension("again.tmp");
    let written = Written { part, batches, again };
    tape.encode(&written);
    let (_, content) = read::content(&written.again, Table::BookDelta).expect("our file");
    assert_eq!(content, written.part.content, "{}", tape.name);
    written
}

/// Median, least and most.
fn spread(mut of: Vec<f64>) -> (f64, f64, f64) {
    of.sort_by(f64::total_cmp);
    (of[of.len() / 2], of[0], of[of.len() - 1])
}

fn table(tapes: &[Tape], ds: &Dataset, python: Option<&str>) {
    println!("million rows per CPU second, median of {ROUNDS} rounds (least … most)");
    print!("{:<20} {:>9} {:>6}", "recording", "rows", "B/row");
    STEPS.iter().for_each(|s| print!(" {s:>20}"));
    println!("{}", if python.is_some() { "              pyarrow   its B/row" } else { "" });
    let mut lines = Vec::new();
    for tape in tapes {
        let written = check(tape, ds);
        let mut peer = python.map(|p| Peer::start(p, &written));
        let mut rates: [Vec<f64>; STEPS.len()] = Default::default();
        let (mut theirs, mut their_bytes) = (Vec::new(), 0.0);
        let per_second = |ns: f64| tape.rows as f64 * 1e3 / ns.max(1.0);
        for _ in 0..ROUNDS {
            for (i, rate) in rates.iter_mut().enumerate() {
                let begin = thread_cpu_ns();
                tape.step(i, ds, &written);
                rate.push(per_second((thread_cpu_ns() - begin) as f64));
            }
            if let Some(peer) = &mut peer {
                let (ns, bytes) = peer.write(&written);
                (_, their_bytes) = (theirs.push(per_second(ns)), bytes / tape.rows as f64);
            }
        }
        print!("{:<20} {:>9} {:>6.2}", tape.name, tape.rows, written.bytes_per_row());
        let show = |(mid, low, high): (f64, f64, f64)| print!("  {mid:>5.1} ({low:>4.1} … {high:>4.1})");
        rates.iter().for_each(|r| show(spread(r.clone())));
        if peer.is_some() {
            show(spread(theirs.clone()));
            print!("  {their_bytes:>10.2}");
            for (name, step) in [("parquet_rows_vs_pyarrow", ENCODE), ("parquet_part_vs_pyarrow", FILE)] {
                let ratios = rates[step].iter().zip(&theirs).map(|(own, theirs)| own / theirs);
                lines.push((name, tape.name, spread(ratios.collect())));
            }
        }
        let bytes = written.bytes_per_row();
        lines.push(("book_delta_bytes_per_row", tape.name, (bytes, bytes, bytes)));
        println!();
    }
    report(&lines);
}

/// Appends JSON lines to `$LOBTAPE_BENCH_JSON`: each recording under its own name, and under the bare one the recording
/// for which it looks worst (bytes: the first, which the target is about).
fn report(lines: &[(&str, &str, (f64, f64, f64))]) {
    let Some(path) = std::env::var_os("LOBTAPE_BENCH_JSON") else { return };
    let mut out = File::options().create(true).append(true).open(path).expect("the results' file");
    let mut say = |name: &str, (ratio, min, max): (f64, f64, f64)| {
        let line = serde_json::json!({"name": name, "ratio": ratio, "min": min, "max": max});
        writeln!(out, "{line}").expect("the results' file");
    };
    for (name, tape, value) in lines {
        say(&format!("{name}/{tape}"), *value);
    }
    for name in ["parquet_rows_vs_pyarrow", "parquet_part_vs_pyarrow", "book_delta_bytes_per_row"] {
        let of = || lines.iter().filter(|l| l.0 == name).map(|l| l.2);
        let one = if name.contains("bytes") { of().next() } else { of().min_by(|a, b| a.0.total_cmp(&b.0)) };
        if let Some(value) = one {
            say(name, value);
        }
    }
}

fn criterion_runs(c: &mut Criterion, tapes: &[Tape], ds: &Dataset) {
    for tape in tapes {
        let written = check(tape, ds);
        let mut g = c.benchmark_group(format!("converter/{}", tape.name));
        g.throughput(Throughput::Elements(tape.rows)).sample_size(10);
        for (i, name) in STEPS.iter().enumerate().skip(2) {
            g.bench_function(*name, |b| b.iter(|| tape.step(i, ds, &written)));
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
        let args: Vec<String> = std::env::args().collect();
        let python = args.iter().position(|a| a == "--pyarrow").and_then(|at| args.get(at + 1));
        table(&tapes, &ds, python.map(String::as_str));
        if python.is_some() {
            return;
        }
    }
    let mut c = Criterion::default().configure_from_args();
    criterion_runs(&mut c, &tapes, &ds);
    c.final_summary();
}
