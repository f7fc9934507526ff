//! One request of an adapter: checks it, makes the calls that the retry policy
//! allows, and returns the event that resumes the adapter.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderValue;
use http::header;
use metrics::counter;
use tokio::time::Instant;
use tracing::debug;
use tracing::info;
use tracing::warn;
use url::Url;
use uuid::Uuid;

use crate::Context;
use crate::ExchangeResult;
use crate::Inner;
use crate::auth::asked::Asked;
use crate::auth::credential::Credential;
use crate::auth::sign::signer::Refusal;
use crate::auth::sign::signer::Signer;
use crate::breaker::Breaker;
use crate::breaker::CallHealth;
use crate::breaker::CallPermit;
use crate::check;
use crate::policy::origin::Origin;
use crate::policy::scrub::Scrubber;
use crate::transport::call;
use crate::transport::call::RawResponse;
use crate::transport::coding;
use crate::transport::failure::CallFailure;
use crate::transport::retry_after;
use hoth_core::domain::Event;
use hoth_core::domain::HttpRequest;
use hoth_core::domain::HttpResponse;
use hoth_core::domain::Method;
use hoth_core::domain::Retry;
use hoth_core::domain::TransportCode;
use hoth_core::domain::TransportFailure;
use hoth_core::workflow::Attempt;
use hoth_core::workflow::Finding;
use hoth_core::workflow::RetryPolicy;
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
            return ExchangeResult {
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
    exchange.run(context).await
}

/// A checked request, and the state of its calls.
struct Exchange<'a> {
    inner: &'a Inner,
    method: Method,
    retry: Retry,
    url: Url,
    headers: HeaderMap,
    body: Option<Bytes>,
    credential: Option<&'a Credential>,
    asked: Asked,
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
    /// The headers besides `Retry-After` in which the CSP asks for a pause.
    retry_after_headers: &'a [String],
    /// The finding of the last try.
    finding: Option<Finding>,
    /// The last response before the current try. It survives later tries without
    /// one.
    last: Option<ReceivedResponse>,
}

/// A response in the form that the adapter gets.
struct ReceivedResponse {
    response: HttpResponse,
    retry_after: Option<Duration>,
    /// The failure of reading the body, which is then empty.
    unread: Option<CallFailure>,
    /// The reason why the CSP refuses the credential, if it does.
    refusal: Option<Refusal>,
}

impl<'a> Exchange<'a> {
    /// Checks a request before a name is resolved or a token is requested.
    fn prepare(
        inner: &'a Inner,
        request: &HttpRequest,
        context: &Context<'a>,
    ) -> Result<Self, CallFailure> {
        let (url, place, headers) = check::check(
            &inner.name,
            &inner.targets,
            inner.credentials.header_names(),
            request,
            context.previous_url,
            Some(context.idempotency_key).filter(|_| inner.sends_idempotency_key),
        )?;
        let credential = inner
            .credentials
            .select(&inner.name, &request.credential, &place)
            .map_err(|bad| check::refusal(&inner.name, &bad.to_string()))?;
        let parameters = check::parameters(&request.credential)
            .map_err(|bad| check::refusal(&inner.name, &bad))?;
        let scopes = request.scopes.iter().cloned().collect();
        let signing = inner.credentials.signing(&place).cloned();
        let asked = Asked { scopes, parameters, signing };
        if let Some(Err(bad)) = credential.map(|it| it.check(&asked.parameters)) {
            return Err(check::refusal(&inner.name, &format!("its credential {bad}")));
        }
        Ok(Self {
            inner,
            method: request.method,
            retry: request.retry,
            url,
            headers,
            body: request.body.clone(),
            credential,
            asked,
            called_at: Instant::now(),
            calls: 0,
            sent: false,
            renewed: false,
            corrected: false,
            retry_after_headers: context.retry_after_headers,
            finding: None,
            last: None,
        })
    }

