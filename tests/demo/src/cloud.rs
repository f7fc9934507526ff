//! A cloud that a host provisions at, one job after the other, as ServiceNow
//! runs them.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::ensure;
use hoth_testkit::HostConfig;
use hoth_testkit::HostProcess;
use serde_json::Value;
use serde_json::json;
use tempfile::TempDir;

use crate::PATIENCE;
use crate::deployment::Built;
use crate::deployment::stop;
use crate::http;
use crate::job_of;
use crate::shorten;

/// A polling schedule that is quick enough to watch.
const POLLING: &str = "[polling]\ninitial_ms = 200\nmax_ms = 1000";

/// The months of costs: those of the sample costs, and one without any.
const FIRST_MONTH: &str = "2026-01";
const LAST_MONTH: &str = "2026-03";

/// A host that serves one CSP, and ServiceNow.
pub struct Cloud {
    csp: &'static str,
    api: SocketAddr,
    host: HostProcess,
    /// Deleted when the demo ends.
    _directory: TempDir,
}

impl Cloud {
    /// Starts a host with the bundled adapter `adapter`. `add_csp` adds the
    /// table of `csp` to its configuration.
    pub async fn start(
        built: &Built,
        adapter: &str,
        csp: &'static str,
        add_csp: impl FnOnce(HostConfig) -> anyhow::Result<HostConfig>,
    ) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir().context("making a temporary folder")?;
        let component = built.adapter.with_file_name(format!("{adapter}.wasm"));
        let config = HostConfig::default().table(POLLING).adapter_file(adapter, &component);
        let command = add_csp(config)?.write(&built.program, directory.path())?;
        let (host, addresses) = command.start().await?;
        println!("\nOutcomes that ServiceNow collected:");
        Ok(Self { csp, api: addresses.api()?, host, _directory: directory })
    }

    /// Provisions a portfolio, and returns its id.
    pub async fn portfolio(&self, task_orders: &Value) -> anyhow::Result<String> {
        let payload = json!({"name": "Demo", "taskOrders": task_orders});
        let response = self.provision("portfolio", "ADD_PORTFOLIO", None, &payload).await?;
        id_of(&response, "portfolio")
    }

    /// Provisions an environment with an operator, then another operator, and
    /// returns the id of the environment.
    pub async fn environment(&self, portfolio: &str) -> anyhow::Result<String> {
        let payload = json!({
            "name": "Production", "classificationLevel": "UNCLASSIFIED",
            "administrators": [operator("ada@example.mil")]
        });
        let response =
            self.provision("environment", "ADD_ENVIRONMENT", Some(portfolio), &payload).await?;
        let environment = id_of(&response, "environment")?;
        let payload = json!({
            "environmentId": environment, "administrators": [operator("grace@example.mil")]
        });
        self.provision("operators", "ADD_OPERATORS", Some(portfolio), &payload).await?;
        Ok(environment)
    }

    /// Runs a provisioning job, which must succeed, and returns its response.
    pub async fn provision(
        &self,
        id: &str,
        operation: &str,
        portfolio: Option<&str>,
        payload: &Value,
    ) -> anyhow::Result<Value> {
        let mut job = json!({
            "jobId": id, "userId": "demo", "targetCspName": self.csp, "operationType": operation,
            "payload": payload
        });
        if let Some(portfolio) = portfolio {
            job["portfolioId"] = json!(portfolio);
        }
        self.run("/provisioning-jobs", &job).await
    }

    /// Collects the costs of a portfolio.
    pub async fn costs(&self, portfolio: &str) -> anyhow::Result<Value> {
        let request = json!({
            "requestId": "costs", "portfolioId": portfolio, "targetCspName": self.csp,
            "startDate": FIRST_MONTH, "endDate": LAST_MONTH
        });
        self.run("/cost-jobs", &request).await
    }

    /// Prints what the SDK of the cloud has read there, and stops the host.
    pub async fn end(self, heading: &str, read: &str) -> anyhow::Result<()> {
        println!("\n{heading}:");
        for line in read.lines() {
            println!("  {line}");
        }
        stop(self.host).await
    }

    /// Submits a job, and waits for its outcome, which must be a success.
    async fn run(&self, path: &str, job: &Value) -> anyhow::Result<Value> {
        http::post(self.api, path, job).await?;
        let started_at = Instant::now();
        loop {
            ensure!(started_at.elapsed() < PATIENCE, "no outcome came within {PATIENCE:?}");
            let messages = http::get(self.api, &format!("{path}?wait=1")).await?;
            let Some(message) = messages.get(0) else { continue };
            let mut response = message["content"]["response"].clone();
            // It repeats the request.
            response.as_object_mut().map(|response| response.remove("$metadata"));
            let shown = shorten(&response.to_string(), 110);
            println!("  {} {:<12} {shown}", message["code"], job_of(message));
            ensure!(message["code"] == 200, "the job ended with {}", message["code"]);
            return Ok(response);
        }
    }
}

/// Returns the id of the object of a response.
fn id_of(response: &Value, object: &str) -> anyhow::Result<String> {
    let id = response[object]["id"].as_str().map(str::to_owned);
    id.with_context(|| format!("the response has no id of the {object}"))
}

fn operator(email: &str) -> Value {
    json!({"email": email, "dodId": "1122334455"})
}
