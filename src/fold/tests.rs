//! The fold as a whole: records in, rows out.

mod allocations;
mod audit;
mod backfill;
mod covers;
mod gaps;
mod legs;
mod listing;
mod messages;
mod nowhere;
pub(crate) mod pumpkin;
mod repeats;
mod runs;
mod seldom;
mod shed;
mod silences;
mod stalls;
mod twins;

use super::*;
use crate::model::control::to_payload;
use crate::model::{
    ConnEvent, GapCause, GapNote, Kind, LaneClock, Record, RunStart, RunStop, StreamSpec, Subscribed,
    TimerEvent, VenueIx, flags,
};
use crate::venue;

/// A row as a line of text.
#[derive(Default)]
struct Rows {
    lines: Vec<String>,
    effects: Vec<String>,
    covers: Vec<covers::Covered>,
    cuts: usize,
    /// Sizes of trades, as they are under the exponents of their part.
    sizes: Vec<i64>,
}

impl FoldSink for Rows {
    const ROWS: bool = true;

    fn row(&mut self, h: &Head, row: RowRef<'_>) {
        let line = match row {
            RowRef::BookDelta(m) => format!(
                "delta ts={} rseq={} f={} u={} pu={} e={} b={:?} a={:?}",
                h.ts_recv,
                h.rseq,
                h.flags,
                m.seq_last,
                m.seq_prev,
                m.book_epoch,
                m.bids.iter().map(|l| (l.price, l.size)).collect::<Vec<_>>(),
                m.asks.iter().map(|l| (l.price, l.size)).collect::<Vec<_>>()
            ),
            RowRef::Gap(g) => format!(
                "gap {} {} ({}, {}] {}..{} by {} end {}",
                g.stream,
                g.cause.as_str(),
                g.seq_before,
                g.seq_after,
                g.ts_begin,
                g.ts_end,
                g.detector,
                g.recovered_by
            ),
            RowRef::Coverage(c) => {
                self.covers.push(covers::Covered::of(h, &c));
                format!(
                    "cover {} {}..{} {} {}..{} {}",
                    c.stream, c.ts_begin, c.ts_end, c.proof, c.id_first, c.id_last, c.end_cause
                )
            }
            RowRef::Trade(t) => {
                self.sizes.push(t.size);
                format!("trade {} {}", t.id, t.id_text)
            }
            RowRef::Bbo(b) => format!("quote {}", b.last),
            RowRef::Mark(m) => format!("mark {} {:?}", m.ts_send, m.mark_px),
            RowRef::Liquidation(l) => format!("liquidation {} {:?}", l.ts_event, l.price),
            RowRef::Race(r) => {
                format!("race {} {} {} {} {}", r.stream, r.seq_last, r.conn_first, r.conn_second, r.lead_ns)
            }
            RowRef::Audit(a) => format!(
                "audit {} rseq={} of {} wrong {} rank {} {}",
                a.seq, h.rseq, a.levels_compared, a.levels_wrong, a.worst_rank, a.verdict
            ),
            RowRef::Reject(r) => format!("reject {} {}", r.cause, r.detail),
            RowRef::BookTop(t) => format!("top u={} {:?} {:?}", t.seq_last, t.bids.first(), t.asks.first()),
            RowRef::Instrument { version, .. } => {
                format!(
                    "instrument {} {}/{} {}",
                    version.symbol, version.price_exp, version.size_exp, version.source
                )
            }
            _ => return,
        };
        self.lines.push(line);
    }

    fn instrument(&mut self, _: InstrumentId, _: &InstrumentVersion) {}

    fn effect(&mut self, e: Effect<'_>) {
        self.effects.push(format!("{e:?}"));
    }

    fn cut(&mut self, _: InstrumentId) {
        self.cuts += 1;
    }
}

impl Rows {
    fn of(&self, kind: &str) -> Vec<&str> {
        self.lines.iter().map(String::as_str).filter(|l| l.starts_with(kind)).collect()
    }
}

fn run_start() -> RunStart {
    RunStart {
        run_id: "r".into(),
        writer: "capture".into(),
        build: "0".into(),
        host: String::new(),
        config_sha256: String::new(),
        rules_version: RULES_VERSION,
        ts_start: 1,
        interval_ns: 3_600_000_000_000,
        book_top_interval_ns: 0,
        lane_memory_bytes: 1 << 28,
        auto_register: false,
        epoch_floor: 0,
        venues: Vec::new(),
    }
}

