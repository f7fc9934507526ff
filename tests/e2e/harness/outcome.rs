//! The outcome of a job, as ServiceNow collects it.

use std::fmt;
use std::ops::Deref;

use serde::Deserialize;
use serde_json::Value;

/// A message about a job that has ended. Fields without an
/// accessor are read as JSON.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Outcome(Value);

impl Outcome {
    /// Returns a message that was not collected from a host.
    pub fn of(message: &Value) -> Self {
        Self(message.clone())
    }

    /// Returns the status code.
    pub fn code(&self) -> u16 {
        let code = self.0["code"].as_u64().and_then(|code| code.try_into().ok());
        code.unwrap_or_else(|| panic!("no code: {self}"))
    }

    /// Returns the id of the provisioning job.
    pub fn job_id(&self) -> &str {
        let id = self.0["initialSnowRequest"]["jobId"].as_str();
        id.unwrap_or_else(|| panic!("no job id: {self}"))
    }

    /// Returns the request that was made to the CSP.
    pub fn request(&self) -> &Value {
        &self.0["content"]["request"]
    }

    /// Returns the response of the CSP, or the reason why there is none.
    pub fn response(&self) -> &Value {
        &self.0["content"]["response"]
    }

    /// Returns the job's status in the CSP's word, or `null` if there is none.
    pub fn status(&self) -> &Value {
        &self.response()["status"]["status"]
    }
}

impl Deref for Outcome {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.0
    }
}

impl PartialEq<Value> for Outcome {
    fn eq(&self, other: &Value) -> bool {
        self.0 == *other
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
