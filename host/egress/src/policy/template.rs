//! URLs of endpoints, whose host may have placeholders, and the origins that
//! such a URL covers.

use std::fmt;

use serde::Deserialize;
use url::Host;
use url::Url;

use crate::policy::origin;
use crate::policy::origin::BadUrl;
use crate::policy::origin::Origin;
use hoth_core::domain::HttpRequest;
use hoth_core::domain::Manifest;

/// The longest label of a host name, in bytes (RFC 1035 section 2.3.4).
const LABEL_BYTES_MAX: usize = 63;

/// The labels at the end of a host that must be fixed if others are
/// placeholders: an adapter must not choose the domain.
const FIXED_LABELS_MIN: usize = 2;

/// The URL of an endpoint: `https://{domain}.identity.example.com/v1`.
///
/// A placeholder is one label of the host. An adapter gives its value, which
/// must be a label by RFC 1123.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct UrlTemplate {
    /// The URL, with `p0`, `p1`, … in place of the placeholders.
    sample: Url,
    labels: Vec<Label>,
}

/// One label of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Label {
    /// In lower case.
    Fixed(String),
    /// A placeholder with this name.
    Parameter(String),
}

/// The error of a text that is not the URL of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTemplate {
    #[error(transparent)]
    Url(BadUrl),
    #[error(
        "must have placeholders only as whole labels of the host: `https://{{name}}.example.com`"
    )]
    Misplaced,
    #[error("must end with {FIXED_LABELS_MIN} labels that are no placeholders")]
    Open,
    #[error(
        "has a placeholder `{0}`, whose name must have 1 to {max} letters, digits, `-` or `_`",
        max = Manifest::NAME_BYTES_MAX
    )]
    Name(String),
    #[error("has the placeholder `{0}` twice")]
    Repeated(String),
    #[error("has more than {} placeholders", HttpRequest::PARAMETERS_MAX)]
    TooMany,
}

/// The error of the parameters of a request to an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadParameters {
    #[error("lacks the parameter {0:?}")]
    Missing(String),
    #[error("has no parameter {0:?}")]
    Unknown(String),
    #[error("gets the parameter {0:?} twice")]
    Repeated(String),
    /// The value may be data of the job, so it is not named.
    #[error(
        "gets a parameter {0:?} that is not a DNS label: 1 to {LABEL_BYTES_MAX} letters, digits and \
         hyphens, without a hyphen at either end"
    )]
    NotALabel(String),
}

impl UrlTemplate {
    /// Parses the URL of an endpoint. It is https unless it points at loopback,
    /// and has no query.
    pub fn parse(text: &str) -> Result<Self, BadTemplate> {
        let (scheme, rest) = text.split_once("://").ok_or(BadTemplate::Url(BadUrl::Unreadable))?;
        let end = rest.find(['/', '?', '#', '\\', ':']).unwrap_or(rest.len());
        let (host, rest) = rest.split_at(end);
        if rest.contains(['{', '}']) {
            return Err(BadTemplate::Misplaced);
        }
        let mut names: Vec<&str> = Vec::new();
        let mut sample = Vec::new();
        for label in host.split('.') {
            let Some(name) = label.strip_prefix('{').and_then(|it| it.strip_suffix('}')) else {
                if label.contains(['{', '}']) {
                    return Err(BadTemplate::Misplaced);
                }
                sample.push(label.to_owned());
                continue;
            };
            if name.contains(['{', '}']) {
                return Err(BadTemplate::Misplaced);
            }
            if !is_name(name) {
                return Err(BadTemplate::Name(
                    name.chars().take(Manifest::NAME_BYTES_MAX).collect(),
                ));
            }
            if names.contains(&name) {
                return Err(BadTemplate::Repeated(name.to_owned()));
            }
            sample.push(format!("p{}", names.len()));
            names.push(name);
        }
        if names.len() > HttpRequest::PARAMETERS_MAX {
            return Err(BadTemplate::TooMany);
        }
        let fixed = host.split('.').rev().take_while(|label| !label.starts_with('{')).count();
        if !names.is_empty() && fixed < FIXED_LABELS_MIN {
            return Err(BadTemplate::Open);
        }
        let sample = Url::parse(&format!("{scheme}://{}{rest}", sample.join(".")))
            .map_err(|_| BadTemplate::Url(BadUrl::Unreadable))?;
        origin::check_endpoint(&sample).map_err(BadTemplate::Url)?;
        // From the parsed URL: the parser writes the fixed labels in lower case.
        let mut labels: Vec<Label> = sample
            .host_str()
            .unwrap_or_default()
            .split('.')
            .map(|label| Label::Fixed(label.to_owned()))
            .collect();
        let mut left = names.into_iter().enumerate();
        for (at, label) in host.split('.').enumerate() {
            if label.starts_with('{')
                && let Some((nth, name)) = left.next()
            {
                // The parser has split or joined labels before this one.
                if labels.get(at) != Some(&Label::Fixed(format!("p{nth}"))) {
                    return Err(BadTemplate::Url(BadUrl::Unreadable));
                }
                labels[at] = Label::Parameter(name.to_owned());
            }
        }
        Ok(Self { sample, labels })
    }

