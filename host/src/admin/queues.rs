//! Queues: their state, and the reasons why one makes no progress.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::Path;
use axum::extract::State;
use serde::Serialize;

use super::error::AdminError;
use super::state::AdminState;
use hoth_queue::Blocked;
use hoth_queue::BlockedGroup;
use hoth_queue::QueueError;
use hoth_queue::QueueName;
use hoth_queue::QueueStats;

/// The response to `GET /queues`.
#[derive(Debug, Serialize)]
pub struct Queues {
    queues: Vec<QueueRow>,
}

/// The state of one queue: exact on the embedded backend, approximate on SQS.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct QueueRow {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    csp: Option<String>,
    /// Messages that are not leased.
    depth: u64,
    /// Leased messages.
    in_flight: u64,
    /// In seconds; `null` if the queue is empty.
    oldest_age_seconds: Option<f64>,
    oldest_claimable_age_seconds: Option<f64>,
    dead_letters: u64,
    /// The traffic of the last hour, as this host has seen it since its start.
    last_hour: Traffic,
}

/// The messages into and out of a queue, and their waits.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Traffic {
    in_per_minute: f64,
    /// Deliveries to a worker, or collections.
    out_per_minute: f64,
    /// The time since a message was due; `null` without deliveries; too high by
    /// a fifth at most.
    wait_p50_ms: Option<f64>,
    wait_p99_ms: Option<f64>,
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Handles `GET /queues`.
pub async fn list(State(state): State<Arc<AdminState>>) -> Result<Json<Queues>, AdminError> {
    let mut queues = Vec::with_capacity(state.queues.len());
    for (name, stats) in state.stats.read_all().await {
        queues.push(row(&state, name, &stats?));
    }
    Ok(Json(Queues { queues }))
}

fn row(state: &AdminState, name: &QueueName, stats: &QueueStats) -> QueueRow {
    let hour = state.activity.queue(name).hour;
    QueueRow {
        name: name.to_string(),
        csp: name.csp().map(ToString::to_string),
        depth: stats.depth,
        in_flight: stats.in_flight,
        oldest_age_seconds: stats.oldest_age.map(|age| age.as_secs_f64()),
        oldest_claimable_age_seconds: stats.oldest_claimable_age.map(|age| age.as_secs_f64()),
        dead_letters: stats.dead_letters,
        last_hour: Traffic {
            in_per_minute: hour.per_minute(0),
            out_per_minute: hour.per_minute(1),
            wait_p50_ms: hour.p50.map(millis),
            wait_p99_ms: hour.p99.map(millis),
        },
    }
}

/// Returns the queue with this name.
///
/// # Errors
///
/// Returns an error if there is no such queue.
pub fn find<'a>(state: &'a AdminState, name: &str) -> Result<&'a QueueName, AdminError> {
    let found = state.queues.iter().find(|queue| queue.to_string() == name);
    found.ok_or_else(|| AdminError::NotFound(format!("queue `{name}` not found")))
}

/// The response to `GET /queues/{name}/explain`.
#[derive(Debug, Serialize)]
pub struct Explanation {
    #[serde(flatten)]
    queue: QueueRow,
    /// A text for each reason; empty if nothing delays the queue.
    reasons: Vec<String>,
    /// The messages in and out in each quarter of an hour of the last 24 hours, the
    /// latest last, as this host has seen them since its start.
    quarters: Vec<[u64; 2]>,
    /// The oldest hundred blocked groups; missing if the backend cannot tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    blocked: Option<Vec<GroupRow>>,
}

/// A group that offers no message now.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupRow {
    group: String,
    /// The job whose message blocks the group.
    head: String,
    waiting: u64,
    why: &'static str,
    until: String,
}

/// Handles `GET /queues/{name}/explain`.
pub async fn explain(
    State(state): State<Arc<AdminState>>,
    Path(name): Path<String>,
) -> Result<Json<Explanation>, AdminError> {
    let name = find(&state, &name)?;
    let stats = state.stats.read(name).await?;
    // Read after the state of the queue, so the two may differ by the messages
    // that moved in between.
    let blocked = match state.queue.blocked(name).await {
        Ok(blocked) => Some(blocked),
        // SQS cannot list groups. The other reasons are useful without them.
        Err(QueueError::NotOffered(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let reasons = reasons(&state, name, &stats, blocked.as_deref());
    let queue = row(&state, name, &stats);
    let blocked = blocked.map(|groups| groups.into_iter().map(group).collect());
    let quarters = state.activity.queue(name).bars.to_vec();
    Ok(Json(Explanation { queue, reasons, quarters, blocked }))
}

/// Returns the reasons why the queue makes no progress, as sentences; none if
/// nothing holds it back.
pub fn reasons(
    state: &AdminState,
    name: &QueueName,
    stats: &QueueStats,
    blocked: Option<&[BlockedGroup]>,
) -> Vec<String> {
    let mut reasons = Vec::new();
    // From the CSP to the single group: the first reason usually explains the
    // ones after it. Queues of outcomes have no CSP.
    if let Some(csp) = name.csp() {
        if let Some(since) = state.drain.switch.since() {
            let since = since.to_rfc3339();
            reasons.push(format!(
                "this host is drained since {since}: `hoth host resume` lets it take jobs again"
            ));
        }
        if let Some(status) = state.csps.get(csp).map(|csp| csp.status(&state.registry)) {
            if status.paused_since.is_some() {
                reasons
                    .push(format!("{csp} is paused: `hoth csps resume {csp}` lets its jobs go on"));
            }
            if let Some(missing) = &status.missing_secret {
                reasons.push(format!("{csp} lacks a secret: {missing}"));
            }
            if !status.breaker.allows_jobs() {
                let since = status.breaker.since.to_rfc3339();
                reasons.push(format!("{csp} does not respond: its breaker is open since {since}"));
            }
            for (origin, breaker) in &status.other_breakers {
                if !breaker.allows_jobs() {
                    reasons.push(format!("{csp} does not respond at {origin}: polls there wait"));
                }
            }
        }
        match state.registry.serving(csp) {
            Ok(version) => {
                let problem = version.adapter().usage().counted().problem();
                reasons.extend(
                    problem.map(|problem| format!("the adapter of {csp} fails: {problem}")),
                );
            }
            Err(reason) => reasons.push(format!("{csp} has no adapter: {reason}")),
        }
    }
    if stats.depth + stats.in_flight == 0 {
        reasons.push("the queue is empty".to_owned());
    }
    let count = |why| blocked.unwrap_or_default().iter().filter(|group| group.why == why).count();
    for (why, text) in [
        (Blocked::LeasedToWorker, "groups are in progress"),
        (Blocked::LeasedToClient, "groups are leased to an HTTP client"),
        (Blocked::NotDue, "groups are not due yet"),
    ] {
        match count(why) {
            0 => {}
            count => reasons.push(format!("{count} {text}")),
        }
    }
    reasons
}

fn group(group: BlockedGroup) -> GroupRow {
    GroupRow {
        why: match group.why {
            Blocked::LeasedToWorker => "leased-to-worker",
            Blocked::LeasedToClient => "leased-to-client",
            Blocked::NotDue => "not-due",
        },
        group: group.group,
        head: group.head,
        waiting: group.waiting,
        until: group.until.to_rfc3339(),
    }
}
