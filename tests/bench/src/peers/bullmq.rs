//! BullMQ on Redis, with an HTTP front end and a worker, each a process.
//!
//! Redis syncs its log before it answers (`appendfsync always`), once for all
//! commands that wait, as HOTH does. The job's outcome is stored when the job
//! is completed: its hash then holds the worker's result.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use anyhow::ensure;
use serde_json::Value;
use tempfile::TempDir;

use super::process::Process;
use super::process::free_address;
use crate::client::post;
use crate::jobs;
use crate::system::System;
use crate::system::Unfinished;

/// The running processes. The folder is removed after they have ended.
pub struct Bullmq {
    worker: Process,
    front: Process,
    redis: Process,
    api: SocketAddr,
    _folder: TempDir,
}

impl Bullmq {
    /// Starts all processes, with an empty database.
    pub async fn start(scripts: &Path, csp: &str) -> anyhow::Result<Self> {
        let is_installed = scripts.join("node_modules/bullmq").is_dir();
        ensure!(is_installed, "BullMQ is not installed");
        let folder = tempfile::tempdir().context("making a temporary folder")?;
        let address = free_address()?;
        let port = address.port().to_string();
        let mut redis = Process::start(OsStr::new("redis-server"), folder.path(), |command| {
            command.args(["--bind", "127.0.0.1", "--port", &port, "--save", ""]);
            command.args(["--appendonly", "yes", "--appendfsync", "always"]);
            command.arg("--dir").arg(folder.path());
        })?;
        redis.listens(address).await?;
        let worker = ["bullmq-worker.js", &port, csp];
        let (worker, _) = Process::script(scripts, folder.path(), &worker).await?;
        let front = ["bullmq-front.js", &port];
        let (front, port) = Process::script(scripts, folder.path(), &front).await?;
        let port: u16 = port.parse().context("reading the port of a script")?;
        let api = SocketAddr::new(address.ip(), port);
        Ok(Self { worker, front, redis, api, _folder: folder })
    }

    /// Describes the processes as a system under test.
    pub fn system(&self) -> anyhow::Result<System> {
        Ok(System {
            processes: vec![self.redis.id()?, self.front.id()?, self.worker.id()?],
            api: self.api,
            request: |prefix, client, n| {
                let id = format!("{prefix}-{client}-{n}");
                post("/jobs", &jobs::job_body(&id, &format!("p-{id}")))
            },
            accepted: 201,
            unfinished: Unfinished {
                address: self.api,
                method: "GET",
                path: "/unfinished",
                body: "",
                read: |body| {
                    let answer: Value = serde_json::from_slice(body)?;
                    answer["unfinished"].as_u64().context("no number of unfinished jobs")
                },
            },
        })
    }
}
