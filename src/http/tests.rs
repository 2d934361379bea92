use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use super::*;
use crate::metrics::{BookMetrics, BookState, HopSummary, State, StreamMetrics};
use crate::model::GapCause;
use crate::model::time::NS_PER_S;

fn shared() -> Arc<Shared> {
    let s = Arc::new(Shared::new("run-1", "data"));
    let lane = s.add_lane(1);
    let stream = lane.add_stream(StreamMetrics {
        venue: "aster-futures".to_owned(),
        symbol: "A\"B\\C\nD".to_owned(),
        channel: "depth@100ms".to_owned(),
        name: "a@depth@100ms".to_owned(),
        ..StreamMetrics::default()
    });
    for pair in ["btcusdt", "ethusdt"] {
        // No instrument of the venue's list, so no symbol.
        lane.add_stream(StreamMetrics {
            venue: "binance-usdm".to_owned(),
            channel: "continuousKline_1m".to_owned(),
            name: format!("{pair}_perpetual@continuousKline_1m"),
            ..StreamMetrics::default()
        });
    }
    lane.set_others(9, vec![("continuous_kline".to_owned(), 5), ("odd\"".to_owned(), 3)]);
    stream.frames.add(42);
    let parser = lane.add_parser("aster-futures");
    parser.quick.add(40);
    parser.fallback.add(2);
    stream.last_recv.set(99 * NS_PER_S);
    lane.count_gap(GapCause::VenueSeqGap);
    lane.reader.rx.set(7, 99 * NS_PER_S);
    lane.set_hops(vec![HopSummary {
        hop: "kernel_read",
        count: 1,
        p50: 1000,
        p99: 2000,
        p999: 3000,
        max: 4000,
    }]);
    let book = lane.add_book(BookMetrics::new("aster-futures", "BTCUSDT"));
    book.set_state(BookState::Synced);
    book.levels.set(2000);
    s.add_venue("aster-futures").weight_used.set(20);
    s.tick(100 * NS_PER_S);
    s
}

fn started() -> (Server, Arc<Shared>) {
    let shared = shared();
    let server = Server::start("127.0.0.1:0".parse().unwrap(), Arc::clone(&shared), Vec::new()).unwrap();
    (server, shared)
}

