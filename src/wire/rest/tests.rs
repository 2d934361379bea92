//! REST against servers in threads that answer with given bytes.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;

use super::*;
use crate::wire::testca::{TestCa, tls_server};

const PATIENCE: Duration = Duration::from_secs(30);

fn config(base: String) -> RestConfig {
    RestConfig {
        base,
        proxy: None,
        tls: TlsSetup::new(&[]).unwrap(),
        weight_header: "x-mbx-used-weight-1m".into(),
        limits: RestLimits { connect: PATIENCE, total: PATIENCE, ..RestLimits::default() },
    }
}

fn listen(f: impl FnOnce(TcpStream) + Send + 'static) -> (SocketAddr, JoinHandle<()>) {
    let l = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = l.local_addr().unwrap();
    let t = std::thread::spawn(move || {
        let (s, _) = l.accept().unwrap();
        s.set_read_timeout(Some(PATIENCE)).unwrap();
        f(s);
    });
    (addr, t)
}

fn read_head(s: &mut impl Read) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut b = [0u8; 1];
        match s.read(&mut b) {
            Ok(1) => head.push(b[0]),
            _ => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// Answers one plain request with these bytes.
fn answering(bytes: Vec<u8>) -> (RestConfig, JoinHandle<()>) {
    let (addr, t) = listen(move |mut s| {
        read_head(&mut s);
        // The client may have seen enough before the end.
        let _ = s.write_all(&bytes);
    });
    (config(format!("http://{addr}")), t)
}

fn get(c: RestConfig, t: JoinHandle<()>) -> Result<RestResponse, RestError> {
    let r = RestClient::new(c).unwrap().get("/fapi/v3/depth?symbol=BTCUSDT&limit=1000");
    t.join().unwrap();
    r
}

fn http(head: &str, body: &[u8]) -> Vec<u8> {
    let mut v = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    v.extend(body);
    v
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    e.write_all(data).unwrap();
    e.finish().unwrap()
}

#[test]
fn an_answer_comes_with_its_counter_and_times() {
    let (c, t) = answering(http("200 OK\r\nX-MBX-USED-WEIGHT-1M: 42", b"{\"lastUpdateId\":1}"));
    let r = get(c, t).unwrap();
    assert_eq!((r.status, r.used_weight, r.retry_after_s), (200, Some(42), None));
    assert_eq!(r.body, b"{\"lastUpdateId\":1}");
    assert!(r.ts_sent > 0 && r.mono_recv >= r.mono_sent);
}

#[test]
fn refusals_are_answers() {
    let (c, t) = answering(http("429 Too Many Requests\r\nRetry-After: 9", b"{\"code\":-1003}"));
    let r = get(c, t).unwrap();
    assert_eq!((r.status, r.retry_after_s), (429, Some(9)));
    assert_eq!(r.body, b"{\"code\":-1003}");
    let (c, t) = answering(http("418 I'm a teapot\r\nRetry-After: Wed, 21 Oct 2026 07:28:00 GMT", b""));
    assert_eq!(get(c, t).unwrap().retry_after_s, None);
    // An hour from now, told in the body only.
    let until = clock::wall_ns() / NS_PER_MS + 3_600_000;
    let body = format!(r#"{{"code":-1003,"msg":"IP banned until {until}"}}"#);
    let (c, t) = answering(http("418 I'm a teapot", body.as_bytes()));
    assert!((3590..=3601).contains(&get(c, t).unwrap().retry_after_s.unwrap()));
}

#[test]
fn an_answer_cut_at_any_byte_is_an_error_and_never_a_part() {
    let body = br#"{"lastUpdateId":1027024,"bids":[["4.00000000","431.00000000"]],"asks":[["4.00000200","12.00000000"]]}"#;
    let whole = http("200 OK\r\nX-MBX-USED-WEIGHT-1M: 42", body);
    for n in 0..=whole.len() {
        let (c, t) = answering(whole[..n].to_vec());
        match get(c, t) {
            Ok(r) => assert!(n == whole.len() && r.body == body, "cut at {n}: {} bytes", r.body.len()),
            Err(_) => assert!(n < whole.len(), "a whole answer is one"),
        }
    }
}

#[test]
fn redirects_are_not_followed() {
    let (c, t) = answering(http("302 Found\r\nLocation: https://evil.example/", b"moved"));
    let r = get(c, t).unwrap();
    let said = r.redirect().unwrap();
    assert!(
        r.status == 302 && said.contains("to \"https://evil.example/\"") && said.contains("rest = "),
        "{said}"
    );
}

#[test]
fn compressed_bodies_are_opened_and_bombs_are_not() {
    let body = b"{\"bids\":[]}".repeat(1000);
    let (c, t) = answering(http("200 OK\r\nContent-Encoding: gzip", &gzip(&body)));
    assert_eq!(get(c, t).unwrap().body, body);

    // 1 MiB of zeros in about a kilobyte: beyond the ratio, and with a lower floor beyond what is let through.
    let (mut c, t) = answering(http("200 OK\r\nContent-Encoding: gzip", &gzip(&vec![0u8; 1 << 20])));
    c.limits.ratio_floor = 100_000;
    assert!(matches!(get(c, t), Err(RestError::TooLarge { what: "decompressed body", limit: 100_000, .. })));

    let (mut c, t) = answering(http("200 OK\r\nContent-Encoding: gzip", &gzip(&vec![0u8; 1 << 20])));
    c.limits.decoded_bytes = 1000;
    assert!(matches!(get(c, t), Err(RestError::TooLarge { what: "decompressed body", limit: 1000, .. })));

    let (c, t) = answering(http("200 OK\r\nContent-Encoding: gzip", b"not gzip at all"));
    assert!(matches!(get(c, t), Err(RestError::Protocol { .. })));
    let (c, t) = answering(http("200 OK\r\nContent-Encoding: br", b"x"));
    assert!(matches!(get(c, t), Err(RestError::Protocol { .. })));
}

#[test]
fn bodies_and_heads_are_bounded() {
    let (mut c, t) = answering(http("200 OK", &[b'x'; 5000]));
    c.limits.body_bytes = 4999;
    assert!(matches!(get(c, t), Err(RestError::TooLarge { what: "body", limit: 4999, .. })));

    let long = format!("200 OK\r\nX: {}", "a".repeat(1 << 20));
    let (c, t) = answering(http(&long, b""));
    assert!(matches!(get(c, t), Err(RestError::TooLarge { what: "head", .. })));
}

#[test]
fn a_body_cut_in_half_is_no_answer() {
    let mut b = http("200 OK", b"{\"lastUpdateId\":1,\"bids\":[]}");
    b.truncate(b.len() - 10);
    let (c, t) = answering(b);
    assert!(matches!(get(c, t), Err(RestError::Transport { .. } | RestError::Protocol { .. })));
}

#[test]
fn a_peer_that_says_nothing_runs_into_the_deadline() {
    let (addr, t) = listen(|mut s| {
        let _ = s.read_to_end(&mut Vec::new());
    });
    let mut c = config(format!("http://{addr}"));
    c.limits.total = Duration::from_millis(100);
    let client = RestClient::new(c).unwrap();
    assert!(matches!(client.get("/x"), Err(RestError::Timeout { .. })));
    drop(client);
    t.join().unwrap();
}

#[test]
fn nobody_there_is_a_transport_error() {
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let r = RestClient::new(config(format!("http://{dead}"))).unwrap().get("/x");
    assert!(matches!(r, Err(RestError::Transport { .. })), "{r:?}");
}

#[test]
fn bases_and_proxies_that_cannot_be_are_refused() {
    for base in ["", "fapi.asterdex.com", "ftp://a/", "https://", "https://a/?b=c"] {
        assert!(matches!(RestClient::new(config(base.into())), Err(RestError::Base { .. })), "{base}");
    }
    let mut c = config("http://127.0.0.1:1".into());
    c.proxy = Some("http://127.0.0.1:3128".into());
    let e = RestClient::new(c).unwrap_err();
    assert!(
        matches!(e, RestError::PlainProxied { .. }) && e.to_string().contains("leave the proxy out"),
        "{e}"
    );
    let mut c = config("https://example.com".into());
    c.proxy = Some("socks5://user:secret@127.0.0.1:1080".into());
    let e = RestClient::new(c).unwrap_err();
    assert!(matches!(e, RestError::Proxy { .. }) && !e.to_string().contains("secret"));
}

#[test]
fn plain_http_leaves_this_machine_for_nobody() {
    // An address of the documentation range: refused before a single packet.
    let r = RestClient::new(config("http://192.0.2.1:80".into())).unwrap().get("/x");
    assert!(matches!(r, Err(RestError::NotLoopback { .. })), "{r:?}");
}

#[test]
fn tls_is_checked() {
    let (ca, other) = (TestCa::new(), TestCa::new());
    let both = [&rustls::version::TLS13, &rustls::version::TLS12];
    for (cert, good) in
        [(ca.issue("localhost"), true), (ca.issue("example.com"), false), (other.issue("localhost"), false)]
    {
        let server = cert.config(&both);
        let (addr, t) = listen(move |s| {
            let mut s = tls_server(server, s);
            if read_head(&mut s).is_empty() {
                return;
            }
            let _ = s.write_all(&http("200 OK", b"hello"));
        });
        let mut c = config(format!("https://localhost:{}", addr.port()));
        c.tls = TlsSetup::new(&[ca.pem()]).unwrap();
        match get(c, t) {
            Ok(r) => assert!(good && r.body == b"hello"),
            Err(RestError::Tls { .. }) => assert!(!good),
            Err(e) => panic!("{e}"),
        }
    }
}

#[test]
fn a_proxy_tunnels_https() {
    let ca = TestCa::new();
    let server = ca.issue("fapi.example.com").config(&[&rustls::version::TLS13]);
    let (addr, t) = listen(move |mut s| {
        let head = read_head(&mut s);
        assert!(head.starts_with("CONNECT fapi.example.com:443 HTTP/1.1\r\n"), "{head}");
        s.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let mut s = tls_server(server, s);
        assert!(read_head(&mut s).contains("GET /fapi/v3/depth"));
        s.write_all(&http("200 OK", b"through")).unwrap();
    });
    let mut c = config("https://fapi.example.com".into());
    c.tls = TlsSetup::new(&[ca.pem()]).unwrap();
    c.proxy = Some(format!("http://{addr}"));
    assert_eq!(get(c, t).unwrap().body, b"through");
}
