//! Venues that speak by message: acknowledgements, in-band snapshots, ids that end with their connection.

mod next;

use super::Tape;
use crate::model::control::to_payload;
use crate::model::{ConnEvent, InstrumentId, Kind, StreamSpec, Subscribed, TimerEvent, flags};
use crate::venue;

mod deaf;
mod refused;

const VENUE: &str = "ascendex-spot";
const SYMBOL: &str = "BTC/USDT";
const DEPTH: &str = "depth:BTC/USDT";

impl Tape {
    fn event(&mut self, word: &str, conn: i64, cause: &str, answered: bool) {
        let e = ConnEvent {
            event: word.into(),
            venue: VENUE.into(),
            leg: 0,
            slot: 0,
            code: 0,
            cause: cause.into(),
            answered,
            detail: String::new(),
        };
        self.push(Kind::Connection, conn, -1, "ws://x/1/api/pro/v1/stream", &to_payload(&e), 0);
    }

    fn opens(&mut self, conn: i64) {
        self.opens_leg(conn, 0);
    }

    fn opens_leg(&mut self, conn: i64, leg: u8) {
        self.carries(conn, leg, &["depth", "trades", "bbo"]);
    }

    fn carries(&mut self, conn: i64, leg: u8, channels: &[&str]) {
        let e = ConnEvent { venue: VENUE.into(), leg, ..super::conn_event("open", "") };
        self.push(Kind::Connection, conn, -1, "ws://x/1/api/pro/v1/stream", &to_payload(&e), 0);
        let v = venue::by_id(VENUE).unwrap().1;
        let add: Vec<StreamSpec> = channels.iter().map(|c| v.stream(c, Some(SYMBOL)).unwrap()).collect();
        let s = Subscribed { venue: VENUE.into(), add, ..Subscribed::default() };
        self.push(Kind::Subscription, conn, -1, "", &to_payload(&s), 0);
    }

