//! The part of a configuration that a client of the host needs.

use std::path::Path;

use serde::Deserialize;

use super::ConfigError;
use crate::admin;

/// The table `[admin]`, beside tables that are not read.
#[derive(Debug, Deserialize)]
struct Profile {
    #[serde(default)]
    admin: admin::Config,
}

/// Reads the table `[admin]` of the file at `path`. Other tables may name
/// secrets that the caller cannot read, so they are not checked. Variables of
/// the environment override nothing: they are those of the host's process.
///
/// # Errors
///
/// [`ConfigError`] if the file cannot be read. The mistake in it is not told:
/// `hoth check` does, without secrets.
pub fn admin(path: &Path) -> Result<admin::Config, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    // Without the parser's text, which quotes lines of the file.
    let Profile { mut admin } = toml::from_str(&text).map_err(|_| ConfigError::Syntax {
        path: path.to_owned(),
        message: format!("run `hoth check --config {}` to see the mistake", path.display()),
    })?;
    if let Some(tls) = &mut admin.tls {
        tls.resolve_against(path.parent().unwrap_or(Path::new("")));
    }
    Ok(admin)
}
