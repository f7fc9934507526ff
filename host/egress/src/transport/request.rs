//! A request as it goes out.

use bytes::Bytes;
use http::HeaderMap;
use http::Method;
use http::Uri;
use http_body_util::Full;
use url::Url;

/// A request whose parts can be changed until it is sent.
#[derive(Debug)]
pub struct OutgoingRequest {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    /// Never read from a stream: it is signed, and sent again in a retry.
    pub body: Option<Bytes>,
}

/// The refusal of a URL that cannot be sent in a request line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnsendableUrl;

impl OutgoingRequest {
    /// Makes a request without headers and body.
    pub fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: None }
    }

    /// Returns the body; empty if there is none.
    pub fn body_bytes(&self) -> &[u8] {
        self.body.as_deref().unwrap_or_default()
    }

    /// Returns the request as the HTTP client takes it.
    ///
    /// # Errors
    ///
    /// Returns an error if the URL has characters that no URI may have: the
    /// standard of URLs (WHATWG) is wider than RFC 3986.
    pub fn into_http(self) -> Result<http::Request<Full<Bytes>>, UnsendableUrl> {
        let uri: Uri = self.url.as_str().parse().map_err(|_| UnsendableUrl)?;
        let mut request = http::Request::new(Full::new(self.body.unwrap_or_default()));
        *request.method_mut() = self.method;
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers;
        Ok(request)
    }
}
