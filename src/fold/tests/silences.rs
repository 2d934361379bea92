//! Silences that nobody noticed: what they leave is not called covered, live or in what another tool recorded.

use super::{REST, Tape, run_start};
use crate::model::control::to_payload;
use crate::model::{InstrumentId, Kind, RunStart, RunStop, TimerEvent, control::BoundaryTimer, flags};

const LONG: i64 = 600_000_000_000;

impl Tape {
    pub(super) fn stop(&mut self) {
        let stop = RunStop { run_id: "r".into(), ts_stop: self.ts, exit: "clean".into() };
        self.push(Kind::Stop, 0, -1, "", &to_payload(&stop), 0);
    }

    /// A recording of another tool, with a proven book.
    fn imported() -> Tape {
        let mut t = Tape::new();
        let run = RunStart { writer: "import".into(), auto_register: true, ..run_start() };
        t.push(Kind::Run, 0, -1, "", &to_payload(&run), 0);
        t.conn("open", REST, "");
        t.conn("open", 7, "");
        t.diff(7, 11, 12, 10, "[\"100\",\"5\"]", "");
        t.snapshot(11);
        t
    }
}

#[test]
fn a_recorder_that_stood_still_does_not_call_the_time_covered() {
    let mut t = Tape::synced();
    t.trade(7, 1);
    let last = t.ts;
    // What waited in the kernel comes in order, and the venue may have gone meanwhile.
    t.ts += LONG;
    t.trade(7, 2);
    let gaps = t.rows.of("gap btcusdt@bookTicker local_stall");
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert!(gaps[0].contains(&format!(" {last}..{} ", t.ts)), "{gaps:?}");
    // Ids that go on say that nothing is missing.
    t.diff(7, 13, 14, 12, "", "");
    assert!(t.fold.book(InstrumentId(0)).is_some());
    assert!(t.rows.of("gap btcusdt@trade").is_empty() && t.rows.of("gap btcusdt@depth").len() == 1);
    // Five seconds are no silence.
    t.ts += 5_000_000_000;
    t.trade(7, 3);
    assert_eq!(t.rows.of("gap btcusdt@bookTicker local_stall").len(), 1);
    // Nor does an interval end, or the run, with what nobody heard.
    let heard = t.ts;
    t.ts += LONG;
    t.stop();
    assert!(t.rows.of("gap btcusdt@trade local_stall")[0].contains(&format!(" {heard}..")));
}

#[test]
fn a_stream_that_has_ids_and_never_spoke_is_covered_by_its_connection_alone() {
    let mut t = Tape::synced();
    t.stop();
    let of = |what: &str| t.rows.of(&format!("cover btcusdt@{what}")).join(" ");
    assert!(of("trade").contains(" heartbeat -1..-1"), "{}", of("trade"));
    assert!(of("depth").contains(" ids 12..") && of("bookTicker").contains(" heartbeat "), "{}", of("depth"));
}

#[test]
fn ids_that_are_missing_after_a_silence_may_be_of_any_time_since_the_last_one() {
    let mut t = Tape::synced();
    t.trade(7, 1);
    let last = t.ts;
    // The line lives on for a while, and then the recorder stands still.
    t.ts += 1_000_000_000;
    t.conn("pong", 7, "");
    t.ts += LONG;
    t.trade(7, 9);
    let gaps = t.rows.of("gap btcusdt@trade venue_seq_gap (1, 8]");
    assert!(gaps.len() == 1 && gaps[0].contains(&format!(" {last}..")), "{gaps:?}");
    let covers = t.rows.of("cover btcusdt@trade");
    assert!(covers.len() == 1 && covers[0].contains(&format!("..{last} ")), "{covers:?}");
}

