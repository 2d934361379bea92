//! A whole recording from its lines to published Parquet, beside what a plain collector does with the same lines.
//!
//! ```text
//! fold        lines → records → parse → sequence → books
//! dataset     the above, and all tables as verified Parquet files with manifest
//! collector   lines → serde_json::Value → gzip 6 text, as the best known open recorder writes them
//! ```
//! The books at the end are held against the reference before anything is timed. A table of interleaved rounds first
//! (thread CPU time, because the machine is shared; publishing waits for the disk, which is not in it), then criterion.
#![allow(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a bench prints, and has nothing to go on with where a recording is broken"
)]

use std::hint::black_box;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use criterion::{Criterion, Throughput};
use lobtape::dataset::Dataset;
use lobtape::fold::{Fold, NoSink, RULES_VERSION};
use lobtape::import::{ImportOptions, import};
use lobtape::model::{InstrumentId, Kind};
use lobtape::sink::Converter;
use lobtape::sys::clock::thread_cpu_ns;
use lobtape::venue;

const ROUNDS: usize = 5;
const STEPS: [&str; 3] = ["fold", "dataset", "collector"];

struct Recording {
    name: &'static str,
    venue: &'static str,
    plain: PathBuf,
    lines: u64,
    bytes: u64,
    /// Checksum of the last book.
    crc: &'static str,
    exps: (u8, u8),
}

fn path_of(name: &str) -> PathBuf {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/recordings").join(name);
    match std::env::var_os("LOBTAPE_RECORDINGS").map(|dir| PathBuf::from(dir).join(name)) {
        Some(path) if path.exists() => path,
        _ => own,
    }
}

