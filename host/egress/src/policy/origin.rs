//! Origins (scheme, host, port), and the rules for configured URLs.

use std::fmt;

use serde::Deserialize;
use url::Url;

use hoth_platform::loopback::points_at_loopback;

/// An origin that requests may go to: `https://status.csp-a.example.com`.
///
/// Origins compare by the URL standard: scheme, host and port, where a missing
/// port is the default of the scheme.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Origin(url::Origin);

/// The error of a URL in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    #[error("is not a URL")]
    Unreadable,
    #[error("must be https, unless it points at loopback")]
    Insecure,
    #[error("must not contain a user name or a password")]
    Userinfo,
    #[error("must not have a query or a fragment")]
    QueryOrFragment,
    #[error("must not have a fragment")]
    Fragment,
    #[error("must be an origin: a scheme, a host, an optional port, and no path")]
    NotAnOrigin,
    #[error("must be http or https")]
    NotAProxy,
}

impl Origin {
    /// Returns the origin of a URL.
    pub fn of(url: &Url) -> Self {
        Self(url.origin())
    }

    /// Parses an origin of the configuration. It may end with one `/`.
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        let url = Url::parse(text).map_err(|_| BadUrl::Unreadable)?;
        check_endpoint(&url)?;
        if url.path() != "/" {
            return Err(BadUrl::NotAnOrigin);
        }
        Ok(Self::of(&url))
    }

    /// Returns true if the scheme is https.
    pub fn is_https(&self) -> bool {
        match &self.0 {
            url::Origin::Tuple(scheme, _, _) => scheme == "https",
            url::Origin::Opaque(_) => false,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.ascii_serialization())
    }
}

impl TryFrom<String> for Origin {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).map_err(|bad| format!("`{text}` {bad}"))
    }
}

/// Checks a configured URL: https unless it points at loopback, and without
/// parts that prevent appending a path.
pub fn check_endpoint(url: &Url) -> Result<(), BadUrl> {
    let secure = url.scheme() == "https" || (url.scheme() == "http" && points_at_loopback(url));
    if !secure || !url.has_host() {
        return Err(BadUrl::Insecure);
    }
    if has_userinfo(url) {
        return Err(BadUrl::Userinfo);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(BadUrl::QueryOrFragment);
    }
    Ok(())
}

/// Checks the URL of a token endpoint, which is called as it is, with its query
/// (RFC 6749 section 3.2).
pub fn check_token_url(url: &Url) -> Result<(), BadUrl> {
    let mut plain = url.clone();
    plain.set_query(None);
    if url.fragment().is_some() {
        return Err(BadUrl::Fragment);
    }
    check_endpoint(&plain)
}

/// Checks the URL of a proxy. Plain HTTP is allowed: the TLS connection to the
/// CSP runs through it end to end.
pub fn check_proxy(url: &Url) -> Result<(), BadUrl> {
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(BadUrl::NotAProxy);
    }
    if has_userinfo(url) {
        return Err(BadUrl::Userinfo);
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(BadUrl::NotAnOrigin);
    }
    Ok(())
}

/// Returns true if a URL has a user name or a password.
pub fn has_userinfo(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_beyond_loopback_must_be_https() {
        let check = |url: &str, expected: Result<(), BadUrl>| {
            assert_eq!(check_endpoint(&Url::parse(url).unwrap()), expected, "{url}");
        };
        for url in [
            "https://csp-a.example.com",
            "https://csp-a.example.com/atat/api/v1/",
            "https://10.1.2.3:8443",
            "http://localhost:8080/a",
            "http://a.localhost",
            "http://LOCALHOST.",
            "http://127.0.0.1",
            "http://127.1.2.3:1",
            "http://[::1]:8080",
        ] {
            check(url, Ok(()));
        }
        for url in [
            "http://csp-a.example.com",
            "http://10.1.2.3",
            "http://128.0.0.1",
            "http://0.0.0.0",
            "http://[::2]",
            "http://localhost.example.com",
            "http://notlocalhost",
            "ftp://localhost",
            "file:///etc/passwd",
            "data:text/plain,x",
        ] {
            check(url, Err(BadUrl::Insecure));
        }
        check("https://user@h", Err(BadUrl::Userinfo));
        check("https://:secret@h", Err(BadUrl::Userinfo));
        check("https://h/?a", Err(BadUrl::QueryOrFragment));
        check("https://h/#", Err(BadUrl::QueryOrFragment));
    }

    #[test]
    fn a_proxy_is_an_http_origin() {
        let check = |url: &str, expected: Result<(), BadUrl>| {
            assert_eq!(check_proxy(&Url::parse(url).unwrap()), expected, "{url}");
        };
        for url in ["http://proxy.example.com:3128", "https://10.0.0.1", "http://localhost/"] {
            check(url, Ok(()));
        }
        check("socks5://proxy.example.com", Err(BadUrl::NotAProxy));
        check("http://user:secret@proxy", Err(BadUrl::Userinfo));
        check("http://proxy/path", Err(BadUrl::NotAnOrigin));
        check("http://proxy?x", Err(BadUrl::NotAnOrigin));
    }

    #[test]
    fn an_origin_has_no_path_and_must_be_secure() {
        let check = |text: &str, expected: Result<&str, BadUrl>| {
            let parsed = Origin::parse(text).map(|origin| origin.to_string());
            assert_eq!(parsed, expected.map(str::to_owned), "{text}");
        };
        check("https://Status.Example.com", Ok("https://status.example.com"));
        check("https://h:443/", Ok("https://h"));
        check("https://h:8443", Ok("https://h:8443"));
        check("http://localhost:80", Ok("http://localhost"));
        check("https://h/path", Err(BadUrl::NotAnOrigin));
        check("http://h", Err(BadUrl::Insecure));
        check("h", Err(BadUrl::Unreadable));
        check("*", Err(BadUrl::Unreadable));
    }

    #[test]
    fn origins_compare_by_scheme_host_and_port() {
        let base = Origin::parse("https://h").unwrap();
        let same = |url: &str| Origin::of(&Url::parse(url).unwrap()) == base;
        for url in ["https://h/x?y#z", "https://H:443/", "https://h"] {
            assert!(same(url), "{url}");
        }
        for url in ["http://h", "https://h:444", "https://h.", "https://h.example", "data:,x"] {
            assert!(!same(url), "{url}");
        }
    }
}
