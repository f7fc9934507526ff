//! Keys that only their owner replaces.

use aws_credential_types::Credentials as Keys;
use secrecy::ExposeSecret as _;

use crate::auth::config::AwsSigV4Config;
use crate::auth::secret::read_secret;
use crate::auth::secret::unusable;
use crate::transport::failure::CallFailure;
use hoth_core::domain::CspName;
use hoth_platform::secret::SecretSource;

/// The sources of the keys.
#[derive(Debug)]
pub struct StaticKeys {
    access_key_id: SecretSource,
    secret_access_key: SecretSource,
    session_token: Option<SecretSource>,
}

impl StaticKeys {
    /// Takes the sources from a checked configuration.
    pub fn of(config: &AwsSigV4Config) -> Self {
        let source = |source: &Option<SecretSource>| {
            source.clone().expect("the configuration has been checked")
        };
        Self {
            access_key_id: source(&config.access_key_id),
            secret_access_key: source(&config.secret_access_key),
            session_token: config.session_token.clone(),
        }
    }

    /// Reads the keys.
    pub async fn read(&self, csp: &CspName) -> Result<Keys, CallFailure> {
        let id = self.read_one(csp, &self.access_key_id, "access key id").await?;
        let secret = self.read_one(csp, &self.secret_access_key, "secret access key").await?;
        let token = match &self.session_token {
            Some(source) => Some(self.read_one(csp, source, "session token").await?),
            None => None,
        };
        Ok(Keys::new(id, secret, token, None, "file"))
    }

    async fn read_one(
        &self,
        csp: &CspName,
        source: &SecretSource,
        what: &str,
    ) -> Result<String, CallFailure> {
        let secret = read_secret(csp, source, what).await?;
        let secret = secret.expose_secret();
        let is_word = secret.bytes().all(|byte| byte.is_ascii_graphic());
        is_word
            .then(|| secret.to_owned())
            .ok_or_else(|| unusable(csp, source, what, &"has a character that no key of AWS has"))
    }
}
