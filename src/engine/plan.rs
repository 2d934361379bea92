//! A checked configuration against the venues: which streams over which connections in which lane, and what it costs.
//!
//! Pure: nothing is opened. Whether a venue lists a symbol is known only later, from its instrument list.

use std::collections::{BTreeMap, BTreeSet};

use super::addresses::AddressKey;
use super::polls::{self, PollPlan};

pub use super::fault::PlanFault;
use crate::config::{Config, VenueConfig, nearest};
use crate::dataset::part::GROUP_BYTES;
use crate::model::time::NS_PER_S;
use crate::model::{ConnPlan, Hosts, LaneId, PlanError, StreamKind, StreamSpec, VenueIx, VenueSpec};
use crate::venue::{self, Venue};

/// What a capture will do.
pub struct Plan {
    /// One per `[[venue]]`, in the file's order.
    pub venues: Vec<VenuePlan>,
    /// One per reader thread, lanes 1 and up.
    pub lanes: Vec<LanePlan>,
    /// Expected memory.
    pub memory: Memory,
    /// Bytes of dataset per day if every symbol were as busy as BTCUSDT in the recordings.
    pub disk_per_day_max: u64,
}

/// One venue's share.
pub struct VenuePlan {
    /// Its place in the registry.
    pub ix: VenueIx,
    /// The venue.
    pub venue: &'static dyn Venue,
    /// Hosts other than its own.
    pub hosts: Hosts,
    /// Every stream, symbol by symbol; all-market ones first.
    pub streams: Vec<StreamSpec>,
    /// Symbols with a book, in the file's order.
    pub books: Vec<String>,
    /// Weight per minute that we allow ourselves, by the venue's documented limit.
    pub weight_allowed: u32,
    /// Weight of all first snapshots.
    pub weight_snapshots: u32,
    /// What is asked for by REST again and again.
    pub polls: Vec<PollPlan>,
    /// What that costs a minute; where a rule chooses the symbols, for as many as it names at most, or for one.
    pub weight_polls: u32,
    /// What it may cost a minute, with all that shares the budget; as much as lists may.
    pub weight_polls_allowed: u32,
    /// What instrument lists cost a minute where the configuration says how often they are asked for; else 0.
    pub weight_lists: u32,
    /// Where a rule chooses the symbols: for how many of them at most the polls keep their pace; `None`: for any number.
    pub polls_symbols_most: Option<usize>,
    /// Other venues of this capture that live on the same allowance.
    pub shares_with: Vec<&'static str>,
    /// Weight of their first snapshots and of ours.
    pub weight_snapshots_shared: u32,
    /// Age at which a connection is replaced, ns.
    pub rotate_after_ns: i64,
    /// Channels that the venue may not serve, and what is taken then.
    pub fallbacks: Vec<(String, &'static str)>,
    /// Channels of one instrument beside the one of the whole market that brings the same events.
    pub twins: Vec<Twins>,
    /// Symbols that a channel does not take.
    pub left_out: Vec<LeftOut>,
    /// Connections that carry the same streams.
    pub legs: u8,
    /// Connections of all legs.
    pub conns: usize,
    /// The same with those of other venues of this capture that the venue counts together with ours.
    pub conns_shared: usize,
}

/// Two channels that bring the same events.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Twins {
    /// The channel of one instrument.
    pub own: String,
    /// That of the whole market.
    pub market: String,
    /// Their table.
    pub table: &'static str,
}

impl VenuePlan {
    /// The second leg's diffs feed no book while the first one lives: the venue's ids end with their connection.
    pub fn is_standby(&self) -> bool {
        self.legs > 1 && !self.books.is_empty() && !self.venue.spec().sequence.ids_survive_reconnect
    }

    /// Seconds until all connections may be open, by the venue's limit of new ones.
    pub fn seconds_to_connect(&self) -> usize {
        let borne = self.venue.spec().connects_per_5min as usize;
        if borne == 0 || self.conns_shared <= borne { 1 } else { (self.conns_shared - 1) / borne * 300 }
    }

    /// Seconds until all books can have their first snapshot inside the budget.
    pub fn seconds_to_sync(&self) -> u32 {
        if self.books.is_empty() {
            return 0;
        }
        let beyond = self.weight_snapshots_shared.saturating_sub(self.weight_allowed);
        if beyond == 0 { 1 } else { beyond.div_ceil(self.weight_allowed.max(1)).saturating_mul(60) }
    }
}

/// One reader thread.
pub struct LanePlan {
    /// Number, 1 and up.
    pub lane: LaneId,
    /// Raw CPU id, `None` = not pinned.
    pub core: Option<usize>,
    /// Connections, as (index into [`Plan::venues`], leg, connection).
    pub conns: Vec<(usize, u8, ConnPlan)>,
}

