//! Streams that are subscribed to and never speak: a symbol that is dead, a channel that a venue takes and does not serve, a
//! path of the venue that is not the stream's.
//!
//! What their silence says is the venue's to tell ([`Venue::voice`]). A stream of a fixed pace, and one that speaks within
//! seconds on any venue that lives, are silent when their first frame does not come in time. All others may have nothing
//! to say for hours, so the deadline alone accuses nobody; these do:
//! - another stream of the same market tells of what this one would have told as well ([`shown_by`]): a trade is in a
//!   candle, in a statistic and at the touch, a candle that grew holds trades, and a touch that moves is a change of the book.
//!   One trade is in the candles of all intervals: the one that grew most often counts, not all of them together.
//!   (Statistics show no trade in turn: their window moves without one.)
//! - for a book's changes, the venue's own snapshots: two that differ, and no change came between them;
//! - for whatever shares a connection that has brought nothing at all, any stream of it that is accused: its path is not
//!   served.
//!
//! Who is accused is silent: it has a gap from its subscription on, until it speaks. For a book that is only late there is an
//! alarm and no more: where it waits for its first change the gap `initial_sync` tells so already. So there is for trades
//! where the venue takes symbols that are dead ([`crate::model::VenueSpec::takes_dead_symbols`]). Either is a line of the log for
//! each channel, a gauge, a figure of the status.
//!
//! A stream is told of once. Connections come and go meanwhile, and a stream begins as covered on each: the verdict is said again
//! on every new one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::stopped::PACES;
use super::*;
use crate::model::{Dec, DecodeCtx, Event, InstrumentId, InstrumentRef, Level, StreamInfo, StreamSpec};
use crate::venue::{Scratch, Venue, Voice};

/// A first frame comes within this after the subscription was confirmed (after the connection was opened, where nobody
/// confirms), or sooner where silent streams are told sooner.
pub(super) const FIRST_NS: i64 = 10 * S;
/// The same where the venue confirms and has not: so many times.
const UNANSWERED: i64 = 3;
/// What another stream has told, or a snapshot has, is on its way that long at most: statistics come every two seconds.
pub(super) const GRACE_NS: i64 = 5 * S;
/// A book that is late is asked for, again after this at most, then after twice as long, up to the other. Not sooner: an
/// answer may be a cached image.
const VIEW_NS: (i64, i64) = (10 * S, 600 * S);

const SHOWING: [StreamKind; 4] =
    [StreamKind::Trade, StreamKind::AggTrade, StreamKind::TradeSparse, StreamKind::BookTicker];

/// What the streams of a market have told that accuse others.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown {
    /// Frames of those that tell of trades and of the touch, in the order of [`SHOWING`].
    pub frames: [u64; SHOWING.len()],
    /// How often the candles of each stream grew, by its name. Shared: it is kept for every stream that waits.
    pub grown: Arc<BTreeMap<String, u64>>,
}

impl Shown {
    /// How often the candle that grew most often did since `before`: a trade is in the candles of all intervals.
    fn grown_since(&self, before: &Shown) -> u64 {
        let since =
            |(name, n): (&String, &u64)| n.saturating_sub(before.grown.get(name).copied().unwrap_or(0));
        self.grown.iter().map(since).max().unwrap_or(0)
    }
}

/// So many frames of each of these, in the order of [`SHOWING`], and behind them so many times that a candle grew show that a stream
/// of this kind and market ought to have spoken; 0 = any number shows nothing.
///
/// Single trades need many: a few are of the venue's own (insurance fund, spent ids), and those are in no aggregate. Changes
/// of a book may all be far from the touch, so they show nothing of it. Candles may count what is in no stream of trades, too.
fn shown_by(kind: StreamKind) -> [u64; SHOWING.len() + 1] {
    match kind {
        StreamKind::Trade => [0, 3, 0, 0, 10],
        StreamKind::AggTrade => [20, 0, 0, 0, 10],
        StreamKind::TradeSparse => [0, 0, 0, 0, 10],
        StreamKind::Kline | StreamKind::MiniTicker | StreamKind::Ticker => [20, 5, 0, 0, 0],
        StreamKind::BookTicker => [20, 20, 20, 0, 0],
        StreamKind::DepthPartial => [20, 20, 20, 20, 0],
        StreamKind::DepthDiff => [0, 0, 0, 20, 0],
        _ => [0; SHOWING.len() + 1],
    }
}

