//! The `[replay]` table of the configuration.

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::Bounds;

/// What is kept of finished jobs.
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

impl Default for Config {
    fn default() -> Self {
        Self {
            record: true,
            directory: PathBuf::from("data/journals"),
            max_jobs: 100,
            max_bytes: 8 << 20,
            max_age_hours: 168,
            redact: RedactConfig::default(),
        }
    }
}

impl Config {
    /// Paths are relative to `folder`.
    pub fn resolve_against(&mut self, folder: &Path) {
        self.directory = folder.join(&self.directory);
    }

    /// Everything that is wrong with it.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut within = |key: &str, value: u64, min: u64, max: u64| {
            if !(min..=max).contains(&value) {
                problems.push(format!("`{key}` is {value}; it must lie between {min} and {max}"));
            }
        };
        within("max_jobs", self.max_jobs as u64, 1, 10_000);
        within("max_bytes", self.max_bytes, 64 << 10, 1 << 30);
        within("max_age_hours", self.max_age_hours, 1, 8_760);
        problems
    }

    /// How much is kept.
    pub fn bounds(&self) -> Bounds {
        Bounds {
            jobs: self.max_jobs,
            bytes: self.max_bytes,
            age: Duration::from_hours(self.max_age_hours),
        }
    }
}