    /// Makes calls until the retry policy ends the exchange.
    async fn run(&mut self, context: &Context<'_>) -> ExchangeResult {
        let breaker = self.inner.breaker_of(&self.url);
        let mut tries = 0;
        loop {
            let Some(permit) = self.call_permit(breaker, context.is_poll).await else {
                return self.held();
            };
            let tried = self.attempt(context).await;
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
            let is_outage = health == Some(CallHealth::Failed) && breaker.holds_calls();
            if is_outage && context.retry.repeats(self.retry, attempt) {
                self.log(tries, &tried, NextCall::Held);
                self.keep(tried);
                continue;
            }
            tries += 1;
            let next = context.retry.next(tries, self.retry, attempt, jitter);
            self.finding = self.find(context.retry, &tried, attempt);
            self.log(tries, &tried, NextCall::After(next));
            match next {
                Some(delay) => {
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
    async fn call_permit(&self, breaker: &Breaker, is_poll: bool) -> Option<CallPermit> {
        if is_poll && !self.inner.other_breakers.is_empty() {
            return breaker.try_call_permit();
        }
        Some(breaker.call_permit().await)
    }

    /// Makes the result of a poll that is not made.
    fn held(&self) -> ExchangeResult {
        let (csp, origin) = (&self.inner.name, Origin::of(&self.url));
        let message = format!("{csp} does not respond at {origin}, so it was not called");
        let event = Event::TransportFailure(TransportFailure {
            code: TransportCode::Connect,
            message,
            sent: false,
            last_response: None,
        });
        ExchangeResult { event, url: None, calls: 0, retry_after: None, finding: None }
    }

    /// Makes one try: obtains the credential and calls. If the CSP refuses the
    /// credential, corrects the time of its signature or renews it, and calls
    /// again, once each in the whole exchange.
    async fn attempt(&mut self, context: &Context<'_>) -> Result<ReceivedResponse, CallFailure> {
        self.called_at = Instant::now();
        let Some(credential) = self.credential else {
            return self.call(None, context).await;
        };
        let patience = context.retry.max_retry_after;
        let signer = credential.signer(&self.asked, patience).await?;
        failpoint::reach(FailPoint::CredentialObtained);
        let mut received = self.call(Some(&signer), context).await?;
        if let Some(Refusal::Clock(skew)) = received.refusal
            && !self.corrected
        {
            self.corrected = true;
            signer.correct_clock(skew);
            self.last = Some(received);
            // Boxed, because nearly no call is made again, and the others would
            // keep room for it.
            received = Box::pin(self.call(Some(&signer), context)).await?;
        }
        if received.refusal.is_none() || self.renewed {
            return Ok(received);
        }
        self.renewed = true;
        let renewed = match credential.renew(&self.asked, &signer, patience).await {
            Ok(None) => return Ok(received),
            Ok(Some(renewed)) => Ok(renewed),
            Err(failure) => Err(failure),
        };
        self.last = Some(received);
        Box::pin(self.call(Some(&renewed?), context)).await
    }

    /// Keeps the response of a try that is followed by another one.
    fn keep(&mut self, tried: Result<ReceivedResponse, CallFailure>) {
        if let Ok(received) = tried {
            self.last = Some(received);
        }
    }

    /// Makes one call.
    async fn call(
        &mut self,
        signer: Option<&Signer>,
        context: &Context<'_>,
    ) -> Result<ReceivedResponse, CallFailure> {
        let inner = self.inner;
        // Held for the call only: neither a backoff nor a slow token endpoint
        // uses up the bound on concurrent calls.
        let permit = inner.permits.acquire().await.expect("the semaphore is never closed");
        let http = inner.http.get().await;
        // Signed after the wait for the permit, because signatures are dated.
        let (request, scrubber) = self.request(signer)?;
        self.calls += 1;
        // Set again after the wait for the permit and for the token.
        self.called_at = Instant::now();
        (context.before_call)();
        failpoint::reach(FailPoint::BeforeCspCall);
        let called = call::call(&http, request, &inner.target).await;
        failpoint::reach(FailPoint::AfterCspCall);
        drop(permit);
        match called {
            Ok(response) => {
                self.sent = true;
                let refusal = signer.and_then(|signer| signer.judge(&response));
                Ok(ReceivedResponse { refusal, ..self.read(response, &scrubber) })
            }
            Err(failure) => {
                self.sent |= failure.sent;
                Err(failure)
            }
        }
    }

    /// Makes a copy of the request, and the scrubber of its response. All copies
    /// are equal but for the credential.
    fn request(
        &self,
        signer: Option<&Signer>,
    ) -> Result<(reqwest::Request, Arc<Scrubber>), CallFailure> {
        let mut request = reqwest::Request::new(http_method(self.method), self.url.clone());
        *request.headers_mut() = self.headers.clone();
        *request.body_mut() = self.body.clone().map(reqwest::Body::from);
        // The HTTP client sends an empty body like none, and some CSPs require
        // a length.
        if self.body.as_ref().is_some_and(Bytes::is_empty) {
            request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        // Last, because a signature covers all the rest.
        let scrubber = match signer {
            Some(signer) => signer.sign(&mut request)?,
            None => Arc::new(Scrubber::new([])),
        };
        Ok((request, scrubber))
    }

    /// Converts a response to the form of the WIT: header names in lower case,
    /// text values only, no credential, and no `Location` that is not allowed.
    fn read(&self, response: RawResponse, scrubber: &Scrubber) -> ReceivedResponse {
        let retry_after =
            retry_after::read(&response.headers, self.retry_after_headers, &self.inner.clock);
        let mut headers = Vec::with_capacity(response.headers.len());
        for (name, value) in &response.headers {
            let Ok(value) = std::str::from_utf8(value.as_bytes()) else { continue };
            let value = scrubber.text(value.to_owned());
            if name != header::LOCATION {
                headers.push((name.as_str().to_owned(), value));
                continue;
            }
            match self.inner.targets.follow(&value, &self.url) {
                Ok(url) => headers.push((name.as_str().to_owned(), url.into())),
                Err(bad) => warn!(
                    csp = %self.inner.name, error = %bad,
                    "Dropped a `Location` of {} that {bad}", self.inner.name,
                ),
            }
        }
        let (body, unread) = match response.body {
            Ok(body) => (scrubber.body(without_mark(body)), None),
            Err(unread) => (Bytes::new(), Some(unread)),
        };
        let (status, url) = (response.status, self.url.to_string());
        let response = HttpResponse { status, url, tries: self.calls, headers, body };
        ReceivedResponse { response, retry_after, unread, refusal: None }
    }

    /// Returns what the host knows about the end of a try.
    fn find(
        &self,
        retry: &RetryPolicy,
        tried: &Result<ReceivedResponse, CallFailure>,
        attempt: Attempt,
    ) -> Option<Finding> {
        match tried {
            Ok(_) => retry.too_long(attempt).map(Finding::AskedToWait),
            // The HTTP client cannot send such a request either.
            Err(failure) => {
                (failure.code == TransportCode::RequestRefused).then_some(Finding::RequestRefused)
            }
        }
    }

    /// Makes the result from the last try.
    fn finish(&self, tried: Result<ReceivedResponse, CallFailure>, tries: u32) -> ExchangeResult {
        let last = self.last.as_ref().and_then(|received| received.retry_after);
        let retry_after = match &tried {
            Ok(received) => received.retry_after,
            Err(failure) => failure.retry_after.or(last),
        };
        let failed = |failure: CallFailure, last_response| {
            Event::TransportFailure(TransportFailure {
                code: failure.code,
                message: format!("{failure}{}", self.count_suffix(&failure, tries)),
                sent: self.sent,
                last_response,
            })
        };
        let event = match tried {
            Ok(ReceivedResponse { response, unread: None, .. }) => Event::Response(response),
            // A response without its body is a failure, whatever its status: the
            // adapter could not tell it from one with an empty body.
            Ok(ReceivedResponse { response, unread: Some(unread), .. }) => {
                failed(unread, Some(response))
            }
            Err(failure) => failed(failure, self.last.as_ref().map(|it| it.response.clone())),
        };
        let url = (self.calls > 0).then(|| self.url.clone());
        ExchangeResult { event, url, calls: self.calls, retry_after, finding: self.finding }
    }

    /// Returns ` (3 calls made)` for failures that are retried.
    fn count_suffix(&self, failure: &CallFailure, tries: u32) -> String {
        let counted = |count: u32, one: &str, many: &str| {
            format!(" ({count} {})", if count == 1 { one } else { many })
        };
        match failure.code {
            TransportCode::TokenUnavailable => counted(tries, "try", "tries"),
            TransportCode::Connect
            | TransportCode::Timeout
            | TransportCode::Reset
            | TransportCode::Truncated => counted(self.calls, "call made", "calls made"),
            TransportCode::Tls
            | TransportCode::TooLarge
            | TransportCode::TokenRefused
            | TransportCode::OriginRefused
            | TransportCode::RequestRefused => String::new(),
        }
    }

    /// Logs a try. Omits the query, which carries data of the job.
    fn log(&self, attempt: u32, tried: &Result<ReceivedResponse, CallFailure>, next: NextCall) {
        let csp = &self.inner.name;
        let method = self.method.as_str();
        let path = self.url.path();
        let next = match next {
            NextCall::After(next) => next,
            // The breaker has logged the outage; a line for each waiting job
            // would drown it.
            NextCall::Held => {
                debug!(%csp, method, path, attempt, "A request waits until {csp} responds again");
                return;
            }
        };
        let next_ms = next.map(|delay| delay.as_millis() as u64);
        match tried {
            Ok(ReceivedResponse {
                response: HttpResponse { status, .. }, unread, refusal, ..
            }) => {
                if let Some(error) = unread {
                    let code = error.code.as_str();
                    warn!(%csp, method, path, status, code, %error, attempt, next_ms, "{csp} responded with status {status}, but its body could not be read");
                } else if refusal.is_some() {
                    counter!("hoth_credential_refusals_total", "csp" => csp.to_string())
                        .increment(1);
                    warn!(%csp, method, path, status, attempt, event = "credential-refused", "{csp} refuses the credential of this host; check its configuration");
                } else if next.is_some() {
                    warn!(%csp, method, path, status, attempt, next_ms, "{csp} responded with status {status}");
                } else {
                    info!(%csp, method, path, status, attempt, "{csp} responded with status {status}");
                }
            }
            Err(error) => {
                let code = error.code.as_str();
                warn!(%csp, method, path, code, %error, attempt, next_ms, "{csp} did not respond");
            }
        }
    }
}

/// The time of the next call.
enum NextCall {
    /// After this time, or never if `None`.
    After(Option<Duration>),
    /// As soon as the breaker allows it.
    Held,
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

/// Returns what one try says about the health of the CSP, or `None` if it says
/// nothing.
fn health(tried: &Result<ReceivedResponse, CallFailure>) -> Option<CallHealth> {
    match tried {
        // Gateways send these for a service that is down or overloaded. Any
        // other status comes from the service itself and concerns this request
        // only.
        Ok(received) => match received.response.status {
            502..=504 => Some(CallHealth::Failed),
            _ => Some(CallHealth::Responded),
        },
        Err(failure) => failure.health(),
    }
}

/// Drops a byte order mark before JSON. Other bodies stay as they are.
fn without_mark(body: Bytes) -> Bytes {
    let rest = coding::without_byte_order_mark(&body);
    match rest.trim_ascii_start() {
        [b'{' | b'[', ..] => body.slice_ref(rest),
        _ => body,
    }
}

/// Returns a number from 0 to 1, uniform enough to spread the retries of jobs.
fn jitter() -> f64 {
    f64::from(Uuid::new_v4().as_u128() as u32) / f64::from(u32::MAX)
}

fn http_method(method: Method) -> reqwest::Method {
    match method {
        Method::Get => reqwest::Method::GET,
        Method::Head => reqwest::Method::HEAD,
        Method::Post => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
        Method::Patch => reqwest::Method::PATCH,
        Method::Delete => reqwest::Method::DELETE,
    }
}
