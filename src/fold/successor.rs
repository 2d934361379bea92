//! The connection that is to feed a book next, where ids are not known to outlive their connection: one that replaces the one
//! that feeds it, or the other leg, which stands by. While both are open it is found out whether their ids are one count:
//! - where snapshots come in-band, the next one asks for one of its own: it must be, at the same id, the very book that the first
//!   one's diffs have made;
//! - where they do not, and the ids of diffs prove a chain: the latest [`ALIKE`] diffs must be the same ones on both, ids and
//!   levels.
//!
//! Then the book goes on with the next one (at once, if that replaces; when the first one is gone, if it stands by): nothing is
//! missing, no epoch begins. Until then each diff that both bring must be the same one: two counters may begin together, and part
//! when one connection merges two changes. Where it is not so, or not known in time, or the next one has a hole in its own ids since, the
//! book is begun anew as ever.

use serde::{Deserialize, Serialize};

use super::frames::By;
use super::state::{BookState, Conn, Core, Detector, DiffMeta};
use super::{Effect, FoldSink};
use crate::book::{Book, DiffBuffer, DiffIds};
use crate::model::{
    ConnId, Depth, IdPolicy, InstrumentId, Level, Record, Side, SnapshotSource, StreamId, StreamKind,
    row::GapCause,
};

/// A connection that lives is not so far behind another one.
const LAGS_NS: i64 = 500_000_000;
/// So many diffs one after the other that both connections brought alike show that their ids are one count.
const ALIKE: usize = 16;
/// Diffs that are kept to be held against each other.
const KEPT: usize = 64;
/// More diffs than that are forgotten, and the comparison begins anew.
const AHEAD: usize = 256;

/// What is known of the successor's ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Ids {
    /// Nothing yet.
    Open,
    /// They are those of the book.
    Agree,
    /// They are of another count.
    Foreign,
}

/// The successor's snapshot, as sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct View {
    id: i64,
    bids: Vec<Level>,
    asks: Vec<Level>,
    /// Prices up to which it is whole.
    horizon: (Option<i64>, Option<i64>),
}

/// The connection that is to feed a proven book next.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Next {
    conn: ConnId,
    ids: Ids,
    view: Option<View>,
    /// Its diffs, one following the other, and the last id.
    diffs: DiffBuffer<DiffMeta>,
    last: i64,
    /// Diffs that the book took meanwhile: all of them until the ids agree, then those that this one has yet to bring.
    taken: DiffBuffer<DiffMeta>,
    /// Its snapshot was asked for.
    asked: bool,
}

impl Next {
    fn new(conn: ConnId) -> Next {
        let (diffs, taken) = (DiffBuffer::default(), DiffBuffer::default());
        Next { conn, ids: Ids::Open, view: None, diffs, last: -1, taken, asked: false }
    }

    /// Whether it is this connection, and its ids are the book's.
    pub fn is_of(&self, conn: ConnId) -> bool {
        self.conn == conn && self.ids == Ids::Agree
    }

    /// Its next diff. One that does not follow the last one ends what was known of it.
    pub fn brings(&mut self, ids: &DiffIds, meta: DiffMeta, bids: &[Level], asks: &[Level]) {
        if self.ids == Ids::Foreign || ids.last <= self.last {
            return;
        }
        if self.last >= 0 && ids.first > self.last.saturating_add(1) {
            *self = Next::new(self.conn);
        }
        self.last = ids.last;
        if self.ids == Ids::Agree {
            match meets(&mut self.taken, ids, bids, asks) {
                // The book has it.
                Some(true) => return,
                Some(false) => return self.is_foreign(),
                None => {}
            }
        }
        let _ = self.diffs.push(*ids, meta, bids, asks);
        if !self.asked && self.diffs.len() > AHEAD {
            // Of another count, or the one that feeds the book is read late at the moment.
            *self = Next::new(self.conn);
        }
    }

    /// Its ids are of another count: nothing that it brings is for the book.
    fn is_foreign(&mut self) {
        self.ids = Ids::Foreign;
        self.diffs.clear();
        self.taken.clear();
    }

