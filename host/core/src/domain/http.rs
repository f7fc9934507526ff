//! Requests to a CSP and its responses, as the WIT has them.

use std::fmt;

use bytes::Bytes;
use serde::Deserialize;
use serde::Serialize;

/// The method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    /// Returns the method as a request line has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// The target of a request, before the egress rules have been applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A path that is joined to the CSP's base URL.
    Path(String),
    /// A path that is joined to the URL of another endpoint.
    Endpoint(EndpointPath),
    /// A URL from a response of the CSP, absolute or relative.
    Location(String),
}

/// A path below an endpoint that the operator configured by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointPath {
    pub endpoint: String,
    pub path: String,
    /// The values of the placeholders in the endpoint's URL, by name.
    pub parameters: Vec<(String, String)>,
}

/// The credential that an adapter asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CredentialChoice {
    /// The credential of the endpoint, by the configuration.
    #[default]
    Default,
    /// No credential.
    None,
    /// A credential that is configured by name.
    Named(CredentialUse),
}

/// A named credential with the values that it depends on, for one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialUse {
    pub name: String,
    pub parameters: Vec<(String, String)>,
}

/// The cases in which a request may be repeated after a failure that may pass:
/// `http-request.retry` in the WIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Whatever happened.
    Safe,
    /// Only if the CSP cannot have acted on it.
    Unsent,
    /// Not at all.
    Never,
}

impl Retry {
    /// Every case.
    pub const ALL: [Self; 3] = [Self::Safe, Self::Unsent, Self::Never];

    /// Reads the text of the WIT. Returns `None` for an unknown one, whose
    /// meaning cannot be guessed: a repetition may do harm.
    pub fn from_wit(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|retry| retry.as_str() == text)
    }

    /// Returns the text of the WIT.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Safe => "safe",
            Self::Unsent => "unsent",
            Self::Never => "never",
        }
    }
}

/// A request to a CSP, as the adapter asks for it.
#[derive(Debug, Clone)]
pub struct HttpRequest {
    pub method: Method,
    pub target: Target,
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    /// An empty body differs from none: it has a `Content-Length` of 0.
    pub body: Option<Bytes>,
    pub credential: CredentialChoice,
    pub scopes: Vec<String>,
    pub retry: Retry,
}

/// A response of a CSP.
#[derive(Debug, Clone)]
pub struct HttpResponse {
    pub status: u16,
    /// The URL that was called, or an empty text in a replay of a journal that
    /// lacks it.
    pub url: String,
    /// The calls that were made for the request so far.
    pub tries: u32,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl HttpRequest {
    /// The longest body, in bytes, by the WIT.
    pub const BODY_BYTES_MAX: usize = 1 << 20;
    /// The most headers, and the most query parameters, by the WIT. Common
    /// servers accept 100 headers.
    pub const PAIRS_MAX: usize = 64;
    /// The bytes of names and values of all headers, and of all query
    /// parameters. Common servers refuse more than 8 to 16 KiB.
    pub const PAIRS_BYTES_MAX: usize = 16 << 10;
    /// The longest path or location, in bytes. Common servers refuse longer
    /// ones; RFC 9110 section 4.1 asks for support of at least 8000 octets.
    pub const TARGET_BYTES_MAX: usize = 8 << 10;
    /// The most parameters of an endpoint, and of a credential, by the WIT.
    pub const PARAMETERS_MAX: usize = 8;
    /// The longest value of a parameter, in bytes, by the WIT.
    pub const PARAMETER_BYTES_MAX: usize = 256;
}

impl Target {
    /// Returns the path or the location, without the endpoint.
    pub fn text(&self) -> &str {
        match self {
            Self::Path(text) | Self::Location(text) => text,
            Self::Endpoint(EndpointPath { path, .. }) => path,
        }
    }
}

/// Formats the target for a person: a path below an endpoint begins with the
/// endpoint and its parameters in braces.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Endpoint(EndpointPath { endpoint, path, parameters }) = self else {
            return f.write_str(self.text());
        };
        write!(f, "{{{endpoint}")?;
        for (name, value) in parameters {
            write!(f, " {name}={value}")?;
        }
        write!(f, "}}{path}")
    }
}

/// Formats the choice for a person.
impl fmt::Display for CredentialChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::None => f.write_str("none"),
            Self::Named(CredentialUse { name, parameters }) => {
                write!(f, "{name:?}")?;
                parameters.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
            }
        }
    }
}

impl HttpResponse {
    /// Returns the first value of a header, or `None` if the response lacks it.
    /// `name` is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}
