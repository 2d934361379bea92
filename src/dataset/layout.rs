//! The dataset's directory: its marker, its write lock, its paths.
//!
//! ```text
//! LOBTAPE            marker: format version, dataset id, the lanes' rings, lines of the manifest, owner of the write lock
//! _lock              locked (flock) by the one writer
//! v1/<table>/venue=…/symbol=…/date=…/part-<interval start>-<lane>-<n>.parquet
//! v1/_manifest/      what is published
//! _journal/  _tmp/   live segments; files in the making
//! ```

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::error::DatasetError;
use super::hash::hex;
use super::manifest::{Line, Log, Manifest};
use super::name::Names;
use super::part::PartKey;
use super::schema::{Level, Table};
use crate::model::LaneId;
use crate::sys::disk;

/// Newest format of the directory that this program knows.
pub const FORMAT: u32 = 1;

/// Name of the marker file.
pub const MARKER: &str = "LOBTAPE";

/// What the marker says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Format of the directory.
    pub format: u32,
    /// 16 hex digits, given once.
    pub id: String,
    /// Where each lane's ring is, so that `recover` finds it.
    pub rings: Vec<(LaneId, PathBuf)>,
    /// The machine's run in which the rings were made, "" = not known.
    pub boot: String,
    /// How many lines the manifest has at least; 0 in datasets of versions that did not count.
    pub lines: u64,
    /// Who holds the write lock, for people; `none` after a clean stop.
    pub owner: String,
}

/// A dataset, opened for reading or as its one writer.
#[derive(Debug)]
pub struct Dataset {
    root: PathBuf,
    id: String,
    writer: Option<Writer>,
}

#[derive(Debug)]
struct Writer {
    /// Locked as long as it is open.
    _lock: File,
    marker: Mutex<Marker>,
    names: Mutex<Names>,
    next_tmp: AtomicU64,
    log: Mutex<Log>,
    manifest: Mutex<Manifest>,
    manifest_damage: Vec<String>,
    manifest_mended: Vec<String>,
}

