//! One run of an adapter: from the job's position until it waits or ends.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use tracing::debug;
use url::Url;
use uuid::Uuid;

use super::Context;
use super::CspRuntime;
use super::run_events::RunEvents;
use crate::registry::NotServing;
use crate::registry::Version;
use crate::replay::RecordedCall;
use crate::replay::Recording;
use crate::replay::StepKind;
use crate::traces;
use hoth_core::domain::AdapterEntry;
use hoth_core::domain::AdapterState;
use hoth_core::domain::Event;
use hoth_core::domain::Job;
use hoth_core::domain::JobEventKind;
use hoth_core::domain::QueuedJob;
use hoth_core::domain::SendStep;
use hoth_core::domain::Step;
use hoth_core::domain::TraceContext;
use hoth_core::workflow::Finding;
use hoth_core::workflow::JobError;
use hoth_core::workflow::RetryPolicy;
use hoth_core::workflow::RunBudget;
use hoth_core::workflow::RunEnd;
use hoth_core::workflow::RunTotals;
use hoth_platform::failpoint;
use hoth_platform::failpoint::FailPoint;
use hoth_queue::Delivery;
use hoth_queue::Lease;
use hoth_runtime::Call;
use hoth_runtime::EntryPoint;

/// The result of a run.
pub struct Run {
    pub end: RunEnd,
    pub totals: RunTotals,
    /// The inputs of the adapter; `None` for a job that is not recorded.
    pub recording: Option<Recording>,
}

/// Returns the version of the adapter for this run. The run keeps the version to
/// its end, even if another version is activated meanwhile.
pub async fn version_for(
    context: &Context,
    csp: &CspRuntime,
    queued: &QueuedJob,
) -> Result<Arc<Version>, NotServing> {
    match &queued.resumption {
        None => context.registry.serving(&csp.name),
        Some(from) => {
            let registry = &context.registry;
            registry.resuming(&csp.name, from.state.version, &from.adapter).await
        }
    }
}

/// Runs `version` from the job's position until the job waits or ends.
pub async fn run_adapter(
    context: &Context,
    csp: &CspRuntime,
    version: &Arc<Version>,
    queued: &QueuedJob,
    delivery: &Delivery,
    events: &mut RunEvents,
) -> Run {
    let _in_flight = version.begin_job();
    let resumption = queued.resumption.as_ref();
    if resumption.is_none() && !version.adapter().supports(queued.job.operation.wit_name()) {
        let end = RunEnd::Broken(JobError::not_offered(&queued.job));
        return Run { end, totals: RunTotals::default(), recording: None };
    }
    let mut run = RunLoop::new(context, csp, version, queued, delivery, events);
    let end = run.step_to_end(resumption.map(|from| from.state.clone())).await;
    let totals = RunTotals {
        requests: run.budget.requests(),
        retry_after: run.retry_after,
        finding: run.finding,
    };
    Run { end, totals, recording: run.recording }
}

/// The state of one run. Nothing of it outlives the run: a job that waits is
/// resumed from its message.
struct RunLoop<'a> {
    context: &'a Context,
    csp: &'a CspRuntime,
    version: &'a Arc<Version>,
    job: &'a Job,
    /// The lease of the job's message.
    lease: &'a Lease,
    /// The job as its adapter sees it; the same in every call of the run. The
    /// input is empty between the calls: a job may wait long for its CSP.
    facts: hoth_runtime::JobContext,
    /// The context in which the job was created.
    created: Option<&'a TraceContext>,
    recording: Option<Recording>,
    events: &'a mut RunEvents,
    retry: RetryPolicy,
    is_poll: bool,
    started_at: Instant,
    /// Bounds the requests, the computing time and the duration of a run whose
    /// adapter never ends it.
    budget: RunBudget,
    retry_after: Option<Duration>,
    finding: Option<Finding>,
    /// The last URL that was called. A relative location refers to this URL.
    called: Option<Url>,
}

impl<'a> RunLoop<'a> {
    /// Prepares a run from the job's position.
    fn new(
        context: &'a Context,
        csp: &'a CspRuntime,
        version: &'a Arc<Version>,
        queued: &'a QueuedJob,
        delivery: &'a Delivery,
        events: &'a mut RunEvents,
    ) -> Self {
        let resumption = queued.resumption.as_ref();
        let mut facts = hoth_runtime::JobContext {
            id: queued.job.id.to_string(),
            operation: queued.job.operation.wit_name().to_owned(),
            input: queued.job.input(),
            settings: csp.client.settings_json().to_owned(),
            attempt: delivery.message.receive_count,
            context: context.polling.context_of(resumption),
        };
        let created = queued.trace.as_ref().map(|trace| &trace.created);
        facts.context.extend(created.iter().flat_map(|created| created.to_pairs()));
        let (recorder, manifest) = (&context.recorder, &version.adapter().info().manifest);
        let recording = match resumption {
            None => recorder.begin(&csp.adapter, &csp.name, &facts, manifest),
            Some(_) => recorder.resume(&csp.name, &facts.id, manifest),
        };
        let is_poll = resumption.is_some_and(|from| from.is_poll());
        Self {
            context,
            csp,
            version,
            job: &queued.job,
            lease: &delivery.lease,
            facts,
            created,
            recording,
            events,
            // A failed poll is repeated at the next wait; any other request is
            // retried at once.
            retry: if is_poll { RetryPolicy::ONCE } else { context.retry },
            is_poll,
            started_at: Instant::now(),
            budget: RunBudget::new(
                resumption.map_or(0, |from| from.requests),
                version.adapter().deadline(),
            ),
            retry_after: None,
            finding: None,
            called: None,
        }
    }

