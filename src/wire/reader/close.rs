//! Why a connection ended, in the words of the dataset.
//!
//! Cold: once per connection.

use std::io;

use tungstenite::Error;
use tungstenite::error::{CapacityError, ProtocolError};
use tungstenite::http::{HeaderMap, StatusCode};
use tungstenite::protocol::CloseFrame;

use super::transport::HandshakeCut;
use crate::model::GapCause;
use crate::wire::guard::Violation;

/// How far a connection had come when it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosePhase {
    /// No TCP connection yet.
    Connect,
    /// Asking the proxy for a tunnel.
    Proxy,
    /// In the TLS handshake.
    Tls,
    /// In the HTTP upgrade.
    Upgrade,
    /// Messages could flow.
    Open,
}

/// The end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseInfo {
    /// What its gap is to be called.
    pub cause: GapCause,
    /// How far it had come.
    pub phase: ClosePhase,
    /// WebSocket close code of the peer, 0 if it sent none.
    pub code: u16,
    /// Reason in the peer's close frame, "" if none. Untrusted text.
    pub reason: String,
    /// HTTP status of a refused upgrade (or of the proxy), 0 otherwise.
    pub http_status: u16,
    /// `Retry-After` of a refused upgrade in seconds, 0 if none.
    pub retry_after_s: u32,
    /// The peer's close frame came: it is the last thing that the peer sent, and all before it was read.
    pub answered: bool,
    /// We closed it, by command.
    pub by_us: bool,
    /// For people.
    pub detail: String,
}

impl CloseInfo {
    pub(super) fn new(cause: GapCause, phase: ClosePhase, detail: impl Into<String>) -> Self {
        CloseInfo {
            cause,
            phase,
            code: 0,
            reason: String::new(),
            http_status: 0,
            retry_after_s: 0,
            answered: false,
            by_us: false,
            detail: detail.into(),
        }
    }

    pub(super) fn violation(v: Violation, phase: ClosePhase) -> Self {
        CloseInfo::new(GapCause::LimitExceeded, phase, v.to_string())
    }

    /// The peer's (or proxy's) HTTP answer was no.
    pub(super) fn refused(status: u16, headers: Option<&HeaderMap>, phase: ClosePhase) -> Self {
        let cause = match status {
            418 | 429 | 439 => GapCause::RateLimited,
            503 => GapCause::VenueMaintenance,
            300..=399 => GapCause::ProtocolViolation,
            400..=499 => GapCause::SubscribeRefused,
            _ => GapCause::VenueDisconnect,
        };
        let header = |name: &str| headers.and_then(|h| h.get(name)).and_then(|v| v.to_str().ok());
        let word = StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or("?");
        let mut detail = format!("HTTP {status} {word}");
        if let Some(to) = header("location") {
            detail.push_str(&format!(", redirect to {to:?} not followed"));
        }
        CloseInfo {
            http_status: status,
            retry_after_s: header("retry-after").and_then(|v| v.trim().parse().ok()).unwrap_or(0),
            ..CloseInfo::new(cause, phase, detail)
        }
    }

    /// An error out of the WebSocket library, its own or one of the guard or of TLS on its way up.
    pub(super) fn failed(e: &Error, phase: ClosePhase) -> Self {
        if let Error::Io(io) = e {
            return CloseInfo::io(io, phase);
        }
        let cause = match e {
            Error::Capacity(CapacityError::MessageTooLong { .. } | CapacityError::TooManyHeaders)
            | Error::WriteBufferFull(_)
            | Error::AttackAttempt => GapCause::LimitExceeded,
            Error::Protocol(
                ProtocolError::ResetWithoutClosingHandshake | ProtocolError::HandshakeIncomplete,
            )
            | Error::ConnectionClosed
            | Error::AlreadyClosed => GapCause::VenueDisconnect,
            Error::Http(r) => return CloseInfo::refused(r.status().as_u16(), Some(r.headers()), phase),
            _ => GapCause::ProtocolViolation,
        };
        CloseInfo::new(cause, phase, e.to_string())
    }

    /// An error of the socket, which may carry one of the guard or of TLS.
    pub(super) fn io(e: &io::Error, phase: ClosePhase) -> Self {
        let inner = e.get_ref();
        if let Some(v) = inner.and_then(|x| x.downcast_ref::<Violation>()) {
            return CloseInfo::violation(*v, phase);
        }
        if let Some(t) = inner.and_then(|x| x.downcast_ref::<rustls::Error>()) {
            // A record that does not authenticate can also come long after the handshake.
            let phase = if phase == ClosePhase::Open { phase } else { ClosePhase::Tls };
            return CloseInfo::new(GapCause::TlsFailure, phase, t.to_string());
        }
        if let Some(t) = inner.and_then(|x| x.downcast_ref::<HandshakeCut>()) {
            return CloseInfo::new(GapCause::TlsFailure, ClosePhase::Tls, t.to_string());
        }
        CloseInfo::new(GapCause::VenueDisconnect, phase, e.to_string())
    }

    /// The peer sent a close frame.
    pub(super) fn by_peer(frame: Option<&CloseFrame>) -> Self {
        let code = frame.map_or(0, |f| u16::from(f.code));
        let cause = match code {
            // Service restart, try again later.
            1012 | 1013 => GapCause::VenueMaintenance,
            _ => GapCause::VenueDisconnect,
        };
        let reason = frame.map_or(String::new(), |f| f.reason.as_str().to_owned());
        CloseInfo { code, reason, answered: true, ..CloseInfo::new(cause, ClosePhase::Open, "close frame") }
    }
}
