//! The body of the journal thread: rings and control records in, one write per round, syncs behind it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, TryRecvError};

use super::marks::{JournalShared, Storage};
use super::{JournalError, JournalWriter, Position};
use crate::bus::raw::RawConsumer;
use crate::model::ids::ConnId;
use crate::model::{Kind, Record};

/// Control records that may wait for a sync; more stay in their channel.
const HELD_MAX: usize = 1024;
/// Longest payload of a control record, bytes. R19 allows REST bodies of 256 MiB.
const PAYLOAD_MAX: usize = 1 << 30;

/// A record of lane 000, from control or the converter. Its `lane_seq` is given by the journal thread.
pub struct ControlRecord {
    /// What it is.
    pub kind: Kind,
    /// `FLAG_…` bits.
    pub flags: u8,
    /// HTTP status of a `Rest`, else 0.
    pub status: i32,
    /// Connection; 0 = none.
    pub conn: ConnId,
    /// Number on the connection; −1 = was not received.
    pub rseq: i64,
    /// Monotonic time, ns.
    pub ts_mono: i64,
    /// User-space time, ns since the Unix epoch.
    pub ts_recv: i64,
    /// Path and query of a `Rest`.
    pub url: String,
    /// The bytes.
    pub payload: Vec<u8>,
    /// Answer only when the record is durable, and have it synced at once.
    pub durable: bool,
    /// Called on the journal thread when the record is in the kernel, or durable. Must be quick.
    pub reply: Option<Box<dyn FnOnce(Appended) + Send>>,
}

/// Where a control record went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its number in lane 000.
    pub lane_seq: i64,
    /// Where it begins.
    pub at: Position,
}

/// What the journal thread is asked to do.
pub enum Command {
    /// Append a record of lane 000 (a REST body too large for a ring among them).
    Append(Box<ControlRecord>),
    /// Drain this ring as well.
    AddLane(RawConsumer),
    /// Take back the segments that end before this position.
    Reclaim(Position),
}

/// How the journal thread works.
#[derive(Clone, Copy, Debug)]
pub struct PumpOptions {
    /// A sync begins at the latest this long after the last one began.
    pub sync_every: Duration,
    /// How long to rest between rounds, unless there is more than one round takes.
    pub poll_every: Duration,
    /// Bytes taken from one lane per round, so that a busy lane does not hold up the others.
    pub drain_bytes: usize,
    /// How long to wait before storage that failed is tried again.
    pub retry_every: Duration,
    /// The monotonic clock, ns, of the records' `ts_mono`.
    pub clock: fn() -> i64,
}

impl Default for PumpOptions {
    fn default() -> Self {
        PumpOptions {
            sync_every: Duration::from_millis(50),
            poll_every: Duration::from_millis(5),
            drain_bytes: 4 << 20,
            retry_every: Duration::from_secs(1),
            clock: crate::sys::clock::monotonic_ns,
        }
    }
}

/// A control record that is not durable yet. Lane 000 has no ring, so this is what a failed sync is repaired from.
struct Held {
    bytes: Vec<u8>,
    at: Position,
    lane_seq: i64,
    durable: bool,
    reply: Option<Box<dyn FnOnce(Appended) + Send>>,
}

/// What the sync under way will have made durable.
struct SyncPoint {
    at: Position,
    /// Ring positions, in the order of the taps.
    rings: Vec<u64>,
    /// Held control records.
    held: usize,
    begun: i64,
}

struct Tap {
    consumer: RawConsumer,
    /// `ts_mono` of the frames since the last commit.
    stamps: Vec<i64>,
}

/// Drains rings and control records into the journal. Single-threaded: whoever calls [`Pump::step`] is the journal thread.
pub struct Pump {
    writer: JournalWriter,
    taps: Vec<Tap>,
    control: Receiver<Command>,
    options: PumpOptions,
    next_seq: i64,
    held: VecDeque<Held>,
    /// How many of `held` are appended.
    appended: usize,
    sync_point: Option<SyncPoint>,
    last_sync: i64,
    urgent: bool,
    /// The last round left something behind.
    more: bool,
    /// When to try again; storage has failed.
    retry_at: Option<i64>,
    finishing: bool,
    shared: Arc<JournalShared>,
}

impl Pump {
    /// A pump over a recovered journal. Lane 000 goes on where the journal ends.
    pub fn new(
        writer: JournalWriter,
        consumers: Vec<RawConsumer>,
        control: Receiver<Command>,
        options: PumpOptions,
    ) -> Pump {
        let shared = Arc::new(JournalShared::new(&writer));
        let mut pump = Pump {
            next_seq: writer.lane(0).map_or(0, |l| l.last_seq + 1),
            writer,
            taps: Vec::new(),
            control,
            options,
            held: VecDeque::new(),
            appended: 0,
            sync_point: None,
            last_sync: (options.clock)(),
            urgent: false,
            more: false,
            retry_at: None,
            finishing: false,
            shared,
        };
        consumers.into_iter().for_each(|c| pump.add_lane(c));
        pump
    }

