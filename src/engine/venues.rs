//! Control's view of one venue: its connections, its instruments, its snapshots to fetch.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::choose::Volume;
use super::links::{Links, Slot};
use super::plan::{self, Held};
use crate::config::VenueConfig;
use crate::instrument::Recorded;
use crate::metrics::VenueMetrics;
use crate::model::time::NS_PER_S;
use crate::model::{ConnId, ConnPlan, LaneId, StreamKind, StreamSpec, VenueSpec};
use crate::venue::InstrumentList;
use crate::wire::rest::RestClient;
use crate::wire::{Backoff, Priority};

/// Delays of a list that did not come: from a quarter of a second to half a minute, jittered. Those of connections are the
/// venue's ([`VenueSpec::retry_ms`]).
const RELIST: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));
/// Both connections of a rotation live side by side for so long, or for a quarter of the time between two rotations; and
/// then until the new one has all that the old one carries.
const OVERLAP_NS: i64 = 5_000_000_000;
/// No longer than this, or than the venue lets the old one live: what is not handed over then has a gap. Two connections in
/// the place of one count against the venue's limits.
const HAND_OVER_NS: i64 = 600_000_000_000;
/// No longer than this where the slot is to be replaced again, because its streams are others now.
const HAND_OVER_DUE_NS: i64 = 30_000_000_000;
/// What is not handed over is looked at again after this.
const LOOK_NS: i64 = 250_000_000;
/// A connection that is so old may carry its streams alone while that of the other leg is replaced.
const ALONE_NS: i64 = 250_000_000;
/// A replacement waits for the other leg at most so long.
const WAIT_FOR_TWIN_NS: i64 = 15_000_000_000;

/// A list that snapshots have kept waiting for so long goes before them, or new markets might never be seen.
pub(super) const LIST_LATE_NS: i64 = 120_000_000_000;
/// Lists that the venue's own word asks for are so far apart.
const SOON_NS: i64 = 5_000_000_000;
/// A stream that each connection refuses is given up after so many.
const MOVES_MAX: u32 = 3;
/// Refusals come one after the other; when none has come for so long, what was refused gets a connection.
const SETTLED_NS: i64 = 2_000_000_000;
/// A venue that says of each connection that it will close it is not hurried after: at once is once in so long.
const HURRY_NS: i64 = 30_000_000_000;

/// Streams that full connections have refused.
#[derive(Debug, Default)]
pub struct Overflow {
    /// Those that wait for a connection, with their lane and leg.
    waiting: Vec<((LaneId, u8), StreamSpec)>,
    /// When the last one came (monotonic ns).
    last: i64,
    /// How often each stream was refused.
    moves: BTreeMap<(u8, String), u32>,
}

impl Overflow {
    /// What moves to another connection when the one that carries `streams` refuses `name`, and what stays. What is said of
    /// one book moves together: its ids are a chain of one connection.
    pub fn parts(streams: &[StreamSpec], name: &str) -> Option<(Vec<StreamSpec>, Vec<StreamSpec>)> {
        let refused = streams.iter().find(|s| s.name == name)?;
        let of_book = |s: &StreamSpec| {
            let may_be = matches!(s.kind, StreamKind::DepthDiff | StreamKind::RawOnly);
            may_be && s.symbol.is_some() && s.symbol == refused.symbol
        };
        let moves = |s: &StreamSpec| s.name == name || (of_book(refused) && of_book(s));
        Some(streams.iter().cloned().partition(moves))
    }

    /// `name` was refused, and moves with `streams`. `false`: it was refused too often.
    pub fn push(&mut self, place: (LaneId, u8), name: &str, streams: Vec<StreamSpec>, now: i64) -> bool {
        let moves = self.moves.entry((place.1, name.to_owned())).or_default();
        *moves += 1;
        if *moves > MOVES_MAX {
            return false;
        }
        for s in streams {
            if !self.waiting.iter().any(|(at, w)| *at == place && w.name == s.name) {
                self.waiting.push((place, s));
            }
        }
        self.last = now;
        true
    }

    /// The streams of one lane and leg that are to get a connection of their own now.
    pub fn take(&mut self, now: i64) -> Option<((LaneId, u8), Vec<StreamSpec>)> {
        let (lane, _) = self.waiting.first().filter(|_| now - self.last >= SETTLED_NS)?;
        let lane = *lane;
        let (out, rest) = std::mem::take(&mut self.waiting).into_iter().partition(|(l, _)| *l == lane);
        self.waiting = rest;
        Some((lane, out.into_iter().map(|(_, s): (_, StreamSpec)| s).collect()))
    }

