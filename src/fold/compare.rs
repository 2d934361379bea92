//! A proven book against a snapshot: level by level, as far as both of them know the prices. Cold: once in a while, when a
//! stream has been quiet for long and in audits.

use super::state::BookState;
use crate::book::{Book, same_id_space};
use crate::model::{Depth, IdPolicy, Level, Side};

/// Price and size.
type Entry = (i64, i64);

/// The prices that both the book and a snapshot know completely, ends included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// Lowest bid.
    pub bid: i64,
    /// Highest ask.
    pub ask: i64,
}

impl Known {
    /// Of a book that knows prices up to its own horizons, and of a snapshot with at most `limit` levels a side: a side that
    /// has fewer is whole.
    pub fn of(horizons: (Option<i64>, Option<i64>), bids: &[Level], asks: &[Level], limit: usize) -> Known {
        let bid = bids.iter().map(|l| l.price).min().filter(|_| bids.len() >= limit);
        let ask = asks.iter().map(|l| l.price).max().filter(|_| asks.len() >= limit);
        Known {
            bid: bid.max(horizons.0).unwrap_or(i64::MIN),
            ask: match (ask, horizons.1) {
                (Some(a), Some(b)) => a.min(b),
                (a, b) => a.or(b).unwrap_or(i64::MAX),
            },
        }
    }

    fn has(self, side: Side, price: i64) -> bool {
        match side {
            Side::Bid => price >= self.bid,
            Side::Ask => price <= self.ask,
        }
    }
}

/// Where the book is not what it was at the snapshot. Sorted by price, each price once.
#[derive(Clone, Debug, Default)]
pub(super) struct Since {
    /// Sizes that the levels had then, 0 = there was none.
    pub were: [Vec<Entry>; 2],
    /// Levels of which nobody can say what they were: they are left out.
    pub unsure: [Vec<i64>; 2],
}

/// What a comparison comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    /// Levels that were compared: those that either has.
    pub compared: i64,
    /// Of these, those with another size, or none, on the other side.
    pub wrong: i64,
    /// Best rank in the snapshot of a wrong level, 0 = best price; −1 if none is wrong.
    pub worst_rank: i64,
    /// Levels that were left out because nobody can say what they were, and that differ.
    pub unsure: i64,
    /// Levels of either that were left out because the other one does not know them.
    pub beyond: i64,
}

/// Both sides of a book against those of a snapshot.
pub(super) fn compare(book: &Book, since: &Since, (bids, asks): (&[Level], &[Level]), known: Known) -> Sums {
    let mut sums = Sums { worst_rank: -1, ..Sums::default() };
    one_side(book, since, Side::Bid, bids, known, &mut sums);
    one_side(book, since, Side::Ask, asks, known, &mut sums);
    sums
}

/// Whether a snapshot is newer than the book and shows other levels than it has. A greater id alone says nothing: ids are
/// shared by all symbols, and a snapshot's may lie between two events. `limit`: levels a side that the snapshot has at most.
pub(super) fn is_ahead(b: &BookState, d: &Depth<'_>, limit: usize) -> bool {
    if d.last <= b.seq.last() {
        return false;
    }
    let known = Known::of((b.bid_horizon, b.ask_horizon), d.bids, d.asks, limit);
    compare(&b.book, &Since::default(), (d.bids, d.asks), known).wrong > 0
}

/// Levels a side that the smallest topic of whole views shows.
const SHOWN: usize = 5;

/// The same for a dialect whose stream shows a book's best levels, in ids that may be of another counter than those of
/// snapshots. Levels that have left what it shows it need not tell of, so only the best ones are compared. `heard`: receive
/// time of the stream's last frame.
///
/// While the ids are being learned, what came after the last whole view is part of what the stream has said.
pub(super) fn has_moved(b: &BookState, d: &Depth<'_>, heard: i64) -> bool {
    let mut book = Book::new();
    let all = |side| b.book.levels(side).collect::<Vec<Level>>();
    book.apply(&all(Side::Bid), &all(Side::Ask));
    let mut last = b.seq.last();
    if b.seq.policy() == IdPolicy::Learn {
        for e in b.buffer.iter() {
            book.apply(e.bids, e.asks);
            last = last.max(e.ids.last);
        }
    }
    let is_newer = if same_id_space(last.max(1), d.last.max(1)) { d.last > last } else { d.ts_event > heard };
    if !is_newer {
        return false;
    }
    let known = Known::of((b.bid_horizon, b.ask_horizon), d.bids, d.asks, 1);
    let bids = best_of(&book, Side::Bid, d.bids, known);
    let asks = best_of(&book, Side::Ask, d.asks, known);
    (bids.0 != bids.1 || asks.0 != asks.1) && !is_in_other_units(&[bids, asks])
}

