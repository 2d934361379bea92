//! Peers that break rules: each is closed with the right cause, and nothing good is lost.

use std::io::{Read, Write};

use tungstenite::Message;

use super::plain::{read_key, switching};
use super::*;

/// A server that answers the handshake and then writes raw bytes, piece by piece, until the client hangs up.
fn raw(pieces: impl Iterator<Item = Vec<u8>> + Send + 'static) -> (SocketAddr, JoinHandle<()>) {
    serve(move |mut s| {
        let key = read_key(&mut s);
        s.write_all(&switching(&key)).unwrap();
        for p in pieces {
            if s.write_all(&p).is_err() {
                return;
            }
        }
        let _ = s.read_to_end(&mut Vec::new());
    })
}

fn once(bytes: &[u8]) -> (SocketAddr, JoinHandle<()>) {
    raw(std::iter::once(bytes.to_vec()))
}

/// A server that answers the handshake with these bytes.
fn answer(bytes: &[u8]) -> (SocketAddr, JoinHandle<()>) {
    let bytes = bytes.to_vec();
    serve(move |mut s| {
        read_key(&mut s);
        // The client may have hung up in the middle of a long answer.
        let _ = s.write_all(&bytes);
        let _ = s.read_to_end(&mut Vec::new());
    })
}

fn fails(server: (SocketAddr, JoinHandle<()>), change: impl FnOnce(&mut ConnectRequest)) -> (Log, CloseInfo) {
    let mut q = request(1, server.0);
    change(&mut q);
    let r = run_to_close(q);
    server.1.join().unwrap();
    r
}

#[test]
fn endless_fragments_are_cut_at_1024_and_earlier_messages_kept() {
    let start = b"\x81\x04good\x01\x01a".to_vec();
    let server = raw(std::iter::once(start).chain(std::iter::repeat_with(|| b"\x00\x01a".repeat(100))));
    let (log, close) = fails(server, |_| {});
    assert_eq!(close.cause, GapCause::LimitExceeded);
    assert!(close.detail.contains("1024 fragments"), "{}", close.detail);
    assert_eq!(log.messages(), [b"good"]);
}

#[test]
fn oversized_frames_are_cut_at_their_header() {
    let mut big = b"\x81\x04good\x82\x7f".to_vec();
    big.extend((64u64 << 20).to_be_bytes());
    let (log, close) = fails(once(&big), |_| {});
    assert_eq!(close.cause, GapCause::LimitExceeded);
    assert_eq!(log.messages(), [b"good"]);

    let mut monster = b"\x82\x7f".to_vec();
    monster.extend((1u64 << 63).to_be_bytes());
    assert_eq!(fails(once(&monster), |_| {}).1.cause, GapCause::LimitExceeded);
}

#[test]
fn fragments_that_add_up_to_too_much_are_cut() {
    let part = |b0: u8| {
        let mut v = vec![b0, 126];
        v.extend(1000u16.to_be_bytes());
        v.resize(v.len() + 1000, b'x');
        v
    };
    let server = raw(vec![part(0x01), part(0x00), part(0x00)].into_iter());
    let (_, close) = fails(server, |q| q.limits.message_bytes = 2500);
    assert_eq!(close.cause, GapCause::LimitExceeded);
    assert!(close.detail.contains("3000"), "{}", close.detail);
}

#[test]
fn a_message_that_never_ends_is_cut_by_time() {
    let (_, close) = fails(once(b"\x01\x03abc"), |q| q.limits.incomplete = Duration::from_millis(50));
    assert_eq!(close.cause, GapCause::LimitExceeded);
    assert!(close.detail.contains("incomplete"), "{}", close.detail);
}

/// A clock that is moved by hand, for the thread of one test.
struct Hands(i64);

impl Hands {
    fn passes(&mut self, d: Duration) {
        self.0 += i64::try_from(d.as_nanos()).unwrap();
        clock::simulated::set(Some((self.0, self.0)));
    }
}

impl Drop for Hands {
    fn drop(&mut self) {
        clock::simulated::set(None);
    }
}

