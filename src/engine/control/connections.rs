//! Connections: opened, replaced, opened again.

use super::*;
use crate::engine::venues::Overflow;
use crate::model::StreamSpec;

impl Control {
    pub(super) fn connect_due(&mut self, v: usize, now: i64) {
        for s in 0..self.venues[v].slots.len() {
            self.retire(v, s, now);
            let slot = &mut self.venues[v].slots[s];
            if !slot.wants(now) || !self.venues[v].may_rotate(s, now) {
                continue;
            }
            let messages = self.venues[v].slots[s].slot.conn.subscribe.len();
            let address = self.venues[v].address;
            if let Err(at) = self.addresses.opens(address, messages, now) {
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

    /// The old connection of a rotation goes when the new one has all that it carries: closed before, it would lose what
    /// nobody brings yet.
    fn retire(&mut self, v: usize, s: usize, now: i64) {
        let Some((conn, may_stay)) = self.venues[v].slots[s].may_go(now) else { return };
        let behind = self.not_handed_over(v, s, conn);
        if behind.is_some() && may_stay {
            self.venues[v].slots[s].stays(now);
            return;
        }
        if let Some(stream) = behind {
            let venue = self.venues[v].plan.config.id.clone();
            tracing::warn!(
                venue,
                conn,
                stream,
                "a connection is closed although the one that replaces it lacks a stream"
            );
        }
        let slot = &mut self.venues[v].slots[s];
        // As good as gone.
        slot.retiring = Some((conn, i64::MAX));
        let lane = slot.slot.lane;
        self.order(lane, ToLane::Close { conn, why: "replaced" });
    }

    /// The first stream that the new connection of a slot lacks while `old` carries it: it is neither confirmed nor heard there, or
    /// its book is made of what `old` brings and may not go on with another one unproven.
    fn not_handed_over(&self, v: usize, s: usize, old: ConnId) -> Option<String> {
        let (slot, spec) = (&self.venues[v].slots[s], self.venues[v].plan.venue.spec());
        let carried = |conn: ConnId| self.carried.get(&conn).filter(|_| spec.acknowledges);
        if let (Some(had), Some(new)) = (carried(old), slot.current.and_then(carried)) {
            // What the old one does not bring either is nothing to wait for.
            let waits = new.lacking().find(|s| had.is_served(&s.name) == Some(true));
            if let Some(stream) = waits {
                return Some(stream.name.clone());
            }
        }
        let streams = slot.slot.conn.streams.iter().filter(|_| !spec.sequence.ids_survive_reconnect);
        let is_fed = |s: &&StreamSpec| {
            let book = s.symbol.as_ref().and_then(|symbol| self.books.get(&(v, symbol.clone())));
            // What a lane says of its books is a moment old: only a connection that lives is believed to feed one.
            let fed = |b: &Arc<BookMetrics>| {
                let feed = b.feed.get();
                feed == old || !self.owner.contains_key(&feed)
            };
            book.is_some_and(|b| b.state() == BookState::Synced && fed(b))
        };
        streams.filter(|s| s.kind == StreamKind::DepthDiff).find(is_fed).map(|s| s.name.clone())
    }

    pub(super) fn resolved(
        &mut self,
        v: usize,
        conn: ConnId,
        result: std::io::Result<Vec<std::net::SocketAddr>>,
    ) {
        let now = clock::mono_ns();
        let venue = &mut self.venues[v];
        let spec = venue.plan.venue.spec();
        let Some(at) = venue.slots.iter().position(|s| s.conns().any(|c| c == conn)) else { return };
        let addrs = match result {
            Ok(mut a) => {
                venue.other_address_first(at, &mut a);
                venue.slots[at].addr = a.first().map(|a| a.ip());
                a
            }
            Err(e) => {
                let slot = &mut venue.slots[at];
                tracing::warn!(venue = spec.id, error = %e, "name does not resolve, will be tried again");
                slot.closed(conn, now, fastrand::u64(..), 0);
                self.owner.remove(&conn);
                self.never_opened(v, at);
                return;
            }
        };
        let tuning = venue.plan.hosts.tuning.clone();
        let pong = crate::engine::tuning::pong(venue.plan.venue, &tuning);
        let slot = &mut venue.slots[at];
        let leg = slot.slot.leg;
        let (lane, number, plan) = (slot.slot.lane, slot.slot.number, slot.opens());
        let mut request =
            ConnectRequest::new(conn as u64, plan.url.clone(), addrs, self.parts.tls.clone(), spec);
        request.subscribe = plan.subscribe;
        crate::engine::tuning::beats(&mut request, &tuning);
        request.proxy = self.parts.proxy.as_ref().map(|_| Proxy::default());
        let carried = Arc::new(Carried::new(plan.streams));
        self.carried.insert(conn, Arc::clone(&carried));
        let link = OpenLink { conn, venue: spec.id, leg, slot: number, url: plan.url, carried, pong, tuning };
        self.order(lane, ToLane::Open(Box::new(link), Box::new(request)));
    }

    /// A connection bears no more than it has: another one is to carry a stream that it refused. `false`: that was tried
    /// too often.
    pub(super) fn moves_away(&mut self, v: usize, conn: ConnId, stream: &str) -> bool {
        let venue = &mut self.venues[v];
        let (plan, hosts) = (venue.plan.venue, venue.plan.hosts.clone());
        let Some(slot) = venue.slot_of(conn) else { return false };
        let Some((mine, rest)) = Overflow::parts(&slot.slot.conn.streams, stream) else { return false };
        let place = (slot.slot.lane, slot.slot.leg);
        // Only when it is opened again does the connection carry less; what it has is not touched.
        if let Ok([less]) = plan.plan(&rest, &hosts).as_deref() {
            slot.slot.conn = less.clone();
        }
        venue.overflow.push(place, stream, mine, clock::mono_ns())
    }

    /// What was refused for want of room gets a connection when no more is being refused.
    pub(super) fn open_overflow(&mut self, v: usize, now: i64) {
        let venue = &mut self.venues[v];
        let Some(((lane, leg), streams)) = venue.overflow.take(now) else { return };
        let Ok(conns) = venue.plan.venue.plan(&streams, &venue.plan.hosts) else { return };
        let next = venue.slots.iter().map(|s| s.slot.number + 1).max().unwrap_or(0);
        for (number, conn) in (next..).zip(conns) {
            tracing::info!(
                venue = venue.plan.config.id,
                streams = conn.streams.len(),
                "a further connection takes what was refused"
            );
            let slot = Slot { lane, leg, number, conn };
            venue.slots.extend(SlotState::new(slot, venue.plan.venue.spec()));
        }
    }

    pub(super) fn opened(&mut self, conn: ConnId, now: i64) {
        let Some(v) = self.owner.get(&conn).copied() else { return };
        let spec = self.venues[v].plan.venue.spec();
        let rotate_after = self.venues[v].plan.rotate_after_ns;
        let Some(slot) = self.venues[v].slot_of(conn) else { return };
        slot.opened(conn, now, rotate_after);
        let (lane, leg, streams) = (slot.slot.lane, slot.slot.leg, slot.slot.conn.streams.clone());
        tracing::info!(venue = spec.id, lane, leg, streams = streams.len(), "connected");
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
        self.let_in(v);
        self.venues[v].show_open();
    }

    /// A connection could not be opened, and there was none before it: its streams lack from now on.
    fn never_opened(&mut self, v: usize, slot: usize) {
        let s = &mut self.venues[v].slots[slot];
        if s.waits_untold() {
            let (lane, streams) = (s.slot.lane, s.slot.conn.streams.clone());
            self.lacks(v, lane, streams);
        }
    }

    pub(super) fn closed(&mut self, conn: ConnId, now: i64, not_before: i64, why: &str, by_us: bool) {
        let Some(v) = self.owner.remove(&conn) else { return };
        let id = self.venues[v].plan.venue.spec().id;
        self.unasked(v, conn, now);
        let slots = &mut self.venues[v].slots;
        let Some(at) = slots.iter().position(|s| s.conns().any(|c| c == conn)) else { return };
        slots[at].closed(conn, now, fastrand::u64(..), not_before);
        self.venues[v].stagger(at, now);
        self.never_opened(v, at);
        if !by_us {
            self.venues[v].metrics.reconnects.add(1);
            tracing::warn!(venue = id, conn, why, "connection lost, will be opened again");
        }
        self.venues[v].show_open();
    }
}