    /// Returns the names of the placeholders, in the order of the host.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.labels.iter().filter_map(|label| match label {
            Label::Parameter(name) => Some(name.as_str()),
            Label::Fixed(_) => None,
        })
    }

    /// Returns the URL with the values of all placeholders.
    ///
    /// # Errors
    ///
    /// [`BadParameters`] unless there is exactly one label for each placeholder.
    pub fn fill(&self, given: &[(String, String)]) -> Result<Url, BadParameters> {
        for (at, (name, value)) in given.iter().enumerate() {
            if !self.parameters().any(|parameter| parameter == name) {
                return Err(BadParameters::Unknown(name.clone()));
            }
            if given.iter().take(at).any(|(other, _)| other == name) {
                return Err(BadParameters::Repeated(name.clone()));
            }
            if !is_label(value) {
                return Err(BadParameters::NotALabel(name.clone()));
            }
        }
        let mut host = Vec::new();
        for label in &self.labels {
            host.push(match label {
                Label::Fixed(label) => label.as_str(),
                Label::Parameter(name) => given
                    .iter()
                    .find(|(other, _)| other == name)
                    .map(|(_, value)| value.as_str())
                    .ok_or_else(|| BadParameters::Missing(name.clone()))?,
            });
        }
        let mut url = self.sample.clone();
        if let Some(first) = self.parameters().next() {
            // Fails for labels that only look like one: `xn--` and nonsense.
            url.set_host(Some(&host.join(".")))
                .map_err(|_| BadParameters::NotALabel(first.to_owned()))?;
        }
        Ok(url)
    }

    /// Returns the origins that the URL covers.
    pub fn origins(&self) -> OriginPattern {
        OriginPattern { origin: self.clone() }
    }

    /// Returns true if the URL is https.
    pub fn is_https(&self) -> bool {
        self.sample.scheme() == "https"
    }
}

/// The origins of a URL, whose host may have placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginPattern {
    /// Only the origin of it is compared and shown.
    origin: UrlTemplate,
}

impl OriginPattern {
    /// Returns the pattern of the origin of a URL.
    pub fn of(url: &Url) -> Self {
        let host = url.host_str().unwrap_or_default();
        let labels = host.split('.').map(|label| Label::Fixed(label.to_owned())).collect();
        Self { origin: UrlTemplate { sample: url.clone(), labels } }
    }

    /// Returns the pattern of an origin of the configuration. Returns `None` for
    /// an opaque origin, which no configuration has.
    pub fn of_origin(origin: &Origin) -> Option<Self> {
        Url::parse(&origin.to_string()).ok().as_ref().map(Self::of)
    }

    /// Returns true if the pattern is one origin.
    pub fn is_exact(&self) -> bool {
        self.origin.parameters().next().is_none()
    }

