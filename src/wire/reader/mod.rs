//! The engine of a reader thread: sockets in, whole messages with their stamps out, to a [`Handler`] by static dispatch.
//!
//! ```text
//! loop {
//!     drain the lane's command channel    → reader.open / close / send
//!     reader.poll_once(&mut lane, wait)?  → lane.on_message(…) …
//! }
//! ```
//! Another thread wakes a waiting reader through [`Reader::waker`]. Names are resolved by the control side beforehand.
//! Per frame nothing of ours allocates, locks, formats or logs; what the TLS and WebSocket libraries allocate is counted.

mod close;
mod conn;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod proxy;
mod transport;

#[cfg(test)]
mod tests;

// `core::time` has durations only, no clock.
use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use mio::{Events, Poll, Token, Waker};

pub use close::{CloseInfo, ClosePhase};
use conn::{Conn, Step, Turn};

use super::clock;
use super::limits::Limits;
use super::tls::{TlsError, TlsSetup};
use super::url::{Target, UrlError};
use crate::model::VenueSpec;

/// When something was received. Messages completed by one read share one value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamps {
    /// Kernel receive time of the read's last segment, ns since the Unix epoch; 0 = the kernel gave none.
    pub ts_kernel: i64,
    /// User-space time right after the read, ns since the Unix epoch.
    pub ts_recv: i64,
    /// Monotonic time of the same moment, ns.
    pub ts_mono: i64,
    /// The read came late because the handler could not take more: `ts_recv` is not to be trusted.
    pub stalled: bool,
}

impl Stamps {
    /// Now, for what no read brought.
    pub fn now() -> Stamps {
        Stamps { ts_kernel: 0, ts_recv: clock::wall_ns(), ts_mono: clock::mono_ns(), stalled: false }
    }
}

/// Takes what a [`Reader`] reads. `token` is the caller's own name of the connection.
pub trait Handler {
    /// Whether there is room for one more message of any size. While `false`, sockets are not read and TCP pushes back.
    fn may_read(&self) -> bool {
        true
    }
    /// The handshake is done; messages may follow at once.
    fn on_open(&mut self, token: u64, at: &Stamps);
    /// A whole message, its bytes as sent.
    fn on_message(&mut self, token: u64, at: &Stamps, binary: bool, payload: &[u8]);
    /// The peer pinged; the answer goes out by itself.
    fn on_ping(&mut self, _token: u64, _at: &Stamps, _payload: &[u8]) {}
    /// The peer answered a ping of ours.
    fn on_pong(&mut self, _token: u64, _at: &Stamps, _payload: &[u8]) {}
    /// We pinged because the connection was silent.
    fn on_probe(&mut self, _token: u64, _at: &Stamps) {}
    /// A text of ours was handed to the socket.
    fn on_sent(&mut self, token: u64, at: &Stamps, text: &str);
    /// The connection is gone; its token is free again. Exactly once for each successful [`Reader::open`].
    fn on_close(&mut self, token: u64, at: &Stamps, info: &CloseInfo);
}

/// How a reader waits for its sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum WaitMode {
    /// Sleep in the kernel until something comes.
    #[default]
    Epoll,
    /// Ask without pause; only for a core that nobody else uses.
    Spin,
}

/// Settings of a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaderConfig {
    /// How it waits.
    pub wait: WaitMode,
    /// Reads of one connection before the next one has its turn.
    pub reads_per_turn: u32,
    /// Microseconds that the kernel may poll the device in a read (`SO_BUSY_POLL`); 0 = leave as it is.
    pub busy_poll_us: u32,
}

impl Default for ReaderConfig {
    fn default() -> Self {
        ReaderConfig { wait: WaitMode::Epoll, reads_per_turn: 16, busy_poll_us: 0 }
    }
}

/// An HTTP proxy to go through by `CONNECT`; its addresses stand in [`ConnectRequest::addrs`].
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Proxy {
    /// Value of `Proxy-Authorization`, if it wants one.
    pub authorization: Option<String>,
}

