//! A running host, and the check of its queues when the test ends.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use hoth_platform::failpoint;
use hoth_testkit::Addresses;
use hoth_testkit::HostCommand;
use hoth_testkit::HostLog;
use hoth_testkit::HostProcess;
use hoth_testkit::PATIENCE;
use hoth_testkit::QueueCounts;
use reqwest::StatusCode;
use serde_json::Value;
use tempfile::TempDir;

use super::ServiceNow;
use super::client;
use super::client_builder;
use super::eventually;

/// A running host; killed when it is dropped.
///
/// The drop also asserts that every queue is empty and that there is no dead
/// letter, unless the test said that it [leaves work](Self::leaves_work).
pub struct TestHost {
    /// `None` while the host is stopped. In front of the directory, so that the
    /// process is gone before its files are.
    running: Option<Running>,
    /// The log of the process that was started last.
    log: HostLog,
    command: HostCommand,
    /// Shared with the hosts that were started beside this one.
    directory: Arc<TempDir>,
    /// The bearer token for the admin API, if it asks for one.
    admin_token: Option<String>,
    leaves_work: AtomicBool,
}

struct Running {
    process: HostProcess,
    addresses: Addresses,
}

impl TestHost {
    /// Starts a host in `directory`, to which its configuration was written.
    pub(super) async fn start(
        directory: Arc<TempDir>,
        command: HostCommand,
        admin_token: Option<String>,
    ) -> Self {
        let running = start(&command).await;
        running.process.adapters_read().await.expect("the host reads its adapters");
        let log = running.process.log().clone();
        let leaves_work = AtomicBool::new(false);
        Self { running: Some(running), log, command, directory, admin_token, leaves_work }
    }

    /// Starts another host with the same configuration and adapters.
    pub async fn another(&self, roles: &str) -> Self {
        let (directory, token) = (Arc::clone(&self.directory), self.admin_token.clone());
        Self::start(directory, self.command.clone().roles(roles), token).await
    }

    /// Permits messages and dead letters on the queues when the test ends, or
    /// that the host is stopped by then, for the `reason` that is given.
    pub fn leaves_work(&self, reason: &str) {
        assert!(!reason.is_empty(), "work is left for a reason");
        self.leaves_work.store(true, Ordering::SeqCst);
    }

    /// Returns a client that calls this host as ServiceNow does.
    pub fn servicenow(&self) -> ServiceNow {
        ServiceNow::at(client(), self.api(), None)
    }

    /// Returns a client that calls `base` as ServiceNow does.
    pub fn servicenow_at(&self, base: &str) -> ServiceNow {
        ServiceNow::at(client(), base.to_owned(), None)
    }

    /// Stops the process by a signal for this time, as a machine that sleeps.
    pub async fn suspend_for(&self, time: Duration) {
        let process = &self.running().process;
        process.freeze().await.expect("the host can be frozen");
        tokio::time::sleep(time).await;
        process.thaw().expect("the host can be thawed");
    }

    /// Starts the stopped host with these roles, which the next starts keep,
    /// and a fail point. Waits until it has ended by itself with exit code 1,
    /// removes the fail point, and returns the log as text.
    pub async fn fails(&mut self, roles: &str) -> String {
        assert!(self.running.is_none(), "the host still runs");
        self.command = self.command.clone().roles(roles);
        let mut process = self.command.spawn().expect("the host starts");
        let status = process.wait().await.expect("the host ends by itself");
        process.log().ended().await;
        let text = process.log().text();
        assert_eq!(status.code(), Some(1), "{status}: {text}");
        self.command.remove_environment(failpoint::VARIABLE);
        text
    }

    /// Returns the log so far of the process that was started last.
    pub fn log(&self) -> Vec<Value> {
        self.log.lines()
    }

