//! Clients that act as ServiceNow: some submit, some consume, some lease and
//! acknowledge. Beside them [operators](crate::operator) act on single jobs.
//! Each goes on after the death of a host.

use std::hash::DefaultHasher;
use std::hash::Hash as _;
use std::hash::Hasher as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use anyhow::Context as _;
use fastrand::Rng;
use reqwest::Client;
use reqwest::StatusCode;
use serde_json::Value;
use serde_json::json;
use tokio::sync::RwLock;
use tokio::sync::watch;

use crate::ledger::Item;
use crate::ledger::Ledger;
use crate::operator::Operator;

/// Submitters; each sends one job after the other.
const SUBMITTERS: usize = 6;

/// Collectors that consume, and those that lease.
const CONSUMERS: usize = 2;
const LEASERS: usize = 2;

/// Operators, who act on single jobs.
const OPERATORS: usize = 4;

/// Portfolios that jobs are spread over.
const PORTFOLIOS: u32 = 40;

/// Open jobs from which on submitters pause: enough that every queue has
/// something to lose, few enough that each part comes to its end.
const OPEN_MAX: usize = 400;

/// The lease of a batch in seconds: longer than a host is down.
const LEASE_S: u32 = 20;

/// The longest wait of a client for an answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The pause of a client that has nothing to do, or no host to talk to.
pub const PAUSE: Duration = Duration::from_millis(10);

/// One run of the host process, as the clients see it.
#[derive(Debug, Clone, Copy)]
pub struct HostRun {
    pub api: SocketAddr,
    pub admin: SocketAddr,
}

/// The state that all clients share.
pub struct Shared {
    pub http: Client,
    /// Held for reading during a request, and for writing by the trial while it
    /// exchanges the host: no client is at work between two runs.
    pub run: RwLock<Option<HostRun>>,
    ledger: Mutex<Ledger>,
    stage: watch::Sender<Stage>,
    /// `true` if the host may refuse because it cannot store anything now.
    pub refuses: bool,
}

/// The work that the clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    All,
    CollectOnly,
    Nothing,
}

/// Returns an HTTP client without a proxy and with a timeout.
pub fn http() -> anyhow::Result<Client> {
    // Fails if another part has installed the provider before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().no_proxy().timeout(TIMEOUT).build();
    client.context("making an HTTP client")
}

impl Shared {
    /// Returns the state of clients that have no host yet. With `refuses`, an
    /// answer of 503 counts as no answer instead of an error.
    pub fn new(refuses: bool) -> anyhow::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            http: http()?,
            run: RwLock::new(None),
            ledger: Mutex::default(),
            stage: watch::Sender::new(Stage::All),
            refuses,
        }))
    }

    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns `true` until the submitters are to stop.
    pub fn accepts_work(&self) -> bool {
        *self.stage.borrow() == Stage::All
    }

    /// Makes the submitters stop.
    pub fn only_collect(&self) {
        self.stage.send_replace(Stage::CollectOnly);
    }

    /// Makes all clients stop.
    pub fn stop(&self) {
        self.stage.send_replace(Stage::Nothing);
    }
}

/// Starts all clients. Each has a random generator of its own, derived from
/// `seed`.
pub fn start(shared: &Arc<Shared>, seed: u64) -> Vec<tokio::task::JoinHandle<()>> {
    let rng = |number: usize| Rng::with_seed(seed.wrapping_add(number as u64 + 1));
    let mut tasks = Vec::new();
    for number in 0..SUBMITTERS {
        let submitter = Submitter {
            shared: Arc::clone(shared),
            rng: rng(number),
            number,
            sent: 0,
            again: None,
        };
        tasks.push(tokio::spawn(submitter.run()));
    }
    for number in 0..CONSUMERS + LEASERS {
        let collector = Collector {
            shared: Arc::clone(shared),
            rng: rng(SUBMITTERS + number),
            number,
            leases: number >= CONSUMERS,
            answers: 0,
            batch: None,
        };
        tasks.push(tokio::spawn(collector.run()));
    }
    for number in 0..OPERATORS {
        let rng = rng(SUBMITTERS + CONSUMERS + LEASERS + number);
        let operator = Operator { shared: Arc::clone(shared), rng };
        tasks.push(tokio::spawn(operator.run()));
    }
    tasks
}

