//! The status of one job: where it is, and what comes next.
//!
//! The queue says exactly where a job's message is; the trail says what
//! happened to it, and where a job was whose message is gone. Either may be
//! missing: the trail may be off, and Amazon SQS cannot be looked into.

mod sentence;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;
use serde_json::value::RawValue;
use tracing::debug;

use hoth_core::domain::CspName;
use hoth_core::domain::JobKind;
use hoth_core::domain::Operation;
use hoth_core::domain::PortfolioId;
use hoth_core::domain::QueuedJob;
use hoth_core::domain::QueuedOutcome;
use hoth_core::domain::Timestamp;
use hoth_core::domain::event_id;
use hoth_core::domain::event_text;
use hoth_core::domain::rfc3339;
use hoth_platform::clock::Clock;
use hoth_queue::Location;
use hoth_queue::MessageLocation;
use hoth_queue::MessageState;
use hoth_queue::Queue;
use hoth_queue::QueueError;
use hoth_queue::Stage;
use hoth_trail::JobRow;
use hoth_trail::JobState;
use hoth_trail::Trail;

/// The word for the position of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StatusWord {
    Queued,
    Held,
    Running,
    Waiting,
    Succeeded,
    Failed,
    Collected,
    Dead,
}

impl StatusWord {
    /// All words.
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::Held,
        Self::Running,
        Self::Waiting,
        Self::Succeeded,
        Self::Failed,
        Self::Collected,
        Self::Dead,
    ];
}

/// The cause for which the jobs of a CSP are held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CspHold {
    /// An operator has paused it.
    Paused,
    /// Its circuit breaker is open.
    Down,
    /// A secret cannot be read.
    Secret,
    /// No version of its adapter is active.
    NoAdapter,
    /// It is not in the configuration of this host.
    Unknown,
    /// An operator has drained the only host.
    Drained,
}

impl CspHold {
    /// Returns the word of the admin API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::Down => "down",
            Self::Secret => "secret",
            Self::NoAdapter => "no-adapter",
            Self::Unknown => "unknown-csp",
            Self::Drained => "drained",
        }
    }

    /// Returns the cause in a few words, for a list.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Paused => "CSP paused",
            Self::Down => "CSP does not respond",
            Self::Secret => "no secret",
            Self::NoAdapter => "no adapter",
            Self::Unknown => "CSP not configured",
            Self::Drained => "host drained",
        }
    }
}

/// The cause for which one job is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    Csp(CspHold),
    /// This many jobs of its portfolio come first.
    Earlier(u64),
}

/// A look-up of the state of a CSP. Returns `None` if its jobs run.
pub type HoldLookup = dyn Fn(&CspName) -> Option<CspHold> + Send + Sync;

/// Finds the status of jobs.
#[derive(Clone)]
pub struct Statuses {
    pub queue: Arc<dyn Queue>,
    pub trail: Trail,
    pub clock: Clock,
    pub holds: Arc<HoldLookup>,
    /// The time after its first wait at which a job is given up.
    pub deadline: Duration,
    /// The name of this host, for backends that only show what a host has seen.
    pub host: String,
}

/// The status of a job, as clients and operators read it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation_type: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_csp_name: Option<CspName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub portfolio_id: Option<String>,
    pub state: StatusWord,
    #[serde(with = "rfc3339")]
    pub since: Timestamp,
    #[serde(with = "rfc3339::option", skip_serializing_if = "Option::is_none", default)]
    pub accepted_at: Option<Timestamp>,
    /// A sentence for a person.
    pub detail: String,
    /// The requests to the CSP so far.
    pub requests: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<ProgressView>,
    #[serde(with = "rfc3339::option", skip_serializing_if = "Option::is_none", default)]
    pub next_look_at: Option<Timestamp>,
    #[serde(with = "rfc3339::option", skip_serializing_if = "Option::is_none", default)]
    pub deadline_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<OutcomeView>,
    /// The hosts that have seen the job, where no queue can be looked into.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_by: Option<Vec<String>>,
}

/// The last report of a CSP.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProgressView {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    pub note: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Box<RawValue>>,
}

/// The outcome of a job.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutcomeView {
    /// `null` if it is not known.
    pub code: Option<u16>,
    #[serde(with = "rfc3339::option", skip_serializing_if = "Option::is_none", default)]
    pub at: Option<Timestamp>,
    #[serde(with = "rfc3339::option", skip_serializing_if = "Option::is_none", default)]
    pub collected_at: Option<Timestamp>,
}

