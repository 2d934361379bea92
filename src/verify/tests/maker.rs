//! Small datasets made by hand: records through the real converter, with lane 000 beside, as capture does it.

use std::collections::BTreeMap;
use std::path::Path;

use crate::dataset::Dataset;
use crate::model::control::{PlanNote, to_payload};
use crate::model::{
    ConnEvent, GapNote, Kind, LaneClock, Record, RunStart, RunStop, StreamSpec, Subscribed, TimerEvent, time,
};
use crate::sink::{Checkpoint, ControlLane, Converter};
use crate::{fold, venue};

pub const VENUE: &str = "aster-futures";
pub const S: i64 = time::NS_PER_S;
pub const MS: i64 = time::NS_PER_MS;
/// 2026-11-20T23:59:40Z.
pub const EVENING: i64 = (1_795_219_200 - 20) * S;
/// Length of an interval.
pub const INTERVAL: i64 = 10 * S;

/// A lane that is fed by hand.
pub struct Maker {
    pub ds: Dataset,
    converter: Converter,
    control: ControlLane,
    clock: LaneClock,
    pub ts: i64,
    rseq: BTreeMap<i64, i64>,
    /// The venue's last ids: of a book's updates and of trades, by symbol.
    pub u: BTreeMap<&'static str, i64>,
    pub t: BTreeMap<&'static str, i64>,
    rest: i64,
    last_conn: i64,
    last_ts: i64,
    runs: u32,
    writer: &'static str,
}

impl Maker {
    /// A dataset that has begun its first run.
    pub fn new(dir: &Path) -> Maker {
        Maker::by(dir, "capture")
    }

    /// The same of another tool's recording.
    pub fn import(dir: &Path) -> Maker {
        Maker::by(dir, "import")
    }

    fn by(dir: &Path, writer: &'static str) -> Maker {
        let mut m = Maker {
            ds: Dataset::create(dir).unwrap(),
            converter: Converter::new(),
            control: ControlLane::new(-1, 0, INTERVAL),
            clock: LaneClock::new(1, -1, INTERVAL),
            ts: EVENING,
            rseq: BTreeMap::new(),
            u: BTreeMap::new(),
            t: BTreeMap::new(),
            rest: 0,
            last_conn: 0,
            last_ts: 0,
            runs: 0,
            writer,
        };
        m.run();
        m
    }

    fn feed(&mut self, rec: &Record<'_>) {
        let fed = self.converter.feed(&self.ds, rec).unwrap();
        if let Some(c) = fed.checkpoint {
            self.checkpoint(c);
        }
    }

    fn checkpoint(&mut self, c: Checkpoint) {
        let at = c.at.max(self.ts);
        self.beside(Kind::Checkpoint, at, c.payload);
    }

    fn beside(&mut self, kind: Kind, ts: i64, payload: Vec<u8>) {
        let mut own = Vec::new();
        for r in self.control.stamp(kind, ts, 0, payload) {
            own.extend(self.converter.feed(&self.ds, &r.record()).unwrap().checkpoint);
        }
        if kind != Kind::Stop {
            for c in own {
                self.checkpoint(c);
            }
        }
    }

    /// One record of lane 1 at the present time, after the boundaries that are due.
    pub fn push(&mut self, kind: Kind, conn: i64, url: &str, payload: &[u8], status: i32) {
        while let Some(at) = self.clock.boundary_due(self.ts) {
            let p = self.clock.boundary_payload(at);
            let r = self.clock.boundary_record(at, 0, &p);
            self.feed(&r);
        }
        self.last_ts = self.last_ts.max(self.ts);
        let received = matches!(kind, Kind::Frame | Kind::Rest);
        let rseq = match received {
            true => {
                let n = self.rseq.entry(conn).or_insert(0);
                *n += 1;
                *n - 1
            }
            false => -1,
        };
        let rec = Record {
            kind,
            flags: 0,
            lane: 1,
            status,
            conn,
            lane_seq: self.clock.take_seq(),
            rseq,
            ts_kernel: 0,
            ts_mono: 0,
            ts_recv: self.ts,
            url,
            payload,
        };
        self.feed(&rec);
    }