    /// Waits for a log line that `matches`, and returns the first one.
    pub async fn logged(&self, what: &str, matches: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || async { self.log().into_iter().find(&matches) }).await
    }

    /// Waits until the log has the ends of `jobs` jobs, and so everything
    /// before them: the log is read some time after it was written.
    pub async fn logged_ends(&self, jobs: usize) {
        eventually("the jobs' ends in the log", || async {
            let ends = self.log().iter().filter(|line| line["event"] == "end").count();
            (ends >= jobs).then_some(())
        })
        .await;
    }

    /// Returns the base URL of the API.
    pub fn api(&self) -> String {
        self.running().addresses.api.expect("the host has the role `api`").url()
    }

    /// Returns the base URL of the admin API.
    pub fn admin(&self) -> String {
        self.running().addresses.admin.url()
    }

    /// Returns the directory of configuration, adapters and queue.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Returns the process id.
    pub fn process_id(&self) -> u32 {
        self.running().process.id().expect("the host runs")
    }

    /// Returns the resident memory in bytes.
    pub fn memory(&self) -> u64 {
        self.running().process.memory().expect("the host runs")
    }

    /// Returns the highest resident memory so far, in bytes.
    pub fn memory_peak(&self) -> u64 {
        self.running().process.memory_peak().expect("the host runs")
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("the host runs")
    }

    fn take_process(&mut self) -> HostProcess {
        self.running.take().expect("the host runs").process
    }

    /// Kills the host as a power cut would: without a drain.
    pub async fn kill(&mut self) {
        self.take_process().kill().await.expect("the host can be killed");
    }

    /// Waits until the host has killed itself at a fail point, and removes that
    /// fail point for the next start.
    pub async fn died(&mut self) {
        let status = self.take_process().wait().await.expect("the host dies");
        assert_eq!(status.signal(), Some(9), "{status}");
        self.command.remove_environment(failpoint::VARIABLE);
    }

    /// Waits until the host ends by itself, and returns its exit code.
    pub async fn ended(&mut self) -> Option<i32> {
        self.take_process().wait().await.expect("the host ends").code()
    }

    /// Sets the roles of the next start.
    pub fn set_roles(&mut self, roles: &str) {
        self.command = self.command.clone().roles(roles);
    }

    /// Sets an environment variable for the next start.
    pub fn set_environment(&mut self, name: &str, value: &str) {
        self.command.set_environment(name, value);
    }

    /// Starts the stopped host again in the same directory, on other ports.
    pub async fn restart(&mut self) {
        self.restart_at_once().await;
        self.running().process.adapters_read().await.expect("the host reads its adapters");
    }

    /// Starts the stopped host as [`restart`](Self::restart) does, and waits for
    /// its listeners only.
    pub async fn restart_at_once(&mut self) {
        assert!(self.running.is_none(), "the host still runs");
        let running = start(&self.command).await;
        self.log = running.process.log().clone();
        self.running = Some(running);
    }

    /// Asks the host to stop, and returns its exit code.
    pub async fn terminate(&mut self) -> Option<i32> {
        let status = self.take_process().terminate().await;
        status.expect("the host stops when it is told to").code()
    }

    /// Sends SIGINT, and does not wait.
    pub fn interrupt(&self) {
        self.running().process.interrupt().expect("the host runs");
    }

    /// Sends SIGHUP, and does not wait.
    pub fn hang_up(&self) {
        self.running().process.hang_up().expect("the host runs");
    }

    /// Sends a `GET` to a path of the admin API, and returns the JSON.
    pub async fn admin_json(&self, path: &str) -> Value {
        self.try_admin_json(path).await.expect("the admin API answers")
    }

    /// Does the same as [`admin_json`](Self::admin_json) with a host that may
    /// be dead.
    pub async fn try_admin_json(&self, path: &str) -> reqwest::Result<Value> {
        admin_json(&client(), &self.admin(), self.admin_token.as_deref(), path).await
    }

    /// Returns the metrics as text.
    pub async fn metrics(&self) -> String {
        let mut request = client().get(format!("{}/metrics", self.admin()));
        if let Some(token) = &self.admin_token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.expect("the admin API answers");
        assert_eq!(response.status(), StatusCode::OK);
        response.text().await.expect("metrics are text")
    }

    /// Waits until every request and poll queue is empty, so that there is
    /// nothing left but to collect.
    pub async fn settled(&self) {
        self.wait_for_queues("all jobs to end", |queues| queues.unfinished() == 0).await;
    }

    /// Waits until every queue is empty. A collected outcome is deleted when
    /// its response counts as sent, which is after the client has it.
    pub async fn emptied(&self) {
        self.wait_for_queues("all outcomes to be deleted", |queues| queues.messages() == 0).await;
    }

    async fn wait_for_queues(&self, what: &str, are_done: impl Fn(&QueueCounts) -> bool) {
        eventually(what, || async {
            are_done(&queue_counts(&self.admin_json("/queues").await)).then_some(())
        })
        .await;
    }
}

impl Drop for TestHost {
    fn drop(&mut self) {
        // A test that has failed already has not come to its end.
        if thread::panicking() || self.leaves_work.load(Ordering::SeqCst) {
            return;
        }
        let Some(running) = &self.running else {
            panic!(
                "the host is stopped at the end of the test, so its queues were not checked: \
                 restart it, or call `leaves_work` with the reason"
            );
        };
        let (admin, token) = (running.addresses.admin.url(), self.admin_token.clone());
        // `drop` cannot await, and blocks the test's runtime, which may have no
        // other thread: hence a thread with a runtime of its own.
        let checked = thread::spawn(move || check_queues(&admin, token.as_deref())).join();
        match checked.expect("the check does not panic") {
            Ok(()) => {}
            Err(problem) => {
                panic!("{problem}\ncollect every outcome, or call `leaves_work` with the reason")
            }
        }
    }
}

async fn start(command: &HostCommand) -> Running {
    let (process, addresses) = command.start().await.expect("the host starts");
    Running { process, addresses }
}

/// Reads the answer to `GET /queues`.
pub fn queue_counts(answer: &Value) -> QueueCounts {
    QueueCounts::parse(answer).expect("an answer to `GET /queues`")
}

async fn admin_json(
    client: &reqwest::Client,
    admin: &str,
    token: Option<&str>,
    path: &str,
) -> reqwest::Result<Value> {
    let mut request = client.get(format!("{admin}{path}"));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let response = request.send().await?;
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    response.json().await
}

/// Waits until the host holds no message and no dead letter. Collected
/// outcomes may still be on their way out of the queue.
fn check_queues(admin: &str, token: Option<&str>) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(async {
        // The host's certificate is not what is checked here.
        let client = client_builder().tls_danger_accept_invalid_certs(true).build();
        let client = client.map_err(|error| error.to_string())?;
        let started_at = Instant::now();
        loop {
            let answer = admin_json(&client, admin, token, "/queues").await;
            let answer = answer.map_err(|error| {
                format!("the host does not answer at the end of the test: {error:?}")
            })?;
            let queues = queue_counts(&answer);
            if queues.is_empty() {
                return Ok(());
            }
            if started_at.elapsed() > PATIENCE {
                return Err(format!("the test left work on the queues: {queues}"));
            }
            tokio::time::sleep(super::POLL_INTERVAL).await;
        }
    })
}
