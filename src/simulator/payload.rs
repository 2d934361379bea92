//! The payloads: what the venue's documentation prints, in its order of keys, per dialect.
//!
//! Each function writes the bare payload (`data` of the combined envelope) into `o.data`, and what a checker needs to know
//! of it into `o.line`: the inside of an oracle line, without connection and time.

use super::market::{Ev, Market};
use super::stats::{Bar, CandleOf, Stats};
use super::streams::INTERVALS;
use super::symbols::SymbolDef;
use super::text::{escaped, fixed, int, key_fixed, key_int, key_str, put};
use crate::model::dialect::{Dialect, IdScheme, PairKey, TopKeys};
use crate::model::num::write_plain_bytes;
use crate::model::words::Words;

/// Buffers of one message, reused.
#[derive(Debug, Default)]
pub struct Out {
    /// The payload.
    pub data: Vec<u8>,
    /// Inside of the oracle line: `,"kind":…`.
    pub line: Vec<u8>,
    /// Whether an oracle listens.
    pub logged: bool,
}

impl Out {
    pub(super) fn begin(&mut self, kind: &str, sym: &str) {
        self.data.clear();
        self.line.clear();
        if self.logged {
            key_str(&mut self.line, "kind", kind);
            key_str(&mut self.line, "sym", sym);
        }
    }

    pub fn log_int(&mut self, key: &str, n: i64) {
        if self.logged {
            key_int(&mut self.line, key, n);
        }
    }

    fn log_fixed(&mut self, key: &str, m: i128, dec: u8) {
        if self.logged {
            key_fixed(&mut self.line, key, m, dec);
        }
    }

    /// What the columns of the message's table must say: `x` of its line. Numbers of `fixed` are `(column, mantissa,
    /// decimals)`, those of `ints` are as in the table (times in ns).
    pub fn log_columns(&mut self, text: &[(&str, &str)], ints: &[(&str, i64)], fixed: &[(&str, i128, u8)]) {
        if !self.logged {
            return;
        }
        let w = &mut self.line;
        put(w, ",\"x\":\"");
        for (column, t) in text {
            put(w, column);
            w.push(b'=');
            put(w, t);
            w.push(b';');
        }
        for &(column, n) in ints {
            put(w, column);
            w.push(b'=');
            int(w, n);
            w.push(b';');
        }
        for &(column, m, dec) in fixed {
            put(w, column);
            w.push(b'=');
            super::text::fixed(w, m, dec);
            w.push(b';');
        }
        w.push(b'"');
    }
}

/// How this venue prints.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Its dialect.
    pub d: &'static Dialect,
    /// Whether `st` and `ps` are there.
    pub st_ps: bool,
}

/// A symbol's printing: names safe inside quotes, decimals.
#[derive(Clone, Debug)]
pub struct Face {
    /// Symbol, escaped.
    pub s: String,
    /// Pair, escaped.
    pub ps: String,
    /// Decimals of prices.
    pub pd: u8,
    /// Decimals of sizes.
    pub sd: u8,
    /// Decimals of turnovers.
    pub qd: u8,
    tick: i64,
    step: i64,
    /// What a contract is worth in the quote currency, where sizes are contracts.
    contract: Option<i64>,
    /// When it is delivered, ms; such a contract has no funding.
    pub delivers: Option<i64>,
    /// What a list calls the contract.
    pub contract_type: &'static str,
}

impl Face {
    /// Sizes are contracts, and turnovers are in the base asset.
    fn is_inverse(&self) -> bool {
        self.contract.is_some()
    }

    /// How a symbol is printed.
    pub fn new(def: &SymbolDef) -> Face {
        Face {
            s: escaped(&def.symbol),
            ps: escaped(&def.pair),
            pd: def.price_dec,
            sd: def.size_dec,
            qd: if def.contract.is_some() { BASE_DEC } else { def.price_dec + def.size_dec },
            contract: def.contract,
            delivers: super::symbols::delivery_of(&def.symbol),
            contract_type: def.contract_type,
            tick: def.tick_mult,
            step: def.step_mult,
        }
    }

