//! Lane 000, control's own: runs, checkpoints, clock, configuration. Whoever owns it numbers its records here.

use crate::model::{Kind, LaneClock, Record};

/// An owned record of lane 000.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlRecord {
    /// What it is.
    pub kind: Kind,
    /// Its number.
    pub lane_seq: i64,
    /// When, ns since the Unix epoch.
    pub ts_recv: i64,
    /// Monotonic, ns.
    pub ts_mono: i64,
    /// The payload.
    pub payload: Vec<u8>,
}

impl ControlRecord {
    /// The record, borrowed.
    pub fn record(&self) -> Record<'_> {
        Record {
            kind: self.kind,
            flags: 0,
            lane: 0,
            status: 0,
            conn: 0,
            lane_seq: self.lane_seq,
            rseq: -1,
            ts_kernel: 0,
            ts_mono: self.ts_mono,
            ts_recv: self.ts_recv,
            url: "",
            payload: &self.payload,
        }
    }
}

/// Numbers the records of lane 000.
#[derive(Debug)]
pub struct ControlLane {
    clock: LaneClock,
}

impl ControlLane {
    /// Goes on after `last_seq` (−1 = nothing before), whose stamp was `last_ts` (0 = none).
    pub fn new(last_seq: i64, last_ts: i64, interval_ns: i64) -> ControlLane {
        let mut clock = LaneClock::new(0, last_seq, interval_ns);
        if last_ts > 0 {
            // The first call only sets the clock; nothing can be due yet.
            let _ = clock.boundary_due(last_ts);
        }
        ControlLane { clock }
    }

    /// A record with the next number, after the boundary timers that are due before it.
    pub fn stamp(&mut self, kind: Kind, ts_recv: i64, ts_mono: i64, payload: Vec<u8>) -> Vec<ControlRecord> {
        let mut out = self.boundaries(ts_recv, ts_mono);
        out.push(ControlRecord { kind, lane_seq: self.clock.take_seq(), ts_recv, ts_mono, payload });
        out
    }

    /// The boundary timers that are due at this time.
    pub fn boundaries(&mut self, ts_recv: i64, ts_mono: i64) -> Vec<ControlRecord> {
        let mut out = Vec::new();
        while let Some(at) = self.clock.boundary_due(ts_recv) {
            let payload = self.clock.boundary_payload(at);
            let lane_seq = self.clock.take_seq();
            out.push(ControlRecord { kind: Kind::Timer, lane_seq, ts_recv: at - 1, ts_mono, payload });
        }
        out
    }
}
