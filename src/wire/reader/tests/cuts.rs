//! A venue that goes away at any byte of its answer: all that was whole is there, the end is told, no socket stays.

use std::io::{Read, Write};

use super::plain::{read_key, switching};
use super::*;

/// What the server says after the handshake: a text, a message in three pieces with a ping in between, one more.
const FRAMES: &[u8] = b"\x81\x04good\x01\x02ab\x89\x02hi\x00\x02cd\x80\x01e\x82\x7e\x00\x80";

/// All of it, with the last message's 128 bytes.
fn said(key: &str) -> Vec<u8> {
    let mut all = switching(key);
    all.extend_from_slice(FRAMES);
    all.extend(std::iter::repeat_n(b'z', 128));
    all
}

/// Sockets of this machine with this port at one end that are open or closed by one side only.
fn left_over(port: u16) -> usize {
    let hex = format!(":{port:04X} ");
    let text = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let is_open = |l: &&str| [" 01 ", " 08 "].iter().any(|state| l.contains(state));
    text.lines().filter(|l| l.contains(&hex)).filter(is_open).count()
}

#[test]
fn a_connection_cut_at_any_byte_gives_what_was_whole_and_leaves_no_socket() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let mut n = 0;
        loop {
            let (mut s, _) = listener.accept().unwrap();
            s.set_read_timeout(Some(PATIENCE)).unwrap();
            let all = said(&read_key(&mut s));
            s.write_all(&all[..n.min(all.len())]).unwrap();
            // Half of it closed at once, half only towards the client.
            if n % 2 == 0 {
                let _ = s.shutdown(std::net::Shutdown::Write);
                let _ = s.read_to_end(&mut Vec::new());
            }
            if n == all.len() {
                return n;
            }
            n += 1;
        }
    });
    let whole: [&[u8]; 3] = [b"good", b"abcde", &[b'z'; 128]];
    let (mut r, mut n, mut seen) = (reader(), 0usize, [0; 4]);
    while !server.is_finished() {
        let mut log = Log::default();
        let token = n as u64 + 1;
        if r.open(request(token, addr)).is_err() {
            break;
        }
        until(&mut r, &mut log, "the end", |l| l.closed().is_some());
        let got = log.messages();
        assert!(got.len() <= 3 && got.iter().zip(whole).all(|(a, b)| a == b), "cut at {n}: {got:?}");
        assert!(got.is_empty() || log.has(&Seen::Open), "cut at {n}");
        assert!(r.is_empty(), "cut at {n}");
        seen[got.len()] += 1;
        n += 1;
        if got.len() == 3 {
            break;
        }
    }
    let bytes = server.join().unwrap();
    assert_eq!(n, bytes + 1, "each byte once");
    assert!(seen.iter().all(|n| *n > 0), "{seen:?}");
    drop(r);
    let leaks = left_over(addr.port());
    assert_eq!(leaks, 0);
    let line = format!("PROVED cuts {{\"bytes_covered\": {bytes}, \"leaks\": {leaks}}}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}
