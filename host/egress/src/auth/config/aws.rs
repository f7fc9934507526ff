//! The table `aws_sigv4`.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;

use serde::Deserialize;
use url::Url;

use super::CredentialConfig;
use super::kind::Kind;
use super::kind::Secret;
use super::kind::SecretForm;
use crate::auth::parameters::Template;
use crate::endpoints::DEFAULT_CREDENTIAL;
use crate::policy::aws_scope;
use crate::policy::aws_scope::AwsScope;
use crate::policy::origin;
use hoth_core::config::Names;
use hoth_core::config::Problem;
use hoth_core::config::Table;
use hoth_platform::secret::SecretSource;

/// The table `aws_sigv4`: keys of AWS, from one of three sources.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsSigV4Config {
    /// Read again every few seconds, like the other two.
    pub access_key_id: Option<SecretSource>,
    pub secret_access_key: Option<SecretSource>,
    /// The session token of temporary keys.
    pub session_token: Option<SecretSource>,
    /// In place of keys: a role, assumed with the keys of another credential.
    pub assume_role: Option<AssumeRoleConfig>,
    /// In place of keys: a role, assumed with the token of another issuer.
    pub web_identity: Option<WebIdentityConfig>,
    /// The service and the region of every signature. By default they are read
    /// off the host name of each request.
    pub signing: Option<AwsScope>,
}

/// The table `aws_sigv4.assume_role` (`AssumeRole` of the AWS STS API).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssumeRoleConfig {
    /// The credential whose keys are used: a name, or `default`.
    #[serde(default = "from_default")]
    pub from: String,
    /// The ARN of the role. `{name}` stands for a parameter of the request.
    pub role_arn: String,
    /// The parameters, each with the regular expression that its whole value
    /// must match.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    pub external_id: Option<String>,
    pub sts_url: Url,
    /// The region of the signature for `sts_url`. By default it is read off the
    /// host name.
    pub region: Option<String>,
    #[serde(default = "duration_default")]
    pub duration_s: NonZeroU32,
    #[serde(default = "session_name_default")]
    pub session_name: String,
}

/// The table `aws_sigv4.web_identity` (`AssumeRoleWithWebIdentity` of the AWS
/// STS API).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebIdentityConfig {
    pub role_arn: String,
    /// The token. Read at each request to STS.
    pub token: SecretSource,
    pub sts_url: Url,
    #[serde(default = "duration_default")]
    pub duration_s: NonZeroU32,
    #[serde(default = "session_name_default")]
    pub session_name: String,
}

/// The settings that both ways to a role have.
#[derive(Debug, Clone, Copy)]
pub struct StsConfig<'a> {
    pub url: &'a Url,
    /// The lifetime that is asked for.
    pub duration_s: NonZeroU32,
    /// The name in CloudTrail.
    pub session_name: &'a str,
}

fn from_default() -> String {
    DEFAULT_CREDENTIAL.to_owned()
}

/// Returns the default of STS, which is also the longest for a role that was
/// assumed from another role.
fn duration_default() -> NonZeroU32 {
    const { NonZeroU32::new(3600).unwrap() }
}

fn session_name_default() -> String {
    "hoth".to_owned()
}

/// The bounds of STS on the lifetime of keys.
const DURATION_S: RangeInclusive<u64> = 900..=43_200;

/// The bounds of STS on the name of a session.
const SESSION_NAME_BYTES: RangeInclusive<usize> = 2..=64;

impl Kind for AwsSigV4Config {
    fn secrets(&mut self) -> Vec<Secret<'_>> {
        [
            ("access_key_id", self.access_key_id.as_mut()),
            ("secret_access_key", self.secret_access_key.as_mut()),
            ("session_token", self.session_token.as_mut()),
            ("web_identity.token", self.web_identity.as_mut().map(|it| &mut it.token)),
        ]
        .into_iter()
        .filter_map(|(key, source)| Some(Secret::new(key, source?, SecretForm::Text)))
        .collect()
    }

    fn urls(&self) -> Vec<&Url> {
        let assume = self.assume_role.as_ref().map(|it| &it.sts_url);
        let web = self.web_identity.as_ref().map(|it| &it.sts_url);
        [assume, web].into_iter().flatten().collect()
    }
}

impl AssumeRoleConfig {
    pub fn sts(&self) -> StsConfig<'_> {
        let Self { sts_url: url, duration_s, session_name, .. } = self;
        StsConfig { url, duration_s: *duration_s, session_name }
    }

    /// Returns the service and the region of requests to STS, or `None` if
    /// neither the setting nor the host name has a region.
    pub fn signing(&self) -> Option<AwsScope> {
        let region = self.region.clone().or_else(|| Some(AwsScope::of(&self.sts_url)?.region));
        Some(AwsScope { service: "sts".to_owned(), region: region? })
    }
}

