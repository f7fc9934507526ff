//! The API through its own listener, on a real queue.

mod accepting;
mod collecting;
mod description;
mod hangups;
mod shapes;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use serde_json::Value;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::sync::DropGuard;

use super::ApiState;
use super::Config;
use crate::http::Rate;
use crate::http::auth::AuthConfig;
use crate::http::auth::Keys;
use crate::http::listener::Listener;
use crate::http::listener::Timeouts;
use hoth_core::domain::Digest;
use hoth_core::domain::JobKind;
use hoth_core::domain::QueuedOutcome;
use hoth_core::domain::SupportedOperations;
use hoth_core::domain::Timestamp;
use hoth_platform::clock::Clock;
use hoth_queue::Dedup;
use hoth_queue::DedupKey;
use hoth_queue::GroupId;
use hoth_queue::NewMessage;
use hoth_queue::Queue;
use hoth_queue::QueueError;
use hoth_queue::QueueName;
use hoth_queue::QueueStats;
use hoth_queue::embedded;
use hoth_queue::embedded::EmbeddedQueue;

const JOBS: JobKind = JobKind::Provisioning;
const COSTS: JobKind = JobKind::Cost;

/// The longest wait for something that must happen. It is far more than needed:
/// two busy cores must not fail a test.
const DEADLINE: Duration = Duration::from_secs(120);

/// Returns a clock that stands still.
fn clock() -> Clock {
    Clock::manual(Timestamp::from_millis(1_700_000_000_000))
}

/// A served API whose clock stands still until a test advances it.
struct Host {
    address: SocketAddr,
    queue: Arc<EmbeddedQueue>,
    clock: Clock,
    folder: TempDir,
    /// Ends waits for outcomes.
    closing: CancellationToken,
    /// Ends the listener.
    stop: DropGuard,
}

impl Host {
    async fn start() -> Self {
        Self::with(Config::default(), AuthConfig::default()).await
    }

    async fn with(config: Config, auth: AuthConfig) -> Self {
        Self::with_rate(config, auth, None).await
    }

    /// Starts a host whose queue has no room, because its log is larger than its
    /// bound.
    async fn without_room() -> Self {
        let (config, auth) = (Config::default(), AuthConfig::default());
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let host = Self::serve(folder, clock(), &config, &auth, None, 0).await;
        let until = Instant::now() + DEADLINE;
        // The size of the log is noticed with a commit.
        while host.queue.check().await.is_ok() {
            assert!(Instant::now() < until, "there is room");
        }
        host
    }

    async fn with_rate(config: Config, auth: AuthConfig, rate: Option<Rate>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        Self::serve(folder, clock(), &config, &auth, rate, embedded::LOG_MAX_BYTES).await
    }

