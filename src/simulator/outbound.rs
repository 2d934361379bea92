//! What a WebSocket connection still has to send, shared between the world (which fills it) and the connection's task
//! (which empties it). One thread, so plain cells.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};

use tokio::sync::Notify;

use super::faults::CutHow;
use super::oracle::Oracle;
use super::text::{escaped, hex8, key_int, key_str, put};

/// Note on one message of a chunk: where it ends, and its oracle line.
#[derive(Clone, Copy, Debug)]
struct Meta {
    end: usize,
    line_len: usize,
    sent: bool,
}

/// Bytes to send, with the notes that belong to them.
#[derive(Debug, Default)]
pub struct Chunk {
    /// WebSocket frames, back to back.
    pub bytes: Vec<u8>,
    metas: Vec<Meta>,
    metas_done: usize,
    lines: Vec<u8>,
    lines_done: usize,
}

impl Chunk {
    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.metas.clear();
        self.lines.clear();
        (self.metas_done, self.lines_done) = (0, 0);
    }
}

/// How a connection shall end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// By a close frame, after what is queued.
    Close(u16, String),
    /// As a fault says, at once.
    Cut(CutHow, i64),
}

/// The state of one connection.
#[derive(Debug, Default)]
pub struct Side {
    /// Filled by the world, taken by the task when it has sent what it had.
    pub pending: Chunk,
    /// Bytes that the task has taken and not yet sent.
    pub taken: usize,
    /// Whether payloads are wrapped.
    pub combined: bool,
    /// Subscribed names in the order asked for, with their stream's number.
    pub subs: BTreeMap<String, usize>,
    /// Nothing is written before this venue time.
    pub stall_until: i64,
    /// Set once; nothing is queued after it.
    pub end: Option<End>,
    /// Venue time of the opening.
    pub opened: i64,
    /// Venue time of the last ping.
    pub pinged: i64,
    /// Since when a pong is missing.
    pub pong_missing: Option<i64>,
    /// Venue times of the client's latest messages.
    pub heard: VecDeque<i64>,
    /// Venue time of the client's last ping by text.
    pub client_ping: i64,
    /// The same of ours.
    pub said_ping: i64,
    /// Whether JSON goes out in binary frames.
    pub binary: bool,
    /// Messages handed to the socket.
    pub msgs: u64,
    /// Bytes handed to the socket.
    pub sent: u64,
}

/// One WebSocket connection.
#[derive(Debug)]
pub struct Conn {
    /// Number, from 1, in the order of opening.
    pub no: u64,
    /// Whether streams of the `/public` route flow here.
    pub public: bool,
    /// Whether streams of the `/market` route flow here.
    pub market: bool,
    /// Wakes the task.
    pub wake: Notify,
    /// The rest.
    pub side: RefCell<Side>,
}

/// Appends the header of an unmasked frame.
pub fn frame_header(out: &mut Vec<u8>, opcode: u8, len: usize) {
    out.push(0x80 | opcode);
    match len {
        0..=125 => out.push(len as u8),
        126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
}

/// The combined envelope, up to the name and up to the payload; a brace closes it.
const WRAP: (&str, &str) = ("{\"stream\":\"", "\",\"data\":");

/// Opcode of a text frame.
pub const TEXT: u8 = 1;
/// Opcode of a binary frame.
pub const BINARY: u8 = 2;
/// Opcode of a close frame.
pub const CLOSE: u8 = 8;
/// Opcode of a ping.
pub const PING: u8 = 9;
/// Opcode of a pong.
pub const PONG: u8 = 10;

/// One message on its way.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Stream name, escaped; "" for replies and notices, which are never wrapped.
    pub stream: &'a str,
    /// Bare payload.
    pub data: &'a [u8],
    /// Inside of the oracle line.
    pub line: &'a [u8],
    /// The fault that hit it.
    pub fault: Option<&'a str>,
    /// Whether it is lost.
    pub dropped: bool,
}

