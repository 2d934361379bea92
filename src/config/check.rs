//! From what is written to what is meant: defaults, ranges, and what only makes sense together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use toml::Spanned;

use super::error::{ConfigError, line_of};
use super::raw::{CaptureTable, DatasetTable, Raw, Symbols, VenueTable, WaitWord};
use super::{Capture, Config, Dataset, Http, Places, SymbolRule, Tls, VenueConfig, Wait};
use crate::model::Tuning;
use crate::model::instrument::SYMBOL_BYTES_MAX;
use crate::model::time::{NS_PER_DAY, NS_PER_MIN, NS_PER_MS, NS_PER_S};

const MIB: u64 = 1 << 20;
/// Symbols of one venue.
const SYMBOLS_MAX: usize = 20_000;

/// Turns the file into a configuration; `name` and `text` are for errors.
pub(super) fn check(raw: Raw, name: &str, text: &str) -> Result<Config, ConfigError> {
    // Faults of the tables below may come from the environment or a flag as well, so they name the key, not a line.
    let bad = |key: &str, message: String| ConfigError::in_source(format!("{name}: {key}"), message);
    if raw.venue.is_empty() {
        return Err(ConfigError::in_source(
            name,
            "there is no [[venue]], so there is nothing to capture; add one",
        ));
    }
    let mut venues = Vec::with_capacity(raw.venue.len());
    let mut seen = BTreeSet::new();
    for v in raw.venue {
        let at = v.span().start;
        let v = venue(v, name, text)?;
        if !seen.insert(v.id.clone()) {
            let message =
                format!("venue {:?} stands twice; put its symbols and channels into one [[venue]]", v.id);
            return Err(ConfigError::at(name, text, at, message));
        }
        venues.push(v);
    }
    Ok(Config {
        dataset: dataset(raw.dataset.unwrap_or_default(), &bad)?,
        capture: capture(raw.capture.unwrap_or_default(), &bad)?,
        http: raw.http.and_then(|h| h.listen).map(|l| Http { listen: l.0 }),
        tls: Tls { ca: raw.tls.and_then(|t| t.ca).map(PathBuf::from) },
        proxy: raw.proxy.map(|p| p.0),
        venues,
    })
}

/// Whether a day has a whole number of such intervals: no file holds rows of two days.
///
/// # Errors
/// What it must be.
pub fn fits_a_day(interval_ns: i64) -> Result<(), String> {
    if interval_ns < NS_PER_S || NS_PER_DAY % interval_ns != 0 {
        return Err("must divide a day evenly and be at least 1s, like \"1h\", \"15m\", \"10s\"".to_owned());
    }
    Ok(())
}

fn dataset(d: DatasetTable, bad: &dyn Fn(&str, String) -> ConfigError) -> Result<Dataset, ConfigError> {
    let path = d.path.unwrap_or_else(|| "data".to_owned());
    if path.is_empty() {
        return Err(bad("dataset.path", "the path is empty; name the directory of the dataset".to_owned()));
    }
    let interval_ns = d.interval.map_or(60 * NS_PER_MIN, |i| i.ns);
    fits_a_day(interval_ns).map_err(|why| bad("dataset.interval", why))?;
    let book_top_interval_ns = d.book_top_interval.map_or(100 * NS_PER_MS, |i| i.ns);
    if !(0..=NS_PER_DAY).contains(&book_top_interval_ns) {
        return Err(bad(
            "dataset.book_top_interval",
            "must be between \"0\" (every change) and \"1d\"".to_owned(),
        ));
    }
    let mut keep = BTreeMap::new();
    for (table, age) in d.keep.unwrap_or_default().entries() {
        if age.ns < NS_PER_DAY {
            let message = "whole UTC days go at once, so the least is \"1d\"".to_owned();
            return Err(bad(&format!("dataset.keep.{table}"), message));
        }
        keep.insert(table.to_owned(), age.ns);
    }
    let max_size = d.max_size.map(|s| s.bytes);
    if max_size.is_some_and(|n| n < 100 * MIB) {
        return Err(bad("dataset.max_size", "the least is \"100MiB\"".to_owned()));
    }
    Ok(Dataset { path: PathBuf::from(path), interval_ns, book_top_interval_ns, keep, max_size })
}

