//! One line of a recording.

/// Bytes of a word that is a frame.
const WORD_MAX: usize = 16;

/// What a line holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A frame as received.
    Frame(&'a [u8]),
    /// A word, which may be a frame of a venue that says such.
    Word(&'a [u8]),
    /// A depth body without its request.
    Snapshot(&'a [u8]),
    /// A REST body and the path that brought it.
    Rest {
        /// Path and query.
        url: &'a str,
        /// The body.
        body: &'a [u8],
    },
    /// A message that the recorder sent.
    Sent(&'a [u8]),
    /// The recorder opened a connection.
    Connect(&'a str),
    /// Another note.
    Note(&'a [u8]),
}

/// Why a line is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// Nothing there.
    #[error("blank line")]
    Blank,
    /// No receive stamp that we know.
    #[error(
        "no receive stamp: expected 19 digits (ns) or 16 digits (µs) and a blank, or seconds with a fraction and `: `"
    )]
    Stamp,
    /// Nothing behind the stamp that we know.
    #[error("nothing known behind the receive stamp")]
    Content,
}

/// Reads a line without its newline: receive stamp in ns, and the rest. Both formats are told apart line by line: our
/// own lines begin with a whole number and a blank, those of cryptofeed's raw data collection never do.
///
/// # Errors
/// [`LineError`] where the line is of neither format.
pub fn parse_line(b: &[u8]) -> Result<(i64, Line<'_>), LineError> {
    if b.iter().all(u8::is_ascii_whitespace) {
        return Err(LineError::Blank);
    }
    let digits = b.iter().take_while(|c| c.is_ascii_digit()).count();
    if !matches!(digits, 16 | 19) || b.get(digits) != Some(&b' ') {
        return cryptofeed_line(b);
    }
    let mut ts: i64 = 0;
    for c in &b[..digits] {
        ts = ts.checked_mul(10).and_then(|t| t.checked_add(i64::from(c - b'0'))).ok_or(LineError::Stamp)?;
    }
    if digits == 16 {
        ts = ts.checked_mul(1000).ok_or(LineError::Stamp)?;
    }
    let rest = &b[digits + 1..];
    let line = match rest {
        [b'>', b' ', m @ ..] => Line::Sent(m),
        [b'#', b' ', n @ ..] => match std::str::from_utf8(n).ok().and_then(|t| t.strip_prefix("connect ")) {
            Some(url) if url.len() <= usize::from(u16::MAX) => Line::Connect(url),
            _ => Line::Note(n),
        },
        [b'/', ..] => {
            let sp = rest.iter().position(|c| *c == b' ').ok_or(LineError::Content)?;
            Line::Rest { url: address(&rest[..sp])?, body: &rest[sp + 1..] }
        }
        _ => content(rest)?,
    };
    Ok((ts, line))
}

/// What an unnamed JSON text is.
fn content(b: &[u8]) -> Result<Line<'_>, LineError> {
    match b {
        [b'{' | b'[', ..] if is_bare_snapshot(b) => Ok(Line::Snapshot(b)),
        [b'{' | b'[', ..] => Ok(Line::Frame(b)),
        [_, ..] if b.len() <= WORD_MAX && b.iter().all(u8::is_ascii_lowercase) => Ok(Line::Word(b)),
        _ => Err(LineError::Content),
    }
}

/// A line of cryptofeed's raw data collection: `<seconds>: <frame>`, `<address> -> <seconds>: <body>`,
/// `<address> <- <seconds>: <sent message>`, `<address> <-> <seconds>`, and a header `configuration: …`. Seconds are a
/// decimal number; they are read digit by digit, so that nothing is lost on the way through a float.
fn cryptofeed_line(b: &[u8]) -> Result<(i64, Line<'_>), LineError> {
    if b.first().is_some_and(u8::is_ascii_digit) {
        let (ts, text) = stamped(b)?;
        return Ok((ts, content(text)?));
    }
    if b.starts_with(b"configuration: ") {
        return Err(LineError::Blank);
    }
    let known: [&[u8]; 4] = [b"wss://", b"ws://", b"https://", b"http://"];
    if !known.iter().any(|k| b.starts_with(k)) {
        return Err(LineError::Stamp);
    }
    let end = b.iter().position(|c| *c == b' ').ok_or(LineError::Content)?;
    let url = address(&b[..end])?;
    match &b[end..] {
        [b' ', b'<', b'-', b'>', b' ', t @ ..] => Ok((seconds(t)?, Line::Connect(url))),
        [b' ', b'<', b'-', b' ', t @ ..] => stamped(t).map(|(ts, m)| (ts, Line::Sent(m))),
        [b' ', b'-', b'>', b' ', t @ ..] => {
            let (ts, body) = stamped(t)?;
            Ok((ts, Line::Rest { url: path_and_query(url), body }))
        }
        _ => Err(LineError::Content),
    }
}

fn stamped(b: &[u8]) -> Result<(i64, &[u8]), LineError> {
    let colon = b.iter().position(|c| *c == b':').ok_or(LineError::Stamp)?;
    let ts = seconds(&b[..colon])?;
    match &b[colon..] {
        [b':', b' ', text @ ..] => Ok((ts, text)),
        _ => Err(LineError::Content),
    }
}

/// Decimal seconds to ns. What lies below a nanosecond is cut off.
fn seconds(b: &[u8]) -> Result<i64, LineError> {
    let (whole, fraction) = match b.iter().position(|c| *c == b'.') {
        Some(dot) => (&b[..dot], &b[dot + 1..]),
        None => (b, &b[b.len()..]),
    };
    if whole.is_empty() || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return Err(LineError::Stamp);
    }
    let nine = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    whole.iter().copied().chain(nine).try_fold(0_i64, |ts, c| {
        ts.checked_mul(10).and_then(|t| t.checked_add(i64::from(c - b'0'))).ok_or(LineError::Stamp)
    })
}

