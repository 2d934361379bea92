//! Trades of streams whose ids skip: one that a venue says twice is told once.
//!
//! A hole in such ids proves nothing, so there is no chain that would show a repeat. What shows it is the id together with all
//! that the trade says: two trades of one millisecond, price and size are two as long as their ids differ, and where a venue
//! gives no id each is one.

use rustc_hash::FxHasher;
use serde::{Deserialize, Serialize};
use std::hash::Hasher;

use super::state::Core;
use crate::model::{Dec, StreamKind, Trade};

/// Trades that are remembered per stream.
const LATEST_MAX: usize = 128;
/// 2020-01-01 and 2120-01-01 in seconds since the epoch.
const CALENDAR_S: (i64, i64) = (1_577_836_800, 4_733_510_400);

/// The latest trades of a stream, a ring: the oldest is at `next` once it is full.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Latest {
    seen: Vec<(i64, u64)>,
    next: u32,
    /// Greatest id so far; ids rise, so that what is above it need not be looked for.
    top: i64,
}

impl Latest {
    /// Takes a trade; whether it was here before.
    fn takes(&mut self, id: i64, what: u64) -> bool {
        if id <= self.top && self.seen.contains(&(id, what)) {
            return true;
        }
        self.top = self.top.max(id);
        if self.seen.len() < LATEST_MAX {
            if self.seen.capacity() == 0 {
                self.seen.reserve_exact(LATEST_MAX);
                self.top = id;
            }
            self.seen.push((id, what));
        } else {
            self.seen[self.next as usize] = (id, what);
            self.next = (self.next + 1) % LATEST_MAX as u32;
        }
        false
    }
}

/// Whether a number may be a time in s, ms, µs or ns: an id for which a venue gives no time may be its time, and then tells
/// nothing apart.
fn may_be_time(n: i64) -> bool {
    [1, 1_000, 1_000_000, 1_000_000_000].into_iter().any(|unit| {
        let s = n / unit;
        (CALENDAR_S.0..CALENDAR_S.1).contains(&s)
    })
}

impl Core {
    /// Whether a trade whose ids skip was told before; it is remembered.
    pub(super) fn is_repeated(&mut self, t: &Trade<'_>) -> bool {
        if t.id < 0 || t.chain_id >= 0 || (t.ts_event == 0 && may_be_time(t.id)) {
            return false;
        }
        let Some(v) = self.insts.get(t.instrument.ix()).map(|i| &i.version) else { return false };
        let mut h = FxHasher::default();
        for d in [Dec::new(t.price, v.price_exp).trimmed(), Dec::new(t.size, v.size_exp).trimmed()] {
            h.write_i64(d.m);
            h.write_u8(d.e);
        }
        h.write_i64(t.ts_event);
        h.write_i8(t.side);
        let what = h.finish();
        match self.streams.get_mut(t.stream.0 as usize) {
            Some(s) if s.kind == StreamKind::TradeSparse => s.latest.takes(t.id, what),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_has_an_end_and_ids_may_fall() {
        let mut l = Latest::default();
        assert_eq!([l.takes(-5, 1), l.takes(-5, 1), l.takes(-5, 2)], [false, true, false]);
        for n in 0..300 {
            assert!(!l.takes(n, 0));
        }
        assert_eq!(l.seen.len(), LATEST_MAX);
        let known = [l.takes(299, 0), l.takes(200, 0), l.takes(3, 0)];
        assert_eq!(known, [true, true, false], "so long ago nobody remembers");
    }

    #[test]
    fn ids_that_may_be_times_are_known() {
        assert!([1_769_598_709, 1_769_598_709_094, 1_769_598_709_094_123].into_iter().all(may_be_time));
        assert!(may_be_time(1_769_598_709_094_123_456));
        let ids = [987_654_321, 1_234_567_890_123_456, 586_769_324_550_225_920, 288_230_377_097_259_426, 0];
        assert!(!ids.into_iter().any(may_be_time));
    }
}