fn conn_event(event: &str, cause: &str) -> ConnEvent {
    ConnEvent {
        event: event.into(),
        venue: VENUE.into(),
        leg: 0,
        slot: 0,
        code: 0,
        cause: cause.into(),
        answered: false,
        detail: String::new(),
    }
}

fn subscribed(channels: &[&str]) -> Subscribed {
    let v = venue::by_id(VENUE).unwrap().1;
    let add: Vec<StreamSpec> = channels.iter().map(|c| v.stream(c, Some("BTCUSDT")).unwrap()).collect();
    Subscribed { venue: VENUE.into(), add, ..Subscribed::default() }
}

const VENUE: &str = "aster-futures";
const REST: i64 = 900;

/// A lane that is fed by hand; one record per unit of time.
struct Tape {
    fold: Fold,
    rows: Rows,
    clock: LaneClock,
    ts: i64,
    rseq: i64,
    /// Kernel time of the next records, 0 = none.
    kernel: i64,
    /// What the monotonic clock shows less than `ts`; `None` = it is not in the records.
    behind: Option<i64>,
}

impl Tape {
    fn new() -> Tape {
        let mut t = Tape {
            fold: Fold::new(1),
            rows: Rows::default(),
            clock: LaneClock::new(1, -1, 3_600_000_000_000),
            ts: 1_000,
            rseq: 0,
            kernel: 0,
            behind: None,
        };
        let run = run_start();
        t.push(Kind::Run, 0, -1, "", &to_payload(&run), 0);
        t.conn("open", REST, "");
        t
    }

    fn push(&mut self, kind: Kind, conn: i64, rseq: i64, url: &str, payload: &[u8], status: i32) {
        self.ts += 1;
        let lane_seq = self.clock.take_seq();
        let rec = Record {
            kind,
            flags: 0,
            lane: 1,
            status,
            conn,
            lane_seq,
            rseq,
            ts_kernel: self.kernel,
            ts_mono: self.behind.map_or(0, |b| self.ts - b),
            ts_recv: self.ts,
            url,
            payload,
        };
        self.fold.step(&rec, &mut self.rows);
    }

    fn conn(&mut self, event: &str, conn: i64, cause: &str) {
        self.conn_ends(event, conn, cause, false);
    }

    fn conn_ends(&mut self, event: &str, conn: i64, cause: &str, answered: bool) {
        let e = ConnEvent { answered, ..conn_event(event, cause) };
        self.push(Kind::Connection, conn, -1, "ws://x/stream?streams=", &to_payload(&e), 0);
    }

    fn subscribe(&mut self, conn: i64) {
        self.conn("open", conn, "");
        let s = subscribed(&["depth@100ms", "trade", "bookTicker"]);
        self.push(Kind::Subscription, conn, -1, "", &to_payload(&s), 0);
    }

    fn frame(&mut self, conn: i64, payload: &str) {
        self.rseq += 1;
        self.push(Kind::Frame, conn, self.rseq, "", payload.as_bytes(), 0);
    }

    fn diff(&mut self, conn: i64, first: i64, last: i64, prev: i64, b: &str, a: &str) {
        self.frame(
            conn,
            &format!(
                "{{\"stream\":\"btcusdt@depth@100ms\",\"data\":{{\"e\":\"depthUpdate\",\"E\":5,\"T\":4,\"s\":\"BTCUSDT\",\
                 \"U\":{first},\"u\":{last},\"pu\":{prev},\"b\":[{b}],\"a\":[{a}]}}}}"
            ),
        );
    }

    fn snapshot(&mut self, id: i64) {
        let body = format!(
            "{{\"lastUpdateId\":{id},\"E\":3,\"T\":2,\"bids\":[[\"100.5\",\"1\"],[\"100\",\"2\"]],\"asks\":[[\"101\",\"3\"]]}}"
        );
        self.push(Kind::Rest, REST, 0, "/fapi/v3/depth?symbol=BTCUSDT&limit=1000", body.as_bytes(), 200);
    }

