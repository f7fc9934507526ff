//! Preloaded libraries that replace system calls of a host, written in C and
//! compiled when they are needed.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use anyhow::ensure;

use crate::host::Deployment;

/// `shims/fsync.c`.
pub const FSYNC: &str = include_str!("../shims/fsync.c");

/// `shims/clock.c`.
pub const CLOCK: &str = include_str!("../shims/clock.c");

/// `shims/quota.c`.
pub const QUOTA: &str = include_str!("../shims/quota.c");

/// Compiles `source` into `place`, and makes every host of `deployment` load
/// the library. `variable` passes it the file that controls it. Returns the
/// path of that file.
pub fn load(
    deployment: &mut Deployment,
    place: &Path,
    source: &str,
    variable: &str,
) -> anyhow::Result<PathBuf> {
    let (text, library) = (place.join("shim.c"), place.join("shim.so"));
    std::fs::write(&text, source).context("writing the source of a shim")?;
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&text).arg("-ldl");
    let output = cc.output().context("running the C compiler `cc`")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "a shim does not compile: {said}");
    let control = place.join("shim.control");
    let text = |path: &Path| path.to_str().map(str::to_owned).context("a path is not UTF-8");
    deployment.set("LD_PRELOAD", &text(&library)?);
    deployment.set(variable, &text(&control)?);
    Ok(control)
}
