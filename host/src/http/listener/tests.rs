//! Connections as clients make them, well-behaved and otherwise.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use expect_test::expect;
use http::Request;
use http::Response;
use http_body_util::Full;
use hyper::body::Incoming;
use rcgen::CertifiedKey;
use rcgen::KeyPair;
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::ServerName;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use super::*;

/// How long anything may take that ends by itself.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long to watch for something that must not happen.
const MOMENT: Duration = Duration::from_millis(200);

/// More than the kernel keeps for a client that does not read.
const LARGE: usize = 32 * 1_024 * 1_024;

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// A listener whose every answer has `bytes` bytes.
struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    departures: Arc<Mutex<Vec<oneshot::Receiver<()>>>>,
}

impl Server {
    async fn start(bytes: usize, connections: usize, timeouts: Timeouts, tls: Option<Tls>) -> Self {
        let listener = Listener::bind(([127, 0, 0, 1], 0).into(), connections).await.unwrap();
        let listener = listener.with_timeouts(timeouts).with_tls(tls);
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let departures = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&departures);
        let service = tower::service_fn(move |_: Request<Incoming>| {
            let (departure, left) = Departure::new();
            seen.lock().unwrap().push(left);
            let mut response = Response::new(Full::new(Bytes::from(vec![b'x'; bytes])));
            response.extensions_mut().insert(departure);
            async move { Ok::<_, Infallible>(response) }
        });
        tokio::spawn(listener.serve(service, stop.clone()));
        Self { address, stop, departures }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A connection that takes little before its client reads, however large
    /// the buffers are that the kernel would give it.
    async fn connect_narrowly(&self) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 << 10).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    /// The latest answer's departure, once its request has been taken.
    async fn departure(&self) -> oneshot::Receiver<()> {
        let begun = Instant::now();
        loop {
            if let Some(left) = self.departures.lock().unwrap().pop() {
                return left;
            }
            assert!(begun.elapsed() < PATIENCE, "the request was not taken");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A certificate for `localhost`, and what trusts it.
fn certificate() -> (ServerConfig, RootCertStore) {
    let (directory, config, roots) = certificate_files();
    let opened = config.open().unwrap();
    drop(directory);
    (opened, roots)
}

fn certificate_files() -> (tempfile::TempDir, TlsConfig, RootCertStore) {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let config = TlsConfig {
        certificate: directory.path().join("cert.pem"),
        key: directory.path().join("key.pem"),
    };
    std::fs::write(&config.certificate, cert.pem()).unwrap();
    std::fs::write(&config.key, signing_key.serialize_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(cert)).unwrap();
    (directory, config, roots)
}

async fn shake<T: AsyncRead + AsyncWrite + Unpin>(
    stream: T,
    roots: &RootCertStore,
) -> std::io::Result<TlsStream<T>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// Asks, and reads the whole answer.
async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> usize {
    try_ask(stream).await.unwrap()
}

/// Does the same on a connection that may have been cut off.
async fn try_ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> std::io::Result<usize> {
    stream.write_all(GET).await?;
    try_read_answer(stream).await
}

/// The number of bytes in the answer's body.
async fn read_answer(stream: &mut (impl AsyncRead + Unpin)) -> usize {
    try_read_answer(stream).await.unwrap()
}

async fn try_read_answer(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<usize> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let length: usize = length.parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(length)
}

/// Makes connections until one is quick enough for a server with short
/// timeouts: on a busy machine a lawful client may be cut off, too.
async fn quick<S>(mut connect: impl AsyncFnMut() -> std::io::Result<S>) -> S {
    let begun = Instant::now();
    loop {
        match connect().await {
            Ok(stream) => return stream,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "never served: {error}"),
        }
    }
}

/// Returns when the other end has closed the connection.
async fn closed(stream: &mut (impl AsyncRead + Unpin)) {
    let mut rest = [0; 1024];
    let end = async { while !matches!(stream.read(&mut rest).await, Ok(0) | Err(_)) {} };
    tokio::time::timeout(PATIENCE, end).await.expect("the connection ends");
}

/// A large answer is not reported as gone before the client has taken it, and
/// is when it has.
async fn leaves_when_it_is_read(
    server: &Server,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
) {
    stream.write_all(GET).await.unwrap();
    let mut left = server.departure().await;
    assert!(tokio::time::timeout(MOMENT, &mut left).await.is_err(), "it has not been read");
    assert_eq!(read_answer(stream).await, LARGE);
    let left = tokio::time::timeout(PATIENCE, left).await;
    left.expect("it has been read").expect("it has left");
}

/// Nor is it when the client goes away instead.
async fn stays_when_the_client_goes(
    server: &Server,
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
) {
    stream.write_all(GET).await.unwrap();
    let left = server.departure().await;
    drop(stream);
    let left = tokio::time::timeout(PATIENCE, left).await;
    assert!(left.expect("the connection is broken").is_err());
}

#[tokio::test]
async fn a_response_has_left_when_the_kernel_has_its_last_byte() {
    let server = Server::start(LARGE, 10, Timeouts::default(), None).await;
    leaves_when_it_is_read(&server, &mut server.connect_narrowly().await).await;
    stays_when_the_client_goes(&server, server.connect_narrowly().await).await;
}

#[tokio::test]
async fn a_response_over_tls_has_left_when_the_kernel_has_its_last_byte() {
    let (config, roots) = certificate();
    let server = Server::start(LARGE, 10, Timeouts::default(), Some(Tls::new(config))).await;
    let mut stream = shake(server.connect_narrowly().await, &roots).await.unwrap();
    leaves_when_it_is_read(&server, &mut stream).await;
    stays_when_the_client_goes(&server, stream).await;
}

/// To the byte: as long as one record has not been written to what is below,
/// a TLS stream's flush does not end.
#[tokio::test]
async fn a_flush_over_tls_waits_for_the_last_record() {
    let (config, roots) = certificate();
    let (client, server) = tokio::io::duplex(4 * 1_024);
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let (client, server) = tokio::join!(shake(client, &roots), acceptor.accept(server));
    let (mut client, mut server) = (client.unwrap(), server.unwrap());
    let sent = vec![b'x'; 16 * 1_024];
    server.write_all(&sent).await.unwrap();
    let mut flush = std::pin::pin!(server.flush());
    assert!(tokio::time::timeout(MOMENT, &mut flush).await.is_err(), "records are left");
    let mut read = vec![0; sent.len()];
    let (flushed, received) = tokio::join!(flush, client.read_exact(&mut read));
    flushed.unwrap();
    received.unwrap();
    assert_eq!(read, sent);
}

#[tokio::test]
async fn who_takes_an_answer_too_slowly_is_cut_off() {
    let timeouts = Timeouts { send: Duration::from_millis(300), ..Timeouts::default() };
    let (config, roots) = certificate();
    for tls in [None, Some(Tls::new(config))] {
        let server = Server::start(LARGE, 10, timeouts, tls.clone()).await;
        let stream = server.connect_narrowly().await;
        let mut stream: Box<dyn Duplex> = match tls {
            None => Box::new(stream),
            Some(_) => Box::new(shake(stream, &roots).await.unwrap()),
        };
        stream.write_all(GET).await.unwrap();
        let mut left = server.departure().await;
        // A byte now and then does not keep it open.
        let begun = Instant::now();
        let cut = loop {
            match tokio::time::timeout(Duration::from_millis(20), &mut left).await {
                Ok(left) => break left,
                Err(_) => drop(stream.read_u8().await),
            }
            assert!(begun.elapsed() < PATIENCE, "it is kept open");
        };
        assert!(cut.is_err(), "it was not read");
    }
}

trait Duplex: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

#[tokio::test]
async fn who_sends_nothing_or_half_a_head_is_cut_off() {
    let timeouts = Timeouts { head: Duration::from_millis(100), ..Timeouts::default() };
    let server = Server::start(1, 10, timeouts, None).await;
    let mut silent = server.connect().await;
    let mut half = server.connect().await;
    half.write_all(&GET[..20]).await.unwrap();
    let mut kept = quick(async || {
        let mut stream = server.connect().await;
        assert_eq!(try_ask(&mut stream).await?, 1);
        Ok(stream)
    })
    .await;
    for stream in [&mut silent, &mut half, &mut kept] {
        closed(stream).await;
    }
}

#[tokio::test]
async fn who_does_not_shake_hands_is_cut_off_and_others_are_served() {
    let timeouts = Timeouts { handshake: Duration::from_millis(100), ..Timeouts::default() };
    let (config, roots) = certificate();
    let server = Server::start(1, 10, timeouts, Some(Tls::new(config))).await;
    let mut silent = server.connect().await;
    let mut plain = server.connect().await;
    plain.write_all(GET).await.unwrap();
    let mut good = quick(async || shake(server.connect().await, &roots).await).await;
    assert_eq!(ask(&mut good).await, 1);
    closed(&mut silent).await;
    closed(&mut plain).await;
    assert_eq!(ask(&mut good).await, 1);
}

#[tokio::test]
async fn new_connections_see_the_new_certificate_and_old_ones_go_on() {
    let (old, old_roots) = certificate();
    let (new, new_roots) = certificate();
    let tls = Tls::new(old);
    let server = Server::start(1, 10, Timeouts::default(), Some(tls.clone())).await;
    let mut before = shake(server.connect().await, &old_roots).await.unwrap();
    assert_eq!(ask(&mut before).await, 1);
    tls.replace(new);
    assert!(shake(server.connect().await, &old_roots).await.is_err());
    let mut after = shake(server.connect().await, &new_roots).await.unwrap();
    assert_eq!(ask(&mut after).await, 1);
    assert_eq!(ask(&mut before).await, 1);
}

#[tokio::test]
async fn a_full_listener_serves_who_comes() {
    let server = Server::start(1, 8, Timeouts::default(), None).await;
    let mut known = server.connect().await;
    assert_eq!(ask(&mut known).await, 1);
    let mut idle = Vec::new();
    for n in 0..50 {
        idle.push(server.connect().await);
        if n % 10 == 0 {
            let asked = async { ask(&mut server.connect().await).await };
            let answered = tokio::time::timeout(PATIENCE, asked).await;
            assert_eq!(answered.expect("the listener serves"), 1);
        }
    }
    assert_eq!(ask(&mut known).await, 1, "who had an answer before keeps its seat");
}

#[tokio::test]
async fn every_answer_to_a_pipeline_comes_in_order() {
    let server = Server::start(3, 8, Timeouts::default(), None).await;
    let mut stream = server.connect().await;
    stream.write_all(&GET.repeat(5)).await.unwrap();
    for _ in 0..5 {
        assert_eq!(read_answer(&mut stream).await, 3);
    }
    assert_eq!(server.departures.lock().unwrap().len(), 5);
}

#[test]
fn files_that_are_no_pair_are_refused_in_words() {
    let (directory, config, _) = certificate_files();
    let other = KeyPair::generate().unwrap().serialize_pem();
    let certificate = std::fs::read_to_string(&config.certificate).unwrap();
    let check = |certificate: Option<&str>, key: Option<&str>, expected: expect_test::Expect| {
        for (path, text) in [(&config.certificate, certificate), (&config.key, key)] {
            match text {
                Some(text) => std::fs::write(path, text).unwrap(),
                None => std::fs::remove_file(path).unwrap(),
            }
        }
        let error = config.open().unwrap_err().to_string();
        expected.assert_eq(&error.replace(&*directory.path().to_string_lossy(), "DIR"));
    };
    check(Some("hello"), Some(&other), expect!["certificate: DIR/cert.pem holds none in PEM"]);
    check(Some(&other), Some(&other), expect!["certificate: DIR/cert.pem holds none in PEM"]);
    check(
        Some(&certificate),
        Some(&other),
        expect!["certificate and key: keys may not be consistent: KeyMismatch"],
    );
    check(Some(&certificate), Some(""), expect!["key: DIR/key.pem holds none in PEM"]);
    check(
        Some(&certificate),
        None,
        expect!["key: DIR/key.pem cannot be read: No such file or directory (os error 2)"],
    );
}
