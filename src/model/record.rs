//! The record: the one input of state. Everything that changes a lane's state is one of these, in order.
//!
//! The same bytes stand in the raw ring and (inside the journal's framing) on disk; `raw` rows give them back.
//!
//! ```text
//!  0 kind u8 | 1 flags u8 | 2 lane u16 | 4 url_len u16 | 6 zero u16 | 8 status i32 | 12 payload_len u32
//! 16 conn i64 | 24 lane_seq i64 | 32 rseq i64 | 40 ts_kernel i64 | 48 ts_mono i64 | 56 ts_recv i64
//! 64 url bytes, payload bytes            all little-endian
//! ```

use super::ids::{ConnId, LaneId};

/// Bytes of the fixed part.
pub const HEADER_LEN: usize = 64;

/// What a record is. The numbers are on disk: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A WebSocket message as received.
    Frame = 1,
    /// A REST body; `url` and `status` say of what.
    Rest = 2,
    /// A message that we sent.
    Sent = 3,
    /// A verdict of a clock or watchdog ([`super::TimerEvent`]).
    Timer = 4,
    /// Streams that begin or end on a connection ([`super::Subscribed`]).
    Subscription = 5,
    /// The configuration in force, as JSON.
    Config = 6,
    /// An instrument's new version ([`super::InstrumentVersion`]).
    Instrument = 7,
    /// A connection's life ([`super::ConnEvent`]).
    Connection = 8,
    /// A loss found outside the streams' own ids ([`super::GapNote`]).
    Gap = 9,
    /// A minute's clock reading.
    Clock = 10,
    /// Histograms of a minute.
    Latency = 11,
    /// The fold's state at an interval boundary.
    Checkpoint = 12,
    /// Journal only: how far the data is durable.
    Sync = 13,
    /// Journal only: the segment is complete.
    Seal = 14,
    /// A run begins: the lane's state is reset to what is carried ([`super::RunStart`]).
    Run = 15,
    /// The run ends cleanly ([`super::RunStop`]).
    Stop = 16,
}

impl Kind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Kind; 16] = [
        Kind::Frame,
        Kind::Rest,
        Kind::Sent,
        Kind::Timer,
        Kind::Subscription,
        Kind::Config,
        Kind::Instrument,
        Kind::Connection,
        Kind::Gap,
        Kind::Clock,
        Kind::Latency,
        Kind::Checkpoint,
        Kind::Sync,
        Kind::Seal,
        Kind::Run,
        Kind::Stop,
    ];

    /// From the number on disk.
    pub fn from_u8(n: u8) -> Option<Kind> {
        Kind::ALL.get(usize::from(n).wrapping_sub(1)).copied()
    }

    /// The word in `raw.kind`.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Frame => "frame",
            Kind::Rest => "rest",
            Kind::Sent => "sent",
            Kind::Timer => "timer",
            Kind::Subscription => "subscription",
            Kind::Config => "config",
            Kind::Instrument => "instrument",
            Kind::Connection => "connection",
            Kind::Gap => "gap",
            Kind::Clock => "clock",
            Kind::Latency => "latency",
            Kind::Checkpoint => "checkpoint",
            Kind::Sync => "sync",
            Kind::Seal => "seal",
            Kind::Run => "run",
            Kind::Stop => "stop",
        }
    }

    /// From the word in `raw.kind`.
    #[allow(clippy::should_implement_trait, reason = "a name that is not ours is no error here")]
    pub fn from_str(s: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|k| k.as_str() == s)
    }
}

/// Record flag: the receive stamp is late because the lane had stopped reading.
pub const FLAG_STALLED: u8 = 1;
/// Record flag: the payload came as a binary message.
pub const FLAG_BINARY: u8 = 2;

/// A read that comes so long after the kernel had its bytes says when we looked, not when they came, ns.
pub const LATE_NS: i64 = 2_000_000_000;

/// One record, borrowed from wherever its bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// What it is.
    pub kind: Kind,
    /// `FLAG_…` bits.
    pub flags: u8,
    /// Whose lane.
    pub lane: LaneId,
    /// HTTP status of a `Rest` (0 = the request failed before an answer), else 0.
    pub status: i32,
    /// Connection; 0 = none.
    pub conn: ConnId,
    /// Gap-free number in the lane, also across restarts.
    pub lane_seq: i64,
    /// Gap-free number on the connection; −1 for records that were not received.
    pub rseq: i64,
    /// Kernel receive time of the read's last segment, ns; 0 = not given.
    pub ts_kernel: i64,
    /// Monotonic time, ns.
    pub ts_mono: i64,
    /// User-space receive time, ns since the Unix epoch.
    pub ts_recv: i64,
    /// Path and query of a `Rest`, URL of a `Connection`; at most 65,535 bytes.
    pub url: &'a str,
    /// The bytes, never re-encoded.
    pub payload: &'a [u8],
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Shorter than its own lengths say.
    #[error("record is cut: {have} of {need} bytes")]
    Cut {
        /// Bytes there.
        have: usize,
        /// Bytes needed.
        need: usize,
    },
    /// A kind from a newer version, or damage.
    #[error("unknown record kind {0}")]
    UnknownKind(u8),
    /// The URL is not UTF-8.
    #[error("record url is not UTF-8")]
    Url,
}

