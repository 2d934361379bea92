//! Nanoseconds per level entry: the book against its twin on ordered maps and against the floor, a bare store into
//! an array, over the real recordings. Frames are parsed before the clock starts; after every message both best
//! prices are read. Results are compared before anything is timed.
//!
//! First a table of interleaved rounds (median, spread), then criterion's own runs. `LOBTAPE_BENCH_JSON=FILE` appends
//! the ratios as JSON lines and leaves criterion out. Beside other people's books: `benches/peers`.
#![allow(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a bench times, prints, and has nothing to go on with where a recording is broken"
)]

use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use lobtape::book::Book;
use lobtape::book::reference::ReferenceBook;
use lobtape::model::{Level, Side};
use lobtape::sys::clock::thread_cpu_ns;
use serde_json::Value;

const SIDES: [Side; 2] = [Side::Bid, Side::Ask];
const ROUNDS: usize = 9;

/// A recording's book traffic, snapshot first. Levels lie one after the other, so that fetching them, which a
/// recorder does from its warm scratch space, costs next to nothing here too.
struct Tape {
    name: &'static str,
    price_exp: u8,
    size_exp: u8,
    levels: Vec<Level>,
    /// Bids and asks of each message.
    counts: Vec<[usize; 2]>,
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
    let digits = format!("{part:0<width$}", width = exp as usize);
    format!("{whole}{digits}").parse().expect("a mantissa")
}

impl Tape {
    /// Reads the depth lines of files; `None` where one is missing.
    fn read(name: &'static str, files: &[&str], price_exp: u8, size_exp: u8) -> Option<Tape> {
        let side = |v: &Value| -> Vec<Level> {
            let level = |l: &Value| Level { price: dec(&l[0], price_exp), size: dec(&l[1], size_exp) };
            v.as_array().expect("levels").iter().map(level).collect()
        };
        let (mut snapshot, mut diffs) = (None, Vec::new());
        for file in files {
            let file = std::fs::File::open(recording(file)).ok()?;
            for line in BufReader::new(flate2::read::GzDecoder::new(file)).lines() {
                let line = line.expect("a readable recording");
                let json = line.split_once(' ').map_or("", |(_, json)| json);
                if json.starts_with("{\"stream\"") && json.contains("@depth@") {
                    let v: Value = serde_json::from_str(json).expect("a frame");
                    let ends = v["data"]["u"].as_i64().expect("an id");
                    diffs.push((ends, [side(&v["data"]["b"]), side(&v["data"]["a"])]));
                } else if json.starts_with("{\"lastUpdateId\"") {
                    let v: Value = serde_json::from_str(json).expect("a snapshot");
                    let id = v["lastUpdateId"].as_i64().expect("an id");
                    snapshot = Some((id, [side(&v["bids"]), side(&v["asks"])]));
                }
            }
        }
        let (id, snapshot) = snapshot?;
        let used = diffs.into_iter().filter(|(ends, _)| *ends >= id).map(|(_, m)| m);
        let mut tape = Tape { name, price_exp, size_exp, levels: Vec::new(), counts: Vec::new() };
        for [bids, asks] in std::iter::once(snapshot).chain(used) {
            tape.counts.push([bids.len(), asks.len()]);
            tape.levels.extend(bids);
            tape.levels.extend(asks);
        }
        Some(tape)
    }

    fn len(&self) -> u64 {
        self.levels.len() as u64
    }

    /// Bids and asks, message after message.
    fn messages<'a, T>(&self, mut levels: &'a [T]) -> impl Iterator<Item = [&'a [T]; 2]> {
        self.counts.iter().map(move |&[bids, asks]| {
            let (b, rest) = levels.split_at(bids);
            let (a, rest) = rest.split_at(asks);
            levels = rest;
            [b, a]
        })
    }
}

/// What is measured: the same messages in, the same touch out.
trait Store {
    fn replay(&mut self, tape: &Tape) -> i64;
}

impl Store for Book {
    fn replay(&mut self, tape: &Tape) -> i64 {
        self.clear();
        let mut touch = 0i64;
        for m in tape.messages(&tape.levels) {
            black_box(self.apply(m[0], m[1]));
            for best in SIDES.map(|s| self.best(s)).into_iter().flatten() {
                touch = touch.wrapping_mul(31).wrapping_add(best.price);
            }
        }
        touch
    }
}

impl Store for ReferenceBook {
    fn replay(&mut self, tape: &Tape) -> i64 {
        self.clear();
        let mut touch = 0i64;
        for m in tape.messages(&tape.levels) {
            for (side, levels) in SIDES.into_iter().zip(m) {
                for l in levels {
                    self.set(side, l.price, l.size);
                }
            }
            for best in SIDES.map(|s| self.best(s)).into_iter().flatten() {
                touch = touch.wrapping_mul(31).wrapping_add(best.price);
            }
        }
        touch
    }
}

/// The floor: an array over the tape's whole price range, no best, no order, no count.
struct Floor {
    low: i64,
    unit: i64,
    sizes: [Vec<i64>; 2],
}

impl Floor {
    fn new(tape: &Tape) -> Floor {
        let prices = || tape.levels.iter().map(|l| l.price);
        let unit = prices().fold(0, gcd).max(1);
        let (low, high) = (prices().min().unwrap_or(0), prices().max().unwrap_or(0));
        let len = ((high - low) / unit + 1) as usize;
        Floor { low, unit, sizes: [vec![0; len], vec![0; len]] }
    }

    /// Prices become array positions outside the timer.
    fn positions(&self, tape: &Tape) -> Vec<(u32, i64)> {
        tape.levels.iter().map(|l| (((l.price - self.low) / self.unit) as u32, l.size)).collect()
    }

