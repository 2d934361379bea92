//! Other tools' recordings, turned into records.
//!
//! Lines are those of `data/README.md` (which are the hftbacktest collector's, with notes): a receive stamp in
//! nanoseconds (19 digits) or microseconds (16), a blank, and then a frame, a REST path with its body, `>` and a
//! sent message, or `#` and a note. Those of cryptofeed's raw data collection are read too (see [`parse_line`]); its
//! files are one per connection. Several files are one session, in the order given, which must be that of time. The bytes
//! of a frame are kept as they stand. The same files give the same records, so that two imports give the same bytes.

mod lines;
mod stamps;
#[cfg(test)]
mod tests;

pub use lines::{Line, LineError, parse_line};

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest, Sha256};

use crate::model::control::to_payload;
use crate::model::record::{Kind, Record};
use crate::model::time::NS_PER_S;
use crate::model::{ConnEvent, LaneClock, RunStart, RunStop};
use stamps::Stamps;

/// Longest line, bytes: far beyond any frame or body, and little enough for memory, whatever a compressed file unfolds to.
pub const LINE_MAX: u64 = 64 << 20;

/// By how much a file may begin before the end of the one before it: a clock that was set between them.
const OVERLAP_NS: i64 = 10 * NS_PER_S;

/// What a directory is called among what is no file.
const DIRECTORY: &str = "a directory";

/// What an import needs to know beside the files.
pub struct ImportOptions<'a> {
    /// Venue slug.
    pub venue: &'a str,
    /// Path and query of a snapshot of this symbol: for bodies that stand without their request.
    pub snapshot_url: &'a dyn Fn(&str) -> String,
    /// Words that the venue's connections bring as whole frames: its ping, and what answers ours.
    pub words: &'a [&'a str],
    /// Version of the fold's rules, for the run record.
    pub rules_version: u32,
    /// Length of an interval, ns.
    pub interval_ns: i64,
    /// Bucket of `book_top`, ns.
    pub book_top_interval_ns: i64,
    /// Memory for open parts, bytes.
    pub lane_memory_bytes: u64,
}

/// Why an import stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// What is no regular file: files are opened several times.
    #[error("{}: is {what}: {}", path.display(), match *what {
        DIRECTORY => "name the files in it",
        _ => "recordings are read more than once; write it to a file first",
    })]
    NoFile {
        /// Which.
        path: PathBuf,
        /// `a pipe` and the like.
        what: &'static str,
    },
    /// A line without an end in sight.
    #[error(
        "{} line {line}: longer than {} MiB: is it a recording (lines of `<ns> {{json}}`, plain or .gz)?",
        path.display(),
        LINE_MAX >> 20
    )]
    LongLine {
        /// Which file.
        path: PathBuf,
        /// 1-based line.
        line: u64,
    },
    /// None of the files holds a single line that could be read.
    #[error("no frame in {0}: is it a recording (lines of `<ns> {{json}}`, plain or .gz)?")]
    Empty(String),
    /// Files in another order than that of time, one twice, or two that were recorded at the same time.
    #[error(
        "{} begins at {}, but {} before it {what} at {}: give files in order of time, each once; recordings of the same time are imported each into a directory of its own",
        path.display(),
        stamps::text(*begin),
        before.display(),
        stamps::text(*at)
    )]
    Order {
        /// The later file on the command line.
        path: PathBuf,
        /// Where it begins, ns.
        begin: i64,
        /// The one before it.
        before: PathBuf,
        /// `begins` or `ends`.
        what: &'static str,
        /// When that does, ns.
        at: i64,
    },
    /// Whoever takes the records stopped.
    #[error("{0}")]
    Consumer(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ImportError {
    /// Whether the files are at fault, not the machine.
    pub fn is_damage(&self) -> bool {
        matches!(self, ImportError::Empty(_) | ImportError::LongLine { .. })
    }

    /// Whether the files were named wrongly.
    pub fn is_usage(&self) -> bool {
        matches!(self, ImportError::Order { .. } | ImportError::NoFile { .. })
    }
}

/// What an import saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportStats {
    /// Lines read.
    pub lines: u64,
    /// Frames.
    pub frames: u64,
    /// REST bodies.
    pub bodies: u64,
    /// Lines that could not be read; they are kept as frames and stand in `rejects`.
    pub faulty: u64,
    /// Lines whose receive stamp cannot be true; they are kept as frames too and stand in `rejects`.
    pub odd_stamps: u64,
    /// The first three of these: where, and what the stamp says.
    pub odd: Vec<String>,
    /// Compressed files that end in the middle (a collector that was killed, a copy that was not finished); what could be
    /// read was taken.
    pub cut_files: u64,
    /// Which those are, and the last line read.
    pub cut: Vec<String>,
    /// Compressed files that are damaged: which, the last line read, and what the decompressor says. What could be read
    /// before that was taken.
    pub damaged: Vec<String>,
}

