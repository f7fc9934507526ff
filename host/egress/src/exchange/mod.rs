//! One request of an adapter: checks it, makes the calls that the retry policy
//! allows, and returns the event that resumes the adapter.

mod events;
mod log;
mod received;
mod result;

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderValue;
use http::header;
use tokio::time::Instant;
use tracing::warn;
use url::Url;
use uuid::Uuid;

use crate::Context;
use crate::ExchangeResult;
use crate::Inner;
use crate::auth::credential::Credential;
use crate::auth::demand::Demand;
use crate::auth::parameters;
use crate::auth::parameters::BadParameters;
use crate::auth::sign::signer::Refusal;
use crate::auth::sign::signer::Signer;
use crate::breaker::Breaker;
use crate::breaker::CallHealth;
use crate::breaker::CallPermit;
use crate::check;
pub use crate::exchange::events::ExchangeEvent;
pub use crate::exchange::events::ExchangeEvents;
use crate::exchange::events::timed;
use crate::exchange::log::NextCall;
use crate::exchange::received::ReceivedResponse;
use crate::exchange::received::health;
use crate::policy::headers::propagate;
use crate::policy::origin::Origin;
use crate::policy::scrub::Scrubber;
use crate::policy::target::Place;
use crate::transport::call;
use crate::transport::failure::CallFailure;
use crate::transport::request::OutgoingRequest;
use hoth_core::domain::CallHold;
use hoth_core::domain::Event;
use hoth_core::domain::HttpRequest;
use hoth_core::domain::Method;
use hoth_core::domain::TransportCode;
use hoth_core::domain::TransportFailure;
use hoth_core::workflow::Attempt;
use hoth_core::workflow::Finding;
use hoth_platform::failpoint;
use hoth_platform::failpoint::FailPoint;

/// Implements [`crate::Client::exchange`].
pub async fn run(inner: &Inner, request: &HttpRequest, context: &Context<'_>) -> ExchangeResult {
    let mut exchange = match Exchange::prepare(inner, request, context) {
        Ok(exchange) => exchange,
        Err(refused) => {
            warn!(
                csp = %inner.name, method = request.method.as_str(), error = %refused,
                "Refused a request to {}", inner.name,
            );
            let events = ExchangeEvents::refused(request, context.ordinal, &refused);
            return ExchangeResult {
                events,
                event: Event::TransportFailure(TransportFailure {
                    code: refused.code,
                    message: refused.message,
                    sent: refused.sent,
                    last_response: None,
                }),
                url: None,
                calls: 0,
                retry_after: None,
                finding: (refused.code == TransportCode::RequestRefused)
                    .then_some(Finding::RequestRefused),
            };
        }
    };
    exchange.run().await
}

/// A checked request, and the state of its calls.
struct Exchange<'a> {
    inner: &'a Inner,
    context: &'a Context<'a>,
    url: Url,
    request: &'a HttpRequest,
    /// The headers without the credential, until the first call takes them. They
    /// are made again for another one, so that a call which waits for long has no
    /// copy.
    headers: Option<HeaderMap>,
    credential: Option<&'a Credential>,
    /// The place in the configuration that the URL belongs to.
    place: Place,
    demand: Demand<'a>,
    /// The start of the last try, for the breaker: failures of calls that began
    /// before its last change do not count.
    called_at: Instant,
    /// Calls attempted, including those that never reached the CSP.
    calls: u32,
    /// True if the CSP may have received any copy of the request.
    sent: bool,
    /// True if the credential was renewed after a refusal. Once is enough: a CSP
    /// that refuses a new token too would otherwise get calls without end.
    renewed: bool,
    /// True if the time of the signatures was corrected after a refusal. Once is
    /// enough here, too.
    corrected: bool,
    /// The finding of the last try.
    finding: Option<Finding>,
    /// The last response before the current try. It survives later tries without
    /// one.
    last: Option<ReceivedResponse>,
    events: ExchangeEvents,
}

impl<'a> Exchange<'a> {
    /// Checks a request before a name is resolved or a token is requested.
    fn prepare(
        inner: &'a Inner,
        request: &'a HttpRequest,
        context: &'a Context<'a>,
    ) -> Result<Self, CallFailure> {
        let (url, place, headers) = check::check(
            &inner.name,
            &inner.targets,
            inner.credentials.header_names(),
            request,
            context.previous_url,
            idempotency_key(inner, context),
        )?;
        let credential = inner
            .credentials
            .select(&inner.name, &request.credential, &place)
            .map_err(|bad| check::refusal(&inner.name, &bad.to_string()))?;
        let unfit =
            |bad: BadParameters| check::refusal(&inner.name, &format!("its credential {bad}"));
        let parameters = parameters::of(&request.credential).map_err(unfit)?;
        let scopes = request.scopes.iter().cloned().collect();
        let signing = inner.credentials.signing(&place);
        let demand = Demand { scopes, parameters, signing };
        if let Some(credential) = credential {
            credential.check(&demand.parameters).map_err(unfit)?;
        }
        Ok(Self {
            inner,
            context,
            url,
            request,
            headers: Some(headers),
            credential,
            place,
            demand,
            called_at: Instant::now(),
            calls: 0,
            sent: false,
            renewed: false,
            corrected: false,
            finding: None,
            last: None,
            events: ExchangeEvents::default(),
        })
    }

