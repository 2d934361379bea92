//! The book at a time: the rule of `DATASET.md`, reading as little as it needs.
//!
//! > Rows with `ts_recv <= T` in the greatest such epoch; last `size` per `(side, price)` by `row`; keep `size > 0`.

use std::path::Path;

use rustc_hash::FxHashMap;

use super::error::DatasetError;
use super::layout::Dataset;
use super::manifest::PartRecord;
use super::read::{self, Batch, Want};
use super::schema::Table;
use crate::model::{flags, time};

const COLUMNS: [&str; 8] = ["row", "ts_recv", "flags", "seq_last", "book_epoch", "side", "price", "size"];

/// A book out of the dataset. Prices and sizes are the doubles of the files: the nearest to the venue's text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BookAt {
    /// Epoch of the book; 0 if there is no row at all before that time on that UTC day.
    pub book_epoch: i64,
    /// Last update id; −1 if none.
    pub seq_last: i64,
    /// `ts_recv` of the last row used; 0 if none.
    pub ts_recv: i64,
    /// Flags of the last row used.
    pub flags: i32,
    /// Bids, best first: price, size.
    pub bids: Vec<(f64, f64)>,
    /// Asks, best first: price, size.
    pub asks: Vec<(f64, f64)>,
}

impl BookAt {
    /// Whether the time lies in a gap (or before the first proof): nothing is known of the book.
    pub fn in_gap(&self) -> bool {
        self.book_epoch == 0 || self.flags & flags::CLEAR != 0
    }
}

/// The book of an instrument at `at` (ns since the Unix epoch). Empty inside a gap. `None`: the dataset has no
/// `book_delta` of that instrument at all.
///
/// # Errors
/// The file system's, or a damaged file.
pub fn book_at(ds: &Dataset, venue: &str, symbol: &str, at: i64) -> Result<Option<BookAt>, DatasetError> {
    let manifest = ds.manifest()?;
    let parts = manifest.select(Table::BookDelta, venue, symbol);
    if parts.is_empty() {
        return Ok(None);
    }
    let date = time::date_text(time::day_of(at));
    let day: Vec<&PartRecord> = parts.into_iter().filter(|p| p.date == date && p.ts_min <= at).collect();
    let mut fold = Fold::default();
    for p in &day[first_needed(&day, at)..] {
        fold.file(&ds.root().join(&p.path), at)?;
    }
    Ok(Some(fold.done()))
}

/// Every part opens with the whole book, so the last one that begins in time is enough, unless the clock stepped back
/// and an earlier part reaches beyond `at`: then the rule is applied to the whole day.
fn first_needed(day: &[&PartRecord], at: i64) -> usize {
    let last = day.len().saturating_sub(1);
    if day.iter().take(last).any(|p| p.ts_max > at) { 0 } else { last }
}

#[derive(Default)]
struct Fold {
    epoch: i64,
    /// Size bits by side and price bits.
    levels: FxHashMap<(i32, u64), f64>,
    seq_last: i64,
    ts_recv: i64,
    flags: i32,
}

impl Fold {
    fn file(&mut self, path: &Path, at: i64) -> Result<(), DatasetError> {
        let want = Want { columns: &COLUMNS, ts_recv_max: Some(at), ..Want::default() };
        for batch in read::open(path, want)? {
            self.batch(&batch?, at)?;
        }
        Ok(())
    }

    fn batch(&mut self, b: &Batch, at: i64) -> Result<(), DatasetError> {
        let (ts, epoch, flag) = (b.i64("ts_recv")?, b.i64("book_epoch")?, b.i32("flags")?);
        let (seq, side) = (b.i64("seq_last")?, b.i32("side")?);
        let (price, size) = (b.f64("price")?, b.f64("size")?);
        for i in 0..b.rows() {
            if ts[i] > at || epoch[i] < self.epoch {
                continue;
            }
            if epoch[i] > self.epoch {
                self.epoch = epoch[i];
                self.levels.clear();
            }
            (self.seq_last, self.ts_recv, self.flags) = (seq[i], ts[i], flag[i]);
            if side[i] != 0 {
                self.levels.insert((side[i], price.value(i).to_bits()), size.value(i));
            }
        }
        Ok(())
    }

    fn done(self) -> BookAt {
        let side = |want: i32| {
            let mut v: Vec<(f64, f64)> = self
                .levels
                .iter()
                .filter(|((s, _), size)| *s == want && **size > 0.0)
                .map(|((_, p), size)| (f64::from_bits(*p), *size))
                .collect();
            v.sort_by(|a, b| if want > 0 { b.0.total_cmp(&a.0) } else { a.0.total_cmp(&b.0) });
            v
        };
        BookAt {
            book_epoch: self.epoch,
            seq_last: if self.epoch == 0 { -1 } else { self.seq_last },
            ts_recv: self.ts_recv,
            flags: self.flags,
            bids: side(1),
            asks: side(-1),
        }
    }
}
