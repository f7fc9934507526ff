//! The tables `google_service_account` and `google_federation`.

use serde::Deserialize;
use url::Url;

use super::kind::Kind;
use super::kind::Secret;
use super::kind::SecretForm;
use crate::auth::scopes::Scopes;
use crate::policy::origin;
use hoth_core::config::Names;
use hoth_core::config::Problem;
use hoth_core::config::Table;
use hoth_platform::secret::SecretSource;

/// The table `google_service_account`: a key file of a service account, which
/// signs for tokens (RFC 7523).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoogleServiceAccountConfig {
    /// The JSON file of the key. Read at each token request.
    pub key: SecretSource,
    /// The scopes of requests that ask for none.
    #[serde(default = "scopes_default")]
    pub scopes: Scopes,
    /// Another service account, whose tokens are used.
    pub impersonate: Option<String>,
    #[serde(default = "token_url_default")]
    pub token_url: Url,
    /// The API that issues tokens of other service accounts.
    #[serde(default = "iam_url_default")]
    pub iam_url: Url,
}

/// The table `google_federation`: workload identity federation, the exchange of
/// another issuer's token (RFC 8693).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoogleFederationConfig {
    /// The provider of the workload identity pool:
    /// `//iam.googleapis.com/projects/…/providers/…`.
    pub audience: String,
    /// The token of the other issuer. Read at each token request.
    pub subject_token: SecretSource,
    #[serde(default = "subject_token_type_default")]
    pub subject_token_type: String,
    /// The scopes of requests that ask for none.
    #[serde(default = "scopes_default")]
    pub scopes: Scopes,
    /// A service account, whose tokens are used.
    pub impersonate: Option<String>,
    #[serde(default = "sts_url_default")]
    pub sts_url: Url,
    /// The API that issues tokens of service accounts.
    #[serde(default = "iam_url_default")]
    pub iam_url: Url,
}

/// The scope of all of Google Cloud; the roles of the account decide.
pub const CLOUD_PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";

fn scopes_default() -> Scopes {
    Scopes::from([CLOUD_PLATFORM.to_owned()])
}

fn token_url_default() -> Url {
    Url::parse("https://oauth2.googleapis.com/token").expect("it is a URL")
}

fn sts_url_default() -> Url {
    Url::parse("https://sts.googleapis.com/v1/token").expect("it is a URL")
}

fn iam_url_default() -> Url {
    Url::parse("https://iamcredentials.googleapis.com").expect("it is a URL")
}

fn subject_token_type_default() -> String {
    "urn:ietf:params:oauth:token-type:jwt".to_owned()
}

impl Kind for GoogleServiceAccountConfig {
    fn secrets(&mut self) -> Vec<Secret<'_>> {
        vec![Secret::new("key", &mut self.key, SecretForm::GoogleAccount)]
    }

    fn urls(&self) -> Vec<&Url> {
        vec![&self.token_url, &self.iam_url]
    }
}

impl Kind for GoogleFederationConfig {
    fn secrets(&mut self) -> Vec<Secret<'_>> {
        vec![Secret::new("subject_token", &mut self.subject_token, SecretForm::Text)]
    }

    fn urls(&self) -> Vec<&Url> {
        vec![&self.sts_url, &self.iam_url]
    }
}

impl Table for GoogleServiceAccountConfig {
    fn check(&self, _: &Names<'_>) -> Vec<Problem> {
        let mut problems = check_urls([("token_url", &self.token_url), ("iam_url", &self.iam_url)]);
        problems.extend(check_account(self.impersonate.as_deref()));
        problems
    }
}

impl Table for GoogleFederationConfig {
    fn check(&self, _: &Names<'_>) -> Vec<Problem> {
        let mut problems = check_urls([("sts_url", &self.sts_url), ("iam_url", &self.iam_url)]);
        problems.extend(check_account(self.impersonate.as_deref()));
        let texts =
            [("audience", &self.audience), ("subject_token_type", &self.subject_token_type)];
        let empty = texts.into_iter().filter(|(_, text)| text.is_empty());
        problems.extend(empty.map(|(key, _)| Problem::new(key, "must not be empty")));
        problems
    }
}

fn check_urls(urls: [(&str, &Url); 2]) -> Vec<Problem> {
    let bad = |(key, url)| Some(Problem::new(key, origin::check_endpoint(url).err()?));
    urls.into_iter().filter_map(bad).collect()
}

/// Checks that an account fits into a path as it is.
fn check_account(account: Option<&str>) -> Option<Problem> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"@.-_".contains(&byte);
    let plain = account?.bytes().all(is_plain) && account?.contains('@');
    let message = "must be the e-mail address of a service account";
    (!plain).then(|| Problem::new("impersonate", message))
}
