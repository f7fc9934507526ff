//! The secrets of a credential, as `hoth check` reads them.

use secrecy::ExposeSecret as _;

use crate::auth::sign::account_key::AccountKey;
use crate::auth::sign::client_assertion;
use crate::auth::sign::rsa_key::RsaKey;
use hoth_platform::secret::SecretSource;

/// A secret with the key that configures it.
#[derive(Debug)]
pub struct Secret {
    /// Relative to the credential: `oauth2.client_secret`.
    pub key: &'static str,
    source: SecretSource,
    form: SecretForm,
}

/// The form that a secret must have.
#[derive(Debug, Clone, Copy)]
pub enum SecretForm {
    Text,
    RsaKey,
    GoogleAccount,
    Certificate,
}

impl Secret {
    pub fn new(key: &'static str, source: &SecretSource, form: SecretForm) -> Self {
        Self { key, source: source.clone(), form }
    }

    /// Returns the reason why the secret cannot be used now, without quoting
    /// it. Returns `None` if it can be used. Blocks on the file system.
    pub fn fault(&self) -> Option<String> {
        let secret = match self.source.read() {
            Ok(secret) => secret,
            Err(error) => return Some(format!("cannot be read: {error}")),
        };
        let reason = self.form.fault(secret.expose_secret())?;
        Some(format!("cannot be used: {} {reason}", self.source))
    }
}

impl SecretForm {
    fn fault(self, text: &str) -> Option<String> {
        match self {
            Self::Text => None,
            Self::RsaKey => RsaKey::from_pem(text).err().map(|bad| bad.to_string()),
            Self::GoogleAccount => AccountKey::from_json(text).err().map(|bad| bad.to_string()),
            Self::Certificate => client_assertion::thumbprint(text)
                .is_none()
                .then(|| "has no certificate in PEM (`-----BEGIN CERTIFICATE-----`)".to_owned()),
        }
    }
}
