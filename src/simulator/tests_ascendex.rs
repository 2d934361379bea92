//! AscendEX's speech, seen from outside and read by the recorder's own reader.

use serde_json::Value;

use super::tests::{Client, get, lines, manual, with_oracle};
use super::*;
use crate::model::{Event, Notice};
use crate::venue::testing::MemoryCtx;
use crate::venue::{Scratch, by_id};

fn spot() -> SimConfig {
    SimConfig { symbols: Symbols::Count(3), ..manual("ascendex-spot") }
}

fn open(sim: &SimHandle, path: &str) -> Client {
    let mut c = Client::open(sim.addr(), path);
    assert_eq!(c.text(), r#"{"m":"connected","type":"unauth"}"#);
    c
}

/// All messages up to now: a ping is answered behind everything queued before it.
fn all(c: &mut Client) -> Vec<Value> {
    c.send(r#"{"op":"ping"}"#);
    let mut out = Vec::new();
    loop {
        let v: Value = serde_json::from_str(&c.text()).unwrap();
        if v["m"] == "pong" {
            return out;
        }
        out.push(v);
    }
}

fn of<'v>(got: &'v [Value], m: &str, symbol: &str) -> Vec<&'v Value> {
    got.iter().filter(|v| v["m"] == m && v["symbol"] == symbol).collect()
}

fn seqnums(frames: &[&Value]) -> Vec<i64> {
    frames.iter().map(|v| v["data"]["seqnum"].as_i64().unwrap()).collect()
}

const PATH: &str = "/1/api/pro/v1/stream";

