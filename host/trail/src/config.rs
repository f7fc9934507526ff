//! The table `[trail]`.

use std::ops::RangeInclusive;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use hoth_core::config::Names;
use hoth_core::config::Problem;
use hoth_core::config::Table;

/// The bounds of the age: an hour to a year.
const MAX_AGE_HOURS: RangeInclusive<u64> = 1..=8_760;

/// The bounds of the size of the files: 16 MiB, of which the log takes up to
/// half, to 64 GiB.
const MAX_BYTES: RangeInclusive<u64> = (16 << 20)..=(64 << 30);

/// The trail of jobs and acts.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `false` to keep no trail. The state of a job is then known only while a
    /// queue holds its message.
    pub enabled: bool,
    /// The file.
    pub path: PathBuf,
    /// Age at which a job without news and an act are deleted, in hours: 1 to
    /// 8 760.
    pub max_age_hours: u64,
    /// Total size of the file and its log, in bytes: 16 MiB to 64 GiB.
    pub max_bytes: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            path: PathBuf::from("data/trail.db"),
            max_age_hours: 720,
            max_bytes: 256 << 20,
        }
    }
}

impl Config {
    /// Makes the path absolute, relative to `folder`.
    pub fn resolve_against(&mut self, folder: &Path) {
        self.path = folder.join(&self.path);
    }

    /// Returns the age at which a job without news is deleted.
    pub fn max_age(&self) -> Duration {
        Duration::from_hours(self.max_age_hours)
    }
}

impl Table for Config {
    fn check(&self, _: &Names<'_>) -> Vec<Problem> {
        let empty = self.path.as_os_str().is_empty();
        let path = empty.then(|| Problem::new("path", "must name a file"));
        let ranges = [
            Problem::out_of_range("max_age_hours", self.max_age_hours, &MAX_AGE_HOURS),
            Problem::out_of_range("max_bytes", self.max_bytes, &MAX_BYTES),
        ];
        path.into_iter().chain(ranges.into_iter().flatten()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_holds_its_bounds() {
        let keys = |text: &str| -> Vec<String> {
            let config: Config = toml::from_str(text).expect("the table can be read");
            config.check(&Names::default()).into_iter().map(|problem| problem.key).collect()
        };
        for (text, expected) in [
            ("", vec![]),
            ("max_age_hours = 0", vec!["max_age_hours"]),
            ("max_age_hours = 8761", vec!["max_age_hours"]),
            ("max_bytes = 16777215", vec!["max_bytes"]),
            ("max_bytes = 68719476737", vec!["max_bytes"]),
            ("path = \"\"", vec!["path"]),
        ] {
            assert_eq!(keys(text), expected, "{text}");
        }
    }
}