    /// Price mantissa of a price in ticks.
    pub fn px(&self, ticks: i64) -> i64 {
        ticks * self.tick
    }

    /// The turnover of a price and a size (mantissas), with [`Face::qd`] decimals: in the quote currency; where sizes are
    /// contracts, which are worth a sum of it, in the base asset.
    pub fn turnover(&self, px: i64, qty: i64) -> i128 {
        let (px, qty) = (i128::from(px), i128::from(qty));
        match self.contract {
            None => px * qty,
            Some(_) if px == 0 => 0,
            Some(worth) => qty * i128::from(worth) * 10i128.pow((BASE_DEC + self.pd - self.sd).into()) / px,
        }
    }

    /// The average price of what was traded, a mantissa as prices are.
    pub fn average(&self, b: &Bar) -> i128 {
        let last = i128::from(b.close);
        match self.contract {
            None => b.quote.checked_div(b.volume).unwrap_or(last),
            Some(worth) => {
                let sum = b.volume * i128::from(worth) * 10i128.pow((BASE_DEC + self.pd - self.sd).into());
                sum.checked_div(b.quote).unwrap_or(last)
            }
        }
    }

    /// Size mantissa of a size in steps.
    pub fn qty(&self, steps: i64) -> i64 {
        steps * self.step
    }
}

/// Decimals of a turnover in the base asset.
const BASE_DEC: u8 = 8;

/// A mark price.
#[derive(Clone, Copy, Debug)]
pub struct Marked {
    /// Mark price, hundredths of a tick.
    pub mark: i64,
    /// Index price, hundredths of a tick.
    pub index: i64,
    /// Funding rate, 1e-8.
    pub rate_e8: i64,
    /// Open interest, in steps.
    pub interest: i64,
}

/// Ids and times of a depth message.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Time of the message, ms.
    pub e: i64,
    /// Time of the last change, ms.
    pub t: i64,
    /// First id.
    pub first: i64,
    /// Last id.
    pub last: i64,
    /// Last id of the message before.
    pub prev: i64,
    /// Position of its speed in the dialect.
    pub speed: usize,
}

impl Shape {
    /// Whether depth messages say the time of the last change.
    fn says_matched(&self) -> bool {
        self.d.prints.matched
    }

    /// Whether depth messages name the one before them.
    fn says_prev(&self) -> bool {
        self.d.prints.matched && self.d.ids == IdScheme::Shared
    }

    pub(super) fn head(&self, o: &mut Out, event: &str, e: i64) {
        put(&mut o.data, "{\"e\":\"");
        put(&mut o.data, event);
        put(&mut o.data, "\",\"E\":");
        int(&mut o.data, e);
    }

    /// `st` (and `ps` where USD-M has it), before the closing brace.
    pub(super) fn tail(&self, o: &mut Out, f: &Face, with_ps: bool) {
        if self.st_ps {
            if self.d.prints.pair == PairKey::AtTheEnd && with_ps {
                key_str(&mut o.data, "ps", &f.ps);
            }
            key_int(&mut o.data, "st", self.d.prints.code);
        }
        o.data.push(b'}');
    }

    pub(super) fn coin_ps(&self, o: &mut Out, f: &Face) {
        if self.d.prints.pair == PairKey::BehindSymbol {
            key_str(&mut o.data, "ps", &f.ps);
        }
    }

