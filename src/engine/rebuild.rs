//! Parquet again from `raw`: the same converter over the same records, held against what is published.
//!
//! A day needs the state at its start: the checkpoints in lane 000's `raw` give it, and where there is none (the first
//! day) the lane's first record. Lanes are independent, so each is folded alone, lane 000 last: by then every state
//! that its checkpoint records speak of has been reached again and can be compared.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::dataset::publish::file_sha256;
use crate::dataset::raw::{self, RawLane};
use crate::dataset::{Dataset, DatasetError, Manifest, PartRecord, Table};
use crate::model::control::from_payload;
use crate::model::{GapCause, GapNote, Kind, LaneId, Record};
use crate::sink::{Checkpoint, CheckpointError, Converter, SinkError};

/// Why a rebuild stopped. What is published was not touched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// The dataset, or the directory for the result.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The result could not be written.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// A checkpoint in `raw` cannot be read.
    #[error("{}: lane_seq {lane_seq} of lane 000: {source}", path.display())]
    Checkpoint {
        /// The dataset.
        path: PathBuf,
        /// The record.
        lane_seq: i64,
        /// Why.
        source: CheckpointError,
    },
    /// There is no `raw` of these days.
    #[error("{}: no raw of {what}; `lobtape ls` shows the days there are", path.display())]
    NoRaw {
        /// The dataset.
        path: PathBuf,
        /// The days.
        what: String,
    },
    /// A lane's records begin in the middle and nothing says in which state.
    #[error("{}: lane {lane:03} begins at lane_seq {first} and no checkpoint before it is in raw", path.display())]
    NoStart {
        /// The dataset.
        path: PathBuf,
        /// Which lane.
        lane: LaneId,
        /// Its first record in `raw`.
        first: i64,
    },
    /// Records are missing: what follows cannot be what was.
    #[error("{}: lane {lane:03}: raw goes from lane_seq {before} to {after}", path.display())]
    Hole {
        /// The dataset.
        path: PathBuf,
        /// Which lane.
        lane: LaneId,
        /// The last record before the hole.
        before: i64,
        /// The first behind it.
        after: i64,
    },
    /// The directory for the result holds data.
    #[error("{}: holds data already; choose a new directory", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
}

impl RebuildError {
    /// Whether stored data is at fault.
    pub fn is_damage(&self) -> bool {
        match self {
            RebuildError::Dataset(e) => e.is_damage(),
            RebuildError::Checkpoint { .. } | RebuildError::NoStart { .. } | RebuildError::Hole { .. } => {
                true
            }
            _ => false,
        }
    }

    /// Whether other arguments would help.
    pub fn is_usage(&self) -> bool {
        match self {
            RebuildError::Dataset(e) => e.is_usage(),
            RebuildError::NoRaw { .. } | RebuildError::NotEmpty { .. } => true,
            _ => false,
        }
    }
}

/// Which days, and where to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// First and last UTC day (`YYYY-MM-DD`); `None` = all there are.
    pub days: Option<(&'a str, &'a str)>,
    /// Directory for the result; `None` = one below `_tmp`, removed at the end.
    pub out: Option<&'a Path>,
}

/// A file that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Difference {
    /// Path inside the dataset.
    pub path: String,
    /// What differs.
    pub what: String,
}

/// What a rebuild found.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Outcome {
    /// Where the result stands; "" if it was removed.
    pub out: String,
    /// Records folded.
    pub records: u64,
    /// Files with the same bytes.
    pub equal: u64,
    /// Files with the same rows in other bytes: written by another version of the program.
    pub same_rows: u64,
    /// Files with other rows, or damaged ones.
    pub different: Vec<Difference>,
    /// Published files that did not come out.
    pub missing: Vec<String>,
    /// Files that came out and are not published.
    pub extra: Vec<String>,
    /// UTC days of published files whose `raw` retention has let go: they cannot be rebuilt, and nothing is wrong.
    pub let_go: BTreeSet<String>,
    /// Published files of intervals whose records are not in `raw` yet (a running capture).
    pub not_yet: u64,
    /// Checkpoint records whose state was reached again.
    pub checkpoints_equal: u64,
    /// Checkpoint records that say something else than what was reached, as `lane:lane_seq`.
    pub checkpoints_different: Vec<String>,
}

impl Outcome {
    /// Whether everything is as published.
    pub fn is_equal(&self) -> bool {
        self.different.is_empty()
            && self.missing.is_empty()
            && self.extra.is_empty()
            && self.checkpoints_different.is_empty()
    }
}

