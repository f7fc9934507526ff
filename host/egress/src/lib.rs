//! The way out: egress rules, credentials, HTTP, circuit breaker.
//!
//! Everything that leaves for a CSP leaves through [`Client::exchange`], and
//! nothing leaves for a host that the operator did not name. An adapter's
//! request is checked whole before a name is resolved or a token asked for.
//!
//! What is deliberately not here: what an answer means (the adapter's), whether
//! a job goes on (`workflow`'s), and redirects (nobody's).

mod breaker;
mod call;
mod config;
mod credential;
mod credential_config;
mod exchange;
mod failure;
mod headers;
mod http_client;
mod network;
mod origin;
mod resolver;
mod retry_after;
mod scrub;
mod target;
#[cfg(test)]
mod tests;
mod tls;
mod token;
mod token_endpoint;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use url::Url;

pub use breaker::Admission;
pub use breaker::Breaker;
pub use breaker::BreakerConfig;
pub use breaker::BreakerStatus;
pub use breaker::Phase;
pub use config::Config;
pub use credential_config::ApiKeyConfig;
pub use credential_config::BasicConfig;
pub use credential_config::CredentialConfig;
pub use credential_config::OAuth2Config;
pub use network::BadNetwork;
pub use network::Network;
pub use origin::BadUrl;
pub use origin::Origin;
pub use tls::TlsConfig;
pub use tls::TlsError;

/// The rules for what an adapter asks for, for `tests/fuzz`.
#[cfg(feature = "testing")]
pub mod fuzz {
    pub use super::headers::assemble;
    pub use super::target::Egress;
}

use crate::call::Peer;
use crate::credential::Credentials;
use crate::http_client::HttpClient;
use crate::resolver::Resolver;
use crate::target::Egress;
use hoth_core::config::Names;
use hoth_core::config::Problem;
use hoth_core::config::Table as _;
use hoth_core::domain::CspName;
use hoth_core::domain::Event;
use hoth_core::domain::HttpRequest;
use hoth_core::workflow::RetryPolicy;
use hoth_platform::clock::Clock;

/// The way to one CSP. Cheap to clone; all clones share its connections, its
/// tokens and its bound on calls at the same time.
#[derive(Debug, Clone)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: CspName,
    settings: String,
    egress: Egress,
    http: HttpClient,
    peer: Peer,
    credentials: Credentials,
    breaker: Breaker,
    /// One for each call that may be under way.
    permits: Semaphore,
    clock: Clock,
}

/// What a request needs to know about the job it belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// [`RetryPolicy::ONCE`] for polls.
    pub retry: &'a RetryPolicy,
    /// The URL that was called last in this run: the base of a relative
    /// location. None: the CSP's base URL.
    pub previous_url: Option<&'a Url>,
    /// Whose request it is; an outage is told by how many jobs fail.
    pub job: &'a str,
    /// The same at every copy of the request, also after a crash.
    pub idempotency_key: &'a str,
}

/// How a request ended.
#[derive(Debug)]
pub struct Exchanged {
    /// A response or a transport failure.
    pub event: Event,
    /// The URL that was called; none when nothing was.
    pub url: Option<Url>,
    /// Calls to the CSP, also such that did not get there.
    pub calls: u32,
    /// What the last answer asked for, at most 30 days.
    pub retry_after: Option<Duration>,
}

/// A configuration from which no client can be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(transparent)]
    Invalid(#[from] Problem),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the HTTP client cannot be set up")]
    Http(#[source] reqwest::Error),
}

impl Client {
    /// Makes the client of one CSP; connects to nobody yet.
    pub fn build(name: &CspName, config: &Config) -> Result<Self, BuildError> {
        Self::build_with(name, config, Resolver::system(&config.private_networks))
    }

    /// The CSP's settings as the adapter gets them: one JSON object.
    pub fn settings_json(&self) -> &str {
        &self.0.settings
    }

    /// Whether the CSP's jobs should wait. Every exchange tells it how it went.
    pub fn breaker(&self) -> &Breaker {
        &self.0.breaker
    }

    /// Whether the operator has bound a credential to this name.
    pub fn has_credential(&self, name: &str) -> bool {
        self.0.credentials.has(name)
    }

    /// Makes an adapter's request, again where the policy says so, and gives
    /// back what the adapter is to be resumed with. It never fails otherwise:
    /// what the operator's rules refuse is a transport failure, too.
    ///
    /// May be dropped at any time; a call that is under way is then cut off.
    pub async fn exchange(&self, request: &HttpRequest, context: &Context<'_>) -> Exchanged {
        exchange::run(&self.0, request, context).await
    }

    fn build_with(name: &CspName, config: &Config, resolver: Resolver) -> Result<Self, BuildError> {
        if let Some(invalid) = config.check(&Names::default()).into_iter().next() {
            return Err(invalid.into());
        }
        let http = HttpClient::build(name, config, resolver)?;
        let clock = Clock::system();
        let peer = Peer {
            name: name.to_string(),
            timeout: config.timeout(),
            header_timeout: config.header_timeout(),
            proxied: config.is_proxied(&config.base_url),
            response_bytes_max: config.max_response_bytes.get() as usize,
            response_bytes_hint: " (`max_response_bytes`)",
        };
        Ok(Self(Arc::new(Inner {
            name: name.clone(),
            settings: config.settings_json(),
            egress: Egress::new(config.base_url.clone(), &config.allowed_origins),
            credentials: Credentials::new(name, config, &http),
            http,
            peer,
            breaker: Breaker::new(name, &config.breaker, clock.clone()),
            permits: Semaphore::new(config.max_concurrent.get() as usize),
            clock,
        })))
    }
}
