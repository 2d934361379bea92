//! AscendEX's speech: what its frames print, what it answers on the socket and by REST.
//!
//! Frames have a blank before `"data"` where the recorded ones have it; numbers are printed without trailing zeros.

use std::collections::VecDeque;
use std::rc::Rc;

use serde_json::Value;

use super::control::Entry;
use super::faults::FaultKind;
use super::http::{Answer, Head, query};
use super::listing::Listing;
use super::market::{Ev, Market};
use super::outbound::{Conn, End};
use super::payload::{Face, Marked, Out, Shape, Span};
use super::stats::{Bar, Stats};
use super::streams::{Channel, INTERVALS, Scope, Wanted};
use super::symbols::SymbolDef;
use super::text::{escaped, int, key_int, key_str, put};
use super::world::World;
use crate::model::dialect::{Dialect, Speech};
use crate::model::num::write_plain_bytes;

/// Acknowledgements come so much later, ms.
const ACK_MS: i64 = 200;
/// Snapshots come so much later, ms.
const SNAPSHOT_MS: i64 = 600;
/// A client's ping holds the venue's own back for so long, ms.
const QUIET_MS: i64 = 30_000;
/// Beyond its first threshold a group of messages is ignored for so long, ms.
const IGNORED_MS: i64 = 15 * 60_000;
/// Levels a side of a snapshot.
const LEVELS: usize = 500;
/// The venue's words for [`INTERVALS`]; "" where it has none.
const BARS: [&str; 16] =
    ["", "1", "", "5", "15", "30", "60", "120", "240", "360", "", "720", "1d", "", "1w", "1m"];

// Frames.

fn plain(w: &mut Vec<u8>, m: i64, dec: u8) {
    let mut buf = [0u8; 44];
    let n = write_plain_bytes(&mut buf, m, dec);
    w.extend_from_slice(&buf[44 - n..]);
}

fn key_plain(w: &mut Vec<u8>, key: &str, m: i64, dec: u8) {
    put(w, ",\"");
    put(w, key);
    put(w, "\":\"");
    plain(w, m, dec);
    w.push(b'"');
}

fn pair(w: &mut Vec<u8>, f: &Face, (px, qty): (i64, i64)) {
    put(w, "[\"");
    plain(w, f.px(px), f.pd);
    put(w, "\",\"");
    plain(w, f.qty(qty), f.sd);
    put(w, "\"]");
}

fn sides(w: &mut Vec<u8>, f: &Face, bids: &[(i64, i64)], asks: &[(i64, i64)]) {
    for (key, levels) in [(",\"asks\":[", asks), ("],\"bids\":[", bids)] {
        put(w, key);
        for (n, l) in levels.iter().enumerate() {
            if n > 0 {
                w.push(b',');
            }
            pair(w, f, *l);
        }
    }
    put(w, "]}}");
}

fn book_head(w: &mut Vec<u8>, m: &str, f: &Face, ts: i64, seqnum: i64) {
    put(w, "{\"m\":\"");
    put(w, m);
    put(w, "\",\"symbol\":\"");
    put(w, &f.s);
    put(w, "\", \"data\":{\"ts\":");
    int(w, ts);
    key_int(w, "seqnum", seqnum);
}

/// Diffs.
pub fn depth(sh: &Shape, o: &mut Out, f: &Face, s: Span, bids: &[(i64, i64)], asks: &[(i64, i64)]) {
    book_head(&mut o.data, sh.d.diff_speeds[s.speed].suffix, f, s.t, s.last);
    sides(&mut o.data, f, bids, asks);
    if o.logged {
        o.log_int("U", s.first);
        o.log_int("u", s.last);
        o.log_int("T", s.t);
        sh.log_levels(o, f, bids, asks);
    }
}

