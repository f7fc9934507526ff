//! HTTP requests that the host makes for an adapter.

use percent_encoding::AsciiSet;
use percent_encoding::NON_ALPHANUMERIC;
use percent_encoding::utf8_percent_encode;

use crate::Json;
use crate::Step;

/// All but the unreserved characters of RFC 3986.
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

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Joined to the CSP's base URL by the host; percent-encoded.
    Path(String),
    /// A URL as the CSP answered it.
    Location(String),
}

/// An HTTP request. The host puts the credential into it, and an
/// `idempotency-key` that is the same on every try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: Method,
    pub target: Target,
    /// Encoded by the host.
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
    /// None: the CSP's default one.
    pub credential: Option<String>,
    pub scopes: Vec<String>,
    /// Whether the host may send it again when it cannot know that the first
    /// copy did not arrive.
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

    /// `GET` of a URL as the CSP answered it: a `Location`, a link to the next
    /// page. The host follows it to origins that the operator has named.
    pub fn get_location(location: impl Into<String>) -> Self {
        Self::new(Method::Get, Target::Location(location.into()))
    }

    /// Any method, anywhere. Methods are idempotent as RFC 9110 has it: all but
    /// `POST` and `PATCH`.
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

    /// With one more query parameter.
    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With one more header. The host refuses those of the connection, `host`,
    /// `authorization`, `cookie` and `content-length`.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a JSON body, and the header that says so.
    #[must_use]
    pub fn json(mut self, body: impl Into<Json>) -> Self {
        self.body = Some(body.into().to_string().into_bytes());
        self.header("Content-Type", "application/json")
    }

    /// With a body of another kind.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self.header("Content-Type", content_type)
    }

    /// With one more OAuth 2.0 scope for the token.
    #[must_use]
    pub fn scope(mut self, scope: &str) -> Self {
        self.scopes.push(scope.to_owned());
        self
    }

    /// With a credential of this name; see
    /// [`Adapter::CREDENTIALS`](crate::Adapter::CREDENTIALS).
    #[must_use]
    pub fn credential(mut self, name: &str) -> Self {
        self.credential = Some(name.to_owned());
        self
    }

    /// Says whether it may arrive twice.
    #[must_use]
    pub fn idempotent(self, idempotent: bool) -> Self {
        Self { idempotent, ..self }
    }

    /// Makes it, and goes on from `state` with what came of it.
    pub fn then<S>(self, state: S) -> Step<S> {
        Step::Send(self, state)
    }
}

/// `p%201` of `p 1`: all but letters, digits, `-`, `.`, `_` and `~` of ASCII.
///
/// For data in a header, whose value must be ASCII, and in a [`Target::Path`]
/// made by hand. Segments and queries are encoded without this.
pub fn percent_encoded(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// `/portfolios/p%201` of `["portfolios", "p 1"]`.
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
    fn only_post_and_patch_may_not_arrive_twice() {
        let none: [&str; 0] = [];
        assert!(Request::get(none).idempotent && Request::head(none).idempotent);
        assert!(Request::put(none).idempotent && Request::delete(none).idempotent);
        assert!(!Request::post(none).idempotent && !Request::patch(none).idempotent);
        assert!(Request::post(none).idempotent(true).idempotent);
    }
}
