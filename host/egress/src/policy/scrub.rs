//! Masks credentials in responses.
//!
//! Some gateways quote the header that they refused, and an adapter may pass a
//! response on to ServiceNow. So the secrets of a request are masked in its
//! response: as they were sent, and in the spellings of JSON, URLs and HTML. A
//! CSP that wants to disclose a credential can always encode it differently.

use bytes::Bytes;
use bytes::BytesMut;
use memchr::memmem;
use percent_encoding::AsciiSet;
use percent_encoding::NON_ALPHANUMERIC;
use percent_encoding::utf8_percent_encode;
use secrecy::ExposeSecret as _;
use secrecy::SecretSlice;

/// The replacement for a secret. It needs no escape within a JSON string.
const MASK: &[u8] = b"***";

/// The shortest secret that is masked. A shorter one would match ordinary text,
/// and is easy to guess anyway.
const SECRET_BYTES_MIN: usize = 8;

/// All characters but the unreserved ones of RFC 3986 section 2.3.
const URL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The secrets of one credential, in every spelling.
#[derive(Debug)]
pub struct Scrubber {
    secrets: Vec<SecretSlice<u8>>,
}

impl Scrubber {
    /// Makes a scrubber for the given secrets. Ignores those that are too short.
    pub fn new<'s>(secrets: impl IntoIterator<Item = &'s [u8]>) -> Self {
        let mut secrets: Vec<Vec<u8>> = secrets
            .into_iter()
            .filter(|secret| secret.len() >= SECRET_BYTES_MIN)
            .flat_map(spellings)
            .collect();
        // Longer ones first: a shorter secret may be part of a longer one, and
        // masking it first would leave the rest of the longer one.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { secrets: secrets.into_iter().map(SecretSlice::from).collect() }
    }

    /// Masks the secrets in a body. Copies it only if it contains one.
    pub fn body(&self, body: Bytes) -> Bytes {
        self.secrets.iter().fold(body, |body, secret| mask(&body, secret).unwrap_or(body))
    }

    /// Masks the secrets in a text.
    pub fn text(&self, text: String) -> String {
        self.secrets.iter().fold(text, |text, secret| {
            let masked = mask(text.as_bytes(), secret);
            // A match covers whole characters: the text and a secret that is
            // found in it are both UTF-8.
            masked.and_then(|text| String::from_utf8(text.into()).ok()).unwrap_or(text)
        })
    }
}

/// Returns the spellings of a secret: as it is, and those that differ.
fn spellings(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut spellings = vec![secret.to_vec()];
    let Ok(text) = std::str::from_utf8(secret) else { return spellings };
    let quoted = serde_json::Value::from(text).to_string();
    let json = quoted[1..quoted.len() - 1].to_owned();
    let url = utf8_percent_encode(text, URL).to_string();
    let all = utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let html = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    for other in [
        json.replace('/', "\\/"),
        json,
        in_lower_case(&url),
        url,
        all,
        html.replace('"', "&quot;"),
        html,
    ] {
        if !spellings.contains(&other.as_bytes().to_vec()) {
            spellings.push(other.into());
        }
    }
    spellings
}

/// Converts the digits of percent escapes to lower case.
fn in_lower_case(url: &str) -> String {
    let mut parts = url.split('%');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |done, part| {
        let (digits, rest) = part.split_at(2);
        format!("{done}%{}{rest}", digits.to_lowercase())
    })
}

/// Masks one secret. Returns `None` if it does not occur.
fn mask(haystack: &[u8], secret: &SecretSlice<u8>) -> Option<Bytes> {
    let secret = secret.expose_secret();
    if haystack.len() < secret.len() {
        // As most header fields are, for which a search is not prepared.
        return None;
    }
    let mut masked = BytesMut::new();
    let mut rest = 0;
    for at in memmem::find_iter(haystack, secret) {
        masked.extend_from_slice(&haystack[rest..at]);
        masked.extend_from_slice(MASK);
        rest = at + secret.len();
    }
    if rest == 0 {
        return None;
    }
    masked.extend_from_slice(&haystack[rest..]);
    Some(masked.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, password: Option<&str>, response: &str, expected: &str) {
        let secrets = value.split(' ').chain(password).map(str::as_bytes);
        let scrubber = Scrubber::new(secrets);
        assert_eq!(scrubber.text(response.to_owned()), expected);
        assert_eq!(&scrubber.body(response.to_owned().into())[..], expected.as_bytes());
    }

    #[test]
    fn secrets_of_the_request_are_masked() {
        let token = "Bearer eyJhbGciOi.abc";
        check(token, None, "", "");
        check(token, None, "eyJhbGciOi.ab", "eyJhbGciOi.ab");
        check(token, None, "eyJhbGciOi.abc", "***");
        check(
            token,
            None,
            r#"{"e": "Authorization=Bearer eyJhbGciOi.abc", "t": "eyJhbGciOi.abceyJhbGciOi.abc"}"#,
            r#"{"e": "Authorization=Bearer ***", "t": "******"}"#,
        );
        check("ApiKey k-12345678", None, "ApiKey k-12345678!", "ApiKey ***!");
        let basic = "Basic bWU6aHVudGVyMjI=";
        check(basic, Some("hunter22"), "me:hunter22 bWU6aHVudGVyMjI= ü", "me:*** *** ü");
    }

    #[test]
    fn other_spellings_of_a_secret_are_masked() {
        let key = r#"k/"3"y\<&>+12345678"#;
        for spelling in [
            r#"k/\"3\"y\\<&>+12345678"#,
            r#"k\/\"3\"y\\<&>+12345678"#,
            "k%2F%223%22y%5C%3C%26%3E%2B12345678",
            "k%2f%223%22y%5c%3c%26%3e%2b12345678",
            r"k/&quot;3&quot;y\&lt;&amp;&gt;+12345678",
        ] {
            check(key, None, &format!("<{spelling}>"), "<***>");
        }
        check("Basic bWU6aHVu/GVyMjI=", None, r"bWU6aHVu\/GVyMjI=", "***");
    }

    #[test]
    fn short_words_are_not_masked() {
        check("Bearer short", None, "Bearer short", "Bearer short");
        check("Basic", Some("admin"), "admin", "admin");
    }

    #[test]
    fn a_request_without_a_credential_masks_nothing() {
        assert_eq!(Scrubber::new([]).text("Bearer x".to_owned()), "Bearer x");
    }
}