impl Conn {
    /// Queues a message, or notes that it was lost. `log`: whether lines are wanted, `with_payload`: the payload too.
    pub fn push(&self, m: Message<'_>, log: bool, with_payload: bool) {
        let mut side = self.side.borrow_mut();
        let side = &mut *side;
        if side.end.is_some() {
            return;
        }
        let c = &mut side.pending;
        let wrap = side.combined && !m.stream.is_empty();
        let len = m.data.len() + if wrap { m.stream.len() + WRAP.0.len() + WRAP.1.len() + 1 } else { 0 };
        let begin = c.bytes.len();
        let is_json = matches!(m.data.first(), None | Some(b'{' | b'['));
        let binary = !m.stream.is_empty() && (side.binary || !is_json);
        frame_header(&mut c.bytes, if binary { BINARY } else { TEXT }, len);
        let payload = c.bytes.len();
        if wrap {
            put(&mut c.bytes, WRAP.0);
            put(&mut c.bytes, m.stream);
            put(&mut c.bytes, WRAP.1);
            c.bytes.extend_from_slice(m.data);
            c.bytes.push(b'}');
        } else {
            c.bytes.extend_from_slice(m.data);
        }
        debug_assert_eq!(c.bytes.len(), payload + len);
        let line_from = c.lines.len();
        if log {
            let line = &mut c.lines;
            if !m.stream.is_empty() {
                key_str(line, "stream", m.stream);
            }
            line.extend_from_slice(m.line);
            if let Some(f) = m.fault {
                key_str(line, "fault", f);
            }
            key_int(line, "len", len as i64);
            put(line, ",\"crc\":\"");
            hex8(line, crc32fast::hash(&c.bytes[payload..]));
            line.push(b'"');
            if with_payload {
                let text = String::from_utf8_lossy(&c.bytes[payload..]);
                key_str(line, "payload", &escaped(&text));
            }
        }
        let line_len = c.lines.len() - line_from;
        if m.dropped {
            c.bytes.truncate(begin);
        }
        c.metas.push(Meta { end: c.bytes.len(), line_len, sent: !m.dropped });
        self.wake.notify_one();
    }

    /// Queues bytes that are no message (control frames, raw bytes).
    pub fn push_raw(&self, bytes: &[u8]) {
        let mut side = self.side.borrow_mut();
        if side.end.is_none() {
            side.pending.bytes.extend_from_slice(bytes);
            self.wake.notify_one();
        }
    }

    /// Queues a control frame.
    pub fn push_control(&self, opcode: u8, payload: &[u8]) {
        let mut b = Vec::with_capacity(payload.len() + 2);
        frame_header(&mut b, opcode, payload.len());
        b.extend_from_slice(payload);
        self.push_raw(&b);
    }

    /// Ends the connection; the first word counts.
    pub fn finish(&self, end: End) {
        let mut side = self.side.borrow_mut();
        if side.end.is_some() {
            return;
        }
        if let End::Close(code, reason) = &end {
            let mut p = code.to_be_bytes().to_vec();
            p.extend_from_slice(&reason.as_bytes()[..reason.len().min(123)]);
            let c = &mut side.pending;
            frame_header(&mut c.bytes, CLOSE, p.len());
            c.bytes.extend_from_slice(&p);
        }
        if let End::Cut(CutHow::MidFrame, _) = end {
            // The head of a frame that promises more than follows.
            let c = &mut side.pending;
            frame_header(&mut c.bytes, TEXT, 300);
            put(&mut c.bytes, "{\"stream\":\"");
        }
        side.end = Some(end);
        self.wake.notify_one();
    }

    /// Notes that the bytes of `chunk` up to `sent` are with the socket: their lines go to the oracle.
    pub fn handed_over(&self, chunk: &mut Chunk, sent: usize, oracle: &mut Oracle) -> u64 {
        let mut side = self.side.borrow_mut();
        let mut msgs = 0;
        while let Some(m) = chunk.metas.get(chunk.metas_done).copied() {
            if m.end > sent {
                break;
            }
            chunk.metas_done += 1;
            if m.line_len > 0 {
                let out = oracle.begin("msg");
                key_int(out, "conn", self.no as i64);
                if m.sent {
                    key_int(out, "n", side.msgs as i64);
                    key_int(out, "off", side.sent as i64 + m.end as i64);
                } else {
                    put(out, ",\"dropped\":true");
                }
                out.extend_from_slice(&chunk.lines[chunk.lines_done..chunk.lines_done + m.line_len]);
                chunk.lines_done += m.line_len;
                oracle.end_line();
            }
            if m.sent {
                side.msgs += 1;
                msgs += 1;
            }
        }
        msgs
    }
}
