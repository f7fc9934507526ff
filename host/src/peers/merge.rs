//! Merges what several hosts have seen of the same jobs.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::admin::JobView;
use hoth_core::domain::JobKind;
use hoth_core::domain::Timestamp;
use hoth_trail::JobRow;
use hoth_trail::JobState;
use hoth_trail::TimelineEvent;

/// A job, and the hosts that have seen it.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenJob {
    /// The newest state.
    pub job: JobRow,
    pub hosts: Vec<String>,
}

/// An event, and the host that has seen it.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenEvent {
    pub host: String,
    pub event: TimelineEvent,
}

/// A job with its events, and the hosts that have seen it.
#[derive(Debug, Clone)]
pub struct SeenView {
    /// The newest state; its own list of events is empty.
    pub view: JobView,
    pub hosts: Vec<String>,
    /// By time.
    pub events: Vec<SeenEvent>,
}

/// Merges the rows of hosts by kind and id. The jobs that were accepted last are
/// first; a single list keeps its order.
pub fn jobs<'a>(rows: impl IntoIterator<Item = (&'a str, Vec<JobRow>)>) -> Vec<SeenJob> {
    let mut merged: Vec<SeenJob> = Vec::new();
    let mut places: BTreeMap<(JobKind, String), usize> = BTreeMap::new();
    let mut lists = 0;
    for (host, rows) in rows {
        lists += usize::from(!rows.is_empty());
        for row in rows {
            match places.entry((row.kind, row.id.clone())) {
                Entry::Occupied(place) => {
                    let seen = &mut merged[*place.get()];
                    seen.hosts.push(host.to_owned());
                    newer(&mut seen.job, row);
                }
                Entry::Vacant(place) => {
                    place.insert(merged.len());
                    merged.push(SeenJob { job: row, hosts: vec![host.to_owned()] });
                }
            }
        }
    }
    // A single list has its order already.
    if lists > 1 {
        merged.sort_by_key(|seen| Reverse(seen.job.accepted_at.unwrap_or(seen.job.since)));
    }
    merged
}

/// Merges what hosts know of one job. `None` if there is no view. Views of
/// another kind than that of the first are left out.
pub fn views<'a>(views: impl IntoIterator<Item = (&'a str, JobView)>) -> Option<SeenView> {
    let mut views = views.into_iter();
    let (host, mut view) = views.next()?;
    let mut events = seen(host, &mut view);
    let mut merged = SeenView { view, hosts: vec![host.to_owned()], events: Vec::new() };
    let kind = merged.view.kind;
    for (host, mut view) in views.filter(|(_, other)| other.kind == kind) {
        events.extend(seen(host, &mut view));
        merged.hosts.push(host.to_owned());
        add(&mut merged.view, view);
    }
    events.sort_by_key(|seen| seen.event.at);
    merged.events = events;
    Some(merged)
}

fn seen(host: &str, view: &mut JobView) -> Vec<SeenEvent> {
    let events = std::mem::take(&mut view.events).into_iter();
    events.map(|event| SeenEvent { host: host.to_owned(), event }).collect()
}

/// Returns the time of the last news.
fn news(view: &JobView) -> Timestamp {
    let row = view.job.as_ref().map(|job| job.updated_at);
    let status = view.status.as_ref().map(|status| status.since);
    row.max(status).unwrap_or(Timestamp::from_millis(0))
}

fn add(view: &mut JobView, other: JobView) {
    let is_newer = news(&other) > news(view);
    // One that knows the job of the queue knows more than one without.
    match (&mut view.status, other.status) {
        (Some(status), Some(theirs)) if is_newer => *status = theirs,
        (Some(_), Some(_) | None) | (None, None) => {}
        (own @ None, theirs @ Some(_)) => *own = theirs,
    }
    match (&mut view.job, other.job) {
        (Some(job), Some(theirs)) => newer(job, theirs),
        (Some(_) | None, None) => {}
        (own @ None, theirs @ Some(_)) => *own = theirs,
    }
}