    /// Makes calls until the retry policy ends the exchange.
    async fn run(&mut self) -> ExchangeResult {
        let context = self.context;
        let breaker = self.inner.breaker_of(&self.url);
        let mut tries = 0;
        loop {
            let (permit, waited) = timed(self.call_permit(breaker)).await;
            self.events.held(CallHold::Breaker, waited);
            let Some(permit) = permit else {
                return self.held();
            };
            let tried = self.attempt().await;
            let health = health(&tried);
            if let Some(health) = health {
                breaker.report(context.job, self.called_at, health);
            }
            // Returned before any backoff, so that the next waiting job can probe.
            drop(permit);
            let attempt = match &tried {
                Ok(received) => Attempt::Answered {
                    status: received.response.status,
                    retry_after: received.retry_after,
                },
                Err(failure) => failure.as_attempt(),
            };
            // A failure while the breaker is open does not count as a try: the
            // breaker decides on the time of the next call.
            let is_outage = matches!(health, Some(CallHealth::Failed(_))) && breaker.holds_calls();
            if is_outage && context.retry.repeats(self.request.retry, attempt) {
                self.log(tries, &tried, NextCall::Held);
                self.keep(tried);
                continue;
            }
            tries += 1;
            let next = context.retry.next(tries, self.request.retry, attempt, jitter);
            self.finding = self.find(&tried, attempt);
            self.log(tries, &tried, NextCall::After(next));
            match next {
                Some(delay) => {
                    self.events.repeats_after(delay);
                    self.keep(tried);
                    failpoint::reach(FailPoint::RetryDecided);
                    tokio::time::sleep(delay).await;
                }
                None => return self.finish(tried, tries),
            }
        }
    }

    /// Waits for the permission to call: while the breaker is open, for the
    /// probe slot. Returns `None` for a poll of a CSP with several origins. Its
    /// job is not held back on the queue, and would take the place of a job at
    /// an origin that is up.
    async fn call_permit(&self, breaker: &Breaker) -> Option<CallPermit> {
        if self.context.is_poll && !self.inner.other_breakers.is_empty() {
            return breaker.try_call_permit();
        }
        Some(breaker.call_permit().await)
    }

    /// Makes one try: obtains the credential and calls.
    async fn attempt(&mut self) -> Result<ReceivedResponse, CallFailure> {
        self.called_at = Instant::now();
        // What comes before a call and after it is boxed. The call waits for long,
        // and would keep room for the rest.
        let signer = match self.credential {
            Some(credential) => Some(Box::pin(self.signer(credential)).await?),
            None => None,
        };
        let received = self.call(signer.as_deref()).await?;
        match (self.credential, signer) {
            (Some(credential), Some(signer)) if received.refusal.is_some() => {
                Box::pin(self.call_again(credential, &signer, received)).await
            }
            _ => Ok(received),
        }
    }

    /// Obtains the credential of a call.
    async fn signer(&mut self, credential: &Credential) -> Result<Box<Signer>, CallFailure> {
        let patience = self.context.retry.max_retry_after;
        let (signer, waited) = timed(credential.signer(&self.demand, patience)).await;
        self.record_credential(&self.request.credential, waited, false, signer.as_ref().err());
        let signer = signer?;
        failpoint::reach(FailPoint::CredentialObtained);
        Ok(Box::new(signer))
    }

    /// Corrects the time of the signature that the CSP has refused or renews the
    /// credential, and calls again, once each in the whole exchange.
    async fn call_again(
        &mut self,
        credential: &Credential,
        signer: &Signer,
        refused: ReceivedResponse,
    ) -> Result<ReceivedResponse, CallFailure> {
        let patience = self.context.retry.max_retry_after;
        let mut received = refused;
        if let Some(Refusal::Clock(skew)) = received.refusal
            && !self.corrected
        {
            self.corrected = true;
            signer.correct_clock(skew);
            self.last = Some(received);
            received = self.call(Some(signer)).await?;
        }
        if received.refusal.is_none() || self.renewed {
            return Ok(received);
        }
        self.renewed = true;
        let (renewed, waited) = timed(credential.renew(&self.demand, signer, patience)).await;
        self.record_credential(&self.request.credential, waited, true, renewed.as_ref().err());
        let renewed = match renewed {
            Ok(None) => return Ok(received),
            Ok(Some(renewed)) => Ok(renewed),
            Err(failure) => Err(failure),
        };
        self.last = Some(received);
        self.call(Some(&renewed?)).await
    }

