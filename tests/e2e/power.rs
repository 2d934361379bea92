//! The power of a virtual machine is cut again and again: what was durable is there, what is missing is young, and what was
//! published can be read.
//!
//! The recorder runs in an emulated machine, the simulated venue here, outside of what is cut. The machine's disk is a file
//! here: in every other life all that the guest's kernel wrote to it stays (the order of writes is what counts), in the
//! others the disk has a volatile cache, of which nothing stays that was not flushed. Needs qemu-system-x86_64, nbdkit,
//! e2fsprogs, what `scripts/power-guest` needs, and an unpacked kernel package in `LOBTAPE_PROVE_KERNEL`. Emulation is slow: the
//! guest wants a release build of the program (`LOBTAPE_PROVE_PROGRAM`, or `cargo test --release`).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lobtape::simulator::oracle::Line;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::json;
use tempfile::TempDir;

use super::oracle_check::{Rules, check, pairs};
use super::refold::refold;
use super::rig::{Place, Venue, lobtape, number, pass, proved, turn, wait_for};
use super::tape::{Frame, Tape};

/// What the promise allows, ms.
const AT_MOST_MS: i64 = 250;

/// The tools that are needed, and the kernel's folder; says what is missing.
fn can(what: &str) -> Option<PathBuf> {
    let skipped = |why: String| {
        proved(what, &json!({ "skipped": why }));
        None
    };
    for tool in [
        "qemu-system-x86_64",
        "nbdkit",
        "mkfs.ext4",
        "e2fsck",
        "debugfs",
        "busybox",
        "cpio",
        "depmod",
        "strip",
    ] {
        let found = Command::new("sh").args(["-c", &format!("command -v {tool}")]).output().unwrap();
        if !found.status.success() {
            return skipped(format!("{tool} is not installed"));
        }
    }
    match std::env::var_os("LOBTAPE_PROVE_KERNEL") {
        Some(dir) => Some(PathBuf::from(dir)),
        None => skipped("LOBTAPE_PROVE_KERNEL names no unpacked kernel package".to_owned()),
    }
}

fn run(command: &mut Command) {
    let out = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{command:?}: {said}");
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64
}

/// A machine that can be switched on and off.
struct Machine {
    dir: TempDir,
    port: u16,
}

/// One life of it. Its processes are killed when it is dropped.
struct Life {
    qemu: Child,
    disk: Option<Child>,
    said: PathBuf,
}

impl Machine {
    fn new(kernel: &Path, place: &Place, venue: &Venue) -> Machine {
        // In memory where there is such a place: how long this machine's own disk takes is not what is asked.
        let shm = Path::new("/dev/shm");
        let dir = if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() }.unwrap();
        let at = dir.path();
        let config = at.join("lobtape.toml");
        let q = |p: PathBuf| format!("{:?}", p.to_str().unwrap());
        let text = std::fs::read_to_string(place.dir.path().join("lobtape.toml")).unwrap();
        let text =
            text.replace(&q(place.dataset()), "\"/data/tape\"").replace(&q(place.rings()), "\"/run/ring\"");
        let text = text.replace("[capture]\n", "[capture]\nring_size = \"32MiB\"\nsegment_size = \"8MiB\"\n");
        std::fs::write(&config, text).unwrap();
        let program =
            std::env::var_os("LOBTAPE_PROVE_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_lobtape").into());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/power-guest");
        run(Command::new(script).arg(kernel).arg(program).arg(&config).arg(at));
        let disk = File::create(at.join("disk")).unwrap();
        disk.set_len(2 << 30).unwrap();
        run(Command::new("mkfs.ext4").args(["-F", "-q"]).arg(at.join("disk")));
        let base = venue.sim.ws_base();
        Machine { dir, port: base.rsplit(':').next().unwrap().parse().unwrap() }
    }

    /// Switches it on. `volatile`: the disk has a cache that a cut empties.
    fn on(&self, n: u64, volatile: bool) -> Life {
        let (image, socket) = (self.dir.path().join("disk"), self.dir.path().join(format!("nbd-{n}")));
        let disk = volatile.then(|| {
            let mut c = Command::new("nbdkit");
            c.args(["-f", "-U"])
                .arg(&socket)
                .args(["--filter=cache", "file"])
                .arg(&image)
                .arg("cache=writeback");
            let child = c
                .env("TMPDIR", self.dir.path())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            assert!(wait_for(Duration::from_secs(20), || socket.exists()), "nbdkit does not come");
            child
        });
        let file =
            if volatile { format!("nbd:unix:{}", socket.display()) } else { image.display().to_string() };
        let said = self.dir.path().join(format!("said-{n}"));
        let qemu = Command::new("qemu-system-x86_64")
            .args([
                "-accel",
                "tcg,thread=multi",
                "-cpu",
                "max",
                "-smp",
                "2",
                "-m",
                "768",
                "-nographic",
                "-nodefaults",
            ])
            .args(["-serial", "stdio", "-no-reboot", "-kernel"])
            .arg(self.dir.path().join("vmlinuz"))
            .arg("-initrd")
            .arg(self.dir.path().join("initrd"))
            .args(["-append", &format!("console=ttyS0 quiet panic=-1 venue_port={}", self.port)])
            .args(["-drive", &format!("file={file},format=raw,if=virtio,cache=writeback")])
            .args(["-netdev", "user,id=n", "-device", "virtio-net-pci,netdev=n,romfile="])
            .stdin(Stdio::piped())
            .stdout(File::create(&said).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Life { qemu, disk, said }
    }

    /// What is on the disk, copied to `to`, after the file system has replayed its own journal on a copy of the disk.
    fn look(&self, to: &Path) {
        let copy = self.dir.path().join("copy");
        run(Command::new("cp").arg("--sparse=always").args([&self.dir.path().join("disk"), &copy]));
        // 1: the journal was replayed or something like it, and all is well now.
        let code = Command::new("e2fsck").args(["-f", "-y"]).arg(&copy).output().unwrap().status.code();
        assert!(matches!(code, Some(0 | 1)), "e2fsck: {code:?}");
        let _ = std::fs::remove_dir_all(to);
        std::fs::create_dir_all(to).unwrap();
        run(Command::new("debugfs").arg("-R").arg(format!("rdump /tape {}", to.display())).arg(&copy));
    }
}

