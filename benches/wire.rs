//! One way from a socket to the event ring: frames leave a server thread one by one, 20,000 a second, and the time counts
//! until the frame is in the raw ring, parsed, sequenced, applied to the book and its events published — beside the bare
//! transport, which only takes the message from the socket.
//!
//! ```text
//! bare    tungstenite on a non-blocking socket, read in a loop, or behind epoll
//! lane    the product's reader, raw ring, fold, event ring
//! ```
//! Both threads are pinned and, where that is allowed, in SCHED_FIFO for the half second of a run; without it a p99 is other
//! people's time slices, and the ratio is reported as not gated. Runs are interleaved; p50, p99 and p99.9 are medians over
//! the runs. Both sides get the same frames of the USD-M recording, and the book at the end is held against the reference.
//! Criterion is not used: it times functions, this is a conversation.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a bench prints, and has nothing to go on with where a socket or recording is broken"
)]

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lobtape::bus::event::{self, EventProducer, LiveEvent, LiveKind};
use lobtape::bus::raw::{self, RawConsumer, RawOptions, RawProducer};
use lobtape::fold::{Effect, Fold, FoldSink, Observed, RULES_VERSION};
use lobtape::import::{ImportOptions, import};
use lobtape::model::{Head, InstrumentId, InstrumentVersion, Kind, Record, RowRef, Side};
use lobtape::sys::clock::monotonic_ns;
use lobtape::sys::thread::{pin_to_cpu, set_fifo_priority};
use lobtape::venue;
use lobtape::wire::{CloseInfo, ConnectRequest, Handler, Reader, ReaderConfig, Stamps, TlsSetup, WaitMode};
use rustls::pki_types::{PrivateKeyDer, ServerName, pem::PemObject};
use rustls::{ClientConnection, ServerConnection, StreamOwned};
use tungstenite::{Message, WebSocket};

const RECORDING: &str = "binance-usdm_btcusdt_20240808.gz";
/// Time between two frames.
const EVERY_NS: i64 = 50_000;
/// Frames of a run, 0.4 s: the kernel lets a real-time thread have 0.95 s of a second.
const FRAMES: usize = 8_000;
/// Rest between two runs, for the same reason: real-time threads that ran too long stand still for 50 ms.
const REST: Duration = Duration::from_millis(700);
/// Frames that are folded before a run, the snapshot among them.
const WARM: usize = 20_000;
const URL: &str = "/stream?streams=btcusdt@depth@0ms";

/// A record that can be kept.
struct Own {
    kind: Kind,
    flags: u8,
    lane: u16,
    status: i32,
    conn: i64,
    url: String,
    payload: Vec<u8>,
}

impl Own {
    fn of(r: &Record<'_>) -> Own {
        Own {
            kind: r.kind,
            flags: r.flags,
            lane: r.lane,
            status: r.status,
            conn: r.conn,
            url: r.url.to_owned(),
            payload: r.payload.to_vec(),
        }
    }

    fn record(&self, n: i64, at: &Stamps) -> Record<'_> {
        Record {
            kind: self.kind,
            flags: self.flags,
            lane: self.lane,
            status: self.status,
            conn: self.conn,
            lane_seq: n,
            rseq: n,
            ts_kernel: at.ts_kernel,
            ts_mono: at.ts_mono,
            ts_recv: at.ts_recv,
            url: &self.url,
            payload: &self.payload,
        }
    }
}

struct Input {
    /// Records before the run.
    before: Vec<Own>,
    /// What goes over the wire.
    frames: Arc<Vec<Own>>,
    /// Checksum of the book after all of it.
    crc: u32,
}

