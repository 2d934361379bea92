//! The converter thread: the journal's tail through the converter, files behind `dur`, segments reclaimed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::lane0::{Entry, Lane0};
use super::messages::Missed;
use crate::dataset::retention::{Keep, retain};
use crate::dataset::{Dataset, PublishReport};
use crate::journal::{Dirs, JournalError, JournalReader, JournalShared, Position, ReadItem};
use crate::metrics::{LaneMetrics, Shared, Writes};
use crate::model::control::to_payload;
use crate::model::{GapCause, GapNote, Kind, LaneId, Record};
use crate::sink::{Checkpoint, CheckpointError, Converter, SinkError, boundary_of};
use crate::wire::clock;

/// The tail is taken in batches of so much time: a wake-up and cold caches for each few frames would cost more than the
/// frames. Nothing waits for the converter but files that appear once an interval.
const BATCH_NS: i64 = 50_000_000;
/// A disk that refused is tried again after this long; twice as long each time,
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// but never longer than this.
const RETRY_MOST: Duration = Duration::from_secs(4);
/// A conversion is begun again when the disk takes this many bytes.
const ROOM: u64 = 4 << 20;

/// Why conversion cannot go on. The journal still has every record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConvertError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The dataset cannot be written.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// A checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

impl ConvertError {
    /// Whether the disk refused, so that waiting may help.
    pub fn is_storage(&self) -> bool {
        match self {
            ConvertError::Journal(e) => e.is_storage(),
            ConvertError::Sink(SinkError::Dataset(e)) => e.is_storage(),
            ConvertError::Sink(SinkError::Checkpoint(_)) | ConvertError::Checkpoint(_) => false,
        }
    }
}

/// What a conversion has done, for status and summaries.
#[derive(Debug, Default)]
pub struct Progress {
    /// Files made visible.
    pub files: AtomicI64,
    /// Their rows.
    pub rows: AtomicI64,
    /// Their bytes.
    pub bytes: AtomicI64,
    /// Places where the journal was damaged.
    pub damage: AtomicI64,
    /// The journal position that is converted.
    pub at: Mutex<Position>,
    /// Trades that gaps have lost.
    pub missed: Arc<Missed>,
    /// All lanes' stop records are converted and their files visible.
    pub done: AtomicBool,
    /// The capture ends: a disk that refuses is not waited for any more.
    pub stopping: AtomicBool,
}

impl Progress {
    fn count(&self, r: &PublishReport) {
        self.files.fetch_add((r.published + r.already) as i64, Ordering::Relaxed);
        self.rows.fetch_add(r.rows, Ordering::Relaxed);
        self.bytes.fetch_add(r.bytes as i64, Ordering::Relaxed);
    }
}

/// The converter with its place in the journal.
pub struct Converting {
    ds: Arc<Dataset>,
    reader: JournalReader,
    converter: Converter,
    /// Checkpoints that the journal has, by lane and last record: not written twice.
    known: BTreeSet<(LaneId, i64)>,
    /// Newest checkpoint of each lane: written again while the lane is silent, so that no segment is kept for it.
    newest: BTreeMap<LaneId, Checkpoint>,
    /// Where each lane's newest checkpoint record's lane can be read on from, once that checkpoint is durable.
    resume: Arc<Mutex<BTreeMap<LaneId, Position>>>,
    stopped: BTreeSet<LaneId>,
    /// Lanes that had ended before this run and have not begun again.
    gone: BTreeSet<LaneId>,
    progress: Arc<Progress>,
    keep: Option<Arc<Mutex<Keep>>>,
    /// The rules by which retention last looked.
    kept: Option<Keep>,
    /// Last record of each lane all of whose rows are visible, and its time.
    published: BTreeMap<LaneId, (i64, i64)>,
    /// Something was published since retention last looked.
    grown: bool,
    /// The journal's end when the run began; `None`: control knows what was recorded before it.
    begun: Option<Position>,
}

impl Converting {
    /// Finds the newest checkpoint of each lane and goes on from there.
    ///
    /// # Errors
    /// The journal or a checkpoint cannot be read.
    pub fn resume(ds: Arc<Dataset>, dirs: Dirs, end: Position) -> Result<Converting, ConvertError> {
        let mut scan = JournalReader::new(dirs.clone(), Position::START);
        let mut known = BTreeSet::new();
        let mut newest: BTreeMap<LaneId, Checkpoint> = BTreeMap::new();
        let mut gone = BTreeSet::new();
        while let Some(item) = scan.read(end)? {
            let ReadItem::Record { record, .. } = item else { continue };
            match record.kind {
                Kind::Checkpoint => {
                    let c = Checkpoint::read(record.payload)?;
                    known.insert((c.lane, c.lane_seq));
                    newest.insert(c.lane, c);
                }
                Kind::Stop => {
                    gone.insert(record.lane);
                }
                Kind::Run => {
                    gone.remove(&record.lane);
                }
                _ => {}
            }
        }
        let mut converter = Converter::new();
        for c in newest.values() {
            converter.restore(c)?;
        }
        Ok(Converting {
            ds,
            reader: JournalReader::new(dirs, Position::START),
            converter,
            known,
            newest,
            resume: Arc::default(),
            stopped: BTreeSet::new(),
            gone,
            progress: Arc::default(),
            keep: None,
            kept: None,
            published: BTreeMap::new(),
            grown: false,
            begun: Some(end),
        })
    }

