//! A connection that feeds a book and has gone deaf while the other leg speaks: 7 feeds it, 8 is the other leg.

use super::*;

const S: i64 = 1_000_000_000;
const BASE: i64 = 1_769_598_709_200_000_000;

impl Tape {
    /// Both legs bring ten changes; the ids of 8 are `add` beyond those of 7. From then on 7 says nothing.
    fn deaf(add: i64) -> Tape {
        let mut t = Tape::new();
        t.ts = BASE;
        t.opens(7);
        t.change(7, 10);
        t.whole(7, 10);
        t.opens_leg(8, 1);
        for n in 11..=20 {
            t.change(7, n);
            t.change(8, add + n);
            t.ts += S / 5;
        }
        t
    }

    /// Cause and beginning of the depth stream's open gap.
    fn open_gap(&self) -> Option<(crate::model::GapCause, i64)> {
        let s = self.fold.core.streams.iter().find(|s| s.name == DEPTH).unwrap();
        s.gap.map(|g| (g.cause, g.ts_begin))
    }

    fn ends_interval(&mut self, at: i64) {
        let payload = self.clock.boundary_payload(at);
        let r = self.clock.boundary_record(at, 0, &payload);
        self.fold.step(&r, &mut self.rows);
        self.ts = self.ts.max(at);
    }

    /// The other leg brings changes until the book is not proven any more; `n` is the next one.
    fn until_deaf(&mut self, add: i64, n: &mut i64, step: i64) {
        for _ in 0..100 {
            if !self.is_proven() {
                return;
            }
            self.ts += step;
            self.change(8, add + *n);
            *n += 1;
        }
        assert!(!self.is_proven(), "nobody noticed");
    }

    fn agrees(&self) -> bool {
        let b = self.fold.core.insts[0].book.as_ref().unwrap();
        b.next.as_ref().is_some_and(|n| n.is_of(8))
    }
}

/// What it answers is no book, as long as it brings no change.
#[test]
fn a_snapshot_of_the_deaf_one_is_not_taken() {
    for spoke in [false, true] {
        let mut t = Tape::deaf(5000);
        let mut n = 21;
        t.until_deaf(5000, &mut n, S / 2);
        let asked = t.rows.effects.iter().rfind(|e| e.starts_with("NeedSnapshot")).unwrap();
        assert!(asked.contains("conn: 8"), "on the one that speaks: {asked}");
        if spoke {
            t.change(8, 5000 + n);
            n += 1;
        }
        t.whole(7, 20);
        assert!(!t.is_proven());
        // The other one's own is, at once: it spoke a moment ago.
        t.whole(8, 5000 + n - 1);
        assert!(t.is_proven(), "{:?}", t.rows.effects);
        t.change(8, 5000 + n);
        assert!(t.is_proven());
    }
}

/// A snapshot of the one that is gone is not proven by what the other one brings, which may count from somewhere below.
#[test]
fn a_snapshot_goes_with_its_connection() {
    let mut t = Tape::proven();
    t.opens_leg(8, 1);
    t.silent(7);
    t.whole(7, 30);
    assert!(!t.is_proven(), "its next change is to prove it");
    let asked = t.asked();
    t.event("close", 7, "venue_disconnect", false);
    assert_eq!(t.asked(), asked + 1);
    for n in 25..=32 {
        t.change(8, n);
    }
    assert!(!t.is_proven(), "{:?}", t.rows.lines);
}