    /// A diff, or a partial book of futures. Levels as `(price in ticks, size in steps)`, in the order to print.
    pub fn depth(
        &self,
        o: &mut Out,
        f: &Face,
        kind: &str,
        s: Span,
        bids: &[(i64, i64)],
        asks: &[(i64, i64)],
    ) {
        o.begin(kind, &f.s);
        if let Some(sp) = self.d.words {
            let whole = kind != "depth";
            let ids = Shape::foreign_book(sp, o, f, whole, s, (bids, asks));
            if o.logged {
                super::foreign::log_ids(&mut o.line, whole, ids);
                self.log_levels(o, f, bids, asks);
            }
            return;
        }
        self.head(o, "depthUpdate", s.e);
        if self.says_matched() {
            key_int(&mut o.data, "T", s.t);
        }
        key_str(&mut o.data, "s", &f.s);
        self.coin_ps(o, f);
        key_int(&mut o.data, "U", s.first);
        key_int(&mut o.data, "u", s.last);
        if self.says_prev() {
            key_int(&mut o.data, "pu", s.prev);
        }
        let whole = kind == "partial" && !self.d.is_futures;
        put(&mut o.data, if whole { ",\"bids\":[" } else { ",\"b\":[" });
        levels(&mut o.data, f, bids);
        put(&mut o.data, if whole { "],\"asks\":[" } else { "],\"a\":[" });
        levels(&mut o.data, f, asks);
        o.data.push(b']');
        self.tail(o, f, true);
        if o.logged {
            key_int(&mut o.line, "U", s.first);
            key_int(&mut o.line, "u", s.last);
            if self.says_prev() {
                key_int(&mut o.line, "pu", s.prev);
            }
            if self.says_matched() {
                key_int(&mut o.line, "T", s.t);
            }
            key_int(&mut o.line, "E", s.e);
            if kind == "partial" && self.d.bids_ascend {
                // A table of whole books has the best price first, whatever the venue does.
                let best_first: Vec<_> = bids.iter().rev().copied().collect();
                self.log_levels(o, f, &best_first, asks);
            } else {
                self.log_levels(o, f, bids, asks);
            }
        }
    }

    /// A partial book of spot: no event, no symbol.
    pub fn partial_spot(&self, o: &mut Out, f: &Face, last: i64, bids: &[(i64, i64)], asks: &[(i64, i64)]) {
        o.begin("partial", &f.s);
        put(&mut o.data, "{\"lastUpdateId\":");
        int(&mut o.data, last);
        put(&mut o.data, ",\"bids\":[");
        levels(&mut o.data, f, bids);
        put(&mut o.data, "],\"asks\":[");
        levels(&mut o.data, f, asks);
        put(&mut o.data, "]}");
        if o.logged {
            key_int(&mut o.line, "u", last);
            self.log_levels(o, f, bids, asks);
        }
    }

    pub fn log_levels(&self, o: &mut Out, f: &Face, bids: &[(i64, i64)], asks: &[(i64, i64)]) {
        let mut crc = crc32fast::Hasher::new();
        let mut buf = [0u8; 44];
        for (i, side) in [bids, asks].into_iter().enumerate() {
            if i == 1 {
                crc.update(b"|");
            }
            for &(px, qty) in side {
                let n = write_plain_bytes(&mut buf, f.px(px), f.pd);
                crc.update(&buf[44 - n..]);
                crc.update(b":");
                let n = write_plain_bytes(&mut buf, f.qty(qty), f.sd);
                crc.update(&buf[44 - n..]);
                crc.update(b";");
            }
        }
        key_int(&mut o.line, "nb", bids.len() as i64);
        key_int(&mut o.line, "na", asks.len() as i64);
        put(&mut o.line, ",\"lv\":\"");
        super::text::hex8(&mut o.line, crc.finalize());
        o.line.push(b'"');
    }

