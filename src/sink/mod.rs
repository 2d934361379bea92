//! Journal tail to fold to Parquet: the converter, the only producer of Parquet.
//!
//! Live capture, recovery, import and rebuild feed the same [`Converter`] the same records, so they cannot differ.
//! What a lane's records give depends on that lane alone. Parts end at interval boundaries, clean stops, plan
//! changes and instrument versions, all of them records; a crash cuts nothing: the next start goes on from the last
//! [`Checkpoint`].

mod checkpoint;
mod control;
mod lane;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use control::{ControlLane, ControlRecord};

use std::collections::BTreeMap;

use crate::dataset::{ClosedPart, Dataset, DatasetError, Provenance, PublishReport};
use crate::fold::{Fold, FoldCounters};
use crate::model::control::from_payload;
use crate::model::{InstrumentVersion, Kind, LaneId, Record, RunStart, TimerEvent, time};

use lane::LaneSink;

/// Why conversion stopped. The records are still in the journal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The dataset could not be written.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// A checkpoint could not be written or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// What came of a record.
#[derive(Debug, Default)]
pub struct Fed {
    /// The lane crossed a boundary or stopped: its state, to be recorded on lane 000.
    pub checkpoint: Option<Checkpoint>,
    /// Files that became visible.
    pub published: PublishReport,
}

/// One lane: its fold and its open parts.
struct Lane {
    fold: Fold,
    sink: LaneSink,
    last_seq: i64,
}

/// The converter of one dataset.
pub struct Converter {
    lanes: BTreeMap<LaneId, Lane>,
    rules_version: u32,
    by: Provenance,
}

impl Converter {
    /// A converter that knows nothing yet.
    pub fn new() -> Converter {
        Converter {
            lanes: BTreeMap::new(),
            rules_version: crate::fold::RULES_VERSION,
            by: Provenance { build: env!("CARGO_PKG_VERSION").to_owned(), ..Provenance::default() },
        }
    }

    /// Goes on from a checkpoint of one lane.
    ///
    /// # Errors
    /// [`CheckpointError`] where its bytes are not this program's.
    pub fn restore(&mut self, c: &Checkpoint) -> Result<(), CheckpointError> {
        let mut sink = LaneSink::new(self.rules_version);
        let fold = c.load(&mut sink)?;
        self.lanes.insert(c.lane, Lane { fold, sink, last_seq: c.lane_seq });
        Ok(())
    }

    /// Number of the last record taken of a lane, −1 if none.
    pub fn last_seq(&self, lane: LaneId) -> i64 {
        self.lanes.get(&lane).map_or(-1, |l| l.last_seq)
    }

