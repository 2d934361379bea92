//! What is asked for by REST again and again, within the budget and never in the way of snapshots.

use super::*;
use crate::engine::polls;
use crate::engine::rest::lane_body;
use crate::model::Reject;
use crate::venue::InstrumentList;

/// Requests of polls and the like that are under way at once, over all venues: fewer than there are workers, so that a
/// snapshot never waits behind them.
pub(super) const UNDER_WAY: usize = 2;
/// The wait after a first failure; it doubles with each further one, but is never longer than the poll's own pace, or than
/// five minutes where that is longer still.
const RETRY_NS: (i64, i64) = (2 * S, 300 * S);

/// Bytes of a body that are told when it is a refusal.
const SAID_MAX: usize = 200;

/// One answer that is asked for again and again.
#[derive(Clone, Debug)]
pub struct PollState {
    /// Its name in the configuration.
    name: String,
    /// The symbol, "" for the whole market.
    symbol: String,
    /// The lane that its rows belong to.
    lane: LaneId,
    /// Path and query.
    path: String,
    weight: u32,
    every_ns: i64,
    /// When it is due (monotonic ns); `i64::MAX` while it is under way.
    at: i64,
    /// Failures in a row.
    failures: u32,
}

impl PollState {
    /// Whether it is about the whole market.
    pub(super) fn is_market(&self) -> bool {
        self.symbol.is_empty()
    }

    /// The lane that its rows belong to.
    pub(super) fn lane(&self) -> LaneId {
        self.lane
    }

    fn failed(&mut self, now: i64) {
        let wait = (RETRY_NS.0 << self.failures.min(16)).min(RETRY_NS.1).min(self.every_ns.max(RETRY_NS.0));
        self.failures = self.failures.saturating_add(1);
        self.at = now + wait;
    }

    fn went_well(&mut self, now: i64) {
        self.failures = 0;
        // A tenth earlier or later: not all recorders of the world at the same moment.
        self.at = now + self.every_ns - self.every_ns / 10 + fastrand::i64(0..=self.every_ns / 5);
    }
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// HTTP status, 0 = no answer at all.
    pub status: u16,
    /// The venue's own code, "" where it says none.
    pub code: String,
    /// The beginning of the body, or why there is none.
    pub said: String,
}

/// The beginning of a body, for people.
pub(super) fn beginning(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(SAID_MAX)]);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// What is wrong with an answer; `None`: nothing.
pub(super) fn refused(
    venue: &dyn crate::venue::Venue,
    result: &Result<RestResponse, RestError>,
) -> Option<Refused> {
    let r = match result {
        Ok(r) => r,
        Err(e) => return Some(Refused { status: 0, code: String::new(), said: e.to_string() }),
    };
    let by_body = venue.refusal(r.status, &r.body);
    if r.status == 200 && by_body.is_none() {
        return None;
    }
    // Most venues say a code beside a status that is none of success.
    let body = || serde_json::from_slice::<serde_json::Value>(&r.body).ok()?.get("code")?.as_i64();
    let code = by_body.map(|b| b.code).or_else(body);
    let said = r.redirect().unwrap_or_else(|| beginning(&r.body));
    Some(Refused { status: r.status, code: code.map_or_else(String::new, |c| c.to_string()), said })
}

impl Control {
    /// A venue's plan is another one: what stays keeps its time.
    pub(super) fn plan_polls(&mut self, v: usize) {
        let lanes = self.parts.lanes.len();
        let venue = &mut self.venues[v];
        let mut old = std::mem::take(&mut venue.polls);
        if venue.gone {
            return;
        }
        let Ok(plans) = polls::of(&venue.plan.config, venue.plan.venue) else { return };
        let listed: Vec<String> =
            venue.plan.config.symbols.iter().filter(|s| venue.listed.contains(*s)).cloned().collect();
        // As the streams are spread; a symbol that has streams is where they are.
        let lane_of = |n: usize, homes: &BTreeMap<String, LaneId>, symbol: &str| {
            homes
                .get(symbol)
                .copied()
                .unwrap_or_else(|| LaneId::try_from((v + n) % lanes.max(1) + 1).unwrap_or(LaneId::MAX))
        };
        for p in &plans {
            let subjects = if p.poll.per_symbol { listed.clone() } else { vec![String::new()] };
            for (n, symbol) in subjects.into_iter().enumerate() {
                let lane = lane_of(n, &venue.homes, &symbol);
                if !symbol.is_empty() {
                    venue.lanes.entry(symbol.clone()).or_insert(lane);
                    venue.homes.entry(symbol.clone()).or_insert(lane);
                }
                let known = old.iter().position(|o| o.name == p.name && o.symbol == symbol);
                let was = known.map(|at| old.swap_remove(at));
                let (at, failures) = was.map_or((0, 0), |o| (o.at, o.failures));
                let r = crate::venue::poll_request(p.poll, &p.name, &symbol);
                venue.polls.push(PollState {
                    name: p.name.clone(),
                    symbol,
                    lane,
                    path: r.path,
                    weight: r.weight,
                    every_ns: p.every_ns,
                    at,
                    failures,
                });
            }
        }
    }

