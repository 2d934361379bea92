//! Watches the bytes of a connection before the WebSocket library sees them and enforces what the library does not:
//! size of the HTTP head, number of fragments, rate of control frames, age of an incomplete message.
//!
//! It only walks frame headers and skips payloads, so it costs nanoseconds a frame and allocates nothing.

use super::limits::Limits;

/// Which limit was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// The HTTP head is too long.
    #[error("HTTP head longer than {0} bytes")]
    HeadBytes(usize),
    /// The HTTP head has too many lines.
    #[error("HTTP head with more than {0} header lines")]
    HeadLines(u32),
    /// One frame is too big; closed at its header.
    #[error("frame of {bytes} bytes, limit {limit}")]
    Frame {
        /// What the header says.
        bytes: u64,
        /// The limit.
        limit: usize,
    },
    /// The fragments of a message are too big together.
    #[error("message of {bytes} bytes or more, limit {limit}")]
    Message {
        /// Bytes of the fragments so far, this one included.
        bytes: u64,
        /// The limit.
        limit: usize,
    },
    /// Too many fragments.
    #[error("message of more than {0} fragments")]
    Fragments(u32),
    /// Too many control frames in a second.
    #[error("more than {0} control frames in a second")]
    ControlRate(u32),
    /// A message was not completed in time.
    #[error("message incomplete for more than {0} ms")]
    Incomplete(u64),
    /// The handshake took too long.
    #[error("handshake not finished in {0} ms")]
    Handshake(u64),
    /// The peer does not read what we send.
    #[error("more than {0} bytes wait for the peer to read them")]
    WriteBuffer(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the HTTP head.
    Head,
    /// After the head of an answer that refuses the upgrade: the body is nobody's.
    Refused,
    /// In a frame's header, of which so many bytes are here.
    Header(usize),
    /// In a frame's payload: so many bytes to go.
    Payload(u64),
}

/// State of the watch over one connection.
#[derive(Debug)]
pub struct Guard {
    limits: Limits,
    state: State,
    head: Head,
    header: [u8; 14],
    /// A data message has begun and its last fragment has not.
    in_message: bool,
    /// The frame being read is a control frame, or the last of its message.
    ends_message: bool,
    control: bool,
    fragments: u32,
    message_bytes: u64,
    /// Monotonic ns of the first byte of the message (or lone frame) in progress; 0 = between messages.
    since: i64,
    window_start: i64,
    window_count: u32,
    violation: Option<Violation>,
}

#[derive(Debug, Default)]
struct Head {
    bytes: usize,
    lines: u32,
    line_len: usize,
    status: [u8; 12],
}

impl Head {
    /// Takes one byte; true when the head ends with it.
    fn push(&mut self, b: u8) -> bool {
        if let Some(s) = self.status.get_mut(self.bytes) {
            *s = b;
        }
        self.bytes += 1;
        match b {
            b'\n' => {
                let empty = self.line_len == 0;
                self.line_len = 0;
                self.lines += u32::from(!empty);
                // An empty line before the status line is not an end.
                empty && self.lines > 0
            }
            b'\r' => false,
            _ => {
                self.line_len += 1;
                false
            }
        }
    }

    fn upgraded(&self) -> bool {
        &self.status[9..12] == b"101"
    }
}

impl Guard {
    /// A guard that expects an HTTP head first.
    pub fn new(limits: Limits) -> Self {
        Guard {
            limits,
            state: State::Head,
            head: Head::default(),
            header: [0; 14],
            in_message: false,
            ends_message: false,
            control: false,
            fragments: 0,
            message_bytes: 0,
            since: 0,
            window_start: 0,
            window_count: 0,
            violation: None,
        }
    }

    /// The limit that was broken, if one was.
    #[inline]
    pub fn violation(&self) -> Option<Violation> {
        self.violation
    }

    /// Monotonic ns at which the message in progress began; 0 between messages.
    #[inline]
    pub fn pending_since(&self) -> i64 {
        self.since
    }

    /// Takes the next bytes of the connection, read at `now` (monotonic ns, > 0). Returns how many of them, from the
    /// front, may be passed on; fewer than all only together with a [`Guard::violation`], so that what came whole
    /// before the offending frame is not lost.
    pub fn feed(&mut self, bytes: &[u8], now: i64) -> usize {
        if self.violation.is_some() {
            return 0;
        }
        let mut i = 0;
        while i < bytes.len() {
            match self.state {
                State::Refused => return bytes.len(),
                State::Head => {
                    if let Err(v) = self.feed_head(bytes, &mut i) {
                        self.violation = Some(v);
                        return i;
                    }
                }
                State::Header(have) => {
                    let start = i;
                    if let Err(v) = self.feed_header(have, bytes, &mut i, now) {
                        self.violation = Some(v);
                        return start;
                    }
                }
                State::Payload(left) => {
                    let n = left.min((bytes.len() - i) as u64);
                    i += n as usize;
                    self.state = State::Payload(left - n);
                    if left == n {
                        self.end_frame();
                    }
                }
            }
        }
        bytes.len()
    }

