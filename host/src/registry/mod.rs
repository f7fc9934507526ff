//! Which version of which adapter serves which CSP.
//!
//! What serves is one immutable table behind one atomic pointer. Everything
//! that can fail (reading, compiling, checking, writing) happens before the
//! pointer moves; a job takes its version from the table when a run begins,
//! and keeps it to the end of that run.

mod directory;
mod error;
mod listing;
mod name;
mod slot;
mod version;
mod watch;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::watch as changes;
use tracing::info;
use tracing::warn;

pub use crate::adapter::COMPONENT_BYTES_MAX;
pub use error::InstallError;
pub use error::NotServing;
pub use error::RegistryError;
pub use error::RollBackError;
pub use listing::AdapterListing;
pub use listing::VersionListing;
pub use name::AdapterName;
pub use name::BadAdapterName;
pub use version::JobGuard;
pub use version::Version;

use self::directory::Stamp;
use self::slot::Slot;
use crate::adapter::Engine;
use crate::adapter::LoadError;
use crate::clock::Clock;
use crate::domain::CspName;
use crate::domain::Digest;

/// The adapters of a directory, and the CSPs that they serve.
#[derive(Debug)]
pub struct Registry {
    engine: Engine,
    clock: Clock,
    directory: PathBuf,
    /// Which adapter the configuration names for each CSP.
    wants: BTreeMap<CspName, AdapterName>,
    /// Read by every job without waiting.
    table: ArcSwap<Table>,
    /// Held while the table is exchanged: two changes at once must not undo
    /// each other.
    turn: Mutex<()>,
    /// Held while a component arrives, so that what arrives last is active
    /// last and in the file. Holds what each file was like when it was read or
    /// written, so that no file arrives twice.
    arrivals: tokio::sync::Mutex<BTreeMap<AdapterName, Stamp>>,
    changed: changes::Sender<()>,
}

type Table = BTreeMap<AdapterName, Slot>;

impl Registry {
    /// Loads every `<name>.wasm` of the directory, and creates the directory
    /// where it does not exist. A component that cannot be loaded does not stop
    /// the start: it is logged, listed, and told to whom it would have served.
    ///
    /// `wants` names the adapter of each CSP.
    ///
    /// # Errors
    ///
    /// [`RegistryError`]: a name that no adapter can have, or the directory
    /// cannot be read.
    pub async fn open(
        engine: Engine,
        clock: Clock,
        directory: &Path,
        wants: BTreeMap<CspName, String>,
    ) -> Result<Self, RegistryError> {
        let wants = wants
            .into_iter()
            .map(|(csp, name)| Ok((csp, name.parse()?)))
            .collect::<Result<_, BadAdapterName>>()?;
        directory::create(directory)?;
        let registry = Self {
            engine,
            clock,
            directory: directory.to_owned(),
            wants,
            table: ArcSwap::default(),
            turn: Mutex::default(),
            arrivals: tokio::sync::Mutex::default(),
            changed: changes::Sender::new(()),
        };
        registry.scan().await?;
        Ok(registry)
    }

    /// The version that new jobs of a CSP use.
    ///
    /// # Errors
    ///
    /// [`NotServing`] says why there is none.
    pub fn serving(&self, csp: &CspName) -> Result<Arc<Version>, NotServing> {
        self.slot(csp, |name, slot| slot.active().cloned().ok_or_else(|| refused(name, slot)))
    }

    /// The version that resumes a job: the active one where it reads states of
    /// `state_version`, else the one that wrote the state.
    ///
    /// # Errors
    ///
    /// [`NotServing`] says why there is none.
    pub fn resuming(
        &self,
        csp: &CspName,
        state_version: u32,
        written_by: &Digest,
    ) -> Result<Arc<Version>, NotServing> {
        self.slot(csp, |name, slot| {
            let active = slot.active().ok_or_else(|| refused(name, slot))?;
            if active.adapter().resumes(state_version) {
                return Ok(active.clone());
            }
            slot.find(written_by).cloned().ok_or_else(|| NotServing::StateUnreadable {
                adapter: name.clone(),
                state_version,
                written_by: *written_by,
            })
        })
    }

    /// Tells of every change of what serves.
    pub fn changed(&self) -> changes::Receiver<()> {
        self.changed.subscribe()
    }

    /// All adapters, loaded or missed, by name.
    pub fn list(&self) -> Vec<AdapterListing> {
        listing::list(&self.table.load(), &self.wants)
    }

