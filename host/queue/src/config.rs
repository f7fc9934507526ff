//! The table `[queue]`: the backend that stores messages.

use std::num::NonZeroU64;
use std::ops::RangeInclusive;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use url::Url;

use crate::embedded::LOG_MAX_BYTES;
use crate::sqs_config::SqsConfig;
use hoth_core::config::Names;
use hoth_core::config::Problem;
use hoth_core::config::Table;
use hoth_platform::loopback::points_at_loopback;

/// The bounds of the log's size: from four times the size that it has in quiet
/// operation, so that an ordinary reader refuses no message, to a terabyte.
const LOG_BYTES: RangeInclusive<u64> = 16 << 20..=1 << 40;

/// The default prefix of the names of SQS queues.
const DEFAULT_PREFIX: &str = "hoth-";

/// The table, with the keys of all backends. Keys of another backend than the
/// selected one are refused.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    backend: Choice,
    /// The SQLite file of the embedded backend.
    path: Option<PathBuf>,
    /// The size of its log from which on new messages are refused.
    max_log_bytes: Option<NonZeroU64>,
    region: Option<String>,
    endpoint_url: Option<Url>,
    proxy: Option<Url>,
    prefix: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Choice {
    #[default]
    Embedded,
    Sqs,
}

/// The selected backend, with its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backend {
    /// One SQLite file, for one host.
    Embedded { path: PathBuf, max_log_bytes: u64 },
    /// Amazon SQS, for several hosts.
    Sqs(SqsConfig),
}

impl Config {
    /// Returns the selected backend, with its settings.
    pub fn backend(&self) -> Backend {
        match self.backend {
            Choice::Embedded => Backend::Embedded {
                path: self.path(),
                max_log_bytes: self.max_log_bytes.map_or(LOG_MAX_BYTES, NonZeroU64::get),
            },
            Choice::Sqs => Backend::Sqs(self.sqs()),
        }
    }

    fn path(&self) -> PathBuf {
        self.path.clone().unwrap_or_else(|| PathBuf::from("data/hoth.db"))
    }

    fn sqs(&self) -> SqsConfig {
        SqsConfig {
            region: self.region.clone(),
            endpoint_url: self.endpoint_url.clone(),
            proxy: self.proxy.clone(),
            prefix: self.prefix.clone().unwrap_or_else(|| DEFAULT_PREFIX.to_owned()),
        }
    }

    /// Resolves a relative path against `directory`, that of the configuration
    /// file.
    pub fn resolve_against(&mut self, directory: &Path) {
        match self.backend {
            Choice::Embedded => self.path = Some(directory.join(self.path())),
            Choice::Sqs => {}
        }
    }

    fn check_embedded(&self) -> Vec<Problem> {
        let foreign = [
            ("region", self.region.is_some()),
            ("endpoint_url", self.endpoint_url.is_some()),
            ("proxy", self.proxy.is_some()),
            ("prefix", self.prefix.is_some()),
        ];
        // Refused and not ignored: an operator who wrote such a key expects
        // SQS.
        let foreign = foreign.into_iter().filter(|(_, given)| *given);
        let foreign = foreign.map(|(key, _)| Problem::new(key, "requires `backend = \"sqs\"`"));
        let log_bytes = self.max_log_bytes.map_or(LOG_MAX_BYTES, NonZeroU64::get);
        let directory = self.path.as_ref().filter(|path| path.is_dir()).map(|path| {
            let message =
                format!("{} is a directory; name a file in it, such as hoth.db", path.display());
            Problem::new("path", message)
        });
        let log_bytes = Problem::out_of_range("max_log_bytes", log_bytes, &LOG_BYTES);
        foreign.chain(directory).chain(log_bytes).collect()
    }

