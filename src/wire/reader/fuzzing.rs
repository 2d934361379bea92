//! Cold: one connection over a pair of sockets, without a network: for tests and the fuzz target `frames`.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use mio::{Poll, Token};
use tungstenite::handshake::derive_accept_key;

use super::conn::{Conn, Step, Turn};
use super::{CloseInfo, ConnectRequest, Counters, Handler, ReaderConfig, Stamps};
use crate::wire::{Limits, TlsSetup};

/// What the head of an answer holds where the answer to the client's key belongs.
const ACCEPT: &str = "{accept}";
/// Turns after a piece of bytes; one is enough for what a socket's buffer holds.
const TURNS_MAX: usize = 64;

/// A head that lets the connection open.
pub const SOUND_HEAD: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: {accept}\r\n\r\n";

/// Something that the handler was handed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A whole message; whether it was a binary one.
    Message(bool, Vec<u8>),
    /// A ping.
    Ping(Vec<u8>),
    /// A pong.
    Pong(Vec<u8>),
}

/// What came of a conversation.
#[derive(Debug)]
pub struct Outcome {
    /// The upgrade was accepted.
    pub opened: bool,
    /// What was handed on, in order.
    pub seen: Vec<Seen>,
    /// How it ended.
    pub end: CloseInfo,
    /// It ended before the peer closed its side.
    pub early: bool,
}

/// Speaks to connections of ours.
pub struct Peer {
    poll: Poll,
    tls: TlsSetup,
}

#[derive(Default)]
struct Notes {
    opened: bool,
    seen: Vec<Seen>,
}

impl Handler for Notes {
    fn on_open(&mut self, _: u64, _: &Stamps) {
        self.opened = true;
    }
    fn on_message(&mut self, _: u64, _: &Stamps, binary: bool, payload: &[u8]) {
        self.seen.push(Seen::Message(binary, payload.to_vec()));
    }
    fn on_ping(&mut self, _: u64, _: &Stamps, payload: &[u8]) {
        self.seen.push(Seen::Ping(payload.to_vec()));
    }
    fn on_pong(&mut self, _: u64, _: &Stamps, payload: &[u8]) {
        self.seen.push(Seen::Pong(payload.to_vec()));
    }
    fn on_sent(&mut self, _: u64, _: &Stamps, _: &str) {}
    fn on_close(&mut self, _: u64, _: &Stamps, _: &CloseInfo) {}
}

impl Peer {
    /// A peer for any number of conversations.
    ///
    /// # Errors
    /// No poll or no TLS setup is to be had.
    pub fn new() -> io::Result<Peer> {
        Ok(Peer { poll: Poll::new()?, tls: TlsSetup::new(&[]).map_err(io::Error::other)? })
    }

    /// Answers a connection's upgrade with `head`, in which `{accept}` stands for the answer to its key, then sends the
    /// pieces, each of which is read before the next is sent, then closes.
    ///
    /// # Errors
    /// The machine has no sockets left.
    pub fn converse(&self, head: &[u8], pieces: &[&[u8]], limits: Limits) -> io::Result<Outcome> {
        let (ours, mut peer) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        peer.set_nonblocking(true)?;
        // A stream socket like any other: the connection asks it for nothing that only TCP has.
        let tcp = mio::net::TcpStream::from_std(std::net::TcpStream::from(OwnedFd::from(ours)));
        let mut talk = Talk {
            conn: self.conn(limits)?,
            notes: Notes::default(),
            counters: Counters::default(),
            poll: &self.poll,
        };
        let mut end = talk.conn.start_upgrade(tcp).err().or_else(|| talk.turn());
        let request = {
            let mut b = vec![0; 4096];
            let n = peer.read(&mut b).unwrap_or(0);
            b.truncate(n);
            b
        };
        let head = answer(head, &request);
        for piece in std::iter::once(head.as_slice()).chain(pieces.iter().copied()) {
            if end.is_some() {
                break;
            }
            // What does not fit is not sent: nobody speaks more than a socket holds before it is read.
            if peer.write_all(piece).is_err() {
                break;
            }
            end = talk.turn();
        }
        let early = end.is_some();
        if end.is_none() {
            peer.shutdown(Shutdown::Write)?;
            talk.conn.read_closed = true;
            end = talk.turn();
        }
        let end = end.ok_or_else(|| io::Error::other("the end of the stream was not noticed"))?;
        Ok(Outcome { opened: talk.notes.opened, seen: talk.notes.seen, end, early })
    }

    fn conn(&self, limits: Limits) -> io::Result<Conn> {
        let request = ConnectRequest {
            token: 1,
            url: "ws://127.0.0.1/ws".to_owned(),
            addrs: Vec::new(),
            proxy: None,
            tls: self.tls.clone(),
            subscribe: Vec::new(),
            messages_per_s: 10,
            count_control: false,
            ping: None,
            probe_after: core::time::Duration::ZERO,
            dead_after: core::time::Duration::ZERO,
            limits,
        };
        Conn::new(request, Token(1), ReaderConfig::default()).map_err(io::Error::other)
    }
}

struct Talk<'a> {
    conn: Conn,
    notes: Notes,
    counters: Counters,
    poll: &'a Poll,
}

impl Talk<'_> {
    /// Lets the connection go on until it waits for its socket.
    fn turn(&mut self) -> Option<CloseInfo> {
        for _ in 0..TURNS_MAX {
            let now = crate::wire::clock::mono_ns();
            let mut turn =
                Turn { registry: self.poll.registry(), counters: &mut self.counters, now, work: 0 };
            match self.conn.drive(&mut self.notes, &mut turn) {
                Step::Keep => return None,
                Step::Again => {}
                Step::End(info) => return Some(info),
            }
        }
        None
    }
}

/// The head with the answer to the request's key.
fn answer(head: &[u8], request: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(request);
    let key = text
        .lines()
        .find_map(|l| l.split_once(": ").filter(|(k, _)| k.eq_ignore_ascii_case("sec-websocket-key")))
        .map_or("", |(_, v)| v.trim());
    match head.windows(ACCEPT.len()).position(|w| w == ACCEPT.as_bytes()) {
        Some(at) => {
            let accept = derive_accept_key(key.as_bytes());
            [&head[..at], accept.as_bytes(), &head[at + ACCEPT.len()..]].concat()
        }
        None => head.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::GapCause;

    #[test]
    fn fragments_pings_and_an_end_are_seen_over_a_pair_of_sockets() {
        let peer = Peer::new().unwrap();
        let bytes = [&[0x01, 1, b'a'][..], &[0x89, 1, b'p'], &[0x80, 1, b'b'], &[0x82, 0]].concat();
        for pieces in [vec![&bytes[..]], bytes.chunks(1).collect()] {
            let o = peer.converse(SOUND_HEAD.as_bytes(), &pieces, Limits::default()).unwrap();
            let want = [
                Seen::Ping(b"p".into()),
                Seen::Message(false, b"ab".into()),
                Seen::Message(true, b"".into()),
            ];
            assert_eq!((o.opened, o.early, o.end.cause), (true, false, GapCause::VenueDisconnect));
            assert_eq!(o.seen, want);
        }
        let o = peer.converse(b"HTTP/1.1 429 No\r\n\r\n", &[], Limits::default()).unwrap();
        assert_eq!((o.opened, o.end.http_status), (false, 429));
    }
}
