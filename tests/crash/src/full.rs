//! A full disk, or an exceeded quota, under a host.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::bail;
use anyhow::ensure;
use reqwest::Client;
use reqwest::StatusCode;
use serde_json::Value;
use serde_json::json;

use crate::clients;
use crate::disk;
use crate::host::Built;
use crate::host::Deployment;
use crate::host::Host;
use crate::shim;
use crate::trial::Csps;
use crate::volume::Volume;

/// The size of the volume: small, so that it is soon full.
const VOLUME_MIB: u64 = 64;

/// Jobs that have ended before the disk is full.
const ENDED: usize = 60;

/// Batches that are acknowledged while the disk is full.
const BATCHES: usize = 3;

/// Requests that a full disk may still take, in free pages of SQLite.
const TAKEN_MAX: usize = 2_000;

/// Refusals in a row after which the disk is full for sure.
const REFUSALS: usize = 20;

/// The longest wait for anything that ends by itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client of a host, with its own record of the answers.
struct Caller<'a> {
    http: Client,
    host: &'a Host,
    /// Acknowledged jobs, and how often the outcome of each has come.
    owed: BTreeMap<String, u32>,
}

impl Caller<'_> {
    /// Submits a job. Returns `false` if the host refused with 503 and a time
    /// to wait.
    async fn submit(&mut self, id: &str, filling: usize) -> anyhow::Result<bool> {
        let body = json!({
            "jobId": id, "userId": "u-1", "portfolioId": id, "targetCspName": "CSP_A",
            "operationType": "ADD_TASK_ORDER",
            "payload": {"note": "x".repeat(filling), "taskOrder": {
                "taskOrderNumber": "1234567890123", "popStartDate": "2021-07-01",
                "popEndDate": "2022-07-01", "clins": []
            }}
        });
        let request = self.http.post(format!("http://{}/provisioning-jobs", self.host.api));
        let request = request.header("content-type", "application/json").body(body.to_string());
        let response = request.send().await.context("POST")?;
        match response.status() {
            StatusCode::CREATED => {
                self.owed.insert(id.to_owned(), 0);
                Ok(true)
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                ensure!(response.headers().contains_key("retry-after"), "503 without Retry-After");
                Ok(false)
            }
            other => bail!("POST was answered {other}: {}", response.text().await?),
        }
    }

    /// Returns the status of `GET /readyz`.
    async fn ready(&self) -> anyhow::Result<u16> {
        let response = self.http.get(format!("http://{}/readyz", self.host.admin)).send().await?;
        Ok(response.status().as_u16())
    }

    /// Leases one batch, acknowledges it, and returns the number of its
    /// messages.
    async fn collect(&mut self) -> anyhow::Result<usize> {
        let base = format!("http://{}/provisioning-jobs", self.host.api);
        let response = self.http.get(format!("{base}?lease=60&wait=1")).send().await?;
        let status = response.status();
        let batch = response.headers().get("hoth-batch").cloned();
        let text = response.text().await?;
        ensure!(status == StatusCode::OK, "GET was answered {status}: {text}");
        let messages: Vec<Value> = serde_json::from_str(&text).context("no list")?;
        let Some(batch) = batch else { return Ok(0) };
        let body = json!({"batch": batch.to_str()?}).to_string();
        let request = self.http.post(format!("{base}/ack"));
        let request = request.header("content-type", "application/json").body(body);
        let response = request.send().await.context("acknowledging")?;
        ensure!(response.status() == StatusCode::OK, "ack was answered {}", response.status());
        for message in &messages {
            let id = message["initialSnowRequest"]["jobId"].as_str().context("an id")?;
            let times = self.owed.get_mut(id).with_context(|| format!("{id} was refused"))?;
            *times += 1;
        }
        Ok(messages.len())
    }
}

/// Fills the disk under a host.
pub async fn disk(built: &Built, place: &Path) -> anyhow::Result<bool> {
    let volume = Volume::make(place, VOLUME_MIB)?;
    let queue = volume.folder().join("hoth.db");
    let csps = Csps::start().await?;
    let deployment = Deployment::new(built, place, &queue, &csps.all())?;
    let set_full = |full| if full { volume.fill() } else { volume.empty() };
    without_room("full", &deployment, set_full).await
}

/// Exceeds a disk quota under a host, which a preloaded library imposes.
pub async fn quota(built: &Built, place: &Path) -> anyhow::Result<bool> {
    let csps = Csps::start().await?;
    let mut deployment = Deployment::new(built, place, &place.join("hoth.db"), &csps.all())?;
    let trigger = shim::load(&mut deployment, place, shim::QUOTA, "HOTH_SHIM_QUOTA")?;
    let set_full = |full| match full {
        true => std::fs::write(&trigger, "").context("exceeding the quota"),
        false => std::fs::remove_file(&trigger).context("lifting the quota"),
    };
    without_room("quota", &deployment, set_full).await
}

/// Takes the room from a host: it refuses what it cannot store, lets
/// acknowledgements through, and goes on when there is room again.
async fn without_room(
    part: &str,
    deployment: &Deployment,
    set_full: impl Fn(bool) -> anyhow::Result<()>,
) -> anyhow::Result<bool> {
    let queue = &deployment.queue;
    let host = deployment.start().await?;
    let mut client = Caller { http: clients::http()?, host: &host, owed: BTreeMap::new() };
    for number in 0..ENDED {
        ensure!(client.submit(&format!("early-{number}"), 0).await?, "refused with room left");
    }
    wait("all early jobs to end", async || Ok(disk::outcomes(queue)? == ENDED)).await?;

    set_full(true)?;
    let (mut taken, mut refused) = (0, 0);
    while refused < REFUSALS {
        match client.submit(&format!("late-{}", taken + refused), 50_000).await? {
            true => (taken, refused) = (taken + 1, 0),
            false => refused += 1,
        }
        ensure!(taken < TAKEN_MAX, "a full disk took {taken} requests");
    }
    let mut collected = 0;
    for batch in 0..BATCHES {
        let context = || format!("acknowledging batch {batch} on a full disk");
        collected += client.collect().await.with_context(context)?;
    }
    ensure!(collected > 0, "there was nothing to acknowledge");
    ensure!(!client.submit("still-full", 50_000).await?, "accepted with no room");
    ensure!(client.ready().await? == 503, "ready with no room");

    set_full(false)?;
    let started_at = Instant::now();
    let mut number = 0;
    while !client.submit(&format!("again-{number}"), 0).await? {
        ensure!(started_at.elapsed() < PATIENCE, "space came back, and the host did not notice");
        tokio::time::sleep(Duration::from_millis(100)).await;
        number += 1;
    }
    ensure!(client.ready().await? == 200, "not ready with room");
    let started_at = Instant::now();
    while client.owed.values().any(|times| *times == 0) {
        ensure!(started_at.elapsed() < PATIENCE, "some accepted jobs have no outcome");
        client.collect().await?;
    }
    let repeated = client.owed.values().filter(|times| **times > 1).count();
    println!(
        "{part}: {taken} of 50 KB fitted, then {REFUSALS} in a row were refused; {collected} \
         outcomes acknowledged meanwhile; {} accepted in all, 0 lost, {repeated} repeated",
        client.owed.len()
    );
    disk::check(queue)?;
    host.kill().await?;
    Ok(repeated == 0)
}

async fn wait(
    what: &str,
    mut is_so: impl AsyncFnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let started_at = Instant::now();
    while !is_so().await? {
        ensure!(started_at.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
