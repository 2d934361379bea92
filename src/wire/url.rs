//! `ws://` and `wss://` addresses.

use tungstenite::http::Uri;

/// A WebSocket URL taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `wss`.
    pub tls: bool,
    /// Host without brackets, as a certificate names it.
    pub host: String,
    /// Port, also where the URL leaves it out.
    pub port: u16,
}

/// Why a text is no usable WebSocket URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// No URL.
    #[error("{url:?} is no URL: {why}")]
    Syntax {
        /// The text.
        url: String,
        /// What the parser says.
        why: String,
    },
    /// Neither `ws` nor `wss`.
    #[error("{url:?}: the scheme must be wss (or ws to a loopback address)")]
    Scheme {
        /// The text.
        url: String,
    },
    /// No host.
    #[error("{url:?} names no host")]
    NoHost {
        /// The text.
        url: String,
    },
}

impl Target {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// [`UrlError`] says what is wrong with the text.
    pub fn parse(url: &str) -> Result<Target, UrlError> {
        let uri: Uri = url.parse().map_err(|e| UrlError::Syntax { url: url.into(), why: format!("{e}") })?;
        let tls = match uri.scheme_str() {
            Some("wss") => true,
            Some("ws") => false,
            _ => return Err(UrlError::Scheme { url: url.into() }),
        };
        let host = uri.host().unwrap_or("");
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() {
            return Err(UrlError::NoHost { url: url.into() });
        }
        Ok(Target { tls, host: host.into(), port: uri.port_u16().unwrap_or(if tls { 443 } else { 80 }) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let t = Target::parse("wss://fstream.asterdex.com/stream?streams=a/b").unwrap();
        assert_eq!((t.tls, t.host.as_str(), t.port), (true, "fstream.asterdex.com", 443));
        let t = Target::parse("ws://[::1]:8080/ws").unwrap();
        assert_eq!((t.tls, t.host.as_str(), t.port), (false, "::1", 8080));
    }

    #[test]
    fn other_texts_are_refused_by_name() {
        assert!(matches!(Target::parse("https://a/b"), Err(UrlError::Scheme { .. })));
        assert!(matches!(Target::parse("/stream"), Err(UrlError::Scheme { .. })));
        assert!(matches!(Target::parse("wss://a b/"), Err(UrlError::Syntax { .. })));
        assert!(matches!(Target::parse(""), Err(UrlError::Syntax { .. })));
    }
}