/// Best bid and ask.
pub fn bbo(o: &mut Out, f: &Face, m: &Market, now: i64) {
    let (bid, ask) = m.top();
    let w = &mut o.data;
    put(w, "{\"m\":\"bbo\",\"symbol\":\"");
    put(w, &f.s);
    put(w, "\",\"data\":{\"ts\":");
    int(w, now);
    put(w, ",\"bid\":");
    pair(w, f, bid);
    put(w, ",\"ask\":");
    pair(w, f, ask);
    put(w, "}}");
    o.log_int("u", -1);
    o.log_int("T", now);
    if o.logged {
        for (key, m, dec) in [
            ("bp", f.px(bid.0), f.pd),
            ("bq", f.qty(bid.1), f.sd),
            ("ap", f.px(ask.0), f.pd),
            ("aq", f.qty(ask.1), f.sd),
        ] {
            key_plain(&mut o.line, key, m, dec);
        }
    }
}

/// Ids of trades have 18 digits and rise by two.
fn trade_seqnum(t: i64) -> i64 {
    144_115_188_075_855_872 + 2 * t
}

/// The fills of one order at one price, which the venue may merge.
pub fn trade(o: &mut Out, f: &Face, ev: Ev, t: i64) {
    let Ev::Agg { px, qty, last, buyer_maker, .. } = ev else { return };
    let seqnum = trade_seqnum(last);
    let w = &mut o.data;
    put(w, "{\"m\":\"trades\",\"symbol\":\"");
    put(w, &f.s);
    put(w, "\",\"data\":[");
    element(w, f, (px, qty), t, buyer_maker, seqnum);
    put(w, "]}");
    o.log_int("t", seqnum);
    o.log_int("T", t);
    if o.logged {
        key_plain(&mut o.line, "p", f.px(px), f.pd);
        key_plain(&mut o.line, "q", f.qty(qty), f.sd);
        put(&mut o.line, if buyer_maker { ",\"m\":true" } else { ",\"m\":false" });
    }
}

fn element(w: &mut Vec<u8>, f: &Face, (px, qty): (i64, i64), t: i64, buyer_maker: bool, seqnum: i64) {
    put(w, "{\"p\":\"");
    plain(w, f.px(px), f.pd);
    w.push(b'"');
    key_plain(w, "q", f.qty(qty), f.sd);
    key_int(w, "ts", t);
    put(w, if buyer_maker { ",\"bm\":true" } else { ",\"bm\":false" });
    key_int(w, "seqnum", seqnum);
    w.push(b'}');
}

/// A candle.
pub fn bar(o: &mut Out, f: &Face, interval: usize, b: &Bar) {
    bar_frame(&mut o.data, f, interval, b);
    let [open, high, low, close] = super::payload::prices(b, f);
    o.log_columns(
        &[("interval", INTERVALS[interval].0)],
        &[("ts_open", b.open_ms * 1_000_000)],
        &[open, high, low, close, ("volume", b.volume, f.sd)],
    );
}

fn bar_frame(w: &mut Vec<u8>, f: &Face, interval: usize, b: &Bar) {
    put(w, "{\"m\":\"bar\",\"s\":\"");
    put(w, &f.s);
    put(w, "\",\"data\":{\"i\":\"");
    put(w, BARS[interval]);
    put(w, "\",\"ts\":");
    int(w, b.open_ms);
    for (k, v) in [("o", b.open), ("c", b.close), ("h", b.high), ("l", b.low)] {
        key_plain(w, k, v, f.pd);
    }
    let volume = i64::try_from(b.volume).unwrap_or(i64::MAX);
    key_plain(w, "v", volume, f.sd);
    put(w, "}}");
}

/// One contract of the pricing frame.
pub fn contract(o: &mut Out, f: &Face, p: Marked, next: i64, now: i64) {
    let w = &mut o.data;
    put(w, "{\"s\":\"");
    put(w, &f.s);
    w.push(b'"');
    key_int(w, "t", now);
    key_plain(w, "ip", f.px(p.index), f.pd + 2);
    key_plain(w, "mp", f.px(p.mark), f.pd + 2);
    key_plain(w, "r", p.rate_e8, 8);
    key_plain(w, "oi", f.qty(p.interest), f.sd);
    key_int(w, "f", next);
    w.push(b'}');
    o.log_int("tm", now);
    o.log_int("T", next);
    if o.logged {
        key_plain(&mut o.line, "p", f.px(p.mark), f.pd + 2);
        key_plain(&mut o.line, "oi", f.qty(p.interest), f.sd);
    }
    o.log_columns(
        &[],
        &[],
        &[("index_px", f.px(p.index).into(), f.pd + 2), ("funding_rate", p.rate_e8.into(), 8)],
    );
}

