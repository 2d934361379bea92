//! What the ids of a stream do, learned from the frames alone, and whether a snapshot fits into them.

use std::collections::VecDeque;

use serde::Serialize;

use crate::model::{Chain as ChainRule, IdPolicy, SequenceRule};

/// Ids kept per stream, to hold snapshots against.
const IDS_MAX: usize = 20_000;
/// Counter-examples kept.
const EXAMPLES_MAX: usize = 3;
/// Fewer pairs prove nothing.
const PAIRS_MIN: u64 = 5;

/// First, last and previous id of a diff; −1 where it has none.
pub type Ids = (i64, i64, i64);

/// What consecutive diffs of one stream were seen to do.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Diffs {
    /// Consecutive pairs.
    pub pairs: u64,
    /// `pu` is the `u` before.
    pub prev_is_last: u64,
    /// No `pu` at all.
    pub without_prev: u64,
    /// `U` is the `u` before and one.
    pub next: u64,
    /// `U <= ` the `u` before `< u`.
    pub overlap: u64,
    /// `U` is more than one beyond the `u` before.
    pub hole: u64,
    /// `u` is at or below the `u` before.
    pub back: u64,
    /// Pairs that break the venue's rule.
    pub broken: u64,
    /// Some of those.
    pub examples: Vec<String>,
    #[serde(skip)]
    ids: VecDeque<Ids>,
}

impl Diffs {
    /// One more diff.
    pub fn push(&mut self, ids: Ids, rule: &SequenceRule) {
        if let Some(&before) = self.ids.back() {
            self.pair(before, ids, rule);
        }
        if self.ids.len() == IDS_MAX {
            self.ids.pop_front();
        }
        self.ids.push_back(ids);
    }

    fn pair(&mut self, before: Ids, now: Ids, rule: &SequenceRule) {
        let (first, last, prev) = now;
        self.pairs += 1;
        let chained = prev == before.1;
        let next = first == before.1.wrapping_add(1);
        let overlap = first <= before.1 && last > before.1;
        self.prev_is_last += u64::from(prev >= 0 && chained);
        self.without_prev += u64::from(prev < 0);
        self.next += u64::from(next);
        self.overlap += u64::from(overlap);
        self.hole += u64::from(first > before.1.wrapping_add(1));
        self.back += u64::from(last <= before.1);
        let fits = match rule.chain {
            ChainRule::Prev => prev >= 0 && chained,
            ChainRule::Next => next || overlap && rule.overlap_ok,
            ChainRule::PrevElseNext if prev >= 0 => chained,
            ChainRule::PrevElseNext => next || overlap && rule.overlap_ok,
        };
        if !fits {
            self.broken += 1;
            if self.examples.len() < EXAMPLES_MAX {
                self.examples.push(format!("after u={}: U={first} u={last} pu={prev}", before.1));
            }
        }
    }

    /// The rule in words, as far as the pairs show it.
    pub fn learned(&self) -> String {
        let all = |n: u64| n == self.pairs;
        if self.pairs < PAIRS_MIN {
            return format!("unknown: {} pairs only", self.pairs);
        }
        let share = |n: u64| format!("{:.1} %", n as f64 * 100.0 / self.pairs as f64);
        if all(self.prev_is_last) {
            let dense = if all(self.next) { "ids without holes" } else { "ids have holes" };
            return format!("pu is the u before; {dense} (U = u + 1 in {})", share(self.next));
        }
        if all(self.next) {
            return "U = the u before + 1".to_owned();
        }
        if self.hole * 10 > self.pairs * 9 {
            return format!("sparse: holes before {}, nothing chains", share(self.hole));
        }
        format!(
            "mixed: pu chains in {}, U = u + 1 in {}, overlap {}, hole {}, back {}",
            share(self.prev_is_last),
            share(self.next),
            share(self.overlap),
            share(self.hole),
            share(self.back)
        )
    }

    /// Whether the venue's rule was broken; of a rule that is still to be learned nothing can be.
    pub fn differs(&self, rule: &SequenceRule) -> bool {
        self.broken > 0 && rule.policy == IdPolicy::Strict
    }