    fn trade(&mut self, conn: i64, id: i64) {
        self.frame(
            conn,
            &format!(
                "{{\"stream\":\"btcusdt@trade\",\"data\":{{\"e\":\"trade\",\"E\":5,\"T\":4,\"s\":\"BTCUSDT\",\"t\":{id},\
                 \"p\":\"100.5\",\"q\":\"1\",\"X\":\"MARKET\",\"m\":true}}}}"
            ),
        );
    }

    fn synced() -> Tape {
        let mut t = Tape::new();
        t.subscribe(7);
        t.diff(7, 11, 12, 10, "[\"100\",\"5\"]", "");
        t.snapshot(11);
        t
    }
}

#[test]
fn a_snapshot_is_written_when_a_diff_proves_it_and_earlier_diffs_follow_flagged() {
    let t = Tape::synced();
    let ts = t.ts;
    let d = t.rows.of("delta");
    assert_eq!(d.len(), 2, "{d:?}");
    assert_eq!(
        d[0],
        format!(
            "delta ts={ts} rseq=0 f={} u=11 pu=-1 e={ts} b=[(1005, 1), (1000, 2)] a=[(1010, 3)]",
            flags::SNAPSHOT
        )
    );
    assert_eq!(
        d[1],
        format!("delta ts={ts} rseq=1 f={} u=12 pu=10 e={ts} b=[(1000, 5)] a=[]", flags::REPLAYED)
    );
    assert_eq!(
        t.rows.of("gap btcusdt@depth"),
        [format!("gap btcusdt@depth@100ms initial_sync (-1, -1] 1004..{ts} by subscription end snapshot")]
    );
    assert!(t.fold.book(InstrumentId(0)).is_some());
}

#[test]
fn what_is_wanted_and_has_no_connection_lacks_from_then_on() {
    let mut t = Tape::new();
    let s = subscribed(&["depth@100ms", "trade"]);
    let waits = Subscribed { waiting: s.add, add: Vec::new(), ..s };
    t.push(Kind::Subscription, 0, -1, "", &to_payload(&waits), 0);
    let began = t.ts;
    // Said once more nothing changes.
    t.push(Kind::Subscription, 0, -1, "", &to_payload(&waits), 0);
    t.subscribe(7);
    let opened = t.ts;
    assert_eq!(
        t.rows.of("gap btcusdt@trade"),
        [format!("gap btcusdt@trade initial_sync (-1, -1] {began}..{opened} by subscription end reconnect")]
    );
    t.diff(7, 11, 12, 10, "[\"100\",\"5\"]", "");
    t.snapshot(11);
    let gaps = t.rows.of("gap btcusdt@depth");
    assert!(
        gaps[0].starts_with(&format!("gap btcusdt@depth@100ms initial_sync (-1, -1] {began}..")),
        "{gaps:?}"
    );
    assert!(t.fold.book(InstrumentId(0)).is_some());
}

#[test]
fn no_row_before_the_proof() {
    let mut t = Tape::new();
    t.subscribe(7);
    t.snapshot(11);
    assert!(t.rows.of("delta").is_empty());
    assert!(t.fold.book(InstrumentId(0)).is_none());
    t.diff(7, 12, 13, 11, "", "");
    let d = t.rows.of("delta");
    assert_eq!(d.len(), 2);
    assert!(
        d.iter().all(|l| l.contains(&format!("ts={}", t.ts))),
        "both carry the proving record's time: {d:?}"
    );
    assert!(d[1].ends_with("b=[] a=[]"), "an empty diff is a row: chains survive");
}

#[test]
fn a_hole_clears_the_book_and_names_the_missing_ids() {
    let mut t = Tape::synced();
    let epoch = t.ts;
    t.diff(7, 30, 31, 20, "[\"100.5\",\"0\"]", "");
    let at = t.ts;
    assert!(t.fold.book(InstrumentId(0)).is_none());
    let clear = t.rows.of("delta").last().unwrap().to_string();
    assert!(clear.contains(&format!("f={} u=12 pu=-1 e={at} b=[] a=[]", flags::CLEAR)), "{clear}");
    assert!(at > epoch);
    t.snapshot(30);
    assert!(
        t.fold.book(InstrumentId(0)).is_some(),
        "the offending diff was kept and proves the next snapshot"
    );
    let gaps = t.rows.of("gap btcusdt@depth");
    assert!(gaps[1].starts_with("gap btcusdt@depth@100ms venue_seq_gap (12, 20]"), "{gaps:?}");
    assert!(gaps[2].starts_with("gap btcusdt@depth@100ms resync_wait (-1, -1]"), "{gaps:?}");
    assert!(t.rows.effects.iter().filter(|e| e.starts_with("NeedSnapshot")).count() >= 2);
}

