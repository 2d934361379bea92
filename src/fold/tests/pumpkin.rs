//! The vectors of Pumpkin's page, as frames through the fold.

use super::super::*;
use crate::fold::state::Fold;
use crate::model::control::{PlanNote, to_payload};
use crate::model::num::Dec;
use crate::model::{
    ConnEvent, DeltaMsg, IdPolicy, Kind, LaneClock, Record, RunStart, Side, StreamSpec, Subscribed, flags,
};
use crate::venue::Venue;

mod deaf;
mod trust;

const CONN: i64 = 7;
const REST: i64 = 900;
/// The connection of the second leg.
const LEG: i64 = 8;
/// What replaces the first one.
const NEXT: i64 = 9;
const LAST: i64 = 10;
const S: i64 = 586_765_918_776_852_548;

#[derive(Default)]
struct Seen {
    rows: Vec<String>,
    asked: usize,
    /// Of comparisons: whether the snapshot was ahead.
    ahead: Vec<bool>,
    flags: i32,
    /// When the last gap began.
    gap_begin: i64,
    /// Of trades, with their times.
    trades: Vec<(i64, i32)>,
    /// Flags of `book_top`, and what proved what is covered.
    tops: Vec<i32>,
    proofs: Vec<String>,
}

impl FoldSink for Seen {
    const ROWS: bool = true;

    fn row(&mut self, head: &Head, row: RowRef<'_>) {
        match row {
            RowRef::BookDelta(DeltaMsg { seq_last, .. }) => {
                self.flags = head.flags;
                self.rows.push(format!("delta {seq_last} {}", head.flags));
            }
            RowRef::Gap(g) => {
                self.gap_begin = g.ts_begin;
                self.rows.push(format!("gap {:?} ({}, {}]", g.cause, g.seq_before, g.seq_after))
            }
            RowRef::BookTop(_) => self.tops.push(head.flags),
            RowRef::Coverage(c) => self.proofs.push(c.proof.to_owned()),
            RowRef::Trade(_) => self.trades.push((head.ts_event, head.flags)),
            RowRef::Reject(r) => self.rows.push(format!("reject {}", r.detail)),
            _ => {}
        }
    }

    fn instrument(&mut self, _: InstrumentId, _: &InstrumentVersion) {}

    fn effect(&mut self, e: Effect<'_>) {
        self.asked += usize::from(matches!(e, Effect::NeedSnapshot { .. }));
        if let Effect::Compared { ahead, .. } = e {
            self.ahead.push(ahead);
        }
    }
}

/// One lane with one topic of depth.
struct Lane {
    fold: Fold,
    seen: Seen,
    clock: LaneClock,
    ts: i64,
    rseq: i64,
}

impl Lane {
    fn new(policy: IdPolicy) -> Lane {
        let mut l = Lane::bare(policy, false);
        let add: Vec<StreamSpec> =
            vec![crate::venue::pumpkin::PERP.stream("depth,10", Some("btc_usdt")).unwrap()];
        let s = Subscribed { venue: "pumpkin-perp".to_owned(), add, ..Subscribed::default() };
        l.push(Kind::Subscription, CONN, "", &to_payload(&s), 0);
        l
    }

    /// Two connections, and nothing said of what they carry. `imports`: by another tool.
    fn bare(policy: IdPolicy, imports: bool) -> Lane {
        let clock = LaneClock::new(1, -1, 3_600_000_000_000);
        let mut l =
            Lane { fold: Fold::new(1), seen: Seen::default(), clock, ts: 1_769_598_709_200_000_000, rseq: 0 };
        let run = RunStart {
            run_id: "r".into(),
            writer: if imports { "import" } else { "capture" }.into(),
            build: "0".into(),
            host: String::new(),
            config_sha256: String::new(),
            rules_version: RULES_VERSION,
            ts_start: 1,
            interval_ns: 3_600_000_000_000,
            book_top_interval_ns: 0,
            lane_memory_bytes: 1 << 28,
            auto_register: imports,
            epoch_floor: 0,
            venues: Vec::new(),
        };
        let venue = "pumpkin-perp".to_owned();
        l.push(Kind::Run, 0, "", &to_payload(&run), 0);
        let note = PlanNote {
            venue: venue.clone(),
            streams: vec![],
            id_policy: Some(policy),
            backfill: vec![],
            ..PlanNote::default()
        };
        l.push(Kind::Config, 0, "", &to_payload(&note), 0);
        for conn in [REST, CONN] {
            l.conn("open", conn, 0, "");
        }
        l
    }

    fn conn(&mut self, event: &str, conn: i64, leg: u8, cause: &str) {
        let e = ConnEvent {
            event: event.into(),
            venue: "pumpkin-perp".to_owned(),
            leg,
            slot: u32::from(leg),
            code: 0,
            cause: cause.into(),
            answered: false,
            detail: String::new(),
        };
        self.push(Kind::Connection, conn, "", &to_payload(&e), 0);
    }

