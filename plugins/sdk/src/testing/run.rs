//! A run of an adapter, one step at a time.

use std::fmt::Write as _;
use std::marker::PhantomData;
use std::time::Duration;

use super::contract;
use crate::Adapter;
use crate::Answer;
use crate::Credential;
use crate::Job;
use crate::Object;
use crate::bridge;
use crate::log;
use crate::wit::hoth::adapter::types;

/// A job in progress.
pub struct Run<A> {
    job: Job,
    step: types::Step,
    log: Vec<String>,
    adapter: PhantomData<A>,
}

/// A request that an adapter returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub method: String,
    /// The path, or the location from a response of the CSP.
    pub target: String,
    /// The name of the endpoint and its parameters, or `None` for the base URL
    /// and for a location.
    pub endpoint: Option<(String, Vec<(String, String)>)>,
    /// The query before the host encodes it.
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub body: Option<String>,
    pub credential: Credential,
    pub scopes: Vec<String>,
    /// A word of `http-request.retry` in the WIT.
    pub retry: String,
}

/// A wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    pub after: Option<Duration>,
    /// A word of `wait-step.purpose` in the WIT.
    pub purpose: String,
    pub reference: Option<String>,
    pub note: String,
    /// A JSON object.
    pub details: String,
}

/// A job that ended with an outcome; both texts are JSON objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    pub code: u16,
    pub request: String,
    pub response: String,
}

/// A job that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    pub class: String,
    pub message: String,
    pub code: u16,
    pub request: String,
    pub response: String,
}

/// Begins a job.
///
/// # Panics
///
/// Panics if the step breaks the contract, as every function here does.
#[track_caller]
pub fn begin<A: Adapter>(job: impl Into<Job>) -> Run<A> {
    let job = job.into();
    let (step, log) = call::<A>(|| bridge::begin::<A>(to_wit(&job)));
    Run { job, step, log, adapter: PhantomData }
}

/// Resumes a job after a wait, from a state that a version of the adapter
/// wrote.
#[track_caller]
pub fn resume<A: Adapter>(job: impl Into<Job>, version: u32, state: &str) -> Run<A> {
    let job = job.into();
    let state = types::State { version, bytes: state.as_bytes().to_vec() };
    let (step, log) =
        call::<A>(|| bridge::resume::<A>(to_wit(&job), state.clone(), types::Event::Timer));
    Run { job, step, log, adapter: PhantomData }
}

impl<A: Adapter> Run<A> {
    /// Returns the request.
    ///
    /// # Panics
    ///
    /// Panics if the step is not a request, and shows the step.
    #[track_caller]
    pub fn sent(&self) -> Sent {
        let types::Step::Send(types::SendStep { request, .. }) = &self.step else {
            panic!("the adapter sends nothing: {}", self.step());
        };
        sent(request)
    }

    /// Returns the wait; panics like [`Self::sent`].
    #[track_caller]
    pub fn waiting(&self) -> Waiting {
        let types::Step::Wait(types::WaitStep { after_ms, purpose, progress, .. }) = &self.step
        else {
            panic!("the adapter does not wait: {}", self.step());
        };
        Waiting {
            after: after_ms.map(Duration::from_millis),
            purpose: purpose.clone(),
            reference: progress.reference.clone(),
            note: progress.note.clone(),
            details: progress.details.clone(),
        }
    }

    /// Returns the outcome; panics like [`Self::sent`].
    #[track_caller]
    pub fn done(&self) -> Ended {
        let types::Step::Done(types::Outcome { code, request, response, .. }) = &self.step else {
            panic!("the adapter is not done: {}", self.step());
        };
        Ended { code: *code, request: request.clone(), response: response.clone() }
    }

    /// Returns the failure; panics like [`Self::sent`].
    #[track_caller]
    pub fn failed(&self) -> Failed {
        let types::Step::Fail(types::Failure { class, message, outcome, .. }) = &self.step else {
            panic!("the adapter has not failed: {}", self.step());
        };
        Failed {
            class: class.clone(),
            message: message.clone(),
            code: outcome.code,
            request: outcome.request.clone(),
            response: outcome.response.clone(),
        }
    }

    /// Returns the state of a request or a wait, as it is stored.
    #[track_caller]
    pub fn state(&self) -> String {
        String::from_utf8_lossy(&self.stored().bytes).into_owned()
    }

    /// Formats the whole step as lines, for tests that compare all of it.
    pub fn step(&self) -> String {
        contract::lines(&self.step)
    }

    /// Returns the log lines of the adapter's last call: `info: so it is`.
    pub fn log(&self) -> &[String] {
        &self.log
    }

    /// Passes a response to the request.
    #[track_caller]
    pub fn answer(&mut self, answer: Answer) -> &mut Self {
        self.sent();
        self.resume_with(types::Event::Response(response(&answer)))
    }

