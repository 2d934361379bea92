//! JSON without trees: a frame is indexed into a reused tape, which is walked. Plain ones are indexed by `plain` (this room only)
//! where they stand, all others by simd-json in a reused copy.
//!
//! Nothing here recurses and nothing allocates per frame once the buffers have grown to the size of the traffic.
//! Limits come first: length and number of elements are checked before the index is built, so that a hostile frame
//! cannot make the tape grow; nesting is bounded inside the indexer, whose stack is on the heap.

use simd_json::{Buffers, ErrorType, Node, StaticNode, Tape};

use super::plain;
use crate::model::{Level, Reject, RejectCause};

/// Objects and arrays may be nested this deep.
pub const DEPTH_MAX: usize = 32;
/// Levels per side of a book message.
pub const LEVELS_MAX: usize = 20_000;
/// Buffers that a single large message has grown beyond this many bytes are given back after it.
const KEEP_BYTES: usize = 1 << 20;

/// What a document may be at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes.
    pub bytes: usize,
    /// Commas and opening brackets: an upper bound of the elements that the tape has to hold.
    pub elements: usize,
}

impl Limits {
    /// A WebSocket message: 8 MiB, and no more elements than two full sides of a book and an all-market array need.
    pub const MESSAGE: Limits = Limits { bytes: 8 << 20, elements: 250_000 };
    /// The body of a book snapshot.
    pub const SNAPSHOT: Limits = Limits { bytes: 8 << 20, elements: 250_000 };
}

/// Level buffers, reused from message to message.
#[derive(Debug, Default)]
pub struct Sides {
    /// Bids.
    pub bids: Vec<Level>,
    /// Asks.
    pub asks: Vec<Level>,
}

/// How a frame was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// By the reader of its stream's known shape.
    Quick,
    /// By the general reader, because its stream has no other (or it belongs to none).
    General,
    /// By the general reader, although its stream's shape is known: the venue wrote it otherwise.
    Fallback,
}

/// How many frames were read each way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paths {
    /// [`Path::Quick`].
    pub quick: u64,
    /// [`Path::General`].
    pub general: u64,
    /// [`Path::Fallback`].
    pub fallback: u64,
}

/// Reused buffers of a parser: after warm-up a frame allocates nothing.
pub struct Scratch {
    frame: Vec<u8>,
    buffers: Buffers,
    tape: Tape<'static>,
    sides: Sides,
    paths: Paths,
    general_only: bool,
    simd_json_only: bool,
}

impl Default for Scratch {
    fn default() -> Scratch {
        Scratch {
            frame: Vec::new(),
            buffers: Buffers::with_max_depth(4096, DEPTH_MAX),
            tape: Tape(Vec::new()),
            sides: Sides::default(),
            paths: Paths::default(),
            general_only: false,
            simd_json_only: false,
        }
    }
}

impl Scratch {
    /// Buffers with which every frame is read by the general reader: what tests and benches hold the other one
    /// against.
    pub fn general_only() -> Scratch {
        Scratch { general_only: true, ..Scratch::default() }
    }

    /// As [`Scratch::general_only`], and plain documents are indexed by simd-json too: the slowest and most trusted way.
    pub fn simd_json_only() -> Scratch {
        Scratch { simd_json_only: true, ..Scratch::general_only() }
    }

    /// Whether the reader of known shapes is left out.
    #[inline]
    pub fn is_general_only(&self) -> bool {
        self.general_only
    }

    /// The level buffers, for a reader that needs no index.
    #[inline]
    pub fn sides(&mut self) -> &mut Sides {
        &mut self.sides
    }

    /// Counts a frame.
    #[inline]
    pub fn count(&mut self, path: Path) {
        match path {
            Path::Quick => self.paths.quick += 1,
            Path::General => self.paths.general += 1,
            Path::Fallback => self.paths.fallback += 1,
        }
    }

    /// How many frames were read each way so far.
    pub fn paths(&self) -> Paths {
        self.paths
    }

