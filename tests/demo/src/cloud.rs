//! Jobs at a cloud, one after the other, as ServiceNow runs them.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::ensure;
use serde_json::Value;
use serde_json::json;

use crate::PATIENCE;
use crate::http;
use crate::job_of;
use crate::shorten;

/// ServiceNow, which provisions at one CSP.
pub struct ServiceNow {
    pub api: SocketAddr,
    pub csp: &'static str,
}

impl ServiceNow {
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
    pub async fn costs(&self, portfolio: &str, first: &str, last: &str) -> anyhow::Result<Value> {
        let request = json!({
            "requestId": "costs", "portfolioId": portfolio, "targetCspName": self.csp,
            "startDate": first, "endDate": last
        });
        self.run("/cost-jobs", &request).await
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
pub fn id_of(response: &Value, object: &str) -> anyhow::Result<String> {
    let id = response[object]["id"].as_str().map(str::to_owned);
    id.with_context(|| format!("the response has no id of the {object}"))
}
