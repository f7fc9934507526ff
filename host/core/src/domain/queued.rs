//! The stored forms of queued messages, which one release writes and the next
//! reads.
//!
//! Every form ever written stays readable. `fixtures/` beside this file holds
//! one message of each form. Fixtures are never edited.

use std::borrow::Cow;

use serde::Deserialize;
use serde::Serialize;
use serde_json::value::RawValue;

use super::AdapterState;
use super::Digest;
use super::Job;
use super::JobKind;
use super::JobTrace;
use super::MESSAGE_BYTES_MAX;
use super::Progress;
use super::Timestamp;
use super::WaitPurpose;
use super::json::is_well_formed;

/// The form that this release writes, as a number that each message holds.
///
/// A key that earlier releases may ignore is no reason for another form: hosts
/// of two releases may share a queue on SQS, and the older one refuses later
/// forms.
const FORM: u32 = 1;

/// A job on a request queue, or on a queue of polls if it is to be resumed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QueuedJob {
    /// The form: see [`FORM`].
    v: u32,
    pub job: Job,
    /// The time at which the job was accepted. The deduplication keys of later
    /// messages contain it, because on SQS several jobs may have one id.
    pub accepted_at: Timestamp,
    /// The number of redrives. Deduplication keys contain it, so that a queue
    /// does not take a redriven message for a repetition.
    #[serde(default)]
    pub generation: u32,
    /// `None` if neither the client nor the host traces the job. Releases
    /// without traces drop it.
    #[serde(
        default,
        deserialize_with = "JobTrace::read",
        serialize_with = "JobTrace::write",
        skip_serializing_if = "Option::is_none"
    )]
    pub trace: Option<JobTrace>,
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
    /// True if the adapter continues its own work: after a checkpoint or a
    /// pause. False for a poll. The key is that of earlier releases, which
    /// treat a pause as a checkpoint.
    #[serde(default, rename = "checkpoint")]
    pub continues: bool,
    /// True for a pause.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pause: bool,
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
    /// Returns the purpose of the wait.
    pub fn purpose(&self) -> WaitPurpose {
        match (self.continues, self.pause) {
            (_, true) => WaitPurpose::Pause,
            (true, false) => WaitPurpose::Checkpoint,
            (false, false) => WaitPurpose::Poll,
        }
    }

    /// Returns true if the run after this wait polls the CSP. After a
    /// checkpoint or a pause the adapter continues its own work instead.
    pub fn is_poll(&self) -> bool {
        match self.purpose() {
            WaitPurpose::Poll => true,
            WaitPurpose::Pause | WaitPurpose::Checkpoint => false,
        }
    }
}

/// An outcome on an outcome queue.
#[derive(Debug, Clone, Serialize)]
pub struct QueuedOutcome {
    /// The form: see [`FORM`].
    v: u32,
    /// The job's id.
    pub id: String,
    pub kind: JobKind,
    /// The traces of the job, whose last run is the one that ended it. `None` if
    /// the job is not traced.
    #[serde(serialize_with = "JobTrace::write", skip_serializing_if = "Option::is_none")]
    pub trace: Option<JobTrace>,
    /// The text that `GET` returns, verbatim.
    pub message: Box<RawValue>,
}

/// A [`QueuedOutcome`] within its text.
#[derive(Deserialize)]
struct StoredOutcome<'a> {
    v: u32,
    #[serde(borrow)]
    id: Cow<'a, str>,
    kind: JobKind,
    #[serde(default, deserialize_with = "JobTrace::read")]
    trace: Option<JobTrace>,
    #[serde(borrow)]
    message: &'a RawValue,
}

