//! Every table as data: names, types and encodings of version 1. Frozen: `schemas/v1/` holds a golden file of each.
//!
//! A later version is a new list beside this one; it never edits this one.

use std::sync::{Arc, LazyLock};

use arrow_schema::{DataType, Field, Schema, SchemaRef};

use crate::model::RowRef;

/// Version of the tables below: `v1/` in paths, `schema_version` in footers.
pub const SCHEMA_VERSION: u32 = 1;

/// A table. The order is that of `DATASET.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each is the table of its name")]
pub enum Table {
    BookDelta,
    BookTop,
    BookPartial,
    Bbo,
    Trades,
    Mark,
    Liquidations,
    Tickers,
    Klines,
    OpenInterest,
    Funding,
    Instruments,
    Raw,
    Coverage,
    Gaps,
    Connections,
    Races,
    Audits,
    Clock,
    Latency,
    Rejects,
    Runs,
}

/// How far a table's files are partitioned in the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// `venue=…/symbol=…/date=…`
    Symbol,
    /// `venue=…/date=…`
    Venue,
    /// `date=…`
    None,
}

/// Type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// int64, never null. Times: 0 = not given. Ids and counts: −1 = not given.
    I64,
    /// int32, never null.
    I32,
    /// float64; null = not given, never NaN.
    F64,
    /// dictionary<int32, string>, never null; "" = not given, also in `instrument` where a row concerns none: a file
    /// with nothing but nulls has an empty dictionary, which Dask cannot join with the dictionaries of other files.
    Text,
    /// boolean, never null.
    Bool,
    /// binary, never null.
    Binary,
}

/// Parquet encoding of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `DELTA_BINARY_PACKED`
    Delta,
    /// Dictionary pages; PLAIN after 1 MiB of dictionary.
    Dictionary,
    /// `PLAIN`
    Plain,
}

/// One column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnSpec {
    /// Name in the file.
    pub name: &'static str,
    /// Type.
    pub ty: ColumnType,
    /// Encoding.
    pub encoding: Encoding,
}

/// One table.
#[derive(Debug)]
pub struct TableSpec {
    /// Which.
    pub table: Table,
    /// Name in the path.
    pub name: &'static str,
    /// Partitioning in the path.
    pub level: Level,
    /// Columns in file order; those of every event table first ([`HEAD`]).
    pub columns: Vec<ColumnSpec>,
    /// Column positions whose smallest and largest value are the id range of the manifest, if the table has ids.
    pub ids: Option<(usize, usize)>,
    /// The Arrow schema of the file.
    pub arrow: SchemaRef,
}

const fn col(name: &'static str, ty: ColumnType, encoding: Encoding) -> ColumnSpec {
    ColumnSpec { name, ty, encoding }
}
const fn int(name: &'static str) -> ColumnSpec {
    col(name, ColumnType::I64, Encoding::Delta)
}
const fn small(name: &'static str) -> ColumnSpec {
    col(name, ColumnType::I32, Encoding::Dictionary)
}
const fn num(name: &'static str) -> ColumnSpec {
    col(name, ColumnType::F64, Encoding::Dictionary)
}
const fn plain(name: &'static str) -> ColumnSpec {
    col(name, ColumnType::F64, Encoding::Plain)
}
const fn text(name: &'static str) -> ColumnSpec {
    col(name, ColumnType::Text, Encoding::Dictionary)
}
const fn flag(name: &'static str) -> ColumnSpec {
    col(name, ColumnType::Bool, Encoding::Plain)
}
const fn bytes(name: &'static str) -> ColumnSpec {
    col(name, ColumnType::Binary, Encoding::Plain)
}

/// The columns that every table begins with.
pub const HEAD: [ColumnSpec; 9] = [
    int("row"),
    text("instrument"),
    int("ts_recv"),
    int("ts_kernel"),
    int("ts_event"),
    int("ts_send"),
    int("conn"),
    int("rseq"),
    small("flags"),
];

/// Levels a side of `book_top` and `book_partial`.
pub const TOP_LEVELS: usize = 20;

macro_rules! top_levels {
    ($($n:literal)*) => {
        [$(
            num(concat!("bid_px_", $n)),
            num(concat!("ask_px_", $n)),
            plain(concat!("bid_sz_", $n)),
            plain(concat!("ask_sz_", $n)),
        )*]
    };
}

const TOP: [ColumnSpec; 4 * TOP_LEVELS] = top_levels!(
    "00" "01" "02" "03" "04" "05" "06" "07" "08" "09" "10" "11" "12" "13" "14" "15" "16" "17" "18" "19"
);

