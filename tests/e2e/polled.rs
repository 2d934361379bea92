//! What is polled, against the bodies that the simulated venue says it gave: every answer has its rows, in the right table
//! and unit, once.
//!
//! What a body must become is worked out here from the venues' pages, with another JSON reader and floats.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use lobtape::dataset::read::Batch;
use lobtape::dataset::{Dataset, Table, raw};
use lobtape::model::Kind;
use lobtape::simulator::oracle::Line;
use serde_json::Value;

use super::rig::{Place, Venue, channels, lobtape, pass, proved, turn, wait_for};
use super::tape;

/// A row as text: its table, symbol and the columns that the page speaks of.
type Row = (Table, String, String);

#[test]
fn every_answer_that_is_polled_has_its_rows() {
    let _turn = turn();
    // Polls begin spread over their minute: all venues have the same one.
    std::thread::scope(|all| {
        for v in lobtape::venue::all() {
            all.spawn(|| polled(*v));
        }
    });
}

fn polled(v: &dyn lobtape::venue::Venue) {
    let id = v.spec().id;
    let place = Place::new();
    let symbols = if id == "pumpkin-perp" { 1 } else { 2 };
    let mut venue = Venue::start(place.dir.path(), id, symbols, 50, |_| {});
    venue.channels.truncate(2);
    let names: Vec<String> = v.polls().iter().map(name).collect();
    let polls: Vec<String> = names.iter().map(|n| format!("{n:?} = \"1m\"")).collect();
    venue.more.push_str(&format!("polls = {{ {} }}\n", polls.join(", ")));
    place.configure("1h", 0, &[&venue]);
    let recorder = place.record();
    let due = v.polls().iter().map(|p| if p.per_symbol { symbols as u64 } else { 1 }).sum::<u64>();
    let asked = || venue.sim.stats().requests.load(std::sync::atomic::Ordering::Relaxed);
    let by_rest = v.spec().snapshot == lobtape::model::SnapshotSource::Rest;
    let snapshots = if by_rest { symbols as u64 } else { 0 };
    let all = wait_for(Duration::from_secs(240), || asked() > due + snapshots);
    assert!(all, "{id}: {} of {due} polls: {}", asked(), recorder.words());
    pass(Duration::from_secs(1));
    recorder.stop();
    let (_, log) = venue.end();
    let figures = judge(&place.dataset(), id, &log, &names);
    proved("polled", &serde_json::json!({"venue": id, "bodies": figures.0, "rows": figures.1}));
    let (code, words) = lobtape(&["verify", place.dataset().to_str().unwrap()]);
    assert_eq!(code, 0, "{id}: {words}");
}

/// A poll's name in the configuration; of those with an argument the one that the simulated candles fill.
fn name(p: &lobtape::model::Poll) -> String {
    let arg = p.args.iter().find(|a| ["1m", "1"].contains(a)).or(p.args.first()).unwrap();
    format!("{}{arg}", p.channel)
}

