//! Well-behaved peers.

use std::io::{Read, Write};

use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, Message};

use super::*;

#[test]
fn messages_come_exactly_as_sent_in_order_and_a_close_1000_is_told() {
    let sent: Vec<Vec<u8>> = (0..200usize)
        .map(|i| format!("{{\"i\":{i},\"龙\":\"{}\"}}", "x".repeat(i * 37)).into_bytes())
        .collect();
    let out = sent.clone();
    let (addr, server) = serve_ws(move |mut ws| {
        for m in out {
            ws.write(Message::text(String::from_utf8(m).unwrap())).unwrap();
        }
        ws.write(Message::binary(vec![0u8, 255, 7])).unwrap();
        ws.close(Some(CloseFrame { code: CloseCode::Normal, reason: "bye".into() })).unwrap();
        while ws.read().is_ok() {}
    });
    let (log, close) = run_to_close(request(7, addr));
    server.join().unwrap();
    let got = log.messages();
    assert_eq!(got[..200], sent);
    assert_eq!(got[200], [0, 255, 7]);
    assert!(log.seen.iter().all(|(t, _)| *t == 7));
    assert_eq!(log.seen[0].1, Seen::Open);
    assert_eq!(
        (close.code, close.reason.as_str(), close.cause, close.by_us),
        (1000, "bye", GapCause::VenueDisconnect, false)
    );
}

#[test]
fn frames_of_one_read_share_its_stamps_even_behind_the_handshake() {
    let (addr, server) = serve(|mut s| {
        let key = read_key(&mut s);
        let mut b = switching(&key);
        for i in 0..50u8 {
            b.extend([0x81, 1, b'0' + i % 10]);
        }
        s.write_all(&b).unwrap();
        let mut rest = Vec::new();
        let _ = s.read_to_end(&mut rest);
    });
    let (mut r, mut log) = (reader(), Log::default());
    r.open(request(1, addr)).unwrap();
    until(&mut r, &mut log, "50 frames", |l| l.messages().len() == 50);
    let at = log.stamps();
    assert!(at.iter().all(|s| *s == at[0]));
    assert!(at[0].ts_recv > 1_700_000_000_000_000_000 && at[0].ts_mono > 0 && !at[0].stalled);
    drop(r);
    server.join().unwrap();
}

#[test]
fn a_ping_is_answered_with_its_payload() {
    let (addr, server) = serve_ws(|mut ws| {
        ws.send(Message::Ping(b"12345".to_vec().into())).unwrap();
        let pong = ws.read().unwrap();
        ws.close(None).unwrap();
        while ws.read().is_ok() {}
        pong
    });
    let (log, close) = run_to_close(request(1, addr));
    assert_eq!(server.join().unwrap(), Message::Pong(b"12345".to_vec().into()));
    assert!(log.has(&Seen::Ping(b"12345".to_vec())));
    assert_eq!((close.code, close.cause), (0, GapCause::VenueDisconnect));
}

/// Pings by text go out though the peer is not silent, and before what waits for its turn.
#[test]
fn pings_by_text_are_sent_whether_the_peer_is_silent_or_not() {
    let (addr, server) = serve_ws(|mut ws| {
        let mut got = Vec::new();
        while got.iter().filter(|t| *t == "ping").count() < 3 {
            if let Message::Text(t) = ws.read().unwrap() {
                got.push(t.to_string());
                ws.send(Message::text("noise")).unwrap();
            }
        }
        got
    });
    let mut q = request(1, addr);
    q.subscribe = vec!["s0".into()];
    q.ping = Some(("ping".into(), Duration::from_millis(30)));
    q.messages_per_s = 100;
    let (mut r, mut log) = (reader(), Log::default());
    r.open(q).unwrap();
    let pings = |l: &Log| l.seen.iter().filter(|(_, s)| *s == Seen::Sent("ping".into())).count();
    until(&mut r, &mut log, "3 pings", |l| pings(l) >= 3);
    assert_eq!(server.join().unwrap()[0], "s0");
}

#[test]
fn subscriptions_are_sent_in_order_and_within_the_rate() {
    let (addr, server) = serve_ws(|mut ws| {
        let mut got = Vec::new();
        while got.len() < 5 {
            if let Message::Text(t) = ws.read().unwrap() {
                got.push((t.to_string(), Instant::now()));
            }
        }
        got
    });
    let mut q = request(1, addr);
    q.subscribe = (0..4).map(|i| format!("s{i}")).collect();
    q.messages_per_s = 3;
    let (mut r, mut log) = (reader(), Log::default());
    r.open(q).unwrap();
    assert!(r.send(1, "s4".into()));
    assert!(!r.send(2, "nobody".into()));
    until(&mut r, &mut log, "5 texts", |l| l.has(&Seen::Sent("s4".into())));
    let got = server.join().unwrap();
    let texts: Vec<_> = got.iter().map(|g| g.0.clone()).collect();
    assert_eq!(texts, ["s0", "s1", "s2", "s3", "s4"]);
    assert!(got[3].1 - got[0].1 >= Duration::from_millis(1000), "the fourth within a second of the first");
    assert_eq!(r.counters().sent, 5);
}

