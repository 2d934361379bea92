//! The task of one WebSocket connection: sends what the world queued, reads what the client says, ends as it is told.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::faults::CutHow;
use super::outbound::{CLOSE, Chunk, Conn, End, PONG};
use super::strike::log_conn;
use super::text::{key_int, key_str};
use super::transport::Transport;
use super::world::World;

/// Bytes of a message from the client.
const MESSAGE_MAX: usize = 64 * 1024;

/// What the socket did.
enum Step {
    Read(usize),
    Wrote(usize),
    Flushed,
    Woken,
}

/// What one client frame means for the connection.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Nothing,
    Text(String),
    Control(u8, Vec<u8>),
    Bad(u16, &'static str),
}

/// Client frames, decoded as bytes come in.
#[derive(Default)]
struct Reader {
    buf: Vec<u8>,
    message: Vec<u8>,
}

impl Reader {
    /// The next complete frame.
    fn next(&mut self) -> Option<Heard> {
        let b = &self.buf;
        let (first, second) = (*b.first()?, *b.get(1)?);
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
        let (head, len) = match second & 0x7f {
            126 => (4, u64::from(u16::from_be_bytes([*b.get(2)?, *b.get(3)?]))),
            127 => (10, u64::from_be_bytes(b.get(2..10)?.try_into().ok()?)),
            n => (2, u64::from(n)),
        };
        if second & 0x80 == 0 || first & 0x70 != 0 {
            return Some(Heard::Bad(1002, "protocol error"));
        }
        if len > MESSAGE_MAX as u64 || (opcode >= 8 && (len > 125 || !fin)) {
            return Some(Heard::Bad(1009, "message too big"));
        }
        let total = head + 4 + len as usize;
        if b.len() < total {
            return None;
        }
        let mask = [b[head], b[head + 1], b[head + 2], b[head + 3]];
        let payload: Vec<u8> = b[head + 4..total].iter().enumerate().map(|(i, c)| c ^ mask[i % 4]).collect();
        self.buf.drain(..total);
        if opcode >= 8 {
            return Some(Heard::Control(opcode, payload));
        }
        self.message.extend_from_slice(&payload);
        if self.message.len() > MESSAGE_MAX {
            return Some(Heard::Bad(1009, "message too big"));
        }
        if !fin {
            return Some(Heard::Nothing);
        }
        match String::from_utf8(std::mem::take(&mut self.message)) {
            Ok(t) => Some(Heard::Text(t)),
            Err(_) => Some(Heard::Bad(1007, "not UTF-8")),
        }
    }
}

/// Runs a connection to its end. The handshake's answer is with the socket already.
pub(super) async fn serve(world: Rc<RefCell<World>>, mut io: Transport, conn: Rc<Conn>, begun: Vec<u8>) {
    let mut reader = Reader { buf: begun, ..Reader::default() };
    let mut out = Sending::default();
    let how = run(&world, &mut io, &conn, &mut reader, &mut out).await;
    let (how, code, detail) = match how {
        Ok(end) => end,
        Err(_) => ("client".to_owned(), 0, "connection lost".to_owned()),
    };
    let mut w = world.borrow_mut();
    let (bytes, msgs, unsent) = {
        let s = conn.side.borrow();
        let left = out.chunk.bytes.len() - out.sent + s.pending.bytes.len();
        (s.sent + out.sent as u64, s.msgs, left)
    };
    log_conn(&mut w, "close", conn.no, |l| {
        key_str(l, "how", &how);
        key_int(l, "code", code.into());
        key_int(l, "msgs", msgs as i64);
        key_int(l, "bytes", bytes as i64);
        key_int(l, "unsent", unsent as i64);
        key_str(l, "detail", &super::text::escaped(&detail));
    });
    w.forget(&conn);
}

#[derive(Default)]
struct Sending {
    chunk: Chunk,
    sent: usize,
    unflushed: bool,
}

type Ended = (String, u16, String);

async fn run(
    world: &Rc<RefCell<World>>,
    io: &mut Transport,
    conn: &Rc<Conn>,
    reader: &mut Reader,
    out: &mut Sending,
) -> io::Result<Ended> {
    let mut buf = vec![0u8; 16 * 1024];
    loop {
        while let Some(h) = reader.next() {
            if let Some(ended) = on_heard(world, conn, h) {
                // The client said goodbye: answer and leave.
                let _ = io.write_all(&[0x80 | CLOSE, 0]).await;
                let _ = io.shutdown().await;
                return Ok(ended);
            }
        }
        let (stalled, end) = refill(world, conn, out);
        let waits = out.sent < out.chunk.bytes.len();
        match &end {
            Some(End::Cut(CutHow::Rst, _)) => {
                io.reset_on_close();
                return Ok(("rst".to_owned(), 0, String::new()));
            }
            Some(End::Cut(how @ (CutHow::Fin | CutHow::MidFrame), _)) if *how == CutHow::Fin || !waits => {
                let _ = io.shutdown().await;
                return Ok((how.as_str().to_owned(), 0, String::new()));
            }
            Some(End::Cut(CutHow::HalfOpen, _)) => {
                conn.wake.notified().await;
                continue;
            }
            Some(End::Close(code, reason)) if !waits => {
                let ended = ("close".to_owned(), *code, reason.clone());
                goodbye(io, &mut buf).await;
                return Ok(ended);
            }
            _ => {}
        }
        match step(io, conn, out, waits && !stalled, &mut buf).await? {
            Step::Read(0) => return Ok(("client".to_owned(), 0, "end of stream".to_owned())),
            Step::Read(n) => reader.buf.extend_from_slice(&buf[..n]),
            Step::Wrote(n) => wrote(world, conn, out, n),
            Step::Flushed => out.unflushed = false,
            Step::Woken => {}
        }
    }
}

