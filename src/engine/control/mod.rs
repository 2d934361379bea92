//! The control thread: instruments, connections, snapshots, clocks, status. Cold: it may allocate, wait and log.

mod again;
mod audits;
mod backfill;
mod bans;
mod connections;
mod first;
mod lists;
mod polls;
mod reload;
mod shedding;
mod silence;
mod snapshots;
mod stopped;

pub use polls::PollState;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

use super::addresses::Addresses;
use super::carried::Carried;
use super::homes::Homes;
use super::keys;
use super::ladder::Ladder;
use super::lane0::{Entry, Lane0};
use super::links::{Links, Slot};
use super::messages::Missed;
use super::messages::{FromLane, OpenLink, ToLane, beginning};
use super::minutes::Minutes;
use super::plan::PlanFault;
use super::rest::{Done, Job, Pool, Purpose};
use super::venues::{SlotState, VenueState, Wanted};
use crate::config::Config;
use crate::dataset::retention::Keep;
use crate::metrics::{BookMetrics, BookState, Shared, State};
use crate::model::control::{PlanNote, to_payload};
use crate::model::{ConnEvent, ConnId, Kind, LaneId, SnapshotSource, StreamKind};
use crate::wire::reader::{ConnectRequest, Proxy};
use crate::wire::rest::{RestClient, RestConfig, RestError, RestLimits, RestResponse};
use crate::wire::url::Target;
use crate::wire::{BudgetConfig, Grant, Priority, TlsSetup, WaitQueue, WeightBudget, clock};

const S: i64 = 1_000_000_000;
/// A quiet book's snapshot is asked for although no diff has come (`protocols/aster-futures.md` 5.3 step 1).
const QUIET_NS: i64 = 2 * S;
/// Threads that ask venues.
const WORKERS: usize = 3;

/// So many frames of a channel that cannot be read are told first.
const UNREAD_TOLD: u64 = 3;

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
    fn order(&self, o: ToLane) {
        // A lane that is gone has said why; its orders are void.
        if self.orders.send(o).is_ok() {
            let _ = self.waker.wake();
        }
    }
}

struct Group {
    name: &'static str,
    /// Of requests.
    budget: WeightBudget,
    /// Of messages on connections that ask for snapshots. The venue counts them apart, and what it says of requests (a firewall's
    /// page, too many of them) is not said of them: connections have a pace of their own.
    messages: WeightBudget,
    /// No more than this a minute, whatever the venue says.
    weight_most: u32,
    queue: WaitQueue<(usize, String)>,
    polls: polls::GroupPolls,
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
    /// New configurations.
    pub reloads: Receiver<Config>,
    /// What the converter keeps, for ever or for a while.
    pub keep: Arc<Mutex<Keep>>,
    /// What is given up when the disk runs full; `None` = nothing ever is.
    pub ladder: Option<Ladder>,
    /// Trades that gaps have lost, as the converter knows them.
    pub missed: Arc<Missed>,
    /// No connection id at or below this: those of earlier runs.
    pub last_conn: ConnId,
    /// In which lane instruments were recorded.
    pub homes: Homes,
}

/// The control thread's state.
pub struct Control {
    venues: Vec<VenueState>,
    groups: Vec<Group>,
    owner: BTreeMap<ConnId, usize>,
    /// What connections carry, as they were opened.
    carried: BTreeMap<ConnId, Arc<Carried>>,
    books: BTreeMap<(usize, String), Arc<BookMetrics>>,
    pool: Pool,
    parts: ControlParts,
    last_tick: i64,
    silence: silence::Watchdog,
    firsts: first::Firsts,
    again: again::Agains,
    stopped: stopped::Stopped,
    addresses: Addresses,
    audits: audits::Audits,
    /// Requests under way that must not keep snapshots from the workers.
    under_way: usize,
    /// Gaps whose trades are asked for.
    backfills: Vec<backfill::BackfillJob>,
    /// The list of them that was read last.
    missed_seen: u64,
    /// What earlier runs recorded of venues of which this one has no list yet; `None`: nobody has told yet.
    earlier: Option<lists::Earlier>,
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
    /// A key that cannot be had.
    #[error(transparent)]
    Key(#[from] keys::KeyFault),
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
        Control::with_pool(parts, Pool::start(WORKERS)?)
    }

