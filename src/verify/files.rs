//! The first pass: every published file, once. Is it there, is it what the manifest says, and what do its rows say.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::books::BookRows;
use super::facts::{AuditRows, Cx, Facts, RawRows, RejectRows, StatedRows, Visitor};
use super::order::Order;
use super::report::{CheckId, Report};
use super::trades::Trades;
use super::{Options, Progress, VerifyError};
use crate::dataset::hash::RowsHash;
use crate::dataset::part::PartStats;
use crate::dataset::publish::file_sha256;
use crate::dataset::read::{self, Want};
use crate::dataset::{Dataset, DatasetError, Level, Manifest, PartRecord, Table};

/// Files that one `row` counts through, and whose rows are looked at in order.
struct Group<'m> {
    table: Table,
    parts: Vec<&'m PartRecord>,
}

/// What a group is called: the files of an instrument share a directory, those of a lane a number.
fn group_name(path: &str, table: Table) -> String {
    match table.spec().level {
        Level::Symbol => path.split("/date=").next().unwrap_or(path).to_owned(),
        Level::Venue | Level::None => format!("{} {}", table.name(), lane_of(path)),
    }
}

/// The lane in a part's name (`part-<interval>-<lane>-<n>.parquet`), "" if it is none.
fn lane_of(path: &str) -> &str {
    path.rsplit('/').next().and_then(|f| f.split('-').nth(2)).unwrap_or("")
}

fn groups<'m>(m: &'m Manifest, o: &Options, report: &mut Report) -> Vec<(String, Group<'m>)> {
    let mut by: BTreeMap<(Table, String), Vec<&PartRecord>> = BTreeMap::new();
    for p in m.parts().filter(|p| o.wants(p)) {
        match p.table() {
            Some(t) => by.entry((t, group_name(&p.path, t))).or_default().push(p),
            None => report.note(CheckId::Files, format!("table {:?} is of a newer version", p.table)),
        }
    }
    let mut out = Vec::new();
    for ((table, name), mut parts) in by {
        match table.spec().level {
            // An instrument that moved from lane to lane goes on counting.
            Level::Symbol => parts.sort_by(|a, b| (&a.date, a.row_min).cmp(&(&b.date, b.row_min))),
            _ => parts.sort_by(|a, b| (a.order(), &a.venue).cmp(&(b.order(), &b.venue))),
        }
        out.push((name, Group { table, parts }));
    }
    // What these say of the ids is asked while those are read.
    out.sort_by_key(|(_, g)| g.table != Table::Gaps);
    out
}

/// Reads everything.
pub(super) fn read(
    ds: &Dataset,
    m: &Manifest,
    o: &Options,
    report: &mut Report,
    progress: Progress<'_>,
) -> Result<Facts, VerifyError> {
    let mut facts = Facts { partial: o.is_partial(), venue: o.venue.clone(), ..Facts::default() };
    let deleted: BTreeSet<String> = m
        .deleted()
        .filter_map(|(path, _)| Some(group_name(path, Table::from_name(path.split('/').nth(1)?)?)))
        .collect();
    let groups = groups(m, o, report);
    let all: u64 = groups.iter().flat_map(|(_, g)| &g.parts).map(|p| p.bytes).sum();
    let mut done = 0;
    for (name, g) in &groups {
        let whole = !deleted.contains(name) && !o.is_partial();
        let mut visitors = visitors(g, whole || (o.date.is_some() && !deleted.contains(name)), o);
        // Where a day was singled out or files were deleted, what was before the first file is not known.
        let mut known = whole;
        for p in &g.parts {
            progress("files", done, all);
            let mut cx = Cx { report, facts: &mut facts };
            let ok = match sound(ds, p, g.table, cx.report)? {
                true => visit(ds.root(), p, &mut visitors, known, &mut cx)?,
                false => false,
            };
            if !ok {
                for v in &mut visitors {
                    v.skip(p, &mut cx);
                }
            }
            known = ok;
            done += p.bytes;
        }
        let mut cx = Cx { report, facts: &mut facts };
        for v in &mut visitors {
            v.end(&mut cx);
        }
    }
    if !o.is_partial() {
        strangers(ds, m, report)?;
    }
    Ok(facts)
}