#[test]
fn diffs_are_counted_and_a_snapshot_is_the_last_of_them() {
    let sim = Simulator::start(spot()).unwrap();
    let mut c = open(&sim, PATH);
    c.send(r#"{"op":"sub","id":"a","ch":"depth:BTC/USDT,ETH/USDT"}"#);
    c.send(r#"{"op":"sub","ch":"depth:NO/PE,btc/usdt"}"#);
    c.send(r#"{"op":"req","id":"r","action":"depth-snapshot","args":{"symbol":"BTC/USDT"}}"#);
    c.send(r#"{"op":"req","id":"s","action":"depth-snapshot","args":{"symbol":"NO/PE"}}"#);
    assert!(all(&mut c).is_empty());
    sim.advance(5_000).unwrap();
    let got = all(&mut c);
    let acks: Vec<&Value> = got.iter().filter(|v| v["m"] == "sub").collect();
    let code = |ch: &str| acks.iter().find(|v| v["ch"] == ch).map(|v| v["code"].as_i64().unwrap());
    assert_eq!(code("depth:BTC/USDT"), Some(0));
    assert_eq!(code("depth:NO/PE"), Some(100_008));
    assert_eq!(code("depth:btc/usdt"), Some(100_008), "symbols are taken as they are listed");
    assert_eq!(acks.iter().filter(|v| v["id"] == "a").count(), 2);
    let diffs = of(&got, "depth", "BTC/USDT");
    let ids = seqnums(&diffs);
    assert!(ids.len() >= 12 && ids.windows(2).all(|w| w[1] == w[0] + 1), "{ids:?}");
    let at = got.iter().position(|v| v["m"] == "depth-snapshot").unwrap();
    let snapshot = &got[at];
    let before = seqnums(&of(&got[..at], "depth", "BTC/USDT"));
    assert_eq!(before.last().copied(), snapshot["data"]["seqnum"].as_i64());
    assert!(snapshot.get("id").is_none());
    let error = got.iter().find(|v| v["m"] == "error").unwrap();
    assert_eq!((error["id"].as_str(), error["code"].as_i64()), (Some("s"), Some(100_008)));
    c.send(r#"{"op":"unsub","ch":"depth:BTC/USDT"}"#);
    let _ = all(&mut c);
    sim.advance(1_000).unwrap();
    let got = all(&mut c);
    assert!(of(&got, "depth", "BTC/USDT").is_empty() && !of(&got, "depth", "ETH/USDT").is_empty());
    assert!(got.iter().any(|v| v["m"] == "unsub"));
}

#[test]
fn the_first_topics_may_be_refused_with_a_code_of_the_table() {
    let fault = |text: &str| super::FaultSpec::parse(text).unwrap();
    let faults = vec![fault("refuse-subscribe:frames=2,code=100009")];
    let sim = Simulator::start(SimConfig { faults, ..spot() }).unwrap();
    let mut c = open(&sim, PATH);
    c.send(r#"{"op":"sub","id":"a","ch":"depth-realtime:BTC/USDT,ETH/USDT"}"#);
    c.send(r#"{"op":"sub","id":"b","ch":"depth:BTC/USDT"}"#);
    let _ = all(&mut c);
    sim.advance(2_000).unwrap();
    let got = all(&mut c);
    let code = |ch: &str| {
        let ack = got.iter().find(|v| v["m"] == "sub" && v["ch"] == ch)?;
        Some((ack["code"].as_i64()?, ack["reason"].as_str().unwrap_or("").to_owned()))
    };
    for ch in ["depth-realtime:BTC/USDT", "depth-realtime:ETH/USDT"] {
        assert_eq!(code(ch), Some((100_009, "AUTHORIZATION_NEEDED".to_owned())), "{got:?}");
    }
    assert_eq!(code("depth:BTC/USDT"), Some((0, String::new())));
    assert!(!of(&got, "depth", "BTC/USDT").is_empty());
    assert!(super::FaultSpec::parse("cut:how=close,code=100009").is_err(), "no close code");
}

#[test]
fn one_acknowledgement_for_all_is_a_variant() {
    let cfg = SimConfig { variant: Some("combined-ack".to_owned()), ..spot() };
    let sim = Simulator::start(cfg).unwrap();
    let mut c = open(&sim, PATH);
    c.send(r#"{"op":"sub","id":"a","ch":"trades:BTC/USDT,ETH/USDT"}"#);
    let _ = all(&mut c);
    sim.advance(300).unwrap();
    let got = all(&mut c);
    let acks: Vec<&Value> = got.iter().filter(|v| v["m"] == "sub").collect();
    assert_eq!(acks.len(), 1);
    assert_eq!(acks[0]["ch"], "trades:BTC/USDT,ETH/USDT");
}

/// Every kind of frame is read by the recorder's reader, and says something.
#[test]
fn the_recorders_reader_reads_every_kind_of_frame() {
    for (id, path) in [("ascendex-spot", PATH), ("ascendex-futures", "/api/pro/v2/stream")] {
        let venue = by_id(id).unwrap().1;
        let mut cfg = SimConfig { symbols: Symbols::Count(2), ..manual(id) };
        let log = with_oracle(&mut cfg);
        let sim = Simulator::start(cfg).unwrap();
        let symbols = lines(&log)[0].symbols.clone();
        let mut channels = vec!["depth", "depth-realtime", "trades", "bbo", "bar:1", "bar:1m"];
        if id == "ascendex-futures" {
            channels.push("futures-pricing-data");
        }
        let streams: Vec<_> = channels.iter().map(|c| venue.stream(c, Some(&symbols[0])).unwrap()).collect();
        let mut c = open(&sim, path);
        let mut ctx_names = Vec::new();
        for s in &streams {
            c.send(&format!("{{\"op\":\"sub\",\"ch\":\"{}\"}}", s.name));
            ctx_names.push(s.name.clone());
        }
        c.send(&venue.snapshot_message(&streams[0]).unwrap());
        c.send(&venue.snapshot_message(&streams[1]).unwrap());
        let _ = all(&mut c);
        sim.advance(8_000).unwrap();
        c.send(r#"{"op":"ping"}"#);
        let mut kinds = std::collections::BTreeMap::new();
        let mut alive = false;
        while !alive {
            let text = c.text();
            let mut ctx = MemoryCtx::new(|e: Event<'_>| {
                alive |= matches!(e, Event::Notice(Notice::Alive));
                let word = format!("{e:?}").split(['(', ' ']).next().unwrap().to_owned();
                *kinds.entry(word).or_insert(0) += 1;
            });
            for n in &ctx_names {
                assert!(ctx.subscribe(venue, n));
            }
            venue
                .decode(&mut Scratch::default(), text.as_bytes(), None, &mut ctx)
                .unwrap_or_else(|e| panic!("{e}: {text}"));
        }
        assert_eq!(kinds.get("Other"), None, "{kinds:?}");
        let mut wanted = vec!["Depth", "Snapshot", "Trade", "Bbo", "Kline", "Reply"];
        if id == "ascendex-futures" {
            wanted.extend(["Mark", "OpenInterest"]);
        }
        for k in wanted {
            assert!(kinds.contains_key(k), "{id}: {k} is missing: {kinds:?}");
        }
        assert_eq!(kinds["Snapshot"], 2);
    }
}

#[test]
fn who_answers_no_ping_is_told_and_thrown_out() {
    let sim = Simulator::start(spot()).unwrap();
    let mut c = open(&sim, PATH);
    sim.advance(15_100).unwrap();
    assert_eq!(c.text(), r#"{"m":"ping","hp":3}"#);
    c.send(r#"{"op":"pong"}"#);
    let _ = all(&mut c);
    // A ping of ours holds the venue's back for 30 s.
    sim.advance(29_000).unwrap();
    assert!(all(&mut c).is_empty());
    sim.advance(70_000).unwrap();
    let mut said = Vec::new();
    loop {
        let v: Value = serde_json::from_str(&c.text()).unwrap();
        said.push(v["m"].as_str().unwrap().to_owned());
        if v["m"] == "disconnected" {
            break;
        }
    }
    assert!(said.iter().filter(|m| *m == "ping").count() >= 2, "{said:?}");
    assert_ne!(c.close_code(), 0);
}

/// Two pings without an answer are too many, however often they come.
#[test]
fn the_deadline_of_a_pong_is_two_pings() {
    let ends = |ping_every_ms: Option<u64>, pong_within_ms: Option<u64>| {
        let sim = Simulator::start(SimConfig { ping_every_ms, pong_within_ms, ..spot() }).unwrap();
        let mut c = open(&sim, PATH);
        let mut pings = 0;
        // So far a ping is due, and the deadline is not over.
        sim.advance(ping_every_ms.unwrap_or(15_000) * 3 - 500).unwrap();
        sim.advance(1_000).unwrap();
        loop {
            let v: Value = serde_json::from_str(&c.text()).unwrap();
            match v["m"].as_str() {
                Some("ping") => pings += 1,
                Some("disconnected") => return (pings, c.close_code()),
                _ => panic!("{v}"),
            }
        }
    };
    assert_eq!(ends(None, None), (2, 1008));
    assert_eq!(ends(Some(2_000), None), (2, 1008));
    assert_eq!(ends(Some(2_000), Some(1_000)), (1, 1008), "as it was told to");
}

#[test]
fn snapshots_may_be_late_old_cut_or_refused() {
    let faults = |kind: FaultKind| FaultSpec { for_ms: 1_000, ..FaultSpec::new(kind) };
    let ask = r#"{"op":"req","id":"r","action":"depth-snapshot","args":{"symbol":"BTC/USDT"}}"#;
    let run = |kind: FaultKind| {
        let mut cfg = spot();
        cfg.faults = vec![faults(kind)];
        let sim = Simulator::start(cfg).unwrap();
        let mut c = open(&sim, PATH);
        c.send(r#"{"op":"sub","ch":"depth:BTC/USDT"}"#);
        let _ = all(&mut c);
        sim.advance(2_000).unwrap();
        let _ = all(&mut c);
        c.send(ask);
        c.send(r#"{"op":"pong"}"#);
        let _ = all(&mut c);
        sim.advance(2_500).unwrap();
        c.send(r#"{"op":"ping"}"#);
        let mut out = Vec::new();
        loop {
            let t = c.text();
            if t.contains("\"pong\"") {
                return out;
            }
            out.push(t);
        }
    };
    let parsed =
        |out: &[String]| -> Vec<Value> { out.iter().map(|t| serde_json::from_str(t).unwrap()).collect() };
    let got = parsed(&run(FaultKind::LateSnapshot));
    let at = got.iter().position(|v| v["m"] == "depth-snapshot").unwrap();
    let ahead = seqnums(&of(&got[..at], "depth", "BTC/USDT"));
    assert!(*ahead.last().unwrap() > got[at]["data"]["seqnum"].as_i64().unwrap(), "diffs overtook it");
    let got = parsed(&run(FaultKind::StaleSnapshot));
    let at = got.iter().position(|v| v["m"] == "depth-snapshot").unwrap();
    assert!(got[at]["data"]["seqnum"].as_i64().unwrap() + 5 < seqnums(&of(&got, "depth", "BTC/USDT"))[0]);
    let got = parsed(&run(FaultKind::RefuseSnapshot));
    assert!(got.iter().any(|v| v["m"] == "error" && v["id"] == "r"));
    let cut = run(FaultKind::TruncatedJson);
    assert!(
        cut.iter()
            .any(|t| t.starts_with("{\"m\":\"depth-snapshot\"") && serde_json::from_str::<Value>(t).is_err())
    );
}

#[test]
fn too_many_messages_are_ignored_and_banned_addresses_not_let_in() {
    let sim = Simulator::start(spot()).unwrap();
    let mut c = open(&sim, PATH);
    for _ in 0..160 {
        c.send(r#"{"op":"sub","ch":"depth:NO/PE"}"#);
    }
    let _ = all(&mut c);
    sim.advance(1_000).unwrap();
    assert_eq!(all(&mut c).iter().filter(|v| v["m"] == "sub").count(), 150);
    for bad in ["{", "5", r#"{"op":"nonsense"}"#, r#"{"op":"req","action":"x"}"#] {
        c.send(bad);
    }
    let _ = all(&mut c);
    sim.advance(1_000).unwrap();
    let _ = all(&mut c);
    sim.inject(FaultSpec { for_ms: 60_000, ..FaultSpec::new(FaultKind::Http429) }).unwrap();
    sim.advance(10).unwrap();
    assert!(Client::try_open(sim.addr(), PATH).is_err_and(|e| e.contains("429")));
    assert!(Client::try_open(sim.addr(), "/stream?streams=x").is_err());
}

#[test]
fn rest_answers_in_its_envelope() {
    let sim = Simulator::start(spot()).unwrap();
    let json = |path: &str| -> Value { serde_json::from_str(&get(sim.addr(), path).2).unwrap() };
    let clock = json("/api/pro/v1/exchange-info?requestTime=1789999999960");
    assert_eq!(clock["data"]["requestReceiveAt"], 1_790_000_000_000_i64);
    assert_eq!(
        (&clock["data"]["requestTimeEcho"], &clock["data"]["latency"]),
        (&1_789_999_999_960_i64.into(), &40.into())
    );
    for missing in ["", "?requestTime=", "?requestTime=0", "?requestTime=now"] {
        assert_eq!(json(&format!("/api/pro/v1/exchange-info{missing}"))["code"], 100_001, "{missing}");
    }
    assert_eq!(json("/api/pro/v1/depth?symbol=BTC%2FUSDT")["data"]["m"], "depth-snapshot");
    assert_eq!(json("/api/pro/v1/depth?symbol=NO%2FPE")["code"], 100_008);
    sim.advance(3_000).unwrap();
    let trades = json("/api/pro/v1/trades?symbol=BTC%2FUSDT");
    assert!(trades["data"]["data"].as_array().is_some_and(|t| !t.is_empty()), "{trades}");
    assert_eq!(get(sim.addr(), "/api/pro/v2/futures/contract").0, 404);
}
