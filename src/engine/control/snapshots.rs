//! Snapshots of books: who waits for one, when it is asked for, by REST or on the stream's own connection.

use super::{Control, Group, S};
use crate::engine::messages::ToLane;
use crate::engine::rest::Purpose;
use crate::engine::venues::{VenueState, Wanted};
use crate::metrics::BookState;
use crate::model::{ConnId, LaneId, SnapshotSource, StreamKind, StreamSpec, TimerEvent};
use crate::wire::Priority;
use crate::wire::budget::Next;
use crate::wire::clock;
use crate::wire::rest::{RestError, RestResponse};

/// A book that waits so long for the budget says so in its gap.
const LATE_NS: i64 = 2 * S;
/// A message that asks for a snapshot is answered within this after it was sent, or not at all.
const ANSWER_NS: i64 = 5 * S;
/// A message that waits so long for its turn on its connection was lost there.
const TURN_NS: i64 = 60 * S;
/// Requests for the snapshot of a connection that is to replace another one.
const SUCCESSOR_TRIES: u32 = 2;
/// Refusals are told no more often than this.
const REFUSAL_EVERY_NS: i64 = 60 * S;
/// After so many tries in vain a symbol is thought dead.
const DEAD_AFTER: u32 = 9;
/// A dead symbol is asked for at least so often.
const DEAD_NS: i64 = 600 * S;

impl Control {
    pub(super) fn need_snapshot(
        &mut self,
        v: usize,
        (lane, feed): (LaneId, ConnId),
        symbol: String,
        attempt: u32,
        now: i64,
    ) {
        if !self.venues[v].lanes.contains_key(&symbol) || self.has_no_book(v, &symbol) {
            // Given up a moment ago.
            return;
        }
        // A book that is lost is not audited; what comes for it all the same seeds it.
        self.audits.ends(v, &symbol);
        let was = self.books.get(&(v, symbol.clone())).map(|b| b.state());
        if was == Some(BookState::Synced) {
            self.book_state(v, &symbol, BookState::Stale);
            if let Some(b) = self.books.get(&(v, symbol.clone())) {
                b.resyncs.add(1);
            }
        } else if was == Some(BookState::Init) {
            self.book_state(v, &symbol, BookState::Buffering);
        }
        let venue = &mut self.venues[v];
        let answered = venue.wanted.get(&symbol).is_some_and(|w| w.sent.is_some() && attempt > w.attempt);
        if answered {
            *venue.in_vain.entry(symbol.clone()).or_default() += 1;
        }
        let wait = wait_ns(attempt, venue.in_vain.get(&symbol).copied().unwrap_or(0));
        let fresh = Wanted::new(lane, now + wait, attempt, now);
        let w = venue.wanted.entry(symbol).or_insert(fresh);
        if answered {
            // The answer has come on the stream's own connection, and was of no use.
            (w.asked, w.sent, w.handed) = (false, None, None);
        }
        (w.attempt, w.on, w.feed) = (attempt, None, feed);
        if !w.asked {
            w.at = now + wait;
        }
    }

    /// A book has the snapshot that it asked for.
    pub(super) fn loaded(&mut self, venue: &str, symbol: &str) {
        let Some(v) = self.venue_ix(venue) else { return };
        self.venues[v].wanted.remove(symbol);
        self.venues[v].in_vain.remove(symbol);
    }

    pub(super) fn book_state(&self, v: usize, symbol: &str, s: BookState) {
        if let Some(b) = self.books.get(&(v, symbol.to_owned())) {
            b.set_state(s);
        }
    }

