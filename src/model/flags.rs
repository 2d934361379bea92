//! Row flags. The first five keep Databento's meanings (`databento/dbn`, `flags.rs`), the others are ours.

/// Last row of its venue message.
pub const LAST: i32 = 128;
/// Top-of-book message.
pub const TOB: i32 = 64;
/// Row of a snapshot.
pub const SNAPSHOT: i32 = 32;
/// The receive stamp is not to be trusted (stalled ring, clock stepped).
pub const BAD_TS_RECV: i32 = 8;
/// The book may be wrong.
pub const MAYBE_BAD_BOOK: i32 = 4;
/// Carried over from the previous part so that the file opens with a whole book.
pub const CARRIED: i32 = 256;
/// The book was crossed after this message.
pub const CROSSED: i32 = 512;
/// Fetched later by REST.
pub const BACKFILLED: i32 = 1024;
/// Came from the second leg.
pub const SECOND_LEG: i32 = 2048;
/// The level lies beyond the snapshot's known range.
pub const BEYOND_HORIZON: i32 = 4096;
/// A trade that did not come from the book (insurance fund, ADL).
pub const OFF_BOOK: i32 = 8192;
/// The double does not give back the venue's digits.
pub const INEXACT: i32 = 16384;
/// The venue's ids cannot prove the chain.
pub const UNVERIFIED_SEQ: i32 = 32768;
/// A diff received before the snapshot that made it usable.
pub const REPLAYED: i32 = 65536;
/// The book stopped being proven: empty from here.
pub const CLEAR: i32 = 131_072;
/// `ts_event` is no time that the venue stated: an id of the message holds it.
pub const DERIVED_TS: i32 = 262_144;
