//! Payloads of the records that are not frames: small JSON objects, readable in `raw` as they are.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::instrument::InstrumentVersion;
use super::link::{IdPolicy, StreamKind, StreamSpec};

/// The name of a stream on a connection.
pub type StreamName = String;

/// Payload of a `Connection` record: one step of a connection's life. The URL is the record's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnEvent {
    /// `open`, `subscribed`, `ping`, `pong`, `close`, `failed`, `refused`, `retire` (a planned rotation begins).
    pub event: String,
    /// Venue slug.
    pub venue: String,
    /// 0 = first leg, 1 = second leg.
    pub leg: u8,
    /// Position of the connection in the venue's plan: the new connection of a slot replaces the old one.
    pub slot: u32,
    /// WebSocket close code, 0 if none.
    #[serde(default)]
    pub code: i32,
    /// A gap cause of `DATASET` (`venue_disconnect`, `silent_stream`, …), "" if the step loses nothing.
    #[serde(default)]
    pub cause: String,
    /// The peer's close frame came: all that it had sent before is here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub answered: bool,
    /// For people.
    #[serde(default)]
    pub detail: String,
}

/// Payload of an `Instrument` record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listed {
    /// The version.
    #[serde(flatten)]
    pub version: InstrumentVersion,
    /// Another lane records it as well, and writes its row: a version has one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub elsewhere: bool,
}

/// Payload of a `Subscription` record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscribed {
    /// Venue slug.
    pub venue: String,
    /// Streams that begin on the record's connection.
    #[serde(default)]
    pub add: Vec<StreamSpec>,
    /// Streams that end on it by our own will.
    #[serde(default)]
    pub remove: Vec<StreamName>,
    /// Streams that end on it because the disk has no room for them; they stay wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shed: Vec<StreamName>,
    /// Streams that the venue has confirmed, where its answers do not name them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub confirmed: Vec<StreamName>,
    /// Streams that it has refused, where its answers do not name them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<StreamName>,
    /// Streams that are wanted and that no connection carries yet, because the venue gives no list or takes no
    /// connection. The record has no connection either.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<StreamSpec>,
}

/// Payload of a `Config` record: what a venue's streams in the lane are from now on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanNote {
    /// Venue slug.
    pub venue: String,
    /// All its streams in this lane.
    pub streams: Vec<StreamName>,
    /// What the configuration says of the venue's ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_policy: Option<IdPolicy>,
    /// Kinds of trades that are asked for by REST when a gap has lost them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backfill: Vec<StreamKind>,
    /// The lane is told of every instrument that the venue lists, because it carries what is about all of them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole_market: bool,
    /// Of the streams, those that are not carried because the disk has no room for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shed: Vec<StreamName>,
}

/// Payload of a `Timer` record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "timer", rename_all = "snake_case")]
pub enum TimerEvent {
    /// The lane crossed an interval boundary; the record's `ts_recv` is the last ns before it.
    Boundary(BoundaryTimer),
    /// A stream brought nothing within its limit.
    Silent {
        /// Stream name on the record's connection.
        stream: StreamName,
    },
    /// A stream that was called silent with all others of its connection: these speak now, so that it may be quiet.
    Served {
        /// Stream name on the record's connection.
        stream: StreamName,
    },
    /// Events of a second connection waited long enough for the first one: what is buffered is a gap.
    LegWait {
        /// `"<venue>:<symbol>"`.
        instrument: String,
    },
    /// A snapshot that was asked for did not come; the cause stands in the gap (`rate_limited`, `resync_wait`).
    SnapshotLate {
        /// `"<venue>:<symbol>"`.
        instrument: String,
        /// Gap cause.
        cause: String,
    },
    /// Whoever asked for the trades that a gap has lost has all that there is, or gave it up.
    Backfilled {
        /// Venue slug.
        venue: String,
        /// The stream.
        stream: StreamName,
        /// When the gap began; with the id before it, its name.
        ts_begin: i64,
        /// The id before the gap, −1 where ids do not say; `None` in journals of before 2026-11-27, which name gaps by
        /// their time alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seq_before: Option<i64>,
        /// Why there is no more, "" where the venue has answered to the end.
        why: String,
    },
    /// A snapshot is about to be asked for, to be held against a book that is thought good.
    Audit {
        /// `"<venue>:<symbol>"`.
        instrument: String,
    },
    /// A minute passed: latency and bookkeeping rows are due.
    Minute,
}

