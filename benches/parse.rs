//! Frames of recordings to events with exact mantissas: ours (the reader of known shapes, and the general one alone)
//! beside simd-json's tape with reused buffers and serde_json into borrowed structs.
//!
//! All end in the same integers, which is checked on every frame before anything is timed. First a table of
//! interleaved rounds in thread CPU time (median, spread), then criterion's own runs.
//!
//! Before that, each venue of the registry by the frames of its fixtures: they are few and small, but whoever adds a venue
//! finds it in this table unasked.
//!
//! `cargo bench --bench parse`; other recordings through `LOBTAPE_RECORDINGS`. `LOBTAPE_BENCH_JSON=FILE` appends the
//! ratios as JSON lines and leaves criterion out.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a bench times, prints, and has nothing to go on with where a file cannot be written"
)]

use std::cell::{Cell, RefCell};
use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use flate2::read::MultiGzDecoder;
use lobtape::model::{Event, Level};
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

/// What a frame says: ids, times, prices and sizes of a trade or ticker; or ids and times, and the levels of a depth
/// frame, bids first. Each way has one that it fills again and again.
#[derive(Clone, Default, PartialEq, Debug)]
struct Out {
    numbers: [i64; 7],
    levels: [Vec<Level>; 2],
}

fn same(out: &Out, e: &Event<'_>) {
    let (numbers, levels): (_, [&[Level]; 2]) = match e {
        Event::Depth(d) => ([d.ts_event, d.ts_send, d.first, d.last, d.prev, 0, 0], [d.bids, d.asks]),
        Event::Trade(t) => {
            ([t.ts_event, t.ts_send, t.id, t.price, t.size, i64::from(t.side), 0], Default::default())
        }
        Event::Bbo(b) => {
            let (bid, ask) = (b.bid, b.ask);
            ([b.ts_event, b.ts_send, b.last, bid.price, bid.size, ask.price, ask.size], Default::default())
        }
        other => panic!("{other:?}"),
    };
    assert_eq!((out.numbers, [&out.levels[0][..], &out.levels[1][..]]), (numbers, levels));
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
fn typed(frame: &[u8], (p, q): (u8, u8), out: &mut Out) {
    let text = std::str::from_utf8(frame).expect("UTF-8");
    let stream = stream_of(text).expect("combined frames");
    out.levels.iter_mut().for_each(Vec::clear);
    if stream.contains("@depth") {
        let c: Combined<'_, TypedDepth<'_>> = serde_json::from_str(text).expect("a depth frame");
        let d = black_box((c.stream, c.data.s, c.data)).2;
        out.numbers = [d.T * MS, d.E * MS, d.U, d.u, d.pu, 0, 0];
        for (levels, texts) in out.levels.iter_mut().zip([&d.b, &d.a]) {
            levels.extend(texts.iter().map(|(a, b)| Level { price: number(a, p), size: number(b, q) }));
        }
    } else if stream.ends_with("@trade") {
        let c: Combined<'_, TypedTrade<'_>> = serde_json::from_str(text).expect("a trade frame");
        let t = black_box((c.stream, c.data.s, c.data)).2;
        let side = if t.m { -1 } else { 1 };
        out.numbers = [t.T * MS, t.E * MS, t.t, number(t.p, p), number(t.q, q), side, 0];
    } else {
        let c: Combined<'_, TypedTicker<'_>> = serde_json::from_str(text).expect("a bookTicker frame");
        let t = black_box((c.stream, c.data.s, c.data)).2;
        let [bid, ask] = [[t.b, t.B], [t.a, t.A]].map(|[a, b]| (number(a, p), number(b, q)));
        out.numbers = [t.T * MS, t.E * MS, t.u, bid.0, bid.1, ask.0, ask.1];
    }
}

/// simd-json's tape with everything reused, walked once in the order in which it stands.
#[derive(Default)]
struct Tape {
    frame: Vec<u8>,
    buffers: simd_json::Buffers,
    tape: Option<simd_json::Tape<'static>>,
}

impl Tape {
    fn read(&mut self, frame: &[u8], exps: (u8, u8), out: &mut Out) {
        let mut tape = self.tape.take().unwrap_or(simd_json::Tape(Vec::new())).reset();
        self.frame.clear();
        self.frame.extend_from_slice(frame);
        simd_json::fill_tape(&mut self.frame, &mut self.buffers, &mut tape)
            .expect("recorded frames are JSON");
        walk(&tape.0, exps, out);
        self.tape = Some(tape.reset());
    }
}

/// A combined frame is `{stream, data: {…}}`: nodes 0 to 4, then the keys and values of the data.
fn walk(nodes: &[Node<'_>], (p, q): (u8, u8), out: &mut Out) {
    let (stream, data) = (as_text(&nodes[2]), &nodes[5..]);
    let (mut t, mut e, mut first, mut last, mut prev, mut id, mut side) = (0, 0, -1, -1, -1, -1, 0);
    let (mut price, mut size, mut b, mut big_b, mut a, mut big_a) = ("", "", "", "", "", "");
    out.levels.iter_mut().for_each(Vec::clear);
    let mut i = 0;
    while i + 1 < data.len() {
        let (key, value) = (as_text(&data[i]), &data[i + 1]);
        let mut step = 2;
        if let Node::Array { count, .. } = value {
            step += count;
            let level =
                |l: &[Node<'_>]| Level { price: number(as_text(&l[1]), p), size: number(as_text(&l[2]), q) };
            let levels = data[i + 2..i + step].chunks_exact(3).map(level);
            out.levels[usize::from(key == "a")].extend(levels);
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
    let (t, e) = (t * MS, e * MS);
    out.numbers = if stream.contains("@depth") {
        [t, e, first, last, prev, 0, 0]
    } else if stream.ends_with("@trade") {
        [t, e, id, number(price, p), number(size, q), side, 0]
    } else {
        [t, e, last, number(b, p), number(big_b, q), number(a, p), number(big_a, q)]
    };
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
type Way<'a> = Box<dyn FnMut(&[u8]) + 'a>;

/// Our parser with these buffers, as a function of a frame; what it says is handed to `on_event`.
fn ours<'a>(set: &'a Set, mut scratch: Scratch, on_event: impl FnMut(Event<'_>) + 'a) -> Way<'a> {
    let mut ctx = MemoryCtx::new(on_event);
    ctx.exponents = set.exps;
    for s in &set.streams {
        assert!(ctx.subscribe(set.venue, s), "{s}");
    }
    Box::new(move |frame| {
        set.venue.decode(&mut scratch, frame, None, &mut ctx).expect("recorded frames are read");
    })
}

/// Every way, in the order of [`WAYS`]. All end in integers in memory that is used again.
fn ways(set: &Set) -> [Way<'_>; 4] {
    let (mut tape, mut of_tape, mut of_typed) = (Tape::default(), Out::default(), Out::default());
    [
        ours(set, Scratch::default(), |e| _ = black_box(&e)),
        ours(set, Scratch::general_only(), |e| _ = black_box(&e)),
        Box::new(move |f| {
            tape.read(f, set.exps, &mut of_tape);
            black_box(&of_tape);
        }),
        Box::new(move |f| {
            typed(f, set.exps, &mut of_typed);
            black_box(&of_typed);
        }),
    ]
}

fn check(set: &Set) {
    let want = RefCell::new(Out::default());
    let (mut tape, mut out) = (Tape::default(), Out::default());
    let mut seen = Cell::new(0);
    {
        let compare = |e: Event<'_>| {
            same(&want.borrow(), &e);
            seen.set(seen.get() + 1);
        };
        let (mut quick, mut general) =
            (ours(set, Scratch::default(), compare), ours(set, Scratch::general_only(), compare));
        for f in &set.frames {
            typed(f, set.exps, &mut want.borrow_mut());
            tape.read(f, set.exps, &mut out);
            assert_eq!(out, *want.borrow(), "{}", String::from_utf8_lossy(f));
            quick(f);
            general(f);
        }
    }
    assert_eq!(*seen.get_mut(), 2 * set.frames.len());
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
                way(black_box(f));
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

/// A reader of frames; whether one could be read.
type Reader<'a> = Box<dyn FnMut(&[u8]) -> bool + 'a>;

/// A venue with the frames of its fixtures that are read.
struct Fixtures {
    venue: &'static dyn Venue,
    streams: Vec<&'static str>,
    frames: Vec<Vec<u8>>,
}

impl Fixtures {
    fn of(venue: &'static dyn Venue) -> Fixtures {
        let mut f = Fixtures { venue, streams: Vec::new(), frames: Vec::new() };
        let (mut stream, mut all) = ("-", Vec::new());
        for line in venue.samples().lines() {
            match line.split_once(' ') {
                Some(("@", name)) => stream = name,
                Some(("<", frame)) => all.push((stream, frame)),
                _ => {}
            }
        }
        f.streams = all.iter().map(|a| a.0).filter(|s| *s != "-").collect();
        f.streams.sort_unstable();
        f.streams.dedup();
        for (stream, frame) in all {
            // As received, or (where the fixture leaves it out) in the envelope that names its stream.
            let wrapped = format!("{{\"stream\":\"{stream}\",\"data\":{frame}}}");
            let read = |bytes: &[u8]| f.reader(Scratch::default(), |_| {})(bytes);
            let as_sent = [frame.as_bytes(), wrapped.as_bytes()].into_iter().find(|b| read(b));
            f.frames.extend(as_sent.map(<[u8]>::to_vec));
        }
        f
    }

    /// Reads a frame; whether it could be read.
    fn reader<'a>(&'a self, mut scratch: Scratch, on_event: impl FnMut(Event<'_>) + 'a) -> Reader<'a> {
        let mut ctx = MemoryCtx::new(on_event);
        ctx.exponents = (8, 8);
        for s in &self.streams {
            assert!(ctx.subscribe(self.venue, s), "{s}");
        }
        Box::new(move |frame| self.venue.decode(&mut scratch, frame, None, &mut ctx).is_ok())
    }

    /// Both readers say as many events.
    fn check(&self) {
        let id = self.venue.spec().id;
        assert!(self.frames.len() >= 5, "{id}: {} frames of its fixtures are read", self.frames.len());
        let said = |scratch| {
            let n = Cell::new(0);
            let mut read = self.reader(scratch, |_| n.set(n.get() + 1));
            assert!(self.frames.iter().all(|f| read(f)), "{id}");
            drop(read);
            n.get()
        };
        assert_eq!(said(Scratch::default()), said(Scratch::general_only()), "{id}");
    }

    /// ns per frame of our reader and of the general one, round by round.
    fn times(&self) -> [Vec<f64>; 2] {
        let silent = |e: Event<'_>| _ = black_box(&e);
        let mut ways =
            [self.reader(Scratch::default(), silent), self.reader(Scratch::general_only(), silent)];
        let passes = 20_000 / self.frames.len() + 1;
        let mut times: [Vec<f64>; 2] = Default::default();
        for round in 0..=ROUNDS {
            for (way, of_way) in ways.iter_mut().zip(&mut times) {
                let begun = thread_cpu_ns();
                for f in (0..passes).flat_map(|_| &self.frames) {
                    black_box(way(black_box(f)));
                }
                let ns = (thread_cpu_ns() - begun) as f64 / (passes * self.frames.len()) as f64;
                if round > 0 {
                    of_way.push(ns);
                }
            }
        }
        times
    }
}

/// Every venue of the registry.
fn table_of_venues(all: &[Fixtures]) {
    println!("fixtures of each venue, ns per frame in thread CPU time, median (min–max) of {ROUNDS} rounds");
    println!("{:<18} {:>6} {:>6}  {:<20} {:<20}", "venue", "frames", "bytes", WAYS[0], WAYS[1]);
    for f in all {
        let [a, b] = f.times().map(|t| {
            let (median, min, max) = spread(t);
            format!("{median:.0} ({min:.0}–{max:.0})")
        });
        let bytes = f.frames.iter().map(Vec::len).sum::<usize>() / f.frames.len();
        println!("{:<18} {:>6} {bytes:>6}  {a:<20} {b:<20}", f.venue.spec().id, f.frames.len());
    }
    println!();
}

fn criterion_runs(c: &mut Criterion, sets: &[Set]) {
    for set in sets.iter().filter(|s| s.class != Class::Small) {
        let mut group = c.benchmark_group(format!("parse/{}", set.name));
        group.throughput(Throughput::Bytes(set.bytes));
        group.sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
        for (way, name) in ways(set).iter_mut().zip(WAYS) {
            group.bench_function(BenchmarkId::from_parameter(name), |b| {
                b.iter(|| set.frames.iter().for_each(|f| way(f)));
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
    let venues: Vec<Fixtures> = lobtape::venue::all().iter().map(|v| Fixtures::of(*v)).collect();
    venues.iter().for_each(Fixtures::check);
    if !std::env::args().any(|a| a == "--test") {
        table_of_venues(&venues);
        table(&sets);
    }
    if std::env::var_os("LOBTAPE_BENCH_JSON").is_none() {
        let mut c = Criterion::default().configure_from_args();
        criterion_runs(&mut c, &sets);
        c.final_summary();
    }
}