/// The reference price of an asset. Its frame is in no document: it is made up after those that are.
pub fn reference(o: &mut Out, f: &Face, def: &SymbolDef, s: &Stats, now: i64) {
    let w = &mut o.data;
    put(w, "{\"m\":\"ref-px\",\"symbol\":\"");
    put(w, &escaped(&def.base));
    put(w, "\",\"data\":{\"ts\":");
    int(w, now);
    key_plain(w, "p", s.day.close, f.pd);
    put(w, "}}");
}

/// The pricing frame around its contracts.
pub fn priced(contracts: &[u8]) -> Vec<u8> {
    let mut w = b"{\"m\":\"futures-pricing-data\",\"con\":".to_vec();
    w.extend_from_slice(contracts);
    put(&mut w, ",\"col\":[{\"a\":\"USDT\",\"p\":\"1\"}]}");
    w
}

// Names.

/// What a channel carries; the market's own is not among them.
pub fn channel(d: &Dialect, name: &str) -> Option<Channel> {
    Some(match name {
        "trades" => Channel::AggTrade,
        "bbo" => Channel::BookTicker,
        "ref-px" if !d.product.is_futures() => Channel::ReferencePrice,
        _ => match name.strip_prefix("bar:") {
            Some(i) => Channel::Kline(BARS.iter().position(|b| !b.is_empty() && *b == i)? as u8),
            None => Channel::Diff(d.diff_speeds.iter().position(|s| s.suffix == name)? as u8),
        },
    })
}

/// What a name asks for; `symbol_of` finds symbols by their names in lower case.
pub fn parse(d: &Dialect, symbol_of: impl Fn(&str) -> Option<usize>, name: &str) -> Option<Wanted> {
    if name == "futures-pricing-data" {
        return d.all_mark.then_some(Wanted { scope: Scope::All, channel: Channel::Mark1s });
    }
    let (name, symbol) = name.rsplit_once(':')?;
    let channel = channel(d, name)?;
    if channel == Channel::ReferencePrice {
        // About an asset: the symbol in which it is traded speaks for it.
        let sym = symbol_of(&format!("{}/usdt", symbol.to_ascii_lowercase()))?;
        return Some(Wanted { scope: Scope::Symbol(sym), channel });
    }
    Some(Wanted { scope: Scope::Symbol(symbol_of(&symbol.to_ascii_lowercase())?), channel })
}

/// Reads the path of an upgrade request.
pub(super) fn entry(d: &Dialect, path: &str) -> Option<Entry> {
    let served = d.routes.iter().any(|r| r.prefix == path);
    served.then(|| Entry { public: true, market: true, combined: false, names: Vec::new() })
}

// Answers.

/// An answer on its way.
struct Due {
    at: i64,
    conn: Rc<Conn>,
    what: What,
}

enum What {
    Text(String),
    Snapshot { sym: usize, speed: usize, kept: Option<Book>, cut: bool },
    Top { sym: usize },
}

/// A book as `(seqnum, ms of its last change, bids, asks)`, best first.
type Book = (i64, i64, Vec<(i64, i64)>, Vec<(i64, i64)>);

/// Answers on their way, and how many messages of a kind came in the last minute.
#[derive(Default)]
pub(super) struct Later {
    due: Vec<Due>,
    subscribes: Group,
    snapshots: Group,
}

/// Messages that share one threshold.
#[derive(Default)]
struct Group {
    heard: VecDeque<i64>,
    ignored_until: i64,
}

impl Group {
    /// Whether one more is heard at all.
    fn takes(&mut self, now: i64, most: usize) -> bool {
        while self.heard.front().is_some_and(|t| now - t >= 60_000) {
            self.heard.pop_front();
        }
        if now < self.ignored_until {
            return false;
        }
        self.heard.push_back(now);
        if self.heard.len() > most {
            self.ignored_until = now + IGNORED_MS;
        }
        self.heard.len() <= most
    }
}

