//! The simulator seen from outside: a plain client on a real socket, under a manual clock, so that nothing waits.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tungstenite::protocol::WebSocket;
use tungstenite::{Message, client};

use super::*;
use crate::model::Dialect;
use crate::model::dialect::IdScheme;

pub(super) struct Client {
    pub ws: WebSocket<TcpStream>,
    id: u64,
}

impl Client {
    pub fn open(addr: SocketAddr, path: &str) -> Client {
        Client::try_open(addr, path).unwrap()
    }

    pub fn try_open(addr: SocketAddr, path: &str) -> Result<Client, String> {
        let tcp = TcpStream::connect(addr).map_err(|e| e.to_string())?;
        // A test that waits for what never comes shall fail, not hang.
        tcp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let (ws, _) = client(format!("ws://{addr}{path}"), tcp).map_err(|e| e.to_string())?;
        Ok(Client { ws, id: 1_000 })
    }

    pub fn send(&mut self, text: &str) {
        self.ws.send(Message::text(text)).unwrap();
    }

    pub fn text(&mut self) -> String {
        loop {
            if let Message::Text(t) = self.ws.read().unwrap() {
                return t.as_str().to_owned();
            }
        }
    }

    pub fn json(&mut self) -> Value {
        serde_json::from_str(&self.text()).unwrap()
    }

    /// Asks, and returns the reply; frames before it are thrown away.
    pub fn ask(&mut self, text: &str) -> Value {
        self.send(text);
        loop {
            let v = self.json();
            if v.get("stream").is_none() && v.get("e").is_none() && v.get("lastUpdateId").is_none() {
                return v;
            }
        }
    }

    /// All text messages up to now: a question is answered behind everything queued before it.
    pub fn all(&mut self) -> Vec<String> {
        self.id += 1;
        let id = self.id;
        self.send(&format!("{{\"method\":\"LIST_SUBSCRIPTIONS\",\"id\":{id}}}"));
        let mark = format!("\"id\":{id}}}");
        let mut out = Vec::new();
        loop {
            let t = self.text();
            if t.starts_with("{\"result\":") && t.ends_with(&mark) {
                return out;
            }
            out.push(t);
        }
    }

    /// All payloads up to now, by stream.
    pub fn by_stream(&mut self) -> BTreeMap<String, Vec<Value>> {
        let mut out: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for t in self.all() {
            let v: Value = serde_json::from_str(&t).unwrap();
            out.entry(v["stream"].as_str().unwrap().to_owned()).or_default().push(v["data"].clone());
        }
        out
    }

    /// The close code, after whatever else comes.
    pub fn close_code(&mut self) -> u16 {
        loop {
            match self.ws.read() {
                Ok(Message::Close(Some(c))) => return c.code.into(),
                Ok(Message::Close(None)) => return 0,
                Ok(_) => {}
                Err(_) => return 1,
            }
        }
    }
}

pub(super) fn manual(venue: &str) -> SimConfig {
    SimConfig {
        venue: venue.to_owned(),
        clock: SimClock::Manual,
        start_ms: Some(1_790_000_000_000),
        rate: 2_000,
        client_messages_per_s: Some(1_000_000),
        ..SimConfig::default()
    }
}

pub(super) fn with_oracle(cfg: &mut SimConfig) -> Arc<Mutex<Vec<u8>>> {
    let log = Arc::new(Mutex::new(Vec::new()));
    cfg.oracle = OracleTo::Memory(log.clone());
    log
}

pub(super) fn lines(log: &Arc<Mutex<Vec<u8>>>) -> Vec<oracle::Line> {
    oracle::read(log.lock().unwrap().as_slice()).unwrap()
}

/// One request on its own connection: status, headers, body.
pub(super) fn get(addr: SocketAddr, target: &str) -> (u16, String, String) {
    let mut s = TcpStream::connect(addr).unwrap();
    s.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(s, "GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut b = Vec::new();
    s.read_to_end(&mut b).unwrap();
    let t = String::from_utf8(b).unwrap();
    let (head, body) = t.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), head.to_ascii_lowercase(), body.to_owned())
}

fn i(v: &Value, k: &str) -> i64 {
    v[k].as_i64().unwrap_or_else(|| panic!("{k} in {v}"))
}

