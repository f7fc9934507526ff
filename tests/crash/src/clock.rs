//! A wall clock that is set forward and back by an hour.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use crate::host::Built;
use crate::host::Host;
use crate::shim;
use crate::trial::Trial;

/// The number of runs of a host.
const TIMES: u32 = 12;

/// The offsets of the clock in turn, in seconds.
const OFFSETS: [i64; 4] = [3_600, 0, -3_600, 0];

/// The time for which a host goes on after its clock was set.
const GOES_ON: Duration = Duration::from_millis(500);

/// Sets the clock while a host runs, lets it go on, kills it, and starts the
/// next one under the new time. Leases must neither end early nor stay, and
/// jobs that wait for their CSP must be polled in time. Otherwise outcomes
/// would be repeated, or messages would be left at the end.
pub async fn jumps(built: &Built, place: &Path, seed: u64) -> anyhow::Result<bool> {
    let queue = place.join("hoth.db");
    let mut trial = Trial::begin("clock", built, place, &queue, seed, false).await?;
    let control = shim::load(&mut trial.deployment, place, shim::CLOCK, "HOTH_SHIM_CLOCK")?;
    std::fs::write(&control, 0_i64.to_ne_bytes()).context("making a clock")?;
    let set = |offset: i64| {
        // Written in place, because hosts have the file mapped.
        let file = File::options().write(true).open(&control).context("opening the clock")?;
        file.write_all_at(&offset.to_ne_bytes(), 0).context("setting the clock")
    };
    let mut offsets = OFFSETS.into_iter().cycle();
    let jump = async |host: Host| {
        set(offsets.next().unwrap_or(0))?;
        tokio::time::sleep(GOES_ON).await;
        host.kill().await
    };
    trial.cycles(TIMES, jump).await?;
    let counts = trial.end().await?;
    Ok(counts.is_good() && counts.repeated_after_lease == 0)
}