    fn feed_head(&mut self, bytes: &[u8], i: &mut usize) -> Result<(), Violation> {
        while *i < bytes.len() {
            let end = self.head.push(bytes[*i]);
            if self.head.bytes > self.limits.head_bytes {
                return Err(Violation::HeadBytes(self.limits.head_bytes));
            }
            // The status line is not a header line.
            if self.head.lines > self.limits.head_lines + 1 {
                return Err(Violation::HeadLines(self.limits.head_lines));
            }
            *i += 1;
            if end {
                self.state = if self.head.upgraded() { State::Header(0) } else { State::Refused };
                return Ok(());
            }
        }
        Ok(())
    }

    fn feed_header(&mut self, have: usize, bytes: &[u8], i: &mut usize, now: i64) -> Result<(), Violation> {
        let mut have = have;
        if have == 0 && self.since == 0 {
            self.since = now;
        }
        loop {
            let need = match have {
                0 | 1 => 2,
                _ => header_len(self.header[1]),
            };
            if have >= 2 && have == need {
                return self.start_frame(now);
            }
            let Some(&b) = bytes.get(*i) else {
                self.state = State::Header(have);
                return Ok(());
            };
            self.header[have] = b;
            have += 1;
            *i += 1;
        }
    }

    fn start_frame(&mut self, now: i64) -> Result<(), Violation> {
        let (b0, b1) = (self.header[0], self.header[1]);
        let len = match b1 & 0x7f {
            126 => u64::from(u16::from_be_bytes([self.header[2], self.header[3]])),
            127 => {
                let mut x = [0u8; 8];
                x.copy_from_slice(&self.header[2..10]);
                u64::from_be_bytes(x)
            }
            n => u64::from(n),
        };
        let limit = self.limits.frame_bytes;
        if len > limit as u64 {
            return Err(Violation::Frame { bytes: len, limit });
        }
        self.control = b0 & 0x08 != 0;
        self.ends_message = b0 & 0x80 != 0;
        if self.control {
            self.count_control(now)?;
        } else {
            if !self.in_message {
                self.in_message = true;
                self.fragments = 0;
                self.message_bytes = 0;
            }
            self.fragments += 1;
            self.message_bytes += len;
            if planted!("fragments_uncapped", false, self.fragments > self.limits.fragments) {
                return Err(Violation::Fragments(self.limits.fragments));
            }
            let limit = self.limits.message_bytes;
            if self.message_bytes > limit as u64 {
                return Err(Violation::Message { bytes: self.message_bytes, limit });
            }
        }
        self.state = State::Payload(len);
        if len == 0 {
            self.end_frame();
        }
        Ok(())
    }

    fn count_control(&mut self, now: i64) -> Result<(), Violation> {
        if now - self.window_start >= 1_000_000_000 {
            self.window_start = now;
            self.window_count = 0;
        }
        self.window_count += 1;
        if self.window_count > self.limits.control_per_s {
            return Err(Violation::ControlRate(self.limits.control_per_s));
        }
        Ok(())
    }

    fn end_frame(&mut self) {
        self.state = State::Header(0);
        if !self.control && self.ends_message {
            self.in_message = false;
        }
        if !self.in_message {
            self.since = 0;
        }
    }
}

