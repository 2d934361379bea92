use std::collections::VecDeque;

use proptest::prelude::*;

use crate::book::{DiffBuffer, DiffIds};
use crate::model::Level;

fn ids(n: i64) -> DiffIds {
    DiffIds { conn: 1, first: n, last: n, prev: n - 1, ts: 0 }
}

fn some(n: usize) -> Vec<Level> {
    (0..n as i64).map(|i| Level { price: i, size: i + 1 }).collect()
}

#[test]
fn overflow_drops_the_oldest_and_counts() {
    let mut b = DiffBuffer::new(3, 10);
    for n in 0..5 {
        assert_eq!(b.push(ids(n), n, &some(1), &[]), usize::from(n >= 3));
    }
    assert_eq!((b.len(), b.dropped(), b.front().unwrap().meta), (3, 2, 2));
    assert_eq!(b.push(ids(5), 5, &some(6), &some(3)), 2);
    assert_eq!(b.push(ids(6), 6, &some(40), &[]), 2);
    assert_eq!((b.len(), b.level_count(), b.dropped()), (1, 40, 6));
    assert_eq!(b.front().unwrap().bids, some(40));
    b.clear();
    assert!(b.is_empty() && b.front().is_none() && !b.pop_front());
}

#[test]
fn memory_stops_growing() {
    let mut b = DiffBuffer::new(100, 1000);
    let mut most = 0;
    for n in 0..10_000 {
        b.push(ids(n), (), &some(n as usize % 40), &some(3));
        if n == 1000 {
            most = b.memory_bytes();
        }
    }
    assert_eq!(b.memory_bytes(), most);
    assert!(most <= 64 * 1024, "{most}");
}

#[test]
fn rescaling_moves_all_or_nothing() {
    let mut b = DiffBuffer::new(10, 100);
    b.push(ids(1), (), &some(3), &[]);
    b.push(ids(2), (), &[], &[Level { price: 7, size: i64::MAX / 5 }]);
    let before = b.clone();
    assert!(b.rescale((0, 1), (0, 1)).is_err());
    assert!(b.iter().eq(before.iter()));
    b.rescale((0, 2), (0, 0)).unwrap();
    assert_eq!(b.iter().last().unwrap().asks[0].price, 700);
    b.pop_front();
    assert_eq!(b.front().unwrap().asks[0].price, 700);
}

proptest! {
    #[test]
    fn it_is_a_bounded_queue(ops in prop::collection::vec((0u8..4, 0usize..30, 0usize..30), 1..300)) {
        let mut b = DiffBuffer::new(8, 120);
        let mut model: VecDeque<(i64, Vec<Level>, Vec<Level>)> = VecDeque::new();
        let mut dropped = 0;
        for (n, (op, bids, asks)) in ops.into_iter().enumerate() {
            if op == 0 {
                prop_assert_eq!(b.pop_front(), model.pop_front().is_some());
            } else {
                let n = n as i64;
                b.push(ids(n), n, &some(bids), &some(asks));
                model.push_back((n, some(bids), some(asks)));
                let levels = |m: &VecDeque<(i64, Vec<Level>, Vec<Level>)>| -> usize {
                    m.iter().map(|(_, b, a)| b.len() + a.len()).sum()
                };
                while model.len() > 8 || levels(&model) > 120 {
                    model.pop_front();
                    dropped += 1;
                }
            }
            prop_assert_eq!(b.len(), model.len());
            prop_assert_eq!(b.dropped(), dropped);
            for (d, (n, bids, asks)) in b.iter().zip(&model) {
                prop_assert_eq!((d.ids, d.meta, d.bids, d.asks), (ids(*n), *n, &bids[..], &asks[..]));
            }
            let kept: DiffBuffer<i64> = postcard::from_bytes(&postcard::to_allocvec(&b).unwrap()).unwrap();
            prop_assert!(kept.iter().eq(b.iter()));
            prop_assert_eq!(kept.dropped(), b.dropped());
        }
    }
}

proptest! {
    #[test]
    fn diffs_of_two_connections_wait_in_the_order_of_their_ids_each_once(
        order in prop::collection::vec(any::<bool>(), 10..80),
        max in 5usize..60,
    ) {
        let mut b: DiffBuffer<i64> = DiffBuffer::new(max, 1000);
        let mut at = [0i64; 2];
        let mut want: Vec<i64> = Vec::new();
        for second in order {
            let leg = usize::from(second);
            let n = at[leg];
            at[leg] += 1;
            // Each of them leaves something out.
            if n % 5 == 3 * leg as i64 {
                continue;
            }
            let ids = DiffIds { conn: leg as i64, first: n, last: n, prev: n - 1, ts: 0 };
            let levels: Vec<Level> = (0..n % 4).map(|i| Level { price: n * 10 + i, size: 1 }).collect();
            let (bids, asks) = levels.split_at(levels.len() / 2);
            let dropped = b.insert(ids, n, bids, asks);
            want.drain(..dropped);
            if !want.contains(&n) {
                let to = want.partition_point(|w| *w < n);
                want.insert(to, n);
            }
        }
        let have: Vec<i64> = b.iter().map(|d| d.ids.last).collect();
        prop_assert_eq!(&have, &want);
        for d in b.iter() {
            let all: Vec<i64> = d.bids.iter().chain(d.asks).map(|l| l.price).collect();
            prop_assert_eq!(all, (0..d.meta % 4).map(|i| d.meta * 10 + i).collect::<Vec<_>>());
        }
    }
}

/// Two counts may end alike for a moment: which of the two diffs is the book's shows when a snapshot comes.
#[test]
fn diffs_that_end_alike_and_begin_otherwise_are_both_held_and_in_their_place() {
    let mut b: DiffBuffer<i64> = DiffBuffer::new(10, 100);
    let of = |first, last, prev| DiffIds { conn: 1, first, last, prev, ts: 0 };
    let come = [of(5, 5, 4), of(7, 7, 6), of(4, 5, 3), of(4, 5, 2), of(4, 5, 2)];
    for (n, ids) in (0..).zip(come) {
        assert_eq!(b.insert(ids, n, &[Level { price: n, size: 1 }], &[]), 0);
    }
    let held: Vec<(i64, i64, i64)> = b.iter().map(|d| (d.ids.last, d.meta, d.bids[0].price)).collect();
    assert_eq!(held, [(5, 0, 0), (5, 2, 2), (5, 3, 3), (7, 1, 1)]);
}
