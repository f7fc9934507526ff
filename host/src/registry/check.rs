//! Validation of the drop directory without a start, for `hoth check`.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;

use super::AdapterName;
use super::Package;
use super::Refusal;
use super::RegistryError;
use super::Requirements;
use super::Trust;
use super::compatibility;
use super::compatibility::CspBinding;
use super::drop_dir::DropDir;
use hoth_core::domain::CspName;
use hoth_runtime::Engine;

/// Validates the components in a directory that CSPs name, as
/// [`super::Registry::open`] validates new ones, and returns the refusals.
/// Installs nothing and writes nothing; a missing component is no refusal.
///
/// # Errors
///
/// Returns [`RegistryError`] if a name is not a valid adapter name, or if a
/// component cannot be read.
pub async fn check_drop_dir(
    engine: &Engine,
    trust: &Trust,
    directory: &Path,
    bindings: BTreeMap<CspName, (String, Requirements)>,
) -> Result<Vec<(AdapterName, Refusal)>, RegistryError> {
    let bindings = compatibility::parse_bindings(bindings)?;
    let drop_dir = DropDir::new(directory);
    let names: BTreeSet<&AdapterName> = bindings.values().map(|binding| &binding.adapter).collect();
    let mut refused = Vec::new();
    for name in names {
        let component = drop_dir.read(name).await.map_err(|error| drop_dir.unreadable(error))?;
        let Some((_, package)) = component else { continue };
        let checked = check(engine, trust, &bindings, name, package).await;
        refused.extend(checked.err().map(|refusal| (name.clone(), refusal)));
    }
    Ok(refused)
}

async fn check(
    engine: &Engine,
    trust: &Trust,
    bindings: &BTreeMap<CspName, CspBinding>,
    name: &AdapterName,
    package: Package,
) -> Result<(), Refusal> {
    // The order of an installation: an untrusted component is not compiled. There
    // is no active version to compare with, because nothing was started.
    trust.check_and_digest(&package).await?;
    let adapter = engine.load(name.as_str(), package.wasm).await?;
    let required = compatibility::requirements_of(bindings, name);
    compatibility::check(adapter.info(), None, required)?;
    Ok(())
}
