//! A disk whose fsync reports errors.

use std::path::Path;

use anyhow::Context as _;
use anyhow::ensure;

use crate::host::Built;
use crate::host::Host;
use crate::shim;
use crate::trial::Trial;
use crate::volume::Volume;

/// The number of runs of a host.
const TIMES: u32 = 10;

/// The size of the volume: room for everything that a trial writes.
const VOLUME_MIB: u64 = 256;

/// The exit code of a host whose storage has failed.
const FAILURE: i32 = 1;

/// Makes every fsync fail from some moment on, without syncing anything. The
/// host must stop by itself. Then the power is cut, so that a job acknowledged
/// after a failed fsync is lost, and the ledger shows it.
pub async fn failures(built: &Built, place: &Path, seed: u64) -> anyhow::Result<bool> {
    let volume = Volume::make(place, VOLUME_MIB)?;
    let queue = volume.folder().join("hoth.db");
    let mut trial = Trial::begin("fsync", built, place, &queue, seed, true).await?;
    let trigger = shim::load(&mut trial.deployment, place, shim::FSYNC, "HOTH_SHIM_FSYNC")?;
    let fail = async |host: Host| {
        std::fs::write(&trigger, "").context("making fsync fail")?;
        let code = host.exited().await.context("the host still runs although fsync fails")?;
        ensure!(code == FAILURE, "the host ended with code {code} when fsync failed");
        volume.cut_power()?;
        volume.restore_power()?;
        std::fs::remove_file(&trigger).context("making fsync work again")
    };
    trial.cycles(TIMES, fail).await?;
    Ok(trial.end().await?.is_good())
}
