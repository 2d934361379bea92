//! A checkpoint: a lane's whole state right after a boundary (or a clean stop), when no part is open.

use std::io::Read;

use serde::{Deserialize, Serialize};

use super::lane::{LaneSink, Slot};
use crate::dataset::Table;
use crate::fold::{Effect, Fold, FoldSink, RestoreError};
use crate::model::{Head, InstrumentId, InstrumentVersion, LaneId, RowRef, VenueIx};

const FORMAT: u32 = 1;
/// Decompressed size that is believed; a book of 20,000 levels a side and 500 instruments takes 320 MB at worst.
const BYTES_MAX: usize = 1 << 30;

/// The state of one lane between two records.
#[derive(Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose.
    pub lane: LaneId,
    /// The last record that it knows: the boundary's or the stop's.
    pub lane_seq: i64,
    /// The boundary, or the stop's `ts_recv`.
    pub at: i64,
    /// zstd of the state; what the record carries.
    pub payload: Vec<u8>,
}

impl std::fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Checkpoint(lane {}, seq {}, at {}, {} bytes)",
            self.lane,
            self.lane_seq,
            self.at,
            self.payload.len()
        )
    }
}

/// Why a checkpoint is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Not readable at all.
    #[error("checkpoint is damaged: {0}")]
    Damaged(&'static str),
    /// Written by another version.
    #[error("checkpoint has format {0}; use the program that wrote it, or rebuild the day from `raw`")]
    Format(u32),
    /// The compressor's fault.
    #[error("checkpoint: {0}")]
    Io(#[from] std::io::Error),
    /// The fold's part.
    #[error(transparent)]
    Fold(#[from] RestoreError),
}

#[derive(Serialize, Deserialize)]
struct State {
    format: u32,
    lane: LaneId,
    lane_seq: i64,
    at: i64,
    interval_ns: i64,
    interval_start: i64,
    memory_bytes: u64,
    rows: Vec<(SlotName, i64)>,
    numbers: Vec<(SlotName, u32)>,
    fold: Vec<u8>,
}

/// A slot by names that outlive this run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct SlotName {
    table: String,
    /// An instrument's id inside the saved fold.
    instrument: Option<u32>,
    venue: Option<String>,
}

impl SlotName {
    fn of(s: Slot) -> SlotName {
        let table = s.table().name().to_owned();
        match s {
            Slot::Instrument(_, i) => SlotName { table, instrument: Some(i), venue: None },
            Slot::Venue(_, v) => {
                let venue = Some(crate::fold::venue_slug(VenueIx(v)).unwrap_or("_").to_owned());
                SlotName { table, instrument: None, venue }
            }
            Slot::Lane(_) => SlotName { table, instrument: None, venue: None },
        }
    }

    fn slot(&self) -> Option<Slot> {
        let table = Table::from_name(&self.table)?;
        Some(match (self.instrument, self.venue.as_deref()) {
            (Some(i), _) => Slot::Instrument(table, i),
            (None, Some("_")) => Slot::Venue(table, VenueIx::NONE.0),
            (None, Some(v)) => Slot::Venue(table, crate::fold::venue_index(v)?.0),
            (None, None) => Slot::Lane(table),
        })
    }
}

impl Checkpoint {
    pub(super) fn take(
        lane: LaneId,
        lane_seq: i64,
        at: i64,
        fold: &Fold,
        sink: &LaneSink,
    ) -> Result<Checkpoint, CheckpointError> {
        let mut rows: Vec<_> = sink.rows.iter().map(|(s, n)| (SlotName::of(*s), *n)).collect();
        let mut numbers: Vec<_> = sink.numbers.iter().map(|(s, n)| (SlotName::of(*s), *n)).collect();
        rows.sort();
        numbers.sort();
        let state = State {
            format: FORMAT,
            lane,
            lane_seq,
            at,
            interval_ns: sink.interval_ns,
            interval_start: sink.interval_start,
            memory_bytes: sink.memory_bytes,
            rows,
            numbers,
            fold: planted!("checkpoint_without_the_fold", Fold::new(lane).save()?, fold.save()?),
        };
        let plain =
            postcard::to_stdvec(&state).map_err(|_| CheckpointError::Damaged("state cannot be written"))?;
        Ok(Checkpoint { lane, lane_seq, at, payload: zstd::bulk::compress(&plain, 1)? })
    }

    /// Reads the payload of a checkpoint record.
    ///
    /// # Errors
    /// [`CheckpointError`] where the bytes are damaged or of another version.
    pub fn read(payload: &[u8]) -> Result<Checkpoint, CheckpointError> {
        let s = state(payload)?;
        Ok(Checkpoint { lane: s.lane, lane_seq: s.lane_seq, at: s.at, payload: payload.to_vec() })
    }

    pub(super) fn load(&self, sink: &mut LaneSink) -> Result<Fold, CheckpointError> {
        let s = state(&self.payload)?;
        sink.interval_ns = s.interval_ns;
        sink.interval_start = s.interval_start;
        sink.memory_bytes = s.memory_bytes;
        sink.rows = s.rows.iter().filter_map(|(k, n)| Some((k.slot()?, *n))).collect();
        sink.numbers = s.numbers.iter().filter_map(|(k, n)| Some((k.slot()?, *n))).collect();
        Ok(Fold::restore(&s.fold, &mut Names(sink))?)
    }

    /// The fold inside, with whoever wants to hear of its instruments.
    ///
    /// # Errors
    /// [`CheckpointError`] where the bytes are damaged or of another version.
    pub fn fold<S: FoldSink>(&self, sink: &mut S) -> Result<Fold, CheckpointError> {
        Ok(Fold::restore(&state(&self.payload)?.fold, sink)?)
    }
}

fn state(payload: &[u8]) -> Result<State, CheckpointError> {
    let plain = unpack(payload, BYTES_MAX)?;
    let (format, _) =
        postcard::take_from_bytes::<u32>(&plain).map_err(|_| CheckpointError::Damaged("no format"))?;
    if format != FORMAT {
        return Err(CheckpointError::Format(format));
    }
    postcard::from_bytes(&plain).map_err(|_| CheckpointError::Damaged("state cannot be read"))
}

/// Decompresses, never to more than `max` bytes: a few damaged ones may stand for gigabytes.
fn unpack(payload: &[u8], max: usize) -> Result<Vec<u8>, CheckpointError> {
    let mut plain = Vec::new();
    zstd::stream::Decoder::with_buffer(payload)
        .and_then(|d| d.take(max as u64 + 1).read_to_end(&mut plain))
        .map_err(|_| CheckpointError::Damaged("not zstd"))?;
    if plain.len() > max { Err(CheckpointError::Damaged("too large")) } else { Ok(plain) }
}

/// Hears of the instruments of a restored fold.
struct Names<'a>(&'a mut LaneSink);

impl FoldSink for Names<'_> {
    const ROWS: bool = false;
    fn row(&mut self, _: &Head, _: RowRef<'_>) {}
    fn instrument(&mut self, id: InstrumentId, version: &InstrumentVersion) {
        self.0.name(id, version);
    }
    fn effect(&mut self, _: Effect<'_>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_that_stands_for_more_than_is_believed_is_refused_before_it_is_all_unpacked() {
        let bomb = zstd::bulk::compress(&[0; 1 << 20], 1).unwrap();
        assert!(bomb.len() < 200);
        assert!(matches!(unpack(&bomb, 1 << 19), Err(CheckpointError::Damaged("too large"))));
        assert_eq!(unpack(&bomb, 1 << 20).unwrap().len(), 1 << 20);
        assert!(matches!(
            unpack(&bomb[..bomb.len() - 1], 1 << 20),
            Err(CheckpointError::Damaged("not zstd"))
        ));
    }
}
