//! Venues with a grammar of their own: their words are a [`Words`], the facts are the world's.

use std::rc::Rc;

use super::http::{Answer, Head, query};
use super::listing::Listing;
use super::market::Ev;
use super::outbound::{Conn, End};
use super::payload::{Face, Marked, Out, Shape, Span};
use super::stats::{Bar, Stats};
use super::streams::{Channel, INTERVALS, Scope, Wanted};
use super::symbols::SymbolDef;
use super::text::{key_int, key_str};
use super::world::{NONE, Symbol, World};
use crate::model::dialect::{Dialect, IdScheme};
use crate::model::words::{
    Asked, BookFact, CandleFact, Feed, MarkFact, Market, SymbolFact, TopFact, TradeFact, Words,
};

/// What frames say of a symbol.
fn face(f: &Face) -> SymbolFact<'_> {
    SymbolFact {
        symbol: &f.s,
        base: "",
        quote: "",
        price_dec: f.pd,
        size_dec: f.sd,
        last: 0,
        day: [0; 3],
        sums: (0, 0),
        mark: (0, 0, 0),
        interest: 0,
        is_trading: true,
        status: "",
    }
}

/// Where whole views are told that have a topic of their own: who has these words has no partial books.
const WHOLE: Channel = Channel::Partial(0, 0);

/// Levels as `(price in ticks, size in steps)`.
type Levels<'a> = &'a [(i64, i64)];

