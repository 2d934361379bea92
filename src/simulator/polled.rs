//! What a venue tells by REST alone, or by REST as well: open interest, funding, statistics, candles. Each answer stands
//! in the oracle's log as it was given.

use super::http::{Answer, Head, query};
use super::rng::mix;
use super::stats::Bar;
use super::streams::{INTERVALS, common};
use super::symbols;
use super::text::{escaped, fixed, int, key_fixed, key_int, key_str, put};
use super::world::World;
use crate::model::dialect::{PairKey, Prints};

/// Funding is paid this often, ms.
const FUNDING_MS: i64 = 28_800_000;
/// Payments that are remembered.
const PAYMENTS: i64 = 12;

/// An error in the family's words.
fn error(status: u16, code: i32, msg: &str) -> Answer {
    Answer::new(status, format!("{{\"code\":{code},\"msg\":\"{msg}\"}}"))
}

fn list(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![b'['];
    out.extend_from_slice(&parts.join(&b','));
    out.push(b']');
    out
}

/// What a request weighs beside snapshots, lists and trades: of one symbol, or of all of them.
pub(super) fn weight(p: &Prints, name: &str, of_one: bool) -> u32 {
    p.weights.iter().find(|w| w.0 == name).map_or(1, |w| if of_one { w.1 } else { w.2 })
}

impl World {
    /// Contracts or coins that are held, in steps.
    pub(super) fn interest_of(&self, ix: usize) -> i64 {
        1_000_000 + 1000 * ix as i64 + (self.now / 1000) % 1000
    }

    /// The rate that was paid at a time, 1e-8.
    pub(super) fn funding_of(&self, ix: usize, paid: i64) -> i64 {
        (mix(self.cfg.seed ^ mix(ix as u64) ^ paid as u64) % 4001) as i64 - 2000
    }

    /// Times of the last payments, oldest first.
    pub(super) fn payments(&self) -> impl Iterator<Item = i64> {
        let last = self.now / FUNDING_MS;
        (last - PAYMENTS + 1..=last).map(|n| n * FUNDING_MS)
    }

    /// The latest candles of an interval, oldest first; the last one is still being made.
    pub(super) fn bars_of(&self, ix: usize, interval: &str, most: usize) -> Option<Vec<Bar>> {
        let i = INTERVALS.iter().position(|x| x.0 == interval)?;
        let s = &self.symbols[ix].stats;
        let skip = (s.past[i].len() + 1).saturating_sub(most);
        Some(s.past[i].iter().chain([&s.bars[i]]).skip(skip).copied().collect())
    }

    /// Answers a request for what is polled, in the family's words; `None`: it is for something else.
    pub(super) fn polled(&mut self, name: &str, head: &Head) -> Option<Answer> {
        let q = query(&head.target);
        let get = |k: &str| q.iter().find(|p| p.0 == k).map(|p| p.1.as_str());
        let symbol = get("symbol").or(get("pair")).unwrap_or("");
        let one = self.find(symbol);
        const KNOWN: [&str; 13] = [
            "premiumIndex",
            "ticker/bookTicker",
            "ticker/price",
            "ticker/24hr",
            "openInterest",
            "fundingRate",
            "fundingInfo",
            "klines",
            "indexPriceKlines",
            "markPriceKlines",
            "indexreferences",
            "avgPrice",
            "referencePrice",
        ];
        if name == "rpiDepth" {
            // No orders of retail traders: as the other book.
            return Some(self.depth(symbol, get("limit")).0);
        }
        if !KNOWN.contains(&name) {
            return None;
        }
        if !symbol.is_empty() && one.is_none() {
            return Some(error(400, -1121, "Invalid symbol."));
        }
        if one.is_none() && !(name.starts_with("ticker/") || ["premiumIndex", "fundingInfo"].contains(&name))
        {
            return Some(error(400, -1102, "Mandatory parameter 'symbol' was not sent."));
        }
        let all: Vec<usize> = one.map_or_else(|| self.listed().map(|(ix, _)| ix).collect(), |ix| vec![ix]);
        let limit = get("limit").and_then(|l| l.parse().ok()).unwrap_or(100).min(1000);
        let body = match (name, one) {
            ("klines" | "indexPriceKlines" | "markPriceKlines", Some(ix)) => {
                let interval = get("interval").unwrap_or("");
                match common(interval).and_then(|_| self.bars_of(ix, interval, limit)) {
                    Some(bars) => self.candles(ix, &bars),
                    None => return Some(error(400, -1120, "Invalid interval.")),
                }
            }
            ("fundingRate", Some(ix)) => self.fundings(ix, limit),
            _ => {
                let parts: Vec<Vec<u8>> = all.iter().map(|&ix| self.small(name, ix)).collect();
                let coin = self.shape.d.prints.lists_of_one
                    && matches!(name, "premiumIndex" | "ticker/24hr" | "ticker/price" | "ticker/bookTicker");
                if one.is_some() && !coin && name != "fundingInfo" { parts.concat() } else { list(&parts) }
            }
        };
        Some(Answer::new(200, body))
    }

