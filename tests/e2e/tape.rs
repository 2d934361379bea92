//! A dataset as recorded, read for judging: frames by connection, gaps, coverage, what connections did.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lobtape::dataset::read::{self, Batch, Want};
use lobtape::dataset::{Dataset, Table, raw};
use lobtape::model::control::from_payload;
use lobtape::model::{ConnEvent, Kind, Record, Subscribed};

/// One received message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    pub ts_recv: i64,
    pub ts_kernel: i64,
    pub len: u64,
    pub crc: u32,
}

/// One connection as recorded.
#[derive(Clone, Debug, Default)]
pub struct Conn {
    pub venue: String,
    pub url: String,
    pub streams: Vec<String>,
    /// In the order of `rseq`, which is their position.
    pub frames: Vec<Frame>,
    /// REST answers on it.
    pub bodies: i64,
    /// Cause and time of its end, if the record has one.
    pub closed: Option<(String, i64)>,
    /// The recorder gave it up: nothing is lost by its end.
    pub retired: bool,
}

/// One REST answer.
#[derive(Clone, Debug)]
pub struct Body {
    pub venue: String,
    pub path: String,
    pub status: i32,
    pub crc: u32,
}

/// A row of `gaps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    pub stream: String,
    pub cause: String,
    pub before: i64,
    pub after: i64,
    pub begin: i64,
    pub end: i64,
    pub recovered_by: String,
}

/// A row of `coverage`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cover {
    pub stream: String,
    pub begin: i64,
    pub end: i64,
    pub end_cause: String,
}

/// Everything of a dataset that is not an event row.
#[derive(Debug, Default)]
pub struct Tape {
    pub conns: BTreeMap<i64, Conn>,
    pub bodies: Vec<Body>,
    /// Number of records per lane: `lane_seq` goes from 0 to one below it.
    pub lanes: BTreeMap<u16, i64>,
    /// What is wrong with the record itself.
    pub faults: Vec<String>,
}

impl Tape {
    /// Reads `raw`.
    pub fn load(root: &Path) -> Tape {
        let ds = Dataset::open(root).unwrap();
        let mut tape = Tape::default();
        for mut lane in raw::lanes(&ds, "0000-00-00", "9999-99-99").unwrap() {
            let (id, mut next) = (lane.lane(), 0);
            while let Some((rec, _)) = lane.next().unwrap_or_else(|e| panic!("raw of lane {id}: {e}")) {
                if rec.lane_seq != next {
                    tape.faults.push(format!("lane {id}: record {} where {next} is due", rec.lane_seq));
                }
                next = rec.lane_seq + 1;
                tape.take(&rec);
            }
            tape.lanes.insert(id, next);
        }
        tape
    }

    fn take(&mut self, rec: &Record<'_>) {
        match rec.kind {
            Kind::Connection => {
                let e: ConnEvent = from_payload(rec.payload).unwrap();
                let c = self.conns.entry(rec.conn).or_default();
                match e.event.as_str() {
                    "open" => (c.venue, c.url) = (e.venue, rec.url.to_owned()),
                    "retire" => c.retired = true,
                    "close" => c.closed = Some((e.cause, rec.ts_recv)),
                    _ => {}
                }
            }
            Kind::Subscription => {
                let s: Subscribed = from_payload(rec.payload).unwrap();
                let c = self.conns.entry(rec.conn).or_default();
                c.streams.extend(s.add.into_iter().map(|s| s.name));
            }
            Kind::Frame => {
                let c = self.conns.entry(rec.conn).or_default();
                if rec.rseq != c.frames.len() as i64 {
                    let due = c.frames.len();
                    self.faults
                        .push(format!("connection {}: frame {} where {due} is due", rec.conn, rec.rseq));
                }
                c.frames.push(Frame {
                    ts_recv: rec.ts_recv,
                    ts_kernel: rec.ts_kernel,
                    len: rec.payload.len() as u64,
                    crc: crc32fast::hash(rec.payload),
                });
            }
            Kind::Rest => {
                let c = self.conns.entry(rec.conn).or_default();
                if rec.rseq != c.bodies {
                    let due = c.bodies;
                    self.faults
                        .push(format!("connection {}: body {} where {due} is due", rec.conn, rec.rseq));
                }
                c.bodies += 1;
                let venue = c.venue.clone();
                let (path, crc) = (rec.url.to_owned(), crc32fast::hash(rec.payload));
                self.bodies.push(Body { venue, path, status: rec.status, crc });
            }
            _ => {}
        }
    }
}

/// The batches of a table of one venue ("" where the table has no venue), in the order of parts.
pub fn batches(root: &Path, table: Table, venue: &str, mut each: impl FnMut(&Batch)) {
    let manifest = Dataset::open(root).unwrap().manifest().unwrap();
    let mut parts: Vec<_> =
        manifest.parts().filter(|p| p.table() == Some(table) && p.venue == venue).collect();
    parts.sort_by(|a, b| (&a.symbol, a.order()).cmp(&(&b.symbol, b.order())));
    for p in parts {
        for b in read::open(&root.join(&p.path), Want::default()).unwrap() {
            each(&b.unwrap());
        }
    }
}

/// Rows of `gaps` of a venue, in the order of files and rows.
pub fn gaps(root: &Path, venue: &str) -> Vec<Gap> {
    let mut out = Vec::new();
    batches(root, Table::Gaps, venue, |b| {
        let (stream, cause, by) =
            (b.text("stream").unwrap(), b.text("cause").unwrap(), b.text("recovered_by").unwrap());
        let int = |name| b.i64(name).unwrap();
        let (before, after, begin, end) =
            (int("seq_before"), int("seq_after"), int("ts_begin"), int("ts_end"));
        for i in 0..b.rows() {
            out.push(Gap {
                stream: stream.value(i).to_owned(),
                cause: cause.value(i).to_owned(),
                before: before[i],
                after: after[i],
                begin: begin[i],
                end: end[i],
                recovered_by: by.value(i).to_owned(),
            });
        }
    });
    out
}

/// Rows of `coverage` of a venue, in the order of files and rows.
pub fn coverage(root: &Path, venue: &str) -> Vec<Cover> {
    let mut out = Vec::new();
    batches(root, Table::Coverage, venue, |b| {
        let (stream, cause) = (b.text("stream").unwrap(), b.text("end_cause").unwrap());
        let (begin, end) = (b.i64("ts_begin").unwrap(), b.i64("ts_end").unwrap());
        for i in 0..b.rows() {
            out.push(Cover {
                stream: stream.value(i).to_owned(),
                begin: begin[i],
                end: end[i],
                end_cause: cause.value(i).to_owned(),
            });
        }
    });
    out
}

/// Published files with their hashes.
pub fn files(root: &Path) -> BTreeMap<PathBuf, String> {
    let manifest = Dataset::open(root).unwrap().manifest().unwrap();
    manifest.parts().map(|p| (PathBuf::from(&p.path), p.sha256.clone())).collect()
}
