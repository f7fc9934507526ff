//! What a start would refuse of what lies in the directory, found without a
//! start.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;

use super::AdapterName;
use super::Refusal;
use super::RegistryError;
use super::Requirements;
use super::Trust;
use super::compatibility;
use super::compatibility::CspBinding;
use super::drop_dir;
use crate::adapter::Engine;
use crate::domain::CspName;

/// Checks the components that the CSPs of `bindings` name, as far as they are in
/// the directory, as [`super::Registry::open`] does with those that are new to
/// it. Takes none, and writes nothing. Those that would be refused, and why.
///
/// # Errors
///
/// [`RegistryError`]: a name that no adapter can have, or a component cannot be
/// read.
pub async fn check_drop_dir(
    engine: &Engine,
    trust: &Trust,
    directory: &Path,
    bindings: BTreeMap<CspName, (String, Requirements)>,
) -> Result<Vec<(AdapterName, Refusal)>, RegistryError> {
    let bindings = compatibility::csp_bindings(bindings)?;
    let names: BTreeSet<&AdapterName> = bindings.values().map(|binding| &binding.adapter).collect();
    let mut refused = Vec::new();
    for name in names {
        if let Err(refusal) = check(engine, trust, directory, &bindings, name).await? {
            refused.push((name.clone(), refusal));
        }
    }
    Ok(refused)
}

async fn check(
    engine: &Engine,
    trust: &Trust,
    directory: &Path,
    bindings: &BTreeMap<CspName, CspBinding>,
    name: &AdapterName,
) -> Result<Result<(), Refusal>, RegistryError> {
    let unreadable = |source| RegistryError::Directory { directory: directory.to_owned(), source };
    if drop_dir::stamp(directory, name).await.map_err(unreadable)?.is_none() {
        return Ok(Ok(()));
    }
    let package = drop_dir::read(directory, name).await.map_err(unreadable)?;
    if let Err(error) = trust.check(&package.wasm, package.signature.as_deref()) {
        return Ok(Err(error.into()));
    }
    let adapter = match engine.load(name.as_str(), package.wasm).await {
        Ok(adapter) => adapter,
        Err(error) => return Ok(Err(error.into())),
    };
    let covered =
        compatibility::check(adapter.info(), None, compatibility::requirements_of(bindings, name));
    Ok(covered.map_err(Refusal::from))
}
