//! A venue's connections, once its instrument list has said which symbols there are; and what becomes of them when the
//! plan changes while they are open.

use std::collections::BTreeMap;

use rustc_hash::FxHashSet;

use super::plan::{self, Held, PlanFault};
use crate::config::{Config, VenueConfig};
use crate::model::{ConnPlan, Hosts, LaneId, StreamSpec};
use crate::venue::Venue;

/// Connections beyond what a fresh plan would open before new streams are put into one that is open: each of those is
/// replaced for it.
const SPARE_CONNS: usize = 3;

/// One connection with its lane.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// The lane that reads it.
    pub lane: LaneId,
    /// 0 or 1: the same streams come over a connection of each leg.
    pub leg: u8,
    /// Its number within the venue.
    pub number: u32,
    /// What to open.
    pub conn: ConnPlan,
}

/// The streams of a venue in one lane.
pub type LaneStreams = (LaneId, Vec<StreamSpec>);

/// What becomes of a venue's connections.
#[derive(Clone, Debug, PartialEq)]
pub struct Reconciled {
    /// What each of them carries from now on, `None` = nothing.
    pub old: Vec<Option<ConnPlan>>,
    /// Further ones.
    pub new: Vec<Slot>,
}

/// A venue as configured.
#[derive(Clone)]
pub struct Links {
    /// The venue.
    pub venue: &'static dyn Venue,
    /// Its configuration.
    pub config: VenueConfig,
    /// Hosts in force.
    pub hosts: Hosts,
    /// Age at which a connection is replaced, ns.
    pub rotate_after_ns: i64,
}

impl Links {
    /// All venues of a configuration.
    ///
    /// # Errors
    /// [`PlanFault`]: the configuration does not fit the venues.
    pub fn all(config: &Config) -> Result<Vec<Links>, PlanFault> {
        let plan = plan::plan(config)?;
        let with = |(v, c): (plan::VenuePlan, &VenueConfig)| Links {
            venue: v.venue,
            config: c.clone(),
            hosts: v.hosts,
            rotate_after_ns: v.rotate_after_ns,
        };
        Ok(plan.venues.into_iter().zip(&config.venues).map(with).collect())
    }

    /// What the configuration says of the venue's ids.
    pub fn id_policy(&self) -> Option<crate::model::IdPolicy> {
        let said = self.config.id_policy.as_deref()?;
        self.venue.id_policies().iter().find(|p| p.0 == said).map(|p| p.1)
    }

    /// Base of REST URLs.
    pub fn rest_base(&self) -> String {
        self.hosts.rest.clone().unwrap_or_else(|| self.venue.spec().rest.to_owned())
    }

    /// The streams of those configured symbols that the venue lists, or has listed: whoever was recorded stays, listed or
    /// not, because it may come back. A symbol stays in the lane that `held` names, or else in that of `earlier` runs (see
    /// [`plan::spread`]).
    ///
    /// # Errors
    /// Symbols were never listed and the configuration does not allow that; nothing is left.
    pub fn streams(
        &self,
        index: usize,
        lanes: usize,
        listed: &[&str],
        held: &dyn Fn(&str) -> Option<Held>,
        earlier: &BTreeMap<String, LaneId>,
    ) -> Result<Vec<LaneStreams>, PlanFault> {
        let known: FxHashSet<&str> = listed.iter().copied().collect();
        let (there, missing): (Vec<String>, Vec<String>) =
            self.config.symbols.iter().cloned().partition(|s| {
                known.contains(s.as_str()) || held(s).is_some() || is_pair_of(self.venue, s, listed)
            });
        if !missing.is_empty() && !self.config.allow_missing {
            let named = |s: &String| match listed.iter().find(|l| l.eq_ignore_ascii_case(s)) {
                Some(l) => format!("{s} (the venue writes {l})"),
                None => s.clone(),
            };
            let symbols = missing.iter().map(named).collect::<Vec<_>>().join(", ");
            let fault = PlanFault::NotListed { venue: self.config.id.clone(), symbols };
            return Err(plan::located(&self.config, fault));
        }
        let config = VenueConfig { symbols: there, ..self.config.clone() };
        let held = |s: &str| held(s).or_else(|| earlier.get(s).copied().map(Held::Before));
        let streams = plan::spread(&config, self.venue, index, lanes, &held)?;
        let polls = super::polls::of(&self.config, self.venue)?;
        // All that was named may be over by now: then there is nothing to do, and nothing wrong.
        let is_over = self.config.rule.is_none() && self.config.symbols.is_empty();
        if streams.iter().all(Vec::is_empty) && polls.is_empty() && !is_over {
            return Err(PlanFault::Nothing { venue: self.config.id.clone() });
        }
        let lane = |n: usize| LaneId::try_from(n + 1).unwrap_or(LaneId::MAX);
        Ok(streams.into_iter().enumerate().map(|(n, s)| (lane(n), s)).collect())
    }