    /// Best bid and ask.
    pub fn book_ticker(&self, o: &mut Out, f: &Face, m: &Market, id: i64, now: i64) {
        o.begin("bookTicker", &f.s);
        let ((bp, bq), (ap, aq)) = m.top();
        if let Some(sp) = self.d.words {
            Shape::foreign_top(sp, o, f, m, now);
            o.log_int("u", -1);
            o.log_int("T", now);
            return self.log_top(o, f, m);
        }
        let w = &mut o.data;
        match self.d.prints.top {
            TopKeys::Bare => {
                put(w, "{\"u\":");
                int(w, id);
            }
            TopKeys::EventFirst => {
                put(w, "{\"e\":\"bookTicker\",\"u\":");
                int(w, id);
            }
            TopKeys::IdFirst => {
                put(w, "{\"u\":");
                int(w, id);
                key_str(w, "e", "bookTicker");
            }
            TopKeys::TimesFirst => {
                put(w, "{\"e\":\"bookTicker\",\"u\":");
                int(w, id);
                key_int(w, "E", now);
                key_int(w, "T", now);
            }
        }
        key_str(w, "s", &f.s);
        self.coin_ps(o, f);
        let w = &mut o.data;
        key_fixed(w, "b", f.px(bp).into(), f.pd);
        key_fixed(w, "B", f.qty(bq).into(), f.sd);
        key_fixed(w, "a", f.px(ap).into(), f.pd);
        key_fixed(w, "A", f.qty(aq).into(), f.sd);
        match self.d.prints.top {
            TopKeys::Bare => w.push(b'}'),
            TopKeys::EventFirst | TopKeys::IdFirst => {
                key_int(w, "T", now);
                key_int(w, "E", now);
                self.tail(o, f, true);
            }
            TopKeys::TimesFirst => self.tail(o, f, false),
        }
        if o.logged {
            key_int(&mut o.line, "u", id);
            if self.d.is_futures {
                key_int(&mut o.line, "T", now);
                key_int(&mut o.line, "E", now);
            }
            self.log_top(o, f, m);
        }
    }

    fn log_top(&self, o: &mut Out, f: &Face, m: &Market) {
        let ((bp, bq), (ap, aq)) = m.top();
        if o.logged {
            key_fixed(&mut o.line, "bp", f.px(bp).into(), f.pd);
            key_fixed(&mut o.line, "bq", f.qty(bq).into(), f.sd);
            key_fixed(&mut o.line, "ap", f.px(ap).into(), f.pd);
            key_fixed(&mut o.line, "aq", f.qty(aq).into(), f.sd);
        }
    }

    /// A fill, or a sum of fills, in a venue's own words.
    fn foreign_fill(
        &self,
        sp: &dyn Words,
        o: &mut Out,
        f: &Face,
        (px, qty): (i64, i64),
        buyer_maker: bool,
        (ev, now): (Ev, i64),
    ) {
        let id = Shape::foreign_trade(sp, o, f, ev, now);
        if o.logged {
            key_int(&mut o.line, "t", id);
            key_fixed(&mut o.line, "p", f.px(px).into(), f.pd);
            key_fixed(&mut o.line, "q", f.qty(qty).into(), f.sd);
            put(&mut o.line, if buyer_maker { ",\"m\":true" } else { ",\"m\":false" });
            key_int(&mut o.line, "T", now);
        }
    }

    /// One fill.
    pub fn trade(&self, o: &mut Out, f: &Face, ev: Ev, now: i64) {
        let Ev::Fill { t, px, qty, buyer_maker, insurance } = ev else { return };
        o.begin(if self.d.words.is_some_and(|w| !w.trades_chain()) { "sparseTrade" } else { "trade" }, &f.s);
        if let Some(sp) = self.d.words {
            return self.foreign_fill(sp, o, f, (px, qty), buyer_maker, (ev, now));
        }
        self.head(o, "trade", now);
        let futures = self.d.is_futures;
        let w = &mut o.data;
        if futures {
            key_int(w, "T", now);
        }
        key_str(w, "s", &f.s);
        key_int(w, "t", t);
        let (pd, sd) = if qty == 0 { (0, 0) } else { (f.pd, f.sd) };
        key_fixed(w, "p", f.px(px).into(), pd);
        key_fixed(w, "q", f.qty(qty).into(), sd);
        if futures {
            let x = if qty == 0 {
                "NA"
            } else if insurance {
                "INSURANCE_FUND"
            } else {
                "MARKET"
            };
            key_str(w, "X", x);
        } else {
            key_int(w, "T", now);
        }
        put(w, if buyer_maker { ",\"m\":true" } else { ",\"m\":false" });
        if futures {
            self.tail(o, f, false);
        } else {
            // Some have `M` on aggregates only.
            put(w, if self.d.prints.flag_m { ",\"M\":true}" } else { "}" });
        }
        o.log_int("t", t);
        self.log_fill(o, f, (px, qty), buyer_maker, (now, now));
    }

