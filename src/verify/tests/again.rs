//! Rebuild: what differs is told, and what cannot be rebuilt is not guessed.

use super::harm::{edit_manifest, parts};
use super::maker::sample;
use crate::dataset::retention::{Keep, retain};
use crate::dataset::{Dataset, Table};
use crate::engine::rebuild::{Options, Outcome, RebuildError, rebuild};

fn again(dir: &std::path::Path, o: &Options<'_>) -> Result<Outcome, RebuildError> {
    rebuild(&Dataset::open(dir).unwrap(), o, &mut |_, _| {})
}

#[test]
fn a_damaged_a_missing_and_an_unknown_file_are_told_apart() {
    let d = tempfile::tempdir().unwrap();
    sample(d.path());
    let list = parts(d.path(), Table::Trades);
    let (bad, gone, unknown) = (&list[0].path, &list[1].path, &list[2].path);
    let mut b = std::fs::read(d.path().join(bad)).unwrap();
    b[99] ^= 1;
    std::fs::write(d.path().join(bad), b).unwrap();
    std::fs::remove_file(d.path().join(gone)).unwrap();
    edit_manifest(d.path(), unknown, |_| vec![]);
    let o = again(d.path(), &Options::default()).unwrap();
    let different: Vec<&String> = o.different.iter().map(|d| &d.path).collect();
    assert!(!o.is_equal());
    assert!(different.len() == 2 && different.contains(&bad) && different.contains(&gone), "{o:?}");
    assert_eq!((o.missing.len(), &o.extra), (0, &vec![unknown.clone()]));
}

#[test]
fn the_result_can_be_kept_and_is_a_dataset_like_the_first() {
    let d = tempfile::tempdir().unwrap();
    let out = d.path().join("again");
    let data = d.path().join("data");
    sample(&data);
    // Of a process that cannot be there: Linux gives no such number.
    let left = data.join("_tmp/rebuild-4294967295-0");
    std::fs::create_dir(&left).unwrap();
    assert!(again(&data, &Options::default()).unwrap().is_equal());
    assert!(!left.exists(), "what a killed rebuild left is swept");
    let o = again(&data, &Options { days: None, out: Some(&out) }).unwrap();
    assert!(o.is_equal() && o.out == out.display().to_string(), "{o:?}");
    let r = super::verified(&out);
    assert!(r.well, "{}", super::all(&r));
    // What holds data already is not written into.
    let e = again(&data, &Options { days: None, out: Some(&out) }).unwrap_err();
    assert!(matches!(e, RebuildError::NotEmpty { .. }) && e.is_usage(), "{e}");
}

#[test]
fn a_day_whose_raw_was_let_go_is_named_and_is_nobody_s_fault() {
    let d = tempfile::tempdir().unwrap();
    sample(d.path());
    let day = crate::model::time::NS_PER_DAY;
    let now = (crate::model::time::parse_date("2026-11-21").unwrap() + 1) * day;
    let keep = Keep { per_table: [(Table::Raw, day)].into(), ..Keep::default() };
    let gone = retain(&Dataset::create(d.path()).unwrap(), &keep, now).unwrap();
    assert!(!gone.paths.is_empty() && gone.paths.iter().all(|p| p.contains("date=2026-11-20")));
    let o = again(d.path(), &Options::default()).unwrap();
    assert!(o.is_equal() && o.equal > 0, "{o:?}");
    assert_eq!(o.let_go.iter().collect::<Vec<_>>(), ["2026-11-20"]);
    let e = again(d.path(), &Options { days: Some(("2026-11-20", "2026-11-20")), out: None }).unwrap_err();
    assert!(e.is_usage() && e.to_string().contains("retention let it go"), "{e}");
    // What is missing of the other day is still told.
    let p = parts(d.path(), Table::Trades).into_iter().find(|p| p.date == "2026-11-21").unwrap();
    edit_manifest(d.path(), &p.path, |mut v| {
        let path = v["path"].as_str().unwrap().replace("-000000.parquet", "-000007.parquet");
        (v["path"], v["n"]) = (path.into(), 7.into());
        vec![v]
    });
    let o = again(d.path(), &Options::default()).unwrap();
    assert!(!o.is_equal() && o.missing.len() == 1 && o.let_go.len() == 1, "{o:?}");
}

#[test]
fn without_all_records_nothing_is_rebuilt() {
    let d = tempfile::tempdir().unwrap();
    sample(d.path());
    let e = again(d.path(), &Options { days: Some(("2020-01-01", "2020-01-01")), out: None }).unwrap_err();
    assert!(matches!(e, RebuildError::NoRaw { .. }) && e.is_usage(), "{e}");
    let raw = parts(d.path(), Table::Raw);
    edit_manifest(d.path(), &raw[1].path, |_| vec![]);
    let e = again(d.path(), &Options::default()).unwrap_err();
    assert!(matches!(e, RebuildError::Hole { lane: 1, .. }) && e.is_damage(), "{e}");
    // The second day does not need the first one's records, only the state at its start.
    let o = again(d.path(), &Options { days: Some(("2026-11-21", "2026-11-21")), out: None }).unwrap();
    assert!(o.is_equal(), "{o:?}");
    // Without lane 000 nothing says what the state was.
    let ds = Dataset::open(d.path()).unwrap();
    let lane0: Vec<String> =
        ds.manifest().unwrap().parts().filter(|p| p.lane == 0).map(|p| p.path.clone()).collect();
    for p in lane0 {
        edit_manifest(d.path(), &p, |_| vec![]);
    }
    let e = again(d.path(), &Options { days: Some(("2026-11-21", "2026-11-21")), out: None }).unwrap_err();
    assert!(matches!(e, RebuildError::NoStart { lane: 1, .. }) && e.is_damage(), "{e}");
    assert_eq!(std::fs::read_dir(d.path().join("_tmp")).unwrap().count(), 0, "nothing is left behind");
}
