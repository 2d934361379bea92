//! Holes in the ids of a stream: told at once where nobody can fill them, held for a moment while another connection
//! carries the stream too.
//!
//! A hole that is held is told with the times at which it was found, so the stretch of proof that is open is split
//! afterwards. So it is always told before that stretch ends otherwise ([`Core::tell_holes`]).

use serde::{Deserialize, Serialize};

use super::frames::By;
use super::legs::{LAG_MAX_NS, LEG_WAIT_NS, Mark};
use super::state::{Conn, Core, Detector, OpenGap, Stream};
use super::streams::GapEnd;
use super::{Effect, FoldSink};
use crate::book::DiffIds;
use crate::model::{ConnId, InstrumentId, Record, StreamId, row::GapCause};

/// Ids below the chain's that may come one after the other before they are taken for a count that began anew.
const LATE_MAX: u32 = 16;
/// Holes that are remembered per stream.
const HOLES_MAX: usize = 16;
/// How far below a stream's first id one may come late.
const FIRST_LATE: i64 = 1024;

/// Ids that are missing, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hole {
    pub first: i64,
    pub last: i64,
    /// Not told yet: another connection may still bring them.
    pub held: Option<Held>,
}

/// What is told of a hole if nobody fills it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Held {
    /// From when to when they may have been sent; the end is when the hole was found.
    pub begin: i64,
    pub end: i64,
    pub rseq_before: i64,
    /// Whose frame that is.
    pub spoke_before: By,
    pub rseq_after: i64,
    /// On which connection it was found.
    pub conn: ConnId,
}

/// What tells a count that began anew from ids that come late or twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counting {
    /// The chain's last id when this was written; what others wrote of the chain since makes it void.
    last_id: i64,
    /// The venue's newest time of what was told of this count, ns.
    ts_event: i64,
    /// The last id of one that was below and newer; nothing was told since.
    doubt: Option<i64>,
}

impl Counting {
    /// Whether a trade below the chain shows a new count: two that follow each other and are newer than all that was told,
    /// which what was told once is not. One alone may be an id that lies.
    fn is_anew(&mut self, last_id: i64, (chain_id, ts_event): (i64, i64)) -> bool {
        if self.last_id != last_id || self.ts_event <= 0 || ts_event <= self.ts_event {
            return false;
        }
        self.doubt.replace(chain_id).is_some_and(|before| chain_id > before)
    }

    /// An id was told.
    fn told(&mut self, last_id: i64, ts_event: i64) {
        *self = Counting { last_id, ts_event: self.ts_event.max(ts_event), doubt: None };
    }
}

impl Stream {
    /// A hole that this record shows.
    fn holds_from(&self, begin: i64, rec: &Record<'_>) -> Held {
        let (rseq_before, spoke_before) = (self.rseq_last, self.spoke);
        Held { begin, end: rec.ts_recv, rseq_before, spoke_before, rseq_after: rec.rseq, conn: rec.conn }
    }

    /// Whether ids were missing; they are not any more.
    pub fn fills_hole(&mut self, from: i64, to: i64) -> bool {
        let mut filled = false;
        let mut at = 0;
        while at < self.holes.len() {
            let h = self.holes[at];
            if h.last < from || to < h.first {
                at += 1;
                continue;
            }
            filled = true;
            self.holes.remove(at);
            for (first, last) in [(h.first, from.saturating_sub(1)), (to.saturating_add(1), h.last)] {
                if first <= last {
                    self.holes.insert(at, Hole { first, last, ..h });
                    at += 1;
                }
            }
        }
        filled
    }

    /// Whether a hole is held.
    pub fn holds(&self) -> bool {
        self.holes.iter().any(|h| h.held.is_some())
    }