#[test]
fn the_gap_begins_with_the_first_change_that_it_did_not_bring() {
    // Dense, with an answer to a comparison on the deaf one in between, which is no word of the stream.
    let mut t = Tape::deaf(5000);
    let mut n = 21;
    t.ts += S / 2;
    let first = t.ts;
    for _ in 0..18 {
        t.change(8, 5000 + n);
        n += 1;
        t.ts += S / 2;
    }
    t.book(7, "depth-snapshot", 1, 20, r#"["1","5"]"#, r#"["2","1"]"#);
    assert!(t.is_proven());
    t.until_deaf(5000, &mut n, S / 2);
    assert!(t.open_gap().unwrap().1 <= first && t.ts - first < 11 * S, "{:?}", t.open_gap());

    // With pauses at first: what came before them is missing as well.
    let mut t = Tape::deaf(5000);
    let mut n = 21;
    t.ts += 6 * S;
    t.change(8, 5000 + n);
    let first = t.ts;
    n += 1;
    t.ts += 6 * S;
    t.change(8, 5000 + n);
    n += 1;
    t.until_deaf(5000, &mut n, S);
    assert!(t.open_gap().unwrap().1 <= first, "{:?}", t.open_gap());
}

#[test]
fn three_runs_of_changes_tell_it_as_well() {
    let mut t = Tape::deaf(5000);
    let mut n = 21;
    let first = t.ts + 6 * S;
    t.until_deaf(5000, &mut n, 6 * S);
    let begin = t.open_gap().unwrap().1;
    assert!(n == 23 && (first..first + S).contains(&begin), "{n} {begin} {first}");
}

/// A market that pauses: the leg that stands by brings the last change a moment late, and is the first to speak again.
#[test]
fn nobody_is_deaf_in_a_market_that_pauses() {
    let mut t = Tape::deaf(5000);
    for n in 21..60 {
        t.ts += 20 * S;
        t.change(8, 5000 + n);
        t.ts += S / 2;
        t.change(7, n);
        t.ts += S / 2;
    }
    assert!(t.is_proven() && t.open_gap().is_none());
    // It is closed long after the last change, of which the other one's came behind it: nothing is missing since then.
    t.change(8, 5060);
    t.change(7, 60);
    t.ts += S / 10;
    t.change(8, 5061);
    t.ts += 3600 * S;
    t.event("pong", 7, "", false);
    let until = t.ts;
    t.event("close", 7, "venue_disconnect", false);
    assert!(t.open_gap().unwrap().1 >= until, "{:?}", t.open_gap());
}

#[test]
fn a_gap_goes_over_the_interval_s_end_or_the_connection_s() {
    let mut t = Tape::deaf(5000);
    let mut n = 21;
    t.ts += S / 2;
    let first = t.ts;
    for _ in 0..13 {
        t.change(8, 5000 + n);
        n += 1;
        t.ts += S / 2;
    }
    t.ends_interval(t.ts);
    t.event("pong", 7, "", false);
    t.until_deaf(5000, &mut n, S / 2);
    assert!(t.open_gap().unwrap().1 <= first, "{:?}", t.open_gap());

    let mut t = Tape::deaf(5000);
    t.ts += S / 2;
    let first = t.ts;
    for n in 21..39 {
        t.change(8, 5000 + n);
        t.ts += S / 2;
        t.event("pong", 7, "", false);
    }
    t.event("close", 7, "venue_disconnect", false);
    assert!(t.open_gap().unwrap().1 <= first, "{:?}", t.open_gap());
}

/// One count on both, proven: what the leg that stands by brings late the book has.
#[test]
fn a_leg_that_lags_long_says_nothing_of_the_other_one() {
    let mut t = Tape::new();
    t.ts = BASE;
    t.opens(7);
    t.change(7, 10);
    t.whole(7, 10);
    t.opens_leg(8, 1);
    t.change(7, 11);
    t.change(8, 11);
    t.book(8, "depth-snapshot", 1, 11, r#"["1","5"]"#, r#"["2","1"]"#);
    for s in 0..80 {
        t.ts += S;
        if s < 40 {
            t.change(7, 12 + s);
        }
        if (12..52).contains(&s) {
            t.change(8, s);
        }
    }
    assert!(t.is_proven() && t.open_gap().is_none(), "{:?}", t.open_gap());
}

/// A leg that is known and always a little ahead: the book goes on with it without a gap.
#[test]
fn a_leg_that_is_always_ahead_takes_over_from_a_deaf_one() {
    for timers in [true, false] {
        let mut t = Tape::new();
        t.ts = BASE;
        t.opens(7);
        t.change(7, 10);
        t.whole(7, 10);
        t.opens_leg(8, 1);
        t.change(8, 11);
        t.change(8, 12);
        t.change(7, 11);
        t.book(8, "depth-snapshot", 1, 12, r#"["1","5"]"#, r#"["2","1"]"#);
        t.change(8, 13);
        t.change(8, 14);
        t.change(7, 12);
        assert!(t.agrees());
        for n in 15..100 {
            t.ts += S / 10;
            t.change(8, n);
            t.change(7, n - 2);
        }
        let waits = t.leg_waits();
        for n in 100..300 {
            t.ts += S / 10;
            t.change(8, n);
            if timers && n % 20 == 0 {
                t.leg_wait_over();
            }
        }
        assert!(t.leg_waits() > waits, "it is waited for");
        assert!(
            t.is_proven() && t.open_gap().is_none() && t.rows.of("gap depth").len() <= 1,
            "{:?}",
            t.rows.lines
        );
    }
}

/// A quiet market: a leg took over, and what it brought then the book has. Its own end long after is the beginning of the gap.
#[test]
fn what_a_leg_brought_before_it_took_over_is_not_missing() {
    let mut t = Tape::deaf(0);
    t.book(8, "depth-snapshot", 1, 20, r#"["1","5"]"#, r#"["2","1"]"#);
    assert!(t.agrees());
    t.ts += 20 * S;
    t.change(8, 21);
    t.ts += 2 * S;
    t.leg_wait_over();
    assert_eq!(t.fold.book_conn(InstrumentId(0)), 8);
    t.ts += 600 * S;
    t.event("pong", 8, "", false);
    let until = t.ts;
    t.event("close", 8, "venue_disconnect", false);
    assert!(t.open_gap().unwrap().1 >= until, "{:?}", t.open_gap());
}

/// Whatever else ends on a leg, its diffs are what the book goes on with.
#[test]
fn the_end_of_another_stream_costs_a_leg_no_proof() {
    for channels in [&["depth", "trades"][..], &["trades", "depth"][..]] {
        let mut t = Tape::new();
        t.ts = BASE;
        t.carries(7, 0, channels);
        t.change(7, 10);
        t.whole(7, 10);
        t.carries(8, 1, channels);
        t.change(7, 11);
        t.change(8, 11);
        t.book(8, "depth-snapshot", 1, 11, r#"["1","5"]"#, r#"["2","1"]"#);
        t.change(8, 12);
        t.ts += 3 * S / 2;
        t.change(8, 13);
        t.event("close", 8, "operator", false);
        t.event("close", 7, "operator", false);
        let told = t.rows.of("delta").iter().filter(|l| l.contains(" u=12 ") && !l.contains("b=[]")).count();
        assert_eq!(told, 1, "{channels:?}");
    }
    let mut t = Tape::deaf(0);
    t.book(8, "depth-snapshot", 1, 20, r#"["1","5"]"#, r#"["2","1"]"#);
    assert!(t.agrees());
    let s =
        Subscribed { venue: VENUE.into(), remove: vec![format!("trades:{SYMBOL}")], ..Subscribed::default() };
    t.push(Kind::Subscription, 8, -1, "", &to_payload(&s), 0);
    assert!(t.agrees());
}

/// What the other one brought is in `raw`: no row calls it missing.
#[test]
fn what_the_other_leg_brought_beside_a_deaf_one_is_not_called_missing() {
    let mut t = Tape::deaf(0);
    let mut n = 21;
    t.until_deaf(0, &mut n, S / 2);
    t.change(8, n);
    t.whole(8, n);
    t.change(8, n + 1);
    assert!(t.is_proven());
    let last = n - 1;
    let gaps = lost(&t);
    let named: Vec<_> = gaps.iter().filter(|g| !g.contains("(-1, -1]")).collect();
    assert!(named.len() == 1 && named[0].contains(&format!("({last}, {last}]")), "{gaps:?}");
}

#[test]
fn a_fold_that_is_restored_before_each_record_finds_the_same() {
    let play = |saves: bool| {
        let mut t = Tape::deaf(5000);
        let mut n = 21;
        for _ in 0..40 {
            t.ts += S / 2;
            if saves {
                let saved = t.fold.save().unwrap();
                t.fold = crate::fold::Fold::restore(&saved, &mut super::super::Rows::default()).unwrap();
            }
            t.change(8, 5000 + n);
            n += 1;
        }
        t.whole(8, 5000 + n - 1);
        t.change(8, 5000 + n);
        t.event("close", 8, "venue_disconnect", false);
        t.rows.lines
    };
    assert_eq!(play(false), play(true));
}