    /// Fits open connections to what is wanted: those of which nothing changes stay as they are, those that lose streams
    /// carry the rest, new streams come on connections of their own unless there are too many of these.
    ///
    /// # Errors
    /// The venue refuses the streams.
    pub fn reconcile(&self, old: &[Slot], wanted: &[LaneStreams]) -> Result<Reconciled, PlanFault> {
        let mut out = Reconciled { old: vec![None; old.len()], new: Vec::new() };
        let mut number = old.iter().map(|s| s.number + 1).max().unwrap_or(0);
        let legs = wanted.iter().flat_map(|w| (0..self.config.legs).map(move |leg| (leg, w)));
        for (leg, (lane, streams)) in legs {
            let is_here = |i: &usize| old[*i].lane == *lane && old[*i].leg == leg;
            let here: Vec<usize> = (0..old.len()).filter(is_here).collect();
            let missing = self.keep(old, &here, streams, &mut out.old)?;
            let usual = self.venue.plan(streams, &self.hosts)?.len();
            for conn in self.venue.plan(&missing, &self.hosts)? {
                if !self.finds_room(old, &here, usual, &conn, &mut out.old)? {
                    out.new.push(Slot { lane: *lane, leg, number, conn });
                    number += 1;
                }
            }
        }
        Ok(out)
    }

    /// What the connections of a lane go on carrying. Returns what none of them carries.
    fn keep(
        &self,
        old: &[Slot],
        here: &[usize],
        streams: &[StreamSpec],
        out: &mut [Option<ConnPlan>],
    ) -> Result<Vec<StreamSpec>, PlanFault> {
        let wanted: FxHashSet<&str> = streams.iter().map(|s| s.name.as_str()).collect();
        let mut carried: FxHashSet<&str> = FxHashSet::default();
        for &i in here {
            let conn = &old[i].conn;
            let stays = |s: &&StreamSpec| wanted.contains(s.name.as_str());
            let rest: Vec<StreamSpec> = conn.streams.iter().filter(stays).cloned().collect();
            if rest.len() == conn.streams.len() {
                out[i] = Some(conn.clone());
            } else if let [one] = self.venue.plan(&rest, &self.hosts)?.as_slice() {
                out[i] = Some(one.clone());
            } else {
                // Nothing is left of it (what fitted one connection cannot need two when it is less).
                continue;
            }
            carried.extend(conn.streams.iter().filter(stays).map(|s| s.name.as_str()));
        }
        Ok(streams.iter().filter(|s| !carried.contains(s.name.as_str())).cloned().collect())
    }

