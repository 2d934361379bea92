//! The manifest: append-only JSON lines, one per file that was published or deleted. A file that it does not name is
//! not part of the dataset.
//!
//! Each line ends with a checksum of all that stands before it (`crc`, CRC-32C), so that a flipped bit is seen in whatever
//! field it hits, the footer's copy included. Before it stands how many lines came before (`line`), and the dataset's
//! marker says how many there are, so that a line that is taken away is missed. Lines of older versions have no number.
//!
//! A last line without a newline was torn by a crash and counts for nothing; the next writer begins another file.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde::{Deserialize, Serialize};

use super::error::DatasetError;
use super::schema::Table;
use crate::sys::crc;

/// Bytes after which a new manifest file is begun.
const FILE_MAX: u64 = 64 << 20;
/// Longest footer that is unpacked, bytes.
const FOOTER_MAX: u64 = 64 << 20;

/// One published file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRecord {
    /// Path inside the dataset.
    pub path: String,
    /// Table name.
    pub table: String,
    /// Venue slug, "" where the table has no venue level.
    pub venue: String,
    /// Symbol as the venue writes it, "" where the table has no symbol level.
    pub symbol: String,
    /// UTC day, `YYYY-MM-DD`.
    pub date: String,
    /// Start of the interval, ns.
    pub interval_start: i64,
    /// Lane.
    pub lane: u16,
    /// Number of the part within the interval.
    pub n: u32,
    /// Rows.
    pub rows: i64,
    /// Smallest `row`.
    pub row_min: i64,
    /// Largest `row`.
    pub row_max: i64,
    /// Smallest `ts_recv`.
    pub ts_min: i64,
    /// Largest `ts_recv`.
    pub ts_max: i64,
    /// Smallest venue id, −1 = none.
    pub id_min: i64,
    /// Largest venue id, −1 = none.
    pub id_max: i64,
    /// Size of the file.
    pub bytes: u64,
    /// SHA-256 of the file.
    pub sha256: String,
    /// SHA-256 of its rows.
    pub rows_sha256: String,
    /// Decimals of prices, −1 where the table is not one instrument's.
    pub price_exp: i64,
    /// Decimals of sizes, likewise.
    pub size_exp: i64,
}

impl PartRecord {
    /// The table, if this version knows it.
    pub fn table(&self) -> Option<Table> {
        Table::from_name(&self.table)
    }

    /// Order of parts of one table, venue and symbol: by day, interval, lane and number.
    pub fn order(&self) -> (&str, i64, u16, u32) {
        (&self.date, self.interval_start, self.lane, self.n)
    }
}

/// One line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(super) enum Line {
    /// A file is visible.
    Add(Box<Added>),
    /// A file is gone, or about to go: readers must not count on it.
    Delete {
        /// Path inside the dataset.
        path: String,
        /// `retention`, `compact`.
        why: String,
    },
}

/// A published file and who made it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Added {
    #[serde(flatten)]
    pub(super) part: PartRecord,
    pub(super) run_id: String,
    pub(super) build: String,
    pub(super) host: String,
    pub(super) config_sha256: String,
    /// The file's footer, zstd, base64: R4, a damaged footer comes back from here.
    pub(super) footer: String,
}

/// Lines that are not there any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Path inside the dataset of the manifest's file that shows it.
    pub file: String,
    /// Its line behind the loss, from 1; 0 = they were the last ones.
    pub line: usize,
    /// How many are missing.
    pub count: u64,
}

/// What the manifest says now.
#[derive(Debug, Default)]
pub struct Manifest {
    parts: BTreeMap<String, PartRecord>,
    deleted: BTreeMap<String, String>,
    tables: u32,
    /// Lines that there are or were.
    lines: u64,
    lost: Vec<Lost>,
}

impl Manifest {
    /// Reads the manifest of the dataset at `root`; empty if there is none yet.
    ///
    /// # Errors
    /// Unreadable files; a whole line that is none of ours, with its place.
    pub fn load(root: &Path) -> Result<Manifest, DatasetError> {
        let mut m = Manifest::default();
        each_line(root, |path, n, line| {
            let (line, number) = line?;
            m.count(path, n, number);
            m.apply(line);
            Ok(())
        })?;
        Ok(m)
    }

