//! The truth audit: a proven book held against a snapshot that was fetched for it.
//!
//! Ids prove that no event is missing; they do not prove that an event says all, nor that we took it as it was meant. A
//! snapshot does. It shows the book as it was at its id, while the book has gone on, or is not there yet. So an audit
//! begins with a timer record, before the snapshot is asked for: from then on the sizes that events replace are kept. When
//! both the snapshot and the event that reaches its id are here, the book is taken back to that event and compared.
//!
//! An event that ends behind the snapshot's id straddles it: it names levels that changed before or after, nobody can say
//! which. These are left out, and so are levels that one of the two does not know (their horizons).
//!
//! An audit that is interrupted (the book is lost, replaced, or its interval ends) says `not_comparable` if its snapshot
//! was here, and nothing otherwise; so no checkpoint needs to hold one.

use super::compare::{Known, Since, Sums, compare};
use super::state::{BookState, Core, Detector};
use super::{Effect, FoldSink};
use crate::book::{Book, same_id_space};
use crate::model::{
    AuditRow, AuditVerdict, ConnId, Depth, Head, IdPolicy, InstrumentId, Level, Record, RowRef, Side, flags,
    row::GapCause,
};

/// Events that an audit remembers; far more than come while a snapshot is on its way.
const STEPS_MAX: usize = 8_192;
/// Level entries that an audit remembers.
const LEVELS_MAX: usize = 65_536;

/// An event that was applied since the audit began.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// Its last id.
    last: i64,
    /// End of its entries in [`Audit::was`].
    end: usize,
}

/// What a level was before an event.
#[derive(Clone, Copy, Debug)]
struct Was {
    side: Side,
    price: i64,
    size: i64,
}

/// The snapshot of an audit.
#[derive(Clone, Debug)]
struct Snapshot {
    id: i64,
    conn: ConnId,
    rseq: i64,
    ts_event: i64,
    ts_send: i64,
    bids: Vec<Level>,
    asks: Vec<Level>,
    /// Levels a side that it has at most.
    limit: usize,
    /// Its id is of the events' own count, which has no holes.
    joins: bool,
}

/// An audit under way.
#[derive(Clone, Debug)]
pub(super) struct Audit {
    /// Id of the book when it began.
    began: i64,
    steps: Vec<Step>,
    was: Vec<Was>,
    /// More happened than is remembered.
    lost: bool,
    snapshot: Option<Snapshot>,
}

/// What an audit finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    verdict: AuditVerdict,
    sums: Sums,
}

impl Found {
    const NOTHING: Found = Found {
        verdict: AuditVerdict::NotComparable,
        sums: Sums { compared: 0, wrong: 0, worst_rank: -1, unsure: 0, beyond: 0 },
    };

    fn of(sums: Sums) -> Found {
        let nothing = sums.compared == 0 && sums.unsure + sums.beyond > 0;
        let verdict = match sums {
            Sums { wrong: 1.., .. } => AuditVerdict::Differs,
            _ if nothing => AuditVerdict::NotComparable,
            Sums { unsure: 1.., .. } => AuditVerdict::EqualButStraddle,
            _ => AuditVerdict::Equal,
        };
        Found { verdict, sums }
    }
}

impl Audit {
    fn new(began: i64) -> Audit {
        Audit { began, steps: Vec::new(), was: Vec::new(), lost: false, snapshot: None }
    }

    /// Whether only the event that reaches over its snapshot is awaited.
    pub fn has_snapshot(&self) -> bool {
        self.snapshot.is_some()
    }

    /// An event is about to be applied: the sizes that it replaces are kept.
    pub fn note(&mut self, book: &Book, last: i64, bids: &[Level], asks: &[Level]) {
        if self.lost {
            return;
        }
        if self.steps.len() >= STEPS_MAX || self.was.len() + bids.len() + asks.len() > LEVELS_MAX {
            (self.lost, self.steps, self.was) = (true, Vec::new(), Vec::new());
            return;
        }
        for (side, levels) in [(Side::Bid, bids), (Side::Ask, asks)] {
            let was = levels.iter().map(|l| Was { side, price: l.price, size: book.get(side, l.price) });
            self.was.extend(was);
        }
        self.steps.push(Step { last, end: self.was.len() });
    }

