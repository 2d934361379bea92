//! How Pumpkin speaks, for the simulator: its protocol page, and where that does not say, each way that it may be.

use std::borrow::Cow;

use prost::bytes::BufMut;
use prost::encoding::{WireType, encode_key, encode_varint};
use serde_json::json;

use super::sign;
use crate::model::Dec;
use crate::model::dialect::{DepthLimits, Dialect, TooManyStreams};
use crate::model::words::{
    Asked, BookFact, CandleFact, Feed, Heard, Listed, Market, SymbolFact, TradeFact, Wish, Words,
};

/// Secret of a simulated account; its key is `test_key`.
pub const SECRET: &str = "test_secret";
const KEY: &str = "test_key";
/// Candle intervals of the page.
const INTERVALS: [&str; 11] = ["1m", "5m", "15m", "30m", "1h", "4h", "1d", "1w", "1M", "3M", "6M"];
const EPOCH_MS: i64 = 1_629_702_000_000;

/// What the ids of books are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ids {
    /// `U == u + 1`.
    Plus1,
    /// `U == u` of the message before.
    Touch,
    /// A time in the upper bits: holes everywhere.
    Snowflake,
}

/// What frames are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frames {
    Text,
    /// JSON in binary frames.
    Binary,
    /// Trades and candles as protobuf, books as text.
    Protobuf,
}

/// One way in which the venue may speak.
#[derive(Debug)]
struct Way {
    ids: Ids,
    ids_as_text: bool,
    /// Whole views: every so many ms, 0 = once.
    whole: Option<u32>,
    frames: Frames,
    /// Requests must be signed.
    signed: bool,
    /// The venue sends a text `ping`.
    pings: bool,
    /// Changes come on `depth.update@…`, and on `depth@…` whole views alone.
    apart: bool,
    /// Ids by REST are those of matching, which have nothing to do with those of the socket.
    rest_counts_apart: bool,
}

const PLAIN: Way = Way {
    ids: Ids::Plus1,
    ids_as_text: false,
    whole: Some(1000),
    frames: Frames::Text,
    signed: false,
    pings: false,
    apart: false,
    rest_counts_apart: false,
};

const fn dialect(
    words: &'static dyn Words,
    variants: &'static [(&'static str, &'static Dialect)],
) -> Dialect {
    Dialect {
        variants,
        too_many_streams: TooManyStreams::Refuse(r#"{"code":40003,"msg":"subscription limit"}"#),
        depth_limits: DepthLimits::UpTo(50),
        depth_limit_default: 50,
        depth_weights: &[(50, 1)],
        ..Dialect::with_words("pumpkin-perp", words)
    }
}

static TOUCH: Dialect = dialect(&Way { ids: Ids::Touch, ids_as_text: true, ..PLAIN }, &[]);
static SNOWFLAKE: Dialect = dialect(&Way { ids: Ids::Snowflake, ids_as_text: true, ..PLAIN }, &[]);
static ONCE: Dialect = dialect(&Way { whole: Some(0), ..PLAIN }, &[]);
static NEVER: Dialect = dialect(&Way { whole: None, ..PLAIN }, &[]);
static BINARY: Dialect = dialect(&Way { frames: Frames::Binary, pings: true, ..PLAIN }, &[]);
static PROTOBUF: Dialect = dialect(&Way { frames: Frames::Protobuf, ..PLAIN }, &[]);
static SIGNED: Dialect = dialect(&Way { signed: true, ..PLAIN }, &[]);
static APART: Dialect = dialect(&Way { apart: true, ..PLAIN }, &[]);
static COUNTERS: Dialect = dialect(&Way { whole: Some(0), rest_counts_apart: true, ..PLAIN }, &[]);

/// Ids that rise by one, whole views each second, text frames, no keys.
pub static PERP: Dialect = dialect(
    &PLAIN,
    &[
        ("touch", &TOUCH),
        ("snowflake", &SNOWFLAKE),
        ("once", &ONCE),
        ("never", &NEVER),
        ("binary", &BINARY),
        ("protobuf", &PROTOBUF),
        ("signed", &SIGNED),
        ("apart", &APART),
        ("two-counters", &COUNTERS),
    ],
);

/// A mantissa without trailing zeros, as the venue prints numbers.
fn plain(m: i64, e: u8) -> String {
    Dec::new(m, e).trimmed().to_string()
}

/// A sum with more decimals than are printed: cut to four.
fn sum(m: i128, e: u8) -> String {
    let cut = e.saturating_sub(4);
    let m = m / 10i128.pow(cut.into());
    plain(i64::try_from(m).unwrap_or(i64::MAX), e - cut)
}

fn levels(of: &SymbolFact<'_>, levels: &[(i64, i64)]) -> Vec<[String; 2]> {
    levels.iter().map(|l| [plain(l.0, of.price_dec), plain(l.1, of.size_dec)]).collect()
}

impl Way {
    fn id(&self, id: i64) -> serde_json::Value {
        if self.ids_as_text { id.to_string().into() } else { id.into() }
    }

    fn put(&self, v: &serde_json::Value, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(v.to_string().as_bytes());
    }
}

/// Whether a topic is written as the page has its kind; of other kinds it has no more than that a symbol follows the `@`.
fn is_written_as_topic(name: &str) -> bool {
    let Some((base, rest)) = name.split_once('@') else { return false };
    let (symbol, arg) = rest.split_once(',').unwrap_or((rest, ""));
    let has_arg_as_due = match base {
        "trade" | "depth.update" => arg.is_empty(),
        "depth" => arg.parse::<usize>().is_ok_and(|n| n > 0),
        "kline" => !arg.is_empty(),
        _ => true,
    };
    !base.is_empty() && !symbol.is_empty() && has_arg_as_due
}

fn snowflake(ms: i64, counter: i64) -> i64 {
    ((ms - EPOCH_MS) << 22) | (counter & 0x3f_ffff)
}

fn text(field: u32, t: &str, out: &mut Vec<u8>) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(t.len() as u64, out);
    out.put_slice(t.as_bytes());
}

