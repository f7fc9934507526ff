//! HTTP requests that the host makes for an adapter.

use percent_encoding::AsciiSet;
use percent_encoding::NON_ALPHANUMERIC;
use percent_encoding::utf8_percent_encode;

use crate::Json;
use crate::Step;
use crate::memory::leave;

/// All characters except the unreserved ones of RFC 3986.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

/// The target of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A percent-encoded path that the host joins to the CSP's base URL.
    Path(String),
    /// A URL from a response of the CSP.
    Location(String),
}

/// An HTTP request. The host attaches the credential, and an
/// `idempotency-key` that is the same in every attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: Method,
    pub target: Target,
    /// Parameters of the query, which the host encodes.
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
    /// The name of the credential; `None` selects the CSP's default.
    pub credential: Option<String>,
    pub scopes: Vec<String>,
    /// True if the host may repeat the request when the first copy may have
    /// arrived.
    pub idempotent: bool,
}

macro_rules! methods {
    ($($name:ident => $method:ident),* $(,)?) => {
        $(#[doc = concat!("`", stringify!($method), "` of a path of these segments, each percent-encoded.")]
        pub fn $name<T: AsRef<str>>(segments: impl IntoIterator<Item = T>) -> Self {
            Self::new(Method::$method, Target::Path(path(segments)))
        })*
    };
}

impl Request {
    methods! { get => Get, head => Head, post => Post, put => Put, patch => Patch, delete => Delete }

    /// Creates a `GET` of a URL from a response of the CSP: a `Location`, or a
    /// link to the next page. The host follows it only to origins that the
    /// operator has named.
    pub fn get_location(location: impl Into<String>) -> Self {
        Self::new(Method::Get, Target::Location(location.into()))
    }

    /// Creates a request with any method and target. As in RFC 9110, all
    /// methods except `POST` and `PATCH` are idempotent.
    pub fn new(method: Method, target: Target) -> Self {
        let idempotent = match method {
            Method::Get | Method::Head | Method::Put | Method::Delete => true,
            Method::Post | Method::Patch => false,
        };
        Self {
            method,
            target,
            query: Vec::new(),
            headers: Vec::new(),
            body: None,
            credential: None,
            scopes: Vec::new(),
            idempotent,
        }
    }

    /// Adds a query parameter.
    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a header. The host refuses headers of the connection, `host`,
    /// `authorization`, `cookie` and `content-length`.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets a JSON body and its content type.
    #[must_use]
    pub fn json(mut self, body: impl Into<Json>) -> Self {
        let body = body.into();
        self.body = Some(body.to_text().into_bytes());
        leave(body);
        self.header("Content-Type", "application/json")
    }

    /// Sets a body and its content type.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self.header("Content-Type", content_type)
    }

    /// Adds an OAuth 2.0 scope of the token.
    #[must_use]
    pub fn scope(mut self, scope: &str) -> Self {
        self.scopes.push(scope.to_owned());
        self
    }

    /// Selects a credential by name; see
    /// [`Adapter::CREDENTIALS`](crate::Adapter::CREDENTIALS).
    #[must_use]
    pub fn credential(mut self, name: &str) -> Self {
        self.credential = Some(name.to_owned());
        self
    }

    /// Sets whether the request may arrive twice.
    #[must_use]
    pub fn idempotent(self, idempotent: bool) -> Self {
        Self { idempotent, ..self }
    }

    /// Returns the step that makes this request and resumes from `state`.
    pub fn then<S>(self, state: S) -> Step<S> {
        Step::Send(self, state)
    }
}

/// Percent-encodes all characters except ASCII letters, digits, `-`, `.`, `_`
/// and `~`: `p 1` becomes `p%201`.
///
/// For data in a header, whose value must be ASCII, and in a [`Target::Path`]
/// that is built manually. Segments and queries are encoded without this.
pub fn percent_encoded(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// Joins segments to a path: `["portfolios", "p 1"]` becomes
/// `/portfolios/p%201`.
fn path<T: AsRef<str>>(segments: impl IntoIterator<Item = T>) -> String {
    segments.into_iter().fold(String::new(), |mut path, segment| {
        path.push('/');
        path.push_str(&percent_encoded(segment.as_ref()));
        path
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_percent_encoded() {
        let check = |segment: &str, expected: &str| {
            let request = Request::get(["a", segment, "b"]);
            assert_eq!(request.target, Target::Path(format!("/a/{expected}/b")));
        };
        check("plain-._~09AZaz", "plain-._~09AZaz");
        check("this:needs/to;be encoded,", "this%3Aneeds%2Fto%3Bbe%20encoded%2C");
        check("ü?#%", "%C3%BC%3F%23%25");
        check("!$&'()*+=@", "%21%24%26%27%28%29%2A%2B%3D%40");
        check("%2e", "%252e");
        check("\0\n\"", "%00%0A%22");
    }

    #[test]
    fn only_post_and_patch_are_not_idempotent() {
        let none: [&str; 0] = [];
        assert!(Request::get(none).idempotent && Request::head(none).idempotent);
        assert!(Request::put(none).idempotent && Request::delete(none).idempotent);
        assert!(!Request::post(none).idempotent && !Request::patch(none).idempotent);
        assert!(Request::post(none).idempotent(true).idempotent);
    }
}