#[test]
fn a_recording_s_silence_is_a_gap_that_the_ids_explain() {
    let mut t = Tape::imported();
    let proven = t.ts;
    t.trade(7, 1);
    t.frame(7, &super::quote(1));
    let (traded, last) = (t.ts - 1, t.ts);
    t.ts += LONG;
    t.frame(7, &super::quote(2));
    let back = t.ts;
    t.diff(7, 13, 14, 12, "", "");
    t.trade(7, 5);
    let only = |stream: &str| {
        let gaps = t.rows.of(&format!("gap {stream} stale_timeout"));
        assert_eq!(gaps.len(), 1, "{gaps:?}");
        gaps[0].to_owned()
    };
    // Quotes have no ids: nothing says what came meanwhile.
    assert!(only("btcusdt@bookTicker").contains(&format!("(-1, -1] {last}..{back} ")));
    let (depth, trades) = (only("btcusdt@depth@100ms"), only("btcusdt@trade"));
    assert!(
        depth.contains(&format!("(12, 12] {proven}..{} ", back + 1)) && depth.ends_with(" ids"),
        "{depth}"
    );
    assert!(trades.contains(&format!("(1, 4] {traded}..{} ", back + 2)), "{trades}");
    assert!(t.fold.book(InstrumentId(0)).is_some(), "no book ends by it");
    // In the gap there is none: it ends with the lane's last record, and comes back whole.
    let rows = t.rows.of("delta");
    assert_eq!(rows.len(), 5, "{rows:?}");
    let (clear, whole) = (format!("ts={} rseq=-1 f={} u=12 ", last + 1, flags::CLEAR), rows[3]);
    assert!(rows[2].contains(&clear) && rows[2].ends_with("b=[] a=[]"), "{rows:?}");
    let (epoch, came) = (back + 1, flags::SNAPSHOT | flags::CARRIED);
    assert!(whole.contains(&format!("ts={epoch} rseq=-1 f={came} u=12 pu=-1 e={epoch} ")), "{whole}");
    assert!(!whole.contains("b=[]") && rows[4].contains(&format!(" e={epoch} ")), "{rows:?}");
    // What ends in silence ends with its last frame.
    let heard = t.ts;
    t.ts += LONG;
    t.stop();
    let quotes = t.rows.of("gap btcusdt@bookTicker stale_timeout");
    assert!(quotes.len() == 2 && quotes[1].contains(&format!(" {heard}..")), "{quotes:?}");
}

#[test]
fn a_book_in_a_long_gap_is_not_carried_over_midnight_and_comes_back_by_its_ids() {
    for is_import in [true, false] {
        let mut t = if is_import { Tape::imported() } else { Tape::synced() };
        if !is_import {
            t.conn("close", 7, "venue_disconnect");
        }
        let lost = t.ts;
        t.ts += LONG;
        let midnight = t.ts + 1;
        let timer = TimerEvent::Boundary(BoundaryTimer { at: midnight, interval_ns: midnight });
        t.push(Kind::Timer, 0, -1, "", &to_payload(&timer), 0);
        assert!(t.fold.book(InstrumentId(0)).is_none());
        let rows = t.rows.of("delta").len();
        let clear = t.rows.of("delta")[rows - 1].to_owned();
        assert!(clear.contains(&format!("ts={} rseq=-1 f={} ", lost + 1, flags::CLEAR)), "{clear}");
        if !is_import {
            t.subscribe(8);
        }
        let conn = if is_import { 7 } else { 8 };
        t.trade(conn, 1);
        assert_eq!(t.rows.of("delta").len(), rows, "nothing stands at midnight: {:?}", t.rows.of("delta"));
        t.diff(conn, 13, 14, 12, "", "");
        let now = t.rows.of("delta");
        let whole = format!("ts={} rseq=-1 f={} u=12 ", t.ts, flags::SNAPSHOT | flags::CARRIED);
        assert!(now.len() == rows + 2 && now[rows].contains(&whole), "{now:?}");
        assert!(t.fold.book(InstrumentId(0)).is_some());
        let last = t.rows.of("gap btcusdt@depth").last().map(|g| (*g).to_owned()).unwrap();
        assert!(last.contains(" (12, 12] ") && last.ends_with(" ids"), "{last}");
        // One whose ids do not go on ends once.
        let before = now.len();
        t.ts += LONG;
        t.trade(conn, 2);
        t.diff(conn, 21, 22, 20, "", "");
        let clears = t.rows.of("delta")[before..]
            .iter()
            .filter(|r| r.contains(&format!(" f={} ", flags::CLEAR)))
            .count();
        assert!(clears == 1 && t.fold.book(InstrumentId(0)).is_none(), "{:?}", t.rows.of("delta"));
    }
}

