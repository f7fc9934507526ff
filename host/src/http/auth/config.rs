//! `[auth]`: the keys, as operators write them.

use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;

use super::KeySet;
use super::Role;
use hoth_core::domain::Digest;
use hoth_platform::secret::SecretSource;

/// `[auth]`: who may call. No key at all lets everybody in, on loopback.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    pub bearer: Vec<BearerKey>,
    pub sigv4: Vec<SigV4Key>,
}

/// `[[auth.bearer]]`: a token, known by its digest alone.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BearerKey {
    /// For logs and limits.
    pub name: String,
    pub role: Role,
    /// The SHA-256 of the token, in hex.
    pub sha256: Digest,
}

/// `[[auth.sigv4]]`: an AWS access key, for AWS Signature Version 4.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SigV4Key {
    /// For logs and limits.
    pub name: String,
    pub role: Role,
    pub access_key_id: String,
    /// The secret access key.
    pub secret: SecretSource,
    /// The only region to sign for; any where it is missing. The signature
    /// covers the host's name already, so this guards against little.
    pub region: Option<String>,
}

/// What `sha256sum` makes of nothing: of a variable that was not set.
const DIGEST_OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

impl AuthConfig {
    /// Whether no key is configured, so that everybody is let in.
    pub fn is_open(&self) -> bool {
        self.bearer.is_empty() && self.sigv4.is_empty()
    }

    /// Paths are relative to `directory`, that of the configuration file.
    pub fn resolve_against(&mut self, directory: &Path) {
        for key in &mut self.sigv4 {
            key.secret.resolve_against(directory);
        }
    }

    /// The names of all keys.
    pub fn names(&self) -> Vec<&str> {
        let bearer = self.bearer.iter().map(|key| key.name.as_str());
        bearer.chain(self.sigv4.iter().map(|key| key.name.as_str())).collect()
    }

    /// The files that hold secrets.
    pub fn files(&self) -> Vec<PathBuf> {
        let file = |key: &SigV4Key| match &key.secret {
            SecretSource::File(path) => Some(path.clone()),
            SecretSource::Env(_) => None,
        };
        self.sigv4.iter().filter_map(file).collect()
    }

    /// What is wrong with it, a sentence each. Reads the secrets.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut names: Vec<&str> = Vec::new();
        for (n, key) in self.bearer.iter().enumerate() {
            name_problems(&format!("bearer[{n}].name"), &key.name, &mut names, &mut problems);
            if key.sha256.to_string() == DIGEST_OF_NOTHING {
                problems.push(format!("bearer[{n}].sha256: is the digest of an empty token"));
            }
            if self.bearer[..n].iter().any(|other| other.sha256 == key.sha256) {
                problems.push(format!("bearer[{n}].sha256: is that of another key"));
            }
        }
        for (n, key) in self.sigv4.iter().enumerate() {
            name_problems(&format!("sigv4[{n}].name"), &key.name, &mut names, &mut problems);
            if !is_access_key_id(&key.access_key_id) {
                problems.push(format!("sigv4[{n}].access_key_id: must be letters and digits"));
            }
            if self.sigv4[..n].iter().any(|other| other.access_key_id == key.access_key_id) {
                problems.push(format!("sigv4[{n}].access_key_id: is that of another key"));
            }
            if key.region.as_ref().is_some_and(String::is_empty) {
                problems.push(format!("sigv4[{n}].region: must not be empty"));
            }
        }
        if problems.is_empty()
            && let Err(error) = KeySet::open(self)
        {
            problems.push(error.to_string());
        }
        problems
    }
}

/// Names stand for keys in the log and in limits, so no two are alike.
fn name_problems<'a>(
    path: &str,
    name: &'a str,
    names: &mut Vec<&'a str>,
    problems: &mut Vec<String>,
) {
    if name.is_empty() || name.chars().any(char::is_control) {
        problems.push(format!("{path}: must not be empty, nor have control characters"));
    }
    if names.contains(&name) {
        problems.push(format!("{path}: `{name}` is used twice"));
    }
    names.push(name);
}

fn is_access_key_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::AuthConfig;

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
            bearer[1].name: must not be empty, nor have control characters
            bearer[1].sha256: is that of another key
            bearer[2].sha256: is the digest of an empty token
            sigv4[0].name: `a` is used twice
            sigv4[0].access_key_id: must be letters and digits
            sigv4[0].region: must not be empty"#]]
        .assert_eq(&config.problems().join("\n"));
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
            .assert_eq(&config.problems().join("\n"));
    }
}
