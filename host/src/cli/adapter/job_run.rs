//! Runs one job on an adapter: calls it step by step, and executes the steps.
//!
//! The [`workflow`] makes the decisions, as in a host. There is no queue:
//! nothing is stored, and nothing is resumed after a crash.

use std::time::Duration;
use std::time::Instant;

use tracing::warn;
use uuid::Uuid;

use super::inputs::Csp;
use super::inputs::Inputs;
use super::printer::Printer;
use crate::replay::Moment;
use hoth_core::domain::AdapterState;
use hoth_core::domain::Event;
use hoth_core::domain::HttpRequest;
use hoth_core::domain::Resumption;
use hoth_core::domain::Step;
use hoth_core::domain::Timestamp;
use hoth_core::domain::TransportCode;
use hoth_core::domain::WaitPurpose;
use hoth_core::workflow;
use hoth_core::workflow::Decision;
use hoth_core::workflow::Finding;
use hoth_core::workflow::JobError;
use hoth_core::workflow::RetryPolicy;
use hoth_core::workflow::RunBudget;
use hoth_core::workflow::RunContext;
use hoth_core::workflow::RunEnd;
use hoth_core::workflow::RunTotals;
use hoth_platform::clock::Clock;
use hoth_runtime::Adapter;
use hoth_runtime::Call;
use hoth_runtime::EntryPoint;
use hoth_runtime::JobContext;

/// The largest number of runs of one job. A script has an end; this limit is for
/// a CSP that never finishes.
const RUNS_MAX: u32 = 10_000;

/// Runs the job to its end. Returns `true` if it succeeded.
pub async fn run(adapter: &Adapter, inputs: Inputs, printer: &Printer) -> bool {
    let mut run = JobRun::new(adapter, inputs, printer);
    let succeeded = run.run_all().await;
    run.warn_of_unused_answers();
    succeeded
}

/// A job under way.
struct JobRun<'a> {
    adapter: &'a Adapter,
    inputs: Inputs,
    facts: JobContext,
    printer: &'a Printer,
    clock: Clock,
    /// The total of scripted waits. They take no time, but the clock that the
    /// adapter sees moves on.
    skipped: Duration,
    /// The calls so far.
    calls: usize,
    /// The position of the job; `None` before its first wait.
    resumption: Option<Resumption>,
    /// The requests of all runs so far, which the budget limits.
    requests: u32,
    /// The delay that the CSP's last response asked for.
    retry_after: Option<Duration>,
    /// The finding of the last exchange.
    finding: Option<Finding>,
}

impl<'a> JobRun<'a> {
    fn new(adapter: &'a Adapter, inputs: Inputs, printer: &'a Printer) -> Self {
        let facts = JobContext {
            id: inputs.job.id.to_string(),
            operation: inputs.job.operation.wit_name().to_owned(),
            input: inputs.job.input(),
            settings: inputs.settings.clone(),
            attempt: 1,
            context: inputs.polling.context_of(None),
        };
        Self {
            adapter,
            inputs,
            facts,
            printer,
            clock: Clock::system(),
            skipped: Duration::ZERO,
            calls: 0,
            resumption: None,
            requests: 0,
            retry_after: None,
            finding: None,
        }
    }

    /// Returns the totals of the run that has ended.
    fn totals(&mut self) -> RunTotals {
        RunTotals {
            requests: self.requests,
            retry_after: self.retry_after.take(),
            finding: self.finding.take(),
        }
    }

    fn now(&self) -> Timestamp {
        match self.moment() {
            Some(moment) => moment.now,
            None => self.clock.now() + self.skipped,
        }
    }

    /// Returns the moment of the last call of a recorded job, or of its first
    /// one. A version that makes more calls keeps the last.
    fn moment(&self) -> Option<Moment> {
        let moments = &self.inputs.moments;
        moments.get(self.calls.saturating_sub(1)).or(moments.last()).copied()
    }

    /// Runs the job from wait to wait until it ends. Returns `true` if it
    /// succeeded.
    async fn run_all(&mut self) -> bool {
        for nth in 1..=RUNS_MAX {
            // Each run gets a new budget, as in a host, but the number of
            // requests counts over all runs.
            self.printer.run_begins(nth, self.resumption.as_ref());
            let Some(end) = self.run_once().await else {
                self.printer.stopped("no response to this request");
                return false;
            };
            let (now, totals) = (self.now(), self.totals());
            let context =
                RunContext { job: &self.inputs.job, resumption: self.resumption.as_ref() };
            match workflow::decide(&self.inputs.polling, context, end, now, totals) {
                Decision::Report(report) => {
                    let (report, outcome) = report.into_queued(&self.inputs.job);
                    self.printer.message(&outcome);
                    return report.code < 400;
                }
                Decision::Resume(resumption) => {
                    self.printer.pause(&resumption, resumption.due_at.since(self.now()));
                    if !self.wait(&resumption).await {
                        self.printer.stopped("the job waits, and no more answers are given");
                        return false;
                    }
                    self.facts.context = self.inputs.polling.context_of(Some(&resumption));
                    self.resumption = Some(resumption);
                }
            }
        }
        self.printer.stopped("the job did not finish within the limit of runs");
        false
    }

