use proptest::prelude::*;

use crate::book::reference::ReferenceBook;
use crate::book::{Book, Change};
use crate::model::{Level, Side};

#[derive(Clone, Debug)]
enum Op {
    Set(bool, i64, i64),
    /// Sets the best level of a side to this size (0 removes it).
    Touch(bool, i64),
    Clear,
    Rescale(u8, u8),
    /// A message.
    Apply(Vec<(i64, i64)>, Vec<(i64, i64)>),
}

/// Prices as markets and as enemies make them.
fn price() -> impl Strategy<Value = i64> {
    prop_oneof![
        6 => (0i64..300).prop_map(|t| 6_180_000_000 + t * 1_000_000),
        3 => (0i64..40_000).prop_map(|t| t * 1_000_000),
        2 => (0i64..200).prop_map(|t| 61_800 + t),
        1 => (0u32..63).prop_map(|b| 1i64 << b),
        1 => (0u32..19).prop_map(|d| 10i64.pow(d)),
        1 => any::<i64>(),
        1 => prop_oneof![Just(0), Just(-1), Just(i64::MIN), Just(i64::MAX)],
    ]
}

fn size() -> impl Strategy<Value = i64> {
    prop_oneof![3 => 1i64..5, 2 => Just(0), 1 => any::<i64>()]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        40 => (any::<bool>(), price(), size()).prop_map(|(b, p, s)| Op::Set(b, p, s)),
        8 => (any::<bool>(), size()).prop_map(|(b, s)| Op::Touch(b, s)),
        1 => (0u8..19, 0u8..19).prop_map(|(f, t)| Op::Rescale(f, t)),
        1 => Just(Op::Clear),
        10 => (message(), message()).prop_map(|(b, a)| Op::Apply(b, a)),
    ]
}

fn message() -> impl Strategy<Value = Vec<(i64, i64)>> {
    prop::collection::vec((price(), size()), 0..40)
}

pub(super) fn side(is_bid: bool) -> Side {
    if is_bid { Side::Bid } else { Side::Ask }
}

#[track_caller]
pub(super) fn same(fast: &Book, slow: &ReferenceBook) {
    for s in [Side::Bid, Side::Ask] {
        assert_eq!(fast.len(s), slow.len(s));
        assert_eq!(fast.best(s), slow.best(s));
    }
    assert_eq!(fast.is_crossed(), slow.is_crossed());
    assert_eq!(fast.is_empty(), slow.is_empty());
}

#[track_caller]
pub(super) fn same_in_depth(fast: &Book, slow: &ReferenceBook) {
    for s in [Side::Bid, Side::Ask] {
        assert!(fast.levels(s).eq(slow.levels(s)), "order or content of {s:?}");
        for l in slow.levels(s) {
            assert_eq!(fast.get(s, l.price), l.size);
        }
    }
    assert_eq!(fast.checksum(8, 3), slow.checksum(8, 3));
    let mut text = Vec::new();
    fast.write_canonical(&mut text, 2, 0);
    assert_eq!(String::from_utf8_lossy(&text), slow.canonical(2, 0));
}