    /// Whether the latest diffs of both connections are the same ones; `None`: too few have come on both.
    fn is_alike(&self) -> Option<bool> {
        let mut book = self.taken.iter().peekable();
        let mut run = 0;
        for d in self.diffs.iter() {
            while book.next_if(|b| b.ids.last < d.ids.last).is_some() {
                run = 0;
            }
            match book.next_if(|b| b.ids.last == d.ids.last) {
                Some(b) if (b.ids.first, b.ids.prev) != (d.ids.first, d.ids.prev) => return Some(false),
                Some(b) if (b.bids, b.asks) != (d.bids, d.asks) => return Some(false),
                Some(_) => run += 1,
                // What the book does not have yet says nothing.
                None if book.peek().is_some() => run = 0,
                None => break,
            }
        }
        (run >= ALIKE).then_some(true)
    }

    fn shows(&mut self, d: &Depth<'_>, levels: usize) {
        self.asked = true;
        let follows =
            self.diffs.iter().find(|e| e.ids.last > d.last).is_none_or(|e| e.ids.first <= d.last + 1);
        if self.ids != Ids::Open || !follows {
            return;
        }
        let bid = d.bids.iter().map(|l| l.price).min().filter(|_| d.bids.len() >= levels);
        let ask = d.asks.iter().map(|l| l.price).max().filter(|_| d.asks.len() >= levels);
        let (bids, asks) = (d.bids.to_vec(), d.asks.to_vec());
        self.view = Some(View { id: d.last, bids, asks, horizon: (bid, ask) });
        self.last = self.last.max(d.last);
    }

    /// Whether its snapshot, with what the book took since, is the book; `None`: that cannot be said now.
    fn agrees(&self, b: &BookState) -> Option<bool> {
        let v = self.view.as_ref()?;
        let (mut at, live) = (v.id, b.seq.live_id());
        let mut theirs = Book::new();
        theirs.apply(&v.bids, &v.asks);
        for e in self.taken.iter().filter(|e| e.ids.last > v.id) {
            if e.ids.first > at.saturating_add(1) {
                return None;
            }
            theirs.apply(e.bids, e.asks);
            at = e.ids.last;
        }
        if at != live {
            return None;
        }
        // What it brought itself behind its snapshot is what the book took, or it is another count.
        for d in self.diffs.iter().filter(|d| d.ids.last > v.id && d.ids.last <= live) {
            let same = self.taken.iter().find(|e| e.ids.last == d.ids.last);
            if same.is_none_or(|e| (e.bids, e.asks) != (d.bids, d.asks)) {
                return Some(false);
            }
        }
        let bid = v.horizon.0.max(b.bid_horizon).unwrap_or(i64::MIN);
        let ask = match (v.horizon.1, b.ask_horizon) {
            (Some(a), Some(b)) => a.min(b),
            (a, b) => a.or(b).unwrap_or(i64::MAX),
        };
        let known = |book: &Book, side: Side| -> Vec<Level> {
            let is_known = |l: &Level| if side == Side::Bid { l.price >= bid } else { l.price <= ask };
            book.levels(side).filter(is_known).collect()
        };
        Some([Side::Bid, Side::Ask].into_iter().all(|s| known(&theirs, s) == known(&b.book, s)))
    }

    /// Wider exponents for all that is held; `false`: it does not fit.
    pub fn rescale(&mut self, from: (u8, u8), to: (u8, u8)) -> bool {
        let exps = ((from.0, to.0), (from.1, to.1));
        let mut fits =
            self.diffs.rescale(exps.0, exps.1).is_ok() && self.taken.rescale(exps.0, exps.1).is_ok();
        let Some(v) = &mut self.view else { return fits };
        let wider = |x: i64, e: (u8, u8)| crate::model::num::rescale(x, e.0, e.1);
        for l in v.bids.iter_mut().chain(&mut v.asks) {
            match (wider(l.price, exps.0), wider(l.size, exps.1)) {
                (Some(price), Some(size)) => (l.price, l.size) = (price, size),
                _ => fits = false,
            }
        }
        for h in [&mut v.horizon.0, &mut v.horizon.1] {
            *h = h.and_then(|x| wider(x, exps.0));
        }
        fits
    }
}

