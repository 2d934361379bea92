//! Pages of one column chunk, their index and the chunk's metadata.

use bytes::Bytes;
use parquet::basic::{BoundaryOrder, Compression, Encoding, EncodingMask, PageType, Type, ZstdLevel};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::ByteArray;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{
    ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder, PageEncodingStats,
};
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;
use zstd::zstd_safe::CParameter;

/// Smallest and largest value of a page or chunk.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Range {
    I64(i64, i64),
    I32(i32, i32),
    F64(f64, f64),
    Bool(bool, bool),
    Text(Vec<u8>, Vec<u8>),
}

impl Range {
    /// Whether this page's range is nowhere below the other's: (forwards, backwards).
    fn order(&self, before: &Range) -> (bool, bool) {
        fn of<T: PartialOrd>(a: &T, b: &T, x: &T, y: &T) -> (bool, bool) {
            (x >= a && y >= b, x <= a && y <= b)
        }
        match (before, self) {
            (Range::I64(a, b), Range::I64(x, y)) => of(a, b, x, y),
            (Range::I32(a, b), Range::I32(x, y)) => of(a, b, x, y),
            (Range::F64(a, b), Range::F64(x, y)) => of(a, b, x, y),
            (Range::Bool(a, b), Range::Bool(x, y)) => of(a, b, x, y),
            (Range::Text(a, b), Range::Text(x, y)) => of(a, b, x, y),
            _ => (false, false),
        }
    }

    fn join(&mut self, other: &Range) {
        match (self, other) {
            (Range::I64(a, b), Range::I64(x, y)) => (*a, *b) = ((*a).min(*x), (*b).max(*y)),
            (Range::I32(a, b), Range::I32(x, y)) => (*a, *b) = ((*a).min(*x), (*b).max(*y)),
            // No NaN comes here.
            (Range::F64(a, b), Range::F64(x, y)) => (*a, *b) = (a.min(*x), b.max(*y)),
            (Range::Bool(a, b), Range::Bool(x, y)) => (*a, *b) = (*a & *x, *b | *y),
            (Range::Text(a, b), Range::Text(x, y)) => {
                if x < a {
                    a.clone_from(x);
                }
                if y > b {
                    b.clone_from(y);
                }
            }
            // A column has one type.
            _ => debug_assert!(false, "ranges of two types"),
        }
    }

    /// As the page index has them.
    fn bytes(&self) -> (Vec<u8>, Vec<u8>) {
        match self {
            Range::I64(a, b) => (a.to_le_bytes().to_vec(), b.to_le_bytes().to_vec()),
            Range::I32(a, b) => (a.to_le_bytes().to_vec(), b.to_le_bytes().to_vec()),
            Range::F64(a, b) => (low(*a).to_le_bytes().to_vec(), high(*b).to_le_bytes().to_vec()),
            Range::Bool(a, b) => (vec![u8::from(*a)], vec![u8::from(*b)]),
            Range::Text(a, b) => (a.clone(), b.clone()),
        }
    }

    /// As the chunk's metadata have them.
    fn statistics(self, nulls: u64) -> Statistics {
        let nulls = Some(nulls);
        match self {
            Range::I64(a, b) => Statistics::int64(Some(a), Some(b), None, nulls, false),
            Range::I32(a, b) => Statistics::int32(Some(a), Some(b), None, nulls, false),
            Range::F64(a, b) => Statistics::double(Some(low(a)), Some(high(b)), None, nulls, false),
            Range::Bool(a, b) => Statistics::boolean(Some(a), Some(b), None, nulls, false),
            Range::Text(a, b) => {
                let text = |t: Vec<u8>| Some(ByteArray::from(t));
                Statistics::byte_array(text(a), text(b), None, nulls, false)
            }
        }
    }
}

/// The format's rule: a zero as the smallest value is the negative one, as the largest the positive one.
fn low(x: f64) -> f64 {
    if x == 0.0 { -0.0 } else { x }
}

fn high(x: f64) -> f64 {
    if x == 0.0 { 0.0 } else { x }
}

/// What is said about a data page.
pub(super) struct About {
    pub rows: usize,
    pub nulls: usize,
    /// `None` if the page has no value, or the column no statistics.
    pub range: Option<Range>,
    pub encoding: Encoding,
}

/// A finished chunk.
pub(super) struct Chunk {
    pub bytes: Bytes,
    pub close: ColumnCloseResult,
}

/// The pages of the chunk in the making.
pub(super) struct Pages {
    out: TrackedWrite<Vec<u8>>,
    zstd: Option<zstd::bulk::Compressor<'static>>,
    /// Size of zstd's table of places, as a power of two; 0 = the level's own.
    places_log: u32,
    /// A page before it is copied behind the others.
    packed: Vec<u8>,
    about: Vec<About>,
    /// Offset and length of each data page.
    places: Vec<(i64, i32)>,
    dictionary: bool,
    uncompressed: usize,
}

impl Default for Pages {
    fn default() -> Pages {
        Pages {
            out: TrackedWrite::new(Vec::new()),
            zstd: None,
            places_log: 0,
            packed: Vec::new(),
            about: Vec::new(),
            places: Vec::new(),
            dictionary: false,
            uncompressed: 0,
        }
    }
}

impl Pages {
    /// Begins a chunk in a buffer that another has left.
    pub(super) fn clear(&mut self, buffer: Vec<u8>) {
        self.out = TrackedWrite::new(buffer);
        self.about.clear();
        self.places.clear();
        self.dictionary = false;
        self.uncompressed = 0;
    }

    /// Has the pages from here on compressed with a table of places of this size (a power of two; 0 = the level's own).
    pub(super) fn set_places(&mut self, log: u32) -> Result<()> {
        if self.places_log != log {
            self.zstd()?.set_parameter(CParameter::HashLog(log))?;
            self.places_log = log;
        }
        Ok(())
    }

