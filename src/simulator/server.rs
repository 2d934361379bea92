//! Thread, listener and clock: one thread with a current-thread runtime runs everything, so the world needs no lock.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::{LocalSet, yield_now};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::config::{SimClock, SimConfig, SimError};
use super::faults::{CutHow, FaultKind, FaultSpec};
use super::http::{Answer, Head, Refused, read_head};
use super::outbound::{Conn, End, Side};
use super::strike::log_conn;
use super::text::key_str;
use super::tls;
use super::transport::Transport;
use super::world::{SimStats, World};
use super::ws;

/// Time for a TLS handshake or a request's head.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time for connections to take what is queued when the simulator stops.
const DRAIN: Duration = Duration::from_secs(5);
/// Ms of venue time in one go, before the sockets get their turn.
const TICKS_AT_ONCE: i64 = 16;

/// A simulated venue.
#[derive(Debug)]
pub struct Simulator;

enum Command {
    Advance(u64, SyncSender<()>),
    Inject(Box<FaultSpec>),
    Quiesce,
    Stop,
}

/// What a simulator did.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct SimReport {
    /// Messages handed to sockets.
    pub messages: u64,
    /// Bytes handed to sockets.
    pub bytes: u64,
    /// Frames lost on purpose.
    pub dropped: u64,
    /// WebSocket connections.
    pub connections: u64,
    /// REST requests.
    pub requests: u64,
    /// Venue time that passed, ms.
    pub venue_ms: i64,
    /// Why the oracle log is not complete, if it is not.
    pub oracle_error: Option<String>,
}

/// A running simulator. Dropping it stops it.
#[derive(Debug)]
pub struct SimHandle {
    addr: SocketAddr,
    tls: bool,
    ca_pem: Option<String>,
    stats: Arc<SimStats>,
    commands: mpsc::Sender<Command>,
    /// Nothing is ever sent here: it breaks when the thread ends.
    alive: Mutex<Receiver<()>>,
    thread: Option<JoinHandle<SimReport>>,
}

impl Simulator {
    /// Starts a venue on its own thread and returns when it listens.
    ///
    /// # Errors
    /// [`SimError`]: an unknown venue, an address that may not or cannot be listened on, a bad recording or fault.
    pub fn start(cfg: SimConfig) -> Result<SimHandle, SimError> {
        if cfg.tls.is_none() && !cfg.listen.ip().is_loopback() {
            return Err(SimError::NotLoopback { listen: cfg.listen });
        }
        if !(cfg.speed.is_finite() && cfg.speed > 0.0) {
            return Err(SimError::Config { what: format!("speed {} is not above 0", cfg.speed) });
        }
        for f in &cfg.faults {
            f.check(f.kind.as_str())?;
        }
        let made = cfg.tls.as_ref().map(|t| tls::make(t, cfg.listen.ip())).transpose()?;
        let listener = std::net::TcpListener::bind(cfg.listen)
            .map_err(|e| SimError::io(format!("listening on {}", cfg.listen), e))?;
        listener.set_nonblocking(true).map_err(|e| SimError::io("listening", e))?;
        let addr = listener.local_addr().map_err(|e| SimError::io("listening", e))?;
        let stats = Arc::new(SimStats::default());
        let (commands, inbox) = mpsc::channel(256);
        let (ready, started) = sync_channel(1);
        let (ca_pem, acceptor) = made.map_or((None, None), |m| (Some(m.ca_pem), Some(m.acceptor)));
        let tls = acceptor.is_some();
        let shared = stats.clone();
        let (life, alive) = sync_channel(1);
        let alive = Mutex::new(alive);
        let thread = std::thread::Builder::new()
            .name("simulator".to_owned())
            .spawn(move || {
                let _life = life;
                on_thread(cfg, listener, acceptor, shared, inbox, ready)
            })
            .map_err(|e| SimError::io("starting the simulator's thread", e))?;
        match started.recv() {
            Ok(Ok(())) => Ok(SimHandle { addr, tls, ca_pem, stats, commands, alive, thread: Some(thread) }),
            Ok(Err(e)) => Err(e),
            Err(_) => Err(SimError::Stopped),
        }
    }
}

impl SimHandle {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Base of WebSocket URLs, for the configuration's `ws`.
    pub fn ws_base(&self) -> String {
        format!("{}://{}", if self.tls { "wss" } else { "ws" }, self.addr)
    }

