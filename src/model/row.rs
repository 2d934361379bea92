//! Rows: what the fold says of a record, still exact. The dataset room turns them into columns.

use super::event::{Bbo, FundingRate, Kline, Level, Liquidation, Mark, OpenInterest, Ticker, Trade};
use super::ids::{ConnId, InstrumentId, LaneId, VenueIx};
use super::instrument::InstrumentVersion;
use super::num::Mantissa;
use super::record::Record;

/// The columns that every event table begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Instrument, or [`InstrumentId::NONE`].
    pub instrument: InstrumentId,
    /// Venue, or [`VenueIx::NONE`].
    pub venue: VenueIx,
    /// Lane whose fold made the row.
    pub lane: LaneId,
    /// User-space receive time.
    pub ts_recv: i64,
    /// Kernel receive time.
    pub ts_kernel: i64,
    /// Matching time.
    pub ts_event: i64,
    /// Time the message was made.
    pub ts_send: i64,
    /// Connection.
    pub conn: ConnId,
    /// Receive sequence on the connection.
    pub rseq: i64,
    /// Bits of [`super::flags`]; `LAST` is set by the writer on a message's last row.
    pub flags: i32,
}

/// One message of `book_delta`: one row per level, bids then asks, as sent. With both sides empty: one row with
/// `side = 0`, `price` and `size` null.
#[derive(Clone, Copy, Debug)]
pub struct DeltaMsg<'a> {
    /// First update id, −1 if none.
    pub seq_first: i64,
    /// Last update id, −1 if none.
    pub seq_last: i64,
    /// Previous update id, −1 if none.
    pub seq_prev: i64,
    /// Epoch of the book.
    pub book_epoch: i64,
    /// Bid levels.
    pub bids: &'a [Level],
    /// Ask levels.
    pub asks: &'a [Level],
    /// Lowest and highest price of the snapshot's known range: levels outside get `BEYOND_HORIZON`.
    /// `None` = unknown.
    pub horizon: Option<(Mantissa, Mantissa)>,
}

/// Top of a book (own or the venue's): at most 20 levels a side, best first.
#[derive(Clone, Copy, Debug)]
pub struct TopRow<'a> {
    /// Bucket length, ns; 0 = every change; −1 for the venue's own pushes.
    pub interval_ns: i64,
    /// Last update id.
    pub seq_last: i64,
    /// Epoch of the book; 0 for the venue's own pushes.
    pub book_epoch: i64,
    /// Bids, best first.
    pub bids: &'a [Level],
    /// Asks, best first.
    pub asks: &'a [Level],
    /// Price down to which bids are known completely; `None` = unknown.
    pub bid_horizon: Option<Mantissa>,
    /// Price up to which asks are known completely; `None` = unknown.
    pub ask_horizon: Option<Mantissa>,
}

/// Why something is missing. The words are those of `DATASET`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each is its own word; DATASET explains them")]
pub enum GapCause {
    VenueDisconnect,
    VenueSeqGap,
    VenueMaintenance,
    InitialSync,
    ResyncWait,
    RateLimited,
    SubscribeRefused,
    SilentStream,
    StaleTimeout,
    TlsFailure,
    ProtocolViolation,
    LimitExceeded,
    LocalStall,
    ShedDisk,
    StorageError,
    StorageCorruption,
    ProcessCrash,
    PowerLoss,
    ClockStep,
    Operator,
}

impl GapCause {
    /// Every cause.
    pub const ALL: [GapCause; 20] = [
        GapCause::VenueDisconnect,
        GapCause::VenueSeqGap,
        GapCause::VenueMaintenance,
        GapCause::InitialSync,
        GapCause::ResyncWait,
        GapCause::RateLimited,
        GapCause::SubscribeRefused,
        GapCause::SilentStream,
        GapCause::StaleTimeout,
        GapCause::TlsFailure,
        GapCause::ProtocolViolation,
        GapCause::LimitExceeded,
        GapCause::LocalStall,
        GapCause::ShedDisk,
        GapCause::StorageError,
        GapCause::StorageCorruption,
        GapCause::ProcessCrash,
        GapCause::PowerLoss,
        GapCause::ClockStep,
        GapCause::Operator,
    ];