    /// Checks a component, keeps it as `<name>.wasm`, and makes it the one
    /// that new jobs use. Until all of that has succeeded, nothing changes.
    ///
    /// # Errors
    ///
    /// [`InstallError`]: the name or the component is refused, or the file
    /// cannot be written.
    pub async fn install(
        &self,
        name: &str,
        wasm: impl Into<Bytes>,
    ) -> Result<Arc<Version>, InstallError> {
        let name: AdapterName = name.parse()?;
        let wasm = wasm.into();
        let mut stamps = self.arrivals.lock().await;
        let version = self.load(&name, wasm.clone()).await?;
        // The file before the table: what serves must also serve after a
        // restart.
        let stamp = directory::write(&self.directory, &name, wasm)
            .await
            .map_err(|source| InstallError::NotWritten { adapter: name.clone(), source })?;
        stamps.insert(name.clone(), stamp);
        Ok(self.activate(&name, version))
    }

    /// Makes the version active that was active before. It is still loaded, so
    /// this is immediate. It holds until a file or an [`Registry::install`]
    /// brings another version, or the host restarts.
    ///
    /// # Errors
    ///
    /// [`RollBackError`]: no such adapter, or it has no earlier version.
    pub fn roll_back(&self, name: &str) -> Result<Arc<Version>, RollBackError> {
        let name: AdapterName = name.parse().map_err(|_| RollBackError::Unknown)?;
        let version = self.change(|table| {
            let slot = table.get_mut(&name).ok_or(RollBackError::Unknown)?;
            slot.roll_back().ok_or(RollBackError::NothingEarlier)
        })?;
        info!(adapter = %name, sha256 = %version.adapter().digest(), "Rolled back {name}");
        Ok(version)
    }

    /// Takes in the files that are new or different since the last time.
    async fn scan(&self) -> Result<(), RegistryError> {
        let mut stamps = self.arrivals.lock().await;
        for (name, stamp) in directory::list(&self.directory).await? {
            // Noted before it is read: a change after this has another stamp.
            if stamps.insert(name.clone(), stamp.clone()) == Some(stamp) {
                continue;
            }
            let loaded = match directory::read(&self.directory, &name).await {
                Ok(wasm) => self.load(&name, wasm).await.map_err(|error| error.to_string()),
                Err(error) => Err(format!("`{name}.wasm` cannot be read: {error}")),
            };
            match loaded {
                Ok(version) => {
                    self.activate(&name, version);
                }
                Err(problem) => {
                    warn!(adapter = %name, "{name}.wasm is refused: {problem}");
                    self.change(|table| {
                        table.entry(name).or_default().problem = Some(problem);
                    });
                }
            }
        }
        Ok(())
    }

    async fn load(&self, name: &AdapterName, wasm: Bytes) -> Result<Arc<Version>, LoadError> {
        let adapter = self.engine.load(name.as_str(), wasm).await?;
        Ok(Arc::new(Version::new(adapter, self.clock.now())))
    }

    /// By the time a version gets here, nothing about it can fail. Gives the
    /// version that was loaded before where it is the same.
    fn activate(&self, name: &AdapterName, version: Arc<Version>) -> Arc<Version> {
        let version = self.change(|table| table.entry(name.clone()).or_default().activate(version));
        let adapter = version.adapter();
        info!(
            adapter = %name, version = adapter.info().version, sha256 = %adapter.digest(),
            "Activated {name} {}", adapter.info().version,
        );
        version
    }

    fn slot<T>(
        &self,
        csp: &CspName,
        read: impl FnOnce(&AdapterName, &Slot) -> Result<T, NotServing>,
    ) -> Result<T, NotServing> {
        let name =
            self.wants.get(csp).ok_or_else(|| NotServing::UnknownCsp { csp: csp.clone() })?;
        let table = self.table.load();
        let slot = table.get(name).ok_or_else(|| NotServing::Missing { adapter: name.clone() })?;
        read(name, slot)
    }

    /// Exchanges the table for a changed copy of it. The copy holds pointers
    /// only.
    fn change<T>(&self, change: impl FnOnce(&mut Table) -> T) -> T {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut table = Table::clone(&self.table.load());
        let result = change(&mut table);
        self.table.store(Arc::new(table));
        // After the table, so that who hears of it sees it.
        self.changed.send_replace(());
        result
    }
}

fn refused(name: &AdapterName, slot: &Slot) -> NotServing {
    NotServing::Refused {
        adapter: name.clone(),
        problem: slot.problem.clone().unwrap_or_else(|| "no version is loaded".to_owned()),
    }
}
