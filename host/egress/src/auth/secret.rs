//! Reading of secrets from their configured sources.

use std::error::Error;
use std::fmt::Display;

use secrecy::SecretString;
use tracing::warn;

use crate::transport::failure::CallFailure;
use hoth_core::domain::CspName;
use hoth_core::domain::TransportCode;
use hoth_platform::secret::SecretSource;

/// Reads a secret. `what` names it for the log and the failure.
///
/// The source of the secret goes to the log only: the failure reaches the
/// adapter and ServiceNow, which must not learn paths of this machine.
pub async fn read_secret(
    csp: &CspName,
    source: &SecretSource,
    what: &str,
) -> Result<SecretString, CallFailure> {
    let source = source.clone();
    // A file may lie on a slow network mount; the runtime must not wait for it.
    let read = tokio::task::spawn_blocking(move || source.read()).await;
    let error: Box<dyn Error> = match read {
        Ok(Ok(secret)) => return Ok(secret),
        Ok(Err(error)) => error.into(),
        Err(error) => error.into(),
    };
    let cause = error.source().map(ToString::to_string);
    warn!(%csp, %error, cause, "Cannot read the {what} for {csp}");
    let message = format!("the {what} for {csp} cannot be read");
    Err(CallFailure::unsent(TransportCode::TokenUnavailable, message))
}

/// Makes the failure of a secret that was read and cannot be used. Like
/// [`read_secret`], it names the source in the log only.
pub fn unusable(
    csp: &CspName,
    source: &SecretSource,
    what: &str,
    reason: &dyn Display,
) -> CallFailure {
    warn!(%csp, "Cannot use the {what} for {csp}: {source} {reason}");
    let message = format!("the {what} for {csp} {reason}");
    CallFailure::unsent(TransportCode::TokenUnavailable, message)
}
