//! What comes over a network: WebSocket frames, compressed bodies, requests to our own server.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use lobtape::http::fuzzing::Memory;
use lobtape::model::GapCause;
use lobtape::wire::fuzzing::{Outcome, Peer, SOUND_HEAD, Seen, banned_until_ms, open_body};
use lobtape::wire::{Limits, RestError, RestLimits};

use crate::input::Script;

thread_local! {
    static PEER: Peer = Peer::new().expect("a poll and a TLS setup");
    static SERVER: Memory = Memory::new().expect("a runtime");
}

/// Limits that short inputs can break.
fn limits() -> Limits {
    Limits {
        frame_bytes: 200,
        message_bytes: 300,
        fragments: 4,
        control_per_s: 6,
        head_bytes: 512,
        head_lines: 8,
        ..Limits::default()
    }
}

/// Frames, and heads of the answer to the upgrade. The first byte says whether the head is sound and how the rest is
/// cut into reads. What is handed on is what a slow reading of the same bytes says, however they are cut; no message is
/// beyond the limits; what ends the connection is called what it is.
pub fn frames(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let choice = script.u8();
    let bytes = script.rest();
    let l = limits();
    let speak = |head: &[u8], pieces: &[&[u8]]| {
        PEER.with(|p| p.converse(head, pieces, l)).expect("a pair of sockets")
    };
    if choice & 1 == 1 {
        let o = speak(bytes, &[]);
        within(&o, &l);
        assert!(!o.opened || bytes.windows(4).any(|w| w == b" 101"));
        return;
    }
    let (want, end) = slow_frames(bytes, &l);
    let cut = usize::from(choice >> 1) + 1;
    for pieces in [vec![bytes], bytes.chunks(cut).collect()] {
        let o = speak(SOUND_HEAD.as_bytes(), &pieces);
        within(&o, &l);
        assert!(o.opened);
        assert_eq!(o.seen, want);
        match end {
            End::Open => assert!(!o.early, "{:?}", o.end),
            End::Limit => assert_eq!((o.early, o.end.cause), (true, GapCause::LimitExceeded), "{:?}", o.end),
            End::Other => assert!(o.early && o.end.cause != GapCause::LimitExceeded, "{:?}", o.end),
        }
    }
}

fn within(o: &Outcome, l: &Limits) {
    for s in &o.seen {
        let (Seen::Message(_, b) | Seen::Ping(b) | Seen::Pong(b)) = s;
        assert!(b.len() <= l.message_bytes);
    }
    assert!(o.opened || o.seen.is_empty());
}

/// How the frames end.
#[derive(Clone, Copy, Debug)]
enum End {
    /// Not at all.
    Open,
    /// A limit is broken.
    Limit,
    /// A close frame, or what RFC 6455 forbids.
    Other,
}

/// One frame's header.
struct Header {
    opcode: u8,
    last: bool,
    reserved: bool,
    masked: bool,
    len: u64,
    bytes: usize,
}

fn header(b: &[u8]) -> Option<Header> {
    let (b0, b1) = (*b.first()?, *b.get(1)?);
    let (len, ext) = match b1 & 0x7f {
        126 => (u64::from(u16::from_be_bytes(b.get(2..4)?.try_into().ok()?)), 2),
        127 => (u64::from_be_bytes(b.get(2..10)?.try_into().ok()?), 8),
        n => (u64::from(n), 0),
    };
    let masked = b1 & 0x80 != 0;
    let bytes = 2 + ext + if masked { 4 } else { 0 };
    let whole = b.len() >= bytes;
    let (last, reserved) = (b0 & 0x80 != 0, b0 & 0x70 != 0);
    whole.then_some(Header { opcode: b0 & 0x0f, last, reserved, masked, len, bytes })
}

/// RFC 6455 and our limits, frame by frame.
fn slow_frames(mut b: &[u8], l: &Limits) -> (Vec<Seen>, End) {
    let mut seen = Vec::new();
    let mut control = 0;
    // Whether it is text, and what is there of it.
    let mut message: Option<(bool, Vec<u8>)> = None;
    let (mut fragments, mut total) = (0, 0u64);
    loop {
        let Some(h) = header(b) else { return (seen, End::Open) };
        let is_control = h.opcode & 8 != 0;
        if message.is_none() && !is_control {
            (fragments, total) = (0, 0);
        }
        if is_control {
            control += 1;
        } else {
            fragments += 1;
            total = total.saturating_add(h.len);
        }
        if h.len > l.frame_bytes as u64
            || control > l.control_per_s
            || fragments > l.fragments
            || total > l.message_bytes as u64
        {
            return (seen, End::Limit);
        }
        if !matches!(h.opcode, 0..=2 | 8..=10) {
            return (seen, End::Other);
        }
        let Some(payload) = b.get(h.bytes..h.bytes + h.len as usize) else { return (seen, End::Open) };
        b = &b[h.bytes + payload.len()..];
        if h.reserved || h.masked || is_control && (!h.last || payload.len() > 125) {
            return (seen, End::Other);
        }
        match h.opcode {
            8 => return (seen, End::Other),
            9 => seen.push(Seen::Ping(payload.to_vec())),
            10 => seen.push(Seen::Pong(payload.to_vec())),
            op => {
                if (op == 0) != message.is_some() {
                    return (seen, End::Other);
                }
                let (text, mut so_far) = message.take().unwrap_or((op == 1, Vec::new()));
                so_far.extend_from_slice(payload);
                // A character may be cut by a fragment's end, not by the message's.
                let sound = match std::str::from_utf8(&so_far) {
                    Ok(_) => true,
                    Err(e) => e.error_len().is_none() && !h.last,
                };
                if text && !sound {
                    return (seen, End::Other);
                }
                if h.last {
                    seen.push(Seen::Message(!text, so_far));
                } else {
                    message = Some((text, so_far));
                }
            }
        }
    }
}

