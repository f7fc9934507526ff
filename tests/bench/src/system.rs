//! A system under test: it accepts jobs over HTTP, makes the call of each to
//! the CSP, and stores the outcome. All systems get the same load.

use std::net::SocketAddr;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::ensure;
use mock_csp::MockCsp;

use crate::client::Length;
use crate::client::Load;
use crate::client::ask;
use crate::client::load;
use crate::usage;
use crate::usage::Usage;

/// The number of clients, each with one connection that it keeps.
pub const CLIENTS: usize = 64;

/// The interval of questions for the rest, once the CSP has had every call.
const ASK_INTERVAL: Duration = Duration::from_millis(5);

/// The longest wait for the remaining outcomes after the last POST.
const REST: Duration = Duration::from_secs(120);

/// The addresses and processes of one running system.
pub struct System {
    /// All of its processes, whose processor time and memory count.
    pub processes: Vec<u32>,
    pub api: SocketAddr,
    /// Encodes the POST of a job, from a prefix, the client and its count.
    pub request: fn(&str, usize, u64) -> Vec<u8>,
    /// The status of the answer to a POST, once the job is on the disk.
    pub accepted: u16,
    pub unfinished: Unfinished,
}

/// The question for the number of jobs whose outcome is not stored yet.
#[derive(Clone, Copy)]
pub struct Unfinished {
    pub address: SocketAddr,
    pub method: &'static str,
    pub path: &'static str,
    pub body: &'static str,
    /// Reads the number from the body of the answer.
    pub read: fn(&[u8]) -> anyhow::Result<u64>,
}

/// The jobs from the first POST to the last stored outcome, and their cost.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ran {
    pub jobs: Load,
    pub usage: Usage,
    /// The highest resident memory of all processes so far.
    pub memory_mib: f64,
}

impl System {
    /// Has all clients post `jobs` jobs in total, and waits until every outcome
    /// is stored. `prefix` makes the ids of the jobs unique.
    pub async fn run(&self, csp: &MockCsp, prefix: &str, jobs: u64) -> anyhow::Result<Ran> {
        let before = Usage::of(&self.processes)?;
        let calls = csp.call_count();
        let started_at = Instant::now();
        let (make, prefix) = (self.request, prefix.to_owned());
        let each = Length::Each(jobs / CLIENTS as u64);
        let request = move |client, n| make(&prefix, client, n);
        let posted = load(self.api, CLIENTS, each, self.accepted, request).await?;
        let calls = calls + usize::try_from(posted.exchanges).context("counting the calls")?;
        self.rest(csp, calls).await?;
        Ok(Ran {
            jobs: Load { exchanges: posted.exchanges, took: started_at.elapsed() },
            usage: Usage::of(&self.processes)?.since(before),
            memory_mib: usage::peak_mib(&self.processes)?,
        })
    }

    /// Waits until the CSP has had `calls` calls, which costs the system
    /// nothing, and then asks the system.
    async fn rest(&self, csp: &MockCsp, calls: usize) -> anyhow::Result<()> {
        let called = tokio::time::timeout(REST, csp.wait_for_calls(calls)).await;
        called.with_context(|| format!("{} of {calls} calls came", csp.call_count()))?;
        let Unfinished { address, method, path, body, read } = self.unfinished;
        let started_at = Instant::now();
        loop {
            let answer = ask(address, method, path, body).await?;
            ensure!(answer.status == 200, "the rest was answered with {}", answer.status);
            let left = read(&answer.body)?;
            if left == 0 {
                return Ok(());
            }
            ensure!(started_at.elapsed() < REST, "{left} outcomes are not stored");
            tokio::time::sleep(ASK_INTERVAL).await;
        }
    }
}