    pub(super) fn snapshots_due(&mut self, v: usize, now: i64) {
        let group = self.venues[v].group;
        let mut late = Vec::new();
        let (id, plan_venue) = (self.venues[v].plan.config.id.clone(), self.venues[v].plan.venue);
        let VenueState { wanted, in_vain, .. } = &mut self.venues[v];
        for (symbol, w) in wanted {
            if unanswered(w, in_vain.entry(symbol.clone()).or_default(), now) {
                tracing::warn!(venue = id, symbol, attempt = w.attempt, "no answer to a snapshot's request");
            } else if !w.asked && w.at <= now {
                w.asked = true;
                w.since = now;
                let state = self.books.get(&(v, symbol.clone())).map(|b| b.state());
                let priority =
                    if state == Some(BookState::Stale) { Priority::Resync } else { Priority::Initial };
                let weight = plan_venue.snapshot_request(symbol).weight;
                self.groups[group].queue.push(priority, weight, (v, symbol.clone()));
            } else if w.asked && !w.is_on_its_way() && !w.told_late && now - w.since > LATE_NS {
                w.told_late = true;
                late.push((w.lane, format!("{id}:{symbol}")));
            }
        }
        // A proven book can do without: if the answer does not come, the book is begun anew when the old connection goes. As
        // long as that one waits it is asked for.
        let waiting = self.venues[v].slots.iter().filter(|s| s.retiring.is_some()).filter_map(|s| s.current);
        let waits: Vec<ConnId> = waiting.collect();
        let is_wanted = |on: ConnId, attempt: u32| attempt < SUCCESSOR_TRIES || waits.contains(&on);
        self.venues[v].wanted.retain(|_, w| w.on.is_none_or(|on| is_wanted(on, w.attempt)));
        let waiting = self.venues[v].wanted.len() as i64;
        self.venues[v].metrics.snapshots_waiting.set(waiting);
        for (lane, instrument) in late {
            let t = TimerEvent::SnapshotLate { instrument, cause: "rate_limited".to_owned() };
            self.order(lane, ToLane::Timer(t));
        }
    }

    pub(super) fn grant_snapshots(&mut self, now: i64) {
        for g in 0..self.groups.len() {
            loop {
                let in_band = self.asks_by_messages(g);
                let Group { queue, budget, messages, .. } = &mut self.groups[g];
                let budget = if in_band { messages } else { budget };
                let Next::Go((v, symbol)) = queue.next(now, budget) else { break };
                let audits = self.audit_begins(v, &symbol, now);
                if self.venues[v].plan.venue.spec().snapshot == SnapshotSource::InBand {
                    if !self.compares_in_band(v, &symbol, audits) {
                        self.ask_in_band(v, &symbol, now);
                    }
                    continue;
                }
                let key = (v, symbol.clone());
                let compares = audits || self.silence.asked.contains(&key);
                if !compares && !self.venues[v].wanted.contains_key(&symbol) {
                    // Whoever wanted it has it, or is gone.
                    continue;
                }
                self.begins_anew(v, &symbol);
                let path = self.venues[v].plan.venue.snapshot_request(&symbol).path;
                if !self.get(v, Purpose::Snapshot { symbol: symbol.clone() }, path) {
                    if let Some(w) = self.venues[v].wanted.get_mut(&symbol) {
                        w.asked = false;
                        w.at = now + S;
                    }
                    self.audits.ends(v, &symbol);
                    self.silence.asked.remove(&(v, symbol));
                }
            }
        }
    }

    pub(super) fn snapshot(
        &mut self,
        v: usize,
        symbol: &str,
        path: &str,
        result: Result<RestResponse, RestError>,
    ) {
        // Nobody waits for the snapshot of a book that is only compared.
        let audited = self.audits.ends(v, symbol);
        let compared = self.silence.asked.remove(&(v, symbol.to_owned())) || audited;
        let lane = match self.venues[v].wanted.remove(symbol) {
            Some(w) => Some(w.lane),
            None if compared => self.venues[v].lanes.get(symbol).copied(),
            None => None,
        };
        let Some(lane) = lane else { return };
        let venue = &mut self.venues[v];
        let answer = result.as_ref().ok().map(|r| {
            let said = venue.plan.venue.refusal(r.status, &r.body);
            said.map_or(r.status, |s| s.status)
        });
        *venue.in_vain.entry(symbol.to_owned()).or_default() += weight(answer);
        tell_refusal(venue, symbol, path, &result);
        if let Ok(r) = &result {
            self.sees(v, symbol, &r.body, clock::mono_ns());
        }
        self.hand_over(v, lane, path, result);
    }

