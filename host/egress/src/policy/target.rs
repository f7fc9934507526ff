//! The URLs that a request may have, and the `Location`s that may be followed.

use std::collections::BTreeMap;
use std::fmt;

use percent_encoding::AsciiSet;
use percent_encoding::NON_ALPHANUMERIC;
use percent_encoding::utf8_percent_encode;
use url::Url;

use crate::policy::origin;
use crate::policy::origin::Origin;
use crate::policy::template::BadParameters;
use crate::policy::template::OriginPattern;
use crate::policy::template::UrlTemplate;
use hoth_core::domain::EndpointPath;
use hoth_core::domain::Target;
use hoth_core::domain::TransportCode;

/// The longest URL. RFC 9110 section 4.1 asks all parties to support at least
/// 8000 octets; CSPs refuse longer ones themselves.
const URL_BYTES_MAX: usize = 8192;

/// All characters but the unreserved ones of RFC 3986 section 2.3.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The base URL, the endpoints and the origins that the operator allows for one
/// CSP.
#[derive(Debug)]
pub struct TargetPolicy {
    base: Url,
    base_origin: Origin,
    endpoints: BTreeMap<String, UrlTemplate>,
    /// The patterns of `endpoints`: those of one origin come first.
    patterns: Vec<(String, OriginPattern)>,
    /// Those in `allowed_origins`.
    allowed: Vec<Origin>,
}

/// The part of the configuration that a URL belongs to. It selects the
/// credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The base URL.
    Base,
    /// The endpoint with this name.
    Endpoint(String),
    /// An allowed origin, which gets no credential.
    Allowed,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base => f.write_str("`base_url`"),
            Self::Endpoint(name) => write!(f, "the endpoint {name:?}"),
            Self::Allowed => f.write_str("one of the `allowed_origins`"),
        }
    }
}

/// The error of a request with a target that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    #[error("its path {0}")]
    Path(BadPath),
    #[error("its URL is longer than {URL_BYTES_MAX} bytes")]
    TooLong,
    #[error("its location {0}")]
    Location(BadLocation),
    #[error("it asks for the endpoint {0:?}, which is not among the `endpoints` of this CSP")]
    UnknownEndpoint(String),
    #[error("its endpoint {0:?} {1}")]
    Parameters(String, BadParameters),
}

/// The error of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    #[error("does not begin with `/`")]
    NotAbsolute,
    #[error("has an empty segment")]
    EmptySegment,
    #[error("has a dot segment")]
    DotSegment,
    #[error("has a character that must be percent-encoded")]
    Unencoded,
    #[error("has a `%` without two hexadecimal digits")]
    BadEscape,
}

/// The error of a `Location`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadLocation {
    #[error("is empty")]
    Empty,
    #[error("is not a URL")]
    Unreadable,
    #[error("is longer than {URL_BYTES_MAX} bytes")]
    TooLong,
    #[error("has a user name or a password")]
    Userinfo,
    #[error("points to {0}, which is in none of `base_url`, `endpoints` and `allowed_origins`")]
    Origin(String),
}

impl TargetPolicy {
    /// Makes the policy. `base` has passed [`origin::check_endpoint`].
    pub fn new(base: Url, endpoints: BTreeMap<String, UrlTemplate>, allowed: Vec<Origin>) -> Self {
        let pattern = |(name, url): (&String, &UrlTemplate)| (name.clone(), url.origins());
        let mut patterns: Vec<_> = endpoints.iter().map(pattern).collect();
        // The sort is stable, and the map is ordered by name.
        patterns.sort_by_key(|(_, pattern)| !pattern.is_exact());
        Self { base_origin: Origin::of(&base), base, endpoints, patterns, allowed }
    }

    /// Returns the origin of the base URL.
    pub fn base_origin(&self) -> &Origin {
        &self.base_origin
    }

    /// Returns the place that the origin of a URL belongs to, or `None` if the
    /// operator has not named it.
    fn place(&self, url: &Url) -> Option<Place> {
        let origin = Origin::of(url);
        if origin == self.base_origin {
            return Some(Place::Base);
        }
        let endpoint = self.patterns.iter().find(|(_, pattern)| pattern.covers(url));
        if let Some((name, _)) = endpoint {
            return Some(Place::Endpoint(name.clone()));
        }
        self.allowed.contains(&origin).then_some(Place::Allowed)
    }