    /// The same topic over a second connection.
    fn second_leg(&mut self) {
        self.another(LEG, 1);
    }

    fn another(&mut self, conn: i64, leg: u8) {
        self.conn("open", conn, leg, "");
        let add: Vec<StreamSpec> =
            vec![crate::venue::pumpkin::PERP.stream("depth,10", Some("btc_usdt")).unwrap()];
        let s = Subscribed { venue: "pumpkin-perp".to_owned(), add, ..Subscribed::default() };
        self.push(Kind::Subscription, conn, "", &to_payload(&s), 0);
    }

    /// A change of two ids, over these connections, each with what it adds to the ids there.
    fn change(&mut self, first: i64, on: &[(i64, i64)]) {
        for (conn, more) in on {
            let (from, to, size) = (first + more, first + more + 1, first % 100 + 1);
            let t = format!(
                r#"{{"e":"depth.update","s":"btc_usdt","U":{from},"u":"{to}","b":[["99","{size}"]],"a":[]}}"#
            );
            self.push(Kind::Frame, *conn, "", t.as_bytes(), 0);
        }
    }

    fn gaps(&self) -> Vec<&str> {
        let is_gap = |r: &&String| r.starts_with("gap") && !r.contains("InitialSync");
        self.seen.rows.iter().filter(is_gap).map(String::as_str).collect()
    }

    fn push(&mut self, kind: Kind, conn: i64, url: &str, payload: &[u8], status: i32) {
        self.ts += 1_000_000;
        self.rseq += i64::from(kind == Kind::Frame);
        let rec = Record {
            kind,
            flags: 0,
            lane: 1,
            status,
            conn,
            lane_seq: self.clock.take_seq(),
            rseq: self.rseq,
            ts_kernel: 0,
            ts_mono: 0,
            ts_recv: self.ts,
            url,
            payload,
        };
        self.fold.step(&rec, &mut self.seen);
    }

    fn update(&mut self, first: i64, last: i64, bids: &str, asks: &str) {
        let t = format!(
            r#"{{"e":"depth.update","s":"btc_usdt","U":{first},"u":"{last}","b":[{bids}],"a":[{asks}]}}"#
        );
        self.push(Kind::Frame, CONN, "", t.as_bytes(), 0);
    }

    fn whole(&mut self, last: i64, bids: &str, asks: &str) {
        self.whole_on(CONN, last, bids, asks);
    }

