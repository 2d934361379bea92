//! Which keys a venue's samples have, so that new ones are seen.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::venue::Venue;

/// Elements of an array that are looked at.
const ELEMENTS: usize = 3;
/// Keys of one message.
const KEYS_MAX: usize = 500;

/// The word of a channel that its speeds, arguments and all-market forms share: `depth` of `depth5@100ms`, `ticker` of
/// `!ticker@arr`.
pub fn word(channel: &str) -> &str {
    let name = channel.trim_start_matches('!');
    let end = name.find(|c: char| "@_:,".contains(c) || c.is_ascii_digit()).unwrap_or(name.len());
    if end == 0 { name } else { &name[..end] }
}

/// The known key paths (`k.t`, `b[][]`) of each channel's word.
#[derive(Debug, Default)]
pub struct Known {
    by_word: BTreeMap<String, BTreeSet<String>>,
    names: BTreeSet<String>,
}

impl Known {
    /// All that a venue's samples have.
    pub fn of(venue: &dyn Venue) -> Known {
        let mut known = Known::default();
        for (stream, frame) in samples(venue.samples()) {
            let Ok(v) = serde_json::from_str::<Value>(frame) else { continue };
            known.names.extend(names(&v));
            if let Some(spec) = venue.parse_stream(stream) {
                let set = known.by_word.entry(word(&spec.channel).to_owned()).or_default();
                set.extend(paths(&v));
            }
        }
        known
    }

    /// Whether there is a sample of a channel.
    pub fn has(&self, channel: &str) -> bool {
        self.by_word.contains_key(word(channel))
    }

    /// Whether an event of this name stands in a sample.
    pub fn has_name(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// The key paths of a message that no sample of its channel has.
    pub fn unknown(&self, channel: &str, v: &Value) -> Vec<String> {
        let Some(known) = self.by_word.get(word(channel)) else { return Vec::new() };
        paths(v).into_iter().filter(|p| !known.contains(p)).collect()
    }
}

/// Stream name and frame of each sample.
fn samples(text: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let mut stream = "";
    text.lines().filter_map(move |line| match line.split_once(' ') {
        Some(("@", name)) => {
            stream = name;
            None
        }
        Some(("<", frame)) => Some((stream, frame)),
        _ => None,
    })
}

/// The message itself: what an envelope holds.
fn inner(v: &Value) -> &Value {
    match (v.get("stream"), v.get("data")) {
        (Some(Value::String(_)), Some(data)) => data,
        _ => v,
    }
}

/// Short texts under keys that name an event.
fn names(v: &Value) -> Vec<String> {
    let one = |v: &Value| -> Vec<String> {
        ["e", "m"].iter().filter_map(|k| v.get(k)?.as_str().map(str::to_owned)).collect()
    };
    match inner(v) {
        Value::Array(a) => a.iter().flat_map(one).collect(),
        v => one(v),
    }
}

/// The key paths of a message; of an array, those of its elements.
pub fn paths(v: &Value) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    match inner(v) {
        Value::Array(a) => a.iter().take(ELEMENTS).for_each(|e| walk(e, "", 0, &mut out)),
        v => walk(v, "", 0, &mut out),
    }
    out
}

fn walk(v: &Value, at: &str, depth: u8, out: &mut BTreeSet<String>) {
    if depth > 6 || out.len() >= KEYS_MAX {
        return;
    }
    match v {
        Value::Object(o) => {
            for (k, v) in o {
                let path = if at.is_empty() { k.clone() } else { format!("{at}.{k}") };
                out.insert(path.clone());
                walk(v, &path, depth + 1, out);
            }
        }
        Value::Array(a) => a.iter().take(ELEMENTS).for_each(|e| walk(e, &format!("{at}[]"), depth + 1, out)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn channels_share_a_word() {
        for (channel, is) in [
            ("depth5@100ms", "depth"),
            ("depth", "depth"),
            ("kline_1M", "kline"),
            ("!ticker@arr", "ticker"),
            ("depth,10", "depth"),
            ("bar:1", "bar"),
            ("futures-pricing-data", "futures-pricing-data"),
        ] {
            assert_eq!(word(channel), is);
        }
    }

    #[test]
    fn new_keys_are_seen_in_envelopes_and_arrays() {
        for v in crate::venue::all() {
            let known = Known::of(*v);
            assert!(!known.by_word.is_empty(), "{}: no samples", v.spec().id);
        }
        let v = crate::venue::by_id("aster-futures").unwrap().1;
        let known = Known::of(v);
        let old = json!({"stream": "btcusdt@depth", "data": {"e": "depthUpdate", "b": [["1", "2"]]}});
        assert_eq!(known.unknown("depth@100ms", &old), Vec::<String>::new());
        let new = json!({"stream": "btcusdt@depth", "data": {"e": "depthUpdate", "zz": {"y": 1}}});
        assert_eq!(known.unknown("depth@100ms", &new), ["zz", "zz.y"]);
        assert_eq!(known.unknown("!markPrice@arr", &json!([{"s": "A", "zz": 1}])), ["zz"]);
        assert!(known.has_name("depthUpdate") && !known.has_name("depthDowngrade"));
    }
}
