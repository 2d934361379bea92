//! The calling thread: its core, its priority, its memory.

use std::io;

/// Binds the calling thread to one CPU by the kernel's own number, also one hidden by `isolcpus`.
///
/// # Errors
/// No such CPU, one outside the process's cpuset, or a number above 1023.
pub fn pin_to_cpu(cpu: usize) -> io::Result<()> {
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("CPU {cpu} is beyond the {} that the kernel call can name", libc::CPU_SETSIZE),
        ));
    }
    // SAFETY: all-zero is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `cpu` is below CPU_SETSIZE, as checked above.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: `set` is valid and of the size given; 0 names the calling thread.
    super::check(unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) })?;
    Ok(())
}

/// CPUs on which the calling thread may run.
///
/// # Errors
/// The call is refused.
pub fn allowed_cpus() -> io::Result<Vec<usize>> {
    // SAFETY: all-zero is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is valid, writable and of the size given; 0 names the calling thread.
    super::check(unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) })?;
    // SAFETY: every number asked for is below CPU_SETSIZE.
    Ok((0..libc::CPU_SETSIZE as usize).filter(|&c| unsafe { libc::CPU_ISSET(c, &set) }).collect())
}

/// Gives the calling thread the real-time class `SCHED_FIFO` with a priority of 1…99.
///
/// # Errors
/// `PermissionDenied` without `CAP_SYS_NICE`: the caller warns and goes on in the normal class.
pub fn set_fifo_priority(priority: i32) -> io::Result<()> {
    // SAFETY: all-zero is a valid `sched_param`.
    let mut p: libc::sched_param = unsafe { std::mem::zeroed() };
    p.sched_priority = priority;
    // SAFETY: `pthread_self` always names the caller and `p` lives through the call.
    let rc = unsafe { libc::pthread_setschedparam(libc::pthread_self(), libc::SCHED_FIFO, &p) };
    if rc == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(rc)) }
}

/// Keeps all memory of the process, present and future, out of swap.
///
/// # Errors
/// `PermissionDenied` where a memlock limit is in force: locking "the future" under a limit would turn later
/// allocations into failures, so nothing is locked. The caller warns and goes on.
pub fn lock_memory() -> io::Result<()> {
    let (soft, _) = super::process::limit(libc::RLIMIT_MEMLOCK)?;
    if soft != libc::RLIM_INFINITY {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("memlock limit is {soft} bytes, must be unlimited (LimitMEMLOCK=infinity)"),
        ));
    }
    // SAFETY: no pointers; the flags are constants.
    super::check(unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_pinned_to_a_cpu_that_it_may_use() {
        // A thread of its own: the pin must not reach the test runner.
        std::thread::spawn(|| {
            let cpu = *allowed_cpus().unwrap().last().unwrap();
            pin_to_cpu(cpu).unwrap();
            assert_eq!(allowed_cpus().unwrap(), [cpu]);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn cpus_that_cannot_be_are_refused() {
        assert_eq!(pin_to_cpu(1 << 20).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert!(pin_to_cpu(1023).is_err(), "this machine has 1024 CPUs?");
    }

    #[test]
    fn a_priority_out_of_range_is_refused() {
        assert!(set_fifo_priority(1000).is_err());
    }
}
