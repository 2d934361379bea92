//! What is told by the clock and not by what happens: at full seconds, and candles at their pace.

use super::listing::Listing;
use super::payload::Marked;
use super::rng::mix;
use super::stats::CandleOf;
use super::streams::{Channel, INTERVALS, Scope, WINDOWS};
use super::text::{key_int, key_str};
use super::world::{NONE, World};
use crate::model::dialect::Extra;

impl World {
    pub(super) fn each_second(&mut self, sym: usize) {
        let now = self.now;
        if let Some((e, t)) = self.symbols[sym].force.take() {
            self.tell(sym, Channel::Force, true, |sh, o, s| sh.force_order(o, &s.face, e, t, now));
        }
        self.tell(sym, Channel::AvgPrice, false, |sh, o, s| sh.avg_price(o, &s.face, &s.stats, now));
        self.tell(sym, Channel::ReferencePrice, false, |sh, o, s| {
            sh.reference_price(o, &s.face, &s.def, &s.stats, now)
        });
        for w in 0..WINDOWS.len() {
            let c = Channel::Window(w as u8);
            self.tell(sym, c, false, |sh, o, s| sh.window(o, &s.face, w, &s.stats.day, now));
        }
        self.block_trade(sym);
        let p = self.mark_of(sym);
        self.tell(sym, Channel::CompositeIndex, false, |sh, o, s| {
            sh.composite_index(o, &s.face, &s.def, p, now)
        });
        self.tell(sym, Channel::AssetIndex, false, |sh, o, s| sh.asset_index(o, &s.face, p, now));
        self.tell(sym, Channel::Event, false, |sh, o, s| sh.market_event(o, &s.def, s.market.mid(), now));
        self.price_candles(sym, p);
    }

    /// A trade that was agreed upon elsewhere, now and then. No dice: whether there is one depends on time and symbol alone.
    fn block_trade(&mut self, sym: usize) {
        let now = self.now;
        if !self.shape.d.has(Extra::BlockTrades)
            || !mix(self.cfg.seed ^ mix(sym as u64) ^ now as u64).is_multiple_of(3)
        {
            return;
        }
        let s = &mut self.symbols[sym];
        s.more.block_id += 1 + now % 3;
        let (id, px, qty) = (s.more.block_id, s.market.mid(), 1000 * s.def.typical_steps);
        self.tell(sym, Channel::BlockTrade, false, |sh, o, s| {
            sh.block_trade(o, &s.face, id, (px, qty), now % 2 == 0, now);
        });
    }

    /// Candles of index and mark price, of the prices of full seconds.
    fn price_candles(&mut self, sym: usize, p: Marked) {
        let now = self.now;
        let s = &mut self.symbols[sym];
        let Some(both) = &mut s.more.prices else { return };
        for (stats, px) in both.iter_mut().zip([p.index, p.mark]) {
            stats.fill(now, (s.face.px(px), 0, 0), true, 0);
        }
        for i in 0..INTERVALS.len() {
            for (n, c) in [Channel::IndexKline(i as u8), Channel::MarkKline(i as u8)].into_iter().enumerate()
            {
                let Some(stats) = self.symbols[sym].more.prices.as_mut().map(|p| &mut p[n]) else { return };
                for bar in stats.news(i) {
                    self.tell(sym, c, false, |sh, o, s| sh.price_candle(o, &s.face, n == 1, i, &bar, now));
                }
            }
        }
    }

    /// What all symbols say together, at full seconds.
    pub(super) fn on_the_second(&mut self) {
        let (now, n) = (self.now, self.symbols.len());
        let next = (now / 28_800_000 + 1) * 28_800_000;
        let three = now % 3000 == 0;
        for sym in 0..n {
            let p = self.mark_of(sym);
            self.tell(sym, Channel::Mark1s, false, |sh, o, s| sh.mark(o, &s.face, p, next, now));
            if three {
                self.tell(sym, Channel::Mark3s, false, |sh, o, s| sh.mark(o, &s.face, p, next, now));
            }
            self.tell(sym, Channel::IndexPrice, false, |sh, o, s| sh.index_price(o, &s.face, p.index, now));
        }
        for c in [Channel::Mark1s, Channel::Mark3s] {
            if c == Channel::Mark1s || three {
                for table in (0..n).map(Scope::Pair).chain([Scope::All]) {
                    self.tell_array(table, c, |w, sym| {
                        let p = w.mark_of(sym);
                        let s = &w.symbols[sym];
                        w.shape.mark(&mut w.out, &s.face, p, next, now);
                        true
                    });
                }
            }
        }
        self.tell_array(Scope::All, Channel::MiniTicker, |w, sym| {
            let changed = std::mem::take(&mut w.symbols[sym].stats.changed_mini_all);
            let s = &w.symbols[sym];
            w.shape.mini_ticker(&mut w.out, &s.face, &s.stats, now);
            changed
        });
        self.tell_array(Scope::All, Channel::Ticker, |w, sym| {
            let changed = std::mem::take(&mut w.symbols[sym].stats.changed_ticker_all);
            let s = &w.symbols[sym];
            w.shape.ticker(&mut w.out, &s.face, &s.stats, &s.market, now);
            changed
        });
        for w in 0..WINDOWS.len() {
            self.tell_array(Scope::All, Channel::Window(w as u8), |world, sym| {
                let s = &world.symbols[sym];
                world.shape.window(&mut world.out, &s.face, w, &s.stats.day, now);
                true
            });
        }
        self.tell_array(Scope::All, Channel::AssetIndex, |w, sym| {
            let p = w.mark_of(sym);
            w.shape.asset_index(&mut w.out, &w.symbols[sym].face, p, now);
            true
        });
        self.news_of_the_venue();
        let every = i64::from(self.shape.d.all_book_ticker_every_ms);
        let twin = self.all_slots[0];
        if every > 0 && now % every == 0 && twin != NONE {
            for sym in 0..n {
                if std::mem::take(&mut self.symbols[sym].bbo_changed)
                    && self.symbols[sym].listing != Listing::Gone
                {
                    let s = &self.symbols[sym];
                    self.shape.book_ticker(&mut self.out, &s.face, &s.market, s.market.last_id, now);
                    self.spread(twin as usize);
                }
            }
        }
    }