/// Sends FIN and waits a little for the client's, so that nothing in flight is reset away.
async fn goodbye(io: &mut Transport, buf: &mut [u8]) {
    let _ = io.shutdown().await;
    let _ = tokio::time::timeout(Duration::from_secs(1), async {
        while matches!(io.read(buf).await, Ok(n) if n > 0) {}
    })
    .await;
}

/// Takes the next chunk if the last one is sent. Returns whether the connection is stalled, and its end.
fn refill(world: &Rc<RefCell<World>>, conn: &Rc<Conn>, out: &mut Sending) -> (bool, Option<End>) {
    let now = world.borrow().now;
    let stalled = {
        let mut s = conn.side.borrow_mut();
        if out.sent == out.chunk.bytes.len() {
            s.sent += out.sent as u64;
            out.chunk.clear();
            out.sent = 0;
            std::mem::swap(&mut out.chunk, &mut s.pending);
        }
        s.taken = out.chunk.bytes.len() - out.sent;
        s.stall_until > now
    };
    // Frames lost on purpose take no bytes; their lines are due as soon as their place is reached.
    conn.handed_over(&mut out.chunk, out.sent, &mut world.borrow_mut().oracle);
    (stalled, conn.side.borrow().end.clone())
}

fn wrote(world: &Rc<RefCell<World>>, conn: &Rc<Conn>, out: &mut Sending, n: usize) {
    out.sent += n;
    out.unflushed = true;
    let mut w = world.borrow_mut();
    let msgs = conn.handed_over(&mut out.chunk, out.sent, &mut w.oracle);
    w.stats.messages.fetch_add(msgs, Ordering::Relaxed);
    w.stats.bytes.fetch_add(n as u64, Ordering::Relaxed);
}

/// One thing that the socket or the world does, writing first.
async fn step(
    io: &mut Transport,
    conn: &Conn,
    out: &Sending,
    write: bool,
    buf: &mut [u8],
) -> io::Result<Step> {
    let mut woken = pin!(conn.wake.notified());
    poll_fn(|cx| {
        if write {
            if let Poll::Ready(r) = Pin::new(&mut *io).poll_write(cx, &out.chunk.bytes[out.sent..]) {
                return Poll::Ready(r.map(Step::Wrote));
            }
        } else if out.unflushed
            && let Poll::Ready(r) = Pin::new(&mut *io).poll_flush(cx)
        {
            return Poll::Ready(r.map(|()| Step::Flushed));
        }
        let mut rb = ReadBuf::new(buf);
        if let Poll::Ready(r) = Pin::new(&mut *io).poll_read(cx, &mut rb) {
            let n = rb.filled().len();
            return Poll::Ready(r.map(|()| Step::Read(n)));
        }
        woken.as_mut().poll(cx).map(|()| Ok(Step::Woken))
    })
    .await
}

fn on_heard(world: &Rc<RefCell<World>>, conn: &Rc<Conn>, h: Heard) -> Option<Ended> {
    let mut w = world.borrow_mut();
    match h {
        Heard::Nothing => {}
        Heard::Text(t) => {
            if w.hears(conn, false) {
                w.on_text(conn, &t);
            }
        }
        Heard::Control(CLOSE, p) => {
            let code = if p.len() >= 2 { u16::from_be_bytes([p[0], p[1]]) } else { 1005 };
            return Some(("client".to_owned(), code, "closed by the client".to_owned()));
        }
        Heard::Control(op, p) => {
            if op == PONG {
                conn.side.borrow_mut().pong_missing = None;
            }
            if w.hears(conn, true) && op != PONG {
                conn.push_control(PONG, &p);
            }
        }
        Heard::Bad(code, why) => conn.finish(End::Close(code, why.to_owned())),
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::outbound::TEXT;

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut v = vec![first, 0x80 | payload.len() as u8, 1, 2, 3, 4];
        v.extend(payload.iter().enumerate().map(|(i, b)| b ^ [1, 2, 3, 4][i % 4]));
        v
    }

    #[test]
    fn client_frames_are_read_byte_by_byte() {
        let mut r = Reader::default();
        let mut all = masked(0x80 | TEXT, b"{\"id\":1}");
        all.extend(masked(TEXT, b"ab"));
        all.extend(masked(0x80, b"cd"));
        all.extend(masked(0x80 | 9, b"x"));
        let mut heard = Vec::new();
        for b in all {
            r.buf.push(b);
            while let Some(h) = r.next() {
                heard.push(h);
            }
        }
        assert_eq!(
            heard,
            [
                Heard::Text("{\"id\":1}".into()),
                Heard::Nothing,
                Heard::Text("abcd".into()),
                Heard::Control(9, b"x".to_vec())
            ]
        );
    }

    #[test]
    fn broken_frames_are_refused() {
        let one = |b: &[u8]| Reader { buf: b.to_vec(), ..Reader::default() }.next();
        assert_eq!(one(&[0x81, 0x01, b'a']), Some(Heard::Bad(1002, "protocol error")));
        assert_eq!(one(&[0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0]), Some(Heard::Bad(1009, "message too big")));
        assert_eq!(one(&masked(0x81, b"\xff")), Some(Heard::Bad(1007, "not UTF-8")));
        assert_eq!(one(&[0x81]), None);
    }
}