impl ImportStats {
    /// Whether files hold less than was recorded, or something else.
    pub fn is_harmed(&self) -> bool {
        self.cut_files > 0 || !self.damaged.is_empty()
    }
}

type Consumer<'c> =
    &'c mut dyn FnMut(&Record<'_>, Position) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Where a record came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// 0-based file.
    pub file: u32,
    /// 1-based line; 0 for records that the import adds.
    pub line: u64,
}

/// Turns files into records.
///
/// # Errors
/// [`ImportError`] where a file is none or cannot be opened, nothing can be read, or the consumer refuses.
pub fn import(
    files: &[PathBuf],
    opts: &ImportOptions<'_>,
    take: Consumer<'_>,
) -> Result<ImportStats, ImportError> {
    let Survey { run_id, symbol, begins } = survey(files)?;
    let mut s = Session::new(opts, run_id, symbol, take);
    s.stamps.last = begins.iter().flatten().next().copied();
    let mut before: Option<&PathBuf> = None;
    for (n, path) in files.iter().enumerate() {
        if let (Some(begin), Some(before)) = (begins[n], before)
            && begin < s.ts - OVERLAP_NS
        {
            return Err(out_of_order(path, begin, before, "ends", s.ts));
        }
        before = Some(path).filter(|_| begins[n].is_some()).or(before);
        let mut reader = open(path)?;
        let (mut line, mut number, mut more) = (Vec::new(), 0, true);
        while more {
            number += 1;
            match next_line(&mut *reader, &mut line) {
                Ok(more_follow) => more = more_follow,
                Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
                    s.stats.cut_files += 1;
                    s.stats.cut.push(format!("{} line {number}", path.display()));
                    more = false;
                }
                Err(e) if is_damage(&e) => {
                    s.stats.damaged.push(format!("{} line {number}: {e}", path.display()));
                    more = false;
                }
                Err(source) => return Err(ImportError::Io { path: path.clone(), source }),
            }
            if line.len() as u64 > LINE_MAX {
                return Err(ImportError::LongLine { path: path.clone(), line: number });
            }
            if !line.is_empty() {
                s.line(trim_newline(&line), Position { file: n as u32, line: number })?;
            }
        }
    }
    s.finish(files)
}

/// What a decompressor says of bytes that nobody compressed.
fn is_damage(e: &std::io::Error) -> bool {
    matches!(e.kind(), std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData)
}

/// Reads a line with its newline, or what there is of it before an error; `false` at the end of the file. Stops one byte
/// beyond [`LINE_MAX`].
fn next_line(reader: &mut dyn BufRead, line: &mut Vec<u8>) -> std::io::Result<bool> {
    line.clear();
    reader.take(LINE_MAX + 1).read_until(b'\n', line).map(|n| n > 0)
}

fn trim_newline(mut b: &[u8]) -> &[u8] {
    while let [head @ .., b'\n' | b'\r'] = b {
        b = head;
    }
    b
}

/// Opens a plain or gzip file; the kind is seen from its first bytes, not its name.
fn open(path: &Path) -> Result<Box<dyn BufRead>, ImportError> {
    let io = |source| ImportError::Io { path: path.to_path_buf(), source };
    let mut f = BufReader::with_capacity(1 << 18, File::open(path).map_err(io)?);
    let gz = f.fill_buf().map_err(io)?.starts_with(&[0x1f, 0x8b]);
    Ok(match gz {
        // Small: what is decompressed with a damaged block in one go is lost with it.
        true => Box::new(BufReader::with_capacity(1 << 13, MultiGzDecoder::new(f))),
        false => Box::new(f),
    })
}

