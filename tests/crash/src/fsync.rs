//! The disk says that it could not store something.

use std::path::Path;

use anyhow::Context as _;
use anyhow::ensure;

use crate::host::Built;
use crate::host::Host;
use crate::host::Site;
use crate::shim;
use crate::trial::Trial;
use crate::volume::Volume;

/// How often.
const TIMES: u32 = 10;

/// Room for what a trial writes.
const VOLUME_MIB: u64 = 256;

/// What a host exits with when its storage has failed.
const FAILURE: i32 = 1;

/// From some moment on every fsync fails, and syncs nothing. The host must stop
/// by itself. Then the power is cut, so that whatever it acknowledged on the
/// word of a failed fsync is lost, and shows.
pub async fn failures(built: &Built, place: &Path, seed: u64) -> anyhow::Result<bool> {
    let volume = Volume::make(place, VOLUME_MIB)?;
    let queue = volume.folder().join("hoth.db");
    let mut trial = Trial::begin("fsync", built, place, &queue, seed, true).await?;
    let trigger = shim::load(&mut trial.site, place, shim::FSYNC, "HOTH_SHIM_FSYNC")?;
    let fail = async |_: &Site, host: Host| {
        std::fs::write(&trigger, "").context("making fsync fail")?;
        let code = host.ended().await.context("fsync fails, and the host goes on")?;
        ensure!(code == FAILURE, "the host ended with code {code} when fsync failed");
        volume.cut_power()?;
        volume.restore_power()?;
        std::fs::remove_file(&trigger).context("making fsync work again")
    };
    trial.cycles(TIMES, fail).await?;
    Ok(trial.end().await?.is_good())
}
