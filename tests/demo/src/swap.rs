//! Another version of the adapter, while jobs run.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::ensure;
use hoth_testkit::variant_of;
use mock_csp::Answer;
use mock_csp::Gate;
use serde_json::Value;

use crate::csps::ASYNC;
use crate::csps::SYNC;
use crate::deployment::Deployment;
use crate::job_of;
use crate::jobs;
use crate::jobs::DemoJob;

/// The jobs of each group.
const JOBS: usize = 3;

/// The digits of a digest that are shown, as the host shows them.
const DIGITS: usize = 12;

/// Jobs that meet the swap at the same point of their work.
struct Group {
    name: &'static str,
    told: &'static str,
    jobs: Vec<DemoJob>,
}

/// The versions with which the jobs of a group began and ended.
#[derive(PartialEq)]
struct Versions {
    began: String,
    ended: String,
}

impl Group {
    fn new(name: &'static str, told: &'static str, csp: &'static str) -> Self {
        let job = |number| jobs::portfolio(&format!("{name}-{number}"), csp, "Demo");
        Self { name, told, jobs: (1..=JOBS).map(job).collect() }
    }

    async fn submit(&self, deployment: &Deployment) -> anyhow::Result<()> {
        for job in &self.jobs {
            deployment.post(job).await?;
        }
        Ok(())
    }
}

/// Deploys a version of the adapter while jobs run, and rolls back. Then
/// deploys a version that behaves differently, which the host refuses.
/// `candidate` is the guest `varies`.
pub async fn play(deployment: &Deployment, candidate: &Path) -> anyhow::Result<()> {
    let (before, _) = deployment.adapter().await?;
    let old = short(&before);
    println!("\nAnother version of the adapter `atat`, while its jobs run:");
    let running = Group::new("running", "in the middle of a call to CSP_SYNC", SYNC);
    let waiting = Group::new("waiting", "waiting for CSP_ASYNC", ASYNC);
    let gate = under_way(deployment, &running, &waiting).await?;
    println!("  {JOBS} jobs are {}, and {JOBS} are {};", running.told, waiting.told);
    println!("  all have begun with version {old}");

    let started_at = Instant::now();
    let (status, answer) = deployment.deploy(variant_of(candidate, "second")?).await?;
    ensure!(status == 200, "the deployment was answered with {status}: {answer}");
    let (after, listing) = deployment.adapter().await?;
    let new = short(&after);
    let replay = listing["replay"]["summary"].as_str().unwrap_or("no replay");
    println!(
        "  deployed version {new} in {:.1?}; replay of past jobs: {replay}",
        started_at.elapsed()
    );

    let later = Group::new("new", "submitted after the deployment", SYNC);
    // Without the gate, which still holds the calls under way.
    deployment.csps().prompt.script([]);
    later.submit(deployment).await?;
    let mut outcomes = deployment.collect(JOBS).await?;
    println!("  {JOBS} new jobs have ended; the calls under way still wait for their answers");
    gate.open();
    deployment.csps().later_says("SUCCESS");
    outcomes.extend(deployment.collect(2 * JOBS).await?);
    deployment.csps().later_behaves();

    deployment.roll_back(&before).await?;
    println!("  rolled back to version {old}");
    let last = Group::new("last", "submitted after the rollback", SYNC);
    last.submit(deployment).await?;
    outcomes.extend(deployment.collect(JOBS).await?);

    let versions = |began: &str, ended: &str| Versions { began: began.into(), ended: ended.into() };
    let groups = [
        (running, versions(old, old)),
        (waiting, versions(old, new)),
        (later, versions(new, new)),
        (last, versions(old, old)),
    ];
    println!("\n  {:<40} {:<13} {:<13} outcomes", "jobs", "began with", "ended with");
    for (group, expected) in &groups {
        let seen = check(deployment, group, &outcomes).await?;
        let told = format!("{JOBS} {}", group.told);
        println!("  {told:<40} {:<13} {:<13} {JOBS} x 200", seen.began, seen.ended);
        ensure!(
            seen == *expected,
            "{} should begin with {} and end with {}",
            group.name,
            expected.began,
            expected.ended
        );
    }
    let jobs = groups.len() * JOBS;
    ensure!(outcomes.len() == jobs, "{jobs} jobs have ended in {} messages", outcomes.len());
    println!("\n  No job was lost, none failed, and no run saw two versions.");
    refuse(deployment, candidate, &before).await
}

