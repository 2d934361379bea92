//! How AscendEX speaks, for the simulator: `op` to the venue, `m` from it, pings as messages, snapshots on the connection.
//!
//! Frames have a blank before `"data"` where the recorded ones have it; numbers are printed without trailing zeros.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::model::Dec;
use crate::model::dialect::{DepthLimits, Dialect, IdScheme, Route, Speed, Tempo, TooManyStreams};
use crate::model::words::{
    Asked, BookFact, BookWish, CandleFact, Feed, Heard, Listed, MarkFact, Market, NoBook, Quotas, SymbolFact,
    TopFact, TradeFact, Wish, Words,
};

/// One product, one way of confirming.
#[derive(Debug)]
struct Way {
    futures: bool,
    /// What the documentation warns of: one acknowledgement for all symbols of a message.
    combined_ack: bool,
}

const PERPETUAL: Way = Way { futures: true, combined_ack: false };
const CASH: Way = Way { futures: false, combined_ack: false };

const fn dialect(
    venue: &'static str,
    words: &'static dyn Words,
    routes: &'static [Route],
    variants: &'static [(&'static str, &'static Dialect)],
) -> Dialect {
    Dialect {
        variants,
        ids: IdScheme::PerFrame,
        diff_speeds: &[
            Speed { suffix: "depth", every_ms: 300 },
            // Not throttled; so often a busy market changes.
            Speed { suffix: "depth-realtime", every_ms: 20 },
        ],
        kline_every_ms: 2000,
        routes,
        ping_every_ms: 15_000,
        age_max_ms: u64::MAX / 2,
        streams_max: 1000,
        too_many_streams: TooManyStreams::Close(1008, "too many subscriptions"),
        client_messages_per_s: 1000,
        connects_per_5min: 45,
        refuses_bad_names: false,
        depth_limits: DepthLimits::UpTo(500),
        depth_limit_default: 500,
        depth_weights: &[(500, 1)],
        bans_sockets: true,
        ..Dialect::with_words(venue, words)
    }
}

const FUTURES_ROUTES: &[Route] = &[Route { prefix: "/api/pro/v2/stream", public: true, market: true }];
const SPOT_ROUTES: &[Route] = &[Route { prefix: "/1/api/pro/v1/stream", public: true, market: true }];

const fn futures(way: &'static Way, variants: &'static [(&'static str, &'static Dialect)]) -> Dialect {
    dialect("ascendex-futures", way, FUTURES_ROUTES, variants)
}

const fn spot(way: &'static Way, variants: &'static [(&'static str, &'static Dialect)]) -> Dialect {
    Dialect { is_futures: false, tempo: Tempo::Spot, ..dialect("ascendex-spot", way, SPOT_ROUTES, variants) }
}

static FUTURES_COMBINED: Dialect = futures(&Way { combined_ack: true, ..PERPETUAL }, &[]);
static SPOT_COMBINED: Dialect = spot(&Way { combined_ack: true, ..CASH }, &[]);

/// Perpetual futures.
pub static FUTURES: Dialect = futures(&PERPETUAL, &[("combined-ack", &FUTURES_COMBINED)]);

/// Spot.
pub static SPOT: Dialect = spot(&CASH, &[("combined-ack", &SPOT_COMBINED)]);

/// The venue's words for candles and the simulator's.
const BARS: [(&str, &str); 12] = [
    ("1", "1m"),
    ("5", "5m"),
    ("15", "15m"),
    ("30", "30m"),
    ("60", "1h"),
    ("120", "2h"),
    ("240", "4h"),
    ("360", "6h"),
    ("720", "12h"),
    ("1d", "1d"),
    ("1w", "1w"),
    ("1m", "1M"),
];
const DEPTHS: [&str; 2] = ["depth", "depth-realtime"];
const PREFIXES: [&str; 2] = ["/api/pro/v1/", "/api/pro/v2/"];

fn plain(m: i64, e: u8) -> String {
    Dec::new(m, e).trimmed().to_string()
}

fn put(out: &mut Vec<u8>, text: &str) {
    out.clear();
    out.extend_from_slice(text.as_bytes());
}