    /// The lanes of which a record or a checkpoint was taken.
    pub fn lanes(&self) -> impl Iterator<Item = LaneId> + '_ {
        self.lanes.keys().copied()
    }

    /// The versions in force of all instruments of which a list was recorded, by lane.
    pub fn instruments(&self) -> Vec<(LaneId, InstrumentVersion)> {
        let of = |(lane, l): (&LaneId, &Lane)| -> Vec<(LaneId, InstrumentVersion)> {
            l.fold.listed().map(|v| (*lane, v.clone())).collect()
        };
        self.lanes.iter().flat_map(of).collect()
    }

    /// What a lane's fold counted.
    pub fn counters(&self, lane: LaneId) -> FoldCounters {
        self.lanes.get(&lane).map(|l| l.fold.counters()).unwrap_or_default()
    }

    /// Bytes of rows that wait in open parts.
    pub fn buffered_bytes(&self) -> usize {
        self.lanes.values().map(|l| l.sink.buffered_bytes()).sum()
    }

    /// A lane's fold, to look at.
    pub fn fold(&self, lane: LaneId) -> Option<&Fold> {
        self.lanes.get(&lane).map(|l| &l.fold)
    }

    /// Takes one record. Records of a lane must come in order; one that was taken before is skipped.
    ///
    /// # Errors
    /// [`SinkError`] where the dataset cannot be written.
    pub fn feed(&mut self, ds: &Dataset, rec: &Record<'_>) -> Result<Fed, SinkError> {
        let rules = self.rules_version;
        let lane = self.lanes.entry(rec.lane).or_insert_with(|| Lane {
            fold: Fold::new(rec.lane),
            sink: LaneSink::new(rules),
            last_seq: -1,
        });
        if planted!("records_taken_twice", false, rec.lane_seq <= lane.last_seq) {
            return Ok(Fed::default());
        }
        lane.last_seq = rec.lane_seq;
        if rec.kind == Kind::Run
            && let Ok(run) = from_payload::<RunStart>(rec.payload)
        {
            lane.sink.run(run.interval_ns, run.lane_memory_bytes);
            self.by.run_id = run.run_id;
            self.by.host = run.host;
            self.by.config_sha256 = run.config_sha256;
        }
        let mut skipped = PublishReport::default();
        if lane.sink.is_past(rec.ts_recv) {
            // A UTC day may have begun with nothing behind it, or a book have ended: that stands in its own part, not in that
            // of a later day.
            let mut sink = lane.sink.at(ds, rec.ts_recv);
            lane.fold.meanwhile(rec, &mut sink);
            sink.done()?;
            skipped = lane.sink.close_all(ds, &self.by)?;
            lane.sink.open_interval(time::floor_to(rec.ts_recv, lane.sink.interval_ns));
        }
        let mut sink = lane.sink.at(ds, rec.ts_recv);
        lane.fold.step(rec, &mut sink);
        sink.done()?;
        let mut fed = match boundary_of(rec) {
            Some(at) => self.end_interval(ds, rec, at)?,
            None if rec.kind == Kind::Stop => self.end_run(ds, rec)?,
            None => Fed { checkpoint: None, published: lane.sink.publish_cut(ds, &self.by)? },
        };
        fed.published += skipped;
        Ok(fed)
    }

    fn end_interval(&mut self, ds: &Dataset, rec: &Record<'_>, at: i64) -> Result<Fed, SinkError> {
        let Some(lane) = self.lanes.get_mut(&rec.lane) else { return Ok(Fed::default()) };
        if at <= lane.sink.interval_start {
            // Stated again by the run after a crash: its parts are closed already, and names are given once.
            return Ok(Fed::default());
        }
        let published = lane.sink.close_all(ds, &self.by)?;
        lane.sink.open_interval(at);
        let checkpoint = Checkpoint::take(rec.lane, rec.lane_seq, at, &lane.fold, &lane.sink)?;
        Ok(Fed { checkpoint: Some(checkpoint), published })
    }

    fn end_run(&mut self, ds: &Dataset, rec: &Record<'_>) -> Result<Fed, SinkError> {
        let Some(lane) = self.lanes.get_mut(&rec.lane) else { return Ok(Fed::default()) };
        let published = lane.sink.close_all(ds, &self.by)?;
        let checkpoint = Checkpoint::take(rec.lane, rec.lane_seq, rec.ts_recv, &lane.fold, &lane.sink)?;
        Ok(Fed { checkpoint: Some(checkpoint), published })
    }
}

impl Default for Converter {
    fn default() -> Converter {
        Converter::new()
    }
}

/// The boundary that a record states, if it is one.
pub fn boundary_of(rec: &Record<'_>) -> Option<i64> {
    if rec.kind != Kind::Timer {
        return None;
    }
    match from_payload(rec.payload) {
        Ok(TimerEvent::Boundary(b)) => Some(b.at),
        _ => None,
    }
}

