//! What the benches beside other people's code share: recordings as book traffic, fair timing, figures for the report.
#![allow(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a bench times, prints, and has nothing to go on with where a recording is broken"
)]

pub mod books;
pub mod tape;
pub mod timing;
