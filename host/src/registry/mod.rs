//! Which version of which adapter serves which CSP.
//!
//! What serves is one immutable table behind one atomic pointer. Everything
//! that can fail (reading, compiling, checking, writing) happens before the
//! pointer moves; a job takes its version from the table when a run begins,
//! and keeps it to the end of that run. Only the active version stays loaded
//! without a job; the others are kept on disk, compiled, and come back in
//! milliseconds.
//!
//! The last act wins, over restarts and over all hosts that share the
//! directory: [`ledger`] has the choices, [`install`] makes and follows them.

mod check;
mod compatibility;
mod drop_dir;
mod error;
mod files;
mod history;
mod install;
mod ledger;
mod listing;
mod name;
mod package;
mod replay_gate;
mod signature;
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
use tokio::sync::watch as changes;
use tracing::warn;

pub use crate::adapter::COMPONENT_BYTES_MAX;
pub use check::check_drop_dir;
pub use compatibility::Incompatible;
pub use compatibility::Requirements;
pub use error::InstallError;
pub use error::NotServing;
pub use error::Refusal;
pub use error::RegistryError;
pub use error::RollBackError;
pub use hoth_runtime::COMPONENT_BYTES_MAX;
pub use listing::AdapterListing;
pub use listing::RefusedListing;
pub use listing::ReplayListing;
pub use listing::UsageListing;
pub use listing::VersionListing;
pub use name::AdapterName;
pub use name::BadAdapterName;
pub use package::Package;
pub use signature::SIGNATURE_BYTES_MAX;
pub use signature::SignatureError;
pub use signature::Trust;
pub use signature::TrustError;
pub use version::JobGuard;
pub use version::Version;

use self::compatibility::CspBinding;
use self::install::Observed;
use self::ledger::Store;
use self::replay_gate::ReplayGate;
use self::slot::Slot;
use crate::adapter::Engine;
use crate::clock::Clock;
use crate::domain::CspName;
use crate::domain::Digest;
use crate::replay::Replayer;
use hoth_core::domain::CspName;
use hoth_core::domain::Digest;
use hoth_platform::clock::Clock;
use hoth_runtime::Engine;

/// The adapters of a directory, and the CSPs that they serve.
#[derive(Debug)]
pub struct Registry {
    engine: Engine,
    trust: Trust,
    replay_gate: ReplayGate,
    clock: Clock,
    directory: PathBuf,
    store: Store,
    /// What the configuration says of each CSP's adapter.
    bindings: BTreeMap<CspName, CspBinding>,
    /// Read by every job without waiting.
    table: ArcSwap<Table>,
    /// Held while the table is exchanged: two changes at once must not undo
    /// each other.
    swap_lock: Mutex<()>,
    /// Each adapter by itself, so that none waits for another.
    observed: Mutex<BTreeMap<AdapterName, Arc<tokio::sync::Mutex<Observed>>>>,
    /// Held while a version is loaded for a job that waits for it, so that a
    /// thousand such jobs load it once.
    resume_loads: tokio::sync::Mutex<()>,
    changed: changes::Sender<()>,
}

type Table = BTreeMap<AdapterName, Slot>;

impl Registry {
    /// Loads what was active last, and then what was put into the directory
    /// since, as `<name>.wasm`; creates the directory where it does not exist.
    /// A component that cannot be loaded does not stop the start: it is logged,
    /// listed, and told to whom it would have served.
    ///
    /// `bindings` names the adapter of each CSP, and what that must do for it.
    ///
    /// # Errors
    ///
    /// [`RegistryError`]: a name that no adapter can have, or the directory
    /// cannot be read.
    pub async fn open(
        engine: Engine,
        trust: Trust,
        replayer: Replayer,
        clock: Clock,
        directory: &Path,
        bindings: BTreeMap<CspName, (String, Requirements)>,
    ) -> Result<Self, RegistryError> {
        let bindings = compatibility::csp_bindings(bindings)?;
        drop_dir::create(directory)?;
        let store = Store::of(directory);
        if let Err(error) = store.create() {
            warn!(
                "What is active cannot be kept over a restart: {}: {error}",
                store.folder().display()
            );
        }
        let registry = Self {
            engine,
            trust,
            replay_gate: ReplayGate::new(replayer),
            clock,
            directory: directory.to_owned(),
            store,
            bindings,
            table: ArcSwap::default(),
            swap_lock: Mutex::default(),
            observed: Mutex::default(),
            resume_loads: tokio::sync::Mutex::default(),
            changed: changes::Sender::new(()),
        };
        registry.reconcile().await?;
        Ok(registry)
    }

