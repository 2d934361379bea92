//! Making closed parts visible: fsync, read again, rename without replacing, fsync the directory, tell the manifest.
//! Only when [`publish`] has returned may a journal segment be let go.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use sha2::{Digest, Sha256};

use super::error::DatasetError;
use super::hash::hex;
use super::layout::Dataset;
use super::manifest::{Added, Line, PartRecord};
use super::part::ClosedPart;
use super::read;
use crate::sys::disk::{begin_writeback, rename_noreplace};

/// Who made a file. In the manifest only, so that the same records give the same bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// Run that published.
    pub run_id: String,
    /// Version of the program.
    pub build: String,
    /// Host name.
    pub host: String,
    /// SHA-256 of the configuration, hex.
    pub config_sha256: String,
}

/// What a batch did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishReport {
    /// Files that are new.
    pub published: usize,
    /// Files that were there already with the same content (a step of an earlier run).
    pub already: usize,
    /// Rows of all of them.
    pub rows: i64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Paths inside the dataset, in the order given.
    pub paths: Vec<String>,
}

impl std::ops::AddAssign for PublishReport {
    fn add_assign(&mut self, o: PublishReport) {
        self.published += o.published;
        self.already += o.already;
        self.rows += o.rows;
        self.bytes += o.bytes;
        self.paths.extend(o.paths);
    }
}

/// Publishes a batch. Idempotent: what is there with the same content is success, also after a crash at any step.
///
/// # Errors
/// The file system's; a file that does not give back its rows; a file of the same name with other content. Files named
/// before the error are visible and will be found as such by the next attempt.
pub fn publish(ds: &Dataset, parts: Vec<ClosedPart>, by: &Provenance) -> Result<PublishReport, DatasetError> {
    let mut report = PublishReport::default();
    let mut ready = Vec::with_capacity(parts.len());
    for part in &parts {
        // A file that cannot be opened is told of when it is synced.
        let _ = File::open(&part.tmp).inspect(begin_writeback);
    }
    for part in parts {
        ready.push(prepare(part, by)?);
    }
    let mut dirs = BTreeSet::new();
    let mut lines = Vec::with_capacity(ready.len());
    for (part, added) in ready {
        let to = ds.root().join(&part.path);
        make_dirs(ds.root(), &to, &mut dirs)?;
        match rename_noreplace(&part.tmp, &to) {
            Ok(()) => report.published += 1,
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                same_content(&to, &added.part.sha256)?;
                std::fs::remove_file(&part.tmp)
                    .map_err(|e| DatasetError::io(&part.tmp, "removing a duplicate", e))?;
                report.already += 1;
            }
            Err(e) => return Err(DatasetError::io(&to, "renaming", e)),
        }
        report.rows += added.part.rows;
        report.bytes += added.part.bytes;
        report.paths.push(part.path);
        planted!(
            "manifest_forgotten",
            if report.already == 0 {
                lines.push(added)
            },
            lines.push(added)
        );
    }
    for dir in &dirs {
        File::open(dir)
            .and_then(|d| d.sync_all())
            .map_err(|e| DatasetError::io(dir, "syncing the directory", e))?;
    }
    record(ds, lines)?;
    Ok(report)
}

/// Manifest lines for files that it does not name yet in this state.
fn record(ds: &Dataset, added: Vec<Added>) -> Result<(), DatasetError> {
    let mut now = ds.current()?;
    let lines: Vec<Line> = added
        .into_iter()
        .filter(|a| now.get(&a.part.path) != Some(&a.part))
        .map(|a| Line::Add(Box::new(a)))
        .collect();
    ds.tell(&lines)?;
    let before = now.tables().len();
    for l in lines {
        now.apply(l);
    }
    let new_table = now.tables().len() != before;
    drop(now);
    if new_table { super::readme::refresh(ds, false) } else { Ok(()) }
}

