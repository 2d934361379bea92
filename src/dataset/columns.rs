//! Growing columns of one open group, and how they become Arrow arrays.

use std::sync::Arc;

use arrow_array::types::{Float64Type, Int32Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array,
    RecordBatch, StringArray, cast::AsArray,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::ArrowError;
use rustc_hash::FxHashMap;

use super::schema::{ColumnType, TableSpec};
use super::spare::{self, Spare};

/// Texts of one column, each once, in order of first sight.
#[derive(Default)]
pub(super) struct Texts {
    codes: FxHashMap<Box<str>, i32>,
    values: Vec<Box<str>>,
    /// The code given last: neighbours are mostly equal.
    last: Option<i32>,
}

impl Texts {
    /// The code of a text and the bytes that it adds.
    fn code(&mut self, s: &str) -> (i32, usize) {
        if let Some(c) = self.last
            && same(&self.values[c as usize], s)
        {
            return (c, 0);
        }
        if let Some(&c) = self.codes.get(s) {
            self.last = Some(c);
            return (c, 0);
        }
        let c = self.values.len() as i32;
        self.codes.insert(s.into(), c);
        self.values.push(s.into());
        self.last = Some(c);
        (c, s.len())
    }

    fn take(&mut self) -> StringArray {
        self.codes.clear();
        self.last = None;
        StringArray::from_iter_values(std::mem::take(&mut self.values))
    }
}

/// Whether two texts are equal. They mostly are, and short: a call of `memcmp` would cost more than the comparison.
#[inline]
fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let (words_a, rest_a) = a.as_chunks::<8>();
    let (words_b, rest_b) = b.as_chunks::<8>();
    let word = |w: &[u8; 8]| u64::from_le_bytes(*w);
    words_a.iter().zip(words_b).all(|(x, y)| word(x) == word(y))
        && match (a.last_chunk::<8>(), b.last_chunk::<8>()) {
            // Once more what the last whole word has, and what is behind it.
            (Some(x), Some(y)) => word(x) == word(y),
            _ => rest_a.iter().zip(rest_b).all(|(x, y)| x == y),
        }
}

/// One column of an open group.
pub(super) enum Column {
    I64(Vec<i64>),
    I32(Vec<i32>),
    /// Values and presence; nothing is allocated for presence until the first null.
    F64(Vec<f64>, Option<Vec<bool>>),
    /// Codes and texts.
    Text(Vec<i32>, Texts),
    Bool(Vec<bool>),
    /// Offsets, from the zero of the first row on, and bytes.
    Binary(Vec<i32>, Vec<u8>),
}

/// Columns of one table.
pub(super) struct Columns {
    pub(super) cols: Vec<Column>,
    /// Bytes beyond the fixed width of rows: texts and binaries.
    pub(super) var_bytes: usize,
}

/// Fixed bytes of a row, as counted for memory pressure.
pub(super) fn fixed_width(spec: &TableSpec) -> usize {
    spec.columns
        .iter()
        .map(|c| match c.ty {
            ColumnType::I64 | ColumnType::F64 => 8,
            ColumnType::I32 | ColumnType::Text | ColumnType::Binary => 4,
            ColumnType::Bool => 1,
        })
        .sum()
}

impl Columns {
    pub(super) fn new(spec: &TableSpec) -> Columns {
        let cols = spec
            .columns
            .iter()
            .map(|c| match c.ty {
                ColumnType::I64 => Column::I64(Vec::new()),
                ColumnType::I32 => Column::I32(Vec::new()),
                ColumnType::F64 => Column::F64(Vec::new(), None),
                ColumnType::Text => Column::Text(Vec::new(), Texts::default()),
                ColumnType::Bool => Column::Bool(Vec::new()),
                ColumnType::Binary => Column::Binary(Vec::new(), Vec::new()),
            })
            .collect();
        Columns { cols, var_bytes: 0 }
    }

    /// A cursor that fills one row, column by column.
    pub(super) fn row(&mut self) -> Row<'_> {
        Row { cols: self, at: 0 }
    }

    /// Turns what is there into arrays and starts anew.
    pub(super) fn take(&mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        self.var_bytes = 0;
        self.cols.iter_mut().map(Column::take).collect()
    }
}

impl Column {
    fn take(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Column::I64(v) => i64_array(std::mem::take(v)),
            Column::I32(v) => i32_array(std::mem::take(v)),
            Column::F64(v, present) => f64_array(std::mem::take(v), present.take()),
            Column::Text(v, texts) => dict_array(std::mem::take(v), texts.take())?,
            Column::Bool(v) => {
                let bits = BooleanBuffer::from(&v[..]);
                v.clear();
                Arc::new(BooleanArray::new(bits, None))
            }
            Column::Binary(offsets, data) => {
                if offsets.is_empty() {
                    offsets.push(0);
                }
                Arc::new(BinaryArray::try_new(
                    OffsetBuffer::new(ScalarBuffer::from(std::mem::take(offsets))),
                    Buffer::from_vec(std::mem::take(data)),
                    None,
                )?)
            }
        })
    }
}

