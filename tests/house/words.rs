//! The project stands on its own.

use super::verdict;
use crate::common::{files_below, root};

/// Written apart so that this file does not break its own rule.
const FOREIGN: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!(".libr", "ary/"),
    concat!("../sha", "red"),
    concat!("/home", "/"),
    concat!("/Use", "rs/"),
];

#[test]
fn nothing_names_the_place_where_it_was_written() {
    let mut faults = Vec::new();
    for f in files_below("") {
        let Ok(text) = std::fs::read_to_string(root().join(&f)) else { continue };
        for (i, line) in text.lines().enumerate() {
            for word in FOREIGN {
                if line.contains(word) {
                    faults.push(format!("{f}:{}: {word}", i + 1));
                }
            }
        }
    }
    verdict("A checkout depends on no path of one machine.", &faults);
}

#[test]
fn nothing_is_left_for_later_in_the_code() {
    let words =
        [concat!("to", "do!("), concat!("unimple", "mented!("), concat!("FIX", "ME"), concat!("db", "g!(")];
    let mut faults = Vec::new();
    for f in files_below("").iter().filter(|f| f.ends_with(".rs") || f.ends_with(".py")) {
        let text = crate::common::read(f);
        for (i, line) in text.lines().enumerate() {
            if words.iter().any(|w| line.contains(w)) {
                faults.push(format!("{f}:{}: {}", i + 1, line.trim()));
            }
        }
    }
    verdict("No stubs: what is not built does not appear.", &faults);
}

#[test]
fn no_file_is_too_large_for_a_checkout() {
    let mut faults = Vec::new();
    let mut data = 0;
    for f in files_below("") {
        let n = std::fs::metadata(root().join(&f)).unwrap().len();
        data += if f.starts_with("data/") { n } else { 0 };
        if n > 4 << 20 {
            faults.push(format!("{f}: {n} bytes"));
        }
    }
    if data > 12_500_000 {
        faults.push(format!("data/: {data} bytes in all"));
    }
    verdict(
        "Files stay below 4 MiB, data/ below 12.5 MB in all (12 MB of recordings, the rest vectors).",
        &faults,
    );
}
