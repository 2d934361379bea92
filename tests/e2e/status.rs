//! What a running recorder says of itself is what it does.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use lobtape::dataset::Table;
use lobtape::simulator::{FaultKind, FaultSpec};
use serde_json::Value;

use super::rig::{Place, Venue, turn, wait_for};

/// Ten seconds of a book of three levels, and two streams that have no table and no instrument.
fn recording(path: &Path) {
    let begin = 1_723_161_255_000_000_000i64;
    let snapshot =
        r#"{"lastUpdateId":100,"E":1,"T":1,"bids":[["10.0","1"],["9.9","1"]],"asks":[["10.2","1"]]}"#;
    let mut text = format!("{begin} /fapi/v1/depth?symbol=BTCUSDT&limit=1000 {snapshot}\n");
    for i in 0..400i64 {
        let (ts, ms, id) = (begin + i * 25_000_000, 1_723_161_255_000 + i * 25, 100 + i);
        text.push_str(&format!(
            "{ts} {{\"stream\":\"btcusdt@depth@100ms\",\"data\":{{\"e\":\"depthUpdate\",\"E\":{ms},\"T\":{ms},\"s\":\"BTCUSDT\",\
             \"U\":{id},\"u\":{id},\"pu\":{},\"b\":[[\"10.0\",\"{}\"]],\"a\":[]}}}}\n",
            id - 1,
            i + 1
        ));
        for pair in ["btcusdt", "ethusdt"] {
            text.push_str(&format!(
                "{ts} {{\"stream\":\"{pair}_perpetual@continuousKline_1m\",\"data\":{{\"e\":\"continuous_kline\",\"E\":{ms}}}}}\n"
            ));
        }
    }
    std::fs::write(path, text).unwrap();
}

