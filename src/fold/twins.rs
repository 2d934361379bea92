//! Streams of one instrument beside the one of the whole market (`btcusdt@forceOrder`, `!forceOrder@arr`): the same event
//! comes on both, and is told once.
//!
//! The same is what says the same in all columns of its table, times of the venue included. The rule is that of two legs:
//! the n-th time that a stream brings an event it is news only if the other one has not brought it n times. So what one of
//! them leaves out has its row by the other. Both are of one lane: the plan sees to that.

use std::hash::{Hash, Hasher};

use rustc_hash::FxHasher;
use serde::{Deserialize, Serialize};

use super::state::{Conn, Core};
use crate::model::{Event, InstrumentId, StreamId, StreamKind};

/// Events that are remembered per pair of streams.
const SEEN_MAX: usize = 128;

/// What came last over an instrument's own stream and that of the whole market: what it says, and how often each brought it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Twin {
    /// A ring: the oldest is at `next` once it is full.
    seen: Vec<(u64, [u8; 2])>,
    next: u32,
}

impl Twin {
    /// Takes an event of one of the two; whether it is news.
    fn takes(&mut self, what: u64, by_market: bool) -> bool {
        let (this, other) = (usize::from(by_market), usize::from(!by_market));
        let (new, old) = self.seen.split_at_mut(self.next as usize);
        if let Some((_, times)) = new.iter_mut().rev().chain(old.iter_mut().rev()).find(|s| s.0 == what) {
            times[this] = times[this].saturating_add(1);
            return times[this] > times[other];
        }
        let mut times = [0; 2];
        times[this] = 1;
        if self.seen.len() < SEEN_MAX {
            if self.seen.capacity() == 0 {
                self.seen.reserve_exact(SEEN_MAX);
            }
            self.seen.push((what, times));
            self.next = (self.seen.len() % SEEN_MAX) as u32;
        } else {
            self.seen[self.next as usize] = (what, times);
            self.next = (self.next + 1) % SEEN_MAX as u32;
        }
        true
    }
}

/// Kinds that come for one instrument and for the whole market.
fn has_twins(kind: StreamKind) -> bool {
    use StreamKind::{BookTicker, Liquidation, Mark, MiniTicker, Ticker};
    matches!(kind, BookTicker | Mark | Liquidation | MiniTicker | Ticker)
}

/// All that an event says in its table.
fn said(e: &Event<'_>) -> Option<(InstrumentId, u64)> {
    let mut h = FxHasher::default();
    let instrument = match e {
        Event::Bbo(x) => {
            let sides = (x.bid.price, x.bid.size, x.ask.price, x.ask.size);
            (x.ts_event, x.ts_send, x.last, sides).hash(&mut h);
            x.instrument
        }
        Event::Mark(x) => {
            let px = (x.mark_px, x.index_px, x.settle_px, x.funding_rate);
            (x.ts_event, x.ts_send, px, x.ts_next_funding).hash(&mut h);
            x.instrument
        }
        Event::Liquidation(x) => {
            let sizes = (x.price, x.avg_price, x.size, x.last_filled, x.filled);
            (x.ts_event, x.ts_send, x.side, sizes, x.order_type, x.tif, x.status).hash(&mut h);
            x.instrument
        }
        Event::Ticker(x) => {
            let px = (x.open, x.high, x.low, x.last, x.last_size, x.volume, x.quote_volume);
            (x.ts_event, x.ts_send, px, x.trade_count, x.ts_open, x.ts_close).hash(&mut h);
            x.instrument
        }
        _ => return None,
    };
    Some((instrument, h.finish()))
}

impl Core {
    /// A stream is new: it may be one of two that bring the same.
    #[cold]
    pub(super) fn may_have_twin(&mut self, id: StreamId) {
        let s = &self.streams[id.0 as usize];
        let (venue, kind, instrument) = (s.venue, s.kind, s.instrument);
        if !has_twins(kind) {
            return;
        }
        if instrument == InstrumentId::NONE {
            if !self.markets.contains(&(venue, kind)) {
                self.markets.push((venue, kind));
            }
        } else {
            self.own.entry((kind, instrument)).or_insert(id);
        }
    }

    /// Whether an event has been told already because the other stream that brings it was first.
    pub(super) fn told_by_twin(&mut self, conn: &Conn, stream: StreamId, e: &Event<'_>) -> bool {
        if self.markets.is_empty() {
            return false;
        }
        let Some(s) = self.streams.get(stream.0 as usize) else { return false };
        if !self.markets.contains(&(conn.venue, s.kind)) {
            return false;
        }
        let (kind, by_market) = (s.kind, s.instrument == InstrumentId::NONE);
        let Some((instrument, what)) = said(e) else { return false };
        let Some(own) = self.own.get(&(kind, instrument)).copied() else { return false };
        !self.s(own).twin.takes(what, by_market)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nth_time_is_news_if_the_other_one_has_not_brought_it_so_often() {
        let mut t = Twin::default();
        let says: Vec<bool> = [true, false, false, true, true].into_iter().map(|by| t.takes(7, by)).collect();
        assert_eq!(says, [true, false, true, false, true]);
        for n in 100..1000 {
            assert_eq!([t.takes(n, false), t.takes(n, true)], [true, false]);
        }
        assert_eq!(t.seen.len(), SEEN_MAX);
        assert!(t.takes(7, false), "so long ago nobody remembers");
    }
}
