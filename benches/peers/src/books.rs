//! Order books of several makers behind one face.

use std::hint::black_box;

use crate::book::Book;
use crate::book::reference::ReferenceBook;
use crate::model::{Level, Side};
use crate::tape::{Msg, Scale, Tape};
use crate::timing::cpu_ns;
use hftbacktest::prelude::{
    BTreeMarketDepth, HashMapMarketDepth, L2MarketDepth, MarketDepth, ROIVectorMarketDepth, Side as HftSide,
};

/// What is measured.
pub trait Depth {
    /// A level as this book takes it.
    type In: Copy;
    /// An empty book for prices like these.
    fn make(scale: &Scale) -> Self;
    fn input(scale: &Scale, l: Level) -> Self::In;
    /// Empties it; memory is kept.
    fn reset(&mut self);
    fn apply(&mut self, bids: &[Self::In], asks: &[Self::In]);
    /// Both best prices, mixed to a number that depends on both.
    fn touch(&self) -> i64;
    /// The size at a price, as a mantissa, and the number of levels where the book knows it.
    fn size(&self, scale: &Scale, side: Side, price: i64) -> i64;
}

impl Depth for Book {
    type In = Level;

    fn make(_: &Scale) -> Book {
        Book::new()
    }

    fn input(_: &Scale, l: Level) -> Level {
        l
    }

    fn reset(&mut self) {
        self.clear();
    }

    fn apply(&mut self, bids: &[Level], asks: &[Level]) {
        black_box(Book::apply(self, bids, asks));
    }

    fn touch(&self) -> i64 {
        mix(self.best(Side::Bid).map_or(0, |l| l.price), self.best(Side::Ask).map_or(0, |l| l.price))
    }

    fn size(&self, _: &Scale, side: Side, price: i64) -> i64 {
        self.get(side, price)
    }
}

impl Depth for ReferenceBook {
    type In = Level;

    fn make(_: &Scale) -> ReferenceBook {
        ReferenceBook::new()
    }

    fn input(_: &Scale, l: Level) -> Level {
        l
    }

    fn reset(&mut self) {
        self.clear();
    }

    fn apply(&mut self, bids: &[Level], asks: &[Level]) {
        for l in bids {
            self.set(Side::Bid, l.price, l.size);
        }
        for l in asks {
            self.set(Side::Ask, l.price, l.size);
        }
    }

    fn touch(&self) -> i64 {
        mix(self.best(Side::Bid).map_or(0, |l| l.price), self.best(Side::Ask).map_or(0, |l| l.price))
    }

    fn size(&self, _: &Scale, side: Side, price: i64) -> i64 {
        self.get(side, price)
    }
}

/// The floor: an array over the tape's whole price range, no best, no order, no count.
pub struct Floor {
    low: i64,
    sizes: [Vec<i64>; 2],
}

impl Depth for Floor {
    type In = (u32, i64);

    fn make(s: &Scale) -> Floor {
        let len = ((s.high - s.low) / s.tick + 1) as usize;
        Floor { low: s.low, sizes: [vec![0; len], vec![0; len]] }
    }

    fn input(s: &Scale, l: Level) -> (u32, i64) {
        (((l.price - s.low) / s.tick) as u32, l.size)
    }

    fn reset(&mut self) {
        self.sizes.iter_mut().for_each(|s| s.fill(0));
    }

    fn apply(&mut self, bids: &[(u32, i64)], asks: &[(u32, i64)]) {
        for &(i, size) in bids {
            self.sizes[0][i as usize] = size;
        }
        for &(i, size) in asks {
            self.sizes[1][i as usize] = size;
        }
        black_box(&mut self.sizes);
    }

    fn touch(&self) -> i64 {
        0
    }

    fn size(&self, s: &Scale, side: Side, price: i64) -> i64 {
        self.sizes[usize::from(side == Side::Ask)][((price - self.low) / s.tick) as usize]
    }
}

/// Two best prices as one number.
pub fn mix(bid: i64, ask: i64) -> i64 {
    bid.wrapping_mul(31).wrapping_add(ask)
}

fn unit(exp: u8) -> f64 {
    10f64.powi(i32::from(exp))
}

/// A level as hftbacktest takes it: floats in natural units.
fn floats(s: &Scale, l: Level) -> (f64, f64) {
    (l.price as f64 / unit(s.price_exp), l.size as f64 / unit(s.size_exp))
}

