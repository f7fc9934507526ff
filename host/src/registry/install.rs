//! The acts that change what serves: a component arrives, an operator goes
//! back, another host did either.
//!
//! Every arrival takes the same steps, and all that can fail comes before the
//! last one:
//!
//! 1. `validate`: the bytes are an adapter that this host can run, and one that
//!    covers the CSPs that name it; where the operator says so, it also does on
//!    the jobs of the past what the active version does.
//! 2. `keep`: the store has them under their digest.
//! 3. the door has them, as `<name>.wasm`.
//! 4. `record`: the ledger says that they are active, on disk.
//! 5. `activate`: one atomic store.
//!
//! A crash before 3 leaves what was; after it, the next start finds a file at
//! the door that the ledger does not know, and takes it in.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::PoisonError;

use futures_util::future::join_all;
use metrics::counter;
use tracing::info;
use tracing::warn;

use super::AdapterName;
use super::InstallError;
use super::Package;
use super::Refusal;
use super::Registry;
use super::RegistryError;
use super::RollBackError;
use super::Version;
use super::drop_dir;
use super::files::FileStamp;
use super::history::History;
use super::ledger::Ledger;
use super::ledger::LedgerLock;
use super::ledger::SeenFile;
use super::slot::RefusedComponent;
use crate::domain::Digest;
use crate::failpoint;
use crate::failpoint::FailPoint;
use crate::replay::Policy;
use hoth_core::domain::Digest;
use hoth_platform::failpoint;
use hoth_platform::failpoint::FailPoint;

/// What has been seen of one adapter's files. Its lock is held while an act is
/// put on disk and into the table, so that both say the same.
#[derive(Debug, Default)]
pub(super) struct Observed {
    /// The file at the door, whether it was taken in or refused.
    door: Option<SeenFile>,
    /// Where it was refused, the signature that lay beside it: another one is
    /// a reason to look again.
    refused_with: Option<Option<FileStamp>>,
    /// The ledger's file, as it was read or written last.
    ledger: Option<FileStamp>,
}

/// A component that could be activated.
struct Candidate {
    package: Package,
    version: Arc<Version>,
}

impl Registry {
    /// Checks a component, keeps it, puts it into the directory as
    /// `<name>.wasm`, and makes it the one that new jobs use. Until all of that
    /// has succeeded, nothing changes.
    ///
    /// # Errors
    ///
    /// [`InstallError`]: the name or the component is refused, or it cannot be
    /// written.
    pub async fn install(
        &self,
        name: &str,
        package: impl Into<Package>,
    ) -> Result<Arc<Version>, InstallError> {
        self.install_with_policy(name, package, None).await
    }

    /// The same, where an operator says for this once what a replay decides.
    ///
    /// # Errors
    ///
    /// As [`Registry::install`].
    pub async fn install_with_policy(
        &self,
        name: &str,
        package: impl Into<Package>,
        policy: Option<Policy>,
    ) -> Result<Arc<Version>, InstallError> {
        let name: AdapterName = name.parse()?;
        let policy = policy.unwrap_or_else(|| self.policy(&name));
        let package = package.into();
        let digest = Digest::of(&package.wasm);
        let validated = self.validate(&name, package, policy).await;
        let candidate =
            validated.inspect_err(|refusal| self.record_refusal(&name, digest, refusal))?;
        let observed = self.observed(&name);
        let mut observed = observed.lock().await;
        let history = self
            .put(&name, &candidate, &mut observed)
            .await
            .map_err(|source| InstallError::NotWritten { adapter: name.clone(), source })?;
        Ok(self.promote(&name, candidate.version, history, policy))
    }

    /// Makes an earlier version active: that with the digest `to`, or the one
    /// that was active before. It holds until something else arrives, also
    /// over a restart. Nothing is compiled, as long as the cache has the
    /// version.
    ///
    /// # Errors
    ///
    /// [`RollBackError`]: there is no such version, or it cannot be used any
    /// more, or the choice cannot be written.
    pub async fn roll_back(
        &self,
        name: &str,
        to: Option<&Digest>,
    ) -> Result<Arc<Version>, RollBackError> {
        let name: AdapterName = name.parse().map_err(|_| RollBackError::Unknown)?;
        let observed = self.observed(&name);
        let mut observed = observed.lock().await;
        let lock = self.store.lock().await?;
        let mut history = self.current_ledger(&name).await.history;
        if history.active().is_none() {
            return Err(RollBackError::Unknown);
        }
        let target = match to {
            Some(digest) => history.find(digest).ok_or(RollBackError::NotKept(*digest))?,
            None => history.previous().ok_or(RollBackError::NothingEarlier)?,
        };
        let digest = target.sha256;
        let version = self.load_retained(&name, &digest).await.map_err(RollBackError::Unusable)?;
        self.check_still_compatible(&name, &version)
            .map_err(|uncovered| RollBackError::Unusable(format!("is refused now: {uncovered}")))?;
        history.roll_back_to(&digest);
        self.write_ledger(&lock, &name, &history, &mut observed).await?;
        info!(adapter = %name, sha256 = %digest, "Rolling back {name}");
        Ok(self.activate(&name, version, history))
    }

