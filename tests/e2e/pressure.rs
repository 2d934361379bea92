//! A machine that is in trouble: the process is frozen, has no descriptors or no memory left, or a disk that takes its time.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use super::oracle_check::{Rules, Verdict, check};
use super::refold::refold;
use super::rig::{Place, Recorder, Venue, lobtape, number, pass, proved, turn, wait_for};

/// Whether a command can be run here; says so if not.
fn can(what: &str, command: &[&str]) -> bool {
    let mut c = Command::new(command[0]);
    let there = c.args(&command[1..]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let there = there.is_ok_and(|s| s.success());
    if !there {
        proved(what, &json!({"skipped": format!("{} is not installed or not allowed here", command[0])}));
    }
    there
}

fn run(command: &[&str]) {
    let status = Command::new(command[0]).args(&command[1..]).stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?}");
}

/// The venue has an end of its own; by then whatever was done is over.
fn venue(place: &Place, seconds: u64) -> Venue {
    let rate = number("LOBTAPE_PROVE_RATE", 1000) as u32;
    let v = Venue::start(place.dir.path(), "aster-futures", 6, rate, |c| {
        c.duration_ms = Some(seconds * 1000);
        c.quiet_tail_ms = 2000;
    });
    place.configure("2s", 0, &[&v]);
    v
}

/// Something of every table was published.
fn has_published(place: &Place) -> bool {
    place.dataset().join("v1/bbo").is_dir()
}

