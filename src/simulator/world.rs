//! The simulated venue without its sockets: symbols, clock, pacing, streams and who listens to them.
//!
//! Content is a function of the seed and of venue time alone. Who is connected decides what is *printed*, never what
//! happens: the same seed gives the same frames to the first client and to the second, today and tomorrow.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use super::config::{SimConfig, SimError};
use super::dialects;
use super::faults::FaultKind;
use super::grid::Grids;
use super::listing::{self, Listing};
use super::market::{Clocked, Ev, Market};
use super::more::More;
use super::oracle::{self, Oracle, wall_ns};
use super::outbound::Conn;
use super::payload::{Face, Out, Shape, Span};
use super::recording::Recording;
use super::rest::RestState;
use super::rng::{Rng, mix};
use super::stats::Stats;
use super::streams::{self, Channel, PARTIAL_LEVELS, SLOTS, Scope, Wanted};
use super::strike::Strikes;
use super::symbols::{self, SymbolDef};
use super::text::{escaped, key_int, key_str};
use crate::model::Dialect;
use crate::model::dialect::{Extra, IdScheme};

/// "No stream" in a table of streams.
pub(super) const NONE: u32 = u32::MAX;

/// One client's subscription to one stream.
pub(super) struct Sub {
    pub conn: Rc<Conn>,
    /// Frames of the stream since the subscription, lost ones included.
    pub ordinal: u64,
    /// Whether one was sent.
    pub told: bool,
    /// What is done to the next frames, and how many of them.
    pub struck: Option<(FaultKind, u32)>,
    /// Why frames wait in `held`, if they do.
    pub hold: Hold,
    pub held: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Why frames of a subscription wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    No,
    /// Until the next frame has gone first.
    Next,
    /// Until this venue time.
    Until(i64),
}

/// A stream that somebody asked for.
pub(super) struct Stream {
    /// As asked for.
    pub name: String,
    /// The same, escaped.
    pub safe: String,
    /// Names it in the dice of faults.
    pub place: u64,
    pub symbol: Option<usize>,
    pub chained: bool,
    /// Somebody subscribed since the last whole view.
    pub fresh: bool,
    pub subs: Vec<Sub>,
}

/// What one depth speed has told.
#[derive(Clone, Copy, Debug, Default)]
struct Win {
    pos: u64,
    prev: i64,
}

/// One traded symbol.
pub(super) struct Symbol {
    pub def: SymbolDef,
    pub face: Face,
    pub market: Market,
    pub stats: Stats,
    pub slots: [u32; SLOTS],
    wins: [Win; 4],
    aggs: Vec<(Ev, i64)>,
    pub force: Option<(Ev, i64)>,
    pub bbo_changed: bool,
    /// What only some venues tell.
    pub more: More,
    /// When the last whole view went out.
    pub whole_at: i64,
    /// The latest fills, for `trades` and `aggTrades`, oldest first.
    pub fills: std::collections::VecDeque<(Ev, i64)>,
    pub listing: Listing,
}

/// Numbers that others may read at any time.
#[derive(Debug, Default)]
pub struct SimStats {
    /// Messages handed to sockets.
    pub messages: AtomicU64,
    /// Bytes handed to sockets.
    pub bytes: AtomicU64,
    /// Frames lost on purpose.
    pub dropped: AtomicU64,
    /// WebSocket connections opened so far.
    pub opened: AtomicU64,
    /// WebSocket connections open now.
    pub open: AtomicU64,
    /// REST requests answered.
    pub requests: AtomicU64,
    /// Subscribed streams now, over all connections.
    pub subscriptions: AtomicU64,
    /// Venue time, ms.
    pub now_ms: AtomicI64,
    /// How far venue time is behind the wall clock, ms.
    pub lag_ms: AtomicI64,
    /// Whether the duration is over.
    pub over: AtomicBool,
}

