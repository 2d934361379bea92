//! The slow book: two ordered maps, obviously right. Tests and benches hold [`super::Book`] against it; nobody
//! records with it.

use std::collections::BTreeMap;

use super::ladder::{Change, Changes, RescaleError};
use crate::model::num::{rescale, write_plain};
use crate::model::{Level, Side};

/// A book in two `BTreeMap`s, with the same meaning as [`super::Book`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReferenceBook {
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
}

impl ReferenceBook {
    /// An empty book.
    pub fn new() -> ReferenceBook {
        ReferenceBook::default()
    }

    /// Removes every level.
    pub fn clear(&mut self) {
        self.bids.clear();
        self.asks.clear();
    }

    fn side(&self, side: Side) -> &BTreeMap<i64, i64> {
        match side {
            Side::Bid => &self.bids,
            Side::Ask => &self.asks,
        }
    }

    /// Sets the size of a level; 0 (or less) removes it.
    pub fn set(&mut self, side: Side, price: i64, size: i64) -> Change {
        let map = match side {
            Side::Bid => &mut self.bids,
            Side::Ask => &mut self.asks,
        };
        let before = if size > 0 { map.insert(price, size) } else { map.remove(&price) };
        Change::between(before.unwrap_or(0), size.max(0))
    }

    /// Sets the levels of a message; counts what they did.
    pub fn apply(&mut self, bids: &[Level], asks: &[Level]) -> Changes {
        let mut changes = Changes::default();
        for (side, levels) in [(Side::Bid, bids), (Side::Ask, asks)] {
            for l in levels {
                changes.add(self.set(side, l.price, l.size));
            }
        }
        changes
    }

    /// The size at a price, 0 if there is none.
    pub fn get(&self, side: Side, price: i64) -> i64 {
        self.side(side).get(&price).copied().unwrap_or(0)
    }

    /// The best level.
    pub fn best(&self, side: Side) -> Option<Level> {
        let entry = match side {
            Side::Bid => self.bids.last_key_value(),
            Side::Ask => self.asks.first_key_value(),
        };
        entry.map(|(&price, &size)| Level { price, size })
    }

    /// Number of levels.
    pub fn len(&self, side: Side) -> usize {
        self.side(side).len()
    }

    /// Whether both sides are empty.
    pub fn is_empty(&self) -> bool {
        self.bids.is_empty() && self.asks.is_empty()
    }

    /// Levels, best first.
    pub fn levels(&self, side: Side) -> Vec<Level> {
        let level = |(&price, &size): (&i64, &i64)| Level { price, size };
        match side {
            Side::Bid => self.bids.iter().rev().map(level).collect(),
            Side::Ask => self.asks.iter().map(level).collect(),
        }
    }

    /// Whether the best bid is at or above the best ask.
    pub fn is_crossed(&self) -> bool {
        matches!((self.best(Side::Bid), self.best(Side::Ask)), (Some(b), Some(a)) if b.price >= a.price)
    }

    /// Moves every level to other exponents.
    ///
    /// # Errors
    /// [`RescaleError`] names the first level (bids before asks, best first) that does not fit.
    pub fn rescale(&mut self, price: (u8, u8), size: (u8, u8)) -> Result<(), RescaleError> {
        let mut moved = ReferenceBook::new();
        for side in [Side::Bid, Side::Ask] {
            for l in self.levels(side) {
                let (Some(p), Some(s)) =
                    (rescale(l.price, price.0, price.1), rescale(l.size, size.0, size.1))
                else {
                    return Err(RescaleError { price: l.price, size: l.size });
                };
                moved.set(side, p, s);
            }
        }
        *self = moved;
        Ok(())
    }

    /// The canonical text.
    pub fn canonical(&self, price_exp: u8, size_exp: u8) -> String {
        let mut out = String::new();
        for side in [Side::Bid, Side::Ask] {
            if side == Side::Ask {
                out.push('|');
            }
            for l in self.levels(side) {
                write_plain(&mut out, l.price, price_exp);
                out.push(':');
                write_plain(&mut out, l.size, size_exp);
                out.push(';');
            }
        }
        out
    }

    /// CRC-32 of the canonical text.
    pub fn checksum(&self, price_exp: u8, size_exp: u8) -> u32 {
        crc32fast::hash(self.canonical(price_exp, size_exp).as_bytes())
    }
}
