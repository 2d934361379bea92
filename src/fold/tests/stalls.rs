//! A recorder that stood still, and what the kernel kept meanwhile.

use super::*;

const S: i64 = 1_000_000_000;
const HOUR: i64 = 3_600 * S;

/// A tape whose stamps are of this century: the kernel's are as well.
fn tape() -> Tape {
    let mut t = Tape::synced();
    t.ts = 1_700_000_000 * S;
    t.conn("pong", 7, "");
    t.rows.lines.clear();
    t.frame(7, &quote(1));
    t.trade(7, 1);
    t
}

/// A trade and a quote that were there at `kernel` and are read at `read`.
fn brings(t: &mut Tape, n: i64, kernel: i64, read: i64) {
    (t.ts, t.kernel) = (read, kernel);
    t.trade(7, n);
    t.frame(7, &quote(n));
}

#[test]
fn what_the_kernel_kept_is_no_silence_and_its_rows_say_that_they_were_read_late() {
    let mut t = tape();
    let (begin, thaw) = (t.ts, t.ts + 60 * S);
    for n in 2..60 {
        brings(&mut t, n, begin + n * S, thaw + n * 1000);
    }
    brings(&mut t, 60, thaw + S, thaw + S);
    assert!(t.rows.of("gap").is_empty(), "{:?}", t.rows.of("gap"));
    assert!(t.fold.book(InstrumentId(0)).is_some());
    t.fold.core.ts_max = 0;
    let head = |ts_kernel: i64| {
        let rec = Record { ts_kernel, ts_recv: thaw, ..record() };
        t.fold.core.head(&rec).flags
    };
    assert_eq!((head(thaw - 3 * S), head(thaw - S), head(0)), (flags::BAD_TS_RECV, 0, 0));
}

fn record() -> Record<'static> {
    Record {
        kind: Kind::Frame,
        flags: 0,
        lane: 1,
        status: 0,
        conn: 7,
        lane_seq: 0,
        rseq: 0,
        ts_kernel: 0,
        ts_mono: 0,
        ts_recv: 0,
        url: "",
        payload: b"",
    }
}

#[test]
fn where_the_kernel_could_keep_no_more_streams_without_ids_have_a_gap_and_others_none() {
    let mut t = tape();
    let (begin, thaw) = (t.ts, t.ts + 24 * S);
    for n in 2..6 {
        brings(&mut t, n, begin + n * S, thaw + n * 1000);
    }
    // The venue goes on where it was held up.
    brings(&mut t, 6, thaw + S, thaw + S);
    t.diff(7, 13, 14, 12, "", "");
    let gaps = t.rows.of("gap");
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    let told = format!(
        "gap btcusdt@bookTicker local_stall (-1, -1] {}..{} by watchdog",
        begin + 5 * S,
        thaw + S + 1
    );
    assert!(gaps[0].starts_with(&told), "{gaps:?} {told}");
    // A hole is told as ever.
    brings(&mut t, 9, thaw + 2 * S, thaw + 2 * S);
    assert!(t.rows.of("gap")[1].contains("btcusdt@trade venue_seq_gap (6, 8]"), "{:?}", t.rows.of("gap"));
}

#[test]
fn a_machine_that_is_busy_for_seconds_leaves_no_gap() {
    let mut t = tape();
    for n in 2..20 {
        let at = t.ts;
        // Nothing for three seconds, and what comes then is read after two more.
        brings(&mut t, n, at + 3 * S, at + 5 * S + S / 2);
    }
    assert!(t.rows.of("gap").is_empty(), "{:?}", t.rows.of("gap"));
}

#[test]
fn a_connection_that_ended_meanwhile_lived_until_the_last_that_was_kept() {
    let mut t = tape();
    let (begin, thaw) = (t.ts, t.ts + 60 * S);
    for n in 2..6 {
        brings(&mut t, n, begin + n * S, thaw + n * 1000);
    }
    (t.kernel, t.ts) = (0, thaw + S);
    t.conn("close", 7, "venue_disconnect");
    t.subscribe(8);
    t.trade(8, 9);
    t.frame(8, &quote(9));
    for stream in ["trade", "bookTicker"] {
        let gaps = t.rows.of(&format!("gap btcusdt@{stream}"));
        assert_eq!(gaps.len(), 1, "{gaps:?}");
        assert!(
            gaps[0].contains("venue_disconnect") && gaps[0].contains(&format!(" {}..", begin + 5 * S)),
            "{gaps:?}"
        );
    }
}