    /// As [`Control::new`], with these workers.
    pub(super) fn with_pool(parts: ControlParts, pool: Pool) -> Result<Control, ControlFault> {
        let links = Links::all(&parts.config)?;
        let mut control = Control {
            venues: Vec::new(),
            groups: Vec::new(),
            owner: BTreeMap::new(),
            carried: BTreeMap::new(),
            books: BTreeMap::new(),
            pool,
            parts,
            last_tick: 0,
            silence: silence::Watchdog::default(),
            firsts: first::Firsts::default(),
            again: again::Agains::default(),
            stopped: stopped::Stopped::default(),
            addresses: Addresses::default(),
            audits: audits::Audits::default(),
            under_way: 0,
            backfills: Vec::new(),
            missed_seen: 0,
            earlier: None,
        };
        for link in links {
            control.add_venue(link)?;
        }
        Ok(control)
    }

    fn client(&self, plan: &Links) -> Result<RestClient, RestError> {
        RestClient::new(RestConfig {
            base: plan.rest_base(),
            proxy: self.parts.proxy.as_ref().map(|p| format!("http://{p}")),
            tls: self.parts.tls.clone(),
            weight_header: plan.venue.spec().weight_header.to_owned(),
            limits: RestLimits::default(),
        })
    }

    /// A venue of which nothing is known yet; returns its place.
    fn add_venue(&mut self, plan: Links) -> Result<usize, ControlFault> {
        let spec = plan.venue.spec();
        let weight_most = plan.hosts.tuning.weight_per_minute;
        let group = match self.groups.iter().position(|g| g.name == spec.weight_group) {
            Some(g) => {
                let group = &mut self.groups[g];
                if let Some(most) = weight_most.filter(|m| *m < group.weight_most) {
                    group.weight_most = most;
                    group.budget.set_limit(most);
                    group.messages.set_limit(most);
                }
                g
            }
            None => {
                let percent = (plan.config.rest_weight_share * 100.0).round().clamp(1.0, 100.0) as u32;
                let limit = weight_most.unwrap_or(spec.weight_per_minute);
                let config = BudgetConfig { snapshot_percent: percent, ..BudgetConfig::new(limit) };
                self.groups.push(Group {
                    name: spec.weight_group,
                    budget: WeightBudget::new(config),
                    messages: WeightBudget::new(config),
                    weight_most: weight_most.unwrap_or(u32::MAX),
                    queue: WaitQueue::default(),
                    polls: polls::GroupPolls::new(percent),
                });
                self.groups.len() - 1
            }
        };
        self.groups[group].budget.set_pace(plan.hosts.tuning.rest_per_s.unwrap_or(spec.rest_per_s));
        let address = self.addresses.of(spec, &plan.hosts);
        let client = self.client(&plan)?;
        let metrics = self.parts.shared.add_venue(spec.id);
        let key = keys::load(&plan.config, &|name| std::env::var(name).ok())?;
        if key.is_some()
            && let Err(e) = crate::sys::process::disable_core_dumps()
        {
            tracing::warn!(error = %e, "a core dump of this process would hold a key");
        }
        let earlier = self.parts.homes.of(&plan.config.id);
        let with = |s| VenueState { key, earlier, ..s };
        self.venues.extend(VenueState::new(plan, client, (group, address), metrics).map(with));
        Ok(self.venues.len() - 1)
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
        self.order_stop();
        self.await_lanes();
        self.pool.stop();
        fault.map_or(Ok(()), Err)
    }

    /// The last orders to the lanes.
    pub(super) fn order_stop(&mut self) {
        self.parts.shared.set_state(State::Stopping);
        let lanes = &self.parts.lanes;
        // The unfinished minute counts too.
        self.parts.minutes.last(&self.parts.shared, &mut |lane, notes| {
            if let Some(l) = lanes.iter().find(|l| l.lane == lane) {
                l.order(ToLane::Latency(notes));
            }
        });
        for l in lanes {
            l.order(ToLane::Stop);
        }
    }

