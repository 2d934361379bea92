//! A column of a batch as the pages of one chunk.

use arrow_array::types::{Float64Type, Int32Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, DictionaryArray, Float64Array, StringArray, cast::AsArray,
};
use parquet::basic::Encoding as Pq;
use parquet::errors::Result;
use parquet::schema::types::ColumnDescPtr;

use super::chunk::{About, Chunk, Pages, Range};
use super::values::{self, Distinct};
use crate::dataset::schema::Encoding;

/// Rows of a page at most: the grain of the page index.
pub(super) const PAGE_ROWS: usize = 32_000;

/// Bytes of a page of binaries, after which it ends.
const PAGE_BYTES: usize = 1 << 20;

/// zstd's table of places for binaries, as a power of two: a quarter of the level's own lies in the first-level cache, and
/// what it forgets is far behind in a stream of messages that look like the last ones.
const BINARY_PLACES: u32 = 12;

/// The longest text whose statistics the library would not shorten, and its largest dictionary.
pub(super) const TEXT_MAX: usize = 64;
const TEXTS_MAX: usize = 1 << 20;

/// What encoding a column needs.
#[derive(Default)]
pub(super) struct Columns {
    pages: Pages,
    distinct: Distinct,
    codes: Vec<u32>,
    values: Vec<u8>,
}

impl Columns {
    /// The column as a chunk in `buffer`; `None` if it is not of a shape known here.
    pub(super) fn encode(
        &mut self,
        encoding: Encoding,
        a: &ArrayRef,
        descr: &ColumnDescPtr,
        buffer: Vec<u8>,
    ) -> Result<Option<Chunk>> {
        self.pages.clear(buffer);
        let known = !a.is_empty() && self.pages_of(encoding, a)?;
        if known { self.pages.finish(descr).map(Some) } else { Ok(None) }
    }

    fn pages_of(&mut self, encoding: Encoding, a: &ArrayRef) -> Result<bool> {
        if let Some(a) = a.as_primitive_opt::<Float64Type>() {
            return self.floats(a, encoding == Encoding::Dictionary);
        }
        if a.null_count() > 0 {
            return Ok(false);
        }
        if let Some(a) = a.as_primitive_opt::<Int64Type>() {
            self.deltas(a.values())
        } else if let Some(a) = a.as_primitive_opt::<Int32Type>() {
            self.smalls(a.values())
        } else if let Some(a) = a.as_dictionary_opt::<Int32Type>() {
            a.values().as_string_opt().map_or(Ok(false), |texts| self.texts(a, texts))
        } else if let Some(a) = a.as_boolean_opt() {
            self.bools(a)
        } else if let Some(a) = a.as_binary_opt() {
            self.binaries(a)
        } else {
            Ok(false)
        }
    }

    /// Ends a page whose values are in `values`.
    fn page(&mut self, rows: usize, nulls: usize, range: Option<Range>, encoding: Pq) -> Result<()> {
        self.pages.add(About { rows, nulls, range, encoding }, &self.values)?;
        self.values.clear();
        Ok(())
    }

    fn deltas(&mut self, all: &[i64]) -> Result<bool> {
        self.values.clear();
        for page in all.chunks(PAGE_ROWS) {
            let (low, high) = values::delta(page, &mut self.values);
            self.page(page.len(), 0, Some(Range::I64(low, high)), Pq::DELTA_BINARY_PACKED)?;
        }
        Ok(true)
    }

    /// Fills `codes` with the place of each value in the sorted dictionary, and writes that.
    fn dictionary<const N: usize>(
        &mut self,
        keys: impl Iterator<Item = u64>,
        plain: impl Fn(u64) -> [u8; N],
    ) -> Result<usize> {
        self.distinct.clear();
        self.codes.clear();
        self.codes.extend(keys.map(|k| self.distinct.code(k)));
        self.distinct.sort();
        self.values.clear();
        for k in self.distinct.keys() {
            self.values.extend_from_slice(&plain(*k));
        }
        self.pages.add_dictionary(self.distinct.keys().len(), &self.values)?;
        self.values.clear();
        Ok(values::index_width(self.distinct.keys().len()))
    }

    fn smalls(&mut self, all: &[i32]) -> Result<bool> {
        let of = values::i32_of_key;
        let width = self.dictionary(all.iter().map(|x| values::key_of_i32(*x)), |k| of(k).to_le_bytes())?;
        let codes = std::mem::take(&mut self.codes);
        for page in codes.chunks(PAGE_ROWS) {
            let range = self.distinct.rank(page, width, &mut self.values);
            let range = range.map(|(low, high)| Range::I32(of(low), of(high)));
            self.page(page.len(), 0, range, Pq::RLE_DICTIONARY)?;
        }
        self.codes = codes;
        Ok(true)
    }