impl Table {
    /// Every table.
    pub const ALL: [Table; 22] = [
        Table::BookDelta,
        Table::BookTop,
        Table::BookPartial,
        Table::Bbo,
        Table::Trades,
        Table::Mark,
        Table::Liquidations,
        Table::Tickers,
        Table::Klines,
        Table::OpenInterest,
        Table::Funding,
        Table::Instruments,
        Table::Raw,
        Table::Coverage,
        Table::Gaps,
        Table::Connections,
        Table::Races,
        Table::Audits,
        Table::Clock,
        Table::Latency,
        Table::Rejects,
        Table::Runs,
    ];

    /// The name in the path.
    pub fn name(self) -> &'static str {
        self.spec().name
    }

    /// From the name in the path.
    pub fn from_name(name: &str) -> Option<Table> {
        Table::ALL.into_iter().find(|t| t.name() == name)
    }

    /// What the table is.
    pub fn spec(self) -> &'static TableSpec {
        static SPECS: LazyLock<Vec<TableSpec>> =
            LazyLock::new(|| Table::ALL.into_iter().map(make_spec).collect());
        &SPECS[self as usize]
    }

    /// The table that a row of the fold belongs to.
    pub fn of(row: &RowRef<'_>) -> Table {
        match row {
            RowRef::BookDelta(_) => Table::BookDelta,
            RowRef::BookTop(_) => Table::BookTop,
            RowRef::BookPartial(_) => Table::BookPartial,
            RowRef::Bbo(_) => Table::Bbo,
            RowRef::Trade(_) => Table::Trades,
            RowRef::Mark(_) => Table::Mark,
            RowRef::Liquidation(_) => Table::Liquidations,
            RowRef::Ticker(_) => Table::Tickers,
            RowRef::Kline(_) => Table::Klines,
            RowRef::OpenInterest(_) => Table::OpenInterest,
            RowRef::Funding(_) => Table::Funding,
            RowRef::Instrument { .. } => Table::Instruments,
            RowRef::Raw(_) => Table::Raw,
            RowRef::Coverage(_) => Table::Coverage,
            RowRef::Gap(_) => Table::Gaps,
            RowRef::Connection(_) => Table::Connections,
            RowRef::Latency(_) => Table::Latency,
            RowRef::Race(_) => Table::Races,
            RowRef::Audit(_) => Table::Audits,
            RowRef::Reject(_) => Table::Rejects,
            RowRef::Clock { .. } => Table::Clock,
            RowRef::Run(_) => Table::Runs,
        }
    }
}

impl TableSpec {
    /// Position of a column.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }

    /// The golden text of this table: JSON, one column a line.
    pub fn golden(&self) -> String {
        let mut s = format!(
            "{{\n  \"schema_version\": {SCHEMA_VERSION},\n  \"table\": \"{}\",\n  \"partitioned_by\": {},\n  \"columns\": [\n",
            self.name,
            match self.level {
                Level::Symbol => "[\"venue\", \"symbol\", \"date\"]",
                Level::Venue => "[\"venue\", \"date\"]",
                Level::None => "[\"date\"]",
            }
        );
        for (i, (c, f)) in self.columns.iter().zip(self.arrow.fields()).enumerate() {
            let comma = if i + 1 == self.columns.len() { "" } else { "," };
            s.push_str(&format!(
                "    {{\"name\": \"{}\", \"type\": \"{}\", \"nullable\": {}, \"encoding\": \"{}\"}}{comma}\n",
                c.name,
                c.ty.word(),
                f.is_nullable(),
                c.encoding.word()
            ));
        }
        s.push_str("  ]\n}\n");
        s
    }
}

impl ColumnType {
    /// The word in golden files.
    pub fn word(self) -> &'static str {
        match self {
            ColumnType::I64 => "int64",
            ColumnType::I32 => "int32",
            ColumnType::F64 => "float64",
            ColumnType::Text => "dictionary<int32,string>",
            ColumnType::Bool => "bool",
            ColumnType::Binary => "binary",
        }
    }

    /// The Arrow type.
    pub fn arrow(self) -> DataType {
        match self {
            ColumnType::I64 => DataType::Int64,
            ColumnType::I32 => DataType::Int32,
            ColumnType::F64 => DataType::Float64,
            ColumnType::Text => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
            ColumnType::Bool => DataType::Boolean,
            ColumnType::Binary => DataType::Binary,
        }
    }
}

