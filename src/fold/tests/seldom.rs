//! What seldom happens to a stream: said twice, carried by two and ended on one, given up while another run wants it.

use super::*;
use crate::model::control::PlanNote;

const S: i64 = 1_000_000_000;

fn ends(t: &mut Tape, conn: i64, names: &[&str]) {
    let remove = names.iter().map(|n| format!("btcusdt@{n}")).collect();
    let s = Subscribed { venue: VENUE.into(), remove, ..Subscribed::default() };
    t.push(Kind::Subscription, conn, -1, "", &to_payload(&s), 0);
}

fn waits(t: &mut Tape, names: &[&str]) {
    let s = Subscribed { venue: VENUE.into(), waiting: subscribed(names).add, ..Subscribed::default() };
    t.push(Kind::Subscription, 0, -1, "", &to_payload(&s), 0);
}

fn boundary(t: &mut Tape, at: i64) {
    let payload = t.clock.boundary_payload(at);
    let r = t.clock.boundary_record(at, 0, &payload);
    t.fold.step(&r, &mut t.rows);
    t.ts = t.ts.max(at);
}

fn gaps_of(t: &Tape, name: &str) -> Vec<String> {
    t.rows.of(&format!("gap btcusdt@{name} ")).into_iter().map(str::to_owned).collect()
}

#[test]
fn a_stream_that_is_subscribed_twice_on_one_connection_is_carried_once() {
    let mut t = Tape::new();
    t.subscribe(7);
    let s = subscribed(&["trade"]);
    t.push(Kind::Subscription, 7, -1, "", &to_payload(&s), 0);
    // Nor is what is carried already waited for.
    waits(&mut t, &["trade"]);
    assert!(gaps_of(&t, "trade").is_empty());
    t.trade(7, 1);
    t.conn("close", 7, "venue_disconnect");
    assert_eq!(t.rows.of("cover btcusdt@trade").len(), 1);
    assert_eq!(t.fold.open_gaps().filter(|g| *g == GapCause::VenueDisconnect).count(), 3);
}

#[test]
fn a_stream_that_ends_on_one_of_two_connections_goes_on_by_the_other() {
    let mut t = Tape::new();
    t.subscribe(7);
    t.subscribe(8);
    t.trade(7, 1);
    ends(&mut t, 7, &["trade"]);
    t.trade(8, 2);
    assert!(gaps_of(&t, "trade").is_empty() && t.rows.of("cover btcusdt@trade").is_empty());
    ends(&mut t, 8, &["trade"]);
    let covers = t.rows.of("cover btcusdt@trade");
    assert!(covers.len() == 1 && covers[0].ends_with(" ids 1..2 unsubscribed"), "{covers:?}");
    // Nobody wants it: a plan that has no room for it, and for one that was never seen, says nothing of it, nor does a crash.
    let shed = vec!["btcusdt@trade".into(), "ethusdt@trade".into()];
    let streams = ["depth@100ms", "bookTicker"].map(|n| format!("btcusdt@{n}")).to_vec();
    let note = PlanNote { venue: VENUE.into(), streams, shed, ..PlanNote::default() };
    t.push(Kind::Config, 0, -1, "", &to_payload(&note), 0);
    let crash =
        GapNote { cause: "process_crash".into(), ts_begin: t.ts + 1, ts_end: 0, detail: String::new() };
    t.push(Kind::Gap, 0, -1, "", &to_payload(&crash), 0);
    t.subscribe(9);
    assert!(gaps_of(&t, "trade").is_empty(), "{:?}", gaps_of(&t, "trade"));
    assert!(gaps_of(&t, "bookTicker")[0].contains("process_crash"), "{:?}", gaps_of(&t, "bookTicker"));
}

