//! Venues that choose their prices against us: the book stays right, memory bounded, and the work beside plain stores
//! a constant per level. Work is counted, not timed.

use super::twin::{Rng, same, same_in_depth, side};
use crate::book::Book;
use crate::book::reference::ReferenceBook;
use crate::model::{Level, Side};
use crate::sys::alloc::thread_allocations;

/// The two books, and how many levels they were told.
#[derive(Default)]
struct Pair {
    fast: Book,
    slow: ReferenceBook,
    told: u64,
}

impl Pair {
    #[track_caller]
    fn message(&mut self, bids: &[Level], asks: &[Level]) {
        assert_eq!(self.fast.apply(bids, asks), self.slow.apply(bids, asks).absent);
        self.told += (bids.len() + asks.len()) as u64;
        same(&self.fast, &self.slow);
    }

    /// Work per level told must not exceed `most`.
    #[track_caller]
    fn check_work(&self, most: u64) {
        same_in_depth(&self.fast, &self.slow);
        assert!(self.fast.work() <= most * self.told, "{} for {} levels", self.fast.work(), self.told);
    }
}

fn ladder(from: i64, step: i64, count: i64, size: i64) -> Vec<Level> {
    (0..count).map(|i| Level { price: from + i * step, size }).collect()
}

fn removed(levels: &[Level]) -> Vec<Level> {
    levels.iter().map(|l| Level { size: 0, ..*l }).collect()
}

#[test]
fn a_venue_that_alternates_between_extremes_moves_little() {
    let mut p = Pair::default();
    let near = ladder(6_180_000, 10, 500, 7);
    let far = ladder(900_000_000_000, 10, 500, 7);
    let off = ladder(6_180_003, 7, 500, 7);
    p.message(&near, &near);
    for _ in 0..60 {
        for there in [&far, &off] {
            p.message(there, there);
            p.message(&removed(&near), &removed(&near));
            p.message(&near, &near);
            p.message(&removed(there), &removed(there));
        }
    }
    p.check_work(16);
}

#[test]
fn an_empty_side_that_gets_one_far_price_after_the_other_moves_little() {
    let mut p = Pair::default();
    for i in 0..20_000 {
        let price = if i % 2 == 0 { 100 } else { i64::MAX / 7 + i };
        let there = [Level { price, size: 1 }];
        p.message(&there, &there);
        p.message(&removed(&there), &removed(&there));
    }
    p.check_work(16);
}

#[test]
fn a_clear_before_every_move_buys_nothing() {
    let mut p = Pair::default();
    for i in 0..200 {
        let base = if i % 2 == 0 { 6_180_000 } else { 618_000_000_000 };
        let all = ladder(base, 10, 300, 3);
        p.message(&all, &all);
        let far = ladder(base * 1000 + 1, 1_000_003, 40, 3);
        p.message(&far, &far);
        p.fast.clear();
        p.slow.clear();
    }
    p.check_work(16);
}

#[test]
fn a_book_that_jumps_by_half_in_one_frame_and_back() {
    let mut p = Pair::default();
    let book = |mid: i64| (ladder(mid - 20_000, 10, 2000, 5), ladder(mid, 10, 2000, 5));
    let (high, low) = (book(6_180_000), book(3_090_000));
    p.message(&high.0, &high.1);
    for _ in 0..20 {
        for (gone, come) in [(&high, &low), (&low, &high)] {
            let bids = [removed(&gone.0), come.0.clone()].concat();
            let asks = [removed(&gone.1), come.1.clone()].concat();
            p.message(&bids, &asks);
        }
    }
    p.check_work(8);
}

/// More scattered levels than there are pages: the best are in pages, the others beside.
#[test]
fn pages_go_to_the_best_and_come_back() {
    let mut p = Pair::default();
    let scattered = ladder(40_010, 410, 20_000, 9);
    // Worst first for one side, best first for the other.
    p.message(&scattered, &scattered);
    p.check_work(200);
    let mut rng = Rng(5);
    for _ in 0..300 {
        let some: Vec<Level> = (0..100)
            .map(|_| {
                // A few are off the grid, in the midst of the others.
                let off = if rng.below(12) == 0 { rng.below(300) } else { 0 };
                Level { price: 40_010 + rng.below(20_000) * 410 + off, size: rng.below(3) }
            })
            .collect();
        p.message(&some, &some);
    }
    same_in_depth(&p.fast, &p.slow);
    // The touch wanders through the whole side: what lay beside is found and gets its pages.
    for s in [Side::Bid, Side::Ask] {
        while let Some(best) = p.slow.best(s) {
            let gone = [Level { size: 0, ..best }];
            let again = [Level { size: 2, ..best }];
            let (all, none): (&[Level], &[Level]) = (&gone, &[]);
            let (b, a) = if s == Side::Bid { (all, none) } else { (none, all) };
            p.message(b, a);
            if p.slow.len(s) % 16 == 0 {
                let (b, a): (&[Level], &[Level]) =
                    if s == Side::Bid { (&again, none) } else { (none, &again) };
                p.message(b, a);
                let (b, a) = if s == Side::Bid { (all, none) } else { (none, all) };
                p.message(b, a);
            }
        }
    }
    p.check_work(200);
}