fn locked<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing here leaves a half-made value behind when it panics.
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Dataset {
    /// Opens a dataset for reading. Takes no lock.
    ///
    /// # Errors
    /// No dataset there, a damaged marker, a newer format.
    pub fn open(root: impl AsRef<Path>) -> Result<Dataset, DatasetError> {
        let root = root.as_ref();
        let marker = read_marker(root)?.ok_or_else(|| DatasetError::Missing { path: root.to_owned() })?;
        Ok(Dataset { root: root.to_owned(), id: marker.id, writer: None })
    }

    /// Refuses a place as [`Dataset::create`] would, but makes nothing, locks nothing and asks nothing of who runs it: who checks
    /// need not be who captures, and a writer may be there.
    ///
    /// # Errors
    /// A path that leads through a file or to where no directory can be made, somebody else's directory, a damaged marker, a
    /// newer format.
    pub fn could_be(root: impl AsRef<Path>) -> Result<(), DatasetError> {
        let root = root.as_ref();
        let ours = match read_marker(root) {
            Err(DatasetError::Io { .. }) => return Ok(()),
            found => found?.is_some(),
        };
        let whole = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
        for (i, above) in whole.ancestors().enumerate() {
            match std::fs::metadata(above) {
                Ok(m) if !m.is_dir() => return Err(DatasetError::NotADirectory { path: root.to_owned() }),
                Ok(_) if i == 0 && !ours && !is_empty(root).unwrap_or(true) => {
                    return Err(DatasetError::NotOurs { path: root.to_owned() });
                }
                Ok(_) => match disk::keeps_files(above) {
                    Err(source) => return Err(DatasetError::NoPlace { path: root.to_owned(), source }),
                    Ok(()) => return Ok(()),
                },
                Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
                // Hidden from whoever checks.
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    /// Opens a dataset as its one writer; makes it where there is nothing yet. Sweeps what a crash left unfinished.
    ///
    /// # Errors
    /// Another writer, a directory that is not ours, from a newer version or not writable, a damaged manifest.
    pub fn create(root: impl AsRef<Path>) -> Result<Dataset, DatasetError> {
        let root = root.as_ref();
        let refuse = |source| match source {
            e if is_refusal(&e) => DatasetError::NotWritable { path: root.to_owned(), source: e },
            e => DatasetError::io(root, "creating the dataset", e),
        };
        std::fs::create_dir_all(root).map_err(|e| match e.kind() {
            ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
                DatasetError::NotADirectory { path: root.to_owned() }
            }
            // What takes no directories says so of each in its own way; /proc that there is no such one.
            ErrorKind::NotFound | ErrorKind::Unsupported | ErrorKind::InvalidInput => {
                DatasetError::NoPlace { path: root.to_owned(), source: e }
            }
            _ => refuse(e),
        })?;
        let found = read_marker(root)?;
        if found.is_none() && !is_empty(root).map_err(refuse)? {
            return Err(DatasetError::NotOurs { path: root.to_owned() });
        }
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(root.join("_lock"))
            .map_err(refuse)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let owner = found.map_or_else(|| "unknown".to_owned(), |m| m.owner);
                return Err(DatasetError::Locked { path: root.to_owned(), owner });
            }
            Err(TryLockError::Error(e)) => return Err(refuse(e)),
        }
        // Read again: the one who held the lock a moment ago may have written it.
        let mut marker = match read_marker(root)? {
            Some(m) => m,
            None => Marker {
                format: FORMAT,
                id: new_id().map_err(refuse)?,
                rings: Vec::new(),
                boot: String::new(),
                lines: 0,
                owner: String::new(),
            },
        };
        marker.owner = format!("pid {} on {}", std::process::id(), crate::sys::process::hostname());
        for dir in ["v1", "_tmp", "_journal"] {
            std::fs::create_dir_all(root.join(dir)).map_err(refuse)?;
        }
        write_marker(root, &marker)?;
        Dataset::writer(root, lock, marker)
    }

    fn writer(root: &Path, lock: File, marker: Marker) -> Result<Dataset, DatasetError> {
        let manifest_mended = Manifest::mend(root)?;
        let (manifest, manifest_damage) = Manifest::load_sound(root)?;
        sweep(root, &manifest)?;
        let mut names = Names::default();
        for p in manifest.parts() {
            for part in p.path.split('/') {
                if let Some(name) = part.strip_prefix("venue=") {
                    names.remember("", &p.venue, name);
                } else if let Some(name) = part.strip_prefix("symbol=") {
                    names.remember(&p.venue, &p.symbol, name);
                }
            }
        }
        // What the marker counted and is not there any more keeps its numbers, so that it stays missed.
        let lines = manifest.lines().max(marker.lines);
        let ds = Dataset {
            root: root.to_owned(),
            id: marker.id.clone(),
            writer: Some(Writer {
                _lock: lock,
                marker: Mutex::new(marker),
                names: Mutex::new(names),
                next_tmp: AtomicU64::new(0),
                log: Mutex::new(Log::new(root, lines)?),
                manifest: Mutex::new(manifest),
                manifest_damage,
                manifest_mended,
            }),
        };
        super::readme::refresh(&ds, true)?;
        Ok(ds)
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The dataset's id: 16 hex digits, given once.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether a process holds the write lock. Looks without waiting and lets go at once.
    ///
    /// # Errors
    /// The file system's.
    pub fn has_writer(&self) -> Result<bool, DatasetError> {
        if self.writer.is_some() {
            return Ok(true);
        }
        let path = self.root.join("_lock");
        let lock = match File::open(&path) {
            Ok(f) => f,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(DatasetError::io(&path, "opening", e)),
        };
        match lock.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(e)) => Err(DatasetError::io(&path, "asking who writes", e)),
        }
    }

    /// Where the journal's segments are.
    pub fn journal_dir(&self) -> PathBuf {
        self.root.join("_journal")
    }

    /// A small file of the journal's directory. `None`: it is not there, or cannot be read.
    pub fn read_small(&self, name: &str) -> Option<Vec<u8>> {
        std::fs::read(self.journal_dir().join(name)).ok()
    }

    /// Writes such a file as a whole.
    ///
    /// # Errors
    /// Read-only, or the file system's.
    pub fn write_small(&self, name: &str, bytes: &[u8]) -> Result<(), DatasetError> {
        self.w()?;
        replace_in(&self.root, &self.journal_dir(), name, bytes)
    }

    /// The marker as it stands on disk.
    ///
    /// # Errors
    /// As [`Dataset::open`].
    pub fn marker(&self) -> Result<Marker, DatasetError> {
        read_marker(&self.root)?.ok_or_else(|| DatasetError::Missing { path: self.root.clone() })
    }

    /// Writes into the marker where the lanes' rings are, and in which run of the machine that is.
    ///
    /// # Errors
    /// Read-only, or the file system's.
    pub fn set_rings(&self, rings: &[(LaneId, PathBuf)]) -> Result<(), DatasetError> {
        let mut marker = locked(&self.w()?.marker);
        // Whoever recovers may start elsewhere.
        let whole = |p: &PathBuf| std::path::absolute(p).unwrap_or_else(|_| p.clone());
        marker.rings = rings.iter().map(|(lane, p)| (*lane, whole(p))).collect();
        marker.boot = crate::sys::process::boot_id();
        write_marker(&self.root, &marker)
    }

    /// Tells the manifest, and the marker how many lines it has now. The marker comes second: it never says too much.
    pub(super) fn tell(&self, lines: &[Line]) -> Result<(), DatasetError> {
        let n = self.log()?.append(lines)?;
        let mut marker = locked(&self.w()?.marker);
        if marker.lines >= n {
            return Ok(());
        }
        marker.lines = n;
        write_marker(&self.root, &marker)
    }

    /// What is published.
    ///
    /// # Errors
    /// As [`Manifest::load`].
    pub fn manifest(&self) -> Result<Manifest, DatasetError> {
        Manifest::load(&self.root)
    }

    /// Lines of the manifest that could not be read when this writer began, each with its place and what is wrong: it
    /// works on without them. Empty for a reader, which does not.
    pub fn manifest_damage(&self) -> &[String] {
        self.writer.as_ref().map_or(&[], |w| &w.manifest_damage)
    }

    /// Places of lines of the manifest of which a byte had been changed: they are as they were since this writer began.
    pub fn manifest_mended(&self) -> &[String] {
        self.writer.as_ref().map_or(&[], |w| &w.manifest_mended)
    }

    /// What is published as far as the manifest can be read, and what is wrong with the lines that cannot.
    ///
    /// # Errors
    /// The file system's.
    pub fn sound_manifest(&self) -> Result<(Manifest, Vec<String>), DatasetError> {
        Manifest::load_sound(&self.root)
    }

    fn w(&self) -> Result<&Writer, DatasetError> {
        self.writer.as_ref().ok_or_else(|| DatasetError::ReadOnly { path: self.root.clone() })
    }

    pub(super) fn log(&self) -> Result<MutexGuard<'_, Log>, DatasetError> {
        Ok(locked(&self.w()?.log))
    }

    pub(super) fn current(&self) -> Result<MutexGuard<'_, Manifest>, DatasetError> {
        Ok(locked(&self.w()?.manifest))
    }

    /// Path of a part inside the dataset.
    ///
    /// # Errors
    /// Read-only.
    pub fn part_path(&self, key: &PartKey) -> Result<String, DatasetError> {
        let mut names = locked(&self.w()?.names);
        let mut path = format!("v1/{}", key.table.name());
        let level = key.table.spec().level;
        if level != Level::None {
            path.push_str(&format!("/venue={}", names.name("", &key.venue)));
        }
        if level == Level::Symbol {
            let symbol = key.symbol.as_deref().unwrap_or("");
            path.push_str(&format!("/symbol={}", names.name(&key.venue, symbol)));
        }
        path.push_str(&format!(
            "/date={}/part-{:019}-{:03}-{:06}.parquet",
            key.date(),
            key.interval_start.max(0),
            key.lane,
            key.n
        ));
        Ok(path)
    }

    /// A fresh name for a file in the making.
    pub(super) fn next_tmp(&self, table: Table) -> Result<PathBuf, DatasetError> {
        // Relaxed: only uniqueness matters.
        let n = self.w()?.next_tmp.fetch_add(1, Ordering::Relaxed);
        Ok(self.root.join(format!("_tmp/{}-{n}.tmp", table.name())))
    }
}

