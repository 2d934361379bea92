//! The house's rules as tests. Each failure prints the rule and what to do.

mod docs;
mod fuzz;
mod hot;
mod imports;
mod planted;
mod sizes;
mod source;
mod supply;
mod venues;
mod words;

/// Fails with the rule and every place that breaks it.
fn verdict(rule: &str, faults: &[String]) {
    assert!(faults.is_empty(), "\n{rule}\n\n{}\n", faults.join("\n"));
}
