//! Who may ask, and what.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Bytes that a path with its query may have.
const URI_BYTES_MAX: usize = 2048;

/// Turns away what is not a plain question from this machine.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    let mut response = match refusal(&request) {
        Some((status, why)) => (status, why).into_response(),
        None => next.run(request).await,
    };
    let h = response.headers_mut();
    h.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    h.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    h.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    );
    response
}

fn refusal(r: &Request) -> Option<(StatusCode, &'static str)> {
    if r.method() != Method::GET && r.method() != Method::HEAD {
        return Some((StatusCode::METHOD_NOT_ALLOWED, "this server is read only: GET or HEAD\n"));
    }
    if r.uri().path_and_query().is_some_and(|p| p.as_str().len() > URI_BYTES_MAX) {
        return Some((StatusCode::URI_TOO_LONG, "the path is too long\n"));
    }
    if r.headers().contains_key(header::ORIGIN) {
        return Some((StatusCode::FORBIDDEN, "web pages may not ask\n"));
    }
    if planted!("any_host_may_ask", false, !host_is_this_machine(r.headers())) {
        return Some((StatusCode::MISDIRECTED_REQUEST, "Host must be 127.0.0.1, [::1] or localhost\n"));
    }
    None
}

/// One `Host` header that names loopback. A page whose name was rebound to 127.0.0.1 sends its own name.
fn host_is_this_machine(h: &HeaderMap) -> bool {
    let mut all = h.get_all(header::HOST).iter();
    let (Some(host), None) = (all.next(), all.next()) else { return false };
    let Ok(host) = host.to_str() else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') && port.parse::<u16>().is_ok() => name,
        _ => host,
    };
    let name = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_hosts_pass() {
        let ok = |hosts: &[&str]| {
            let mut h = HeaderMap::new();
            hosts.iter().for_each(|x| {
                h.append(header::HOST, HeaderValue::from_str(x).unwrap());
            });
            host_is_this_machine(&h)
        };
        for good in ["127.0.0.1", "127.0.0.1:9464", "localhost:1", "LOCALHOST", "[::1]", "[::1]:9464"] {
            assert!(ok(&[good]), "{good}");
        }
        for bad in [
            "",
            "evil.com",
            "127.0.0.1.evil.com",
            "localhost.evil.com:80",
            "10.0.0.1",
            "[::2]:1",
            "127.0.0.1:x",
        ] {
            assert!(!ok(&[bad]), "{bad}");
        }
        assert!(!ok(&[]));
        assert!(!ok(&["localhost", "evil.com"]));
    }
}