    /// Counts into this.
    pub fn with_progress(mut self, p: Arc<Progress>) -> Converting {
        self.progress = p;
        self
    }

    /// Old files go by these rules after each publication, and when the rules change.
    pub fn with_retention(mut self, keep: Arc<Mutex<Keep>>) -> Converting {
        self.keep = Some(keep);
        self
    }

    fn retain(&mut self) {
        let Some(keep) = &self.keep else { return };
        let keep = {
            let mut now = keep.lock().unwrap_or_else(PoisonError::into_inner);
            let once = now.clone();
            // Whoever asked for room asks again where this was not enough.
            now.free_up = 0;
            once
        };
        let lacks = keep.free_up > 0;
        let keep_on = Keep { free_up: 0, ..keep.clone() };
        let is_new = lacks || self.kept.as_ref() != Some(&keep_on);
        if !std::mem::take(&mut self.grown) && !is_new {
            return;
        }
        self.kept = Some(keep_on);
        match retain(&self.ds, &keep, clock::wall_ns()) {
            Ok(gone) if !gone.paths.is_empty() => {
                tracing::info!(files = gone.paths.len(), bytes = gone.bytes, "old files went")
            }
            Ok(_) => {}
            // Old files cost space, not data; the next publication tries again.
            Err(e) => tracing::warn!(error = %e, "old files could not be removed"),
        }
    }

    /// Whether the journal has this checkpoint already.
    pub fn knows(&self, c: &Checkpoint) -> bool {
        self.known.contains(&(c.lane, c.lane_seq))
    }

    /// What it has done.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Converts what the journal has up to `end`, with nobody writing behind it (recovery by hand).
    ///
    /// # Errors
    /// As [`ConvertError`] says.
    pub fn catch_up(&mut self, end: Position) -> Result<Vec<Checkpoint>, ConvertError> {
        let mut made = Vec::new();
        while self.one(end, &mut |_| {}, &mut made)? {}
        Ok(made)
    }

    /// Follows a live journal until all lanes in `lanes` have stopped or the journal thread has ended.
    ///
    /// # Errors
    /// As [`ConvertError`] says.
    pub fn follow(
        &mut self,
        shared: &JournalShared,
        lane0: &Lane0,
        lanes: &[LaneId],
        metrics: &[Arc<LaneMetrics>],
    ) -> Result<(), ConvertError> {
        loop {
            let begun = clock::mono_ns();
            let marks = shared.wait_beyond(self.reader.position(), Duration::from_millis(100));
            // A part becomes visible only when the records that closed it are durable.
            let mut durable = |at: Position| {
                while shared.marks().dur <= at && !shared.marks().finished {
                    let _ = shared
                        .wait_beyond(Position { segment: u64::MAX, offset: 0 }, Duration::from_millis(2));
                }
            };
            self.turn(marks.jrn, &mut durable, lane0, lanes)?;
            for m in metrics {
                let seq = self.converter.last_seq(m.lane);
                let ts = self.converter.fold(m.lane).map_or(0, crate::fold::Fold::ts_max);
                m.converter.converted.set(seq, ts);
                if let Some((seq, ts)) = self.published.get(&m.lane) {
                    m.converter.published.set(*seq, *ts);
                }
            }
            if marks.finished && self.reader.position() >= marks.jrn {
                return Ok(());
            }
            let left = BATCH_NS - (clock::mono_ns() - begun);
            if left > 0 {
                shared.wait_ended(Duration::from_nanos(left.unsigned_abs()));
            }
        }
    }