pub(super) fn error_text(id: Option<&str>, code: u32, reason: &str, info: &str) -> String {
    let id = id.map_or(String::new(), |id| format!("\"id\":\"{}\",", escaped(id)));
    let info = escaped(info);
    format!("{{\"m\":\"error\",{id}\"code\":{code},\"reason\":\"{reason}\",\"info\":\"{info}\"}}")
}

impl World {
    /// The first word on a connection.
    pub(super) fn greet(&mut self, conn: &Conn) {
        if self.shape.d.speech.is_ascendex() {
            self.reply(conn, "{\"m\":\"connected\",\"type\":\"unauth\"}");
        }
    }

    /// The venue's ping, as a message.
    pub(super) fn ping_by_message(&mut self, conn: &Conn) {
        let hp = if self.shape.d.product.is_futures() { 2 } else { 3 };
        self.reply(conn, &format!("{{\"m\":\"ping\",\"hp\":{hp}}}"));
    }

    /// The last word to a client that answers no pings.
    pub(super) fn give_up(&mut self, conn: &Conn) {
        self.reply(
            conn,
            "{\"m\":\"disconnected\",\"code\":100005,\"reason\":\"INVALID_WS_REQUEST_DATA\",\"info\":\"Session is disconnected due to missing pong message from the client\"}",
        );
    }

    /// Answers one text message.
    pub(super) fn on_ascendex_text(&mut self, conn: &Rc<Conn>, text: &str) {
        let Ok(v) = serde_json::from_str::<Value>(text) else {
            let bad = error_text(None, 150_001, "INVALID_JSON_FORMAT", "not a JSON object");
            return self.reply(conn, &bad);
        };
        let id = v.get("id").and_then(Value::as_str);
        let now = self.now;
        match v.get("op").and_then(Value::as_str) {
            Some("ping") => {
                {
                    let mut s = conn.side.borrow_mut();
                    s.pong_missing = None;
                    s.pinged =
                        now + QUIET_MS - self.cfg.ping_every_ms.unwrap_or(self.shape.d.ping_every_ms) as i64;
                }
                let pong = format!("{{\"m\":\"pong\",\"code\":0,\"ts\":{},\"hp\":2}}", now / 1000);
                self.reply(conn, &pong);
            }
            Some("pong") => conn.side.borrow_mut().pong_missing = None,
            Some(op @ ("sub" | "unsub")) => {
                if self.later.subscribes.takes(now, 150) {
                    let ch = v.get("ch").and_then(Value::as_str).unwrap_or("");
                    self.on_sub(conn, op == "sub", ch, id);
                }
            }
            Some("req") => {
                if self.later.snapshots.takes(now, 400) {
                    self.on_req(conn, &v, id);
                }
            }
            _ => {
                let bad = error_text(id, 100_005, "INVALID_WS_REQUEST_DATA", "unknown op");
                self.reply(conn, &bad);
            }
        }
    }

    fn on_sub(&mut self, conn: &Rc<Conn>, is_sub: bool, ch: &str, id: Option<&str>) {
        let (channel, subjects) = match ch.rsplit_once(':') {
            Some((c, s)) => (c, s.split(',').collect()),
            None => (ch, vec![""]),
        };
        let id = id.map_or(String::new(), |id| format!("\"id\":\"{}\",", escaped(id)));
        let mut good = Vec::new();
        for subject in subjects {
            let name = if subject.is_empty() { channel.to_owned() } else { format!("{channel}:{subject}") };
            if !is_sub {
                self.unsubscribe(conn, std::slice::from_ref(&name));
                let safe = escaped(&name);
                self.later(conn, ACK_MS, What::Text(format!("{{\"m\":\"unsub\",{id}\"ch\":\"{safe}\"}}")));
            } else if self.can_subscribe(&name)
                && self.rest.use_up(FaultKind::RefuseSubscribe, subject).is_none()
            {
                if !self.subscribe(conn, std::slice::from_ref(&name), None) {
                    return;
                }
                good.push(name);
            } else {
                let safe = escaped(&name);
                let refusal = format!(
                    "{{\"m\":\"sub\",{id}\"ch\":\"{safe}\",\"code\":100008,\"reason\":\"SYMBOL_ERROR\"}}"
                );
                self.later(conn, ACK_MS, What::Text(refusal));
            }
        }
        if self.shape.d.speech == (Speech::Ascendex { combined_ack: true }) && !good.is_empty() {
            let subjects: Vec<&str> =
                good.iter().filter_map(|n| n.strip_prefix(channel)?.strip_prefix(':')).collect();
            let all = if subjects.is_empty() {
                channel.to_owned()
            } else {
                format!("{channel}:{}", subjects.join(","))
            };
            good = vec![all];
        }
        // In any order: the last one first.
        for name in good.iter().rev() {
            let safe = escaped(name);
            self.later(
                conn,
                ACK_MS,
                What::Text(format!("{{\"m\":\"sub\",{id}\"ch\":\"{safe}\",\"code\":0}}")),
            );
        }
    }

