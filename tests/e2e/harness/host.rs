//! A running host.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Mutex;

use hoth_platform::failpoint;
use reqwest::StatusCode;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncBufReadExt;
use tokio::io::BufReader;
use tokio::process::Child;
use tokio::process::Command;

use super::PATIENCE;
use super::ServiceNow;
use super::client;
use super::eventually;

/// A running host; killed when it is dropped.
pub struct TestHost {
    directory: Arc<TempDir>,
    environment: Vec<(String, String)>,
    roles: String,
    process: Option<Process>,
}

impl TestHost {
    /// Starts the program in `directory`, where its configuration lies.
    pub(super) async fn start(
        directory: Arc<TempDir>,
        environment: Vec<(String, String)>,
        roles: String,
    ) -> Self {
        let process = Process::start(directory.path(), &environment, &roles).await;
        Self { directory, environment, roles, process: Some(process) }
    }

    /// Starts another host with the same configuration and adapters.
    pub async fn another(&self, roles: &str) -> Self {
        let (directory, environment) = (Arc::clone(&self.directory), self.environment.clone());
        Self::start(directory, environment, roles.to_owned()).await
    }

    /// ServiceNow, as seen by this host.
    pub fn servicenow(&self) -> ServiceNow {
        ServiceNow::at(client(), self.api(), None)
    }

    /// What the host has logged so far.
    pub fn log(&self) -> Vec<Value> {
        self.running().log.lock().expect("no panic while logging").clone()
    }

    /// The first log line of which `is_it` holds, once it is there.
    pub async fn logged(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || async { self.log().into_iter().find(&is_it) }).await
    }

    /// Waits until the log tells of the ends of `jobs` jobs. What came before is
    /// in the log then: it is read some time after it was written.
    pub async fn logged_ends(&self, jobs: usize) {
        eventually("the jobs' ends in the log", || async {
            let ends = self.log().iter().filter(|line| line["event"] == "end").count();
            (ends >= jobs).then_some(())
        })
        .await;
    }

    /// The base URL of the API.
    pub fn api(&self) -> String {
        self.running().api.clone().expect("the host has the role `api`")
    }

    /// The base URL of the admin API.
    pub fn admin(&self) -> String {
        self.running().admin.clone()
    }

    /// Where configuration, adapters and queue lie.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The process, for signals.
    pub fn process_id(&self) -> u32 {
        self.running().child.id().expect("the host runs")
    }

    /// How much memory the host holds, in bytes.
    pub fn memory(&self) -> u64 {
        self.memory_line("VmRSS:")
    }

    /// The most memory that the host has held at one time, in bytes.
    pub fn memory_peak(&self) -> u64 {
        self.memory_line("VmHWM:")
    }

    fn memory_line(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process_id()))
            .expect("the host runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib * 1_024
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("the host runs")
    }

    /// Kills the host as the machine would: no word, no drain.
    pub async fn kill(&mut self) {
        let mut process = self.process.take().expect("the host runs");
        process.child.kill().await.expect("the host can be killed");
    }

    /// Waits until the host has killed itself at a fail point, which it then
    /// forgets: started again, it lives.
    pub async fn died(&mut self) {
        let mut process = self.process.take().expect("the host runs");
        let ended = tokio::time::timeout(PATIENCE, process.child.wait()).await;
        let status = ended.expect("the host dies").expect("the host can be waited for");
        assert_eq!(status.signal(), Some(9), "{status}");
        self.environment.retain(|(name, _)| name != failpoint::VARIABLE);
    }

    /// Sets a variable for its next start.
    pub fn set_environment(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Starts it again where it stood; ports change.
    pub async fn restart(&mut self) {
        assert!(self.process.is_none(), "the host still runs");
        self.process =
            Some(Process::start(self.directory.path(), &self.environment, &self.roles).await);
    }

    /// Asks it to stop, and returns its exit code.
    pub async fn terminate(&mut self) -> Option<i32> {
        let mut process = self.process.take().expect("the host runs");
        let id = process.child.id().expect("the host runs").to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().await;
        assert!(sent.expect("`kill` can be run").success());
        let ended = tokio::time::timeout(PATIENCE, process.child.wait()).await;
        ended
            .expect("the host stops when it is told to")
            .expect("the host can be waited for")
            .code()
    }

    /// `GET` of an admin path, as JSON.
    pub async fn admin_json(&self, path: &str) -> Value {
        self.try_admin_json(path).await.expect("the admin API answers")
    }

    /// The same of a host that may be dead.
    pub async fn try_admin_json(&self, path: &str) -> reqwest::Result<Value> {
        let response = client().get(format!("{}{path}", self.admin())).send().await?;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.json().await
    }

    /// Waits until every request and async queue is empty: nothing is left to
    /// do but to collect.
    pub async fn settled(&self) {
        self.holds_nothing("all jobs to end", |queue| queue["csp"].is_string()).await;
    }

    /// Waits until every queue is empty: what was collected has been deleted,
    /// too, which happens when its response has left.
    pub async fn emptied(&self) {
        self.holds_nothing("all outcomes to be deleted", |_| true).await;
    }

    async fn holds_nothing(&self, what: &str, of: impl Fn(&Value) -> bool) {
        eventually(what, || async {
            let answer = self.admin_json("/queues").await;
            (messages(&answer, &of) == 0).then_some(())
        })
        .await;
    }
}