    /// Keeps the response of a try that is followed by another one.
    fn keep(&mut self, tried: Result<ReceivedResponse, CallFailure>) {
        if let Ok(received) = tried {
            self.last = Some(received);
        }
    }

    /// Makes one call.
    async fn call(&mut self, signer: Option<&Signer>) -> Result<ReceivedResponse, CallFailure> {
        let inner = self.inner;
        // Held for the call only: neither a backoff nor a slow token endpoint
        // uses up the bound on concurrent calls.
        let (permit, waited) = timed(inner.permits.acquire()).await;
        let permit = permit.expect("the semaphore is never closed");
        self.events.held(CallHold::CallLimit, waited);
        let http = inner.http.get().await;
        // Signed after the wait for the permit, because signatures are dated.
        let (request, scrubber) = self.request(signer)?;
        self.calls += 1;
        // Set again after the wait for the permit and for the token.
        self.called_at = Instant::now();
        (self.context.before_call)();
        failpoint::reach(FailPoint::BeforeCspCall);
        let started = std::time::Instant::now();
        let called = call::call(&http, request, &inner.target).await;
        failpoint::reach(FailPoint::AfterCspCall);
        drop(permit);
        let called = match called {
            Ok(response) => {
                self.sent = true;
                let refusal = signer.and_then(|signer| signer.judge(&response));
                Ok(ReceivedResponse { refusal, ..self.read(response, &scrubber) })
            }
            Err(failure) => {
                self.sent |= failure.sent;
                Err(failure)
            }
        };
        self.record_call(started, &called);
        called
    }

    /// Makes a copy of the request, and the scrubber of its response. All copies
    /// are equal but for the credential.
    fn request(
        &mut self,
        signer: Option<&Signer>,
    ) -> Result<(OutgoingRequest, Arc<Scrubber>), CallFailure> {
        let mut request = OutgoingRequest::new(http_method(self.request.method), self.url.clone());
        request.headers = match self.headers.take() {
            Some(headers) => headers,
            None => self.assemble_headers()?,
        };
        request.body = self.request.body.clone();
        // The HTTP client sends an empty body like none, and some CSPs require
        // a length.
        if self.request.body.as_ref().is_some_and(Bytes::is_empty) {
            request.headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        // Last, because a signature covers all the rest.
        let scrubber = match signer {
            Some(signer) => signer.sign(&mut request)?,
            None => Arc::new(Scrubber::new([])),
        };
        // Behind the signature: a proxy may change these headers (W3C Trace
        // Context, section 3.3).
        if let Some(trace) = self.context.trace {
            propagate(&mut request.headers, &trace(self.calls + 1));
        }
        Ok((request, scrubber))
    }

    /// Makes the headers again, as the check did.
    fn assemble_headers(&self) -> Result<HeaderMap, CallFailure> {
        let key = idempotency_key(self.inner, self.context);
        check::headers(&self.inner.name, self.inner.credentials.header_names(), self.request, key)
    }
}

/// Returns the idempotency key of a request, if its CSP gets one.
fn idempotency_key<'a>(inner: &Inner, context: &Context<'a>) -> Option<&'a str> {
    Some(context.idempotency_key).filter(|_| inner.sends_idempotency_key)
}

impl Inner {
    /// Returns the breaker of the origin of a checked URL.
    fn breaker_of(&self, url: &Url) -> &Breaker {
        if Origin::of(url) == *self.targets.base_origin() {
            return &self.breaker;
        }
        // Those of one origin come first.
        let found = self.other_breakers.iter().find(|(other, _)| other.covers(url));
        found.map_or(&self.breaker, |(_, breaker)| breaker)
    }
}

/// Returns a number from 0 to 1, uniform enough to spread the retries of jobs.
fn jitter() -> f64 {
    f64::from(Uuid::new_v4().as_u128() as u32) / f64::from(u32::MAX)
}

fn http_method(method: Method) -> http::Method {
    match method {
        Method::Get => http::Method::GET,
        Method::Head => http::Method::HEAD,
        Method::Post => http::Method::POST,
        Method::Put => http::Method::PUT,
        Method::Patch => http::Method::PATCH,
        Method::Delete => http::Method::DELETE,
    }
}
