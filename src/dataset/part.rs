//! One file in the making: rows are buffered, groups encoded into a `.tmp`, the footer written at the end.
//!
//! No file descriptor is held between groups, so thousands of parts may be open. The same rows give the same bytes:
//! no time, no host, no random order is in a file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow_array::{Array, RecordBatch, cast::AsArray, types::Int64Type};
use parquet::arrow::{ArrowSchemaConverter, add_encoded_arrow_schema_to_metadata};
use parquet::basic::{Compression, Encoding as PqEncoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, PageIndexPolicy, ParquetMetaDataReader, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::SerializedFileWriter;
use parquet::{
    column::writer::ColumnCloseResult,
    schema::types::{ColumnPath, TypePtr},
};

use super::builder::Builder;
use super::columns;
use super::content::Content;
use super::encode;
use super::error::DatasetError;
use super::layout::Dataset;
use super::pairing::PartHash;
use super::schema::{ColumnType, Encoding, SCHEMA_VERSION, Table, TableSpec};
use super::spare;
use crate::model::{Head, LaneId, RowRef, time};

/// Rows of a full row group: 128,000 × 8 bytes stay below parquet's 1 MiB limit of a dictionary, so prices never fall
/// back to PLAIN.
pub const GROUP_ROWS: usize = 128_000;

/// Buffered bytes at which a group closes by itself: bounds what one damaged group of `raw` can cost and how much
/// memory grows and is given back for each, and keeps binaries far below the 2 GiB of a 32-bit offset.
pub const GROUP_BYTES: usize = 16 << 20;

/// Names one part.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartKey {
    /// Table.
    pub table: Table,
    /// Venue slug; `_` for lane 000; "" in tables without a venue level.
    pub venue: String,
    /// Symbol as the venue writes it; only in tables with a symbol level.
    pub symbol: Option<String>,
    /// UTC day of `ts_recv`, days since the Unix epoch.
    pub day: i64,
    /// Start of the interval, ns.
    pub interval_start: i64,
    /// Lane whose records these are.
    pub lane: LaneId,
    /// Number of the part within its interval, from 0: parts are also cut by plan changes and instrument versions.
    pub n: u32,
}

impl PartKey {
    /// `YYYY-MM-DD`.
    pub fn date(&self) -> String {
        time::date_text(self.day)
    }
}

/// A part whose bytes are complete in `_tmp`, not yet visible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedPart {
    /// Its name.
    pub key: PartKey,
    /// Path inside the dataset that it will have.
    pub path: String,
    /// Where its bytes are.
    pub tmp: PathBuf,
    /// What is in it.
    pub stats: PartStats,
    /// What its columns hold, to be found again when the file is read.
    pub content: Content,
    /// `rows_sha256`, hex.
    pub rows_sha256: String,
    /// Decimals of prices and sizes; −1 in tables that are not one instrument's.
    pub exps: (i64, i64),
}

/// What a part holds, as counted from its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartStats {
    /// Number of rows.
    pub rows: i64,
    /// Smallest and largest `row`.
    pub row: (i64, i64),
    /// Smallest and largest `ts_recv`.
    pub ts_recv: (i64, i64),
    /// Smallest and largest venue id (−1 = none).
    pub ids: (i64, i64),
    /// Whether `ts_recv` never falls.
    pub sorted: bool,
    last_ts: i64,
}

impl Default for PartStats {
    fn default() -> PartStats {
        PartStats {
            rows: 0,
            row: (i64::MAX, i64::MIN),
            ts_recv: (i64::MAX, i64::MIN),
            ids: (-1, -1),
            sorted: true,
            last_ts: i64::MIN,
        }
    }
}

