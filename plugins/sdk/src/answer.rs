//! Responses of the CSP.

use std::fmt;

use serde::de::DeserializeOwned;

use crate::Failure;
use crate::Json;
use crate::Object;
use crate::json::NotJson;
use crate::json::WrongShape;

/// The length at which text of a CSP is truncated for ServiceNow: enough for
/// any sentence, and a page of HTML does not displace the message.
const TEXT_BYTES_MAX: usize = 8 << 10;

/// An HTTP response. The host does not follow redirects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// The URL that was called: the base of relative links.
    pub url: String,
    /// The calls that the host has made for the request, from 1.
    pub tries: u32,
    /// Names in lower case, in the order of arrival. The host has made every
    /// usable `location` an absolute URL and removed the others.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// Creates a response without headers, for tests.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let url = "https://csp.invalid/".to_owned();
        Self { status, url, tries: 1, headers: Vec::new(), body: body.into() }
    }

    /// Adds a header; `name` in lower case.
    #[must_use]
    pub fn header_added(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Returns the first value of a header; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Returns the response itself if its status is 200 to 299.
    ///
    /// # Errors
    ///
    /// [`Failure::of`] this response.
    pub fn success(self) -> Result<Self, Failure> {
        if (200..=299).contains(&self.status) { Ok(self) } else { Err(Failure::of(&self)) }
    }

    /// Parses the body as JSON, regardless of its content type.
    ///
    /// # Errors
    ///
    /// [`NotJson`]; see [`Json::parse_bytes`].
    pub fn json(&self) -> Result<Json, NotJson> {
        Json::parse_bytes(&self.body)
    }

    /// Parses the body as a JSON object.
    ///
    /// # Errors
    ///
    /// A [`Failure`] of the class `invalid-answer` if it is not a JSON object.
    pub fn object(&self) -> Result<Object, Failure> {
        self.json().ok().and_then(Json::into_object).ok_or_else(|| {
            Failure::invalid_answer(format!(
                "the CSP answered {} with a body that is not a JSON object",
                self.status
            ))
        })
    }

    /// Deserializes the body.
    ///
    /// # Errors
    ///
    /// A [`Failure`] of the class `invalid-answer` if the body is not JSON or
    /// does not match the type.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let cannot = |why: &dyn fmt::Display| {
            let status = self.status;
            let message = format!("the CSP answered {status} with a body that cannot be read{why}");
            Failure::invalid_answer(message)
        };
        let json = self.json().map_err(|error| cannot(&format_args!(": {error}")))?;
        json.read().map_err(|wrong: WrongShape| match wrong.may_quote() {
            true => cannot(&""),
            false => cannot(&format_args!(": {wrong}")),
        })
    }

    /// Returns the body as text for a person: invalid UTF-8 is replaced, and
    /// the text is truncated to 8 KiB.
    pub fn text(&self) -> String {
        // Truncating the bytes first bounds the cost of the conversion.
        let kept = self.body.get(..TEXT_BYTES_MAX).unwrap_or(&self.body);
        let mut text = String::from_utf8_lossy(kept).into_owned();
        if kept.len() < self.body.len() {
            // The truncation may have split a character.
            while text.ends_with(char::REPLACEMENT_CHARACTER) {
                text.pop();
            }
            text.push('…');
        }
        text
    }

    /// Returns the body for ServiceNow: a JSON object in camelCase, and
    /// anything else as `{"details": "<text>"}`.
    pub fn object_or_details(&self) -> Object {
        match self.json() {
            Ok(Json::Object(object)) => object.into_camel_case(),
            Ok(_) | Err(_) => Object::new().with("details", self.text()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_an_object_or_a_text() {
        let shown = |body: &[u8]| Answer::new(400, body).object_or_details().to_string();
        assert_eq!(shown(br#"{"a_b":1.10}"#), r#"{"aB":1.10}"#);
        assert_eq!(shown(b"Not Found"), r#"{"details":"Not Found"}"#);
        assert_eq!(shown(b""), r#"{"details":""}"#);
        assert_eq!(shown(b"[1, 2]"), r#"{"details":"[1, 2]"}"#);
        assert_eq!(shown(b"null"), r#"{"details":"null"}"#);
        assert_eq!(shown(b"\"x\""), r#"{"details":"\"x\""}"#);
        assert_eq!(shown(br#"{"a":"\ud800"}"#), r#"{"details":"{\"a\":\"\\ud800\"}"}"#);
        assert_eq!(shown(b"{\"a\":\"\xff\"}"), r#"{"details":"{\"a\":\"�\"}"}"#);
        assert_eq!(shown(b"\0\r\n"), r#"{"details":"\u0000\r\n"}"#);
        let deep = format!("{}1{}", r#"{"a":"#.repeat(200), "}".repeat(200));
        assert!(shown(deep.as_bytes()).starts_with(r#"{"details":"{\"a\":"#));
    }

    #[test]
    fn text_is_truncated_at_a_character_boundary() {
        let text = |body: String| Answer::new(400, body).text();
        assert_eq!(text("x".repeat(TEXT_BYTES_MAX)), "x".repeat(TEXT_BYTES_MAX));
        assert_eq!(
            text("x".repeat(TEXT_BYTES_MAX + 1)),
            format!("{}…", "x".repeat(TEXT_BYTES_MAX))
        );
        assert_eq!(
            text("€".repeat(TEXT_BYTES_MAX)),
            format!("{}…", "€".repeat(TEXT_BYTES_MAX / 3))
        );
        assert_eq!(Answer::new(400, vec![0xff; 300_000]).text(), "…");
    }

    #[test]
    fn headers_are_found_by_their_name() {
        let answer = Answer::new(202, "").header_added("a", "1").header_added("a", "2");
        assert_eq!((answer.header("a"), answer.header("b")), (Some("1"), None));
    }

    #[test]
    fn a_body_of_the_wrong_shape_is_not_quoted() {
        let answer = Answer::new(200, "{\"ssn\":\"secret\"}");
        let failure = answer.read::<std::collections::BTreeMap<String, u32>>().unwrap_err();
        assert_eq!(failure.code, 502);
        assert!(!failure.message.contains("secret"), "{}", failure.message);
    }
}
