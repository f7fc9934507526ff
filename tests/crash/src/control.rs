//! Control trials that must lose messages: they show that a power cut can lose
//! some, and that the ledger detects the loss.

use std::path::Path;

use anyhow::Context as _;
use anyhow::ensure;

use crate::drive;
use crate::drive::Machine;
use crate::host::Built;
use crate::host::Host;
use crate::power;
use crate::trial::Trial;
use crate::volume::Volume;

/// Power cuts within which a message must be lost.
const CUTS_MAX: u32 = 20;

/// Read only by builds with debug assertions; see `queue/embedded/log_sync.rs`.
const NOT_DURABLE: (&str, &str) = ("HOTH_TEST_SYNCHRONOUS", "normal");

/// Runs every control.
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

/// Shuts down the file system under a queue that does not wait for the disk.
async fn shutdown(built: &Built, place: &Path, seed: u64) -> anyhow::Result<()> {
    let volume = Volume::make(place, power::VOLUME_MIB)?;
    let mut trial = begin(built, place, volume.folder(), seed).await?;
    trial.deployment.set(NOT_DURABLE.0, NOT_DURABLE.1);
    let cut = async |host: Host| power::cut(&volume, host).await;
    must_lose(trial, "answers without a sync, shutdown", cut).await
}

/// Cuts the power of a correct drive under a queue that does not wait for the
/// disk.
async fn drive(built: &Built, place: &Path, seed: u64) -> anyhow::Result<()> {
    let mut machine = Machine::make(place, seed)?;
    let mut trial = begin(built, place, machine.folder(), seed).await?;
    trial.deployment.set(NOT_DURABLE.0, NOT_DURABLE.1);
    let cut = async |host: Host| machine.cut_power(host).await;
    must_lose(trial, "answers without a sync, drive", cut).await
}

/// Cuts the power of a drive that acknowledges flushes without doing them,
/// under the queue as it is.
async fn drive_that_lies(built: &Built, place: &Path, seed: u64) -> anyhow::Result<()> {
    let mut machine = Machine::make(place, seed)?;
    machine.ignore_flushes()?;
    let trial = begin(built, place, machine.folder(), seed).await?;
    let cut = async |host: Host| machine.cut_power(host).await;
    must_lose(trial, "a drive that ignores flushes", cut).await
}

async fn begin(built: &Built, place: &Path, volume: &Path, seed: u64) -> anyhow::Result<Trial> {
    Trial::begin("control", built, place, &volume.join("hoth.db"), seed, true).await
}

/// Cuts the power until a message is lost.
async fn must_lose(
    mut trial: Trial,
    what: &str,
    mut cut: impl AsyncFnMut(Host) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (mut cuts, mut lost) = (0, 0);
    while lost == 0 && cuts < CUTS_MAX {
        trial.cycles(1, &mut cut).await?;
        // A loss shows once the next host has opened the queue file.
        let host = trial.deployment.start().await.context("after a power cut")?;
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
