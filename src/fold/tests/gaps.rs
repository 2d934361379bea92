//! Gaps are said as often as they have rows, and none is said where nothing is missing.

use super::*;

fn boundary(t: &mut Tape, at: i64) {
    let payload = t.clock.boundary_payload(at);
    let r = t.clock.boundary_record(at, 0, &payload);
    t.fold.step(&r, &mut t.rows);
    t.ts = t.ts.max(at);
}

#[test]
fn each_gap_is_said_as_often_as_it_has_rows() {
    let mut t = Tape::synced();
    t.trade(7, 5);
    // Ends with a frame, and with ids that are missing.
    t.conn("close", 7, "venue_disconnect");
    t.subscribe(8);
    t.trade(8, 7);
    t.diff(8, 13, 14, 12, "", "");
    t.trade(8, 9);
    t.diff(8, 30, 31, 20, "", "");
    // A boundary in a gap.
    boundary(&mut t, 3_600_000_000_000);
    t.snapshot(30);
    let e = TimerEvent::Silent { stream: "btcusdt@bookTicker".into() };
    t.push(Kind::Timer, 8, -1, "", &to_payload(&e), 0);
    t.frame(8, &quote(9));
    // What is open at the end has no row before it is over.
    t.conn("close", 8, "venue_disconnect");
    let (mut told, mut kinds) = (0, 0);
    for cause in GapCause::ALL {
        let rows = t.rows.of("gap").iter().filter(|g| g.contains(&format!(" {} ", cause.as_str()))).count();
        let is_of = |e: &&String| e.starts_with("Gap {") && e.ends_with(&format!("cause: {cause:?} }}"));
        assert_eq!(
            t.rows.effects.iter().filter(is_of).count(),
            rows,
            "{}: {:?}",
            cause.as_str(),
            t.rows.lines
        );
        (told, kinds) = (told + rows, kinds + usize::from(rows > 0));
    }
    assert!(told >= 8 && kinds >= 5, "{told} {kinds}: {:?}", t.rows.of("gap"));
    assert_eq!(t.fold.open_gaps().collect::<Vec<_>>(), [GapCause::VenueDisconnect; 3]);
}

/// A snapshot that is between two diffs that changed places: the later one proves it, and the earlier one is in it.
#[test]
fn a_diff_that_the_snapshot_has_and_that_comes_late_breaks_nothing() {
    let mut t = Tape::new();
    t.subscribe(7);
    t.diff(7, 11, 12, 10, "[\"100\",\"5\"]", "");
    t.snapshot(14);
    t.diff(7, 15, 16, 14, "[\"100\",\"7\"]", "");
    assert!(t.fold.book(InstrumentId(0)).is_some());
    let rows = t.rows.of("delta").len();
    t.diff(7, 13, 14, 12, "[\"100\",\"6\"]", "");
    assert!(t.fold.book(InstrumentId(0)).is_some(), "it has it already");
    assert_eq!(t.rows.of("delta").len(), rows);
    t.diff(7, 17, 18, 16, "[\"100\",\"8\"]", "");
    assert_eq!(t.rows.of("delta").len(), rows + 1);
    let false_ones: Vec<_> =
        t.rows.of("gap").into_iter().filter(|g| g.contains(", -1]") && g.contains("seq_gap")).collect();
    assert!(false_ones.is_empty(), "{false_ones:?}");
}

/// The same where both came before the snapshot.
#[test]
fn buffered_diffs_that_changed_places_do_not_break_the_snapshot_between_them() {
    let mut t = Tape::new();
    t.subscribe(7);
    t.diff(7, 11, 12, 10, "", "");
    t.diff(7, 15, 16, 14, "[\"100\",\"7\"]", "");
    t.diff(7, 13, 14, 12, "[\"100\",\"6\"]", "");
    t.snapshot(14);
    assert!(t.fold.book(InstrumentId(0)).is_some(), "{:?}", t.rows.lines);
    let clear = format!(" f={} ", flags::CLEAR);
    assert!(!t.rows.of("delta").iter().any(|d| d.contains(&clear)), "{:?}", t.rows.of("delta"));
}

#[test]
fn the_gap_of_a_stop_ends_where_a_run_begins_that_leaves_the_venue_out() {
    for (venues, ends) in
        [(vec![VENUE.to_owned()], false), (vec!["binance-spot".to_owned()], true), (vec![], false)]
    {
        let mut t = Tape::synced();
        t.trade(7, 1);
        let stop = RunStop { run_id: "r".into(), ts_stop: t.ts, exit: "clean".into() };
        t.push(Kind::Stop, 0, -1, "", &to_payload(&stop), 0);
        let stopped = t.ts;
        t.ts += 1_000;
        t.push(Kind::Run, 0, -1, "", &to_payload(&RunStart { run_id: "s".into(), venues, ..run_start() }), 0);
        let told = t.rows.of("gap btcusdt@trade operator");
        let want = format!("gap btcusdt@trade operator (1, -1] {stopped}..{}", t.ts);
        assert_eq!(told.len(), usize::from(ends), "{told:?}");
        assert!(told.iter().all(|g| g.starts_with(&want)), "{told:?} {want}");
    }
}

/// A day through which the lane slept has no record, so no row opens it.
#[test]
fn a_day_without_a_record_is_not_opened() {
    const DAY: i64 = 86_400_000_000_000;
    let opened = |second: i64| {
        let mut t = Tape::synced();
        t.ts = DAY - 1_000_000_000;
        t.conn("pong", 7, "");
        boundary(&mut t, DAY);
        boundary(&mut t, second);
        let stamp = format!("ts={DAY} rseq=-1 f={} ", flags::SNAPSHOT | flags::CARRIED);
        t.rows.of("delta").iter().filter(|l| l.contains(&stamp)).count()
    };
    assert_eq!(opened(3 * DAY), 0);
    assert_eq!(opened(DAY + DAY / 24), 1, "the lane was awake in it");
}