fn publish(ds: &Dataset, parts: Vec<ClosedPart>, by: &Provenance) -> Result<PublishReport, SinkError> {
    if parts.is_empty() {
        return Ok(PublishReport::default());
    }
    Ok(crate::dataset::publish(ds, parts, by)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::control::to_payload;
    use crate::model::{LaneClock, RunStop};

    const S: i64 = 1_000_000_000;

    fn record<'a>(kind: Kind, clock: &mut LaneClock, ts_recv: i64, payload: &'a [u8]) -> Record<'a> {
        Record {
            kind,
            flags: 0,
            lane: 1,
            status: 0,
            conn: 0,
            lane_seq: clock.take_seq(),
            rseq: -1,
            ts_kernel: 0,
            ts_mono: 0,
            ts_recv,
            url: "",
            payload,
        }
    }

    fn run_of(interval_ns: i64) -> Vec<u8> {
        to_payload(&RunStart {
            run_id: "r".into(),
            writer: "capture".into(),
            build: "0".into(),
            host: String::new(),
            config_sha256: String::new(),
            rules_version: 1,
            ts_start: 1,
            interval_ns,
            book_top_interval_ns: 0,
            lane_memory_bytes: 1 << 28,
            auto_register: false,
            epoch_floor: 0,
            venues: Vec::new(),
        })
    }

    #[test]
    fn after_days_of_silence_every_row_is_filed_under_its_own_day() {
        let dir = tempfile::tempdir().unwrap();
        let ds = Dataset::create(dir.path()).unwrap();
        let (day, hour, run) = (time::NS_PER_DAY, 3_600 * S, run_of(3_600 * S));
        let mut clock = LaneClock::new(1, -1, hour);
        let mut c = Converter::new();
        for ts in [5 * day + 3 * hour, 7 * day + 2 * hour, 7 * day + 4 * hour + 1] {
            while let Some(at) = clock.boundary_due(ts) {
                let payload = clock.boundary_payload(at);
                c.feed(&ds, &clock.boundary_record(at, 0, &payload)).unwrap();
                // Whoever takes checkpoints states them here, in the interval that begins.
                let note = record(Kind::Config, &mut clock, at, b"{}");
                c.feed(&ds, &note).unwrap();
            }
            let r = record(Kind::Run, &mut clock, ts, &run);
            c.feed(&ds, &r).unwrap();
        }
        let stop = to_payload(&RunStop {
            run_id: "r".into(),
            ts_stop: 7 * day + 5 * hour - 1,
            exit: "clean".into(),
        });
        let r = record(Kind::Stop, &mut clock, 7 * day + 5 * hour - 1, &stop);
        c.feed(&ds, &r).unwrap();

        let manifest = ds.manifest().unwrap();
        let raw: Vec<_> = manifest.parts().filter(|p| p.table == "raw").collect();
        assert!(raw.len() >= 5, "{raw:?}");
        for p in raw {
            assert_eq!(p.date, time::date_text(time::day_of(p.ts_min)), "{}", p.path);
            assert_eq!(p.date, time::date_text(time::day_of(p.ts_max)), "{}", p.path);
            assert!(p.ts_max < p.interval_start + hour, "{}", p.path);
        }
    }

    #[test]
    fn a_boundary_that_is_stated_again_after_a_crash_closes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let ds = Dataset::create(dir.path()).unwrap();
        let run = run_of(S);
        let mut clock = LaneClock::new(1, -1, S);
        let mut c = Converter::new();
        let mut starts = Vec::new();
        // Two boundaries; the lane dies after the first and its next run states it again.
        let first = record(Kind::Run, &mut clock, 5 * S + 1, &run);
        c.feed(&ds, &first).unwrap();
        for (at, new) in [(6 * S, true), (6 * S, false), (7 * S, true)] {
            let payload = clock.boundary_payload(at);
            let fed = c.feed(&ds, &clock.boundary_record(at, 0, &payload)).unwrap();
            assert_eq!(fed.checkpoint.is_some(), new);
            let again = record(Kind::Run, &mut clock, at + 1, &run);
            c.feed(&ds, &again).unwrap();
            starts.push(fed.published.published);
        }
        assert_eq!(starts, [1, 0, 1], "one part of `raw` an interval");
    }
}