    /// Counts an id below the chain's, or tells that it is one of a count that began anew.
    fn fell(&mut self, conn: ConnId, chain_id: i64, is_newer: bool, now: i64) -> bool {
        let (alone, quiet) = (self.carriers.len() == 1, now.saturating_sub(self.ts_chain) > LAG_MAX_NS);
        let Some(c) = self.carriers.iter_mut().find(|c| c.conn == conn) else { return false };
        // One that lags behind another keeps its own order.
        let fell = chain_id < c.last_id || (alone && (c.began_alone || quiet));
        c.late = if fell { c.late.saturating_add(1) } else { 0 };
        c.last_id = c.last_id.max(chain_id);
        is_newer || c.late > LATE_MAX
    }

    /// The venue counts anew; what the other connections bring until they fall as well is of the old count.
    fn begins_anew(&mut self, conn: ConnId) {
        self.counting = Counting::default();
        self.holes.clear();
        for c in &mut self.carriers {
            c.behind = c.conn != conn;
            c.late = 0;
        }
    }

    /// Whether what a connection brings is of a count that is over.
    fn is_of_old_count(&mut self, conn: ConnId, chain_id: i64) -> bool {
        let Some(c) = self.carrier(conn).filter(|c| c.behind) else { return false };
        c.behind = chain_id >= c.last_id;
        c.last_id = chain_id;
        c.behind
    }
}

impl Core {
    /// A message of a stream whose ids rise by one. Says whether it is news.
    pub fn chained<S: FoldSink>(
        &mut self,
        id: StreamId,
        conn: &Conn,
        rec: &Record<'_>,
        (chain_id, ts_event): (i64, i64),
        sink: &mut S,
    ) -> bool {
        if id.0 as usize >= self.streams.len() {
            return true;
        }
        if chain_id < 0 {
            return self.seen(id, conn, rec, Mark::None, sink);
        }
        self.races(id, conn, rec, chain_id, sink);
        self.holes_due(id, rec, sink);
        let s = self.s(id);
        let last = s.last_id;
        if s.alive() > 1
            && let Some(c) = s.carrier(conn.id)
        {
            // From here on only its own order tells that the venue counts anew: it may lag behind the other one.
            c.began_alone = false;
        }
        if s.is_of_old_count(conn.id, chain_id) {
            self.counters.duplicates += 1;
            return false;
        }
        let mut anew = false;
        if last >= 0 && chain_id <= last {
            // Late, by the other connection or out of order: the hole that it left is known, and the chain goes on from
            // its greatest id. Or known: the other one brought it, or the venue repeated itself.
            let news = s.fills_hole(chain_id, chain_id);
            let is_newer = !news && chain_id < last && s.counting.is_anew(last, (chain_id, ts_event));
            anew = chain_id < last && s.fell(conn.id, chain_id, is_newer, rec.ts_recv);
            if !anew {
                if news {
                    s.counting.told(s.last_id, ts_event);
                    if !self.held.is_empty() {
                        self.came_late(id, chain_id, rec, sink);
                    }
                    self.split_due(id, false, rec, sink);
                }
                match news {
                    true => self.touch(id, conn, rec),
                    false => self.counters.duplicates += 1,
                }
                return news;
            }
        }
        self.advances(id, rec, chain_id, anew, sink);
        let s = self.s(id);
        (s.last_id, s.ts_chain) = (chain_id, rec.ts_recv);
        s.counting.told(chain_id, ts_event);
        self.touch(id, conn, rec);
        if let Some(c) = self.s(id).carrier(conn.id) {
            (c.last_id, c.late, c.ts_last) = (chain_id, 0, rec.ts_recv);
        }
        true
    }