/// Bodies: by the first byte as they are, or as the compressed form of what is known. Never more than the limits allow;
/// within them exactly what was compressed.
pub fn body(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let choice = script.u8();
    let l = RestLimits {
        decoded_bytes: 40_000,
        ratio: 1 + usize::from(choice >> 4),
        ratio_floor: 500,
        ..RestLimits::default()
    };
    let repeat = if choice & 1 == 1 { 1 + usize::from(script.u16() % 2000) } else { 0 };
    let rest = script.rest();
    let plain = (repeat > 0).then(|| rest[..rest.len().min(200)].repeat(repeat));
    let raw = match &plain {
        None => rest.to_vec(),
        Some(p) => {
            let mut z = GzEncoder::new(Vec::new(), Compression::fast());
            z.write_all(p).and_then(|()| z.finish()).expect("memory takes it")
        }
    };
    let limit = l.decoded_bytes.min((raw.len() * l.ratio).max(l.ratio_floor));
    let opened = open_body(&raw, &l);
    match (&opened, plain) {
        (Ok(b), Some(p)) => assert!(p.len() <= limit && *b == p),
        (Err(RestError::TooLarge { limit: said, .. }), Some(p)) => assert!(p.len() > limit && *said == limit),
        (Err(e), Some(_)) => panic!("what was compressed cannot be opened: {e}"),
        (Ok(b), None) => assert!(b.len() <= limit),
        (Err(RestError::TooLarge { .. }), None) => {
            let mut first = Vec::new();
            let z = flate2::read::MultiGzDecoder::new(&raw[..]);
            // An error may follow behind the limit.
            let _ = z.take(limit as u64 + 1).read_to_end(&mut first);
            assert!(first.len() > limit);
        }
        (Err(e), None) => assert!(matches!(e, RestError::Protocol { .. }), "{e}"),
    }
    if let Ok(b) = opened {
        assert!(banned_until_ms(&b).is_none_or(|ms| ms >= 0));
    }
}

/// Requests: whatever comes, no more than an error or one of our answers; an answer with data only to a `GET` or `HEAD`
/// whose `Host` is this machine and that has no `Origin`.
pub fn http(bytes: &[u8]) {
    let answer = SERVER.with(|s| s.answer(bytes));
    assert!(answer.len() <= 1 << 20);
    if answer.is_empty() {
        return;
    }
    assert!(answer.starts_with(b"HTTP/1."), "{}", String::from_utf8_lossy(&answer));
    let text = String::from_utf8_lossy(&answer).to_ascii_lowercase();
    let first = text.split("\r\n\r\n").next().unwrap_or("");
    let ours = first.contains("content-security-policy: default-src 'none'")
        && first.contains("x-content-type-options: nosniff")
        && first.contains("cache-control: no-store");
    // The library's own refusals have no body.
    assert!(ours || first.contains("content-length: 0"), "{first}");
    if first.starts_with("http/1.1 200") || first.starts_with("http/1.0 200") {
        let head = Head::read(bytes);
        assert!(matches!(head.method.as_str(), "GET" | "HEAD"), "{}", head.method);
        assert!(head.values("origin").is_empty());
        let host = head.values("host");
        assert!(host.len() == 1 && is_loopback(host[0]), "{host:?}");
    }
}

/// The first head of the bytes, read slowly.
struct Head {
    method: String,
    lines: Vec<(String, String)>,
}

impl Head {
    fn read(bytes: &[u8]) -> Head {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let mut lines =
            text.split('\n').map(|l| l.strip_suffix('\r').unwrap_or(l)).skip_while(|l| l.is_empty());
        let method = lines.next().unwrap_or("").split(' ').next().unwrap_or("").to_owned();
        let lines = lines
            .take_while(|l| !l.is_empty())
            .filter_map(|l| l.split_once(':'))
            .map(|(k, v)| (k.to_ascii_lowercase(), v.trim_matches([' ', '\t']).to_owned()))
            .collect();
        Head { method, lines }
    }

    fn values(&self, name: &str) -> Vec<&str> {
        self.lines.iter().filter(|(k, _)| k == name).map(|(_, v)| v.as_str()).collect()
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    host.starts_with("localhost") || host.starts_with("127.") || host.contains("::1") || host.starts_with('[')
}