/// Expected memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Memory {
    /// Raw rings of all lanes, control's included.
    pub rings: u64,
    /// Row builders of the converter, and the group of rows that waits for another to be hashed with.
    pub converter: u64,
    /// Books, live and in the converter.
    pub books: u64,
    /// Sockets, TLS, buffers of connections.
    pub connections: u64,
    /// All else.
    pub base: u64,
}

impl Memory {
    /// The sum.
    pub fn total(&self) -> u64 {
        self.rings + self.converter + self.books + self.connections + self.base
    }
}

/// A book of some thousand levels with its buffer of diffs; there are two of each (live and in the converter).
const BOOK_BYTES: u64 = 640 << 10;
/// Read buffers, TLS records and the WebSocket's buffer.
const CONN_BYTES: u64 = 1 << 20;
/// What is remembered of a stream that comes twice, live and in the converter.
const SHARED_BYTES: u64 = 16 << 10;
/// Program, instrument lists, histograms, journal buffers.
const BASE_BYTES: u64 = 96 << 20;
/// Control's ring is small.
const CONTROL_RING_BYTES: u64 = 8 << 20;

/// Works it out.
///
/// # Errors
/// [`PlanFault`] for what no venue here has.
pub fn plan(config: &Config) -> Result<Plan, PlanFault> {
    let lanes = config.capture.cores.len().max(1);
    let mut plans: Vec<LanePlan> = (0..lanes)
        .map(|i| LanePlan {
            lane: LaneId::try_from(i + 1).unwrap_or(LaneId::MAX),
            core: config.capture.cores.get(i).copied(),
            conns: Vec::new(),
        })
        .collect();
    let mut venues = Vec::new();
    for (i, v) in config.venues.iter().enumerate() {
        venues.push(place(v, i, &mut plans).map_err(|fault| located(v, fault))?);
    }
    share(config, &mut venues)?;
    let books: usize = venues.iter().map(|v: &VenuePlan| v.books.len()).sum();
    let conns: usize = plans.iter().map(|l| l.conns.len()).sum();
    let shared: usize = venues.iter().filter(|v| v.legs > 1).map(|v| v.streams.len()).sum();
    let memory = Memory {
        rings: config.capture.ring_size * lanes as u64 + CONTROL_RING_BYTES,
        converter: config.capture.converter_memory + GROUP_BYTES as u64,
        books: books as u64 * 2 * BOOK_BYTES,
        connections: conns as u64 * CONN_BYTES + shared as u64 * SHARED_BYTES,
        base: BASE_BYTES,
    };
    // Frames of both legs are in `raw`, and nearly each has a row in `races`.
    let of =
        |v: &VenuePlan| v.streams.iter().map(|s| busy_bytes_per_day(s.kind)).sum::<u64>() * u64::from(v.legs);
    let disk_per_day_max = venues.iter().map(of).sum();
    Ok(Plan { venues, lanes: plans, memory, disk_per_day_max })
}

/// Venues of one weight group live on one allowance.
fn share(config: &Config, venues: &mut [VenuePlan]) -> Result<(), PlanFault> {
    check_shares(config)?;
    let groups: Vec<_> =
        venues.iter().map(|v| (v.venue.spec().weight_group, v.venue.spec().id, v.weight_snapshots)).collect();
    let key = |v: &VenuePlan| AddressKey::of(v.venue.spec(), &v.hosts);
    let addresses: Vec<(AddressKey, usize)> = venues.iter().map(|v| (key(v), v.conns)).collect();
    for v in venues.iter_mut() {
        let spec = v.venue.spec();
        let own = key(v);
        v.conns_shared = addresses.iter().filter(|(k, _)| *k == own).map(|(_, n)| n).sum();
        let others = groups.iter().filter(|(group, id, _)| *group == spec.weight_group && *id != spec.id);
        v.shares_with = others.clone().map(|(_, id, _)| *id).collect();
        v.weight_snapshots_shared = v.weight_snapshots + others.map(|(_, _, weight)| weight).sum::<u32>();
    }
    polls::fit(venues)
}

/// Refuses different shares of one budget.
///
/// # Errors
/// [`PlanFault::Shares`] names both venues; an unknown one.
pub fn check_shares(config: &Config) -> Result<(), PlanFault> {
    let mut seen: Vec<(&'static str, &VenueConfig)> = Vec::new();
    for v in &config.venues {
        let group = find(&v.id).map_err(|fault| located(v, fault))?.1.spec().weight_group;
        let other = seen.iter().find(|(g, o)| *g == group && o.rest_weight_share != v.rest_weight_share);
        if let Some((_, o)) = other {
            let of = |v: &VenueConfig| (v.id.clone(), v.rest_weight_share);
            return Err(located(v, PlanFault::Shares { first: of(o), second: of(v) }));
        }
        seen.push((group, v));
    }
    Ok(())
}

/// The lane of something that was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// It is recorded there now.
    Now(LaneId),
    /// It was, in this run or an earlier one: it comes back to it if it can.
    Before(LaneId),
}