/// Whether other streams have told, since `before`, so many times what accuses a stream of this kind.
pub(super) fn is_enough(kind: StreamKind, shown: &Shown, before: &Shown, times: u64) -> bool {
    let [needs @ .., grown] = shown_by(kind);
    let is = |n: u64, need: u64| need > 0 && n >= need * times;
    let frames = shown.frames.iter().zip(before.frames).map(|(n, was)| n.saturating_sub(was));
    frames.zip(needs).any(|(n, need)| is(n, need)) || (grown > 0 && is(shown.grown_since(before), grown))
}

/// By venue and stream name, or by venue and symbol.
type Key = (usize, String);

/// Why a stream is thought silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Why {
    /// It is only late; nothing is proven.
    Late,
    /// It speaks whatever happens.
    Pace,
    /// Another stream of the same market has told of what it would have told.
    Shown,
    /// The book is another one than it was.
    Moved,
    /// Nothing of its connection has ever come, and one of its streams is accused.
    Path,
}

impl Why {
    /// For people.
    fn words(self) -> &'static str {
        match self {
            Why::Late => {
                "subscribed to, and never had a frame: dead symbols, or the venue does not serve the channel there"
            }
            Why::Pace => {
                "subscribed to, and never had a frame, and it speaks within seconds whatever happens"
            }
            Why::Shown => {
                "subscribed to, and never had a frame, and other streams of the same market tell of what it would have told"
            }
            Why::Moved => {
                "subscribed to, and never had a frame, and the venue's snapshots show that the book has changed"
            }
            Why::Path => {
                "subscribed to, and never had a frame, and neither had any other stream of its connection"
            }
        }
    }
}

/// What is known of one stream without a frame.
#[derive(Clone, Debug, Default)]
struct First {
    /// Confirmations so far, and when the last one was first seen.
    confirmed: u64,
    since: i64,
    /// Since when it is waited for on its present connection.
    begun: i64,
    /// What other streams of its market had told by then.
    before: Shown,
    /// Since when they have told enough, 0 = not yet.
    shown_at: i64,
    /// People were told.
    told: bool,
    /// What it is accused of, and the `begun` for which its lane was told so.
    silent: Option<(Why, i64)>,
}

impl First {
    /// Its time begins anew with a confirmation and with a connection.
    fn waits(&mut self, confirmed: u64, opened_at: i64, shown: &Shown, now: i64) {
        if confirmed != self.confirmed {
            (self.confirmed, self.since) = (confirmed, now);
        }
        let begun = self.since.max(opened_at);
        if begun != self.begun {
            (self.begun, self.before, self.shown_at) = (begun, shown.clone(), 0);
        }
    }

    /// Whether its first frame is late; `answers`: the venue confirms what it takes.
    fn is_late(&self, answers: bool, now: i64, limit_ns: i64) -> bool {
        let times = if answers && self.confirmed == 0 { UNANSWERED } else { 1 };
        now - self.begun >= limit_ns.saturating_mul(times)
    }

    /// Whether other streams have told enough of what it would have told, and it had its time since.
    fn is_shown(&mut self, kind: StreamKind, shown: &Shown, now: i64) -> bool {
        if is_enough(kind, shown, &self.before, 1) && self.shown_at == 0 {
            self.shown_at = now;
        }
        self.shown_at != 0 && now - self.shown_at >= GRACE_NS
    }
}

/// A book of which no change came in time, as the venue's snapshots have it since.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// What its levels come to; `None`: no snapshot came yet.
    digest: Option<u64>,
    /// When it is asked for next, and the wait before that.
    at: i64,
    wait: i64,
    /// Since when it is known to be another one, 0 = it is not.
    moved_at: i64,
}

