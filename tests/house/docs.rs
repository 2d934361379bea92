//! Documents that cannot drift far.

use super::verdict;
use crate::common::{files_below, read, root};

/// Link targets of a Markdown text: `[text](target)`, code blocks left out.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (i, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        for (at, _) in line.match_indices("](") {
            if let Some(end) = line[at + 2..].find(')') {
                found.push((i + 1, line[at + 2..at + 2 + end].to_owned()));
            }
        }
    }
    found
}

/// Paths in backticks that claim to be in this checkout.
fn paths(text: &str) -> Vec<(usize, String)> {
    let ours = ["src/", "tests/", "scripts/", "docs/", "data/", "benches/", "examples/", "schemas/", "fuzz/"];
    let mut found = Vec::new();
    for (i, line) in text.lines().enumerate() {
        for word in line.split('`').skip(1).step_by(2) {
            if ours.iter().any(|o| word.starts_with(o)) && !word.contains(['<', '*', ' ', '…', '=', '{']) {
                found.push((i + 1, word.to_owned()));
            }
        }
    }
    found
}

#[test]
fn links_lead_somewhere() {
    let mut faults = Vec::new();
    for f in files_below("").iter().filter(|f| f.ends_with(".md")) {
        let text = read(f);
        let dir = root().join(f).parent().unwrap().to_owned();
        for (line, target) in links(&text) {
            let target = target.split('#').next().unwrap_or_default();
            if !target.is_empty()
                && !target.contains("://")
                && !target.starts_with("mailto:")
                && !dir.join(target).exists()
            {
                faults.push(format!("{f}:{line}: {target}"));
            }
        }
    }
    verdict("Every relative link in a document leads to a file.", &faults);
}

#[test]
fn architecture_names_what_exists_and_every_room() {
    let text = read("ARCHITECTURE.md");
    let mut faults: Vec<String> = paths(&text)
        .into_iter()
        .filter(|(_, p)| !root().join(p).exists())
        .map(|(line, p)| format!("ARCHITECTURE.md:{line}: {p} does not exist"))
        .collect();
    for entry in std::fs::read_dir(root().join("src")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !name.ends_with(".rs") && !text.contains(&format!("`{name}`")) {
            faults.push(format!("ARCHITECTURE.md does not name the room `{name}`"));
        }
    }
    verdict("ARCHITECTURE.md names files that exist, and every room.", &faults);
}

#[test]
fn the_import_table_is_the_same_in_architecture_and_test() {
    let text = read("ARCHITECTURE.md").replace('←', "<-");
    let squeeze = |s: &str| s.split_whitespace().collect::<Vec<_>>().join(" ");
    let all = squeeze(&text);
    let source = read("tests/house/imports.rs");
    let missing: Vec<String> = source
        .lines()
        .filter(|l| l.starts_with("  ") && l.contains("<-"))
        .map(|l| squeeze(l.trim_end_matches(['"', ';'])))
        .filter(|l| !all.contains(l))
        .collect();
    verdict("The import table of ARCHITECTURE.md is the one that is tested.", &missing);
}