    /// The instrument list says that a symbol is there, or is not.
    pub(super) fn alive(&mut self, v: usize, symbol: &str, is_alive: bool, now: i64) {
        let venue = &mut self.venues[v];
        let wait = match is_alive {
            true => {
                venue.in_vain.remove(symbol);
                0
            }
            false => {
                venue.in_vain.insert(symbol.to_owned(), DEAD_AFTER + 7);
                wait_ns(1, DEAD_AFTER + 7)
            }
        };
        if let Some(w) = venue.wanted.get_mut(symbol).filter(|w| !w.asked) {
            w.at = now + wait;
        }
    }

    /// A connection with in-band snapshots is open.
    pub(super) fn want_in_band(&mut self, v: usize, symbol: &str, lane: LaneId, synced: bool, now: i64) {
        match self.venues[v].wanted.get_mut(symbol) {
            Some(w) => (w.asked, w.sent, w.handed, w.at) = (false, None, None, now),
            None if !synced => {
                self.venues[v].wanted.insert(symbol.to_owned(), Wanted::new(lane, now, 0, now));
            }
            None => {}
        }
    }

    /// A connection is to feed a proven book in the place of another one.
    pub(super) fn succeeds(&mut self, v: usize, (lane, conn): (LaneId, ConnId), symbol: String, now: i64) {
        let wanted = Wanted { on: Some(conn), ..Wanted::new(lane, now, 0, now) };
        let w = self.venues[v].wanted.entry(symbol).or_insert_with(|| wanted.clone());
        if w.on.is_some_and(|on| on != conn) {
            *w = wanted;
        }
    }

    /// As [`Control::feed_of`]: the one that is to feed the book, if that one is open.
    fn feed_for(&self, v: usize, symbol: &str) -> Option<(LaneId, ConnId, StreamSpec)> {
        let wanted = self.venues[v].wanted.get(symbol);
        match wanted.and_then(|w| w.on) {
            Some(on) => self.feed_of(v, symbol, Some(on)),
            None => {
                let feed = wanted.map(|w| w.feed).filter(|f| *f != 0);
                feed.and_then(|f| self.feed_of(v, symbol, Some(f))).or_else(|| self.feed_of(v, symbol, None))
            }
        }
    }

    /// The open connection that carries a symbol's stream of diffs, and that stream. `on`: no other one.
    fn feed_of(&self, v: usize, symbol: &str, on: Option<ConnId>) -> Option<(LaneId, ConnId, StreamSpec)> {
        let feeds = |s: &&StreamSpec| s.kind == StreamKind::DepthDiff && s.symbol.as_deref() == Some(symbol);
        self.venues[v].slots.iter().find_map(|s| {
            let stream = s.slot.conn.streams.iter().find(feeds)?;
            let conn = s.current.filter(|c| on.is_none_or(|on| on == *c))?;
            // One that is about to be replaced may be of an earlier plan, and carry another stream.
            let carries = self.carried.get(&conn).is_none_or(|c| c.is_served(&stream.name).is_some());
            carries.then(|| (s.slot.lane, conn, stream.clone()))
        })
    }

    /// Whether the snapshots of a budget are asked for by messages.
    fn asks_by_messages(&self, g: usize) -> bool {
        let mut of_it = self.venues.iter().filter(|v| v.group == g);
        of_it.any(|v| v.plan.venue.spec().snapshot == SnapshotSource::InBand)
    }

    /// A connection has sent a text: if that asks for a snapshot, its answer is waited for from now on.
    pub(super) fn snapshot_asked(&mut self, conn: ConnId, text: &str, now: i64) {
        let Some(v) = self.owner.get(&conn).copied() else { return };
        let is_it = |w: &&mut Wanted| w.handed.as_ref().is_some_and(|(c, t, _)| *c == conn && t == text);
        if let Some(w) = self.venues[v].wanted.values_mut().find(is_it) {
            (w.sent, w.handed) = (Some(now), None);
        }
    }

