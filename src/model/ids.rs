//! Dense ids used in memory. None of them is written to disk: there stand names.

use serde::{Deserialize, Serialize};

/// Dense number of an instrument inside one lane's fold, in the order of first sight.
/// On disk an instrument is `"<venue>:<symbol>"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InstrumentId(pub u32);

impl InstrumentId {
    /// "Concerns no instrument": "" in the `instrument` column.
    pub const NONE: InstrumentId = InstrumentId(u32::MAX);

    /// The id as an index; meaningless for [`InstrumentId::NONE`].
    #[inline]
    pub fn ix(self) -> usize {
        self.0 as usize
    }
}

/// Position of a venue in the registry (`venue::all()`). Opaque: nothing may match on its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct VenueIx(pub u16);

impl VenueIx {
    /// "No venue": the records of lane 000, written under `venue=_`.
    pub const NONE: VenueIx = VenueIx(u16::MAX);
}

/// Dense number of a subscribed stream inside one lane's fold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StreamId(pub u32);

impl StreamId {
    /// "Belongs to no stream" (REST bodies, replies).
    pub const NONE: StreamId = StreamId(u32::MAX);
}

/// A reader thread's number: readers are 1…, 0 is control's lane (`DESIGN` fine print 6).
pub type LaneId = u16;

/// A connection: the time it was opened in ns since the Unix epoch, +1 until free; unique in a dataset for ever.
pub type ConnId = i64;

/// A side of the book, or the side of the taker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(i8)]
pub enum Side {
    /// Buyers; +1 on disk.
    Bid = 1,
    /// Sellers; −1 on disk.
    Ask = -1,
}

impl Side {
    /// The other side.
    #[inline]
    pub fn opposite(self) -> Side {
        match self {
            Side::Bid => Side::Ask,
            Side::Ask => Side::Bid,
        }
    }
}