impl Statuses {
    /// Returns the status of a job, or `None` if neither queue nor trail knows
    /// it.
    ///
    /// # Errors
    ///
    /// Returns an error if the queue cannot be read.
    pub async fn find(&self, kind: JobKind, id: &str) -> Result<Option<JobStatus>, QueueError> {
        let row = self.row(kind, id).await;
        let located = match self.locate_by(kind, id, row.as_ref()).await {
            Err(QueueError::NotOffered(_)) => None,
            located => Some(located?),
        };
        let now = self.clock.now();
        Ok(match located {
            Some(location) => self.of_location(kind, id, location, row, now),
            None => row.map(|row| self.of_row(row, vec![self.host.clone()])),
        })
    }

    /// Returns the row of a job in the trail of this host, or `None` if there
    /// is none or the trail does not answer.
    pub async fn row(&self, kind: JobKind, id: &str) -> Option<JobRow> {
        // A trail that cannot be read must not hide what the queue knows.
        self.trail.job_row(kind, id).await.unwrap_or_else(|error| {
            debug!(error = &error as &dyn std::error::Error, "The trail does not answer");
            None
        })
    }

    /// Finds the messages of a job.
    ///
    /// # Errors
    ///
    /// Returns an error if the queue cannot be read or looked into.
    pub async fn locate(&self, kind: JobKind, id: &str) -> Result<Location, QueueError> {
        let row = self.row(kind, id).await;
        self.locate_by(kind, id, row.as_ref()).await
    }

    /// Returns a sentence about what holds the jobs of a CSP back, or `None` if
    /// they run.
    pub fn hold_of(&self, csp: &CspName) -> Option<String> {
        (self.holds)(csp).map(|hold| sentence::held(Some(csp), Hold::Csp(hold)))
    }

    async fn locate_by(
        &self,
        kind: JobKind,
        id: &str,
        row: Option<&JobRow>,
    ) -> Result<Location, QueueError> {
        let portfolio: Option<PortfolioId> = row
            .and_then(|row| row.portfolio_id.as_deref())
            .and_then(|portfolio| portfolio.parse().ok());
        self.queue.locate(kind, id, portfolio.as_ref()).await
    }

    fn of_location(
        &self,
        kind: JobKind,
        id: &str,
        location: Location,
        row: Option<JobRow>,
        now: Timestamp,
    ) -> Option<JobStatus> {
        let Location { message, dead_letter, collected } = location;
        let mut status = match &row {
            Some(row) => facts_of_row(row),
            None => facts_of_id(kind, id),
        };
        let row = row.as_ref();
        let code = |text: &str| row.and_then(|row| row.code).or_else(|| code_of(text));
        if let Some((_, letter)) = dead_letter {
            if let Ok(queued) = QueuedJob::decode(&letter.body) {
                add_job(&mut status, &queued, self.deadline);
            }
            let ready = message.as_ref().filter(|message| message.queue.stage == Stage::Outcomes);
            let collected_at = collected.as_ref().map(|(at, _)| *at);
            let text = ready.map(|message| message.body.as_str());
            let text = text.or(collected.as_ref().map(|(_, text)| text.as_str()));
            let at = row.and_then(|row| row.ended_at).unwrap_or(letter.died_at);
            let code = code(text.unwrap_or_default());
            status.outcome = Some(OutcomeView { code, at: Some(at), collected_at });
            status.state = StatusWord::Dead;
            status.since = letter.died_at;
            status.detail = sentence::dead(&letter.reason, collected_at, now);
            return Some(status);
        }
        if let Some(message) = message {
            match message.queue.stage {
                Stage::Outcomes => {
                    let code = code(&message.body);
                    let at = row.and_then(|row| row.ended_at).unwrap_or(message.sent_at);
                    let leased = matches!(message.state, MessageState::LeasedToClient { .. });
                    let reason = row.and_then(|row| row.reason.as_deref());
                    ready(&mut status, code, at, reason, leased, now);
                }
                Stage::Requests(_) | Stage::Polls(_) => self.unfinished(&mut status, &message, now),
            }
            return Some(status);
        }
        if let Some((collected_at, text)) = collected {
            let at = row.and_then(|row| row.ended_at);
            collect(&mut status, code(&text), at, collected_at, now);
            return Some(status);
        }
        // On no queue and not in the archive: it was collected, and the archive
        // has forgotten it, or its last events are not in the trail yet.
        let row = row?;
        let collected_at = row.collected_at.unwrap_or(row.updated_at);
        collect(&mut status, row.code, row.ended_at, collected_at, now);
        Some(status)
    }