    /// Returns true if the URL has an origin of the pattern.
    pub fn covers(&self, url: &Url) -> bool {
        let UrlTemplate { sample, labels } = &self.origin;
        if sample.scheme() != url.scheme()
            || sample.port_or_known_default() != url.port_or_known_default()
        {
            return false;
        }
        if self.is_exact() {
            return sample.host() == url.host();
        }
        let Some(Host::Domain(host)) = url.host() else { return false };
        let fits = |(label, found): (&Label, &str)| match label {
            Label::Fixed(label) => label == found,
            Label::Parameter(_) => is_label(found),
        };
        labels.len() == host.split('.').count() && labels.iter().zip(host.split('.')).all(fits)
    }

    /// Returns true if both patterns are the same origin, or have the same
    /// fixed labels in the same places.
    pub fn is_same(&self, other: &Self) -> bool {
        let open = |pattern: &Self| -> Vec<Option<String>> {
            let label = |label: &Label| match label {
                Label::Fixed(label) => Some(label.clone()),
                Label::Parameter(_) => None,
            };
            pattern.origin.labels.iter().map(label).collect()
        };
        let (a, b) = (&self.origin.sample, &other.origin.sample);
        open(self) == open(other)
            && (a.scheme(), a.port_or_known_default()) == (b.scheme(), b.port_or_known_default())
    }

    /// Returns true if a URL can have an origin of both patterns, and neither
    /// of them comes first: an exact one comes before those with placeholders.
    pub fn is_ambiguous_with(&self, other: &Self) -> bool {
        let (a, b) = (&self.origin, &other.origin);
        let meets = |(a, b): (&Label, &Label)| match (a, b) {
            (Label::Fixed(a), Label::Fixed(b)) => a == b,
            (Label::Parameter(_), _) | (_, Label::Parameter(_)) => true,
        };
        self.is_exact() == other.is_exact()
            && a.sample.scheme() == b.sample.scheme()
            && a.sample.port_or_known_default() == b.sample.port_or_known_default()
            && a.labels.len() == b.labels.len()
            && a.labels.iter().zip(&b.labels).all(meets)
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UrlTemplate { sample, labels } = &self.origin;
        if self.is_exact() {
            return write!(f, "{}", Origin::of(sample));
        }
        write!(f, "{}://", sample.scheme())?;
        for (at, label) in labels.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { "." })?;
            match label {
                Label::Fixed(label) => f.write_str(label)?,
                Label::Parameter(name) => write!(f, "{{{name}}}")?,
            }
        }
        sample.port().map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl TryFrom<String> for UrlTemplate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).map_err(|bad| format!("`{text}` {bad}"))
    }
}

