//! Frames of recordings to events with exact mantissas: ours (the reader of known shapes, and the general one alone)
//! beside simd-json's tape with reused buffers and serde_json into borrowed structs.
//!
//! All end in the same integers, which is checked on every frame before anything is timed. First a table of
//! interleaved rounds in thread CPU time (median, spread), then criterion's own runs.
//!
//! `cargo bench --bench parse`; other recordings through `LOBTAPE_RECORDINGS`. `LOBTAPE_BENCH_JSON=FILE` appends the
//! ratios as JSON lines and leaves criterion out.
#![allow(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a bench times, prints, and has nothing to go on with where a file cannot be written"
)]

use std::cell::Cell;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use flate2::read::MultiGzDecoder;
use lobtape::model::Event;
use lobtape::parse::{Scratch, parse_fixed};
use lobtape::sys::clock::thread_cpu_ns;
use lobtape::venue::testing::MemoryCtx;
use lobtape::venue::{Venue, by_id};
use serde::Deserialize;
use simd_json::{Node, StaticNode};

/// Bytes of frames per recording and pass: more than the caches hold.
const BYTES: usize = 12 << 20;
const ROUNDS: usize = 11;

/// A recording, and the decimals that its prices and sizes need.
struct Recording {
    file: &'static str,
    name: &'static str,
    exps: (u8, u8),
}

const RECORDINGS: [Recording; 3] = [
    Recording { file: "binance-usdm_btcusdt_20240808.gz", name: "usdm", exps: (1, 3) },
    Recording { file: "binance-spot_btcusdt_20240808.gz", name: "spot", exps: (2, 6) },
    Recording { file: "binance-coinm_ethusd_perp_20240808.gz", name: "coinm", exps: (2, 0) },
];

#[derive(Clone, Copy, PartialEq)]
enum Class {
    Depth,
    Small,
    All,
}

impl Class {
    const EACH: [Class; 3] = [Class::Depth, Class::Small, Class::All];

    fn name(self) -> &'static str {
        ["depth", "trade+bookTicker", "all"][self as usize]
    }

    fn takes(self, stream: &str) -> bool {
        match self {
            Class::Depth => stream.contains("@depth"),
            Class::Small => !stream.contains("@depth"),
            Class::All => true,
        }
    }
}

/// The frames of one class in a recording.
struct Set {
    name: String,
    class: Class,
    exps: (u8, u8),
    venue: &'static dyn Venue,
    streams: Vec<String>,
    frames: Vec<Vec<u8>>,
    bytes: u64,
}

/// `None` where the recording is not there.
fn load(r: &Recording, class: Class) -> Option<Set> {
    let dir = std::env::var_os("LOBTAPE_RECORDINGS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/recordings"), PathBuf::from);
    let venue = by_id(r.file.split('_').next()?)?.1;
    let reader = BufReader::new(MultiGzDecoder::new(std::fs::File::open(dir.join(r.file)).ok()?));
    let name = format!("{} {}", r.name, class.name());
    let mut set = Set { name, class, exps: r.exps, venue, streams: Vec::new(), frames: Vec::new(), bytes: 0 };
    for line in reader.lines() {
        let line = line.ok()?;
        let frame = line.split_once(' ')?.1;
        let Some(stream) = stream_of(frame).filter(|s| class.takes(s)) else { continue };
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

fn stream_of(frame: &str) -> Option<&str> {
    frame.strip_prefix("{\"stream\":\"")?.split('"').next()
}

/// What each way makes of a frame, folded into one number so that nothing is optimised away and all can be compared.
/// Each number has a weight of its own; adding them up costs next to nothing, for all ways alike.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
struct Sum {
    sum: u64,
    weight: u64,
}

impl Sum {
    #[inline(always)]
    fn add(&mut self, n: i64) {
        self.weight = self.weight.wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.sum = self.sum.wrapping_add((n as u64).wrapping_mul(self.weight));
    }

    #[inline(always)]
    fn all<const N: usize>(&mut self, numbers: [i64; N]) {
        numbers.into_iter().for_each(|n| self.add(n));
    }
}

fn of_event(e: &Event<'_>) -> Sum {
    let mut s = Sum::default();
    match e {
        Event::Depth(d) => {
            s.all([d.ts_event, d.ts_send, d.first, d.last, d.prev]);
            for l in d.bids.iter().chain(d.asks) {
                s.all([l.price, l.size]);
            }
        }
        Event::Trade(t) => s.all([t.ts_event, t.ts_send, t.id, t.price, t.size, i64::from(t.side)]),
        Event::Bbo(b) => {
            s.all([b.ts_event, b.ts_send, b.last, b.bid.price, b.bid.size, b.ask.price, b.ask.size]);
        }
        _ => {}
    }
    s
}

#[derive(Deserialize)]
struct Combined<'a, T> {
    #[serde(borrow)]
    stream: &'a str,
    data: T,
}

