//! What a part holds, told cheaply: made of the rows when they are written and again of the rows as the file gives
//! them back. Equal contents of equal counts mean that every value came back.
//!
//! `rows_sha256` would say the same at ten times the price: it must be computed once, for those who compare files of
//! different versions, but nobody attacks a file between its writing and its re-reading. Against chance and faulty
//! code a CRC-32C over every column is as good: what differs is missed once in four thousand million times.

use crate::sys::crc::{crc32c, crc32c_append};
use arrow_array::types::{Float64Type, Int32Type, Int64Type};
use arrow_array::{Array, RecordBatch, cast::AsArray};

/// Checksums of the columns of a part, in row order; how the rows were split into batches does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Of each column's values and of what else it says: presence, lengths.
    columns: Vec<(u32, u32)>,
    scratch: Vec<u8>,
}

impl Content {
    /// Adds the rows of a batch. Returns false if a column has a type that no table has, or nulls that it cannot have.
    pub fn update(&mut self, batch: &RecordBatch) -> bool {
        self.columns.resize(batch.num_columns(), (0, 0));
        let mut scratch = std::mem::take(&mut self.scratch);
        let known = batch.columns().iter().zip(&mut self.columns).all(|(a, sums)| {
            scratch.clear();
            add(a.as_ref(), sums, &mut scratch)
        });
        scratch.clear();
        self.scratch = scratch;
        known
    }
}

fn add(a: &dyn Array, (values, other): &mut (u32, u32), scratch: &mut Vec<u8>) -> bool {
    if let Some(a) = a.as_primitive_opt::<Float64Type>() {
        match a.nulls().filter(|n| n.null_count() > 0) {
            None => {
                *values = crc32c_append(*values, a.values().inner().as_slice());
                scratch.resize(a.len(), 1);
                *other = crc32c_append(*other, scratch);
            }
            Some(nulls) => {
                scratch.extend(nulls.iter().map(u8::from));
                *other = crc32c_append(*other, scratch);
                scratch.clear();
                a.iter().flatten().for_each(|x| scratch.extend_from_slice(&x.to_le_bytes()));
                *values = crc32c_append(*values, scratch);
            }
        }
        return true;
    }
    if a.null_count() > 0 {
        return false;
    }
    if let Some(a) = a.as_primitive_opt::<Int64Type>() {
        *values = crc32c_append(*values, a.values().inner().as_slice());
    } else if let Some(a) = a.as_primitive_opt::<Int32Type>() {
        *values = crc32c_append(*values, a.values().inner().as_slice());
    } else if let Some(a) = a.as_boolean_opt() {
        scratch.extend(a.values().iter().map(u8::from));
        *values = crc32c_append(*values, scratch);
    } else if let Some(a) = a.as_binary_opt::<i32>() {
        // The payloads lie one behind the other.
        let (from, to) = (a.value_offsets()[0] as usize, a.value_offsets()[a.len()] as usize);
        *values = crc32c_append(*values, &a.value_data()[from..to]);
        a.offsets().lengths().for_each(|n| scratch.extend_from_slice(&(n as u32).to_le_bytes()));
        *other = crc32c_append(*other, scratch);
    } else if let Some(a) = a.as_dictionary_opt::<Int32Type>() {
        let Some(texts) = a.values().as_string_opt::<i32>() else { return false };
        // Dictionaries differ between batches: each row says what its text is.
        let sums: Vec<[u8; 4]> =
            texts.iter().map(|t| crc32c(t.unwrap_or("").as_bytes()).to_le_bytes()).collect();
        a.keys().values().iter().for_each(|k| scratch.extend_from_slice(&sums[*k as usize]));
        *values = crc32c_append(*values, scratch);
    } else {
        return false;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{
        ArrayRef, BinaryArray, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array,
    };
    use arrow_schema::{Field, Schema};
    use std::sync::Arc;

    /// Rows of every type; the columns that `change` names say something else in row 5.
    fn batch(change: &[usize]) -> RecordBatch {
        let at = |c: usize, i: i64| i64::from(i == 5 && change.contains(&c));
        let rows = 0..9i64;
        let texts = rows.clone().map(|i| ["a", "b", ""][(i + at(2, i)) as usize % 3]);
        let payload = |i: i64| vec![7u8; (i + at(3, i)) as usize];
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(rows.clone().map(|i| i + at(0, i)))),
            Arc::new(Int32Array::from_iter_values(rows.clone().map(|i| (i + at(1, i)) as i32))),
            Arc::new(texts.collect::<DictionaryArray<Int32Type>>()),
            Arc::new(BinaryArray::from_iter_values(rows.clone().map(payload))),
            Arc::new(rows.clone().map(|i| Some((i + at(4, i)) % 2 == 0)).collect::<BooleanArray>()),
            Arc::new(rows.clone().map(|i| Some((i + at(5, i)) as f64)).collect::<Float64Array>()),
            Arc::new(
                rows.map(|i| ((i + at(6, i)) % 3 == 0).then_some((i + 3 * at(7, i)) as f64))
                    .collect::<Float64Array>(),
            ),
        ];
        let field = |(i, a): (usize, &ArrayRef)| Field::new(i.to_string(), a.data_type().clone(), true);
        let fields: Vec<Field> = columns.iter().enumerate().map(field).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    }

    fn of(batches: &[RecordBatch]) -> Content {
        let mut c = Content::default();
        batches.iter().for_each(|b| assert!(c.update(b)));
        c
    }

    #[test]
    fn every_changed_value_is_seen_and_no_split_is() {
        let good = batch(&[]);
        let whole = of(std::slice::from_ref(&good));
        let n = good.num_rows();
        for at in 1..n {
            assert_eq!(of(&[good.slice(0, at), good.slice(at, n - at)]), whole);
            assert_ne!(of(&[good.slice(0, at)]), whole);
            assert_ne!(of(&[good.slice(at, n - at), good.slice(0, at)]), whole);
        }
        for column in 0..7 {
            assert_ne!(of(&[batch(&[column])]), whole, "column {column}");
        }
    }
}
