//! Stream names (`<channel>:<symbol>`, as the venue's `ch` has them), the messages that subscribe, the link plan.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::Ascendex;
use crate::model::instrument::{SYMBOL_BYTES_MAX, SYMBOL_TOO_LONG};
use crate::model::{ConnPlan, Hosts, PlanError, StreamKind, StreamSpec};
use crate::venue::ChannelInfo;

/// The throttled diffs.
pub(super) const DEPTH: &str = "depth";
/// The diffs without a throttle: undocumented for futures, may need an account.
pub(super) const REALTIME: &str = "depth-realtime";
/// Mark and index prices, funding and open interest of all contracts.
pub(super) const ASSETLESS: &str = "futures-pricing-data";
/// Reference prices of assets.
pub(super) const REFERENCE: &str = "ref-px";
/// No arguments.
pub(super) const NONE: &[&str] = &[""];
/// Candle intervals in the venue's words: minutes, then `1d`, `1w` and `1m`, which is one month.
pub(super) const BARS: &[&str] = &["1", "5", "15", "30", "60", "120", "240", "360", "720", "1d", "1w", "1m"];
/// Symbols in one message.
const BATCH: usize = 10;

/// What a channel is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// An instrument.
    Symbol,
    /// The base asset of an instrument.
    Asset,
    /// Nothing: the channel is the whole name.
    Market,
}

/// A row of the grammar: `base`, then one of `args`.
#[derive(Debug)]
pub(super) struct Channel {
    pub base: &'static str,
    pub args: &'static [&'static str],
    pub subject: Subject,
    pub kind: StreamKind,
}

impl Channel {
    /// As [`crate::venue::Venue::channels`] tells it.
    pub(super) fn info(&self, symbol: &'static str) -> ChannelInfo {
        let mut grammar = String::new();
        self.describe(&mut grammar);
        ChannelInfo {
            grammar,
            example: format!("{}{}", self.base, self.args.first().copied().unwrap_or_default()),
            symbol: match self.subject {
                Subject::Symbol => Some(symbol),
                Subject::Asset => symbol.split('/').next(),
                Subject::Market => None,
            },
            kind: self.kind,
        }
    }

    /// `bar:<1…1m>`
    fn describe(&self, out: &mut String) {
        out.push_str(self.base);
        if let [first, .., last] = self.args {
            out.push_str(&format!("<{first}…{last}>"));
        }
    }
}

fn channel_of(venue: &Ascendex, channel: &str) -> Option<&'static Channel> {
    venue.channels.iter().find(|c| channel.strip_prefix(c.base).is_some_and(|rest| c.args.contains(&rest)))
}

/// As [`crate::venue::Venue::is_market`].
pub(super) fn is_market(venue: &Ascendex, channel: &str) -> bool {
    channel_of(venue, channel).is_some_and(|c| c.subject == Subject::Market)
}

/// As [`crate::venue::Venue::stream`].
pub(super) fn stream(venue: &Ascendex, channel: &str, symbol: Option<&str>) -> Result<StreamSpec, PlanError> {
    let Some(rule) = channel_of(venue, channel) else { return Err(unknown_channel(venue, channel)) };
    let spec =
        |name: String, symbol| StreamSpec { name, channel: channel.to_owned(), symbol, kind: rule.kind };
    if rule.subject == Subject::Market {
        return Ok(spec(channel.to_owned(), None));
    }
    let bad =
        |symbol: &str, why| PlanError::BadSymbol { venue: venue.spec.id, symbol: symbol.to_owned(), why };
    let Some(symbol) = symbol else { return Err(bad("", "this channel needs a symbol")) };
    check_symbol(symbol).map_err(|why| bad(symbol, why))?;
    match rule.subject {
        Subject::Asset => {
            let asset = symbol.split('/').next().unwrap_or(symbol);
            check_symbol(asset).map_err(|why| bad(symbol, why))?;
            Ok(spec(format!("{channel}:{asset}"), None))
        }
        _ => Ok(spec(format!("{channel}:{symbol}"), Some(symbol.to_owned()))),
    }
}

/// As [`crate::venue::Venue::parse_stream`].
pub(super) fn parse_stream(venue: &Ascendex, name: &str) -> Option<StreamSpec> {
    if is_market(venue, name) {
        return stream(venue, name, None).ok();
    }
    // Symbols hold no colon; `bar:1:BTC/USDT` has its interval before the last one.
    let (channel, subject) = name.rsplit_once(':')?;
    let rule = channel_of(venue, channel)?;
    if rule.subject == Subject::Market || (rule.subject == Subject::Asset && subject.contains('/')) {
        return None;
    }
    stream(venue, channel, Some(subject)).ok()
}

