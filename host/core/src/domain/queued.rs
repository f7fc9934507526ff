//! The forms of queued messages: what one release writes and the next reads.
//!
//! Every form ever written stays readable; `fixtures/` beside this file holds
//! one of each, and none of them is ever edited.

use serde::Deserialize;
use serde::Serialize;
use serde_json::value::RawValue;

use super::AdapterState;
use super::Digest;
use super::Job;
use super::JobKind;
use super::Progress;
use super::Timestamp;
use super::json::is_well_formed;

/// The form that this release writes.
const FORM: u32 = 1;

/// A job on a request queue, or on an async queue when it is to be resumed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QueuedJob {
    v: u32,
    pub job: Job,
    pub accepted_at: Timestamp,
    /// Raised by a redrive, so that a queue does not take the message for a
    /// repetition of itself.
    #[serde(default)]
    pub generation: u32,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resumption: Option<Resumption>,
}

/// From where a waiting job goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumption {
    pub state: AdapterState,
    /// The version of the adapter that wrote `state`.
    pub adapter: Digest,
    pub progress: Progress,
    /// When the job first waited; the polling deadline counts from here.
    pub waiting_since: Timestamp,
    /// Not to be resumed earlier.
    pub due_at: Timestamp,
    /// Whether this is a checkpoint; else it is a poll.
    #[serde(default)]
    pub checkpoint: bool,
    /// Checkpoints so far.
    #[serde(default)]
    pub checkpoints: u32,
    /// Waits so far, checkpoints included. Also tells one wait of a job from
    /// the next, for deduplication.
    pub waits: u32,
    /// How often in a row the CSP has answered that it knows nothing of it.
    #[serde(default)]
    pub not_found: u32,
    /// Requests made so far; the ordinal of the next one is part of its
    /// idempotency key.
    #[serde(default)]
    pub requests: u32,
}

/// An outcome on a result queue.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QueuedOutcome {
    v: u32,
    /// The job's id.
    pub id: String,
    pub kind: JobKind,
    /// What `GET` returns, as it is.
    pub message: Box<RawValue>,
}

/// A queued message that this release cannot read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("not a queued message: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error("a queued message of form {0}, written by a later release")]
    LaterForm(u32),
    #[error("a queued message whose request is none that was ever accepted")]
    NotAccepted,
}

#[derive(Deserialize)]
struct Form {
    v: u32,
}

impl QueuedJob {
    /// A job that has just been accepted.
    pub fn new(job: Job, accepted_at: Timestamp) -> Self {
        Self { v: FORM, job, accepted_at, generation: 0, resumption: None }
    }

    /// The same job, to go on from `resumption`.
    pub fn waiting(self, resumption: Resumption) -> Self {
        Self { resumption: Some(resumption), ..self }
    }

    /// The text that a queue keeps.
    pub fn encode(&self) -> String {
        serde_json::to_string(self).expect("maps have string keys and writing to memory succeeds")
    }

    /// Reads what [`QueuedJob::encode`] of this or an earlier release wrote.
    ///
    /// # Errors
    ///
    /// [`Unreadable`]; the message belongs on the dead-letter queue.
    pub fn decode(text: &str) -> Result<Self, Unreadable> {
        check_form(text)?;
        let queued: Self = serde_json::from_str(text)?;
        // Others may write to a queue of SQS, and the rest of the house takes
        // a job for what the API made of a request.
        if !is_well_formed(queued.job.kind, &queued.job.request) {
            return Err(Unreadable::NotAccepted);
        }
        Ok(queued)
    }
}

impl QueuedOutcome {
    /// The outcome of the job `id`; `message` is what `GET` returns.
    pub fn new(id: String, kind: JobKind, message: Box<RawValue>) -> Self {
        Self { v: FORM, id, kind, message }
    }

    /// The text that a queue keeps.
    pub fn encode(&self) -> String {
        serde_json::to_string(self).expect("maps have string keys and writing to memory succeeds")
    }

    /// Reads what [`QueuedOutcome::encode`] of this or an earlier release wrote.
    ///
    /// # Errors
    ///
    /// [`Unreadable`]; the message belongs on the dead-letter queue.
    pub fn decode(text: &str) -> Result<Self, Unreadable> {
        check_form(text)?;
        Ok(serde_json::from_str(text)?)
    }
}

fn check_form(text: &str) -> Result<(), Unreadable> {
    let Form { v } = serde_json::from_str(text)?;
    if v > FORM {
        return Err(Unreadable::LaterForm(v));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCEPTED: &str = include_str!("fixtures/job-v1-accepted.json");
    const WAITING: &str = include_str!("fixtures/job-v1-waiting.json");
    const OUTCOME: &str = include_str!("fixtures/outcome-v1.json");

    #[test]
    fn every_form_ever_written_stays_readable() {
        let accepted = QueuedJob::decode(ACCEPTED).unwrap();
        assert_eq!((accepted.job.id.as_str(), accepted.generation), ("job-1", 0));
        assert!(accepted.resumption.is_none());
        let waiting = QueuedJob::decode(WAITING).unwrap();
        let from = waiting.resumption.unwrap();
        assert_eq!((from.state.version, from.state.bytes.as_slice()), (3, b"state".as_slice()));
        assert_eq!((from.waits, from.not_found, from.requests), (4, 2, 5));
        let outcome = QueuedOutcome::decode(OUTCOME).unwrap();
        assert_eq!((outcome.id.as_str(), outcome.kind), ("job-1", JobKind::Provisioning));
    }

    #[test]
    fn this_release_writes_the_latest_form() {
        assert_eq!(QueuedJob::decode(ACCEPTED).unwrap().encode(), ACCEPTED);
        assert_eq!(QueuedJob::decode(WAITING).unwrap().encode(), WAITING);
        assert_eq!(QueuedOutcome::decode(OUTCOME).unwrap().encode(), OUTCOME);
    }

    #[test]
    fn what_another_hand_or_a_later_release_wrote_is_told_apart() {
        for text in ["oops", "", "null", "[]", r#"{"v":1}"#, r#"{"v":-1}"#] {
            assert!(matches!(QueuedJob::decode(text), Err(Unreadable::Malformed(_))), "{text}");
            assert!(matches!(QueuedOutcome::decode(text), Err(Unreadable::Malformed(_))), "{text}");
        }
        let payload = ACCEPTED.find("\"payload\":{").unwrap() + "\"payload\":".len();
        let end = payload + ACCEPTED[payload..].find('}').unwrap() + 1;
        for (request, other) in [(payload..end, "null"), (payload..end, "[{}]")] {
            let mut text = ACCEPTED.to_owned();
            text.replace_range(request, other);
            assert!(matches!(QueuedJob::decode(&text), Err(Unreadable::NotAccepted)), "{text}");
        }
        let later = ACCEPTED.replacen("\"v\":1", "\"v\":2", 1);
        assert!(matches!(QueuedJob::decode(&later), Err(Unreadable::LaterForm(2))));
    }
}