fn pair(of: &SymbolFact<'_>, (px, qty): (i64, i64)) -> String {
    format!("[\"{}\",\"{}\"]", plain(px, of.price_dec), plain(qty, of.size_dec))
}

fn levels(of: &SymbolFact<'_>, levels: &[(i64, i64)]) -> String {
    levels.iter().map(|l| pair(of, *l)).collect::<Vec<_>>().join(",")
}

fn book(m: &str, ts: i64, b: &BookFact<'_>) -> String {
    format!(
        "{{\"m\":\"{m}\",\"symbol\":\"{}\", \"data\":{{\"ts\":{ts},\"seqnum\":{},\"asks\":[{}],\"bids\":[{}]}}}}",
        b.of.symbol,
        b.ids.1,
        levels(&b.of, b.asks),
        levels(&b.of, b.bids)
    )
}

/// Ids of trades have 18 digits and rise by two.
fn seqnum(t: &TradeFact<'_>) -> i64 {
    144_115_188_075_855_872 + 2 * t.id
}

fn one_trade(t: &TradeFact<'_>) -> String {
    format!(
        "{{\"p\":\"{}\",\"q\":\"{}\",\"ts\":{},\"bm\":{},\"seqnum\":{}}}",
        plain(t.deal.0, t.of.price_dec),
        plain(t.deal.1, t.of.size_dec),
        t.now,
        t.sold,
        seqnum(t)
    )
}

fn bar(c: &CandleFact<'_>) -> String {
    let name = BARS.iter().find(|b| b.1 == c.interval).map_or("", |b| b.0);
    let [o, h, l, close] = c.prices.map(|p| plain(p, c.of.price_dec));
    let volume = plain(i64::try_from(c.sums.0).unwrap_or(i64::MAX), c.of.size_dec);
    format!(
        "{{\"m\":\"bar\",\"s\":\"{}\",\"data\":{{\"i\":\"{name}\",\"ts\":{},\"o\":\"{o}\",\"c\":\"{close}\",\"h\":\"{h}\",\
         \"l\":\"{l}\",\"v\":\"{volume}\"}}}}",
        c.of.symbol, c.opened
    )
}

/// What the venue's table says of a code that refuses.
fn reason(code: u32) -> Option<&'static str> {
    Some(match code {
        100_005 => "INVALID_WS_REQUEST_DATA",
        100_006 => "INVALID_ARGUMENT",
        100_008 => "SYMBOL_ERROR",
        100_009 => "AUTHORIZATION_NEEDED",
        _ => return None,
    })
}

/// The answer to topics that begin or end; 0 is well.
fn acknowledged(wish: &Wish, ch: &str, code: Option<u32>) -> String {
    let mut v = json!({"m": if wish.ends { "unsub" } else { "sub" }, "ch": ch});
    if let Some(id) = &wish.id {
        v["id"] = id.as_str().into();
    }
    if let Some(code) = code {
        v["code"] = code.into();
    }
    if let Some(why) = code.and_then(reason) {
        v["reason"] = why.into();
    }
    v.to_string()
}

fn error(id: Option<&str>, code: u32, reason: &str, info: &str) -> String {
    let mut v = json!({"m": "error", "code": code, "reason": reason, "info": info});
    if let Some(id) = id {
        v["id"] = id.into();
    }
    v.to_string()
}

/// The latest trades of a symbol, oldest first, as the inside of an array.
fn latest(symbol: &str, most: usize, market: &dyn Market) -> String {
    let mut all = Vec::new();
    market.sums(symbol, most.min(100), &mut |t| all.push(one_trade(t)));
    all.reverse();
    all.join(",")
}

impl Way {
    fn hear_request(&self, v: &Value, id: Option<String>) -> Heard {
        let action = v["action"].as_str().unwrap_or("").to_owned();
        let symbol = v["args"]["symbol"].as_str().unwrap_or("").to_owned();
        let (speed, levels) = match action.as_str() {
            "depth-snapshot" => (0, 500),
            "depth-snapshot-realtime" => (1, 500),
            "depth-snapshot-top100" => (0, 100),
            "market-trades" => return Heard::Look,
            _ => {
                let why = error(id.as_deref(), 100_005, "INVALID_WS_REQUEST_DATA", "unknown action");
                return Heard::Answer(why);
            }
        };
        let topic = (levels == 500).then(|| format!("{}:{symbol}", DEPTHS[speed]));
        Heard::Book(BookWish { symbol, speed, levels, action, id, topic })
    }
}

