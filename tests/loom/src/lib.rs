//! The product's own source, compiled against loom's atomics: `scripts/loom`.
#![cfg(lobtape_loom)]

/// `src/bus/event.rs` as it is.
#[path = "../../../src/bus/event.rs"]
pub mod event;
