//! What must lose something, or the power cuts prove nothing.

use std::path::Path;

use anyhow::Context as _;
use anyhow::ensure;

use crate::drive;
use crate::drive::Machine;
use crate::host::Built;
use crate::host::Host;
use crate::host::Site;
use crate::power;
use crate::trial::Trial;
use crate::volume::Volume;

/// Power cuts in which something must be lost.
const CUTS_MAX: u32 = 20;

/// Read by builds with debug assertions alone; see `queue/embedded/schema.rs`.
const NOT_DURABLE: (&str, &str) = ("HOTH_TEST_SYNCHRONOUS", "normal");

/// All that there are.
pub async fn all(built: &Built, place: &Path, seed: u64) -> anyhow::Result<bool> {
    shutdown(built, &folder(place, "shutdown")?, seed).await?;
    if !drive::is_possible() {
        println!("control: of the drive SKIPPED, because there is no /dev/fuse here");
        return Ok(true);
    }
    drive(built, &folder(place, "drive")?, seed).await?;
    drive_that_lies(built, &folder(place, "lies")?, seed).await?;
    Ok(true)
}

fn folder(place: &Path, name: &str) -> anyhow::Result<std::path::PathBuf> {
    let folder = place.join(name);
    std::fs::create_dir_all(&folder).context("making a folder")?;
    Ok(folder)
}

/// A queue that does not wait for the disk, and a file system that is shut down.
async fn shutdown(built: &Built, place: &Path, seed: u64) -> anyhow::Result<()> {
    let volume = Volume::make(place, power::VOLUME_MIB)?;
    let mut trial = begin(built, place, volume.folder(), seed).await?;
    trial.site.set(NOT_DURABLE.0, NOT_DURABLE.1);
    let cut = async |_: &Site, host: Host| power::cut(&volume, host).await;
    must_lose(trial, "synchronous=NORMAL, shutdown", cut).await
}

/// The same queue, and a drive that keeps its word.
async fn drive(built: &Built, place: &Path, seed: u64) -> anyhow::Result<()> {
    let mut machine = Machine::make(place, seed)?;
    let mut trial = begin(built, place, machine.folder(), seed).await?;
    trial.site.set(NOT_DURABLE.0, NOT_DURABLE.1);
    let cut = async |_: &Site, host: Host| machine.cut_power(host).await;
    must_lose(trial, "synchronous=NORMAL, drive", cut).await
}

/// The queue as it is, and a drive that acknowledges a flush without doing it.
async fn drive_that_lies(built: &Built, place: &Path, seed: u64) -> anyhow::Result<()> {
    let mut machine = Machine::make(place, seed)?;
    machine.ignore_flushes()?;
    let trial = begin(built, place, machine.folder(), seed).await?;
    let cut = async |_: &Site, host: Host| machine.cut_power(host).await;
    must_lose(trial, "a drive that ignores flushes", cut).await
}

async fn begin(built: &Built, place: &Path, volume: &Path, seed: u64) -> anyhow::Result<Trial> {
    Trial::begin("control", built, place, &volume.join("hoth.db"), seed, true).await
}

/// Cuts the power until something is lost.
async fn must_lose(
    mut trial: Trial,
    what: &str,
    mut cut: impl AsyncFnMut(&Site, Host) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (mut cuts, mut lost) = (0, 0);
    while lost == 0 && cuts < CUTS_MAX {
        trial.cycles(1, &mut cut).await?;
        // What is lost shows when the next host has opened what is left.
        let host = trial.site.start().await.context("after a power cut")?;
        trial.compare()?;
        host.kill().await?;
        lost = trial.shared.ledger().counts().lost;
        cuts += 1;
    }
    let acknowledged = trial.shared.ledger().counts().acknowledged;
    trial.abandon();
    ensure!(lost > 0, "{what}: nothing was lost in {cuts} power cuts");
    println!(
        "control: {what}: {lost} of {acknowledged} acknowledged jobs lost in {cuts} power cuts, \
         so a cut is one"
    );
    Ok(())
}