    /// Whether a name can be subscribed to; symbols are taken as they are listed only.
    fn can_subscribe(&self, name: &str) -> bool {
        let Some(w) = parse(self.shape.d, |s| self.by_name.get(s).copied(), name) else { return false };
        match w.scope {
            Scope::Symbol(s) if self.symbols[s].listing == Listing::Gone => false,
            Scope::Symbol(s) if w.channel == Channel::ReferencePrice => {
                name.ends_with(&self.symbols[s].def.base)
            }
            Scope::Symbol(s) => name.ends_with(&self.symbols[s].def.symbol),
            _ => true,
        }
    }

    fn on_req(&mut self, conn: &Rc<Conn>, v: &Value, id: Option<&str>) {
        let action = v.get("action").and_then(Value::as_str).unwrap_or("");
        let symbol = v["args"].get("symbol").and_then(Value::as_str).unwrap_or("");
        let speed = match action {
            "depth-snapshot" | "depth-snapshot-top100" | "market-trades" => 0,
            "depth-snapshot-realtime" => 1,
            _ => {
                let bad = error_text(id, 100_005, "INVALID_WS_REQUEST_DATA", "unknown action");
                return self.later(conn, ACK_MS, What::Text(bad));
            }
        };
        let Some(sym) = self.find(symbol) else {
            let bad = error_text(id, 100_008, "SYMBOL_ERROR", symbol);
            return self.later(conn, ACK_MS, What::Text(bad));
        };
        match action {
            "depth-snapshot-top100" => return self.later(conn, SNAPSHOT_MS, What::Top { sym }),
            "market-trades" => {
                let most = v["args"].get("level").and_then(Value::as_u64).unwrap_or(12) as usize;
                let id = id.map_or(String::new(), |id| format!("\"id\":\"{}\",", escaped(id)));
                let mut b = format!("{{\"m\":\"market-trades\",{id}\"symbol\":\"").into_bytes();
                self.latest_trades(&mut b, sym, most);
                let text = String::from_utf8_lossy(&b).into_owned();
                return self.later(conn, ACK_MS, What::Text(text));
            }
            _ => {}
        }
        if self.rest.use_up(FaultKind::RefuseSnapshot, symbol).is_some() {
            let bad = error_text(id, 100_101, "UNKNOWN_ERROR", "try again");
            return self.later(conn, ACK_MS, What::Text(bad));
        }
        let cut = self.rest.use_up(FaultKind::TruncatedJson, symbol).is_some();
        let mut kept = None;
        let mut wait = SNAPSHOT_MS;
        if self.rest.use_up(FaultKind::StaleSnapshot, symbol).is_some() {
            kept = self.rest.kept_book(sym).map(|(id, bids, asks)| (id, self.start, bids, asks));
        }
        if let Some(f) = self.rest.use_up(FaultKind::LateSnapshot, symbol) {
            // As it is now, but told later: diffs overtake it.
            kept = Some(self.book_now(sym, speed));
            wait += f.for_ms as i64;
        }
        self.later(conn, wait, What::Snapshot { sym, speed, kept, cut });
    }

    fn later(&mut self, conn: &Rc<Conn>, wait: i64, what: What) {
        self.later.due.push(Due { at: self.now + wait, conn: conn.clone(), what });
    }

