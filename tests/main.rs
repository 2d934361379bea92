//! One binary for all black-box tests: the house's rules, the recordings, the commands.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so by panicking"
)]
#![allow(clippy::disallowed_methods, reason = "tests may look at the clock")]

mod cli;
mod common;
mod e2e;
mod house;
mod recordings;
mod venue;
mod verify;