    /// Runs the job from its state to its next wait or its end. Returns `None`
    /// if a request has no response.
    async fn run_once(&mut self) -> Option<RunEnd> {
        if self.resumption.is_none() && !self.adapter.supports(&self.facts.operation) {
            return Some(RunEnd::Broken(JobError::not_offered(&self.inputs.job)));
        }
        let mut position = self.resumption.as_ref().map(|from| (from.state.clone(), Event::Timer));
        let (started_at, mut called) = (Instant::now(), None);
        let mut budget = RunBudget::new(self.requests, self.adapter.deadline());
        // Ends, because the number of requests is limited.
        loop {
            let step = match self.call(position.take(), &mut budget).await {
                Ok(step) => step,
                Err(error) => return Some(RunEnd::Broken(error)),
            };
            self.printer.step(&step);
            match step {
                Step::Send(step) => {
                    let ordinal = budget.requests();
                    if let Err(error) = budget.sends(started_at.elapsed()) {
                        return Some(RunEnd::Broken(error));
                    }
                    self.requests = budget.requests();
                    if let Some(after_ms) = step.after_ms {
                        self.pause(self.inputs.retry.pause(after_ms)).await;
                    }
                    let event = self.exchange(&step.request, ordinal, &mut called).await?;
                    self.printer.event(&event);
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
        &mut self,
        position: Option<(AdapterState, Event)>,
        budget: &mut RunBudget,
    ) -> Result<Step, JobError> {
        let entry = match &position {
            None => EntryPoint::Begin,
            Some((state, event)) => EntryPoint::Resume { state, event: event.clone() },
        };
        self.calls += 1;
        let recorded = self.moment().map(|moment| moment.entropy);
        let entropy = recorded.unwrap_or_else(|| Uuid::new_v4().as_u64_pair());
        let call = Call { facts: &self.facts, now: self.now(), entropy, entry };
        let (step, measured) = self.adapter.measured_call(call).await;
        budget.computed(measured.time)?;
        step.map_err(|error| JobError::Adapter(error.to_string()))
    }

    async fn exchange(
        &mut self,
        request: &HttpRequest,
        ordinal: u32,
        called: &mut Option<url::Url>,
    ) -> Option<Event> {
        let client = match &mut self.inputs.csp {
            Csp::Script(answers) => {
                // A request that a host refuses uses up no answer.
                let manifest = &self.adapter.info().manifest;
                let csp = &self.inputs.job.csp;
                let checked =
                    hoth_egress::check_unconfigured(csp, request, manifest, called.as_ref());
                match checked {
                    Ok(url) => *called = Some(url),
                    Err(refused) => {
                        self.finding = (refused.code == TransportCode::RequestRefused)
                            .then_some(Finding::RequestRefused);
                        return Some(Event::TransportFailure(refused));
                    }
                }
                let event = answers.answer(called.as_ref())?;
                self.finding = None;
                self.retry_after = retry_after(&event);
                return Some(event);
            }
            Csp::Network(client) => client,
        };
        // A failed poll is repeated by the next run, so it is attempted once.
        let is_poll = self.resumption.as_ref().is_some_and(|from| from.is_poll());
        let retry = if is_poll { RetryPolicy::ONCE } else { self.inputs.retry };
        let context = hoth_egress::Context {
            retry: &retry,
            is_poll,
            previous_url: called.as_ref(),
            job: self.inputs.job.id.as_str(),
            ordinal,
            idempotency_key: &self.inputs.job.request_key(ordinal),
            retry_after_headers: &self.adapter.info().manifest.retry_after_headers,
            before_call: &|| {},
            trace: None,
        };
        let result = client.exchange(request, &context).await;
        self.retry_after = result.retry_after;
        self.finding = result.finding;
        *called = result.url.or(called.take());
        Some(result.event)
    }

    /// Warns of answers that the job did not ask for: the adapter makes fewer
    /// requests than the author of the script expects.
    fn warn_of_unused_answers(&self) {
        let Csp::Script(answers) = &self.inputs.csp else { return };
        match answers.unused() {
            None => {}
            Some((first, last)) if first == last => warn!("Answer {first} was not used"),
            Some((first, last)) => warn!("Answers {first} to {last} were not used"),
        }
    }

    /// Waits before a request. The pauses of a script take no time.
    async fn pause(&mut self, pause: Duration) {
        match &self.inputs.csp {
            Csp::Script(_) => self.skipped += pause,
            Csp::Network(_) => tokio::time::sleep(pause).await,
        }
    }

    /// Waits until the job is due. Returns `false` if that never happens. Waits
    /// of a script take no time.
    async fn wait(&mut self, resumption: &Resumption) -> bool {
        let left = resumption.due_at.since(self.now());
        match &mut self.inputs.csp {
            Csp::Script(answers) => {
                self.skipped += left;
                // A run after a checkpoint is shown even if no answers follow.
                answers.timer() || resumption.purpose() == WaitPurpose::Checkpoint
            }
            Csp::Network(_) => {
                tokio::time::sleep(left).await;
                true
            }
        }
    }
}

/// Returns the delay of `Retry-After` in seconds, the form that most CSPs use.
/// Returns `None` for a date, which would depend on the day of the run.
fn retry_after(event: &Event) -> Option<Duration> {
    match event {
        Event::Response(response) => {
            response.header("retry-after")?.parse().ok().map(Duration::from_secs)
        }
        Event::TransportFailure(_) | Event::Timer => None,
    }
}