    /// The book as the diffs have told it: what they have not told yet goes first.
    fn book_now(&mut self, sym: usize, speed: usize) -> Book {
        self.flush_depth(sym, speed);
        let s = &self.symbols[sym];
        let m = &s.market;
        let ts = m.touched.last().map_or(self.now, |t| t.at);
        (
            s.told(speed),
            ts,
            m.bids.best_first().take(LEVELS).collect(),
            m.asks.best_first().take(LEVELS).collect(),
        )
    }

    /// Gives the answers whose time has come.
    pub(super) fn later_due(&mut self) {
        while let Some(n) = self.later.due.iter().position(|d| d.at <= self.now) {
            let Due { conn, what, .. } = self.later.due.remove(n);
            match what {
                What::Text(text) => self.reply(&conn, &text),
                What::Top { sym } => {
                    let (id, ts, mut bids, mut asks) = self.book_now(sym, 0);
                    bids.truncate(100);
                    asks.truncate(100);
                    let f = &self.symbols[sym].face;
                    let mut b = Vec::new();
                    book_head(&mut b, "depth-snapshot-top100", f, ts, id);
                    sides(&mut b, f, &bids, &asks);
                    let text = String::from_utf8_lossy(&b).into_owned();
                    self.reply(&conn, &text);
                }
                What::Snapshot { sym, speed, kept, cut } => {
                    let (id, ts, bids, asks) = match kept {
                        Some(b) => b,
                        None => self.book_now(sym, speed),
                    };
                    let m = if speed == 0 { "depth-snapshot" } else { "depth-snapshot-realtime" };
                    let f = &self.symbols[sym].face;
                    let mut b = Vec::new();
                    book_head(&mut b, m, f, if speed == 0 { ts } else { 0 }, id);
                    sides(&mut b, f, &bids, &asks);
                    if cut {
                        b.truncate(b.len() / 2);
                    }
                    let text = String::from_utf8_lossy(&b).into_owned();
                    if cut {
                        self.reply(&conn, &text);
                        continue;
                    }
                    let channel = if speed == 0 { "depth" } else { "depth-realtime" };
                    let symbol = &self.symbols[sym].def.symbol;
                    let stream = format!("{channel}:{symbol}");
                    let line = format!(",\"kind\":\"snapshot\",\"sym\":\"{symbol}\",\"u\":{id}");
                    self.say_as(&conn, &stream, &text, line.as_bytes());
                }
            }
        }
    }

    // REST.