/// A connection to open.
#[derive(Clone, Debug)]
pub struct ConnectRequest {
    /// The caller's name of the connection, unique among the open ones of this reader.
    pub token: u64,
    /// `wss://…`, or `ws://…` to loopback addresses.
    pub url: String,
    /// Resolved addresses of the URL's host (of the proxy if there is one), tried in order.
    pub addrs: Vec<SocketAddr>,
    /// Go through a proxy.
    pub proxy: Option<Proxy>,
    /// How to check the peer.
    pub tls: TlsSetup,
    /// Texts to send after the handshake, within the rate below.
    pub subscribe: Vec<String>,
    /// Messages per second that the venue bears from us, at least 1.
    pub messages_per_s: u32,
    /// Whether our pings and pongs count among them.
    pub count_control: bool,
    /// A text to send this often, whether the connection is silent or not: the venue's own kind of ping.
    pub ping: Option<(String, Duration)>,
    /// Silent for so long: ping. Zero = never.
    pub probe_after: Duration,
    /// Silent for so long: close with cause `stale_timeout`. Zero = never.
    pub dead_after: Duration,
    /// What the peer may do.
    pub limits: Limits,
}

impl ConnectRequest {
    /// A request with a venue's own figures, default limits and no proxy.
    pub fn new(token: u64, url: String, addrs: Vec<SocketAddr>, tls: TlsSetup, venue: &VenueSpec) -> Self {
        ConnectRequest {
            token,
            url,
            addrs,
            proxy: None,
            tls,
            subscribe: Vec::new(),
            messages_per_s: venue.client_messages_per_s,
            // Some venues count pings and pongs, and a venue that does not is not hurt by fewer messages.
            count_control: true,
            ping: venue.heartbeat.ping.map(|(t, s)| (t.to_owned(), Duration::from_secs(u64::from(s)))),
            probe_after: Duration::from_secs(u64::from(venue.probe_after_s)),
            dead_after: Duration::from_secs(u64::from(venue.dead_after_s)),
            limits: Limits::default(),
        }
    }
}

/// Why a connection cannot even be tried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL is no good.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// Plain `ws` beyond this machine.
    #[error("{url:?}: plain ws is for loopback addresses only, {addr} is none; use wss")]
    NotLoopback {
        /// The URL.
        url: String,
        /// The first address that is not loopback (or the proxy).
        addr: String,
    },
    /// No address.
    #[error("{url:?}: no address to connect to")]
    NoAddress {
        /// The URL.
        url: String,
    },
    /// The token is in use.
    #[error("connection token {0} is in use")]
    Token(u64),
    /// The host cannot be checked.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The handshake request cannot be made.
    #[error("{url:?}: {why}")]
    Request {
        /// The URL.
        url: String,
        /// The library's word.
        why: String,
    },
}

/// What a reader has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Whole data messages.
    pub messages: u64,
    /// Bytes out of the kernel (ciphertext where TLS is on).
    pub bytes: u64,
    /// Reads that brought them.
    pub reads: u64,
    /// Pings of peers.
    pub pings: u64,
    /// Pongs of peers.
    pub pongs: u64,
    /// Pings of ours.
    pub probes: u64,
    /// Texts of ours.
    pub sent: u64,
    /// Handshakes done.
    pub opened: u64,
    /// Connections ended, also those that never opened.
    pub closed: u64,
    /// Connections that had to stop reading because the handler was full.
    pub stalls: u64,
    /// Allocations inside the TLS and WebSocket libraries while reading; 0 unless the counting allocator is on.
    pub transport_allocations: u64,
}

const WAKER: Token = Token(usize::MAX);
/// So much more than its wait a turn takes on a busy machine; what takes longer has stood still.
const STOOD: Duration = Duration::from_secs(1);
/// While the handler is full we look for room this often.
const STALL_LOOK: Duration = Duration::from_millis(1);

/// See the module.
pub struct Reader {
    poll: Poll,
    events: Events,
    waker: Arc<Waker>,
    config: ReaderConfig,
    conns: Vec<Option<Box<Conn>>>,
    ready: Vec<usize>,
    turn: Vec<usize>,
    next_timer: i64,
    any_paused: bool,
    /// When the sockets were asked last; 0 before the first time.
    asked: i64,
    counters: Counters,
}