    /// Base of REST URLs, for the configuration's `rest`.
    pub fn rest_base(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.addr)
    }

    /// The made-up authority to trust, PEM; `None` without TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// Numbers as they stand.
    pub fn stats(&self) -> &SimStats {
        &self.stats
    }

    /// Whether the duration is over (or the recording played to its end).
    pub fn is_over(&self) -> bool {
        self.stats.over.load(Ordering::Relaxed)
    }

    fn send(&self, c: Command) -> Result<(), SimError> {
        self.commands.try_send(c).map_err(|_| SimError::Stopped)
    }

    /// Moves a manual clock on; returns when all of it has happened (its frames are queued, not necessarily read).
    ///
    /// # Errors
    /// [`SimError::Stopped`].
    pub fn advance(&self, ms: u64) -> Result<(), SimError> {
        let (done, wait) = sync_channel(1);
        self.send(Command::Advance(ms, done))?;
        wait.recv().map_err(|_| SimError::Stopped)
    }

    /// Does one fault now (or at its time, counted from the first subscription, if it has one that is still to come).
    ///
    /// # Errors
    /// [`SimError::Fault`] if its parts do not fit together, [`SimError::Stopped`].
    pub fn inject(&self, f: FaultSpec) -> Result<(), SimError> {
        f.check(f.kind.as_str())?;
        self.send(Command::Inject(Box::new(f)))
    }

    /// No faults any more: what is held back is sent, what is planned is forgotten.
    ///
    /// # Errors
    /// [`SimError::Stopped`].
    pub fn quiesce(&self) -> Result<(), SimError> {
        self.send(Command::Quiesce)
    }

    /// Waits until the simulator has stopped by itself, at most so long. Whether it has.
    pub fn ended_within(&self, d: Duration) -> bool {
        // A poisoned lock still guards a good channel.
        let alive = self.alive.lock().unwrap_or_else(|e| e.into_inner());
        matches!(alive.recv_timeout(d), Err(RecvTimeoutError::Disconnected))
    }

    /// The numbers, to keep.
    pub fn shared_stats(&self) -> Arc<SimStats> {
        self.stats.clone()
    }

    /// Stops: connections take what is queued, then get a close frame; the oracle log is complete when this returns.
    pub fn stop(mut self) -> SimReport {
        self.finish(true)
    }

    /// Waits until the duration is over, or until somebody stops it.
    pub fn wait(mut self) -> SimReport {
        self.finish(false)
    }

    fn finish(&mut self, stop: bool) -> SimReport {
        if stop {
            // A simulator that has stopped by itself hears nothing, and need not.
            let _ = self.commands.try_send(Command::Stop);
        }
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(r)) => r,
            _ => SimReport {
                oracle_error: Some("the simulator's thread died".to_owned()),
                ..Default::default()
            },
        }
    }
}

impl Drop for SimHandle {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.finish(true);
        }
    }
}

fn on_thread(
    cfg: SimConfig,
    listener: std::net::TcpListener,
    acceptor: Option<TlsAcceptor>,
    stats: Arc<SimStats>,
    inbox: mpsc::Receiver<Command>,
    ready: SyncSender<Result<(), SimError>>,
) -> SimReport {
    let clock = cfg.clock;
    let stale = cfg.faults.iter().any(|f| f.kind == FaultKind::StaleSnapshot);
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let rt = match rt {
        Ok(rt) => rt,
        Err(e) => {
            let _ = ready.send(Err(SimError::io("starting a runtime", e)));
            return SimReport::default();
        }
    };
    let mut world = match World::new(cfg, stats) {
        Ok(w) => w,
        Err(e) => {
            let _ = ready.send(Err(e));
            return SimReport::default();
        }
    };
    if stale {
        world.keep_books();
    }
    let world = Rc::new(RefCell::new(world));
    LocalSet::new().block_on(&rt, async {
        let listener = match TcpListener::from_std(listener) {
            Ok(l) => l,
            Err(e) => {
                let _ = ready.send(Err(SimError::io("listening", e)));
                return;
            }
        };
        let _ = ready.send(Ok(()));
        let door = tokio::task::spawn_local(accept(world.clone(), listener, acceptor));
        drive(&world, clock, inbox).await;
        door.abort();
        drain(&world).await;
    });
    let mut w = world.borrow_mut();
    if w.oracle.on() {
        w.oracle.begin("end");
        w.oracle.end_line();
    }
    let oracle_error = w.oracle.flush().map(|e| e.to_string());
    let get = |a: &std::sync::atomic::AtomicU64| a.load(Ordering::Relaxed);
    SimReport {
        messages: get(&w.stats.messages),
        bytes: get(&w.stats.bytes),
        dropped: get(&w.stats.dropped),
        connections: get(&w.stats.opened),
        requests: get(&w.stats.requests),
        venue_ms: w.now - w.start,
        oracle_error,
    }
}

