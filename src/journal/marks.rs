//! What the journal thread tells the others: the marks, counters and histograms.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::{JournalError, JournalWriter, LaneState, Position};
use crate::model::ids::LaneId;

/// Whether the journal can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// It can.
    Sound,
    /// It cannot, neither in the first directory nor in the second; it is tried again. Lanes go on until their rings are full.
    Failed,
}

/// How far one lane has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneMark {
    /// Which lane.
    pub lane: LaneId,
    /// Its last `lane_seq` in the kernel.
    pub jrn: i64,
    /// Its last `lane_seq` on the disk.
    pub dur: i64,
}

/// How far the journal has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marks {
    /// All before this is in the kernel; a reader may read up to here.
    pub jrn: Position,
    /// All before this is on the disk.
    pub dur: Position,
    /// By lane.
    pub lanes: Vec<LaneMark>,
    /// Whether the journal can be written.
    pub storage: Storage,
    /// The journal thread has ended; nothing will follow.
    pub finished: bool,
}

/// Shared between the journal thread and those who follow it. The reader threads take no part in it.
pub struct JournalShared {
    marks: Mutex<Marks>,
    moved: Condvar,
    /// How many wait for `moved`; changed under the lock. Marks move hundreds of times a second, mostly unobserved.
    waiting: AtomicU32,
    ended: Condvar,
    ending: AtomicBool,
    records: AtomicU64,
    bytes: AtomicU64,
    reclaimed: AtomicU64,
    failures: AtomicU64,
    last_failure: Mutex<String>,
    sync_ns: Mutex<Option<Histogram<u64>>>,
    journaled_ns: Mutex<Vec<(LaneId, Histogram<u64>)>>,
}