#[test]
fn chains_hold_on_every_venue_and_speed() {
    let variants = |d: &'static Dialect| d.variants.iter().map(|v| (Some(v.0), v.1)).chain([(None, d)]);
    let named = |d: &&'static Dialect| d.words.is_none();
    for (variant, d) in dialects::all().into_iter().filter(named).flat_map(variants) {
        let cfg = SimConfig { variant: variant.map(str::to_owned), ..manual(d.venue) };
        let sim = Simulator::start(cfg).unwrap();
        let sym = &symbols::define(d, &Symbols::Count(1), false)[0].lower;
        let names: Vec<String> = d.diff_speeds.iter().map(|s| format!("{sym}@depth{}", s.suffix)).collect();
        let trades = format!("{sym}@trade");
        let mut c = Client::open(
            sim.addr(),
            &format!("/stream?streams={}/{trades}/{sym}@bookTicker", names.join("/")),
        );
        sim.advance(4_000).unwrap();
        let got = c.by_stream();
        for n in &names {
            let v = &got[n];
            assert!(v.len() >= 3, "{n}: {}", v.len());
            for w in v.windows(2) {
                match d.ids == IdScheme::Shared {
                    true => assert_eq!(i(&w[1], "pu"), i(&w[0], "u"), "{n}"),
                    false => assert_eq!(i(&w[1], "U"), i(&w[0], "u") + 1, "{n}"),
                }
                assert!(i(&w[1], "U") <= i(&w[1], "u"));
            }
            for m in v {
                let px = |s: &str| -> Vec<f64> {
                    m[s].as_array().unwrap().iter().map(|l| l[0].as_str().unwrap().parse().unwrap()).collect()
                };
                let (b, a) = (px("b"), px("a"));
                assert!(a.windows(2).all(|w| w[0] < w[1]), "asks ascend");
                assert!(b.windows(2).all(|w| (w[0] < w[1]) == d.bids_ascend), "bids {}", d.venue);
            }
        }
        let t: Vec<i64> = got[&trades].iter().map(|v| i(v, "t")).collect();
        assert!(t.len() > 20 && t.windows(2).all(|w| w[1] == w[0] + 1));
        sim.stop();
    }
}

#[test]
fn depth_best_prices_and_trades_tell_one_story() {
    let sim = Simulator::start(manual("binance-usdm")).unwrap();
    let mut c = Client::open(sim.addr(), "/public/stream?streams=btcusdt@depth@100ms/btcusdt@bookTicker");
    sim.advance(300).unwrap();
    let (status, _, body) = get(sim.addr(), "/fapi/v1/depth?symbol=BTCUSDT&limit=1000");
    assert_eq!(status, 200);
    let snap: Value = serde_json::from_str(&body).unwrap();
    let mut book: [BTreeMap<i64, String>; 2] = Default::default();
    let ticks = |s: &Value| (s.as_str().unwrap().parse::<f64>().unwrap() * 100.0).round() as i64;
    for (side, k) in [(0, "bids"), (1, "asks")] {
        for l in snap[k].as_array().unwrap() {
            book[side].insert(ticks(&l[0]), l[1].as_str().unwrap().to_owned());
        }
    }
    sim.advance(8_000).unwrap();
    let (mut last, mut proven, mut compared) = (i(&snap, "lastUpdateId"), false, 0);
    let frames = c.all();
    let tops: Vec<Value> = frames
        .iter()
        .map(|f| serde_json::from_str::<Value>(f).unwrap())
        .filter(|v| v["data"]["e"] == "bookTicker")
        .map(|v| v["data"].clone())
        .collect();
    for f in &frames {
        let v: Value = serde_json::from_str(f).unwrap();
        let d = &v["data"];
        if d["e"] != "depthUpdate" || (!proven && i(d, "u") < last) {
            continue;
        }
        assert!(if proven { i(d, "pu") == last } else { i(d, "pu") <= last }, "{d}");
        (proven, last) = (true, i(d, "u"));
        for (side, k) in [(0, "b"), (1, "a")] {
            for l in d[k].as_array().unwrap() {
                let q = l[1].as_str().unwrap();
                if q.parse::<f64>().unwrap() == 0.0 {
                    book[side].remove(&ticks(&l[0]));
                } else {
                    book[side].insert(ticks(&l[0]), q.to_owned());
                }
            }
        }
        let Some(top) = tops.iter().rev().find(|t| i(t, "u") <= last) else { continue };
        let (b, a) = (book[0].last_key_value().unwrap(), book[1].first_key_value().unwrap());
        assert_eq!((*b.0, b.1.as_str()), (ticks(&top["b"]), top["B"].as_str().unwrap()), "u {last}");
        assert_eq!((*a.0, a.1.as_str()), (ticks(&top["a"]), top["A"].as_str().unwrap()), "u {last}");
        compared += 1;
    }
    assert!(proven && compared > 50, "{compared}");
}

