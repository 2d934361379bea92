//! Status, metrics and live events over HTTP on loopback: `/livez /readyz /metrics /status /events`. Reads, never steers.
//!
//! A thread of its own with a small runtime, so that whoever asks delays nobody else. Closed by default: loopback only,
//! `GET` and `HEAD` only, a `Host` that means this machine (a web page cannot rebind its name to us), no `Origin` (no web
//! page may ask at all), few connections, each for a limited time.

mod events;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod guard;
mod io;
mod prometheus;

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::oneshot;

use crate::bus::event::EventRing;
use crate::metrics::Shared;
use crate::model::LaneId;

/// The event ring of each lane.
pub type Events = Vec<(LaneId, EventRing)>;

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The address could be reached from other machines.
    #[error("http.listen {addr}: only loopback is served")]
    NotLoopback {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// The address cannot be had.
    #[error("http.listen {addr}: cannot listen: {source}; choose another port or leave [http] out")]
    Bind {
        /// The address asked for.
        addr: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// No thread or runtime.
    #[error("http.listen {addr}: cannot start the server: {source}")]
    Start {
        /// The address asked for.
        addr: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// An address that is ours, before anything is served on it: take it first, so that a wrong one is known before a
/// capture begins. Who connects meanwhile waits.
#[derive(Debug)]
pub struct Bound {
    socket: std::net::TcpListener,
    addr: SocketAddr,
}

impl Bound {
    /// Takes the address; port 0 takes any free one.
    ///
    /// # Errors
    /// [`HttpError`].
    pub fn new(listen: SocketAddr) -> Result<Bound, HttpError> {
        if !listen.ip().is_loopback() {
            return Err(HttpError::NotLoopback { addr: listen });
        }
        let bind = |source| HttpError::Bind { addr: listen, source };
        let socket = std::net::TcpListener::bind(listen).map_err(bind)?;
        socket.set_nonblocking(true).map_err(bind)?;
        let addr = socket.local_addr().map_err(bind)?;
        Ok(Bound { socket, addr })
    }

    /// Serves what is shared, on a thread of its own.
    ///
    /// # Errors
    /// [`HttpError::Start`].
    pub fn serve(self, shared: Arc<Shared>, events: Events) -> Result<Server, HttpError> {
        let Bound { socket, addr } = self;
        let start = |source| HttpError::Start { addr, source };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(start)?;
        let (stop, stopped) = oneshot::channel();
        let serve = move || {
            runtime.block_on(async {
                if let Ok(listener) = io::Listener::new(socket) {
                    let end = async {
                        let _ = stopped.await;
                    };
                    // Connections still open are dropped with the runtime: there is nothing to finish.
                    tokio::select! {
                        () = end => {}
                        _ = axum::serve(listener, router(shared, events)).into_future() => {}
                    }
                }
            });
        };
        let thread = std::thread::Builder::new().name("http".to_owned()).spawn(serve).map_err(start)?;
        Ok(Server { addr, stop: Some(stop), thread: Some(thread) })
    }
}

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// [`Bound::new`] and [`Bound::serve`] in one.
    ///
    /// # Errors
    /// [`HttpError`].
    pub fn start(listen: SocketAddr, shared: Arc<Shared>, events: Events) -> Result<Server, HttpError> {
        Bound::new(listen)?.serve(shared, events)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Stops and waits for the thread.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn router(shared: Arc<Shared>, events: Events) -> Router {
    let metrics = Arc::new(prometheus::Exposition::new(Arc::clone(&shared)));
    let source = Arc::new(events::Source::new(Arc::clone(&shared), events));
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/status", get(status))
        .with_state(shared)
        .route("/metrics", get(move || scrape(metrics)))
        .route("/events", get(move |query| async move { events::answer(&source, query) }))
        .fallback(|| async { (StatusCode::NOT_FOUND, "there are /livez /readyz /metrics /status /events\n") })
        .layer(axum::middleware::from_fn(guard::guard))
}

fn verdict(fault: Option<String>) -> Response {
    match fault {
        None => (StatusCode::OK, "ok\n").into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn livez(State(s): State<Arc<Shared>>) -> Response {
    verdict(s.not_alive())
}

async fn readyz(State(s): State<Arc<Shared>>) -> Response {
    verdict(s.not_ready())
}

async fn status(State(s): State<Arc<Shared>>) -> Response {
    axum::Json(s.status()).into_response()
}

async fn scrape(metrics: Arc<prometheus::Exposition>) -> Response {
    match metrics.text() {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[cfg(test)]
mod tests;
