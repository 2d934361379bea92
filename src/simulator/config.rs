//! What a simulated venue is told to be.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::faults::FaultSpec;

/// Which symbols are traded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Symbols {
    /// The first so many of the built-in list, made-up ones after it ends.
    Count(usize),
    /// These, in this order: the first is the busiest.
    List(Vec<String>),
}

/// Who moves the simulated clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimClock {
    /// It follows the wall clock.
    Real,
    /// It stands until [`super::SimHandle::advance`] is called: tests without waiting.
    Manual,
}

/// Where the log of all that was sent goes.
#[derive(Clone, Debug, Default)]
pub enum OracleTo {
    /// Nowhere.
    #[default]
    None,
    /// A file of JSON lines, replaced if it exists.
    File(PathBuf),
    /// Memory, for tests.
    Memory(Arc<Mutex<Vec<u8>>>),
}

/// TLS by a made-up authority.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// Where the authority's certificate is written (PEM) for the client to trust. `None`: only in the handle.
    pub ca_path: Option<PathBuf>,
    /// Names of the server beside `localhost` and the listening address.
    pub names: Vec<String>,
}

/// A simulated venue. `SimConfig::default()` is a small quiet one on a free loopback port.
#[derive(Clone, Debug)]
pub struct SimConfig {
    /// Venue slug (`aster-futures`, …).
    pub venue: String,
    /// One of the ways in which the venue may speak ([`crate::model::Dialect::variants`]); `None` = as it was seen to.
    pub variant: Option<String>,
    /// Address to listen on; port 0 = a free one. Without TLS only loopback is accepted.
    pub listen: SocketAddr,
    /// Decides all content and all random faults.
    pub seed: u64,
    /// Traded symbols.
    pub symbols: Symbols,
    /// Frames per second, over all symbols, that one client of [`SimConfig::rate_channels`] gets.
    pub rate: u32,
    /// The channels by which `rate` is counted. Others flow too, beside the count.
    pub rate_channels: Vec<String>,
    /// Ends after so long, counted from the first subscription (or from the start if nobody comes). `None` = never.
    pub duration_ms: Option<u64>,
    /// No fault in the last so many ms of `duration_ms`, so that every hole is followed by a frame that shows it.
    pub quiet_tail_ms: u64,
    /// Faults, planned and random.
    pub faults: Vec<FaultSpec>,
    /// Log of all that was sent.
    pub oracle: OracleTo,
    /// Whether the log has the payloads too (as text), not only their checksums.
    pub oracle_payload: bool,
    /// `None` = plain HTTP and WebSocket.
    pub tls: Option<TlsConfig>,
    /// Serve these recordings (in order, as one) instead of a made-up market.
    pub serve: Vec<PathBuf>,
    /// How much faster than recorded.
    pub speed: f64,
    /// Who moves the clock.
    pub clock: SimClock,
    /// Venue time at the start, ms since the Unix epoch. `None` = the wall clock's.
    pub start_ms: Option<i64>,
    /// Keys `st`/`ps` on futures frames; `None` = as the venue does today.
    pub st_ps: Option<bool>,
    /// Trades by the insurance fund and trades of price and size zero on Binance futures (rare).
    pub odd_trades: bool,
    /// Levels a side at the start.
    pub book_levels: usize,
    /// The venue's ping; `None` = the dialect's.
    pub ping_every_ms: Option<u64>,
    /// Deadline of the pong; `None` = the dialect's.
    pub pong_within_ms: Option<u64>,
    /// Age at which a connection is closed; `None` = the dialect's.
    pub age_max_ms: Option<u64>,
    /// Streams per connection; `None` = the dialect's.
    pub streams_max: Option<usize>,
    /// Client messages per second; `None` = the dialect's.
    pub client_messages_per_s: Option<u32>,
    /// New connections per five minutes, 0 = no limit; `None` = the dialect's.
    pub connects_per_5min: Option<u32>,
    /// Request weight per minute; `None` = the dialect's.
    pub weight_per_minute: Option<u32>,
    /// Time between making a REST body and sending it (ignored under a manual clock).
    pub rest_delay_ms: u64,
    /// Bytes a client may leave unread before it is closed as too slow.
    pub outbound_max_bytes: usize,
}

impl Default for SimConfig {
    fn default() -> SimConfig {
        SimConfig {
            venue: crate::venue::first().spec().id.to_owned(),
            variant: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            seed: 1,
            symbols: Symbols::Count(4),
            rate: 500,
            rate_channels: ["depth@100ms", "aggTrade", "bookTicker", "markPrice@1s", "forceOrder"]
                .map(str::to_owned)
                .to_vec(),
            duration_ms: None,
            quiet_tail_ms: 5_000,
            faults: Vec::new(),
            oracle: OracleTo::None,
            oracle_payload: false,
            tls: None,
            serve: Vec::new(),
            speed: 1.0,
            clock: SimClock::Real,
            start_ms: None,
            st_ps: None,
            odd_trades: true,
            book_levels: 1000,
            ping_every_ms: None,
            pong_within_ms: None,
            age_max_ms: None,
            streams_max: None,
            client_messages_per_s: None,
            connects_per_5min: None,
            weight_per_minute: None,
            rest_delay_ms: 20,
            outbound_max_bytes: 64 << 20,
        }
    }
}

/// Why a simulated venue does not start, or does not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// No dialect of this name.
    #[error("unknown venue {venue:?}; can be simulated: {known}")]
    UnknownVenue {
        /// What was asked for.
        venue: String,
        /// What there is.
        known: String,
    },
    /// Plain sockets beyond loopback.
    #[error("{listen} is not a loopback address; add TLS (--tls) or listen on 127.0.0.1")]
    NotLoopback {
        /// What was asked for.
        listen: SocketAddr,
    },
    /// A value that makes no sense.
    #[error("{what}")]
    Config {
        /// What and why.
        what: String,
    },
    /// The operating system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// Its answer.
        source: std::io::Error,
    },
    /// The made-up authority could not be made.
    #[error("making a test certificate: {what}")]
    Tls {
        /// Why.
        what: String,
    },
    /// A recording that cannot be served.
    #[error("recording {path}, line {line}: {what}")]
    Recording {
        /// File.
        path: PathBuf,
        /// 1-based line, 0 = the whole file.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// A fault that cannot be read.
    #[error("fault {text:?}: {what}")]
    Fault {
        /// As given.
        text: String,
        /// What is wrong, and what would be right.
        what: String,
    },
    /// The simulator has stopped already.
    #[error("the simulator has stopped")]
    Stopped,
}

impl SimError {
    pub(super) fn io(what: impl Into<String>, source: std::io::Error) -> SimError {
        SimError::Io { what: what.into(), source }
    }
}
