//! References to secrets: their sources, never their values.

use std::fs::File;
use std::io;
use std::io::Read as _;
use std::path::Path;
use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;

/// The size of the largest secret. A key or a client secret has tens of bytes;
/// a larger file is the wrong one.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// The source of a secret: `{ env = "NAME" }` or `{ file = "/path" }`.
///
/// The secret is read each time it is needed. So a rotated file takes effect
/// without a restart, and the configuration can be printed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub enum SecretSource {
    /// The name of an environment variable.
    Env(String),
    /// A file that holds the secret alone. A line break at its end is not part
    /// of it.
    File(PathBuf),
}

/// The error of reading a secret. It names the source, never the value.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("the environment variable `{0}` is not set")]
    Unset(String),
    #[error("the secret file `{}` cannot be read: {}", .0.display(), in_words(.1))]
    Unreadable(PathBuf, io::Error),
    #[error("the secret in {0} is empty")]
    Empty(SecretSource),
    #[error("the secret in {0} has more than {SECRET_BYTES_MAX} bytes")]
    TooLong(SecretSource),
    #[error("the secret in {0} is not UTF-8")]
    NotText(SecretSource),
}

/// The source as it is written in the configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "`{ env = \"NAME\" }` or `{ file = \"PATH\" }`")]
struct Written {
    env: Option<String>,
    file: Option<PathBuf>,
}

impl SecretSource {
    /// Reads the current secret. Blocks on the file system.
    pub fn read(&self) -> Result<SecretString, SecretError> {
        let text = match self {
            Self::Env(name) => read_env(name)?,
            Self::File(path) => self.read_file(path)?,
        };
        if text.is_empty() {
            return Err(SecretError::Empty(self.clone()));
        }
        Ok(text.into())
    }

    /// Returns the file, or `None` for an environment variable.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Env(_) => None,
            Self::File(path) => Some(path),
        }
    }

    /// Resolves a relative file path against `dir`, the directory of the
    /// configuration file.
    pub fn resolve_against(&mut self, dir: &Path) {
        match self {
            Self::Env(_) => {}
            Self::File(path) => *path = dir.join(&*path),
        }
    }

    fn read_file(&self, path: &Path) -> Result<String, SecretError> {
        // The whole path: the configuration has it relative to its own folder.
        let whole = || std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let unreadable = |error| SecretError::Unreadable(whole(), error);
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(unreadable)?;
        // One byte more, to tell a file that is too long from the longest one.
        file.take(SECRET_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > SECRET_BYTES_MAX {
            return Err(SecretError::TooLong(self.clone()));
        }
        let mut text = String::from_utf8(bytes).map_err(|_| SecretError::NotText(self.clone()))?;
        // Editors and `echo` add one line break. Other white space may belong
        // to the secret.
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        Ok(text)
    }
}

/// Describes the usual errors without the numbers of the system.
fn in_words(error: &io::Error) -> String {
    let words = [
        (io::ErrorKind::NotFound, "no such file"),
        (io::ErrorKind::PermissionDenied, "permission denied"),
        (io::ErrorKind::IsADirectory, "it is a directory"),
    ];
    let known = words.into_iter().find(|(kind, _)| *kind == error.kind());
    known.map_or_else(|| error.to_string(), |(_, words)| words.to_owned())
}

#[expect(clippy::disallowed_methods, reason = "an operator names the variable of a secret")]
fn read_env(name: &str) -> Result<String, SecretError> {
    match std::env::var(name) {
        Ok(text) => Ok(text),
        Err(std::env::VarError::NotPresent) => Err(SecretError::Unset(name.to_owned())),
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(SecretError::NotText(SecretSource::Env(name.to_owned())))
        }
    }
}

impl std::fmt::Display for SecretSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the environment variable `{name}`"),
            Self::File(path) => write!(f, "the file `{}`", path.display()),
        }
    }
}