fn input() -> Input {
    let name = std::env::var_os("LOBTAPE_RECORDINGS")
        .map(|d| PathBuf::from(d).join(RECORDING))
        .filter(|p| p.exists());
    let path = name
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/recordings").join(RECORDING));
    let v = venue::by_id("binance-usdm").expect("a known venue").1;
    let url = |s: &str| v.snapshot_request(s).path;
    let opts = ImportOptions {
        venue: "binance-usdm",
        snapshot_url: &url,
        words: &[],
        rules_version: RULES_VERSION,
        interval_ns: 3_600_000_000_000,
        book_top_interval_ns: 100_000_000,
        lane_memory_bytes: 256 << 20,
    };
    let (mut before, mut frames, mut seen) = (Vec::new(), Vec::new(), 0);
    import(&[path], &opts, &mut |r, _| {
        let is_frame = r.kind == Kind::Frame;
        seen += usize::from(is_frame);
        match (r.lane == 1 && r.kind != Kind::Stop, is_frame && seen > WARM) {
            (true, true) if frames.len() < FRAMES => frames.push(Own::of(r)),
            (true, false) if frames.is_empty() => before.push(Own::of(r)),
            _ => {}
        }
        Ok(())
    })
    .expect("a recording");
    assert_eq!(frames.len(), FRAMES, "the recording is too short");
    let mut input = Input { before, frames: Arc::new(frames), crc: 0 };
    let mut lane = LaneOf::new(&input);
    let frames = Arc::clone(&input.frames);
    for f in frames.iter() {
        lane.take(&Stamps::now(), &f.payload);
    }
    input.crc = lane.crc();
    input
}

/// What the live fold tells.
struct Told {
    events: EventProducer,
    touched: InstrumentId,
    best: [i64; 4],
}

impl FoldSink for Told {
    const ROWS: bool = false;
    const LIVE: bool = true;
    fn row(&mut self, _: &Head, _: RowRef<'_>) {}
    fn instrument(&mut self, _: InstrumentId, _: &InstrumentVersion) {}
    fn effect(&mut self, _: Effect<'_>) {}
    fn observe(&mut self, what: Observed<'_>) {
        match what {
            Observed::Applied { instrument, .. } => self.touched = instrument,
            Observed::Trade(t) => {
                self.push(LiveKind::Trade, t.instrument, [t.price, t.size, t.side.into(), t.id])
            }
            _ => {}
        }
    }
}

impl Told {
    fn push(&mut self, kind: LiveKind, id: InstrumentId, [a, b, c, d]: [i64; 4]) {
        let (ts_event, ts_recv) = (0, 0);
        let instrument = id.0;
        self.events.push(&LiveEvent {
            kind,
            flags: 0,
            price_exp: 1,
            size_exp: 3,
            instrument,
            ts_event,
            ts_recv,
            a,
            b,
            c,
            d,
        });
    }
}

/// The product's work on a frame: raw ring, fold, event ring.
struct LaneOf {
    ring: RawProducer,
    drain: RawConsumer,
    fold: Fold,
    told: Told,
    template: Own,
    next: i64,
    _dir: tempfile::TempDir,
}

impl LaneOf {
    fn new(input: &Input) -> LaneOf {
        // In memory, as the product's: on a disk each page's first write, and each after a write-back, is a fault.
        let shm = std::path::Path::new("/dev/shm");
        let base = if shm.is_dir() { shm.to_owned() } else { std::env::temp_dir() };
        let dir = tempfile::tempdir_in(base).expect("a directory");
        let o = RawOptions { dataset: 1, lane: 1, capacity: 64 << 20, last_lane_seq: -1 };
        let (ring, drain) = raw::create(&dir.path().join("ring"), &o).expect("a ring");
        let (events, _) = event::ring(1 << 16);
        let told = Told { events, touched: InstrumentId::NONE, best: [0; 4] };
        let template = Own { payload: Vec::new(), ..Own::of(&input.frames[0].record(0, &Stamps::now())) };
        let mut lane = LaneOf { ring, drain, fold: Fold::new(1), told, template, next: 0, _dir: dir };
        for own in &input.before {
            let rec = own.record(lane.next, &Stamps::now());
            lane.next += 1;
            lane.fold.step(&rec, &mut lane.told);
        }
        lane
    }

    #[inline]
    fn take(&mut self, at: &Stamps, payload: &[u8]) {
        let rec = Record { payload, ..self.template.record(self.next, at) };
        self.next += 1;
        self.ring.push(&rec).expect("room in the ring");
        self.fold.step(&rec, &mut self.told);
        let id = std::mem::replace(&mut self.told.touched, InstrumentId::NONE);
        if let Some(book) = self.fold.book(id) {
            let side = |s| book.best(s).map_or((0, 0), |l| (l.price, l.size));
            let ((bp, bs), (ap, asz)) = (side(Side::Bid), side(Side::Ask));
            let best = [bp, bs, ap, asz];
            if best != self.told.best {
                self.told.best = best;
                self.told.push(LiveKind::Top, id, best);
            }
        }
    }

    /// What a journal does behind the reader, outside of the time.
    fn drain(&mut self) {
        while self.drain.next_record().is_some() {}
        self.drain.mark_jrn();
        self.drain.mark_dur(self.drain.position());
    }

    fn crc(&self) -> u32 {
        self.fold.book(InstrumentId(0)).map_or(0, |b| b.checksum(1, 3))
    }
}

/// A handler that notes when each message was done with.
struct Timed<'a> {
    lane: LaneOf,
    done: &'a mut Vec<i64>,
    opened: bool,
}

impl Handler for Timed<'_> {
    fn may_read(&self) -> bool {
        true
    }
    fn on_open(&mut self, _: u64, _: &Stamps) {
        self.opened = true;
    }
    #[inline]
    fn on_message(&mut self, _: u64, at: &Stamps, _: bool, payload: &[u8]) {
        self.lane.take(at, payload);
        self.done.push(monotonic_ns());
    }
    fn on_pong(&mut self, _: u64, _: &Stamps, _: &[u8]) {}
    fn on_ping(&mut self, _: u64, _: &Stamps, _: &[u8]) {}
    fn on_sent(&mut self, _: u64, _: &Stamps, _: &str) {}
    fn on_close(&mut self, _: u64, _: &Stamps, why: &CloseInfo) {
        assert!(self.done.len() >= FRAMES, "closed after {} frames: {}", self.done.len(), why.detail);
    }
}

