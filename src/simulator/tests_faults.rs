//! Every fault seen from outside, and the oracle held against what a client saw.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tungstenite::Message;

use super::oracle::{Line, expected};
use super::tests::{Client, get, lines, manual, with_oracle};
use super::*;

const STREAMS: &str = "/stream?streams=btcusdt@depth@100ms/btcusdt@aggTrade/btcusdt@trade/btcusdt@bookTicker/ethusdt@depth@100ms";

fn fault(text: &str) -> FaultSpec {
    FaultSpec::parse(text).unwrap()
}

/// Holes that a client sees, by its own reckoning.
fn holes(frames: &[String]) -> BTreeSet<(String, i64, i64)> {
    let mut last: BTreeMap<String, i64> = BTreeMap::new();
    let mut out = BTreeSet::new();
    for f in frames {
        let v: Value = serde_json::from_str(f).unwrap();
        let (s, d) = (v["stream"].as_str().unwrap().to_owned(), &v["data"]);
        let (before, now) = match d["e"].as_str() {
            Some("depthUpdate") => (d["pu"].as_i64(), d["u"].as_i64()),
            Some("trade") => (d["t"].as_i64().map(|t| t - 1), d["t"].as_i64()),
            Some("aggTrade") => (d["a"].as_i64().map(|t| t - 1), d["a"].as_i64()),
            _ => continue,
        };
        let (Some(before), Some(now)) = (before, now) else { continue };
        let l = last.entry(s.clone()).or_insert(before);
        if before > *l {
            out.insert((s, *l + 1, before));
        }
        *l = (*l).max(now);
    }
    out
}

/// Runs for 6 s with faults; returns what the client got and what the oracle says.
fn run(venue: &str, faults: &[&str]) -> (Vec<String>, Vec<Line>) {
    let mut cfg = SimConfig { faults: faults.iter().map(|f| fault(f)).collect(), ..manual(venue) };
    let log = with_oracle(&mut cfg);
    let sim = Simulator::start(cfg).unwrap();
    let mut c = Client::open(sim.addr(), STREAMS);
    sim.advance(6_000).unwrap();
    let got = c.all();
    sim.stop();
    (got, lines(&log))
}

#[test]
fn the_log_is_what_was_received() {
    let (got, log) = run("aster-futures", &[]);
    let sent: Vec<&Line> = log.iter().filter(|l| l.k == "msg" && l.kind != "reply").collect();
    assert_eq!(sent.len(), got.len());
    for (l, g) in sent.iter().zip(&got) {
        let v: Value = serde_json::from_str(g).unwrap();
        assert_eq!(l.crc.as_deref(), Some(format!("{:08x}", crc32fast::hash(g.as_bytes())).as_str()));
        assert_eq!((l.len, l.stream.as_str()), (Some(g.len() as u64), v["stream"].as_str().unwrap()));
        let d = &v["data"];
        for (a, b) in [(l.last, &d["u"]), (l.pu, &d["pu"]), (l.t, &d["t"]), (l.e, &d["E"]), (l.ts, &d["T"])] {
            assert_eq!(a, b.as_i64(), "{g}");
        }
        if l.kind == "trade" || l.kind == "aggTrade" {
            assert_eq!((l.p.as_deref(), l.q.as_deref()), (d["p"].as_str(), d["q"].as_str()));
        }
    }
    assert!(sent.windows(2).all(|w| w[1].n == w[0].n.map(|n| n + 1) && w[1].off > w[0].off));
    let x = expected(&log);
    assert!(x.holes.is_empty() && x.trailing.is_empty());
    assert_eq!(x.disconnects.len(), 5);
    let close = log.iter().find(|l| l.k == "close").unwrap();
    assert_eq!((close.unsent, close.how.as_str(), close.code), (Some(0), "close", Some(1001)));
    assert_eq!((log[0].k.as_str(), log.last().unwrap().k.as_str()), ("start", "end"));
    assert_eq!(x.sent.values().sum::<u64>() as usize, sent.len());
}