/// fsync, hash, read again and compare with what was counted when it was written.
fn prepare(part: ClosedPart, by: &Provenance) -> Result<(ClosedPart, Added), DatasetError> {
    let at = |doing| {
        let path = part.tmp.clone();
        move |e| DatasetError::io(&path, doing, e)
    };
    let mut file = File::open(&part.tmp).map_err(at("opening"))?;
    file.sync_all().map_err(at("syncing"))?;
    let (sha256, bytes) = sha256_of(&mut file).map_err(at("reading again"))?;
    let footer = footer_of(&mut file, bytes).map_err(at("reading the footer"))?;
    let is_same = || Ok(read::content(&part.tmp, part.key.table)? == (part.stats, part.content.clone()));
    let is_same: Result<bool, DatasetError> = planted!("published_unread", Ok(true), is_same());
    if !is_same? {
        return Err(DatasetError::damaged(&part.tmp, "it does not give back the rows written to it"));
    }
    let s = &part.stats;
    let record = PartRecord {
        path: part.path.clone(),
        table: part.key.table.name().to_owned(),
        venue: part.key.venue.clone(),
        symbol: part.key.symbol.clone().unwrap_or_default(),
        date: part.key.date(),
        interval_start: part.key.interval_start,
        lane: part.key.lane,
        n: part.key.n,
        rows: s.rows,
        row_min: s.row.0,
        row_max: s.row.1,
        ts_min: s.ts_recv.0,
        ts_max: s.ts_recv.1,
        id_min: s.ids.0,
        id_max: s.ids.1,
        bytes,
        sha256,
        rows_sha256: part.rows_sha256.clone(),
        price_exp: part.exps.0,
        size_exp: part.exps.1,
    };
    let by = by.clone();
    let added = Added {
        part: record,
        run_id: by.run_id,
        build: by.build,
        host: by.host,
        config_sha256: by.config_sha256,
        footer,
    };
    Ok((part, added))
}

/// SHA-256 and length of a file.
fn sha256_of(file: &mut File) -> std::io::Result<(String, u64)> {
    let mut sha = Sha256::new();
    let mut buf = vec![0; 1 << 18];
    let mut len = 0;
    file.seek(SeekFrom::Start(0))?;
    loop {
        match file.read(&mut buf) {
            Ok(0) => return Ok((hex(&sha.finalize()), len)),
            Ok(n) => {
                sha.update(&buf[..n]);
                len += n as u64;
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// SHA-256 of a file, hex: what the manifest holds against it.
///
/// # Errors
/// The file system's.
pub fn file_sha256(path: &Path) -> Result<String, DatasetError> {
    File::open(path)
        .and_then(|mut f| sha256_of(&mut f))
        .map(|(sha, _)| sha)
        .map_err(|e| DatasetError::io(path, "reading", e))
}

/// Holds a published file against the manifest: every changed, missing or added bit is found.
///
/// # Errors
/// [`DatasetError::Damaged`] with what is wrong; the file system's.
pub fn check(ds: &Dataset, part: &PartRecord) -> Result<(), DatasetError> {
    let path = ds.root().join(&part.path);
    let found = match File::open(&path).and_then(|mut f| sha256_of(&mut f)) {
        Ok(found) => found,
        Err(e) if e.kind() == ErrorKind::NotFound => {
            return Err(DatasetError::damaged(&path, "it is missing, the manifest names it"));
        }
        Err(e) => return Err(DatasetError::io(&path, "reading", e)),
    };
    if found == (part.sha256.clone(), part.bytes) {
        return Ok(());
    }
    let (sha, bytes) = found;
    let detail = if bytes == part.bytes {
        format!("sha256 {sha}, the manifest says {}", part.sha256)
    } else {
        format!("{bytes} bytes, the manifest says {}", part.bytes)
    };
    Err(DatasetError::damaged(&path, detail))
}

/// The footer (thrift metadata, its length, the magic), zstd, base64; [`super::manifest::footer`] undoes it.
fn footer_of(file: &mut File, len: u64) -> std::io::Result<String> {
    let mut tail = [0u8; 8];
    file.seek(SeekFrom::End(-8))?;
    file.read_exact(&mut tail)?;
    let meta = u64::from(u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]));
    let start = len.checked_sub(meta + 8).ok_or(ErrorKind::InvalidData)?;
    let mut footer = Vec::with_capacity(meta as usize + 8);
    file.seek(SeekFrom::Start(start))?;
    file.read_to_end(&mut footer)?;
    let packed = zstd::bulk::compress(&footer, 3)?;
    Ok(base64::engine::general_purpose::STANDARD.encode(packed))
}

fn same_content(path: &Path, expected: &str) -> Result<(), DatasetError> {
    let found = file_sha256(path)?;
    if found == expected {
        Ok(())
    } else {
        Err(DatasetError::Conflict { path: path.to_owned(), found, expected: expected.to_owned() })
    }
}

/// Makes the directories of a file; notes it and every directory that got a new entry.
fn make_dirs(root: &Path, file: &Path, dirs: &mut BTreeSet<PathBuf>) -> Result<(), DatasetError> {
    let Some(dir) = file.parent() else { return Ok(()) };
    if dirs.contains(dir) {
        return Ok(());
    }
    let mut missing = dir;
    while missing != root && !missing.exists() {
        let Some(up) = missing.parent() else { break };
        dirs.insert(up.to_owned());
        missing = up;
    }
    std::fs::create_dir_all(dir).map_err(|e| DatasetError::io(dir, "making the directory", e))?;
    dirs.insert(dir.to_owned());
    Ok(())
}
