//! Values written as text: durations, sizes, addresses, bases of URLs.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

/// A length of time as `"1h"`, `"100ms"`, `"-1h30m"`: whole numbers with units `ns us ms s m h d`, `"0"` alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration {
    /// Nanoseconds; negative only where the key says so.
    pub ns: i64,
}

impl Duration {
    /// Reads one.
    ///
    /// # Errors
    /// What would be right, for people.
    pub fn parse(text: &str) -> Result<Duration, String> {
        let wrong = || {
            format!(
                "{text:?} is no duration; write a whole number and a unit (ns, us, ms, s, m, h, d), like \"1h\""
            )
        };
        let (sign, mut rest) = match text.strip_prefix('-') {
            Some(r) => (-1i64, r),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        if rest == "0" {
            return Ok(Duration { ns: 0 });
        }
        let mut ns: i64 = 0;
        if rest.is_empty() {
            return Err(wrong());
        }
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let n: i64 = rest[..digits].parse().map_err(|_| wrong())?;
            rest = &rest[digits..];
            let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
            let unit: i64 = match &rest[..letters] {
                "ns" => 1,
                "us" => 1_000,
                "ms" => 1_000_000,
                "s" => 1_000_000_000,
                "m" => 60_000_000_000,
                "h" => 3_600_000_000_000,
                "d" => 86_400_000_000_000,
                _ => return Err(wrong()),
            };
            rest = &rest[letters..];
            ns = n
                .checked_mul(unit)
                .and_then(|x| ns.checked_add(x))
                .ok_or_else(|| format!("{text:?} is too long"))?;
        }
        Ok(Duration { ns: sign * ns })
    }
}

/// A number of bytes as `"2TB"`, `"64MiB"` or a plain integer. kB, MB … are powers of 1000, KiB, MiB … of 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size {
    /// Bytes.
    pub bytes: u64,
}

impl Size {
    /// Reads one.
    ///
    /// # Errors
    /// What would be right, for people.
    pub fn parse(text: &str) -> Result<Size, String> {
        let wrong = || {
            format!(
                "{text:?} is no size; write a whole number and a unit (B, kB, MB, GB, TB, KiB, MiB, GiB, TiB), like \"64MiB\""
            )
        };
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let n: u64 = text[..digits].parse().map_err(|_| wrong())?;
        let unit: u64 = match text[digits..].trim_start() {
            "" | "B" => 1,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "TB" => 1_000_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            _ => return Err(wrong()),
        };
        let bytes = n.checked_mul(unit).ok_or_else(|| format!("{text:?} is too large"))?;
        Ok(Size { bytes })
    }
}

struct TextVisitor<T> {
    expecting: &'static str,
    parse: fn(&str) -> Result<T, String>,
    integer: Option<fn(i64) -> Result<T, String>>,
}

impl<T> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_str<E: Error>(self, s: &str) -> Result<T, E> {
        (self.parse)(s).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, n: i64) -> Result<T, E> {
        match self.integer {
            Some(f) => f(n).map_err(E::custom),
            None => Err(E::invalid_type(Unexpected::Signed(n), &self)),
        }
    }
}

fn text<'de, D: Deserializer<'de>, T>(
    d: D,
    expecting: &'static str,
    parse: fn(&str) -> Result<T, String>,
) -> Result<T, D::Error> {
    d.deserialize_any(TextVisitor { expecting, parse, integer: None })
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        text(d, "a duration like \"1h\"", Duration::parse)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Size, D::Error> {
        let integer: fn(i64) -> Result<Size, String> = |n| {
            u64::try_from(n).map(|bytes| Size { bytes }).map_err(|_| "a size cannot be negative".to_owned())
        };
        d.deserialize_any(TextVisitor {
            expecting: "a size like \"64MiB\"",
            parse: Size::parse,
            integer: Some(integer),
        })
    }
}

/// An address on loopback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listen(pub SocketAddr);

