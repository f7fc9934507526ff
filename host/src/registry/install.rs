//! Installation of a component: validate, commit, activate.
//!
//! Every new component takes the same steps, and everything that can fail comes
//! before the last one:
//!
//! 1. `validate`: the component is an adapter that this host can run, and it
//!    meets the requirements of the CSPs that name it; under the replay policy
//!    `block` it also behaves on recorded jobs as the active version does.
//! 2. `store_component`: the object store has it under its digest.
//! 3. `write_drop_dir`: the drop directory has it as `<name>.wasm`.
//! 4. `write_ledger`: the ledger on disk says that it is active.
//! 5. `promote`: one atomic swap of the table.
//!
//! A component from the drop directory skips step 3 (see
//! [`reconcile`](super::reconcile)). A crash before step 3 changes nothing;
//! after it, the next start finds a file in the drop directory that the ledger
//! does not know, and ingests it.

use std::io;
use std::sync::Arc;

use tracing::info;
use tracing::warn;

use super::AdapterName;
use super::InstallError;
use super::Package;
use super::Refusal;
use super::Registry;
use super::Version;
use super::compatibility;
use super::history::History;
use super::ledger::Ledger;
use super::ledger::LedgerLock;
use super::ledger::SeenFile;
use super::observed::Observed;
use super::slot::LastRefusal;
use crate::metrics::table;
use crate::replay::Policy;
use crate::replay::ReplayReport;
use crate::traces::AdapterAct;
use hoth_core::domain::Digest;
use hoth_platform::failpoint;
use hoth_platform::failpoint::FailPoint;

/// A validated component.
pub(super) struct Candidate {
    pub package: Package,
    pub version: Arc<Version>,
}

impl Registry {
    /// Validates a component, stores it, writes it to the drop directory as
    /// `<name>.wasm`, and activates it for new jobs. Nothing changes until all
    /// of that has succeeded. `policy` overrides the configured replay policy
    /// for this installation.
    ///
    /// # Errors
    ///
    /// Returns [`InstallError`] if the name or the component is refused, or if
    /// the component cannot be written.
    pub async fn install(
        &self,
        name: &str,
        package: impl Into<Package>,
        policy: Option<Policy>,
    ) -> Result<Arc<Version>, InstallError> {
        let name: AdapterName = name.parse()?;
        let policy = policy.unwrap_or_else(|| self.replay_gate.policy(&name));
        let package = package.into();
        let digest = package.digest().await;
        let mut trace = self.tracer.adapter_act("deploy", name.as_str(), &digest);
        trace.set("hoth.source", "api");
        let installed = self.install_package(&name, package, digest, policy, &trace).await;
        match &installed {
            Ok(_) => trace.end("activated", None),
            Err(InstallError::Refused(refusal)) => trace.end("refused", Some(refusal.reason())),
            Err(InstallError::BadName(_) | InstallError::NotWritten { .. }) => {
                trace.end("not-written", Some("not-written"));
            }
        }
        installed
    }

    async fn install_package(
        &self,
        name: &AdapterName,
        package: Package,
        digest: Digest,
        policy: Policy,
        trace: &AdapterAct,
    ) -> Result<Arc<Version>, InstallError> {
        let not_written = |source| InstallError::NotWritten { adapter: name.clone(), source };
        // Before any lock: validation compiles and may take minutes.
        let validated = self.validate(name, package, policy, trace).await;
        let candidate =
            validated.inspect_err(|refusal| self.record_refusal(name, digest, refusal))?;

        // The lock of this adapter in this process comes first, then the lock of
        // all hosts: the second is held only while files are written. The ledger
        // is read under both, because another host may have written it.
        let observed = self.observed.of(name);
        let mut observed = observed.lock().await;
        let mut next = observed.clone();
        let lock = self.ledgers.lock().await.map_err(not_written)?;
        let mut history = self.read_ledger(name).await.history;
        self.store_component(&lock, name, &candidate).await.map_err(not_written)?;
        self.write_drop_dir(name, &candidate, &mut next).await.map_err(not_written)?;
        history.activate_new(candidate.version.to_retained(), &self.retention(name));
        self.write_ledger(&lock, name, &history, &mut next).await.map_err(not_written)?;
        // Other hosts may write now. In this host the lock of `observed` keeps the
        // ledger and the table together until the version is active.
        drop(lock);
        *observed = next;
        Ok(self.promote(name, candidate.version, history, policy, trace))
    }

    /// Checks a component as [`Registry::install`] does, replays recorded jobs
    /// on it, and changes nothing.
    ///
    /// # Errors
    ///
    /// Returns [`InstallError`] if the name or the component is refused.
    pub async fn dry_run(
        &self,
        name: &str,
        package: impl Into<Package>,
        policy: Option<Policy>,
    ) -> Result<ReplayReport, InstallError> {
        let name: AdapterName = name.parse()?;
        let candidate = self.load_compatible(&name, &package.into()).await?;
        let policy = policy.unwrap_or_else(|| self.replay_gate.policy(&name));
        let active = self.table.active(&name);
        let digest = candidate.adapter().digest();
        let trace = self.tracer.adapter_act("replay", name.as_str(), &digest);
        Ok(self.replay_gate.replay(&name, active.as_deref(), &candidate, policy, trace).await)
    }