#[test]
fn dropped_frames_are_the_holes_that_the_client_sees() {
    let (got, log) = run("aster-futures", &["drop=0.02", "drop@2000:stream=ethusdt@depth@100ms,frames=3"]);
    let x = expected(&log);
    assert!(x.holes.len() > 5, "{}", x.holes.len());
    assert_eq!(x.hole_set(), holes(&got));
    assert!(x.undetectable.is_empty(), "only chained streams are hit");
    let dropped = log.iter().filter(|l| l.dropped).count();
    assert!(dropped >= x.holes.len());
    assert!(log.iter().filter(|l| l.dropped).all(|l| l.fault.as_deref() == Some("drop") && l.n.is_none()));
    let (again, _) = run("aster-futures", &["drop=0.02", "drop@2000:stream=ethusdt@depth@100ms,frames=3"]);
    assert_eq!(got, again, "the seed decides every fault");
    let (_, log) = run("aster-futures", &["drop=0.5:stream=btcusdt@bookTicker"]);
    assert_eq!(expected(&log).undetectable.keys().collect::<Vec<_>>(), ["btcusdt@bookTicker"]);
}

#[test]
fn duplicates_and_late_frames_are_sent_and_make_no_false_hole() {
    let (got, log) = run("aster-futures", &["duplicate=0.05"]);
    assert!(expected(&log).holes.is_empty() && holes(&got).is_empty());
    let twice = log.iter().filter(|l| l.fault.as_deref() == Some("duplicate")).count();
    let distinct: BTreeSet<&String> = got.iter().collect();
    assert!(twice > 5 && got.len() - distinct.len() == twice);
    let (got, log) = run("aster-futures", &["reorder@1000:stream=btcusdt@trade"]);
    let x = expected(&log);
    assert_eq!((x.holes.len(), x.hole_set()), (1, holes(&got)));
    assert_eq!(log.iter().filter(|l| l.fault.as_deref() == Some("reorder")).count(), 1);
}

#[test]
fn a_gap_takes_all_of_a_symbol_and_a_stall_takes_nothing() {
    let (got, log) = run("aster-futures", &["gap@1000:symbol=BTCUSDT,for_ms=500"]);
    let x = expected(&log);
    let hit: BTreeSet<&str> = x.holes.iter().map(|h| h.stream.as_str()).collect();
    assert_eq!(hit, BTreeSet::from(["btcusdt@aggTrade", "btcusdt@depth@100ms", "btcusdt@trade"]));
    assert_eq!(x.hole_set(), holes(&got));
    assert!(x.undetectable["btcusdt@bookTicker"] > 0);
    let (quiet, _) = run("aster-futures", &[]);
    let (got, log) = run("aster-futures", &["stall@1000:stream=btcusdt@depth@100ms,for_ms=1500"]);
    assert!(expected(&log).holes.is_empty());
    let one = |v: &[String]| v.iter().filter(|f| f.contains("btcusdt@depth")).cloned().collect::<Vec<_>>();
    assert_eq!(one(&got), one(&quiet));
    let sorted = |v: &[String]| v.iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(sorted(&got), sorted(&quiet));
    let (got, log) = run("aster-futures", &["stall@1000:for_ms=1500"]);
    assert_eq!(got, quiet);
    assert!(log.iter().any(|l| l.k == "fault" && l.kind == "stall"));
}

#[test]
fn cuts_end_connections_as_told() {
    for (how, code) in [("rst", 1), ("fin", 1), ("mid-frame", 1), ("close,code=1012", 1012)] {
        let mut cfg = manual("aster-futures");
        let log = with_oracle(&mut cfg);
        let sim = Simulator::start(cfg).unwrap();
        let mut a = Client::open(sim.addr(), STREAMS);
        let mut b = Client::open(sim.addr(), "/ws/btcusdt@trade");
        sim.advance(500).unwrap();
        a.all();
        sim.inject(fault(&format!("cut:how={how},conn=1"))).unwrap();
        sim.advance(500).unwrap();
        assert_eq!(a.close_code(), code, "{how}");
        assert!(b.all().len() > 1, "the other connection lives");
        sim.stop();
        let x = expected(&lines(&log));
        let mine: Vec<_> = x.disconnects.iter().filter(|d| d.conn == 1).collect();
        assert_eq!(mine.len(), 5, "one per stream");
        let word = how.split(',').next().unwrap();
        assert!(mine.iter().all(|d| d.how == word));
        assert!(mine.iter().find(|d| d.stream == "btcusdt@trade").unwrap().last_id > 0);
    }
}

