//! What comes first after a crash: the rings' records into the journal, and the gap of the crash itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::converting::{ConvertError, Converting};
use crate::bus::raw::{find_rings, ring_dir};
use crate::dataset::{Dataset, DatasetError};
use crate::journal::{Dirs, JournalError, JournalWriter, LaneState, Options, Report};
use crate::model::control::to_payload;
use crate::model::{GapCause, GapNote, Kind, LaneId, Record, RunStop};

/// Why recovery failed; nothing was lost by trying.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// The dataset cannot be opened.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The journal or a ring cannot be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The records cannot be converted.
    #[error(transparent)]
    Convert(#[from] ConvertError),
    /// The dataset's id is no id.
    #[error("{}: the marker's dataset id {id:?} is damaged", path.display())]
    Id {
        /// The dataset.
        path: PathBuf,
        /// What it says.
        id: String,
    },
}

/// A dataset's id as a number.
///
/// # Errors
/// The marker is damaged.
pub fn dataset_number(ds: &Dataset) -> Result<u128, RecoverError> {
    u128::from_str_radix(&ds.id().replace('-', ""), 16)
        .map_err(|_| RecoverError::Id { path: ds.root().to_owned(), id: ds.id().to_owned() })
}

/// Where the journal of a dataset is.
pub fn dirs(ds: &Dataset, fallback: Option<PathBuf>) -> Dirs {
    Dirs { primary: ds.journal_dir(), fallback }
}

/// A journal ready for the next run.
pub struct Recovered {
    /// The writer.
    pub writer: JournalWriter,
    /// What was found.
    pub report: Report,
    /// The cause of gaps of lanes that did not end cleanly.
    pub cause: GapCause,
}

/// Drains the rings of a run that died into the journal.
///
/// # Errors
/// [`RecoverError`].
pub fn recover(
    ds: &Dataset,
    options: Options,
    runtime_dir: Option<&Path>,
) -> Result<Recovered, RecoverError> {
    let number = dataset_number(ds)?;
    let marker = ds.marker()?;
    let boot_now = crate::sys::process::boot_id();
    let default = ring_dir(&ds.journal_dir(), 0);
    let journal = ds.journal_dir();
    let dirs = [runtime_dir, Some(default.as_path()), Some(journal.as_path())];
    let named: Vec<PathBuf> = marker.rings.into_iter().map(|(_, p)| p).collect();
    let gone: Vec<PathBuf> = named.iter().filter(|p| !p.exists()).cloned().collect();
    let rings =
        one_of_each(named.into_iter().chain(dirs.into_iter().flatten().flat_map(|d| find_rings(d, number))));
    let had_rings = !rings.is_empty();
    let (writer, report) = crate::journal::recover(&ds.journal_dir(), options, &rings)?;
    if marker.boot == boot_now && report.lanes.iter().any(|l| crashed(&l.state)) {
        for ring in gone {
            tracing::warn!(
                ring = %ring.display(),
                "the ring of the run that died is gone though the machine runs still; what stood in it alone is lost"
            );
        }
    }
    let cause = cause_of_death(&marker.boot, &boot_now, had_rings);
    Ok(Recovered { writer, report, cause })
}

/// The files that are there, each once: a ring has as many names as there are ways to it, and is opened by one.
fn one_of_each(paths: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let mut seen: Vec<PathBuf> = Vec::new();
    let mut is_new = |p: &PathBuf| {
        let Ok(real) = std::fs::canonicalize(p) else { return false };
        let is_new = !seen.contains(&real);
        seen.extend(is_new.then_some(real));
        is_new
    };
    paths.filter(|p| is_new(p)).collect()
}

/// What ended a run that did not stop: if the machine runs still as it did then, the process alone died. Where one of the
/// names is not known, memory must tell: what outlives a process does not outlive the machine's power.
fn cause_of_death(boot_then: &str, boot_now: &str, had_rings: bool) -> GapCause {
    let same = match (boot_then, boot_now) {
        ("", _) | (_, "") => had_rings,
        (then, now) => then == now,
    };
    if same { GapCause::ProcessCrash } else { GapCause::PowerLoss }
}

/// Whether a lane ended without its stop record.
pub fn crashed(lane: &LaneState) -> bool {
    lane.lane != 0 && !lane.stopped && lane.last_seq >= 0
}

/// The gap of a crash, one nanosecond after the last that is known.
pub fn crash_gap(lane: &LaneState, cause: GapCause) -> GapNote {
    GapNote {
        cause: cause.as_str().to_owned(),
        ts_begin: lane.max_ts_recv + 1,
        ts_end: 0,
        detail: "the run before ended without a stop".to_owned(),
    }
}

/// Ends lanes that crashed and will not be read again: their gap and a stop, so that their parts close.
///
/// # Errors
/// The journal cannot be written.
pub fn end_lanes(r: &mut Recovered, stays: impl Fn(LaneId) -> bool) -> Result<(), JournalError> {
    let gone: Vec<LaneState> =
        r.report.lanes.iter().map(|l| l.state).filter(|l| crashed(l) && !stays(l.lane)).collect();
    for l in gone {
        let gap = to_payload(&crash_gap(&l, r.cause));
        let ts = l.max_ts_recv + 1;
        let stop =
            RunStop { run_id: String::new(), ts_stop: ts, exit: format!("failed: {}", r.cause.as_str()) };
        for (n, (kind, payload)) in [(Kind::Gap, gap), (Kind::Stop, to_payload(&stop))].iter().enumerate() {
            let rec = Record {
                kind: *kind,
                flags: 0,
                lane: l.lane,
                status: 0,
                conn: 0,
                lane_seq: l.last_seq + 1 + n as i64,
                rseq: -1,
                ts_kernel: 0,
                ts_mono: 0,
                ts_recv: ts,
                url: "",
                payload,
            };
            r.writer.append(&rec)?;
        }
    }
    r.writer.sync()?;
    Ok(())
}