    fn replay(&mut self, tape: &Tape, positions: &[(u32, i64)]) {
        for m in tape.messages(positions) {
            for (sizes, levels) in self.sizes.iter_mut().zip(m) {
                for &(i, size) in levels {
                    sizes[i as usize] = size;
                }
            }
            black_box(&mut self.sizes);
        }
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Panics unless both books end, and all along had the touch, the same.
fn check(tape: &Tape) -> Book {
    let (mut fast, mut slow) = (Book::new(), ReferenceBook::new());
    assert_eq!(fast.replay(tape), slow.replay(tape), "{}: the touch", tape.name);
    assert_eq!(
        fast.checksum(tape.price_exp, tape.size_exp),
        slow.checksum(tape.price_exp, tape.size_exp),
        "{}: the books",
        tape.name
    );
    fast
}

fn timed(mut run: impl FnMut()) -> Duration {
    let start = thread_cpu_ns();
    run();
    Duration::from_nanos((thread_cpu_ns() - start).unsigned_abs())
}

/// Median, smallest, largest in ns per level.
fn spread(mut rounds: Vec<Duration>, per: u64) -> (f64, f64, f64) {
    rounds.sort();
    let ns = |d: Duration| d.as_nanos() as f64 / per as f64;
    (ns(rounds[rounds.len() / 2]), ns(rounds[0]), ns(rounds[rounds.len() - 1]))
}

fn table(tapes: &[Tape]) {
    println!("ns per level entry, median (min–max) of {ROUNDS} interleaved rounds");
    println!(
        "{:<28} {:>9}  {:<22} {:<22} {:<22} memory",
        "recording", "levels", "book", "BTreeMap", "array store"
    );
    for tape in tapes {
        let mut book = check(tape);
        let mut slow = ReferenceBook::new();
        let mut floor = Floor::new(tape);
        let positions = floor.positions(tape);
        let mut rounds: [Vec<Duration>; 3] = Default::default();
        for _ in 0..ROUNDS {
            rounds[0].push(timed(|| _ = black_box(book.replay(tape))));
            rounds[1].push(timed(|| _ = black_box(slow.replay(tape))));
            rounds[2].push(timed(|| floor.replay(tape, &positions)));
        }
        report(tape, &rounds);
        let cells = rounds.map(|r| {
            let (median, min, max) = spread(r, tape.len());
            format!("{median:.2} ({min:.2}–{max:.2})")
        });
        let [a, b, c] = cells;
        let kib = book.memory_bytes() / 1024;
        println!("{:<28} {:>9}  {a:<22} {b:<22} {c:<22} {kib} KiB", tape.name, tape.len());
    }
}

/// Appends how many times faster than the twin it was, and how many times the floor's cost, round by round.
fn report(tape: &Tape, [ours, twin, floor]: &[Vec<Duration>; 3]) {
    let Some(path) = std::env::var_os("LOBTAPE_BENCH_JSON") else { return };
    let mut file = std::fs::File::options().create(true).append(true).open(path).expect("the results' file");
    for (name, over, under) in [("own_book_vs_btreemap_twin", twin, ours), ("own_book_vs_floor", ours, floor)]
    {
        let mut ratios: Vec<f64> =
            over.iter().zip(under).map(|(a, b)| a.as_secs_f64() / b.as_secs_f64()).collect();
        ratios.sort_by(f64::total_cmp);
        let line = serde_json::json!({
            "name": format!("{name}/{}", tape.name),
            "ratio": ratios[ratios.len() / 2],
            "min": ratios[0],
            "max": ratios[ratios.len() - 1],
        });
        writeln!(file, "{line}").expect("the results' file");
    }
}

fn criterion_runs(c: &mut Criterion, tapes: &[Tape]) {
    for tape in tapes {
        let mut group = c.benchmark_group(format!("book/{}", tape.name));
        group.throughput(Throughput::Elements(tape.len())).sample_size(10);
        let mut book = check(tape);
        group.bench_function("book", |b| b.iter(|| book.replay(tape)));
        let mut slow = ReferenceBook::new();
        group.bench_function("btreemap", |b| b.iter(|| slow.replay(tape)));
        let mut floor = Floor::new(tape);
        let positions = floor.positions(tape);
        group.bench_function("array-store", |b| b.iter(|| floor.replay(tape, &positions)));
        let count = (book.len(Side::Bid) + book.len(Side::Ask)) as u64;
        group.throughput(Throughput::Elements(count));
        group.bench_function("checksum", |b| b.iter(|| book.checksum(tape.price_exp, tape.size_exp)));
        group.finish();
    }
}

fn main() {
    let tapes: Vec<Tape> = [
        Tape::read("usdm-btcusdt", &["binance-usdm_btcusdt_20240808.gz"], 2, 3),
        Tape::read(
            "spot-btcusdt",
            &["binance-spot_btcusdt_20240808.gz", "binance-spot_btcusdt_20240809.gz"],
            8,
            8,
        ),
        Tape::read(
            "coinm-ethusd_perp",
            &["binance-coinm_ethusd_perp_20240808.gz", "binance-coinm_ethusd_perp_20240809.gz"],
            2,
            0,
        ),
    ]
    .into_iter()
    .flatten()
    .collect();
    assert!(!tapes.is_empty(), "no recording in data/recordings or $LOBTAPE_RECORDINGS");
    if std::env::args().any(|a| a == "--test") {
        tapes.iter().for_each(|t| _ = check(t));
    } else {
        table(&tapes);
    }
    if std::env::var_os("LOBTAPE_BENCH_JSON").is_none() {
        let mut c = Criterion::default().configure_from_args();
        criterion_runs(&mut c, &tapes);
        c.final_summary();
    }
}