impl Listen {
    fn parse(s: &str) -> Result<Listen, String> {
        let addr: SocketAddr =
            s.parse().map_err(|_| format!("{s:?} is no address; write one like \"127.0.0.1:9464\""))?;
        if !addr.ip().is_loopback() {
            return Err(format!(
                "{s:?} can be reached from other machines; only loopback (127.0.0.1, [::1]) is served, put a \
                 proxy that checks who asks in front of it"
            ));
        }
        Ok(Listen(addr))
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Listen, D::Error> {
        text(d, "an address like \"127.0.0.1:9464\"", Listen::parse)
    }
}

/// Scheme, authority and path of a URL that is nothing more.
fn split_url<'a>(s: &'a str, secure: &str, plain: &str) -> Result<(&'a str, &'a str, &'a str), String> {
    let wrong = || {
        format!(
            "{s:?} is no base of URLs; write one like \"{secure}://host\" or \"{plain}://127.0.0.1:8080\""
        )
    };
    let (scheme, rest) = s.split_once("://").ok_or_else(wrong)?;
    if scheme != secure && scheme != plain {
        return Err(wrong());
    }
    if rest.bytes().any(|b| b <= b' ' || b >= 0x7f || matches!(b, b'?' | b'#' | b'"' | b'\\')) {
        return Err(wrong());
    }
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err(format!("{scheme}://…@… carries credentials; secrets have no place in this file"));
    }
    let host = host_of(authority).ok_or_else(wrong)?;
    Ok((scheme, host, path))
}

/// The host of `host`, `host:port`, `[v6]:port`; `None` if it is neither.
fn host_of(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(r) => {
            let (h, after) = r.split_once(']')?;
            h.parse::<std::net::Ipv6Addr>().ok()?;
            (h, after.strip_prefix(':').or_else(|| after.is_empty().then_some("0"))?)
        }
        None => authority.split_once(':').unwrap_or((authority, "0")),
    };
    (!host.is_empty() && port.parse::<u16>().is_ok()).then_some(host)
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn base(s: &str, secure: &str, plain: &str) -> Result<String, String> {
    let s = s.trim_end_matches('/');
    let (scheme, host, _) = split_url(s, secure, plain)?;
    if scheme == plain && !is_loopback(host) {
        return Err(format!("{s:?}: plain {plain} goes to loopback only; use {secure}"));
    }
    Ok(s.to_owned())
}

/// Base of REST URLs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RestBase(pub String);

impl<'de> Deserialize<'de> for RestBase {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<RestBase, D::Error> {
        text(d, "a URL like \"https://host\"", |s| base(s, "https", "http").map(RestBase))
    }
}

/// Base of WebSocket URLs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WsBase(pub String);

impl<'de> Deserialize<'de> for WsBase {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<WsBase, D::Error> {
        text(d, "a URL like \"wss://host\"", |s| base(s, "wss", "ws").map(WsBase))
    }
}

/// `http://host:port` of a proxy, kept as `host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proxy(pub String);

impl Proxy {
    fn parse(s: &str) -> Result<Proxy, String> {
        let wrong = || format!("{s:?} is no proxy; write one like \"http://127.0.0.1:3128\"");
        let s = s.trim_end_matches('/');
        let (scheme, _, path) =
            split_url(s, "http", "http").map_err(|e| if e.contains('@') { e } else { wrong() })?;
        let authority = s.strip_prefix(scheme).and_then(|r| r.strip_prefix("://")).unwrap_or_default();
        if !path.is_empty()
            || !authority.rsplit_once(':').is_some_and(|(_, p)| p.parse::<u16>().is_ok_and(|p| p > 0))
        {
            return Err(wrong());
        }
        Ok(Proxy(authority.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Proxy {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Proxy, D::Error> {
        text(d, "a URL like \"http://127.0.0.1:3128\"", Proxy::parse)
    }
}