impl Held {
    fn place(self) -> usize {
        let (Held::Now(lane) | Held::Before(lane)) = self;
        usize::from(lane).wrapping_sub(1)
    }
}

/// Under which name the lane of a stream is remembered: its symbol, or "" for the whole market; what is of neither (a pair, a
/// series) has a name of its own.
pub fn home(venue: &dyn Venue, stream: &StreamSpec) -> String {
    if let Some(symbol) = &stream.symbol {
        return symbol.clone();
    }
    if venue.is_market(&stream.channel) {
        return String::new();
    }
    // Without the channel: one of the same pair that takes its place goes on in its lane.
    let subject = stream.name.replacen(&stream.channel, "", 1);
    if subject.is_empty() { stream.name.clone() } else { subject }
}

/// The streams of a venue by lane. All connections of a symbol belong to one lane; symbols go round the lanes, beginning
/// at a different one for each venue; what several symbols have in common lives with the first of them, and all-market streams
/// in the venue's first lane. Where one of those brings what a
/// stream of a symbol brings as well, the whole venue lives there: only a lane that sees both says each event once. What
/// `held` names (see [`home`]) stays in that lane, unless all must be in another one and it is not recorded now.
///
/// # Errors
/// The venue has no such channel, or refuses a symbol; twins that are recorded in several lanes now.
pub fn spread(
    config: &VenueConfig,
    venue: &dyn Venue,
    index: usize,
    lanes: usize,
    held: &dyn Fn(&str) -> Option<Held>,
) -> Result<Vec<Vec<StreamSpec>>, PlanFault> {
    let mut per_lane: Vec<Vec<StreamSpec>> = vec![Vec::new(); lanes];
    let held = |name: &str| held(name).filter(|h| h.place() < lanes);
    let streams = config.channels.iter().filter(|c| venue.poll(c).is_none());
    let (market, single): (Vec<&String>, Vec<&String>) = streams.partition(|c| venue.is_market(c));
    for c in &single {
        // Symbols that a rule chooses may not be known yet; what the channels are called is.
        if let Err(e @ PlanError::UnknownChannel { .. }) = venue.stream(c, None) {
            return Err(e.into());
        }
    }
    let market: Vec<StreamSpec> =
        market.into_iter().map(|c| venue.stream(c, None)).collect::<Result<_, _>>()?;
    let mut streams = Vec::new();
    // Symbols of one pair or series have its stream in common: it lives with the first of them.
    let mut common: BTreeSet<String> = BTreeSet::new();
    for symbol in &config.symbols {
        for c in &single {
            let stream = match venue.stream(c, Some(symbol)) {
                Err(PlanError::NotOfChannel { .. }) => continue,
                stream => stream?,
            };
            if stream.symbol.is_none() && !common.insert(stream.name.clone()) {
                continue;
            }
            if venue.is_pair(symbol) && stream.symbol.is_some() {
                let (venue, channel, symbol) = (config.id.clone(), (*c).clone(), symbol.clone());
                return Err(PlanFault::Pair { venue, channel, symbol });
            }
            streams.push((symbol.as_str(), stream));
        }
    }
    let of_both =
        |(_, s): &(&str, StreamSpec)| market.iter().find(|m| m.kind == s.kind && m.kind.table().is_some());
    let twins = streams.iter().find_map(|s| Some((of_both(s)?, &s.1)));
    let homes: Vec<String> = streams.iter().map(|(_, s)| home(venue, s)).collect();
    let first = match twins {
        Some(_) => together(&homes, &held),
        None => held("").map(Held::place),
    };
    let first = first.unwrap_or(index % lanes);
    let is_elsewhere = |home: &String| matches!(held(home), Some(h @ Held::Now(_)) if h.place() != first);
    if let Some((m, own)) = twins
        && homes.iter().any(is_elsewhere)
    {
        let venue = config.id.clone();
        return Err(PlanFault::Apart { venue, market: m.channel.clone(), own: own.channel.clone() });
    }
    let is_pinned = twins.is_some();
    let places: BTreeMap<&str, usize> = config.symbols.iter().map(String::as_str).zip(0..).collect();
    let mut new: BTreeMap<&str, usize> = BTreeMap::new();
    for ((of, s), home) in streams.into_iter().zip(&homes) {
        let n = places.get(of).copied().unwrap_or(0);
        let usual = || held(home).map_or((index + n) % lanes, Held::place);
        let lane = if is_pinned { first } else { *new.entry(home).or_insert_with(usual) };
        per_lane[lane].push(s);
    }
    per_lane[first].splice(0..0, market);
    Ok(per_lane)
}

