//! A TLS proxy in front of a CSP that demands a client certificate.

use std::path::Path;
use std::sync::Arc;

use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::CertifiedIssuer;
use rcgen::IsCa;
use rcgen::KeyPair;
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A proxy that terminates TLS and forwards the plain bytes.
pub struct TlsProxy {
    pub origin: String,
    task: JoinHandle<()>,
}

impl TlsProxy {
    /// Starts a proxy for the address `behind`. Writes `ca.pem`, and
    /// `client.pem` with `client.key` for permitted clients, into `folder`.
    /// Returns the key.
    pub async fn start(behind: &str, folder: &Path) -> (Self, String) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut params = CertificateParams::new(Vec::new()).expect("no names are good names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key can be made");
        let authority = CertifiedIssuer::self_signed(params, key).expect("it can be signed");
        let issue = |name: &str| {
            let key = KeyPair::generate().expect("a key can be made");
            let params = CertificateParams::new(vec![name.to_owned()]).expect("a good name");
            (params.signed_by(&key, &authority).expect("it can be signed"), key)
        };
        let (server, server_key) = issue("127.0.0.1");
        let (client, client_key) = issue("hoth.example.com");
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).expect("a good root");
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build();
        let server_key = PrivateKeyDer::try_from(server_key.serialize_der()).expect("a good key");
        let config = ServerConfig::builder()
            .with_client_cert_verifier(verifier.expect("a good verifier"))
            .with_single_cert(vec![server.der().clone()], server_key)
            .expect("a good certificate");
        let client_key = client_key.serialize_pem();
        for (name, pem) in [
            ("ca.pem", authority.pem()),
            ("client.pem", client.pem()),
            ("client.key", client_key.clone()),
        ] {
            std::fs::write(folder.join(name), pem).expect("a file can be written");
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let origin = format!("https://{}", listener.local_addr().expect("it is bound"));
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let behind = behind.to_owned();
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, behind) = (acceptor.clone(), behind.clone());
                tokio::spawn(async move {
                    // A refused client sees the failed handshake itself.
                    let Ok(mut socket) = acceptor.accept(socket).await else { return };
                    let Ok(mut csp) = TcpStream::connect(behind).await else { return };
                    // Either side may end the connection.
                    let _ = tokio::io::copy_bidirectional(&mut socket, &mut csp).await;
                });
            }
        });
        (Self { origin, task }, client_key)
    }
}

impl Drop for TlsProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}
