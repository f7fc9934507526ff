//! One run of an adapter: from where the job stands to where it waits or ends.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use tracing::debug;
use url::Url;
use uuid::Uuid;

use super::Context;
use super::Destination;
use crate::registry::NotServing;
use crate::registry::Version;
use crate::replay::RecordedCall;
use crate::replay::Recording;
use crate::replay::StepKind;
use hoth_core::domain::AdapterState;
use hoth_core::domain::Event;
use hoth_core::domain::Job;
use hoth_core::domain::QueuedJob;
use hoth_core::domain::SendStep;
use hoth_core::domain::Step;
use hoth_core::workflow::Allowance;
use hoth_core::workflow::RetryPolicy;
use hoth_core::workflow::RunEnd;
use hoth_core::workflow::Trouble;
use hoth_platform::failpoint;
use hoth_platform::failpoint::FailPoint;
use hoth_runtime::Call;
use hoth_runtime::Entry;

/// What came of a run.
pub struct Run {
    pub end: RunEnd,
    /// The job's requests so far, earlier runs included.
    pub requests: u32,
    /// What the CSP's last answer asked for.
    pub retry_after: Option<Duration>,
    /// What the adapter was told, where the job is recorded.
    pub recording: Option<Recording>,
}

/// The version that this run of the job is for, from its begin to its end.
pub async fn version_for(
    context: &Context,
    destination: &Destination,
    queued: &QueuedJob,
) -> Result<Arc<Version>, NotServing> {
    match &queued.resumption {
        None => context.registry.serving(&destination.name),
        Some(from) => {
            let registry = &context.registry;
            registry.resuming(&destination.name, from.state.version, &from.adapter).await
        }
    }
}

/// Drives `version` through one run of the job.
pub async fn run(
    context: &Context,
    destination: &Destination,
    version: &Arc<Version>,
    queued: &QueuedJob,
    attempt: u32,
) -> Run {
    let _in_flight = version.begin_job();
    let resumption = queued.resumption.as_ref();
    if resumption.is_none() && !version.adapter().offers(queued.job.operation.as_str()) {
        let end = RunEnd::Broken(Trouble::not_offered(&queued.job));
        return Run { end, requests: 0, retry_after: None, recording: None };
    }
    let facts = hoth_runtime::Facts {
        id: queued.job.id.clone(),
        operation: queued.job.operation.as_str().to_owned(),
        input: queued.job.input(),
        settings: destination.client.settings_json().to_owned(),
        attempt,
        context: Vec::new(),
    };
    let recorder = &context.recorder;
    let recording = match resumption {
        None => recorder.begin(&destination.adapter, &destination.name, &facts),
        Some(_) => recorder.resume(&destination.name, &facts.id),
    };
    let mut drive = Drive {
        context,
        destination,
        version,
        job: &queued.job,
        facts,
        recording,
        // A poll that fails is made again at the next turn; all other work is
        // tried again at once.
        retry: match resumption {
            Some(from) if !from.checkpoint => RetryPolicy::ONCE,
            Some(_) | None => context.retry,
        },
        begun: Instant::now(),
        allowance: Allowance::new(
            resumption.map_or(0, |from| from.requests),
            version.adapter().deadline(),
        ),
        retry_after: None,
        called: None,
    };
    let end = drive.drive(resumption.map(|from| from.state.clone())).await;
    let requests = drive.allowance.requests();
    Run { end, requests, retry_after: drive.retry_after, recording: drive.recording }
}

struct Drive<'a> {
    context: &'a Context,
    destination: &'a Destination,
    version: &'a Arc<Version>,
    job: &'a Job,
    facts: hoth_runtime::Facts,
    recording: Option<Recording>,
    retry: RetryPolicy,
    begun: Instant,
    allowance: Allowance,
    retry_after: Option<Duration>,
    /// The URL that was called last.
    called: Option<Url>,
}

impl Drive<'_> {
    async fn drive(&mut self, resumed: Option<AdapterState>) -> RunEnd {
        let mut position = resumed.map(|state| (state, Event::Timer));
        // Ends, as there is no allowance for a request without end.
        loop {
            let step = match self.call(position.take()).await {
                Ok(step) => step,
                Err(trouble) => return RunEnd::Broken(trouble),
            };
            failpoint::reach(FailPoint::AdapterAnswered);
            match step {
                Step::Send(SendStep { request, state }) => {
                    let ordinal = self.allowance.requests();
                    if let Err(trouble) = self.allowance.sends(self.begun.elapsed()) {
                        return RunEnd::Broken(trouble);
                    }
                    let event = self.exchange(&request, ordinal).await;
                    position = Some((state, event));
                }
                Step::Wait(step) => {
                    return RunEnd::Wait { step, adapter: self.version.adapter().digest() };
                }
                Step::Done(outcome) => return RunEnd::Done(outcome),
                Step::Fail(failure) => return RunEnd::Fail(failure),
            }
        }
    }

    async fn call(&mut self, position: Option<(AdapterState, Event)>) -> Result<Step, Trouble> {
        let entry = match &position {
            None => Entry::Begin,
            Some((state, event)) => Entry::Resume { state, event: event.clone() },
        };
        let (now, entropy) = (self.context.clock.wall(), Uuid::new_v4().as_u64_pair());
        let call = Call { facts: &self.facts, now, entropy, entry };
        // Apart: a job that waits for its CSP needs no room for a call.
        let (asked, used) = Box::pin(self.version.adapter().measured_call(call)).await;
        if let Some(recording) = &mut self.recording {
            recording.note(RecordedCall {
                attempt: self.facts.attempt,
                now,
                entropy,
                event: position.map(|(_, event)| event),
                step: asked.as_ref().map_or(StepKind::Broken, StepKind::of),
            });
        }
        self.allowance.computed(used)?;
        asked.map_err(|error| Trouble::Adapter(error.to_string()))
    }

    /// `ordinal`: how many requests of the job came before this one.
    async fn exchange(&mut self, request: &hoth_core::domain::HttpRequest, ordinal: u32) -> Event {
        let key = self.job.request_key(ordinal);
        let context = hoth_egress::Context {
            retry: &self.retry,
            previous_url: self.called.as_ref(),
            job: &self.facts.id,
            idempotency_key: &key,
        };
        let exchanged = self.destination.client.exchange(request, &context).await;
        debug!(calls = exchanged.calls, "An exchange is over");
        self.retry_after = exchanged.retry_after;
        self.called = exchanged.url.or(self.called.take());
        exchanged.event
    }
}
