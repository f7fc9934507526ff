//! A minimal HTTP client, so that the figures measure the host and not the
//! client.

use std::net::SocketAddr;
use std::ops::AddAssign;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::bail;
use bytes::Buf as _;
use bytes::BytesMut;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// The largest number of header lines in an answer; the host sends ten.
const HEADERS_MAX: usize = 32;

/// One kept-alive connection.
pub struct Connection {
    socket: TcpStream,
    buffer: BytesMut,
}

/// The answer to a request.
pub struct Answer {
    pub status: u16,
    pub body: BytesMut,
}

impl Connection {
    /// Connects to a listener on this machine.
    pub async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let socket = TcpStream::connect(address).await.context("connecting")?;
        socket.set_nodelay(true).context("setting TCP_NODELAY")?;
        Ok(Self { socket, buffer: BytesMut::with_capacity(16 * 1024) })
    }

    /// Sends a request, already encoded, and reads the answer.
    pub async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Answer> {
        self.socket.write_all(request).await.context("sending")?;
        loop {
            if let Some(answer) = self.take_answer()? {
                return Ok(answer);
            }
            if self.socket.read_buf(&mut self.buffer).await.context("reading")? == 0 {
                bail!("the connection was closed before the answer ended");
            }
        }
    }

    fn take_answer(&mut self) -> anyhow::Result<Option<Answer>> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(head) = response.parse(&self.buffer)? else {
            return Ok(None);
        };
        let length = response
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case("content-length"))
            .context("an answer without content-length")?;
        let length: usize = std::str::from_utf8(length.value)?.parse()?;
        let status = response.code.context("an answer without a status")?;
        if self.buffer.len() < head + length {
            return Ok(None);
        }
        self.buffer.advance(head);
        Ok(Some(Answer { status, body: self.buffer.split_to(length) }))
    }
}

/// Sends one request on a connection of its own, and reads until the server
/// closes it. HTTP/1.0, so that the body of the answer is never in chunks.
pub async fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    body: &str,
) -> anyhow::Result<Answer> {
    let mut socket = TcpStream::connect(address).await.context("connecting")?;
    let request = format!(
        "{method} {path} HTTP/1.0\r\nhost: localhost\r\naccept: application/json\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).await.context("sending")?;
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).await.context("reading")?;
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(&bytes)? else {
        bail!("the connection was closed before the answer ended");
    };
    let status = response.code.context("an answer without a status")?;
    Ok(Answer { status, body: BytesMut::from(&bytes[head..]) })
}

/// Encodes a POST of JSON.
pub fn post(path: &str, body: &str) -> Vec<u8> {
    post_with("", path, body)
}

/// Encodes a POST of JSON with more header lines.
pub fn post_with(headers: &str, path: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         {headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Encodes a GET.
pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes()
}

/// The exchanges of a load, and its length.
#[derive(Debug, Clone, Copy, Default)]
pub struct Load {
    pub exchanges: u64,
    pub took: Duration,
}

impl Load {
    /// Returns the exchanges per second.
    pub fn per_second(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a run has fewer than 2^53 exchanges")]
        let exchanges = self.exchanges as f64;
        exchanges / self.took.as_secs_f64()
    }
}

impl AddAssign for Load {
    fn add_assign(&mut self, other: Self) {
        self.exchanges += other.exchanges;
        self.took += other.took;
    }
}

/// The length of a load.
#[derive(Debug, Clone, Copy)]
pub enum Length {
    Time(Duration),
    /// This number of exchanges of each client.
    Each(u64),
}

impl Length {
    fn has_ended(self, elapsed: Duration, done: u64) -> bool {
        match self {
            Self::Time(time) => elapsed >= time,
            Self::Each(exchanges) => done >= exchanges,
        }
    }
}

/// Has each of `connections` clients send the requests that `request` makes,
/// one after the other.
pub async fn load(
    address: SocketAddr,
    connections: usize,
    length: Length,
    expected_status: u16,
    request: impl Fn(usize, u64) -> Vec<u8> + Clone + Send + 'static,
) -> anyhow::Result<Load> {
    let started_at = Instant::now();
    let clients = (0..connections).map(|client| {
        let request = request.clone();
        tokio::spawn(async move {
            let mut connection = Connection::open(address).await?;
            let mut done = 0;
            while !length.has_ended(started_at.elapsed(), done) {
                let answer = connection.exchange(&request(client, done)).await?;
                if answer.status != expected_status {
                    bail!("status {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
                }
                done += 1;
            }
            anyhow::Ok(done)
        })
    });
    let mut exchanges = 0;
    for client in clients.collect::<Vec<_>>() {
        exchanges += client.await.context("a client panicked")??;
    }
    Ok(Load { exchanges, took: started_at.elapsed() })
}