    /// The writer, to look at.
    #[cfg(test)]
    pub(crate) fn writer(&self) -> &JournalWriter {
        &self.writer
    }

    /// Marks, counters and histograms, for the converter, metrics and status.
    pub fn shared(&self) -> Arc<JournalShared> {
        Arc::clone(&self.shared)
    }

    fn add_lane(&mut self, consumer: RawConsumer) {
        self.taps.push(Tap { consumer, stamps: Vec::new() });
    }

    /// The journal thread: works until [`JournalShared::request_finish`] or until all senders are gone, then drains, seals
    /// and removes the rings. Returns the journal's end.
    ///
    /// # Errors
    /// Only at the end: storage is failing and what is left cannot be sealed. It stays in the rings for the next start.
    pub fn run(mut self) -> Result<Position, JournalError> {
        while !self.finishing && !self.shared.finish_requested() {
            if self.step() && self.more {
                continue;
            }
            // Not a wait on the channel, which spins before it sleeps, and not at once again when there was something: a
            // write and a wake-up for each handful of frames cost more than the frames. The rings bear far longer.
            std::thread::park_timeout(self.options.poll_every);
            if self.retry_at.is_some() {
                // Storage fails. What control says is held, up to a limit; then control must wait as well.
                self.take_control();
            }
        }
        self.finish()
    }

    /// One round: control, rings, one write, perhaps a sync. True if there was something to do. Storage that fails is
    /// dealt with here and shown in [`JournalShared::marks`]; the rings hold what is not durable.
    pub fn step(&mut self) -> bool {
        if let Some(at) = self.retry_at {
            if (self.options.clock)() < at {
                return false;
            }
            self.start_over();
            return self.retry_at.is_none();
        }
        match self.round() {
            Ok(worked) => worked,
            Err(e) => {
                self.shared.count_failure(&e);
                self.start_over();
                true
            }
        }
    }

    /// Drains all, seals, ends; see [`Pump::run`].
    ///
    /// # Errors
    /// Storage fails.
    pub fn finish(mut self) -> Result<Position, JournalError> {
        let mut tries = 0;
        loop {
            match self.drain_all() {
                Ok(()) => break,
                Err(e) => {
                    self.shared.count_failure(&e);
                    tries += 1;
                    self.start_over();
                    if self.retry_at.take().is_some() || tries == 3 {
                        self.shared.finish(self.writer.durable(), Storage::Failed);
                        return Err(e);
                    }
                }
            }
        }
        let durable = self.writer.durable();
        let end = self.writer.close().inspect_err(|e| {
            self.shared.count_failure(e);
            self.shared.finish(durable, Storage::Failed);
        })?;
        for t in self.taps {
            // Where it cannot be removed the next run takes the empty ring over.
            t.consumer.remove_if_drained();
        }
        self.shared.finish(end, Storage::Sound);
        Ok(end)
    }

    fn drain_all(&mut self) -> Result<(), JournalError> {
        loop {
            let worked = self.round()?;
            let point = self.point();
            self.writer.sync()?;
            self.sync_point = Some(point);
            self.note_durable();
            if !worked {
                return Ok(());
            }
        }
    }

    fn round(&mut self) -> Result<bool, JournalError> {
        self.writer.poll_sync()?;
        self.note_durable();
        let mut worked = self.take_control();
        worked |= self.append_held()?;
        worked |= self.drain_rings()?;
        if worked {
            self.commit()?;
        }
        self.sync_if_due()?;
        Ok(worked)
    }

    fn take_control(&mut self) -> bool {
        let mut any = false;
        while self.held.len() < HELD_MAX {
            match self.control.try_recv() {
                Ok(c) => self.accept(c),
                Err(TryRecvError::Empty) => return any,
                Err(TryRecvError::Disconnected) => {
                    self.finishing = true;
                    return any;
                }
            }
            any = true;
        }
        any
    }

    fn accept(&mut self, c: Command) {
        match c {
            Command::Append(r) if r.payload.len() > PAYLOAD_MAX || r.url.len() > usize::from(u16::MAX) => {
                self.shared.count_failure(&JournalError::NoRecord { len: r.payload.len() });
            }
            Command::Append(r) => {
                let record = Record {
                    kind: r.kind,
                    flags: r.flags,
                    lane: 0,
                    status: r.status,
                    conn: r.conn,
                    lane_seq: self.next_seq,
                    rseq: r.rseq,
                    ts_kernel: 0,
                    ts_mono: r.ts_mono,
                    ts_recv: r.ts_recv,
                    url: &r.url,
                    payload: &r.payload,
                };
                self.held.push_back(Held {
                    bytes: record.encode(),
                    at: Position::START,
                    lane_seq: self.next_seq,
                    durable: r.durable,
                    reply: r.reply,
                });
                self.next_seq += 1;
                self.urgent |= r.durable;
            }
            Command::AddLane(consumer) => self.add_lane(consumer),
            Command::Reclaim(before) => match self.writer.reclaim(before) {
                Ok(n) => self.shared.count_reclaimed(n as u64),
                // Old segments cost space, not data; the next boundary asks again.
                Err(e) => self.shared.count_failure(&e),
            },
        }
    }

