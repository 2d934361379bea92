//! Trades that a gap has lost, out of bodies by REST: only those that are missing, each once, and the truth in the gap's row.

use proptest::prelude::*;

use super::{REST, Rows, Tape, VENUE};
use crate::fold::{Fold, FoldSink, Head, RowRef};
use crate::model::control::{PlanNote, to_payload};
use crate::model::{
    GapNote, InstrumentId, InstrumentVersion, Kind, Record, RunStop, StreamKind, TimerEvent, flags,
};

const STREAM: &str = "btcusdt@aggTrade";

/// What the tests look at: ids of trades with their flag, and the words of gaps.
#[derive(Default)]
struct Told {
    live: Vec<i64>,
    filled: Vec<i64>,
    gaps: Vec<(i64, i64, String, String)>,
    rejects: Vec<String>,
    /// Of trades without ids: time in ms and size of those that were backfilled.
    by_value: bool,
    values: Vec<(i64, i64)>,
}

impl FoldSink for Told {
    const ROWS: bool = true;

    fn row(&mut self, h: &Head, row: RowRef<'_>) {
        match row {
            RowRef::Trade(t) => {
                let id = if t.is_aggregate { t.id_text.parse().unwrap() } else { t.id };
                let filled = h.flags & flags::BACKFILLED != 0;
                if self.by_value {
                    self.values.push((t.ts_event / 1_000_000, t.size));
                    return;
                }
                assert_eq!(filled, h.conn == REST, "backfilled rows name their body");
                if filled { self.filled.push(id) } else { self.live.push(id) }
            }
            RowRef::Gap(g) => {
                self.gaps.push((g.seq_before, g.seq_after, g.recovered_by.to_owned(), g.detail.to_owned()));
            }
            RowRef::Reject(r) => self.rejects.push(r.detail.to_owned()),
            _ => {}
        }
    }

    fn instrument(&mut self, _: InstrumentId, _: &InstrumentVersion) {}
    fn effect(&mut self, _: crate::fold::Effect<'_>) {}
}

/// A tape whose records go to a fold with [`Told`].
struct Lane {
    tape: Tape,
    told: Told,
    fold: Fold,
}

impl Lane {
    /// One stream of aggregates; `asks`: their backfill is configured.
    fn new(asks: bool) -> Lane {
        let mut l = Lane { tape: Tape::new(), told: Told::default(), fold: Fold::new(1) };
        // The same run, once more, for this fold.
        let run = super::run_start();
        l.push(Kind::Run, 0, -1, "", &to_payload(&run), 0);
        let backfill = if asks { vec![StreamKind::AggTrade] } else { Vec::new() };
        let note = PlanNote {
            venue: VENUE.into(),
            streams: vec![STREAM.into()],
            id_policy: None,
            backfill,
            ..PlanNote::default()
        };
        l.push(Kind::Config, 0, -1, "", &to_payload(&note), 0);
        l.connection("open", REST, "");
        l.opens(7);
        l
    }

    fn push(&mut self, kind: Kind, conn: i64, rseq: i64, url: &str, payload: &[u8], status: i32) {
        self.tape.ts += 1;
        let rec = Record {
            kind,
            flags: 0,
            lane: 1,
            status,
            conn,
            lane_seq: self.tape.clock.take_seq(),
            rseq,
            ts_kernel: 0,
            ts_mono: 0,
            ts_recv: self.tape.ts,
            url,
            payload,
        };
        self.fold.step(&rec, &mut self.told);
    }

    fn connection(&mut self, event: &str, conn: i64, cause: &str) {
        let e = super::conn_event(event, cause);
        self.push(Kind::Connection, conn, -1, "ws://x/stream?streams=", &to_payload(&e), 0);
    }

    fn opens(&mut self, conn: i64) {
        self.connection("open", conn, "");
        let s = super::subscribed(&["aggTrade"]);
        self.push(Kind::Subscription, conn, -1, "", &to_payload(&s), 0);
    }

