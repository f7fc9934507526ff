//! The service and the region that a signature for AWS is made for.

use serde::Deserialize;
use url::Url;

use hoth_core::config::Problem;

/// The domains below which AWS names its endpoints `<service>.<region>`, by
/// partition.
const DOMAINS: [&str; 7] = [
    "amazonaws.com",
    "amazonaws.com.cn",
    "amazonaws.eu",
    "api.aws",
    "c2s.ic.gov",
    "csp.hci.ic.gov",
    "sc2s.sgov.gov",
];

/// The table `signing`: the service and the region of a signature.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsScope {
    /// The name that the service signs with: `ce`, `organizations`.
    pub service: String,
    /// `us-gov-west-1`.
    pub region: String,
}

impl AwsScope {
    /// Reads the scope off a host name such as `ce.us-east-1.amazonaws.com`,
    /// with or without `-fips`. Returns `None` for a name without a region,
    /// and for a name outside of the domains of AWS.
    pub fn of(url: &Url) -> Option<Self> {
        let host = url.domain()?;
        let rest = DOMAINS.iter().find_map(|domain| host.strip_suffix(domain))?;
        let mut labels = rest.strip_suffix('.')?.rsplit('.');
        let (region, service) = (labels.next()?, labels.next()?);
        let service = service.strip_suffix("-fips").unwrap_or(service);
        let is_scope = is_region(region) && !service.is_empty();
        is_scope.then(|| Self { service: service.to_owned(), region: region.to_owned() })
    }

    /// Returns the problems of a configured scope, with keys relative to it.
    pub fn check(&self) -> Vec<Problem> {
        let words = [("service", &self.service), ("region", &self.region)];
        words.into_iter().filter_map(|(key, word)| check_word(key, word)).collect()
    }
}

/// Returns the problem of a configured service or region that cannot stand in
/// the scope of a signature.
pub fn check_word(key: &str, word: &str) -> Option<Problem> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let fits = !word.is_empty() && word.bytes().all(is_plain);
    (!fits).then(|| Problem::new(key, "must be of lower-case letters, digits and dashes"))
}

/// Returns true for words of letters, joined by dashes, with a number at the
/// end: `us-gov-west-1`.
fn is_region(label: &str) -> bool {
    let Some((words, number)) = label.rsplit_once('-') else { return false };
    let is_word =
        |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    words.contains('-')
        && words.split('-').all(is_word)
        && !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scope_is_read_off_the_host_name() {
        for (host, expected) in [
            ("ce.us-east-1.amazonaws.com", Some(("ce", "us-east-1"))),
            ("ce-fips.us-gov-west-1.amazonaws.com", Some(("ce", "us-gov-west-1"))),
            (
                "organizations.us-gov-west-1.amazonaws.com:443",
                Some(("organizations", "us-gov-west-1")),
            ),
            ("sts.us-iso-east-1.c2s.ic.gov", Some(("sts", "us-iso-east-1"))),
            ("sts.us-isob-east-1.sc2s.sgov.gov", Some(("sts", "us-isob-east-1"))),
            ("sts.cn-north-1.amazonaws.com.cn", Some(("sts", "cn-north-1"))),
            ("SSO.eu-central-1.api.aws", Some(("sso", "eu-central-1"))),
            ("abc.execute-api.us-east-2.amazonaws.com", Some(("execute-api", "us-east-2"))),
            ("iam.amazonaws.com", None),
            ("iam.us-gov.amazonaws.com", None),
            ("us-east-1.amazonaws.com", None),
            ("amazonaws.com", None),
            ("ce.us-east-1.notamazonaws.com", None),
            ("ce.us-east-1.amazonaws.com.example.com", None),
            ("ce.us-east-x.amazonaws.com", None),
            ("ce.us-east-.amazonaws.com", None),
            ("127.0.0.1", None),
        ] {
            let url = Url::parse(&format!("https://{host}/a")).unwrap();
            let scope = AwsScope::of(&url);
            let scope = scope.as_ref().map(|it| (it.service.as_str(), it.region.as_str()));
            assert_eq!(scope, expected, "{host}");
        }
    }
}