/// All that have not spoken yet.
#[derive(Default)]
pub(super) struct Firsts {
    waiting: BTreeMap<Key, First>,
    /// By symbol.
    seen: BTreeMap<Key, Seen>,
    /// Snapshots that were asked for on a stream's own connection.
    asked: BTreeMap<Key, u64>,
    last: i64,
}

impl Firsts {
    /// A snapshot is asked for on the connection of a stream of diffs: it comes as a frame of that stream.
    pub(super) fn asks(&mut self, v: usize, stream: &str) {
        *self.asked.entry((v, stream.to_owned())).or_default() += 1;
    }

    /// Whether another stream's word accuses one of these.
    pub(super) fn is_shown(&self, v: usize, is_of: &dyn Fn(&str) -> bool) -> bool {
        let is = |f: &First| f.silent.is_some_and(|(why, _)| why == Why::Shown);
        self.waiting.iter().any(|((of, name), f)| *of == v && is(f) && is_of(name))
    }
}

/// A stream that was found to have never spoken.
struct Found {
    place: (LaneId, ConnId, u32),
    stream: StreamSpec,
    why: Why,
    step: Step,
    /// [`Said::last_recv`].
    last_recv: i64,
}

/// What is new of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Nobody was told.
    Told,
    /// It began on another connection, or was confirmed again.
    Again,
    /// Its connection speaks: it may be quiet.
    Cleared,
}

/// What one stream has said so far, over both legs together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said {
    /// Frames of any kind.
    pub all: u64,
    /// Frames of its own accord.
    pub frames: u64,
    /// Snapshots that we asked for at most: their answers are frames of the stream, and no sign that changes come.
    pub answers: u64,
    pub confirmed: u64,
    /// Receive time of the last frame that was no answer, 0 = none.
    pub last_recv: i64,
}

impl Said {
    /// Nothing came, not even what we asked for.
    fn is_mute(&self) -> bool {
        self.all == 0
    }
}

/// What all streams have said so far.
#[derive(Default)]
pub(super) struct Heard {
    streams: BTreeMap<Key, Said>,
    /// What shows that a market lives, by symbol; "" = of all symbols together.
    markets: BTreeMap<Key, Shown>,
    /// Of a market that has shown nothing.
    nothing: Shown,
}

impl Heard {
    pub(super) fn of(&self, key: &Key) -> Said {
        self.streams.get(key).copied().unwrap_or_default()
    }

    /// What the market of a stream has shown so far.
    pub(super) fn market(&self, v: usize, stream: &StreamSpec) -> &Shown {
        self.markets.get(&(v, stream.symbol.clone().unwrap_or_default())).unwrap_or(&self.nothing)
    }
}

impl Control {
    /// Looks at every stream that has had no frame; once a second.
    pub(super) fn look_for_first_frames(&mut self, now: i64) {
        let stood_still = now - std::mem::replace(&mut self.firsts.last, now) > silence::FROZEN_NS;
        if stood_still {
            self.firsts.waiting.values_mut().for_each(|f| f.since = now);
        }
        let heard = self.all_heard();
        self.look_for_stopped(&heard, stood_still, now);
        let venues = &self.venues;
        self.firsts.seen.retain(|(v, symbol), _| venues[*v].lanes.contains_key(symbol));
        self.firsts.asked.retain(|key, _| heard.streams.contains_key(key));
        let mut alive: BTreeSet<Key> = BTreeSet::new();
        for v in 0..self.venues.len() {
            let found = self.never_spoke(v, &heard, &mut alive, now);
            self.tell_unheard(v, &found);
            for f in found.into_iter().filter(|f| f.why != Why::Late) {
                let ((lane, conn, _), stream) = (f.place, f.stream.name);
                match f.step {
                    Step::Told => self.calls_silent(v, f.place, stream, f.last_recv, now),
                    Step::Again => self.order(lane, ToLane::Silent { conn, stream, last_recv: f.last_recv }),
                    Step::Cleared => self.order(lane, ToLane::Served { conn, stream }),
                }
            }
        }
        let waiting = std::mem::take(&mut self.firsts.waiting);
        for (key, first) in waiting {
            if alive.contains(&key) {
                self.firsts.waiting.insert(key, first);
                continue;
            }
            if first.told && heard.of(&key).frames > 0 {
                let venue = self.venues[key.0].plan.venue.spec().id;
                tracing::info!(venue, stream = key.1, "has its first frame after all");
            }
        }
        for (v, venue) in self.venues.iter().enumerate() {
            let told = self.firsts.waiting.iter().filter(|((of, _), f)| *of == v && f.told).count();
            venue.metrics.streams_unheard.set(i64::try_from(told).unwrap_or(i64::MAX));
        }
    }