fn visitors(g: &Group<'_>, whole: bool, o: &Options) -> Vec<Box<dyn Visitor>> {
    let level = g.table.spec().level;
    // The rows of a lane are counted over all venues.
    let whole = whole && (level == Level::Symbol || o.venue.is_none());
    let mut v: Vec<Box<dyn Visitor>> = vec![Box::new(Order::new(level, whole))];
    let Some(first) = g.parts.first() else { return v };
    match g.table {
        Table::BookDelta => v.push(Box::new(BookRows::new(first))),
        Table::Trades => v.push(Box::new(Trades::new(first))),
        Table::Coverage => v.push(Box::new(StatedRows { is_cover: true })),
        Table::Gaps => v.push(Box::new(StatedRows { is_cover: false })),
        Table::Rejects => v.push(Box::new(RejectRows)),
        Table::Audits => v.push(Box::new(AuditRows)),
        Table::Raw => v.push(Box::new(RawRows)),
        _ => {}
    }
    v
}

/// Holds a file's bytes against the manifest and says what is wrong; `false` if its rows must not be looked at.
fn sound(ds: &Dataset, p: &PartRecord, table: Table, report: &mut Report) -> Result<bool, DatasetError> {
    let path = ds.root().join(&p.path);
    report.count(CheckId::Files, "files", 1);
    report.count(CheckId::Files, "bytes", p.bytes as i64);
    let sha = match file_sha256(&path) {
        Ok(sha) => sha,
        Err(DatasetError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            // A running writer may have let it go since we began.
            match ds.manifest()?.get(&p.path) {
                Some(_) => report.fault(CheckId::Files, &p.path, -1, || "is missing".to_owned()),
                None => report.note(CheckId::Files, format!("{}: was deleted meanwhile", p.path)),
            }
            return Ok(false);
        }
        Err(e) => return Err(e),
    };
    if sha == p.sha256 {
        return Ok(true);
    }
    // Some damage leaves the rows as they were; then they can still be judged.
    let rows = match read::summary(&path, table) {
        Ok((_, rows)) => rows,
        Err(DatasetError::Damaged { detail, .. }) => detail,
        Err(e) => return Err(e),
    };
    let same = rows == p.rows_sha256;
    report.fault(CheckId::Files, &p.path, -1, || {
        let what = if same { "its rows are" } else { "its rows are not" };
        format!("SHA-256 is {sha}, the manifest says {}; {what} those that were written", p.sha256)
    });
    Ok(same)
}

/// Reads a file's rows, for the manifest's numbers and for whoever looks at them.
fn visit(
    root: &Path,
    p: &PartRecord,
    visitors: &mut [Box<dyn Visitor>],
    known: bool,
    cx: &mut Cx<'_>,
) -> Result<bool, DatasetError> {
    let damaged = |e: DatasetError, cx: &mut Cx<'_>| match e {
        DatasetError::Damaged { detail, .. } => {
            cx.report.fault(CheckId::Files, &p.path, -1, || detail);
            Ok(false)
        }
        e => Err(e),
    };
    // The caller groups by known tables.
    let Some(table) = p.table() else { return Ok(false) };
    let spec = table.spec();
    let (mut stats, mut hash) = (PartStats::default(), RowsHash::default());
    let batches = match read::open(&root.join(&p.path), Want::default()) {
        Ok(b) => b,
        Err(e) => return damaged(e, cx),
    };
    for v in visitors.iter_mut() {
        v.part(p, known, cx);
    }
    for batch in batches {
        let b = match batch {
            Ok(b) => b,
            Err(e) => return damaged(e, cx),
        };
        if b.batch.schema().fields() != spec.arrow.fields() {
            let what = || format!("its columns are not those of {}", spec.name);
            cx.report.fault(CheckId::Files, &p.path, -1, what);
            return Ok(false);
        }
        if !(stats.add(spec, &b.batch) && hash.update(&b.batch)) {
            let what = || "a column is not what its schema says".to_owned();
            cx.report.fault(CheckId::Files, &p.path, -1, what);
            return Ok(false);
        }
        for v in visitors.iter_mut() {
            if let Err(e) = v.batch(p, &b, cx) {
                return damaged(e, cx);
            }
        }
    }
    figures(p, &stats, &hash.hex(), cx.report);
    Ok(true)
}

