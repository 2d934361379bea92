//! Signatures of REST requests: HMAC-SHA256 of the sorted query, in two headers. No method, path, time or nonce enters.

use sha2::{Digest, Sha256};

use crate::parse::url::path_and_query;
use crate::venue::Credentials;

/// Bytes of a block of SHA-256.
const BLOCK: usize = 64;

/// HMAC-SHA256 (RFC 2104).
fn hmac(secret: &[u8], message: &[u8]) -> [u8; 32] {
    let mut key = [0u8; BLOCK];
    if secret.len() > BLOCK {
        key[..32].copy_from_slice(&Sha256::digest(secret));
    } else {
        key[..secret.len()].copy_from_slice(secret);
    }
    let with = |pad: u8, parts: &[&[u8]]| -> [u8; 32] {
        let mut h = Sha256::new();
        h.update(key.map(|b| b ^ pad));
        parts.iter().for_each(|p| h.update(p));
        h.finalize().into()
    };
    with(0x5c, &[&with(0x36, &[message])])
}

/// What is signed: the parameters of a query, those without a value left out, sorted by key.
pub(super) fn message(path: &str) -> String {
    let (_, query) = path_and_query(path);
    let mut pairs: Vec<&str> =
        query.split('&').filter(|p| p.split_once('=').is_some_and(|(_, v)| !v.is_empty())).collect();
    pairs.sort_unstable_by_key(|p| p.split('=').next().unwrap_or("").as_bytes());
    pairs.join("&")
}

/// 64 lower-case hex digits.
pub(super) fn signature(secret: &str, message: &str) -> String {
    hmac(secret.as_bytes(), message.as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
}

/// As [`crate::venue::Venue::sign`].
pub(super) fn headers(path: &str, key: &Credentials) -> Vec<(&'static str, String)> {
    vec![
        ("X_ACCESS_KEY", key.key.clone()),
        ("X_SIGNATURE", signature(&key.secret, &message(path))),
        ("Content-Type", "application/x-www-form-urlencoded".to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The three of the protocol page.
    #[test]
    fn signatures_are_those_of_the_page() {
        for (path, wanted) in [
            ("/v2/public/time", "f7f9bd47fb987337b5796fdc1fdb9ba221d0d5396814bfcaf9521f43fd8927fd"),
            (
                "/v2/public/q/depth?symbol=btc_usdt&level=10",
                "e12425163936410589f19b64266587abc161e274bea9e47aa1a1f9664c88359d",
            ),
            (
                "/v2/public/q/kline?symbol=btc_usdt&interval=1h&startTime=1672444800000&endTime=1672531200000&limit=500&id=",
                "46c5797f366824067dba72bd621c6969d84bcb81c42abd367a2e93b853824c23",
            ),
        ] {
            assert_eq!(signature("test_secret", &message(path)), wanted, "{path}");
        }
    }

    /// RFC 4231, cases 1, 2 and 6 (a key longer than a block).
    #[test]
    fn the_hmac_is_that_of_the_rfc() {
        let hex = |b: [u8; 32]| b.iter().map(|b| format!("{b:02x}")).collect::<String>();
        assert_eq!(
            hex(hmac(&[0x0b; 20], b"Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
        assert_eq!(
            hex(hmac(b"Jefe", b"what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            hex(hmac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First")),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn a_secret_is_in_no_header_and_in_no_debug_text() {
        let key = Credentials { key: "abc".into(), secret: "s3cret".into() };
        let all = format!("{:?} {key:?}", headers("/x?a=1", &key));
        assert!(!all.contains("s3cret") && all.contains("abc"), "{all}");
    }
}