fn number(field: u32, n: i64, out: &mut Vec<u8>) {
    encode_key(field, WireType::Varint, out);
    encode_varint(n as u64, out);
}

impl Words for Way {
    fn listed(&self, asset: &str, _size_dec: u8) -> Listed {
        let base = asset.to_ascii_lowercase();
        // Sizes are whole contracts.
        Listed { symbol: format!("{base}_usdt"), base, quote: "usdt".to_owned(), size_dec: 0 }
    }

    fn topic<'a>(&self, name: &'a str) -> Option<(Cow<'a, str>, Feed<'a>)> {
        let (base, rest) = name.split_once('@').filter(|_| is_written_as_topic(name))?;
        let (symbol, arg) = rest.split_once(',').unwrap_or((rest, ""));
        let feed = match base {
            "trade" => Feed::Trades,
            "depth" => {
                if self.apart {
                    Feed::Whole
                } else {
                    Feed::Book(0)
                }
            }
            "depth.update" => {
                if self.apart {
                    Feed::Book(0)
                } else {
                    Feed::Silent
                }
            }
            "kline" if INTERVALS.contains(&arg) => Feed::Candles(arg),
            _ => return None,
        };
        Some((symbol.into(), feed))
    }

    fn hear(&self, text: &str, _now: i64) -> Heard {
        match text {
            "ping" => return Heard::Ping("pong".to_owned(), 0),
            "pong" => return Heard::Nothing,
            _ => {}
        }
        let bad = |code: i64, msg: &str| Heard::Answer(json!({"code": code, "msg": msg}).to_string());
        let Ok(v) = serde_json::from_str::<serde_json::Value>(text) else {
            return bad(40004, "parameters are wrong");
        };
        let Some(events) = v["events"].as_array() else { return bad(40004, "parameters are wrong") };
        let names = events.iter().filter_map(|e| e.as_str()).map(str::to_owned).collect();
        match v["method"].as_str() {
            Some("sub") => Heard::Wish(Wish::of(names, false)),
            Some("unsub") => Heard::Wish(Wish::of(names, true)),
            _ => bad(40004, "parameters are wrong"),
        }
    }

    fn answer(&self, wish: &Wish, taken: &[bool]) -> Vec<String> {
        let (code, msg) = match taken.contains(&false) {
            true if wish.topics.iter().any(|t| !is_written_as_topic(t)) => (40001, "wrong topic format"),
            true => (40002, "no such topic"),
            false => (0, "success"),
        };
        vec![json!({"code": code, "msg": msg}).to_string()]
    }

    fn whole_every_ms(&self) -> Option<u32> {
        self.whole
    }

    fn whole_apart(&self) -> bool {
        self.apart
    }

    fn refused_with(&self, code: u32) -> Option<String> {
        let msg = match code {
            40001 => "wrong topic format",
            40002 => "no such topic",
            40003 => "subscription limit",
            40004 => "parameters are wrong",
            40005 => "insufficient permissions",
            40006 => "rate limit",
            50001 => "server error",
            50002 => "unavailable",
            _ => return None,
        };
        Some(json!({"code": code, "msg": msg}).to_string())
    }

    fn is_binary(&self) -> bool {
        self.frames == Frames::Binary
    }

    fn whole_levels(&self, topic: &str) -> usize {
        topic.rsplit(',').next().and_then(|n| n.parse().ok()).unwrap_or(10)
    }

    fn ids(&self, b: &BookFact<'_>) -> (i64, i64, i64) {
        let (first, last, prev) = b.ids;
        match self.ids {
            Ids::Plus1 => (first, last, -1),
            Ids::Touch => (prev, last, -1),
            Ids::Snowflake => (snowflake(b.changed.0, first), snowflake(b.changed.1, last), -1),
        }
    }

    fn book(&self, b: &BookFact<'_>, out: &mut Vec<u8>) {
        let (first, last, _) = self.ids(b);
        let event = if b.whole { "depth" } else { "depth.update" };
        let v = json!({
            "e": event, "s": b.of.symbol, "U": self.id(first), "u": self.id(last),
            "b": levels(&b.of, b.bids), "a": levels(&b.of, b.asks),
        });
        self.put(&v, out);
    }

    fn trade(&self, t: &TradeFact<'_>, out: &mut Vec<u8>) {
        let (p, a) = (plain(t.deal.0, t.of.price_dec), plain(t.deal.1, t.of.size_dec));
        let side = if t.sold { "ASK" } else { "BID" };
        if self.frames == Frames::Protobuf {
            out.clear();
            number(1, t.now, out);
            for (field, word) in [(2, t.of.symbol), (3, &p), (4, &a), (5, side)] {
                text(field, word, out);
            }
            number(6, t.id, out);
            return;
        }
        let v = json!({"e": "trade", "s": t.of.symbol, "t": t.now, "p": p, "a": a, "m": side, "id": t.id});
        self.put(&v, out);
    }

    fn candle(&self, c: &CandleFact<'_>, out: &mut Vec<u8>) {
        let [o, h, l, close] = c.prices.map(|p| plain(p, c.of.price_dec));
        // On streams `v` is the volume and `a` the turnover.
        let v = sum(c.sums.0, c.of.size_dec);
        let a = sum(c.sums.1 / CONTRACTS_PER_COIN, c.of.price_dec + c.of.size_dec);
        if self.frames == Frames::Protobuf {
            out.clear();
            for (field, word) in [(1, c.of.symbol), (2, &o), (3, &close), (4, &h), (5, &l), (6, &a), (7, &v)]
            {
                text(field, word, out);
            }
            text(8, c.interval, out);
            number(9, c.opened, out);
            return;
        }
        let k = json!({
            "s": c.of.symbol, "i": c.interval, "t": c.opened, "o": o, "c": close, "h": h, "l": l, "v": v, "a": a,
        });
        self.put(&json!({"e": "kline", "s": c.of.symbol, "k": k}), out);
    }

    fn pings(&self) -> Option<(&'static str, u64)> {
        self.pings.then_some(("ping", 2000))
    }

    fn ping_within_ms(&self) -> Option<u64> {
        Some(30_000)
    }

    fn rest(&self, asked: &Asked<'_>, market: &dyn Market) -> (u16, String, i64) {
        let well = |data: serde_json::Value| {
            json!({"code": 0, "msg": "success", "data": data, "bizCode": null}).to_string()
        };
        let header = |name: &str| (asked.header)(name).unwrap_or_default();
        let due = sign::signature(SECRET, &sign::message(asked.target));
        if self.signed && (header("x_access_key") != KEY || header("x_signature") != due) {
            return (200, json!({"code": 1, "msg": "sign-error"}).to_string(), -1);
        }
        let all = market.symbols();
        let symbol = asked.get("symbol").unwrap_or("");
        let one = all.iter().find(|s| s.symbol == symbol);
        let data = match (asked.path, one) {
            ("/v2/public/time", _) => json!(market.now()),
            ("/v2/public/symbol/list", _) => all.iter().map(instrument).collect(),
            ("/v2/public/symbol/detail", Some(s)) => instrument(s),
            ("/v2/public/symbol/all", _) => all.iter().map(|s| json!(s.symbol)).collect(),
            ("/v2/public/q/depth", Some(_)) => return self.depth(asked, symbol, market),
            ("/v2/public/q/tickers", _) => all.iter().map(|s| ticker(s, market.now(), false)).collect(),
            ("/v2/public/q/agg-tickers", _) => all.iter().map(|s| ticker(s, market.now(), true)).collect(),
            ("/v2/public/q/mark-price", _) => all.iter().map(|s| price(s, s.mark.0, market.now())).collect(),
            ("/v2/public/q/index-price", _) => all.iter().map(|s| price(s, s.mark.1, market.now())).collect(),
            ("/v2/public/q/funding-rate", Some(s)) => json!({
                "symbol": symbol, "fundingRate": plain(s.mark.2, 8),
                "nextCollectionTime": (market.now() / 28_800_000 + 1) * 28_800_000,
            }),
            ("/v2/public/q/funding-rate-record", Some(_)) => records(asked, symbol, market),
            ("/v2/public/contract/risk-balance", Some(s)) => {
                json!({"hasPrev": false, "hasNext": false, "items": [
                    {"id": "587004485520343296", "coin": s.quote, "amount": "1234.5", "createdTime": market.now()},
                ]})
            }
            ("/v2/public/contract/open-interest", Some(s)) => json!({
                "symbol": symbol, "openInterest": plain(s.interest, s.size_dec), "openInterestUsd": "8512345.1",
                "time": market.now(),
            }),
            ("/v2/public/q/ticker", Some(s)) => ticker(s, market.now(), false),
            ("/v2/public/q/agg-ticker", Some(s)) => ticker(s, market.now(), true),
            ("/v2/public/q/symbol-mark-price", Some(s)) => price(s, s.mark.0, market.now()),
            ("/v2/public/q/symbol-index-price", Some(s)) => price(s, s.mark.1, market.now()),
            ("/v2/public/q/deal", Some(_)) => deals(asked, symbol, market),
            ("/v2/public/q/kline", Some(_)) => klines(asked, symbol, market),
            (path, None) if path.starts_with("/v2/public/") => {
                return (200, json!({"code": 1, "msg": "invalid symbol"}).to_string(), -1);
            }
            _ => return (404, "{}".to_owned(), -1),
        };
        (200, well(data), -1)
    }

    fn refusal(&self, status: u16, wait_s: i64) -> String {
        let data = json!({"type": "ip", "current": 120, "limit": 100, "reset": wait_s});
        match status {
            401 => json!({"code": -1, "msg": "invalid key"}).to_string(),
            403 => json!({"code": 403, "msg": "waf", "data": {"reset": wait_s}}).to_string(),
            439 => json!({"code": 439, "msg": "weight_quota", "data": data}).to_string(),
            _ => json!({"code": status, "msg": "ip_high_frequency", "data": data}).to_string(),
        }
    }
}

