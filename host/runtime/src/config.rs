//! The `[adapters]` table of the configuration.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use hoth_core::config::Names;
use hoth_core::config::Problem;
use hoth_core::config::Table;

/// The location of adapters, and the limits of calls into them.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The directory of the components, `<name>.wasm`.
    pub directory: PathBuf,
    /// The cache of compiled components; `.cache` in `directory` by default.
    pub cache_directory: Option<PathBuf>,
    /// The memories and tables of one call together, in bytes: 1 MiB to 4 GiB.
    pub max_memory_bytes: u64,
    /// The time of one call, in milliseconds: 1 to 60 000.
    pub deadline_ms: u64,
    /// The time to compile one component, in milliseconds: 100 to 3 600 000.
    /// The host compiles in a child process.
    pub compile_timeout_ms: u64,
    /// The memory to compile one component, in bytes: 64 MiB to 64 GiB.
    pub compile_max_memory_bytes: u64,
    /// Limits of single adapters, by name: `[adapters.limits.NAME]`.
    pub limits: BTreeMap<String, Limits>,
    /// True if a component must be signed by one of `trusted_keys`. The
    /// registry enforces both.
    pub require_signature: bool,
    /// Trusted public keys, in the form of minisign. Several keys allow a
    /// rotation.
    pub trusted_keys: Vec<String>,
}

/// The limits of one adapter. `None` selects the common limit.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    pub max_memory_bytes: Option<u64>,
    pub deadline_ms: Option<u64>,
}

/// The limits of one call into one adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CallLimits {
    /// All memories and tables together.
    pub memory_bytes: u64,
    /// The time that the call may use.
    pub deadline: Duration,
}

/// The limits of the compilation of one component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CompileLimits {
    pub time: Duration,
    pub memory_bytes: u64,
}

/// The process in which components are compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compiler {
    /// This process, without limits: for tools and tests that compile
    /// components they trust.
    InProcess,
    /// A child of this process, which must be the `hoth` program.
    Subprocess,
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
    /// The bounds of a memory limit: from one MiB, which the shadow stack of a
    /// Rust adapter takes alone, to the address space of a 32-bit guest.
    const MEMORY_BYTES: RangeInclusive<u64> = 1 << 20..=4 << 30;

    /// The bounds of a deadline. A minute is enough, because an adapter
    /// computes a step and does not wait.
    const DEADLINE_MS: RangeInclusive<u64> = 1..=60_000;

    /// The bounds of the time to compile: up to an hour, far beyond any real
    /// component.
    const COMPILE_MS: RangeInclusive<u64> = 100..=3_600_000;

    /// The bounds of the memory to compile. An empty component does not compile
    /// with less than the lower one.
    const COMPILE_MEMORY_BYTES: RangeInclusive<u64> = 64 << 20..=64 << 30;

    /// Makes relative paths relative to `folder`.
    pub fn resolve_against(&mut self, folder: &Path) {
        self.directory = folder.join(&self.directory);
        self.cache_directory = self.cache_directory.as_ref().map(|cache| folder.join(cache));
    }

    /// Returns the limits of a call into the adapter `name`.
    pub(super) fn call_limits(&self, name: &str) -> CallLimits {
        let own = self.limits.get(name);
        let memory_bytes = own.and_then(|own| own.max_memory_bytes);
        let deadline_ms = own.and_then(|own| own.deadline_ms).unwrap_or(self.deadline_ms);
        CallLimits {
            memory_bytes: memory_bytes.unwrap_or(self.max_memory_bytes),
            deadline: Duration::from_millis(deadline_ms),
        }
    }

    /// Returns the largest memory limit of any adapter.
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

    /// Returns the directory of compiled components.
    pub fn cache_directory(&self) -> PathBuf {
        self.cache_directory.clone().unwrap_or_else(|| self.directory.join(".cache"))
    }
}

impl Table for Config {
    fn check(&self, _: &Names<'_>) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut within = |key: &str, value, bounds: &_| {
            problems.extend(Problem::out_of_range(key, value, bounds));
        };
        within("max_memory_bytes", self.max_memory_bytes, &Self::MEMORY_BYTES);
        within("deadline_ms", self.deadline_ms, &Self::DEADLINE_MS);
        for (name, limits) in &self.limits {
            let key = |key| format!("limits.{name}.{key}");
            if let Some(bytes) = limits.max_memory_bytes {
                within(&key("max_memory_bytes"), bytes, &Self::MEMORY_BYTES);
            }
            if let Some(deadline) = limits.deadline_ms {
                within(&key("deadline_ms"), deadline, &Self::DEADLINE_MS);
            }
        }
        within("compile_timeout_ms", self.compile_timeout_ms, &Self::COMPILE_MS);
        within(
            "compile_max_memory_bytes",
            self.compile_max_memory_bytes,
            &Self::COMPILE_MEMORY_BYTES,
        );
        problems
    }
}
