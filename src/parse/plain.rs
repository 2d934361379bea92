//! The index of a plain document, made in one pass: no escapes, no floats, nothing that needs a second look.
//!
//! It is the index that simd-json makes, for the part of JSON that venues write, in less time on frames of a few
//! hundred bytes, and it borrows from the document instead of a copy. Everything else is left (`None`): simd-json finds
//! out what it is, or what is wrong with it.

use simd_json::{Node, StaticNode};

use super::Scan;
use super::json::DEPTH_MAX;
use crate::sys::simd::Ascii;

/// An object or array that is not closed: small, because a stack of them is made for every document.
#[derive(Clone, Copy, Default)]
struct Open {
    /// Where its node is.
    node: u32,
    /// Its entries or elements so far, twice, and one more for an object.
    len: u32,
}

impl Open {
    fn is_object(self) -> bool {
        self.len & 1 == 1
    }

    /// Its node, now that `end` nodes are there.
    fn closed<'i>(self, end: usize) -> Node<'i> {
        let (len, count) = ((self.len >> 1) as usize, end - self.node as usize - 1);
        if self.is_object() { Node::Object { len, count } } else { Node::Array { len, count } }
    }
}

/// What texts are cut from.
trait Source<'i>: Copy {
    /// From one place up to another, both at a quote; `None` says nothing of the document.
    fn cut(self, from: usize, to: usize) -> Option<&'i str>;
}

/// Nearly every document: where it is cut needs no look.
impl<'i> Source<'i> for Ascii<'i> {
    #[inline(always)]
    fn cut(self, from: usize, to: usize) -> Option<&'i str> {
        self.part(from, to)
    }
}

impl<'i> Source<'i> for &'i str {
    fn cut(self, from: usize, to: usize) -> Option<&'i str> {
        self.get(from..to)
    }
}

/// Fills `nodes` with the index of a document; they are worth nothing after `None`.
pub(super) fn index<'i>(document: &'i [u8], nodes: &mut Vec<Node<'i>>) -> Option<()> {
    match Ascii::new(document) {
        Some(text) => index_of(text, document, nodes),
        None => index_of(std::str::from_utf8(document).ok()?, document, nodes),
    }
}

#[inline]
fn index_of<'i>(text: impl Source<'i>, document: &'i [u8], nodes: &mut Vec<Node<'i>>) -> Option<()> {
    let mut d = Document { text, scan: Scan::new(document) };
    if !matches!(d.scan.peek(), Some(b'{' | b'[')) {
        return None;
    }
    let (mut stack, mut depth, mut top) = ([Open::default(); DEPTH_MAX], 0, Open::default());
    loop {
        // A value is next; an empty object or array is none of its own elements.
        let mut one = 2;
        match d.scan.peek()? {
            b'"' => nodes.push(d.string()?),
            b @ (b'{' | b'[') => {
                *stack.get_mut(depth)? = top;
                depth += 1;
                // Documents are a few MiB at most.
                top = Open { node: nodes.len() as u32, len: u32::from(b == b'{') };
                nodes.push(Node::Static(StaticNode::Null));
                d.scan.step();
                d.scan.blanks();
                match d.scan.peek()? {
                    b'}' if top.is_object() => one = 0,
                    b']' if !top.is_object() => one = 0,
                    _ => {
                        if top.is_object() {
                            d.key(nodes)?;
                        }
                        continue;
                    }
                }
            }
            b'0'..=b'9' => nodes.push(Node::Static(StaticNode::I64(d.scan.integer()?))),
            _ => nodes.push(Node::Static(d.word()?)),
        }
        // Behind it comes the next one, or the end of what it stands in.
        loop {
            d.scan.blanks();
            top.len += one;
            let b = d.scan.peek()?;
            d.scan.step();
            if b == b',' {
                d.scan.blanks();
                if top.is_object() {
                    d.key(nodes)?;
                }
                break;
            }
            if b != if top.is_object() { b'}' } else { b']' } {
                return None;
            }
            let end = nodes.len();
            *nodes.get_mut(top.node as usize)? = top.closed(end);
            depth -= 1;
            if depth == 0 {
                d.scan.blanks();
                return d.scan.is_end().then_some(());
            }
            top = stack[depth];
            one = 2;
        }
    }
}

struct Document<'i, T> {
    text: T,
    scan: Scan<'i>,
}

