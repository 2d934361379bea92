//! Diffs and snapshots: the proof of each book, and its rows.
//!
//! A book's rows appear only while its chain is proven. A snapshot is loaded at once, but its rows are written when
//! the first diff proves it, with that record's `ts_recv`; diffs received before follow it, flagged `REPLAYED`.

use super::legs::LEG_WAIT_NS;
use super::shared::{Shared, ids_of};
use super::state::{BookState, Conn, Core, Detector, DiffMeta, PendingSnap};
use super::{Changes, Effect, FoldSink, Observed};
use crate::book::{Book, DiffBuffer, DiffIds, SeqState, Sequencer, Verdict};
use crate::model::{
    DeltaMsg, Depth, Head, IdPolicy, InstrumentId, Level, Record, RowRef, Side, StreamId, VenueIx, flags,
    row::GapCause,
};

impl BookState {
    pub fn new(rule: crate::model::SequenceRule, stream: StreamId) -> BookState {
        BookState {
            seq: Sequencer::new(rule),
            book: Book::new(),
            buffer: DiffBuffer::default(),
            pending: None,
            epoch: 0,
            synced: false,
            bid_horizon: None,
            ask_horizon: None,
            crossed_run: 0,
            attempt: 0,
            carry: false,
            lapsed: 0,
            last: -1,
            top: super::top::TopState::default(),
            stream,
            next: None,
            beside: super::deaf::Beside::default(),
            audit: None,
        }
    }

    /// Wider exponents for everything held; `false` leaves all as it was.
    pub fn rescale(&mut self, from: (u8, u8), to: (u8, u8)) -> bool {
        // An empty one keeps its memory; one that holds something is tried out on a copy.
        let mut buffer = (!self.buffer.is_empty()).then(|| self.buffer.clone());
        if buffer.as_mut().is_some_and(|b| b.rescale((from.0, to.0), (from.1, to.1)).is_err())
            || self.book.rescale(from.0, to.0, from.1, to.1).is_err()
        {
            return false;
        }
        if let Some(buffer) = buffer {
            self.buffer = buffer;
        }
        self.bid_horizon = self.bid_horizon.and_then(|x| crate::model::num::rescale(x, from.0, to.0));
        self.ask_horizon = self.ask_horizon.and_then(|x| crate::model::num::rescale(x, from.0, to.0));
        self.top.rescale(from, to);
        self.next.take_if(|n| !n.rescale(from, to));
        if let Some(a) = &mut self.audit {
            a.rescale(from, to);
        }
        true
    }

    fn horizon(&self) -> Option<(i64, i64)> {
        match (self.bid_horizon, self.ask_horizon) {
            (None, None) => None,
            (b, a) => Some((b.unwrap_or(i64::MIN), a.unwrap_or(i64::MAX))),
        }
    }
}

impl Core {
    /// The rule of a venue's ids, with what the configuration says of them.
    pub fn rule(&self, venue: VenueIx) -> crate::model::SequenceRule {
        let rule = super::state::venue_of(venue).spec().sequence;
        let said = self.cfg.policies.iter().find(|p| p.0 == venue).map(|p| p.1);
        crate::model::SequenceRule { policy: said.unwrap_or(rule.policy), ..rule }
    }

    /// The configuration says what a venue's ids can prove.
    pub fn set_policy(&mut self, venue: VenueIx, policy: IdPolicy) {
        self.cfg.policies.retain(|p| p.0 != venue);
        self.cfg.policies.push((venue, policy));
        for b in self.insts.iter_mut().filter(|i| i.venue == venue).filter_map(|i| i.book.as_mut()) {
            b.seq.set_policy(policy);
        }
    }