impl Dataset {
    /// Removes the files in the making of a conversion that was given up, and tries whether the disk takes `bytes` more.
    ///
    /// # Errors
    /// The disk refuses still, or this dataset is open for reading only.
    pub fn make_room(&self, bytes: u64) -> Result<(), DatasetError> {
        self.w()?;
        sweep_tmp(&self.root)?;
        let path = self.root.join("_tmp/room.tmp");
        let tried =
            File::create(&path).and_then(|f| crate::sys::shm::reserve(&f, bytes).and_then(|()| f.sync_all()));
        // Where it cannot be removed it is swept the next time.
        let _ = std::fs::remove_file(&path);
        tried.map_err(|e| DatasetError::io(&path, "writing", e))
    }
}

impl Drop for Dataset {
    fn drop(&mut self) {
        if let Some(w) = &self.writer {
            let mut marker = locked(&w.marker);
            marker.owner = "none".to_owned();
            // The lock decides, this is for people; a writer that could not write it stays named.
            let _ = write_marker(&self.root, &marker);
        }
    }
}

fn is_refusal(e: &io::Error) -> bool {
    matches!(e.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::NotADirectory)
        || e.kind() == ErrorKind::AlreadyExists
}

/// Whether nobody else's files are there. A file system's own `lost+found` is nobody's; `_lock` alone is our own
/// attempt that died before its marker stood.
fn is_empty(root: &Path) -> io::Result<bool> {
    for entry in std::fs::read_dir(root)? {
        let name = entry?.file_name();
        if name != "lost+found" && name != "_lock" {
            return Ok(false);
        }
    }
    Ok(true)
}

