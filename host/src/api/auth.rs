//! Who may call.

use std::fmt;
use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header;
use serde::Deserialize;
use subtle::ConstantTimeEq as _;

use super::ApiError;
use crate::domain::Digest;

/// What a key allows; each role includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Collect outcomes; acknowledge and release leases.
    Read,
    /// Everything on the API.
    Write,
    /// The admin API too.
    Admin,
}

/// `[auth]`: the keys.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    pub bearer: Vec<BearerKey>,
}

/// `[[auth.bearer]]`: a token, known by its digest alone.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BearerKey {
    /// For logs.
    pub name: String,
    pub role: Role,
    /// The SHA-256 of the token, in hex.
    pub sha256: Digest,
}

impl AuthConfig {
    /// Whether no key is configured, so that everybody is let in.
    pub fn is_open(&self) -> bool {
        self.bearer.is_empty()
    }

    /// What is wrong with it, a sentence each.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (n, key) in self.bearer.iter().enumerate() {
            if key.name.is_empty() {
                problems.push(format!("bearer[{n}].name: must not be empty"));
            }
            if self.bearer[..n].iter().any(|other| other.name == key.name) {
                problems.push(format!("bearer[{n}].name: `{}` is used twice", key.name));
            }
        }
        problems
    }
}

/// The configured keys; cheap to clone.
#[derive(Clone)]
pub struct Keys(Arc<[BearerKey]>);

/// Who called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The key's name; none where everybody is let in.
    pub key: Option<String>,
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key.as_deref().unwrap_or("anyone"))
    }
}

impl Keys {
    /// The keys of a configuration.
    pub fn new(config: &AuthConfig) -> Self {
        Self(config.bearer.clone().into())
    }

    /// Lets a caller in who holds `role`. Every key is compared, in constant
    /// time, whichever matches.
    ///
    /// # Errors
    ///
    /// [`ApiError::Unauthenticated`] for a missing or unknown key, and
    /// [`ApiError::Forbidden`] for one without the role.
    pub fn authorize(&self, headers: &HeaderMap, role: Role) -> Result<Principal, ApiError> {
        if self.0.is_empty() {
            return Ok(Principal { key: None });
        }
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = given.and_then(bearer_token).ok_or(ApiError::Unauthenticated)?;
        let digest = Digest::of(token.as_bytes());
        let mut found = None;
        for key in self.0.iter() {
            if bool::from(key.sha256.as_bytes().ct_eq(digest.as_bytes())) {
                found = Some(key);
            }
        }
        let key = found.ok_or(ApiError::Unauthenticated)?;
        if key.role < role {
            return Err(ApiError::Forbidden);
        }
        Ok(Principal { key: Some(key.name.clone()) })
    }
}

/// RFC 6750 section 2.1; the scheme's name has no case (RFC 9110 section 11.1).
fn bearer_token(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}