    fn live(&mut self, conn: i64, a: i64) {
        let frame = format!(
            "{{\"stream\":\"{STREAM}\",\"data\":{{\"e\":\"aggTrade\",\"E\":5,\"s\":\"BTCUSDT\",\"a\":{a},\"p\":\"100.5\",\
             \"q\":\"1\",\"f\":1,\"l\":2,\"T\":4,\"m\":true}}}}"
        );
        self.tape.rseq += 1;
        let rseq = self.tape.rseq;
        self.push(Kind::Frame, conn, rseq, "", frame.as_bytes(), 0);
    }

    fn body(&mut self, ids: &[i64]) {
        let row = |a: &i64| {
            format!("{{\"a\":{a},\"p\":\"100.50\",\"q\":\"1\",\"f\":1,\"l\":2,\"T\":4,\"m\":true}}")
        };
        let body = format!("[{}]", ids.iter().map(row).collect::<Vec<_>>().join(","));
        self.raw_body(body.as_bytes(), 200);
    }

    fn raw_body(&mut self, body: &[u8], status: i32) {
        let url = "/fapi/v3/aggTrades?symbol=BTCUSDT&fromId=3&limit=1000";
        self.push(Kind::Rest, REST, 0, url, body, status);
    }

    /// The oldest gap is given up.
    fn over(&mut self, why: &str) {
        self.nth_is_over(0, why);
    }

    fn nth_is_over(&mut self, nth: usize, why: &str) {
        let Some(w) = self.fold.wanted().get(nth).cloned() else { return };
        let t = TimerEvent::Backfilled {
            venue: w.venue.into(),
            stream: w.stream,
            ts_begin: w.ts_begin,
            seq_before: Some(w.seq_before),
            why: why.into(),
        };
        self.push(Kind::Timer, 0, -1, "", &to_payload(&t), 0);
    }

    fn wanted(&self) -> Vec<(i64, i64)> {
        self.fold.wanted().iter().map(|w| (w.first, w.last)).collect()
    }

