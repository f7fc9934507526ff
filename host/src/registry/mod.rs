//! Adapter versions: installation, activation, and rollback.
//!
//! The versions that serve are one immutable table behind one atomic pointer.
//! Everything that can fail (reading, compiling, checking, writing) happens
//! before the pointer moves; a job takes its version from the table when a run
//! begins, and keeps it to the end of that run. Only the active version stays
//! loaded without a job; the others are kept on disk, compiled, and are loaded
//! again in milliseconds.
//!
//! The last change wins, over restarts and over all hosts that share the
//! directory. Four stores take part, and verbs say which of them they touch:
//!
//! - [`table`], in memory: the loaded versions ([`Registry::activate`]).
//! - [`ledger`], on disk: the active version of each adapter, and the targets
//!   of a rollback (`write_ledger`, `sync_ledger`).
//! - [`object_store`], on disk: the components of these versions, by digest
//!   (`store_component`).
//! - [`drop_dir`]: `<name>.wasm` files, put there by operators
//!   (`write_drop_dir`, `ingest_drop`).
//!
//! [`install`] has the steps that every new component takes, from the admin API
//! and from the drop directory; [`reconcile`] follows the drop directory and
//! the ledgers of other hosts; [`rollback`] goes back.

mod check;
mod compatibility;
mod drop_dir;
mod error;
mod files;
mod gap;
mod history;
mod install;
mod ledger;
mod listing;
mod load;
mod name;
mod named;
mod object_store;
mod observed;
mod open_files;
mod package;
mod reconcile;
mod replay_again;
mod replay_gate;
mod resume_loads;
mod rollback;
mod settings_schema;
mod signature;
mod slot;
mod table;
mod tasks;
mod version;
mod watch;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::watch as changes;
use tracing::warn;

pub use check::check_drop_dir;
pub use compatibility::Incompatible;
pub use compatibility::Requirements;
pub use error::InstallError;
pub use error::NotServing;
pub use error::Refusal;
pub use error::RegistryError;
pub use error::ReloadError;
pub use error::ReplayError;
pub use error::RollBackError;
pub use hoth_runtime::COMPONENT_BYTES_MAX;
pub use listing::AdapterListing;
pub use listing::ReplayListing;
pub use listing::VersionListing;
pub use name::AdapterName;
pub use name::BadAdapterName;
pub use package::Package;
pub use signature::SIGNATURE_BYTES_MAX;
pub use signature::SignatureError;
pub use signature::Signer;
pub use signature::Trust;
pub use signature::TrustError;
pub use version::Version;
pub use watch::RESCAN_EVERY;

use self::compatibility::CspBinding;
use self::compatibility::known_operations;
use self::drop_dir::DropDir;
use self::history::Retention;
use self::ledger::LedgerStore;
use self::named::NamedVersions;
use self::object_store::ObjectStore;
use self::observed::Observations;
use self::replay_gate::LastReport;
use self::replay_gate::ReplayGate;
use self::resume_loads::ResumeLoads;
use self::table::VersionTable;
use crate::replay::Replayer;
use crate::traces::Tracer;
use hoth_core::domain::CspName;
use hoth_core::domain::Digest;
use hoth_core::domain::SupportedOperations;
use hoth_platform::clock::Clock;
use hoth_runtime::Engine;

/// The adapters of a directory, and the CSPs that they serve.
#[derive(Debug)]
pub struct Registry {
    engine: Engine,
    trust: Trust,
    replay_gate: ReplayGate,
    clock: Clock,
    /// Longest time for which a job waits for its CSP.
    jobs_wait: Duration,
    /// The adapter of each CSP and its requirements, from the configuration.
    bindings: BTreeMap<CspName, CspBinding>,
    /// The versions that serve. Every job reads the table, without waiting.
    table: VersionTable,
    drop_dir: DropDir,
    ledgers: LedgerStore,
    objects: ObjectStore,
    /// The last known state of each adapter's files. Each adapter has its own
    /// lock, so that a slow disk operation on one does not delay the others.
    observed: Observations,
    /// Files that are left alone and were logged, each with the reason.
    left_alone: Mutex<BTreeMap<String, String>>,
    /// The loads of retained versions for waiting jobs.
    resume_loads: ResumeLoads,
    /// The versions that waiting jobs name, which are retained longest.
    named: NamedVersions,
    /// Makes the spans of deployments and replays.
    tracer: Tracer,
}

/// The parts with which a registry works.
pub struct Tools {
    pub engine: Engine,
    pub trust: Trust,
    pub replayer: Replayer,
    pub clock: Clock,
    /// Makes the spans of deployments and replays.
    pub tracer: Tracer,
}

