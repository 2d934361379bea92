//! What the journal costs per record: append and commit against the floor, the same bytes written bare, and against the
//! checksum alone; then reading back; then how long `fdatasync` takes at the usual cadence of data. What is read is
//! compared with what was written before anything is timed.
//!
//! First a table of interleaved rounds (median, spread), then criterion's own runs. Files lie in memory where there is
//! `/dev/shm`, so that the disk's mood stays out; the syncs are measured in the temporary directory (`TMPDIR` moves it).
#![allow(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a bench times, prints, and has nothing to go on with where a file cannot be written"
)]

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use lobtape::journal::{Dirs, JournalReader, JournalWriter, Options, Position, ReadItem};
use lobtape::model::{Kind, Record};

const ROUNDS: usize = 7;
/// Records of a round and of a commit: 5 ms at 10,000 frames/s.
const RECORDS: usize = 50_000;
const COMMIT: usize = 50;
const PAYLOAD: usize = 300;

/// Encoded records, one after the other.
struct Load {
    bytes: Vec<u8>,
    len: usize,
}

impl Load {
    fn new() -> Load {
        let payload: Vec<u8> = (0..PAYLOAD).map(|i| (i * 31) as u8).collect();
        let mut bytes = Vec::new();
        for seq in 0..RECORDS as i64 {
            let r = Record {
                kind: Kind::Frame,
                flags: 0,
                lane: 1,
                status: 0,
                conn: 1_723_161_255_030_314_667,
                lane_seq: seq,
                rseq: seq,
                ts_kernel: seq,
                ts_mono: seq,
                ts_recv: seq,
                url: "",
                payload: &payload,
            };
            bytes.extend_from_slice(&r.encode());
        }
        let len = bytes.len() / RECORDS;
        Load { bytes, len }
    }

    fn records(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks_exact(self.len)
    }
}

fn scratch(memory: bool) -> PathBuf {
    let shm = Path::new("/dev/shm");
    let base = if memory && shm.is_dir() { shm.to_path_buf() } else { std::env::temp_dir() };
    base.join(format!("lobtape-bench-journal-{}", std::process::id()))
}

/// A directory that goes when it is dropped.
struct Dir(PathBuf);

impl Dir {
    fn new(memory: bool) -> Dir {
        let path = scratch(memory);
        std::fs::create_dir_all(&path).expect("a directory");
        Dir(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Appends all, committing as the journal thread does, and takes the old segments back.
fn append(w: &mut JournalWriter, load: &Load) -> Position {
    for (i, b) in load.records().enumerate() {
        w.append_encoded(b).expect("appended");
        if i % COMMIT == COMMIT - 1 {
            w.commit().expect("committed");
        }
    }
    let end = w.commit().expect("committed");
    w.reclaim(end).expect("reclaimed");
    end
}

/// The floor: the same bytes, the same number of writes, no format.
fn bare(file: &File, load: &Load) {
    let mut at = 0;
    for chunk in load.bytes.chunks(load.len * COMMIT) {
        file.write_all_at(chunk, at).expect("written");
        at += chunk.len() as u64;
    }
}

fn crc(load: &Load) -> u32 {
    load.records().fold(0, |sum, b| sum ^ crc32c::crc32c(b))
}

fn read(dirs: &Dirs, end: Position, mut each: impl FnMut(&[u8])) -> usize {
    let mut r = JournalReader::new(dirs.clone(), Position::START);
    let mut n = 0;
    while let Some(item) = r.read(end).expect("read") {
        let ReadItem::Record { bytes, .. } = item else { continue };
        each(bytes);
        n += 1;
    }
    n
}

/// Writes a journal and panics unless the reader gives back each byte of it.
fn check(load: &Load) -> (Dir, Dirs, Position) {
    let dir = Dir::new(true);
    let mut w = JournalWriter::open(dir.0.join("read"), Options::new(1)).expect("a journal");
    load.records().for_each(|b| _ = w.append_encoded(b).expect("appended"));
    let end = w.close().expect("closed");
    let dirs = Dirs::new(dir.0.join("read"));
    let mut want = load.records();
    assert_eq!(read(&dirs, end, |b| assert_eq!(Some(b), want.next())), RECORDS);
    (dir, dirs, end)
}

fn timed(mut run: impl FnMut()) -> Duration {
    let start = Instant::now();
    run();
    start.elapsed()
}

fn table(load: &Load, dirs: &Dirs, end: Position, w: &mut JournalWriter, file: &File) {
    println!(
        "ns per record of {} bytes, median (min–max) of {ROUNDS} interleaved rounds of {RECORDS}",
        load.len
    );
    let names = ["append + commit", "bare write", "CRC-32C alone", "read + check"];
    let mut rounds: [Vec<Duration>; 4] = Default::default();
    // Twice unmeasured: the spares are made, the pages of all files are there.
    (0..2).for_each(|_| _ = append(w, load));
    for _ in 0..ROUNDS {
        rounds[0].push(timed(|| _ = black_box(append(w, load))));
        rounds[1].push(timed(|| bare(file, load)));
        rounds[2].push(timed(|| _ = black_box(crc(load))));
        rounds[3].push(timed(|| _ = black_box(read(dirs, end, |b| _ = black_box(b)))));
    }
    for (name, mut r) in names.into_iter().zip(rounds) {
        r.sort();
        let ns = |d: Duration| d.as_nanos() as f64 / RECORDS as f64;
        let (median, min, max) = (ns(r[ROUNDS / 2]), ns(r[0]), ns(r[ROUNDS - 1]));
        let rate = load.len as f64 / median * 1e3;
        println!("{name:<18} {median:>7.1} ({min:.1}–{max:.1})  {rate:>8.0} MB/s");
    }
}

/// How long a sync of 64 KiB takes in a preallocated segment.
fn syncs() {
    let dir = Dir::new(false);
    let mut w = JournalWriter::open(dir.0.join("sync"), Options::new(1)).expect("a journal");
    let load = Load::new();
    let mut took: Vec<f64> = Vec::new();
    for chunk in load.bytes.chunks_exact(load.len * 180).take(100) {
        chunk.chunks_exact(load.len).for_each(|b| _ = w.append_encoded(b).expect("appended"));
        took.push(timed(|| _ = w.sync().expect("synced")).as_secs_f64() * 1e3);
    }
    took.sort_by(f64::total_cmp);
    let n = took.len();
    println!(
        "fdatasync of 64 KiB in {}: p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms of {n}",
        std::env::temp_dir().display(),
        took[n / 2],
        took[n * 99 / 100],
        took[n - 1]
    );
}

fn main() {
    let load = Load::new();
    let (dir, dirs, end) = check(&load);
    let mut w = JournalWriter::open(dir.0.join("write"), Options::new(1)).expect("a journal");
    let file = File::create(dir.0.join("bare")).expect("a file");
    if !std::env::args().any(|a| a == "--test") {
        table(&load, &dirs, end, &mut w, &file);
        syncs();
    }
    let mut c = Criterion::default().configure_from_args();
    let mut g = c.benchmark_group("journal");
    g.throughput(Throughput::Bytes(load.bytes.len() as u64)).sample_size(10);
    g.bench_function("append-commit", |b| b.iter(|| append(&mut w, &load)));
    g.bench_function("bare-write", |b| b.iter(|| bare(&file, &load)));
    g.bench_function("crc32c", |b| b.iter(|| crc(&load)));
    g.bench_function("read-check", |b| b.iter(|| read(&dirs, end, |b| _ = black_box(b))));
    g.finish();
    c.final_summary();
}
