//! The endpoints of one CSP in the configuration, and the credentials that each
//! may get.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use serde::Deserialize;
use serde::Deserializer;

use crate::policy::aws_scope::AwsScope;
use crate::policy::template;
use crate::policy::template::UrlTemplate;
use hoth_core::config::Problem;
use hoth_core::domain::Manifest;

/// The word for the default credential, where the configuration names one.
pub const DEFAULT_CREDENTIAL: &str = "default";

/// The table `[csp.<NAME>.endpoints.<NAME>]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointConfig {
    /// The URL that every path is appended to. `{name}` in the host takes a
    /// value from the adapter.
    pub url: UrlTemplate,
    /// The credential of requests that name none.
    #[serde(default)]
    pub credential: EndpointCredential,
    /// Further credentials that requests to the endpoint may name.
    #[serde(default)]
    pub named_credentials: BTreeSet<String>,
    /// The service and the region of signatures for AWS. By default they are
    /// those of the credential, or read off the host name.
    pub signing: Option<AwsScope>,
}

/// The credential of an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum EndpointCredential {
    /// The default credential of the CSP.
    #[default]
    Default,
    /// No credential.
    None,
    /// The one in `credentials` with this name.
    Named(String),
}

/// The word that is no name of a credential, as it selects none. The name of
/// the default credential is refused where credentials are checked.
const NONE: &str = "none";

/// The most endpoints of one CSP: several hosts for each service that it has.
const ENDPOINTS_MAX: usize = 64;

impl EndpointConfig {
    /// Returns true if requests to the endpoint may carry this credential.
    fn names(&self, credential: &str) -> bool {
        let own = matches!(&self.credential, EndpointCredential::Named(name) if name == credential);
        own || self.named_credentials.contains(credential)
    }
}

impl<'de> Deserialize<'de> for EndpointCredential {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match String::deserialize(deserializer)?.as_str() {
            DEFAULT_CREDENTIAL => Self::Default,
            NONE => Self::None,
            name => Self::Named(name.to_owned()),
        })
    }
}

/// The names of a CSP's configuration that refer to one another.
pub struct Bindings<'a> {
    pub endpoints: &'a BTreeMap<String, EndpointConfig>,
    /// The names of the configured credentials.
    pub credentials: BTreeSet<&'a str>,
    /// The credentials that requests to the base URL may name.
    pub base: &'a BTreeSet<String>,
    /// The credentials whose keys ask for those of a role.
    pub sources: BTreeSet<&'a str>,
}