impl WebIdentityConfig {
    pub fn sts(&self) -> StsConfig<'_> {
        let Self { sts_url: url, duration_s, session_name, .. } = self;
        StsConfig { url, duration_s: *duration_s, session_name }
    }
}

impl Table for AwsSigV4Config {
    fn check(&self, names: &Names<'_>) -> Vec<Problem> {
        let keys = [&self.access_key_id, &self.secret_access_key, &self.session_token];
        let has_keys = keys.iter().any(|key| key.is_some());
        let sources = [has_keys, self.assume_role.is_some(), self.web_identity.is_some()];
        let mut problems = Vec::new();
        if sources.into_iter().filter(|given| *given).count() != 1 {
            problems.push(Problem::of_table(
                "must have exactly one of `access_key_id` with `secret_access_key`, \
                 `assume_role` and `web_identity`",
            ));
        } else if has_keys && (self.access_key_id.is_none() || self.secret_access_key.is_none()) {
            let message = "must have both `access_key_id` and `secret_access_key`";
            problems.push(Problem::of_table(message));
        }
        let in_table = |table: &'static str| move |problem: Problem| problem.in_table(table);
        let signing = self.signing.iter().flat_map(AwsScope::check);
        problems.extend(signing.map(in_table("signing")));
        problems.extend(self.assume_role.check(names).into_iter().map(in_table("assume_role")));
        problems.extend(self.web_identity.check(names).into_iter().map(in_table("web_identity")));
        problems
    }
}

impl Table for AssumeRoleConfig {
    fn check(&self, _: &Names<'_>) -> Vec<Problem> {
        let mut problems = check_sts(self.sts(), &self.role_arn);
        if let Err(bad) = Template::new(&self.role_arn, &self.parameters) {
            problems.push(Problem::new(bad.key(), &bad));
        }
        if self.signing().is_none() {
            let message = "is missing: the host name in `sts_url` does not have it";
            problems.push(Problem::new("region", message));
        }
        let region = self.region.as_ref();
        problems.extend(region.and_then(|region| aws_scope::check_word("region", region)));
        problems
    }
}

impl Table for WebIdentityConfig {
    fn check(&self, _: &Names<'_>) -> Vec<Problem> {
        check_sts(self.sts(), &self.role_arn)
    }
}

fn check_sts(sts: StsConfig<'_>, role_arn: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !role_arn.starts_with("arn:") {
        problems.push(Problem::new("role_arn", "must be the ARN of a role: `arn:…`"));
    }
    if let Err(bad) = origin::check_endpoint(sts.url) {
        problems.push(Problem::new("sts_url", bad));
    }
    problems.extend(Problem::out_of_range("duration_s", sts.duration_s.get().into(), &DURATION_S));
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    if !SESSION_NAME_BYTES.contains(&sts.session_name.len())
        || !sts.session_name.bytes().all(is_plain)
    {
        let message = "must be 2 to 64 letters, digits and characters of `_+=,.@-`";
        problems.push(Problem::new("session_name", message));
    }
    problems
}

/// Checks the chains of `assume_role.from`: each ends at keys or at a web
/// identity, and no role on the way has parameters, which only a request can
/// give that names the credential.
pub fn check_sources(
    default: &CredentialConfig,
    named: &BTreeMap<String, CredentialConfig>,
) -> Vec<Problem> {
    let find = |name: &str| match name {
        DEFAULT_CREDENTIAL => Some(default),
        name => named.get(name),
    };
    let fault = |role: &AssumeRoleConfig| {
        let mut role = role;
        // As many steps as there are credentials: a longer chain is a circle.
        for _ in 0..=named.len() {
            let Some(source) = find(&role.from).and_then(|it| it.aws_sigv4.as_ref()) else {
                let from = &role.from;
                return Some(format!("must be a credential of the kind `aws_sigv4`, not `{from}`"));
            };
            let Some(next) = &source.assume_role else { return None };
            if !next.parameters.is_empty() {
                let from = &role.from;
                return Some(format!("must not be `{from}`, whose role has parameters"));
            }
            role = next;
        }
        Some("must not lead back to the same role".to_owned())
    };
    let given = default.assume_role();
    let unusable = given.is_some_and(|role| !role.parameters.is_empty()).then(|| {
        let message =
            "must be those of a named credential: no request gives any to the default one";
        Problem::new("aws_sigv4.assume_role.parameters", message)
    });
    let tables = named.iter().map(|(name, it)| (format!("credentials.{name}.aws_sigv4"), it));
    [("aws_sigv4".to_owned(), default)]
        .into_iter()
        .chain(tables)
        .filter_map(|(table, it)| {
            Some(Problem::new(format!("{table}.assume_role.from"), fault(it.assume_role()?)?))
        })
        .chain(unusable)
        .collect()
}