    /// The word on disk.
    pub fn as_str(self) -> &'static str {
        match self {
            GapCause::VenueDisconnect => "venue_disconnect",
            GapCause::VenueSeqGap => "venue_seq_gap",
            GapCause::VenueMaintenance => "venue_maintenance",
            GapCause::InitialSync => "initial_sync",
            GapCause::ResyncWait => "resync_wait",
            GapCause::RateLimited => "rate_limited",
            GapCause::SubscribeRefused => "subscribe_refused",
            GapCause::SilentStream => "silent_stream",
            GapCause::StaleTimeout => "stale_timeout",
            GapCause::TlsFailure => "tls_failure",
            GapCause::ProtocolViolation => "protocol_violation",
            GapCause::LimitExceeded => "limit_exceeded",
            GapCause::LocalStall => "local_stall",
            GapCause::ShedDisk => "shed_disk",
            GapCause::StorageError => "storage_error",
            GapCause::StorageCorruption => "storage_corruption",
            GapCause::ProcessCrash => "process_crash",
            GapCause::PowerLoss => "power_loss",
            GapCause::ClockStep => "clock_step",
            GapCause::Operator => "operator",
        }
    }

    /// From the word.
    #[allow(clippy::should_implement_trait, reason = "a name that is not ours is no error here")]
    pub fn from_str(s: &str) -> Option<GapCause> {
        GapCause::ALL.into_iter().find(|c| c.as_str() == s)
    }
}

/// A row of `gaps`: what is not proven. Missing ids are `(seq_before, seq_after]`.
#[derive(Clone, Copy, Debug)]
pub struct GapRow<'a> {
    /// Stream name.
    pub stream: &'a str,
    /// Why.
    pub cause: GapCause,
    /// Last id before the hole, −1 if none.
    pub seq_before: i64,
    /// Last missing id, −1 if unknown.
    pub seq_after: i64,
    /// When it began.
    pub ts_begin: i64,
    /// When it ended; 0 = still open.
    pub ts_end: i64,
    /// Last frame of the stream before, −1 if none.
    pub rseq_before: i64,
    /// First frame of the stream after, −1 if none.
    pub rseq_after: i64,
    /// Epoch of the book before, 0 if none.
    pub epoch_before: i64,
    /// Epoch of the book after, 0 if none.
    pub epoch_after: i64,
    /// What found it (`ids`, `close`, `watchdog`, `subscription`, `recovery`, `audit`).
    pub detector: &'a str,
    /// What ended it (`ids`, `snapshot`, `reconnect`, `frame`, `acknowledgement`, `listing`, `backfill`, `backfill_partly`, ""), "" while open.
    pub recovered_by: &'a str,
    /// For people.
    pub detail: &'a str,
}

/// A row of `coverage`: what is proven.
#[derive(Clone, Copy, Debug)]
pub struct CoverageRow<'a> {
    /// Stream name.
    pub stream: &'a str,
    /// 0 or 1.
    pub leg: i64,
    /// When the proof began.
    pub ts_begin: i64,
    /// When it ended; 0 = still open.
    pub ts_end: i64,
    /// `ids` or `heartbeat`.
    pub proof: &'a str,
    /// First id, −1 if none.
    pub id_first: i64,
    /// Last id, −1 if none.
    pub id_last: i64,
    /// First frame.
    pub rseq_begin: i64,
    /// Last frame.
    pub rseq_end: i64,
    /// Why it ended: a gap cause, `boundary`, `unsubscribed`, "" while open.
    pub end_cause: &'a str,
}

/// A row of `connections`.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionRow<'a> {
    /// Stream, "" for the whole connection.
    pub stream: &'a str,
    /// 0 or 1.
    pub leg: i64,
    /// URL.
    pub url: &'a str,
    /// `open`, `subscribed`, `ping`, `close`, …
    pub event: &'a str,
    /// WebSocket close code, −1 if none.
    pub close_code: i64,
    /// For people.
    pub detail: &'a str,
}

/// A row of `rejects`.
#[derive(Clone, Copy, Debug)]
pub struct RejectRow<'a> {
    /// Word of [`super::RejectCause::as_str`].
    pub cause: &'a str,
    /// Which part.
    pub detail: &'a str,
    /// The frame.
    pub payload: &'a [u8],
}

/// A row of `raw`: the record itself, with what the fold knows of it.
#[derive(Clone, Copy, Debug)]
pub struct RawRow<'a> {
    /// The record.
    pub record: Record<'a>,
    /// Stream name, "" if none.
    pub stream: &'a str,
}

