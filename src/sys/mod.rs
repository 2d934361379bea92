//! The few calls to the kernel: affinity, priorities, memory, socket stamps.
//!
//! Thin and total: each function is one or two system calls, checks its result and says in its documentation what
//! happens without the privilege it would like to have. This room must not know anything of ours.

pub mod alloc;
pub mod clock;
pub mod crc;
pub mod disk;
pub mod net;
#[cfg(feature = "planted")]
pub mod planted;
pub mod process;
pub mod sha;
pub mod shm;
pub mod simd;
pub mod thread;

use std::io;

/// Turns a `-1` of the C library into the error of `errno`.
fn check(rc: libc::c_int) -> io::Result<libc::c_int> {
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(rc) }
}
