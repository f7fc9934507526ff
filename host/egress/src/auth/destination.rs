//! The places that each credential may go to.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::endpoints::EndpointConfig;
use crate::endpoints::EndpointCredential;
use crate::policy::aws_scope::AwsScope;
use crate::policy::target::Place;

/// The credentials that each place may get, by their names.
#[derive(Debug)]
pub struct Destinations {
    /// The credentials that requests to the base URL may name.
    base: BTreeSet<String>,
    endpoints: BTreeMap<String, Destination>,
}

/// The credentials of one endpoint.
#[derive(Debug)]
struct Destination {
    own: EndpointCredential,
    named: BTreeSet<String>,
    signing: Option<AwsScope>,
}

impl Destinations {
    /// Reads the names in the configuration.
    pub fn new(base: &BTreeSet<String>, endpoints: &BTreeMap<String, EndpointConfig>) -> Self {
        let destination = |(name, config): (&String, &EndpointConfig)| {
            let destination = Destination {
                own: config.credential.clone(),
                named: config.named_credentials.clone(),
                signing: config.signing.clone(),
            };
            (name.clone(), destination)
        };
        Self { base: base.clone(), endpoints: endpoints.iter().map(destination).collect() }
    }

    /// Returns the credential of requests to `place` that name none.
    pub fn own(&self, place: &Place) -> &EndpointCredential {
        match place {
            Place::Base => &EndpointCredential::Default,
            Place::Endpoint(name) => {
                self.endpoints.get(name).map_or(&EndpointCredential::None, |it| &it.own)
            }
            Place::Allowed => &EndpointCredential::None,
        }
    }

    /// Returns the service and the region that `place` signs for, if the
    /// configuration has them.
    pub fn signing(&self, place: &Place) -> Option<&AwsScope> {
        match place {
            Place::Endpoint(name) => self.endpoints.get(name)?.signing.as_ref(),
            Place::Base | Place::Allowed => None,
        }
    }

    /// Returns true if a request to `place` may name this credential.
    pub fn may_name(&self, place: &Place, credential: &str) -> bool {
        match place {
            Place::Base => self.base.contains(credential),
            Place::Endpoint(name) => self.endpoints.get(name).is_some_and(|it| {
                it.named.contains(credential)
                    || matches!(&it.own, EndpointCredential::Named(own) if own == credential)
            }),
            Place::Allowed => false,
        }
    }
}