impl Words for Way {
    fn listed(&self, asset: &str, size_dec: u8) -> Listed {
        let (base, quote) = (asset.to_owned(), "USDT".to_owned());
        let symbol = if self.futures { format!("{asset}-PERP") } else { format!("{asset}/USDT") };
        Listed { symbol, base, quote, size_dec }
    }

    fn topic<'a>(&self, name: &'a str) -> Option<(Cow<'a, str>, Feed<'a>)> {
        if name == "futures-pricing-data" {
            return self.futures.then_some(("".into(), Feed::Marks));
        }
        let (channel, symbol) = name.rsplit_once(':')?;
        let feed = match channel {
            "trades" => Feed::Sums,
            "bbo" => Feed::Top,
            // About an asset: the symbol in which it is traded speaks for it.
            "ref-px" if !self.futures => return Some((format!("{symbol}/USDT").into(), Feed::Reference)),
            _ => match channel.strip_prefix("bar:") {
                Some(i) => Feed::Candles(BARS.iter().find(|b| b.0 == i)?.1),
                None => Feed::Book(DEPTHS.iter().position(|d| *d == channel)? as u8),
            },
        };
        Some((symbol.into(), feed))
    }

    fn greeting(&self) -> Option<&'static str> {
        Some(r#"{"m":"connected","type":"unauth"}"#)
    }

    fn hear(&self, text: &str, now: i64) -> Heard {
        let Ok(v) = serde_json::from_str::<Value>(text) else {
            return Heard::Answer(error(None, 150_001, "INVALID_JSON_FORMAT", "not a JSON object"));
        };
        let id = v["id"].as_str().map(str::to_owned);
        match v["op"].as_str() {
            Some("ping") => {
                let pong = format!("{{\"m\":\"pong\",\"code\":0,\"ts\":{},\"hp\":2}}", now / 1000);
                // A client's ping holds the venue's own back.
                Heard::Ping(pong, 30_000)
            }
            Some("pong") => Heard::Pong,
            Some(op @ ("sub" | "unsub")) => {
                let ch = v["ch"].as_str().unwrap_or("");
                let topics = match ch.rsplit_once(':') {
                    Some((channel, symbols)) => {
                        symbols.split(',').map(|s| format!("{channel}:{s}")).collect()
                    }
                    None => vec![ch.to_owned()],
                };
                Heard::Wish(Wish { topics, id, ends: op == "unsub" })
            }
            Some("req") => self.hear_request(&v, id),
            _ => Heard::Answer(error(id.as_deref(), 100_005, "INVALID_WS_REQUEST_DATA", "unknown op")),
        }
    }

    fn answer(&self, wish: &Wish, taken: &[bool]) -> Vec<String> {
        let said = |ch: &str, code: Option<u32>| acknowledged(wish, ch, code);
        if wish.ends {
            return wish.topics.iter().map(|t| said(t, None)).collect();
        }
        let of = |well: bool| wish.topics.iter().zip(taken).filter(move |t| *t.1 == well).map(|t| t.0);
        let mut out: Vec<String> = of(false).map(|t| said(t, Some(100_008))).collect();
        if self.combined_ack {
            let all = joined(of(true));
            out.extend((!all.is_empty()).then(|| said(&all, Some(0))));
        } else {
            // In any order: the last one first.
            let good: Vec<_> = of(true).collect();
            out.extend(good.into_iter().rev().map(|t| said(t, Some(0))));
        }
        out
    }

    fn judges_each(&self) -> bool {
        true
    }

    fn refuses(&self, wish: &Wish, topic: &str, code: u32) -> Option<String> {
        reason(code).map(|_| acknowledged(wish, topic, Some(code)))
    }

    fn delays(&self) -> (i64, i64) {
        (200, 600)
    }

    fn quotas(&self) -> Option<Quotas> {
        Some(Quotas { wishes: 150, books: 400, ignored_ms: 15 * 60_000 })
    }

    fn book_wished(&self, wish: &BookWish, b: &BookFact<'_>) -> String {
        // The snapshot of what is not throttled states no time.
        book(&wish.action, if wish.speed == 0 { b.changed.1 } else { 0 }, b)
    }

    fn no_book(&self, wish: &BookWish, why: NoBook) -> String {
        match why {
            NoBook::Unknown => error(wish.id.as_deref(), 100_008, "SYMBOL_ERROR", &wish.symbol),
            NoBook::NotNow => error(wish.id.as_deref(), 100_101, "UNKNOWN_ERROR", "try again"),
        }
    }

    fn look(&self, text: &str, market: &dyn Market) -> String {
        let v: Value = serde_json::from_str(text).unwrap_or_default();
        let (id, symbol) = (v["id"].as_str(), v["args"]["symbol"].as_str().unwrap_or(""));
        if !market.symbols().iter().any(|s| s.symbol == symbol) {
            return error(id, 100_008, "SYMBOL_ERROR", symbol);
        }
        let most = v["args"]["level"].as_u64().unwrap_or(12) as usize;
        let id = id.map_or_else(String::new, |id| format!("\"id\":{},", json!(id)));
        format!(
            "{{\"m\":\"market-trades\",{id}\"symbol\":{},\"data\":[{}]}}",
            json!(symbol),
            latest(symbol, most, market)
        )
    }

    fn ids(&self, b: &BookFact<'_>) -> (i64, i64, i64) {
        (b.ids.0, b.ids.1, -1)
    }

    fn time(&self, b: &BookFact<'_>) -> Option<i64> {
        Some(b.changed.1)
    }

    fn book(&self, b: &BookFact<'_>, out: &mut Vec<u8>) {
        put(out, &book(DEPTHS[b.speed.min(1)], b.changed.1, b));
    }

    fn trade_id(&self, t: &TradeFact<'_>) -> i64 {
        seqnum(t)
    }

    fn trade(&self, t: &TradeFact<'_>, out: &mut Vec<u8>) {
        put(out, &format!("{{\"m\":\"trades\",\"symbol\":\"{}\",\"data\":[{}]}}", t.of.symbol, one_trade(t)));
    }

    fn candle(&self, c: &CandleFact<'_>, out: &mut Vec<u8>) {
        put(out, &bar(c));
    }

    fn volume_as_sizes(&self) -> bool {
        true
    }

    fn top(&self, t: &TopFact<'_>, out: &mut Vec<u8>) {
        let [bid, ask] = t.top.map(|l| pair(&t.of, l));
        put(
            out,
            &format!(
                "{{\"m\":\"bbo\",\"symbol\":\"{}\",\"data\":{{\"ts\":{},\"bid\":{bid},\"ask\":{ask}}}}}",
                t.of.symbol, t.now
            ),
        );
    }

    /// Its frame is in no document: it is made up after those that are.
    fn reference(&self, of: &SymbolFact<'_>, now: i64, out: &mut Vec<u8>) {
        let px = plain(of.last, of.price_dec);
        let (base, data) = (json!(of.base), format!("{{\"ts\":{now},\"p\":\"{px}\"}}"));
        put(out, &format!("{{\"m\":\"ref-px\",\"symbol\":{base},\"data\":{data}}}"));
    }

    fn mark(&self, m: &MarkFact<'_>, out: &mut Vec<u8>) {
        let (mark, index, rate) = m.of.mark;
        let dec = m.of.price_dec + 2;
        put(
            out,
            &format!(
                "{{\"s\":\"{}\",\"t\":{},\"ip\":\"{}\",\"mp\":\"{}\",\"r\":\"{}\",\"oi\":\"{}\",\"f\":{}}}",
                m.of.symbol,
                m.now,
                plain(index, dec),
                plain(mark, dec),
                plain(rate, 8),
                plain(m.of.interest, m.of.size_dec),
                m.next
            ),
        );
    }

    fn marks(&self, array: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"m\":\"futures-pricing-data\",\"con\":");
        out.extend_from_slice(array);
        out.extend_from_slice(b",\"col\":[{\"a\":\"USDT\",\"p\":\"1\"}]}");
    }

    fn asks(&self) -> Option<&'static str> {
        // As recorded.
        Some(if self.futures { r#"{"m":"ping","hp":2}"# } else { r#"{"m":"ping","hp":3}"# })
    }

    fn unanswered_max(&self) -> Option<u64> {
        Some(2)
    }

    fn farewell(&self) -> Option<&'static str> {
        Some(
            r#"{"m":"disconnected","code":100005,"reason":"INVALID_WS_REQUEST_DATA","info":"Session is disconnected due to missing pong message from the client"}"#,
        )
    }

    fn rest(&self, asked: &Asked<'_>, market: &dyn Market) -> (u16, String, i64) {
        let all = market.symbols();
        let symbol = asked.get("symbol").unwrap_or("");
        let one = all.iter().find(|s| s.symbol == symbol);
        let path = PREFIXES.iter().find_map(|p| asked.path.strip_prefix(p)).unwrap_or("");
        let data = match (path, one, self.futures) {
            ("exchange-info", ..) => match asked.get("requestTime").and_then(|t| t.parse::<i64>().ok()) {
                Some(sent) if sent > 0 => clock(sent, market.now()),
                // It is required, and a client whose clock stands at nothing has not told it.
                _ => return refused(100_001, "INVALID_HTTP_INPUT"),
            },
            ("cash/products" | "products", _, false) => array(all.iter().map(product)),
            ("futures/contract", _, true) => array(all.iter().map(contract)),
            ("depth", Some(_), _) => {
                let mut data = String::new();
                market.book(symbol, 500, &mut |b| data = book("depth-snapshot", b.changed.1, b));
                data
            }
            ("trades", Some(_), _) => {
                let most = asked.get("n").and_then(|n| n.parse().ok()).unwrap_or(100);
                let trades = latest(symbol, most, market);
                format!("{{\"m\":\"trades\",\"symbol\":{},\"data\":[{trades}]}}", json!(symbol))
            }
            ("barhist", Some(_), _) => {
                let Some(interval) = BARS.iter().find(|b| Some(b.0) == asked.get("interval")) else {
                    return refused(100_006, "INVALID_ARGUMENT");
                };
                let most = asked.get("n").and_then(|n| n.parse().ok()).unwrap_or(10);
                let mut bars = Vec::new();
                // In no order that is promised: the newest first.
                market.candles(symbol, interval.1, most, &mut |c| bars.push(bar(c)));
                array(bars)
            }
            ("depth" | "trades" | "barhist", None, _) => return refused(100_008, "SYMBOL_ERROR"),
            ("futures/ticker", _, true) | ("spot/ticker", _, false) => match one {
                Some(s) => ticker(s, self.futures, market),
                None if !symbol.is_empty() => return refused(100_008, "SYMBOL_ERROR"),
                None => array(all.iter().map(|s| ticker(s, self.futures, market))),
            },
            ("futures/pricing-data", _, true) => {
                let contracts = array(all.iter().map(|s| pricing(s, market.now())));
                format!(
                    "{{\"contracts\":{contracts},\"collaterals\":[{{\"asset\":\"USDT\",\"referencePrice\":\"1\"}}]}}"
                )
            }
            ("futures/collateral", _, true) => r#"[{"asset":"USDT","conversionFactor":"1"}]"#.to_owned(),
            ("barhist/info", ..) => r#"[{"name":"1","intervalInMillis":60000}]"#.to_owned(),
            ("risk-limit-info", ..) => {
                let (until, why) = market.banned_until().map_or((-1, ""), |ms| (ms, "too many messages"));
                let status = json!({"isBanned": until >= 0, "bannedUntil": until, "reason": why});
                let socket = json!({"status": status, "limits": {"maxWsSessionsPerIp": 300}});
                json!({"ip": "127.0.0.1", "webSocket": socket}).to_string()
            }
            _ => return (404, "<html>404 Not Found</html>".to_owned(), -1),
        };
        (200, format!("{{\"code\":0,\"data\":{data}}}"), -1)
    }

    fn refusal(&self, status: u16, _wait_s: i64) -> String {
        match status {
            401 => {
                r#"{"code":100009,"reason":"AUTHORIZATION_NEEDED","message":"this key has no such right"}"#
                    .to_owned()
            }
            // What stands before the venue says that, not the venue.
            403 => "<html><head><title>403 Forbidden</title></head></html>".to_owned(),
            _ => r#"{"code":100014,"reason":"TOO_MANY_REQUESTS","message":"too many requests"}"#.to_owned(),
        }
    }

    fn reproach(&self) -> String {
        error(None, 100_005, "INVALID_WS_REQUEST_DATA", "out of nowhere")
    }
}