#[test]
fn a_half_open_connection_is_silent_until_it_is_reset() {
    let mut cfg = manual("aster-futures");
    let log = with_oracle(&mut cfg);
    let sim = Simulator::start(cfg).unwrap();
    let mut c = Client::open(sim.addr(), "/ws/btcusdt@trade");
    sim.advance(300).unwrap();
    c.all();
    sim.inject(fault("cut:how=half-open,for_ms=2000")).unwrap();
    sim.advance(1_000).unwrap();
    c.ws.get_ref().set_nonblocking(true).unwrap();
    assert!(
        matches!(c.ws.read(), Err(tungstenite::Error::Io(e)) if e.kind() == std::io::ErrorKind::WouldBlock)
    );
    c.ws.get_ref().set_nonblocking(false).unwrap();
    sim.advance(2_000).unwrap();
    assert_eq!(c.close_code(), 1);
    sim.stop();
    assert!(lines(&log).iter().any(|l| l.k == "close" && l.how == "rst"));
}

#[test]
fn a_mute_stream_is_taken_and_says_nothing_on_any_connection() {
    let sim = Simulator::start(manual("aster-futures")).unwrap();
    sim.inject(fault("mute:stream=btcusdt@trade,for_ms=5000")).unwrap();
    for _ in 0..2 {
        let mut c = Client::open(sim.addr(), "/stream?streams=btcusdt@trade/btcusdt@depth@100ms");
        sim.advance(1_000).unwrap();
        let got = c.all();
        let count = |s: &str| got.iter().filter(|f| f.contains(s)).count();
        assert!(count("depthUpdate") > 0 && count("@trade") == 0, "{got:?}");
    }
    let mut c = Client::open(sim.addr(), "/stream?streams=btcusdt@trade");
    sim.advance(5_000).unwrap();
    assert!(!c.all().is_empty(), "it is over");
    sim.stop();
    assert!(super::FaultSpec::parse("mute").is_err(), "not all of the venue");
}

/// What the log says of a stream's messages.
fn log_of<'a>(log: &'a [Line], stream: &'a str) -> impl Iterator<Item = &'a Line> {
    log.iter().filter(move |l| l.k == "msg" && l.stream == stream)
}

/// All that came to a client, be it text or not.
fn everything(c: &mut Client) -> Vec<Vec<u8>> {
    c.send("{\"method\":\"LIST_SUBSCRIPTIONS\",\"id\":7}");
    let mut out = Vec::new();
    loop {
        match c.ws.read().unwrap() {
            m @ (Message::Text(_) | Message::Binary(_)) => out.push(m.into_data().to_vec()),
            _ => continue,
        }
        if out.last().is_some_and(|t| t.starts_with(b"{\"result\":")) {
            out.pop();
            return out;
        }
    }
}

