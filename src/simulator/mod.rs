//! A venue that lies on purpose, from a seed; or a recording served as a venue.
//!
//! ```text
//! config ─▶ world: clock, symbols, pacing ─▶ market (a real book per symbol) ─▶ payload (JSON of the dialect)
//!                    │                                                             │
//!                    └── strike (faults) ◀── every frame of every subscription ────┘
//!                           │
//!                    outbound queue of a connection ─▶ ws (its task) ─▶ socket
//!                                                        └────────────▶ oracle (what was handed over, byte for byte)
//! ```
//!
//! Content is a function of the seed and of venue time. The recorder under test shares no code with it but the
//! vocabulary in `model`: what both sides got wrong in the same way would otherwise look right.

pub mod config;
mod control;
pub mod dialects;
mod dress;
pub mod fault_words;
mod faults;
mod foreign;
mod grid;
mod http;
mod ladder;
mod listing;
mod market;
mod more;
mod omit;
pub mod oracle;
mod outbound;
mod payload;
mod polled;
mod recording;
mod rest;
mod rng;
mod seconds;
mod server;
mod stats;
mod streams;
mod strike;
mod symbols;
mod text;
mod tls;
mod transport;
mod wishes;
mod world;
mod ws;

pub use config::{OracleTo, SimClock, SimConfig, SimError, Symbols, TlsConfig};
pub use fault_words::help as fault_help;
pub use faults::{CutHow, FaultKind, FaultSpec, parse_script};
pub use server::{SimHandle, SimReport, Simulator};
pub use world::SimStats;

/// A `Date` header.
fn http_date(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms)
        .map(|t| t.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
        .unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod by_hand_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_ascendex;
#[cfg(test)]
mod tests_faults;
#[cfg(test)]
mod tests_load;
#[cfg(test)]
mod tests_pumpkin;
#[cfg(test)]
mod tests_rules;
