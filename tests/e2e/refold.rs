//! Folding `raw` again gives the same files, byte for byte.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use lobtape::dataset::{Dataset, raw};
use lobtape::sink::Converter;

use super::rig::lobtape;
use super::tape::files;

/// From the first record on, without a checkpoint; by the command; and each day alone, from its checkpoint.
pub fn refold(root: &Path) {
    from_the_start(root);
    let dir = root.to_str().unwrap();
    let manifest = Dataset::open(root).unwrap().manifest().unwrap();
    let days: BTreeSet<&str> = manifest.parts().map(|p| p.date.as_str()).collect();
    let mut forms: Vec<Vec<&str>> = days.iter().map(|d| vec!["rebuild", dir, "--date", d]).collect();
    forms.push(vec!["rebuild", dir, "--all"]);
    for args in forms {
        let (code, words) = lobtape(&args);
        assert_eq!(code, 0, "{args:?}: {words}");
    }
}

/// Feeds the records in `raw` to a new converter and compares what it publishes.
fn from_the_start(root: &Path) {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (Dataset::open(root).unwrap(), Dataset::create(dir.path()).unwrap());
    let mut converter = Converter::new();
    for mut lane in raw::lanes(&from, "0000-00-00", "9999-99-99").unwrap() {
        while let Some((rec, _)) = lane.next().unwrap() {
            converter.feed(&to, &rec).unwrap();
        }
    }
    drop(to);
    let (was, is) = (files(root), files(dir.path()));
    let mut faults = Vec::new();
    for (path, hash) in &was {
        match is.get(path) {
            None => faults.push(format!("{} did not come again", path.display())),
            Some(h) if h != hash => faults.push(format!("{} has other bytes", path.display())),
            Some(_) => {}
        }
    }
    faults.extend(is.keys().filter(|p| !was.contains_key(*p)).map(|p| format!("{} is new", p.display())));
    let mut tables: BTreeMap<String, u32> = BTreeMap::new();
    for f in &faults {
        *tables.entry(f.split('/').nth(1).unwrap_or("").to_owned()).or_default() += 1;
    }
    let n = faults.len();
    assert!(n == 0, "{n} of {} files: {tables:?}\n{}", was.len(), faults[..n.min(30)].join("\n"));
}
