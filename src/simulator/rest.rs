//! The REST side: instruments, clock, snapshots, a few more; weights and what happens to those who overdo it.

use std::sync::atomic::Ordering;

use super::faults::{FaultKind, FaultSpec};
use super::http::{Answer, Head, query};
use super::market::Ev;
use super::payload::levels;
use super::rng::mix;
use super::strike::log_conn;
use super::symbols::NEVER;
use super::text::{fixed, int, key_fixed, key_int, key_str, put};
use super::world::World;
use crate::model::dialect::{DepthLimits, Dialect, Extra, IdScheme, PairKey};

/// A book as `(last id, bids, asks)`, best first.
type Kept = (i64, Vec<(i64, i64)>, Vec<(i64, i64)>);

/// Weights and faults of the REST side.
#[derive(Default)]
pub(super) struct RestState {
    minute: i64,
    used: u64,
    /// Requests after the budget was spent, in this minute.
    beyond: u64,
    banned_until: i64,
    /// New connections are turned away until then, and REST is served.
    sockets_until: i64,
    /// When answers of each pool of the dialect were asked for, oldest first, ms.
    pools: Vec<std::collections::VecDeque<i64>>,
    /// Faults that last until then.
    timed: Vec<(FaultSpec, i64)>,
    /// Faults that hit a number of requests.
    counted: Vec<FaultSpec>,
    /// Books as they were at the start, for stale snapshots.
    kept: Vec<Kept>,
}

impl RestState {
    /// A fault begins.
    pub fn arm(&mut self, spec: FaultSpec, now: i64) {
        match spec.kind {
            FaultKind::Http429
            | FaultKind::Http418
            | FaultKind::Http503
            | FaultKind::Http403
            | FaultKind::Http439
            | FaultKind::Denied
            | FaultKind::Redirect => {
                let until = now + spec.for_ms as i64;
                self.timed.push((spec, until));
            }
            FaultKind::Ban => self.sockets_until = now + spec.for_ms as i64,
            _ => self.counted.push(spec),
        }
    }

    /// Counts a request of an answer that is counted apart; where that is one too many: how long to wait, ms.
    fn takes_of_pool(&mut self, pools: &[(&[&str], u32, u32)], name: &str, now: i64) -> Option<i64> {
        let at = pools.iter().position(|p| p.0.contains(&name))?;
        let (most, window) = (pools[at].1 as usize, i64::from(pools[at].2) * 1000);
        self.pools.resize_with(pools.len(), Default::default);
        let asked = &mut self.pools[at];
        while asked.front().is_some_and(|t| *t <= now - window) {
            asked.pop_front();
        }
        if asked.len() < most {
            asked.push_back(now);
            return None;
        }
        asked.front().map(|t| t + window - now)
    }

    /// All faults end.
    pub fn forgive(&mut self) {
        self.timed.clear();
        self.counted.clear();
        self.sockets_until = 0;
    }

    /// Whether requests of this address are turned away now.
    pub fn is_banned(&self, now: i64) -> bool {
        self.timed.iter().any(|f| f.1 > now && matches!(f.0.kind, FaultKind::Http429 | FaultKind::Http418))
    }

    /// Until when new connections of this address are turned away though REST is served; `None`: they are not.
    pub fn sockets_banned(&self, now: i64) -> Option<i64> {
        (self.sockets_until > now).then_some(self.sockets_until)
    }

    /// A book as it was at the start.
    pub fn kept_book(&self, symbol: usize) -> Option<Kept> {
        self.kept.get(symbol).cloned()
    }

    /// One use of a counted fault that aims at this symbol.
    pub fn use_up(&mut self, kind: FaultKind, symbol: &str) -> Option<FaultSpec> {
        let i = self.counted.iter().position(|f| f.kind == kind && f.aims_at(0, "", Some(symbol)))?;
        let f = self.counted[i].clone();
        self.counted[i].frames -= 1;
        if self.counted[i].frames == 0 {
            self.counted.remove(i);
        }
        Some(f)
    }
}

