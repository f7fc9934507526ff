//! Takes up changed keys and certificates without a restart.
//!
//! The configuration file and the files of secrets and certificates that it
//! names are looked at every half second. What they hold is compared, not
//! their times, so a file that is replaced, edited in place, or swapped behind
//! a link counts alike. A change is taken up when two looks in a row have seen
//! the same, since a file that is being written is half a file. All of the
//! configuration is checked again; if anything is wrong with it, the keys and
//! certificates from before stay, and the log says why.

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
use crate::http::listener::ReloadableTls;
use crate::http::listener::TlsConfig;
use crate::http::listener::TlsError;
use hoth_core::domain::Digest;

/// How often the files are looked at: a change counts within a second or so.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The largest file that is looked at as a whole.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What changes with the files.
pub struct Reload {
    /// What the files held when `keys` and the certificates were read, or
    /// before.
    pub seen: Digest,
    pub keys: Keys,
    pub api_tls: Option<ReloadableTls>,
    pub admin_tls: Option<ReloadableTls>,
    /// Whether anybody but this machine can reach a listener, so that there
    /// must be a key.
    pub exposed: bool,
}

/// Why a changed configuration is not taken up.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("auth: {0}")]
    Key(#[from] KeyError),
    #[error(transparent)]
    ReloadableTls(#[from] TlsError),
    #[error("auth: without a key everybody would be let in, and not only from this machine")]
    Open,
    #[error("the files could not be read in the background")]
    Broken(#[from] tokio::task::JoinError),
}

impl Reload {
    /// Watches the files of `config` until `stop`.
    pub async fn watch(self, config: Config, stop: CancellationToken) {
        let mut current = config;
        let (mut taken, mut last) = (self.seen, self.seen);
        while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            let seen = look(&current).await;
            let settled = seen == last;
            last = seen;
            if !settled || seen == taken {
                continue;
            }
            match self.take_up(current.file.clone()).await {
                Ok(config) => {
                    current = config;
                    // It may name other files.
                    last = look(&current).await;
                }
                Err(error) => {
                    let error: &dyn Error = &error;
                    warn!(
                        error,
                        "The changed configuration is refused; keys and certificates stay"
                    );
                }
            }
            taken = last;
        }
    }

    async fn take_up(&self, file: PathBuf) -> Result<Config, ReloadError> {
        let read = tokio::task::spawn_blocking(move || Candidate::read(&file)).await?;
        let candidate = read?;
        let Candidate { config, keys, api_tls, admin_tls } = candidate;
        if keys.is_open() && self.exposed {
            return Err(ReloadError::Open);
        }
        audit::keys_reloaded(&config.auth.names());
        if keys.is_open() {
            warn!("No key is configured any more: everybody on this machine is let in");
        }
        self.keys.replace(keys);
        for (table, running, read) in
            [("api", &self.api_tls, api_tls), ("admin", &self.admin_tls, admin_tls)]
        {
            match (running, read) {
                (Some(tls), Some(config)) => tls.replace(config),
                (None, None) => {}
                (Some(_), None) | (None, Some(_)) => {
                    warn!("[{table}.tls] came or went; that takes effect at the next start");
                }
            }
        }
        info!("Keys and certificates were read again; other changes take effect at the next start");
        Ok(config)
    }
}

/// All that a changed configuration brings, before any of it counts.
struct Candidate {
    config: Config,
    keys: KeySet,
    api_tls: Option<rustls::ServerConfig>,
    admin_tls: Option<rustls::ServerConfig>,
}

impl Candidate {
    fn read(file: &Path) -> Result<Self, ReloadError> {
        let config = Config::load(file)?;
        let keys = config.auth.open()?;
        let api_tls = config.api.tls.as_ref().map(TlsConfig::open).transpose()?;
        let admin_tls = config.admin.tls.as_ref().map(TlsConfig::open).transpose()?;
        Ok(Self { config, keys, api_tls, admin_tls })
    }
}

/// What the files of a configuration hold now, as one digest. A file that cannot be read counts
/// as such.
pub async fn look(config: &Config) -> Digest {
    let mut files = vec![config.file.clone()];
    files.extend(config.auth.files());
    files.extend(config.api.tls.iter().chain(&config.admin.tls).flat_map(TlsConfig::files));
    let looked = tokio::task::spawn_blocking(move || {
        let digests: Vec<String> = files.iter().map(|file| digest(file)).collect();
        Digest::of(digests.join("\n").as_bytes())
    });
    looked.await.expect("reading files does not panic")
}

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
        Reload { seen, keys, api_tls: None, admin_tls: None, exposed }
    }

    #[tokio::test]
    async fn keys_never_go_away_where_others_can_reach_a_listener() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("hoth.toml");
        std::fs::write(&file, format!("{KEY}{CSP}")).unwrap();
        let config = Config::load(&file).unwrap();
        std::fs::write(&file, CSP).unwrap();
        for exposed in [true, false] {
            let keys = Keys::new(config.auth.open().unwrap());
            let reload = reload(&keys, exposed);
            let taken_up = reload.take_up(file.clone()).await;
            assert_eq!(matches!(taken_up, Err(ReloadError::Open)), exposed);
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
            let taken_up = reload.take_up(file.clone()).await;
            assert!(matches!(taken_up, Err(ReloadError::Config(_))), "{broken}");
            assert!(!keys.is_open());
        }
    }
}
