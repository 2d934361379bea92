//! The truth audit's clock: each proven book is held against a snapshot once in
//! [`crate::config::VenueConfig::audit_every_ns`], spread over that time.
//!
//! Requests wait behind every other one and go only while all others leave most of the budget ([`Priority::Truth`]), a few
//! at a time for each venue; where that does not bear the pace, the book that was looked at longest ago goes first. The lane hears of an audit before
//! its snapshot is asked for, so that it can tell what the book was at the snapshot's id. What came of it is the fold's to
//! say: a book that differs is not proven any more, and asks for a snapshot like any other.

use std::collections::BTreeMap;

use super::{Control, S};
use crate::engine::messages::{Audited, ToLane};
use crate::metrics::BookState;
use crate::model::{AuditVerdict, ConnId, LaneId, SnapshotSource, StreamKind, StreamSpec, TimerEvent};
use crate::wire::Priority;

/// Audits of one venue that wait at the same time.
const MOST: usize = 4;
/// An answer that did not come by then does not come.
const ANSWER_NS: i64 = 60 * S;
/// How often the books are looked at; ten times as often where they are audited more often than every half minute.
const LOOK_NS: i64 = S;
/// Audits in vain, one after the other, that make the next one wait longer: each time twice as long.
const VAIN_MAX: u32 = 4;

type Key = (usize, String);

/// When a book's turn is.
#[derive(Clone, Copy, Debug)]
struct Due {
    /// Monotonic ns.
    at: i64,
    /// Audits in a row that could not say anything.
    vain: u32,
    /// Audits so far.
    count: usize,
}

/// An audit that waits.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    /// Its lane has heard of it at this time; `None`: it waits for the budget.
    begun: Option<i64>,
}

/// All audits.
#[derive(Debug, Default)]
pub(super) struct Audits {
    due: BTreeMap<Key, Due>,
    waiting: BTreeMap<Key, Waiting>,
    look_at: i64,
}

impl Audits {
    /// The books of a venue whose turn is now, the longest due first; `proven` are those that can be audited.
    fn turns(&mut self, v: usize, proven: Vec<String>, every: i64, now: i64) -> Vec<String> {
        let given_up = |w: &Waiting| w.begun.is_some_and(|at| now - at >= ANSWER_NS);
        self.waiting.retain(|(of, _), w| *of != v || !given_up(w));
        let room = MOST.saturating_sub(self.waiting.keys().filter(|(of, _)| *of == v).count());
        let n = proven.len() as i64;
        let mut turns = Vec::new();
        for (i, symbol) in proven.into_iter().enumerate() {
            let first = now + every / n * (i as i64 + 1);
            let due = self.due.entry((v, symbol.clone())).or_insert(Due { at: first, vain: 0, count: 0 });
            if due.at <= now && !self.waiting.contains_key(&(v, symbol.clone())) {
                turns.push((due.at, symbol));
            }
        }
        turns.sort();
        turns.truncate(room);
        for (_, symbol) in &turns {
            let key = (v, symbol.clone());
            if let Some(due) = self.due.get_mut(&key) {
                due.at = now.saturating_add(every << due.vain);
                due.count += 1;
            }
            self.waiting.insert(key, Waiting { begun: None });
        }
        turns.into_iter().map(|(_, symbol)| symbol).collect()
    }

    /// The snapshot is here, or will not come. Says whether one was waited for.
    pub fn ends(&mut self, v: usize, symbol: &str) -> bool {
        self.waiting.remove(&(v, symbol.to_owned())).is_some_and(|w| w.begun.is_some())
    }

    /// What is not captured any more is not audited either.
    pub fn forget(&mut self, v: usize) {
        self.due.retain(|(of, _), _| *of != v);
        self.waiting.retain(|(of, _), _| *of != v);
    }
}

impl Control {
    pub(super) fn audits_due(&mut self, now: i64) {
        if now < self.audits.look_at {
            return;
        }
        let every = |v: &super::VenueState| v.plan.config.audit_every_ns;
        let often = self.venues.iter().map(every).any(|e| e != 0 && e < 30 * S);
        self.audits.look_at = now + if often { LOOK_NS / 10 } else { LOOK_NS };
        for v in 0..self.venues.len() {
            let every = self.venues[v].plan.config.audit_every_ns;
            if every == 0 {
                continue;
            }
            let of_venue =
                self.books.iter().filter(|((of, _), b)| *of == v && b.state() == BookState::Synced);
            let proven = of_venue.map(|((_, symbol), _)| symbol.clone()).collect();
            for symbol in self.audits.turns(v, proven, every, now) {
                let weight = self.venues[v].plan.venue.snapshot_request(&symbol).weight;
                let group = self.venues[v].group;
                self.groups[group].queue.push(Priority::Truth, weight, (v, symbol));
            }
        }
    }

    /// The budget lets a book's snapshot be asked for: if an audit waits for it, the lane hears of it first. Says whether
    /// one begins.
    pub(super) fn audit_begins(&mut self, v: usize, symbol: &str, now: i64) -> bool {
        let key = (v, symbol.to_owned());
        let Some(w) = self.audits.waiting.get_mut(&key).filter(|w| w.begun.is_none()) else { return false };
        let is_proven = self.books.get(&key).is_some_and(|b| b.state() == BookState::Synced);
        let lane = self.venues[v].lanes.get(symbol).copied();
        let Some(lane) = lane.filter(|_| is_proven) else {
            self.audits.waiting.remove(&key);
            return false;
        };
        w.begun = Some(now);
        let instrument = format!("{}:{symbol}", self.venues[v].plan.config.id);
        self.order(lane, ToLane::Timer(TimerEvent::Audit { instrument }));
        if self.venues[v].plan.venue.spec().snapshot == SnapshotSource::InBand {
            self.audit_in_band(v, symbol);
        }
        true
    }