    /// Converts what there is up to `end`, and hands new checkpoints to lane 000. `durable` waits until a position is.
    pub(super) fn turn(
        &mut self,
        end: Position,
        durable: &mut dyn FnMut(Position),
        lane0: &Lane0,
        lanes: &[LaneId],
    ) -> Result<(), ConvertError> {
        let mut made = Vec::new();
        while self.one(end, durable, &mut made)? {
            for c in std::mem::take(&mut made) {
                let at = self.reader.position();
                self.record(c, at, lane0);
            }
        }
        planted!("reclaimed_before_publication", lane0.reclaim(self.reader.position()), ());
        self.retain();
        if self.begun.take_if(|begun| end >= *begun).is_some() {
            self.progress.missed.set_earlier(self.converter.instruments());
        }
        let wanted = |lane: &LaneId| {
            let fold = self.converter.fold(*lane);
            fold.map(crate::fold::Fold::wanted)
                .unwrap_or_default()
                .into_iter()
                .map(|w| (*lane, w))
                .collect::<Vec<_>>()
        };
        self.progress.missed.set(lanes.iter().flat_map(wanted).collect());
        if lanes.iter().all(|l| self.stopped.contains(l)) {
            self.progress.done.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// The converter, to look at.
    #[cfg(test)]
    pub(super) fn converter(&self) -> &Converter {
        &self.converter
    }

    /// One record; `false` at the end.
    fn one(
        &mut self,
        end: Position,
        durable: &mut dyn FnMut(Position),
        made: &mut Vec<Checkpoint>,
    ) -> Result<bool, ConvertError> {
        let Some(item) = self.reader.read(end)? else { return Ok(false) };
        let ReadItem::Record { at, record, .. } = item else {
            // Reported where it is counted; the records behind it go on.
            self.progress.damage.fetch_add(1, Ordering::Relaxed);
            tracing::error!(?item, "the journal is damaged here: what it held is lost");
            return Ok(true);
        };
        if closes_parts(&record) {
            durable(at);
        }
        let (lane, kind) = (record.lane, record.kind);
        if self.converter.last_seq(lane) < record.lane_seq {
            match kind {
                Kind::Stop => self.stopped.insert(lane),
                Kind::Run => self.stopped.remove(&lane) | self.gone.remove(&lane),
                _ => false,
            };
        }
        let last = self.converter.last_seq(lane);
        let hole =
            (record.lane_seq > last + 1).then(|| Hole::before(&record, last, self.converter.fold(lane)));
        if let Some(h) = &hole {
            // What is missing was in a block that is damaged: the lane says so itself, so that its tape does.
            let fed = self.converter.feed(&self.ds, &h.record(lane))?;
            self.progress.count(&fed.published);
        }
        let fed = self.converter.feed(&self.ds, &record)?;
        self.progress.count(&fed.published);
        self.grown |= fed.published.published > 0;
        if let Some(c) = fed.checkpoint {
            self.published.insert(c.lane, (c.lane_seq, c.at));
            self.newest.insert(c.lane, c.clone());
            let again = c.lane == 0;
            made.push(c);
            if again {
                // Lanes that are gone cross no boundary: their state is written again with lane 000's.
                let silent = self.newest.values().filter(|c| c.lane != 0 && self.is_silent(c.lane));
                made.extend(silent.cloned());
            }
        }
        *self.progress.at.lock().unwrap_or_else(PoisonError::into_inner) = at;
        Ok(true)
    }

    fn is_silent(&self, lane: LaneId) -> bool {
        self.stopped.contains(&lane) || self.gone.contains(&lane)
    }

    fn record(&mut self, c: Checkpoint, at: Position, lane0: &Lane0) {
        let (lane, seq) = (c.lane, c.lane_seq);
        let resume = Arc::clone(&self.resume);
        let note = move || {
            let mut r = resume.lock().unwrap_or_else(PoisonError::into_inner);
            let now = r.entry(lane).or_insert(at);
            *now = (*now).max(at);
        };
        if self.known.insert((lane, seq)) || self.is_silent(lane) {
            let (ts, mono) = (clock::wall_ns().max(c.at), clock::mono_ns());
            let entry = Entry {
                durable: true,
                reply: Some(Box::new(move |_| note())),
                ..Entry::new(Kind::Checkpoint, c.payload)
            };
            lane0.append(ts, mono, entry);
        } else {
            note();
        }
        let r = self.resume.lock().unwrap_or_else(PoisonError::into_inner);
        // Each lane that the journal has records of: one without a checkpoint yet is read from its first record.
        if self.converter.lanes().all(|l| r.contains_key(&l))
            && let Some(before) = r.values().min().copied()
        {
            lane0.reclaim(before);
        }
    }
}

/// What the converter thread works on.
pub struct Follow {
    /// Where files go.
    pub ds: Arc<Dataset>,
    /// The journal.
    pub dirs: Dirs,
    /// The journal's end when this run began.
    pub end: Position,
    /// Rules by which old files go.
    pub keep: Arc<Mutex<Keep>>,
    /// The journal thread's marks.
    pub journal: Arc<JournalShared>,
    /// Control's lane.
    pub lane0: Arc<Lane0>,
    /// Lanes that must have stopped before it is done.
    pub lanes: Vec<LaneId>,
    /// What it counts into.
    pub progress: Arc<Progress>,
    /// What status shows.
    pub shared: Arc<Shared>,
}

impl Follow {
    /// The converter thread: follows the journal to its end. A disk that refuses costs nothing but time: what was open is
    /// given up, and when the disk takes files again all is made once more from the last checkpoint, as after a crash.
    ///
    /// # Errors
    /// What waiting does not mend, or a disk that refuses still when the capture ends. The journal has every record.
    pub fn run(self) -> Result<(), ConvertError> {
        let metrics = self.shared.lanes();
        let mut converting = self.begin(self.end)?;
        let mut delay = RETRY_FIRST;
        loop {
            let before = self.progress.files.load(Ordering::Relaxed);
            let e = match converting.follow(&self.journal, &self.lane0, &self.lanes, &metrics) {
                Ok(()) => break,
                Err(e) if e.is_storage() => e,
                Err(e) => return Err(e),
            };
            // Its memory and its files in the making go before anything else is tried.
            drop(converting);
            if self.progress.files.load(Ordering::Relaxed) > before {
                delay = RETRY_FIRST;
            }
            converting = self.again(e, &mut delay)?;
        }
        self.shared.storage.set(Writes::Converter, None);
        Ok(())
    }

    pub(super) fn begin(&self, end: Position) -> Result<Converting, ConvertError> {
        let c = Converting::resume(Arc::clone(&self.ds), self.dirs.clone(), end)?;
        Ok(c.with_progress(Arc::clone(&self.progress)).with_retention(Arc::clone(&self.keep)))
    }

    /// Waits until the disk takes files, then goes on from the last checkpoint.
    fn again(&self, mut e: ConvertError, delay: &mut Duration) -> Result<Converting, ConvertError> {
        loop {
            self.shared.storage.converter_failures.add(1);
            if self.shared.storage.set(Writes::Converter, Some(e.to_string())) {
                tracing::error!(error = %e, "files cannot be written; the journal goes on, and they are made when the disk takes them");
            }
            if self.progress.stopping.load(Ordering::Acquire) {
                return Err(e);
            }
            self.rest(*delay);
            *delay = (*delay * 2).min(RETRY_MOST);
            match self.retry() {
                Ok(c) => {
                    self.shared.storage.set(Writes::Converter, None);
                    tracing::info!("files are written again, from the last checkpoint on");
                    return Ok(c);
                }
                Err(next) if next.is_storage() => e = next,
                Err(next) => return Err(next),
            }
        }
    }

    /// Lets time pass, unless the capture ends.
    fn rest(&self, time: Duration) {
        let until = clock::mono_ns() + time.as_nanos() as i64;
        while clock::mono_ns() < until && !self.progress.stopping.load(Ordering::Acquire) {
            self.journal.wait_ended(Duration::from_millis(50));
        }
    }

    pub(super) fn retry(&self) -> Result<Converting, ConvertError> {
        // Cheap, and tells whether reading the journal again is of any use.
        self.ds.make_room(ROOM).map_err(SinkError::Dataset)?;
        let mut c = self.begin(self.journal.marks().dur)?;
        // Lanes that have stopped in this run: their records may be behind the checkpoint from which it goes on.
        c.stopped.clone_from(&c.gone);
        Ok(c)
    }
}

/// Records of a lane that the journal has lost.
struct Hole {
    first: i64,
    ts: i64,
    payload: Vec<u8>,
}

impl Hole {
    fn before(next: &Record<'_>, last: i64, fold: Option<&crate::fold::Fold>) -> Hole {
        let ts = fold.map_or(next.ts_recv, |f| f.ts_max().min(next.ts_recv));
        let note = GapNote {
            cause: GapCause::StorageCorruption.as_str().to_owned(),
            ts_begin: ts,
            ts_end: next.ts_recv,
            detail: format!("records {} to {} of the lane", last + 1, next.lane_seq - 1),
        };
        Hole { first: last + 1, ts, payload: to_payload(&note) }
    }

    /// It takes the place of the first of them.
    fn record(&self, lane: LaneId) -> Record<'_> {
        Record {
            kind: Kind::Gap,
            flags: 0,
            lane,
            status: 0,
            conn: 0,
            lane_seq: self.first,
            rseq: -1,
            ts_kernel: 0,
            ts_mono: 0,
            ts_recv: self.ts,
            url: "",
            payload: &self.payload,
        }
    }
}

fn closes_parts(rec: &Record<'_>) -> bool {
    match rec.kind {
        Kind::Stop | Kind::Instrument | Kind::Subscription => true,
        Kind::Timer => boundary_of(rec).is_some(),
        _ => false,
    }
}
