//! The exact L2 book.

use super::canon;
use super::half::{Half, Levels};
use crate::model::num::rescale;
use crate::model::{Level, Side};

/// What one level entry did to the book; the dataset counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The price was not in the book and is now.
    New,
    /// Its size changed.
    Changed,
    /// It had this size already.
    Same,
    /// It was in the book and is gone.
    Removed,
    /// It was not in the book and was to be removed: normal, whatever the price.
    Absent,
}

impl Change {
    /// What going from one size to another is; 0 = not in the book.
    #[inline]
    pub(super) fn between(before: i64, after: i64) -> Change {
        // A table and not a match: which it is cannot be predicted.
        let kinds = [Change::Absent, Change::New, Change::Removed, Change::Changed, Change::Same];
        let both = before != 0 && after != 0 && before == after;
        kinds[2 * usize::from(before != 0) + usize::from(after != 0) + usize::from(both)]
    }
}

/// What the levels of one message did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// A level appeared.
    pub new: u32,
    /// A level's size changed.
    pub change: u32,
    /// A level's size was sent again.
    pub same: u32,
    /// A level went.
    pub removed: u32,
    /// A removal of a level that was not there.
    pub absent: u32,
}

impl Changes {
    /// Counts one level.
    pub fn add(&mut self, what: Change) {
        match what {
            Change::New => self.new += 1,
            Change::Changed => self.change += 1,
            Change::Same => self.same += 1,
            Change::Removed => self.removed += 1,
            Change::Absent => self.absent += 1,
        }
    }
}

/// A level does not fit `i64` under the wanted exponents; the book is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("price {price}, size {size}: not representable under the new exponents")]
pub struct RescaleError {
    /// Price mantissa under the old exponent.
    pub price: i64,
    /// Size mantissa under the old exponent.
    pub size: i64,
}

/// One instrument's book: sizes by price, both mantissas, any `i64` price, never truncated.
///
/// Setting, removing and reading a level take constant time near and far from the touch; both best prices and the
/// numbers of levels are at hand, and the best *n* levels cost *n* steps. [`Book::clear`] keeps all memory and what the
/// book has learned of its prices: the same traffic again allocates nothing. A move or a widening of the grid does, and
/// is rare.
///
/// Memory per side: 12 KiB from the first level on, 0.54 MiB where prices millions of ticks away are told often; 260
/// bytes for each 32 ticks in use, of which there are at most 128 more than levels and at most 4,096, the best ones; 16
/// to 43 bytes for any other level. So a book of 1,000 levels a side near the touch takes 0.15 MiB, and no book more
/// than 3.2 MiB and what levels beyond 4,096 pages need. Those other levels (off the common grid, more than 4 million
/// ticks away, or without a page) are exact too and cost the logarithm of their number.
///
/// The exponents are not in here: whoever owns the instrument has them.
///
/// ```
/// use lobtape::book::{Book, Change};
/// use lobtape::model::{Level, Side};
///
/// let mut book = Book::new();
/// assert_eq!(book.set(Side::Bid, 6_180_020, 5), Change::New);
/// assert_eq!(book.set(Side::Ask, 6_180_030, 7), Change::New);
/// assert_eq!(book.set(Side::Bid, 6_180_050, 0), Change::Absent);
/// assert_eq!(book.best(Side::Bid), Some(Level { price: 6_180_020, size: 5 }));
/// assert!(!book.is_crossed());
/// ```
#[derive(Clone, Debug)]
pub struct Book {
    bids: Half,
    asks: Half,
}

impl Default for Book {
    fn default() -> Book {
        Book::new()
    }
}

impl Book {
    /// An empty book. Allocates nothing until the first level.
    pub fn new() -> Book {
        Book { bids: Half::new(true), asks: Half::new(false) }
    }

    /// Removes every level; memory is kept.
    pub fn clear(&mut self) {
        self.bids.clear();
        self.asks.clear();
    }

    #[inline]
    fn half(&self, side: Side) -> &Half {
        match side {
            Side::Bid => &self.bids,
            Side::Ask => &self.asks,
        }
    }

    /// Sets the size of a level; 0 (or less) removes it.
    #[inline]
    pub fn set(&mut self, side: Side, price: i64, size: i64) -> Change {
        match side {
            Side::Bid => self.bids.set(price, size),
            Side::Ask => self.asks.set(price, size),
        }
    }

    /// Sets the levels of a message, sizes of 0 (or less) remove. As [`Book::set`] for each in turn, but faster, since
    /// nobody asks what each one did; returns how many were to be removed and were not there.
    #[inline]
    pub fn apply(&mut self, bids: &[Level], asks: &[Level]) -> u32 {
        let mut changes = Changes::default();
        self.bids.apply::<false>(planted!("bid_lost", bids.get(1..).unwrap_or_default(), bids), &mut changes);
        self.asks.apply::<false>(asks, &mut changes);
        changes.absent
    }

    /// As [`Book::apply`], and counts what the levels did.
    pub fn apply_counted(&mut self, bids: &[Level], asks: &[Level]) -> Changes {
        let mut changes = Changes::default();
        self.bids.apply::<true>(bids, &mut changes);
        self.asks.apply::<true>(asks, &mut changes);
        changes
    }

