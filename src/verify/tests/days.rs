//! One day judged alone: what stands in the files of other days is not known, and neither missing nor wrong.

use std::path::Path;

use arrow_array::RecordBatch;

use super::harm::{find, ints, rewrite, says, set_int, texts};
use super::maker::{EVENING, Maker, S};
use super::{Options, Report, all, verified, verify};
use crate::dataset::{Dataset, Table};
use crate::verify::CheckId;

fn of_day(dir: &Path, date: &str) -> Report {
    let o = Options { date: Some(date.into()), ..Options::default() };
    verify(&Dataset::open(dir).unwrap(), &o, &mut |_, _, _| {}).unwrap()
}

/// The clock is set back over midnight: what is subscribed then seems older than what the day's files begin with.
#[test]
fn ids_that_are_missing_at_a_midnight_over_which_the_clock_was_set_back_are_missing() {
    let d = tempfile::tempdir().unwrap();
    let mut m = Maker::new(d.path());
    let a = m.open(&["BTCUSDT"]);
    m.sync(a, "BTCUSDT");
    m.beats(a, "BTCUSDT", 230);
    // The new day, on a connection of the old one: its trades have holes.
    m.trade(a, "BTCUSDT", 3);
    m.beats(a, "BTCUSDT", 5);
    m.trade(a, "BTCUSDT", 4);
    m.beats(a, "BTCUSDT", 5);
    m.conn_event(a, "close", "venue_disconnect");
    m.wait(-40 * S);
    let b = m.open(&["BTCUSDT"]);
    m.sync(b, "BTCUSDT");
    m.trade(b, "BTCUSDT", 2);
    m.beats(b, "BTCUSDT", 5);
    m.stop();
    m.done();
    for r in [verified(d.path()), of_day(d.path(), "2026-11-20"), of_day(d.path(), "2026-11-21")] {
        assert!(r.well, "{}", all(&r));
    }
    // A gap that calls ids missing which the day's own files have is a fault all the same.
    let four = |b: &RecordBatch, i: usize| ints(b, "seq_after")[i] - ints(b, "seq_before")[i] == 4;
    let (p, i) = find(d.path(), Table::Gaps, four);
    rewrite(d.path(), &p, |b| set_int(&b, "seq_after", i, ints(&b, "seq_after")[i] + 1));
    says(&of_day(d.path(), "2026-11-21"), CheckId::Chains, "are called missing and are not");
}

/// A connection of the day before carries the streams on. What it carried beside another one nobody can say from the day's
/// files.
#[test]
fn a_stream_that_an_older_connection_carries_on_is_not_called_unproven() {
    let d = tempfile::tempdir().unwrap();
    let mut m = Maker::new(d.path());
    let a = m.open(&["BTCUSDT"]);
    m.sync(a, "BTCUSDT");
    m.beats(a, "BTCUSDT", 230);
    let b = m.open(&["BTCUSDT"]);
    m.beats(b, "BTCUSDT", 10);
    m.conn_event(b, "close", "venue_disconnect");
    m.wait(5 * S);
    m.beats(a, "BTCUSDT", 10);
    m.conn_event(a, "close", "venue_disconnect");
    m.wait(S);
    let c = m.open(&["BTCUSDT"]);
    m.sync(c, "BTCUSDT");
    m.beats(c, "BTCUSDT", 50);
    m.stop();
    m.done();
    for r in [verified(d.path()), of_day(d.path(), "2026-11-20"), of_day(d.path(), "2026-11-21")] {
        assert!(r.well, "{}", all(&r));
    }
    // What it could not have carried is judged.
    let covers = |b: &RecordBatch, i: usize| {
        texts(b, "stream")[i] == "btcusdt@bookTicker" && ints(b, "ts_begin")[i] > EVENING + 31 * S
    };
    let (p, i) = find(d.path(), Table::Coverage, covers);
    rewrite(d.path(), &p, |b| set_int(&b, "ts_begin", i, ints(&b, "ts_begin")[i] - S / 2));
    says(&of_day(d.path(), "2026-11-21"), CheckId::Coverage, "is called proven and missing");
}
