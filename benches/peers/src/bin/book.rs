//! Order books beside each other: ours, hftbacktest's three, ours on ordered maps, and the floor, a bare store into an
//! array. The same parsed recording for all, each in its native numbers, made outside the clock; every pass loads the
//! snapshot into an empty book, then the clock runs over the diffs; after each message both best prices are read.
//! Before anything is timed all books must end equal in every level.
//!
//! `book [--quick] [--test]`
#![allow(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a bench times, prints, and has nothing to go on with where a recording is broken"
)]

use lobtape_peers::book::Book;
use lobtape_peers::book::reference::ReferenceBook;
use lobtape_peers::books::{Floor, Hash, Roi, Runner, Tree};
use lobtape_peers::tape::{Tape, all};
use lobtape_peers::timing::{Row, Spread, interleaved, pin, quick, ratio, report, report_absolute};

/// A liquid instrument this many times in turn, told this share of its stream.
const COPIES: (u32, f64) = (32, 1.0 / 16.0);
/// Four quiet ones this many times in turn: 500 books.
const QUIET: [&str; 2] = ["usdm-4-quiet", "spot-4-quiet"];
const QUIET_COPIES: (u32, f64) = (125, 0.5);
/// The large recordings, whose worst figure is the one that counts.
const LARGE: [&str; 3] = ["usdm-btcusdt", "spot-btcusdt", "coinm-ethusd_perp"];

/// An array over all prices of a tape is for tapes whose prices allow it; a quiet symbol's may span 10^12 ticks.
const ARRAY_MAX: i64 = 1 << 27;

struct Figures {
    /// By row, `None` where this book cannot hold such prices.
    times: [Option<Vec<f64>>; NAMES.len()],
    levels: usize,
    /// What our books hold in the end.
    bytes: usize,
}

fn measure(tape: &Tape, rounds: usize) -> Figures {
    let mut ours = Runner::<Book>::new(tape);
    let mut twin = Runner::<ReferenceBook>::new(tape);
    let hostile = tape.name.starts_with("hostile");
    let mut hash = (!hostile).then(|| Runner::<Hash>::new(tape));
    let mut tree = (!hostile).then(|| Runner::<Tree>::new(tape));
    let arrays = !hostile && tape.scales.iter().map(|s| s.high / s.tick).sum::<i64>() <= ARRAY_MAX;
    let mut roi = arrays.then(|| Runner::<Roi>::new(tape));
    let mut floor = arrays.then(|| Runner::<Floor>::new(tape));
    twin.pass();
    let truth = twin.books.clone();
    ours.check("ours", &truth, true);
    hash.iter_mut().for_each(|r| r.check("HashMap", &truth, true));
    tree.iter_mut().for_each(|r| r.check("BTree", &truth, false));
    roi.iter_mut().for_each(|r| r.check("ROIVector", &truth, true));
    floor.iter_mut().for_each(|r| r.check("floor", &truth, false));
    let mut times = [const { None }; NAMES.len()];
    if rounds == 0 {
        return Figures { times, levels: 0, bytes: 0 };
    }
    let mut rows = vec![
        Row { name: NAMES[0], pass: Box::new(|| ours.pass()) },
        Row { name: NAMES[4], pass: Box::new(|| twin.pass()) },
    ];
    rows.extend(hash.as_mut().map(|r| Row { name: NAMES[2], pass: Box::new(|| r.pass()) }));
    rows.extend(tree.as_mut().map(|r| Row { name: NAMES[3], pass: Box::new(|| r.pass()) }));
    rows.extend(roi.as_mut().map(|r| Row { name: NAMES[1], pass: Box::new(|| r.pass()) }));
    rows.extend(floor.as_mut().map(|r| Row { name: NAMES[5], pass: Box::new(|| r.pass()) }));
    let measured = interleaved(&mut rows, rounds);
    for (row, t) in rows.iter().zip(measured) {
        if let Some(i) = NAMES.iter().position(|n| *n == row.name) {
            times[i] = Some(t);
        }
    }
    drop(rows);
    let bytes = ours.books.iter().map(Book::memory_bytes).sum();
    Figures { times, levels: tape.timed_levels(), bytes }
}

const NAMES: [&str; 6] = [
    "lobtape",
    "hftbacktest ROIVector",
    "hftbacktest HashMap",
    "hftbacktest BTree",
    "BTreeMap twin",
    "array store (floor)",
];
/// The row of the floor.
const FLOOR: usize = 5;
/// Names of the ratios, by row.
const RATIOS: [&str; 6] = [
    "",
    "book_vs_hftbacktest_roivector",
    "book_vs_hftbacktest_hashmap",
    "book_vs_hftbacktest_btree",
    "book_vs_btreemap_twin",
    "book_vs_floor",
];

fn main() {
    pin();
    let test = std::env::args().any(|a| a == "--test");
    let rounds = if test {
        0
    } else if quick() {
        5
    } else {
        11
    };
    let mut tapes = all();
    assert!(!tapes.is_empty(), "no recording in data/recordings or $LOBTAPE_RECORDINGS");
    if let Some(usdm) = tapes.iter().find(|t| t.name == LARGE[0]).cloned() {
        tapes.push(usdm.round_robin(COPIES.0, COPIES.1));
    }
    for name in QUIET {
        if let Some(quiet) = tapes.iter().find(|t| t.name == name).cloned() {
            tapes.push(quiet.round_robin(QUIET_COPIES.0, QUIET_COPIES.1));
        }
    }
    tapes.extend(Tape::hostile());
    // Of the large recordings the worst ratio of each kind counts.
    let mut worst: [Option<Spread>; 6] = [None; 6];
    for tape in &tapes {
        let f = measure(tape, rounds);
        if test {
            println!("{}: all books end equal", tape.name);
            continue;
        }
        let kib = f.bytes / 1024 / tape.scales.len();
        println!(
            "\n{}, {} levels in {} messages, {kib} KiB a book, ns per level:",
            tape.name,
            f.levels,
            tape.msgs.len()
        );
        for (name, times) in NAMES.iter().zip(&f.times) {
            let Some(times) = times else { continue };
            let ns = Spread::of(times.iter().map(|t| t / f.levels as f64));
            println!("  {name:<24} {ns}");
            report_absolute(&format!("book/{}/{name}", tape.name), "ns per level", ns);
        }
        let Some(ours) = &f.times[0] else { continue };
        for (i, name) in RATIOS.iter().enumerate().skip(1) {
            let Some(theirs) = &f.times[i] else { continue };
            // A floor is below: how many times its cost ours is. A peer is above: how many times faster ours is.
            let r = if i == FLOOR { ratio(ours, theirs) } else { ratio(theirs, ours) };
            report(&format!("{name}/{}", tape.name), r);
            let is_worse = |w: Spread| if i == FLOOR { r.median > w.median } else { r.median < w.median };
            if LARGE.contains(&tape.name.as_str()) && worst[i].is_none_or(is_worse) {
                worst[i] = Some(r);
            }
        }
    }
    println!();
    for (name, w) in RATIOS.iter().zip(worst) {
        if let Some(w) = w {
            report(name, w);
        }
    }
}