    /// Takes in what is new or different since the last time: components at
    /// the door, and choices of other hosts.
    pub(super) async fn reconcile(&self) -> Result<(), RegistryError> {
        let mut names: BTreeSet<AdapterName> =
            drop_dir::list(&self.directory).await?.into_iter().collect();
        match self.store.names().await {
            Ok(kept) => names.extend(kept),
            Err(error) => warn!("The store of adapters cannot be read: {error}"),
        }
        join_all(names.iter().map(|name| self.reconcile_adapter(name))).await;
        Ok(())
    }

    async fn reconcile_adapter(&self, name: &AdapterName) {
        if let Err(error) = self.sync_ledger(name).await {
            self.report_problem(name, format!("its ledger in `.store` cannot be read: {error}"));
        }
        if let Err(error) = self.ingest_drop(name).await {
            self.report_problem(name, format!("`{name}.wasm` cannot be read: {error}"));
        }
    }

    /// Does what the ledger says, where that has changed.
    async fn sync_ledger(&self, name: &AdapterName) -> io::Result<()> {
        let observed = self.observed(name);
        let mut observed = observed.lock().await;
        let stamp = self.store.stamp(name).await?;
        if stamp == observed.ledger {
            return Ok(());
        }
        let ledger = match self.store.ledger(name).await {
            Ok(ledger) => ledger,
            Err(damaged) => {
                observed.ledger = stamp;
                // What lies at the door may be what an operator went back
                // from, so it is not taken in; another file is.
                observed.door = self.read_drop(name).await.ok().flatten().map(|(seen, _)| seen);
                self.report_problem(
                    name,
                    format!(
                        "`.store/{name}.json`, which says what is active, cannot be read: \
                         {damaged}; deploy the component again, or remove that file and put \
                         `{name}.wasm` into the directory again"
                    ),
                );
                return Ok(());
            }
        };
        observed.ledger = stamp;
        if let Some(ledger) = ledger {
            if ledger.door.is_some() {
                observed.refused_with = None;
            }
            observed.door = ledger.door.or(observed.door.take());
            self.apply_ledger(name, ledger.history).await;
        }
        Ok(())
    }

    /// Makes active what a history says.
    async fn apply_ledger(&self, name: &AdapterName, history: History) {
        let Some(chosen) = history.active().map(|kept| kept.sha256) else { return };
        let active = self.active(name);
        if active.is_some_and(|version| version.adapter().digest() == chosen) {
            self.update_table(|table| table.entry(name.clone()).or_default().history = history);
            return;
        }
        match self.load_retained(name, &chosen).await {
            Ok(version) => {
                let uncovered = self.check_still_compatible(name, &version).err();
                self.activate(name, version, history);
                if let Some(uncovered) = uncovered {
                    // It has served, and other hosts may think otherwise of it.
                    self.report_problem(
                        name,
                        format!("its active version serves, but {uncovered}"),
                    );
                }
            }
            Err(problem) => {
                self.update_table(|table| table.entry(name.clone()).or_default().history = history);
                self.report_problem(
                    name,
                    format!("the version {chosen}, which was chosen last, {problem}"),
                );
            }
        }
    }

    /// Takes in the file at the door, where that is another one, or another
    /// signature has come to one that was refused.
    async fn ingest_drop(&self, name: &AdapterName) -> io::Result<()> {
        let Some(stamp) = drop_dir::stamp(&self.directory, name).await? else { return Ok(()) };
        let signature = drop_dir::signature_stamp(&self.directory, name).await?;
        let observed = self.observed(name);
        let (before, refused_with) = {
            let observed = observed.lock().await;
            (observed.door.clone(), observed.refused_with.clone())
        };
        let refused = refused_with.is_some();
        let settled = refused_with.is_none_or(|with| with == signature);
        if settled && before.as_ref().is_some_and(|seen| seen.stamp == stamp) {
            return Ok(());
        }
        let Some((seen, package)) = self.read_drop(name).await? else { return Ok(()) };
        // A refused file that was put there again, with its old time, is an act:
        // what it was refused for may have gone.
        if settled && !refused && before.is_some_and(|before| before.is(&seen)) {
            observed.lock().await.door = Some(seen);
            return Ok(());
        }
        let candidate = self.validate(name, package, self.policy(name)).await;
        let mut observed = observed.lock().await;
        if drop_dir::stamp(&self.directory, name).await?.as_ref() != Some(&seen.stamp) {
            // It has changed again, which was noticed, too.
            return Ok(());
        }
        observed.door = Some(seen.clone());
        observed.refused_with = candidate.is_err().then_some(signature);
        match candidate {
            Ok(candidate) => self.adopt(name, candidate, &mut observed).await,
            Err(refusal) => {
                self.record_refusal(name, seen.sha256, &refusal);
                self.report_problem(name, format!("`{name}.wasm` is refused: {refusal}"));
            }
        }
        Ok(())
    }

