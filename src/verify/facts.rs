//! What the tables say that coverage rests on, in memory that grows with the number of gaps, not of rows.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashSet;

use super::report::Report;
use super::spans::Spans;
use crate::dataset::read::Batch;
use crate::dataset::{DatasetError, PartRecord};
use crate::model::{AuditVerdict, ConnId, GapCause, LaneId, flags};

use super::report::CheckId;

/// One frame or body.
pub(super) type FrameId = (ConnId, i64);

/// A stream as `coverage` and `gaps` name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StreamKey {
    pub lane: LaneId,
    pub venue: String,
    pub stream: String,
}

/// A book from the snapshot that was proven to the row that cleared it.
#[derive(Clone, Debug)]
pub(super) struct BookProof {
    /// Whose book.
    pub instrument: String,
    /// `ts_recv` of the snapshot's rows.
    pub begin: i64,
    /// The first diff: names the stream, by its frame.
    pub first: Option<FrameId>,
    /// The first on each further connection: which are still in `raw` is not known here.
    pub later: Vec<FrameId>,
    /// `ts_recv` of the last row applied.
    pub last_ts: i64,
    pub last: FrameId,
    /// The row that cleared the book: its time, and the frame that showed the loss.
    pub end: Option<(i64, FrameId)>,
}

impl BookProof {
    /// Whether a diff of this connection is among those that name the stream.
    pub fn knows(&self, conn: ConnId) -> bool {
        self.first.iter().chain(self.later.iter().rev()).any(|f| f.0 == conn)
    }
}

/// Trades whose ids follow each other.
#[derive(Clone, Debug)]
pub(super) struct TradeRun {
    /// How often the venue's ids had begun anew before it.
    pub count: u32,
    pub first_id: i64,
    pub last_id: i64,
    pub first_ts: i64,
    pub last_ts: i64,
    pub first: FrameId,
    pub last: FrameId,
    /// The run before it in the list is what came before: nothing between them was unreadable.
    pub follows: bool,
    /// Earlier files were not looked at: what came before it is not known, be there a run in the list or not.
    pub after_unknown: bool,
    /// Where it begins.
    pub file: String,
    pub row: i64,
}

/// Ids that a `gaps` row calls missing: `(before, after]`.
#[derive(Clone, Debug)]
pub(super) struct Hole {
    pub before: i64,
    pub after: i64,
    /// When its gap began.
    pub begin: i64,
    pub file: String,
    pub row: i64,
}

/// A gap because the recorder did not run.
#[derive(Clone, Debug)]
pub(super) struct Stopped {
    pub begin: i64,
    /// `i64::MAX` if it is open.
    pub end: i64,
    pub cause: GapCause,
    pub file: String,
    pub row: i64,
}

/// A row of `coverage` or `gaps` that begins inside another one: a fault, unless the clock was set back.
#[derive(Clone, Debug)]
pub(super) struct Inside {
    pub begin: i64,
    pub before_end: i64,
    pub file: String,
    pub row: i64,
}

/// What `coverage` and `gaps` say of a stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Stated {
    pub cover: Spans,
    pub gaps: Spans,
    pub holes: Vec<Hole>,
    pub stopped: Vec<Stopped>,
    /// Stretches without an end.
    pub open: Vec<(bool, i64)>,
    /// Rows that begin before the one in front of them ended.
    pub inside: Vec<Inside>,
    last_cover_end: i64,
    last_gap_end: i64,
}

/// Everything that the first pass learns.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Frames with which a stream's ids begin anew, as `gaps` says.
    pub anew: FxHashSet<FrameId>,
    /// Whether everything was looked at from the first row on.
    pub partial: bool,
    /// Only this venue's streams are judged.
    pub venue: Option<String>,
    pub books: Vec<BookProof>,
    /// Runs by instrument and whether they are of aggregates, in order.
    pub runs: BTreeMap<(String, bool), Vec<TradeRun>>,
    /// Of the same: ids that were missing and came late, behind the number of their count.
    pub late: BTreeMap<(String, bool), BTreeSet<(u32, i64)>>,
    pub stated: BTreeMap<StreamKey, Stated>,
    /// Frames that cleared a book.
    pub clearing: FxHashSet<FrameId>,
    /// Those of them that could not be read, or were snapshots that showed another book.
    pub unreadable: FxHashSet<FrameId>,
    /// Instruments of whose book or trades a file could not be read.
    pub torn: BTreeSet<String>,
    /// Tables of which a file could not be read that everything rests on.
    pub lost: BTreeSet<&'static str>,
    /// A file of each lane's `coverage` and `gaps` per interval, to name where a stream's rows stand.
    pub places: BTreeMap<(LaneId, String, bool), Vec<(i64, String)>>,
}

