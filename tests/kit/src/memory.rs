//! The memory of a process, from `/proc/<id>/status`.

use anyhow::Context as _;

/// Returns the resident memory of a process in bytes.
///
/// # Errors
///
/// Returns an error if there is no such process.
pub fn resident(process: u32) -> anyhow::Result<u64> {
    line(process, "VmRSS:")
}

/// Returns the highest resident memory of a process so far, in bytes.
///
/// # Errors
///
/// Returns an error if there is no such process.
pub fn peak(process: u32) -> anyhow::Result<u64> {
    line(process, "VmHWM:")
}

/// Reads a line, which counts in KiB; see proc(5).
fn line(process: u32, name: &str) -> anyhow::Result<u64> {
    let path = format!("/proc/{process}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let line = line.with_context(|| format!("no {name} in {path}"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().context("reading a memory size")?;
    Ok(kib * 1_024)
}
