//! Books that end in a gap and come back: what stands in the files, and what may not.

use arrow_array::RecordBatch;

use super::harm::{bits, copy, find, ints, rewrite, says, set_int, set_size};
use super::maker::{Maker, S, VENUE};
use super::{all, rebuilt, verified};
use crate::dataset::{Table, book_at::book_at};
use crate::model::flags;
use crate::verify::CheckId;

#[test]
fn a_book_asked_for_inside_a_long_gap_is_empty_and_what_comes_back_must_be_what_was() {
    let d = tempfile::tempdir().unwrap();
    let mut m = Maker::new(d.path());
    let a = m.open(&["BTCUSDT"]);
    m.sync(a, "BTCUSDT");
    m.beats(a, "BTCUSDT", 5);
    let lost = m.ts;
    m.conn_event(a, "close", "venue_disconnect");
    // The venue is away for an hour, and sends nothing meanwhile.
    m.wait(3_600 * S);
    let b = m.open(&["BTCUSDT"]);
    m.beats(b, "BTCUSDT", 5);
    let back = m.ts;
    m.wait(S);
    m.stop();
    let book = |at| book_at(&m.ds, VENUE, "BTCUSDT", at).unwrap().unwrap();
    assert!(!book(lost).in_gap() && !book(lost).bids.is_empty());
    let inside = book(lost + 1_800 * S);
    assert!(inside.in_gap() && inside.bids.is_empty() && inside.asks.is_empty(), "{inside:?}");
    let after = book(back);
    assert!(
        !after.in_gap() && after.bids.len() >= book(lost).bids.len() && after.book_epoch > inside.book_epoch
    );
    m.done();
    let r = verified(d.path());
    assert!(r.well, "{}", all(&r));
    assert_eq!(r.check(CheckId::Books).counts.get("came_back"), Some(&1));
    let o = rebuilt(d.path(), None);
    assert!(o.is_equal() && o.equal > 0, "{o:?}");
    // Another book than the one that ended is a lie, and so is one of another id.
    let came = flags::SNAPSHOT | flags::CARRIED;
    let is = move |b: &RecordBatch, i: usize| {
        bits(b)[i] & came == came && ints(b, "ts_recv")[i] > lost + 1_800 * S
    };
    for (what, edit) in [
        ("is not the book of the rows before it", set_size as fn(&RecordBatch, usize, f64) -> RecordBatch),
        ("comes back that ended at", |b, i, _| {
            let last = ints(b, "seq_last")[i];
            let of = (0..b.num_rows()).filter(|k| ints(b, "seq_last")[*k] == last && bits(b)[*k] & 256 != 0);
            of.fold(b.clone(), |b, k| set_int(&b, "seq_last", k, last - 1))
        }),
    ] {
        let d = copy(&d);
        let (p, i) = find(d.path(), Table::BookDelta, is);
        rewrite(d.path(), &p, |b| edit(&b, i, 77.0));
        says(&verified(d.path()), CheckId::Books, what);
    }
    // And so is a book that nobody ended.
    let ends = |b: &RecordBatch, i: usize| bits(b)[i] & flags::CLEAR != 0 && i + 1 == b.num_rows();
    let (p, i) = find(d.path(), Table::BookDelta, ends);
    assert!(i > 0);
    rewrite(d.path(), &p, |b| b.slice(0, i));
    says(&verified(d.path()), CheckId::Coverage, "the book goes on through the gap");
}