    /// A diff of the stream's instrument.
    pub fn on_diff<S: FoldSink>(&mut self, rec: &Record<'_>, conn: &Conn, d: &Depth<'_>, sink: &mut S) {
        let (id, stream) = (d.instrument, d.stream);
        if !self.feeds(id, stream) {
            // Of the chain that the book has left: it says nothing of the one that feeds it now, and stays in `raw`.
            self.counters.others += 1;
            self.count_other("diff of another chain");
            return self.touch(stream, conn, rec);
        }
        sink.observe(Observed::Diff { instrument: id });
        let other_alive = match self.shared_diff(rec, conn, d, sink) {
            Shared::Alone => false,
            Shared::Other => true,
            Shared::Standby => return,
        };
        if self.insts[id.ix()].book.is_none() {
            let rule = self.rule(conn.venue);
            self.insts[id.ix()].book = Some(Box::new(BookState::new(rule, stream)));
        }
        let Some(mut b) = self.insts[id.ix()].book.take() else { return };
        b.beside.feeds(rec);
        let (ids, head) = (ids_of(rec, d), self.diff_head(rec, conn, d));
        let was_init = matches!(b.seq.state(), SeqState::Init);
        let verdict = b.seq.on_diff(&ids, other_alive);
        match verdict {
            Verdict::Apply { .. } => self.applies((rec, conn), &mut b, &head, &ids, d, other_alive, sink),
            Verdict::Buffer => {
                self.depth_waits(stream, conn, rec, &ids, sink);
                self.keep(&mut b, &head, &ids, d, other_alive);
                if was_init {
                    self.ask(id, &b, sink);
                }
            }
            Verdict::Stale => {
                self.depth_waits(stream, conn, rec, &ids, sink);
                sink.observe(Observed::Stale { instrument: id });
            }
            Verdict::Duplicate | Verdict::Ignored => {
                self.counters.duplicates += 1;
                self.touch(stream, conn, rec);
            }
            Verdict::TooOld => {
                self.depth_waits(stream, conn, rec, &ids, sink);
                self.keep(&mut b, &head, &ids, d, other_alive);
                self.too_old(id, &mut b, sink);
            }
            v @ (Verdict::Learning | Verdict::Learned) => {
                let until = self.touch_until(stream, conn, rec);
                self.keep(&mut b, &head, &ids, d, false);
                self.learned((v, until), rec, id, &mut b, sink);
            }
            Verdict::Wait => {
                // It proves nothing yet, so the stream's last frame stays the one before it.
                self.keep(&mut b, &head, &ids, d, true);
                sink.effect(Effect::LegWait { instrument: id, after_ns: LEG_WAIT_NS });
            }
            Verdict::Gap { before, .. } if b.stands() && !b.buffer.is_empty() => {
                // What waited for the other leg waits for a snapshot now.
                self.keep(&mut b, &head, &ids, d, true);
                self.behind_hole(rec, id, &mut b, before, sink);
            }
            Verdict::Gap { before, after } => {
                let epoch_before = b.epoch;
                self.broken(&head, id, &mut b, &ids, d, sink);
                self.depth_gap(stream, conn, rec, &ids, (before, after), (epoch_before, b.epoch), sink);
                self.ask(id, &b, sink);
            }
        }
        self.after_diff(rec, conn.venue, id, b, matches!(verdict, Verdict::Apply { .. }), sink);
    }

    /// What follows from a book that a diff has changed, or not.
    fn after_diff<S: FoldSink>(
        &mut self,
        rec: &Record<'_>,
        venue: VenueIx,
        id: InstrumentId,
        b: Box<BookState>,
        applied: bool,
        sink: &mut S,
    ) {
        let (crossed, has_next) = (b.crossed_run > self.crossed_max(venue), b.next.is_some());
        self.insts[id.ix()].book = Some(b);
        if crossed {
            return self.unproven(rec, id, GapCause::ProtocolViolation, Detector::Ids, sink);
        }
        if applied {
            self.audit_due(rec, id, sink);
        }
        if has_next {
            self.hands_over(rec, id, false, sink);
        }
    }

