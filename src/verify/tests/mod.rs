//! Small datasets by hand, then every kind of harm done to them.

mod again;
mod chaos;
mod harm;
mod lapses;
mod maker;
mod paces;
mod starts;

use std::path::Path;

use super::*;
use crate::dataset::Dataset;
use crate::engine::rebuild;
use crate::model::time;
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
