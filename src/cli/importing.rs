//! What `import`, `checkpoints` and `replay` share: recordings as records, and what is said of those that are not what
//! they should be.

use std::path::PathBuf;

use super::{DATA, Fault, WELL};
use crate::fold::{Effect, Fold, FoldCounters, FoldSink, RULES_VERSION};
use crate::import::{self, ImportError, ImportOptions, ImportStats, Position};
use crate::model::{Head, InstrumentId, InstrumentVersion, Kind, Record, RejectCause, RestKind, RowRef};
use crate::venue::{self, Venue};

/// Records that are looked at to see which venue a recording is of.
const LOOK: u64 = 20_000;

/// How the records of an import are cut and counted.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Length of an interval, ns.
    pub interval_ns: i64,
    /// Bucket of `book_top`, ns.
    pub book_top_interval_ns: i64,
    /// Memory for open parts, bytes.
    pub lane_memory_bytes: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            interval_ns: 3_600_000_000_000,
            book_top_interval_ns: 100_000_000,
            lane_memory_bytes: 256 << 20,
        }
    }
}

/// A venue by its id.
///
/// # Errors
/// An unknown id; the message lists the known ones.
pub fn venue(id: &str) -> anyhow::Result<&'static dyn Venue> {
    match venue::by_id(id) {
        Some((_, v)) => Ok(v),
        None => {
            let known: Vec<_> = venue::all().iter().map(|v| v.spec().id).collect();
            Err(Fault::usage(anyhow::anyhow!("unknown venue {id:?}; known: {}", known.join(", "))))
        }
    }
}

/// What takes the records.
pub type Take<'a> =
    &'a mut dyn FnMut(&Record<'_>, Position) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Reads recordings and hands over their records.
///
/// # Errors
/// An unknown venue, files that cannot be read, and whatever `take` says.
pub fn records(
    files: &[PathBuf],
    venue_id: &str,
    opts: &Options,
    take: Take<'_>,
) -> anyhow::Result<ImportStats> {
    let v = venue(venue_id)?;
    read(files, v, opts, take).map_err(|e| match (e.is_damage(), e.is_usage()) {
        (true, _) => Fault::data(e),
        (_, true) => Fault::usage(e),
        _ => e.into(),
    })
}

fn read(
    files: &[PathBuf],
    v: &'static dyn Venue,
    opts: &Options,
    take: Take<'_>,
) -> Result<ImportStats, ImportError> {
    let snapshot_url = |symbol: &str| v.snapshot_request(symbol).path;
    // Who answers with a word asks with one, or is asked with one.
    let beat = v.spec().heartbeat;
    let words = match beat.ping.map(|p| p.0).into_iter().chain(beat.pong).collect::<Vec<_>>() {
        words if words.iter().all(|w| w.bytes().all(|b| b.is_ascii_lowercase())) => words,
        _ => Vec::new(),
    };
    let opts = ImportOptions {
        venue: v.spec().id,
        snapshot_url: &snapshot_url,
        words: &words,
        rules_version: RULES_VERSION,
        interval_ns: opts.interval_ns,
        book_top_interval_ns: opts.book_top_interval_ns,
        lane_memory_bytes: opts.lane_memory_bytes,
    };
    import::import(files, &opts, take)
}

/// Where a fold first refused something.
#[derive(Clone, Copy, Debug, Default)]
pub struct FirstReject {
    at: Option<Position>,
}

impl FirstReject {
    /// After a record: what the fold has counted, and where the record came from.
    pub fn note(&mut self, c: &FoldCounters, at: Position) {
        if c.rejects > 0 && self.at.is_none() {
            self.at = Some(at);
        }
    }
}

/// What there is to say of recordings that were read to their end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// One line each, for people.
    pub lines: Vec<String>,
    /// Some of it is not what was recorded, or not of this venue.
    pub is_fault: bool,
}

impl Judged {
    /// Tells it on stderr; the exit code that follows.
    pub fn tell(&self) -> u8 {
        for line in &self.lines {
            super::out::complain(line);
        }
        self.code()
    }

    /// The exit code that follows.
    pub fn code(&self) -> u8 {
        if self.is_fault { DATA } else { WELL }
    }
}

/// Judges recordings that were read. A compressed file that ends in the middle is not all that was recorded, and one whose
/// checksum is wrong is something else.
///
/// # Errors
/// As [`records`]: they are looked at once more where something was refused.
pub fn judge(
    files: &[PathBuf],
    venue_id: &str,
    stats: &ImportStats,
    counters: &FoldCounters,
    first: FirstReject,
) -> anyhow::Result<Judged> {
    let mut j = Judged { lines: Vec::new(), is_fault: stats.is_harmed() || stats.odd_stamps > 0 };
    let place = |at: Position| {
        let file = files.get(at.file as usize).map_or_else(String::new, |f| f.display().to_string());
        format!("{file} line {}", at.line)
    };
    j.lines.extend(
        stats
            .cut
            .iter()
            .map(|c| format!("{c}: the file is cut, it ends there; what could be read was taken")),
    );
    j.lines
        .extend(stats.damaged.iter().map(|d| format!("damaged: {d}; what could be read before was taken")));
    j.lines.extend(stats.odd.iter().map(|o| {
        format!("{o}: no line before or behind it was received near that time: not believed, see the table rejects")
    }));
    if stats.odd_stamps > stats.odd.len() as u64 {
        j.lines.push(format!("{} lines have such a receive time", super::out::count(stats.odd_stamps)));
    }
    if let Some(at) = first.at {
        let n = super::out::count(counters.rejects);
        j.lines.push(format!("{n} frames or bodies could not be read, the first at {}", place(at)));
    }
    let no_book = stats.bodies > 0 && counters.syncs == 0;
    if first.at.is_none() && !no_book && counters.others * 2 <= counters.frames {
        return Ok(j);
    }
    let mine = Look::at(files, venue(venue_id)?)?;
    let mut others: Vec<Look> = Vec::new();
    for v in venue::all().iter().filter(|v| v.spec().id != venue_id) {
        others.push(Look::at(files, *v)?);
    }
    if let Some((at, what)) = mine.is_foreign(&others) {
        let best = others.iter().filter(|o| o.reads_better(&mine)).map(Look::rank).min();
        let names = others.iter().filter(|o| Some(o.rank()) == best).map(|o| o.venue).collect::<Vec<_>>();
        let remedy = match names.as_slice() {
            [] => "no other venue that we know speaks so either; `lobtape venues` lists them".to_owned(),
            names => format!("it can be read with --venue {}", names.join(" or --venue ")),
        };
        j.is_fault = true;
        j.lines.push(format!("{}: {what}: this is no recording of {venue_id}; {remedy}", place(at)));
    }
    Ok(j)
}