impl Registry {
    /// Loads the versions that were active last, and creates the directory if
    /// it does not exist. A component that cannot be loaded does not prevent
    /// the start: the refusal is logged, listed, and reported to the jobs of its
    /// CSPs. Components that were put into the directory since are ingested by
    /// [`Registry::watch`], because a new component may compile for minutes.
    ///
    /// `bindings` has the adapter of each CSP and its requirements. A version
    /// that was active in the last `jobs_wait` is retained for waiting jobs.
    ///
    /// # Errors
    ///
    /// Returns [`RegistryError`] if a name is not a valid adapter name, or if the
    /// directory cannot be read.
    pub async fn open(
        tools: Tools,
        directory: &Path,
        bindings: BTreeMap<CspName, (String, Requirements)>,
        jobs_wait: Duration,
    ) -> Result<Self, RegistryError> {
        let Tools { engine, trust, replayer, clock, tracer } = tools;
        let bindings = compatibility::parse_bindings(bindings)?;
        let drop_dir = DropDir::new(directory);
        drop_dir.create()?;
        let ledgers = LedgerStore::new(directory);
        // Serving does not need the store, so a read-only directory is no
        // reason to refuse the start.
        if let Err(error) = ledgers.create() {
            warn!(
                "Cannot create {}; activations will not survive a restart: {error}",
                ledgers.folder().display()
            );
        }
        let registry = Self {
            engine,
            trust,
            replay_gate: ReplayGate::new(replayer),
            clock,
            jobs_wait,
            bindings,
            table: VersionTable::default(),
            drop_dir,
            objects: ObjectStore::new(ledgers.folder()),
            ledgers,
            observed: Observations::default(),
            left_alone: Mutex::default(),
            resume_loads: ResumeLoads::default(),
            named: NamedVersions::default(),
            tracer,
        };
        registry.follow_at_start().await?;
        Ok(registry)
    }

    /// Returns the version that new jobs of a CSP use.
    ///
    /// # Errors
    ///
    /// Returns [`NotServing`] with the reason if there is none.
    pub fn serving(&self, csp: &CspName) -> Result<Arc<Version>, NotServing> {
        let name = self.adapter_of(csp)?;
        let missing = || NotServing::Missing { adapter: name.clone() };
        let slots = self.table.load();
        let slot = slots.get(name).ok_or_else(missing)?;
        slot.active().cloned().ok_or_else(|| match &slot.problem {
            Some(problem) => {
                NotServing::Refused { adapter: name.clone(), problem: problem.clone() }
            }
            None => missing(),
        })
    }

    /// Returns the operations that new jobs of a CSP can have. Without an active
    /// version every operation is possible, because one may follow.
    pub fn operations(&self, csp: &CspName) -> SupportedOperations {
        let described = |version: Arc<Version>| known_operations(version.adapter().info());
        let operations = self.serving(csp).map(described).unwrap_or_default();
        match operations.is_empty() {
            true => SupportedOperations::Any,
            false => SupportedOperations::Only(operations),
        }
    }

    /// Returns the version that resumes a job.
    ///
    /// The active version resumes the job if it reads states of `state_version`
    /// and describes itself by the same name as the version that wrote the
    /// state. Otherwise the version that wrote the state resumes the job, and is
    /// loaded if necessary.
    ///
    /// # Errors
    ///
    /// Returns [`NotServing`] with the reason if there is none.
    pub async fn resuming(
        &self,
        csp: &CspName,
        state_version: u32,
        written_by: &Digest,
    ) -> Result<Arc<Version>, NotServing> {
        let (active, name) = (self.serving(csp)?, self.adapter_of(csp)?);
        self.note_named(name, written_by);
        let other_program = || {
            let slots = self.table.load();
            slots.get(name).is_some_and(|slot| slot.is_other_program(written_by, &active))
        };
        if active.adapter().resumes(state_version) && !other_program() {
            return Ok(active);
        }
        // Boxed, because hardly any job takes this path and every job's future
        // would have to reserve its memory.
        let loaded = Box::pin(self.load_for_resume(name, written_by)).await;
        loaded.map_err(|problem| NotServing::StateUnreadable {
            adapter: name.clone(),
            state_version,
            written_by: *written_by,
            problem,
        })
    }

    /// Notes that a waiting job names a version, which is then retained. Foreign
    /// messages may name any digest, so only versions of the ledger count.
    fn note_named(&self, name: &AdapterName, digest: &Digest) {
        let is_retained =
            self.table.load().get(name).is_some_and(|slot| slot.history.find(digest).is_some());
        if is_retained {
            self.named.record(name, digest, self.clock.now());
        }
    }

    /// Returns the rule for the retention of an adapter's versions, as of now.
    fn retention(&self, name: &AdapterName) -> Retention {
        let now = self.clock.now();
        let named = self.named.within(name, now, self.jobs_wait);
        Retention { now, jobs_wait: self.jobs_wait, named }
    }

    /// Subscribes to changes of the versions that serve.
    pub fn changed(&self) -> changes::Receiver<()> {
        self.table.subscribe()
    }

    /// Returns all adapters by name, loaded or missing.
    pub fn list(&self) -> Vec<AdapterListing> {
        listing::list(&self.table.load(), &self.bindings, &self.replay_gate.last_replays())
    }

    /// Returns the last report of the replay gate on an adapter since the host
    /// started, except for those of dry runs.
    pub fn last_report(&self, adapter: &AdapterName) -> Option<LastReport> {
        self.replay_gate.last_report(adapter)
    }

    /// Returns when the thread that interrupts adapters has ended.
    pub fn interrupter_ended(&self) -> impl Future<Output = ()> + use<> {
        self.engine.interrupter_ended()
    }

    fn adapter_of(&self, csp: &CspName) -> Result<&AdapterName, NotServing> {
        let binding = self.bindings.get(csp);
        binding
            .map(|binding| &binding.adapter)
            .ok_or_else(|| NotServing::UnknownCsp { csp: csp.clone() })
    }
}
