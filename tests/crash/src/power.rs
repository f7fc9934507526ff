//! Power cuts by a shutdown of the file system.

use std::path::Path;

use crate::host::Built;
use crate::host::Host;
use crate::trial::Trial;
use crate::volume::Volume;

/// The size of the volume: room for everything that a trial writes.
pub const VOLUME_MIB: u64 = 512;

/// Cuts the power under a host and brings it back.
///
/// The host is frozen before the cut and never thawed, because a machine
/// without power sends no answer. The shutdown is not atomic: an fsync that is
/// under way reports success for writes that the file system has dropped. A
/// [drive](crate::drive) needs no such care.
pub async fn cut(volume: &Volume, host: Host) -> anyhow::Result<()> {
    host.freeze().await?;
    volume.cut_power()?;
    host.kill().await?;
    volume.restore_power()
}

/// Cuts the power `cuts` times. Nothing may be lost.
pub async fn cuts(built: &Built, place: &Path, seed: u64, cuts: u32) -> anyhow::Result<bool> {
    let volume = Volume::make(place, VOLUME_MIB)?;
    let queue = volume.folder().join("hoth.db");
    let mut trial = Trial::begin("power", built, place, &queue, seed, true).await?;
    trial.cycles(cuts, async |host: Host| cut(&volume, host).await).await?;
    Ok(trial.end().await?.is_good())
}
