//! What is asked for by REST again and again: which answers, how often, and what they cost.

use crate::config::VenueConfig;
use crate::model::Poll;
use crate::model::time::{NS_PER_MIN, NS_PER_S};
use crate::venue::Venue;

use super::plan::PlanFault;

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

/// Weight a minute of all polls for so many symbols, rounded up once: many that are rare cost no more than one that is not.
pub fn weight_per_minute(polls: &[PollPlan], symbols: usize) -> u32 {
    let of = |p: &PollPlan| {
        let asked = if p.poll.per_symbol { symbols as i128 } else { 1 };
        i128::from(p.poll.weight) * asked * MICRO * i128::from(NS_PER_MIN) / i128::from(p.every_ns.max(1))
    };
    let all: i128 = polls.iter().map(of).sum();
    u32::try_from((all + MICRO - 1) / MICRO).unwrap_or(u32::MAX)
}

/// Weights are added up in millionths.
const MICRO: i128 = 1_000_000;

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
