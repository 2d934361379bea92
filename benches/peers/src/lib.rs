//! What the benches beside other people's code share: recordings as book traffic, fair timing, figures for the report.
//!
//! The book and its model come in as source, not as the package: beside them nothing of the recorder is needed here, and
//! building all of it a second time would cost more than all that is measured.
#![allow(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a bench times, prints, and has nothing to go on with where a recording is broken"
)]

/// The recorder's builds can plant bugs; what is measured has none.
macro_rules! planted {
    ($name:literal, $bug:expr, $right:expr) => {
        $right
    };
}

#[path = "../../../src/book/mod.rs"]
pub mod book;
pub mod books;
#[path = "../../../src/model/mod.rs"]
pub mod model;
pub mod tape;
pub mod timing;