    /// Adds the state of a job whose request or wait is on a queue.
    fn unfinished(&self, status: &mut JobStatus, message: &MessageLocation, now: Timestamp) {
        let queued = QueuedJob::decode(&message.body).ok();
        if let Some(queued) = &queued {
            add_job(status, queued, self.deadline);
        }
        let due = status.next_look_at.unwrap_or(message.sent_at);
        let csp = message.queue.csp();
        if matches!(message.state, MessageState::LeasedToWorker { .. }) {
            status.state = StatusWord::Running;
            status.since = due;
            status.detail = sentence::running(csp, due, message.receive_count, now);
            return;
        }
        let csp_hold = csp.and_then(|csp| (self.holds)(csp)).map(Hold::Csp);
        let earlier = (message.before > 0).then_some(Hold::Earlier(message.before));
        let waits = queued.as_ref().and_then(|queued| queued.resumption.as_ref());
        let is_due = due <= now;
        // A wait that is not due is not held by anything but its CSP.
        match (waits, csp_hold.or(earlier)) {
            (Some(from), None) => wait(status, csp, from.waiting_since, from.is_poll(), now),
            (Some(from), Some(_)) if !is_due => {
                wait(status, csp, from.waiting_since, from.is_poll(), now);
            }
            (_, Some(hold)) => {
                status.state = StatusWord::Held;
                status.since = due;
                status.detail = sentence::held(csp, hold);
            }
            (None, None) => {
                status.state = StatusWord::Queued;
                status.since = message.sent_at;
                status.detail = sentence::queued(csp, message.sent_at, now);
            }
        }
    }

    /// Returns the cause for which a job of a list is not begun or continued now;
    /// `None` if there is none, or if it is not due. Only the state of its CSP is
    /// looked at, which costs nothing: a job that was in hand before goes on, and
    /// an earlier job of its portfolio may hold it, too.
    pub fn hold(&self, row: &JobRow) -> Option<CspHold> {
        let is_due = row.next_look_at.is_none_or(|due| due <= self.clock.now());
        match row.state {
            JobState::Queued => {}
            JobState::Waiting if is_due => {}
            JobState::Waiting
            | JobState::Succeeded
            | JobState::Failed
            | JobState::Collected
            | JobState::Dead => return None,
        }
        (self.holds)(row.csp.as_ref()?)
    }

    /// Returns the status of a job as its last events say, which these hosts
    /// have seen.
    pub fn of_row(&self, row: JobRow, hosts: Vec<String>) -> JobStatus {
        let now = self.clock.now();
        let mut status = facts_of_row(&row);
        status.observed_by = Some(hosts);
        let csp = row.csp.as_ref();
        match (row.state, self.hold(&row)) {
            (JobState::Queued | JobState::Waiting, Some(hold)) => {
                status.state = StatusWord::Held;
                status.detail = sentence::held(csp, Hold::Csp(hold));
            }
            (JobState::Queued, None) => status.detail = sentence::queued(csp, row.since, now),
            (JobState::Waiting, _) => wait(&mut status, csp, row.since, true, now),
            (JobState::Succeeded | JobState::Failed, _) => {
                let at = row.ended_at.unwrap_or(row.since);
                ready(&mut status, row.code, at, row.reason.as_deref(), false, now);
            }
            (JobState::Collected, _) => {
                let collected_at = row.collected_at.unwrap_or(row.since);
                collect(&mut status, row.code, row.ended_at, collected_at, now);
            }
            (JobState::Dead, _) => {
                let (code, at, collected_at) = (row.code, row.ended_at, row.collected_at);
                status.outcome = Some(OutcomeView { code, at, collected_at });
                status.state = StatusWord::Dead;
                let reason = row.reason.as_deref().unwrap_or("the reason is not known");
                status.detail = sentence::dead(reason, collected_at, now);
            }
        }
        status
    }
}

