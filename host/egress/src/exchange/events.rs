//! The events of an exchange: its tries, and the waits before them.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use std::time::Instant;

use crate::auth::sign::signer::Refusal;
use crate::exchange::Exchange;
use crate::exchange::received::ReceivedResponse;
use crate::policy::origin::Origin;
use crate::policy::target::Place;
use crate::transport::failure::CallFailure;
use hoth_core::domain::CallHold;
use hoth_core::domain::CredentialChoice;
use hoth_core::domain::CredentialObtained;
use hoth_core::domain::HttpRequest;
use hoth_core::domain::JobEventKind;
use hoth_core::domain::RequestTried;
use hoth_core::domain::event_text;

/// The most events of one exchange. The retry policy permits a few tries; only
/// an outage, in which the breaker decides on the number of probes, has more.
const EVENTS_MAX: usize = 64;

/// The shortest wait for a permit that is an event. Every busy CSP has shorter
/// ones.
const HOLD_MIN: Duration = Duration::from_millis(1);

/// An event of an exchange.
#[derive(Debug)]
pub struct ExchangeEvent {
    pub started: Instant,
    pub took: Duration,
    pub what: JobEventKind,
}

/// The events of one exchange.
#[derive(Debug, Default)]
pub struct ExchangeEvents {
    /// In the order in which they ended.
    pub events: Vec<ExchangeEvent>,
    /// The number of further events.
    pub dropped: u32,
}

impl ExchangeEvents {
    fn push(&mut self, started: Instant, what: JobEventKind) {
        match self.events.len() < EVENTS_MAX {
            true => self.events.push(ExchangeEvent { started, took: started.elapsed(), what }),
            false => self.dropped = self.dropped.saturating_add(1),
        }
    }

    /// Adds a wait for a permit that began at `started`, if there was one.
    pub(super) fn held(&mut self, cause: CallHold, started: Option<Instant>) {
        if let Some(started) = started.filter(|started| started.elapsed() >= HOLD_MIN) {
            self.push(started, JobEventKind::CallHeld { cause });
        }
    }

    /// Adds a request that the host refused to send.
    pub(super) fn refused(request: &HttpRequest, ordinal: u32, failure: &CallFailure) -> Self {
        let path = request.target.text().split(['?', '#']).next().unwrap_or_default();
        let tried = RequestTried {
            request: ordinal + 1,
            attempt: 0,
            method: request.method,
            endpoint: None,
            origin: Box::default(),
            path: event_text(path),
            status: None,
            failure: Some(failure.code),
            retry_after_ms: None,
            credential_refused: false,
            next_ms: None,
        };
        let mut events = Self::default();
        events.push(Instant::now(), JobEventKind::RequestTried(Box::new(tried)));
        events
    }

    /// Adds the pause after which the last try is repeated.
    pub(super) fn repeats_after(&mut self, pause: Duration) {
        if let Some(ExchangeEvent { what: JobEventKind::RequestTried(tried), .. }) =
            self.events.last_mut()
        {
            tried.next_ms = Some(millis(pause));
        }
    }
}

impl Exchange<'_> {
    /// Adds a call that began at `started`.
    pub(super) fn record_call(
        &mut self,
        started: Instant,
        called: &Result<ReceivedResponse, CallFailure>,
    ) {
        let (status, failure, retry_after, refused) = match called {
            Ok(received) => (
                Some(received.response.status),
                received.unread.as_ref().map(|unread| unread.code),
                received.retry_after,
                matches!(received.refusal, Some(Refusal::Credential)),
            ),
            Err(failure) => (None, Some(failure.code), failure.retry_after, false),
        };
        let endpoint = match &self.place {
            Place::Endpoint(name) => Some(name.as_str().into()),
            Place::Base | Place::Allowed => None,
        };
        let tried = RequestTried {
            request: self.context.ordinal + 1,
            attempt: self.calls,
            method: self.request.method,
            endpoint,
            origin: Origin::of(&self.url).to_string().into(),
            path: event_text(self.url.path()),
            status,
            failure,
            retry_after_ms: retry_after.map(millis),
            credential_refused: refused,
            next_ms: None,
        };
        self.events.push(started, JobEventKind::RequestTried(Box::new(tried)));
    }

    /// Adds a wait for a credential, which began at `started`, or a failure to
    /// obtain one.
    pub(super) fn record_credential(
        &mut self,
        choice: &CredentialChoice,
        started: Option<Instant>,
        renewed: bool,
        failure: Option<&CallFailure>,
    ) {
        let failure = failure.map(|failure| failure.code);
        if started.is_none() && failure.is_none() {
            return;
        }
        let name = match choice {
            CredentialChoice::Named(named) => Some(named.name.as_str().into()),
            CredentialChoice::Default | CredentialChoice::None => None,
        };
        let obtained = CredentialObtained { name, renewed, failure };
        let started = started.unwrap_or_else(Instant::now);
        self.events.push(started, JobEventKind::CredentialObtained(obtained));
    }
}

/// Awaits a future. Returns the start of the wait, or `None` if the future was
/// ready at once.
pub(super) async fn timed<F: Future>(future: F) -> (F::Output, Option<Instant>) {
    let mut future = pin!(future);
    match futures_util::poll!(future.as_mut()) {
        Poll::Ready(output) => (output, None),
        Poll::Pending => {
            let started = Instant::now();
            (future.await, Some(started))
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