/// Holds a diff of one connection against those that the other one has brought alone; those up to its id leave the queue.
/// `None`: the other one has none of this last id.
fn meets(queue: &mut DiffBuffer<DiffMeta>, ids: &DiffIds, bids: &[Level], asks: &[Level]) -> Option<bool> {
    while queue.front().is_some_and(|e| e.ids.last < ids.last) {
        queue.pop_front();
    }
    let other = queue.front().filter(|e| e.ids.last == ids.last)?;
    let of = |i: &DiffIds| (i.first, i.prev);
    let same = of(&other.ids) == of(ids) && (other.bids, other.asks) == (bids, asks);
    queue.pop_front();
    Some(same)
}

impl BookState {
    /// The connection that is to feed it next.
    pub fn succeeds(&mut self, conn: ConnId) -> &mut Next {
        if self.next.as_ref().is_some_and(|n| n.conn != conn) {
            self.next = None;
        }
        self.next.get_or_insert_with(|| Box::new(Next::new(conn)))
    }

    /// A diff of the connection that feeds it was applied.
    pub fn took(&mut self, ids: &DiffIds, bids: &[Level], asks: &[Level]) {
        let Some(n) = &mut self.next else { return };
        match n.ids {
            Ids::Open => {
                let _ = n.taken.push(*ids, DiffMeta::default(), bids, asks);
                // For a snapshot that was asked for all must be there; without one the latest are enough.
                if !n.asked {
                    while n.taken.len() > KEPT {
                        n.taken.pop_front();
                    }
                    while n.diffs.len() > KEPT && n.diffs.front().is_some_and(|e| e.ids.last <= ids.last) {
                        n.diffs.pop_front();
                    }
                }
            }
            // What the book has the next one need not bring; if it does, it must be this.
            Ids::Agree => match meets(&mut n.diffs, ids, bids, asks) {
                Some(true) => {}
                Some(false) => n.is_foreign(),
                None if ids.last > n.last => {
                    let _ = n.taken.push(*ids, DiffMeta::default(), bids, asks);
                    while n.taken.len() > AHEAD {
                        n.taken.pop_front();
                    }
                }
                None => {}
            },
            Ids::Foreign => {}
        }
    }

    /// Since when the connection that is to feed it next has brought what the one that feeds it has not: receive time of the
    /// first such diff, if their ids are one count.
    pub fn is_behind_since(&self) -> Option<i64> {
        let n = self.next.as_ref().filter(|n| n.ids == Ids::Agree && self.synced && self.seq.is_live())?;
        let live = self.seq.live_id();
        n.diffs.iter().find(|e| e.ids.last > live).map(|e| e.meta.ts_recv)
    }

    /// What the connection brought that feeds it from now on waits for its snapshot.
    pub fn takes_over(&mut self, conn: ConnId) {
        let Some(n) = self.next.take_if(|n| n.conn == conn) else { return };
        self.buffer.clear();
        for e in n.diffs.iter() {
            let _ = self.buffer.push(e.ids, e.meta, e.bids, e.asks);
        }
    }
}

impl Core {
    /// Whether it can be found out of a book's next connection that its ids are those of the book: by a snapshot of its own, or by
    /// diffs whose ids prove a chain.
    pub(super) fn may_hand_over(&self, id: InstrumentId, b: &BookState) -> bool {
        self.asks_in_band(id) || b.seq.policy() == IdPolicy::Strict
    }

    fn asks_in_band(&self, id: InstrumentId) -> bool {
        super::state::venue_of(self.insts[id.ix()].venue).spec().snapshot == SnapshotSource::InBand
    }

    /// The diff of a connection that is to feed a proven book next. Its snapshot is asked for if nobody has, where it can be.
    pub(super) fn brings_next<S: FoldSink>(
        &self,
        b: &mut BookState,
        (ids, meta): (&DiffIds, DiffMeta),
        d: &Depth<'_>,
        sink: &mut S,
    ) {
        let n = b.succeeds(ids.conn);
        n.brings(ids, meta, d.bids, d.asks);
        if self.asks_in_band(d.instrument) && !std::mem::replace(&mut n.asked, true) {
            let v = &self.insts[d.instrument.ix()].version;
            sink.effect(Effect::Successor { conn: ids.conn, venue: &v.venue, symbol: &v.symbol });
        }
    }

