//! Counters, histograms and what status looks like. This room must not know HTTP, nor who reads it.
//!
//! The path of a frame touches two things here, both without a lock: [`Counter`] and [`Recorder::record`]. All else is
//! for the cold side.

mod counter;
mod hlog;
mod latency;
mod live;
mod sparse;
mod status;
mod storage;

mod external;

pub use counter::{Counter, Gauge};
pub use external::lane_entry;
pub use hlog::HlogWriter;
pub use latency::{Collector, Hop, HopSummary, Recorder, latency};
pub use live::{
    BookMetrics, BookState, ConverterMetrics, JournalMetrics, LaneMetrics, Mark, ParserMetrics,
    ReaderMetrics, Shared, State, StreamMetrics, VenueMetrics,
};
pub use status::{BookStatus, LaneStatus, Status, StreamStatus, VenueStatus, Watermarks};
pub use storage::{StorageMetrics, Writes};