/// Returns true for a label by RFC 1123 section 2.1.
fn is_label(text: &str) -> bool {
    (1..=LABEL_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Returns true for a name that endpoints and placeholders may have.
pub fn is_name(name: &str) -> bool {
    (1..=Manifest::NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str, given: &[(&str, &str)]) -> String {
        let given: Vec<_> = given.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        match UrlTemplate::parse(template).unwrap().fill(&given) {
            Ok(url) => url.into(),
            Err(bad) => bad.to_string(),
        }
    }

    #[test]
    fn a_parameter_takes_one_label_of_the_host() {
        let domain = "https://{domain}.Identity.example.com/v1";
        for (value, expected) in [
            ("idcs-1", "https://idcs-1.identity.example.com/v1"),
            ("ABC", "https://abc.identity.example.com/v1"),
            ("7", "https://7.identity.example.com/v1"),
        ] {
            assert_eq!(filled(domain, &[("domain", value)]), expected);
        }
        let two = "https://{a}.x.{b}.example.com:8443";
        assert_eq!(filled(two, &[("b", "2"), ("a", "1")]), "https://1.x.2.example.com:8443/");
        assert_eq!(filled("https://h.example.com/a", &[]), "https://h.example.com/a");
        assert_eq!(filled("http://127.0.0.1:80/a", &[]), "http://127.0.0.1/a");
        assert_eq!(filled("http://[::1]:8080", &[]), "http://[::1]:8080/");
    }

    #[test]
    fn parameters_that_are_no_labels_are_refused() {
        let long = "x".repeat(64);
        for value in [
            "",
            "a.b",
            "-a",
            "a-",
            "a_b",
            "a/b",
            "a:1",
            "a@b",
            "é",
            "%61",
            "a b",
            "xn--\u{0}",
            &long,
        ] {
            let refused = filled("https://{a}.example.com", &[("a", value)]);
            assert!(
                refused.starts_with("gets a parameter \"a\" that is not a DNS label"),
                "{value}"
            );
        }
        for (given, expected) in [
            (&[][..], "lacks the parameter \"a\""),
            (&[("b", "1"), ("a", "1")], "has no parameter \"b\""),
            (&[("a", "1"), ("a", "2")], "gets the parameter \"a\" twice"),
        ] {
            assert_eq!(filled("https://{a}.example.com", given), expected);
        }
        assert_eq!(filled("https://h.example.com", &[("a", "1")]), "has no parameter \"a\"");
    }

    #[test]
    fn a_url_with_misplaced_placeholders_is_refused() {
        let check = |text: &str, expected: BadTemplate| {
            assert_eq!(UrlTemplate::parse(text), Err(expected), "{text}");
        };
        for text in [
            "https://example.com/{a}",
            "https://a{b}.example.com",
            "https://{a}{b}.example.com",
            "https://h.example.com:{port}",
            "https://h.example.com?{a}",
            "https://{a.example.com",
        ] {
            check(text, BadTemplate::Misplaced);
        }
        for text in ["https://{a}", "https://{a}.com", "https://x.{a}", "https://x.{a}.com"] {
            check(text, BadTemplate::Open);
        }
        check("https://{a}.{a}.example.com", BadTemplate::Repeated("a".to_owned()));
        check("https://{}.example.com", BadTemplate::Name(String::new()));
        check("https://{a b}.example.com", BadTemplate::Name("a b".to_owned()));
        check("http://{a}.example.com", BadTemplate::Url(BadUrl::Insecure));
        check("https://{a}@{b}.example.com", BadTemplate::Misplaced);
        check("https://{a}.example.com?x", BadTemplate::Url(BadUrl::QueryOrFragment));
        check("example.com", BadTemplate::Url(BadUrl::Unreadable));
        let many: String = (0..9).map(|n| format!("{{p{n}}}.")).collect();
        check(&format!("https://{many}example.com"), BadTemplate::TooMany);
    }

    #[test]
    fn a_pattern_covers_the_origins_of_its_url() {
        let covers = |template: &str, url: &str| {
            let pattern = UrlTemplate::parse(template).unwrap().origins();
            pattern.covers(&Url::parse(url).unwrap())
        };
        let template = "https://{a}.example.com/v1";
        for url in
            ["https://x.example.com", "https://X.Example.com:443/other", "https://7.example.com"]
        {
            assert!(covers(template, url), "{url}");
        }
        for url in [
            "https://example.com",
            "https://x.y.example.com",
            "https://x_y.example.com",
            "https://-x.example.com",
            "https://x.example.com.",
            "https://x.example.com:8443",
            "http://x.example.com",
            "https://x.example.org",
            "https://127.0.0.1",
        ] {
            assert!(!covers(template, url), "{url}");
        }
        assert!(covers("https://h.example.com/v1", "https://h.example.com/v2"));
        assert!(!covers("https://h.example.com/v1", "https://i.example.com/v1"));
    }

    #[test]
    fn a_pattern_is_shown_with_its_placeholders() {
        let shown = |template: &str| UrlTemplate::parse(template).unwrap().origins().to_string();
        assert_eq!(shown("https://{a}.Example.com:8443/v1"), "https://{a}.example.com:8443");
        assert_eq!(shown("https://h.example.com:443/v1"), "https://h.example.com");
        let same = |a: &str, b: &str| {
            let pattern = |text| UrlTemplate::parse(text).unwrap().origins();
            pattern(a).is_same(&pattern(b))
        };
        assert!(same("https://{a}.example.com/1", "https://{b}.example.com/2"));
        assert!(!same("https://{a}.example.com", "https://a.example.com"));
    }
}