    fn ack(&mut self, conn: i64, channel: &str, code: i64) {
        self.frame(conn, &format!(r#"{{"m":"sub","ch":"{channel}:{SYMBOL}","code":{code}}}"#));
    }

    fn book(&mut self, conn: i64, m: &str, ts: i64, seqnum: i64, bids: &str, asks: &str) {
        self.frame(
            conn,
            &format!(
                r#"{{"m":"{m}","symbol":"{SYMBOL}", "data":{{"ts":{ts},"seqnum":{seqnum},"asks":[{asks}],"bids":[{bids}]}}}}"#
            ),
        );
    }

    fn change(&mut self, conn: i64, seqnum: i64) {
        self.book(conn, "depth", 1, seqnum, r#"["1","5"]"#, "");
    }

    fn whole(&mut self, conn: i64, seqnum: i64) {
        self.book(conn, "depth-snapshot", 1, seqnum, r#"["1","2"]"#, r#"["2","1"]"#);
    }

    fn exchange(&mut self, conn: i64, id: i64) {
        self.frame(
            conn,
            &format!(
                r#"{{"m":"trades","symbol":"{SYMBOL}","data":[{{"p":"1","q":"1","ts":1,"bm":true,"seqnum":{id}}}]}}"#
            ),
        );
    }

    fn is_proven(&self) -> bool {
        self.fold.book(InstrumentId(0)).is_some()
    }

    fn asked(&self) -> usize {
        self.rows.effects.iter().filter(|e| e.starts_with("NeedSnapshot")).count()
    }

    fn proven() -> Tape {
        let mut t = Tape::new();
        t.opens(7);
        t.change(7, 10);
        t.whole(7, 10);
        t
    }
}

#[test]
fn a_snapshot_is_its_own_proof_and_the_next_diff_must_follow() {
    let mut t = Tape::proven();
    assert!(t.is_proven());
    let d = t.rows.of("delta");
    assert_eq!(d.len(), 1, "{d:?}");
    assert!(d[0].contains(&format!("f={} u=10 pu=-1", flags::SNAPSHOT)), "{d:?}");
    t.change(7, 11);
    t.change(7, 11);
    t.change(7, 9);
    assert_eq!(t.fold.counters().duplicates, 2);
    t.change(7, 13);
    assert!(!t.is_proven());
    let gaps = t.rows.of("gap depth");
    assert!(gaps.iter().any(|g| g.contains("venue_seq_gap (11, 12]")), "{gaps:?}");
    // One from before the hole does not help, one that holds what came since does.
    t.whole(7, 11);
    assert!(!t.is_proven());
    t.whole(7, 13);
    assert!(t.is_proven());
}

#[test]
fn diffs_that_a_snapshot_covers_and_that_never_came_are_missing_all_the_same() {
    let mut t = Tape::new();
    t.opens(7);
    t.change(7, 10);
    t.whole(7, 12);
    t.change(7, 13);
    assert!(t.is_proven());
    let gaps = t.rows.of("gap depth");
    assert!(gaps.iter().any(|g| g.contains("venue_seq_gap (10, 12]")), "{gaps:?}");
}

#[test]
fn another_family_and_a_rest_body_seed_nothing() {
    let mut t = Tape::new();
    t.opens(7);
    t.change(7, 10);
    t.book(7, "depth-snapshot-realtime", 0, 10, "", "");
    assert_eq!(t.rows.of("reject").len(), 1, "it was never subscribed");
    let body = r#"{"code":0,"data":{"m":"depth-snapshot","symbol":"BTC/USDT","data":{"seqnum":10,"ts":1,"asks":[],"bids":[]}}}"#;
    t.event("open", 8, "", false);
    t.push(Kind::Rest, 8, 0, "/api/pro/v1/depth?symbol=BTC%2FUSDT", body.as_bytes(), 200);
    assert!(!t.is_proven());
}

#[test]
fn crossed_once_is_once_too_often() {
    let mut t = Tape::proven();
    t.book(7, "depth", 1, 11, r#"["2","1"]"#, "");
    assert!(!t.is_proven());
    assert!(t.rows.of("gap depth").len() == 1, "the resync is open still");
    assert_eq!(t.asked(), 2);
}

#[test]
fn a_count_that_begins_anew_is_seen_by_its_time_or_by_its_stubbornness() {
    let mut t = Tape::proven();
    t.book(7, "depth", 4_000, 3, "", "");
    assert!(t.is_proven());
    t.book(7, "depth", 5_002, 4, "", "");
    assert!(!t.is_proven());
    let mut t = Tape::proven();
    for id in 1..5 {
        t.change(7, id);
        assert!(t.is_proven());
    }
    t.change(7, 5);
    assert!(!t.is_proven());
}

#[test]
fn a_new_connection_begins_with_a_new_book() {
    let mut t = Tape::proven();
    t.event("close", 7, "venue_disconnect", false);
    let asked = t.asked();
    t.opens(8);
    assert!(
        !t.is_proven(),
        "ids of another connection prove nothing, and nobody waits for the first of them"
    );
    assert_eq!(t.asked(), asked + 1);
    assert!(t.rows.of("delta").last().unwrap().contains(&format!("f={}", flags::CLEAR)));
    t.change(8, 11);
    assert!(!t.is_proven());
    t.whole(8, 11);
    assert!(t.is_proven());
}

/// Gaps of the stream of diffs beside the first sync.
fn lost(t: &Tape) -> Vec<&str> {
    t.rows.of("gap depth").into_iter().filter(|g| !g.contains("initial_sync")).collect()
}

#[test]
fn a_book_goes_on_with_the_replacement_whose_snapshot_is_the_same_book() {
    let mut t = Tape::proven();
    t.change(7, 11);
    t.opens(8);
    let asks = |t: &Tape| t.rows.effects.iter().filter(|e| e.starts_with("Successor { conn: 8")).count();
    assert_eq!((asks(&t), t.asked()), (1, 1), "{:?}", t.rows.effects);
    // The new one is ahead by one, and its snapshot comes in the midst.
    t.change(8, 12);
    t.change(7, 12);
    t.change(8, 13);
    t.fold = crate::fold::Fold::restore(&t.fold.save().unwrap(), &mut super::Rows::default()).unwrap();
    t.book(8, "depth-snapshot", 1, 12, r#"["1","5"]"#, r#"["2","1"]"#);
    t.change(7, 13);
    t.change(8, 14);
    t.change(7, 14);
    t.event("close", 7, "operator", true);
    t.change(8, 15);
    assert!(t.is_proven() && lost(&t).is_empty(), "{:?}", lost(&t));
    let d = t.rows.of("delta");
    let ids: Vec<&str> =
        d.iter().map(|l| l.split(" u=").nth(1).unwrap().split(' ').next().unwrap()).collect();
    assert_eq!(ids, ["10", "11", "12", "13", "14", "15"]);
    let epochs: std::collections::BTreeSet<&str> =
        d.iter().map(|l| l.split(" e=").nth(1).unwrap().split(' ').next().unwrap()).collect();
    assert_eq!(epochs.len(), 1, "{d:?}");
    assert!(t.rows.effects.last().unwrap().starts_with("Synced"), "{:?}", t.rows.effects);
    // The next one is replaced in the same way.
    t.opens(9);
    t.change(9, 16);
    t.change(8, 16);
    t.book(9, "depth-snapshot", 1, 16, r#"["1","5"]"#, r#"["2","1"]"#);
    t.event("close", 8, "operator", true);
    t.change(9, 17);
    assert!(t.is_proven() && lost(&t).is_empty(), "{:?}", lost(&t));
}

#[test]
fn a_replacement_that_lags_behind_takes_over_when_the_other_one_goes() {
    let mut t = Tape::proven();
    t.opens(8);
    t.change(7, 11);
    t.change(8, 11);
    t.change(7, 12);
    t.book(8, "depth-snapshot", 1, 11, r#"["1","5"]"#, r#"["2","1"]"#);
    t.change(7, 13);
    t.event("close", 7, "operator", true);
    assert!(t.is_proven());
    (12..16).for_each(|n| t.change(8, n));
    assert!(t.is_proven() && lost(&t).is_empty(), "{:?}", lost(&t));
    assert_eq!(t.rows.of("delta").len(), 6);
}

#[test]
fn a_replacement_waits_until_the_connection_of_the_book_is_gone() {
    // Of another count; of the same ids and another book; without a snapshot; with a hole since its snapshot.
    let cases: [fn(&mut Tape); 4] = [
        |t| t.whole(8, 6),
        |t| t.book(8, "depth-snapshot", 1, 11, r#"["1","4"]"#, r#"["2","1"]"#),
        |_| {},
        |t| {
            t.book(8, "depth-snapshot", 1, 13, r#"["1","5"]"#, r#"["2","1"]"#);
            t.change(8, 15);
        },
    ];
    for case in cases {
        let mut t = Tape::proven();
        t.opens(8);
        t.change(8, 5);
        t.change(7, 11);
        t.change(8, 6);
        case(&mut t);
        assert!(t.is_proven());
        assert_eq!(t.fold.counters().seq_gaps, 0);
        t.change(7, 12);
        assert_eq!(t.rows.of("delta").len(), 3, "the book still moves");
        t.event("close", 7, "operator", true);
        assert!(!t.is_proven());
        t.change(8, 20);
        t.whole(8, 20);
        t.change(8, 21);
        assert!(t.is_proven());
        assert!(lost(&t).last().unwrap().contains("resync_wait"), "{:?}", lost(&t));
    }
}

#[test]
fn a_book_goes_on_with_the_other_leg_whose_snapshot_is_the_same_book() {
    let mut t = Tape::proven();
    let asks = |t: &Tape, conn: i64| {
        let word = format!("Successor {{ conn: {conn}");
        t.rows.effects.iter().filter(|e| e.starts_with(&word)).count()
    };
    t.opens_leg(8, 1);
    assert_eq!(asks(&t, 8), 1);
    t.change(7, 11);
    t.change(8, 11);
    t.book(8, "depth-snapshot", 1, 11, r#"["1","5"]"#, r#"["2","1"]"#);
    // It stands by, for however long.
    for n in 12..6000 {
        t.change(8, n);
        t.change(7, n);
    }
    t.change(8, 6000);
    t.fold = crate::fold::Fold::restore(&t.fold.save().unwrap(), &mut super::Rows::default()).unwrap();
    t.event("close", 7, "venue_disconnect", false);
    assert!(t.is_proven() && lost(&t).is_empty(), "{:?}", lost(&t));
    t.change(8, 6001);
    // The first leg comes back, and stands by in its turn.
    t.opens_leg(9, 0);
    assert_eq!(asks(&t, 9), 1);
    t.change(9, 6002);
    t.change(8, 6002);
    t.book(9, "depth-snapshot", 1, 6002, r#"["1","5"]"#, r#"["2","1"]"#);
    t.event("close", 8, "venue_disconnect", false);
    t.change(9, 6003);
    assert!(t.is_proven() && lost(&t).is_empty(), "{:?}", lost(&t));
    assert_eq!((t.rows.of("delta").len(), t.asked()), (6003 - 10 + 1, 1));
    assert_eq!(t.fold.counters().seq_gaps, 0);
}

impl Tape {
    /// Two legs of one count: 7 feeds the book, 8 stands by.
    fn beside() -> Tape {
        let mut t = Tape::proven();
        t.opens_leg(8, 1);
        t.change(7, 11);
        t.change(8, 11);
        t.book(8, "depth-snapshot", 1, 11, r#"["1","5"]"#, r#"["2","1"]"#);
        t
    }

    fn leg_wait_over(&mut self) {
        let e = TimerEvent::LegWait { instrument: format!("{VENUE}:{SYMBOL}") };
        self.push(Kind::Timer, 0, -1, "", &to_payload(&e), 0);
    }

    fn leg_waits(&self) -> usize {
        self.rows.effects.iter().filter(|e| e.starts_with("LegWait")).count()
    }
}

/// A leg that is dead and has not said so: what the other one brings is waited for 2 s, as everywhere, and then the book goes on
/// with that one.
#[test]
fn a_book_does_not_wait_for_a_leg_that_says_nothing_any_more() {
    let mut t = Tape::beside();
    t.change(8, 12);
    assert_eq!(t.leg_waits(), 1, "{:?}", t.rows.effects);
    t.change(7, 12);
    t.leg_wait_over();
    assert_eq!(t.leg_waits(), 1, "nothing is waited for");
    // From here on nothing comes of the first leg.
    t.change(8, 13);
    t.ts += 1_500_000_000;
    t.change(8, 14);
    t.leg_wait_over();
    assert_eq!(t.rows.of("delta").len(), 3, "{:?}", t.rows.lines);
    let last = t.rows.effects.iter().rfind(|e| e.starts_with("LegWait")).unwrap();
    assert!(last.contains("after_ns: 4") || last.contains("after_ns: 5"), "the rest of the 2 s: {last}");
    t.ts += 500_000_000;
    t.leg_wait_over();
    assert_eq!(t.rows.of("delta").len(), 5, "{:?}", t.rows.lines);
    t.change(8, 15);
    assert_eq!(t.rows.of("delta").len(), 6);
    assert!(t.is_proven() && lost(&t).is_empty(), "{:?}", lost(&t));
    // It was not dead: what it brings late is known, and it stands by.
    (13..=16).for_each(|n| t.change(7, n));
    t.change(8, 16);
    assert_eq!(t.rows.of("delta").len(), 7);
    assert!(t.is_proven() && lost(&t).is_empty(), "{:?}", lost(&t));
    assert_eq!(t.fold.counters().seq_gaps, 0);
}

/// The recorder ends before the 2 s are over, whichever connection is closed first.
#[test]
fn what_a_dead_leg_has_not_brought_is_told_at_the_end() {
    for order in [[7, 8], [8, 7]] {
        let mut t = Tape::beside();
        t.change(8, 12);
        t.ts += 1_500_000_000;
        t.change(8, 13);
        for conn in order {
            t.event("close", conn, "operator", false);
        }
        let is = |l: &&&str, id: i64| l.contains(&format!(" u={id} ")) && !l.contains("b=[]");
        let told = |id: i64| t.rows.of("delta").iter().filter(|l| is(l, id)).count();
        assert_eq!((told(12), told(13)), (1, 1), "{order:?}: {:?}", t.rows.lines);
    }
}

/// A replacement of the first leg goes before the second one, which proves itself anew to it.
#[test]
fn legs_are_replaced_and_die_without_a_gap() {
    let same = |t: &mut Tape, conn: i64, id: i64| {
        t.book(conn, "depth-snapshot", 1, id, r#"["1","5"]"#, r#"["2","1"]"#);
    };
    let mut t = Tape::proven();
    t.opens_leg(8, 1);
    t.change(7, 11);
    t.change(8, 11);
    same(&mut t, 8, 11);
    // The first leg is replaced: the book goes on with the new connection at once.
    t.opens_leg(9, 0);
    for conn in [7, 8, 9] {
        t.change(conn, 12);
    }
    same(&mut t, 9, 12);
    for conn in [9, 8, 7] {
        t.change(conn, 13);
    }
    t.event("close", 7, "operator", true);
    // Now the other one stands by again, and is asked again.
    let asks = |t: &Tape| t.rows.effects.iter().filter(|e| e.starts_with("Successor { conn: 8")).count();
    let before = asks(&t);
    t.change(9, 14);
    t.change(8, 14);
    same(&mut t, 8, 14);
    assert!(asks(&t) >= before.max(2), "{:?}", t.rows.effects);
    // It is replaced as well, which is no matter of the book's.
    t.opens_leg(10, 1);
    t.change(10, 15);
    t.change(8, 15);
    t.change(9, 15);
    t.event("close", 8, "operator", true);
    same(&mut t, 10, 15);
    t.event("close", 9, "venue_disconnect", false);
    t.change(10, 16);
    assert!(t.is_proven() && lost(&t).is_empty(), "{:?}", lost(&t));
    assert_eq!((t.rows.of("delta").len(), t.asked()), (7, 1));
}

/// The same book and the same ids, and yet another count: what the leg brought behind its snapshot is not what the book took.
#[test]
fn a_leg_whose_changes_behind_its_snapshot_are_others_is_of_another_count() {
    for same in [true, false] {
        let mut t = Tape::proven();
        t.opens_leg(8, 1);
        for n in 11..=12 {
            t.change(7, n);
        }
        t.change(8, 11);
        t.book(8, "depth", 1, 12, if same { r#"["1","5"]"# } else { r#"["1","6"]"# }, "");
        t.book(8, "depth-snapshot", 1, 11, r#"["1","5"]"#, r#"["2","1"]"#);
        t.event("close", 7, "venue_disconnect", false);
        assert_eq!(t.is_proven(), same);
    }
}

/// Refused on one leg while the other one carries it, and confirmed there later: both carry it then.
#[test]
fn a_stream_that_was_refused_on_a_leg_and_is_confirmed_later_stands_by_there() {
    let mut t = Tape::proven();
    t.opens_leg(8, 1);
    t.exchange(7, 1);
    for channel in ["depth", "trades"] {
        t.ack(8, channel, 510_001);
        t.ack(8, channel, 0);
    }
    for n in 11..=20 {
        t.ts += 1_000_000_000;
        t.change(7, n);
        t.change(8, 5000 + n);
        t.exchange(7, n);
        t.exchange(8, n);
    }
    assert!(t.is_proven() && lost(&t).is_empty(), "{:?}", lost(&t));
    assert_eq!((t.rows.of("trade").len(), t.fold.counters().seq_gaps), (11, 0), "{:?}", t.rows.of("gap"));
    // The first one ends: the stream goes on here.
    t.event("close", 7, "venue_disconnect", false);
    t.exchange(8, 21);
    t.whole(8, 5020);
    t.change(8, 5021);
    // Nobody has confirmed the best prices.
    let open: Vec<String> = t.fold.open_gaps().map(|g| format!("{g:?}")).collect();
    assert!(t.is_proven() && open == ["InitialSync"], "{open:?} {:?}", t.rows.of("gap"));
}

#[test]
fn a_leg_with_a_hole_of_its_own_is_asked_again_before_it_may_go_on() {
    let mut t = Tape::proven();
    t.opens_leg(8, 1);
    t.change(7, 11);
    t.change(8, 11);
    t.book(8, "depth-snapshot", 1, 11, r#"["1","5"]"#, r#"["2","1"]"#);
    t.change(7, 12);
    t.change(7, 13);
    t.change(8, 13);
    let asks = t.rows.effects.iter().filter(|e| e.starts_with("Successor { conn: 8")).count();
    assert_eq!(asks, 2, "{:?}", t.rows.effects);
    t.event("close", 7, "venue_disconnect", false);
    assert!(!t.is_proven());
}

/// What the leg that stands by has brought is in `raw`: no row calls it missing when that one takes over. If a hole lies
/// between, all is named from the last one on that the book took.
#[test]
fn what_the_other_leg_has_brought_is_not_called_missing() {
    for (from, missing) in [(11, "(14, 14]"), (16, "(12, 16]")] {
        let mut t = Tape::proven();
        t.opens_leg(8, 1);
        t.change(7, 11);
        (from.max(11)..=if from == 11 { 14 } else { 16 }).for_each(|n| t.change(8, n));
        t.change(7, 12);
        t.event("close", 7, "venue_disconnect", false);
        t.change(8, if from == 11 { 15 } else { 17 });
        t.whole(8, 17);
        t.change(8, 18);
        assert!(t.is_proven());
        let told = lost(&t);
        assert!(told[0].contains(&format!("venue_disconnect {missing}")), "{told:?}");
    }
}

#[test]
fn diffs_of_both_connections_do_not_mix_before_a_snapshot() {
    let mut t = Tape::new();
    t.opens(7);
    t.opens(8);
    t.change(7, 500);
    t.change(8, 10);
    t.change(7, 501);
    t.change(8, 11);
    t.whole(8, 10);
    assert!(t.is_proven());
    t.change(7, 502);
    t.change(8, 12);
    assert!(t.is_proven());
    assert_eq!(t.fold.counters().seq_gaps, 0);
}

#[test]
fn a_stream_is_covered_from_its_acknowledgement_or_its_first_frame() {
    let mut t = Tape::new();
    t.opens(7);
    t.ack(7, "bbo", 0);
    let acked = t.ts;
    t.exchange(7, 5);
    let traded = t.ts;
    let gaps = t.rows.of("gap");
    assert!(
        gaps.iter()
            .any(|g| g.contains("bbo") && g.contains("initial_sync") && g.contains(&format!("..{acked} "))),
        "{gaps:?}"
    );
    assert!(gaps.iter().any(|g| g.contains("trades") && g.contains(&format!("..{traded} "))), "{gaps:?}");
    t.exchange(7, 6);
    t.event("close", 7, "venue_disconnect", false);
    assert_eq!(t.rows.of("cover").len(), 2, "{:?}", t.rows.of("cover"));
}

#[test]
fn a_refused_stream_says_so_and_the_others_go_on() {
    let mut t = Tape::new();
    t.opens(7);
    t.ack(7, "trades", 0);
    t.frame(7, r#"{"m":"sub","ch":"bbo:BTC/USDT","code":100008,"reason":"SYMBOL_ERROR"}"#);
    t.ack(7, "depth", 100_008);
    t.exchange(7, 5);
    assert!(
        t.rows
            .effects
            .iter()
            .any(|e| e.contains("Refused") && e.contains("bbo:BTC/USDT") && e.contains("SYMBOL_ERROR"))
    );
    t.event("close", 7, "venue_disconnect", false);
    let gaps = t.rows.of("gap");
    for name in ["bbo:BTC/USDT", DEPTH] {
        assert!(
            gaps.iter().any(|g| g.contains(&format!("gap {name} subscribe_refused"))),
            "{name}: {gaps:?}"
        );
    }
    assert_eq!(t.rows.of("trade").len(), 1);
}

/// A frame that says no to a stream of diffs may have been sent long after the last of these: nobody knows what lacks between.
#[test]
fn a_book_that_is_refused_after_it_was_proven_is_covered_up_to_its_last_message() {
    let mut t = Tape::proven();
    t.change(7, 11);
    let last = t.ts;
    t.ts += 500_000_000;
    t.exchange(7, 1);
    t.ack(7, "depth", 100_008);
    assert!(!t.is_proven());
    let covers = t.rows.of("cover depth:BTC/USDT");
    assert!(covers.len() == 1 && covers[0].contains(&format!("..{last} ids ")), "{covers:?}");
    t.event("close", 7, "venue_disconnect", false);
    let gaps = t.rows.of("gap depth:BTC/USDT subscribe_refused");
    assert!(gaps.len() == 1 && gaps[0].contains(&format!(" {last}..")), "{gaps:?}");
}

#[test]
fn a_refused_snapshot_is_asked_for_again_and_a_ping_is_answered() {
    let mut t = Tape::new();
    t.opens(7);
    t.change(7, 10);
    let asked = t.asked();
    t.frame(7, r#"{"m":"error","id":"snapshot:BTC/USDT","code":100101,"reason":"UNKNOWN_ERROR"}"#);
    assert_eq!(t.asked(), asked + 1);
    assert!(t.rows.effects.last().unwrap().contains("attempt: 1"), "{:?}", t.rows.effects);
    t.frame(7, r#"{"m":"ping","hp":3}"#);
    assert!(t.rows.effects.last().unwrap().contains("Pong { conn: 7 }"));
    t.frame(7, r#"{"m":"disconnected","code":100005}"#);
    assert!(t.rows.effects.last().unwrap().contains("Replace { conn: 7 }"));
}

#[test]
fn a_frame_that_cannot_be_read_costs_its_book_only() {
    let mut t = Tape::proven();
    t.frame(
        7,
        r#"{"m":"depth","symbol":"BTC/USDT","data":{"seqnum":9223372036854775808,"bids":[],"asks":[]}}"#,
    );
    assert_eq!(t.rows.of("reject").len(), 1);
    assert!(!t.is_proven());
    // A snapshot that cannot be read breaks nothing.
    let mut t = Tape::proven();
    t.frame(7, r#"{"m":"depth-snapshot","symbol":"BTC/USDT","data":{"seqnum":"x","bids":[],"asks":[]}}"#);
    t.push(Kind::Frame, 7, 99, "", b"\x1f\x8b\x08\x00", 0);
    assert_eq!(t.rows.of("reject").len(), 2);
    assert!(t.is_proven());
}

#[test]
fn trades_whose_ids_skip_leave_no_hole_and_two_connections_tell_each_once() {
    let mut t = Tape::new();
    t.opens(7);
    t.exchange(7, 100);
    t.exchange(7, 104);
    t.opens(8);
    t.exchange(8, 104);
    t.exchange(8, 106);
    t.exchange(7, 106);
    assert_eq!(t.rows.of("trade"), ["trade 100 ", "trade 104 ", "trade 106 "]);
    assert!(!t.rows.of("gap").iter().any(|g| g.contains("venue_seq_gap")));
}

/// The old connection lives on for a while when the other family of diffs takes the place of one that is not served.
#[test]
fn diffs_of_the_family_that_a_book_has_left_prove_nothing_and_touch_nothing() {
    let mut t = Tape::new();
    t.carries(6, 0, &["depth-realtime", "trades"]);
    t.book(6, "depth-realtime", 1, 10, r#"["1","5"]"#, "");
    t.book(6, "depth-snapshot-realtime", 0, 10, r#"["1","2"]"#, r#"["2","1"]"#);
    assert!(t.is_proven());
    t.opens(7);
    let left = t.ts;
    assert!(!t.is_proven(), "the ids of two families are two chains");
    let cover = t.rows.of("cover depth-realtime");
    assert!(cover.len() == 1 && cover[0].contains(&format!("..{left} ids ")), "{cover:?}");
    // Neither what waits for a snapshot nor a snapshot is of the chain that the book is to be built on.
    t.book(6, "depth-realtime", 1, 11, r#"["1","7"]"#, "");
    t.book(6, "depth-snapshot-realtime", 0, 11, r#"["1","2"]"#, r#"["2","1"]"#);
    assert!(!t.is_proven());
    t.change(7, 100);
    t.whole(7, 100);
    assert!(t.is_proven());
    let rows = t.rows.of("delta").len();
    // One that follows, one from far away, one that cannot be read, and a refusal.
    t.book(6, "depth-realtime", 1, 101, r#"["1","9"]"#, "");
    t.book(6, "depth-realtime", 1, 500, r#"["1","9"]"#, "");
    t.book(6, "depth-realtime", 1, 501, r#"["x","9"]"#, "");
    t.ack(6, "depth-realtime", 100_008);
    assert!(t.is_proven() && t.rows.of("delta").len() == rows, "{:#?}", t.rows.lines);
    t.change(7, 101);
    t.event("close", 6, "operator", true);
    t.change(7, 102);
    assert!(t.is_proven() && t.rows.of("delta").len() == rows + 2, "{:#?}", t.rows.lines);
    assert_eq!(t.rows.of("cover depth-realtime").len(), 1, "{:#?}", t.rows.lines);
    assert!(t.fold.others().iter().any(|(name, n)| name == "diff of another chain" && *n == 3));
}

impl Tape {
    fn compared(&self) -> Vec<bool> {
        let said = self.rows.effects.iter().filter(|e| e.starts_with("Compared"));
        said.map(|e| e.contains("ahead: true")).collect()
    }

    fn silent(&mut self, conn: i64) {
        let e = TimerEvent::Silent { stream: DEPTH.into() };
        self.push(Kind::Timer, conn, -1, "", &to_payload(&e), 0);
    }
}

#[test]
fn a_snapshot_on_the_own_connection_tells_whether_a_quiet_book_is_behind() {
    let mut t = Tape::proven();
    t.change(7, 11);
    // The book at its id; an older one; one that is newer by its id alone; one that shows what nobody told.
    t.book(7, "depth-snapshot", 1, 11, r#"["1","5"]"#, r#"["2","1"]"#);
    t.book(7, "depth-snapshot", 1, 10, r#"["1","2"]"#, r#"["2","1"]"#);
    t.book(7, "depth-snapshot", 1, 14, r#"["1","5"]"#, r#"["2","1"]"#);
    t.book(7, "depth-snapshot", 1, 14, r#"["1","6"]"#, r#"["2","1"]"#);
    assert_eq!(t.compared(), [false, false, false, true]);
    assert!(t.is_proven(), "a comparison alone takes nothing away");
}

#[test]
fn an_answer_does_not_end_a_silence_and_the_streams_own_next_change_does() {
    for spoke in [false, true] {
        let mut t = Tape::proven();
        t.change(7, 11);
        let last = t.ts;
        t.book(7, "depth-snapshot", 1, 20, r#"["1","6"]"#, r#"["2","1"]"#);
        t.silent(7);
        assert!(!t.is_proven());
        assert_eq!(t.asked(), 2);
        if spoke {
            t.change(7, 21);
        }
        t.book(7, "depth-snapshot", 1, 21, r#"["1","5"]"#, r#"["2","1"]"#);
        assert_eq!(t.is_proven(), spoke, "{:?}", t.rows.of("gap depth"));
        let told = t.rows.effects.iter().filter(|e| e.starts_with("Loaded")).count();
        assert_eq!(told, usize::from(!spoke), "whoever asked need not ask again");
        t.change(7, 22);
        assert!(t.is_proven());
        let gaps = t.rows.of("gap depth");
        let begins = |g: &&&str| g.contains(&format!(" {last}.."));
        assert_eq!(gaps.iter().filter(begins).count(), 1, "{gaps:?}");
        assert!(
            gaps.iter().any(|g| g.contains("silent_stream") && g.contains(&format!(" {last}.."))),
            "{gaps:?}"
        );
        let cover = t.rows.of("cover depth");
        assert!(cover[0].contains(&format!("..{last} ")) && cover[0].ends_with("silent_stream"), "{cover:?}");
    }
}

#[test]
fn a_change_that_does_not_follow_the_answer_waits_for_another_one() {
    let mut t = Tape::proven();
    t.silent(7);
    t.whole(7, 20);
    assert!(!t.is_proven());
    t.change(7, 25);
    assert!(!t.is_proven());
    assert_eq!(t.asked(), 3);
    t.whole(7, 25);
    assert!(t.is_proven(), "{:?}", t.rows.of("gap depth"));
}

#[test]
fn a_stream_that_may_be_quiet_after_all_is_proven_by_an_answer_again() {
    let mut t = Tape::proven();
    t.silent(7);
    t.whole(7, 10);
    assert!(!t.is_proven());
    let e = TimerEvent::Served { stream: DEPTH.into() };
    t.push(Kind::Timer, 7, -1, "", &to_payload(&e), 0);
    assert_eq!(t.asked(), 3);
    t.whole(7, 10);
    assert!(t.is_proven(), "{:?}", t.rows.of("gap depth"));
}

#[test]
fn the_gap_of_a_connection_that_brought_no_diff_ends_with_the_next_one_s_first_and_names_no_ids() {
    let mut t = Tape::new();
    t.opens(7);
    t.event("close", 7, "venue_disconnect", false);
    t.opens(8);
    t.change(8, 10);
    let back = t.ts;
    t.whole(8, 10);
    assert!(t.is_proven());
    let gaps = lost(&t);
    assert!(gaps[0].contains("venue_disconnect (-1, -1]"), "{gaps:?}");
    assert!(gaps[0].contains(&format!("..{back} ")) && gaps[0].ends_with(" frame"), "{gaps:?}");
}

/// One of several trades in a frame that the instrument cannot bear has changed its exponents: those behind it are read under what
/// holds then.
#[test]
fn trades_behind_one_that_cannot_be_borne_are_read_under_the_exponents_that_hold() {
    let mut t = Tape::new();
    t.opens(7);
    let tiny = "0.000000000000000001";
    let trades = |list: &[(i64, &str, &str)]| {
        let one = |(id, p, q): &(i64, &str, &str)| {
            format!("{{\"p\":\"{p}\",\"q\":\"{q}\",\"ts\":5,\"bm\":false,\"seqnum\":{id}}}")
        };
        let all: Vec<String> = list.iter().map(one).collect();
        format!("{{\"m\":\"trades\",\"symbol\":\"BTC/USDT\",\"data\":[{}]}}", all.join(","))
    };
    // Prices of 18 decimals were borne, and are not again.
    t.frame(7, &trades(&[(1, tiny, "1")]));
    t.frame(7, &trades(&[(2, "100", tiny)]));
    let before = t.rows.sizes.len();
    t.frame(7, &trades(&[(3, tiny, "1000"), (4, "1", "0.5"), (5, "1", "0.25")]));
    assert_eq!(t.rows.of("reject").len(), 1, "{:?}", t.rows.lines);
    assert_eq!(t.rows.sizes[before..], [5, 25], "{:?}", t.rows.lines);
    let versions = t.rows.of("instrument");
    assert!(versions.last().unwrap().contains(" 0/2 "), "{versions:?}");
}