fn new_id() -> io::Result<String> {
    let mut b = [0u8; 8];
    File::open("/dev/urandom")?.read_exact(&mut b)?;
    Ok(hex(&b))
}

fn read_marker(root: &Path) -> Result<Option<Marker>, DatasetError> {
    let path = root.join(MARKER);
    let text = match std::fs::read_to_string(&path) {
        Ok(t) => t,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(e) if e.kind() == ErrorKind::InvalidData => {
            return Err(DatasetError::Marker { path, detail: "not a text".to_owned() });
        }
        Err(e) => return Err(DatasetError::io(&path, "reading the marker", e)),
    };
    parse_marker(root, path, &text).map(Some)
}

fn parse_marker(root: &Path, path: PathBuf, text: &str) -> Result<Marker, DatasetError> {
    let bad = |detail: &str| DatasetError::Marker { path: path.clone(), detail: detail.to_owned() };
    let mut m = Marker {
        format: 0,
        id: String::new(),
        rings: Vec::new(),
        boot: String::new(),
        lines: 0,
        owner: String::new(),
    };
    for line in text.lines() {
        let Some((key, value)) = line.split_once(" = ") else { continue };
        match key {
            "format" => m.format = value.parse().map_err(|_| bad("format is no number"))?,
            "id" => m.id = value.to_owned(),
            "boot" => m.boot = value.to_owned(),
            "manifest_lines" => m.lines = value.parse().map_err(|_| bad("manifest_lines is no number"))?,
            "owner" => m.owner = value.to_owned(),
            "ring" => {
                let (lane, ring) = value.split_once(' ').ok_or_else(|| bad("ring without a path"))?;
                m.rings.push((lane.parse().map_err(|_| bad("ring of no lane"))?, PathBuf::from(ring)));
            }
            // Keys of later minor versions are not ours to judge.
            _ => {}
        }
    }
    if m.format > FORMAT {
        return Err(DatasetError::Newer { path: root.to_owned(), found: m.format, known: FORMAT });
    }
    if m.format == 0 {
        return Err(bad("no format"));
    }
    if m.id.len() != 16 || !m.id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(bad("no id"));
    }
    Ok(m)
}

