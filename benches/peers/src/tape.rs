//! A recording's book traffic, parsed before any clock starts.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use serde_json::Value;

use super::model::Level;

/// One message: which book, and how many levels of each side follow.
#[derive(Clone, Copy, Debug)]
pub struct Msg {
    pub book: u32,
    pub bids: u32,
    pub asks: u32,
}

/// A scale of one book: decimals of its mantissas, and what its prices and sizes are multiples of.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    pub price_exp: u8,
    pub size_exp: u8,
    /// Greatest common divisor of all prices (bids and asks), as a mantissa.
    pub tick: i64,
    /// The same of all sizes.
    pub lot: i64,
    pub low: i64,
    pub high: i64,
    /// The first bid ever named: near the middle.
    pub mid: i64,
}

/// Messages in order, snapshots first; the levels lie one after the other.
#[derive(Clone, Debug)]
pub struct Tape {
    pub name: String,
    pub levels: Vec<Level>,
    pub msgs: Vec<Msg>,
    pub scales: Vec<Scale>,
    /// Messages at the front that load the books.
    pub loads: usize,
}

/// Where a recording lies: in `$LOBTAPE_RECORDINGS`, else in the checkout, whose root is the package that this is built in or
/// two folders above it.
pub fn recording(name: &str) -> PathBuf {
    let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let set = std::env::var_os("LOBTAPE_RECORDINGS").map(|dir| PathBuf::from(dir).join(name));
    let own = package.join("data/recordings").join(name);
    let mut places = [set, Some(own)].into_iter().flatten();
    places.find(|p| p.exists()).unwrap_or_else(|| package.join("../../data/recordings").join(name))
}

