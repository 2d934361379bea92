//! Tools for parsers: JSON walking, decimal text to mantissa. No venue knowledge.

/// Reused buffers of a parser: after warm-up a frame allocates nothing.
#[derive(Default)]
pub struct Scratch {}