    pub(super) fn log_fill(
        &self,
        o: &mut Out,
        f: &Face,
        (px, qty): (i64, i64),
        buyer_maker: bool,
        (t, e): (i64, i64),
    ) {
        if o.logged {
            key_fixed(&mut o.line, "p", f.px(px).into(), f.pd);
            key_fixed(&mut o.line, "q", f.qty(qty).into(), f.sd);
            put(&mut o.line, if buyer_maker { ",\"m\":true" } else { ",\"m\":false" });
            key_int(&mut o.line, "T", t);
            key_int(&mut o.line, "E", e);
        }
    }

    /// The fills of one order at one price, matched at `t`, sent at `e`.
    pub fn agg_trade(&self, o: &mut Out, f: &Face, ev: Ev, t: i64, e: i64) {
        let Ev::Agg { a, px, qty, first, last, buyer_maker } = ev else { return };
        if let Some(sp) = self.d.words {
            o.begin(if sp.trades_chain() { "trade" } else { "sparseTrade" }, &f.s);
            return self.foreign_fill(sp, o, f, (px, qty), buyer_maker, (ev, t));
        }
        o.begin("aggTrade", &f.s);
        self.head(o, "aggTrade", e);
        let w = &mut o.data;
        if self.d.prints.agg_id_first {
            key_int(w, "a", a);
            key_str(w, "s", &f.s);
        } else {
            key_str(w, "s", &f.s);
            key_int(w, "a", a);
        }
        key_fixed(w, "p", f.px(px).into(), f.pd);
        key_fixed(w, "q", f.qty(qty).into(), f.sd);
        if self.d.prints.agg_size_twice {
            key_fixed(w, "nq", f.qty(qty).into(), f.sd);
        }
        key_int(w, "f", first);
        key_int(w, "l", last);
        key_int(w, "T", t);
        put(w, if buyer_maker { ",\"m\":true" } else { ",\"m\":false" });
        if !self.d.is_futures {
            put(w, ",\"M\":true}");
        } else {
            self.tail(o, f, false);
        }
        o.log_int("a", a);
        o.log_int("f", first);
        o.log_int("l", last);
        self.log_fill(o, f, (px, qty), buyer_maker, (t, e));
    }

    /// Mark price, printed with two more decimals than the price. `next` is the next funding time.
    pub fn mark(&self, o: &mut Out, f: &Face, p: Marked, next: i64, now: i64) {
        o.begin("mark", &f.s);
        if let Some(sp) = self.d.words {
            return self.foreign_marked(sp, o, f, p, next, now);
        }
        self.head(o, "markPriceUpdate", now);
        let dec = f.pd + 2;
        let (m, i) = (i128::from(f.px(p.mark)), i128::from(f.px(p.index)));
        let w = &mut o.data;
        key_str(w, "s", &f.s);
        key_fixed(w, "p", m, dec);
        if self.d.prints.index_first {
            key_fixed(w, "i", i, dec);
            key_fixed(w, "P", i, dec);
        } else {
            if self.st_ps {
                key_fixed(w, "ap", m, dec);
            }
            key_fixed(w, "P", i, dec);
            key_fixed(w, "i", i, dec);
        }
        let next = super::symbols::funding(w, ("r", "T"), f.delivers.is_some(), p.rate_e8, next);
        self.tail(o, f, false);
        o.log_int("E", now);
        o.log_int("T", next);
        o.log_fixed("p", m, dec);
        let all = [("index_px", i, dec), ("settle_px", i, dec), ("funding_rate", p.rate_e8.into(), 8)];
        o.log_columns(&[], &[], &all[..3 - usize::from(f.delivers.is_some())]);
    }