    /// The gaps' ids and how they ended.
    fn gaps(&self) -> Vec<(i64, i64, &str)> {
        self.told.gaps.iter().map(|g| (g.0, g.1, g.2.as_str())).collect()
    }
}

/// A stream with the ids 3 to 6 missing.
fn holed() -> Lane {
    let mut l = Lane::new(true);
    [1, 2, 7].iter().for_each(|a| l.live(7, *a));
    l
}

/// Frames of one read bear one time: gaps between them begin at the same.
#[test]
fn two_gaps_of_one_read_are_two() {
    let mut l = Lane::new(true);
    l.live(7, 1);
    for a in [2, 5, 9] {
        l.live(7, a);
        l.tape.ts -= 1;
    }
    let w = l.fold.wanted();
    assert_eq!(l.wanted(), [(3, 4), (6, 8)]);
    assert_eq!(w[0].ts_begin, w[1].ts_begin);
    assert_eq!((w[0].seq_before, w[1].seq_before), (2, 5));
    l.nth_is_over(1, "the venue did not answer");
    assert_eq!(l.wanted(), [(3, 4)], "the first one is waited for still");
    l.body(&[3, 4]);
    assert_eq!(l.gaps(), [(2, 4, "backfill"), (5, 8, "frame")]);
    assert!(l.told.gaps[1].3.ends_with("did not answer"), "{}", l.told.gaps[1].3);
}

/// A journal of before gaps had two names.
#[test]
fn a_gap_is_known_by_its_time_alone_where_the_journal_says_no_more() {
    let mut l = holed();
    let w = l.fold.wanted()[0].clone();
    let old = serde_json::json!({"timer": "backfilled", "venue": VENUE, "stream": STREAM, "ts_begin": w.ts_begin, "why": "gone"});
    l.push(Kind::Timer, 0, -1, "", old.to_string().as_bytes(), 0);
    assert_eq!((l.wanted(), l.gaps()), (vec![], vec![(2, 6, "frame")]));
}

#[test]
fn what_is_missing_is_told_flagged_and_once_and_the_gap_says_so() {
    let mut l = holed();
    assert!(l.told.gaps.is_empty(), "its row waits: {:?}", l.told.gaps);
    assert_eq!(l.wanted(), [(3, 6)]);
    // More than was asked for, in pages that overlap.
    l.body(&[2, 3, 4, 5]);
    assert_eq!(l.wanted(), [(6, 6)]);
    l.body(&[4, 5, 6, 7, 8]);
    assert_eq!(l.told.filled, [3, 4, 5, 6]);
    assert_eq!(l.told.live, [1, 2, 7]);
    assert_eq!(l.gaps(), [(2, 6, "backfill")]);
    assert_eq!(l.told.gaps[0].3, "ids 3 to 6: 4 by REST");
    // Nobody waits: what comes again is known.
    l.body(&[3, 4, 5, 6]);
    l.live(7, 8);
    assert_eq!((l.told.filled.len(), l.told.live.len()), (4, 4));
}

#[test]
fn what_does_not_come_is_said_with_the_reason() {
    let mut l = holed();
    l.body(&[3, 5]);
    l.over("");
    assert_eq!(l.gaps(), [(2, 6, "backfill_partly")]);
    assert_eq!(
        l.told.gaps[0].3,
        "ids 3 to 6: 2 by REST, 2 not recovered from 4 on: the venue has no more of them"
    );
    let mut l = holed();
    l.raw_body(b"{\"code\":-1003,\"msg\":\"Too many requests\"}", 429);
    l.raw_body(b"{\"code\":-1003,\"msg\":\"Too many requests\"}", 200);
    l.raw_body(b"<html>", 200);
    l.raw_body(b"why not", 0);
    assert_eq!(l.told.rejects.len(), 3, "{:?}", l.told.rejects);
    l.over("the venue did not answer");
    assert_eq!(l.gaps(), [(2, 6, "frame")]);
    assert!(
        l.told.gaps[0].3.ends_with("4 not recovered from 3 on: the venue did not answer"),
        "{:?}",
        l.told.gaps
    );
    assert!(l.told.filled.is_empty());
}

#[test]
fn an_id_that_comes_late_by_the_stream_is_not_told_again() {
    let mut l = holed();
    l.live(7, 4);
    l.body(&[3, 4, 5, 6]);
    assert_eq!((&l.told.live, &l.told.filled), (&vec![1, 2, 7, 4], &vec![3, 5, 6]));
    assert_eq!(l.told.gaps[0].3, "ids 3 to 6: 3 by REST, 1 late");
    let mut l = holed();
    l.body(&[3, 4]);
    [4, 5, 6].iter().for_each(|a| l.live(7, *a));
    assert_eq!((&l.told.live, &l.told.filled), (&vec![1, 2, 7, 5, 6], &vec![3, 4]));
    assert_eq!(l.gaps(), [(2, 6, "backfill")]);
}

#[test]
fn gaps_of_a_stream_are_told_in_their_order() {
    let mut l = holed();
    l.live(7, 10);
    assert_eq!(l.wanted(), [(3, 6), (8, 9)]);
    l.body(&[8, 9]);
    assert!(l.told.gaps.is_empty(), "the first one still waits");
    l.connection("close", 7, "venue_disconnect");
    l.opens(8);
    l.live(8, 11);
    l.body(&[3, 4, 5, 6]);
    assert_eq!(l.gaps(), [(2, 6, "backfill"), (7, 9, "backfill"), (10, 10, "ids")]);
}

#[test]
fn a_reconnect_and_a_crash_are_asked_for_like_a_hole() {
    for crash in [false, true] {
        let mut l = Lane::new(true);
        l.live(7, 1);
        if crash {
            let note = GapNote {
                cause: "process_crash".into(),
                ts_begin: l.tape.ts,
                ts_end: 0,
                detail: String::new(),
            };
            l.push(Kind::Gap, 0, -1, "", &to_payload(&note), 0);
            l.push(Kind::Run, 0, -1, "", &to_payload(&super::run_start()), 0);
            let note = PlanNote {
                venue: VENUE.into(),
                streams: vec![STREAM.into()],
                id_policy: None,
                backfill: vec![StreamKind::AggTrade],
                ..PlanNote::default()
            };
            l.push(Kind::Config, 0, -1, "", &to_payload(&note), 0);
            l.connection("open", REST, "");
        } else {
            l.connection("close", 7, "venue_disconnect");
        }
        l.opens(8);
        l.live(8, 5);
        assert_eq!(l.wanted(), [(2, 4)], "{crash}");
        l.body(&[2, 3, 4, 5]);
        assert_eq!(l.told.filled, [2, 3, 4]);
        assert_eq!(l.gaps(), [(1, 4, "backfill")]);
    }
}

#[test]
fn without_the_key_nothing_is_asked_for_and_rows_are_told_at_once() {
    let mut l = Lane::new(false);
    [1, 4].iter().for_each(|a| l.live(7, *a));
    l.body(&[2, 3]);
    assert!(l.wanted().is_empty() && l.told.filled.is_empty());
    assert_eq!(l.gaps(), [(1, 3, "frame")]);
    assert_eq!(l.told.gaps[0].3, "");
}

#[test]
fn a_stop_tells_what_is_known_and_a_checkpoint_keeps_what_waits() {
    let mut l = holed();
    l.body(&[3]);
    let bytes = l.fold.save().unwrap();
    let mut again = Fold::restore(&bytes, &mut Rows::default()).unwrap();
    assert_eq!(again.save().unwrap(), bytes);
    assert_eq!(again.wanted(), l.fold.wanted());
    std::mem::swap(&mut again, &mut l.fold);
    l.body(&[3, 4]);
    let stop = RunStop { run_id: "r".into(), ts_stop: l.tape.ts, exit: "clean".into() };
    l.push(Kind::Stop, 0, -1, "", &to_payload(&stop), 0);
    assert_eq!(l.told.filled, [3, 4], "the id that was told before the checkpoint is not told again");
    assert_eq!(l.gaps()[0], (2, 6, "backfill_partly"));
    assert!(l.told.gaps[0].3.contains("the recorder ended"), "{:?}", l.told.gaps);
}

/// A venue whose answers have no ids, with one stream of trades that are asked for.
struct Deals {
    l: Lane,
    spec: crate::model::StreamSpec,
}

impl Deals {
    const VENUE: &str = "pumpkin-perp";

