//! Where a ring's file lives.
//!
//! Cold: only at start and recovery.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::model::ids::LaneId;
use crate::sys::disk;

/// Room to leave for others on a memory file system, bytes.
const SLACK: u64 = 16 << 20;

/// `lobtape-<dataset id, 32 hex digits>-<lane, 3 digits>`.
pub fn ring_file_name(dataset: u128, lane: LaneId) -> String {
    format!("lobtape-{dataset:032x}-{lane:03}")
}

/// The directory for rings that need `need` bytes in sum: `$RUNTIME_DIRECTORY` (systemd keeps it over a restart with
/// `RuntimeDirectoryPreserve=restart`), else `/dev/shm` where it has the room, else the dataset's `_journal/`.
/// The caller writes the answer into the dataset's marker, so that a later recovery looks in the same place.
pub fn ring_dir(journal_dir: &Path, need: u64) -> PathBuf {
    choose(std::env::var_os("RUNTIME_DIRECTORY").as_deref(), Path::new("/dev/shm"), journal_dir, need)
}

fn choose(runtime: Option<&OsStr>, memory: &Path, journal_dir: &Path, need: u64) -> PathBuf {
    // systemd joins several by colons; the first is ours as well as any.
    let first = runtime.and_then(|v| v.as_bytes().split(|&b| b == b':').find(|p| !p.is_empty()));
    if let Some(p) = first {
        return PathBuf::from(OsStr::from_bytes(p));
    }
    let fits = disk::space(memory).is_ok_and(|s| s.available >= need.saturating_add(SLACK));
    if fits { memory.to_path_buf() } else { journal_dir.to_path_buf() }
}

/// The ring files of a dataset in `dir`, by lane. A directory that is not there has none.
pub fn find_rings(dir: &Path, dataset: u128) -> Vec<PathBuf> {
    let prefix = format!("lobtape-{dataset:032x}-");
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut found: Vec<(LaneId, PathBuf)> = entries
        .filter_map(Result::ok)
        .filter_map(|e| {
            let name = e.file_name();
            let lane = name.to_str()?.strip_prefix(&prefix)?.parse().ok()?;
            (name.to_str() == Some(&ring_file_name(dataset, lane))).then(|| (lane, e.path()))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, p)| p).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "asks the kernel for room")]
    fn the_place_follows_the_policy() {
        let (shm, jrn) = (Path::new("/dev/shm"), Path::new("/data/_journal"));
        let run = OsStr::new("/run/lobtape:/run/other");
        assert_eq!(choose(Some(run), shm, jrn, 1), Path::new("/run/lobtape"));
        assert_eq!(choose(Some(OsStr::new("")), Path::new("/nowhere/at/all"), jrn, 1), jrn);
        let tmp = tempfile::tempdir().unwrap();
        assert_eq!(choose(None, tmp.path(), jrn, 0), tmp.path());
        assert_eq!(choose(None, tmp.path(), jrn, u64::MAX / 2), jrn, "no room there");
    }

    #[test]
    fn rings_of_this_dataset_only() {
        let dir = tempfile::tempdir().unwrap();
        for n in [ring_file_name(7, 10), ring_file_name(7, 2), ring_file_name(8, 1), "lobtape-x".into()] {
            std::fs::write(dir.path().join(n), b"").unwrap();
        }
        std::fs::write(dir.path().join(format!("{}.bak", ring_file_name(7, 2))), b"").unwrap();
        let found = find_rings(dir.path(), 7);
        assert_eq!(found, [2, 10].map(|l| dir.path().join(ring_file_name(7, l))));
        assert_eq!(ring_file_name(u128::MAX, 1000), format!("lobtape-{}-1000", "f".repeat(32)));
    }
}
