//! Reconciliation: follows the drop directory and the ledgers of other hosts.

use std::collections::BTreeSet;
use std::io;

use futures_util::future::join_all;
use tracing::warn;

use super::AdapterName;
use super::Registry;
use super::RegistryError;
use super::compatibility;
use super::history::History;
use super::install::Candidate;
use super::observed::Observed;
use super::observed::RefusedDrop;

/// A component of the drop directory that the ledger has as active.
enum Recorded {
    /// A ledger that this host has written.
    ByUs(History),
    /// A ledger that another host has written first. Its history may contain
    /// later changes already.
    ByAnotherHost(History),
}

impl Registry {
    /// Applies all changes since the last pass: ledgers that other hosts have
    /// written, and components in the drop directory.
    pub(super) async fn reconcile(&self) -> Result<(), RegistryError> {
        let mut names: BTreeSet<AdapterName> = self.drop_dir.names().await?.into_iter().collect();
        match self.ledgers.names().await {
            Ok(retained) => names.extend(retained),
            Err(error) => {
                warn!("Cannot read {}: {error}", self.ledgers.folder().display());
            }
        }
        join_all(names.iter().map(|name| self.reconcile_adapter(name))).await;
        Ok(())
    }

    async fn reconcile_adapter(&self, name: &AdapterName) {
        // The ledger first: it says which file of the drop directory has
        // already been ingested, by another host or before a restart.
        if let Err(error) = self.sync_ledger(name).await {
            self.report_problem(name, format!("cannot read `.store/{name}.json`: {error}"));
        }
        if let Err(error) = self.ingest_drop(name).await {
            self.report_problem(name, format!("cannot read `{name}.wasm`: {error}"));
        }
    }

    /// Applies an adapter's ledger if its file has changed.
    async fn sync_ledger(&self, name: &AdapterName) -> io::Result<()> {
        let observed = self.observed.of(name);
        let mut observed = observed.lock().await;
        // Taken before the file is read: a write after this has another stamp,
        // and the next pass reads it.
        let stamp = self.ledgers.stamp(name).await?;
        if stamp == observed.ledger {
            return Ok(());
        }
        let ledger = match self.ledgers.read(name).await {
            Ok(ledger) => ledger,
            Err(damaged) => {
                observed.ledger = stamp;
                // The file in the drop directory may be a version that was
                // rolled back, so it counts as seen and is not ingested; a
                // later file is.
                observed.drop_file =
                    self.drop_dir.read(name).await.ok().flatten().map(|(file, _)| file);
                self.report_problem(
                    name,
                    format!(
                        "cannot read `.store/{name}.json`, which has the active version: \
                         {damaged}; deploy the component again, or remove that file and put \
                         `{name}.wasm` into the directory again"
                    ),
                );
                return Ok(());
            }
        };
        observed.ledger = stamp;
        if let Some(ledger) = ledger {
            // The other host has accepted its file, so a refusal of an older
            // one says nothing any more.
            if ledger.drop_file.is_some() {
                observed.refused = None;
            }
            observed.drop_file = ledger.drop_file.or(observed.drop_file.take());
            self.apply_ledger(name, ledger.history).await;
        }
        Ok(())
    }

    /// Activates the version that a ledger's history has as active.
    async fn apply_ledger(&self, name: &AdapterName, history: History) {
        let Some(chosen) = history.active().map(|retained| retained.sha256) else { return };
        let active = self.table.active(name);
        if active.is_some_and(|version| version.adapter().digest() == chosen) {
            self.table.update(name, |slot| slot.history = history);
            return;
        }
        match self.load_retained(name, &chosen).await {
            Ok(version) => {
                let required = compatibility::requirements_of(&self.bindings, name);
                let incompatible =
                    compatibility::check(version.adapter().info(), None, required).err();
                self.activate(name, version, history);
                // Reported only: the version has served before, and the hosts
                // that share the directory may have other requirements.
                if let Some(incompatible) = incompatible {
                    self.report_problem(name, format!("active version serves, but {incompatible}"));
                }
            }
            Err(error) => {
                self.table.update(name, |slot| slot.history = history);
                self.report_problem(
                    name,
                    format!("cannot load version {chosen}, which was activated last: {error}"),
                );
            }
        }
    }