    pub(super) fn all_heard(&self) -> Heard {
        let mut out = Heard::default();
        let kinds: BTreeMap<Key, StreamKind> = (0..)
            .zip(&self.venues)
            .flat_map(|(v, state)| {
                state.slots.iter().flat_map(move |s| s.slot.conn.streams.iter().map(move |s| (v, s)))
            })
            .map(|(v, s)| ((v, s.name.clone()), s.kind))
            .collect();
        let mut grew: BTreeMap<Key, BTreeMap<String, u64>> = BTreeMap::new();
        for m in self.parts.shared.lanes().iter().flat_map(|l| l.streams()) {
            let Some(v) = self.venue_ix(&m.venue) else { continue };
            let key = (v, m.name.clone());
            let at = kinds.get(&key).and_then(|k| SHOWING.iter().position(|s| s == k));
            let at = at.filter(|_| self.venues[v].plan.venue.voice(&m.channel) != Voice::Rare);
            let (frames, grown) = (m.frames.get(), m.grown.get());
            for of in BTreeSet::from([m.symbol.as_str(), ""]) {
                if let Some(at) = at.filter(|_| frames > 0) {
                    out.markets.entry((v, of.to_owned())).or_default().frames[at] += frames;
                }
                if grown > 0 {
                    *grew.entry((v, of.to_owned())).or_default().entry(m.name.clone()).or_default() += grown;
                }
            }
            let said = out.streams.entry(key).or_default();
            said.frames += m.frames.get();
            said.confirmed += m.confirmed.get();
            said.last_recv = said.last_recv.max(m.last_recv.get());
        }
        for (market, grew) in grew {
            out.markets.entry(market).or_default().grown = Arc::new(grew);
        }
        for (key, said) in &mut out.streams {
            // A confirmation that names its stream is a frame of it.
            let spec = self.venues[key.0].plan.venue.spec();
            let confirms = if spec.topics_per_message == 0 { said.confirmed } else { 0 };
            said.all = said.frames;
            said.frames = said.frames.saturating_sub(confirms);
            said.answers = said.frames.min(self.firsts.asked.get(key).copied().unwrap_or(0));
            said.frames -= said.answers;
        }
        out
    }

    /// What the streams of a channel have said of their own accord, and how often they were confirmed: neither a confirmation nor a
    /// snapshot that was asked for shows that changes come.
    pub(super) fn said_by(&self, v: usize, channel: &str) -> (u64, u64) {
        let heard = self.all_heard();
        let streams = self.venues[v].slots.iter().flat_map(|s| &s.slot.conn.streams);
        let names: BTreeSet<&str> =
            streams.filter(|s| s.channel == channel).map(|s| s.name.as_str()).collect();
        let said = names.into_iter().map(|n| heard.of(&(v, n.to_owned())));
        said.fold((0, 0), |(frames, confirmed), s| (frames + s.frames, confirmed + s.confirmed))
    }

