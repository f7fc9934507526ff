//! A host, a ServiceNow, and patience.
//!
//! The host is the real program with the real adapter, a real queue in a
//! temporary folder and real listeners on free ports.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;

use reqwest::Method;
use reqwest::StatusCode;
use serde_json::Value;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::AsyncBufReadExt;
use tokio::io::BufReader;
use tokio::process::Child;
use tokio::process::Command;

use hoth::failpoint;
use mock_csp::MockCsp;
use mock_csp::Stratus;
use mock_csp::stratus::KEY_HEADER;

/// How long anything may take that ends by itself. Far more than it needs: two
/// busy cores must not fail a test.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Calls `look` until it finds something.
///
/// # Panics
///
/// After [`PATIENCE`], with what was waited for.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// How a host is set up.
pub struct Setup {
    csps: String,
    settings: String,
    queue: String,
    roles: String,
    environment: Vec<(String, String)>,
    adapters: BTreeSet<&'static str>,
    /// Further ones, by the names of their files.
    guests: Vec<(String, Vec<u8>)>,
}

impl Setup {
    /// Quick retries and polls, the `atat` adapter, and no CSP yet.
    pub fn new() -> Self {
        Self {
            csps: String::new(),
            settings: String::new(),
            queue: "path = \"data/hoth.db\"".to_owned(),
            roles: "api,worker,watcher".to_owned(),
            environment: Vec::new(),
            adapters: BTreeSet::from(["atat"]),
            guests: Vec::new(),
        }
    }

    /// Adds `name`, served by `csp` through the `stratus` adapter.
    pub fn stratus(mut self, name: &str, csp: &Stratus) -> Self {
        let (base_url, variable) = (csp.base_url(), format!("{name}_KEY"));
        write!(
            self.csps,
            r#"
[csp.{name}]
adapter = "stratus"
base_url = "{base_url}"
[csp.{name}.api_key]
header = "{KEY_HEADER}"
value = {{ env = "{variable}" }}
"#
        )
        .expect("writing to a string succeeds");
        self.environment.push((variable, csp.key().to_owned()));
        self.adapters.insert("stratus");
        self
    }

    /// Adds `name`, served by `csp` through the `atat` adapter.
    pub fn csp(self, name: &str, csp: &MockCsp) -> Self {
        self.csp_with(name, csp, "")
    }

    /// The same, with more lines for its table, such as `timeout_ms = 300`.
    pub fn csp_with(self, name: &str, csp: &MockCsp, lines: &str) -> Self {
        self.csp_at(name, csp.base_url().as_ref(), csp.token_url().as_ref(), csp, lines)
    }

    /// The same, at URLs of its own.
    pub fn csp_at(
        mut self,
        name: &str,
        base_url: &str,
        token_url: &str,
        csp: &MockCsp,
        lines: &str,
    ) -> Self {
        let variable = format!("{name}_CLIENT_SECRET");
        let client_id = csp.client_id();
        write!(
            self.csps,
            r#"
[csp.{name}]
adapter = "atat"
base_url = "{base_url}"
{lines}
[csp.{name}.oauth2]
token_url = "{token_url}"
client_id = "{client_id}"
client_secret = {{ env = "{variable}" }}
"#
        )
        .expect("writing to a string succeeds");
        self.environment.push((variable, csp.client_secret().to_owned()));
        self
    }

    /// Adds a table, or anything else that a configuration may hold.
    pub fn with(mut self, lines: &str) -> Self {
        self.settings.push_str(lines);
        self.settings.push('\n');
        self
    }

    /// Keeps the queues elsewhere, as these lines of `[queue]` say.
    pub fn queue(mut self, lines: &str) -> Self {
        lines.clone_into(&mut self.queue);
        self
    }

    /// What the host does, as `--roles` has it.
    pub fn roles(mut self, roles: &str) -> Self {
        roles.clone_into(&mut self.roles);
        self
    }

    /// Adds any other adapter; [`Self::with`] a table `[csp.…]` names it.
    pub fn adapter(mut self, name: &str, wasm: Vec<u8>) -> Self {
        self.guests.push((name.to_owned(), wasm));
        self
    }

    /// Overrides keys from the environment, such as `HOTH__RETRY__ATTEMPTS`.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the host.
    pub async fn start(self) -> TestHost {
        let directory = tempfile::tempdir().expect("a temporary folder can be made");
        let adapters = directory.path().join("adapters");
        std::fs::create_dir(&adapters).expect("a folder can be made");
        for name in &self.adapters {
            std::fs::copy(component(name), adapters.join(name).with_extension("wasm"))
                .expect("the adapter can be copied");
        }
        for (name, wasm) in &self.guests {
            std::fs::write(adapters.join(name).with_extension("wasm"), wasm)
                .expect("an adapter can be written");
        }
        let defaults = [
            ("retry", "[retry]\ninitial_backoff_ms = 20\nmax_backoff_ms = 2000\n"),
            ("polling", "[polling]\ninitial_ms = 20\nmax_ms = 100\n"),
        ];
        let mut text = format!(
            r#"
[api]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[queue]
{}
[adapters]
directory = "adapters"
cache_directory = "{}"
"#,
            self.queue,
            compiled_adapters().display()
        );
        for (table, lines) in defaults {
            if !self.settings.contains(&format!("[{table}]")) {
                text.push_str(lines);
            }
        }
        text.push_str(&self.settings);
        text.push_str(&self.csps);
        std::fs::write(directory.path().join("hoth.toml"), text).expect("a file can be written");
        let directory = Arc::new(directory);
        TestHost::start(directory, self.environment, self.roles).await
    }
}