    /// Levels and pages that were moved or looked through beside plain stores, since the book was made. What a venue
    /// can drive up with prices chosen for it; it stays below a constant per level set.
    pub fn work(&self) -> u64 {
        self.bids.work() + self.asks.work()
    }

    /// The size at a price, 0 if there is none.
    #[inline]
    pub fn get(&self, side: Side, price: i64) -> i64 {
        self.half(side).get(price)
    }

    /// The best level: highest bid, lowest ask.
    #[inline]
    pub fn best(&self, side: Side) -> Option<Level> {
        self.half(side).best()
    }

    /// Number of levels.
    #[inline]
    pub fn len(&self, side: Side) -> usize {
        self.half(side).len()
    }

    /// Whether both sides are empty.
    pub fn is_empty(&self) -> bool {
        self.bids.len() == 0 && self.asks.len() == 0
    }

    /// Levels, best first.
    pub fn levels(&self, side: Side) -> Levels<'_> {
        self.half(side).levels()
    }

    /// Replaces the content of `out` by the best `n` levels.
    pub fn top(&self, side: Side, n: usize, out: &mut Vec<Level>) {
        out.clear();
        out.extend(self.levels(side).take(n));
    }

    /// Whether the best bid is at or above the best ask. An empty side crosses nothing.
    #[inline]
    pub fn is_crossed(&self) -> bool {
        match (self.bids.best(), self.asks.best()) {
            (Some(bid), Some(ask)) => bid.price >= ask.price,
            _ => false,
        }
    }

    /// Moves every level to other exponents (numbers of decimals). Allocates; exponents widen rarely.
    ///
    /// # Errors
    /// [`RescaleError`] names the first level that would lose digits or overflow; then nothing has changed.
    pub fn rescale(
        &mut self,
        price_from: u8,
        price_to: u8,
        size_from: u8,
        size_to: u8,
    ) -> Result<(), RescaleError> {
        let moved = |half: &Half| {
            half.levels()
                .map(|l| {
                    match (rescale(l.price, price_from, price_to), rescale(l.size, size_from, size_to)) {
                        (Some(price), Some(size)) => Ok(Level { price, size }),
                        _ => Err(RescaleError { price: l.price, size: l.size }),
                    }
                })
                .collect::<Result<Vec<Level>, RescaleError>>()
        };
        let (bids, asks) = (moved(&self.bids)?, moved(&self.asks)?);
        self.bids.rescale(&bids);
        self.asks.rescale(&asks);
        Ok(())
    }

    /// CRC-32 (IEEE 802.3) of the canonical text of the whole book under these exponents.
    pub fn checksum(&self, price_exp: u8, size_exp: u8) -> u32 {
        self.checksum_top(usize::MAX, price_exp, size_exp)
    }

    /// As [`Book::checksum`], of the best `n` levels of each side.
    pub fn checksum_top(&self, n: usize, price_exp: u8, size_exp: u8) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        let mut text = canon::Text::new(price_exp, size_exp, |bytes| crc.update(bytes));
        text.book(self.levels(Side::Bid).take(n), self.levels(Side::Ask).take(n));
        crc.finalize()
    }

    /// Appends the canonical text: `price:size;` per level, bids highest first, `|`, asks lowest first, numbers
    /// without trailing zeros (`10.5:2;10:1;|11:0.3;`).
    pub fn write_canonical(&self, out: &mut Vec<u8>, price_exp: u8, size_exp: u8) {
        let mut text = canon::Text::new(price_exp, size_exp, |bytes| out.extend_from_slice(bytes));
        text.book(self.levels(Side::Bid), self.levels(Side::Ask));
    }

    /// Appends the line that the running checksum of tops is fed with after update `id`:
    /// `<id>;<bid price>;<bid size>;<ask price>;<ask size>;<bids>;<asks>\n`, an empty side as `-;-`.
    pub fn write_tops_line(&self, out: &mut Vec<u8>, id: i64, price_exp: u8, size_exp: u8) {
        let mut text = canon::Text::new(price_exp, size_exp, |bytes| out.extend_from_slice(bytes));
        text.tops(
            id,
            [self.best(Side::Bid), self.best(Side::Ask)],
            [self.len(Side::Bid) as i64, self.len(Side::Ask) as i64],
        );
    }

    /// Bytes held, used or not.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Book>() + self.bids.bytes() + self.asks.bytes()
    }
}

/// Two books are equal when they hold the same levels, whatever their history.
impl PartialEq for Book {
    fn eq(&self, other: &Book) -> bool {
        [Side::Bid, Side::Ask]
            .into_iter()
            .all(|s| self.len(s) == other.len(s) && self.levels(s).eq(other.levels(s)))
    }
}

impl Eq for Book {}

/// What a checkpoint keeps of a book: its levels, best first.
#[derive(serde::Serialize, serde::Deserialize)]
struct Kept {
    bids: Vec<Level>,
    asks: Vec<Level>,
}

impl serde::Serialize for Book {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        Kept { bids: self.levels(Side::Bid).collect(), asks: self.levels(Side::Ask).collect() }.serialize(s)
    }
}

impl<'de> serde::Deserialize<'de> for Book {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Book, D::Error> {
        let kept = Kept::deserialize(d)?;
        let mut book = Book::new();
        book.apply(&kept.bids, &kept.asks);
        Ok(book)
    }
}