/// Certificates of a made-up authority.
struct Trust {
    ca_pem: String,
    server: Arc<rustls::ServerConfig>,
    client: Arc<rustls::ClientConfig>,
}

fn trust() -> Trust {
    let mut p = rcgen::CertificateParams::new(Vec::<String>::new()).expect("parameters");
    p.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = rcgen::CertifiedIssuer::self_signed(p, rcgen::KeyPair::generate().expect("a key"))
        .expect("an authority");
    let key = rcgen::KeyPair::generate().expect("a key");
    let leaf = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
    let cert = leaf.signed_by(&key, &ca).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![cert.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).expect("a key"),
        )
        .expect("a server");
    let mut roots = rustls::RootCertStore::empty();
    let ca_pem = ca.pem();
    roots
        .add(rustls::pki_types::CertificateDer::from_pem_slice(ca_pem.as_bytes()).expect("PEM"))
        .expect("a root");
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Trust { ca_pem, server: Arc::new(server), client: Arc::new(client) }
}

/// One run's server: takes one connection, waits for the word, sends. Returns when each frame was handed over.
fn serve(
    listener: &TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    frames: &[Own],
    go: &AtomicBool,
) -> Vec<i64> {
    let _ = pin_to_cpu(0);
    let (s, _) = listener.accept().expect("a client");
    s.set_nodelay(true).expect("an option");
    match tls {
        None => converse(s, frames, go),
        Some(c) => converse(StreamOwned::new(ServerConnection::new(c).expect("TLS"), s), frames, go),
    }
}

fn converse<S: Read + Write>(s: S, frames: &[Own], go: &AtomicBool) -> Vec<i64> {
    let mut ws = tungstenite::accept(s).expect("a handshake");
    let mut sent = Vec::with_capacity(frames.len());
    while !go.load(Ordering::Acquire) {
        std::thread::yield_now();
    }
    // The thread ends with the run, and its class with it.
    let _ = set_fifo_priority(10);
    let begin = monotonic_ns() + 1_000_000;
    for (n, f) in frames.iter().enumerate() {
        let text = Message::text(String::from_utf8(f.payload.clone()).expect("text"));
        let due = begin + n as i64 * EVERY_NS;
        while monotonic_ns() < due {
            std::hint::spin_loop();
        }
        sent.push(monotonic_ns());
        ws.send(text).expect("sent");
    }
    let _ = ws.close(None);
    let _ = ws.flush();
    sent
}