fn boundary(t: &mut Tape, at: i64) {
    let payload = t.clock.boundary_payload(at);
    let r = t.clock.boundary_record(at, 0, &payload);
    t.fold.step(&r, &mut t.rows);
}

/// A tape, and the next whole hour, ten seconds before which something was last heard.
fn before_an_hour() -> (Tape, i64) {
    let mut t = tape();
    let at = (t.ts / HOUR + 1) * HOUR;
    for before in [20, 10] {
        t.ts = at - before * S;
        t.conn("pong", 7, "");
    }
    t.rows.lines.clear();
    (t, at)
}

#[test]
fn an_interval_that_ends_in_a_silence_is_covered_if_the_connection_lived() {
    let (mut t, at) = before_an_hour();
    boundary(&mut t, at);
    assert!(t.rows.of("cover").is_empty(), "nobody knows yet: {:?}", t.rows.of("cover"));
    t.ts = at + 5 * S;
    t.conn("pong", 7, "");
    assert!(t.rows.of("gap").is_empty(), "{:?}", t.rows.of("gap"));
    let covers = t.rows.of("cover");
    assert!(covers.len() == 3 && covers.iter().all(|c| c.contains(&format!("..{at} "))), "{covers:?}");
}

#[test]
fn an_interval_that_ends_in_a_silence_is_not_covered_if_the_connection_was_dead() {
    let (mut t, at) = before_an_hour();
    let heard = t.ts;
    boundary(&mut t, at);
    t.ts = at + 50 * S;
    t.conn("close", 7, "stale_timeout");
    t.subscribe(8);
    t.trade(8, 2);
    for stream in ["trade", "bookTicker"] {
        let covers = t.rows.of(&format!("cover btcusdt@{stream}"));
        assert!(covers.len() == 1 && covers[0].contains(&format!("..{heard} ")), "{covers:?}");
        let gaps = t.rows.of(&format!("gap btcusdt@{stream} stale_timeout"));
        assert!(gaps[0].contains(&format!(" {heard}..{at} ")), "{gaps:?}");
        assert!(gaps.len() == 2 && gaps[1].contains(&format!(" {at}..")), "{gaps:?}");
    }
}

#[test]
fn the_end_of_a_day_waits_for_nobody() {
    let mut t = tape();
    let at = (t.ts / (24 * HOUR) + 1) * 24 * HOUR;
    t.ts = at - 10 * S;
    t.conn("pong", 7, "");
    t.rows.lines.clear();
    boundary(&mut t, at);
    assert_eq!(t.rows.of("cover").len(), 3, "{:?}", t.rows.of("cover"));
}

/// Ten seconds of frames, a wall clock that jumps by `jump` while `real` passes, and a frame behind it.
fn stepped(jump: i64, real: i64) -> Vec<String> {
    let mut t = tape();
    t.behind = Some(t.ts - HOUR);
    for n in 2..12 {
        let at = t.ts + S;
        brings(&mut t, n, at, at);
    }
    t.behind = t.behind.map(|b| b + jump);
    let at = t.ts + jump + real;
    brings(&mut t, 12, at, at);
    t.rows.of("gap").into_iter().map(str::to_owned).collect()
}

#[test]
fn a_wall_clock_that_is_set_forward_is_no_recorder_that_stood_still() {
    let gaps = stepped(300 * S, S);
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert!(gaps[0].starts_with("gap btcusdt@bookTicker clock_step "), "{gaps:?}");
    // Both at once: what was not heard is what counts.
    let gaps = stepped(300 * S, 120 * S);
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert!(gaps[0].starts_with("gap btcusdt@bookTicker local_stall "), "{gaps:?}");
    // And a machine that sleeps is awake later by both clocks.
    let gaps = stepped(0, 300 * S);
    assert!(gaps[0].starts_with("gap btcusdt@bookTicker local_stall "), "{gaps:?}");
}

#[test]
fn a_record_without_the_steady_clock_tells_no_step_of_the_other_one() {
    let mut t = tape();
    t.behind = Some(t.ts - HOUR);
    for n in 2..12 {
        let at = t.ts + S;
        brings(&mut t, n, at, at);
    }
    t.behind = None;
    let at = t.ts + 300 * S;
    brings(&mut t, 12, at, at);
    let gaps = t.rows.of("gap");
    assert!(gaps.len() == 1 && gaps[0].starts_with("gap btcusdt@bookTicker local_stall "), "{gaps:?}");
}
