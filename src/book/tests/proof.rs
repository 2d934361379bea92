//! The sequencer against a venue that loses, repeats and delays: a book that is said to be proven must be right.

use proptest::prelude::*;

use super::support::{Diff, Driver};
use crate::book::reference::ReferenceBook;
use crate::book::sequencer::{FELL_MAX, FOREIGN_STALE_MAX};
use crate::book::{DiffIds, SeqState, Sequencer, Verdict};
use crate::model::{Chain, IdPolicy, Level, SequenceRule, Side};

struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// What the venue did: single changes with their ids, grouped into diffs.
struct Venue {
    changes: Vec<(i64, Side, Level)>,
    diffs: Vec<Diff>,
}

impl Venue {
    fn new(rng: &mut Rng, rule: SequenceRule, with_prev: bool) -> Venue {
        let dense = rule.chain == Chain::Next || !with_prev;
        let (mut id, mut prev) = (1_000i64, 1_000i64);
        let mut v = Venue { changes: Vec::new(), diffs: Vec::new() };
        for _ in 0..60 {
            let start = v.changes.len();
            for _ in 0..1 + rng.below(6) {
                id += 1 + if dense { 0 } else { rng.below(4) as i64 };
                let side = if rng.one_in(2) { Side::Bid } else { Side::Ask };
                let price = if side == Side::Bid { 100 } else { 120 } + rng.below(20) as i64;
                v.changes.push((id, side, Level { price, size: rng.below(4) as i64 }));
            }
            let group = &v.changes[start..];
            let last_of = |want: Side| {
                let mut levels: Vec<Level> = Vec::new();
                for (_, side, l) in group.iter().rev() {
                    if *side == want && levels.iter().all(|k| k.price != l.price) {
                        levels.push(*l);
                    }
                }
                levels
            };
            let first = if dense { prev + 1 } else { group[0].0 };
            let ids = DiffIds { conn: 0, first, last: id, prev: if with_prev { prev } else { -1 }, ts: 0 };
            v.diffs.push(Diff { ids, bids: last_of(Side::Bid), asks: last_of(Side::Ask) });
            prev = id;
        }
        v
    }

    /// The true book after all changes up to an id.
    fn truth(&self, id: i64) -> ReferenceBook {
        let mut book = ReferenceBook::new();
        for (_, side, l) in self.changes.iter().take_while(|(i, ..)| *i <= id) {
            book.set(*side, l.price, l.size);
        }
        book
    }
}

#[track_caller]
fn check(d: &Driver, venue: &Venue, last: i64) {
    let truth = venue.truth(last);
    for side in [Side::Bid, Side::Ask] {
        assert!(d.book.levels(side).eq(truth.levels(side)), "wrong book at {last}");
    }
}

/// One run; returns how many proven books were compared.
fn run(seed: u64, rule: SequenceRule, with_prev: bool, legs: usize) -> usize {
    let mut rng = Rng(seed);
    let venue = Venue::new(&mut rng, rule, with_prev);
    let mut d = Driver::new(rule);
    let mut at = vec![0usize; legs];
    let mut proven = 0;
    while at.iter().any(|&i| i < venue.diffs.len()) {
        let leg = rng.below(legs as u64) as usize;
        let Some(diff) = venue.diffs.get(at[leg]) else { continue };
        let repeat = rng.one_in(20);
        at[leg] += usize::from(!repeat);
        if rng.one_in(15) {
            continue; // lost
        }
        let other_leg_alive = legs > 1 && !rng.one_in(5);
        let ids = DiffIds { conn: leg as i64 + 1, ..diff.ids };
        let sent = Diff { ids, bids: diff.bids.clone(), asks: diff.asks.clone() };
        d.diff(&sent, other_leg_alive);
        if !d.seq.is_live() && rng.one_in(3) {
            // A snapshot from any moment around now, in a hole of the ids too.
            let id = (diff.ids.last + rng.below(30) as i64 - 20).max(1_000);
            let book = venue.truth(id);
            d.snapshot(id, &book.levels(Side::Bid), &book.levels(Side::Ask));
        }
        if let SeqState::Live { last } = d.seq.state() {
            check(&d, &venue, last);
            proven += 1;
        }
    }
    proven
}

#[test]
fn a_proven_book_is_never_wrong() {
    for (rule, with_prev) in [
        (SequenceRule::FUTURES, true),
        (SequenceRule::POINTED_OR_DENSE, true),
        (SequenceRule::POINTED_OR_DENSE, false),
        (SequenceRule::DENSE, false),
        (SequenceRule::PER_FRAME, false),
    ] {
        for legs in [1, 2] {
            let proven: usize = (0..400).map(|seed| run(seed, rule, with_prev, legs)).sum();
            assert!(proven > 4_000, "{rule:?} {legs} legs: only {proven} proven books");
        }
    }
}

fn ids(conn: i64, first: i64, last: i64, prev: i64) -> DiffIds {
    DiffIds { conn, first, last, prev, ts: 0 }
}