    /// Indexes one document and hands its root to `read`, with the level buffers beside it.
    ///
    /// # Errors
    /// `Limit` for a document over `limits` or nested deeper than [`DEPTH_MAX`], `Malformed` for what is no JSON,
    /// `Number` for a JSON number that no 64-bit integer or double holds; else what `read` says.
    pub fn read<R>(
        &mut self,
        document: &[u8],
        limits: Limits,
        read: impl FnOnce(Val<'_, '_>, &mut Sides) -> Result<R, Reject>,
    ) -> Result<R, Reject> {
        check(document, limits)?;
        let mut tape = std::mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        let is_plain = !self.simd_json_only && plain::index(document, &mut tape.0).is_some();
        let result = if is_plain {
            let result = read(Val(&tape.0), &mut self.sides);
            self.tape = tape.reset();
            result
        } else {
            let mut tape = tape.reset();
            self.frame.clear();
            self.frame.extend_from_slice(document);
            let result = match simd_json::fill_tape(&mut self.frame, &mut self.buffers, &mut tape) {
                Ok(()) => read(Val(&tape.0), &mut self.sides),
                Err(e) => Err(refusal(e.error())),
            };
            self.tape = tape.reset();
            result
        };
        if document.len() > KEEP_BYTES {
            let Scratch { paths, general_only, simd_json_only, .. } = *self;
            *self = Scratch { paths, general_only, simd_json_only, ..Scratch::default() };
        }
        result
    }
}

/// Length and number of elements. A comma or bracket inside a text counts as well: the bound is an upper one.
fn check(document: &[u8], limits: Limits) -> Result<(), Reject> {
    if document.len() > limits.bytes {
        return Err(Reject::new(RejectCause::Limit, "message too long"));
    }
    if document.len() > limits.elements {
        let elements = document.iter().filter(|b| matches!(b, b',' | b'[' | b'{')).count();
        if elements > limits.elements {
            return Err(Reject::new(RejectCause::Limit, "message of too many elements"));
        }
    }
    Ok(())
}

#[cold]
fn refusal(e: &ErrorType) -> Reject {
    match e {
        ErrorType::DepthLimitExceeded => Reject::new(RejectCause::Limit, "nested too deeply"),
        ErrorType::InputTooLarge | ErrorType::Overflow => Reject::new(RejectCause::Limit, "message too long"),
        ErrorType::InvalidUtf8 => Reject::new(RejectCause::Malformed, "not UTF-8"),
        ErrorType::InvalidNumber | ErrorType::InvalidExponent => {
            Reject::new(RejectCause::Number, "a JSON number that is none, or does not fit")
        }
        ErrorType::Eof | ErrorType::UnterminatedString | ErrorType::Syntax => {
            Reject::new(RejectCause::Malformed, "JSON cut short or broken")
        }
        _ => Reject::new(RejectCause::Malformed, "not JSON"),
    }
}

/// A value of a document: a view into the tape, free to copy.
#[derive(Clone, Copy, Debug)]
pub struct Val<'t, 'i>(&'t [Node<'i>]);

