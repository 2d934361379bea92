//! The one stream type of a connection from SYN to close: socket with stamps, TLS where the URL says so, and the guard.
//!
//! It stays the same object through the handshake, because taking the stream out of the WebSocket library would lose
//! frames that it has already buffered.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use mio::net::TcpStream;
use rustls::ClientConnection;

use super::Stamps;
use crate::sys;
use crate::wire::clock;
use crate::wire::guard::Guard;
use crate::wire::limits::Limits;

/// A socket that stamps each read.
#[derive(Debug)]
pub(super) struct Socket {
    tcp: TcpStream,
    last: Stamps,
    /// Reads that are left in this turn, so that one connection cannot hold the thread.
    budget: u32,
    starved: bool,
    /// The last read of this turn brought less than it had room for: the socket is empty, and asking it again would be a
    /// system call per frame for nothing. What comes later is a new event.
    drained: bool,
    /// The peer has closed its side, so the end may stand right behind the data and no event will follow.
    to_the_end: bool,
    bytes_in: u64,
    reads: u64,
}

impl Read for Socket {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.budget == 0 {
            self.starved = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if self.drained {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let (n, kernel) = loop {
            match sys::net::recv_stamped(self.tcp.as_fd(), buf) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.budget -= 1;
        self.drained = n > 0 && n < buf.len() && !self.to_the_end;
        self.reads += 1;
        self.bytes_in += n as u64;
        self.last.ts_recv = clock::wall_ns();
        self.last.ts_mono = clock::mono_ns();
        // The kernel knows nothing of the test offset.
        self.last.ts_kernel = if kernel == 0 { 0 } else { kernel + clock::wall_offset_ns() };
        Ok(n)
    }
}

impl Write for Socket {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.tcp.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The TLS handshake was cut before it was done.
#[derive(Debug, thiserror::Error)]
#[error("connection lost in the TLS handshake: {0}")]
pub(super) struct HandshakeCut(String);

/// TLS over the socket. Ciphertext is read in large pieces, so a burst costs few calls.
#[derive(Debug)]
pub(super) struct Tls {
    session: ClientConnection,
    socket: Socket,
    cipher: Box<[u8]>,
    start: usize,
    end: usize,
    failed: Option<rustls::Error>,
}

impl Tls {
    /// Sends what the session has to send; `WouldBlock` if the socket is full.
    fn push(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            self.session.write_tls(&mut self.socket)?;
        }
        Ok(())
    }

    fn push_or_later(&mut self) -> io::Result<()> {
        match self.push() {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(()),
            other => other,
        }
    }

    /// Takes ciphertext from the socket into the session.
    fn pull(&mut self) -> io::Result<()> {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
            self.end = self.socket.read(&mut self.cipher)?;
        }
        let mut part = &self.cipher[self.start..self.end];
        // With no bytes left this tells the session of the end of the stream.
        let n = self.session.read_tls(&mut part)?;
        self.start += n;
        if let Err(e) = self.session.process_new_packets() {
            // The alert should reach the peer; that it may not changes nothing.
            let _ = self.push();
            self.failed = Some(e.clone());
            return Err(io::Error::new(io::ErrorKind::InvalidData, e));
        }
        Ok(())
    }
}

#[cold]
fn cut(kind: io::ErrorKind, why: &dyn std::fmt::Display) -> io::Error {
    io::Error::new(kind, HandshakeCut(why.to_string()))
}

impl Read for Tls {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let Some(e) = &self.failed {
            return Err(io::Error::new(io::ErrorKind::InvalidData, e.clone()));
        }
        loop {
            let ended = match self.session.reader().read(buf) {
                // Cut without `close_notify`: the WebSocket has a close of its own and will notice.
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => true,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => false,
                Ok(0) => true,
                other => return other,
            };
            let handshaking = self.session.is_handshaking();
            if ended {
                return if handshaking {
                    Err(cut(io::ErrorKind::UnexpectedEof, &"end of stream"))
                } else {
                    Ok(0)
                };
            }
            self.push_or_later()?;
            match self.pull() {
                Err(e) if handshaking && e.get_ref().is_none() && e.kind() != io::ErrorKind::WouldBlock => {
                    return Err(cut(e.kind(), &e));
                }
                other => other?,
            }
            self.push_or_later()?;
        }
    }
}