/// What recovery by hand did.
#[derive(Debug, serde::Serialize)]
pub struct Outcome {
    /// What was found.
    pub report: Report,
    /// Files made visible.
    pub files: i64,
    /// Their rows.
    pub rows: i64,
    /// Places where the journal was damaged.
    pub damage: i64,
    /// Lines of the manifest that were damaged and are as they were.
    pub manifest_mended: Vec<String>,
    /// Lines of the manifest that cannot be read, and why.
    pub manifest_damage: Vec<String>,
}

/// What capture does first after a crash, by hand: salvage, state the gap, convert, publish, seal.
///
/// # Errors
/// [`RecoverError`].
pub fn by_hand(root: &Path, runtime_dir: Option<&Path>) -> Result<Outcome, RecoverError> {
    use std::sync::atomic::Ordering;
    // Refuses what is no dataset before anything is created.
    Dataset::open(root)?;
    let ds = Arc::new(Dataset::create(root)?);
    let mut r = recover(&ds, Options::new(dataset_number(&ds)?), runtime_dir)?;
    end_lanes(&mut r, |_| false)?;
    let mut converting = Converting::resume(Arc::clone(&ds), dirs(&ds, None), r.writer.durable())?;
    let made = converting.catch_up(r.writer.durable())?;
    let next = r.writer.lane(0).map_or(0, |l| l.last_seq + 1);
    for (seq, c) in (next..).zip(made.iter().filter(|c| !converting.knows(c))) {
        let ts = r.writer.lane(0).map_or(c.at, |l| l.max_ts_recv.max(c.at));
        let rec = Record {
            kind: Kind::Checkpoint,
            flags: 0,
            lane: 0,
            status: 0,
            conn: 0,
            lane_seq: seq,
            rseq: -1,
            ts_kernel: 0,
            ts_mono: 0,
            ts_recv: ts,
            url: "",
            payload: &c.payload,
        };
        r.writer.append(&rec)?;
    }
    r.writer.sync()?;
    r.writer.close()?;
    ds.set_rings(&[])?;
    let p = converting.progress();
    let get = |n: &std::sync::atomic::AtomicI64| n.load(Ordering::Relaxed);
    Ok(Outcome {
        report: r.report,
        files: get(&p.files),
        rows: get(&p.rows),
        damage: get(&p.damage),
        manifest_mended: ds.manifest_mended().to_vec(),
        manifest_damage: ds.manifest_damage().to_vec(),
    })
}

/// What to say where the newest record is later than the clock: a lane's day and interval never go back (rows would be
/// filed where their files are closed already), so what comes is filed with that record until the clock has passed it.
pub fn clock_is_behind(newest_ns: i64, now_ns: i64) -> Option<String> {
    let behind_ns = newest_ns.saturating_sub(now_ns);
    (behind_ns > BEHIND_ALLOWED_NS).then(|| {
        let date = crate::model::time::date_text(crate::model::time::day_of(newest_ns));
        format!(
            "the clock is {} s behind the newest record of this dataset; until it has passed it, rows are filed under \
             date={date}, whatever their ts_recv: check the clock, or record into a new directory",
            behind_ns / 1_000_000_000
        )
    })
}

/// A clock that is corrected goes back by as much now and then.
const BEHIND_ALLOWED_NS: i64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_behind_the_records_is_told() {
        let day = 86_400_000_000_000;
        assert_eq!(clock_is_behind(5 * day, 5 * day + 1), None);
        assert_eq!(clock_is_behind(5 * day, 5 * day - BEHIND_ALLOWED_NS), None);
        let words = clock_is_behind(5 * day, 4 * day + 1).unwrap();
        assert!(words.contains("86399 s behind") && words.contains("date=1970-01-06"), "{words}");
    }

    #[test]
    fn a_machine_that_was_started_again_lost_its_power() {
        let of = |then: &str, now: &str, rings| cause_of_death(then, now, rings).as_str();
        assert_eq!(of("a", "a", true), "process_crash");
        assert_eq!(of("a", "a", false), "process_crash", "the ring's file was deleted");
        assert_eq!(of("a", "b", true), "power_loss", "the ring lies on a disk");
        assert_eq!(of("a", "b", false), "power_loss");
        for (then, now) in [("", "b"), ("a", "")] {
            assert_eq!(of(then, now, true), "process_crash");
            assert_eq!(of(then, now, false), "power_loss");
        }
    }

    #[test]
    fn a_ring_of_many_names_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let at = |p: &str| dir.path().join(p);
        std::fs::create_dir(at("run")).unwrap();
        std::os::unix::fs::symlink(at("run"), at("var")).unwrap();
        for f in ["run/a", "run/b"] {
            std::fs::write(at(f), f).unwrap();
        }
        let names = ["run/a", "var/a", "run/../run/a", "gone/a", "var/b"].map(at);
        assert_eq!(one_of_each(names.into_iter()), [at("run/a"), at("var/b")]);
    }

    #[test]
    fn the_marker_remembers_the_machine_s_run() {
        let dir = tempfile::tempdir().unwrap();
        let ds = Dataset::create(dir.path()).unwrap();
        assert_eq!(ds.marker().unwrap().boot, "");
        ds.set_rings(&[]).unwrap();
        assert_eq!(ds.marker().unwrap().boot, crate::sys::process::boot_id());
        drop(ds);
        let ds = Dataset::create(dir.path()).unwrap();
        assert_eq!(ds.marker().unwrap().boot, crate::sys::process::boot_id());
    }
}
