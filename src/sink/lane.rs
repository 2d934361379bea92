//! The open parts of one lane.

use rustc_hash::FxHashMap;

use super::{SinkError, publish};
use crate::dataset::{
    ClosedPart, Dataset, DatasetError, Level, PartKey, PartWriter, Provenance, PublishReport, Table,
};
use crate::fold::{Effect, FoldSink};
use crate::model::{Head, InstrumentId, InstrumentVersion, RowRef, VenueIx, time};

/// Memory of a lane's open parts until its run record says otherwise.
const MEMORY_DEFAULT: u64 = 256 << 20;

/// What one part holds: an instrument's rows of a table, a venue's, or the lane's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Slot {
    Instrument(Table, u32),
    Venue(Table, u16),
    Lane(Table),
}

impl Slot {
    fn of(head: &Head, row: &RowRef<'_>) -> Slot {
        let table = Table::of(row);
        match table.spec().level {
            Level::Symbol => Slot::Instrument(table, head.instrument.0),
            Level::Venue => Slot::Venue(table, head.venue.0),
            Level::None => Slot::Lane(table),
        }
    }

    pub fn table(self) -> Table {
        match self {
            Slot::Instrument(t, _) | Slot::Venue(t, _) | Slot::Lane(t) => t,
        }
    }

    /// Whose `row` numbers it takes: an instrument's own, or the lane's for the table.
    fn counter(self) -> Slot {
        match self {
            Slot::Venue(t, _) => Slot::Lane(t),
            s => s,
        }
    }
}

/// An instrument as rows name it.
#[derive(Clone, Debug, Default)]
pub(super) struct Named {
    pub key: String,
    pub venue: String,
    pub symbol: String,
    pub exps: (u8, u8),
}

struct Open {
    slot: Slot,
    part: PartWriter,
    /// Bytes buffered when last looked.
    bytes: usize,
}

/// Everything about a lane's parts.
pub(super) struct LaneSink {
    rules_version: u32,
    pub interval_ns: i64,
    pub interval_start: i64,
    pub memory_bytes: u64,
    pub names: Vec<Named>,
    /// Next `row` per counter, since UTC midnight.
    pub rows: FxHashMap<Slot, i64>,
    /// Next part number per slot in this interval.
    pub numbers: FxHashMap<Slot, u32>,
    open: Vec<Open>,
    by_slot: FxHashMap<Slot, usize>,
    bytes: usize,
    /// Parts cut inside the interval, not yet visible.
    cut: Vec<ClosedPart>,
}

impl LaneSink {
    pub fn new(rules_version: u32) -> LaneSink {
        LaneSink {
            rules_version,
            interval_ns: 3_600 * time::NS_PER_S,
            interval_start: i64::MIN,
            memory_bytes: MEMORY_DEFAULT,
            names: Vec::new(),
            rows: FxHashMap::default(),
            numbers: FxHashMap::default(),
            open: Vec::new(),
            by_slot: FxHashMap::default(),
            bytes: 0,
            cut: Vec::new(),
        }
    }

    pub fn run(&mut self, interval_ns: i64, memory_bytes: u64) {
        self.interval_ns = interval_ns.max(1);
        self.memory_bytes = memory_bytes.max(1 << 20);
    }

    /// The sink of one record.
    pub fn at<'a>(&'a mut self, ds: &'a Dataset, ts_recv: i64) -> StepSink<'a> {
        if self.interval_start == i64::MIN {
            self.interval_start = time::floor_to(ts_recv, self.interval_ns);
        }
        StepSink { sink: self, ds, failed: None }
    }

    pub fn open_interval(&mut self, at: i64) {
        if time::day_of(at) != time::day_of(self.interval_start) {
            self.rows.clear();
        }
        self.numbers.clear();
        self.interval_start = at;
    }

    /// Whether a record lies beyond the open interval. That is so only after a silence of more than an interval: its
    /// boundaries are not all stated (`LaneClock`), and what follows must not be filed under the day before it.
    pub fn is_past(&self, ts_recv: i64) -> bool {
        self.interval_start != i64::MIN && ts_recv >= self.interval_start.saturating_add(self.interval_ns)
    }

    pub fn buffered_bytes(&self) -> usize {
        self.bytes
    }

    fn push(&mut self, ds: &Dataset, head: &Head, row: &RowRef<'_>) -> Result<(), DatasetError> {
        let slot = Slot::of(head, row);
        let at = match self.by_slot.get(&slot) {
            Some(at) => *at,
            None => self.open_part(ds, slot, head)?,
        };
        static NOBODY: Named =
            Named { key: String::new(), venue: String::new(), symbol: String::new(), exps: (0, 0) };
        let named = self.names.get(head.instrument.ix()).unwrap_or(&NOBODY);
        let counter = self.rows.entry(slot.counter()).or_insert(0);
        let open = &mut self.open[at];
        open.part.push(counter, head, &named.key, named.exps, row)?;
        let now = open.part.buffered_bytes();
        self.bytes = self.bytes + now - open.bytes;
        open.bytes = now;
        if self.bytes as u64 > self.memory_bytes {
            self.relieve()?;
        }
        Ok(())
    }