    /// Only these symbols' streams are wanted from now on.
    pub fn plan(&mut self, symbols: &[&str]) {
        self.plan_without(symbols, &[]);
    }

    /// The same; of some of them nothing is carried.
    pub fn plan_without(&mut self, symbols: &[&str], shed: &[&str]) {
        let names = |symbols| Self::specs(symbols).into_iter().map(|s| s.name).collect();
        let (streams, shed) = (names(symbols), names(shed));
        let note = PlanNote { venue: VENUE.into(), streams, shed, ..PlanNote::default() };
        self.push(Kind::Config, 0, "", &to_payload(&note), 0);
    }

    /// Time passes.
    pub fn wait(&mut self, ns: i64) {
        self.ts += ns;
    }

    pub fn run(&mut self) {
        self.run_of(&[]);
    }

    /// A run that says of which venues it is.
    pub fn run_of(&mut self, venues: &[&str]) {
        self.run_late(venues, 0);
    }

    /// A run whose lane hears of it so much later.
    pub fn run_late(&mut self, venues: &[&str], late_ns: i64) {
        self.runs += 1;
        let run = RunStart {
            run_id: format!("run-{}", self.runs),
            writer: self.writer.into(),
            build: "0".into(),
            host: "h".into(),
            config_sha256: String::new(),
            rules_version: fold::RULES_VERSION,
            ts_start: self.ts,
            interval_ns: INTERVAL,
            book_top_interval_ns: 100 * MS,
            lane_memory_bytes: 1 << 28,
            auto_register: self.writer == "import",
            epoch_floor: 0,
            venues: venues.iter().map(|v| (*v).to_owned()).collect(),
        };
        self.rest = 0;
        self.wait(late_ns);
        self.beside(Kind::Run, self.ts, to_payload(&run));
        self.push(Kind::Run, 0, "", &to_payload(&run), 0);
    }

    pub fn stop(&mut self) {
        let stop = RunStop { run_id: "x".into(), ts_stop: self.ts, exit: "clean".into() };
        self.push(Kind::Stop, 0, "", &to_payload(&stop), 0);
        self.beside(Kind::Stop, self.ts, to_payload(&stop));
    }

    /// The process died after the last record; the next start says so.
    pub fn crash(&mut self) {
        let now = self.ts + 2 * S;
        self.ts = self.last_ts + 1;
        let gap = GapNote {
            cause: "process_crash".into(),
            ts_begin: self.ts,
            ts_end: 0,
            detail: "the run before ended without a stop".into(),
        };
        self.push(Kind::Gap, 0, "", &to_payload(&gap), 0);
        self.ts = now;
        self.run();
    }

    pub fn conn_event(&mut self, conn: i64, event: &str, cause: &str) {
        let e = ConnEvent {
            event: event.into(),
            venue: VENUE.into(),
            leg: 0,
            slot: 0,
            code: 0,
            cause: cause.into(),
            answered: false,
            detail: String::new(),
        };
        self.push(Kind::Connection, conn, "ws://x/stream?streams=", &to_payload(&e), 0);
    }

    fn specs(symbols: &[&str]) -> Vec<StreamSpec> {
        let v = venue::by_id(VENUE).unwrap().1;
        let channels = ["depth@100ms", "trade", "aggTrade", "bookTicker"];
        symbols.iter().flat_map(|s| channels.map(|c| v.stream(c, Some(s)).unwrap())).collect()
    }

    fn new_conn(&mut self) -> i64 {
        self.last_conn = self.ts.max(self.last_conn + 1);
        self.last_conn
    }

    /// Opens a connection with all streams of these symbols.
    pub fn open(&mut self, symbols: &[&str]) -> i64 {
        let conn = self.new_conn();
        self.conn_event(conn, "open", "");
        let s = Subscribed { venue: VENUE.into(), add: Self::specs(symbols), ..Subscribed::default() };
        self.push(Kind::Subscription, conn, "", &to_payload(&s), 0);
        conn
    }