    /// What waited for its turn on a connection went with it.
    pub(super) fn unasked(&mut self, v: usize, conn: ConnId, now: i64) {
        let was_there = |w: &&mut Wanted| w.handed.as_ref().is_some_and(|(c, _, _)| *c == conn);
        for w in self.venues[v].wanted.values_mut().filter(was_there) {
            (w.asked, w.handed, w.at) = (false, None, now);
        }
    }

    /// Asks on the stream's own connection.
    fn ask_in_band(&mut self, v: usize, symbol: &str, now: i64) {
        let venue = self.venues[v].plan.venue;
        let feed = self.feed_for(v, symbol);
        let Some(w) = self.venues[v].wanted.get_mut(symbol) else { return };
        let message = feed.and_then(|(lane, conn, s)| Some((lane, conn, venue.snapshot_message(&s)?, s)));
        let Some((lane, conn, text, stream)) = message else {
            // Not connected now: the next opening asks at once.
            (w.asked, w.at) = (false, now + S);
            w.attempt += u32::from(w.on.is_some());
            return;
        };
        (w.sent, w.handed) = (None, Some((conn, text.clone(), now)));
        self.firsts.asks(v, &stream.name);
        let texts = match w.is_in_vain() {
            true => venue.resubscribe_messages(&stream, &self.venues[v].plan.hosts.tuning),
            false => Vec::new(),
        };
        for text in texts.into_iter().chain([text]) {
            self.order(lane, ToLane::Send { conn, text });
        }
    }

    /// Snapshots by REST were of no use time and again: where the venue's streams begin with a whole view, that is what may seed the
    /// book.
    fn begins_anew(&mut self, v: usize, symbol: &str) {
        let is_due = self.venues[v].wanted.get(symbol).is_some_and(Wanted::is_in_vain);
        let Some((lane, conn, stream)) = self.feed_for(v, symbol).filter(|_| is_due) else { return };
        let (venue, tuning) = (self.venues[v].plan.venue, &self.venues[v].plan.hosts.tuning);
        for text in venue.resubscribe_messages(&stream, tuning) {
            self.order(lane, ToLane::Send { conn, text });
        }
    }
}

/// Says in the log that a snapshot was refused and why, once a minute and venue: hundreds of books may ask.
fn tell_refusal(venue: &mut VenueState, symbol: &str, path: &str, result: &Result<RestResponse, RestError>) {
    let now = clock::mono_ns();
    // Where no answer came, the one who asked has said so.
    if result.is_err() || venue.refusal_told != 0 && now - venue.refusal_told < REFUSAL_EVERY_NS {
        return;
    }
    let Some(r) = super::polls::refused(venue.plan.venue, result) else { return };
    venue.refusal_told = now;
    let (id, status, code, said) = (&venue.plan.config.id, r.status, r.code, r.said);
    tracing::warn!(
        venue = id,
        symbol,
        path,
        status,
        code,
        said,
        "a snapshot was refused, it will be asked for again; more of them in the next minute are in `rejects` only"
    );
}

/// How long to wait after so many snapshots in a row that did not prove the book, with as many in vain. The venue's answer
/// may be a cached image: each try waits longer, 250 ms to 8 s. A symbol that is dead is asked for ever more rarely.
fn wait_ns(attempt: u32, in_vain: u32) -> i64 {
    let usual = if attempt == 0 { 0 } else { (250_000_000i64 << (attempt - 1).min(5)).min(8 * S) };
    match in_vain.saturating_sub(DEAD_AFTER) {
        n if n == 0 || attempt == 0 => usual,
        n => ((8 * S) << n.min(7)).min(DEAD_NS),
    }
}

/// How much an answer speaks for a symbol that is dead; `None`: there was none. A venue that is in trouble, that we ask too
/// much, or that does not know who we are, says nothing of the symbol.
fn weight(status: Option<u16>) -> u32 {
    match status {
        // The request is wrong, or what it asks for is not there.
        Some(400 | 404 | 410 | 422) => 3,
        Some(200..=299) => 1,
        Some(_) | None => 0,
    }
}