/// The bare transport: the message in hand, nothing else.
fn bare<S: Read + Write>(ws: &mut WebSocket<S>, poll: Option<&mut mio::Poll>, done: &mut Vec<i64>) {
    let mut events = mio::Events::with_capacity(8);
    let mut poll = poll;
    while done.len() < FRAMES {
        match ws.read() {
            Ok(m) => {
                std::hint::black_box(m.len());
                done.push(monotonic_ns());
            }
            Err(tungstenite::Error::Io(e)) if e.kind() == ErrorKind::WouldBlock => {
                if let Some(p) = poll.as_deref_mut() {
                    p.poll(&mut events, Some(Duration::from_millis(50))).expect("epoll");
                }
            }
            Err(e) => panic!("{e}"),
        }
    }
}

/// What a run is about.
#[derive(Clone, Copy)]
struct Way {
    spin: bool,
    tls: bool,
    lane: bool,
}

fn client(
    way: Way,
    trust: &Trust,
    input: &Input,
    addr: std::net::SocketAddr,
    go: &AtomicBool,
) -> (Vec<i64>, bool) {
    let _ = pin_to_cpu(1);
    let mut done = Vec::with_capacity(FRAMES + 1);
    if way.lane {
        let wait = if way.spin { WaitMode::Spin } else { WaitMode::Epoll };
        let mut reader = Reader::new(ReaderConfig { wait, ..ReaderConfig::default() }).expect("a reader");
        let setup = TlsSetup::new(&[trust.ca_pem.clone().into_bytes()]).expect("trust");
        let scheme = if way.tls { "wss" } else { "ws" };
        let spec = venue::by_id("binance-usdm").expect("a known venue").1.spec();
        let request = ConnectRequest::new(7, format!("{scheme}://{addr}{URL}"), vec![addr], setup, spec);
        reader.open(request).expect("a connection");
        let mut timed = Timed { lane: LaneOf::new(input), done: &mut done, opened: false };
        while !timed.opened {
            reader.poll_once(&mut timed, Duration::from_millis(50)).expect("epoll");
        }
        let fifo = set_fifo_priority(10).is_ok();
        go.store(true, Ordering::Release);
        while timed.done.len() < FRAMES {
            reader.poll_once(&mut timed, Duration::from_millis(50)).expect("epoll");
        }
        timed.lane.drain();
        assert_eq!(timed.lane.crc(), input.crc, "the book is another");
        return (done, fifo);
    }
    let tcp = TcpStream::connect(addr).expect("a connection");
    tcp.set_nodelay(true).expect("an option");
    let mut source = mio::net::TcpStream::from_std(tcp.try_clone().expect("a handle"));
    let poll = mio::Poll::new().expect("epoll");
    poll.registry().register(&mut source, mio::Token(0), mio::Interest::READABLE).expect("registered");
    let url = format!("ws://{addr}{URL}");
    let mut poll = (!way.spin).then_some(poll);
    let fifo;
    if way.tls {
        let name = ServerName::try_from("127.0.0.1").expect("a name");
        let c = ClientConnection::new(Arc::clone(&trust.client), name).expect("TLS");
        let (mut ws, _) = tungstenite::client(url, StreamOwned::new(c, tcp)).expect("a handshake");
        ws.get_ref().sock.set_nonblocking(true).expect("an option");
        fifo = set_fifo_priority(10).is_ok();
        go.store(true, Ordering::Release);
        bare(&mut ws, poll.as_mut(), &mut done);
    } else {
        let (mut ws, _) = tungstenite::client(url, tcp).expect("a handshake");
        ws.get_ref().set_nonblocking(true).expect("an option");
        fifo = set_fifo_priority(10).is_ok();
        go.store(true, Ordering::Release);
        bare(&mut ws, poll.as_mut(), &mut done);
    }
    (done, fifo)
}

