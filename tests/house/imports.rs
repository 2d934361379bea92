//! Who may import whom.

use std::collections::BTreeSet;

use super::source::Source;
use super::verdict;

const RULE: &str = "\
Who may import whom (product code; `std` and other crates aside). No hop imports the next hop: `fold` composes parse,
sequence and book, `engine` composes the threads. If this edge is right, change the table here and in ARCHITECTURE.md,
with an entry in docs/adr/.
  model       <- nothing of ours              sink       <- model metrics bus dataset journal fold
  metrics     <- model                        import     <- model parse
  parse       <- model sys                    replay     <- model journal dataset import fold
  config      <- model                        verify     <- model metrics instrument fold journal dataset
  instrument  <- model                        simulator  <- model instrument metrics venue import replay
  bus  wire   <- model metrics                http       <- model metrics config dataset bus
  venue       <- model instrument parse       engine     <- all but http, cli
  book        <- model instrument metrics     cli        <- any room
  fold        <- model instrument metrics venue book
  journal     <- model metrics bus            main       <- cli
  dataset     <- model metrics instrument
  sys         <- nothing of ours; wire, bus, parse, journal, dataset and engine may import it";

const TABLE: &[(&str, &str)] = &[
    ("model", ""),
    ("sys", ""),
    ("metrics", "model"),
    ("parse", "model sys"),
    ("config", "model"),
    ("instrument", "model"),
    ("bus", "model metrics sys"),
    ("wire", "model metrics sys"),
    ("venue", "model instrument parse"),
    ("book", "model instrument metrics"),
    ("fold", "model instrument metrics venue book"),
    ("journal", "model metrics bus sys"),
    ("dataset", "model metrics instrument sys"),
    ("sink", "model metrics bus dataset journal fold"),
    ("import", "model parse"),
    ("replay", "model journal dataset import fold"),
    ("verify", "model metrics instrument fold journal dataset"),
    ("simulator", "model instrument metrics venue import replay"),
    ("http", "model metrics config dataset bus"),
    (
        "engine",
        "model sys metrics parse config instrument bus wire venue book fold journal dataset sink import replay verify simulator",
    ),
];

/// Rooms named behind `crate::`, in groups too.
fn rooms_named(code: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        // `$crate::` and `my_crate::` are something else.
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = code[at + 7..].trim_start();
        match rest.strip_prefix('{') {
            Some(group) => rooms.extend(first_words(group)),
            None => rooms.extend(first_word(rest)),
        }
    }
    rooms
}

fn first_word(s: &str) -> Option<String> {
    let w: String = s.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!w.is_empty()).then_some(w)
}

/// First words of the elements of a brace group whose opening brace is gone.
fn first_words(group: &str) -> Vec<String> {
    let mut words: Vec<String> = first_word(group).into_iter().collect();
    let mut depth = 0;
    for (i, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => words.extend(first_word(&group[i + 1..])),
            _ => {}
        }
    }
    words
}

#[test]
fn imports_flow_one_way() {
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    for s in Source::all_below("src") {
        let room = s.room().unwrap().to_owned();
        let code: String = s.product().map(|(_, l)| format!("{l}\n")).collect();
        let named = rooms_named(&code);
        seen.insert(room.clone());
        let allowed: Vec<&str> = match room.as_str() {
            "cli" | "lib" => continue,
            "main" => {
                if code.contains("lobtape::")
                    && code.matches("lobtape::").count() != code.matches("lobtape::cli").count()
                {
                    faults.push("src/main.rs imports something else than cli".to_owned());
                }
                continue;
            }
            r => match TABLE.iter().find(|(t, _)| *t == r) {
                Some((_, list)) => list.split_whitespace().collect(),
                None => {
                    faults.push(format!("{}: room {r:?} is not in the table", s.path));
                    continue;
                }
            },
        };
        for n in named {
            let is_room = TABLE.iter().any(|(t, _)| *t == n) || n == "cli";
            if is_room && n != room && !allowed.contains(&n.as_str()) {
                faults.push(format!("{}: `{room}` imports `{n}`", s.path));
            }
        }
    }
    for (room, _) in TABLE {
        if !seen.contains(*room) {
            faults.push(format!("room {room:?} of the table does not exist"));
        }
    }
    verdict(RULE, &faults);
}

#[test]
fn venues_do_not_know_each_other() {
    let mut faults = Vec::new();
    let all = Source::all_below("src/venue");
    let folder = |s: &Source| {
        let mut parts = s.path.strip_prefix("src/venue/")?.split('/');
        let first = parts.next()?.to_owned();
        parts.next().map(|_| first)
    };
    let folders: BTreeSet<String> = all.iter().filter_map(folder).collect();
    for s in &all {
        let Some(own) = folder(s) else { continue };
        for (line, code) in s.product() {
            for other in folders.iter().filter(|f| **f != own && *f != "family") {
                if code.contains(&format!("venue::{other}::"))
                    || code.contains(&format!("super::super::{other}::"))
                {
                    faults.push(format!("{}:{line}: `{own}` knows `{other}`", s.path));
                }
            }
        }
    }
    verdict("Venue folders never import each other; what they share lives in src/venue/family/.", &faults);
}

#[test]
fn groups_and_macros_are_read_rightly() {
    let named = rooms_named(
        "use crate::{bus::{a, b}, sink, wire::x}; $crate::cli::y; my_crate::http::z; crate::fold::step()",
    );
    assert_eq!(named.into_iter().collect::<Vec<_>>(), ["bus", "fold", "sink", "wire"]);
}
