//! The REST weight of one address at one venue (or group of venues), kept below what the venue bears. Pure: the time is
//! passed in, monotonic ns throughout.
//!
//! What counts as used is the greater of what we spent in the last minute and what the venue last said plus what we
//! spent since: others behind our address show only in the venue's figure.

use std::collections::{BTreeMap, VecDeque};

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
/// First wait after a 429 that does not say how long.
const WAIT_429: i64 = MINUTE;
/// First wait after a 418 that does not say how long.
const WAIT_418: i64 = 2 * MINUTE;
/// Venues ban for three days at most.
const WAIT_MAX: i64 = 3 * 24 * 60 * MINUTE;

/// An answer to a request for permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Go; it is counted.
    Granted,
    /// Ask again at this time (monotonic ns), not before.
    WaitUntil(i64),
}

/// What a request is for. Earlier ones go first and may use more of the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Without it nothing starts: the instrument list, the venue's clock.
    Vital,
    /// A book that was good is stale.
    Resync,
    /// A book that never was.
    Initial,
    /// What is asked for again and again, what gaps have lost, a stream that is silent.
    Audit,
    /// A check of a book that nobody doubts: never at the cost of any other request.
    Truth,
}

/// Settings of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetConfig {
    /// Weight per minute that the venue bears.
    pub limit: u32,
    /// Per cent of it for snapshots ([`Priority::Resync`], [`Priority::Initial`]); [`Priority::Audit`] may use half of that,
    /// [`Priority::Truth`] a quarter: it goes only while all others together use less.
    pub snapshot_percent: u32,
    /// Per cent of it for vital requests.
    pub vital_percent: u32,
    /// Requests a second at most, evenly spaced, whatever they weigh; 0 = only the weight counts.
    pub per_second: u32,
}

impl BudgetConfig {
    /// Half for snapshots, 80 % for what is vital; the rest is left to others behind the same address.
    pub fn new(limit: u32) -> Self {
        BudgetConfig { limit, snapshot_percent: 50, vital_percent: 80, per_second: 0 }
    }
}

/// State of a budget.
#[derive(Clone, Debug)]
pub struct WeightBudget {
    config: BudgetConfig,
    /// Our grants of the last minute, oldest first. Each weighs at least 1, so they are never more than the limit.
    spent: VecDeque<(i64, u32)>,
    /// The venue's figure and when the request that brought it was sent.
    seen: Option<(i64, u32)>,
    blocked_until: i64,
    /// No request before this, by the pace of a second.
    paced_until: i64,
    /// Refusals in a row.
    refusals: u32,
}

impl WeightBudget {
    /// A budget from which nothing was spent.
    pub fn new(config: BudgetConfig) -> Self {
        WeightBudget {
            config,
            spent: VecDeque::new(),
            seen: None,
            blocked_until: i64::MIN,
            paced_until: i64::MIN,
            refusals: 0,
        }
    }

    /// The venue stated another limit (its instrument list has it); 0 is ignored.
    pub fn set_limit(&mut self, limit: u32) {
        if limit > 0 {
            self.config.limit = limit;
        }
    }

    /// No more requests a second than this, if that is fewer than until now; 0 is ignored.
    pub fn set_pace(&mut self, per_second: u32) {
        if per_second > 0 && (self.config.per_second == 0 || per_second < self.config.per_second) {
            self.config.per_second = per_second;
        }
    }

    /// Requests a second at most; 0 = only the weight counts.
    pub fn pace(&self) -> u32 {
        self.config.per_second
    }

    /// Until when the pace lets no request go (monotonic ns), if that is after `now`.
    pub fn paced_until(&self, now: i64) -> Option<i64> {
        (self.paced_until > now).then_some(self.paced_until)
    }

    /// Weight a minute that requests of such a priority may use.
    pub fn allowed(&self, priority: Priority) -> u32 {
        u32::try_from(self.share(priority)).unwrap_or(u32::MAX)
    }