/// How the beginning of recordings reads as one venue's.
struct Look {
    venue: &'static str,
    counters: FoldCounters,
    /// Snapshots that the venue's own paths brought.
    snapshots: u64,
    /// The first body that is nothing of the venue.
    strange: Option<Position>,
    /// The first frame that was refused or is nothing that we know, and why.
    first: Option<(Position, String)>,
    is_dialect: bool,
    /// The first frame of a stream of book updates by a name that the venue does not have.
    no_book: Option<Position>,
}

impl Look {
    fn at(files: &[PathBuf], v: &'static dyn Venue) -> anyhow::Result<Look> {
        let counters = FoldCounters::default();
        let venue = v.spec().id;
        let mut look = Look {
            venue,
            counters,
            snapshots: 0,
            strange: None,
            first: None,
            is_dialect: false,
            no_book: None,
        };
        let (mut fold, mut n) = (Fold::new(1), 0);
        let seen = read(files, v, &Options::default(), &mut |rec, at| {
            let mut why = Refusal::default();
            fold.step(rec, &mut why);
            if rec.kind == Kind::Rest {
                match v.rest_kind(rec.url) {
                    RestKind::Depth { .. } => look.snapshots += 1,
                    RestKind::Other if look.strange.is_none() => look.strange = Some(at),
                    _ => {}
                }
            }
            let c = fold.counters();
            if c.others > look.counters.others && why.0.is_none() {
                why.0 = Some((String::new(), "an event that has no table".to_owned()));
            }
            look.counters = c;
            if let Some((cause, detail)) = why.0 {
                look.is_dialect |= cause == RejectCause::Dialect.as_str();
                if cause == RejectCause::UnknownStream.as_str() && is_of_book(rec.payload) {
                    look.no_book.get_or_insert(at);
                }
                look.first.get_or_insert((at, detail));
            }
            n += 1;
            if n < LOOK { Ok(()) } else { Err("enough".into()) }
        });
        match seen {
            Ok(_) | Err(ImportError::Consumer(_)) => Ok(look),
            Err(e) => Err(e.into()),
        }
    }

    /// Frames that are nothing of this venue.
    fn bad(&self) -> u64 {
        self.counters.rejects + self.counters.others
    }

    /// Less is better: what cannot be read, then what can.
    fn rank(&self) -> (u64, u64, u64) {
        (self.bad(), u64::MAX - self.snapshots, u64::MAX - self.counters.applied)
    }

    fn reads_better(&self, mine: &Look) -> bool {
        self.bad() * 2 < mine.bad() || (self.bad() <= mine.bad() && self.snapshots > mine.snapshots)
    }

    /// Where and why these recordings are not of this venue, if they are not: they say so themselves, or most of them
    /// cannot be read and another venue's reader can.
    fn is_foreign(&self, others: &[Look]) -> Option<(Position, String)> {
        let better = others.iter().any(|o| o.reads_better(self));
        // Trades and quotes look alike at many venues; what books are made of does not.
        let all = others.iter().any(|o| !o.is_dialect && o.no_book.is_none() && o.bad() * 10 <= self.bad());
        if let Some(at) = self.no_book.filter(|_| all) {
            return Some((at, "a stream of book updates that the venue does not have".to_owned()));
        }
        let mostly = self.bad() * 2 > self.counters.frames;
        if self.is_dialect || (mostly && better) {
            return self.first.clone();
        }
        let at = self.strange.filter(|_| self.snapshots == 0 && better)?;
        Some((at, "a snapshot by a path that the venue does not have".to_owned()))
    }
}

/// Whether an enveloped frame is of a stream of book updates.
fn is_of_book(frame: &[u8]) -> bool {
    frame[..frame.len().min(160)].windows(6).any(|w| w == b"@depth")
}

/// Why the last record was refused: the cause's word and the detail.
#[derive(Default)]
struct Refusal(Option<(String, String)>);

impl FoldSink for Refusal {
    const ROWS: bool = true;
    fn row(&mut self, _: &Head, row: RowRef<'_>) {
        if let RowRef::Reject(r) = row {
            self.0.get_or_insert_with(|| (r.cause.to_owned(), r.detail.to_owned()));
        }
    }
    fn instrument(&mut self, _: InstrumentId, _: &InstrumentVersion) {}
    fn effect(&mut self, _: Effect<'_>) {}
}
