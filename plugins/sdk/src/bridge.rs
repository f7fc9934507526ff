//! Conversions between the contract's types and those of this crate, used by
//! [`crate::export!`] and the test kit only.

use std::time::Duration;

use crate::Adapter;
use crate::Answer;
use crate::Credential;
use crate::Event;
use crate::Failure;
use crate::Job;
use crate::Method;
use crate::Next;
use crate::NoAnswer;
use crate::Object;
use crate::Outcome;
use crate::Request;
use crate::Step;
use crate::Target;
use crate::Timestamp;
use crate::Wait;
use crate::memory::leave;
use crate::wit::exports::hoth::adapter::adapter::Info;
use crate::wit::hoth::adapter::types;

/// Calls `describe` of an adapter.
pub fn describe<A: Adapter>() -> Info {
    let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    Info {
        name: A::NAME.to_owned(),
        version: A::VERSION.to_owned(),
        operations: owned(A::OPERATIONS),
        states: (A::OLDEST_STATE_VERSION, A::STATE_VERSION),
        manifest: A::MANIFEST.to_owned(),
    }
}

/// Calls `begin` of an adapter.
pub fn begin<A: Adapter>(job: types::Job) -> types::Step {
    log_panics();
    let job = match self::job(job) {
        Ok(job) => job,
        Err(failure) => return types::Step::Fail(self::failure(failure, Object::new)),
    };
    let next = A::begin(&job);
    let step = step::<A>(next, || A::asked(&job, None));
    leave(job);
    step
}

/// Calls `resume` of an adapter.
pub fn resume<A: Adapter>(
    job: types::Job,
    state: types::State,
    event: types::Event,
) -> types::Step {
    log_panics();
    let job = match self::job(job) {
        Ok(job) => job,
        Err(failure) => return types::Step::Fail(self::failure(failure, Object::new)),
    };
    let read = || A::read_state(state.version, &state.bytes);
    let next = match read() {
        Some(state) => A::resume(&job, state, self::event(event)),
        None => Err(Failure::broken(format!(
            "{} {} cannot read the job's state of version {}",
            A::NAME,
            A::VERSION,
            state.version
        ))),
    };
    let step = step::<A>(next, || A::asked(&job, read().as_ref()));
    leave(job);
    step
}

/// Logs the message of a panic, which otherwise becomes a trap without one.
fn log_panics() {
    #[cfg(target_family = "wasm")]
    std::panic::set_hook(Box::new(|panic| crate::log::error(panic)));
}

fn job(job: types::Job) -> Result<Job, Failure> {
    let object = |name: &str, text: &str| {
        Object::parse(text).map_err(|error| Failure::broken(format!("the job's {name}: {error}")))
    };
    Ok(Job {
        input: object("input", &job.input)?,
        settings: object("settings", &job.settings)?,
        id: job.id,
        operation: job.operation,
        attempt: job.attempt,
        now: Timestamp::from_millis(job.now_ms),
        entropy: job.entropy,
        context: job.context.into_iter().map(|pair| (pair.name, pair.value)).collect(),
    })
}

fn event(event: types::Event) -> Event {
    match event {
        types::Event::Response(response) => Event::Answer(answer(response)),
        types::Event::TransportFailure(failure) => Event::NoAnswer(NoAnswer {
            code: failure.code,
            message: failure.message,
            sent: failure.sent,
            last: failure.last_response.map(answer),
        }),
        types::Event::Timer => Event::Timer,
        types::Event::Other(types::Extension { name, value }) => Event::Other { name, value },
    }
}

fn answer(response: types::HttpResponse) -> Answer {
    let headers = response.headers.into_iter().map(|pair| (pair.name, pair.value)).collect();
    Answer {
        status: response.status,
        url: response.url,
        tries: response.tries,
        headers,
        body: response.body,
    }
}

fn step<A: Adapter>(next: Next<A>, asked: impl FnOnce() -> Object) -> types::Step {
    match next {
        Ok(Step::Send(request, state)) => match self::state::<A>(&state) {
            Ok(state) => types::Step::Send(types::SendStep {
                after_ms: request.after.map(millis),
                request: self::request(request),
                state,
                extra: Vec::new(),
            }),
            Err(failure) => types::Step::Fail(self::failure(failure, asked)),
        },
        Ok(Step::Wait(Wait { after, purpose, state, reference, note, details })) => {
            match self::state::<A>(&state) {
                Ok(state) => types::Step::Wait(types::WaitStep {
                    after_ms: after.map(millis),
                    purpose: purpose.word().to_owned(),
                    state,
                    progress: types::Progress { reference, note, details: text(details) },
                    extra: Vec::new(),
                }),
                Err(failure) => types::Step::Fail(self::failure(failure, asked)),
            }
        }
        Ok(Step::Done(outcome)) => types::Step::Done(self::outcome(outcome, asked)),
        Err(failure) => types::Step::Fail(self::failure(failure, asked)),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn state<A: Adapter>(state: &A::State) -> Result<types::State, Failure> {
    match serde_json::to_vec(state) {
        Ok(bytes) => Ok(types::State { version: A::STATE_VERSION, bytes }),
        Err(error) => Err(Failure::broken(format!("the state cannot be written: {error}"))),
    }
}

fn outcome(outcome: Outcome, asked: impl FnOnce() -> Object) -> types::Outcome {
    let Outcome { code, request, response } = outcome;
    types::Outcome {
        code,
        request: text(request.unwrap_or_else(asked)),
        response: text(response),
        extra: Vec::new(),
    }
}

fn text(object: Object) -> String {
    let text = object.to_text();
    leave(object);
    text
}

fn failure(failure: Failure, asked: impl FnOnce() -> Object) -> types::Failure {
    let Failure { class, message, code, request, response } = failure;
    types::Failure {
        class: class.word().to_owned(),
        message,
        outcome: outcome(Outcome { code, request, response }, asked),
        extra: Vec::new(),
    }
}

fn request(request: Request) -> types::HttpRequest {
    types::HttpRequest {
        method: match request.method {
            Method::Get => types::Method::Get,
            Method::Head => types::Method::Head,
            Method::Post => types::Method::Post,
            Method::Put => types::Method::Put,
            Method::Patch => types::Method::Patch,
            Method::Delete => types::Method::Delete,
        },
        target: match request.target {
            Target::Path(path) => types::Target::Path(path),
            Target::Endpoint { endpoint, path, parameters } => {
                let parameters = pairs(parameters);
                types::Target::Endpoint(types::EndpointPath { endpoint, path, parameters })
            }
            Target::Location(location) => types::Target::Location(location),
        },
        query: pairs(request.query),
        headers: pairs(request.headers),
        body: request.body,
        credential: match request.credential {
            Credential::Default => types::Credential::Default,
            Credential::None => types::Credential::None,
            Credential::Named { name, parameters } => {
                let parameters = pairs(parameters);
                types::Credential::Named(types::CredentialUse { name, parameters })
            }
        },
        scopes: request.scopes,
        retry: request.retry.word().to_owned(),
        extra: Vec::new(),
    }
}

fn pairs(pairs: Vec<(String, String)>) -> Vec<types::Pair> {
    pairs.into_iter().map(|(name, value)| types::Pair { name, value }).collect()
}