    /// The limit now in force, weight per minute.
    pub fn limit(&self) -> u32 {
        self.config.limit
    }

    /// Until when the venue wants to hear nothing of us (monotonic ns), if that is after `now`.
    pub fn blocked_until(&self, now: i64) -> Option<i64> {
        (self.blocked_until > now).then_some(self.blocked_until)
    }

    /// Weight that counts as used at `now`.
    pub fn used(&self, now: i64) -> u64 {
        self.used_at(now)
    }

    fn used_at(&self, t: i64) -> u64 {
        let since = |from: i64| -> u64 {
            self.spent.iter().rev().take_while(|s| s.0 >= from).map(|s| u64::from(s.1)).sum()
        };
        let ours = since(t - MINUTE + 1);
        let theirs = match self.seen {
            // Grants made in the very nanosecond of the request that brought the figure are in it.
            Some((at, used)) if at > t - MINUTE => u64::from(used) + since(at + 1),
            _ => 0,
        };
        ours.max(theirs)
    }

    fn share(&self, p: Priority) -> u64 {
        let percent = match p {
            Priority::Vital => self.config.vital_percent,
            Priority::Resync | Priority::Initial => self.config.snapshot_percent,
            Priority::Audit => self.config.snapshot_percent / 2,
            Priority::Truth => {
                return u64::from(self.config.limit) * u64::from(self.config.snapshot_percent.min(100)) / 400;
            }
        };
        u64::from(self.config.limit) * u64::from(percent.min(100)) / 100
    }

    /// Asks to spend `weight` (0 counts as 1) on a request at `now`, no sooner than the pace allows. A request heavier than
    /// its whole share is granted when nothing else was spent for a minute, rather than never.
    pub fn grant(&mut self, now: i64, weight: u32, priority: Priority) -> Grant {
        if now < self.paced_until {
            return Grant::WaitUntil(self.paced_until);
        }
        if now < self.blocked_until {
            return Grant::WaitUntil(self.blocked_until);
        }
        self.forget(now);
        let weight = weight.max(1);
        let share = self.share(priority);
        let fits = |used: u64| used == 0 || used + u64::from(weight) <= share;
        if fits(self.used_at(now)) {
            self.spent.push_back((now, weight));
            if self.config.per_second > 0 {
                self.paced_until = now + SECOND / i64::from(self.config.per_second);
            }
            return Grant::Granted;
        }
        // What is used falls only when a grant or the venue's figure grows a minute old.
        let mut times: Vec<i64> = self.spent.iter().map(|s| s.0 + MINUTE).collect();
        times.extend(self.seen.map(|s| s.0 + MINUTE));
        times.sort_unstable();
        let at = times.into_iter().find(|&t| t > now && fits(self.used_at(t)));
        Grant::WaitUntil(at.unwrap_or(now + MINUTE))
    }

    fn forget(&mut self, now: i64) {
        while self.spent.front().is_some_and(|s| s.0 <= now - MINUTE) {
            self.spent.pop_front();
        }
    }

    /// Hears an answer: `sent` is when its request went out, `used` the venue's own counter, `retry_after_s` the header.
    pub fn on_response(
        &mut self,
        now: i64,
        sent: i64,
        status: u16,
        used: Option<u32>,
        retry_after_s: Option<u32>,
    ) {
        if let Some(u) = used
            && self.seen.is_none_or(|(at, _)| at <= sent)
        {
            self.seen = Some((sent, u));
        }
        let first = match status {
            // 403 is a firewall that has had enough of this address: it counts as well, and asking on makes it longer. 439 is what
            // some venues say of a weight that is used up.
            403 | 429 | 439 => WAIT_429,
            418 => WAIT_418,
            200..=399 => {
                // An answer to a request from before the refusal proves nothing.
                if now >= self.blocked_until {
                    self.refusals = 0;
                }
                return;
            }
            _ => return,
        };
        // Several requests in flight bring several refusals: one offence, not several.
        let same = self.blocked_until > now && sent < self.blocked_until;
        if !same || self.refusals == 0 {
            self.refusals = self.refusals.saturating_add(1);
        }
        let wait = match retry_after_s {
            Some(s) if s > 0 => i64::from(s) * 1_000_000_000,
            _ => first.saturating_mul(1i64 << (self.refusals - 1).min(20)),
        };
        self.blocked_until = self.blocked_until.max(now + wait.min(WAIT_MAX));
    }
}