impl Facts {
    /// The file of `coverage` (or `gaps`) in which a stream's row for this time stands, "" if unknown.
    pub fn place(&self, key: &StreamKey, is_cover: bool, ts: i64) -> &str {
        let list = self.places.get(&(key.lane, key.venue.clone(), is_cover));
        let found = list.and_then(|l| l.iter().rev().find(|(start, _)| *start <= ts).or(l.first()));
        found.map_or("", |(_, path)| path)
    }
}

/// What a visitor writes to.
pub(super) struct Cx<'a> {
    pub report: &'a mut Report,
    pub facts: &'a mut Facts,
}

/// Looks at the rows of one group of files: an instrument's of one table, or a lane's.
pub(super) trait Visitor {
    /// A file begins. `known`: nothing before it is missing, so that its state can be held against it.
    fn part(&mut self, _p: &PartRecord, _known: bool, _cx: &mut Cx<'_>) {}
    /// Some of its rows.
    fn batch(&mut self, p: &PartRecord, b: &Batch, cx: &mut Cx<'_>) -> Result<(), DatasetError>;
    /// A file that cannot be read stands here.
    fn skip(&mut self, _p: &PartRecord, _cx: &mut Cx<'_>) {}
    /// There are no more files.
    fn end(&mut self, _cx: &mut Cx<'_>) {}
}

/// `coverage` and `gaps`.
pub(super) struct StatedRows {
    pub is_cover: bool,
}

impl Visitor for StatedRows {
    fn part(&mut self, p: &PartRecord, _known: bool, cx: &mut Cx<'_>) {
        let places = cx.facts.places.entry((p.lane, p.venue.clone(), self.is_cover)).or_default();
        places.push((p.interval_start, p.path.clone()));
    }

    fn batch(&mut self, p: &PartRecord, b: &Batch, cx: &mut Cx<'_>) -> Result<(), DatasetError> {
        let (row, stream) = (b.i64("row")?, b.text("stream")?);
        let (begin, end) = (b.i64("ts_begin")?, b.i64("ts_end")?);
        let ids = match self.is_cover {
            true => None,
            false => Some((b.i64("seq_before")?, b.i64("seq_after")?, b.text("cause")?)),
        };
        if !self.is_cover {
            begins_anew(b, cx.facts)?;
        }
        let late = b.i32("flags")?;
        for i in 0..b.rows() {
            let key = StreamKey { lane: p.lane, venue: p.venue.clone(), stream: stream.value(i).to_owned() };
            let s = cx.facts.stated.entry(key).or_default();
            if end[i] != 0 && end[i] < begin[i] {
                cx.report.fault(CheckId::Coverage, &p.path, row[i], || {
                    format!("{}: ends at {} before it begins at {}", stream.value(i), end[i], begin[i])
                });
                continue;
            }
            let last = if self.is_cover { &mut s.last_cover_end } else { &mut s.last_gap_end };
            if begin[i] < *last && late[i] & flags::BAD_TS_RECV == 0 {
                let (before_end, file) = (*last, p.path.clone());
                s.inside.push(Inside { begin: begin[i], before_end, file, row: row[i] });
            }
            let last = if self.is_cover { &mut s.last_cover_end } else { &mut s.last_gap_end };
            *last = (*last).max(end[i]);
            if end[i] == 0 {
                s.open.push((self.is_cover, begin[i]));
            } else if self.is_cover {
                s.cover.push(begin[i], end[i]);
            } else {
                s.gaps.push(begin[i], end[i]);
            }
            let Some((before, after, cause)) = ids else { continue };
            match GapCause::from_str(cause.value(i)) {
                None => cx.report.fault(CheckId::Coverage, &p.path, row[i], || {
                    format!("{}: unknown cause {:?}", stream.value(i), cause.value(i))
                }),
                Some(cause @ (GapCause::Operator | GapCause::ProcessCrash | GapCause::PowerLoss)) => {
                    let (begin, end) = (begin[i], if end[i] == 0 { i64::MAX } else { end[i] });
                    s.stopped.push(Stopped { begin, end, cause, file: p.path.clone(), row: row[i] });
                }
                Some(_) => {}
            }
            if before[i] >= 0 {
                let (before, after) = (before[i], after[i]);
                let hole = Hole { before, after, begin: begin[i], file: p.path.clone(), row: row[i] };
                s.holes.push(hole);
            }
        }
        cx.report.count(
            CheckId::Coverage,
            if self.is_cover { "coverage_rows" } else { "gap_rows" },
            b.rows() as i64,
        );
        Ok(())
    }

    fn skip(&mut self, _p: &PartRecord, cx: &mut Cx<'_>) {
        cx.facts.lost.insert(if self.is_cover { "coverage" } else { "gaps" });
    }
}

/// Which frames bring ids that fall below what came before and stay there: their gap says an id before it and none after.
fn begins_anew(b: &Batch, facts: &mut Facts) -> Result<(), DatasetError> {
    let (before, after, by) = (b.i64("seq_before")?, b.i64("seq_after")?, b.text("recovered_by")?);
    let (conn, rseq) = (b.i64("conn")?, b.i64("rseq_after")?);
    let is_anew = |i: &usize| before[*i] >= 0 && after[*i] < 0 && rseq[*i] >= 0 && by.value(*i) == "frame";
    facts.anew.extend((0..b.rows()).filter(is_anew).map(|i| (conn[i], rseq[i])));
    Ok(())
}

/// `rejects`: which frames could not be read, of those that cleared a book.
pub(super) struct RejectRows;

impl Visitor for RejectRows {
    fn batch(&mut self, _p: &PartRecord, b: &Batch, cx: &mut Cx<'_>) -> Result<(), DatasetError> {
        let (conn, rseq) = (b.i64("conn")?, b.i64("rseq")?);
        for id in conn.iter().copied().zip(rseq.iter().copied()) {
            if cx.facts.clearing.contains(&id) {
                cx.facts.unreadable.insert(id);
            }
        }
        Ok(())
    }
}

/// `audits`: which snapshots cleared a book that was not what they show. All that was sent before them had come.
pub(super) struct AuditRows;

impl Visitor for AuditRows {
    fn batch(&mut self, _p: &PartRecord, b: &Batch, cx: &mut Cx<'_>) -> Result<(), DatasetError> {
        let (conn, rseq, verdict) = (b.i64("conn")?, b.i64("rseq")?, b.text("verdict")?);
        for (i, id) in conn.iter().copied().zip(rseq.iter().copied()).enumerate() {
            let word = AuditVerdict::ALL.iter().find(|v| v.as_str() == verdict.value(i));
            let differs = word == Some(&AuditVerdict::Differs);
            if differs && cx.facts.clearing.contains(&id) {
                cx.facts.unreadable.insert(id);
            }
            cx.report.count(CheckId::Books, word.map_or("audits_unknown", |v| counted(*v)), 1);
        }
        Ok(())
    }
}

/// The name under which a verdict is counted.
fn counted(v: AuditVerdict) -> &'static str {
    match v {
        AuditVerdict::Equal => "audits_equal",
        AuditVerdict::EqualButStraddle => "audits_equal_but_straddle",
        AuditVerdict::Differs => "audits_differ",
        AuditVerdict::NotComparable => "audits_not_comparable",
    }
}

/// `raw` itself is read by the second pass; here only whether all of it can be.
pub(super) struct RawRows;

impl Visitor for RawRows {
    fn batch(&mut self, _p: &PartRecord, _b: &Batch, _cx: &mut Cx<'_>) -> Result<(), DatasetError> {
        Ok(())
    }

    fn skip(&mut self, _p: &PartRecord, cx: &mut Cx<'_>) {
        cx.facts.lost.insert("raw");
    }
}
