//! The kinds of credentials, as far as they are alike, and their secrets.

use secrecy::ExposeSecret as _;
use url::Url;

use crate::auth::sign::account_key::AccountKey;
use crate::auth::sign::client_assertion;
use crate::auth::sign::rsa_key::RsaKey;
use hoth_core::config::Table;
use hoth_platform::secret::SecretSource;

/// A table that configures one kind of credential.
pub trait Kind: Table {
    /// Returns every secret of the table.
    fn secrets(&mut self) -> Vec<Secret<'_>>;

    /// Returns the URLs of the issuers that are called for the credential.
    fn urls(&self) -> Vec<&Url> {
        Vec::new()
    }
}

/// A secret with the key that configures it.
#[derive(Debug)]
pub struct Secret<'a> {
    /// Relative to the table: `client_secret`.
    pub key: &'static str,
    pub source: &'a mut SecretSource,
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

impl<'a> Secret<'a> {
    pub fn new(key: &'static str, source: &'a mut SecretSource, form: SecretForm) -> Self {
        Self { key, source, form }
    }

    /// Returns the reason why the secret cannot be used now, without quoting
    /// it. Returns `None` if it can be used. Blocks on the file system.
    pub fn fault(&self) -> Option<String> {
        let secret = match self.source.read() {
            Ok(secret) => secret,
            Err(error) => return Some(error.to_string()),
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
