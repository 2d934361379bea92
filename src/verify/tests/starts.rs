//! Starts of the recorder: what is missing before one and behind it has different reasons.

use std::path::Path;

use super::harm::{batch_of, find, ints, parts, rewrite, says, set_int, texts};
use super::maker::{EVENING, Maker, S, VENUE};
use super::{all, rebuilt, verified};
use crate::dataset::Table;
use crate::verify::CheckId;

/// Cause, times since the evening in ms and ids of a stream's gaps.
pub fn gaps_of(dir: &Path, stream: &str) -> Vec<(String, [i64; 2], [i64; 2])> {
    let mut out = Vec::new();
    for p in parts(dir, Table::Gaps) {
        let b = batch_of(dir, &p);
        let (streams, causes) = (texts(&b, "stream"), texts(&b, "cause"));
        let at = |name: &str, i: usize| (ints(&b, name)[i] - EVENING) / super::MS;
        let id = |name: &str, i: usize| ints(&b, name)[i];
        let rows = (0..b.num_rows()).filter(|i| streams[*i] == stream);
        out.extend(rows.map(|i| {
            let times = [at("ts_begin", i), at("ts_end", i)];
            (causes[i].clone(), times, [id("seq_before", i), id("seq_after", i)])
        }));
    }
    out.sort_by_key(|g| g.1);
    out
}

/// A recorder that ends, by `end`, and is back 2 s later while the venue is not: that one comes 9 s after it.
fn down(dir: &Path, end: fn(&mut Maker)) {
    let mut m = Maker::new(dir);
    let a = m.open(&["BTCUSDT"]);
    m.sync(a, "BTCUSDT");
    m.beats(a, "BTCUSDT", 3);
    end(&mut m);
    m.wait(5 * super::MS);
    m.plan(&["BTCUSDT"]);
    m.wait(9 * S);
    let b = m.open(&["BTCUSDT"]);
    m.wait(S);
    m.trade(b, "BTCUSDT", 4);
    m.sync(b, "BTCUSDT");
    m.wait(S);
    m.stop();
    m.done();
}

#[test]
fn from_a_start_on_it_is_the_venue_that_is_missing() {
    let stop: fn(&mut Maker) = |m| {
        m.stop();
        m.wait(2 * S);
        m.run();
    };
    for (cause, end) in [("operator", stop), ("process_crash", |m| m.crash())] {
        let d = tempfile::tempdir().unwrap();
        down(d.path(), end);
        let g = gaps_of(d.path(), "btcusdt@trade");
        let causes: Vec<&str> = g.iter().map(|g| g.0.as_str()).collect();
        assert_eq!(causes, [cause, "initial_sync", "initial_sync"], "{g:?}");
        // Up to the start, to the interval's end, to the first trade, which says what is missing.
        assert_eq!((g[0].1[1], g[1].1, g[2].1[0]), (2_535, [2_535, 10_000], 10_000), "{g:?}");
        assert_eq!([g[0].2, g[1].2, g[2].2], [[75, -1], [75, -1], [75, 79]], "{g:?}");
        let g = gaps_of(d.path(), "btcusdt@bookTicker");
        assert_eq!((g[0].0.as_str(), g[0].1[1]), (cause, 2_535), "{g:?}");
        let g = gaps_of(d.path(), "btcusdt@depth@100ms");
        let causes: Vec<&str> = g.iter().map(|g| g.0.as_str()).collect();
        assert_eq!(causes, ["initial_sync", cause, "initial_sync", "initial_sync", "resync_wait"], "{g:?}");
        let r = verified(d.path());
        assert!(r.well, "{cause}: {}", all(&r));
        assert!(rebuilt(d.path(), None).is_equal());
        // A gap that goes on as if nobody had started is found.
        let of = |b: &arrow_array::RecordBatch, i: usize, c: &str| {
            texts(b, "stream")[i] == "btcusdt@bookTicker" && texts(b, "cause")[i] == c
        };
        let (p, i) = find(d.path(), Table::Gaps, |b, i| of(b, i, cause));
        let (_, k) = find(d.path(), Table::Gaps, |b, i| of(b, i, "initial_sync"));
        rewrite(d.path(), &p, |b| {
            let at = ints(&b, "ts_end")[i] + S;
            set_int(&set_int(&b, "ts_end", i, at), "ts_begin", k, at)
        });
        let r = verified(d.path());
        says(&r, CheckId::Coverage, "when the recorder ran again");
        assert_eq!(r.check(CheckId::Coverage).faults, 1, "{}", all(&r));
    }
}

/// A venue that a run leaves out and a reload brings: it was not wanted before, and its gap ends when the run says so, which is
/// a moment after it began.
#[test]
fn a_venue_that_a_reload_brings_was_not_wanted_since_the_start() {
    let d = tempfile::tempdir().unwrap();
    let mut m = Maker::new(d.path());
    let a = m.open(&["BTCUSDT"]);
    m.sync(a, "BTCUSDT");
    m.beats(a, "BTCUSDT", 3);
    m.stop();
    let stopped = m.ts;
    m.wait(2 * S);
    m.run_late(&["binance-spot"], 3 * super::MS);
    let away = m.ts;
    m.wait(S);
    m.plan(&["BTCUSDT"]);
    m.wait(S);
    let b = m.open(&["BTCUSDT"]);
    m.wait(S);
    m.trade(b, "BTCUSDT", 40);
    m.sync(b, "BTCUSDT");
    m.beats(b, "BTCUSDT", 3);
    m.stop();
    m.done();
    let r = verified(d.path());
    assert!(r.well, "{}", all(&r));
    let ms = |ts: i64| (ts - EVENING) / super::MS;
    let g = gaps_of(d.path(), "btcusdt@trade");
    let times: Vec<_> = g.iter().filter(|g| g.0 == "operator").map(|g| g.1).collect();
    assert_eq!(times, [[ms(stopped), ms(away)]], "{g:?}");
}

#[test]
fn a_venue_that_a_run_leaves_out_is_neither_covered_nor_missing_until_it_is_back() {
    let d = tempfile::tempdir().unwrap();
    let mut m = Maker::new(d.path());
    let a = m.open(&["BTCUSDT"]);
    m.sync(a, "BTCUSDT");
    m.beats(a, "BTCUSDT", 3);
    m.stop();
    let stopped = m.ts;
    m.wait(2 * S);
    m.run_of(&["binance-spot"]);
    let away = m.ts;
    m.wait(60 * S);
    m.stop();
    m.wait(S);
    m.run_of(&["binance-spot", VENUE]);
    m.plan(&["BTCUSDT"]);
    let b = m.open(&["BTCUSDT"]);
    m.wait(S);
    m.trade(b, "BTCUSDT", 40);
    m.sync(b, "BTCUSDT");
    m.beats(b, "BTCUSDT", 3);
    m.stop();
    m.done();
    let r = verified(d.path());
    assert!(r.well, "{}", all(&r));
    let ms = |ts: i64| (ts - EVENING) / super::MS;
    let g = gaps_of(d.path(), "btcusdt@trade");
    let times: Vec<_> = g.iter().filter(|g| g.0 == "operator").map(|g| g.1).collect();
    assert_eq!(times, [[ms(stopped), ms(away)]], "{g:?}");
    let o = rebuilt(d.path(), None);
    assert!(o.is_equal() && o.equal > 0, "{o:?}");
}