#[test]
fn an_interval_that_ends_in_a_gap_does_not_begin_it_anew() {
    let mut t = Tape::synced();
    t.conn("close", 7, "venue_disconnect");
    let (lost, limit) = (t.ts, 77_000_000_000);
    // Ten seconds an interval, less than a connection may be silent.
    let mut at = 0;
    while t.ts < lost + limit {
        t.ts += 10_000_000_000;
        at = t.ts + 1;
        let timer = TimerEvent::Boundary(BoundaryTimer { at, interval_ns: 10_000_000_000 });
        t.push(Kind::Timer, 0, -1, "", &to_payload(&timer), 0);
    }
    assert!(t.fold.book(InstrumentId(0)).is_none(), "{at}");
    let clears: Vec<_> =
        t.rows.of("delta").into_iter().filter(|r| r.contains(&format!(" f={} ", flags::CLEAR))).collect();
    assert!(
        clears.len() == 1 && clears[0].contains(&format!("ts={} ", at - 10_000_000_000)),
        "{at} {clears:?}"
    );
}

#[test]
fn a_short_cut_leaves_the_book_as_it_is() {
    let mut t = Tape::synced();
    let rows = t.rows.of("delta").len();
    t.conn("close", 7, "venue_disconnect");
    t.ts += 3_000_000_000;
    t.subscribe(8);
    t.diff(8, 13, 14, 12, "", "");
    assert_eq!(t.rows.of("delta").len(), rows + 1);
}

#[test]
fn a_recording_without_a_silence_has_none() {
    let mut t = Tape::imported();
    for n in 1..50 {
        t.ts += 60_000_000_000;
        t.trade(7, n);
    }
    t.stop();
    let gaps = t.rows.of("gap");
    assert!(!gaps.iter().any(|g| g.contains("stale_timeout")), "{gaps:?}");
}

/// A mark price, which comes every second.
fn mark(t: &mut Tape, at: i64) {
    let f = format!(
        "{{\"stream\":\"btcusdt@markPrice@1s\",\"data\":{{\"e\":\"markPriceUpdate\",\"E\":{at},\"s\":\"BTCUSDT\",\
         \"p\":\"1.5\",\"i\":\"1.4\",\"P\":\"1.5\",\"r\":\"0.0001\",\"T\":0}}}}"
    );
    t.frame(7, &f);
}

