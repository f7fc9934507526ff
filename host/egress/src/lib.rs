//! Calls to CSPs: egress rules, authentication, HTTP, circuit breaker.
//!
//! Every call to a CSP goes through [`Client::exchange`], and no call leaves for
//! a host that the operator did not configure. A request is checked completely
//! before a name is resolved or a token is requested.
//!
//! Not part of this crate: the meaning of a response (the adapter's), the next
//! step of a job (`workflow`'s), and redirects, which are never followed.

mod auth;
mod breaker;
mod check;
mod config;
mod endpoints;
mod exchange;
mod policy;
#[cfg(test)]
mod tests;
mod transport;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use url::Url;

pub use auth::config::ApiKeyConfig;
pub use auth::config::AssumeRoleConfig;
pub use auth::config::AwsSigV4Config;
pub use auth::config::BasicConfig;
pub use auth::config::ClientAuthentication;
pub use auth::config::ClientCertificateConfig;
pub use auth::config::CredentialConfig;
pub use auth::config::GoogleFederationConfig;
pub use auth::config::GoogleServiceAccountConfig;
pub use auth::config::OAuth2Config;
pub use auth::config::OciSignatureConfig;
pub use auth::config::WebIdentityConfig;
pub use auth::status::CredentialStatus;
pub use auth::status::TokenStatus;
pub use breaker::Breaker;
pub use breaker::BreakerChange;
pub use breaker::BreakerChangeKind;
pub use breaker::BreakerConfig;
pub use breaker::BreakerPhase;
pub use breaker::BreakerStatus;
pub use breaker::FailureCause;
pub use breaker::ReceivePermit;
pub use check::check_unconfigured;
pub use config::Config;
pub use config::HeadersConfig;
pub use endpoints::EndpointConfig;
pub use endpoints::EndpointCredential;
pub use exchange::ExchangeEvent;
pub use exchange::ExchangeEvents;
pub use policy::aws_scope::AwsScope;
pub use policy::network::BadNetwork;
pub use policy::network::Network;
pub use policy::origin::BadUrl;
pub use policy::origin::Origin;
pub use policy::origin::check_endpoint as check_url;
pub use policy::template::OriginPattern;
pub use policy::template::UrlTemplate;
pub use transport::tls::DefaultTrust;
pub use transport::tls::TlsConfig;
pub use transport::tls::TlsError;

/// The egress rules, for the fuzz targets in `tests/fuzz`.
#[cfg(feature = "testing")]
pub mod fuzz {
    pub use super::policy::headers::assemble;
    pub use super::policy::target::TargetPolicy;
}

use crate::auth::credential::Credentials;
use crate::auth::destination::Destinations;
use crate::auth::issuer_client::IssuerSetup;
use crate::policy::resolver::Resolver;
use crate::policy::target::TargetPolicy;
use crate::transport::call::CallTarget;
use crate::transport::client::HttpClient;
use hoth_core::config::Names;
use hoth_core::config::Problem;
use hoth_core::config::Table as _;
use hoth_core::domain::CspName;
use hoth_core::domain::Event;
use hoth_core::domain::HttpRequest;
use hoth_core::domain::TraceContext;
use hoth_core::workflow::Finding;
use hoth_core::workflow::RetryPolicy;
use hoth_platform::clock::Clock;

/// The client of one CSP. Cheap to clone: clones share their connections, their
/// tokens and their bound on concurrent calls.
#[derive(Debug, Clone)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: CspName,
    /// The settings for the adapter, as one JSON object.
    settings: String,
    targets: TargetPolicy,
    http: HttpClient,
    /// The CSP as the peer of a call, with the bounds of that call.
    target: CallTarget,
    credentials: Credentials,
    /// False if the CSP gets no `Idempotency-Key`.
    sends_idempotency_key: bool,
    /// The breaker of the origin of the base URL, where jobs begin.
    breaker: Breaker,
    /// The breakers of the other origins. The hosts of an endpoint with
    /// placeholders share one: their number is the adapter's choice.
    other_breakers: Vec<(OriginPattern, Breaker)>,
    /// The bound on concurrent calls, and its permits.
    calls_max: usize,
    permits: Semaphore,
    clock: Clock,
}

/// The job that a request belongs to, as far as the request needs it.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The retry policy: [`RetryPolicy::ONCE`] for polls.
    pub retry: &'a RetryPolicy,
    /// True for a poll. If the CSP has several origins, a poll at one that does
    /// not respond fails without a call, and a later one follows.
    pub is_poll: bool,
    /// The last URL that was called in this run, the base of a relative
    /// location. If `None`, the base is the CSP's base URL.
    pub previous_url: Option<&'a Url>,
    /// The id of the job. The breaker counts failing jobs, not failing calls.
    pub job: &'a str,
    /// The number of the job's requests before this one.
    pub ordinal: u32,
    /// The idempotency key: the same for every copy of the request, also after
    /// a crash.
    pub idempotency_key: &'a str,
    /// The headers besides `Retry-After` in which the CSP asks for a pause, by
    /// the adapter's manifest.
    pub retry_after_headers: &'a [String],
    /// Called before each call, when nothing of HOTH holds it back any more:
    /// from then on the CSP may receive it.
    pub before_call: &'a (dyn Fn() + Sync),
    /// Returns the trace context to send with the call of this number, from 1.
    /// `None` if the CSP gets none.
    pub trace: Option<&'a (dyn Fn(u32) -> TraceContext + Sync)>,
}

