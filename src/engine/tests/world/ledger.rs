//! What has reached the ring, as the world knows it. The recorder never sees this.

use std::collections::BTreeMap;

use crate::model::{ConnId, LaneId};

/// A frame that the lane has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its number in the lane.
    pub lane_seq: i64,
    pub conn: ConnId,
    pub rseq: i64,
    pub crc: u32,
    /// True time, ns.
    pub at: i64,
}

/// What a lane must still have when it begins again.
#[derive(Clone, Copy, Debug)]
pub struct Must {
    pub last_seq: i64,
    /// Nothing older than this true time may be missing; `None`: nobody promises that.
    pub since: Option<i64>,
}

#[derive(Default)]
pub struct Ledger {
    lanes: BTreeMap<LaneId, Vec<Seen>>,
    /// What the last death left behind.
    pub must: BTreeMap<LaneId, Must>,
    /// Frames that a power cut took.
    pub lost: u64,
    pub faults: Vec<String>,
}

impl Ledger {
    pub fn frame(&mut self, lane: LaneId, seen: Seen) {
        self.lanes.entry(lane).or_default().push(seen);
    }

    pub fn fault(&mut self, text: String) {
        self.faults.push(text);
    }

    pub fn lane(&self, lane: LaneId) -> &[Seen] {
        self.lanes.get(&lane).map_or(&[], Vec::as_slice)
    }

    pub fn frames(&self) -> u64 {
        self.lanes.values().map(|l| l.len() as u64).sum()
    }

    /// A lane begins again after `last_seq`: is all there that must be?
    pub fn recovered(&mut self, lane: LaneId, last_seq: i64) {
        let Some(must) = self.must.remove(&lane) else { return };
        if last_seq < must.last_seq {
            self.fault(format!("lane {lane}: recovered to {last_seq}, {} was promised", must.last_seq));
        }
        let frames = self.lanes.entry(lane).or_default();
        let kept = frames.partition_point(|f| f.lane_seq <= last_seq);
        let lost = frames.split_off(kept);
        self.lost += lost.len() as u64;
        if let (Some(f), Some(since)) = (lost.first(), must.since)
            && f.at < since
        {
            self.fault(format!(
                "lane {lane}: frame {} was {} ms old and is lost",
                f.lane_seq,
                (since - f.at) / 1_000_000
            ));
        }
    }
}
