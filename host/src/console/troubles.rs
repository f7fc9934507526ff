//! Troubles in sentences: the cause, the remedy, and the page for it.

use std::time::Duration;

use super::ConsoleState;
use super::snapshot::Snapshot;
use super::text;
use super::text::segment;
use crate::admin::StatsError;
use hoth_core::domain::JobEventKind;
use hoth_core::domain::JobKind;
use hoth_core::domain::Timestamp;
use hoth_core::domain::TransportCode;
use hoth_core::workflow::OPERATOR_CLASSES;
use hoth_queue::Blocked;
use hoth_queue::QueueName;
use hoth_queue::QueueStats;
use hoth_queue::Stage;
use hoth_trail::Minute;
use hoth_trail::TimelineEvent;
use hoth_trail::TrailError;

/// The time in which failures count as recent.
const LATELY: Duration = Duration::from_hours(1);

/// The time over which the duration of calls is averaged.
const RECENTLY: Duration = Duration::from_mins(10);

/// The reasons of failures on the first page.
const FAILURES_MAX: usize = 5;

/// The urgency of a trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Jobs fail, or nothing moves.
    Bad,
    /// Something waits for a person.
    Warn,
}

/// One trouble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    pub severity: Severity,
    /// The cause, and its age.
    pub cause: String,
    /// The remedy, for a person.
    pub remedy: String,
    /// The page that shows more, and offers the act.
    pub href: String,
}

impl Trouble {
    fn new(
        severity: Severity,
        cause: impl Into<String>,
        remedy: impl Into<String>,
        href: impl Into<String>,
    ) -> Self {
        Self { severity, cause: cause.into(), remedy: remedy.into(), href: href.into() }
    }
}

/// Returns all troubles, the most urgent first.
pub async fn find(console: &ConsoleState, seen: &Snapshot<'_>) -> Vec<Trouble> {
    let now = seen.now;
    let mut troubles = of_csps(console, now);
    troubles.extend(of_adapters(console));
    for (queue, stats) in &seen.queues {
        match stats {
            Ok(stats) => troubles.extend(of_queue(console, queue, stats)),
            Err(error) => troubles.push(unreadable(queue, error)),
        }
    }
    troubles.extend(of_groups(console, now).await);
    troubles.extend(of_failures(console, now).await);
    troubles.extend(of_slow_calls(console, seen));
    troubles.extend(seen.trail_error.as_ref().map(of_trail));
    troubles.extend(of_disk(console));
    troubles.extend(of_drain(console, now));
    troubles.sort_by_key(|trouble| trouble.severity);
    troubles
}

fn of_csps(console: &ConsoleState, now: Timestamp) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    for csp in console.admin.csps.values() {
        let (name, status) = (&csp.name, csp.status(&console.admin.registry));
        let href = format!("/console/csps/{}", segment(name.as_str()));
        if let Some(missing) = &status.missing_secret {
            troubles.push(Trouble::new(
                Severity::Bad,
                format!("{name} lacks a secret, so its jobs wait: {missing}"),
                "Put the secret where the configuration looks for it; jobs go on by themselves.",
                &href,
            ));
        }
        if !status.missing_credentials.is_empty() {
            let missing = status.missing_credentials.join(", ");
            troubles.push(Trouble::new(
                Severity::Bad,
                format!(
                    "The adapter of {name} needs credentials that are not configured: {missing}"
                ),
                format!("Add them below `csp.{name}.credentials` and restart the host."),
                &href,
            ));
        }
        let others = status.other_breakers.iter();
        let others = others.map(|(origin, breaker)| (origin.to_string(), breaker));
        for (origin, breaker) in
            [(status.origin.to_string(), &status.breaker)].into_iter().chain(others)
        {
            if !breaker.allows_jobs() {
                let age = text::duration(now.since(breaker.since));
                troubles.push(Trouble::new(
                    Severity::Bad,
                    format!("{name} does not respond at {origin} for {age}; its jobs wait"),
                    "HOTH probes it, and jobs go on when it responds. Ask the CSP, or check the network.",
                    &href,
                ));
            }
        }
        if let Some(since) = status.paused_since {
            let age = text::duration(now.since(since));
            troubles.push(Trouble::new(
                Severity::Warn,
                format!("{name} is paused for {age}; its jobs wait"),
                "Resume it on its page when the reason for the pause is gone.",
                &href,
            ));
        }
    }
    troubles
}