/// Unpacks the recording, so that gzip is in nobody's time but the collector's own.
fn unpack(
    dir: &Path,
    name: &'static str,
    venue: &'static str,
    files: &[&str],
    (crc, exps): (&'static str, (u8, u8)),
) -> Option<Recording> {
    let mut text = Vec::new();
    for f in files {
        let file = std::fs::File::open(path_of(f)).ok()?;
        flate2::read::MultiGzDecoder::new(file).read_to_end(&mut text).expect("a gzip file");
    }
    let plain = dir.join(name);
    std::fs::write(&plain, &text).expect("the recording is unpacked");
    let lines = text.iter().filter(|c| **c == b'\n').count() as u64;
    Some(Recording { name, venue, plain, lines, bytes: text.len() as u64, crc, exps })
}

fn each(r: &Recording, take: &mut dyn FnMut(&lobtape::model::Record<'_>)) {
    let v = venue::by_id(r.venue).expect("a known venue").1;
    let url = |s: &str| v.snapshot_request(s).path;
    let opts = ImportOptions {
        venue: r.venue,
        snapshot_url: &url,
        words: &[],
        rules_version: RULES_VERSION,
        interval_ns: 3_600_000_000_000,
        book_top_interval_ns: 100_000_000,
        lane_memory_bytes: 256 << 20,
    };
    let files = [r.plain.clone()];
    import(&files, &opts, &mut |rec, _| {
        take(rec);
        Ok(())
    })
    .expect("a recording");
}

fn fold(r: &Recording) -> u64 {
    let mut fold = Fold::new(1);
    each(r, &mut |rec| {
        if rec.kind != Kind::Stop {
            fold.step(rec, &mut NoSink);
        }
    });
    let book = fold.book(InstrumentId(0)).expect("a proven book");
    assert_eq!(format!("{:08x}", book.checksum(r.exps.0, r.exps.1)), r.crc, "{}", r.name);
    fold.counters().frames
}

fn dataset(r: &Recording) -> i64 {
    let dir = tempfile::tempdir().expect("a directory");
    let ds = Dataset::create(dir.path().join("d")).expect("a dataset");
    let mut converter = Converter::new();
    let mut rows = 0;
    each(r, &mut |rec| rows += converter.feed(&ds, rec).expect("converted").published.rows);
    rows
}

/// Parse to a tree, look at the symbol and the ids, append the line to a gzip file: the collector's work per frame.
fn collector(r: &Recording) -> u64 {
    let file = tempfile::tempfile().expect("a file");
    let mut out = flate2::write::GzEncoder::new(file, flate2::Compression::new(6));
    let reader = BufReader::with_capacity(1 << 18, std::fs::File::open(&r.plain).expect("the recording"));
    let mut gaps = 0;
    let mut last = None;
    for line in reader.split(b'\n') {
        let line = line.expect("a line");
        let at = line.iter().position(|c| *c == b' ').map_or(0, |i| i + 1);
        if let Ok(v) = serde_json::from_slice::<serde_json::Value>(&line[at..]) {
            let d = &v["data"];
            if d["e"] == "depthUpdate" {
                gaps += u64::from(last.is_some() && d["pu"].as_i64() != last);
                last = d["u"].as_i64();
            }
            black_box(d["s"].as_str());
        }
        out.write_all(&line).expect("written");
        out.write_all(b"\n").expect("written");
    }
    out.finish().expect("a gzip file");
    gaps
}

fn run(step: usize, r: &Recording) {
    match step {
        0 => _ = black_box(fold(r)),
        1 => _ = black_box(dataset(r)),
        _ => _ = black_box(collector(r)),
    }
}

fn table(recordings: &[Recording]) {
    println!("CPU seconds per million frames, median (min–max) of {ROUNDS} interleaved rounds");
    println!(
        "{:<20} {:>8}  {:<22} {:<22} {:<22} dataset / collector",
        "recording", "frames", STEPS[0], STEPS[1], STEPS[2]
    );
    for r in recordings {
        let mut rounds: [Vec<f64>; 3] = Default::default();
        for _ in 0..ROUNDS {
            for (step, of_step) in rounds.iter_mut().enumerate() {
                let begun = thread_cpu_ns();
                run(step, r);
                of_step.push((thread_cpu_ns() - begun) as f64 / 1e3 / r.lines as f64);
            }
        }
        let cell = |v: &mut Vec<f64>| {
            v.sort_by(f64::total_cmp);
            (v[v.len() / 2], format!("{:.2} ({:.2}–{:.2})", v[v.len() / 2], v[0], v[v.len() - 1]))
        };
        let [a, b, c] = &mut rounds;
        let ((_, a), (ours, b), (theirs, c)) = (cell(a), cell(b), cell(c));
        println!("{:<20} {:>8}  {a:<22} {b:<22} {c:<22} {:.2}", r.name, r.lines, ours / theirs);
    }
}

fn main() {
    let dir = tempfile::tempdir().expect("a directory");
    let recordings: Vec<Recording> = [
        unpack(
            dir.path(),
            "usdm-btcusdt",
            "binance-usdm",
            &["binance-usdm_btcusdt_20240808.gz"],
            ("59f4b714", (1, 3)),
        ),
        unpack(
            dir.path(),
            "coinm-ethusd_perp",
            "binance-coinm",
            &["binance-coinm_ethusd_perp_20240808.gz", "binance-coinm_ethusd_perp_20240809.gz"],
            ("79c5eab0", (2, 0)),
        ),
    ]
    .into_iter()
    .flatten()
    .collect();
    assert!(!recordings.is_empty(), "no recording in data/recordings or $LOBTAPE_RECORDINGS");
    recordings.iter().for_each(|r| _ = fold(r));
    if !std::env::args().any(|a| a == "--test") {
        table(&recordings);
    }
    let mut c = Criterion::default().configure_from_args();
    for r in &recordings {
        let mut group = c.benchmark_group(format!("end_to_end/{}", r.name));
        group.throughput(Throughput::Bytes(r.bytes)).sample_size(10);
        for (step, name) in STEPS.iter().enumerate() {
            group.bench_function(*name, |b| b.iter(|| run(step, r)));
        }
        group.finish();
    }
    c.final_summary();
}
