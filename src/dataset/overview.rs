//! What a dataset holds at a glance: from the manifest, and from `coverage` and `gaps`.

use std::collections::{BTreeMap, BTreeSet};

use super::error::DatasetError;
use super::layout::Dataset;
use super::manifest::{Manifest, PartRecord};
use super::read::{self, Want};
use super::schema::Table;

/// A dataset at a glance.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Overview {
    /// Dataset id.
    pub id: String,
    /// Files in all.
    pub files: usize,
    /// Rows in all.
    pub rows: i64,
    /// Bytes in all.
    pub bytes: u64,
    /// Lines of the manifest that are gone: there may be files that nothing here counts. 0 in a sound dataset.
    pub manifest_lines_lost: u64,
    /// Venues by name; tables without a venue level stand under "".
    pub venues: BTreeMap<String, VenueOverview>,
}

/// A venue at a glance.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct VenueOverview {
    /// Symbols that have files of their own.
    pub symbols: BTreeSet<String>,
    /// UTC days.
    pub dates: BTreeSet<String>,
    /// Tables by name.
    pub tables: BTreeMap<String, TableOverview>,
    /// What is proven and what is not.
    pub coverage: Coverage,
}

/// A table of a venue at a glance.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct TableOverview {
    /// Symbols that have files of this table; 0 where it has no symbol level.
    pub symbols: usize,
    /// First UTC day.
    pub first_date: String,
    /// Last UTC day.
    pub last_date: String,
    /// Number of UTC days.
    pub days: usize,
    /// Files.
    pub files: usize,
    /// Rows.
    pub rows: i64,
    /// Bytes.
    pub bytes: u64,
}

/// Time of subscribed streams, summed over streams, in ns.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Coverage {
    /// Proven.
    pub covered_ns: i64,
    /// Explained by gaps.
    pub gap_ns: i64,
    /// Gaps by cause. A gap over an interval boundary stands in both intervals and counts twice.
    pub gaps: BTreeMap<String, u64>,
}

/// Sums up a dataset.
///
/// # Errors
/// A damaged manifest, or damaged files of `coverage` or `gaps`.
pub fn overview(ds: &Dataset) -> Result<Overview, DatasetError> {
    // In this order: beside a running writer the manifest may have more lines than the marker says, never fewer.
    let written = ds.marker()?.lines;
    let manifest = ds.manifest()?;
    let manifest_lines_lost = manifest.lost(written).iter().map(|l| l.count).sum();
    let mut o = Overview { id: ds.id().to_owned(), manifest_lines_lost, ..Overview::default() };
    let mut sets: BTreeMap<(String, String), (BTreeSet<String>, BTreeSet<String>)> = BTreeMap::new();
    for p in manifest.parts() {
        o.files += 1;
        o.rows += p.rows;
        o.bytes += p.bytes;
        add(o.venues.entry(p.venue.clone()).or_default(), p);
        let (symbols, dates) = sets.entry((p.venue.clone(), p.table.clone())).or_default();
        dates.insert(p.date.clone());
        if !p.symbol.is_empty() {
            symbols.insert(p.symbol.clone());
        }
    }
    for ((venue, table), (symbols, dates)) in sets {
        if let Some(t) = o.venues.get_mut(&venue).and_then(|v| v.tables.get_mut(&table)) {
            t.symbols = symbols.len();
            t.days = dates.len();
            t.first_date = dates.first().cloned().unwrap_or_default();
            t.last_date = dates.last().cloned().unwrap_or_default();
        }
    }
    for (venue, v) in &mut o.venues {
        v.coverage = coverage(ds, &manifest, venue)?;
    }
    Ok(o)
}

fn add(v: &mut VenueOverview, p: &PartRecord) {
    if !p.symbol.is_empty() {
        v.symbols.insert(p.symbol.clone());
    }
    v.dates.insert(p.date.clone());
    let t = v.tables.entry(p.table.clone()).or_default();
    t.files += 1;
    t.rows += p.rows;
    t.bytes += p.bytes;
}

fn coverage(ds: &Dataset, manifest: &Manifest, venue: &str) -> Result<Coverage, DatasetError> {
    let mut c = Coverage::default();
    // What is still open ends, for now, with the last thing that was heard.
    let now = manifest.parts().filter(|p| p.venue == venue).map(|p| p.ts_max).max().unwrap_or(0);
    let length = |begin: i64, end: i64| (if end == 0 { now } else { end }).saturating_sub(begin).max(0);
    for p in manifest.select(Table::Coverage, venue, "") {
        let want = Want { columns: &["ts_begin", "ts_end"], ..Want::default() };
        for b in read::open(&ds.root().join(&p.path), want)? {
            let b = b?;
            for (begin, end) in b.i64("ts_begin")?.iter().zip(b.i64("ts_end")?) {
                c.covered_ns = c.covered_ns.saturating_add(length(*begin, *end));
            }
        }
    }
    for p in manifest.select(Table::Gaps, venue, "") {
        let want = Want { columns: &["cause", "ts_begin", "ts_end"], ..Want::default() };
        for b in read::open(&ds.root().join(&p.path), want)? {
            let b = b?;
            let cause = b.text("cause")?;
            for (i, (begin, end)) in b.i64("ts_begin")?.iter().zip(b.i64("ts_end")?).enumerate() {
                c.gap_ns = c.gap_ns.saturating_add(length(*begin, *end));
                *c.gaps.entry(cause.value(i).to_owned()).or_default() += 1;
            }
        }
    }
    Ok(c)
}