/// Moves the clock until told to stop.
#[allow(clippy::disallowed_methods, reason = "the simulator is the other side: it paces itself")]
async fn drive(world: &Rc<RefCell<World>>, clock: SimClock, mut inbox: mpsc::Receiver<Command>) {
    let begun = Instant::now();
    let start = world.borrow().start;
    let mut beat = tokio::time::interval(Duration::from_millis(1));
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            biased;
            c = inbox.recv() => match c {
                None | Some(Command::Stop) => return,
                Some(Command::Advance(ms, done)) => {
                    let until = world.borrow().now + ms as i64;
                    run_until(world, until, None).await;
                    let _ = done.send(());
                }
                Some(Command::Inject(f)) => inject(&mut world.borrow_mut(), *f),
                Some(Command::Quiesce) => world.borrow_mut().quiesce(),
            },
            _ = beat.tick(), if clock == SimClock::Real => {
                let until = start + begun.elapsed().as_millis() as i64;
                run_until(world, until, Some(&mut inbox)).await;
                let w = world.borrow();
                w.stats.lag_ms.store(start + begun.elapsed().as_millis() as i64 - w.now, Ordering::Relaxed);
                if w.stats.over.load(Ordering::Relaxed) {
                    return;
                }
            }
        }
    }
}

/// Lets venue time run up to a moment; sockets get their turn in between. Stops early when commands wait.
async fn run_until(world: &Rc<RefCell<World>>, until: i64, inbox: Option<&mut mpsc::Receiver<Command>>) {
    let mut ticks = 0;
    while world.borrow().now < until {
        world.borrow_mut().tick();
        ticks += 1;
        if ticks % TICKS_AT_ONCE == 0 {
            yield_now().await;
            if inbox.as_ref().is_some_and(|i| !i.is_empty()) {
                return;
            }
        }
    }
}

fn inject(w: &mut World, f: FaultSpec) {
    if f.kind == FaultKind::StaleSnapshot {
        w.keep_books();
    }
    match (f.at_ms, w.since_t0()) {
        (Some(at), Some(rel)) if rel < at as i64 => w.plan(f),
        _ => w.strike(f),
    }
}

async fn drain(world: &Rc<RefCell<World>>) {
    for c in world.borrow().conns.values() {
        {
            let mut s = c.side.borrow_mut();
            s.stall_until = i64::MIN;
            if let Some(End::Cut(how, _)) = &mut s.end {
                // A half-open connection would keep us for nothing.
                *how = CutHow::Rst;
                c.wake.notify_one();
            }
        }
        c.finish(End::Close(1001, "the simulated venue stops".to_owned()));
    }
    world.borrow_mut().quiesce();
    let all_gone = async {
        while !world.borrow().conns.is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    // Who reads nothing any more does not keep us.
    let _ = timeout(DRAIN, all_gone).await;
}

async fn accept(world: Rc<RefCell<World>>, listener: TcpListener, tls: Option<TlsAcceptor>) {
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            // Out of descriptors, most likely: let others give some back.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        if world.borrow().refuses() {
            let _ = socket.set_zero_linger();
            continue;
        }
        let _ = socket.set_nodelay(true);
        let (world, tls) = (world.clone(), tls.clone());
        tokio::task::spawn_local(async move {
            let io = match tls {
                None => Some(Transport::Plain(socket)),
                Some(a) => handshake(a, socket).await,
            };
            if let Some(io) = io {
                // An error here is the client's leaving.
                let _ = requests(world, io).await;
            }
        });
    }
}

async fn handshake(a: TlsAcceptor, socket: TcpStream) -> Option<Transport> {
    let s = timeout(PATIENCE, a.accept(socket)).await.ok()?.ok()?;
    Some(Transport::Tls(Box::new(s)))
}

