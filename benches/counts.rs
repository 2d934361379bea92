//! The work of book and parse, once, in functions of their own: `scripts/bench-counts` has callgrind count the
//! instructions in them. Prints by what to divide: a number and its unit.
//!
//! `counts book|parse`; `--test` looks only whether both run.
#![allow(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a bench prints, and has nothing to go on with where a recording is broken"
)]

use std::cell::Cell;
use std::hint::black_box;
use std::io::{BufRead, BufReader};

use lobtape::book::Book;
use lobtape::model::{Event, Side};
use lobtape::parse::Scratch;
use lobtape::venue::by_id;
use lobtape::venue::testing::MemoryCtx;
use tape::{Tape, recording};

/// What the readers of the tape take from the crate root.
use lobtape::model;

#[path = "peers/src/tape.rs"]
#[allow(dead_code, reason = "shared with the benches beside other people's books, which use all of it")]
mod tape;

const RECORDING: &str = "binance-usdm_btcusdt_20240808.gz";
/// Decimals of its prices and sizes.
const EXPS: (u8, u8) = (2, 3);

#[inline(never)]
fn counted_book(book: &mut Book, tape: &Tape) {
    for (m, range) in tape.ranges().skip(tape.loads) {
        let (bids, asks) = tape.levels[range].split_at(m.bids as usize);
        black_box(book.apply(bids, asks));
        black_box((book.best(Side::Bid), book.best(Side::Ask)));
    }
}

#[inline(never)]
fn counted_parse(frames: &[Vec<u8>], read: &mut dyn FnMut(&[u8])) {
    for frame in frames {
        read(frame);
    }
}

fn depth_frames() -> (Vec<String>, Vec<Vec<u8>>) {
    let file = std::fs::File::open(recording(RECORDING)).expect("the USD-M recording");
    let (mut streams, mut frames) = (Vec::new(), Vec::new());
    for line in BufReader::new(flate2::read::GzDecoder::new(file)).lines() {
        let line = line.expect("a readable recording");
        let frame = line.split_once(' ').map_or("", |(_, f)| f);
        let stream = frame.strip_prefix("{\"stream\":\"").and_then(|f| f.split('"').next());
        let Some(stream) = stream.filter(|s| s.contains("@depth")) else { continue };
        if !streams.iter().any(|s| s == stream) {
            streams.push(stream.to_owned());
        }
        frames.push(frame.as_bytes().to_vec());
    }
    (streams, frames)
}

fn book() {
    let tape = Tape::read("usdm", &[RECORDING], EXPS).expect("the USD-M recording");
    let mut book = Book::new();
    for (m, range) in tape.ranges().take(tape.loads) {
        let (bids, asks) = tape.levels[range].split_at(m.bids as usize);
        book.apply(bids, asks);
    }
    counted_book(&mut book, &tape);
    println!("{} level", tape.timed_levels());
}

fn parse() {
    let (streams, frames) = depth_frames();
    let venue = by_id("binance-usdm").expect("a known venue").1;
    let events = Cell::new(0usize);
    let mut ctx = MemoryCtx::new(|e: Event<'_>| {
        black_box(&e);
        events.set(events.get() + 1);
    });
    ctx.exponents = EXPS;
    for s in &streams {
        assert!(ctx.subscribe(venue, s), "{s}");
    }
    let mut scratch = Scratch::default();
    let mut read = |frame: &[u8]| {
        venue.decode(&mut scratch, frame, None, &mut ctx).expect("recorded frames are read");
    };
    // The first pass grows the buffers.
    frames.iter().for_each(|f| read(f));
    let before = events.get();
    counted_parse(&frames, &mut read);
    assert_eq!(events.get() - before, before, "the same events in both passes");
    println!("{} frame", frames.len());
}

fn main() {
    let what: Vec<String> = std::env::args().skip(1).collect();
    for (name, run) in [("book", book as fn()), ("parse", parse)] {
        if what.iter().any(|w| w == name || w == "--test") {
            run();
        }
    }
}