    /// Makes active what lies at the door, unless another host has done that
    /// already: then what has become of it since counts.
    async fn adopt(&self, name: &AdapterName, candidate: Candidate, observed: &mut Observed) {
        let recorded = async {
            let lock = self.store.lock().await?;
            let ledger = self.current_ledger(name).await;
            if ledger.door.is_some() && ledger.door == observed.door {
                return Ok((ledger.history, true));
            }
            self.store_component(&lock, name, &candidate).await?;
            let mut history = ledger.history;
            history.activate_new(candidate.version.to_retained());
            self.write_ledger(&lock, name, &history, observed).await?;
            Ok::<_, io::Error>((history, false))
        };
        match recorded.await {
            Ok((history, true)) => self.apply_ledger(name, history).await,
            Ok((history, false)) => {
                drop(self.promote(name, candidate.version, history, self.policy(name)));
            }
            Err(error) => {
                // It lies at the door, so a restart comes to the same.
                warn!(
                    adapter = %name,
                    "That {name} has a new version cannot be kept; a restart takes in its file \
                     again: {error}"
                );
                let mut history = self.history(name);
                history.activate_new(candidate.version.to_retained());
                self.promote(name, candidate.version, history, self.policy(name));
            }
        }
    }

    /// Step 1: is it an adapter that this host can run, and may it?
    async fn validate(
        &self,
        name: &AdapterName,
        package: Package,
        policy: Policy,
    ) -> Result<Candidate, Refusal> {
        let version = self.load_component(name, &package).await?;
        self.check_compatible(name, &version)?;
        self.check_replay(name, &version, policy).await?;
        failpoint::reach(FailPoint::ComponentValidated);
        Ok(Candidate { package, version })
    }

    /// Steps 2 to 4 for what came over the API: the store, the door, the
    /// ledger, in this order.
    async fn put(
        &self,
        name: &AdapterName,
        candidate: &Candidate,
        observed: &mut Observed,
    ) -> io::Result<History> {
        let lock = self.store.lock().await?;
        let mut history = self.current_ledger(name).await.history;
        self.store_component(&lock, name, candidate).await?;
        let stamp = drop_dir::write(&self.directory, name, candidate.package.clone()).await?;
        failpoint::reach(FailPoint::ComponentAtTheDoor);
        observed.door = Some(SeenFile { stamp, sha256: candidate.version.adapter().digest() });
        observed.refused_with = None;
        history.activate_new(candidate.version.to_retained());
        self.write_ledger(&lock, name, &history, observed).await?;
        Ok(history)
    }

    async fn store_component(
        &self,
        lock: &LedgerLock,
        name: &AdapterName,
        candidate: &Candidate,
    ) -> io::Result<()> {
        let digest = candidate.version.adapter().digest();
        self.store.keep(lock, name, &digest, candidate.package.clone()).await?;
        failpoint::reach(FailPoint::ComponentKept);
        Ok(())
    }

    async fn write_ledger(
        &self,
        lock: &LedgerLock,
        name: &AdapterName,
        history: &History,
        observed: &mut Observed,
    ) -> io::Result<()> {
        let ledger = Ledger::new(observed.door.clone(), history.clone());
        observed.ledger = Some(self.store.record(lock, name, &ledger).await?);
        failpoint::reach(FailPoint::ChoiceRecorded);
        if let Err(error) = self.store.prune(lock, name, history).await {
            warn!(adapter = %name, "Earlier versions of {name} cannot be removed: {error}");
        }
        Ok(())
    }

    /// The last step. By the time a version gets here, nothing about it can
    /// fail. Gives the version that was loaded before where it is the same.
    fn activate(
        &self,
        name: &AdapterName,
        version: Arc<Version>,
        history: History,
    ) -> Arc<Version> {
        let version = self.update_table(|table| {
            let slot = table.entry(name.clone()).or_default();
            slot.history = history;
            slot.activate(version)
        });
        failpoint::reach(FailPoint::VersionActivated);
        let adapter = version.adapter();
        info!(
            adapter = %name, version = adapter.info().version, sha256 = %adapter.digest(),
            "Activated {name} {}", adapter.info().version,
        );
        version
    }