#[test]
fn a_seed_gives_the_same_frames_whoever_listens() {
    let run = |seed, others: bool| {
        let sim = Simulator::start(SimConfig { seed, ..manual("aster-futures") }).unwrap();
        let mut noise =
            others.then(|| Client::open(sim.addr(), "/stream?streams=!bookTicker/ethusdt@depth@500ms"));
        let mut c = Client::open(
            sim.addr(),
            "/stream?streams=btcusdt@depth@100ms/btcusdt@aggTrade/ethusdt@bookTicker/!markPrice@arr@1s",
        );
        sim.advance(3_000).unwrap();
        let out = c.all();
        if let Some(n) = &mut noise {
            assert!(n.all().len() > 1000);
        }
        out
    };
    let a = run(7, false);
    assert!(a.len() > 300, "{}", a.len());
    assert_eq!(a, run(7, true));
    assert_ne!(a, run(8, false));
}

#[test]
fn the_rate_is_kept_over_all_symbols() {
    for (venue, n) in [("aster-futures", 20), ("binance-usdm", 4), ("aster-futures", 200)] {
        let cfg =
            SimConfig { rate: 5_000, symbols: Symbols::Count(n), streams_max: Some(2_000), ..manual(venue) };
        let sim = Simulator::start(cfg.clone()).unwrap();
        let d = dialects::by_venue(venue).unwrap();
        let defs = symbols::define(d, &cfg.symbols, false);
        let all: Vec<String> = defs
            .iter()
            .flat_map(|s| cfg.rate_channels.iter().map(move |c| format!("{}@{c}", s.lower)))
            .collect();
        let mut got = 0;
        let mut clients: Vec<Client> = ["/public/ws", "/market/ws"]
            .iter()
            .take(d.routes.len().min(2))
            .map(|p| Client::open(sim.addr(), if d.routes.len() > 1 { p } else { "/ws" }))
            .collect();
        for c in &mut clients {
            for part in all.chunks(50) {
                let names = serde_json::to_string(part).unwrap();
                c.ask(&format!("{{\"method\":\"SUBSCRIBE\",\"params\":{names},\"id\":1}}"));
            }
        }
        for _ in 0..10 {
            sim.advance(400).unwrap();
            got += clients.iter_mut().map(|c| c.all().len()).sum::<usize>();
        }
        let per_s = got / 4;
        assert!((4_700..5_300).contains(&per_s), "{venue} {n}: {per_s} frames/s");
    }
}

#[test]
fn every_public_stream_of_aster_speaks() {
    let sim = Simulator::start(SimConfig { rate: 20_000, ..manual("aster-futures") }).unwrap();
    let one = "aggTrade trade markPrice markPrice@1s kline_1m kline_1M miniTicker ticker bookTicker forceOrder depth5 \
               depth10@100ms depth20@500ms depth depth@100ms depth@500ms";
    let mut names: Vec<String> = one.split_whitespace().map(|c| format!("btcusdt@{c}")).collect();
    let all = "!markPrice@arr !markPrice@arr@1s !miniTicker@arr !ticker@arr !bookTicker !forceOrder@arr";
    names.extend(all.split_whitespace().map(str::to_owned));
    let mut c = Client::open(sim.addr(), &format!("/stream?streams={}", names.join("/")));
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..8 {
        sim.advance(1_000).unwrap();
        for (k, v) in c.by_stream() {
            if k.contains("@arr") && !k.starts_with("!force") {
                assert!(v[0].as_array().is_some_and(|a| a.len() > 1), "{k}");
            } else {
                assert!(v[0].is_object(), "{k}");
            }
            *seen.entry(k).or_default() += v.len();
        }
    }
    for n in &names {
        assert!(seen.get(n).is_some_and(|&x| x > 0), "{n} is silent: {seen:?}");
    }
    assert_eq!(seen.len(), names.len());
    assert_eq!(seen["btcusdt@markPrice@1s"], 8);
}

#[test]
fn each_pair_s_marks_speak() {
    let sim = Simulator::start(manual("binance-coinm")).unwrap();
    let names = ["btcusd@markPrice@1s", "ethusd@markPrice@1s", "ethusd@markPrice"];
    let mut c = Client::open(sim.addr(), &format!("/stream?streams={}", names.join("/")));
    sim.advance(3_000).unwrap();
    let said = c.by_stream();
    let of = |name: &str| said.get(name).into_iter().flatten().map(|v| v[0]["s"].clone()).collect::<Vec<_>>();
    assert_eq!(of(names[0]), ["BTCUSD_PERP"; 3]);
    assert_eq!(of(names[1]), ["ETHUSD_PERP"; 3]);
    assert_eq!(of(names[2]), ["ETHUSD_PERP"]);
}

