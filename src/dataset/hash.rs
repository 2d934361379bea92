//! `rows_sha256`: a hash of what a file says, free of how it says it, so that files of different versions compare.
//!
//! SHA-256 over rows in `row` order, columns in schema order: integers little-endian, booleans one byte, floats a
//! presence byte and then the value if there is one, texts and binaries a `u32` length and the bytes.

use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array,
    RecordBatch, StringArray, cast::AsArray, types::Int32Type,
};
use arrow_schema::DataType;
use sha2::{Digest, Sha256};

/// The running hash of a part's rows.
#[derive(Clone, Default)]
pub struct RowsHash {
    sha: Sha256,
    buf: Vec<u8>,
}

enum Cells<'a> {
    I64(&'a Int64Array),
    I32(&'a Int32Array),
    F64(&'a Float64Array),
    Text(&'a DictionaryArray<Int32Type>, &'a StringArray),
    Bool(&'a BooleanArray),
    Binary(&'a BinaryArray),
}

impl<'a> Cells<'a> {
    fn of(a: &'a ArrayRef) -> Option<Cells<'a>> {
        Some(match a.data_type() {
            DataType::Int64 => Cells::I64(a.as_primitive_opt()?),
            DataType::Int32 => Cells::I32(a.as_primitive_opt()?),
            DataType::Float64 => Cells::F64(a.as_primitive_opt()?),
            DataType::Boolean => Cells::Bool(a.as_boolean_opt()?),
            DataType::Binary => Cells::Binary(a.as_binary_opt()?),
            DataType::Dictionary(_, _) => {
                let d: &DictionaryArray<Int32Type> = a.as_dictionary_opt()?;
                Cells::Text(d, d.values().as_string_opt()?)
            }
            _ => return None,
        })
    }

    fn put(&self, i: usize, out: &mut Vec<u8>) {
        match self {
            Cells::I64(a) => out.extend_from_slice(&a.value(i).to_le_bytes()),
            Cells::I32(a) => out.extend_from_slice(&a.value(i).to_le_bytes()),
            Cells::Bool(a) => out.push(u8::from(a.value(i))),
            Cells::Binary(a) => put_bytes(a.value(i), out),
            Cells::F64(a) => {
                out.push(u8::from(a.is_valid(i)));
                if a.is_valid(i) {
                    out.extend_from_slice(&a.value(i).to_le_bytes());
                }
            }
            // No table has null texts; a damaged file that has some must differ from one with empty texts.
            Cells::Text(d, values) => match d.key(i) {
                Some(k) => put_bytes(values.value(k).as_bytes(), out),
                None => out.extend_from_slice(&u32::MAX.to_le_bytes()),
            },
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
        let Some(cells) = batch.columns().iter().map(Cells::of).collect::<Option<Vec<_>>>() else {
            return false;
        };
        for i in 0..batch.num_rows() {
            for c in &cells {
                c.put(i, &mut self.buf);
            }
            if self.buf.len() >= 1 << 16 {
                self.sha.update(&self.buf);
                self.buf.clear();
            }
        }
        self.sha.update(&self.buf);
        self.buf.clear();
        true
    }

    /// The hash so far, hex.
    pub fn hex(&self) -> String {
        hex(&self.sha.clone().finalize())
    }
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
