//! Fuzz targets for all inputs from outside the host.
//!
//! Each [`Target`] is a function of bytes. It passes them to the part of the
//! host that reads them, and panics if an invariant is broken. The targets run
//! in two ways: with libFuzzer (`cargo xtask fuzz`), which searches inputs that
//! reach new code, and as plain tests, over the inputs in `corpus/` and random
//! variations of them.
//!
//! An input that has broken an invariant is added to the corpus with the fix,
//! under a name that describes it.

mod adapter_step;
pub mod corpus_run;
mod location;
mod queue_message;
mod request_body;
mod signature;

use std::fmt;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use hoth_core::domain::Timestamp;
use hoth_core::workflow::PollPolicy;

/// The time of the tests, 2026-11-27T12:00:00Z: the signed inputs of the corpus
/// were signed then.
const NOW: Timestamp = Timestamp::from_millis(1_795_780_800_000);

/// The polling policy, with the defaults of `hoth.example.toml`.
const POLICY: PollPolicy = PollPolicy {
    initial: Duration::from_secs(5),
    max: Duration::from_secs(60),
    deadline: Duration::from_secs(240 * 3_600),
    async_failure_code: 500,
};

/// A part of the host that reads input from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The body of a POST from any client.
    RequestBody,
    /// The head and body of a request, signed or not, from any client.
    Signature,
    /// The step that an adapter returns, from any component.
    AdapterStep,
    /// A path from an adapter, or a `Location` from a CSP.
    Location,
    /// A message on a queue, from any program that may write to it.
    QueueMessage,
}

impl Target {
    pub const ALL: [Self; 5] =
        [Self::RequestBody, Self::Signature, Self::AdapterStep, Self::Location, Self::QueueMessage];

    /// Returns the name on the command line and of the folder in the corpus.
    pub fn name(self) -> &'static str {
        match self {
            Self::RequestBody => "request-body",
            Self::Signature => "signature",
            Self::AdapterStep => "adapter-step",
            Self::Location => "location",
            Self::QueueMessage => "queue-message",
        }
    }

    /// Returns the target of this name, or `None` if there is none.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.name() == name)
    }

    /// Returns the folder of its inputs.
    pub fn corpus(self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(self.name())
    }

    /// Tries one input.
    ///
    /// # Panics
    ///
    /// Panics if an invariant is broken.
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