/// Bytes of a frame header by its second byte.
#[inline]
fn header_len(b1: u8) -> usize {
    let ext = match b1 & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    2 + ext + if b1 & 0x80 != 0 { 4 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEAD: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";

    fn open(limits: Limits) -> Guard {
        let mut g = Guard::new(limits);
        assert_eq!(g.feed(HEAD, 1), HEAD.len());
        assert_eq!(g.pending_since(), 0);
        g
    }

    fn frame(b0: u8, payload: &[u8]) -> Vec<u8> {
        let mut v = vec![b0];
        match payload.len() {
            n @ 0..=125 => v.push(n as u8),
            n @ 126..=65535 => {
                v.push(126);
                v.extend((n as u16).to_be_bytes());
            }
            n => {
                v.push(127);
                v.extend((n as u64).to_be_bytes());
            }
        }
        v.extend(payload);
        v
    }

    #[test]
    fn a_frame_of_2_to_the_63_is_stopped_at_its_header_and_what_was_before_passes() {
        let mut g = open(Limits::default());
        let good = frame(0x81, b"good");
        let mut b = good.clone();
        b.extend([0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(g.feed(&b, 2), good.len());
        assert_eq!(g.violation(), Some(Violation::Frame { bytes: 1 << 63, limit: 4 << 20 }));
        assert_eq!(g.feed(b"more", 3), 0);
    }

    #[test]
    fn fragments_are_counted_over_control_frames() {
        let mut g = open(Limits { fragments: 3, ..Limits::default() });
        for b0 in [0x01, 0x00, 0x89, 0x00] {
            let f = frame(b0, b"");
            assert_eq!(g.feed(&f, 2), f.len());
        }
        assert_eq!(g.feed(&frame(0x00, b""), 3), 0);
        assert_eq!(g.violation(), Some(Violation::Fragments(3)));
    }

    #[test]
    fn a_message_is_pending_from_its_first_byte_to_its_last() {
        let mut g = open(Limits::default());
        g.feed(&[0x01], 10);
        assert_eq!(g.pending_since(), 10);
        g.feed(&[0x01, b'a'], 20);
        assert_eq!(g.pending_since(), 10, "its fragments are not all here");
        g.feed(&frame(0x89, b"ping"), 30);
        assert_eq!(g.pending_since(), 10, "a ping between does not renew it");
        g.feed(&frame(0x80, b"b"), 40);
        assert_eq!(g.pending_since(), 0);
    }

    #[test]
    fn control_frames_are_counted_per_second() {
        let mut g = open(Limits { control_per_s: 2, ..Limits::default() });
        let ping = frame(0x89, b"");
        let s = 1_000_000_000;
        assert_eq!(g.feed(&ping, s), 2);
        assert_eq!(g.feed(&ping, s + 1), 2);
        assert_eq!(g.feed(&ping, 2 * s), 2);
        assert_eq!(g.feed(&ping, 2 * s + 1), 2);
        assert_eq!(g.feed(&ping, 2 * s + 2), 0);
        assert_eq!(g.violation(), Some(Violation::ControlRate(2)));
    }

    #[test]
    fn heads_are_bounded_in_bytes_and_lines() {
        let mut g = Guard::new(Limits::default());
        let mut endless = b"HTTP/1.1 101 x\r\nX: ".to_vec();
        endless.resize(1 << 20, b'a');
        assert_eq!(g.feed(&endless, 1), 16 << 10);
        assert_eq!(g.violation(), Some(Violation::HeadBytes(16 << 10)));

        let mut g = Guard::new(Limits::default());
        let head = format!("HTTP/1.1 101 x\r\n{}\r\n", "A: b\r\n".repeat(65));
        assert!(g.feed(head.as_bytes(), 1) < head.len());
        assert_eq!(g.violation(), Some(Violation::HeadLines(64)));

        let mut g = Guard::new(Limits::default());
        let head = format!("HTTP/1.1 101 x\r\n{}\r\n", "A: b\r\n".repeat(64));
        assert_eq!(g.feed(head.as_bytes(), 1), head.len());
        assert_eq!(g.violation(), None);
    }

    #[test]
    fn the_body_of_a_refusal_is_not_taken_for_frames() {
        let mut g = Guard::new(Limits::default());
        let b = b"HTTP/1.1 429 Too Many Requests\r\n\r\n\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff";
        assert_eq!(g.feed(b, 1), b.len());
        assert_eq!(g.violation(), None);
    }

    proptest! {
        #[test]
        fn cuts_between_reads_do_not_matter(
            payloads in prop::collection::vec((0u8..3, 0usize..70_000), 1..6), cut in 1usize..5000,
        ) {
            let mut bytes = HEAD.to_vec();
            for (kind, len) in payloads {
                bytes.extend(frame([0x81, 0x82, 0x89][kind as usize], &vec![7; if kind == 2 { len % 126 } else { len }]));
            }
            let mut g = Guard::new(Limits::default());
            for part in bytes.chunks(cut) {
                prop_assert_eq!(g.feed(part, 5), part.len());
            }
            prop_assert_eq!(g.violation(), None);
            prop_assert_eq!(g.pending_since(), 0);
        }

        #[test]
        fn any_bytes_at_all_neither_panic_nor_pass_more_than_came(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 0..20),
        ) {
            let mut g = open(Limits { fragments: 3, frame_bytes: 1000, ..Limits::default() });
            for p in parts {
                let n = g.feed(&p, 9);
                prop_assert!(n <= p.len() && (n == p.len() || g.violation().is_some()));
            }
        }
    }
}