    /// Wider exponents for everything held.
    pub fn rescale(&mut self, from: (u8, u8), to: (u8, u8)) {
        let scaled = |price: &mut i64, size: &mut i64| {
            let p = crate::model::num::rescale(*price, from.0, to.0);
            let s = crate::model::num::rescale(*size, from.1, to.1);
            (*price, *size) = (p.unwrap_or(0), s.unwrap_or(0));
            p.is_some() && s.is_some()
        };
        let mut fits = true;
        for w in &mut self.was {
            fits &= scaled(&mut w.price, &mut w.size);
        }
        for l in self.snapshot.iter_mut().flat_map(|s| s.bids.iter_mut().chain(&mut s.asks)) {
            fits &= scaled(&mut l.price, &mut l.size);
        }
        self.lost |= !fits;
    }

    /// The entries of an event.
    fn entries(&self, step: usize) -> &[Was] {
        let from = step.checked_sub(1).map_or(0, |n| self.steps[n].end);
        &self.was[from..self.steps[step].end]
    }

    /// Where the book is not what it was once the first `applied` events were in it.
    fn since(&self, applied: usize, straddles: bool) -> Since {
        let mut since = Since::default();
        let from = applied.checked_sub(1).map_or(0, |n| self.steps[n].end);
        for w in &self.was[from..] {
            since.were[usize::from(w.side == Side::Ask)].push((w.price, w.size));
        }
        for were in &mut since.were {
            // Of several old sizes the first one counts; the sort keeps their order.
            were.sort_by_key(|w| w.0);
            were.dedup_by_key(|w| w.0);
        }
        if straddles {
            for w in self.entries(applied - 1) {
                since.unsure[usize::from(w.side == Side::Ask)].push(w.price);
            }
            since.unsure.iter_mut().for_each(|u| u.sort_unstable());
        }
        since
    }

    /// The verdict, if it can be given now.
    fn judge(&self, book: &Book, horizons: (Option<i64>, Option<i64>)) -> Option<Found> {
        let s = self.snapshot.as_ref()?;
        if self.lost || !s.joins || s.id < self.began {
            return Some(Found::NOTHING);
        }
        let known = Known::of(horizons, &s.bids, &s.asks, s.limit);
        let held = |since: &Since| compare(book, since, (&s.bids, &s.asks), known);
        if s.id == self.began {
            return Some(Found::of(held(&self.since(0, false))));
        }
        match self.steps.iter().position(|step| step.last >= s.id) {
            Some(n) => Some(Found::of(held(&self.since(n + 1, self.steps[n].last > s.id)))),
            None => {
                // It is newer than the book. If they are equal nothing lies between them; else that is on its way. Where none
                // of its levels is known to the book, what is on its way may tell.
                let sums = held(&Since::default());
                (sums.wrong == 0 && sums.compared > 0).then(|| Found::of(sums))
            }
        }
    }
}

impl BookState {
    fn judged(&self) -> Option<Found> {
        self.audit.as_ref()?.judge(&self.book, (self.bid_horizon, self.ask_horizon))
    }
}

impl Core {
    /// A snapshot is about to be asked for, to be held against a book.
    pub fn audit_begins<S: FoldSink>(&mut self, rec: &Record<'_>, id: InstrumentId, sink: &mut S) {
        let Some(mut b) = self.insts[id.ix()].book.take() else { return };
        self.audit_ends(&self.head_of(rec, id), &mut b, sink);
        if b.synced {
            let at = if b.seq.is_live() { b.seq.live_id() } else { b.last };
            b.audit = Some(Box::new(Audit::new(at)));
        }
        self.insts[id.ix()].book = Some(b);
    }

