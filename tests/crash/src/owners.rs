//! Two hosts and one file.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::ensure;

use crate::host::Built;
use crate::host::Site;
use crate::trial::Csps;

/// How long the second host may take to refuse.
const PATIENCE: Duration = Duration::from_secs(30);

/// The second host refuses to start and says who has the file, and the third,
/// after the first was killed, starts.
pub async fn two(built: &Built, place: &Path) -> anyhow::Result<bool> {
    let csps = Csps::start().await?;
    let site = Site::new(built, place, &place.join("hoth.db"), &csps.all(), "")?;
    let first = site.start().await?;
    let id = first.id().context("the first host runs")?;
    let second = tokio::time::timeout(PATIENCE, site.spawn()?.wait_with_output()).await;
    let second = second.context("the second host did not refuse")?.context("the second host")?;
    let said = String::from_utf8_lossy(&second.stderr);
    ensure!(second.status.code() == Some(1), "the second host ended with {}", second.status);
    let named = said.contains(&format!("in use by another host (process {id})"));
    ensure!(named, "the second host does not say who has the file: {said}");
    first.kill().await?;
    site.start().await.context("after the first host was killed")?.kill().await?;
    println!("owners: the second host was refused and told of process {id}");
    Ok(true)
}
