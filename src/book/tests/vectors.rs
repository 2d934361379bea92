//! Every vector of `data/vectors`, through sequencer, buffer and book.

use serde_json::Value;

use super::support::{Diff, Driver, dec, levels};
use crate::book::Verdict;
use crate::model::{SequenceRule, Side};

fn word(v: &Verdict) -> &'static str {
    match v {
        Verdict::Buffer => "buffered",
        Verdict::Stale => "dropped",
        Verdict::Ignored => "stale",
        Verdict::Apply { .. } => "applied",
        Verdict::Duplicate => "duplicate",
        Verdict::TooOld => "snapshot_too_old",
        Verdict::Wait => "wait",
        Verdict::Learning => "learning",
        Verdict::Learned => "learned",
        Verdict::Gap { .. } => "gap",
    }
}

fn rule(name: &str) -> SequenceRule {
    match name {
        "aster-futures" | "coinm" | "usdm" => SequenceRule::FUTURES,
        "aster-spot" => SequenceRule::POINTED_OR_DENSE,
        "spot" => SequenceRule::DENSE,
        "ascendex" => SequenceRule::PER_FRAME,
        other => panic!("no rule {other}"),
    }
}

/// Runs one; returns its steps.
pub(crate) fn run(vector: &Value) -> usize {
    let id = vector["id"].as_str().unwrap();
    let mut d = Driver::new(rule(vector["rule"].as_str().unwrap()));
    let mut partial = false;
    let steps = vector["steps"].as_array().unwrap();
    for (n, step) in steps.iter().enumerate() {
        let expect = &step["expect"];
        if let Some(diff) = step.get("diff") {
            let verdict = d.diff(&Diff::of(diff), false);
            let crossed = matches!(verdict, Verdict::Apply { .. }) && d.seq.on_crossed(d.book.is_crossed());
            if crossed {
                d.seq.invalidate();
            }
            let said = if crossed { "crossed" } else { word(&verdict) };
            assert_eq!(said, expect.as_str().unwrap(), "{id} step {n}");
        } else if let Some(snap) = step.get("snap") {
            if d.seq.is_live() {
                assert_eq!("ignored", expect.as_str().unwrap(), "{id} step {n}");
                continue;
            }
            let last = snap["lastUpdateId"].as_i64().unwrap();
            d.snapshot_ts = snap["ts"].as_i64().unwrap_or(0) * 1_000_000;
            let verdicts = d.snapshot(last, &levels(&snap["bids"]), &levels(&snap["asks"]));
            let words: Vec<&str> = verdicts.iter().map(word).collect();
            let expect: Vec<&str> = expect.as_array().unwrap().iter().map(|w| w.as_str().unwrap()).collect();
            assert_eq!(words, expect, "{id} step {n}");
        } else {
            partial = true;
            d.book.clear();
            for (side, key) in [(Side::Bid, "bids"), (Side::Ask, "asks")] {
                for l in levels(&step["partial"][key]) {
                    d.book.set(side, l.price, l.size);
                }
            }
            assert_eq!("replaced", expect.as_str().unwrap());
        }
    }
    let end = &vector["final"];
    assert_eq!(if partial { "PARTIAL" } else { d.state() }, end["state"].as_str().unwrap(), "{id}");
    for (side, best, count) in [(Side::Bid, "bid", "n_bid"), (Side::Ask, "ask", "n_ask")] {
        assert_eq!(d.book.len(side) as u64, end[count].as_u64().unwrap(), "{id} {count}");
        let Some(level) = d.book.best(side) else {
            assert!(end[best].is_null(), "{id} {best}");
            continue;
        };
        assert_eq!(level.price, dec(end[best][0].as_str().unwrap()), "{id} {best}");
        assert_eq!(level.size, dec(end[best][1].as_str().unwrap()), "{id} {best}");
    }
    steps.len()
}

/// The vectors of a page that are a sequence of diffs and snapshots.
pub(crate) fn of_page(page: &str) -> Vec<Value> {
    let text = match page {
        "aster-futures" => include_str!("../../../data/vectors/aster-futures.jsonl"),
        "aster-spot" => include_str!("../../../data/vectors/aster-spot.jsonl"),
        "aster-prediction" => include_str!("../../../data/vectors/aster-prediction.jsonl"),
        "binance" => include_str!("../../../data/vectors/binance.jsonl"),
        "ascendex-futures" => include_str!("../../../data/vectors/ascendex.jsonl"),
        other => panic!("no vectors of {other}"),
    };
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

/// All vectors of all pages, also those that are no books, are counted by a test of the command line.
#[test]
fn every_vector_of_a_book_comes_out_as_written() {
    for page in ["aster-futures", "aster-spot", "aster-prediction", "binance", "ascendex-futures"] {
        let vectors = of_page(page);
        assert!(vectors.len() >= 3 && vectors.iter().map(run).sum::<usize>() > vectors.len(), "{page}");
    }
}