fn capture(c: CaptureTable, bad: &dyn Fn(&str, String) -> ConfigError) -> Result<Capture, ConfigError> {
    let size = |key: &str, value: Option<super::Size>, default: u64, least: u64, most: u64| {
        let n = value.map_or(default, |s| s.bytes);
        if (least..=most).contains(&n) {
            return Ok(n);
        }
        Err(bad(key, format!("must be between {}MiB and {}MiB", least / MIB, most / MIB)))
    };
    // The least takes the longest message that the wire lets through (8 MiB) at any position.
    let ring_size = size("capture.ring_size", c.ring_size, 64 * MIB, 32 * MIB, 4096 * MIB)?;
    if !ring_size.is_power_of_two() {
        return Err(bad("capture.ring_size", "must be a power of two, like \"64MiB\"".to_owned()));
    }
    let segment_size = size("capture.segment_size", c.segment_size, 128 * MIB, MIB, 1024 * MIB)?;
    let converter_memory =
        size("capture.converter_memory", c.converter_memory, 256 * MIB, 16 * MIB, 16_384 * MIB)?;
    let cores: Vec<usize> = c.cores.unwrap_or_default().into_iter().map(usize::from).collect();
    if cores.iter().collect::<BTreeSet<_>>().len() != cores.len() {
        return Err(bad("capture.cores", "a core stands twice; each reader thread needs its own".to_owned()));
    }
    let dir = |key: &str, d: Option<String>| match d {
        Some(d) if d.is_empty() => Err(bad(key, "the path is empty; leave the key out instead".to_owned())),
        d => Ok(d.map(PathBuf::from)),
    };
    Ok(Capture {
        cores,
        wait: match c.wait {
            Some(WaitWord::Spin) => Wait::Spin,
            Some(WaitWord::Epoll) | None => Wait::Epoll,
        },
        ring_size,
        segment_size,
        converter_memory,
        disk_reserve: c.disk_reserve.map_or(256 * MIB, |s| s.bytes),
        runtime_dir: dir("capture.runtime_dir", c.runtime_dir)?,
        fallback_dir: dir("capture.fallback_dir", c.fallback_dir)?,
        wall_offset_ns: c.wall_offset.map_or(0, |d| d.ns),
    })
}

fn places(v: &VenueTable, name: &str, text: &str) -> Places {
    let line = |at: Option<usize>| at.map_or(0, |at| line_of(text, at));
    let id = line(v.id.as_ref().map(|s| s.span().start));
    let channels = v.channels.iter().flat_map(|c| c.get_ref());
    Places {
        file: name.to_owned(),
        id,
        symbols: v.symbols.as_ref().map_or(id, |s| line_of(text, s.span().start)),
        polls: line(v.polls.as_ref().map(|p| p.span().start)),
        channels: channels.map(|c| (c.get_ref().clone(), line_of(text, c.span().start))).collect(),
        keys: key_places(v).into_iter().filter_map(|(k, at)| Some((k, line_of(text, at?)))).collect(),
    }
}