impl TryFrom<Written> for SecretSource {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        match (written.env, written.file) {
            // No variable can have such a name.
            (Some(name), None) if name.is_empty() || name.contains(['=', '\0']) => {
                Err("`env` must be the name of an environment variable")
            }
            (Some(name), None) => Ok(Self::Env(name)),
            (None, Some(path)) if path.as_os_str().is_empty() => Err("`file` must be a path"),
            (None, Some(path)) => Ok(Self::File(path)),
            (Some(_), Some(_)) | (None, None) => {
                Err("a secret is either { env = \"NAME\" } or { file = \"/path\" }")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::Expect;
    use expect_test::expect;
    use secrecy::ExposeSecret as _;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Table {
        secret: SecretSource,
    }

    fn parse(toml: &str) -> Result<SecretSource, toml::de::Error> {
        toml::from_str::<Table>(&format!("secret = {toml}")).map(|table| table.secret)
    }

    #[test]
    fn a_source_is_an_env_or_a_file_and_never_both() {
        assert_eq!(parse(r#"{ env = "A" }"#).unwrap(), SecretSource::Env("A".into()));
        assert_eq!(parse(r#"{ file = "/a" }"#).unwrap(), SecretSource::File("/a".into()));
        for wrong in [
            "{}",
            r#"{ env = "A", file = "/a" }"#,
            r#"{ env = "" }"#,
            r#"{ env = "A=B" }"#,
            r#"{ file = "" }"#,
            r#"{ value = "hunter2" }"#,
            r#"{ env = "A", fil = "/a" }"#,
            r#""hunter2""#,
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_file_is_read_without_its_last_line_break() {
        let dir = tempfile::tempdir().unwrap();
        for (content, secret) in
            [("s", "s"), ("s\n", "s"), ("s\r\n", "s"), ("s\n\n", "s\n"), (" s t ", " s t ")]
        {
            std::fs::write(dir.path().join("secret"), content).unwrap();
            let mut source = SecretSource::File("secret".into());
            source.resolve_against(dir.path());
            assert_eq!(source.read().unwrap().expose_secret(), secret, "{content:?}");
        }
    }

    #[test]
    fn an_absolute_path_stays() {
        let mut source = SecretSource::File("/run/secrets/snow".into());
        source.resolve_against(Path::new("/etc/hoth"));
        assert_eq!(source, SecretSource::File("/run/secrets/snow".into()));
    }

    #[test]
    fn a_variable_is_read() {
        let path = std::env::var_os("PATH").unwrap().into_string().unwrap();
        let source = SecretSource::Env("PATH".into());
        assert_eq!(source.read().unwrap().expose_secret(), path);
    }

    #[test]
    fn an_error_names_the_place_and_not_the_value() {
        let dir = tempfile::tempdir().unwrap();
        let check = |content: &[u8], expected: Expect| {
            std::fs::write(dir.path().join("secret"), content).unwrap();
            let error = SecretSource::File(dir.path().join("secret")).read().unwrap_err();
            let text = error.to_string().replace(&*dir.path().to_string_lossy(), "DIR");
            expected.assert_eq(&text);
        };
        check(b"\n", expect!["the secret in the file `DIR/secret` is empty"]);
        check(b"hunter\xff", expect!["the secret in the file `DIR/secret` is not UTF-8"]);
        check(
            &[b'x'; SECRET_BYTES_MAX as usize + 1],
            expect!["the secret in the file `DIR/secret` has more than 65536 bytes"],
        );
        let error = SecretSource::File("/nowhere/at/all".into()).read().unwrap_err();
        expect!["the secret file `/nowhere/at/all` cannot be read: no such file"]
            .assert_eq(&error.to_string());
        let error = SecretSource::Env("HOTH_NO_SUCH_VARIABLE".into()).read().unwrap_err();
        expect!["the environment variable `HOTH_NO_SUCH_VARIABLE` is not set"]
            .assert_eq(&error.to_string());
    }
}
