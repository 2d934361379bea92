//! How we check who is at the other end. There is no switch that turns it off: a test's CA is *added*.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// Roots, provider and versions, shared by all connections of the process.
#[derive(Clone)]
pub struct TlsSetup {
    config: Arc<ClientConfig>,
}

impl std::fmt::Debug for TlsSetup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsSetup")
    }
}

/// Why a TLS setup or connection cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The extra CA is no PEM with certificates.
    #[error("extra CA: {0}")]
    ExtraCa(String),
    /// The host cannot stand in a certificate.
    #[error("{0:?} cannot be the name of a TLS server")]
    ServerName(String),
    /// The library refuses.
    #[error("TLS: {0}")]
    Rustls(#[from] rustls::Error),
}

impl TlsSetup {
    /// Mozilla's roots plus the certificates of `extra_ca_pem`; TLS 1.2 and 1.3 by ring.
    ///
    /// # Errors
    /// [`TlsError::ExtraCa`] for a PEM without a usable certificate.
    pub fn new(extra_ca_pem: &[Vec<u8>]) -> Result<TlsSetup, TlsError> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for pem in extra_ca_pem {
            let mut added = 0;
            for cert in CertificateDer::pem_slice_iter(pem) {
                let cert = cert.map_err(|e| TlsError::ExtraCa(format!("{e:?}")))?;
                roots.add(cert).map_err(|e| TlsError::ExtraCa(e.to_string()))?;
                added += 1;
            }
            if added == 0 {
                return Err(TlsError::ExtraCa("no certificate in the PEM".into()));
            }
        }
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(TlsSetup { config: Arc::new(config) })
    }

    /// The client side of a session with `host` (a name or a literal address), which the certificate must name.
    ///
    /// # Errors
    /// A host that no certificate can name.
    pub(crate) fn client(&self, host: &str) -> Result<ClientConnection, TlsError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| TlsError::ServerName(host.into()))?;
        Ok(ClientConnection::new(self.config.clone(), name)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pem_without_certificates_is_refused() {
        assert!(matches!(TlsSetup::new(&[b"hello".to_vec()]), Err(TlsError::ExtraCa(_))));
        assert!(TlsSetup::new(&[]).is_ok());
    }

    #[test]
    fn names_that_no_certificate_can_bear_are_refused() {
        let t = TlsSetup::new(&[]).unwrap();
        assert!(matches!(t.client("a b"), Err(TlsError::ServerName(_))));
        assert!(t.client("127.0.0.1").is_ok());
    }
}