/// Sends bytes as they are, reads until the server closes.
fn raw(server: &Server, request: &str) -> String {
    let mut s = TcpStream::connect(server.addr()).unwrap();
    s.write_all(request.as_bytes()).unwrap();
    let mut out = Vec::new();
    s.read_to_end(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn get(server: &Server, path: &str) -> (u16, String) {
    let host = server.addr();
    let text = raw(server, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
    (status_of(&text), text.split_once("\r\n\r\n").unwrap().1.to_owned())
}

fn status_of(text: &str) -> u16 {
    text.split(' ').nth(1).unwrap_or_default().parse().unwrap_or(0)
}

#[test]
fn health_follows_the_state_and_says_why() {
    let (server, shared) = started();
    assert_eq!(get(&server, "/livez"), (200, "ok\n".to_owned()));
    assert_eq!(get(&server, "/readyz"), (503, "state Starting\n".to_owned()));
    shared.set_state(State::Running);
    assert_eq!(get(&server, "/readyz"), (200, "ok\n".to_owned()));
    shared.tick(200 * NS_PER_S);
    let (code, why) = get(&server, "/readyz");
    assert!(code == 503 && why.contains("heard nothing for 101 s"), "{code} {why}");
    server.stop();
}

#[test]
fn status_is_json() {
    let (server, _) = started();
    let (code, body) = get(&server, "/status");
    assert_eq!(code, 200);
    let v: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(v["run_id"], "run-1");
    assert_eq!(v["state"], "starting");
    assert_eq!(v["books_synced"], 1);
    assert_eq!(v["lanes"][0]["marks"]["rx"], 7);
    assert_eq!(v["lanes"][0]["marks"]["pub"], -1);
    assert_eq!(v["lanes"][0]["gaps"]["venue_seq_gap"], 1);
    assert_eq!(v["streams"][0]["symbol"], "A\"B\\C\nD");
    assert_eq!(v["lanes"][0]["others"]["continuous_kline"], 5);
    assert_eq!(v["books"][0]["levels"], 2000);
    assert_eq!(
        (&v["venues"][0]["frames_quick"], &v["venues"][0]["frames_fallback"]),
        (&40.into(), &2.into())
    );
}

#[test]
fn metrics_have_the_names_that_are_promised_and_escaped_labels() {
    let (server, _) = started();
    let (code, text) = get(&server, "/metrics");
    assert_eq!(code, 200);
    for line in [
        "lobtape_frames_read_total{venue=\"aster-futures\",lane=\"1\",path=\"fallback\"} 2",
        "lobtape_frames_total{venue=\"aster-futures\",symbol=\"A\\\"B\\\\C\\nD\",channel=\"depth@100ms\",stream=\"a@depth@100ms\",lane=\"1\",leg=\"0\"} 42",
        "lobtape_gaps_total{lane=\"1\",cause=\"venue_seq_gap\"} 1",
        "lobtape_gaps_total{lane=\"1\",cause=\"power_loss\"} 0",
        "lobtape_book_state{venue=\"aster-futures\",symbol=\"BTCUSDT\"} 2.0",
        "lobtape_books{state=\"synced\"} 1.0",
        "lobtape_book_levels{venue=\"aster-futures\",symbol=\"BTCUSDT\"} 2000.0",
        "lobtape_events_without_table_total{lane=\"1\",name=\"continuous_kline\"} 5",
        "lobtape_events_without_table_total{lane=\"1\",name=\"odd\\\"\"} 3",
        "lobtape_events_without_table_total{lane=\"1\",name=\"(more names)\"} 1",
        "lobtape_watermark{lane=\"1\",mark=\"rx\"} 7.0",
        "lobtape_rest_weight_used{venue=\"aster-futures\"} 20.0",
        "# EOF",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\nin\n{text}");
    }
    let latency = "lobtape_stage_latency_seconds{lane=\"1\",stage=\"kernel_read\",quantile=\"0.99\"} ";
    assert!(text.lines().any(|l| l.starts_with(latency) && l.contains("2")), "{text}");
    let series: Vec<&str> = text.lines().filter_map(|l| Some(l.rsplit_once(' ')?.0)).collect();
    let distinct: std::collections::BTreeSet<&&str> = series.iter().collect();
    assert_eq!(distinct.len(), series.len(), "a series stands twice: such a page is refused\n{text}");
    for l in text.lines().filter(|l| !l.starts_with('#')) {
        assert!(
            l.starts_with("lobtape_") && l.rsplit_once(' ').is_some_and(|(_, v)| v.parse::<f64>().is_ok()),
            "{l}"
        );
    }
}

#[test]
fn other_questions_are_turned_away() {
    let (server, _) = started();
    let close = "Connection: close\r\n\r\n";
    let ask = |head: &str| status_of(&raw(&server, &format!("{head}{close}")));
    assert_eq!(ask("GET /status HTTP/1.1\r\nHost: evil.com\r\n"), 421);
    assert_eq!(ask("GET /status HTTP/1.1\r\n"), 421);
    assert_eq!(ask("GET /status HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n"), 403);
    assert_eq!(ask("POST /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n"), 405);
    assert_eq!(ask("DELETE /livez HTTP/1.1\r\nHost: localhost\r\n"), 405);
    assert_eq!(ask("GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n"), 404);
    assert_eq!(ask("GET /%2e%2e/status HTTP/1.1\r\nHost: localhost\r\n"), 404);
    assert_eq!(ask(&format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n", "a".repeat(5000))), 414);
    assert_eq!(ask("GET /livez HTTP/1.1\r\nHost: localhost\r\n"), 200);
    let many: String = (0..200).map(|i| format!("X-{i}: y\r\n")).collect();
    assert_eq!(ask(&format!("GET /livez HTTP/1.1\r\nHost: localhost\r\n{many}")), 431);
    assert_eq!(status_of(&raw(&server, "\u{0}\u{1} nonsense\r\n\r\n")), 400);
    let head = raw(&server, &format!("HEAD /livez HTTP/1.1\r\nHost: localhost\r\n{close}"));
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(head.contains("x-content-type-options: nosniff"), "{head}");
}

#[test]
fn idle_sockets_do_not_keep_others_out() {
    let (server, _) = started();
    let idle: Vec<TcpStream> = (0..16).map(|_| TcpStream::connect(server.addr()).unwrap()).collect();
    assert_eq!(get(&server, "/livez").0, 200);
    drop(idle);
}

#[test]
fn an_address_in_use_or_open_to_others_is_refused() {
    let (server, shared) = started();
    let e = Server::start(server.addr(), Arc::clone(&shared), Vec::new()).unwrap_err();
    assert!(matches!(&e, HttpError::Bind { .. }), "{e}");
    assert!(e.to_string().contains(&server.addr().to_string()), "{e}");
    let e = Server::start("0.0.0.0:0".parse().unwrap(), shared, Vec::new()).unwrap_err();
    assert!(matches!(e, HttpError::NotLoopback { .. }));
}

#[test]
fn stopping_frees_the_address() {
    let (server, shared) = started();
    let addr = server.addr();
    // A socket left open by a client does not hold the server up.
    let _open = TcpStream::connect(addr).unwrap();
    server.stop();
    Server::start(addr, shared, Vec::new()).unwrap().stop();
}

/// A ring with a lane's names, and the server over it.
fn with_events() -> (Server, crate::bus::event::EventProducer) {
    let shared = Arc::new(Shared::new("run-1", "data"));
    let lane = shared.add_lane(3);
    for name in ["v:A", "v:B"] {
        lane.add_instrument(name.to_owned());
    }
    let (producer, ring) = crate::bus::event::ring(8);
    (Server::start("127.0.0.1:0".parse().unwrap(), shared, vec![(3, ring)]).unwrap(), producer)
}

fn told(n: i64, instrument: u32) -> crate::bus::event::LiveEvent {
    crate::bus::event::LiveEvent {
        kind: crate::bus::event::LiveKind::Top,
        flags: 0,
        price_exp: 2,
        size_exp: 0,
        instrument,
        ts_event: 5,
        ts_recv: n,
        a: 100 + n,
        b: 7,
        c: 0,
        d: 0,
    }
}

fn events(server: &Server, query: &str) -> serde_json::Value {
    let (status, text) = get(server, &format!("/events{query}"));
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn events_go_on_where_the_last_answer_ended_and_holes_are_told() {
    let (server, mut ring) = with_events();
    assert_eq!(events(&server, ""), serde_json::json!({"next": "3:0", "missed": 0, "events": []}));
    (0..6).for_each(|n| ring.push(&told(n, n as u32 % 2)));
    let first = events(&server, "?max=2");
    assert_eq!(first["next"], "3:6");
    let a = serde_json::json!({
        "kind": "top", "instrument": "v:A", "ts_recv": 4, "ts_event": 5, "flags": 0, "bid": ["1.04", "7"]});
    assert_eq!(first["events"][0], a);
    assert_eq!(first["events"].as_array().unwrap().len(), 2);
    let of_b = events(&server, "?instrument=v:B&max=2");
    assert_eq!(
        of_b["events"].as_array().unwrap().iter().map(|e| e["ts_recv"].as_i64().unwrap()).collect::<Vec<_>>(),
        [3, 5]
    );
    assert_eq!(events(&server, "?after=3:6")["events"], serde_json::json!([]));
    // Thirty more in a ring of eight: what is left comes, and how many have gone.
    (6..36).for_each(|n| ring.push(&told(n, 0)));
    let late = events(&server, "?after=3:6");
    let (missed, left) = (late["missed"].as_u64().unwrap(), late["events"].as_array().unwrap().len() as u64);
    assert!(left >= 7 && missed + left == 30 && late["next"] == "3:36", "{late}");
    // In pieces nothing is left out and nothing comes twice.
    let mut next = "3:29".to_owned();
    for n in 29..36 {
        let one = events(&server, &format!("?after={next}&max=1"));
        assert_eq!((&one["events"][0]["ts_recv"], &one["missed"]), (&n.into(), &0.into()), "{one}");
        next = one["next"].as_str().unwrap().to_owned();
    }
}

#[test]
fn wrong_questions_for_events_are_told_what_there_is() {
    let (server, _ring) = with_events();
    for query in ["?after=x", "?after=3", "?after=70000:1", "?max=-1", "?depth=5"] {
        let (status, text) = get(&server, &format!("/events{query}"));
        assert_eq!(status, 400, "{query}: {text}");
        assert!(text.contains("after="), "{query}: {text}");
    }
    assert_eq!(events(&server, "?max=99999999&instrument=no:such")["events"], serde_json::json!([]));
}