    /// The streams of a venue that are late or silent and were not told of yet. `alive`: all that have not spoken and are waited
    /// for.
    fn never_spoke(&mut self, v: usize, heard: &Heard, alive: &mut BTreeSet<Key>, now: i64) -> Vec<Found> {
        let mut found = Vec::new();
        if self.venues[v].plan.config.silent_after_ns == 0 {
            return found;
        }
        for s in 0..self.venues[v].slots.len() {
            let slot = &self.venues[v].slots[s];
            let Some(conn) = slot.current else {
                // What is known of its streams holds on its next connection, too.
                let known = slot.slot.conn.streams.iter().filter(|s| self.may_speak(v, s, heard));
                alive.extend(known.map(|s| (v, s.name.clone())));
                continue;
            };
            let place = (slot.slot.lane, conn, slot.slot.number);
            let (opened_at, streams) = (slot.opened_at, slot.slot.conn.streams.clone());
            let mut late = Vec::new();
            for stream in &streams {
                if self.may_speak(v, stream, heard) {
                    let why = self.judge(v, stream, opened_at, heard, now);
                    alive.insert((v, stream.name.clone()));
                    late.extend(why.map(|w| (stream, w)));
                }
            }
            // A connection that has brought something of any stream is on a path that is served.
            let is_mute = streams.iter().all(|s| heard.of(&(v, s.name.clone())).is_mute());
            let is_accused = late.iter().any(|(_, w)| w.is_some());
            for (stream, why) in late {
                let why = why.or((is_mute && is_accused).then_some(Why::Path));
                found.extend(self.verdict(v, (place, stream), why, (is_mute, heard)));
            }
        }
        found
    }

    /// Whether a stream has had no frame and might have one.
    fn may_speak(&self, v: usize, stream: &StreamSpec, heard: &Heard) -> bool {
        let is_dead = |s: &str| self.venues[v].recorded.is_delisted(s);
        heard.of(&(v, stream.name.clone())).frames == 0 && !stream.symbol.as_deref().is_some_and(is_dead)
    }

    /// `None`: its time is not over. Else what accuses it, if anything does.
    fn judge(
        &mut self,
        v: usize,
        stream: &StreamSpec,
        opened_at: i64,
        heard: &Heard,
        now: i64,
    ) -> Option<Option<Why>> {
        let key = (v, stream.name.clone());
        let market: Key = (v, stream.symbol.clone().unwrap_or_default());
        let shown = heard.market(v, stream);
        let (venue, after) = (self.venues[v].plan.venue, self.venues[v].plan.config.silent_after_ns);
        let voice = venue.voice(&stream.channel);
        let is_book = stream.kind == StreamKind::DepthDiff;
        let first = self.firsts.waiting.entry(key.clone()).or_default();
        let begun = first.begun;
        first.waits(heard.of(&key).confirmed, opened_at, shown, now);
        if is_book && first.begun != begun {
            // What came between the connections nobody knows.
            self.firsts.seen.remove(&market);
        }
        let limit = match voice {
            Voice::Paced(s) => FIRST_NS.min(after).max(PACES.saturating_mul(i64::from(s) * S)),
            Voice::Lively => FIRST_NS,
            Voice::Eventful | Voice::Rare => FIRST_NS.min(after),
        };
        let is_shown = voice == Voice::Eventful && first.is_shown(stream.kind, shown, now);
        if first.silent.is_some_and(|(_, begun)| begun != first.begun) {
            // It is silent whatever its time is: it begins as covered on each connection.
            return Some(None);
        }
        if !first.is_late(venue.spec().acknowledges, now, limit) {
            return None;
        }
        let has_moved = is_book && self.has_moved(v, &market, after, now);
        Some(match voice {
            Voice::Paced(_) | Voice::Lively => Some(Why::Pace),
            _ if is_shown => Some(Why::Shown),
            _ => has_moved.then_some(Why::Moved),
        })
    }

    /// What is to be said of a stream that is late, if that is news.
    fn verdict(
        &mut self,
        v: usize,
        (place, stream): ((LaneId, ConnId, u32), &StreamSpec),
        why: Option<Why>,
        (is_mute, heard): (bool, &Heard),
    ) -> Option<Found> {
        let Said { answers, last_recv, .. } = heard.of(&(v, stream.name.clone()));
        let takes_dead = self.venues[v].plan.venue.spec().takes_dead_symbols;
        // Where a snapshot came the book is there, and that nothing of it changes is no news.
        let is_view = match stream.kind {
            StreamKind::DepthDiff | StreamKind::DepthPartial => answers == 0,
            kind => kind == StreamKind::TradeSparse && takes_dead,
        };
        let first = self.firsts.waiting.get_mut(&(v, stream.name.clone()))?;
        let found = |why, step| Some(Found { place, stream: stream.clone(), why, step, last_recv });
        match (first.silent, why) {
            (Some((Why::Path, _)), None) if !is_mute => {
                (first.silent, first.told) = (None, false);
                found(Why::Path, Step::Cleared)
            }
            (Some((was, begun)), _) if begun != first.begun => {
                first.silent = Some((was, first.begun));
                found(was, Step::Again)
            }
            (None, Some(why)) => {
                (first.silent, first.told) = (Some((why, first.begun)), true);
                found(why, Step::Told)
            }
            (None, None) if is_view && !std::mem::replace(&mut first.told, true) => {
                found(Why::Late, Step::Told)
            }
            _ => None,
        }
    }