    /// Puts what would be a connection of its own on one that is replaced anyway, or on the smallest one if there are too
    /// many.
    fn finds_room(
        &self,
        old: &[Slot],
        here: &[usize],
        usual: usize,
        new: &ConnPlan,
        out: &mut [Option<ConnPlan>],
    ) -> Result<bool, PlanFault> {
        let mut open: Vec<usize> = here.iter().copied().filter(|i| out[*i].is_some()).collect();
        if open.len() < usual + SPARE_CONNS {
            open.retain(|i| out[*i].as_ref() != Some(&old[*i].conn));
        }
        open.sort_by_key(|i| out[*i].as_ref().map_or(0, |c| c.streams.len()));
        for i in open {
            let all: Vec<StreamSpec> =
                out[i].iter().flat_map(|c| &c.streams).chain(&new.streams).cloned().collect();
            if let [one] = self.venue.plan(&all, &self.hosts)?.as_slice() {
                out[i] = Some(one.clone());
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether a name is that of a pair of which something is listed, or of a place in the calendar of such a pair.
pub fn is_pair_of(venue: &dyn Venue, name: &str, listed: &[&str]) -> bool {
    let Some(pair) = venue.pair_of_place(name) else {
        return listed.iter().any(|l| venue.pair_of(l) == Some(name));
    };
    let is_of = |rest: &str| rest.is_empty() || rest.starts_with('_');
    listed.iter().any(|l| l.strip_prefix(pair).is_some_and(is_of))
}

/// Number of reader threads that a configuration wants.
pub fn lanes(config: &Config) -> u16 {
    u16::try_from(config.capture.cores.len().max(1)).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn links(symbols: &[String], channels: &str) -> Links {
        let text = format!(
            "[[venue]]\nid = \"binance-usdm\"\nsymbols = [{}]\nchannels = [{channels}]\n",
            symbols.iter().map(|s| format!("{s:?}")).collect::<Vec<_>>().join(",")
        );
        Links::all(&Config::from_parts("x.toml", &text, [], &[]).unwrap()).unwrap().remove(0)
    }

    fn names(n: impl IntoIterator<Item = usize>) -> Vec<String> {
        n.into_iter().map(|i| format!("S{i}USDT")).collect()
    }

    fn wanted(l: &Links, lanes: usize, old: &[Slot]) -> Vec<LaneStreams> {
        let listed = names(0..400);
        let listed: Vec<&str> = listed.iter().map(String::as_str).collect();
        let held = |s: &str| {
            let carries = |slot: &&Slot| slot.conn.streams.iter().any(|x| x.symbol.as_deref() == Some(s));
            old.iter().find(carries).map(|slot| Held::Now(slot.lane))
        };
        l.streams(0, lanes, &listed, &held, &BTreeMap::new()).unwrap()
    }

    fn applied(old: &[Slot], r: &Reconciled) -> Vec<Slot> {
        let stay = old.iter().zip(&r.old).filter_map(|(s, c)| Some(Slot { conn: c.clone()?, ..s.clone() }));
        stay.chain(r.new.iter().cloned()).collect()
    }

    const TWO: &str = "\"depth@100ms\", \"aggTrade\"";

    #[test]
    fn what_stays_on_a_connection_of_which_nothing_changes_is_left_alone() {
        let l = links(&names(0..2), TWO);
        let first = applied(&[], &l.reconcile(&[], &wanted(&l, 1, &[])).unwrap());
        let l = links(&names(0..3), TWO);
        let r = l.reconcile(&first, &wanted(&l, 1, &first)).unwrap();
        assert!(r.old.iter().zip(&first).all(|(c, s)| c.as_ref() == Some(&s.conn)));
        let second = applied(&first, &r);
        assert!(second.len() > first.len());
        let numbers: FxHashSet<u32> = second.iter().map(|s| s.number).collect();
        assert_eq!(numbers.len(), second.len());
        // One goes, one comes: it takes the place on the connection that is replaced anyway.
        let l = links(&names([0, 2, 3]), TWO);
        let r = l.reconcile(&second, &wanted(&l, 1, &second)).unwrap();
        assert!(r.new.is_empty(), "{r:?}");
        assert_eq!(applied(&second, &r).len(), second.len());
    }

    #[test]
    fn a_symbol_that_was_recorded_and_is_listed_no_more_stays_and_one_that_never_was_is_refused() {
        let l = links(&names(0..3), TWO);
        let held = |s: &str| (s == "S2USDT").then_some(Held::Now(1));
        let all = l.streams(0, 1, &["S0USDT", "S1USDT"], &held, &BTreeMap::new()).unwrap();
        assert_eq!(all.iter().map(|(_, s)| s.len()).sum::<usize>(), 6);
        let e = l.streams(0, 1, &["S0USDT"], &held, &BTreeMap::new()).unwrap_err().to_string();
        assert!(e.contains("S1USDT") && !e.contains("S2USDT"), "{e}");
    }

    /// `check` and `capture` follow one rule, that of the venue's page: some streams are about pairs, the others are not.
    #[test]
    fn a_pair_is_taken_where_streams_are_about_pairs_and_something_of_it_is_listed() {
        let with = |symbol: &str, channels: &str| {
            let text = format!(
                "[[venue]]\nid = \"binance-coinm\"\nsymbols = [{symbol:?}]\nchannels = [{channels}]\n"
            );
            Links::all(&Config::from_parts("x.toml", &text, [], &[]).unwrap()).map(|mut l| l.remove(0))
        };
        let listed = ["BTCUSD_PERP", "BTCUSD_260925", "ETHUSD_PERP"];
        let l = with("BTCUSD", r#""markPrice@1s", "indexPrice""#).unwrap();
        let streams = l.streams(0, 1, &listed, &|_| None, &BTreeMap::new()).unwrap();
        let names: Vec<&str> = streams[0].1.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["btcusd@markPrice@1s", "btcusd@indexPrice"]);
        let e = with("XRPUSD", r#""indexPrice""#)
            .unwrap()
            .streams(0, 1, &listed, &|_| None, &BTreeMap::new())
            .unwrap_err();
        assert!(e.to_string().contains("x.toml:3: binance-coinm: not listed: XRPUSD"), "{e}");
        let e = with("BTCUSD", r#""indexPrice", "depth@100ms""#).map(|_| ()).unwrap_err().to_string();
        assert!(e.contains("x.toml:3") && e.contains("BTCUSD is a pair, and \"depth@100ms\" needs"), "{e}");
        // Where there are no streams of pairs a symbol is what it is.
        assert_eq!(
            with("BTCUSD_PERP", r#""depth@100ms""#).unwrap().venue.pair_of("BTCUSD_PERP"),
            Some("BTCUSD")
        );
        assert_eq!(crate::venue::by_id("binance-usdm").unwrap().1.pair_of("BTCUSDT_260925"), None);
    }

    /// Continuous candles call a contract by its place in the calendar; everything else calls it by its name.
    #[test]
    fn a_place_in_the_calendar_is_taken_by_the_channel_of_places_alone() {
        let with = |id: &str, symbols: &str| {
            let text = format!(
                "[[venue]]\nid = {id:?}\nsymbols = [{symbols}]\nchannels = [\"depth@100ms\", \"continuousKline_1m\"]\n"
            );
            Links::all(&Config::from_parts("x.toml", &text, [], &[]).unwrap()).map(|mut l| l.remove(0))
        };
        let names = |id: &str, symbols: &str, listed: &[&str]| {
            let streams = with(id, symbols).unwrap().streams(0, 1, listed, &|_| None, &BTreeMap::new());
            streams
                .map(|s| s[0].1.iter().map(|s| s.name.clone()).collect::<Vec<_>>())
                .map_err(|e| e.to_string())
        };
        let listed = ["BTCUSD_PERP", "BTCUSD_270326", "ETHUSD_PERP"];
        let all =
            names("binance-coinm", r#""BTCUSD_PERP", "BTCUSD_270326", "BTCUSD_CURRENT_QUARTER""#, &listed);
        assert_eq!(
            all.unwrap(),
            [
                "btcusd_perp@depth@100ms",
                "btcusd_perpetual@continuousKline_1m",
                "btcusd_270326@depth@100ms",
                "btcusd_current_quarter@continuousKline_1m"
            ]
        );
        let linear = names(
            "binance-usdm",
            r#""BTCUSDT_270326", "BTCUSDT_NEXT_QUARTER""#,
            &["BTCUSDT", "BTCUSDT_270326"],
        );
        assert_eq!(
            linear.unwrap(),
            ["btcusdt_270326@depth@100ms", "btcusdt_next_quarter@continuousKline_1m"]
        );
        // A pair of which nothing is listed has no places either.
        let e = names("binance-coinm", r#""XRPUSD_NEXT_QUARTER""#, &listed).unwrap_err();
        assert!(e.contains("not listed: XRPUSD_NEXT_QUARTER"), "{e}");
        // Named, and taken by nothing: that is a mistake.
        let text = "[[venue]]\nid = \"binance-coinm\"\nsymbols = [\"BTCUSD_270326\"]\nchannels = [\"continuousKline_1m\"]\n";
        let e = Links::all(&Config::from_parts("x.toml", text, [], &[]).unwrap())
            .map(|_| ())
            .unwrap_err()
            .to_string();
        assert!(
            e.contains("x.toml:3") && e.contains("BTCUSD_270326") && e.contains("CURRENT_QUARTER"),
            "{e}"
        );
    }

    #[test]
    fn one_more_each_time_does_not_make_one_connection_more_each_time() {
        let mut slots = Vec::new();
        for n in 1..40 {
            let l = links(&names(0..n), TWO);
            let r = l.reconcile(&slots, &wanted(&l, 1, &slots)).unwrap();
            slots = applied(&slots, &r);
        }
        assert!(slots.len() <= 2 * (1 + SPARE_CONNS), "{}", slots.len());
    }

    #[test]
    fn legs_come_and_go_and_cost_the_other_one_nothing() {
        let mut l = links(&names(0..150), TWO);
        let want = wanted(&l, 2, &[]);
        let one = applied(&[], &l.reconcile(&[], &want).unwrap());
        l.config.legs = 2;
        let r = l.reconcile(&one, &want).unwrap();
        assert!(r.old.iter().zip(&one).all(|(c, s)| c.as_ref() == Some(&s.conn)));
        let two = applied(&one, &r);
        let of = |leg: u8| {
            let all = two.iter().filter(|s| s.leg == leg).flat_map(|s| &s.conn.streams);
            all.map(|s| s.name.clone()).collect::<std::collections::BTreeSet<_>>()
        };
        assert!(of(0).len() == 300 && of(0) == of(1) && two.len() == 2 * one.len());
        l.config.legs = 1;
        assert_eq!(applied(&two, &l.reconcile(&two, &want).unwrap()), one);
    }

    proptest! {
        #[test]
        fn each_stream_has_one_connection_and_keeps_its_lane(
            steps in prop::collection::vec(
                (prop::collection::btree_set(0usize..300, 1..250), any::<bool>()), 1..5),
            lanes in 1usize..4,
        ) {
            let mut slots: Vec<Slot> = Vec::new();
            for (symbols, both) in steps {
                let l = links(&names(symbols.iter().copied()), if both { TWO } else { "\"depth@100ms\"" });
                let want = wanted(&l, lanes, &slots);
                let r = l.reconcile(&slots, &want).unwrap();
                let next = applied(&slots, &r);
                let mut have: Vec<(LaneId, String)> = next
                    .iter()
                    .flat_map(|s| s.conn.streams.iter().map(|x| (s.lane, x.name.clone())))
                    .collect();
                let mut due: Vec<(LaneId, String)> =
                    want.iter().flat_map(|(l, s)| s.iter().map(|x| (*l, x.name.clone()))).collect();
                have.sort();
                due.sort();
                prop_assert_eq!(have, due);
                prop_assert!(next.iter().all(|s| s.conn.streams.len() <= 200));
                for (s, c) in slots.iter().zip(&r.old) {
                    let all = s.conn.streams.iter().all(|x| want.iter().any(|(l, w)| *l == s.lane && w.contains(x)));
                    let is_same = c.as_ref() == Some(&s.conn);
                    prop_assert!(!is_same || all, "a stream that is wanted no more stays");
                }
                slots = next;
            }
        }
    }
}