    /// The same for whoever must go on: damaged lines are left out and named. What they told of stays where it is; frames that
    /// are not recorded now would be lost for ever.
    pub(super) fn load_sound(root: &Path) -> Result<(Manifest, Vec<String>), DatasetError> {
        let (mut m, mut damage) = (Manifest::default(), Vec::new());
        each_line(root, |path, n, line| {
            match line {
                Ok((line, number)) => {
                    m.count(path, n, number);
                    m.apply(line);
                }
                Err(e) => {
                    m.count(path, n, None);
                    damage.push(e.to_string());
                }
            }
            Ok(())
        })?;
        Ok((m, damage))
    }

    /// A line with this number was read. A failed write may leave lines that are written again: an old number shows
    /// no loss.
    fn count(&mut self, path: &Path, line: usize, number: Option<u64>) {
        let missing = number.unwrap_or(self.lines).saturating_sub(self.lines);
        if missing > 0 {
            let file =
                path.file_name().map_or_else(String::new, |n| format!("{DIR}/{}", n.to_string_lossy()));
            self.lost.push(Lost { file, line, count: missing });
        }
        let after = number.unwrap_or(self.lines).saturating_add(1);
        self.lines = self.lines.max(after);
    }

    /// How many lines there are or, as far as the lines themselves show, ever were.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Lines that are not there any more. `written`: how many there were at least, by the dataset's marker.
    pub fn lost(&self, written: u64) -> Vec<Lost> {
        let at_end = written.saturating_sub(self.lines);
        let last = Lost { file: DIR.to_owned(), line: 0, count: at_end };
        self.lost.iter().cloned().chain((at_end > 0).then_some(last)).collect()
    }

    /// Lines of which one byte was changed, as they were, in the place of the damaged ones; says which, with their places.
    /// For a writer only.
    pub(super) fn mend(root: &Path) -> Result<Vec<String>, DatasetError> {
        let mut all = Vec::new();
        for path in files(root)? {
            all.extend(super::mend::mend(&path)?.into_iter().map(|n| format!("{}:{n}", path.display())));
        }
        Ok(all)
    }

    pub(super) fn apply(&mut self, line: Line) {
        match line {
            Line::Add(a) => self.add(a.part),
            Line::Delete { path, why } => {
                self.parts.remove(&path);
                self.deleted.insert(path, why);
            }
        }
    }

    fn add(&mut self, part: PartRecord) {
        self.deleted.remove(&part.path);
        if let Some(t) = part.table() {
            self.tables |= 1 << t as u32;
        }
        self.parts.insert(part.path.clone(), part);
    }

    /// The files that are there, by path.
    pub fn parts(&self) -> impl Iterator<Item = &PartRecord> {
        self.parts.values()
    }

    /// The files of one table, venue and symbol ("" where the table has no such level), in the order of their rows.
    pub fn select(&self, table: Table, venue: &str, symbol: &str) -> Vec<&PartRecord> {
        let mut parts: Vec<&PartRecord> = self
            .parts()
            .filter(|p| p.table() == Some(table) && p.venue == venue && p.symbol == symbol)
            .collect();
        if symbol.is_empty() {
            parts.sort_by(|a, b| a.order().cmp(&b.order()));
        } else {
            // `row` is the order of truth within a day, also where an instrument moved from lane to lane.
            parts.sort_by(|a, b| (&a.date, a.row_min).cmp(&(&b.date, b.row_min)));
        }
        parts
    }

    /// One file.
    pub fn get(&self, path: &str) -> Option<&PartRecord> {
        self.parts.get(path)
    }

    /// Files that were deleted, and why.
    pub fn deleted(&self) -> impl Iterator<Item = (&str, &str)> {
        self.deleted.iter().map(|(p, w)| (p.as_str(), w.as_str()))
    }