    /// Whether a connection may feed the book after the one that does: it replaces that one, or is of the other leg and
    /// none replaces it. One that is known to be good and has gone on while the one that feeds the book is silent keeps its
    /// place: of a replacement nothing is known yet.
    pub(super) fn may_be_next(&self, stream: StreamId, conn: ConnId, b: &BookState, now: i64) -> bool {
        if let Some(n) = b.next.as_ref().filter(|n| self.carries(stream, n.conn))
            && b.is_behind_since().is_some_and(|ts| now.saturating_sub(ts) >= LAGS_NS)
        {
            return n.conn == conn;
        }
        let Some(s) = self.streams.get(stream.0 as usize) else { return false };
        let of = |id: ConnId| s.carriers.iter().find(|c| c.conn == id);
        let (Some(this), Some(feed)) = (of(conn), of(s.feed)) else { return false };
        // Of several of the other leg the youngest: the others are on their way out.
        let youngest = s.carriers.iter().filter(|c| c.leg == this.leg).all(|c| c.since <= this.since);
        let is_replaced = s.carriers.iter().any(|c| c.leg == feed.leg && c.since > feed.since);
        match this.leg == feed.leg {
            true => this.since > feed.since,
            false => youngest && !is_replaced,
        }
    }

    /// A connection begins to carry what another one carries: if it may take its place, its snapshot is asked for.
    pub(super) fn begins_beside<S: FoldSink>(
        &mut self,
        id: StreamId,
        conn: &Conn,
        rec: &Record<'_>,
        sink: &mut S,
    ) {
        let s = &self.streams[id.0 as usize];
        let spec = super::state::venue_of(s.venue).spec();
        if s.kind != StreamKind::DepthDiff
            || spec.sequence.ids_survive_reconnect
            || spec.snapshot != SnapshotSource::InBand
        {
            return;
        }
        let ix = s.instrument.ix();
        let book = self.insts.get(ix).and_then(|i| i.book.as_ref()).filter(|b| b.synced && b.stream == id);
        if !book.is_some_and(|b| self.may_be_next(id, conn.id, b, rec.ts_recv)) {
            return;
        }
        let inst = &mut self.insts[ix];
        if let Some(b) = inst.book.as_mut() {
            b.succeeds(conn.id).asked = true;
            let (venue, symbol) = (inst.version.venue.as_str(), inst.version.symbol.as_str());
            sink.effect(Effect::Successor { conn: conn.id, venue, symbol });
        }
    }

    /// A snapshot that came on another connection than that which feeds the proven book.
    pub(super) fn beside<S: FoldSink>(
        &mut self,
        rec: &Record<'_>,
        d: &Depth<'_>,
        b: Box<BookState>,
        sink: &mut S,
    ) {
        let (id, mut b) = (d.instrument, b);
        if b.synced && !b.seq.rule().replaces && self.may_be_next(d.stream, rec.conn, &b, rec.ts_recv) {
            let levels = super::state::venue_of(self.insts[id.ix()].venue).spec().snapshot_levels;
            b.succeeds(rec.conn).shows(d, levels.max(1) as usize);
        }
        let speaks = b.seq.rule().replaces;
        self.insts[id.ix()].book = Some(b);
        self.hands_over(rec, id, false, sink);
        if speaks {
            self.feed_is_deaf(rec, d, sink);
        }
    }

    fn carries(&self, stream: StreamId, conn: ConnId) -> bool {
        self.streams.get(stream.0 as usize).is_some_and(|s| s.carriers.iter().any(|c| c.conn == conn))
    }

    /// A connection carries a stream no more: it feeds no book next, whatever it has brought. What that was the one that feeds the
    /// book brings as well, or is missing.
    pub(super) fn next_leaves(&mut self, id: StreamId, conn: ConnId) {
        let inst = self.streams[id.0 as usize].instrument;
        let book = self.insts.get_mut(inst.ix()).and_then(|i| i.book.as_mut());
        if let Some(b) = book.filter(|b| b.stream == id) {
            b.next.take_if(|n| n.conn == conn);
        }
    }