macro_rules! hft {
    ($name:ident, $inner:ty, $make:expr) => {
        /// One of hftbacktest's books.
        pub struct $name($inner);

        impl Depth for $name {
            type In = (f64, f64);

            fn make(s: &Scale) -> $name {
                let tick = s.tick as f64 / unit(s.price_exp);
                let lot = s.lot as f64 / unit(s.size_exp);
                let make: fn(f64, f64, f64) -> $inner = $make;
                $name(make(tick, lot, s.high as f64 / unit(s.price_exp)))
            }

            fn input(s: &Scale, l: Level) -> (f64, f64) {
                floats(s, l)
            }

            fn reset(&mut self) {
                self.0.clear_depth(HftSide::Buy, f64::INFINITY);
                self.0.clear_depth(HftSide::Sell, f64::INFINITY);
            }

            fn apply(&mut self, bids: &[(f64, f64)], asks: &[(f64, f64)]) {
                for &(price, size) in bids {
                    self.0.update_bid_depth(price, size, 0);
                }
                for &(price, size) in asks {
                    self.0.update_ask_depth(price, size, 0);
                }
            }

            fn touch(&self) -> i64 {
                mix(self.0.best_bid_tick(), self.0.best_ask_tick())
            }

            fn size(&self, s: &Scale, side: Side, price: i64) -> i64 {
                let size = match side {
                    Side::Bid => self.0.bid_qty_at_tick(price / s.tick),
                    Side::Ask => self.0.ask_qty_at_tick(price / s.tick),
                };
                (size * unit(s.size_exp)).round() as i64
            }
        }
    };
}

hft!(Roi, ROIVectorMarketDepth, |tick, lot, high| ROIVectorMarketDepth::new(tick, lot, 0.0, high));
hft!(Hash, HashMapMarketDepth, |tick, lot, _| HashMapMarketDepth::new(tick, lot));
hft!(Tree, BTreeMarketDepth, |tick, lot, _| BTreeMarketDepth::new(tick, lot));

/// Books of one kind and the tape in their numbers.
pub struct Runner<'a, D: Depth> {
    pub books: Vec<D>,
    input: Vec<D::In>,
    tape: &'a Tape,
}

impl<'a, D: Depth> Runner<'a, D> {
    pub fn new(tape: &'a Tape) -> Runner<'a, D> {
        let mut input = Vec::with_capacity(tape.levels.len());
        for (m, range) in tape.ranges() {
            let scale = &tape.scales[m.book as usize];
            input.extend(tape.levels[range].iter().map(|&l| D::input(scale, l)));
        }
        Runner { books: tape.scales.iter().map(D::make).collect(), input, tape }
    }

    /// Applies messages; returns what is left of the levels and the mixed touch.
    fn run<'i>(books: &mut [D], msgs: &[Msg], mut levels: &'i [D::In]) -> (&'i [D::In], i64) {
        let mut seen = 0i64;
        for m in msgs {
            let (bids, rest) = levels.split_at(m.bids as usize);
            let (asks, rest) = rest.split_at(m.asks as usize);
            levels = rest;
            let book = &mut books[m.book as usize];
            book.apply(bids, asks);
            seen = seen.wrapping_mul(31).wrapping_add(book.touch());
        }
        (levels, seen)
    }

    /// One pass; CPU ns of the part after the loads. A recorder has the levels of a message in its cache, from parsing
    /// them; here the whole tape is looked at before, so that no book is timed waiting for main memory.
    pub fn pass(&mut self) -> u64 {
        self.input.iter().for_each(|l| _ = black_box(*l));
        self.books.iter_mut().for_each(D::reset);
        let (loads, diffs) = self.tape.msgs.split_at(self.tape.loads);
        let (rest, _) = Self::run(&mut self.books, loads, &self.input);
        let start = cpu_ns();
        black_box(Self::run(&mut self.books, diffs, rest));
        cpu_ns() - start
    }

    /// Panics unless every level ever named has the same size here as in the slow twin.
    pub fn check(&mut self, name: &str, truth: &[ReferenceBook], with_touch: bool) {
        self.pass();
        for (m, range) in self.tape.ranges() {
            let (slow, scale) = (&truth[m.book as usize], &self.tape.scales[m.book as usize]);
            for (i, l) in self.tape.levels[range].iter().enumerate() {
                let side = if i < m.bids as usize { Side::Bid } else { Side::Ask };
                let size = self.books[m.book as usize].size(scale, side, l.price);
                assert_eq!(size, slow.get(side, l.price), "{name}, {}: size at {}", self.tape.name, l.price);
            }
        }
        if with_touch {
            for ((book, slow), scale) in self.books.iter().zip(truth).zip(&self.tape.scales) {
                let best = |side| slow.best(side).map_or(0, |l| l.price);
                let prices = mix(best(Side::Bid), best(Side::Ask));
                let ticks = mix(best(Side::Bid) / scale.tick, best(Side::Ask) / scale.tick);
                let touch = book.touch();
                assert!(touch == prices || touch == ticks, "{name}, {}: the touch", self.tape.name);
            }
        }
    }
}