impl Bindings<'_> {
    /// Returns the problems of endpoints, and of credentials that no endpoint
    /// gets.
    pub fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.endpoints.len() > ENDPOINTS_MAX {
            let message = format!("must be {ENDPOINTS_MAX} at most, not {}", self.endpoints.len());
            problems.push(Problem::new("endpoints", message));
        }
        if self.credentials.contains(NONE) {
            let message = "must have another name, as an endpoint with that one gets no credential";
            problems.push(Problem::new(format!("credentials.{NONE}"), message));
        }
        self.check_named("named_credentials", self.base, &mut problems);
        for (name, endpoint) in self.endpoints {
            if !template::is_name(name) {
                let max = Manifest::NAME_BYTES_MAX;
                let message = format!("must have names of 1 to {max} letters, digits, `-` or `_`");
                problems.push(Problem::new("endpoints", message));
            }
            let key = |key: &str| format!("endpoints.{name}.{key}");
            if let EndpointCredential::Named(named) = &endpoint.credential {
                let named = BTreeSet::from([named.clone()]);
                self.check_named(&key("credential"), &named, &mut problems);
            }
            let named = &endpoint.named_credentials;
            self.check_named(&key("named_credentials"), named, &mut problems);
            let signing = endpoint.signing.iter().flat_map(AwsScope::check);
            problems.extend(signing.map(|problem| problem.in_table(&key("signing"))));
            if let Some(other) = self.ambiguous(name, endpoint) {
                let message = format!(
                    "must be the credential of `endpoints.{other}`, whose URL may have the same \
                     origin: locations are told apart by their origin"
                );
                problems.push(Problem::new(key("credential"), message));
            }
        }
        for name in &self.credentials {
            let used = self.base.contains(*name)
                || self.sources.contains(name)
                || self.endpoints.values().any(|endpoint| endpoint.names(name));
            if !used {
                let message = "is sent nowhere: name it in `named_credentials` of the CSP, which \
                               sends it to `base_url`, or in an endpoint's `credential` or \
                               `named_credentials`";
                problems.push(Problem::new(format!("credentials.{name}"), message));
            }
        }
        problems
    }

    fn check_named(&self, key: &str, named: &BTreeSet<String>, problems: &mut Vec<Problem>) {
        for name in named.iter().filter(|name| !self.credentials.contains(name.as_str())) {
            let message = format!("there is no `credentials.{name}`");
            problems.push(Problem::new(key, message));
        }
    }

    /// Returns an earlier endpoint that may have the same origin, and has another
    /// credential.
    fn ambiguous(&self, name: &str, endpoint: &EndpointConfig) -> Option<&str> {
        let origins = endpoint.url.origins();
        let mut earlier = self.endpoints.iter().take_while(|(other, _)| *other != name);
        let found = earlier.find(|(_, other)| {
            other.url.origins().is_ambiguous_with(&origins)
                && other.credential != endpoint.credential
        });
        found.map(|(other, _)| other.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(endpoints: &str, base: &[&str]) -> Vec<String> {
        let endpoints = toml::from_str(endpoints).unwrap();
        let base = base.iter().map(|name| (*name).to_owned()).collect();
        let credentials = BTreeSet::from(["a", "b"]);
        let bindings =
            Bindings { endpoints: &endpoints, credentials, base: &base, sources: BTreeSet::new() };
        bindings.check().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn endpoints_name_credentials_that_are_configured() {
        let good = "costs = { url = 'https://c.example.com', credential = 'a' }
            open = { url = 'https://o.example.com', credential = 'none' }
            other = { url = 'https://{x}.example.com', named_credentials = ['b'] }";
        assert_eq!(problems(good, &[]), [""; 0]);
        assert_eq!(problems("", &["a", "b"]), [""; 0]);
        assert_eq!(
            problems("costs = { url = 'https://c.example.com', credential = 'x' }", &["a", "y"]),
            [
                "named_credentials: there is no `credentials.y`",
                "endpoints.costs.credential: there is no `credentials.x`",
                "credentials.b: is sent nowhere: name it in `named_credentials` of the CSP, which \
                 sends it to `base_url`, or in an endpoint's `credential` or `named_credentials`",
            ]
        );
    }

    #[test]
    fn endpoints_of_one_origin_have_one_credential() {
        let same = "one = { url = 'https://c.example.com/1', credential = 'a' }
            two = { url = 'https://c.example.com/2', credential = 'a' }
            three = { url = 'https://{x}.example.com', named_credentials = ['b'] }";
        assert_eq!(problems(same, &[]), [""; 0]);
        for (one, two) in [
            ("https://c.example.com/1", "https://c.example.com/2"),
            ("https://{x}.example.com/1", "https://{y}.example.com/2"),
            // `a.b.example.com` may be either.
            ("https://{x}.b.example.com", "https://a.{y}.example.com"),
            ("https://{x}.b.example.com", "https://{x}.{y}.example.com"),
        ] {
            let other = format!(
                "one = {{ url = '{one}', credential = 'a' }}
                two = {{ url = '{two}', credential = 'b' }}"
            );
            assert_eq!(
                problems(&other, &[]),
                ["endpoints.two.credential: must be the credential of `endpoints.one`, whose URL \
                  may have the same origin: locations are told apart by their origin"]
            );
        }
        for (one, two) in [
            ("https://c.example.com", "https://{x}.example.com"),
            ("https://{x}.b.example.com", "https://{y}.c.example.com"),
            ("https://{x}.b.example.com", "https://{y}.b.example.com:8443"),
            ("https://{x}.example.com", "https://a.{y}.example.com"),
        ] {
            let apart = format!(
                "one = {{ url = '{one}', credential = 'a' }}
                two = {{ url = '{two}', credential = 'b' }}"
            );
            assert_eq!(problems(&apart, &[]), [""; 0], "{one} {two}");
        }
    }

    #[test]
    fn an_endpoint_has_a_name_and_a_url() {
        let named = problems("'a b' = { url = 'https://c.example.com' }", &["a", "b"]);
        assert_eq!(named, ["endpoints: must have names of 1 to 64 letters, digits, `-` or `_`"]);
        for wrong in [
            "c = {}",
            "c = { url = 'http://c.example.com' }",
            "c = { url = 'https://{c}.com' }",
            "c = { url = 'https://c.example.com', credentials = ['a'] }",
        ] {
            let read = toml::from_str::<BTreeMap<String, EndpointConfig>>(wrong);
            assert!(read.is_err(), "{wrong}");
        }
    }
}