    pub fn unsubscribe(&mut self, conn: i64, symbol: &str) {
        let remove = Self::specs(&[symbol]).into_iter().map(|s| s.name).collect();
        let s = Subscribed { venue: VENUE.into(), remove, ..Subscribed::default() };
        self.push(Kind::Subscription, conn, "", &to_payload(&s), 0);
    }

    /// A connection's streams of a symbol end for want of room.
    pub fn shed(&mut self, conn: i64, symbol: &str) {
        let shed = Self::specs(&[symbol]).into_iter().map(|s| s.name).collect();
        let s = Subscribed { venue: VENUE.into(), shed, ..Subscribed::default() };
        self.push(Kind::Subscription, conn, "", &to_payload(&s), 0);
    }

    pub fn subscribe(&mut self, conn: i64, symbol: &str) {
        let s = Subscribed { venue: VENUE.into(), add: Self::specs(&[symbol]), ..Subscribed::default() };
        self.push(Kind::Subscription, conn, "", &to_payload(&s), 0);
    }

    pub fn frame(&mut self, conn: i64, symbol: &str, channel: &str, data: &str) {
        let stream = symbol.to_ascii_lowercase();
        let f = format!("{{\"stream\":\"{stream}@{channel}\",\"data\":{data}}}");
        self.push(Kind::Frame, conn, "", f.as_bytes(), 0);
    }

    pub fn timer(&mut self, t: &TimerEvent) {
        self.push(Kind::Timer, 0, "", &to_payload(t), 0);
    }

    /// The text of the venue's next update of a book; `lost` ids before it are never sent.
    pub fn next_diff(&mut self, symbol: &'static str, lost: i64, bids: &str, asks: &str) -> String {
        let u = self.u.entry(symbol).or_insert(1_000);
        let prev = *u + lost;
        *u = prev + 5;
        format!(
            "{{\"e\":\"depthUpdate\",\"E\":5,\"T\":4,\"s\":\"{symbol}\",\"U\":{},\"u\":{},\"pu\":{prev},\"b\":[{bids}],\
             \"a\":[{asks}]}}",
            prev + 1,
            prev + 5
        )
    }

    pub fn diff(&mut self, conn: i64, symbol: &'static str, bids: &str, asks: &str) {
        let d = self.next_diff(symbol, 0, bids, asks);
        self.frame(conn, symbol, "depth@100ms", &d);
    }

    /// A snapshot of what the venue has now.
    pub fn snapshot(&mut self, symbol: &'static str) {
        if self.rest == 0 {
            self.rest = self.new_conn();
            self.conn_event(self.rest, "open", "");
        }
        let id = *self.u.entry(symbol).or_insert(1_000);
        let body = format!(
            "{{\"lastUpdateId\":{id},\"E\":3,\"T\":2,\"bids\":[[\"100.5\",\"1\"],[\"100\",\"2\"]],\"asks\":[[\"101\",\"3\"]]}}"
        );
        let url = format!("/fapi/v3/depth?symbol={symbol}&limit=1000");
        self.push(Kind::Rest, self.rest, &url, body.as_bytes(), 200);
    }

    pub fn trade(&mut self, conn: i64, symbol: &'static str, lost: i64) {
        let t = self.t.entry(symbol).or_insert(70);
        *t += 1 + lost;
        let t = *t;
        let trade = format!(
            "{{\"e\":\"trade\",\"E\":5,\"T\":4,\"s\":\"{symbol}\",\"t\":{t},\"p\":\"100.5\",\"q\":\"1\",\"X\":\"MARKET\",\"m\":true}}"
        );
        self.frame(conn, symbol, "trade", &trade);
        let agg = format!(
            "{{\"e\":\"aggTrade\",\"E\":5,\"T\":4,\"s\":\"{symbol}\",\"a\":{t},\"f\":{t},\"l\":{t},\"p\":\"100.5\",\"q\":\"1\",\"m\":true}}"
        );
        self.frame(conn, symbol, "aggTrade", &agg);
    }