impl PartStats {
    /// Counts the rows of a batch in the table's schema; false if it is not in that schema.
    pub fn add(&mut self, spec: &TableSpec, batch: &RecordBatch) -> bool {
        let column = |i: usize| -> Option<&[i64]> {
            let a = batch.columns().get(i)?.as_primitive_opt::<Int64Type>()?;
            (a.null_count() == 0).then(|| &a.values()[..])
        };
        // `row` and `ts_recv` stand first and third in every table.
        let (Some(row), Some(ts)) = (column(0), column(2)) else { return false };
        self.rows += row.len() as i64;
        for &r in row {
            self.row = (self.row.0.min(r), self.row.1.max(r));
        }
        for &t in ts {
            self.sorted &= t >= self.last_ts;
            self.last_ts = t;
            self.ts_recv = (self.ts_recv.0.min(t), self.ts_recv.1.max(t));
        }
        if let Some((a, b)) = spec.ids {
            let (Some(a), Some(b)) = (column(a), column(b)) else { return false };
            for &id in a.iter().chain(b).filter(|&&id| id >= 0) {
                let low = if self.ids.0 < 0 { id } else { self.ids.0.min(id) };
                self.ids = (low, self.ids.1.max(id));
            }
        }
        true
    }
}

/// One part in the making.
pub struct PartWriter {
    key: PartKey,
    path: String,
    tmp: PathBuf,
    rules_version: u32,
    builder: Builder,
    out: Option<SerializedFileWriter<TmpFile>>,
    hash: PartHash,
    content: Content,
    stats: PartStats,
    exps: (u8, u8),
    closed: bool,
}

impl PartWriter {
    /// Begins a part. Nothing is on disk until the first group is encoded. `rules_version` goes into the footer.
    ///
    /// # Errors
    /// The dataset was opened for reading only.
    pub fn new(ds: &Dataset, key: PartKey, rules_version: u32) -> Result<PartWriter, DatasetError> {
        let path = ds.part_path(&key)?;
        let tmp = ds.next_tmp(key.table)?;
        Ok(PartWriter {
            builder: Builder::new(key.table),
            key,
            path,
            tmp,
            rules_version,
            out: None,
            hash: PartHash::default(),
            content: Content::default(),
            stats: PartStats::default(),
            exps: (0, 0),
            closed: false,
        })
    }

    /// The part's name.
    pub fn key(&self) -> &PartKey {
        &self.key
    }

    /// As [`Builder::push`]; encodes a group first where the row would make it too large.
    ///
    /// # Errors
    /// The file system's, the encoder's, or a row of another table.
    pub fn push(
        &mut self,
        row_no: &mut i64,
        head: &Head,
        instrument_key: &str,
        exps: (u8, u8),
        row: &RowRef<'_>,
    ) -> Result<(), DatasetError> {
        if self.builder.rows() > 0
            && (self.builder.rows() + Builder::rows_of(row) > GROUP_ROWS
                || self.builder.buffered_bytes() >= GROUP_BYTES)
        {
            self.flush_group()?;
        }
        if self.builder.push(row_no, head, instrument_key, exps, row) {
            Ok(())
        } else {
            Err(DatasetError::WrongTable { path: self.path.clone().into(), row: Table::of(row) })
        }
    }

    /// Memory of rows not yet encoded: a function of their content alone.
    pub fn buffered_bytes(&self) -> usize {
        self.builder.buffered_bytes()
    }

    /// Rows pushed so far.
    pub fn rows(&self) -> i64 {
        self.stats.rows + self.builder.rows() as i64
    }

    /// Encodes what is buffered as one row group. Nothing happens if nothing is buffered.
    ///
    /// # Errors
    /// The file system's or the encoder's. The part is lost then; its rows are still in the journal.
    pub fn flush_group(&mut self) -> Result<(), DatasetError> {
        if self.builder.rows() == 0 {
            return Ok(());
        }
        let spec = self.key.table.spec();
        self.exps = self.builder.exps();
        let tmp = self.tmp.clone();
        let fail = |doing| {
            let tmp = tmp.clone();
            move |source| DatasetError::Encode { path: tmp, doing, source }
        };
        let batch = self.builder.take().map_err(|e| fail("building columns")(e.into()))?;
        if !(self.hash.add(&batch) && self.stats.add(spec, &batch) && self.content.update(&batch)) {
            // The builder makes every batch in its table's schema.
            return Err(fail("hashing rows")(ParquetError::General("a column of an unknown type".into())));
        }
        if self.out.is_none() {
            let file = TmpFile { path: self.tmp.clone(), file: None, created: false, waiting: Vec::new() };
            self.out = Some(begin(file, self.key.table).map_err(fail("beginning the file"))?);
        }
        if let Some(w) = &mut self.out {
            encode::row_group(w, spec, &batch).map_err(fail("encoding a row group"))?;
            columns::recycle(batch);
            w.flush().map_err(|e| DatasetError::io(&self.tmp, "writing a row group", e))?;
            w.inner_mut().file = None;
        }
        Ok(())
    }

