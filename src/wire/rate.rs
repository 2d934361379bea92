//! At most so many in any window: exact, unlike a token bucket, which lets a burst and a refill through together.

/// Remembers the times of the last `max` events.
#[derive(Clone, Debug)]
pub struct RateWindow {
    times: Box<[i64]>,
    /// Where the next time goes: also the place of the oldest.
    next: usize,
    window_ns: i64,
}

/// Marks a place that holds no time yet.
const EMPTY: i64 = i64::MIN;

impl RateWindow {
    /// At most `max` events (at least 1) in any `window_ns`.
    pub fn new(max: u32, window_ns: i64) -> Self {
        RateWindow {
            times: vec![EMPTY; max.max(1) as usize].into_boxed_slice(),
            next: 0,
            window_ns: window_ns.max(0),
        }
    }

    /// The earliest time at which another event is allowed while `reserve` places stay free for others (never more
    /// than all but one). At or before `now` means: now.
    pub fn allowed_at(&self, reserve: u32) -> i64 {
        let keep = (reserve as usize).min(self.times.len() - 1);
        // The event `len - keep` back is the one that must have left the window.
        match self.times[(self.next + keep) % self.times.len()] {
            EMPTY => EMPTY,
            t => t.saturating_add(self.window_ns),
        }
    }

    /// Whether an event is allowed at `now`.
    #[inline]
    pub fn allows(&self, now: i64, reserve: u32) -> bool {
        self.allowed_at(reserve) <= now
    }

    /// Counts an event, allowed or not (some cannot be withheld: a pong).
    #[inline]
    pub fn note(&mut self, now: i64) {
        self.times[self.next] = now;
        self.next = (self.next + 1) % self.times.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_window_ever_holds_more_than_allowed(
            max in 1u32..20, window in 1i64..1000, steps in prop::collection::vec(0i64..200, 1..300),
        ) {
            let mut w = RateWindow::new(max, window);
            let (mut now, mut granted) = (0i64, Vec::new());
            for s in steps {
                now += s;
                if w.allows(now, 0) {
                    w.note(now);
                    granted.push(now);
                }
            }
            for (i, &t) in granted.iter().enumerate() {
                let inside = granted[i..].iter().take_while(|&&u| u < t + window).count();
                prop_assert!(inside <= max as usize);
            }
        }

        #[test]
        fn the_time_it_names_is_the_first_that_is_allowed(max in 1u32..9, window in 1i64..100, n in 1usize..30) {
            let mut w = RateWindow::new(max, window);
            let mut now = 0;
            for _ in 0..n {
                let at = w.allowed_at(0);
                if at > now {
                    prop_assert!(!w.allows(at - 1, 0));
                    now = at;
                }
                prop_assert!(w.allows(now, 0));
                w.note(now);
            }
        }
    }

    #[test]
    fn a_reserve_keeps_places_free() {
        let mut w = RateWindow::new(5, 1000);
        for _ in 0..3 {
            assert!(w.allows(0, 2));
            w.note(0);
        }
        assert!(!w.allows(0, 2));
        assert!(w.allows(0, 0));
        assert!(w.allows(1000, 2));
    }
}
