//! Decimals that come as JSON numbers: the venue's text says texts and allows for numbers.
//!
//! A JSON reader makes floats of numbers with a fraction, and no price may come out of one. So a document that has such
//! numbers is written again with each of them in quotes, digit by digit as it came, and read as all others are. None of
//! the venue's own examples has one, so nobody else pays for it.

use std::ops::Range;

/// The document with the numbers that stand for decimals as texts: those with a fraction, those in lists (levels) and those
/// under `p` and `a`, whose readers want texts. All else stays as it is, what is no JSON too. `None`: there is none.
pub(super) fn as_texts(document: &[u8]) -> Option<Vec<u8>> {
    let (mut out, mut copied, mut at) = (Vec::new(), 0, 0);
    // The last text, which is the key of a number behind a colon, and the last byte that is no space.
    let (mut key, mut last) = (&b""[..], 0);
    while let Some(&b) = document.get(at) {
        let token = token(document, at);
        let text = &document[token.clone()];
        match b {
            b'"' => key = text,
            b'-' | b'0'..=b'9' if is_due(key, last, text) && !is_key(&document[token.end..]) => {
                out.extend_from_slice(&document[copied..at]);
                out.push(b'"');
                out.extend_from_slice(text);
                out.push(b'"');
                copied = token.end;
            }
            _ => {}
        }
        if !b.is_ascii_whitespace() {
            last = b;
        }
        at = token.end;
    }
    if copied == 0 {
        return None;
    }
    out.extend_from_slice(&document[copied..]);
    Some(out)
}

/// Whether a colon follows: a number is no key, and must not become one.
fn is_key(rest: &[u8]) -> bool {
    rest.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b':')
}

/// Where what begins here ends: a text, a number, or a single byte.
fn token(document: &[u8], at: usize) -> Range<usize> {
    let rest = &document[at + 1..];
    let more = match document[at] {
        b'"' => {
            let mut escaped = false;
            let closing = rest.iter().position(|b| {
                let closes = *b == b'"' && !escaped;
                escaped = *b == b'\\' && !escaped;
                closes
            });
            closing.map_or(rest.len(), |n| n + 1)
        }
        b'-' | b'0'..=b'9' => {
            let is_part = |b: &u8| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-');
            rest.iter().position(|b| !is_part(b)).unwrap_or(rest.len())
        }
        _ => 0,
    };
    at..at + 1 + more
}

/// Whether this number, behind that byte and maybe under that key, is a decimal. Exponents are none, as in texts.
fn is_due(key: &[u8], last: u8, number: &[u8]) -> bool {
    let digits = number.strip_prefix(b"-").unwrap_or(number);
    let (whole, fraction) = match digits.iter().position(|b| *b == b'.') {
        Some(n) => (&digits[..n], Some(&digits[n + 1..])),
        None => (digits, None),
    };
    let are_digits = |d: &[u8]| !d.is_empty() && d.iter().all(u8::is_ascii_digit);
    // What is no number in JSON must not become a text in it.
    if !are_digits(whole) || (whole.len() > 1 && whole[0] == b'0') || fraction.is_some_and(|f| !are_digits(f))
    {
        return false;
    }
    match last {
        // The name of an event is none.
        b':' => matches!(key, b"\"p\"" | b"\"a\"") || (fraction.is_some() && key != b"\"e\""),
        b'[' | b',' => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimals_become_texts_and_nothing_else_does() {
        let texts = |t: &str| as_texts(t.as_bytes()).map(|v| String::from_utf8(v).unwrap());
        for (from, to) in [
            (r#"{"b":[[89390.80,11630],["1","2"]]}"#, r#"{"b":[["89390.80","11630"],["1","2"]]}"#),
            (r#"{ "p" : 5 , "a":-0.50, "t":17 }"#, r#"{ "p" : "5" , "a":"-0.50", "t":17 }"#),
            (
                r#"{"t":1,"k":{"o":0.123456789012345678,"v":369}}"#,
                r#"{"t":1,"k":{"o":"0.123456789012345678","v":369}}"#,
            ),
            (r#"{"s":"a\"1.5,2","p":[[1.5]"#, r#"{"s":"a\"1.5,2","p":[["1.5"]"#),
        ] {
            assert_eq!(texts(from).as_deref(), Some(to), "{from}");
        }
        for same in [
            r#"{"e":7,"t":1,"code":-1,"u":586765918776852548,"o":5}"#,
            r#"{"e":7.5,"p":"1.5"}"#,
            r#"{"p":01,"a":1.,"o":1.5e3,"h":-,"l":.5,"v":1e400}"#,
            r#"{"s":"1.5"#,
            r#"{"s":null,5 :1}"#,
            r#"{"s":"\\","p":null}"#,
            "",
        ] {
            assert_eq!(texts(same), None, "{same}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_and_once_is_enough(text in r#"[\[\]{}",:0-9a-e\\u. p-]{0,200}"#) {
            if let Some(once) = as_texts(text.as_bytes()) {
                prop_assert_eq!(as_texts(&once), None);
                let bare = |b: &[u8]| b.iter().copied().filter(|b| *b != b'"').collect::<Vec<_>>();
                prop_assert_eq!(bare(&once), bare(text.as_bytes()), "nothing but quotes comes in");
                let is_json = |b: &[u8]| serde_json::from_slice::<serde_json::Value>(b).is_ok();
                prop_assert_eq!(is_json(&once), is_json(text.as_bytes()));
            }
        }
    }
}
