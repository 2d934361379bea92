//! REST: the cold side. Blocking, on a worker thread of control; every answer bounded, never redirected, always checked.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use ureq::config::Config;
use ureq::http::{HeaderMap, Uri};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout,
    TcpConnector, Transport, TransportAdapter,
};
use ureq::{Agent, Proxy};

use super::budget::banned_until_ms;
use super::clock;
use super::tls::{TlsError, TlsSetup};
use crate::model::GapCause;
use crate::model::time::NS_PER_MS;

/// What an answer may weigh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestLimits {
    /// Bytes of a body as it comes over the wire.
    pub body_bytes: usize,
    /// Bytes of a body after decompression.
    pub decoded_bytes: usize,
    /// Decompressed bytes per compressed byte.
    pub ratio: usize,
    /// Below so many decompressed bytes the ratio does not matter: lists of instruments repeat themselves a lot.
    pub ratio_floor: usize,
    /// Bytes of the head of an answer.
    pub head_bytes: usize,
    /// For the TCP and TLS handshakes.
    pub connect: Duration,
    /// For a whole request.
    pub total: Duration,
}

impl Default for RestLimits {
    fn default() -> Self {
        RestLimits {
            body_bytes: 64 << 20,
            decoded_bytes: 256 << 20,
            ratio: 20,
            ratio_floor: 32 << 20,
            head_bytes: 16 << 10,
            connect: Duration::from_secs(5),
            total: Duration::from_secs(20),
        }
    }
}

/// Settings of a client.
#[derive(Clone, Debug)]
pub struct RestConfig {
    /// `https://host[:port]`, or `http://` to a loopback address; no trailing slash.
    pub base: String,
    /// `http://[user:password@]host:port` of a proxy to `CONNECT` through.
    pub proxy: Option<String>,
    /// How to check the peer.
    pub tls: TlsSetup,
    /// Name of the header with the venue's weight counter, lower case; "" if there is none.
    pub weight_header: String,
    /// What an answer may weigh.
    pub limits: RestLimits,
}

/// An answer, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestResponse {
    /// HTTP status; redirects come as they are and are not followed.
    pub status: u16,
    /// The body, decompressed, otherwise untouched.
    pub body: Vec<u8>,
    /// The venue's weight counter, if it sent one.
    pub used_weight: Option<u32>,
    /// `Retry-After` in seconds, if there is one in that form; else, on 418, 429 and 439, what the body says of a ban.
    pub retry_after_s: Option<u32>,
    /// `Location` of a redirect, as sent and cut at 200 characters.
    pub location: Option<String>,
    /// Headers that speak of limits (`…limit…`, `…weight…`, `retry-after`), as sent.
    pub limits: Vec<(String, String)>,
    /// Wall time at which the request was begun, ns.
    pub ts_sent: i64,
    /// Monotonic time of the same moment, ns.
    pub mono_sent: i64,
    /// Wall time at which the body was complete, ns.
    pub ts_recv: i64,
    /// Monotonic time of the same moment, ns.
    pub mono_recv: i64,
}

