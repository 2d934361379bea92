//! Subscriptions that a venue has refused or not answered, where it answers each of them by its name: they are sent again, ever
//! more rarely. Such a refusal may pass (a fault of the venue's own, too many messages), and a message beyond a venue's threshold is
//! ignored without a word; the connection itself may live for weeks.

use std::collections::{BTreeMap, BTreeSet};

use super::{Control, S};
use crate::engine::carried::Carried;
use crate::engine::messages::ToLane;
use crate::model::{ConnId, LaneId, StreamSpec};

/// First and longest wait.
const WAIT_NS: (i64, i64) = (30 * S, 600 * S);
/// One stream in so much time: what the venue bears a minute is for connections that open.
const EVERY_NS: i64 = 2 * S;

/// By connection and stream.
type Key = (ConnId, String);

/// What waits to be sent again.
#[derive(Default)]
pub(super) struct Agains {
    /// When (monotonic ns), and how often it was.
    waits: BTreeMap<Key, (i64, u32)>,
    sent_at: i64,
}

impl Agains {
    /// Takes those that lack something now; returns the one that is due.
    fn due<'k>(&mut self, lacking: impl Iterator<Item = &'k Key>, now: i64) -> Option<Key> {
        let mut waits = BTreeMap::new();
        for key in lacking {
            let known = self.waits.get(key).copied();
            waits.insert(key.clone(), known.unwrap_or((now + WAIT_NS.0, 0)));
        }
        self.waits = waits;
        if now - self.sent_at < EVERY_NS {
            return None;
        }
        let (key, w) = self.waits.iter_mut().filter(|(_, w)| w.0 <= now).min_by_key(|(_, w)| w.0)?;
        w.1 += 1;
        w.0 = now + (WAIT_NS.0 << w.1.min(8)).min(WAIT_NS.1);
        self.sent_at = now;
        Some(key.clone())
    }
}

impl Control {
    /// Once a second.
    pub(super) fn subscribe_again(&mut self, now: i64) {
        self.carried.retain(|conn, _| self.owner.contains_key(conn));
        let mut lacking: BTreeMap<Key, (usize, LaneId, StreamSpec)> = BTreeMap::new();
        for v in 0..self.venues.len() {
            let spec = self.venues[v].plan.venue.spec();
            if spec.acknowledges && spec.topics_per_message == 0 {
                for s in 0..self.venues[v].slots.len() {
                    self.lacking(v, s, &mut lacking);
                }
            }
        }
        let Some(key) = self.again.due(lacking.keys(), now) else { return };
        let Some((v, lane, stream)) = lacking.remove(&key) else { return };
        let venue = &self.venues[v].plan;
        // The last one begins the stream; there is nothing to end.
        let text = venue.venue.resubscribe_messages(&stream, &venue.hosts.tuning).pop();
        let Some(text) = text else { return };
        let id = venue.venue.spec().id;
        tracing::info!(venue = id, stream = stream.name, "was never confirmed and is subscribed to again");
        self.order(lane, ToLane::Send { conn: key.0, text });
    }

    /// The streams of a slot's connection that were neither confirmed nor served since it was opened.
    fn lacking(&self, v: usize, s: usize, out: &mut BTreeMap<Key, (usize, LaneId, StreamSpec)>) {
        let (venue, slot) = (&self.venues[v], &self.venues[v].slots[s].slot);
        let Some(conn) = self.venues[v].slots[s].current else { return };
        let Some(carried) = self.carried.get(&conn) else { return };
        for stream in still_lacking(carried, &slot.conn.streams) {
            if !stream.symbol.as_deref().is_some_and(|s| venue.recorded.is_delisted(s)) {
                out.insert((conn, stream.name.clone()), (v, slot.lane, stream.clone()));
            }
        }
    }
}

/// What an open connection lacks of what is still `planned`. The plan may be that of the one which is to replace it: what is new there
/// is none of its business.
fn still_lacking<'c>(carried: &'c Carried, planned: &[StreamSpec]) -> Vec<&'c StreamSpec> {
    let mut lacking = carried.lacking().peekable();
    if lacking.peek().is_none() {
        return Vec::new();
    }
    let planned: BTreeSet<&str> = planned.iter().map(|s| s.name.as_str()).collect();
    lacking.filter(|s| planned.contains(s.name.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_lacks_what_it_carries_itself_and_not_what_the_next_one_is_to() {
        let (_, venue) = crate::venue::by_id("ascendex-spot").unwrap();
        let streams = |symbols: &[&str]| -> Vec<StreamSpec> {
            symbols.iter().map(|s| venue.stream("bbo", Some(s)).unwrap()).collect()
        };
        let carried = Carried::new(streams(&["A/USDT", "B/USDT", "C/USDT"]));
        assert!(carried.set("bbo:B/USDT", true) && !carried.set("bbo:B/USDT", true));
        let planned = streams(&["B/USDT", "C/USDT", "D/USDT"]);
        let names = |c: &Carried| -> Vec<String> {
            still_lacking(c, &planned).into_iter().map(|s| s.name.clone()).collect()
        };
        assert_eq!(names(&carried), ["bbo:C/USDT"]);
        // Refused after all.
        assert!(carried.set("bbo:B/USDT", false));
        assert_eq!(names(&carried), ["bbo:B/USDT", "bbo:C/USDT"]);
        assert!(carried.set("bbo:B/USDT", true) && carried.set("bbo:C/USDT", true));
        assert!(names(&carried).is_empty());
    }

    #[test]
    fn what_is_not_confirmed_is_sent_again_ever_more_rarely_and_one_at_a_time() {
        let keys: Vec<Key> = ["a", "b"].map(|n| (7, n.to_owned())).to_vec();
        let mut a = Agains { waits: BTreeMap::new(), sent_at: -S };
        let at = |a: &mut Agains, keys: &[Key], s: i64| a.due(keys.iter(), s * S).map(|k| k.1);
        assert_eq!([1, 29, 30].map(|s| at(&mut a, &keys, s)), [None, None, None]);
        assert_eq!(at(&mut a, &keys, 31).as_deref(), Some("a"));
        assert_eq!([32, 33, 34].map(|s| at(&mut a, &keys, s)), [None, Some("b".to_owned()), None]);
        assert_eq!([90, 91].map(|s| at(&mut a, &keys, s)), [None, Some("a".to_owned())], "a minute later");
        // Confirmed meanwhile: its time begins anew if that is lost with another connection.
        assert_eq!(at(&mut a, &keys[1..], 92), None);
        assert_eq!(at(&mut a, &keys[1..], 93).as_deref(), Some("b"));
        let times = (94..10_000).filter(|s| at(&mut a, &keys[1..], *s).is_some()).collect::<Vec<_>>();
        let waits: Vec<i64> = times.windows(2).map(|w| w[1] - w[0]).collect();
        assert_eq!((waits[0], waits[1], waits[2], *waits.last().unwrap()), (240, 480, 600, 600));
    }
}