#[test]
fn every_fault_of_frames_strikes_as_many_as_it_is_told() {
    for kind in FaultKind::ALL.into_iter().filter(|k| k.hits_frames()) {
        let text = format!("{}@1000:stream=btcusdt@depth@100ms,frames=4", kind.as_str());
        let (venue, plain) = ("aster-futures", run("aster-futures", &[]).0);
        let mut cfg = SimConfig { faults: vec![fault(&text)], ..manual(venue) };
        let log = with_oracle(&mut cfg);
        let sim = Simulator::start(cfg).unwrap();
        let mut c = Client::open(sim.addr(), STREAMS);
        sim.advance(6_000).unwrap();
        let got = everything(&mut c).len();
        sim.stop();
        let log = lines(&log);
        let struck = log.iter().filter(|l| l.fault.as_deref() == Some(kind.as_str())).count();
        let (more, told) = match kind {
            FaultKind::Drop => (-4, 4),
            FaultKind::Reorder => (0, 4),
            // Bytes that are no message of their own have no line.
            FaultKind::Gzip | FaultKind::Zlib | FaultKind::Binary => (4, 0),
            _ => (4, 4),
        };
        assert_eq!((got as i64 - plain.len() as i64, struck), (more, told), "{text}");
    }
}

#[test]
fn strange_frames_come_between_good_ones() {
    let plain = run("aster-futures", &[]).0;
    for (kind, says) in [
        ("garbage", "\0}"),
        ("unknown-event", "somethingNew"),
        ("reset-ids", "\"u\":4"),
        ("huge-id", "92233720368547758081"),
    ] {
        let (got, log) = run("aster-futures", &[&format!("{kind}@1000:stream=btcusdt@depth@100ms")]);
        let odd: Vec<&String> = got.iter().filter(|f| f.contains(says)).collect();
        assert_eq!((odd.len(), got.len()), (1, plain.len() + 1), "{kind}");
        assert!(expected(&log).holes.is_empty(), "{kind}: nothing is missing");
        assert_eq!(log.iter().filter(|l| l.fault.as_deref() == Some(kind)).count(), 1);
    }
    let (got, log) = run("aster-futures", &["garbage@1000:stream=btcusdt@depth@100ms,frames=3"]);
    let odd: Vec<usize> = (0..got.len()).filter(|i| got[*i].contains("\0}")).collect();
    assert_eq!((odd.len(), got.len()), (3, plain.len() + 3));
    // Each before another frame of its stream, one behind the other.
    let of_stream = |i: usize| log_of(&log, "btcusdt@depth@100ms").nth(i).and_then(|l| l.fault.clone());
    let first = log_of(&log, "btcusdt@depth@100ms").position(|l| l.fault.is_some()).unwrap();
    let faults: Vec<bool> = (first..first + 6).map(|i| of_stream(i).is_some()).collect();
    assert_eq!(faults, [true, false, true, false, true, false]);
    let sim = Simulator::start(manual("aster-futures")).unwrap();
    let mut c = Client::open(sim.addr(), "/ws/btcusdt@trade");
    // A header that promises 2^63 bytes.
    sim.inject(fault("raw:hex=817f8000000000000000,conn=1")).unwrap();
    sim.advance(50).unwrap();
    assert_eq!(c.close_code(), 1, "a sane client gives up");
}

#[test]
fn the_venue_says_goodbye_before_it_goes() {
    let sim = Simulator::start(manual("binance-spot")).unwrap();
    let mut c = Client::open(sim.addr(), "/stream?streams=btcusdt@depth@100ms");
    let mut raw = Client::open(sim.addr(), "/ws/xyz@trade");
    sim.inject(fault("server-shutdown:for_ms=2000")).unwrap();
    sim.advance(100).unwrap();
    assert!(
        c.all()
            .iter()
            .any(|f| f
                .starts_with("{\"stream\":\"!serverShutdown\",\"data\":{\"e\":\"serverShutdown\",\"E\":"))
    );
    assert!(raw.all()[0].starts_with("{\"e\":\"serverShutdown\",\"E\":"));
    // The replacement that is opened meanwhile is on the machine that stays.
    let mut next = Client::open(sim.addr(), "/stream?streams=btcusdt@depth@100ms");
    sim.advance(2_000).unwrap();
    assert_eq!((c.close_code(), raw.close_code()), (1001, 1001));
    let before = next.all().len();
    sim.advance(1_000).unwrap();
    assert!(next.all().len() > before.min(5), "the replacement lives");
    // Two machines may go at once: each takes the connections that heard of it.
    sim.inject(fault("server-shutdown:for_ms=2000")).unwrap();
    sim.advance(500).unwrap();
    let mut last = Client::open(sim.addr(), "/stream?streams=btcusdt@depth@100ms");
    sim.inject(fault("server-shutdown:for_ms=3000")).unwrap();
    sim.advance(1_600).unwrap();
    assert_eq!(next.close_code(), 1001);
    assert!(!last.all().is_empty(), "it was not open at the first announcement");
    sim.advance(2_000).unwrap();
    assert_eq!(last.close_code(), 1001);
}

