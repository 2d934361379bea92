//! A certificate authority for tests, and TLS servers under it.

use std::net::TcpStream;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// One authority.
pub(crate) struct TestCa(CertifiedIssuer<'static, KeyPair>);

/// A server's certificate and key.
pub(crate) struct TestCert {
    cert: CertificateDer<'static>,
    key: KeyPair,
}

pub(crate) type TlsServer = StreamOwned<ServerConnection, TcpStream>;

impl TestCa {
    pub(crate) fn new() -> Self {
        let mut p = CertificateParams::new(Vec::new()).unwrap();
        p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        TestCa(CertifiedIssuer::self_signed(p, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    pub(crate) fn issue(&self, host: &str) -> TestCert {
        self.issue_with(host, |_| {})
    }

    pub(crate) fn issue_with(&self, host: &str, change: impl FnOnce(&mut CertificateParams)) -> TestCert {
        let mut p = CertificateParams::new(vec![host.to_owned()]).unwrap();
        change(&mut p);
        let key = KeyPair::generate().unwrap();
        let cert = p.signed_by(&key, &self.0).unwrap();
        TestCert { cert: cert.der().clone(), key }
    }
}

impl TestCert {
    pub(crate) fn config(&self, versions: &[&'static rustls::SupportedProtocolVersion]) -> Arc<ServerConfig> {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        Arc::new(
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_protocol_versions(versions)
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![self.cert.clone()], key)
                .unwrap(),
        )
    }
}

/// The server side of TLS over an accepted socket.
pub(crate) fn tls_server(config: Arc<ServerConfig>, s: TcpStream) -> TlsServer {
    StreamOwned::new(ServerConnection::new(config).unwrap(), s)
}