impl<'t, 'i> Val<'t, 'i> {
    /// The text, escapes resolved.
    #[inline]
    pub fn as_str(self) -> Option<&'i str> {
        match self.0.first() {
            Some(Node::String(s)) => Some(s),
            _ => None,
        }
    }

    /// An integer that fits `i64`.
    #[inline]
    pub fn as_i64(self) -> Option<i64> {
        match self.0.first() {
            Some(Node::Static(StaticNode::I64(n))) => Some(*n),
            Some(Node::Static(StaticNode::U64(n))) => i64::try_from(*n).ok(),
            _ => None,
        }
    }

    /// Whether this is a JSON number of any kind.
    pub fn is_number(self) -> bool {
        matches!(
            self.0.first(),
            Some(Node::Static(StaticNode::I64(_) | StaticNode::U64(_) | StaticNode::F64(_)))
        )
    }

    /// A truth value.
    #[inline]
    pub fn as_bool(self) -> Option<bool> {
        match self.0.first() {
            Some(Node::Static(StaticNode::Bool(b))) => Some(*b),
            _ => None,
        }
    }

    /// Whether this is `null`.
    #[inline]
    pub fn is_null(self) -> bool {
        matches!(self.0.first(), Some(Node::Static(StaticNode::Null)))
    }

    /// The entries of an object, in the order sent.
    #[inline]
    pub fn entries(self) -> Option<Entries<'t, 'i>> {
        match self.0.split_first() {
            Some((Node::Object { len, .. }, rest)) => Some(Entries { nodes: rest, left: *len }),
            _ => None,
        }
    }

    /// As [`Val::entries`]; what is no object has none.
    #[inline]
    pub fn fields(self) -> Entries<'t, 'i> {
        self.entries().unwrap_or(Entries { nodes: &[], left: 0 })
    }

    /// The elements of an array.
    #[inline]
    pub fn elements(self) -> Option<Elements<'t, 'i>> {
        match self.0.split_first() {
            Some((Node::Array { len, .. }, rest)) => Some(Elements { nodes: rest, left: *len }),
            _ => None,
        }
    }

    /// The first two texts of an array of at least two: a price level as most venues print it.
    #[inline]
    pub fn as_pair(self) -> Option<(&'i str, &'i str)> {
        match self.0 {
            [Node::Array { len, .. }, Node::String(a), Node::String(b), ..] if *len >= 2 => Some((a, b)),
            _ => None,
        }
    }

    /// The value of a key; of the last one where the key is there twice, as most readers have it.
    pub fn get(self, key: &str) -> Option<Val<'t, 'i>> {
        self.entries()?.filter(|(k, _)| *k == key).last().map(|(_, v)| v)
    }
}

/// Cuts the value at the front off a run of nodes.
#[inline]
fn split_value<'t, 'i>(nodes: &'t [Node<'i>]) -> Option<(Val<'t, 'i>, &'t [Node<'i>])> {
    let size = match nodes.first()? {
        Node::Object { count, .. } | Node::Array { count, .. } => count.checked_add(1)?,
        _ => 1,
    };
    let (value, rest) = nodes.split_at_checked(size)?;
    Some((Val(value), rest))
}

/// Iterator of [`Val::entries`].
#[derive(Clone, Copy, Debug)]
pub struct Entries<'t, 'i> {
    nodes: &'t [Node<'i>],
    left: usize,
}

impl<'t, 'i> Iterator for Entries<'t, 'i> {
    type Item = (&'i str, Val<'t, 'i>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let (key, rest) = self.nodes.split_first()?;
        let Node::String(key) = key else { return None };
        let (value, rest) = split_value(rest)?;
        self.nodes = rest;
        Some((key, value))
    }
}

/// Iterator of [`Val::elements`].
#[derive(Clone, Copy, Debug)]
pub struct Elements<'t, 'i> {
    nodes: &'t [Node<'i>],
    left: usize,
}

impl Elements<'_, '_> {
    /// Elements not yet given out.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.left
    }
}

impl<'t, 'i> Iterator for Elements<'t, 'i> {
    type Item = Val<'t, 'i>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let (value, rest) = split_value(self.nodes)?;
        self.nodes = rest;
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The document again, so that it can be held against serde_json's reading.
    fn rebuilt(v: Val<'_, '_>) -> serde_json::Value {
        if let Some(s) = v.as_str() {
            return s.into();
        }
        if let Some(b) = v.as_bool() {
            return b.into();
        }
        if v.is_null() {
            return serde_json::Value::Null;
        }
        if let Some(e) = v.elements() {
            return e.map(rebuilt).collect::<Vec<_>>().into();
        }
        if let Some(e) = v.entries() {
            return e.map(|(k, v)| (k.to_owned(), rebuilt(v))).collect::<serde_json::Map<_, _>>().into();
        }
        v.as_i64().map_or(serde_json::json!("<number>"), Into::into)
    }

    fn reads(document: &[u8]) -> Result<serde_json::Value, RejectCause> {
        Scratch::default().read(document, Limits::MESSAGE, |v, _| Ok(rebuilt(v))).map_err(|r| r.cause)
    }

