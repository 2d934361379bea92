//! One line of a recording.

/// What a line holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A frame as received.
    Frame(&'a [u8]),
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
    /// No receive stamp of 16 or 19 digits.
    #[error("no receive stamp: expected 19 digits (ns) or 16 digits (µs) and a blank")]
    Stamp,
    /// Nothing behind the stamp that we know.
    #[error("nothing known behind the receive stamp")]
    Content,
}

/// Reads a line without its newline: receive stamp in ns, and the rest.
///
/// # Errors
/// [`LineError`] where the line is not of the format.
pub fn parse_line(b: &[u8]) -> Result<(i64, Line<'_>), LineError> {
    if b.iter().all(u8::is_ascii_whitespace) {
        return Err(LineError::Blank);
    }
    let digits = b.iter().take_while(|c| c.is_ascii_digit()).count();
    if !matches!(digits, 16 | 19) || b.get(digits) != Some(&b' ') {
        return Err(LineError::Stamp);
    }
    let mut ts: i64 = 0;
    for c in &b[..digits] {
        ts = ts.checked_mul(10).and_then(|t| t.checked_add(i64::from(c - b'0'))).ok_or(LineError::Stamp)?;
    }
    if digits == 16 {
        ts *= 1000;
    }
    let rest = &b[digits + 1..];
    let line = match rest {
        [b'{' | b'[', ..] if is_bare_snapshot(rest) => Line::Snapshot(rest),
        [b'{' | b'[', ..] => Line::Frame(rest),
        [b'>', b' ', m @ ..] => Line::Sent(m),
        [b'#', b' ', n @ ..] => match std::str::from_utf8(n).ok().and_then(|t| t.strip_prefix("connect ")) {
            Some(url) if url.len() <= usize::from(u16::MAX) => Line::Connect(url),
            _ => Line::Note(n),
        },
        [b'/', ..] => {
            let sp = rest.iter().position(|c| *c == b' ').ok_or(LineError::Content)?;
            let url = std::str::from_utf8(&rest[..sp]).map_err(|_| LineError::Content)?;
            if url.len() > usize::from(u16::MAX) {
                return Err(LineError::Content);
            }
            Line::Rest { url, body: &rest[sp + 1..] }
        }
        _ => return Err(LineError::Content),
    };
    Ok((ts, line))
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
        assert_eq!(l("1626992741301402000 ?"), Err(LineError::Content));
    }

    #[test]
    fn the_symbol_of_a_stream() {
        assert_eq!(stream_symbol(b"1 {\"stream\":\"btcusdt@depth@0ms\",").as_deref(), Some("BTCUSDT"));
        assert_eq!(stream_symbol(b"1 {\"stream\":\"!ticker@arr\",").as_deref(), None);
    }
}
