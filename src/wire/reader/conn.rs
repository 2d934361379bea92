//! One connection, from the first SYN to its end.

// `core::time` has durations only, no clock.
use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::mem;
use std::os::fd::AsFd;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::client::{ClientHandshake, Request};
use tungstenite::handshake::{HandshakeError, MidHandshake};
use tungstenite::http::HeaderValue;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

use super::close::{CloseInfo, ClosePhase};
use super::proxy::{Progress, Tunnel};
use super::transport::Transport;
use super::{ConnectRequest, Counters, Handler, OpenError, ReaderConfig, Stamps};
use crate::model::GapCause;
use crate::sys;
use crate::wire::guard::Violation;
use crate::wire::rate::RateWindow;
use crate::wire::url::Target;

/// The venue's "per second" is measured at its end: a tenth more keeps jitter from pressing eleven into ten.
const RATE_WINDOW_NS: i64 = 1_100_000_000;

/// The WebSocket library zeroes as much of its buffer before each read, so more than this costs more than it saves.
const PLAIN_READ: usize = 16 << 10;

/// What a connection needs from its reader for one turn.
pub(super) struct Turn<'a> {
    pub registry: &'a Registry,
    pub counters: &'a mut Counters,
    /// Monotonic ns at the turn's start.
    pub now: i64,
    /// Messages and changes of state.
    pub work: usize,
}

/// What the reader must do with a connection after its turn.
pub(super) enum Step {
    /// Wait for its socket.
    Keep,
    /// Give it another turn soon: it has more.
    Again,
    /// It is over.
    End(CloseInfo),
}

enum Phase {
    /// Nothing tried yet, or the last address failed.
    Idle,
    Connecting(TcpStream),
    Proxy(TcpStream, Tunnel),
    // The library's own state machine; boxed because it is large and short-lived.
    Upgrading(Box<MidHandshake<ClientHandshake<Transport>>>),
    Open(Box<WebSocket<Transport>>),
}

pub(super) struct Conn {
    pub token: u64,
    /// In the reader's list of those to look at.
    pub queued: bool,
    /// Has, or may have, bytes that the handler had no room for.
    pub paused: bool,
    /// An event said that the peer will send no more.
    pub read_closed: bool,
    io_token: Token,
    config: ReaderConfig,
    request: ConnectRequest,
    target: Target,
    phase: Phase,
    next_addr: usize,
    last_error: String,
    born: i64,
    attempt_since: i64,
    last_rx: i64,
    /// Up to here nothing was read though it may have been there: what is incomplete since before has its time anew.
    pub stood_until: i64,
    last_probe: i64,
    /// When the last ping by text was queued, or the connection opened.
    last_ping: i64,
    closing_since: i64,
    close_wanted: Option<CloseFrame>,
    texts: VecDeque<String>,
    rate: RateWindow,
}

fn ns(d: Duration) -> i64 {
    i64::try_from(d.as_nanos()).unwrap_or(i64::MAX)
}

/// `since + d`, or never if either is zero.
pub(super) fn due(since: i64, d: Duration) -> i64 {
    if since == 0 || d.is_zero() { i64::MAX } else { since.saturating_add(ns(d)) }
}

impl Conn {
    pub(super) fn new(
        request: ConnectRequest,
        io_token: Token,
        config: ReaderConfig,
    ) -> Result<Conn, OpenError> {
        let target = Target::parse(&request.url)?;
        if target.tls {
            request.tls.client(&target.host)?;
        }
        upgrade_request(&request.url)?;
        let now = crate::wire::clock::mono_ns();
        Ok(Conn {
            token: request.token,
            queued: false,
            paused: false,
            read_closed: false,
            io_token,
            config,
            target,
            phase: Phase::Idle,
            next_addr: 0,
            last_error: String::new(),
            born: now,
            attempt_since: now,
            last_rx: 0,
            stood_until: 0,
            last_probe: 0,
            last_ping: 0,
            closing_since: 0,
            close_wanted: None,
            texts: request.subscribe.iter().cloned().collect(),
            rate: RateWindow::new(request.messages_per_s, RATE_WINDOW_NS),
            request,
        })
    }

