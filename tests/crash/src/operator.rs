//! An operator who looks at jobs, cancels them and settles them by hand, at
//! random, while hosts die.

use std::sync::Arc;

use fastrand::Rng;
use reqwest::StatusCode;
use serde_json::Value;
use serde_json::json;

use crate::clients::HostRun;
use crate::clients::PAUSE;
use crate::clients::Shared;
use crate::clients::answered;

/// The code of an outcome by hand, which no CSP of the test sends.
const BY_HAND: u16 = 299;

/// The code of the failure message of a cancelled job.
const CANCELLED: u16 = 500;

/// Acts on one job after the other.
pub struct Operator {
    pub shared: Arc<Shared>,
    pub rng: Rng,
}

/// An act on a job.
struct Act {
    name: &'static str,
    body: Value,
    /// The code of the outcome, if the act ends the job.
    ends_with: Option<u16>,
}

impl Operator {
    pub async fn run(mut self) {
        // Like the submitters: at the end all jobs are to come to theirs.
        while self.shared.accepts_work() {
            self.turn().await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn turn(&mut self) {
        let shared = Arc::clone(&self.shared);
        let run = shared.run.read().await;
        let Some(run) = *run else { return };
        let waiting = if self.rng.bool() { self.waiting(run).await } else { None };
        let id = waiting.or_else(|| shared.ledger().any_open(&mut self.rng));
        let Some(id) = id else { return };
        let Act { name, body, ends_with } = self.act();
        let url = format!("http://{}/jobs/{id}/{name}", run.admin);
        let request = shared.http.post(url).header("content-type", "application/json");
        // Without an answer the act was done, or not: both are allowed.
        let Ok((status, _, text)) = answered(request.body(body.to_string())).await else { return };
        match status {
            StatusCode::OK => {
                if let Some(code) = ends_with {
                    shared.ledger().ended_by_hand(&id, code);
                }
            }
            // A worker has it in hand, or it has ended.
            StatusCode::CONFLICT => {}
            status if shared.refuses && status.is_server_error() => {}
            status => {
                shared.ledger().error(format!("POST {name} of {id} was answered {status}: {text}"));
            }
        }
    }

    /// Returns a job that waits for its CSP. Most of the open jobs have ended
    /// already, and wait for a client.
    async fn waiting(&mut self, run: HostRun) -> Option<String> {
        let queue = self.rng.choice(["async-provisioning-jobs-CSP_B", "async-cost-jobs-CSP_B"])?;
        let url = format!("http://{}/queues/{queue}/explain", run.admin);
        let (status, _, text) = answered(self.shared.http.get(url)).await.ok()?;
        let explained: Value = serde_json::from_str(&text).ok()?;
        let groups = explained["blocked"].as_array().filter(|_| status == StatusCode::OK)?;
        Some(self.rng.choice(groups)?["head"].as_str()?.to_owned())
    }

    fn act(&mut self) -> Act {
        let reason = "the crash test";
        match self.rng.u8(0..3) {
            0 => Act { name: "look-now", body: json!({}), ends_with: None },
            1 => {
                Act { name: "cancel", body: json!({"reason": reason}), ends_with: Some(CANCELLED) }
            }
            _ => Act {
                name: "settle",
                body: json!({"reason": reason, "code": BY_HAND, "response": {}}),
                ends_with: Some(BY_HAND),
            },
        }
    }
}
