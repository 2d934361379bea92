//! The only clock of hot rooms.
//!
//! Wall time is for stamps that are stored, monotonic time for waiting and for hop times; never subtract one from the
//! other. A process-wide offset of the wall clock exists for tests (a capture across midnight at noon).

use std::io;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::sys;

static WALL_OFFSET_NS: AtomicI64 = AtomicI64::new(0);

/// Wall time in ns since the Unix epoch, UTC, with the test offset.
#[inline]
pub fn wall_ns() -> i64 {
    #[cfg(test)]
    if let Some((wall, _)) = simulated::now() {
        return wall;
    }
    sys::clock::realtime_ns() + wall_offset_ns()
}

/// Monotonic time in ns since some point in the past.
#[inline]
pub fn mono_ns() -> i64 {
    #[cfg(test)]
    if let Some((_, mono)) = simulated::now() {
        return mono;
    }
    sys::clock::monotonic_ns()
}

/// The offset now in force, ns; 0 outside tests.
#[inline]
pub fn wall_offset_ns() -> i64 {
    WALL_OFFSET_NS.load(Ordering::Relaxed)
}

/// Moves the recorder's wall clock (and the kernel's stamps as the wire reports them) by `ns`. A setting for tests and
/// rehearsals only: data captured with it carries times that were not. Call it before anything is captured.
pub fn set_wall_offset_ns(ns: i64) {
    WALL_OFFSET_NS.store(ns, Ordering::Relaxed);
}

/// What the kernel thinks of its wall clock.
///
/// # Errors
/// The kernel does not say.
pub fn reading() -> io::Result<sys::clock::ClockReading> {
    #[cfg(test)]
    if simulated::now().is_some() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    sys::clock::adjtimex()
}

/// A clock of the thread's own: a simulated world moves it by hand.
#[cfg(test)]
pub(crate) mod simulated {
    use std::cell::Cell;

    thread_local! {
        static NOW: Cell<Option<(i64, i64)>> = const { Cell::new(None) };
    }

    /// Wall and monotonic time of this thread from now on; `None`: the real ones again.
    pub fn set(now: Option<(i64, i64)>) {
        NOW.set(now);
    }

    pub(super) fn now() -> Option<(i64, i64)> {
        NOW.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_run() {
        let (w, m) = (wall_ns(), mono_ns());
        assert!(w > 1_700_000_000_000_000_000);
        assert!(mono_ns() >= m);
    }
}
