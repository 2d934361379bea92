//! Books.

use lobtape::book::Book;
use lobtape::book::reference::ReferenceBook;
use lobtape::model::{Level, Side};

use crate::input::Script;

/// A message may have so many levels.
const LEVELS_MAX: usize = 64;

/// Operations on the book and on two ordered maps: the same changes, levels, tops and checksums after each, and work
/// that stays in proportion to the levels told.
pub fn book(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let (mut fast, mut slow) = (Book::new(), ReferenceBook::new());
    let mut told = 64u64;
    while !script.is_empty() {
        let op = script.u8();
        let side = if op & 8 == 0 { Side::Bid } else { Side::Ask };
        match op & 7 {
            0..=3 => {
                let l = level(&mut script, op);
                told += 1;
                assert_eq!(fast.set(side, l.price, l.size), slow.set(side, l.price, l.size));
                assert_eq!(fast.get(side, l.price), slow.get(side, l.price));
            }
            4 | 5 => {
                let n = 1 + usize::from(op >> 4);
                let bids: Vec<Level> = (0..n).map(|_| level(&mut script, op)).collect();
                let asks: Vec<Level> = (0..n.min(LEVELS_MAX)).map(|_| level(&mut script, op >> 1)).collect();
                told += 2 * n as u64;
                assert_eq!(fast.apply_counted(&bids, &asks), slow.apply(&bids, &asks));
            }
            6 => {
                told += (fast.len(Side::Bid) + fast.len(Side::Ask)) as u64;
                let exps = script.array::<4>().map(|e| e % 19);
                let [pf, pt, sf, st] = exps;
                assert_eq!(fast.rescale(pf, pt, sf, st), slow.rescale((pf, pt), (sf, st)));
            }
            _ => {
                fast.clear();
                slow.clear();
            }
        }
        same_tops(&fast, &slow);
    }
    same(&fast, &slow);
    assert!(fast.work() <= 600 * told, "{} for {told} levels", fast.work());
}

/// Near the touch, far away, or anywhere.
fn level(script: &mut Script<'_>, op: u8) -> Level {
    let price = match op >> 4 & 3 {
        0 => 1_000_000 + i64::from(script.u8()),
        1 => 1_000_000 + i64::from(script.u16()) * 10,
        2 => i64::from(script.u32()) * 1000,
        _ => script.i64(),
    };
    Level { price, size: i64::from(script.u8() % 4) }
}

fn same_tops(fast: &Book, slow: &ReferenceBook) {
    for side in [Side::Bid, Side::Ask] {
        assert_eq!(fast.best(side), slow.best(side));
        assert_eq!(fast.len(side), slow.len(side));
    }
    assert_eq!(fast.is_empty(), slow.is_empty());
}

fn same(fast: &Book, slow: &ReferenceBook) {
    for side in [Side::Bid, Side::Ask] {
        let levels: Vec<Level> = fast.levels(side).collect();
        assert_eq!(levels, slow.levels(side));
        let mut top = Vec::new();
        fast.top(side, 5, &mut top);
        assert_eq!(top[..], levels[..levels.len().min(5)]);
    }
    assert_eq!(fast.checksum(2, 3), slow.checksum(2, 3));
}
