//! Applies changed keys and certificates without a restart.
//!
//! The host reads the configuration file, and the files of secrets and
//! certificates that it names, every half second. It compares their contents and
//! not their times, so it notices a file that is replaced, edited in place, or
//! swapped behind a link. A change is applied when two reads in a row return the
//! same contents, because a file may be read while it is being written. The whole
//! configuration is validated again. If it has a mistake, the previous keys and
//! certificates stay, and the log says why.

use std::error::Error;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::info;
use tracing::warn;

use crate::config::Config;
use crate::config::ConfigError;
use crate::http::audit;
use crate::http::auth::KeyError;
use crate::http::auth::KeySet;
use crate::http::auth::Keys;
use crate::http::listener::OpenedTls;
use crate::http::listener::ReloadableTls;
use crate::http::listener::TlsConfig;
use crate::http::listener::TlsError;
use crate::metrics::table;
use hoth_core::domain::Digest;
use hoth_platform::clock::Clock;

/// The interval between two reads: a change applies within about a second.
const READ_INTERVAL: Duration = Duration::from_millis(500);

/// The largest file that is compared as a whole.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The parts of the host that change with the files.
pub struct Reload {
    /// The digest of the files when `keys` and the certificates were read, or
    /// before that.
    pub seen: Digest,
    pub keys: Keys,
    pub api_tls: Option<ReloadableTls>,
    pub admin_tls: Option<ReloadableTls>,
    /// `true` if other machines can reach a listener, so that there must be a
    /// key.
    pub exposed: bool,
    pub clock: Clock,
}