/// The Unix time in ms at which a ban ends, out of the text of an error body (`… IP banned until 1720000000000 …`).
pub fn banned_until_ms(body: &[u8]) -> Option<i64> {
    const MARK: &[u8] = b"banned until ";
    let at = body.windows(MARK.len()).position(|w| w == MARK)? + MARK.len();
    let digits = body[at..].iter().take_while(|b| b.is_ascii_digit()).count();
    std::str::from_utf8(&body[at..at + digits]).ok()?.parse().ok()
}

/// Requests that wait for a budget, by priority, then age. Strictly: a light request does not overtake a heavy one of
/// its own priority, or the heavy one might never go.
#[derive(Clone, Debug)]
pub struct WaitQueue<T> {
    waiting: BTreeMap<(Priority, u64), (u32, T)>,
    next: u64,
}

/// What a queue says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next<T> {
    /// This one may go; its weight is spent.
    Go(T),
    /// The first in the queue must wait until then (monotonic ns).
    WaitUntil(i64),
    /// Nobody waits.
    Empty,
}

impl<T> Default for WaitQueue<T> {
    fn default() -> Self {
        WaitQueue { waiting: BTreeMap::new(), next: 0 }
    }
}

impl<T> WaitQueue<T> {
    /// Puts a request behind those of the same priority.
    pub fn push(&mut self, priority: Priority, weight: u32, item: T) {
        self.waiting.insert((priority, self.next), (weight, item));
        self.next += 1;
    }

    /// The first request, if the budget lets it go at `now`.
    pub fn next(&mut self, now: i64, budget: &mut WeightBudget) -> Next<T> {
        self.next_by(|weight, priority| budget.grant(now, weight, priority))
    }

    /// The first one, if `grant` lets it go.
    pub fn next_by(&mut self, mut grant: impl FnMut(u32, Priority) -> Grant) -> Next<T> {
        let Some(first) = self.waiting.first_entry() else { return Next::Empty };
        match grant(first.get().0, first.key().0) {
            Grant::Granted => Next::Go(first.remove().1),
            Grant::WaitUntil(t) => Next::WaitUntil(t),
        }
    }

