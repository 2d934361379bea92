//! The fixtures of the venue folders: every frame is held against what must be said of it, in combined and in raw
//! mode, with its keys in other orders, and cut at every byte.

use std::path::PathBuf;

use serde_json::Value;

use super::said;
use crate::venue::{Venue, all};

/// One frame with its expectation.
pub struct Fixture {
    pub from: String,
    /// Subscribed stream, "" for answers and notices.
    pub stream: String,
    pub frame: String,
    pub events: Vec<String>,
    /// Frames of this venue come in an envelope.
    pub enveloped: bool,
}

impl Fixture {
    /// The frame in its envelope.
    pub fn combined(&self) -> String {
        if !self.enveloped || self.stream.is_empty() || self.frame.starts_with("{\"stream\"") {
            self.frame.clone()
        } else {
            format!("{{\"stream\":\"{}\",\"data\":{}}}", self.stream, self.frame)
        }
    }

    /// The frame without an envelope.
    fn bare(&self) -> String {
        let v: Value = serde_json::from_str(&self.frame).unwrap();
        if v["stream"].is_string() { v["data"].to_string() } else { self.frame.clone() }
    }

    pub fn streams(&self) -> Vec<&str> {
        if self.stream.is_empty() { Vec::new() } else { vec![&self.stream] }
    }
}

/// The fixtures of a venue: `src/venue/<folder>/fixtures/<id>.txt`.
pub fn of(venue: &dyn Venue) -> Vec<Fixture> {
    let folders = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/venue");
    let name = format!("fixtures/{}.txt", venue.spec().id);
    let path = std::fs::read_dir(folders)
        .unwrap()
        .map(|e| e.unwrap().path().join(&name))
        .find(|p| p.is_file())
        .unwrap_or_else(|| panic!("no {name} in any venue folder"));
    let mut out: Vec<Fixture> = Vec::new();
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let Some((mark, rest)) = line.split_once(' ') else { continue };
        match (mark, out.last_mut()) {
            ("##", _) => out.push(Fixture {
                from: rest.to_owned(),
                stream: String::new(),
                frame: String::new(),
                events: Vec::new(),
                enveloped: super::names_streams_in_url(venue),
            }),
            ("@", Some(f)) => f.stream = if rest == "-" { String::new() } else { rest.to_owned() },
            ("<", Some(f)) => f.frame = rest.to_owned(),
            ("=", Some(f)) => f.events.push(rest.to_owned()),
            _ => {}
        }
    }
    out
}

fn every(check: impl Fn(&'static dyn Venue, &Fixture)) {
    for v in all() {
        let fixtures = of(*v);
        assert!(fixtures.len() > 10, "{}: {} fixtures", v.spec().id, fixtures.len());
        fixtures.iter().for_each(|f| check(*v, f));
    }
}

#[test]
fn what_is_said_of_each_frame() {
    let mut wrong = String::new();
    for v in all() {
        for f in of(*v) {
            let got = said(*v, &f.streams(), f.combined().as_bytes(), None);
            if got != Ok(f.events.clone()) {
                wrong.push_str(&format!("{} ({})\n  {}\n  said {got:#?}\n", v.spec().id, f.from, f.frame));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn raw_mode_says_the_same() {
    every(|v, f| {
        if !f.enveloped {
            return;
        }
        let only = v.parse_stream(&f.stream);
        let got = said(v, &f.streams(), f.bare().as_bytes(), only.as_ref());
        assert_eq!(got, Ok(f.events.clone()), "{}: {}", v.spec().id, f.from);
    });
}

/// All objects with their keys in another order.
fn turned(v: &Value, by: usize) -> String {
    match v {
        Value::Object(map) => {
            let mut entries: Vec<String> =
                map.iter().map(|(k, v)| format!("{} : {}", Value::from(k.as_str()), turned(v, by))).collect();
            let n = entries.len().max(1);
            entries.rotate_left(by % n);
            if by % 2 == 1 {
                entries.reverse();
            }
            format!("{{ {} }}", entries.join(", "))
        }
        Value::Array(list) => {
            format!("[ {} ]", list.iter().map(|v| turned(v, by)).collect::<Vec<_>>().join(" ,"))
        }
        _ => v.to_string(),
    }
}

#[test]
fn the_order_of_keys_does_not_matter() {
    every(|v, f| {
        let value: Value = serde_json::from_str(&f.combined()).unwrap();
        for by in 0..8 {
            let text = turned(&value, by);
            let got = said(v, &f.streams(), text.as_bytes(), None);
            assert_eq!(got, Ok(f.events.clone()), "{}: {}", v.spec().id, text);
        }
    });
}

#[test]
fn frames_cut_at_any_byte_are_refused_and_say_nothing() {
    every(|v, f| {
        let whole = f.combined();
        for n in 0..whole.len() {
            match said(v, &f.streams(), &whole.as_bytes()[..n], None) {
                Err((_, lines)) if lines.is_empty() => {}
                got => panic!("{}: {:?} gave {got:?}", v.spec().id, &whole.as_bytes()[..n]),
            }
        }
    });
}

#[test]
fn an_array_is_taken_where_an_object_is_documented() {
    every(|v, f| {
        if !f.enveloped
            || f.stream.is_empty()
            || f.bare().starts_with('[')
            || f.events.iter().any(|e| e.starts_with("other"))
        {
            return;
        }
        let frame = format!("{{\"stream\":\"{}\",\"data\":[{}]}}", f.stream, f.bare());
        assert_eq!(said(v, &f.streams(), frame.as_bytes(), None), Ok(f.events.clone()), "{}", v.spec().id);
    });
}