    fn floats(&mut self, a: &Float64Array, dictionary: bool) -> Result<bool> {
        if a.values().iter().any(|x| x.is_nan()) {
            return Ok(false);
        }
        let nulls = a.nulls().filter(|n| n.null_count() > 0);
        let of = values::f64_of_key;
        let mut width = 0;
        if dictionary {
            let plain = |k| of(k).to_le_bytes();
            width = match nulls {
                None => self.dictionary(a.values().iter().map(|x| values::key_of_f64(*x)), plain)?,
                Some(_) => self.dictionary(a.iter().flatten().map(values::key_of_f64), plain)?,
            };
        }
        let codes = std::mem::take(&mut self.codes);
        let mut rest = &codes[..];
        self.values.clear();
        for at in (0..a.len()).step_by(PAGE_ROWS) {
            let rows = PAGE_ROWS.min(a.len() - at);
            let part = nulls.map(|n| n.slice(at, rows)).filter(|n| n.null_count() > 0);
            let missing = part.as_ref().map_or(0, |n| n.null_count());
            values::levels(rows, part.as_ref().map(|n| n.iter()), &mut self.values);
            let (range, encoding) = if dictionary {
                let (page, next) = rest.split_at(rows - missing);
                rest = next;
                (self.distinct.rank(page, width, &mut self.values), Pq::RLE_DICTIONARY)
            } else {
                (self.plain(&a.slice(at, rows), missing > 0), Pq::PLAIN)
            };
            let range = range.map(|(low, high)| Range::F64(of(low), of(high)));
            self.page(rows, missing, range, encoding)?;
        }
        self.codes = codes;
        Ok(true)
    }

    /// The values of a page as they are, and their range.
    fn plain(&mut self, page: &Float64Array, nulls: bool) -> Option<(u64, u64)> {
        let mut range = None;
        let mut put = |x: f64| {
            self.values.extend_from_slice(&x.to_le_bytes());
            let k = values::key_of_f64(x);
            let (low, high) = range.unwrap_or((k, k));
            range = Some((k.min(low), k.max(high)));
        };
        if nulls {
            page.iter().flatten().for_each(&mut put);
        } else {
            page.values().iter().copied().for_each(&mut put);
        }
        range
    }

    /// The texts stand in a dictionary already.
    fn texts(&mut self, a: &DictionaryArray<Int32Type>, texts: &StringArray) -> Result<bool> {
        let bytes = texts.value_data().len() + 4 * texts.len();
        if texts.null_count() > 0 || bytes > TEXTS_MAX || texts.iter().flatten().any(|t| t.len() > TEXT_MAX) {
            return Ok(false);
        }
        self.values.clear();
        for t in texts.iter().flatten() {
            self.values.extend_from_slice(&(t.len() as u32).to_le_bytes());
            self.values.extend_from_slice(t.as_bytes());
        }
        self.pages.add_dictionary(texts.len(), &self.values)?;
        self.values.clear();
        let width = values::index_width(texts.len());
        let mut used = vec![false; texts.len()];
        for page in a.keys().values().chunks(PAGE_ROWS) {
            used.fill(false);
            page.iter().for_each(|k| used[*k as usize] = true);
            let seen = || texts.iter().flatten().zip(&used).filter(|(_, used)| **used).map(|(t, _)| t);
            let range = seen().min().zip(seen().max());
            let range = range.map(|(low, high)| Range::Text(low.into(), high.into()));
            values::indices(page.iter().map(|k| *k as u32), width, &mut self.values);
            self.page(page.len(), 0, range, Pq::RLE_DICTIONARY)?;
        }
        Ok(true)
    }

    fn bools(&mut self, a: &BooleanArray) -> Result<bool> {
        self.values.clear();
        for at in (0..a.len()).step_by(PAGE_ROWS) {
            let part = a.slice(at, PAGE_ROWS.min(a.len() - at));
            values::bits(part.values().iter(), &mut self.values);
            let set = part.values().count_set_bits();
            let range = Range::Bool(set == part.len(), set > 0);
            self.page(part.len(), 0, Some(range), Pq::PLAIN)?;
        }
        Ok(true)
    }

    /// Without statistics: the smallest and largest payload say nothing.
    fn binaries(&mut self, a: &BinaryArray) -> Result<bool> {
        self.values.clear();
        self.pages.set_places(BINARY_PLACES)?;
        let mut rows = 0;
        for i in 0..a.len() {
            let v = a.value(i);
            self.values.extend_from_slice(&(v.len() as u32).to_le_bytes());
            self.values.extend_from_slice(v);
            rows += 1;
            if rows == PAGE_ROWS || self.values.len() >= PAGE_BYTES || i + 1 == a.len() {
                self.page(std::mem::take(&mut rows), 0, None, Pq::PLAIN)?;
            }
        }
        self.pages.set_places(0)?;
        Ok(true)
    }
}
