//! Streams that bring nothing although their connection lives.
//!
//! Silence alone says nothing: a quiet symbol has no diffs for minutes. So a stream of diffs is called silent only by proof:
//! after [`crate::config::VenueConfig::silent_after_ns`] without one a snapshot is asked for, by REST or on the stream's own
//! connection, within the budget's share for audits and one at a time for each venue; if it is newer than the book and other
//! than the book, and still no diff comes for [`GRACE_NS`], the venue has moved on without telling us. Its answer on the
//! stream's own connection is no word of the stream. If it is not ahead, the stream is quiet, and is looked into
//! again after twice the time, up to [`LONGEST_NS`]. All other channels: `stopped`.
//!
//! A silent stream has a `silent` timer record in its lane: its book ends there, its gap begins at its last message, and
//! ends when it speaks again and is proven, or where the instrument list says that its symbol is gone. Its connection is
//! replaced, the new one first.

use std::collections::BTreeSet;

use super::*;
use crate::model::StreamSpec;

/// A diff that was on its way when the snapshot was taken has come by then.
const GRACE_NS: i64 = 2 * S;
/// A trade is a change of the book, unless its order was in none: a book that has not changed by then, and for so long, is looked into at
/// once (Pumpkin's page, 7: "no depth frame for 10 s on a symbol that traded").
const TRADED_NS: (i64, i64) = (2 * S, 10 * S);
/// A quiet stream is looked into at least so often.
const LONGEST_NS: i64 = 600 * S;
/// An answer that did not come by then does not come.
const ANSWER_NS: i64 = 60 * S;
/// For silent streams a connection is replaced at most so often.
const REPLACE_NS: i64 = 60 * S;
/// Longer between two looks: this thread stood still, and perhaps everything else did.
pub(super) const FROZEN_NS: i64 = 3 * S;

/// What is known of one stream.
#[derive(Clone, Copy, Debug)]
struct Watch {
    /// Receive time of its last frame.
    heard: i64,
    /// When it is looked into next, and the wait before that.
    at: i64,
    wait: i64,
    /// When a snapshot was asked for, 0 = not.
    asked: i64,
    /// Since when a snapshot is known that is ahead of the book, 0 = none is.
    ahead: i64,
    /// It was looked into since its last frame.
    looked: bool,
    /// It was called silent.
    told: bool,
}

impl Watch {
    fn new(heard: i64, now: i64, wait: i64) -> Watch {
        Watch { heard, at: now.saturating_add(wait), wait, asked: 0, ahead: 0, looked: false, told: false }
    }
}

type Key = (usize, String);

/// All that is watched.
#[derive(Default)]
pub(super) struct Watchdog {
    /// By venue and stream name.
    watches: BTreeMap<Key, Watch>,
    /// Books whose snapshot is under way for comparison, by venue and symbol.
    pub asked: BTreeSet<Key>,
    /// When a slot's connection was last replaced for a silent stream, by venue and slot.
    replaced: BTreeMap<(usize, u32), i64>,
    last: i64,
}

/// What a look at one stream comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    Fine,
    Ask,
    Silent,
}

impl Watch {
    /// A stream that feeds a proven book. `trades`: its market traded since.
    fn diffs(&mut self, now: i64, trades: bool) -> Finding {
        if self.ahead != 0 && now - self.ahead >= GRACE_NS {
            return Finding::Silent;
        }
        if self.asked != 0 && now - self.asked >= ANSWER_NS {
            self.quiet(now);
        }
        let early = trades && !self.looked && now - (self.at - self.wait) >= TRADED_NS.1;
        let is_due = now >= self.at || early;
        if self.ahead == 0 && self.asked == 0 && is_due { Finding::Ask } else { Finding::Fine }
    }

    /// Nothing was found: it is looked into later.
    fn quiet(&mut self, now: i64) {
        (self.asked, self.ahead, self.looked) = (0, 0, true);
        // Else it was looked into before its time.
        if now >= self.at {
            self.wait = self.wait.saturating_mul(2).min(LONGEST_NS);
            self.at = now.saturating_add(self.wait);
        }
    }
}

impl Control {
    /// Looks at every stream; once a second.
    pub(super) fn look_for_silence(&mut self, now: i64) {
        let thawed = now - std::mem::replace(&mut self.silence.last, now) > FROZEN_NS;
        if thawed {
            self.silence.watches.clear();
        }
        let heard = self.heard();
        let trades = self.last_trades(&heard);
        self.look_for_deaf_legs(&heard, now);
        for v in 0..self.venues.len() {
            let after = self.venues[v].plan.config.silent_after_ns;
            if after == 0 {
                continue;
            }
            for s in 0..self.venues[v].slots.len() {
                let slot = &self.venues[v].slots[s];
                let Some(conn) = slot.current else { continue };
                let (lane, number, streams) =
                    (slot.slot.lane, slot.slot.number, slot.slot.conn.streams.clone());
                for stream in streams {
                    let legs = heard.get(&(v, stream.name.clone())).copied().unwrap_or_default();
                    let at = legs[0].max(legs[1]);
                    let symbol = stream.symbol.clone().unwrap_or_default();
                    let trades = trades.get(&(v, symbol)).is_some_and(|t| t - at >= TRADED_NS.0);
                    if self.look(v, &stream, (at, trades), now, after) {
                        self.silent(v, (lane, conn, number), stream.name, at, now);
                    }
                }
            }
        }
    }

