//! What a lane says to venues of its own accord, and their answers where these name nothing.

use super::Lane;
use crate::engine::messages::FromLane;
use crate::engine::subscribing::Outcome;
use crate::model::control::to_payload;
use crate::model::{ConnId, Kind, Subscribed};
use crate::wire::clock;
use crate::wire::reader::{Reader, Stamps};

impl Lane {
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
        let (now, counted) = (clock::mono_ns(), &self.counted);
        for (token, live) in &mut self.conns {
            let (venue, conn) = (live.link.venue, live.link.conn);
            let Some(s) = live.subscribing.as_mut().filter(|_| live.opened) else { continue };
            // A connection is named by when it was opened.
            let heard =
                |t: &str| counted.iter().any(|(v, n, m)| *v == venue && n == t && m.last_recv.get() > conn);
            if let Some(text) = s.next(now, &heard) {
                let _ = reader.send(*token, text);
            }
        }
    }
}
