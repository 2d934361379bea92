//! TLS peers, honest and not, and proxies.

use std::io::{Read, Write};
use std::sync::Arc;

use rustls::ServerConfig;
use tungstenite::Message;

use super::plain::{read_key, switching};
use super::*;
use crate::wire::testca::{TestCa, TestCert, tls_server};

fn secure(token: u64, addr: SocketAddr, host: &str, ca: &TestCa) -> ConnectRequest {
    ConnectRequest {
        url: format!("wss://{host}:{}/stream", addr.port()),
        tls: TlsSetup::new(&[ca.pem()]).unwrap(),
        ..request(token, addr)
    }
}

fn both(cert: &TestCert) -> Arc<ServerConfig> {
    cert.config(&[&rustls::version::TLS13, &rustls::version::TLS12])
}

/// A TLS server that goes through the handshakes, sends `n` numbered texts and closes.
fn counting_server(config: Arc<ServerConfig>, n: usize) -> (SocketAddr, JoinHandle<()>) {
    serve(move |s| {
        let mut ws = tungstenite::accept(tls_server(config, s)).unwrap();
        for i in 0..n {
            ws.write(Message::text(format!("{i}:{}", "y".repeat(i % 5000)))).unwrap();
        }
        ws.close(None).unwrap();
        while ws.read().is_ok() {}
    })
}

/// A server whose handshake is expected to fail.
fn refused_server(config: Arc<ServerConfig>) -> (SocketAddr, JoinHandle<()>) {
    serve(move |s| {
        let mut t = tls_server(config, s);
        assert!(t.read(&mut [0u8; 64]).is_err(), "the client must not go on");
    })
}

#[test]
fn messages_come_through_tls_exactly() {
    let ca = TestCa::new();
    for config in [both(&ca.issue("localhost")), ca.issue("localhost").config(&[&rustls::version::TLS12])] {
        let (addr, server) = counting_server(config, 3000);
        let (log, close) = run_to_close(secure(1, addr, "localhost", &ca));
        server.join().unwrap();
        let got = log.messages();
        assert_eq!(got.len(), 3000);
        for (i, m) in got.iter().enumerate() {
            assert_eq!(*m, format!("{i}:{}", "y".repeat(i % 5000)).into_bytes());
        }
        assert_eq!(close.cause, GapCause::VenueDisconnect);
        let at = log.stamps();
        assert!(at.windows(2).all(|w| w[0].ts_mono <= w[1].ts_mono));
    }
}

#[test]
fn an_address_in_the_certificate_is_a_name_too() {
    let ca = TestCa::new();
    let (addr, server) = counting_server(both(&ca.issue("127.0.0.1")), 1);
    let (log, _) = run_to_close(secure(1, addr, "127.0.0.1", &ca));
    server.join().unwrap();
    assert_eq!(log.messages().len(), 1);
}

#[test]
fn a_wrong_host_an_unknown_ca_and_an_expired_certificate_are_refused() {
    let (ca, other) = (TestCa::new(), TestCa::new());
    let expired = ca.issue_with("localhost", |p| {
        p.not_before = rcgen::date_time_ymd(2000, 1, 1);
        p.not_after = rcgen::date_time_ymd(2001, 1, 1);
    });
    let cases = [
        ("wrong host", ca.issue("example.com")),
        ("unknown CA", other.issue("localhost")),
        ("expired", expired),
    ];
    for (what, cert) in cases {
        let (addr, server) = refused_server(both(&cert));
        let (log, close) = run_to_close(secure(1, addr, "localhost", &ca));
        server.join().unwrap();
        assert_eq!(
            (close.cause, close.phase),
            (GapCause::TlsFailure, ClosePhase::Tls),
            "{what}: {}",
            close.detail
        );
        assert_eq!(log.seen.len(), 1, "{what}: nothing but the close");
    }
}

#[test]
fn a_connection_lost_in_the_tls_handshake_is_a_tls_failure() {
    // Hangs up after the client's first bytes.
    let (addr, server) = serve(|mut s| {
        let _ = s.read(&mut [0u8; 16]);
    });
    let (_, close) = run_to_close(secure(1, addr, "localhost", &TestCa::new()));
    server.join().unwrap();
    assert_eq!((close.cause, close.phase), (GapCause::TlsFailure, ClosePhase::Tls));

    // Speaks something else.
    let (addr, server) = serve(|mut s| {
        s.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        let _ = s.read_to_end(&mut Vec::new());
    });
    let (_, close) = run_to_close(secure(1, addr, "localhost", &TestCa::new()));
    server.join().unwrap();
    assert_eq!((close.cause, close.phase), (GapCause::TlsFailure, ClosePhase::Tls));
}

/// An alert record: warning, close_notify.
const CLOSE_NOTIFY: [u8; 7] = [0x15, 3, 3, 0, 2, 1, 0];

