//! Reconciliation: follows the drop directory and the ledgers of other hosts.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::PoisonError;
use std::time::Duration;

use futures_util::future::join_all;
use tracing::warn;

use super::AdapterName;
use super::Package;
use super::Refusal;
use super::Registry;
use super::RegistryError;
use super::ReloadError;
use super::Version;
use super::compatibility;
use super::files::FileStamp;
use super::history::History;
use super::install::Candidate;
use super::ledger::Ledger;
use super::ledger::SeenFile;
use super::observed;
use super::observed::Observed;
use super::observed::RefusedDrop;
use crate::traces::AdapterAct;
use hoth_core::domain::Digest;

/// Longest wait of a start for the versions that were active last: enough for
/// some compilations after an upgrade, which leaves the cache without use. A
/// supervisor may restart a host that does not listen after a minute.
const START_WAIT: Duration = Duration::from_secs(10);

/// Longest wait of a start for new components in the drop directory: enough for
/// most of them. Jobs of the others wait.
const START_DROP_WAIT: Duration = Duration::from_secs(3);

/// Time between two looks if a component that is being validated is replaced.
const REPLACED_CHECK_EVERY: Duration = Duration::from_secs(1);

/// A component of the drop directory that the ledger has as active.
enum Recorded {
    /// A ledger that this host has written.
    ByUs(History),
    /// A ledger that another host has written first. Its history may contain
    /// later changes already.
    ByAnotherHost,
}

/// The end of an ingestion.
enum Ingested {
    /// Nothing is left to do.
    Here,
    /// The ledger has the component, and this host has to apply it.
    ByAnotherHost,
}

/// A component in the drop directory that was not ingested yet.
struct NewDrop {
    file: SeenFile,
    package: Package,
    /// The stamp of the signature file from before the component was read.
    signature: Option<FileStamp>,
}

/// The load of the version that a ledger has as active.
struct Loaded {
    digest: Digest,
    result: Result<Arc<Version>, ReloadError>,
}

impl Registry {
    /// Applies the ledgers, and then ingests new components, for the start of a
    /// host. Waits at most `START_WAIT` for the first and `START_DROP_WAIT` for
    /// the second.
    pub(super) async fn follow_at_start(&self) -> Result<(), RegistryError> {
        let names = self.names().await?;
        let followed = join_all(names.iter().map(|name| self.follow_ledger(name)));
        // The rest is left to the watcher: jobs of these adapters wait, and all
        // other jobs must not.
        if tokio::time::timeout(START_WAIT, followed).await.is_err() {
            warn!(
                "Some adapters take longer than {} s to load; the host starts without them",
                START_WAIT.as_secs()
            );
            return Ok(());
        }
        let ingested = join_all(names.iter().map(|name| self.follow_drop(name)));
        if tokio::time::timeout(START_DROP_WAIT, ingested).await.is_err() {
            warn!(
                "Some new components take longer than {} s to validate; the host starts without \
                 them",
                START_DROP_WAIT.as_secs()
            );
        }
        Ok(())
    }

    /// Returns the adapters that have a component in the drop directory or a
    /// ledger. Logs each file that is left alone, once.
    pub(super) async fn names(&self) -> Result<BTreeSet<AdapterName>, RegistryError> {
        let listed = self.drop_dir.list().await?;
        self.log_left_alone(listed.left_alone);
        let mut names: BTreeSet<AdapterName> = listed.names.into_iter().collect();
        match self.ledgers.names().await {
            Ok(retained) => names.extend(retained),
            Err(error) => {
                warn!("Cannot read {}: {error}", self.ledgers.folder().display());
            }
        }
        Ok(names)
    }

    fn log_left_alone(&self, left_alone: BTreeMap<String, String>) {
        let mut logged = self.left_alone.lock().unwrap_or_else(PoisonError::into_inner);
        for (file, reason) in &left_alone {
            if logged.get(file) != Some(reason) {
                // Quoted: a file name may contain line breaks.
                warn!(file, "{file:?} in the adapters directory is left alone: {reason}");
            }
        }
        *logged = left_alone;
    }

    /// Applies an adapter's ledger, and reports a failure.
    pub(super) async fn follow_ledger(&self, name: &AdapterName) {
        if let Err(error) = self.sync_ledger(name).await {
            self.report_problem(name, format!("cannot read `.store/{name}.json`: {error}"));
        }
    }

    /// Ingests an adapter's component, and reports a failure.
    pub(super) async fn follow_drop(&self, name: &AdapterName) {
        match self.ingest_drop(name).await {
            Ok(Ingested::Here) => {}
            // Without the lock that `ingest_drop` holds: the ledger may have
            // another version by now, which has to be compiled.
            Ok(Ingested::ByAnotherHost) => self.follow_ledger(name).await,
            Err(error) => {
                self.report_problem(name, format!("cannot read `{name}.wasm`: {error}"));
            }
        }
    }