    pub(super) fn request_close(&mut self, code: u16, reason: &str) {
        // A control frame has room for 123 bytes of reason.
        let mut end = reason.len().min(123);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        self.close_wanted = Some(CloseFrame { code: CloseCode::from(code), reason: reason[..end].into() });
    }

    pub(super) fn queue_text(&mut self, text: String) -> bool {
        let room = self.texts.len() < self.request.limits.queued_sends;
        if room {
            self.texts.push_back(text);
        }
        room
    }

    /// The handler has room again: what waited in the kernel meanwhile is late, and was not silence.
    pub(super) fn resume(&mut self, now: i64) {
        self.paused = false;
        (self.last_rx, self.stood_until) = (now, now);
        if let Phase::Open(ws) = &mut self.phase {
            ws.get_mut().set_stalled(true);
        }
    }

    /// Monotonic ns at which [`Conn::on_timer`] wants to be called; `i64::MAX` = never.
    pub(super) fn deadline(&self) -> i64 {
        let l = &self.request.limits;
        match &self.phase {
            Phase::Idle | Phase::Connecting(_) => {
                due(self.attempt_since, self.attempt_limit()).min(due(self.born, l.handshake))
            }
            Phase::Proxy(..) | Phase::Upgrading(_) => due(self.born, l.handshake),
            Phase::Open(ws) => {
                let mut t = due(self.closing_since, l.close_wait).min(self.ping_due());
                if !self.texts.is_empty() && self.closing_since == 0 {
                    t = t.min(self.rate.allowed_at(self.reserve()).max(1));
                }
                if !self.paused {
                    t = t.min(self.incomplete_due(ws.get_ref().pending_since()));
                    t = t.min(due(self.last_rx, self.request.dead_after));
                    t = t.min(self.probe_due());
                }
                t
            }
        }
    }

    /// When a message that began at `pending` (0 = none did) must be whole. Time in which we looked at nothing is not counted.
    fn incomplete_due(&self, pending: i64) -> i64 {
        let since = if pending == 0 { 0 } else { pending.max(self.stood_until) };
        due(since, self.request.limits.incomplete)
    }

    /// When the next ping by text is due.
    fn ping_due(&self) -> i64 {
        match &self.request.ping {
            Some((_, every)) if self.closing_since == 0 => due(self.last_ping, *every),
            _ => i64::MAX,
        }
    }

    fn probe_due(&self) -> i64 {
        due(self.last_rx.max(self.last_probe), self.request.probe_after)
    }

    /// Each address has its share of the handshake's time.
    fn attempt_limit(&self) -> Duration {
        self.request.limits.handshake / u32::try_from(self.request.addrs.len()).unwrap_or(u32::MAX).max(1)
    }

    /// Places in the rate window that texts leave to pongs and pings.
    fn reserve(&self) -> u32 {
        if self.request.count_control { (self.request.messages_per_s / 4).max(1) } else { 0 }
    }

    /// Goes on as far as the socket and the handler let it.
    pub(super) fn drive<H: Handler>(&mut self, handler: &mut H, turn: &mut Turn<'_>) -> Step {
        if self.close_wanted.is_some() && !matches!(self.phase, Phase::Open(_)) {
            return Step::End(self.closed_by_us(self.phase_name()));
        }
        let step = self.progress(handler, turn);
        match step {
            // An end that we asked for is ours, whatever words the socket finds for it.
            Step::End(info) if self.closing_since != 0 && !info.by_us => {
                let ours = self.closed_by_us(info.phase);
                Step::End(CloseInfo { code: info.code, reason: info.reason, answered: info.answered, ..ours })
            }
            other => other,
        }
    }

