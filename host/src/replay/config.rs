//! The `[replay]` table of the configuration.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;

use super::JournalLimits;

/// What is kept of finished jobs, and what a candidate must show on them.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether journals are written. Those that are there count in any case.
    pub record: bool,
    /// Where they are kept, a folder for each adapter.
    pub directory: PathBuf,
    /// Journals of one adapter: 1 to 10 000.
    pub max_jobs: usize,
    /// What they may take, in bytes, for each adapter: 64 KiB to 1 GiB.
    pub max_bytes: u64,
    /// How long one is kept: 1 to 8 760.
    pub max_age_hours: u64,
    /// What the gate does, unless `policies` says otherwise.
    pub policy: Policy,
    /// The same for single adapters, by name.
    pub policies: BTreeMap<String, Policy>,
    /// How many times the active version's time a candidate may take: 1.1 or
    /// more.
    pub slower_ratio: f64,
    /// How long one replay may take in all, in milliseconds: 100 to 60 000.
    pub max_ms: u64,
    pub redact: RedactConfig,
}

/// `[replay.redact]`: keys, beside those that are known, in any spelling:
/// `dodId`, `dod_id` and `DOD-ID` are one.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedactConfig {
    /// What stands under them is about a person.
    pub personal: Vec<String>,
    /// What stands under them opens doors.
    pub secret: Vec<String>,
    /// What stands under them may be kept, though the key is a known one.
    pub keep: Vec<String>,
}

/// What the gate does with a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// It is not replayed, unless somebody asks.
    Off,
    /// It serves at once, and what it does otherwise than the version before
    /// is reported.
    Warn,
    /// It serves only when it does nothing otherwise.
    Block,
}

impl Policy {
    /// The word of the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Warn => "warn",
            Self::Block => "block",
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            record: true,
            directory: PathBuf::from("data/journals"),
            max_jobs: 100,
            max_bytes: 8 << 20,
            max_age_hours: 168,
            policy: Policy::Warn,
            policies: BTreeMap::new(),
            slower_ratio: 2.0,
            max_ms: 10_000,
            redact: RedactConfig::default(),
        }
    }
}

impl Config {
    /// Paths are relative to `folder`.
    pub fn resolve_against(&mut self, folder: &Path) {
        self.directory = folder.join(&self.directory);
    }

    /// Everything that is wrong with it; `adapters` are the names in use.
    pub fn problems<'a>(&self, adapters: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let mut problems = Vec::new();
        let mut within = |key: &str, value: u64, min: u64, max: u64| {
            if !(min..=max).contains(&value) {
                problems.push(format!("`{key}` is {value}; it must lie between {min} and {max}"));
            }
        };
        within("max_jobs", self.max_jobs as u64, 1, 10_000);
        within("max_bytes", self.max_bytes, 64 << 10, 1 << 30);
        within("max_age_hours", self.max_age_hours, 1, 8_760);
        within("max_ms", self.max_ms, 100, 60_000);
        if !(self.slower_ratio >= 1.1 && self.slower_ratio.is_finite()) {
            problems
                .push("`slower_ratio` must be 1.1 or more: two runs never take the same".into());
        }
        let adapters: Vec<&str> = adapters.into_iter().collect();
        for name in self.policies.keys() {
            if !adapters.contains(&name.as_str()) {
                problems.push(format!("`policies.{name}`: no CSP names an adapter `{name}`"));
            }
        }
        problems
    }

    /// What the gate does with candidates for `adapter`.
    pub fn policy(&self, adapter: &str) -> Policy {
        self.policies.get(adapter).copied().unwrap_or(self.policy)
    }

    /// How much is kept.
    pub fn limits(&self) -> JournalLimits {
        JournalLimits {
            jobs: self.max_jobs,
            bytes: self.max_bytes,
            age: Duration::from_hours(self.max_age_hours),
        }
    }
}