    /// Applies an adapter's ledger if its file has changed, or if the machine
    /// prevented that at the last try.
    async fn sync_ledger(&self, name: &AdapterName) -> io::Result<()> {
        let observed = self.observed.of(name);
        // Taken before the file is read: a write after this has another stamp,
        // and the next pass reads it.
        let stamp = self.ledgers.stamp(name).await?;
        {
            let observed = observed.lock().await;
            if stamp == observed.ledger && !observed::is_due(observed.retry_at) {
                return Ok(());
            }
        }
        let read = self.ledgers.read(name).await;
        // Before the lock, because a version may compile for minutes, and an
        // installation or rollback of the same adapter must not wait for it.
        let loaded = match &read {
            Ok(Some(ledger)) => self.load_active(name, &ledger.history).await,
            Ok(None) | Err(_) => None,
        };
        let mut observed = observed.lock().await;
        // Written meanwhile, by this host or another one: the next pass reads
        // it.
        if self.ledgers.stamp(name).await? != stamp {
            return Ok(());
        }
        match read {
            Ok(Some(ledger)) => self.apply_ledger(name, ledger, loaded, &mut observed),
            Ok(None) => {}
            Err(damaged) => self.report_damaged_ledger(name, &damaged, &mut observed).await,
        }
        // Last: a start that does not wait any longer drops this future, and
        // the watcher has to begin again.
        observed.ledger = stamp;
        Ok(())
    }

    /// Loads the version that a history has as active. Returns `None` if it is
    /// active already, or if there is none.
    async fn load_active(&self, name: &AdapterName, history: &History) -> Option<Loaded> {
        let digest = history.active()?.sha256;
        let active = self.table.active(name);
        if active.is_some_and(|version| version.adapter().digest() == digest) {
            return None;
        }
        self.note_pending(name, "the version that was activated last is being loaded");
        Some(Loaded { digest, result: self.load_retained(name, &digest).await })
    }