impl<'a> StoredOutcome<'a> {
    fn read(text: &'a str) -> Result<Self, Unreadable> {
        read(text, |stored: &Self| stored.v)
    }
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
        Self { v: FORM, job, accepted_at, generation: 0, trace: None, resumption: None }
    }

    /// Returns the same job in these traces.
    pub fn traced(self, trace: Option<JobTrace>) -> Self {
        Self { trace, ..self }
    }

    /// Returns the same job with `resumption` as the point to resume from.
    pub fn waiting(self, resumption: Resumption) -> Self {
        Self { resumption: Some(resumption), ..self }
    }

    /// Returns the text for the queue.
    pub fn encode(&self) -> String {
        write(self, self.job.request.get().len())
    }

    /// Reads a text that [`QueuedJob::encode`] of this or an earlier release
    /// wrote.
    ///
    /// # Errors
    ///
    /// [`Unreadable`]; the message belongs on the dead-letter queue.
    pub fn decode(text: &str) -> Result<Self, Unreadable> {
        let queued = read(text, |queued: &Self| queued.v)?;
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
        Self { v: FORM, id, kind, trace: None, message }
    }

    /// Returns the same outcome in these traces, unless the message would then
    /// be larger than [`MESSAGE_BYTES_MAX`].
    pub fn traced(self, trace: Option<JobTrace>) -> Self {
        let traced = Self { trace, ..self };
        match traced.trace.is_none() || traced.encoded_len() <= MESSAGE_BYTES_MAX {
            true => traced,
            false => Self { trace: None, ..traced },
        }
    }

    /// Returns the text for the queue.
    pub fn encode(&self) -> String {
        write(self, self.message.get().len())
    }

    /// Returns the length of the text for the queue, in bytes.
    pub fn encoded_len(&self) -> usize {
        // All but the message is small, and the message is text already.
        let (id, trace) = (self.id.clone(), self.trace.clone());
        let shell = Self { message: RawValue::NULL.to_owned(), id, trace, ..*self };
        shell.encode().len() - RawValue::NULL.get().len() + self.message.get().len()
    }

    /// Reads a text that [`QueuedOutcome::encode`] of this or an earlier
    /// release wrote.
    ///
    /// # Errors
    ///
    /// [`Unreadable`]; the message belongs on the dead-letter queue.
    pub fn decode(text: &str) -> Result<Self, Unreadable> {
        let StoredOutcome { v, id, kind, trace, message } = StoredOutcome::read(text)?;
        Ok(Self { v, id: id.into_owned(), kind, trace, message: message.to_owned() })
    }

    /// Returns the part of a text that `GET` returns, and the traces of the job.
    /// A client may collect many large outcomes, so this does not copy the
    /// message.
    ///
    /// # Errors
    ///
    /// Those of [`QueuedOutcome::decode`].
    pub fn message_of(text: &str) -> Result<(&str, Option<JobTrace>), Unreadable> {
        StoredOutcome::read(text).map(|stored| (stored.message.get(), stored.trace))
    }
}

/// The room for all of a message but the text that it contains, in bytes: the
/// usual length. A longer one is copied once more.
const FRAME_BYTES: usize = 512;

/// Writes a message that contains a text of this many bytes.
fn write(message: &impl Serialize, contained: usize) -> String {
    let mut text = Vec::with_capacity(contained + FRAME_BYTES);
    serde_json::to_writer(&mut text, message)
        .expect("maps have string keys and writing to memory succeeds");
    String::from_utf8(text).expect("JSON is UTF-8")
}