fn figures(p: &PartRecord, s: &PartStats, rows_sha256: &str, report: &mut Report) {
    let stated = (p.rows, (p.row_min, p.row_max), (p.ts_min, p.ts_max), (p.id_min, p.id_max));
    let found = (s.rows, s.row, s.ts_recv, s.ids);
    if stated != found {
        report.fault(CheckId::Files, &p.path, -1, || {
            format!("rows, row, ts_recv and id ranges are {found:?}, the manifest says {stated:?}")
        });
    }
    if rows_sha256 != p.rows_sha256 {
        report.fault(CheckId::Files, &p.path, -1, || {
            format!("rows_sha256 is {rows_sha256}, the manifest says {}", p.rows_sha256)
        });
    }
}

/// Lines of the manifest that were taken away: the files that they named may be gone with them, and nothing else need
/// show it. `written`: how many lines there were at least before the manifest was read.
pub(super) fn lines(m: &Manifest, written: u64, report: &mut Report) {
    if written == 0 && m.lines() > 0 {
        report.note(CheckId::Files, "an older version did not count the manifest's lines".to_owned());
    }
    for l in m.lost(written) {
        report.fault(CheckId::Files, &l.file, -1, || {
            let place = match l.line {
                0 => "at the end".to_owned(),
                line => format!("before line {line}"),
            };
            format!(
                "{} line(s) are missing {place}: a file may be missing with each; `lobtape rebuild DIR --all` shows which",
                l.count
            )
        });
    }
}

/// Files below `v1/` that the manifest does not name.
fn strangers(ds: &Dataset, m: &Manifest, report: &mut Report) -> Result<(), DatasetError> {
    let mut found = Vec::new();
    walk(ds.root(), "v1", &mut found)?;
    let deleted: BTreeSet<&str> = m.deleted().map(|(p, _)| p).collect();
    let unknown: Vec<String> = found.into_iter().filter(|f| m.get(f).is_none()).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    // A writer renames first and tells the manifest then: what is new since we began is no stranger.
    let now = ds.manifest()?;
    for f in unknown.iter().filter(|f| now.get(f).is_none()) {
        if deleted.contains(f.as_str()) {
            report.note(CheckId::Files, format!("{f}: deleted in the manifest, still on disk"));
        } else if f.ends_with(".parquet") {
            report.fault(CheckId::Files, f, -1, || "the manifest does not know it".to_owned());
        } else {
            report.note(CheckId::Files, format!("{f}: not a file of the dataset"));
        }
    }
    Ok(())
}

fn walk(root: &Path, dir: &str, out: &mut Vec<String>) -> Result<(), DatasetError> {
    let at = root.join(dir);
    let fail = |source| DatasetError::Io { path: at.clone(), doing: "listing", source };
    let entries = match std::fs::read_dir(&at) {
        Ok(e) => e,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(fail(e)),
    };
    for entry in entries {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name();
        let path = format!("{dir}/{}", name.to_string_lossy());
        if entry.file_type().map_err(fail)?.is_dir() {
            if path != "v1/_manifest" {
                walk(root, &path, out)?;
            }
        } else {
            out.push(path);
        }
    }
    Ok(())
}