    /// A diff that the ids prove, and what waited for it.
    #[allow(clippy::too_many_arguments, reason = "a step of one caller, which has all of it")]
    fn applies<S: FoldSink>(
        &mut self,
        (rec, conn): (&Record<'_>, &Conn),
        b: &mut BookState,
        head: &Head,
        ids: &DiffIds,
        d: &Depth<'_>,
        other_alive: bool,
        sink: &mut S,
    ) {
        let (id, stream) = (d.instrument, d.stream);
        if b.pending.is_some() {
            self.publish_sync(rec, id, b, sink);
        }
        let before = b.proof_epoch();
        self.apply(head, id, b, ids, (d.bids, d.asks), false, sink);
        b.took(ids, d.bids, d.asks);
        if !b.buffer.is_empty() && b.crossed_run <= self.crossed_max(conn.venue) {
            // Events of the other connection waited for this one.
            let _ = self.offer(rec, id, b, other_alive, sink);
        }
        if let Some(split) = self.streams.get(stream.0 as usize).and_then(|s| s.split) {
            let waits = b.waited_at(split.at);
            self.split_due(stream, waits, rec, sink);
        }
        self.hidden_hole(stream, rec, ids, &b.seq, sink);
        let ids = DiffIds { last: b.seq.last(), ..*ids };
        self.depth_proven(stream, conn, rec, &ids, (before, b.epoch), sink);
    }

    pub fn diff_head(&self, rec: &Record<'_>, conn: &Conn, d: &Depth<'_>) -> Head {
        #[cfg(test)]
        super::panics::planted(2);
        let base = self.head(rec);
        Head {
            instrument: d.instrument,
            venue: conn.venue,
            ts_event: d.ts_event,
            ts_send: d.ts_send,
            flags: base.flags | conn.flags() | self.derived(),
            ..base
        }
    }

    /// The chain broke at this diff: the book is cleared, the diff is kept for the next snapshot.
    fn broken<S: FoldSink>(
        &mut self,
        head: &Head,
        id: InstrumentId,
        b: &mut BookState,
        ids: &DiffIds,
        d: &Depth<'_>,
        sink: &mut S,
    ) {
        sink.observe(Observed::Gap { instrument: id });
        self.counters.seq_gaps += 1;
        self.clear_book(head, id, b, sink);
        b.buffer.clear();
        self.keep(b, head, ids, d, false);
    }

    fn crossed_max(&self, venue: VenueIx) -> u32 {
        super::state::venue_of(venue).spec().sequence.crossed_max
    }

    /// Holds a diff. `sorted`: diffs of two connections wait together, each of them once.
    pub fn keep(&mut self, b: &mut BookState, head: &Head, ids: &DiffIds, d: &Depth<'_>, sorted: bool) {
        let meta = DiffMeta::of(head);
        let dropped = match sorted {
            true => b.buffer.insert(*ids, meta, d.bids, d.asks),
            false => b.buffer.push(*ids, meta, d.bids, d.asks),
        };
        self.counters.buffer_dropped += dropped as u64;
    }

    pub fn ask<S: FoldSink>(&self, id: InstrumentId, b: &BookState, sink: &mut S) {
        let v = &self.insts[id.ix()].version;
        sink.effect(Effect::NeedSnapshot {
            instrument: id,
            venue: &v.venue,
            symbol: &v.symbol,
            attempt: b.attempt,
            conn: self.feed_of(b.stream),
        });
    }

    fn too_old<S: FoldSink>(&mut self, id: InstrumentId, b: &mut BookState, sink: &mut S) {
        b.seq.invalidate();
        b.book.clear();
        (b.pending, b.lapsed) = (None, 0);
        b.attempt = b.attempt.saturating_add(1);
        self.ask(id, b, sink);
    }

    /// A snapshot that was asked for did not come.
    pub fn snapshot_failed<S: FoldSink>(&mut self, id: InstrumentId, sink: &mut S) {
        let Some(mut b) = self.insts[id.ix()].book.take() else { return };
        b.audit = b.audit.take().filter(|a| a.has_snapshot());
        if !b.stands() && b.pending.is_none() {
            b.attempt = b.attempt.saturating_add(1);
            self.ask(id, &b, sink);
        }
        self.insts[id.ix()].book = Some(b);
    }

    /// A whole book: the start of a proof.
    pub fn on_snapshot<S: FoldSink>(&mut self, rec: &Record<'_>, d: &Depth<'_>, url: &str, sink: &mut S) {
        let (id, venue) = (d.instrument, self.insts[d.instrument.ix()].venue);
        let rule = self.rule(venue);
        let book = self.insts[id.ix()].book.take();
        let mut b = book.unwrap_or_else(|| Box::new(BookState::new(rule, StreamId::NONE)));
        let in_band = d.stream != StreamId::NONE;
        if in_band && b.stream != d.stream {
            // It belongs to another chain of ids.
            self.insts[id.ix()].book = Some(b);
            return;
        }
        let limit = levels_of(venue, in_band, url);
        let replaces = rule.replaces && in_band && d.last >= b.seq.live_id();
        let stands = b.synced || b.beside.is_deaf(rec.conn);
        if in_band && !rule.ids_survive_reconnect && !self.takes_view(rec, d.stream, stands, replaces) {
            return self.beside(rec, d, b, sink);
        }
        b.beside.views(rec, in_band && rule.replaces);
        if b.stands() && !replaces {
            // Nobody waits for it: it is only compared. Or it is older than the book.
            if !in_band || !rule.replaces {
                self.compares(&b, d, limit, sink);
            }
            self.insts[id.ix()].book = Some(b);
            self.audit_snapshot(rec, d, limit, sink);
            return;
        }
        if rule.replaces && !in_band && !self.may_seed(&b, d.last) {
            self.useless_seed(id, &mut b, sink);
            self.insts[id.ix()].book = Some(b);
            return;
        }
        b.book.clear();
        b.book.apply(d.bids, d.asks);
        // Fewer levels than asked for are the whole side: nothing lies beyond.
        b.bid_horizon = d.bids.iter().map(|l| l.price).min().filter(|_| d.bids.len() >= limit);
        b.ask_horizon = d.asks.iter().map(|l| l.price).max().filter(|_| d.asks.len() >= limit);
        b.pending = Some(PendingSnap {
            conn: rec.conn,
            rseq: rec.rseq,
            snap_id: d.last,
            ts_event: d.ts_event,
            ts_send: d.ts_send,
        });
        b.seq.on_snapshot(d.last);
        if !rule.ids_survive_reconnect {
            // What other connections brought is of other chains.
            let feed = if in_band { rec.conn } else { self.feed_of(b.stream) };
            b.takes_over(feed);
            b.buffer.retain(|ids| feed == 0 || ids.conn == feed);
        }
        let exps = self.exps(id);
        sink.observe(Observed::Loaded { instrument: id, snap_id: d.last, book: &b.book, exps });
        if rule.replaces && b.book.is_crossed() {
            self.crossed_view(rec, id, &mut b, sink);
            self.insts[id.ix()].book = Some(b);
            return;
        }
        if b.seq.policy() == IdPolicy::Learn {
            // What it covers is not needed any more; what comes after it may be, once the ids are known.
            b.buffer.retain(|ids| ids.last > d.last);
        } else {
            self.drain(rec, id, &mut b, sink);
        }
        if rule.snapshot_proves && b.pending.is_some() && (in_band || !rule.replaces) {
            self.proves_itself(rec, d, &mut b, sink);
        }
        self.insts[id.ix()].book = Some(b);
    }

    /// A whole view that crosses itself proves nothing.
    fn crossed_view<S: FoldSink>(
        &mut self,
        rec: &Record<'_>,
        id: InstrumentId,
        b: &mut BookState,
        sink: &mut S,
    ) {
        let (was, last, epoch_before) = (b.synced, b.seq.last(), b.epoch);
        let mut head = self.head(rec);
        (head.instrument, head.venue) = (id, self.insts[id.ix()].venue);
        self.counters.crossed += 1;
        self.clear_book(&head, id, b, sink);
        b.buffer.clear();
        if was {
            let cause = GapCause::ProtocolViolation;
            self.depth_lost(b.stream, rec, cause, Detector::Ids, last, epoch_before, sink);
        }
        self.ask(id, b, sink);
    }

    /// Notes a frame of a stream; returns until when it was known before.
    fn touch_until(&mut self, stream: StreamId, conn: &Conn, rec: &Record<'_>) -> i64 {
        let until = self.streams.get(stream.0 as usize).map_or(0, |s| s.known_until());
        self.touch(stream, conn, rec);
        until
    }

    /// The ids have shown what they are: what was kept since the last whole view goes on from it, or waits for the next.
    fn learned<S: FoldSink>(
        &mut self,
        (v, until): (Verdict, i64),
        rec: &Record<'_>,
        id: InstrumentId,
        b: &mut BookState,
        sink: &mut S,
    ) {
        if v != Verdict::Learned {
            return;
        }
        self.learned_class(b.stream, b.seq.policy(), sink);
        if !b.synced {
            b.lapsed = 0;
            self.ask(id, b, sink);
            return;
        }
        let stuck = self.offer(rec, id, b, false, sink);
        if stuck {
            // Something was missing among what was kept: it was there up to the change before this one.
            sink.observe(Observed::Gap { instrument: id });
            let (last, epoch_before) = (b.seq.last(), b.epoch);
            self.clear_book(&self.head_of(rec, id), id, b, sink);
            if b.stream != StreamId::NONE {
                let cause = GapCause::ResyncWait;
                self.close_cover(b.stream, until, cause.as_str(), rec, sink);
                self.open_gap(b.stream, cause, until, Detector::Ids, last, epoch_before);
            }
            self.ask(id, b, sink);
        } else if b.stream != StreamId::NONE && b.seq.last() >= 0 {
            self.s(b.stream).last_id = b.seq.last();
            self.trusts(b);
        }
    }

    /// A snapshot that needs no diff to prove it.
    fn proves_itself<S: FoldSink>(
        &mut self,
        rec: &Record<'_>,
        d: &Depth<'_>,
        b: &mut BookState,
        sink: &mut S,
    ) {
        if self.answers_in_silence(d, b, sink) {
            return;
        }
        let was = b.synced;
        self.publish_sync(rec, d.instrument, b, sink);
        b.seq.on_proving_snapshot(d.last, rec.conn, d.ts_event);
        if was {
            // It took the place of a proven book: the chain of diffs is followed as before.
            return;
        }
        // Ids that have holes, or may have, do not say what is missing.
        let proves = b.seq.policy() == IdPolicy::Strict;
        let next = if proves { d.last.saturating_add(1) } else { 0 };
        let ids = DiffIds { conn: rec.conn, first: next, last: d.last, prev: -1, ts: d.ts_event };
        self.depth_seeded(b.stream, rec, &ids, b.epoch, sink);
    }

    /// Offers the buffered diffs in order; `true` if one of them could not be used and stays with all after it.
    pub fn offer<S: FoldSink>(
        &mut self,
        rec: &Record<'_>,
        id: InstrumentId,
        b: &mut BookState,
        other_alive: bool,
        sink: &mut S,
    ) -> bool {
        let venue = self.insts[id.ix()].venue;
        let mut buffer = std::mem::take(&mut b.buffer);
        let mut stuck = false;
        while let Some(e) = buffer.front() {
            match b.seq.on_diff(&e.ids, other_alive) {
                Verdict::Apply { .. } => {
                    if b.pending.is_some() {
                        self.publish_sync(rec, id, b, sink);
                    }
                    let base = self.head(rec);
                    let head = Head {
                        instrument: id,
                        venue,
                        ts_event: e.meta.ts_event,
                        ts_send: e.meta.ts_send,
                        ts_kernel: e.meta.ts_kernel,
                        conn: e.ids.conn,
                        rseq: e.meta.rseq,
                        flags: (e.meta.flags & (flags::SECOND_LEG | flags::DERIVED_TS))
                            | base.flags
                            | flags::REPLAYED,
                        ..base
                    };
                    self.apply(&head, id, b, &e.ids, (e.bids, e.asks), true, sink);
                    if b.crossed_run > self.crossed_max(venue) {
                        // Crossed for longer than the dialect bears: what follows would only make it worse.
                        buffer.pop_front();
                        stuck = true;
                        break;
                    }
                }
                Verdict::Stale => sink.observe(Observed::Stale { instrument: id }),
                Verdict::Duplicate | Verdict::Ignored => self.counters.duplicates += 1,
                Verdict::Buffer
                | Verdict::Wait
                | Verdict::TooOld
                | Verdict::Learning
                | Verdict::Learned
                | Verdict::Gap { .. } => {
                    stuck = true;
                    break;
                }
            }
            buffer.pop_front();
        }
        b.buffer = buffer;
        stuck
    }

    /// Feeds the buffered diffs to a freshly loaded snapshot.
    fn drain<S: FoldSink>(&mut self, rec: &Record<'_>, id: InstrumentId, b: &mut BookState, sink: &mut S) {
        let stuck = self.offer(rec, id, b, false, sink);
        if !stuck {
            if b.synced {
                self.depth_synced(b.stream, rec, b.seq.last(), b.epoch, sink);
            }
        } else if b.synced {
            // A hole among the buffered diffs: the book was proven up to here and no further. The hole itself was
            // written when its diff came.
            sink.observe(Observed::Gap { instrument: id });
            let mut head = self.head(rec);
            (head.instrument, head.venue) = (id, self.insts[id.ix()].venue);
            self.clear_book(&head, id, b, sink);
            b.attempt = b.attempt.saturating_add(1);
            self.ask(id, b, sink);
        } else {
            self.too_old(id, b, sink);
        }
    }

    /// The snapshot is proven: a new epoch opens with its rows.
    fn publish_sync<S: FoldSink>(
        &mut self,
        rec: &Record<'_>,
        id: InstrumentId,
        b: &mut BookState,
        sink: &mut S,
    ) {
        let Some(p) = b.pending.take() else { return };
        b.epoch = rec.ts_recv.max(b.epoch.saturating_add(1)).max(self.cfg.epoch_floor.saturating_add(1));
        let was = std::mem::replace(&mut b.synced, true);
        self.audit_replaced(&self.head_of(rec, id), b, p.snap_id, sink);
        (b.attempt, b.lapsed) = (0, 0);
        (b.crossed_run, b.carry) = (0, false);
        b.beside.proven(rec);
        b.last = p.snap_id;
        self.counters.syncs += 1;
        let trusted = if b.seq.policy() == IdPolicy::Learn { flags::UNVERIFIED_SEQ } else { 0 };
        self.trusts(b);
        // Proven by itself: it is the event at hand.
        let derived = if (p.conn, p.rseq) == (rec.conn, rec.rseq) { self.derived() } else { 0 };
        if S::ROWS {
            let head = Head {
                instrument: id,
                venue: self.insts[id.ix()].venue,
                ts_kernel: 0,
                ts_event: p.ts_event,
                ts_send: p.ts_send,
                conn: p.conn,
                rseq: p.rseq,
                flags: self.head(rec).flags | flags::SNAPSHOT | trusted | derived,
                ..self.head(rec)
            };
            self.whole_book(&head, b, (-1, p.snap_id), sink);
        }
        if S::ROWS {
            let head = self.head_of(rec, id);
            self.top_changed(&Head { flags: head.flags | trusted, ..head }, id, b, p.snap_id);
        }
        if !was {
            sink.effect(Effect::Synced { instrument: id });
        }
    }

    /// Notes at the book's stream whether the book is taken on trust.
    fn trusts(&mut self, b: &BookState) {
        let is_believed = b.seq.is_unverified();
        if let Some(s) = self.streams.get_mut(b.stream.0 as usize) {
            s.is_believed = is_believed;
            if let Some(c) = &mut s.cover {
                c.is_believed |= is_believed;
            }
        }
    }

    pub fn head_of(&self, rec: &Record<'_>, id: InstrumentId) -> Head {
        Head { instrument: id, venue: self.insts[id.ix()].venue, ..self.head(rec) }
    }

    /// Rows of all levels, best first, bids then asks.
    fn whole_book<S: FoldSink>(&mut self, head: &Head, b: &BookState, seq: (i64, i64), sink: &mut S) {
        let (mut bids, mut asks) = std::mem::take(&mut self.level_scratch);
        bids.clear();
        asks.clear();
        bids.extend(b.book.levels(Side::Bid));
        asks.extend(b.book.levels(Side::Ask));
        let msg = DeltaMsg {
            seq_first: seq.0,
            seq_last: seq.1,
            seq_prev: -1,
            book_epoch: b.epoch,
            bids: &bids,
            asks: &asks,
            horizon: b.horizon(),
        };
        sink.row(head, RowRef::BookDelta(msg));
        self.level_scratch = (bids, asks);
    }

    /// The whole book again at the start of a part, or where it comes back, stamped like the row that follows it.
    pub fn carried<S: FoldSink>(&mut self, head: &Head, b: &mut BookState, sink: &mut S) {
        b.carry = false;
        if b.lapsed != 0 {
            self.comes_back(head, b, sink);
        }
        if !S::ROWS {
            return;
        }
        let trusted = if b.seq.is_unverified() { flags::UNVERIFIED_SEQ } else { 0 };
        let head = Head {
            ts_event: 0,
            ts_send: 0,
            ts_kernel: 0,
            rseq: -1,
            flags: (head.flags & flags::BAD_TS_RECV) | flags::SNAPSHOT | flags::CARRIED | trusted,
            ..*head
        };
        self.whole_book(&head, b, (-1, b.last), sink);
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "one call per diff; a struct would be built and taken apart at once"
    )]
    fn apply<S: FoldSink>(
        &mut self,
        head: &Head,
        id: InstrumentId,
        b: &mut BookState,
        ids: &DiffIds,
        (bids, asks): (&[Level], &[Level]),
        replayed: bool,
        sink: &mut S,
    ) {
        if b.carry {
            self.carried(head, b, sink);
        }
        if let Some(a) = &mut b.audit {
            a.note(&b.book, ids.last, bids, asks);
        }
        let c = if S::CHANGES {
            b.book.apply_counted(bids, asks)
        } else {
            Changes { absent: b.book.apply(bids, asks), ..Changes::default() }
        };
        b.last = ids.last;
        self.counters.applied += 1;
        self.counters.levels += (bids.len() + asks.len()) as u64;
        self.counters.absent += u64::from(c.absent);
        let crossed = b.book.is_crossed();
        b.crossed_run = if crossed { b.crossed_run + 1 } else { 0 };
        self.counters.crossed += u64::from(crossed);
        if S::ROWS {
            let mut head = *head;
            if crossed {
                head.flags |= flags::CROSSED;
            }
            if b.seq.is_unverified() {
                head.flags |= flags::UNVERIFIED_SEQ;
                self.trusts(b);
            }
            let msg = DeltaMsg {
                seq_first: ids.first,
                seq_last: ids.last,
                seq_prev: ids.prev,
                book_epoch: b.epoch,
                bids,
                asks,
                horizon: b.horizon(),
            };
            sink.row(&head, RowRef::BookDelta(msg));
            self.top_changed(&head, id, b, ids.last);
        }
        let exps = self.exps(id);
        sink.observe(Observed::Applied {
            instrument: id,
            last: ids.last,
            replayed,
            book: &b.book,
            exps,
            changes: c,
        });
    }