/// 1 ns to 1 h; greater ones count as 1 h.
fn histogram() -> Option<Histogram<u64>> {
    let mut h = Histogram::new_with_bounds(1, 3_600_000_000_000, 2).ok()?;
    h.auto(false);
    Some(h)
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere cannot leave these half written: each is set in one step.
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl JournalShared {
    pub(super) fn new(w: &JournalWriter) -> JournalShared {
        let lanes =
            w.lanes().iter().map(|l| LaneMark { lane: l.lane, jrn: l.last_seq, dur: l.last_seq }).collect();
        JournalShared {
            marks: Mutex::new(Marks {
                jrn: w.durable(),
                dur: w.durable(),
                lanes,
                storage: Storage::Sound,
                finished: false,
            }),
            moved: Condvar::new(),
            waiting: AtomicU32::new(0),
            ended: Condvar::new(),
            ending: AtomicBool::new(false),
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            reclaimed: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            last_failure: Mutex::new(String::new()),
            sync_ns: Mutex::new(None),
            journaled_ns: Mutex::new(Vec::new()),
        }
    }

    /// The marks now.
    pub fn marks(&self) -> Marks {
        lock(&self.marks).clone()
    }

    /// Waits until `jrn` has passed `pos` or the journal has ended, at most `timeout`; the marks then.
    pub fn wait_beyond(&self, pos: Position, timeout: Duration) -> Marks {
        let guard = lock(&self.marks);
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let waited = self.moved.wait_timeout_while(guard, timeout, |m| m.jrn <= pos && !m.finished);
        let guard = waited.unwrap_or_else(PoisonError::into_inner).0;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        guard.clone()
    }

    /// Lets `timeout` pass, or waits for the journal's end if that is sooner. Marks that move wake nobody here.
    pub fn wait_ended(&self, timeout: Duration) {
        let guard = lock(&self.marks);
        let _ended = self.ended.wait_timeout_while(guard, timeout, |m| !m.finished);
    }

    /// Wakes those who wait for a mark. The lock was held since they were counted.
    fn wake(&self, marks: MutexGuard<'_, Marks>) {
        let anybody = self.waiting.load(Ordering::Relaxed) > 0;
        drop(marks);
        if anybody {
            self.moved.notify_all();
        }
    }

    /// Asks the journal thread to drain all, seal and end. The lanes have ended, and what control has to say was sent.
    pub fn request_finish(&self) {
        self.ending.store(true, Ordering::Release);
    }

    pub(super) fn finish_requested(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// Records appended from rings.
    pub fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// Their encoded bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Segments taken back.
    pub fn reclaimed(&self) -> u64 {
        self.reclaimed.load(Ordering::Relaxed)
    }

    /// Writes, syncs and creations that failed.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// The last of them, for people; "" = none.
    pub fn last_failure(&self) -> String {
        lock(&self.last_failure).clone()
    }

    /// Durations of `fdatasync` since the last call, ns; `None` = none.
    pub fn take_sync_ns(&self) -> Option<Histogram<u64>> {
        lock(&self.sync_ns).take()
    }

    /// By lane: time from a frame's `ts_mono` until the kernel had it, ns, since the last call.
    pub fn take_journaled_ns(&self) -> Vec<(LaneId, Histogram<u64>)> {
        std::mem::take(&mut lock(&self.journaled_ns))
    }

    pub(super) fn count_records(&self, records: u64, bytes: u64) {
        self.records.fetch_add(records, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn count_reclaimed(&self, n: u64) {
        self.reclaimed.fetch_add(n, Ordering::Relaxed);
    }

    pub(super) fn count_failure(&self, e: &JournalError) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut text = e.to_string();
        let mut cause = std::error::Error::source(e);
        while let Some(c) = cause {
            text.push_str(": ");
            text.push_str(&c.to_string());
            cause = c.source();
        }
        *lock(&self.last_failure) = text;
    }

    pub(super) fn record_sync(&self, ns: i64) {
        let mut h = lock(&self.sync_ns);
        if h.is_none() {
            *h = histogram();
        }
        if let Some(h) = h.as_mut() {
            h.saturating_record(ns.max(1).unsigned_abs());
        }
    }

    pub(super) fn record_journaled(&self, lane: LaneId, ns: impl Iterator<Item = i64>) {
        let mut all = lock(&self.journaled_ns);
        let i = match all.iter().position(|(l, _)| *l == lane) {
            Some(i) => i,
            None => {
                let Some(h) = histogram() else { return };
                all.push((lane, h));
                all.len() - 1
            }
        };
        for ns in ns {
            all[i].1.saturating_record(ns.max(1).unsigned_abs());
        }
    }

    pub(super) fn publish_jrn(&self, jrn: Position, lanes: &[LaneState]) {
        let mut m = lock(&self.marks);
        m.jrn = jrn;
        for l in lanes {
            match m.lanes.iter_mut().find(|x| x.lane == l.lane) {
                Some(x) => x.jrn = l.last_seq,
                None => m.lanes.push(LaneMark { lane: l.lane, jrn: l.last_seq, dur: i64::MIN }),
            }
        }
        self.wake(m);
    }

    pub(super) fn publish_dur(&self, dur: Position, lanes: &[LaneState]) {
        let mut m = lock(&self.marks);
        m.dur = dur;
        // A segment that was begun since moves both.
        m.jrn = m.jrn.max(dur);
        for l in lanes {
            if let Some(x) = m.lanes.iter_mut().find(|x| x.lane == l.lane) {
                x.dur = l.last_seq;
            }
        }
        self.wake(m);
    }

    pub(super) fn set_storage(&self, storage: Storage) {
        let mut m = lock(&self.marks);
        m.storage = storage;
        self.wake(m);
    }

    pub(super) fn finish(&self, end: Position, storage: Storage) {
        let mut m = lock(&self.marks);
        (m.storage, m.finished) = (storage, true);
        if storage == Storage::Sound {
            (m.jrn, m.dur) = (end, end);
        }
        self.wake(m);
        self.ended.notify_all();
    }
}
