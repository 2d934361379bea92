//! Small datasets by hand, then every kind of harm done to them.

mod again;
mod chaos;
mod days;
mod harm;
mod lapses;
mod maker;
mod paces;
mod starts;

use std::path::Path;

use super::*;
use crate::dataset::Dataset;
use crate::engine::rebuild;
use crate::model::control::to_payload;
use crate::model::{ConnEvent, Kind, StreamSpec, Subscribed, time};
use crate::venue;
use maker::*;

fn verified(dir: &Path) -> Report {
    let ds = Dataset::open(dir).unwrap();
    verify(&ds, &Options::default(), &mut |_, _, _| {}).unwrap()
}

fn all(r: &Report) -> String {
    let line = |(c, f): (CheckId, &Finding)| format!("{} {} row {}: {}\n", c.as_str(), f.file, f.row, f.what);
    r.findings().map(line).collect()
}

fn rebuilt(dir: &Path, days: Option<(&str, &str)>) -> rebuild::Outcome {
    let ds = Dataset::open(dir).unwrap();
    rebuild::rebuild(&ds, &rebuild::Options { days, out: None }, &mut |_, _| {}).unwrap()
}

#[test]
fn a_sound_dataset_is_well_and_comes_out_again() {
    let d = tempfile::tempdir().unwrap();
    sample(d.path());
    let r = verified(d.path());
    assert!(r.well, "{}", all(&r));
    let count = |c: CheckId, n: &str| r.check(c).counts.get(n).copied().unwrap_or(0);
    assert_eq!(count(CheckId::Coverage, "streams"), 8);
    assert!(count(CheckId::Chains, "trade_holes") >= 4);
    assert!(count(CheckId::Books, "carried") >= 2);
    assert!(count(CheckId::Books, "cleared") >= 4);
    for days in [None, Some(("2026-11-20", "2026-11-20")), Some(("2026-11-21", "2026-11-21"))] {
        let o = rebuilt(d.path(), days);
        assert!(o.is_equal() && o.equal > 0, "{days:?}: {o:?}");
    }
    assert!(rebuilt(d.path(), None).checkpoints_equal > 0);
    assert_eq!(std::fs::read_dir(d.path().join("_tmp")).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn holes_in_a_count_that_began_anew_below_all_others_are_holes() {
    let d = tempfile::tempdir().unwrap();
    let mut m = Maker::new(d.path());
    m.t.insert("BTCUSDT", 1_000_000);
    let a = m.open(&["BTCUSDT"]);
    m.sync(a, "BTCUSDT");
    m.trade(a, "BTCUSDT", 0);
    m.conn_event(a, "close", "venue_disconnect");
    m.wait(S);
    m.t.insert("BTCUSDT", 5_000);
    let b = m.open(&["BTCUSDT"]);
    // The first ones may be late ones of the old count.
    (0..30).for_each(|_| m.trade(b, "BTCUSDT", 0));
    m.trade(b, "BTCUSDT", 3);
    m.stop();
    m.done();
    let r = verified(d.path());
    assert!(r.well, "{}", all(&r));
    assert!(r.check(CheckId::Chains).counts["trade_holes"] >= 2, "{:?}", r.check(CheckId::Chains).counts);
}

#[test]
fn a_count_that_begins_anew_just_below_the_first_one_and_passes_it_is_another() {
    let d = tempfile::tempdir().unwrap();
    let mut m = Maker::new(d.path());
    m.t.insert("BTCUSDT", 1_000_000);
    let a = m.open(&["BTCUSDT"]);
    m.sync(a, "BTCUSDT");
    (0..20).for_each(|_| m.trade(a, "BTCUSDT", 0));
    m.trade(a, "BTCUSDT", 5);
    m.conn_event(a, "close", "venue_disconnect");
    m.wait(S);
    m.t.insert("BTCUSDT", 999_900);
    let b = m.open(&["BTCUSDT"]);
    (0..60).for_each(|_| m.trade(b, "BTCUSDT", 0));
    m.trade(b, "BTCUSDT", 3);
    (0..100).for_each(|_| m.trade(b, "BTCUSDT", 0));
    m.stop();
    m.done();
    let r = verified(d.path());
    assert!(r.well, "{}", all(&r));
    assert!(r.check(CheckId::Chains).counts["trade_holes"] >= 6, "{:?}", r.check(CheckId::Chains).counts);
}

#[test]
fn days_of_silence_behind_a_midnight_hold_no_books_of_other_days() {
    for days in [1, 2, 3] {
        let d = tempfile::tempdir().unwrap();
        let mut m = Maker::new(d.path());
        m.wait(12 * S);
        let a = m.open(&["BTCUSDT"]);
        m.sync(a, "BTCUSDT");
        m.beats(a, "BTCUSDT", 30);
        // The machine sleeps for days, from the day's last interval on.
        m.wait(days * 24 * 3_600 * S + 12 * S);
        m.conn_event(a, "close", "stale_timeout");
        let b = m.open(&["BTCUSDT"]);
        m.beats(b, "BTCUSDT", 5);
        m.wait(12 * S);
        m.beats(b, "BTCUSDT", 5);
        m.stop();
        let manifest = m.ds.manifest().unwrap();
        let of = |table: &str| -> Vec<(String, i64)> {
            let parts = manifest.parts().filter(|p| p.table == table);
            parts.map(|p| (p.date.clone(), p.interval_start)).collect()
        };
        let (evening, night) = ("2026-11-20".to_owned(), EVENING + 20 * S);
        let entered = (time::date_text(time::day_of(m.ts)), night + days * 24 * 3_600 * S);
        // The day that began has its book in its first part; so has the one that was entered. Between them nothing.
        let books = of("book_delta");
        assert_eq!(books[..3], [(evening, EVENING + 10 * S), ("2026-11-21".into(), night), entered.clone()]);
        assert!(books[3..].iter().all(|b| b.0 == entered.0), "{books:?}");
        m.done();
        let r = verified(d.path());
        assert!(r.well, "{days} days: {}", all(&r));
        let o = rebuilt(d.path(), None);
        assert!(o.is_equal() && o.equal > 0, "{o:?}");
    }
}

#[test]
fn what_a_connection_lost_while_a_stream_was_shed_is_not_held_against_the_time_before() {
    let d = tempfile::tempdir().unwrap();
    let mut m = Maker::new(d.path());
    let a = m.open(&["BTCUSDT", "ETHUSDT"]);
    m.sync(a, "BTCUSDT");
    m.beats(a, "BTCUSDT", 5);
    // Quiet, but alive: covered up to here.
    m.wait(2 * S);
    m.conn_event(a, "pong", "");
    m.wait(50 * MS);
    m.plan_without(&["BTCUSDT", "ETHUSDT"], &["BTCUSDT"]);
    m.shed(a, "BTCUSDT");
    m.wait(S);
    m.plan(&["BTCUSDT", "ETHUSDT"]);
    m.subscribe(a, "BTCUSDT");
    m.wait(20 * MS);
    m.trade(a, "BTCUSDT", 2);
    m.stop();
    m.done();
    let r = verified(d.path());
    assert!(r.well, "{}", all(&r));
}

#[test]
fn a_book_that_its_venue_refuses_after_it_was_proven_is_proven_up_to_its_last_message() {
    let (id, symbol, conn, url) = ("ascendex-spot", "BTC/USDT", EVENING + S, "ws://x/1/api/pro/v1/stream");
    let d = tempfile::tempdir().unwrap();
    let mut m = Maker::new(d.path());
    m.wait(S);
    let of = |channel: &&str| venue::by_id(id).unwrap().1.stream(channel, Some(symbol)).unwrap();
    let add: Vec<StreamSpec> = ["depth", "trades"].iter().map(of).collect();
    let open = ConnEvent { event: "open".into(), venue: id.into(), ..ConnEvent::default() };
    m.push(Kind::Connection, conn, url, &to_payload(&open), 0);
    let subscribed = Subscribed { venue: id.into(), add, ..Subscribed::default() };
    m.push(Kind::Subscription, conn, "", &to_payload(&subscribed), 0);
    let frame = |m: &mut Maker, text: &str| {
        m.wait(100 * MS);
        m.push(Kind::Frame, conn, "", text.as_bytes(), 0);
    };
    let book = |kind: &str, seqnum: i64| {
        format!(
            r#"{{"m":"{kind}","symbol":"{symbol}", "data":{{"ts":1,"seqnum":{seqnum},"asks":[["2","1"]],"bids":[["1","2"]]}}}}"#
        )
    };
    frame(&mut m, r#"{"m":"sub","ch":"depth:BTC/USDT","code":0}"#);
    frame(&mut m, r#"{"m":"sub","ch":"trades:BTC/USDT","code":0}"#);
    frame(&mut m, &book("depth", 10));
    frame(&mut m, &book("depth-snapshot", 10));
    frame(&mut m, &book("depth", 11));
    m.wait(500 * MS);
    frame(&mut m, r#"{"m":"sub","ch":"depth:BTC/USDT","code":100008}"#);
    m.wait(S);
    m.stop();
    m.done();
    let r = verified(d.path());
    assert!(r.well, "{}", all(&r));
}