    /// Activates what has arrived. Where a replay is to warn, it begins now, when it
    /// keeps nobody waiting any more.
    fn promote(
        &self,
        name: &AdapterName,
        version: Arc<Version>,
        history: History,
        policy: Policy,
    ) -> Arc<Version> {
        let before = self.active(name);
        let version = self.activate(name, version, history);
        if let (Policy::Warn, Some(before)) = (policy, before)
            && before.adapter().digest() != version.adapter().digest()
        {
            let (before, now) = (before.adapter().clone(), version.adapter().clone());
            self.replay_gate.replay_in_background(name, before, now, &self.clock);
        }
        version
    }

    /// A version that was kept: as it is loaded, or from the store. The
    /// problem is what a sentence says that begins with the version.
    pub(super) async fn load_retained(
        &self,
        name: &AdapterName,
        digest: &Digest,
    ) -> Result<Arc<Version>, String> {
        if let Some(version) = self.table.load().get(name).and_then(|slot| slot.find(digest)) {
            return Ok(version);
        }
        let package = match self.store.read(name, digest).await {
            Ok(package) => package,
            // What is at the door may be the same.
            Err(lost) => match self.read_drop(name).await {
                Ok(Some((seen, package))) if seen.sha256 == *digest => package,
                Ok(_) | Err(_) => return Err(format!("cannot be read from the store: {lost}")),
            },
        };
        self.load_component(name, &package)
            .await
            .map_err(|refused| format!("is refused now: {refused}"))
    }

    pub(super) async fn load_component(
        &self,
        name: &AdapterName,
        package: &Package,
    ) -> Result<Arc<Version>, Refusal> {
        // Before any of it is looked into.
        self.trust.check(&package.wasm, package.signature.as_deref())?;
        // What is loaded again goes on counting where it was.
        let digest = Digest::of(&package.wasm);
        let usage = self.table.load().get(name).and_then(|slot| slot.usage(&digest).cloned());
        let (wasm, usage) = (package.wasm.clone(), usage.unwrap_or_default());
        let adapter = self.engine.load_counting(name.as_str(), wasm, usage).await?;
        Ok(Arc::new(Version::new(adapter, self.clock.now())))
    }

    async fn read_drop(&self, name: &AdapterName) -> io::Result<Option<(SeenFile, Package)>> {
        // Noted before it is read: a change after this has another stamp.
        let Some(stamp) = drop_dir::stamp(&self.directory, name).await? else { return Ok(None) };
        let package = drop_dir::read(&self.directory, name).await?;
        Ok(Some((SeenFile { stamp, sha256: Digest::of(&package.wasm) }, package)))
    }

    /// What the ledger says now, or what is known where it says nothing.
    async fn current_ledger(&self, name: &AdapterName) -> Ledger {
        match self.store.ledger(name).await {
            Ok(Some(ledger)) => ledger,
            Ok(None) | Err(_) => Ledger::new(None, self.history(name)),
        }
    }

    fn history(&self, name: &AdapterName) -> History {
        self.table.load().get(name).map(|slot| slot.history.clone()).unwrap_or_default()
    }

    pub(super) fn active(&self, name: &AdapterName) -> Option<Arc<Version>> {
        self.table.load().get(name).and_then(|slot| slot.active().cloned())
    }

    fn observed(&self, name: &AdapterName) -> Arc<tokio::sync::Mutex<Observed>> {
        let mut observed = self.observed.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(observed.entry(name.clone()).or_default())
    }

    /// Counts, lists and logs that a component was refused.
    fn record_refusal(&self, name: &AdapterName, sha256: Digest, refusal: &Refusal) {
        let (reason, message) = (refusal.reason(), refusal.to_string());
        let labels = [("adapter", name.to_string()), ("reason", reason.to_owned())];
        counter!("hoth_adapter_refusals_total", &labels).increment(1);
        warn!(adapter = %name, %sha256, reason, "A component for {name} is refused: {message}");
        let refused = RefusedComponent { at: self.clock.now(), sha256, reason, message };
        // Names that nobody knows, which are mistyped ones, are not listed.
        let wanted = self.bindings.values().any(|binding| binding.adapter == *name);
        self.update_table(|table| match table.get_mut(name) {
            Some(slot) => slot.refused = Some(refused),
            None if wanted => table.entry(name.clone()).or_default().refused = Some(refused),
            None => {}
        });
    }

    /// Lists and logs why something was not activated, once.
    fn report_problem(&self, name: &AdapterName, problem: String) {
        let said = self.table.load().get(name).and_then(|slot| slot.problem.clone());
        if said.as_ref() == Some(&problem) {
            return;
        }
        warn!(adapter = %name, "{name}: {problem}");
        self.update_table(|table| table.entry(name.clone()).or_default().problem = Some(problem));
    }
}
