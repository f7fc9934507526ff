//! What operators see of a CSP, and what the log says about its adapter.

use std::collections::BTreeMap;

use tracing::warn;

use super::Context;
use super::Destination;
use crate::csp::BreakerStatus;
use crate::domain::CspName;
use crate::registry::Registry;

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

/// Says which credentials are missing, now and after each change of adapters.
/// Jobs that need none of them go on, so nothing is refused for it.
pub async fn watch_credentials(context: &Context, destinations: &BTreeMap<CspName, Destination>) {
    let mut changes = context.registry.changed();
    let mut said: BTreeMap<&CspName, Vec<String>> = BTreeMap::new();
    loop {
        for (csp, destination) in destinations {
            let missing = destination.missing_credentials(&context.registry);
            if said.get(csp).is_some_and(|before| *before == missing) {
                continue;
            }
            for name in &missing {
                warn!(
                    %csp, credential = ?name,
                    "The adapter of {csp} asks for the credential {name:?}, and there is no \
                     `[csp.{csp}.credentials.{name}]`; requests with it will be refused",
                );
            }
            said.insert(csp, missing);
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}
