//! Our pages against the library's: the same values, statistics and page index out of both, read by the library.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch,
    types::Int32Type,
};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use proptest::prelude::*;

use super::super::part::{begin, make_properties};
use super::super::schema::{ColumnType, Table};
use super::columns::{PAGE_ROWS, TEXT_MAX};
use super::*;

/// What a column is filled with: a choice of values, so that dictionaries and runs occur.
#[derive(Clone, Debug)]
struct Fill {
    numbers: Vec<i64>,
    floats: Vec<Option<f64>>,
    texts: Vec<String>,
    /// Positions in the above, row by row; a column takes them from its own start.
    picks: Vec<usize>,
}

impl Fill {
    fn array(&self, ty: ColumnType, rows: usize, from: usize) -> ArrayRef {
        let picks = || (0..rows).map(|i| self.picks[(i + from) % self.picks.len()]);
        let number = |p: usize| self.numbers[p % self.numbers.len()];
        let text = |p: usize| self.texts[p % self.texts.len()].as_str();
        match ty {
            ColumnType::I64 => Arc::new(Int64Array::from_iter_values(picks().map(number))),
            ColumnType::I32 => Arc::new(Int32Array::from_iter_values(picks().map(|p| number(p) as i32))),
            ColumnType::F64 => {
                Arc::new(picks().map(|p| self.floats[p % self.floats.len()]).collect::<Float64Array>())
            }
            ColumnType::Bool => Arc::new(picks().map(|p| Some(p % 3 == 0)).collect::<BooleanArray>()),
            ColumnType::Text => Arc::new(picks().map(text).collect::<DictionaryArray<Int32Type>>()),
            ColumnType::Binary => Arc::new(BinaryArray::from_iter_values(picks().map(text))),
        }
    }

    fn batch(&self, table: Table, rows: usize) -> RecordBatch {
        let spec = table.spec();
        let arrays = spec.columns.iter().enumerate().map(|(i, c)| self.array(c.ty, rows, 7 * i));
        RecordBatch::try_new(spec.arrow.clone(), arrays.collect()).unwrap()
    }
}

fn ours(table: Table, batches: &[RecordBatch]) -> Bytes {
    let mut w = begin(Vec::new(), table).unwrap();
    for b in batches {
        row_group(&mut w, table.spec(), b).unwrap();
    }
    w.into_inner().unwrap().into()
}

fn theirs(table: Table, batches: &[RecordBatch]) -> Bytes {
    let props = make_properties(table.spec(), true);
    let mut w = ArrowWriter::try_new(Vec::new(), table.spec().arrow.clone(), Some(props)).unwrap();
    for b in batches {
        w.write(b).unwrap();
        w.flush().unwrap();
    }
    w.into_inner().unwrap().into()
}

fn rows(file: &Bytes) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file.clone()).unwrap().with_batch_size(1 << 20);
    reader.build().unwrap().map(Result::unwrap).collect()
}

fn metadata(file: &Bytes) -> ParquetMetaData {
    let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required);
    reader.parse_and_finish(file).unwrap()
}

/// The same to every reader: values, schema, statistics and, where there is one page, its index.
fn assert_same(table: Table, batches: &[RecordBatch]) {
    let (a, b) = (ours(table, batches), theirs(table, batches));
    assert_eq!(rows(&a), rows(&b));
    let (a, b) = (metadata(&a), metadata(&b));
    assert_eq!(a.file_metadata().schema_descr(), b.file_metadata().schema_descr());
    assert_eq!(a.file_metadata().key_value_metadata(), b.file_metadata().key_value_metadata());
    for (g, (x, y)) in a.row_groups().iter().zip(b.row_groups()).enumerate() {
        assert_eq!((x.num_rows(), x.sorting_columns()), (y.num_rows(), y.sorting_columns()));
        for (c, (p, q)) in x.columns().iter().zip(y.columns()).enumerate() {
            let name = &table.spec().columns[c].name;
            let range = |m: &parquet::file::metadata::ColumnChunkMetaData| {
                let s = m.statistics()?;
                let bytes = |b: Option<&[u8]>| b.map(<[u8]>::to_vec);
                Some((bytes(s.min_bytes_opt()), bytes(s.max_bytes_opt()), s.null_count_opt()))
            };
            assert_eq!((range(p), p.num_values()), (range(q), q.num_values()), "{name}");
            if x.num_rows() as usize <= PAGE_ROWS {
                let index = |m: &ParquetMetaData| format!("{:?}", m.column_index().unwrap()[g][c]);
                let at = |s: &str| s.find("repetition_level_histograms").unwrap_or(s.len());
                let (i, j) = (index(&a), index(&b));
                assert_eq!(i[..at(&i)], j[..at(&j)], "{name}");
            }
        }
    }
}

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![
        any::<i64>(),
        Just(i64::MIN),
        Just(i64::MAX),
        -3i64..300,
        1_700_000_000_000_000_000i64..1_700_000_001_000_000_000,
    ]
}

