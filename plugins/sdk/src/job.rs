//! One accepted request.

use crate::Failure;
use crate::Object;
use crate::Operation;
use crate::Timestamp;

/// One accepted request. It is the same in every call until the job ends,
/// except for `attempt`, `now` and `entropy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The caller's idempotency key: 1 to 256 characters, the same in every
    /// attempt.
    pub id: String,
    /// The name of the operation; [`Job::operation`] parses it.
    pub operation: String,
    /// The request in HOTH's representation; see `operations.md`.
    pub input: Object,
    /// The CSP's `settings` from the operator's configuration.
    pub settings: Object,
    /// The number of times that this job was received from its queue, from 1.
    pub attempt: u32,
    /// The time of this call.
    pub now: Timestamp,
    /// The only randomness, fresh for every call.
    pub entropy: (u64, u64),
    /// Values that accompany the job, such as `traceparent`.
    pub context: Vec<(String, String)>,
}

impl Job {
    /// Parses the operation, with its ids and its payload.
    ///
    /// # Errors
    ///
    /// [`Failure`] of the class `unsupported` if the operation is newer than
    /// this crate, or a field is missing that the host should have required.
    pub fn operation(&self) -> Result<Operation<'_>, Failure> {
        Operation::of(self)
    }

    /// Returns a setting that is a string, or `None` if it is not configured.
    ///
    /// # Errors
    ///
    /// [`Failure`] with code 500 if the setting has another type, which the
    /// operator must correct.
    pub fn setting(&self, name: &str) -> Result<Option<&str>, Failure> {
        let Some(value) = self.settings.get(name).filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        let wrong = || Failure::broken(format!("settings.{name} must be a text, not {value}"));
        value.as_text().map(Some).ok_or_else(wrong)
    }
}