fn error(status: u16, code: i32, msg: &str) -> Answer {
    Answer::new(status, format!("{{\"code\":{code},\"msg\":\"{msg}\"}}"))
}

/// What a request weighs.
fn weight(d: &Dialect, name: &str, limit: Option<&str>, of_one: bool) -> u32 {
    let limit: u32 = limit.and_then(|l| l.parse().ok()).unwrap_or(d.depth_limit_default);
    match name {
        "depth" => {
            d.depth_weights.iter().find(|w| limit <= w.0).or(d.depth_weights.last()).map_or(1, |w| w.1)
        }
        "exchangeInfo" => d.instruments_weight,
        "trades" => d.trades_weight,
        "aggTrades" => d.agg_trades_weight,
        name => super::polled::weight(d.prints, name, of_one),
    }
}

impl World {
    /// Keeps the books as they are now, for stale snapshots.
    pub(super) fn keep_books(&mut self) {
        self.rest.kept = self
            .symbols
            .iter()
            .map(|s| {
                let m = &s.market;
                (
                    m.last_id,
                    m.bids.best_first().take(1000).collect(),
                    m.asks.best_first().take(1000).collect(),
                )
            })
            .collect();
    }

    /// Answers a request.
    pub(super) fn rest(&mut self, head: &Head) -> Answer {
        self.stats.requests.fetch_add(1, Ordering::Relaxed);
        let path = head.target.split_once('?').map_or(head.target.as_str(), |p| p.0);
        let q = query(&head.target);
        let get = |k: &str| q.iter().find(|p| p.0 == k).map(|p| p.1.as_str());
        let symbol = get("symbol").unwrap_or("").to_owned();
        let mut last_id = -1;
        let mut a = match self.turned_away(path, get("limit"), !symbol.is_empty()) {
            Some(a) => a,
            None if head.method != "GET" => error(405, -1000, "only GET is served"),
            None if self.shape.d.not_served.contains(&path) => error(404, -1000, "no such path"),
            None if self.shape.d.words.is_some() => {
                let said = self.shape.d.words.map(|sp| self.foreign_rest(sp, head));
                let (a, id, _) =
                    said.unwrap_or_else(|| (error(404, -1000, "no such path"), -1, String::new()));
                last_id = id;
                a
            }
            None => {
                let prefixes = self.shape.d.rest_prefixes;
                match prefixes.iter().find_map(|p| path.strip_prefix(p)) {
                    Some("depth") => {
                        let (a, id) = self.depth(&symbol, get("limit"));
                        last_id = id;
                        a
                    }
                    Some(name) => match self.polled(name, head) {
                        Some(a) => a,
                        None => self.other(name, &symbol, get("limit"), get("fromId")),
                    },
                    None => error(404, -1000, "no such path"),
                }
            }
        };
        let minute = self.rest.used;
        // Who states no weight has no such header.
        let header = crate::venue::by_id(self.shape.d.venue).map_or("", |v| v.1.spec().weight_header);
        if !header.is_empty() {
            a.headers.push((header, minute.to_string()));
        }
        a.headers.push(("Date", super::http_date(self.now)));
        if a.status == 200 && self.rest.use_up(FaultKind::TruncatedJson, &symbol).is_some() {
            a.cut = true;
        }
        let (status, len, cut) = (a.status, a.body.len(), a.cut);
        let crc = crc32fast::hash(&a.body);
        let used = self.rest.used;
        log_conn(self, "rest", 0, |l| {
            key_str(l, "path", &super::text::escaped(&head.target));
            key_int(l, "status", status.into());
            key_str(l, "sym", &super::text::escaped(&symbol));
            key_int(l, "last_id", last_id);
            key_int(l, "len", len as i64);
            key_str(l, "crc", &format!("{crc:08x}"));
            key_int(l, "used", used as i64);
            if last_id < 0 {
                super::polled::log_body(l, &a);
            }
            if cut {
                key_str(l, "fault", FaultKind::TruncatedJson.as_str());
            }
        });
        a
    }