    /// Ingests the component in the drop directory if it is new, or if it was
    /// refused and its signature has changed since.
    async fn ingest_drop(&self, name: &AdapterName) -> io::Result<()> {
        let Some(stamp) = self.drop_dir.stamp(name).await? else { return Ok(()) };
        let signature = self.drop_dir.signature_stamp(name).await?;
        let observed = self.observed.of(name);
        // Copied instead of kept locked: validation compiles for seconds, and
        // an installation or rollback of the same adapter must not wait for it.
        let (last_file, refused) = {
            let observed = observed.lock().await;
            (observed.drop_file.clone(), observed.refused.clone())
        };
        let was_refused = refused.is_some();
        // A component may arrive before its signature. So a refusal holds only as
        // long as the signature file is the same as at the refusal.
        let same_signature = refused.is_none_or(|refused| refused.signature == signature);
        if same_signature && last_file.as_ref().is_some_and(|last| last.stamp == stamp) {
            return Ok(());
        }
        let Some((file, package)) = self.drop_dir.read(name).await? else { return Ok(()) };
        // Another inode with the same time and content is the accepted file, in
        // a restored backup or as another machine sees it, and no new arrival.
        // A refused file with another inode is a new arrival: the reason for the
        // refusal may be gone.
        if same_signature && !was_refused && last_file.is_some_and(|last| last.is_same(&file)) {
            observed.lock().await.drop_file = Some(file);
            return Ok(());
        }
        let candidate = self.validate(name, package, self.replay_gate.policy(name)).await;
        let mut observed = observed.lock().await;
        // The file may have been replaced while it was validated, by an
        // operator or by an installation over the API. Then this result is
        // stale; the watcher has seen the change, and the next pass reads it.
        if self.drop_dir.stamp(name).await?.as_ref() != Some(&file.stamp) {
            return Ok(());
        }
        observed.drop_file = Some(file.clone());
        // `signature` is the stamp from before the file was read: a signature
        // that has arrived since differs from it, and the file is validated
        // again.
        observed.refused = candidate.is_err().then_some(RefusedDrop { signature });
        match candidate {
            Ok(candidate) => self.adopt(name, candidate, &mut observed).await,
            Err(refusal) => {
                self.record_refusal(name, file.sha256, &refusal);
                self.report_problem(name, format!("refused `{name}.wasm`: {refusal}"));
            }
        }
        Ok(())
    }

    /// Activates a component of the drop directory, or follows the host that
    /// has already recorded it.
    async fn adopt(&self, name: &AdapterName, candidate: Candidate, observed: &mut Observed) {
        let policy = self.replay_gate.policy(name);
        match self.record_drop(name, &candidate, observed).await {
            Ok(Recorded::ByAnotherHost(history)) => self.apply_ledger(name, history).await,
            Ok(Recorded::ByUs(history)) => {
                self.promote(name, candidate.version, history, policy);
            }
            Err(error) => {
                // Activated nevertheless: the file is still in the drop directory,
                // so a restart has the same result.
                warn!(
                    adapter = %name,
                    "Cannot record the new version of {name}; a restart ingests its file again: \
                     {error}"
                );
                let mut history = self.table.history(name);
                history.activate_new(candidate.version.to_retained(), self.retention());
                self.promote(name, candidate.version, history, policy);
            }
        }
    }

    /// Stores a component of the drop directory and writes it to the ledger.
    async fn record_drop(
        &self,
        name: &AdapterName,
        candidate: &Candidate,
        observed: &mut Observed,
    ) -> io::Result<Recorded> {
        let lock = self.ledgers.lock().await?;
        let ledger = self.read_ledger(name).await;
        // All hosts that share the directory see the file at the same time; the
        // first one to get the lock records it. Recording it again would undo a
        // rollback that has followed.
        if ledger.drop_file.is_some() && ledger.drop_file == observed.drop_file {
            return Ok(Recorded::ByAnotherHost(ledger.history));
        }
        self.store_component(&lock, name, candidate).await?;
        let mut history = ledger.history;
        history.activate_new(candidate.version.to_retained(), self.retention());
        self.write_ledger(&lock, name, &history, observed).await?;
        Ok(Recorded::ByUs(history))
    }

    /// Lists and logs a problem of an adapter. A problem that is already
    /// listed is not logged again: every pass finds it anew.
    fn report_problem(&self, name: &AdapterName, problem: String) {
        let listed = self.table.load().get(name).and_then(|slot| slot.problem.clone());
        if listed.as_ref() == Some(&problem) {
            return;
        }
        warn!(adapter = %name, "{name}: {problem}");
        self.table.update(name, |slot| slot.problem = Some(problem));
    }
}
