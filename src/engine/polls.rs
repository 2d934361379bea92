//! What is asked for by REST again and again: which answers, how often, and what they cost.

use crate::config::VenueConfig;
use crate::model::time::{NS_PER_MIN, NS_PER_S};
use crate::model::{Poll, RestPool};
use crate::venue::Venue;

use super::plan::{PlanFault, VenuePlan};

/// One poll as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollPlan {
    /// Its name in the configuration.
    pub name: String,
    /// What it asks.
    pub poll: &'static Poll,
    /// How often, ns.
    pub every_ns: i64,
}

impl PollPlan {
    /// Requests in each period, for so many symbols.
    fn requests(&self, symbols: usize) -> u64 {
        if self.poll.per_symbol { symbols as u64 } else { 1 }
    }
}

/// What is polled is asked for less often than written where that needs more than it may have: all of it by the same factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Strain {
    /// Weight, or requests, in the window.
    pub needed: u32,
    /// The most of it.
    pub allowed: u32,
}

impl Strain {
    /// Whether it is more than is allowed.
    pub fn is_beyond(self) -> bool {
        self.needed > self.allowed
    }

    /// By how much periods become longer, thousandths, rounded up; never less than 1000.
    pub fn stretch(self) -> i64 {
        let (needed, allowed) = (i64::from(self.needed), i64::from(self.allowed.max(1)));
        ((needed * 1000 + allowed - 1) / allowed).max(1000)
    }

    /// The worse of two.
    pub fn or(self, other: Strain) -> Strain {
        if other.stretch() > self.stretch() { other } else { self }
    }
}

/// What comes to pass in a window of `(cost, period in ns)`, rounded up once: many that are rare cost no more than one that
/// is not.
pub fn per_window(all: impl Iterator<Item = (u64, i64)>, window_ns: i64) -> u32 {
    let of = |(cost, every): (u64, i64)| {
        i128::from(cost) * MICRO * i128::from(window_ns) / i128::from(every.max(1))
    };
    let all: i128 = all.map(of).sum();
    u32::try_from((all + MICRO - 1) / MICRO).unwrap_or(u32::MAX)
}

/// Weight a minute of all polls for so many symbols.
pub fn weight_per_minute(polls: &[PollPlan], symbols: usize) -> u32 {
    per_window(polls.iter().map(|p| (p.requests(symbols) * u64::from(p.poll.weight), p.every_ns)), NS_PER_MIN)
}

/// Weights are added up in millionths.
const MICRO: i128 = 1_000_000;

/// Weight a minute that polls may need: half of ours, and at a pace half of the requests that it lets through (no request
/// weighs less than 1). The other half is left to snapshots.
pub fn allowed(weight_allowed: u32, per_second: u32) -> u32 {
    match per_second {
        0 => weight_allowed / 2,
        n => (weight_allowed / 2).min(n.saturating_mul(30)),
    }
}

/// Requests in a pool's window that we allow ourselves, at least 1.
pub fn pool_allowed(pool: &RestPool, share_percent: u32) -> u32 {
    let most = u64::from(pool.limit) * u64::from(share_percent.min(100)) / 100;
    u32::try_from(most).unwrap_or(u32::MAX).max(1)
}

/// What the polls of a pool need in its window, and may.
fn pool_strain(pool: &RestPool, polls: &[PollPlan], symbols: usize, share_percent: u32) -> Strain {
    let of_it = polls.iter().filter(|p| p.poll.pool == Some(pool)).map(|p| (p.requests(symbols), p.every_ns));
    Strain {
        needed: per_window(of_it, i64::from(pool.window_s) * NS_PER_S),
        allowed: pool_allowed(pool, share_percent),
    }
}

/// Refuses polls that an allowance of their own does not bear.
///
/// # Errors
/// [`PlanFault::Pool`].
pub fn fits_pools(
    venue: &str,
    polls: &[PollPlan],
    symbols: usize,
    share_percent: u32,
) -> Result<(), PlanFault> {
    for pool in polls.iter().filter_map(|p| p.poll.pool) {
        let s = pool_strain(pool, polls, symbols, share_percent);
        if s.is_beyond() {
            let (venue, pool, window_s) = (venue.to_owned(), pool.name, pool.window_s);
            return Err(PlanFault::Pool { venue, pool, needed: s.needed, allowed: s.allowed, window_s });
        }
    }
    Ok(())
}

/// For how many symbols at most all polls keep their pace; `None`: for any number.
pub fn symbols_most(polls: &[PollPlan], allowed: u32, share_percent: u32) -> Option<usize> {
    let fits = |n: usize| {
        let is_beyond = |pool| pool_strain(pool, polls, n, share_percent).is_beyond();
        weight_per_minute(polls, n) <= allowed && !polls.iter().filter_map(|p| p.poll.pool).any(is_beyond)
    };
    if !polls.iter().any(|p| p.poll.per_symbol) {
        return None;
    }
    // What fits fewer fits: the first number that does not is looked for by halves.
    let (mut fit, mut beyond) = (0, SYMBOLS_MOST + 1);
    while beyond - fit > 1 {
        let n = fit + (beyond - fit) / 2;
        if fits(n) { fit = n } else { beyond = n }
    }
    (fit < SYMBOLS_MOST).then_some(fit)
}

