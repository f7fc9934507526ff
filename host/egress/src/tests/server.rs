//! A small server that plays the script of a test, byte for byte.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The server's action for one request.
#[derive(Debug, Clone)]
pub enum Act {
    /// Reads the request, writes these bytes, and keeps the connection open.
    Answer(Vec<u8>),
    /// Reads the request, writes these bytes, and closes the connection.
    AnswerAndClose(Vec<u8>),
    /// Reads the request and responds when the semaphore has a permit.
    Gated(Arc<Semaphore>, Vec<u8>),
    /// Reads the request, writes these bytes, and performs the end when the
    /// semaphore has a permit.
    Later(Vec<u8>, Arc<Semaphore>, End),
    /// Resets the connection without reading the request.
    ResetUnread,
    /// Reads the request, writes these bytes, and resets the connection.
    Reset(Vec<u8>),
    /// Reads the request, writes these bytes, and waits until the client closes.
    Hang(Vec<u8>),
    /// Reads the request, writes these bytes, and then one byte each millisecond.
    Drip(Vec<u8>),
}

/// The end of a response that began earlier.
#[derive(Debug, Clone)]
pub enum End {
    /// Writes these bytes, and keeps the connection open.
    Answer(Vec<u8>),
    /// Writes these bytes, and closes the connection.
    AnswerAndClose(Vec<u8>),
    /// Resets the connection.
    Reset,
}

/// A server on a free loopback port, stopped when it is dropped.
#[derive(Debug)]
pub struct Server {
    port: u16,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    script: Vec<Act>,
    log: watch::Sender<Log>,
}

#[derive(Debug, Default)]
struct Log {
    connections: usize,
    /// The connections that have ended.
    closed: usize,
    /// The requests as they arrived, header and body.
    requests: Vec<String>,
    /// The number of started acts. The last act of the script repeats.
    acts: usize,
    in_flight: usize,
    in_flight_max: usize,
}

/// Returns a response with a body and its length.
pub fn answer(status: u16, headers: &str, body: &str) -> Act {
    Act::Answer(bytes(status, headers, body))
}

pub fn bytes(status: u16, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len()).into()
}

/// A port that refuses connections: bound, so that no other socket gets it, but
/// not listening.
#[derive(Debug)]
pub struct ClosedPort(TcpSocket);

impl ClosedPort {
    pub fn bind() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        Self(socket)
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }
}

impl Server {
    pub async fn start(script: impl IntoIterator<Item = Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let script = script.into_iter().collect();
        let state = Arc::new(State { script, log: watch::Sender::default() });
        let task = tokio::spawn(accept(listener, Arc::clone(&state)));
        Self { port, state, task }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn requests(&self) -> Vec<String> {
        self.state.log.borrow().requests.clone()
    }

    pub fn calls(&self) -> usize {
        self.state.log.borrow().acts
    }

    pub fn connections(&self) -> usize {
        self.state.log.borrow().connections
    }

    pub fn in_flight_max(&self) -> usize {
        self.state.log.borrow().in_flight_max
    }

    /// Waits until this many requests have arrived.
    pub async fn reached(&self, calls: usize) {
        let mut log = self.state.log.subscribe();
        let reached = log.wait_for(|log| log.acts >= calls);
        tokio::time::timeout(super::PATIENCE, reached).await.unwrap().unwrap();
    }

    /// Waits until this many connections have ended, at either end.
    pub async fn closed(&self, connections: usize) {
        let mut log = self.state.log.subscribe();
        let closed = log.wait_for(|log| log.closed >= connections);
        tokio::time::timeout(super::PATIENCE, closed).await.unwrap().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        state.log.send_modify(|log| log.connections += 1);
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            serve(socket, Arc::clone(&state)).await;
            state.log.send_modify(|log| log.closed += 1);
        });
    }
}

/// Serves one connection. Ignores errors of the socket: the client may close it.
async fn serve(mut socket: TcpStream, state: Arc<State>) {
    while matches!(socket.peek(&mut [0]).await, Ok(1)) {
        let mut act = None;
        state.log.send_modify(|log| {
            act = state.script.get(log.acts.min(state.script.len() - 1)).cloned();
            log.acts += 1;
            log.in_flight += 1;
            log.in_flight_max = log.in_flight_max.max(log.in_flight);
        });
        let stays_open = perform(act.unwrap(), &mut socket, &state).await;
        if !matches!(stays_open, Ok(true)) {
            return;
        }
    }
}

/// Performs one act. Returns true if the connection stays open.
async fn perform(act: Act, socket: &mut TcpStream, state: &State) -> std::io::Result<bool> {
    if let Act::ResetUnread = act {
        socket.set_zero_linger()?;
        return Ok(false);
    }
    let request = read(socket).await?;
    state.log.send_modify(|log| log.requests.push(request));
    let done = || state.log.send_modify(|log| log.in_flight -= 1);
    match act {
        Act::ResetUnread => unreachable!("returned above"),
        Act::Answer(bytes) => {
            done();
            socket.write_all(&bytes).await?;
            return Ok(true);
        }
        Act::Gated(gate, bytes) => {
            gate.acquire().await.unwrap().forget();
            done();
            socket.write_all(&bytes).await?;
            return Ok(true);
        }
        Act::Later(bytes, gate, end) => {
            socket.write_all(&bytes).await?;
            gate.acquire().await.unwrap().forget();
            match end {
                End::Answer(bytes) => {
                    done();
                    socket.write_all(&bytes).await?;
                    return Ok(true);
                }
                End::AnswerAndClose(bytes) => socket.write_all(&bytes).await?,
                End::Reset => socket.set_zero_linger()?,
            }
        }
        Act::AnswerAndClose(bytes) => socket.write_all(&bytes).await?,
        Act::Reset(bytes) => {
            socket.write_all(&bytes).await?;
            socket.set_zero_linger()?;
        }
        Act::Hang(bytes) => {
            socket.write_all(&bytes).await?;
            socket.read_exact(&mut [0]).await?;
        }
        Act::Drip(bytes) => {
            socket.write_all(&bytes).await?;
            loop {
                socket.write_all(b"x").await?;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
    Ok(false)
}

async fn read(socket: &mut TcpStream) -> std::io::Result<String> {
    let mut request = String::new();
    loop {
        if let Some((head, body)) = request.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok()
                })
                .unwrap_or(0);
            if body.len() >= length {
                return Ok(request);
            }
        }
        let mut bytes = [0; 4096];
        let count = socket.read(&mut bytes).await?;
        assert!(count > 0, "the client closed in the middle of {request:?}");
        request.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
    }
}
