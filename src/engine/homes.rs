//! In which lane an instrument was recorded last, over restarts.
//!
//! An instrument's state (its numbers of rows in the UTC day, its open gaps, the last ids of its streams) is in its lane's
//! checkpoint, so it stays in that lane as long as the lane is there: whatever symbols came or went between two runs, and
//! however many cores the new one has. It is written before anything is recorded in a lane, so a kill loses nothing of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::dataset::Dataset;
use crate::model::LaneId;
use crate::model::time::NS_PER_DAY;
use crate::wire::clock;

/// In the journal's directory.
const NAME: &str = "lanes.json";
/// What nobody wants any more is known for so long: its day's files may be written on if it comes back.
const DAYS: i64 = 2;

/// Lane of an instrument, and the UTC day (days since 1970) on which it was last known to be wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Home {
    lane: LaneId,
    day: i64,
}

/// By venue and [`super::plan::home`].
type ByVenue = BTreeMap<String, BTreeMap<String, Home>>;

/// Lanes of instruments.
pub struct Homes {
    ds: Arc<Dataset>,
    known: ByVenue,
}

impl Homes {
    /// What earlier runs wrote. A file that cannot be read is none: then instruments are spread anew.
    pub fn load(ds: Arc<Dataset>) -> Homes {
        let read = ds.read_small(NAME).and_then(|b| serde_json::from_slice::<ByVenue>(&b).ok());
        let mut known = read.unwrap_or_default();
        // They may have been wanted until the last run ended.
        let today = today();
        known.values_mut().flat_map(BTreeMap::values_mut).for_each(|h| h.day = today);
        Homes { ds, known }
    }

    /// Lanes of a venue's instruments.
    pub fn of(&self, venue: &str) -> BTreeMap<String, LaneId> {
        let known = self.known.get(venue).into_iter().flatten();
        known.map(|(s, h)| (s.clone(), h.lane)).collect()
    }

    /// How many lanes a run needs: one for each core, and each that has instruments of a configured venue.
    pub fn lanes(&self, config: &Config) -> u16 {
        let of = |id: &String| self.known.get(id).into_iter().flat_map(|k| k.values().map(|h| h.lane));
        let held = config.venues.iter().flat_map(|v| of(&v.id)).max().unwrap_or(0);
        let cores = super::links::lanes(config);
        if held > cores {
            tracing::info!(
                lanes = held,
                cores,
                "several lanes share a core: instruments stay in the lane that has recorded them"
            );
        }
        cores.max(held)
    }

    /// A venue's instruments are in these lanes from now on. A disk that takes nothing costs this knowledge and no more.
    pub fn note(&mut self, venue: &str, wanted: impl Iterator<Item = (String, LaneId)>) {
        let today = today();
        let before = self.known.get(venue).cloned().unwrap_or_default();
        let mut new: BTreeMap<String, Home> =
            wanted.map(|(s, lane)| (s, Home { lane, day: today })).collect();
        for (s, h) in &before {
            if today - h.day < DAYS {
                new.entry(s.clone()).or_insert(*h);
            }
        }
        if new == before {
            return;
        }
        self.known.insert(venue.to_owned(), new);
        let saved = serde_json::to_vec(&self.known).map_err(|e| e.to_string());
        if let Err(e) = saved.and_then(|b| self.ds.write_small(NAME, &b).map_err(|e| e.to_string())) {
            tracing::warn!(
                venue,
                error = e,
                "which lane records what could not be written: the next start may spread instruments anew"
            );
        }
    }
}

fn today() -> i64 {
    clock::wall_ns().div_euclid(NS_PER_DAY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::VenueConfig;
    use crate::engine::plan::{Held, home, spread};
    use crate::venue::{self, Venue};

    /// A configuration of one venue.
    fn of(venue: &dyn Venue, symbols: &[String], channels: &[String]) -> VenueConfig {
        let id = venue.spec().id;
        let text = format!(
            "[[venue]]\nid = {id:?}\nsymbols = {symbols:?}\nchannels = {channels:?}\nrest = \"http://127.0.0.1:9\"\nws = \"ws://127.0.0.1:9\"\n"
        );
        Config::from_parts("x.toml", &text, [], &[]).unwrap().venues.remove(0)
    }

    /// Names like this one.
    fn like(symbol: &str) -> Vec<String> {
        let other = |base: &str| symbol.replacen("BTC", base, 1).replacen("btc", &base.to_lowercase(), 1);
        let mut all: Vec<String> = ["BTC", "ETH", "SOL", "XRP", "BNB"].iter().map(|b| other(b)).collect();
        all.dedup();
        all
    }

    /// What a venue may be asked for: each of its channels alone, and all of them together, for symbols that they take.
    fn configurations(venue: &dyn Venue) -> Vec<VenueConfig> {
        let all = venue.channels();
        let mut out: Vec<VenueConfig> = all
            .iter()
            .map(|c| {
                let symbols = like(c.symbol.unwrap_or(venue.spec().symbol_example));
                of(venue, &symbols, std::slice::from_ref(&c.example))
            })
            .collect();
        let symbols: BTreeSet<&str> = all.iter().filter_map(|c| c.symbol).collect();
        for symbol in symbols {
            let takes = |c: &&venue::ChannelInfo| {
                c.symbol.is_some()
                    && venue
                        .stream(&c.example, Some(symbol))
                        .is_ok_and(|s| !venue.is_pair(symbol) || s.symbol.is_none())
            };
            let single: Vec<String> = all.iter().filter(takes).map(|c| c.example.clone()).collect();
            let market = all.iter().filter(|c| c.symbol.is_none()).map(|c| c.example.clone());
            let both: Vec<String> = single.iter().cloned().chain(market).collect();
            out.extend([single, both].iter().map(|c| of(venue, &like(symbol), c)));
        }
        out
    }

    #[test]
    fn a_plain_restart_moves_no_stream_of_any_venue() {
        let mut own = 0;
        for (n, venue) in venue::all().iter().enumerate() {
            for (config, lanes) in configurations(*venue).iter().flat_map(|c| [(c, 2), (c, 3)]) {
                let first = spread(config, *venue, n, lanes, &|_| None).unwrap();
                let mut homes: BTreeMap<String, LaneId> = BTreeMap::new();
                for (lane, s) in first.iter().enumerate().flat_map(|(l, all)| all.iter().map(move |s| (l, s)))
                {
                    homes.insert(home(*venue, s), LaneId::try_from(lane + 1).unwrap());
                    own += usize::from(s.symbol.is_none() && !venue.is_market(&s.channel));
                }
                // In another place among the venues, and with more cores.
                for (n, lanes) in [(n, lanes), (n + 1, lanes), (n, lanes + 1)] {
                    let again = spread(config, *venue, n, lanes, &|s| homes.get(s).map(|l| Held::Before(*l)))
                        .unwrap();
                    assert_eq!(again[..first.len()], first, "{}: {:?}", config.id, config.channels);
                }
            }
        }
        assert!(own > 0, "no venue has streams of pairs");
    }
}
