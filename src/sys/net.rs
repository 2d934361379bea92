//! Sockets: the kernel's receive stamp, and the few options that the standard library does not know.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// Room for the control messages of one read: a time stamp needs 32 bytes.
const CONTROL_LEN: usize = 128;

/// A control buffer with the alignment that `cmsghdr` wants.
#[repr(C, align(8))]
struct Control([u8; CONTROL_LEN]);

fn set_int(fd: BorrowedFd<'_>, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the pointer is to a live `c_int` whose size is given.
    super::check(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    })?;
    Ok(())
}

/// Asks the kernel to stamp what arrives (`SO_TIMESTAMPNS`); [`recv_stamped`] then gives the stamps.
///
/// # Errors
/// The socket does not know the option.
pub fn enable_kernel_stamps(fd: BorrowedFd<'_>) -> io::Result<()> {
    set_int(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)
}

/// Sent data that stays unacknowledged for so long breaks the connection (`TCP_USER_TIMEOUT`).
///
/// # Errors
/// Not a TCP socket.
pub fn set_user_timeout(fd: BorrowedFd<'_>, after: Duration) -> io::Result<()> {
    let ms = libc::c_int::try_from(after.as_millis()).unwrap_or(libc::c_int::MAX);
    set_int(fd, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, ms)
}

/// Lets a read spin in the driver for so many microseconds (`SO_BUSY_POLL`).
///
/// # Errors
/// `PermissionDenied` without `CAP_NET_ADMIN`; the caller warns and goes on.
pub fn set_busy_poll(fd: BorrowedFd<'_>, us: u32) -> io::Result<()> {
    set_int(fd, libc::SOL_SOCKET, libc::SO_BUSY_POLL, us.min(1_000_000) as libc::c_int)
}

/// One read of a socket, with the kernel's receive time of the last segment in it.
///
/// Returns bytes read (0 = the peer closed) and the stamp in ns since the Unix epoch, 0 if the kernel gave none.
///
/// # Errors
/// As `recv`: `WouldBlock`, `Interrupted` and the real ones.
#[inline]
pub fn recv_stamped(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<(usize, i64)> {
    let mut iov = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
    let mut control = Control([0; CONTROL_LEN]);
    // SAFETY: all-zero is a valid `msghdr`.
    let mut msg: libc::msghdr = unsafe { std::mem::zeroed() };
    msg.msg_iov = &mut iov;
    msg.msg_iovlen = 1;
    msg.msg_control = control.0.as_mut_ptr().cast();
    msg.msg_controllen = CONTROL_LEN as _;
    // SAFETY: `msg` points at `iov` (over `buf`) and `control`, all live and writable through the call, with their
    // true lengths.
    let n = unsafe { libc::recvmsg(fd.as_raw_fd(), &mut msg, 0) };
    if n < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has filled `control` and set its length in `msg`; the walk stays inside by CMSG_NXTHDR.
    let stamp = unsafe { stamp_of(&msg) };
    Ok((n as usize, stamp))
}

/// The time stamp among the control messages of a finished read, 0 if there is none.
///
/// # Safety
/// `msg` must have come back from `recvmsg`, its control buffer still alive and aligned.
#[inline]
unsafe fn stamp_of(msg: &libc::msghdr) -> i64 {
    // SAFETY: the caller vouches for `msg`; CMSG_* only walk inside its control buffer.
    unsafe {
        let mut c = libc::CMSG_FIRSTHDR(msg);
        while !c.is_null() {
            if (*c).cmsg_level == libc::SOL_SOCKET && (*c).cmsg_type == libc::SCM_TIMESTAMPNS {
                let ts = libc::CMSG_DATA(c).cast::<libc::timespec>().read_unaligned();
                return ts.tv_sec * 1_000_000_000 + ts.tv_nsec;
            }
            c = libc::CMSG_NXTHDR(msg, c);
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    #[test]
    fn a_read_carries_the_kernels_stamp() {
        let l = TcpListener::bind("127.0.0.1:0").unwrap();
        let rx = TcpStream::connect(l.local_addr().unwrap()).unwrap();
        let (mut tx, _) = l.accept().unwrap();
        enable_kernel_stamps(rx.as_fd()).unwrap();
        set_user_timeout(rx.as_fd(), Duration::from_secs(6)).unwrap();
        let mut buf = [0u8; 16];
        // The kernel switches its stamping on in the background: the first segments may come without.
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        loop {
            let before = super::super::clock::realtime_ns();
            tx.write_all(b"hello").unwrap();
            let (n, stamp) = recv_stamped(rx.as_fd(), &mut buf).unwrap();
            let after = super::super::clock::realtime_ns();
            assert_eq!(&buf[..n], b"hello");
            if stamp != 0 {
                assert!(
                    stamp >= before - 1_000_000 && stamp <= after + 1_000_000,
                    "{before} {stamp} {after}"
                );
                break;
            }
            assert!(std::time::Instant::now() < deadline, "no stamp in 10 s");
        }
        drop(tx);
        assert_eq!(recv_stamped(rx.as_fd(), &mut buf).unwrap().0, 0);
    }

    #[test]
    fn an_idle_socket_would_block() {
        let l = TcpListener::bind("127.0.0.1:0").unwrap();
        let rx = TcpStream::connect(l.local_addr().unwrap()).unwrap();
        rx.set_nonblocking(true).unwrap();
        let e = recv_stamped(rx.as_fd(), &mut [0u8; 16]).unwrap_err();
        assert_eq!(e.kind(), io::ErrorKind::WouldBlock);
    }
}
