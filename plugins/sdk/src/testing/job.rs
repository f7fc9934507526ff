//! Jobs for tests.

use crate::Job;
use crate::Object;
use crate::Timestamp;

/// A job in the making; what is not said is filled in.
#[derive(Debug, Clone)]
pub struct JobBuilder(Job);

/// A job with this operation and this input, at 2030-01-02T00:00:00Z.
///
/// # Panics
///
/// When `input` is not a JSON object.
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
    /// With the CSP's settings.
    ///
    /// # Panics
    ///
    /// When `settings` is not a JSON object.
    #[track_caller]
    #[must_use]
    pub fn settings(self, settings: &str) -> Self {
        let settings = Object::parse(settings).expect("the settings are a JSON object");
        Self(Job { settings, ..self.0 })
    }

    /// At another time.
    #[must_use]
    pub fn now(self, now: Timestamp) -> Self {
        Self(Job { now, ..self.0 })
    }

    /// With other randomness.
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