    fn foreign_marked(&self, sp: &dyn Words, o: &mut Out, f: &Face, p: Marked, next: i64, now: i64) {
        Shape::foreign_mark(sp, o, f, p, next, now);
        let dec = f.pd + 2;
        o.log_int("tm", now);
        o.log_int("T", next);
        o.log_fixed("p", f.px(p.mark).into(), dec);
        o.log_fixed("oi", f.qty(p.interest).into(), f.sd);
        let rate = ("funding_rate", p.rate_e8.into(), 8);
        o.log_columns(&[], &[], &[("index_px", f.px(p.index).into(), dec), rate]);
    }

    /// Index price of a pair.
    pub fn index_price(&self, o: &mut Out, f: &Face, index: i64, now: i64) {
        o.begin("indexPrice", &f.ps);
        self.head(o, "indexPriceUpdate", now);
        key_str(&mut o.data, "i", &f.ps);
        key_fixed(&mut o.data, "p", f.px(index).into(), f.pd + 2);
        self.tail(o, f, false);
        o.log_int("E", now);
    }

    /// The price of the last minutes (spot).
    pub fn avg_price(&self, o: &mut Out, f: &Face, s: &Stats, now: i64) {
        o.begin("avgPrice", &f.s);
        self.head(o, "avgPrice", now);
        key_str(&mut o.data, "s", &f.s);
        key_str(&mut o.data, "i", "5m");
        let b = &s.bars[3];
        key_fixed(&mut o.data, "w", f.average(b), f.pd);
        key_int(&mut o.data, "T", s.last_ms);
        o.data.push(b'}');
        o.log_int("E", now);
    }

    /// A candle.
    pub fn kline(&self, o: &mut Out, f: &Face, interval: usize, b: &Bar, of: CandleOf, now: i64) {
        let continuous = of == CandleOf::Contract;
        o.begin(if continuous { "continuousKline" } else { "kline" }, &f.s);
        if let Some(sp) = self.d.words {
            let [open, high, low, close] = prices(b, f);
            let all = [open, high, low, close, ("volume", b.volume, f.sd)];
            let known = if sp.volume_as_sizes() { &all[..] } else { &all[..4] };
            let name = [("interval", INTERVALS[interval].0)];
            o.log_columns(&name, &[("ts_open", b.open_ms * MS)], known);
            return Shape::foreign_candle(sp, o, f, interval, b, now);
        }
        let closed = now > b.close_ms;
        self.head(o, if continuous { "continuous_kline" } else { "kline" }, now);
        let w = &mut o.data;
        if continuous {
            key_str(w, "ps", &f.ps);
            key_str(w, "ct", f.contract_type);
        } else {
            key_str(w, "s", &f.s);
        }
        put(w, ",\"k\":{\"t\":");
        int(w, b.open_ms);
        key_int(w, "T", b.close_ms);
        if !continuous {
            key_str(w, "s", &f.s);
        }
        key_str(w, "i", INTERVALS[interval].0);
        key_int(w, "f", b.first);
        key_int(w, "L", b.last);
        for (k, v) in [("o", b.open), ("c", b.close), ("h", b.high), ("l", b.low)] {
            key_fixed(w, k, v.into(), f.pd);
        }
        key_fixed(w, "v", b.volume, f.sd);
        key_int(w, "n", b.trades);
        put(w, if closed { ",\"x\":true" } else { ",\"x\":false" });
        let quote = f.qd;
        key_fixed(w, "q", b.quote, quote);
        key_fixed(w, "V", b.taker, f.sd);
        key_fixed(w, "Q", b.taker_quote, quote);
        put(w, ",\"B\":\"0\"}");
        self.tail(o, f, false);
        o.log_int("E", now);
        let [open, high, low, close] = prices(b, f);
        let all = [
            open,
            high,
            low,
            close,
            ("volume", b.volume, f.sd),
            ("taker_volume", b.taker, f.sd),
            ("quote_volume", b.quote, quote),
            ("taker_quote_volume", b.taker_quote, quote),
        ];
        // What is not in the quote has no column.
        let known = if f.is_inverse() { &all[..6] } else { &all[..] };
        let name = of.name(INTERVALS[interval].0);
        o.log_columns(
            &[("interval", &*name), ("is_closed", if closed { "true" } else { "false" })],
            &[
                ("ts_open", b.open_ms * MS),
                ("ts_close", b.close_ms * MS),
                ("trade_count", b.trades),
                ("trade_id_first", b.first),
                ("trade_id_last", b.last),
            ],
            known,
        );
    }

