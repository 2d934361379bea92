//! What the lane's books just did, for live subscribers: into the event ring, over the oldest when it is full.

use crate::bus::event::{EventProducer, LiveEvent, LiveKind};
use crate::fold::{Fold, Observed};
use crate::model::record::FLAG_STALLED;
use crate::model::{InstrumentId, InstrumentVersion, Record, Side, flags};

/// The best levels: bid price, bid size, ask price, ask size.
type Best = [i64; 4];
/// Of a side that is empty, and of a book that is not proven.
const NONE: Best = [0; 4];

/// The writing side of a lane's event ring.
pub(super) struct LiveEvents {
    events: EventProducer,
    /// What the record that is being folded did, in order.
    pending: Vec<LiveEvent>,
    /// The book that it changed.
    touched: InstrumentId,
    /// Per instrument what was last told, and the decimals.
    known: Vec<(Best, (u8, u8))>,
}

impl LiveEvents {
    pub(super) fn new(events: EventProducer) -> LiveEvents {
        LiveEvents { events, pending: Vec::with_capacity(64), touched: InstrumentId::NONE, known: Vec::new() }
    }

    /// An instrument is new or has other decimals.
    pub(super) fn instrument(&mut self, id: InstrumentId, v: &InstrumentVersion) {
        if self.known.len() <= id.ix() {
            self.known.resize(id.ix() + 1, (NONE, (0, 0)));
        }
        // In other decimals the same prices are other numbers: they are told again.
        self.known[id.ix()] = (NONE, (v.price_exp, v.size_exp));
    }

    /// Notes what the fold shows.
    #[inline]
    pub(super) fn observe(&mut self, what: Observed<'_>) {
        match what {
            Observed::Applied { instrument, .. } | Observed::Loaded { instrument, .. } => {
                self.touched = instrument
            }
            Observed::Trade(t) => {
                self.note(LiveKind::Trade, t.instrument, [t.price, t.size, t.side.into(), t.id])
            }
            Observed::Cleared { instrument } => {
                self.note(LiveKind::Stale, instrument, NONE);
                if let Some(k) = self.known.get_mut(instrument.ix()) {
                    k.0 = NONE;
                }
            }
            Observed::Diff { .. } | Observed::Stale { .. } | Observed::Gap { .. } | Observed::Candle(..) => {}
        }
    }

    /// A book became proven.
    pub(super) fn synced(&mut self, id: InstrumentId) {
        self.note(LiveKind::Synced, id, NONE);
        self.touched = id;
    }

    fn note(&mut self, kind: LiveKind, id: InstrumentId, [a, b, c, d]: [i64; 4]) {
        let (price_exp, size_exp) = self.known.get(id.ix()).map_or((0, 0), |k| k.1);
        self.pending.push(LiveEvent {
            kind,
            flags: 0,
            price_exp,
            size_exp,
            instrument: id.0,
            ts_event: 0,
            ts_recv: 0,
            a,
            b,
            c,
            d,
        });
    }

    /// The record is folded: what it did becomes visible.
    #[inline]
    pub(super) fn publish(&mut self, rec: &Record<'_>, fold: &Fold) {
        if self.touched != InstrumentId::NONE {
            self.top(fold);
        }
        if self.pending.is_empty() {
            return;
        }
        let late = if rec.flags & FLAG_STALLED != 0 { flags::BAD_TS_RECV as u8 } else { 0 };
        let ts_event = fold.last().ts_event;
        for e in self.pending.drain(..) {
            self.events.push(&LiveEvent { flags: late, ts_event, ts_recv: rec.ts_recv, ..e });
        }
    }

    fn top(&mut self, fold: &Fold) {
        let id = std::mem::replace(&mut self.touched, InstrumentId::NONE);
        // A book that is not proven has no best price.
        let Some(book) = fold.book(id) else { return };
        let side = |s| book.best(s).map_or((0, 0), |l| (l.price, l.size));
        let ((bp, bs), (ap, asz)) = (side(Side::Bid), side(Side::Ask));
        let best = [bp, bs, ap, asz];
        match self.known.get_mut(id.ix()) {
            Some(k) if k.0 != best => k.0 = best,
            _ => return,
        }
        self.note(LiveKind::Top, id, best);
    }
}