/// Replaces the marker as a whole, durably.
fn write_marker(root: &Path, m: &Marker) -> Result<(), DatasetError> {
    let mut text = format!("Lobtape dataset. See README.md.\nformat = {}\nid = {}\n", m.format, m.id);
    for (lane, ring) in &m.rings {
        text.push_str(&format!("ring = {lane:03} {}\n", ring.display()));
    }
    if !m.boot.is_empty() {
        text.push_str(&format!("boot = {}\n", m.boot));
    }
    if m.lines > 0 {
        text.push_str(&format!("manifest_lines = {}\n", m.lines));
    }
    text.push_str(&format!("owner = {}\n", m.owner));
    replace(root, MARKER, text.as_bytes())
}

/// Writes a small file of the dataset's top directory as a whole: temporary file, fsync, rename, fsync.
pub(super) fn replace(root: &Path, name: &str, bytes: &[u8]) -> Result<(), DatasetError> {
    replace_in(root, root, name, bytes)
}

/// The same in a directory of it.
fn replace_in(root: &Path, dir: &Path, name: &str, bytes: &[u8]) -> Result<(), DatasetError> {
    let path = dir.join(name);
    let tmp = root.join("_tmp").join(format!("{name}.tmp"));
    let write = || -> io::Result<()> {
        let mut f = File::create(&tmp)?;
        f.write_all(bytes)?;
        f.sync_all()?;
        std::fs::rename(&tmp, &path)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(|e| DatasetError::io(&path, "writing", e))
}

/// Removes what was not finished, and files whose deletion was recorded but not done.
fn sweep(root: &Path, manifest: &Manifest) -> Result<(), DatasetError> {
    sweep_tmp(root)?;
    let fail = |e| DatasetError::io(root, "removing old files", e);
    for (path, _) in manifest.deleted() {
        match std::fs::remove_file(root.join(path)) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(fail(e)),
            _ => {}
        }
    }
    Ok(())
}

