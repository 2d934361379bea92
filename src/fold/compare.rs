//! A proven book against a snapshot that nobody waits for. Cold: once in a while, when a stream has been quiet for long.

use super::state::BookState;
use crate::book::Book;
use crate::model::{Depth, Level, Side};

/// Whether a snapshot is newer than the book and shows other levels than it has. A greater id alone says nothing: ids are
/// shared by all symbols, and a snapshot's may lie between two events. Levels beyond what either of them knows are left
/// out. `limit`: levels a side that the snapshot has at most.
pub(super) fn is_ahead(b: &BookState, d: &Depth<'_>, limit: usize) -> bool {
    if d.last <= b.seq.last() {
        return false;
    }
    let bids = d.bids.iter().map(|l| l.price).min().filter(|_| d.bids.len() >= limit);
    let asks = d.asks.iter().map(|l| l.price).max().filter(|_| d.asks.len() >= limit);
    let bid = bids.max(b.bid_horizon).unwrap_or(i64::MIN);
    let ask = match (asks, b.ask_horizon) {
        (Some(a), Some(b)) => a.min(b),
        (a, b) => a.or(b).unwrap_or(i64::MAX),
    };
    differs(&b.book, Side::Bid, d.bids, &|p| p >= bid) || differs(&b.book, Side::Ask, d.asks, &|p| p <= ask)
}

fn differs(book: &Book, side: Side, snapshot: &[Level], known: &dyn Fn(i64) -> bool) -> bool {
    let mut theirs: Vec<(i64, i64)> =
        snapshot.iter().map(|l| (l.price, l.size)).filter(|l| known(l.0)).collect();
    theirs.sort_unstable();
    let mut ours: Vec<(i64, i64)> =
        book.levels(side).map(|l| (l.price, l.size)).filter(|l| known(l.0)).collect();
    ours.sort_unstable();
    ours != theirs
}