#[test]
fn a_recording_s_stream_of_a_fixed_pace_is_silent_though_its_connection_lives() {
    let mut t = Tape::imported();
    let beat = |t: &mut Tape, n: i64, from: i64| {
        for n in from..from + n {
            t.ts += 1_000_000_000;
            t.trade(7, n);
        }
    };
    let gaps = |t: &Tape| -> Vec<String> {
        t.rows.of("gap btcusdt@markPrice@1s silent_stream").iter().map(|g| (*g).to_owned()).collect()
    };
    mark(&mut t, 1);
    // A minute is borne, as it is live.
    beat(&mut t, 59, 1);
    mark(&mut t, 2);
    let last = t.ts;
    beat(&mut t, 70, 60);
    assert!(gaps(&t).is_empty(), "{:?}", gaps(&t));
    mark(&mut t, 3);
    let (back, told) = (t.ts, gaps(&t));
    assert!(told.len() == 1 && told[0].contains(&format!(" {last}..{back} ")), "{told:?}");
    assert!(told[0].ends_with(" frame"), "{told:?}");
    // What says something when there is something to say is quiet.
    assert!(!t.rows.of("gap").iter().any(|g| g.contains("bookTicker") || g.contains("@trade")));
    // Silent for good: the end of an interval splits it, and the end of the recording ends it.
    beat(&mut t, 65, 130);
    let boundary = t.ts + 1;
    let timer = TimerEvent::Boundary(BoundaryTimer { at: boundary, interval_ns: 3_600_000_000_000 });
    t.push(Kind::Timer, 0, -1, "", &to_payload(&timer), 0);
    beat(&mut t, 3, 195);
    t.stop();
    let told = gaps(&t);
    assert!(told.len() == 3 && told[1].contains(&format!(" {back}..{boundary} ")), "{told:?}");
    assert!(told[1].ends_with(" boundary"), "{told:?}");
    assert!(told[2].contains(&format!(" {boundary}..{} ", t.ts)), "{told:?}");
}

/// Trades of the seconds that follow, which show that the connection lives.
fn lives(t: &mut Tape, seconds: i64, from: i64) {
    for n in from..from + seconds {
        t.ts += 1_000_000_000;
        t.trade(7, n);
    }
}

#[test]
fn the_end_of_an_interval_is_no_sign_of_life_of_a_stream_of_a_fixed_pace() {
    const HOUR: i64 = 3_600_000_000_000;
    let mut t = Tape::imported();
    let at = 2 * HOUR;
    t.ts = at - 40_000_000_000;
    t.trade(7, 1);
    mark(&mut t, 1);
    lives(&mut t, 30, 2);
    t.ts = at - 1;
    let timer = TimerEvent::Boundary(BoundaryTimer { at, interval_ns: HOUR });
    t.push(Kind::Timer, 0, -1, "", &to_payload(&timer), 0);
    lives(&mut t, 40, 32);
    mark(&mut t, 2);
    let gaps = t.rows.of("gap btcusdt@markPrice@1s silent_stream");
    // Forty seconds before it are borne; what is too long is told from where the interval begins.
    assert!(gaps.len() == 1 && gaps[0].contains(&format!(" {at}..{} ", t.ts)), "{gaps:?}");
    let covers = t.rows.of("cover btcusdt@markPrice@1s");
    assert!(covers.last().unwrap().contains(&format!("..{at} ")), "{covers:?}");
}

#[test]
fn what_is_delisted_or_lasts_no_time_is_no_silence_of_a_fixed_pace() {
    let of = |t: &Tape| t.rows.of("gap btcusdt@markPrice@1s").len();
    let mut t = Tape::imported();
    mark(&mut t, 1);
    t.fold.core.insts[0].version.status = crate::instrument::DELISTED.to_owned();
    lives(&mut t, 70, 1);
    mark(&mut t, 2);
    assert_eq!(of(&t), 0, "{:?}", t.rows.of("gap"));
    // A stretch that has only begun, with an interval.
    let mut t = Tape::imported();
    mark(&mut t, 1);
    let id = (0..).map(crate::model::StreamId).find(|s| t.fold.stream(*s).unwrap().0.contains("markPrice"));
    let (id, at) = (id.unwrap(), 7_200_000_000_000);
    t.fold.core.s(id).cover.as_mut().unwrap().ts_begin = at;
    let rec = crate::model::Record {
        kind: Kind::Timer,
        flags: 0,
        lane: 1,
        status: 0,
        conn: 0,
        lane_seq: 0,
        rseq: -1,
        ts_kernel: 0,
        ts_mono: 0,
        ts_recv: at,
        url: "",
        payload: b"",
    };
    t.fold.core.cut_silence_at(id, at, &rec, &mut t.rows);
    assert_eq!(of(&t), 0, "{:?}", t.rows.of("gap"));
}