/// Told now and then: records so far, and the lane.
pub type Progress<'a> = &'a mut dyn FnMut(u64, LaneId);

/// Builds days again and compares. Nothing that is published is changed.
///
/// # Errors
/// [`RebuildError`]: no or damaged `raw`, records missing, a directory that cannot be written.
pub fn rebuild(ds: &Dataset, o: &Options<'_>, progress: Progress<'_>) -> Result<Outcome, RebuildError> {
    // What a damaged line names comes out again, and is told as extra.
    let (manifest, _) = ds.sound_manifest()?;
    let (first, last) = o.days.unwrap_or(("0000", "9999"));
    let starts = lane_starts(&manifest, first, last);
    if starts.is_empty() {
        let mut what = o.days.map_or_else(|| "any day".to_owned(), |(a, b)| format!("{a}..{b}"));
        let gone = |p: &str| raw_place(p).is_some_and(|(date, ..)| (first..=last).contains(&date));
        if manifest.deleted().any(|(p, _)| gone(p)) {
            what.push_str(" any more (retention let it go)");
        }
        return Err(RebuildError::NoRaw { path: ds.root().to_owned(), what });
    }
    let scratch = match o.out {
        Some(dir) => Scratch { dir: dir.to_owned(), ours: false },
        None => Scratch::new(ds.root())?,
    };
    let to = Dataset::create(&scratch.dir)?;
    if to.manifest()?.parts().next().is_some() {
        return Err(RebuildError::NotEmpty { path: scratch.dir.clone() });
    }
    let mut work = Work { ds, to: &to, outcome: Outcome::default(), made: BTreeMap::new(), progress };
    let checkpoints = work.starting_points(&manifest, &starts, first)?;
    let mut lanes: Vec<LaneId> = starts.keys().copied().collect();
    // Lane 000 speaks of the others' states.
    lanes.sort_by_key(|&l| (l == 0, l));
    for lane in lanes {
        work.lane(&manifest, lane, starts[&lane], checkpoints.get(&lane), last)?;
    }
    let Work { mut outcome, .. } = work;
    compare(ds, &manifest, &to.manifest()?, (first, last), &mut outcome)?;
    if !scratch.ours {
        outcome.out = scratch.dir.display().to_string();
    }
    Ok(outcome)
}

/// First `lane_seq` of each lane's `raw` in these days.
fn lane_starts(m: &Manifest, first: &str, last: &str) -> BTreeMap<LaneId, i64> {
    let mut starts = BTreeMap::new();
    for p in raw_parts(m).filter(|p| (first..=last).contains(&p.date.as_str())) {
        let s = starts.entry(p.lane).or_insert(p.id_min);
        *s = p.id_min.min(*s);
    }
    starts
}

fn raw_parts(m: &Manifest) -> impl Iterator<Item = &PartRecord> {
    m.parts().filter(|p| p.table() == Some(Table::Raw))
}

/// Day, interval and lane of a `raw` file's path.
fn raw_place(path: &str) -> Option<(&str, i64, LaneId)> {
    let (dir, file) = path.strip_prefix("v1/raw/")?.rsplit_once('/')?;
    let mut name = file.strip_prefix("part-")?.split('-');
    Some((dir.rsplit_once("date=")?.1, name.next()?.parse().ok()?, name.next()?.parse().ok()?))
}

/// A directory of our own, gone when done.
struct Scratch {
    dir: PathBuf,
    ours: bool,
}

impl Scratch {
    fn new(root: &Path) -> Result<Scratch, RebuildError> {
        sweep(&root.join("_tmp"));
        let mut n = 0u64;
        loop {
            let dir = root.join("_tmp").join(format!("rebuild-{}-{n}", std::process::id()));
            match std::fs::create_dir(&dir) {
                Ok(()) => return Ok(Scratch { dir, ours: true }),
                // Left by a killed process of the same id, or of another thread of ours.
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => n += 1,
                Err(source) => {
                    let doing = "making a directory for the result (--out names another one)";
                    return Err(DatasetError::Io { path: dir, doing, source }.into());
                }
            }
        }
    }
}

