//! What the fuzz targets begin with.

use std::collections::BTreeSet;

use super::verdict;
use crate::common::{files_below, read, root};

/// Files of one target's corpus.
const FILES_MAX: usize = 60;
/// Bytes of all corpora.
const BYTES_MAX: u64 = 300_000;

#[test]
fn each_fuzz_target_is_built_and_has_a_small_corpus() {
    let targets: BTreeSet<String> = files_below("fuzz/targets")
        .iter()
        .filter_map(|f| Some(f.strip_prefix("fuzz/targets/")?.strip_suffix(".rs")?.to_owned()))
        .collect();
    assert!(targets.len() >= 8, "{targets:?}");
    let built = read("fuzz/Cargo.toml");
    let corpus = files_below("fuzz/corpus");
    let mut faults = Vec::new();
    for t in &targets {
        if !built.contains(&format!("path = \"targets/{t}.rs\"")) {
            faults.push(format!("fuzz/targets/{t}.rs has no [[bin]] in fuzz/Cargo.toml"));
        }
        let n = corpus.iter().filter(|f| f.starts_with(&format!("fuzz/corpus/{t}/"))).count();
        if !(1..=FILES_MAX).contains(&n) {
            faults.push(format!("fuzz/corpus/{t}: {n} files"));
        }
    }
    for f in &corpus {
        let target = f.split('/').nth(2).unwrap_or("");
        if !targets.contains(target) {
            faults.push(format!("{f}: there is no such target"));
        }
    }
    let bytes: u64 = corpus.iter().map(|f| std::fs::metadata(root().join(f)).unwrap().len()).sum();
    if bytes > BYTES_MAX {
        faults.push(format!("fuzz/corpus: {bytes} bytes in all"));
    }
    verdict(
        "A fuzz target stands in fuzz/Cargo.toml and has a corpus of 1 to 60 files; all together have at most 300 kB. \
         Run scripts/fuzz TARGET for a while, then scripts/fuzz corpus TARGET.",
        &faults,
    );
}