    /// Rolling day, short.
    pub fn mini_ticker(&self, o: &mut Out, f: &Face, s: &Stats, now: i64) {
        o.begin("miniTicker", &f.s);
        self.head(o, "24hrMiniTicker", now);
        let d = &s.day;
        let w = &mut o.data;
        key_str(w, "s", &f.s);
        for (k, v) in [("c", d.close), ("o", d.open), ("h", d.high), ("l", d.low)] {
            key_fixed(w, k, v.into(), f.pd);
        }
        key_fixed(w, "v", d.volume, f.sd);
        key_fixed(w, "q", d.quote, f.qd);
        self.coin_ps(o, f);
        self.tail(o, f, true);
        o.log_int("E", now);
        o.log_fixed("p", d.close.into(), f.pd);
        o.log_columns(&[], &[("ts_open", 0), ("ts_close", 0), ("trade_count", -1)], day_known(&day(d, f), f));
    }

    /// Rolling day.
    pub fn ticker(&self, o: &mut Out, f: &Face, s: &Stats, m: &Market, now: i64) {
        o.begin("ticker", &f.s);
        self.head(o, "24hrTicker", now);
        let d = &s.day;
        let w = &mut o.data;
        key_str(w, "s", &f.s);
        let change = i128::from(d.close - d.open);
        key_fixed(w, "p", change, f.pd);
        key_fixed(w, "P", change * 100_000 / i128::from(d.open.max(1)), 3);
        key_fixed(w, "w", f.average(d), f.pd);
        let ((bp, bq), (ap, aq)) = m.top();
        if self.d.prints.day_has_top {
            key_fixed(w, "x", d.open.into(), f.pd);
        }
        key_fixed(w, "c", d.close.into(), f.pd);
        key_fixed(w, "Q", f.qty(s.last_qty).into(), f.sd);
        if self.d.prints.day_has_top {
            key_fixed(w, "b", f.px(bp).into(), f.pd);
            key_fixed(w, "B", f.qty(bq).into(), f.sd);
            key_fixed(w, "a", f.px(ap).into(), f.pd);
            key_fixed(w, "A", f.qty(aq).into(), f.sd);
        }
        for (k, v) in [("o", d.open), ("h", d.high), ("l", d.low)] {
            key_fixed(w, k, v.into(), f.pd);
        }
        key_fixed(w, "v", d.volume, f.sd);
        key_fixed(w, "q", d.quote, f.qd);
        key_int(w, "O", now - 86_400_000);
        key_int(w, "C", now);
        key_int(w, "F", d.first);
        key_int(w, "L", d.last);
        key_int(w, "n", d.trades);
        self.coin_ps(o, f);
        self.tail(o, f, true);
        o.log_int("E", now);
        o.log_fixed("p", d.close.into(), f.pd);
        let [open, high, low, last, volume, quote] = day(d, f);
        let size = ("last_size", f.qty(s.last_qty).into(), f.sd);
        let all = [open, high, low, last, volume, size, quote];
        o.log_columns(
            &[],
            &[("ts_open", (now - 86_400_000) * MS), ("ts_close", now * MS), ("trade_count", d.trades)],
            if f.is_inverse() { &all[..6] } else { &all },
        );
    }

