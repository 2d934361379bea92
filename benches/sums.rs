//! Checksums over bytes as rows and records have them: SHA-256 of one stream and of two at once beside `sha2`, CRC-32C beside
//! the `crc32c` crate. Results are compared before anything is timed.
//!
//! A table of interleaved rounds: gigabytes per second of the thread's CPU time, median (least … most), and the ratio to the
//! reference of the same round, which also goes to `$LOBTAPE_BENCH_JSON`.
#![allow(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a bench prints, and has nothing to go on with where its results cannot be written"
)]

use std::fs::File;
use std::hint::black_box;
use std::io::Write as _;

use lobtape::sys::clock::thread_cpu_ns;
use lobtape::sys::{crc, sha};
use sha2::Digest as _;

const ROUNDS: usize = 11;
/// Bytes of a round.
const BYTES: usize = 32 << 20;
/// Bytes of the 128 rows of `book_delta` that are laid out at once.
const ROWS: usize = 17_664;
/// A frame's record, a large one, a column.
const PIECES: [usize; 4] = [128, 364, 1_600, 1 << 20];

fn bytes(n: usize, seed: u8) -> Vec<u8> {
    (0..n).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed) ^ (i >> 8) as u8).collect()
}

type Way<'a> = (&'a str, Box<dyn Fn() -> Vec<u8> + 'a>);

/// Times every way in turn; the first is the reference, and all must give the same.
fn rounds(title: &str, name: &str, ways: &[Way<'_>]) {
    let want = ways[0].1();
    for (way, run) in ways {
        assert_eq!(run(), want, "{title}: {way}");
    }
    let mut rates = vec![Vec::new(); ways.len()];
    for _ in 0..ROUNDS {
        for ((_, run), rates) in ways.iter().zip(&mut rates) {
            let begin = thread_cpu_ns();
            black_box(run());
            rates.push(BYTES as f64 / (thread_cpu_ns() - begin).max(1) as f64);
        }
    }
    println!("{title}");
    for ((way, _), own) in ways.iter().zip(&rates) {
        let ratio = spread(own.iter().zip(&rates[0]).map(|(own, first)| own / first).collect());
        let (mid, low, high) = spread(own.clone());
        println!(
            "  {way:24} {mid:5.2} ({low:.2} … {high:.2}) GB/s, {:.2} ({:.2} … {:.2}) of the first",
            ratio.0, ratio.1, ratio.2
        );
        report(&format!("{name}/{way}"), ratio);
    }
}

/// Median, least and most.
fn spread(mut of: Vec<f64>) -> (f64, f64, f64) {
    of.sort_by(f64::total_cmp);
    (of[of.len() / 2], of[0], of[of.len() - 1])
}

fn report(name: &str, (ratio, min, max): (f64, f64, f64)) {
    let Some(path) = std::env::var_os("LOBTAPE_BENCH_JSON") else { return };
    let line = serde_json::json!({"name": name, "ratio": ratio, "min": min, "max": max});
    let mut out = File::options().create(true).append(true).open(path).expect("the results' file");
    writeln!(out, "{line}").expect("the results' file");
}

/// Two streams of half of the bytes each.
fn hashes() {
    let [a, b] = [bytes(ROWS, 1), bytes(ROWS, 2)];
    let pieces = BYTES / 2 / ROWS;
    let one = |own: bool| {
        let mut both = Vec::new();
        for stream in [&a, &b] {
            let (mut theirs, mut ours) = (sha2::Sha256::new(), sha::Sha256::default());
            for _ in 0..pieces {
                if own { ours.update(stream) } else { theirs.update(stream) }
            }
            both.extend(if own { ours.finish().to_vec() } else { theirs.finalize().to_vec() });
        }
        both
    };
    let two = || {
        let (mut x, mut y) = (sha::Sha256::default(), sha::Sha256::default());
        for _ in 0..pieces {
            let (n, m) = sha::update_both((&mut x, &a), (&mut y, &b));
            x.update(&a[n..]);
            y.update(&b[m..]);
        }
        [x.finish(), y.finish()].concat()
    };
    let ways: [Way<'_>; 3] = [
        ("sha2", Box::new(|| one(false))),
        ("one stream", Box::new(|| one(true))),
        ("two streams at once", Box::new(two)),
    ];
    rounds("SHA-256", "sha256", &ways);
}

fn checksums(piece: usize) {
    let all = bytes(piece, 3);
    let chain = |of: fn(u32, &[u8]) -> u32| {
        let sum = (0..BYTES / piece).fold(0, |sum, _| of(sum, black_box(&all)));
        sum.to_le_bytes().to_vec()
    };
    let ways: [Way<'_>; 2] = [
        ("crc32c", Box::new(|| chain(crc32c::crc32c_append))),
        ("three runs at once", Box::new(|| chain(crc::crc32c_append))),
    ];
    rounds(&format!("CRC-32C of {piece} bytes"), &format!("crc32c_{piece}"), &ways);
}

fn main() {
    hashes();
    PIECES.into_iter().for_each(checksums);
}