    fn new(ts: i64) -> Deals {
        let mut l = Lane::new(false);
        l.tape.ts = ts;
        let v = crate::venue::by_id(Self::VENUE).unwrap().1;
        let spec = v.stream("trade", Some("btc_usdt")).unwrap();
        let streams = vec![spec.name.clone()];
        let backfill = vec![StreamKind::TradeSparse];
        let note =
            PlanNote { venue: Self::VENUE.into(), streams, id_policy: None, backfill, ..PlanNote::default() };
        l.push(Kind::Config, 0, -1, "", &to_payload(&note), 0);
        let mut d = Deals { l, spec };
        d.event(REST + 1, "open", "");
        d
    }

    fn event(&mut self, conn: i64, word: &str, cause: &str) {
        let e = crate::model::ConnEvent { venue: Self::VENUE.into(), ..super::conn_event(word, cause) };
        let url = if conn == REST + 1 { "" } else { "ws://x/" };
        self.l.push(Kind::Connection, conn, -1, url, &to_payload(&e), 0);
    }

    fn subscribed(&mut self, conn: i64, is_confirmed: bool) {
        let spec = vec![self.spec.clone()];
        let names = vec![self.spec.name.clone()];
        let s = match is_confirmed {
            false => crate::model::Subscribed { venue: Self::VENUE.into(), add: spec, ..Default::default() },
            true => {
                crate::model::Subscribed { venue: Self::VENUE.into(), confirmed: names, ..Default::default() }
            }
        };
        self.l.push(Kind::Subscription, conn, -1, "", &to_payload(&s), 0);
    }

