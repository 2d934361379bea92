//! Interval boundaries: what is open is split there, so that each part says what was proven in its interval.
//!
//! What is missing on one connection when an interval ends may still come by another one. Then the split waits for it, two
//! seconds at most: its rows are the same, but lie in the part in which they are told. So does that of a stream whose
//! connections are silent, or whose book lacks what another connection brought, until one of them lives or all are gone, or the next interval ends: only then it is known how long the stream was
//! covered. The end of a UTC day waits for nothing: a day can be read alone.

use serde::{Deserialize, Serialize};

use super::FoldSink;
use super::frames::Known;
use super::gaps::Cover;
use super::state::{Core, OpenGap, Stream};
use super::streams::GapEnd;
use crate::model::{InstrumentId, Record, StreamId, time};

/// A boundary at which what is open is still to be split, with what was known of the stream then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Split {
    pub at: i64,
    known: Known,
    /// The stretch of proof that was open.
    cover: Option<Cover>,
}

impl Stream {
    /// Whether what is open is split at this boundary, whatever it waits for.
    pub fn is_split_for_good(&self, at: i64) -> bool {
        self.split.is_some() || time::floor_to(at, time::NS_PER_DAY) == at
    }
}

impl Core {
    /// An interval ends: what is open is split, or waits for what other connections may bring.
    pub(super) fn interval_ends<S: FoldSink>(&mut self, at: i64, rec: &Record<'_>, sink: &mut S) {
        for i in 0..self.insts.len() {
            let id = InstrumentId(i as u32);
            let stream = self.insts[i].book.as_ref().map_or(StreamId::NONE, |b| b.stream);
            let may_wait = self.streams.get(stream.0 as usize).is_some_and(|s| !s.is_split_for_good(at));
            if !may_wait {
                self.waits_in_vain(rec, id, sink);
            }
        }
        for i in 0..self.streams.len() {
            let id = StreamId(i as u32);
            let s = &self.streams[i];
            let lacks = self.missing_beside(id).is_some_and(|since| since < at);
            let open = s.holds() || self.book_waits(id) || self.is_silent(id, at) || lacks;
            if open && !s.is_split_for_good(at) {
                let split = Split { at, known: s.known(at), cover: s.cover };
                self.streams[i].split = Some(split);
            } else {
                // Behind the diffs that waited in vain: since the first of them nothing was proven.
                self.cut_silence_at(id, at, rec, sink);
                self.split_stream(id, at, rec, sink);
            }
        }
    }

    fn split_stream<S: FoldSink>(&mut self, id: StreamId, at: i64, rec: &Record<'_>, sink: &mut S) {
        let s = self.s(id);
        if let Some(c) = s.cover {
            self.close_cover(id, at, "boundary", rec, sink);
            let s = self.s(id);
            let first = if s.kind.is_chained() { s.last_id } else { -1 };
            self.open_cover(id, at.max(c.ts_begin), first, -1, c.conn);
        } else if let Some(g) = s.gap {
            self.close_gap(id, boundary(at), rec, sink);
            self.s(id).gap = Some(OpenGap { ts_begin: at.max(g.ts_begin), ..g });
        }
    }

    /// Whether the book of a stream of diffs waits for what another connection may bring.
    fn book_waits(&self, id: StreamId) -> bool {
        let Some(s) = self.streams.get(id.0 as usize) else { return false };
        let book = self.insts.get(s.instrument.ix()).and_then(|i| i.book.as_ref());
        book.is_some_and(|b| b.stream == id && b.waits())
    }

    /// As [`Core::split_due`], whatever the book waits for.
    pub(super) fn split_waited<S: FoldSink>(&mut self, id: StreamId, rec: &Record<'_>, sink: &mut S) {
        let Some(s) = self.streams.get(id.0 as usize) else { return };
        let Some(split) = s.split else { return };
        let book = self.insts.get(s.instrument.ix()).and_then(|i| i.book.as_ref());
        let waits = book.is_some_and(|b| b.stream == id && b.waits() && b.waited_at(split.at))
            || self.missing_beside(id).is_some_and(|since| since < split.at);
        self.split_due(id, waits, rec, sink);
    }

    /// What is open ends at `ts`: if a boundary before it waits for its split, this is the time.
    pub(super) fn split_before<S: FoldSink>(
        &mut self,
        id: StreamId,
        ts: i64,
        rec: &Record<'_>,
        sink: &mut S,
    ) {
        let s = self.s(id);
        let Some(split) = s.split.filter(|p| p.at <= ts) else { return };
        s.split = None;
        let now = (s.last_id, s.rseq_last, s.spoke, s.conn, s.left);
        if let Some(c) = s.cover.filter(|c| c.ts_begin < split.at) {
            let was = split.known;
            (s.last_id, s.rseq_last, s.spoke) = (was.last_id, was.rseq_last, was.spoke);
            (s.conn, s.left) = (was.carried.conn, was.carried);
            // Its first frame may have come since. Of a stretch that began since it is not known.
            let before = split.cover.filter(|b| b.ts_begin == c.ts_begin);
            let (rseq_begin, conn) = before.map_or((-1, c.conn), |b| (b.rseq_begin, b.conn));
            s.cover = Some(Cover { rseq_begin, conn, ..c });
            let first = if s.kind.is_chained() { was.last_id } else { -1 };
            self.end_cover(id, split.at, "boundary", rec, sink);
            self.open_cover(id, split.at, first, -1, c.conn);
        } else if let Some(g) = s.gap.filter(|g| g.ts_begin < split.at) {
            self.end_gap(id, boundary(split.at), rec, sink);
            self.s(id).gap = Some(OpenGap { ts_begin: split.at, ..g });
        }
        let s = self.s(id);
        (s.last_id, s.rseq_last, s.spoke, s.conn, s.left) = now;
    }

    /// Splits what is open if nothing is waited for any more that was missing before the boundary. `waits`: the book's diffs
    /// still do.
    pub(super) fn split_due<S: FoldSink>(
        &mut self,
        id: StreamId,
        waits: bool,
        rec: &Record<'_>,
        sink: &mut S,
    ) {
        let Some(s) = self.streams.get(id.0 as usize) else { return };
        let Some(split) = s.split else { return };
        let held = s.holes.iter().filter_map(|h| h.held).any(|h| h.end <= split.at);
        if !waits && !held {
            self.split_before(id, split.at, rec, sink);
        }
    }
}

/// A gap that goes on behind a boundary.
fn boundary(at: i64) -> GapEnd<'static> {
    GapEnd::at(at, "boundary")
}
