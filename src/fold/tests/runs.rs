//! What a run takes over of the one before it, and what a number or an id that lies costs those that come after it.

use super::{REST, Tape, VENUE, run_start};
use crate::model::control::to_payload;
use crate::model::{GapCause, GapNote, InstrumentVersion, Kind, RunStart, RunStop};

/// A list of the venue that says how many decimals there are.
fn listed(t: &mut Tape) {
    let v = InstrumentVersion {
        price_exp: 1,
        size_exp: 3,
        source: "venue".into(),
        ..InstrumentVersion::observed(VENUE, "BTCUSDT")
    };
    t.push(Kind::Instrument, 0, -1, "", &to_payload(&v), 0);
}

fn sized(t: &mut Tape, conn: i64, (id, time_ms): (i64, i64), size: &str) {
    t.frame(
        conn,
        &format!(
            "{{\"stream\":\"btcusdt@trade\",\"data\":{{\"e\":\"trade\",\"E\":{time_ms},\"T\":{time_ms},\"s\":\"BTCUSDT\",\
             \"t\":{id},\"p\":\"100.5\",\"q\":\"{size}\",\"X\":\"MARKET\",\"m\":true}}}}"
        ),
    );
}

/// What a run records of one symbol: a list, streams, a book, trades.
fn run(t: &mut Tape, run_id: &str, (rest, conn): (i64, i64)) {
    let run = RunStart { run_id: run_id.into(), ts_start: t.ts, ..run_start() };
    t.push(Kind::Run, 0, -1, "", &to_payload(&run), 0);
    t.conn("open", rest, "");
    listed(t);
    t.subscribe(conn);
    t.diff(conn, 11, 12, 10, "[\"100\",\"5\"]", "");
    let body =
        "{\"lastUpdateId\":11,\"E\":3,\"T\":2,\"bids\":[[\"100.5\",\"12.5\"]],\"asks\":[[\"101\",\"3\"]]}";
    let url = "/fapi/v3/depth?symbol=BTCUSDT&limit=1000";
    t.push(Kind::Rest, rest, 0, url, body.as_bytes(), 200);
    t.diff(conn, 13, 14, 12, "[\"100\",\"6\"]", "");
    sized(t, conn, (7, 50), "12.5");
}

fn told(t: &Tape, from: usize) -> Vec<&str> {
    let kinds = ["delta", "trade", "reject"];
    let is = |l: &&str| kinds.iter().any(|k| l.starts_with(k));
    t.rows.lines[from..].iter().map(String::as_str).filter(is).collect()
}

#[test]
fn a_run_reads_numbers_as_its_recorder_did_whatever_the_run_before_it_had_seen() {
    // The recorder of the second run began empty; so did this one.
    let mut fresh = Tape::new();
    fresh.ts += 1_000;
    let begin = fresh.ts;
    run(&mut fresh, "second", (901, 8));
    let due: Vec<String> = told(&fresh, 0).into_iter().map(without_times).collect();
    assert_eq!(due.iter().filter(|l| l.starts_with("delta")).count(), 3, "{due:?}");
    for is_killed in [false, true] {
        let mut t = Tape::new();
        listed(&mut t);
        t.subscribe(7);
        // A size that leaves no room for whole ones.
        sized(&mut t, 7, (5, 40), "0.000000000000000001");
        assert_eq!(t.rows.of("instrument").last(), Some(&"instrument BTCUSDT 1/18 observed"));
        if is_killed {
            let cause = GapCause::ProcessCrash.as_str().to_owned();
            let note = GapNote { cause, ts_begin: t.ts, ts_end: 0, detail: String::new() };
            t.push(Kind::Gap, 0, -1, "", &to_payload(&note), 0);
        } else {
            let stop = RunStop { run_id: "r".into(), ts_stop: t.ts, exit: "clean".into() };
            t.push(Kind::Stop, 0, -1, "", &to_payload(&stop), 0);
        }
        t.ts = begin;
        let from = t.rows.lines.len();
        run(&mut t, "second", (901, 8));
        let got: Vec<String> = told(&t, from).into_iter().map(without_times).collect();
        assert_eq!(got, due);
        assert_eq!(t.rows.of("instrument").last(), Some(&"instrument BTCUSDT 1/3 venue"));
        // A third one of which the list says the same writes no version again.
        let versions = t.rows.of("instrument").len();
        run(&mut t, "third", (902, 9));
        assert_eq!(t.rows.of("instrument").len(), versions);
        assert!(t.rows.of("reject").is_empty(), "{:?}", t.rows.of("reject"));
    }
}