    /// A leg that brings nothing of a stream while the other one does is no leg: its connection is replaced. No stream is
    /// silent for that, so nothing is recorded.
    fn look_for_deaf_legs(&mut self, heard: &BTreeMap<Key, [i64; 2]>, now: i64) {
        for v in 0..self.venues.len() {
            let venue = &mut self.venues[v];
            let after = venue.plan.config.silent_after_ns;
            if after == 0 || venue.plan.config.legs < 2 {
                continue;
            }
            let id = venue.plan.config.id.clone();
            for s in &mut venue.slots {
                let (leg, number) = (usize::from(s.slot.leg.min(1)), s.slot.number);
                let is_behind = |name: &String| {
                    let legs = heard.get(&(v, name.clone())).copied().unwrap_or_default();
                    legs[1 - leg].saturating_sub(legs[leg]) >= after
                };
                if s.current.is_none() || now - s.opened_at < after {
                    continue;
                }
                let Some(deaf) = s.slot.conn.streams.iter().map(|s| &s.name).find(|n| is_behind(n)) else {
                    continue;
                };
                let last = self.silence.replaced.get(&(v, number)).copied();
                if last.is_none_or(|at| now - at >= REPLACE_NS) {
                    tracing::warn!(venue = id, stream = deaf, leg, "comes over the other leg only");
                    s.rotate_at = now;
                    self.silence.replaced.insert((v, number), now);
                }
            }
        }
    }

    /// Receive time of each stream's last frame, by leg.
    fn heard(&self) -> BTreeMap<Key, [i64; 2]> {
        let mut names = BTreeMap::new();
        for (v, venue) in self.venues.iter().enumerate() {
            for s in venue.slots.iter().flat_map(|s| &s.slot.conn.streams) {
                let symbol = s.symbol.as_deref().unwrap_or("");
                names.insert((venue.plan.config.id.as_str(), symbol, s.channel.as_str()), (v, &s.name));
            }
        }
        let mut heard: BTreeMap<Key, [i64; 2]> = BTreeMap::new();
        for m in self.parts.shared.lanes().iter().flat_map(|l| l.streams()) {
            if let Some((v, name)) = names.get(&(m.venue.as_str(), m.symbol.as_str(), m.channel.as_str())) {
                let legs = heard.entry((*v, (*name).clone())).or_default();
                legs[usize::from(m.leg.min(1))] = m.last_recv.get();
            }
        }
        heard
    }

    /// Receive time of the last trade, by venue and symbol.
    fn last_trades(&self, heard: &BTreeMap<Key, [i64; 2]>) -> BTreeMap<Key, i64> {
        let mut trades: BTreeMap<Key, i64> = BTreeMap::new();
        for (v, venue) in self.venues.iter().enumerate() {
            for s in venue.slots.iter().flat_map(|s| &s.slot.conn.streams) {
                let is_trade =
                    matches!(s.kind, StreamKind::Trade | StreamKind::AggTrade | StreamKind::TradeSparse);
                if let (true, Some(symbol)) = (is_trade, &s.symbol) {
                    let legs = heard.get(&(v, s.name.clone())).copied().unwrap_or_default();
                    let last = trades.entry((v, symbol.clone())).or_default();
                    *last = (*last).max(legs[0]).max(legs[1]);
                }
            }
        }
        trades
    }

    /// Whether a stream of diffs is silent. `heard`: its last frame, and whether its market traded since.
    fn look(&mut self, v: usize, s: &StreamSpec, (heard, trades): (i64, bool), now: i64, after: i64) -> bool {
        let venue = self.venues[v].plan.venue;
        let symbol = s.symbol.clone().unwrap_or_default();
        if s.kind != StreamKind::DepthDiff {
            return false;
        }
        let w = self.silence.watches.entry((v, s.name.clone())).or_insert(Watch::new(heard, now, after));
        if w.heard != heard {
            *w = Watch::new(heard, now, after);
        }
        if w.told {
            return false;
        }
        let book = self.books.get(&(v, symbol.clone()));
        if book.is_none_or(|b| b.state() != BookState::Synced) {
            // Its gap is told already.
            *w = Watch::new(heard, now, after);
        }
        let finding = w.diffs(now, trades);
        match finding {
            Finding::Fine => {}
            Finding::Silent => w.told = true,
            Finding::Ask if self.silence.asked.iter().any(|(of, _)| *of == v) => {}
            Finding::Ask => {
                w.asked = now;
                let weight = venue.snapshot_request(&symbol).weight;
                self.silence.asked.insert((v, symbol.clone()));
                let group = self.venues[v].group;
                self.groups[group].queue.push(Priority::Audit, weight, (v, symbol));
            }
        }
        finding == Finding::Silent
    }

