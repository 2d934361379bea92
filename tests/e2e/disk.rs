//! A disk that is full: nothing that the venue sent is lost, and all goes on by itself when there is space again.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::oracle_check::{Rules, Verdict, check};
use super::refold::refold;
use super::rig::{Place, Recorder, Venue, lobtape, number, pass, proved, status, status_of, turn, wait_for};
use super::tape;

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

    /// Takes the bytes that are left but for so many, about.
    fn leave(&self, bytes: u64) {
        let path = self.0.join("lost+found");
        let mut f = std::fs::File::options().create(true).append(true).open(path).unwrap();
        let over = || lobtape::sys::disk::space(&self.0).unwrap().available.saturating_sub(bytes);
        let piece = vec![1u8; 64 << 10];
        while over() >= piece.len() as u64 && f.write_all(&piece).is_ok() {}
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

/// What each stream's gap for want of room began with, in the order in which streams are given up.
fn shed_order(place: &Place, id: &str) -> Vec<(i64, String)> {
    let gaps = tape::gaps(&place.dataset(), id);
    let mut first: std::collections::BTreeMap<String, i64> = std::collections::BTreeMap::new();
    for g in gaps.iter().filter(|g| g.cause == "shed_disk") {
        let begin = first.entry(g.stream.clone()).or_insert(g.begin);
        *begin = (*begin).min(g.begin);
    }
    let mut all: Vec<(i64, String)> = first.into_iter().map(|(s, t)| (t, s)).collect();
    all.sort();
    all
}

/// A disk that fills bit by bit: books go first, trades last, each with a gap that says why; with space all come back by
/// themselves.
#[test]
fn a_disk_that_runs_full_gives_streams_up_in_order_and_takes_them_up_again() {
    const MIB: u64 = 1 << 20;
    let _turn = turn();
    let what = "shed";
    let seconds = number("LOBTAPE_PROVE_SECONDS", 3);
    let place = Place::new();
    let Some(disk) = SmallDisk::mount(&place.dataset(), "size=256m", what) else { return };
    let mut venue = Venue::start(place.dir.path(), "aster-futures", 4, 500, |_| {});
    let addr = configured(&place, &mut venue);
    place.change("disk_reserve = \"0\"", "disk_reserve = \"16MiB\"");
    let recorder = place.record();
    assert!(publishes(addr, -1), "nothing was published: {}", recorder.words());
    let int = |s: &Value, key: &str| s[key].as_i64().unwrap_or(-1);
    let reaches = |rung: i64, shed: i64, words: &str| {
        let there = |s: Value| int(&s, "disk_rung") >= rung && int(&s, "streams_shed") >= shed;
        assert!(wait_for(Duration::from_secs(60), || status(addr).is_some_and(there)), "{words}");
    };
    assert_eq!(int(&status(addr).unwrap(), "disk_reserve"), 16 * MIB as i64);
    // Marks of 256 MiB: 12.8 for half of the books, 2.6 for all, then the reserve of 16.
    disk.leave(9 * MIB);
    reaches(2, 2, "two of four books");
    closes(&recorder, addr, 2);
    disk.leave(MIB);
    reaches(3, 4, "all books");
    closes(&recorder, addr, 4);
    assert_eq!(int(&status(addr).unwrap(), "disk_reserve"), 0, "the reserve is let go");
    disk.leave(11 * MIB);
    reaches(4, 12, "all but trades and liquidations");
    closes(&recorder, addr, 12);
    disk.leave(0);
    reaches(5, 20, "trades");
    pass(Duration::from_secs(seconds));
    let seen = status(addr).unwrap();
    assert_eq!((&seen["ready"], &seen["state"]), (&json!(false), &json!("storage_failed")), "{seen}");
    disk.clear();
    let begun = Instant::now();
    let back = |s: Value| int(&s, "streams_shed") == 0 && s["ready"] == true && int(&s, "books_synced") == 4;
    let is_back = wait_for(Duration::from_secs(60), || status(addr).is_some_and(back));
    let back_ms = begun.elapsed().as_millis() as u64;
    assert!(is_back, "not all come back: {}", recorder.words());
    pass(Duration::from_secs(2));
    assert_eq!(int(&status(addr).unwrap(), "disk_reserve"), 16 * MIB as i64, "held back again");
    let (id, log) = venue.end();
    recorder.stop();
    let mut v = check(&place.dataset(), &id, &log, Rules { replaced: true, ..Rules::default() });
    let order = shed_order(&place, &id);
    in_order(&order, &mut v);
    proved(
        what,
        &json!({"full_s": seconds, "all_back_ms": back_ms, "streams": order.len(), "figures": v.figures}),
    );
    v.demand(what);
    refold(&place.dataset());
    let (code, words) = lobtape(&["verify", place.dataset().to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}

/// Waits until the connections that carried more have closed: from then on so many streams are not recorded.
fn closes(recorder: &Recorder, addr: SocketAddr, shed: u64) {
    let told = |s: &Value| {
        let lanes = s["lanes"].as_array().map(Vec::as_slice).unwrap_or_default();
        lanes.iter().filter_map(|l| l["gaps"]["shed_disk"].as_u64()).sum::<u64>()
    };
    let all = wait_for(Duration::from_secs(60), || status(addr).is_some_and(|s| told(&s) >= shed));
    assert!(all, "the gaps are not told: {}", recorder.words());
}

/// Books of later symbols, then all books, then quotes and marks, then trades.
fn in_order(order: &[(i64, String)], v: &mut Verdict) {
    let class = |stream: &str| match stream.split_once('@').map_or("", |s| s.1) {
        c if c.starts_with("depth") => 0,
        c if c.starts_with("aggTrade") || c.starts_with("forceOrder") => 2,
        _ => 1,
    };
    if order.len() != 20 {
        v.fault(format!("gaps for want of room have {} of 20 streams", order.len()));
    }
    // What ends with one connection ends at once.
    let before = |n: usize| order[n + 1..].iter().map(move |later| (&order[n], later));
    for (a, b) in (0..order.len()).flat_map(before).filter(|(a, b)| a.0 < b.0 && class(&a.1) > class(&b.1)) {
        v.fault(format!("{} was given up before {}", a.1, b.1));
    }
}