    /// Returns the URL of a request, and its place. `previous` is the URL that
    /// was called before, the base of a relative location.
    pub fn url(
        &self,
        target: &Target,
        query: &[(String, String)],
        previous: Option<&Url>,
    ) -> Result<(Url, Place), BadTarget> {
        let (mut url, place) = match target {
            Target::Path(path) => {
                (join(self.base.clone(), path).map_err(BadTarget::Path)?, Place::Base)
            }
            Target::Endpoint(EndpointPath { endpoint, path, parameters }) => {
                let Some(template) = self.endpoints.get(endpoint) else {
                    return Err(BadTarget::UnknownEndpoint(endpoint.clone()));
                };
                let base = template
                    .fill(parameters)
                    .map_err(|bad| BadTarget::Parameters(endpoint.clone(), bad))?;
                let url = join(base, path).map_err(BadTarget::Path)?;
                (url, Place::Endpoint(endpoint.clone()))
            }
            Target::Location(location) => self
                .resolve(location, previous.unwrap_or(&self.base))
                .map_err(BadTarget::Location)?,
        };
        url.set_fragment(None);
        append(&mut url, query);
        if url.as_str().len() > URL_BYTES_MAX {
            return Err(BadTarget::TooLong);
        }
        Ok((url, place))
    }

    /// Resolves the `Location` of a response. `called` is the URL whose response
    /// it is.
    pub fn follow(&self, location: &str, called: &Url) -> Result<Url, BadLocation> {
        self.resolve(location, called).map(|(url, _)| url)
    }

    fn resolve(&self, location: &str, called: &Url) -> Result<(Url, Place), BadLocation> {
        if location.trim().is_empty() {
            return Err(BadLocation::Empty);
        }
        // The parser is that of the HTTP client, so that no text can mean one
        // host here and another one there.
        let url = called.join(location).map_err(|_| BadLocation::Unreadable)?;
        let url = self.behind_tls(url);
        let Some(place) = self.place(&url) else {
            return Err(BadLocation::Origin(Origin::of(&url).to_string()));
        };
        if origin::has_userinfo(&url) {
            return Err(BadLocation::Userinfo);
        }
        if url.as_str().len() > URL_BYTES_MAX {
            return Err(BadLocation::TooLong);
        }
        Ok((url, place))
    }

    /// Returns the https form of an http URL if the policy allows that form. A
    /// server behind a proxy that terminates TLS does not know that its clients
    /// use https, and writes http into its locations.
    fn behind_tls(&self, url: Url) -> Url {
        let mut secure = url.clone();
        let is_upgrade = url.scheme() == "http"
            && self.place(&url).is_none()
            && secure.set_scheme("https").is_ok()
            && self.place(&secure).is_some();
        if is_upgrade { secure } else { url }
    }
}

/// Appends a path to a base URL without changing any byte of it.
fn join(mut base: Url, path: &str) -> Result<Url, BadPath> {
    check_path(path)?;
    let joined = format!("{}{path}", base.path().trim_end_matches('/'));
    base.set_path(&joined);
    debug_assert_eq!(base.path(), joined, "the URL parser leaves a checked path unchanged");
    Ok(base)
}

impl BadTarget {
    /// Returns the code that the adapter gets.
    pub fn code(&self) -> TransportCode {
        match self {
            Self::Path(_) | Self::TooLong | Self::UnknownEndpoint(_) | Self::Parameters(..) => {
                TransportCode::RequestRefused
            }
            Self::Location(_) => TransportCode::OriginRefused,
        }
    }
}

/// Checks a path by RFC 3986 section 3.3 (`path-abempty`), without empty and dot
/// segments: servers disagree on these. One slash at the end is allowed.
fn check_path(path: &str) -> Result<(), BadPath> {
    let Some(relative) = path.strip_prefix('/') else {
        return Err(BadPath::NotAbsolute);
    };
    if !path.bytes().all(|byte| byte == b'/' || byte == b'%' || is_pchar(byte)) {
        return Err(BadPath::Unencoded);
    }
    let segments = relative.strip_suffix('/').unwrap_or(relative);
    if relative.is_empty() {
        return Ok(());
    }
    for segment in segments.split('/') {
        if segment.is_empty() {
            return Err(BadPath::EmptySegment);
        }
        let mut escapes = segment.split('%').skip(1);
        if !escapes
            .all(|rest| rest.len() >= 2 && rest.bytes().take(2).all(|b| b.is_ascii_hexdigit()))
        {
            return Err(BadPath::BadEscape);
        }
        // The URL standard reads `%2e` as a dot in such a segment, and so do
        // servers.
        if matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..") {
            return Err(BadPath::DotSegment);
        }
    }
    Ok(())
}

/// Returns true for `pchar` of RFC 3986 section 3.3, without the escapes.
fn is_pchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte)
}

