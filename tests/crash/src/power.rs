//! The power goes.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::ensure;

use crate::host::Built;
use crate::host::Host;
use crate::host::Site;
use crate::trial::Trial;
use crate::volume::Volume;

/// Room for what a trial writes.
const VOLUME_MIB: u64 = 512;

/// Power cuts in which a queue that does not wait for the disk must lose
/// something, or the trial proves nothing.
const CONTROL_CUTS_MAX: u32 = 20;

/// How long a host may go on without a disk before it is gone with the rest of
/// the machine: long enough to answer, if it were to.
const AFTERLIFE: Duration = Duration::from_millis(50);

/// Read by builds with debug assertions alone; see `queue/embedded/schema.rs`.
const NOT_DURABLE: (&str, &str) = ("HOTH_TEST_SYNCHRONOUS", "normal");

async fn cut(volume: &Volume, host: Host) -> anyhow::Result<()> {
    volume.cut_power()?;
    tokio::time::sleep(AFTERLIFE).await;
    host.kill().await?;
    volume.restore_power()
}

/// Cuts the power `cuts` times, and loses nothing.
pub async fn cuts(built: &Built, place: &Path, seed: u64, cuts: u32) -> anyhow::Result<bool> {
    let volume = Volume::make(place, VOLUME_MIB)?;
    let queue = volume.folder().join("hoth.db");
    let mut trial = Trial::begin("power", built, place, &queue, seed, true).await?;
    trial.cycles(cuts, async |_: &Site, host: Host| cut(&volume, host).await).await?;
    Ok(trial.end().await?.is_good())
}

/// The same with a queue that does not wait for the disk: it must lose
/// something.
pub async fn control(built: &Built, place: &Path, seed: u64) -> anyhow::Result<bool> {
    let volume = Volume::make(place, VOLUME_MIB)?;
    let queue = volume.folder().join("hoth.db");
    let mut trial = Trial::begin("control", built, place, &queue, seed, true).await?;
    trial.site.set(NOT_DURABLE.0, NOT_DURABLE.1);
    let (mut cuts, mut lost) = (0, 0);
    while lost == 0 && cuts < CONTROL_CUTS_MAX {
        trial.cycles(1, async |_: &Site, host: Host| cut(&volume, host).await).await?;
        // What is lost shows when the next host has opened what is left.
        let host = trial.site.start().await.context("after a power cut")?;
        trial.compare()?;
        host.kill().await?;
        lost = trial.shared.ledger().counts().lost;
        cuts += 1;
    }
    let acknowledged = trial.shared.ledger().counts().acknowledged;
    trial.abandon();
    ensure!(lost > 0, "a queue with synchronous=NORMAL lost nothing in {cuts} power cuts");
    println!(
        "control: synchronous=NORMAL loses {lost} of {acknowledged} acknowledged jobs in {cuts} \
         power cuts, so a cut is one"
    );
    Ok(true)
}
