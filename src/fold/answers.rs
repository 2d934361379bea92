//! What a venue says of a subscription, and books whose ids end with their connection.

use super::state::{Conn, Core, Detector, Stream};
use super::streams::GapEnd;
use super::{Effect, FoldSink};
use crate::book::{DiffIds, Sequencer};
use crate::model::{ConnId, IdPolicy, Record, StreamId, StreamKind, row::GapCause};

impl Core {
    /// A stream without a chain is there (again): its gap ends.
    #[cold]
    pub fn resumes<S: FoldSink>(&mut self, id: StreamId, rec: &Record<'_>, by: &str, sink: &mut S) {
        let s = self.s(id);
        if s.gap.is_none() || s.kind == StreamKind::DepthDiff || s.alive() == 0 {
            return;
        }
        let end = GapEnd {
            ts_end: rec.ts_recv,
            seq_after: -1,
            rseq_after: rec.rseq,
            epoch_after: 0,
            recovered_by: by,
        };
        self.close_gap(id, end, rec, sink);
        self.open_cover(id, rec.ts_recv, -1, -1, rec.conn);
    }

    /// The venue confirmed a subscription. What it had refused before, while another connection carried it, this one carries as well
    /// from now on.
    pub fn acknowledged<S: FoldSink>(&mut self, id: StreamId, conn: &Conn, rec: &Record<'_>, sink: &mut S) {
        let carries = |s: &Stream| s.carriers.iter().any(|c| c.conn == conn.id);
        if self.streams.get(id.0 as usize).is_some_and(|s| !carries(s)) {
            self.joins(id, conn, rec, sink);
        }
        let chained = |s: &Stream| s.kind.is_chained() && s.last_id >= 0;
        if self.streams.get(id.0 as usize).is_some_and(|s| !chained(s)) {
            self.resumes(id, rec, "acknowledgement", sink);
        }
        self.is_taken_after_all(id, conn.id, rec, sink);
        sink.effect(Effect::Confirmed { stream: id });
    }

    /// The venue refused a subscription: nothing of it is proven until it says otherwise.
    pub fn refused<S: FoldSink>(&mut self, id: StreamId, rec: &Record<'_>, sink: &mut S) {
        let Some(s) = self.streams.get_mut(id.0 as usize) else { return };
        if s.alive() > 1 && s.left_by(rec.conn, 0).is_some() {
            // The other leg has it.
            return;
        }
        if s.gap.is_some_and(|g| g.cause == GapCause::SubscribeRefused) {
            return;
        }
        let (last, inst, kind) = (s.last_id, s.instrument, s.kind);
        // When a venue that had confirmed a book gave it up is not known: not before its last message.
        let is_proven_book = kind == StreamKind::DepthDiff && s.cover.is_some();
        let at = if is_proven_book { s.known_until() } else { rec.ts_recv };
        if kind == StreamKind::DepthDiff && self.feeds(inst, id) {
            self.forget_book(rec, inst, sink);
        }
        self.close_cover(id, at, GapCause::SubscribeRefused.as_str(), rec, sink);
        let end = GapEnd::at(rec.ts_recv, "");
        self.close_gap(id, end, rec, sink);
        self.open_gap(id, GapCause::SubscribeRefused, at, Detector::Subscription, last, 0);
    }

    /// A whole view took a book's place, and hid a hole in the chain of diffs: the next diff shows it.
    pub fn hidden_hole<S: FoldSink>(
        &mut self,
        id: StreamId,
        rec: &Record<'_>,
        ids: &DiffIds,
        seq: &Sequencer,
        sink: &mut S,
    ) {
        if !seq.rule().replaces || seq.policy() != IdPolicy::Strict {
            return;
        }
        let Some(s) = self.streams.get(id.0 as usize) else { return };
        let before = if ids.prev >= 0 { ids.prev } else { ids.first.saturating_sub(1) };
        let last = s.last_id;
        if last < 0 || before <= last || s.gap.is_some() || s.cover.is_none() {
            return;
        }
        let begin = s.known_until();
        self.counters.seq_gaps += 1;
        self.close_cover(id, begin, GapCause::VenueSeqGap.as_str(), rec, sink);
        self.open_gap(id, GapCause::VenueSeqGap, begin, Detector::Ids, last, 0);
        let end = GapEnd {
            ts_end: rec.ts_recv,
            seq_after: before,
            rseq_after: rec.rseq,
            epoch_after: 0,
            recovered_by: "snapshot",
        };
        self.close_gap(id, end, rec, sink);
        self.open_cover(id, rec.ts_recv, ids.last, rec.rseq, rec.conn);
    }

    /// The connection that fed a book is gone, and the ids of the one that carries the stream on are of another chain: the
    /// book must be seeded anew there. `false`: this is not the case.
    pub fn feed_lost<S: FoldSink>(
        &mut self,
        id: StreamId,
        (gone, until): (ConnId, i64),
        cause: GapCause,
        det: Detector,
        rec: &Record<'_>,
        sink: &mut S,
    ) -> bool {
        let s = &self.streams[id.0 as usize];
        let inst = s.instrument;
        let survives = super::state::venue_of(s.venue).spec().sequence.ids_survive_reconnect;
        if s.kind != StreamKind::DepthDiff || survives {
            return false;
        }
        let feeds = |b: &super::state::BookState| b.synced && b.seq.conn() == gone;
        let is_fed = self.insts.get(inst.ix()).and_then(|i| i.book.as_ref()).is_some_and(|b| feeds(b));
        if is_fed && self.hands_over(rec, inst, true, sink) {
            return true;
        }
        let book = self.insts.get(inst.ix()).and_then(|i| i.book.as_ref());
        let Some(epoch) = book.filter(|b| feeds(b)).map(|b| b.epoch) else {
            let (is_book, waiting) = (book.is_some(), book.filter(|b| b.stream == id && !b.synced));
            if waiting.and_then(|b| b.pending).is_some_and(|p| p.conn == gone) {
                // A snapshot that came there is proven by nothing that comes here.
                self.reseed(rec, inst, sink);
            }
            return is_book;
        };
        // A retired connection ends by our own will; what follows is a resync all the same.
        let cause = if cause == GapCause::Operator { GapCause::ResyncWait } else { cause };
        // What others brought and it did not is missing since then.
        let until = self.missing_beside(id).map_or(until, |since| until.min(since));
        self.begins_on(id, until, (cause, det), epoch, rec, sink);
        true
    }

    /// A book begins anew on the connection that feeds its stream now: what it lacks is missing since `until`.
    pub(super) fn begins_on<S: FoldSink>(
        &mut self,
        id: StreamId,
        until: i64,
        (cause, det): (GapCause, Detector),
        epoch: i64,
        rec: &Record<'_>,
        sink: &mut S,
    ) {
        let s = &self.streams[id.0 as usize];
        let (inst, last) = (s.instrument, s.last_id);
        let begin = until.max(s.cover.map_or(0, |c| c.ts_begin)).min(rec.ts_recv);
        self.close_cover(id, begin, cause.as_str(), rec, sink);
        // What the next one brought already, going on from there, is not missing: it is in `raw`, and only the book begins anew.
        let s = self.s(id);
        let next = s.carriers.iter().find(|c| c.conn == s.feed).map_or((-1, -1), |c| c.beside);
        let goes_on = last >= 0 && next.0 >= 0 && next.0 <= last.saturating_add(1);
        let last = if goes_on { last.max(next.1) } else { last };
        s.last_id = last;
        if self.s(id).gap.is_none() {
            self.open_gap(id, cause, begin, det, last, epoch);
        }
        self.reseed(rec, inst, sink);
    }
}
