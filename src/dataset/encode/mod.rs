//! One row group of one table, encoded by our own hand for the shapes that our tables have; anything else (a text over
//! 64 bytes, a dictionary over 1 MiB, a NaN) goes to the library's column writer unchanged.
//!
//! The library knows nothing of what is in a column. We do: all levels of a message share ten columns, so most blocks
//! of deltas are constant; texts come as dictionaries, so nothing needs hashing; a sorted dictionary gives its smallest
//! and largest value away. Every file is read again by the library's reader before it is published.

mod chunk;
mod columns;
#[cfg(test)]
mod tests;
mod values;

use std::cell::RefCell;
use std::io::Write;

use arrow_array::RecordBatch;
use parquet::arrow::arrow_writer::{ArrowRowGroupWriterFactory, compute_leaves};
use parquet::errors::{ParquetError, Result};
use parquet::file::writer::SerializedFileWriter;

use self::chunk::Chunk;
use self::columns::Columns;
use super::schema::{Table, TableSpec};
use super::spare;

/// Level of all files here; DATASET.md says what others would give.
pub(super) const ZSTD_LEVEL: i32 = 1;

/// Places of a table in [`Encoder::sizes`], one a column.
const PLACES: usize = 128;

/// What encoding needs again and again: one per thread, not per part, because thousands of parts are open at once.
#[derive(Default)]
struct Encoder {
    columns: Columns,
    /// Bytes of each column's last chunk: the next one will have about as many.
    sizes: Vec<usize>,
}

thread_local! {
    static ENCODER: RefCell<Encoder> = RefCell::default();
}

/// Writes a batch in a table's schema as one row group.
///
/// # Errors
/// The file system's or the library's.
pub fn row_group<W: Write + Send>(
    out: &mut SerializedFileWriter<W>,
    spec: &TableSpec,
    batch: &RecordBatch,
) -> Result<()> {
    ENCODER.with_borrow_mut(|Encoder { columns, sizes }| {
        sizes.resize(Table::ALL.len() * PLACES, 0);
        let sizes = &mut sizes[spec.table as usize * PLACES..][..PLACES];
        let mut chunks = Vec::with_capacity(spec.columns.len());
        for (i, (c, a)) in spec.columns.iter().zip(batch.columns()).enumerate() {
            let buffer = spare::take(sizes[i] + sizes[i] / 4);
            let chunk = columns.encode(c.encoding, a, &out.schema_descr().column(i), buffer)?;
            sizes[i] = chunk.as_ref().map_or(0, |c| c.bytes.len());
            chunks.push(chunk);
        }
        append(out, spec, batch, chunks)
    })
}

/// Appends the chunks as one group; what is `None` is encoded by the library.
fn append<W: Write + Send>(
    out: &mut SerializedFileWriter<W>,
    spec: &TableSpec,
    batch: &RecordBatch,
    chunks: Vec<Option<Chunk>>,
) -> Result<()> {
    let mut others = if chunks.iter().all(Option::is_some) {
        Vec::new()
    } else {
        let group = out.flushed_row_groups().len();
        ArrowRowGroupWriterFactory::new(out, spec.arrow.clone()).create_column_writers(group)?
    }
    .into_iter();
    let mut group = out.next_row_group()?;
    for (i, chunk) in chunks.into_iter().enumerate() {
        match (chunk, others.next()) {
            (Some(Chunk { bytes, close }), _) => {
                group.append_column(&bytes, close)?;
                // Nobody else has it, so this is no copy.
                spare::give(Vec::from(bytes));
            }
            (None, Some(mut writer)) => {
                for leaf in compute_leaves(spec.arrow.field(i), batch.column(i))? {
                    writer.write(&leaf)?;
                }
                writer.close()?.append_to_row_group(&mut group)?;
            }
            // Writers were made for all columns where one chunk is missing.
            (None, None) => return Err(ParquetError::General("a column without a writer".into())),
        }
    }
    group.close()?;
    Ok(())
}