/// Of every simulated symbol.
const CONTRACTS_PER_COIN: i128 = 1000;

impl Way {
    fn depth(&self, asked: &Asked<'_>, symbol: &str, market: &dyn Market) -> (u16, String, i64) {
        let level = asked.get("level").and_then(|l| l.parse::<usize>().ok()).filter(|l| (1..=50).contains(l));
        let Some(level) = level else {
            return (200, json!({"code": 1, "msg": "level is wrong"}).to_string(), -1);
        };
        let (mut body, mut id) = (String::new(), -1);
        market.book(symbol, level, &mut |b| {
            id = match self.rest_counts_apart {
                true => snowflake(b.changed.1, b.ids.1),
                false => self.ids(b).1,
            };
            let data = json!({
                "t": market.now(), "s": symbol, "u": self.id(id), "b": levels(&b.of, b.bids), "a": levels(&b.of, b.asks),
            });
            body = json!({"code": 0, "msg": "success", "data": data, "bizCode": null}).to_string();
        });
        (200, body, id)
    }
}

fn instrument(s: &SymbolFact<'_>) -> serde_json::Value {
    json!({
        "id": 7, "symbol": s.symbol, "contractType": "PERPETUAL", "underlyingType": "U_BASED", "contractSize": "0.001",
        "tradeSwitch": s.is_trading, "state": 0, "baseCoin": s.base, "quoteCoin": s.quote, "baseCoinPrecision": 8,
        "quoteCoinPrecision": 8, "quantityPrecision": s.size_dec, "pricePrecision": s.price_dec, "minPrice": null,
        "minQty": "1", "minNotional": "5", "maxNotional": "8000000", "minStepPrice": plain(1, s.price_dec),
        "depthPrecisionMerge": 5, "makerFee": "0.0002", "takerFee": "0.0005", "labels": [], "onboardDate": 1_650_000_000_000_i64,
        "plate": "[]",
    })
}

