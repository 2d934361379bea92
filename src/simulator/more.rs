//! The payloads of streams that only some venues have: most of them have no table and are held against nothing but the
//! bytes that were sent.

use super::market::Ev;
use super::payload::{Face, Marked, Out, Shape};
use super::stats::{Bar, Stats};
use super::streams::{INTERVALS, WINDOWS};
use super::symbols::{NEVER, SymbolDef};
use super::text::{escaped, int, key_fixed, key_int, key_str, put};
use crate::model::dialect::{Dialect, Extra};

/// Candles of the east are those of UTC+8.
const EAST_MS: i64 = 8 * 3_600_000;
/// Nanoseconds of a millisecond.
const MS: i64 = 1_000_000;

/// What a symbol keeps for such streams.
pub(super) struct More {
    /// Id of the last block trade.
    pub block_id: i64,
    /// Candles of another time zone.
    pub east: Option<Box<Stats>>,
    /// Candles of index and mark price, with two decimals more.
    pub prices: Option<Box<[Stats; 2]>>,
}

impl More {
    /// Of a venue's symbol, before anything happened.
    pub fn new(d: &Dialect, start: i64, f: &Face, start_ticks: i64) -> More {
        let stats = |px, east_ms| Stats::east(start, f.px(px), east_ms);
        let index = 100 * start_ticks;
        More {
            block_id: 7_000_000,
            east: d.has(Extra::EastCandles).then(|| Box::new(stats(start_ticks, EAST_MS))),
            prices: d.has(Extra::PriceCandles).then(|| Box::new([stats(index, 0), stats(index, 0)])),
        }
    }
}

impl Shape {
    /// A trade that was agreed upon elsewhere; price in ticks, size in steps.
    pub(super) fn block_trade(
        &self,
        o: &mut Out,
        f: &Face,
        id: i64,
        deal: (i64, i64),
        buyer_maker: bool,
        now: i64,
    ) {
        o.begin("blockTrade", &f.s);
        self.head(o, "blockTrade", now);
        let w = &mut o.data;
        key_str(w, "s", &f.s);
        key_int(w, "t", id);
        key_fixed(w, "p", f.px(deal.0).into(), f.pd);
        key_fixed(w, "q", f.qty(deal.1).into(), f.sd);
        key_int(w, "T", now);
        put(w, if buyer_maker { ",\"m\":true}" } else { ",\"m\":false}" });
        o.log_int("t", id);
        self.log_fill(o, f, deal, buyer_maker, (now, now));
        o.log_columns(&[("trade_type", "block")], &[], &[]);
    }

    /// A fill with what it left on the chain.
    pub(super) fn trade_pro(&self, o: &mut Out, f: &Face, ev: Ev, now: i64) {
        let Ev::Fill { t, px, qty, .. } = ev else { return };
        o.begin("tradepro", &f.s);
        self.head(o, "tradepro", now);
        let w = &mut o.data;
        key_int(w, "T", now);
        key_str(w, "s", &f.s);
        key_int(w, "t", t);
        key_fixed(w, "p", f.px(px).into(), f.pd);
        key_fixed(w, "q", f.qty(qty).into(), f.sd);
        key_str(w, "h", &format!("0X{t:064X}"));
        put(w, ",\"m\":[\"hidden\",\"hidden\"]}");
        o.log_int("E", now);
    }

    /// The price to which others refer; there is none every tenth second.
    pub(super) fn reference_price(&self, o: &mut Out, f: &Face, def: &SymbolDef, s: &Stats, now: i64) {
        if let Some(sp) = self.d.words {
            o.begin("refPrice", &f.s);
            Shape::foreign_reference(sp, o, f, def, s, now);
        } else {
            o.begin("referencePrice", &f.s);
            put(&mut o.data, "{\"e\":\"referencePrice\"");
            key_str(&mut o.data, "s", &f.s);
            match now / 1000 % 10 {
                0 => put(&mut o.data, ",\"r\":null"),
                _ => key_fixed(&mut o.data, "r", s.day.close.into(), f.pd),
            }
            key_int(&mut o.data, "t", now);
            o.data.push(b'}');
        }
        o.log_int("E", now);
    }

    /// Statistics of a fixed window: of all that happened, which is less than an hour.
    pub(super) fn window(&self, o: &mut Out, f: &Face, window: usize, d: &Bar, now: i64) {
        let (name, len) = WINDOWS[window];
        o.begin("ticker", &f.s);
        self.head(o, &format!("{name}Ticker"), now);
        let w = &mut o.data;
        key_str(w, "s", &f.s);
        let change = i128::from(d.close - d.open);
        key_fixed(w, "p", change, f.pd);
        key_fixed(w, "P", change * 10_000 / i128::from(d.open.max(1)), 2);
        for (k, v) in [("o", d.open), ("h", d.high), ("l", d.low), ("c", d.close)] {
            key_fixed(w, k, v.into(), f.pd);
        }
        key_fixed(w, "w", f.average(d), f.pd);
        key_fixed(w, "v", d.volume, f.sd);
        key_fixed(w, "q", d.quote, f.qd);
        // Windows begin at whole minutes.
        let opened = (now - len) / 60_000 * 60_000;
        key_int(w, "O", opened);
        key_int(w, "C", now);
        key_int(w, "F", d.first);
        key_int(w, "L", d.last);
        key_int(w, "n", d.trades);
        w.push(b'}');
        o.log_int("E", now);
        let ints = [("ts_open", opened * MS), ("ts_close", now * MS), ("trade_count", d.trades)];
        o.log_columns(&[], &ints, super::payload::day_known(&super::payload::day(d, f), f));
    }

