//! Rollback to a retained version.

use std::sync::Arc;

use tracing::info;

use super::AdapterName;
use super::Registry;
use super::ReloadError;
use super::RollBackError;
use super::Version;
use super::compatibility;
use super::history::History;
use crate::metrics::table;
use hoth_core::domain::Digest;

/// The most loads for one rollback: the version before the active one is
/// another one if a component is activated meanwhile.
const ATTEMPTS_MAX: u32 = 3;

impl Registry {
    /// Activates a retained version: the version with the digest `to`, or the
    /// previously active version if `to` is `None`. It stays active until another
    /// component arrives, also over a restart, and is compiled again only if the
    /// cache has lost it.
    ///
    /// # Errors
    ///
    /// Returns [`RollBackError`] if there is no such version, if it cannot be
    /// activated any more, or if the ledger cannot be written.
    pub async fn roll_back(
        &self,
        name: &str,
        to: Option<&Digest>,
    ) -> Result<Arc<Version>, RollBackError> {
        let name: AdapterName = name.parse().map_err(|_| RollBackError::Unknown)?;
        let mut digest = target(&self.read_ledger(&name).await.history, to)?;
        for _ in 0..ATTEMPTS_MAX {
            // Before any lock: the version may have to be compiled, which takes
            // longer than other hosts wait for the lock of all ledgers.
            let version = self.load_for_rollback(&name, &digest).await?;
            let observed = self.observed.of(&name);
            let mut observed = observed.lock().await;
            let lock = self.ledgers.lock().await?;
            // Read again under the lock: another host may have written it while
            // the version was loaded, and its change would be lost.
            let mut history = self.read_ledger(&name).await.history;
            let now = target(&history, to)?;
            if now != digest {
                digest = now;
                continue;
            }
            // The ledger before the table: a crash in between leaves the rollback
            // to the next start. The other order could lose it.
            history.roll_back_to(&digest, self.clock.now());
            let mut next = observed.clone();
            self.write_ledger(&lock, &name, &history, &mut next).await?;
            drop(lock);
            *observed = next;
            info!(adapter = %name, sha256 = %digest, "Rolling back {name}");
            let version = self.activate(&name, version, history);
            table::ADAPTER_ROLLBACKS.with(&[name.as_str()]).increment(1);
            return Ok(version);
        }
        Err(RollBackError::Changed)
    }

    /// Loads a retained version, and checks that it serves its CSPs.
    async fn load_for_rollback(
        &self,
        name: &AdapterName,
        digest: &Digest,
    ) -> Result<Arc<Version>, RollBackError> {
        let unusable = |error| RollBackError::Unusable { digest: *digest, error };
        let version = self.load_retained(name, digest).await.map_err(unusable)?;
        // Not compared with the active version, which may do more: an operator
        // who rolls back under pressure accepts that.
        let required = compatibility::requirements_of(&self.bindings, name);
        compatibility::check(version.adapter().info(), None, required)
            .map_err(|incompatible| unusable(ReloadError::Refused(incompatible.into())))?;
        Ok(version)
    }
}

/// Returns the version that a rollback activates.
fn target(history: &History, to: Option<&Digest>) -> Result<Digest, RollBackError> {
    if history.active().is_none() {
        return Err(RollBackError::Unknown);
    }
    let target = match to {
        Some(digest) => history.find(digest).ok_or(RollBackError::NotRetained(*digest))?,
        None => history.previous().ok_or(RollBackError::NothingEarlier)?,
    };
    Ok(target.sha256)
}
