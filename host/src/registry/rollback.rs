//! Rollback to a retained version.

use std::sync::Arc;

use tracing::info;

use super::AdapterName;
use super::Registry;
use super::ReloadError;
use super::RollBackError;
use super::Version;
use super::compatibility;
use hoth_core::domain::Digest;

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
        let observed = self.observed.of(&name);
        let mut observed = observed.lock().await;
        // Before the ledger is read: another host could write it in between,
        // and its change would be lost.
        let lock = self.ledgers.lock().await?;
        let mut history = self.read_ledger(&name).await.history;
        if history.active().is_none() {
            return Err(RollBackError::Unknown);
        }
        let target = match to {
            Some(digest) => history.find(digest).ok_or(RollBackError::NotRetained(*digest))?,
            None => history.previous().ok_or(RollBackError::NothingEarlier)?,
        };
        let digest = target.sha256;
        let unusable = |error| RollBackError::Unusable { digest, error };
        let version = self.load_retained(&name, &digest).await.map_err(unusable)?;
        // Not compared with the active version, which may do more: an operator
        // who rolls back under pressure accepts that.
        let required = compatibility::requirements_of(&self.bindings, &name);
        compatibility::check(version.adapter().info(), None, required)
            .map_err(|incompatible| unusable(ReloadError::Refused(incompatible.into())))?;
        // The ledger before the table: a crash in between leaves the rollback to
        // the next start. The other order could lose it.
        history.roll_back_to(&digest);
        self.write_ledger(&lock, &name, &history, &mut observed).await?;
        info!(adapter = %name, sha256 = %digest, "Rolling back {name}");
        Ok(self.activate(&name, version, history))
    }
}