    /// Answers a request.
    pub(super) fn ascendex_rest(&mut self, head: &Head) -> Answer {
        let path = head.target.split_once('?').map_or(head.target.as_str(), |p| p.0);
        let q = query(&head.target);
        let symbol = q.iter().find(|p| p.0 == "symbol").map_or("", |p| p.1.as_str());
        let found = self.find(symbol);
        let prefix = self.shape.d.rest_prefixes.iter().find_map(|p| path.strip_prefix(p));
        let refused = |code: u32, reason: &str| {
            Answer::new(200, format!("{{\"code\":{code},\"reason\":\"{reason}\",\"message\":\"{reason}\"}}"))
        };
        match (prefix, found) {
            (Some("exchange-info"), _) => Answer::new(
                200,
                format!(
                    "{{\"code\":0,\"data\":{{\"requestTimeEcho\":0,\"requestReceiveAt\":{},\"latency\":0}}}}",
                    self.now
                ),
            ),
            (Some("cash/products" | "products"), _) if !self.shape.d.product.is_futures() => {
                self.listing(false)
            }
            (Some("futures/contract"), _) if self.shape.d.product.is_futures() => self.listing(true),
            (Some("depth"), Some(sym)) => {
                let (id, ts, bids, asks) = self.book_now(sym, 0);
                let f = &self.symbols[sym].face;
                let mut b = b"{\"code\":0,\"data\":".to_vec();
                book_head(&mut b, "depth-snapshot", f, ts, id);
                sides(&mut b, f, &bids, &asks);
                b.push(b'}');
                Answer::new(200, b)
            }
            (Some("trades"), Some(sym)) => {
                let n = q.iter().find(|p| p.0 == "n").and_then(|p| p.1.parse().ok()).unwrap_or(100);
                let mut b = b"{\"code\":0,\"data\":{\"m\":\"trades\",\"symbol\":\"".to_vec();
                self.latest_trades(&mut b, sym, n);
                b.push(b'}');
                Answer::new(200, b)
            }
            (Some("barhist"), Some(sym)) => {
                let get = |k: &str| q.iter().find(|p| p.0 == k).map_or("", |p| p.1.as_str());
                self.bar_history(sym, get("interval"), get("n").parse().unwrap_or(10))
                    .unwrap_or_else(|| refused(100_006, "INVALID_ARGUMENT"))
            }
            (Some("depth" | "trades" | "barhist"), None) => refused(100_008, "SYMBOL_ERROR"),
            (Some("risk-limit-info"), _) => Answer::new(
                200,
                "{\"code\":0,\"data\":{\"ip\":\"127.0.0.1\",\"webSocket\":{\"status\":{\"isBanned\":false,\
                 \"bannedUntil\":-1,\"reason\":\"\"},\"limits\":{\"maxWsSessionsPerIp\":300}}}}",
            ),
            (Some("barhist/info"), _) => {
                Answer::new(200, "{\"code\":0,\"data\":[{\"name\":\"1\",\"intervalInMillis\":60000}]}")
            }
            (Some("futures/ticker"), _) if self.shape.d.product.is_futures() => self.tickers(symbol, found),
            (Some("spot/ticker"), _) if !self.shape.d.product.is_futures() => self.tickers(symbol, found),
            (Some("futures/pricing-data"), _) if self.shape.d.product.is_futures() => self.pricing_data(),
            (Some("futures/collateral"), _) if self.shape.d.product.is_futures() => {
                Answer::new(200, "{\"code\":0,\"data\":[{\"asset\":\"USDT\",\"conversionFactor\":\"1\"}]}")
            }
            _ => Answer::new(404, "<html>404 Not Found</html>"),
        }
    }

    /// The latest trades behind the beginning of a message: its symbol and all that follows.
    fn latest_trades(&self, b: &mut Vec<u8>, sym: usize, most: usize) {
        let s = &self.symbols[sym];
        put(b, &s.face.s);
        put(b, "\",\"data\":[");
        let aggregates = || s.fills.iter().filter(|(e, _)| matches!(e, Ev::Agg { .. }));
        let skip = aggregates().count().saturating_sub(most.min(100));
        for (n, &(e, at)) in aggregates().skip(skip).enumerate() {
            let Ev::Agg { px, qty, last, buyer_maker, .. } = e else { continue };
            if n > 0 {
                b.push(b',');
            }
            element(b, &s.face, (px, qty), at, buyer_maker, trade_seqnum(last));
        }
        put(b, "]}");
    }

    fn bar_history(&self, sym: usize, interval: &str, most: usize) -> Option<Answer> {
        let i = BARS.iter().position(|b| !b.is_empty() && *b == interval)?;
        let bars = self.bars_of(sym, INTERVALS[i].0, most)?;
        let f = &self.symbols[sym].face;
        let mut b = b"{\"code\":0,\"data\":[".to_vec();
        // In no order that is promised: the newest first.
        for (n, k) in bars.iter().rev().enumerate() {
            if n > 0 {
                b.push(b',');
            }
            bar_frame(&mut b, f, i, k);
        }
        put(&mut b, "]}");
        Some(Answer::new(200, b))
    }