    fn progress<H: Handler>(&mut self, handler: &mut H, turn: &mut Turn<'_>) -> Step {
        loop {
            match mem::replace(&mut self.phase, Phase::Idle) {
                Phase::Idle => match self.connect_next(turn) {
                    Ok(tcp) => self.phase = Phase::Connecting(tcp),
                    Err(end) => return Step::End(end),
                },
                Phase::Connecting(tcp) => match connected(&tcp) {
                    Ok(true) => {
                        if let Err(end) = self.after_connect(tcp) {
                            return Step::End(end);
                        }
                    }
                    Ok(false) => {
                        self.phase = Phase::Connecting(tcp);
                        return Step::Keep;
                    }
                    // cold: once per address that fails
                    Err(e) => self.last_error = e.to_string(),
                },
                Phase::Proxy(mut tcp, mut tunnel) => match tunnel.drive(&mut tcp) {
                    Ok(Progress::Pending) => {
                        self.phase = Phase::Proxy(tcp, tunnel);
                        return Step::Keep;
                    }
                    Ok(Progress::Open) => {
                        if let Err(end) = self.start_upgrade(tcp) {
                            return Step::End(end);
                        }
                    }
                    Ok(Progress::Refused(s)) => {
                        return Step::End(CloseInfo::refused(s, None, ClosePhase::Proxy));
                    }
                    Ok(Progress::Violation(v)) => {
                        return Step::End(CloseInfo::violation(v, ClosePhase::Proxy));
                    }
                    Err(e) => return Step::End(CloseInfo::io(&e, ClosePhase::Proxy)),
                },
                Phase::Upgrading(mid) => match self.upgrade(*mid, handler, turn) {
                    Ok(true) => {}
                    Ok(false) => return Step::Keep,
                    Err(end) => return Step::End(end),
                },
                Phase::Open(mut ws) => {
                    let step = self.exchange(&mut ws, handler, turn);
                    self.phase = Phase::Open(ws);
                    return step;
                }
            }
        }
    }

    #[cold]
    fn connect_next(&mut self, turn: &mut Turn<'_>) -> Result<TcpStream, CloseInfo> {
        while let Some(&addr) = self.request.addrs.get(self.next_addr) {
            self.next_addr += 1;
            self.attempt_since = turn.now;
            match TcpStream::connect(addr) {
                Ok(mut tcp) => {
                    // Stamps are wished for, not needed: without them `ts_kernel` is 0.
                    let _ = sys::net::enable_kernel_stamps(tcp.as_fd());
                    let both = Interest::READABLE | Interest::WRITABLE;
                    match turn.registry.register(&mut tcp, self.io_token, both) {
                        Ok(()) => return Ok(tcp),
                        Err(e) => self.last_error = format!("{addr}: {e}"),
                    }
                }
                Err(e) => self.last_error = format!("{addr}: {e}"),
            }
        }
        let detail = format!("{}: {}", self.target.host, self.last_error);
        Err(CloseInfo::new(GapCause::VenueDisconnect, ClosePhase::Connect, detail))
    }

    fn after_connect(&mut self, tcp: TcpStream) -> Result<(), CloseInfo> {
        // Options that make things better, none of which is worth a connection.
        let _ = tcp.set_nodelay(true);
        if !self.request.dead_after.is_zero() {
            let _ = sys::net::set_user_timeout(tcp.as_fd(), self.request.dead_after);
        }
        if self.config.busy_poll_us > 0 {
            let _ = sys::net::set_busy_poll(tcp.as_fd(), self.config.busy_poll_us);
        }
        match &self.request.proxy {
            Some(p) => {
                let tunnel = Tunnel::new(p, &self.target.host, self.target.port, &self.request.limits);
                self.phase = Phase::Proxy(tcp, tunnel);
                Ok(())
            }
            None => self.start_upgrade(tcp),
        }
    }

