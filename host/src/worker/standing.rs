//! What operators see of a CSP.

use super::Destination;
use crate::registry::Registry;
use hoth_egress::BreakerStatus;

/// How a CSP stands.
#[derive(Debug, Clone)]
pub struct Standing {
    pub paused: bool,
    pub breaker: BreakerStatus,
    /// What its adapter asks for, and the configuration does not have.
    pub missing_credentials: Vec<String>,
}

impl Destination {
    pub fn standing(&self, registry: &Registry) -> Standing {
        Standing {
            paused: !self.gate.is_open(),
            breaker: self.client.breaker().status(),
            missing_credentials: self.missing_credentials(registry),
        }
    }

    /// Empty also while it has no adapter.
    fn missing_credentials(&self, registry: &Registry) -> Vec<String> {
        let Ok(version) = registry.serving(&self.name) else { return Vec::new() };
        let asked = version.adapter().info().credentials.iter();
        asked.filter(|name| !self.client.has_credential(name)).cloned().collect()
    }
}