/// Appends pairs to the query of a URL.
fn append(url: &mut Url, pairs: &[(String, String)]) {
    if pairs.is_empty() {
        return;
    }
    let encoded: Vec<String> = pairs
        .iter()
        .map(|(name, value)| {
            format!("{}={}", utf8_percent_encode(name, QUERY), utf8_percent_encode(value, QUERY))
        })
        .collect();
    let encoded = encoded.join("&");
    let query = match url.query() {
        Some(query) if !query.is_empty() => format!("{query}&{encoded}"),
        Some(_) | None => encoded,
    };
    url.set_query(Some(&query));
}

#[cfg(test)]
mod tests {
    use expect_test::Expect;
    use expect_test::expect;
    use proptest::prelude::*;

    use super::*;

    fn policy(base: &str) -> TargetPolicy {
        let status = Origin::parse("https://status.example.com").unwrap();
        TargetPolicy::new(Url::parse(base).unwrap(), BTreeMap::new(), vec![status])
    }

    fn url(base: &str, target: Target, query: &[(&str, &str)]) -> String {
        let query: Vec<(String, String)> =
            query.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        match policy(base).url(&target, &query, None) {
            Ok((url, _)) => url.into(),
            Err(refusal) => refusal.to_string(),
        }
    }

    #[test]
    fn a_path_is_appended_to_the_base() {
        let check = |base: &str, path: &str, expected: &str| {
            assert_eq!(url(base, Target::Path(path.to_owned()), &[]), expected);
        };
        check("https://h", "/portfolios", "https://h/portfolios");
        check("https://h/", "/portfolios", "https://h/portfolios");
        check("https://h/atat/api/v1", "/portfolios/x", "https://h/atat/api/v1/portfolios/x");
        check("https://h/atat/api/v1/", "/portfolios/x", "https://h/atat/api/v1/portfolios/x");
        check("https://h:8443/a%2Fb", "/", "https://h:8443/a%2Fb/");
        check("https://h/a", "/portfolios/", "https://h/a/portfolios/");
    }

    #[test]
    fn percent_escapes_of_a_path_are_unchanged() {
        for segment in [
            "this%3Aneeds%2Fto%3Bbe%20encoded%2C",
            "%2e%2E%2e",
            "..%2f..%2fadmin",
            "a%3aA%00%0d%0A",
            "-._~!$&'()*+,;=:@",
            "user:pass@host",
            "...",
        ] {
            let path = format!("/portfolios/{segment}");
            assert_eq!(
                url("https://h/v1", Target::Path(path.clone()), &[]),
                format!("https://h/v1{path}")
            );
        }
    }

    #[test]
    fn an_ambiguous_path_is_refused() {
        let check = |path: &str, expected: BadPath| {
            let refused = policy("https://h/v1").url(&Target::Path(path.to_owned()), &[], None);
            assert_eq!(refused.unwrap_err(), BadTarget::Path(expected), "{path:?}");
        };
        for path in ["", "portfolios", "https://evil.example", "mailto:x", "evil.example:443/x"] {
            check(path, BadPath::NotAbsolute);
        }
        for path in ["//evil.example/x", "/a//b", "/a//", "//"] {
            check(path, BadPath::EmptySegment);
        }
        for path in
            ["/..", "/.", "/a/../b", "/a/./b", "/a/..", "/%2e%2e", "/.%2E/x", "/%2e", "/a/%2E./"]
        {
            check(path, BadPath::DotSegment);
        }
        for path in [
            "/a\\b",
            "/\\evil.example",
            "/a?b",
            "/a#b",
            "/a b",
            "/a\tb",
            "/a\r\nb",
            "/a\0",
            "/é",
            "/a|b",
            "/{id}",
            "/a<b>",
            "/a^b",
            "/a`b",
            "/\"",
            "/[x]",
            "/\u{7f}",
        ] {
            check(path, BadPath::Unencoded);
        }
        for path in ["/%", "/%2", "/%zz", "/a%2/b", "/100%"] {
            check(path, BadPath::BadEscape);
        }
    }

    proptest! {
        #[test]
        fn no_path_leaves_the_base(path in "[/.%\\\\25eEfF?#@:a\u{e9} \t]{0,12}") {
            let policy = policy("https://h/atat/v1/");
            if let Ok((url, _)) = policy.url(&Target::Path(path.clone()), &[], None) {
                prop_assert_eq!(url.as_str(), format!("https://h/atat/v1{path}"));
            }
        }

        #[test]
        fn no_location_leaves_the_allowed_origins(location in "[htps:/.%\\\\2e?#@a\u{e9} \t]{0,16}") {
            let policy = policy("https://h/atat/v1/");
            if let Ok(url) = policy.follow(&location, &policy.base) {
                prop_assert_eq!(url.host_str(), Some("h"));
                prop_assert!(!origin::has_userinfo(&url));
            }
        }
    }

