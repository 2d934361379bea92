//! From a price mantissa to a rank of the window, exactly.
//!
//! Mantissas are often much finer than the tick: spot prints eight decimals at a tick of 0.01, so every mantissa is
//! a multiple of 10^6. Ranks therefore count steps of a power of ten, from the best price that the window can hold.
//! The division is a multiplication with the step's modular inverse and a rotation. Both can be undone, so the map
//! is one to one over all 2^64 mantissas: a price that is a whole number of steps inside the window gets its rank,
//! and any other price (between the slots, outside, negative) gets a number beyond the window. One comparison
//! answers both questions. For bids the inverse is negated, so that rank 0 is the best on both sides at no cost.
//!
//! A window starts with 65,536 slots and becomes wider, to 8 million at most, where levels beyond it are many or are told
//! often. Most instruments never need more than the first; a liquid one with a fine tick needs all.

use crate::model::Level;
use crate::model::num::{EXP_MAX, pow10};

/// Slots of the smallest window.
pub(super) const SPAN_MIN: u64 = 1 << 16;
/// Slots of the largest window.
pub(super) const SPAN_MAX: u64 = 1 << 23;
/// The coarsest step is `10^12`: the largest window of it just fits `i64`.
const DIGITS_MAX: u32 = 12;
/// A window is made wide enough to leave at most one level of so many outside.
const OUTSIDE_SHARE: usize = 32;

/// The slots of one side: which prices they stand for. What every message needs comes first.
#[derive(Clone, Debug)]
#[repr(C)]
pub(super) struct Grid {
    /// Price of rank 0.
    pub(super) origin: i64,
    /// Inverse of `5^digits` modulo 2^64, negated for bids.
    pub(super) factor: u64,
    /// What one rank more adds to the price: `10^digits`, negative for bids.
    step: i64,
    /// The step is `10^digits`.
    pub(super) digits: u32,
    is_bid: bool,
    /// Whether a price has shaped it.
    is_set: bool,
    /// Number of slots, a power of two between [`SPAN_MIN`] and [`SPAN_MAX`]. It only grows.
    span: u64,
}

impl Grid {
    /// A grid that no price has shaped yet.
    pub(super) fn new(is_bid: bool) -> Grid {
        let mut grid =
            Grid { digits: 0, factor: 1, origin: 0, step: 1, span: SPAN_MIN, is_bid, is_set: false };
        grid.place(0, 0);
        grid.is_set = false;
        grid
    }

    /// Whether a price has shaped it.
    pub(super) fn is_set(&self) -> bool {
        self.is_set
    }

    /// Number of trailing decimal zeros that every price of the window has, from the origin on.
    pub(super) fn digits(&self) -> u32 {
        self.digits
    }

    /// Number of slots.
    pub(super) fn span(&self) -> u64 {
        self.span
    }

    /// The rank of a price; [`Grid::span`] or more if it is between the slots or outside the window.
    #[inline]
    pub(super) fn rank(&self, price: i64) -> u64 {
        (price.wrapping_sub(self.origin) as u64).wrapping_mul(self.factor).rotate_right(self.digits)
    }

    /// The first rank that is worse than a price between the slots, itself not better than this rank's.
    pub(super) fn rank_behind(&self, rank: u64, price: i64) -> u64 {
        rank + price.abs_diff(self.price(rank)) / self.step.unsigned_abs() + 1
    }

    /// The price of a rank below [`Grid::span`].
    #[inline]
    pub(super) fn price(&self, rank: u64) -> i64 {
        // Wraps for no rank below the span: see `place`.
        self.origin.wrapping_add((rank as i64).wrapping_mul(self.step))
    }

    /// Lays the window around a price, with steps of `10^digits` (at most 12). All its slots fit `i64`, and none is
    /// negative where the price is not.
    pub(super) fn place(&mut self, digits: u32, centre: i64) {
        self.digits = digits.min(DIGITS_MAX);
        let unit = pow10(self.digits as u8);
        let (window, largest) = (self.span as i64, i64::MAX / unit);
        let lowest = if centre < 0 { -largest } else { 0 };
        let low = (centre / unit).saturating_sub(window / 2).clamp(lowest, largest - window + 1);
        let inverse = inverse_of_five_to(self.digits);
        if self.is_bid {
            (self.origin, self.step) = ((low + (window - 1)) * unit, -unit);
            self.factor = inverse.wrapping_neg();
        } else {
            (self.origin, self.step) = (low * unit, unit);
            self.factor = inverse;
        }
        self.is_set = true;
    }