fn of_adapters(console: &ConsoleState) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    for adapter in console.admin.registry.list() {
        let href = format!("/console/adapters/{}", segment(adapter.name.as_str()));
        let name = &adapter.name;
        let has_active = adapter.versions.iter().any(|version| version.active);
        if let (false, Some(problem), false) =
            (has_active, &adapter.problem, adapter.csps.is_empty())
        {
            troubles.push(Trouble::new(
                Severity::Bad,
                format!("No version of {name} is active, so jobs wait: {}", text::foreign(problem)),
                "Deploy a version on the adapter's page, or put one into the adapters directory.",
                &href,
            ));
        }
        for version in adapter.versions.iter().filter(|version| version.active) {
            if let Some(failing) = &version.failing {
                troubles.push(Trouble::new(
                    Severity::Bad,
                    format!("Calls of {name} {} fail: {}", version.version, text::foreign(failing)),
                    "Activate an earlier version on the adapter's page, and tell its integrator.",
                    &href,
                ));
            }
        }
        if let Some(refused) = &adapter.refused {
            troubles.push(Trouble::new(
                Severity::Warn,
                format!("A version of {name} was refused: {}", text::foreign(&refused.message)),
                "The active version still serves. The adapter's page has the whole reason.",
                &href,
            ));
        }
    }
    troubles
}

fn of_queue(console: &ConsoleState, queue: &QueueName, stats: &QueueStats) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    let name = queue.to_string();
    if stats.dead_letters > 0 {
        troubles.push(Trouble::new(
            Severity::Bad,
            format!(
                "{name} has {}",
                text::count(stats.dead_letters, "dead letter", "dead letters")
            ),
            "Read the reason, mend its cause, then redrive them.",
            format!("/console/dead-letters?queue={}", segment(&name)),
        ));
    }
    let limit = Duration::from_secs(console.config.warn.uncollected_s);
    if let (Stage::Outcomes, Some(age)) = (&queue.stage, stats.oldest_age)
        && age > limit
    {
        troubles.push(Trouble::new(
            Severity::Warn,
            format!(
                "{} on {name}; the oldest for {}",
                text::count(stats.depth + stats.in_flight, "outcome is not collected", "outcomes are not collected"),
                text::duration(age)
            ),
            "ServiceNow has stopped collecting: check its job and its key. Nothing is lost meanwhile.",
            format!("/console/queues/{}", segment(&name)),
        ));
    }
    troubles
}

fn unreadable(queue: &QueueName, error: &StatsError) -> Trouble {
    Trouble::new(
        Severity::Bad,
        format!("The state of {queue} cannot be read: {error}"),
        "Check the queue backend; the host's log has the cause.",
        "/console/queues",
    )
}

/// Returns portfolios whose first job is in hand for long while others wait.
async fn of_groups(console: &ConsoleState, now: Timestamp) -> Vec<Trouble> {
    let limit = Duration::from_secs(console.config.warn.blocked_s);
    let mut troubles = Vec::new();
    for csp in console.admin.csps.values() {
        for kind in JobKind::ALL {
            let queue = QueueName::requests(kind, &csp.name);
            // What cannot be listed is no trouble by itself.
            let Ok(groups) = console.admin.queue.blocked(&queue).await else { continue };
            for group in groups {
                let is_behind = group.why == Blocked::LeasedToWorker && group.waiting > 1;
                let age = now.since(group.sent_at);
                if is_behind && age > limit {
                    let behind = text::count(group.waiting - 1, "job waits", "jobs wait");
                    troubles.push(Trouble::new(
                        Severity::Warn,
                        format!(
                            "{behind} behind job {} of the same portfolio, which was accepted {} ago and is in hand",
                            text::foreign(&group.head),
                            text::duration(age)
                        ),
                        "Its page says what it waits for. They go on when it waits or ends.",
                        format!("/console/jobs/{}", segment(&group.head)),
                    ));
                }
            }
        }
    }
    troubles
}

/// Returns the reasons for which jobs failed lately, the most frequent first.
async fn of_failures(console: &ConsoleState, now: Timestamp) -> Vec<Trouble> {
    let reasons = console.admin.trail.failed_reasons(now - LATELY).await.unwrap_or_default();
    let mut troubles = Vec::new();
    // An operator who has ended a job knows of it.
    let by_themselves = reasons.iter().filter(|reason| {
        !reason.class.as_deref().is_some_and(|class| OPERATOR_CLASSES.contains(&class))
    });
    for reason in by_themselves.take(FAILURES_MAX) {
        let csp = reason.csp.as_deref().unwrap_or("a CSP");
        let jobs = text::count(reason.jobs, "job", "jobs");
        let words = text::foreign(reason.reason.as_deref().unwrap_or("the CSP refused them"));
        let page = format!("/console/jobs/{}", segment(&reason.example));
        troubles.push(if refuses_credential(console, &reason.example).await {
            Trouble::new(
                Severity::Bad,
                format!("{csp} refuses HOTH's credential, so {jobs} failed in the last hour: {words}"),
                "Renew the credential in its file or variable, or ask the CSP for the right it lacks.",
                page,
            )
        } else {
            let class = reason.class.as_deref().unwrap_or_default();
            // What the CSP refuses is for ServiceNow to mend.
            let is_refusal = matches!(class, "refused" | "not-found");
            Trouble::new(
                if is_refusal { Severity::Warn } else { Severity::Bad },
                format!("{jobs} of {csp} failed in the last hour: {words}"),
                remedy(class),
                page,
            )
        });
    }
    troubles
}