#[test]
fn a_close_by_command_is_ours_and_what_comes_until_then_is_kept() {
    let (addr, server) = serve_ws(|mut ws| {
        ws.send(Message::text("one")).unwrap();
        loop {
            match ws.read() {
                Ok(Message::Close(f)) => {
                    // Its answer goes out with the next look.
                    let _ = ws.read();
                    break f.map(|f| (u16::from(f.code), f.reason.to_string()));
                }
                Ok(_) => {}
                Err(e) => panic!("{e}"),
            }
        }
    });
    let (mut r, mut log) = (reader(), Log::default());
    r.open(request(1, addr)).unwrap();
    until(&mut r, &mut log, "a message", |l| l.messages().len() == 1);
    assert!(r.close(1, 1000, "rotation"));
    until(&mut r, &mut log, "the close", |l| l.closed().is_some());
    let c = log.closed().unwrap();
    assert!(c.by_us && c.answered && c.cause == GapCause::Operator);
    assert_eq!(server.join().unwrap(), Some((1000, "rotation".into())));
    assert!(!r.close(1, 1000, ""), "its name is free again");
}

#[test]
fn a_full_handler_stops_reading_and_loses_nothing_when_it_has_room_again() {
    const N: usize = 2000;
    let (addr, server) = serve_ws(|mut ws| {
        for i in 0..N {
            // 4 KiB each: more than the socket buffers hold together, so TCP must push back.
            ws.send(Message::text(format!("{i:04096}"))).unwrap();
        }
        ws.close(None).unwrap();
        while ws.read().is_ok() {}
    });
    let (mut r, mut log) = (reader(), Log { room: Some(10), ..Log::default() });
    r.open(request(1, addr)).unwrap();
    until(&mut r, &mut log, "the first ten", |l| l.messages().len() == 10);
    for _ in 0..5 {
        r.poll_once(&mut log, Duration::from_millis(1)).unwrap();
    }
    assert_eq!(log.messages().len(), 10, "nothing is handed to a full handler");
    assert_eq!(r.counters().stalls, 1);
    log.room = None;
    until(&mut r, &mut log, "the rest", |l| l.closed().is_some());
    server.join().unwrap();
    let got = log.messages();
    assert_eq!(got.len(), N);
    assert!(got.iter().enumerate().all(|(i, m)| *m == format!("{i:04096}").into_bytes()));
    assert!(log.stamps().iter().any(|s| s.stalled), "reads after the stall are marked");
}

#[test]
fn silence_is_probed_and_then_ends_the_connection() {
    // A peer that is there but never answers: it does not even read.
    let (addr, server) = serve_ws(|ws| ws);
    let mut q = request(1, addr);
    q.probe_after = Duration::from_millis(50);
    q.dead_after = Duration::from_millis(200);
    let (log, close) = run_to_close(q);
    assert!(log.has(&Seen::Probe));
    assert_eq!(close.cause, GapCause::StaleTimeout);
    drop(server.join().unwrap());
}

#[test]
fn a_peer_that_answers_probes_stays() {
    let (addr, server) = serve_ws(|mut ws| {
        let mut pings = 0;
        loop {
            match ws.read() {
                Ok(Message::Ping(_)) => pings += 1,
                Ok(Message::Close(_)) | Err(Error::ConnectionClosed) => break pings,
                Ok(_) => {}
                Err(e) => panic!("{e}"),
            }
        }
    });
    let mut q = request(1, addr);
    q.probe_after = Duration::from_millis(20);
    q.dead_after = PATIENCE;
    let (mut r, mut log) = (reader(), Log::default());
    r.open(q).unwrap();
    until(&mut r, &mut log, "three pongs", |l| {
        l.seen.iter().filter(|(_, s)| matches!(s, Seen::Pong(_))).count() >= 3
    });
    assert!(log.closed().is_none());
    r.close(1, 1000, "");
    until(&mut r, &mut log, "the close", |l| l.closed().is_some());
    assert!(server.join().unwrap() >= 3);
}

#[test]
fn the_next_address_is_tried_and_all_failing_is_a_disconnect() {
    // A port that nobody listens on any more.
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (addr, server) = serve_ws(|mut ws| ws.close(None));
    let mut q = request(1, addr);
    q.addrs = vec![dead, addr];
    let (log, _) = run_to_close(q);
    assert_eq!(log.seen[0].1, Seen::Open);
    server.join().unwrap().unwrap();

    let mut q = request(1, dead);
    q.addrs = vec![dead, dead];
    let (log, close) = run_to_close(q);
    assert_eq!((close.cause, close.phase), (GapCause::VenueDisconnect, ClosePhase::Connect));
    assert_eq!(log.seen.len(), 1, "one close and nothing else");
}

