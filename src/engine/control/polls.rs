//! What is asked for by REST again and again, within the budget and never in the way of snapshots.

use super::*;
use crate::engine::polls::{self, Strain};
use crate::engine::rest::lane_body;
use crate::model::{Reject, RestPool};
use crate::venue::InstrumentList;
use crate::wire::rate::RateWindow;

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
    /// An allowance of its own.
    pool: Option<&'static RestPool>,
    /// How often, as written, ns.
    written_ns: i64,
    /// How often, as far as the budget bears it.
    every_ns: i64,
    /// When it is due (monotonic ns); `i64::MAX` while it is under way, [`NEW`] before it has a first time.
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

    /// The symbol that it asks for ("" = the whole market), and the lane that its answers go to.
    pub fn home(&self) -> (String, LaneId) {
        (self.symbol.clone(), self.lane)
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

/// A poll that has no first time yet.
const NEW: i64 = i64::MIN;

/// First times are spread over the period, symbol by symbol of each poll.
fn spread_firsts(polls: &mut [PollState], now: i64) {
    for same in polls.chunk_by_mut(|a, b| a.name == b.name) {
        let n = i64::try_from(same.len()).unwrap_or(i64::MAX);
        for (i, p) in (0i64..).zip(same.iter_mut()).filter(|(_, p)| p.at == NEW) {
            p.at = now + i64::try_from(i128::from(p.every_ns) * i128::from(i) / i128::from(n)).unwrap_or(0);
        }
    }
}

/// What the polls of one budget have in common.
pub(super) struct GroupPolls {
    /// Our share of what the venue bears, per cent.
    share_percent: u32,
    /// The budget lets no poll go before this (monotonic ns).
    after: i64,
    /// Allowances of their own, by name.
    pools: Vec<(&'static str, RateWindow)>,
    /// That they need more than they may was told.
    told: bool,
}

impl GroupPolls {
    /// With such a share.
    pub fn new(share_percent: u32) -> GroupPolls {
        GroupPolls { share_percent, after: 0, pools: Vec::new(), told: false }
    }

    fn pool(&mut self, pool: &RestPool) -> &mut RateWindow {
        let at = self.pools.iter().position(|p| p.0 == pool.name).unwrap_or_else(|| {
            let most = polls::pool_allowed(pool, self.share_percent);
            self.pools.push((pool.name, RateWindow::new(most, i64::from(pool.window_s) * S)));
            self.pools.len() - 1
        });
        &mut self.pools[at].1
    }

    /// Whether another request of a pool may go now.
    fn allows(&self, pool: Option<&RestPool>, now: i64) -> bool {
        let of = |pool: &RestPool| self.pools.iter().find(|p| p.0 == pool.name);
        pool.and_then(of).is_none_or(|(_, w)| w.allows(now, 0))
    }
}

/// Gives each poll the period that the budget bears: as written, or all of them longer by the same factor; those with an
/// allowance of their own longer still, if that bears less. Returns the strain of the budget and the worst of all.
fn stretch(
    polls: &mut [&mut PollState],
    (allowed, per_second, share_percent): (u32, u32, u32),
) -> (Strain, Strain) {
    let minute = 60 * S;
    let weight = Strain {
        needed: polls::per_window(polls.iter().map(|p| (p.weight.max(1).into(), p.written_ns)), minute),
        allowed: polls::allowed(allowed.saturating_mul(2), per_second),
    };
    let mut worst = weight;
    let mut pools: BTreeMap<&'static str, Strain> = BTreeMap::new();
    for pool in polls.iter().filter_map(|p| p.pool).collect::<Vec<_>>() {
        pools.entry(pool.name).or_insert_with(|| {
            let of_it = polls.iter().filter(|p| p.pool == Some(pool)).map(|p| (1, p.written_ns));
            Strain {
                needed: polls::per_window(of_it, i64::from(pool.window_s) * S),
                allowed: polls::pool_allowed(pool, share_percent),
            }
        });
    }
    for p in polls.iter_mut() {
        let own = p.pool.and_then(|pool| pools.get(pool.name)).copied().unwrap_or_default();
        let by = weight.or(own);
        worst = worst.or(own);
        p.every_ns = i64::try_from(i128::from(p.written_ns) * i128::from(by.stretch()) / 1000)
            .unwrap_or(i64::MAX / 4)
            .min(i64::MAX / 4);
    }
    (weight, worst)
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

/// Says what a venue's polls need, what they may, and how often each is asked for now.
fn tell_strain(v: &VenueState, weight: Strain, worst: Strain) {
    let seconds = |ns: i64| (ns + S / 2) / S;
    let mut each: Vec<String> = Vec::new();
    for same in v.polls.chunk_by(|a, b| a.name == b.name) {
        let p = &same[0];
        let (real, written) = (seconds(p.every_ns), seconds(p.written_ns));
        each.push(format!("{} every {real} s instead of {written} s", p.name));
    }
    let beyond = if weight.is_beyond() { weight } else { worst };
    let unit = if weight.is_beyond() { "weight a minute" } else { "requests of an allowance of their own" };
    tracing::warn!(
        venue = v.plan.config.id,
        needed = beyond.needed,
        allowed = beyond.allowed,
        unit,
        polls = each.join(", "),
        "what is polled needs more than the budget bears, so all of it is asked for less often: ask less often, for fewer \
         symbols, or for the whole market at once, or give it more of the budget (rest_weight_share)"
    );
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
        let earlier = venue.earlier.clone();
        let lane_of = |n: usize, homes: &BTreeMap<String, LaneId>, symbol: &str| {
            homes
                .get(symbol)
                .or_else(|| earlier.get(symbol).filter(|l| usize::from(**l) <= lanes))
                .copied()
                .unwrap_or_else(|| LaneId::try_from((v + n) % lanes.max(1) + 1).unwrap_or(LaneId::MAX))
        };
        for p in &plans {
            let subjects = if p.poll.per_symbol { listed.clone() } else { vec![String::new()] };
            for (n, symbol) in subjects.into_iter().enumerate() {
                let lane = lane_of(n, &venue.homes, &symbol);
                if !symbol.is_empty() {
                    venue.lanes.entry(symbol.clone()).or_insert(lane);
                }
                venue.homes.entry(symbol.clone()).or_insert(lane);
                let known = old.iter().position(|o| o.name == p.name && o.symbol == symbol);
                let was = known.map(|at| old.swap_remove(at));
                let (at, failures) = was.map_or((NEW, 0), |o| (o.at, o.failures));
                let r = crate::venue::poll_request(p.poll, &p.name, &symbol);
                venue.polls.push(PollState {
                    name: p.name.clone(),
                    symbol,
                    lane,
                    path: r.path,
                    weight: r.weight,
                    pool: p.poll.pool,
                    written_ns: p.every_ns,
                    every_ns: p.every_ns,
                    at,
                    failures,
                });
            }
        }
        self.fit_polls(self.venues[v].group);
    }

    /// Fits the polls of a budget into it, and says once where they do not.
    pub(super) fn fit_polls(&mut self, g: usize) {
        let now = clock::mono_ns();
        let group = &mut self.groups[g];
        let share = group.polls.share_percent;
        let bounds = (group.budget.allowed(Priority::Audit), group.budget.pace(), share);
        let of_it = || move |v: &&mut VenueState| v.group == g && !v.gone;
        let mut all: Vec<&mut PollState> =
            self.venues.iter_mut().filter(of_it()).flat_map(|v| &mut v.polls).collect();
        let (weight, worst) = stretch(&mut all, bounds);
        for v in self.venues.iter_mut().filter(of_it()) {
            spread_firsts(&mut v.polls, now);
            v.metrics.polls_needed.set(weight.needed.into());
            v.metrics.polls_allowed.set(weight.allowed.into());
            let longest = v.polls.iter().map(|p| p.every_ns / (p.written_ns / 1000).max(1)).max();
            v.metrics.polls_stretch.set(longest.unwrap_or(1000));
        }
        if !worst.is_beyond() {
            group.polls.told = false;
        } else if !std::mem::replace(&mut group.polls.told, true) {
            for v in self.venues.iter().filter(|v| v.group == g && !v.gone && !v.polls.is_empty()) {
                tell_strain(v, weight, worst);
            }
        }
    }

    /// Asks for what is due.
    pub(super) fn polls_due(&mut self, now: i64) {
        for g in 0..self.groups.len() {
            if self.under_way >= UNDER_WAY {
                return;
            }
            if now < self.groups[g].polls.after {
                continue;
            }
            let Some((v, n)) = self.next_poll(g, now) else { continue };
            let p = &self.venues[v].polls[n];
            let (weight, pool, path) = (p.weight, p.pool, p.path.clone());
            let group = &mut self.groups[g];
            match group.budget.grant(now, weight, Priority::Audit) {
                Grant::WaitUntil(at) => group.polls.after = at,
                Grant::Granted => {
                    if let Some(pool) = pool {
                        group.polls.pool(pool).note(now);
                    }
                    let purpose =
                        Purpose::Poll { lane: p.lane, name: p.name.clone(), symbol: p.symbol.clone() };
                    if self.get(v, purpose, path) {
                        self.under_way += 1;
                        self.venues[v].polls[n].at = i64::MAX;
                    } else {
                        self.groups[g].polls.after = now + S;
                    }
                }
            }
        }
    }

    /// Of all venues of a budget the poll that waits longest, so that a tight budget costs all of them alike. One whose own
    /// allowance is used up keeps no other one waiting.
    fn next_poll(&self, g: usize, now: i64) -> Option<(usize, usize)> {
        let group = &self.groups[g];
        let venues = self.venues.iter().enumerate();
        let venues = venues.filter(|(_, v)| v.group == g && !v.gone && !v.listed.is_empty());
        let all = venues.flat_map(|(at, v)| v.polls.iter().enumerate().map(move |(n, p)| (at, n, p)));
        let due = all.filter(|(_, _, p)| p.at <= now && group.polls.allows(p.pool, now));
        due.min_by_key(|(_, _, p)| p.at).map(|(v, n, _)| (v, n))
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

    fn poll(name: &str, n: usize, every_s: i64) -> PollState {
        PollState {
            name: name.to_owned(),
            symbol: format!("S{n}"),
            lane: 1,
            path: String::new(),
            weight: 1,
            pool: None,
            written_ns: every_s * S,
            every_ns: every_s * S,
            at: NEW,
            failures: 0,
        }
    }

    /// Lets time pass in steps of 20 ms, as control does with one budget; each request is answered at once. The times of
    /// each poll kind's requests.
    fn run(
        polls: &mut [PollState],
        budget: &mut WeightBudget,
        group: &mut GroupPolls,
        until: i64,
    ) -> BTreeMap<String, Vec<i64>> {
        let mut all: Vec<&mut PollState> = polls.iter_mut().collect();
        stretch(&mut all, (budget.allowed(Priority::Audit), budget.pace(), group.share_percent));
        spread_firsts(polls, 0);
        let mut out: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for now in (0..until).step_by(20_000_000) {
            let due = polls.iter_mut().filter(|p| p.at <= now && group.allows(p.pool, now));
            let Some(p) = due.min_by_key(|p| p.at) else { continue };
            if budget.grant(now, p.weight, Priority::Audit) == Grant::Granted {
                if let Some(pool) = p.pool {
                    group.pool(pool).note(now);
                }
                out.entry(p.name.clone()).or_default().push(now);
                p.went_well(now);
            }
        }
        out
    }

    #[test]
    fn polls_beyond_the_budget_are_all_asked_for_alike_and_none_starves() {
        // Sixty symbols of two polls every 20 s want 360 a minute; 50 are allowed.
        let mut polls: Vec<PollState> =
            ["ticker", "barhist:1"].iter().flat_map(|name| (0..60).map(move |n| poll(name, n, 20))).collect();
        let config = BudgetConfig { per_second: 2, ..BudgetConfig::new(200) };
        let (mut budget, mut group) = (WeightBudget::new(config), GroupPolls::new(50));
        let asked = run(&mut polls, &mut budget, &mut group, 600 * S);
        assert_eq!(polls[0].every_ns / S, 144);
        let (a, b) = (asked["ticker"].len(), asked["barhist:1"].len());
        assert!(a.abs_diff(b) <= 6 && a + b > 470 && a + b <= 500, "{a} {b}");
        let all: Vec<i64> = asked.into_values().flatten().collect();
        for from in 0..600 {
            let within = all.iter().filter(|t| (from * S..(from + 1) * S).contains(*t)).count();
            assert!(within <= 2, "{within} in the second {from}");
        }
    }

    #[test]
    fn first_times_are_spread_over_the_period_and_a_pool_is_never_broken() {
        static POOL: RestPool = RestPool { name: "x", limit: 500, window_s: 300 };
        let with = |p: PollState| PollState { pool: Some(&POOL), ..p };
        let mut polls: Vec<PollState> = (0..560).map(|n| with(poll("fundingRate", n, 3600))).collect();
        let mut budget = WeightBudget::new(BudgetConfig::new(2400));
        let asked = run(&mut polls, &mut budget, &mut GroupPolls::new(50), 1_200 * S);
        let times = &asked["fundingRate"];
        assert!((185..=188).contains(&times.len()), "a third of an hour: {}", times.len());
        // Asked every 100 s it needs 1680 in the window; half of 500 are ours.
        let mut polls: Vec<PollState> = (0..560).map(|n| with(poll("fundingRate", n, 100))).collect();
        polls.extend((0..10).map(|n| poll("openInterest", n, 100)));
        let asked = run(&mut polls, &mut budget, &mut GroupPolls::new(50), 1_200 * S);
        let times = &asked["fundingRate"];
        let fullest = times.iter().map(|t| times.iter().filter(|u| (*t..*t + 300 * S).contains(*u)).count());
        assert!(fullest.max().unwrap() <= 250 && times.len() > 900, "{}", times.len());
        assert!(asked["openInterest"].len() >= 110, "another poll has its own pace");
    }

    #[test]
    fn failures_wait_longer_each_time_and_never_longer_than_the_pace() {
        let mut p = PollState { at: 0, ..poll("openInterest", 0, 10) };
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
