//! How long to wait before trying again: doubling, capped, jittered. Pure: the randomness is passed in.

use std::time::Duration;

/// Why a backoff cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackoffError {
    /// Would retry without a pause.
    #[error("the shortest wait must be above zero")]
    ZeroBase,
    /// Cap below base.
    #[error("the longest wait ({cap:?}) is below the shortest ({base:?})")]
    CapBelowBase {
        /// The shortest wait.
        base: Duration,
        /// The longest wait.
        cap: Duration,
    },
    /// More than 584 years of nanoseconds.
    #[error("the longest wait ({0:?}) is out of range")]
    TooLong(Duration),
}

/// The n-th wait is drawn evenly from the upper half of its step, `max(base, step / 2) ..= step` with
/// `step = min(cap, base·2ⁿ)`, both ends included: whoever was refused often never asks again at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    base: u64,
    cap: u64,
    attempt: u32,
}

impl Backoff {
    /// A backoff that waits at least `base` and at most `cap`.
    ///
    /// # Errors
    /// A zero base, a cap below it, or one beyond 584 years.
    pub fn new(base: Duration, cap: Duration) -> Result<Backoff, BackoffError> {
        if base.is_zero() {
            return Err(BackoffError::ZeroBase);
        }
        if cap < base {
            return Err(BackoffError::CapBelowBase { base, cap });
        }
        let ns = |d: Duration| u64::try_from(d.as_nanos()).map_err(|_| BackoffError::TooLong(cap));
        Ok(Backoff { base: ns(base)?, cap: ns(cap)?, attempt: 0 })
    }

    /// The longest that the next wait can be.
    pub fn ceiling(&self) -> Duration {
        Duration::from_nanos(self.ceiling_ns())
    }

    fn ceiling_ns(&self) -> u64 {
        let factor = 1u64.checked_shl(self.attempt).unwrap_or(u64::MAX);
        self.base.saturating_mul(factor).min(self.cap)
    }

    /// The least that the next wait can be; never above the ceiling, which is not below `base`.
    fn floor_ns(&self) -> u64 {
        self.base.max(self.ceiling_ns() / 2)
    }

    /// The next wait. `random` must be even over all of `u64` (`fastrand::u64(..)`).
    pub fn next_wait(&mut self, random: u64) -> Duration {
        let (least, most) = (self.floor_ns(), self.ceiling_ns());
        let span = u128::from(most - least) + 1;
        // Multiply-shift maps the whole range of `random` onto 0..span with no value left out.
        let jitter = ((u128::from(random) * span) >> 64) as u64;
        self.attempt = self.attempt.saturating_add(1);
        Duration::from_nanos(least + jitter)
    }

    /// How many waits were given since the start or the last reset.
    pub fn attempts(&self) -> u32 {
        self.attempt
    }

    /// Starts again from `base`.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }

    /// Starts again from `base` if what was tried has held for longer than the cap. A peer that lets us in and throws
    /// us out at once must not reset its own punishment.
    pub fn reset_if_held(&mut self, held: Duration) {
        if held >= Duration::from_nanos(self.cap) {
            self.reset();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ns(n: u64) -> Duration {
        Duration::from_nanos(n)
    }

    #[test]
    fn arguments_are_checked() {
        assert_eq!(Backoff::new(ns(0), ns(5)), Err(BackoffError::ZeroBase));
        assert!(matches!(Backoff::new(ns(6), ns(5)), Err(BackoffError::CapBelowBase { .. })));
        assert!(matches!(Backoff::new(ns(6), Duration::MAX), Err(BackoffError::TooLong(_))));
        assert!(Backoff::new(ns(5), ns(5)).is_ok());
    }

    #[test]
    fn only_what_held_resets() {
        let mut b = Backoff::new(ns(10), ns(1000)).unwrap();
        for _ in 0..200 {
            b.next_wait(u64::MAX);
        }
        assert_eq!(b.ceiling(), ns(1000));
        b.reset_if_held(ns(999));
        assert_eq!(b.attempts(), 200);
        b.reset_if_held(ns(1000));
        assert_eq!((b.attempts(), b.ceiling()), (0, ns(10)));
    }

    proptest! {
        #[test]
        fn waits_stay_between_base_and_ceiling(
            base in 1u64..1_000_000_000, extra in 0u64..1_000_000_000_000, randoms in prop::collection::vec(any::<u64>(), 1..100),
        ) {
            let mut b = Backoff::new(ns(base), ns(base + extra)).unwrap();
            for r in randoms {
                let top = b.ceiling();
                let w = b.next_wait(r);
                prop_assert!(ns(base) <= w && top / 2 <= w && w <= top && top <= ns(base + extra));
            }
        }

        #[test]
        fn every_value_is_reachable(base in 1u64..50, extra in 0u64..500, attempt in 0u32..12, pick in any::<u64>()) {
            let mut b = Backoff::new(ns(base), ns(base + extra)).unwrap();
            for _ in 0..attempt {
                b.next_wait(0);
            }
            let top = b.ceiling().as_nanos() as u64;
            let least = base.max(top / 2);
            let span = top - least + 1;
            let want = pick % span;
            // The least random that maps onto `want`.
            let random = ((u128::from(want) << 64).div_ceil(u128::from(span))) as u64;
            prop_assert_eq!(b.next_wait(random), ns(least + want));
        }
    }
}
