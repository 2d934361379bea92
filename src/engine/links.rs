//! A venue's connections, once its instrument list has said which symbols there are.

use super::plan::{self, PlanFault};
use crate::config::{Config, VenueConfig};
use crate::model::{ConnPlan, Hosts, LaneId};
use crate::venue::Venue;

/// One connection with its lane.
#[derive(Clone, Debug)]
pub struct Slot {
    /// The lane that reads it.
    pub lane: LaneId,
    /// Its number within the venue.
    pub number: u32,
    /// What to open.
    pub conn: ConnPlan,
}

/// A venue as configured.
#[derive(Clone)]
pub struct Links {
    /// Its place in the configuration.
    pub index: usize,
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
        let with = |(index, (v, c)): (usize, (plan::VenuePlan, &VenueConfig))| Links {
            index,
            venue: v.venue,
            config: c.clone(),
            hosts: v.hosts,
            rotate_after_ns: v.rotate_after_ns,
        };
        Ok(plan.venues.into_iter().zip(&config.venues).enumerate().map(with).collect())
    }

    /// Base of REST URLs.
    pub fn rest_base(&self) -> String {
        self.hosts.rest.clone().unwrap_or_else(|| self.venue.spec().rest.to_owned())
    }

    /// The connections for those configured symbols that the venue lists.
    ///
    /// # Errors
    /// Symbols are missing and the configuration does not allow that; nothing is left.
    pub fn slots(&self, config: &Config, listed: &[&str]) -> Result<Vec<Slot>, PlanFault> {
        let known: rustc_hash::FxHashSet<&str> = listed.iter().copied().collect();
        let (there, missing): (Vec<String>, Vec<String>) =
            self.config.symbols.iter().cloned().partition(|s| known.contains(s.as_str()));
        if !missing.is_empty() && !self.config.allow_missing {
            return Err(PlanFault::NotListed { venue: self.config.id.clone(), symbols: missing.join(", ") });
        }
        let mut config = config.clone();
        if let Some(v) = config.venues.get_mut(self.index) {
            v.symbols = there;
        }
        let plan = plan::plan(&config)?;
        let mut slots = Vec::new();
        for l in plan.lanes {
            for (_, conn) in l.conns.into_iter().filter(|(v, _)| *v == self.index) {
                slots.push(Slot { lane: l.lane, number: slots.len() as u32, conn });
            }
        }
        if slots.is_empty() {
            return Err(PlanFault::Nothing { venue: self.config.id.clone() });
        }
        Ok(slots)
    }
}

/// Number of reader threads that a configuration wants.
pub fn lanes(config: &Config) -> u16 {
    u16::try_from(config.capture.cores.len().max(1)).unwrap_or(u16::MAX)
}