/// The component that `cargo xtask adapters` built.
pub fn component(name: &str) -> PathBuf {
    built("adapters", name)
}

/// The misbehaving one that `cargo xtask adapters --guests` built.
pub fn guest(name: &str) -> PathBuf {
    built("guests", name)
}

/// The one in another language that `cargo xtask adapters --samples` built.
pub fn sample(name: &str) -> Vec<u8> {
    std::fs::read(built("samples", name)).expect("the sample can be read")
}

fn built(folder: &str, name: &str) -> PathBuf {
    let file = target_directory().join(folder).join(format!("{name}.wasm"));
    let option = if folder == "samples" { "--samples" } else { "--guests" };
    assert!(file.is_file(), "{} is missing: run `cargo xtask adapters {option}`", file.display());
    file
}

/// Where compiled adapters are kept from one test to the next.
pub fn compiled_adapters() -> PathBuf {
    target_directory().join("e2e-adapter-cache")
}

fn target_directory() -> PathBuf {
    // The program lies in target/debug.
    let program = Path::new(env!("CARGO_BIN_EXE_hoth"));
    program.ancestors().nth(2).expect("the program lies in target/<profile>").to_owned()
}

/// A running host; killed when it is dropped.
pub struct TestHost {
    directory: Arc<TempDir>,
    environment: Vec<(String, String)>,
    roles: String,
    process: Option<Process>,
}

impl TestHost {
    async fn start(
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

/// An HTTP client that keeps out of the way.
pub fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build();
    client.expect("an HTTP client can be made")
}

/// What ServiceNow does.
#[derive(Clone)]
pub struct ServiceNow {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

/// What HOTH answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }
}

impl ServiceNow {
    /// Whoever calls `base`, with a bearer token or none.
    pub fn at(http: reqwest::Client, base: String, token: Option<&str>) -> Self {
        Self { http, base, token: token.map(str::to_owned) }
    }

    /// Any request.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        self.try_send(method, path, body).await.expect("HOTH answers")
    }

    /// The same of a host that may be dead.
    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> reqwest::Result<Answer> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, text: response.text().await? })
    }

    /// Posts a provisioning job that must be accepted.
    pub async fn provision(&self, job: &Value) {
        let answer = self.send(Method::POST, "/provisioning-jobs", Some(job)).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
    }

    /// Posts a cost request that must be accepted.
    pub async fn ask_cost(&self, request: &Value) {
        let answer = self.send(Method::POST, "/cost-jobs", Some(request)).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
    }

    /// One `GET`, as a list of messages.
    pub async fn collect(&self, path: &str) -> Vec<Value> {
        let answer = self.send(Method::GET, path, None).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json().as_array().expect("a list of messages").clone()
    }

    /// Collects until `count` messages have come.
    pub async fn collect_all(&self, path: &str, count: usize) -> Vec<Value> {
        let begun = Instant::now();
        let mut messages = Vec::new();
        while messages.len() < count {
            assert!(begun.elapsed() < PATIENCE, "{} of {count}: {messages:#?}", messages.len());
            messages.extend(self.collect(&format!("{path}?wait=1")).await);
        }
        assert_eq!(messages.len(), count, "more messages than jobs: {messages:#?}");
        messages
    }

    /// The one outcome of the one provisioning job under way.
    pub async fn outcome(&self) -> Value {
        self.collect_all("/provisioning-jobs", 1).await.remove(0)
    }

    /// The one outcome of the one cost request under way.
    pub async fn cost_outcome(&self) -> Value {
        self.collect_all("/cost-jobs", 1).await.remove(0)
    }
}

/// A task order as ServiceNow's documentation has it.
pub fn task_order() -> Value {
    json!({
        "taskOrderNumber": "1234567890123",
        "popStartDate": "2021-07-01",
        "popEndDate": "2022-07-01",
        "clins": [{
            "clinNumber": "9999",
            "type": "CLOUD",
            "classificationLevel": "UNCLASSIFIED",
            "popStartDate": "2021-07-01",
            "popEndDate": "2022-07-01"
        }]
    })
}

/// A provisioning job at `csp`; the portfolio is `p-1` where one is needed.
pub fn job(id: &str, csp: &str, operation: &str) -> Value {
    let operator = json!({"email": "admin1@mail.mil", "dodId": "1122334455"});
    let payload = match operation {
        "ADD_PORTFOLIO" => json!({"name": "Sample Portfolio", "taskOrders": [task_order()]}),
        "GET_PORTFOLIO" => json!({}),
        "ADD_ENVIRONMENT" => json!({
            "name": "Sample Environment",
            "administrators": [operator],
            "classificationLevel": "UNCLASSIFIED"
        }),
        "ADD_TASK_ORDER" => json!({"taskOrder": task_order()}),
        "UPDATE_TASK_ORDER" => json!({"taskOrderId": "t-1", "taskOrder": task_order()}),
        "ADD_OPERATORS" | "ADD_ADMINISTRATOR" => {
            json!({"administrators": [operator], "environmentId": "e-1"})
        }
        other => panic!("no sample for {other}"),
    };
    let mut job = json!({
        "jobId": id,
        "userId": "21d18790-bf3e-4529-a361-460ee6d16e0b",
        "targetCspName": csp,
        "operationType": operation,
        "payload": payload
    });
    if operation != "ADD_PORTFOLIO" {
        job["portfolioId"] = json!("p-1");
    }
    job
}

/// A cost request at `csp` for the portfolio `p-1`.
pub fn cost(id: &str, csp: &str) -> Value {
    json!({
        "requestId": id,
        "portfolioId": "p-1",
        "targetCspName": csp,
        "startDate": "2022-01-01",
        "endDate": "2022-12-01"
    })
}