#[test]
fn time_in_which_we_stood_still_ourselves_cuts_no_message() {
    let (go, goes) = std::sync::mpsc::channel::<()>();
    let (addr, server) = serve_ws(move |mut ws| {
        let s = ws.get_mut();
        s.write_all(b"\x81\x06abc").unwrap();
        goes.recv().unwrap();
        s.write_all(b"def\x81\x06abc").unwrap();
        goes.recv().unwrap_err();
    });
    let (mut r, mut log, mut time) = (reader(), Log::default(), Hands(0));
    time.passes(Duration::from_secs(1));
    r.open(request(1, addr)).unwrap();
    until(&mut r, &mut log, "the open connection", |l| l.has(&Seen::Open));
    // Nothing else has a limit: there is one when half a message is there.
    let pends = |r: &Reader| r.conns[0].as_ref().is_some_and(|c| c.deadline() < i64::MAX);
    let wait = |r: &mut Reader, log: &mut Log| {
        let end = Instant::now() + PATIENCE;
        while !pends(r) {
            assert!(Instant::now() < end, "half a message never came");
            r.poll_once(log, Duration::from_millis(10)).unwrap();
        }
    };
    wait(&mut r, &mut log);
    // The machine freezes, and whoever sends with it: the rest is not there when we look.
    time.passes(Duration::from_secs(8));
    for _ in 0..3 {
        r.poll_once(&mut log, Duration::ZERO).unwrap();
    }
    assert_eq!(log.closed(), None);
    go.send(()).unwrap();
    until(&mut r, &mut log, "the rest", |l| !l.messages().is_empty());
    assert_eq!(log.messages(), [b"abcdef"]);
    // A reader that looks all the time sees the same message wait for too long.
    wait(&mut r, &mut log);
    for _ in 0..11 {
        time.passes(Duration::from_millis(500));
        r.poll_once(&mut log, Duration::ZERO).unwrap();
    }
    let close = log.closed().expect("the second message is never whole");
    assert!(close.cause == GapCause::LimitExceeded && close.detail.contains("incomplete"), "{close:?}");
    drop(go);
    server.join().unwrap();
}

#[test]
fn a_ping_flood_from_a_peer_that_never_reads_is_cut() {
    let server = raw(std::iter::repeat_with(|| b"\x89\x04ping".repeat(50)));
    let (log, close) = fails(server, |_| {});
    assert_eq!(close.cause, GapCause::LimitExceeded);
    assert!(close.detail.contains("control frames"), "{}", close.detail);
    assert_eq!(log.seen.iter().filter(|(_, s)| matches!(s, Seen::Ping(_))).count(), 100);
}

#[test]
fn endless_heads_are_cut_by_size_lines_and_time() {
    let mut long = b"HTTP/1.1 101 Switching Protocols\r\nX: ".to_vec();
    long.resize(1 << 20, b'a');
    let (_, close) = fails(answer(&long), |_| {});
    assert_eq!((close.cause, close.phase), (GapCause::LimitExceeded, ClosePhase::Upgrade));

    let many = format!("HTTP/1.1 101 Switching Protocols\r\n{}", "A: b\r\n".repeat(100));
    let (_, close) = fails(answer(many.as_bytes()), |_| {});
    assert_eq!(close.cause, GapCause::LimitExceeded);
    assert!(close.detail.contains("64"), "{}", close.detail);

    let (_, close) = fails(answer(b"HTTP/1.1 101 Swi"), |q| q.limits.handshake = Duration::from_millis(100));
    assert_eq!((close.cause, close.phase), (GapCause::LimitExceeded, ClosePhase::Upgrade));
}

