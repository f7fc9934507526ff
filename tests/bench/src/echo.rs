//! The limit of the HTTP front: a handler on the host's own listener that
//! echoes the body and stores nothing.

use std::net::SocketAddr;
use std::process::Stdio;

use anyhow::Context as _;
use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::http::header;
use axum::routing::post;
use hoth::http::listener::Listener;
use tokio::io::AsyncBufReadExt as _;
use tokio::io::BufReader;
use tokio::process::Child;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

/// The hidden argument that makes this program the echo server.
pub const ARGUMENT: &str = "serve-echo";

/// The default connection limit of a host.
const CONNECTIONS_MAX: usize = 10_000;

/// Serves until the process is killed; prints the address first.
pub async fn serve() -> anyhow::Result<()> {
    let router = Router::new().route(
        "/provisioning-jobs",
        post(async |body: Bytes| {
            (StatusCode::CREATED, [(header::CONTENT_TYPE, "application/json")], body)
        }),
    );
    let listener = Listener::bind(([127, 0, 0, 1], 0).into(), CONNECTIONS_MAX).await?;
    println!("{}", listener.local_addr()?);
    listener.serve(router, CancellationToken::new()).await;
    Ok(())
}

/// The echo server in a process of its own; killed when it is dropped.
pub struct Echo {
    _child: Child,
    pub address: SocketAddr,
}

impl Echo {
    pub async fn start() -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe().context("finding this program")?)
            .arg(ARGUMENT)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting the echo server")?;
        let stdout = child.stdout.take().context("standard output is piped")?;
        let line = BufReader::new(stdout).lines().next_line().await?;
        let address = line.context("the echo server ended at once")?.parse()?;
        Ok(Self { _child: child, address })
    }
}
