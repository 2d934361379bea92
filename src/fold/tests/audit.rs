//! Books against snapshots: what is compared with what, and that only a false book is called false.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{REST, Tape, VENUE};
use crate::fold::Fold;
use crate::model::control::to_payload;
use crate::model::{BoundaryTimer, InstrumentId, Kind, Side, TimerEvent};

const BOOK: InstrumentId = InstrumentId(0);

impl Tape {
    fn audit(&mut self) {
        let t = TimerEvent::Audit { instrument: format!("{VENUE}:BTCUSDT") };
        self.push(Kind::Timer, 0, -1, "", &to_payload(&t), 0);
    }

    fn body(&mut self, id: i64, limit: usize, bids: &str, asks: &str) {
        let body = format!("{{\"lastUpdateId\":{id},\"bids\":[{bids}],\"asks\":[{asks}]}}");
        let url = format!("/fapi/v3/depth?symbol=BTCUSDT&limit={limit}");
        self.push(Kind::Rest, REST, 5, &url, body.as_bytes(), 200);
    }

    fn audits(&self) -> Vec<&str> {
        self.rows.of("audit")
    }
}

/// The book of `Tape::synced` at id 12, as a snapshot shows it.
const BIDS: &str = r#"["100.5","1"],["100","5"]"#;
const ASKS: &str = r#"["101","3"]"#;