fn address(b: &[u8]) -> Result<&str, LineError> {
    let url = std::str::from_utf8(b).map_err(|_| LineError::Content)?;
    if url.len() > usize::from(u16::MAX) {
        return Err(LineError::Content);
    }
    Ok(url)
}

/// What follows the host: requests are told by their path.
fn path_and_query(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    url[host..].find('/').map_or("/", |at| &url[host + at..])
}

/// A depth body stands bare: it has `lastUpdateId` near its start and no `stream`.
fn is_bare_snapshot(b: &[u8]) -> bool {
    let head = &b[..b.len().min(160)];
    find(head, b"\"lastUpdateId\"").is_some() && find(head, b"\"stream\"").is_none()
}

fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len()).position(|w| w == needle)
}

/// The symbol in a line's stream name, upper-cased as instrument lists write it.
pub(super) fn stream_symbol(line: &[u8]) -> Option<String> {
    let head = &line[..line.len().min(300)];
    let at = find(head, b"\"stream\"")? + 8;
    let open = at + head[at..].iter().position(|c| *c == b'"')? + 1;
    let len = head[open..].iter().position(|c| *c == b'@' || *c == b'"')?;
    let name = std::str::from_utf8(&head[open..open + len]).ok()?;
    (!name.is_empty() && !name.starts_with('!')).then(|| name.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_of_lines() {
        let l = |s: &'static str| parse_line(s.as_bytes());
        assert_eq!(
            l("1680652800004107 {\"stream\":1}"),
            Ok((1680652800004107000, Line::Frame(b"{\"stream\":1}")))
        );
        assert_eq!(
            l("1723161255030314667 {\"lastUpdateId\": 27, \"E\": 1}"),
            Ok((1723161255030314667, Line::Snapshot(b"{\"lastUpdateId\": 27, \"E\": 1}")))
        );
        assert_eq!(
            l("1626992741301402000 /fapi/v1/depth?symbol=A&limit=1000 {}"),
            Ok((1626992741301402000, Line::Rest { url: "/fapi/v1/depth?symbol=A&limit=1000", body: b"{}" }))
        );
        assert_eq!(l("1626992741301402000 > {\"id\":1}").map(|x| x.1), Ok(Line::Sent(b"{\"id\":1}")));
        assert_eq!(l("1626992741301402000 # connect wss://x/y").map(|x| x.1), Ok(Line::Connect("wss://x/y")));
        assert_eq!(l("  "), Err(LineError::Blank));
        assert_eq!(l("12 {}"), Err(LineError::Stamp));
        assert_eq!(l("9999999999999999999 {}"), Err(LineError::Stamp));
        // Found by fuzzing: beyond the year 2262 in microseconds.
        assert_eq!(l("9626992741402000 {}"), Err(LineError::Stamp));
        assert_eq!(l("1626992741301402000 ?"), Err(LineError::Content));
    }

    #[test]
    fn the_lines_of_cryptofeed() {
        let l = |s: &'static str| parse_line(s.as_bytes());
        assert_eq!(
            l("1628798478.3342729: {\"stream\":1}"),
            Ok((1_628_798_478_334_272_900, Line::Frame(b"{\"stream\":1}")))
        );
        assert_eq!(l("1628798478.12345678949: [1]").map(|x| x.0), Ok(1_628_798_478_123_456_789));
        assert_eq!(l("1628798478: {}"), Ok((1_628_798_478_000_000_000, Line::Frame(b"{}"))));
        assert_eq!(
            l(
                "https://fapi.binance.com/fapi/v1/depth?symbol=A&limit=1000 -> 1628798478.5: {\"lastUpdateId\":1}"
            ),
            Ok((
                1_628_798_478_500_000_000,
                Line::Rest { url: "/fapi/v1/depth?symbol=A&limit=1000", body: b"{\"lastUpdateId\":1}" }
            ))
        );
        assert_eq!(
            l("wss://x/stream?streams=a@b <-> 1628798478.5"),
            Ok((1_628_798_478_500_000_000, Line::Connect("wss://x/stream?streams=a@b")))
        );
        assert_eq!(l("wss://x/ws <- 1.5: {\"id\":1}"), Ok((1_500_000_000, Line::Sent(b"{\"id\":1}"))));
        assert_eq!(l("configuration: {'a': 1}"), Err(LineError::Blank));
        assert_eq!(l("wss://x/ws <-> soon"), Err(LineError::Stamp));
        assert_eq!(l("wss://x/ws"), Err(LineError::Content));
        assert_eq!(l("1.5:{}"), Err(LineError::Content));
        assert_eq!(l("-1.5: {}"), Err(LineError::Stamp));
        assert_eq!(l("99999999999.5: {}"), Err(LineError::Stamp));
        assert_eq!(l("1.5: b'x'"), Err(LineError::Content));
    }

    #[test]
    fn the_symbol_of_a_stream() {
        assert_eq!(stream_symbol(b"1 {\"stream\":\"btcusdt@depth@0ms\",").as_deref(), Some("BTCUSDT"));
        assert_eq!(stream_symbol(b"1 {\"stream\":\"!ticker@arr\",").as_deref(), None);
    }
}