    fn tickers(&self, symbol: &str, found: Option<usize>) -> Answer {
        if !symbol.is_empty() && found.is_none() {
            return Answer::new(
                200,
                "{\"code\":100008,\"reason\":\"SYMBOL_ERROR\",\"message\":\"no such symbol\"}",
            );
        }
        let all: Vec<usize> = found.map_or_else(|| self.listed().map(|(ix, _)| ix).collect(), |ix| vec![ix]);
        let mut parts = Vec::new();
        for ix in all {
            let s = &self.symbols[ix];
            let (f, d) = (&s.face, &s.stats.day);
            let (bid, ask) = s.market.top();
            let mut b = b"{\"symbol\":\"".to_vec();
            put(&mut b, &f.s);
            b.push(b'"');
            for (k, v) in [("open", d.open), ("close", d.close), ("high", d.high), ("low", d.low)] {
                key_plain(&mut b, k, v, f.pd);
            }
            let volume = if self.shape.d.product.is_futures() { "baseVol" } else { "volume" };
            key_plain(&mut b, volume, i64::try_from(d.volume).unwrap_or(i64::MAX), f.sd);
            put(&mut b, ",\"ask\":");
            pair(&mut b, f, ask);
            put(&mut b, ",\"bid\":");
            pair(&mut b, f, bid);
            b.push(b'}');
            parts.push(b);
        }
        let mut b = b"{\"code\":0,\"data\":".to_vec();
        put(&mut b, if found.is_none() { "[" } else { "" });
        b.extend_from_slice(&parts.join(&b','));
        put(&mut b, if found.is_none() { "]}" } else { "}" });
        Answer::new(200, b)
    }

    fn pricing_data(&self) -> Answer {
        let mut b = b"{\"code\":0,\"data\":{\"contracts\":[".to_vec();
        for (n, (ix, s)) in self.listed().enumerate() {
            let (f, p) = (&s.face, self.mark_of(ix));
            put(&mut b, if n == 0 { "{\"symbol\":\"" } else { ",{\"symbol\":\"" });
            put(&mut b, &f.s);
            b.push(b'"');
            key_int(&mut b, "time", self.now);
            key_plain(&mut b, "fundingRate", p.rate_e8, 8);
            key_plain(&mut b, "indexPrice", f.px(p.index), f.pd + 2);
            key_plain(&mut b, "markPrice", f.px(p.mark), f.pd + 2);
            key_plain(&mut b, "openInterest", f.qty(self.interest_of(ix)), f.sd);
            key_int(&mut b, "nextFundingTime", (self.now / 28_800_000 + 1) * 28_800_000);
            b.push(b'}');
        }
        put(&mut b, "],\"collaterals\":[{\"asset\":\"USDT\",\"referencePrice\":\"1\"}]}}");
        Answer::new(200, b)
    }

    fn listing(&self, futures: bool) -> Answer {
        let mut b = b"{\"code\":0,\"data\":[".to_vec();
        for (n, (_, s)) in self.listed().enumerate() {
            let f = &s.face;
            put(&mut b, if n == 0 { "{\"symbol\":\"" } else { ",{\"symbol\":\"" });
            put(&mut b, &f.s);
            b.push(b'"');
            let (base, quote) = (escaped(&s.def.base), escaped(&s.def.quote));
            if futures {
                key_str(&mut b, "status", &self.status(s));
                key_str(&mut b, "displayName", &format!("{base}{quote}"));
                key_str(&mut b, "settlementAsset", &quote);
                key_str(&mut b, "underlying", &format!("{base}/{quote}"));
                put(&mut b, ",\"priceFilter\":{\"minPrice\":\"0\"");
                key_plain(&mut b, "tickSize", f.px(1), f.pd);
                put(&mut b, "},\"lotSizeFilter\":{\"minQty\":\"0\"");
                key_plain(&mut b, "lotSize", f.qty(1), f.sd);
                b.push(b'}');
            } else {
                key_str(&mut b, "displayName", &f.s);
                key_str(&mut b, "statusCode", &self.status(s));
                key_plain(&mut b, "tickSize", f.px(1), f.pd);
                put(&mut b, ",\"useTick\":false");
                key_plain(&mut b, "lotSize", f.qty(1), f.sd);
                key_str(&mut b, "minNotional", "5");
                key_int(&mut b, "qtyScale", f.sd.into());
                key_int(&mut b, "priceScale", f.pd.into());
            }
            b.push(b'}');
        }
        put(&mut b, "]}");
        Answer::new(200, b)
    }
}

/// Whether a connection ends because its client answers no pings.
pub(super) fn is_pong_timeout(end: &End) -> bool {
    matches!(end, End::Close(_, reason) if reason == "Pong timeout")
}

/// That the tables above and the interval table are of one length.
const _: () = assert!(BARS.len() == INTERVALS.len());