    #[test]
    fn the_host_encodes_the_query() {
        let path = || Target::Path("/costs".to_owned());
        assert_eq!(
            url("https://h", path(), &[("start_date", "2026-01"), ("a b", "ü&=+/?#'\"\r\n")]),
            "https://h/costs?start_date=2026-01&a%20b=%C3%BC%26%3D%2B%2F%3F%23%27%22%0D%0A"
        );
        assert_eq!(url("https://h", path(), &[("a", ""), ("a", "1")]), "https://h/costs?a=&a=1");
        let location = |text: &str| Target::Location(text.to_owned());
        assert_eq!(
            url("https://h", location("/s?x=%20y"), &[("a", "1")]),
            "https://h/s?x=%20y&a=1"
        );
        assert_eq!(url("https://h", location("/s?"), &[("a", "1")]), "https://h/s?a=1");
        assert_eq!(url("https://h", location("/s?x#frag"), &[]), "https://h/s?x");
    }

    #[test]
    fn the_length_of_a_url_is_bounded() {
        let path = format!("/{}", "a".repeat(URL_BYTES_MAX));
        expect!["its URL is longer than 8192 bytes"].assert_eq(&url(
            "https://h",
            Target::Path(path),
            &[],
        ));
    }

    #[test]
    fn a_location_is_resolved_against_the_url_that_was_called() {
        let called = Url::parse("https://h/atat/v1/portfolios?x=1").unwrap();
        let check = |location: &str, expected: &str| {
            let url = policy("https://h/atat/v1").follow(location, &called);
            assert_eq!(url.unwrap().as_str(), expected, "{location:?}");
        };
        check("/provisioning/9/status", "https://h/provisioning/9/status");
        check("provisioning/9", "https://h/atat/v1/provisioning/9");
        check("../jobs/9", "https://h/atat/jobs/9");
        check("?job=9", "https://h/atat/v1/portfolios?job=9");
        check("//h/x", "https://h/x");
        check("https://h:443/x", "https://h/x");
        check("HTTPS://H/a%2Fb", "https://h/a%2Fb");
        check("https://status.example.com/9", "https://status.example.com/9");
        check("  /x  ", "https://h/x");
        // From a server behind a proxy that terminates TLS.
        check("http://h/x", "https://h/x");
        check("http://h:443/x?a", "https://h/x?a");
        check("http://status.example.com/9", "https://status.example.com/9");
    }

    #[test]
    fn a_location_outside_the_allowed_origins_is_refused() {
        let check = |location: &str, expected: &Expect| {
            let called = Url::parse("https://h/atat/v1/portfolios").unwrap();
            let refused = policy("https://h/atat/v1").follow(location, &called).unwrap_err();
            expected.assert_eq(&refused.to_string());
        };
        let elsewhere = expect![
            "points to https://evil.example, which is in none of `base_url`, `endpoints` and `allowed_origins`"
        ];
        for location in [
            "https://evil.example/x",
            "//evil.example/x",
            "\\\\evil.example/x",
            "/\t/evil.example",
            "https://h@evil.example/x",
            "https:\\\\evil.example",
        ] {
            check(location, &elsewhere);
        }
        check(
            "http://h:8080/x",
            &expect![
                "points to http://h:8080, which is in none of `base_url`, `endpoints` and `allowed_origins`"
            ],
        );
        check(
            "https://h:444/",
            &expect![
                "points to https://h:444, which is in none of `base_url`, `endpoints` and `allowed_origins`"
            ],
        );
        check(
            "https://h.evil.example",
            &expect![
                "points to https://h.evil.example, which is in none of `base_url`, `endpoints` and `allowed_origins`"
            ],
        );
        check(
            "file:///etc/passwd",
            &expect![
                "points to null, which is in none of `base_url`, `endpoints` and `allowed_origins`"
            ],
        );
        check("https://user:secret@h/x", &expect!["has a user name or a password"]);
        check("", &expect!["is empty"]);
        check(" \t", &expect!["is empty"]);
        check("https://", &expect!["is not a URL"]);
        check(&format!("/{}", "a".repeat(URL_BYTES_MAX)), &expect!["is longer than 8192 bytes"]);
        check("https://h:99999/", &expect!["is not a URL"]);
    }

