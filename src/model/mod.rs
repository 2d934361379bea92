//! The vocabulary of the house: prices and sizes, stamps, ids, records of a lane, events, rows, link plans.
//!
//! Plain data and pure functions. This room must not know sockets, clocks, files, threads or any venue.

pub mod control;
pub mod dialect;
pub mod event;
pub mod flags;
pub mod ids;
pub mod instrument;
pub mod lane;
pub mod link;
pub mod num;
pub mod record;
pub mod row;
pub mod time;
pub mod words;

pub use control::{
    BoundaryTimer, ConnEvent, GapNote, LatencyEntry, LatencyNote, Listed, RunStart, RunStop, StreamName,
    Subscribed, TimerEvent,
};
pub use dialect::Dialect;
pub use event::{
    Bbo, DecodeCtx, Depth, Event, FundingRate, Kline, Level, Liquidation, Mark, Notice, OpenInterest,
    Partial, Reject, RejectCause, Reply, StreamInfo, Ticker, Trade, TradeType,
};
pub use ids::{ConnId, InstrumentId, LaneId, Side, StreamId, VenueIx};
pub use instrument::{InstrumentRef, InstrumentVersion};
pub use lane::LaneClock;
pub use link::{
    Chain, ConnPlan, Heartbeat, Hosts, IdPolicy, PlanError, Poll, RestKind, RestPool, RestRefusal,
    RestRequest, SequenceRule, SnapshotSource, StreamKind, StreamSpec, TradesRequest, Tuning, VenueSpec,
};
pub use num::{Dec, Mantissa, mantissa_to_f64, pow10};
pub use record::{Kind, Record, RecordError};
pub use row::{
    AuditRow, AuditVerdict, ConnectionRow, CoverageRow, DeltaMsg, GapCause, GapRow, Head, LatencyRow,
    RaceRow, RawRow, RejectRow, RowRef, RunRow, TopRow,
};
