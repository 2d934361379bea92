//! The market of one symbol: a real book that moves by the statistics of recorded venues, so that depth, trades and best
//! prices agree with each other. Pure: numbers in, events out, decided by the seed.
//!
//! Prices are ticks, sizes steps. One *action* is what one participant does at the touch; a few changes deeper in the book
//! come with it. Every change takes an update id; `bookTicker` and diffs share them.

use super::ladder::Ladder;
use super::rng::Rng;
use super::symbols::SymbolDef;
use crate::model::dialect::{Dialect, IdScheme, Tempo};

/// Something to tell the world at once. Diffs are collected apart ([`Market::touched`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ev {
    /// The best bid or ask is different; the market has the new one.
    Bbo {
        /// Update id.
        id: i64,
    },
    /// One fill.
    Fill {
        /// Trade id.
        t: i64,
        /// Price, ticks; 0 marks a spent id.
        px: i64,
        /// Size, steps; 0 marks a spent id.
        qty: i64,
        /// Whether the buyer was the maker.
        buyer_maker: bool,
        /// Whether the insurance fund traded, outside the book.
        insurance: bool,
    },
    /// The fills of one order at one price.
    Agg {
        /// Aggregate id.
        a: i64,
        /// Price, ticks.
        px: i64,
        /// Size, steps.
        qty: i64,
        /// First trade id.
        first: i64,
        /// Last trade id.
        last: i64,
        /// Whether the buyer was the maker.
        buyer_maker: bool,
    },
    /// The order was a liquidation.
    Force {
        /// Whether it sold.
        sell: bool,
        /// Limit price, ticks.
        px: i64,
        /// Average price, ticks (whole).
        avg: i64,
        /// Size, steps.
        qty: i64,
        /// Last fill, steps.
        last_fill: i64,
    },
}

/// One level that changed (or seemed to), in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    /// Whether on the bid side.
    pub bid: bool,
    /// Price, ticks.
    pub px: i64,
    /// Update id of the change.
    pub id: i64,
    /// Venue time, ms.
    pub at: i64,
}

/// Share of level entries by rank, cumulative in 10,000 (`data/LOAD.md`, USD-M 2024 and its relatives).
const RANKS: [&[(u32, i64)]; 3] = [
    &[(0, 0), (150, 1), (580, 5), (1190, 20), (3080, 100), (7100, 500), (8350, 1000), (10_000, 3000)],
    &[(0, 0), (650, 1), (1300, 5), (2720, 20), (5410, 100), (8780, 500), (9620, 1000), (10_000, 2500)],
    &[(0, 0), (1200, 1), (2270, 5), (3630, 20), (7000, 100), (9730, 500), (9900, 1000), (10_000, 1300)],
];

/// What entries do, cumulative in 10,000: new, change, same; the next is removal, the rest removal of an unknown level.
/// Changes of one window merge, so these are not the shares that come out; the test below holds those.
const DOES: [[u64; 4]; 3] = [[2050, 7400, 7800, 9700], [4000, 5100, 5240, 9240], [2700, 6100, 6270, 8900]];

/// Deep changes per action.
const DEEP: [&[(u32, i64)]; 3] = [
    &[(0, 0), (1500, 1), (5000, 4), (8000, 8), (9500, 16), (9950, 40), (10_000, 500)],
    &[(0, 0), (2500, 1), (5500, 3), (8500, 6), (9700, 12), (9960, 30), (10_000, 400)],
    &[(0, 0), (3000, 1), (6000, 4), (8200, 9), (9400, 20), (9950, 80), (10_000, 300)],
];

/// Ids that others take between two changes of a symbol (shared counters only).
const TAKEN: [&[(u32, i64)]; 3] = [
    &[(0, 0), (5000, 12), (9000, 80), (10_000, 500)],
    &[(0, 0), (5000, 8), (9000, 50), (10_000, 300)],
    &[(0, 0), (5000, 5), (9000, 30), (10_000, 150)],
];

/// Taker orders, in 10,000 actions.
const TAKES: [u64; 3] = [1_300, 1_000, 500];

