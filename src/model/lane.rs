//! The numbering of a lane: `lane_seq`, and the interval clock that says when a boundary timer is due.
//!
//! Pure; whoever feeds a lane (a reader thread, an import, a simulation) uses the same one.

use super::control::{BoundaryTimer, TimerEvent, to_payload};
use super::ids::LaneId;
use super::record::{Kind, Record};
use super::time::{NS_PER_DAY, floor_to};

/// Numbers a lane's records and knows its interval clock.
#[derive(Clone, Copy, Debug)]
pub struct LaneClock {
    lane: LaneId,
    next_seq: i64,
    interval_ns: i64,
    /// The greatest `ts_recv` seen; `i64::MIN` before the first.
    ts_max: i64,
}

impl LaneClock {
    /// A lane that goes on after `last_seq` (−1 = nothing before) with intervals of this length.
    pub fn new(lane: LaneId, last_seq: i64, interval_ns: i64) -> LaneClock {
        LaneClock { lane, next_seq: last_seq + 1, interval_ns: interval_ns.max(1), ts_max: i64::MIN }
    }

    /// The lane.
    pub fn lane(&self) -> LaneId {
        self.lane
    }

    /// The next record's number; the caller uses it exactly once.
    pub fn take_seq(&mut self) -> i64 {
        let n = self.next_seq;
        self.next_seq += 1;
        n
    }

    /// Number of the last record, −1 if none.
    pub fn last_seq(&self) -> i64 {
        self.next_seq - 1
    }

    /// Start of the interval in which the lane is, `None` before the first record.
    pub fn interval_start(&self) -> Option<i64> {
        (self.ts_max != i64::MIN).then(|| floor_to(self.ts_max, self.interval_ns))
    }

    /// The next boundary timer that must precede a record received at `ts_recv`: the end of the current interval,
    /// and after a long silence also the start of the new one. Call until `None`, then feed the record.
    pub fn boundary_due(&mut self, ts_recv: i64) -> Option<i64> {
        if self.ts_max == i64::MIN {
            self.ts_max = ts_recv;
            return None;
        }
        let end = floor_to(self.ts_max, self.interval_ns) + self.interval_ns;
        if ts_recv >= end {
            self.ts_max = end;
            let start = floor_to(ts_recv, self.interval_ns);
            if start > end {
                // Nothing happened in between: one jump, not a timer for every empty interval. A UTC day begins with
                // a boundary all the same, so that its first part opens with the books at its start.
                let midnight = floor_to(ts_recv, NS_PER_DAY);
                self.ts_max = if midnight > end { midnight } else { start } - 1;
            }
            return Some(end);
        }
        self.ts_max = self.ts_max.max(ts_recv);
        None
    }

    /// Payload of the timer record for a boundary.
    pub fn boundary_payload(&self, at: i64) -> Vec<u8> {
        to_payload(&TimerEvent::Boundary(BoundaryTimer { at, interval_ns: self.interval_ns }))
    }

    /// The timer record of a boundary; it takes the next number. Its stamp is the last nanosecond of the interval
    /// that it closes, so that all that it says belongs there.
    pub fn boundary_record<'a>(&mut self, at: i64, ts_mono: i64, payload: &'a [u8]) -> Record<'a> {
        Record {
            kind: Kind::Timer,
            flags: 0,
            lane: self.lane,
            status: 0,
            conn: 0,
            lane_seq: self.take_seq(),
            rseq: -1,
            ts_kernel: 0,
            ts_mono,
            ts_recv: at - 1,
            url: "",
            payload,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(c: &mut LaneClock, ts: i64) -> Vec<i64> {
        std::iter::from_fn(|| c.boundary_due(ts)).collect()
    }

    #[test]
    fn boundaries_come_once_and_in_order() {
        let mut c = LaneClock::new(1, -1, 100);
        assert_eq!(due(&mut c, 250), Vec::<i64>::new());
        assert_eq!(due(&mut c, 299), Vec::<i64>::new());
        assert_eq!(due(&mut c, 300), vec![300]);
        assert_eq!(due(&mut c, 399), Vec::<i64>::new());
        // A backward step stays in the open interval.
        assert_eq!(due(&mut c, 250), Vec::<i64>::new());
        // A long silence closes its interval and opens the one it ends in.
        assert_eq!(due(&mut c, 1_000), vec![400, 1_000]);
        assert_eq!(c.interval_start(), Some(1_000));
    }

    #[test]
    fn a_silence_over_midnight_still_opens_the_day() {
        let hour = NS_PER_DAY / 24;
        let mut c = LaneClock::new(1, -1, hour);
        assert_eq!(due(&mut c, 21 * hour + 5), Vec::<i64>::new());
        assert_eq!(due(&mut c, 26 * hour + 7), vec![22 * hour, 24 * hour, 26 * hour]);
        // Days in which nothing happened have no parts; the one that is entered has.
        assert_eq!(due(&mut c, 97 * hour), vec![27 * hour, 96 * hour, 97 * hour]);
        assert_eq!(due(&mut c, 120 * hour), vec![98 * hour, 120 * hour]);
    }

    #[test]
    fn numbers_go_on_after_a_restart() {
        let mut c = LaneClock::new(1, 41, 100);
        assert_eq!((c.take_seq(), c.take_seq(), c.last_seq()), (42, 43, 43));
    }
}
