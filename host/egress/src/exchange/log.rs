//! The log of the tries of an exchange.

use std::time::Duration;

use tracing::debug;
use tracing::info;
use tracing::warn;

use crate::exchange::Exchange;
use crate::exchange::received::ReceivedResponse;
use crate::transport::failure::CallFailure;
use hoth_core::domain::HttpResponse;

/// The time of the next call.
pub(super) enum NextCall {
    /// After this time, or never if `None`.
    After(Option<Duration>),
    /// As soon as the breaker allows it.
    Held,
}

impl Exchange<'_> {
    /// Logs a try. Omits the query, which carries data of the job.
    pub(super) fn log(
        &self,
        attempt: u32,
        tried: &Result<ReceivedResponse, CallFailure>,
        next: NextCall,
    ) {
        let csp = &self.inner.name;
        let method = self.request.method.as_str();
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
