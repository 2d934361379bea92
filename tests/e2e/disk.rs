//! A disk that is full: nothing that the venue sent is lost, and all goes on by itself when there is space again.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::oracle_check::{Rules, check};
use super::refold::refold;
use super::rig::{Place, Recorder, Venue, lobtape, number, pass, proved, status, status_of, turn, wait_for};

/// A file system in memory, mounted at a directory. Needs root.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts it; `None`, said to whoever counts, where that is not allowed.
    fn mount(at: &Path, options: &str, what: &str) -> Option<SmallDisk> {
        std::fs::create_dir_all(at).unwrap();
        let mut c = Command::new("mount");
        c.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).stderr(Stdio::null());
        if !c.status().is_ok_and(|s| s.success()) {
            proved(what, &json!({"skipped": "mounting a file system is not allowed here"}));
            return None;
        }
        Some(SmallDisk(at.to_owned()))
    }

    /// Takes all the bytes that are left.
    fn fill(&self) {
        let mut f = std::fs::File::create(self.0.join("lost+found")).unwrap();
        let mut piece = vec![1u8; 1 << 20];
        while !piece.is_empty() {
            if f.write_all(&piece).is_err() {
                piece.truncate(piece.len() / 2);
            }
        }
    }

    /// Takes all the files that are left.
    fn fill_names(&self) {
        let dir = self.0.join("lost+found");
        std::fs::create_dir(&dir).unwrap();
        let mut n = 0;
        while std::fs::File::create(dir.join(format!("{n}"))).is_ok() {
            n += 1;
        }
    }

    /// Gives them back.
    fn clear(&self) {
        let filler = self.0.join("lost+found");
        if filler.is_dir() {
            std::fs::remove_dir_all(filler).unwrap();
        } else {
            std::fs::remove_file(filler).unwrap();
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a recorder of a test that failed may still have files open.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn published(s: &Value) -> i64 {
    let lanes = s["lanes"].as_array().map(Vec::as_slice).unwrap_or_default();
    lanes.iter().filter_map(|l| l["marks"]["pub"].as_i64()).max().unwrap_or(-1)
}

/// Waits until a part was published after the record `than`, and storage is well.
fn publishes(addr: SocketAddr, than: i64) -> bool {
    wait_for(Duration::from_secs(60), || {
        status(addr).is_some_and(|s| s["storage"] == "" && published(&s) > than)
    })
}

fn configured(place: &Place, venue: &mut Venue) -> SocketAddr {
    let addr = status_of(venue);
    place.configure("2s", 0, &[venue]);
    // Segments so small that the disk is full for the journal as well.
    place.change("[capture]\n", "[capture]\nsegment_size = \"1MiB\"\n");
    addr
}

/// The disk is taken, and given back after a time in which the journal needs new segments, too.
fn full(what: &str, options: &str, fill: impl Fn(&SmallDisk)) {
    let _turn = turn();
    let (seconds, rate) = (number("LOBTAPE_PROVE_SECONDS", 10), number("LOBTAPE_PROVE_RATE", 1000));
    let place = Place::new();
    let Some(disk) = SmallDisk::mount(&place.dataset(), options, what) else { return };
    let mut venue = Venue::start(place.dir.path(), "aster-futures", 4, rate as u32, |_| {});
    let addr = configured(&place, &mut venue);
    let mut recorder = place.record();
    assert!(publishes(addr, -1), "nothing was published: {}", recorder.words());
    fill(&disk);
    let refused = wait_for(Duration::from_secs(60), || status(addr).is_some_and(|s| s["storage"] != ""));
    assert!(refused && recorder.is_alive(), "nobody says that the disk is full: {}", recorder.words());
    pass(Duration::from_secs(seconds));
    let seen = status(addr).unwrap();
    assert_eq!((&seen["ready"], &seen["state"]), (&json!(false), &json!("storage_failed")), "{seen}");
    let before = published(&seen);
    disk.clear();
    let begun = Instant::now();
    assert!(publishes(addr, before), "it does not go on: {}", recorder.words());
    let back_ms = begun.elapsed().as_millis();
    pass(Duration::from_secs(1));
    ended(what, &place, venue, recorder, json!({"full_s": seconds, "published_again_ms": back_ms}));
}

/// Nothing is missing, and no gap is told.
fn ended(what: &str, place: &Place, venue: Venue, recorder: Recorder, mut figures: Value) {
    let (id, log) = venue.end();
    recorder.stop();
    let v = check(&place.dataset(), &id, &log, Rules::default());
    figures["figures"] = serde_json::to_value(&v.figures).unwrap();
    proved(what, &figures);
    v.demand(what);
    assert_eq!((v.figures.disconnects, v.figures.holes), (1, 0), "the venue alone ended the connection");
    refold(&place.dataset());
    let (code, words) = lobtape(&["verify", place.dataset().to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}

#[test]
fn a_full_disk_costs_nothing_while_the_rings_hold_and_all_goes_on_by_itself() {
    full("disk full", "size=120m", SmallDisk::fill);
}

#[test]
fn a_disk_without_names_for_files_is_as_a_full_one() {
    full("no inodes", "size=400m,nr_inodes=1500", SmallDisk::fill_names);
}

/// Whoever stops while the disk is full is told so; the next start makes what is missing.
#[test]
fn a_stop_on_a_full_disk_ends_and_the_next_start_publishes_the_rest() {
    let _turn = turn();
    let what = "stop on a full disk";
    let place = Place::new();
    let Some(disk) = SmallDisk::mount(&place.dataset(), "size=120m", what) else { return };
    let mut venue = Venue::start(place.dir.path(), "aster-futures", 4, 500, |_| {});
    let addr = configured(&place, &mut venue);
    let recorder = place.record();
    assert!(publishes(addr, -1), "nothing was published: {}", recorder.words());
    disk.fill();
    let refused = wait_for(Duration::from_secs(60), || status(addr).is_some_and(|s| s["storage"] != ""));
    assert!(refused, "nobody says that the disk is full: {}", recorder.words());
    let (code, words) = recorder.stop_badly();
    assert_eq!(code, 3, "{words}");
    assert!(words.contains("No space left on device"), "{words}");
    disk.clear();
    let recorder = place.record();
    assert!(publishes(addr, -1), "it does not go on: {}", recorder.words());
    pass(Duration::from_secs(2));
    let (id, log) = venue.end();
    recorder.stop();
    let v = check(&place.dataset(), &id, &log, Rules { killed: true, ..Rules::default() });
    proved(what, &v.figures);
    v.demand(what);
    refold(&place.dataset());
}
