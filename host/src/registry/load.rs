//! Loading of components: new components, and retained components from the
//! object store.

use std::sync::Arc;

use super::AdapterName;
use super::Package;
use super::Refusal;
use super::Registry;
use super::ReloadError;
use super::Version;
use hoth_core::domain::Digest;

impl Registry {
    /// Loads a component: checks its signature, then compiles it or takes it
    /// from the cache.
    pub(super) async fn load_component(
        &self,
        name: &AdapterName,
        package: &Package,
    ) -> Result<Arc<Version>, Refusal> {
        // First of all: an untrusted component does not reach the compiler.
        let (digest, signer) = self.trust.check_and_digest(package).await?;
        // A version that is loaded again continues its counters.
        let usage = self.table.load().get(name).and_then(|slot| slot.usage(&digest).cloned());
        let (wasm, usage) = (package.wasm.clone(), usage.unwrap_or_default());
        let adapter = self.engine.load_counting(name.as_str(), wasm, usage).await?;
        Ok(Arc::new(Version::new(adapter, self.clock.now(), signer)))
    }

    /// Returns a retained version, from memory or from the object store.
    ///
    /// # Errors
    ///
    /// Returns [`ReloadError`] if the component is missing, or is refused by now.
    pub(super) async fn load_retained(
        &self,
        name: &AdapterName,
        digest: &Digest,
    ) -> Result<Arc<Version>, ReloadError> {
        if let Some(version) = self.table.find(name, digest) {
            return Ok(version);
        }
        let package = match self.objects.read(name, digest).await {
            Ok(package) => package,
            // The drop directory may still have the same component.
            Err(lost) => match self.drop_dir.read(name).await {
                Ok(Some((file, package))) if file.sha256 == *digest => package,
                Ok(_) | Err(_) => return Err(ReloadError::Missing(lost)),
            },
        };
        Ok(self.load_component(name, &package).await?)
    }

    /// Returns a version that is not active, for a waiting job that needs it.
    /// A refusal is remembered for some minutes.
    ///
    /// # Errors
    ///
    /// Returns the text of an error of [`Registry::load_retained`].
    pub(super) async fn load_for_resume(
        &self,
        name: &AdapterName,
        digest: &Digest,
    ) -> Result<Arc<Version>, String> {
        if let Some(version) = self.table.find(name, digest) {
            return Ok(version);
        }
        let load = self.resume_loads.of(name, digest);
        let mut last_try = load.lock().await;
        // Another job may have loaded it while this one waited for the lock.
        if let Some(version) = self.table.find(name, digest) {
            return Ok(version);
        }
        if let Some(problem) = last_try.refusal() {
            return Err(problem.to_owned());
        }
        let loaded = self.load_retained(name, digest).await;
        let version = loaded.map_err(|error| last_try.refuse(&error))?;
        // Held weakly: the jobs keep the version loaded, and later jobs find it
        // here.
        self.table.update_silently(name, |slot| slot.hold(&version));
        Ok(version)
    }
}