/// Removes what a rebuild left that was killed: its process is gone.
fn sweep(tmp: &Path) {
    for entry in std::fs::read_dir(tmp).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid =
            name.to_str().and_then(|n| n.strip_prefix("rebuild-")?.split('-').next()?.parse::<u32>().ok());
        if let Some(pid) = pid
            && !Path::new("/proc").join(pid.to_string()).exists()
        {
            // Best effort: nothing counts that stays here.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.ours {
            // Best effort: what stays is below `_tmp`, where nothing counts.
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

struct Work<'a> {
    ds: &'a Dataset,
    to: &'a Dataset,
    outcome: Outcome,
    /// States that were reached, by lane and last record, as the SHA-256 of their bytes.
    made: BTreeMap<(LaneId, i64), [u8; 32]>,
    progress: Progress<'a>,
}

impl Work<'_> {
    /// For each lane that does not begin with its first record: the nearest checkpoint before it. Days are searched
    /// from the first one backwards; a converter that was behind may have written one later.
    fn starting_points(
        &self,
        m: &Manifest,
        starts: &BTreeMap<LaneId, i64>,
        first: &str,
    ) -> Result<BTreeMap<LaneId, Checkpoint>, RebuildError> {
        let mut found: BTreeMap<LaneId, Checkpoint> = BTreeMap::new();
        let wanted: BTreeMap<LaneId, i64> =
            starts.iter().filter(|s| *s.1 > 0).map(|(l, s)| (*l, *s)).collect();
        let mut days: Vec<&str> = raw_parts(m).filter(|p| p.lane == 0).map(|p| p.date.as_str()).collect();
        days.sort_unstable();
        days.dedup();
        let (before, from): (Vec<&str>, Vec<&str>) = days.into_iter().partition(|d| *d < first);
        let order = from.iter().take(1).chain(before.iter().rev()).chain(from.iter().skip(1));
        for day in order {
            let exact = |l: &LaneId, s: i64| found.get(l).is_some_and(|c| c.lane_seq == s - 1);
            let any = |l: &LaneId| found.contains_key(l);
            if wanted.iter().all(|(l, s)| exact(l, *s) || (*day != first && any(l))) {
                break;
            }
            self.search_day(m, day, &wanted, &mut found)?;
        }
        match wanted.iter().find(|(l, _)| !found.contains_key(l)) {
            Some((&lane, &first)) => {
                Err(RebuildError::NoStart { path: self.ds.root().to_owned(), lane, first })
            }
            None => Ok(found),
        }
    }

    fn search_day(
        &self,
        m: &Manifest,
        day: &str,
        wanted: &BTreeMap<LaneId, i64>,
        found: &mut BTreeMap<LaneId, Checkpoint>,
    ) -> Result<(), RebuildError> {
        let lanes = raw::lanes_of(self.ds, m, day, day);
        let Some(mut lane0) = lanes.into_iter().find(|l| l.lane() == 0) else { return Ok(()) };
        while let Some((r, _)) = lane0.next()? {
            if r.kind != Kind::Checkpoint {
                continue;
            }
            let c = self.checkpoint(r.payload, r.lane_seq)?;
            let fits = wanted.get(&c.lane).is_some_and(|s| c.lane_seq < *s);
            if fits && found.get(&c.lane).is_none_or(|f| f.lane_seq < c.lane_seq) {
                found.insert(c.lane, c);
            }
        }
        Ok(())
    }

    fn checkpoint(&self, payload: &[u8], lane_seq: i64) -> Result<Checkpoint, RebuildError> {
        let path = self.ds.root().to_owned();
        Checkpoint::read(payload).map_err(|source| RebuildError::Checkpoint { path, lane_seq, source })
    }

    fn lane(
        &mut self,
        m: &Manifest,
        lane: LaneId,
        start: i64,
        from: Option<&Checkpoint>,
        last: &str,
    ) -> Result<(), RebuildError> {
        let mut converter = Converter::new();
        if let Some(c) = from {
            converter.restore(c).map_err(|source| RebuildError::Checkpoint {
                path: self.ds.root().to_owned(),
                lane_seq: c.lane_seq,
                source,
            })?;
        }
        let known = from.map_or(start - 1, |c| c.lane_seq);
        // Records between the checkpoint and the day belong to the days before, but their fold is needed.
        let first =
            raw_parts(m).filter(|p| p.lane == lane && p.id_max > known).map(|p| p.date.as_str()).min();
        let Some(first) = first else { return Ok(()) };
        let all = raw::lanes_of(self.ds, m, first, last);
        let Some(mut records) = all.into_iter().find(|l| l.lane() == lane) else { return Ok(()) };
        self.fold(&mut converter, &mut records, known)
    }

    fn fold(
        &mut self,
        converter: &mut Converter,
        records: &mut RawLane,
        known: i64,
    ) -> Result<(), RebuildError> {
        let lane = records.lane();
        let (mut before, mut told) = (known, false);
        while let Some((r, _)) = records.next()? {
            if r.lane_seq <= known {
                continue;
            }
            if r.lane_seq != before + 1 && !told {
                let path = self.ds.root().to_owned();
                return Err(RebuildError::Hole { path, lane, before, after: r.lane_seq });
            }
            before = r.lane_seq;
            told = tells_a_loss(&r);
            self.outcome.records += 1;
            if self.outcome.records.is_multiple_of(1024) {
                (self.progress)(self.outcome.records, lane);
            }
            if r.kind == Kind::Checkpoint {
                let c = self.checkpoint(r.payload, r.lane_seq)?;
                self.held_against(&c);
            }
            if let Some(c) = converter.feed(self.to, &r)?.checkpoint {
                self.made.insert((c.lane, c.lane_seq), Sha256::digest(&c.payload).into());
            }
        }
        Ok(())
    }

    /// A checkpoint record is passed on as it is; what it says is compared with what was reached.
    fn held_against(&mut self, c: &Checkpoint) {
        match self.made.get(&(c.lane, c.lane_seq)) {
            Some(sum) if *sum == <[u8; 32]>::from(Sha256::digest(&c.payload)) => {
                self.outcome.checkpoints_equal += 1
            }
            Some(_) => self.outcome.checkpoints_different.push(format!("{}:{}", c.lane, c.lane_seq)),
            // Of before the first record folded, or of a lane whose records are not published yet.
            None => {}
        }
    }
}

