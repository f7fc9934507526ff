//! TLS servers, certificate authorities, and a proxy.

use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::CertifiedIssuer;
use rcgen::IsCa;
use rcgen::KeyPair;
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// The host name of every server in this module.
pub const NAME: &str = "csp-a.example.com";

/// A certificate authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Writes the authority's own certificate.
    pub fn write(&self, path: &Path) {
        std::fs::write(path, self.0.pem()).unwrap();
    }

    /// Writes a certificate for `name`, and its key.
    pub fn issue(&self, name: &str, certificate: &Path, key: &Path) {
        let pair = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        std::fs::write(certificate, params.signed_by(&pair, &self.0).unwrap().pem()).unwrap();
        std::fs::write(key, pair.serialize_pem()).unwrap();
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        Arc::new(roots)
    }

    /// Returns the configuration of a server called [`NAME`]. With `clients`, the
    /// server requires a client certificate of that authority.
    pub fn server_config(&self, clients: Option<&Authority>) -> ServerConfig {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let pair = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        let certificate = params.signed_by(&pair, &self.0).unwrap();
        let key = PrivateKeyDer::try_from(pair.serialize_der()).unwrap();
        let builder = match clients {
            None => ServerConfig::builder().with_no_client_auth(),
            Some(clients) => {
                let verifier = WebPkiClientVerifier::builder(clients.roots()).build().unwrap();
                ServerConfig::builder().with_client_cert_verifier(verifier)
            }
        };
        builder.with_single_cert(vec![certificate.der().clone()], key).unwrap()
    }
}

/// The time before a response, so that its call is slow, and its connection is
/// put aside meanwhile.
const LATE: Duration = Duration::from_millis(20);

/// A TLS server that responds with 200 to each client that it accepts.
pub struct TlsServer {
    pub port: u16,
    task: JoinHandle<()>,
}

impl TlsServer {
    pub async fn start(authority: &Authority, clients: Option<&Authority>) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(authority.server_config(clients)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // A refused client learns that from the failed handshake.
                    let Ok(mut socket) = acceptor.accept(socket).await else { return };
                    let head = read_head(&mut socket).await;
                    assert!(head.contains(NAME), "{head}");
                    tokio::time::sleep(LATE).await;
                    let answer =
                        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
                    socket.write_all(answer.as_bytes()).await.unwrap();
                    socket.shutdown().await.unwrap();
                });
            }
        });
        Self { port, task }
    }

    pub fn url(&self) -> String {
        format!("https://{NAME}:{}", self.port)
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A proxy that connects to the requested port on this machine, or responds with
/// `refusal`.
pub struct Proxy {
    pub port: u16,
    heads: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub async fn start(refusal: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn({
            let heads = Arc::clone(&heads);
            async move {
                loop {
                    let (socket, _) = listener.accept().await.unwrap();
                    tokio::spawn(forward(socket, refusal, Arc::clone(&heads)));
                }
            }
        });
        Self { port, heads, task }
    }

    /// Returns the request heads that the proxy got.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(
    mut socket: TcpStream,
    refusal: Option<&'static str>,
    heads: Arc<Mutex<Vec<String>>>,
) {
    let head = read_head(&mut socket).await;
    let port = head.lines().next().unwrap().split([':', ' ']).nth(2).unwrap().parse::<u16>();
    heads.lock().unwrap().push(head);
    if let Some(refusal) = refusal {
        socket.write_all(refusal.as_bytes()).await.unwrap();
        return;
    }
    let mut peer = TcpStream::connect(("127.0.0.1", port.unwrap())).await.unwrap();
    socket.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await.unwrap();
    // Either side may end the connection in any way.
    let _ = tokio::io::copy_bidirectional(&mut socket, &mut peer).await;
}

async fn read_head(socket: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match socket.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}