pub fn get(addr: SocketAddr, path: &str) -> Option<String> {
    let mut s = TcpStream::connect(addr).ok()?;
    write!(s, "GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    s.read_to_string(&mut text).ok()?;
    Some(text.split_once("\r\n\r\n")?.1.to_owned())
}

/// The sum of a metric's series.
fn sum(page: &str, name: &str) -> f64 {
    let values = page.lines().filter(|l| l.starts_with(name) && !l.starts_with('#'));
    values.filter_map(|l| l.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

#[test]
fn status_and_metrics_show_books_and_what_has_no_table_and_no_series_twice() {
    let _turn = turn();
    let place = Place::new();
    let tape = place.dir.path().join("tape.txt");
    recording(&tape);
    let mut venue = Venue::start(place.dir.path(), "binance-usdm", 1, 100, |c| c.serve = vec![tape]);
    venue.symbols = vec!["BTCUSDT".to_owned(), "ETHUSDT".to_owned()];
    venue.channels = ["depth@100ms", "continuousKline_1m"].map(str::to_owned).to_vec();
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    venue.more = format!("allow_missing = true\n[http]\nlisten = \"{addr}\"\n");
    place.configure("1h", 0, &[&venue]);
    let recorder = place.record();
    let mut seen = (Value::Null, String::new());
    let there = wait_for(Duration::from_secs(60), || {
        let status = get(addr, "/status").and_then(|t| serde_json::from_str(&t).ok());
        seen = (status.unwrap_or(Value::Null), get(addr, "/metrics").unwrap_or_default());
        let (s, m) = &seen;
        s["books"].as_array().is_some_and(|b| b.iter().any(|b| b["levels"] == 3))
            && s["lanes"]
                .as_array()
                .is_some_and(|l| l.iter().any(|l| l["others"]["continuous_kline"].is_u64()))
            && sum(m, "lobtape_book_levels") == 3.0
            && sum(m, "lobtape_events_without_table_total") > 0.0
            && sum(m, "lobtape_reader_allocations_total") > sum(m, "lobtape_transport_allocations_total")
            && sum(m, "lobtape_transport_allocations_total") > 0.0
    });
    assert!(there, "{}\n{}\n{}", seen.0, seen.1, recorder.words());
    let series: Vec<&str> = seen.1.lines().filter_map(|l| Some(l.rsplit_once(' ')?.0)).collect();
    let twice = series.len() - series.iter().collect::<BTreeSet<_>>().len();
    assert!(twice == 0 && series.iter().filter(|s| s.contains("continuousKline")).count() >= 2, "{}", seen.1);
    venue.end();
    let summary = recorder.stop();
    assert!(summary["others"]["continuous_kline"].as_u64() > Some(10), "{summary}");
}

/// Of what a rule will choose nobody knows the streams before the list is there: status says that nothing is recorded, and
/// what is recorded begins when it comes.
#[test]
fn a_rule_without_a_list_says_so_and_begins_when_it_comes() {
    let _turn = turn();
    let place = Place::new();
    let mut venue = Venue::start(place.dir.path(), "aster-futures", 2, 300, |_| {});
    venue.rule = Some("{ quote = \"USDT\" }".to_owned());
    let addr = super::rig::status_of(&mut venue);
    let down = FaultSpec { for_ms: 600_000, ..FaultSpec::new(FaultKind::Http503) };
    venue.sim.inject(down).unwrap();
    place.configure("1h", 0, &[&venue]);
    let recorder = place.record();
    let mut seen = (Value::Null, String::new());
    let waits = wait_for(Duration::from_secs(30), || {
        seen = (super::rig::status(addr).unwrap_or_default(), get(addr, "/metrics").unwrap_or_default());
        seen.0["venues"][0]["waits_for_list"] == true && sum(&seen.1, "lobtape_list_waits{") == 1.0
    });
    assert!(waits, "{}\n{}\n{}", seen.0, seen.1, recorder.words());
    let why = seen.0["not_ready"].as_str().unwrap_or_default();
    assert!(why.contains("its instrument list does not come"), "{why}");
    let asked = || venue.sim.stats().requests.load(std::sync::atomic::Ordering::Relaxed);
    assert!(wait_for(Duration::from_secs(30), || asked() >= 3), "it is asked again");
    assert!(recorder.log().contains("a rule has nothing to choose from"), "{}", recorder.words());
    let before =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i64;
    venue.sim.quiesce().unwrap();
    let ready = wait_for(Duration::from_secs(60), || {
        seen.0 = super::rig::status(addr).unwrap_or_default();
        seen.0["ready"] == true
            && seen.0["books_synced"] == 2
            && seen.0["venues"][0]["waits_for_list"] == false
    });
    assert!(ready, "{}\n{}", seen.0, recorder.words());
    recorder.stop();
    let (id, _) = venue.end();
    let root = place.dataset();
    let covers = super::tape::coverage(&root, &id);
    assert!(covers.len() >= 10 && covers.iter().all(|c| c.begin >= before), "{covers:?}");
    let mut failed = 0;
    super::tape::batches(&root, Table::Connections, &id, |b| {
        let (event, detail) = (b.text("event").unwrap(), b.text("detail").unwrap());
        failed += (0..b.rows())
            .filter(|i| event.value(*i) == "failed" && detail.value(*i).contains("no instrument list"))
            .count();
    });
    assert_eq!(failed, 1, "that the venue was asked in vain is said once");
    let (code, words) = super::rig::lobtape(&["verify", root.to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}

/// A book and a stream of a fixed pace that are confirmed and never speak: log, status and metrics say so, and the one whose
/// silence proves something has a gap from its subscription on.
#[test]
fn streams_that_never_speak_are_told_until_they_do() {
    let _turn = turn();
    let place = Place::new();
    let mut venue = Venue::start(place.dir.path(), "aster-futures", 2, 200, |c| {
        let mute = |stream: &str| FaultSpec {
            stream: Some(stream.to_owned()),
            for_ms: 600_000,
            ..FaultSpec::new(FaultKind::Mute)
        };
        c.faults = vec![mute("btcusdt@markPrice@1s"), mute("ethusdt@depth@100ms")];
    });
    venue.more = "silent_after = \"2s\"\n".to_owned();
    let addr = super::rig::status_of(&mut venue);
    place.configure("1h", 0, &[&venue]);
    let recorder = place.record();
    let mut seen = (Value::Null, String::new());
    let told = wait_for(Duration::from_secs(60), || {
        seen = (super::rig::status(addr).unwrap_or_default(), get(addr, "/metrics").unwrap_or_default());
        seen.0["venues"][0]["streams_unheard"] == 2 && sum(&seen.1, "lobtape_streams_unheard{") == 2.0
    });
    assert!(told, "{}\n{}\n{}", seen.0, seen.1, recorder.words());
    let log = recorder.log();
    let line = |stream: &str| log.lines().any(|l| l.contains("never had a frame") && l.contains(stream));
    assert!(line("btcusdt@markPrice@1s") && line("ethusdt@depth@100ms"), "{log}");
    venue.sim.quiesce().unwrap();
    let over = wait_for(Duration::from_secs(60), || {
        super::rig::status(addr).is_some_and(|s| s["venues"][0]["streams_unheard"] == 0)
    });
    assert!(over, "{}", recorder.words());
    recorder.stop();
    let (id, _) = venue.end();
    let root = place.dataset();
    let gaps = super::tape::gaps(&root, &id);
    let silent: Vec<_> = gaps.iter().filter(|g| g.cause == "silent_stream").collect();
    let [one] = silent[..] else { panic!("{gaps:?}") };
    assert_eq!(one.stream, "btcusdt@markPrice@1s");
    assert!(!super::tape::coverage(&root, &id).iter().any(|c| c.stream == one.stream && c.begin < one.begin));
    let (code, words) = super::rig::lobtape(&["verify", root.to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}

/// All events so far, from place to place; how many were missed.
fn follow(addr: SocketAddr, next: &mut String, events: &mut Vec<Value>) -> u64 {
    let query =
        if next.is_empty() { "/events?max=1".to_owned() } else { format!("/events?after={next}&max=5000") };
    let Some(v) = get(addr, &query).and_then(|t| serde_json::from_str::<Value>(&t).ok()) else { return 0 };
    let Some(now) = v["next"].as_str() else { return 0 };
    now.clone_into(next);
    events.extend(v["events"].as_array().cloned().unwrap_or_default());
    v["missed"].as_u64().unwrap_or(0)
}

/// The trades that the venue sent while somebody listened, and the books that the dataset has.
#[test]
fn live_events_are_the_trades_and_tops_of_the_dataset() {
    let _turn = turn();
    let place = Place::new();
    let mut venue = Venue::start(place.dir.path(), "binance-usdm", 1, 400, |c| {
        c.duration_ms = Some(4000);
        c.quiet_tail_ms = 500;
    });
    venue.channels = ["depth@100ms", "trade"].map(str::to_owned).to_vec();
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    venue.more = format!("[http]\nlisten = \"{addr}\"\n");
    place.configure("1h", 0, &[&venue]);
    let recorder = place.record();
    let (mut next, mut events, mut missed) = (String::new(), Vec::new(), 0);
    let over = wait_for(Duration::from_secs(60), || {
        missed += follow(addr, &mut next, &mut events);
        venue.sim.is_over()
    });
    assert!(over, "{}", recorder.words());
    let symbol = venue.symbols[0].clone();
    let instrument = format!("binance-usdm:{symbol}");
    let (_, log) = venue.end();
    // The last trade that was sent has been told when this has been, too.
    let due: Vec<i64> = log.iter().filter(|l| !l.dropped && l.kind == "trade").filter_map(|l| l.t).collect();
    let all = wait_for(Duration::from_secs(30), || {
        missed += follow(addr, &mut next, &mut events);
        events.iter().any(|e| e["trade_id"].as_i64() == due.last().copied())
    });
    assert!(all && missed == 0, "{missed} {:?}", due.last());
    recorder.stop();
    let of = |kind: &str| events.iter().filter(|e| e["kind"] == kind).cloned().collect::<Vec<Value>>();
    let told: Vec<i64> = of("trade").iter().filter_map(|e| e["trade_id"].as_i64()).collect();
    let from = due.iter().position(|t| Some(t) == told.first()).unwrap();
    assert_eq!(told, due[from..]);
    let (synced, tops) = (of("synced"), of("top"));
    assert!(synced.len() == 1 && tops.len() > 10, "{} synced, {} tops", synced.len(), tops.len());
    for top in tops.iter().step_by(tops.len() / 4) {
        let at = top["ts_recv"].to_string();
        let dir = place.dataset();
        let args =
            ["book", dir.to_str().unwrap(), "--venue", "binance-usdm", "--symbol", &symbol, "--at", &at];
        let (code, words) =
            super::rig::lobtape(&[&args[..], &["--depth", "1", "--json", "--log", "off"]].concat());
        assert_eq!(code, 0, "{words}");
        let book: Value = serde_json::from_str(&words).unwrap();
        assert_eq!(top["instrument"], instrument.as_str());
        let number = |x: &Value| x.as_f64().unwrap_or_else(|| x.as_str().unwrap().parse().unwrap());
        let best = |level: &Value| level.as_array().unwrap().iter().map(number).collect::<Vec<f64>>();
        assert_eq!(best(&book["bids"][0]), best(&top["bid"]), "{book} {top}");
        assert_eq!(best(&book["asks"][0]), best(&top["ask"]), "{book} {top}");
    }
}