    /// Lays the window so that it holds most of these levels (all non-empty, best first), wider if it must be. Says
    /// whether anything changed.
    pub(super) fn fit(&mut self, levels: &[Level]) -> bool {
        let Some(middle) = levels.get(levels.len() / 2) else { return false };
        let mut with_zeros = [0usize; EXP_MAX as usize + 1];
        for level in levels {
            with_zeros[trailing_zeros(level.price) as usize] += 1;
        }
        // The coarsest step that divides at least nine of ten prices; the others live beside the window.
        let (mut digits, mut count) = (u32::from(EXP_MAX), with_zeros[EXP_MAX as usize]);
        while digits > 0 && count * 10 < levels.len() * 9 {
            digits -= 1;
            count += with_zeros[digits as usize];
        }
        let before = (self.digits, self.origin, self.span);
        let unit = pow10(digits.min(DIGITS_MAX) as u8) as u64;
        let outside = |span: u64| {
            let most = u128::from(span / 2 - 1) * u128::from(unit);
            levels.iter().filter(|l| u128::from(l.price.abs_diff(middle.price)) > most).count()
        };
        while self.span < SPAN_MAX && outside(self.span) * OUTSIDE_SHARE > levels.len() {
            self.span *= 2;
        }
        self.place(digits, middle.price);
        before != (self.digits, self.origin, self.span)
    }

    /// Lays a window four times as wide around the same prices, if it may.
    pub(super) fn widen(&mut self) -> bool {
        let centre = self.price(self.span / 2);
        let wider = (self.span * 4).min(SPAN_MAX);
        let grows = wider > self.span;
        self.span = wider;
        self.place(self.digits, centre);
        grows
    }

    /// Whether the widest window around the same prices would have a slot for this one.
    pub(super) fn could_hold(&self, price: i64) -> bool {
        let unit = self.step.unsigned_abs();
        let away = price.abs_diff(self.price(self.span / 2));
        away.is_multiple_of(unit) && away / unit < SPAN_MAX / 2
    }

    /// Forgets the step; the next price shapes the grid anew. For when no level is held.
    pub(super) fn forget(&mut self) {
        self.is_set = false;
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
    use proptest::prelude::*;

    use super::*;

    const CENTRES: [i64; 9] =
        [0, 1, -1, 618_002_000, -618_002_000, i64::MAX / 3, i64::MAX, i64::MIN, i64::MIN / 2];

    #[test]
    fn every_step_maps_exactly_its_multiples() {
        for is_bid in [true, false] {
            for digits in 0..=18u32 {
                for centre in CENTRES {
                    let mut g = Grid::new(is_bid);
                    g.place(digits, centre);
                    let unit = pow10(g.digits() as u8);
                    let mut hits = 0;
                    for k in -40i64..40 {
                        let price = (centre / unit * unit).saturating_add(k);
                        let rank = g.rank(price);
                        if rank < g.span() {
                            hits += 1;
                            assert_eq!(price % unit, 0, "{price} is off the grid of 10^{digits}");
                            assert_eq!(g.price(rank), price);
                        }
                    }
                    assert!(hits > 0, "{digits} {centre}");
                }
            }
        }
    }

    #[test]
    fn the_ends_of_a_window_fit_and_are_in_order() {
        for is_bid in [true, false] {
            for digits in 0..=18u32 {
                for centre in CENTRES {
                    let mut g = Grid::new(is_bid);
                    g.place(digits, centre);
                    let (best, worst) = (g.price(0), g.price(g.span() - 1));
                    assert_eq!(best > worst, is_bid, "{digits} {centre}: {best} {worst}");
                    assert_eq!((g.rank(best), g.rank(worst)), (0, g.span() - 1));
                    assert!(centre < 0 || best.min(worst) >= 0);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn a_rank_inside_the_window_means_this_very_price(
            is_bid: bool, digits in 0u32..19, centre: i64, price: i64, near in -1_000_000i64..1_000_000,
            wider in 0u32..8,
        ) {
            let mut g = Grid::new(is_bid);
            g.span = SPAN_MIN << wider;
            g.place(digits, centre);
            for p in [price, centre.wrapping_add(near), near] {
                let rank = g.rank(p);
                if rank < g.span() {
                    prop_assert_eq!(g.price(rank), p);
                }
                let unit = i128::from(pow10(g.digits() as u8));
                let away = (i128::from(p) - i128::from(g.origin)) * if is_bid { -1 } else { 1 };
                let inside = away % unit == 0 && (0..i128::from(g.span())).contains(&(away / unit));
                prop_assert_eq!(inside, rank < g.span());
            }
        }
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
    fn the_step_is_what_nine_of_ten_prices_share() {
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