/// Before the venue's code has done anything, and while a book is in its hands.
#[test]
fn a_panic_in_venue_code_costs_its_frame_and_the_books_proof_and_nothing_else() {
    for place in [1, 2] {
        let mut t = Tape::synced();
        t.trade(7, 5);
        super::panics::PLANTED.set(place);
        t.diff(7, 13, 14, 12, "[\"100\",\"6\"]", "");
        let at = t.ts;
        assert!(t.fold.book(InstrumentId(0)).is_none(), "{place}: who knows what it is");
        let clear = t.rows.of("delta").last().unwrap().to_string();
        assert!(
            clear.contains(&format!("f={} ", flags::CLEAR)) && clear.contains(&format!("e={at}")),
            "{clear}"
        );
        assert_eq!(t.rows.of("reject").len(), 1, "{place}: {:?}", t.rows.of("reject"));
        assert!(t.rows.of("reject")[0].contains("panic"), "{:?}", t.rows.of("reject"));
        assert!(
            t.rows.effects.last().is_some() && t.rows.effects.iter().any(|e| e.starts_with("NeedSnapshot"))
        );
        // The streams go on, and the book comes back.
        t.trade(7, 6);
        t.diff(7, 15, 20, 14, "[\"100\",\"7\"]", "");
        t.snapshot(18);
        assert!(t.fold.book(InstrumentId(0)).is_some(), "{place}");
        assert_eq!(t.rows.of("trade"), ["trade 5 ", "trade 6 "]);
        for stream in ["depth@100ms", "trade"] {
            let gaps = t.rows.of(&format!("gap btcusdt@{stream}"));
            let told = gaps.iter().filter(|g| g.contains("process_crash")).count();
            assert_eq!(told, 1, "{place} {stream}: {gaps:?}");
        }
    }
}

#[test]
fn trades_show_their_holes_and_repeats_are_dropped() {
    let mut t = Tape::synced();
    for id in [5, 6, 6, 9, 10] {
        t.trade(7, id);
    }
    assert_eq!(t.rows.of("trade"), ["trade 5 ", "trade 6 ", "trade 9 ", "trade 10 "]);
    let gaps = t.rows.of("gap btcusdt@trade");
    assert_eq!(gaps.len(), 1);
    assert!(gaps[0].contains("venue_seq_gap (6, 8]"), "{gaps:?}");
}

#[test]
fn a_reconnect_is_one_row_per_stream_and_says_whether_ids_are_missing() {
    let mut t = Tape::synced();
    t.trade(7, 5);
    t.conn("close", 7, "venue_disconnect");
    t.subscribe(8);
    t.trade(8, 6);
    t.diff(8, 13, 14, 12, "[\"100\",\"6\"]", "");
    assert!(t.fold.book(InstrumentId(0)).is_some(), "pu <= last_u < u: the chain goes on");
    let trade = t.rows.of("gap btcusdt@trade");
    assert!(trade[0].contains("venue_disconnect (5, 5]") && trade[0].ends_with("end ids"), "{trade:?}");
    let depth = t.rows.of("gap btcusdt@depth");
    assert!(depth[1].contains("venue_disconnect (12, 12]") && depth[1].ends_with("end ids"), "{depth:?}");
    assert_eq!(t.rows.of("gap btcusdt@bookTicker").len(), 1);
    t.conn("close", 8, "venue_disconnect");
    t.subscribe(9);
    t.trade(9, 9);
    t.diff(9, 20, 21, 19, "", "");
    assert!(t.fold.book(InstrumentId(0)).is_none());
    let (trade, depth) = (t.rows.of("gap btcusdt@trade"), t.rows.of("gap btcusdt@depth"));
    assert!(trade.len() == 2 && trade[1].contains("venue_disconnect (6, 8]"), "{trade:?}");
    assert!(depth.len() == 3 && depth[2].contains("venue_disconnect (14, 19]"), "{depth:?}");
}

