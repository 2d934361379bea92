//! Raw clocks of the kernel. Hot rooms do not call these but `wire::clock`, which adds the offset of tests.

use std::io;

/// Nanoseconds of a kernel clock.
#[inline]
fn read(id: libc::clockid_t) -> i64 {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `ts` is a valid, writable timespec for the length of the call; the ids used here exist on every
    // Linux, so the call cannot fail (and would leave zeros if it did).
    unsafe { libc::clock_gettime(id, &mut ts) };
    ts.tv_sec * 1_000_000_000 + ts.tv_nsec
}

/// `CLOCK_REALTIME` in ns since the Unix epoch, UTC.
#[inline]
pub fn realtime_ns() -> i64 {
    read(libc::CLOCK_REALTIME)
}

/// `CLOCK_BOOTTIME` in ns since boot. It runs while the machine sleeps too, so that a sleep is a silence and no wall clock
/// that was set.
#[inline]
pub fn monotonic_ns() -> i64 {
    read(libc::CLOCK_BOOTTIME)
}

/// CPU time that the calling thread has used, ns.
pub fn thread_cpu_ns() -> i64 {
    read(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// What the kernel thinks of its own wall clock (`adjtimex`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockReading {
    /// Remaining offset that the kernel is slewing away, ns (positive: the clock is behind).
    pub offset_ns: i64,
    /// Greatest possible error, ns; grows by 500 ppm while nobody disciplines the clock.
    pub max_error_ns: i64,
    /// Estimated error, ns.
    pub est_error_ns: i64,
    /// Whether a time daemon says that the clock is synchronised.
    pub synchronized: bool,
}

/// Reads the kernel's clock state without changing it; needs no privilege.
///
/// # Errors
/// The call is refused (some sandboxes filter it).
pub fn adjtimex() -> io::Result<ClockReading> {
    // SAFETY: all-zero is a valid `timex`; `modes = 0` makes the call a read.
    let mut t: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `t` is valid and writable for the length of the call.
    let state = super::check(unsafe { libc::adjtimex(&mut t) })?;
    let unit = if t.status & libc::STA_NANO != 0 { 1 } else { 1_000 };
    Ok(ClockReading {
        offset_ns: t.offset.saturating_mul(unit),
        max_error_ns: t.maxerror.saturating_mul(1_000),
        est_error_ns: t.esterror.saturating_mul(1_000),
        synchronized: state != libc::TIME_ERROR && t.status & libc::STA_UNSYNC == 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_advance_and_the_wall_clock_is_of_this_century() {
        let (w, m) = (realtime_ns(), monotonic_ns());
        assert!(w > 1_700_000_000_000_000_000);
        assert!(monotonic_ns() >= m && m > 0);
        assert!(thread_cpu_ns() > 0);
    }

    #[test]
    fn the_clock_state_is_readable_without_privilege() {
        match adjtimex() {
            Ok(r) => assert!(r.max_error_ns >= 0),
            Err(e) => assert_eq!(e.kind(), io::ErrorKind::PermissionDenied),
        }
    }
}