impl Encoding {
    /// The word in golden files.
    pub fn word(self) -> &'static str {
        match self {
            Encoding::Delta => "delta_binary_packed",
            Encoding::Dictionary => "dictionary",
            Encoding::Plain => "plain",
        }
    }
}

fn make_spec(table: Table) -> TableSpec {
    let (name, level, ids, own) = own_columns(table);
    let columns: Vec<ColumnSpec> = HEAD.into_iter().chain(own).collect();
    let at = |name: &str| columns.iter().position(|c| c.name == name);
    let ids = ids.and_then(|(a, b)| at(a).zip(at(b)));
    let fields: Vec<Field> =
        columns.iter().map(|c| Field::new(c.name, c.ty.arrow(), c.ty == ColumnType::F64)).collect();
    TableSpec { table, name, level, ids, columns, arrow: Arc::new(Schema::new(fields)) }
}

type Own = (&'static str, Level, Option<(&'static str, &'static str)>, Vec<ColumnSpec>);

fn own_columns(table: Table) -> Own {
    match table {
        Table::BookDelta | Table::BookTop | Table::BookPartial | Table::Bbo | Table::Trades => own_hot(table),
        Table::Mark | Table::Liquidations => own_risk(table),
        Table::Tickers | Table::Klines | Table::OpenInterest | Table::Funding => own_statistics(table),
        Table::Instruments | Table::Raw | Table::Connections | Table::Rejects | Table::Runs => {
            own_records(table)
        }
        Table::Coverage | Table::Gaps | Table::Races | Table::Audits => own_proofs(table),
        Table::Clock | Table::Latency => own_times(table),
    }
}

fn own_hot(table: Table) -> Own {
    use Level::Symbol;
    match table {
        Table::BookDelta => (
            "book_delta",
            Symbol,
            Some(("seq_first", "seq_last")),
            vec![
                int("seq_first"),
                int("seq_last"),
                int("seq_prev"),
                int("book_epoch"),
                small("side"),
                num("price"),
                num("size"),
            ],
        ),
        Table::Bbo => (
            "bbo",
            Symbol,
            Some(("seq_last", "seq_last")),
            vec![int("seq_last"), num("bid_px_00"), num("ask_px_00"), plain("bid_sz_00"), plain("ask_sz_00")],
        ),
        Table::Trades => (
            "trades",
            Symbol,
            Some(("trade_id", "trade_id_last")),
            vec![
                int("trade_id"),
                int("trade_id_last"),
                text("trade_id_text"),
                small("side"),
                num("price"),
                num("size"),
                text("trade_type"),
                flag("is_aggregate"),
            ],
        ),
        // `book_top` and `book_partial`: the same columns.
        _ => {
            let name = if table == Table::BookTop { "book_top" } else { "book_partial" };
            let mut c = vec![int("interval_ns"), int("seq_last"), int("book_epoch")];
            c.extend(TOP);
            c.extend([num("bid_horizon"), num("ask_horizon")]);
            (name, Symbol, Some(("seq_last", "seq_last")), c)
        }
    }
}

fn own_risk(table: Table) -> Own {
    use Level::Symbol;
    match table {
        Table::Mark => (
            "mark",
            Symbol,
            None,
            vec![
                num("mark_px"),
                num("index_px"),
                num("settle_px"),
                num("funding_rate"),
                int("ts_next_funding"),
            ],
        ),
        _ => (
            "liquidations",
            Symbol,
            None,
            vec![
                small("side"),
                text("order_type"),
                text("tif"),
                num("price"),
                num("avg_price"),
                num("size"),
                num("last_filled"),
                num("filled"),
                text("status"),
            ],
        ),
    }
}

fn own_statistics(table: Table) -> Own {
    use Level::Symbol;
    match table {
        Table::Tickers => (
            "tickers",
            Symbol,
            None,
            vec![
                num("open"),
                num("high"),
                num("low"),
                num("last"),
                num("last_size"),
                num("volume"),
                num("quote_volume"),
                int("trade_count"),
                int("ts_open"),
                int("ts_close"),
            ],
        ),
        Table::Klines => (
            "klines",
            Symbol,
            None,
            vec![
                text("interval"),
                int("ts_open"),
                int("ts_close"),
                num("open"),
                num("high"),
                num("low"),
                num("close"),
                num("volume"),
                num("quote_volume"),
                num("taker_volume"),
                num("taker_quote_volume"),
                int("trade_count"),
                int("trade_id_first"),
                int("trade_id_last"),
                flag("is_closed"),
            ],
        ),
        Table::OpenInterest => ("open_interest", Symbol, None, vec![num("open_interest")]),
        _ => ("funding", Symbol, None, vec![num("funding_rate"), int("ts_funding")]),
    }
}

fn own_records(table: Table) -> Own {
    match table {
        Table::Instruments => (
            "instruments",
            Level::Venue,
            None,
            vec![
                text("base"),
                text("quote"),
                text("settle"),
                text("contract_type"),
                flag("is_inverse"),
                text("status"),
                int("price_exp"),
                int("size_exp"),
                num("tick_size"),
                num("step_size"),
                num("min_notional"),
                num("contract_size"),
                int("ts_expiry"),
                int("ts_valid_from"),
                int("ts_valid_to"),
                text("source"),
                text("raw_json"),
            ],
        ),
        Table::Raw => (
            "raw",
            Level::Venue,
            Some(("lane_seq", "lane_seq")),
            vec![
                int("lane"),
                int("lane_seq"),
                int("ts_mono"),
                text("kind"),
                text("stream"),
                text("url"),
                small("status"),
                bytes("payload"),
            ],
        ),
        Table::Connections => (
            "connections",
            Level::Venue,
            None,
            vec![text("stream"), int("leg"), text("url"), text("event"), int("close_code"), text("detail")],
        ),
        Table::Rejects => {
            ("rejects", Level::Venue, None, vec![text("cause"), text("detail"), bytes("payload")])
        }
        _ => (
            "runs",
            Level::None,
            None,
            vec![
                text("run_id"),
                text("writer"),
                text("build"),
                text("host"),
                text("config_sha256"),
                int("rules_version"),
                int("ts_start"),
                int("ts_stop"),
                text("exit"),
            ],
        ),
    }
}

fn own_proofs(table: Table) -> Own {
    match table {
        Table::Coverage => (
            "coverage",
            Level::Venue,
            None,
            vec![
                text("stream"),
                int("leg"),
                int("ts_begin"),
                int("ts_end"),
                text("proof"),
                int("id_first"),
                int("id_last"),
                int("rseq_begin"),
                int("rseq_end"),
                text("end_cause"),
            ],
        ),
        Table::Gaps => (
            "gaps",
            Level::Venue,
            None,
            vec![
                text("stream"),
                text("cause"),
                int("seq_before"),
                int("seq_after"),
                int("ts_begin"),
                int("ts_end"),
                int("rseq_before"),
                int("rseq_after"),
                int("epoch_before"),
                int("epoch_after"),
                text("detector"),
                text("recovered_by"),
                text("detail"),
            ],
        ),
        Table::Races => (
            "races",
            Level::Venue,
            None,
            vec![text("stream"), int("seq_last"), int("conn_first"), int("conn_second"), int("lead_ns")],
        ),
        _ => (
            "audits",
            Level::Venue,
            None,
            vec![int("seq"), int("levels_compared"), int("levels_wrong"), int("worst_rank"), text("verdict")],
        ),
    }
}

fn own_times(table: Table) -> Own {
    match table {
        Table::Clock => (
            "clock",
            Level::None,
            None,
            vec![int("offset_ns"), int("max_error_ns"), text("source"), int("step_ns")],
        ),
        _ => (
            "latency",
            Level::Venue,
            None,
            vec![
                text("stream"),
                text("hop"),
                int("count"),
                int("min"),
                int("p50"),
                int("p90"),
                int("p99"),
                int("p999"),
                int("max"),
                text("histogram"),
            ],
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// A table that differs from its golden file is a new schema version, not an edit: the files are never rewritten.
    #[test]
    fn every_table_equals_its_golden_file() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/v1");
        for t in Table::ALL {
            let path = dir.join(format!("{}.json", t.name()));
            let golden = std::fs::read_to_string(&path)
                .unwrap_or_else(|e| panic!("{}: {e}\nexpected:\n{}", path.display(), t.spec().golden()));
            assert_eq!(t.spec().golden(), golden, "{}", path.display());
            serde_json::from_str::<serde_json::Value>(&golden).expect("golden files are JSON");
        }
        assert_eq!(std::fs::read_dir(dir).expect("schemas").count(), Table::ALL.len());
    }

    #[test]
    fn keys_of_the_path_are_no_columns_and_names_are_unique() {
        for t in Table::ALL {
            let spec = t.spec();
            assert_eq!(Table::from_name(spec.name), Some(t));
            assert_eq!(spec.table, t);
            for (i, c) in spec.columns.iter().enumerate() {
                assert!(!["venue", "symbol", "date"].contains(&c.name), "{}.{}", spec.name, c.name);
                assert_eq!(spec.column(c.name), Some(i));
            }
        }
    }
}