    /// Loads a component and checks it against the requirements of its CSPs
    /// and, under the policy `block`, on recorded jobs.
    pub(super) async fn validate(
        &self,
        name: &AdapterName,
        package: Package,
        policy: Policy,
        trace: &AdapterAct,
    ) -> Result<Candidate, Refusal> {
        let version = self.load_compatible(name, &package).await?;
        let active = self.table.active(name);
        let (active, clock) = (active.as_deref(), &self.clock);
        self.replay_gate.check(name, active, &version, policy, clock, trace).await?;
        failpoint::reach(FailPoint::ComponentValidated);
        Ok(Candidate { package, version })
    }

    async fn load_compatible(
        &self,
        name: &AdapterName,
        package: &Package,
    ) -> Result<Arc<Version>, Refusal> {
        let version = self.load_component(name, package).await?;
        let active = self.table.active(name);
        let active = active.as_ref().map(|active| active.adapter().info());
        let required = compatibility::requirements_of(&self.bindings, name);
        compatibility::check(version.adapter().info(), active, required)?;
        Ok(version)
    }

    pub(super) async fn store_component(
        &self,
        lock: &LedgerLock,
        name: &AdapterName,
        candidate: &Candidate,
    ) -> io::Result<()> {
        let digest = candidate.version.adapter().digest();
        self.objects.write(lock, name, &digest, candidate.package.clone()).await?;
        failpoint::reach(FailPoint::ComponentStored);
        Ok(())
    }

    async fn write_drop_dir(
        &self,
        name: &AdapterName,
        candidate: &Candidate,
        observed: &mut Observed,
    ) -> io::Result<()> {
        let stamp = self.drop_dir.write(name, candidate.package.clone()).await?;
        failpoint::reach(FailPoint::ComponentInDropDir);
        // The watcher notices this write, too. With the stamp known, it does
        // not take the file for a new component.
        observed.drop_file = Some(SeenFile { stamp, sha256: candidate.version.adapter().digest() });
        observed.refused = None;
        Ok(())
    }

    /// Writes an adapter's ledger, and removes the components that it no
    /// longer names.
    pub(super) async fn write_ledger(
        &self,
        lock: &LedgerLock,
        name: &AdapterName,
        history: &History,
        observed: &mut Observed,
    ) -> io::Result<()> {
        let ledger = Ledger::new(observed.drop_file.clone(), history.clone());
        observed.ledger = Some(self.ledgers.write(lock, name, &ledger).await?);
        failpoint::reach(FailPoint::ChoiceRecorded);
        // After the ledger: a crash between the two leaves a file too many, the
        // other order could leave a ledger without its components.
        if let Err(error) = self.objects.prune(lock, name, history).await {
            warn!(adapter = %name, "Cannot remove old versions of {name}: {error}");
        }
        Ok(())
    }

    /// Returns the ledger on disk, or what this host knows if there is none or
    /// it cannot be read.
    pub(super) async fn read_ledger(&self, name: &AdapterName) -> Ledger {
        match self.ledgers.read(name).await {
            Ok(Some(ledger)) => ledger,
            Ok(None) | Err(_) => Ledger::new(None, self.table.history(name)),
        }
    }

    /// Activates a new version. Under the policy `warn` a replay starts, now
    /// that the version serves and nothing waits for the result.
    pub(super) fn promote(
        &self,
        name: &AdapterName,
        version: Arc<Version>,
        history: History,
        policy: Policy,
        trace: &AdapterAct,
    ) -> Arc<Version> {
        let before = self.table.active(name);
        let version = self.activate(name, version, history);
        if let (Policy::Warn, Some(before)) = (policy, before)
            && before.adapter().digest() != version.adapter().digest()
        {
            let (before, now) = (before.adapter().clone(), version.adapter().clone());
            let replay = trace.child("replay");
            self.replay_gate.replay_in_background(name, before, now, &self.clock, replay);
        }
        version
    }

    /// Makes a version active for new jobs. Nothing about it can fail by now.
    /// Returns the loaded version with the same digest if there is one.
    pub(super) fn activate(
        &self,
        name: &AdapterName,
        version: Arc<Version>,
        history: History,
    ) -> Arc<Version> {
        let version = self.table.update(name, |slot| {
            slot.history = history;
            slot.activate(version)
        });
        self.resume_loads.forget(name);
        table::ADAPTER_ACTIVATIONS.with(&[name.as_str()]).increment(1);
        // From now on there is a series, so that the first rollback is seen as
        // an increase.
        table::ADAPTER_ROLLBACKS.with(&[name.as_str()]).increment(0);
        failpoint::reach(FailPoint::VersionActivated);
        let adapter = version.adapter();
        info!(
            adapter = %name, version = adapter.info().version, sha256 = %adapter.digest(),
            "Activated {name} {}", adapter.info().version,
        );
        version
    }

    /// Counts, lists and logs the refusal of a component.
    pub(super) fn record_refusal(&self, name: &AdapterName, sha256: Digest, refusal: &Refusal) {
        let (reason, message) = (refusal.reason(), refusal.to_string());
        warn!(adapter = %name, %sha256, reason, "Refused a component for {name}: {message}");
        // A name that neither a CSP nor a loaded adapter has is probably
        // mistyped. If refusals of such names were listed, callers could fill
        // the table, and the metrics with series.
        let bound = self.bindings.values().any(|binding| binding.adapter == *name);
        let is_known = bound || self.table.load().contains_key(name);
        let label = if is_known { name.as_str() } else { "(unknown)" };
        table::ADAPTER_REFUSALS.with(&[label, reason]).increment(1);
        if is_known {
            let refused = LastRefusal { at: self.clock.now(), sha256, reason, message };
            self.table.update(name, |slot| slot.refused = Some(refused));
        }
    }
}
