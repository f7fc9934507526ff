//! Two hosts on one queue file.

use std::path::Path;

use anyhow::Context as _;
use anyhow::ensure;

use crate::host::Built;
use crate::host::Deployment;
use crate::trial::Csps;

/// Checks that a second host refuses to start and names the owner of the file,
/// and that a third one starts after the first was killed.
pub async fn two(built: &Built, place: &Path) -> anyhow::Result<bool> {
    let csps = Csps::start().await?;
    let deployment = Deployment::new(built, place, &place.join("hoth.db"), &csps.all())?;
    let first = deployment.start().await?;
    let id = first.id().context("the first host runs")?;
    let mut second = deployment.spawn()?;
    let status = second.wait().await.context("the second host did not refuse")?;
    second.log().ended().await;
    let log = second.log().text();
    ensure!(status.code() == Some(1), "the second host ended with {status}: {log}");
    let named = log.contains(&format!("in use by another host (process {id})"));
    ensure!(named, "the second host does not name the owner of the file: {log}");
    first.kill().await?;
    deployment.start().await.context("after the first host was killed")?.kill().await?;
    println!("owners: the second host refused to start and named process {id}");
    Ok(true)
}