/// Where those go that must be in one lane: to what is recorded now, the whole market's before others, or else to where most were.
fn together(homes: &[String], held: &dyn Fn(&str) -> Option<Held>) -> Option<usize> {
    let all: BTreeSet<&str> = homes.iter().map(String::as_str).chain([""]).collect();
    let all: Vec<Held> = all.into_iter().filter_map(held).collect();
    let now = all.iter().find(|h| matches!(h, Held::Now(_)));
    let count = |lane: usize| all.iter().filter(|h| h.place() == lane).count();
    let most = || all.iter().max_by_key(|h| (count(h.place()), std::cmp::Reverse(h.place())));
    now.or_else(most).map(|h| h.place())
}

/// Symbols that a channel does not take although others do: they are left out of that channel, and of no other one.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct LeftOut {
    /// The channel.
    pub channel: String,
    /// The symbols.
    pub symbols: Vec<String>,
    /// Why the channel does not take them.
    pub why: &'static str,
}

/// What is left out, channel by channel.
///
/// # Errors
/// A symbol was named, and no channel takes it.
pub fn left_out(config: &VenueConfig, venue: &dyn Venue) -> Result<Vec<LeftOut>, PlanFault> {
    let mut out: Vec<LeftOut> = Vec::new();
    let is_single = |c: &&String| venue.poll(c).is_none() && !venue.is_market(c);
    let single: Vec<&String> = config.channels.iter().filter(is_single).collect();
    for symbol in &config.symbols {
        let mut refusals = Vec::new();
        for channel in &single {
            if let Err(e @ PlanError::NotOfChannel { why, .. }) = venue.stream(channel, Some(symbol)) {
                refusals.push((*channel, why, e));
            }
        }
        // What a rule has chosen is nobody's mistake.
        if config.rule.is_none() && refusals.len() == single.len() && config.channels.len() == single.len() {
            refusals.drain(..).next().map_or(Ok(()), |(_, _, e)| Err(e))?;
        }
        if venue.pair_of_place(symbol).is_some() {
            // It is for the channels that take it, and nobody misses it in another one.
            continue;
        }
        for (channel, why, _) in refusals {
            match out.iter_mut().find(|l| l.channel == *channel && l.why == why) {
                Some(l) => l.symbols.push(symbol.clone()),
                None => out.push(LeftOut { channel: channel.clone(), symbols: vec![symbol.clone()], why }),
            }
        }
    }
    Ok(out)
}

/// The fault with the line that it is about.
pub(super) fn located(config: &VenueConfig, fault: PlanFault) -> PlanFault {
    let p = &config.places;
    let line = match &fault {
        PlanFault::At { .. } => return fault,
        PlanFault::Venue(PlanError::UnknownChannel { channel, .. }) => p.channel(channel),
        PlanFault::Venue(PlanError::TwoChains { b, .. }) => p.channel(b),
        PlanFault::Venue(PlanError::BadSymbol { .. } | PlanError::NotOfChannel { .. })
        | PlanFault::NotListed { .. }
        | PlanFault::NoVolumes { .. }
        | PlanFault::Pair { .. }
        | PlanFault::SameStream { .. } => p.symbols,
        PlanFault::UnknownPoll { .. } if p.polls != 0 => p.polls,
        PlanFault::Tuning { key, .. } => p.key(key),
        PlanFault::Rotation { .. } => p.key("rotate_after"),
        _ => p.id,
    };
    PlanFault::At { place: p.at(line), fault: Box::new(fault) }
}

