//! The stored forms of queued messages, which one release writes and the next
//! reads.
//!
//! Every form ever written stays readable. `fixtures/` beside this file holds
//! one message of each form. Fixtures are never edited.

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

/// A job on a request queue, or on a queue of polls if it is to be resumed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QueuedJob {
    /// The form: see [`check_form`].
    v: u32,
    pub job: Job,
    /// The time at which the job was accepted. The deduplication keys of later
    /// messages contain it, because on SQS several jobs may have one id.
    pub accepted_at: Timestamp,
    /// The number of redrives. Deduplication keys contain it, so that a queue
    /// does not take a redriven message for a repetition.
    #[serde(default)]
    pub generation: u32,
    /// `None` until the job first waits.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resumption: Option<Resumption>,
}

/// The point from which a waiting job resumes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumption {
    pub state: AdapterState,
    /// The version of the adapter that wrote `state`.
    pub adapter: Digest,
    pub progress: Progress,
    /// The time of the job's first wait; the polling deadline counts from it.
    pub waiting_since: Timestamp,
    /// The earliest time to resume the job.
    pub due_at: Timestamp,
    /// True for a checkpoint, false for a poll.
    #[serde(default)]
    pub checkpoint: bool,
    /// Checkpoints so far.
    #[serde(default)]
    pub checkpoints: u32,
    /// Waits so far, checkpoints included. Deduplication keys contain it, to
    /// tell one wait of a job from the next.
    pub waits: u32,
    /// Polls in a row that the CSP answered with "not found".
    #[serde(default)]
    pub not_found: u32,
    /// Requests made so far; the ordinal of the next one is part of its
    /// idempotency key.
    #[serde(default)]
    pub requests: u32,
}

impl Resumption {
    /// Returns true if the run after this wait polls the CSP. After a
    /// checkpoint the adapter continues its own work instead.
    pub fn is_poll(&self) -> bool {
        !self.checkpoint
    }
}

/// An outcome on an outcome queue.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QueuedOutcome {
    /// The form: see [`check_form`].
    v: u32,
    /// The job's id.
    pub id: String,
    pub kind: JobKind,
    /// The text that `GET` returns, verbatim.
    pub message: Box<RawValue>,
}

/// A queued message that this release cannot read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("not a queued message: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error("a queued message of form {0}, written by a later release")]
    LaterForm(u32),
    #[error("a queued message whose request the API does not accept")]
    NotAccepted,
}

/// The part that all forms share.
#[derive(Deserialize)]
struct Form {
    v: u32,
}

impl QueuedJob {
    /// Makes the message of a job that has just been accepted.
    pub fn new(job: Job, accepted_at: Timestamp) -> Self {
        Self { v: FORM, job, accepted_at, generation: 0, resumption: None }
    }

    /// Returns the same job with `resumption` as the point to resume from.
    pub fn waiting(self, resumption: Resumption) -> Self {
        Self { resumption: Some(resumption), ..self }
    }

    /// Returns the text for the queue.
    pub fn encode(&self) -> String {
        serde_json::to_string(self).expect("maps have string keys and writing to memory succeeds")
    }

    /// Reads a text that [`QueuedJob::encode`] of this or an earlier release
    /// wrote.
    ///
    /// # Errors
    ///
    /// [`Unreadable`]; the message belongs on the dead-letter queue.
    pub fn decode(text: &str) -> Result<Self, Unreadable> {
        check_form(text)?;
        let queued: Self = serde_json::from_str(text)?;
        // Other programs may write to a queue on SQS. The code behind this
        // point relies on the checks of the API, and panics on a request or a
        // payload that is not an object with readable keys.
        if !is_well_formed(queued.job.kind, &queued.job.request) {
            return Err(Unreadable::NotAccepted);
        }
        Ok(queued)
    }
}

impl QueuedOutcome {
    /// Makes the outcome of the job `id`. `message` is the text that `GET`
    /// returns.
    pub fn new(id: String, kind: JobKind, message: Box<RawValue>) -> Self {
        Self { v: FORM, id, kind, message }
    }

    /// Returns the text for the queue.
    pub fn encode(&self) -> String {
        serde_json::to_string(self).expect("maps have string keys and writing to memory succeeds")
    }

    /// Reads a text that [`QueuedOutcome::encode`] of this or an earlier
    /// release wrote.
    ///
    /// # Errors
    ///
    /// [`Unreadable`]; the message belongs on the dead-letter queue.
    pub fn decode(text: &str) -> Result<Self, Unreadable> {
        check_form(text)?;
        Ok(serde_json::from_str(text)?)
    }
}

/// Refuses the forms of later releases.
fn check_form(text: &str) -> Result<(), Unreadable> {
    // The number is read first and alone. A later form may lack fields that
    // this release requires, and must not be reported as malformed.
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
    fn malformed_unaccepted_and_later_messages_are_told_apart() {
        for text in ["oops", "", "null", "[]", r#"{"v":1}"#, r#"{"v":-1}"#] {
            assert!(matches!(QueuedJob::decode(text), Err(Unreadable::Malformed(_))), "{text}");
            assert!(matches!(QueuedOutcome::decode(text), Err(Unreadable::Malformed(_))), "{text}");
        }
        let payload = ACCEPTED.find("\"payload\":{").unwrap() + "\"payload\":".len();
        let end = payload + ACCEPTED[payload..].find('}').unwrap() + 1;
        // Half a surrogate pair as a key is skipped by a parser that does not
        // need the key, and fails where it is read.
        let others = ["null", "[{}]", r#"{"\ud800":1}"#, r#"{"a":1},"\ud800":1"#];
        for other in others {
            let mut text = ACCEPTED.to_owned();
            text.replace_range(payload..end, other);
            assert!(matches!(QueuedJob::decode(&text), Err(Unreadable::NotAccepted)), "{text}");
        }
        let later = ACCEPTED.replacen("\"v\":1", "\"v\":2", 1);
        assert!(matches!(QueuedJob::decode(&later), Err(Unreadable::LaterForm(2))));
    }
}