#[test]
fn a_book_at_the_snapshots_id_is_compared_level_by_level() {
    let mut t = Tape::synced();
    t.audit();
    t.body(12, 1000, BIDS, ASKS);
    assert_eq!(t.audits(), ["audit 12 rseq=5 of 3 wrong 0 rank -1 equal"]);
    assert!(t.fold.book(BOOK).is_some());
    // Nobody asked for the next one.
    t.body(12, 1000, r#"["100.5","7"]"#, ASKS);
    assert_eq!(t.audits().len(), 1);
    assert!(t.fold.book(BOOK).is_some());
}

#[test]
fn a_book_that_differs_is_cleared_explained_and_begun_anew() {
    let mut t = Tape::synced();
    t.diff(7, 13, 14, 12, "", "");
    // The last that the stream said; the snapshot is no sign of its life.
    let at = t.ts;
    t.audit();
    // A size, a level that the book lacks, one that it should not have.
    t.body(14, 1000, r#"["100.5","1"],["100.25","2"],["100","6"]"#, "");
    assert_eq!(t.audits(), ["audit 14 rseq=5 of 4 wrong 3 rank 0 differs"]);
    assert!(t.fold.book(BOOK).is_none());
    assert!(t.rows.effects.last().unwrap().starts_with("NeedSnapshot"), "{:?}", t.rows.effects);
    t.diff(7, 15, 16, 14, "", "");
    t.snapshot(15);
    assert!(t.fold.book(BOOK).is_some());
    let gaps = t.rows.of("gap btcusdt@depth");
    let begins =
        format!("gap btcusdt@depth@100ms protocol_violation (14, 14] {at}..{} by audit end frame", at + 3);
    assert_eq!(gaps[1], begins);
    assert!(gaps[2].contains("resync_wait") && gaps[2].ends_with("end snapshot"), "{gaps:?}");
    let cover = t.rows.of("cover btcusdt@depth");
    assert!(cover[0].contains(&format!("..{at} ")) && cover[0].ends_with("protocol_violation"), "{cover:?}");
    assert_eq!(t.fold.counters().audits, [0, 0, 1, 0]);
}

#[test]
fn a_book_that_has_gone_on_is_taken_back_to_the_snapshot() {
    let mut t = Tape::synced();
    t.audit();
    t.diff(7, 13, 14, 12, r#"["100.5","7"]"#, "");
    t.diff(7, 15, 16, 14, r#"["100.5","0"],["100","0"]"#, r#"["101","0"],["102","1"]"#);
    t.diff(7, 17, 18, 16, r#"["100.5","2"]"#, r#"["101","9"]"#);
    t.body(14, 1000, r#"["100.5","7"],["100","5"]"#, ASKS);
    assert_eq!(t.audits(), ["audit 14 rseq=5 of 3 wrong 0 rank -1 equal"]);
    // Back to where the audit began.
    t.audit();
    t.diff(7, 19, 20, 18, r#"["100.5","4"]"#, "");
    t.body(18, 1000, r#"["100.5","2"]"#, r#"["101","9"],["102","1"]"#);
    assert_eq!(t.audits()[1], "audit 18 rseq=5 of 3 wrong 0 rank -1 equal");
    // Older than that nothing is known.
    t.audit();
    t.body(19, 1000, r#"["1","1"]"#, "");
    assert_eq!(t.audits()[2], "audit 19 rseq=5 of 0 wrong 0 rank -1 not_comparable");
    assert!(t.fold.book(BOOK).is_some());
}

#[test]
fn what_the_straddling_event_names_is_left_out_and_nothing_else() {
    // (snapshot's bids, what is said): the event 13..15 sets 100.5 to 7 and takes 100 away.
    let cases = [
        (r#"["100.5","7"]"#, "of 1 wrong 0 rank -1 equal"),
        (BIDS, "of 1 wrong 0 rank -1 equal_but_straddle"),
        (r#"["100.5","7"],["99","1"]"#, "of 2 wrong 1 rank 1 differs"),
    ];
    for is_early in [false, true] {
        for (bids, said) in cases {
            for id in [13, 14] {
                let mut t = Tape::synced();
                t.audit();
                if is_early && bids == BIDS {
                    // Equal at once: see below.
                    continue;
                }
                if is_early {
                    t.body(id, 1000, bids, ASKS);
                    assert_eq!(t.audits().len(), 0, "the event is on its way");
                }
                t.diff(7, 13, 15, 12, r#"["100.5","7"],["100","0"]"#, "");
                if !is_early {
                    t.body(id, 1000, bids, ASKS);
                }
                assert_eq!(t.audits(), [format!("audit {id} rseq=5 {said}")]);
                assert_eq!(t.fold.book(BOOK).is_none(), said.ends_with("differs"));
            }
        }
    }
    // Ids that all symbols share: it lies before the event's first one.
    let mut t = Tape::synced();
    t.audit();
    t.body(20, 1000, r#"["100.5","1"],["100","5"],["99","2"]"#, ASKS);
    t.diff(7, 30, 31, 12, r#"["99","3"]"#, "");
    assert_eq!(t.audits(), ["audit 20 rseq=5 of 3 wrong 0 rank -1 equal_but_straddle"]);
}

#[test]
fn a_newer_snapshot_that_shows_the_same_is_equal_at_once() {
    let mut t = Tape::synced();
    t.audit();
    t.body(90, 1000, BIDS, ASKS);
    assert_eq!(t.audits(), ["audit 90 rseq=5 of 3 wrong 0 rank -1 equal"]);
}

#[test]
fn levels_that_one_of_the_two_does_not_know_are_left_out() {
    let mut t = Tape::synced();
    t.diff(7, 13, 14, 12, r#"["90","1"],["80","1"]"#, r#"["110","1"]"#);
    t.audit();
    // Two bids of two asked for: below the second one nothing is known. One ask of two: that is all of them.
    t.body(14, 2, BIDS, ASKS);
    assert_eq!(t.audits(), ["audit 14 rseq=5 of 4 wrong 1 rank 1 differs"]);
    let mut t = Tape::synced();
    t.diff(7, 13, 14, 12, r#"["90","1"],["80","1"]"#, r#"["110","1"]"#);
    t.audit();
    t.body(14, 2, BIDS, r#"["101","3"],["110","1"]"#);
    assert_eq!(t.audits(), ["audit 14 rseq=5 of 4 wrong 0 rank -1 equal"]);
    // The book's own horizon: it was seeded with one level a side.
    let mut t = Tape::new();
    t.subscribe(7);
    t.diff(7, 11, 12, 10, "", "");
    t.body(11, 1, r#"["100.5","1"]"#, ASKS);
    t.audit();
    t.body(12, 1000, BIDS, r#"["101","3"],["105","3"]"#);
    assert_eq!(t.audits(), ["audit 12 rseq=5 of 2 wrong 0 rank -1 equal"]);
}

#[test]
fn an_audit_that_is_interrupted_says_so_if_its_snapshot_was_there() {
    let waits = |t: &mut Tape| {
        t.audit();
        t.body(14, 1000, r#"["1","1"]"#, "");
        assert_eq!(t.audits().len(), 0);
    };
    let none = ["audit 14 rseq=5 of 0 wrong 0 rank -1 not_comparable"];
    let mut t = Tape::synced();
    waits(&mut t);
    t.diff(7, 20, 21, 19, "", "");
    assert_eq!(t.audits(), none, "the book is lost");
    let mut t = Tape::synced();
    waits(&mut t);
    t.audit();
    assert_eq!(t.audits(), none, "the next one begins");
    let mut t = Tape::synced();
    waits(&mut t);
    let b = BoundaryTimer { at: 3_600_000_000_000, interval_ns: 3_600_000_000_000 };
    t.push(Kind::Timer, 0, -1, "", &to_payload(&TimerEvent::Boundary(b)), 0);
    assert_eq!(t.audits(), none, "the interval ends");
    // A checkpoint holds none of it, and both go on alike.
    let mut u = Tape::synced();
    u.fold = Fold::restore(&t.fold.save().unwrap(), &mut u.rows).unwrap();
    (u.ts, u.rseq, u.clock) = (t.ts, t.rseq, t.clock);
    for t in [&mut t, &mut u] {
        t.rows.lines.clear();
        t.diff(7, 13, 14, 12, "", "");
        t.body(14, 1000, r#"["1","1"]"#, "");
        t.audit();
        t.body(14, 1000, BIDS, ASKS);
    }
    assert_eq!(t.rows.lines, u.rows.lines);
    assert_eq!(t.audits().len(), 1);
    // Without a snapshot there is nothing to say, and a request that failed ends it.
    let mut t = Tape::synced();
    t.audit();
    t.push(Kind::Rest, REST, 5, "/fapi/v3/depth?symbol=BTCUSDT&limit=1000", b"", 503);
    t.body(12, 1000, r#"["1","1"]"#, "");
    t.audit();
    t.audit();
    assert_eq!(t.audits().len(), 0);
    assert!(t.fold.book(BOOK).is_some());
}

#[test]
fn wider_decimals_change_nothing() {
    let mut t = Tape::synced();
    t.audit();
    t.diff(7, 13, 14, 12, r#"["100.5","7"]"#, "");
    t.diff(7, 15, 16, 14, r#"["100.125","0.125"],["100.5","3"]"#, "");
    t.body(14, 1000, r#"["100.5","7"],["100","5"]"#, ASKS);
    t.audit();
    t.body(18, 1000, r#"["100.5","7"]"#, ASKS);
    t.diff(7, 17, 18, 16, r#"["100.0625","1"]"#, "");
    assert_eq!(
        t.audits(),
        ["audit 14 rseq=5 of 3 wrong 0 rank -1 equal", "audit 18 rseq=5 of 5 wrong 4 rank 0 differs"]
    );
}

/// Levels of one side by price in ticks, and their sizes.
type Half = BTreeMap<i64, i64>;
type Halves = [Half; 2];

fn set(halves: &mut Halves, (side, price, size): (usize, i64, i64)) {
    match size {
        0 => halves[side].remove(&price),
        _ => halves[side].insert(price, size),
    };
}

/// The best levels of a side.
fn best(half: &Half, side: usize, n: usize) -> Vec<(i64, i64)> {
    let all = half.iter().map(|(p, s)| (*p, *s));
    if side == 0 { all.rev().take(n).collect() } else { all.take(n).collect() }
}

fn text(levels: &[(i64, i64)]) -> String {
    let one = |(p, s): &(i64, i64)| format!("[\"{}.{}\",\"{s}\"]", p / 10, p % 10);
    levels.iter().map(one).collect::<Vec<_>>().join(",")
}

/// Of an event its last id, the levels that it named, and the client's book after it.
type Told = (i64, Vec<(usize, i64)>, Halves);

/// A venue with one symbol, and what a client that believes it has: the slow and plain way.
struct Model {
    rng: fastrand::Rng,
    t: Tape,
    id: i64,
    truth: Halves,
    /// Changes since the last event.
    pending: Vec<(i64, (usize, i64, i64))>,
    told: i64,
    client: Halves,
    history: Vec<Told>,
    /// Up to where the client's sides are known.
    horizon: [i64; 2],
    lies: u32,
}

impl Model {
    fn new(seed: u64) -> Model {
        let mut m = Model {
            rng: fastrand::Rng::with_seed(seed),
            t: Tape::new(),
            id: 1_000,
            truth: Halves::default(),
            pending: Vec::new(),
            told: 1_000,
            client: Halves::default(),
            history: Vec::new(),
            horizon: [i64::MIN, i64::MAX],
            lies: 0,
        };
        for _ in 0..m.rng.usize(2..30) {
            m.change();
        }
        m.t.subscribe(7);
        m.pending.clear();
        m.told = m.id;
        let limit = m.rng.usize(1..20);
        let sides = [0, 1].map(|s| best(&m.truth[s], s, limit));
        m.t.body(m.id, limit, &text(&sides[0]), &text(&sides[1]));
        for (s, levels) in sides.iter().enumerate() {
            if levels.len() == limit {
                m.horizon[s] = levels[limit - 1].0;
            }
            m.client[s].extend(levels.iter().copied());
        }
        m.change();
        m.event(false);
        assert!(m.t.fold.book(BOOK).is_some());
        m
    }

    /// Bids below 1000, asks above.
    fn change(&mut self) {
        self.id += self.rng.i64(3..6);
        let side = self.rng.usize(0..2);
        let away = self.rng.i64(1..25);
        let price = if side == 0 { 1_000 - away } else { 1_000 + away };
        let c = (side, price, self.rng.i64(0..4));
        set(&mut self.truth, c);
        self.pending.push((self.id, c));
    }

    /// Tells the client what has changed; a lie leaves a level out.
    fn event(&mut self, lie: bool) {
        let Some(first) = self.pending.first().map(|p| p.0) else { return };
        let mut named: BTreeMap<(usize, i64), i64> = BTreeMap::new();
        for (_, (side, price, _)) in self.pending.drain(..) {
            let size = self.truth[side].get(&price).copied().unwrap_or(0);
            named.insert((side, price), size);
        }
        if lie {
            let n = self.rng.usize(0..named.len());
            let key = *named.keys().nth(n).unwrap();
            named.remove(&key);
            self.lies += 1;
        }
        let side = |s: usize| {
            let of = named.iter().filter(|((side, _), _)| *side == s).map(|((_, p), size)| (*p, *size));
            text(&of.collect::<Vec<_>>())
        };
        self.t.diff(7, first, self.id, self.told, &side(0), &side(1));
        self.told = self.id;
        for ((side, price), size) in &named {
            set(&mut self.client, (*side, *price, *size));
        }
        self.history.push((self.id, named.into_keys().collect(), self.client.clone()));
    }

    fn events(&mut self, n: usize, lies: bool) {
        for _ in 0..n {
            for _ in 0..self.rng.usize(1..5) {
                self.change();
            }
            let lie = lies && self.rng.u8(0..3) == 0;
            self.event(lie);
        }
    }

    /// What must be found: levels that are wrong.
    fn due(&self, began: usize, id: i64, shown: &[Vec<(i64, i64)>; 2], limit: usize) -> i64 {
        let after = self.history[began..].iter().position(|h| h.0 >= id).map(|n| n + began);
        let (last, named, client) = &self.history[after.unwrap()];
        let mut wrong = 0;
        for side in 0..2 {
            let theirs: Half = shown[side].iter().copied().collect();
            let end = (shown[side].len() == limit).then(|| shown[side][limit - 1].0);
            let known = |p: i64| match side {
                0 => p >= self.horizon[0] && end.is_none_or(|e| p >= e),
                _ => p <= self.horizon[1] && end.is_none_or(|e| p <= e),
            };
            for p in (900..1_100).filter(|p| known(*p)) {
                let is_unsure = *last != id && named.contains(&(side, p));
                wrong += i64::from(!is_unsure && client[side].get(&p) != theirs.get(&p));
            }
        }
        wrong
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Whatever is sent and whenever the snapshot is taken and comes: a level that is wrong is found, one that is not never.
    #[test]
    fn a_false_book_is_found_and_a_true_one_never_accused(seed in any::<u64>(), lies in any::<bool>()) {
        let mut m = Model::new(seed);
        for _ in 0..6 {
            let n = m.rng.usize(0..4);
            m.events(n, lies);
            m.t.audit();
            let began = m.history.len() - 1;
            let n = m.rng.usize(0..3);
            m.events(n, lies);
            // Perhaps in the midst of what the next event tells; ids are shared, so a snapshot's may lie between two changes.
            for _ in 0..m.rng.usize(0..3) {
                m.change();
            }
            let (id, limit) = (m.id, m.rng.usize(1..30));
            let shown = [0, 1].map(|s| best(&m.truth[s], s, limit));
            let snap_id = id + m.rng.i64(0..3);
            let late = m.rng.usize(0..3);
            m.events(late, lies);
            let before = m.t.audits().len();
            m.t.body(snap_id, limit, &text(&shown[0]), &text(&shown[1]));
            let early = m.t.audits().len() > before;
            if !early {
                m.change();
                m.event(false);
            }
            prop_assert_eq!(m.t.audits().len(), before + 1);
            let said = m.t.audits()[before].to_owned();
            let reached = m.history[began..].iter().any(|h| h.0 >= snap_id);
            if early && !reached {
                // Equal at once.
                prop_assert!(said.ends_with(" equal"), "{}", said);
                continue;
            }
            let due = m.due(began, snap_id, &shown, limit);
            prop_assert!(said.contains(&format!(" wrong {due} ")), "{}: {} are due", said, due);
            prop_assert_eq!(said.ends_with(" differs"), due > 0, "{}", said);
            prop_assert!(m.lies > 0 || due == 0, "a true book is accused: {}", said);
            if due > 0 {
                prop_assert!(m.t.fold.book(BOOK).is_none());
                return Ok(());
            }
            let book = m.t.fold.book(BOOK).unwrap();
            for (side, word) in [(0, Side::Bid), (1, Side::Ask)] {
                let (p, _) = m.t.fold.core.exps(BOOK);
                let scale = 10i64.pow(u32::from(p));
                let ours: Half = book.levels(word).map(|l| (l.price * 10 / scale, l.size)).collect();
                prop_assert_eq!(&ours, &m.client[side], "an audit changes no book");
            }
        }
    }
}