fn place(config: &VenueConfig, index: usize, lanes: &mut [LanePlan]) -> Result<VenuePlan, PlanFault> {
    let (ix, venue) = find(&config.id)?;
    check_venue(config, venue)?;
    let tuning = config.tuning.clone();
    let weight_per_minute = tuning.weight_per_minute.unwrap_or(venue.spec().weight_per_minute);
    let hosts = Hosts { rest: config.rest.clone(), ws: config.ws.clone(), tuning };
    let per_lane = spread(config, venue, index, lanes.len(), &|_| None)?;
    for (lane, streams) in lanes.iter_mut().zip(&per_lane) {
        let conns = venue.plan(streams, &hosts)?;
        for leg in 0..config.legs {
            lane.conns.extend(conns.iter().map(|c| (index, leg, c.clone())));
        }
    }
    let conns = lanes.iter().flat_map(|l| &l.conns).filter(|(v, _, _)| *v == index).count();
    let rotate_after_ns = rotation(config, venue.spec(), conns)?;
    let twins = twins(&per_lane);
    let streams: Vec<StreamSpec> = per_lane.into_iter().flatten().collect();
    told_apart(&config.id, &streams)?;
    let has_book = |symbol: &&String| {
        streams
            .iter()
            .any(|s| s.kind == StreamKind::DepthDiff && s.symbol.as_deref() == Some(symbol.as_str()))
    };
    let books: Vec<String> = if streams.iter().any(|s| s.kind == StreamKind::DepthDiff) {
        config.symbols.iter().filter(has_book).cloned().collect()
    } else {
        Vec::new()
    };
    let weight_snapshots = books.iter().map(|s| venue.snapshot_request(s).weight).sum();
    let weight_allowed = (f64::from(weight_per_minute) * config.rest_weight_share) as u32;
    let polls = polls::of(config, venue)?;
    let ranked = config.rule.as_ref().map_or(0, |r| r.top_by_volume.map_or(1, |n| n as usize));
    let symbols = config.symbols.len().max(ranked);
    let weight_polls = polls::weight_per_minute(&polls, symbols);
    let share = (config.rest_weight_share * 100.0).round() as u32;
    polls::fits_pools(&config.id, &polls, symbols, share)?;
    let rest_per_s = hosts.tuning.rest_per_s.unwrap_or(venue.spec().rest_per_s);
    let weight_polls_allowed = polls::allowed(weight_allowed, rest_per_s);
    let polls_symbols_most = match config.rule {
        Some(_) => polls::symbols_most(&polls, weight_polls_allowed, share),
        None => None,
    };
    let fallbacks = config.channels.iter().filter_map(|c| Some((c.clone(), venue.fallback(c)?))).collect();
    Ok(VenuePlan {
        ix,
        venue,
        hosts,
        streams,
        books,
        weight_allowed,
        weight_snapshots,
        polls,
        weight_polls,
        weight_polls_allowed,
        weight_lists: polls::lists(config, venue),
        polls_symbols_most,
        shares_with: Vec::new(),
        weight_snapshots_shared: weight_snapshots,
        rotate_after_ns,
        fallbacks,
        twins,
        left_out: left_out(config, venue)?,
        legs: config.legs,
        conns,
        conns_shared: conns,
    })
}

/// Which channels bring what another one brings as well.
fn twins(per_lane: &[Vec<StreamSpec>]) -> Vec<Twins> {
    let all = || per_lane.iter().flatten();
    let mut out: BTreeMap<(&str, &str), Twins> = BTreeMap::new();
    for m in all().filter(|m| m.symbol.is_none()) {
        let Some(table) = m.kind.table() else { continue };
        for s in all().filter(|s| s.symbol.is_some() && s.kind == m.kind) {
            out.entry((&m.channel, &s.channel)).or_insert_with(|| Twins {
                own: s.channel.clone(),
                market: m.channel.clone(),
                table,
            });
        }
    }
    out.into_values().collect()
}

/// Stream names have no case: two spellings of a symbol would be one stream under two names.
fn told_apart(venue: &str, streams: &[StreamSpec]) -> Result<(), PlanFault> {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for (stream, symbol) in streams.iter().filter_map(|s| Some((s.name.as_str(), s.symbol.as_deref()?))) {
        let first = *seen.entry(stream).or_insert(symbol);
        if first != symbol {
            return Err(PlanFault::SameStream {
                venue: venue.to_owned(),
                first: first.to_owned(),
                second: symbol.to_owned(),
                stream: stream.to_owned(),
            });
        }
    }
    Ok(())
}

/// When connections are replaced: before the venue does it, and not so often that it refuses new ones.
fn rotation(config: &VenueConfig, spec: &VenueSpec, conns: usize) -> Result<i64, PlanFault> {
    let Some(ns) = config.rotate_after_ns else { return Ok(i64::from(spec.rotate_after_s) * NS_PER_S) };
    let fault = |why| Err(PlanFault::Rotation { venue: config.id.clone(), why });
    let limit_s = i64::from(spec.conn_age_max_s);
    if ns >= limit_s * NS_PER_S {
        return fault(format!(
            "the venue closes a connection after {limit_s} s; write less, its default is \"{}s\"",
            spec.rotate_after_s
        ));
    }
    let (opened, borne) = (conns as i64 * 300 * NS_PER_S / ns, i64::from(spec.connects_per_5min));
    if borne > 0 && opened > borne {
        return fault(format!(
            "would open {opened} connections in five minutes, the venue bears {borne}; write more"
        ));
    }
    Ok(ns)
}

