//! Lobtape records the limit order book: frames come off exchange WebSockets, become exact local books, and land
//! in Parquet that pandas, Polars and DuckDB read as it is.
//!
//! Rooms in the order in which a frame walks through them; `ARCHITECTURE.md` says what each must *not* know.
#![deny(missing_docs)]
#![deny(unsafe_op_in_unsafe_fn)]
#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::disallowed_macros,
        clippy::disallowed_types,
        reason = "tests may look at the clock and print"
    )
)]

/// A place where a known bug can be woken, to show that the fault matrix catches it (`scripts/faults D5`): its name, what the
/// bug does, what is right. Without the feature `planted` only the last is compiled.
macro_rules! planted {
    ($bug:literal, $wrong:expr, $right:expr) => {{
        #[cfg(feature = "planted")]
        {
            if $crate::sys::planted::is_awake($bug) { $wrong } else { $right }
        }
        #[cfg(not(feature = "planted"))]
        {
            $right
        }
    }};
}

pub mod book;
pub mod bus;
pub mod cli;
pub mod config;
pub mod dataset;
pub mod engine;
pub mod fold;
pub mod http;
pub mod import;
pub mod instrument;
pub mod journal;
pub mod metrics;
pub mod model;
pub mod parse;
pub mod replay;
pub mod simulator;
pub mod sink;
pub mod sys;
pub mod venue;
pub mod verify;
pub mod wire;

/// The judges of the end-to-end proofs, which the simulated world shares, know this crate by its name.
#[cfg(test)]
extern crate self as lobtape;

/// Unit tests count what each thread allocates, so that hot rooms can prove that they do not.
#[cfg(test)]
#[global_allocator]
static TEST_ALLOCATOR: sys::alloc::Counting<std::alloc::System> = sys::alloc::Counting(std::alloc::System);
