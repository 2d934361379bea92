//! Small datasets by hand, then every kind of harm done to them.

mod again;
mod chaos;
mod harm;
mod maker;

use std::path::Path;

use super::*;
use crate::dataset::Dataset;
use crate::engine::rebuild;
use maker::*;

fn verified(dir: &Path) -> Report {
    let ds = Dataset::open(dir).unwrap();
    verify(&ds, &Options::default(), &mut |_, _, _| {}).unwrap()
}

fn all(r: &Report) -> String {
    let line = |(c, f): (CheckId, &Finding)| format!("{} {} row {}: {}\n", c.as_str(), f.file, f.row, f.what);
    r.findings().map(line).collect()
}

fn rebuilt(dir: &Path, days: Option<(&str, &str)>) -> rebuild::Outcome {
    let ds = Dataset::open(dir).unwrap();
    rebuild::rebuild(&ds, &rebuild::Options { days, out: None }, &mut |_, _| {}).unwrap()
}

#[test]
fn a_sound_dataset_is_well_and_comes_out_again() {
    let d = tempfile::tempdir().unwrap();
    sample(d.path());
    let r = verified(d.path());
    assert!(r.well, "{}", all(&r));
    let count = |c: CheckId, n: &str| r.check(c).counts.get(n).copied().unwrap_or(0);
    assert_eq!(count(CheckId::Coverage, "streams"), 8);
    assert!(count(CheckId::Chains, "trade_holes") >= 4);
    assert!(count(CheckId::Books, "carried") >= 2);
    assert!(count(CheckId::Books, "cleared") >= 4);
    for days in [None, Some(("2026-11-20", "2026-11-20")), Some(("2026-11-21", "2026-11-21"))] {
        let o = rebuilt(d.path(), days);
        assert!(o.is_equal() && o.equal > 0, "{days:?}: {o:?}");
    }
    assert!(rebuilt(d.path(), None).checkpoints_equal > 0);
    assert_eq!(std::fs::read_dir(d.path().join("_tmp")).unwrap().count(), 0, "nothing is left behind");
}