#[test]
fn a_hole_is_told_once_however_long_the_snapshot_takes() {
    let mut t = Tape::synced();
    t.diff(7, 30, 31, 20, "", "");
    t.diff(7, 32, 33, 31, "", "");
    t.diff(7, 40, 41, 39, "", "");
    t.diff(7, 36, 37, 35, "", "");
    t.diff(7, 42, 43, 41, "", "");
    t.snapshot(42);
    assert!(t.fold.book(InstrumentId(0)).is_some());
    let gaps = t.rows.of("gap btcusdt@depth");
    let holes: Vec<_> = gaps.iter().filter_map(|g| g.split_once("venue_seq_gap ")).map(|g| g.1).collect();
    assert!(
        holes.len() == 2 && holes[0].starts_with("(12, 20]") && holes[1].starts_with("(33, 39]"),
        "{gaps:?}"
    );
}

#[test]
fn ids_that_a_snapshot_covers_are_missing_all_the_same() {
    let mut t = Tape::synced();
    t.diff(7, 30, 31, 20, "", "");
    t.snapshot(50);
    t.diff(7, 49, 52, 40, "", "");
    assert!(t.fold.book(InstrumentId(0)).is_some(), "pu <= L <= u");
    let gaps = t.rows.of("gap btcusdt@depth");
    assert!(gaps[2].contains("venue_seq_gap (31, 40]"), "{gaps:?}");
    let synced = t.ts;
    t.diff(7, 53, 54, 52, "", "");
    t.conn("close", 7, "venue_disconnect");
    let covers = t.rows.of("cover btcusdt@depth");
    assert!(covers.len() == 1 && covers[0].contains(&format!(" {synced}..")), "{covers:?}");
}

#[test]
fn late_trades_lower_nothing_and_a_count_that_begins_anew_is_followed() {
    let mut t = Tape::synced();
    for id in [100, 102, 101, 103, 104] {
        t.trade(7, id);
    }
    assert_eq!(t.rows.of("trade").len(), 5);
    let gaps = t.rows.of("gap btcusdt@trade");
    assert!(gaps.len() == 1 && gaps[0].contains("venue_seq_gap (100, 101]"), "{gaps:?}");
    for id in 1..=40 {
        t.trade(7, id);
    }
    t.trade(7, 43);
    assert_eq!(t.rows.of("trade").len(), 46);
    let gaps = t.rows.of("gap btcusdt@trade");
    assert!(gaps.len() == 3 && gaps[1].contains("(104, -1]") && gaps[2].contains("(40, 42]"), "{gaps:?}");
}

#[test]
fn a_late_trade_is_news_once_and_a_repeated_one_never() {
    let mut t = Tape::synced();
    for id in [100, 103, 101, 101, 100, 103, 102, 102, 104, 98, 98, 105] {
        t.trade(7, id);
    }
    let ids: Vec<String> = [100, 103, 101, 102, 104, 98, 105].map(|id| format!("trade {id} ")).into();
    assert_eq!(t.rows.of("trade"), ids);
    let gaps = t.rows.of("gap btcusdt@trade");
    assert!(gaps.len() == 1 && gaps[0].contains("venue_seq_gap (100, 102]"), "{gaps:?}");
}

#[test]
fn what_one_connection_left_out_the_other_one_brings() {
    let mut t = Tape::synced();
    t.trade(7, 100);
    t.subscribe(8);
    for (conn, id) in [(8, 103), (7, 101), (7, 102), (7, 103), (8, 104), (7, 104)] {
        t.trade(conn, id);
    }
    let ids: Vec<String> = [100, 103, 101, 102, 104].map(|id| format!("trade {id} ")).into();
    assert_eq!(t.rows.of("trade"), ids);
}

