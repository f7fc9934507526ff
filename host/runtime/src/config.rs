//! The `[adapters]` table of the configuration.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::EngineError;
use super::compile::CompileLimits;

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
    /// What compiling one component may take, in milliseconds: 100 to
    /// 3 600 000. The host compiles in a process of its own.
    pub compile_timeout_ms: u64,
    /// The memory that compiling one component may take, in bytes: 64 MiB to
    /// 64 GiB.
    pub compile_max_memory_bytes: u64,
    /// Other limits for adapters by name: `[adapters.limits.NAME]`.
    pub limits: BTreeMap<String, Limits>,
    /// Whether a component must be signed by one of `trusted_keys`. The
    /// registry sees to both.
    pub require_signature: bool,
    /// Public keys whose signatures count, in minisign's form. Several, so
    /// that one can take the place of another.
    pub trusted_keys: Vec<String>,
}

/// What differs for one adapter; the rest is as for all.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    pub max_memory_bytes: Option<u64>,
    pub deadline_ms: Option<u64>,
}

/// What one call into one adapter may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CallLimits {
    /// Of all memories and tables together.
    pub memory_bytes: u64,
    /// On the clock on the wall.
    pub deadline: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            directory: PathBuf::from("adapters"),
            cache_directory: None,
            max_memory_bytes: 64 << 20,
            deadline_ms: 1_000,
            compile_timeout_ms: 60_000,
            compile_max_memory_bytes: 2 << 30,
            limits: BTreeMap::new(),
            require_signature: false,
            trusted_keys: Vec::new(),
        }
    }
}

impl Config {
    /// From one MiB, which the shadow stack of a Rust adapter takes alone, to
    /// all that a 32-bit guest can address.
    const MEMORY_BYTES: (u64, u64) = (1 << 20, 4 << 30);

    /// An adapter computes; one that takes a minute does something else.
    const DEADLINE_MS: (u64, u64) = (1, 60_000);

    /// Up to an hour, which nobody should have to wait for.
    const COMPILE_MS: (u64, u64) = (100, 3_600_000);

    /// Below the first not even an empty component compiles.
    const COMPILE_MEMORY_BYTES: (u64, u64) = (64 << 20, 64 << 30);

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
        let within = |key: &str, value, (min, max)| {
            if (min..=max).contains(&value) {
                return Ok(());
            }
            Err(EngineError::OutOfBounds { key: key.to_owned(), value, min, max })
        };
        within("adapters.max_memory_bytes", self.max_memory_bytes, Self::MEMORY_BYTES)?;
        within("adapters.deadline_ms", self.deadline_ms, Self::DEADLINE_MS)?;
        for (name, limits) in &self.limits {
            let key = |key| format!("adapters.limits.{name}.{key}");
            if let Some(bytes) = limits.max_memory_bytes {
                within(&key("max_memory_bytes"), bytes, Self::MEMORY_BYTES)?;
            }
            if let Some(deadline) = limits.deadline_ms {
                within(&key("deadline_ms"), deadline, Self::DEADLINE_MS)?;
            }
        }
        within("adapters.compile_timeout_ms", self.compile_timeout_ms, Self::COMPILE_MS)?;
        within(
            "adapters.compile_max_memory_bytes",
            self.compile_max_memory_bytes,
            Self::COMPILE_MEMORY_BYTES,
        )
    }

    /// What a call into the adapter `name` may use.
    pub(super) fn call_limits(&self, name: &str) -> CallLimits {
        let own = self.limits.get(name);
        let memory_bytes = own.and_then(|own| own.max_memory_bytes);
        let deadline_ms = own.and_then(|own| own.deadline_ms).unwrap_or(self.deadline_ms);
        CallLimits {
            memory_bytes: memory_bytes.unwrap_or(self.max_memory_bytes),
            deadline: Duration::from_millis(deadline_ms),
        }
    }

    /// The most memory that any adapter may use.
    pub(super) fn memory_bytes_max(&self) -> u64 {
        let own = self.limits.values().filter_map(|own| own.max_memory_bytes);
        own.fold(self.max_memory_bytes, u64::max)
    }

    pub(super) fn compile_limits(&self) -> CompileLimits {
        CompileLimits {
            time: Duration::from_millis(self.compile_timeout_ms),
            memory_bytes: self.compile_max_memory_bytes,
        }
    }

    /// The directory of compiled components.
    pub fn cache_directory(&self) -> PathBuf {
        self.cache_directory.clone().unwrap_or_else(|| self.directory.join(".cache"))
    }
}
