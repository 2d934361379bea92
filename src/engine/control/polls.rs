//! What has no stream is asked for by REST again and again, within the budget.

use super::*;
use crate::engine::rest::lane_body;

impl Control {
    /// Asks for what is due. Once a second.
    pub(super) fn polls_due(&mut self, v: usize, now: i64) {
        let venue = self.venues[v].plan.venue;
        if self.venues[v].listed.is_empty() || self.venues[v].gone {
            return;
        }
        let channels = self.venues[v].plan.config.channels.clone();
        for poll in channels.iter().filter_map(|c| venue.poll(c)) {
            for (symbol, lane) in self.subjects(v, poll.per_symbol) {
                let key = (poll.channel, symbol);
                if self.venues[v].polls.get(&key).is_some_and(|at| *at > now) {
                    continue;
                }
                let group = self.venues[v].group;
                let at = match self.groups[group].budget.grant(now, poll.weight, Priority::Audit) {
                    Grant::WaitUntil(at) => at,
                    Grant::Granted => {
                        let mut path = poll.path.to_owned();
                        crate::parse::url::encode_into(&mut path, &key.1, "");
                        let asked = self.get(v, Purpose::Poll { lane }, path);
                        let every = i64::from(poll.every_s) * S;
                        // A tenth earlier or later: not all recorders of the world at the same moment.
                        let early = fastrand::i64(0..every / 5 + 1);
                        if asked { now + every + every / 10 - early } else { now + S }
                    }
                };
                self.venues[v].polls.insert(key, at);
            }
        }
    }

    /// What a poll is about, with the lane that its rows belong to.
    fn subjects(&self, v: usize, per_symbol: bool) -> Vec<(String, LaneId)> {
        let venue = &self.venues[v];
        if per_symbol {
            return venue.lanes.iter().map(|(s, l)| (s.clone(), *l)).collect();
        }
        let first = venue.homes.get("").or_else(|| venue.lanes.values().next()).copied();
        vec![(String::new(), first.unwrap_or(1))]
    }

    /// Hands an answer to its lane.
    pub(super) fn polled(
        &mut self,
        v: usize,
        lane: LaneId,
        path: &str,
        result: Result<RestResponse, RestError>,
    ) {
        let conn = match self.venues[v].rest_conns.get(&lane) {
            Some(c) => *c,
            None => {
                let c = self.next_conn();
                self.venues[v].rest_conns.insert(lane, c);
                c
            }
        };
        let (status, body) = lane_body(result);
        let venue = self.venues[v].plan.venue.spec().id;
        let body = crate::engine::messages::RestBody { conn, venue, url: path.to_owned(), status, body };
        self.order(lane, ToLane::Rest(Box::new(body)));
    }
}
