//! What several test files need.

use std::path::{Path, PathBuf};

/// The checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Folders with recordings: the one in the checkout, and the one that `LOBTAPE_RECORDINGS` names, if it exists.
pub fn recordings_dirs() -> Vec<PathBuf> {
    let mut dirs = vec![root().join("data/recordings")];
    if let Some(more) = std::env::var_os("LOBTAPE_RECORDINGS").map(PathBuf::from) {
        assert!(more.join("expected").is_dir(), "LOBTAPE_RECORDINGS={}: no recordings there", more.display());
        dirs.push(more);
    }
    dirs
}

/// All files below `dir` as paths relative to the checkout, sorted; build output and version control left out.
pub fn files_below(dir: &str) -> Vec<String> {
    fn walk(dir: &Path, out: &mut Vec<String>) {
        let Ok(entries) = std::fs::read_dir(dir) else { return };
        for entry in entries.map(Result::unwrap) {
            let path = entry.path();
            let name = entry.file_name();
            if entry.file_type().unwrap().is_dir() {
                if !["target", ".git", "lobtape-demo", "data-demo"].iter().any(|skip| name == *skip) {
                    walk(&path, out);
                }
            } else if name != ".git" {
                out.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let mut out = Vec::new();
    walk(&root().join(dir), &mut out);
    out.sort();
    out
}

/// The text of a file of the checkout.
pub fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}
