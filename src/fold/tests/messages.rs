//! Venues that speak by message: acknowledgements, in-band snapshots, ids that end with their connection.

use super::Tape;
use crate::model::control::to_payload;
use crate::model::{ConnEvent, InstrumentId, Kind, StreamSpec, Subscribed, flags};
use crate::venue;

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
        self.event("open", conn, "", false);
        let v = venue::by_id(VENUE).unwrap().1;
        let add: Vec<StreamSpec> =
            ["depth", "trades", "bbo"].iter().map(|c| v.stream(c, Some(SYMBOL)).unwrap()).collect();
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

#[test]
fn a_replacement_waits_until_the_connection_of_the_book_is_gone() {
    let mut t = Tape::proven();
    t.opens(8);
    t.change(8, 5);
    t.change(7, 11);
    t.change(8, 6);
    assert!(t.is_proven());
    assert_eq!(t.fold.counters().seq_gaps, 0);
    t.event("close", 7, "operator", true);
    assert!(!t.is_proven());
    t.change(8, 7);
    t.whole(8, 7);
    t.change(8, 8);
    assert!(t.is_proven());
    let gaps = t.rows.of("gap depth");
    assert!(gaps.last().unwrap().contains("resync_wait"), "{gaps:?}");
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
    t.ack(7, "bbo", 100_008);
    t.ack(7, "depth", 100_008);
    t.exchange(7, 5);
    assert!(
        t.rows
            .effects
            .iter()
            .any(|e| e.contains("Refused") && e.contains("bbo:BTC/USDT") && e.contains("100008"))
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
