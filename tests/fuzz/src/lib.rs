//! What strangers can hand to HOTH, tried with inputs that nobody thought of.
//!
//! Each [`Target`] is a function of bytes: it gives them to the part of the
//! host that reads them, and panics where a promise is broken. They are run
//! in two ways: by libFuzzer (`cargo xtask fuzz`), which looks for inputs that
//! lead to new code, and by plain tests, over the inputs in `corpus/` and
//! blind variations of them.
//!
//! An input that broke a promise goes into the corpus once it is mended, under
//! a name that says what it was.

mod adapter_step;
mod location;
mod queue_message;
mod request_body;
mod signature;
pub mod tour;

use std::fmt;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use hoth_core::domain::Timestamp;
use hoth_core::workflow::PollPolicy;

/// 2026-11-27T12:00:00Z; the signed inputs of the corpus were signed then.
const NOW: Timestamp = Timestamp::from_millis(1_795_780_800_000);

/// The defaults of `hoth.example.toml`.
const POLICY: PollPolicy = PollPolicy {
    initial: Duration::from_secs(5),
    max: Duration::from_secs(60),
    deadline: Duration::from_secs(240 * 3_600),
    async_failure_code: 500,
};

/// One part of the host that reads what others wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The body of a POST, by any client.
    RequestBody,
    /// A request's head and body, signed or not, by any client.
    Signature,
    /// What an adapter wants, by any component.
    AdapterStep,
    /// A path of an adapter, or a `Location` of a CSP.
    Location,
    /// A message on a queue, by whoever may write to it.
    QueueMessage,
}

impl Target {
    pub const ALL: [Self; 5] =
        [Self::RequestBody, Self::Signature, Self::AdapterStep, Self::Location, Self::QueueMessage];

    /// The name on the command line, and of the folder in the corpus.
    pub fn name(self) -> &'static str {
        match self {
            Self::RequestBody => "request-body",
            Self::Signature => "signature",
            Self::AdapterStep => "adapter-step",
            Self::Location => "location",
            Self::QueueMessage => "queue-message",
        }
    }

    /// The target of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.name() == name)
    }

    /// Where its inputs are kept.
    pub fn corpus(self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(self.name())
    }

    /// Tries one input.
    ///
    /// # Panics
    ///
    /// Where a promise is broken.
    pub fn run(self, input: &[u8]) {
        match self {
            Self::RequestBody => request_body::run(input),
            Self::Signature => signature::run(input),
            Self::AdapterStep => adapter_step::run(input),
            Self::Location => location::run(input),
            Self::QueueMessage => queue_message::run(input),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