/// Returns `true` if the CSP, or its identity provider, refused the credential
/// of a job.
async fn refuses_credential(console: &ConsoleState, id: &str) -> bool {
    for kind in JobKind::ALL {
        let Ok(Some(job)) = console.admin.trail.job(kind, id).await else { continue };
        let refused = |event: &TimelineEvent| {
            if let JobEventKind::RequestTried(tried) = &event.what {
                return tried.credential_refused;
            }
            if let JobEventKind::CredentialObtained(obtained) = &event.what {
                return obtained.failure == Some(TransportCode::TokenRefused);
            }
            false
        };
        if job.events.iter().any(refused) {
            return true;
        }
    }
    false
}

/// Returns the remedy for a class of failures (`JobError::class`, or the class
/// of the adapter).
fn remedy(class: &str) -> &'static str {
    match class {
        "adapter-failed" | "invalid-answer" | "too-many-steps" | "too-much-computing" => {
            "The adapter cannot go on: activate an earlier version on its page, and tell its integrator."
        }
        // Such as the state of a job that another version has written.
        "unsupported" => {
            "The adapter cannot do this: activate an earlier version that could on its page, or tell its integrator."
        }
        "host-failed" | "too-many-deliveries" | "unreadable" | "wrong-queue" => {
            "Its message is a dead letter: read the reason, mend its cause, then redrive it."
        }
        "unavailable" => "The CSP gave no usable answer. Its page shows if it goes on.",
        _ => "The job's page has the request, the answer and the step.",
    }
}

/// Returns CSPs whose calls take long on average, with the time of the last
/// ten minutes.
fn of_slow_calls(console: &ConsoleState, seen: &Snapshot<'_>) -> Vec<Trouble> {
    let recent = |minute: &&Minute| minute.at >= seen.now - RECENTLY;
    let limit = console.config.warn.slow_call_ms;
    let mut troubles = Vec::new();
    for csp in console.admin.csps.keys() {
        let of_csp =
            || seen.minutes.iter().filter(recent).filter(|minute| minute.csp == csp.as_str());
        let calls: u64 = of_csp().map(|minute| minute.calls).sum();
        let total_ms: u64 = of_csp().map(|minute| minute.call_ms_sum).sum();
        let mean_ms = total_ms.checked_div(calls).unwrap_or_default();
        if mean_ms > limit {
            let longest = of_csp().map(|minute| minute.call_ms_max).max().unwrap_or_default();
            let [mean, longest] =
                [mean_ms, longest].map(|ms| text::duration(Duration::from_millis(ms)));
            troubles.push(Trouble::new(
                Severity::Warn,
                format!("{csp} is slow: its calls take {mean} on average, {longest} at most"),
                "Its jobs take longer, others are not delayed. Ask the CSP.",
                format!("/console/csps/{}", segment(csp.as_str())),
            ));
        }
    }
    troubles
}

/// Returns the trouble of a trail that cannot be read.
fn of_trail(error: &TrailError) -> Trouble {
    Trouble::new(
        Severity::Warn,
        format!("The trail cannot tell what happened to jobs: {error}"),
        "Jobs are not affected. Check the file at trail.path; the log has the cause.",
        "/console/hosts",
    )
}

/// Returns the trouble of a disk that is nearly full.
fn of_disk(console: &ConsoleState) -> Option<Trouble> {
    let room = console.admin.host.disk()?;
    let percent = room.free_percent();
    (percent < console.config.warn.disk_free_percent).then(|| {
        Trouble::new(
            Severity::Bad,
            format!(
                "The disk of the queue is nearly full: {} free, {percent} %",
                text::bytes(room.free)
            ),
            "Make room, or HOTH will refuse new jobs with 503. What was accepted stays safe.",
            "/console/hosts",
        )
    })
}

/// Returns the trouble of a host that takes no jobs.
fn of_drain(console: &ConsoleState, now: Timestamp) -> Option<Trouble> {
    let since = console.admin.drain.switch.since()?;
    let age = text::duration(now.since(since));
    Some(Trouble::new(
        Severity::Warn,
        format!("This host is drained for {age}: it takes no jobs"),
        "Resume it on the page of hosts when the maintenance is over. A restart resumes it, too.",
        "/console/hosts",
    ))
}
