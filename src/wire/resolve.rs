//! Names to addresses, on the control side: a lookup blocks, and a reader must not.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

/// All addresses of a host, in the order of the resolver; never empty.
///
/// # Errors
/// The name does not resolve (the error names it).
pub fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let found: Vec<_> = (host, port)
        .to_socket_addrs()
        .map_err(|e| io::Error::new(e.kind(), format!("{host}:{port} does not resolve: {e}")))?
        .collect();
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("{host}:{port} has no address")));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_need_no_resolver() {
        assert_eq!(resolve("127.0.0.1", 1).unwrap(), ["127.0.0.1:1".parse().unwrap()]);
        assert_eq!(resolve("::1", 2).unwrap(), ["[::1]:2".parse().unwrap()]);
    }

    #[test]
    fn a_bad_name_is_an_error_that_names_it() {
        let e = resolve("no such host", 1).unwrap_err();
        assert!(e.to_string().contains("no such host"));
    }
}