fn float() -> impl Strategy<Value = Option<f64>> {
    let finite = any::<f64>().prop_filter("no table holds a NaN", |x| !x.is_nan());
    prop_oneof![
        4 => (0i64..900_000).prop_map(|m| Some(m as f64 / 10.0)),
        2 => finite.prop_map(Some),
        1 => Just(Some(0.0)),
        1 => Just(Some(-0.0)),
        1 => Just(None),
    ]
}

fn fill() -> impl Strategy<Value = Fill> {
    let picks = proptest::collection::vec((0usize..600, 1usize..40), 1..60);
    let texts = proptest::collection::vec(".{0,12}", 1..300);
    (proptest::collection::vec(number(), 1..600), proptest::collection::vec(float(), 1..600), texts, picks)
        .prop_map(|(numbers, floats, texts, picks)| {
            // Runs of one pick, and each pick's neighbours.
            let picks = picks.into_iter().flat_map(|(p, n)| (0..n).map(move |i| p + i % (1 + p % 3)));
            Fill { numbers, floats, texts, picks: picks.collect() }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_reader_finds_what_the_librarys_writer_would_have_left(
        fill in fill(), table in 0usize..Table::ALL.len(), rows in proptest::collection::vec(1usize..3_000, 1..3),
    ) {
        let table = Table::ALL[table];
        let batches: Vec<_> = rows.into_iter().map(|n| fill.batch(table, n)).collect();
        assert_same(table, &batches);
    }
}

fn plain_fill() -> Fill {
    Fill {
        numbers: (0..70_000).map(|i| i * i * 31 % 1_000_003).collect(),
        floats: (0..70_000).map(|i| (i % 9 != 4).then(|| f64::from(i * 7 % 66_000) / 4.0)).collect(),
        texts: (0..400).map(|i| format!("text {i}")).collect(),
        picks: (0..70_000).collect(),
    }
}

#[test]
fn groups_of_many_pages_and_wide_dictionaries_come_back() {
    let fill = plain_fill();
    for table in [Table::BookDelta, Table::Trades, Table::Bbo, Table::Raw] {
        assert_same(table, &[fill.batch(table, 3 * PAGE_ROWS + 17), fill.batch(table, 5)]);
        let index = metadata(&ours(table, &[fill.batch(table, 3 * PAGE_ROWS + 17)]));
        let pages = index.offset_index().unwrap()[0][0].page_locations().len();
        assert_eq!(pages, 4, "{table:?}");
    }
}

#[test]
fn a_page_without_a_value_is_marked_as_such() {
    let mut fill = plain_fill();
    fill.floats = (0..70_000).map(|i| (i >= PAGE_ROWS).then_some(1.5)).collect();
    let table = Table::Mark;
    assert_same(table, &[fill.batch(table, 2 * PAGE_ROWS)]);
    fill.floats = vec![None];
    assert_same(table, &[fill.batch(table, 2_000)]);
}

#[test]
fn what_has_another_shape_goes_to_the_library() {
    let mut fill = plain_fill();
    fill.texts.push("x".repeat(TEXT_MAX + 1));
    assert_same(Table::Connections, &[fill.batch(Table::Connections, 1_000)]);
    let mut fill = plain_fill();
    fill.texts = (0..40_000).map(|i| format!("an id that is rather long: {i:020}")).collect();
    assert_same(Table::Trades, &[fill.batch(Table::Trades, 40_000)]);
    let mut fill = plain_fill();
    fill.floats[3] = Some(f64::NAN);
    let table = Table::Bbo;
    let (a, b) = (ours(table, &[fill.batch(table, 100)]), theirs(table, &[fill.batch(table, 100)]));
    let text = |f| rows(f).iter().map(|b| format!("{b:?}")).collect::<String>();
    assert_eq!(text(&a), text(&b));
}

#[test]
fn what_was_encoded_before_changes_no_byte() {
    let fill = plain_fill();
    let batch = fill.batch(Table::BookDelta, 40_000);
    let other = fill.batch(Table::BookTop, 9_000);
    let fresh = {
        let batch = batch.clone();
        std::thread::spawn(move || ours(Table::BookDelta, &[batch])).join().unwrap()
    };
    for before in [vec![], vec![other.clone()], vec![other.clone(), other]] {
        ours(Table::BookTop, &before);
        assert_eq!(ours(Table::BookDelta, std::slice::from_ref(&batch)), fresh);
    }
}
