//! The connection that is to feed a book next, where something is amiss: with it, with the book, or with what it brought.

use super::super::nowhere::frame_of;
use super::*;
use crate::book::Sequencer;
use crate::fold::deaf::Beside;
use crate::model::{Depth, SequenceRule, StreamId};

const ID: InstrumentId = InstrumentId(0);

fn stream_of(t: &Tape) -> StreamId {
    (0..).map(StreamId).find(|id| t.fold.stream(*id).unwrap().0 == DEPTH).unwrap()
}

fn whole_on(stream: StreamId) -> Depth<'static> {
    Depth {
        instrument: ID,
        stream,
        ts_event: 1,
        ts_send: 0,
        first: -1,
        last: 11,
        prev: -1,
        bids: &[],
        asks: &[],
    }
}

#[test]
fn a_book_that_is_gone_or_not_followed_is_handed_to_nobody_nor_is_any_to_one_that_is_gone() {
    let mut t = Tape::beside();
    let (s, rec) = (stream_of(&t), frame_of(8, t.ts + 1));
    let (core, sink) = (&mut t.fold.core, &mut t.rows);
    let carriers = core.s(s).carriers.clone();
    core.s(s).carriers.retain(|c| c.conn != 8);
    assert!(!core.hands_over(&rec, ID, true, sink));
    core.s(s).carriers = carriers;
    let b = core.insts[0].book.as_mut().unwrap();
    let seq = b.seq.clone();
    b.seq.invalidate();
    assert!(!core.hands_over(&rec, ID, true, sink));
    let mut b = core.insts[0].book.take().unwrap();
    b.seq = seq;
    assert!(!core.hands_over(&rec, ID, true, sink));
    core.feed_is_deaf(&rec, &whole_on(s), sink);
    core.insts[0].book = Some(b);
    assert_eq!(core.s(s).feed, 7);
    // As it was, it goes on.
    assert!(core.hands_over(&rec, ID, true, sink));
    assert_eq!(core.s(s).feed, 8);
    assert!(t.is_proven() && lost(&t).is_empty());
}

#[test]
fn only_another_connection_s_changes_of_the_book_s_own_stream_show_that_its_own_is_deaf() {
    let mut t = Tape::beside();
    let (s, ts) = (stream_of(&t), t.ts + 1);
    let (core, sink) = (&mut t.fold.core, &mut t.rows);
    let other = StreamId(s.0 + 1);
    let mut beside = |conn: i64, stream: StreamId| {
        let b = core.insts[0].book.as_mut().unwrap();
        (b.beside, b.next) = (Beside::default(), None);
        core.feed_is_deaf(&frame_of(conn, ts), &whole_on(stream), sink);
        core.insts[0].book.as_ref().unwrap().beside != Beside::default()
    };
    assert_eq!([beside(7, s), beside(8, other), beside(8, s)], [false, false, true]);
}

#[test]
fn a_connection_that_does_not_carry_the_stream_feeds_no_book_next() {
    let mut t = Tape::beside();
    let (s, ts) = (stream_of(&t), t.ts + 1);
    let b = t.fold.core.insts[0].book.take().unwrap();
    let may = |stream: StreamId, conn: i64| t.fold.core.may_be_next(stream, conn, &b, ts);
    assert_eq!([may(s, 8), may(s, 99), may(StreamId::NONE, 8)], [true, false, false]);
}

#[test]
fn a_snapshot_beside_a_book_is_looked_at_only_where_it_may_tell_of_the_next_one() {
    for (synced, replaces, conn) in [(true, false, 8), (false, false, 8), (true, true, 8), (true, false, 99)]
    {
        let mut t = Tape::proven();
        t.opens_leg(8, 1);
        let (s, rec) = (stream_of(&t), frame_of(conn, t.ts + 1));
        let mut b = t.fold.core.insts[0].book.take().unwrap();
        (b.next, b.synced) = (None, synced);
        if replaces {
            b.seq = Sequencer::new(SequenceRule { replaces, ..*b.seq.rule() });
        }
        t.fold.core.beside(&rec, &whole_on(s), b, &mut t.rows);
        let looks = t.fold.core.insts[0].book.as_ref().unwrap().next.is_some();
        assert_eq!(looks, synced && !replaces && conn == 8, "{synced} {replaces} {conn}");
    }
}

/// What it brought crosses the book, which dies of it as it would have by the first one.
#[test]
fn a_book_that_cannot_go_on_with_what_was_brought_is_begun_anew() {
    let mut t = Tape::beside();
    t.book(8, "depth", 1, 12, r#"["3","1"]"#, "");
    t.change(8, 13);
    t.event("close", 7, "venue_disconnect", false);
    assert!(t.rows.of("delta").iter().any(|d| d.contains(" u=12 ")), "{:?}", t.rows.of("delta"));
    assert!(!t.is_proven());
    let lost_at = t.ts;
    t.whole(8, 20);
    t.change(8, 21);
    assert!(t.is_proven());
    let told = lost(&t).into_iter().filter(|g| g.contains(&format!(" {lost_at}.."))).count();
    assert!(told == 1 && lost(&t)[0].contains("resync_wait"), "{:?}", lost(&t));
}

/// Whoever feeds the book from now on, a row names the frame that it took last, and whose that was.
#[test]
fn what_is_covered_over_a_handover_names_the_frame_that_the_book_took_last() {
    for further in [false, true] {
        let mut t = Tape::beside();
        t.change(7, 12);
        let last = t.rseq;
        t.change(8, 12);
        if further {
            t.change(8, 13);
        }
        let took = t.rseq;
        t.event("close", 7, "venue_disconnect", false);
        assert!(t.is_proven() && lost(&t).is_empty());
        t.boundary(1_000_000_000);
        let covers = t.rows.covers.iter().map(|c| c.says()).filter(|c| c.0 == DEPTH);
        let named = if further { (8, 1, -1, took) } else { (7, 0, 2, last) };
        assert_eq!(covers.map(|c| c.1).collect::<Vec<_>>(), [named]);
        let began = t.rseq + 1;
        t.change(8, if further { 14 } else { 13 });
        t.boundary(2_000_000_000);
        let last = t.rows.covers.iter().map(|c| c.says()).rfind(|c| c.0 == DEPTH);
        assert_eq!(last, Some((DEPTH, (8, 1, began, began))));
    }
}
