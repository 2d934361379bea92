//! A venue is its folder and one line of the registry.

use super::source::Source;
use super::verdict;
use crate::common::root;

/// Files that may name one, with the reason. What stands here is older than `Words`; nothing is added.
const NAMED: &[(&str, &str)] = &[
    ("src/model/dialect.rs", "shapes of messages that the simulator prints by code of its own"),
    ("src/model/link.rs", "rules of ids that are named after who showed them first"),
    ("src/simulator/", "the code that prints those shapes"),
    ("src/venue/family/", "the dialect that three folders share, with the shape it prints by default"),
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

#[test]
fn nothing_but_its_folder_and_the_registry_names_a_venue() {
    let folders = folders();
    assert!(folders.len() >= 4, "{folders:?}");
    let mut faults = Vec::new();
    for s in Source::all_below("src") {
        let own = |f: &String| s.path.starts_with(&format!("src/venue/{f}/"));
        if s.path == "src/venue/mod.rs" || NAMED.iter().any(|n| s.path.starts_with(n.0)) {
            continue;
        }
        for (line, code) in s.product() {
            for f in folders.iter().filter(|f| !own(f) && names(code, f)) {
                faults.push(format!("{}:{line}: {f}: {}", s.path, code.trim()));
            }
        }
    }
    verdict(
        "A venue is its folder and one line of src/venue/mod.rs: no other code names it. What it needs of others is data \
         (VenueSpec, Dialect) or a method of the trait.",
        &faults,
    );
}

#[test]
fn names_are_found_in_identifiers_and_not_in_words() {
    assert!(names("use venue::aster::SPOT;", "aster") && names("Product::AsterSpot", "aster"));
    assert!(names("is_aster()", "aster") && !names("let faster = 1;", "aster"));
}
