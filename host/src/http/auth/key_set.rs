//! Keys with their secrets, ready to compare.

use std::sync::Arc;

use secrecy::SecretString;
use subtle::ConstantTimeEq as _;

use super::AuthConfig;
use super::Denied;
use super::Principal;
use hoth_core::domain::Digest;
use hoth_platform::secret::SecretError;

/// The keys of one configuration. The default has none, and lets everybody in.
#[derive(Default)]
pub struct KeySet {
    bearer: Vec<Bearer>,
    signers: Vec<Signer>,
}

struct Bearer {
    principal: Principal,
    sha256: Digest,
}

/// An AWS access key.
pub struct Signer {
    pub principal: Principal,
    pub access_key_id: String,
    pub secret: SecretString,
    /// The only region that it may sign for.
    pub region: Option<String>,
}

/// A secret that cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("sigv4[{at}].secret: {}", describe(source))]
pub struct KeyError {
    at: usize,
    source: SecretError,
}

fn describe(error: &SecretError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

impl KeySet {
    /// Reads the secrets of a configuration. Blocks on the file system.
    ///
    /// # Errors
    ///
    /// For the first secret that cannot be read.
    pub fn open(config: &AuthConfig) -> Result<Self, KeyError> {
        let principal = |name: &str, role| Principal { key: Some(Arc::from(name)), role };
        let bearer = config
            .bearer
            .iter()
            .map(|key| Bearer { principal: principal(&key.name, key.role), sha256: key.sha256 });
        let signers = config.sigv4.iter().enumerate().map(|(at, key)| {
            Ok(Signer {
                principal: principal(&key.name, key.role),
                access_key_id: key.access_key_id.clone(),
                secret: key.secret.read().map_err(|source| KeyError { at, source })?,
                region: key.region.clone(),
            })
        });
        Ok(Self { bearer: bearer.collect(), signers: signers.collect::<Result<_, _>>()? })
    }

    /// Whether there is none, so that everybody is let in.
    pub fn is_open(&self) -> bool {
        self.bearer.is_empty() && self.signers.is_empty()
    }

    /// Who holds a bearer token. Every key is compared, in constant time,
    /// whichever matches.
    pub(super) fn bearer(&self, token: &str) -> Result<Principal, Denied> {
        let digest = Digest::of(token.as_bytes());
        let mut found = None;
        for key in &self.bearer {
            if bool::from(key.sha256.as_bytes().ct_eq(digest.as_bytes())) {
                found = Some(&key.principal);
            }
        }
        found.cloned().ok_or(Denied::UnknownToken)
    }

    /// The key with an access key id, which is no secret.
    pub(super) fn signer(&self, access_key_id: &str) -> Option<&Signer> {
        self.signers.iter().find(|signer| signer.access_key_id == access_key_id)
    }
}
