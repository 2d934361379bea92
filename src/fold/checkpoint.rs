//! The fold's state as bytes: what a checkpoint record carries, and how a fold goes on from it.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::FoldSink;
use super::state::{BookState, Conn, DiffMeta, Fold, Inst, PendingSnap, RunCfg, Stream};
use super::top::TopState;
use crate::book::{Book, DiffBuffer, Sequencer};
use crate::model::{InstrumentId, InstrumentVersion, LaneId, Level, Side, StreamId};
use crate::venue;

/// Version of the bytes; another one is refused.
const FORMAT: u32 = 13;

/// A fold's state as plain data.
#[derive(Serialize, Deserialize)]
pub struct Saved {
    format: u32,
    lane: LaneId,
    cfg: RunCfg,
    insts: Vec<SavedInst>,
    streams: Vec<(String, Stream)>,
    conns: Vec<(String, Conn)>,
    ts_max: i64,
    top_due: Vec<InstrumentId>,
    top_bucket: i64,
    day_opens: i64,
    boundary_at: i64,
    told: Vec<(InstrumentId, String, i64)>,
    held: Vec<super::backfill::Held>,
}

#[derive(Serialize, Deserialize)]
struct SavedInst {
    version: InstrumentVersion,
    exps_known: bool,
    elsewhere: bool,
    is_past: bool,
    listed: Option<Box<InstrumentVersion>>,
    exps_max: (u8, u8),
    book: Option<SavedBook>,
}

#[derive(Serialize, Deserialize)]
struct SavedBook {
    seq: Sequencer,
    bids: Vec<Level>,
    asks: Vec<Level>,
    buffer: DiffBuffer<DiffMeta>,
    pending: Option<PendingSnap>,
    epoch: i64,
    synced: bool,
    lapsed: i64,
    horizons: (Option<i64>, Option<i64>),
    crossed_run: u32,
    attempt: u32,
    carry: bool,
    last: i64,
    top: TopState,
    stream: StreamId,
    next: Option<Box<super::successor::Next>>,
    beside: super::deaf::Beside,
}

/// Why bytes are no state.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The bytes are damaged or of another version.
    #[error("checkpoint of the fold cannot be read: {0}")]
    Bytes(#[from] postcard::Error),
    /// Another format.
    #[error("checkpoint of format {found}; this program reads {known}: use the program that wrote it")]
    Format {
        /// What it says.
        found: u32,
        /// What we read.
        known: u32,
    },
    /// A venue that this program does not have.
    #[error("checkpoint names the venue {0:?}, which this program does not know")]
    Venue(String),
}

impl Fold {
    /// The state as bytes.
    ///
    /// # Errors
    /// If the state cannot be written, which is a fault of the program.
    pub fn save(&self) -> Result<Vec<u8>, RestoreError> {
        let c = &self.core;
        let slug = |ix: crate::model::VenueIx| super::state::venue_of(ix).spec().id.to_owned();
        let mut conns: Vec<_> = c.conns.values().map(|x| (slug(x.venue), Conn::clone(x))).collect();
        conns.sort_by_key(|(_, x)| x.id);
        let saved = Saved {
            format: FORMAT,
            lane: c.lane,
            cfg: c.cfg.clone(),
            insts: c.insts.iter().map(save_inst).collect(),
            streams: c.streams.iter().map(|s| (slug(s.venue), s.clone())).collect(),
            conns,
            ts_max: c.ts_max,
            top_due: c.top_due.clone(),
            top_bucket: c.top_bucket,
            day_opens: c.day_opens,
            boundary_at: c.boundary_at,
            told: c.told.iter().map(|((i, what), at)| (*i, what.clone(), *at)).collect(),
            held: c.held.clone(),
        };
        Ok(postcard::to_stdvec(&saved)?)
    }