    /// Encodes the rest and the footer. `None` if the part has no rows: nothing is on disk then.
    ///
    /// # Errors
    /// The file system's or the encoder's.
    pub fn close(mut self) -> Result<Option<ClosedPart>, DatasetError> {
        self.flush_group()?;
        let Some(mut w) = self.out.take() else { return Ok(None) };
        let rows_sha256 = self.hash.hex();
        let one_instrument = self.key.symbol.is_some();
        let exps = if one_instrument { (i64::from(self.exps.0), i64::from(self.exps.1)) } else { (-1, -1) };
        let footer = self.footer(&rows_sha256, exps);
        let fail = |doing| {
            let path = self.tmp.clone();
            move |source| DatasetError::Encode { path, doing, source }
        };
        for kv in &footer {
            w.append_key_value_metadata(kv.clone());
        }
        w.close().map_err(fail("writing the footer"))?;
        if !self.stats.sorted {
            rewrite_unsorted(&self.tmp, self.key.table, footer).map_err(fail("rewriting the footer"))?;
        }
        self.closed = true;
        Ok(Some(ClosedPart {
            key: self.key.clone(),
            path: self.path.clone(),
            tmp: self.tmp.clone(),
            stats: self.stats,
            content: std::mem::take(&mut self.content),
            rows_sha256,
            exps,
        }))
    }

    fn footer(&self, rows_sha256: &str, exps: (i64, i64)) -> Vec<KeyValue> {
        [
            ("schema_version", SCHEMA_VERSION.to_string()),
            ("writer", concat!("lobtape ", env!("CARGO_PKG_VERSION")).to_owned()),
            ("price_exp", exps.0.to_string()),
            ("size_exp", exps.1.to_string()),
            ("rules_version", self.rules_version.to_string()),
            ("rows_sha256", rows_sha256.to_owned()),
        ]
        .into_iter()
        .map(|(k, v)| KeyValue::new(k.to_owned(), v))
        .collect()
    }
}

impl Drop for PartWriter {
    fn drop(&mut self) {
        if !self.closed && self.out.take().is_some() {
            // Best effort: what stays is swept at the next start.
            let _ = std::fs::remove_file(&self.tmp);
        }
    }
}

/// A file that is open only while it is written to.
struct TmpFile {
    path: PathBuf,
    file: Option<File>,
    created: bool,
    /// Written, not yet handed to the kernel: the library writes in pieces of 8 KiB.
    waiting: Vec<u8>,
}

/// Bytes handed to the kernel at once.
const WRITE_BYTES: usize = 1 << 20;

impl TmpFile {
    fn open(&mut self) -> io::Result<&mut File> {
        let file = match self.file.take() {
            Some(f) => f,
            None if self.created => OpenOptions::new().append(true).open(&self.path)?,
            None => {
                let f = OpenOptions::new().append(true).create_new(true).open(&self.path)?;
                self.created = true;
                f
            }
        };
        Ok(self.file.insert(file))
    }
}

impl Write for TmpFile {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        spare::extend(&mut self.waiting, buf);
        if self.waiting.len() >= WRITE_BYTES {
            self.flush()?;
        }
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.waiting.is_empty() {
            let waiting = std::mem::take(&mut self.waiting);
            self.open()?.write_all(&waiting)?;
            spare::give(waiting);
        }
        Ok(())
    }
}

/// Begins a file of a table; [`encode::row_group`] fills it.
///
/// # Errors
/// The library's.
pub fn begin<W: Write + Send>(out: W, table: Table) -> Result<SerializedFileWriter<W>, ParquetError> {
    let how = how(table)?;
    SerializedFileWriter::new(out, how.schema.clone(), how.sorted.clone())
}

