//! The assertion of a service account, which its token endpoint exchanges for a
//! token (RFC 7523 section 2.1).

use std::time::Duration;

use secrecy::ExposeSecret as _;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;

use crate::auth::sign::jwt;
use crate::auth::sign::jwt::Algorithm;
use crate::auth::sign::rsa_key::BadKey;
use crate::auth::sign::rsa_key::RsaKey;
use hoth_core::domain::Timestamp;

/// The audience of every assertion, even if the token endpoint is another one.
const AUDIENCE: &str = "https://oauth2.googleapis.com/token";

/// The longest lifetime that Google accepts.
const LIFETIME: Duration = Duration::from_secs(3600);

/// The key of a service account, as Google's console writes it to a file.
#[derive(Debug)]
pub struct AccountKey {
    key: RsaKey,
    key_id: String,
    email: String,
}

/// The reason why a text is no key of a service account. It quotes nothing of
/// the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAccountKey {
    #[error(
        "is no service account key: it is no JSON object with `client_email`, `private_key` and `private_key_id`"
    )]
    NotJson,
    #[error("is no service account key: its `type` is not `service_account`")]
    OtherType,
    #[error("has a `private_key` that {0}")]
    Key(#[from] BadKey),
}

impl AccountKey {
    /// Reads the JSON of a service account key.
    ///
    /// # Errors
    ///
    /// Returns the reason if the text is no such key.
    pub fn from_json(text: &str) -> Result<Self, BadAccountKey> {
        #[derive(Deserialize)]
        struct Written {
            r#type: String,
            client_email: String,
            private_key: SecretString,
            private_key_id: String,
        }
        // The error may quote the text.
        let written: Written = serde_json::from_str(text).map_err(|_| BadAccountKey::NotJson)?;
        if written.r#type != "service_account" {
            return Err(BadAccountKey::OtherType);
        }
        Ok(Self {
            key: RsaKey::from_pem(written.private_key.expose_secret())?,
            key_id: written.private_key_id,
            email: written.client_email,
        })
    }

    /// Signs an assertion for `scope`, scopes separated by spaces.
    pub fn assertion(&self, scope: &str, now: Timestamp) -> SecretString {
        let issued_at = now.as_millis() / 1000;
        let claims = json!({
            "iss": self.email,
            "scope": scope,
            "aud": AUDIENCE,
            "iat": issued_at,
            "exp": issued_at + LIFETIME.as_secs(),
        });
        jwt::sign(&self.key, Algorithm::Rs256, ("kid", &self.key_id), &claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::vectors;
    use crate::tests::vectors::Jwt;

    #[test]
    fn the_assertion_is_that_of_googles_library() {
        let known = vectors::jwt();
        let key = AccountKey::from_json(vectors::GOOGLE_ACCOUNT).unwrap();
        let token = key.assertion(known.google.claims["scope"].as_str().unwrap(), known.now);
        let signed = Jwt::decode(&token);
        assert_eq!((signed.header, signed.claims), (known.google.header, known.google.claims));
        for token in [&token, &known.google.token] {
            vectors::verify(&key.key, "RS256", token);
        }
    }

    #[test]
    fn the_reason_is_given_for_a_text_that_is_no_account_key() {
        let json = |key: &str| json!({"type": "service_account", "client_email": "a", "private_key": key, "private_key_id": "1"});
        let other = json!({"type": "authorized_user", "client_email": "a", "private_key": "k", "private_key_id": "1"});
        for (text, reason) in [
            (
                "hunter2".to_owned(),
                "is no service account key: it is no JSON object with `client_email`, `private_key` and `private_key_id`",
            ),
            (other.to_string(), "is no service account key: its `type` is not `service_account`"),
            (
                json("hunter2").to_string(),
                "has a `private_key` that has no private key in PEM (`-----BEGIN PRIVATE KEY-----`)",
            ),
        ] {
            assert_eq!(AccountKey::from_json(&text).unwrap_err().to_string(), reason);
        }
    }
}
