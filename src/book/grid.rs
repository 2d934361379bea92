//! From a price mantissa to a slot of the window, exactly.
//!
//! Mantissas are often much finer than the tick: spot prints eight decimals at a tick of 0.01, so every mantissa is
//! a multiple of 10^6. Slots are therefore numbered by `price / unit` with a power of ten as unit. The division is
//! a multiplication with the unit's modular inverse: for a multiple of the unit it gives the exact quotient, for
//! any other price a number beyond the largest quotient, so that one comparison answers both "on the grid?" and
//! "inside the window?".

use crate::model::Level;
use crate::model::num::{EXP_MAX, pow10};

/// Slots of a window, `2^24`.
pub(super) const WINDOW: u64 = 1 << 24;

/// The slots of one side: which prices they stand for. Rank 0 is the best price that the window can hold.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    /// The unit is `10^digits`.
    digits: u32,
    /// Inverse of `5^digits` modulo 2^64.
    inverse: u64,
    /// Quotient of the window's lowest price.
    base: u64,
    /// Number of slots in use: [`WINDOW`], less where `i64` ends. 0 = no price was seen yet.
    span: u64,
    /// `WINDOW − 1` for bids (ranks fall as prices rise), 0 for asks.
    mirror: u64,
}

impl Grid {
    /// A grid that holds no price yet.
    pub(super) fn new(is_bid: bool) -> Grid {
        Grid { digits: 0, inverse: 1, base: 0, span: 0, mirror: if is_bid { WINDOW - 1 } else { 0 } }
    }

    /// Whether a price has shaped it.
    pub(super) fn is_set(&self) -> bool {
        self.span != 0
    }

    /// Number of trailing decimal zeros that every price of the window has.
    pub(super) fn digits(&self) -> u32 {
        self.digits
    }

    /// The rank of a price, `None` if it is between the slots or outside the window.
    #[inline]
    pub(super) fn rank(&self, price: i64) -> Option<u32> {
        let quotient = (price as u64).wrapping_mul(self.inverse).rotate_right(self.digits);
        let slot = quotient.wrapping_sub(self.base);
        if slot < self.span { Some((slot ^ self.mirror) as u32) } else { None }
    }

    /// The price of a rank that [`Grid::rank`] gave.
    #[inline]
    pub(super) fn price(&self, rank: u32) -> i64 {
        let slot = u64::from(rank) ^ self.mirror;
        // Wraps for no slot below `span`: see `place`.
        ((self.base + slot) as i64).wrapping_mul(pow10(self.digits as u8))
    }

    /// Lays the window around a price, with units of `10^digits`.
    pub(super) fn place(&mut self, digits: u32, centre: i64) {
        let digits = digits.min(u32::from(EXP_MAX));
        let unit = pow10(digits as u8);
        let largest = (i64::MAX / unit) as u64;
        let middle = (centre.max(0) / unit) as u64;
        self.digits = digits;
        self.inverse = inverse_of_five_to(digits);
        self.base = middle.saturating_sub(WINDOW / 2);
        // `(base + span − 1) · unit` must fit `i64`: it keeps negative prices and those off the grid out, whose
        // quotients are larger than `largest`.
        self.span = WINDOW.min(largest - self.base + 1);
    }

    /// Lays the window so that it holds most of these levels (all non-empty, best first). Says whether it moved.
    pub(super) fn fit(&mut self, levels: &[Level]) -> bool {
        let Some(middle) = levels.get(levels.len() / 2) else { return false };
        let mut with_zeros = [0usize; EXP_MAX as usize + 1];
        for level in levels {
            with_zeros[trailing_zeros(level.price) as usize] += 1;
        }
        // The coarsest unit that divides at least nine of ten prices; the others live beside the window.
        let (mut digits, mut count) = (u32::from(EXP_MAX), with_zeros[EXP_MAX as usize]);
        while digits > 0 && count * 10 < levels.len() * 9 {
            digits -= 1;
            count += with_zeros[digits as usize];
        }
        let before = (self.digits, self.base, self.span);
        self.place(digits, middle.price);
        before != (self.digits, self.base, self.span)
    }

    /// Forgets the unit; the next price shapes the grid anew. For when no level is held.
    pub(super) fn forget(&mut self) {
        self.span = 0;
    }
}

/// Decimal zeros at the end of a mantissa, at most [`EXP_MAX`]; zero has them all.
pub(super) fn trailing_zeros(price: i64) -> u32 {
    let mut p = price;
    let mut n = 0;
    while n < u32::from(EXP_MAX) && p % 10 == 0 {
        p /= 10;
        n += 1;
    }
    n
}

fn inverse_of_five_to(n: u32) -> u64 {
    // 5 · 0xCCCC_CCCC_CCCC_CCCD = 1 modulo 2^64.
    0xCCCC_CCCC_CCCC_CCCDu64.wrapping_pow(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_maps_exactly_its_multiples() {
        for is_bid in [true, false] {
            for digits in 0..=18u32 {
                let unit = pow10(digits as u8);
                for centre in [0, 1, 618_002_000, i64::MAX / 3, i64::MAX] {
                    let mut g = Grid::new(is_bid);
                    g.place(digits, centre);
                    let mut hits = 0;
                    for k in -40i64..40 {
                        let price = (centre / unit * unit).saturating_add(k);
                        if let Some(r) = g.rank(price) {
                            hits += 1;
                            assert_eq!(price % unit, 0, "{price} is off the grid of 10^{digits}");
                            assert_eq!(g.price(r), price);
                        }
                    }
                    assert!(hits > 0);
                }
            }
        }
    }

    #[test]
    fn prices_outside_i64s_half_or_between_slots_have_no_rank() {
        for digits in 0..=18u32 {
            let mut g = Grid::new(false);
            g.place(digits, 0);
            for price in [-1, i64::MIN, i64::MIN + 1, -pow10(digits as u8)] {
                assert_eq!(g.rank(price), None);
            }
        }
        let mut g = Grid::new(true);
        g.place(6, 6_183_763_000_000);
        assert_eq!(g.rank(6_183_763_000_001), None);
        assert!(g.rank(6_183_763_000_000).is_some());
    }

    #[test]
    fn better_prices_have_lower_ranks() {
        let (mut bid, mut ask) = (Grid::new(true), Grid::new(false));
        bid.place(1, 6_180_020);
        ask.place(1, 6_180_020);
        assert!(bid.rank(6_180_030) < bid.rank(6_180_020));
        assert!(ask.rank(6_180_020) < ask.rank(6_180_030));
    }

    #[test]
    fn the_unit_is_what_nine_of_ten_prices_share() {
        let mut g = Grid::new(false);
        let mut levels: Vec<Level> =
            (0..100).map(|i| Level { price: 6_180_000_000 + i * 1_000, size: 1 }).collect();
        levels[7].price += 1;
        assert!(g.fit(&levels));
        assert_eq!(g.digits(), 3);
        for l in levels.iter_mut().take(20) {
            l.price += 7;
        }
        assert!(g.fit(&levels));
        assert_eq!(g.digits(), 0);
    }
}