/// A row of `latency`: one histogram of one minute.
#[derive(Clone, Copy, Debug)]
pub struct LatencyRow<'a> {
    /// Stream, "" for the lane.
    pub stream: &'a str,
    /// `kernel_read`, `read_ring`, `ring_parsed`, `parsed_applied`, `applied_journaled`, `venue_receive`.
    pub hop: &'a str,
    /// Values recorded.
    pub count: i64,
    /// Smallest, ns (may be negative for `venue_receive`).
    pub min: i64,
    /// Median, ns.
    pub p50: i64,
    /// 90th percentile, ns.
    pub p90: i64,
    /// 99th percentile, ns.
    pub p99: i64,
    /// 99.9th percentile, ns.
    pub p999: i64,
    /// Largest, ns.
    pub max: i64,
    /// HDR V2 of the values from 0 up, base64; if there were negative ones, a comma and the same of their magnitudes.
    pub histogram: &'a str,
}

/// A row of `runs`.
#[derive(Clone, Copy, Debug)]
pub struct RunRow<'a> {
    /// As in `RunStart`.
    pub run_id: &'a str,
    /// `capture`, `import`.
    pub writer: &'a str,
    /// Program version.
    pub build: &'a str,
    /// Host name.
    pub host: &'a str,
    /// SHA-256 of the configuration.
    pub config_sha256: &'a str,
    /// Version of the fold's rules.
    pub rules_version: i64,
    /// Start, ns.
    pub ts_start: i64,
    /// Stop, ns; 0 = the row of the start.
    pub ts_stop: i64,
    /// `running`, `clean`, `failed: …`.
    pub exit: &'a str,
}

/// A row of `races`: the same event over both legs.
#[derive(Clone, Copy, Debug)]
pub struct RaceRow<'a> {
    /// Stream name.
    pub stream: &'a str,
    /// Last id of the event.
    pub seq_last: i64,
    /// Connection that brought it first.
    pub conn_first: i64,
    /// Connection that brought it second.
    pub conn_second: i64,
    /// By how much, ns.
    pub lead_ns: i64,
}

/// What came of holding a book against a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditVerdict {
    /// All levels that both know are the same.
    Equal,
    /// The same, but for levels that changed in the event that reaches over the snapshot: they may have changed after it.
    EqualButStraddle,
    /// A level is not what the venue has.
    Differs,
    /// Nothing can be said: the snapshot is older than the audit, its ids are of another count, or the book was lost.
    NotComparable,
}

impl AuditVerdict {
    /// Every verdict, in the order of their numbers.
    pub const ALL: [AuditVerdict; 4] = [
        AuditVerdict::Equal,
        AuditVerdict::EqualButStraddle,
        AuditVerdict::Differs,
        AuditVerdict::NotComparable,
    ];

    /// The word on disk.
    pub fn as_str(self) -> &'static str {
        match self {
            AuditVerdict::Equal => "equal",
            AuditVerdict::EqualButStraddle => "equal_but_straddle",
            AuditVerdict::Differs => "differs",
            AuditVerdict::NotComparable => "not_comparable",
        }
    }
}

/// A row of `audits`: a book held against a snapshot fetched for it.
#[derive(Clone, Copy, Debug)]
pub struct AuditRow<'a> {
    /// Last id of the snapshot.
    pub seq: i64,
    /// Levels that could be compared.
    pub levels_compared: i64,
    /// Of these, different ones.
    pub levels_wrong: i64,
    /// Best rank (0 = best price) of a different level, −1 if none.
    pub worst_rank: i64,
    /// Word of [`AuditVerdict::as_str`].
    pub verdict: &'a str,
}

/// One row (or, for `BookDelta`, one message of rows) of one table.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "each variant is the table of its name")]
pub enum RowRef<'a> {
    BookDelta(DeltaMsg<'a>),
    BookTop(TopRow<'a>),
    BookPartial(TopRow<'a>),
    Bbo(&'a Bbo),
    Trade(&'a Trade<'a>),
    Mark(&'a Mark),
    Liquidation(&'a Liquidation<'a>),
    Ticker(&'a Ticker),
    Kline(&'a Kline<'a>),
    OpenInterest(&'a OpenInterest),
    Funding(&'a FundingRate),
    Instrument { version: &'a InstrumentVersion, ts_valid_from: i64, ts_valid_to: i64 },
    Raw(RawRow<'a>),
    Coverage(CoverageRow<'a>),
    Gap(GapRow<'a>),
    Connection(ConnectionRow<'a>),
    Latency(LatencyRow<'a>),
    Race(RaceRow<'a>),
    Audit(AuditRow<'a>),
    Reject(RejectRow<'a>),
    Clock { offset_ns: i64, max_error_ns: i64, source: &'a str, step_ns: i64 },
    Run(RunRow<'a>),
}
