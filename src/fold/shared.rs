//! Books whose diffs come over two connections: one book, by the ids' proof where ids agree between connections
//! (`DESIGN`, Books), else one connection feeds it and the other stands by.

use super::legs::LEG_WAIT_NS;
use super::state::{BookState, Conn, Core, DiffMeta};
use super::{Effect, FoldSink};
use crate::book::{DiffIds, SeqState};
use crate::model::{ConnId, Depth, Head, InstrumentId, Record, StreamId, StreamKind};

/// Who else carries the stream of a diff.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shared {
    /// Nobody, or nobody whose ids prove anything of this one's.
    Alone,
    /// Another connection, which may bring what is missing here.
    Other,
    /// Another connection feeds the book; this one stands by.
    Standby,
}

/// The ids of a diff with the time of its change.
pub(super) fn ids_of(rec: &Record<'_>, d: &Depth<'_>) -> DiffIds {
    let ts = if d.ts_event != 0 { d.ts_event } else { d.ts_send };
    DiffIds { conn: rec.conn, first: d.first, last: d.last, prev: d.prev, ts }
}

impl DiffMeta {
    /// The stamps of a diff.
    pub fn of(head: &Head) -> DiffMeta {
        let Head { rseq, ts_recv, ts_kernel, ts_event, ts_send, flags, .. } = *head;
        DiffMeta { rseq, ts_recv, ts_kernel, ts_event, ts_send, flags }
    }
}

impl BookState {
    /// Whether its diffs wait for what another connection may bring.
    pub fn waits(&self) -> bool {
        let rule = self.seq.rule();
        self.stands() && self.seq.is_live() && !self.buffer.is_empty() && rule.ids_survive_reconnect
    }

    /// Whether one of its diffs waited at a moment.
    pub fn waited_at(&self, at: i64) -> bool {
        self.buffer.iter().any(|e| e.meta.ts_recv <= at)
    }
}

impl super::Fold {
    /// The connection whose messages a book is made of; 0 while it is stale.
    pub fn book_conn(&self, id: InstrumentId) -> ConnId {
        let b = self.core.insts.get(id.ix()).and_then(|i| i.book.as_ref());
        b.filter(|b| b.synced).map_or(0, |b| b.seq.conn())
    }
}

impl Core {
    /// What a diff is to the book that other connections feed as well. One that stands by is done with.
    pub fn shared_diff<S: FoldSink>(
        &mut self,
        rec: &Record<'_>,
        conn: &Conn,
        d: &Depth<'_>,
        sink: &mut S,
    ) -> Shared {
        let Some(s) = self.streams.get(d.stream.0 as usize) else { return Shared::Alone };
        let (shared, feeds) = (s.alive() > 1, s.feed == rec.conn);
        let rule = &super::state::venue_of(conn.venue).spec().sequence;
        self.diff_class(d.stream, rule.chain, d.prev, sink);
        if rule.ids_survive_reconnect {
            self.races(d.stream, conn, rec, d.last, sink);
            return if shared { Shared::Other } else { Shared::Alone };
        }
        if !shared || feeds {
            return Shared::Alone;
        }
        self.stands_by(rec, conn, d, sink);
        Shared::Standby
    }

    /// A diff of a connection that does not feed the book. While the book is not proven a snapshot may come on that very
    /// connection, and needs it; and so does a proven one that is to go on with it.
    fn stands_by<S: FoldSink>(&mut self, rec: &Record<'_>, conn: &Conn, d: &Depth<'_>, sink: &mut S) {
        self.counters.duplicates += 1;
        if let Some(c) = self.s(d.stream).carrier(rec.conn) {
            c.brings_beside(if d.first >= 0 { d.first } else { d.last }, d.last);
        }
        let Some(mut b) = self.insts[d.instrument.ix()].book.take() else { return };
        let hands_over =
            self.may_be_next(d.stream, rec.conn, &b, rec.ts_recv) && self.may_hand_over(d.instrument, &b);
        let (head, ids) = (self.diff_head(rec, conn, d), ids_of(rec, d));
        if !b.synced {
            self.keep(&mut b, &head, &ids, d, false);
        } else if hands_over {
            self.brings_next(&mut b, (&ids, DiffMeta::of(&head)), d, sink);
            // The connection that feeds the book brings it too, or is dead and has not said so.
            if b.is_behind_since().is_some() {
                sink.effect(Effect::LegWait { instrument: d.instrument, after_ns: LEG_WAIT_NS });
            }
        }
        self.insts[d.instrument.ix()].book = Some(b);
        if hands_over {
            self.hands_over(rec, d.instrument, false, sink);
        }
        self.feed_is_deaf(rec, d, sink);
    }

    /// Whether a connection replaces the one that feeds the book: a younger one of the same leg.
    pub fn is_successor(&self, stream: StreamId, conn: ConnId) -> bool {
        let Some(s) = self.streams.get(stream.0 as usize) else { return false };
        let of = |id: ConnId| s.carriers.iter().find(|c| c.conn == id);
        match (of(conn), of(s.feed)) {
            (Some(this), Some(feed)) => this.leg == feed.leg && this.since > feed.since,
            _ => false,
        }
    }

    /// The connection that feeds the book, 0 = none does.
    pub fn feed_of(&self, stream: StreamId) -> ConnId {
        self.streams.get(stream.0 as usize).map_or(0, |s| s.feed)
    }

    /// Whether a whole view that came on a connection is for the book: the connection feeds it, or does from now on.
    /// `replaces`: it may take the place of a proven one.
    pub fn takes_view(&mut self, rec: &Record<'_>, stream: StreamId, synced: bool, replaces: bool) -> bool {
        let feed = self.feed_of(stream);
        if feed == rec.conn || feed == 0 {
            return true;
        }
        if synced && !(replaces && self.is_successor(stream, rec.conn)) {
            return false;
        }
        if !self.may_feed(stream, rec.conn) {
            return false;
        }
        self.s(stream).feed = rec.conn;
        true
    }