    /// Asks on a connection that carries the book's stream; of two legs on either in turn, for only one of them feeds it.
    fn audit_in_band(&mut self, v: usize, symbol: &str) {
        let feeds: Vec<(LaneId, ConnId, StreamSpec)> = self.feeds(v, symbol);
        let count = self.audits.due.get(&(v, symbol.to_owned())).map_or(0, |d| d.count);
        let Some((lane, conn, stream)) = feeds.get(count.checked_rem(feeds.len()).unwrap_or(0)) else {
            return;
        };
        if let Some(text) = self.venues[v].plan.venue.snapshot_message(stream) {
            self.order(*lane, ToLane::Send { conn: *conn, text });
            self.firsts.asks(v, &stream.name);
        }
    }

    /// The open connections that carry a symbol's stream of diffs.
    pub(super) fn feeds(&self, v: usize, symbol: &str) -> Vec<(LaneId, ConnId, StreamSpec)> {
        let feeds = |s: &&StreamSpec| s.kind == StreamKind::DepthDiff && s.symbol.as_deref() == Some(symbol);
        let slots = self.venues[v].slots.iter();
        slots
            .filter_map(|s| Some((s.slot.lane, s.current?, s.slot.conn.streams.iter().find(feeds)?.clone())))
            .collect()
    }

    /// What came of one.
    pub(super) fn audited(&mut self, v: usize, a: &Audited) {
        self.audits.ends(v, &a.symbol);
        self.venues[v].metrics.audits[a.verdict as usize].add(1);
        if let Some(due) = self.audits.due.get_mut(&(v, a.symbol.clone())) {
            let in_vain = a.verdict == AuditVerdict::NotComparable;
            due.vain = if in_vain { (due.vain + 1).min(VAIN_MAX) } else { 0 };
        }
        if a.verdict == AuditVerdict::Differs {
            tracing::error!(
                venue = a.venue,
                symbol = a.symbol,
                snapshot = a.seq,
                levels = a.compared,
                wrong = a.wrong,
                "the book is not what the venue has although no id is missing: it is begun anew"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbols(n: usize) -> Vec<String> {
        (0..n).map(|i| format!("S{i:03}")).collect()
    }

    /// Lets time pass; each audit is answered after `answer` ns.
    fn run(n: usize, every: i64, answer: i64, until: i64) -> BTreeMap<String, Vec<i64>> {
        let mut a = Audits::default();
        let (mut at, mut done) = (BTreeMap::<String, Vec<i64>>::new(), Vec::new());
        let mut now = 0;
        while now < until {
            for s in a.turns(0, symbols(n), every, now) {
                a.waiting.insert((0, s.clone()), Waiting { begun: Some(now) });
                at.entry(s.clone()).or_default().push(now);
                done.push((now + answer, s));
            }
            for (_, s) in done.extract_if(.., |d| d.0 <= now) {
                assert!(a.ends(0, &s) || answer >= ANSWER_NS);
            }
            now += S;
        }
        at
    }

    #[test]
    fn each_book_has_its_turn_once_in_the_time_and_they_are_spread_over_it() {
        let at = run(60, 600 * S, S, 3_000 * S);
        assert_eq!(at.len(), 60);
        let mut first: Vec<i64> = at.values().map(|t| t[0] / S).collect();
        first.sort_unstable();
        assert_eq!(first, (1..=60).map(|i| i * 10).collect::<Vec<_>>());
        for t in at.values() {
            assert!(t.windows(2).all(|w| w[1] - w[0] == 600 * S), "{t:?}");
        }
    }

    #[test]
    fn where_the_pace_cannot_be_kept_nobody_is_left_out() {
        // Four at a time, ten seconds each: 200 books take 500 s.
        let at = run(200, 60 * S, 10 * S, 5_000 * S);
        assert_eq!(at.len(), 200);
        let times = at.values().map(Vec::len);
        let (least, most) = (times.clone().min().unwrap(), times.max().unwrap());
        assert!(least >= 8 && most - least <= 2, "{least} to {most}");
    }

    #[test]
    fn a_snapshot_that_never_comes_is_not_waited_for_for_ever() {
        let at = run(1, 10 * S, i64::MAX / 2, 300 * S);
        assert!(at["S000"].len() >= 4, "{at:?}");
    }

    #[test]
    fn a_venue_whose_snapshots_say_nothing_is_asked_less_often() {
        let mut a = Audits::default();
        let mut times = Vec::new();
        for now in 0..1_000 {
            for s in a.turns(0, symbols(1), 10 * S, now * S) {
                times.push(now);
                a.ends(0, &s);
                let due = a.due.get_mut(&(0, s)).unwrap();
                due.vain = (due.vain + 1).min(VAIN_MAX);
            }
        }
        assert_eq!(times[..5], [10, 20, 40, 80, 160]);
        assert!(times.windows(2).all(|w| w[1] - w[0] <= 10 << VAIN_MAX), "{times:?}");
    }
}