impl Life {
    fn said(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.said).unwrap_or_default()).into_owned()
    }

    /// Pulls the plug; when.
    fn cut(mut self) -> i64 {
        self.qemu.kill().unwrap();
        let at = now();
        // The disk's cache is lost at the same moment; it may not hear first that the machine is gone.
        if let Some(mut d) = self.disk.take() {
            d.kill().unwrap();
            d.wait().unwrap();
        }
        self.qemu.wait().unwrap();
        at
    }

    /// Has the recorder end in order and the machine switch itself off.
    fn end(mut self) {
        self.qemu.stdin.take().unwrap().write_all(b"end\n").unwrap();
        let off = wait_for(Duration::from_secs(180), || self.qemu.try_wait().unwrap().is_some());
        let said = self.said();
        assert!(off && said.contains("CODE 0") && said.contains("ENDED"), "{said}");
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        for child in std::iter::once(&mut self.qemu).chain(&mut self.disk) {
            // It may have ended long ago.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Files under their final names: how many, and those that cannot be read to their end.
fn published(root: &Path) -> (usize, Vec<String>) {
    let (mut n, mut bad, mut dirs) = (0, Vec::new(), vec![root.join("v1")]);
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|e| e == "parquet") {
                n += 1;
                let rows = File::open(&path)
                    .map_err(|e| e.to_string())
                    .and_then(|f| ParquetRecordBatchReaderBuilder::try_new(f).map_err(|e| e.to_string()))
                    .and_then(|b| b.build().map_err(|e| e.to_string()))
                    .and_then(|r| {
                        r.map(|b| b.map(|b| b.num_rows()))
                            .sum::<Result<usize, _>>()
                            .map_err(|e| e.to_string())
                    });
                bad.extend(rows.err().map(|e| format!("{}: {e}", path.display())));
            }
        }
    }
    (n, bad)
}

/// How old, ms, the first message was that a cut connection lacks; 0 if none is missing.
#[derive(Default)]
struct Ages {
    /// Counted from when the venue handed it to its socket: the way into the machine, which is slow, counts against us.
    sent: Vec<i64>,
    /// Counted from when the recorder had it: its way is taken to be that of the last one which is there, less the fastest
    /// of the connection (that takes out the two clocks), and it came no earlier than that one.
    received: Vec<i64>,
}