fn judge(root: &Path, id: &str, log: &[Line], names: &[String]) -> (usize, usize) {
    let given: BTreeMap<(&str, String), &str> = log
        .iter()
        .filter(|l| l.k == "rest" && l.status == Some(200))
        .filter_map(|l| Some(((l.path.as_str(), l.crc.clone()?), l.payload.as_deref()?)))
        .collect();
    let v = lobtape::venue::by_id(id).unwrap().1;
    let mut due: BTreeMap<Row, usize> = BTreeMap::new();
    let mut answered: BTreeSet<&str> = BTreeSet::new();
    let mut bodies = BTreeSet::new();
    let ds = Dataset::open(root).unwrap();
    for mut lane in raw::lanes(&ds, "0000-00-00", "9999-99-99").unwrap() {
        if lane.lane() == 0 {
            continue;
        }
        while let Some((r, _)) = lane.next().unwrap() {
            let polled = || names.iter().find(|n| is_of(v, n, r.url));
            let (Kind::Rest, Some(name)) = (r.kind, polled()) else { continue };
            answered.insert(name);
            let crc = format!("{:08x}", crc32fast::hash(r.payload));
            let text = given.get(&(r.url, crc)).unwrap_or_else(|| panic!("{id}: {} was never given", r.url));
            bodies.insert((r.conn, r.rseq));
            for row in expected(id, r.url, &serde_json::from_str(text).unwrap()) {
                *due.entry(row).or_default() += 1;
            }
        }
    }
    assert_eq!(answered.len(), names.len(), "{id}: {answered:?} of {names:?}");
    let mut have: BTreeMap<Row, usize> = BTreeMap::new();
    for table in [Table::OpenInterest, Table::Funding, Table::Mark, Table::Tickers, Table::Klines, Table::Bbo]
    {
        tape::batches(root, table, id, |b| {
            let (conn, rseq) = (b.i64("conn").unwrap(), b.i64("rseq").unwrap());
            for i in (0..b.rows()).filter(|i| bodies.contains(&(conn[*i], rseq[*i]))) {
                let symbol = b.text("instrument").unwrap().value(i).split_once(':').unwrap().1.to_owned();
                *have.entry((table, symbol, found(b, i, table))).or_default() += 1;
            }
        });
    }
    // What a list repeats in its next answer is told once.
    let once = |r: &Row| r.0 == Table::Funding || (r.0 == Table::Klines && r.2.ends_with("true"));
    due.iter_mut().filter(|(r, _)| once(r)).for_each(|(_, n)| *n = 1);
    let missing: Vec<_> = due.iter().filter(|(r, n)| have.get(*r) != Some(n)).take(5).collect();
    let beyond: Vec<_> = have.iter().filter(|(r, n)| due.get(*r) != Some(n)).take(5).collect();
    assert!(missing.is_empty() && beyond.is_empty(), "{id}: due {missing:#?}, have {beyond:#?}");
    for p in v.polls().iter().filter_map(|p| p.kind.table()) {
        assert!(have.keys().any(|r| r.0.name() == p), "{id}: no row of {p}");
    }
    (bodies.len(), have.values().sum())
}

/// Whether a request is one of a poll, of whatever symbol.
fn is_of(v: &dyn lobtape::venue::Venue, name: &str, url: &str) -> bool {
    let path = lobtape::venue::poll_request(v.poll(name).unwrap(), name, "SYM").path;
    let (before, behind) = path.split_once("SYM").unwrap_or((&path, ""));
    url.starts_with(before) && url.ends_with(behind)
}

fn num(v: &Value) -> Option<f64> {
    v.as_str().filter(|t| !t.is_empty())?.parse().ok()
}

fn ms(v: &Value) -> i64 {
    v.as_i64().unwrap_or(0) * 1_000_000
}

/// The columns of a row that are held against a body.
fn found(b: &Batch, i: usize, table: Table) -> String {
    let real = |c: &str| {
        let a = b.f64(c).unwrap();
        (!arrow_array::Array::is_null(a, i)).then(|| a.value(i))
    };
    let int = |c: &str| b.i64(c).unwrap()[i];
    match table {
        Table::OpenInterest => format!("{:?} {}", real("open_interest"), int("ts_event")),
        Table::Funding => format!("{:?} {}", real("funding_rate"), int("ts_funding")),
        Table::Mark => {
            let all = ["mark_px", "index_px", "funding_rate"].map(real);
            format!("{all:?} {} {}", int("ts_next_funding"), int("ts_event"))
        }
        Table::Tickers => {
            let all = ["open", "high", "low", "last", "volume", "quote_volume"].map(real);
            format!("{all:?} {}", int("trade_count"))
        }
        Table::Bbo => format!("{:?}", ["bid_px_00", "bid_sz_00", "ask_px_00", "ask_sz_00"].map(real)),
        _ => {
            let all = ["open", "high", "low", "close", "volume"].map(real);
            let (of, closed) = (b.text("interval").unwrap().value(i), b.bool("is_closed").unwrap().value(i));
            format!("{of} {} {all:?} {} {closed}", int("ts_open"), int("trade_count"))
        }
    }
}