#[test]
fn the_end_of_a_stream_of_diffs_that_does_not_feed_the_book_is_not_the_book_s() {
    let mut t = Tape::synced();
    let s = subscribed(&["depth@500ms"]);
    t.push(Kind::Subscription, 7, -1, "", &to_payload(&s), 0);
    let change = |t: &mut Tape, first: i64, last: i64, prev: i64| {
        let f = format!(
            "{{\"stream\":\"btcusdt@depth@500ms\",\"data\":{{\"e\":\"depthUpdate\",\"E\":5,\"T\":4,\"s\":\"BTCUSDT\",\
             \"U\":{first},\"u\":{last},\"pu\":{prev},\"b\":[],\"a\":[]}}}}"
        );
        t.frame(7, &f);
    };
    change(&mut t, 21, 22, 20);
    t.snapshot(21);
    assert!(t.fold.book(InstrumentId(0)).is_some());
    ends(&mut t, 7, &["depth@100ms"]);
    assert!(t.fold.book(InstrumentId(0)).is_some());
    change(&mut t, 23, 24, 22);
    assert!(t.rows.of("delta").last().unwrap().contains(" u=24 "), "{:?}", t.rows.of("delta"));
    ends(&mut t, 7, &["depth@500ms"]);
    assert!(t.fold.book(InstrumentId(0)).is_none());
}

/// The first one lags behind a second one that is gone: what it brings was told.
#[test]
fn one_that_lags_behind_one_that_is_gone_brings_what_is_known() {
    // Whether the other one came before its first trade or behind it, and whether it brought any of them while that one lived.
    for (before, beside) in [(true, 100), (false, 100), (false, 99), (true, 103)] {
        let mut t = Tape::new();
        t.subscribe(7);
        if before {
            t.trade(7, 100);
        }
        t.subscribe(8);
        if !before {
            t.trade(8, 99);
            t.trade(7, 99);
            t.trade(8, 100);
        }
        for id in 101..=150 {
            t.trade(8, id);
        }
        for id in 100..=beside {
            t.trade(7, id);
        }
        t.conn_ends("close", 8, "operator", true);
        let told = t.rows.of("trade").len();
        // More of them than a count that begins anew needs to be believed.
        for id in beside + 1..=140 {
            t.trade(7, id);
        }
        assert_eq!(t.rows.of("trade").len(), told);
        assert!(gaps_of(&t, "trade").is_empty(), "{:?}", gaps_of(&t, "trade"));
    }
}

#[test]
fn what_has_ids_is_whole_where_they_went_on_over_a_change_of_connections() {
    let mut t = Tape::new();
    t.subscribe(7);
    t.trade(7, 1);
    t.frame(7, &quote(1));
    let heard = t.ts;
    t.ts += S;
    t.subscribe(8);
    let came = t.ts;
    t.trade(8, 2);
    t.conn("close", 7, "venue_disconnect");
    assert!(gaps_of(&t, "trade").is_empty(), "{:?}", gaps_of(&t, "trade"));
    let quotes = gaps_of(&t, "bookTicker");
    assert!(quotes.len() == 1 && quotes[0].contains(&format!(" {heard}..{came} ")), "{quotes:?}");
}

/// One comes and goes while nothing is heard of the other, which may have been dead since long before.
#[test]
fn of_one_that_came_and_went_only_its_ids_vouch_for_the_time_before_it() {
    for brings in [true, false] {
        let mut t = Tape::new();
        t.subscribe(7);
        t.trade(7, 1);
        let traded = t.ts;
        t.frame(7, &quote(1));
        t.ts += S;
        t.subscribe(8);
        let came = t.ts;
        if brings {
            t.trade(8, 2);
        }
        t.conn("close", 8, "venue_disconnect");
        let gaps = gaps_of(&t, "trade");
        if brings {
            assert!(gaps.is_empty(), "{gaps:?}");
            continue;
        }
        let want = format!("venue_disconnect (1, -1] {traded}..{came} by close end reconnect");
        assert!(gaps.len() == 1 && gaps[0].contains(&want), "{gaps:?} {want}");
        // The stretch that begins then goes on from the id of before.
        t.trade(7, 2);
        t.conn("close", 7, "venue_disconnect");
        let covers = t.rows.of("cover btcusdt@trade");
        assert!(covers.len() == 2 && covers[1].contains(&format!(" {came}..")), "{covers:?}");
        assert!(covers[1].contains(" ids 1..2 "), "{covers:?}");
    }
}

