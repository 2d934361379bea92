//! What a lane says to venues of its own accord, and their answers where these name nothing.

use super::{Lane, Live};
use crate::engine::messages::{FromLane, OpenLink};
use crate::engine::subscribing::{Outcome, Subscribing};
use crate::model::control::to_payload;
use crate::model::{ConnId, Kind, StreamId, Subscribed};
use crate::wire::clock;
use crate::wire::reader::{Reader, Stamps};

impl Live {
    /// One that is not open yet.
    pub(super) fn new(link: Box<OpenLink>, subscribing: Option<Subscribing>) -> Live {
        let acknowledges = crate::venue::by_id(link.venue).is_some_and(|(_, v)| v.spec().acknowledges);
        let lacks = if acknowledges { link.carried.streams().len() } else { 0 };
        Live { link, next_rseq: 0, opened: false, lacks, subscribing }
    }
}

impl Lane {
    /// A connection's stream is confirmed or has brought something there. Allocates nothing, and is not asked for once all are.
    pub(super) fn hear(&mut self, conn: ConnId, stream: StreamId) {
        let Some((name, ..)) = self.fold.stream(stream) else { return };
        if let Some(live) = self.conns.get_mut(&(conn as u64))
            && live.link.carried.set(name, true)
        {
            live.lacks = live.lacks.saturating_sub(1);
        }
    }

    /// A connection's stream is refused: whatever was said of it before.
    pub(super) fn hear_refusal(&mut self, conn: ConnId, name: &str) {
        if let Some(live) = self.conns.get_mut(&(conn as u64))
            && live.link.carried.set(name, false)
        {
            live.lacks += 1;
        }
    }

    /// A text of control's. Where answers name nothing it waits for its turn, or its answer would be taken for another one's.
    pub(super) fn say(&mut self, reader: &mut Reader, conn: ConnId, text: String) {
        match self.conns.get_mut(&(conn as u64)).and_then(|l| l.subscribing.as_mut()) {
            Some(s) => s.say(text),
            None => {
                let _ = reader.send(conn as u64, text);
            }
        }
    }

    /// What the venue said of the message that waited for it.
    pub(in crate::engine) fn hear_answers(&mut self) {
        let now = Stamps::now();
        for (conn, code, text) in std::mem::take(&mut self.wishes.answers) {
            let Some(live) = self.conns.get_mut(&(conn as u64)) else { continue };
            let Some(s) = &mut live.subscribing else { continue };
            let mut said = Subscribed { venue: live.link.venue.to_owned(), ..Subscribed::default() };
            match s.answered(code, now.ts_mono) {
                Outcome::Confirmed(topics) => said.confirmed = topics,
                Outcome::Refused(topic) => {
                    self.report(FromLane::Refused { conn, code, stream: topic.clone(), said: text });
                    said.refused.push(topic);
                }
                Outcome::Again => continue,
            }
            self.control(Kind::Subscription, conn, &now, "", &to_payload(&said));
        }
    }

    /// The next message of each connection that has some left.
    pub(super) fn subscribe_next(&mut self, reader: &mut Reader) {
        if self.subscribing == 0 {
            return;
        }
        let now = clock::mono_ns();
        for (token, live) in &mut self.conns {
            let Some(s) = live.subscribing.as_mut().filter(|_| live.opened) else { continue };
            let carried = &live.link.carried;
            if let Some(text) = s.next(now, &|t| carried.is_served(t) == Some(true)) {
                let _ = reader.send(*token, text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::bus::raw::{self, RawOptions};
    use crate::engine::carried::Carried;
    use crate::engine::lane::LaneParts;
    use crate::metrics::Shared;
    use crate::model::{LaneClock, RunStart, Tuning};
    use crate::wire::reader::Handler;

    /// A lane with two connections that carry the same: of a rotation, or of two legs.
    fn with_two(dir: &std::path::Path, id: &str, streams: [&str; 2]) -> (Lane, [Arc<Carried>; 2]) {
        let o = RawOptions { dataset: 7, lane: 1, capacity: 1 << 20, last_lane_seq: -1 };
        let (ring, _) = raw::create(&dir.join(raw::ring_file_name(7, 1)), &o).unwrap();
        let channel = || crossbeam_channel::bounded(64);
        let parts = LaneParts {
            ring,
            clock: LaneClock::new(1, -1, 3_600_000_000_000),
            orders: crossbeam_channel::bounded(1).1,
            reports: channel().0,
            metrics: Shared::new("", "").add_lane(1),
            recorder: crate::metrics::latency().0,
            events: crate::bus::event::ring(64).0,
        };
        let run = RunStart {
            run_id: String::new(),
            writer: "capture".to_owned(),
            build: String::new(),
            host: String::new(),
            config_sha256: String::new(),
            rules_version: crate::fold::RULES_VERSION,
            ts_start: 0,
            interval_ns: 3_600_000_000_000,
            book_top_interval_ns: 0,
            lane_memory_bytes: 1 << 24,
            auto_register: false,
            epoch_floor: 0,
            venues: Vec::new(),
        };
        let (mut lane, _) = Lane::new(parts, &run, None);
        let (_, venue) = crate::venue::by_id(id).unwrap();
        let carried = [1, 2].map(|conn: ConnId| {
            let all = streams.iter().map(|n| venue.parse_stream(n).unwrap()).collect();
            let carried = Arc::new(Carried::new(all));
            lane.adopt(Box::new(OpenLink {
                conn,
                venue: venue.spec().id,
                leg: conn as u8 - 1,
                slot: 0,
                url: String::new(),
                carried: Arc::clone(&carried),
                pong: None,
                tuning: Tuning::default(),
            }));
            lane.on_open(conn as u64, &Stamps::now());
            carried
        });
        (lane, carried)
    }

    #[test]
    fn what_one_connection_brings_says_nothing_of_another_one_and_an_answer_nothing_of_its_stream() {
        let dir = tempfile::tempdir().unwrap();
        let (mut lane, carried) = with_two(dir.path(), "ascendex-spot", ["bbo:A/USDT", "bbo:B/USDT"]);
        let lacks =
            || carried.each_ref().map(|c| c.lacking().map(|s| s.symbol.clone().unwrap()).collect::<String>());
        let mut hear = |conn: u64, text: &str| {
            lane.on_message(conn, &Stamps::now(), false, text.as_bytes());
            lacks()
        };
        let answer =
            |of: &str, code: u32| format!(r#"{{"m":"sub","ch":"bbo:{of}","code":{code},"reason":"X"}}"#);
        assert_eq!(hear(1, &answer("A/USDT", 0)), ["B/USDT", "A/USDTB/USDT"]);
        let frame = r#"{"m":"bbo","symbol":"B/USDT","data":{"ts":1573068442532,"bid":["9309.11","0.01"],"ask":["9309.12","0.88"]}}"#;
        assert_eq!(hear(1, frame), ["", "A/USDTB/USDT"]);
        // A refusal names the stream, and is not its word; it takes back what was confirmed.
        assert_eq!(hear(2, &answer("A/USDT", 100_008)), ["", "A/USDTB/USDT"]);
        assert_eq!(hear(1, &answer("A/USDT", 100_008)), ["A/USDT", "A/USDTB/USDT"]);
        assert_eq!(hear(2, frame), ["A/USDT", "A/USDT"]);
        assert_eq!(hear(2, &answer("A/USDT", 0)), ["A/USDT", ""]);
    }
}
