//! Reading published files: batches with typed columns, errors instead of panics on damage.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use arrow_array::{
    Array, BinaryArray, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray, cast::AsArray, types::Int32Type,
};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::statistics::Statistics;

use super::content::Content;
use super::error::DatasetError;
use super::hash::RowsHash;
use super::part::PartStats;
use super::schema::Table;

/// Rows of a batch as read.
const BATCH_ROWS: usize = 8192;
/// Rows of a batch where a whole file is read that was just written: those of a page.
const PAGE_ROWS: usize = 32_000;

/// The batches of one file, in order.
pub struct Batches {
    path: PathBuf,
    reader: Option<ParquetRecordBatchReader>,
}

/// What to read of a file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Want<'a> {
    /// Columns by name; empty = all.
    pub columns: &'a [&'a str],
    /// Skip row groups that lie wholly after this `ts_recv`.
    pub ts_recv_max: Option<i64>,
    /// Skip row groups that lie wholly before this `ts_recv`.
    pub ts_recv_min: Option<i64>,
    /// Whole pages at once instead of a few thousand rows: more memory, less work.
    pub pages: bool,
}

/// Opens a file. Row groups are skipped by their statistics; single rows are not filtered.
///
/// # Errors
/// The file system's, or damage.
pub fn open(path: &Path, want: Want<'_>) -> Result<Batches, DatasetError> {
    let file = File::open(path).map_err(|e| DatasetError::io(path, "opening", e))?;
    // The library promises errors, but has panicked on damaged bytes before (arrow-rs 11121): a reader of a dataset
    // must survive any file.
    let made = catch_unwind(AssertUnwindSafe(|| build(file, want)));
    match made {
        Ok(Ok(reader)) => Ok(Batches { path: path.to_owned(), reader: Some(reader) }),
        Ok(Err(e)) => Err(DatasetError::damaged(path, e.to_string())),
        Err(_) => Err(DatasetError::damaged(path, "the decoder gave up on its footer")),
    }
}

fn build(file: File, want: Want<'_>) -> Result<ParquetRecordBatchReader, ParquetError> {
    let mut b = ParquetRecordBatchReaderBuilder::try_new_with_options(file, ArrowReaderOptions::new())?;
    if want.ts_recv_max.is_some() || want.ts_recv_min.is_some() {
        let keep = groups_within(&b, want);
        b = b.with_row_groups(keep);
    }
    if !want.columns.is_empty() {
        let mask = ProjectionMask::columns(b.parquet_schema(), want.columns.iter().copied());
        b = b.with_projection(mask);
    }
    b.with_batch_size(if want.pages { PAGE_ROWS } else { BATCH_ROWS }).build()
}

fn groups_within(b: &ParquetRecordBatchReaderBuilder<File>, want: Want<'_>) -> Vec<usize> {
    let column = b.parquet_schema().columns().iter().position(|c| c.name() == "ts_recv");
    let range = |g: usize| {
        let stats = b.metadata().row_group(g).columns().get(column?)?.statistics()?;
        let Statistics::Int64(s) = stats else { return None };
        Some((*s.min_opt()?, *s.max_opt()?))
    };
    (0..b.metadata().num_row_groups())
        .filter(|&g| {
            range(g).is_none_or(|(low, high)| {
                want.ts_recv_max.is_none_or(|t| low <= t) && want.ts_recv_min.is_none_or(|t| high >= t)
            })
        })
        .collect()
}

impl Iterator for Batches {
    type Item = Result<Batch, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let reader = self.reader.as_mut()?;
        let got = catch_unwind(AssertUnwindSafe(|| reader.next()));
        let failed = match got {
            Ok(None) => return None,
            Ok(Some(Ok(batch))) => return Some(Ok(Batch { path: self.path.clone(), batch })),
            Ok(Some(Err(e))) => e.to_string(),
            Err(_) => "the decoder gave up on a page".to_owned(),
        };
        self.reader = None;
        Some(Err(DatasetError::damaged(&self.path, failed)))
    }
}

/// Some rows of one file.
#[derive(Clone, Debug)]
pub struct Batch {
    path: PathBuf,
    /// The columns.
    pub batch: RecordBatch,
}

/// A text column.
#[derive(Clone, Copy, Debug)]
pub struct Texts<'a> {
    keys: &'a DictionaryArray<Int32Type>,
    values: &'a StringArray,
}

