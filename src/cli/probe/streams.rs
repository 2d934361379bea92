//! What a probe subscribes to: every channel that a venue has, and each speed of it.

use std::collections::BTreeSet;

use crate::model::{ConnPlan, Hosts, Poll, StreamSpec};
use crate::venue::{ChannelInfo, Venue};

/// What is tried.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Streams, each name once.
    pub streams: Vec<StreamSpec>,
    /// What is asked for by REST, with its name in the configuration and its symbol ("" = the whole market).
    pub polls: Vec<(&'static Poll, String, String)>,
    /// Channels that no symbol here has, and why.
    pub skipped: Vec<(String, String)>,
}

/// A channel's example, and the same with each part that its grammar has in square brackets.
fn variants(c: &ChannelInfo) -> Vec<String> {
    let options: Vec<&str> = c.grammar.split('[').skip(1).filter_map(|o| o.split(']').next()).collect();
    let base = options.iter().find_map(|o| c.example.strip_suffix(o)).unwrap_or(&c.example);
    let mut all = vec![c.example.clone(), base.to_owned()];
    all.extend(options.iter().map(|o| format!("{base}{o}")));
    let mut seen = BTreeSet::new();
    all.retain(|v| seen.insert(v.clone()));
    all
}

/// All that a venue has for these symbols; `only` (if not empty) are the channels that are meant.
pub fn wanted(venue: &dyn Venue, symbols: &[String], only: &[String]) -> Wanted {
    let mut w = Wanted::default();
    let mut seen = BTreeSet::new();
    let mut channels: Vec<(String, bool, bool)> = Vec::new();
    for c in venue.channels() {
        let example = c.example.clone();
        let one = |v: String| (v.clone(), c.symbol.is_some(), v == example);
        channels.extend(variants(&c).into_iter().map(one));
    }
    // A channel that the list gives by example only (`depth5` of `depth<5…20>`) may be asked for by name.
    let named = only.iter().filter(|o| !channels.iter().any(|c| &c.0 == *o));
    let named: Vec<_> = named.map(|o| (o.clone(), !venue.is_market(o), true)).collect();
    channels.extend(named);
    for (channel, has_symbol, is_example) in channels {
        if !only.is_empty() && !only.contains(&channel) {
            continue;
        }
        let subjects: Vec<Option<&str>> =
            if has_symbol { symbols.iter().map(|s| Some(s.as_str())).collect() } else { vec![None] };
        if venue.poll(&channel).is_some() {
            continue;
        }
        for s in subjects {
            match venue.stream(&channel, s) {
                Ok(spec) if seen.insert(spec.name.clone()) => w.streams.push(spec),
                Ok(_) => {}
                // A bare name that takes an argument is none; its example was tried.
                Err(_) if !is_example => {}
                Err(e) => w.skipped.push((channel.clone(), e.to_string())),
            }
        }
    }
    w.polls = polls(venue, symbols, only);
    w
}

/// What can be asked for by REST again and again, once: of a poll that takes an argument the first form, unless others are meant.
fn polls(venue: &dyn Venue, symbols: &[String], only: &[String]) -> Vec<(&'static Poll, String, String)> {
    let mut out = Vec::new();
    for poll in venue.polls() {
        let names: Vec<String> = match only.is_empty() {
            true => poll.args.first().map(|a| format!("{}{a}", poll.channel)).into_iter().collect(),
            false => only.iter().filter(|o| poll.arg_of(o).is_some()).cloned().collect(),
        };
        for name in names {
            let of: &[String] = if poll.per_symbol { symbols } else { &[String::new()] };
            out.extend(of.iter().map(|s| (poll, name.clone(), s.clone())));
        }
    }
    out
}

/// Spreads streams over connections; two chains of one book are on connections of their own.
pub fn connections(venue: &dyn Venue, streams: &[StreamSpec], hosts: &Hosts) -> Vec<ConnPlan> {
    let mut groups: Vec<Vec<StreamSpec>> = Vec::new();
    for s in streams {
        let with = |g: &Vec<StreamSpec>| -> bool {
            let mut all = g.clone();
            all.push(s.clone());
            venue.plan(&all, hosts).is_ok()
        };
        match groups.iter_mut().find(|g| with(g)) {
            Some(g) => g.push(s.clone()),
            None => groups.push(vec![s.clone()]),
        }
    }
    // A group that cannot be planned alone has no connection: its streams are told as never asked for.
    groups.iter().flat_map(|g| venue.plan(g, hosts).unwrap_or_default()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_channel_of_every_venue_is_tried_in_each_speed_and_on_some_connection() {
        for v in crate::venue::all() {
            let symbols = ["BTCUSDT".to_owned()];
            let w = wanted(*v, &symbols, &[]);
            let conns = connections(*v, &w.streams, &Hosts::default());
            let planned: BTreeSet<&str> =
                conns.iter().flat_map(|c| c.streams.iter().map(|s| s.name.as_str())).collect();
            let asked: BTreeSet<&str> = w.streams.iter().map(|s| s.name.as_str()).collect();
            assert_eq!(planned, asked, "{}", v.spec().id);
            for c in v.channels() {
                let tried = w.streams.iter().any(|s| s.channel == c.example)
                    || w.polls.iter().any(|p| p.1 == c.example)
                    || w.skipped.iter().any(|s| s.0 == c.example);
                assert!(tried, "{}: {}", v.spec().id, c.example);
            }
            let polled: BTreeSet<&str> = w.polls.iter().map(|p| p.0.channel).collect();
            assert!(v.polls().iter().all(|p| polled.contains(p.channel)), "{}: {polled:?}", v.spec().id);
            for (poll, name, symbol) in &w.polls {
                let path = crate::venue::poll_request(poll, name, symbol).path;
                assert!(!path.contains('{') && poll.per_symbol != symbol.is_empty(), "{path}");
            }
        }
        let v = crate::venue::by_id("aster-futures").unwrap().1;
        let w = wanted(v, &["BTCUSDT".to_owned()], &[]);
        let has = |c: &str| w.streams.iter().any(|s| s.channel == c);
        assert!(has("depth") && has("depth@100ms") && has("depth@0ms") && has("markPrice@1s"));
        assert_eq!(w.skipped, []);
        let w = wanted(v, &["BTCUSDT".to_owned()], &["depth20@100ms".to_owned()]);
        assert_eq!((w.streams.len(), w.polls.len()), (1, 0));
    }
}