impl Reader {
    /// A reader without connections.
    ///
    /// # Errors
    /// The kernel gives no epoll or eventfd.
    pub fn new(config: ReaderConfig) -> io::Result<Reader> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        Ok(Reader {
            poll,
            events: Events::with_capacity(256),
            waker,
            config,
            conns: Vec::new(),
            ready: Vec::new(),
            turn: Vec::new(),
            next_timer: i64::MAX,
            any_paused: false,
            asked: 0,
            counters: Counters::default(),
        })
    }

    /// Wakes [`Reader::poll_once`] from another thread.
    pub fn waker(&self) -> Arc<Waker> {
        self.waker.clone()
    }

    /// What was done so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Connections that are open or opening.
    pub fn len(&self) -> usize {
        self.conns.iter().flatten().count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Begins a connection. What becomes of it comes through the handler in later [`Reader::poll_once`] calls.
    ///
    /// # Errors
    /// [`OpenError`] for a request that cannot be tried; the handler hears nothing of it.
    pub fn open(&mut self, request: ConnectRequest) -> Result<(), OpenError> {
        if self.slot_of(request.token).is_some() {
            return Err(OpenError::Token(request.token));
        }
        check_request(&request)?;
        let slot = match self.conns.iter().position(Option::is_none) {
            Some(free) => free,
            None => {
                self.conns.push(None);
                self.conns.len() - 1
            }
        };
        let conn = Conn::new(request, Token(slot), self.config)?;
        self.conns[slot] = Some(Box::new(conn));
        self.enqueue(slot);
        Ok(())
    }

    /// Closes a connection with a close frame; [`Handler::on_close`] follows. `false` if there is none of that name.
    pub fn close(&mut self, token: u64, code: u16, reason: &str) -> bool {
        let Some(slot) = self.slot_of(token) else { return false };
        if let Some(c) = &mut self.conns[slot] {
            c.request_close(code, reason);
        }
        self.enqueue(slot);
        true
    }

    /// Sends a text as soon as the rate limit allows; [`Handler::on_sent`] follows. `false` if there is no such
    /// connection or too much waits already.
    pub fn send(&mut self, token: u64, text: String) -> bool {
        let Some(slot) = self.slot_of(token) else { return false };
        let taken = self.conns[slot].as_mut().is_some_and(|c| c.queue_text(text));
        self.enqueue(slot);
        taken
    }

    /// One round: waits at most `max_wait`, reads what is there, hands it to `handler`, looks after timers. Returns how
    /// many messages and changes of state there were; 0 after a wait in vain.
    ///
    /// # Errors
    /// `epoll` itself failed; the reader cannot go on.
    pub fn poll_once<H: Handler>(&mut self, handler: &mut H, max_wait: Duration) -> io::Result<usize> {
        if self.any_paused && handler.may_read() {
            self.resume();
        }
        let asked = clock::mono_ns();
        self.stood_still(asked, max_wait);
        let wait = self.wait(max_wait, asked);
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(0),
            other => other?,
        }
        for event in &self.events {
            let slot = event.token().0;
            // The waker needs no more than to have ended the wait; a stale slot no more than a look.
            if let Some(Some(c)) = self.conns.get_mut(slot) {
                c.read_closed |= event.is_read_closed() || event.is_error();
                if !std::mem::replace(&mut c.queued, true) {
                    self.ready.push(slot);
                }
            }
        }
        let now = clock::mono_ns();
        let mut work = 0;
        let mut turn = std::mem::replace(&mut self.ready, std::mem::take(&mut self.turn));
        for slot in turn.drain(..) {
            work += self.drive(slot, handler, now);
        }
        self.turn = turn;
        // Sockets first: after a freeze of the whole process their bytes speak before the watchdogs do. The time is that
        // before the question, since a freeze behind the answer would leave bytes that nobody was told of.
        if asked >= self.next_timer {
            work += self.timers(handler, asked);
        }
        Ok(work)
    }

    /// Between two questions lies a wait and a turn. If it was much more, this thread stood still, and perhaps the whole
    /// machine with what it talks to: that time is nobody's who owes us the rest of a message.
    fn stood_still(&mut self, asked: i64, max_wait: Duration) {
        let before = std::mem::replace(&mut self.asked, asked);
        if before == 0 || asked < conn::due(before, max_wait.saturating_add(STOOD)) {
            return;
        }
        for c in self.conns.iter_mut().flatten() {
            c.stood_until = asked;
        }
    }

    fn wait(&self, max_wait: Duration, now: i64) -> Duration {
        if !self.ready.is_empty() || self.config.wait == WaitMode::Spin {
            return Duration::ZERO;
        }
        let max_wait = if self.any_paused { max_wait.min(STALL_LOOK) } else { max_wait };
        if self.next_timer == i64::MAX {
            return max_wait;
        }
        let left = self.next_timer.saturating_sub(now).max(0);
        max_wait.min(Duration::from_nanos(left.unsigned_abs()))
    }

    fn drive<H: Handler>(&mut self, slot: usize, handler: &mut H, now: i64) -> usize {
        let Some(Some(conn)) = self.conns.get_mut(slot) else { return 0 };
        conn.queued = false;
        let mut turn = Turn { registry: self.poll.registry(), counters: &mut self.counters, now, work: 0 };
        let step = conn.drive(handler, &mut turn);
        let work = turn.work;
        self.after(slot, step, handler) + work
    }

    /// Does what a connection's step asks for.
    fn after<H: Handler>(&mut self, slot: usize, step: Step, handler: &mut H) -> usize {
        let Some(Some(conn)) = self.conns.get_mut(slot) else { return 0 };
        match step {
            Step::Keep => {
                self.any_paused |= conn.paused;
                self.next_timer = self.next_timer.min(conn.deadline());
                0
            }
            Step::Again => {
                self.next_timer = self.next_timer.min(conn.deadline());
                self.enqueue(slot);
                0
            }
            Step::End(info) => {
                let token = conn.token;
                self.counters.closed += 1;
                // Dropping the socket takes it out of epoll.
                self.conns[slot] = None;
                handler.on_close(token, &Stamps::now(), &info);
                1
            }
        }
    }

    fn timers<H: Handler>(&mut self, handler: &mut H, now: i64) -> usize {
        self.next_timer = i64::MAX;
        let mut work = 0;
        for slot in 0..self.conns.len() {
            let Some(conn) = &mut self.conns[slot] else { continue };
            if conn.deadline() > now {
                self.next_timer = self.next_timer.min(conn.deadline());
                continue;
            }
            let mut turn =
                Turn { registry: self.poll.registry(), counters: &mut self.counters, now, work: 0 };
            let step = conn.on_timer(handler, &mut turn);
            work += turn.work;
            work += self.after(slot, step, handler);
        }
        work
    }

    /// The handler has room again.
    fn resume(&mut self) {
        self.any_paused = false;
        let now = clock::mono_ns();
        for slot in 0..self.conns.len() {
            if let Some(c) = &mut self.conns[slot]
                && c.paused
            {
                c.resume(now);
                self.enqueue(slot);
            }
        }
    }

    fn enqueue(&mut self, slot: usize) {
        if let Some(Some(c)) = self.conns.get_mut(slot)
            && !std::mem::replace(&mut c.queued, true)
        {
            self.ready.push(slot);
        }
    }

    fn slot_of(&self, token: u64) -> Option<usize> {
        self.conns.iter().position(|c| c.as_ref().is_some_and(|c| c.token == token))
    }
}

/// What can be refused before a socket exists.
#[cold]
fn check_request(r: &ConnectRequest) -> Result<(), OpenError> {
    let target = Target::parse(&r.url)?;
    if r.addrs.is_empty() {
        return Err(OpenError::NoAddress { url: r.url.clone() });
    }
    if !target.tls {
        let far = r.addrs.iter().find(|a| !a.ip().is_loopback()).map(ToString::to_string);
        let far = far.or_else(|| r.proxy.is_some().then(|| "a proxy".to_owned()));
        if let Some(addr) = far {
            return Err(OpenError::NotLoopback { url: r.url.clone(), addr });
        }
    }
    Ok(())
}