/// Where the keys stand that are about the venue itself.
fn key_places(v: &VenueTable) -> [(&'static str, Option<usize>); 13] {
    fn at<T>(s: &Option<Spanned<T>>) -> Option<usize> {
        s.as_ref().map(|s| s.span().start)
    }
    [
        ("ping_interval", at(&v.ping_interval)),
        ("pong_timeout", at(&v.pong_timeout)),
        ("max_topics_per_conn", at(&v.max_topics_per_conn)),
        ("max_topics_per_frame", at(&v.max_topics_per_frame)),
        ("rest_budget_per_min", at(&v.rest_budget_per_min)),
        ("rest_max_per_s", at(&v.rest_max_per_s)),
        ("book_topic_template", at(&v.book_topic_template)),
        ("book_update_topic_template", at(&v.book_update_topic_template)),
        ("ws_routes", at(&v.ws_routes)),
        ("server_ping_reply", at(&v.server_ping_reply)),
        ("rest_auth", at(&v.rest_auth)),
        ("id_policy", at(&v.id_policy)),
        ("rotate_after", at(&v.rotate_after)),
    ]
}

/// What is said of the venue itself; whether it can be given that only the venue knows.
fn tuning(v: &mut VenueTable) -> Result<Tuning, Fault> {
    let count = |n: Option<Spanned<u32>>| n.map(|n| n.into_inner() as usize);
    Ok(Tuning {
        streams_per_conn: count(v.max_topics_per_conn.take()),
        topics_per_message: count(v.max_topics_per_frame.take()),
        ping_every_s: seconds("ping_interval", v.ping_interval.take())?,
        dead_after_s: seconds("pong_timeout", v.pong_timeout.take())?,
        weight_per_minute: v.rest_budget_per_min.take().map(Spanned::into_inner),
        rest_per_s: v.rest_max_per_s.take().map(Spanned::into_inner),
        book_topic: v.book_topic_template.take().map(Spanned::into_inner),
        book_update_topic: v.book_update_topic_template.take().map(Spanned::into_inner),
        routes: v.ws_routes.take().map(Spanned::into_inner),
        ping_reply: v.server_ping_reply.take().map(Spanned::into_inner),
        rest_auth: v.rest_auth.take().map(Spanned::into_inner),
    })
}

/// Whole seconds; the fault with its place otherwise.
fn seconds(key: &str, d: Option<At>) -> Result<Option<u32>, Fault> {
    let Some(d) = d else { return Ok(None) };
    let (at, ns) = (d.span().start, d.into_inner().ns);
    match u32::try_from(ns / NS_PER_S) {
        Ok(s) if s > 0 && ns % NS_PER_S == 0 => Ok(Some(s)),
        _ => Err((at, format!("{key}: write whole seconds, from \"1s\" on"))),
    }
}

fn venue(v: Spanned<VenueTable>, name: &str, text: &str) -> Result<VenueConfig, ConfigError> {
    let table_at = v.span().start;
    let mut v = v.into_inner();
    let places = places(&v, name, text);
    let tuning = tuning(&mut v).map_err(|(at, fault)| ConfigError::at(name, text, at, fault))?;
    let Some(id) = v.id.map(Spanned::into_inner) else {
        let message = "this [[venue]] has no id; add one like id = \"aster-futures\"";
        return Err(ConfigError::at(name, text, table_at, message));
    };
    let symbols_at = v.symbols.as_ref().map_or(table_at, |s| s.span().start);
    let (symbols, rule) = match v.symbols.map(Spanned::into_inner) {
        None => (Vec::new(), None),
        Some(Symbols::List(all)) => (all, None),
        Some(Symbols::Rule(rule)) => (Vec::new(), Some(rule)),
    };
    let Some(channels) = v.channels else {
        let message =
            format!("venue {id:?} has no channels, so it has no streams; add channels = [\"depth@100ms\"]");
        return Err(ConfigError::at(name, text, table_at, message));
    };
    let channels_at = channels.span().start;
    let channels: Vec<String> = channels.into_inner().into_iter().map(Spanned::into_inner).collect();
    if channels.is_empty() {
        let message = format!("venue {id:?}: the list of channels is empty, so there are no streams");
        return Err(ConfigError::at(name, text, channels_at, message));
    }
    if let Some(fault) = rule.as_ref().and_then(SymbolRule::fault) {
        return Err(ConfigError::at(name, text, symbols_at, format!("venue {id:?}: symbols: {fault}")));
    }
    if symbols.is_empty() && rule.is_none() && channels.iter().any(|c| !c.starts_with('!')) {
        let message = format!(
            "venue {id:?}: no symbols, so there are zero streams; list some (only all-market channels, which begin \
             with \"!\", do without)"
        );
        return Err(ConfigError::at(name, text, symbols_at, message));
    }
    for (what, names, at) in [("symbol", &symbols, symbols_at), ("channel", &channels, channels_at)] {
        if let Some(fault) = names_fault(what, names) {
            return Err(ConfigError::at(name, text, at, format!("venue {id:?}: {fault}")));
        }
    }
    let at_key = |(at, fault): Fault| ConfigError::at(name, text, at, format!("venue {id:?}: {fault}"));
    let rotate_after_ns = rotate_after(v.rotate_after).map_err(at_key)?;
    let silent_after_ns = or_off("silent_after", v.silent_after, NS_PER_MIN).map_err(at_key)?;
    let audit_every_ns = or_off("audit_every", v.audit_every, 10 * NS_PER_MIN).map_err(at_key)?;
    let list_every_ns = list_every(v.list_every).map_err(at_key)?;
    let polls = polls(v.polls).map_err(at_key)?;
    Ok(VenueConfig {
        id,
        symbols,
        rule,
        channels,
        polls,
        backfill: v.backfill.unwrap_or(true),
        legs: v.legs.map_or(1, |l| l.0),
        rest: v.rest.map(|r| r.0),
        ws: v.ws.map(|w| w.0),
        allow_missing: v.allow_missing.unwrap_or(false),
        rest_weight_share: v.rest_weight_share.map_or(0.5, |s| s.0),
        rotate_after_ns,
        silent_after_ns,
        list_every_ns,
        audit_every_ns,
        id_policy: v.id_policy.map(Spanned::into_inner),
        key_file: v.key_file.map(PathBuf::from),
        tuning,
        places,
    })
}

/// What is wrong with a key of a venue, and the byte at which it stands.
type Fault = (usize, String);

/// A key's time with its place.
type At = Spanned<super::Duration>;

/// How old a connection becomes, ns.
fn rotate_after(d: Option<At>) -> Result<Option<i64>, Fault> {
    d.map(|d| match d.get_ref().ns {
        ns if ns < NS_PER_S => Err((d.span().start, "rotate_after: the least is \"1s\"".to_owned())),
        ns => Ok(ns),
    })
    .transpose()
}

/// How often the instrument list is asked for, ns.
fn list_every(d: Option<At>) -> Result<Option<i64>, Fault> {
    d.map(|d| match d.get_ref().ns {
        ns if (NS_PER_S..=NS_PER_DAY).contains(&ns) => Ok(ns),
        _ => Err((d.span().start, "list_every: must be between \"1s\" and \"1d\"".to_owned())),
    })
    .transpose()
}

/// A time of a second or more, ns; 0 turns the thing off.
fn or_off(key: &str, value: Option<At>, default: i64) -> Result<i64, Fault> {
    let Some(d) = value else { return Ok(default) };
    match d.get_ref().ns {
        0 => Ok(0),
        ns if ns < NS_PER_S => {
            Err((d.span().start, format!("{key}: the least is \"1s\"; \"0\" turns it off")))
        }
        ns => Ok(ns),
    }
}

/// How often each is asked for, ns.
fn polls(polls: Option<Spanned<BTreeMap<String, At>>>) -> Result<BTreeMap<String, i64>, Fault> {
    let polls = polls.map(Spanned::into_inner).unwrap_or_default();
    let every = |(name, d): (String, At)| match d.get_ref().ns {
        ns if ns < NS_PER_S => Err((d.span().start, format!("polls: {name:?}: the least is \"1s\""))),
        ns => Ok((name, ns)),
    };
    polls.into_iter().map(every).collect()
}

/// What no venue could mean: empty, overlong or unprintable names, names that stand twice, too many of them.
fn names_fault(what: &str, names: &[String]) -> Option<String> {
    if names.len() > SYMBOLS_MAX {
        return Some(format!("{} {what}s; the most is {SYMBOLS_MAX}", names.len()));
    }
    let mut seen = BTreeSet::new();
    for n in names {
        if n.is_empty() || n.len() > SYMBOL_BYTES_MAX || n.chars().any(char::is_control) {
            return Some(format!("{n:?} cannot be a {what}; it has 1 to {SYMBOL_BYTES_MAX} printable bytes"));
        }
        if !seen.insert(n) {
            return Some(format!("{what} {n:?} stands twice; remove one"));
        }
    }
    None
}