/// What a venue must be told, and may not be told or asked.
fn check_venue(config: &VenueConfig, venue: &dyn Venue) -> Result<(), PlanFault> {
    if config.rule.as_ref().is_some_and(|r| r.top_by_volume.is_some()) && venue.volumes_request().is_none() {
        return Err(PlanFault::NoVolumes { venue: config.id.clone() });
    }
    if !venue.spec().hosts_known && (config.rest.is_none() || config.ws.is_none()) {
        return Err(PlanFault::HostsNeeded { venue: config.id.clone() });
    }
    super::tuning::check(config, venue)
}

fn find(id: &str) -> Result<(VenueIx, &'static dyn Venue), PlanFault> {
    let known: Vec<&'static str> = venue::all().iter().map(|v| v.spec().id).collect();
    venue::by_id(id).ok_or_else(|| PlanFault::UnknownVenue {
        id: id.to_owned(),
        nearest: nearest(id, &known).unwrap_or_default(),
        known: known.join(", "),
    })
}

/// Dataset bytes per day of a stream as busy as BTCUSDT was (USD-M, 2024-08-08, `data/recordings`): frames per second ×
/// bytes compressed in `raw` and in the stream's own table.
fn busy_bytes_per_day(kind: StreamKind) -> u64 {
    let bytes_per_s: u64 = match kind {
        // 19 diffs of 1.6 kB, raw compressed to a sixth; 68 levels each at 4.2 bytes a row.
        StreamKind::DepthDiff => 19 * (1600 / 6 + 68 * 42 / 10),
        StreamKind::DepthPartial => 10 * (1000 / 6 + 200),
        StreamKind::Trade | StreamKind::TradeSparse => 62 * (180 / 6 + 12),
        StreamKind::AggTrade => 25 * (200 / 6 + 12),
        StreamKind::BookTicker => 192 * (200 / 6 + 20),
        StreamKind::Kline => 4 * (400 / 6 + 40),
        StreamKind::Mark
        | StreamKind::MiniTicker
        | StreamKind::Ticker
        | StreamKind::OpenInterest
        | StreamKind::Funding
        | StreamKind::RawOnly => 100,
        StreamKind::Liquidation => 5,
    };
    bytes_per_s * 86_400
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::from_parts("x.toml", text, [], &[]).unwrap()
    }

    fn many(cores: &str, symbols: usize) -> Plan {
        let list: Vec<String> = (0..symbols).map(|i| format!("\"S{i}USDT\"")).collect();
        let text = format!(
            "[capture]\ncores = {cores}\n[[venue]]\nid = \"aster-futures\"\nsymbols = [{}]\n\
             channels = [\"depth@100ms\", \"aggTrade\", \"bookTicker\", \"!miniTicker@arr\"]\n",
            list.join(",")
        );
        plan(&config(&text)).unwrap()
    }

    #[test]
    fn channels_that_bring_the_same_are_named_and_one_lane_sees_both() {
        let with = |cores: &str, channels: &str| {
            config(&format!(
                "[capture]\ncores = {cores}\n[[venue]]\nid = \"binance-usdm\"\nsymbols = [\"BTCUSDT\", \"ETHUSDT\"]\n\
                 channels = [{channels}]\n"
            ))
        };
        let of = |cores: &str, channels: &str| plan(&with(cores, channels)).unwrap().venues.remove(0).twins;
        let told = |t: Vec<Twins>| t.into_iter().map(|t| (t.own, t.market, t.table)).collect::<Vec<_>>();
        assert_eq!(
            of("[1]", r#""depth@100ms", "!forceOrder@arr", "bookTicker", "miniTicker", "!ticker@arr""#),
            []
        );
        let both = r#""forceOrder", "!forceOrder@arr", "!bookTicker", "bookTicker", "aggTrade""#;
        for cores in ["[1]", "[1, 2]", "[1, 2, 3]"] {
            assert_eq!(
                told(of(cores, both)),
                [
                    ("bookTicker".to_owned(), "!bookTicker".to_owned(), "bbo"),
                    ("forceOrder".to_owned(), "!forceOrder@arr".to_owned(), "liquidations")
                ]
            );
            let lanes = plan(&with(cores, both)).unwrap().lanes;
            assert_eq!(lanes.iter().filter(|l| !l.conns.is_empty()).count(), 1, "{cores}");
        }
        let (c, v) = (with("[1, 2]", both), venue::by_id("binance-usdm").unwrap().1);
        let spread = |held: &dyn Fn(&str) -> Option<Held>| spread(&c.venues[0], v, 0, 2, held);
        let together = |s: &str| (!s.is_empty()).then_some(Held::Now(2));
        assert!(spread(&together).unwrap()[0].is_empty(), "the market's stream comes to them");
        // What is recorded now in several lanes does not move: the change is refused.
        let of = |s: &str| ["BTCUSDT", "ETHUSDT"].iter().zip(1..).find(|(x, _)| **x == s).map(|(_, l)| l);
        let e = spread(&|s| of(s).map(Held::Now)).unwrap_err().to_string();
        assert!(e.contains("!forceOrder@arr brings what forceOrder brings"), "{e}");
        // What was recorded in another lane once refuses nothing: it goes where the others are, or most of them were.
        let eth = |s: &str| of(s).map(|l| if l == 2 { Held::Now(2) } else { Held::Before(l) });
        assert!(spread(&eth).unwrap()[0].is_empty());
        assert!(spread(&|s| of(s).map(Held::Before)).unwrap()[1].is_empty());
        assert!(spread(&|s| of(s).or(s.is_empty().then_some(2)).map(Held::Before)).unwrap()[0].is_empty());
    }

    #[test]
    fn a_stream_that_several_symbols_have_in_common_is_counted_once() {
        let names = |id: &str, symbols: &[&str], channels: &str| -> Vec<String> {
            let text = format!(
                "[capture]\ncores = [1, 2]\n[[venue]]\nid = {id:?}\nsymbols = {symbols:?}\nchannels = [{channels}]\n"
            );
            let p = plan(&config(&text)).unwrap();
            let carried: usize = p.lanes.iter().flat_map(|l| &l.conns).map(|c| c.2.streams.len()).sum();
            assert_eq!(carried, p.venues[0].streams.len());
            let mut names: Vec<String> = p.venues[0].streams.iter().map(|s| s.name.clone()).collect();
            names.sort();
            names
        };
        assert_eq!(
            names("binance-usdm", &["BTCUSDT", "ETHUSDT", "XRPUSDT"], r#""trade", "tradingSession""#),
            ["btcusdt@trade", "ethusdt@trade", "tradingSession", "xrpusdt@trade"]
        );
        assert_eq!(
            names("binance-coinm", &["BTCUSD_PERP", "BTCUSD_270326"], r#""indexPrice", "aggTrade""#),
            ["btcusd@indexPrice", "btcusd_270326@aggTrade", "btcusd_perp@aggTrade"]
        );
    }

    #[test]
    fn every_stream_has_one_connection_and_every_symbol_one_lane() {
        for cores in ["[]", "[1]", "[4, 2, 7]"] {
            let p = many(cores, 500);
            assert_eq!(p.venues[0].streams.len(), 1501);
            assert_eq!(p.venues[0].books.len(), 500);
            let mut lane_of: BTreeMap<String, LaneId> = BTreeMap::new();
            let mut streams = 0;
            for l in &p.lanes {
                for (venue, _, conn) in &l.conns {
                    assert_eq!(*venue, 0);
                    assert!(conn.streams.len() <= 200);
                    streams += conn.streams.len();
                    for s in conn.streams.iter().filter_map(|s| s.symbol.clone()) {
                        assert_eq!(*lane_of.entry(s).or_insert(l.lane), l.lane);
                    }
                }
            }
            assert_eq!((streams, lane_of.len()), (1501, 500));
        }
        let p = many("[4, 2, 7]", 6);
        assert_eq!(
            p.lanes.iter().map(|l| (l.lane, l.core)).collect::<Vec<_>>(),
            [(1, Some(4)), (2, Some(2)), (3, Some(7))]
        );
        assert!(p.lanes.iter().all(|l| l.conns.iter().any(|(_, _, c)| c.streams.len() >= 6)));
        assert_eq!(many("[]", 1).lanes[0].core, None);
    }

    #[test]
    fn two_legs_are_the_same_streams_twice_on_other_connections_of_the_same_lane() {
        let with = |legs: u8| {
            let text = format!(
                "[capture]\ncores = [1, 2]\n[[venue]]\nid = \"aster-futures\"\nsymbols = [\"A\", \"B\", \"C\"]\n\
                 channels = [\"depth@100ms\", \"aggTrade\"]\nlegs = {legs}\n"
            );
            plan(&config(&text)).unwrap()
        };
        let (one, two) = (with(1), with(2));
        assert_eq!((two.venues[0].conns, two.venues[0].legs), (2 * one.venues[0].conns, 2));
        assert_eq!(two.venues[0].weight_snapshots, one.venues[0].weight_snapshots);
        assert!(two.memory.total() > one.memory.total() && !two.venues[0].is_standby());
        for (a, b) in one.lanes.iter().zip(&two.lanes) {
            let legs = |leg: u8| b.conns.iter().filter(move |c| c.1 == leg).map(|c| &c.2).collect::<Vec<_>>();
            let all: Vec<&ConnPlan> = a.conns.iter().map(|c| &c.2).collect();
            assert_eq!((legs(0), legs(1)), (all.clone(), all));
        }
        let text =
            "[[venue]]\nid = \"ascendex-spot\"\nsymbols = [\"BTC/USDT\"]\nchannels = [\"depth\"]\nlegs = 2\n";
        assert!(plan(&config(text)).unwrap().venues[0].is_standby());
    }

    #[test]
    fn cost_is_counted() {
        let p = many("[]", 500);
        let v = &p.venues[0];
        assert_eq!((v.weight_allowed, v.weight_snapshots), (1200, 10_000));
        assert_eq!(v.seconds_to_sync(), 480);
        assert!(p.memory.total() < 2 << 30, "{:?}", p.memory);
        // Rows that wait for their hash are in no builder any more: nobody else counts them.
        assert_eq!(p.memory.converter, (256 << 20) + (16 << 20));
        assert_eq!(many("[]", 3).venues[0].seconds_to_sync(), 1);
        assert!(p.disk_per_day_max > 100 * many("[]", 1).disk_per_day_max);
    }

    #[test]
    fn venues_of_one_budget_are_counted_together_and_agree_on_their_share() {
        let two = |shares: [&str; 2]| {
            let venue = |id: &str, share: &str| {
                let list: Vec<String> = (0..40).map(|i| format!("\"S{i}_PERP\"")).collect();
                format!(
                    "[[venue]]\nid = \"{id}\"\nsymbols = [{}]\nchannels = [\"depth@100ms\"]\n{share}\n",
                    list.join(",")
                )
            };
            let text = [("binance-usdm", shares[0]), ("binance-coinm", shares[1])].map(|(v, s)| venue(v, s));
            let spot = venue("binance-spot", "rest_weight_share = 0.25");
            plan(&config(&format!("{}{spot}", text.concat())))
        };
        let p = two(["", "rest_weight_share = 0.5"]).unwrap();
        let v = &p.venues[0];
        assert_eq!((v.weight_snapshots, v.weight_snapshots_shared, v.weight_allowed), (800, 1600, 1200));
        assert_eq!((v.shares_with.as_slice(), v.seconds_to_sync()), (&["binance-coinm"][..], 60));
        assert!(p.venues[2].shares_with.is_empty());
        let e = two(["", "rest_weight_share = 0.8"]).map(|_| ()).unwrap_err().to_string();
        assert!(e.contains("binance-usdm and binance-coinm") && e.contains("0.5 and 0.8"), "{e}");
    }

    #[test]
    fn a_rotation_comes_before_the_venue_s_limit_and_not_too_often() {
        let with = |after: &str| {
            let text = format!(
                "[[venue]]\nid = \"aster-futures\"\nsymbols = [\"A\"]\nchannels = [\"trade\"]\n{after}\n"
            );
            plan(&config(&text)).map(|p| p.venues[0].rotate_after_ns).map_err(|e| e.to_string())
        };
        assert_eq!(with(""), Ok(23 * 3600 * NS_PER_S));
        assert_eq!(with("rotate_after = \"90m\""), Ok(5400 * NS_PER_S));
        let e = with("rotate_after = \"24h\"").unwrap_err();
        assert!(e.starts_with("x.toml:5: aster-futures: rotate_after") && e.contains("86400 s"), "{e}");
        let text = "[[venue]]\nid = \"aster-futures\"\nchannels = [\"trade\"]\nrotate_after = \"1s\"\n";
        let many: Vec<String> = (0..250).map(|i| format!("\"S{i}\"")).collect();
        let e = plan(&config(&format!("{text}symbols = [{}]\n", many.join(",")))).map(|_| ()).unwrap_err();
        assert!(e.to_string().contains("600 connections in five minutes"), "{e}");
    }

    #[test]
    fn what_no_venue_has_is_refused_by_name() {
        let with = |id: &str, symbol: &str, channels: &str| {
            let text = format!("[[venue]]\nid = \"{id}\"\nsymbols = [\"{symbol}\"]\nchannels = {channels}\n");
            plan(&config(&text)).map(|_| ()).unwrap_err().to_string()
        };
        let e = with("aster-future", "A", "[\"trade\"]");
        let is_said = e.contains("nearest known one is \"aster-futures\"") && e.contains("binance-spot");
        assert!(is_said && e.starts_with("x.toml:2: "), "{e}");
        let e = with("aster-futures", "A", "[\n\"trade\",\n\"dept@100ms\"]");
        assert!(e.starts_with("x.toml:6: ") && e.contains("unknown channel \"dept@100ms\""), "{e}");
        assert!(with("aster-futures", "A", "[\"depth@100ms\", \"depth@500ms\"]").contains("two chains"));
        let e = with("aster-futures", "BTCUSDT\", \"btcusdt", "[\"trade\"]");
        assert!(e.contains("\"BTCUSDT\" and \"btcusdt\"") && e.contains("btcusdt@trade"), "{e}");
    }
}