    fn turn(&mut self) -> Result<(), ControlFault> {
        let reports = self.parts.reports.clone();
        let done = self.pool.done().clone();
        crossbeam_channel::select! {
            recv(reports) -> m => if let Ok(m) = m { self.report(m)?; },
            recv(done) -> d => if let Ok(d) = d { self.done(d)?; },
            default(Duration::from_millis(20)) => {}
        }
        self.work()
    }

    /// All that is due now; waits for nothing.
    pub(super) fn work(&mut self) -> Result<(), ControlFault> {
        let reports = self.parts.reports.clone();
        let done = self.pool.done().clone();
        while let Ok(m) = reports.try_recv() {
            self.report(m)?;
        }
        while let Ok(d) = done.try_recv() {
            self.done(d)?;
        }
        while let Ok(c) = self.parts.reloads.try_recv() {
            self.reload(c);
        }
        let now = clock::mono_ns();
        for v in 0..self.venues.len() {
            self.list_due(v, now)?;
            self.open_overflow(v, now);
            self.connect_due(v, now);
            self.snapshots_due(v, now);
        }
        self.audits_due(now);
        self.grant_snapshots(now);
        // Behind the snapshots: where the venue has a pace, whoever asks first has its next turn.
        self.polls_due(now);
        self.hear_missed(now);
        self.hear_earlier(now);
        self.backfill_due(now);
        if now - self.last_tick >= S {
            self.last_tick = now;
            self.tick();
            self.look_at_space(now)?;
            self.look_for_silence(now);
            self.look_for_first_frames(now);
            self.subscribe_again(now);
            self.fall_back(now)?;
        }
        Ok(())
    }

    fn lane(&self, lane: LaneId) -> Option<&LaneHandle> {
        self.parts.lanes.iter().find(|l| l.lane == lane)
    }

    fn order(&self, lane: LaneId, o: ToLane) {
        if let Some(l) = self.lane(lane) {
            l.order(o);
        }
    }

    fn next_conn(&mut self) -> ConnId {
        self.parts.last_conn = clock::wall_ns().max(self.parts.last_conn + 1);
        self.parts.last_conn
    }

