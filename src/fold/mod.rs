//! `step(record) -> rows, effects`: parse, sequence, book. Pure: no clock, no socket, no randomness.

use crate::model::{Head, InstrumentId, InstrumentVersion, RowRef, StreamKind};

/// What the fold tells whoever runs it. Live runs ignore rows, the converter ignores effects.
pub trait FoldSink {
    /// One row, or one message of `book_delta` rows.
    fn row(&mut self, head: &Head, row: RowRef<'_>);
    /// An instrument is new or has a new version; always before the first row that names it.
    fn instrument(&mut self, id: InstrumentId, version: &InstrumentVersion);
    /// Something that the outside must do.
    fn effect(&mut self, effect: Effect<'_>);
}

/// What the fold wants done. Never changes state by itself: its outcome comes back as a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect<'a> {
    /// A book needs a snapshot (again).
    NeedSnapshot {
        /// Which.
        instrument: InstrumentId,
        /// Its symbol.
        symbol: &'a str,
        /// How many snapshots in a row did not prove it.
        attempt: u32,
    },
    /// A book is proven.
    Synced {
        /// Which.
        instrument: InstrumentId,
    },
    /// A gap was found.
    Gap {
        /// Whose.
        instrument: InstrumentId,
        /// On what kind of stream.
        kind: StreamKind,
    },
    /// The venue will close this connection soon: open its replacement.
    Replace {
        /// Which.
        conn: i64,
    },
}