/// How a table's files are written.
struct How {
    schema: TypePtr,
    sorted: WriterPropertiesPtr,
    unsorted: WriterPropertiesPtr,
}

/// Made once for each table: small parts would spend more on this than on their rows.
fn how(table: Table) -> Result<&'static How, ParquetError> {
    static ALL: [OnceLock<How>; Table::ALL.len()] = [const { OnceLock::new() }; Table::ALL.len()];
    let place = &ALL[table as usize];
    if let Some(how) = place.get() {
        return Ok(how);
    }
    let spec = table.spec();
    let schema = ArrowSchemaConverter::new().convert(&spec.arrow)?.root_schema_ptr();
    let with = |sorted| {
        let mut p = make_properties(spec, sorted);
        add_encoded_arrow_schema_to_metadata(&spec.arrow, &mut p);
        Arc::new(p)
    };
    Ok(place.get_or_init(|| How { schema, sorted: with(true), unsorted: with(false) }))
}

pub(super) fn make_properties(spec: &TableSpec, sorted: bool) -> WriterProperties {
    // Level 1 is the one used everywhere here; the fallback is zstd's own default level and cannot happen.
    let zstd = Compression::ZSTD(ZstdLevel::try_new(encode::ZSTD_LEVEL).unwrap_or_default());
    let mut b = WriterProperties::builder()
        .set_created_by(concat!("lobtape version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(zstd)
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_bloom_filter_enabled(false);
    if sorted {
        let by = |column_idx| SortingColumn { column_idx, descending: false, nulls_first: false };
        b = b.set_sorting_columns(Some(vec![by(2), by(0)]));
    }
    for c in &spec.columns {
        let path = ColumnPath::from(c.name);
        b = b.set_column_dictionary_enabled(path.clone(), c.encoding == Encoding::Dictionary);
        b = match c.encoding {
            Encoding::Delta => b.set_column_encoding(path.clone(), PqEncoding::DELTA_BINARY_PACKED),
            Encoding::Plain => b.set_column_encoding(path.clone(), PqEncoding::PLAIN),
            Encoding::Dictionary => b,
        };
        if c.ty == ColumnType::Binary {
            // The smallest and largest payload say nothing and would stand in every page index.
            b = b.set_column_statistics_enabled(path, EnabledStatistics::None);
        }
    }
    b.build()
}

/// Writes a closed file again without `sorting_columns`, column chunks copied as they are. Needed only after a
/// backward clock step, which is known when the first groups stand already.
fn rewrite_unsorted(tmp: &Path, table: Table, footer: Vec<KeyValue>) -> Result<(), ParquetError> {
    let from = File::open(tmp)?;
    let meta = ParquetMetaDataReader::new()
        .with_page_index_policy(PageIndexPolicy::Required)
        .parse_and_finish(&from)?;
    let file = meta.file_metadata();
    let props = WriterProperties::clone(&how(table)?.unsorted).into_builder().set_key_value_metadata(
        file.key_value_metadata()
            .map(|all| all.iter().filter(|kv| !footer.iter().any(|f| f.key == kv.key)).cloned().collect()),
    );
    let next = tmp.with_extension("unsorted.tmp");
    let schema = file.schema_descr().root_schema_ptr();
    let mut w = SerializedFileWriter::new(File::create(&next)?, schema, Arc::new(props.build()))?;
    for (g, group) in meta.row_groups().iter().enumerate() {
        let mut out = w.next_row_group()?;
        for (c, column) in group.columns().iter().enumerate() {
            let close = ColumnCloseResult {
                bytes_written: column.compressed_size() as u64,
                rows_written: group.num_rows() as u64,
                metadata: column.clone(),
                bloom_filter: None,
                column_index: meta.column_index().and_then(|x| x.get(g)?.get(c).cloned()),
                offset_index: meta.offset_index().and_then(|x| x.get(g)?.get(c).cloned()),
            };
            out.append_column(&from, close)?;
        }
        out.close()?;
    }
    for kv in footer {
        w.append_key_value_metadata(kv);
    }
    w.close()?;
    std::fs::rename(&next, tmp)?;
    Ok(())
}
