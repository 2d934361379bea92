//! Records, names and configurations.

use std::ffi::OsString;

use lobtape::config::{Config, ConfigError};
use lobtape::dataset::name::{NAME_MAX, Names, decode, encode};
use lobtape::model::control::{
    ConnEvent, GapNote, LatencyNote, PlanNote, RunStart, RunStop, Subscribed, TimerEvent, from_payload,
    to_payload,
};
use lobtape::model::{InstrumentVersion, Record};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::input::Script;

/// Records: what is read is written and read again as the same, and no other bytes matter. Payloads of records that are
/// not frames likewise; the first byte says of which kind.
pub fn records(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let kind = script.u8() % 10;
    let bytes = script.rest();
    match kind {
        0 => payload::<ConnEvent>(bytes),
        1 => payload::<Subscribed>(bytes),
        2 => payload::<PlanNote>(bytes),
        3 => payload::<TimerEvent>(bytes),
        4 => payload::<GapNote>(bytes),
        5 => payload::<LatencyNote>(bytes),
        6 => payload::<RunStart>(bytes),
        7 => payload::<RunStop>(bytes),
        8 => payload::<InstrumentVersion>(bytes),
        _ => record(bytes),
    }
}

fn record(bytes: &[u8]) {
    let Ok(r) = Record::decode(bytes) else { return };
    let n = r.encoded_len();
    assert!(n <= bytes.len());
    let again = r.encode();
    assert_eq!(again.len(), n);
    assert_eq!(Record::decode(&again), Ok(r));
    assert_eq!(Record::decode(&bytes[..n]), Ok(r), "what follows a record is not its own");
    assert!(Record::decode(&again[..n - 1]).is_err());
}

fn payload<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    let Ok(first) = from_payload::<T>(bytes) else { return };
    let written = to_payload(&first);
    let again: T = from_payload(&written).expect("what was written can be read");
    assert_eq!(first, again);
    assert_eq!(to_payload(&again), written);
}

/// Two texts as names: one harmless component each, of bounded length, different for different texts whatever the file
/// system thinks of case; the text comes back where no hash stands for it.
pub fn names(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let first = usize::from(script.u16());
    let a = String::from_utf8_lossy(script.piece(first)).into_owned();
    let b = String::from_utf8_lossy(script.rest()).into_owned();
    for text in [&a, &b] {
        let n = encode(text);
        assert!(!n.is_empty() && n.len() <= NAME_MAX && !n.starts_with('.'), "{n}");
        assert!(n.bytes().all(|c| c.is_ascii_alphanumeric() || b"_-%.".contains(&c)), "{n}");
        match n.contains('.') {
            true => assert_eq!(decode(&n), None),
            false => assert_eq!(decode(&n).as_ref(), Some(text)),
        }
        // A name of somebody else's making.
        if let Some(t) = decode(text) {
            assert!(!t.is_empty());
        }
    }
    assert_eq!(a == b, encode(&a) == encode(&b));
    let mut given = Names::default();
    let (x, y) = (given.name("v", &a), given.name("v", &b));
    assert_eq!(a == b, x.eq_ignore_ascii_case(&y), "{x} {y}");
    assert_eq!((given.name("v", &a), given.name("v", &b)), (x.clone(), y.clone()));
    let mut again = Names::default();
    again.remember("v", &b, &y);
    again.remember("v", &a, &x);
    assert_eq!((again.name("v", &a), again.name("v", &b)), (x, y));
}

/// A file, and behind NULs variables and flags. A refusal names a line that is there, or a key, variable or flag; what
/// is accepted holds what the rest of the program counts on.
pub fn config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.split('\0');
    let file = parts.next().unwrap_or("");
    let (mut env, mut flags) = (Vec::new(), Vec::new());
    for p in parts {
        match p.split_once('=') {
            Some((k, v)) if k.starts_with("LOBTAPE_") => env.push((OsString::from(k), OsString::from(v))),
            _ => flags.push(p.to_owned()),
        }
    }
    match Config::from_parts("f.toml", file, env.clone(), &flags) {
        Ok(c) => {
            holds(&c);
            let again = Config::from_parts("f.toml", file, env, &flags).expect("as before");
            assert!(c == again && c.sha256() == again.sha256() && c.fixed_differences(&again).is_empty());
        }
        Err(ConfigError::Bad { place, message }) => {
            assert!(!message.trim().is_empty());
            let named = flags.iter().any(|f| place == format!("--set {f}"))
                || env.iter().any(|(k, _)| k.to_str() == Some(&place));
            let of_file = place.strip_prefix("f.toml").is_some_and(|rest| match rest.strip_prefix(':') {
                None => rest.is_empty(),
                Some(rest) => match rest.parse::<usize>() {
                    Ok(line) => (1..=file.split('\n').count()).contains(&line),
                    Err(_) => !rest.trim().is_empty(),
                },
            });
            assert!(named || of_file, "{place}: {message}");
        }
        Err(e) => panic!("{e}"),
    }
}

fn holds(c: &Config) {
    const DAY: i64 = 86_400_000_000_000;
    assert!(c.dataset.interval_ns > 0 && DAY % c.dataset.interval_ns == 0);
    assert!(c.dataset.book_top_interval_ns >= 0 && c.dataset.keep.values().all(|&age| age > 0));
    assert!(c.capture.ring_size.is_power_of_two() && c.capture.segment_size > 0);
    assert!(c.http.as_ref().is_none_or(|h| h.listen.ip().is_loopback()));
    assert!(!c.venues.is_empty());
    for (i, v) in c.venues.iter().enumerate() {
        assert!(!v.id.is_empty() && (1..=2).contains(&v.legs));
        assert!(v.rest_weight_share > 0.0 && v.rest_weight_share <= 1.0);
        assert!(v.silent_after_ns >= 0 && v.rotate_after_ns.is_none_or(|n| n > 0));
        assert!(v.polls.values().all(|&n| n > 0));
        assert!(c.venues[..i].iter().all(|w| w.id != v.id));
        assert!([&v.rest, &v.ws].into_iter().flatten().all(|u| !u.ends_with('/')));
    }
}
