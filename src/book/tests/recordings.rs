//! Real recordings, held against the reference's lines. Skipped, with a word, where a file is not in the checkout.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value;

use super::support::{Driver, EXP, Line, dec, read, recording};
use crate::book::Book;
use crate::model::{SequenceRule, Side};

/// Expected states by symbol and id.
type States = BTreeMap<(String, i64), Value>;

/// What a symbol's driver tells as it goes.
#[derive(Default)]
struct Tally {
    tops: crc32fast::Hasher,
    applied: u64,
    compared: usize,
}

struct Symbol {
    driver: Driver,
    tally: Rc<RefCell<Tally>>,
    diffs: u64,
    syncs: usize,
}

impl Symbol {
    fn new(name: &str, rule: SequenceRule, states: &Rc<States>) -> Symbol {
        let mut driver = Driver::new(rule);
        let tally: Rc<RefCell<Tally>> = Rc::default();
        let (told, states, name) = (tally.clone(), states.clone(), name.to_owned());
        let mut row = Vec::new();
        driver.seen = Box::new(move |book, u| {
            let t = &mut *told.borrow_mut();
            t.applied += 1;
            row.clear();
            book.write_tops_line(&mut row, u, EXP, EXP);
            t.tops.update(&row);
            if let Some(e) = states.get(&(name.clone(), u)) {
                compare(book, Some(t.tops.clone().finalize()), e);
                t.compared += 1;
            }
        });
        Symbol { driver, tally, diffs: 0, syncs: 0 }
    }
}

/// Compares one state; counts it.
fn compare(book: &Book, tops: Option<u32>, e: &Value) {
    let at = format!("{} u={} n={}", e["sym"], e["u"], e["n"]);
    assert_eq!(book.len(Side::Bid) as u64, e["nb"].as_u64().unwrap(), "{at}");
    assert_eq!(book.len(Side::Ask) as u64, e["na"].as_u64().unwrap(), "{at}");
    for (side, key) in [(Side::Bid, "bb"), (Side::Ask, "ba")] {
        let level = book.best(side).map(|l| (l.price, l.size));
        let expected = e[key].as_array().map(|l| (dec(l[0].as_str().unwrap()), dec(l[1].as_str().unwrap())));
        assert_eq!(level, expected, "{at} {key}");
    }
    assert_eq!(format!("{:08x}", book.checksum(EXP, EXP)), e["crc"].as_str().unwrap(), "{at}");
    assert_eq!(format!("{:08x}", book.checksum_top(20, EXP, EXP)), e["crc20"].as_str().unwrap(), "{at}");
    if let (Some(tops), Some(expected)) = (tops, e["tops"].as_str()) {
        assert_eq!(format!("{tops:08x}"), expected, "{at} tops");
    }
}

/// Returns the number of states compared, `None` where a file is missing.
fn replay(name: &str, rule: SequenceRule) -> Option<usize> {
    let text = std::fs::read_to_string(recording(&format!("expected/{name}.jsonl"))).ok()?;
    let lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let pick = |kinds: &[&str], id: &str| -> States {
        let of_kind = lines.iter().filter(|e| kinds.contains(&e["ev"].as_str().unwrap()));
        of_kind.map(|e| ((e["sym"].as_str().unwrap().into(), e[id].as_i64().unwrap()), e.clone())).collect()
    };
    let (states, syncs) = (Rc::new(pick(&["cp", "last"], "u")), pick(&["sync"], "snap_id"));
    let only = lines.iter().find_map(|e| e["sym"].as_str()).unwrap_or("BTCUSDT");
    let mut symbols: BTreeMap<String, Symbol> = BTreeMap::new();
    for file in lines[0]["files"].as_array().unwrap() {
        read(file.as_str().unwrap(), |line| match line {
            Line::Diff { symbol, diff } => {
                let s = symbols.entry(symbol).or_insert_with_key(|n| Symbol::new(n, rule, &states));
                s.diffs += 1;
                s.driver.diff(&diff, false);
            }
            Line::Snapshot { symbol, id, bids, asks } => {
                let symbol = symbol.unwrap_or_else(|| only.to_owned());
                let e = &syncs[&(symbol.clone(), id)];
                let s = symbols.entry(symbol).or_insert_with_key(|n| Symbol::new(n, rule, &states));
                s.syncs += 1;
                let mut loaded = Book::new();
                bids.iter().for_each(|l| _ = loaded.set(Side::Bid, l.price, l.size));
                asks.iter().for_each(|l| _ = loaded.set(Side::Ask, l.price, l.size));
                compare(&loaded, None, e);
                s.driver.snapshot(id, &bids, &asks);
            }
        })?;
    }
    let compared: usize = symbols.values().map(|s| s.syncs + s.tally.borrow().compared).sum();
    assert_eq!(compared, states.len() + syncs.len(), "{name}");
    for e in lines.iter().filter(|e| e["ev"] == "end") {
        totals(&symbols[e["sym"].as_str().unwrap()], e);
    }
    Some(compared)
}

fn totals(s: &Symbol, e: &Value) {
    let count = |key: &str| e[key].as_u64().unwrap();
    assert_eq!((s.diffs, s.tally.borrow().applied), (count("diffs"), count("applied")), "{e}");
    if s.syncs > 0 {
        assert_eq!(s.driver.wanted, 0, "{e}");
        assert_eq!(s.driver.changes, ["new", "change", "same", "removed", "absent"].map(count), "{e}");
    }
}

#[test]
fn recorded_books_equal_the_reference() {
    let mut ran = 0;
    for (name, rule) in [
        ("binance-usdm_btcusdt_20240808", SequenceRule::FUTURES),
        ("binance-usdm_btcusdt_20230404-05", SequenceRule::FUTURES),
        ("binance-usdm_4symbols_20210722", SequenceRule::FUTURES),
        ("binance-coinm_ethusd_perp_20240808-09", SequenceRule::FUTURES),
        ("binance-spot_btcusdt_20240808-09", SequenceRule::DENSE),
        ("binance-spot_btcusdt_20230405_nosnapshot", SequenceRule::DENSE),
        ("binance-spot_4symbols_20211012", SequenceRule::DENSE),
    ] {
        match replay(name, rule) {
            Some(compared) => {
                println!("{name:<42} {compared:>6} states equal");
                ran += 1;
            }
            None => println!("{name:<42} not in the checkout"),
        }
    }
    assert!(ran > 0, "no recording found");
}
