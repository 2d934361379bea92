//! `SafeName`: the only way by which a venue's or a user's text becomes part of a path.
//!
//! Bytes outside `[A-Za-z0-9_-]` are percent-encoded, which readers undo by themselves (hive keys are URL-encoded by
//! convention). What would be longer than 120 bytes, or would collide with an earlier name on a file system that
//! ignores case, is cut and marked with a hash: `<start>.<16 hex digits>`. A dot stands in no other name.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::hash::hex;

/// Longest encoded name without a hash, in bytes.
pub const NAME_MAX: usize = 120;

/// Encodes a text. Never empty, never begins with a dot, never contains a slash; at most [`NAME_MAX`] bytes and a hash.
pub fn encode(text: &str) -> String {
    let plain = percent(text);
    // What hive readers take for a null, and the empty text, must not stand as they are.
    if plain.is_empty() || plain.len() > NAME_MAX || plain == "__HIVE_DEFAULT_PARTITION__" {
        hashed(text)
    } else {
        plain
    }
}

/// The text behind a name; `None` where only a hash is left of it, or for what is no name.
pub fn decode(name: &str) -> Option<String> {
    let mut out = Vec::with_capacity(name.len());
    let mut b = name.bytes();
    while let Some(c) = b.next() {
        match c {
            b'%' => {
                let hi = char::from(b.next()?).to_digit(16)?;
                let lo = char::from(b.next()?).to_digit(16)?;
                out.push((hi * 16 + lo) as u8);
            }
            c if is_safe(c) => out.push(c),
            _ => return None,
        }
    }
    String::from_utf8(out).ok().filter(|s| !s.is_empty())
}

fn is_safe(c: u8) -> bool {
    c.is_ascii_alphanumeric()
        || c == b'_'
        || c == b'-'
        || planted!("names_are_paths", c == b'/' || c == b'.', false)
}

fn percent(text: &str) -> String {
    let mut s = String::with_capacity(text.len());
    for c in text.bytes() {
        if is_safe(c) {
            s.push(char::from(c));
        } else {
            s.push_str(&format!("%{c:02X}"));
        }
    }
    s
}

fn hashed(text: &str) -> String {
    let mut start = percent(text);
    if start.len() > NAME_MAX - 17 {
        let mut cut = NAME_MAX - 17;
        // Not in the middle of an escape.
        while start.as_bytes()[cut - 2..cut].contains(&b'%') {
            cut -= 1;
        }
        start.truncate(cut);
    }
    if start.is_empty() {
        start.push('_');
    }
    let sum = Sha256::digest(text.as_bytes());
    format!("{start}.{}", hex(&sum[..8]))
}

/// The names given in one dataset, so that two texts never meet in one directory, whatever the file system thinks of
/// upper and lower case. Who comes first keeps the plain name.
#[derive(Debug, Default)]
pub struct Names {
    /// Name without case → text that has it.
    taken: BTreeMap<String, String>,
    /// Text → name, for those that had to move aside.
    moved: BTreeMap<String, String>,
}

impl Names {
    /// The name of a text within a scope (a venue for symbols, "" for venues).
    pub fn name(&mut self, scope: &str, text: &str) -> String {
        let full = format!("{scope}/{text}");
        if let Some(n) = self.moved.get(&full) {
            return n.clone();
        }
        let plain = encode(text);
        let fold = format!("{scope}/{}", plain.to_ascii_lowercase());
        match self.taken.get(&fold) {
            None => {
                self.taken.insert(fold, full);
                plain
            }
            Some(who) if *who == full => plain,
            Some(_) => {
                let n = hashed(text);
                self.moved.insert(full, n.clone());
                n
            }
        }
    }

    /// Notes a name given earlier, as the manifest says.
    pub fn remember(&mut self, scope: &str, text: &str, name: &str) {
        let full = format!("{scope}/{text}");
        if encode(text) == name {
            self.taken.entry(format!("{scope}/{}", name.to_ascii_lowercase())).or_insert(full);
        } else {
            self.moved.insert(full, name.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_names() {
        for (text, name) in [
            ("BTCUSDT", "BTCUSDT"),
            ("BTC/USDT", "BTC%2FUSDT"),
            ("B-MONEYUSDT", "B-MONEYUSDT"),
            ("龙虾USDT", "%E9%BE%99%E8%99%BEUSDT"),
            ("../../x", "%2E%2E%2F%2E%2E%2Fx"),
            (".", "%2E"),
            ("a\0b", "a%00b"),
            ("12345", "12345"),
        ] {
            assert_eq!(encode(text), name);
            assert_eq!(decode(name).as_deref(), Some(text));
        }
        assert!(encode("").starts_with("_."));
        assert!(encode("__HIVE_DEFAULT_PARTITION__").contains('.'));
        assert_eq!(decode("a.b"), None);
        assert_eq!(decode("%2"), None);
        assert_eq!(decode("%FF"), None);
    }

    #[test]
    fn long_names_keep_as_much_as_there_is_room_for_and_no_half_escape() {
        let longest = "A".repeat(NAME_MAX);
        // What a recorder takes for a symbol has a plain name, if its letters are plain.
        assert_eq!(crate::model::instrument::SYMBOL_BYTES_MAX, NAME_MAX);
        assert_eq!(encode(&longest), longest);
        let room = NAME_MAX - 17;
        let cut = encode(&format!("{longest}A"));
        assert_eq!((cut.len(), &cut[..=room]), (NAME_MAX, format!("{}.", "A".repeat(room)).as_str()));
        // An escape that would end behind the room goes as a whole, one that ends with it stays.
        for (plain, keeps) in [(room - 3, true), (room - 2, false), (room - 1, false), (room, false)] {
            let name = encode(&format!("{}/{longest}", "B".repeat(plain)));
            let start = format!("{}{}", "B".repeat(plain), if keeps { "%2F." } else { "." });
            assert!(name.starts_with(&start), "{plain}: {name}");
        }
        // Too short to be cut.
        let hive = encode("__HIVE_DEFAULT_PARTITION__");
        assert!(hive.starts_with("__HIVE_DEFAULT_PARTITION__."), "{hive}");
    }

    #[test]
    fn names_that_differ_in_case_only_do_not_meet() {
        let mut n = Names::default();
        assert_eq!(n.name("v", "BTC"), "BTC");
        let lower = n.name("v", "btc");
        assert!(lower.starts_with("btc."), "{lower}");
        assert_eq!(n.name("v", "btc"), lower);
        assert_eq!(n.name("v", "BTC"), "BTC");
        assert_eq!(n.name("w", "btc"), "btc");
        let mut again = Names::default();
        again.remember("v", "btc", &lower);
        again.remember("v", "BTC", "BTC");
        assert_eq!((again.name("v", "btc"), again.name("v", "BTC")), (lower, "BTC".to_owned()));
    }

    proptest! {
        #[test]
        fn any_text_is_one_harmless_component(text in ".{0,200}") {
            let n = encode(&text);
            prop_assert!(!n.is_empty() && n.len() <= NAME_MAX && !n.starts_with('.'));
            prop_assert!(n.bytes().all(|c| is_safe(c) || c == b'%' || c == b'.'));
            if !n.contains('.') {
                prop_assert_eq!(decode(&n), Some(text));
            }
        }

        #[test]
        fn different_texts_have_different_names(a in ".{0,80}", b in ".{0,80}") {
            let mut n = Names::default();
            let (x, y) = (n.name("", &a), n.name("", &b));
            prop_assert_eq!(a == b, x.eq_ignore_ascii_case(&y));
        }
    }
}