/// Whether a message was not answered in time; then the next one is due after 1, 2, 4 … 30 s, and later if that goes on.
fn unanswered(w: &mut Wanted, in_vain: &mut u32, now: i64) -> bool {
    let is_lost = w.handed.as_ref().is_some_and(|(_, _, since)| now - since >= TURN_NS);
    if !is_lost && w.sent.is_none_or(|at| now - at < ANSWER_NS) {
        return false;
    }
    w.attempt = w.attempt.saturating_add(1);
    (w.asked, w.sent, w.handed) = (false, None, None);
    *in_vain = in_vain.saturating_add(1);
    w.at = now + (S << (w.attempt - 1).min(5)).min(30 * S).max(wait_ns(1, *in_vain));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_symbol_is_asked_for_ever_more_rarely() {
        // The venue says that it does not exist, time and again.
        let (mut in_vain, mut waits) = (0, Vec::new());
        for attempt in 1..14 {
            in_vain += weight(Some(400));
            waits.push(wait_ns(attempt, in_vain) / 1_000_000);
        }
        assert_eq!(waits[..3], [250, 500, 1000]);
        assert_eq!(waits[3..6], [64_000, 512_000, 600_000]);
        assert!(waits[6..].iter().all(|w| *w == 600_000), "{waits:?}");
        // Snapshots come, and never prove it.
        let waits: Vec<i64> = (1..20).map(|n| wait_ns(n, n) / S).collect();
        assert_eq!(waits[..9], [0, 0, 1, 2, 4, 8, 8, 8, 8]);
        assert_eq!(waits[9..], [16, 32, 64, 128, 256, 512, 600, 600, 600, 600]);
        // What broke anew is asked for at once.
        assert_eq!(wait_ns(0, 100), 0);
    }

    #[test]
    fn a_venue_in_trouble_says_nothing_of_the_symbol() {
        assert_eq!(weight(None), 0);
        for status in [401, 403, 407, 408, 418, 429, 439, 451, 500, 503] {
            assert_eq!(weight(Some(status)), 0, "{status}");
        }
        assert_eq!(wait_ns(100, 0), 8 * S);
    }

    #[test]
    fn a_message_that_waits_for_its_turn_on_its_connection_is_not_unanswered() {
        let mut w = Wanted { asked: true, handed: Some((7, "ask".to_owned(), 0)), ..Wanted::new(1, 0, 0, 0) };
        let mut in_vain = 0;
        assert!(w.is_on_its_way() && !unanswered(&mut w, &mut in_vain, 20 * S));
        // Sent after 20 s: five more from there.
        (w.sent, w.handed) = (Some(20 * S), None);
        assert!(!unanswered(&mut w, &mut in_vain, 25 * S - 1) && unanswered(&mut w, &mut in_vain, 25 * S));
        // The connection took it and never sent it.
        (w.asked, w.handed) = (true, Some((7, "ask".to_owned(), 30 * S)));
        assert!(!unanswered(&mut w, &mut in_vain, 90 * S - 1) && unanswered(&mut w, &mut in_vain, 90 * S));
        assert!(!w.is_on_its_way() && !w.asked && in_vain == 2);
    }

    #[test]
    fn messages_that_nobody_answers_are_sent_ever_more_rarely() {
        let mut w = Wanted::new(1, 0, 0, 0);
        let (mut in_vain, mut now, mut waits) = (0, 0, Vec::new());
        for _ in 0..18 {
            (w.asked, w.sent) = (true, Some(now));
            assert!(!unanswered(&mut w, &mut in_vain, now + ANSWER_NS - 1));
            now += ANSWER_NS;
            assert!(unanswered(&mut w, &mut in_vain, now));
            waits.push((w.at - now) / S);
            now = w.at;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30, 30, 30, 32, 64, 128, 256, 512, 600, 600, 600]);
    }
}
