//! Lane 000 of a capture: control, clock and converter write to it through here, so that its boundaries come in order.

use std::sync::{Mutex, PoisonError};

use crossbeam_channel::Sender;

use crate::journal::{Appended, Command, ControlRecord};
use crate::model::{Kind, LaneClock};

/// Called when a record is in the journal.
pub type Reply = Box<dyn FnOnce(Appended) + Send>;

/// A record to be.
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Connection, 0 = none, and number on it, −1 = none.
    pub conn: (i64, i64),
    /// HTTP status.
    pub status: i32,
    /// Path and query.
    pub url: String,
    /// The payload.
    pub payload: Vec<u8>,
    /// Answer only when it is durable.
    pub durable: bool,
    /// Whom to tell.
    pub reply: Option<Reply>,
}

impl Entry {
    /// A record with a payload and nothing else.
    pub fn new(kind: Kind, payload: Vec<u8>) -> Entry {
        Entry { kind, conn: (0, -1), status: 0, url: String::new(), payload, durable: false, reply: None }
    }
}

/// The way into lane 000. The journal thread gives the numbers.
pub struct Lane0 {
    clock: Mutex<LaneClock>,
    journal: Sender<Command>,
}

impl Lane0 {
    /// `last_ts`: greatest stamp of the lane in earlier runs, 0 = none.
    pub fn new(last_ts: i64, interval_ns: i64, journal: Sender<Command>) -> Lane0 {
        let mut clock = LaneClock::new(0, -1, interval_ns);
        if last_ts > 0 {
            // The first call only sets the clock; nothing can be due yet. One further: the last record may be a boundary's,
            // which stands at the end of the interval that it closes and is not stated twice.
            let _ = clock.boundary_due(last_ts.saturating_add(1));
        }
        Lane0 { clock: Mutex::new(clock), journal }
    }

    /// Appends a record, after the boundary timers that are due before it. `false`: the journal thread has ended.
    pub fn append(&self, ts_recv: i64, ts_mono: i64, entry: Entry) -> bool {
        // Held while sending, so that two threads' records and boundaries cannot cross.
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        self.due(&mut clock, ts_recv, ts_mono) && self.send(ts_recv, ts_mono, entry)
    }

    /// Boundary timers that are due although nothing else happens.
    pub fn tick(&self, ts_recv: i64, ts_mono: i64) -> bool {
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        self.due(&mut clock, ts_recv, ts_mono)
    }

    fn due(&self, clock: &mut LaneClock, ts_recv: i64, ts_mono: i64) -> bool {
        let mut alive = true;
        while let Some(at) = clock.boundary_due(ts_recv) {
            let payload = clock.boundary_payload(at);
            alive &= self.send(at - 1, ts_mono, Entry::new(Kind::Timer, payload));
        }
        alive
    }

    /// Takes back segments that end before a position.
    pub fn reclaim(&self, before: crate::journal::Position) {
        // A full channel means that there are more urgent things; the next boundary asks again.
        let _ = self.journal.try_send(Command::Reclaim(before));
    }

    fn send(&self, ts_recv: i64, ts_mono: i64, e: Entry) -> bool {
        let record = ControlRecord {
            kind: e.kind,
            flags: 0,
            status: e.status,
            conn: e.conn.0,
            rseq: e.conn.1,
            ts_mono,
            ts_recv,
            url: e.url,
            payload: e.payload,
            durable: e.durable,
            reply: e.reply,
        };
        self.journal.send(Command::Append(Box::new(record))).is_ok()
    }
}
