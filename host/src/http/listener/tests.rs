//! The listener against clients that behave, stall, or hang up.

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

/// The longest wait for an event that must happen.
const PATIENCE: Duration = Duration::from_secs(120);

/// The time to watch for an event that must not happen.
const MOMENT: Duration = Duration::from_millis(200);

/// More bytes than the kernel buffers for a client that does not read.
const LARGE: usize = 32 * 1_024 * 1_024;

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// A listener whose responses all have the same size.
struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    /// A receiver for each request served so far.
    flushes: Arc<Mutex<Vec<oneshot::Receiver<()>>>>,
}

impl Server {
    async fn start(
        bytes: usize,
        connections: usize,
        timeouts: Timeouts,
        tls: Option<ReloadableTls>,
    ) -> Self {
        let listener = Listener::bind(([127, 0, 0, 1], 0).into(), connections).await.unwrap();
        let listener = listener.with_timeouts(timeouts).with_tls(tls);
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let flushes = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&flushes);
        let service = tower::service_fn(move |request: Request<Incoming>| {
            let activation = request.extensions().get::<Activation>().unwrap();
            let active = activation.activate();
            let (flush_notice, flushed) = FlushNotice::new(Progress::default());
            seen.lock().unwrap().push(flushed);
            let mut response = Response::new(Full::new(Bytes::from(vec![b'x'; bytes])));
            response.extensions_mut().insert(flush_notice);
            async move { active.map(|()| response) }
        });
        tokio::spawn(listener.serve(service, stop.clone()));
        Self { address, stop, flushes }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Connects with a small receive buffer, so that the connection takes
    /// little before the client reads.
    async fn connect_narrowly(&self) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 << 10).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    /// Waits for a request to be served; returns the receiver of its notice.
    async fn flush_receiver(&self) -> oneshot::Receiver<()> {
        let begun = Instant::now();
        loop {
            if let Some(flushed) = self.flushes.lock().unwrap().pop() {
                return flushed;
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

/// Returns a certificate for `localhost`, and roots that trust it.
fn certificate() -> (OpenedTls, RootCertStore) {
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

async fn tls_connect<T: AsyncRead + AsyncWrite + Unpin>(
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

/// Sends a request, and returns the length of the response's body.
async fn fetch(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> usize {
    try_fetch(stream).await.unwrap()
}

/// Sends a request on a connection that may have been cut off, and returns the
/// length of the response's body.
async fn try_fetch(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> std::io::Result<usize> {
    stream.write_all(GET).await?;
    try_read_response(stream).await
}

/// Reads a response, and returns the length of its body.
async fn read_response(stream: &mut (impl AsyncRead + Unpin)) -> usize {
    try_read_response(stream).await.unwrap()
}

async fn try_read_response(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<usize> {
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

/// Waits until the server has closed the connection.
async fn closed(stream: &mut (impl AsyncRead + Unpin)) {
    let mut rest = [0; 1024];
    let end = async { while !matches!(stream.read(&mut rest).await, Ok(0) | Err(_)) {} };
    tokio::time::timeout(PATIENCE, end).await.expect("the connection ends");
}

/// Checks that a large response counts as flushed only once the client has
/// read it.
async fn check_flushed_when_read(
    server: &Server,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
) {
    stream.write_all(GET).await.unwrap();
    let mut flushed = server.flush_receiver().await;
    assert!(
        tokio::time::timeout(MOMENT, &mut flushed).await.is_err(),
        "the response is not read yet"
    );
    assert_eq!(read_response(stream).await, LARGE);
    let flushed = tokio::time::timeout(PATIENCE, flushed).await;
    flushed.expect("the response was read").expect("the response was flushed");
}

/// Checks that a response does not count as flushed if the client hangs up.
async fn check_not_flushed_when_the_client_hangs_up(
    server: &Server,
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
) {
    stream.write_all(GET).await.unwrap();
    let flushed = server.flush_receiver().await;
    drop(stream);
    let flushed = tokio::time::timeout(PATIENCE, flushed).await;
    assert!(flushed.expect("the connection is broken").is_err());
}

#[tokio::test]
async fn a_response_is_flushed_when_the_kernel_has_its_last_byte() {
    let server = Server::start(LARGE, 10, Timeouts::default(), None).await;
    check_flushed_when_read(&server, &mut server.connect_narrowly().await).await;
    check_not_flushed_when_the_client_hangs_up(&server, server.connect_narrowly().await).await;
}

#[tokio::test]
async fn a_connection_keeps_its_slot_until_its_client_has_the_response() {
    let server = Server::start(LARGE, 1, Timeouts::default(), None).await;
    let mut reading = server.connect_narrowly().await;
    reading.write_all(GET).await.unwrap();
    let flushed = server.flush_receiver().await;
    let mut next = server.connect().await;
    next.write_all(GET).await.unwrap();
    let served = tokio::time::timeout(MOMENT, next.peek(&mut [0])).await;
    assert!(served.is_err(), "the only slot is in use");
    assert_eq!(read_response(&mut reading).await, LARGE);
    flushed.await.unwrap();
    assert_eq!(read_response(&mut next).await, LARGE);
}

#[tokio::test]
async fn a_response_over_tls_is_flushed_when_the_kernel_has_its_last_byte() {
    let (config, roots) = certificate();
    let server =
        Server::start(LARGE, 10, Timeouts::default(), Some(ReloadableTls::new(config))).await;
    let mut stream = tls_connect(server.connect_narrowly().await, &roots).await.unwrap();
    check_flushed_when_read(&server, &mut stream).await;
    check_not_flushed_when_the_client_hangs_up(&server, stream).await;
}

/// Checks the property of tokio-rustls that notices over TLS depend on: the
/// flush of a TLS stream does not end before its last record is written.
#[tokio::test]
async fn a_flush_over_tls_waits_for_the_last_record() {
    let (config, roots) = certificate();
    let (client, server) = tokio::io::duplex(4 * 1_024);
    let acceptor = tokio_rustls::TlsAcceptor::from(ReloadableTls::new(config).current());
    let (client, server) = tokio::join!(tls_connect(client, &roots), acceptor.accept(server));
    let (mut client, mut server) = (client.unwrap(), server.unwrap());
    let sent = vec![b'x'; 16 * 1_024];
    server.write_all(&sent).await.unwrap();
    let mut flush = std::pin::pin!(server.flush());
    assert!(tokio::time::timeout(MOMENT, &mut flush).await.is_err(), "unwritten records remain");
    let mut read = vec![0; sent.len()];
    let (flushed, received) = tokio::join!(flush, client.read_exact(&mut read));
    flushed.unwrap();
    received.unwrap();
    assert_eq!(read, sent);
}

#[tokio::test]
async fn a_client_that_reads_too_slowly_is_cut_off() {
    let timeouts = Timeouts { send: Duration::from_millis(300), ..Timeouts::default() };
    let (config, roots) = certificate();
    for tls in [None, Some(ReloadableTls::new(config))] {
        let server = Server::start(LARGE, 10, timeouts, tls.clone()).await;
        let stream = server.connect_narrowly().await;
        let mut stream: Box<dyn Duplex> = match tls {
            None => Box::new(stream),
            Some(_) => Box::new(tls_connect(stream, &roots).await.unwrap()),
        };
        stream.write_all(GET).await.unwrap();
        let mut flushed = server.flush_receiver().await;
        // Reading a byte now and then does not keep the connection open.
        let begun = Instant::now();
        let cut = loop {
            match tokio::time::timeout(Duration::from_millis(20), &mut flushed).await {
                Ok(flushed) => break flushed,
                Err(_) => drop(stream.read_u8().await),
            }
            assert!(begun.elapsed() < PATIENCE, "it is kept open");
        };
        assert!(cut.is_err(), "the response was not read");
    }
}

trait Duplex: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

#[tokio::test]
async fn a_client_that_stalls_its_head_is_cut_off() {
    let timeouts = Timeouts { head: Duration::from_millis(100), ..Timeouts::default() };
    let server = Server::start(1, 10, timeouts, None).await;
    let mut silent = server.connect().await;
    let mut half = server.connect().await;
    half.write_all(&GET[..20]).await.unwrap();
    let mut kept = quick(async || {
        let mut stream = server.connect().await;
        assert_eq!(try_fetch(&mut stream).await?, 1);
        Ok(stream)
    })
    .await;
    for stream in [&mut silent, &mut half, &mut kept] {
        closed(stream).await;
    }
}

#[tokio::test]
async fn a_client_that_stalls_the_handshake_is_cut_off_alone() {
    let timeouts = Timeouts { handshake: Duration::from_millis(100), ..Timeouts::default() };
    let (config, roots) = certificate();
    let server = Server::start(1, 10, timeouts, Some(ReloadableTls::new(config))).await;
    let mut silent = server.connect().await;
    let mut plain = server.connect().await;
    plain.write_all(GET).await.unwrap();
    let mut good = quick(async || tls_connect(server.connect().await, &roots).await).await;
    assert_eq!(fetch(&mut good).await, 1);
    closed(&mut silent).await;
    closed(&mut plain).await;
    assert_eq!(fetch(&mut good).await, 1);
}

#[tokio::test]
async fn new_connections_see_the_new_certificate_and_old_ones_continue() {
    let (old, old_roots) = certificate();
    let (new, new_roots) = certificate();
    let tls = ReloadableTls::new(old);
    let server = Server::start(1, 10, Timeouts::default(), Some(tls.clone())).await;
    let mut before = tls_connect(server.connect().await, &old_roots).await.unwrap();
    assert_eq!(fetch(&mut before).await, 1);
    tls.replace(new);
    assert!(tls_connect(server.connect().await, &old_roots).await.is_err());
    let mut after = tls_connect(server.connect().await, &new_roots).await.unwrap();
    assert_eq!(fetch(&mut after).await, 1);
    assert_eq!(fetch(&mut before).await, 1);
}

#[tokio::test]
async fn a_full_listener_serves_new_connections() {
    let server = Server::start(1, 8, Timeouts::default(), None).await;
    let mut known = server.connect().await;
    assert_eq!(fetch(&mut known).await, 1);
    let mut idle = Vec::new();
    for n in 0..50 {
        idle.push(server.connect().await);
        if n % 10 == 0 {
            let asked = async { fetch(&mut server.connect().await).await };
            let answered = tokio::time::timeout(PATIENCE, asked).await;
            assert_eq!(answered.expect("the listener serves new connections"), 1);
        }
    }
    assert_eq!(fetch(&mut known).await, 1, "a trusted connection keeps its slot");
}

#[tokio::test]
async fn every_response_to_a_pipeline_comes_in_order() {
    let server = Server::start(3, 8, Timeouts::default(), None).await;
    let mut stream = server.connect().await;
    stream.write_all(&GET.repeat(5)).await.unwrap();
    for _ in 0..5 {
        assert_eq!(read_response(&mut stream).await, 3);
    }
    assert_eq!(server.flushes.lock().unwrap().len(), 5);
}

#[test]
fn mismatched_certificate_files_are_refused_with_a_reason() {
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
    check(Some(&certificate), Some(&other), expect!["DIR/key.pem is not the key of DIR/cert.pem"]);
    check(Some(&certificate), Some(""), expect!["key: DIR/key.pem holds none in PEM"]);
    check(
        Some(&certificate),
        None,
        expect!["key: DIR/key.pem cannot be read: No such file or directory (os error 2)"],
    );
}