/// Fills per taker order.
const FILLS: &[(u32, i64)] = &[(0, 1), (6000, 1), (8000, 3), (9500, 8), (9950, 30), (10_000, 160)];

/// One symbol's market.
#[derive(Debug)]
pub struct Market {
    /// Bids.
    pub bids: Ladder,
    /// Asks.
    pub asks: Ladder,
    /// Last update id.
    pub last_id: i64,
    /// Changes not yet told by every depth speed, oldest first; `touched_from` counts those forgotten.
    pub touched: Vec<Touch>,
    /// Absolute number of `touched[0]`.
    pub touched_from: u64,
    /// Last trade id.
    pub trade_id: i64,
    /// Last aggregate id.
    pub agg_id: i64,
    /// Mid price that the market returns to, ticks.
    anchor: i64,
    table: usize,
    typical: i64,
    levels_max: usize,
    quiet: bool,
    dense: bool,
    odd_trades: bool,
    futures: bool,
}

impl Market {
    /// The market before its first action.
    pub fn new(
        d: &Dialect,
        def: &SymbolDef,
        rank: usize,
        levels: usize,
        first_id: i64,
        rng: &mut Rng,
    ) -> Market {
        let table = match d.tempo {
            Tempo::Futures => 0,
            Tempo::Spot => 1,
            Tempo::Inverse => 2,
        };
        let mut m = Market {
            bids: Ladder::new(true),
            asks: Ladder::new(false),
            last_id: first_id,
            touched: Vec::new(),
            touched_from: 0,
            trade_id: 100_000_000 + rng.below(4_000_000_000) as i64,
            agg_id: 10_000_000 + rng.below(2_000_000_000) as i64,
            anchor: def.start_ticks,
            table,
            typical: def.typical_steps,
            levels_max: [5000, 2900, 1350][table].max(levels + levels / 3),
            quiet: rank >= 5,
            dense: d.ids != IdScheme::Shared,
            odd_trades: d.prints.odd_trades,
            futures: d.is_futures,
        };
        // Levels stand closer near the touch; a whole side stays within a third of the price.
        let room = def.start_ticks / 3;
        for bid in [true, false] {
            let mut px = def.start_ticks - i64::from(bid);
            for r in 0..levels as i64 {
                if (px - def.start_ticks).abs() >= room {
                    break;
                }
                let q = m.size(rng);
                let side = if bid { &mut m.bids } else { &mut m.asks };
                side.set(side.key(px), q);
                let widest = (2 + r / 40).min(1 + 2 * room / (levels as i64 + 1));
                let gap = 1 + rng.below(widest.max(1) as u64) as i64;
                px += if bid { -gap } else { gap };
            }
        }
        m
    }

    /// Best bid and ask as `(price, size)`. Both sides always have one.
    pub fn top(&self) -> ((i64, i64), (i64, i64)) {
        (self.bids.best().unwrap_or((0, 0)), self.asks.best().unwrap_or((0, 0)))
    }

    /// Whole middle price, ticks.
    pub fn mid(&self) -> i64 {
        let (b, a) = self.top();
        (b.0 + a.0) / 2
    }

    fn size(&self, rng: &mut Rng) -> i64 {
        // Most are small, some large, a few round ones.
        let t = self.typical;
        1 + rng.quantile(&[(0, 0), (2500, t / 8), (5000, t / 2), (7500, t), (9500, 4 * t), (10_000, 30 * t)])
    }

    fn side(&mut self, bid: bool) -> &mut Ladder {
        if bid { &mut self.bids } else { &mut self.asks }
    }

    fn next_id(&mut self, venue_id: &mut i64, rng: &mut Rng) -> i64 {
        if self.dense {
            self.last_id += 1;
        } else {
            // Symbols that nobody looks at take ids from the same counter.
            *venue_id += 1 + rng.quantile(TAKEN[self.table]);
            self.last_id = *venue_id;
        }
        self.last_id
    }