    /// The plan is another one: what is not in it is not wanted.
    pub fn clear(&mut self) {
        *self = Overflow::default();
    }
}

/// One connection slot.
pub struct SlotState {
    /// What it is.
    pub slot: Slot,
    /// The connection in use.
    pub current: Option<ConnId>,
    /// The connection being opened, and since when (monotonic ns).
    pub opening: Option<(ConnId, i64)>,
    /// The old connection of a rotation, and when it is to be closed.
    pub retiring: Option<(ConnId, i64)>,
    /// Until when the old one may wait for what is not handed over, and until when if another replacement is due.
    hand_over: (i64, i64),
    /// When the current one was opened.
    pub opened_at: i64,
    /// When to replace it.
    pub rotate_at: i64,
    /// Not to be tried before this.
    pub retry_at: i64,
    /// Delays.
    pub backoff: Backoff,
    /// [`VenueSpec::good_after_s`].
    good_ns: i64,
    /// [`VenueSpec::conn_age_max_s`].
    age_most_ns: i64,
    /// The connection of which the venue has said that it will close it.
    leaves: Option<ConnId>,
    /// When a connection that was closed after such a word was last followed by another one at once.
    hurried_at: i64,
    /// The address that it was last opened to.
    pub addr: Option<IpAddr>,
    /// How often it was open.
    opens: u32,
    /// It was told that its streams wait for a first connection.
    told_waiting: bool,
    /// Rises when the slot is to carry other streams, and its value for the connection being opened.
    plan: (u32, u32),
}

impl SlotState {
    /// A slot of a venue that was never connected. `None`: the venue's waits are none.
    pub fn new(slot: Slot, spec: &VenueSpec) -> Option<SlotState> {
        let ms = |n: u32| Duration::from_millis(u64::from(n));
        Some(SlotState {
            slot,
            current: None,
            opening: None,
            retiring: None,
            hand_over: (0, 0),
            opened_at: 0,
            rotate_at: i64::MAX,
            retry_at: 0,
            backoff: Backoff::new(ms(spec.retry_ms.0), ms(spec.retry_ms.1)).ok()?,
            good_ns: i64::from(spec.good_after_s) * NS_PER_S,
            age_most_ns: i64::from(spec.conn_age_max_s) * NS_PER_S,
            leaves: None,
            hurried_at: i64::MIN / 2,
            addr: None,
            opens: 0,
            told_waiting: false,
            plan: (0, 0),
        })
    }

    /// It carries other streams from now on: a connection with these replaces the one that is open.
    pub fn carry(&mut self, conn: ConnPlan, now: i64) {
        self.slot.conn = conn;
        self.plan.0 += 1;
        self.rotate_at = now;
    }

    /// What the connection that is being opened is to carry.
    pub fn opens(&mut self) -> ConnPlan {
        self.plan.1 = self.plan.0;
        self.slot.conn.clone()
    }

    /// When to replace it: each slot is early by another share, because clones on one host would all reach the age limit
    /// together. The second leg begins at half the age, so that the two of a stream are never replaced together.
    pub fn rotate_after(&mut self, rotate_after_ns: i64) {
        let early = match self.slot.leg {
            1 if self.opens < 2 => rotate_after_ns / 2,
            _ => rotate_after_ns / 20 * i64::from(self.slot.number % 7),
        };
        self.rotate_at = self.opened_at + rotate_after_ns - early;
    }

    /// The old connection of a rotation, if its time beside the new one is over and it was not told to go yet; and whether it may
    /// stay until all that it carries is handed over.
    pub fn may_go(&self, now: i64) -> Option<(ConnId, bool)> {
        let (conn, _) = self.retiring.filter(|(_, at)| now >= *at)?;
        let (most, if_due) = self.hand_over;
        let may_stay = now < if now >= self.rotate_at { most.min(if_due) } else { most };
        Some((conn, may_stay))
    }

    /// Something is not handed over yet: when that is looked at again.
    pub fn stays(&mut self, now: i64) {
        self.retiring = self.retiring.map(|(conn, _)| (conn, now + LOOK_NS));
    }

