//! Recordings of other tools in which a stream of a fixed pace stops: `raw` alone shows it.

use std::path::Path;

use super::harm::{find, ints, parts, rewrite, says, set_int, texts};
use super::maker::{Maker, S};
use super::{all, rebuilt, verified};
use crate::dataset::Table;
use crate::verify::CheckId;

const MARKS: &str = "btcusdt@markPrice@1s";

fn mark(m: &mut Maker, conn: i64) {
    let p = "{\"e\":\"markPriceUpdate\",\"E\":5,\"s\":\"BTCUSDT\",\"p\":\"1.5\",\"i\":\"1.4\",\"P\":\"1.5\",\
             \"r\":\"0.0001\",\"T\":0}";
    m.frame(conn, "BTCUSDT", "markPrice@1s", p);
}

/// A recording with trades every second; its mark prices stop for a while, and then for good before the line is cut.
fn recording(dir: &Path) {
    let mut m = Maker::import(dir);
    let a = m.open(&[]);
    let trades = |m: &mut Maker, n: usize| {
        for _ in 0..n {
            m.wait(S);
            m.trade(a, "BTCUSDT", 0);
        }
    };
    for quiet in [3, 58, 75, 90] {
        mark(&mut m, a);
        trades(&mut m, quiet);
    }
    m.conn_event(a, "close", "venue_disconnect");
    m.wait(5 * S);
    let b = m.open(&[]);
    mark(&mut m, b);
    m.wait(3 * S);
    m.stop();
    m.done();
}

#[test]
fn coverage_of_a_stream_that_is_silent_in_a_recording_has_no_proof() {
    let d = tempfile::tempdir().unwrap();
    recording(d.path());
    let r = verified(d.path());
    assert!(r.well, "{}", all(&r));
    assert!(rebuilt(d.path(), None).is_equal());
    let told: usize = parts(d.path(), Table::Gaps)
        .iter()
        .map(|p| {
            texts(&super::harm::batch_of(d.path(), p), "cause")
                .iter()
                .filter(|c| *c == "silent_stream")
                .count()
        })
        .sum();
    assert!(told > 4, "two silences over many intervals: {told}");
    // As if the fold had not looked: the silence is called covered.
    let (gaps, k) = find(d.path(), Table::Gaps, |b, i| texts(b, "cause")[i] == "silent_stream");
    let begin = ints(&super::harm::batch_of(d.path(), &gaps), "ts_begin")[k];
    let before = |b: &arrow_array::RecordBatch, i: usize| {
        texts(b, "stream")[i] == MARKS && ints(b, "ts_end")[i] == begin
    };
    let (cover, i) = find(d.path(), Table::Coverage, before);
    rewrite(d.path(), &cover, |b| set_int(&b, "ts_end", i, begin + S));
    rewrite(d.path(), &gaps, |b| set_int(&b, "ts_begin", k, begin + S));
    let r = verified(d.path());
    says(&r, CheckId::Coverage, "(1000000000 ns) is called covered without proof");
    assert_eq!(r.check(CheckId::Coverage).faults, 1, "{}", all(&r));
}

#[test]
fn a_stream_is_silent_with_its_connection_and_not_before_it() {
    // A silence of the connection, inside an interval and over the ends of many.
    for silence in [100, 4_000] {
        let d = tempfile::tempdir().unwrap();
        let mut m = Maker::import(d.path());
        let a = m.open(&[]);
        mark(&mut m, a);
        m.wait(S / 2);
        m.trade(a, "BTCUSDT", 0);
        m.wait(silence * S);
        mark(&mut m, a);
        m.wait(S);
        m.trade(a, "BTCUSDT", 0);
        m.stop();
        m.done();
        let r = verified(d.path());
        assert!(r.well, "{silence} s: {}", all(&r));
    }
}
