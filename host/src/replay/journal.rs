//! The stored form of a journal: written by one release and read by the next.
//!
//! A journal holds the redacted inputs of an adapter while one job ran. It holds
//! only the kinds of the adapter's steps: a state is opaque and could contain
//! anything, and both requests and states are produced anew when the inputs are
//! replayed.
//!
//! Every form that was ever written stays readable. `fixtures/` beside this
//! file holds a journal of each form; these files are never edited.

use bytes::Bytes;
use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde_json::value::RawValue;

use hoth_core::domain::CspName;
use hoth_core::domain::Digest;
use hoth_core::domain::Event;
use hoth_core::domain::HttpResponse;
use hoth_core::domain::Step;
use hoth_core::domain::Timestamp;
use hoth_core::domain::TransportCode;
use hoth_core::domain::TransportFailure;
use hoth_core::domain::WaitPurpose;

/// The form that this release writes.
///
/// Form 1 is that of the contract 0.1, whose responses had neither a URL nor a
/// number of tries. It is read with an empty URL and 0 tries, which no live
/// response has. Both versions of a replay get the same, so they stay
/// comparable.
const FORM: u32 = 2;

/// A finished job of one adapter.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Journal {
    v: u32,
    pub adapter: String,
    /// The version that ended the job.
    pub version: Digest,
    pub csp: CspName,
    pub finished_at: Timestamp,
    #[serde(rename = "facts")]
    pub job: JournalJob,
    /// All calls of all runs, in order, without repeated polls.
    pub calls: Vec<JournalCall>,
}

/// The part of the job that is the same in every call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JournalJob {
    pub id: String,
    pub operation: String,
    pub input: Box<RawValue>,
    pub settings: Box<RawValue>,
}

/// One call: the input of the adapter, and the kind of its step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalCall {
    pub attempt: u32,
    pub now: Timestamp,
    pub entropy: (u64, u64),
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub context: Vec<(String, String)>,
    #[serde(rename = "told")]
    pub input: Input,
    #[serde(rename = "took")]
    pub step: StepKind,
}

/// The input of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Input {
    /// The job begins.
    Begin,
    /// A wait is over, and a run begins.
    Timer,
    /// The response to the request of the step before.
    Response(JournalResponse),
    /// The request of the step before has failed.
    Failure {
        /// A [`TransportCode`] as text.
        code: String,
        message: String,
        sent: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last: Option<JournalResponse>,
    },
}

/// A response of a CSP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalResponse {
    pub status: u16,
    #[serde(default)]
    pub url: String,
    #[serde(default)]
    pub tries: u32,
    pub headers: Vec<(String, String)>,
    pub body: JournalBody,
}

/// The body of a response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JournalBody {
    Text(String),
    /// The length of a body that is not text. It cannot be redacted, so nothing
    /// else is kept.
    Bytes(usize),
}

/// The kind of a step: enough to tell if a version takes the same step again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepKind {
    Send {
        method: String,
        target: String,
    },
    Wait {
        #[serde(alias = "checkpoint", deserialize_with = "purpose")]
        purpose: WaitPurpose,
    },
    Done {
        code: u16,
    },
    Fail {
        class: String,
        code: u16,
    },
    /// The call trapped, exceeded a limit, or returned an invalid step.
    #[serde(rename = "broke")]
    Broken,
}

/// Reads a purpose. Form 1 has `true` for a checkpoint and `false` for a poll.
fn purpose<'de, D: Deserializer<'de>>(deserializer: D) -> Result<WaitPurpose, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Stored {
        Checkpoint(bool),
        Purpose(WaitPurpose),
    }
    Ok(match Stored::deserialize(deserializer)? {
        Stored::Checkpoint(true) => WaitPurpose::Checkpoint,
        Stored::Checkpoint(false) => WaitPurpose::Poll,
        Stored::Purpose(purpose) => purpose,
    })
}

/// A file is not a journal that this release can read.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableJournal {
    #[error("not a journal: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error("journal of form {0}, written by a later release")]
    LaterForm(u32),
    #[error("journal with a failure `{0}` that this release does not know")]
    UnknownFailure(String),
}

impl Journal {
    /// Creates a journal of the present form.
    pub fn new(
        adapter: String,
        version: Digest,
        csp: CspName,
        finished_at: Timestamp,
        job: JournalJob,
        calls: Vec<JournalCall>,
    ) -> Self {
        Self { v: FORM, adapter, version, csp, finished_at, job, calls }
    }

    /// Returns the text of the journal's file.
    pub fn encode(&self) -> String {
        serde_json::to_string(self).expect("maps have string keys and writing to memory succeeds")
    }

    /// Reads a journal that [`Journal::encode`] of this or an earlier release
    /// has written.
    ///
    /// # Errors
    ///
    /// Returns [`UnreadableJournal`] if the text is malformed or of a later form.
    /// The caller skips the file.
    pub fn decode(text: &str) -> Result<Self, UnreadableJournal> {
        #[derive(Deserialize)]
        struct Form {
            v: u32,
        }
        // The form alone first: a later form may lack fields of this one, and is
        // to be reported as later and not as malformed.
        let Form { v } = serde_json::from_str(text)?;
        if v > FORM {
            return Err(UnreadableJournal::LaterForm(v));
        }
        let journal: Self = serde_json::from_str(text)?;
        for call in &journal.calls {
            if let Input::Failure { code, .. } = &call.input
                && code.parse::<TransportCode>().is_err()
            {
                return Err(UnreadableJournal::UnknownFailure(code.clone()));
            }
        }
        Ok(journal)
    }

