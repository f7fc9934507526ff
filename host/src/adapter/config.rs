//! The `[adapters]` table of the configuration.

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::EngineError;

/// Where adapters are, and what one call into one of them may use.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The directory of the components, `<name>.wasm`.
    pub directory: PathBuf,
    /// Where compiled components are kept; `.cache` in `directory` by default.
    pub cache_directory: Option<PathBuf>,
    /// What all memories and tables of one call may hold together, in bytes:
    /// 1 MiB to 4 GiB.
    pub max_memory_bytes: u64,
    /// What one call may take, on the clock on the wall, in milliseconds:
    /// 1 to 60 000.
    pub deadline_ms: u64,
    /// Whether a component must be signed by one of `trusted_keys`. The
    /// registry sees to both.
    pub require_signature: bool,
    /// Public keys whose signatures count, in minisign's form. Several, so
    /// that one can take the place of another.
    pub trusted_keys: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            directory: PathBuf::from("adapters"),
            cache_directory: None,
            max_memory_bytes: 64 << 20,
            deadline_ms: 1_000,
            require_signature: false,
            trusted_keys: Vec::new(),
        }
    }
}

impl Config {
    /// One MiB: the shadow stack of a Rust adapter alone takes that.
    const MEMORY_BYTES_MIN: u64 = 1 << 20;

    /// A 32-bit guest cannot address more.
    const MEMORY_BYTES_MAX: u64 = 4 << 30;

    /// An adapter computes; one that takes a minute does something else.
    const DEADLINE_MS_MAX: u64 = 60_000;

    /// Paths are relative to `folder`.
    pub fn resolve_against(&mut self, folder: &Path) {
        self.directory = folder.join(&self.directory);
        self.cache_directory = self.cache_directory.as_ref().map(|cache| folder.join(cache));
    }

    /// Checks what the types cannot say.
    ///
    /// # Errors
    ///
    /// [`EngineError::OutOfBounds`] names the key and its bounds.
    pub fn check(&self) -> Result<(), EngineError> {
        let within = |key, value, min, max| {
            if (min..=max).contains(&value) {
                return Ok(());
            }
            Err(EngineError::OutOfBounds { key, value, min, max })
        };
        within(
            "adapters.max_memory_bytes",
            self.max_memory_bytes,
            Self::MEMORY_BYTES_MIN,
            Self::MEMORY_BYTES_MAX,
        )?;
        within("adapters.deadline_ms", self.deadline_ms, 1, Self::DEADLINE_MS_MAX)
    }

    /// The directory of compiled components.
    pub fn cache_directory(&self) -> PathBuf {
        self.cache_directory.clone().unwrap_or_else(|| self.directory.join(".cache"))
    }

    /// `deadline_ms` as a duration.
    pub fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms)
    }
}
