//! The control thread: instruments, connections, snapshots, clocks, status. Cold: it may allocate, wait and log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

use super::lane0::{Entry, Lane0};
use super::links::{Links, Slot};
use super::messages::{FromLane, OpenLink, ToLane};
use super::minutes::Minutes;
use super::plan::PlanFault;
use super::rest::{Done, Job, Pool, Purpose};
use super::venues::{SlotState, VenueState, Wanted};
use crate::config::Config;
use crate::metrics::{BookMetrics, BookState, Shared, State};
use crate::model::control::{PlanNote, to_payload};
use crate::model::{ConnEvent, ConnId, Kind, LaneId, SnapshotSource, StreamKind};
use crate::wire::reader::{ConnectRequest, Proxy};
use crate::wire::rest::{RestClient, RestConfig, RestError, RestLimits, RestResponse};
use crate::wire::url::Target;
use crate::wire::{BudgetConfig, Grant, Priority, TlsSetup, WaitQueue, WeightBudget, clock};

pub(super) const S: i64 = 1_000_000_000;
/// How often the instrument lists are asked for.
const LIST_EVERY_NS: i64 = 600 * S;
/// A quiet book's snapshot is asked for although no diff has come (`protocols/aster-futures.md` 5.3 step 1).
const QUIET_NS: i64 = 2 * S;
/// A channel that brought nothing for so long is served by nobody.
const PROBE_NS: i64 = 10 * S;

/// A lane as control reaches it.
pub struct LaneHandle {
    /// Its number.
    pub lane: LaneId,
    /// Its orders.
    pub orders: Sender<ToLane>,
    /// Wakes it.
    pub waker: Arc<mio::Waker>,
}

impl LaneHandle {
    pub(super) fn order(&self, o: ToLane) {
        // A lane that is gone has said why; its orders are void.
        if self.orders.send(o).is_ok() {
            let _ = self.waker.wake();
        }
    }
}

pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) budget: WeightBudget,
    pub(super) queue: WaitQueue<(usize, String)>,
}

/// What control is given.
pub struct ControlParts {
    /// The configuration.
    pub config: Config,
    /// How to check peers.
    pub tls: TlsSetup,
    /// `host:port` of a proxy.
    pub proxy: Option<String>,
    /// The lanes.
    pub lanes: Vec<LaneHandle>,
    /// What they report.
    pub reports: Receiver<FromLane>,
    /// Lane 000.
    pub lane0: Arc<Lane0>,
    /// Status.
    pub shared: Arc<Shared>,
    /// Once-a-minute work.
    pub minutes: Minutes,
    /// No connection id at or below this: those of earlier runs.
    pub last_conn: ConnId,
}

/// The control thread's state.
pub struct Control {
    pub(super) venues: Vec<VenueState>,
    pub(super) groups: Vec<Group>,
    pub(super) owner: BTreeMap<ConnId, usize>,
    pub(super) books: BTreeMap<(usize, String), Arc<BookMetrics>>,
    pub(super) pool: Pool,
    pub(super) parts: ControlParts,
    pub(super) last_tick: i64,
}

