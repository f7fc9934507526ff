//! One request of an adapter: checked, tried as often as the policy says, and
//! turned into the event that the adapter is resumed with.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header;
use tokio::time::Instant;
use tracing::debug;
use tracing::info;
use tracing::warn;
use url::Url;
use uuid::Uuid;

use crate::Context;
use crate::Exchanged;
use crate::Inner;
use crate::breaker::Verdict;
use crate::call;
use crate::call::Answer;
use crate::credential::Credential;
use crate::credential::Pass;
use crate::failure::CallFailure;
use crate::headers;
use crate::retry_after;
use crate::scrub::Scrubber;
use crate::token::Scopes;
use hoth_core::domain::Event;
use hoth_core::domain::HttpRequest;
use hoth_core::domain::HttpResponse;
use hoth_core::domain::Method;
use hoth_core::domain::TransportCode;
use hoth_core::domain::TransportFailure;
use hoth_core::workflow::Attempt;
use hoth_platform::failpoint;
use hoth_platform::failpoint::FailPoint;

/// What identity providers take is shorter by far.
const SCOPE_BYTES_MAX: usize = 4096;

/// Does all of [`crate::Client::exchange`].
pub async fn run(inner: &Inner, request: &HttpRequest, context: &Context<'_>) -> Exchanged {
    match Exchange::prepare(inner, request, context) {
        Ok(exchange) => exchange.run(context).await,
        Err(refused) => {
            warn!(
                csp = %inner.name, method = request.method.as_str(), error = %refused,
                "The request to {} is not made", inner.name,
            );
            Exchanged {
                event: Event::TransportFailure(TransportFailure {
                    code: refused.code,
                    message: refused.message,
                    sent: refused.sent,
                    last_response: None,
                }),
                url: None,
                calls: 0,
                retry_after: None,
            }
        }
    }
}

/// A request that may be made, and what has come of it so far.
struct Exchange<'a> {
    inner: &'a Inner,
    method: Method,
    idempotent: bool,
    url: Url,
    headers: HeaderMap,
    body: Option<Bytes>,
    credential: Option<&'a Credential>,
    scopes: Scopes,
    /// When the last call began.
    called_at: Instant,
    /// Calls to the CSP, also such that did not get there.
    calls: u32,
    /// Whether any copy may have arrived.
    sent: bool,
    /// Whether a 401 has had its one further call.
    renewed: bool,
    last: Option<Answered>,
}

/// The newest answer.
#[derive(Clone)]
struct Answered {
    response: HttpResponse,
    retry_after: Option<Duration>,
    /// Why the response is without its body, where that could not be read.
    unread: Option<CallFailure>,
}

impl<'a> Exchange<'a> {
    /// Checks everything that can be checked before anything is sent.
    fn prepare(
        inner: &'a Inner,
        request: &HttpRequest,
        context: &Context<'_>,
    ) -> Result<Self, CallFailure> {
        let refuse = |cause, reason: String| {
            let message = format!("HOTH did not make the request to {}: {reason}", inner.name);
            CallFailure::unsent(cause, message)
        };
        let url = inner
            .egress
            .url(&request.target, &request.query, context.previous_url)
            .map_err(|refusal| refuse(refusal.code(), refusal.to_string()))?;
        let (method, key) = (request.method, context.idempotency_key);
        let headers = headers::assemble(method, &request.headers, key, inner.credentials.headers())
            .map_err(|bad| refuse(TransportCode::RequestRefused, bad.to_string()))?;
        let credential = inner
            .credentials
            .choose(&inner.name, request.credential.as_deref())
            .map_err(|unknown| refuse(TransportCode::RequestRefused, unknown.to_string()))?;
        if request.body.as_ref().is_some_and(|body| body.len() > HttpRequest::BODY_BYTES_MAX) {
            let reason = format!("its body has more than {} bytes", HttpRequest::BODY_BYTES_MAX);
            return Err(refuse(TransportCode::RequestRefused, reason));
        }
        if request.scopes.iter().map(String::len).sum::<usize>() > SCOPE_BYTES_MAX {
            let reason = format!("its scopes have more than {SCOPE_BYTES_MAX} bytes");
            return Err(refuse(TransportCode::RequestRefused, reason));
        }
        Ok(Self {
            inner,
            method: request.method,
            idempotent: request.idempotent,
            url,
            headers,
            body: request.body.clone().map(Bytes::from),
            credential,
            scopes: request.scopes.iter().cloned().collect(),
            called_at: Instant::now(),
            calls: 0,
            sent: false,
            renewed: false,
            last: None,
        })
    }