/// Makes `job` the newer of two rows of one job. What only the older one knows
/// is kept, where it is still true.
fn newer(job: &mut JobRow, other: JobRow) {
    let mut older = other;
    if older.updated_at > job.updated_at {
        std::mem::swap(job, &mut older);
    }
    job.csp = job.csp.take().or(older.csp);
    job.operation = job.operation.or(older.operation);
    job.portfolio_id = job.portfolio_id.take().or(older.portfolio_id);
    job.accepted_at = job.accepted_at.or(older.accepted_at);
    job.accepted_by = job.accepted_by.take().or(older.accepted_by);
    job.requests = job.requests.max(older.requests);
    job.events_dropped = job.events_dropped.saturating_add(older.events_dropped);
    match job.state {
        // A job that was redriven has no outcome any more.
        JobState::Queued | JobState::Waiting => {}
        JobState::Succeeded | JobState::Failed | JobState::Collected | JobState::Dead => {
            job.version = job.version.take().or(older.version);
            job.digest = job.digest.take().or(older.digest);
            job.code = job.code.or(older.code);
            job.class = job.class.take().or(older.class);
            job.reason = job.reason.take().or(older.reason);
            job.ended_at = job.ended_at.or(older.ended_at);
            job.took_ms = job.took_ms.or(older.took_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use serde_json::json;

    use super::*;

    /// Returns a row with news at this second.
    fn row(id: &str, state: &str, second: u64, more: Value) -> JobRow {
        let at = Timestamp::from_millis(second * 1_000).to_rfc3339();
        let mut row = json!({
            "kind": "provisioning", "id": id, "state": state, "since": at, "updatedAt": at,
            "acceptedAt": null, "endedAt": null, "collectedAt": null, "nextLookAt": null,
            "deadlineAt": null, "requests": 0, "attempt": 1, "eventsDropped": 0
        });
        let fields = row.as_object_mut().expect("an object");
        fields.extend(more.as_object().expect("an object").clone());
        serde_json::from_value(row).expect("a row")
    }

    fn view(row: JobRow, seconds: &[u64]) -> JobView {
        let event = |second: &u64| {
            let at = Timestamp::from_millis(second * 1_000).to_rfc3339();
            serde_json::from_value(json!({"at": at, "event": "lease-lost"})).expect("an event")
        };
        JobView {
            kind: row.kind,
            status: None,
            job: Some(row),
            events: seconds.iter().map(event).collect(),
        }
    }

    #[test]
    fn the_newest_state_wins_and_older_facts_stay() {
        let accepted = "1970-01-01T00:00:01.000Z";
        let first = row("a", "QUEUED", 1, json!({"acceptedBy": "snow", "acceptedAt": accepted}));
        let ended = row("a", "FAILED", 5, json!({"code": 502, "reason": "refused", "requests": 3}));
        let collected = row("a", "COLLECTED", 9, json!({}));
        let redriven = row("a", "QUEUED", 12, json!({}));
        for (rows, state, code) in [
            (vec![first.clone(), ended.clone()], JobState::Failed, Some(502)),
            (vec![ended.clone(), first.clone()], JobState::Failed, Some(502)),
            (vec![collected, first.clone(), ended.clone()], JobState::Collected, Some(502)),
            (vec![redriven, first, ended], JobState::Queued, None),
        ] {
            let hosts = ["A", "B", "C"].into_iter().zip(rows.into_iter().map(|row| vec![row]));
            let merged = jobs(hosts);
            let [seen] = &merged[..] else { panic!("{merged:?}") };
            assert_eq!((seen.job.state, seen.job.code), (state, code));
            assert_eq!(seen.job.accepted_by.as_deref(), Some("snow"));
            assert_eq!(seen.job.requests, 3);
        }
    }

    #[test]
    fn jobs_of_all_hosts_stand_together() {
        let cost = row("a", "QUEUED", 4, json!({"kind": "cost"}));
        let merged = jobs([
            ("A", vec![row("b", "QUEUED", 3, json!({})), row("a", "QUEUED", 1, json!({}))]),
            ("B", vec![cost, row("a", "COLLECTED", 2, json!({}))]),
        ]);
        let told: Vec<_> = merged
            .iter()
            .map(|seen| (seen.job.kind.as_str(), seen.job.id.as_str(), seen.hosts.join("+")))
            .collect();
        let expected =
            [("cost", "a", "B"), ("provisioning", "b", "A"), ("provisioning", "a", "A+B")];
        assert_eq!(told, expected.map(|(kind, id, hosts)| (kind, id, hosts.to_owned())));
    }

    #[test]
    fn timelines_are_merged_by_time() {
        let cost = view(row("a", "QUEUED", 9, json!({"kind": "cost"})), &[2]);
        let merged = views([
            ("A", view(row("a", "QUEUED", 1, json!({})), &[1, 4])),
            ("B", view(row("a", "SUCCEEDED", 3, json!({})), &[2, 3])),
            ("C", cost),
        ])
        .expect("a view");
        assert_eq!(merged.view.job.map(|job| job.state), Some(JobState::Succeeded));
        assert_eq!(merged.hosts, ["A", "B"]);
        let hosts: String = merged.events.iter().map(|seen| seen.host.as_str()).collect();
        assert_eq!(hosts, "ABBA");
        assert!(views(std::iter::empty::<(&str, JobView)>()).is_none());
    }
}