/// Keeps the columns of a batch that nobody needs any more.
pub(super) fn recycle(batch: RecordBatch) {
    let (mut longs, mut ints, mut floats, mut bytes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for a in batch.columns() {
        if let Some(a) = a.as_primitive_opt::<Int64Type>() {
            longs.push(a.values().inner().clone());
        } else if let Some(a) = a.as_primitive_opt::<Int32Type>() {
            ints.push(a.values().inner().clone());
        } else if let Some(a) = a.as_primitive_opt::<Float64Type>() {
            floats.push(a.values().inner().clone());
        } else if let Some(a) = a.as_dictionary_opt::<Int32Type>() {
            ints.push(a.keys().values().inner().clone());
        } else if let Some(a) = a.as_binary_opt::<i32>() {
            ints.push(a.offsets().inner().inner().clone());
            bytes.push(a.values().clone());
        }
    }
    drop(batch);
    keep::<i64>(longs);
    keep::<i32>(ints);
    keep::<f64>(floats);
    keep::<u8>(bytes);
}

/// A buffer that somebody else still holds stays theirs.
fn keep<T: Spare + arrow_buffer::ArrowNativeType>(buffers: Vec<Buffer>) {
    buffers.into_iter().filter_map(|b| b.into_vec::<T>().ok()).for_each(spare::give);
}

pub(super) fn i64_array(v: Vec<i64>) -> ArrayRef {
    Arc::new(Int64Array::from(v))
}

pub(super) fn i32_array(v: Vec<i32>) -> ArrayRef {
    Arc::new(Int32Array::from(v))
}

pub(super) fn f64_array(v: Vec<f64>, present: Option<Vec<bool>>) -> ArrayRef {
    let nulls = present.map(|p| NullBuffer::new(BooleanBuffer::from(p)));
    Arc::new(Float64Array::new(ScalarBuffer::from(v), nulls))
}

pub(super) fn dict_array(codes: Vec<i32>, values: StringArray) -> Result<ArrayRef, ArrowError> {
    let keys = Int32Array::from(codes);
    Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(keys, Arc::new(values) as Arc<dyn Array>)?))
}

/// Fills one row in column order. A value of the wrong type for its column is left out, which the lengths show when
/// the group is encoded; the tests write every table, so it cannot get that far.
pub(super) struct Row<'a> {
    cols: &'a mut Columns,
    at: usize,
}

impl Row<'_> {
    fn next(&mut self) -> Option<&mut Column> {
        let at = self.at;
        self.at += 1;
        self.cols.cols.get_mut(at)
    }

    pub(super) fn int(&mut self, x: i64) {
        match self.next() {
            Some(Column::I64(v)) => spare::push(v, x),
            _ => debug_assert!(false, "not an int64 column"),
        }
    }

    pub(super) fn small(&mut self, x: i32) {
        match self.next() {
            Some(Column::I32(v)) => spare::push(v, x),
            _ => debug_assert!(false, "not an int32 column"),
        }
    }

    pub(super) fn num(&mut self, x: Option<f64>) {
        match self.next() {
            Some(Column::F64(v, present)) => {
                match (x.is_some(), &mut *present) {
                    (true, Some(p)) => p.push(true),
                    (true, None) => {}
                    (false, Some(p)) => p.push(false),
                    (false, None) => {
                        let mut p = vec![true; v.len()];
                        p.push(false);
                        *present = Some(p);
                    }
                }
                spare::push(v, x.unwrap_or(0.0));
            }
            _ => debug_assert!(false, "not a float64 column"),
        }
    }

    pub(super) fn text(&mut self, x: &str) {
        let added = match self.next() {
            Some(Column::Text(v, texts)) => {
                let (c, n) = texts.code(x);
                spare::push(v, c);
                n
            }
            _ => {
                debug_assert!(false, "not a text column");
                0
            }
        };
        self.cols.var_bytes += added;
    }

    pub(super) fn flag(&mut self, x: bool) {
        match self.next() {
            Some(Column::Bool(v)) => v.push(x),
            _ => debug_assert!(false, "not a bool column"),
        }
    }

    pub(super) fn bytes(&mut self, x: &[u8]) {
        match self.next() {
            Some(Column::Binary(offsets, data)) => {
                if offsets.is_empty() {
                    offsets.push(0);
                }
                spare::extend(data, x);
                spare::push(offsets, data.len() as i32);
            }
            _ => debug_assert!(false, "not a binary column"),
        }
        self.cols.var_bytes += x.len();
    }

    /// Whether every column got its value.
    pub(super) fn is_full(&self) -> bool {
        self.at == self.cols.cols.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_the_same_only_if_every_byte_is() {
        let text = "binance-usdm:BTCUSDT and more";
        for n in 0..=text.len() {
            let own = text[..n].to_owned();
            assert!(same(&own, &text[..n]));
            for at in 0..n {
                let mut other = own.clone().into_bytes();
                other[at] ^= 1;
                assert!(!same(&own, &String::from_utf8(other).unwrap()), "{n} bytes, another one at {at}");
            }
            assert!(
                !same(&own, "binance-usdm:BTCUSDT and more of it") && (n == 0 || !same(&own, &text[..n - 1]))
            );
        }
    }
}