    /// Counts the weight; an answer if the client gets nothing else.
    fn turned_away(&mut self, path: &str, limit: Option<&str>, of_one: bool) -> Option<Answer> {
        let d = self.shape.d;
        let now = self.now;
        let minute = now.div_euclid(60_000);
        let r = &mut self.rest;
        if r.minute != minute {
            (r.minute, r.used, r.beyond) = (minute, 0, 0);
        }
        let name = path.rsplit('/').next().unwrap_or("");
        r.used += u64::from(weight(d, name, limit, of_one));
        let beyond_pool = r.takes_of_pool(d.prints.pools, name, now);
        r.timed.retain(|f| f.1 > now);
        let limited = |status: u16, secs: i64, always: bool| {
            let text = "Too many requests; please use the websocket for live updates.";
            let mut a = match d.words {
                Some(sp) => Answer::new(status, sp.refusal(status, secs)),
                None => error(status, -1003, text),
            };
            if always || d.retry_after {
                a.headers.push(("Retry-After", secs.max(1).to_string()));
            }
            a
        };
        if let Some((f, until)) = r.timed.first() {
            let secs = f.retry_after_s.map_or((until - now + 999) / 1000, i64::from);
            let always = f.retry_after_s.is_some();
            return Some(match f.kind {
                FaultKind::Http429 => limited(429, secs, always),
                FaultKind::Http418 => limited(418, secs, always),
                FaultKind::Http439 => limited(439, secs, always),
                FaultKind::Denied => {
                    let (status, body) = super::dress::denied(d);
                    Answer::new(status, body)
                }
                FaultKind::Http403 => {
                    let page = "<html><head><title>403 Forbidden</title></head></html>".to_owned();
                    Answer::new(403, d.words.map_or(page, |w| w.refusal(403, secs)))
                }
                FaultKind::Redirect => {
                    let mut a = Answer::new(302, "");
                    a.headers.push(("Location", "http://192.0.2.1/".to_owned()));
                    a
                }
                _ => Answer::new(503, "{\"code\":-1016,\"msg\":\"This service is no longer available.\"}"),
            });
        }
        if now < r.banned_until {
            return Some(limited(418, (r.banned_until - now + 999) / 1000, false));
        }
        if let Some(wait_ms) = beyond_pool {
            return Some(limited(429, (wait_ms + 999) / 1000, false));
        }
        if r.used > u64::from(self.cfg.weight_per_minute.unwrap_or(d.weight_per_minute)) {
            r.beyond += 1;
            if r.beyond > 20 {
                r.banned_until = now + 120_000;
            }
            return Some(limited(429, (60_000 - now.rem_euclid(60_000) + 999) / 1000, false));
        }
        None
    }

    pub(super) fn find(&self, symbol: &str) -> Option<usize> {
        // Not by the names in streams, which some venues write otherwise.
        self.listed().find(|(_, s)| s.def.symbol == symbol).map(|(ix, _)| ix)
    }

