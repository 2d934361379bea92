//! A venue is its folder and one line of the registry.

use super::source::Source;
use super::verdict;
use crate::common::root;

/// Where a text of the program may name one, with the reason; code names none anywhere.
const IN_TEXTS: &[(&str, &str)] = &[
    ("src/cli/", "examples in help texts, and the venue of the demo"),
    ("src/config/check.rs", "an example in a message"),
    ("src/dataset/fixture.rs", "rows for tests"),
    ("src/dataset/sample.rs", "rows for tests"),
    ("src/dataset/readme.rs", "examples in the README of a dataset"),
    ("src/simulator/symbols.rs", "a coin that has a venue's name"),
    ("src/simulator/tests_", "tests of the simulator"),
];

/// The folders of venues.
fn folders() -> Vec<String> {
    let entries = std::fs::read_dir(root().join("src/venue")).unwrap();
    let dirs = entries.map(Result::unwrap).filter(|e| e.file_type().unwrap().is_dir());
    dirs.map(|e| e.file_name().into_string().unwrap())
        // What several venues share, and what walks them all.
        .filter(|n| n != "family" && n != "tests")
        .collect()
}

/// Whether a line of code has the name, alone or as a part of an identifier (`faster` has no `aster`).
fn names(code: &str, name: &str) -> bool {
    let code: Vec<char> = code.chars().collect();
    let lower: String = code.iter().map(char::to_ascii_lowercase).collect();
    lower.match_indices(name).any(|(at, _)| {
        let before = lower[..at].chars().count();
        before == 0 || !code[before - 1].is_ascii_alphabetic() || code[before].is_ascii_uppercase()
    })
}

/// A line with what stands in its texts, without its comment.
fn with_texts(s: &Source, line: usize) -> String {
    let (text, comment) = (&s.lines[line - 1], &s.comments[line - 1]);
    text.strip_suffix(comment.as_str()).unwrap_or(text).to_owned()
}

#[test]
fn nothing_but_its_folder_and_the_registry_names_a_venue() {
    let folders = folders();
    assert!(folders.len() >= 4, "{folders:?}");
    let (mut faults, mut used) = (Vec::new(), vec![false; IN_TEXTS.len()]);
    for s in Source::all_below("src") {
        let own = |f: &String| s.path.starts_with(&format!("src/venue/{f}/"));
        if s.path == "src/venue/mod.rs" {
            continue;
        }
        let allowed = IN_TEXTS.iter().position(|n| s.path.starts_with(n.0));
        for (line, code) in s.product() {
            let text = with_texts(&s, line);
            for f in folders.iter().filter(|f| !own(f)) {
                match (names(code, f), names(&text, f), allowed) {
                    (false, true, Some(n)) => used[n] = true,
                    (true, ..) | (_, true, None) => {
                        faults.push(format!("{}:{line}: {f}: {}", s.path, text.trim()));
                    }
                    (false, false, _) => {}
                }
            }
        }
    }
    for (n, _) in used.iter().enumerate().filter(|u| !u.1) {
        faults.push(format!("{} names none any more: take it off the list", IN_TEXTS[n].0));
    }
    verdict(
        "A venue is its folder and one line of src/venue/mod.rs: no other code names it. What it needs of others is data \
         (VenueSpec, Dialect), words (model::words) or a method of the trait.",
        &faults,
    );
}

#[test]
fn names_are_found_in_identifiers_and_texts_and_not_in_words() {
    assert!(names("use venue::aster::SPOT;", "aster") && names("Product::AsterSpot", "aster"));
    assert!(names("is_aster()", "aster") && !names("let faster = 1;", "aster"));
    let s = Source::new("src/x.rs", "let a = \"aster-spot\"; // as aster does\n// aster\n");
    assert!(!names(&s.code[0], "aster") && names(&with_texts(&s, 1), "aster"));
    assert_eq!(with_texts(&s, 1), "let a = \"aster-spot\"; ");
    assert_eq!(with_texts(&s, 2), "");
}
