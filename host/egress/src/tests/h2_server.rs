//! A server of HTTP/2 over TLS that plays the script of a test.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use h2::Reason;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::tls_server::Authority;
use super::tls_server::NAME;

/// The stream of the first request of a connection.
const FIRST: u32 = 1;

/// The server's action for one request.
#[derive(Debug, Clone)]
pub enum Act {
    /// Responds with 200.
    Answer,
    /// Resets the stream of the request.
    Reset(Reason),
    /// Begins a response with 200, and then resets the stream.
    BeginAndReset(Reason),
    /// Closes the connection with a GOAWAY. `last` is the last stream that may
    /// have been processed: 0 leaves the request out, 1 does not.
    GoAway { last: u32, reason: Reason },
}

impl Act {
    /// Returns the frames that the server writes by itself, or `None` if the
    /// library can perform the act.
    fn frames(&self) -> Option<Vec<u8>> {
        const HEADERS: u8 = 1;
        const RST_STREAM: u8 = 3;
        const GOAWAY: u8 = 7;
        const END_HEADERS: u8 = 4;
        // `:status: 200`, by its index in the static table of RFC 7541.
        const STATUS_200: [u8; 1] = [0x88];
        match self {
            Self::Answer | Self::Reset(_) => None,
            Self::BeginAndReset(reason) => {
                let begun = frame(HEADERS, END_HEADERS, FIRST, &STATUS_200);
                let code = u32::from(*reason).to_be_bytes();
                Some([begun, frame(RST_STREAM, 0, FIRST, &code)].concat())
            }
            Self::GoAway { last, reason } => {
                let payload = [last.to_be_bytes(), u32::from(*reason).to_be_bytes()].concat();
                Some(frame(GOAWAY, 0, 0, &payload))
            }
        }
    }
}

/// Returns a frame of HTTP/2 (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()];
    [head.concat(), payload.to_vec()].concat()
}

/// A server on a free loopback port, stopped when it is dropped. The last act
/// of its script repeats.
pub struct H2Server {
    port: u16,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl H2Server {
    pub async fn start(authority: &Authority, script: Vec<Act>) -> Self {
        let mut config = authority.server_config(None);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let script = Arc::new(Mutex::new(script));
        let connections = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(acceptor.clone(), socket, Arc::clone(&script)));
            }
        });
        Self { port, connections, task }
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub fn url(&self) -> String {
        format!("https://{NAME}:{}", self.port)
    }
}

impl Drop for H2Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Takes the next act of a script.
fn next(script: &Mutex<Vec<Act>>) -> Act {
    let mut script = script.lock().unwrap();
    if script.len() > 1 { script.remove(0) } else { script[0].clone() }
}

async fn serve(acceptor: TlsAcceptor, socket: TcpStream, script: Arc<Mutex<Vec<Act>>>) {
    let socket = acceptor.accept(socket).await.unwrap();
    let frames = script.lock().unwrap()[0].frames();
    if let Some(frames) = frames {
        next(&script);
        return write_frames(socket, &frames).await;
    }
    let mut connection = h2::server::handshake(socket).await.unwrap();
    // Ends when the client closes the connection, in any way.
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        match next(&script) {
            Act::Answer => {
                respond.send_response(http::Response::new(()), true).unwrap();
            }
            Act::Reset(reason) => respond.send_reset(reason),
            Act::BeginAndReset(_) | Act::GoAway { .. } => {
                unreachable!("these acts are the first ones of their connections")
            }
        }
    }
}

/// Reads the first request, writes frames, and closes the connection.
async fn write_frames(mut socket: TlsStream<TcpStream>, frames: &[u8]) {
    const PREFACE_LEN: usize = 24;
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    const ACK: u8 = 1;
    socket.read_exact(&mut [0; PREFACE_LEN]).await.unwrap();
    let mut kind = SETTINGS;
    while kind != HEADERS {
        let mut head = [0; 9];
        socket.read_exact(&mut head).await.unwrap();
        kind = head[3];
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        socket.read_exact(&mut vec![0; length as usize]).await.unwrap();
    }
    let settings = [frame(SETTINGS, 0, 0, &[]), frame(SETTINGS, ACK, 0, &[])].concat();
    socket.write_all(&[&settings, frames].concat()).await.unwrap();
    // Until the client closes its side: a socket that is closed with unread
    // bytes resets the connection, and the frames could be lost.
    let _ = socket.shutdown().await;
    let _ = socket.read_to_end(&mut Vec::new()).await;
}