#[test]
fn what_is_proven_only_since_one_came_is_not_doubted_when_it_goes() {
    let mut t = Tape::new();
    t.subscribe(7);
    t.frame(7, &quote(1));
    let heard = t.ts;
    t.ts += S;
    t.subscribe(8);
    let e = TimerEvent::Silent { stream: "btcusdt@bookTicker".into() };
    t.push(Kind::Timer, 8, -1, "", &to_payload(&e), 0);
    t.frame(8, &quote(2));
    let back = t.ts;
    t.conn("close", 8, "venue_disconnect");
    let gaps = gaps_of(&t, "bookTicker");
    assert!(
        gaps.len() == 1 && gaps[0].contains(&format!("silent_stream (-1, -1] {heard}..{back} ")),
        "{gaps:?}"
    );
}

/// A run that ended, and the next one, which wants the stream and has no connection for it yet.
#[test]
fn the_gap_of_a_run_that_ended_is_over_when_the_next_one_waits_for_the_stream() {
    const HOUR: i64 = 3_600 * S;
    for splits in [false, true] {
        let mut t = Tape::synced();
        let stop = RunStop { run_id: "r".into(), ts_stop: t.ts, exit: "clean".into() };
        t.push(Kind::Stop, 0, -1, "", &to_payload(&stop), 0);
        let stopped = t.ts;
        t.ts += 1_000;
        let start = t.ts;
        let run = RunStart { run_id: "s".into(), ts_start: start, ..run_start() };
        t.push(Kind::Run, 0, -1, "", &to_payload(&run), 0);
        if splits {
            boundary(&mut t, HOUR);
        }
        waits(&mut t, &["trade"]);
        t.subscribe(8);
        let gaps = gaps_of(&t, "trade");
        let begun = if splits { HOUR } else { start };
        let operator: Vec<&String> = gaps.iter().filter(|g| g.contains(" operator ")).collect();
        assert!(operator.len() == 1 && operator[0].contains(&format!(" {stopped}..{begun} ")), "{gaps:?}");
        let waited: Vec<&String> = gaps.iter().filter(|g| g.contains(" initial_sync ")).collect();
        assert!(waited.len() == 1 && waited[0].contains(&format!(" {begun}..{} ", t.ts)), "{gaps:?}");
    }
}

#[test]
fn one_array_over_two_connections_is_told_once() {
    let mut t = Tape::new();
    let v = venue::by_id(VENUE).unwrap().1;
    let names = ["!markPrice@arr@1s", "!markPrice@arr"];
    for conn in [7, 8] {
        t.conn("open", conn, "");
        let add = names.iter().map(|n| v.stream(n, None).unwrap()).collect();
        let s = Subscribed { venue: VENUE.into(), add, ..Subscribed::default() };
        t.push(Kind::Subscription, conn, -1, "", &to_payload(&s), 0);
    }
    // Two streams of the whole market are one kind of them.
    assert_eq!(t.fold.core.markets.len(), 1);
    let one = |symbol: &str| {
        format!(
            "{{\"e\":\"markPriceUpdate\",\"E\":9,\"s\":\"{symbol}\",\"p\":\"1\",\"i\":\"1\",\"P\":\"1\",\"r\":\"0.1\",\"T\":5}}"
        )
    };
    let f = format!("{{\"stream\":\"{}\",\"data\":[{},{}]}}", names[0], one("BTCUSDT"), one("ETHUSDT"));
    for conn in [7, 8, 7] {
        t.frame(conn, &f);
    }
    // The first one brought it twice: so it is two of each.
    assert_eq!(t.rows.of("mark").len(), 4, "{:?}", t.rows.of("mark"));
    // The other one is gone, and for so long that nothing of it is waited for.
    t.conn_ends("close", 8, "operator", true);
    t.ts += 6 * S;
    t.frame(7, &f);
    assert_eq!(t.rows.of("mark").len(), 6);
}
