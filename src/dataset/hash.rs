//! `rows_sha256`: a hash of what a file says, free of how it says it, so that files of different versions compare.
//!
//! SHA-256 over rows in `row` order, columns in schema order: integers little-endian, booleans one byte, floats a
//! presence byte and then the value if there is one, texts and binaries a `u32` length and the bytes.

use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, DictionaryArray, Float64Array, RecordBatch, StringArray,
    cast::AsArray,
};
use arrow_schema::DataType;

use crate::sys::sha::{Sha256, update_both};

/// Rows laid out at once: a block stays in the first-level cache until it is hashed.
const BLOCK: usize = 128;

/// The running hash of a part's rows.
#[derive(Clone, Default)]
pub struct RowsHash {
    sha: Sha256,
    /// Rows of one block, one after the other.
    block: Vec<u8>,
    /// Bytes of `block` that are rows.
    laid: usize,
    /// Bytes of those that are hashed.
    taken: usize,
    /// The texts that stand in the rows of `block` at the same place; none if its rows differ in length.
    same: Vec<u8>,
    /// Where the next cell of each row goes, for rows that differ in length.
    ends: Vec<usize>,
    /// Bytes of each cell, for rows of one length.
    widths: Vec<usize>,
}

enum Cells<'a> {
    I64(&'a [i64]),
    I32(&'a [i32]),
    F64(&'a Float64Array),
    Text(&'a [i32], &'a DictionaryArray<Int32Type>, &'a StringArray),
    Bool(&'a BooleanArray),
    Binary(&'a BinaryArray),
}

impl<'a> Cells<'a> {
    fn of(a: &'a ArrayRef) -> Option<Cells<'a>> {
        Some(match a.data_type() {
            DataType::Int64 => Cells::I64(a.as_primitive_opt::<Int64Type>()?.values()),
            DataType::Int32 => Cells::I32(a.as_primitive_opt::<Int32Type>()?.values()),
            DataType::Float64 => Cells::F64(a.as_primitive_opt()?),
            DataType::Boolean => Cells::Bool(a.as_boolean_opt()?),
            DataType::Binary => Cells::Binary(a.as_binary_opt()?),
            DataType::Dictionary(_, _) => {
                let d: &DictionaryArray<Int32Type> = a.as_dictionary_opt()?;
                Cells::Text(d.keys().values(), d, d.values().as_string_opt()?)
            }
            _ => return None,
        })
    }

    /// Bytes of the cell in these rows, if they are the same in all.
    fn width(&self, at: usize, n: usize) -> Option<usize> {
        match self {
            Cells::I64(_) => Some(8),
            Cells::I32(_) => Some(4),
            Cells::Bool(_) => Some(1),
            Cells::Binary(_) => None,
            Cells::F64(a) => (a.null_count() == 0).then_some(9),
            Cells::Text(keys, d, texts) => {
                let first = keys[at];
                let same = d.null_count() == 0 && keys[at..at + n].iter().all(|k| *k == first);
                same.then(|| 4 + texts.value(first as usize).len())
            }
        }
    }

    /// Adds the bytes of the cell of each row to its length.
    fn lengths(&self, at: usize, lens: &mut [usize]) {
        let lens = lens.iter_mut().zip(at..);
        match self {
            Cells::Binary(a) => lens.for_each(|(n, i)| *n += 4 + a.value_length(i) as usize),
            Cells::F64(a) => lens.for_each(|(n, i)| *n += if a.is_valid(i) { 9 } else { 1 }),
            Cells::Text(_, d, texts) => {
                lens.for_each(|(n, i)| *n += 4 + d.key(i).map_or(0, |k| texts.value(k).len()));
            }
            Cells::I64(_) => lens.for_each(|(n, _)| *n += 8),
            Cells::I32(_) => lens.for_each(|(n, _)| *n += 4),
            Cells::Bool(_) => lens.for_each(|(n, _)| *n += 1),
        }
    }

    /// The cell of each row to its place, which moves on behind it.
    fn scatter(&self, at: usize, ends: &mut [usize], out: &mut [u8]) {
        let mut to = |end: &mut usize, b: &[u8]| {
            out[*end..*end + b.len()].copy_from_slice(b);
            *end += b.len();
        };
        let rows = ends.iter_mut().zip(at..);
        match self {
            Cells::I64(v) => rows.for_each(|(end, i)| to(end, &v[i].to_le_bytes())),
            Cells::I32(v) => rows.for_each(|(end, i)| to(end, &v[i].to_le_bytes())),
            Cells::Bool(a) => rows.for_each(|(end, i)| to(end, &[u8::from(a.value(i))])),
            Cells::F64(a) => rows.for_each(|(end, i)| {
                to(end, &[u8::from(a.is_valid(i))]);
                if a.is_valid(i) {
                    to(end, &a.value(i).to_le_bytes());
                }
            }),
            Cells::Binary(a) => rows.for_each(|(end, i)| {
                to(end, &(a.value(i).len() as u32).to_le_bytes());
                to(end, a.value(i));
            }),
            Cells::Text(_, d, texts) => rows.for_each(|(end, i)| {
                // As `put` has it.
                let text = d.key(i).map(|k| texts.value(k));
                to(end, &text.map_or(u32::MAX, |t| t.len() as u32).to_le_bytes());
                to(end, text.unwrap_or("").as_bytes());
            }),
        }
    }

    /// The cell as its bytes, behind what is there.
    fn put(&self, i: usize, out: &mut Vec<u8>) {
        match self {
            Cells::I64(v) => out.extend_from_slice(&v[i].to_le_bytes()),
            Cells::I32(v) => out.extend_from_slice(&v[i].to_le_bytes()),
            Cells::Bool(a) => out.push(u8::from(a.value(i))),
            Cells::Binary(a) => put_bytes(a.value(i), out),
            Cells::F64(a) if a.is_valid(i) => {
                out.push(1);
                out.extend_from_slice(&a.value(i).to_le_bytes());
            }
            Cells::F64(_) => out.push(0),
            // No table has null texts; a damaged file that has some must differ from one with empty texts.
            Cells::Text(_, d, texts) => match d.key(i) {
                Some(k) => put_bytes(texts.value(k).as_bytes(), out),
                None => out.extend_from_slice(&u32::MAX.to_le_bytes()),
            },
        }
    }

    /// The cells of rows of one length, each to its place in its row; not those that are the same in all.
    fn spread(&self, at: usize, rows: &mut [u8], row: usize, to: usize) {
        let rows = rows.chunks_exact_mut(row);
        match self {
            Cells::I64(v) => {
                rows.zip(&v[at..]).for_each(|(r, x)| r[to..to + 8].copy_from_slice(&x.to_le_bytes()))
            }
            Cells::I32(v) => {
                rows.zip(&v[at..]).for_each(|(r, x)| r[to..to + 4].copy_from_slice(&x.to_le_bytes()))
            }
            Cells::F64(a) => rows
                .zip(&a.values()[at..])
                .for_each(|(r, x)| r[to + 1..to + 9].copy_from_slice(&x.to_le_bytes())),
            Cells::Bool(a) => rows.zip(at..).for_each(|(r, i)| r[to] = u8::from(a.value(i))),
            Cells::Text(..) | Cells::Binary(_) => {}
        }
    }
}

fn put_bytes(b: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(b.len() as u32).to_le_bytes());
    out.extend_from_slice(b);
}

impl RowsHash {
    /// Adds the rows of a batch. Returns false (and adds nothing) if a column has a type that no table has.
    pub fn update(&mut self, batch: &RecordBatch) -> bool {
        let Some(cells) = cells(batch) else { return false };
        self.rest(&cells, 0, batch.num_rows());
        true
    }

    /// Adds the rows from `at` on, and what was laid out before them.
    fn rest(&mut self, cells: &[Cells<'_>], mut at: usize, rows: usize) {
        loop {
            self.sha.update(&self.block[self.taken..self.laid]);
            self.taken = self.laid;
            if at == rows {
                return;
            }
            at += self.lay(cells, at, rows);
        }
    }

    /// Whether what is laid out is hashed.
    fn is_even(&self) -> bool {
        self.taken == self.laid
    }

    /// Lays the next rows of a batch out, when all before them are hashed; how many.
    fn lay(&mut self, cells: &[Cells<'_>], at: usize, rows: usize) -> usize {
        let n = BLOCK.min(rows - at);
        self.widths.clear();
        self.widths.extend(cells.iter().map_while(|c| c.width(at, n)));
        self.taken = 0;
        self.laid = if self.widths.len() == cells.len() {
            self.even_rows(cells, at, n)
        } else {
            self.uneven_rows(cells, at, n)
        };
        n
    }

    /// Rows of one length are filled column by column over the rows of the block before: what is the same in all of
    /// them, as the name of the instrument, stands there already. Returns their bytes at the start of `block`.
    fn even_rows(&mut self, cells: &[Cells<'_>], at: usize, n: usize) -> usize {
        let row: usize = self.widths.iter().sum();
        let first = self.same.len();
        for c in cells {
            if let Cells::Text(..) = c {
                c.put(at, &mut self.same);
            }
        }
        // Equal lists of texts with their lengths, over one list of columns, make rows of one form.
        let (before, now) = self.same.split_at(first);
        let known = before == now && self.block.len() == BLOCK * row && first > 0;
        self.same.drain(..first);
        if !known {
            self.block.clear();
            cells.iter().for_each(|c| c.put(at, &mut self.block));
            for _ in 1..BLOCK {
                self.block.extend_from_within(..row);
            }
        }
        let rows = &mut self.block[..n * row];
        let mut to = 0;
        for (c, width) in cells.iter().zip(&self.widths) {
            c.spread(at, rows, row, to);
            to += width;
        }
        n * row
    }

    /// Rows of different lengths, as those of `raw`: where each begins is summed up first, then they are filled column by
    /// column all the same.
    fn uneven_rows(&mut self, cells: &[Cells<'_>], at: usize, n: usize) -> usize {
        self.same.clear();
        self.ends.clear();
        self.ends.resize(n, 0);
        cells.iter().for_each(|c| c.lengths(at, &mut self.ends));
        let mut all = 0;
        for end in &mut self.ends {
            (*end, all) = (all, all + *end);
        }
        self.block.resize(all, 0);
        cells.iter().for_each(|c| c.scatter(at, &mut self.ends, &mut self.block));
        all
    }

    /// The hash so far, hex.
    pub fn hex(&self) -> String {
        hex(&self.sha.finish())
    }
}

/// The columns of a batch; `None` if one has a type that no table has.
fn cells(batch: &RecordBatch) -> Option<Vec<Cells<'_>>> {
    batch.columns().iter().map(Cells::of).collect()
}

/// Whether a batch can be hashed.
pub(super) fn is_known(batch: &RecordBatch) -> bool {
    cells(batch).is_some()
}

/// Rows of a batch that wait for their hash: those from `at` on, and what is laid out of those before.
pub(super) struct Group {
    pub(super) batch: RecordBatch,
    at: usize,
}

impl Group {
    pub(super) fn new(batch: RecordBatch) -> Group {
        Group { batch, at: 0 }
    }

    /// Hashes what is left of it.
    pub(super) fn alone(&mut self, hash: &mut RowsHash) {
        let rows = self.batch.num_rows();
        hash.rest(&cells(&self.batch).unwrap_or_default(), self.at, rows);
        self.at = rows;
    }

    /// Hashes two groups of different parts at once, until one has nothing left: two streams fill the processor's unit
    /// for SHA-256, one does not. Returns which are done.
    pub(super) fn both(a: (&mut Group, &mut RowsHash), b: (&mut Group, &mut RowsHash)) -> (bool, bool) {
        let ((a, hash_a), (b, hash_b)) = (a, b);
        let (Some(cells_a), Some(cells_b)) = (cells(&a.batch), cells(&b.batch)) else {
            // Nobody makes a group of what is not known.
            return (true, true);
        };
        loop {
            let done =
                (!more(&mut a.at, &cells_a, &a.batch, hash_a), !more(&mut b.at, &cells_b, &b.batch, hash_b));
            if done.0 || done.1 {
                return done;
            }
            let bytes = |h: &RowsHash| h.taken..h.laid;
            let (of_a, of_b) = (bytes(hash_a), bytes(hash_b));
            let (n, m) =
                update_both((&mut hash_a.sha, &hash_a.block[of_a]), (&mut hash_b.sha, &hash_b.block[of_b]));
            hash_a.taken += n;
            hash_b.taken += m;
        }
    }
}

/// Lays more rows out if all before them are hashed; whether there are any.
fn more(at: &mut usize, cells: &[Cells<'_>], batch: &RecordBatch, hash: &mut RowsHash) -> bool {
    if hash.is_even() {
        if *at == batch.num_rows() {
            return false;
        }
        *at += hash.lay(cells, *at, batch.num_rows());
    }
    true
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut s = String::with_capacity(bytes.len() * 2);
    for b in bytes {
        s.push(char::from(DIGITS[usize::from(b >> 4)]));
        s.push(char::from(DIGITS[usize::from(b & 15)]));
    }
    s
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{Int32Array, Int64Array};
    use arrow_schema::{Field, Schema};
    use proptest::prelude::*;
    use sha2::Digest as _;
    use std::sync::Arc;

    /// The definition, value by value.
    fn slow(batches: &[RecordBatch]) -> String {
        let mut all = Vec::new();
        for b in batches {
            let cells: Vec<Cells<'_>> = b.columns().iter().filter_map(Cells::of).collect();
            for i in 0..b.num_rows() {
                cells.iter().for_each(|c| c.put(i, &mut all));
            }
        }
        hex(&sha2::Sha256::digest(&all))
    }

    fn batch(rows: &[(i64, Option<f64>, usize, bool)], texts: &[String], binary: bool) -> RecordBatch {
        let text = |k: usize| texts[k % texts.len()].as_str();
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.0))),
            Arc::new(rows.iter().map(|r| text(r.2)).collect::<DictionaryArray<Int32Type>>()),
            Arc::new(rows.iter().map(|r| r.1).collect::<Float64Array>()),
            Arc::new(Int32Array::from_iter_values(rows.iter().map(|r| r.0 as i32))),
            Arc::new(rows.iter().map(|r| Some(r.3)).collect::<BooleanArray>()),
            Arc::new(rows.iter().map(|r| text(r.2 / 2)).collect::<DictionaryArray<Int32Type>>()),
        ];
        if binary {
            columns.push(Arc::new(BinaryArray::from_iter_values(rows.iter().map(|r| text(r.2)))));
        }
        let field = |(i, a): (usize, &ArrayRef)| Field::new(i.to_string(), a.data_type().clone(), true);
        let fields: Vec<Field> = columns.iter().enumerate().map(field).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    }

    proptest! {
        #[test]
        fn the_fast_way_gives_the_hash_of_the_definition(
            rows in proptest::collection::vec((any::<i64>(), any::<Option<f64>>(), 0usize..4, any::<bool>()), 1..400),
            texts in proptest::collection::vec(".{0,6}", 1..4), even in any::<[bool; 3]>(), binary in any::<bool>(),
            cut in 0usize..400,
        ) {
            let mut rows = rows;
            for (i, r) in rows.iter_mut().enumerate() {
                // Long stretches of one text and of no nulls, as real tables have them.
                if even[i / 150] {
                    (r.1, r.2) = (Some(r.1.unwrap_or(1.0)), i / 150);
                }
            }
            let (a, b) = rows.split_at(cut.min(rows.len() - 1));
            let batches: Vec<RecordBatch> =
                [a, b].into_iter().filter(|r| !r.is_empty()).map(|r| batch(r, &texts, binary)).collect();
            let mut fast = RowsHash::default();
            for b in &batches {
                prop_assert!(fast.update(b));
            }
            prop_assert_eq!(fast.hex(), slow(&batches));
        }
    }

    #[test]
    fn texts_that_move_between_columns_are_seen() {
        let texts = ["ab".to_owned(), "a".to_owned(), "b".to_owned(), "ba".to_owned()];
        let mut hash = RowsHash::default();
        let mut batches = Vec::new();
        for k in [0, 3, 1, 2, 0] {
            batches.push(batch(&vec![(5, Some(1.0), k, true); 130], &texts, false));
            assert!(hash.update(&batches[batches.len() - 1]));
        }
        assert_eq!(hash.hex(), slow(&batches));
    }
}
