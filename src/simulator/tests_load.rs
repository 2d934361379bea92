//! The statistics of the made-up market against those of the recordings (`data/LOAD.md`), within wide bounds: a generator
//! that drifts away from them makes benchmarks that say nothing.

use std::collections::BTreeMap;

use serde_json::Value;

use super::tests::{Client, get, manual};
use super::*;

#[derive(Debug, Default)]
struct Seen {
    per_diff: Vec<usize>,
    /// New, change, same, removed, absent.
    does: [usize; 5],
    ranks: [usize; 4],
    tickers: usize,
    trades: usize,
    spans: Vec<i64>,
}

fn watch(venue: &str, rate: u32, seconds: u64, path: &str, symbol: &str, depth: &str) -> Seen {
    let cfg = SimConfig {
        rate,
        rate_channels: vec![depth.to_owned(), "bookTicker".into(), "trade".into()],
        symbols: Symbols::List(vec![symbol.to_owned()]),
        odd_trades: false,
        ..manual(venue)
    };
    let sim = Simulator::start(cfg).unwrap();
    let lower = symbol.to_lowercase();
    let mut c =
        Client::open(sim.addr(), &format!("{path}?streams={lower}@{depth}/{lower}@bookTicker/{lower}@trade"));
    let prefix = dialects::by_venue(venue).unwrap().rest_prefixes[0];
    let body = get(sim.addr(), &format!("{prefix}depth?symbol={symbol}&limit=1000")).2;
    let snap: Value = serde_json::from_str(&body).unwrap();
    let mut book: [BTreeMap<i64, String>; 2] = Default::default();
    let px = |v: &Value| (v.as_str().unwrap().parse::<f64>().unwrap() * 1e6).round() as i64;
    for (side, k, sign) in [(0, "bids", -1), (1, "asks", 1)] {
        for l in snap[k].as_array().unwrap() {
            book[side].insert(sign * px(&l[0]), l[1].as_str().unwrap().to_owned());
        }
    }
    let mut s = Seen::default();
    for _ in 0..seconds {
        sim.advance(1_000).unwrap();
        for t in c.all() {
            let v: Value = serde_json::from_str(&t).unwrap();
            let (name, d) = (v["stream"].as_str().unwrap(), &v["data"]);
            if name.ends_with("@trade") {
                s.trades += 1;
            } else if name.ends_with("bookTicker") {
                s.tickers += 1;
            } else {
                one_diff(&mut s, &mut book, d, px);
            }
        }
    }
    s.per_diff.sort_unstable();
    s.spans.sort_unstable();
    s
}

fn one_diff(s: &mut Seen, book: &mut [BTreeMap<i64, String>; 2], d: &Value, px: impl Fn(&Value) -> i64) {
    s.spans.push(d["u"].as_i64().unwrap() - d["U"].as_i64().unwrap());
    let mut n = 0;
    for (side, k, sign) in [(0, "b", -1), (1, "a", 1)] {
        for l in d[k].as_array().unwrap() {
            n += 1;
            let (p, q) = (sign * px(&l[0]), l[1].as_str().unwrap());
            let rank = book[side].range(..p).count();
            s.ranks[[1, 100, 500, usize::MAX].iter().position(|&r| rank < r).unwrap()] += 1;
            let zero = q.parse::<f64>().unwrap() == 0.0;
            let was = if zero { book[side].remove(&p) } else { book[side].insert(p, q.to_owned()) };
            s.does[match (was, zero) {
                (None, false) => 0,
                (Some(w), false) if w == q => 2,
                (Some(_), false) => 1,
                (Some(_), true) => 3,
                (None, true) => 4,
            }] += 1;
        }
    }
    s.per_diff.push(n);
}

fn near(name: &str, what: &str, got: f64, expect: f64, factor: f64) {
    assert!(got > expect / factor && got < expect * factor, "{name} {what}: {got:.2}, recorded {expect}");
}

/// Figures of `data/LOAD.md`.
struct Recorded {
    name: &'static str,
    /// Levels per diff: median, mean, 99 %.
    levels: [f64; 3],
    /// New, change, same, removed, absent, %.
    does: [f64; 5],
    /// Best, 1-99, 100-499, deeper, %.
    ranks: [f64; 4],
    /// Median of `u - U`.
    span: f64,
}

fn hold(s: &Seen, r: &Recorded) {
    let n = s.per_diff.len();
    let at = |p: usize| s.per_diff[n * p / 100] as f64;
    let total: usize = s.per_diff.iter().sum();
    let share = |x: usize| x as f64 * 100.0 / total as f64;
    let (does, ranks) = (s.does.map(share), s.ranks.map(share));
    near(r.name, "levels p50", at(50), r.levels[0], 1.8);
    near(r.name, "levels mean", total as f64 / n as f64, r.levels[1], 1.5);
    near(r.name, "levels p99", at(99), r.levels[2], 2.5);
    near(r.name, "id span p50", s.spans[n / 2] as f64, r.span, 3.0);
    let actions = ["new", "change", "same", "removed", "absent"].iter().zip(does.iter().zip(&r.does));
    for (what, (got, expect)) in actions {
        assert!((got - expect).abs() < 9.0, "{} {what}: {got:.1} %, recorded {expect} %", r.name);
    }
    let places = ["best", "1-99", "100-499", "500+"].iter().zip(ranks.iter().zip(&r.ranks));
    for (what, (got, expect)) in places {
        assert!((got - expect).abs() < 14.0, "{} rank {what}: {got:.1} %, recorded {expect} %", r.name);
    }
    assert!(s.tickers > n && s.trades > 100, "{}: {} tickers, {} trades", r.name, s.tickers, s.trades);
}

#[test]
fn the_market_moves_as_recorded_ones_do() {
    let s = watch("binance-usdm", 273, 60, "/public/stream", "BTCUSDT", "depth@0ms");
    hold(
        &s,
        &Recorded {
            name: "USD-M",
            levels: [34.0, 67.7, 611.0],
            does: [19.4, 54.3, 4.7, 17.6, 4.0],
            ranks: [3.6, 27.2, 40.2, 28.9],
            span: 2894.0,
        },
    );
    let s = watch("binance-coinm", 121, 60, "/stream", "ETHUSD_PERP", "depth@0ms");
    hold(
        &s,
        &Recorded {
            name: "COIN-M",
            levels: [5.0, 11.2, 89.0],
            does: [23.8, 36.7, 1.7, 23.6, 14.1],
            ranks: [16.9, 53.1, 27.3, 2.7],
            span: 84.0,
        },
    );
    let s = watch("binance-spot", 153, 100, "/stream", "BTCUSDT", "depth@100ms");
    hold(
        &s,
        &Recorded {
            name: "spot",
            levels: [22.0, 45.9, 386.0],
            does: [40.0, 10.9, 1.3, 39.0, 8.8],
            ranks: [5.9, 47.6, 33.7, 12.8],
            span: 27.0,
        },
    );
}