    fn small(&self, name: &str, ix: usize) -> Vec<u8> {
        let s = &self.symbols[ix];
        let f = &s.face;
        let ((bp, bq), (ap, aq)) = s.market.top();
        let mut b = Vec::new();
        if name == "avgPrice" {
            put(&mut b, "{\"mins\":5");
            key_fixed(&mut b, "price", f.average(&s.stats.bars[3]), f.pd);
            key_int(&mut b, "closeTime", s.stats.last_ms);
            b.push(b'}');
            return b;
        }
        put(&mut b, "{\"symbol\":\"");
        put(&mut b, &f.s);
        b.push(b'"');
        match name {
            "referencePrice" => {
                key_fixed(&mut b, "referencePrice", s.stats.day.close.into(), f.pd);
                key_int(&mut b, "timestamp", self.now);
                b.push(b'}');
                return b;
            }
            "premiumIndex" => {
                let p = self.mark_of(ix);
                key_fixed(&mut b, "markPrice", f.px(p.mark).into(), f.pd + 2);
                key_fixed(&mut b, "indexPrice", f.px(p.index).into(), f.pd + 2);
                key_fixed(&mut b, "estimatedSettlePrice", f.px(p.index).into(), f.pd + 2);
                let next = (self.now / FUNDING_MS + 1) * FUNDING_MS;
                let keys = ("lastFundingRate", "nextFundingTime");
                symbols::funding(&mut b, keys, f.delivers.is_some(), p.rate_e8, next);
                match f.delivers {
                    Some(_) => key_str(&mut b, "interestRate", ""),
                    None => key_fixed(&mut b, "interestRate", 10_000, 8),
                }
            }
            "ticker/price" => {
                key_fixed(&mut b, "price", s.stats.day.close.into(), f.pd);
            }
            "ticker/24hr" => self.day(&mut b, ix),
            "openInterest" => {
                key_fixed(&mut b, "openInterest", f.qty(self.interest_of(ix)).into(), f.sd);
                if self.shape.d.prints.pair == PairKey::BehindSymbol {
                    key_str(&mut b, "pair", &f.ps);
                    key_str(&mut b, "contractType", f.contract_type);
                }
            }
            "fundingInfo" => {
                put(&mut b, ",\"interestRate\":\"0.0001\",\"fundingIntervalHours\":8,\"fundingFeeCap\":0.02")
            }
            "indexreferences" => {
                put(&mut b, ",\"references\":[{\"exchange\":\"x\",\"symbol\":\"y\",\"weight\":\"1\"}]")
            }
            _ => {
                key_fixed(&mut b, "bidPrice", f.px(bp).into(), f.pd);
                key_fixed(&mut b, "bidQty", f.qty(bq).into(), f.sd);
                key_fixed(&mut b, "askPrice", f.px(ap).into(), f.pd);
                key_fixed(&mut b, "askQty", f.qty(aq).into(), f.sd);
            }
        }
        if name != "ticker/24hr" {
            key_int(&mut b, "time", self.now);
        }
        b.push(b'}');
        b
    }