    pub(super) fn flush_klines(&mut self, sym: usize) {
        let now = self.now;
        let s = &mut self.symbols[sym];
        let first = Channel::Kline(0).slot().unwrap_or(0);
        let last = Channel::ContinuousKline(INTERVALS.len() as u8 - 1).slot().unwrap_or(first);
        let east = Channel::EastKline(0).slot().unwrap_or(first);
        let ours = s.slots[first..=last].iter().chain(&s.slots[east..east + INTERVALS.len()]);
        if ours.into_iter().all(|&ix| ix == NONE) {
            return;
        }
        s.stats.roll(now);
        s.more.east.iter_mut().for_each(|e| e.roll(now));
        for i in 0..INTERVALS.len() {
            for bar in self.symbols[sym].stats.news(i) {
                let own = (Channel::Kline(i as u8), CandleOf::Symbol);
                for (c, of) in [own, (Channel::ContinuousKline(i as u8), CandleOf::Contract)] {
                    self.tell(sym, c, false, |sh, o, s| sh.kline(o, &s.face, i, &bar, of, now));
                }
            }
            let Some(east) = &mut self.symbols[sym].more.east else { continue };
            for bar in east.news(i) {
                let c = Channel::EastKline(i as u8);
                self.tell(sym, c, false, |sh, o, s| sh.kline(o, &s.face, i, &bar, CandleOf::East, now));
            }
        }
    }

    /// What concerns no symbol, or one at a time.
    fn news_of_the_venue(&mut self) {
        let (now, second) = (self.now, (self.now / 1000) as usize);
        for (c, sym) in [(Channel::ContractInfo, second % self.symbols.len()), (Channel::TradingSession, 0)] {
            let ix = c.slot().map_or(NONE, |slot| self.all_slots[slot]);
            if ix == NONE || self.streams[ix as usize].subs.is_empty() {
                continue;
            }
            let s = &self.symbols[sym];
            match c {
                Channel::ContractInfo => self.shape.contract_info(&mut self.out, &s.face, now),
                _ => self.shape.trading_session(&mut self.out, now),
            }
            self.spread(ix as usize);
        }
    }

    /// Mark and index price. No dice: they depend on time and symbol alone.
    pub fn mark_of(&self, sym: usize) -> Marked {
        let noise =
            |salt: u64| (mix(self.cfg.seed ^ salt ^ mix(sym as u64) ^ self.now as u64) % 401) as i64 - 200;
        let mid = self.symbols[sym].market.mid() * 100;
        let (mark, index, rate_e8) = (mid + noise(1), mid + noise(2), 10_000 + noise(3) * 10);
        Marked { mark, index, rate_e8, interest: self.interest_of(sym) }
    }

    /// An array of all symbols, for the all-market stream or a pair's stream.
    fn tell_array(&mut self, scope: Scope, c: Channel, mut one: impl FnMut(&mut World, usize) -> bool) {
        let Some(slot) = c.slot() else { return };
        let ix = match scope {
            Scope::Pair(sym) => self.pair_slots.get(&(slot, sym)).copied().unwrap_or(NONE),
            _ => self.all_slots[slot],
        };
        if ix == NONE || self.streams[ix as usize].subs.is_empty() {
            return;
        }
        let of_pair = self.streams[ix as usize].symbol;
        let (mut data, mut rows) = (vec![b'['], Vec::new());
        for sym in 0..self.symbols.len() {
            let wanted = of_pair.is_none_or(|p| self.symbols[p].def.pair == self.symbols[sym].def.pair);
            if wanted && self.symbols[sym].listing != Listing::Gone && one(self, sym) {
                if data.len() > 1 {
                    data.push(b',');
                }
                data.extend_from_slice(&self.out.data);
                if self.out.logged {
                    rows.extend_from_slice(if rows.is_empty() { b"{" } else { b",{" });
                    // A line begins with the comma of its first key.
                    rows.extend_from_slice(self.out.line.get(1..).unwrap_or_default());
                    rows.push(b'}');
                }
            }
        }
        data.push(b']');
        if data.len() == 2 {
            return;
        }
        match self.shape.d.words {
            Some(sp) => {
                self.out.data.clear();
                sp.marks(&data, &mut self.out.data);
            }
            None => self.out.data = data,
        }
        self.out.line.clear();
        if self.out.logged {
            key_str(&mut self.out.line, "kind", "array");
            key_int(&mut self.out.line, "E", self.now);
            self.out.line.extend_from_slice(b",\"rows\":[");
            self.out.line.extend_from_slice(&rows);
            self.out.line.push(b']');
        }
        self.spread(ix as usize);
    }
}