impl Write for Tls {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.session.writer().write(buf)?;
        if n > 0 {
            self.push_or_later()?;
            return Ok(n);
        }
        // The session's buffer is full. Never answer 0: the library takes it for a reset, or for its own bug.
        self.push()?;
        match self.session.writer().write(buf)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            n => Ok(n),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.push()
    }
}

#[derive(Debug)]
enum Io {
    Plain(Socket),
    Tls(Box<Tls>),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Transport {
    io: Io,
    guard: Guard,
}

impl Transport {
    pub(super) fn new(tcp: TcpStream, session: Option<ClientConnection>, limits: Limits) -> Self {
        let socket = Socket {
            tcp,
            last: Stamps::default(),
            budget: 0,
            starved: false,
            drained: false,
            to_the_end: false,
            bytes_in: 0,
            reads: 0,
        };
        let io = match session {
            None => Io::Plain(socket),
            Some(session) => Io::Tls(Box::new(Tls {
                session,
                socket,
                cipher: vec![0; limits.read_buffer_bytes].into_boxed_slice(),
                start: 0,
                end: 0,
                failed: None,
            })),
        };
        Transport { io, guard: Guard::new(limits) }
    }

    fn socket(&self) -> &Socket {
        match &self.io {
            Io::Plain(s) => s,
            Io::Tls(t) => &t.socket,
        }
    }

    fn socket_mut(&mut self) -> &mut Socket {
        match &mut self.io {
            Io::Plain(s) => s,
            Io::Tls(t) => &mut t.socket,
        }
    }

    /// Stamps of the last read.
    #[inline]
    pub(super) fn stamps(&self) -> Stamps {
        self.socket().last
    }

    /// Allows so many reads until the next call; `to_the_end` = the peer has closed its side.
    pub(super) fn grant_reads(&mut self, n: u32, to_the_end: bool) {
        let s = self.socket_mut();
        s.budget = n;
        s.starved = false;
        s.drained = false;
        s.to_the_end = to_the_end;
    }

    /// Whether reading stopped for lack of budget rather than of data.
    pub(super) fn starved(&self) -> bool {
        self.socket().starved
    }

    /// Marks what is read from now on as late (or as on time again).
    pub(super) fn set_stalled(&mut self, stalled: bool) {
        self.socket_mut().last.stalled = stalled;
    }

    /// Bytes and reads since the last call.
    pub(super) fn take_counts(&mut self) -> (u64, u64) {
        let s = self.socket_mut();
        (std::mem::take(&mut s.bytes_in), std::mem::take(&mut s.reads))
    }

    #[inline]
    pub(super) fn pending_since(&self) -> i64 {
        self.guard.pending_since()
    }

    pub(super) fn tls_handshaking(&self) -> bool {
        match &self.io {
            Io::Plain(_) => false,
            Io::Tls(t) => t.session.is_handshaking(),
        }
    }
}

impl Read for Transport {
    #[inline]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = match self.guard.violation() {
            Some(_) => 0,
            None => match &mut self.io {
                Io::Plain(s) => s.read(buf)?,
                Io::Tls(t) => t.read(buf)?,
            },
        };
        let passed = self.guard.feed(&buf[..n], self.socket().last.ts_mono);
        match self.guard.violation() {
            Some(v) if passed == 0 => Err(io::Error::other(v)),
            _ => Ok(passed),
        }
    }
}

impl Write for Transport {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match &mut self.io {
            Io::Plain(s) => s.write(buf),
            Io::Tls(t) => t.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.io {
            Io::Plain(s) => s.flush(),
            Io::Tls(t) => t.flush(),
        }
    }
}