fn live(rule: SequenceRule) -> Sequencer {
    let mut s = Sequencer::new(rule);
    s.on_snapshot(100);
    assert_eq!(s.on_diff(&ids(1, 95, 110, 90), false), Verdict::Apply { overlap: false });
    s
}

#[test]
fn another_connection_goes_on_by_proof_only() {
    let mut s = live(SequenceRule::FUTURES);
    assert_eq!(s.on_diff(&ids(2, 95, 110, 90), true), Verdict::Ignored);
    assert_eq!(s.on_diff(&ids(2, 130, 140, 125), true), Verdict::Wait);
    assert_eq!(s.state(), SeqState::Live { last: 110 });
    assert_eq!(s.on_diff(&ids(2, 105, 125, 104), true), Verdict::Apply { overlap: true });
    assert_eq!(s.conn(), 2);
    assert_eq!(s.on_diff(&ids(1, 115, 125, 110), true), Verdict::Ignored);
    assert_eq!(s.on_diff(&ids(2, 130, 140, 125), true), Verdict::Apply { overlap: false });
    assert_eq!(s.on_diff(&ids(1, 160, 170, 150), false), Verdict::Gap { before: 140, after: 150 });
    assert_eq!(s.state(), SeqState::Buffering);
    assert_eq!(s.last(), 140);
}

#[test]
fn spot_goes_on_across_connections_too() {
    let mut s = live(SequenceRule::DENSE);
    assert_eq!(s.on_diff(&ids(2, 112, 113, -1), true), Verdict::Wait);
    assert_eq!(s.on_diff(&ids(2, 112, 113, -1), false), Verdict::Gap { before: 110, after: 111 });
    let mut s = live(SequenceRule::DENSE);
    assert_eq!(s.on_diff(&ids(2, 111, 113, -1), false), Verdict::Apply { overlap: false });
}

#[test]
fn where_ids_do_not_survive_a_reconnect_the_chain_ends() {
    let rule = SequenceRule { ids_survive_reconnect: false, ..SequenceRule::DENSE };
    let mut s = live(rule);
    assert_eq!(s.on_diff(&ids(2, 111, 112, -1), true), Verdict::Ignored);
    assert_eq!(s.on_diff(&ids(2, 111, 112, -1), false), Verdict::Gap { before: 110, after: -1 });
}

#[test]
fn a_hole_on_one_leg_waits_for_the_other() {
    let mut s = live(SequenceRule::FUTURES);
    assert_eq!(s.on_diff(&ids(1, 130, 140, 125), true), Verdict::Wait);
    // One that fell behind its own connection came late; many of them are a new count.
    for _ in 0..FELL_MAX {
        assert_eq!(s.on_diff(&ids(1, 20, 25, 15), true), Verdict::Ignored);
    }
    assert_eq!(s.on_diff(&ids(1, 20, 25, 15), true), Verdict::Gap { before: 110, after: -1 });
}

#[test]
fn ids_that_fell_on_both_legs_are_a_new_count_and_a_leg_that_lags_is_none() {
    let at = |conn, last, ts| DiffIds { conn, first: last, last, prev: last - 1, ts };
    let mut s = live(SequenceRule::FUTURES);
    assert_eq!(s.on_diff(&at(1, 111, 50), true), Verdict::Apply { overlap: false });
    for _ in 0..1000 {
        assert_eq!(s.on_diff(&at(2, 100, 40), true), Verdict::Ignored);
    }
    for n in 0..i64::from(FELL_MAX) {
        assert_eq!(s.on_diff(&at(2, n, 60 + n), true), Verdict::Ignored);
    }
    assert_eq!(s.on_diff(&at(2, 90, 90), true), Verdict::Gap { before: 111, after: -1 });
}

#[test]
fn where_ids_do_not_survive_a_reconnect_no_other_leg_fills_a_hole() {
    let rule = SequenceRule { ids_survive_reconnect: false, ..SequenceRule::FUTURES };
    let mut s = live(rule);
    assert_eq!(s.on_diff(&ids(1, 130, 140, 125), true), Verdict::Gap { before: 110, after: 125 });
}

#[test]
fn a_missing_pu_is_a_gap_when_live_and_the_documented_rule_before() {
    let mut s = Sequencer::new(SequenceRule::FUTURES);
    for prev in [-1, 0] {
        s.on_snapshot(100);
        assert_eq!(s.on_diff(&ids(1, 101, 105, prev), false), Verdict::TooOld);
        assert_eq!(s.state(), SeqState::Buffering);
        s.on_snapshot(100);
        assert_eq!(s.on_diff(&ids(1, 100, 105, prev), false), Verdict::Apply { overlap: false });
        assert_eq!(s.on_diff(&ids(1, 106, 107, prev), false), Verdict::Gap { before: 105, after: -1 });
    }
}

