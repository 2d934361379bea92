//! What is known of the connection that feeds a book next, diff by diff.

use super::*;
use crate::fold::{Fold, NoSink};

fn diff(first: i64, last: i64) -> DiffIds {
    DiffIds { conn: 8, first, last, prev: -1, ts: 0 }
}

fn level(price: i64, size: i64) -> Level {
    Level { price, size }
}

/// One that brought the diffs of these ids, each of one id.
fn next(ids: Ids, brought: std::ops::RangeInclusive<i64>) -> Next {
    let mut n = Next::new(8);
    for last in brought {
        let meta = DiffMeta { ts_recv: 100 + last, ..DiffMeta::default() };
        n.brings(&diff(last, last), meta, &[level(last, 1)], &[]);
    }
    n.ids = ids;
    n
}

/// A book that is proven up to an id.
fn book(live: i64) -> BookState {
    let rule = crate::venue::all()[0].spec().sequence;
    let mut b = BookState::new(rule, StreamId::NONE);
    b.seq.on_proving_snapshot(live, 7, 0);
    b.synced = true;
    b
}

fn lasts(q: &DiffBuffer<DiffMeta>) -> Vec<i64> {
    q.iter().map(|e| e.ids.last).collect()
}

#[test]
fn a_diff_that_it_brings_again_is_kept_once() {
    let mut n = next(Ids::Open, 5..=7);
    for last in [7, 6, 5] {
        n.brings(&diff(last, last), DiffMeta::default(), &[], &[]);
    }
    assert_eq!((lasts(&n.diffs), n.last), (vec![5, 6, 7], 7));
    // One that leaves ids out begins it anew.
    n.brings(&diff(9, 9), DiffMeta::default(), &[], &[]);
    assert_eq!((lasts(&n.diffs), n.last), (vec![9], 9));
}

#[test]
fn diffs_that_end_alike_and_begin_otherwise_are_of_two_counts() {
    let mut n = next(Ids::Open, 5..=30);
    assert_eq!(n.is_alike(), None, "the book has none of them yet");
    for last in 5..=30 {
        let _ = n.taken.push(diff(last, last), DiffMeta::default(), &[level(last, 1)], &[]);
    }
    assert_eq!(n.is_alike(), Some(true));
    n.taken.clear();
    let _ = n.taken.push(diff(4, 5), DiffMeta::default(), &[level(5, 1)], &[]);
    assert_eq!(n.is_alike(), Some(false));
    // The same by one diff at a time.
    assert_eq!(meets(&mut n.taken, &diff(5, 5), &[level(5, 1)], &[]), Some(false));
    assert_eq!(n.taken.len(), 0);
}

#[test]
fn a_snapshot_is_looked_at_once_and_only_if_its_diffs_go_on_from_it() {
    let of = |last| Depth {
        instrument: InstrumentId(0),
        stream: StreamId(0),
        ts_event: 0,
        ts_send: 0,
        first: -1,
        last,
        prev: -1,
        bids: &[],
        asks: &[],
    };
    for (ids, last, seen) in [(Ids::Open, 4, true), (Ids::Open, 3, false), (Ids::Agree, 4, false)] {
        let mut n = next(ids, 5..=7);
        n.shows(&of(last), 1);
        assert_eq!((n.view.map(|v| v.id), n.asked), (seen.then_some(last), true), "{ids:?} {last}");
    }
}

#[test]
fn wider_exponents_fit_all_that_is_held_or_are_said_not_to() {
    let (from, to) = ((1, 0), (3, 0));
    let view = |price: i64| {
        Some(View { id: 4, bids: vec![level(price, 1)], asks: vec![], horizon: (Some(price), None) })
    };
    let mut n = next(Ids::Open, 5..=6);
    assert!(n.rescale(from, to));
    let prices = |n: &Next| n.diffs.iter().map(|e| e.bids[0].price).collect::<Vec<_>>();
    assert_eq!(prices(&n), [500, 600]);
    n.view = view(7);
    assert!(n.rescale(from, to));
    let v = n.view.as_ref().unwrap();
    assert_eq!((v.bids[0].price, v.horizon, prices(&n)), (700, (Some(700), None), vec![50_000, 60_000]));
    n.view = view(i64::MAX);
    assert!(!n.rescale(from, to));
    let mut n = Next::new(8);
    n.brings(&diff(5, 5), DiffMeta::default(), &[level(i64::MAX, 1)], &[]);
    assert!(!n.rescale(from, to));
}

#[test]
fn of_what_may_be_alike_the_latest_are_kept_and_what_the_book_lacks_is() {
    let mut b = book(0);
    b.next = Some(Box::new(next(Ids::Open, 1..=100)));
    for last in 1..=80 {
        b.took(&diff(last, last), &[], &[]);
    }
    let n = b.next.as_ref().unwrap();
    assert_eq!(lasts(&n.taken), (80 - KEPT as i64 + 1..=80).collect::<Vec<_>>());
    assert_eq!(lasts(&n.diffs), (100 - KEPT as i64 + 1..=100).collect::<Vec<_>>());
    // The latest of the other one are as many as are kept, and are not of the book yet: they stay.
    let mut b = book(0);
    b.next = Some(Box::new(next(Ids::Open, 31..=130)));
    b.took(&diff(30, 30), &[], &[]);
    assert_eq!(b.next.as_ref().unwrap().diffs.len(), 100);
}

#[test]
fn of_what_the_book_took_alone_only_what_the_other_one_has_yet_to_bring_is_kept() {
    let mut b = book(0);
    b.next = Some(Box::new(Next { ids: Ids::Agree, last: 20, ..Next::new(8) }));
    b.took(&diff(15, 15), &[], &[]);
    assert_eq!(b.next.as_ref().unwrap().taken.len(), 0, "it was past that one");
    for last in 21..=320 {
        b.took(&diff(last, last), &[], &[]);
    }
    let n = b.next.as_ref().unwrap();
    assert_eq!(lasts(&n.taken), (320 - AHEAD as i64 + 1..=320).collect::<Vec<_>>());
}

#[test]
fn a_book_is_behind_only_while_it_is_proven() {
    let mut b = book(10);
    b.next = Some(Box::new(next(Ids::Agree, 9..=12)));
    assert_eq!(b.is_behind_since(), Some(111));
    b.synced = false;
    assert_eq!(b.is_behind_since(), None);
}

#[test]
fn what_the_connection_brought_that_feeds_the_book_now_waits_and_anothers_does_not() {
    let mut b = book(10);
    b.next = Some(Box::new(next(Ids::Open, 11..=12)));
    b.takes_over(9);
    assert!(b.buffer.is_empty() && b.next.is_some());
    b.takes_over(8);
    assert!(b.next.is_none());
    assert_eq!(lasts(&b.buffer), [11, 12]);
}

#[test]
fn a_book_of_no_known_stream_goes_on_all_the_same() {
    let mut fold = Fold::new(1);
    let mut b = book(10);
    let rec = Record {
        kind: crate::model::Kind::Frame,
        flags: 0,
        lane: 1,
        status: 0,
        conn: 8,
        lane_seq: 0,
        rseq: 0,
        ts_kernel: 0,
        ts_mono: 0,
        ts_recv: 5,
        url: "",
        payload: b"",
    };
    fold.core.goes_on_with(&next(Ids::Agree, 9..=10), &rec, InstrumentId(0), &mut b, &mut NoSink);
    assert_eq!((b.seq.conn(), b.seq.live_id(), b.buffer.is_empty()), (8, 10, true));
}