fn dec(v: &Value, exp: u8) -> i64 {
    let text = v.as_str().expect("a decimal");
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{part:0<width$}", width = exp as usize);
    format!("{whole}{digits}").parse().expect("a mantissa")
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

type Sides = [Vec<Level>; 2];

/// Snapshots and diffs of a recording, by symbol number.
#[derive(Default)]
struct Read {
    symbols: BTreeMap<String, u32>,
    snapshots: BTreeMap<u32, (i64, Sides)>,
    diffs: Vec<(u32, i64, Sides)>,
}

impl Read {
    fn symbol(&mut self, name: &str) -> u32 {
        // A body before the first frame says of no symbol that it is the file's only one.
        if let Some(only) = self.symbols.remove("") {
            self.symbols.insert(name.to_owned(), only);
        }
        let next = self.symbols.len() as u32;
        *self.symbols.entry(name.to_owned()).or_insert(next)
    }

    fn file(&mut self, name: &str, exps: (u8, u8)) -> Option<()> {
        let side = |v: &Value| -> Vec<Level> {
            let level = |l: &Value| Level { price: dec(&l[0], exps.0), size: dec(&l[1], exps.1) };
            v.as_array().expect("levels").iter().map(level).collect()
        };
        let file = std::fs::File::open(recording(name)).ok()?;
        for line in BufReader::new(flate2::read::GzDecoder::new(file)).lines() {
            let line = line.expect("a readable recording");
            let rest = line.split_once(' ').map_or("", |(_, rest)| rest);
            let (request, json) = match rest.as_bytes().first() {
                Some(b'{') => ("", rest),
                Some(b'/') => rest.split_once(' ').expect("a body"),
                _ => continue,
            };
            if json.starts_with("{\"stream\"") && json.contains("@depth@") {
                let v: Value = serde_json::from_str(json).expect("a frame");
                let d = &v["data"];
                let symbol = self.symbol(d["s"].as_str().expect("a symbol"));
                let ends = d["u"].as_i64().expect("an id");
                self.diffs.push((symbol, ends, [side(&d["b"]), side(&d["a"])]));
            } else if json.contains("lastUpdateId") {
                let v: Value = serde_json::from_str(json).expect("a snapshot");
                let asked = request.split(['?', '&']).find_map(|p| p.strip_prefix("symbol="));
                let known = self.symbols.keys().next().cloned();
                let name = asked.map(str::to_owned).or(known).unwrap_or_default();
                let symbol = self.symbol(&name);
                let id = v["lastUpdateId"].as_i64().expect("an id");
                self.snapshots.insert(symbol, (id, [side(&v["bids"]), side(&v["asks"])]));
            }
        }
        Some(())
    }
}

impl Tape {
    /// Reads the depth lines of files; `None` where one is missing.
    pub fn read(name: &str, files: &[&str], exps: (u8, u8)) -> Option<Tape> {
        let mut read = Read::default();
        for file in files {
            read.file(file, exps)?;
        }
        let mut tape = Tape {
            name: name.to_owned(),
            levels: Vec::new(),
            msgs: Vec::new(),
            scales: Vec::new(),
            loads: 0,
        };
        for (&book, (_, sides)) in &read.snapshots {
            tape.push(book, sides);
        }
        tape.loads = tape.msgs.len();
        for (book, ends, sides) in &read.diffs {
            if read.snapshots.get(book).is_some_and(|(id, _)| ends >= id) {
                tape.push(*book, sides);
            }
        }
        tape.scales = (0..read.symbols.len() as u32).map(|b| tape.scale(b, exps)).collect();
        Some(tape)
    }

    fn push(&mut self, book: u32, sides: &Sides) {
        self.msgs.push(Msg { book, bids: sides[0].len() as u32, asks: sides[1].len() as u32 });
        for side in sides {
            self.levels.extend(side);
        }
    }

    /// Each message with the range of its levels.
    pub fn ranges(&self) -> impl Iterator<Item = (Msg, std::ops::Range<usize>)> {
        let mut at = 0;
        self.msgs.iter().map(move |&m| {
            let from = at;
            at += (m.bids + m.asks) as usize;
            (m, from..at)
        })
    }

    fn scale(&self, book: u32, exps: (u8, u8)) -> Scale {
        let mut s = Scale {
            price_exp: exps.0,
            size_exp: exps.1,
            tick: 0,
            lot: 0,
            low: i64::MAX,
            high: i64::MIN,
            mid: 0,
        };
        for (_, range) in self.ranges().filter(|(m, _)| m.book == book) {
            if s.mid == 0 {
                s.mid = self.levels[range.clone()].first().map_or(0, |l| l.price);
            }
            for l in &self.levels[range] {
                s.tick = gcd(s.tick, l.price);
                s.lot = gcd(s.lot, l.size);
                s.low = s.low.min(l.price);
                s.high = s.high.max(l.price);
            }
        }
        (s.tick, s.lot) = (s.tick.max(1), s.lot.max(1));
        s
    }

    /// Many copies of these books, each starting somewhere else in the stream, fed in turn: what a recorder of many
    /// symbols does to its caches. Copy `k` begins where `k / copies` of the first half is over, and each is told
    /// `share` of the stream.
    pub fn round_robin(&self, copies: u32, share: f64) -> Tape {
        let symbols = self.scales.len() as u32;
        let ranges: Vec<_> = self.ranges().collect();
        let (loads, diffs) = ranges.split_at(self.loads);
        let mut out = Tape {
            name: format!("{} ×{copies}", self.name),
            levels: Vec::new(),
            msgs: Vec::new(),
            scales: (0..copies).flat_map(|_| self.scales.clone()).collect(),
            loads: 0,
        };
        let push = |out: &mut Tape, copy: u32, (m, range): &(Msg, std::ops::Range<usize>)| {
            out.msgs.push(Msg { book: copy * symbols + m.book, ..*m });
            out.levels.extend_from_slice(&self.levels[range.clone()]);
        };
        let begin = |copy: u32| diffs.len() * copy as usize / (2 * copies as usize);
        for copy in 0..copies {
            // Up to its starting point untimed, with the load.
            loads.iter().chain(&diffs[..begin(copy)]).for_each(|m| push(&mut out, copy, m));
        }
        out.loads = out.msgs.len();
        for i in 0..(diffs.len() as f64 * share) as usize {
            for copy in 0..copies {
                push(&mut out, copy, &diffs[begin(copy) + i]);
            }
        }
        out
    }

    /// Venues that choose their prices against the book. No array holds such prices, and books that look for the touch
    /// tick by tick do not come back.
    pub fn hostile() -> Vec<Tape> {
        let ladder = |from: i64, step: i64, count: i64, size: i64| -> Vec<Level> {
            (0..count).map(|i| Level { price: from + i * step, size }).collect()
        };
        let near = ladder(6_180_000, 10, 500, 7);
        let gone =
            |levels: &[Level]| -> Vec<Level> { levels.iter().map(|l| Level { size: 0, ..*l }).collect() };
        let move_to = |from: &[Level], to: &[Level]| [gone(from), to.to_vec()].concat();
        // Near, far away, near, between the ticks, in turn.
        let (far, off) = (ladder(900_000_000_000, 10, 500, 7), ladder(6_180_003, 7, 500, 7));
        let extremes: Vec<_> = (0..200)
            .flat_map(|_| {
                [move_to(&near, &far), move_to(&far, &near), move_to(&near, &off), move_to(&off, &near)]
            })
            .collect();
        // Half the price and back, each in one message.
        let (high, low) = (ladder(6_180_000, 10, 2000, 5), ladder(3_090_000, 10, 2000, 5));
        let jumps: Vec<_> = (0..100).flat_map(|_| [move_to(&high, &low), move_to(&low, &high)]).collect();
        // More levels than there are pages, each in a page of its own; any of them changes, goes and comes.
        let wide = ladder(40_001, 397, 20_000, 9);
        let mut seed = 7u64;
        let mut below = |n: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((seed >> 33) % n) as i64
        };
        let scattered: Vec<Vec<Level>> = (0..4000)
            .map(|_| (0..50).map(|_| Level { price: 40_001 + below(20_000) * 397, size: below(3) }).collect())
            .collect();
        [
            ("hostile: alternating extremes", near, extremes),
            ("hostile: a jump by half", high, jumps),
            ("hostile: 20,000 scattered levels", wide, scattered),
        ]
        .into_iter()
        .map(|(name, load, messages)| {
            let mut tape = Tape {
                name: name.to_owned(),
                levels: Vec::new(),
                msgs: Vec::new(),
                scales: Vec::new(),
                loads: 1,
            };
            for levels in std::iter::once(load).chain(messages) {
                tape.push(0, &[levels.clone(), levels]);
            }
            tape.scales.push(tape.scale(0, (2, 3)));
            tape
        })
        .collect()
    }

    /// Levels of the messages after the loads: what is timed.
    pub fn timed_levels(&self) -> usize {
        self.msgs[self.loads..].iter().map(|m| (m.bids + m.asks) as usize).sum()
    }
}

/// The recordings with a snapshot, as far as they are there.
pub fn all() -> Vec<Tape> {
    let spot = ["binance-spot_btcusdt_20240808.gz", "binance-spot_btcusdt_20240809.gz"];
    let coin = ["binance-coinm_ethusd_perp_20240808.gz", "binance-coinm_ethusd_perp_20240809.gz"];
    let old = ["binance-usdm_btcusdt_20230404.gz", "binance-usdm_btcusdt_20230405.gz"];
    [
        Tape::read("usdm-btcusdt", &["binance-usdm_btcusdt_20240808.gz"], (2, 3)),
        Tape::read("spot-btcusdt", &spot, (8, 8)),
        Tape::read("coinm-ethusd_perp", &coin, (2, 0)),
        Tape::read("usdm-btcusdt-2023", &old, (2, 3)),
        Tape::read("usdm-4-quiet", &["binance-usdm_4symbols_20210722.gz"], (8, 8)),
        Tape::read("spot-4-quiet", &["binance-spot_4symbols_20211012.gz"], (8, 8)),
    ]
    .into_iter()
    .flatten()
    .collect()
}