impl<'a> Texts<'a> {
    /// The text of a row; `None` for a null.
    pub fn get(&self, i: usize) -> Option<&'a str> {
        self.keys.key(i).map(|k| self.values.value(k))
    }

    /// The text of a row; "" for a null.
    pub fn value(&self, i: usize) -> &'a str {
        self.get(i).unwrap_or("")
    }
}

impl Batch {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    fn column<'a, T: ?Sized>(
        &'a self,
        name: &str,
        cast: impl Fn(&'a dyn Array) -> Option<&'a T>,
        nullable: bool,
    ) -> Result<&'a T, DatasetError> {
        let bad = |what: &str| DatasetError::damaged(&self.path, format!("column {name} {what}"));
        let a = self.batch.column_by_name(name).ok_or_else(|| bad("is missing"))?;
        if !nullable && a.null_count() > 0 {
            return Err(bad("has nulls"));
        }
        cast(a.as_ref()).ok_or_else(|| bad("has another type"))
    }

    /// An int64 column.
    ///
    /// # Errors
    /// Missing, of another type, or with nulls.
    pub fn i64(&self, name: &str) -> Result<&[i64], DatasetError> {
        let a: &Int64Array = self.column(name, |a| a.as_primitive_opt(), false)?;
        Ok(&a.values()[..])
    }

    /// An int32 column.
    ///
    /// # Errors
    /// Missing, of another type, or with nulls.
    pub fn i32(&self, name: &str) -> Result<&[i32], DatasetError> {
        let a: &Int32Array = self.column(name, |a| a.as_primitive_opt(), false)?;
        Ok(&a.values()[..])
    }

    /// A float64 column; ask it for nulls.
    ///
    /// # Errors
    /// Missing or of another type.
    pub fn f64(&self, name: &str) -> Result<&Float64Array, DatasetError> {
        self.column(name, |a| a.as_primitive_opt(), true)
    }

    /// A boolean column.
    ///
    /// # Errors
    /// Missing, of another type, or with nulls.
    pub fn bool(&self, name: &str) -> Result<&BooleanArray, DatasetError> {
        self.column(name, |a| a.as_boolean_opt(), false)
    }

    /// A binary column.
    ///
    /// # Errors
    /// Missing, of another type, or with nulls.
    pub fn binary(&self, name: &str) -> Result<&BinaryArray, DatasetError> {
        self.column(name, |a| a.as_binary_opt(), false)
    }

    /// A text column.
    ///
    /// # Errors
    /// Missing or of another type.
    pub fn text(&self, name: &str) -> Result<Texts<'_>, DatasetError> {
        let keys: &DictionaryArray<Int32Type> = self.column(name, |a| a.as_dictionary_opt(), true)?;
        let values = self.column(
            name,
            |a| a.as_dictionary_opt::<Int32Type>().and_then(|d| d.values().as_string_opt()),
            true,
        )?;
        Ok(Texts { keys, values })
    }
}

/// Reads a whole file: what is in it and the hash of its rows.
///
/// # Errors
/// The file system's, damage, or a file of another schema.
pub fn summary(path: &Path, table: Table) -> Result<(PartStats, String), DatasetError> {
    let mut hash = RowsHash::default();
    let stats = whole(path, table, false, |batch| hash.update(batch))?;
    Ok((stats, hash.hex()))
}

/// Reads a whole file: what is in it, told as cheaply as can be.
///
/// # Errors
/// As [`summary`].
pub fn content(path: &Path, table: Table) -> Result<(PartStats, Content), DatasetError> {
    let mut content = Content::default();
    let stats = whole(path, table, true, |batch| content.update(batch))?;
    Ok((stats, content))
}

fn whole(
    path: &Path,
    table: Table,
    pages: bool,
    mut each: impl FnMut(&RecordBatch) -> bool,
) -> Result<PartStats, DatasetError> {
    let mut stats = PartStats::default();
    let spec = table.spec();
    for batch in open(path, Want { pages, ..Want::default() })? {
        let batch = batch?.batch;
        if batch.schema().fields() != spec.arrow.fields() {
            return Err(DatasetError::damaged(path, format!("it is no file of {}", spec.name)));
        }
        if !(stats.add(spec, &batch) && each(&batch)) {
            return Err(DatasetError::damaged(path, "a column is not what its schema says"));
        }
    }
    Ok(stats)
}