    /// A candle of the mark price, or of its pair's index price.
    pub(super) fn price_candle(&self, o: &mut Out, f: &Face, is_mark: bool, i: usize, b: &Bar, now: i64) {
        let (kind, event) =
            if is_mark { ("markKline", "markPrice_kline") } else { ("indexKline", "indexPrice_kline") };
        o.begin(kind, &f.s);
        self.head(o, event, now);
        let w = &mut o.data;
        key_str(w, "ps", &f.ps);
        put(w, ",\"k\":{\"t\":");
        int(w, b.open_ms);
        key_int(w, "T", b.close_ms);
        key_str(w, "s", if is_mark { &f.s } else { "0" });
        key_str(w, "i", INTERVALS[i].0);
        put(w, ",\"f\":0,\"L\":0");
        for (k, v) in [("o", b.open), ("c", b.close), ("h", b.high), ("l", b.low)] {
            key_fixed(w, k, v.into(), f.pd + 2);
        }
        // Of the numbers of a candle only that of its prices means something here.
        put(w, ",\"v\":\"0\"");
        key_int(w, "n", b.trades);
        put(w, if now > b.close_ms { ",\"x\":true" } else { ",\"x\":false" });
        put(w, ",\"q\":\"0\",\"V\":\"0\",\"Q\":\"0\",\"B\":\"0\"}");
        self.tail(o, f, false);
        o.log_int("E", now);
    }

    /// What a contract is, when that changes.
    pub(super) fn contract_info(&self, o: &mut Out, f: &Face, now: i64) {
        o.begin("contractInfo", &f.s);
        self.head(o, "contractInfo", now);
        key_str(&mut o.data, "s", &f.s);
        self.coin_ps(o, f);
        key_str(&mut o.data, "ct", f.contract_type);
        key_int(&mut o.data, "dt", f.delivers.unwrap_or(NEVER));
        put(&mut o.data, ",\"ot\":1569398400000,\"cs\":\"TRADING\"");
        put(
            &mut o.data,
            ",\"bks\":[{\"bs\":1,\"bnf\":0,\"bnc\":5000,\"mmr\":0.01,\"cf\":0,\"mi\":21,\"ma\":50}]",
        );
        self.tail(o, f, false);
        o.log_int("E", now);
    }

    /// An index of several assets, here of one.
    pub(super) fn composite_index(&self, o: &mut Out, f: &Face, def: &SymbolDef, p: Marked, now: i64) {
        o.begin("compositeIndex", &f.s);
        self.head(o, "compositeIndex", now);
        let (w, dec) = (&mut o.data, f.pd + 2);
        key_str(w, "s", &f.s);
        key_fixed(w, "p", f.px(p.index).into(), dec);
        key_str(w, "C", "baseAsset");
        put(w, ",\"c\":[{\"b\":\"");
        put(w, &escaped(&def.base));
        w.push(b'"');
        key_str(w, "q", &escaped(&def.quote));
        put(w, ",\"w\":\"1.00000000\",\"W\":\"1.00000000\"");
        key_fixed(w, "i", f.px(p.index).into(), dec);
        put(w, "}]}");
        o.log_int("E", now);
    }

    /// What an asset counts as margin.
    pub(super) fn asset_index(&self, o: &mut Out, f: &Face, p: Marked, now: i64) {
        o.begin("assetIndex", &f.s);
        self.head(o, "assetIndexUpdate", now);
        let (w, dec) = (&mut o.data, f.pd + 2);
        let index = i128::from(f.px(p.index));
        key_str(w, "s", &f.s);
        key_fixed(w, "i", index, dec);
        put(w, ",\"b\":\"0.10000000\",\"a\":\"0.10000000\"");
        key_fixed(w, "B", index * 9 / 10, dec);
        key_fixed(w, "A", index * 11 / 10, dec);
        put(w, ",\"q\":\"0.05000000\",\"g\":\"0.05000000\"");
        key_fixed(w, "Q", index * 95 / 100, dec);
        key_fixed(w, "G", index * 105 / 100, dec);
        w.push(b'}');
        o.log_int("E", now);
    }

    /// Which session of a stock exchange there is.
    pub(super) fn trading_session(&self, o: &mut Out, now: i64) {
        const HOUR: i64 = 3_600_000;
        o.begin("tradingSession", "");
        self.head(o, "EquityUpdate", now);
        key_int(&mut o.data, "t", now / HOUR * HOUR);
        key_int(&mut o.data, "T", (now / HOUR + 1) * HOUR);
        key_str(&mut o.data, "S", "REGULAR");
        o.data.push(b'}');
        o.log_int("E", now);
    }

    /// The beginning of a round at full minutes, and the samples by which it is decided.
    pub(super) fn market_event(&self, o: &mut Out, def: &SymbolDef, mid: i64, now: i64) {
        let market = def.symbol.trim_end_matches("_YUSDT");
        let left = 59 - now / 1000 % 60;
        o.begin("event", &escaped(&def.symbol));
        let w = &mut o.data;
        put(w, if left == 59 { "{\"e\":\"market_start\"" } else { "{\"e\":\"market_twap\"" });
        key_str(w, "m", &escaped(market));
        key_str(w, "y", &escaped(&def.symbol));
        key_str(w, "n", &escaped(&format!("{market}_NUSDT")));
        key_fixed(w, "p", i128::from(mid) * 1_000_003, 8);
        if left < 59 {
            key_int(w, "r", left);
        }
        key_int(w, "t", now);
        if left == 0 {
            key_str(w, "w", "Y");
        }
        w.push(b'}');
        o.log_int("E", now);
    }
}
