//! Letting old files go, by age per table and by size in all. Through the manifest first, then from the disk, so that a
//! crash in between leaves a file that the next start removes. Never the journal.

use std::collections::BTreeMap;

use super::error::DatasetError;
use super::layout::Dataset;
use super::manifest::{Line, PartRecord};
use super::schema::Table;
use crate::model::time;

/// What to keep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// How long after the end of its UTC day a table's file stays, ns. Tables without an entry stay for ever.
    pub per_table: BTreeMap<Table, i64>,
    /// Bytes of published files that may stay.
    pub max_bytes: Option<u64>,
    /// Bytes that are to go beyond that, where there is a maximum, because the disk has no room.
    pub free_up: u64,
}

impl Keep {
    /// Out of a configuration: ages in ns by table name. Names that are no table are left out (`config` refuses them).
    pub fn new(by_name: &BTreeMap<String, i64>, max_bytes: Option<u64>) -> Keep {
        let per_table = by_name.iter().filter_map(|(n, age)| Some((Table::from_name(n)?, *age))).collect();
        Keep { per_table, max_bytes, free_up: 0 }
    }
}

/// What went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    /// Paths inside the dataset.
    pub paths: Vec<String>,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes by which the rest is still over the maximum: only the interval published last is left.
    pub over_by: u64,
}

/// Deletes what is older than it may be; then, while there is too much, the oldest published day (of today, the oldest
/// interval; never the interval published last). `now` is ns since the Unix epoch.
///
/// # Errors
/// Read-only, or the file system's. Deleting again continues where it stopped.
pub fn retain(ds: &Dataset, keep: &Keep, now: i64) -> Result<Gone, DatasetError> {
    let mut gone = Gone::default();
    let mut lines = Vec::new();
    {
        let manifest = ds.current()?;
        let mut parts: Vec<&PartRecord> = manifest.parts().collect();
        let mut go = |p: &PartRecord| {
            gone.paths.push(p.path.clone());
            gone.bytes += p.bytes;
            lines.push(Line::Delete { path: p.path.clone(), why: "retention".to_owned() });
        };
        parts.retain(|p| {
            let old = is_old(p, keep, now);
            if old {
                go(p);
            }
            !old
        });
        if let Some(max) = keep.max_bytes {
            let mut total: u64 = parts.iter().map(|p| p.bytes).sum();
            let max = max.min(total.saturating_sub(keep.free_up));
            let mut units: BTreeMap<(&str, i64), Vec<&PartRecord>> = BTreeMap::new();
            let today = time::date_text(time::day_of(now));
            for &p in &parts {
                let interval = if p.date < today { 0 } else { p.interval_start };
                units.entry((&p.date, interval)).or_default().push(p);
            }
            // The newest unit stays: what is being recorded now must not eat itself.
            units.pop_last();
            for p in units.into_values().take_while(|unit| over(&mut total, max, unit)).flatten() {
                go(p);
            }
            gone.over_by = total.saturating_sub(max);
        }
    }
    ds.tell(&lines)?;
    for line in lines {
        ds.current()?.apply(line);
    }
    for path in &gone.paths {
        remove(ds, path)?;
    }
    Ok(gone)
}

/// Takes a unit off the total if the total is too large.
fn over(total: &mut u64, max: u64, unit: &[&PartRecord]) -> bool {
    let over = *total > max;
    if over {
        *total -= unit.iter().map(|p| p.bytes).sum::<u64>();
    }
    over
}

fn is_old(p: &PartRecord, keep: &Keep, now: i64) -> bool {
    let Some(keep) = p.table().and_then(|t| keep.per_table.get(&t)) else { return false };
    let Some(day) = time::parse_date(&p.date) else { return false };
    (day + 1).saturating_mul(time::NS_PER_DAY) <= now.saturating_sub(*keep)
}

