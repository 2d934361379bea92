//! The server without a socket: for tests and the fuzz target `http`.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::metrics::Shared;

/// Rounds in which nothing came after which nothing more comes.
const QUIET_MAX: u32 = 16;

/// A server that is spoken to in memory.
pub struct Memory {
    runtime: tokio::runtime::Runtime,
    router: axum::Router,
}

/// Gives one connection.
struct Once(Option<DuplexStream>);

impl axum::serve::Listener for Once {
    type Io = DuplexStream;
    type Addr = ();

    async fn accept(&mut self) -> (DuplexStream, ()) {
        match self.0.take() {
            Some(s) => (s, ()),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Memory {
    /// A server of a run that has not begun.
    ///
    /// # Errors
    /// There is no runtime to be had.
    pub fn new() -> io::Result<Memory> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let shared = Arc::new(Shared::new("run", "data"));
        Ok(Memory { runtime, router: super::router(shared, Vec::new()) })
    }

    /// What a connection that sends these bytes and waits is answered; who closes its side is not.
    pub fn answer(&self, request: &[u8]) -> Vec<u8> {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let router = self.router.clone();
        self.runtime.block_on(async {
            // Nothing waits for it to end: the runtime drops it with the next one's start or its own end.
            let serving = tokio::spawn(axum::serve(Once(Some(server)), router).into_future());
            // There is room for all of it.
            let _ = client.write_all(request).await;
            let (mut out, mut quiet) = (Vec::new(), 0);
            while quiet < QUIET_MAX {
                tokio::select! {
                    biased;
                    n = client.read_buf(&mut out) => match n {
                        Ok(n) if n > 0 => quiet = 0,
                        _ => break,
                    },
                    () = tokio::task::yield_now() => quiet += 1,
                }
            }
            serving.abort();
            out
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_in_memory_are_answered_as_over_a_socket() {
        let m = Memory::new().unwrap();
        let ask = |r: &str| String::from_utf8(m.answer(r.as_bytes())).unwrap();
        assert!(ask("GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n").starts_with("HTTP/1.1 200 OK\r\n"));
        assert!(ask("GET /livez HTTP/1.1\r\nHost: evil.com\r\n\r\n").starts_with("HTTP/1.1 421 "));
        assert!(ask("nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
        let two = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(2);
        assert_eq!(ask(&two).matches("HTTP/1.1 200 OK").count(), 2);
        assert_eq!(ask("GET /livez"), "");
    }
}
