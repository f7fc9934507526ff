//! Runs one job through an adapter: asks it for steps, and does what they say.
//!
//! What becomes of the job is decided by [`workflow`], as in a host. What is
//! not here is a queue: nothing is kept, and nothing is taken up after a crash.

use std::time::Duration;
use std::time::Instant;

use uuid::Uuid;

use super::inputs::Csp;
use super::inputs::Inputs;
use super::shown::Shown;
use hoth_core::domain::AdapterState;
use hoth_core::domain::Event;
use hoth_core::domain::HttpRequest;
use hoth_core::domain::Resumption;
use hoth_core::domain::Step;
use hoth_core::domain::Timestamp;
use hoth_core::workflow;
use hoth_core::workflow::Decision;
use hoth_core::workflow::JobError;
use hoth_core::workflow::RetryPolicy;
use hoth_core::workflow::RunBudget;
use hoth_core::workflow::RunContext;
use hoth_core::workflow::RunEnd;
use hoth_platform::clock::Clock;
use hoth_runtime::Adapter;
use hoth_runtime::Call;
use hoth_runtime::Entry;
use hoth_runtime::Facts;

/// Runs of one job. Each ends with a wait, and a script has an end; this is for
/// a CSP that never comes to one.
const RUNS_MAX: u32 = 10_000;

/// Runs the job to its end; whether it is done.
pub async fn run(adapter: &Adapter, inputs: Inputs, shown: &Shown) -> anyhow::Result<bool> {
    let mut trial = Trial::new(adapter, inputs, shown);
    for nth in 1..=RUNS_MAX {
        trial.shown.run_begins(nth, trial.resumption.as_ref());
        let Some(end) = trial.run_once().await else {
            shown.stopped("there is no answer to this request");
            return Ok(false);
        };
        let course = RunContext { job: &trial.inputs.job, resumption: trial.resumption.as_ref() };
        let decision = workflow::decide(
            &trial.inputs.polling,
            course,
            end,
            trial.now(),
            trial.requests,
            trial.retry_after.take(),
        );
        match decision {
            Decision::Report(report) => {
                shown.message(&report.to_queued(&trial.inputs.job));
                return Ok(report.code < 400);
            }
            Decision::Resume(resumption) => {
                shown.pause(&resumption, resumption.due_at.since(trial.now()));
                if !trial.wait(&resumption).await {
                    shown.stopped("the job waits, and there are no more answers");
                    return Ok(false);
                }
                trial.resumption = Some(resumption);
            }
        }
    }
    shown.stopped("the job was asked after often enough");
    Ok(false)
}

struct Trial<'a> {
    adapter: &'a Adapter,
    inputs: Inputs,
    facts: Facts,
    shown: &'a Shown,
    clock: Clock,
    /// What scripted waits have taken.
    slept: Duration,
    resumption: Option<Resumption>,
    requests: u32,
    retry_after: Option<Duration>,
}

impl<'a> Trial<'a> {
    fn new(adapter: &'a Adapter, inputs: Inputs, shown: &'a Shown) -> Self {
        let facts = Facts {
            id: inputs.job.id.clone(),
            operation: inputs.job.operation.wit_name().to_owned(),
            input: inputs.job.input(),
            settings: inputs.settings.clone(),
            attempt: 1,
            context: Vec::new(),
        };
        Self {
            adapter,
            inputs,
            facts,
            shown,
            clock: Clock::system(),
            slept: Duration::ZERO,
            resumption: None,
            requests: 0,
            retry_after: None,
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.now() + self.slept
    }

    /// One run, from where the job stands to where it waits or ends; none,
    /// where a request has no answer.
    async fn run_once(&mut self) -> Option<RunEnd> {
        if self.resumption.is_none() && !self.adapter.offers(&self.facts.operation) {
            return Some(RunEnd::Broken(JobError::not_offered(&self.inputs.job)));
        }
        let mut position = self.resumption.as_ref().map(|from| (from.state.clone(), Event::Timer));
        let (begun, mut called) = (Instant::now(), None);
        let mut allowance = RunBudget::new(self.requests, self.adapter.deadline());
        // Ends, as there is no allowance for a request without end.
        loop {
            let step = match self.call(position.take(), &mut allowance).await {
                Ok(step) => step,
                Err(trouble) => return Some(RunEnd::Broken(trouble)),
            };
            self.shown.step(&step);
            match step {
                Step::Send(step) => {
                    let ordinal = allowance.requests();
                    if let Err(trouble) = allowance.sends(begun.elapsed()) {
                        return Some(RunEnd::Broken(trouble));
                    }
                    self.requests = allowance.requests();
                    let event = self.exchange(&step.request, ordinal, &mut called).await?;
                    self.shown.event(&event);
                    position = Some((step.state, event));
                }
                Step::Wait(step) => {
                    return Some(RunEnd::Wait { step, adapter: self.adapter.digest() });
                }
                Step::Done(outcome) => return Some(RunEnd::Done(outcome)),
                Step::Fail(failure) => return Some(RunEnd::Fail(failure)),
            }
        }
    }

    async fn call(
        &self,
        position: Option<(AdapterState, Event)>,
        allowance: &mut RunBudget,
    ) -> Result<Step, JobError> {
        let entry = match &position {
            None => Entry::Begin,
            Some((state, event)) => Entry::Resume { state, event: event.clone() },
        };
        let entropy = Uuid::new_v4().as_u64_pair();
        let call = Call { facts: &self.facts, now: self.now(), entropy, entry };
        let (asked, used) = self.adapter.measured_call(call).await;
        allowance.computed(used)?;
        asked.map_err(|error| JobError::Adapter(error.to_string()))
    }

    async fn exchange(
        &mut self,
        request: &HttpRequest,
        ordinal: u32,
        called: &mut Option<url::Url>,
    ) -> Option<Event> {
        let client = match &mut self.inputs.csp {
            Csp::Script(answers) => {
                let event = answers.answer()?;
                self.retry_after = retry_after(&event);
                return Some(event);
            }
            Csp::Network(client) => client,
        };
        // A poll that fails is made again at the next turn.
        let retry = match &self.resumption {
            Some(from) if !from.checkpoint => RetryPolicy::ONCE,
            Some(_) | None => self.inputs.retry,
        };
        let context = hoth_egress::Context {
            retry: &retry,
            previous_url: called.as_ref(),
            job: &self.inputs.job.id,
            idempotency_key: &self.inputs.job.request_key(ordinal),
        };
        let exchanged = client.exchange(request, &context).await;
        self.retry_after = exchanged.retry_after;
        *called = exchanged.url.or(called.take());
        Some(exchanged.event)
    }

    /// Waits until the job is due; false, where that never comes. No time is
    /// spent on waits of a script.
    async fn wait(&mut self, resumption: &Resumption) -> bool {
        let left = resumption.due_at.since(self.now());
        match &mut self.inputs.csp {
            Csp::Script(answers) => {
                self.slept += left;
                // What comes after a checkpoint is worth seeing in any case.
                answers.timer() || resumption.checkpoint
            }
            Csp::Network(_) => {
                tokio::time::sleep(left).await;
                true
            }
        }
    }
}

/// Seconds, as most CSPs say it. A date would depend on the day of the run.
fn retry_after(event: &Event) -> Option<Duration> {
    match event {
        Event::Response(response) => {
            response.header("retry-after")?.parse().ok().map(Duration::from_secs)
        }
        Event::TransportFailure(_) | Event::Timer => None,
    }
}
