//! The power goes: the file system is shut down.

use std::path::Path;

use crate::host::Built;
use crate::host::Host;
use crate::host::Site;
use crate::trial::Trial;
use crate::volume::Volume;

/// Room for what a trial writes.
pub const VOLUME_MIB: u64 = 512;

/// The host stands still before the power goes, and never goes on: whoever has
/// no power sends no answer. (The shutdown is not atomic: an fsync which is under
/// way reports success for what the file system has let go of. A
/// [drive](crate::drive) needs no such care.)
pub async fn cut(volume: &Volume, host: Host) -> anyhow::Result<()> {
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