#[derive(Deserialize)]
#[allow(non_snake_case, reason = "the venue's keys differ by case only")]
struct TypedDepth<'a> {
    E: i64,
    #[serde(default)]
    T: i64,
    s: &'a str,
    U: i64,
    u: i64,
    #[serde(default = "none")]
    pu: i64,
    #[serde(borrow)]
    b: Vec<(&'a str, &'a str)>,
    #[serde(borrow)]
    a: Vec<(&'a str, &'a str)>,
}

#[derive(Deserialize)]
#[allow(non_snake_case, reason = "the venue's keys differ by case only")]
struct TypedTrade<'a> {
    E: i64,
    T: i64,
    s: &'a str,
    t: i64,
    p: &'a str,
    q: &'a str,
    m: bool,
}

#[derive(Deserialize)]
#[allow(non_snake_case, reason = "the venue's keys differ by case only")]
struct TypedTicker<'a> {
    #[serde(default)]
    E: i64,
    #[serde(default)]
    T: i64,
    u: i64,
    s: &'a str,
    b: &'a str,
    B: &'a str,
    a: &'a str,
    A: &'a str,
}

fn none() -> i64 {
    -1
}

#[inline]
fn number(text: &str, exp: u8) -> i64 {
    parse_fixed(text.as_bytes(), exp).expect("recorded numbers fit")
}

const MS: i64 = 1_000_000;

/// serde_json into borrowed structs, in one pass; which one is told from the stream's name.
fn typed(frame: &[u8], (p, q): (u8, u8)) -> Sum {
    let mut s = Sum::default();
    let text = std::str::from_utf8(frame).expect("UTF-8");
    let stream = stream_of(text).expect("combined frames");
    if stream.contains("@depth") {
        let c: Combined<'_, TypedDepth<'_>> = serde_json::from_str(text).expect("a depth frame");
        let d = black_box((c.stream, c.data.s, c.data)).2;
        s.all([d.T * MS, d.E * MS, d.U, d.u, d.pu]);
        for (price, size) in d.b.iter().chain(&d.a) {
            s.all([number(price, p), number(size, q)]);
        }
    } else if stream.ends_with("@trade") {
        let c: Combined<'_, TypedTrade<'_>> = serde_json::from_str(text).expect("a trade frame");
        let t = black_box((c.stream, c.data.s, c.data)).2;
        let side = if t.m { -1 } else { 1 };
        s.all([t.T * MS, t.E * MS, t.t, number(t.p, p), number(t.q, q), side]);
    } else {
        let c: Combined<'_, TypedTicker<'_>> = serde_json::from_str(text).expect("a bookTicker frame");
        let t = black_box((c.stream, c.data.s, c.data)).2;
        s.all([t.T * MS, t.E * MS, t.u]);
        s.all([number(t.b, p), number(t.B, q), number(t.a, p), number(t.A, q)]);
    }
    s
}

/// simd-json's tape with everything reused, walked once in the order in which it stands.
#[derive(Default)]
struct Tape {
    frame: Vec<u8>,
    buffers: simd_json::Buffers,
    tape: Option<simd_json::Tape<'static>>,
}

impl Tape {
    fn read(&mut self, frame: &[u8], exps: (u8, u8)) -> Sum {
        let mut tape = self.tape.take().unwrap_or(simd_json::Tape(Vec::new())).reset();
        self.frame.clear();
        self.frame.extend_from_slice(frame);
        simd_json::fill_tape(&mut self.frame, &mut self.buffers, &mut tape)
            .expect("recorded frames are JSON");
        let sum = walk(&tape.0, exps);
        self.tape = Some(tape.reset());
        sum
    }
}

