//! Percent-encoding and query strings: symbols are opaque text and may be anything.

/// Appends `text`, percent-encoded but for letters, digits, `-_.~` and what `keep` lists.
pub fn encode_into(out: &mut String, text: &str, keep: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for b in text.bytes() {
        let plain = b.is_ascii_alphanumeric() || b"-_.~".contains(&b) || keep.as_bytes().contains(&b);
        if plain {
            out.push(char::from(b));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(b >> 4)]));
            out.push(char::from(HEX[usize::from(b & 15)]));
        }
    }
}

/// The text behind percent-encoding; `None` for broken escapes and for bytes that are not UTF-8.
pub fn decode(text: &str) -> Option<String> {
    let hex = |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16)).map(|d| d as u8);
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        if bytes[i] == b'%' {
            out.push(hex(bytes.get(i + 1))? << 4 | hex(bytes.get(i + 2))?);
            i += 3;
        } else {
            out.push(bytes[i]);
            i += 1;
        }
    }
    String::from_utf8(out).ok()
}

/// Path and query of a URL, with or without scheme and host.
pub fn path_and_query(url: &str) -> (&str, &str) {
    let from_path = match url.split_once("://") {
        Some((scheme, rest)) if scheme.bytes().all(|b| b.is_ascii_alphabetic()) => {
            rest.find('/').map_or("", |i| &rest[i..])
        }
        _ => url,
    };
    let from_path = from_path.split('#').next().unwrap_or("");
    from_path.split_once('?').unwrap_or((from_path, ""))
}

/// The decoded value of a query's key; of the first one where it is there twice.
pub fn query_value(query: &str, key: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (k, v) = pair.split_once('=')?;
        (decode(k)? == key).then(|| decode(v)).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn queries_are_read_as_written() {
        let (path, query) =
            path_and_query("https://fapi.example:443/fapi/v1/depth?symbol=%E9%BE%99USDT&limit=1000#x");
        assert_eq!(path, "/fapi/v1/depth");
        assert_eq!(query_value(query, "symbol").as_deref(), Some("龙USDT"));
        assert_eq!(query_value(query, "limit").as_deref(), Some("1000"));
        assert_eq!(query_value(query, "fromId"), None);
        assert_eq!(path_and_query("/x"), ("/x", ""));
        assert_eq!(path_and_query("https://host"), ("", ""));
        assert_eq!(decode("%zz"), None);
        assert_eq!(decode("%e"), None);
        assert_eq!(decode("%ff"), None);
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in ".*", keep in "[@!/]{0,3}") {
            let mut s = String::new();
            encode_into(&mut s, &text, &keep);
            prop_assert!(s.is_ascii());
            prop_assert_eq!(decode(&s), Some(text));
        }

        #[test]
        fn arbitrary_urls_never_panic(text in ".*") {
            let (_, query) = path_and_query(&text);
            let _ = query_value(query, "symbol");
        }
    }
}