/// The best levels of a book and of a snapshot, as deep as both of them are known.
fn best_of(book: &Book, side: Side, snapshot: &[Level], known: Known) -> (Vec<Level>, Vec<Level>) {
    let better = |a: &Level, b: &Level| if side == Side::Bid { a.price > b.price } else { a.price < b.price };
    let mut ours: Vec<Level> = book.levels(side).filter(|l| known.has(side, l.price)).collect();
    let shown = snapshot.iter().filter(|l| l.size > 0 && known.has(side, l.price));
    let mut theirs: Vec<Level> = shown.copied().collect();
    theirs.sort_unstable_by_key(|l| if side == Side::Bid { l.price.saturating_neg() } else { l.price });
    for ends in [ours.get(SHOWN - 1).copied(), theirs.get(SHOWN - 1).copied()].into_iter().flatten() {
        ours.retain(|l| !better(&ends, l));
        theirs.retain(|l| !better(&ends, l));
    }
    (ours, theirs)
}

/// Whether all prices are the same, and all sizes in one ratio: what a size on the socket counts nobody has shown.
fn is_in_other_units(sides: &[(Vec<Level>, Vec<Level>)]) -> bool {
    let mut ratio = None;
    let mut levels = 0;
    for (ours, theirs) in sides {
        if ours.len() != theirs.len() {
            return false;
        }
        for (o, t) in ours.iter().zip(theirs) {
            let (a, b) = *ratio.get_or_insert((i128::from(o.size), i128::from(t.size)));
            if o.price != t.price || i128::from(o.size) * b != i128::from(t.size) * a {
                return false;
            }
            levels += 1;
        }
    }
    levels > 1
}

fn one_side(book: &Book, since: &Since, side: Side, snapshot: &[Level], known: Known, sums: &mut Sums) {
    let n = usize::from(side == Side::Ask);
    let (were, unsure) = (&since.were[n], &since.unsure[n]);
    let is_old = |p: i64| were.binary_search_by_key(&p, |w| w.0).is_ok();
    let mut ours: Vec<Entry> =
        book.levels(side).map(|l| (l.price, l.size)).filter(|l| !is_old(l.0)).collect();
    ours.extend(were.iter().filter(|w| w.1 > 0));
    let mut theirs: Vec<Entry> = snapshot.iter().map(|l| (l.price, l.size)).filter(|l| l.1 > 0).collect();
    let all = ours.len() + theirs.len();
    for list in [&mut ours, &mut theirs] {
        list.retain(|l| known.has(side, l.0));
        list.sort_unstable_by(|a, b| if side == Side::Bid { b.0.cmp(&a.0) } else { a.0.cmp(&b.0) });
        list.dedup_by_key(|l| l.0);
    }
    sums.beyond += (all - ours.len() - theirs.len()) as i64;
    let better = |a: i64, b: i64| if side == Side::Bid { a > b } else { a < b };
    let (mut i, mut j) = (0, 0);
    loop {
        let (rank, have, has) = (j as i64, ours.get(i), theirs.get(j));
        let price = match (have, has) {
            (None, None) => return,
            (Some(o), None) => o.0,
            (None, Some(t)) => t.0,
            (Some(o), Some(t)) => {
                if better(t.0, o.0) {
                    t.0
                } else {
                    o.0
                }
            }
        };
        let have = have.filter(|o| o.0 == price).map(|o| o.1);
        let has = has.filter(|t| t.0 == price).map(|t| t.1);
        (i, j) = (i + usize::from(have.is_some()), j + usize::from(has.is_some()));
        if unsure.binary_search(&price).is_ok() {
            sums.unsure += i64::from(have != has);
            continue;
        }
        sums.compared += 1;
        if have != has {
            sums.wrong += 1;
            sums.worst_rank = if sums.worst_rank < 0 { rank } else { sums.worst_rank.min(rank) };
        }
    }
}