/// A combined frame is `{stream, data: {…}}`: nodes 0 to 4, then the keys and values of the data.
fn walk(nodes: &[Node<'_>], (p, q): (u8, u8)) -> Sum {
    let mut s = Sum::default();
    let stream = as_text(&nodes[2]);
    let data = &nodes[5..];
    let (mut t, mut e, mut first, mut last, mut prev, mut id, mut side) = (0, 0, -1, -1, -1, -1, 0);
    let (mut price, mut size, mut b, mut big_b, mut a, mut big_a) = ("", "", "", "", "", "");
    let (mut bids, mut asks): (&[Node<'_>], &[Node<'_>]) = (&[], &[]);
    let mut i = 0;
    while i + 1 < data.len() {
        let (key, value) = (as_text(&data[i]), &data[i + 1]);
        let mut step = 2;
        if let Node::Array { count, .. } = value {
            step += count;
            let levels = &data[i + 2..i + step];
            if key == "b" { bids = levels } else { asks = levels }
        }
        match key.as_bytes() {
            b"T" => t = as_int(value),
            b"E" => e = as_int(value),
            b"U" => first = as_int(value),
            b"u" => last = as_int(value),
            b"pu" => prev = as_int(value),
            b"t" => id = as_int(value),
            b"m" => side = if matches!(value, Node::Static(StaticNode::Bool(true))) { -1 } else { 1 },
            b"p" => price = as_text(value),
            b"q" => size = as_text(value),
            b"b" => b = as_text(value),
            b"B" => big_b = as_text(value),
            b"a" => a = as_text(value),
            b"A" => big_a = as_text(value),
            _ => {}
        }
        i += step;
    }
    s.all([t * MS, e * MS]);
    if stream.contains("@depth") {
        s.all([first, last, prev]);
        for level in bids.chunks_exact(3).chain(asks.chunks_exact(3)) {
            s.all([number(as_text(&level[1]), p), number(as_text(&level[2]), q)]);
        }
    } else if stream.ends_with("@trade") {
        s.all([id, number(price, p), number(size, q), side]);
    } else {
        s.all([last, number(b, p), number(big_b, q), number(a, p), number(big_a, q)]);
    }
    s
}

#[inline]
fn as_text<'i>(n: &Node<'i>) -> &'i str {
    match n {
        Node::String(t) => t,
        _ => "",
    }
}

#[inline]
fn as_int(n: &Node<'_>) -> i64 {
    match n {
        Node::Static(StaticNode::I64(n)) => *n,
        Node::Static(StaticNode::U64(n)) => *n as i64,
        _ => -1,
    }
}

/// The ways, in the order of the table.
const WAYS: [&str; 4] = ["lobtape", "general path", "simd-json tape", "serde_json typed"];
type Way<'a> = Box<dyn FnMut(&[u8]) -> Sum + 'a>;

/// Our parser with these buffers, as a function of a frame.
fn ours(set: &Set, mut scratch: Scratch) -> Way<'_> {
    let seen = Rc::new(Cell::new(Sum::default()));
    let said = Rc::clone(&seen);
    let mut ctx = MemoryCtx::new(move |e: Event<'_>| said.set(of_event(&e)));
    ctx.exponents = set.exps;
    for s in &set.streams {
        assert!(ctx.subscribe(set.venue, s), "{s}");
    }
    Box::new(move |frame| {
        set.venue.decode(&mut scratch, frame, None, &mut ctx).expect("recorded frames are read");
        seen.get()
    })
}

/// Every way, in the order of [`WAYS`].
fn ways(set: &Set) -> [Way<'_>; 4] {
    let mut tape = Tape::default();
    [
        ours(set, Scratch::default()),
        ours(set, Scratch::general_only()),
        Box::new(move |f| tape.read(f, set.exps)),
        Box::new(|f| typed(f, set.exps)),
    ]
}

fn check(set: &Set) {
    let [mut quick, mut general, mut tape, mut typed] = ways(set);
    for f in &set.frames {
        let want = typed(f);
        assert_eq!(quick(f), want, "{}", String::from_utf8_lossy(f));
        assert_eq!(general(f), want, "{}", String::from_utf8_lossy(f));
        assert_eq!(tape(f), want, "{}", String::from_utf8_lossy(f));
    }
}

/// Median, smallest, largest.
fn spread(mut v: Vec<f64>) -> (f64, f64, f64) {
    v.sort_by(f64::total_cmp);
    (v[v.len() / 2], v[0], v[v.len() - 1])
}

/// ns per frame of each way, round by round.
fn rounds(set: &Set) -> [Vec<f64>; 4] {
    let mut ways = ways(set);
    let mut times: [Vec<f64>; 4] = Default::default();
    for round in 0..=ROUNDS {
        for (way, of_way) in ways.iter_mut().zip(&mut times) {
            let begun = thread_cpu_ns();
            for f in &set.frames {
                black_box(way(black_box(f)));
            }
            let ns = (thread_cpu_ns() - begun) as f64 / set.frames.len() as f64;
            // The first round warms caches and buffers.
            if round > 0 {
                of_way.push(ns);
            }
        }
    }
    times
}

