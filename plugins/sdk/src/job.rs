//! One accepted request.

use crate::Failure;
use crate::Object;
use crate::Operation;
use crate::Timestamp;
use serde::de::DeserializeOwned;
use uuid::Uuid;

/// One accepted request. It is the same in every call until the job ends,
/// except for `attempt`, `now`, `entropy` and `context`.
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
    /// Values that accompany the job, such as `deadline-ms`; see the WIT.
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

    /// Returns a UUID that is the same in every attempt of this job, and another
    /// one for another job or purpose (version 5, RFC 9562). For CSPs that let
    /// the client name what it creates: a second attempt creates nothing new.
    pub fn uuid(&self, purpose: &str) -> String {
        self.name(purpose).hyphenated().to_string()
    }

    /// Returns a token of 32 hexadecimal digits, derived like
    /// [`uuid`](Self::uuid): a mark on what this job creates, which does not
    /// reveal the job's id.
    pub fn token(&self, purpose: &str) -> String {
        self.name(purpose).simple().to_string()
    }

    fn name(&self, purpose: &str) -> Uuid {
        // The purpose has its own level, so that no id and purpose together
        // can be those of another job.
        let job = Uuid::new_v5(&Uuid::NAMESPACE_OID, self.id.as_bytes());
        Uuid::new_v5(&job, purpose.as_bytes())
    }

    /// Returns the first value with this name that accompanies the job.
    pub fn context(&self, name: &str) -> Option<&str> {
        self.context.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Reads all settings as one type.
    ///
    /// # Errors
    ///
    /// [`Failure`] with code 500 that names the setting, which the operator
    /// must correct.
    pub fn read_settings<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        self.settings
            .read()
            .map_err(|wrong| Failure::broken(format!("the settings cannot be read: {wrong}")))
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

#[cfg(test)]
mod tests {
    use crate::testing;

    #[test]
    fn names_depend_on_the_job_and_the_purpose_alone() {
        let job = |id: &str, attempt: u32| {
            let mut job = testing::job("get-portfolio", "{}").build();
            (job.id, job.attempt, job.entropy) = (id.to_owned(), attempt, (attempt.into(), 0));
            job
        };
        let name = job("j-1", 1).uuid("group");
        assert_eq!(name, job("j-1", 2).uuid("group"));
        assert_ne!(name, job("j-1", 1).uuid("user"));
        assert_ne!(name, job("j-2", 1).uuid("group"));
        assert_eq!(name.len(), 36);
        assert_eq!(name.as_bytes()[14], b'5', "{name}");
        assert_eq!(job("j-1", 1).token("group"), name.replace('-', ""));
    }
}