/// How many messages these queues hold, by an answer to `GET /queues`.
pub fn messages(answer: &Value, of: impl Fn(&Value) -> bool) -> u64 {
    let queues = answer["queues"].as_array().expect("a list").iter();
    let count =
        |queue: &Value| ["depth", "inFlight"].map(|name| queue[name].as_u64().expect("a count"));
    queues.filter(|queue| of(queue)).flat_map(count).sum()
}

struct Process {
    child: Child,
    /// None where the host has no such role.
    api: Option<String>,
    admin: String,
    log: Arc<Mutex<Vec<Value>>>,
}

impl Process {
    async fn start(directory: &Path, environment: &[(String, String)], roles: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hoth"))
            .args(["serve", "--config", "hoth.toml", "--log", "json", "--roles", roles])
            .args(["--log-filter", &log_filter(environment)])
            .current_dir(directory)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the host can be started");
        let stderr = child.stderr.take().expect("standard error is piped");
        let mut lines = BufReader::new(stderr).lines();
        let (mut api, mut admin) = (None, None);
        let mut said = Vec::new();
        let log = Arc::new(Mutex::new(Vec::new()));
        // The admin listener is the last to be bound.
        while admin.is_none() {
            let line = tokio::time::timeout(PATIENCE, lines.next_line()).await;
            let line = line.expect("the host starts in time").expect("its log can be read");
            let line =
                line.unwrap_or_else(|| panic!("the host did not start:\n{}", said.join("\n")));
            if let Ok(event) = serde_json::from_str::<Value>(&line) {
                let scheme = if event["tls"] == true { "https" } else { "http" };
                let address = event["address"].as_str().map(|a| format!("{scheme}://{a}"));
                match event["message"].as_str() {
                    Some("Listening for api") => api = address,
                    Some("Listening for admin") => admin = address,
                    _ => {}
                }
                log.lock().expect("no panic while logging").push(event);
            }
            said.push(line);
        }
        let kept = Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let event = serde_json::from_str(&line).unwrap_or(Value::String(line.clone()));
                kept.lock().expect("no panic while logging").push(event);
                eprintln!("{line}");
            }
        });
        Self { child, api, admin: admin.expect("just seen"), log }
    }
}

/// `HOTH_TEST_LOG`, as a test sets it for its host, or a person for all tests.
fn log_filter(environment: &[(String, String)]) -> String {
    let own = environment.iter().cloned();
    own.chain(std::env::vars())
        .find_map(|(name, value)| (name == "HOTH_TEST_LOG").then_some(value))
        .unwrap_or_else(|| "info".to_owned())
}