    /// Asks for what is to be compared on the connections that carry the stream, where snapshots come by message: one of them
    /// feeds the book. `audits`: it is asked for already. Says whether somebody waited for it.
    pub(super) fn compares_in_band(&mut self, v: usize, symbol: &str, audits: bool) -> bool {
        if !self.silence.asked.remove(&(v, symbol.to_owned())) {
            return audits;
        }
        for (lane, conn, stream) in if audits { Vec::new() } else { self.feeds(v, symbol) } {
            if let Some(text) = self.venues[v].plan.venue.snapshot_message(&stream) {
                self.order(lane, ToLane::Send { conn, text });
                self.firsts.asks(v, &stream.name);
            }
        }
        true
    }

    /// A snapshot was held against a book that is thought good.
    pub(super) fn compared(&mut self, v: usize, symbol: &str, ahead: bool, now: i64) {
        let streams = self.venues[v].slots.iter().flat_map(|s| &s.slot.conn.streams);
        let feeds = |s: &&StreamSpec| s.kind == StreamKind::DepthDiff && s.symbol.as_deref() == Some(symbol);
        let Some(name) = streams.into_iter().find(feeds).map(|s| s.name.clone()) else { return };
        let Some(w) = self.silence.watches.get_mut(&(v, name)).filter(|w| w.asked != 0) else { return };
        if ahead {
            (w.asked, w.ahead) = (0, now);
        } else {
            w.quiet(now);
        }
    }

    fn silent(
        &mut self,
        v: usize,
        (lane, conn, number): (LaneId, ConnId, u32),
        stream: String,
        last_recv: i64,
        now: i64,
    ) {
        tracing::warn!(venue = self.venues[v].plan.config.id, stream, "silent although its connection lives");
        self.calls_silent(v, (lane, conn, number), stream, last_recv, now);
    }

    /// The same without a word to people: they were told.
    pub(super) fn calls_silent(
        &mut self,
        v: usize,
        (lane, conn, number): (LaneId, ConnId, u32),
        stream: String,
        last_recv: i64,
        now: i64,
    ) {
        self.order(lane, ToLane::Silent { conn, stream, last_recv });
        let last = self.silence.replaced.get(&(v, number)).copied();
        if last.is_none_or(|at| now - at >= REPLACE_NS)
            && let Some(s) = self.venues[v].slot_of(conn)
        {
            s.rotate_at = now;
            self.silence.replaced.insert((v, number), now);
        }
    }

    /// What is not captured any more is not watched either.
    pub(super) fn unwatch(&mut self, v: usize) {
        self.audits.forget(v);
        self.silence.watches.retain(|(of, _), _| *of != v);
        self.silence.asked.retain(|(of, _)| *of != v);
        self.stopped.forget(v);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_stream_is_looked_into_ever_more_rarely_and_never_called_silent() {
        let mut w = Watch::new(5, 0, 10 * S);
        let (mut now, mut asked) = (0, Vec::new());
        while now < 3000 * S {
            match w.diffs(now, false) {
                Finding::Fine => {}
                Finding::Ask => {
                    asked.push(now / S);
                    w.asked = now;
                    w.quiet(now);
                }
                Finding::Silent => panic!("at {now}"),
            }
            now += S;
        }
        assert_eq!(asked[..5], [10, 30, 70, 150, 310]);
        assert!(asked.windows(2).all(|a| a[1] - a[0] <= LONGEST_NS / S));
    }

    #[test]
    fn a_book_that_is_behind_has_a_moment_to_catch_up() {
        let mut w = Watch::new(5, 0, S);
        assert_eq!(w.diffs(S, false), Finding::Ask);
        (w.asked, w.ahead) = (0, S);
        assert_eq!(w.diffs(S + GRACE_NS - 1, false), Finding::Fine);
        assert_eq!(w.diffs(S + GRACE_NS, false), Finding::Silent);
    }

    #[test]
    fn an_answer_that_never_comes_is_not_waited_for() {
        let mut w = Watch::new(5, 0, S);
        w.asked = S;
        assert_eq!(w.diffs(S + ANSWER_NS - 1, false), Finding::Fine);
        assert_eq!(w.diffs(S + ANSWER_NS, false), Finding::Fine);
        assert_eq!(w.diffs(S + ANSWER_NS + 2 * S, false), Finding::Ask);
    }

    #[test]
    fn a_book_whose_market_trades_is_looked_into_sooner_and_once() {
        let mut w = Watch::new(5, 0, 60 * S);
        assert_eq!(w.diffs(TRADED_NS.1 - 1, true), Finding::Fine);
        assert_eq!(w.diffs(TRADED_NS.1, false), Finding::Fine);
        assert_eq!(w.diffs(TRADED_NS.1, true), Finding::Ask);
        w.asked = TRADED_NS.1;
        w.quiet(11 * S);
        // It was quiet: the rest of its time is as ever.
        assert_eq!(w.diffs(59 * S, true), Finding::Fine);
        assert_eq!(w.diffs(60 * S, true), Finding::Ask);
        w.asked = 60 * S;
        w.quiet(61 * S);
        assert_eq!((w.diffs(180 * S, true), w.diffs(181 * S, true)), (Finding::Fine, Finding::Ask));
    }
}