    /// Where a snapshot of this id stands in the chain.
    pub fn place(&self, id: i64, rule: &SequenceRule) -> Place {
        let gone = |u: i64| u < id || u == id && rule.drop_equal;
        let mut dropped = None;
        for &(first, last, prev) in &self.ids {
            if gone(last) {
                dropped = Some(last);
                continue;
            }
            let by_prev = match rule.chain {
                ChainRule::Prev => true,
                ChainRule::Next => false,
                ChainRule::PrevElseNext => prev >= 0,
            };
            let fits = if by_prev { (0..=id).contains(&prev) } else { first <= id.wrapping_add(1) };
            let shown = format!("U={first} u={last} pu={prev}");
            return match (fits, dropped) {
                (true, _) if first <= id => Place::Fits(format!("inside {shown}")),
                (true, _) if dropped == Some(id) || prev == id || first == id.wrapping_add(1) => {
                    Place::Fits(format!("right before {shown}"))
                }
                (true, _) => Place::Fits(format!("in the hole before {shown}")),
                (false, None) => Place::TooOld(shown),
                (false, Some(u)) => Place::Broken(format!("after u={u} and before {shown}")),
            };
        }
        Place::NotYet
    }
}

/// Where a snapshot's id stands among the diffs of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The chain goes on from it.
    Fits(String),
    /// It is older than the first diff seen, this one.
    TooOld(String),
    /// No diff reaches it yet.
    NotYet,
    /// Diffs on both sides are here and the rule proves neither.
    Broken(String),
}

/// What consecutive ids of trades do.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Steps {
    /// Consecutive pairs.
    pub pairs: u64,
    /// The id is the one before and one.
    pub next: u64,
    /// Some of the others.
    pub examples: Vec<String>,
    #[serde(skip)]
    last: Option<i64>,
}

impl Steps {
    /// One more trade; −1 counts for nothing.
    pub fn push(&mut self, id: i64) {
        if id < 0 {
            return;
        }
        if let Some(before) = self.last.replace(id) {
            self.pairs += 1;
            if id == before.wrapping_add(1) {
                self.next += 1;
            } else if self.examples.len() < EXAMPLES_MAX {
                self.examples.push(format!("{before} then {id}"));
            }
        }
    }

    /// Pairs that leave ids out or go back.
    pub fn broken(&self) -> u64 {
        self.pairs - self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diffs(ids: &[Ids], rule: &SequenceRule) -> Diffs {
        let mut d = Diffs::default();
        ids.iter().for_each(|i| d.push(*i, rule));
        d
    }

    #[test]
    fn each_rule_is_learned_from_its_ids() {
        let futures = SequenceRule::FUTURES;
        let chained: Vec<Ids> = (0..10).map(|n| (100 * n + 50, 100 * n + 60, 100 * n - 40)).collect();
        let d = diffs(&chained, &futures);
        assert!(d.learned().starts_with("pu is the u before; ids have holes"), "{}", d.learned());
        assert!(!d.differs(&futures));
        let dense: Vec<Ids> = (0..10).map(|n| (10 * n + 1, 10 * n + 10, -1)).collect();
        let d = diffs(&dense, &SequenceRule { chain: ChainRule::Next, ..futures });
        assert_eq!(d.learned(), "U = the u before + 1");
        // The same ids at a venue whose page says `pu`.
        let d = diffs(&dense, &futures);
        assert!(d.differs(&futures) && d.broken == 9 && d.examples.len() == 3, "{d:?}");
        let sparse: Vec<Ids> = (0..60).map(|n| (1000 * n, 1000 * n + 1, -1)).collect();
        let learn = SequenceRule { chain: ChainRule::PrevElseNext, policy: IdPolicy::Learn, ..futures };
        let d = diffs(&sparse, &learn);
        assert!(d.learned().starts_with("sparse") && !d.differs(&learn), "{}", d.learned());
    }

    #[test]
    fn a_snapshot_has_its_place_among_the_diffs() {
        let rule = SequenceRule::FUTURES;
        let d = diffs(&[(20, 30, 10), (40, 50, 30), (70, 80, 60)], &rule);
        assert!(matches!(d.place(5, &rule), Place::TooOld(_)));
        assert!(matches!(d.place(15, &rule), Place::Fits(s) if s.starts_with("in the hole")));
        assert!(matches!(d.place(25, &rule), Place::Fits(s) if s.starts_with("inside")));
        assert!(matches!(d.place(35, &rule), Place::Fits(s) if s.starts_with("in the hole")));
        assert!(matches!(d.place(55, &rule), Place::Broken(s) if s.contains("after u=50")));
        assert_eq!(d.place(81, &rule), Place::NotYet);
    }

    #[test]
    fn trades_step_by_one_or_not() {
        let mut s = Steps::default();
        [5, 6, -1, 7, 9, 9].iter().for_each(|i| s.push(*i));
        assert_eq!((s.pairs, s.broken()), (4, 2));
        assert_eq!(s.examples, ["7 then 9", "9 then 9"]);
    }
}