    #[test]
    fn any_shape_comes_back() {
        for text in [
            r#"{}"#,
            r#"[]"#,
            r#"[[],{},[[]],{"a":{}}]"#,
            r#"{"a":[1,-2,9223372036854775807],"b":"\u00e9\"\\","":null,"c":[true,false,[],{"d":[[1,"x"],[2,"y"]]}],"e":1}"#,
            r#"{"s":"龙虾USDT"}"#,
            "  {\n\t\"a\" : [ 1 , 2 ] }\r\n",
        ] {
            assert_eq!(reads(text.as_bytes()), Ok(serde_json::from_str(text).unwrap()), "{text}");
        }
    }

    #[test]
    fn a_key_given_twice_has_its_last_value() {
        let mut s = Scratch::default();
        let got =
            s.read(br#"{"a":1,"b":2,"a":3}"#, Limits::MESSAGE, |v, _| Ok(v.get("a").and_then(Val::as_i64)));
        assert_eq!(got, Ok(Some(3)));
    }

    #[test]
    fn hostile_documents_have_their_cause() {
        for (bytes, cause) in [
            (&b""[..], RejectCause::Malformed),
            (b" ", RejectCause::Malformed),
            (b"{\"a\":1", RejectCause::Malformed),
            (b"{\"a\":\"x", RejectCause::Malformed),
            (b"{\"a\":1}}", RejectCause::Malformed),
            (b"{\"a\":1}{\"b\":2}", RejectCause::Malformed),
            (b"{a:1}", RejectCause::Malformed),
            (b"{'a':1}", RejectCause::Malformed),
            (b"\x00", RejectCause::Malformed),
            (b"{\"a\":\"\xff\"}", RejectCause::Malformed),
            (b"{\"a\":\"\\ud800\"}", RejectCause::Malformed),
            (b"{\"a\":nul}", RejectCause::Malformed),
            (b"{\"a\":18446744073709551616}", RejectCause::Number),
            (b"{\"a\":1111111111111111111111111111111111111111}", RejectCause::Number),
            (b"{\"a\":1e400}", RejectCause::Number),
            (b"{\"a\":01}", RejectCause::Number),
        ] {
            assert_eq!(reads(bytes), Err(cause), "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn limits_hold() {
        let nested = |n: usize| [vec![b'['; n], vec![b']'; n]].concat();
        assert!(reads(&nested(DEPTH_MAX)).is_ok());
        assert_eq!(reads(&nested(DEPTH_MAX + 1)), Err(RejectCause::Limit));
        assert_eq!(reads(&nested(100_000)), Err(RejectCause::Limit));
        let objects = [br#"{"a":"#.repeat(200_000), b"1".to_vec(), vec![b'}'; 200_000]].concat();
        assert_eq!(reads(&objects), Err(RejectCause::Limit));
        assert_eq!(reads(&vec![b'['; 200_000]), Err(RejectCause::Limit));
        let many = [b"[1".to_vec(), b",1".repeat(4_000_000), b"]".to_vec()].concat();
        assert_eq!(reads(&many), Err(RejectCause::Limit));
        assert_eq!(reads(&vec![b' '; (8 << 20) + 1]), Err(RejectCause::Limit));
    }

    #[test]
    fn one_large_message_does_not_keep_its_memory() {
        let mut s = Scratch::default();
        let big = [b"[\"".to_vec(), vec![b'x'; 2 << 20], b"\"]".to_vec()].concat();
        assert!(s.read(&big, Limits::MESSAGE, |_, _| Ok(())).is_ok());
        assert!(s.frame.capacity() <= KEEP_BYTES);
        assert_eq!(
            s.read(b"[1]", Limits::MESSAGE, |v, _| Ok(v.elements().map(|e| e.remaining()))),
            Ok(Some(1))
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = reads(&bytes);
        }

        #[test]
        fn json_like_bytes_never_panic(text in r#"[\[\]{}",:0-9a-e\\u. -]{0,200}"#) {
            let _ = reads(text.as_bytes());
        }
    }
}