/// A row of issue and documentation: which ratio, over which class of frames, of which way by which.
struct Ratio {
    name: &'static str,
    class: Class,
    of: usize,
    by: usize,
}

const RATIOS: [Ratio; 4] = [
    Ratio { name: "parse_depth_vs_simd_json_tape", class: Class::Depth, of: 2, by: 0 },
    Ratio { name: "parse_depth_vs_serde_json_typed", class: Class::Depth, of: 3, by: 0 },
    Ratio { name: "parse_trade_vs_serde_json_typed", class: Class::Small, of: 3, by: 0 },
    Ratio { name: "parse_general_vs_serde_json_typed", class: Class::All, of: 3, by: 1 },
];

fn table(sets: &[Set]) {
    println!("ns per frame in thread CPU time, median (min–max) of {ROUNDS} interleaved rounds");
    let [a, b, c, d] = WAYS;
    println!("{:<24} {:>8} {:>6}  {a:<20} {b:<20} {c:<20} {d:<20}", "frames", "number", "bytes");
    let mut ratios: Vec<(&Ratio, &Set, (f64, f64, f64))> = Vec::new();
    for set in sets {
        let times = rounds(set);
        for r in RATIOS.iter().filter(|r| r.class == set.class) {
            let of_round = times[r.of].iter().zip(&times[r.by]).map(|(of, by)| of / by);
            ratios.push((r, set, spread(of_round.collect())));
        }
        let [a, b, c, d] = times.map(|t| {
            let (median, min, max) = spread(t);
            format!("{median:.0} ({min:.0}–{max:.0})")
        });
        let n = set.frames.len() as u64;
        println!("{:<24} {n:>8} {:>6}  {a:<20} {b:<20} {c:<20} {d:<20}", set.name, set.bytes / n);
    }
    println!("\ntimes faster, round by round: median (min–max)");
    for (r, set, (median, min, max)) in &ratios {
        println!("{:<36} {:<24} {median:.2} ({min:.2}–{max:.2})", r.name, set.name);
    }
    if let Some(path) = std::env::var_os("LOBTAPE_BENCH_JSON") {
        let mut file =
            std::fs::OpenOptions::new().create(true).append(true).open(path).expect("a writable file");
        for r in &RATIOS {
            let of: Vec<_> = ratios.iter().filter(|(x, _, _)| x.name == r.name).collect();
            // What is promised holds on every recording: the smallest one counts.
            let ratio = of.iter().map(|(_, _, s)| s.0).fold(f64::INFINITY, f64::min);
            let each: serde_json::Map<_, _> = of
                .iter()
                .map(|(_, set, s)| {
                    (set.name.clone(), serde_json::json!({"ratio": s.0, "min": s.1, "max": s.2}))
                })
                .collect();
            let line = serde_json::json!({"name": r.name, "ratio": ratio, "rounds": ROUNDS, "sets": each});
            writeln!(file, "{line}").expect("a written line");
        }
    }
}

fn criterion_runs(c: &mut Criterion, sets: &[Set]) {
    for set in sets.iter().filter(|s| s.class != Class::Small) {
        let mut group = c.benchmark_group(format!("parse/{}", set.name));
        group.throughput(Throughput::Bytes(set.bytes));
        group.sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
        for (way, name) in ways(set).iter_mut().zip(WAYS) {
            group.bench_function(BenchmarkId::from_parameter(name), |b| {
                b.iter(|| set.frames.iter().for_each(|f| _ = black_box(way(f))));
            });
        }
        group.finish();
    }
}

fn main() {
    let sets: Vec<Set> =
        RECORDINGS.iter().flat_map(|r| Class::EACH.map(|class| load(r, class))).flatten().collect();
    assert!(!sets.is_empty(), "no recordings in data/recordings or LOBTAPE_RECORDINGS");
    sets.iter().for_each(check);
    if !std::env::args().any(|a| a == "--test") {
        table(&sets);
    }
    if std::env::var_os("LOBTAPE_BENCH_JSON").is_none() {
        let mut c = Criterion::default().configure_from_args();
        criterion_runs(&mut c, &sets);
        c.final_summary();
    }
}