fn step(fast: &mut Book, slow: &mut ReferenceBook, op: &Op) {
    match *op {
        Op::Set(b, p, s) => assert_eq!(fast.set(side(b), p, s), slow.set(side(b), p, s)),
        Op::Touch(b, s) => {
            if let Some(l) = slow.best(side(b)) {
                assert_eq!(fast.set(side(b), l.price, s), slow.set(side(b), l.price, s));
            }
        }
        Op::Clear => {
            fast.clear();
            slow.clear();
        }
        Op::Apply(ref bids, ref asks) => {
            let levels = |m: &[(i64, i64)]| -> Vec<Level> {
                m.iter().map(|&(price, size)| Level { price, size }).collect()
            };
            let (bids, asks) = (levels(bids), levels(asks));
            let mut other = fast.clone();
            let changes = slow.apply(&bids, &asks);
            assert_eq!(other.apply_counted(&bids, &asks), changes);
            assert_eq!(fast.apply(&bids, &asks), changes.absent);
            assert_eq!(other, *fast);
        }
        Op::Rescale(f, t) => {
            // The first level that fails may differ: the slow one looks in the same order, so it does not.
            assert_eq!(fast.rescale(f, t, t, f), slow.rescale((f, t), (t, f)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_operations_leave_the_same_book_as_the_slow_twin(ops in prop::collection::vec(op(), 1..200)) {
        let (mut fast, mut slow) = (Book::new(), ReferenceBook::new());
        for op in &ops {
            step(&mut fast, &mut slow, op);
            same(&fast, &slow);
            same_in_depth(&fast, &slow);
        }
        let kept: Book = postcard::from_bytes(&postcard::to_allocvec(&fast).unwrap()).unwrap();
        same_in_depth(&kept, &slow);
        prop_assert_eq!(kept, fast);
    }
}

/// A small generator, so that long runs need no strategy.
pub(super) struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 33
    }

    pub fn below(&mut self, n: u64) -> i64 {
        (self.next() % n) as i64
    }
}

#[test]
fn twenty_thousand_levels_a_side_near_far_and_nowhere() {
    for (spread, unit) in [(40_000u64, 1_000_000i64), (60_000_000, 10), (1 << 40, 1), (1 << 30, 1 << 31)] {
        let mut rng = Rng(7);
        let (mut fast, mut slow) = (Book::new(), ReferenceBook::new());
        for i in 0..90_000u64 {
            let price = (rng.next() % spread) as i64 * unit;
            let size = if rng.below(4) == 0 { 0 } else { 1 + rng.below(9) };
            let s = side(i % 2 == 0);
            assert_eq!(fast.set(s, price, size), slow.set(s, price, size));
            if i % 64 == 0 {
                same(&fast, &slow);
            }
        }
        assert!(slow.len(Side::Bid) >= 15_000, "{}", slow.len(Side::Bid));
        same_in_depth(&fast, &slow);
        // Take the touch away until little is left.
        for s in [Side::Bid, Side::Ask] {
            while slow.len(s) > 10 {
                let l = slow.best(s).unwrap();
                assert_eq!(fast.set(s, l.price, 0), Change::Removed);
                slow.set(s, l.price, 0);
                assert_eq!(fast.best(s), slow.best(s));
            }
        }
        same_in_depth(&fast, &slow);
    }
}

#[test]
fn a_redenominated_price_is_just_another_price() {
    let mut book = Book::new();
    for i in 0..1000 {
        book.set(Side::Bid, 6_180_000 - i * 10, 5);
    }
    for i in 0..1000 {
        book.set(Side::Bid, 6_180_000_000 - i * 10_000, 5);
    }
    assert_eq!(book.best(Side::Bid), Some(Level { price: 6_180_000_000, size: 5 }));
    for i in 0..1000 {
        assert_eq!(book.set(Side::Bid, 6_180_000_000 - i * 10_000, 0), Change::Removed);
    }
    assert_eq!(book.best(Side::Bid), Some(Level { price: 6_180_000, size: 5 }));
    assert_eq!(book.len(Side::Bid), 1000);
}

#[test]
fn memory_is_bounded_by_the_most_levels_ever_held() {
    let mut book = Book::new();
    assert!(book.memory_bytes() < 4096, "{}", book.memory_bytes());
    let mut rng = Rng(3);
    for _ in 0..200_000 {
        // 1,000 levels a side, wandering over the whole range.
        let price = rng.below(1 << 40) * 10;
        book.set(Side::Bid, price, 1);
        if book.len(Side::Bid) > 1000 {
            let worst = book.levels(Side::Bid).last().unwrap();
            if rng.below(50) == 0 {
                book.clear();
            } else {
                book.set(Side::Bid, worst.price, 0);
            }
        }
    }
    assert!(book.memory_bytes() < 1 << 20, "{}", book.memory_bytes());
}

#[test]
fn nothing_allocates_after_warm_up() {
    let mut book = Book::new();
    let round = |book: &mut Book| {
        book.clear();
        let mut rng = Rng(11);
        for i in 0..50_000u64 {
            let price = 6_180_000 + rng.below(1000) * rng.below(100);
            book.set(side(i % 2 == 0), price, rng.below(3));
        }
        book.memory_bytes()
    };
    let warm = round(&mut book);
    for _ in 0..3 {
        assert_eq!(round(&mut book), warm);
    }
}

#[test]
fn books_are_equal_by_their_levels_and_not_by_their_history() {
    let of = |levels: &[(i64, i64)]| {
        let mut b = Book::new();
        for &(price, size) in levels {
            b.apply(&[Level { price, size }], &[]);
        }
        b
    };
    let book = of(&[(100, 1), (90, 2)]);
    assert_eq!(book, of(&[(90, 2), (80, 3), (100, 7), (80, 0), (100, 1)]));
    for other in [vec![(100, 1)], vec![(100, 1), (90, 2), (80, 1)], vec![(100, 1), (90, 3)]] {
        assert_ne!(book, of(&other), "{other:?}");
    }
}