/// A book that was asked for: id, time of its last change, time of the message; levels in ticks and steps.
pub(super) fn book_of(
    f: &Face,
    (id, changed, now): (i64, i64, i64),
    speed: usize,
    (bids, asks): (Levels<'_>, Levels<'_>),
    each: impl FnOnce(&BookFact<'_>),
) {
    each(&BookFact {
        of: face(f),
        whole: true,
        speed,
        ids: (id, id, id),
        changed: (changed, changed),
        now,
        bids: &mantissas(f, bids),
        asks: &mantissas(f, asks),
    });
}

/// Levels in ticks and steps as mantissas.
fn mantissas(f: &Face, levels: &[(i64, i64)]) -> Vec<(i64, i64)> {
    levels.iter().map(|l| (f.px(l.0), f.qty(l.1))).collect()
}

impl Shape {
    /// A book message in a venue's own words. Returns the ids and the time as printed.
    pub(super) fn foreign_book(
        sp: &dyn Words,
        o: &mut Out,
        f: &Face,
        whole: bool,
        s: Span,
        (bids, asks): (Levels<'_>, Levels<'_>),
    ) -> ((i64, i64, i64), Option<i64>) {
        let (mut bids, mut asks) = (mantissas(f, bids), mantissas(f, asks));
        bids.sort_unstable_by_key(|l| std::cmp::Reverse(l.0));
        asks.sort_unstable_by_key(|l| l.0);
        let b = BookFact {
            of: face(f),
            whole,
            speed: s.speed,
            ids: (s.first, s.last, s.prev),
            changed: (s.t, s.t),
            now: s.e,
            bids: &bids,
            asks: &asks,
        };
        sp.book(&b, &mut o.data);
        (sp.ids(&b), sp.time(&b))
    }

    /// A trade, or a sum of trades, in a venue's own words. Returns its id as printed.
    pub(super) fn foreign_trade(sp: &dyn Words, o: &mut Out, f: &Face, ev: Ev, now: i64) -> i64 {
        let (id, px, qty, sold) = match ev {
            Ev::Fill { t, px, qty, buyer_maker, .. } => (t, px, qty, buyer_maker),
            Ev::Agg { last, px, qty, buyer_maker, .. } => (last, px, qty, buyer_maker),
            _ => return -1,
        };
        let t = TradeFact { of: face(f), id, deal: (f.px(px), f.qty(qty)), sold, now };
        sp.trade(&t, &mut o.data);
        sp.trade_id(&t)
    }

    /// A best bid and ask in a venue's own words.
    pub(super) fn foreign_top(sp: &dyn Words, o: &mut Out, f: &Face, m: &super::market::Market, now: i64) {
        let (bid, ask) = m.top();
        let top = [bid, ask].map(|l| (f.px(l.0), f.qty(l.1)));
        sp.top(&TopFact { of: face(f), top, now }, &mut o.data);
    }

    /// A mark price in a venue's own words.
    pub(super) fn foreign_mark(sp: &dyn Words, o: &mut Out, f: &Face, p: Marked, next: i64, now: i64) {
        let of = SymbolFact {
            mark: (f.px(p.mark), f.px(p.index), p.rate_e8),
            interest: f.qty(p.interest),
            ..face(f)
        };
        sp.mark(&MarkFact { of, next, now }, &mut o.data);
    }

    /// A reference price in a venue's own words.
    pub(super) fn foreign_reference(
        sp: &dyn Words,
        o: &mut Out,
        f: &Face,
        def: &SymbolDef,
        s: &Stats,
        now: i64,
    ) {
        let of = SymbolFact { base: &def.base, quote: &def.quote, last: s.day.close, ..face(f) };
        sp.reference(&of, now, &mut o.data);
    }

    /// A candle in a venue's own words.
    pub(super) fn foreign_candle(sp: &dyn Words, o: &mut Out, f: &Face, interval: usize, b: &Bar, now: i64) {
        let c = CandleFact {
            of: face(f),
            interval: INTERVALS[interval].0,
            opened: b.open_ms,
            prices: [b.open, b.high, b.low, b.close],
            sums: (b.volume, b.quote),
            now,
        };
        sp.candle(&c, &mut o.data);
    }
}

/// Reads a topic.
pub(super) fn parse(
    sp: &dyn Words,
    symbols: &std::collections::BTreeMap<String, usize>,
    name: &str,
) -> Option<Wanted> {
    let (symbol, feed) = sp.topic(name)?;
    let channel = match feed {
        Feed::Book(speed) => Channel::Diff(speed),
        Feed::Whole => WHOLE,
        Feed::Trades => Channel::Trade,
        Feed::Sums => Channel::AggTrade,
        Feed::Top => Channel::BookTicker,
        Feed::Candles(i) => Channel::Kline(INTERVALS.iter().position(|x| x.0 == i)? as u8),
        Feed::Reference => Channel::ReferencePrice,
        Feed::Marks => return Some(Wanted { scope: Scope::All, channel: Channel::Mark1s }),
        Feed::Silent => Channel::Silent,
    };
    Some(match symbols.get(&*symbol) {
        Some(&ix) if channel != Channel::Silent => Wanted { scope: Scope::Symbol(ix), channel },
        None if sp.judges_each() => return None,
        // A topic of a symbol that nobody trades is taken and stays silent.
        _ => Wanted { scope: Scope::Nobody, channel: Channel::Silent },
    })
}

/// The channel of a name without its symbol, for counting frames.
pub(super) fn channel(d: &Dialect, name: &str) -> Option<Channel> {
    let (sp, symbol) = (d.words?, "x");
    // How a channel and a symbol make a topic is the venue's own business.
    let topic = crate::venue::by_id(d.venue)?.1.stream(name, Some(symbol)).ok()?.name;
    parse(sp, &std::iter::once((symbol.to_owned(), 0)).collect(), &topic).map(|w| w.channel)
}

impl World {
    /// A whole view after the changes of a moment, if one is due.
    pub(super) fn flush_whole(&mut self, sym: usize, span: Span) {
        let Some(sp) = self.shape.d.words.filter(|_| self.symbols[sym].listing != Listing::Gone) else {
            return;
        };
        let channel = if sp.whole_apart() { WHOLE } else { Channel::Diff(0) };
        let slot = channel.slot().unwrap_or(0);
        let ix = self.symbols[sym].slots[slot];
        let (Some(every), true) = (sp.whole_every_ms(), ix != NONE) else { return };
        let ix = ix as usize;
        let fresh = std::mem::take(&mut self.streams[ix].fresh);
        let due = every > 0 && self.now - self.symbols[sym].whole_at >= i64::from(every);
        if self.streams[ix].subs.is_empty() || !(fresh || due) {
            return;
        }
        self.symbols[sym].whole_at = self.now;
        let n = sp.whole_levels(&self.streams[ix].name);
        let m = &self.symbols[sym].market;
        let bids: Vec<(i64, i64)> = m.bids.best_first().take(n).collect();
        let asks: Vec<(i64, i64)> = m.asks.best_first().take(n).collect();
        let s = &self.symbols[sym];
        self.shape.depth(&mut self.out, &s.face, "partial", span, &bids, &asks);
        self.spread(ix);
    }

    /// Pings and deadlines that are texts. `Some`: the connection ends.
    pub(super) fn foreign_pings(&self, conn: &Rc<Conn>) -> Option<End> {
        let sp = self.shape.d.words?;
        let mut s = conn.side.borrow_mut();
        if let Some(within) = sp.ping_within_ms()
            && self.now - s.client_ping.max(s.opened) >= within as i64
        {
            return Some(End::Cut(super::faults::CutHow::Rst, self.now));
        }
        if let Some((text, every)) = sp.pings()
            && self.now - s.said_ping.max(s.opened) >= every as i64
        {
            s.said_ping = self.now;
            drop(s);
            self.say_to(conn, text);
        }
        None
    }

    /// Answers a request in a venue's own words.
    pub(super) fn foreign_rest(&mut self, sp: &'static dyn Words, head: &Head) -> (Answer, i64, String) {
        let q = query(&head.target);
        let path = head.target.split_once('?').map_or(head.target.as_str(), |p| p.0);
        let header = |name: &str| head.header(name).map(str::to_owned);
        let asked = Asked { path, target: &head.target, query: &q, header: &header };
        let symbol = asked.get("symbol").unwrap_or("").to_owned();
        if self.shape.d.ids == IdScheme::PerFrame
            && let Some(sym) = self.find(&symbol)
        {
            // What the diffs have not told yet has no id yet.
            self.flush_depth(sym, 0);
        }
        let (status, body, id) = sp.rest(&asked, &Shown(self));
        let mut a = Answer::new(status, body);
        a.delay_ms = self.cfg.rest_delay_ms;
        (a, id, symbol)
    }
}

/// The world as REST answers see it.
pub(super) struct Shown<'w>(pub &'w World);

