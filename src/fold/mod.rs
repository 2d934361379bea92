//! `step(record) -> rows, effects`: parse, sequence, book. Pure: no clock, no socket, no randomness.
//!
//! A [`Fold`] belongs to one lane and sees that lane's records in order. The live reader, the converter, replay,
//! verification and simulation run this same function, so they cannot differ: the live one throws the rows away
//! ([`FoldSink::ROWS`] is false), the converter ignores the effects.

mod answers;
mod audit;
mod backfill;
mod books;
mod boundaries;
mod checkpoint;
mod classes;
mod compare;
pub mod control;
mod counts;
mod deaf;
mod events;
mod frames;
mod gaps;
mod holes;
mod lapses;
mod legs;
mod mute;
mod panics;
mod repeats;
mod seeds;
mod shared;
mod shed;
mod silences;
mod state;
mod streams;
mod successor;
mod top;
mod twins;
mod versions;

#[cfg(test)]
pub(crate) mod tests;

pub use backfill::Wanted;
pub use checkpoint::{RestoreError, Saved};
pub use counts::{FoldCounters, Last};
pub use state::Fold;

use crate::book::Book;
pub use crate::book::Changes;
use crate::model::ConnId;
use crate::model::{
    AuditVerdict, GapCause, Head, InstrumentId, InstrumentVersion, RowRef, StreamId, StreamKind,
};

/// Version of the fold's rules: rises when the same records would give other rows.
pub const RULES_VERSION: u32 = 13;

