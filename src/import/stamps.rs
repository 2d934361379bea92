//! Receive stamps that cannot be true. One wrong digit would put a line into another century, and everything that follows
//! from time (parts, coverage, silences) with it. Nothing but the data decides, so that two imports agree: a few lines whose
//! time jumps away and comes back are wrong. Times that only go forward are never doubted, however long the pauses.

use super::{LINE_MAX, Position};
use crate::model::time::{NS_PER_DAY, NS_PER_MIN, NS_PER_S, date_text, day_of};

/// How far a stamp must lie from its neighbours before it is doubted: beyond what clocks are set by.
const AWAY_NS: u64 = 10 * NS_PER_MIN as u64;
/// Lines that may lie there together before they are believed.
const HELD_LINES: usize = 64;
/// 2010 to 2100: no venue is older, and a bound that moved with the clock would make two imports differ.
const POSSIBLE_NS: std::ops::Range<i64> = 1_262_304_000 * NS_PER_S..4_102_444_800 * NS_PER_S;

/// Whether a line may have been received then.
pub(super) fn is_possible(ts: i64) -> bool {
    POSSIBLE_NS.contains(&ts)
}

/// Where a file begins, from the first three stamps in it: the first, or the middle one where the first is far from the
/// others and they are near each other.
pub(super) fn begin(stamps: &[i64]) -> Option<i64> {
    let first = *stamps.first()?;
    let [a, b, c] = *stamps else { return Some(first) };
    let mut s = [a, b, c];
    s.sort_unstable();
    let pause = NS_PER_DAY.max((s[2] - s[1]).saturating_mul(2));
    Some(if first <= s[1] && s[1] - first < pause { first } else { s[1] })
}

/// A time for people, to the second.
pub(super) fn text(ts: i64) -> String {
    let s = ts.rem_euclid(NS_PER_DAY) / NS_PER_S;
    format!("{} {:02}:{:02}:{:02} UTC", date_text(day_of(ts)), s / 3600, s / 60 % 60, s % 60)
}

/// Lines whose time jumped away, until it is known whether it comes back.
#[derive(Default)]
pub(super) struct Stamps {
    /// The last stamp that is believed; before the first, where the first file begins.
    pub last: Option<i64>,
    /// The last stamp held.
    out: Option<i64>,
    held: Vec<(Vec<u8>, Position)>,
    bytes: u64,
    /// Lines held that have a stamp.
    stamped: usize,
}

impl Stamps {
    /// Whether the lines held are to be released before a line with this stamp (`None` = it has none), and if so
    /// whether theirs are wrong.
    pub fn settles(&self, ts: Option<i64>) -> Option<bool> {
        let (last, out) = (self.last?, self.out?);
        if let Some(ts) = ts {
            if ts.abs_diff(out) > AWAY_NS && ts.abs_diff(last) < out.abs_diff(last) / 2 {
                return Some(true);
            }
            if ts.abs_diff(last) <= AWAY_NS {
                return Some(false);
            }
        }
        (self.held.len() >= HELD_LINES || self.bytes > LINE_MAX).then_some(false)
    }

    /// At the end of all files: a single line that nothing bears out is wrong.
    pub fn settles_at_end(&self) -> bool {
        let (Some(last), Some(out), [(_, at), ..]) = (self.last, self.out, self.held.as_slice()) else {
            return false;
        };
        self.stamped == 1 && at.line > 1 && (out < last || out - last > NS_PER_DAY)
    }

    /// Whether a line must wait: its own time jumps away, or lines before it wait.
    pub fn holds(&self, ts: Option<i64>) -> bool {
        self.out.is_some() || ts.zip(self.last).is_some_and(|(ts, last)| ts.abs_diff(last) > AWAY_NS)
    }

    /// Takes a line that must wait.
    pub fn hold(&mut self, line: &[u8], at: Position, ts: Option<i64>) {
        self.out = ts.or(self.out);
        self.stamped += usize::from(ts.is_some());
        self.bytes += line.len() as u64;
        self.held.push((line.to_owned(), at));
    }

    /// Gives the lines back that waited.
    pub fn release(&mut self) -> Vec<(Vec<u8>, Position)> {
        (self.out, self.bytes, self.stamped) = (None, 0, 0);
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: i64 = 1_723_161_255 * NS_PER_S;

    #[test]
    fn a_file_begins_with_its_first_stamp_unless_the_next_two_speak_against_it() {
        let far = 8_723_161_255 * NS_PER_S;
        assert_eq!(begin(&[]), None);
        assert_eq!(begin(&[T, T + 5]), Some(T));
        assert_eq!(begin(&[T, T + 5, T + 9]), Some(T));
        assert_eq!(begin(&[far, T, T + 9]), Some(T + 9));
        assert_eq!(begin(&[T - 9 * NS_PER_DAY, T, T + 9]), Some(T));
        // A line every few days.
        assert_eq!(begin(&[T, T + 3 * NS_PER_DAY, T + 6 * NS_PER_DAY]), Some(T));
    }

    #[test]
    fn times_are_told_to_the_second() {
        assert_eq!(text(T), "2024-08-08 23:54:15 UTC");
    }
}