    /// Tables that ever had a file.
    pub fn tables(&self) -> Vec<Table> {
        Table::ALL.into_iter().filter(|&t| self.tables & (1 << t as u32) != 0).collect()
    }
}

/// The footer of a published file as it was, out of the manifest: the last bytes of the file, from the thrift metadata
/// to the magic. `None` if the manifest does not know the file.
///
/// # Errors
/// As [`Manifest::load`].
pub fn footer(root: &Path, part: &str) -> Result<Option<Vec<u8>>, DatasetError> {
    let mut found = None;
    each_line(root, |path, n, line| {
        if let (Line::Add(a), _) = line?
            && a.part.path == part
        {
            let bad = |e: String| DatasetError::Manifest { path: path.to_owned(), line: n, detail: e };
            let packed = base64::engine::general_purpose::STANDARD
                .decode(&a.footer)
                .map_err(|e| bad(e.to_string()))?;
            found = Some(unpacked(&packed).map_err(|e| bad(e.to_string()))?);
        }
        Ok(())
    })?;
    Ok(found)
}

/// Undoes zstd, whatever the bytes claim to become.
fn unpacked(packed: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    zstd::Decoder::new(packed)?.take(FOOTER_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FOOTER_MAX {
        return Err(std::io::Error::other(format!("its footer is longer than {} MiB", FOOTER_MAX >> 20)));
    }
    Ok(bytes)
}

/// Hands out every whole line with its number, or what is wrong with it, and where it stands.
fn each_line(
    root: &Path,
    mut say: impl FnMut(&Path, usize, Result<(Line, Option<u64>), DatasetError>) -> Result<(), DatasetError>,
) -> Result<(), DatasetError> {
    for path in files(root)? {
        let mut text = Vec::new();
        File::open(&path)
            .and_then(|mut f| f.read_to_end(&mut text))
            .map_err(|e| DatasetError::io(&path, "reading the manifest", e))?;
        let whole = text.iter().rposition(|&b| b == b'\n').map_or(0, |i| i + 1);
        for (i, line) in text[..whole].split(|&b| b == b'\n').enumerate() {
            if line.is_empty() {
                continue;
            }
            let line = parse(line).map_err(|detail| DatasetError::Manifest {
                path: path.clone(),
                line: i + 1,
                detail,
            });
            say(&path, i + 1, line)?;
        }
    }
    Ok(())
}

/// What stands between a line's content and the eight hex digits of its checksum.
pub(super) const SEAL: &[u8] = b",\"crc\":\"";

/// What stands between a line's content and its number.
const NUMBER: &[u8] = b",\"line\":";

/// Adds its number to a JSON object, as its last key.
pub(crate) fn number_line(json: &mut Vec<u8>, number: u64) {
    // The object's closing brace.
    json.pop();
    json.extend_from_slice(NUMBER);
    json.extend_from_slice(format!("{number}}}").as_bytes());
}

/// The number at the end of a line's content. No other key ends in digits behind this name.
fn number_of(content: &[u8]) -> Option<u64> {
    let digits = content.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let (before, digits) = content.split_at(content.len() - digits);
    before.ends_with(NUMBER).then_some(())?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Adds its checksum to a JSON object, as its last key.
pub(crate) fn seal(json: &mut Vec<u8>) {
    // The object's closing brace.
    json.pop();
    let crc = crc::crc32c(json);
    json.extend_from_slice(SEAL);
    json.extend_from_slice(format!("{crc:08x}\"}}").as_bytes());
}

pub(super) fn parse(line: &[u8]) -> Result<(Line, Option<u64>), String> {
    let sealed = line.strip_suffix(b"\"}").and_then(|l| l.split_last_chunk::<8>());
    let (content, digits) = sealed
        .and_then(|(l, digits)| Some((l.strip_suffix(SEAL)?, digits)))
        .ok_or("it does not end with its checksum")?;
    let crc = crc::crc32c(content);
    if format!("{crc:08x}").as_bytes() != digits {
        return Err(format!("its checksum is {crc:08x}, it says {}", String::from_utf8_lossy(digits)));
    }
    let parsed = serde_json::from_slice(line).map_err(|e| e.to_string())?;
    Ok((parsed, number_of(content)))
}

/// The manifest's directory inside the dataset.
const DIR: &str = "v1/_manifest";

/// Directory of the manifest.
pub fn dir(root: &Path) -> PathBuf {
    root.join(DIR)
}

/// Its files in order.
fn files(root: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let dir = dir(root);
    let list = match std::fs::read_dir(&dir) {
        Ok(list) => list,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(DatasetError::io(&dir, "listing the manifest", e)),
    };
    let mut out = Vec::new();
    for entry in list {
        let path = entry.map_err(|e| DatasetError::io(&dir, "listing the manifest", e))?.path();
        if number(&path).is_some() {
            out.push(path);
        }
    }
    out.sort();
    Ok(out)
}

fn number(path: &Path) -> Option<u32> {
    (path.extension()? == "jsonl").then_some(())?;
    path.file_stem()?.to_str()?.parse().ok()
}

/// The writing end; one per dataset, behind its lock.
#[derive(Debug)]
pub(super) struct Log {
    root: PathBuf,
    open: Option<(File, PathBuf, u64)>,
    next: u32,
    /// Lines so far; `None` after an error: what of them stands is not known.
    lines: Option<u64>,
}

impl Log {
    /// `lines`: how many there are or were.
    pub(super) fn new(root: &Path, lines: u64) -> Result<Log, DatasetError> {
        let files = files(root)?;
        let mut log = Log { root: root.to_owned(), open: None, next: 0, lines: Some(lines) };
        if let Some(last) = files.last() {
            let n = number(last).unwrap_or(0);
            log.next = n + 1;
            let text = std::fs::read(last).map_err(|e| DatasetError::io(last, "reading the manifest", e))?;
            // A torn last line stays as it is: what is after it would be read as its end.
            if text.last().is_none_or(|&b| b == b'\n') && (text.len() as u64) < FILE_MAX {
                let f = OpenOptions::new()
                    .append(true)
                    .open(last)
                    .map_err(|e| DatasetError::io(last, "opening the manifest", e))?;
                log.open = Some((f, last.clone(), text.len() as u64));
            }
        }
        Ok(log)
    }

    /// Appends lines and makes them durable; says how many there are now. After an error the file is not used again (a
    /// failed fsync is final).
    pub(super) fn append(&mut self, lines: &[Line]) -> Result<u64, DatasetError> {
        let mut number = match self.lines.take() {
            Some(n) => n,
            None => Manifest::load_sound(&self.root)?.0.lines,
        };
        if lines.is_empty() {
            self.lines = Some(number);
            return Ok(number);
        }
        let mut text = Vec::new();
        for l in lines {
            // Infallible: string keys and plain values only.
            let mut line = serde_json::to_vec(l).unwrap_or_default();
            number_line(&mut line, number);
            number += 1;
            seal(&mut line);
            text.extend_from_slice(&line);
            text.push(b'\n');
        }
        let (mut file, path, len) = match self.open.take() {
            Some(open) if open.2 < FILE_MAX => open,
            _ => self.begin()?,
        };
        file.write_all(&text)
            .and_then(|()| file.sync_data())
            .map_err(|e| DatasetError::io(&path, "appending to the manifest", e))?;
        self.open = Some((file, path, len + text.len() as u64));
        self.lines = Some(number);
        Ok(number)
    }

    fn begin(&mut self) -> Result<(File, PathBuf, u64), DatasetError> {
        let dir = dir(&self.root);
        let path = dir.join(format!("{:06}.jsonl", self.next));
        self.next += 1;
        let f = std::fs::create_dir_all(&dir)
            .and_then(|()| OpenOptions::new().append(true).create_new(true).open(&path))
            .map_err(|e| DatasetError::io(&path, "beginning a manifest file", e))?;
        for d in [dir.as_path(), &self.root.join("v1"), &self.root] {
            File::open(d)
                .and_then(|d| d.sync_all())
                .map_err(|e| DatasetError::io(d, "syncing the directory", e))?;
        }
        Ok((f, path, 0))
    }
}
