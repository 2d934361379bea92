//! The venue's rules seen from outside: control messages, limits, routes, REST.

use serde_json::{Value, json};

use super::tests::{Client, get, manual};
use super::*;

fn start(cfg: SimConfig) -> SimHandle {
    Simulator::start(cfg).unwrap()
}

#[test]
fn control_messages_are_answered_as_documented() {
    let sim = start(manual("aster-futures"));
    let mut c = Client::open(sim.addr(), "/ws");
    let mut ask = |t: &str| c.ask(t);
    assert_eq!(
        ask(r#"{"method":"SUBSCRIBE","params":["btcusdt@aggTrade"],"id":1}"#),
        json!({"result":null,"id":1})
    );
    assert_eq!(
        ask(r#"{"method":"LIST_SUBSCRIPTIONS","id":3}"#),
        json!({"result":["btcusdt@aggTrade"],"id":3})
    );
    assert_eq!(
        ask(r#"{"method":"GET_PROPERTY","params":["combined"],"id":2}"#),
        json!({"result":false,"id":2})
    );
    assert_eq!(
        ask(r#"{"method":"SET_PROPERTY","params":["combined",true],"id":5}"#),
        json!({"result":null,"id":5})
    );
    assert_eq!(
        ask(r#"{"method":"GET_PROPERTY","params":["combined"],"id":6}"#),
        json!({"result":true,"id":6})
    );
    assert_eq!(
        ask(r#"{"method":"UNSUBSCRIBE","params":["btcusdt@aggTrade"],"id":7}"#),
        json!({"result":null,"id":7})
    );
    assert_eq!(ask(r#"{"method":"LIST_SUBSCRIPTIONS","id":8}"#), json!({"result":[],"id":8}));
    for (text, code, msg) in [
        (r#"{"method":"SET_PROPERTY","params":["colour",true],"id":1}"#, 0, "Unknown property"),
        (
            r#"{"method":"SET_PROPERTY","params":["combined",1],"id":1}"#,
            1,
            "Invalid value type: expected Boolean",
        ),
        (
            r#"{"method":"GET_PROPERTY","params":[],"id":1}"#,
            2,
            "Invalid request: property name must be a string",
        ),
        (
            r#"{"method":"GET_PROPERTY","params":["combined",1],"id":1}"#,
            2,
            "Invalid request: too many parameters",
        ),
        (
            r#"{"method":"SUBSCRIBE","params":[],"id":"x"}"#,
            2,
            "Invalid request: request ID must be an unsigned integer",
        ),
        (
            r#"{"method":"SUBSCRIBE","params":[]}"#,
            2,
            "Invalid request: request ID must be an unsigned integer",
        ),
        (
            r#"{"method":"NONE","id":1}"#,
            2,
            "Invalid request: unknown variant `NONE`, expected one of `SUBSCRIBE`",
        ),
        (r#"{"id":1}"#, 2, "Invalid request: missing field `method`"),
        ("{", 3, "Invalid JSON"),
    ] {
        let v = ask(text);
        assert_eq!(v["code"], code, "{text}: {v}");
        assert!(v["msg"].as_str().unwrap().starts_with(msg), "{text}: {v}");
    }
}

#[test]
fn spot_wraps_its_errors_and_takes_words_as_ids() {
    let sim = start(manual("binance-spot"));
    let mut c = Client::open(sim.addr(), "/ws");
    let v = c.ask(r#"{"method":"SUBSCRIBE","params":["not asdfads"],"id":2}"#);
    assert_eq!(v, json!({"error":{"code":2,"msg":"Invalid request: invalid stream"},"id":2}));
    assert_eq!(c.ask(r#"{"method":"LIST_SUBSCRIPTIONS","id":"abc"}"#), json!({"result":[],"id":"abc"}));
}

fn names(n: usize) -> String {
    serde_json::to_string(&(0..n).map(|i| format!("x{i}@trade")).collect::<Vec<_>>()).unwrap()
}

#[test]
fn one_stream_too_many_ends_the_connection() {
    let sim = start(manual("aster-futures"));
    let mut c = Client::open(sim.addr(), "/ws");
    let sub = |n: usize, id| format!("{{\"method\":\"SUBSCRIBE\",\"params\":{},\"id\":{id}}}", names(n));
    assert_eq!(c.ask(&sub(100, 1))["id"], 1);
    let list: Vec<String> = (100..200).map(|i| format!("x{i}@trade")).collect();
    let more = |l: &[String]| {
        format!("{{\"method\":\"SUBSCRIBE\",\"params\":{},\"id\":9}}", serde_json::to_string(l).unwrap())
    };
    assert_eq!(c.ask(&more(&list))["id"], 9);
    c.send(&more(&["y@trade".to_owned()]));
    assert_eq!(c.close_code(), 3003);
    let mut c = Client::open(sim.addr(), "/ws");
    c.send(&sub(121, 1));
    assert_eq!(c.close_code(), 3001);
    let sim = start(manual("binance-usdm"));
    let mut c = Client::open(sim.addr(), "/public/ws");
    assert_eq!(c.ask(&sub(1024, 1)), json!({"result":null,"id":1}));
    let v = c.ask(&more(&["y@trade".to_owned()]));
    assert_eq!((&v["code"], &v["msg"]), (&json!(4), &json!("Too many subscriptions")));
    assert_eq!(c.close_code(), 1008);
}

#[test]
fn one_message_too_many_ends_the_connection() {
    for (venue, limit) in [("aster-futures", 10), ("binance-spot", 5)] {
        let sim = start(SimConfig { client_messages_per_s: None, ..manual(venue) });
        let mut c = Client::open(sim.addr(), "/ws");
        for id in 0..limit {
            let v = c.ask(&format!("{{\"method\":\"LIST_SUBSCRIPTIONS\",\"id\":{id}}}"));
            assert_eq!(v["id"], id);
        }
        sim.advance(1_001).unwrap();
        for id in 0..=limit {
            c.send(&format!("{{\"method\":\"LIST_SUBSCRIPTIONS\",\"id\":{id}}}"));
        }
        assert_eq!(c.close_code(), 1008, "{venue}");
    }
}

#[test]
fn the_wrong_route_is_acknowledged_and_silent() {
    let sim = start(manual("binance-usdm"));
    let streams = "streams=btcusdt@bookTicker/btcusdt@markPrice@1s/btcusdt@trade/btcusdt@aggTrade";
    let heard = |path: &str| {
        let mut c = Client::open(sim.addr(), &format!("{path}?{streams}"));
        sim.advance(1_500).unwrap();
        c.by_stream().into_keys().collect::<Vec<_>>()
    };
    assert_eq!(heard("/public/stream"), ["btcusdt@bookTicker", "btcusdt@trade"]);
    assert_eq!(heard("/stream"), ["btcusdt@bookTicker", "btcusdt@trade"]);
    assert_eq!(heard("/market/stream"), ["btcusdt@aggTrade", "btcusdt@markPrice@1s"]);
    assert!(Client::try_open(sim.addr(), "/private/other").is_err());
}

/// USD-M counts funding rates by themselves: 500 in five minutes, whatever the weight of the minute.
#[test]
fn answers_of_an_allowance_of_their_own_are_counted_apart() {
    let sim = start(manual("binance-usdm"));
    let rate = || get(sim.addr(), "/fapi/v1/fundingRate?limit=1&symbol=BTCUSDT");
    assert!((0..499).all(|_| rate().0 == 200));
    assert_eq!(get(sim.addr(), "/fapi/v1/fundingInfo").0, 200);
    sim.advance(60_000).unwrap();
    let (s, head, body) = rate();
    assert!(s == 429 && body.contains("-1003"), "{head}");
    assert_eq!(get(sim.addr(), "/fapi/v1/fundingInfo").0, 429);
    assert_eq!(get(sim.addr(), "/fapi/v1/time").0, 200);
    sim.advance(240_000).unwrap();
    assert_eq!(rate().0, 200);
}

/// What is delivered is held to its price by that day alone.
#[test]
fn contracts_that_are_delivered_pay_no_funding() {
    let symbols = ["BTCUSD_PERP", "BTCUSD_270326"].map(str::to_owned).to_vec();
    let symbols = crate::simulator::Symbols::List(symbols);
    let sim = start(SimConfig { symbols, ..manual("binance-coinm") });
    let rates = |q: &str| get(sim.addr(), &format!("/dapi/v1/fundingRate?symbol={q}"));
    assert_eq!(rates("BTCUSD_270326").2, "[]");
    let paid: Value = serde_json::from_str(&rates("BTCUSD_PERP").2).unwrap();
    assert!(!paid.as_array().unwrap().is_empty());
}

#[test]
fn snapshots_obey_limits_and_weights() {
    let sim = start(SimConfig { weight_per_minute: Some(60), ..manual("aster-futures") });
    let depth = |q: &str| get(sim.addr(), &format!("/fapi/v3/depth?{q}"));
    let (s, head, body) = depth("symbol=BTCUSDT&limit=1000");
    assert!(s == 200 && head.contains("x-mbx-used-weight-1m: 20\r\n"), "{head}");
    let v: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((v["bids"].as_array().unwrap().len(), v["asks"].as_array().unwrap().len()), (1000, 1000));
    let v: Value = serde_json::from_str(&depth("symbol=BTCUSDT&limit=5").2).unwrap();
    assert_eq!(v["bids"].as_array().unwrap().len(), 5);
    assert_eq!(
        depth("symbol=BTCUSDT&limit=7").2,
        r#"{"code":-1130,"msg":"Data sent for parameter 'limit' is not valid."}"#
    );
    assert_eq!((depth("limit=5").0, depth("symbol=NOPE&limit=5").0), (400, 400));
    assert_eq!(depth("symbol=BTCUSDT&limit=1000").0, 200);
    let (s, head, body) = depth("symbol=BTCUSDT&limit=1000");
    assert!(s == 429 && body.contains("-1003") && !head.contains("retry-after"), "{head}");
    sim.advance(60_000).unwrap();
    assert_eq!(depth("symbol=BTCUSDT&limit=1000").0, 200);
    let sim = start(SimConfig { weight_per_minute: Some(300), ..manual("binance-spot") });
    let (s, head, body) = get(sim.addr(), "/api/v3/depth?symbol=BTCUSDT&limit=99999");
    assert!(s == 200 && head.contains("x-mbx-used-weight-1m: 250"), "{head}");
    let v: Value = serde_json::from_str(&body).unwrap();
    assert!(v.get("E").is_none() && v["lastUpdateId"].is_i64());
    let (s, head, _) = get(sim.addr(), "/api/v3/depth?symbol=BTCUSDT&limit=5000");
    assert!(s == 429 && head.contains("retry-after: "), "{head}");
    for _ in 0..21 {
        get(sim.addr(), "/api/v3/ping");
    }
    assert_eq!(get(sim.addr(), "/api/v3/ping").0, 418);
}

#[test]
fn the_instrument_list_is_read_by_the_recorders_own_reader() {
    for v in crate::venue::all() {
        let Some(d) = v.dialect() else { continue };
        let sim = start(SimConfig { symbols: Symbols::Count(30), ..manual(d.venue) });
        let (s, _, body) = get(sim.addr(), &v.instruments_request().path);
        assert_eq!(s, 200);
        let list = v.parse_instruments(body.as_bytes()).unwrap();
        assert_eq!((list.instruments.len(), list.faulty), (30, 0), "{}", d.venue);
        // COIN-M's list prints a number that its reader must not believe.
        assert!([0, d.weight_per_minute].contains(&list.weight_per_minute), "{}", d.venue);
        // All are traded: the venue has one word for that.
        let word = &list.instruments[0].status;
        assert!(!word.is_empty(), "{}", d.venue);
        assert!(list.instruments.iter().all(|i| i.status == *word && !i.tick_size.is_none()), "{}", d.venue);
        let (_, _, body) = get(sim.addr(), &v.time_request(1_790_000_000_000).path);
        assert_eq!(v.parse_time(body.as_bytes()).unwrap(), 1_790_000_000_000_000_000);
        let symbol = &list.instruments[0].symbol;
        assert_eq!(get(sim.addr(), &v.snapshot_request(symbol).path).0, 200);
    }
}

#[test]
fn small_answers_are_there() {
    let sim = start(manual("binance-usdm"));
    Client::open(sim.addr(), "/public/ws/btcusdt@trade");
    sim.advance(3_000).unwrap();
    for (path, key) in [
        ("ping", ""),
        ("time", "serverTime"),
        ("trades?symbol=BTCUSDT&limit=10", "id"),
        ("aggTrades?symbol=BTCUSDT&limit=10", "a"),
        ("premiumIndex?symbol=BTCUSDT", "markPrice"),
        ("premiumIndex", "markPrice"),
        ("ticker/bookTicker", "bidPrice"),
        ("ticker/price?symbol=BTCUSDT", "price"),
        ("openInterest?symbol=BTCUSDT", "openInterest"),
    ] {
        let (s, _, body) = get(sim.addr(), &format!("/fapi/v1/{path}"));
        let v: Value = serde_json::from_str(&body).unwrap();
        let one = v.get(0).unwrap_or(&v);
        assert!(s == 200 && (key.is_empty() || one.get(key).is_some()), "{path}: {body}");
    }
    assert_eq!(get(sim.addr(), "/fapi/v1/nothing").0, 404);
    assert_eq!(get(sim.addr(), "/nothing").0, 404);
    assert_eq!(get(sim.addr(), &format!("/fapi/v1/ping?x={}", "y".repeat(9000))).0, 414);
}

#[test]
fn pings_deadlines_and_age_end_a_silent_client() {
    let cfg =
        SimConfig { ping_every_ms: Some(1_000), pong_within_ms: Some(3_000), ..manual("aster-futures") };
    let sim = start(cfg.clone());
    let mut c = Client::open(sim.addr(), "/ws/xyz@trade");
    sim.advance(1_100).unwrap();
    // Reading answers the ping.
    assert!(c.all().is_empty());
    sim.advance(2_500).unwrap();
    assert!(c.all().is_empty());
    sim.advance(5_000).unwrap();
    assert_eq!(c.close_code(), 1008);
    let sim = start(SimConfig { age_max_ms: Some(2_000), ..cfg });
    let mut c = Client::open(sim.addr(), "/ws/xyz@trade");
    sim.advance(2_100).unwrap();
    assert_eq!(c.close_code(), 1001);
}

#[test]
fn tls_is_proven_by_the_made_up_authority_and_plain_stays_at_home() {
    let dir = tempfile::tempdir().unwrap();
    let ca_path = dir.path().join("ca.pem");
    let sim = start(SimConfig {
        tls: Some(TlsConfig { ca_path: Some(ca_path.clone()), names: vec![] }),
        ..manual("aster-futures")
    });
    assert_eq!(std::fs::read_to_string(ca_path).unwrap(), sim.ca_pem().unwrap());
    assert!(sim.ws_base().starts_with("wss://127.0.0.1:"));
    let body = tls_get(&sim, "/fapi/v3/time");
    assert!(body.contains("serverTime"), "{body}");
    let open = SimConfig { listen: ([0, 0, 0, 0], 0).into(), ..manual("aster-futures") };
    let e = Simulator::start(open).unwrap_err().to_string();
    assert!(e.contains("not a loopback address") && e.contains("--tls"), "{e}");
    let e = Simulator::start(manual("nowhere")).unwrap_err().to_string();
    assert!(e.contains("aster-futures, binance-spot"), "{e}");
}

fn tls_get(sim: &SimHandle, target: &str) -> String {
    use std::io::{Read, Write};
    use std::sync::Arc;

    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(sim.ca_pem().unwrap().as_bytes()).unwrap()).unwrap();
    let cfg = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "127.0.0.1".try_into().unwrap();
    let conn = rustls::ClientConnection::new(Arc::new(cfg), name).unwrap();
    let tcp = std::net::TcpStream::connect(sim.addr()).unwrap();
    let mut s = rustls::StreamOwned::new(conn, tcp);
    write!(s, "GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut out = String::new();
    s.read_to_string(&mut out).unwrap();
    out
}