impl<'i, T: Source<'i>> Document<'i, T> {
    /// A text with its quotes.
    #[inline(always)]
    fn string(&mut self) -> Option<Node<'i>> {
        self.scan.literal(b"\"")?;
        let from = self.scan.place();
        self.scan.plain()?;
        Some(Node::String(self.text.cut(from, self.scan.place().wrapping_sub(1))?))
    }

    /// A key, its colon, and blanks around.
    #[inline(always)]
    fn key(&mut self, nodes: &mut Vec<Node<'i>>) -> Option<()> {
        // Most keys are one letter. Where the value begins is known then without a search, for which all behind would
        // have to wait.
        if self.scan.letter_key() {
            let at = self.scan.place();
            nodes.push(Node::String(self.text.cut(at.wrapping_sub(3), at.wrapping_sub(2))?));
            self.scan.blanks();
            return Some(());
        }
        let key = self.string()?;
        nodes.push(key);
        if !self.scan.skip(b":") {
            self.scan.blanks();
            self.scan.literal(b":")?;
        }
        self.scan.blanks();
        Some(())
    }

    /// A truth value, `null` or a negative integer. What follows is looked at by the caller.
    fn word(&mut self) -> Option<StaticNode> {
        if self.scan.skip(b"true") {
            return Some(StaticNode::Bool(true));
        }
        if self.scan.skip(b"false") {
            return Some(StaticNode::Bool(false));
        }
        if self.scan.skip(b"null") {
            return Some(StaticNode::Null);
        }
        self.scan.literal(b"-")?;
        // `-0` is not an integer everywhere.
        let n = self.scan.integer().filter(|n| *n > 0)?;
        Some(StaticNode::I64(-n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use simd_json::Buffers;

    /// Nodes as text: numbers by value, because small ones may be kept either way.
    fn told(nodes: &[Node<'_>]) -> Vec<String> {
        let tell = |n: &Node<'_>| match n {
            Node::Static(StaticNode::U64(n)) => format!("{n}"),
            Node::Static(StaticNode::I64(n)) => format!("{n}"),
            other => format!("{other:?}"),
        };
        nodes.iter().map(tell).collect()
    }

    /// The index if it is made; then it must be simd-json's.
    fn checked(document: &[u8]) -> Option<Vec<String>> {
        let mut nodes = Vec::new();
        index(document, &mut nodes)?;
        let (mut copy, mut buffers) = (document.to_vec(), Buffers::with_max_depth(64, DEPTH_MAX));
        let mut tape = simd_json::Tape(Vec::new());
        let text = String::from_utf8_lossy(document).into_owned();
        let result = simd_json::fill_tape(&mut copy, &mut buffers, &mut tape);
        assert!(result.is_ok(), "taken, but {result:?}: {text}");
        assert_eq!(told(&nodes), told(&tape.0), "{text}");
        Some(told(&nodes))
    }

    #[test]
    fn what_venues_write_is_indexed() {
        for text in [
            r#"{}"#,
            r#"[]"#,
            r#"[[],{},[[]],{"a":{}}]"#,
            r#"{"a":[1,-2,123456789012345678],"b":"é","":null,"c":[true,false,[],{"d":[[1,"x"],[2,"y"]]}],"e":0}"#,
            r#"{"s":"龙虾USDT"}"#,
            r#"{"":1,"1":2,"é":3,"a" :4,"b": 5,"::":6,"c":"d","e":{"f":[]}}"#,
            "{\n\t\"a\" : [ 1 , 2 ] , \"b\":{ } }\r\n",
            r#"{"stream":"btcusdt@depth","data":{"e":"depthUpdate","b":[["61800.20","0.001"],["1","2"]],"a":[]}}"#,
        ] {
            assert!(checked(text.as_bytes()).is_some(), "{text}");
        }
        let nested = |n: usize| [vec![b'['; n], vec![b']'; n]].concat();
        assert!(checked(&nested(DEPTH_MAX)).is_some());
        assert!(checked(&nested(DEPTH_MAX + 1)).is_none());
    }

    #[test]
    fn what_needs_a_second_look_is_left() {
        for text in [
            "",
            " ",
            "5",
            "\"a\"",
            " {}",
            "{",
            "[",
            "[1",
            "[1,",
            "[1,]",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":1,}",
            "{\"a\":1]",
            "[1}",
            "[1]]",
            "{}{}",
            "[,1]",
            "[1 2]",
            "{1:2}",
            "{\"a\" 1}",
            "[1.5]",
            "[1e3]",
            "[-0]",
            "[-]",
            "[+1]",
            "[01]",
            "[-01]",
            "[1234567890123456789]",
            "[\"a\\\"b\"]",
            "[\"\\u0041\"]",
            "{\"\\\":1}",
            "{\"\"\":1}",
            "{\"a\"",
            "[\"a\nb\"]",
            "[nul]",
            "[truefalse]",
            "[tru]",
            "{,}",
            "[\"a]",
            "{\"a\":1 \"b\":2}",
            "[[],]",
            "[{},]",
            "[,]",
            "{\"a\":}",
            "[]x",
            "[]\0",
        ] {
            assert!(checked(text.as_bytes()).is_none(), "{text}");
        }
        assert!(checked(b"[\"\xff\"]").is_none());
    }

    proptest! {
        #[test]
        fn arbitrary_json_is_indexed_alike(v in json(), spaced in any::<bool>()) {
            let text = if spaced { serde_json::to_string_pretty(&v) } else { serde_json::to_string(&v) };
            let plain = v.is_object() || v.is_array();
            prop_assert!(checked(text.unwrap().as_bytes()).is_some() || !plain);
        }

        #[test]
        fn spoilt_json_is_indexed_alike_or_left(
            v in json(),
            at in any::<prop::sample::Index>(),
            byte in prop_oneof![Just(b'"'), Just(b','), Just(b'['), Just(b']'), Just(b'{'), Just(b'}'), Just(b':'), any::<u8>()],
            how in 0u8..3,
        ) {
            let mut bytes = serde_json::to_vec(&v).unwrap();
            let i = at.index(bytes.len());
            match how {
                0 => bytes[i] = byte,
                1 => bytes.insert(i, byte),
                _ => bytes.truncate(i),
            }
            checked(&bytes);
        }

        #[test]
        fn json_like_bytes_are_indexed_alike_or_left(text in r#"[\[\]{}",:0-9a-e\\u. -]{0,60}"#) {
            checked(text.as_bytes());
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            (-999_999_999_999_999_999i64..1_000_000_000_000_000_000).prop_map(Into::into),
            "[a-zA-Z0-9.@ é龙]{0,20}".prop_map(Into::into),
        ];
        leaf.prop_recursive(5, 60, 8, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..8).prop_map(Into::into),
                proptest::collection::vec(("[a-zA-Z]{0,9}", inner), 0..8)
                    .prop_map(|e| e.into_iter().collect::<serde_json::Map<_, _>>().into()),
            ]
        })
    }
}
