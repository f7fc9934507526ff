//! Settings of the backend on Amazon SQS, and the names of its queues.
//!
//! Every build reads and checks the settings, so that a build without the
//! backend can report that the backend is missing.

use url::Url;

use crate::name::QueueName;
use hoth_core::config::Names;
use hoth_core::config::Problem;
use hoth_core::config::Table;

/// The longest name of an SQS queue, `.fifo` included (AWS documentation,
/// "Amazon SQS queue quotas").
const NAME_LEN_MAX: usize = 80;

/// Settings of the SQS backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqsConfig {
    /// The region. `None` leaves it to the environment, a profile or the
    /// machine.
    pub region: Option<String>,
    /// The endpoint. `None` selects AWS's own endpoint of the region.
    pub endpoint_url: Option<Url>,
    /// The proxy for calls by https, to SQS and to the services that give
    /// credentials. They use CONNECT, so the proxy sees names and ports only.
    pub proxy: Option<Url>,
    /// The beginning of every queue's name.
    pub prefix: String,
}

impl SqsConfig {
    /// Returns the name on SQS of the queue that holds the messages.
    #[cfg(feature = "sqs")]
    pub(crate) fn messages_of(&self, queue: &QueueName) -> String {
        format!("{}{queue}.fifo", self.prefix)
    }

    /// Returns the name on SQS of the queue that holds the dead letters. No
    /// queue of messages has a name that begins like this.
    pub(crate) fn dead_letters_of(&self, queue: &QueueName) -> String {
        format!("{}dead-{queue}.fifo", self.prefix)
    }
}

impl Table for SqsConfig {
    fn check(&self, names: &Names<'_>) -> Vec<Problem> {
        let mut problems = Vec::new();
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if !self.prefix.bytes().all(plain) {
            problems.push(Problem::new("prefix", "may have letters, digits, `-` and `_`"));
        }
        let is_origin = |url: &Url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && (url.username(), url.password()) == ("", None)
                && (url.path(), url.query(), url.fragment()) == ("/", None, None)
        };
        if self.proxy.as_ref().is_some_and(|proxy| !is_origin(proxy)) {
            let message = "must be `http://` or `https://` with a host and a port alone";
            problems.push(Problem::new("proxy", message));
        }
        // The name for dead letters is the longer one of each pair.
        let queues = QueueName::all(names.csps.iter().copied());
        let longest = queues.iter().map(|name| self.dead_letters_of(name)).max_by_key(String::len);
        if let Some(name) = longest.filter(|name| name.len() > NAME_LEN_MAX) {
            problems.push(Problem::new(
                "prefix",
                format!(
                    "is too long: an SQS queue name has at most {NAME_LEN_MAX} characters, and \
                     `{name}` has {}",
                    name.len()
                ),
            ));
        }
        problems
    }
}