/// Serves requests on one connection until it ends or becomes a WebSocket.
async fn requests(world: Rc<RefCell<World>>, mut io: Transport) -> std::io::Result<()> {
    let mut buf = Vec::new();
    loop {
        let Ok(head) = timeout(PATIENCE, read_head(&mut io, &mut buf)).await else { return Ok(()) };
        let head = match head? {
            None => return Ok(()),
            Some(Ok(h)) => h,
            Some(Err(why)) => {
                let status = if why == Refused::TooLarge { 431 } else { 400 };
                io.write_all(&Answer::new(status, "{}").bytes(true)).await?;
                return io.shutdown().await;
            }
        };
        if head.target.len() > world.borrow().shape.d.url_bytes_max {
            io.write_all(&Answer::new(414, "{}").bytes(true)).await?;
            return io.shutdown().await;
        }
        if head.says("upgrade", "websocket") {
            return upgrade(world, io, head, buf).await;
        }
        let manual = world.borrow().cfg.clock == SimClock::Manual;
        let answer = world.borrow_mut().rest(&head);
        if answer.delay_ms > 0 && !manual {
            tokio::time::sleep(Duration::from_millis(answer.delay_ms)).await;
        }
        let close = answer.cut || head.says("connection", "close");
        io.write_all(&answer.bytes(close)).await?;
        io.flush().await?;
        if close {
            return io.shutdown().await;
        }
    }
}

async fn upgrade(
    world: Rc<RefCell<World>>,
    mut io: Transport,
    head: Head,
    begun: Vec<u8>,
) -> std::io::Result<()> {
    let key = head.header("sec-websocket-key").unwrap_or("").to_owned();
    let entry = world.borrow().entry(&head.target);
    let well = !key.is_empty() && head.header("sec-websocket-version") == Some("13") && head.method == "GET";
    let (Some(entry), true) = (entry, well) else {
        io.write_all(&Answer::new(if well { 404 } else { 400 }, "{}").bytes(true)).await?;
        return io.shutdown().await;
    };
    let Some(conn) = world.borrow_mut().open(&head.target, &entry) else {
        io.write_all(&Answer::new(429, "{\"code\":-1003,\"msg\":\"Too many connections.\"}").bytes(true))
            .await?;
        return io.shutdown().await;
    };
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    if let Err(e) = io.write_all(answer.as_bytes()).await {
        world.borrow_mut().forget(&conn);
        return Err(e);
    }
    ws::serve(world, io, conn, begun).await;
    Ok(())
}

/// Opening times of the last five minutes.
pub(super) type Doorbook = VecDeque<i64>;

impl World {
    /// A new WebSocket connection with the streams of its path. `None`: too many in five minutes.
    pub(super) fn open(&mut self, target: &str, entry: &super::control::Entry) -> Option<Rc<Conn>> {
        let max = self.cfg.connects_per_5min.unwrap_or(self.shape.d.connects_per_5min) as usize;
        let now = self.now;
        let is_banned = self.shape.d.bans_sockets && self.rest.is_banned(now);
        if is_banned || self.rest.sockets_banned(now).is_some() {
            log_conn(self, "turned-away", 0, |l| key_str(l, "path", &super::text::escaped(target)));
            return None;
        }
        while self.doorbook.front().is_some_and(|t| now - t > 300_000) {
            self.doorbook.pop_front();
        }
        if max > 0 && self.doorbook.len() >= max {
            return None;
        }
        self.doorbook.push_back(now);
        let no = self.stats.opened.fetch_add(1, Ordering::Relaxed) + 1;
        self.stats.open.fetch_add(1, Ordering::Relaxed);
        let side = Side {
            combined: entry.combined,
            binary: self.shape.d.words.is_some_and(|sp| sp.is_binary()),
            opened: now,
            pinged: now,
            stall_until: i64::MIN,
            ..Side::default()
        };
        let conn = Rc::new(Conn {
            no,
            public: entry.public,
            market: entry.market,
            wake: Notify::new(),
            side: RefCell::new(side),
        });
        self.conns.insert(no, conn.clone());
        log_conn(self, "open", no, |l| key_str(l, "path", &super::text::escaped(target)));
        self.greet(&conn);
        if !entry.names.is_empty() {
            self.subscribe(&conn, &entry.names, None);
        }
        Some(conn)
    }
}
