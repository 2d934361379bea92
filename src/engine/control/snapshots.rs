//! Snapshots of books: who waits for one, when it is asked for, by REST or on the stream's own connection.

use super::{Control, S};
use crate::engine::messages::ToLane;
use crate::engine::rest::Purpose;
use crate::engine::venues::Wanted;
use crate::metrics::BookState;
use crate::model::{ConnId, LaneId, SnapshotSource, StreamKind, StreamSpec, TimerEvent};
use crate::wire::Priority;
use crate::wire::budget::Next;
use crate::wire::rest::{RestError, RestResponse};

/// A book that waits so long for the budget says so in its gap.
const LATE_NS: i64 = 2 * S;
/// A message that asks for a snapshot is answered within this, or not at all.
const ANSWER_NS: i64 = 5 * S;
/// After so many snapshots in vain, and again after as many, the stream is ended and begun anew.
const ANEW_AFTER: u32 = 3;

impl Control {
    pub(super) fn need_snapshot(&mut self, v: usize, lane: LaneId, symbol: String, attempt: u32, now: i64) {
        if !self.venues[v].lanes.contains_key(&symbol) {
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
        // The venue's answer may be a cached image: each try in vain waits longer, 250 ms to 8 s.
        let wait = if attempt == 0 { 0 } else { (250_000_000i64 << (attempt - 1).min(5)).min(8 * S) };
        let fresh = Wanted::new(lane, now + wait, attempt, now);
        let w = self.venues[v].wanted.entry(symbol).or_insert(fresh);
        if w.sent.is_some() && attempt > w.attempt {
            // The answer has come on the stream's own connection, and was of no use.
            (w.asked, w.sent) = (false, None);
        }
        w.attempt = attempt;
        if !w.asked {
            w.at = now + wait;
        }
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
        for (symbol, w) in &mut self.venues[v].wanted {
            if unanswered(w, now) {
                tracing::warn!(venue = id, symbol, attempt = w.attempt, "no answer to a snapshot's request");
            } else if !w.asked && w.at <= now {
                w.asked = true;
                w.since = now;
                let state = self.books.get(&(v, symbol.clone())).map(|b| b.state());
                let priority =
                    if state == Some(BookState::Stale) { Priority::Resync } else { Priority::Initial };
                let weight = plan_venue.snapshot_request(symbol).weight;
                self.groups[group].queue.push(priority, weight, (v, symbol.clone()));
            } else if w.asked && w.sent.is_none() && !w.told_late && now - w.since > LATE_NS {
                w.told_late = true;
                late.push((w.lane, format!("{id}:{symbol}")));
            }
        }
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
                let group = &mut self.groups[g];
                let Next::Go((v, symbol)) = group.queue.next(now, &mut group.budget) else { break };
                let audits = self.audit_begins(v, &symbol, now);
                if self.venues[v].plan.venue.spec().snapshot == SnapshotSource::InBand {
                    if !audits {
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
        self.hand_over(v, lane, path, result);
    }

    /// A connection with in-band snapshots is open.
    pub(super) fn want_in_band(&mut self, v: usize, symbol: &str, lane: LaneId, synced: bool, now: i64) {
        match self.venues[v].wanted.get_mut(symbol) {
            Some(w) => (w.asked, w.sent, w.at) = (false, None, now),
            None if !synced => {
                self.venues[v].wanted.insert(symbol.to_owned(), Wanted::new(lane, now, 0, now));
            }
            None => {}
        }
    }

    /// The open connection that carries a symbol's stream of diffs, and that stream.
    fn feed_of(&self, v: usize, symbol: &str) -> Option<(LaneId, ConnId, StreamSpec)> {
        let feeds = |s: &&StreamSpec| s.kind == StreamKind::DepthDiff && s.symbol.as_deref() == Some(symbol);
        self.venues[v].slots.iter().find_map(|s| {
            let stream = s.slot.conn.streams.iter().find(feeds)?;
            Some((s.slot.lane, s.current?, stream.clone()))
        })
    }

    /// Asks on the stream's own connection.
    fn ask_in_band(&mut self, v: usize, symbol: &str, now: i64) {
        let venue = self.venues[v].plan.venue;
        let feed = self.feed_of(v, symbol);
        let Some(w) = self.venues[v].wanted.get_mut(symbol) else { return };
        let message = feed.and_then(|(lane, conn, s)| Some((lane, conn, venue.snapshot_message(&s)?, s)));
        let Some((lane, conn, text, stream)) = message else {
            // Not connected now: the next opening asks at once.
            (w.asked, w.at) = (false, now + S);
            return;
        };
        w.sent = Some(now);
        let anew = w.attempt > 0 && w.attempt.is_multiple_of(ANEW_AFTER);
        let texts = if anew { venue.resubscribe_messages(&stream) } else { Vec::new() };
        for text in texts.into_iter().chain([text]) {
            self.order(lane, ToLane::Send { conn, text });
        }
    }
}

/// Whether a message was not answered in time; then the next one is due after 1, 2, 4 … 30 s.
fn unanswered(w: &mut Wanted, now: i64) -> bool {
    if w.sent.is_none_or(|at| now - at < ANSWER_NS) {
        return false;
    }
    w.attempt = w.attempt.saturating_add(1);
    (w.asked, w.sent) = (false, None);
    w.at = now + (S << (w.attempt - 1).min(5)).min(30 * S);
    true
}