impl<'a> Record<'a> {
    /// Whether it was read so long after the kernel had it that nobody looked meanwhile: the process stood still, or the lane
    /// did not read.
    #[inline]
    pub fn is_late(&self) -> bool {
        self.ts_kernel > 0 && self.ts_recv.saturating_sub(self.ts_kernel) > LATE_NS
    }

    /// When it was there: its receive time, or the kernel's where that is long before.
    #[inline]
    pub fn ts_there(&self) -> i64 {
        if self.is_late() { self.ts_kernel } else { self.ts_recv }
    }

    /// Bytes of the encoded record.
    #[inline]
    pub fn encoded_len(&self) -> usize {
        HEADER_LEN + self.url.len() + self.payload.len()
    }

    /// The fixed part.
    #[inline]
    pub fn header(&self) -> [u8; HEADER_LEN] {
        debug_assert!(self.url.len() <= usize::from(u16::MAX) && self.payload.len() <= u32::MAX as usize);
        let mut h = [0u8; HEADER_LEN];
        h[0] = self.kind as u8;
        h[1] = self.flags;
        h[2..4].copy_from_slice(&self.lane.to_le_bytes());
        h[4..6].copy_from_slice(&(self.url.len() as u16).to_le_bytes());
        h[8..12].copy_from_slice(&self.status.to_le_bytes());
        h[12..16].copy_from_slice(&(self.payload.len() as u32).to_le_bytes());
        h[16..24].copy_from_slice(&self.conn.to_le_bytes());
        h[24..32].copy_from_slice(&self.lane_seq.to_le_bytes());
        h[32..40].copy_from_slice(&self.rseq.to_le_bytes());
        h[40..48].copy_from_slice(&self.ts_kernel.to_le_bytes());
        h[48..56].copy_from_slice(&self.ts_mono.to_le_bytes());
        h[56..64].copy_from_slice(&self.ts_recv.to_le_bytes());
        h
    }

    /// Writes the record; `out` must have exactly [`Record::encoded_len`] bytes.
    #[inline]
    pub fn encode_to(&self, out: &mut [u8]) {
        let (u, p) = (self.url.len(), self.payload.len());
        out[..HEADER_LEN].copy_from_slice(&self.header());
        out[HEADER_LEN..HEADER_LEN + u].copy_from_slice(self.url.as_bytes());
        out[HEADER_LEN + u..HEADER_LEN + u + p].copy_from_slice(self.payload);
    }

    /// The record as new bytes (cold paths and tests).
    pub fn encode(&self) -> Vec<u8> {
        let mut v = vec![0; self.encoded_len()];
        self.encode_to(&mut v);
        v
    }

    /// Reads a record that fills `b` exactly or is followed by other bytes.
    ///
    /// # Errors
    /// [`RecordError`] where the bytes are no record of this version.
    #[inline]
    pub fn decode(b: &'a [u8]) -> Result<Record<'a>, RecordError> {
        if b.len() < HEADER_LEN {
            return Err(RecordError::Cut { have: b.len(), need: HEADER_LEN });
        }
        let i64_at = |i: usize| {
            let mut x = [0u8; 8];
            x.copy_from_slice(&b[i..i + 8]);
            i64::from_le_bytes(x)
        };
        let url_len = usize::from(u16::from_le_bytes([b[4], b[5]]));
        let payload_len = u32::from_le_bytes([b[12], b[13], b[14], b[15]]) as usize;
        let need = HEADER_LEN + url_len + payload_len;
        if b.len() < need {
            return Err(RecordError::Cut { have: b.len(), need });
        }
        Ok(Record {
            kind: Kind::from_u8(b[0]).ok_or(RecordError::UnknownKind(b[0]))?,
            flags: b[1],
            lane: u16::from_le_bytes([b[2], b[3]]),
            status: i32::from_le_bytes([b[8], b[9], b[10], b[11]]),
            conn: i64_at(16),
            lane_seq: i64_at(24),
            rseq: i64_at(32),
            ts_kernel: i64_at(40),
            ts_mono: i64_at(48),
            ts_recv: i64_at(56),
            url: if url_len == 0 {
                ""
            } else {
                std::str::from_utf8(&b[HEADER_LEN..HEADER_LEN + url_len]).map_err(|_| RecordError::Url)?
            },
            payload: &b[HEADER_LEN + url_len..need],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_its_bytes() {
        let r = Record {
            kind: Kind::Rest,
            flags: FLAG_STALLED,
            lane: 3,
            status: 200,
            conn: 1_723_161_255_030_314_667,
            lane_seq: 42,
            rseq: 7,
            ts_kernel: 1,
            ts_mono: 2,
            ts_recv: 3,
            url: "/fapi/v1/depth?symbol=龙虾USDT",
            payload: b"{\"lastUpdateId\":1}",
        };
        let b = r.encode();
        assert_eq!(Record::decode(&b), Ok(r));
        for n in 0..b.len() {
            assert!(matches!(Record::decode(&b[..n]), Err(RecordError::Cut { .. })));
        }
    }

    #[test]
    fn kinds_round_trip_and_unknown_ones_are_refused() {
        for k in Kind::ALL {
            assert_eq!(Kind::from_u8(k as u8), Some(k));
            assert_eq!(Kind::from_str(k.as_str()), Some(k));
        }
        assert_eq!(Kind::from_u8(0), None);
        assert_eq!(Kind::from_u8(17), None);
    }
}
