//! A made-up authority and a certificate of it, for tests that want real TLS. Made anew at each start, never stored but for
//! the authority's certificate, which the client must be told to trust.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::config::{SimError, TlsConfig};

/// What the server needs, and what the client must trust.
pub(super) struct Made {
    pub acceptor: TlsAcceptor,
    pub ca_pem: String,
}

/// Makes authority and certificate, and writes the authority's if a path is given.
pub(super) fn make(cfg: &TlsConfig, listen: std::net::IpAddr) -> Result<Made, SimError> {
    let tls = |e: &dyn std::fmt::Display| SimError::Tls { what: e.to_string() };
    let mut ca = CertificateParams::new(Vec::<String>::new()).map_err(|e| tls(&e))?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    ca.distinguished_name.push(DnType::CommonName, "Lobtape simulated venue, test authority");
    let ca_key = KeyPair::generate().map_err(|e| tls(&e))?;
    let ca_cert = ca.self_signed(&ca_key).map_err(|e| tls(&e))?;
    let issuer = Issuer::new(ca, ca_key);
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    if !listen.is_unspecified() && !names.contains(&listen.to_string()) {
        names.push(listen.to_string());
    }
    names.extend(cfg.names.iter().cloned());
    let mut leaf = CertificateParams::new(names).map_err(|e| tls(&e))?;
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    let leaf_key = KeyPair::generate().map_err(|e| tls(&e))?;
    let leaf_cert = leaf.signed_by(&leaf_key, &issuer).map_err(|e| tls(&e))?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
    let chain = vec![leaf_cert.der().clone(), ca_cert.der().clone()];
    let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| tls(&e))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| tls(&e))?;
    let ca_pem = ca_cert.pem();
    if let Some(path) = &cfg.ca_path {
        std::fs::write(path, &ca_pem)
            .map_err(|e| SimError::io(format!("writing the test authority to {}", path.display()), e))?;
    }
    Ok(Made { acceptor: TlsAcceptor::from(Arc::new(server)), ca_pem })
}