#[test]
fn continuous_candles_have_every_place_of_the_calendar() {
    // The nearer delivery is the current quarter, whatever comes first in the list.
    let symbols = ["BTCUSD_261225", "BTCUSD_PERP", "BTCUSD_260925", "ETHUSD_261225"].map(str::to_owned);
    let sim = SimConfig { symbols: Symbols::List(symbols.to_vec()), ..manual("binance-coinm") };
    let sim = Simulator::start(sim).unwrap();
    let list: Value = serde_json::from_str(&get(sim.addr(), "/dapi/v1/exchangeInfo").2).unwrap();
    let kinds: Vec<_> =
        list["symbols"].as_array().unwrap().iter().map(|s| s["contractType"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["NEXT_QUARTER", "PERPETUAL", "CURRENT_QUARTER", "CURRENT_QUARTER"]);
    let places = ["perpetual", "current_quarter", "next_quarter"];
    let names = places.map(|p| format!("btcusd_{p}@continuousKline_1m"));
    let none = "ethusd_next_quarter@continuousKline_1m";
    let mut c = Client::open(sim.addr(), &format!("/stream?streams={}/{none}", names.join("/")));
    sim.advance(5_000).unwrap();
    let said = c.by_stream();
    for (place, name) in places.iter().zip(&names) {
        let frames = said.get(name).unwrap_or_else(|| panic!("{name} is silent: {said:?}"));
        assert!(!frames.is_empty(), "{name}");
        for v in frames {
            assert_eq!((&v["ps"], &v["ct"]), (&"BTCUSD".into(), &place.to_ascii_uppercase().into()), "{v}");
        }
    }
    assert!(!said.contains_key(none), "nothing has that place");
}

#[test]
fn intervals_of_other_venues_are_none_here() {
    let sim = Simulator::start(manual("binance-usdm")).unwrap();
    for (interval, status) in [("1M", 200), ("3M", 400), ("6M", 400), ("7m", 400)] {
        let path = format!("/fapi/v1/klines?symbol=BTCUSDT&interval={interval}");
        assert_eq!(get(sim.addr(), &path).0, status, "{interval}");
    }
    let mut c = Client::open(sim.addr(), "/market/stream?streams=btcusdt@kline_1M/btcusdt@kline_3M");
    sim.advance(3_000).unwrap();
    assert_eq!(c.by_stream().into_keys().collect::<Vec<_>>(), ["btcusdt@kline_1M"]);
}

#[test]
fn partial_books_are_whole_tops() {
    let sim = Simulator::start(manual("binance-spot")).unwrap();
    let mut c = Client::open(sim.addr(), "/ws/btcusdt@depth20@100ms");
    sim.advance(2_000).unwrap();
    let got = c.all();
    assert!(got.len() > 5);
    for t in got {
        let v: Value = serde_json::from_str(&t).unwrap();
        assert_eq!(
            v.as_object().unwrap().keys().cloned().collect::<Vec<_>>(),
            ["asks", "bids", "lastUpdateId"]
        );
        assert_eq!((v["bids"].as_array().unwrap().len(), v["asks"].as_array().unwrap().len()), (20, 20));
    }
}

#[test]
fn a_recording_is_served_with_its_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let p = dir.path().join("r");
    let frame = |n: u32| {
        format!(
            "{{\"stream\":\"btcusdt@depth@0ms\",\"data\":{{\"e\":\"depthUpdate\",\"s\":\"BTCUSDT\",\"U\":{n},\"u\":{n},\"pu\":{},\"b\":[[\"1.5\",\"2\"]],\"a\":[]}}}}",
            n - 1
        )
    };
    let mut text = String::new();
    for n in 1..=5u32 {
        text += &format!("17231612550{n}0000000 {}\n", frame(n));
        if n == 2 {
            text += "1723161255025000000 {\"lastUpdateId\": 2, \"bids\": [], \"asks\": []}\n";
        }
    }
    std::fs::write(&p, text).unwrap();
    let mut cfg = SimConfig { serve: vec![p], speed: 10.0, ..manual("binance-usdm") };
    let log = with_oracle(&mut cfg);
    let sim = Simulator::start(cfg).unwrap();
    let mut c = Client::open(sim.addr(), "/public/stream?streams=btcusdt@depth@0ms");
    sim.advance(10).unwrap();
    assert_eq!(c.all(), (1..=5).map(frame).collect::<Vec<_>>());
    let (_, _, body) = get(sim.addr(), "/fapi/v1/depth?symbol=BTCUSDT&limit=1000");
    assert_eq!(body, "{\"lastUpdateId\": 2, \"bids\": [], \"asks\": []}");
    assert!(sim.is_over());
    sim.stop();
    let sent: Vec<_> =
        lines(&log).into_iter().filter(|l| l.kind == "depth").map(|l| (l.pu, l.last)).collect();
    assert_eq!(sent[4], (Some(4), Some(5)));
}