#[test]
fn refused_upgrades_are_told_apart() {
    let (_, c) = fails(answer(b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 17\r\n\r\n{}"), |_| {});
    assert_eq!((c.cause, c.http_status, c.retry_after_s), (GapCause::RateLimited, 429, 17));
    let (_, c) = fails(answer(b"HTTP/1.1 503 Service Unavailable\r\n\r\n"), |_| {});
    assert_eq!((c.cause, c.http_status), (GapCause::VenueMaintenance, 503));
    let (_, c) = fails(answer(b"HTTP/1.1 414 URI Too Long\r\n\r\n"), |_| {});
    assert_eq!((c.cause, c.http_status), (GapCause::SubscribeRefused, 414));
    let (_, c) = fails(answer(b"HTTP/1.1 302 Found\r\nLocation: wss://evil.example/\r\n\r\n"), |_| {});
    assert_eq!(c.cause, GapCause::ProtocolViolation);
    assert!(c.detail.contains("not followed"), "{}", c.detail);
}

#[test]
fn answers_that_are_no_websocket_are_protocol_violations() {
    let wrong_key = switching("d2hhdGV2ZXI=");
    for bytes in [&wrong_key[..], b"220 smtp.example.com ESMTP\r\n\r\n", b"HTTP/1.1 101 x\r\n\r\n"] {
        let (_, c) = fails(answer(bytes), |_| {});
        assert_eq!((c.cause, c.phase), (GapCause::ProtocolViolation, ClosePhase::Upgrade), "{}", c.detail);
    }
}

#[test]
fn frames_against_the_rules_are_protocol_violations() {
    let cases: [(&str, &[u8]); 7] = [
        ("reserved bit", b"\xc1\x01a"),
        ("masked", b"\x81\x81\0\0\0\0a"),
        ("unknown opcode", b"\x83\x00"),
        ("continuation of nothing", b"\x80\x01a"),
        ("a message inside a message", b"\x01\x01a\x81\x01b"),
        ("not UTF-8", b"\x81\x02\xff\xfe"),
        ("fragmented ping", b"\x09\x00"),
    ];
    for (what, bytes) in cases {
        let mut all = b"\x81\x04good".to_vec();
        all.extend(bytes);
        let (log, c) = fails(once(&all), |_| {});
        assert_eq!(c.cause, GapCause::ProtocolViolation, "{what}: {}", c.detail);
        assert_eq!(log.messages(), [b"good"], "{what}");
    }
}

#[test]
fn a_cut_in_the_middle_of_a_frame_keeps_what_was_whole() {
    let (addr, server) = serve(|mut s| {
        let key = read_key(&mut s);
        let mut b = switching(&key);
        b.extend(*b"\x81\x04good\x81\x10hal");
        s.write_all(&b).unwrap();
    });
    let (log, c) = run_to_close(request(1, addr));
    server.join().unwrap();
    assert_eq!(log.messages(), [b"good"]);
    assert_eq!((c.cause, c.code, c.phase), (GapCause::VenueDisconnect, 0, ClosePhase::Open));
}

#[test]
fn close_frames_say_why() {
    for (code, reason, cause) in [
        (1008u16, "Too many requests", GapCause::VenueDisconnect),
        (1012, "restart", GapCause::VenueMaintenance),
        (3003, "subscribed channels exceeds limit", GapCause::VenueDisconnect),
    ] {
        let mut b = vec![0x88, 2 + reason.len() as u8];
        b.extend(code.to_be_bytes());
        b.extend(reason.as_bytes());
        let (_, c) = fails(once(&b), |_| {});
        assert_eq!((c.code, c.reason.as_str(), c.cause), (code, reason, cause));
    }
}

#[test]
fn a_peer_that_never_reads_does_not_make_us_buffer_without_end() {
    // Answers the handshake and reads no more; its kernel and ours fill up, then our own buffer.
    let (addr, server) = serve(|mut s| {
        let key = read_key(&mut s);
        s.write_all(&switching(&key)).unwrap();
        s
    });
    let mut q = request(1, addr);
    q.messages_per_s = u32::from(u16::MAX);
    q.limits.write_buffer_bytes = 64 << 10;
    let (mut r, mut log) = (reader(), Log::default());
    r.open(q).unwrap();
    let big = "x".repeat(32 << 10);
    let end = Instant::now() + PATIENCE;
    while log.closed().is_none() {
        assert!(Instant::now() < end);
        r.send(1, big.clone());
        r.poll_once(&mut log, Duration::ZERO).unwrap();
        log.seen.retain(|(_, s)| !matches!(s, Seen::Sent(_)));
    }
    assert_eq!(log.closed().unwrap().cause, GapCause::LimitExceeded);
    drop(server.join().unwrap());
}

#[test]
fn a_close_that_nobody_answers_ends_by_itself() {
    let (addr, server) = serve(|mut s| {
        let key = read_key(&mut s);
        s.write_all(&switching(&key)).unwrap();
        let _ = s.read_to_end(&mut Vec::new());
    });
    let mut q = request(1, addr);
    q.limits.close_wait = Duration::from_millis(50);
    let (mut r, mut log) = (reader(), Log::default());
    r.open(q).unwrap();
    until(&mut r, &mut log, "open", |l| l.has(&Seen::Open));
    r.close(1, 1000, "");
    until(&mut r, &mut log, "the end", |l| l.closed().is_some());
    assert!(log.closed().unwrap().by_us);
    server.join().unwrap();
}

#[test]
fn one_hostile_peer_does_not_starve_the_others() {
    // An endless stream of good frames on one connection, a single message on the other.
    let (flood_at, flood) = raw(std::iter::repeat_with(|| b"\x82\x04aaaa".repeat(10_000)));
    let (quiet_at, quiet) = serve_ws(|mut ws| {
        ws.send(Message::text("quiet")).unwrap();
        let _ = ws.read();
    });
    struct Count {
        flood: u64,
        quiet: bool,
    }
    impl Handler for Count {
        fn on_open(&mut self, _: u64, _: &Stamps) {}
        fn on_message(&mut self, token: u64, _: &Stamps, _: bool, _: &[u8]) {
            self.flood += u64::from(token == 1);
            self.quiet |= token == 2;
        }
        fn on_sent(&mut self, _: u64, _: &Stamps, _: &str) {}
        fn on_close(&mut self, token: u64, _: &Stamps, info: &CloseInfo) {
            panic!("{token}: {info:?}");
        }
    }
    let (mut r, mut h) = (reader(), Count { flood: 0, quiet: false });
    r.open(request(1, flood_at)).unwrap();
    while h.flood == 0 {
        r.poll_once(&mut h, PATIENCE).unwrap();
    }
    r.open(request(2, quiet_at)).unwrap();
    while !h.quiet {
        r.poll_once(&mut h, PATIENCE).unwrap();
    }
    drop(r);
    flood.join().unwrap();
    quiet.join().unwrap();
}
