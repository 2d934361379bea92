//! Connections with limits: few at a time, none for ever.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep_until};

/// Connections at a time; further ones wait in the kernel.
const CONNECTIONS_MAX: usize = 32;
/// A connection on which nothing moves for so long ends.
const IDLE_MAX: Duration = Duration::from_secs(20);
/// A connection ends at this age whatever it does, so that slow senders and readers cannot hold all places.
const AGE_MAX: Duration = Duration::from_secs(60);
/// After a failed accept (no descriptors left) the next try waits for others to end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

pub(super) struct Listener {
    socket: TcpListener,
    places: Arc<Semaphore>,
    idle_max: Duration,
}

impl Listener {
    pub fn new(socket: std::net::TcpListener) -> io::Result<Listener> {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        Ok(Listener { socket: TcpListener::from_std(socket)?, places, idle_max: IDLE_MAX })
    }
}

impl axum::serve::Listener for Listener {
    type Io = Connection;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Connection, Self::Addr) {
        loop {
            // Never closed, so a place always comes.
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { continue };
            match self.socket.accept().await {
                Ok((tcp, peer)) => return (Connection::new(tcp, place, self.idle_max), peer),
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.socket.local_addr()
    }
}

pub(super) struct Connection {
    tcp: TcpStream,
    idle_max: Duration,
    end: Instant,
    alarm: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    fn new(tcp: TcpStream, place: OwnedSemaphorePermit, idle_max: Duration) -> Connection {
        let now = Instant::now();
        Connection {
            tcp,
            idle_max,
            end: now + AGE_MAX,
            alarm: Box::pin(sleep_until(now + idle_max)),
            _place: place,
        }
    }

    /// Something moved: the idle limit begins again, the age does not.
    fn moved(&mut self) {
        let at = (Instant::now() + self.idle_max).min(self.end);
        self.alarm.as_mut().reset(at);
    }

    fn watch<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match outcome {
            Poll::Ready(x) => {
                self.moved();
                Poll::Ready(x)
            }
            Poll::Pending => {
                ready!(self.alarm.as_mut().poll(cx));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.tcp).poll_read(cx, buf);
        self.watch(cx, outcome)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.tcp).poll_write(cx, buf);
        self.watch(cx, outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::serve::Listener as _;
    use tokio::io::AsyncReadExt;

    #[test]
    fn a_connection_on_which_nothing_moves_ends() {
        let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        rt.block_on(async {
            let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            socket.set_nonblocking(true).unwrap();
            let addr = socket.local_addr().unwrap();
            let mut l = Listener::new(socket).unwrap();
            l.idle_max = Duration::from_millis(20);
            let _silent = TcpStream::connect(addr).await.unwrap();
            let (mut c, _) = l.accept().await;
            assert_eq!(l.places.available_permits(), CONNECTIONS_MAX - 1);
            let e = c.read_u8().await.unwrap_err();
            assert_eq!(e.kind(), io::ErrorKind::TimedOut);
            drop(c);
            assert_eq!(l.places.available_permits(), CONNECTIONS_MAX);
        });
    }
}
