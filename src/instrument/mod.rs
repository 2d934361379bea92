//! The life of instruments: which versions a venue's lists add to those that were recorded.
//!
//! What was recorded once is followed for ever, whether it is still captured or not: a dataset must not say `TRADING` of
//! what is long gone.

use std::collections::BTreeMap;

use crate::model::{InstrumentVersion, LaneId, Listed};

/// Status of an instrument that the venue's list does not name any more. Ours: no venue says so.
pub const DELISTED: &str = "DELISTED";

/// New versions by the lane that is to record them.
pub type Versions = BTreeMap<LaneId, Vec<Listed>>;

/// The versions that were recorded last, of all symbols that ever were.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// By symbol; two lanes have the same symbol where one of them carries a stream of the whole market.
    last: BTreeMap<String, ByLane>,
}

/// What lanes have recorded of a symbol.
#[derive(Clone, Debug, Default)]
struct ByLane {
    versions: BTreeMap<LaneId, InstrumentVersion>,
    /// The lane that writes the rows of its versions: the first one.
    writer: LaneId,
}

impl ByLane {
    /// Takes note of a version; says whether another lane writes its row.
    fn note(&mut self, lane: LaneId, version: InstrumentVersion) -> bool {
        if self.versions.is_empty() {
            self.writer = lane;
        }
        self.versions.insert(lane, version);
        self.writer != lane
    }
}

impl Recorded {
    /// Takes note of a version that a lane has recorded, in this run or an earlier one.
    pub fn note(&mut self, lane: LaneId, version: InstrumentVersion) {
        self.last.entry(version.symbol.clone()).or_default().note(lane, version);
    }

    /// Whether a symbol was ever recorded.
    pub fn contains(&self, symbol: &str) -> bool {
        self.last.contains_key(symbol)
    }

    /// Whether the last list did not name a symbol that was recorded.
    pub fn is_delisted(&self, symbol: &str) -> bool {
        self.last.get(symbol).is_some_and(|l| l.versions.values().all(|v| v.status == DELISTED))
    }

    /// What a list changes of the instruments that were recorded: other facts, another status, or that they are gone.
    /// `is_unreadable` says of a symbol that the list does not name whether one of its elements that could not be read may
    /// be about it: then nothing is known.
    pub fn follow(&mut self, list: &[InstrumentVersion], is_unreadable: &dyn Fn(&str) -> bool) -> Versions {
        let listed: BTreeMap<&str, &InstrumentVersion> =
            list.iter().map(|i| (i.symbol.as_str(), i)).collect();
        let mut out = Versions::new();
        for (symbol, by_lane) in &mut self.last {
            let now = listed.get(symbol.as_str());
            if now.is_none() && is_unreadable(symbol) {
                continue;
            }
            for (lane, old) in &mut by_lane.versions {
                let new = match now {
                    Some(now) => InstrumentVersion::clone(now),
                    None => gone(old),
                };
                if !old.same_facts(&new) {
                    let elsewhere = by_lane.writer != *lane;
                    out.entry(*lane).or_default().push(Listed { version: new.clone(), elsewhere });
                    *old = new;
                }
            }
        }
        out
    }

    /// The versions of symbols that a lane has not recorded yet. `lanes` says which lanes are to know a symbol.
    pub fn meet(&mut self, list: &[InstrumentVersion], lanes: &dyn Fn(&str) -> Vec<LaneId>) -> Versions {
        let mut out = Versions::new();
        for i in list {
            for lane in lanes(&i.symbol) {
                let by_lane = self.last.entry(i.symbol.clone()).or_default();
                if !by_lane.versions.contains_key(&lane) {
                    let elsewhere = by_lane.note(lane, i.clone());
                    out.entry(lane).or_default().push(Listed { version: i.clone(), elsewhere });
                }
            }
        }
        out
    }
}

/// The version of an instrument that the list does not name any more: what was known of it, without words of the venue's.
fn gone(last: &InstrumentVersion) -> InstrumentVersion {
    InstrumentVersion {
        status: DELISTED.to_owned(),
        ts_valid_from: 0,
        raw_json: String::new(),
        ..last.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(symbol: &str, status: &str) -> InstrumentVersion {
        InstrumentVersion {
            status: status.to_owned(),
            price_exp: 2,
            raw_json: "{}".to_owned(),
            ..InstrumentVersion::observed("v", symbol)
        }
    }

    fn said(v: &Versions) -> Vec<(LaneId, &str, &str)> {
        let all = v.iter().flat_map(|(lane, list)| list.iter().map(|i| (*lane, i)));
        all.map(|(lane, i)| (lane, i.version.symbol.as_str(), i.version.status.as_str())).collect()
    }

    #[test]
    fn each_change_of_what_was_recorded_is_a_version_once() {
        let mut r = Recorded::default();
        let lanes = |s: &str| if s == "C" { Vec::new() } else { vec![1] };
        let list = ["A", "B", "C"].map(|s| version(s, "TRADING"));
        assert_eq!(said(&r.meet(&list, &lanes)), [(1, "A", "TRADING"), (1, "B", "TRADING")]);
        assert!(r.meet(&list, &lanes).is_empty() && !r.contains("C"));
        let sure = |_: &str| false;
        assert!(r.follow(&list, &sure).is_empty());
        // A stands still, B is gone; it keeps its facts. C was never recorded.
        let v = r.follow(&[version("A", "BREAK")], &sure);
        assert_eq!(said(&v), [(1, "A", "BREAK"), (1, "B", DELISTED)]);
        assert_eq!((v[&1][1].version.price_exp, v[&1][1].version.raw_json.as_str()), (2, ""));
        assert!(r.is_delisted("B") && !r.is_delisted("A") && !r.is_delisted("C"));
        assert!(r.follow(&[version("A", "BREAK")], &sure).is_empty(), "told already");
        // Both come back.
        let v = r.follow(&list, &sure);
        assert_eq!(said(&v), [(1, "A", "TRADING"), (1, "B", "TRADING")]);
        assert!(!r.is_delisted("B"));
    }

    #[test]
    fn an_element_that_cannot_be_read_says_nothing_of_its_symbol() {
        let mut r = Recorded::default();
        r.note(1, version("A", "TRADING"));
        r.note(1, version("B", "TRADING"));
        assert_eq!(said(&r.follow(&[], &|s| s == "A")), [(1, "B", DELISTED)]);
    }

    #[test]
    fn what_an_answer_about_one_symbol_does_not_name_is_not_gone() {
        let mut r = Recorded::default();
        r.meet(&["A", "B"].map(|s| version(s, "TRADING")), &|_| vec![1]);
        assert_eq!(said(&r.follow(&[version("A", "BREAK")], &|_| true)), [(1, "A", "BREAK")]);
        assert!(!r.is_delisted("B"));
    }

    #[test]
    fn a_lane_that_carries_the_whole_market_has_versions_of_its_own() {
        let mut r = Recorded::default();
        let list = [version("A", "TRADING")];
        assert_eq!(said(&r.meet(&list, &|_| vec![2])), [(2, "A", "TRADING")]);
        assert_eq!(said(&r.meet(&list, &|_| vec![1, 2])), [(1, "A", "TRADING")]);
        let v = r.follow(&[], &|_| false);
        assert_eq!(said(&v), [(1, "A", DELISTED), (2, "A", DELISTED)]);
        assert_eq!((v[&1][0].elsewhere, v[&2][0].elsewhere), (true, false), "the first one writes the row");
    }
}
