//! What every start does first: cut the torn tail, bring in what a killed process left in its rings.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{JournalError, JournalWriter, LaneState, Options, Position};
use crate::bus::raw::Salvage;
use crate::model::Record;
use crate::model::ids::LaneId;

/// What was found of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneReport {
    /// Its last numbers, those from the ring included. Not [`LaneState::stopped`]: the lane ended by a crash.
    pub state: LaneState,
    /// Records that came from its ring.
    pub salvaged: u64,
}

/// What was found in a ring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingReport {
    /// Its file; it is gone now.
    pub path: PathBuf,
    /// Which lane's.
    pub lane: LaneId,
    /// Records that the journal did not have.
    pub salvaged: u64,
    /// Records that it had.
    pub known: u64,
    /// Entries that failed their check.
    pub damaged: u64,
}

/// What recovery found and did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Each lane that the journal knows, by number.
    pub lanes: Vec<LaneReport>,
    /// Each ring that was read.
    pub rings: Vec<RingReport>,
    /// The journal was closed cleanly.
    pub sealed: bool,
    /// Bytes of a torn tail that were cut.
    pub torn_bytes: u64,
    /// Damaged blocks in the newest part of the journal. The converter meets and records those before it as well.
    pub corrupt_blocks: u64,
    /// End of the journal; all before it is durable.
    pub end: Position,
}

impl Report {
    /// Records that came from rings.
    pub fn salvaged(&self) -> u64 {
        self.rings.iter().map(|r| r.salvaged).sum()
    }

    /// One lane; `None` if the journal has none of its records.
    pub fn lane(&self, lane: LaneId) -> Option<&LaneReport> {
        self.lanes.iter().find(|l| l.state.lane == lane)
    }
}

/// Recovers the journal in `dir` with the rings that [`crate::bus::raw::find_rings`] found: records between `dur` and `head`
/// that the journal does not know by `(lane, lane_seq)` are appended, made durable, and only then the rings removed.
/// Dying at any point and running it again gives the same journal. The writer is ready for the new run.
///
/// # Errors
/// [`JournalError`]: the journal or a ring is in use, foreign, newer, or not readable. Rings are then left as they are.
pub fn recover(
    dir: &Path,
    options: Options,
    rings: &[PathBuf],
) -> Result<(JournalWriter, Report), JournalError> {
    let dataset = options.dataset;
    let mut writer = JournalWriter::open(dir, options)?;
    let mut opened = Vec::new();
    for path in rings {
        match Salvage::open(path, dataset)? {
            Some(s) => opened.push((path, s)),
            // Its process died while making it: nothing was ever in it.
            None => drop(std::fs::remove_file(path)),
        }
    }
    let mut reports = Vec::new();
    for (path, ring) in planted!("ring_thrown_away", [].iter_mut(), opened.iter_mut()) {
        reports.push(drain(&mut writer, path, ring)?);
    }
    writer.sync()?;
    for (path, ring) in opened {
        ring.clear();
        // An empty ring that stays is as good: the next run takes it over.
        let _ = std::fs::remove_file(path);
    }
    let (sealed, torn_bytes) = writer.tail_found().map_or((true, 0), |t| (t.sealed, t.torn_bytes));
    let salvaged = |lane| reports.iter().filter(|r: &&RingReport| r.lane == lane).map(|r| r.salvaged).sum();
    let report = Report {
        lanes: writer.lanes().iter().map(|l| LaneReport { state: *l, salvaged: salvaged(l.lane) }).collect(),
        rings: reports,
        sealed,
        torn_bytes,
        corrupt_blocks: writer.corrupt_found(),
        end: writer.durable(),
    };
    Ok((writer, report))
}