/// A changed configuration that cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("auth.{0}")]
    Key(#[from] KeyError),
    #[error(transparent)]
    ReloadableTls(#[from] TlsError),
    #[error("auth: without a key, callers on other machines would be accepted too")]
    Open,
    #[error("the files could not be read in the background")]
    Broken(#[from] tokio::task::JoinError),
}

impl Reload {
    /// Watches the files of `config` until `stop`.
    pub async fn watch(self, config: Config, stop: CancellationToken) {
        let started_with = config.keys.clone();
        let mut current = config;
        let (mut taken, mut last) = (self.seen, self.seen);
        count_applied(&self.clock);
        while stop.run_until_cancelled(tokio::time::sleep(READ_INTERVAL)).await.is_some() {
            let seen = digest_files(&current).await;
            // A change is applied only once two reads agree: the first one may
            // have seen a file that was half written.
            let settled = seen == last;
            last = seen;
            if !settled || seen == taken {
                continue;
            }
            match self.apply(current.file.clone()).await {
                Ok(config) => {
                    count_applied(&self.clock);
                    if let Some(keys) = started_with.pending(&config.keys) {
                        warn!(
                            event = "restart-needed",
                            keys, "Changed keys take effect at the next start"
                        );
                    }
                    current = config;
                }
                Err(error) => {
                    table::CONFIG_RELOAD_SUCCESS.with(&[]).set(0);
                    let error: &dyn Error = &error;
                    warn!(
                        error,
                        "The changed configuration is refused; keys and certificates stay"
                    );
                }
            }
            // As it was before the files were read: a file that has changed since
            // then has another digest, and so have other files that the new
            // configuration names. Both are read again.
            taken = seen;
        }
    }

    /// Reads the changed configuration, and applies its keys and certificates.
    async fn apply(&self, file: PathBuf) -> Result<Config, ReloadError> {
        let read = tokio::task::spawn_blocking(move || Candidate::read(&file)).await?;
        let candidate = read?;
        let Candidate { config, keys, api_tls, admin_tls } = candidate;
        // Everything that can fail comes before this line or on it. From here on
        // the change is applied whole.
        if keys.is_open() && self.exposed {
            return Err(ReloadError::Open);
        }
        audit::keys_reloaded(&config.auth.names());
        if keys.is_open() {
            warn!("No key is configured any more: every caller on this machine is accepted");
        }
        self.keys.replace(keys);
        for (table, running, read) in
            [("api", &self.api_tls, api_tls), ("admin", &self.admin_tls, admin_tls)]
        {
            match (running, read) {
                (Some(tls), Some(config)) => tls.replace(config),
                (None, None) => {}
                (Some(_), None) | (None, Some(_)) => {
                    warn!(
                        "[{table}.tls] was added or removed; this takes effect at the next start"
                    );
                }
            }
        }
        info!(event = "reloaded", "Keys and certificates reloaded");
        Ok(config)
    }
}

/// Records in the metrics that the configuration has been applied.
fn count_applied(clock: &Clock) {
    let now = Duration::from_millis(clock.wall().as_millis());
    table::CONFIG_RELOAD_SUCCESS.with(&[]).set(1);
    table::CONFIG_RELOAD_SUCCESS_AT.with(&[]).set(now);
}

/// The parsed contents of the changed files, before any of them is applied.
struct Candidate {
    config: Config,
    keys: KeySet,
    api_tls: Option<OpenedTls>,
    admin_tls: Option<OpenedTls>,
}

impl Candidate {
    /// Reads and validates the changed files. Blocks on the file system.
    fn read(file: &Path) -> Result<Self, ReloadError> {
        let config = Config::load(file)?;
        let keys = config.auth.open()?;
        let api_tls = config.api.tls.as_ref().map(TlsConfig::open).transpose()?;
        let admin_tls = config.admin.tls.as_ref().map(TlsConfig::open).transpose()?;
        Ok(Self { config, keys, api_tls, admin_tls })
    }
}

/// Returns one digest of the files of a configuration. A file that cannot be
/// read contributes its error.
pub async fn digest_files(config: &Config) -> Digest {
    let mut files = vec![config.file.clone()];
    files.extend(config.auth.files());
    files.extend(config.api.tls.iter().chain(&config.admin.tls).flat_map(TlsConfig::files));
    let digested = tokio::task::spawn_blocking(move || {
        let digests: Vec<String> = files.iter().map(|file| digest(file)).collect();
        Digest::of(digests.join("\n").as_bytes())
    });
    digested.await.expect("reading files does not panic")
}

/// Returns the digest of a file, or the text of the error.
fn digest(file: &Path) -> String {
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
    match read {
        Ok(_) => Digest::of(&bytes).to_string(),
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = r#"
        [[auth.bearer]]
        name = "snow"
        role = "write"
        sha256 = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8"
    "#;

    const CSP: &str = r#"
        [csp.CSP_A]
        adapter = "atat"
        base_url = "https://csp-a.example.com"
    "#;

    fn reload(keys: &Keys, exposed: bool) -> Reload {
        let (seen, keys) = (Digest::of(b""), keys.clone());
        Reload { seen, keys, api_tls: None, admin_tls: None, exposed, clock: Clock::system() }
    }

    #[tokio::test]
    async fn the_last_key_cannot_be_removed_while_a_listener_is_exposed() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("hoth.toml");
        std::fs::write(&file, format!("{KEY}{CSP}")).unwrap();
        let config = Config::load(&file).unwrap();
        std::fs::write(&file, CSP).unwrap();
        for exposed in [true, false] {
            let keys = Keys::new(config.auth.open().unwrap());
            let reload = reload(&keys, exposed);
            let applied = reload.apply(file.clone()).await;
            assert_eq!(matches!(applied, Err(ReloadError::Open)), exposed);
            assert_eq!(keys.is_open(), !exposed);
        }
    }

    #[tokio::test]
    async fn a_broken_configuration_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("hoth.toml");
        std::fs::write(&file, format!("{KEY}{CSP}")).unwrap();
        let config = Config::load(&file).unwrap();
        for broken in ["", "[auth", "[[auth.bearer]]\nname = 1", &format!("{KEY}{KEY}{CSP}")] {
            std::fs::write(&file, broken).unwrap();
            let keys = Keys::new(config.auth.open().unwrap());
            let reload = reload(&keys, false);
            let applied = reload.apply(file.clone()).await;
            assert!(matches!(applied, Err(ReloadError::Config(_))), "{broken}");
            assert!(!keys.is_open());
        }
    }
}