#[test]
fn no_second_is_told_twice_where_a_hole_is_found_after_a_boundary() {
    let mut t = Tape::synced();
    t.trade(7, 5);
    let at = 3_600_000_000_000;
    t.ts = at - 1_000_000_000;
    t.conn("pong", 7, "");
    let payload = t.clock.boundary_payload(at);
    let r = t.clock.boundary_record(at, 0, &payload);
    t.fold.step(&r, &mut t.rows);
    t.ts = at + 5;
    t.trade(7, 9);
    t.diff(7, 30, 31, 20, "", "");
    for stream in ["btcusdt@trade", "btcusdt@depth@100ms"] {
        let begin =
            |l: &str| l.split_once("..").unwrap().0.rsplit(' ').next().unwrap().parse::<i64>().unwrap();
        let gap = t.rows.of(&format!("gap {stream} venue_seq_gap"));
        assert_eq!(gap.iter().map(|l| begin(l)).collect::<Vec<_>>(), [at], "{gap:?}");
        // The first one ends where the tape stood still for an hour.
        let covers = t.rows.of(&format!("cover {stream}"));
        let mut covers = covers.iter().filter(|c| !c.ends_with(" local_stall"));
        assert!(covers.all(|c| c.contains(&format!("..{at} "))), "{:?}", t.rows.of("cover"));
    }
}

#[test]
fn two_connections_make_one_book_and_one_tape() {
    let mut t = Tape::synced();
    t.subscribe(8);
    t.trade(7, 5);
    t.trade(8, 5);
    t.trade(8, 6);
    t.trade(7, 6);
    t.diff(8, 13, 14, 12, "[\"100\",\"6\"]", "");
    t.diff(7, 13, 14, 12, "[\"100\",\"6\"]", "");
    t.diff(7, 15, 16, 14, "", "[\"101\",\"1\"]");
    assert_eq!(t.rows.of("trade").len(), 2);
    assert_eq!(t.rows.of("delta").len(), 4);
    assert_eq!(t.rows.of("gap").len(), 1, "only the first sync: {:?}", t.rows.of("gap"));
    t.conn("close", 7, "venue_disconnect");
    assert_eq!(t.rows.of("gap").len(), 1, "the other leg carries on");
}

fn quote(id: i64) -> String {
    format!(
        "{{\"stream\":\"btcusdt@bookTicker\",\"data\":{{\"e\":\"bookTicker\",\"u\":{id},\"E\":5,\"T\":4,\"s\":\"BTCUSDT\",\
         \"b\":\"100\",\"B\":\"1\",\"a\":\"101\",\"A\":\"2\"}}}}"
    )
}

#[test]
fn a_connection_that_is_replaced_leaves_no_gap_however_quiet_it_was() {
    let mut t = Tape::synced();
    t.frame(7, &quote(1));
    t.subscribe(8);
    t.conn_ends("close", 7, "operator", true);
    assert_eq!(t.rows.of("gap").len(), 1, "only the first sync: {:?}", t.rows.of("gap"));
    t.frame(8, &quote(2));
    t.diff(8, 13, 14, 12, "", "");
    assert_eq!(t.rows.of("quote").len(), 2);
    assert_eq!(t.rows.of("gap").len(), 1, "{:?}", t.rows.of("gap"));
    // One that just went away may have had more to say.
    t.subscribe(9);
    t.conn_ends("close", 8, "operator", false);
    assert!(t.rows.of("gap").len() > 1);
}

#[test]
fn what_lags_behind_a_replaced_connection_is_known() {
    let mut t = Tape::synced();
    t.subscribe(8);
    t.frame(7, &quote(1));
    t.frame(7, &quote(2));
    t.conn_ends("close", 7, "operator", true);
    t.frame(8, &quote(1));
    t.frame(8, &quote(2));
    t.frame(8, &quote(3));
    assert_eq!(t.rows.of("quote"), ["quote 1", "quote 2", "quote 3"]);
}

