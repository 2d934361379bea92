//! What a peer may do to us, in numbers. A peer that goes beyond is closed with cause `limit_exceeded`.

use std::time::Duration;

/// Limits of one connection. The defaults are the documented ones; a venue may override them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Payload of one frame, bytes.
    pub frame_bytes: usize,
    /// Payload of one message (all its fragments), bytes.
    pub message_bytes: usize,
    /// Fragments of one message.
    pub fragments: u32,
    /// A message that has begun must be complete within this time.
    pub incomplete: Duration,
    /// Control frames (ping, pong, close) in any running second.
    pub control_per_s: u32,
    /// Head of the HTTP answer to our handshake, bytes.
    pub head_bytes: usize,
    /// Header lines in it.
    pub head_lines: u32,
    /// From the first SYN to the end of the WebSocket handshake.
    pub handshake: Duration,
    /// After our close frame we wait so long for the peer's.
    pub close_wait: Duration,
    /// Bytes of ours that a peer may leave unread before it is closed.
    pub write_buffer_bytes: usize,
    /// Texts of ours that may wait for the rate limit.
    pub queued_sends: usize,
    /// Bytes asked of the kernel per read under TLS (plain reads are at most 16 KiB). Memory per connection grows with it.
    pub read_buffer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            frame_bytes: 4 << 20,
            message_bytes: 8 << 20,
            fragments: 1024,
            incomplete: Duration::from_secs(5),
            control_per_s: 100,
            head_bytes: 16 << 10,
            head_lines: 64,
            handshake: Duration::from_secs(5),
            close_wait: Duration::from_secs(1),
            write_buffer_bytes: 256 << 10,
            queued_sends: 4096,
            read_buffer_bytes: 64 << 10,
        }
    }
}