fn ages(root: &Path, venue: &str, log: &[Line], cuts: &[i64], rules: Rules) -> Ages {
    let tape = Tape::load(root);
    let pairs = pairs(&tape, venue, log, rules);
    let have: BTreeMap<u64, &[Frame]> = pairs.iter().map(|p| (p.no, p.conn.frames.as_slice())).collect();
    let mut opened: BTreeMap<u64, (i64, Vec<i64>)> = BTreeMap::new();
    for l in log {
        match l.k.as_str() {
            "open" => drop(opened.insert(l.conn, (l.at, Vec::new()))),
            "msg" if !l.dropped => opened.entry(l.conn).or_default().1.push(l.at),
            _ => {}
        }
    }
    let mut ages = Ages::default();
    for (no, (at, sent)) in &opened {
        let Some(cut) = cuts.iter().find(|c| *c > at) else { continue };
        let frames = have.get(no).copied().unwrap_or_default();
        let Some(first) = sent.get(frames.len()).filter(|s| *s < cut) else {
            ages.sent.push(0);
            ages.received.push(0);
            continue;
        };
        let ways = || frames.iter().zip(sent).map(|(f, s)| f.ts_recv - s);
        let way = ways().next_back().unwrap_or(0) - ways().min().unwrap_or(0);
        let last = frames.len().checked_sub(1).map_or(0, |n| sent[n] + way);
        ages.sent.push((cut - first) / 1_000_000);
        ages.received.push((cut - (first + way).max(last)).max(0) / 1_000_000);
    }
    ages.sent.sort_unstable();
    ages.received.sort_unstable();
    ages
}

#[test]
#[ignore = "minutes of emulation; scripts/faults S7"]
fn cuts_of_a_machines_power_lose_only_what_was_young() {
    let _turn = turn();
    let what = "power cuts";
    let Some(kernel) = can(what) else { return };
    let (cuts, rate) = (number("LOBTAPE_PROVE_CUTS", 3), number("LOBTAPE_PROVE_RATE", 200));
    let mut dice = fastrand::Rng::with_seed(number("LOBTAPE_PROVE_SEED", 7));
    let place = Place::new();
    let venue = Venue::start(place.dir.path(), "aster-futures", 3, rate as u32, |c| c.book_levels = 50);
    place.configure("3s", 0, &[&venue]);
    let machine = Machine::new(&kernel, &place, &venue);
    let open = || venue.sim.stats().open.load(Ordering::Relaxed) > 0;
    let (mut at, mut looked, mut read, mut bad) =
        (Vec::new(), place.dir.path().join("looked"), 0, Vec::new());
    for n in 0..cuts {
        let life = machine.on(n, n % 2 == 1);
        assert!(wait_for(Duration::from_secs(120), || life.said().contains("READY")), "{}", life.said());
        // One in four dies while it still recovers from the one before.
        if n % 4 == 3 {
            pass(Duration::from_millis(dice.u64(100..2500)));
        } else {
            assert!(wait_for(Duration::from_secs(120), open), "nobody came: {}", life.said());
            pass(Duration::from_millis(dice.u64(200..5000)));
        }
        assert!(!life.said().contains("CODE"), "ended by itself: {}", life.said());
        at.push(life.cut());
        machine.look(&looked);
        let (n, b) = published(&looked.join("tape"));
        (read, _) = (read + n, bad.extend(b));
        assert!(wait_for(Duration::from_secs(30), || !open()), "the venue did not notice");
    }
    let life = machine.on(cuts, false);
    assert!(wait_for(Duration::from_secs(180), open), "nobody came: {}", life.said());
    venue.sim.quiesce().unwrap();
    pass(Duration::from_secs(4));
    life.end();
    machine.look(&looked);
    looked.push("tape");
    let (id, log) = venue.end();
    let rules = Rules { killed: true, stopped_first: true, ..Rules::default() };
    let v = check(&looked, &id, &log, rules);
    let ages = ages(&looked, &id, &log, &at, rules);
    let (p50, max) = (ages.received.get(ages.received.len() / 2).copied(), ages.received.last().copied());
    let lost = ages.sent.iter().filter(|a| **a > 0).count();
    let figures = json!({"cuts": cuts, "connections_cut": ages.sent.len(), "with_loss": lost, "lost_age_ms_p50": p50, "lost_age_ms_max": max, "since_sent_ms_max": ages.sent.last(),
        "published_files_read": read, "published_files_unreadable": bad.len(), "ages_ms": ages.received, "since_sent_ms": ages.sent, "figures": v.figures});
    proved(what, &figures);
    v.demand(what);
    assert!(bad.is_empty(), "{bad:?}");
    refold(&looked);
    let (code, words) = lobtape(&["verify", looked.to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
    assert!(max.is_some_and(|m| m <= AT_MOST_MS), "{:?} {:?}", ages.received, ages.sent);
}
