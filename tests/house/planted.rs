//! Planted bugs: each stands in one place, each has the row that must catch it, and no program that records has any.

use std::collections::BTreeSet;

use super::verdict;
use crate::common::{files_below, read};

/// Names behind `before` in a text, up to the next quotation mark.
fn names(text: &str, before: &str) -> Vec<String> {
    text.match_indices(before)
        .filter_map(|(at, _)| text[at + before.len()..].split('"').next().map(str::to_owned))
        .collect()
}

/// The names in the code. Where the macro's arguments have lines of their own, the name is on the next one.
fn planted() -> Vec<String> {
    let squeeze = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ").replace("( ", "(");
    let sources = files_below("src").into_iter().filter(|f| f.ends_with(".rs"));
    sources.flat_map(|f| names(&squeeze(read(&f)), "planted!(\"")).collect()
}

#[test]
fn each_planted_bug_stands_once_and_has_its_row() {
    let all = planted();
    let mut listed = names(&read("scripts/faults-planted"), "\n    \"");
    // Where a function's words begin.
    listed.retain(|n| !n.is_empty());
    let of = |v: &[String]| v.iter().cloned().collect::<BTreeSet<_>>();
    let mut faults: Vec<String> = of(&all).symmetric_difference(&of(&listed)).cloned().collect();
    if of(&all).len() != all.len() {
        faults.push(format!("one of {all:?} stands twice"));
    }
    verdict("A planted bug stands in one place of src/ and in scripts/faults-planted.", &faults);
    assert!(all.len() >= 20, "{all:?}");
}

#[cfg(not(feature = "planted"))]
#[test]
fn the_program_has_none_of_them() {
    let mut words = planted();
    words.push("LOBTAPE_PLANTED".to_owned());
    let each = words.iter().flat_map(|w| ["-e", w]);
    let grep = std::process::Command::new("grep")
        .args(["-a", "-o", "-F"])
        .args(each)
        .arg(env!("CARGO_BIN_EXE_lobtape"))
        .output()
        .unwrap();
    // 1: it looked and found nothing.
    let found: BTreeSet<String> = String::from_utf8_lossy(&grep.stdout).lines().map(str::to_owned).collect();
    let mut faults: Vec<String> = found.into_iter().collect();
    if faults.is_empty() && grep.status.code() != Some(1) {
        faults.push(String::from_utf8_lossy(&grep.stderr).into_owned());
    }
    verdict("Without its feature no planted bug is compiled.", &faults);
}
