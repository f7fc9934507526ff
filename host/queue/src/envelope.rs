//! How HOTH's own messages are addressed: in which group they stand, and by
//! what a repetition of each is recognised.
//!
//! Deduplication keys are deterministic, so that a successor which is sent
//! again after a crash is recognised where sending and deleting are two acts.
//! Each names the job, by its id, its content and when it was accepted (on SQS one
//! id may be that of several jobs), the stage it has come to, and the generation,
//! which an operator's redrive raises.

use super::Dedup;
use super::NewMessage;
use hoth_core::domain::Digest;
use hoth_core::domain::JobKind;
use hoth_core::domain::QueuedJob;
use hoth_core::domain::QueuedOutcome;
use hoth_core::domain::Timestamp;

impl NewMessage {
    /// A job that has just been accepted. A repetition is told from a conflict
    /// by what was posted, not by when.
    pub fn accepted(queued: &QueuedJob) -> Self {
        let job = &queued.job;
        let key = key(&[job.kind.as_str(), &job.id, "accepted"]);
        let dedup = Dedup { key, content: job.content_digest() };
        Self { dedup, ..job_message(queued, job.request_group()) }
    }

    /// A job on its async queue: a group of its own, so that no job's poll
    /// waits for another's.
    pub fn waiting(queued: &QueuedJob) -> Self {
        let job = &queued.job;
        let group = Digest::of_fields(&["job", job.csp.as_str(), &job.id]).short();
        let not_before = queued.resumption.as_ref().map(|from| from.due_at);
        Self { not_before, ..job_message(queued, group) }
    }

    /// A dead job that is tried once more, from where it stood.
    pub fn redriven(queued: &QueuedJob) -> Self {
        match queued.resumption {
            None => job_message(queued, queued.job.request_group()),
            Some(_) => Self::waiting(queued),
        }
    }

    /// A dead outcome that is to be collected after all. `letter` names the
    /// dead letter, so that each is put back once.
    pub fn redriven_outcome(queued: &QueuedOutcome, group: String, letter: &str) -> Self {
        outcome_message(queued, group, &["redriven", letter])
    }

    /// The outcome of `job`.
    pub fn outcome(job: &QueuedJob, queued: &QueuedOutcome) -> Self {
        let stage = [&*acceptance(job), &job.generation.to_string()];
        outcome_message(queued, job.job.outcome_group(), &stage)
    }

    /// The outcome of a job of which nothing is left but the id, and a `text` that
    /// was sent at some time.
    pub fn outcome_of_lost(queued: &QueuedOutcome, text: &str, sent_at: Timestamp) -> Self {
        let group = Digest::of_fields(&["job", &queued.id]).short();
        outcome_message(queued, group, &["unreadable", text, &sent_at.as_millis().to_string()])
    }
}

fn job_message(queued: &QueuedJob, group: String) -> NewMessage {
    let wait = queued.resumption.as_ref().map_or(0, |from| from.waits);
    let (generation, wait) = (queued.generation.to_string(), wait.to_string());
    let stage = ["wait", &acceptance(queued), &generation, &wait];
    new_message(queued.job.kind, &queued.job.id, group, &stage, queued.encode())
}

fn outcome_message(queued: &QueuedOutcome, group: String, stage: &[&str]) -> NewMessage {
    let stage = [&["outcome"], stage].concat();
    new_message(queued.kind, &queued.id, group, &stage, queued.encode())
}

fn new_message(kind: JobKind, id: &str, group: String, stage: &[&str], body: String) -> NewMessage {
    let key = key(&[&[kind.as_str(), id], stage].concat());
    let dedup = Dedup { key, content: Digest::of(body.as_bytes()) };
    NewMessage { group, dedup, key: id.to_owned(), body, not_before: None }
}

/// Tells a job from others with its id. The request is taken by its letter, which
/// travels with the job: that needs no reading.
fn acceptance(queued: &QueuedJob) -> String {
    let accepted_at = queued.accepted_at.as_millis().to_string();
    Digest::of_fields(&[queued.job.request.get(), &accepted_at]).short()
}

fn key(fields: &[&str]) -> String {
    Digest::of_fields(fields).short()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn job(generation: u32) -> QueuedJob {
        let text = include_str!("../../core/src/domain/fixtures/job-v1-waiting.json");
        let mut queued = QueuedJob::decode(text).unwrap();
        queued.generation = generation;
        queued
    }

    #[test]
    fn each_stage_of_a_job_has_a_key_of_its_own() {
        let outcome =
            QueuedOutcome::decode(include_str!("../../core/src/domain/fixtures/outcome-v1.json"));
        let outcome = outcome.unwrap();
        let mut later = job(0);
        later.resumption.as_mut().unwrap().waits += 1;
        let messages = [
            NewMessage::accepted(&job(0)),
            NewMessage::waiting(&job(0)),
            NewMessage::waiting(&later),
            NewMessage::redriven(&job(1)),
            NewMessage::outcome(&job(0), &outcome),
            NewMessage::outcome(&job(1), &outcome),
            NewMessage::outcome_of_lost(&outcome, "text", Timestamp::from_millis(1)),
            NewMessage::outcome_of_lost(&outcome, "other", Timestamp::from_millis(1)),
            NewMessage::outcome_of_lost(&outcome, "text", Timestamp::from_millis(2)),
            NewMessage::redriven_outcome(&outcome, "g".to_owned(), "7"),
        ];
        for (n, message) in messages.iter().enumerate() {
            assert!(message.check().is_ok(), "{message:?}");
            assert!(messages[..n].iter().all(|other| other.dedup.key != message.dedup.key));
        }
    }

    #[test]
    fn two_jobs_with_one_id_have_nothing_in_common() {
        let outcome =
            QueuedOutcome::decode(include_str!("../../core/src/domain/fixtures/outcome-v1.json"));
        let outcome = outcome.unwrap();
        let mut later = job(0);
        later.accepted_at = later.accepted_at + Duration::from_millis(1);
        let mut other = job(0);
        let changed = other.job.request.get().replacen('{', "{\"other\":1,", 1);
        other.job.request = serde_json::value::RawValue::from_string(changed).unwrap();
        assert_ne!(other.job.content_digest(), job(0).job.content_digest());
        for same_id in [later, other] {
            assert_eq!(same_id.job.id, job(0).job.id);
            for (one, another) in [
                (NewMessage::waiting(&job(0)), NewMessage::waiting(&same_id)),
                (NewMessage::outcome(&job(0), &outcome), NewMessage::outcome(&same_id, &outcome)),
            ] {
                assert_ne!(one.dedup.key, another.dedup.key);
            }
        }
    }

    #[test]
    fn a_message_that_is_made_again_is_the_same() {
        assert_eq!(NewMessage::waiting(&job(0)).dedup, NewMessage::waiting(&job(0)).dedup);
        assert_eq!(NewMessage::accepted(&job(0)).dedup, NewMessage::accepted(&job(3)).dedup);
    }
}
