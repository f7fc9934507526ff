//! The limits of accepting: a handler on the host's own listener that echoes
//! the body, and either stores nothing or inserts it into plain SQLite.

use std::net::SocketAddr;
use std::process::Stdio;

use anyhow::Context as _;
use anyhow::ensure;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::response::Response;
use axum::routing::post;
use hoth::http::listener::Listener;
use tokio::io::AsyncBufReadExt as _;
use tokio::io::BufReader;
use tokio::process::Child;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::plain_sqlite::Store;

/// The hidden first arguments that make this program an echo server.
const ECHO: &str = "serve-echo";
const ECHO_AND_INSERT: &str = "serve-echo-and-insert";

/// The default connection limit of a host.
const CONNECTIONS_MAX: usize = 10_000;

/// The work of the handler.
#[derive(Debug, Clone, Copy)]
pub enum Work {
    Echo,
    /// Answers when the body is in SQLite and on the disk.
    EchoAndInsert,
}

impl Work {
    /// Returns the work that this program was started for, or `None` if it is
    /// the benchmark.
    pub fn of_this_program() -> Option<Self> {
        match std::env::args().nth(1)?.as_str() {
            ECHO => Some(Self::Echo),
            ECHO_AND_INSERT => Some(Self::EchoAndInsert),
            _ => None,
        }
    }

    fn argument(self) -> &'static str {
        match self {
            Self::Echo => ECHO,
            Self::EchoAndInsert => ECHO_AND_INSERT,
        }
    }
}

/// Serves until standard input ends; prints the address first.
pub async fn serve(work: Work) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("making a temporary folder")?;
    let store = match work {
        Work::Echo => None,
        Work::EchoAndInsert => Some(Store::open(folder.path())?),
    };
    let router = Router::new().route("/provisioning-jobs", post(answer)).with_state(store);
    let listener = Listener::bind(([127, 0, 0, 1], 0).into(), CONNECTIONS_MAX).await?;
    println!("{}", listener.local_addr()?);
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    std::thread::spawn(move || {
        // Ends with an error, or when the benchmark closes it.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        stopped.cancel();
    });
    listener.serve(router, stop).await;
    Ok(())
}

async fn answer(State(store): State<Option<Store>>, body: String) -> Response {
    if let Some(store) = store
        && store.insert(body.clone()).await.is_err()
    {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    (StatusCode::CREATED, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// The echo server in a process of its own; killed when it is dropped.
pub struct Echo {
    child: Child,
    pub address: SocketAddr,
    /// Removed after the process that writes to it.
    _folder: tempfile::TempDir,
}

impl Echo {
    pub async fn start(work: Work) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("making a temporary folder")?;
        let mut child = Command::new(std::env::current_exe().context("finding this program")?)
            .arg(work.argument())
            .env("TMPDIR", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting the echo server")?;
        let stdout = child.stdout.take().context("standard output is piped")?;
        let line = BufReader::new(stdout).lines().next_line().await?;
        let address = line.context("the echo server ended at once")?.parse()?;
        Ok(Self { child, address, _folder: folder })
    }

    /// Ends the server. A program that was built to record a profile writes it
    /// then.
    pub async fn end(mut self) -> anyhow::Result<()> {
        // Closes its standard input.
        let status = self.child.wait().await.context("waiting for the echo server")?;
        ensure!(status.success(), "the echo server ended with {status}");
        Ok(())
    }

    /// Returns the process id.
    pub fn id(&self) -> anyhow::Result<u32> {
        self.child.id().context("the echo server has ended")
    }
}