    #[cold]
    fn open_part(&mut self, ds: &Dataset, slot: Slot, head: &Head) -> Result<usize, DatasetError> {
        let n = self.numbers.entry(slot).or_insert(0);
        let (venue, symbol) = match slot {
            Slot::Instrument(_, i) => {
                let named = self.names.get(i as usize).cloned().unwrap_or_default();
                (named.venue, Some(named.symbol))
            }
            Slot::Venue(_, v) => (venue_name(VenueIx(v)), None),
            Slot::Lane(_) => (String::new(), None),
        };
        let key = PartKey {
            table: slot.table(),
            venue,
            symbol,
            day: time::day_of(self.interval_start),
            interval_start: self.interval_start,
            lane: head.lane,
            n: *n,
        };
        *n += 1;
        let part = PartWriter::new(ds, key, self.rules_version)?;
        self.open.push(Open { slot, part, bytes: 0 });
        self.by_slot.insert(slot, self.open.len() - 1);
        Ok(self.open.len() - 1)
    }

    /// Too much waits: the largest builder (ties: the first in slot order) encodes a group. Depends on rows alone.
    #[cold]
    fn relieve(&mut self) -> Result<(), DatasetError> {
        let largest = self.open.iter_mut().max_by(|a, b| a.bytes.cmp(&b.bytes).then(b.slot.cmp(&a.slot)));
        if let Some(o) = largest {
            o.part.flush_group()?;
            let now = o.part.buffered_bytes();
            self.bytes = self.bytes + now - o.bytes;
            o.bytes = now;
        }
        Ok(())
    }

    fn close_where(&mut self, mut which: impl FnMut(Slot) -> bool) -> Result<(), DatasetError> {
        // A part is closed when the next has encoded its rows: parts are hashed two at a time.
        let mut before: Option<PartWriter> = None;
        let mut at = 0;
        while at < self.open.len() {
            if which(self.open[at].slot) {
                let mut o = self.open.swap_remove(at);
                self.by_slot.remove(&o.slot);
                if let Some(moved) = self.open.get(at) {
                    self.by_slot.insert(moved.slot, at);
                }
                self.bytes -= o.bytes;
                o.part.flush_group()?;
                if let Some(part) = before.replace(o.part) {
                    self.cut.extend(part.close()?);
                }
            } else {
                at += 1;
            }
        }
        if let Some(part) = before {
            self.cut.extend(part.close()?);
        }
        Ok(())
    }

    /// Parts that were cut by this record become visible.
    pub fn publish_cut(&mut self, ds: &Dataset, by: &Provenance) -> Result<PublishReport, SinkError> {
        publish(ds, std::mem::take(&mut self.cut), by)
    }

    /// All parts end and become visible, in the order of their names.
    pub fn close_all(&mut self, ds: &Dataset, by: &Provenance) -> Result<PublishReport, SinkError> {
        self.close_where(|_| true)?;
        self.cut.sort_by(|a, b| a.key.cmp(&b.key));
        self.publish_cut(ds, by)
    }
}

fn venue_name(ix: VenueIx) -> String {
    crate::fold::venue_slug(ix).unwrap_or("_").to_owned()
}

/// [`LaneSink`] for the time of one step; a failure is kept until the step is over.
pub(super) struct StepSink<'a> {
    sink: &'a mut LaneSink,
    ds: &'a Dataset,
    failed: Option<DatasetError>,
}

impl StepSink<'_> {
    pub fn done(self) -> Result<(), DatasetError> {
        self.failed.map_or(Ok(()), Err)
    }
}

impl LaneSink {
    /// An instrument's name and exponents.
    pub fn name(&mut self, id: InstrumentId, v: &InstrumentVersion) {
        if self.names.len() <= id.ix() {
            self.names.resize_with(id.ix() + 1, Named::default);
        }
        self.names[id.ix()] = Named {
            key: v.key(),
            venue: v.venue.clone(),
            symbol: v.symbol.clone(),
            exps: (v.price_exp, v.size_exp),
        };
    }
}

impl FoldSink for StepSink<'_> {
    const ROWS: bool = true;

    fn row(&mut self, head: &Head, row: RowRef<'_>) {
        if self.failed.is_none()
            && let Err(e) = self.sink.push(self.ds, head, &row)
        {
            self.failed = Some(e);
        }
    }

    fn instrument(&mut self, id: InstrumentId, version: &InstrumentVersion) {
        self.sink.name(id, version);
    }

    fn effect(&mut self, _: Effect<'_>) {}

    fn cut(&mut self, id: InstrumentId) {
        let closed = self.sink.close_where(|s| matches!(s, Slot::Instrument(_, i) if i == id.0));
        if let Err(e) = closed
            && self.failed.is_none()
        {
            self.failed = Some(e);
        }
    }
}