    /// The chain goes on with this id: what it leaves out is held, or a gap.
    fn advances<S: FoldSink>(
        &mut self,
        id: StreamId,
        rec: &Record<'_>,
        chain_id: i64,
        anew: bool,
        sink: &mut S,
    ) {
        let s = self.s(id);
        let last = s.last_id;
        let after = if last >= 0 && chain_id > last { chain_id - 1 } else { -1 };
        if let Some(c) = s.cover.as_mut().filter(|c| c.id_first < 0) {
            c.id_first = chain_id;
        }
        let mut held = None;
        if s.gap.is_some() {
            // A time without a connection is told also where the ids prove that nothing came in it.
            let by = if after == last { "ids" } else { "frame" };
            let end = gap_end(rec, after, by);
            self.close_gap(id, end, rec, sink);
            self.open_cover(id, rec.ts_recv, chain_id, rec.rseq, rec.conn);
        } else if after > last && s.alive() > 1 {
            // Not before the chain's last id, wherever that came, and not before what came before it here.
            let before = s.carrier(rec.conn).map_or(0, |c| c.ts_last);
            let open = s.cover.map_or(0, |c| c.ts_begin).max(s.split.map_or(0, |p| p.at));
            let begin = s.ts_chain.max(before).max(open);
            held = Some(s.holds_from(begin, rec));
        } else if after > last || anew {
            let begin = self.s(id).known_until();
            self.counters.seq_gaps += 1;
            self.close_cover(id, begin, GapCause::VenueSeqGap.as_str(), rec, sink);
            self.open_gap(id, GapCause::VenueSeqGap, begin, Detector::Ids, last, 0);
            self.close_gap(id, gap_end(rec, after, "frame"), rec, sink);
            self.open_cover(id, rec.ts_recv, chain_id, rec.rseq, rec.conn);
        }
        if anew {
            return self.s(id).begins_anew(rec.conn);
        }
        let first = if last < 0 { chain_id.saturating_sub(FIRST_LATE).max(0) } else { last + 1 };
        self.keep_hole(id, (first, chain_id - 1), held, rec, sink);
    }

    /// Remembers a hole; an older one may have to go for it, which is told then if it was held.
    fn keep_hole<S: FoldSink>(
        &mut self,
        id: StreamId,
        (first, last): (i64, i64),
        held: Option<Held>,
        rec: &Record<'_>,
        sink: &mut S,
    ) {
        if first > last {
            return;
        }
        while self.s(id).holes.len() >= HOLES_MAX {
            self.tell_hole(id, 0, rec, sink);
            self.s(id).holes.remove(0);
        }
        let s = self.s(id);
        // They may still come.
        s.holes.push(Hole { first, last, held });
        if held.is_some() && s.instrument != InstrumentId::NONE {
            let instrument = s.instrument;
            sink.effect(Effect::LegWait { instrument, after_ns: LEG_WAIT_NS });
        }
    }

    /// Tells the holes that were held for long enough.
    pub fn holes_due<S: FoldSink>(&mut self, id: StreamId, rec: &Record<'_>, sink: &mut S) {
        loop {
            let Some(s) = self.streams.get(id.0 as usize) else { return };
            // Oldest first: one that is held is never behind a younger one.
            let due = |h: Held| rec.ts_recv.saturating_sub(h.end) >= LEG_WAIT_NS;
            let Some(at) = s.holes.iter().position(|h| h.held.is_some()) else { return };
            if !s.holes[at].held.is_some_and(due) {
                return;
            }
            self.tell_hole(id, at, rec, sink);
        }
    }

    /// Tells all that are held: what they lie in ends.
    pub fn tell_holes<S: FoldSink>(&mut self, id: StreamId, rec: &Record<'_>, sink: &mut S) {
        while let Some(at) = self.s(id).holes.iter().position(|h| h.held.is_some()) {
            self.tell_hole(id, at, rec, sink);
        }
    }