/// What is known of the files before any of them is taken.
struct Survey {
    /// A hash of the inputs, so that equal inputs give equal bytes.
    run_id: String,
    /// The first symbol named.
    symbol: String,
    /// Where each file begins, ns; `None` where no line near its start has a stamp.
    begins: Vec<Option<i64>>,
}

/// Refuses what is no regular file, before anything is opened: opening a pipe may wait for ever, and what was read once out
/// of one is gone.
fn only_files(files: &[PathBuf]) -> Result<(), ImportError> {
    for path in files {
        let io = |source| ImportError::Io { path: path.clone(), source };
        let kind = std::fs::metadata(path).map_err(io)?.file_type();
        let what = match kind {
            k if k.is_file() => continue,
            k if k.is_dir() => DIRECTORY,
            k if k.is_fifo() => "a pipe",
            k if k.is_socket() => "a socket",
            _ => "a device",
        };
        return Err(ImportError::NoFile { path: path.clone(), what });
    }
    Ok(())
}

fn survey(files: &[PathBuf]) -> Result<Survey, ImportError> {
    only_files(files)?;
    let mut sha = Sha256::new();
    let (mut symbol, mut begins) = (None, Vec::new());
    let mut before: Option<(&PathBuf, i64)> = None;
    for path in files {
        let io = |source| ImportError::Io { path: path.clone(), source };
        let mut f = File::open(path).map_err(io)?;
        let mut buf = vec![0; 1 << 18];
        loop {
            let n = f.read(&mut buf).map_err(io)?;
            if n == 0 {
                break;
            }
            sha.update(&buf[..n]);
        }
        let begin = look(path, &mut symbol)?;
        if let Some(begin) = begin {
            if let Some((before, at)) = before.filter(|b| begin <= b.1) {
                return Err(out_of_order(path, begin, before, "begins", at));
            }
            before = Some((path, begin));
        }
        begins.push(begin);
    }
    let hex: String = sha.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect();
    Ok(Survey { run_id: format!("import-{hex}"), symbol: symbol.unwrap_or_default(), begins })
}

fn out_of_order(path: &Path, begin: i64, before: &Path, what: &'static str, at: i64) -> ImportError {
    ImportError::Order { path: path.to_owned(), begin, before: before.to_owned(), what, at }
}

/// Where a file begins, and the first symbol if it is not known yet.
fn look(path: &Path, symbol: &mut Option<String>) -> Result<Option<i64>, ImportError> {
    let mut reader = open(path)?;
    let (mut line, mut found) = (Vec::new(), Vec::new());
    for number in 1..=10_000 {
        if (symbol.is_some() && found.len() == 3) || !next_line(&mut *reader, &mut line).unwrap_or(false) {
            break;
        }
        if line.len() as u64 > LINE_MAX {
            return Err(ImportError::LongLine { path: path.to_path_buf(), line: number });
        }
        if found.len() < 3
            && let Ok((ts, _)) = parse_line(trim_newline(&line))
            && stamps::is_possible(ts)
        {
            found.push(ts);
        }
        if symbol.is_none() {
            *symbol = lines::stream_symbol(&line);
        }
    }
    Ok(stamps::begin(&found))
}

/// One session: a WebSocket connection and a REST connection on lane 1.
struct Session<'o, 'c> {
    opts: &'o ImportOptions<'o>,
    take: Consumer<'c>,
    clock: LaneClock,
    stats: ImportStats,
    run_id: String,
    symbol: String,
    /// (conn, next rseq) of the socket; 0 = not open.
    ws: (i64, i64),
    rest: (i64, i64),
    last_conn: i64,
    ts: i64,
    started: bool,
    stamps: Stamps,
    /// What `stats.odd` tells of, with its stamp.
    odd: Vec<(Position, i64)>,
    /// Faulty lines before the first that has a stamp; bounded by [`LINE_MAX`].
    early: Vec<(Vec<u8>, Position)>,
    early_bytes: u64,
}

impl<'o, 'c> Session<'o, 'c> {
    fn new(
        opts: &'o ImportOptions<'o>,
        run_id: String,
        symbol: String,
        take: Consumer<'c>,
    ) -> Session<'o, 'c> {
        Session {
            opts,
            take,
            clock: LaneClock::new(1, -1, opts.interval_ns),
            stats: ImportStats::default(),
            run_id,
            symbol,
            ws: (0, 0),
            rest: (0, 0),
            last_conn: 0,
            ts: 0,
            started: false,
            stamps: Stamps::default(),
            odd: Vec::new(),
            early: Vec::new(),
            early_bytes: 0,
        }
    }

