//! The table `[auth]`: the keys, as operators write them.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;

use super::key_set::Bearer;
use super::key_set::KeySet;
use super::key_set::Signer;
use super::principal::Principal;
use super::principal::Role;
use hoth_core::config::Names;
use hoth_core::config::Problem;
use hoth_core::config::Table;
use hoth_core::domain::Digest;
use hoth_platform::secret::SecretError;
use hoth_platform::secret::SecretSource;

/// The table `[auth]`. Without any key, every caller on loopback is accepted.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// Keys that are sent with every request, for clients that cannot sign.
    pub bearer: Vec<BearerKey>,
    /// Keys that sign every request and are never sent.
    pub sigv4: Vec<SigV4Key>,
}

/// A bearer token in `[[auth.bearer]]`, stored as its digest.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BearerKey {
    /// The key's name in logs and rate limits.
    pub name: String,
    pub role: Role,
    /// The SHA-256 of the token, in hex. A digest is enough to compare tokens,
    /// and a leaked configuration file discloses none.
    pub sha256: Digest,
}

/// An AWS access key in `[[auth.sigv4]]`, for AWS Signature Version 4.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SigV4Key {
    /// The key's name in logs and rate limits.
    pub name: String,
    pub role: Role,
    pub access_key_id: String,
    /// The secret access key.
    pub secret: SecretSource,
    /// The only region to sign for; any region if missing. The signature covers
    /// the host's name already, so this adds little.
    pub region: Option<String>,
}

/// A secret that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("sigv4[{at}].secret: {}", describe(source))]
pub struct KeyError {
    /// The index of the key in `[[auth.sigv4]]`.
    at: usize,
    source: SecretError,
}

impl From<KeyError> for Problem {
    fn from(KeyError { at, source }: KeyError) -> Self {
        Self::new(format!("sigv4[{at}].secret"), describe(&source))
    }
}

