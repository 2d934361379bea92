//! Why a configuration cannot be captured.

use crate::model::PlanError;

/// Why a configuration cannot be captured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanFault {
    /// No such venue.
    #[error("unknown venue {id:?}; the nearest known one is {nearest:?} (known: {known})")]
    UnknownVenue {
        /// What was asked for.
        id: String,
        /// The closest slug.
        nearest: &'static str,
        /// All slugs, comma-separated.
        known: String,
    },
    /// The venue refuses it.
    #[error(transparent)]
    Venue(#[from] PlanError),
    /// Symbols that the venue does not list.
    #[error("{venue}: not listed: {symbols}; correct the symbols or set allow_missing = true")]
    NotListed {
        /// Venue slug.
        venue: String,
        /// The symbols, comma-separated.
        symbols: String,
    },
    /// Venues that share one budget want different shares of it.
    #[error(
        "{} and {} share one REST budget, so rest_weight_share must be the same for both: it is {} and {}",
        .first.0, .second.0, .first.1, .second.1
    )]
    Shares {
        /// A venue and its share.
        first: (String, f64),
        /// Another one.
        second: (String, f64),
    },
    /// Two symbols that the venue's stream names do not tell apart.
    #[error(
        "{venue}: {first:?} and {second:?} have the same stream {stream:?}: one of them is not the venue's spelling"
    )]
    SameStream {
        /// Venue slug.
        venue: String,
        /// A symbol.
        first: String,
        /// Another one.
        second: String,
        /// The stream's name.
        stream: String,
    },
    /// Channels that bring the same events, of which the symbols are in several lanes by now.
    #[error(
        "{venue}: {market} brings what {own} brings, so one lane must see both, and the symbols of {own} are in several: \
         start anew with both, or leave one out"
    )]
    Apart {
        /// Venue slug.
        venue: String,
        /// The channel of the whole market.
        market: String,
        /// That of one instrument.
        own: String,
    },
    /// A rule ranks by what the venue does not tell.
    #[error("{venue}: top_by_volume: the venue has no list of volumes; use the rule's other keys")]
    NoVolumes {
        /// Venue slug.
        venue: String,
    },
    /// A rotation that comes too late, or too often.
    #[error("{venue}: rotate_after: {why}")]
    Rotation {
        /// Venue slug.
        venue: String,
        /// What is wrong and what would be right.
        why: String,
    },
    /// Nobody knows where the venue is.
    #[error("{venue}: its hosts are not documented; write rest = \"https://…\" and ws = \"wss://…\"")]
    HostsNeeded {
        /// Venue slug.
        venue: String,
    },
    /// A figure or name that the venue cannot be given.
    #[error("{venue}: {key}: {why}")]
    Tuning {
        /// Venue slug.
        venue: String,
        /// The key.
        key: &'static str,
        /// What is wrong and what would be right.
        why: String,
    },
    /// What cannot be asked for again and again.
    #[error("{venue}: polls: {name:?} is none of what can be asked for by REST: {known}")]
    UnknownPoll {
        /// Venue slug.
        venue: String,
        /// What was asked for.
        name: String,
        /// Those that there are, comma-separated.
        known: String,
    },
    /// Polls that the budget does not bear.
    #[error(
        "{venue}: what is polled needs {needed} of weight a minute, {allowed} are allowed (half of rest_weight_share is \
         left to snapshots): ask less often, for fewer symbols, or for the whole market at once"
    )]
    Polls {
        /// Venue slugs.
        venue: String,
        /// Weight a minute.
        needed: u32,
        /// Weight a minute.
        allowed: u32,
    },
    /// Instrument lists that the budget does not bear.
    #[error(
        "{venue}: list_every: instrument lists, with the volumes where a rule ranks by them, need {needed} of weight a minute, \
         {allowed} are allowed (half of rest_weight_share is left to snapshots): ask less often, or leave it out"
    )]
    Lists {
        /// Venue slugs.
        venue: String,
        /// Weight a minute.
        needed: u32,
        /// Weight a minute.
        allowed: u32,
    },
    /// Polls that an allowance of their own does not bear.
    #[error(
        "{venue}: what is polled of {pool} needs {needed} requests in {window_s} s, {allowed} are allowed (rest_weight_share of \
         the venue's own limit for these): ask less often, or for fewer symbols"
    )]
    Pool {
        /// Venue slug.
        venue: String,
        /// What the venue counts apart.
        pool: &'static str,
        /// Requests in the window.
        needed: u32,
        /// Requests in the window.
        allowed: u32,
        /// The window, seconds.
        window_s: u32,
    },
    /// A channel that needs an instrument, and a pair.
    #[error(
        "{venue}: {symbol} is a pair, and {channel:?} needs an instrument of it: write {symbol}_PERP, or a delivery contract, and \
         channels that are about pairs find theirs by it"
    )]
    Pair {
        /// Venue slug.
        venue: String,
        /// The channel.
        channel: String,
        /// What was asked for.
        symbol: String,
    },
    /// A fault with its place.
    #[error("{place}: {fault}")]
    At {
        /// `file:line`.
        place: String,
        /// What is wrong there.
        #[source]
        fault: Box<PlanFault>,
    },
    /// Nothing is left to capture.
    #[error("{venue}: no stream is left to capture")]
    Nothing {
        /// Venue slug.
        venue: String,
    },
}
