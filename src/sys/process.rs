//! The process: limits, core dumps, what it uses.

use std::io;

#[cfg(target_env = "musl")]
type Resource = libc::c_int;
#[cfg(not(target_env = "musl"))]
type Resource = libc::__rlimit_resource_t;

/// Soft and hard limit of a resource.
pub(super) fn limit(resource: Resource) -> io::Result<(u64, u64)> {
    let mut r = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `r` is valid and writable for the length of the call.
    super::check(unsafe { libc::getrlimit(resource, &mut r) })?;
    Ok((r.rlim_cur, r.rlim_max))
}

fn set_limit(resource: Resource, soft: u64, hard: u64) -> io::Result<()> {
    let r = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: `r` is valid for the length of the call.
    super::check(unsafe { libc::setrlimit(resource, &r) })?;
    Ok(())
}

/// Raises the soft limit of open files to the hard one; returns the limit now in force.
///
/// # Errors
/// The call is refused.
pub fn raise_nofile_limit() -> io::Result<u64> {
    let (soft, hard) = limit(libc::RLIMIT_NOFILE)?;
    if soft < hard {
        set_limit(libc::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard.max(soft))
}

/// No core dumps, no `ptrace` by the same user: memory may hold what logs must not.
///
/// # Errors
/// A call is refused.
pub fn disable_core_dumps() -> io::Result<()> {
    let (_, hard) = limit(libc::RLIMIT_CORE)?;
    set_limit(libc::RLIMIT_CORE, 0, hard)?;
    // SAFETY: PR_SET_DUMPABLE takes one integer and no pointer.
    super::check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) })?;
    Ok(())
}

/// Has the kernel give this process its memory in ordinary pages, whatever the allocator asks for: a huge page is zeroed whole
/// for the few bytes that are needed of it, and stays.
///
/// # Errors
/// The kernel does not know huge pages, and so gives none.
pub fn disable_huge_pages() -> io::Result<()> {
    let (on, none): (libc::c_ulong, libc::c_ulong) = (1, 0);
    // SAFETY: PR_SET_THP_DISABLE takes integers and no pointer.
    super::check(unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, on, none, none, none) })?;
    Ok(())
}

/// Names this run of the machine: another one after each start of it. "" where the kernel does not say.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| String::new(), |s| s.trim().to_owned())
}

/// What the process has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory now, bytes; 0 if `/proc` is not there.
    pub rss_bytes: u64,
    /// Greatest resident memory so far, bytes.
    pub rss_peak_bytes: u64,
    /// CPU time in user mode, ns.
    pub cpu_user_ns: i64,
    /// CPU time in the kernel, ns.
    pub cpu_system_ns: i64,
    /// Context switches that the process did not ask for.
    pub involuntary_switches: i64,
}

/// Reads what the process uses; missing sources leave zeros.
pub fn usage() -> Usage {
    // SAFETY: all-zero is a valid `rusage`.
    let mut r: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `r` is valid and writable; RUSAGE_SELF cannot fail.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut r) };
    let ns = |t: libc::timeval| t.tv_sec * 1_000_000_000 + t.tv_usec * 1_000;
    Usage {
        rss_bytes: resident_bytes().unwrap_or(0),
        rss_peak_bytes: u64::try_from(r.ru_maxrss).unwrap_or(0) * 1024,
        cpu_user_ns: ns(r.ru_utime),
        cpu_system_ns: ns(r.ru_stime),
        involuntary_switches: r.ru_nivcsw,
    }
}

fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    // SAFETY: no pointers; the name is a constant.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    Some(pages * u64::try_from(page).ok()?)
}

/// Number of open file descriptors; `None` if `/proc` is not there.
pub fn open_files() -> Option<usize> {
    // The listing itself holds one descriptor open.
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1))
}

/// Name of the host, "" if the kernel does not tell.
pub fn hostname() -> String {
    let mut buf = [0u8; 256];
    // SAFETY: `buf` is writable and of the length given; the last byte stays 0.
    let rc = unsafe { libc::gethostname(buf.as_mut_ptr().cast(), buf.len() - 1) };
    if rc != 0 {
        return String::new();
    }
    let end = buf.iter().position(|&b| b == 0).unwrap_or(0);
    String::from_utf8_lossy(&buf[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huge_pages_are_off_where_the_kernel_has_them() {
        if disable_huge_pages().is_ok() {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            // Kernels before 5.0 have no such line.
            let line = status.lines().find_map(|l| l.strip_prefix("THP_enabled:"));
            assert!(line.is_none_or(|l| l.trim() == "0"), "{line:?}");
        }
    }

    #[test]
    fn a_process_uses_memory_and_time() {
        let u = usage();
        assert!(u.rss_bytes > 100_000 && u.rss_peak_bytes >= u.rss_bytes / 2);
        assert!(u.cpu_user_ns + u.cpu_system_ns > 0);
        assert!(open_files().unwrap() >= 3);
    }

    #[test]
    fn the_limit_of_files_is_raised_to_the_hard_one() {
        let n = raise_nofile_limit().unwrap();
        assert_eq!(limit(libc::RLIMIT_NOFILE).unwrap().0, n);
    }
}
