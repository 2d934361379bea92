//! Two connections of the same streams: one tape, whatever each of them lags behind with, leaves out or says twice.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{Tape, VENUE, quote};
use crate::fold::Fold;
use crate::model::control::to_payload;
use crate::model::{ConnEvent, GapCause, InstrumentId, Kind, StreamSpec, Subscribed, TimerEvent, flags};
use crate::venue;

const S: i64 = 1_000_000_000;

impl Tape {
    pub(super) fn leg(&mut self, conn: i64, leg: u8) {
        let e = ConnEvent {
            event: "open".into(),
            venue: VENUE.into(),
            leg,
            slot: 0,
            code: 0,
            cause: String::new(),
            answered: false,
            detail: String::new(),
        };
        self.push(Kind::Connection, conn, -1, "ws://x/stream?streams=", &to_payload(&e), 0);
        let v = venue::by_id(VENUE).unwrap().1;
        let add: Vec<StreamSpec> = ["depth@100ms", "trade", "bookTicker", "markPrice@1s"]
            .iter()
            .map(|c| v.stream(c, Some("BTCUSDT")).unwrap())
            .collect();
        let s = Subscribed { venue: VENUE.into(), add, ..Subscribed::default() };
        self.push(Kind::Subscription, conn, -1, "", &to_payload(&s), 0);
    }

    fn two_legs() -> Tape {
        let mut t = Tape::new();
        t.leg(7, 0);
        t.leg(8, 1);
        t.diff(7, 11, 12, 10, "[\"100\",\"5\"]", "");
        t.diff(8, 11, 12, 10, "[\"100\",\"5\"]", "");
        t.snapshot(11);
        t
    }

    pub(super) fn boundary(&mut self, at: i64) {
        let payload = self.clock.boundary_payload(at);
        let r = self.clock.boundary_record(at, 0, &payload);
        self.fold.step(&r, &mut self.rows);
        self.ts = self.ts.max(at);
    }

    pub(super) fn wait_over(&mut self) {
        self.ts += 3 * S;
        let e = TimerEvent::LegWait { instrument: format!("{VENUE}:BTCUSDT") };
        self.push(Kind::Timer, 0, -1, "", &to_payload(&e), 0);
    }

    fn mark(&mut self, conn: i64, made: i64, price: i64) {
        self.frame(
            conn,
            &format!(
                "{{\"stream\":\"btcusdt@markPrice@1s\",\"data\":{{\"e\":\"markPriceUpdate\",\"E\":{made},\"s\":\"BTCUSDT\",\
                 \"p\":\"{price}\",\"i\":\"1\",\"P\":\"1\",\"r\":\"0.1\",\"T\":5}}}}"
            ),
        );
    }

    /// The n-th event of the venue.
    fn nth(&mut self, conn: i64, n: i64) {
        match n % 4 {
            0 => {
                let (u, size) = (13 + n, n % 3);
                let level = format!("[\"{}\",\"{size}\"]", 90 + n % 7);
                self.diff(conn, u, u, if n == 0 { 12 } else { u - 4 }, &level, "");
            }
            1 => self.trade(conn, 100 + n / 4),
            2 => self.frame(conn, &quote(500 + n)),
            // Two in the same millisecond.
            _ => self.mark(conn, n / 8, n),
        }
    }

    /// What the rows say that does not depend on who brought them.
    fn told(&self) -> Vec<BTreeSet<String>> {
        let delta = |l: &&str| l.split_once(" u=").unwrap().1.split(" e=").next().unwrap().to_owned();
        let levels = |l: &&str| l.split_once(" b=").unwrap().1.to_owned();
        let all = |kind: &str| self.rows.of(kind).iter().map(|l| (*l).to_owned()).collect();
        let deltas = self
            .rows
            .of("delta")
            .iter()
            .map(|l| format!("{} {}", delta(l), levels(l)))
            .collect::<BTreeSet<_>>();
        vec![deltas, all("trade"), all("quote"), all("mark")]
    }

    fn rows_of_events(&self) -> usize {
        ["delta", "trade", "quote", "mark"].iter().map(|k| self.rows.of(k).len()).sum()
    }

    /// Ids that are called missing on a stream.
    fn missing(&self, stream: &str) -> BTreeSet<i64> {
        let of = |l: &&str| {
            let (a, b) = l.split_once('(').unwrap().1.split_once(']').unwrap().0.split_once(", ").unwrap();
            let (a, b): (i64, i64) = (a.parse().unwrap(), b.parse().unwrap());
            if b < 0 { 0..0 } else { a + 1..b + 1 }
        };
        self.rows.of(&format!("gap {stream}")).iter().flat_map(of).collect()
    }
}

