//! Doors for tests and fuzz targets; not part of the product.

pub use super::reader::fuzzing::{Outcome, Peer, SOUND_HEAD, Seen};

use super::rest::{RestError, RestLimits};

/// Opens a compressed body as the REST client does.
///
/// # Errors
/// [`RestError::TooLarge`] beyond the limits, [`RestError::Protocol`] for what is no gzip.
pub fn open_body(raw: &[u8], limits: &RestLimits) -> Result<Vec<u8>, RestError> {
    super::rest::gunzip(raw, "fuzz", limits)
}

/// When the ban ends of which a body speaks, ms since the Unix epoch; `None` if it speaks of none.
pub fn banned_until_ms(body: &[u8]) -> Option<i64> {
    super::budget::banned_until_ms(body)
}
