//! Books in a gap: a silence or a cut does not clear a book by itself, for the next event may prove that nothing was missing.
//! But a gap that lasts longer than a connection may be silent is no moment any more: nobody knows what the book is, and a
//! `CLEAR` row says so. The levels are kept. If the next event goes on from the last one all the same the whole book is
//! stated again, in a new epoch; if it does not they are dropped, as ever.

use super::state::{BookState, Core, Fold};
use super::{Effect, FoldSink, Observed};
use crate::model::control::from_payload;
use crate::model::time::{NS_PER_DAY, NS_PER_S};
use crate::model::{Head, InstrumentId, Kind, Record, StreamId, TimerEvent};

/// Books are looked at this often at least. Less than any silence that is borne, so none is found late.
const LOOK_NS: i64 = 2 * NS_PER_S;

impl BookState {
    /// Whether the next event may go on from what is held: a proven book, or one that has lapsed.
    pub fn stands(&self) -> bool {
        self.synced || self.lapsed != 0
    }

    /// The next row opens a part.
    pub fn opens_part(&mut self) {
        self.carry = self.stands();
    }

    /// The epoch of what is proven, or was when the gap began that is open.
    pub fn proof_epoch(&self) -> i64 {
        if self.lapsed != 0 { self.lapsed } else { self.epoch }
    }
}

impl Fold {
    /// What became true between the lane's last record and this one: a UTC day begins, a book was in a gap for too long.
    /// Part of the step; whoever ends a part before that step asks for it here.
    pub fn meanwhile<S: FoldSink>(&mut self, rec: &Record<'_>, sink: &mut S) {
        if S::ROWS {
            self.core.flush_tops(rec.ts_recv, sink);
        }
        let opens = self.core.day_opens;
        if opens != 0 && boundary_of(rec).is_some_and(|at| at >= opens.saturating_add(NS_PER_DAY)) {
            // The lane slept through all of that day: it has no record, so it has no rows.
            self.core.day_opens = 0;
        } else if opens != 0 {
            self.core.open_day(rec, sink);
        }
        if rec.ts_recv >= self.core.lapse_at || rec.kind == Kind::Timer {
            self.core.books_lapse(rec, sink);
        }
    }
}

impl Core {
    /// Time has come to `rec`: books whose gap has lasted too long end where the lane's last record was.
    #[cold]
    pub fn books_lapse<S: FoldSink>(&mut self, rec: &Record<'_>, sink: &mut S) {
        let mut due = rec.ts_recv.saturating_add(LOOK_NS);
        let ends = boundary_of(rec);
        for i in 0..self.insts.len() {
            let Some((stream, at)) = self.lapses_at(i, ends) else { continue };
            if rec.ts_recv <= at {
                due = due.min(at.saturating_add(1));
                continue;
            }
            if self.s(stream).gap.is_none() {
                // What the other connection was to bring does not come any more.
                self.waits_in_vain(rec, InstrumentId(i as u32), sink);
            }
            if self.s(stream).gap.is_none() {
                self.cut_silence_at(stream, rec.ts_recv, rec, sink);
            }
            self.lapse(stream, rec, sink);
        }
        self.lapse_at = due;
    }

    /// When the book of an instrument has been in a gap, or silent with nobody there to see it, for too long. `ends`: the
    /// boundary that the record is.
    fn lapses_at(&self, i: usize, ends: Option<i64>) -> Option<(StreamId, i64)> {
        let b = self.insts[i].book.as_ref().filter(|b| b.synced)?;
        let s = self.streams.get(b.stream.0 as usize)?;
        let since = match s.gap {
            Some(_) => s.doubt_since,
            // A live connection that is silent is ended by its reader, if that does not stand still itself: then an interval
            // ends in the silence, for which nobody waits any longer.
            None if s.last_id >= 0
                && (self.is_import() || ends.is_some_and(|at| s.is_split_for_good(at))) =>
            {
                self.heard(s)?
            }
            None => return None,
        };
        Some((b.stream, since.saturating_add(super::silences::limit_of(s.venue))))
    }

    /// The book that a stream feeds is not known any more, from where the lane's last record was.
    fn lapse<S: FoldSink>(&mut self, stream: StreamId, rec: &Record<'_>, sink: &mut S) {
        let s = &self.streams[stream.0 as usize];
        let (Some(gap), id, conn) = (s.gap, s.instrument, s.conn) else { return };
        let Some(inst) = self.insts.get_mut(id.ix()) else { return };
        let venue = inst.venue;
        let Some(mut b) = inst.book.take() else { return };
        if b.synced && b.stream == stream {
            let ts_recv = self.ts_max.saturating_add(1).max(gap.ts_begin).min(rec.ts_recv);
            let base = self.head(rec);
            let head =
                Head { instrument: id, venue, ts_recv, ts_kernel: 0, conn, rseq: -1, flags: 0, ..base };
            if b.audit.is_some() {
                self.audit_ends(&head, &mut b, sink);
            }
            b.lapsed = b.epoch;
            self.clear_row(&head, &mut b, sink);
            sink.observe(Observed::Cleared { instrument: id });
            (b.synced, b.next) = (false, None);
            b.top.reset();
            b.opens_part();
        }
        self.insts[id.ix()].book = Some(b);
    }

    /// An event goes on where the book ended: nothing was missing, and its rows begin again.
    #[cold]
    pub fn comes_back<S: FoldSink>(&mut self, head: &Head, b: &mut BookState, sink: &mut S) {
        b.lapsed = 0;
        b.synced = true;
        b.epoch = head.ts_recv.max(b.epoch.saturating_add(1)).max(self.cfg.epoch_floor.saturating_add(1));
        sink.effect(Effect::Synced { instrument: InstrumentId(head.instrument.0) });
    }
}

/// The boundary that a record states, if it is one.
fn boundary_of(rec: &Record<'_>) -> Option<i64> {
    if rec.kind != Kind::Timer {
        return None;
    }
    match from_payload(rec.payload) {
        Ok(TimerEvent::Boundary(b)) => Some(b.at),
        _ => None,
    }
}