    /// Whether a snapshot on a connection says that the stream's changes come there. Where it has refused the stream, and another
    /// one carries it, only a whole view does that the venue sends of its own accord.
    fn may_feed(&self, stream: StreamId, conn: ConnId) -> bool {
        let Some(s) = self.streams.get(stream.0 as usize) else { return true };
        let replaces = super::state::venue_of(s.venue).spec().sequence.replaces;
        replaces || s.carriers.iter().any(|c| c.conn == conn)
    }

    /// What waited for the other leg waited long enough: the hole in front of it is a gap.
    pub fn behind_hole<S: FoldSink>(
        &mut self,
        rec: &Record<'_>,
        id: InstrumentId,
        b: &mut BookState,
        before: i64,
        sink: &mut S,
    ) {
        let epoch_before = b.proof_epoch();
        let before_of = |i: &DiffIds| if i.prev >= 0 { i.prev } else { i.first.saturating_sub(1) };
        let Some(ids) = b.buffer.front().map(|e| e.ids) else { return };
        let mut head = self.head(rec);
        (head.instrument, head.venue) = (id, self.insts[id.ix()].venue);
        self.counters.seq_gaps += 1;
        sink.observe(super::Observed::Gap { instrument: id });
        self.clear_book(&head, id, b, sink);
        let hole = (before, before_of(&ids), ids.last);
        self.depth_hole(b.stream, rec, hole, (epoch_before, b.epoch), sink);
        for e in b.buffer.iter().skip(1) {
            // There may be more holes behind it.
            self.depth_follows(b.stream, rec, &e.ids, sink);
            let s = self.s(b.stream);
            s.last_id = s.last_id.max(e.ids.last);
        }
        self.ask(id, b, sink);
    }

    /// A proven book ends, or a day does: what its diffs wait for is told now, so that the time since then is not
    /// called proven.
    pub fn waits_in_vain<S: FoldSink>(&mut self, rec: &Record<'_>, id: InstrumentId, sink: &mut S) {
        let inst = &mut self.insts[id.ix()];
        if !inst.book.as_ref().is_some_and(|b| b.waits()) {
            return;
        }
        let Some(mut b) = inst.book.take() else { return };
        let before = b.seq.last();
        self.behind_hole(rec, id, &mut b, before, sink);
        self.insts[id.ix()].book = Some(b);
    }

    /// A `LegWait` timer: what is missing for so long does not come.
    pub fn leg_wait_over<S: FoldSink>(&mut self, rec: &Record<'_>, id: InstrumentId, sink: &mut S) {
        let mut since = i64::MAX;
        if let Some(mut b) = self.insts[id.ix()].book.take() {
            let first = b.buffer.iter().map(|e| e.meta.ts_recv).min().filter(|_| b.stands());
            match first {
                Some(ts) if rec.ts_recv.saturating_sub(ts) >= LEG_WAIT_NS => {
                    let before = b.seq.last();
                    self.behind_hole(rec, id, &mut b, before, sink);
                }
                Some(ts) if b.seq.is_live() => since = ts,
                _ => {}
            }
            self.insts[id.ix()].book = Some(b);
        }
        match self.insts[id.ix()].book.as_ref().and_then(|b| b.is_behind_since()) {
            Some(ts) if rec.ts_recv.saturating_sub(ts) >= LEG_WAIT_NS => {
                self.hands_over(rec, id, true, sink);
            }
            Some(ts) => since = since.min(ts),
            None => {}
        }
        for i in 0..self.streams.len() {
            if self.streams[i].instrument != id {
                continue;
            }
            self.split_waited(StreamId(i as u32), rec, sink);
            if !self.streams[i].holds() {
                continue;
            }
            self.holes_due(StreamId(i as u32), rec, sink);
            let held = self.streams[i].holes.iter().find_map(|h| h.held);
            since = since.min(held.map_or(i64::MAX, |h| h.end));
        }
        if since < i64::MAX {
            let after_ns = since.saturating_add(LEG_WAIT_NS).saturating_sub(rec.ts_recv);
            sink.effect(Effect::LegWait { instrument: id, after_ns: after_ns.clamp(0, LEG_WAIT_NS) });
        }
    }

    /// Book and buffered diffs of a dialect whose ids die with their connection are worth nothing on the next one.
    pub fn reconnected<S: FoldSink>(
        &mut self,
        rec: &Record<'_>,
        id: InstrumentId,
        kind: StreamKind,
        sink: &mut S,
    ) {
        if kind != StreamKind::DepthDiff || id == InstrumentId::NONE {
            return;
        }
        let inst = &self.insts[id.ix()];
        let rule = super::state::venue_of(inst.venue).spec().sequence;
        let known = inst.book.as_ref().is_some_and(|b| !matches!(b.seq.state(), SeqState::Init));
        if known && !rule.ids_survive_reconnect {
            self.reseed(rec, id, sink);
        }
    }

    /// A book begins anew: nothing of it is proven, nothing that was kept counts.
    pub fn reseed<S: FoldSink>(&mut self, rec: &Record<'_>, id: InstrumentId, sink: &mut S) {
        self.waits_in_vain(rec, id, sink);
        let venue = self.insts[id.ix()].venue;
        let Some(mut b) = self.insts[id.ix()].book.take() else { return };
        let mut head = self.head(rec);
        (head.instrument, head.venue) = (id, venue);
        self.clear_book(&head, id, &mut b, sink);
        b.buffer.clear();
        self.ask(id, &b, sink);
        self.insts[id.ix()].book = Some(b);
    }
}