/// No venue has so many symbols.
const SYMBOLS_MOST: usize = 100_000;

/// Weight a minute of instrument lists where the configuration says how often they are asked for, each with the volumes by which
/// its rule ranks; else 0: a venue's own figure is nobody's mistake.
pub fn lists(config: &VenueConfig, venue: &dyn Venue) -> u32 {
    let Some(every_ns) = config.list_every_ns else { return 0 };
    let ranks = config.rule.as_ref().is_some_and(|r| r.top_by_volume.is_some());
    let volumes = venue.volumes_request().filter(|_| ranks).map_or(0, |r| r.weight);
    let each = u64::from(venue.instruments_request().weight) + u64::from(volumes);
    per_window([(each, every_ns)].into_iter(), NS_PER_MIN)
}

/// Refuses polls, and lists, that one budget does not bear.
///
/// # Errors
/// [`PlanFault::Polls`], [`PlanFault::Lists`].
pub fn fit(venues: &[VenuePlan]) -> Result<(), PlanFault> {
    for v in venues {
        let allowed = v.weight_polls_allowed;
        if let Some((venue, needed)) = beyond(venues, v, |o| o.weight_polls) {
            return Err(PlanFault::Polls { venue, needed, allowed });
        }
        if let Some((venue, needed)) = beyond(venues, v, |o| o.weight_lists) {
            return Err(PlanFault::Lists { venue, needed, allowed });
        }
    }
    Ok(())
}

/// What all venues on the budget of one need of it, with their names, if that is more than is allowed.
fn beyond(venues: &[VenuePlan], v: &VenuePlan, of: impl Fn(&VenuePlan) -> u32) -> Option<(String, u32)> {
    let group = v.venue.spec().weight_group;
    let same = venues.iter().filter(|o| o.venue.spec().weight_group == group && of(o) > 0);
    let needed = same.clone().fold(0u32, |n, o| n.saturating_add(of(o)));
    let names: Vec<&str> = same.map(|o| o.venue.spec().id).collect();
    (needed > v.weight_polls_allowed).then(|| (names.join(" and "), needed))
}