/// Everything is there once, and `verify` is content.
fn ended(what: &str, place: &Place, venue: Venue, recorder: Recorder, figures: serde_json::Value) -> Verdict {
    let over = wait_for(Duration::from_secs(180), || venue.sim.is_over());
    assert!(over, "the venue does not end: {}", recorder.words());
    let (id, log) = venue.end();
    recorder.stop();
    let v = check(&place.dataset(), &id, &log, Rules::default());
    let mut all = serde_json::to_value(&v.figures).unwrap();
    for (k, x) in figures.as_object().unwrap() {
        all[k] = x.clone();
    }
    proved(what, &all);
    v.demand(what);
    refold(&place.dataset());
    let (code, words) = lobtape(&["verify", place.dataset().to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
    v
}

#[test]
fn a_process_that_was_frozen_goes_on_with_what_the_kernel_kept() {
    let _turn = turn();
    let frozen = number("LOBTAPE_PROVE_FROZEN", 3);
    let place = Place::new();
    let venue = venue(&place, frozen + 10);
    let recorder = place.record();
    assert!(wait_for(Duration::from_secs(60), || has_published(&place)), "{}", recorder.words());
    let pid = recorder.pid().to_string();
    run(&["kill", "-STOP", &pid]);
    pass(Duration::from_secs(frozen));
    run(&["kill", "-CONT", &pid]);
    ended("freeze", &place, venue, recorder, json!({"frozen_s": frozen}));
}

/// Descriptors of a process that are open.
fn open_files(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

#[test]
fn a_process_without_descriptors_goes_on_and_makes_its_files_when_it_has_some() {
    let _turn = turn();
    let what = "descriptors";
    if !can(what, &["prlimit", "--version"]) {
        return;
    }
    let seconds = number("LOBTAPE_PROVE_SECONDS", 6);
    let place = Place::new();
    let venue = venue(&place, seconds + 14);
    let recorder = place.record();
    assert!(wait_for(Duration::from_secs(60), || has_published(&place)), "{}", recorder.words());
    let limit = |n: &str| run(&["prlimit", "--pid", &recorder.pid().to_string(), &format!("--nofile={n}:")]);
    let open = open_files(recorder.pid());
    limit("3");
    let refused = wait_for(Duration::from_secs(60), || recorder.log().contains("Too many open files"));
    assert!(refused, "nobody says that there are none: {}", recorder.words());
    pass(Duration::from_secs(seconds));
    limit("1024");
    let again = || recorder.log().contains("files are written again");
    assert!(wait_for(Duration::from_secs(60), again), "{}", recorder.words());
    let v = ended(what, &place, venue, recorder, json!({"open": open, "without_s": seconds}));
    assert_eq!(v.figures.disconnects, 1, "the venue alone ended the connection");
}

#[test]
fn a_slow_disk_is_borne() {
    let _turn = turn();
    let what = "slow disk";
    if !can(what, &["strace", "-qq", "-o", "/dev/null", "true"]) {
        return;
    }
    let (ms, seconds) = (number("LOBTAPE_PROVE_SYNC_MS", 700), number("LOBTAPE_PROVE_SECONDS", 12));
    let place = Place::new();
    let venue = venue(&place, seconds);
    let told = place.dir.path().join("strace");
    let inject = format!("inject=fdatasync:delay_enter={}", ms * 1000);
    // The journal syncs by fdatasync, published files by fsync. -D: the recorder is our child, its tracer is not.
    let strace = ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-e", "trace=fdatasync", "-e", &inject, "-o"];
    let recorder = place.record_under(&[&strace[..], &[told.to_str().unwrap()]].concat());
    let v = ended_under(what, &place, venue, recorder, &told, ms);
    assert_eq!(v.figures.disconnects, 1, "the venue alone ended the connection");
}

fn ended_under(what: &str, place: &Place, venue: Venue, recorder: Recorder, told: &Path, ms: u64) -> Verdict {
    let v = ended(what, place, venue, recorder, json!({"each_sync_ms": ms}));
    let syncs = std::fs::read_to_string(told).unwrap().matches("(DELAYED)").count();
    assert!(syncs >= 5, "{syncs} syncs were slow");
    v
}

/// After a sync that failed nobody may sync that file again: the kernel has forgotten what it could not write, and the next
/// sync says that all is well (fsyncgate). What it should have held goes to another file.
#[test]
fn a_sync_that_failed_is_final_and_what_it_should_have_held_is_written_elsewhere() {
    let _turn = turn();
    let what = "failed syncs";
    if !can(what, &["strace", "-qq", "-o", "/dev/null", "true"]) {
        return;
    }
    let seconds = number("LOBTAPE_PROVE_SECONDS", 12);
    let place = Place::new();
    let venue = venue(&place, seconds);
    place.change("[capture]\n", "[capture]\nsegment_size = \"4MiB\"\n");
    let told = place.dir.path().join("strace");
    let inject = "inject=fdatasync:error=EIO:when=5+20";
    let strace =
        ["strace", "-D", "-f", "-y", "-qq", "--seccomp-bpf", "-e", "trace=fdatasync", "-e", inject, "-o"];
    let recorder = place.record_under(&[&strace[..], &[told.to_str().unwrap()]].concat());
    let over = wait_for(Duration::from_secs(180), || venue.sim.is_over());
    assert!(over, "the venue does not end: {}", recorder.words());
    let (failed, again) = syncs_after_failure(&std::fs::read_to_string(&told).unwrap());
    assert!(failed >= 3 && again.is_empty(), "{failed} failed; synced again: {again:?}");
    let v =
        ended(what, &place, venue, recorder, json!({"failed_syncs": failed, "synced_again": again.len()}));
    assert_eq!(v.figures.disconnects, 1, "the venue alone ended the connection");
}

/// How many syncs failed, and the files that were synced after that.
fn syncs_after_failure(log: &str) -> (usize, Vec<String>) {
    let (mut failed, mut again) = (Vec::new(), Vec::new());
    // `PID fdatasync(9</path/00000000000000000003.seg>) = -1 EIO (Input/output error) (INJECTED)`
    for line in log.lines().filter(|l| l.contains("fdatasync(")) {
        let Some((_, rest)) = line.split_once('<') else { continue };
        let Some((file, result)) = rest.split_once('>') else { continue };
        if failed.iter().any(|f| f == file) {
            again.push(line.to_owned());
        }
        if result.contains("EIO") {
            failed.push(file.to_owned());
        }
    }
    (failed.len(), again)
}

/// A control group that may use so much memory; `None` where there is none to be had.
struct Group {
    dir: std::path::PathBuf,
}

impl Group {
    fn new(bytes: u64, what: &str) -> Option<Group> {
        let name = format!("lobtape-test-{}", std::process::id());
        let (v1, v2) = (Path::new("/sys/fs/cgroup/memory"), Path::new("/sys/fs/cgroup"));
        let (root, file) = if v1.is_dir() { (v1, "memory.limit_in_bytes") } else { (v2, "memory.max") };
        let dir = root.join(name);
        let made = std::fs::create_dir(&dir).and_then(|()| std::fs::write(dir.join(file), bytes.to_string()));
        if made.is_err() {
            let _ = std::fs::remove_dir(&dir);
            proved(what, &json!({"skipped": "no memory control group can be made here"}));
            return None;
        }
        Some(Group { dir })
    }

    fn take(&self, pid: u32) {
        std::fs::write(self.dir.join("cgroup.procs"), pid.to_string()).unwrap();
    }

    fn peak(&self) -> u64 {
        let files = ["memory.max_usage_in_bytes", "memory.peak"];
        let text = files.iter().find_map(|f| std::fs::read_to_string(self.dir.join(f)).ok());
        text.and_then(|t| t.trim().parse().ok()).unwrap_or(0)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its processes have ended; a group that is busy still stays behind.
        let _ = std::fs::remove_dir(&self.dir);
    }
}

/// The page cache of its own files counts in a control group, too: the kernel must find enough that can be let go.
#[test]
fn a_memory_limit_a_little_above_the_budget_kills_nobody() {
    let _turn = turn();
    let what = "memory limit";
    let mib = number("LOBTAPE_PROVE_MIB", 400);
    let Some(group) = Group::new(mib << 20, what) else { return };
    let place = Place::new();
    let venue = venue(&place, number("LOBTAPE_PROVE_SECONDS", 10));
    place.change("[capture]\n", "[capture]\nconverter_memory = \"32MiB\"\nsegment_size = \"8MiB\"\n");
    let mut recorder = place.record();
    group.take(recorder.pid());
    let over = wait_for(Duration::from_secs(180), || venue.sim.is_over() || !recorder.is_alive());
    assert!(over && recorder.is_alive(), "killed: {}", recorder.words());
    let peak_mib = group.peak() >> 20;
    ended(what, &place, venue, recorder, json!({"limit_mib": mib, "peak_mib": peak_mib}));
}