fn drain(writer: &mut JournalWriter, path: &Path, ring: &mut Salvage) -> Result<RingReport, JournalError> {
    let lane = ring.lane();
    let mut report = RingReport { path: path.to_path_buf(), lane, salvaged: 0, known: 0, damaged: 0 };
    while let Some(bytes) = ring.next_record() {
        match Record::decode(bytes) {
            Ok(r) if r.lane == lane => {
                if writer.lane(lane).is_some_and(|l| r.lane_seq <= l.last_seq) {
                    report.known += 1;
                } else {
                    writer.append_encoded(bytes)?;
                    report.salvaged += 1;
                }
            }
            // The check held, so these are the bytes that somebody wrote, but not one of our lanes.
            _ => report.damaged += 1,
        }
    }
    report.damaged += ring.damaged();
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ID, Seen, bytes, options, read_all, scratch};
    use super::*;
    use crate::bus::raw::{RawConsumer, RawOptions, RawProducer, create, find_rings, ring_file_name};
    use crate::journal::Dirs;

    fn ring(dir: &Path, lane: LaneId, last: i64) -> (RawProducer, RawConsumer) {
        let o = RawOptions { dataset: ID, lane, capacity: 1 << 16, last_lane_seq: last };
        create(&dir.join(ring_file_name(ID, lane)), &o).unwrap()
    }

    fn push(p: &mut RawProducer, seq: i64) {
        p.push(&Record::decode(&bytes(p.lane(), seq, 100)).unwrap()).unwrap();
    }

    #[test]
    fn what_the_journal_does_not_know_comes_from_the_ring_once() {
        let dir = scratch();
        let mut w = JournalWriter::open(dir.path(), options()).unwrap();
        let (mut p1, mut c1) = ring(dir.path(), 1, -1);
        let (mut p2, _c2) = ring(dir.path(), 2, -1);
        for seq in 0..10 {
            push(&mut p1, seq);
            push(&mut p2, seq);
        }
        // Lane 1: six are in the kernel, three of them durable. Lane 2: the journal has seen none.
        for i in 0..6 {
            w.append_encoded(c1.next_record().unwrap()).unwrap();
            if i == 2 {
                w.sync().unwrap();
                let pos = c1.position();
                c1.mark_dur(pos);
            }
        }
        w.commit().unwrap();
        drop((w, p1, c1, p2, _c2));

        let rings = find_rings(dir.path(), ID);
        assert_eq!(rings.len(), 2);
        let (w, report) = recover(dir.path(), options(), &rings).unwrap();
        assert_eq!((report.rings[0].salvaged, report.rings[0].known, report.rings[0].damaged), (4, 3, 0));
        assert_eq!((report.rings[1].salvaged, report.rings[1].known), (10, 0));
        assert_eq!((report.salvaged(), report.sealed, report.corrupt_blocks), (14, false, 0));
        let lane = report.lane(2).unwrap();
        assert_eq!((lane.state.last_seq, lane.state.last_ts_recv, lane.state.max_conn), (9, 1_000_009, 1000));
        assert!(!lane.state.stopped);
        assert_eq!(w.durable(), report.end);
        assert_eq!(find_rings(dir.path(), ID), Vec::<PathBuf>::new());
        drop(w);
        let mut want: Vec<Seen> = (0..10).map(|s| Seen::Record(1, s)).collect();
        want.extend((0..10).map(|s| Seen::Record(2, s)));
        assert_eq!(read_all(dir.path()), want);
        let (_w, again) = recover(dir.path(), options(), &[]).unwrap();
        assert_eq!((again.salvaged(), again.lane(2).unwrap().state), (0, lane.state));
    }

    /// Dying after the sync but before the ring is cleared, and anywhere before: the same journal.
    #[test]
    fn recovery_can_die_anywhere_and_be_run_again() {
        let dir = scratch();
        let (mut p, c) = ring(dir.path(), 1, -1);
        for seq in 0..20 {
            push(&mut p, seq);
        }
        drop((p, c));
        let rings = find_rings(dir.path(), ID);
        let keep = std::fs::read(&rings[0]).unwrap();
        for nth in 1..100 {
            let o = options();
            let faults = o.faults.clone();
            faults.write_in.store(nth, std::sync::atomic::Ordering::SeqCst);
            let done = recover(dir.path(), o, &rings).is_ok();
            assert_eq!(rings[0].exists(), !done, "the ring goes last");
            if done {
                break;
            }
            assert!(nth < 99);
        }
        use std::os::unix::fs::OpenOptionsExt;
        let again =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&rings[0]);
        std::io::Write::write_all(&mut again.unwrap(), &keep).unwrap();
        let (_w, report) = recover(dir.path(), options(), &rings).unwrap();
        assert_eq!((report.salvaged(), report.rings[0].known), (0, 20));
        let want: Vec<Seen> = (0..20).map(|s| Seen::Record(1, s)).collect();
        assert_eq!(read_all(dir.path()), want);
    }

    #[test]
    fn a_ring_in_use_stops_recovery_before_anything_is_cleared() {
        let dir = scratch();
        let (mut p1, c1) = ring(dir.path(), 1, -1);
        push(&mut p1, 0);
        drop((p1, c1));
        let (_p2, _c2) = ring(dir.path(), 2, -1);
        let rings = find_rings(dir.path(), ID);
        assert!(matches!(recover(dir.path(), options(), &rings), Err(JournalError::Ring(_))));
        assert!(rings.iter().all(|r| r.exists()));
        assert!(crate::journal::list_segments(&Dirs::new(dir.path())).unwrap().is_empty());
    }

    #[test]
    fn a_record_of_another_lane_in_a_ring_is_damage_and_the_rest_is_salvaged() {
        let dir = scratch();
        let (mut p, c) = ring(dir.path(), 1, -1);
        push(&mut p, 0);
        p.push(&Record::decode(&bytes(2, 0, 100)).unwrap()).unwrap();
        push(&mut p, 1);
        drop((p, c));
        let (w, report) = recover(dir.path(), options(), &find_rings(dir.path(), ID)).unwrap();
        assert_eq!((report.rings[0].salvaged, report.rings[0].damaged), (2, 1));
        assert!(w.lane(2).is_none());
        drop(w);
        assert_eq!(read_all(dir.path()), [Seen::Record(1, 0), Seen::Record(1, 1)]);
    }
}
