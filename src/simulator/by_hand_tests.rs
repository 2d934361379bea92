//! The simulated venue without sockets, threads or waiting: whoever holds it moves its clock, takes what it sends and says
//! what a client says.

use std::rc::Rc;
use std::sync::{Arc, Mutex};

use super::config::{OracleTo, SimConfig};
use super::faults::{CutHow, FaultKind, FaultSpec};
use super::http::Head;
use super::oracle::{self, Line};
use super::outbound::{CLOSE, Chunk, Conn, End, PING, PONG};
use super::strike::log_conn;
use super::text::{key_int, key_str};
use super::world::World;

/// What a client reads from its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    Message { binary: bool, payload: Vec<u8> },
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16, String),
    Cut(CutHow),
}

/// An answer to a request.
pub(crate) struct Said {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub delay_ms: u64,
    /// Only half of it comes.
    pub cut: bool,
}

/// Levels of one side, best first: price, size.
pub(crate) type Truth = Vec<(i64, i64)>;

/// The venue.
pub(crate) struct Venue {
    world: World,
    log: Arc<Mutex<Vec<u8>>>,
}

impl Venue {
    pub fn new(mut cfg: SimConfig) -> Venue {
        let log = Arc::new(Mutex::new(Vec::new()));
        cfg.oracle = OracleTo::Memory(Arc::clone(&log));
        let mut world = World::new(cfg, Arc::default()).unwrap();
        world.keep_books();
        Venue { world, log }
    }

    pub fn symbols(&self) -> Vec<String> {
        self.world.symbols.iter().map(|s| s.def.symbol.clone()).collect()
    }

    /// Venue time, ms since the Unix epoch.
    pub fn now(&self) -> i64 {
        self.world.now
    }

    /// A millisecond passes.
    pub fn tick(&mut self) {
        self.world.tick();
    }

    /// Nothing is traded for so long. No connection may be open.
    pub fn sleep(&mut self, ms: i64) {
        assert!(self.world.conns.is_empty(), "a venue that sleeps talks to nobody");
        self.world.now += ms;
    }

    /// Nothing is traded any more.
    pub fn hush(&mut self) {
        self.world.cfg.rate = 0;
    }

    pub fn strike(&mut self, f: FaultSpec) {
        assert!(f.kind != FaultKind::NonAscii);
        self.world.strike(f);
    }

    pub fn quiesce(&mut self) {
        self.world.quiesce();
    }

    /// A client connects; its number, or `None` if it is refused.
    pub fn open(&mut self, target: &str) -> Option<u64> {
        let entry = self.world.entry(target).filter(|_| !self.world.refuses())?;
        self.world.open(target, &entry).map(|c| c.no)
    }

    /// The client sends a text.
    pub fn say(&mut self, no: u64, text: &str) {
        let Some(c) = self.conn(no) else { return };
        if self.world.hears(&c, false) {
            self.world.on_text(&c, text);
        }
    }

    /// The client sends a ping.
    pub fn ping(&mut self, no: u64) {
        let Some(c) = self.conn(no) else { return };
        if self.world.hears(&c, true) {
            c.push_control(PONG, b"");
        }
    }

    /// The client answers a ping.
    pub fn pong(&mut self, no: u64) {
        let Some(c) = self.conn(no) else { return };
        c.side.borrow_mut().pong_missing = None;
        self.world.hears(&c, true);
    }

    /// The client is gone.
    pub fn leave(&mut self, no: u64) {
        if let Some(c) = self.conn(no) {
            self.ended(&c, "client", 0);
        }
    }

    pub fn open_conns(&self) -> Vec<u64> {
        self.world.conns.keys().copied().collect()
    }

    fn conn(&self, no: u64) -> Option<Rc<Conn>> {
        self.world.conns.get(&no).cloned()
    }

