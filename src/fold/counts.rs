//! What a fold counts, and what its last record was about.

use serde::{Deserialize, Serialize};

use super::state::Core;
use crate::model::{Chain, Depth, InstrumentId, Reject, RejectCause, StreamId, VenueIx};

/// Names of events without a table that are counted apart; they come from the venue, so they are bounded.
const OTHERS_MAX: usize = 1024;
/// Bytes of such a name.
const OTHER_BYTES_MAX: usize = 64;

/// What the fold counted; plain numbers, read by whoever owns the fold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoldCounters {
    /// Frames stepped.
    pub frames: u64,
    /// Frames or bodies rejected.
    pub rejects: u64,
    /// Events without a table.
    pub others: u64,
    /// Gaps found by ids.
    pub seq_gaps: u64,
    /// Snapshots that proved a book.
    pub syncs: u64,
    /// Diffs applied.
    pub applied: u64,
    /// Diffs or events dropped as already known (second connection, duplicates).
    pub duplicates: u64,
    /// Level entries applied.
    pub levels: u64,
    /// Removals of unknown levels.
    pub absent: u64,
    /// Messages after which the book was crossed.
    pub crossed: u64,
    /// Diffs lost because a buffer was full.
    pub buffer_dropped: u64,
    /// Snapshots by REST whose ids are not of the stream's counter.
    pub foreign_seeds: u64,
    /// Books held against snapshots, in the order of [`crate::model::AuditVerdict::ALL`].
    pub audits: [u64; 4],
    /// Events that both legs brought, by the leg that was first.
    pub races: [u64; 2],
}

/// What the last record turned out to be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Last {
    /// Its stream, [`StreamId::NONE`] if none.
    pub stream: StreamId,
    /// Its instrument, [`InstrumentId::NONE`] if none.
    pub instrument: InstrumentId,
    /// Matching time, 0 = not given.
    pub ts_event: i64,
    /// Time the message was made, 0 = not given.
    pub ts_send: i64,
    /// It brought what the other leg had brought: the leg that was first; −1 = it did not.
    pub won_by: i8,
}

impl Core {
    /// What is wrong with a diff of a recording whose venue does not chain its ids like that: whoever imported it named
    /// another venue's. Live, a missing id is a gap.
    #[inline]
    pub(super) fn foreign(&self, venue: VenueIx, d: &Depth<'_>) -> Option<Reject> {
        if !self.is_import() {
            return None;
        }
        let detail = match super::state::venue_of(venue).spec().sequence.chain {
            Chain::Prev if d.prev < 0 => "a depth update without `pu`",
            Chain::Next if d.prev >= 0 => "a depth update with `pu`",
            _ => return None,
        };
        Some(Reject::new(RejectCause::Dialect, detail))
    }

    /// One more event that has no table.
    pub(super) fn count_other(&mut self, name: &str) {
        // Names are the venue's: neither their number nor their length may cost memory without a bound.
        let name = if name.len() > OTHER_BYTES_MAX { "(long name)" } else { name };
        if let Some(n) = self.others.get_mut(name) {
            *n += 1;
        } else if self.others.len() < OTHERS_MAX {
            self.others.insert(name.to_owned(), 1);
        }
    }
}

impl super::Fold {
    /// What was counted so far.
    pub fn counters(&self) -> FoldCounters {
        self.core.counters
    }

    /// How frames were read, by venue, in the order of [`crate::venue::all`]; starts anew with the fold.
    pub fn paths(&self) -> impl Iterator<Item = (&'static str, crate::venue::Paths)> {
        crate::venue::all().iter().zip(&self.scratch).map(|(v, s)| (v.spec().id, s.paths()))
    }

    /// Events without a table, by name, sorted.
    pub fn others(&self) -> Vec<(String, u64)> {
        let mut v: Vec<_> = self.core.others.iter().map(|(k, n)| (k.clone(), *n)).collect();
        v.sort();
        v
    }
}
