//! One accepted request.

use crate::Failure;
use crate::Object;
use crate::Operation;
use crate::Timestamp;

/// One accepted request, the same at every call until it ends, but for
/// `attempt`, `now` and `entropy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The caller's idempotency key: 1 to 256 characters, the same on every
    /// attempt.
    pub id: String,
    /// The word of the operation; [`Job::operation`] reads it.
    pub operation: String,
    /// The request in HOTH's representation; see `operations.md`.
    pub input: Object,
    /// The CSP's `settings` from the operator's configuration.
    pub settings: Object,
    /// How often this job has been taken from its queue, from 1.
    pub attempt: u32,
    /// The time of this call.
    pub now: Timestamp,
    /// Fresh for every call; the only randomness.
    pub entropy: (u64, u64),
    /// Facts that travel with the job, such as `traceparent`.
    pub context: Vec<(String, String)>,
}

impl Job {
    /// What is asked for, with its ids and its payload.
    ///
    /// # Errors
    ///
    /// [`Failure`] of the class `unsupported`, where the operation is newer
    /// than this crate, or a field is missing that the host should have asked
    /// for.
    pub fn operation(&self) -> Result<Operation<'_>, Failure> {
        Operation::of(self)
    }

    /// A setting that is a text.
    ///
    /// # Errors
    ///
    /// [`Failure`] with code 500, where it is something else: that is the
    /// operator's to mend.
    pub fn setting(&self, name: &str) -> Result<Option<&str>, Failure> {
        let Some(value) = self.settings.get(name).filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        let wrong = || Failure::broken(format!("settings.{name} must be a text, not {value}"));
        value.as_text().map(Some).ok_or_else(wrong)
    }
}
