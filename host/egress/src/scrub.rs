//! Takes credentials out of answers.
//!
//! Some gateways quote the header that they did not like, and an adapter hands
//! on to ServiceNow what it is given. So what was sent as a secret does not
//! come back in: as it was sent, and as JSON, a URL or a page of HTML has it. A
//! CSP that wants to tell what it was told can always say it in other words.

use bytes::Bytes;
use bytes::BytesMut;
use memchr::memmem;
use percent_encoding::AsciiSet;
use percent_encoding::NON_ALPHANUMERIC;
use percent_encoding::utf8_percent_encode;
use secrecy::ExposeSecret as _;

use crate::credential::Pass;

/// What stands where a secret stood; it can stand within a JSON string.
const MASK: &[u8] = b"***";

/// Anything shorter is found in innocent text, and guessed in no time.
const SECRET_BYTES_MIN: usize = 8;

/// All but the unreserved characters of RFC 3986.
const URL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The secrets of one request, in every spelling.
pub struct Scrubber {
    secrets: Vec<Vec<u8>>,
}

impl Scrubber {
    /// Looks for what `pass` carries: each word of the header, and what lies
    /// within it.
    pub fn new(pass: Option<&Pass>) -> Self {
        let words = pass.into_iter().flat_map(|pass| pass.value.as_bytes().split(|b| *b == b' '));
        let within = pass.and_then(|pass| pass.within.as_deref());
        let mut secrets: Vec<Vec<u8>> = words
            .chain(within.map(|secret| secret.expose_secret().as_bytes()))
            .filter(|secret| secret.len() >= SECRET_BYTES_MIN)
            .flat_map(spellings)
            .collect();
        // The longer ones first: a shorter one may be part of them.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { secrets }
    }

    /// Masks what is found in a body; the same body where nothing is.
    pub fn body(&self, body: Bytes) -> Bytes {
        self.secrets.iter().fold(body, |body, secret| mask(&body, secret).unwrap_or(body))
    }

    /// Masks what is found in a text.
    pub fn text(&self, text: String) -> String {
        self.secrets.iter().fold(text, |text, secret| {
            let masked = mask(text.as_bytes(), secret);
            // A secret is whole characters of the text, or it was not found.
            masked.and_then(|text| String::from_utf8(text.into()).ok()).unwrap_or(text)
        })
    }
}

/// How a secret may be written: as it is, and the others where they differ.
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

/// The same with the digits of its escapes in lower case.
fn in_lower_case(url: &str) -> String {
    let mut parts = url.split('%');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |done, part| {
        let (digits, rest) = part.split_at(2);
        format!("{done}%{}{rest}", digits.to_lowercase())
    })
}

/// None: the secret is not there.
fn mask(haystack: &[u8], secret: &[u8]) -> Option<Bytes> {
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
    use std::sync::Arc;

    use http::HeaderValue;
    use http::header;

    use super::*;

    #[track_caller]
    fn check(value: &str, within: Option<&str>, answer: &str, expected: &str) {
        let pass = Pass {
            header: header::AUTHORIZATION,
            value: HeaderValue::from_str(value).unwrap(),
            within: within.map(|secret| Arc::new(secret.into())),
            number: 0,
        };
        let scrubber = Scrubber::new(Some(&pass));
        assert_eq!(scrubber.text(answer.to_owned()), expected);
        assert_eq!(&scrubber.body(answer.to_owned().into())[..], expected.as_bytes());
    }

    #[test]
    fn what_was_sent_as_a_secret_does_not_come_back() {
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
    fn they_do_not_come_back_in_another_spelling_either() {
        let key = r#"k/"3"y\<&>+12345678"#;
        for spelt in [
            r#"k/\"3\"y\\<&>+12345678"#,
            r#"k\/\"3\"y\\<&>+12345678"#,
            "k%2F%223%22y%5C%3C%26%3E%2B12345678",
            "k%2f%223%22y%5c%3c%26%3e%2b12345678",
            r"k/&quot;3&quot;y\&lt;&amp;&gt;+12345678",
        ] {
            check(key, None, &format!("<{spelt}>"), "<***>");
        }
        check("Basic bWU6aHVu/GVyMjI=", None, r"bWU6aHVu\/GVyMjI=", "***");
    }

    #[test]
    fn short_words_are_no_secrets() {
        check("Bearer short", None, "Bearer short", "Bearer short");
        check("Basic", Some("admin"), "admin", "admin");
    }

    #[test]
    fn a_request_without_a_credential_has_nothing_to_hide() {
        assert_eq!(Scrubber::new(None).text("Bearer x".to_owned()), "Bearer x");
    }
}