fn list(v: &Value) -> Vec<&Value> {
    v.as_array().map_or_else(|| vec![v], |a| a.iter().collect())
}

/// The rows that a body must become.
fn expected(id: &str, url: &str, body: &Value) -> Vec<Row> {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let asked =
        |key: &str| query.split('&').find_map(|p| p.strip_prefix(key)?.strip_prefix('=')).unwrap_or("");
    match id {
        "pumpkin-perp" => pumpkin(path.rsplit('/').next().unwrap(), asked("interval"), &body["data"]),
        _ if id.starts_with("ascendex") => ascendex(path, asked("interval"), &body["data"]),
        _ => family(path, asked("symbol"), asked("interval"), body),
    }
}

/// A symbol's text in a row.
fn symbol(v: &Value) -> String {
    v.as_str().unwrap().to_owned()
}

fn candle(of: &str, opened: &Value, prices: [&Value; 5], trades: i64, closed: bool) -> String {
    format!("{of} {} {:?} {trades} {closed}", ms(opened), prices.map(num))
}

fn family(path: &str, asked: &str, interval: &str, body: &Value) -> Vec<Row> {
    let end = path.splitn(4, '/').nth(3).unwrap();
    let rows = list(body);
    let row = |v: &Value| {
        let n = |k: &str| num(&v[k]);
        let (table, text) = match end {
            "openInterest" => (Table::OpenInterest, format!("{:?} {}", n("openInterest"), ms(&v["time"]))),
            "premiumIndex" => {
                let all = [n("markPrice"), n("indexPrice"), n("lastFundingRate")];
                (Table::Mark, format!("{all:?} {} {}", ms(&v["nextFundingTime"]), ms(&v["time"])))
            }
            "fundingRate" => (Table::Funding, format!("{:?} {}", n("fundingRate"), ms(&v["fundingTime"]))),
            "ticker/24hr" => {
                // A turnover in the base asset (`baseVolume`) has no column.
                let quote = n("quoteVolume");
                let all = [n("openPrice"), n("highPrice"), n("lowPrice"), n("lastPrice"), n("volume"), quote];
                (Table::Tickers, format!("{all:?} {}", v["count"]))
            }
            "ticker/price" => {
                (Table::Tickers, format!("{:?} -1", [None, None, None, n("price"), None, None]))
            }
            "ticker/bookTicker" => {
                (Table::Bbo, format!("{:?}", [n("bidPrice"), n("bidQty"), n("askPrice"), n("askQty")]))
            }
            _ => return None,
        };
        Some((table, symbol(&v["symbol"]), text))
    };
    if end != "klines" {
        return rows.into_iter().filter_map(row).collect();
    }
    let last = rows.len() - 1;
    let one = |(n, k): (usize, &&Value)| {
        let prices = [&k[1], &k[2], &k[3], &k[4], &k[5]];
        let text = candle(interval, &k[0], prices, k[8].as_i64().unwrap(), n < last);
        (Table::Klines, asked.to_owned(), text)
    };
    rows.iter().enumerate().map(one).collect()
}

fn ascendex(path: &str, interval: &str, data: &Value) -> Vec<Row> {
    let words = ["1", "1m"];
    match path.rsplit('/').next().unwrap() {
        "pricing-data" => list(&data["contracts"])
            .into_iter()
            .flat_map(|v| {
                let all = ["markPrice", "indexPrice", "fundingRate"].map(|k| num(&v[k]));
                let at = ms(&v["time"]);
                let mark = format!("{all:?} {} {at}", ms(&v["nextFundingTime"]));
                let interest = format!("{:?} {at}", num(&v["openInterest"]));
                [(Table::Mark, mark), (Table::OpenInterest, interest)]
                    .map(|(t, text)| (t, symbol(&v["symbol"]), text))
            })
            .collect(),
        "ticker" => list(data)
            .into_iter()
            .map(|v| {
                let volume = num(&v["baseVol"]).or(num(&v["volume"]));
                let n = |k: &str| num(&v[k]);
                let all = [n("open"), n("high"), n("low"), n("close"), volume, None];
                (Table::Tickers, symbol(&v["symbol"]), format!("{all:?} -1"))
            })
            .collect(),
        "barhist" => {
            let newest = list(data).iter().map(|v| v["data"]["ts"].as_i64()).max().unwrap();
            let of = if interval == words[0] { words[1] } else { interval };
            list(data)
                .into_iter()
                .map(|v| {
                    let d = &v["data"];
                    let prices = [&d["o"], &d["h"], &d["l"], &d["c"], &d["v"]];
                    let closed = d["ts"].as_i64() != newest;
                    (Table::Klines, symbol(&v["s"]), candle(of, &d["ts"], prices, -1, closed))
                })
                .collect()
        }
        _ => Vec::new(),
    }
}