    #[cold]
    fn tell_hole<S: FoldSink>(&mut self, id: StreamId, at: usize, rec: &Record<'_>, sink: &mut S) {
        let s = self.s(id);
        let Hole { first, last, held } = s.holes[at];
        let Some(held) = held else { return };
        s.holes[at].held = None;
        let waits = s.gap.is_some_and(|g| waits(&g));
        if !waits && s.cover.is_none() {
            // Another gap is open, and owns what is missing in it.
            return;
        }
        // The rows say what was known when the hole was found.
        let now = (s.last_id, s.rseq_last, s.spoke);
        (s.last_id, s.rseq_last, s.spoke) = (first - 1, held.rseq_before, held.spoke_before);
        let from = s.cover.map_or(0, |c| c.ts_begin).max(s.gap.map_or(0, |g| g.ts_begin));
        let begin = held.begin.max(from);
        let end = held.end.max(begin);
        self.counters.seq_gaps += 1;
        if waits {
            let stop = GapEnd::at(begin, "");
            self.end_gap(id, stop, rec, sink);
        } else {
            self.end_cover(id, begin, GapCause::VenueSeqGap.as_str(), rec, sink);
        }
        self.open_gap(id, GapCause::VenueSeqGap, begin, Detector::Ids, first - 1, 0);
        let stop = GapEnd {
            ts_end: end,
            seq_after: last,
            rseq_after: held.rseq_after,
            epoch_after: 0,
            recovered_by: "frame",
        };
        self.end_gap(id, stop, rec, sink);
        if waits {
            self.open_gap(id, GapCause::ResyncWait, end, Detector::Ids, -1, 0);
        } else {
            self.open_cover(id, end, last.saturating_add(1), held.rseq_after, held.conn);
        }
        let s = self.s(id);
        (s.last_id, s.rseq_last, s.spoke) = now;
        self.split_waited(id, rec, sink);
    }

    /// While a book is not proven its chain is followed all the same: an event that does not follow the one before shows
    /// a hole, and the first one after a loss shows where the loss ended.
    pub fn depth_follows<S: FoldSink>(
        &mut self,
        id: StreamId,
        rec: &Record<'_>,
        ids: &DiffIds,
        sink: &mut S,
    ) {
        if id.0 as usize >= self.streams.len() {
            return;
        }
        self.holes_due(id, rec, sink);
        let s = self.s(id);
        let before = if ids.prev >= 0 { ids.prev } else { ids.first.saturating_sub(1) };
        let Some(g) = s.gap else { return };
        let last = s.last_id;
        if s.holds() {
            s.fills_hole(before.saturating_add(1), ids.last);
        }
        self.split_waited(id, rec, sink);
        if waits(&g) {
            if last < 0 || before <= last {
                return;
            }
            let s = self.s(id);
            let begin = s.known_until();
            if s.alive() > 1 {
                let held = s.holds_from(begin, rec);
                return self.keep_hole(id, (last + 1, before), Some(held), rec, sink);
            }
            self.counters.seq_gaps += 1;
            let end = GapEnd::at(begin, "");
            self.close_gap(id, end, rec, sink);
            self.open_gap(id, GapCause::VenueSeqGap, begin, Detector::Ids, last, 0);
        }
        let after = if last >= 0 { before.max(last) } else { -1 };
        self.close_gap(id, gap_end(rec, after, "frame"), rec, sink);
        self.open_gap(id, GapCause::ResyncWait, rec.ts_recv, Detector::Ids, -1, 0);
    }
}

/// Whether a gap is the time in which a book waits for its proof, and its chain is followed. One that begins behind a known id
/// waits for the next one: what is missing between the two is not known yet.
pub(super) fn waits(g: &OpenGap) -> bool {
    let is_wait = matches!(g.cause, GapCause::InitialSync | GapCause::ResyncWait | GapCause::RateLimited);
    is_wait && g.seq_before < 0
}

/// A gap that ends with a frame.
fn gap_end<'a>(rec: &Record<'_>, seq_after: i64, recovered_by: &'a str) -> GapEnd<'a> {
    GapEnd { ts_end: rec.ts_recv, seq_after, rseq_after: rec.rseq, epoch_after: 0, recovered_by }
}
