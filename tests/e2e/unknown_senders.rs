//! Senders who know the id of an access key, and not its secret. Without a
//! signed digest the host knows them only after their bodies.

use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::auth::SECRET;
use crate::auth::Signed;
use crate::auth::bearer_keys;
use crate::auth::signer;
use crate::csp;
use crate::harness::PATIENCE;
use crate::harness::Setup;
use crate::hostile::read;

/// Returns a host with the access key of [`Signed`], and the file of its secret.
fn signed_host(csp: &mock_csp::MockCsp) -> (Setup, tempfile::TempDir) {
    let secrets = tempfile::tempdir().expect("a temporary folder can be made");
    let file = secrets.path().join("secret");
    std::fs::write(&file, SECRET).expect("a file can be written");
    let keys = format!("{}{}", bearer_keys(&["admin"]), signer("write", &file));
    (Setup::new().csp("CSP_TEST", csp).with(&keys).admin_token("admin-token"), secrets)
}

/// Returns a request with an invented signature.
fn guessed(method: &'static str, target: &'static str) -> Signed<'static> {
    Signed { method, target, body: "", secret: "guess", declared: false, skew: 0 }
}

/// Sends the head of a request whose body has `length` bytes, and waits until
/// the host asks for the body: it does not know the sender yet.
async fn begin(address: &str, request: &Signed<'_>, length: usize) -> TcpStream {
    const ASKED: &[u8; 25] = b"HTTP/1.1 100 Continue\r\n\r\n";
    let headers = request.headers(address).into_iter();
    let headers: String = headers.map(|(name, text)| format!("{name}: {text}\r\n")).collect();
    let head = format!(
        "{} {} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {length}\r\n\
         expect: 100-continue\r\n{headers}\r\n",
        request.method, request.target
    );
    let mut stream = TcpStream::connect(address).await.expect("the host accepts connections");
    stream.write_all(head.as_bytes()).await.expect("a new connection is not closed");
    let mut answer = [0; ASKED.len()];
    stream.read_exact(&mut answer).await.expect("the host reads the body");
    assert_eq!(answer, *ASKED);
    stream
}

#[tokio::test]
async fn a_sender_without_a_secret_keeps_no_connection() {
    let csp = csp::sync().await;
    let (setup, _secrets) = signed_host(&csp);
    let host = setup
        .environment("HOTH__API__MAX_CONNECTIONS", "4")
        // Longer than the test waits: only an eviction can free a slot.
        .environment("HOTH__API__BODY_TIMEOUT_MS", "600000")
        .start()
        .await;
    let address = host.api().trim_start_matches("http://").to_owned();
    let signed = guessed("POST", "/cost-jobs");
    let mut crowd = Vec::new();
    for _ in 0..4 {
        let mut stream = begin(&address, &signed, 1_000).await;
        stream.write_all(b"x").await.expect("a new connection is not closed");
        crowd.push(stream);
    }
    let good = Signed { method: "GET", secret: SECRET, ..signed };
    let answered = tokio::time::timeout(PATIENCE, good.send(&host)).await;
    assert_eq!(answered.expect("a slot becomes free"), (200, "[]".to_owned()));
}

#[tokio::test]
async fn the_oldest_body_of_unknown_senders_ends_when_they_hold_too_much() {
    // Of one body, and of all together, as the host takes them.
    const BODY: usize = 512 * 1_024;
    const ALL: usize = 16 * 1_024 * 1_024;
    let csp = csp::sync().await;
    let (setup, _secrets) = signed_host(&csp);
    let host = setup.start().await;
    let address = host.admin().trim_start_matches("http://").to_owned();
    let signed = guessed("PUT", "/adapters/atat");
    let mut crowd = Vec::new();
    // Each body lacks its last byte, and is older than the next one.
    for _ in 0..=ALL / BODY {
        let mut stream = begin(&address, &signed, BODY).await;
        stream.write_all(&vec![b'x'; BODY - 1]).await.expect("the host reads the body");
        crowd.push(stream);
    }
    let answer = read(&mut crowd[0], 1).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: "), "{answer}");
    let last = crowd.last_mut().expect("there are many");
    last.write_all(b"x").await.expect("the host still reads it");
    let answer = read(last, 1).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
}
