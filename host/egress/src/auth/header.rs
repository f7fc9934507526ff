//! The header field that authenticates one request.

use std::sync::Arc;

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use secrecy::ExposeSecret as _;
use secrecy::SecretString;

/// A credential in the form in which one request carries it.
#[derive(Debug, Clone)]
pub struct AuthHeader {
    pub name: HeaderName,
    /// The field value, marked as sensitive.
    pub value: HeaderValue,
    /// The password that the value contains in base64. Responses may quote it
    /// in plain text, so the scrubber must know it.
    pub password: Option<Arc<SecretString>>,
    /// A number that tells a token from its successor.
    pub generation: u64,
}

impl AuthHeader {
    /// Sets the header field of a request.
    pub fn apply(&self, headers: &mut HeaderMap) {
        headers.insert(self.name.clone(), self.value.clone());
    }

    /// Returns the parts that may be secret: each word of the value, so that a
    /// scheme such as `Bearer` stands apart from its token, and the password.
    pub fn secrets(&self) -> impl Iterator<Item = &[u8]> {
        let words = self.value.as_bytes().split(|byte| *byte == b' ');
        let password = self.password.as_deref();
        words.chain(password.map(|secret| secret.expose_secret().as_bytes()))
    }
}
