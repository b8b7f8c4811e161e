//! TLS, and certificates of clients.

use std::path::Path;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, ServerConnection};

use super::config::{ConfigError, Tls};

/// Makes what greets clients. `protocols` are offered in the handshake. Where there are API keys a client need not show a
/// certificate.
pub(crate) fn acceptor(tls: &Tls, keys_too: bool, protocols: &[&[u8]]) -> Result<TlsAcceptor, ConfigError> {
    let chain = certificates("tls.certificate", &tls.certificate)?;
    let bytes = bytes("tls.key", &tls.key)?;
    let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|e| {
        let what = format!("`tls.key` in `{}` is no private key: {e}", tls.key.display());
        ConfigError::new(what, "name a PEM file with a line `-----BEGIN PRIVATE KEY-----`")
    })?;
    let provider = Arc::new(ring::default_provider());
    let broken = |key: &str, path: &Path, e: &dyn std::fmt::Display| {
        let what = format!("`{key}` in `{}` cannot be used: {e}", path.display());
        ConfigError::new(what, "name certificate and key that belong together, both PEM")
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(|e| broken("tls.certificate", &tls.certificate, &e))?;
    let builder = match &tls.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for root in certificates("tls.client_ca", path)? {
                roots.add(root).map_err(|e| broken("tls.client_ca", path, &e))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = if keys_too { verifier.allow_unauthenticated() } else { verifier };
            builder.with_client_cert_verifier(verifier.build().map_err(|e| broken("tls.client_ca", path, &e))?)
        }
    };
    let config = builder.with_single_cert(chain, key);
    let mut config = config.map_err(|e| broken("tls.certificate", &tls.certificate, &e))?;
    config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// SHA-256 of the certificate that a client has shown.
pub(crate) fn certificate(connection: &ServerConnection) -> Option<[u8; 32]> {
    let first = connection.peer_certificates()?.first()?;
    Some(Sha256::digest(first.as_ref()).into())
}

fn bytes(key: &str, path: &Path) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(path).map_err(|e| {
        let what = format!("`{key}` cannot be read from `{}`: {e}", path.display());
        ConfigError::new(what, "check the path, which is relative to the configuration, and who may read the file")
    })
}

fn certificates(key: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let bytes = bytes(key, path)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match read {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(ConfigError::new(
            format!("`{key}` in `{}` holds no certificate", path.display()),
            "name a PEM file with a line `-----BEGIN CERTIFICATE-----`",
        )),
        Err(e) => Err(ConfigError::new(
            format!("`{key}` in `{}` is no certificate: {e}", path.display()),
            "name a PEM file with a line `-----BEGIN CERTIFICATE-----`",
        )),
    }
}
