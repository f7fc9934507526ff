//! The status of one job: where it is, and what comes next.
//!
//! The queue says exactly where a job's message is; the trail says what
//! happened to it, and where a job was whose message is gone. Either may be
//! missing: the trail may be off, and Amazon SQS cannot be looked into.

mod facts;
mod hold;
mod sentence;
mod status;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tracing::debug;

pub use self::hold::CspHold;
pub use self::hold::Hold;
pub use self::hold::HoldLookup;
pub use self::status::JobStatus;
pub use self::status::OutcomeView;
pub use self::status::ProgressView;
pub use self::status::StatusWord;
use hoth_core::domain::CspName;
use hoth_core::domain::JobKind;
use hoth_core::domain::PortfolioId;
use hoth_core::domain::QueuedJob;
use hoth_core::domain::Timestamp;
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
            Some(row) => facts::of_row(row),
            None => facts::of_id(kind, id),
        };
        let row = row.as_ref();
        let code = |text: &str| row.and_then(|row| row.code).or_else(|| facts::code_of(text));
        if let Some((_, letter)) = dead_letter {
            if let Ok(queued) = QueuedJob::decode(&letter.body) {
                facts::add_job(&mut status, &queued, self.deadline);
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
                    facts::ready(&mut status, code, at, reason, leased, now);
                }
                Stage::Requests(_) | Stage::Polls(_) => self.unfinished(&mut status, &message, now),
            }
            return Some(status);
        }
        if let Some((collected_at, text)) = collected {
            let at = row.and_then(|row| row.ended_at);
            facts::collect(&mut status, code(&text), at, collected_at, now);
            return Some(status);
        }
        // On no queue and not in the archive: it was collected, and the archive
        // has forgotten it, or its last events are not in the trail yet.
        let row = row?;
        let collected_at = row.collected_at.unwrap_or(row.updated_at);
        facts::collect(&mut status, row.code, row.ended_at, collected_at, now);
        Some(status)
    }

    /// Adds the state of a job whose request or wait is on a queue.
    fn unfinished(&self, status: &mut JobStatus, message: &MessageLocation, now: Timestamp) {
        let queued = QueuedJob::decode(&message.body).ok();
        if let Some(queued) = &queued {
            facts::add_job(status, queued, self.deadline);
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
            (Some(from), None) => facts::wait(status, csp, from.waiting_since, from.is_poll(), now),
            (Some(from), Some(_)) if !is_due => {
                facts::wait(status, csp, from.waiting_since, from.is_poll(), now);
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
        let mut status = facts::of_row(&row);
        status.observed_by = Some(hosts);
        let csp = row.csp.as_ref();
        match (row.state, self.hold(&row)) {
            (JobState::Queued | JobState::Waiting, Some(hold)) => {
                status.state = StatusWord::Held;
                status.detail = sentence::held(csp, Hold::Csp(hold));
            }
            (JobState::Queued, None) => status.detail = sentence::queued(csp, row.since, now),
            (JobState::Waiting, _) => facts::wait(&mut status, csp, row.since, true, now),
            (JobState::Succeeded | JobState::Failed, _) => {
                let at = row.ended_at.unwrap_or(row.since);
                facts::ready(&mut status, row.code, at, row.reason.as_deref(), false, now);
            }
            (JobState::Collected, _) => {
                let collected_at = row.collected_at.unwrap_or(row.since);
                facts::collect(&mut status, row.code, row.ended_at, collected_at, now);
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
