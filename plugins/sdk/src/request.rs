//! HTTP requests that the host makes for an adapter.

use std::time::Duration;

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
    /// A percent-encoded path that the host joins to the URL of another
    /// endpoint.
    Endpoint {
        /// The name of the endpoint, which the manifest declares.
        endpoint: String,
        path: String,
        /// Values for the placeholders in the endpoint's URL.
        parameters: Vec<(String, String)>,
    },
    /// A URL from a response of the CSP.
    Location(String),
}

/// The credential of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Credential {
    /// The credential that the operator configured for the endpoint.
    #[default]
    Default,
    /// No credential: for signed links and public endpoints.
    None,
    /// A credential that the manifest declares.
    Named {
        name: String,
        /// The values that the credential depends on.
        parameters: Vec<(String, String)>,
    },
}

/// The cases in which the host may repeat a request after a failure that may
/// pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Whatever happened, because a repetition does no harm.
    Safe,
    /// Only if the CSP cannot have acted on the request.
    Unsent,
    /// Not at all.
    Never,
}

impl Retry {
    /// Returns the word of the WIT.
    pub fn word(self) -> &'static str {
        match self {
            Self::Safe => "safe",
            Self::Unsent => "unsent",
            Self::Never => "never",
        }
    }
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
    pub credential: Credential,
    pub scopes: Vec<String>,
    pub retry: Retry,
    /// The time for which the host waits before it sends: at most the
    /// operator's `retry.max_backoff_ms`.
    pub after: Option<Duration>,
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

    /// Creates a request with any method and target. A repetition does no harm
    /// by RFC 9110, except for `POST` and `PATCH`.
    pub fn new(method: Method, target: Target) -> Self {
        let retry = match method {
            Method::Get | Method::Head | Method::Put | Method::Delete => Retry::Safe,
            Method::Post | Method::Patch => Retry::Unsent,
        };
        Self {
            method,
            target,
            query: Vec::new(),
            headers: Vec::new(),
            body: None,
            credential: Credential::Default,
            scopes: Vec::new(),
            retry,
            after: None,
        }
    }

    /// Sends the request to another endpoint of the CSP instead of the base
    /// URL. `parameters` are values for the placeholders in the endpoint's URL.
    ///
    /// # Panics
    ///
    /// Panics if the target is a location, which has a host already.
    #[must_use]
    pub fn at<'a>(
        mut self,
        endpoint: &str,
        parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let (Target::Path(path) | Target::Endpoint { path, .. }) = self.target else {
            panic!("a location has a host already");
        };
        let (endpoint, parameters) = (endpoint.to_owned(), owned(parameters));
        self.target = Target::Endpoint { endpoint, path, parameters };
        self
    }

    /// Adds a query parameter.
    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a header. The host refuses headers of the connection and of
    /// credentials, `host`, `cookie` and `content-length`.
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

    /// Selects a credential that the manifest declares.
    #[must_use]
    pub fn credential(self, name: &str) -> Self {
        self.credential_of(name, [])
    }

    /// Selects a credential that depends on `parameters`, such as the account
    /// whose role is assumed.
    #[must_use]
    pub fn credential_of<'a>(
        self,
        name: &str,
        parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let (name, parameters) = (name.to_owned(), owned(parameters));
        Self { credential: Credential::Named { name, parameters }, ..self }
    }

    /// Sends the request without a credential.
    #[must_use]
    pub fn without_credential(self) -> Self {
        Self { credential: Credential::None, ..self }
    }

    /// Sets the cases in which the host may repeat the request.
    #[must_use]
    pub fn retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    /// Lets the host wait before it sends, for a CSP that asks for a short
    /// pause in a body.
    #[must_use]
    pub fn after(self, after: Duration) -> Self {
        Self { after: Some(after), ..self }
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

fn owned<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<(String, String)> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
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
    fn post_and_patch_are_repeated_only_if_they_were_not_sent() {
        let none: [&str; 0] = [];
        for request in
            [Request::get(none), Request::head(none), Request::put(none), Request::delete(none)]
        {
            assert_eq!(request.retry, Retry::Safe);
        }
        assert_eq!(Request::post(none).retry, Retry::Unsent);
        assert_eq!(Request::patch(none).retry, Retry::Unsent);
        assert_eq!(Request::post(none).retry(Retry::Never).retry, Retry::Never);
    }

    #[test]
    fn a_request_names_an_endpoint_and_a_credential() {
        let request = Request::get(["users"])
            .at("identity-domain", [("domain", "idcs-1")])
            .credential_of("member", [("account", "1")]);
        let pair = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        let (endpoint, path) = ("identity-domain".to_owned(), "/users".to_owned());
        let parameters = pair("domain", "idcs-1");
        assert_eq!(request.target, Target::Endpoint { endpoint, path, parameters });
        let (name, parameters) = ("member".to_owned(), pair("account", "1"));
        assert_eq!(request.credential, Credential::Named { name, parameters });
        assert_eq!(request.without_credential().credential, Credential::None);
    }
}
