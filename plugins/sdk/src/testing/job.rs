//! Jobs for tests.

use crate::Job;
use crate::Object;
use crate::Timestamp;

/// A builder for jobs, with defaults for every other field.
#[derive(Debug, Clone)]
pub struct JobBuilder(Job);

/// Creates a job with this operation and input, at 2030-01-02T00:00:00Z.
///
/// # Panics
///
/// Panics if `input` is not a JSON object.
#[track_caller]
pub fn job(operation: &str, input: &str) -> JobBuilder {
    JobBuilder(Job {
        id: "job-1".to_owned(),
        operation: operation.to_owned(),
        input: Object::parse(input).expect("the input is a JSON object"),
        settings: Object::new(),
        attempt: 1,
        now: Timestamp::from_millis(1_893_542_400_000),
        entropy: (1, 2),
        context: Vec::new(),
    })
}

impl JobBuilder {
    /// Sets the CSP's settings.
    ///
    /// # Panics
    ///
    /// Panics if `settings` is not a JSON object.
    #[track_caller]
    #[must_use]
    pub fn settings(self, settings: &str) -> Self {
        let settings = Object::parse(settings).expect("the settings are a JSON object");
        Self(Job { settings, ..self.0 })
    }

    /// Sets the time.
    #[must_use]
    pub fn now(self, now: Timestamp) -> Self {
        Self(Job { now, ..self.0 })
    }

    /// Sets the randomness.
    #[must_use]
    pub fn entropy(self, entropy: (u64, u64)) -> Self {
        Self(Job { entropy, ..self.0 })
    }

    pub fn build(self) -> Job {
        self.0
    }
}

impl From<JobBuilder> for Job {
    fn from(builder: JobBuilder) -> Self {
        builder.0
    }
}
