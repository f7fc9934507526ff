//! The status of a job as several hosts have seen it, for a backend that cannot be
//! looked into.

use super::client::Peers;
use super::merge::SeenView;
use super::merge::views;
use crate::admin::JobView;
use crate::job_status::JobStatus;
use crate::job_status::StatusWord;
use crate::job_status::Statuses;
use hoth_core::domain::JobKind;
use hoth_queue::QueueError;

/// Returns the status of a job as this host and its peers have seen it, or `None`
/// if none of them has seen it. A peer that does not answer in time is left out.
///
/// # Errors
///
/// Returns an error if the queue cannot be read.
pub async fn find_status(
    statuses: &Statuses,
    peers: &Peers,
    kind: JobKind,
    id: &str,
) -> Result<Option<JobStatus>, QueueError> {
    let (own, row, answers) =
        tokio::join!(statuses.find(kind, id), statuses.row(kind, id), peers.job(Some(kind), id));
    let own =
        own?.map(|status| JobView { kind, status: Some(status), job: row, events: Vec::new() });
    let own = own.map(|view| (statuses.host.as_str(), view));
    let theirs = answers.iter().filter_map(|answer| {
        let view = answer.told.as_ref().ok()?.clone()?;
        Some((answer.peer.as_str(), view))
    });
    // A peer answers for the kind that it was asked for, or is broken.
    let theirs = theirs.filter(|(_, view)| view.kind == kind);
    Ok(views(own.into_iter().chain(theirs)).and_then(|seen| status(statuses, &seen)))
}

/// Returns the status that the hosts of a view have seen together.
///
/// The newest host may not know it all: one that only delivered the outcome has
/// not seen its code. So the status is made from the merged row.
pub fn status(statuses: &Statuses, seen: &SeenView) -> Option<JobStatus> {
    let newest = seen.view.status.as_ref();
    let Some(row) = &seen.view.job else {
        return newest
            .map(|newest| JobStatus { observed_by: Some(seen.hosts.clone()), ..newest.clone() });
    };
    let status = statuses.of_row(row.clone(), seen.hosts.clone());
    // Only the host that handles the jobs of a CSP knows that it holds them back.
    let held = newest.filter(|newest| newest.state == StatusWord::Held);
    Some(match (status.state, held) {
        (StatusWord::Queued | StatusWord::Waiting, Some(held)) => JobStatus {
            state: held.state,
            since: held.since,
            detail: held.detail.clone(),
            ..status
        },
        (
            StatusWord::Queued
            | StatusWord::Held
            | StatusWord::Running
            | StatusWord::Waiting
            | StatusWord::Succeeded
            | StatusWord::Failed
            | StatusWord::Collected
            | StatusWord::Dead,
            _,
        ) => status,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use serde_json::Value;
    use serde_json::json;

    use super::*;
    use crate::job_status::CspHold;
    use hoth_core::domain::Timestamp;
    use hoth_platform::clock::Clock;
    use hoth_queue::embedded::Config;
    use hoth_queue::embedded::EmbeddedQueue;
    use hoth_queue::embedded::LOG_MAX_BYTES;
    use hoth_trail::JobRow;
    use hoth_trail::Trail;

    /// Returns the view of a host that saw the job last at this second.
    fn view(statuses: &Statuses, state: &str, second: u64, more: Value) -> JobView {
        let at = Timestamp::from_millis(second * 1_000).to_rfc3339();
        let mut row = json!({
            "kind": "provisioning", "id": "a", "state": state, "since": at, "updatedAt": at,
            "acceptedAt": null, "endedAt": null, "collectedAt": null, "nextLookAt": null,
            "deadlineAt": null, "requests": 0, "attempt": 1, "eventsDropped": 0
        });
        let fields = row.as_object_mut().expect("an object");
        fields.extend(more.as_object().expect("an object").clone());
        let row: JobRow = serde_json::from_value(row).expect("a row");
        let status = Some(statuses.of_row(row.clone(), Vec::new()));
        JobView { kind: row.kind, status, job: Some(row), events: Vec::new() }
    }

    #[tokio::test]
    async fn hosts_know_together_what_none_of_them_knows_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let clock = Clock::manual(Timestamp::from_millis(60_000));
        let path = folder.path().join("queue.db");
        let config = Config { path, redelivery_hours: 24, log_max_bytes: LOG_MAX_BYTES };
        let queue = EmbeddedQueue::open(&config, clock.clone()).expect("a new file opens");
        let statuses = Statuses {
            queue: Arc::new(queue),
            trail: Trail::off(),
            clock,
            holds: Arc::new(|_| None),
            deadline: Duration::from_secs(3_600),
            host: "A".to_owned(),
        };
        let holds = Statuses { holds: Arc::new(|_| Some(CspHold::Paused)), ..statuses.clone() };
        let csp = json!({"csp": "CSP_A", "acceptedAt": "1970-01-01T00:00:01.000Z"});
        let accepted = view(&statuses, "QUEUED", 1, csp.clone());
        let ended = view(&statuses, "SUCCEEDED", 5, json!({"csp": "CSP_A", "code": 201}));
        let collected = view(&statuses, "COLLECTED", 9, json!({}));
        let held = view(&holds, "QUEUED", 3, csp);
        for (seen, state, code, detail) in [
            (vec![("A", &accepted)], StatusWord::Queued, None, "it is sent to CSP_A next"),
            (vec![("A", &accepted), ("B", &held)], StatusWord::Held, None, "have paused CSP_A"),
            (vec![("B", &held), ("A", &ended)], StatusWord::Succeeded, Some(201), "00:00 UTC"),
            (
                vec![("C", &collected), ("A", &accepted), ("B", &ended)],
                StatusWord::Collected,
                Some(201),
                "00:00 UTC",
            ),
        ] {
            let hosts: Vec<String> = seen.iter().map(|(host, _)| (*host).to_owned()).collect();
            let merged = views(seen.into_iter().map(|(host, view)| (host, view.clone())));
            let status = status(&statuses, &merged.expect("a view")).expect("a status");
            assert_eq!(status.state, state, "{status:?}");
            assert_eq!(status.outcome.as_ref().and_then(|outcome| outcome.code), code);
            assert_eq!(status.target_csp_name, Some("CSP_A".parse().expect("a name")));
            assert!(status.detail.contains(detail), "{status:?}");
            assert_eq!(status.observed_by, Some(hosts));
        }
    }
}
