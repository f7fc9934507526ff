//! The header field that authenticates one request.

use std::sync::Arc;

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use secrecy::ExposeSecret as _;
use secrecy::SecretString;

use crate::policy::scrub::Scrubber;

/// A credential in the form in which one request carries it.
#[derive(Debug, Clone)]
pub struct AuthHeader {
    pub name: HeaderName,
    /// The field value, marked as sensitive.
    pub value: HeaderValue,
    /// Made once: many responses are searched for one credential.
    scrubber: Arc<Scrubber>,
}

impl AuthHeader {
    /// Makes the header field of a credential. `password` is the one that
    /// `value` contains in base64: responses may quote it in plain text.
    pub fn new(name: HeaderName, value: HeaderValue, password: Option<&SecretString>) -> Self {
        // Each word of the value, so that a scheme such as `Bearer` stands apart
        // from its token.
        let words = value.as_bytes().split(|byte| *byte == b' ');
        let password = password.map(|secret| secret.expose_secret().as_bytes());
        let scrubber = Arc::new(Scrubber::new(words.chain(password)));
        Self { name, value, scrubber }
    }

    /// Sets the header field of a request.
    pub fn apply(&self, headers: &mut HeaderMap) {
        headers.insert(self.name.clone(), self.value.clone());
    }

    /// Returns the scrubber of responses to requests with this header.
    pub fn scrubber(&self) -> Arc<Scrubber> {
        Arc::clone(&self.scrubber)
    }
}