#[test]
fn a_snapshot_tells_whether_a_quiet_book_is_behind() {
    let mut t = Tape::synced();
    let said =
        |t: &Tape| t.rows.effects.iter().filter(|e| e.starts_with("Compared")).cloned().collect::<Vec<_>>();
    // A greater id with the same levels: ids are shared by all symbols.
    let same = r#"{"lastUpdateId":90,"bids":[["100.5","1"],["100","5"]],"asks":[["101","3"]]}"#;
    let other = |id: i64| {
        format!(r#"{{"lastUpdateId":{id},"bids":[["100.5","7"],["100","5"]],"asks":[["101","3"]]}}"#)
    };
    for body in [same.to_owned(), other(12), other(90)] {
        t.push(Kind::Rest, REST, 1, "/fapi/v3/depth?symbol=BTCUSDT&limit=1000", body.as_bytes(), 200);
    }
    let ahead: Vec<bool> = said(&t).iter().map(|e| e.contains("ahead: true")).collect();
    assert_eq!(ahead, [false, false, true]);
    assert!(t.fold.book(InstrumentId(0)).is_some(), "a comparison alone takes nothing away");
}

#[test]
fn a_silent_stream_s_gap_begins_at_its_last_message_and_ends_with_its_proof() {
    let mut t = Tape::synced();
    let last = t.ts;
    t.trade(7, 1);
    let e = TimerEvent::Silent { stream: "btcusdt@depth@100ms".into() };
    t.push(Kind::Timer, 7, -1, "", &to_payload(&e), 0);
    assert!(t.fold.book(InstrumentId(0)).is_none());
    assert!(t.rows.of("delta").last().unwrap().contains(&format!("f={}", flags::CLEAR)));
    t.diff(7, 13, 14, 12, "", "");
    t.snapshot(13);
    assert!(t.fold.book(InstrumentId(0)).is_some());
    let gaps = t.rows.of("gap btcusdt@depth");
    let silent = format!("gap btcusdt@depth@100ms silent_stream (12, 12] {last}..");
    assert!(gaps[1].starts_with(&silent), "{gaps:?}");
    assert!(gaps[2].contains("resync_wait") && gaps[2].ends_with("end snapshot"), "{gaps:?}");
}

#[test]
fn a_second_legs_events_wait_for_the_first() {
    let mut t = Tape::synced();
    t.subscribe(8);
    t.diff(8, 15, 16, 14, "[\"99\",\"1\"]", "");
    assert!(t.rows.effects.iter().any(|e| e.starts_with("LegWait")));
    assert_eq!(t.rows.of("delta").len(), 2, "held");
    t.diff(7, 13, 14, 12, "[\"98\",\"1\"]", "");
    assert_eq!(t.rows.of("delta").len(), 4, "the first leg filled the hole: {:?}", t.rows.of("delta"));
    assert!(t.fold.book(InstrumentId(0)).is_some());
}

#[test]
fn boundaries_split_what_is_open_and_carry_the_book() {
    let mut t = Tape::synced();
    let at = 3_600_000_000_000;
    t.ts = at - 1_000_000_000;
    t.conn("pong", 7, "");
    let payload = t.clock.boundary_payload(at);
    let r = t.clock.boundary_record(at, 0, &payload);
    t.fold.step(&r, &mut t.rows);
    t.ts = at + 5;
    assert!(t.rows.of("cover btcusdt@depth")[0].contains(&format!("..{at}")));
    let before = t.rows.of("delta").len();
    t.diff(7, 13, 14, 12, "[\"100\",\"6\"]", "");
    let d = t.rows.of("delta");
    assert_eq!(d.len(), before + 2);
    assert!(
        d[before].contains(&format!("ts={} rseq=-1 f={} u=12", t.ts, flags::SNAPSHOT | flags::CARRIED)),
        "{}",
        d[before]
    );
    let epoch = |l: &str| l.split("e=").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    assert_eq!(epoch(d[before]), epoch(d[before - 1]), "carried rows keep the epoch");
}

#[test]
fn a_boundary_stated_again_says_nothing_new() {
    let mut t = Tape::synced();
    // A UTC midnight: the day opens with the whole book.
    let at = 86_400_000_000_000;
    t.ts = at - 1_000_000_000;
    t.conn("pong", 7, "");
    for _ in 0..2 {
        let payload = t.clock.boundary_payload(at);
        let r = t.clock.boundary_record(at, 0, &payload);
        t.fold.step(&r, &mut t.rows);
    }
    t.ts = at + 5;
    t.diff(7, 13, 14, 12, "[\"100\",\"6\"]", "");
    let carried = format!(" f={} ", flags::SNAPSHOT | flags::CARRIED);
    assert_eq!(t.rows.of("delta").iter().filter(|l| l.contains(&carried)).count(), 1);
    assert_eq!(t.rows.of("cover btcusdt@depth").len(), 1);
}

#[test]
fn a_checkpoint_goes_on_to_the_same_rows() {
    let mut a = Tape::synced();
    a.trade(7, 5);
    let bytes = a.fold.save().unwrap();
    let mut b = Tape::synced();
    b.fold = Fold::restore(&bytes, &mut b.rows).unwrap();
    assert_eq!(b.fold.save().unwrap(), bytes, "the same state gives the same bytes");
    (b.ts, b.rseq, b.clock) = (a.ts, a.rseq, a.clock);
    for t in [&mut a, &mut b] {
        t.rows.lines.clear();
        t.trade(7, 8);
        t.diff(7, 13, 14, 12, "[\"100.25\",\"6\"]", "");
        t.diff(7, 99, 100, 98, "", "");
        t.conn("close", 7, "silent_stream");
    }
    assert_eq!(a.rows.lines, b.rows.lines);
    assert!(
        a.rows.lines.iter().any(|l| l.starts_with("instrument BTCUSDT 2/")),
        "wider decimals are a new version"
    );
}

#[test]
fn a_crash_clears_and_explains_and_a_stop_too() {
    let mut t = Tape::synced();
    t.trade(7, 5);
    let last = t.ts;
    let note =
        GapNote { cause: "process_crash".into(), ts_begin: last + 1, ts_end: 0, detail: String::new() };
    t.push(Kind::Gap, 0, -1, "", &to_payload(&note), 0);
    assert!(t.rows.of("delta").last().unwrap().contains(&format!("ts={}", last + 1)));
    t.subscribe(8);
    t.trade(8, 9);
    assert!(t.rows.of("gap btcusdt@trade")[0].contains(&format!(
        "process_crash (5, 8] {}..{}",
        last + 1,
        t.ts
    )));
    t.diff(8, 40, 41, 39, "", "");
    assert!(
        t.rows.of("gap btcusdt@depth")[1].contains("process_crash (12, 39]"),
        "{:?}",
        t.rows.of("gap btcusdt@depth")
    );
    let stop = RunStop { run_id: "r".into(), ts_stop: t.ts, exit: "clean".into() };
    t.push(Kind::Stop, 0, -1, "", &to_payload(&stop), 0);
    assert!(t.rows.of("cover btcusdt@trade").last().unwrap().ends_with("operator"));
}

#[test]
fn a_clock_that_was_set_back_meanwhile_makes_no_gap_that_ends_before_it_begins() {
    let mut t = Tape::synced();
    t.trade(7, 5);
    let last = t.ts;
    let stop = RunStop { run_id: "r".into(), ts_stop: last + 1, exit: "clean".into() };
    t.push(Kind::Stop, 0, -1, "", &to_payload(&stop), 0);
    t.ts -= 500;
    t.subscribe(8);
    t.trade(8, 9);
    let told = t.rows.of("gap btcusdt@trade")[0];
    assert!(told.contains(&format!("operator (5, 8] {}..{} ", last + 1, last + 1)), "{told}");
}

#[test]
fn nonsense_is_rejected_and_costs_nothing_else() {
    let mut t = Tape::synced();
    for bad in [
        "",
        "{",
        "{\"stream\":\"nobody@trade\",\"data\":{}}",
        "{\"stream\":\"btcusdt@trade\",\"data\":{\"e\":\"trade\"}}",
        "\u{0}",
    ] {
        t.frame(7, bad);
    }
    t.push(Kind::Frame, 7, 99, "", &[0xff, 0xfe], 0);
    t.push(Kind::Timer, 7, -1, "", b"{\"timer\":\"of another version\"}", 0);
    assert_eq!(t.rows.of("reject").len(), 7);
    assert!(t.fold.book(InstrumentId(0)).is_some(), "no depth frame was among them");
    t.frame(7, "{\"stream\":\"btcusdt@depth@100ms\",\"data\":{\"e\":\"depthUpdate\",\"U\":1}}");
    assert!(
        t.fold.book(InstrumentId(0)).is_none(),
        "a depth frame that cannot be read may have changed the book"
    );
    t.trade(7, 1);
    assert_eq!(t.rows.of("trade").len(), 1);
}

#[test]
fn a_book_crossed_for_too_long_is_not_proven() {
    let mut t = Tape::synced();
    for n in 0..3 {
        t.diff(7, 13 + n, 13 + n, 12 + n, "[\"102\",\"1\"]", "");
    }
    assert!(t.fold.book(InstrumentId(0)).is_none());
    assert!(t.rows.of("delta").iter().any(|l| l.contains(&format!("f={} ", flags::CROSSED))));
    assert_eq!(GapCause::from_str("protocol_violation"), Some(GapCause::ProtocolViolation));
    let _ = VenueIx::NONE;
}