    fn line(&mut self, bytes: &[u8], at: Position) -> Result<(), ImportError> {
        self.stats.lines += 1;
        let parsed = self.parsed(bytes);
        if parsed == Err(LineError::Blank) {
            return Ok(());
        }
        let ts = parsed.ok().map(|(ts, _)| ts).filter(|ts| stamps::is_possible(*ts));
        if let Some(are_wrong) = self.stamps.settles(ts) {
            self.release(are_wrong)?;
        }
        if self.stamps.holds(ts) {
            self.stamps.hold(bytes, at, ts);
            return Ok(());
        }
        self.settled(bytes, parsed, at, false)
    }

    fn parsed<'l>(&self, bytes: &'l [u8]) -> Result<(i64, Line<'l>), LineError> {
        match parse_line(bytes)? {
            (ts, Line::Word(w)) if self.opts.words.iter().any(|own| own.as_bytes() == w) => {
                Ok((ts, Line::Frame(w)))
            }
            (_, Line::Word(_)) => Err(LineError::Content),
            line => Ok(line),
        }
    }

    /// Lines that waited until it was known whether their stamps are to be believed.
    fn release(&mut self, are_wrong: bool) -> Result<(), ImportError> {
        for (line, at) in self.stamps.release() {
            self.settled(&line, self.parsed(&line), at, are_wrong)?;
        }
        Ok(())
    }

    fn settled(
        &mut self,
        bytes: &[u8],
        parsed: Result<(i64, Line<'_>), LineError>,
        at: Position,
        is_wrong: bool,
    ) -> Result<(), ImportError> {
        match parsed {
            Ok((ts, line)) if !is_wrong && stamps::is_possible(ts) => {
                self.stamps.last = Some(ts);
                self.start(ts, at)?;
                self.ts = ts;
                self.taken(line, at)
            }
            Ok((ts, _)) => {
                self.stats.odd_stamps += 1;
                if self.odd.len() < 3 {
                    self.odd.push((at, ts));
                }
                self.unread(bytes, at)
            }
            Err(_) => {
                self.stats.faulty += 1;
                self.unread(bytes, at)
            }
        }
    }

    /// Nothing is thrown away: the line stands as a frame, and the fold rejects it.
    fn unread(&mut self, bytes: &[u8], at: Position) -> Result<(), ImportError> {
        if self.started {
            return self.frame(bytes, at);
        }
        self.wait(bytes, at);
        Ok(())
    }

    /// A line that has no time of its own takes that of the first which has one.
    fn wait(&mut self, bytes: &[u8], at: Position) {
        if self.early_bytes + bytes.len() as u64 <= LINE_MAX {
            // Counted with what a short line costs beside its bytes.
            self.early_bytes += bytes.len() as u64 + 64;
            self.early.push((bytes.to_owned(), at));
        }
    }

    fn taken(&mut self, line: Line<'_>, at: Position) -> Result<(), ImportError> {
        match line {
            Line::Frame(b) => {
                self.stats.frames += 1;
                self.frame(b, at)
            }
            Line::Snapshot(b) => {
                let url = (self.opts.snapshot_url)(&self.symbol);
                self.body(&url, b, at)
            }
            Line::Rest { url, body } => self.body(url, body, at),
            Line::Sent(b) => {
                let conn = self.socket("", at)?;
                self.push(Kind::Sent, (conn, -1), "", b, at)
            }
            Line::Connect(url) => {
                if self.ws.0 != 0 {
                    self.close(at)?;
                }
                self.socket(url, at).map(|_| ())
            }
            // A word that is no frame of this venue was refused before.
            Line::Note(_) | Line::Word(_) => Ok(()),
        }
    }

    fn start(&mut self, ts: i64, at: Position) -> Result<(), ImportError> {
        if self.started {
            return Ok(());
        }
        self.started = true;
        self.ts = ts;
        let run = RunStart {
            run_id: self.run_id.clone(),
            writer: "import".to_owned(),
            build: env!("CARGO_PKG_VERSION").to_owned(),
            host: String::new(),
            config_sha256: String::new(),
            rules_version: self.opts.rules_version,
            ts_start: ts,
            interval_ns: self.opts.interval_ns,
            book_top_interval_ns: self.opts.book_top_interval_ns,
            lane_memory_bytes: self.opts.lane_memory_bytes,
            auto_register: true,
            epoch_floor: 0,
            venues: Vec::new(),
        };
        let at = Position { line: 0, ..at };
        self.push(Kind::Run, (0, -1), "", &to_payload(&run), at)?;
        for (line, at) in std::mem::take(&mut self.early) {
            self.frame(&line, at)?;
        }
        Ok(())
    }

    fn new_conn(&mut self) -> i64 {
        self.last_conn = self.ts.max(self.last_conn + 1);
        self.last_conn
    }

    fn event(&self, event: &str, cause: &str) -> Vec<u8> {
        to_payload(&ConnEvent {
            event: event.to_owned(),
            venue: self.opts.venue.to_owned(),
            leg: 0,
            slot: 0,
            code: 0,
            cause: cause.to_owned(),
            answered: false,
            detail: String::new(),
        })
    }

    fn socket(&mut self, url: &str, at: Position) -> Result<i64, ImportError> {
        if self.ws.0 == 0 {
            self.ws = (self.new_conn(), 0);
            let p = self.event("open", "");
            self.push(Kind::Connection, (self.ws.0, -1), url, &p, Position { line: 0, ..at })?;
        }
        Ok(self.ws.0)
    }

    fn close(&mut self, at: Position) -> Result<(), ImportError> {
        let p = self.event("close", "venue_disconnect");
        self.push(Kind::Connection, (self.ws.0, -1), "", &p, Position { line: 0, ..at })?;
        self.ws = (0, 0);
        Ok(())
    }

    fn frame(&mut self, b: &[u8], at: Position) -> Result<(), ImportError> {
        let conn = self.socket("", at)?;
        let rseq = self.ws.1;
        self.ws.1 += 1;
        self.push(Kind::Frame, (conn, rseq), "", b, at)
    }

    fn body(&mut self, url: &str, b: &[u8], at: Position) -> Result<(), ImportError> {
        self.stats.bodies += 1;
        if self.rest.0 == 0 {
            self.rest = (self.new_conn(), 0);
            let p = self.event("open", "");
            self.push(Kind::Connection, (self.rest.0, -1), "", &p, Position { line: 0, ..at })?;
        }
        let id = self.rest;
        self.rest.1 += 1;
        self.push(Kind::Rest, id, url, b, at)
    }

    fn push(
        &mut self,
        kind: Kind,
        id: (i64, i64),
        url: &str,
        payload: &[u8],
        at: Position,
    ) -> Result<(), ImportError> {
        while let Some(b) = self.clock.boundary_due(self.ts) {
            let p = self.clock.boundary_payload(b);
            let r = self.clock.boundary_record(b, 0, &p);
            (self.take)(&r, Position { line: 0, ..at }).map_err(ImportError::Consumer)?;
        }
        let r = Record {
            kind,
            flags: 0,
            lane: self.clock.lane(),
            status: if kind == Kind::Rest { 200 } else { 0 },
            conn: id.0,
            lane_seq: self.clock.take_seq(),
            rseq: id.1,
            ts_kernel: 0,
            ts_mono: 0,
            ts_recv: self.ts,
            url,
            payload,
        };
        (self.take)(&r, at).map_err(ImportError::Consumer)
    }

    fn finish(mut self, files: &[PathBuf]) -> Result<ImportStats, ImportError> {
        let is_wrong = self.stamps.settles_at_end();
        self.release(is_wrong)?;
        self.stats.odd.extend(self.odd.iter().map(|(at, ts)| {
            format!("{} line {}: {}", files[at.file as usize].display(), at.line, stamps::text(*ts))
        }));
        if !self.started {
            let names: Vec<_> = files.iter().map(|p| p.display().to_string()).collect();
            return Err(ImportError::Empty(names.join(", ")));
        }
        let stop = RunStop { run_id: self.run_id.clone(), ts_stop: self.ts, exit: "clean".to_owned() };
        self.push(Kind::Stop, (0, -1), "", &to_payload(&stop), Position::default())?;
        Ok(self.stats)
    }
}