    async fn run(mut self, context: &Context<'_>) -> Exchanged {
        let breaker = &self.inner.breaker;
        let mut tries = 0;
        loop {
            let pass = breaker.pass().await;
            let tried = self.attempt().await;
            let verdict = verdict(&tried);
            if let Some(verdict) = verdict {
                breaker.report(context.job, self.called_at, verdict);
            }
            drop(pass);
            let attempt = match &tried {
                Ok(answered) => Attempt::Answered {
                    status: answered.response.status,
                    retry_after: answered.retry_after,
                },
                Err(unanswered) => unanswered.as_attempt(),
            };
            // An outage burns no try: the breaker says when to call again.
            let is_outage = verdict == Some(Verdict::Failed) && breaker.holds();
            if is_outage && context.retry.repeats(self.idempotent, attempt) {
                self.log(tries, &tried, Next::Held);
                continue;
            }
            tries += 1;
            let next = context.retry.next(tries, self.idempotent, attempt, jitter());
            self.log(tries, &tried, Next::After(next));
            match next {
                Some(delay) => {
                    failpoint::reach(FailPoint::RetryDecided);
                    tokio::time::sleep(delay).await;
                }
                None => return self.finish(tried, tries),
            }
        }
    }

    /// One try: a credential, a call, and when the CSP does not take the
    /// credential, once in the whole exchange, a fresh one and another call at
    /// once.
    async fn attempt(&mut self) -> Result<Answered, CallFailure> {
        self.called_at = Instant::now();
        let Some(credential) = self.credential else {
            return self.call(None).await;
        };
        let pass = credential.get(&self.scopes).await?;
        failpoint::reach(FailPoint::CredentialObtained);
        let answered = self.call(Some(&pass)).await?;
        if answered.response.status != 401 || self.renewed {
            return Ok(answered);
        }
        self.renewed = true;
        match credential.renew(&self.scopes, &pass).await? {
            Some(fresh) => self.call(Some(&fresh)).await,
            None => Ok(answered),
        }
    }

    async fn call(&mut self, pass: Option<&Pass>) -> Result<Answered, CallFailure> {
        let inner = self.inner;
        let request = self.request(pass);
        // Held for the exchange of bytes alone: neither a backoff nor a slow
        // token endpoint keeps others from calling.
        let permit = inner.permits.acquire().await.expect("the semaphore is never closed");
        self.calls += 1;
        self.called_at = Instant::now();
        failpoint::reach(FailPoint::BeforeCspCall);
        let called = call::call(&inner.http, request, &inner.peer).await;
        failpoint::reach(FailPoint::AfterCspCall);
        drop(permit);
        match called {
            Ok(answer) => {
                self.sent = true;
                let answered = self.read(answer, &Scrubber::new(pass));
                self.last = Some(answered.clone());
                Ok(answered)
            }
            Err(unanswered) => {
                self.sent |= unanswered.sent;
                Err(unanswered)
            }
        }
    }

    fn request(&self, pass: Option<&Pass>) -> reqwest::Request {
        let mut request = reqwest::Request::new(verb(self.method), self.url.clone());
        *request.headers_mut() = self.headers.clone();
        if let Some(pass) = pass {
            pass.sign(request.headers_mut());
        }
        *request.body_mut() = self.body.clone().map(reqwest::Body::from);
        request
    }