    fn get(&mut self, v: usize, purpose: Purpose, path: String) -> bool {
        let client = Box::new(self.venues[v].client.clone());
        self.venues[v].metrics.requests.add(1);
        let headers = match &self.venues[v].key {
            Some(key) => self.venues[v].plan.venue.sign(&path, key),
            None => Vec::new(),
        };
        self.pool.ask(Job::Get { venue: v, purpose, client, path, headers }).is_ok()
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
            Ok(r) => {
                let said = self.venues[v].plan.venue.refusal(r.status, &r.body);
                let (status, wait) = said
                    .map_or((r.status, r.retry_after_s), |s| (s.status, s.retry_after_s.or(r.retry_after_s)));
                self.groups[group].budget.on_response(now, mono_sent, status, r.used_weight, wait);
            }
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
            Purpose::Volumes => {
                self.volumes(v, path, now, result);
                Ok(())
            }
            Purpose::Time => Ok(()),
            Purpose::Ban => {
                self.account(v, path, now, result);
                Ok(())
            }
            Purpose::Trades { lane, gap } => {
                self.trades(v, (lane, &gap), path, result);
                Ok(())
            }
            Purpose::Poll { lane, name, symbol } => {
                self.polled(v, (lane, &name, &symbol), path, result);
                Ok(())
            }
        }
    }

    fn report(&mut self, m: FromLane) -> Result<(), ControlFault> {
        let now = clock::mono_ns();
        match m {
            FromLane::Opened { conn } => self.opened(conn, now),
            FromLane::Closed { conn, info } => {
                self.turned_away(conn, &info, now);
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
            FromLane::NeedSnapshot { lane, venue, symbol, attempt, conn } => {
                if let Some(v) = self.venue_ix(&venue) {
                    self.need_snapshot(v, (lane, conn), symbol, attempt, now);
                }
            }
            FromLane::Synced { venue, symbol } => {
                self.loaded(&venue, &symbol);
                if let Some(v) = self.venue_ix(&venue) {
                    self.book_state(v, &symbol, BookState::Synced);
                }
            }
            FromLane::Successor { lane, conn, venue, symbol } => {
                if let Some(v) = self.venue_ix(&venue) {
                    self.succeeds(v, (lane, conn), symbol, now);
                }
            }
            FromLane::Sent { conn, text } => self.snapshot_asked(conn, &text, now),
            FromLane::Compared { venue, symbol, ahead } => {
                if let Some(v) = self.venue_ix(&venue) {
                    self.compared(v, &symbol, ahead, now);
                }
            }
            FromLane::Loaded { venue, symbol } => self.loaded(&venue, &symbol),
            FromLane::Audited(a) => {
                if let Some(v) = self.venue_ix(&a.venue) {
                    self.audited(v, &a);
                }
            }
            FromLane::Replace { conn } => {
                if let Some(v) = self.owner.get(&conn).copied()
                    && let Some(s) = self.venues[v].slot_of(conn)
                {
                    s.leaves(conn, now);
                }
            }
            FromLane::Refused { conn, code, stream, said } => self.refused(conn, code, &stream, &said)?,
            FromLane::Class { venue, stream, was, class } => {
                tracing::warn!(venue, stream, was, class, "what the ids of a stream are is told now");
            }
            FromLane::Listing { venue } => {
                if let Some(v) = self.venue_ix(venue) {
                    self.venues[v].list_soon(now);
                }
            }
            FromLane::Unread { venue, stream, frames, detail } => self.unread(venue, &stream, frames, detail),
            FromLane::Others { lane, total, by_name } => self.others(lane, total, by_name),
            FromLane::Stopped { .. } => {}
            FromLane::Failed { lane, why } => return Err(ControlFault::Lane { lane, why }),
        }
        Ok(())
    }

    /// Says of a channel that its frames cannot be read: at the third of them, and each time that there are ten times as many. One
    /// odd frame is a row of `rejects` and no more.
    fn unread(&mut self, id: &'static str, stream: &str, frames: u64, detail: &str) {
        let Some(v) = self.venue_ix(id) else { return };
        let venue = &mut self.venues[v];
        let channel = venue.plan.venue.parse_stream(stream).map_or_else(String::new, |s| s.channel);
        let (total, due) = venue.unread.entry(channel.clone()).or_insert((0, UNREAD_TOLD));
        *total += frames;
        if total < due {
            return;
        }
        *due = total.saturating_mul(10);
        let all = *total;
        tracing::error!(
            venue = id,
            channel,
            stream,
            frames = all,
            detail,
            "frames cannot be read, or not all of them: `rejects` has what is in no other table"
        );
    }

    fn others(&self, lane: LaneId, total: u64, by_name: Vec<(String, u64)>) {
        if let Some(l) = self.parts.shared.lanes().iter().find(|l| l.lane == lane) {
            l.set_others(total, by_name);
        }
    }

    fn venue_ix(&self, id: &str) -> Option<usize> {
        self.venues.iter().position(|v| v.plan.config.id == id)
    }

    fn tick(&mut self) {
        let (wall, mono) = (clock::wall_ns(), clock::mono_ns());
        self.parts.lane0.tick(wall, mono);
        self.parts.homes.tick();
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

    fn await_lanes(&mut self) {
        let mut left: Vec<LaneId> = self.parts.lanes.iter().map(|l| l.lane).collect();
        while !left.is_empty() {
            match self.parts.reports.recv_timeout(Duration::from_secs(10)) {
                Ok(FromLane::Stopped { lane } | FromLane::Failed { lane, .. }) => left.retain(|l| *l != lane),
                Ok(FromLane::Others { lane, total, by_name }) => self.others(lane, total, by_name),
                Ok(_) => {}
                Err(_) => {
                    tracing::error!(lanes = ?left, "lanes did not stop in time");
                    return;
                }
            }
        }
    }
}