/// What names a part, whatever its path.
fn key(p: &PartRecord) -> (&str, &str, &str, &str, i64, LaneId, u32) {
    (&p.table, &p.venue, &p.symbol, &p.date, p.interval_start, p.lane, p.n)
}

fn compare(
    ds: &Dataset,
    old: &Manifest,
    new: &Manifest,
    (first, last): (&str, &str),
    o: &mut Outcome,
) -> Result<(), RebuildError> {
    let mut reach: BTreeMap<LaneId, i64> = BTreeMap::new();
    for p in raw_parts(old) {
        let r = reach.entry(p.lane).or_insert(p.interval_start);
        *r = p.interval_start.max(*r);
    }
    let let_go: BTreeSet<(i64, LaneId)> =
        old.deleted().filter_map(|(p, _)| raw_place(p)).map(|(_, start, lane)| (start, lane)).collect();
    // `runs` says who ran the program, and that may be another one now.
    let judged = |p: &&PartRecord| {
        (first..=last).contains(&p.date.as_str()) && p.table() != Some(Table::Runs) && p.table().is_some()
    };
    let mut rebuilt: BTreeMap<_, &PartRecord> = new.parts().filter(judged).map(|p| (key(p), p)).collect();
    for was in old.parts().filter(judged) {
        match rebuilt.remove(&key(was)) {
            Some(now) => one(ds, was, now, o)?,
            None if reach.get(&was.lane).is_some_and(|r| was.interval_start > *r) => o.not_yet += 1,
            None if let_go.contains(&(was.interval_start, was.lane)) => {
                o.let_go.insert(was.date.clone());
            }
            None => o.missing.push(was.path.clone()),
        }
    }
    let deleted: BTreeSet<&str> = old.deleted().map(|(p, _)| p).collect();
    o.extra.extend(rebuilt.values().map(|p| p.path.clone()).filter(|p| !deleted.contains(p.as_str())));
    Ok(())
}

fn one(ds: &Dataset, was: &PartRecord, now: &PartRecord, o: &mut Outcome) -> Result<(), RebuildError> {
    let found = match file_sha256(&ds.root().join(&was.path)) {
        Ok(sha) => sha,
        Err(DatasetError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            o.different
                .push(Difference { path: was.path.clone(), what: "the published file is gone".to_owned() });
            return Ok(());
        }
        Err(e) => return Err(e.into()),
    };
    let what = if found == now.sha256 {
        o.equal += 1;
        return Ok(());
    } else if found != was.sha256 {
        "the published file is damaged: its bytes are not those of the manifest".to_owned()
    } else if was.rows_sha256 == now.rows_sha256 {
        o.same_rows += 1;
        return Ok(());
    } else {
        format!("{} rows published, {} rebuilt, with other content", was.rows, now.rows)
    };
    o.different.push(Difference { path: was.path.clone(), what });
    Ok(())
}
/// Whether a record says that the ones behind it are lost: a journal's block was damaged.
fn tells_a_loss(r: &Record<'_>) -> bool {
    let note = (r.kind == Kind::Gap).then(|| from_payload::<GapNote>(r.payload).ok()).flatten();
    note.is_some_and(|n| n.cause == GapCause::StorageCorruption.as_str())
}
