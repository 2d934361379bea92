//! New connections per address and time, as venues count them. Pure: the time is passed in.

use super::budget::Grant;
use super::rate::RateWindow;

/// Venues count connections over five minutes.
const WINDOW_NS: i64 = 300 * 1_000_000_000;

/// Grants new connections to one venue.
#[derive(Clone, Debug)]
pub struct ConnectLimiter {
    window: RateWindow,
}

impl ConnectLimiter {
    /// At most `per_5min` (at least 1) connections in any five minutes.
    pub fn new(per_5min: u32) -> Self {
        ConnectLimiter { window: RateWindow::new(per_5min, WINDOW_NS) }
    }

    /// Asks for one connection at `now` (monotonic ns); a grant counts at once, also if the connection then fails.
    pub fn grant(&mut self, now: i64) -> Grant {
        let at = self.window.allowed_at(0);
        if at <= now {
            self.window.note(now);
            Grant::Granted
        } else {
            Grant::WaitUntil(at)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_connection_waits_until_the_oldest_is_five_minutes_old() {
        let mut l = ConnectLimiter::new(2);
        assert_eq!(l.grant(10), Grant::Granted);
        assert_eq!(l.grant(20), Grant::Granted);
        assert_eq!(l.grant(30), Grant::WaitUntil(10 + WINDOW_NS));
        assert_eq!(l.grant(10 + WINDOW_NS), Grant::Granted);
        assert_eq!(l.grant(10 + WINDOW_NS), Grant::WaitUntil(20 + WINDOW_NS));
    }
}
