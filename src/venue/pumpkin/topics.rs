//! Topics (`depth@btc_usdt,10`), the messages that subscribe, the link plan.

use std::collections::BTreeMap;

use super::rest;
use crate::model::instrument::{SYMBOL_BYTES_MAX, SYMBOL_TOO_LONG};
use crate::model::{ConnPlan, Hosts, PlanError, StreamKind, StreamSpec, Tuning};
use crate::venue::ChannelInfo;

/// Topics in one message; the venue's limit is not documented.
pub(super) const BATCH: usize = 10;
/// Candle intervals; `1m` is a minute and `1M` a month.
pub(super) const INTERVALS: [&str; 11] = ["1m", "5m", "15m", "30m", "1h", "4h", "1d", "1w", "1M", "3M", "6M"];
const KNOWN: &str = "depth,<levels>, depth.update, trade, kline,<1m…6M>";

/// What a topic carries.
fn kind_of(channel: &str) -> Option<StreamKind> {
    match channel.split_once(',') {
        None if channel == "trade" => Some(StreamKind::TradeSparse),
        // Which topic brings changes is not known. What comes on this one changes the book of `depth`.
        None if channel == "depth.update" => Some(StreamKind::RawOnly),
        Some(("depth", n)) if is_levels(n) => Some(StreamKind::DepthDiff),
        Some(("kline", i)) if INTERVALS.contains(&i) => Some(StreamKind::Kline),
        _ => None,
    }
}

fn is_levels(n: &str) -> bool {
    !n.starts_with('0') && n.len() <= 3 && !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())
}

fn check_symbol(symbol: &str) -> Result<(), &'static str> {
    if symbol.is_empty() {
        return Err("it is empty");
    }
    if symbol.len() > SYMBOL_BYTES_MAX {
        return Err(SYMBOL_TOO_LONG);
    }
    if symbol.contains(['@', ',']) {
        return Err("an @ or a comma parts the topic");
    }
    if symbol.chars().any(char::is_control) {
        return Err("it holds a control character");
    }
    Ok(())
}

/// As [`crate::venue::Venue::channels`].
pub(super) fn channels() -> Vec<ChannelInfo> {
    let info = |grammar: &str, example: &str, symbol| ChannelInfo {
        grammar: grammar.to_owned(),
        example: example.to_owned(),
        symbol,
        kind: kind_of(example).unwrap_or(StreamKind::RawOnly),
    };
    vec![
        info("depth,<levels>", "depth,10", Some("btc_usdt")),
        info("depth.update", "depth.update", Some("btc_usdt")),
        info("trade", "trade", Some("btc_usdt")),
        info("kline,<1m…6M>", "kline,1m", Some("btc_usdt")),
    ]
}

/// As [`crate::venue::Venue::stream`].
pub(super) fn stream(channel: &str, symbol: Option<&str>) -> Result<StreamSpec, PlanError> {
    let venue = super::SPEC.id;
    let Some(kind) = kind_of(channel) else {
        let mut known = KNOWN.to_owned();
        crate::venue::list_polls(&rest::POLLS, &mut known);
        return Err(PlanError::UnknownChannel { venue, channel: channel.to_owned(), known });
    };
    let bad = |symbol: &str, why| PlanError::BadSymbol { venue, symbol: symbol.to_owned(), why };
    let Some(symbol) = symbol else { return Err(bad("", "this channel needs a symbol")) };
    check_symbol(symbol).map_err(|why| bad(symbol, why))?;
    let name = match channel.split_once(',') {
        None => format!("{channel}@{symbol}"),
        Some((base, arg)) => format!("{base}@{symbol},{arg}"),
    };
    Ok(StreamSpec { name, channel: channel.to_owned(), symbol: Some(symbol.to_owned()), kind })
}

/// As [`crate::venue::Venue::parse_stream`].
pub(super) fn parse_stream(name: &str) -> Option<StreamSpec> {
    let (base, rest) = name.split_once('@')?;
    let (symbol, channel) = match rest.split_once(',') {
        None => (rest, base.to_owned()),
        Some((symbol, arg)) => (symbol, format!("{base},{arg}")),
    };
    stream(&channel, Some(symbol)).ok().filter(|s| s.name == name)
}