    fn zstd(&mut self) -> Result<&mut zstd::bulk::Compressor<'static>> {
        Ok(match &mut self.zstd {
            Some(z) => z,
            // Made once: a context is a megabyte, and a new one for each page costs more than the compression.
            none => none.insert(zstd::bulk::Compressor::new(super::ZSTD_LEVEL)?),
        })
    }

    fn compress(&mut self, values: &[u8]) -> Result<Bytes> {
        let mut packed = std::mem::take(&mut self.packed);
        packed.clear();
        packed.reserve(zstd::zstd_safe::compress_bound(values.len()));
        self.zstd()?.compress_to_buffer(values, &mut packed)?;
        Ok(Bytes::from(packed))
    }

    fn write(&mut self, page: Page, values: usize) -> Result<(i64, i32)> {
        let packed = page.buffer().clone();
        let spec = SerializedPageWriter::new(&mut self.out).write_page(CompressedPage::new(page, values))?;
        self.uncompressed += spec.uncompressed_size;
        // The page is gone, so this is its memory and no copy.
        self.packed = Vec::from(packed);
        Ok((spec.offset as i64, spec.compressed_size as i32))
    }

    /// Adds the dictionary, before any data page.
    pub(super) fn add_dictionary(&mut self, entries: usize, values: &[u8]) -> Result<()> {
        let buf = self.compress(values)?;
        let (num_values, encoding) = (entries as u32, Encoding::PLAIN);
        self.write(Page::DictionaryPage { buf, num_values, encoding, is_sorted: false }, values.len())?;
        self.dictionary = true;
        Ok(())
    }

    /// Adds a data page: levels and values as encoded.
    pub(super) fn add(&mut self, about: About, values: &[u8]) -> Result<()> {
        let buf = self.compress(values)?;
        let page = Page::DataPage {
            buf,
            num_values: about.rows as u32,
            encoding: about.encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let place = self.write(page, values.len())?;
        self.places.push(place);
        self.about.push(about);
        Ok(())
    }

    /// The chunk that these pages are.
    pub(super) fn finish(&mut self, descr: &ColumnDescPtr) -> Result<Chunk> {
        let out = std::mem::replace(&mut self.out, TrackedWrite::new(Vec::new()));
        let bytes = Bytes::from(out.into_inner()?);
        let encoding = self.about.first().map(|a| a.encoding);
        let encoding = encoding.ok_or_else(|| ParquetError::General("a chunk without a page".into()))?;
        let rows: usize = self.about.iter().map(|a| a.rows).sum();
        let mut used = vec![encoding, Encoding::RLE];
        let mut stats = Vec::with_capacity(2);
        if self.dictionary {
            used.push(Encoding::PLAIN);
            stats.push(page_stats(PageType::DICTIONARY_PAGE, Encoding::PLAIN, 1));
        }
        stats.push(page_stats(PageType::DATA_PAGE, encoding, self.about.len()));
        let mut meta = ColumnChunkMetaData::builder(descr.clone())
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_encodings_mask(EncodingMask::new_from_encodings(used.iter()))
            .set_page_encoding_stats(stats)
            .set_total_compressed_size(bytes.len() as i64)
            .set_total_uncompressed_size(self.uncompressed as i64)
            .set_num_values(rows as i64)
            .set_data_page_offset(self.places.first().map_or(0, |p| p.0))
            .set_dictionary_page_offset(self.dictionary.then_some(0));
        let mut column_index = None;
        if descr.physical_type() != Type::BYTE_ARRAY || self.dictionary {
            meta = meta.set_statistics(self.statistics());
            column_index = Some(self.column_index(descr.physical_type()).build()?);
        }
        let mut offsets = OffsetIndexBuilder::new();
        for ((offset, len), about) in self.places.iter().zip(&self.about) {
            offsets.append_row_count(about.rows as i64);
            offsets.append_offset_and_size(*offset, *len);
        }
        let close = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written: rows as u64,
            metadata: meta.build()?,
            bloom_filter: None,
            column_index,
            offset_index: Some(offsets.build()),
        };
        Ok(Chunk { bytes, close })
    }

    fn statistics(&self) -> Statistics {
        let nulls = self.about.iter().map(|a| a.nulls as u64).sum();
        let mut ranges = self.about.iter().filter_map(|a| a.range.as_ref());
        let Some(mut all) = ranges.next().cloned() else {
            // Only floats are ever missing, and here all of them are.
            return Statistics::double(None, None, None, Some(nulls), false);
        };
        ranges.for_each(|r| all.join(r));
        all.statistics(nulls)
    }

    fn column_index(&self, ty: Type) -> ColumnIndexBuilder {
        let mut index = ColumnIndexBuilder::new(ty);
        let (mut up, mut down) = (true, true);
        let mut last: Option<&Range> = None;
        for a in &self.about {
            let (low, high) = a.range.as_ref().map(Range::bytes).unwrap_or_default();
            index.append(a.range.is_none(), low, high, a.nulls as i64);
            if let (Some(now), Some(before)) = (&a.range, last) {
                let (u, d) = now.order(before);
                (up, down) = (up && u, down && d);
            }
            last = a.range.as_ref().or(last);
        }
        index.set_boundary_order(match (up, down) {
            (true, _) => BoundaryOrder::ASCENDING,
            (_, true) => BoundaryOrder::DESCENDING,
            _ => BoundaryOrder::UNORDERED,
        });
        index
    }
}

fn page_stats(page_type: PageType, encoding: Encoding, count: usize) -> PageEncodingStats {
    PageEncodingStats { page_type, encoding, count: count as i32 }
}
