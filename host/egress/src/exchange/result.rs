//! The result of an exchange.

use crate::ExchangeResult;
use crate::exchange::Exchange;
use crate::exchange::received::ReceivedResponse;
use crate::policy::origin::Origin;
use crate::transport::failure::CallFailure;
use hoth_core::domain::Event;
use hoth_core::domain::TransportCode;
use hoth_core::domain::TransportFailure;
use hoth_core::workflow::Attempt;
use hoth_core::workflow::Finding;

impl Exchange<'_> {
    /// Makes the result of a poll that is not made.
    pub(super) fn held(&mut self) -> ExchangeResult {
        let (csp, origin) = (&self.inner.name, Origin::of(&self.url));
        let message = format!("{csp} does not respond at {origin}, so it was not called");
        let event = Event::TransportFailure(TransportFailure {
            code: TransportCode::Connect,
            message,
            sent: false,
            last_response: None,
        });
        let events = std::mem::take(&mut self.events);
        ExchangeResult { event, url: None, calls: 0, retry_after: None, finding: None, events }
    }

    /// Returns what the host knows about the end of a try.
    pub(super) fn find(
        &self,
        tried: &Result<ReceivedResponse, CallFailure>,
        attempt: Attempt,
    ) -> Option<Finding> {
        match tried {
            Ok(_) => self.context.retry.too_long(attempt).map(Finding::AskedToWait),
            // The HTTP client cannot send such a request either.
            Err(failure) => {
                (failure.code == TransportCode::RequestRefused).then_some(Finding::RequestRefused)
            }
        }
    }

    /// Makes the result from the last try.
    pub(super) fn finish(
        &mut self,
        tried: Result<ReceivedResponse, CallFailure>,
        tries: u32,
    ) -> ExchangeResult {
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
        let (calls, finding) = (self.calls, self.finding);
        let events = std::mem::take(&mut self.events);
        ExchangeResult { event, url, calls, retry_after, finding, events }
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
}
