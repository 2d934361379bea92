//! Good frames in a dress that nobody expects, and refusals out of nowhere.

use std::io::Write;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use super::faults::FaultKind;
use super::outbound::{BINARY, frame_header};
use crate::model::dialect::{Dialect, ErrorShape};

/// A frame of a payload in another dress, as bytes for the socket; `stream`: the name for its envelope.
pub(super) fn dressed(kind: FaultKind, stream: Option<&str>, payload: &[u8]) -> Vec<u8> {
    let text = match stream {
        Some(name) => [b"{\"stream\":\"", name.as_bytes(), b"\",\"data\":", payload, b"}"].concat(),
        None => payload.to_vec(),
    };
    let packed = match kind {
        FaultKind::Gzip => {
            let mut w = GzEncoder::new(Vec::new(), Compression::fast());
            w.write_all(&text).and_then(|()| w.finish())
        }
        FaultKind::Zlib => {
            let mut w = ZlibEncoder::new(Vec::new(), Compression::fast());
            w.write_all(&text).and_then(|()| w.finish())
        }
        _ => Ok(text),
    };
    // Memory does not fail to be written to.
    let packed = packed.unwrap_or_default();
    let mut frame = Vec::with_capacity(packed.len() + 10);
    frame_header(&mut frame, BINARY, packed.len());
    frame.extend_from_slice(&packed);
    frame
}

/// A refusal of the venue's that names no stream.
pub(super) fn error_reply(d: &Dialect) -> String {
    if let Some(words) = d.words {
        return words.reproach();
    }
    let error = r#"{"code":2,"msg":"Invalid request: too many parameters"}"#;
    match d.errors {
        ErrorShape::Flat => error.to_owned(),
        ErrorShape::Nested => format!(r#"{{"error":{error},"id":7}}"#),
    }
}

/// The answer to a key that has no right to what it asks for: status and body.
pub(super) fn denied(d: &Dialect) -> (u16, String) {
    if let Some(words) = d.words {
        return (200, words.refusal(401, 0));
    }
    let body = r#"{"code":-2015,"msg":"Invalid API-key, IP, or permissions for action."}"#;
    (401, body.to_owned())
}