impl RestResponse {
    /// What to say of a redirect, for people: it is an answer, but none to what was asked. `None`: it is no redirect.
    pub fn redirect(&self) -> Option<String> {
        let to = self.location.as_deref().unwrap_or("nowhere");
        matches!(self.status, 301 | 302 | 303 | 307 | 308).then(|| {
            format!(
                "a redirect to {to:?}, which is not followed: an answer does not decide whom to trust; if that is where the \
                 venue is now, name it: rest = \"https://…\" in its [[venue]], --rest on the command line"
            )
        })
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestError {
    /// The base URL is no good.
    #[error("{url:?} cannot be a REST base: {why}")]
    Base {
        /// The text.
        url: String,
        /// The reason.
        why: String,
    },
    /// The proxy's URL is no good.
    #[error("proxy {url:?}: {why}")]
    Proxy {
        /// The text without credentials.
        url: String,
        /// The reason.
        why: String,
    },
    /// Plain HTTP beyond this machine.
    #[error("{url}: plain http is for loopback addresses only; use https")]
    NotLoopback {
        /// The URL.
        url: String,
    },
    /// A proxy and a base that it cannot be used for.
    #[error("{url}: plain http does not go through a proxy; use https, or leave the proxy out")]
    PlainProxied {
        /// The URL.
        url: String,
    },
    /// No connection, or it broke.
    #[error("{url}: {why}")]
    Transport {
        /// The URL.
        url: String,
        /// The reason.
        why: String,
    },
    /// A deadline passed.
    #[error("{url}: no answer in time ({why})")]
    Timeout {
        /// The URL.
        url: String,
        /// Which deadline.
        why: String,
    },
    /// The peer is not who it should be, or TLS failed otherwise.
    #[error("{url}: TLS: {why}")]
    Tls {
        /// The URL.
        url: String,
        /// The reason.
        why: String,
    },
    /// The answer is no HTTP.
    #[error("{url}: {why}")]
    Protocol {
        /// The URL.
        url: String,
        /// The reason.
        why: String,
    },
    /// The answer is bigger than it may be; reading stopped there.
    #[error("{url}: {what} of more than {limit} bytes")]
    TooLarge {
        /// The URL.
        url: String,
        /// What was too big: `head`, `body`, `decompressed body`.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
}

impl RestError {
    /// What the gap of those who waited for this answer is to be called.
    pub fn cause(&self) -> GapCause {
        match self {
            RestError::Tls { .. } => GapCause::TlsFailure,
            RestError::TooLarge { .. } => GapCause::LimitExceeded,
            RestError::Protocol { .. } => GapCause::ProtocolViolation,
            _ => GapCause::VenueDisconnect,
        }
    }
}

/// A client of one REST base. Cheap to clone; clones share connections and may be used from several threads.
#[derive(Clone, Debug)]
pub struct RestClient {
    agent: Agent,
    base: String,
    weight_header: String,
    limits: RestLimits,
}

impl RestClient {
    /// A client; nothing is connected yet.
    ///
    /// # Errors
    /// A base or proxy that cannot be one.
    pub fn new(config: RestConfig) -> Result<RestClient, RestError> {
        let base = config.base.trim_end_matches('/').to_owned();
        let plain = check_base(&base, config.proxy.is_some())?;
        let l = config.limits;
        let settings = Config::builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(config.proxy.as_deref().map(parse_proxy).transpose()?)
            .user_agent(concat!("lobtape/", env!("CARGO_PKG_VERSION")))
            .accept("application/json")
            .accept_encoding("gzip")
            .max_response_header_size(l.head_bytes)
            .timeout_connect(Some(l.connect))
            .timeout_global(Some(l.total))
            .build();
        let connector = Gate { plain }
            .chain(ConnectProxyConnector::default())
            .chain(TcpConnector::default())
            .chain(Tls { setup: config.tls });
        let agent = Agent::with_parts(settings, connector, DefaultResolver::default());
        Ok(RestClient { agent, base, weight_header: config.weight_header, limits: l })
    }

    /// The base that paths follow.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Asks for a path (with its query, percent-encoded) and reads the whole answer.
    ///
    /// # Errors
    /// [`RestError`] when there is no whole answer; a status such as 429 is an answer.
    pub fn get(&self, path: &str) -> Result<RestResponse, RestError> {
        self.get_with(path, &[])
    }

    /// The same with further headers. None of them is in any error's text.
    ///
    /// # Errors
    /// As [`RestClient::get`].
    pub fn get_with(
        &self,
        path: &str,
        headers: &[(&'static str, String)],
    ) -> Result<RestResponse, RestError> {
        let url = format!("{}{path}", self.base);
        let (ts_sent, mono_sent) = (clock::wall_ns(), clock::mono_ns());
        let response = headers
            .iter()
            .fold(self.agent.get(&url), |r, (name, value)| r.header(*name, value))
            .call()
            .map_err(|e| map_error(&url, e, &self.limits))?;
        let (parts, body) = response.into_parts();
        let raw = read_bounded(body.into_reader(), self.limits.body_bytes, &url, "body", &self.limits)?;
        let (ts_recv, mono_recv) = (clock::wall_ns(), clock::mono_ns());
        let body = match header(&parts.headers, "content-encoding") {
            None | Some("" | "identity") => raw,
            Some("gzip" | "x-gzip") => gunzip(&raw, &url, &self.limits)?,
            Some(other) => {
                let why = format!("content encoding {other:?} was not asked for");
                return Err(RestError::Protocol { url, why });
            }
        };
        let status = parts.status.as_u16();
        let retry_after_s = number(&parts.headers, "retry-after").or_else(|| match status {
            418 | 429 | 439 => ban_seconds(&body, ts_recv),
            _ => None,
        });
        Ok(RestResponse {
            status,
            body,
            used_weight: number(&parts.headers, &self.weight_header),
            retry_after_s,
            location: header(&parts.headers, "location").map(|to| to.chars().take(200).collect()),
            limits: limits(&parts.headers),
            ts_sent,
            mono_sent,
            ts_recv,
            mono_recv,
        })
    }
}

/// Seconds until the ban of which a body speaks ends.
fn ban_seconds(body: &[u8], now: i64) -> Option<u32> {
    let left = banned_until_ms(body)?.checked_mul(NS_PER_MS)?.checked_sub(now)?;
    u32::try_from(left.max(0) / 1_000_000_000 + 1).ok()
}

fn header<'a>(h: &'a HeaderMap, name: &str) -> Option<&'a str> {
    h.get(name)?.to_str().ok().map(str::trim)
}

/// At most a dozen headers that speak of limits.
fn limits(h: &HeaderMap) -> Vec<(String, String)> {
    let speaks = |name: &str| ["limit", "weight", "retry-after"].iter().any(|w| name.contains(w));
    h.iter()
        .filter(|(name, _)| speaks(name.as_str()))
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
        .take(12)
        .collect()
}

fn number(h: &HeaderMap, name: &str) -> Option<u32> {
    if name.is_empty() { None } else { header(h, name)?.parse().ok() }
}

/// Whether the base is plain HTTP.
fn check_base(base: &str, proxied: bool) -> Result<bool, RestError> {
    let bad = |why: &str| RestError::Base { url: base.to_owned(), why: why.to_owned() };
    let uri: Uri = base.parse().map_err(|e| bad(&format!("{e}")))?;
    if uri.host().is_none_or(str::is_empty) {
        return Err(bad("no host"));
    }
    if uri.query().is_some() {
        return Err(bad("a query belongs to the request"));
    }
    match uri.scheme_str() {
        Some("https") => Ok(false),
        Some("http") if proxied => Err(RestError::PlainProxied { url: base.to_owned() }),
        Some("http") => Ok(true),
        _ => Err(bad("the scheme must be https (or http to a loopback address)")),
    }
}

fn parse_proxy(url: &str) -> Result<Proxy, RestError> {
    let shown = url.rsplit('@').next().unwrap_or("").to_owned();
    let bad = |why: String| RestError::Proxy { url: shown.clone(), why };
    if !url.starts_with("http://") {
        return Err(bad("the scheme must be http".into()));
    }
    Proxy::new(url).map_err(|e| bad(e.to_string()))
}

fn read_bounded(
    mut from: impl Read,
    limit: usize,
    url: &str,
    what: &'static str,
    limits: &RestLimits,
) -> Result<Vec<u8>, RestError> {
    let mut out = Vec::new();
    let mut buf = vec![0u8; 64 << 10];
    loop {
        match from.read(&mut buf) {
            Ok(0) => return Ok(out),
            Ok(n) if out.len() + n > limit => {
                return Err(RestError::TooLarge { url: url.into(), what, limit });
            }
            Ok(n) => out.extend_from_slice(&buf[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(map_error(url, e.into(), limits)),
        }
    }
}

/// Decompresses within the limits: stops at the first block beyond them.
pub(super) fn gunzip(raw: &[u8], url: &str, limits: &RestLimits) -> Result<Vec<u8>, RestError> {
    let by_ratio = raw.len().saturating_mul(limits.ratio).max(limits.ratio_floor);
    let limit = limits.decoded_bytes.min(by_ratio);
    let mut decoder = MultiGzDecoder::new(raw);
    let mut out = Vec::new();
    let mut buf = vec![0u8; 64 << 10];
    loop {
        match decoder.read(&mut buf) {
            Ok(0) => return Ok(out),
            Ok(n) if out.len() + n > limit => {
                return Err(RestError::TooLarge { url: url.into(), what: "decompressed body", limit });
            }
            Ok(n) => out.extend_from_slice(&buf[..n]),
            Err(e) => return Err(RestError::Protocol { url: url.into(), why: format!("gzip: {e}") }),
        }
    }
}

/// The plain-HTTP refusal on its way through the HTTP library.
#[derive(Debug, thiserror::Error)]
#[error("plain http to an address that is not loopback")]
struct PlainRefused;

fn map_error(url: &str, e: ureq::Error, limits: &RestLimits) -> RestError {
    let url = url.to_owned();
    let why = e.to_string();
    match e {
        ureq::Error::Timeout(_) => RestError::Timeout { url, why },
        ureq::Error::Rustls(_) | ureq::Error::Tls(_) | ureq::Error::TlsRequired => {
            RestError::Tls { url, why }
        }
        ureq::Error::Io(io) => match io.get_ref() {
            Some(inner) if inner.is::<rustls::Error>() => RestError::Tls { url, why: inner.to_string() },
            _ => RestError::Transport { url, why: io.to_string() },
        },
        ureq::Error::Other(o) if o.is::<PlainRefused>() => RestError::NotLoopback { url },
        ureq::Error::Other(o) if o.is::<TlsError>() => RestError::Tls { url, why: o.to_string() },
        ureq::Error::LargeResponseHeader(..) => {
            RestError::TooLarge { url, what: "head", limit: limits.head_bytes }
        }
        ureq::Error::HostNotFound | ureq::Error::ConnectionFailed | ureq::Error::ConnectProxyFailed(_) => {
            RestError::Transport { url, why }
        }
        _ => RestError::Protocol { url, why },
    }
}

/// First of the chain: lets plain HTTP through to loopback addresses only.
#[derive(Debug)]
struct Gate {
    plain: bool,
}

impl Connector<()> for Gate {
    type Out = ();

    fn connect(&self, details: &ConnectionDetails, chained: Option<()>) -> Result<Option<()>, ureq::Error> {
        // With an https base the only plain connection is the one to the proxy.
        if self.plain && details.addrs.iter().any(|a| !a.ip().is_loopback()) {
            return Err(ureq::Error::Other(Box::new(PlainRefused)));
        }
        Ok(chained)
    }
}

/// Last of the chain: TLS by our own setup. The library's own connector takes either its roots or ours, never both.
#[derive(Debug)]
struct Tls {
    setup: TlsSetup,
}

impl<In: Transport> Connector<In> for Tls {
    type Out = Either<In, TlsTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else { return Ok(None) };
        if !details.needs_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let host = details.uri.host().unwrap_or("");
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let session = self.setup.client(host).map_err(|e| ureq::Error::Other(Box::new(e)))?;
        let mut socket = TransportAdapter::new(boxed(transport), Arc::clone(&details.current_time));
        socket.set_timeout(details.timeout);
        let mut stream = rustls::StreamOwned::new(session, socket);
        stream.conn.complete_io(&mut stream.sock)?;
        let buffers =
            LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Either::B(TlsTransport { buffers, stream })))
    }
}

fn boxed<T: Transport>(t: T) -> Box<dyn Transport> {
    Box::new(t)
}

struct TlsTransport {
    buffers: LazyBuffers,
    stream: rustls::StreamOwned<rustls::ClientConnection, TransportAdapter>,
}

impl std::fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsTransport")
    }
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.sock.set_timeout(timeout);
        let output = &self.buffers.output()[..amount];
        self.stream.write_all(output)?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.sock.set_timeout(timeout);
        let input = self.buffers.input_append_buf();
        let amount = self.stream.read(input)?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.sock.get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