    /// Reports that the request got no response. `code` is a code of
    /// `transport-failure` in the WIT; `last` is the response to an earlier
    /// attempt.
    #[track_caller]
    pub fn no_answer(&mut self, code: &str, last: Option<Answer>) -> &mut Self {
        self.sent();
        self.resume_with(types::Event::TransportFailure(types::TransportFailure {
            code: code.to_owned(),
            message: format!("HOTH got no answer: {code}"),
            sent: code != "connect",
            last_response: last.as_ref().map(response),
            extra: Vec::new(),
        }))
    }

    /// Ends the wait.
    #[track_caller]
    pub fn timer(&mut self) -> &mut Self {
        self.waiting();
        self.resume_with(types::Event::Timer)
    }

    /// Advances the time before the next call.
    pub fn pass(&mut self, time: Duration) -> &mut Self {
        self.job.now = self.job.now.after(time);
        self
    }

    /// Changes the CSP's settings before the next call.
    ///
    /// # Panics
    ///
    /// Panics if `settings` is not a JSON object.
    #[track_caller]
    pub fn set_settings(&mut self, settings: &str) -> &mut Self {
        self.job.settings = Object::parse(settings).expect("the settings are a JSON object");
        self
    }

    #[track_caller]
    fn resume_with(&mut self, event: types::Event) -> &mut Self {
        let state = self.stored().clone();
        (self.step, self.log) =
            call::<A>(|| bridge::resume::<A>(to_wit(&self.job), state.clone(), event.clone()));
        self
    }

    #[track_caller]
    fn stored(&self) -> &types::State {
        match &self.step {
            types::Step::Send(step) => &step.state,
            types::Step::Wait(step) => &step.state,
            types::Step::Done(_) | types::Step::Fail(_) | types::Step::Other(_) => {
                panic!("the job has ended: {}", self.step())
            }
        }
    }
}

impl Sent {
    /// Returns the target with its query, without encoding.
    pub fn url(&self) -> String {
        let mut url = self.target.clone();
        for (nth, (name, value)) in self.query.iter().enumerate() {
            let mark = if nth == 0 { '?' } else { '&' };
            write!(url, "{mark}{name}={value}").expect("a text takes all that is written");
        }
        url
    }

    /// Returns method and target: `POST /portfolios`.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.url())
    }

    /// Returns the first value of a header, regardless of the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// Makes a call, checks it against the contract, and takes its log lines.
#[track_caller]
fn call<A: Adapter>(make: impl Fn() -> types::Step) -> (types::Step, Vec<String>) {
    log::take_lines();
    let step = make();
    let lines = log::take_lines();
    let again = contract::lines(&make());
    assert_eq!(contract::lines(&step), again, "the same arguments gave two different steps");
    log::take_lines();
    contract::check_manifest(A::MANIFEST);
    contract::check(&step, (A::OLDEST_STATE_VERSION, A::STATE_VERSION));
    (step, lines)
}

fn to_wit(job: &Job) -> types::Job {
    let pair =
        |(name, value): &(String, String)| types::Pair { name: name.clone(), value: value.clone() };
    types::Job {
        id: job.id.clone(),
        operation: job.operation.clone(),
        input: job.input.to_string(),
        settings: job.settings.to_string(),
        attempt: job.attempt,
        now_ms: job.now.as_millis(),
        entropy: job.entropy,
        context: job.context.iter().map(pair).collect(),
    }
}

fn response(answer: &Answer) -> types::HttpResponse {
    let headers = answer.headers.iter();
    types::HttpResponse {
        status: answer.status,
        url: answer.url.clone(),
        tries: answer.tries,
        headers: headers
            .map(|(name, value)| types::Pair { name: name.clone(), value: value.clone() })
            .collect(),
        body: answer.body.clone(),
        extra: Vec::new(),
    }
}

pub(super) fn sent(request: &types::HttpRequest) -> Sent {
    let pairs = |pairs: &[types::Pair]| {
        pairs.iter().map(|pair| (pair.name.clone(), pair.value.clone())).collect()
    };
    let (target, endpoint) = match &request.target {
        types::Target::Path(text) | types::Target::Location(text) => (text, None),
        types::Target::Endpoint(types::EndpointPath { endpoint, path, parameters }) => {
            (path, Some((endpoint.clone(), pairs(parameters))))
        }
    };
    Sent {
        method: match request.method {
            types::Method::Get => "GET",
            types::Method::Head => "HEAD",
            types::Method::Post => "POST",
            types::Method::Put => "PUT",
            types::Method::Patch => "PATCH",
            types::Method::Delete => "DELETE",
        }
        .to_owned(),
        target: target.clone(),
        endpoint,
        query: pairs(&request.query),
        headers: pairs(&request.headers),
        body: request.body.as_ref().map(|body| String::from_utf8_lossy(body).into_owned()),
        credential: match &request.credential {
            types::Credential::Default => Credential::Default,
            types::Credential::None => Credential::None,
            types::Credential::Named(types::CredentialUse { name, parameters }) => {
                Credential::Named { name: name.clone(), parameters: pairs(parameters) }
            }
        },
        scopes: request.scopes.clone(),
        retry: request.retry.clone(),
    }
}