    /// A fold that goes on from saved bytes; the sink hears of every instrument.
    ///
    /// # Errors
    /// [`RestoreError`] where the bytes are no state of this program.
    pub fn restore<S: FoldSink>(bytes: &[u8], sink: &mut S) -> Result<Fold, RestoreError> {
        let (format, _) = postcard::take_from_bytes::<u32>(bytes)?;
        if format != FORMAT {
            return Err(RestoreError::Format { found: format, known: FORMAT });
        }
        let saved: Saved = postcard::from_bytes(bytes)?;
        let mut fold = Fold::new(saved.lane);
        let c = &mut fold.core;
        c.cfg = saved.cfg;
        c.ts_max = saved.ts_max;
        c.top_due = saved.top_due;
        c.top_bucket = saved.top_bucket;
        c.day_opens = saved.day_opens;
        c.boundary_at = saved.boundary_at;
        c.told = saved.told.into_iter().map(|(i, what, at)| ((i, what), at)).collect();
        c.held = saved.held;
        let ix_of =
            |s: &str| venue::by_id(s).map(|(ix, _)| ix).ok_or_else(|| RestoreError::Venue(s.to_owned()));
        for (n, i) in saved.insts.into_iter().enumerate() {
            let ix = ix_of(&i.version.venue)?;
            let id = InstrumentId(n as u32);
            sink.instrument(id, &i.version);
            c.symbols[usize::from(ix.0)].insert(i.version.symbol.clone(), id);
            let book = i.book.map(|b| Box::new(load_book(b)));
            c.insts.push(Inst {
                exps_known: i.exps_known,
                elsewhere: i.elsewhere,
                is_past: i.is_past,
                listed: i.listed,
                exps_max: i.exps_max,
                book,
                ..Inst::new(ix, i.version)
            });
        }
        for (n, (slug, mut s)) in saved.streams.into_iter().enumerate() {
            s.venue = ix_of(&slug)?;
            c.stream_names[usize::from(s.venue.0)].insert(s.name.clone(), StreamId(n as u32));
            c.streams.push(s);
            c.may_have_twin(StreamId(n as u32));
        }
        let mut conns = FxHashMap::default();
        for (slug, mut x) in saved.conns {
            x.venue = ix_of(&slug)?;
            x.by_name = x
                .streams
                .iter()
                .filter_map(|id| c.streams.get(id.0 as usize).map(|s| (s.name.as_bytes().into(), *id)))
                .collect();
            conns.insert(x.id, Box::new(x));
        }
        c.conns = conns;
        Ok(fold)
    }
}

fn save_inst(i: &Inst) -> SavedInst {
    SavedInst {
        version: i.version.clone(),
        exps_known: i.exps_known,
        elsewhere: i.elsewhere,
        is_past: i.is_past,
        listed: i.listed.clone(),
        exps_max: i.exps_max,
        book: i.book.as_ref().map(|b| SavedBook {
            seq: b.seq.clone(),
            bids: b.book.levels(Side::Bid).collect(),
            asks: b.book.levels(Side::Ask).collect(),
            buffer: b.buffer.clone(),
            pending: b.pending,
            epoch: b.epoch,
            synced: b.synced,
            lapsed: b.lapsed,
            horizons: (b.bid_horizon, b.ask_horizon),
            crossed_run: b.crossed_run,
            attempt: b.attempt,
            carry: b.carry,
            last: b.last,
            top: b.top.clone(),
            stream: b.stream,
            next: b.next.clone(),
            beside: b.beside,
        }),
    }
}

fn load_book(s: SavedBook) -> BookState {
    let mut book = Book::new();
    book.apply(&s.bids, &s.asks);
    BookState {
        seq: s.seq,
        book,
        buffer: s.buffer,
        pending: s.pending,
        epoch: s.epoch,
        synced: s.synced,
        lapsed: s.lapsed,
        bid_horizon: s.horizons.0,
        ask_horizon: s.horizons.1,
        crossed_run: s.crossed_run,
        attempt: s.attempt,
        carry: s.carry,
        last: s.last,
        top: s.top,
        stream: s.stream,
        next: s.next,
        beside: s.beside,
        // None goes over an interval's end.
        audit: None,
    }
}
