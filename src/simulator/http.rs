//! HTTP/1.1 heads, read with limits, and answers, written plainly.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes of a request's head.
pub(super) const HEAD_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;

/// A request without body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub method: String,
    /// Path and query as sent.
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// The first header of this (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|h| h.0 == name).map(|h| h.1.as_str())
    }

    /// Whether a comma-separated header holds a word.
    pub fn says(&self, name: &str, word: &str) -> bool {
        self.header(name).is_some_and(|v| v.split(',').any(|p| p.trim().eq_ignore_ascii_case(word)))
    }
}

/// Why a request gets no answer of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Not HTTP: 400.
    Malformed,
    /// Too large: 431.
    TooLarge,
}

/// Reads a head from `buf`, filling it from `io`. What follows the head stays in `buf`. `None`: the peer is gone.
pub(super) async fn read_head(
    io: &mut (impl AsyncRead + Unpin),
    buf: &mut Vec<u8>,
) -> io::Result<Option<Result<Head, Refused>>> {
    loop {
        if let Some(end) = buf.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = parse(&buf[..end]);
            buf.drain(..end + 4);
            return Ok(Some(head));
        }
        if buf.len() > HEAD_MAX {
            return Ok(Some(Err(Refused::TooLarge)));
        }
        let mut part = [0u8; 4096];
        let n = io.read(&mut part).await?;
        if n == 0 {
            return Ok(None);
        }
        buf.extend_from_slice(&part[..n]);
    }
}

fn parse(head: &[u8]) -> Result<Head, Refused> {
    let text = std::str::from_utf8(head).map_err(|_| Refused::Malformed)?;
    let mut lines = text.split("\r\n");
    let mut first = lines.next().unwrap_or("").split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (first.next(), first.next(), first.next(), first.next())
    else {
        return Err(Refused::Malformed);
    };
    if !version.starts_with("HTTP/1.") || !target.starts_with('/') || method.is_empty() {
        return Err(Refused::Malformed);
    }
    let mut headers = Vec::new();
    for l in lines {
        let (k, v) = l.split_once(':').ok_or(Refused::Malformed)?;
        if headers.len() >= HEADERS_MAX {
            return Err(Refused::TooLarge);
        }
        headers.push((k.to_ascii_lowercase(), v.trim().to_owned()));
    }
    Ok(Head { method: method.to_owned(), target: target.to_owned(), headers })
}

/// Percent-decodes; bytes that are no UTF-8 then become replacement characters.
pub(super) fn decode(s: &str) -> String {
    let b = s.as_bytes();
    let mut out = Vec::with_capacity(b.len());
    let mut i = 0;
    while i < b.len() {
        let hex = (b[i] == b'%').then(|| s.get(i + 1..i + 3)).flatten();
        match hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(c) => {
                out.push(c);
                i += 3;
            }
            None => {
                out.push(b[i]);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Parts of a query, decoded.
pub(super) fn query(target: &str) -> Vec<(String, String)> {
    let q = target.split_once('?').map_or("", |p| p.1);
    q.split('&')
        .filter(|p| !p.is_empty())
        .map(|p| p.split_once('=').map_or((decode(p), String::new()), |(k, v)| (decode(k), decode(v))))
        .collect()
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// Sent so much later.
    pub delay_ms: u64,
    /// Only half of the body is sent, then the connection ends.
    pub cut: bool,
}

impl Answer {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Answer {
        Answer { status, body: body.into(), ..Answer::default() }
    }

    /// The bytes on the wire.
    pub fn bytes(&self, close: bool) -> Vec<u8> {
        let reason = match self.status {
            200 => "OK",
            302 => "Found",
            400 => "Bad Request",
            404 => "Not Found",
            405 => "Method Not Allowed",
            414 => "URI Too Long",
            418 => "I'm a teapot",
            429 => "Too Many Requests",
            431 => "Request Header Fields Too Large",
            503 => "Service Unavailable",
            _ => "Status",
        };
        let mut out = format!("HTTP/1.1 {} {reason}\r\nContent-Type: application/json\r\n", self.status);
        out.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        for (k, v) in &self.headers {
            out.push_str(&format!("{k}: {v}\r\n"));
        }
        if close || self.cut {
            out.push_str("Connection: close\r\n");
        }
        out.push_str("\r\n");
        let mut out = out.into_bytes();
        let body = if self.cut { &self.body[..self.body.len() / 2] } else { &self.body[..] };
        out.extend_from_slice(body);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(s: &str) -> Result<Head, Refused> {
        parse(s.as_bytes())
    }

    #[test]
    fn heads_are_read_and_limits_hold() {
        let h =
            head("GET /stream?streams=a@b HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade").unwrap();
        assert_eq!((h.method.as_str(), h.target.as_str()), ("GET", "/stream?streams=a@b"));
        assert!(h.says("connection", "upgrade") && !h.says("connection", "close"));
        for bad in
            ["", "GET", "GET / HTTP/2", "GET x HTTP/1.1", "GET / HTTP/1.1\r\nno colon", "GET /a b HTTP/1.1"]
        {
            assert_eq!(head(bad), Err(Refused::Malformed), "{bad:?}");
        }
        let many = format!("GET / HTTP/1.1{}", "\r\na: b".repeat(65));
        assert_eq!(head(&many), Err(Refused::TooLarge));
    }

    #[test]
    fn names_are_decoded() {
        assert_eq!(decode("%E9%BE%99%E8%99%BEusdt%40trade"), "龙虾usdt@trade");
        assert_eq!(decode("100%"), "100%");
        assert_eq!(decode("%zz%4"), "%zz%4");
        assert_eq!(
            query("/x?a=1&b=%2F&c"),
            [("a".into(), "1".into()), ("b".into(), "/".into()), ("c".into(), String::new())]
        );
    }

    #[test]
    fn a_cut_answer_promises_more_than_it_sends() {
        let mut a = Answer::new(200, "0123456789");
        assert!(a.bytes(false).ends_with(b"\r\n\r\n0123456789"));
        a.cut = true;
        let b = String::from_utf8(a.bytes(false)).unwrap();
        assert!(b.contains("Content-Length: 10\r\n") && b.ends_with("\r\n\r\n01234"), "{b}");
    }
}
