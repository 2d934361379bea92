//! Rows of one open part that are not encoded yet. Compact: memory decides how large row groups become.

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;

use super::columns::{Columns, fixed_width};
use super::delta::{self, DeltaStore};
use super::rows::{self, Exps};
use super::schema::{Table, TableSpec};
use crate::model::{Head, RowRef};

/// Rows of one table, in order, not encoded yet.
pub struct Builder {
    spec: &'static TableSpec,
    store: Store,
    /// Of the last row, for the footer.
    exps: Exps,
    /// The one instrument of `book_delta`; other tables keep it per row.
    instrument: String,
    rows: usize,
    width: usize,
}

enum Store {
    Delta(DeltaStore),
    Columns(Columns),
}

impl Builder {
    /// An empty builder of a table.
    pub fn new(table: Table) -> Builder {
        let spec = table.spec();
        let store = match table {
            Table::BookDelta => Store::Delta(DeltaStore::default()),
            _ => Store::Columns(Columns::new(spec)),
        };
        Builder {
            spec,
            store,
            exps: Exps::default(),
            instrument: String::new(),
            rows: 0,
            width: fixed_width(spec),
        }
    }

    /// Which table.
    pub fn table(&self) -> Table {
        self.spec.table
    }

    /// How many rows [`Builder::push`] would add for this.
    pub fn rows_of(row: &RowRef<'_>) -> usize {
        match row {
            RowRef::BookDelta(m) => delta::rows_of(m),
            _ => 1,
        }
    }

    /// Adds one row, or all rows of one `book_delta` message: bids, then asks. `row_no` is the `row` of the first and
    /// moves on by as many as were added. `instrument_key` is `"<venue>:<symbol>"`, "" where a row concerns none;
    /// `exps` are the decimals of prices and sizes.
    ///
    /// `LAST` is set on the last row, `BEYOND_HORIZON` and `INEXACT` where they hold. A row of another table is
    /// refused.
    pub fn push(
        &mut self,
        row_no: &mut i64,
        head: &Head,
        instrument_key: &str,
        exps: (u8, u8),
        row: &RowRef<'_>,
    ) -> bool {
        if Table::of(row) != self.spec.table {
            return false;
        }
        self.exps = exps.into();
        let n = Builder::rows_of(row);
        match (&mut self.store, row) {
            (Store::Delta(d), RowRef::BookDelta(m)) => {
                if self.instrument != instrument_key {
                    instrument_key.clone_into(&mut self.instrument);
                }
                d.push(*row_no, head, self.exps, m);
            }
            (Store::Columns(c), row) => rows::push(c, *row_no, head, instrument_key, self.exps, row),
            // Excluded by the check above: the store follows from the table.
            (Store::Delta(_), _) => return false,
        }
        *row_no += n as i64;
        self.rows += n;
        true
    }

    /// Rows not encoded yet.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Memory of these rows, in bytes: a function of their content alone, so that a group cut by memory pressure is
    /// cut at the same row in every run.
    pub fn buffered_bytes(&self) -> usize {
        match &self.store {
            Store::Delta(d) => d.bytes(),
            Store::Columns(c) => self.rows * self.width + c.var_bytes,
        }
    }

    /// Decimals of prices and sizes of the last row.
    pub fn exps(&self) -> (u8, u8) {
        (self.exps.price, self.exps.size)
    }

    /// Takes the rows out as one batch in the table's schema.
    ///
    /// # Errors
    /// Arrow's, if columns differ in length: a fault in this room.
    pub fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        self.rows = 0;
        let arrays = match &mut self.store {
            Store::Delta(d) => d.take(&self.instrument)?,
            Store::Columns(c) => c.take()?,
        };
        RecordBatch::try_new(self.spec.arrow.clone(), arrays)
    }
}