#[test]
fn close_notify_in_the_middle_of_the_handshake_does_not_spin() {
    // The peer hangs up behind it.
    let (addr, server) = serve(|mut s| {
        // Taking all of the hello makes the end a FIN, not a reset.
        let _ = s.read(&mut [0u8; 4096]);
        s.write_all(&CLOSE_NOTIFY).unwrap();
    });
    let (_, close) = run_to_close(secure(1, addr, "localhost", &TestCa::new()));
    server.join().unwrap();
    assert_eq!((close.cause, close.phase), (GapCause::TlsFailure, ClosePhase::Tls));

    // The peer stays: nobody vouches for such an alert, so the handshake's limit decides, and we sleep until then.
    let (addr, server) = serve(|mut s| {
        s.write_all(&CLOSE_NOTIFY).unwrap();
        let _ = s.read_to_end(&mut Vec::new());
    });
    let mut q = secure(1, addr, "localhost", &TestCa::new());
    q.limits.handshake = Duration::from_millis(100);
    let (mut r, mut log, mut rounds) = (reader(), Log::default(), 0);
    r.open(q).unwrap();
    while log.closed().is_none() {
        r.poll_once(&mut log, PATIENCE).unwrap();
        rounds += 1;
    }
    server.join().unwrap();
    let close = log.closed().unwrap();
    assert_eq!((close.cause, close.phase), (GapCause::LimitExceeded, ClosePhase::Tls));
    assert!(rounds < 20, "{rounds} rounds for nothing");
}

#[test]
fn a_silent_tls_peer_runs_into_the_handshake_limit() {
    let (addr, server) = serve(|mut s| {
        let _ = s.read_to_end(&mut Vec::new());
    });
    let mut q = secure(1, addr, "localhost", &TestCa::new());
    q.limits.handshake = Duration::from_millis(100);
    let (_, close) = run_to_close(q);
    server.join().unwrap();
    assert_eq!((close.cause, close.phase), (GapCause::LimitExceeded, ClosePhase::Tls));
}

#[test]
fn a_stream_cut_without_close_notify_is_a_disconnect_and_keeps_what_came() {
    let ca = TestCa::new();
    let config = both(&ca.issue("localhost"));
    let (addr, server) = serve(move |s| {
        let mut ws = tungstenite::accept(tls_server(config, s)).unwrap();
        ws.send(Message::text("last words")).unwrap();
        // Dropped here: neither a close frame nor a close_notify.
    });
    let (log, close) = run_to_close(secure(1, addr, "localhost", &ca));
    server.join().unwrap();
    assert_eq!(log.messages(), [b"last words"]);
    assert_eq!((close.cause, close.phase), (GapCause::VenueDisconnect, ClosePhase::Open));
}

#[test]
fn a_full_handler_pushes_back_through_tls_as_well() {
    let ca = TestCa::new();
    let (addr, server) = counting_server(both(&ca.issue("localhost")), 2000);
    let (mut r, mut log) = (reader(), Log { room: Some(1), ..Log::default() });
    r.open(secure(1, addr, "localhost", &ca)).unwrap();
    until(&mut r, &mut log, "the first", |l| l.messages().len() == 1);
    log.room = None;
    until(&mut r, &mut log, "the rest", |l| l.closed().is_some());
    server.join().unwrap();
    assert_eq!(log.messages().len(), 2000);
}

/// Takes the head of a `CONNECT` request.
fn read_connect(s: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut b = [0u8; 1];
        s.read_exact(&mut b).unwrap();
        head.push(b[0]);
    }
    String::from_utf8(head).unwrap()
}

#[test]
fn a_proxy_is_asked_for_a_tunnel_and_tls_is_with_the_venue() {
    let ca = TestCa::new();
    let config = both(&ca.issue("stream.example.com"));
    // The proxy plays the venue behind it.
    let (addr, server) = serve(move |mut s| {
        let head = read_connect(&mut s);
        s.write_all(b"HTTP/1.1 200 Connection established\r\nX: y\r\n\r\n").unwrap();
        let mut ws = tungstenite::accept(tls_server(config, s)).unwrap();
        ws.send(Message::text("through")).unwrap();
        ws.close(None).unwrap();
        while ws.read().is_ok() {}
        head
    });
    let mut q = secure(1, addr, "stream.example.com", &ca);
    q.url = "wss://stream.example.com:9443/ws".into();
    q.proxy = Some(Proxy { authorization: Some("Basic dTpw".into()) });
    let (log, _) = run_to_close(q);
    let head = server.join().unwrap();
    assert!(head.starts_with("CONNECT stream.example.com:9443 HTTP/1.1\r\n"));
    assert!(head.contains("Proxy-Authorization: Basic dTpw\r\n"));
    assert_eq!(log.messages(), [b"through"]);
}

#[test]
fn a_proxy_that_refuses_is_named() {
    let (addr, server) = serve(|mut s| {
        read_connect(&mut s);
        s.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").unwrap();
        let _ = s.read_to_end(&mut Vec::new());
    });
    let mut q = secure(1, addr, "localhost", &TestCa::new());
    q.proxy = Some(Proxy::default());
    let (_, close) = run_to_close(q);
    server.join().unwrap();
    assert_eq!((close.phase, close.http_status), (ClosePhase::Proxy, 407));
}

#[test]
fn frames_right_behind_the_handshake_are_kept_through_tls() {
    let ca = TestCa::new();
    let config = both(&ca.issue("localhost"));
    let (addr, server) = serve(move |s| {
        let mut t = tls_server(config, s);
        let key = read_key(&mut t);
        let mut b = switching(&key);
        b.extend(*b"\x81\x05first\x82\x06second");
        t.write_all(&b).unwrap();
        let _ = t.read(&mut [0u8; 16]);
    });
    let (mut r, mut log) = (reader(), Log::default());
    r.open(secure(1, addr, "localhost", &ca)).unwrap();
    until(&mut r, &mut log, "both", |l| l.messages().len() == 2);
    assert_eq!(log.messages(), [b"first".to_vec(), b"second".to_vec()]);
    drop(r);
    server.join().unwrap();
}
