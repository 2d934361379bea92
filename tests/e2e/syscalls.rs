//! A recovery that is killed, or refused by the kernel, at any of its system calls: the next one ends with the same files.
//!
//! Recovery is the whole way behind the socket once more: ring to journal, journal through the fold to published files. What
//! holds at each of its calls holds at those of a capture, which does the same work while it records. Needs `strace`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::rig::{Place, Venue, lobtape, number, pass, proved, turn, wait_for};
use super::tape;

/// Calls by which something on disk changes, as strace names them; several names are one counter.
const CALLS: [&str; 9] = [
    "write,pwrite64,writev,pwritev",
    "fdatasync,fsync,sync_file_range",
    "rename,renameat,renameat2",
    "unlink,unlinkat",
    "fallocate,ftruncate",
    "mkdir,mkdirat",
    "link,linkat",
    "open,openat",
    "mmap,munmap,msync",
];

/// A dataset and its rings after a kill, to be had again and again.
struct Remains {
    place: Place,
    kept: PathBuf,
}

impl Remains {
    fn new() -> Remains {
        let place = Place::new();
        let venue = Venue::start(place.dir.path(), "aster-futures", 2, 400, |_| {});
        place.configure("1s", 0, &[&venue]);
        let recorder = place.record();
        let open = || venue.sim.stats().open.load(Ordering::Relaxed) > 0;
        assert!(wait_for(Duration::from_secs(60), open), "nobody came: {}", recorder.words());
        pass(Duration::from_millis(2600));
        recorder.kill();
        venue.end();
        let kept = place.dir.path().join("kept");
        std::fs::create_dir(&kept).unwrap();
        copy(&place.dataset(), &kept.join("data"));
        copy(&place.rings(), &kept.join("ring"));
        Remains { place, kept }
    }

    /// As the kill has left it.
    fn restore(&self) {
        for (from, to) in [("data", self.place.dataset()), ("ring", self.place.rings())] {
            std::fs::remove_dir_all(&to).unwrap();
            copy(&self.kept.join(from), &to);
        }
    }

    /// A recovery that nobody disturbs; its files.
    fn recovered(&self) -> BTreeMap<PathBuf, String> {
        let root = self.place.dataset();
        let (code, words) = lobtape(&["recover", root.to_str().unwrap()]);
        assert_eq!(code, 0, "{words}");
        let left: Vec<_> = std::fs::read_dir(root.join("_tmp")).unwrap().map(|e| e.unwrap().path()).collect();
        assert!(left.is_empty(), "{left:?}");
        // When a recovery ran, and how often, differs: that stands in `runs` and in what lane 000 says.
        let same = |p: &Path| {
            !p.starts_with("v1/runs") && !p.starts_with("v1/clock") && !p.starts_with("v1/raw/venue=_")
        };
        tape::files(&root).into_iter().filter(|(p, _)| same(p)).collect()
    }

    /// A recovery under strace; whether the call came.
    fn disturbed(&self, calls: &str, how: &str, n: u64) -> bool {
        let told = self.place.dir.path().join("strace");
        let status = Command::new("strace")
            .args(["-f", "-qq", "-e", &format!("trace={calls}"), "-o"])
            .arg(&told)
            .args(["-e", &format!("inject={calls}:{how}:when={n}")])
            .arg(env!("CARGO_BIN_EXE_lobtape"))
            .args(["recover", self.place.dataset().to_str().unwrap()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        // strace dies of what its program dies of.
        status.code().is_none() || std::fs::read_to_string(&told).unwrap().contains("(INJECTED)")
    }
}

fn copy(from: &Path, to: &Path) {
    // Holes stay holes, owners and modes stay: the ring's are looked at.
    let done = Command::new("cp").args(["-a", "--sparse=always"]).args([from, to]).status().unwrap();
    assert!(done.success(), "{} to {}", from.display(), to.display());
}

/// Disturbs a recovery at its 1st, …th call of each kind; how many were tried of each.
fn at_each_call(how: &str) -> BTreeMap<&'static str, u64> {
    let remains = Remains::new();
    let expected = remains.recovered();
    assert!(expected.len() > 20, "{}", expected.len());
    // Short: some calls of the kinds that matter most. Long: each of all kinds.
    let each = number("LOBTAPE_PROVE_EACH_CALL", 0) == 1;
    let mut tried = BTreeMap::new();
    for calls in &CALLS[..if each { CALLS.len() } else { 3 }] {
        let mut n = 1;
        loop {
            remains.restore();
            if !remains.disturbed(calls, how, n) {
                break;
            }
            let found = remains.recovered();
            let differ: Vec<_> = expected.iter().filter(|(p, h)| found.get(*p) != Some(h)).collect();
            assert!(
                differ.is_empty() && found.len() == expected.len(),
                "{calls} {how} {n}: {} files, {} before; {differ:?}",
                found.len(),
                expected.len()
            );
            *tried.entry(*calls).or_default() += 1;
            n = if each { n + 1 } else { n * 8 };
        }
        let (code, words) = lobtape(&["verify", remains.place.dataset().to_str().unwrap()]);
        assert_eq!(code, 0, "{calls}: {words}");
    }
    tried
}

/// Whether this machine can; says so if not.
fn can(what: &str) -> bool {
    let there =
        Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    let there = there.is_ok_and(|s| s.success());
    if !there {
        proved(what, &serde_json::json!({"skipped": "strace is not installed or not allowed here"}));
    }
    there
}

#[test]
fn a_recovery_killed_at_any_call_is_done_again_to_the_same_files() {
    let _turn = turn();
    if can("killed calls") {
        let tried = at_each_call("signal=SIGKILL");
        proved("killed calls", &tried);
        assert!(tried.len() >= 3, "{tried:?}");
    }
}

#[test]
fn a_recovery_whose_disk_fails_at_any_call_is_done_again_to_the_same_files() {
    let _turn = turn();
    if can("failed calls") {
        let errors: &[&str] =
            if number("LOBTAPE_PROVE_EACH_CALL", 0) == 1 { &["EIO", "ENOSPC"] } else { &["EIO"] };
        for error in errors {
            let tried = at_each_call(&format!("error={error}"));
            proved(&format!("failed calls, {error}"), &tried);
            assert!(tried.len() >= 3, "{tried:?}");
        }
    }
}