    #[cold]
    pub(super) fn start_upgrade(&mut self, tcp: TcpStream) -> Result<(), CloseInfo> {
        // Both were tried in `new`; should they fail now, the connection says so like any other failure.
        let bad = |e: &dyn std::fmt::Display| {
            CloseInfo::new(GapCause::ProtocolViolation, ClosePhase::Upgrade, e.to_string())
        };
        let session = match self.target.tls {
            true => Some(self.request.tls.client(&self.target.host).map_err(|e| bad(&e))?),
            false => None,
        };
        let request = upgrade_request(&self.request.url).map_err(|e| bad(&e))?;
        let limits = self.request.limits;
        let transport = Transport::new(tcp, session, limits);
        let config = WebSocketConfig::default()
            .read_buffer_size(limits.read_buffer_bytes.min(PLAIN_READ))
            .write_buffer_size(0)
            .max_write_buffer_size(limits.write_buffer_bytes.max(1))
            .max_message_size(Some(limits.message_bytes))
            .max_frame_size(Some(limits.frame_bytes));
        let mid = ClientHandshake::start(transport, request, Some(config)).map_err(|e| bad(&e))?;
        self.phase = Phase::Upgrading(Box::new(mid));
        Ok(())
    }

    /// `Ok(true)`: the connection is open (or something changed); `Ok(false)`: wait.
    fn upgrade<H: Handler>(
        &mut self,
        mut mid: MidHandshake<ClientHandshake<Transport>>,
        handler: &mut H,
        turn: &mut Turn<'_>,
    ) -> Result<bool, CloseInfo> {
        mid.get_mut().get_mut().grant_reads(u32::MAX, self.read_closed);
        match mid.handshake() {
            Ok((ws, _response)) => {
                let at = Stamps { stalled: false, ..ws.get_ref().stamps() };
                self.last_rx = at.ts_mono;
                self.last_ping = at.ts_mono;
                self.phase = Phase::Open(Box::new(ws));
                turn.counters.opened += 1;
                turn.work += 1;
                handler.on_open(self.token, &at);
                Ok(true)
            }
            Err(HandshakeError::Interrupted(mid)) => {
                self.phase = Phase::Upgrading(Box::new(mid));
                Ok(false)
            }
            Err(HandshakeError::Failure(e)) => Err(CloseInfo::failed(&e, ClosePhase::Upgrade)),
        }
    }

    /// The open connection's turn: close if asked to, send what may go, read all there is.
    fn exchange<H: Handler>(
        &mut self,
        ws: &mut WebSocket<Transport>,
        handler: &mut H,
        turn: &mut Turn<'_>,
    ) -> Step {
        if let Some(frame) = self.close_wanted.take()
            && self.closing_since == 0
        {
            self.closing_since = turn.now;
            if let Err(e) = not_blocked(ws.close(Some(frame))) {
                return Step::End(CloseInfo::failed(&e, ClosePhase::Open));
            }
        }
        if let Err(end) = self.send_texts(ws, handler, turn) {
            return Step::End(end);
        }
        ws.get_mut().grant_reads(self.config.reads_per_turn, self.read_closed);
        let ended = self.read_all(ws, handler, turn);
        let (bytes, reads) = ws.get_mut().take_counts();
        turn.counters.bytes += bytes;
        turn.counters.reads += reads;
        if let Err(end) = ended {
            // The close frame's answer, or the last pong: it may or may not still go out.
            let _ = ws.flush();
            return Step::End(end);
        }
        // Queued pongs go out here; if the socket is full, its next writable event brings us back.
        if let Err(e) = not_blocked(ws.flush()) {
            return Step::End(CloseInfo::failed(&e, ClosePhase::Open));
        }
        if self.paused {
            return Step::Keep;
        }
        if ws.get_ref().starved() {
            return Step::Again;
        }
        ws.get_mut().set_stalled(false);
        Step::Keep
    }