fn facts_of_id(kind: JobKind, id: &str) -> JobStatus {
    let id = Some(id.to_owned());
    let (job_id, request_id) = match kind {
        JobKind::Provisioning => (id, None),
        JobKind::Cost => (None, id),
    };
    JobStatus {
        job_id,
        request_id,
        operation_type: None,
        target_csp_name: None,
        portfolio_id: None,
        state: StatusWord::Queued,
        since: Timestamp::from_millis(0),
        accepted_at: None,
        detail: String::new(),
        requests: 0,
        progress: None,
        next_look_at: None,
        deadline_at: None,
        outcome: None,
        observed_by: None,
    }
}

fn facts_of_row(row: &JobRow) -> JobStatus {
    // A report of the CSP says nothing once the job has ended.
    let waits = row.state == JobState::Waiting;
    let note = row.note.clone().filter(|_| waits);
    JobStatus {
        operation_type: row.operation.and_then(|one| operation_type(row.kind, one)).map(Cow::from),
        target_csp_name: row.csp.clone(),
        portfolio_id: row.portfolio_id.clone(),
        since: row.since,
        accepted_at: row.accepted_at,
        requests: row.requests,
        progress: note.map(|note| ProgressView {
            reference: row.reference.clone(),
            note,
            details: None,
        }),
        next_look_at: row.next_look_at.filter(|_| waits),
        deadline_at: row.deadline_at.filter(|_| waits),
        ..facts_of_id(row.kind, &row.id)
    }
}

/// Adds what the message of a job says. It is newer than the trail.
fn add_job(status: &mut JobStatus, queued: &QueuedJob, deadline: Duration) {
    let job = &queued.job;
    status.operation_type = operation_type(job.kind, job.operation).map(Cow::from);
    status.target_csp_name = Some(job.csp.clone());
    status.portfolio_id = job.portfolio_id.as_ref().map(|id| id.as_str().to_owned());
    status.accepted_at = Some(queued.accepted_at);
    let Some(from) = &queued.resumption else { return };
    status.requests = from.requests;
    status.next_look_at = Some(from.due_at);
    status.deadline_at = Some(from.waiting_since + deadline);
    status.progress = Some(ProgressView {
        reference: from.progress.reference.as_deref().map(|text| event_id(text).into()),
        note: event_text(&from.progress.note).into(),
        details: from.progress.details.clone(),
    });
}

/// Returns the word of the API. Cost requests have none.
fn operation_type(kind: JobKind, operation: Operation) -> Option<&'static str> {
    match kind {
        JobKind::Provisioning => Some(operation.api_name()),
        JobKind::Cost => None,
    }
}

fn wait(
    status: &mut JobStatus,
    csp: Option<&CspName>,
    since: Timestamp,
    is_poll: bool,
    now: Timestamp,
) {
    status.state = StatusWord::Waiting;
    status.since = since;
    let note = status.progress.as_ref().map(|progress| progress.note.as_str());
    let times = sentence::WaitTimes {
        since,
        next_look_at: status.next_look_at,
        deadline_at: status.deadline_at,
        now,
    };
    status.detail = sentence::waiting(csp, note, is_poll, times);
}

fn ready(
    status: &mut JobStatus,
    code: Option<u16>,
    at: Timestamp,
    reason: Option<&str>,
    leased: bool,
    now: Timestamp,
) {
    let failed = code.is_none_or(|code| code >= 400);
    status.state = if failed { StatusWord::Failed } else { StatusWord::Succeeded };
    status.since = at;
    end(status);
    status.outcome = Some(OutcomeView { code, at: Some(at), collected_at: None });
    status.detail = sentence::ready(code, at, reason, leased, now);
}

fn collect(
    status: &mut JobStatus,
    code: Option<u16>,
    at: Option<Timestamp>,
    collected_at: Timestamp,
    now: Timestamp,
) {
    status.state = StatusWord::Collected;
    status.since = collected_at;
    end(status);
    status.outcome = Some(OutcomeView { code, at, collected_at: Some(collected_at) });
    status.detail = sentence::collected(code, collected_at, now);
}

/// Removes what is true only of an unfinished job.
fn end(status: &mut JobStatus) {
    status.progress = None;
    status.next_look_at = None;
    status.deadline_at = None;
}

/// Returns the code in the text of a queued outcome.
fn code_of(text: &str) -> Option<u16> {
    #[derive(Deserialize)]
    struct Coded {
        code: u16,
    }
    let (message, _) = QueuedOutcome::message_of(text).ok()?;
    serde_json::from_str::<Coded>(message).ok().map(|coded| coded.code)
}
