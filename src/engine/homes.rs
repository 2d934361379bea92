//! In which lane an instrument was recorded last, over restarts.
//!
//! An instrument's state (its numbers of rows in the UTC day, its open gaps, the last ids of its streams) is in its lane's
//! checkpoint, so it stays in that lane as long as the lane is there: whatever symbols came or went between two runs, and
//! however many cores the new one has. It is written before anything is recorded in a lane, so a kill loses nothing of it.

use std::collections::BTreeMap;
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

/// By venue and symbol ("" = the all-market streams).
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
    pub fn note<'a>(&mut self, venue: &str, wanted: impl Iterator<Item = (&'a str, LaneId)>) {
        let today = today();
        let before = self.known.get(venue).cloned().unwrap_or_default();
        let mut new: BTreeMap<String, Home> =
            wanted.map(|(s, lane)| (s.to_owned(), Home { lane, day: today })).collect();
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
