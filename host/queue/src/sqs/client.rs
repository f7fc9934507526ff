//! The SQS client: credentials, region, TLS, timeouts.

use std::time::Duration;

use aws_config::AppName;
use aws_config::BehaviorVersion;
use aws_config::Region;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::SharedHttpClient;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::ConnectorBuilder;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls;

use super::error::OpenError;
use crate::sqs_config::SqsConfig;

/// The longest wait of one poll. SQS allows 20 s. A stop has to wait for the
/// polls in progress, and a receiver that goes away leaves one behind, so it is
/// shorter.
pub const POLL_MAX: Duration = Duration::from_secs(5);

/// The time to connect. The region is usually near, so a longer wait means that
/// SQS cannot be reached.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The time of one attempt of a call: a long poll, and the network's share.
const TRY_TIMEOUT: Duration = POLL_MAX.saturating_add(Duration::from_secs(5));

/// The time of a call with all its attempts.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// The attempts of one call by the SDK, which knows SQS's transient errors.
/// After them the caller gets the error, and decides.
const TRIES: u32 = 3;

/// The first pause between attempts, doubled up to the second, with jitter.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// Makes a client. Credentials come from the sources that AWS's own tools use:
/// the environment, a profile (with `credential_process` and SSO), a web
/// identity, the container or the machine.
///
/// # Errors
///
/// [`OpenError::NoRegion`] if no source names a region, [`OpenError::Proxy`] if
/// the proxy is not a URL of one.
pub async fn connect(config: &SqsConfig) -> Result<Client, OpenError> {
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
        .http_client(http_client(proxy(config)?))
        .timeout_config(timeouts)
        .retry_config(retry);
    // Only explicit settings are passed on. For the rest, the loader asks the
    // sources of AWS's own tools.
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

/// Makes the proxy rule: the configured proxy for calls by https, and none for
/// others, which do not leave the machine. The environment names no proxy: the
/// configuration file decides.
fn proxy(config: &SqsConfig) -> Result<ProxyConfig, OpenError> {
    match &config.proxy {
        None => Ok(ProxyConfig::disabled()),
        Some(url) => ProxyConfig::https(url.as_str()).map_err(|_| OpenError::Proxy),
    }
}

fn http_client(proxy: ProxyConfig) -> SharedHttpClient {
    // The same parts as those of the SDK's own client, with `ring` as the
    // provider of cryptography.
    Builder::new().build_with_connector_fn(move |settings, components| {
        let ring = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
        let mut connector = ConnectorBuilder::default().tls_provider(ring);
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(|parts| parts.sleep_impl()));
        connector.set_proxy_config(Some(proxy.clone()));
        connector.build()
    })
}