    fn append_held(&mut self) -> Result<bool, JournalError> {
        let before = self.appended;
        while let Some(h) = self.held.get_mut(self.appended) {
            h.at = self.writer.append_encoded(&h.bytes)?;
            self.appended += 1;
        }
        Ok(self.appended != before)
    }

    fn drain_rings(&mut self) -> Result<bool, JournalError> {
        let (mut records, mut bytes) = (0, 0);
        self.more = false;
        for t in &mut self.taps {
            let mut left = self.options.drain_bytes;
            while left > 0 {
                let Some(b) = t.consumer.next_record() else { break };
                match self.writer.append_encoded(b) {
                    Err(e @ JournalError::NoRecord { .. }) => {
                        // Its check held, so a lane wrote nonsense. To stop here would lose all that follows.
                        self.shared.count_failure(&e);
                        continue;
                    }
                    done => done?,
                };
                if let Ok(r) = Record::decode(b)
                    && r.kind == Kind::Frame
                {
                    t.stamps.push(r.ts_mono);
                }
                left = left.saturating_sub(b.len());
                records += 1;
                bytes += b.len() as u64;
            }
            self.more |= left == 0;
        }
        self.shared.count_records(records, bytes);
        Ok(records > 0)
    }

    /// All that was appended goes to the kernel: `jrn`.
    fn commit(&mut self) -> Result<(), JournalError> {
        let jrn = self.writer.commit()?;
        let now = (self.options.clock)();
        for t in &mut self.taps {
            t.consumer.mark_jrn();
            planted!("ring_freed_before_the_sync", t.consumer.mark_dur(u64::MAX), ());
            if !t.stamps.is_empty() {
                self.shared.record_journaled(t.consumer.lane(), t.stamps.iter().map(|&ts| now - ts));
                t.stamps.clear();
            }
        }
        for h in self.held.iter_mut().take(self.appended).filter(|h| !h.durable) {
            if let Some(reply) = h.reply.take() {
                reply(Appended { lane_seq: h.lane_seq, at: h.at });
            }
        }
        self.shared.publish_jrn(jrn, self.writer.lanes());
        Ok(())
    }

    fn point(&self) -> SyncPoint {
        SyncPoint {
            at: self.writer.records_end(),
            rings: self.taps.iter().map(|t| t.consumer.position()).collect(),
            held: self.appended,
            begun: (self.options.clock)(),
        }
    }

    fn sync_if_due(&mut self) -> Result<(), JournalError> {
        let now = (self.options.clock)();
        let due = now - self.last_sync >= self.options.sync_every.as_nanos() as i64;
        if self.sync_point.is_some() || !(due || self.urgent) || !self.writer.has_unsynced() {
            return Ok(());
        }
        self.urgent = false;
        self.last_sync = now;
        // Before it begins: a rotation may end it, and then only the point tells what it covered.
        self.sync_point = Some(self.point());
        self.writer.start_sync()?;
        self.note_durable();
        Ok(())
    }

    /// If the sync under way has ended, frees what it made durable: `dur`.
    fn note_durable(&mut self) {
        let Some(p) =
            self.sync_point.take_if(|p| self.writer.durable() >= p.at && !self.writer.syncing_now())
        else {
            return;
        };
        for (t, pos) in self.taps.iter_mut().zip(p.rings) {
            t.consumer.mark_dur(pos);
        }
        for h in self.held.drain(..p.held) {
            if let Some(reply) = h.reply {
                reply(Appended { lane_seq: h.lane_seq, at: h.at });
            }
        }
        self.appended -= p.held;
        self.shared.record_sync((self.options.clock)() - p.begun);
        self.shared.publish_dur(self.writer.durable(), self.writer.lanes_durable());
    }

    /// Storage has failed: a new segment, and all that is not durable once more. Rings and `held` still have it.
    fn start_over(&mut self) {
        self.sync_point = None;
        match self.writer.abandon_segment() {
            Ok(()) => {
                for t in &mut self.taps {
                    t.consumer.rewind();
                    t.stamps.clear();
                }
                self.appended = 0;
                self.retry_at = None;
                self.shared.set_storage(Storage::Sound);
            }
            Err(e) => {
                self.shared.count_failure(&e);
                self.shared.set_storage(Storage::Failed);
                self.retry_at = Some((self.options.clock)() + self.options.retry_every.as_nanos() as i64);
            }
        }
    }
}