    /// The book stops being proven: one `CLEAR` row opens an epoch in which it is empty.
    pub fn clear_book<S: FoldSink>(
        &mut self,
        head: &Head,
        id: InstrumentId,
        b: &mut BookState,
        sink: &mut S,
    ) {
        if b.audit.is_some() {
            self.audit_ends(&Head { instrument: id, ..*head }, b, sink);
        }
        if b.synced {
            self.clear_row(&Head { instrument: id, ..*head }, b, sink);
        }
        if b.synced {
            sink.observe(Observed::Cleared { instrument: id });
        }
        (b.synced, b.lapsed) = (false, 0);
        (b.pending, b.next) = (None, None);
        b.book.clear();
        b.seq.invalidate();
        b.crossed_run = 0;
        b.carry = false;
        b.top.reset();
    }

    /// The row that opens an epoch in which there is no book.
    pub fn clear_row<S: FoldSink>(&mut self, head: &Head, b: &mut BookState, sink: &mut S) {
        if !S::ROWS {
            return;
        }
        b.epoch = head.ts_recv.max(b.epoch.saturating_add(1));
        let head = Head {
            ts_event: 0,
            ts_send: 0,
            flags: (head.flags & (flags::BAD_TS_RECV | flags::SECOND_LEG)) | flags::CLEAR,
            ..*head
        };
        let msg = DeltaMsg {
            seq_first: -1,
            seq_last: b.seq.last(),
            seq_prev: -1,
            book_epoch: b.epoch,
            bids: &[],
            asks: &[],
            horizon: None,
        };
        sink.row(&head, RowRef::BookDelta(msg));
    }