    async fn serve(
        folder: TempDir,
        clock: Clock,
        config: &Config,
        auth: &AuthConfig,
        rate: Option<Rate>,
        log_max_bytes: u64,
    ) -> Self {
        let storage = embedded::Config {
            path: folder.path().join("queue.db"),
            redelivery_hours: config.redelivery_hours,
            log_max_bytes,
        };
        let queue = EmbeddedQueue::open(&storage, clock.clone()).expect("the file can be opened");
        let queue = Arc::new(queue);
        let csps = BTreeMap::from([(
            "CSP_A".parse().expect("a valid name"),
            SupportedOperations::default(),
        )]);
        let served = Arc::clone(&queue) as Arc<dyn Queue>;
        let keys = Keys::new(auth.open().expect("the keys can be used"));
        let send = Timeouts::default().send;
        let state = ApiState::new(config, keys, rate, send, served, csps, clock.clone());
        let closing = CancellationToken::new();
        let state = state.with_closing(closing.clone());
        let router = super::router(state);
        let listener =
            Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), config.max_connections).await;
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let stop = CancellationToken::new();
        tokio::spawn(listener.serve(router, stop.clone()));
        Self { address, queue, clock, folder, closing, stop: stop.drop_guard() }
    }

    /// Serves the same file again, as after a restart of the process.
    async fn restart(self) -> Self {
        drop(self.stop);
        self.queue.close().await;
        let (config, auth) = (Config::default(), AuthConfig::default());
        Self::serve(self.folder, self.clock, &config, &auth, None, embedded::LOG_MAX_BYTES).await
    }

    /// Connects with a small receive buffer, so that the connection takes
    /// little before its client reads: the kernel keeps only a part of a
    /// response of more than some hundred kilobytes.
    async fn connect_narrowly(&self) -> TcpStream {
        let socket = TcpSocket::new_v4().expect("there are sockets");
        socket.set_recv_buffer_size(16 << 10).expect("its buffer can be set");
        socket.connect(self.address).await.expect("the listener accepts")
    }

    async fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, &[], b"").await
    }

    async fn post(&self, target: &str, body: &Value) -> Answer {
        let json = [("content-type", "application/json")];
        self.ask("POST", target, &json, body.to_string().as_bytes()).await
    }

    async fn ask(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.expect("the listener accepts");
        stream.write_all(&request(method, target, headers, body)).await.expect("the host reads");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.expect("the host responds");
        Answer::parse(&bytes).unwrap_or_else(|| panic!("cut: {}", String::from_utf8_lossy(&bytes)))
    }

    /// Queues outcomes of the jobs `ids`, all of one portfolio.
    async fn outcomes(&self, kind: JobKind, portfolio: &str, ids: &[&str]) {
        for id in ids {
            self.outcome(kind, portfolio, id, "").await;
        }
    }

    async fn outcome(&self, kind: JobKind, portfolio: &str, id: &str, filling: &str) {
        let content = json!({"request": {}, "response": {"filling": filling}});
        let message = match kind {
            JobKind::Provisioning => {
                json!({"code": 200, "content": content, "initialSnowRequest": {"jobId": id}})
            }
            JobKind::Cost => {
                json!({"code": 200, "content": {"request": {"requestId": id}, "response": {}}})
            }
        };
        let message = serde_json::value::to_raw_value(&message).expect("it can be written");
        let body = QueuedOutcome::new(id.to_owned(), kind, message).encode();
        self.message(kind, portfolio, id, body).await;
    }

    async fn message(&self, kind: JobKind, portfolio: &str, id: &str, body: String) {
        let message = NewMessage {
            group: GroupId::new(portfolio).expect("a valid group"),
            dedup: Dedup { key: DedupKey::new(id).expect("a valid key"), content: Digest::of(b"") },
            key: id.to_owned(),
            body,
            not_before: None,
        };
        self.queue.send(&QueueName::outcomes(kind), message).await.expect("it can be sent");
    }

    /// Advances the clock by `by`.
    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
        // The writer checks its waiting receivers after each transaction.
        self.queue.check().await.expect("the queue works");
    }

    async fn stats(&self, kind: JobKind) -> QueueStats {
        self.queue.stats(&QueueName::outcomes(kind)).await.expect("it can be read")
    }

    /// Waits until the queue has `depth` receivable and `in_flight` leased
    /// messages.
    async fn reaches(&self, kind: JobKind, depth: u64, in_flight: u64) {
        let started_at = Instant::now();
        loop {
            let stats = self.stats(kind).await;
            if (stats.depth, stats.in_flight) == (depth, in_flight) {
                return;
            }
            assert!(started_at.elapsed() < DEADLINE, "still {stats:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Returns the bytes of a request that closes its connection.
fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text =
        format!("{method} {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        text.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    let mut bytes = format!("{text}\r\n").into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// A complete response.
#[derive(Debug)]
struct Answer {
    status: u16,
    /// Names in lower case.
    headers: BTreeMap<String, String>,
    body: String,
}

impl Answer {
    /// Parses a response; returns `None` if it is incomplete.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8(bytes[..end].to_vec()).expect("a head is text");
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().expect("a status is a number");
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").expect("a header has a value");
            (name.to_ascii_lowercase(), value.to_owned())
        };
        let headers: BTreeMap<String, String> = lines.map(header).collect();
        let body = String::from_utf8(bytes[end + 4..].to_vec()).expect("a body is text");
        let length: usize = headers.get("content-length")?.parse().expect("a number");
        (body.len() == length).then_some(Self { status, headers, body })
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    #[track_caller]
    fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), "application/json", "{self:?}");
        serde_json::from_str(&self.body).expect("a body of this API is JSON")
    }

    /// Returns the ids of the jobs in a list of outcomes.
    #[track_caller]
    fn ids(&self) -> Vec<String> {
        assert_eq!(self.status, 200, "{self:?}");
        let Value::Array(messages) = self.json() else { panic!("not a list: {}", self.body) };
        let id = |message: &Value| {
            let job = message.pointer("/initialSnowRequest/jobId");
            let id = job.or(message.pointer("/content/request/requestId"));
            id.and_then(Value::as_str).expect("a message names its request").to_owned()
        };
        messages.iter().map(id).collect()
    }

    #[track_caller]
    fn is(&self, status: u16, body: &Value) {
        assert_eq!((self.status, &self.json()), (status, body));
    }
}