    /// The snapshot and its id.
    pub(super) fn depth(&mut self, symbol: &str, limit: Option<&str>) -> (Answer, i64) {
        let d = self.shape.d;
        if symbol.is_empty() {
            return (error(400, -1102, "Mandatory parameter 'symbol' was not sent."), -1);
        }
        let Some(ix) = self.find(symbol) else { return (error(400, -1121, "Invalid symbol."), -1) };
        let limit: Option<u32> = limit.map_or(Some(d.depth_limit_default), |l| l.parse().ok());
        let limit = match (d.depth_limits, limit) {
            (DepthLimits::OneOf(l), Some(n)) if l.contains(&n) => n,
            (DepthLimits::UpTo(max), Some(n)) if n > 0 => n.min(max),
            _ => {
                let (code, why) = d.prints.bad_limit;
                return (error(400, code, why), -1);
            }
        };
        let late = self.rest.use_up(FaultKind::LateSnapshot, symbol).map_or(0, |f| f.for_ms);
        let delay_ms = late + self.cfg.rest_delay_ms;
        if let Some(r) = &mut self.recording {
            let lower = self.symbols[ix].def.lower.clone();
            let Some((id, body)) = r.snapshot(&lower, limit as usize) else {
                return (error(503, -1016, "the recording has no snapshot of this symbol"), -1);
            };
            return (Answer { delay_ms, ..Answer::new(200, body) }, id);
        }
        let stale = self.rest.use_up(FaultKind::StaleSnapshot, symbol);
        let in_hole = self.rest.use_up(FaultKind::HoleSnapshot, symbol).is_some();
        let s = &self.symbols[ix];
        let n = limit as usize;
        let (mut id, bids, asks) = match (stale, self.rest.kept.get(ix)) {
            (Some(_), Some((id, b, a))) => (*id, b[..n.min(b.len())].to_vec(), a[..n.min(a.len())].to_vec()),
            _ => {
                let m = &s.market;
                (m.last_id, m.bids.best_first().take(n).collect(), m.asks.best_first().take(n).collect())
            }
        };
        // A shared counter may stand anywhere after the symbol's last change: `pu < L < U` is as right as `U <= L <= u`.
        let somewhere = mix(self.cfg.seed ^ self.now as u64 ^ mix(ix as u64)).is_multiple_of(4);
        if d.ids == IdScheme::Shared && id == s.market.last_id && (in_hole || somewhere) {
            id = self.venue_id().max(id);
        }
        let mut b = Vec::with_capacity(64 * n);
        put(&mut b, "{\"lastUpdateId\":");
        int(&mut b, id);
        if d.prints.matched {
            key_int(&mut b, "E", self.now);
            key_int(&mut b, "T", self.now);
        }
        if d.prints.pair == PairKey::BehindSymbol {
            key_str(&mut b, "symbol", &s.face.s);
            key_str(&mut b, "pair", &s.face.ps);
        }
        put(&mut b, ",\"bids\":[");
        levels(&mut b, &s.face, &bids);
        put(&mut b, "],\"asks\":[");
        levels(&mut b, &s.face, &asks);
        put(&mut b, "]}");
        (Answer { delay_ms, ..Answer::new(200, b) }, id)
    }

    fn other(&mut self, name: &str, symbol: &str, limit: Option<&str>, from: Option<&str>) -> Answer {
        let limit = limit.and_then(|l| l.parse::<usize>().ok()).unwrap_or(500).min(1000);
        let one = self.find(symbol);
        match name {
            "ping" => Answer::new(200, "{}"),
            "time" => Answer::new(200, format!("{{\"serverTime\":{}}}", self.now)),
            "exchangeInfo" => Answer::new(200, self.exchange_info()),
            "trades" | "historicalTrades" | "aggTrades" => match one {
                Some(ix) => {
                    // `trades` knows no first id.
                    let from = from.and_then(|f| f.parse().ok()).filter(|_| name != "trades");
                    Answer::new(200, self.fills(ix, name == "aggTrades", limit, from))
                }
                None => error(400, -1121, "Invalid symbol."),
            },
            _ => error(404, -1000, "no such path"),
        }
    }

    /// The newest fills, or those from an id on, oldest first.
    fn fills(&self, ix: usize, agg: bool, limit: usize, from: Option<i64>) -> Vec<u8> {
        let s = &self.symbols[ix];
        let id = |e: &Ev| match *e {
            Ev::Agg { a, .. } if agg => Some(a),
            Ev::Fill { t, .. } if !agg => Some(t),
            _ => None,
        };
        let wanted = s.fills.iter().filter(|(e, _)| id(e).is_some_and(|id| from.is_none_or(|f| id >= f)));
        let skip = if from.is_some() { 0 } else { wanted.clone().count().saturating_sub(limit) };
        let parts: Vec<Vec<u8>> =
            wanted.skip(skip).take(limit).map(|&(e, at)| self.one_fill(ix, e, at)).collect();
        let mut out = vec![b'['];
        out.extend_from_slice(&parts.join(&b','));
        out.push(b']');
        out
    }