fn ticker(s: &SymbolFact<'_>, now: i64, aggregated: bool) -> serde_json::Value {
    let [o, h, l] = s.day.map(|p| plain(p, s.price_dec));
    let mut v = json!({
        "t": now, "s": s.symbol, "c": plain(s.last, s.price_dec), "h": h, "l": l, "o": o, "a": sum(s.sums.0, s.size_dec),
        "v": sum(s.sums.1 / CONTRACTS_PER_COIN, s.price_dec + s.size_dec), "r": "0.01",
    });
    if aggregated {
        v["i"] = plain(s.mark.1, s.price_dec + 2).into();
        v["m"] = plain(s.mark.0, s.price_dec + 2).into();
        v["bp"] = plain(s.last, s.price_dec).into();
        v["ap"] = plain(s.last, s.price_dec).into();
    }
    v
}

fn number_of(asked: &Asked<'_>, key: &str, otherwise: usize) -> usize {
    asked.get(key).and_then(|n| n.parse().ok()).unwrap_or(otherwise)
}

fn records(asked: &Asked<'_>, symbol: &str, market: &dyn Market) -> serde_json::Value {
    let paid = market.funding(symbol);
    let most = number_of(asked, "limit", 10);
    let items: Vec<_> = paid
        .iter()
        .take(most)
        .map(|(at, rate)| {
            json!({
                "id": snowflake(*at, 0).to_string(), "symbol": symbol, "fundingRate": plain(*rate, 8),
                "createdTime": at, "collectionInternal": 28800,
            })
        })
        .collect();
    json!({"hasPrev": false, "hasNext": paid.len() > most, "items": items})
}