    /// The version that new jobs of a CSP use.
    ///
    /// # Errors
    ///
    /// [`NotServing`] says why there is none.
    pub fn serving(&self, csp: &CspName) -> Result<Arc<Version>, NotServing> {
        let name = self.name(csp)?;
        let missing = || NotServing::Missing { adapter: name.clone() };
        let table = self.table.load();
        let slot = table.get(name).ok_or_else(missing)?;
        slot.active().cloned().ok_or_else(|| match &slot.problem {
            Some(problem) => {
                NotServing::Refused { adapter: name.clone(), problem: problem.clone() }
            }
            None => missing(),
        })
    }

    /// The version that resumes a job: the active one where it reads states of
    /// `state_version` and is the same adapter by its own word, else the one
    /// that wrote the state, which is loaded for it where it is not.
    ///
    /// # Errors
    ///
    /// [`NotServing`] says why there is none.
    pub async fn resuming(
        &self,
        csp: &CspName,
        state_version: u32,
        written_by: &Digest,
    ) -> Result<Arc<Version>, NotServing> {
        let (active, name) = (self.serving(csp)?, self.name(csp)?);
        let foreign = || {
            let table = self.table.load();
            table.get(name).is_some_and(|slot| slot.is_foreign(written_by, &active))
        };
        if active.adapter().resumes(state_version) && !foreign() {
            return Ok(active);
        }
        // Apart: nearly no job needs the room.
        let loaded = Box::pin(self.load_for_resume(name, written_by)).await;
        loaded.map_err(|problem| NotServing::StateUnreadable {
            adapter: name.clone(),
            state_version,
            written_by: *written_by,
            problem,
        })
    }

    /// Tells of every change of what serves.
    pub fn changed(&self) -> changes::Receiver<()> {
        self.changed.subscribe()
    }

    /// All adapters, loaded or missed, by name.
    pub fn list(&self) -> Vec<AdapterListing> {
        listing::list(&self.table.load(), &self.bindings, &self.replay_gate.last_replays())
    }

    fn name(&self, csp: &CspName) -> Result<&AdapterName, NotServing> {
        let binding = self.bindings.get(csp);
        binding
            .map(|binding| &binding.adapter)
            .ok_or_else(|| NotServing::UnknownCsp { csp: csp.clone() })
    }

    /// A version that is not active, for a job that needs it.
    async fn load_for_resume(
        &self,
        name: &AdapterName,
        digest: &Digest,
    ) -> Result<Arc<Version>, String> {
        let loaded = || self.table.load().get(name).and_then(|slot| slot.find(digest));
        if let Some(version) = loaded() {
            return Ok(version);
        }
        let _loading = self.resume_loads.lock().await;
        // Whoever had the turn before may have loaded it.
        if let Some(version) = loaded() {
            return Ok(version);
        }
        let version = self.load_retained(name, digest).await?;
        self.swap_table(|table| table.entry(name.clone()).or_default().hold(&version));
        Ok(version)
    }

    /// Changes what serves, or what is said of it, and tells of it.
    fn update_table<T>(&self, change: impl FnOnce(&mut Table) -> T) -> T {
        let result = self.swap_table(change);
        // After the table, so that who hears of it sees it.
        self.changed.send_replace(());
        result
    }

    /// Exchanges the table for a changed copy of it. The copy holds pointers
    /// and histories only.
    fn swap_table<T>(&self, change: impl FnOnce(&mut Table) -> T) -> T {
        let _swapping = self.swap_lock.lock().unwrap_or_else(PoisonError::into_inner);
        let mut table = Table::clone(&self.table.load());
        let result = change(&mut table);
        self.table.store(Arc::new(table));
        result
    }
}
