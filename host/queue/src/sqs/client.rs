//! The way to SQS: credentials, region, TLS, timeouts.

use std::time::Duration;

use aws_config::AppName;
use aws_config::BehaviorVersion;
use aws_config::Region;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_sqs::Client;
use aws_smithy_http_client::tls;

use super::OpenError;
use super::receive::POLL_MAX;
use crate::SqsConfig;

/// How long a connection may take: SQS is near, or not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long one try of a call may take: a long poll, and what the network needs.
const TRY_TIMEOUT: Duration = POLL_MAX.saturating_add(Duration::from_secs(5));

/// How long a call may take with all its tries.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// Tries of one call, by the SDK, which knows what SQS means to pass. Whoever
/// called tries again after that, or tells its own caller to.
const TRIES: u32 = 3;

/// Pauses between the tries: from the first, doubled up to the second, with
/// jitter.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// A client; credentials come from where AWS's tools have them, too: the
/// environment, a profile, a web identity, the container or the machine.
pub async fn connect(config: &SqsConfig) -> Result<Client, OpenError> {
    let ring = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
    let http = aws_smithy_http_client::Builder::new().tls_provider(ring).build_https();
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(TRY_TIMEOUT)
        .operation_timeout(CALL_TIMEOUT)
        .build();
    let retry = RetryConfig::standard()
        .with_max_attempts(TRIES)
        .with_initial_backoff(BACKOFF.0)
        .with_max_backoff(BACKOFF.1);
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .app_name(AppName::new("hoth").expect("letters are a valid name"))
        .http_client(http)
        .timeout_config(timeouts)
        .retry_config(retry);
    if let Some(region) = &config.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(url) = &config.endpoint_url {
        loader = loader.endpoint_url(url.as_str());
    }
    let settings = loader.load().await;
    if settings.region().is_none() {
        return Err(OpenError::NoRegion);
    }
    Ok(Client::new(&settings))
}
