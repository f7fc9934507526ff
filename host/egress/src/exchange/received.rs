//! The response of one try, in the form that the adapter gets.

use std::time::Duration;

use bytes::Bytes;
use http::header;
use tracing::warn;

use crate::auth::sign::signer::Refusal;
use crate::breaker::CallHealth;
use crate::breaker::FailureCause;
use crate::exchange::Exchange;
use crate::policy::scrub::Scrubber;
use crate::transport::call::RawResponse;
use crate::transport::coding;
use crate::transport::failure::CallFailure;
use crate::transport::retry_after;
use hoth_core::domain::HttpResponse;

/// A response in the form that the adapter gets.
pub(super) struct ReceivedResponse {
    pub response: HttpResponse,
    pub retry_after: Option<Duration>,
    /// The failure of reading the body, which is then empty.
    pub unread: Option<CallFailure>,
    /// The reason why the CSP refuses the credential, if it does.
    pub refusal: Option<Refusal>,
}

impl Exchange<'_> {
    /// Converts a response to the form of the WIT: header names in lower case,
    /// text values only, no credential, and no `Location` that is not allowed.
    pub(super) fn read(&self, response: RawResponse, scrubber: &Scrubber) -> ReceivedResponse {
        let retry_after = retry_after::read(
            &response.headers,
            self.context.retry_after_headers,
            &self.inner.clock,
        );
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
}

/// Returns what one try says about the health of the CSP, or `None` if it says
/// nothing.
pub(super) fn health(tried: &Result<ReceivedResponse, CallFailure>) -> Option<CallHealth> {
    match tried {
        // Gateways send these for a service that is down or overloaded. Any
        // other status comes from the service itself and concerns this request
        // only.
        Ok(received) => match received.response.status {
            status @ 502..=504 => Some(CallHealth::Failed(FailureCause::Status(status))),
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
