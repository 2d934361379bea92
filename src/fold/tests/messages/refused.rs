//! Streams that a venue refuses or does not serve, and snapshots of their books, which say nothing of that.

use super::*;

const REALTIME: &str = "depth-realtime:BTC/USDT";

impl Tape {
    /// Its book's stream is refused on 7, and a snapshot comes there all the same.
    fn refused() -> Tape {
        let mut t = Tape::new();
        t.opens(7);
        t.ack(7, "depth", 100_009);
        t.whole(7, 10);
        t
    }

    fn is_refused(&self) -> bool {
        self.fold.open_gaps().any(|g| g == crate::model::GapCause::SubscribeRefused)
    }
}

#[test]
fn a_snapshot_proves_nothing_of_a_stream_that_was_refused() {
    let mut t = Tape::refused();
    assert!(!t.is_proven() && t.is_refused(), "{:?}", t.rows.lines);
    let told = |t: &Tape| t.rows.effects.iter().filter(|e| e.starts_with("Loaded")).count();
    assert_eq!(told(&t), 1, "whoever asked need not ask again: {:?}", t.rows.effects);
    t.fold = crate::fold::Fold::restore(&t.fold.save().unwrap(), &mut super::super::Rows::default()).unwrap();
    t.ts += 10_000_000_000;
    t.exchange(7, 1);
    t.whole(7, 30);
    assert!(!t.is_proven() && t.is_refused(), "{:?}", t.rows.lines);
    t.ts += 10_000_000_000;
    t.event("close", 7, "venue_disconnect", false);
    let end = t.ts;
    assert!(t.rows.of("delta").is_empty() && t.rows.of("cover depth").is_empty(), "{:?}", t.rows.lines);
    let gaps = t.rows.of("gap depth");
    let last = gaps.last().unwrap();
    assert!(last.contains("subscribe_refused") && last.contains(&format!("..{end} ")), "{gaps:?}");
    // The next connection is another matter.
    t.opens(8);
    t.ack(8, "depth", 0);
    t.whole(8, 40);
    assert!(t.is_proven() && !t.is_refused(), "{:?}", t.rows.lines);
}

#[test]
fn a_change_of_a_stream_that_was_refused_says_that_it_is_there() {
    // Before the snapshot, and behind it.
    let mut t = Tape::new();
    t.opens(7);
    t.ack(7, "depth", 100_009);
    t.change(7, 10);
    t.whole(7, 10);
    assert!(t.is_proven(), "{:?}", t.rows.lines);
    let mut t = Tape::refused();
    t.ts += 10_000_000_000;
    t.change(7, 11);
    let back = t.ts;
    assert!(t.is_proven(), "{:?}", t.rows.lines);
    t.change(7, 12);
    t.event("close", 7, "venue_disconnect", false);
    let covers = t.rows.of("cover depth");
    assert!(covers.len() == 1 && covers[0].contains(&format!(" {back}..")), "{covers:?}");
}

#[test]
fn a_stream_that_is_confirmed_after_it_was_refused_is_seeded_anew() {
    let mut t = Tape::refused();
    let asked = t.asked();
    t.ts += 10_000_000_000;
    t.ack(7, "depth", 0);
    let confirmed = t.ts;
    assert!(!t.is_proven() && !t.is_refused() && t.asked() == asked + 1, "{:?}", t.rows.effects);
    t.whole(7, 20);
    assert!(t.is_proven(), "{:?}", t.rows.lines);
    let gaps = t.rows.of("gap depth:BTC/USDT subscribe_refused");
    assert!(gaps.len() == 1 && gaps[0].contains(&format!("..{confirmed} ")), "{gaps:?}");
    // A second confirmation takes nothing away.
    t.ack(7, "depth", 0);
    assert!(t.is_proven() && t.asked() == asked + 1);
}

/// Both legs refuse a stream and one of them confirms it later: what the other one still answers is not for the book.
#[test]
fn a_book_is_built_on_the_leg_that_confirms_its_stream_after_both_refused_it() {
    let mut t = Tape::new();
    t.opens_leg(7, 0);
    t.opens_leg(8, 1);
    t.ack(7, "depth", 100_009);
    t.ack(8, "depth", 100_009);
    assert!(t.is_refused());
    t.ack(7, "depth", 0);
    t.whole(8, 900);
    assert!(!t.is_proven(), "{:?}", t.rows.lines);
    t.whole(7, 20);
    assert!(t.is_proven(), "{:?}", t.rows.lines);
    t.event("close", 8, "venue_disconnect", false);
    t.change(7, 21);
    assert!(t.is_proven() && t.rows.of("delta").len() == 2, "{:?}", t.rows.lines);
}

/// A channel that is taken and not served gives way to another one: the time in which it said nothing is not covered.
#[test]
fn the_time_of_a_channel_that_is_not_served_is_not_proven_when_another_one_takes_its_place() {
    let mut t = Tape::new();
    t.carries(6, 0, &["depth-realtime", "trades"]);
    t.ack(6, "depth-realtime", 0);
    t.book(6, "depth-snapshot-realtime", 0, 10, r#"["1","2"]"#, r#"["2","1"]"#);
    let last = t.ts;
    t.ts += 6_000_000_000;
    t.exchange(6, 1);
    let e = TimerEvent::Silent { stream: REALTIME.into() };
    t.push(Kind::Timer, 6, -1, "", &to_payload(&e), 0);
    // The answer to what the lost book asks for is as little proof as the first one.
    t.book(6, "depth-snapshot-realtime", 0, 90, r#"["1","2"]"#, r#"["2","1"]"#);
    assert!(!t.is_proven());
    t.opens(7);
    t.ack(7, "depth", 0);
    t.whole(7, 100);
    assert!(t.is_proven());
    t.event("close", 6, "operator", true);
    let end = t.ts;
    assert!(t.rows.of("cover depth-realtime").is_empty(), "{:?}", t.rows.of("cover"));
    let gaps = t.rows.of("gap depth-realtime:BTC/USDT silent_stream");
    let is_all = gaps.len() == 1 && gaps[0].contains(&format!(" {last}..{end} "));
    assert!(is_all, "{:?}", t.rows.of("gap"));
}