/// The result of [`Client::exchange`].
#[derive(Debug)]
pub struct ExchangeResult {
    /// A response or a transport failure.
    pub event: Event,
    /// The URL that was called, or `None` if no call was made.
    pub url: Option<Url>,
    /// Calls attempted, including those that never reached the CSP.
    pub calls: u32,
    /// The wait that the last response asked for, at most 30 days.
    pub retry_after: Option<Duration>,
    /// A fact about the exchange that the response does not show.
    pub finding: Option<Finding>,
    /// The tries and the waits before them.
    pub events: ExchangeEvents,
}

/// The error of a configuration from which no client can be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(transparent)]
    Invalid(#[from] Problem),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Client {
    /// Makes the client of one CSP. Opens no connection.
    pub fn build(name: &CspName, config: &Config) -> Result<Self, BuildError> {
        Self::build_with(name, config, Resolver::system(&config.private_networks))
    }

    /// Returns the CSP's settings in the form that the adapter gets: one JSON
    /// object.
    pub fn settings_json(&self) -> &str {
        &self.0.settings
    }

    /// Returns the origin of `base_url`.
    pub fn origin(&self) -> &Origin {
        self.0.targets.base_origin()
    }

    /// Returns the breaker of the origin of `base_url`, where jobs begin. Every
    /// exchange reports its calls to the breaker of the origin that it calls.
    pub fn breaker(&self) -> &Breaker {
        &self.0.breaker
    }

    /// Waits until a poll could make its call, and returns a permit to receive
    /// polls, with the breaker that gave it. The adapter chooses the origin of a
    /// poll when it runs, so one origin that responds is enough.
    pub async fn poll_permit(&self) -> (&Breaker, ReceivePermit) {
        let others = self.0.other_breakers.iter().map(|(_, breaker)| breaker);
        let mut breakers: Vec<&Breaker> = [&self.0.breaker].into_iter().chain(others).collect();
        // The permit of a breaker that is half open is for one job, so those
        // that are closed come first.
        breakers.sort_by_key(|breaker| breaker.holds_calls());
        let permits = breakers
            .into_iter()
            .map(|breaker| Box::pin(async move { (breaker, breaker.receive_permit().await) }));
        futures_util::future::select_all(permits).await.0
    }

    /// Returns the breakers of the other origins.
    pub fn other_breakers(&self) -> &[(OriginPattern, Breaker)] {
        &self.0.other_breakers
    }

    /// Closes the breakers of all origins: see [`Breaker::reset`]. Returns the
    /// number of those that were open.
    pub fn reset_breakers(&self) -> usize {
        let others = self.0.other_breakers.iter().map(|(_, breaker)| breaker);
        [&self.0.breaker].into_iter().chain(others).filter(|breaker| breaker.reset()).count()
    }

    /// Returns the state of every configured credential, without secrets: the
    /// default one first, under the name `None`.
    pub fn credentials(&self) -> Vec<CredentialStatus> {
        self.0.credentials.statuses(&self.0.clock)
    }

    /// Returns the number of calls that are under way.
    pub fn calls_in_flight(&self) -> usize {
        self.0.calls_max.saturating_sub(self.0.permits.available_permits())
    }

    /// Returns the bound on concurrent calls.
    pub fn calls_max(&self) -> usize {
        self.0.calls_max
    }

    /// Returns true if a credential with this name is configured.
    pub fn has_credential(&self, name: &str) -> bool {
        self.0.credentials.has(name)
    }

    /// Makes an adapter's request, repeats it as the retry policy allows, and
    /// returns the event that resumes the adapter. A request that the egress
    /// rules refuse is a transport failure too.
    ///
    /// Cancellation-safe: dropping the future cuts a running call off.
    pub async fn exchange(&self, request: &HttpRequest, context: &Context<'_>) -> ExchangeResult {
        exchange::run(&self.0, request, context).await
    }

    fn build_with(name: &CspName, config: &Config, resolver: Resolver) -> Result<Self, BuildError> {
        if let Some(invalid) = config.check(&Names::default()).into_iter().next() {
            return Err(invalid.into());
        }
        let http = HttpClient::build(name, config.client_config(), resolver)?;
        let clock = Clock::system();
        let calls_max = config.max_concurrent.get() as usize;
        let target = CallTarget {
            name: name.to_string(),
            timeout: config.timeout(),
            header_timeout: config.header_timeout(),
            proxied: http.is_proxied(&config.base_url),
            response_bytes_max: config.max_response_bytes.get() as usize,
            response_bytes_hint: " (`max_response_bytes`)",
        };
        let other_breakers = config
            .other_origins()
            .into_iter()
            .map(|origin| {
                let peer = format!("{name} at {origin}");
                (origin, Breaker::new(name, peer, &config.breaker, clock.clone()))
            })
            .collect();
        let setup = IssuerSetup {
            csp: name.clone(),
            http: http.clone(),
            timeout: config.timeout(),
            clock: clock.clone(),
        };
        Ok(Self(Arc::new(Inner {
            name: name.clone(),
            settings: config.settings_json(),
            targets: TargetPolicy::new(
                config.base_url.clone(),
                config.endpoint_urls(),
                config.allowed_origins.clone(),
            ),
            credentials: Credentials::new(
                &setup,
                &config.default_credential(),
                &config.credentials,
                Destinations::new(&config.named_credentials, &config.endpoints),
            ),
            sends_idempotency_key: config.headers.idempotency_key,
            http,
            target,
            breaker: Breaker::new(name, name.to_string(), &config.breaker, clock.clone()),
            other_breakers,
            calls_max,
            permits: Semaphore::new(calls_max),
            clock,
        })))
    }
}