    /// Whether the venue's snapshots show that a book of which no change ever came has changed; asks for the next one.
    fn has_moved(&mut self, v: usize, market: &Key, after: i64, now: i64) -> bool {
        let venue = self.venues[v].plan.venue;
        let spec = venue.spec();
        if spec.snapshot != SnapshotSource::Rest {
            return false;
        }
        let new = Seen { digest: None, at: now, wait: VIEW_NS.0.min(after) / 2, moved_at: 0 };
        let seen = self.firsts.seen.entry(market.clone()).or_insert(new);
        if seen.moved_at != 0 {
            return now - seen.moved_at >= GRACE_NS;
        }
        if now >= seen.at && !self.silence.asked.iter().any(|(of, _)| *of == v) {
            seen.wait = seen.wait.saturating_mul(2).min(VIEW_NS.1);
            seen.at = now.saturating_add(seen.wait);
            self.silence.asked.insert(market.clone());
            let weight = venue.snapshot_request(&market.1).weight;
            let group = self.venues[v].group;
            self.groups[group].queue.push(Priority::Audit, weight, market.clone());
        }
        false
    }

    /// A snapshot came: if it is of a book of which no change has ever come, it is held against the first one.
    pub(super) fn sees(&mut self, v: usize, symbol: &str, body: &[u8], now: i64) {
        let Some(seen) = self.firsts.seen.get_mut(&(v, symbol.to_owned())) else { return };
        let Some(new) = digest(self.venues[v].plan.venue, symbol, body) else { return };
        match seen.digest {
            Some(old) if old != new && seen.moved_at == 0 => seen.moved_at = now,
            Some(_) => {}
            None => seen.digest = Some(new),
        }
    }

    /// One line for each channel and reason: where a venue serves nothing of it there are hundreds of streams.
    fn tell_unheard(&self, v: usize, found: &[Found]) {
        let venue = self.venues[v].plan.venue;
        let mut by_channel: BTreeMap<(&str, Why), Vec<&str>> = BTreeMap::new();
        for f in found.iter().filter(|f| f.step == Step::Told) {
            by_channel.entry((&f.stream.channel, f.why)).or_default().push(&f.stream.name);
        }
        for ((channel, why), names) in by_channel {
            let first = names[..names.len().min(3)].join(", ");
            let remedy = match venue.fallback(channel) {
                _ if venue.routes().len() > 1 => "see ws_routes: the path may not be the channel's; or leave it out".to_owned(),
                Some(other) => format!("take {other} in its place, or leave it out"),
                None => "see whether the symbols are traded, and with probe whether the venue serves it; or leave it out".to_owned(),
            };
            let says = why.words();
            let gap = why != Why::Late;
            let (venue, streams) = (venue.spec().id, names.len());
            tracing::warn!(venue, channel, streams, first, gap, remedy, "{says}");
        }
    }
}

/// What the levels of a snapshot come to, whatever else it says. `None`: it is none.
fn digest(venue: &dyn Venue, symbol: &str, body: &[u8]) -> Option<u64> {
    let mut view = View { exps: (0, 0), digest: None };
    venue.decode_snapshot(&mut Scratch::default(), symbol, body, &mut view).ok()?;
    view.digest
}

/// Hears a snapshot and keeps nothing but what its levels come to.
struct View {
    exps: (u8, u8),
    digest: Option<u64>,
}