/// Prices told again and again beyond the window make it wider; the level that does so may be new, changed or removed, and
/// may get a page by it.
#[test]
fn far_prices_told_often_are_taken_in() {
    for seed in 0..40 {
        let mut p = Pair::default();
        let near = ladder(6_180_000, 10, 500, 7);
        p.message(&near, &near);
        let narrow = p.fast.memory_bytes();
        assert!(narrow <= 128 << 10, "{narrow} bytes for 500 levels a side");
        let mut rng = Rng(seed);
        for _ in 0..60 {
            let mut some = || -> Vec<Level> {
                (0..9)
                    .map(|_| {
                        let far = rng.below(24) * rng.below(50_000) * 10;
                        Level { price: 6_180_000 + far, size: rng.below(3) }
                    })
                    .collect()
            };
            let (bids, asks) = (some(), some());
            p.message(&bids, &asks);
        }
        p.check_work(200);
        assert!(p.fast.memory_bytes() > narrow);
        let wide = p.fast.memory_bytes();
        p.fast.clear();
        p.slow.clear();
        p.message(&near, &near);
        assert_eq!(p.fast.memory_bytes(), wide, "a narrow book comes again in the same memory");
    }
}

/// The same traffic after a clear finds all the memory it needs: near, far, off the grid, beyond the pages.
#[test]
fn what_comes_again_after_a_clear_asks_for_no_memory() {
    let loads = [
        ladder(6_180_000, 10, 1000, 7),
        [ladder(6_180_000, 10, 1000, 7), ladder(900_000_000, 70_000, 300, 7)].concat(),
        [ladder(6_180_000, 10, 1000, 7), ladder(6_180_003, 7, 300, 7)].concat(),
        [ladder(6_180_000, 10, 1000, 7), ladder(7, 1 << 40, 300, 7)].concat(),
        ladder(40_000, 400, 20_000, 9),
    ];
    for (n, load) in loads.iter().enumerate() {
        let mut book = Book::new();
        let parts: Vec<_> = load.chunks(97).map(|p| (p, removed(&p[..p.len() / 2]))).collect();
        let session = |book: &mut Book| {
            book.clear();
            for (part, gone) in &parts {
                book.apply(part, part);
                book.apply(gone, &part[part.len() / 3..]);
                book.apply(part, part);
            }
            book.checksum(8, 8)
        };
        let first = session(&mut book);
        let again = session(&mut book);
        let before = thread_allocations();
        let last = session(&mut book);
        assert_eq!(thread_allocations() - before, 0, "load {n}");
        assert_eq!((first, again), (last, last));
    }
}

/// Memory follows what a book holds, not where it has been: a page a level and 128 more.
#[test]
fn a_small_book_that_wanders_far_stays_small() {
    let mut p = Pair::default();
    let book = |mid: i64| (ladder(mid - 10_000, 10, 1000, 5), ladder(mid, 10, 1000, 5));
    let mut last = book(6_180_000);
    p.message(&last.0, &last.1);
    for i in 1..600 {
        let next = book(6_180_000 + i * 4_000);
        let bids = [removed(&last.0), next.0.clone()].concat();
        let asks = [removed(&last.1), next.1.clone()].concat();
        p.message(&bids, &asks);
        last = next;
    }
    let bytes = p.fast.memory_bytes();
    assert!(bytes <= 2 * 1128 * 260 + (64 << 10), "{bytes} bytes");
    p.check_work(8);
}

#[test]
fn five_hundred_instruments_of_twenty_thousand_scattered_levels_a_side_fit_two_gib() {
    for (first, step) in [(40_000, 400), (40_000, 1), (7, 1 << 40), (1, 33), (7_000_000, 32)] {
        for reversed in [false, true] {
            let mut book = Book::new();
            let mut all = ladder(first, step, 20_000, 9);
            if reversed {
                all.reverse();
            }
            book.apply(&all, &all);
            assert_eq!((book.len(Side::Bid), book.len(Side::Ask)), (20_000, 20_000));
            let bytes = book.memory_bytes();
            assert!(bytes * 500 <= 2 << 30, "{bytes} bytes with steps of {step}");
        }
    }
    let mut book = Book::new();
    let mut rng = Rng(3);
    for i in 0..40_000u64 {
        book.set(side(i % 2 == 0), rng.below(1 << 23), 1);
    }
    let bytes = book.memory_bytes();
    assert!(bytes * 500 <= 2 << 30, "{bytes} bytes at random");
}
