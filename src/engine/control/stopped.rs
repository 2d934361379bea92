//! Streams that spoke and stopped although their connection lives; books have a watchdog of their own (`silence`).
//!
//! What accuses one is what accuses a stream that never spoke (`first`): a fixed pace of which several messages are missing, a
//! channel of which something comes within seconds on any venue that lives, or other streams of its market that have told, since
//! its last frame, several times what it ought to have told as well. Without any of these a stream may be quiet for
//! hours.
//!
//! Who is accused has a gap from its last frame on, until it speaks. On another connection it begins as covered, so the verdict is
//! said again there.

use std::collections::BTreeMap;

use super::first::{FIRST_NS, GRACE_NS, Heard, Said, Shown, is_enough};
use super::*;
use crate::model::StreamSpec;
use crate::venue::Voice;

/// Messages of a fixed pace that may be missing.
pub(super) const PACES: i64 = 5;
/// A stream that has spoken is served: it takes more to accuse it than one that never did.
const TIMES: u64 = 3;
/// The same for channels that always have something to say.
const LIVELY_NS: i64 = 6 * FIRST_NS;

/// What is known of one stream since its last frame.
#[derive(Clone, Debug)]
struct Watch {
    frames: u64,
    /// When that frame was first seen.
    since: i64,
    /// What other streams had told by then.
    before: Shown,
    /// Since when they have told enough, 0 = not yet.
    shown_at: i64,
    /// When its connection was opened or confirmed it.
    confirmed: u64,
    opened_at: i64,
    /// It was called silent.
    told: bool,
}

/// What is new of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    Fine,
    /// It is silent.
    Silent,
    /// It is still, and it began anew on another connection.
    Again,
}

impl Watch {
    fn new(said: Said, opened_at: i64, shown: &Shown, now: i64) -> Watch {
        Watch {
            frames: said.frames,
            since: now,
            before: shown.clone(),
            shown_at: 0,
            confirmed: said.confirmed,
            opened_at,
            told: false,
        }
    }

    /// `after_ns`: what the operator bears of any stream.
    fn look(
        &mut self,
        (kind, voice): (StreamKind, Voice),
        (said, opened_at): (Said, i64),
        shown: &Shown,
        (now, after_ns): (i64, i64),
    ) -> Finding {
        let is_new = self.confirmed != said.confirmed || self.opened_at < opened_at;
        if self.frames != said.frames || (is_new && !self.told) {
            *self = Watch::new(said, opened_at, shown, now);
            return Finding::Fine;
        }
        if is_new {
            (self.confirmed, self.opened_at) = (said.confirmed, opened_at);
            return Finding::Again;
        }
        if self.told {
            return Finding::Fine;
        }
        let waited = now - self.since;
        let is_silent = match voice {
            Voice::Paced(s) => waited >= after_ns.max(PACES.saturating_mul(i64::from(s) * S)),
            Voice::Lively => waited >= after_ns.max(LIVELY_NS),
            Voice::Rare => false,
            Voice::Eventful => {
                if self.shown_at == 0 && is_enough(kind, shown, &self.before, TIMES) {
                    self.shown_at = now;
                }
                self.shown_at != 0 && now - self.shown_at >= GRACE_NS && waited >= after_ns
            }
        };
        self.told = is_silent;
        if is_silent { Finding::Silent } else { Finding::Fine }
    }
}

/// All that have spoken, by venue and stream name.
#[derive(Default)]
pub(super) struct Stopped(BTreeMap<(usize, String), Watch>);

impl Stopped {
    /// What is not captured any more is not watched either.
    pub(super) fn forget(&mut self, v: usize) {
        self.0.retain(|(of, _), _| *of != v);
    }
}

impl Control {
    /// Looks at every stream that has spoken; once a second. `stood_still`: nobody knows what came meanwhile.
    pub(super) fn look_for_stopped(&mut self, heard: &Heard, stood_still: bool, now: i64) {
        if stood_still {
            self.stopped.0.clear();
        }
        for v in 0..self.venues.len() {
            if self.venues[v].plan.config.silent_after_ns == 0 {
                continue;
            }
            for s in 0..self.venues[v].slots.len() {
                let slot = &self.venues[v].slots[s];
                let Some(conn) = slot.current else { continue };
                let place = (slot.slot.lane, conn, slot.slot.number);
                let (opened_at, streams) = (slot.opened_at, slot.slot.conn.streams.clone());
                for stream in streams.into_iter().filter(|s| s.kind != StreamKind::DepthDiff) {
                    let finding = self.has_stopped(v, &stream, (heard, opened_at), now);
                    let last_recv = heard.of(&(v, stream.name.clone())).last_recv;
                    match finding {
                        Finding::Fine => {}
                        Finding::Silent => {
                            let venue = &self.venues[v].plan.config.id;
                            tracing::warn!(
                                venue,
                                stream = stream.name,
                                "silent although its connection lives"
                            );
                            self.calls_silent(v, place, stream.name, last_recv, now);
                        }
                        Finding::Again => {
                            self.order(place.0, ToLane::Silent { conn, stream: stream.name, last_recv });
                        }
                    }
                }
            }
        }
    }

