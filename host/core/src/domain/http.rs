//! Requests to a CSP and its responses, as the WIT has them.

use bytes::Bytes;

/// The method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// A URL from a response of the CSP, absolute or relative.
    Location(String),
}

/// A request to a CSP, as the adapter asks for it.
#[derive(Debug, Clone)]
pub struct HttpRequest {
    pub method: Method,
    pub target: Target,
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub body: Option<Bytes>,
    pub credential: Option<String>,
    pub scopes: Vec<String>,
    pub idempotent: bool,
}

/// A response of a CSP.
#[derive(Debug, Clone)]
pub struct HttpResponse {
    pub status: u16,
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
}

impl HttpResponse {
    /// Returns the first value of a header, or `None` if the response lacks it.
    /// `name` is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}