    /// Returns the kind of the last step as one word. With the operation it
    /// tells kinds of jobs apart.
    pub fn ending(&self) -> &str {
        match self.calls.last().map(|call| &call.step) {
            Some(StepKind::Done { .. }) => "done",
            Some(StepKind::Fail { class, .. }) => class,
            Some(StepKind::Broken) => "broke",
            // The host has given up.
            Some(StepKind::Send { .. } | StepKind::Wait { .. }) | None => "given-up",
        }
    }
}

impl Input {
    /// Returns the event that resumes the adapter, or `None` if the job begins.
    pub fn to_event(&self) -> Option<Event> {
        Some(match self {
            Self::Begin => return None,
            Self::Timer => Event::Timer,
            Self::Response(response) => Event::Response(response.to_domain()),
            Self::Failure { code, message, sent, last } => {
                Event::TransportFailure(TransportFailure {
                    // Decoding has refused every other code.
                    code: code.parse().unwrap_or(TransportCode::Reset),
                    message: message.clone(),
                    sent: *sent,
                    last_response: last.as_ref().map(JournalResponse::to_domain),
                })
            }
        })
    }
}

impl Input {
    /// Describes the input in a few words: `response 202`.
    pub fn label(&self) -> String {
        match self {
            Self::Begin => "begin".to_owned(),
            Self::Timer => "after a wait".to_owned(),
            Self::Response(response) => format!("response {}", response.status),
            Self::Failure { code, .. } => format!("failure: {code}"),
        }
    }
}

impl JournalResponse {
    fn to_domain(&self) -> HttpResponse {
        let body = match &self.body {
            JournalBody::Text(text) => Bytes::copy_from_slice(text.as_bytes()),
            // Bytes that are invalid in UTF-8, so that the adapter sees a body
            // that is not text again.
            JournalBody::Bytes(length) => vec![0xff; *length].into(),
        };
        HttpResponse {
            status: self.status,
            url: self.url.clone(),
            tries: self.tries,
            headers: self.headers.clone(),
            body,
        }
    }
}

impl StepKind {
    /// Returns the kind of a step.
    pub fn of(step: &Step) -> Self {
        match step {
            Step::Send(send) => Self::Send {
                method: send.request.method.as_str().to_owned(),
                target: send.request.target.to_string(),
            },
            Step::Wait(wait) => Self::Wait { purpose: wait.purpose },
            Step::Done(outcome) => Self::Done { code: outcome.code },
            Step::Fail(failure) => {
                Self::Fail { class: failure.class.as_str().to_owned(), code: failure.outcome.code }
            }
        }
    }

    /// Returns `true` if both are the same kind of step. Targets may differ,
    /// because redaction changes the names in them.
    pub fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Send { method, .. }, Self::Send { method: other, .. }) => method == other,
            (
                Self::Send { .. }
                | Self::Wait { .. }
                | Self::Done { .. }
                | Self::Fail { .. }
                | Self::Broken,
                _,
            ) => self == other,
        }
    }
}

impl std::fmt::Display for StepKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Send { method, target } => write!(f, "{method} {target}"),
            Self::Wait { purpose } => f.write_str(purpose.as_str()),
            Self::Done { code } => write!(f, "done {code}"),
            Self::Fail { class, code } => write!(f, "{class} {code}"),
            Self::Broken => f.write_str("broke"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM_1: &str = include_str!("fixtures/journal-v1.json");
    const FIXTURE: &str = include_str!("fixtures/journal-v2.json");

    #[test]
    fn a_journal_of_the_contract_0_1_stays_readable() {
        let journal = Journal::decode(FORM_1).unwrap();
        assert_eq!((journal.calls.len(), journal.ending()), (4, "done"));
        assert_eq!(journal.calls[1].step, StepKind::Wait { purpose: WaitPurpose::Poll });
        let Some(Event::Response(response)) = journal.calls[1].input.to_event() else {
            panic!("the second call has a response");
        };
        assert_eq!((response.url.as_str(), response.tries), ("", 0));
        let checkpoint = FORM_1.replacen(r#""checkpoint":false"#, r#""checkpoint":true"#, 1);
        let journal = Journal::decode(&checkpoint).unwrap();
        assert_eq!(journal.calls[1].step, StepKind::Wait { purpose: WaitPurpose::Checkpoint });
    }

    #[test]
    fn every_form_of_a_journal_stays_readable() {
        let journal = Journal::decode(FIXTURE).unwrap();
        assert_eq!((journal.adapter.as_str(), journal.job.id.as_str()), ("atat", "job-1"));
        assert_eq!((journal.calls.len(), journal.ending()), (4, "done"));
        let events: Vec<_> = journal.calls.iter().map(|call| call.input.to_event()).collect();
        assert!(matches!(
            &events[..],
            [
                None,
                Some(Event::Response(HttpResponse { status: 202, .. })),
                Some(Event::Timer),
                Some(Event::TransportFailure(TransportFailure {
                    code: TransportCode::Timeout,
                    ..
                }))
            ]
        ));
        assert_eq!(journal.encode(), FIXTURE.trim_end());
    }

    #[test]
    fn a_malformed_or_later_journal_is_unreadable() {
        for text in ["", "oops", "{}", r#"{"v":1}"#, r#"{"v":-1}"#] {
            assert!(
                matches!(Journal::decode(text), Err(UnreadableJournal::Malformed(_))),
                "{text}"
            );
        }
        let later = FIXTURE.replacen("\"v\":2", "\"v\":3", 1);
        assert!(matches!(Journal::decode(&later), Err(UnreadableJournal::LaterForm(3))));
        let unknown = FIXTURE.replacen("timeout", "eclipse", 1);
        assert!(matches!(
            Journal::decode(&unknown),
            Err(UnreadableJournal::UnknownFailure(word)) if word == "eclipse"
        ));
    }
}
