//! The answers of the ATAT API.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use serde_json::Value;
use serde_json::json;

use super::Mode;
use super::Options;
use super::route::Operation;
use super::rules;
use super::rules::InvalidRequest;
use super::rules::ValidRequest;
use crate::identity::Tokens;
use crate::server::Answer;
use crate::server::Behaviour;
use crate::server::Call;
use crate::server::Reply;

/// The largest number of jobs. Older ones are forgotten, and their status is
/// 404.
const JOBS_MAX: usize = 100_000;

/// The number of refusals of a portfolio that fails twice.
const FAILURES: u64 = 2;

/// The API of one CSP.
pub struct Api {
    options: Options,
    base_url: String,
    tokens: Arc<Tokens>,
    /// The number of things made so far, from which the next id comes.
    made: AtomicU64,
    /// The number of requests for a portfolio named [`Options::fail_twice`].
    flaky: AtomicU64,
    jobs: Mutex<BTreeMap<u64, Job>>,
}

/// Work that was accepted for later.
struct Job {
    portfolio_id: Value,
    environment_id: Option<Value>,
    /// Polls that still find it in progress.
    polls_left: u32,
}

impl Api {
    pub fn new(options: Options, base_url: String, tokens: Arc<Tokens>) -> Self {
        Self {
            options,
            base_url,
            tokens,
            made: AtomicU64::new(0),
            flaky: AtomicU64::new(0),
            jobs: Mutex::default(),
        }
    }

    fn grant(&self, valid: ValidRequest) -> Answer {
        match valid.operation {
            Operation::AddPortfolio if self.fails(&valid.body["name"]) => {
                Answer::json(503, &json!({"message": "the portfolio cannot be made now"}))
            }
            Operation::Poll => self.status(&valid.ids[0]),
            Operation::GetPortfolio | Operation::Cost | Operation::CostOfClin => {
                Answer::json(200, &self.thing(valid))
            }
            Operation::AddPortfolio
            | Operation::AddEnvironment
            | Operation::AddTaskOrder
            | Operation::UpdateTaskOrder
            | Operation::AddOperators => match self.options.mode {
                Mode::Sync => Answer::json(200, &self.thing(valid)),
                Mode::Async { polls } => self.accept(valid, polls),
            },
        }
    }

    fn fails(&self, name: &Value) -> bool {
        let is = |wanted: &Option<String>| wanted.as_deref().is_some_and(|wanted| name == wanted);
        is(&self.options.fail_always)
            || is(&self.options.fail_twice) && self.flaky.fetch_add(1, Ordering::Relaxed) < FAILURES
    }

    /// Returns the resource that was read or made, with its ids.
    fn thing(&self, ValidRequest { operation, ids, mut body }: ValidRequest) -> Value {
        match operation {
            Operation::AddPortfolio => {
                body["id"] = self.id("portfolio");
                for order in body["task_orders"].as_array_mut().into_iter().flatten() {
                    order["id"] = self.id("task-order");
                }
                body
            }
            Operation::GetPortfolio => {
                json!({"id": ids[0], "name": format!("Portfolio {}", ids[0]), "task_orders": []})
            }
            Operation::AddEnvironment => {
                body["id"] = self.id("environment");
                body
            }
            Operation::AddTaskOrder => {
                body["id"] = self.id("task-order");
                body
            }
            Operation::UpdateTaskOrder => {
                body["id"] = json!(ids[1]);
                body
            }
            Operation::AddOperators => {
                body["id"] = json!(ids[ids.len() - 1]);
                body
            }
            Operation::Cost => json!({
                "task_orders": [{"id": "task-order-1", "clins": [clin_costs("0001")]}]
            }),
            Operation::CostOfClin => clin_costs(&ids[2]),
            Operation::Poll => unreachable!("a job is no thing"),
        }
    }

    /// Accepts work for later.
    fn accept(&self, ValidRequest { operation, ids, .. }: ValidRequest, polls: u32) -> Answer {
        let portfolio_id = match ids.first() {
            Some(id) => json!(id),
            None => self.id("portfolio"),
        };
        let environment_id = match operation {
            Operation::AddEnvironment => Some(self.id("environment")),
            Operation::AddOperators => ids.get(1).map(|id| json!(id)),
            Operation::AddPortfolio
            | Operation::GetPortfolio
            | Operation::AddTaskOrder
            | Operation::UpdateTaskOrder
            | Operation::Cost
            | Operation::CostOfClin
            | Operation::Poll => None,
        };
        let number = self.next();
        let job = Job { portfolio_id, environment_id, polls_left: polls };
        let body = job.status(number, "NOT_STARTED");
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if jobs.len() == JOBS_MAX {
            jobs.pop_first();
        }
        jobs.insert(number, job);
        let location = format!("{}/provisioning/{number}/status", self.base_url);
        Answer::json(202, &body).header("location", &location)
    }

    fn status(&self, id: &str) -> Answer {
        let number = id.parse().unwrap_or_default();
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(job) = jobs.get_mut(&number) else {
            return Answer::json(404, &json!({"message": format!("there is no job {id}")}));
        };
        let word = if job.polls_left > 0 { "IN_PROGRESS" } else { "SUCCESS" };
        job.polls_left = job.polls_left.saturating_sub(1);
        Answer::json(200, &job.status(number, word))
    }

    fn id(&self, what: &str) -> Value {
        json!(format!("{what}-{}", self.next()))
    }

    fn next(&self) -> u64 {
        self.made.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl Job {
    fn status(&self, number: u64, word: &str) -> Value {
        let mut status = json!({
            "provisioning_job_id": number.to_string(), "portfolio_id": self.portfolio_id, "status": word
        });
        if let Some(id) = &self.environment_id {
            status["environment_id"] = id.clone();
        }
        status
    }
}

impl Behaviour for Api {
    fn answer(&self, call: &Call) -> Reply {
        let reply = match rules::validate(call, self.options.api_version, &self.tokens) {
            Ok(valid) => Reply::valid(self.grant(valid)),
            Err(InvalidRequest { status, broken }) => {
                Reply { answer: Answer::json(status, &json!({"errors": broken})), broken }
            }
        };
        Reply { answer: reply.answer.after(self.options.delay), ..reply }
    }
}

fn clin_costs(number: &str) -> Value {
    json!({
        "clin_number": number,
        "actual": {"total": "50.00", "results": [{"month": "2022-01", "amount": "50.00"}]},
        "forecast": {"total": "100.00"}
    })
}
