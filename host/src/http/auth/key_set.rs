//! The keys of one configuration, with their secrets.

use secrecy::SecretString;
use subtle::ConstantTimeEq as _;

use super::denied::Denied;
use super::principal::Principal;
use hoth_core::domain::Digest;

/// The keys of one configuration. The default has none, and so accepts every
/// caller.
#[derive(Default)]
pub struct KeySet {
    /// Searched as a whole for every bearer token; see [`KeySet::bearer`].
    bearer: Vec<Bearer>,
    signers: Vec<Signer>,
}

/// A bearer token, known by its digest.
pub(super) struct Bearer {
    pub principal: Principal,
    pub sha256: Digest,
}

/// An AWS access key.
pub struct Signer {
    pub principal: Principal,
    /// Names the key in every signature, so it identifies the signer before
    /// the signature is verified.
    pub access_key_id: String,
    /// The secret access key. It is needed as text: signing keys are derived
    /// from it, so a digest would not do.
    pub secret: SecretString,
    /// The only region that the key may sign for; any region if `None`.
    pub region: Option<String>,
}

impl KeySet {
    /// Creates a set of these keys.
    pub(super) fn new(bearer: Vec<Bearer>, signers: Vec<Signer>) -> Self {
        Self { bearer, signers }
    }

    /// Returns `true` if there is no key, so that every caller is accepted.
    pub fn is_open(&self) -> bool {
        self.bearer.is_empty() && self.signers.is_empty()
    }

    /// Returns the holder of a bearer token.
    ///
    /// Compares every key in constant time, so the time taken tells nothing
    /// about the keys.
    pub(super) fn bearer(&self, token: &str) -> Result<Principal, Denied> {
        // Digests have the same length for every token, so the comparison does
        // not reveal the length of a key either.
        let digest = Digest::of(token.as_bytes());
        let mut found = None;
        for key in &self.bearer {
            if bool::from(key.sha256.as_bytes().ct_eq(digest.as_bytes())) {
                // No early return: its time would tell the position of the key.
                found = Some(&key.principal);
            }
        }
        found.cloned().ok_or(Denied::UnknownToken)
    }

    /// Returns the holder and the digest of the bearer key with this name,
    /// which is not a secret.
    pub(super) fn bearer_named(&self, name: &str) -> Option<(Principal, Digest)> {
        let key = self.bearer.iter().find(|key| key.principal.key.as_deref() == Some(name))?;
        Some((key.principal.clone(), key.sha256))
    }

    /// Returns the key with this access key id, which is not a secret.
    pub(super) fn signer(&self, access_key_id: &str) -> Option<&Signer> {
        self.signers.iter().find(|signer| signer.access_key_id == access_key_id)
    }
}