#[test]
fn rest_faults_last_and_end() {
    let sim = Simulator::start(manual("aster-futures")).unwrap();
    let depth = || get(sim.addr(), "/fapi/v3/depth?symbol=BTCUSDT&limit=5");
    let mut c = Client::open(sim.addr(), "/ws/btcusdt@depth@100ms");
    for (text, status, header) in [
        ("429:for_ms=1000", 429, ""),
        ("429:for_ms=1000,retry_after_s=3", 429, "retry-after: 3"),
        ("418:for_ms=1000", 418, ""),
        ("503:for_ms=1000", 503, ""),
        ("redirect:for_ms=1000", 302, "location: http://"),
    ] {
        sim.inject(fault(text)).unwrap();
        sim.advance(1).unwrap();
        let (s, head, _) = depth();
        assert!(s == status && head.contains(header), "{text}: {head}");
        sim.advance(1_100).unwrap();
        assert_eq!(depth().0, 200, "{text} is over");
    }
    sim.inject(fault("truncated-json")).unwrap();
    sim.advance(1).unwrap();
    let (_, head, body) = depth();
    let promised: usize =
        head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap();
    assert_eq!(body.len(), promised / 2);
    assert!(serde_json::from_str::<Value>(&depth().2).is_ok());
    c.all();
}

#[test]
fn snapshots_stand_anywhere_relative_to_the_events() {
    let cfg = SimConfig { faults: vec![fault("stale-snapshot:frames=2")], ..manual("aster-futures") };
    let sim = Simulator::start(cfg).unwrap();
    let mut c = Client::open(sim.addr(), "/ws/btcusdt@depth@100ms");
    sim.advance(1_000).unwrap();
    let first: Value = serde_json::from_str(&c.all()[0]).unwrap();
    let id = || {
        let body = get(sim.addr(), "/fapi/v3/depth?symbol=BTCUSDT&limit=1000").2;
        serde_json::from_str::<Value>(&body).unwrap()["lastUpdateId"].as_i64().unwrap()
    };
    let stale = id();
    assert!(stale <= first["pu"].as_i64().unwrap(), "as before all events");
    assert_eq!(id(), stale);
    assert!(id() > first["u"].as_i64().unwrap(), "the third is fresh");
    sim.inject(fault("hole-snapshot")).unwrap();
    sim.advance(1).unwrap();
    let l = id();
    sim.advance(1_000).unwrap();
    let after: Vec<Value> = c.all().iter().map(|f| serde_json::from_str(f).unwrap()).collect();
    let proof = after.iter().find(|v| v["u"].as_i64().unwrap() >= l).unwrap();
    assert!(proof["pu"].as_i64().unwrap() <= l, "the proof always holds: {proof} {l}");
}

#[test]
fn a_diff_may_lack_a_level_and_no_id_shows_it() {
    let (good, _) = run("aster-futures", &[]);
    let (bad, log) = run("aster-futures", &["omit-level@2000:frames=3"]);
    let omits: Vec<&Line> = log.iter().filter(|l| l.k == "omit").collect();
    assert_eq!(omits.len(), 3);
    assert!(expected(&log).holes.is_empty() && holes(&bad).is_empty());
    let other: Vec<(&String, &String)> = good.iter().zip(&bad).filter(|(a, b)| a != b).collect();
    assert_eq!((good.len(), bad.len(), other.len()), (bad.len(), good.len(), 3));
    for (a, b) in other {
        let [a, b]: [Value; 2] = [a, b].map(|t| serde_json::from_str::<Value>(t).unwrap()["data"].clone());
        assert!(["U", "u", "pu", "s"].iter().all(|k| a[k] == b[k]), "{a}\n{b}");
        assert!(omits.iter().any(|l| l.last == a["u"].as_i64() && Some(l.sym.as_str()) == a["s"].as_str()));
        let levels = |v: &Value| v["b"].as_array().unwrap().len() + v["a"].as_array().unwrap().len();
        assert_eq!(levels(&b) + 1, levels(&a));
    }
}