/// The venue.
pub(super) struct World {
    pub cfg: SimConfig,
    pub shape: Shape,
    /// Venue time, ms.
    pub now: i64,
    /// Venue time at the start, ms.
    pub start: i64,
    /// Venue time of the first subscription.
    pub t0: Option<i64>,
    pub symbols: Vec<Symbol>,
    pub by_name: BTreeMap<String, usize>,
    pub by_pair: BTreeMap<String, usize>,
    pub streams: Vec<Stream>,
    by_stream: BTreeMap<String, usize>,
    pub(super) all_slots: [u32; SLOTS],
    /// By slot and symbol: the stream of the symbol's pair.
    pub(super) pair_slots: BTreeMap<(usize, usize), u32>,
    pub conns: BTreeMap<u64, Rc<Conn>>,
    pub out: Out,
    pub oracle: Oracle,
    pub strikes: Strikes,
    pub stats: Arc<SimStats>,
    pub rest: RestState,
    pub recording: Option<Recording>,
    pub doorbook: super::server::Doorbook,
    /// Answers that take their time.
    pub later: super::wishes::Later,
    rng: Rng,
    venue_id: i64,
    weights: Vec<u64>,
    run: (usize, u64),
    /// Share of each tenth of this second in its frames; they add up to 1000.
    tenths: [i64; 10],
    debt_milli: i64,
    nominal: u128,
    grids: Grids,
    ev: Vec<Ev>,
    bids: Vec<(i64, i64)>,
    asks: Vec<(i64, i64)>,
}

/// How the frames of a second are spread over it. Recorded streams come in bursts of a few tenths of a second that have
/// many times their share; the second as a whole is as the rate says.
fn tenths(rng: &mut Rng) -> [i64; 10] {
    let peak = rng.below(10) as i64;
    let height = rng.quantile(&[(0, 0), (3000, 20), (7000, 300), (9000, 1500), (10_000, 6000)]);
    let mut w: [i64; 10] = std::array::from_fn(|i| {
        let far = (i as i64 - peak).unsigned_abs().min(12) as u32;
        70 + rng.below(60) as i64 + (height >> (2 * far))
    });
    let sum: i64 = w.iter().sum();
    for x in &mut w {
        *x = *x * 1000 / sum;
    }
    w[peak as usize] += 1000 - w.iter().sum::<i64>();
    w
}

fn running_sums(symbols: &[Symbol]) -> Vec<u64> {
    let mut sum = 0;
    let add = |s: &Symbol| {
        sum += s.def.weight;
        sum
    };
    symbols.iter().map(add).collect()
}

fn first_of_pairs(symbols: &[Symbol]) -> BTreeMap<String, usize> {
    symbols.iter().enumerate().rev().map(|(i, s)| (symbols::lower(&s.def.pair), i)).collect()
}

/// The channels by which the rate is counted, as bits. Channels of other dialects (`forceOrder` on spot) are not there.
fn nominal(d: &Dialect, channels: &[String]) -> u128 {
    let slots = channels.iter().filter_map(|c| streams::parse_channel(d, c).and_then(Channel::slot));
    match slots.fold(0, |bits, slot| bits | 1 << slot) {
        // None of them exists here: what every market has in its place.
        0 => [Channel::BookTicker, Channel::AggTrade, Channel::Diff(0)]
            .iter()
            .filter_map(|c| c.slot())
            .fold(0, |bits, slot| bits | 1 << slot),
        bits => bits,
    }
}

/// How many of the latest fills are kept for REST.
const FILLS_KEPT: usize = 4000;

impl World {
    pub fn new(cfg: SimConfig, stats: Arc<SimStats>) -> Result<World, SimError> {
        let d = dialects::by_venue(&cfg.venue).ok_or_else(|| SimError::UnknownVenue {
            venue: cfg.venue.clone(),
            known: dialects::all().iter().map(|d| d.venue).collect::<Vec<_>>().join(", "),
        })?;
        let d = dialects::variant(d, cfg.variant.as_deref())?;
        let recording = match cfg.serve.as_slice() {
            [] => None,
            files => Some(Recording::load(files)?),
        };
        let (defs, later) = listing::traded(d, &cfg, recording.as_ref())?;
        let nominal = nominal(d, &cfg.rate_channels);
        let start = match (&recording, cfg.start_ms) {
            (_, Some(ms)) => ms,
            (Some(r), None) => r.start_ms(),
            (None, None) => wall_ns() / 1_000_000,
        };
        let mut rng = Rng::new(cfg.seed, 0);
        let venue_id = 5_000_000_000_000 + (rng.below(1 << 40)) as i64;
        let levels = if recording.is_some() { 1 } else { cfg.book_levels.clamp(100, 5000) };
        let symbols: Vec<Symbol> = defs
            .into_iter()
            .enumerate()
            .map(|(i, def)| symbol(d, &cfg, def, i, levels, start, venue_id))
            .map(|s| if later.contains(&s.def.symbol) { Symbol { listing: Listing::Gone, ..s } } else { s })
            .collect();
        let grids = Grids::new(d, symbols.len());
        let mut w = World {
            weights: running_sums(&symbols),
            by_name: symbols.iter().enumerate().map(|(i, s)| (s.def.lower.clone(), i)).collect(),
            by_pair: first_of_pairs(&symbols),
            symbols,
            shape: Shape { d, st_ps: cfg.st_ps.unwrap_or(d.st_ps) },
            now: start,
            start,
            t0: None,
            streams: Vec::new(),
            by_stream: BTreeMap::new(),
            all_slots: [NONE; SLOTS],
            pair_slots: BTreeMap::new(),
            conns: BTreeMap::new(),
            out: Out::default(),
            oracle: Oracle::open(&cfg.oracle)?,
            strikes: Strikes::new(&cfg),
            stats,
            rest: RestState::default(),
            recording,
            doorbook: Default::default(),
            later: Default::default(),
            rng,
            venue_id,
            run: (0, 0),
            tenths: [100; 10],
            debt_milli: 0,
            nominal,
            grids,
            ev: Vec::new(),
            bids: Vec::new(),
            asks: Vec::new(),
            cfg,
        };
        w.out.logged = w.oracle.on();
        w.log_start();
        w.strike_first();
        Ok(w)
    }