    /// The rolling day.
    fn day(&self, b: &mut Vec<u8>, ix: usize) {
        let s = &self.symbols[ix];
        let (f, d) = (&s.face, &s.stats.day);
        let change = i128::from(d.close - d.open);
        key_fixed(b, "priceChange", change, f.pd);
        for (k, v) in
            [("lastPrice", d.close), ("openPrice", d.open), ("highPrice", d.high), ("lowPrice", d.low)]
        {
            key_fixed(b, k, v.into(), f.pd);
        }
        key_fixed(b, "lastQty", f.qty(s.stats.last_qty).into(), f.sd);
        key_fixed(b, "volume", d.volume, f.sd);
        let quote = if self.shape.d.prints.inverse { "baseVolume" } else { "quoteVolume" };
        key_fixed(b, quote, d.quote, f.qd);
        key_int(b, "openTime", self.now - 86_400_000);
        key_int(b, "closeTime", self.now);
        key_int(b, "firstId", d.first);
        key_int(b, "lastId", d.last);
        key_int(b, "count", d.trades);
    }

    fn fundings(&self, ix: usize, limit: usize) -> Vec<u8> {
        // What is delivered is held to its price by that day alone.
        let delivers = self.symbols[ix].face.delivers.is_some();
        let paid: Vec<i64> = self.payments().filter(|_| !delivers).collect();
        let one = |at: &i64| {
            let mut b = b"{\"symbol\":\"".to_vec();
            put(&mut b, &self.symbols[ix].face.s);
            b.push(b'"');
            put(&mut b, ",\"fundingRate\":\"");
            signed(&mut b, self.funding_of(ix, *at), 8);
            b.push(b'"');
            key_int(&mut b, "fundingTime", *at);
            b.push(b'}');
            b
        };
        let from = paid.len().saturating_sub(limit);
        list(&paid[from..].iter().map(one).collect::<Vec<_>>())
    }

    /// Twelve cells; some leave the last one out.
    fn candles(&self, ix: usize, bars: &[Bar]) -> Vec<u8> {
        let f = &self.symbols[ix].face;
        let short = self.shape.d.prints.short_candles;
        let one = |k: &Bar| {
            let mut b = vec![b'['];
            let cell = |b: &mut Vec<u8>, m: i128, dec: u8| {
                put(b, ",\"");
                fixed(b, m, dec);
                b.push(b'"');
            };
            int(&mut b, k.open_ms);
            for p in [k.open, k.high, k.low, k.close] {
                cell(&mut b, p.into(), f.pd);
            }
            cell(&mut b, k.volume, f.sd);
            b.push(b',');
            int(&mut b, k.close_ms);
            cell(&mut b, k.quote, f.qd);
            b.push(b',');
            int(&mut b, k.trades);
            cell(&mut b, k.taker, f.sd);
            cell(&mut b, k.taker_quote, f.qd);
            put(&mut b, if short { "]" } else { ",\"0\"]" });
            b
        };
        list(&bars.iter().map(one).collect::<Vec<_>>())
    }
}

/// A number that may be negative.
fn signed(b: &mut Vec<u8>, m: i64, dec: u8) {
    if m < 0 {
        b.push(b'-');
    }
    fixed(b, m.unsigned_abs().into(), dec);
}

/// What an answer's line in the log says of its body, if that is short enough.
pub(super) fn log_body(line: &mut Vec<u8>, a: &Answer) {
    const MOST: usize = 64 << 10;
    if a.body.len() <= MOST
        && let Ok(text) = std::str::from_utf8(&a.body)
    {
        key_str(line, "payload", &escaped(text));
    }
}
