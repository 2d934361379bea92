//! Streams to connections: as few as the venue's limits allow, every stream in its connection's URL.
//!
//! Names in the URL send no message at all and fix a connection's set of streams for its whole life; bare `/stream`
//! with SUBSCRIBE was seen to acknowledge and stay silent.

use std::collections::BTreeMap;

use super::{Family, streams};
use crate::model::{ConnPlan, Hosts, PlanError, StreamKind, StreamSpec};
use crate::parse::url::encode_into;

/// As [`crate::venue::Venue::plan`].
pub(super) fn plan(
    family: &Family,
    streams: &[StreamSpec],
    hosts: &Hosts,
) -> Result<Vec<ConnPlan>, PlanError> {
    refuse_two_chains(family, streams)?;
    let base = hosts.ws.as_deref().unwrap_or(family.spec.ws).trim_end_matches('/');
    let mut plans = Vec::new();
    let own: Vec<&str> = match &hosts.tuning.routes {
        Some(prefixes) => prefixes.iter().map(String::as_str).collect(),
        None => family.routes.to_vec(),
    };
    // Without prefixes one address serves all.
    let routes = if own.is_empty() { vec![""] } else { own };
    let most = hosts.tuning.streams_per_conn.unwrap_or(family.spec.streams_per_conn_max);
    for (route, prefix) in routes.iter().enumerate() {
        let start = format!("{base}{prefix}/stream?streams=");
        let mut open: Option<ConnPlan> = None;
        let mut seen = std::collections::BTreeSet::new();
        for s in streams.iter().filter(|s| routes.len() == 1 || route_of(family, s) == route) {
            if !seen.insert(s.name.as_str()) {
                continue;
            }
            let mut name = String::new();
            encode_into(&mut name, &s.name, "@!:");
            let full = |p: &ConnPlan| {
                p.streams.len() >= most || p.url.len() + 1 + name.len() > family.spec.url_bytes_max
            };
            if open.as_ref().is_some_and(full) {
                plans.extend(open.take());
            }
            let p = open.get_or_insert_with(|| ConnPlan {
                url: start.clone(),
                streams: Vec::new(),
                subscribe: Vec::new(),
            });
            if !p.streams.is_empty() {
                p.url.push('/');
            }
            p.url.push_str(&name);
            p.streams.push(s.clone());
        }
        plans.extend(open);
    }
    Ok(plans)
}

fn route_of(family: &Family, s: &StreamSpec) -> usize {
    streams::channel_of(family, &s.channel).map_or(0, |c| c.route)
}

/// Two speeds of one book are two chains of ids: mixed, neither proves anything.
fn refuse_two_chains(family: &Family, streams: &[StreamSpec]) -> Result<(), PlanError> {
    let mut seen: BTreeMap<(bool, &str), &StreamSpec> = BTreeMap::new();
    for s in streams {
        let Some(symbol) = s.symbol.as_deref() else { continue };
        if !matches!(s.kind, StreamKind::DepthDiff | StreamKind::DepthPartial) {
            continue;
        }
        let first = *seen.entry((s.kind == StreamKind::DepthDiff, symbol)).or_insert(s);
        if first.name != s.name {
            return Err(PlanError::TwoChains {
                venue: family.spec.id,
                symbol: symbol.to_owned(),
                a: first.channel.clone(),
                b: s.channel.clone(),
            });
        }
    }
    Ok(())
}