/// A message that begins or ends topics.
pub(super) fn message(method: &str, topics: &[&str], tuning: &Tuning) -> String {
    let topics: Vec<String> = topics.iter().map(|t| on_the_wire(t, tuning)).collect();
    serde_json::json!({ "events": topics, "method": method }).to_string()
}

/// What a topic is called on the wire. Its format is inferred from examples, so the configuration may say another; streams
/// keep their names, because frames do not tell their topic.
fn on_the_wire(name: &str, tuning: &Tuning) -> String {
    let (symbol, levels, template) = match name.split_once('@') {
        Some(("depth", rest)) => match rest.split_once(',') {
            Some((symbol, levels)) => (symbol, levels, &tuning.book_topic),
            None => (rest, "", &tuning.book_topic),
        },
        Some(("depth.update", symbol)) => (symbol, "", &tuning.book_update_topic),
        _ => ("", "", &None),
    };
    match template {
        Some(t) => t.replace("{levels}", levels).replace("{symbol}", symbol),
        None => name.to_owned(),
    }
}

/// As [`crate::venue::Venue::plan`]. All topics of a symbol share a connection: what they say of a book has one chain of ids.
pub(super) fn plan(streams: &[StreamSpec], hosts: &Hosts) -> Result<Vec<ConnPlan>, PlanError> {
    refuse_two_chains(streams)?;
    let base = hosts.ws.as_deref().unwrap_or(super::SPEC.ws);
    // The path is as unknown as the host: what the configuration says is the whole of it.
    let has_path = base.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
    let url = if has_path { base.to_owned() } else { format!("{base}/") };
    let mut order: Vec<&str> = Vec::new();
    let mut groups: BTreeMap<&str, Vec<&StreamSpec>> = BTreeMap::new();
    for s in streams {
        let symbol = s.symbol.as_deref().unwrap_or("");
        let group = groups.entry(symbol).or_default();
        if group.is_empty() {
            order.push(symbol);
        }
        if !group.iter().any(|g| g.name == s.name) {
            group.push(s);
        }
    }
    let mut plans: Vec<ConnPlan> = Vec::new();
    let most = hosts.tuning.streams_per_conn.unwrap_or(super::SPEC.streams_per_conn_max);
    for symbol in order {
        let group = &groups[symbol];
        let fits = |p: &ConnPlan| p.streams.len() + group.len() <= most;
        if !plans.last().is_some_and(fits) {
            plans.push(ConnPlan { url: url.clone(), streams: Vec::new(), subscribe: Vec::new() });
        }
        for s in group {
            match plans.last_mut() {
                Some(p) if p.streams.len() < most => p.streams.push((*s).clone()),
                // One symbol with more topics than a connection takes.
                _ => plans.push(ConnPlan {
                    url: url.clone(),
                    streams: vec![(*s).clone()],
                    subscribe: Vec::new(),
                }),
            }
        }
    }
    for p in &mut plans {
        let names: Vec<&str> = p.streams.iter().map(|s| s.name.as_str()).collect();
        let batch = hosts.tuning.topics_per_message.unwrap_or(BATCH).max(1);
        p.subscribe = names.chunks(batch).map(|c| message("sub", c, &hosts.tuning)).collect();
    }
    Ok(plans)
}

/// Two depths of one book are two views of it: mixed, neither proves anything.
fn refuse_two_chains(streams: &[StreamSpec]) -> Result<(), PlanError> {
    let mut seen: BTreeMap<&str, &StreamSpec> = BTreeMap::new();
    for s in streams.iter().filter(|s| s.kind == StreamKind::DepthDiff) {
        let symbol = s.symbol.as_deref().unwrap_or("");
        let first = *seen.entry(symbol).or_insert(s);
        if first.name != s.name {
            return Err(PlanError::TwoChains {
                venue: super::SPEC.id,
                symbol: symbol.to_owned(),
                a: first.channel.clone(),
                b: s.channel.clone(),
            });
        }
    }
    Ok(())
}
