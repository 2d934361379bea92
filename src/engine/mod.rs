//! Wiring: lanes, threads, cores, rings, recovery, rebuild, shutdown. The only room that knows threads.
//!
//! ```text
//!  control ──orders──▶ lane (reader thread) ──raw ring──▶ journal thread ──segments──▶ converter thread ──▶ dataset
//!     ▲ ◀──reports──── one per core               lane 000 ──channel──▲                      │
//!     └── REST workers                                 ▲──checkpoints────────────────────────┘
//! ```

mod addresses;
pub mod capture;
pub mod carried;
pub mod choose;
pub mod control;
pub mod converting;
pub mod cores;
pub mod fault;
pub mod homes;
pub mod keys;
pub mod ladder;
pub mod lane;
pub mod lane0;
pub mod links;
pub mod messages;
pub mod minutes;
pub mod plan;
pub mod polls;
pub mod rebuild;
pub mod recovering;
pub mod rest;
pub mod runtime;
pub mod subscribing;
mod tuning;
pub mod venues;

#[cfg(test)]
mod tests;

pub use capture::{Capture, CaptureError, Summary};