struct Submitter {
    shared: Arc<Shared>,
    rng: Rng,
    number: usize,
    sent: u64,
    /// A job that had no answer, and is sent again.
    again: Option<(&'static str, String, Value)>,
}

impl Submitter {
    async fn run(mut self) {
        while self.shared.accepts_work() {
            if !self.turn().await {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Sends one job. Returns `false` if there was nothing to do or no host.
    async fn turn(&mut self) -> bool {
        let shared = Arc::clone(&self.shared);
        let run = shared.run.read().await;
        let Some(run) = *run else { return false };
        if shared.ledger().open() >= OPEN_MAX {
            return false;
        }
        let (path, id, body) = self.again.take().unwrap_or_else(|| self.next());
        shared.ledger().posting(&id);
        let url = format!("http://{}{path}", run.api);
        let request = shared.http.post(url).header("content-type", "application/json");
        let answer = answered(request.body(body.to_string())).await;
        match answer {
            Ok((StatusCode::CREATED | StatusCode::ACCEPTED, _, _)) => {
                shared.ledger().acknowledged(&id);
                true
            }
            Ok((StatusCode::SERVICE_UNAVAILABLE, _, _)) if shared.refuses => {
                self.again = Some((path, id, body));
                false
            }
            Ok((status, _, text)) => {
                shared.ledger().error(format!("POST {path} was answered {status}: {text}"));
                false
            }
            Err(_) => {
                // Some clients post again when they have no answer, and some do
                // not.
                self.again = self.rng.bool().then_some((path, id, body));
                false
            }
        }
    }

    fn next(&mut self) -> (&'static str, String, Value) {
        self.sent += 1;
        let id = format!("job-{}-{}", self.number, self.sent);
        let csp = if self.rng.bool() { "CSP_A" } else { "CSP_B" };
        let portfolio = format!("p-{}", self.rng.u32(0..PORTFOLIOS));
        if self.rng.u8(0..4) == 0 {
            let body = json!({
                "requestId": id, "portfolioId": portfolio, "targetCspName": csp,
                "startDate": "2022-01-01", "endDate": "2022-12-01"
            });
            return ("/cost-jobs", id, body);
        }
        let body = json!({
            "jobId": id, "userId": "u-1", "portfolioId": portfolio, "targetCspName": csp,
            "operationType": "ADD_TASK_ORDER",
            "payload": {"taskOrder": {
                "taskOrderNumber": "1234567890123", "popStartDate": "2021-07-01",
                "popEndDate": "2022-07-01", "clins": []
            }}
        });
        ("/provisioning-jobs", id, body)
    }
}

struct Collector {
    shared: Arc<Shared>,
    rng: Rng,
    number: usize,
    leases: bool,
    answers: u64,
    batch: Option<Batch>,
}

/// A leased batch that is to be acknowledged or returned.
struct Batch {
    path: &'static str,
    name: String,
    items: Vec<Item>,
    how: &'static str,
}

impl Collector {
    async fn run(mut self) {
        // A batch that a client holds is settled before it ends.
        while *self.shared.stage.borrow() != Stage::Nothing || self.batch.is_some() {
            if !self.turn().await {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn turn(&mut self) -> bool {
        let shared = Arc::clone(&self.shared);
        let run = shared.run.read().await;
        let Some(run) = *run else { return false };
        if let Some(batch) = self.batch.take() {
            return self.settle(run, batch).await;
        }
        let path = if self.rng.bool() { "/provisioning-jobs" } else { "/cost-jobs" };
        let query = match self.leases {
            true => format!("?wait=1&lease={LEASE_S}"),
            false => "?wait=1".to_owned(),
        };
        let request = shared.http.get(format!("http://{}{path}{query}", run.api));
        let Ok((status, batch, text)) = answered(request).await else { return false };
        if status == StatusCode::SERVICE_UNAVAILABLE && shared.refuses {
            return false;
        }
        let items = match (status, items(&text)) {
            (StatusCode::OK, Ok(items)) => items,
            (_, read) => {
                let error = format!("GET {path}{query} was answered {status}: {text} ({read:?})");
                shared.ledger().error(error);
                return false;
            }
        };
        if !self.leases {
            self.answers += 1;
            shared.ledger().consumed(self.number, self.answers, &items);
            return true;
        }
        let Some(name) = batch else { return true };
        shared.ledger().leased(&items);
        let how = if self.rng.u8(0..8) == 0 { "release" } else { "ack" };
        if how == "release" {
            // Recorded before the request: from then on another client may have
            // it.
            shared.ledger().returned(&items);
        }
        self.batch = Some(Batch { path, name, items, how });
        true
    }

    async fn settle(&mut self, run: HostRun, batch: Batch) -> bool {
        let shared = Arc::clone(&self.shared);
        let url = format!("http://{}{}/{}", run.api, batch.path, batch.how);
        let request = shared.http.post(url).header("content-type", "application/json");
        let body = json!({"batch": batch.name}).to_string();
        let answer = answered(request.body(body)).await;
        match answer {
            Ok((StatusCode::OK | StatusCode::CONFLICT, _, _)) if batch.how == "release" => true,
            Ok((StatusCode::OK, _, _)) => {
                shared.ledger().settled(&batch.items, true);
                true
            }
            Ok((StatusCode::CONFLICT, _, _)) => {
                shared.ledger().settled(&batch.items, false);
                true
            }
            Ok((StatusCode::SERVICE_UNAVAILABLE, _, _)) if shared.refuses => {
                self.batch = Some(batch);
                false
            }
            Ok((status, _, text)) => {
                let error =
                    format!("POST {}/{} was answered {status}: {text}", batch.path, batch.how);
                shared.ledger().error(error);
                false
            }
            // The host may have done it or not, so the client asks again.
            Err(_) => {
                self.batch = Some(batch);
                false
            }
        }
    }
}

/// Returns the whole answer and the name of its batch.
pub async fn answered(
    request: reqwest::RequestBuilder,
) -> reqwest::Result<(StatusCode, Option<String>, String)> {
    let response = request.send().await?;
    let status = response.status();
    let batch = response.headers().get("hoth-batch");
    let batch = batch.and_then(|name| name.to_str().ok()).map(str::to_owned);
    Ok((status, batch, response.text().await?))
}

fn items(text: &str) -> anyhow::Result<Vec<Item>> {
    let messages: Vec<Value> = serde_json::from_str(text).context("the answer is no list")?;
    let item = |message: &Value| {
        let provisioning = message["initialSnowRequest"]["jobId"].as_str();
        let id = provisioning.or(message["content"]["request"]["requestId"].as_str());
        let id = id.with_context(|| format!("a message without an id: {message}"))?;
        let code = message["code"].as_u64().and_then(|code| code.try_into().ok());
        let code = code.with_context(|| format!("a message without a code: {message}"))?;
        let mut hasher = DefaultHasher::new();
        message.to_string().hash(&mut hasher);
        Ok(Item { job: id.to_owned(), code, hash: hasher.finish() })
    };
    messages.iter().map(item).collect()
}