/// The polls of a venue: those of its channels at their own pace, those of `polls` at the pace that stands there.
///
/// # Errors
/// A name in `polls` that is no poll of the venue.
pub fn of(config: &VenueConfig, venue: &dyn Venue) -> Result<Vec<PollPlan>, PlanFault> {
    let mut all: Vec<PollPlan> = Vec::new();
    for name in &config.channels {
        if let Some(poll) = venue.poll(name).filter(|_| !config.polls.contains_key(name)) {
            all.push(PollPlan { name: name.clone(), poll, every_ns: i64::from(poll.every_s) * NS_PER_S });
        }
    }
    for (name, every_ns) in &config.polls {
        let Some(poll) = venue.poll(name) else {
            let known: Vec<String> = venue.polls().iter().map(Poll::grammar).collect();
            return Err(PlanFault::UnknownPoll {
                venue: config.id.clone(),
                name: name.clone(),
                known: known.join(", "),
            });
        };
        all.push(PollPlan { name: name.clone(), poll, every_ns: *every_ns });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::engine::plan::plan;

    fn fault(text: &str) -> String {
        let c = Config::from_parts("x.toml", text, [], &[]).unwrap();
        plan(&c).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn polls_are_channels_or_have_a_pace_of_their_own_and_cost_by_the_minute() {
        let text = "[[venue]]\nid = \"binance-usdm\"\nsymbols = [\"A\", \"B\"]\n\
                    channels = [\"trade\", \"openInterest\", \"!premiumIndex\"]\n\
                    polls = { openInterest = \"10s\", fundingRate = \"1h\" }\n";
        let p = plan(&Config::from_parts("x.toml", text, [], &[]).unwrap()).unwrap();
        let v = &p.venues[0];
        // A name that stands in both has the pace of `polls`.
        let told: Vec<_> = v.polls.iter().map(|p| (p.name.as_str(), p.every_ns / NS_PER_S)).collect();
        assert_eq!(told, [("!premiumIndex", 60), ("fundingRate", 3600), ("openInterest", 10)]);
        assert_eq!(v.streams.len(), 2, "a poll is no stream");
        // 10 once, 2 symbols 1 each six times, 2 symbols once an hour.
        assert_eq!((v.weight_polls, v.weight_polls_allowed), (10 + 12 + 1, 600));
    }

    #[test]
    fn what_is_beyond_the_budget_is_stretched_by_what_it_is_beyond() {
        let of = |needed, allowed| Strain { needed, allowed };
        assert_eq!((of(40, 15).stretch(), of(40, 15).is_beyond()), (2667, true));
        assert_eq!((of(15, 15).stretch(), of(0, 0).stretch()), (1000, 1000));
        assert_eq!(of(20, 10).or(of(90, 30)), of(90, 30));
        // 40 symbols at 60 s, stretched, need what is allowed and no more.
        let every = 60 * NS_PER_S * of(40, 15).stretch() / 1000;
        assert_eq!(per_window([(40, every)].into_iter(), NS_PER_MIN), 15);
    }

    #[test]
    fn an_allowance_of_its_own_is_kept_and_a_rule_is_told_how_many_symbols_it_bears() {
        let with = |symbols: &str, polls: &str| {
            let text = format!(
                "[[venue]]\nid = \"binance-usdm\"\nsymbols = {symbols}\nchannels = [\"trade\"]\npolls = {{ {polls} }}\n"
            );
            plan(&Config::from_parts("x.toml", &text, [], &[]).unwrap())
        };
        let list = |n: usize| format!("{:?}", (0..n).map(|i| format!("S{i}USDT")).collect::<Vec<_>>());
        // 500 in five minutes are the venue's, half of them ours.
        let e = with(&list(60), "fundingRate = \"1m\"").map(|_| ()).unwrap_err().to_string();
        assert!(e.contains("300 requests in 300 s, 250 are allowed"), "{e}");
        assert!(with(&list(50), "fundingRate = \"1m\"").is_ok());
        let e = with(&list(49), "fundingRate = \"1m\", \"!fundingInfo\" = \"30s\"");
        assert!(e.map(|_| ()).unwrap_err().to_string().contains("255 requests in 300 s"));
        let rule = "{ glob = \"*\" }";
        let most = |polls: &str| with(rule, polls).unwrap().venues[0].polls_symbols_most;
        assert_eq!(most("fundingRate = \"1m\""), Some(50));
        assert_eq!(most("openInterest = \"1m\""), Some(600));
        assert_eq!(most("\"!premiumIndex\" = \"1m\""), None);
    }

    #[test]
    fn lists_that_one_budget_does_not_bear_are_refused_where_they_are_asked_for_so_often() {
        let with = |id: &str, symbols: &str, every: &str| {
            format!(
                "[[venue]]\nid = {id:?}\nsymbols = {symbols}\nchannels = [\"trade\"]\nlist_every = {every:?}\n"
            )
        };
        let fits = |text: &str| plan(&Config::from_parts("x.toml", text, [], &[]).unwrap()).is_ok();
        // 1 of weight for the list and 40 for the volumes, half of 600.
        let ranked = "{ glob = \"*\", top_by_volume = 3 }";
        let e = fault(&with("aster-prediction", ranked, "2s"));
        assert!(
            e.contains("list_every") && e.contains("1230 of weight a minute") && e.contains("300"),
            "{e}"
        );
        assert!(fits(&with("aster-prediction", ranked, "9s")));
        assert!(
            fits(&with("aster-prediction", "{ glob = \"*\" }", "1s"))
                && !fits(&with("pumpkin-perp", "[\"A\"]", "1s"))
        );
        // Both live on one budget.
        let coinm = with("binance-coinm", ranked, "5s");
        assert!(fits(&coinm) && fits(&with("binance-usdm", ranked, "5s")));
        let e = fault(&format!("{coinm}{}", with("binance-usdm", ranked, "5s")));
        assert!(e.contains("binance-coinm and binance-usdm") && e.contains("984 of weight"), "{e}");
        // The venue's own figure is nobody's mistake: what the budget does not bear comes later.
        let of_minute = with("aster-prediction", ranked, "1m") + "rest_weight_share = 0.05\n";
        assert!(!fits(&of_minute) && fits(&of_minute.replace("list_every = \"1m\"\n", "")));
    }

    #[test]
    fn what_cannot_be_polled_or_does_not_fit_is_refused() {
        let venue = |channels: &str, polls: &str| {
            format!(
                "[[venue]]\nid = \"binance-usdm\"\nsymbols = [\"A\"]\nchannels = [{channels}]\npolls = {polls}\n"
            )
        };
        let e = fault(&venue("\"trade\"", "{ openInterst = \"1m\" }"));
        assert!(e.contains("openInterst") && e.contains("klines_<1m…1M>"), "{e}");
        let e = fault(&venue("\"openInterset\"", "{}"));
        assert!(e.contains("unknown channel") && e.contains("by REST: ticker/24hr"), "{e}");
        let e = fault(&venue("\"trade\"", "{ \"!ticker/24hr\" = \"2s\" }"));
        assert!(e.contains("1200 of weight a minute") && e.contains("600"), "{e}");
        // Both live on one budget.
        let coinm = "[[venue]]\nid = \"binance-coinm\"\nsymbols = [\"A_PERP\"]\nchannels = [\"trade\"]\n\
                     polls = { \"!ticker/24hr\" = \"6s\" }\n";
        let e = fault(&format!("{}{coinm}", venue("\"trade\"", "{ \"!ticker/24hr\" = \"10s\" }")));
        assert!(e.contains("640 of weight a minute"), "{e}");
    }
}