    fn one_fill(&self, ix: usize, e: Ev, at: i64) -> Vec<u8> {
        let f = &self.symbols[ix].face;
        let p = self.shape.d.prints;
        let mut b = Vec::new();
        match e {
            Ev::Agg { a, px, qty, first, last, buyer_maker } => {
                put(&mut b, "{\"a\":");
                int(&mut b, a);
                key_fixed(&mut b, "p", f.px(px).into(), f.pd);
                key_fixed(&mut b, "q", f.qty(qty).into(), f.sd);
                key_int(&mut b, "f", first);
                key_int(&mut b, "l", last);
                key_int(&mut b, "T", at);
                put(&mut b, if buyer_maker { ",\"m\":true" } else { ",\"m\":false" });
                put(&mut b, if p.flag_m { ",\"M\":true}" } else { "}" });
            }
            Ev::Fill { t, px, qty, buyer_maker, .. } => {
                put(&mut b, "{\"id\":");
                int(&mut b, t);
                key_fixed(&mut b, "price", f.px(px).into(), f.pd);
                let quote = f.turnover(f.px(px), f.qty(qty));
                if p.fills_in_quote {
                    // As the samples have it: `qty` is the turnover here.
                    key_fixed(&mut b, "qty", quote, f.qd);
                    key_fixed(&mut b, "baseQty", f.qty(qty).into(), f.sd);
                } else {
                    key_fixed(&mut b, "qty", f.qty(qty).into(), f.sd);
                    let key = if p.inverse { "baseQty" } else { "quoteQty" };
                    key_fixed(&mut b, key, quote, f.qd);
                }
                key_int(&mut b, "time", at);
                put(&mut b, if buyer_maker { ",\"isBuyerMaker\":true}" } else { ",\"isBuyerMaker\":false}" });
            }
            _ => {}
        }
        b
    }

    fn exchange_info(&self) -> Vec<u8> {
        let d = self.shape.d;
        let listed = d.prints.listed_weight.unwrap_or(d.weight_per_minute);
        let max = self.cfg.weight_per_minute.unwrap_or(listed);
        let mut b = Vec::new();
        put(&mut b, "{\"timezone\":\"UTC\",\"serverTime\":");
        int(&mut b, self.now);
        put(
            &mut b,
            ",\"rateLimits\":[{\"rateLimitType\":\"REQUEST_WEIGHT\",\"interval\":\"MINUTE\",\"intervalNum\":1,\"limit\":",
        );
        int(&mut b, max.into());
        put(
            &mut b,
            "},{\"rateLimitType\":\"ORDERS\",\"interval\":\"MINUTE\",\"intervalNum\":1,\"limit\":1200}],\"exchangeFilters\":[]",
        );
        if d.is_futures {
            put(
                &mut b,
                ",\"assets\":[{\"asset\":\"USDT\",\"marginAvailable\":true,\"autoAssetExchange\":\"-10000\"}]",
            );
        }
        put(&mut b, ",\"symbols\":[");
        for (n, (ix, _)) in self.listed().enumerate() {
            if n > 0 {
                b.push(b',');
            }
            self.instrument(&mut b, ix);
        }
        b.push(b']');
        if d.has(Extra::Events) {
            self.prediction_events(&mut b);
        }
        b.push(b'}');
        b
    }

