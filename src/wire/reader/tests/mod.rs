//! A reader against servers in threads. Nothing sleeps to wait for something: each side waits for the fact.

mod cuts;
mod hostile;
mod plain;
mod secure;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Instant;

use tungstenite::WebSocket;

use super::*;
use crate::model::GapCause;

/// How long a fact may take before a test gives up; far more than any needs.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Open,
    Message { at: Stamps, binary: bool, bytes: Vec<u8> },
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Probe,
    Sent(String),
    Close(CloseInfo),
}

/// A handler that writes everything down.
#[derive(Default)]
struct Log {
    seen: Vec<(u64, Seen)>,
    /// Pretend to have room for so many more messages.
    room: Option<usize>,
}

impl Log {
    fn push(&mut self, token: u64, s: Seen) {
        self.seen.push((token, s));
    }

    fn messages(&self) -> Vec<Vec<u8>> {
        let of = |s: &Seen| match s {
            Seen::Message { bytes, .. } => Some(bytes.clone()),
            _ => None,
        };
        self.seen.iter().filter_map(|(_, s)| of(s)).collect()
    }

    fn stamps(&self) -> Vec<Stamps> {
        let of = |s: &Seen| match s {
            Seen::Message { at, .. } => Some(*at),
            _ => None,
        };
        self.seen.iter().filter_map(|(_, s)| of(s)).collect()
    }

    fn closed(&self) -> Option<&CloseInfo> {
        self.seen.iter().find_map(|(_, s)| match s {
            Seen::Close(c) => Some(c),
            _ => None,
        })
    }

    fn has(&self, want: &Seen) -> bool {
        self.seen.iter().any(|(_, s)| s == want)
    }
}

impl Handler for Log {
    fn may_read(&self) -> bool {
        self.room != Some(0)
    }
    fn on_open(&mut self, token: u64, _at: &Stamps) {
        self.push(token, Seen::Open);
    }
    fn on_message(&mut self, token: u64, at: &Stamps, binary: bool, payload: &[u8]) {
        if let Some(r) = &mut self.room {
            *r -= 1;
        }
        self.push(token, Seen::Message { at: *at, binary, bytes: payload.to_vec() });
    }
    fn on_ping(&mut self, token: u64, _at: &Stamps, payload: &[u8]) {
        self.push(token, Seen::Ping(payload.to_vec()));
    }
    fn on_pong(&mut self, token: u64, _at: &Stamps, payload: &[u8]) {
        self.push(token, Seen::Pong(payload.to_vec()));
    }
    fn on_probe(&mut self, token: u64, _at: &Stamps) {
        self.push(token, Seen::Probe);
    }
    fn on_sent(&mut self, token: u64, _at: &Stamps, text: &str) {
        self.push(token, Seen::Sent(text.to_owned()));
    }
    fn on_close(&mut self, token: u64, _at: &Stamps, info: &CloseInfo) {
        self.push(token, Seen::Close(info.clone()));
    }
}

/// A server for one connection, in a thread.
fn serve<T: Send + 'static>(f: impl FnOnce(TcpStream) -> T + Send + 'static) -> (SocketAddr, JoinHandle<T>) {
    let l = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = l.local_addr().unwrap();
    let t = std::thread::spawn(move || {
        let (s, _) = l.accept().unwrap();
        s.set_nodelay(true).unwrap();
        s.set_read_timeout(Some(PATIENCE)).unwrap();
        f(s)
    });
    (addr, t)
}

/// The same with the handshake done.
fn serve_ws<T: Send + 'static>(
    f: impl FnOnce(WebSocket<TcpStream>) -> T + Send + 'static,
) -> (SocketAddr, JoinHandle<T>) {
    serve(move |s| f(tungstenite::accept(s).unwrap()))
}

fn request(token: u64, addr: SocketAddr) -> ConnectRequest {
    ConnectRequest {
        token,
        url: format!("ws://{addr}/stream?streams=a@depth"),
        addrs: vec![addr],
        proxy: None,
        tls: TlsSetup::new(&[]).unwrap(),
        subscribe: Vec::new(),
        messages_per_s: 10,
        count_control: false,
        ping: None,
        probe_after: Duration::ZERO,
        dead_after: Duration::ZERO,
        limits: Limits { handshake: PATIENCE, ..Limits::default() },
    }
}

fn reader() -> Reader {
    Reader::new(ReaderConfig::default()).unwrap()
}

/// Polls until `done`.
fn until(r: &mut Reader, log: &mut Log, what: &str, done: impl Fn(&Log) -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done(log) {
        assert!(Instant::now() < end, "waited in vain for {what}; seen {:?}", log.seen.last());
        r.poll_once(log, Duration::from_millis(100)).unwrap();
    }
}

/// Opens one connection and polls until it is closed.
fn run_to_close(q: ConnectRequest) -> (Log, CloseInfo) {
    let (mut r, mut log) = (reader(), Log::default());
    r.open(q).unwrap();
    until(&mut r, &mut log, "the close", |l| l.closed().is_some());
    assert!(r.is_empty());
    let c = log.closed().cloned().unwrap();
    (log, c)
}