/// Topics of one channel as one: `depth:A,B`.
fn joined<'t>(topics: impl Iterator<Item = &'t String>) -> String {
    let mut all = String::new();
    for topic in topics {
        match topic.rsplit_once(':') {
            Some((_, symbol)) if !all.is_empty() => all.extend([",", symbol]),
            _ => all.push_str(topic),
        }
    }
    all
}

fn refused(code: u32, reason: &str) -> (u16, String, i64) {
    (200, format!("{{\"code\":{code},\"reason\":\"{reason}\",\"message\":\"{reason}\"}}"), -1)
}

fn array(parts: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", parts.into_iter().collect::<Vec<_>>().join(","))
}

fn clock(sent: i64, now: i64) -> String {
    format!(
        "{{\"requestTimeEcho\":{sent},\"requestReceiveAt\":{now},\"latency\":{}}}",
        now.saturating_sub(sent)
    )
}

fn status(s: &SymbolFact<'_>) -> String {
    match (s.is_trading, s.status) {
        (true, _) => "Normal".to_owned(),
        (false, "") => "NoTrading".to_owned(),
        (false, word) => word.to_owned(),
    }
}

fn product(s: &SymbolFact<'_>) -> String {
    json!({
        "symbol": s.symbol, "displayName": s.symbol, "statusCode": status(s), "tickSize": plain(1, s.price_dec),
        "useTick": false, "lotSize": plain(1, s.size_dec), "minNotional": "5", "qtyScale": s.size_dec,
        "priceScale": s.price_dec,
    })
    .to_string()
}