impl View {
    /// The same numbers are the same with more decimals.
    fn add(&self, levels: &[Level], hasher: &mut rustc_hash::FxHasher) {
        use std::hash::Hash;
        let short = |mut mantissa: i64, mut exp: u8| {
            while exp > 0 && mantissa % 10 == 0 {
                (mantissa, exp) = (mantissa / 10, exp - 1);
            }
            (mantissa, exp)
        };
        for l in levels {
            (short(l.price, self.exps.0), short(l.size, self.exps.1)).hash(hasher);
        }
        levels.len().hash(hasher);
    }
}

impl DecodeCtx for View {
    fn stream(&mut self, _: &str) -> Option<StreamInfo> {
        None
    }

    fn peek(&mut self, _: &[u8]) -> Option<StreamInfo> {
        None
    }

    fn enter(&mut self, _: &StreamInfo) {}

    fn stream_of(&mut self, _: StreamKind, _: &str) -> Option<StreamInfo> {
        None
    }

    fn instrument(&mut self, _: &str) -> Option<InstrumentRef> {
        Some(InstrumentRef { id: InstrumentId(0), price_exp: self.exps.0, size_exp: self.exps.1 })
    }

    fn widen(&mut self, id: InstrumentId, price_exp: u8, size_exp: u8) -> InstrumentRef {
        self.exps = (self.exps.0.max(price_exp), self.exps.1.max(size_exp));
        InstrumentRef { id, price_exp: self.exps.0, size_exp: self.exps.1 }
    }

    fn narrow(&mut self, id: InstrumentId, (price_exp, size_exp): (u8, u8), _: (u8, u8)) -> InstrumentRef {
        self.exps = (price_exp, size_exp);
        InstrumentRef { id, price_exp, size_exp }
    }

    fn contract_size(&self, _: InstrumentId) -> Dec {
        Dec::NONE
    }