    /// Whether it is being replaced, unless its old connection has waited long for what it is to hand over.
    pub fn is_replaced(&self, now: i64) -> bool {
        self.retiring.is_some_and(|(_, at)| now < at.max(self.hand_over.1))
    }

    /// Whether its streams wait for a first connection, and nobody was told so yet. Asked once, it is told.
    pub fn waits_untold(&mut self) -> bool {
        self.opens == 0 && !std::mem::replace(&mut self.told_waiting, true)
    }

    /// All its connections.
    pub fn conns(&self) -> impl Iterator<Item = ConnId> {
        let opening = self.opening.map(|c| c.0);
        [self.current, opening, self.retiring.map(|c| c.0)].into_iter().flatten()
    }

    /// Whether another one is a connection of the other leg that carries one of its streams.
    pub fn is_twin(&self, other: &SlotState) -> bool {
        let (a, b) = (&self.slot, &other.slot);
        a.lane == b.lane
            && a.leg != b.leg
            && b.conn.streams.iter().any(|s| a.conn.streams.iter().any(|x| x.name == s.name))
    }

    /// Whether it is open and not about to be replaced.
    fn is_settled(&self, now: i64) -> bool {
        self.current.is_some()
            && self.opening.is_none()
            && self.retiring.is_none()
            && now - self.opened_at >= ALONE_NS
    }

    /// Whether a connection is to be opened now.
    pub fn wants(&self, now: i64) -> bool {
        let due = now >= self.rotate_at && self.retiring.is_none();
        self.opening.is_none() && now >= self.retry_at && (self.current.is_none() || due)
    }

    /// A connection is open.
    pub fn opened(&mut self, conn: ConnId, now: i64, rotate_after_ns: i64) {
        if self.opening.is_some_and(|(c, _)| c == conn) {
            self.opening = None;
        }
        if let Some(old) = self.current.replace(conn) {
            self.retiring = Some((old, now + OVERLAP_NS.min(rotate_after_ns / 4)));
            let age_end = self.opened_at.saturating_add(self.age_most_ns);
            self.hand_over = ((now + HAND_OVER_NS).min(age_end), now + HAND_OVER_DUE_NS);
        }
        self.opened_at = now;
        self.opens = self.opens.saturating_add(1);
        self.rotate_after(rotate_after_ns);
        if self.plan.0 != self.plan.1 {
            // While it was being opened it was to carry something else.
            self.rotate_at = now;
        }
    }

    /// The venue says that it will close a connection: the next one is opened beside it, or at once when it is gone.
    pub fn leaves(&mut self, conn: ConnId, now: i64) {
        if self.current == Some(conn) {
            (self.leaves, self.rotate_at) = (Some(conn), now);
        }
    }

    /// A connection is gone.
    pub fn closed(&mut self, conn: ConnId, now: i64, random: u64, not_before_ns: i64) {
        if self.retiring.is_some_and(|(c, _)| c == conn) {
            self.retiring = None;
            return;
        }
        let is_announced = self.leaves == Some(conn) && not_before_ns <= 0;
        let was_opening = self.opening.is_some_and(|(c, _)| c == conn);
        if was_opening {
            self.opening = None;
        } else if self.current == Some(conn) {
            self.current = None;
            if let Some((old, at)) = self.retiring
                && at != i64::MAX
            {
                // The one that was to go still lives: it carries on until there is another.
                (self.current, self.retiring) = (Some(old), None);
                self.rotate_at = now;
            }
            if now - self.opened_at >= self.good_ns {
                self.backoff.reset();
            }
        } else {
            return;
        }
        if is_announced && !was_opening && now - self.hurried_at >= HURRY_NS {
            (self.retry_at, self.hurried_at) = (now, now);
            return;
        }
        let wait = self.backoff.next_wait(random);
        self.retry_at = now + i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX / 2).max(not_before_ns);
    }
}

/// A book that waits for a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its lane.
    pub lane: LaneId,
    /// Not to be asked for before this (monotonic ns).
    pub at: i64,
    /// Snapshots in a row that did not prove it.
    pub attempt: u32,
    /// The request is in the budget's queue or on its way.
    pub asked: bool,
    /// Since when it waits.
    pub since: i64,
    /// The lane was told that it waits for the budget.
    pub told_late: bool,
    /// The message that asks for it and its connection, while it waits there for its turn to be sent; and since when.
    pub handed: Option<(ConnId, String, i64)>,
    /// When that message went out, for snapshots that come in-band.
    pub sent: Option<i64>,
    /// The book is proven: the snapshot of this connection shows whether it can go on there.
    pub on: Option<ConnId>,
    /// The connection that is to feed the book, 0 = none yet: the one to ask on while it is there.
    pub feed: ConnId,
}

