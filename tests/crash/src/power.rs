//! The power goes.

use std::path::Path;

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

/// Read by builds with debug assertions alone; see `queue/embedded/schema.rs`.
const NOT_DURABLE: (&str, &str) = ("HOTH_TEST_SYNCHRONOUS", "normal");

/// The host stands still before the power goes, and never goes on: whoever has
/// no power sends no answer. (The shutdown is not atomic. A host that went on
/// might be told by an fsync which is under way that all is well, though the
/// file system has let go of what it was to write.)
async fn cut(volume: &Volume, host: Host) -> anyhow::Result<()> {
    host.freeze().await?;
    volume.cut_power()?;
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