    #[test]
    fn every_spelling_of_an_ip_address_is_the_same_host() {
        let spellings = [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0177.0.0.1",
            "017700000001",
            "127.0.0.1.",
            "%31%32%37.0.0.1",
            "\u{ff11}27\u{3002}0\u{3002}0\u{3002}1",
        ];
        let machine = TargetPolicy::new(
            Url::parse("http://127.0.0.1:8080/atat").unwrap(),
            BTreeMap::new(),
            Vec::new(),
        );
        for host in spellings {
            let followed = machine.follow(&format!("http://{host}:8080/9"), &machine.base).unwrap();
            assert_eq!(followed.as_str(), "http://127.0.0.1:8080/9", "{host}");
            let refused = policy("https://h").url(
                &Target::Location(format!("https://{host}/latest/meta-data")),
                &[],
                None,
            );
            let elsewhere = BadLocation::Origin("https://127.0.0.1".to_owned());
            assert_eq!(refused, Err(BadTarget::Location(elsewhere)), "{host}");
        }
        for host in ["[::ffff:127.0.0.1]", "[::1]", "[::127.0.0.1]", "localhost", "127.0.0.2"] {
            let refused = machine.follow(&format!("http://{host}:8080/9"), &machine.base);
            assert!(matches!(refused, Err(BadLocation::Origin(_))), "{host}");
        }
        for host in ["256.0.0.1", "0x7g.1", "1.2.3.4.5", "4294967296", "[::1%25eth0]", "h%00"] {
            let refused = machine.follow(&format!("http://{host}:8080/9"), &machine.base);
            assert_eq!(refused, Err(BadLocation::Unreadable), "{host}");
        }
    }

    #[test]
    fn a_relative_location_without_an_earlier_call_starts_at_the_base_url() {
        let location = Target::Location("status/9".to_owned());
        assert_eq!(url("https://h/atat/v1/", location, &[]), "https://h/atat/v1/status/9");
    }

    fn with_endpoints() -> TargetPolicy {
        let template = |url| UrlTemplate::parse(url).unwrap();
        let endpoints = BTreeMap::from([
            ("costs".to_owned(), template("https://costs.example.com/v1/")),
            ("any".to_owned(), template("https://{name}.example.com")),
            ("domain".to_owned(), template("https://{name}.identity.example.com/admin")),
        ]);
        let status = Origin::parse("https://status.example.com").unwrap();
        TargetPolicy::new(Url::parse("https://h/v1").unwrap(), endpoints, vec![status])
    }

    #[test]
    fn an_endpoint_has_its_own_base_and_parameters() {
        let check = |endpoint: &str, given: &[(&str, &str)], expected: &str| {
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            let target = Target::Endpoint(EndpointPath {
                endpoint: endpoint.to_owned(),
                path: "/a%20b".to_owned(),
                parameters: given.iter().map(owned).collect(),
            });
            let found = match with_endpoints().url(&target, &[("q".into(), "1".into())], None) {
                Ok((url, place)) => {
                    assert_eq!(place, Place::Endpoint(endpoint.to_owned()));
                    url.into()
                }
                Err(bad) => {
                    assert_eq!(bad.code(), TransportCode::RequestRefused);
                    bad.to_string()
                }
            };
            assert_eq!(found, expected);
        };
        check("costs", &[], "https://costs.example.com/v1/a%20b?q=1");
        check("domain", &[("name", "d-1")], "https://d-1.identity.example.com/admin/a%20b?q=1");
        check("domain", &[], "its endpoint \"domain\" lacks the parameter \"name\"");
        check("costs", &[("a", "1")], "its endpoint \"costs\" has no parameter \"a\"");
        check(
            "bills",
            &[],
            "it asks for the endpoint \"bills\", which is not among the `endpoints` of this CSP",
        );
    }

    #[test]
    fn a_location_belongs_to_the_place_of_its_origin() {
        let policy = with_endpoints();
        let endpoint = |name: &str| Some(Place::Endpoint(name.to_owned()));
        for (location, expected) in [
            ("https://h/x", Some(Place::Base)),
            ("https://costs.example.com/other", endpoint("costs")),
            ("https://x.example.com/", endpoint("any")),
            ("http://x.example.com/", endpoint("any")),
            // An endpoint before an origin that is only allowed.
            ("https://status.example.com/9", endpoint("any")),
            ("https://d.identity.example.com/9", endpoint("domain")),
            ("https://a.b.identity.example.com/9", None),
            ("https://evil.example/", None),
        ] {
            let found = policy.url(&Target::Location(location.to_owned()), &[], None);
            assert_eq!(found.ok().map(|(_, place)| place), expected, "{location}");
        }
    }
}
