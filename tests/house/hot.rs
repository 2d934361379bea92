//! What the hot path must not do, and where `unsafe` and sleeping may be.

use super::source::Source;
use super::verdict;

/// Files on the path of a frame. A `*` stands for one name.
const HOT: &[&str] = &[
    "src/model/",
    "src/parse/",
    "src/book/",
    "src/fold/",
    "src/bus/",
    "src/wire/reader",
    "src/venue/*/parse",
    "src/venue/*/*/parse",
    "src/venue/family/quick",
    "src/venue/family/decode",
    "src/venue/family/book",
    "src/venue/family/trades",
    "src/sys/simd",
];

/// What must not stand there, and why.
const BANNED: &[(&str, &str)] = &[
    ("println!", "printing"),
    ("print!", "printing"),
    ("dbg!", "printing"),
    ("tracing::", "logging: count here, log elsewhere"),
    ("std::time::", "a clock: time comes in with the record, or from wire::clock"),
    ("Instant::now", "a clock"),
    ("SystemTime", "a clock"),
    ("collections::HashMap", "a randomly seeded map: use a Vec, BTreeMap or FxHashMap"),
    ("collections::HashSet", "a randomly seeded set: use a Vec, BTreeSet or FxHashSet"),
    ("RandomState", "a random seed"),
    ("Mutex", "a lock"),
    ("RwLock", "a lock"),
    ("async fn", "async"),
    (".await", "async"),
    ("tokio::", "async"),
];

/// Rooms of the hot path that may format on cold paths only, marked by a comment `cold: why`.
const FORMATTING: &[&str] = &["format!(", ".to_string()", "write!("];

/// Where `unsafe` may stand, each use with its SAFETY note.
const UNSAFE: &[&str] = &["src/sys/", "src/bus/"];

fn matches(path: &str, pattern: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return path.starts_with(pattern) };
    let Some(rest) = path.strip_prefix(before) else { return false };
    let Some((_, rest)) = rest.split_once('/') else { return false };
    matches(&format!("/{rest}"), after)
}

fn is_hot(s: &Source) -> bool {
    HOT.iter().any(|p| matches(&s.path, p))
}

/// A file that says at its top `//! Cold: why` is not on the path of a frame.
fn is_cold(s: &Source) -> bool {
    s.comments.iter().take_while(|c| c.starts_with("//!")).any(|c| c.contains("Cold:"))
}

#[test]
fn hot_rooms_do_not_print_log_lock_or_look_at_the_clock() {
    let mut faults = Vec::new();
    for s in Source::all_below("src").iter().filter(|s| is_hot(s)) {
        for (line, code) in s.product() {
            for (word, why) in BANNED {
                let at = code.find(word);
                if at.is_some_and(|i| !code[..i].ends_with(|c: char| c.is_alphanumeric() || c == '_')) {
                    faults.push(format!("{}:{line}: {word} is {why}", s.path));
                }
            }
        }
    }
    verdict(
        "The path of a frame has no lock, no async, no log, no random map and no clock of its own.",
        &faults,
    );
}

#[test]
fn hot_rooms_format_on_cold_paths_only() {
    let mut faults = Vec::new();
    // The vocabulary knows how its words are written; nobody calls that per frame.
    for s in Source::all_below("src").iter().filter(|s| is_hot(s) && s.room() != Some("model") && !is_cold(s))
    {
        let cold: Vec<(usize, usize)> = s
            .functions()
            .into_iter()
            .filter(|(_, from, _)| {
                let above = from.saturating_sub(6);
                s.comment_near(*from, 5, "cold:")
                    || s.code[above..*from].iter().any(|l| l.contains("#[cold]"))
                    || s.code[above..*from].iter().any(|l| l.contains("fmt::Formatter"))
            })
            .map(|(_, from, to)| (from, to))
            .collect();
        for (line, code) in s.product() {
            let formats = FORMATTING.iter().any(|w| code.contains(w));
            let marked =
                s.comment_near(line, 2, "cold:") || cold.iter().any(|(a, b)| (*a..=*b).contains(&line));
            if formats && !marked {
                faults.push(format!("{}:{line}: {}", s.path, code.trim()));
            }
        }
    }
    verdict(
        "The path of a frame does not format text. On a path that is not per frame write `// cold: why` above it, \
         mark the function #[cold], or begin the file with `//! Cold: why`.",
        &faults,
    );
}

#[test]
fn unsafe_stands_where_it_is_listed_and_says_why_it_is_sound() {
    let mut faults = Vec::new();
    for dir in ["src", "tests", "benches", "fuzz"] {
        for s in Source::all_below(dir) {
            for (i, code) in s.code.iter().enumerate() {
                let word = code.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|w| w == "unsafe");
                if !word || code.contains("unsafe_op_in_unsafe_fn") {
                    continue;
                }
                let line = i + 1;
                if dir == "src" && !UNSAFE.iter().any(|p| s.path.starts_with(p)) {
                    faults.push(format!("{}:{line}: unsafe outside {UNSAFE:?}", s.path));
                }
                if !s.comment_near(line, 8, "SAFETY") && !s.comment_near(line, 8, "# Safety") {
                    faults.push(format!("{}:{line}: no SAFETY note: {}", s.path, code.trim()));
                }
            }
        }
    }
    verdict("`unsafe` stands in listed places only, each use with a note who upholds what.", &faults);
}

#[test]
fn nobody_sleeps_to_wait_for_somebody() {
    let mut faults = Vec::new();
    for dir in ["src", "tests", "benches"] {
        for s in Source::all_below(dir) {
            for (i, code) in s.code.iter().enumerate() {
                if code.contains("thread::sleep") && !s.comment_near(i + 1, 3, "") {
                    faults.push(format!("{}:{}: {}", s.path, i + 1, code.trim()));
                }
            }
        }
    }
    verdict(
        "Wait for a fact, not for time to pass. Where only time will do, a comment above says why.",
        &faults,
    );
}

#[test]
fn patterns_match_paths() {
    assert!(matches("src/venue/aster/parse.rs", "src/venue/*/parse"));
    assert!(matches("src/venue/aster/futures/parse.rs", "src/venue/*/*/parse"));
    assert!(!matches("src/venue/aster/spec.rs", "src/venue/*/parse"));
    assert!(!matches("src/venue/mod.rs", "src/venue/*/parse"));
}
