//! Streams that are subscribed to and never speak: a symbol that is dead, a channel that a venue takes and does not serve.
//!
//! Nothing is proven by that of a book or a quote, which may be quiet: where the book waits for its first change the gap
//! `initial_sync` tells so already, and coverage is that of the connection. So it is an alarm: a line of the log for each
//! channel, a gauge, a figure of the status. A stream of a fixed pace is silent then: it has a gap from its subscription on.

use std::collections::{BTreeMap, BTreeSet};

use super::silence::PACES;
use super::*;
use crate::model::StreamSpec;

/// A first frame comes within this after the subscription was confirmed (after the connection was opened, where nobody
/// confirms), or sooner where silent streams are told sooner.
const FIRST_NS: i64 = 10 * S;
/// The same where the venue confirms and has not: so many times.
const UNANSWERED: i64 = 3;

/// By venue and stream name.
type Key = (usize, String);

/// What is known of one stream without a frame.
#[derive(Clone, Copy, Debug, Default)]
struct First {
    /// Confirmations so far, and when the last one was first seen.
    confirmed: u64,
    since: i64,
    told: bool,
}

impl First {
    /// Whether it is to be told now; `answers`: the venue confirms what it takes.
    fn is_due(&mut self, confirmed: u64, opened_at: i64, answers: bool, now: i64, limit_ns: i64) -> bool {
        if confirmed != self.confirmed {
            (self.confirmed, self.since) = (confirmed, now);
        }
        let limit = if answers && confirmed == 0 { limit_ns.saturating_mul(UNANSWERED) } else { limit_ns };
        let is_over = now - self.since.max(opened_at) >= limit;
        is_over && !std::mem::replace(&mut self.told, is_over)
    }
}

/// All that have not spoken yet.
#[derive(Default)]
pub(super) struct Firsts {
    waiting: BTreeMap<Key, First>,
    last: i64,
}

/// A stream that was found to have never spoken.
struct Found {
    lane: LaneId,
    conn: ConnId,
    number: u32,
    stream: StreamSpec,
    has_pace: bool,
}

impl Control {
    /// Looks at every stream that has had no frame; once a second.
    pub(super) fn look_for_first_frames(&mut self, now: i64) {
        let stood_still = now - std::mem::replace(&mut self.firsts.last, now) > silence::FROZEN_NS;
        if stood_still {
            self.firsts.waiting.values_mut().for_each(|f| f.since = now);
        }
        let spoke = self.spoke();
        let mut alive: BTreeSet<Key> = BTreeSet::new();
        for v in 0..self.venues.len() {
            let found = self.never_spoke(v, &spoke, &mut alive, now);
            self.tell_unheard(v, &found);
            for f in found.into_iter().filter(|f| f.has_pace) {
                self.silent(v, (f.lane, f.conn, f.number), f.stream.name, 0, now);
            }
        }
        let waiting = std::mem::take(&mut self.firsts.waiting);
        for (key, first) in waiting {
            if alive.contains(&key) {
                self.firsts.waiting.insert(key, first);
            } else if first.told && spoke.get(&key).is_some_and(|s| s.0 > 0) {
                let venue = self.venues[key.0].plan.venue.spec().id;
                tracing::info!(venue, stream = key.1, "has its first frame after all");
            }
        }
        for (v, venue) in self.venues.iter().enumerate() {
            let told = self.firsts.waiting.iter().filter(|((of, _), f)| *of == v && f.told).count();
            venue.metrics.streams_unheard.set(i64::try_from(told).unwrap_or(i64::MAX));
        }
    }

    /// Frames and confirmations of each stream, of both legs together.
    fn spoke(&self) -> BTreeMap<Key, (u64, u64)> {
        let mut out: BTreeMap<Key, (u64, u64)> = BTreeMap::new();
        for m in self.parts.shared.lanes().iter().flat_map(|l| l.streams()) {
            if let Some(v) = self.venue_ix(&m.venue) {
                let (frames, confirmed) = out.entry((v, m.name.clone())).or_default();
                *frames += m.frames.get();
                *confirmed += m.confirmed.get();
            }
        }
        out
    }

    /// The streams of a venue whose time is over. `alive`: all that have not spoken and are waited for.
    fn never_spoke(
        &mut self,
        v: usize,
        spoke: &BTreeMap<Key, (u64, u64)>,
        alive: &mut BTreeSet<Key>,
        now: i64,
    ) -> Vec<Found> {
        let mut found = Vec::new();
        let state = &self.venues[v];
        let (venue, after) = (state.plan.venue, state.plan.config.silent_after_ns);
        if after == 0 {
            return found;
        }
        for slot in &state.slots {
            let Some(conn) = slot.current else { continue };
            for stream in &slot.slot.conn.streams {
                let key = (v, stream.name.clone());
                let (frames, confirmed) = spoke.get(&key).copied().unwrap_or_default();
                let pace = venue.pace_s(&stream.channel);
                let is_book = matches!(stream.kind, StreamKind::DepthDiff | StreamKind::DepthPartial);
                let is_dead = stream.symbol.as_deref().is_some_and(|s| state.recorded.is_delisted(s));
                if frames > 0 || !(is_book || pace.is_some()) || is_dead {
                    continue;
                }
                let limit = FIRST_NS.min(after).max(PACES.saturating_mul(i64::from(pace.unwrap_or(0)) * S));
                let first = self.firsts.waiting.entry(key.clone()).or_default();
                if first.is_due(confirmed, slot.opened_at, venue.spec().acknowledges, now, limit) {
                    found.push(Found {
                        lane: slot.slot.lane,
                        conn,
                        number: slot.slot.number,
                        stream: stream.clone(),
                        has_pace: pace.is_some(),
                    });
                }
                alive.insert(key);
            }
        }
        found
    }

    /// One line for each channel: where a venue serves nothing of it there are hundreds of streams.
    fn tell_unheard(&self, v: usize, found: &[Found]) {
        let mut by_channel: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for f in found {
            by_channel.entry(&f.stream.channel).or_default().push(&f.stream.name);
        }
        for (channel, names) in by_channel {
            let first = names[..names.len().min(3)].join(", ");
            tracing::warn!(
                venue = self.venues[v].plan.venue.spec().id,
                channel,
                streams = names.len(),
                first,
                "subscribed to, and never had a frame: dead symbols, or the venue does not serve the channel there"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_runs_from_the_confirmation_or_from_the_connection() {
        let mut f = First::default();
        let mut due =
            |confirmed, opened, answers, now: i64| f.is_due(confirmed, opened, answers, now * S, FIRST_NS);
        // Opened at 5 s and confirmed at 12 s.
        assert!(!due(0, 5 * S, true, 6) && !due(0, 5 * S, true, 11) && !due(1, 5 * S, true, 12));
        assert!(!due(1, 5 * S, true, 21));
        assert!(due(1, 5 * S, true, 22));
        assert!(!due(1, 5 * S, true, 23), "once");
        let mut f = First::default();
        let mut due = |opened, answers, now: i64| f.is_due(0, opened, answers, now * S, FIRST_NS);
        // Never confirmed, and a connection that was replaced meanwhile.
        assert!(!due(5 * S, true, 34) && !due(20 * S, true, 49) && due(20 * S, true, 50));
        let mut f = First::default();
        assert!(!f.is_due(0, 5 * S, false, 14 * S, FIRST_NS) && f.is_due(0, 5 * S, false, 15 * S, FIRST_NS));
    }
}