/// Refuses only what cannot stand in a stream name; the reason otherwise.
pub(super) fn check_symbol(symbol: &str) -> Result<(), &'static str> {
    if symbol.is_empty() {
        return Err("it is empty");
    }
    if symbol.len() > SYMBOL_BYTES_MAX {
        return Err(SYMBOL_TOO_LONG);
    }
    if symbol.contains([':', ',']) {
        return Err("a colon or comma separates names");
    }
    if symbol.contains('*') {
        return Err("a * means all symbols");
    }
    if symbol.chars().any(char::is_control) {
        return Err("it holds a control character");
    }
    Ok(())
}

#[cold]
fn unknown_channel(venue: &Ascendex, channel: &str) -> PlanError {
    let mut known = String::new();
    for c in venue.channels {
        if !known.is_empty() {
            known.push_str(", ");
        }
        c.describe(&mut known);
    }
    crate::venue::list_polls(venue.polls, &mut known);
    PlanError::UnknownChannel { venue: venue.spec.id, channel: channel.to_owned(), known }
}

/// As [`crate::venue::Venue::plan`].
pub(super) fn plan(
    venue: &Ascendex,
    streams: &[StreamSpec],
    hosts: &Hosts,
) -> Result<Vec<ConnPlan>, PlanError> {
    refuse_two_chains(venue, streams)?;
    let base = hosts.ws.as_deref().unwrap_or(venue.spec.ws).trim_end_matches('/');
    let mut seen = BTreeSet::new();
    let once: Vec<StreamSpec> = streams.iter().filter(|s| seen.insert(s.name.as_str())).cloned().collect();
    let one = |streams: &[StreamSpec]| ConnPlan {
        url: format!("{base}{}", venue.path),
        streams: streams.to_vec(),
        subscribe: subscribe(streams),
    };
    let most = hosts.tuning.streams_per_conn.unwrap_or(venue.spec.streams_per_conn_max);
    Ok(once.chunks(most.max(1)).map(one).collect())
}

/// One channel per message, ten symbols in each. Diffs come first: snapshots are asked for right behind them.
fn subscribe(streams: &[StreamSpec]) -> Vec<String> {
    let mut channels: Vec<&str> = Vec::new();
    let mut subjects: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for first in [true, false] {
        for s in streams.iter().filter(|s| (s.kind == StreamKind::DepthDiff) == first) {
            if !channels.contains(&s.channel.as_str()) {
                channels.push(&s.channel);
            }
            let subject = s.name.strip_prefix(s.channel.as_str()).and_then(|n| n.strip_prefix(':'));
            subjects.entry(&s.channel).or_default().extend(subject);
        }
    }
    let mut out = Vec::new();
    for c in channels {
        let names = subjects.remove(c).unwrap_or_default();
        if names.is_empty() {
            out.push(request("sub", out.len(), c));
        }
        for batch in names.chunks(BATCH) {
            out.push(request("sub", out.len(), &format!("{c}:{}", batch.join(","))));
        }
    }
    out
}

fn request(op: &str, n: usize, ch: &str) -> String {
    json!({"op": op, "id": format!("{op}{n}"), "ch": ch}).to_string()
}

/// Two families of one book are two chains of ids: mixed, neither proves anything.
fn refuse_two_chains(venue: &Ascendex, streams: &[StreamSpec]) -> Result<(), PlanError> {
    let mut seen: BTreeMap<&str, &StreamSpec> = BTreeMap::new();
    for s in streams.iter().filter(|s| s.kind == StreamKind::DepthDiff) {
        let Some(symbol) = s.symbol.as_deref() else { continue };
        let first = *seen.entry(symbol).or_insert(s);
        if first.name != s.name {
            return Err(PlanError::TwoChains {
                venue: venue.spec.id,
                symbol: symbol.to_owned(),
                a: first.channel.clone(),
                b: s.channel.clone(),
            });
        }
    }
    Ok(())
}

/// What a snapshot's request is called, before its symbol: errors echo it, answers do not.
pub(super) const SNAPSHOT_ID: &str = "snapshot:";

/// As [`crate::venue::Venue::snapshot_message`]. Each family of diffs has a request of its own.
pub(super) fn snapshot_message(stream: &StreamSpec) -> Option<String> {
    let symbol = stream.symbol.as_deref()?;
    let action = match stream.channel.as_str() {
        DEPTH => "depth-snapshot",
        REALTIME => "depth-snapshot-realtime",
        _ => return None,
    };
    let id = format!("{SNAPSHOT_ID}{symbol}");
    Some(json!({"op": "req", "id": id, "action": action, "args": {"symbol": symbol}}).to_string())
}

/// As [`crate::venue::Venue::resubscribe_messages`].
pub(super) fn resubscribe_messages(stream: &StreamSpec) -> Vec<String> {
    ["unsub", "sub"].into_iter().map(|op| request(op, 0, &stream.name)).collect()
}
