//! A connection between hosts and SQS that can fail.

use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::watch;

/// A connection to SQS that can be cut or silenced. It keeps its port all the time, so that
/// no other program can take it.
pub struct Wire {
    pub url: String,
    state: watch::Sender<WireState>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WireState {
    Whole,
    Silent,
    Cut,
}

impl Wire {
    /// Starts a connection to `endpoint`.
    pub async fn to(endpoint: &str) -> Self {
        let upstream = endpoint.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let url = format!("http://{}", listener.local_addr().expect("a bound address"));
        let state = watch::Sender::new(WireState::Whole);
        let seen = state.subscribe();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, upstream.clone(), seen.clone()));
            }
        });
        Self { url, state }
    }

    /// Ends every connection, and each new one at once.
    pub fn cut(&self) {
        self.state.send_replace(WireState::Cut);
    }

    /// Keeps every connection open, and forwards nothing.
    pub fn silence(&self) {
        self.state.send_replace(WireState::Silent);
    }

    /// Forwards connections again.
    pub fn mend(&self) {
        self.state.send_replace(WireState::Whole);
    }
}

/// Forwards one connection until the wire is cut or silent.
async fn carry(mut near: TcpStream, upstream: String, mut state: watch::Receiver<WireState>) {
    let carried = async {
        let mut far = TcpStream::connect(upstream).await?;
        tokio::io::copy_bidirectional(&mut near, &mut far).await
    };
    tokio::select! {
        biased;
        _ = state.wait_for(|state| *state != WireState::Whole) => {}
        _ = carried => return,
    }
    // Then the connection is closed: what was read before is lost.
    let _ = state.wait_for(|state| *state != WireState::Silent).await;
}