fn pumpkin(end: &str, interval: &str, data: &Value) -> Vec<Row> {
    let one = |v: &Value| {
        let n = |k: &str| num(&v[k]);
        let name = v.get("s").or(v.get("symbol")).map(symbol)?;
        let mark = |mark, index, rate, next: i64, at: i64| {
            (Table::Mark, name.clone(), format!("{:?} {next} {at}", [mark, index, rate]))
        };
        Some(match end {
            "tickers" | "ticker" | "agg-tickers" | "agg-ticker" => {
                let all = [n("o"), n("h"), n("l"), n("c"), n("a"), n("v")];
                let ticker = (Table::Tickers, name.clone(), format!("{all:?} -1"));
                match n("m") {
                    Some(m) => vec![ticker, mark(Some(m), n("i"), None, 0, ms(&v["t"]))],
                    None => vec![ticker],
                }
            }
            "mark-price" | "symbol-mark-price" => vec![mark(n("p"), None, None, 0, ms(&v["t"]))],
            "index-price" | "symbol-index-price" => vec![mark(None, n("p"), None, 0, ms(&v["t"]))],
            "funding-rate" => vec![mark(None, None, n("fundingRate"), ms(&v["nextCollectionTime"]), 0)],
            "funding-rate-record" => {
                vec![(Table::Funding, name, format!("{:?} {}", n("fundingRate"), ms(&v["createdTime"])))]
            }
            "open-interest" => {
                vec![(Table::OpenInterest, name, format!("{:?} {}", n("openInterest"), ms(&v["time"])))]
            }
            "kline" => {
                let newest = data.as_array().unwrap().iter().map(|v| v["t"].as_i64()).max().unwrap();
                let prices = [&v["o"], &v["h"], &v["l"], &v["c"], &v["a"]];
                vec![(Table::Klines, name, candle(interval, &v["t"], prices, -1, v["t"].as_i64() != newest))]
            }
            _ => return None,
        })
    };
    let rows = data.get("items").map_or_else(|| list(data), list);
    rows.into_iter().filter_map(one).flatten().collect()
}

/// What each venue is asked for leaves room for its polls.
#[test]
fn a_venue_s_own_pace_fits_its_budget() {
    for v in lobtape::venue::all() {
        let id = v.spec().id;
        let of_one: Vec<String> = v.polls().iter().filter(|p| p.every_s >= 60).map(name).collect();
        let mut list: Vec<String> = channels(id).iter().map(|c| (*c).to_owned()).collect();
        list.extend(of_one);
        let hosts = "rest = \"http://127.0.0.1:1\"\nws = \"ws://127.0.0.1:1\"\n";
        let text = format!(
            "[[venue]]\nid = \"{id}\"\nsymbols = [\"X_PERP\"]\nchannels = {:?}\n{hosts}",
            list.into_iter().collect::<BTreeSet<_>>()
        )
        .replace(['{'], "[")
        .replace(['}'], "]");
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.toml");
        std::fs::write(&file, text).unwrap();
        let (code, words) = lobtape(&["check", "-c", file.to_str().unwrap()]);
        assert_eq!(code, 0, "{id}: {words}");
        assert!(words.contains("snapshots go first"), "{words}");
    }
}