    /// Calls the adapter, carries out its steps, and calls it again, until it
    /// waits, ends or breaks.
    async fn step_to_end(&mut self, resumed: Option<AdapterState>) -> RunEnd {
        let mut position = resumed.map(|state| (state, Event::Timer));
        // Ends, because every turn takes a request from a finite budget.
        loop {
            let step = match self.next_step(position).await {
                Ok(step) => step,
                Err(error) => return RunEnd::Broken(error),
            };
            failpoint::reach(FailPoint::AdapterAnswered);
            let SendStep { request, state, after_ms } = match self.send_or_end(step) {
                ControlFlow::Continue(send) => send,
                ControlFlow::Break(end) => return end,
            };
            let ordinal = self.budget.requests();
            if let Err(error) = self.budget.sends(self.started_at.elapsed()) {
                return RunEnd::Broken(error);
            }
            // Only if it is asked for: a sleep of 0 ms takes more than one. A
            // stop drops this future, and the message goes back to its queue,
            // as in a backoff of the exchange.
            if let Some(after_ms) = after_ms {
                self.events.add(JobEventKind::Delayed { by_ms: after_ms });
                tokio::time::sleep(self.context.retry.pause(after_ms)).await;
            }
            let event = self.exchange(&request, ordinal).await;
            position = Some((state, event));
        }
    }

    /// Returns the request of a step, or the end of the run. This is no part of
    /// [`Self::step_to_end`], which would keep room for the step while it waits
    /// for the response.
    fn send_or_end(&self, step: Step) -> ControlFlow<RunEnd, SendStep> {
        ControlFlow::Break(match step {
            Step::Send(send) => return ControlFlow::Continue(send),
            Step::Wait(step) => RunEnd::Wait { step, adapter: self.version.adapter().digest() },
            Step::Done(outcome) => RunEnd::Done(outcome),
            Step::Fail(failure) => RunEnd::Fail(failure),
        })
    }

    /// Asks a fresh instance of the adapter for the next step.
    async fn next_step(
        &mut self,
        position: Option<(AdapterState, Event)>,
    ) -> Result<Step, JobError> {
        // Only a recording needs a copy of the event.
        let recorded = position.as_ref().filter(|_| self.recording.is_some());
        let recorded = recorded.map(|(_, event)| event.clone());
        let state;
        let exported = match position {
            None => AdapterEntry::Begin,
            Some(_) => AdapterEntry::Resume,
        };
        let entry = match position {
            None => EntryPoint::Begin,
            Some((before, event)) => {
                state = before;
                EntryPoint::Resume { state: &state, event }
            }
        };
        let (now, entropy) = (self.context.clock.wall(), Uuid::new_v4().as_u64_pair());
        if self.facts.input.is_empty() {
            self.facts.input = self.job.input();
        }
        let call = Call { facts: &self.facts, now, entropy, entry };
        // Boxed, so that a job which waits for its CSP does not keep room for
        // the future of a call.
        let started = Instant::now();
        let (step, measured) = Box::pin(self.version.adapter().measured_call(call)).await;
        self.facts.input = String::new();
        let computed = measured.time;
        self.events.add_call(started, exported, self.version, &step, measured);
        if let Some(recording) = &mut self.recording {
            recording.add(RecordedCall {
                attempt: self.facts.attempt,
                context: self.facts.context.clone(),
                now,
                entropy,
                event: recorded,
                step: step.as_ref().map_or(StepKind::Broken, StepKind::of),
            });
        }
        // After the recording, which shows the call that used up the budget.
        self.budget.computed(computed)?;
        step.map_err(|error| JobError::Adapter(error.to_string()))
    }

    /// Sends a request of the adapter, with retries. `ordinal` counts the job's
    /// requests before this one; the idempotency key is made of it.
    async fn exchange(&mut self, request: &hoth_core::domain::HttpRequest, ordinal: u32) -> Event {
        let key = self.job.request_key(ordinal);
        let created = self.created.filter(|_| self.csp.gets_traces);
        let run = self.events.trace().map(|trace| &trace.context);
        // The span that makes the call, or the context of the client as it is.
        let trace = created.map(|created| {
            move |call| match run {
                Some(run) => traces::call_context(run, ordinal + 1, call),
                None => created.clone(),
            }
        });
        let context = hoth_egress::Context {
            retry: &self.retry,
            is_poll: self.is_poll,
            previous_url: self.called.as_ref(),
            job: &self.facts.id,
            ordinal,
            idempotency_key: &key,
            retry_after_headers: &self.version.adapter().info().manifest.retry_after_headers,
            // A job that is given back before its first call, at a stop, has
            // done nothing, and its delivery does not count.
            before_call: &|| self.lease.start(),
            trace: trace.as_ref().map(|trace| trace as &(dyn Fn(u32) -> TraceContext + Sync)),
        };
        let exchanged = self.csp.client.exchange(request, &context).await;
        debug!(calls = exchanged.calls, "Request answered");
        self.events.add_exchange(exchanged.events);
        self.retry_after = exchanged.retry_after;
        self.finding = exchanged.finding;
        self.called = exchanged.url.or(self.called.take());
        exchanged.event
    }
}