/// A row without the times and the frame's number, which say nothing of how it was read.
fn without_times(line: &str) -> String {
    let is_kept = |w: &&str| !["ts=", "e=", "rseq="].iter().any(|k| w.starts_with(k));
    line.split(' ').filter(is_kept).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_value_of_many_decimals_costs_none_of_those_that_come_after_it() {
    let mut t = Tape::new();
    listed(&mut t);
    t.subscribe(7);
    sized(&mut t, 7, (5, 40), "0.000000000000000001");
    sized(&mut t, 7, (6, 41), "12.5");
    sized(&mut t, 7, (7, 42), "123456789.125");
    t.diff(7, 11, 12, 10, "[\"100\",\"500000\"]", "");
    t.snapshot(11);
    assert_eq!(t.rows.of("trade"), ["trade 5 ", "trade 6 ", "trade 7 "]);
    assert_eq!(t.rows.of("delta").len(), 2, "{:?}", t.rows.of("delta"));
    assert!(t.fold.book(crate::model::InstrumentId(0)).is_some());
    assert!(t.rows.of("reject").is_empty(), "{:?}", t.rows.of("reject"));
    let versions = ["1/3 venue", "1/18 observed", "1/1 observed", "1/3 observed"];
    assert_eq!(t.rows.of("instrument"), versions.map(|v| format!("instrument BTCUSDT {v}")));
    assert_eq!(t.rows.cuts, 4, "each of them cuts the part");
}

#[test]
fn a_diff_that_waits_for_its_snapshot_does_not_keep_the_book_from_it() {
    let mut t = Tape::new();
    listed(&mut t);
    t.subscribe(7);
    t.diff(7, 11, 12, 10, "[\"100\",\"0.000000000000000001\"]", "");
    let url = "/fapi/v3/depth?symbol=BTCUSDT&limit=1000";
    let body = |id: i64| {
        format!(
            "{{\"lastUpdateId\":{id},\"E\":3,\"T\":2,\"bids\":[[\"100.5\",\"12.5\"]],\"asks\":[[\"101\",\"3\"]]}}"
        )
    };
    t.push(Kind::Rest, REST, 0, url, body(11).as_bytes(), 200);
    t.diff(7, 13, 14, 12, "[\"100\",\"500\"]", "");
    t.push(Kind::Rest, REST, 0, url, body(13).as_bytes(), 200);
    t.diff(7, 15, 16, 14, "[\"100\",\"501\"]", "");
    assert!(t.fold.book(crate::model::InstrumentId(0)).is_some(), "{:?}", t.rows.lines);
    assert!(t.rows.of("reject").is_empty(), "{:?}", t.rows.of("reject"));
}

#[test]
fn what_a_list_said_last_is_known_although_a_run_had_no_list() {
    let mut t = Tape::new();
    let v = InstrumentVersion {
        price_exp: 1,
        size_exp: 3,
        status: "TRADING".into(),
        source: "venue".into(),
        ..InstrumentVersion::observed(VENUE, "BTCUSDT")
    };
    t.push(Kind::Instrument, 0, -1, "", &to_payload(&v), 0);
    let known = |t: &Tape| t.fold.listed().map(|v| (v.symbol.clone(), v.status.clone())).collect::<Vec<_>>();
    let due = [("BTCUSDT".to_owned(), "TRADING".to_owned())];
    for run_id in ["second", "third", "fourth"] {
        let run = RunStart { run_id: run_id.into(), ts_start: t.ts, ..run_start() };
        t.push(Kind::Run, 0, -1, "", &to_payload(&run), 0);
        assert_eq!(known(&t), due);
        // Streams are wanted before there is a list.
        t.conn("open", 900 + t.ts, "");
        t.subscribe(t.ts);
        assert_eq!(known(&t), due);
        let saved = t.fold.save().unwrap();
        let restored = super::Fold::restore(&saved, &mut super::Rows::default()).unwrap();
        assert_eq!(restored.save().unwrap(), saved);
        assert_eq!(restored.listed().count(), 1);
    }
    t.push(
        Kind::Instrument,
        0,
        -1,
        "",
        &to_payload(&InstrumentVersion { status: "DELISTED".into(), ..v }),
        0,
    );
    assert_eq!(known(&t), [("BTCUSDT".to_owned(), "DELISTED".to_owned())]);
}

#[test]
fn exponents_do_not_go_to_and_fro_for_ever() {
    let mut t = Tape::new();
    listed(&mut t);
    t.subscribe(7);
    for n in 0..100 {
        sized(&mut t, 7, (5 + 2 * n, 40 + n), "0.000000000000000001");
        sized(&mut t, 7, (6 + 2 * n, 40 + n), "12.5");
    }
    // The first time both kinds are read, then those that came first in the list's room.
    assert_eq!(t.rows.cuts, 3, "{:?}", t.rows.of("instrument"));
    assert_eq!(t.rows.of("trade").len(), 101);
    assert_eq!(t.rows.of("reject").len(), 99);
    // Fewer decimals than those are borne again.
    sized(&mut t, 7, (300, 200), "0.0000000001");
    assert_eq!(t.rows.of("trade").last(), Some(&"trade 300 "));
    // Across a restart of the converter as well.
    let saved = t.fold.save().unwrap();
    let restored = super::Fold::restore(&saved, &mut super::Rows::default()).unwrap();
    assert_eq!(restored.save().unwrap(), saved);
}

#[test]
fn what_the_book_holds_is_never_cut_off_for_another_number() {
    let mut t = Tape::new();
    listed(&mut t);
    t.subscribe(7);
    t.diff(7, 11, 12, 10, "[\"100\",\"0.00000000000000001\"]", "");
    t.snapshot(11);
    sized(&mut t, 7, (4, 39), "0.000000000000000001");
    assert!(t.rows.of("reject").is_empty(), "{:?}", t.rows.of("reject"));
    assert_eq!(t.rows.of("instrument").last(), Some(&"instrument BTCUSDT 1/18 observed"));
    let versions = t.rows.of("instrument").len();
    // 17 decimals, which is what the book needs, would not do either: then nothing is taken back.
    sized(&mut t, 7, (5, 40), "1000");
    assert_eq!(t.rows.of("reject"), ["reject number size is no number for us"]);
    assert_eq!(t.rows.of("instrument").len(), versions);
    assert!(t.fold.book(crate::model::InstrumentId(0)).is_some());
    // Once the level is gone there is room.
    t.diff(7, 13, 14, 12, "[\"100\",\"0\"]", "");
    sized(&mut t, 7, (6, 41), "1000");
    assert_eq!(t.rows.of("trade"), ["trade 4 ", "trade 6 "]);
    assert!(t.fold.book(crate::model::InstrumentId(0)).is_some());
}

/// A count that begins anew by few trades: they are newer than all that was told before. The first one may be an id that
/// lies; it is in the gap.
#[test]
fn a_new_count_of_few_trades_is_known_by_its_second_one() {
    let mut t = Tape::new();
    t.subscribe(7);
    for n in 0..50 {
        sized(&mut t, 7, (1_000_000 + n, 1_000 + n), "1");
    }
    let before = t.ts;
    for n in 0..12 {
        sized(&mut t, 7, (5 + n, 2_000 + n), "1");
    }
    assert_eq!(t.rows.of("trade").len(), 61);
    let gap =
        format!("gap btcusdt@trade venue_seq_gap (1000049, -1] {before}..{} by ids end frame", before + 2);
    assert_eq!(t.rows.of("gap btcusdt@trade venue_seq_gap"), [gap]);
    // What was told is told once, of the old count or the new one.
    sized(&mut t, 7, (16, 2_011), "1");
    sized(&mut t, 7, (9, 2_004), "1");
    assert_eq!(t.rows.of("trade").len(), 61);
    assert_eq!(t.rows.of("gap btcusdt@trade venue_seq_gap").len(), 1);
}

#[test]
fn ids_that_lie_one_at_a_time_are_no_new_count() {
    let mut t = Tape::new();
    t.subscribe(7);
    for n in 0..100 {
        sized(&mut t, 7, (100_000 + n, 1_000 + 2 * n), "1");
        sized(&mut t, 7, (5 + n, 1_001 + 2 * n), "1");
    }
    // Nor if one is said again and again.
    (0..10).for_each(|n| sized(&mut t, 7, (7, 2_000 + n), "1"));
    assert_eq!(t.rows.of("trade").len(), 100);
    assert!(t.rows.of("gap btcusdt@trade venue_seq_gap").is_empty(), "{:?}", t.rows.of("gap"));
}

#[test]
fn trades_of_a_venue_whose_ids_fell_between_two_runs_are_told() {
    let mut t = Tape::new();
    t.subscribe(7);
    for n in 0..20 {
        sized(&mut t, 7, (100_000 + n, 1_000 + n), "1");
    }
    let stop = RunStop { run_id: "r".into(), ts_stop: t.ts, exit: "clean".into() };
    t.push(Kind::Stop, 0, -1, "", &to_payload(&stop), 0);
    let run = RunStart { run_id: "s".into(), ts_start: t.ts, ..run_start() };
    t.push(Kind::Run, 0, -1, "", &to_payload(&run), 0);
    t.conn("open", REST + 1, "");
    t.subscribe(8);
    for n in 0..10 {
        sized(&mut t, 8, (5 + n, 5_000 + n), "1");
    }
    // All but the one that might have lied, and that one is in the gap between the runs.
    assert_eq!(t.rows.of("trade").len(), 29);
    assert!(t.rows.of("gap btcusdt@trade operator").len() == 1, "{:?}", t.rows.of("gap"));
    // What the venue says again of the run before is not told twice.
    let mut u = Tape::new();
    u.subscribe(7);
    for n in 0..20 {
        sized(&mut u, 7, (100_000 + n, 1_000 + n), "1");
    }
    u.push(Kind::Stop, 0, -1, "", &to_payload(&stop), 0);
    u.push(Kind::Run, 0, -1, "", &to_payload(&run), 0);
    u.subscribe(8);
    sized(&mut u, 8, (100_018, 1_018), "1");
    sized(&mut u, 8, (100_019, 1_019), "1");
    sized(&mut u, 8, (100_020, 1_020), "1");
    assert_eq!(u.rows.of("trade").len(), 21);
}

/// A snapshot that was asked for before the line was cut proves the book as it was then. What came while there was no line is
/// missing for that reason, although only the first change on the new one shows it.
#[test]
fn what_a_lost_connection_cost_is_not_laid_to_the_venue_where_an_early_snapshot_had_proven_the_book() {
    let mut t = Tape::synced();
    t.diff(7, 30, 31, 20, "[\"100\",\"6\"]", "");
    t.conn("close", 7, "venue_disconnect");
    t.subscribe(8);
    t.snapshot(31);
    assert!(t.fold.book(crate::model::InstrumentId(0)).is_some());
    t.diff(8, 40, 41, 35, "", "");
    let gaps = t.rows.of("gap btcusdt@depth@100ms");
    assert!(gaps[gaps.len() - 1].contains("venue_disconnect (31, 35]"), "{gaps:?}");
    // What the new line itself lacks the venue has not sent.
    t.snapshot(41);
    t.diff(8, 50, 51, 45, "", "");
    let gaps = t.rows.of("gap btcusdt@depth@100ms");
    assert!(gaps[gaps.len() - 1].contains("venue_seq_gap (41, 45]"), "{gaps:?}");
}