fn contract(s: &SymbolFact<'_>) -> String {
    json!({
        "symbol": s.symbol, "status": status(s), "displayName": format!("{}{}", s.base, s.quote),
        "settlementAsset": s.quote, "underlying": format!("{}/{}", s.base, s.quote),
        "priceFilter": {"minPrice": "0", "tickSize": plain(1, s.price_dec)},
        "lotSizeFilter": {"minQty": "0", "lotSize": plain(1, s.size_dec)},
    })
    .to_string()
}

fn ticker(s: &SymbolFact<'_>, futures: bool, market: &dyn Market) -> String {
    let [open, high, low] = s.day.map(|p| plain(p, s.price_dec));
    let best = |l: &[(i64, i64)]| {
        l.first().map_or(Value::Null, |l| json!([plain(l.0, s.price_dec), plain(l.1, s.size_dec)]))
    };
    let mut v = json!({
        "symbol": s.symbol, "open": open, "close": plain(s.last, s.price_dec), "high": high, "low": low,
    });
    let volume = if futures { "baseVol" } else { "volume" };
    v[volume] = plain(i64::try_from(s.sums.0).unwrap_or(i64::MAX), s.size_dec).into();
    market.book(s.symbol, 1, &mut |b| (v["ask"], v["bid"]) = (best(b.asks), best(b.bids)));
    v.to_string()
}

fn pricing(s: &SymbolFact<'_>, now: i64) -> String {
    let (mark, index, rate) = s.mark;
    json!({
        "symbol": s.symbol, "time": now, "fundingRate": plain(rate, 8), "indexPrice": plain(index, s.price_dec + 2),
        "markPrice": plain(mark, s.price_dec + 2), "openInterest": plain(s.interest, s.size_dec),
        "nextFundingTime": (now / 28_800_000 + 1) * 28_800_000,
    })
    .to_string()
}