    fn event(&mut self, event: Event<'_>) {
        if let Event::Snapshot(d) = event {
            let mut hasher = rustc_hash::FxHasher::default();
            self.add(d.bids, &mut hasher);
            self.add(d.asks, &mut hasher);
            self.digest = Some(std::hash::Hasher::finish(&hasher));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames, and how often a market's one candle grew.
    fn shown(counts: [u64; 5]) -> Shown {
        let [frames @ .., grown] = counts;
        Shown { frames, grown: Arc::new(BTreeMap::from([("kline_1m".to_owned(), grown)])) }
    }

    #[test]
    fn time_runs_from_the_confirmation_or_from_the_connection() {
        let mut f = First::default();
        let mut late = |confirmed, opened, answers, now: i64| {
            f.waits(confirmed, opened, &Shown::default(), now * S);
            f.is_late(answers, now * S, FIRST_NS)
        };
        // Opened at 5 s and confirmed at 12 s.
        assert!(!late(0, 5 * S, true, 6) && !late(0, 5 * S, true, 11) && !late(1, 5 * S, true, 12));
        assert!(!late(1, 5 * S, true, 21));
        assert!(late(1, 5 * S, true, 22) && late(1, 5 * S, true, 23));
        let mut f = First::default();
        let mut late = |opened, answers, now: i64| {
            f.waits(0, opened, &Shown::default(), now * S);
            f.is_late(answers, now * S, FIRST_NS)
        };
        // Never confirmed, and a connection that was replaced meanwhile.
        assert!(!late(5 * S, true, 34) && !late(20 * S, true, 49) && late(20 * S, true, 50));
        assert!(!late(60 * S, false, 69) && late(60 * S, false, 70));
    }

    #[test]
    fn what_others_told_before_a_stream_began_does_not_accuse_it() {
        let mut f = First::default();
        let at = |aggregates| shown([0, aggregates, 0, 0, 0]);
        f.waits(0, S, &at(1000), 2 * S);
        assert!(!f.is_shown(StreamKind::Trade, &at(1002), 60 * S));
        // It has its time from when enough was told.
        assert!(!f.is_shown(StreamKind::Trade, &at(1003), 61 * S));
        assert!(!f.is_shown(StreamKind::Trade, &at(1003), 61 * S + GRACE_NS - 1));
        assert!(f.is_shown(StreamKind::Trade, &at(1003), 61 * S + GRACE_NS));
        // On another connection all begins anew.
        f.waits(0, 90 * S, &at(2000), 91 * S);
        assert!(!f.is_shown(StreamKind::Trade, &at(2002), 200 * S));
    }

    #[test]
    fn a_quiet_market_accuses_nobody() {
        let busy = shown([u64::MAX; 5]);
        for kind in [StreamKind::Liquidation, StreamKind::RawOnly, StreamKind::Mark] {
            let mut f = First::default();
            f.waits(0, S, &Shown::default(), S);
            assert!(!f.is_shown(kind, &busy, S) && !f.is_shown(kind, &busy, 1000 * S), "{kind:?}");
        }
        // A touch that moves shows no trade, and a few trades of the venue's own no aggregate.
        for (kind, counts) in [
            (StreamKind::Trade, [0, 2, 0, 1_000_000, 9]),
            (StreamKind::AggTrade, [19, 0, 0, 1_000_000, 9]),
            (StreamKind::Kline, [19, 4, 0, 1_000_000, 1_000_000]),
            (StreamKind::BookTicker, [19, 19, 19, 0, 1_000_000]),
            // Orders that are in no book trade without a change of one.
            (StreamKind::DepthDiff, [1_000_000, 1_000_000, 1_000_000, 19, 1_000_000]),
            (StreamKind::TradeSparse, [1_000_000, 1_000_000, 0, 1_000_000, 9]),
        ] {
            let mut f = First::default();
            f.waits(0, S, &Shown::default(), S);
            let shown = shown(counts);
            assert!(!f.is_shown(kind, &shown, S) && !f.is_shown(kind, &shown, 1000 * S), "{kind:?}");
        }
    }

    #[test]
    fn the_candle_that_grew_most_often_counts_and_not_all_of_them_together() {
        let candles = |of: &[(String, u64)]| Shown {
            frames: [0; 4],
            grown: Arc::new(of.iter().cloned().collect::<BTreeMap<_, _>>()),
        };
        let all = |n: u64| (0..15).map(|i| (format!("kline_{i}"), n)).collect::<Vec<_>>();
        for kind in [StreamKind::Trade, StreamKind::AggTrade, StreamKind::TradeSparse] {
            for (times, need) in [(1, 10), (3, 30)] {
                let enough =
                    |now: &[_], before: &[_]| is_enough(kind, &candles(now), &candles(before), times);
                assert!(!enough(&all(1), &[]) && !enough(&all(need - 1), &[]), "{kind:?}");
                assert!(enough(&all(need), &[]), "{kind:?}");
                assert!(!enough(&all(107), &all(107)) && enough(&all(107 + need), &all(107)));
                // One that had grown more often before, and does no more, hides none that does.
                let old = ("kline_old".to_owned(), 1_000_000);
                let with_old = |n| [all(n), vec![old.clone()]].concat();
                assert!(enough(&with_old(need), &with_old(0)));
                assert!(!enough(&with_old(need - 1), &with_old(0)));
            }
        }
    }

    #[test]
    fn snapshots_are_the_same_book_whatever_their_times_ids_and_decimals_are() {
        let (_, venue) = crate::venue::by_id("binance-usdm").unwrap();
        let of = |text: &str| digest(venue, "BTCUSDT", text.as_bytes());
        let a = of(r#"{"lastUpdateId":7,"E":1,"T":1,"bids":[["10.0","1"]],"asks":[["10.2","3"]]}"#);
        assert!(a.is_some());
        assert_eq!(
            a,
            of(r#"{"lastUpdateId":9,"E":5,"T":4,"bids":[["10.00","1.000"]],"asks":[["10.2","3"]]}"#)
        );
        assert_ne!(a, of(r#"{"lastUpdateId":9,"E":5,"T":4,"bids":[["10.0","2"]],"asks":[["10.2","3"]]}"#));
        assert_ne!(a, of(r#"{"lastUpdateId":9,"E":5,"T":4,"bids":[["10.0","1"],["10.2","3"]],"asks":[]}"#));
        assert_eq!(of(r#"{"code":-1121,"msg":"Invalid symbol."}"#), None);
    }
}
