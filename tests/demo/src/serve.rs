//! Host for another program, such as a test of its HTTP API.

use anyhow::Context as _;
use serde_json::json;

use crate::deployment::Built;
use crate::deployment::Deployment;

/// Starts a host, prints `{"api": "127.0.0.1:…"}`, and stops the host when
/// standard input ends.
pub async fn serve(built: &Built, tables: &str) -> anyhow::Result<()> {
    let deployment = Deployment::start(built, tables).await?;
    println!("{}", json!({ "api": deployment.api().to_string() }));
    // Blocks a thread of its own, because the host's log is read meanwhile.
    let closed =
        tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    closed.await.context("waiting for standard input")?.context("reading standard input")?;
    deployment.stop().await
}
