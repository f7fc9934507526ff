//! The table `[console]`: the pages for operators, and when they warn.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::session::SessionLimits;
use crate::peers;
use crate::peers::PeerConfig;
use hoth_core::config::Names;
use hoth_core::config::Problem;
use hoth_core::config::Table;

/// The longest banner, in characters: it stands above the login.
const BANNER_CHARS_MAX: usize = 4_000;

/// Bounds of the conditions.
const YEAR_S: u64 = 365 * 86_400;
const HOUR_MS: u64 = 3_600_000;

/// Bounds of a session: an hour without a request, and a day in all, are long
/// for a key that deploys code.
const IDLE_MAX_S: u64 = 3_600;
const TOTAL_MAX_S: u64 = 86_400;

/// The table `[console]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `false` leaves the pages out.
    pub enabled: bool,
    /// A notice on the login page, such as the terms of use.
    pub banner: String,
    /// `true` shows payloads to the role `admin`.
    pub payloads: bool,
    /// A session ends after this time without a request by a person, in
    /// seconds: 1 to 3600.
    pub session_idle_s: u64,
    /// A session ends after this time in any case, in seconds: 1 to 86 400.
    pub session_max_s: u64,
    /// Other hosts, whose jobs the pages show as well.
    pub peers: Vec<PeerConfig>,
    /// The conditions under which the first page warns.
    pub warn: Warn,
}

/// The table `[console.warn]`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Warn {
    /// Outcomes wait longer than this to be collected, in seconds.
    pub uncollected_s: u64,
    /// The first job of a portfolio is in hand, and was accepted longer ago
    /// than this, while others wait behind it. In seconds.
    pub blocked_s: u64,
    /// Calls of a CSP take longer than this on average.
    pub slow_call_ms: u64,
    /// The share of the disk that is free falls below this.
    pub disk_free_percent: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            banner: String::new(),
            payloads: false,
            session_idle_s: 900,
            session_max_s: 28_800,
            peers: Vec::new(),
            warn: Warn::default(),
        }
    }
}

impl Default for Warn {
    fn default() -> Self {
        Self { uncollected_s: 3_600, blocked_s: 600, slow_call_ms: 10_000, disk_free_percent: 10 }
    }
}

impl Config {
    /// Returns the ends of sessions.
    pub(super) fn session_limits(&self) -> SessionLimits {
        SessionLimits {
            idle: Duration::from_secs(self.session_idle_s),
            total: Duration::from_secs(self.session_max_s),
        }
    }

    /// Resolves relative paths against the directory of the configuration file.
    pub fn resolve_against(&mut self, directory: &Path) {
        for peer in &mut self.peers {
            peer.resolve_against(directory);
        }
    }
}

impl Table for Config {
    fn check(&self, _: &Names<'_>) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.banner.chars().count() > BANNER_CHARS_MAX {
            let message = format!("has more than {BANNER_CHARS_MAX} characters");
            problems.push(Problem::new("banner", message));
        }
        problems.extend(peers::check(&self.peers));
        let Warn { uncollected_s, blocked_s, slow_call_ms, disk_free_percent } = self.warn;
        for (key, value, bounds) in [
            ("session_idle_s", self.session_idle_s, 1..=IDLE_MAX_S),
            ("session_max_s", self.session_max_s, 1..=TOTAL_MAX_S),
            ("warn.uncollected_s", uncollected_s, 1..=YEAR_S),
            ("warn.blocked_s", blocked_s, 1..=YEAR_S),
            ("warn.slow_call_ms", slow_call_ms, 1..=HOUR_MS),
            ("warn.disk_free_percent", disk_free_percent, 0..=100),
        ] {
            problems.extend(Problem::out_of_range(key, value, &bounds));
        }
        problems
    }
}