    /// We end a connection. If it is the one that is to feed the book next, and has brought what the one that feeds it did not
    /// bring in so long, that one is dead and has not said so: the book goes on with what is known.
    pub(super) fn next_ends<S: FoldSink>(
        &mut self,
        rec: &Record<'_>,
        conn: ConnId,
        id: InstrumentId,
        sink: &mut S,
    ) {
        let book = self.insts.get(id.ix()).and_then(|i| i.book.as_ref());
        let is_next = book.is_some_and(|b| b.next.as_ref().is_some_and(|n| n.conn == conn));
        let since = book.filter(|_| is_next).and_then(|b| b.is_behind_since());
        if since.is_some_and(|ts| rec.ts_recv.saturating_sub(ts) >= LAGS_NS) {
            self.hands_over(rec, id, true, sink);
        }
    }

    /// The book goes on with the connection that is to feed it next, if that one's ids are known to be the book's and it
    /// is not behind. `now`: the other one is gone. Says whether it did.
    pub(super) fn hands_over<S: FoldSink>(
        &mut self,
        rec: &Record<'_>,
        id: InstrumentId,
        now: bool,
        sink: &mut S,
    ) -> bool {
        let Some(mut b) = self.insts[id.ix()].book.take() else { return false };
        let mut done = false;
        if b.synced && b.seq.is_live() && self.decides(id, &mut b, sink) {
            let live = b.seq.live_id();
            let replaces = b.next.as_ref().is_some_and(|n| self.is_successor(b.stream, n.conn));
            let is_there = b.next.as_ref().is_some_and(|n| self.carries(b.stream, n.conn));
            if let Some(n) = b.next.take_if(|n| is_there && (now || replaces && n.last >= live)) {
                self.goes_on_with(&n, rec, id, &mut b, sink);
                b.beside.proven(rec);
                done = true;
            }
        }
        let lost = done && !b.buffer.is_empty();
        self.insts[id.ix()].book = Some(b);
        if lost {
            self.unproven(rec, id, GapCause::ResyncWait, Detector::Ids, sink);
        }
        done
    }

    /// Whether the ids of the successor are those of the book.
    fn decides<S: FoldSink>(&self, id: InstrumentId, b: &mut BookState, sink: &mut S) -> bool {
        let Some(n) = b.next.as_ref() else { return false };
        let ids = match n.ids {
            Ids::Open => {
                let said = if self.asks_in_band(id) { n.agrees(b) } else { n.is_alike() };
                let Some(same) = said else { return false };
                if same { Ids::Agree } else { Ids::Foreign }
            }
            known => known,
        };
        if let Some(n) = b.next.as_mut().filter(|n| n.ids == Ids::Open) {
            (n.ids, n.view) = (ids, None);
            let last = n.last;
            n.taken.retain(|i| i.last > last);
            if ids == Ids::Foreign {
                n.is_foreign();
            }
            // Whoever asked need not ask again.
            sink.effect(Effect::Synced { instrument: id });
        }
        ids == Ids::Agree
    }

    fn goes_on_with<S: FoldSink>(
        &mut self,
        n: &Next,
        rec: &Record<'_>,
        id: InstrumentId,
        b: &mut BookState,
        sink: &mut S,
    ) {
        let live = b.seq.live_id();
        b.seq.goes_on_with(n.conn);
        b.buffer.clear();
        for e in n.diffs.iter().filter(|e| e.ids.last > live) {
            let _ = b.buffer.push(e.ids, e.meta, e.bids, e.asks);
        }
        if !b.buffer.is_empty() {
            let _ = self.offer(rec, id, b, false, sink);
        }
        if let Some(s) = self.streams.get_mut(b.stream.0 as usize) {
            s.feed = n.conn;
            s.conn = n.conn;
            let last = b.seq.live_id();
            if last > live {
                (s.last_id, s.ts_chain) = (last, rec.ts_recv);
                let leg = s.carrier(n.conn).map_or(0, |c| c.leg);
                for e in n.diffs.iter().filter(|e| e.ids.last > live && e.ids.last <= last) {
                    s.uses(By { conn: n.conn, leg }, e.meta.rseq);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