/// Why control ended before it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlFault {
    /// The configuration does not fit what a venue lists.
    #[error(transparent)]
    Plan(#[from] PlanFault),
    /// A REST base that cannot be one.
    #[error(transparent)]
    Rest(#[from] RestError),
    /// A lane cannot go on.
    #[error("lane {lane}: {why}")]
    Lane {
        /// Which.
        lane: LaneId,
        /// Why.
        why: String,
    },
    /// Threads cannot be started.
    #[error("control: {0}")]
    Io(#[from] std::io::Error),
}

impl Control {
    /// Prepares all; asks nobody anything yet.
    ///
    /// # Errors
    /// [`ControlFault`].
    pub fn new(parts: ControlParts) -> Result<Control, ControlFault> {
        let mut groups: Vec<Group> = Vec::new();
        let mut venues = Vec::new();
        for plan in Links::all(&parts.config)? {
            let spec = plan.venue.spec();
            let group = match groups.iter().position(|g| g.name == spec.weight_group) {
                Some(g) => g,
                None => {
                    let percent = (plan.config.rest_weight_share * 100.0).round().clamp(1.0, 100.0) as u32;
                    let config = BudgetConfig {
                        snapshot_percent: percent,
                        ..BudgetConfig::new(spec.weight_per_minute)
                    };
                    groups.push(Group {
                        name: spec.weight_group,
                        budget: WeightBudget::new(config),
                        queue: WaitQueue::default(),
                    });
                    groups.len() - 1
                }
            };
            let client = RestClient::new(RestConfig {
                base: plan.rest_base(),
                proxy: parts.proxy.as_ref().map(|p| format!("http://{p}")),
                tls: parts.tls.clone(),
                weight_header: spec.weight_header.to_owned(),
                limits: RestLimits::default(),
            })?;
            let metrics = parts.shared.add_venue(spec.id);
            venues.extend(VenueState::new(plan, client, group, metrics));
        }
        let pool = Pool::start(2)?;
        Ok(Control {
            venues,
            groups,
            owner: BTreeMap::new(),
            books: BTreeMap::new(),
            pool,
            parts,
            last_tick: 0,
        })
    }

    /// Works until `stop` is set, then stops the lanes.
    ///
    /// # Errors
    /// [`ControlFault`]: something that waiting does not mend. The lanes are stopped all the same.
    pub fn run(mut self, stop: &AtomicBool) -> Result<(), ControlFault> {
        let mut fault = None;
        while !stop.load(Ordering::Acquire) {
            if let Err(e) = self.turn() {
                fault = Some(e);
                break;
            }
        }
        self.parts.shared.set_state(State::Stopping);
        let lanes = &self.parts.lanes;
        // The unfinished minute counts too.
        self.parts.minutes.last(&self.parts.shared, &mut |lane, notes| {
            if let Some(l) = lanes.iter().find(|l| l.lane == lane) {
                l.order(ToLane::Latency(notes));
            }
        });
        self.stop_lanes();
        self.pool.stop();
        fault.map_or(Ok(()), Err)
    }

    fn turn(&mut self) -> Result<(), ControlFault> {
        let reports = self.parts.reports.clone();
        let done = self.pool.done().clone();
        crossbeam_channel::select! {
            recv(reports) -> m => if let Ok(m) = m { self.report(m)?; },
            recv(done) -> d => if let Ok(d) = d { self.done(d)?; },
            default(Duration::from_millis(20)) => {}
        }
        while let Ok(m) = reports.try_recv() {
            self.report(m)?;
        }
        while let Ok(d) = done.try_recv() {
            self.done(d)?;
        }
        let now = clock::mono_ns();
        for v in 0..self.venues.len() {
            self.list_due(v, now);
            self.connect_due(v, now);
            self.snapshots_due(v, now);
        }
        self.grant_snapshots(now);
        if now - self.last_tick >= S {
            self.last_tick = now;
            self.tick();
            self.fall_back(now)?;
        }
        Ok(())
    }

    fn lane(&self, lane: LaneId) -> Option<&LaneHandle> {
        self.parts.lanes.iter().find(|l| l.lane == lane)
    }

    pub(super) fn order(&self, lane: LaneId, o: ToLane) {
        if let Some(l) = self.lane(lane) {
            l.order(o);
        }
    }

    pub(super) fn next_conn(&mut self) -> ConnId {
        self.parts.last_conn = clock::wall_ns().max(self.parts.last_conn + 1);
        self.parts.last_conn
    }

    // Instruments.

    fn list_due(&mut self, v: usize, now: i64) {
        if self.venues[v].list_at.is_none_or(|at| at > now) {
            return;
        }
        let request = self.venues[v].plan.venue.instruments_request();
        let group = self.venues[v].group;
        match self.groups[group].budget.grant(now, request.weight, Priority::Vital) {
            Grant::Granted => {
                let sent = self.get(v, Purpose::Instruments, request.path);
                self.venues[v].list_at = if sent { None } else { Some(now + S) };
            }
            Grant::WaitUntil(at) => self.venues[v].list_at = Some(at),
        }
    }

    pub(super) fn get(&mut self, v: usize, purpose: Purpose, path: String) -> bool {
        let client = self.venues[v].client.clone();
        self.venues[v].metrics.requests.add(1);
        self.pool.ask(Job::Get { venue: v, purpose, client, path }).is_ok()
    }

    fn done(&mut self, d: Done) -> Result<(), ControlFault> {
        match d {
            Done::Got { venue, purpose, path, mono_sent, result } => {
                self.got(venue, purpose, &path, mono_sent, result)
            }
            Done::Resolved { venue, conn, result } => {
                self.resolved(venue, conn, result);
                Ok(())
            }
        }
    }

    fn got(
        &mut self,
        v: usize,
        purpose: Purpose,
        path: &str,
        mono_sent: i64,
        result: Result<RestResponse, RestError>,
    ) -> Result<(), ControlFault> {
        let now = clock::mono_ns();
        let group = self.venues[v].group;
        match &result {
            Ok(r) => self.groups[group].budget.on_response(
                now,
                mono_sent,
                r.status,
                r.used_weight,
                r.retry_after_s,
            ),
            Err(e) => {
                self.venues[v].metrics.request_failures.add(1);
                tracing::warn!(venue = self.venues[v].plan.config.id, path, error = %e, "request failed, will be tried again");
            }
        }
        match purpose {
            Purpose::Snapshot { symbol } => {
                self.snapshot(v, &symbol, path, result);
                Ok(())
            }
            Purpose::Instruments => self.instruments(v, path, now, result),
            Purpose::Time => Ok(()),
        }
    }

    fn instruments(
        &mut self,
        v: usize,
        path: &str,
        now: i64,
        result: Result<RestResponse, RestError>,
    ) -> Result<(), ControlFault> {
        let wait = self.venues[v].list_backoff.next_wait(fastrand::u64(..));
        self.venues[v].list_at = Some(now + i64::try_from(wait.as_nanos()).unwrap_or(S));
        let Ok(r) = result else { return Ok(()) };
        self.record_body(v, path, &r);
        let list = match (r.status, self.venues[v].plan.venue.parse_instruments(&r.body)) {
            (200, Ok(list)) => list,
            (status, other) => {
                let why = other.err().map_or_else(String::new, |e| e.to_string());
                tracing::warn!(
                    venue = self.venues[v].plan.config.id,
                    status,
                    why,
                    "no instrument list, will be asked for again"
                );
                return Ok(());
            }
        };
        let venue = &mut self.venues[v];
        venue.list_backoff.reset();
        venue.list_at = Some(now + LIST_EVERY_NS);
        if list.weight_per_minute > 0 {
            self.groups[venue.group].budget.set_limit(list.weight_per_minute);
        }
        if self.venues[v].slots.is_empty() {
            let names: Vec<&str> = list.instruments.iter().map(|i| i.symbol.as_str()).collect();
            let slots = self.venues[v].plan.slots(&self.parts.config, &names)?;
            self.venues[v].listed = names.iter().map(|s| (*s).to_owned()).collect();
            self.adopt(v, slots);
        }
        let mut changed: BTreeMap<LaneId, Vec<_>> = BTreeMap::new();
        let venue = &mut self.venues[v];
        for i in list.instruments {
            let Some(lane) = venue.lanes.get(&i.symbol) else { continue };
            if venue.instruments.get(&i.symbol).is_none_or(|old| !old.same_facts(&i)) {
                venue.instruments.insert(i.symbol.clone(), i.clone());
                changed.entry(*lane).or_default().push(i);
            }
        }
        for (lane, list) in changed {
            self.order(lane, ToLane::Instruments(list));
        }
        Ok(())
    }

    fn adopt(&mut self, v: usize, slots: Vec<Slot>) {
        let id = self.venues[v].plan.config.id.clone();
        for s in &slots {
            for stream in &s.conn.streams {
                let Some(symbol) = &stream.symbol else { continue };
                self.venues[v].lanes.insert(symbol.clone(), s.lane);
                if stream.kind == StreamKind::DepthDiff && !self.books.contains_key(&(v, symbol.clone())) {
                    let book = BookMetrics::new(&id, symbol);
                    if let Some(l) = self.parts.shared.lanes().iter().find(|l| l.lane == s.lane) {
                        self.books.insert((v, symbol.clone()), l.add_book(book));
                    }
                }
            }
        }
        for l in &self.parts.lanes {
            let here = slots.iter().filter(|s| s.lane == l.lane);
            let streams = here.flat_map(|s| &s.conn.streams).map(|s| s.name.clone()).collect();
            l.order(ToLane::Plan(PlanNote { venue: id.clone(), streams }));
        }
        self.venues[v].slots = slots.into_iter().filter_map(SlotState::new).collect();
        self.parts.shared.set_state(State::Running);
    }

    /// Bodies that change no lane's state are kept on lane 000.
    fn record_body(&mut self, v: usize, path: &str, r: &RestResponse) {
        let conn = match self.venues[v].rest_conns.get(&0) {
            Some(c) => *c,
            None => {
                let conn = self.next_conn();
                self.venues[v].rest_conns.insert(0, conn);
                let e = ConnEvent {
                    event: "open".to_owned(),
                    venue: self.venues[v].plan.config.id.clone(),
                    leg: 0,
                    slot: u32::MAX,
                    code: 0,
                    cause: String::new(),
                    answered: false,
                    detail: "REST".to_owned(),
                };
                let entry = Entry { conn: (conn, -1), ..Entry::new(Kind::Connection, to_payload(&e)) };
                self.parts.lane0.append(r.ts_recv, r.mono_recv, entry);
                conn
            }
        };
        let rseq = self.venues[v].rest_rseq;
        self.venues[v].rest_rseq += 1;
        let entry = Entry {
            conn: (conn, rseq),
            status: i32::from(r.status),
            url: path.to_owned(),
            ..Entry::new(Kind::Rest, r.body.clone())
        };
        self.parts.lane0.append(r.ts_recv, r.mono_recv, entry);
    }

    // Connections.

    fn connect_due(&mut self, v: usize, now: i64) {
        for s in 0..self.venues[v].slots.len() {
            let slot = &mut self.venues[v].slots[s];
            if let Some((conn, at)) = slot.retiring
                && now >= at
            {
                let lane = slot.slot.lane;
                // As good as gone.
                slot.retiring = Some((conn, i64::MAX));
                self.order(lane, ToLane::Close { conn, why: "replaced", unsubscribe: false });
            }
            let slot = &mut self.venues[v].slots[s];
            if !slot.wants(now) {
                continue;
            }
            let messages = self.venues[v].slots[s].slot.conn.subscribe.len();
            if let Err(at) = self.venues[v].subscribes(messages, now) {
                self.venues[v].slots[s].retry_at = at;
                continue;
            }
            if let Grant::WaitUntil(at) = self.venues[v].limiter.grant(now) {
                self.venues[v].slots[s].retry_at = at;
                continue;
            }
            let conn = self.next_conn();
            let target = Target::parse(&self.venues[v].slots[s].slot.conn.url);
            let to = match (&self.parts.proxy, target) {
                (Some(p), _) => p.rsplit_once(':').and_then(|(h, p)| Some((h.to_owned(), p.parse().ok()?))),
                (None, Ok(t)) => Some((t.host, t.port)),
                (None, Err(_)) => None,
            };
            let Some((host, port)) = to else {
                self.venues[v].slots[s].retry_at = i64::MAX;
                continue;
            };
            if self.pool.ask(Job::Resolve { venue: v, conn, host, port }).is_ok() {
                self.venues[v].slots[s].opening = Some((conn, now));
                self.owner.insert(conn, v);
            } else {
                self.venues[v].slots[s].retry_at = now + S;
            }
        }
    }

    fn resolved(&mut self, v: usize, conn: ConnId, result: std::io::Result<Vec<std::net::SocketAddr>>) {
        let now = clock::mono_ns();
        let venue = &mut self.venues[v];
        let spec = venue.plan.venue.spec();
        let Some(slot) = venue.slot_of(conn) else { return };
        let addrs = match result {
            Ok(a) => a,
            Err(e) => {
                tracing::warn!(venue = spec.id, error = %e, "name does not resolve, will be tried again");
                slot.closed(conn, now, fastrand::u64(..), 0);
                self.owner.remove(&conn);
                return;
            }
        };
        let (lane, number, plan) = (slot.slot.lane, slot.slot.number, slot.slot.conn.clone());
        let mut request =
            ConnectRequest::new(conn as u64, plan.url.clone(), addrs, self.parts.tls.clone(), spec);
        request.subscribe = plan.subscribe;
        request.proxy = self.parts.proxy.as_ref().map(|_| Proxy::default());
        let link = OpenLink {
            conn,
            venue: spec.id,
            leg: 0,
            slot: number,
            url: plan.url,
            streams: plan.streams,
            pong: spec.heartbeat.pong,
        };
        self.order(lane, ToLane::Open(Box::new(link), Box::new(request)));
    }

    fn report(&mut self, m: FromLane) -> Result<(), ControlFault> {
        let now = clock::mono_ns();
        match m {
            FromLane::Opened { conn } => self.opened(conn, now),
            FromLane::Closed { conn, info } => {
                let not_before = i64::from(info.retry_after_s) * S;
                self.closed(
                    conn,
                    now,
                    not_before,
                    &format!("{}: {}", info.cause.as_str(), info.detail),
                    info.by_us,
                );
            }
            FromLane::Unopened { conn, why } => self.closed(conn, now, 30 * S, &why, false),
            FromLane::NeedSnapshot { lane, venue, symbol, attempt } => {
                if let Some(v) = self.venue_ix(&venue) {
                    self.need_snapshot(v, lane, symbol, attempt, now);
                }
            }
            FromLane::Synced { venue, symbol } => {
                if let Some(v) = self.venue_ix(&venue) {
                    self.venues[v].wanted.remove(&symbol);
                    self.book_state(v, &symbol, BookState::Synced);
                }
            }
            FromLane::Replace { conn } => {
                if let Some(v) = self.owner.get(&conn).copied()
                    && let Some(s) = self.venues[v].slot_of(conn)
                    && s.current == Some(conn)
                {
                    s.rotate_at = now;
                }
            }
            FromLane::Refused { conn, code, stream } => self.refused(conn, code, &stream)?,
            FromLane::Stopped { .. } => {}
            FromLane::Failed { lane, why } => return Err(ControlFault::Lane { lane, why }),
        }
        Ok(())
    }

    fn venue_ix(&self, id: &str) -> Option<usize> {
        self.venues.iter().position(|v| v.plan.config.id == id)
    }

    fn opened(&mut self, conn: ConnId, now: i64) {
        let Some(v) = self.owner.get(&conn).copied() else { return };
        let spec = self.venues[v].plan.venue.spec();
        let rotate_after = self.venues[v].plan.rotate_after_ns;
        let Some(slot) = self.venues[v].slot_of(conn) else { return };
        slot.opened(conn, now, rotate_after);
        let (lane, streams) = (slot.slot.lane, slot.slot.conn.streams.clone());
        tracing::info!(venue = spec.id, lane, streams = streams.len(), "connected");
        for s in streams.iter().filter(|s| s.kind == StreamKind::DepthDiff) {
            let Some(symbol) = &s.symbol else { continue };
            let synced = self.books.get(&(v, symbol.clone())).is_some_and(|b| b.state() == BookState::Synced);
            if spec.snapshot == SnapshotSource::InBand {
                // What was asked for on another connection is never answered here.
                self.want_in_band(v, symbol, lane, synced, now);
            } else if !synced && !self.venues[v].wanted.contains_key(symbol) {
                self.venues[v].wanted.insert(symbol.clone(), Wanted::new(lane, now + QUIET_NS, 0, now));
            }
        }
        let n = self.venues[v].open_count() as i64;
        self.venues[v].metrics.connections.set(n);
    }

    fn closed(&mut self, conn: ConnId, now: i64, not_before: i64, why: &str, by_us: bool) {
        let Some(v) = self.owner.remove(&conn) else { return };
        let id = self.venues[v].plan.venue.spec().id;
        let Some(slot) = self.venues[v].slot_of(conn) else { return };
        slot.closed(conn, now, fastrand::u64(..), not_before);
        if !by_us {
            self.venues[v].metrics.reconnects.add(1);
            tracing::warn!(venue = id, conn, why, "connection lost, will be opened again");
        }
        let n = self.venues[v].open_count() as i64;
        self.venues[v].metrics.connections.set(n);
    }

    // Clocks.

    fn tick(&mut self) {
        let (wall, mono) = (clock::wall_ns(), clock::mono_ns());
        self.parts.lane0.tick(wall, mono);
        for v in &self.venues {
            let b = &self.groups[v.group].budget;
            v.metrics.weight_used.set(i64::try_from(b.used(mono)).unwrap_or(i64::MAX));
            v.metrics.weight_limit.set(i64::from(b.limit()));
        }
        let lanes = &self.parts.lanes;
        self.parts.minutes.tick(wall, mono, &self.parts.shared, &self.parts.lane0, &mut |lane, notes| {
            if let Some(l) = lanes.iter().find(|l| l.lane == lane) {
                l.order(ToLane::Latency(notes));
            }
        });
        self.parts.shared.tick(wall);
    }

    /// Channels that a venue acknowledges and never serves (`depth@0ms` on Aster): after a while without a single
    /// frame the venue's second choice takes their place.
    fn fall_back(&mut self, mono: i64) -> Result<(), ControlFault> {
        for v in 0..self.venues.len() {
            let venue = self.venues[v].plan.venue;
            let open = self.venues[v].slots.iter().filter(|s| s.current.is_some());
            if open.map(|s| mono - s.opened_at).min().is_none_or(|age| age < PROBE_NS) {
                continue;
            }
            let channels = self.venues[v].plan.config.channels.clone();
            let dead = channels.iter().find_map(|c| {
                let other = venue.fallback(c)?;
                let lanes = self.parts.shared.lanes();
                let streams = lanes.iter().flat_map(|l| l.streams());
                let heard: u64 = streams.filter(|s| s.channel == *c).map(|s| s.frames.get()).sum();
                (heard == 0).then(|| (c.clone(), other))
            });
            if let Some((dead, other)) = dead {
                tracing::warn!(
                    venue = venue.spec().id,
                    channel = dead,
                    instead = other,
                    "the venue serves nothing on this channel"
                );
                self.replace_channel(v, &dead, other)?;
            }
        }
        Ok(())
    }

    /// The venue refused a message of ours; where it has a second choice for the channel, that is taken.
    fn refused(&mut self, conn: ConnId, code: i64, stream: &str) -> Result<(), ControlFault> {
        let Some(v) = self.owner.get(&conn).copied() else { return Ok(()) };
        let venue = self.venues[v].plan.venue;
        tracing::warn!(venue = venue.spec().id, conn, code, stream, "the venue refused a message of ours");
        let channel = venue.parse_stream(stream).map(|s| s.channel);
        let in_use = channel.filter(|c| self.venues[v].plan.config.channels.contains(c));
        match in_use.as_deref().and_then(|c| Some((c, venue.fallback(c)?))) {
            Some((dead, other)) => {
                let (dead, other) = (dead.to_owned(), other);
                self.replace_channel(v, &dead, other)
            }
            None => Ok(()),
        }
    }

    fn replace_channel(&mut self, v: usize, dead: &str, other: &str) -> Result<(), ControlFault> {
        let index = self.venues[v].plan.index;
        let channels = &mut self.parts.config.venues[index].channels;
        channels.retain(|c| c != other);
        for c in channels.iter_mut().filter(|c| *c == dead) {
            other.clone_into(c);
        }
        self.venues[v].plan.config = self.parts.config.venues[index].clone();
        for s in 0..self.venues[v].slots.len() {
            let (lane, conn) = (self.venues[v].slots[s].slot.lane, self.venues[v].slots[s].current);
            if let Some(conn) = conn {
                self.owner.remove(&conn);
                self.order(lane, ToLane::Close { conn, why: "channel replaced", unsubscribe: true });
            }
        }
        let names = self.venues[v].listed.clone();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let slots = self.venues[v].plan.slots(&self.parts.config, &names)?;
        self.adopt(v, slots);
        Ok(())
    }

    fn stop_lanes(&mut self) {
        for l in &self.parts.lanes {
            l.order(ToLane::Stop);
        }
        let mut left: Vec<LaneId> = self.parts.lanes.iter().map(|l| l.lane).collect();
        while !left.is_empty() {
            match self.parts.reports.recv_timeout(Duration::from_secs(10)) {
                Ok(FromLane::Stopped { lane } | FromLane::Failed { lane, .. }) => left.retain(|l| *l != lane),
                Ok(_) => {}
                Err(_) => {
                    tracing::error!(lanes = ?left, "lanes did not stop in time");
                    return;
                }
            }
        }
    }
}