    fn has_stopped(
        &mut self,
        v: usize,
        stream: &StreamSpec,
        (heard, opened_at): (&Heard, i64),
        now: i64,
    ) -> Finding {
        let key = (v, stream.name.clone());
        let said = heard.of(&key);
        if said.frames == 0
            || stream.symbol.as_deref().is_some_and(|s| self.venues[v].recorded.is_delisted(s))
        {
            // Nobody has anything to say of it. When it comes back it has all its time again.
            self.stopped.0.remove(&key);
            return Finding::Fine;
        }
        let shown = heard.market(v, stream);
        let (venue, after) = (self.venues[v].plan.venue, self.venues[v].plan.config.silent_after_ns);
        let watch = self.stopped.0.entry(key).or_insert_with(|| Watch::new(said, opened_at, shown, now));
        watch.look((stream.kind, venue.voice(&stream.channel)), (said, opened_at), shown, (now, after))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Frames, and how often a market's one candle grew.
    fn shown(counts: [u64; 5]) -> Shown {
        let [frames @ .., grown] = counts;
        Shown { frames, grown: Arc::new(BTreeMap::from([("kline_1m".to_owned(), grown)])) }
    }

    fn said(frames: u64, confirmed: u64) -> Said {
        Said { frames, confirmed, ..Said::default() }
    }

    fn watch() -> Watch {
        Watch::new(said(7, 1), S, &Shown::default(), 10 * S)
    }

    #[test]
    fn a_fixed_pace_is_borne_with_for_several_messages() {
        let paced = (StreamKind::Mark, Voice::Paced(3));
        let at = |w: &mut Watch, s: i64, after: i64| {
            w.look(paced, (said(7, 1), S), &Shown::default(), (s * S, after * S))
        };
        let mut w = watch();
        assert_eq!(at(&mut w, 10 + PACES * 3 - 1, 1), Finding::Fine);
        assert_eq!(at(&mut w, 10 + PACES * 3, 60), Finding::Fine);
        assert_eq!(at(&mut w, 10 + PACES * 3, 1), Finding::Silent);
        assert_eq!(at(&mut w, 500, 1), Finding::Fine, "told once");
    }

    #[test]
    fn trades_are_accused_by_candles_and_by_their_aggregates_and_by_no_time() {
        for (kind, enough) in [
            (StreamKind::Trade, [0, 9, 0, 0, 0]),
            (StreamKind::Trade, [0, 0, 0, 0, 60]),
            (StreamKind::TradeSparse, [0, 0, 0, 0, 60]),
            (StreamKind::BookTicker, [60, 0, 0, 0, 0]),
        ] {
            let mut w = watch();
            let mut at = |counts: [u64; 5], s: i64| {
                w.look((kind, Voice::Eventful), (said(7, 1), S), &shown(counts), (s * S, 30 * S))
            };
            let less = enough.map(|n: u64| n.saturating_sub(1));
            assert_eq!(at(less, 5000), Finding::Fine, "{kind:?}");
            assert_eq!(at(enough, 5001), Finding::Fine, "it may be on its way");
            assert_eq!(at(enough, 5001 + GRACE_NS / S), Finding::Silent, "{kind:?}");
            // Not before its time.
            let mut w = watch();
            let enough = shown(enough);
            let mut at = |s: i64| w.look((kind, Voice::Eventful), (said(7, 1), S), &enough, (s * S, 30 * S));
            assert_eq!((at(12), at(39), at(40)), (Finding::Fine, Finding::Fine, Finding::Silent));
        }
        for kind in [StreamKind::Liquidation, StreamKind::RawOnly] {
            let look =
                watch().look((kind, Voice::Eventful), (said(7, 1), S), &shown([9999; 5]), (9999 * S, S));
            assert_eq!(look, Finding::Fine);
        }
    }

    #[test]
    fn the_verdict_is_said_again_on_another_connection_until_the_stream_speaks() {
        let paced = (StreamKind::Mark, Voice::Paced(1));
        let mut w = watch();
        let mut at = |said: Said, opened: i64, s: i64| {
            w.look(paced, (said, opened * S), &Shown::default(), (s * S, S))
        };
        assert_eq!(at(said(7, 1), 1, 20), Finding::Silent);
        assert_eq!(at(said(7, 1), 21, 22), Finding::Again);
        assert_eq!(at(said(7, 1), 21, 23), Finding::Fine);
        assert_eq!(at(said(7, 2), 21, 24), Finding::Again, "it begins as covered when the venue confirms it");
        assert_eq!(at(said(8, 2), 21, 25), Finding::Fine);
        assert_eq!(at(said(8, 2), 21, 25 + PACES), Finding::Silent);
        // A connection that is opened anew before that gives it all its time again.
        let mut w = watch();
        let mut at =
            |opened: i64, s: i64| w.look(paced, (said(7, 1), opened * S), &Shown::default(), (s * S, S));
        assert_eq!((at(14, 14), at(14, 18), at(14, 19)), (Finding::Fine, Finding::Fine, Finding::Silent));
    }
}