    fn log_start(&mut self) {
        if self.oracle.on() {
            let names: Vec<&str> = self.symbols.iter().map(|s| s.def.symbol.as_str()).collect();
            // Infallible: a list of strings.
            let names = serde_json::to_string(&names).unwrap_or_default();
            let line = self.oracle.begin("start");
            key_str(line, "venue", self.shape.d.venue);
            key_int(line, "seed", self.cfg.seed as i64);
            key_int(line, "version", oracle::VERSION.into());
            line.extend_from_slice(b",\"symbols\":");
            line.extend_from_slice(names.as_bytes());
            self.oracle.end_line();
        }
    }

    /// The venue's shared counter of update ids.
    pub fn venue_id(&self) -> i64 {
        self.venue_id
    }

    /// Ms since the first subscription.
    pub fn since_t0(&self) -> Option<i64> {
        self.t0.map(|t| self.now - t)
    }

    /// Moves venue time on by one ms.
    pub fn tick(&mut self) {
        self.now += 1;
        self.strike_due();
        self.later_due();
        if self.recording.is_some() {
            self.play();
        } else {
            self.pace();
            self.flush_due();
        }
        if self.now % 8 == 0 {
            self.tend_conns();
        }
        if self.now % 100 == 0 {
            self.stats.now_ms.store(self.now, Ordering::Relaxed);
            let begun = self.t0.unwrap_or(self.start);
            if self.cfg.duration_ms.is_some_and(|d| self.now - begun >= d as i64) {
                self.stats.over.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Lets as much happen as the rate asks for.
    fn pace(&mut self) {
        let tenth = (self.now.rem_euclid(1000) / 100) as usize;
        if self.now.rem_euclid(1000) == 0 {
            self.tenths = tenths(&mut self.rng);
        }
        self.debt_milli += i64::from(self.cfg.rate) * self.tenths[tenth] / 100;
        // A debt that timers cannot pay (nobody counts a stream that moves) is not carried along.
        self.debt_milli = self.debt_milli.min(i64::from(self.cfg.rate) * 200);
        let mut most = 64 + self.cfg.rate / 100;
        while self.debt_milli >= 1000 && most > 0 {
            most -= 1;
            if self.run.1 == 0 {
                let dice = self.rng.below(self.weights.last().copied().unwrap_or(1));
                let sym = self.weights.partition_point(|&w| w <= dice);
                // Activity comes in runs: bursts last several diffs.
                let len = self.rng.quantile(&[(0, 1), (5000, 4), (9000, 20), (10_000, 150)]) as u64;
                self.run = (sym, len);
            }
            self.run.1 -= 1;
            self.act(self.run.0);
        }
    }

    fn counts(&mut self, slot: usize) {
        self.debt_milli -= 1000 * (self.nominal >> slot & 1) as i64;
    }

    fn act(&mut self, sym: usize) {
        if self.symbols[sym].listing != Listing::Trading {
            return;
        }
        let now = self.now;
        let mut ev = std::mem::take(&mut self.ev);
        let mut clocked = Clocked {
            now,
            venue_id: &mut self.venue_id,
            rng: &mut self.rng,
            odd_trades: self.cfg.odd_trades,
        };
        self.symbols[sym].market.act(&mut clocked, &mut ev);
        for e in ev.drain(..) {
            match e {
                Ev::Bbo { id } => {
                    self.symbols[sym].bbo_changed = true;
                    let all = self.shape.d.all_book_ticker_every_ms == 0;
                    self.tell(sym, Channel::BookTicker, all, |sh, o, s| {
                        sh.book_ticker(o, &s.face, &s.market, id, now);
                    });
                }
                Ev::Fill { t, px, qty, buyer_maker, insurance } => {
                    let s = &mut self.symbols[sym];
                    if qty > 0 && !insurance {
                        s.fill(now, (px, qty), !buyer_maker, t);
                        remember(s, e, now);
                    }
                    self.tell(sym, Channel::Trade, false, |sh, o, s| sh.trade(o, &s.face, e, now));
                    self.tell(sym, Channel::TradePro, false, |sh, o, s| sh.trade_pro(o, &s.face, e, now));
                }
                Ev::Agg { .. } => {
                    remember(&mut self.symbols[sym], e, now);
                    if self.shape.d.agg_every_ms == 0 {
                        self.tell(sym, Channel::AggTrade, false, |sh, o, s| {
                            sh.agg_trade(o, &s.face, e, now, now)
                        });
                    } else {
                        self.symbols[sym].aggs.push((e, now));
                    }
                }
                Ev::Force { .. } => self.symbols[sym].force = Some((e, now)),
            }
        }
        self.ev = ev;
    }

    /// Prints a message of a symbol's channel for whoever listens; `all`: the venue's all-market twin listens too.
    pub(super) fn tell(
        &mut self,
        sym: usize,
        c: Channel,
        all: bool,
        write: impl FnOnce(&Shape, &mut Out, &Symbol),
    ) {
        let Some(slot) = c.slot() else { return };
        if self.symbols[sym].listing == Listing::Gone {
            return;
        }
        self.counts(slot);
        let one = self.symbols[sym].slots[slot];
        let twin = if all { self.all_slots[slot] } else { NONE };
        let heard = |ix: u32| ix != NONE && !self.streams[ix as usize].subs.is_empty();
        let (one, twin) = (heard(one).then_some(one), heard(twin).then_some(twin));
        if one.is_none() && twin.is_none() {
            return;
        }
        write(&self.shape, &mut self.out, &self.symbols[sym]);
        for ix in [one, twin].into_iter().flatten() {
            self.spread(ix as usize);
        }
    }

    fn flush_due(&mut self) {
        let now = self.now;
        for speed in 0..self.grids.diff.len() {
            let due = self.grids.diff[speed].take(now);
            for &sym in &due.1 {
                self.flush_depth(sym as usize, speed);
            }
            self.grids.diff[speed].put_back(due);
        }
        let due = self.grids.agg.take(now);
        for &sym in &due.1 {
            self.flush_aggs(sym as usize);
        }
        self.grids.agg.put_back(due);
        let due = self.grids.kline.take(now);
        for &sym in &due.1 {
            self.flush_klines(sym as usize);
        }
        self.grids.kline.put_back(due);
        let due = self.grids.ticker.take(now);
        for &sym in &due.1 {
            if std::mem::take(&mut self.symbols[sym as usize].stats.day.changed) {
                let sym = sym as usize;
                self.tell(sym, Channel::MiniTicker, false, |sh, o, s| {
                    sh.mini_ticker(o, &s.face, &s.stats, now)
                });
                self.tell(sym, Channel::Ticker, false, |sh, o, s| {
                    sh.ticker(o, &s.face, &s.stats, &s.market, now)
                });
            }
        }
        self.grids.ticker.put_back(due);
        let due = self.grids.second.take(now);
        for &sym in &due.1 {
            self.each_second(sym as usize);
        }
        self.grids.second.put_back(due);
        if now % 1000 == 0 {
            self.on_the_second();
        }
    }

    fn flush_aggs(&mut self, sym: usize) {
        let now = self.now;
        let mut aggs = std::mem::take(&mut self.symbols[sym].aggs);
        for (e, t) in aggs.drain(..) {
            self.tell(sym, Channel::AggTrade, false, |sh, o, s| sh.agg_trade(o, &s.face, e, t, now));
        }
        self.symbols[sym].aggs = aggs;
    }

    /// A symbol is traded, or is not. What happened before is told before.
    pub(super) fn list_as(&mut self, sym: usize, listing: Listing) {
        for speed in 0..self.grids.diff.len() {
            self.flush_depth(sym, speed);
        }
        self.flush_aggs(sym);
        self.symbols[sym].listing = listing;
    }

    /// The changes of a symbol since the last time at this speed.
    pub(super) fn flush_depth(&mut self, sym: usize, speed: usize) {
        let s = &mut self.symbols[sym];
        let m = &s.market;
        let from = (s.wins[speed].pos - m.touched_from) as usize;
        let (Some(first), Some(latest)) = (m.touched.get(from), m.touched.last()) else { return };
        let prev = s.wins[speed].prev;
        let ids = self.shape.d.ids;
        let span = Span {
            e: self.now,
            t: latest.at,
            first: if ids == IdScheme::Shared { first.id } else { prev + 1 },
            last: if ids == IdScheme::PerFrame { prev + 1 } else { m.last_id },
            prev,
            speed,
        };
        let end = m.touched_from + m.touched.len() as u64;
        let diff = Channel::Diff(speed as u8);
        // Orders of retail traders are in no other book: here there are none of them, so this one is as the others.
        let rpi = self.shape.d.has(Extra::RpiDepth) && self.shape.d.diff_speeds[speed].every_ms == 500;
        let heard = |c: Channel| {
            let ix = c.slot().map(|x| s.slots[x]).filter(|ix| *ix != NONE)? as usize;
            (!self.streams[ix].subs.is_empty()).then_some(ix)
        };
        let (of_diff, of_rpi) = (heard(diff), rpi.then(|| heard(Channel::RpiDepth)).flatten());
        let (mut bids, mut asks) = (std::mem::take(&mut self.bids), std::mem::take(&mut self.asks));
        if of_diff.or(of_rpi).is_some() {
            changed_levels(m, from, self.shape.d.bids_ascend, &mut bids, &mut asks);
        }
        if let Some(ix) = of_diff.filter(|_| !self.strikes.omits.is_empty()) {
            self.omit_level(sym, (ix, span.last), &mut bids, &mut asks);
        }
        if let Some(ix) = of_diff {
            self.cross_book(sym, (ix, span.last), &mut bids);
        }
        self.tell(sym, diff, false, |sh, o, s| sh.depth(o, &s.face, "depth", span, &bids, &asks));
        if rpi {
            self.tell(sym, Channel::RpiDepth, false, |sh, o, s| {
                sh.depth(o, &s.face, "rpiDepth", span, &bids, &asks);
            });
        }
        for n in 0..PARTIAL_LEVELS.len() {
            self.flush_partial(sym, n, speed, span, &mut bids, &mut asks);
        }
        (self.bids, self.asks) = (bids, asks);
        self.flush_whole(sym, span);
        let s = &mut self.symbols[sym];
        s.wins[speed] = Win { pos: end, prev: span.last };
        let told = s.wins[..self.grids.diff.len()].iter().map(|w| w.pos).min().unwrap_or(end);
        s.market.forget_before(told);
    }

    fn flush_partial(
        &mut self,
        sym: usize,
        n: usize,
        speed: usize,
        span: Span,
        bids: &mut Vec<(i64, i64)>,
        asks: &mut Vec<(i64, i64)>,
    ) {
        if speed >= self.shape.d.partial_speeds.len() {
            return;
        }
        let c = Channel::Partial(n as u8, speed as u8);
        let d = self.shape.d;
        self.tell(sym, c, false, |sh, o, s| {
            bids.clear();
            asks.clear();
            bids.extend(s.market.bids.best_first().take(PARTIAL_LEVELS[n]));
            asks.extend(s.market.asks.best_first().take(PARTIAL_LEVELS[n]));
            if d.prints.matched {
                if d.bids_ascend {
                    bids.reverse();
                }
                sh.depth(o, &s.face, "partial", span, bids, asks);
            } else {
                sh.partial_spot(o, &s.face, span.last, bids, asks);
            }
        });
    }

    /// Sends the recorded lines whose time has come.
    fn play(&mut self) {
        let Some(t0) = self.t0 else { return };
        let Some(mut r) = self.recording.take() else { return };
        r.play_until(self.now - t0, self.cfg.speed, |name, data| {
            if let Some(&ix) = self.by_stream.get(name)
                && !self.streams[ix].subs.is_empty()
            {
                self.out.data.clear();
                self.out.data.extend_from_slice(data);
                self.out.line.clear();
                if self.out.logged {
                    super::recording::describe(&mut self.out.line, data);
                }
                self.spread(ix);
            }
        });
        if r.ended() {
            self.stats.over.store(true, Ordering::Relaxed);
        }
        self.recording = Some(r);
    }

    /// The number of a stream, made on first demand.
    pub fn stream_ix(&mut self, name: &str, wanted: Wanted) -> usize {
        if let Some(&ix) = self.by_stream.get(name) {
            return ix;
        }
        let ix = self.streams.len();
        let symbol = match wanted.scope {
            Scope::Symbol(s) | Scope::Pair(s) => Some(s),
            Scope::All | Scope::Nobody => None,
        };
        self.streams.push(Stream {
            name: name.to_owned(),
            safe: escaped(name),
            place: name.bytes().fold(0, |a, b| mix(a ^ u64::from(b))),
            symbol,
            chained: wanted.channel.kind().is_chained(),
            fresh: false,
            subs: Vec::new(),
        });
        self.by_stream.insert(name.to_owned(), ix);
        if let Some(slot) = wanted.channel.slot() {
            match wanted.scope {
                Scope::Symbol(s) => self.symbols[s].slots[slot] = ix as u32,
                Scope::All => self.all_slots[slot] = ix as u32,
                Scope::Pair(s) => drop(self.pair_slots.insert((slot, s), ix as u32)),
                Scope::Nobody => {}
            }
        }
        ix
    }
}

impl Symbol {
    /// Statistics of one fill, in ticks and steps.
    fn fill(&mut self, now: i64, (px, qty): (i64, i64), taker_buys: bool, t: i64) {
        let (px, qty) = (self.face.px(px), self.face.qty(qty));
        let turnover = self.face.turnover(px, qty);
        self.stats.fill(now, (px, qty, turnover), taker_buys, t);
        if let Some(east) = &mut self.more.east {
            east.fill(now, (px, qty, turnover), taker_buys, t);
        }
    }

    /// The last id that a kind of diffs has told.
    pub fn told(&self, speed: usize) -> i64 {
        self.wins[speed].prev
    }
}

fn remember(s: &mut Symbol, e: Ev, now: i64) {
    if s.fills.len() >= FILLS_KEPT {
        s.fills.pop_front();
    }
    s.fills.push_back((e, now));
}

fn symbol(
    d: &'static Dialect,
    cfg: &SimConfig,
    def: SymbolDef,
    i: usize,
    levels: usize,
    start: i64,
    venue_id: i64,
) -> Symbol {
    let mut rng = Rng::new(cfg.seed, 1 + i as u64);
    let first_id = match d.ids {
        IdScheme::Dense | IdScheme::PerFrame => 1_000_000 + rng.below(1 << 36) as i64,
        IdScheme::Shared => venue_id,
    };
    let market = Market::new(d, &def, i, levels, first_id, &mut rng);
    let face = Face::new(&def);
    Symbol {
        stats: Stats::new(start, face.px(def.start_ticks)),
        wins: [Win { pos: 0, prev: market.last_id }; 4],
        market,
        slots: [NONE; SLOTS],
        aggs: Vec::new(),
        force: None,
        bbo_changed: false,
        more: More::new(d, start, &face, def.start_ticks),
        whole_at: 0,
        fills: Default::default(),
        listing: Listing::Trading,
        face,
        def,
    }
}

/// Levels touched since `from`, each once with its size now, in the dialect's order.
fn changed_levels(
    m: &Market,
    from: usize,
    bids_ascend: bool,
    bids: &mut Vec<(i64, i64)>,
    asks: &mut Vec<(i64, i64)>,
) {
    bids.clear();
    asks.clear();
    for t in &m.touched[from..] {
        if t.bid { bids.push((t.px, 0)) } else { asks.push((t.px, 0)) }
    }
    for (levels, side, ascend) in [(&mut *bids, &m.bids, bids_ascend), (&mut *asks, &m.asks, true)] {
        levels.sort_unstable_by_key(|l| if ascend { l.0 } else { -l.0 });
        levels.dedup_by_key(|l| l.0);
        for l in levels.iter_mut() {
            l.1 = side.qty(side.key(l.0));
        }
    }
}