    fn whole_on(&mut self, conn: i64, last: i64, bids: &str, asks: &str) {
        let t = format!(r#"{{"e":"depth","s":"btc_usdt","U":1,"u":{last},"b":[{bids}],"a":[{asks}]}}"#);
        self.push(Kind::Frame, conn, "", t.as_bytes(), 0);
    }

    fn rest(&mut self, last: i64, bids: &str, asks: &str) {
        let t = format!(
            r#"{{"code":0,"msg":"success","data":{{"t":1,"s":"btc_usdt","u":"{last}","b":[{bids}],"a":[{asks}]}}}}"#
        );
        self.push(Kind::Rest, REST, "/v2/public/q/depth?level=50&symbol=btc_usdt", t.as_bytes(), 200);
    }

    /// Best bid and ask as `price x size`, `-` for an empty side; `None` while there is no proven book.
    fn best(&self) -> Option<String> {
        let id = self.fold.find(crate::venue::by_id("pumpkin-perp").unwrap().0, "btc_usdt").unwrap();
        let (book, v) = (self.fold.book(id)?, self.fold.instrument(id).unwrap());
        let side = |s: Side| {
            book.best(s).map_or("-".to_owned(), |l| {
                let n = |m, e| Dec::new(m, e).trimmed().to_string();
                format!("{}x{}", n(l.price, v.price_exp), n(l.size, v.size_exp))
            })
        };
        Some(format!("{} / {}", side(Side::Bid), side(Side::Ask)))
    }

    fn is(&self, best: &str) {
        assert_eq!(self.best().as_deref(), Some(best), "{:#?}", self.seen.rows);
    }
}

#[test]
pub(crate) fn vectors_1_and_2_rest_seed_gap_and_recovery() {
    let mut l = Lane::new(IdPolicy::Strict);
    l.update(1001, 1003, r#"["100.0","7"]"#, "");
    l.update(1004, 1006, r#"["99.9","0"]"#, r#"["100.3","4"]"#);
    l.rest(1004, r#"["100","5"],["99.9","2"]"#, r#"["100.2","1"],["100.5","9"]"#);
    l.is("100x5 / 100.2x1");
    l.update(1007, 1007, "", r#"["100.2","0"]"#);
    l.is("100x5 / 100.3x4");
    l.update(1005, 1007, r#"["101","1"]"#, "");
    l.is("100x5 / 100.3x4");
    l.update(1010, 1012, r#"["100.1","3"]"#, "");
    assert_eq!(l.best(), None);
    l.update(1013, 1013, r#"["100.1","0"]"#, r#"["100.2","8"]"#);
    l.rest(1009, r#"["100","5"]"#, r#"["100.3","4"]"#);
    l.is("100x5 / 100.2x8");
    assert!(l.seen.rows.iter().any(|r| r.contains("VenueSeqGap (1007, 1009]")), "{:?}", l.seen.rows);
}

#[test]
pub(crate) fn vector_3_whole_views() {
    let mut l = Lane::new(IdPolicy::Strict);
    l.whole(2000, r#"["45000.00","1.2345"],["44999.50","0.9876"]"#, r#"["45001.00","0.5432"]"#);
    l.is("45000x1.2345 / 45001x0.5432");
    l.update(2001, 2001, r#"["45000","0"]"#, "");
    l.is("44999.5x0.9876 / 45001x0.5432");
    l.whole(1999, r#"["1","1"]"#, "");
    l.is("44999.5x0.9876 / 45001x0.5432");
    l.whole(2005, r#"["44998.0","3"]"#, r#"["45000.5","2"]"#);
    l.is("44998x3 / 45000.5x2");
    // The view hid ids 2002 to 2005: the next change shows it, and the book stays.
    l.update(2006, 2006, r#"["44997","1"]"#, "");
    l.is("44998x3 / 45000.5x2");
    assert!(l.seen.rows.iter().any(|r| r.contains("VenueSeqGap (2001, 2005]")), "{:?}", l.seen.rows);
}

#[test]
pub(crate) fn vector_4_seed_too_old() {
    let mut l = Lane::new(IdPolicy::Strict);
    l.update(3011, 3012, r#"["10","1"]"#, "");
    l.rest(3008, r#"["9","1"]"#, r#"["11","1"]"#);
    assert_eq!(l.best(), None);
    l.rest(3010, r#"["9","1"]"#, r#"["11","1"]"#);
    l.is("10x1 / 11x1");
}

#[test]
pub(crate) fn vector_5_snowflake_ids() {
    let depth = [r#"["89390.8","11630"],["89390.3","10970"]"#, r#"["89392","2240"],["89392.3","2990"]"#];
    for policy in [IdPolicy::Strict, IdPolicy::Sparse] {
        let mut l = Lane::new(policy);
        l.update(S - 900_000_000, S - 800_000_000, r#"["89390.8","9"]"#, "");
        l.update(S + 400_000_000, S + 500_000_000, r#"["89390.8","0"]"#, r#"["89391","5"]"#);
        l.rest(S, depth[0], depth[1]);
        match policy {
            IdPolicy::Sparse => {
                l.is("89390.3x10970 / 89391x5");
                assert_ne!(l.seen.flags & flags::UNVERIFIED_SEQ, 0);
                l.update(S + 600_000_000, S + 700_000_000, r#"["89390","1"]"#, "");
                assert_ne!(l.seen.flags & flags::UNVERIFIED_SEQ, 0);
            }
            _ => assert_eq!(l.best(), None),
        }
    }
}

#[test]
pub(crate) fn vectors_6_and_7_crossed_and_one_sided() {
    let mut l = Lane::new(IdPolicy::Strict);
    l.whole(10, r#"["5","1"]"#, r#"["6","1"]"#);
    let asked = l.seen.asked;
    l.update(11, 11, r#"["6","2"]"#, "");
    assert!(l.best().is_none() && l.seen.asked > asked);
    l.whole(12, r#"["7","1"]"#, r#"["6","1"]"#);
    assert_eq!(l.best(), None, "a view that crosses itself proves nothing");
    let mut l = Lane::new(IdPolicy::Strict);
    l.whole(10, r#"["5","1"]"#, "");
    l.is("5x1 / -");
    l.update(11, 12, r#"["7","0"],["5","0"]"#, r#"["6","1"]"#);
    l.is("- / 6x1");
}

/// Until the ids have shown what they are, only whole views are published, flagged; then what was kept goes on from the last.
#[test]
fn ids_are_learned_from_pairs_of_changes() {
    for step in [1, 1000] {
        let mut l = Lane::new(IdPolicy::Learn);
        let ids = |n: i64| (n * step + 1 - i64::from(step > 1), n * step);
        l.whole(ids(0).1.max(1) - 1, r#"["5","1"]"#, r#"["6","1"]"#);
        for n in 1..=50 {
            let (_, last) = ids(n);
            let first = if step == 1 { last } else { last - 5 };
            l.update(first, last, r#"["4","1"]"#, "");
        }
        l.is("5x1 / 6x1");
        assert!(l.seen.rows.iter().filter(|r| r.starts_with("delta")).count() == 1, "{:?}", l.seen.rows);
        assert_ne!(l.seen.flags & flags::UNVERIFIED_SEQ, 0);
        // One view in between: what it covers is not needed any more.
        l.whole(ids(50).1, r#"["5","2"]"#, r#"["6","1"]"#);
        l.is("5x2 / 6x1");
        let last = ids(51).1;
        l.update(if step == 1 { last } else { last - 5 }, last, r#"["5","3"]"#, "");
        l.is("5x3 / 6x1");
        assert_eq!(l.seen.flags & flags::UNVERIFIED_SEQ != 0, step > 1, "sparse ids prove nothing");
    }
}

#[test]
fn a_seed_of_another_counter_is_refused() {
    let mut l = Lane::new(IdPolicy::Sparse);
    l.update(5, 6, r#"["4","1"]"#, "");
    l.update(7, 8, r#"["4","1"]"#, "");
    l.rest(S, r#"["5","1"]"#, r#"["6","1"]"#);
    assert_eq!((l.best(), l.fold.counters().foreign_seeds), (None, 1));
    // It was of no use, so the book still waits.
    assert_eq!(l.seen.asked, 2);
    l.rest(S, r#"["5","1"]"#, r#"["6","1"]"#);
    assert_eq!((l.best(), l.fold.counters().foreign_seeds, l.seen.asked), (None, 2, 3));
    let same = crate::book::same_id_space;
    assert!(
        same(1000, 900) && same(S, S + 1) && !same(S, S + (4_000_000 << 22)) && !same(1, S) && !same(-1, 5)
    );
}

/// A second connection carries changes: alone they are kept as they came; with the book's own topic they are taken.
#[test]
fn changes_on_another_connection_need_the_books_own_topic_there() {
    let mut l = Lane::new(IdPolicy::Strict);
    l.whole(10, r#"["5","1"]"#, r#"["6","1"]"#);
    let venue = "pumpkin-perp".to_owned();
    let change = |l: &mut Lane, conn: i64, id: i64| {
        let t =
            format!(r#"{{"e":"depth.update","s":"btc_usdt","U":{id},"u":{id},"b":[["5","{id}"]],"a":[]}}"#);
        l.push(Kind::Frame, conn, "", t.as_bytes(), 0);
    };
    for (conn, channels) in [(8, &["depth.update"][..]), (9, &["depth,10", "depth.update"][..])] {
        let open = ConnEvent { venue: venue.clone(), ..super::conn_event("open", "") };
        l.push(Kind::Connection, conn, "", &to_payload(&open), 0);
        let of = |c: &&str| crate::venue::pumpkin::PERP.stream(c, Some("btc_usdt")).unwrap();
        let add: Vec<StreamSpec> = channels.iter().map(of).collect();
        let s = Subscribed { venue: venue.clone(), add, ..Subscribed::default() };
        l.push(Kind::Subscription, conn, "", &to_payload(&s), 0);
    }
    change(&mut l, 8, 11);
    l.is("5x1 / 6x1");
    assert_eq!(l.fold.others(), [("depth.update".to_owned(), 1)]);
    let t = r#"{"e":"depth","s":"btc_usdt","U":1,"u":20,"b":[["5","2"]],"a":[["6","1"]]}"#;
    l.push(Kind::Frame, 9, "", t.as_bytes(), 0);
    l.is("5x2 / 6x1");
    change(&mut l, 9, 21);
    l.is("5x21 / 6x1");
    assert!(!l.seen.rows.iter().any(|r| r.starts_with("reject")), "{:#?}", l.seen.rows);
}

/// Times that an id holds are flagged, live and behind a snapshot; those that the venue stated are not.
#[test]
fn a_time_that_an_id_holds_is_flagged() {
    let is_derived = |l: &Lane| l.seen.flags & flags::DERIVED_TS != 0;
    let mut l = Lane::new(IdPolicy::Strict);
    l.whole(S, r#"["5","1"]"#, r#"["6","1"]"#);
    assert!(is_derived(&l), "{:?}", l.seen.rows);
    l.update(S + 1, S + 1, r#"["4","1"]"#, "");
    assert!(is_derived(&l));
    let stated = format!(
        r#"{{"e":"depth.update","s":"btc_usdt","U":{0},"u":{0},"t":1769598709094,"b":[["4","2"]],"a":[]}}"#,
        S + 2
    );
    l.push(Kind::Frame, CONN, "", stated.as_bytes(), 0);
    assert!(!is_derived(&l), "the frame has a time of its own");
    // Held back until a snapshot came: the diff is flagged, the ids of this one hold none.
    let mut l = Lane::new(IdPolicy::Strict);
    l.update(11, 11, r#"["4","1"]"#, "");
    l.rest(10, r#"["5","1"]"#, r#"["6","1"]"#);
    assert!(l.best().is_some() && !is_derived(&l));
    let mut l = Lane::new(IdPolicy::Strict);
    l.update(S + 1, S + 1, r#"["4","1"]"#, "");
    l.rest(S, r#"["5","1"]"#, r#"["6","1"]"#);
    assert!(l.best().is_some() && is_derived(&l) && l.seen.flags & flags::REPLAYED != 0);
}

/// One that watches: `t` of trades may change its meaning, and a book's ids are learned.
#[derive(Default)]
struct Watcher(Vec<String>);

impl FoldSink for Watcher {
    const ROWS: bool = false;
    const LIVE: bool = true;

    fn row(&mut self, _: &Head, _: RowRef<'_>) {}

    fn instrument(&mut self, _: InstrumentId, _: &InstrumentVersion) {}

    fn effect(&mut self, e: Effect<'_>) {
        if let Effect::Class { was, class, .. } = e {
            self.0.push(format!("{was} -> {class}"));
        }
    }
}

#[test]
fn a_field_that_changes_its_meaning_is_told_once_and_so_are_ids_that_are_known() {
    let mut l = Lane::new(IdPolicy::Learn);
    let trades = crate::venue::pumpkin::PERP.stream("trade", Some("btc_usdt")).unwrap();
    let s = Subscribed { venue: "pumpkin-perp".to_owned(), add: vec![trades], ..Subscribed::default() };
    l.push(Kind::Subscription, CONN, "", &to_payload(&s), 0);
    let mut told = Watcher::default();
    let mut frame = |l: &mut Lane, text: String| {
        (l.ts, l.rseq) = (l.ts + 1_000_000, l.rseq + 1);
        let rec = Record {
            kind: Kind::Frame,
            flags: 0,
            lane: 1,
            status: 0,
            conn: CONN,
            lane_seq: l.clock.take_seq(),
            rseq: l.rseq,
            ts_kernel: 0,
            ts_mono: 0,
            ts_recv: l.ts,
            url: "",
            payload: text.as_bytes(),
        };
        l.fold.step(&rec, &mut told);
    };
    let trade = |t: i64| format!(r#"{{"e":"trade","s":"btc_usdt","t":{t},"p":"1","a":"1","m":"BID"}}"#);
    for t in [1_769_598_709_094, 1_769_598_709_095, 987_654_321, 987_654_322] {
        frame(&mut l, trade(t));
    }
    frame(&mut l, r#"{"e":"depth","s":"btc_usdt","U":1,"u":1,"b":[["5","1"]],"a":[["6","1"]]}"#.to_owned());
    for id in 2..60 {
        frame(
            &mut l,
            format!(r#"{{"e":"depth.update","s":"btc_usdt","U":{id},"u":{id},"b":[["4","1"]],"a":[]}}"#),
        );
    }
    assert_eq!(
        told.0,
        ["t is a time in ms -> t is an id", "not known yet -> strict: a hole in the ids is a loss"]
    );
    let mut l = Lane::new(IdPolicy::Strict);
    let trades = crate::venue::pumpkin::PERP.stream("trade", Some("btc_usdt")).unwrap();
    let s = Subscribed { venue: "pumpkin-perp".to_owned(), add: vec![trades], ..Subscribed::default() };
    l.push(Kind::Subscription, CONN, "", &to_payload(&s), 0);
    l.push(Kind::Frame, CONN, "", trade(1_769_598_709_094).as_bytes(), 0);
    l.push(Kind::Frame, CONN, "", trade(586_769_324_550_225_920).as_bytes(), 0);
    let derived = l.seen.trades.iter().map(|t| (t.0 > 0, t.1 & flags::DERIVED_TS != 0)).collect::<Vec<_>>();
    assert_eq!(derived, [(true, false), (true, true)]);
}

/// Ten levels of a side, the first at `best`.
fn side(best: i64, step: i64, size: i64) -> String {
    let levels: Vec<String> = (0..10).map(|n| format!(r#"["{}","{}"]"#, best + step * n, size + n)).collect();
    levels.join(",")
}

#[test]
fn a_snapshot_by_rest_tells_whether_a_book_that_is_quiet_is_behind() {
    for policy in [IdPolicy::Strict, IdPolicy::Sparse, IdPolicy::Learn] {
        let mut l = Lane::new(policy);
        let (bids, asks) = (side(100, -1, 5), side(101, 1, 7));
        l.whole(2000, &bids, &asks);
        l.update(2001, 2001, r#"["100","9"]"#, "");
        let now = bids.replace(r#"["100","5"]"#, r#"["100","9"]"#);
        // What it is now, with the same id and with a greater one; older ones; a greater id and other levels.
        l.rest(2001, &now, &asks);
        l.rest(2300, &now, &asks);
        l.rest(2000, &side(90, -1, 5), &asks);
        l.rest(2001, &side(90, -1, 5), &asks);
        l.rest(2300, &side(101, -1, 5), &side(102, 1, 7));
        l.rest(2300, &now.replace(r#"["100","9"]"#, r#"["100","8"]"#), &asks);
        assert_eq!(l.seen.ahead, [false, false, false, false, true, true], "{policy:?}");
        assert!(l.best().is_some(), "a comparison alone takes nothing away");
    }
}

#[test]
fn what_the_topic_does_not_show_accuses_nobody() {
    let mut l = Lane::new(IdPolicy::Strict);
    let (bids, asks) = (side(100, -1, 5), side(101, 1, 7));
    l.whole(2000, &bids, &asks);
    // Levels that have left the window are told of no more, those below it never were.
    let far = |of: &str, price: &str| format!(r#"{},["{price}","77"]"#, &of[..of.rfind(",[").unwrap()]);
    l.rest(2300, &far(&bids, "50"), &far(&asks, "150"));
    // The unit of sizes on the socket is not known: all of them in one ratio are the same sizes.
    let other = |best: i64, step: i64, size: i64| {
        let of = |n: i64| format!(r#"["{}","{}"]"#, best + step * n, (size + n) * 1000);
        (0..10).map(of).collect::<Vec<_>>().join(",")
    };
    l.rest(2300, &other(100, -1, 5), &other(101, 1, 7));
    assert_eq!(l.seen.ahead, [false, false]);
}

#[test]
fn ids_of_another_counter_are_told_apart_by_their_time() {
    let mut l = Lane::new(IdPolicy::Strict);
    let (bids, asks) = (side(100, -1, 5), side(101, 1, 7));
    l.whole(2000, &bids, &asks);
    let at = |ms: i64| ((l_ms(l.ts) + ms - 1_629_702_000_000) << 22) + 5;
    let (before, after) = (at(-5000), at(5000));
    l.rest(before, &side(90, -1, 5), &asks);
    l.rest(after, &bids, &asks);
    l.rest(after, &side(90, -1, 5), &asks);
    assert_eq!(l.seen.ahead, [false, false, true]);
}

fn l_ms(ns: i64) -> i64 {
    ns / 1_000_000
}

#[test]
fn a_recording_that_does_not_say_what_was_subscribed_to_is_read() {
    for imports in [true, false] {
        let mut l = Lane::bare(IdPolicy::Strict, imports);
        l.push(Kind::Frame, CONN, "", TRADE.as_bytes(), 0);
        l.whole(2000, r#"["100","5"]"#, r#"["101","7"]"#);
        l.update(2001, 2001, r#"["100","9"]"#, "");
        let refused = l.seen.rows.iter().filter(|r| r.contains("topic was not subscribed")).count();
        // A live session knows what it asked for.
        assert_eq!((l.seen.trades.len(), refused), if imports { (1, 0) } else { (0, 3) });
        if imports {
            l.is("100x9 / 101x7");
        }
    }
}

const TRADE: &str = r#"{"e":"trade","s":"btc_usdt","t":1769598709094,"p":"100","a":"7","m":"BID"}"#;

/// Changes that are the same ones on both connections prove that their ids are one count: the end of the one that feeds the
/// book is no gap.
#[test]
fn a_second_leg_whose_changes_are_the_same_ones_takes_over_without_a_gap() {
    let both = [(CONN, 0), (LEG, 0)];
    let mut l = Lane::new(IdPolicy::Strict);
    l.whole(1000, r#"["100","1"]"#, r#"["101","1"]"#);
    l.second_leg();
    (0..20).for_each(|n| l.change(1001 + 2 * n, &both));
    // What the first one did not bring any more came over the second.
    l.change(1041, &[(LEG, 0)]);
    l.conn("close", CONN, 0, "venue_disconnect");
    l.change(1043, &[(LEG, 0)]);
    l.is("100x1 / 101x1");
    assert!(l.gaps().is_empty(), "{:?}", l.gaps());
    let told = |id: i64| l.seen.rows.iter().filter(|r| r.starts_with(&format!("delta {id} "))).count();
    assert!((0..22).all(|n| told(1002 + 2 * n) == 1), "{:?}", l.seen.rows);
    // A hole is one on the new connection, too.
    l.change(1049, &[(LEG, 0)]);
    assert_eq!(l.best(), None);
}

/// A leg that was read late for a moment, so that the other one was far ahead of the book, is compared from then on.
#[test]
fn a_second_leg_that_was_far_ahead_for_a_moment_takes_over_all_the_same() {
    let mut l = Lane::new(IdPolicy::Strict);
    l.whole(1000, r#"["100","1"]"#, r#"["101","1"]"#);
    l.second_leg();
    (0..300).for_each(|n| l.change(1001 + 2 * n, &[(LEG, 0)]));
    (0..300).for_each(|n| l.change(1001 + 2 * n, &[(CONN, 0)]));
    (300..320).for_each(|n| l.change(1001 + 2 * n, &[(CONN, 0), (LEG, 0)]));
    l.conn("close", CONN, 0, "venue_disconnect");
    l.change(1001 + 640, &[(LEG, 0)]);
    l.is("100x1 / 101x1");
    assert!(l.gaps().is_empty(), "{:?}", l.gaps());
}

/// Ids that were alike may part later: counters of two connections that began together, until one of them merges two changes.
#[test]
fn a_second_leg_whose_changes_were_the_same_ones_once_is_not_believed_for_ever() {
    let both = [(CONN, 0), (LEG, 0)];
    // Whichever of them is read first.
    for leg_first in [true, false] {
        let mut l = Lane::new(IdPolicy::Strict);
        l.whole(1000, r#"["100","1"]"#, r#"["101","1"]"#);
        l.second_leg();
        (0..20).for_each(|n| l.change(1001 + 2 * n, &both));
        for n in 20..40 {
            let first = 1001 + 2 * n;
            // The second one is a change ahead in its count.
            let parts: [(i64, &[(i64, i64)]); 2] = [(first, &[(CONN, 0)]), (first + 2, &[(LEG, -2)])];
            for k in if leg_first { [1, 0] } else { [0, 1] } {
                l.change(parts[k].0, parts[k].1);
            }
        }
        l.conn("close", CONN, 0, "venue_disconnect");
        assert_eq!(l.best(), None, "the book goes on with changes of another count");
        l.whole_on(LEG, 5000, r#"["98","1"]"#, r#"["102","1"]"#);
        l.is("98x1 / 102x1");
        assert_eq!(l.gaps().len(), 1, "{:?}", l.gaps());
    }
}

/// A connection that is dead and has not said so is replaced: the other leg, which is known to be the same and has gone on, keeps
/// its place before the replacement, of which nothing is known yet.
#[test]
fn a_replacement_does_not_take_the_place_of_a_leg_that_is_known_and_ahead() {
    let both = [(CONN, 0), (LEG, 0)];
    let mut l = Lane::new(IdPolicy::Strict);
    l.whole(1000, r#"["100","1"]"#, r#"["101","1"]"#);
    l.second_leg();
    (0..20).for_each(|n| l.change(1001 + 2 * n, &both));
    l.change(1041, &[(LEG, 0)]);
    // The silence of the first one.
    l.ts += 700_000_000;
    l.another(NEXT, 0);
    l.change(1043, &[(LEG, 0), (NEXT, 0)]);
    l.conn("close", CONN, 0, "venue_disconnect");
    l.change(1045, &[(NEXT, 0), (LEG, 0)]);
    l.is("100x1 / 101x1");
    assert!(l.gaps().is_empty(), "{:?}", l.gaps());
    let told = |id: i64| l.seen.rows.iter().filter(|r| r.starts_with(&format!("delta {id} "))).count();
    assert!((0..23).all(|n| told(1002 + 2 * n) == 1), "{:?}", l.seen.rows);
}

/// Both legs are cut one after the other while nothing changes: the book does not go on with the one that is gone.
#[test]
fn a_leg_that_is_gone_feeds_no_book() {
    let both = [(CONN, 0), (LEG, 0)];
    let mut l = Lane::new(IdPolicy::Strict);
    l.whole(1000, r#"["100","1"]"#, r#"["101","1"]"#);
    l.second_leg();
    (0..20).for_each(|n| l.change(1001 + 2 * n, &both));
    l.conn("close", LEG, 1, "venue_disconnect");
    l.another(NEXT, 1);
    l.conn("close", CONN, 0, "venue_disconnect");
    assert_eq!(l.best(), None, "{:?}", l.seen.rows);
    l.another(LAST, 0);
    l.whole_on(NEXT, 1100, r#"["98","1"]"#, r#"["102","1"]"#);
    l.is("98x1 / 102x1");
    l.change(1101, &[(NEXT, 0)]);
    assert!(l.seen.rows.iter().any(|r| r.starts_with("delta 1102 ")), "{:?}", l.seen.rows);
}

/// The one that feeds the book stalls, and the one that went on meanwhile is cut: what it brought comes once by the first one.
#[test]
fn a_leg_that_was_ahead_and_is_gone_keeps_no_place() {
    let both = [(CONN, 0), (LEG, 0)];
    let mut l = Lane::new(IdPolicy::Strict);
    l.whole(1000, r#"["100","1"]"#, r#"["101","1"]"#);
    l.second_leg();
    (0..20).for_each(|n| l.change(1001 + 2 * n, &both));
    l.change(1041, &[(LEG, 0)]);
    l.ts += 700_000_000;
    l.change(1043, &[(LEG, 0)]);
    l.conn("close", LEG, 1, "venue_disconnect");
    l.another(NEXT, 1);
    l.change(1045, &[(NEXT, 0)]);
    l.ts += 2_000_000_000;
    let wait = crate::model::TimerEvent::LegWait { instrument: "pumpkin-perp:btc_usdt".to_owned() };
    l.push(Kind::Timer, 0, "", &to_payload(&wait), 0);
    (20..24).for_each(|n| l.change(1001 + 2 * n, &[(CONN, 0)]));
    l.change(1049, &[(CONN, 0), (NEXT, 0)]);
    l.is("100x1 / 101x1");
    assert!(l.gaps().is_empty(), "{:?}", l.gaps());
    let told = |id: i64| l.seen.rows.iter().filter(|r| r.starts_with(&format!("delta {id} "))).count();
    assert!((0..25).all(|n| told(1002 + 2 * n) == 1), "{:?}", l.seen.rows);
}

/// The one that feeds the book answers pings and brings no change any more, and nothing is known that goes on from it: what is
/// not known is missing from its last change on, and the book begins anew on the one that speaks.
#[test]
fn a_book_whose_connection_is_deaf_is_begun_anew_on_the_one_that_speaks() {
    for policy in [IdPolicy::Strict, IdPolicy::Sparse] {
        let mut l = Lane::new(policy);
        l.whole(1000, r#"["100","1"]"#, r#"["101","1"]"#);
        l.second_leg();
        let beside = [(CONN, 0), (LEG, 3000)];
        (0..20).for_each(|n| l.change(1001 + 2 * n, &beside));
        // A quiet minute, then both go on: whoever is first, nobody is deaf.
        l.ts += 60_000_000_000;
        (20..30).for_each(|n| l.change(1001 + 2 * n, &[(LEG, 3000), (CONN, 0)]));
        assert!(l.best().is_some() && l.gaps().is_empty(), "{policy:?}: {:?}", l.gaps());
        let heard = l.ts;
        for n in 30..41 {
            assert!(l.best().is_some(), "{policy:?} {n}");
            l.change(1001 + 2 * n, &[(LEG, 3000)]);
            l.ts += 1_000_000_000;
        }
        assert_eq!(l.best(), None, "{policy:?}");
        l.whole_on(LEG, 4100, r#"["98","1"]"#, r#"["102","1"]"#);
        l.is("98x1 / 102x1");
        assert_eq!(l.gaps().len(), 1, "{policy:?}: {:?}", l.gaps());
        assert!(l.gaps()[0].starts_with("gap SilentStream"), "{policy:?}: {:?}", l.gaps());
        assert_eq!(l.seen.gap_begin, heard + 1_000_000, "{policy:?}: from the first change on that it lacks");
    }
}

/// A leg that lags is held against what the book took meanwhile.
#[test]
fn a_second_leg_that_lags_and_is_the_same_takes_over_and_one_that_is_not_does_not() {
    for apart in [0, 2] {
        let mut l = Lane::new(IdPolicy::Strict);
        l.whole(1000, r#"["100","1"]"#, r#"["101","1"]"#);
        l.second_leg();
        (0..20).for_each(|n| l.change(1001 + 2 * n, &[(CONN, 0), (LEG, 0)]));
        (20..40).for_each(|n| l.change(1001 + 2 * n, &[(CONN, 0)]));
        (20..40).for_each(|n| l.change(1001 + 2 * n + apart, &[(LEG, -apart)]));
        l.conn("close", CONN, 0, "venue_disconnect");
        assert_eq!(l.best().is_some(), apart == 0, "{:?}", l.gaps());
    }
}

/// What is not proven is a gap, and the book begins anew.
#[test]
fn a_second_leg_of_which_nothing_is_proven_begins_the_book_anew() {
    let ends = |policy: IdPolicy, n: i64, of: &dyn Fn(i64) -> (i64, i64), step: i64| {
        let mut l = Lane::new(policy);
        l.whole(1000, r#"["100","1"]"#, r#"["101","1"]"#);
        l.second_leg();
        (0..n).for_each(|k| l.change(1001 + step * k, &[(CONN, 0), of(k)]));
        assert!(l.best().is_some(), "{:?}", l.seen.rows);
        l.conn("close", CONN, 0, "venue_disconnect");
        assert_eq!(l.best(), None);
        l.whole_on(LEG, 5000, r#"["98","1"]"#, r#"["102","1"]"#);
        l.is("98x1 / 102x1");
        assert_eq!(l.gaps().len(), 1, "{:?}", l.gaps());
    };
    let same = |_| (LEG, 0);
    // Too few in common.
    ends(IdPolicy::Strict, 15, &same, 2);
    // A counter of the connection.
    ends(IdPolicy::Strict, 40, &|_| (LEG, 3000), 2);
    ends(IdPolicy::Strict, 40, &|_| (LEG, -700), 2);
    // The same ids in other changes: those of the moment before.
    ends(IdPolicy::Strict, 40, &|_| (LEG, 2), 2);
    // A hole on the second one just before.
    ends(IdPolicy::Strict, 40, &|k| if k == 36 { (REST, 0) } else { (LEG, 0) }, 2);
    // Ids with holes prove nothing, and while they are learned only whole views do.
    ends(IdPolicy::Sparse, 40, &same, 9);
    ends(IdPolicy::Learn, 20, &same, 2);
}
