//! Tools for parsers: JSON walking, decimal text to mantissa, URLs. No venue knowledge.

pub mod decimal;
pub mod fields;
pub mod inflate;
pub mod json;
mod plain;
pub mod scan;
pub mod url;

pub use decimal::{NumError, parse_dec, parse_fixed};
pub use json::{Limits, Path, Paths, Scratch, Sides, Val};
pub use scan::Scan;