#[test]
fn a_book_may_be_crossed_for_some_diffs_and_no_id_shows_it() {
    let (got, log) = run("aster-futures", &["cross-book@2000:symbol=BTCUSDT,frames=3"]);
    let due: Vec<i64> = log.iter().filter(|l| l.k == "cross").filter_map(|l| l.last).collect();
    assert!(due.len() == 3 && expected(&log).holes.is_empty() && holes(&got).is_empty(), "{due:?}");
    // Without a snapshot the book is what the diffs have told: best prices are among that soon.
    let (mut bids, mut asks) = (BTreeMap::new(), BTreeMap::new());
    let number = |v: &Value| v.as_str().unwrap().replace('.', "").parse::<i64>().unwrap();
    let mut crossed = Vec::new();
    for frame in &got {
        let v: Value = serde_json::from_str(frame).unwrap();
        let (stream, v) = (&v["stream"], &v["data"]);
        if stream != "btcusdt@depth@100ms" {
            continue;
        }
        for (side, key) in [(&mut bids, "b"), (&mut asks, "a")] {
            for l in v[key].as_array().unwrap() {
                match number(&l[1]) {
                    0 => side.remove(&number(&l[0])),
                    size => side.insert(number(&l[0]), size),
                };
            }
        }
        let (bid, ask) = (bids.keys().next_back(), asks.keys().next());
        if bid.is_some_and(|b| ask.is_some_and(|a| b >= a)) {
            crossed.push(v["u"].as_i64().unwrap());
        }
    }
    assert_eq!(crossed, due);
}

#[test]
fn refused_connections_and_strange_symbols() {
    let cfg = SimConfig { faults: vec![fault("non-ascii")], ..manual("aster-futures") };
    let sim = Simulator::start(cfg).unwrap();
    let mut c = Client::open(sim.addr(), "/stream?streams=%E9%BE%99%E8%99%BEusdt@depth@100ms/!bookTicker");
    sim.advance(5_000).unwrap();
    let got = c.by_stream();
    assert_eq!(got["龙虾usdt@depth@100ms"][0]["s"], "龙虾USDT");
    sim.inject(fault("refuse:for_ms=1000")).unwrap();
    sim.advance(1).unwrap();
    assert!(Client::try_open(sim.addr(), "/ws").is_err());
    sim.advance(1_100).unwrap();
    assert!(Client::try_open(sim.addr(), "/ws").is_ok());
}

#[test]
fn no_fault_strikes_in_the_last_seconds() {
    let mut cfg = SimConfig {
        faults: vec![fault("drop=0.3"), fault("cut@5000"), fault("drop@900:every_ms=100")],
        duration_ms: Some(8_000),
        quiet_tail_ms: 5_000,
        ..manual("aster-futures")
    };
    let log = with_oracle(&mut cfg);
    let sim = Simulator::start(cfg).unwrap();
    let mut c = Client::open(sim.addr(), STREAMS);
    sim.advance(8_100).unwrap();
    assert!(sim.is_over());
    let got = c.all();
    sim.stop();
    let log = lines(&log);
    let x = expected(&log);
    assert!(!x.holes.is_empty() && x.trailing.is_empty());
    assert_eq!(x.hole_set(), holes(&got));
    let quiet_from = 1_790_000_000_000 + 3_000;
    assert!(log.iter().filter(|l| l.dropped).all(|l| l.e.unwrap() <= quiet_from + 1));
    assert!(!log.iter().any(|l| l.k == "close" && l.how == "rst"), "the cut would have come too late");
}