#[test]
fn an_id_reset_is_found_and_a_lagging_leg_is_none() {
    let mut s = live(SequenceRule::DENSE);
    for n in 0..10 {
        assert_eq!(s.on_diff(&ids(1, n, n, -1), false), Verdict::Ignored);
    }
    assert_eq!(s.on_diff(&ids(1, 10, 10, -1), false), Verdict::Gap { before: 110, after: -1 });
    let mut s = live(SequenceRule::DENSE);
    for n in 0..10 {
        assert_eq!(s.on_diff(&ids(1, n, n, -1), false), Verdict::Ignored);
    }
    assert_eq!(s.on_diff(&ids(1, 111, 111, -1), false), Verdict::Apply { overlap: false });
    for _ in 0..1000 {
        assert_eq!(s.on_diff(&ids(2, 50, 51, -1), true), Verdict::Ignored);
    }
    for _ in 0..FOREIGN_STALE_MAX {
        assert_eq!(s.on_diff(&ids(2, 50, 51, -1), false), Verdict::Ignored);
    }
    assert!(matches!(s.on_diff(&ids(2, 50, 51, -1), false), Verdict::Gap { .. }));
}

/// A snapshot without a time of its own says nothing of when the book is from: a diff behind it that it has already is late, and no
/// new count.
#[test]
fn a_snapshot_without_a_time_makes_no_new_count_of_a_late_diff() {
    let at = |n: i64, ms: i64| DiffIds { ts: 1_650_929_750_000_000_000 + ms * 1_000_000, ..ids(1, n, n, -1) };
    let mut s = Sequencer::new(SequenceRule::PER_FRAME);
    s.on_proving_snapshot(102, 1, 0);
    assert_eq!([101, 102].map(|n| s.on_diff(&at(n, n), false)), [Verdict::Ignored, Verdict::Duplicate]);
    assert_eq!(s.on_diff(&at(103, 103), false), Verdict::Apply { overlap: false });
    // From here on the book has a time.
    assert_eq!(s.on_diff(&at(3, 9000), false), Verdict::Gap { before: 103, after: -1 });
}

#[test]
fn crossed_for_longer_than_the_dialect_bears() {
    let mut s = live(SequenceRule::FUTURES);
    assert!(!s.on_crossed(true) && !s.on_crossed(true) && !s.on_crossed(false));
    assert!(!s.on_crossed(true) && !s.on_crossed(true) && s.on_crossed(true));
    let mut none = live(SequenceRule { crossed_max: 0, ..SequenceRule::FUTURES });
    assert!(none.on_crossed(true));
}

fn any_id() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => 0i64..40,
        1 => Just(-1),
        1 => Just(i64::MAX),
        1 => Just(i64::MIN),
        1 => any::<i64>(),
        1 => (0i64..3).prop_map(|d| i64::MAX - d),
    ]
}

fn any_rule() -> impl Strategy<Value = SequenceRule> {
    let chain = prop_oneof![Just(Chain::Prev), Just(Chain::Next), Just(Chain::PrevElseNext)];
    let policy = prop_oneof![Just(IdPolicy::Strict), Just(IdPolicy::Sparse), Just(IdPolicy::Learn)];
    (chain, any::<[bool; 3]>(), 0u32..3, 0u32..3, policy).prop_map(
        |(chain, b, stale_run_max, crossed_max, policy)| SequenceRule {
            chain,
            drop_equal: b[0],
            overlap_ok: b[1],
            stale_run_max,
            ids_survive_reconnect: b[2],
            crossed_max,
            snapshot_proves: false,
            restart_after_ns: 0,
            policy,
            replaces: false,
        },
    )
}

proptest! {
    #[test]
    fn hostile_ids_never_panic_and_states_follow_verdicts(
        rule in any_rule(),
        steps in prop::collection::vec((any_id(), any_id(), any_id(), 0i64..3, 0u8..8), 1..80),
    ) {
        let mut s = Sequencer::new(rule);
        for (first, last, prev, conn, kind) in steps {
            if kind == 0 {
                s.on_snapshot(first);
                prop_assert_eq!(s.state(), SeqState::WaitFirst { snap_id: first });
                prop_assert_eq!(s.last(), -1);
                continue;
            }
            let before = s.state();
            let verdict = s.on_diff(&ids(conn, first, last, prev), kind & 1 == 0);
            match verdict {
                Verdict::Apply { .. } => {
                    prop_assert_eq!(s.state(), SeqState::Live { last });
                    prop_assert_eq!((s.last(), s.conn()), (last, conn));
                }
                Verdict::Buffer => prop_assert_eq!(s.state(), SeqState::Buffering),
                Verdict::TooOld => {
                    prop_assert!(matches!(before, SeqState::WaitFirst { .. }), "{:?}", before);
                    prop_assert_eq!(s.state(), SeqState::Buffering);
                }
                Verdict::Gap { before: id, after } => {
                    prop_assert_eq!(before, SeqState::Live { last: id });
                    prop_assert!(after == -1 || after > id);
                    prop_assert_eq!(s.state(), SeqState::Buffering);
                }
                _ => prop_assert_eq!(s.state(), before),
            }
            let kept = postcard::to_allocvec(&s).unwrap();
            prop_assert_eq!(&postcard::from_bytes::<Sequencer>(&kept).unwrap(), &s);
        }
    }
}