/// What the fold tells whoever runs it.
pub trait FoldSink {
    /// Whether rows are wanted at all. A live fold says no and pays nothing for them.
    const ROWS: bool;
    /// Whether [`Observed::Applied`] must say what the levels did; without it, only how many were absent.
    const CHANGES: bool = false;
    /// Whether trades are observed too.
    const LIVE: bool = false;
    /// One row, or one message of `book_delta` rows.
    fn row(&mut self, head: &Head, row: RowRef<'_>);
    /// An instrument is new or has a new version; always before the first row that names it.
    fn instrument(&mut self, id: InstrumentId, version: &InstrumentVersion);
    /// Something that the outside must do.
    fn effect(&mut self, effect: Effect<'_>);
    /// The parts of this instrument end here: its exponents or its plan changed.
    fn cut(&mut self, _id: InstrumentId) {}
    /// The first event of a frame is read: a live sink takes the time here, because the fold must not.
    fn parsed(&mut self) {}
    /// A look at the book as it changes, for checkpoints and tests.
    fn observe(&mut self, _what: Observed<'_>) {}
}

/// A moment in a book's life.
#[derive(Clone, Copy)]
pub enum Observed<'a> {
    /// A diff event was seen, whatever becomes of it.
    Diff {
        /// Whose.
        instrument: InstrumentId,
    },
    /// A snapshot was seen for a book that waited for one.
    Loaded {
        /// Whose.
        instrument: InstrumentId,
        /// Its update id.
        snap_id: i64,
        /// The book with nothing but the snapshot.
        book: &'a Book,
        /// Decimals of prices and sizes.
        exps: (u8, u8),
    },
    /// A diff was dropped because the snapshot covers it.
    Stale {
        /// Whose.
        instrument: InstrumentId,
    },
    /// A diff was applied.
    Applied {
        /// Whose.
        instrument: InstrumentId,
        /// Its last update id.
        last: i64,
        /// Whether it had been received before the snapshot.
        replayed: bool,
        /// The book after it.
        book: &'a Book,
        /// Decimals of prices and sizes.
        exps: (u8, u8),
        /// What its level entries did.
        changes: Changes,
    },
    /// The chain broke.
    Gap {
        /// Whose.
        instrument: InstrumentId,
    },
    /// A proven book stopped being proven.
    Cleared {
        /// Whose.
        instrument: InstrumentId,
    },
    /// A candle of a stream, not told before, and the connection that brought it; with [`FoldSink::LIVE`] only.
    Candle(crate::model::ConnId, &'a crate::model::Kline<'a>),
    /// A trade that was not told before; with [`FoldSink::LIVE`] only.
    Trade(&'a crate::model::Trade<'a>),
}

/// What the fold wants done. Never changes state by itself: its outcome comes back as a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect<'a> {
    /// A book needs a snapshot (again).
    NeedSnapshot {
        /// Which.
        instrument: InstrumentId,
        /// Its venue.
        venue: &'a str,
        /// Its symbol.
        symbol: &'a str,
        /// How many snapshots in a row did not prove it.
        attempt: u32,
        /// The connection that is to feed it, 0 = none yet: where snapshots come in-band, the one to ask on.
        conn: ConnId,
    },
    /// A book is proven.
    Synced {
        /// Which.
        instrument: InstrumentId,
    },
    /// A connection is to take the place of the one that feeds a proven book: a snapshot on it shows whether the book can go
    /// on with it.
    Successor {
        /// The new connection.
        conn: i64,
        /// Its venue.
        venue: &'a str,
        /// Whose book.
        symbol: &'a str,
    },
    /// A snapshot came for a book that is proven.
    Compared {
        /// Which.
        instrument: InstrumentId,
        /// It is newer than the book and other than it: a diff is on its way, or does not come.
        ahead: bool,
    },
    /// A frame of a stream is the answer to a message of ours: no sign that the stream itself says something.
    Answer,
    /// A snapshot is here that is no proof by itself: its stream was found silent, and must speak first.
    Loaded {
        /// Which.
        instrument: InstrumentId,
    },
    /// A proven book was held against a snapshot. One that differs is not proven any more: a snapshot is needed as well.
    Audited {
        /// Which.
        instrument: InstrumentId,
        /// What came of it.
        verdict: AuditVerdict,
        /// Id of the snapshot.
        seq: i64,
        /// Levels that were compared.
        compared: i64,
        /// Of these, different ones.
        wrong: i64,
    },
    /// A gap is over, or an interval ended in it: a row of `gaps`.
    Gap {
        /// Whose.
        stream: StreamId,
        /// Why there was one.
        cause: GapCause,
    },
    /// What is missing on one connection may come by the other: a `LegWait` timer is due then.
    LegWait {
        /// Which.
        instrument: InstrumentId,
        /// In so many ns; at most two seconds.
        after_ns: i64,
    },
    /// A frame could not be read, or not all of it: a row of `rejects`.
    Rejected {
        /// Its venue.
        venue: crate::model::VenueIx,
        /// Its stream, if that could be read.
        stream: StreamId,
        /// Which part.
        detail: &'static str,
    },
    /// The venue will close this connection soon: open its replacement.
    Replace {
        /// Which.
        conn: i64,
    },
    /// The venue refused something on this connection.
    Refused {
        /// Which.
        conn: i64,
        /// Its code.
        code: i64,
        /// The stream that it is about, "" if it names none.
        stream: &'a str,
        /// What the venue says of it, "" if nothing. Untrusted text.
        text: &'a str,
    },
    /// A stream's ids are of another class than before, or are known now.
    Class {
        /// Which.
        stream: StreamId,
        /// What they were taken for.
        was: &'static str,
        /// What they are.
        class: &'static str,
    },
    /// The venue confirmed a subscription.
    Confirmed {
        /// Which stream's.
        stream: StreamId,
    },
    /// The venue's instrument list is another one now.
    Listing {
        /// Which venue's.
        venue: &'static str,
    },
    /// An answer that names nothing came: it is that of the message that waits for one.
    Answered {
        /// On which connection.
        conn: i64,
        /// The venue's code, 0 = well.
        code: i64,
        /// What the venue says beside it, "" if nothing. Untrusted text.
        text: &'a str,
    },
    /// The venue pinged by a message on this connection: an answer by a message is due.
    Pong {
        /// Which.
        conn: i64,
    },
}

/// A sink that wants nothing: for warm-up and for counting.
#[derive(Default)]
pub struct NoSink;

impl FoldSink for NoSink {
    const ROWS: bool = false;
    fn row(&mut self, _: &Head, _: RowRef<'_>) {}
    fn instrument(&mut self, _: InstrumentId, _: &InstrumentVersion) {}
    fn effect(&mut self, _: Effect<'_>) {}
}

/// The slug of a venue, for whoever names files; `None` for "no venue".
pub fn venue_slug(ix: crate::model::VenueIx) -> Option<&'static str> {
    crate::venue::all().get(usize::from(ix.0)).map(|v| v.spec().id)
}

/// The reverse of [`venue_slug`].
pub fn venue_index(slug: &str) -> Option<crate::model::VenueIx> {
    crate::venue::by_id(slug).map(|(ix, _)| ix)
}

/// What a venue's slug stands for, for rooms that read datasets and must not know venues.
pub fn venue_spec(slug: &str) -> Option<&'static crate::model::VenueSpec> {
    crate::venue::by_id(slug).map(|(_, v)| v.spec())
}

/// What kind of stream a venue's stream name is of; `None` if it is none of its names.
pub fn stream_kind(slug: &str, name: &str) -> Option<StreamKind> {
    crate::venue::by_id(slug).and_then(|(_, v)| v.parse_stream(name)).map(|s| s.kind)
}

/// The streams that a frame of a recording begins by confirming them, where one frame may confirm several.
pub fn confirmed(slug: &str, frame: &[u8]) -> Vec<String> {
    let Some((_, v)) = crate::venue::by_id(slug) else { return Vec::new() };
    v.confirmed(frame).into_iter().filter(|name| v.parse_stream(name).is_some()).collect()
}

/// How often a stream brings something whatever happens, seconds, and its instrument's symbol; `None` if its name promises nothing.
pub fn stream_pace(slug: &str, name: &str) -> Option<(u32, Option<String>)> {
    let (_, v) = crate::venue::by_id(slug)?;
    let spec = v.parse_stream(name)?;
    v.pace_s(&spec.channel).map(|every| (every, spec.symbol))
}