    fn change(&mut self, bid: bool, px: i64, qty: i64, w: &mut Clocked<'_>) -> i64 {
        let id = self.next_id(w.venue_id, w.rng);
        let side = self.side(bid);
        let key = side.key(px);
        side.set(key, qty);
        self.touched.push(Touch { bid, px, id, at: w.now });
        id
    }

    /// One action and what follows from it. Events are appended to `out`.
    pub fn act(&mut self, w: &mut Clocked<'_>, out: &mut Vec<Ev>) {
        let before = self.top();
        let spread = before.1.0 - before.0.0;
        let dice = w.rng.below(10_000);
        let improve = match spread {
            ..=1 => 0,
            2..=10 => 700,
            _ => 5_000,
        };
        if dice < improve {
            self.improve(spread, w);
        } else if dice < improve + TAKES[self.table] {
            self.take(w, out);
        } else if dice < improve + TAKES[self.table] + 200 {
            self.pull_best(w);
        } else {
            let bid = w.rng.below(2) == 0;
            let (px, _) = if bid { before.0 } else { before.1 };
            let q = self.size(w.rng);
            self.change(bid, px, q, w);
        }
        if self.top() != before {
            out.push(Ev::Bbo { id: self.last_id });
        }
        let mut deep = w.rng.quantile(DEEP[self.table]);
        if self.quiet {
            deep = deep.min(40) / 2;
        }
        for _ in 0..deep {
            self.deep(w, out);
        }
        if w.rng.in_10k(20) {
            // The price that the market returns to wanders.
            let step = (self.anchor / 5_000).max(1);
            self.anchor = (self.anchor + w.rng.between(-step, step)).max(1000);
        }
    }

    /// A new best price inside the spread.
    fn improve(&mut self, spread: i64, w: &mut Clocked<'_>) {
        let (b, a) = self.top();
        // The side that is further from the anchor comes closer.
        let bid = (b.0 + a.0) / 2 < self.anchor;
        let by = w.rng.between(1, (spread - 1).min(if spread > 10 { spread - 1 } else { 3 }));
        let px = if bid { b.0 + by } else { a.0 - by };
        let q = self.size(w.rng);
        self.change(bid, px, q, w);
    }

    /// The best level is cancelled, unless the side is short.
    fn pull_best(&mut self, w: &mut Clocked<'_>) {
        let bid = self.mid() > self.anchor;
        let (b, a) = self.top();
        let px = if bid { b.0 } else { a.0 };
        if self.side(bid).len() > 100 {
            self.change(bid, px, 0, w);
        }
    }

    /// An order that trades at once.
    fn take(&mut self, w: &mut Clocked<'_>, out: &mut Vec<Ev>) {
        if w.odd_trades && self.odd_trades && w.rng.in_10k(15) {
            return self.odd_trade(w, out);
        }
        let pull = ((self.anchor - self.mid()) * 50_000 / self.anchor.max(1)).clamp(-3_000, 3_000);
        let buys = (w.rng.below(10_000) as i64) < 5_000 + pull;
        let bid = !buys;
        let mut fills = w.rng.quantile(FILLS);
        let force = self.futures && w.rng.in_10k(60);
        let (mut total, mut cost, mut last_fill, mut worst) = (0i64, 0i128, 0, 0);
        while fills > 0 && self.side(bid).len() > 60 {
            let Some((px, have)) = self.side(bid).best() else { break };
            // A level bears up to six makers; the last one is often taken only in part.
            let makers = 1 + w.rng.below(6) as i64;
            let here = fills.min(makers).min(have);
            let whole = fills >= makers;
            let qty = if whole { have } else { (have * here / (makers + 1)).max(here) };
            let first = self.trade_id + 1;
            let mut left = qty;
            for i in 0..here {
                let q = if i == here - 1 { left } else { (left / (here - i + 1)).max(1) };
                left -= q;
                self.trade_id += 1;
                last_fill = q;
                out.push(Ev::Fill { t: self.trade_id, px, qty: q, buyer_maker: bid, insurance: false });
            }
            self.agg_id += 1;
            out.push(Ev::Agg { a: self.agg_id, px, qty, first, last: self.trade_id, buyer_maker: bid });
            self.change(bid, px, have - qty, w);
            total += qty;
            cost += i128::from(qty) * i128::from(px);
            worst = px;
            fills -= here;
        }
        if force && total > 0 {
            let avg = (cost / i128::from(total)) as i64;
            out.push(Ev::Force { sell: bid, px: worst, avg, qty: total, last_fill });
        }
    }

