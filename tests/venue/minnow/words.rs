//! How it speaks, for the simulator.

use std::borrow::Cow;

use lobtape::model::Dec;
use lobtape::model::words::{
    Asked, BookFact, CandleFact, Feed, Heard, Listed, Market, SymbolFact, TradeFact, Wish, Words,
};
use serde_json::{Value, json};

/// The words.
#[derive(Debug)]
pub struct Minnow;

fn levels(of: &SymbolFact<'_>, all: &[(i64, i64)]) -> Vec<[String; 2]> {
    all.iter()
        .map(|l| [Dec::new(l.0, of.price_dec).to_string(), Dec::new(l.1, of.size_dec).to_string()])
        .collect()
}

fn put(v: &Value, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(v.to_string().as_bytes());
}

impl Words for Minnow {
    fn listed(&self, asset: &str, size_dec: u8) -> Listed {
        let (base, quote) = (asset.to_owned(), "EUR".to_owned());
        Listed { symbol: format!("{asset}-EUR"), base, quote, size_dec }
    }

    fn topic<'a>(&self, name: &'a str) -> Option<(Cow<'a, str>, Feed<'a>)> {
        let (channel, symbol) = name.split_once(':')?;
        let feed = match channel {
            "book" => Feed::Book(0),
            "trade" => Feed::Trades,
            _ => return None,
        };
        Some((symbol.into(), feed))
    }

    fn hear(&self, text: &str, _now: i64) -> Heard {
        let v: Value = serde_json::from_str(text).unwrap_or_default();
        let names = |k: &str| {
            v[k].as_array().map(|a| a.iter().filter_map(|n| n.as_str().map(str::to_owned)).collect())
        };
        match (names("sub"), names("unsub")) {
            (Some(names), _) => Heard::Wish(Wish::of(names, false)),
            (None, Some(names)) => Heard::Wish(Wish::of(names, true)),
            _ => Heard::Answer(json!({"no": "what?"}).to_string()),
        }
    }

    fn answer(&self, wish: &Wish, taken: &[bool]) -> Vec<String> {
        let one = |(topic, taken): (&String, &bool)| match taken {
            true => json!({ "ok": topic }).to_string(),
            false => json!({ "no": "no such stream", "of": topic }).to_string(),
        };
        wish.topics.iter().zip(taken).map(one).collect()
    }

    fn ids(&self, b: &BookFact<'_>) -> (i64, i64, i64) {
        (b.ids.0, b.ids.1, -1)
    }

    fn time(&self, b: &BookFact<'_>) -> Option<i64> {
        Some(b.changed.1)
    }

    fn book(&self, b: &BookFact<'_>, out: &mut Vec<u8>) {
        let (first, last, _) = b.ids;
        let v = json!({
            "on": format!("book:{}", b.of.symbol), "from": first, "to": last, "at": b.changed.1,
            "bids": levels(&b.of, b.bids), "asks": levels(&b.of, b.asks),
        });
        put(&v, out);
    }

    fn trades_chain(&self) -> bool {
        true
    }

    fn trade(&self, t: &TradeFact<'_>, out: &mut Vec<u8>) {
        let d = |m, e| Dec::new(m, e).to_string();
        let v = json!({
            "on": format!("trade:{}", t.of.symbol), "id": t.id, "at": t.now, "took": if t.sold { "bid" } else { "ask" },
            "price": d(t.deal.0, t.of.price_dec), "size": d(t.deal.1, t.of.size_dec),
        });
        put(&v, out);
    }

    fn candle(&self, _: &CandleFact<'_>, out: &mut Vec<u8>) {
        out.clear();
    }

    fn rest(&self, asked: &Asked<'_>, market: &dyn Market) -> (u16, String, i64) {
        let one = |s: &SymbolFact<'_>| {
            json!({
                "symbol": s.symbol, "base": s.base, "quote": s.quote, "state": if s.is_trading { "open" } else { "halted" },
                "tick": Dec::new(1, s.price_dec).to_string(), "step": Dec::new(1, s.size_dec).to_string(),
            })
        };
        match asked.path {
            "/now" => (200, json!({"now": market.now()}).to_string(), -1),
            "/markets" => (200, Value::Array(market.symbols().iter().map(one).collect()).to_string(), -1),
            "/book" => {
                let mut body = None;
                let id = market.book(asked.get("symbol").unwrap_or(""), 1000, &mut |b| {
                    let v = json!({
                        "to": b.ids.1, "bids": levels(&b.of, b.bids), "asks": levels(&b.of, b.asks),
                    });
                    body = Some(v.to_string());
                });
                match (body, id) {
                    (Some(body), Some(id)) => (200, body, id),
                    _ => (404, json!({"no": "no such market"}).to_string(), -1),
                }
            }
            _ => (404, json!({"no": "nothing here"}).to_string(), -1),
        }
    }

    fn refusal(&self, _status: u16, wait_s: i64) -> String {
        json!({"no": format!("wait {wait_s} s")}).to_string()
    }
}