    /// Asks for what is due.
    pub(super) fn polls_due(&mut self, v: usize, now: i64) {
        if self.venues[v].listed.is_empty() || self.venues[v].gone || self.under_way >= UNDER_WAY {
            return;
        }
        // The one that waits longest goes first, so that a tight budget costs all of them alike.
        let due =
            self.venues[v].polls.iter().enumerate().filter(|(_, p)| p.at <= now).min_by_key(|(_, p)| p.at);
        let Some(n) = due.map(|(n, _)| n) else { return };
        let (group, weight) = (self.venues[v].group, self.venues[v].polls[n].weight);
        if now < self.venues[v].polls_after {
            return;
        }
        match self.groups[group].budget.grant(now, weight, Priority::Audit) {
            Grant::WaitUntil(at) => self.venues[v].polls_after = at,
            Grant::Granted => {
                let p = &self.venues[v].polls[n];
                let (name, symbol, path) = (p.name.clone(), p.symbol.clone(), p.path.clone());
                let purpose = Purpose::Poll { lane: p.lane, name, symbol };
                if self.get(v, purpose, path) {
                    self.under_way += 1;
                    self.venues[v].polls[n].at = i64::MAX;
                } else {
                    self.venues[v].polls_after = now + S;
                }
            }
        }
    }

    /// Hands an answer to its lane.
    pub(super) fn polled(
        &mut self,
        v: usize,
        (lane, name, symbol): (LaneId, &str, &str),
        path: &str,
        result: Result<RestResponse, RestError>,
    ) {
        self.under_way = self.under_way.saturating_sub(1);
        let now = clock::mono_ns();
        let venue = &mut self.venues[v];
        let said = refused(venue.plan.venue, &result);
        if let Some(p) = venue.polls.iter_mut().find(|p| p.name == name && p.symbol == symbol) {
            match said {
                None => p.went_well(now),
                Some(Refused { status, code, said }) => {
                    p.failed(now);
                    let (venue, failures) = (&venue.plan.config.id, p.failures);
                    tracing::warn!(
                        venue,
                        path,
                        status,
                        code,
                        said,
                        failures,
                        "a poll was not answered, it will be asked for again"
                    );
                }
            }
        }
        let is_well = |r: &&RestResponse| r.status == 200;
        let venue = self.venues[v].plan.venue;
        if let Some(read) =
            result.as_ref().ok().filter(is_well).and_then(|r| venue.polled_instruments(path, &r.body))
        {
            self.learn(v, path, read);
        }
        self.hand_over(v, lane, path, result);
    }

    /// Versions of some instruments, between two lists: what they do not name is not gone.
    fn learn(&mut self, v: usize, path: &str, read: Result<InstrumentList, Reject>) {
        let venue = &mut self.venues[v];
        let list = match read {
            Ok(list) => list.instruments,
            Err(e) => {
                // The body is in `raw` all the same.
                tracing::debug!(
                    venue = venue.plan.config.id,
                    path,
                    why = e.detail,
                    "an answer names no instrument"
                );
                return;
            }
        };
        let mut recorded = std::mem::take(&mut venue.recorded);
        let changed = recorded.follow(&list, &|_| true);
        let met = recorded.meet(&list, &|s| venue.lanes_of(s));
        venue.recorded = recorded;
        self.tell_versions(changed);
        self.tell_versions(met);
    }

    /// A body becomes a record of its lane.
    pub(super) fn hand_over(
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_poll_says_status_and_code() {
        let answer = |status, body: &str| {
            Ok(RestResponse {
                status,
                body: body.as_bytes().to_vec(),
                used_weight: None,
                retry_after_s: None,
                location: None,
                limits: Vec::new(),
                ts_sent: 1,
                mono_sent: 1,
                ts_recv: 1,
                mono_recv: 1,
            })
        };
        let said = |id: &str, status, body: &str| {
            let r = refused(crate::venue::by_id(id).unwrap().1, &answer(status, body));
            r.map(|r| (r.status, r.code, r.said))
        };
        let (limit, sign) = (r#"{"code":-1003,"msg":"banned"}"#, r#"{"code":1,"msg":"sign-error"}"#);
        let rights = r#"{"code":100009,"reason":"AUTHORIZATION_NEEDED"}"#;
        let told = |status, code: &str, body: &str| Some((status, code.to_owned(), body.to_owned()));
        assert_eq!(said("binance-spot", 418, limit), told(418, "-1003", limit));
        assert_eq!(said("pumpkin-perp", 200, sign), told(200, "1", sign));
        assert_eq!(said("ascendex-spot", 200, rights), told(200, "100009", rights));
        assert_eq!(said("aster-spot", 403, "<html>"), told(403, "", "<html>"));
        assert_eq!(said("aster-spot", 200, "[]"), None);
        assert_eq!(said("ascendex-spot", 200, r#"{"code":0,"data":[]}"#), None);
    }

    #[test]
    fn failures_wait_longer_each_time_and_never_longer_than_the_pace() {
        let mut p = PollState {
            name: "openInterest".to_owned(),
            symbol: "A".to_owned(),
            lane: 1,
            path: String::new(),
            weight: 1,
            every_ns: 10 * S,
            at: 0,
            failures: 0,
        };
        let mut waits = Vec::new();
        for _ in 0..5 {
            p.failed(0);
            waits.push(p.at / S);
        }
        assert_eq!(waits, [2, 4, 8, 10, 10]);
        p.went_well(100 * S);
        assert!(p.failures == 0 && (109 * S..=111 * S).contains(&p.at), "{}", p.at);
        p.every_ns = 3600 * S;
        (0..40).for_each(|_| p.failed(0));
        assert_eq!(p.at, 300 * S);
    }
}
