//! The wall clock is set forward and back by an hour.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use crate::host::Built;
use crate::host::Host;
use crate::host::Site;
use crate::shim;
use crate::trial::Trial;

/// How often.
const TIMES: u32 = 12;

/// What the clock is off by, in turn, in seconds.
const OFFSETS: [i64; 4] = [3_600, 0, -3_600, 0];

/// How long a host goes on after its clock was set.
const GOES_ON: Duration = Duration::from_millis(500);

/// While a host runs the clock is set; it goes on, is killed, and the next one
/// starts under the new time. Leases must neither end nor stay, and jobs that
/// wait for their CSP must be looked at in time: else there were repetitions, or
/// messages left in the end.
pub async fn jumps(built: &Built, place: &Path, seed: u64) -> anyhow::Result<bool> {
    let queue = place.join("hoth.db");
    let mut trial = Trial::begin("clock", built, place, &queue, seed, false).await?;
    let control = shim::load(&mut trial.site, place, shim::CLOCK, "HOTH_SHIM_CLOCK")?;
    std::fs::write(&control, 0_i64.to_ne_bytes()).context("making a clock")?;
    let set = |offset: i64| {
        // In place, because hosts have it mapped.
        let file = File::options().write(true).open(&control).context("opening the clock")?;
        file.write_all_at(&offset.to_ne_bytes(), 0).context("setting the clock")
    };
    let mut offsets = OFFSETS.into_iter().cycle();
    let jump = async |_: &Site, host: Host| {
        set(offsets.next().unwrap_or(0))?;
        tokio::time::sleep(GOES_ON).await;
        host.kill().await
    };
    trial.cycles(TIMES, jump).await?;
    let counts = trial.end().await?;
    Ok(counts.is_good() && counts.repeated_after_lease == 0)
}