/// What the venue's list says of a symbol, read as the recorder reads it.
fn listed(sim: &SimHandle, venue: &str, symbol: &str) -> Option<String> {
    let (_, v) = crate::venue::by_id(venue).unwrap();
    let (status, _, body) = get(sim.addr(), &v.instruments_request().path);
    assert_eq!(status, 200, "{venue}: {body}");
    let list = v.parse_instruments(body.as_bytes()).unwrap();
    assert_eq!(list.faulty, 0, "{venue}: {body}");
    list.instruments.into_iter().find(|i| i.symbol == symbol).map(|i| i.status)
}

#[test]
fn at_every_venue_symbols_stand_still_go_and_come() {
    for d in dialects::all() {
        let names = |n: usize| -> Vec<String> {
            let mut cfg = SimConfig { symbols: Symbols::Count(n), ..manual(d.venue) };
            let log = with_oracle(&mut cfg);
            Simulator::start(cfg).unwrap().stop();
            lines(&log)[0].symbols.clone()
        };
        let new = names(4).pop().unwrap();
        let all = names(3);
        let of = |kind: FaultKind, s: &str| FaultSpec { symbol: Some(s.to_owned()), ..FaultSpec::new(kind) };
        let cfg = SimConfig {
            symbols: Symbols::Count(3),
            faults: vec![of(FaultKind::List, &new).at(60_000)],
            ..manual(d.venue)
        };
        let sim = Simulator::start(cfg).unwrap();
        let is = |s: &str| listed(&sim, d.venue, s);
        let trading = is(&all[0]).unwrap();
        assert_eq!((is(&all[1]), is(&new)), (Some(trading.clone()), None), "{}", d.venue);
        sim.inject(of(FaultKind::Halt, &all[0])).unwrap();
        sim.inject(of(FaultKind::Delist, &all[1])).unwrap();
        sim.inject(of(FaultKind::List, &new)).unwrap();
        sim.advance(1).unwrap();
        let halted = is(&all[0]).unwrap();
        assert!(halted != trading && !halted.is_empty(), "{}: {halted}", d.venue);
        assert_eq!((is(&all[1]), is(&new)), (None, Some(trading.clone())), "{}", d.venue);
        sim.inject(of(FaultKind::List, &all[0])).unwrap();
        sim.inject(of(FaultKind::List, &all[1])).unwrap();
        sim.advance(1).unwrap();
        assert_eq!((is(&all[0]), is(&all[1])), (Some(trading.clone()), Some(trading)), "{}", d.venue);
    }
}

#[test]
fn a_symbol_that_is_gone_is_silent_and_unknown_until_it_comes_back() {
    let sim = Simulator::start(SimConfig {
        faults: vec![
            fault("delist@2000:symbol=BTCUSDT,for_ms=3000"),
            fault("halt@2000:symbol=ETHUSDT,status=BREAK"),
        ],
        ..manual("aster-futures")
    })
    .unwrap();
    let mut c =
        Client::open(sim.addr(), "/stream?streams=btcusdt@depth@100ms/btcusdt@markPrice@1s/ethusdt@trade");
    let depth = || get(sim.addr(), "/fapi/v3/depth?symbol=BTCUSDT&limit=5").0;
    sim.advance(2_001).unwrap();
    assert!(!c.all().is_empty());
    assert_eq!((depth(), listed(&sim, "aster-futures", "ETHUSDT").as_deref()), (400, Some("BREAK")));
    sim.advance(2_900).unwrap();
    assert_eq!(c.all(), Vec::<String>::new());
    sim.advance(2_000).unwrap();
    let back = c.by_stream();
    assert!(
        depth() == 200
            && back.contains_key("btcusdt@depth@100ms")
            && back.contains_key("btcusdt@markPrice@1s")
    );
    assert!(FaultSpec::parse("delist@1").is_err(), "of which symbol?");
}
