//! Streams that the disk has no room for: they stay wanted, and their gap says so until they come again.

use super::{Tape, VENUE, subscribed};
use crate::fold::Fold;
use crate::model::control::{PlanNote, to_payload};
use crate::model::{InstrumentId, Kind, Subscribed};

const ALL: [&str; 3] = ["depth@100ms", "trade", "bookTicker"];

fn names(channels: &[&str]) -> Vec<String> {
    subscribed(channels).add.into_iter().map(|s| s.name).collect()
}

fn plan(t: &mut Tape, shed: &[&str]) {
    let note =
        PlanNote { venue: VENUE.into(), streams: names(&ALL), shed: names(shed), ..PlanNote::default() };
    t.push(Kind::Config, 0, -1, "", &to_payload(&note), 0);
}

fn shed(t: &mut Tape, conn: i64, channels: &[&str]) {
    let s = Subscribed { venue: VENUE.into(), shed: names(channels), ..Subscribed::default() };
    t.push(Kind::Subscription, conn, -1, "", &to_payload(&s), 0);
}

#[test]
fn what_is_shed_has_a_gap_from_its_connection_s_last_byte_and_no_book() {
    let mut t = Tape::synced();
    t.trade(7, 5);
    let last = t.ts;
    plan(&mut t, &["depth@100ms", "trade"]);
    assert!(t.fold.book(InstrumentId(0)).is_some(), "they come until their connection ends");
    shed(&mut t, 7, &["depth@100ms", "trade"]);
    let at = t.ts;
    assert!(t.fold.book(InstrumentId(0)).is_none());
    assert!(t.rows.of("cover btcusdt@trade")[0].ends_with("shed_disk"), "{:?}", t.rows.of("cover"));
    // What stays goes on.
    assert!(
        t.rows.of("cover btcusdt@bookTicker").is_empty() && t.rows.of("gap btcusdt@bookTicker").is_empty()
    );
    let saved = t.fold.save().unwrap();
    t.fold = Fold::restore(&saved, &mut super::Rows::default()).unwrap();
    assert_eq!(t.fold.save().unwrap(), saved);
    // There is room again.
    plan(&mut t, &[]);
    let mut back = subscribed(&["depth@100ms", "trade"]);
    back.venue = VENUE.into();
    t.push(Kind::Subscription, 7, -1, "", &to_payload(&back), 0);
    t.trade(7, 9);
    assert_eq!(
        t.rows.of("gap btcusdt@trade"),
        [format!("gap btcusdt@trade shed_disk (5, 8] {last}..{} by subscription end frame", t.ts)]
    );
    t.diff(7, 21, 22, 20, "", "");
    assert!(t.rows.effects.last().unwrap().starts_with("NeedSnapshot"), "{:?}", t.rows.effects.last());
    t.snapshot(21);
    let gaps = t.rows.of("gap btcusdt@depth");
    assert!(gaps[1].starts_with(&format!("gap btcusdt@depth@100ms shed_disk (12, 20] {last}..")), "{gaps:?}");
    assert!(t.fold.book(InstrumentId(0)).is_some() && at > last);
}

#[test]
fn what_another_connection_carries_is_not_shed_by_the_end_of_one() {
    let mut t = Tape::new();
    t.subscribe(7);
    t.subscribe(8);
    t.trade(7, 4);
    shed(&mut t, 7, &["trade"]);
    assert!(t.rows.of("gap btcusdt@trade").is_empty());
    t.trade(8, 5);
    shed(&mut t, 8, &["trade"]);
    t.conn("close", 8, "venue_disconnect");
    t.conn("close", 7, "venue_disconnect");
    t.subscribe(9);
    t.trade(9, 6);
    let gaps = t.rows.of("gap btcusdt@trade");
    assert!(gaps.len() == 1 && gaps[0].contains("shed_disk"), "{gaps:?}");
}

#[test]
fn what_was_never_carried_is_shed_from_the_plan_on() {
    let mut t = Tape::new();
    let waits = Subscribed { waiting: subscribed(&ALL).add, venue: VENUE.into(), ..Subscribed::default() };
    t.push(Kind::Subscription, 0, -1, "", &to_payload(&waits), 0);
    let began = t.ts;
    plan(&mut t, &ALL);
    let at = t.ts;
    plan(&mut t, &ALL);
    t.subscribe(7);
    assert_eq!(
        t.rows.of("gap btcusdt@trade"),
        [
            format!("gap btcusdt@trade initial_sync (-1, -1] {began}..{at} by subscription end "),
            format!("gap btcusdt@trade shed_disk (-1, -1] {at}..{} by subscription end reconnect", t.ts),
        ]
    );
}