    /// A snapshot came that nobody but an audit waits for.
    pub fn audit_snapshot<S: FoldSink>(
        &mut self,
        rec: &Record<'_>,
        d: &Depth<'_>,
        limit: usize,
        sink: &mut S,
    ) {
        let Some(b) = self.insts[d.instrument.ix()].book.as_mut().filter(|b| b.synced) else { return };
        let joins = b.seq.policy() == IdPolicy::Strict && same_id_space(b.last.max(1), d.last.max(1));
        let Some(a) = b.audit.as_mut().filter(|a| a.snapshot.is_none()) else { return };
        a.snapshot = Some(Snapshot {
            id: d.last,
            conn: rec.conn,
            rseq: rec.rseq,
            ts_event: d.ts_event,
            ts_send: d.ts_send,
            bids: d.bids.to_vec(),
            asks: d.asks.to_vec(),
            limit,
            joins,
        });
        self.audit_due(rec, d.instrument, sink);
    }

    /// The book has gone on, or its snapshot is here: the verdict, if it can be given. A book that differs is not what the
    /// venue has, whatever its ids say: its proof ends here.
    pub fn audit_due<S: FoldSink>(&mut self, rec: &Record<'_>, id: InstrumentId, sink: &mut S) {
        let Some(b) = self.insts[id.ix()].book.as_mut() else { return };
        let Some(found) = b.judged() else { return };
        if let Some(s) = b.audit.take().and_then(|a| a.snapshot) {
            self.say_audit(&self.head_of(rec, id), &s, found, sink);
        }
        if found.verdict == AuditVerdict::Differs {
            self.unproven(rec, id, GapCause::ProtocolViolation, Detector::Audit, sink);
        }
    }

    /// Whatever an audit waits for will not come, or nobody waits any more.
    pub fn audit_ends<S: FoldSink>(&mut self, head: &Head, b: &mut BookState, sink: &mut S) {
        if let Some(s) = b.audit.take().and_then(|a| a.snapshot) {
            self.say_audit(head, &s, Found::NOTHING, sink);
        }
    }

    /// A whole view took the place of the book: an audit that has no snapshot yet begins anew with it.
    pub fn audit_replaced<S: FoldSink>(&mut self, head: &Head, b: &mut BookState, id: i64, sink: &mut S) {
        let Some(waits) = b.audit.as_ref().map(|a| a.snapshot.is_some()) else { return };
        self.audit_ends(head, b, sink);
        if !waits {
            b.audit = Some(Box::new(Audit::new(id)));
        }
    }

    /// An interval ends.
    pub fn audits_end<S: FoldSink>(&mut self, rec: &Record<'_>, sink: &mut S) {
        for i in 0..self.insts.len() {
            let id = InstrumentId(i as u32);
            let Some(mut b) = self.insts[i].book.take() else { continue };
            self.audit_ends(&self.head_of(rec, id), &mut b, sink);
            self.insts[i].book = Some(b);
        }
    }

    fn say_audit<S: FoldSink>(&mut self, head: &Head, s: &Snapshot, found: Found, sink: &mut S) {
        self.counters.audits[found.verdict as usize] += 1;
        let Sums { compared, wrong, worst_rank, .. } = found.sums;
        if S::ROWS {
            let is_own = (head.conn, head.rseq) == (s.conn, s.rseq);
            let head = Head {
                ts_event: s.ts_event,
                ts_send: s.ts_send,
                ts_kernel: if is_own { head.ts_kernel } else { 0 },
                conn: s.conn,
                rseq: s.rseq,
                flags: head.flags & flags::BAD_TS_RECV,
                ..*head
            };
            let row = AuditRow {
                seq: s.id,
                levels_compared: compared,
                levels_wrong: wrong,
                worst_rank,
                verdict: found.verdict.as_str(),
            };
            sink.row(&head, RowRef::Audit(row));
        }
        let (instrument, verdict) = (head.instrument, found.verdict);
        sink.effect(Effect::Audited { instrument, verdict, seq: s.id, compared, wrong });
    }
}
