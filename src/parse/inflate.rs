//! Compressed messages where plain ones are due. Cold: no venue here compresses by its own word.

use std::io::Read;

use crate::model::{Reject, RejectCause};

/// Bytes of a message after decompression.
const PLAIN_MAX: u64 = 8 << 20;

/// What the first bytes say of a message: gzip, zlib, or `None` for neither.
fn decoder<'a>(message: &'a [u8]) -> Option<Box<dyn Read + 'a>> {
    match message {
        [0x1f, 0x8b, ..] => Some(Box::new(flate2::read::GzDecoder::new(message))),
        [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => Some(Box::new(flate2::read::ZlibDecoder::new(message))),
        _ => None,
    }
}

/// The message without its compression; `None` if it has none.
///
/// # Errors
/// `Malformed` where it is cut or broken, `Limit` where it would be longer than 8 MiB.
#[cold]
pub fn inflated(message: &[u8]) -> Result<Option<Vec<u8>>, Reject> {
    let Some(from) = decoder(message) else { return Ok(None) };
    let mut plain = Vec::new();
    match from.take(PLAIN_MAX + 1).read_to_end(&mut plain) {
        Ok(_) if plain.len() as u64 > PLAIN_MAX => {
            Err(Reject::new(RejectCause::Limit, "message too long once decompressed"))
        }
        Ok(_) => Ok(Some(plain)),
        Err(_) => Err(Reject::new(RejectCause::Malformed, "compressed message cut short or broken")),
    }
}
