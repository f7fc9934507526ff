//! The URLs that a request may have, and the `Location`s that may be followed.

mod path;
mod query;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use url::Url;

use crate::policy::origin;
use crate::policy::origin::Origin;
use crate::policy::target::path::BadPath;
use crate::policy::template::BadParameters;
use crate::policy::template::OriginPattern;
use crate::policy::template::UrlTemplate;
use hoth_core::domain::EndpointPath;
use hoth_core::domain::Target;
use hoth_core::domain::TransportCode;

/// The longest URL. RFC 9110 section 4.1 asks all parties to support at least
/// 8000 octets; CSPs refuse longer ones themselves.
const URL_BYTES_MAX: usize = 8192;

/// The base URL, the endpoints and the origins that the operator allows for one
/// CSP.
#[derive(Debug)]
pub struct TargetPolicy {
    base: Url,
    base_origin: Origin,
    endpoints: BTreeMap<String, UrlTemplate>,
    /// The patterns of `endpoints`: those of one origin come first.
    patterns: Vec<(String, OriginPattern)>,
    /// Those in `allowed_origins`.
    allowed: Vec<Origin>,
}

/// The part of the configuration that a URL belongs to. It selects the
/// credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The base URL.
    Base,
    /// The endpoint with this name.
    Endpoint(String),
    /// An allowed origin, which gets no credential.
    Allowed,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base => f.write_str("`base_url`"),
            Self::Endpoint(name) => write!(f, "the endpoint {name:?}"),
            Self::Allowed => f.write_str("one of the `allowed_origins`"),
        }
    }
}

/// The error of a request with a target that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    #[error("its path {0}")]
    Path(BadPath),
    #[error("its URL is longer than {URL_BYTES_MAX} bytes")]
    TooLong,
    #[error("its location {0}")]
    Location(BadLocation),
    #[error("it asks for the endpoint {0:?}, which is not among the `endpoints` of this CSP")]
    UnknownEndpoint(String),
    #[error("its endpoint {0:?} {1}")]
    Parameters(String, BadParameters),
}

/// The error of a `Location`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadLocation {
    #[error("is empty")]
    Empty,
    #[error("is not a URL")]
    Unreadable,
    #[error("is longer than {URL_BYTES_MAX} bytes")]
    TooLong,
    #[error("has a user name or a password")]
    Userinfo,
    #[error("points to {0}, which is in none of `base_url`, `endpoints` and `allowed_origins`")]
    Origin(String),
}

impl TargetPolicy {
    /// Makes the policy. `base` has passed [`origin::check_endpoint`].
    pub fn new(base: Url, endpoints: BTreeMap<String, UrlTemplate>, allowed: Vec<Origin>) -> Self {
        let pattern = |(name, url): (&String, &UrlTemplate)| (name.clone(), url.origins());
        let mut patterns: Vec<_> = endpoints.iter().map(pattern).collect();
        // The sort is stable, and the map is ordered by name.
        patterns.sort_by_key(|(_, pattern)| !pattern.is_exact());
        Self { base_origin: Origin::of(&base), base, endpoints, patterns, allowed }
    }

    /// Returns the origin of the base URL.
    pub fn base_origin(&self) -> &Origin {
        &self.base_origin
    }

    /// Returns the place that the origin of a URL belongs to, or `None` if the
    /// operator has not named it.
    fn place(&self, url: &Url) -> Option<Place> {
        let origin = Origin::of(url);
        if origin == self.base_origin {
            return Some(Place::Base);
        }
        let endpoint = self.patterns.iter().find(|(_, pattern)| pattern.covers(url));
        if let Some((name, _)) = endpoint {
            return Some(Place::Endpoint(name.clone()));
        }
        self.allowed.contains(&origin).then_some(Place::Allowed)
    }

    /// Returns the URL of a request, and its place. `previous` is the URL that
    /// was called before, the base of a relative location.
    pub fn url(
        &self,
        target: &Target,
        query: &[(String, String)],
        previous: Option<&Url>,
    ) -> Result<(Url, Place), BadTarget> {
        let (mut url, place) = match target {
            Target::Path(path) => {
                (path::join(self.base.clone(), path).map_err(BadTarget::Path)?, Place::Base)
            }
            Target::Endpoint(EndpointPath { endpoint, path, parameters }) => {
                let Some(template) = self.endpoints.get(endpoint) else {
                    return Err(BadTarget::UnknownEndpoint(endpoint.clone()));
                };
                let base = template
                    .fill(parameters)
                    .map_err(|bad| BadTarget::Parameters(endpoint.clone(), bad))?;
                let url = path::join(base, path).map_err(BadTarget::Path)?;
                (url, Place::Endpoint(endpoint.clone()))
            }
            Target::Location(location) => self
                .resolve(location, previous.unwrap_or(&self.base))
                .map_err(BadTarget::Location)?,
        };
        url.set_fragment(None);
        query::append(&mut url, query);
        if url.as_str().len() > URL_BYTES_MAX {
            return Err(BadTarget::TooLong);
        }
        Ok((url, place))
    }

    /// Resolves the `Location` of a response. `called` is the URL whose response
    /// it is.
    pub fn follow(&self, location: &str, called: &Url) -> Result<Url, BadLocation> {
        self.resolve(location, called).map(|(url, _)| url)
    }

    fn resolve(&self, location: &str, called: &Url) -> Result<(Url, Place), BadLocation> {
        if location.trim().is_empty() {
            return Err(BadLocation::Empty);
        }
        // The parser is that of the HTTP client, so that no text can mean one
        // host here and another one there.
        let url = called.join(location).map_err(|_| BadLocation::Unreadable)?;
        let url = self.behind_tls(url);
        let Some(place) = self.place(&url) else {
            return Err(BadLocation::Origin(Origin::of(&url).to_string()));
        };
        if origin::has_userinfo(&url) {
            return Err(BadLocation::Userinfo);
        }
        if url.as_str().len() > URL_BYTES_MAX {
            return Err(BadLocation::TooLong);
        }
        Ok((url, place))
    }

    /// Returns the https form of an http URL if the policy allows that form. A
    /// server behind a proxy that terminates TLS does not know that its clients
    /// use https, and writes http into its locations.
    fn behind_tls(&self, url: Url) -> Url {
        let mut secure = url.clone();
        let is_upgrade = url.scheme() == "http"
            && self.place(&url).is_none()
            && secure.set_scheme("https").is_ok()
            && self.place(&secure).is_some();
        if is_upgrade { secure } else { url }
    }
}

impl BadTarget {
    /// Returns the code that the adapter gets.
    pub fn code(&self) -> TransportCode {
        match self {
            Self::Path(_) | Self::TooLong | Self::UnknownEndpoint(_) | Self::Parameters(..) => {
                TransportCode::RequestRefused
            }
            Self::Location(_) => TransportCode::OriginRefused,
        }
    }
}