    /// A trade of the insurance fund, 2 % off the market, or a spent id.
    fn odd_trade(&mut self, w: &mut Clocked<'_>, out: &mut Vec<Ev>) {
        self.trade_id += 1;
        let spent = w.rng.below(2) == 0;
        let (px, qty) = if spent { (0, 0) } else { (self.mid() * 98 / 100, self.size(w.rng)) };
        let t = self.trade_id;
        out.push(Ev::Fill { t, px, qty, buyer_maker: w.rng.below(2) == 0, insurance: !spent });
    }

    /// One change away from the touch (or at it: ranks come from the recorded distribution).
    fn deep(&mut self, w: &mut Clocked<'_>, out: &mut Vec<Ev>) {
        let bid = w.rng.below(2) == 0;
        let (best_other, len) = {
            let (b, a) = self.top();
            (if bid { a.0 } else { b.0 }, self.side(bid).len())
        };
        let mut rank = w.rng.quantile(RANKS[self.table]) as usize;
        if rank >= len {
            // Recorded books were deeper than this one is now.
            rank = len - 1 - w.rng.below(len as u64 / 2 + 1) as usize;
        }
        let dice = w.rng.below(10_000);
        let does = DOES[self.table];
        let side = self.side(bid);
        let Some(rung) = side.at(rank) else { return };
        let at = side.px(rung.key);
        let before = self.top();
        if dice < does[0] {
            self.insert(bid, rank, w);
        } else if dice < does[1] {
            let q = self.size(w.rng);
            self.change(bid, at, q, w);
        } else if dice < does[2] {
            self.change(bid, at, rung.qty, w);
        } else if dice < does[3] {
            // A full side loses more than it gains.
            if len > 120 {
                self.change(bid, at, 0, w);
            }
        } else {
            self.unknown_removal(bid, best_other, w);
        }
        if self.top() != before {
            out.push(Ev::Bbo { id: self.last_id });
        }
    }

    /// A new level behind the one at `rank`, or where the next free tick is, or beyond the last level.
    fn insert(&mut self, bid: bool, rank: usize, w: &mut Clocked<'_>) {
        let (len, max) = (self.side(bid).len(), self.levels_max);
        let mut rank = rank;
        for _ in 0..6 {
            let side = self.side(bid);
            let Some(rung) = side.at(rank) else { break };
            if len >= max {
                let px = side.px(rung.key);
                self.change(bid, px, 0, w);
                return;
            }
            let room = side.at(rank + 1).map_or(40, |r| rung.key - r.key - 1);
            if room >= 1 {
                let px = side.px(rung.key - w.rng.between(1, room));
                if px >= 1 {
                    let q = self.size(w.rng);
                    self.change(bid, px, q, w);
                }
                return;
            }
            rank = (rank + 1 + w.rng.below(rank as u64 + 8) as usize).min(len - 1);
        }
    }

    /// A zero for a level that nobody was told of: an order that came and went within one window.
    fn unknown_removal(&mut self, bid: bool, best_other: i64, w: &mut Clocked<'_>) {
        let away = w.rng.quantile(&[(0, 0), (7000, 30), (9500, 2_000), (10_000, best_other / 2)]);
        let beyond = w.rng.in_10k(if self.table == 2 { 9_000 } else { 2_500 });
        // At or beyond the opposite best: `bid` looks like a bid at the ask or above.
        let px = if bid == beyond { best_other + away } else { best_other - away };
        let known = {
            let side = self.side(bid);
            let key = side.key(px);
            side.qty(key) != 0
        };
        if px >= 1 && !known {
            self.change(bid, px, 0, w);
        }
    }

