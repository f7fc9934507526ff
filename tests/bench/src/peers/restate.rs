//! A Restate server and a service of its Node SDK, each a process.
//!
//! A POST to `…/send` is answered when the invocation is in the log, which is
//! synced. The outcome is stored when the invocation is completed: Restate then
//! keeps the result under the idempotency key for a day, as HOTH keeps an
//! outcome.

use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use anyhow::ensure;
use serde_json::Value;
use serde_json::json;
use tempfile::TempDir;

use super::process::Process;
use super::process::free_address;
use crate::client::Connection;
use crate::client::post;
use crate::client::post_with;
use crate::jobs;
use crate::system::System;
use crate::system::Unfinished;

/// The server of the npm package, below the folder of scripts.
const SERVERS: &str = "node_modules/@restatedev";

/// Counts the invocations that have no result yet.
const UNFINISHED: &str =
    r#"{"query":"SELECT count(*) AS n FROM sys_invocation WHERE status <> 'completed'"}"#;

/// The running processes. The folder is removed after they have ended.
pub struct Restate {
    server: Process,
    service: Process,
    ingress: SocketAddr,
    admin: SocketAddr,
    _folder: TempDir,
}

impl Restate {
    /// Starts both processes, with an empty folder, and registers the service.
    pub async fn start(scripts: &Path, csp: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("making a temporary folder")?;
        let [ingress, admin, node, service] =
            [free_address()?, free_address()?, free_address()?, free_address()?];
        let program = program(scripts)?;
        let mut server = Process::start(program.as_os_str(), folder.path(), |command| {
            command.args(["--no-logo", "--listen-mode", "tcp"]);
            command.arg("--base-dir").arg(folder.path().join("data"));
            command.env("RESTATE_INGRESS__BIND_ADDRESS", ingress.to_string());
            command.env("RESTATE_ADMIN__BIND_ADDRESS", admin.to_string());
            command.env("RESTATE_BIND_ADDRESS", node.to_string());
            command.env("RESTATE_LOG_FILTER", "error");
            command.env("RESTATE_DISABLE_TELEMETRY", "true").env("DO_NOT_TRACK", "1");
        })?;
        let port = service.port().to_string();
        let arguments = ["restate-handler.js", &port, csp];
        let (process, _) = Process::script(scripts, folder.path(), &arguments).await?;
        server.listens(ingress).await?;
        server.listens(admin).await?;
        register(admin, service).await?;
        Ok(Self { server, service: process, ingress, admin, _folder: folder })
    }

    /// Describes the processes as a system under test.
    pub fn system(&self) -> anyhow::Result<System> {
        Ok(System {
            processes: vec![self.server.id()?, self.service.id()?],
            api: self.ingress,
            request: |prefix, client, n| {
                let id = format!("{prefix}-{client}-{n}");
                let body = jobs::job_body(&id, &format!("p-{id}"));
                post_with(&format!("idempotency-key: {id}\r\n"), "/Jobs/run/send", &body)
            },
            accepted: 202,
            unfinished: Unfinished {
                address: self.admin,
                method: "POST",
                path: "/query",
                body: UNFINISHED,
                read: |body| {
                    let answer: Value = serde_json::from_slice(body)?;
                    answer["rows"][0]["n"].as_u64().context("no number of invocations")
                },
            },
        })
    }
}

/// Returns the path of the server for this machine, of which npm installs the
/// right one only.
fn program(scripts: &Path) -> anyhow::Result<PathBuf> {
    let servers = std::fs::read_dir(scripts.join(SERVERS)).context("Restate is not installed")?;
    let programs = servers.flatten().map(|entry| entry.path().join("bin/restate-server"));
    let mut programs = programs.filter(|program| program.is_file());
    programs.next().context("Restate has no server for this machine")
}

/// Tells the server about the service.
async fn register(admin: SocketAddr, service: SocketAddr) -> anyhow::Result<()> {
    let body = json!({ "uri": format!("http://{service}") }).to_string();
    let answer = Connection::open(admin).await?.exchange(&post("/deployments", &body)).await?;
    let text = String::from_utf8_lossy(&answer.body);
    ensure!(answer.status == 201, "the service was not registered: {} {text}", answer.status);
    Ok(())
}