impl Shown<'_> {
    /// The latest fills of a kind, newest first.
    fn fills(
        &self,
        symbol: &str,
        most: usize,
        each: &mut dyn FnMut(&TradeFact<'_>),
        of_kind: impl Fn(Ev) -> Option<(i64, i64, i64, bool)>,
    ) {
        let Some(ix) = self.0.find(symbol) else { return };
        let s = &self.0.symbols[ix];
        let fills = s.fills.iter().rev().filter_map(|(e, at)| Some((of_kind(*e)?, *at)));
        for ((id, px, qty, sold), now) in fills.take(most) {
            let deal = (s.face.px(px), s.face.qty(qty));
            each(&TradeFact { of: self.fact(ix, s), id, deal, sold, now });
        }
    }

    fn fact<'s>(&self, ix: usize, s: &'s Symbol) -> SymbolFact<'s> {
        let (day, p) = (&s.stats.day, self.0.mark_of(ix));
        SymbolFact {
            symbol: &s.def.symbol,
            base: &s.def.base,
            quote: &s.def.quote,
            last: day.close,
            day: [day.open, day.high, day.low],
            sums: (day.volume, day.quote),
            mark: (s.face.px(p.mark), s.face.px(p.index), p.rate_e8),
            interest: s.face.qty(self.0.interest_of(ix)),
            is_trading: s.listing == Listing::Trading,
            status: match &s.listing {
                Listing::Halted(word) => word,
                _ => "",
            },
            ..face(&s.face)
        }
    }
}

impl Market for Shown<'_> {
    fn now(&self) -> i64 {
        self.0.now
    }

    fn banned_until(&self) -> Option<i64> {
        self.0.rest.sockets_banned(self.0.now)
    }

    fn symbols(&self) -> Vec<SymbolFact<'_>> {
        self.0.listed().map(|(ix, s)| self.fact(ix, s)).collect()
    }

    fn book(&self, symbol: &str, levels: usize, each: &mut dyn FnMut(&BookFact<'_>)) -> Option<i64> {
        let ix = self.0.find(symbol)?;
        let s = &self.0.symbols[ix];
        let m = &s.market;
        let bids = mantissas(&s.face, &m.bids.best_first().take(levels).collect::<Vec<_>>());
        let asks = mantissas(&s.face, &m.asks.best_first().take(levels).collect::<Vec<_>>());
        let now = self.0.now;
        let (id, changed) = match self.0.shape.d.ids {
            IdScheme::PerFrame => (s.told(0), m.touched.last().map_or(now, |t| t.at)),
            _ => (m.last_id, now),
        };
        each(&BookFact {
            of: self.fact(ix, s),
            whole: true,
            speed: 0,
            ids: (id, id, id),
            changed: (changed, changed),
            now,
            bids: &bids,
            asks: &asks,
        });
        Some(id)
    }

    fn trades(&self, symbol: &str, most: usize, each: &mut dyn FnMut(&TradeFact<'_>)) {
        self.fills(symbol, most, each, |e| match e {
            Ev::Fill { t, px, qty, buyer_maker, .. } => Some((t, px, qty, buyer_maker)),
            _ => None,
        });
    }

    fn sums(&self, symbol: &str, most: usize, each: &mut dyn FnMut(&TradeFact<'_>)) {
        self.fills(symbol, most, each, |e| match e {
            Ev::Agg { last, px, qty, buyer_maker, .. } => Some((last, px, qty, buyer_maker)),
            _ => None,
        });
    }

    fn candles(&self, symbol: &str, interval: &str, most: usize, each: &mut dyn FnMut(&CandleFact<'_>)) {
        let Some(ix) = self.0.find(symbol) else { return };
        let bars = self.0.bars_of(ix, interval, most).unwrap_or_default();
        for b in bars.iter().rev() {
            each(&CandleFact {
                of: self.fact(ix, &self.0.symbols[ix]),
                interval,
                opened: b.open_ms,
                prices: [b.open, b.high, b.low, b.close],
                sums: (b.volume, b.quote),
                now: self.0.now,
            });
        }
    }

    fn funding(&self, symbol: &str) -> Vec<(i64, i64)> {
        let Some(ix) = self.0.find(symbol) else { return Vec::new() };
        let mut all: Vec<_> = self.0.payments().map(|at| (at, self.0.funding_of(ix, at))).collect();
        all.reverse();
        all
    }
}

/// The oracle's words for a book message: ids and time as printed.
pub(super) fn log_ids(
    line: &mut Vec<u8>,
    whole: bool,
    ((first, last, prev), time): ((i64, i64, i64), Option<i64>),
) {
    if !whole {
        key_int(line, "U", first);
    }
    key_int(line, "u", last);
    if prev >= 0 {
        key_int(line, "pu", prev);
    }
    if let Some(ms) = time {
        key_int(line, "T", ms);
    }
    if whole {
        key_str(line, "detail", "whole");
    }
}