/// Gaps beside the first sync.
fn gaps(t: &Tape) -> Vec<&str> {
    t.rows.of("gap").into_iter().filter(|g| !g.contains("initial_sync")).collect()
}

const EVENTS: i64 = 240;

fn perfect() -> Tape {
    let mut t = Tape::two_legs();
    for n in 0..EVENTS {
        t.nth(7, n);
    }
    t
}

/// Plays both legs: `order` says which one is next, `lost` which events a leg leaves out, `twice` what it says twice.
fn play(t: &mut Tape, order: &[bool], lost: &[u8], twice: &[u8], saved: &[u8]) {
    let mut at = [0i64; 2];
    let mut turn = 0;
    while at.iter().any(|n| *n < EVENTS) {
        let wish = usize::from(order[turn % order.len()]);
        turn += 1;
        // Neither leads by more than what is remembered.
        let leg = if at[wish] >= EVENTS || at[wish] > at[1 - wish] + 60 { 1 - wish } else { wish };
        let n = at[leg];
        at[leg] += 1;
        if lost[n as usize % lost.len()] == leg as u8 + 1 {
            continue;
        }
        t.nth(7 + leg as i64, n);
        // The venue repeats only what has ids: all else is an event each time it is said.
        if n % 4 < 2 && twice[n as usize % twice.len()] == leg as u8 {
            t.nth(7 + leg as i64, n);
        }
        if saved[turn % saved.len()] == 0 {
            let bytes = t.fold.save().unwrap();
            t.fold = Fold::restore(&bytes, &mut t.rows).unwrap();
            assert_eq!(t.fold.save().unwrap(), bytes);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn two_legs_are_one_perfect_one_unless_both_lost_the_same(
        order in prop::collection::vec(any::<bool>(), 50..400),
        lost in prop::collection::vec(0u8..9, 240),
        twice in prop::collection::vec(0u8..9, 240),
        saved in prop::collection::vec(0u8..40, 50),
    ) {
        let (want, mut t) = (perfect(), Tape::two_legs());
        play(&mut t, &order, &lost, &twice, &saved);
        t.wait_over();
        prop_assert_eq!(t.told(), want.told());
        prop_assert_eq!(t.rows_of_events(), want.rows_of_events());
        prop_assert!(gaps(&t).is_empty(), "{:?}", gaps(&t));
        prop_assert_eq!(t.fold.book(InstrumentId(0)).is_some(), true);
        prop_assert!(!t.rows.of("race").is_empty());
    }

    #[test]
    fn what_both_lost_is_missing_and_nothing_else(
        order in prop::collection::vec(any::<bool>(), 50..400),
        lost in prop::collection::vec(0u8..9, 240),
        both in prop::collection::btree_set(0i64..EVENTS - 12, 1..6),
    ) {
        let mut t = Tape::two_legs();
        let lost: Vec<u8> = lost.iter().enumerate().map(|(n, l)| if both.contains(&(n as i64)) { 3 } else { *l % 3 }).collect();
        let mut at = [0i64; 2];
        for turn in 0.. {
            let wish = usize::from(order[turn % order.len()]);
            let leg = if at[wish] >= EVENTS || at[wish] > at[1 - wish] + 60 { 1 - wish } else { wish };
            let n = at[leg];
            if n >= EVENTS {
                break;
            }
            at[leg] += 1;
            let l = lost[n as usize];
            if l != 3 && l != leg as u8 + 1 {
                t.nth(7 + leg as i64, n);
            }
        }
        t.wait_over();
        // What lies behind the first hole of a book begins to wait when that one is told.
        t.wait_over();
        let trades: BTreeSet<i64> = both.iter().filter(|n| *n % 4 == 1).map(|n| 100 + n / 4).collect();
        // Before the first one that came nobody knows what was.
        let first = (0..EVENTS / 4).find(|n| !trades.contains(&(100 + n))).unwrap() + 100;
        let trades: BTreeSet<i64> = trades.into_iter().filter(|id| *id > first).collect();
        prop_assert_eq!(t.missing("btcusdt@trade"), trades, "{:?} {:?}", gaps(&t), t.rows.of("trade"));
        let diffs: BTreeSet<i64> = both.iter().filter(|n| *n % 4 == 0).flat_map(|n| 13 + n - 3..=13 + n).collect();
        let diffs: BTreeSet<i64> = diffs.into_iter().filter(|u| *u > 12).collect();
        prop_assert_eq!(t.missing("btcusdt@depth"), diffs);
    }
}

#[test]
fn an_event_without_a_time_is_news_on_the_connection_that_replaces_another() {
    let mut t = Tape::new();
    t.leg(7, 0);
    t.mark(7, 0, 1);
    t.leg(8, 0);
    t.conn("close", 7, "operator");
    t.mark(8, 0, 2);
    t.mark(8, 0, 3);
    assert_eq!(t.rows.of("mark").len(), 3, "{:?}", t.rows.of("mark"));
}

#[test]
fn a_race_is_told_once_and_says_who_was_first_and_by_how_much() {
    let mut t = Tape::two_legs();
    t.trade(8, 5);
    t.ts += 40;
    t.trade(7, 5);
    t.frame(7, &quote(1));
    t.frame(8, &quote(1));
    t.mark(8, 9, 1);
    t.mark(7, 9, 1);
    t.diff(8, 13, 14, 12, "", "");
    t.diff(7, 13, 14, 12, "", "");
    assert_eq!(
        t.rows.of("race"),
        [
            "race btcusdt@depth@100ms 12 7 8 1",
            "race btcusdt@trade 5 8 7 41",
            "race btcusdt@bookTicker 1 7 8 1",
            "race btcusdt@markPrice@1s -1 8 7 1",
            "race btcusdt@depth@100ms 14 8 7 1"
        ]
    );
    assert_eq!(t.fold.counters().races, [2, 3]);
    assert_eq!(t.fold.last().won_by, 1);
    let second = t.rows.of("delta").last().unwrap().contains(&format!("f={} u=14", flags::SECOND_LEG));
    assert!(second, "{:?}", t.rows.of("delta"));
    // A connection that replaces one of the same leg runs no race.
    let races = t.rows.of("race").len();
    t.leg(9, 0);
    t.frame(7, &quote(2));
    t.frame(9, &quote(2));
    assert_eq!(t.rows.of("race").len(), races);
    t.frame(8, &quote(2));
    assert_eq!(t.rows.of("race").len(), races + 1);
}

#[test]
fn the_death_of_one_leg_is_no_gap_and_that_of_both_is_one() {
    let mut t = Tape::two_legs();
    for conn in [7, 8] {
        t.trade(conn, 5);
        t.frame(conn, &quote(1));
        t.mark(conn, 9, 1);
    }
    t.conn("close", 7, "venue_disconnect");
    assert!(gaps(&t).is_empty(), "{:?}", gaps(&t));
    t.trade(8, 6);
    t.diff(8, 13, 14, 12, "", "");
    t.leg(9, 0);
    t.trade(9, 6);
    t.trade(9, 7);
    t.frame(9, &quote(1));
    t.frame(8, &quote(2));
    assert_eq!(t.rows.of("trade").len() + t.rows.of("quote").len(), 5);
    t.conn("close", 8, "venue_disconnect");
    assert!(gaps(&t).is_empty(), "{:?}", gaps(&t));
    t.conn("close", 9, "venue_disconnect");
    t.leg(10, 0);
    t.leg(11, 1);
    t.trade(10, 8);
    t.diff(11, 15, 16, 14, "", "");
    t.mark(11, 10, 1);
    let g = gaps(&t);
    assert_eq!(g.len(), 4, "{g:?}");
    assert!(g.iter().all(|g| g.contains("venue_disconnect")), "{g:?}");
}

#[test]
fn what_lags_behind_a_leg_that_died_still_fills_its_holes() {
    let mut t = Tape::two_legs();
    t.trade(7, 100);
    t.trade(7, 102);
    t.diff(7, 17, 18, 16, "[\"90\",\"1\"]", "");
    t.conn("close", 7, "venue_disconnect");
    for id in 100..140 {
        t.trade(8, id);
    }
    t.diff(8, 13, 14, 12, "", "");
    t.diff(8, 15, 16, 14, "", "");
    t.diff(8, 17, 18, 16, "[\"90\",\"1\"]", "");
    assert!(gaps(&t).is_empty(), "{:?}", gaps(&t));
    assert_eq!(t.rows.of("trade").len(), 40);
    assert!(t.fold.book(InstrumentId(0)).is_some());
}

#[test]
fn a_hole_is_told_when_the_wait_is_over_with_the_times_at_which_it_was_found() {
    let mut t = Tape::two_legs();
    t.trade(7, 100);
    let begin = t.ts;
    t.trade(7, 102);
    let end = t.ts;
    t.trade(8, 102);
    assert!(gaps(&t).is_empty());
    t.wait_over();
    let g = t.rows.of("gap btcusdt@trade");
    assert_eq!(
        g,
        [format!("gap btcusdt@trade venue_seq_gap (100, 101] {begin}..{end} by ids end frame")],
        "{g:?}"
    );
    let covers = t.rows.of("cover btcusdt@trade");
    assert!(covers.len() == 1 && covers[0].contains(&format!("..{begin} ids 100..100")), "{covers:?}");
    // Nobody else: the next one is told at once.
    t.conn("close", 8, "venue_disconnect");
    t.trade(7, 105);
    assert_eq!(t.rows.of("gap btcusdt@trade").len(), 2);
}

#[test]
fn what_is_missing_behind_a_line_that_died_unseen_is_missing_since_its_last_event() {
    let mut t = Tape::new();
    t.leg(7, 0);
    t.diff(7, 11, 12, 10, "[\"100\",\"5\"]", "");
    t.snapshot(11);
    t.frame(7, &quote(1));
    t.diff(7, 13, 14, 12, "", "");
    let lived = t.ts;
    // Nothing comes on it any more. It is replaced as planned a minute later, and does not answer when it is closed.
    t.ts += 60 * S;
    t.leg(8, 0);
    let replaced = t.ts;
    t.frame(8, &quote(9));
    t.diff(8, 25, 26, 24, "", "");
    t.wait_over();
    let told = t.ts;
    t.conn("close", 7, "operator");
    let g = t.rows.of("gap btcusdt@depth");
    let want = format!("gap btcusdt@depth@100ms venue_seq_gap (14, 24] {lived}..{told} by ids end frame");
    assert_eq!(g.iter().filter(|g| g.contains("seq_gap")).collect::<Vec<_>>(), [&want], "{g:?}");
    // Not by the operator: the line was gone before he closed it.
    let g = t.rows.of("gap btcusdt@bookTicker");
    let want = format!(
        "gap btcusdt@bookTicker venue_disconnect (-1, -1] {lived}..{replaced} by close end reconnect"
    );
    assert_eq!(g, [want.as_str()], "{g:?}");
}

#[test]
fn a_count_that_begins_anew_on_both_legs_is_followed_once() {
    let mut t = Tape::two_legs();
    for id in 100_000..100_010 {
        t.trade(7, id);
        t.trade(8, id);
    }
    for id in 1..60 {
        t.trade(7, id);
    }
    for id in (100_010..100_015).chain(1..70) {
        t.trade(8, id);
    }
    let ids: Vec<i64> = t.rows.of("trade").iter().filter_map(|l| l.split(' ').nth(1)?.parse().ok()).collect();
    let news: BTreeSet<i64> = ids.iter().copied().filter(|id| *id < 900).collect();
    assert_eq!(ids.len(), 10 + news.len(), "doubled: {ids:?}");
    assert!((18..70).all(|id| news.contains(&id)), "{ids:?}");
    let causes: Vec<&str> = gaps(&t);
    assert!(causes.len() == 1 && causes[0].contains(GapCause::VenueSeqGap.as_str()), "{causes:?}");
}

#[test]
fn what_waits_when_all_ends_is_told_and_its_time_is_not_called_proven() {
    let ends: [fn(&mut Tape); 3] = [
        |t| {
            t.conn("close", 7, "venue_disconnect");
            t.conn("close", 8, "venue_disconnect");
        },
        |t| {
            // A day ends with it.
            t.boundary(24 * 3600 * S);
        },
        |t| {
            let gap = crate::model::GapNote {
                cause: "process_crash".into(),
                ts_begin: t.ts + 1,
                ts_end: 0,
                detail: String::new(),
            };
            t.push(Kind::Gap, 0, -1, "", &to_payload(&gap), 0);
        },
    ];
    for end in ends {
        let mut t = Tape::two_legs();
        let before = t.ts;
        t.diff(7, 17, 18, 16, "", "");
        t.diff(8, 21, 22, 20, "", "");
        t.trade(7, 100);
        t.trade(7, 102);
        end(&mut t);
        assert_eq!(t.missing("btcusdt@depth"), [13, 14, 15, 16, 19, 20].into(), "{:?}", gaps(&t));
        assert_eq!(t.missing("btcusdt@trade"), [101].into(), "{:?}", gaps(&t));
        let covers = t.rows.of("cover btcusdt@depth");
        assert!(covers.iter().all(|c| c.contains(&format!("..{} ", before + 1))), "{covers:?}");
    }
}

/// From when to when a stream was covered, or had gaps, in order.
fn spans(t: &Tape, stream: &str) -> Vec<(i64, i64, String)> {
    let of = |l: &str| {
        let (a, b) = l.split_whitespace().find_map(|w| w.split_once("..")).unwrap();
        (a.parse().unwrap(), b.parse().unwrap(), l.split_whitespace().next().unwrap().to_owned())
    };
    let mut all: Vec<_> = ["cover", "gap"]
        .iter()
        .flat_map(|k| t.rows.of(&format!("{k} {stream}")).into_iter().map(of).collect::<Vec<_>>())
        .collect();
    all.sort();
    all
}

/// What waits when an interval ends, and the other leg brings in the next one, was never missing; what does not come is
/// missing from when it was, and each interval says its part.
#[test]
fn what_waits_when_an_interval_ends_may_come_in_the_next_one() {
    // No silence is so long that it has a gap of its own.
    const AT: i64 = 4 * S;
    for comes in [true, false] {
        let mut t = Tape::two_legs();
        t.trade(7, 100);
        t.trade(8, 100);
        t.ts = AT - S;
        t.diff(7, 17, 18, 16, "", "");
        t.trade(7, 102);
        t.boundary(AT);
        let bytes = t.fold.save().unwrap();
        t.fold = Fold::restore(&bytes, &mut super::Rows::default()).unwrap();
        assert_eq!(t.fold.save().unwrap(), bytes);
        assert!(t.missing("btcusdt@depth").is_empty() && t.missing("btcusdt@trade").is_empty());
        if comes {
            t.diff(8, 13, 16, 12, "", "");
            t.trade(8, 101);
        }
        t.wait_over();
        t.trade(7, 103);
        t.boundary(2 * AT);
        let missing = (t.missing("btcusdt@depth"), t.missing("btcusdt@trade"));
        let due = if comes { Default::default() } else { ([13, 14, 15, 16].into(), [101].into()) };
        assert_eq!(missing, due);
        for stream in ["btcusdt@depth", "btcusdt@trade"] {
            let all = spans(&t, stream);
            assert!(all.windows(2).all(|w| w[0].1 == w[1].0), "no second twice, and none left out: {all:?}");
            assert!(all.iter().any(|s| s.1 == AT) && all.last().unwrap().1 == 2 * AT, "{all:?}");
            assert!(all.iter().all(|s| s.1 <= AT || s.0 >= AT), "split at the boundary: {all:?}");
            let lost = all.iter().any(|s| s.2 == "gap" && s.1 > 2_000);
            assert_eq!(lost, !comes, "{all:?}");
        }
    }
}

#[test]
fn a_connection_that_came_and_went_does_not_vouch_for_the_time_before_it() {
    let mut t = Tape::new();
    t.leg(7, 0);
    t.frame(7, &quote(1));
    let heard = t.ts;
    t.ts += S;
    t.leg(8, 1);
    let came = t.ts;
    t.conn("close", 8, "venue_disconnect");
    t.ts += S;
    t.conn("close", 7, "venue_disconnect");
    // The first one may have been dead since its last word, long before the second one came.
    let covered: Vec<&str> = t.rows.of("cover btcusdt@bookTicker");
    assert!(covered[0].contains(&format!("..{heard} ")), "{covered:?}");
    let begins = |l: &&str| {
        let begin = l.split_once("..").unwrap().0.rsplit(' ').next().unwrap().parse::<i64>().unwrap();
        (heard..came - 1).contains(&begin)
    };
    assert!(!covered.iter().any(begins), "{covered:?}");
    let gaps = t.rows.of("gap btcusdt@bookTicker venue_disconnect");
    assert!(gaps[0].contains(&format!(" {heard}..")), "{gaps:?}");
    // One that was heard meanwhile lived all the time.
    let mut t = Tape::new();
    t.leg(7, 0);
    t.frame(7, &quote(1));
    t.ts += S;
    t.leg(8, 1);
    t.frame(7, &quote(2));
    t.conn("close", 8, "venue_disconnect");
    assert!(t.rows.of("gap btcusdt@bookTicker").is_empty(), "{:?}", t.rows.of("gap"));
}
