//! `CONNECT` through an HTTP proxy, before TLS begins.
//!
//! Cold: once per connection.

use std::io::{self, Read, Write};

use mio::net::TcpStream;

use super::Proxy;
use crate::wire::guard::Violation;
use crate::wire::limits::Limits;

/// A tunnel being asked for.
#[derive(Debug)]
pub(super) struct Tunnel {
    request: Vec<u8>,
    written: usize,
    head: Vec<u8>,
    head_bytes: usize,
}

/// How far a tunnel is.
#[derive(Debug)]
pub(super) enum Progress {
    /// Waits for the socket.
    Pending,
    /// The bytes that follow are the venue's.
    Open,
    /// The proxy said no, with this status.
    Refused(u16),
    /// The proxy broke a limit.
    Violation(Violation),
}

impl Tunnel {
    pub(super) fn new(proxy: &Proxy, host: &str, port: u16, limits: &Limits) -> Self {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
        if let Some(a) = &proxy.authorization {
            request.push_str(&format!("Proxy-Authorization: {a}\r\n"));
        }
        request.push_str("\r\n");
        Tunnel { request: request.into_bytes(), written: 0, head: Vec::new(), head_bytes: limits.head_bytes }
    }

    /// Goes on as far as the socket lets it.
    pub(super) fn drive(&mut self, tcp: &mut TcpStream) -> io::Result<Progress> {
        while self.written < self.request.len() {
            match tcp.write(&self.request[self.written..]) {
                Ok(n) => self.written += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(Progress::Pending),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        loop {
            match self.read_head(tcp) {
                Ok(Some(p)) => return Ok(p),
                Ok(None) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(Progress::Pending),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Takes from the socket no byte beyond the head: what follows belongs to TLS.
    fn read_head(&mut self, tcp: &mut TcpStream) -> io::Result<Option<Progress>> {
        let mut buf = [0u8; 1024];
        let seen = tcp.peek(&mut buf)?;
        if seen == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the proxy closed the connection"));
        }
        let before = self.head.len();
        self.head.extend_from_slice(&buf[..seen]);
        let from = before.saturating_sub(3);
        let end = self.head[from..].windows(4).position(|w| w == b"\r\n\r\n").map(|p| from + p + 4);
        self.head.truncate(end.unwrap_or(self.head.len()));
        let take = self.head.len() - before;
        tcp.read_exact(&mut buf[..take])?;
        if self.head.len() > self.head_bytes {
            return Ok(Some(Progress::Violation(Violation::HeadBytes(self.head_bytes))));
        }
        Ok(end.map(|_| match status(&self.head) {
            200..=299 => Progress::Open,
            s => Progress::Refused(s),
        }))
    }
}

/// The status of an HTTP head, 0 if it is none.
fn status(head: &[u8]) -> u16 {
    let ok = head.starts_with(b"HTTP/1.") && head.len() > 12;
    ok.then(|| std::str::from_utf8(&head[9..12]).ok()?.parse().ok()).flatten().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_a_head() {
        assert_eq!(status(b"HTTP/1.1 200 Connection established\r\n\r\n"), 200);
        assert_eq!(status(b"HTTP/1.0 407 Authenticate\r\n\r\n"), 407);
        assert_eq!(status(b"SSH-2.0-x\r\n\r\n"), 0);
        assert_eq!(status(b"HTTP/1.1"), 0);
    }

    #[test]
    fn the_request_names_the_target_and_brackets_ipv6() {
        let p = Proxy { authorization: Some("Basic x".into()) };
        let t = Tunnel::new(&p, "::1", 443, &Limits::default());
        assert_eq!(
            t.request,
            b"CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\nProxy-Authorization: Basic x\r\n\r\n"
        );
    }
}