fn sweep_tmp(root: &Path) -> Result<(), DatasetError> {
    let tmp = root.join("_tmp");
    let fail = |e| DatasetError::io(&tmp, "sweeping unfinished files", e);
    for entry in std::fs::read_dir(&tmp).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if path.extension().is_some_and(|e| e == "tmp") {
            std::fs::remove_file(&path).map_err(fail)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temporary directory")
    }

    #[test]
    fn a_second_writer_is_refused_and_readers_are_not() {
        let d = dir();
        let w = Dataset::create(d.path()).unwrap();
        let id = w.id().to_owned();
        let e = Dataset::create(d.path()).unwrap_err();
        assert!(matches!(&e, DatasetError::Locked { owner, .. } if owner.starts_with("pid ")), "{e}");
        assert!(e.is_usage());
        assert_eq!(Dataset::open(d.path()).unwrap().id(), id);
        drop(w);
        let r = Dataset::open(d.path()).unwrap();
        assert_eq!(r.marker().unwrap().owner, "none");
        assert!(matches!(r.set_rings(&[]), Err(DatasetError::ReadOnly { .. })));
        assert_eq!(Dataset::create(d.path()).unwrap().id(), id);
    }

    #[test]
    fn directories_that_are_not_ours_are_refused() {
        let d = dir();
        std::fs::write(d.path().join("letter.txt"), "dear").unwrap();
        assert!(matches!(Dataset::create(d.path()), Err(DatasetError::NotOurs { .. })));
        assert!(matches!(Dataset::open(d.path()), Err(DatasetError::Missing { .. })));
        assert_eq!(std::fs::read_dir(d.path()).unwrap().count(), 1);
        let below_a_file = d.path().join("letter.txt/data");
        assert!(matches!(Dataset::create(&below_a_file), Err(DatasetError::NotADirectory { .. })));
        assert!(matches!(Dataset::could_be(d.path()), Err(DatasetError::NotOurs { .. })));
        assert!(matches!(Dataset::could_be(&below_a_file), Err(DatasetError::NotADirectory { .. })));
    }

    #[test]
    fn a_place_is_judged_as_it_is_taken_and_nothing_is_made() {
        let d = dir();
        std::fs::write(d.path().join("file"), "").unwrap();
        let deep = d.path().join("a/b/c");
        for path in [Path::new("/proc/foo"), Path::new("/proc/foo/bar"), &d.path().join("file")] {
            let (said, done) = (Dataset::could_be(path).unwrap_err(), Dataset::create(path).unwrap_err());
            assert_eq!(said.to_string(), done.to_string());
            assert!(said.is_usage(), "{said}");
        }
        Dataset::could_be(&deep).unwrap();
        assert!(!d.path().join("a").exists());
        let w = Dataset::create(&deep).unwrap();
        Dataset::could_be(&deep).unwrap();
        drop(w);
        std::fs::write(deep.join(MARKER), "format = 2\nid = 00\n").unwrap();
        assert!(matches!(Dataset::could_be(&deep), Err(DatasetError::Newer { .. })));
    }

    #[test]
    fn newer_and_damaged_markers_are_refused() {
        let d = dir();
        drop(Dataset::create(d.path()).unwrap());
        let marker = d.path().join(MARKER);
        let good = std::fs::read_to_string(&marker).unwrap();
        for (bad, newer) in [
            (good.replace("format = 1", "format = 2"), true),
            (good.replace("format = 1", "format = x"), false),
            (good.replace("format = 1", ""), false),
            (good.replace("id = ", "id = z"), false),
            (String::new(), false),
        ] {
            std::fs::write(&marker, bad).unwrap();
            for e in [Dataset::create(d.path()).unwrap_err(), Dataset::open(d.path()).unwrap_err()] {
                assert_eq!(matches!(e, DatasetError::Newer { found: 2, .. }), newer, "{e}");
                assert_eq!(matches!(e, DatasetError::Marker { .. }), !newer, "{e}");
            }
        }
        std::fs::write(&marker, [0xff, 0xfe]).unwrap();
        assert!(matches!(Dataset::open(d.path()), Err(DatasetError::Marker { .. })));
    }

    #[test]
    fn rings_are_found_again() {
        let d = dir();
        let rings = vec![(0, PathBuf::from("/dev/shm/a b")), (12, PathBuf::from("/run/x"))];
        Dataset::create(d.path()).unwrap().set_rings(&rings).unwrap();
        assert_eq!(Dataset::open(d.path()).unwrap().marker().unwrap().rings, rings);
        let beside = std::env::current_dir().unwrap().join("run/ring");
        Dataset::create(d.path()).unwrap().set_rings(&[(1, PathBuf::from("run/ring"))]).unwrap();
        assert_eq!(Dataset::open(d.path()).unwrap().marker().unwrap().rings, [(1, beside)]);
    }

    #[test]
    fn unfinished_files_are_swept() {
        let d = dir();
        drop(Dataset::create(d.path()).unwrap());
        std::fs::write(d.path().join("_tmp/trades-0.tmp"), "half").unwrap();
        drop(Dataset::create(d.path()).unwrap());
        assert_eq!(std::fs::read_dir(d.path().join("_tmp")).unwrap().count(), 0);
    }
}
