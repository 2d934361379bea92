//! What `import`, `checkpoints` and `replay` share: recordings as records.

use std::path::PathBuf;

use super::Fault;
use crate::fold::RULES_VERSION;
use crate::import::{self, ImportOptions, ImportStats, Position};
use crate::model::Record;
use crate::venue::{self, Venue};

/// How the records of an import are cut and counted.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Length of an interval, ns.
    pub interval_ns: i64,
    /// Bucket of `book_top`, ns.
    pub book_top_interval_ns: i64,
    /// Memory for open parts, bytes.
    pub lane_memory_bytes: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            interval_ns: 3_600_000_000_000,
            book_top_interval_ns: 100_000_000,
            lane_memory_bytes: 256 << 20,
        }
    }
}

/// A venue by its id.
///
/// # Errors
/// An unknown id; the message lists the known ones.
pub fn venue(id: &str) -> anyhow::Result<&'static dyn Venue> {
    match venue::by_id(id) {
        Some((_, v)) => Ok(v),
        None => {
            let known: Vec<_> = venue::all().iter().map(|v| v.spec().id).collect();
            Err(Fault::usage(anyhow::anyhow!("unknown venue {id:?}; known: {}", known.join(", "))))
        }
    }
}

/// What takes the records.
pub type Take<'a> =
    &'a mut dyn FnMut(&Record<'_>, Position) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Reads recordings and hands over their records.
///
/// # Errors
/// An unknown venue, files that cannot be read, and whatever `take` says.
pub fn records(
    files: &[PathBuf],
    venue_id: &str,
    opts: &Options,
    take: Take<'_>,
) -> anyhow::Result<ImportStats> {
    let v = venue(venue_id)?;
    let snapshot_url = |symbol: &str| v.snapshot_request(symbol).path;
    let opts = ImportOptions {
        venue: venue_id,
        snapshot_url: &snapshot_url,
        rules_version: RULES_VERSION,
        interval_ns: opts.interval_ns,
        book_top_interval_ns: opts.book_top_interval_ns,
        lane_memory_bytes: opts.lane_memory_bytes,
    };
    import::import(files, &opts, take).map_err(|e| if e.is_damage() { Fault::data(e) } else { e.into() })
}