/// Reads a message, whose form `form` returns, unless it has the form of a later
/// release.
fn read<'a, M: Deserialize<'a>>(text: &'a str, form: fn(&M) -> u32) -> Result<M, Unreadable> {
    let message = serde_json::from_str(text);
    // Nearly every message can be read, so that its form is known then. For
    // others it is read alone: a later form may lack fields that this release
    // requires, and must not be reported as malformed.
    let v = match &message {
        Ok(message) => form(message),
        Err(_) => serde_json::from_str::<Form>(text)?.v,
    };
    if v > FORM {
        return Err(Unreadable::LaterForm(v));
    }
    Ok(message?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::SupportedOperations;
    use crate::domain::request::Known;
    use crate::domain::request::provisioning;

    const ACCEPTED: &str = include_str!("fixtures/job-v1-accepted.json");
    const WITH_CONTENT: &str = include_str!("fixtures/job-v1-content.json");
    const WAITING: &str = include_str!("fixtures/job-v1-waiting.json");
    const PAUSED: &str = include_str!("fixtures/job-v1-paused.json");
    const TRACED: &str = include_str!("fixtures/job-v1-traced.json");
    const OUTCOME: &str = include_str!("fixtures/outcome-v1.json");
    const TRACED_OUTCOME: &str = include_str!("fixtures/outcome-v1-traced.json");

    #[test]
    fn every_form_ever_written_stays_readable() {
        let accepted = QueuedJob::decode(ACCEPTED).unwrap();
        assert_eq!((accepted.job.id.as_str(), accepted.generation), ("job-1", 0));
        assert!(accepted.resumption.is_none());
        let waiting = QueuedJob::decode(WAITING).unwrap();
        let from = waiting.resumption.unwrap();
        assert_eq!((from.state.version, from.state.bytes.as_slice()), (3, b"state".as_slice()));
        assert_eq!((from.waits, from.not_found, from.requests), (4, 2, 5));
        assert_eq!((from.purpose(), from.is_poll()), (WaitPurpose::Checkpoint, false));
        assert!(from.progress.details.is_none());
        let paused = QueuedJob::decode(PAUSED).unwrap().resumption.unwrap();
        assert_eq!((paused.purpose(), paused.is_poll()), (WaitPurpose::Pause, false));
        let details = paused.progress.details.unwrap();
        assert_eq!(details.get(), r#"{"accountId":"111122223333","n":1.10}"#);
        let traced = QueuedJob::decode(TRACED).unwrap().trace.unwrap();
        let last_run = traced.last_run.unwrap();
        assert_eq!(traced.created.trace_id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!((traced.created.state(), traced.created.is_sampled()), ("congo=t61", true));
        assert_eq!(last_run.span_id.to_string(), "b7ad6b7169203331");
        let outcome = QueuedOutcome::decode(OUTCOME).unwrap();
        assert_eq!((outcome.id.as_str(), outcome.kind), ("job-1", JobKind::Provisioning));
        assert_eq!(outcome.trace, None);
        let traced = QueuedOutcome::decode(TRACED_OUTCOME).unwrap().trace.unwrap();
        assert_eq!(traced.created.span_id.to_string(), "00f067aa0ba902b7");
    }

    #[test]
    fn an_invalid_trace_costs_no_job() {
        let trace = TRACED.find("\"trace\":{").unwrap() + "\"trace\":".len();
        let end = trace + TRACED[trace..].find('}').unwrap() + 1;
        for other in ["null", "1", "[]", "{}", r#"{"traceparent":1}"#, r#"{"traceparent":"00-x"}"#]
        {
            let mut text = TRACED.to_owned();
            text.replace_range(trace..end, other);
            let queued = QueuedJob::decode(&text).unwrap();
            assert_eq!((queued.trace, queued.generation), (None, 2), "{text}");
        }
    }

    #[test]
    fn this_release_writes_the_latest_form() {
        assert_eq!(QueuedJob::decode(ACCEPTED).unwrap().encode(), ACCEPTED);
        assert_eq!(QueuedJob::decode(WITH_CONTENT).unwrap().encode(), WITH_CONTENT);
        assert_eq!(QueuedJob::decode(WAITING).unwrap().encode(), WAITING);
        assert_eq!(QueuedJob::decode(PAUSED).unwrap().encode(), PAUSED);
        assert_eq!(QueuedJob::decode(TRACED).unwrap().encode(), TRACED);
        assert_eq!(QueuedOutcome::decode(OUTCOME).unwrap().encode(), OUTCOME);
        assert_eq!(QueuedOutcome::decode(TRACED_OUTCOME).unwrap().encode(), TRACED_OUTCOME);
    }

    #[test]
    fn keys_are_the_same_with_and_without_a_stored_content_digest() {
        let without = QueuedJob::decode(ACCEPTED).unwrap().job;
        let with = QueuedJob::decode(WITH_CONTENT).unwrap().job;
        assert_eq!((without.content.is_some(), with.content.is_some()), (false, true));
        assert_eq!(without.content_digest(), with.content_digest());
        // A CSP may have seen this key from an earlier release.
        for job in [&without, &with] {
            assert_eq!(job.request_key(0), "62386f5482d4627fa55367a0e8659545");
        }
        let posted = with.request.get().as_bytes();
        let csps = BTreeMap::from([(with.csp.clone(), SupportedOperations::default())]);
        let accepted = provisioning(posted, Known::of(&csps), || unreachable!("it has an id"));
        assert_eq!(accepted.unwrap().content, with.content);
    }

    #[test]
    fn the_message_of_an_outcome_is_taken_from_its_text() {
        let outcome = QueuedOutcome::decode(OUTCOME).unwrap();
        assert_eq!(QueuedOutcome::message_of(OUTCOME).unwrap(), (outcome.message.get(), None));
        assert_eq!(outcome.encoded_len(), OUTCOME.len());
        let unusual = QueuedOutcome { id: "\"\u{1}ü".to_owned(), ..outcome };
        assert_eq!(unusual.encoded_len(), unusual.encode().len());
        let traced = QueuedOutcome::decode(TRACED_OUTCOME).unwrap();
        let (message, trace) = QueuedOutcome::message_of(TRACED_OUTCOME).unwrap();
        assert_eq!((message, &trace), (traced.message.get(), &traced.trace));
        assert_eq!(traced.encoded_len(), TRACED_OUTCOME.len());
    }

    #[test]
    fn an_outcome_that_fills_its_message_has_no_trace() {
        let trace = QueuedOutcome::decode(TRACED_OUTCOME).unwrap().trace;
        let of_len = |length: usize| {
            let id = "x".repeat(length);
            QueuedOutcome::new(id, JobKind::Cost, RawValue::NULL.to_owned())
        };
        let shell = of_len(0).encoded_len();
        assert!(of_len(9).traced(trace.clone()).trace.is_some());
        let full = of_len(MESSAGE_BYTES_MAX - shell).traced(trace);
        assert_eq!((full.encoded_len(), full.trace), (MESSAGE_BYTES_MAX, None));
    }

    #[test]
    fn malformed_unaccepted_and_later_messages_are_told_apart() {
        for text in ["oops", "", "null", "[]", r#"{"v":1}"#, r#"{"v":-1}"#] {
            assert!(matches!(QueuedJob::decode(text), Err(Unreadable::Malformed(_))), "{text}");
            assert!(QueuedOutcome::message_of(text).is_err(), "{text}");
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
        for later in [&ACCEPTED.replacen("\"v\":1", "\"v\":2", 1), r#"{"v":2,"other":null}"#] {
            assert!(matches!(QueuedJob::decode(later), Err(Unreadable::LaterForm(2))), "{later}");
        }
    }
}