    /// The events of which the traded tokens are rounds.
    fn prediction_events(&self, b: &mut Vec<u8>) {
        put(b, ",\"predictionEvents\":[");
        for (n, (_, s)) in self.listed().enumerate() {
            let market = s.def.symbol.trim_end_matches("_YUSDT");
            let event = market.rsplit_once('_').map_or(market, |e| e.0);
            put(b, if n == 0 { "{" } else { ",{" });
            put(b, "\"predictionType\":\"UP_DOWN\",\"status\":\"LIVE\",\"sides\":[\"UP\",\"DOWN\"]");
            key_str(b, "eventName", event);
            key_int(b, "startTime", 1_778_483_280_000);
            key_int(b, "endTime", 0);
            put(b, ",\"rounds\":[null],\"liveRound\":{\"roundStatus\":\"");
            put(b, &self.status(s));
            put(b, "\",\"symbols\":[\"");
            put(b, &s.face.s);
            put(b, "\",\"");
            put(b, market);
            put(b, "_NUSDT\"]");
            key_str(b, "marketName", market);
            key_int(b, "tradingEndTime", 1_778_483_580_000);
            put(b, ",\"settleHash\":null}}");
        }
        b.push(b']');
    }

    fn instrument(&self, b: &mut Vec<u8>, ix: usize) {
        let s = &self.symbols[ix];
        let (f, p, futures) = (&s.face, self.shape.d.prints, self.shape.d.is_futures);
        let esc = super::text::escaped;
        put(b, "{\"symbol\":\"");
        put(b, &f.s);
        b.push(b'"');
        key_str(b, p.status_key, &self.status(s));
        key_str(b, "baseAsset", &esc(&s.def.base));
        key_str(b, "quoteAsset", &esc(&s.def.quote));
        if futures {
            key_str(b, "pair", &f.ps);
            key_str(b, "contractType", f.contract_type);
            key_int(b, "deliveryDate", f.delivers.unwrap_or(NEVER));
            key_int(b, "onboardDate", 1_569_398_400_000);
            key_str(b, "marginAsset", &esc(if p.inverse { &s.def.base } else { &s.def.quote }));
            key_int(b, "pricePrecision", f.pd.into());
            key_int(b, "quantityPrecision", f.sd.into());
            key_int(b, "baseAssetPrecision", 8);
            key_int(b, "quotePrecision", 8);
            if p.inverse {
                key_int(b, "contractSize", s.def.contract.unwrap_or(1));
                key_int(b, "equalQtyPrecision", 4);
            }
            put(
                b,
                ",\"underlyingType\":\"COIN\",\"underlyingSubType\":[],\"settlePlan\":0,\"orderTypes\":[\"LIMIT\",\"MARKET\"],\"timeInForce\":[\"GTC\",\"IOC\",\"FOK\",\"GTX\"]",
            );
        } else {
            key_int(b, "baseAssetPrecision", 8);
            key_int(b, "quotePrecision", 8);
            key_int(b, "quoteAssetPrecision", 8);
            put(
                b,
                ",\"isSpotTradingAllowed\":true,\"orderTypes\":[\"LIMIT\",\"MARKET\"],\"permissionSets\":[[\"SPOT\"]]",
            );
        }
        // Filter objects do not put their type first on futures (recorded).
        put(b, ",\"filters\":[{\"minPrice\":\"");
        fixed(b, f.px(1).into(), f.pd);
        put(b, "\",\"maxPrice\":\"");
        fixed(b, i128::from(f.px(1)) * 100_000_000, f.pd);
        put(b, "\",\"filterType\":\"PRICE_FILTER\",\"tickSize\":\"");
        fixed(b, f.px(1).into(), f.pd);
        put(b, "\"},{\"stepSize\":\"");
        fixed(b, f.qty(1).into(), f.sd);
        put(b, "\",\"filterType\":\"LOT_SIZE\",\"maxQty\":\"");
        fixed(b, i128::from(f.qty(1)) * 10_000_000, f.sd);
        put(b, "\",\"minQty\":\"");
        fixed(b, f.qty(1).into(), f.sd);
        put(b, p.filters);
    }
}