    fn check_sqs(&self, names: &Names<'_>) -> Vec<Problem> {
        let mut problems = self.sqs().check(names);
        if !cfg!(feature = "sqs") {
            problems.push(Problem::new(
                "backend",
                "this build of hoth has no SQS backend; build it with the feature `sqs`",
            ));
        }
        if self.path.is_some() {
            problems.push(Problem::new("path", "requires `backend = \"embedded\"`"));
        }
        if self.max_log_bytes.is_some() {
            let message = "requires `backend = \"embedded\"`";
            problems.push(Problem::new("max_log_bytes", message));
        }
        if self.region.as_ref().is_some_and(String::is_empty) {
            let message = "must not be empty; omit it to use the environment's region";
            problems.push(Problem::new("region", message));
        }
        // Messages hold personal data, so only this machine is reached in clear
        // text.
        let insecure = |url: &&Url| {
            url.scheme() != "https" && !(url.scheme() == "http" && points_at_loopback(url))
        };
        if self.endpoint_url.as_ref().filter(insecure).is_some() {
            let message = "must be https, unless it points at loopback";
            problems.push(Problem::new("endpoint_url", message));
        }
        problems
    }
}

impl Table for Config {
    fn check(&self, names: &Names<'_>) -> Vec<Problem> {
        match self.backend {
            Choice::Embedded => self.check_embedded(),
            Choice::Sqs => self.check_sqs(names),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(table: &str) -> String {
        let csp = "CSP_A".parse().expect("a valid name");
        let names = Names { csps: vec![&csp], ..Names::default() };
        match toml::from_str::<Config>(table) {
            Ok(queue) => {
                let problems = queue.check(&names);
                problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; ")
            }
            Err(error) => error.message().to_owned(),
        }
    }

    #[test]
    fn every_backend_has_its_own_keys() {
        for good in [
            "",
            "backend = 'embedded'\npath = 'a.db'\nmax_log_bytes = 16777216",
            "backend = 'sqs'",
            "backend = 'sqs'\nregion = 'us-gov-west-1'\nprefix = ''",
            "backend = 'sqs'\nendpoint_url = 'http://127.0.0.1:4566'",
            "backend = 'sqs'\nproxy = 'http://proxy.example.com:3128'",
            "backend = 'sqs'\nendpoint_url = 'https://vpce-1.sqs.us-east-1.vpce.amazonaws.com'",
        ] {
            assert_eq!(problems(good), "", "{good}");
        }
        for (bad, expected) in [
            ("backend = 'kafka'", "unknown variant `kafka`, expected `embedded` or `sqs`"),
            ("prefix = 'x'", "prefix: requires `backend = \"sqs\"`"),
            ("backend = 'sqs'\npath = 'a.db'", "path: requires `backend = \"embedded\"`"),
            (
                "backend = 'sqs'\nmax_log_bytes = 1",
                "max_log_bytes: requires `backend = \"embedded\"`",
            ),
            (
                "backend = 'sqs'\nregion = ''",
                "region: must not be empty; omit it to use the environment's region",
            ),
            (
                "backend = 'sqs'\nendpoint_url = 'http://sqs.example.com'",
                "endpoint_url: must be https, unless it points at loopback",
            ),
            (
                "backend = 'sqs'\nproxy = 'socks5://proxy.example.com'",
                "proxy: must be `http://` or `https://` with a host and a port alone",
            ),
            (
                "backend = 'sqs'\nproxy = 'http://user:word@proxy.example.com'",
                "proxy: must be `http://` or `https://` with a host and a port alone",
            ),
            ("backend = 'sqs'\nprefix = 'a.b'", "prefix: may have letters, digits, `-` and `_`"),
            (
                "backend = 'sqs'\nprefix = 'hoth-in-the-account-that-all-of-us-share--'",
                "prefix: is too long: an SQS queue name has at most 80 characters, and \
                 `hoth-in-the-account-that-all-of-us-share--dead-async-provisioning-jobs-CSP_A.fifo` \
                 has 81",
            ),
        ] {
            assert_eq!(problems(bad), expected, "{bad}");
        }
    }
}