    /// The proof of a book ends for a reason other than its ids.
    pub fn unproven<S: FoldSink>(
        &mut self,
        rec: &Record<'_>,
        id: InstrumentId,
        cause: GapCause,
        detector: Detector,
        sink: &mut S,
    ) {
        self.waits_in_vain(rec, id, sink);
        let venue = self.insts[id.ix()].venue;
        let Some(mut b) = self.insts[id.ix()].book.take() else { return };
        let epoch_before = b.epoch;
        let was = b.synced;
        let last = b.seq.last();
        let mut head = self.head(rec);
        (head.instrument, head.venue) = (id, venue);
        self.clear_book(&head, id, &mut b, sink);
        b.buffer.clear();
        if was {
            self.depth_lost(b.stream, rec, cause, detector, last, epoch_before, sink);
        }
        self.ask(id, &b, sink);
        self.insts[id.ix()].book = Some(b);
    }

    /// A book ends without asking for a new snapshot: its stream is gone, or the run is.
    pub fn forget_book<S: FoldSink>(&mut self, rec: &Record<'_>, id: InstrumentId, sink: &mut S) {
        self.waits_in_vain(rec, id, sink);
        let venue = self.insts[id.ix()].venue;
        let Some(mut b) = self.insts[id.ix()].book.take() else { return };
        let mut head = self.head(rec);
        (head.instrument, head.venue) = (id, venue);
        self.clear_book(&head, id, &mut b, sink);
        b.buffer.clear();
        b.seq = Sequencer::new(*b.seq.rule());
        self.insts[id.ix()].book = Some(b);
    }

    /// A depth frame could not be read: what it changed is unknown.
    pub fn depth_unreadable<S: FoldSink>(&mut self, rec: &Record<'_>, id: InstrumentId, sink: &mut S) {
        if id != InstrumentId::NONE && self.insts[id.ix()].book.as_ref().is_some_and(|b| b.synced) {
            self.unproven(rec, id, GapCause::ProtocolViolation, Detector::Ids, sink);
        }
    }
}

/// Levels a side that a snapshot has at most: the venue's own number, or the `limit` of its URL. Without one nothing is
/// known of the depth, and every side counts as cut.
fn levels_of(venue: VenueIx, in_band: bool, url: &str) -> usize {
    if in_band {
        return super::state::venue_of(venue).spec().snapshot_levels.max(1) as usize;
    }
    url.split(['?', '&']).find_map(|p| p.strip_prefix("limit=")).and_then(|n| n.parse().ok()).unwrap_or(1)
}
