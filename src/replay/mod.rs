//! The tape again: dataset or recording to the same records, paced or flat out.
//!
//! Records come in the order in which their lanes applied them; over several lanes, by `ts_recv`. Whoever takes them
//! runs the same fold as the capture did.

use std::path::Path;

use crate::dataset::raw::{self, RawLane};
use crate::dataset::{Dataset, DatasetError};
use crate::model::{LaneId, Record};

/// When to let a record go: pure, so that whoever owns a clock does the waiting.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How many times faster than recorded; 0 = flat out.
    speed: f64,
    first: Option<(i64, i64)>,
}

impl Pace {
    /// `speed` times faster than recorded; 0 (or less) = flat out.
    pub fn new(speed: f64) -> Pace {
        Pace { speed: if speed.is_finite() { speed.max(0.0) } else { 0.0 }, first: None }
    }

    /// How long to wait, in ns, before a record received at `ts_recv` may go, when it is `now` (monotonic ns).
    pub fn wait_ns(&mut self, ts_recv: i64, now: i64) -> i64 {
        if self.speed == 0.0 {
            return 0;
        }
        let (ts0, now0) = *self.first.get_or_insert((ts_recv, now));
        let due = now0.saturating_add(((ts_recv - ts0) as f64 / self.speed) as i64);
        (due - now).max(0)
    }
}

/// A speed as people write it: `10x`, `0.5x`, `max`.
///
/// # Errors
/// What would be right, for people.
pub fn parse_speed(text: &str) -> Result<f64, String> {
    if text == "max" {
        return Ok(0.0);
    }
    match text.strip_suffix('x').unwrap_or(text).parse::<f64>() {
        Ok(x) if x.is_finite() && x > 0.0 => Ok(x),
        _ => Err(format!("{text:?} is no speed; write 10x, 0.5x or max")),
    }
}

/// The records of a dataset, all lanes merged by time.
pub struct DatasetTape {
    lanes: Vec<Ahead>,
}

struct Ahead {
    lane: RawLane,
    /// The next record, as bytes, and its time.
    next: Option<(i64, Vec<u8>)>,
}

impl Ahead {
    fn pull(&mut self) -> Result<(), DatasetError> {
        let mut buffer = self.next.take().map(|(_, b)| b).unwrap_or_default();
        if let Some((rec, _)) = self.lane.next()? {
            buffer.resize(rec.encoded_len(), 0);
            rec.encode_to(&mut buffer);
            self.next = Some((rec.ts_recv, buffer));
        }
        Ok(())
    }
}

impl DatasetTape {
    /// All that was published, of all days.
    ///
    /// # Errors
    /// No dataset there, or damage.
    pub fn open(root: &Path) -> Result<DatasetTape, DatasetError> {
        let ds = Dataset::open(root)?;
        let mut lanes: Vec<Ahead> = raw::lanes(&ds, "0000-00-00", "9999-99-99")?
            .into_iter()
            .map(|lane| Ahead { lane, next: None })
            .collect();
        for l in &mut lanes {
            l.pull()?;
        }
        Ok(DatasetTape { lanes })
    }

    /// The lanes, lowest first.
    pub fn lanes(&self) -> Vec<LaneId> {
        self.lanes.iter().map(|l| l.lane.lane()).collect()
    }

    /// Hands the next record to `take`; `false` at the end.
    ///
    /// # Errors
    /// Damage in a file: which one and where.
    pub fn step(&mut self, take: &mut dyn FnMut(&Record<'_>)) -> Result<bool, DatasetError> {
        let earliest = self.lanes.iter().enumerate().filter_map(|(i, l)| Some((l.next.as_ref()?.0, i))).min();
        let Some((_, i)) = earliest else { return Ok(false) };
        if let Some((_, bytes)) = &self.lanes[i].next
            && let Ok(rec) = Record::decode(bytes)
        {
            take(&rec);
        }
        self.lanes[i].pull()?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_read() {
        assert_eq!(parse_speed("10x"), Ok(10.0));
        assert_eq!(parse_speed("max"), Ok(0.0));
        assert_eq!(parse_speed("0.5"), Ok(0.5));
        for bad in ["", "x", "-1x", "nanx", "fast"] {
            assert!(parse_speed(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn pace_follows_the_recorded_times() {
        let mut p = Pace::new(2.0);
        assert_eq!(p.wait_ns(1_000, 50), 0);
        assert_eq!(p.wait_ns(3_000, 50), 1_000);
        assert_eq!(p.wait_ns(3_000, 2_000), 0, "late records go at once");
        assert_eq!(Pace::new(0.0).wait_ns(i64::MAX, 0), 0);
    }
}
