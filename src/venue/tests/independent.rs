//! A second reader of the same frames: serde_json trees and `rust_decimal`, no code shared with the first.

use rust_decimal::Decimal;
use serde_json::Value;
use std::str::FromStr;

fn number(v: &Value) -> String {
    Decimal::from_str(v.as_str().unwrap()).unwrap().normalize().to_string()
}

/// A decimal of the tables that allow missing ones: "" for those.
fn maybe(v: &Value) -> String {
    if v.as_str().is_none_or(str::is_empty) { String::new() } else { number(v) }
}

fn integer(v: &Value) -> i64 {
    v.as_i64().unwrap_or(-1)
}

fn ns(v: &Value) -> i64 {
    v.as_i64().unwrap_or(0) * 1_000_000
}

fn levels(v: &Value) -> Vec<(Decimal, String)> {
    v.as_array()
        .unwrap()
        .iter()
        .map(|l| {
            let price = Decimal::from_str(l[0].as_str().unwrap()).unwrap();
            (price, format!("{}x{}", number(&l[0]), number(&l[1])))
        })
        .collect()
}

fn joined(levels: &[(Decimal, String)]) -> String {
    levels.iter().map(|(_, t)| t.as_str()).collect::<Vec<_>>().join(" ")
}

fn either<'v>(d: &'v Value, a: &str, b: &str) -> &'v Value {
    if d[a].is_null() { &d[b] } else { &d[a] }
}

/// The line of a book message of the given kind.
pub fn book(kind: &str, d: &Value) -> String {
    let mut bids = levels(either(d, "b", "bids"));
    let mut asks = levels(either(d, "a", "asks"));
    if kind == "partial" {
        bids.sort_by_key(|l| std::cmp::Reverse(l.0));
        asks.sort_by_key(|l| l.0);
    }
    format!(
        "{kind} T={} E={} U={} u={} pu={} b=[{}] a=[{}]",
        ns(&d["T"]),
        ns(&d["E"]),
        integer(&d["U"]),
        integer(either(d, "u", "lastUpdateId")),
        integer(&d["pu"]),
        joined(&bids),
        joined(&asks)
    )
}

fn taker(d: &Value) -> i8 {
    if d["m"].as_bool().unwrap() { -1 } else { 1 }
}

/// The line of a frame's data by its stream's channel.
pub fn event(channel: &str, d: &Value) -> String {
    let is_partial = ["depth5", "depth10", "depth20"].iter().any(|p| channel.starts_with(p));
    if is_partial {
        return book("partial", d);
    }
    if channel.starts_with("depth") {
        return book("depth", d);
    }
    match channel.split(['@', '_']).next().unwrap() {
        "bookTicker" => format!(
            "bbo T={} E={} u={} b={}x{} a={}x{}",
            ns(&d["T"]),
            ns(&d["E"]),
            integer(&d["u"]),
            number(&d["b"]),
            number(&d["B"]),
            number(&d["a"]),
            number(&d["A"])
        ),
        "trade" => format!(
            "trade T={} E={} chain={t} id={t} last=-1 text=\"\" side={} p={} q={} {} agg=false",
            ns(&d["T"]),
            ns(&d["E"]),
            taker(d),
            number(&d["p"]),
            number(&d["q"]),
            match d["X"].as_str() {
                Some("INSURANCE_FUND") => "insurance",
                Some("MARKET") | None => "market",
                Some(x) => panic!("{x} is new"),
            },
            t = integer(&d["t"])
        ),
        "aggTrade" => format!(
            "trade T={} E={} chain={a} id={} last={} text=\"{a}\" side={} p={} q={} market agg=true",
            ns(&d["T"]),
            ns(&d["E"]),
            integer(&d["f"]),
            integer(&d["l"]),
            taker(d),
            number(&d["p"]),
            number(&d["q"]),
            a = integer(&d["a"])
        ),
        "markPrice" => format!(
            "mark T=0 E={} p={} i={} P={} r={} next={}",
            ns(&d["E"]),
            maybe(&d["p"]),
            maybe(&d["i"]),
            maybe(&d["P"]),
            maybe(&d["r"]),
            ns(&d["T"])
        ),
        "kline" => kline(d),
        other => panic!("{other}: no second reader"),
    }
}

fn kline(d: &Value) -> String {
    let k = &d["k"];
    format!(
        "kline E={} i={} t={} T={} o={} h={} l={} c={} v={} q={} V={} Q={} n={} f={} L={} x={}",
        ns(&d["E"]),
        k["i"].as_str().unwrap(),
        ns(&k["t"]),
        ns(&k["T"]),
        number(&k["o"]),
        number(&k["h"]),
        number(&k["l"]),
        number(&k["c"]),
        number(&k["v"]),
        number(&k["q"]),
        number(&k["V"]),
        number(&k["Q"]),
        integer(&k["n"]),
        integer(&k["f"]),
        integer(&k["L"]),
        k["x"]
    )
}

/// Streams that a frame of AscendEX belongs to or speaks of.
pub fn ascendex_streams(v: &Value) -> Vec<String> {
    let symbol = v["symbol"].as_str().unwrap_or_default();
    match v["m"].as_str().unwrap() {
        "sub" => vec![v["ch"].as_str().unwrap().to_owned()],
        "depth" | "depth-snapshot" => vec![format!("depth:{symbol}")],
        "trades" => vec![format!("trades:{symbol}")],
        _ => Vec::new(),
    }
}

/// The lines of a frame of AscendEX, of the kinds that were recorded.
pub fn ascendex(v: &Value) -> Vec<String> {
    let d = &v["data"];
    let book = |kind: &str, first: i64| {
        format!(
            "{kind} T={} E=0 U={first} u={} pu=-1 b=[{}] a=[{}]",
            ns(&d["ts"]),
            integer(&d["seqnum"]),
            joined(&levels(&d["bids"])),
            joined(&levels(&d["asks"]))
        )
    };
    match v["m"].as_str().unwrap() {
        "depth" => vec![book("depth", integer(&d["seqnum"]))],
        "depth-snapshot" => vec![book("snapshot", -1)],
        "trades" => d.as_array().unwrap().iter().map(ascendex_trade).collect(),
        "sub" => vec!["reply id=-1 error=false code=0 \"\"".to_owned()],
        "ping" => vec!["notice Ping".to_owned()],
        "connected" => vec!["notice Alive".to_owned()],
        other => panic!("{other}: no second reader"),
    }
}

fn ascendex_trade(t: &Value) -> String {
    format!(
        "trade T={} E=0 chain=-1 id={} last=-1 text=\"\" side={} p={} q={} unknown agg=false",
        ns(&t["ts"]),
        integer(&t["seqnum"]),
        if t["bm"].as_bool().unwrap() { -1 } else { 1 },
        number(&t["p"]),
        number(&t["q"])
    )
}