    fn opens(&mut self, conn: i64) {
        self.event(conn, "open", "");
        self.subscribed(conn, false);
    }

    /// The connection is lost, and another one has the stream.
    fn moves(&mut self, from: i64, to: i64) {
        self.event(from, "close", "venue_disconnect");
        self.opens(to);
        self.subscribed(to, true);
    }

    fn deal(t: i64, a: &str) -> String {
        format!(r#"{{"s":"btc_usdt","t":{t},"p":"89300.70","a":"{a}","m":"ASK"}}"#)
    }

    fn live(&mut self, conn: i64, rseq: i64, t: i64, a: &str) {
        let frame = Self::deal(t, a).replacen('{', r#"{"e":"trade","#, 1);
        self.l.push(Kind::Frame, conn, rseq, "", frame.as_bytes(), 0);
    }

    fn answer(&mut self, deals: &[(i64, &str)]) {
        let rows: Vec<String> = deals.iter().map(|(t, a)| Self::deal(*t, a)).collect();
        let text = format!(r#"{{"code":0,"data":[{}]}}"#, rows.join(","));
        let url = "/v2/public/q/deal?num=50&symbol=btc_usdt";
        self.l.push(Kind::Rest, REST + 1, 0, url, text.as_bytes(), 200);
    }
}

/// A venue whose answers have no ids: values tell trades apart, at both ends by how often they are there.
#[test]
fn trades_without_ids_are_told_apart_by_their_values() {
    let mut d = Deals::new(2_000);
    d.opens(21);
    d.live(21, 0, 5, "1");
    d.live(21, 1, 6, "3");
    d.moves(21, 22);
    assert!(d.l.wanted().is_empty(), "where the gap ends is not known yet");
    d.live(22, 0, 9, "2");
    assert_eq!(d.l.wanted().len(), 1);
    d.l.told.by_value = true;
    let body = [(11, "7"), (9, "2"), (9, "2"), (8, "1"), (7, "1"), (6, "3"), (6, "3"), (6, "4"), (5, "1")];
    for _ in 0..2 {
        d.answer(&body);
    }
    // The same value twice where it is known once; each of them in the second answer is known. The answer is newest first.
    assert_eq!(d.l.told.values, [(6, 4), (6, 3), (7, 1), (8, 1), (9, 2)]);
    d.l.over("");
    let last = d.l.told.gaps.last().unwrap();
    assert_eq!((last.2.as_str(), d.l.told.rejects.len()), ("backfill", 0), "{last:?}");
    assert!(last.3.starts_with("5 by REST"), "{last:?}");
    // The answer had a second one of the millisecond in which the stream goes on, and now the stream brings it.
    let before = d.l.told.values.len();
    d.live(22, 1, 9, "2");
    assert_eq!(d.l.told.values.len(), before, "told once");
    d.live(22, 2, 9, "2");
    d.live(22, 3, 11, "7");
    assert_eq!(
        d.l.told.values.len(),
        before + 2,
        "a third one is another, and what was not in the gap is live"
    );
}

/// A stream whose times are held by ids, or are seconds, has other times than the answers have of the same trades: no answer is
/// taken, so that none of its trades is told twice, and the gap says that nothing came back.
#[test]
fn trades_whose_times_are_not_those_of_the_answers_are_not_looked_for_in_them() {
    const NOW_MS: i64 = 1_790_000_000_000;
    let in_ms = |n: i64| NOW_MS + n;
    let in_s = |n: i64| (NOW_MS + n) / 1000;
    // The id is some ms older than the time.
    let in_id = |n: i64| (NOW_MS + n - 7 - 1_629_702_000_000) << 22;
    type Way<'a> = &'a dyn Fn(i64) -> i64;
    let none: [(&str, Way<'_>, Way<'_>); 4] = [
        ("seconds", &in_s, &in_s),
        ("ids", &in_id, &in_id),
        ("seconds behind the gap", &in_ms, &in_s),
        ("ids behind the gap", &in_ms, &in_id),
    ];
    for (what, before, behind) in none {
        let mut d = Deals::new(NOW_MS * 1_000_000);
        d.opens(21);
        d.live(21, 0, before(1000), "1");
        d.moves(21, 22);
        d.live(22, 0, behind(3000), "2");
        d.l.told.by_value = true;
        d.answer(&[(in_ms(3000), "2"), (in_ms(2000), "9"), (in_ms(1000), "1"), (in_ms(500), "8")]);
        assert_eq!(d.l.told.values, [], "{what}");
        assert!(d.l.wanted().is_empty(), "{what}: {:?}", d.l.wanted());
        let last = d.l.told.gaps.last().unwrap();
        assert!(!last.2.starts_with("backfill"), "{what}: {last:?}");
    }
    // The same in ms: what the gap has lost comes back.
    let mut d = Deals::new(NOW_MS * 1_000_000);
    d.opens(21);
    d.live(21, 0, in_ms(1000), "1");
    d.moves(21, 22);
    d.live(22, 0, in_ms(3000), "2");
    d.l.told.by_value = true;
    d.answer(&[(in_ms(3000), "2"), (in_ms(2000), "9"), (in_ms(1000), "1"), (in_ms(500), "8")]);
    assert_eq!(d.l.told.values, [(in_ms(2000), 9)]);
}

proptest! {
    /// Whatever bodies come, in whatever order, between whatever frames: each id once, only missing ones flagged.
    #[test]
    fn no_id_is_told_twice_and_none_that_was_not_missing(
        steps in prop::collection::vec((0u8..4, 1i64..60, 1usize..12), 1..60),
    ) {
        let mut l = Lane::new(true);
        let mut next = 1;
        for (what, n, len) in steps {
            match what {
                0 => { l.live(7, next); next += 1; }
                1 => { next += n % 5 + 1; l.live(7, next); next += 1; }
                2 => l.body(&(n..n + len as i64).collect::<Vec<_>>()),
                _ => l.over("enough"),
            }
        }
        while !l.wanted().is_empty() {
            l.over("the end");
        }
        let all: Vec<i64> = l.told.live.iter().chain(&l.told.filled).copied().collect();
        let once: std::collections::BTreeSet<i64> = all.iter().copied().collect();
        prop_assert_eq!(once.len(), all.len());
        let in_gap = |id: i64| l.told.gaps.iter().any(|g| g.0 < id && id <= g.1);
        prop_assert!(l.told.filled.iter().all(|id| in_gap(*id)));
    }

    #[test]
    fn hostile_bodies_say_nothing_wrong(body in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..120) {
        let mut l = holed();
        l.raw_body(&body, 200);
        let good = br#"[{"a":3,"p":"100.50","q":"1","f":1,"l":2,"T":4,"m":true},{"a":4,"p":"1","q":"1","T":4,"m":true}]"#;
        l.raw_body(&good[..cut.min(good.len())], 200);
        prop_assert!(l.told.filled.iter().all(|id| (3..=6).contains(id)));
    }
}

#[test]
fn gaps_of_which_too_many_wait_are_told_as_they_are_and_in_order() {
    let mut l = Lane::new(true);
    for n in 0..=64 {
        l.live(7, 2 * n + 1);
    }
    assert_eq!((l.wanted().len(), l.told.gaps.len()), (64, 0));
    l.live(7, 131);
    assert_eq!(l.wanted(), []);
    let want: Vec<(i64, i64, &str)> = (0..65).map(|n| (2 * n + 1, 2 * n + 2, "frame")).collect();
    assert_eq!(l.gaps(), want);
    assert!(l.told.gaps[..64].iter().all(|g| g.3.contains("too many gaps wait")), "{:?}", l.told.gaps);
}
