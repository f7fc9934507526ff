//! The `[replay]` table of the configuration.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;

use super::JournalLimits;
use hoth_core::config::Names;
use hoth_core::config::Problem;
use hoth_core::config::Table;

/// The largest ratio of two times. No run is that much slower by accident.
const SLOWER_RATIO_MAX: f64 = 1_000.0;

/// The limits of journals, and the policy for candidates.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `true` to write journals of finished jobs. Existing journals are replayed
    /// in any case.
    pub record: bool,
    /// The directory of the journals, with a folder for each adapter.
    pub directory: PathBuf,
    /// Journals of one adapter: 1 to 10 000.
    pub max_jobs: usize,
    /// Total size of the journals of one adapter in bytes: 64 KiB to 1 GiB.
    pub max_bytes: u64,
    /// Age at which a journal is deleted, in hours: 1 to 8 760.
    pub max_age_hours: u64,
    /// The policy for adapters that are not in `policies`.
    pub policy: Policy,
    /// Policies for single adapters, by name.
    pub policies: BTreeMap<String, Policy>,
    /// The ratio to the active version's time above which a candidate counts as
    /// slower: 1.1 to 1 000.
    pub slower_ratio: f64,
    /// Longest duration of one replay, in milliseconds: 100 to 60 000.
    pub max_ms: u64,
    /// Keys that adapt the redaction to the site.
    pub redact: RedactConfig,
}

/// The table `[replay.redact]`: keys in addition to the built-in ones, in any
/// spelling: `dodId`, `dod_id` and `DOD-ID` are equal.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedactConfig {
    /// Keys of personal data.
    pub personal: Vec<String>,
    /// Keys of secrets.
    pub secret: Vec<String>,
    /// Built-in keys whose values may be kept.
    pub keep: Vec<String>,
}

/// The policy of the replay gate for a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// No replay, except for a dry run.
    Off,
    /// The candidate is activated at once; a replay follows, and differences
    /// are reported.
    Warn,
    /// The candidate is activated only if the replay shows no difference.
    Block,
}

impl Policy {
    /// Returns the name in the configuration.
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
    /// Makes the directory absolute, relative to `folder`.
    pub fn resolve_against(&mut self, folder: &Path) {
        self.directory = folder.join(&self.directory);
    }

    /// Returns the policy for candidates of `adapter`.
    pub fn policy(&self, adapter: &str) -> Policy {
        self.policies.get(adapter).copied().unwrap_or(self.policy)
    }

    /// Returns the limits of the journals of one adapter.
    pub fn limits(&self) -> JournalLimits {
        JournalLimits {
            jobs: self.max_jobs,
            bytes: self.max_bytes,
            age: Duration::from_hours(self.max_age_hours),
        }
    }
}

impl Table for Config {
    fn check(&self, names: &Names<'_>) -> Vec<Problem> {
        let bounded = [
            ("max_jobs", self.max_jobs as u64, 1..=10_000),
            ("max_bytes", self.max_bytes, 64 << 10..=1 << 30),
            ("max_age_hours", self.max_age_hours, 1..=8_760),
            ("max_ms", self.max_ms, 100..=60_000),
        ];
        let problem = |(key, value, bounds)| Problem::out_of_range(key, value, &bounds);
        let mut problems: Vec<_> = bounded.into_iter().filter_map(problem).collect();
        // No range contains a NaN.
        if !(1.1..=SLOWER_RATIO_MAX).contains(&self.slower_ratio) {
            problems.push(Problem::new(
                "slower_ratio",
                format!(
                    "must be 1.1 to {SLOWER_RATIO_MAX}, because two runs never take equally long"
                ),
            ));
        }
        for name in self.policies.keys() {
            if !names.adapters.contains(&name.as_str()) {
                problems.push(Problem::new(
                    format!("policies.{name}"),
                    format!("no CSP uses an adapter `{name}`"),
                ));
            }
        }
        problems
    }
}