/// An interval boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundaryTimer {
    /// The boundary: start of the new interval, ns.
    pub at: i64,
    /// Length of an interval, ns.
    pub interval_ns: i64,
}

/// Payload of a `Gap` record: a loss that the streams' ids do not show (a crash, a shed, damaged storage).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapNote {
    /// A gap cause of `DATASET`.
    pub cause: String,
    /// First ns that may be missing.
    pub ts_begin: i64,
    /// First ns that is known again; 0 = open.
    pub ts_end: i64,
    /// For people.
    pub detail: String,
}

/// Payload of a `Latency` record: histograms of one venue and minute, or a part of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencyNote {
    /// Venue slug.
    pub venue: String,
    /// Start of the minute, ns.
    pub ts_begin: i64,
    /// One per stream and hop that saw anything.
    pub entries: Vec<LatencyEntry>,
}

/// One histogram; the fields are those of a `latency` row. Times in ns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencyEntry {
    /// Stream, "" for the lane.
    pub stream: String,
    /// Word of the hop.
    pub hop: String,
    /// Values recorded.
    pub count: i64,
    /// Smallest, exact.
    pub min: i64,
    /// Median; quantiles are exact to 1 %.
    pub p50: i64,
    /// 90th percentile.
    pub p90: i64,
    /// 99th percentile.
    pub p99: i64,
    /// 99.9th percentile.
    pub p999: i64,
    /// Largest, exact.
    pub max: i64,
    /// HDR V2 of the values from 0 up, base64; if there were negative ones, a comma and the same of their magnitudes.
    pub histogram: String,
}

/// Payload of a `Run` record: the first of a lane in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStart {
    /// Names the run: `<ts_start in ns>-<pid>`, or a hash of the inputs for imports.
    pub run_id: String,
    /// `capture`, `import`.
    pub writer: String,
    /// Version of the program.
    pub build: String,
    /// Host name.
    pub host: String,
    /// SHA-256 of the configuration, hex.
    pub config_sha256: String,
    /// Version of the fold's rules.
    pub rules_version: u32,
    /// ns since the Unix epoch.
    pub ts_start: i64,
    /// Length of an interval, ns.
    pub interval_ns: i64,
    /// Bucket of `book_top`, ns; 0 = every change.
    pub book_top_interval_ns: i64,
    /// Memory for open parts of this lane, bytes (deterministic pressure).
    pub lane_memory_bytes: u64,
    /// Streams and instruments that nobody declared are made known on first sight (imports).
    pub auto_register: bool,
    /// No epoch of this run is at or below it: the greatest `ts_recv` of the runs before, 0 for the first.
    pub epoch_floor: i64,
    /// Slugs of all venues that this run records; empty = not said. What is still open of others ends where this run begins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub venues: Vec<String>,
}

/// Payload of a `Stop` record: the lane ends cleanly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStop {
    /// As in [`RunStart`].
    pub run_id: String,
    /// ns since the Unix epoch.
    pub ts_stop: i64,
    /// `clean`, `failed: …`.
    pub exit: String,
}

/// Encodes a payload of this module.
pub fn to_payload<T: Serialize>(v: &T) -> Vec<u8> {
    // Infallible: these types have string keys only and no maps that could fail to serialise.
    serde_json::to_vec(v).unwrap_or_default()
}

/// Decodes a payload of this module.
///
/// # Errors
/// The JSON error where the bytes are not this type.
pub fn from_payload<T: DeserializeOwned>(b: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(b)
}