    /// Applies a ledger, whose active version is already loaded. If the machine
    /// has prevented the load, a later pass tries again.
    fn apply_ledger(
        &self,
        name: &AdapterName,
        ledger: Ledger,
        loaded: Option<Loaded>,
        observed: &mut Observed,
    ) {
        // The host that wrote the ledger has accepted its file, so a refusal of
        // an older one says nothing any more.
        if ledger.drop_file.is_some() {
            observed.refused = None;
        }
        observed.drop_file = ledger.drop_file.or(observed.drop_file.take());
        observed.retry_at = None;
        let history = ledger.history;
        match loaded {
            None => self.table.update(name, |slot| slot.history = history),
            Some(Loaded { result: Ok(version), .. }) => {
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
            Some(Loaded { digest, result: Err(error) }) => {
                observed.retry_at = error.is_transient().then(observed::next_try);
                self.table.update(name, |slot| slot.history = history);
                self.report_problem(
                    name,
                    format!("cannot load version {digest}, which was activated last: {error}"),
                );
            }
        }
    }

    async fn report_damaged_ledger(
        &self,
        name: &AdapterName,
        damaged: &io::Error,
        observed: &mut Observed,
    ) {
        // The file in the drop directory may be a version that was rolled back,
        // so it counts as seen and is not ingested; a later file is.
        observed.drop_file = self.drop_dir.read(name).await.ok().flatten().map(|(file, _)| file);
        self.report_problem(
            name,
            format!(
                "cannot read `.store/{name}.json`, which has the active version: {damaged}; deploy \
                 the component again, or remove that file and put `{name}.wasm` into the directory \
                 again"
            ),
        );
    }

    /// Ingests the component in the drop directory if it is new, or if it was
    /// refused and its signature has changed since.
    async fn ingest_drop(&self, name: &AdapterName) -> io::Result<Ingested> {
        let Some(NewDrop { file, package, signature }) = self.find_new_drop(name).await? else {
            return Ok(Ingested::Here);
        };
        self.note_pending(name, "its component is being validated");
        let mut trace = self.tracer.adapter_act("deploy", name.as_str(), &file.sha256);
        trace.set("hoth.source", "directory");
        let Some(candidate) = self.validate_drop(name, package, &file.stamp, &trace).await? else {
            return Ok(Ingested::Here);
        };
        let observed = self.observed.of(name);
        let mut observed = observed.lock().await;
        // The file may have been replaced while it was validated, by an
        // operator or by an installation over the API. Then this result is
        // stale; the watcher has seen the change, and the next pass reads it.
        if self.drop_dir.stamp(name).await?.as_ref() != Some(&file.stamp) {
            return Ok(Ingested::Here);
        }
        let mut next = observed.clone();
        (next.drop_file, next.compared) = (Some(file.clone()), true);
        // `signature` is the stamp from before the file was read: a signature
        // that has arrived since differs from it, and the file is validated
        // again.
        next.refused = candidate.as_ref().err().map(|refusal| RefusedDrop {
            signature,
            retry_at: refusal.is_transient().then(observed::next_try),
        });
        match candidate {
            Ok(candidate) => {
                let adopted = self.adopt(name, candidate, next, &mut observed, &trace).await;
                let verdict = match adopted {
                    Ingested::Here => "activated",
                    Ingested::ByAnotherHost => "activated-by-another-host",
                };
                trace.end(verdict, None);
                Ok(adopted)
            }
            Err(refusal) => {
                trace.end("refused", Some(refusal.reason()));
                *observed = next;
                self.record_refusal(name, file.sha256, &refusal);
                self.report_problem(name, format!("refused `{name}.wasm`: {refusal}"));
                Ok(Ingested::Here)
            }
        }
    }

    /// Reads the component in the drop directory. Returns `None` if there is
    /// none, if it has been ingested already, or if it is not complete yet.
    async fn find_new_drop(&self, name: &AdapterName) -> io::Result<Option<NewDrop>> {
        let Some(stamp) = self.drop_dir.stamp(name).await? else { return Ok(None) };
        let signature = self.drop_dir.signature_stamp(name).await?;
        let observed = self.observed.of(name);
        // Copied instead of kept locked: reading and validation take seconds,
        // and an installation or rollback of the same adapter must not wait.
        let (last_file, refused, compared) = {
            let observed = observed.lock().await;
            (observed.drop_file.clone(), observed.refused.clone(), observed.compared)
        };
        let is_accepted = refused.is_none();
        let is_due = refused.as_ref().is_some_and(|refused| observed::is_due(refused.retry_at));
        // A component may arrive before its signature. So a refusal holds only as
        // long as the signature file is the same as at the refusal.
        let same_signature = refused.is_none_or(|refused| refused.signature == signature);
        let same_stamp = last_file.as_ref().is_some_and(|last| last.stamp == stamp);
        if compared && same_signature && same_stamp && !is_due {
            return Ok(None);
        }
        let Some((file, package)) = self.drop_dir.read_settled(name).await? else {
            return Ok(None);
        };
        // Another inode with the same time and content is the accepted file, in
        // a restored backup or as another machine sees it, and no new arrival.
        // A refused file with another inode is a new arrival: the reason for the
        // refusal may be gone.
        if same_signature && is_accepted && last_file.is_some_and(|last| last.is_same(&file)) {
            let mut observed = observed.lock().await;
            (observed.drop_file, observed.compared) = (Some(file), true);
            return Ok(None);
        }
        Ok(Some(NewDrop { file, package, signature }))
    }

    /// Validates a component of the drop directory. Returns `None` if its file
    /// is replaced meanwhile: the next one may be the remedy for a component
    /// that compiles for minutes, and must not wait for its end.
    async fn validate_drop(
        &self,
        name: &AdapterName,
        package: Package,
        stamp: &FileStamp,
        trace: &AdapterAct,
    ) -> io::Result<Option<Result<Candidate, Refusal>>> {
        let mut validation =
            pin!(self.validate(name, package, self.replay_gate.policy(name), trace));
        loop {
            match tokio::time::timeout(REPLACED_CHECK_EVERY, &mut validation).await {
                Ok(candidate) => return Ok(Some(candidate)),
                Err(_elapsed) => {
                    if self.drop_dir.stamp(name).await?.is_some_and(|now| now != *stamp) {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Activates a component of the drop directory, unless another host has
    /// already recorded it. `next` becomes what is observed.
    async fn adopt(
        &self,
        name: &AdapterName,
        candidate: Candidate,
        mut next: Observed,
        observed: &mut Observed,
        trace: &AdapterAct,
    ) -> Ingested {
        let policy = self.replay_gate.policy(name);
        let recorded = self.record_drop(name, &candidate, &mut next).await;
        *observed = next;
        let history = match recorded {
            Ok(Recorded::ByAnotherHost) => return Ingested::ByAnotherHost,
            Ok(Recorded::ByUs(history)) => history,
            Err(error) => {
                // Activated nevertheless: the file is still in the drop directory,
                // so a restart has the same result.
                warn!(
                    adapter = %name,
                    "Cannot record the new version of {name}; a restart ingests its file again: \
                     {error}"
                );
                let mut history = self.table.history(name);
                history.activate_new(candidate.version.to_retained(), &self.retention(name));
                history
            }
        };
        self.promote(name, candidate.version, history, policy, trace);
        Ingested::Here
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
        let recorded = ledger.drop_file.as_ref();
        if recorded.zip(observed.drop_file.as_ref()).is_some_and(|(one, two)| one.is_same(two)) {
            return Ok(Recorded::ByAnotherHost);
        }
        self.store_component(&lock, name, candidate).await?;
        let mut history = ledger.history;
        history.activate_new(candidate.version.to_retained(), &self.retention(name));
        self.write_ledger(&lock, name, &history, observed).await?;
        Ok(Recorded::ByUs(history))
    }

    /// Lists why no version of an adapter serves yet. Its jobs wait.
    fn note_pending(&self, name: &AdapterName, problem: &str) {
        if self.table.active(name).is_none() {
            self.table.update_silently(name, |slot| slot.problem = Some(problem.to_owned()));
        }
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
