//! In which lane an instrument was recorded last, over restarts.
//!
//! An instrument's state (its numbers of rows in the UTC day, its open gaps, the last ids of its streams) is in its lane's
//! checkpoint, so it stays in that lane as long as the lane is there: whatever symbols came or went between two runs, and
//! however many cores the new one has. It is written before anything is recorded in a lane, so a kill loses nothing of it.
//! What is wanted now is seen each day; what nobody wants is known for some days more, also while its venue is not configured.

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
/// Where a file that is not right stays, to be looked at.
const DAMAGED: &str = "lanes.json.damaged";
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
    /// What is in the file.
    saved: ByVenue,
    /// What each venue's plan wants now; `None`: it has none yet, and may want all that is known of it.
    wanted: BTreeMap<String, Option<BTreeSet<String>>>,
    /// The day on which this was last written.
    day: i64,
}

impl Homes {
    /// What earlier runs wrote. `greatest`: the greatest lane that the journal knows; with the cores of `config` that is all
    /// that can have been written.
    pub fn load(ds: Arc<Dataset>, config: &Config, greatest: LaneId) -> Homes {
        let known = read(&ds, super::links::lanes(config).max(greatest), greatest > 0);
        let wanted = config.venues.iter().map(|v| (v.id.clone(), None)).collect();
        let mut homes = Homes { ds, saved: known.clone(), known, wanted, day: today() };
        homes.forget();
        homes
    }

    /// Lanes of a venue's instruments. It is going to say what it wants.
    pub fn of(&mut self, venue: &str) -> BTreeMap<String, LaneId> {
        self.wanted.entry(venue.to_owned()).or_default();
        let known = self.known.get(venue).into_iter().flatten();
        known.map(|(s, h)| (s.clone(), h.lane)).collect()
    }

    /// How many lanes a run needs: one for each core, and each in which something lives that is remembered, be its venue
    /// configured now or not: it may come while the capture runs.
    pub fn lanes(&self, config: &Config) -> u16 {
        let held = self.known.values().flat_map(|k| k.values().map(|h| h.lane)).max().unwrap_or(0);
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
        // What goes now was wanted until now.
        self.see();
        let day = today();
        let new: BTreeMap<String, Home> = wanted.map(|(s, lane)| (s, Home { lane, day })).collect();
        self.wanted.insert(venue.to_owned(), Some(new.keys().cloned().collect()));
        self.known.entry(venue.to_owned()).or_default().extend(new);
        self.save();
    }

    /// Time passes: once a day it is written that what is wanted is wanted still.
    pub fn tick(&mut self) {
        if today() != self.day {
            self.see();
            self.save();
        }
    }

    /// What the plans want is seen today.
    fn see(&mut self) {
        let today = today();
        for (venue, wanted) in &self.wanted {
            let (Some(known), Some(wanted)) = (self.known.get_mut(venue), wanted) else { continue };
            known.iter_mut().filter(|(s, _)| wanted.contains(*s)).for_each(|(_, h)| h.day = today);
        }
    }

    /// What nobody has wanted for days.
    fn forget(&mut self) {
        let today = today();
        for (venue, known) in &mut self.known {
            if self.wanted.get(venue) != Some(&None) {
                known.retain(|_, h| today - h.day < DAYS);
            }
        }
        self.known.retain(|_, known| !known.is_empty());
    }

    fn save(&mut self) {
        self.forget();
        self.day = today();
        if self.known == self.saved {
            return;
        }
        let saved = serde_json::to_vec(&self.known).map_err(|e| e.to_string());
        match saved.and_then(|b| self.ds.write_small(NAME, &b).map_err(|e| e.to_string())) {
            Ok(()) => self.saved.clone_from(&self.known),
            Err(e) => tracing::warn!(
                file = NAME,
                error = e,
                "which lane records what could not be written: the next start may spread instruments anew"
            ),
        }
    }
}