/// Submits jobs, and waits until some are in the middle of a call, which the
/// gate holds, and the others wait for their CSP.
async fn under_way(
    deployment: &Deployment,
    running: &Group,
    waiting: &Group,
) -> anyhow::Result<Gate> {
    let (csps, gate) = (deployment.csps(), Gate::closed());
    csps.prompt.script([Answer::behave().held_by(&gate)]);
    csps.later_says("IN_PROGRESS");
    let calls = csps.prompt.call_count() + JOBS;
    running.submit(deployment).await?;
    waiting.submit(deployment).await?;
    let called = tokio::time::timeout(crate::PATIENCE, csps.prompt.wait_for_calls(calls)).await;
    called.context("the jobs made no calls")?;
    for job in &waiting.jobs {
        deployment.job(&job.id, "waiting", |job| job["status"]["state"] == "WAITING").await?;
    }
    Ok(gate)
}

/// Deploys a version that would make other requests.
async fn refuse(deployment: &Deployment, candidate: &Path, active: &str) -> anyhow::Result<()> {
    let (status, answer) = deployment.deploy(variant_of(candidate, "path")?).await?;
    ensure!(status == 422, "a version that makes other requests was answered with {status}");
    let digest = answer["report"]["candidate"]["sha256"].as_str().unwrap_or_default();
    let (still, listing) = deployment.adapter().await?;
    ensure!(still == active, "the refused version {digest} is active");
    let replay = listing["replay"]["summary"].as_str().unwrap_or("no replay");
    println!("  Version {} calls other paths, and was refused: {replay}.", short(digest));
    Ok(())
}

/// Checks that each job of a group has one outcome with 200, that each of its
/// runs had one version, and that all jobs had the same. Returns these.
async fn check(
    deployment: &Deployment,
    group: &Group,
    outcomes: &[Value],
) -> anyhow::Result<Versions> {
    let mut seen = None;
    for DemoJob { id, .. } in &group.jobs {
        let codes: Vec<_> =
            outcomes.iter().filter(|message| job_of(message) == id).map(|m| &m["code"]).collect();
        ensure!(codes.len() == 1 && *codes[0] == 200, "{id} ended with {codes:?}");
        // The trail is written beside the jobs.
        let has_ended = |job: &Value| events(job).any(|event| event["event"] == "ended");
        let job = deployment.job(id, "in the trail with its end", has_ended).await?;
        let versions = runs(&job).with_context(|| format!("reading the events of {id}"))?;
        let seen = seen.get_or_insert_with(|| versions.clone());
        ensure!(*seen == versions, "{id} ran with {versions:?}, another one with {seen:?}");
    }
    let versions = seen.context("the group has no jobs")?;
    let (Some(began), Some(ended)) = (versions.first(), versions.last()) else {
        anyhow::bail!("the jobs have not run")
    };
    Ok(Versions { began: began.clone(), ended: ended.clone() })
}

/// Returns the version of each run of a job; equal ones in a row count once.
///
/// # Errors
///
/// Returns an error if a run had two versions.
fn runs(job: &Value) -> anyhow::Result<Vec<String>> {
    let mut runs: Vec<BTreeSet<&str>> = Vec::new();
    for event in events(job) {
        if event["event"] == "received" {
            runs.push(BTreeSet::new());
        }
        if let (Some(run), Some(digest)) = (runs.last_mut(), event["digest"].as_str()) {
            run.insert(digest);
        }
    }
    let mut versions = Vec::new();
    for run in runs {
        ensure!(run.len() == 1, "a run had the versions {run:?}");
        versions.extend(run.into_iter().map(str::to_owned));
    }
    versions.dedup();
    Ok(versions)
}

fn events(job: &Value) -> impl Iterator<Item = &Value> {
    job["events"].as_array().into_iter().flatten()
}

/// Returns the part of a digest that is shown.
fn short(digest: &str) -> &str {
    digest.get(..DIGITS).unwrap_or(digest)
}
