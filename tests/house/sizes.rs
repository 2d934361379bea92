//! Nothing grows beyond what one can read.

use super::source::Source;
use super::verdict;
use crate::common::{files_below, read};

const FILE_LINES: usize = 800;
const FUNCTION_LINES: usize = 70;

/// Functions that may be longer, as (`file`, `function`, reason).
const LONG_FUNCTIONS: &[(&str, &str, &str)] = &[];

#[test]
fn files_stay_below_800_lines() {
    let mut faults = Vec::new();
    for f in files_below("") {
        let judged =
            [".rs", ".py", ".sh", ".js", ".html"].iter().any(|e| f.ends_with(e)) || f.starts_with("scripts/");
        if judged {
            let n = read(&f).lines().count();
            if n >= FILE_LINES {
                faults.push(format!("{f}: {n} lines"));
            }
        }
    }
    verdict("A file stays below 800 lines. Split it along what it knows.", &faults);
}

#[test]
fn functions_stay_below_70_lines() {
    let mut faults = Vec::new();
    let mut used = Vec::new();
    for dir in ["src", "tests", "benches", "examples", "fuzz"] {
        for s in Source::all_below(dir) {
            for (name, from, to) in s.functions() {
                let n = to - from + 1;
                if n < FUNCTION_LINES {
                    continue;
                }
                match LONG_FUNCTIONS.iter().find(|(f, g, _)| *f == s.path && *g == name) {
                    Some(e) => used.push(*e),
                    None => faults.push(format!("{}:{from}: fn {name} has {n} lines", s.path)),
                }
            }
        }
    }
    for e in LONG_FUNCTIONS {
        if !used.contains(e) {
            faults.push(format!("{}: fn {} is no longer that long; take it off the list", e.0, e.1));
        }
    }
    verdict(
        "A function stays below 70 lines. Name its steps; or put it on LONG_FUNCTIONS with the reason.",
        &faults,
    );
}