/// What the file has, up to the lane `most`. What it ought to have and has not is said, and the file is kept. `is_due`: something
/// was recorded before.
fn read(ds: &Dataset, most: LaneId, is_due: bool) -> ByVenue {
    let path = ds.journal_dir().join(NAME);
    let tell = |why: &str| {
        tracing::warn!(
            file = %path.display(),
            why,
            "which lane has recorded what is not known, or not of all: what is not known is spread anew, and where that is \
             another lane its files of this day begin anew"
        );
    };
    let bytes = match std::fs::read(&path) {
        Ok(b) => b,
        Err(e) => {
            if is_due || e.kind() != std::io::ErrorKind::NotFound {
                tell(&e.to_string());
            }
            return ByVenue::new();
        }
    };
    let keep = || {
        if let Err(e) = ds.write_small(DAMAGED, &bytes) {
            tracing::warn!(file = DAMAGED, error = %e, "the damaged file could not be kept");
        }
    };
    let mut known: ByVenue = match serde_json::from_slice(&bytes) {
        Ok(k) => k,
        Err(e) => {
            tell(&e.to_string());
            keep();
            return ByVenue::new();
        }
    };
    let count = |known: &ByVenue| known.values().map(BTreeMap::len).sum::<usize>();
    let all = count(&known);
    known.values_mut().for_each(|k| k.retain(|_, h| (1..=most).contains(&h.lane)));
    let odd = all - count(&known);
    if odd > 0 {
        tell(&format!("{odd} of {all} are in lanes that are not there"));
        keep();
    }
    known
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

    const CONFIG: &str = "[capture]\ncores = [0]\n[[venue]]\nid = \"aster-futures\"\nsymbols = [\"A\"]\nchannels = [\"trade\"]\n";
    const DAY: i64 = 20_000;

    fn at_day(day: i64) {
        clock::simulated::set(Some((day * NS_PER_DAY + 1, 0)));
    }

    fn dataset(dir: &std::path::Path, lanes: &str) -> Arc<Dataset> {
        let ds = Arc::new(Dataset::create(dir).unwrap());
        if !lanes.is_empty() {
            ds.write_small(NAME, lanes.as_bytes()).unwrap();
        }
        ds
    }

    fn wanted(all: &[(&str, LaneId)]) -> impl Iterator<Item = (String, LaneId)> {
        all.iter().map(|(s, l)| ((*s).to_owned(), *l)).collect::<Vec<_>>().into_iter()
    }

    fn names(h: &mut Homes) -> Vec<String> {
        h.of("aster-futures").into_keys().collect()
    }

    #[test]
    fn there_is_a_lane_for_all_that_may_come_back_and_for_no_damaged_number() {
        let dir = tempfile::tempdir().unwrap();
        at_day(DAY);
        let text = format!(
            r#"{{"aster-futures":{{"A":{{"lane":1,"day":{DAY}}},"B":{{"lane":60000,"day":{DAY}}},"C":{{"lane":0,"day":{DAY}}}}},
            "binance-spot":{{"X":{{"lane":2,"day":{DAY}}}}},"ascendex-spot":{{"Y":{{"lane":3,"day":{}}}}}}}"#,
            DAY - DAYS
        );
        let ds = dataset(dir.path(), &text);
        let config = Config::from_parts("x.toml", CONFIG, [], &[]).unwrap();
        let mut homes = Homes::load(Arc::clone(&ds), &config, 3);
        assert_eq!(names(&mut homes), ["A"], "no lane 60000 was ever there, and instruments have no lane 0");
        assert_eq!(
            homes.lanes(&config),
            2,
            "a venue that is not configured now may come back; one that is forgotten may not"
        );
        assert_eq!(ds.read_small("lanes.json.damaged").as_deref(), Some(text.as_bytes()));
    }

    #[test]
    fn what_is_wanted_is_seen_each_day_and_what_is_not_is_forgotten_after_two() {
        let dir = tempfile::tempdir().unwrap();
        let ds = dataset(dir.path(), "");
        let config = Config::from_parts("x.toml", CONFIG, [], &[]).unwrap();
        let load = || Homes::load(Arc::clone(&ds), &config, 2);
        at_day(DAY);
        let mut homes = load();
        homes.note("aster-futures", wanted(&[("A", 1), ("B", 2)]));
        // The list stays the same for three days; then one of it is taken out.
        at_day(DAY + 3);
        homes.note("aster-futures", wanted(&[("A", 1)]));
        assert_eq!(names(&mut load()), ["A", "B"], "wanted until now");
        at_day(DAY + 4);
        let mut homes = load();
        homes.note("aster-futures", wanted(&[("A", 1)]));
        assert_eq!(names(&mut load()), ["A", "B"]);
        // A restart makes it no younger.
        at_day(DAY + 5);
        let mut homes = load();
        assert_eq!(homes.lanes(&config), 2);
        homes.note("aster-futures", wanted(&[("A", 1)]));
        assert_eq!(names(&mut load()), ["A"]);
        // What is configured and was away for long is no less at home.
        at_day(DAY + 50);
        let mut homes = load();
        assert_eq!((homes.lanes(&config), names(&mut homes)), (1, vec!["A".to_owned()]));
        // The plan's word counts at a day's turn, too: a kill after it finds the file of this day.
        homes.note("aster-futures", wanted(&[("A", 1), ("C", 2)]));
        at_day(DAY + 53);
        homes.tick();
        let mut homes = load();
        homes.note("aster-futures", wanted(&[("A", 1)]));
        assert_eq!(names(&mut load()), ["A", "C"]);
        clock::simulated::set(None);
    }
}