    /// What has been sent on a connection since the last time.
    pub fn take(&mut self, no: u64) -> Vec<Got> {
        let Some(c) = self.conn(no) else { return Vec::new() };
        let end = c.side.borrow().end.clone();
        if let Some(End::Cut(how @ (CutHow::Rst | CutHow::Fin), _)) = end {
            self.ended(&c, how.as_str(), 0);
            return vec![Got::Cut(how)];
        }
        let is_stalled = c.side.borrow().stall_until > self.world.now;
        if is_stalled || matches!(end, Some(End::Cut(CutHow::HalfOpen, _))) {
            return Vec::new();
        }
        let mut chunk = Chunk::default();
        std::mem::swap(&mut chunk, &mut c.side.borrow_mut().pending);
        let len = chunk.bytes.len();
        c.handed_over(&mut chunk, len, &mut self.world.oracle);
        c.side.borrow_mut().sent += len as u64;
        let mut got = frames(&chunk.bytes);
        match end {
            Some(End::Cut(how, _)) => {
                self.ended(&c, how.as_str(), 0);
                got.push(Got::Cut(how));
            }
            Some(End::Close(code, _)) => self.ended(&c, "close", code),
            None => {}
        }
        got
    }

    fn ended(&mut self, c: &Rc<Conn>, how: &str, code: u16) {
        let (bytes, msgs, unsent) = {
            let s = c.side.borrow();
            (s.sent, s.msgs, s.pending.bytes.len())
        };
        log_conn(&mut self.world, "close", c.no, |l| {
            key_str(l, "how", how);
            key_int(l, "code", code.into());
            key_int(l, "msgs", msgs as i64);
            key_int(l, "bytes", bytes as i64);
            key_int(l, "unsent", unsent as i64);
        });
        self.world.forget(c);
    }

    /// Asks by REST.
    pub fn get(&mut self, target: &str) -> Said {
        let head = Head { method: "GET".into(), target: target.into(), headers: Vec::new() };
        let a = self.world.rest(&head);
        let headers = a.headers.into_iter().map(|(k, v)| (k.to_ascii_lowercase(), v)).collect();
        Said { status: a.status, headers, body: a.body, delay_ms: a.delay_ms, cut: a.cut }
    }

    /// The real book of a symbol: bids and asks, and the decimals of prices and sizes.
    pub fn truth(&self, symbol: &str) -> (Truth, Truth, (u8, u8)) {
        let s = self.world.symbols.iter().find(|s| s.def.symbol == symbol).unwrap();
        let level = |(px, qty): (i64, i64)| (s.face.px(px), s.face.qty(qty));
        let (bids, asks) = (s.market.bids.best_first(), s.market.asks.best_first());
        (bids.map(level).collect(), asks.map(level).collect(), (s.face.pd, s.face.sd))
    }

    /// Id of each book's last change.
    pub fn last_ids(&self) -> Vec<i64> {
        self.world.symbols.iter().map(|s| s.market.last_id).collect()
    }

    /// The log so far, ended.
    pub fn log(&mut self) -> Vec<Line> {
        self.world.oracle.begin("end");
        self.world.oracle.end_line();
        oracle::read(self.log.lock().unwrap().as_slice()).unwrap()
    }
}

/// The frames in what was sent; half a frame at the end is none.
fn frames(mut b: &[u8]) -> Vec<Got> {
    let mut out = Vec::new();
    while b.len() >= 2 {
        let (opcode, short) = (b[0] & 0x0f, usize::from(b[1]));
        let (head, len) = match short {
            126 if b.len() >= 4 => (4, usize::from(u16::from_be_bytes([b[2], b[3]]))),
            127 if b.len() >= 10 => (10, u64::from_be_bytes(b[2..10].try_into().unwrap()) as usize),
            126 | 127 => break,
            n => (2, n),
        };
        if b.len() < head + len {
            break;
        }
        let payload = b[head..head + len].to_vec();
        b = &b[head + len..];
        out.push(match opcode {
            CLOSE => {
                let code = u16::from_be_bytes([payload[0], payload[1]]);
                Got::Close(code, String::from_utf8_lossy(&payload[2..]).into_owned())
            }
            PING => Got::Ping(payload),
            PONG => Got::Pong(payload),
            n => Got::Message { binary: n == 2, payload },
        });
    }
    out
}