    /// Drops what is no longer wanted.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.waiting.retain(|_, (_, item)| keep(item));
    }

    /// Whether any waiting request is such.
    pub fn any(&self, mut is: impl FnMut(&T) -> bool) -> bool {
        self.waiting.values().any(|(_, item)| is(item))
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: i64 = 1_000_000_000;

    fn budget(limit: u32) -> WeightBudget {
        WeightBudget::new(BudgetConfig::new(limit))
    }

    #[test]
    fn snapshots_use_half_and_vital_requests_more() {
        let mut b = budget(2400);
        for _ in 0..60 {
            assert_eq!(b.grant(S, 20, Priority::Initial), Grant::Granted);
        }
        assert_eq!(b.grant(2 * S, 20, Priority::Resync), Grant::WaitUntil(S + MINUTE));
        assert_eq!(b.grant(2 * S, 1, Priority::Vital), Grant::Granted);
        assert_eq!(b.grant(S + MINUTE, 20, Priority::Resync), Grant::Granted);
    }

    #[test]
    fn the_venues_own_counter_rules_when_it_is_higher() {
        let mut b = budget(2400);
        assert_eq!(b.grant(0, 20, Priority::Initial), Grant::Granted);
        b.on_response(S, 0, 200, Some(1190), None);
        assert_eq!(b.used(S), 1190);
        assert_eq!(b.grant(S, 20, Priority::Initial), Grant::WaitUntil(MINUTE));
        // A newer figure replaces it, an older one does not.
        b.on_response(3 * S, 2 * S, 200, Some(100), None);
        b.on_response(4 * S, S, 200, Some(2000), None);
        assert_eq!(b.used(4 * S), 100);
        assert_eq!(b.grant(4 * S, 20, Priority::Initial), Grant::Granted);
        assert_eq!(b.used(4 * S), 120);
    }

    #[test]
    fn a_firewall_is_left_alone_for_a_while() {
        let mut b = budget(2400);
        b.on_response(0, 0, 403, None, None);
        assert_eq!(b.blocked_until(0), Some(MINUTE));
        // A region that is blocked, or a fault of the venue's, is not our doing.
        let mut b = budget(2400);
        for status in [400, 404, 451, 500, 503] {
            b.on_response(0, 0, status, None, None);
        }
        assert_eq!(b.blocked_until(0), None);
    }

    #[test]
    fn refusals_block_everything_for_as_long_as_the_venue_says() {
        for status in [429, 439] {
            let mut b = budget(2400);
            b.on_response(0, 0, status, None, Some(7));
            assert_eq!(b.grant(S, 1, Priority::Vital), Grant::WaitUntil(7 * S), "{status}");
            assert_eq!(b.grant(7 * S, 1, Priority::Vital), Grant::Granted);
        }
    }

    #[test]
    fn without_a_header_waits_are_long_and_double() {
        let mut b = budget(2400);
        b.on_response(0, 0, 429, None, None);
        assert_eq!(b.blocked_until(0), Some(MINUTE));
        // A second refusal of the same moment is the same offence.
        b.on_response(1, 0, 429, None, None);
        assert_eq!(b.blocked_until(0), Some(MINUTE + 1));
        let t = MINUTE + 1;
        b.on_response(t, t, 418, None, None);
        assert_eq!(b.blocked_until(t), Some(t + 4 * MINUTE));
        let t2 = t + 4 * MINUTE;
        b.on_response(t2 - 1, t - 1, 200, None, None);
        b.on_response(t2, t2, 418, None, None);
        assert_eq!(b.blocked_until(t2), Some(t2 + 8 * MINUTE), "an old answer does not forgive");
        let t3 = t2 + 8 * MINUTE;
        b.on_response(t3, t3, 200, None, None);
        b.on_response(t3, t3, 418, None, None);
        assert_eq!(b.blocked_until(t3), Some(t3 + 2 * MINUTE), "a good one does");
    }

    #[test]
    fn a_ban_is_read_from_the_body() {
        let body =
            br#"{"code":-1003,"msg":"Way too many requests; IP banned until 1720000000123. Please use"}"#;
        assert_eq!(banned_until_ms(body), Some(1_720_000_000_123));
        assert_eq!(banned_until_ms(b"banned until tomorrow"), None);
        assert_eq!(banned_until_ms(b"banned until 99999999999999999999"), None);
        assert_eq!(banned_until_ms(b""), None);
    }

    #[test]
    fn what_is_heavier_than_its_share_goes_alone() {
        let mut b = budget(100);
        assert_eq!(b.grant(0, 250, Priority::Initial), Grant::Granted);
        assert_eq!(b.grant(S, 250, Priority::Initial), Grant::WaitUntil(MINUTE));
    }

    #[test]
    fn a_pace_spaces_requests_whatever_the_minute_would_bear() {
        let mut b = WeightBudget::new(BudgetConfig { per_second: 2, ..BudgetConfig::new(1_000) });
        let (mut now, mut at) = (0, Vec::new());
        while at.len() < 10 {
            match b.grant(now, 1, Priority::Audit) {
                Grant::Granted => at.push(now),
                Grant::WaitUntil(t) => now = t,
            }
        }
        assert!(at.windows(2).all(|w| w[1] - w[0] == S / 2), "{at:?}");
        assert_eq!(b.grant(now, 1, Priority::Vital), Grant::WaitUntil(now + S / 2));
        assert_eq!(b.paced_until(now), Some(now + S / 2));
        // The slower of two venues of one address rules.
        b.set_pace(5);
        b.set_pace(0);
        assert_eq!(b.pace(), 2);
        b.set_pace(1);
        assert_eq!(b.pace(), 1);
    }

    #[test]
    fn a_check_that_nobody_waits_for_goes_only_while_others_use_little() {
        // Of 1,000 half is for snapshots: 250 for what is polled, 125 until a check must wait.
        let mut b = budget(1_000);
        assert_eq!(b.grant(0, 100, Priority::Truth), Grant::Granted);
        assert_eq!(b.grant(S, 26, Priority::Truth), Grant::WaitUntil(MINUTE));
        assert_eq!(b.grant(S, 25, Priority::Truth), Grant::Granted);
        assert_eq!(b.grant(2 * S, 125, Priority::Audit), Grant::Granted);
        assert_eq!(b.grant(3 * S, 250, Priority::Resync), Grant::Granted);
        assert!(
            matches!(b.grant(MINUTE + S, 25, Priority::Truth), Grant::WaitUntil(_)),
            "others still count"
        );
    }

    #[test]
    fn waiters_go_by_priority_then_age_and_heavy_ones_are_not_overtaken() {
        let (mut b, mut q) = (budget(100), WaitQueue::default());
        q.push(Priority::Initial, 40, "a");
        q.push(Priority::Initial, 20, "b");
        q.push(Priority::Audit, 1, "c");
        q.push(Priority::Resync, 10, "d");
        q.push(Priority::Vital, 1, "e");
        let mut now = 0;
        let mut order = Vec::new();
        loop {
            match q.next(now, &mut b) {
                Next::Go(x) => order.push((x, now)),
                Next::WaitUntil(t) => {
                    assert!(t > now);
                    now = t;
                }
                Next::Empty => break,
            }
        }
        let names: Vec<_> = order.iter().map(|o| o.0).collect();
        assert_eq!(names, ["e", "d", "a", "b", "c"]);
        assert!(order[2].1 >= MINUTE, "40 more did not fit beside 11");
        q.push(Priority::Audit, 1, "x");
        q.retain(|i| *i != "x");
        assert!(q.is_empty() && !q.any(|_| true));
    }

    proptest! {
        #[test]
        fn no_minute_ever_holds_more_than_the_share(
            limit in 10u32..500, asks in prop::collection::vec((0i64..20 * S, 1u32..30), 1..200),
        ) {
            let mut b = budget(limit);
            let (mut now, mut granted) = (0, Vec::new());
            for (step, weight) in asks {
                now += step;
                if b.grant(now, weight, Priority::Initial) == Grant::Granted {
                    granted.push((now, weight));
                }
            }
            for (i, &(t, first)) in granted.iter().enumerate() {
                let sum: u32 = granted[i..].iter().take_while(|g| g.0 < t + MINUTE).map(|g| g.1).sum();
                prop_assert!(sum <= (limit / 2).max(first), "{sum} of {limit}");
            }
        }

        #[test]
        fn waiting_as_told_always_ends(
            limit in 10u32..300, used in 0u32..5000, weights in prop::collection::vec(1u32..400, 1..40), ban in any::<bool>(),
        ) {
            let mut b = budget(limit);
            b.on_response(0, 0, if ban { 418 } else { 200 }, Some(used), None);
            let mut now = 0;
            for w in weights {
                let mut waits = 0;
                while let Grant::WaitUntil(t) = b.grant(now, w, Priority::Resync) {
                    prop_assert!(t > now);
                    now = t;
                    waits += 1;
                    prop_assert!(waits < 4);
                }
            }
        }
    }
}