/// After so many snapshots in vain, and again after as many, the stream is ended and begun anew.
const ANEW_AFTER: u32 = 3;

impl Wanted {
    /// Whether it is time for its stream to begin anew.
    pub fn is_in_vain(&self) -> bool {
        self.attempt > 0 && self.attempt.is_multiple_of(ANEW_AFTER)
    }

    /// Whether the message that asks for it is with its connection, or out.
    pub fn is_on_its_way(&self) -> bool {
        self.sent.is_some() || self.handed.is_some()
    }

    /// A book that waits since `now` and is not to be asked for before `at`.
    pub fn new(lane: LaneId, at: i64, attempt: u32, now: i64) -> Wanted {
        Wanted {
            lane,
            at,
            attempt,
            asked: false,
            since: now,
            told_late: false,
            handed: None,
            sent: None,
            feed: 0,
            on: None,
        }
    }
}

/// One venue.
pub struct VenueState {
    /// The venue as configured.
    pub plan: Links,
    /// The client of its REST base.
    pub client: RestClient,
    /// What is to be captured once the next instrument list is there; `None` = what is.
    pub next: Option<VenueConfig>,
    /// Given up: the configuration does not name it any more.
    pub gone: bool,
    /// Channels that the venue does not serve, and what is taken instead.
    pub fallen: Vec<(String, &'static str)>,
    /// Since when books' channels that have a second choice are waited for, monotonic ns.
    pub tried: BTreeMap<String, i64>,
    /// Channels that have said nothing so far, and the second choice that is asked beside each.
    pub beside: Vec<(String, &'static str)>,
    /// The capture ends if the venue does not list what it was started for.
    pub required: bool,
    /// Its slots; empty until the instrument list is there.
    pub slots: Vec<SlotState>,
    /// Number of what its address is counted by.
    pub address: usize,
    /// The user's key, where requests are signed.
    pub key: Option<crate::venue::Credentials>,
    /// What is polled, and when it is due.
    pub polls: Vec<super::control::PollState>,
    /// Streams that a full connection refused, with how often that happened, until another one takes them.
    pub overflow: Overflow,
    /// Streams that are not recorded because the disk has no room for them.
    pub shed: std::collections::BTreeSet<String>,
    /// Number of its weight group.
    pub group: usize,
    /// Instruments that were ever in use, as last recorded.
    pub recorded: Recorded,
    /// Its newest list, as long as nobody has told what earlier runs recorded.
    pub early: Option<(InstrumentList, Vec<u8>)>,
    /// The configuration of which it was told that no list came for it; `None` = none was.
    pub told_waiting: Option<VenueConfig>,
    /// Channels and symbols of which it was said that the one does not take the other.
    pub told_left_out: std::collections::BTreeSet<(String, String)>,
    /// By channel ("": no stream could be read): frames that could not be read, and at how many that is told next.
    pub unread: BTreeMap<String, (u64, u64)>,
    /// All symbols of the newest list.
    pub listed: Vec<String>,
    /// Named symbols whose streams were opened before any list has named them.
    pub unlisted: std::collections::BTreeSet<String>,
    /// Volumes by which a rule ranks markets, and when they were fetched (monotonic ns); `None` = not yet.
    pub volumes: Option<(i64, Vec<Volume>)>,
    /// Lane of each symbol in use.
    pub lanes: BTreeMap<String, LaneId>,
    /// Lane of each symbol, pair (see [`super::plan::home`]) or whole market ("") that ever was in use: it comes back to the same one.
    pub homes: BTreeMap<String, LaneId>,
    /// The same of earlier runs, whether listed now or not.
    pub earlier: BTreeMap<String, LaneId>,
    /// Books that wait.
    pub wanted: BTreeMap<String, Wanted>,
    /// Snapshots in a row that were of no use, by symbol, until a book is proven or the instrument list says that the symbol
    /// is alive.
    pub in_vain: BTreeMap<String, u32>,
    /// Monotonic ns at which a refused snapshot was last told of in the log, 0 = never.
    pub refusal_told: i64,
    /// REST connection per lane (0 = lane 000), and the next number on lane 000's.
    pub rest_conns: BTreeMap<LaneId, ConnId>,
    /// Number of the next body on lane 000.
    pub rest_rseq: i64,
    /// When to ask for the list again (monotonic ns); `None` while a request is under way.
    pub list_at: Option<i64>,
    /// Since when one that is due waits for the budget (monotonic ns).
    pub list_waits: Option<i64>,
    /// When the last one came (monotonic ns), and whether the venue has said since its request that there is a newer one.
    pub list_got: (i64, bool),
    /// Lanes that carry what is about the whole market: they are told of every instrument.
    pub market_lanes: Vec<LaneId>,
    /// Delays of list requests.
    pub list_backoff: Backoff,
    /// What is shown.
    pub metrics: Arc<VenueMetrics>,
}

impl VenueState {
    /// A venue of which nothing is known yet.
    pub fn new(
        plan: Links,
        client: RestClient,
        (group, address): (usize, usize),
        metrics: Arc<VenueMetrics>,
    ) -> Option<VenueState> {
        Some(VenueState {
            address,
            key: None,
            polls: Vec::new(),
            overflow: Overflow::default(),
            shed: std::collections::BTreeSet::new(),
            next: Some(plan.config.clone()),
            gone: false,
            fallen: Vec::new(),
            tried: BTreeMap::new(),
            beside: Vec::new(),
            required: true,
            plan,
            client,
            slots: Vec::new(),
            group,
            recorded: Recorded::default(),
            early: None,
            told_waiting: None,
            told_left_out: std::collections::BTreeSet::new(),
            unread: BTreeMap::new(),
            listed: Vec::new(),
            unlisted: std::collections::BTreeSet::new(),
            volumes: None,
            lanes: BTreeMap::new(),
            homes: BTreeMap::new(),
            earlier: BTreeMap::new(),
            wanted: BTreeMap::new(),
            in_vain: BTreeMap::new(),
            refusal_told: 0,
            rest_conns: BTreeMap::new(),
            rest_rseq: 0,
            list_at: Some(0),
            list_waits: None,
            list_got: (0, false),
            market_lanes: Vec::new(),
            list_backoff: Backoff::new(RELIST.0, RELIST.1).ok()?,
            metrics,
        })
    }

    /// Its list came, and what is configured does not fit it: nothing of it is recorded, and the next list is tried.
    pub fn is_unfit(&self) -> bool {
        !self.metrics.unfit().is_empty()
    }

    /// Nothing of it is to be recorded by any plan so far.
    pub fn carries_nothing(&self) -> bool {
        self.lanes.is_empty()
            && self.market_lanes.is_empty()
            && self.slots.is_empty()
            && self.polls.is_empty()
    }

    /// How often its instrument list is asked for, ns.
    pub fn list_every_ns(&self) -> i64 {
        let own = i64::from(self.plan.venue.instruments_every_s()) * 1_000_000_000;
        self.plan.config.list_every_ns.unwrap_or(own)
    }

    /// What a list is worth that is due. Without the first one, or the one that a reload waits for, nothing begins; later ones
    /// are behind all snapshots, but not for ever.
    pub fn list_priority(&mut self, now: i64) -> Priority {
        let since = *self.list_waits.get_or_insert(now);
        let is_first = self.listed.is_empty() || self.next.is_some();
        if is_first || now - since >= LIST_LATE_NS { Priority::Vital } else { Priority::Audit }
    }

    /// A list came: when the next one is due.
    pub fn listed_now(&mut self, now: i64) {
        let is_old = std::mem::take(&mut self.list_got.1);
        self.list_got.0 = now;
        self.list_at = Some(now + if is_old { SOON_NS } else { self.list_every_ns() });
    }

    /// The venue says that its list is another one now. It may say so of many markets at once.
    pub fn list_soon(&mut self, now: i64) {
        if self.gone {
            return;
        }
        match self.list_at {
            Some(at) => self.list_at = Some(at.min(now.max(self.list_got.0 + SOON_NS))),
            None => self.list_got.1 = true,
        }
    }

    /// In which lane this run records something or has recorded it (see [`super::plan::home`]).
    pub fn held(&self, home: &str) -> Option<Held> {
        let lane = *self.homes.get(home)?;
        let is = |s: &StreamSpec| plan::home(self.plan.venue, s) == home;
        let is_carried = || self.slots.iter().any(|s| s.slot.conn.streams.iter().any(is));
        let is_now = self.lanes.contains_key(home)
            || (home.is_empty() && !self.market_lanes.is_empty())
            || is_carried();
        Some(if is_now { Held::Now(lane) } else { Held::Before(lane) })
    }

    /// The lanes that are to know a symbol: its own, and those that carry what is about the whole market.
    pub fn lanes_of(&self, symbol: &str) -> Vec<LaneId> {
        let own = self.lanes.get(symbol).or(self.homes.get(symbol));
        let market = self.market_lanes.iter().filter(|l| Some(*l) != own);
        own.into_iter().chain(market).copied().collect()
    }

    /// A symbol came back: the connections that carry it are replaced, because a venue may have forgotten what was
    /// subscribed of it.
    pub fn renew(&mut self, symbol: &str, now: i64) {
        let carries =
            |s: &&mut SlotState| s.slot.conn.streams.iter().any(|x| x.symbol.as_deref() == Some(symbol));
        for s in self.slots.iter_mut().filter(carries).filter(|s| s.current.is_some()) {
            s.rotate_at = now;
        }
    }

    /// The slot that a connection belongs to.
    pub fn slot_of(&mut self, conn: ConnId) -> Option<&mut SlotState> {
        self.slots.iter_mut().find(|s| {
            s.current == Some(conn)
                || s.opening.is_some_and(|(c, _)| c == conn)
                || s.retiring.is_some_and(|(c, _)| c == conn)
        })
    }

    /// Whether a slot that is open may be replaced now: the one of the other leg carries on meanwhile. It waits for that
    /// only so long, because the venue does not.
    pub fn may_rotate(&self, slot: usize, now: i64) -> bool {
        let s = &self.slots[slot];
        let late = now.saturating_sub(s.rotate_at) >= WAIT_FOR_TWIN_NS;
        s.current.is_none() || late || self.slots.iter().filter(|o| s.is_twin(o)).all(|o| o.is_settled(now))
    }

    /// A connection is gone: if the one of the other leg is gone as well and will be tried at about the same time, this
    /// one is tried between its tries.
    pub fn stagger(&mut self, slot: usize, now: i64) {
        let s = &self.slots[slot];
        let wait = s.retry_at.saturating_sub(now);
        let together = |o: &&SlotState| {
            o.current.is_none() && o.opening.is_none() && (o.retry_at - s.retry_at).abs() < wait / 4
        };
        if s.current.is_none() && self.slots.iter().filter(|o| s.is_twin(o)).any(|o| together(&o)) {
            self.slots[slot].retry_at = self.slots[slot].retry_at.saturating_add(wait / 2);
        }
    }

    /// Addresses with one first that the other leg does not use, if there is one.
    pub fn other_address_first(&self, slot: usize, addrs: &mut [SocketAddr]) {
        let s = &self.slots[slot];
        let taken = |a: &SocketAddr| self.slots.iter().any(|o| s.is_twin(o) && o.addr == Some(a.ip()));
        if let Some(at) = addrs.iter().position(|a| !taken(a)) {
            addrs[..=at].rotate_right(1);
        }
    }

    /// Shows how many connections are open.
    pub fn show_open(&self) {
        let of =
            |leg: u8| self.slots.iter().filter(|s| s.slot.leg == leg && s.current.is_some()).count() as i64;
        self.metrics.connections.set(self.open_count() as i64);
        for (leg, g) in (0..).zip(&self.metrics.legs) {
            g.set(of(leg));
        }
    }

    /// Connections that are open.
    pub fn open_count(&self) -> usize {
        self.slots.iter().filter(|s| s.current.is_some()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{BudgetConfig, Grant, WeightBudget};

    const S: i64 = 1_000_000_000;

    fn state(more: &str) -> VenueState {
        let text = format!(
            "[[venue]]\nid = \"aster-prediction\"\nsymbols = [\"A\"]\nchannels = [\"trade\"]\n{more}"
        );
        let config = crate::config::Config::from_parts("x.toml", &text, [], &[]).unwrap();
        let plan = Links::all(&config).unwrap().remove(0);
        let client = RestClient::new(crate::wire::rest::RestConfig {
            base: plan.rest_base(),
            proxy: None,
            tls: crate::wire::TlsSetup::new(&[]).unwrap(),
            weight_header: String::new(),
            limits: crate::wire::rest::RestLimits::default(),
        });
        VenueState::new(plan, client.unwrap(), (0, 0), Arc::new(VenueMetrics::default())).unwrap()
    }

    /// How long the waits are of a slot whose connections live so long, each after the other.
    fn waits(venue: &str, live_ns: i64) -> Vec<i64> {
        let spec = crate::venue::by_id(venue).unwrap().1.spec();
        let conn = ConnPlan { url: String::new(), streams: Vec::new(), subscribe: Vec::new() };
        let mut s = SlotState::new(Slot { lane: 1, leg: 0, number: 0, conn }, spec).unwrap();
        let mut now = S;
        (1..7)
            .map(|n| {
                s.opened(n, now, i64::MAX / 2);
                now += live_ns;
                // The longest that jitter allows.
                s.closed(n, now, u64::MAX, 0);
                let wait = s.retry_at - now;
                now = s.retry_at;
                wait
            })
            .collect()
    }

    #[test]
    fn how_long_a_good_connection_lives_is_the_venue_s() {
        // Whoever comes again too often is turned away there: its page says to wait for 30 s of streaming.
        for (venue, live, grows) in [
            ("ascendex-spot", 10, true),
            ("ascendex-futures", 29, true),
            ("ascendex-futures", 30, false),
            ("binance-spot", 4, true),
            ("binance-spot", 10, false),
        ] {
            let all = waits(venue, live * S);
            assert_eq!(all[5] > 2 * all[0], grows, "{venue}, {live} s: {all:?}");
        }
    }

    #[test]
    fn an_old_connection_may_wait_and_not_for_ever() {
        let replaced = |venue: &str, age_s: i64| {
            let spec = crate::venue::by_id(venue).unwrap().1.spec();
            let conn = ConnPlan { url: String::new(), streams: Vec::new(), subscribe: Vec::new() };
            let mut s = SlotState::new(Slot { lane: 1, leg: 0, number: 0, conn }, spec).unwrap();
            let now = 100_000 * S;
            s.opened(1, now - age_s * S, 3600 * S);
            s.opened(2, now, 3600 * S);
            (s, now)
        };
        let (mut s, now) = replaced("ascendex-spot", 3600);
        assert_eq!(s.may_go(now + 4 * S), None, "both live side by side");
        assert_eq!(s.may_go(now + 5 * S), Some((1, true)));
        s.stays(now + 5 * S);
        assert_eq!(s.may_go(now + 5 * S), None, "it is not looked at all the time");
        assert_eq!(s.may_go(now + 599 * S), Some((1, true)));
        assert_eq!(s.may_go(now + 600 * S), Some((1, false)));
        assert!(s.is_replaced(now + 29 * S) && !s.is_replaced(now + 30 * S));
        // It is to carry something else.
        s.rotate_at = now;
        assert_eq!(s.may_go(now + 29 * S), Some((1, true)));
        assert_eq!(s.may_go(now + 30 * S), Some((1, false)));
        // The venue lets it live a minute longer.
        let (s, now) = replaced("binance-spot", 24 * 3600 - 60);
        assert_eq!((s.may_go(now + 59 * S), s.may_go(now + 60 * S)), (Some((1, true)), Some((1, false))));
    }

    #[test]
    fn a_close_that_the_venue_has_announced_is_followed_at_once_but_not_time_and_again() {
        let (_, venue) = crate::venue::by_id("ascendex-futures").unwrap();
        let stream = venue.stream("trades", Some("BTC-PERP")).unwrap();
        let conn = venue.plan(&[stream], &crate::model::Hosts::default()).unwrap().remove(0);
        let slot = Slot { lane: 1, leg: 0, number: 0, conn };
        let mut s = SlotState::new(slot, venue.spec()).unwrap();
        let now = 100_000 * S;
        s.opened(1, now - 5 * S, 3600 * S);
        s.leaves(1, now);
        s.closed(1, now + 1, u64::MAX, 0);
        assert!(s.wants(now + 1), "{}", s.retry_at - now);
        // The next one is told to go as well.
        s.opened(2, now + S, 3600 * S);
        s.leaves(2, now + 2 * S);
        s.closed(2, now + 2 * S, u64::MAX, 0);
        assert!(!s.wants(now + 2 * S), "a venue that wants nobody is not stormed");
        s.opened(3, now + 40 * S, 3600 * S);
        s.leaves(3, now + 41 * S);
        s.closed(3, now + 41 * S, u64::MAX, 7 * S);
        assert!(!s.wants(now + 47 * S), "it says how long to wait");
        s.opened(4, now + 60 * S, 3600 * S);
        s.closed(4, now + 61 * S, u64::MAX, 0);
        assert!(!s.wants(now + 61 * S), "nothing was said");
    }

    #[test]
    fn what_is_said_of_one_book_moves_together_and_once() {
        let (_, venue) = crate::venue::by_id("pumpkin-perp").unwrap();
        let of = |channel, symbol| venue.stream(channel, Some(symbol)).unwrap();
        let mut carried: Vec<StreamSpec> =
            ["depth,10", "depth.update", "trade"].into_iter().map(|c| of(c, "btc_usdt")).collect();
        carried.push(of("depth,10", "eth_usdt"));
        let names = |s: &[StreamSpec]| s.iter().map(|s| s.name.clone()).collect::<Vec<_>>();
        let mut o = Overflow::default();
        for refused in ["depth.update@btc_usdt", "depth@btc_usdt,10", "trade@btc_usdt"] {
            let (moves, stays) = Overflow::parts(&carried, refused).unwrap();
            assert_eq!(moves.len() + stays.len(), carried.len());
            assert_eq!(moves.len(), if refused.starts_with("trade") { 1 } else { 2 }, "{moves:?}");
            assert!(o.push((1, 0), refused, moves, S));
        }
        assert_eq!(Overflow::parts(&carried, "trade@eth_usdt"), None);
        let (at, streams) = o.take(100 * S).unwrap();
        assert_eq!(at, (1, 0));
        assert_eq!(names(&streams), ["depth@btc_usdt,10", "depth.update@btc_usdt", "trade@btc_usdt"]);
    }

    #[test]
    fn a_list_comes_when_it_is_due_or_when_the_venue_says_that_there_is_another_one() {
        let mut v = state("");
        // Rounds of five minutes are not missed.
        v.listed_now(1000 * S);
        assert_eq!(v.list_at, Some(1060 * S));
        v.list_soon(1001 * S);
        v.list_soon(1002 * S);
        assert_eq!(v.list_at, Some(1005 * S), "not for each of many at once");
        v.list_soon(1030 * S);
        assert_eq!(v.list_at, Some(1005 * S));
        // While a request is under way: what it brings may be older than the word.
        v.list_at = None;
        v.list_soon(1031 * S);
        v.listed_now(1032 * S);
        assert_eq!(v.list_at, Some(1037 * S));
        v.listed_now(1038 * S);
        assert_eq!(v.list_at, Some(1098 * S));
        assert_eq!(state("list_every = \"2s\"\n").list_every_ns(), 2 * S);
    }

    #[test]
    fn lists_that_come_again_leave_the_budget_to_snapshots_and_are_not_put_off_for_ever() {
        let (mut v, mut b) = (state(""), WeightBudget::new(BudgetConfig::new(1200)));
        let mut ask = |v: &mut VenueState, now: i64, weight: u32| {
            let p = v.list_priority(now);
            let granted = b.grant(now, weight, p) == Grant::Granted;
            v.list_waits = v.list_waits.filter(|_| !granted);
            (granted, b.grant(now, 20, Priority::Resync) == Grant::Granted)
        };
        // The first one takes what there is.
        assert_eq!(ask(&mut v, 0, 900), (true, false));
        (v.listed, v.next) = (vec!["A".to_owned()], None);
        // A list and volumes each 2 s: whoever loses a book as often has its snapshot all the same.
        let all: Vec<(bool, bool)> = (0..300).map(|n| ask(&mut v, (60 + 2 * n) * S, 41)).collect();
        let snapshots = all.iter().filter(|a| a.1).count();
        assert!(snapshots >= 250, "{snapshots}");
        // What snapshots leave no room for is asked for in the end.
        let listed: Vec<usize> = (0..300).filter(|n| all[*n].0).collect();
        assert!(listed.windows(2).all(|w| w[1] - w[0] <= 61) && listed.len() >= 5, "{listed:?}");
        // A reload waits for its list.
        v.next = Some(v.plan.config.clone());
        assert_eq!(v.list_priority(700 * S), Priority::Vital);
    }
}
