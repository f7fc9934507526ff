//! Versions of the `atat` adapter that differ in one point.

use std::path::Path;

use anyhow::Context as _;
use anyhow::bail;

/// The place in the guest `varies` for the name of its change.
const MARK: &[u8] = b"variant:none....................";

/// Returns the guest `varies`, whose component is in `file`, with the change
/// `name`, such as `path`. A name that it does not know changes the bytes of
/// the component only.
///
/// # Errors
///
/// Returns an error if the file cannot be read or is another component.
pub fn variant_of(file: &Path, name: &str) -> anyhow::Result<Vec<u8>> {
    let mut wasm = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    let windows = wasm.windows(MARK.len()).enumerate();
    let places: Vec<_> = windows.filter(|(_, window)| *window == MARK).collect();
    let [(at, _)] = places[..] else {
        bail!("{} has {} places for the name of a change", file.display(), places.len())
    };
    let variant = format!("{:.<width$}", format!("variant:{name}"), width = MARK.len());
    wasm[at..at + MARK.len()].copy_from_slice(variant.as_bytes());
    Ok(wasm)
}