/// Newest first, as in the example.
fn deals(asked: &Asked<'_>, symbol: &str, market: &dyn Market) -> serde_json::Value {
    let mut all = Vec::new();
    market.trades(symbol, number_of(asked, "num", 50), &mut |t| {
        all.push(json!({
            "t": t.now, "s": symbol, "p": plain(t.deal.0, t.of.price_dec), "a": plain(t.deal.1, t.of.size_dec),
            "m": if t.sold { "ASK" } else { "BID" },
        }));
    });
    all.into()
}

/// By REST `a` is the volume and `v` the turnover.
fn klines(asked: &Asked<'_>, symbol: &str, market: &dyn Market) -> serde_json::Value {
    let mut all = Vec::new();
    let interval = asked.get("interval").unwrap_or("");
    market.candles(symbol, interval, number_of(asked, "limit", 500), &mut |c| {
        let [o, h, l, close] = c.prices.map(|p| plain(p, c.of.price_dec));
        let turnover = sum(c.sums.1 / CONTRACTS_PER_COIN, c.of.price_dec + c.of.size_dec);
        all.push(json!({
            "s": symbol, "t": c.opened, "o": o, "h": h, "l": l, "c": close, "a": sum(c.sums.0, c.of.size_dec), "v": turnover,
        }));
    });
    all.into()
}

fn price(s: &SymbolFact<'_>, p: i64, now: i64) -> serde_json::Value {
    json!({"s": s.symbol, "p": plain(p, s.price_dec + 2), "t": now})
}