fn describe(error: &SecretError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// The SHA-256 of empty input, as `sha256sum` prints it for a variable that was
/// not set.
const DIGEST_OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

impl AuthConfig {
    /// Returns `true` if no key is configured, so that every caller is accepted.
    pub fn is_open(&self) -> bool {
        self.bearer.is_empty() && self.sigv4.is_empty()
    }

    /// Resolves relative paths against `directory`, the configuration file's.
    pub fn resolve_against(&mut self, directory: &Path) {
        for key in &mut self.sigv4 {
            key.secret.resolve_against(directory);
        }
    }

    /// Returns the names of all keys.
    pub fn names(&self) -> Vec<&str> {
        let bearer = self.bearer.iter().map(|key| key.name.as_str());
        bearer.chain(self.sigv4.iter().map(|key| key.name.as_str())).collect()
    }

    /// Returns the files that hold secrets.
    pub fn files(&self) -> Vec<PathBuf> {
        let file = |key: &SigV4Key| match &key.secret {
            SecretSource::File(path) => Some(path.clone()),
            SecretSource::Env(_) => None,
        };
        self.sigv4.iter().filter_map(file).collect()
    }

    /// Reads the secrets. Blocks on the file system.
    ///
    /// # Errors
    ///
    /// Returns an error for the first secret that cannot be read.
    pub fn open(&self) -> Result<KeySet, KeyError> {
        let principal = |name: &str, role| Principal { key: Some(Arc::from(name)), role };
        let bearer = self
            .bearer
            .iter()
            .map(|key| Bearer { principal: principal(&key.name, key.role), sha256: key.sha256 });
        let signers = self.sigv4.iter().enumerate().map(|(at, key)| {
            Ok(Signer {
                principal: principal(&key.name, key.role),
                access_key_id: key.access_key_id.clone(),
                secret: key.secret.read().map_err(|source| KeyError { at, source })?,
                region: key.region.clone(),
            })
        });
        Ok(KeySet::new(bearer.collect(), signers.collect::<Result<_, _>>()?))
    }
}

impl Table for AuthConfig {
    fn check(&self, _: &Names<'_>) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut used: Vec<&str> = Vec::new();
        for (n, key) in self.bearer.iter().enumerate() {
            let table = format!("bearer[{n}]");
            check_name(&table, &key.name, &mut used, &mut problems);
            let mut wrong =
                |message| problems.push(Problem::new(format!("{table}.sha256"), message));
            if key.sha256.to_string() == DIGEST_OF_NOTHING {
                wrong("is the digest of an empty token");
            }
            if self.bearer[..n].iter().any(|other| other.sha256 == key.sha256) {
                wrong("is already used by another key");
            }
        }
        for (n, key) in self.sigv4.iter().enumerate() {
            let table = format!("sigv4[{n}]");
            check_name(&table, &key.name, &mut used, &mut problems);
            let mut wrong =
                |key, message| problems.push(Problem::new(key, message).in_table(&table));
            if !is_access_key_id(&key.access_key_id) {
                wrong("access_key_id", "must be letters and digits");
            }
            if self.sigv4[..n].iter().any(|other| other.access_key_id == key.access_key_id) {
                wrong("access_key_id", "is already used by another key");
            }
            if key.region.as_ref().is_some_and(String::is_empty) {
                wrong("region", "must not be empty");
            }
        }
        // Last, and only for a table that is valid otherwise: reading secrets
        // blocks on the file system, and a refused table needs none of them.
        if problems.is_empty()
            && let Err(error) = self.open()
        {
            problems.push(error.into());
        }
        problems
    }
}

/// Checks the name of the key in `table`. Names identify keys in logs and rate
/// limits, so they must be unique.
fn check_name<'a>(
    table: &str,
    name: &'a str,
    used: &mut Vec<&'a str>,
    problems: &mut Vec<Problem>,
) {
    let mut wrong = |message: &str| problems.push(Problem::new(format!("{table}.name"), message));
    if name.is_empty() || name.chars().any(char::is_control) {
        wrong("must not be empty or contain control characters");
    }
    if used.contains(&name) {
        wrong(&format!("`{name}` is used twice"));
    }
    used.push(name);
}

/// Returns `true` for ASCII letters, digits and underscores. A slash or a comma
/// would be ambiguous in the `Authorization` header.
fn is_access_key_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::AuthConfig;
    use hoth_core::config::Names;
    use hoth_core::config::Problem;
    use hoth_core::config::Table as _;

    fn problems(config: &AuthConfig) -> String {
        let problems = config.check(&Names::default());
        problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn every_mistake_is_named() {
        let config: AuthConfig = toml::from_str(
            r#"
            [[bearer]]
            name = "a"
            role = "write"
            sha256 = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8"
            [[bearer]]
            name = ""
            role = "write"
            sha256 = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8"
            [[bearer]]
            name = "c"
            role = "read"
            sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
            [[sigv4]]
            name = "a"
            role = "admin"
            access_key_id = "AK/ID"
            secret = { env = "HOTH_NO_SUCH_VARIABLE" }
            region = ""
            "#,
        )
        .unwrap();
        expect![[r#"
            bearer[1].name: must not be empty or contain control characters
            bearer[1].sha256: is already used by another key
            bearer[2].sha256: is the digest of an empty token
            sigv4[0].name: `a` is used twice
            sigv4[0].access_key_id: must be letters and digits
            sigv4[0].region: must not be empty"#]]
        .assert_eq(&problems(&config));
    }

    #[test]
    fn a_secret_that_cannot_be_read_is_a_mistake() {
        let config: AuthConfig = toml::from_str(
            r#"
            [[sigv4]]
            name = "snow"
            role = "write"
            access_key_id = "AKIDEXAMPLE"
            secret = { env = "HOTH_NO_SUCH_VARIABLE" }
            "#,
        )
        .unwrap();
        expect!["sigv4[0].secret: the environment variable `HOTH_NO_SUCH_VARIABLE` is not set"]
            .assert_eq(&problems(&config));
    }
}