    /// A liquidation order.
    pub fn force_order(&self, o: &mut Out, f: &Face, ev: Ev, t: i64, now: i64) {
        let Ev::Force { sell, px, avg, qty, last_fill } = ev else { return };
        o.begin("forceOrder", &f.s);
        self.head(o, "forceOrder", now);
        let w = &mut o.data;
        put(w, ",\"o\":{\"s\":\"");
        put(w, &f.s);
        w.push(b'"');
        self.coin_ps(o, f);
        let w = &mut o.data;
        key_str(w, "S", if sell { "SELL" } else { "BUY" });
        key_str(w, "o", "LIMIT");
        key_str(w, "f", "IOC");
        key_fixed(w, "q", f.qty(qty).into(), f.sd);
        key_fixed(w, "p", f.px(px).into(), f.pd);
        key_fixed(w, "ap", f.px(avg).into(), f.pd);
        key_str(w, "X", "FILLED");
        key_fixed(w, "l", f.qty(last_fill).into(), f.sd);
        key_fixed(w, "z", f.qty(qty).into(), f.sd);
        key_int(w, "T", t);
        w.push(b'}');
        self.tail(o, f, true);
        o.log_int("E", now);
        o.log_int("T", t);
        o.log_fixed("p", f.px(px).into(), f.pd);
        o.log_fixed("q", f.qty(qty).into(), f.sd);
        o.log_columns(
            &[("order_type", "LIMIT"), ("tif", "IOC"), ("status", "FILLED")],
            &[("side", if sell { -1 } else { 1 })],
            &[
                ("avg_price", f.px(avg).into(), f.pd),
                ("last_filled", f.qty(last_fill).into(), f.sd),
                ("filled", f.qty(qty).into(), f.sd),
            ],
        );
    }
}

/// Nanoseconds of a millisecond.
const MS: i64 = 1_000_000;

/// Prices of a candle, as `klines` names them.
pub(super) fn prices(b: &Bar, f: &Face) -> [(&'static str, i128, u8); 4] {
    [("open", b.open), ("high", b.high), ("low", b.low), ("close", b.close)]
        .map(|(column, p)| (column, p.into(), f.pd))
}

/// Prices and sums of a day, as `tickers` names them.
pub(super) fn day(d: &Bar, f: &Face) -> [(&'static str, i128, u8); 6] {
    let [open, high, low, (_, close, _)] = prices(d, f);
    let (volume, quote) = (("volume", d.volume, f.sd), ("quote_volume", d.quote, f.qd));
    [open, high, low, ("last", close, f.pd), volume, quote]
}

/// What of that a recorder has columns for: a turnover that is not in the quote has none.
pub(super) fn day_known<'d>(
    all: &'d [(&'static str, i128, u8); 6],
    f: &Face,
) -> &'d [(&'static str, i128, u8)] {
    if f.is_inverse() { &all[..5] } else { all }
}

/// `["price","size"],…`
pub fn levels(out: &mut Vec<u8>, f: &Face, levels: &[(i64, i64)]) {
    for (i, &(px, qty)) in levels.iter().enumerate() {
        put(out, if i == 0 { "[\"" } else { ",[\"" });
        fixed(out, f.px(px).into(), f.pd);
        put(out, "\",\"");
        fixed(out, f.qty(qty).into(), f.sd);
        put(out, "\"]");
    }
}

#[cfg(test)]
#[path = "payload_tests.rs"]
mod tests;
