//! What is open of a stream: a stretch of proof or a gap, and what found it.

use serde::{Deserialize, Serialize};

use crate::model::{ConnId, row::GapCause};

/// A stretch of proof that is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cover {
    pub ts_begin: i64,
    pub id_first: i64,
    /// The first frame, of `conn`; −1 = none yet.
    pub rseq_begin: i64,
    pub conn: ConnId,
    /// Something in it was taken on trust (`UNVERIFIED_SEQ`).
    pub is_believed: bool,
}

/// A gap that is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OpenGap {
    pub cause: GapCause,
    pub ts_begin: i64,
    pub seq_before: i64,
    pub rseq_before: i64,
    pub epoch_before: i64,
    /// For detector words see `GapRow`.
    pub detector: Detector,
}

/// What found a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Detector {
    Ids,
    Close,
    Watchdog,
    Subscription,
    Recovery,
    Audit,
}

impl Detector {
    pub fn as_str(self) -> &'static str {
        match self {
            Detector::Ids => "ids",
            Detector::Close => "close",
            Detector::Watchdog => "watchdog",
            Detector::Subscription => "subscription",
            Detector::Recovery => "recovery",
            Detector::Audit => "audit",
        }
    }
}
