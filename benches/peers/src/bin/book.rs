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

use lobtape::book::Book;
use lobtape::book::reference::ReferenceBook;
use lobtape_peers::books::{Floor, Hash, Roi, Runner, Tree};
use lobtape_peers::tape::{Tape, all};
use lobtape_peers::timing::{Row, Spread, interleaved, pin, quick, ratio, report, report_absolute};

/// Books for 32 instruments in turn.
const COPIES: u32 = 32;
/// The large recordings, whose worst figure is the one that counts.
const LARGE: [&str; 3] = ["usdm-btcusdt", "spot-btcusdt", "coinm-ethusd_perp"];

/// An array over all prices of a tape is for tapes whose prices allow it; a quiet symbol's may span 10^12 ticks.
const ARRAY_MAX: i64 = 1 << 27;

struct Figures {
    /// By row, `None` where this book cannot hold such prices.
    times: [Option<Vec<f64>>; NAMES.len()],
    levels: usize,
}

fn measure(tape: &Tape, rounds: usize) -> Figures {
    let mut ours = Runner::<Book>::new(tape);
    let mut twin = Runner::<ReferenceBook>::new(tape);
    let mut hash = Runner::<Hash>::new(tape);
    let mut tree = Runner::<Tree>::new(tape);
    let arrays = tape.scales.iter().map(|s| s.high / s.tick).sum::<i64>() <= ARRAY_MAX;
    let mut roi = arrays.then(|| Runner::<Roi>::new(tape));
    let mut floor = arrays.then(|| Runner::<Floor>::new(tape));
    twin.pass();
    let truth = twin.books.clone();
    ours.check("ours", &truth, true);
    hash.check("HashMap", &truth, true);
    tree.check("BTree", &truth, false);
    roi.iter_mut().for_each(|r| r.check("ROIVector", &truth, true));
    floor.iter_mut().for_each(|r| r.check("floor", &truth, false));
    let mut times = [const { None }; NAMES.len()];
    if rounds == 0 {
        return Figures { times, levels: 0 };
    }
    let mut rows = vec![
        Row { name: NAMES[0], pass: Box::new(|| ours.pass()) },
        Row { name: NAMES[2], pass: Box::new(|| hash.pass()) },
        Row { name: NAMES[3], pass: Box::new(|| tree.pass()) },
        Row { name: NAMES[4], pass: Box::new(|| twin.pass()) },
    ];
    rows.extend(roi.as_mut().map(|r| Row { name: NAMES[1], pass: Box::new(|| r.pass()) }));
    rows.extend(floor.as_mut().map(|r| Row { name: NAMES[5], pass: Box::new(|| r.pass()) }));
    let measured = interleaved(&mut rows, rounds);
    for (row, t) in rows.iter().zip(measured) {
        if let Some(i) = NAMES.iter().position(|n| *n == row.name) {
            times[i] = Some(t);
        }
    }
    drop(rows);
    Figures { times, levels: tape.timed_levels() }
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
        tapes.push(usdm.round_robin(COPIES));
    }
    // Of the large recordings the worst ratio of each kind counts.
    let mut worst: [Option<Spread>; 6] = [None; 6];
    for tape in &tapes {
        let f = measure(tape, rounds);
        if test {
            println!("{}: all books end equal", tape.name);
            continue;
        }
        println!("\n{}, {} levels in {} messages, ns per level:", tape.name, f.levels, tape.msgs.len());
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
