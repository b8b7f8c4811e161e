//! Certificates of clients. Those in `tests/data/serve` were made for this test and are good for nothing else.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::client::{Answer, PATIENCE, request};
use super::server::{Options, Server, event};

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/serve").join(name)
}

fn certificate(name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(file(name)).unwrap()
}

/// What a client with this certificate, or without one, speaks with.
pub fn client_config(shown: Option<&str>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(certificate("ca.pem")).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    match shown {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let key = PrivateKeyDer::from_pem_file(file(&format!("{name}.key"))).unwrap();
            builder.with_client_auth_cert(vec![certificate(&format!("{name}.pem"))], key).unwrap()
        }
    }
}

/// SHA-256 of a certificate, as configurations write it.
pub fn digest(name: &str) -> String {
    Sha256::digest(certificate(&format!("{name}.pem"))).iter().map(|b| format!("{b:02x}")).collect()
}

/// The section of a configuration, with clients.
pub fn section(clients: &str) -> String {
    format!(
        "tls: {{certificate: {}, key: {}, client_ca: {}, clients: [{clients}]}}",
        file("server.pem").display(),
        file("server.key").display(),
        file("ca.pem").display()
    )
}

/// Asks over TLS, with a certificate or without; `None` where there is no talking.
fn ask(address: SocketAddr, shown: Option<&str>, bytes: &[u8]) -> Option<Answer> {
    let config = client_config(shown);
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut stream = StreamOwned::new(connection, stream);
    stream.write_all(bytes).ok()?;
    Answer::read(&mut stream)
}

#[test]
fn a_client_is_known_by_its_certificate_and_a_stranger_is_not_greeted() {
    let (digest, tls) = (digest("client"), section);
    let exact = format!("{{name: envoy, sha256: {digest}, may: [decide]}}");
    let body = event("e", "a", "");
    let decide = request("POST", "/v1/decide", &[("content-type", "application/json")], body.as_bytes());
    let rules = request("GET", "/v1/rules", &[], b"");
    let server = Server::start(&Options { config: &tls(&exact), ..Options::default() });
    assert_eq!(ask(server.address, Some("client"), &decide).unwrap().status, 200);
    assert_eq!(ask(server.address, Some("client"), &rules).unwrap().status, 403, "it may decide alone");
    assert!(ask(server.address, Some("stranger"), &decide).is_none(), "of another authority");
    assert!(ask(server.address, None, &decide).is_none(), "without a certificate");
    let plain = server.connect().call_or_none("GET", "/healthz", &[], b"");
    assert!(plain.is_none(), "no plain text on this port");

    let other = format!("{{name: other, sha256: '{}', may: [decide]}}", "0".repeat(64));
    let server = Server::start(&Options { config: &tls(&other), ..Options::default() });
    assert_eq!(ask(server.address, Some("client"), &decide).unwrap().status, 401, "another certificate is named");

    // With keys beside, a client may show neither, and is then told so.
    let both = format!(
        "{}\nkeys: [{{name: k, sha256: '{}', may: [decide]}}]",
        tls("{name: any, may: [read]}"),
        "1".repeat(64)
    );
    let server = Server::start(&Options { config: &both, ..Options::default() });
    assert_eq!(ask(server.address, None, &decide).unwrap().status, 401);
    assert_eq!(ask(server.address, Some("client"), &rules).unwrap().status, 200, "any certificate of the authority");
}