    /// Hands an answer on as the WIT has it: names in lower case, text only,
    /// no credential, and no `Location` that could not be followed.
    fn read(&self, answer: Answer, scrubber: &Scrubber) -> Answered {
        let retry_after = retry_after::read(&answer.headers, &self.inner.clock);
        let mut headers = Vec::with_capacity(answer.headers.len());
        for (name, value) in &answer.headers {
            let Ok(value) = std::str::from_utf8(value.as_bytes()) else { continue };
            let value = scrubber.text(value.to_owned());
            if name != header::LOCATION {
                headers.push((name.as_str().to_owned(), value));
                continue;
            }
            match self.inner.egress.follow(&value, &self.url) {
                Ok(url) => headers.push((name.as_str().to_owned(), url.into())),
                Err(bad) => warn!(
                    csp = %self.inner.name, error = %bad,
                    "The `Location` that {} answered {bad}; it is left out", self.inner.name,
                ),
            }
        }
        let (body, unread) = match answer.body {
            Ok(body) => (scrubber.body(body), None),
            Err(unread) => (Bytes::new(), Some(unread)),
        };
        let response = HttpResponse { status: answer.status, headers, body };
        Answered { response, retry_after, unread }
    }

    fn finish(self, tried: Result<Answered, CallFailure>, tries: u32) -> Exchanged {
        let retry_after = self.last.as_ref().and_then(|answered| answered.retry_after);
        // A body that was not read is no answer to go by, whatever its status.
        let tried = tried.and_then(|answered| match answered.unread {
            None => Ok(answered.response),
            Some(unread) => Err(unread),
        });
        let event = match tried {
            Ok(response) => Event::Response(response),
            Err(unanswered) => Event::TransportFailure(TransportFailure {
                code: unanswered.code,
                message: format!("{unanswered}{}", self.count(&unanswered, tries)),
                sent: self.sent,
                last_response: self.last.map(|answered| answered.response),
            }),
        };
        let url = (self.calls > 0).then_some(self.url);
        Exchanged { event, url, calls: self.calls, retry_after }
    }

    /// Says how hard it was tried, where that is of interest.
    fn count(&self, unanswered: &CallFailure, tries: u32) -> String {
        let counted = |count: u32, one: &str, many: &str| {
            format!(" ({count} {})", if count == 1 { one } else { many })
        };
        match unanswered.code {
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

    /// The query stays out of the log: that is where data goes.
    fn log(&self, attempt: u32, tried: &Result<Answered, CallFailure>, next: Next) {
        let csp = &self.inner.name;
        let method = self.method.as_str();
        let path = self.url.path();
        let next = match next {
            Next::After(next) => next,
            // The breaker has said that it is down, and this is no news.
            Next::Held => {
                debug!(%csp, method, path, attempt, "A request waits until {csp} answers again");
                return;
            }
        };
        let next_ms = next.map(|delay| delay.as_millis() as u64);
        match tried {
            Ok(Answered { response: HttpResponse { status, .. }, unread, .. }) => {
                if let Some(error) = unread {
                    let code = error.code.as_str();
                    warn!(%csp, method, path, status, code, %error, attempt, next_ms, "{csp} answered {status}, and its body could not be read");
                } else if next.is_some() {
                    warn!(%csp, method, path, status, attempt, next_ms, "{csp} answered {status}");
                } else {
                    info!(%csp, method, path, status, attempt, "{csp} answered {status}");
                }
            }
            Err(error) => {
                let code = error.code.as_str();
                warn!(%csp, method, path, code, %error, attempt, next_ms, "{csp} gave no answer");
            }
        }
    }
}

/// When a request is made again.
enum Next {
    /// After this time; none: it is not.
    After(Option<Duration>),
    /// When the breaker lets it.
    Held,
}

/// What one try says about the CSP; none when it says nothing.
fn verdict(tried: &Result<Answered, CallFailure>) -> Option<Verdict> {
    match tried {
        // These are what gateways say of a service that is not there, and
        // services that are overloaded. Any other comes from one that is there,
        // and is about the request: the next one may be another.
        Ok(answered) => match answered.response.status {
            502..=504 => Some(Verdict::Failed),
            _ => Some(Verdict::Answered),
        },
        Err(unanswered) => crate::failure::verdict(unanswered.code),
    }
}

/// Uniform in 0 to 1; good enough to keep jobs apart.
fn jitter() -> f64 {
    f64::from(Uuid::new_v4().as_u128() as u32) / f64::from(u32::MAX)
}

fn verb(method: Method) -> reqwest::Method {
    match method {
        Method::Get => reqwest::Method::GET,
        Method::Head => reqwest::Method::HEAD,
        Method::Post => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
        Method::Patch => reqwest::Method::PATCH,
        Method::Delete => reqwest::Method::DELETE,
    }
}