    pub fn quote(&mut self, conn: i64, symbol: &'static str) {
        let u = self.u.get(symbol).copied().unwrap_or(1_000);
        let q = format!(
            "{{\"e\":\"bookTicker\",\"E\":5,\"T\":4,\"s\":\"{symbol}\",\"u\":{u},\"b\":\"100.5\",\"B\":\"1\",\"a\":\"101\",\"A\":\"3\"}}"
        );
        self.frame(conn, symbol, "bookTicker", &q);
    }

    /// A tenth of a second of market: an update, a trade, a quote.
    pub fn beat(&mut self, conn: i64, symbol: &'static str) {
        self.wait(100 * MS);
        let size = self.ts / (100 * MS) % 7 + 1;
        self.diff(conn, symbol, &format!("[\"99.{size}\",\"{size}\"]"), "");
        self.wait(3 * MS);
        self.trade(conn, symbol, 0);
        self.quote(conn, symbol);
    }

    /// Beats until a time.
    pub fn beats(&mut self, conn: i64, symbol: &'static str, n: usize) {
        for _ in 0..n {
            self.beat(conn, symbol);
        }
    }

    /// Brings a symbol's book to life.
    pub fn sync(&mut self, conn: i64, symbol: &'static str) {
        self.beat(conn, symbol);
        self.wait(20 * MS);
        self.snapshot(symbol);
        self.beat(conn, symbol);
    }

    /// Gives the dataset up, so that others may open it.
    pub fn done(self) {
        drop(self.ds);
    }
}

/// A dataset with everything that has a rule: a midnight, holes in a book and in trades, a cut line, a crash, a second
/// run, a stream that is given up and taken again.
pub fn sample(dir: &Path) {
    let mut m = Maker::new(dir);
    m.wait(S);
    let a = m.open(&["BTCUSDT", "ETHUSDT"]);
    m.sync(a, "BTCUSDT");
    m.sync(a, "ETHUSDT");
    m.beats(a, "BTCUSDT", 60);
    m.beats(a, "ETHUSDT", 60);
    // A hole in the book and one in the trades, before the day ends.
    let lost = m.next_diff("BTCUSDT", 10, "", "");
    m.frame(a, "BTCUSDT", "depth@100ms", &lost);
    m.trade(a, "BTCUSDT", 3);
    m.wait(50 * MS);
    m.snapshot("BTCUSDT");
    m.beats(a, "BTCUSDT", 100);
    // The line is cut; the venue's ids go on where they were.
    m.conn_event(a, "close", "venue_disconnect");
    m.wait(300 * MS);
    let b = m.open(&["BTCUSDT", "ETHUSDT"]);
    m.beats(b, "ETHUSDT", 3);
    let lost = m.next_diff("BTCUSDT", 7, "", "");
    m.frame(b, "BTCUSDT", "depth@100ms", &lost);
    m.trade(b, "BTCUSDT", 2);
    m.wait(50 * MS);
    m.snapshot("BTCUSDT");
    m.beats(b, "BTCUSDT", 20);
    m.frame(b, "BTCUSDT", "depth@100ms", "{\"e\":\"depthUpdate\",\"s\":\"BTCUSDT\",\"U\":\"?\"}");
    m.sync(b, "BTCUSDT");
    m.unsubscribe(b, "ETHUSDT");
    m.wait(S);
    m.subscribe(b, "ETHUSDT");
    m.sync(b, "ETHUSDT");
    m.crash();
    let c = m.open(&["BTCUSDT", "ETHUSDT"]);
    m.sync(c, "BTCUSDT");
    m.beats(c, "BTCUSDT", 20);
    m.stop();
    m.wait(25 * S);
    m.run();
    let d = m.open(&["BTCUSDT"]);
    m.sync(d, "BTCUSDT");
    m.beats(d, "BTCUSDT", 90);
    m.stop();
    m.done();
}
