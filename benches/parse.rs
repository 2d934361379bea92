//! Frames of a recording to events: ours (simd-json tape to mantissas) beside the two obvious ways with serde_json.
//!
//! All three end in the same integers, are checked equal on every frame before anything is timed, and reuse their
//! output. Throughput is in bytes of frames.
//!
//! `cargo bench --bench parse`; other recordings through `LOBTAPE_RECORDINGS`.
#![allow(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a bench times, prints, and has nothing to go on with where a file cannot be written"
)]

use std::cell::Cell;
use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use flate2::read::MultiGzDecoder;
use lobtape::model::Event;
use lobtape::parse::{Scratch, parse_fixed};
use lobtape::venue::testing::MemoryCtx;
use lobtape::venue::{Venue, by_id};
use serde::Deserialize;

/// Decimals of every number here: enough for each of the recordings, so that nothing is widened while timing.
const EXP: u8 = 8;
/// Bytes of frames per recording and pass: more than the caches hold.
const BYTES: usize = 12 << 20;

struct Set {
    name: &'static str,
    venue: &'static dyn Venue,
    streams: Vec<String>,
    frames: Vec<Vec<u8>>,
    bytes: u64,
}

/// The frames of a recording that `keep` takes; `None` where the recording is not there.
fn load(file: &str, name: &'static str, keep: impl Fn(&str) -> bool) -> Option<Set> {
    let dir = std::env::var_os("LOBTAPE_RECORDINGS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/recordings"), PathBuf::from);
    let venue = by_id(file.split('_').next()?)?.1;
    let reader = BufReader::new(MultiGzDecoder::new(std::fs::File::open(dir.join(file)).ok()?));
    let mut set = Set { name, venue, streams: Vec::new(), frames: Vec::new(), bytes: 0 };
    for line in reader.lines() {
        let line = line.ok()?;
        let frame = line.split_once(' ')?.1;
        let Some(stream) = frame.strip_prefix("{\"stream\":\"").and_then(|f| f.split('"').next()) else {
            continue;
        };
        if !keep(stream) {
            continue;
        }
        if !set.streams.iter().any(|s| s == stream) {
            set.streams.push(stream.to_owned());
        }
        set.bytes += frame.len() as u64;
        set.frames.push(frame.as_bytes().to_vec());
        if set.bytes as usize >= BYTES {
            break;
        }
    }
    Some(set)
}

/// What each way makes of a frame, folded into one number so that nothing is optimised away and all can be compared.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
struct Sum(u64);

impl Sum {
    #[inline]
    fn add(&mut self, n: i64) {
        self.0 = (self.0.rotate_left(5) ^ n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

fn of_event(e: &Event<'_>) -> Sum {
    let mut s = Sum::default();
    match e {
        Event::Depth(d) => {
            [d.first, d.last, d.prev].into_iter().for_each(|n| s.add(n));
            for l in d.bids.iter().chain(d.asks) {
                s.add(l.price);
                s.add(l.size);
            }
        }
        Event::Trade(t) => [t.id, t.price, t.size, i64::from(t.side)].into_iter().for_each(|n| s.add(n)),
        Event::Bbo(b) => {
            [b.last, b.bid.price, b.bid.size, b.ask.price, b.ask.size].into_iter().for_each(|n| s.add(n));
        }
        _ => {}
    }
    s
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    stream: &'a str,
    #[serde(borrow)]
    data: &'a serde_json::value::RawValue,
}

#[derive(Deserialize)]
struct TypedDepth<'a> {
    #[serde(rename = "U")]
    first: i64,
    u: i64,
    #[serde(default = "none")]
    pu: i64,
    #[serde(borrow)]
    b: Vec<(&'a str, &'a str)>,
    #[serde(borrow)]
    a: Vec<(&'a str, &'a str)>,
}

#[derive(Deserialize)]
struct TypedTrade<'a> {
    t: i64,
    p: &'a str,
    q: &'a str,
    m: bool,
}

#[derive(Deserialize)]
#[allow(non_snake_case, reason = "the venue's keys differ by case only")]
struct TypedTicker<'a> {
    u: i64,
    b: &'a str,
    B: &'a str,
    a: &'a str,
    A: &'a str,
}

fn none() -> i64 {
    -1
}

fn number(text: &str) -> i64 {
    parse_fixed(text.as_bytes(), EXP).expect("recorded numbers fit")
}