/// Removes a file and the directories that it leaves empty.
fn remove(ds: &Dataset, path: &str) -> Result<(), DatasetError> {
    let file = ds.root().join(path);
    match std::fs::remove_file(&file) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(DatasetError::io(&file, "deleting an old file", e));
        }
        _ => {}
    }
    let top = ds.root().join("v1");
    let mut dir = file.parent();
    while let Some(d) = dir.filter(|d| d.parent().is_some_and(|up| up != top)) {
        // Fails where something is left in it, which is the end of it.
        if std::fs::remove_dir(d).is_err() {
            break;
        }
        dir = d.parent();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::sample::*;
    use super::super::{PartWriter, publish};
    use super::*;
    use crate::model::RowRef;
    use crate::model::time::NS_PER_DAY;

    fn fill(ds: &Dataset) {
        let mut parts = Vec::new();
        for day in 0..3 {
            for hour in 0..2 {
                let ts = NOON + day * NS_PER_DAY + hour * HOUR;
                for table in [Table::Trades, Table::Raw] {
                    let mut w = PartWriter::new(ds, key(table, "v", "S", ts), 1).unwrap();
                    let t = trade(1, 5);
                    let r = record(1, ts, b"x");
                    let row = match table {
                        Table::Raw => RowRef::Raw(crate::model::RawRow { record: r, stream: "" }),
                        _ => RowRef::Trade(&t),
                    };
                    w.push(&mut 0, &head(ts), "v:S", (1, 3), &row).unwrap();
                    parts.extend(w.close().unwrap());
                }
            }
        }
        publish(ds, parts, &provenance()).unwrap();
    }

    fn left(ds: &Dataset) -> Vec<(String, String)> {
        ds.manifest().unwrap().parts().map(|p| (p.table.clone(), p.date[8..].to_owned())).collect()
    }

    #[test]
    fn old_files_of_a_table_go_after_their_time() {
        let d = tempfile::tempdir().unwrap();
        let ds = Dataset::create(d.path()).unwrap();
        fill(&ds);
        let keep = Keep { per_table: [(Table::Raw, NS_PER_DAY)].into(), ..Keep::default() };
        assert_eq!(retain(&ds, &keep, NOON + NS_PER_DAY).unwrap(), Gone::default());
        let gone = retain(&ds, &keep, NOON + 2 * NS_PER_DAY).unwrap();
        assert_eq!(gone.paths.len(), 2);
        assert!(gone.paths.iter().all(|p| p.starts_with("v1/raw/venue=v/date=2026-11-20/")));
        assert_eq!(left(&ds).len(), 10);
        assert!(!d.path().join("v1/raw/venue=v/date=2026-11-20").exists());
        assert!(d.path().join("v1/raw/venue=v/date=2026-11-21").exists());
        assert_eq!(retain(&ds, &keep, NOON + 2 * NS_PER_DAY).unwrap(), Gone::default());
    }

    #[test]
    fn too_much_goes_by_whole_days_and_today_by_intervals() {
        let d = tempfile::tempdir().unwrap();
        let ds = Dataset::create(d.path()).unwrap();
        fill(&ds);
        let all: u64 = ds.manifest().unwrap().parts().map(|p| p.bytes).sum();
        let now = NOON + 2 * NS_PER_DAY + 2 * HOUR;
        let keep = |max| Keep { max_bytes: Some(max), ..Keep::default() };
        assert_eq!(retain(&ds, &keep(all), now).unwrap(), Gone::default());
        assert_eq!(retain(&ds, &keep(all - 1), now).unwrap().paths.len(), 4);
        assert_eq!(left(&ds).iter().filter(|(_, day)| day == "20").count(), 0);
        let gone = retain(&ds, &keep(1), now).unwrap();
        assert_eq!((gone.paths.len(), left(&ds).len()), (6, 2));
        assert!(gone.over_by > 0);
    }

    #[test]
    fn a_crash_between_manifest_and_disk_is_finished_at_the_next_start() {
        let d = tempfile::tempdir().unwrap();
        let ds = Dataset::create(d.path()).unwrap();
        fill(&ds);
        let path = ds.manifest().unwrap().parts().next().unwrap().path.clone();
        ds.tell(&[Line::Delete { path: path.clone(), why: "retention".into() }]).unwrap();
        drop(ds);
        assert!(d.path().join(&path).exists());
        let ds = Dataset::create(d.path()).unwrap();
        assert!(!d.path().join(&path).exists());
        assert_eq!(left(&ds).len(), 11);
    }
}