/// Quantiles of one run, µs, and whether it was in real time.
fn one(way: Way, trust: &Trust, input: &Input) -> ([f64; 3], bool) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
    let addr = listener.local_addr().expect("an address");
    let go = AtomicBool::new(false);
    let frames = Arc::clone(&input.frames);
    let (sent, (done, fifo)) = std::thread::scope(|s| {
        let tls = way.tls.then(|| Arc::clone(&trust.server));
        let server = s.spawn(|| serve(&listener, tls, &frames, &go));
        let client = s.spawn(|| client(way, trust, input, addr, &go));
        (server.join().expect("the server"), client.join().expect("the client"))
    });
    let mut us: Vec<f64> = sent.iter().zip(&done).map(|(a, b)| (b - a) as f64 / 1e3).collect();
    us.sort_by(f64::total_cmp);
    ([500, 990, 999].map(|q| us[(us.len() - 1) * q / 1000]), fifo)
}

fn spread(mut v: Vec<f64>) -> (f64, f64, f64) {
    v.sort_by(f64::total_cmp);
    (v[v.len() / 2], v[0], v[v.len() - 1])
}

fn report(line: &str) {
    if let Some(path) = std::env::var_os("LOBTAPE_BENCH_JSON") {
        let mut f = std::fs::OpenOptions::new().create(true).append(true).open(path).expect("the figures");
        writeln!(f, "{line}").expect("written");
    }
}

fn main() {
    let is_test = std::env::args().any(|a| a == "--test");
    let quick = is_test || std::env::args().any(|a| a == "--quick");
    let rounds = if is_test {
        1
    } else if quick {
        5
    } else {
        9
    };
    let (trust, input) = (trust(), input());
    println!(
        "µs from the send to the last step, {FRAMES} frames a run, {rounds} interleaved runs, median (least … most)"
    );
    println!("{:<14} {:<6} {:>24} {:>24} {:>26}", "", "", "p50", "p99", "p99.9");
    let mut gated = true;
    for (spin, tls) in [(true, false), (true, true), (false, false), (false, true)] {
        let name = format!("{}_{}", if spin { "spin" } else { "epoll" }, if tls { "tls" } else { "plain" });
        let mut runs: [Vec<[f64; 3]>; 2] = Default::default();
        for _ in 0..rounds {
            for (n, of_way) in runs.iter_mut().enumerate() {
                // Real time that was used up comes back with time alone.
                std::thread::sleep(REST);
                let (q, fifo) = one(Way { spin, tls, lane: n == 1 }, &trust, &input);
                gated &= fifo;
                of_way.push(q);
            }
        }
        for (who, of_way) in ["bare", "lane"].iter().zip(&runs) {
            let cell = |i: usize| {
                let (mid, low, high) = spread(of_way.iter().map(|q| q[i]).collect());
                format!("{mid:.1} ({low:.1} … {high:.1})")
            };
            println!("{name:<14} {who:<6} {:>24} {:>24} {:>26}", cell(0), cell(1), cell(2));
        }
        let p99 = |n: usize| runs[n].iter().map(|q| q[1]).collect::<Vec<f64>>();
        let (bare, lane) = (spread(p99(0)).0, spread(p99(1)));
        let (mid, low, high) = (lane.0 / bare, lane.1 / bare, lane.2 / bare);
        println!("{name:<14} p99 of the lane is {mid:.2} ({low:.2} … {high:.2}) of the bare transport's");
        if gated {
            report(&format!(
                "{{\"name\":\"wire_p99_{name}_vs_floor\",\"ratio\":{mid:.4},\"min\":{low:.4},\"max\":{high:.4}}}"
            ));
        }
    }
    if !gated {
        println!("not gated here: SCHED_FIFO is not allowed, a p99 is other people's time slices");
        report("{\"skipped\":\"wire\",\"why\":\"not gated here: SCHED_FIFO is not allowed\"}");
    }
}
