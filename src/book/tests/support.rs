//! What these tests share: decimals, a driver that does with the parts what the fold does, recordings.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use serde_json::Value;

use crate::book::{Book, Change, DiffBuffer, DiffIds, SeqState, Sequencer, Verdict};
use crate::model::{Level, SequenceRule, Side};

/// Decimals of every mantissa here; the canonical text does not depend on it.
pub const EXP: u8 = 8;

/// A plain decimal at [`EXP`] decimals.
pub fn dec(s: &str) -> i64 {
    let (whole, part) = s.split_once('.').unwrap_or((s, ""));
    assert!(part.len() <= EXP as usize, "{s}");
    format!("{whole}{part:0<8}").parse().unwrap()
}

pub fn levels(v: &Value) -> Vec<Level> {
    let level = |l: &Value| Level { price: dec(l[0].as_str().unwrap()), size: dec(l[1].as_str().unwrap()) };
    v.as_array().unwrap().iter().map(level).collect()
}

/// A diff as a frame gives it.
pub struct Diff {
    pub ids: DiffIds,
    pub bids: Vec<Level>,
    pub asks: Vec<Level>,
}

impl Diff {
    pub fn of(data: &Value) -> Diff {
        let id = |key: &str| data.get(key).map_or(-1, |v| v.as_i64().unwrap());
        Diff {
            ids: DiffIds {
                conn: 1,
                first: id("U"),
                last: id("u"),
                prev: id("pu"),
                ts: id("ts").max(0) * 1_000_000,
            },
            bids: levels(&data["b"]),
            asks: levels(&data["a"]),
        }
    }
}

/// Whoever wants to see the book after each applied diff, with its id.
pub type Listener = Box<dyn FnMut(&Book, i64)>;

/// Sequencer, buffer and book, driven as the fold drives them.
pub struct Driver {
    pub seq: Sequencer,
    pub book: Book,
    pub buffer: DiffBuffer<()>,
    /// Called-for snapshots.
    pub wanted: u32,
    /// New, changed, same, removed, absent.
    pub changes: [u64; 5],
    /// Venue time of the next snapshot, ns.
    pub snapshot_ts: i64,
    /// Told the book and the id after each applied diff.
    pub seen: Listener,
}

fn put(book: &mut Book, changes: &mut [u64; 5], bids: &[Level], asks: &[Level]) {
    for (side, levels) in [(Side::Bid, bids), (Side::Ask, asks)] {
        for l in levels {
            changes[match book.set(side, l.price, l.size) {
                Change::New => 0,
                Change::Changed => 1,
                Change::Same => 2,
                Change::Removed => 3,
                Change::Absent => 4,
            }] += 1;
        }
    }
}

impl Driver {
    pub fn new(rule: SequenceRule) -> Driver {
        Driver {
            seq: Sequencer::new(rule),
            book: Book::new(),
            buffer: DiffBuffer::default(),
            wanted: 0,
            changes: [0; 5],
            snapshot_ts: 0,
            seen: Box::new(|_, _| ()),
        }
    }

    pub fn diff(&mut self, d: &Diff, other_leg_alive: bool) -> Verdict {
        let verdict = self.seq.on_diff(&d.ids, other_leg_alive);
        match verdict {
            Verdict::Apply { .. } => {
                put(&mut self.book, &mut self.changes, &d.bids, &d.asks);
                (self.seen)(&self.book, d.ids.last);
                self.drain(other_leg_alive);
            }
            Verdict::Buffer | Verdict::Wait | Verdict::Learning | Verdict::Learned => self.keep(d),
            Verdict::TooOld => {
                self.wanted += 1;
                self.keep(d);
            }
            Verdict::Gap { .. } => {
                self.wanted += 1;
                self.buffer.clear();
                self.keep(d);
            }
            Verdict::Stale | Verdict::Ignored | Verdict::Duplicate => {}
        }
        verdict
    }

    fn keep(&mut self, d: &Diff) {
        self.buffer.push(d.ids, (), &d.bids, &d.asks);
    }

    /// Loads a snapshot and offers it what is buffered.
    pub fn snapshot(&mut self, id: i64, bids: &[Level], asks: &[Level]) -> Vec<Verdict> {
        self.book.clear();
        put(&mut self.book, &mut [0; 5], bids, asks);
        self.seq.on_snapshot(id);
        let verdicts = self.drain(false);
        if self.seq.rule().snapshot_proves && matches!(self.seq.state(), SeqState::WaitFirst { .. }) {
            self.seq.on_proving_snapshot(id, 1, self.snapshot_ts);
        }
        verdicts
    }

    /// Offers what is buffered until something must stay.
    fn drain(&mut self, other_leg_alive: bool) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        while let Some(d) = self.buffer.front() {
            let verdict = self.seq.on_diff(&d.ids, other_leg_alive);
            verdicts.push(verdict);
            match verdict {
                Verdict::Apply { .. } => {
                    put(&mut self.book, &mut self.changes, d.bids, d.asks);
                    (self.seen)(&self.book, d.ids.last);
                }
                Verdict::Stale | Verdict::Ignored | Verdict::Duplicate => {}
                Verdict::TooOld | Verdict::Gap { .. } => {
                    self.wanted += 1;
                    break;
                }
                Verdict::Buffer | Verdict::Wait | Verdict::Learning | Verdict::Learned => break,
            }
            self.buffer.pop_front();
        }
        verdicts
    }

    pub fn state(&self) -> &'static str {
        match self.seq.state() {
            SeqState::Init => "INIT",
            SeqState::Buffering => "BUFFERING",
            SeqState::WaitFirst { .. } => "WAIT_FIRST",
            SeqState::Live { .. } => "LIVE",
        }
    }
}

/// A file of the recordings: in `$LOBTAPE_RECORDINGS`, else in the checkout.
pub fn recording(name: &str) -> PathBuf {
    if let Some(dir) = std::env::var_os("LOBTAPE_RECORDINGS") {
        let path = PathBuf::from(dir).join(name);
        if path.exists() {
            return path;
        }
    }
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/recordings").join(name)
}

/// One line of a recording that concerns a book.
pub enum Line {
    Diff { symbol: String, diff: Diff },
    Snapshot { symbol: Option<String>, id: i64, bids: Vec<Level>, asks: Vec<Level> },
}

/// Reads the depth lines of a recording; `None` where the file is not there.
pub fn read(name: &str, mut each: impl FnMut(Line)) -> Option<()> {
    let file = std::fs::File::open(recording(name)).ok()?;
    for line in BufReader::new(flate2::read::GzDecoder::new(file)).lines() {
        let line = line.unwrap();
        let (_, rest) = line.split_once(' ').unwrap();
        let (request, json) = match rest.as_bytes()[0] {
            b'{' => ("", rest),
            b'/' => rest.split_once(' ').unwrap(),
            _ => continue,
        };
        let is_diff = json.starts_with("{\"stream\"") && json.contains("@depth@");
        if is_diff {
            let v: Value = serde_json::from_str(json).unwrap();
            let symbol = v["data"]["s"].as_str().unwrap().to_owned();
            each(Line::Diff { symbol, diff: Diff::of(&v["data"]) });
        } else if json.contains("lastUpdateId") {
            let v: Value = serde_json::from_str(json).unwrap();
            let symbol = request.split(['?', '&']).find_map(|p| p.strip_prefix("symbol=")).map(str::to_owned);
            let id = v["lastUpdateId"].as_i64().unwrap();
            each(Line::Snapshot { symbol, id, bids: levels(&v["bids"]), asks: levels(&v["asks"]) });
        }
    }
    Some(())
}