    /// Forgets changes that every depth speed has told.
    pub fn forget_before(&mut self, absolute: u64) {
        let n = (absolute.saturating_sub(self.touched_from) as usize).min(self.touched.len());
        if n >= 1024 || n == self.touched.len() {
            self.touched.drain(..n);
            self.touched_from += n as u64;
        }
    }
}

/// What an action takes from the world: its time, its counter of ids, its dice.
#[derive(Debug)]
pub struct Clocked<'a> {
    /// Venue time, ms.
    pub now: i64,
    /// The venue's shared counter of update ids.
    pub venue_id: &'a mut i64,
    /// The dice.
    pub rng: &'a mut Rng,
    /// Whether odd trades may happen.
    pub odd_trades: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::{config::Symbols, dialects, symbols};

    fn market(d: &'static crate::model::Dialect) -> (Market, Rng) {
        let def = &symbols::define(d, &Symbols::Count(1), false)[0];
        let mut rng = Rng::new(3, 1);
        (Market::new(d, def, 0, 1000, 1_000_000, &mut rng), rng)
    }

    fn invariants(m: &Market) {
        let (b, a) = m.top();
        assert!(b.0 < a.0 && b.1 > 0 && a.1 > 0, "crossed or empty: {b:?} {a:?}");
        assert!(m.bids.len() >= 50 && m.asks.len() >= 50);
    }

    #[test]
    fn the_book_stays_a_book_and_agrees_with_its_events() {
        for d in dialects::all() {
            let (mut m, mut rng) = market(d);
            let (mut venue_id, mut ev) = (1_000_000, Vec::new());
            let mut shown = m.top();
            let (mut last_t, mut last_a) = (m.trade_id, m.agg_id);
            for n in 0..60_000 {
                ev.clear();
                let id0 = m.last_id;
                let mut w = Clocked { now: n / 10, venue_id: &mut venue_id, rng: &mut rng, odd_trades: true };
                m.act(&mut w, &mut ev);
                invariants(&m);
                let mut told = false;
                for e in &ev {
                    match *e {
                        Ev::Bbo { id } => {
                            assert!(id > id0 && id <= m.last_id);
                            told = true;
                        }
                        Ev::Fill { t, qty, px, insurance, .. } => {
                            assert_eq!(t, last_t + 1);
                            last_t = t;
                            assert!(qty > 0 || (px == 0 && !insurance));
                        }
                        Ev::Agg { a, first, last, qty, .. } => {
                            assert_eq!(a, last_a + 1);
                            last_a = a;
                            assert!(first <= last && last == last_t && qty > 0);
                        }
                        Ev::Force { qty, last_fill, .. } => assert!(qty >= last_fill && last_fill > 0),
                    }
                }
                assert_eq!(m.top() != shown, told && m.top() != shown, "a changed top is told");
                shown = m.top();
                let ids: Vec<i64> = m.touched.iter().map(|t| t.id).collect();
                assert!(ids.windows(2).all(|w| w[0] < w[1]));
                m.forget_before(m.touched_from + m.touched.len() as u64);
                assert!(m.touched.is_empty());
            }
            assert!(m.bids.len() + m.asks.len() > 1000, "{}", d.venue);
        }
    }

    #[test]
    fn spot_ids_are_dense_and_futures_ids_are_not() {
        let run = |d| {
            let (mut m, mut rng) = market(d);
            let mut venue_id = 1_000_000;
            for _ in 0..2_000 {
                let mut w = Clocked { now: 0, venue_id: &mut venue_id, rng: &mut rng, odd_trades: false };
                m.act(&mut w, &mut Vec::new());
            }
            m.touched.windows(2).filter(|w| w[1].id == w[0].id + 1).count() as f64 / m.touched.len() as f64
        };
        assert!(run(&dialects::BINANCE_SPOT) > 0.999);
        assert!(run(&dialects::BINANCE_USDM) < 0.3);
    }
}