#[test]
fn requests_that_cannot_be_tried_are_refused_at_once() {
    let mut r = reader();
    let far = |url: &str, addr: &str| ConnectRequest {
        url: url.into(),
        addrs: vec![addr.parse().unwrap()],
        ..request(1, "127.0.0.1:1".parse().unwrap())
    };
    assert!(matches!(
        r.open(far("ws://example.com/ws", "93.184.216.34:80")),
        Err(OpenError::NotLoopback { .. })
    ));
    let mut proxied = far("ws://localhost/ws", "127.0.0.1:3128");
    proxied.proxy = Some(Proxy::default());
    assert!(matches!(r.open(proxied), Err(OpenError::NotLoopback { .. })));
    assert!(matches!(r.open(far("http://localhost/", "127.0.0.1:80")), Err(OpenError::Url(_))));
    let mut nowhere = far("wss://example.com/", "127.0.0.1:80");
    nowhere.addrs.clear();
    assert!(matches!(r.open(nowhere), Err(OpenError::NoAddress { .. })));
    assert!(r.is_empty());

    let l = TcpListener::bind("127.0.0.1:0").unwrap();
    r.open(request(5, l.local_addr().unwrap())).unwrap();
    assert!(matches!(r.open(request(5, l.local_addr().unwrap())), Err(OpenError::Token(5))));
}

#[test]
fn another_thread_wakes_a_waiting_reader() {
    let mut r = reader();
    let w = r.waker();
    let t = std::thread::spawn(move || w.wake().unwrap());
    let begun = Instant::now();
    r.poll_once(&mut Log::default(), PATIENCE).unwrap();
    assert!(begun.elapsed() < PATIENCE);
    t.join().unwrap();
}

#[test]
fn spinning_reads_the_same() {
    let (addr, server) = serve_ws(|mut ws| {
        ws.send(Message::text("hello")).unwrap();
        ws.close(None).unwrap();
        while ws.read().is_ok() {}
    });
    let mut r = Reader::new(ReaderConfig { wait: WaitMode::Spin, ..ReaderConfig::default() }).unwrap();
    let mut log = Log::default();
    r.open(request(1, addr)).unwrap();
    until(&mut r, &mut log, "the close", |l| l.closed().is_some());
    assert_eq!(log.messages(), [b"hello"]);
    server.join().unwrap();
}

#[test]
fn two_connections_do_not_mix() {
    let say = |word: &'static str| {
        serve_ws(move |mut ws| {
            for _ in 0..100 {
                ws.send(Message::text(word)).unwrap();
            }
            ws.close(None).unwrap();
            while ws.read().is_ok() {}
        })
    };
    let (a, sa) = say("a");
    let (b, sb) = say("b");
    let (mut r, mut log) = (reader(), Log::default());
    r.open(request(1, a)).unwrap();
    r.open(request(2, b)).unwrap();
    assert_eq!(r.len(), 2);
    until(&mut r, &mut log, "both closes", |l| {
        l.seen.iter().filter(|(_, s)| matches!(s, Seen::Close(_))).count() == 2
    });
    for (t, s) in &log.seen {
        if let Seen::Message { bytes, .. } = s {
            assert_eq!(bytes, if *t == 1 { b"a" } else { b"b" });
        }
    }
    assert_eq!(log.messages().len(), 200);
    sa.join().unwrap();
    sb.join().unwrap();
}

#[test]
fn reading_frames_allocates_nothing_of_ours() {
    struct Count(u64);
    impl Handler for Count {
        fn on_open(&mut self, _: u64, _: &Stamps) {}
        fn on_message(&mut self, _: u64, _: &Stamps, _: bool, _: &[u8]) {
            self.0 += 1;
        }
        fn on_sent(&mut self, _: u64, _: &Stamps, _: &str) {}
        fn on_close(&mut self, _: u64, _: &Stamps, _: &CloseInfo) {}
    }
    const N: u64 = 20_000;
    let (addr, server) = serve_ws(|mut ws| {
        let m = "x".repeat(300);
        for _ in 0..N {
            ws.write(Message::text(m.as_str())).unwrap();
        }
        ws.flush().unwrap();
        let _ = ws.read();
    });
    let (mut r, mut h) = (reader(), Count(0));
    r.open(request(1, addr)).unwrap();
    while h.0 < 1000 {
        r.poll_once(&mut h, PATIENCE).unwrap();
    }
    let (all, theirs) = (crate::sys::alloc::thread_allocations(), r.counters().transport_allocations);
    while h.0 < N {
        r.poll_once(&mut h, PATIENCE).unwrap();
    }
    let theirs = r.counters().transport_allocations - theirs;
    let ours = crate::sys::alloc::thread_allocations() - all - theirs;
    assert_eq!(ours, 0, "of {theirs} inside the transport");
    // The library reuses its buffer: far less than one allocation a frame.
    assert!(theirs < N / 10, "{theirs} allocations of the transport for {N} frames");
    drop(r);
    server.join().unwrap();
}

/// Reads a handshake request by hand and gives back its key.
pub(super) fn read_key(s: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut b = [0u8; 1];
    while !head.ends_with(b"\r\n\r\n") {
        s.read_exact(&mut b).unwrap();
        head.push(b[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let line = head.lines().find(|l| l.to_ascii_lowercase().starts_with("sec-websocket-key:")).unwrap();
    line.split_once(':').unwrap().1.trim().to_owned()
}

/// The answer that opens the connection.
pub(super) fn switching(key: &str) -> Vec<u8> {
    let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
    .into_bytes()
}
