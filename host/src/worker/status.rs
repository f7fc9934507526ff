//! The status of a CSP, as operators see it.

use super::CspRuntime;
use crate::job_status::CspHold;
use crate::registry::Registry;
use hoth_core::domain::Timestamp;
use hoth_egress::BreakerStatus;
use hoth_egress::Origin;
use hoth_egress::OriginPattern;

/// The status of one CSP.
#[derive(Debug, Clone)]
pub struct CspStatus {
    /// The time of the pause; `None` if the CSP is not paused.
    pub paused_since: Option<Timestamp>,
    /// The reason why a secret cannot be read. Jobs wait meanwhile.
    pub missing_secret: Option<String>,
    /// The origin of the CSP's base URL.
    pub origin: Origin,
    /// Its breaker.
    pub breaker: BreakerStatus,
    /// The calls that are under way, and their bound.
    pub calls_in_flight: usize,
    pub calls_max: usize,
    /// The breakers of its other origins.
    pub other_breakers: Vec<(OriginPattern, BreakerStatus)>,
    /// Names of credentials that the adapter asks for and the configuration
    /// lacks.
    pub missing_credentials: Vec<String>,
}

impl CspRuntime {
    /// Returns the status of this CSP.
    pub fn status(&self, registry: &Registry) -> CspStatus {
        CspStatus {
            paused_since: self.pause.since(),
            missing_secret: self.secrets.missing(),
            origin: self.client.origin().clone(),
            breaker: self.client.breaker().status(),
            calls_in_flight: self.client.calls_in_flight(),
            calls_max: self.client.calls_max(),
            other_breakers: self
                .client
                .other_breakers()
                .iter()
                .map(|(origin, breaker)| (origin.clone(), breaker.status()))
                .collect(),
            missing_credentials: self.missing_credentials(registry),
        }
    }

    /// Returns the cause for which its jobs are held back, or `None` if they
    /// run.
    pub fn hold(&self, registry: &Registry) -> Option<CspHold> {
        if self.pause.since().is_some() {
            return Some(CspHold::Paused);
        }
        if self.secrets.missing().is_some() {
            return Some(CspHold::Secret);
        }
        if registry.serving(&self.name).is_err() {
            return Some(CspHold::NoAdapter);
        }
        self.client.breaker().holds_calls().then_some(CspHold::Down)
    }

    /// Returns the names of the missing credentials; none while the CSP has no
    /// active adapter.
    fn missing_credentials(&self, registry: &Registry) -> Vec<String> {
        let Ok(version) = registry.serving(&self.name) else { return Vec::new() };
        let required = version.adapter().info().manifest.credentials.iter();
        required
            .filter(|(name, need)| !need.optional && !self.client.has_credential(name))
            .map(|(name, _)| name.clone())
            .collect()
    }
}
