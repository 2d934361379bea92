//! Faults that no id shows: a diff that does not tell all that changed, or that tells of a bid above the best ask.

use super::faults::FaultSpec;
use super::text::{key_int, key_str};
use super::world::World;

/// A level is taken out only if so many better ones at most are on its side: a snapshot must show it.
const RANK_MAX: usize = 300;

/// So far above the best ask is the bid of a crossed book, ticks: what the market does meanwhile does not reach it.
const CROSS_TICKS: i64 = 200;

impl World {
    /// Leaves a book crossed by a diff that is about to be told, if a fault waits for one, and takes that back with the first one
    /// that none waits for.
    pub(super) fn cross_book(
        &mut self,
        sym: usize,
        (stream, last): (usize, i64),
        bids: &mut Vec<(i64, i64)>,
    ) {
        let (s, st) = (&self.symbols[sym], &self.streams[stream]);
        let aims = |f: &FaultSpec| f.aims_at(f.conn.unwrap_or(0), &st.name, Some(&s.def.symbol));
        let due = self.strikes.crosses.iter().position(aims);
        let held = self.strikes.crossed.iter().position(|c| c.0 == stream);
        let best_ask = s.market.asks.best_first().next().map(|l| l.0);
        let true_size = |px: i64| s.market.bids.best_first().find(|l| l.0 == px).map_or(0, |l| l.1);
        let told = match (due, held, best_ask) {
            (None, Some(at), _) => {
                let (_, px) = self.strikes.crossed.swap_remove(at);
                (px, true_size(px))
            }
            (Some(_), held, Some(ask)) => {
                // The same one again, or one that the market has not reached.
                let px = held.map_or(ask + CROSS_TICKS, |at| self.strikes.crossed[at].1);
                (px, s.def.typical_steps)
            }
            _ => return,
        };
        bids.retain(|l| l.0 != told.0);
        bids.push(told);
        bids.sort_unstable_by_key(|l| if self.shape.d.bids_ascend { l.0 } else { -l.0 });
        let Some(n) = due else { return };
        if held.is_none() {
            self.strikes.crossed.push((stream, told.0));
        }
        let spec = &mut self.strikes.crosses[n];
        spec.frames -= 1;
        if spec.frames == 0 {
            self.strikes.crosses.remove(n);
        }
        if self.oracle.on() {
            let line = self.oracle.begin("cross");
            key_str(line, "stream", &st.safe);
            key_str(line, "sym", &super::text::escaped(&s.def.symbol));
            key_int(line, "u", last);
            self.oracle.end_line();
        }
    }

    /// Takes a level out of a diff that is about to be told, if a fault waits for one; its ids stay as they are. Of the
    /// levels that a snapshot shows it is the one farthest from the best price, because others are soon told again.
    pub(super) fn omit_level(
        &mut self,
        sym: usize,
        (stream, last): (usize, i64),
        bids: &mut Vec<(i64, i64)>,
        asks: &mut Vec<(i64, i64)>,
    ) {
        let s = &self.symbols[sym];
        let st = &self.streams[stream];
        let aims = |f: &FaultSpec| f.aims_at(f.conn.unwrap_or(0), &st.name, Some(&s.def.symbol));
        // One that everybody has heard of this book: before that nothing is proven.
        let told = !st.subs.is_empty() && st.subs.iter().all(|sub| sub.told);
        let Some(n) = self.strikes.omits.iter().position(aims).filter(|_| told) else { return };
        let rank = |is_bid: bool, px: i64| {
            let side = if is_bid { &s.market.bids } else { &s.market.asks };
            let better = |l: &(i64, i64)| if is_bid { l.0 > px } else { l.0 < px };
            side.best_first().take(RANK_MAX + 1).take_while(better).count()
        };
        let all = bids.iter().map(|l| (true, l.0)).chain(asks.iter().map(|l| (false, l.0)));
        let shown = all.map(|(is_bid, px)| (rank(is_bid, px), is_bid, px)).filter(|l| l.0 <= RANK_MAX);
        let Some((rank, is_bid, px)) = shown.max() else { return };
        let side = if is_bid { bids } else { asks };
        side.retain(|l| l.0 != px);
        let spec = &mut self.strikes.omits[n];
        spec.frames -= 1;
        if spec.frames == 0 {
            self.strikes.omits.remove(n);
        }
        if self.oracle.on() {
            let line = self.oracle.begin("omit");
            key_str(line, "stream", &st.safe);
            key_str(line, "sym", &super::text::escaped(&s.def.symbol));
            key_int(line, "u", last);
            key_str(line, "detail", &format!("{} at rank {rank}", if is_bid { "bid" } else { "ask" }));
            self.oracle.end_line();
        }
    }
}