/// serde_json into borrowed structs, chosen by the stream's name.
fn typed(frame: &[u8]) -> Sum {
    let mut s = Sum::default();
    let e: Envelope<'_> = serde_json::from_slice(frame).expect("recorded frames are JSON");
    let data = e.data.get();
    if e.stream.contains("@depth") {
        let d: TypedDepth<'_> = serde_json::from_str(data).expect("a depth frame");
        [d.first, d.u, d.pu].into_iter().for_each(|n| s.add(n));
        for (p, q) in d.b.iter().chain(&d.a) {
            s.add(number(p));
            s.add(number(q));
        }
    } else if e.stream.ends_with("@trade") {
        let t: TypedTrade<'_> = serde_json::from_str(data).expect("a trade frame");
        let side = if t.m { -1 } else { 1 };
        [t.t, number(t.p), number(t.q), side].into_iter().for_each(|n| s.add(n));
    } else {
        let b: TypedTicker<'_> = serde_json::from_str(data).expect("a bookTicker frame");
        s.add(b.u);
        [b.b, b.B, b.a, b.A].into_iter().for_each(|t| s.add(number(t)));
    }
    s
}

/// serde_json into a tree.
fn tree(frame: &[u8]) -> Sum {
    let mut s = Sum::default();
    let v: serde_json::Value = serde_json::from_slice(frame).expect("recorded frames are JSON");
    let (stream, d) = (v["stream"].as_str().unwrap_or(""), &v["data"]);
    let text = |v: &serde_json::Value| number(v.as_str().unwrap_or(""));
    if stream.contains("@depth") {
        ["U", "u", "pu"].iter().for_each(|k| s.add(d[*k].as_i64().unwrap_or(-1)));
        for l in ["b", "a"].iter().filter_map(|k| d[*k].as_array()).flatten() {
            s.add(text(&l[0]));
            s.add(text(&l[1]));
        }
    } else if stream.ends_with("@trade") {
        let side = if d["m"].as_bool().unwrap_or(false) { -1 } else { 1 };
        [d["t"].as_i64().unwrap_or(-1), text(&d["p"]), text(&d["q"]), side]
            .into_iter()
            .for_each(|n| s.add(n));
    } else {
        s.add(d["u"].as_i64().unwrap_or(-1));
        ["b", "B", "a", "A"].iter().for_each(|k| s.add(text(&d[*k])));
    }
    s
}

fn bench_set(c: &mut Criterion, set: &Set) {
    let seen = Cell::new(Sum::default());
    let mut ctx = MemoryCtx::new(|e: Event<'_>| seen.set(of_event(&e)));
    ctx.exponents = (EXP, EXP);
    for s in &set.streams {
        assert!(ctx.subscribe(set.venue, s), "{s}");
    }
    let mut scratch = Scratch::default();
    let mut ours = |frame: &[u8]| -> Sum {
        set.venue.decode(&mut scratch, frame, None, &mut ctx).expect("recorded frames are read");
        seen.get()
    };
    for f in &set.frames {
        assert_eq!(ours(f), typed(f));
        assert_eq!(ours(f), tree(f));
    }
    let mut group = c.benchmark_group(format!("parse/{}", set.name));
    group.throughput(Throughput::Bytes(set.bytes));
    group.sample_size(20).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(5));
    group.bench_function(BenchmarkId::from_parameter("lobtape"), |b| {
        b.iter(|| set.frames.iter().for_each(|f| _ = black_box(ours(f))));
    });
    group.bench_function(BenchmarkId::from_parameter("serde_json typed"), |b| {
        b.iter(|| set.frames.iter().for_each(|f| _ = black_box(typed(f))));
    });
    group.bench_function(BenchmarkId::from_parameter("serde_json Value"), |b| {
        b.iter(|| set.frames.iter().for_each(|f| _ = black_box(tree(f))));
    });
    group.finish();
}

fn main() {
    let sets = [
        load("binance-usdm_btcusdt_20240808.gz", "usdm depth", |s| s.contains("@depth")),
        load("binance-usdm_btcusdt_20240808.gz", "usdm all", |_| true),
        load("binance-spot_btcusdt_20240808.gz", "spot depth", |s| s.contains("@depth")),
        load("binance-coinm_ethusd_perp_20240808.gz", "coinm all", |_| true),
    ];
    let mut c = Criterion::default().configure_from_args();
    for set in sets.iter().flatten() {
        println!("{}: {} frames, {} bytes", set.name, set.frames.len(), set.bytes);
        bench_set(&mut c, set);
    }
    assert!(sets.iter().any(Option::is_some), "no recordings in data/recordings or LOBTAPE_RECORDINGS");
    c.final_summary();
}