    fn read_all<H: Handler>(
        &mut self,
        ws: &mut WebSocket<Transport>,
        handler: &mut H,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseInfo> {
        loop {
            if !handler.may_read() {
                turn.counters.stalls += u64::from(!self.paused);
                self.paused = true;
                return Ok(());
            }
            let before = sys::alloc::thread_allocations();
            let message = ws.read();
            turn.counters.transport_allocations += sys::alloc::thread_allocations() - before;
            let message = match message {
                Ok(m) => m,
                Err(Error::Io(e)) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(CloseInfo::failed(&e, ClosePhase::Open)),
            };
            let at = ws.get_ref().stamps();
            self.last_rx = at.ts_mono;
            turn.work += 1;
            match &message {
                Message::Text(t) => {
                    turn.counters.messages += 1;
                    handler.on_message(self.token, &at, false, t.as_bytes());
                }
                Message::Binary(b) => {
                    turn.counters.messages += 1;
                    handler.on_message(self.token, &at, true, b);
                }
                Message::Ping(p) => {
                    turn.counters.pings += 1;
                    if self.request.count_control {
                        self.rate.note(at.ts_mono);
                    }
                    handler.on_ping(self.token, &at, p);
                }
                Message::Pong(p) => {
                    turn.counters.pongs += 1;
                    handler.on_pong(self.token, &at, p);
                }
                Message::Close(frame) => return Err(CloseInfo::by_peer(frame.as_ref())),
                // Raw frames are only ever written.
                Message::Frame(_) => {}
            }
        }
    }

    fn send_texts<H: Handler>(
        &mut self,
        ws: &mut WebSocket<Transport>,
        handler: &mut H,
        turn: &mut Turn<'_>,
    ) -> Result<(), CloseInfo> {
        while self.closing_since == 0 && self.rate.allows(turn.now, self.reserve()) {
            let Some(text) = self.texts.pop_front() else { break };
            self.write(ws, Message::Text(text.as_str().into()))?;
            self.rate.note(turn.now);
            turn.counters.sent += 1;
            turn.work += 1;
            handler.on_sent(self.token, &Stamps::now(), &text);
        }
        Ok(())
    }

    fn write(&mut self, ws: &mut WebSocket<Transport>, m: Message) -> Result<(), CloseInfo> {
        match not_blocked(ws.write(m)) {
            Ok(()) => Ok(()),
            Err(Error::WriteBufferFull(_)) => Err(CloseInfo::violation(
                Violation::WriteBuffer(self.request.limits.write_buffer_bytes),
                ClosePhase::Open,
            )),
            Err(e) => Err(CloseInfo::failed(&e, ClosePhase::Open)),
        }
    }

    /// A deadline has passed.
    pub(super) fn on_timer<H: Handler>(&mut self, handler: &mut H, turn: &mut Turn<'_>) -> Step {
        let (now, l) = (turn.now, self.request.limits);
        if !matches!(self.phase, Phase::Open(_)) {
            if now >= due(self.born, l.handshake) {
                return Step::End(self.handshake_too_long());
            }
            if matches!(self.phase, Phase::Connecting(_))
                && now >= due(self.attempt_since, self.attempt_limit())
            {
                self.last_error = "no answer".into();
                self.phase = Phase::Idle;
            }
            return self.drive(handler, turn);
        }
        if now >= due(self.closing_since, l.close_wait) {
            return Step::End(self.closed_by_us(ClosePhase::Open));
        }
        if now >= self.ping_due() {
            self.last_ping = now;
            if let Some((text, _)) = &self.request.ping {
                // First of all that waits, and not counted against it: it keeps the connection.
                self.texts.push_front(text.clone());
            }
        }
        if !self.paused {
            if now >= due(self.last_rx, self.request.dead_after) {
                // cold: it ends the connection
                let detail = format!("no frame for {} ms", self.request.dead_after.as_millis());
                return Step::End(CloseInfo::new(GapCause::StaleTimeout, ClosePhase::Open, detail));
            }
            let pending = match &self.phase {
                Phase::Open(ws) => ws.get_ref().pending_since(),
                _ => 0,
            };
            if now >= self.incomplete_due(pending) {
                let ms = u64::try_from(l.incomplete.as_millis()).unwrap_or(u64::MAX);
                return Step::End(CloseInfo::violation(Violation::Incomplete(ms), ClosePhase::Open));
            }
            if now >= self.probe_due()
                && let Err(end) = self.probe(handler, turn)
            {
                return Step::End(end);
            }
        }
        self.drive(handler, turn)
    }

    fn probe<H: Handler>(&mut self, handler: &mut H, turn: &mut Turn<'_>) -> Result<(), CloseInfo> {
        self.last_probe = turn.now;
        if self.closing_since != 0 || self.request.count_control && !self.rate.allows(turn.now, 0) {
            return Ok(());
        }
        let Phase::Open(mut ws) = mem::replace(&mut self.phase, Phase::Idle) else { return Ok(()) };
        let sent = self.write(&mut ws, Message::Ping(turn.now.to_be_bytes().to_vec().into()));
        self.phase = Phase::Open(ws);
        sent?;
        if self.request.count_control {
            self.rate.note(turn.now);
        }
        turn.counters.probes += 1;
        turn.work += 1;
        handler.on_probe(self.token, &Stamps::now());
        Ok(())
    }

    #[cold]
    fn handshake_too_long(&self) -> CloseInfo {
        let limit = self.request.limits.handshake.as_millis();
        match self.phase_name() {
            // Nobody there is not somebody slow.
            ClosePhase::Connect => {
                let detail =
                    format!("{}: no TCP connection in {limit} ms {}", self.target.host, self.last_error);
                CloseInfo::new(GapCause::VenueDisconnect, ClosePhase::Connect, detail)
            }
            phase => {
                CloseInfo::violation(Violation::Handshake(u64::try_from(limit).unwrap_or(u64::MAX)), phase)
            }
        }
    }

    fn phase_name(&self) -> ClosePhase {
        match &self.phase {
            Phase::Idle | Phase::Connecting(_) => ClosePhase::Connect,
            Phase::Proxy(..) => ClosePhase::Proxy,
            Phase::Upgrading(mid) if mid.get_ref().get_ref().tls_handshaking() => ClosePhase::Tls,
            Phase::Upgrading(_) => ClosePhase::Upgrade,
            Phase::Open(_) => ClosePhase::Open,
        }
    }

    fn closed_by_us(&self, phase: ClosePhase) -> CloseInfo {
        CloseInfo { by_us: true, ..CloseInfo::new(GapCause::Operator, phase, "closed by command") }
    }
}

/// Whether the TCP handshake is done.
fn connected(tcp: &TcpStream) -> io::Result<bool> {
    if let Some(e) = tcp.take_error()? {
        return Err(e);
    }
    match tcp.peer_addr() {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotConnected => Ok(false),
        Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => Ok(false),
        Err(e) => Err(e),
    }
}

/// "The socket is full" is no failure: what was written waits in the library's buffer.
fn not_blocked(r: Result<(), Error>) -> Result<(), Error> {
    match r {
        Err(Error::Io(e)) if e.kind() == io::ErrorKind::WouldBlock => Ok(()),
        other => other,
    }
}

#[cold]
fn upgrade_request(url: &str) -> Result<Request, OpenError> {
    let mut r = url
        .into_client_request()
        .map_err(|e| OpenError::Request { url: url.to_owned(), why: e.to_string() })?;
    r.headers_mut()
        .insert("user-agent", HeaderValue::from_static(concat!("lobtape/", env!("CARGO_PKG_VERSION"))));
    Ok(r)
}
