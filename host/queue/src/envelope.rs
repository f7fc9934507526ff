//! The envelopes of HOTH's own messages: their groups and deduplication keys.
//!
//! Deduplication keys are deterministic. So a successor that is sent again
//! after a crash is recognised on a backend where sending and deleting are two
//! acts. Each key names the job (by its id, its content and the time at which
//! it was accepted, because on SQS several jobs may have one id), the stage
//! that the job has reached, and the generation, which an operator's redrive
//! raises.

use hoth_core::domain::CspName;
use hoth_core::domain::Digest;
use hoth_core::domain::JobKind;
use hoth_core::domain::QueuedJob;
use hoth_core::domain::QueuedOutcome;
use hoth_core::domain::Timestamp;

use crate::message::Dedup;
use crate::message::DedupKey;
use crate::message::GroupId;
use crate::message::NewMessage;
use crate::state::DeadLetterId;

impl NewMessage {
    /// Makes the message of a job that has just been accepted. Its content is
    /// the posted job alone: two posts of one job are repetitions, whenever
    /// they were accepted.
    pub fn accepted(queued: &QueuedJob) -> Self {
        let job = &queued.job;
        let key = dedup_key(&[job.kind.as_str(), job.id.as_str(), "accepted"]);
        let dedup = Dedup { key, content: job.content_digest() };
        new_message(job.id.as_str(), group_id(job.request_group()), dedup, queued.encode())
    }

    /// Makes the message of a job that waits to be polled. Its group is its
    /// own, so that no job's poll waits for another job.
    pub fn waiting(queued: &QueuedJob) -> Self {
        let job = &queued.job;
        let group = group_id(wait_group(&job.csp, job.id.as_str()));
        let not_before = queued.resumption.as_ref().map(|from| from.due_at);
        Self { not_before, ..job_message(queued, group) }
    }

    /// Makes the message of a dead-lettered job that is tried once more, from
    /// the step that it had reached.
    pub fn redriven(queued: &QueuedJob) -> Self {
        match queued.resumption {
            // Its key has the raised generation, and so differs from that of
            // every earlier message of the job.
            None => job_message(queued, group_id(queued.job.request_group())),
            Some(_) => Self::waiting(queued),
        }
    }

    /// Makes the message of a dead-lettered outcome that is to be collected
    /// after all. The dead letter's id is in the key, so that each is put back
    /// once.
    pub fn redriven_outcome(queued: &QueuedOutcome, group: GroupId, letter: &DeadLetterId) -> Self {
        outcome_message(queued, group, &["redriven", letter.as_str()])
    }

    /// Makes the message of a job's outcome.
    pub fn outcome(job: &QueuedJob, queued: &QueuedOutcome) -> Self {
        let stage = [&*acceptance(job), &job.generation.to_string()];
        outcome_message(queued, group_id(job.job.outcome_group()), &stage)
    }

    /// Makes the message of the outcome of an unreadable job. Only its id is
    /// known, and the `text` that was sent at `sent_at`.
    pub fn outcome_of_lost(queued: &QueuedOutcome, text: &str, sent_at: Timestamp) -> Self {
        // The portfolio is unknown, so the outcome has a group of its own.
        let group = group_id(Digest::of_fields(&["job", &queued.id]).short());
        outcome_message(queued, group, &["unreadable", text, &sent_at.as_millis().to_string()])
    }
}

fn job_message(queued: &QueuedJob, group: GroupId) -> NewMessage {
    // Waits are counted from 1, so 0 is free for a job that has not waited.
    let wait = queued.resumption.as_ref().map_or(0, |from| from.waits);
    let (generation, wait) = (queued.generation.to_string(), wait.to_string());
    let stage = ["wait", &acceptance(queued), &generation, &wait];
    let id = queued.job.id.as_str();
    new_message(id, group, successor(queued.job.kind, id, &stage), queued.encode())
}

fn outcome_message(queued: &QueuedOutcome, group: GroupId, stage: &[&str]) -> NewMessage {
    let stage = [&["outcome"], stage].concat();
    let id = queued.id.as_str();
    new_message(id, group, successor(queued.kind, id, &stage), queued.encode())
}

/// Returns the identity of a message that follows another one of its job.
fn successor(kind: JobKind, id: &str, stage: &[&str]) -> Dedup {
    let key = dedup_key(&[&[kind.as_str(), id], stage].concat());
    // No client has sent the message, so it is never in conflict with an earlier
    // one of its key, and an outcome of a megabyte need not be digested.
    let content = Digest::of(key.as_str().as_bytes());
    Dedup { key, content }
}

fn new_message(id: &str, group: GroupId, dedup: Dedup, body: String) -> NewMessage {
    NewMessage { group, dedup, key: id.to_owned(), body, not_before: None }
}

/// Returns a digest that tells a job from other jobs with the same id. The text
/// of the request is digested as it is stored, so that it need not be parsed.
fn acceptance(queued: &QueuedJob) -> String {
    let accepted_at = queued.accepted_at.as_millis().to_string();
    Digest::of_fields(&[queued.job.request.get(), &accepted_at]).short()
}

/// Returns the group of a waiting job's message.
pub(crate) fn wait_group(csp: &CspName, id: &str) -> String {
    Digest::of_fields(&["job", csp.as_str(), id]).short()
}

fn group_id(digest: String) -> GroupId {
    GroupId::new(digest).expect("a digest in hexadecimal digits is a group id")
}

fn dedup_key(fields: &[&str]) -> DedupKey {
    let digest = Digest::of_fields(fields).short();
    DedupKey::new(digest).expect("a digest in hexadecimal digits is a deduplication key")
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
            NewMessage::redriven_outcome(
                &outcome,
                GroupId::new("g").unwrap(),
                &DeadLetterId::new("7"),
            ),
        ];
        for (n, message) in messages.iter().enumerate() {
            assert!(message.check().is_ok(), "{message:?}");
            assert!(messages[..n].iter().all(|other| other.dedup.key != message.dedup.key));
        }
    }

    #[test]
    fn two_jobs_with_one_id_have_different_keys() {
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
    fn deduplication_is_that_of_earlier_releases() {
        let outcome =
            QueuedOutcome::decode(include_str!("../../core/src/domain/fixtures/outcome-v1.json"));
        let outcome = outcome.unwrap();
        for text in [
            include_str!("../../core/src/domain/fixtures/job-v1-accepted.json"),
            // With the digest of the content, which earlier releases did not
            // store.
            include_str!("../../core/src/domain/fixtures/job-v1-content.json"),
        ] {
            let queued = QueuedJob::decode(text).unwrap();
            let accepted = NewMessage::accepted(&queued);
            let content = "3fd717c5ce6095647a3ca8fdabdb6d1231e57221aff8c7f8a77d7ac2b58a77e3";
            assert_eq!(accepted.dedup.content.to_string(), content);
            for (message, key) in [
                (accepted, "0afdf67b1bc47c5a17d3f6fb01107539"),
                (NewMessage::redriven(&queued), "76b54ebc8272225bf3bb624436b11875"),
                (NewMessage::outcome(&queued, &outcome), "885ff6f480404661c74bfdf78ff129e6"),
            ] {
                assert_eq!(message.dedup.key.as_str(), key);
            }
        }
    }

    #[test]
    fn the_same_job_has_the_same_deduplication() {
        assert_eq!(NewMessage::waiting(&job(0)).dedup, NewMessage::waiting(&job(0)).dedup);
        assert_eq!(NewMessage::accepted(&job(0)).dedup, NewMessage::accepted(&job(3)).dedup);
    }
}
