//! Secrets that are read from their sources again and again.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

use crate::transport::failure::CallFailure;

/// The time for which a key or a password is used before it is read again. A
/// rotation takes effect as fast as a restart of the host would, and few calls
/// wait for the file system.
const REREAD_INTERVAL: Duration = Duration::from_secs(5);

/// A value that is made from secrets, kept for some seconds.
#[derive(Debug)]
pub struct Reread<T> {
    /// The value that was read last, and the time at which that read began.
    cached: Mutex<Option<(Instant, T)>>,
    /// Held during a read, so that a file system which does not answer takes
    /// one of the threads that all CSPs share, and not one for each call.
    reading: tokio::sync::Mutex<()>,
}

impl<T> Default for Reread<T> {
    fn default() -> Self {
        Self { cached: Mutex::default(), reading: tokio::sync::Mutex::default() }
    }
}

impl<T: Clone> Reread<T> {
    /// Returns the value that was read last, or reads it if that is long ago.
    pub async fn get<F>(&self, read: impl FnOnce() -> F) -> Result<T, CallFailure>
    where
        F: Future<Output = Result<T, CallFailure>>,
    {
        if let Some(value) = self.cached() {
            return Ok(value);
        }
        let _reading = self.reading.lock().await;
        // Another call may have read it while this one waited for the lock.
        match self.cached() {
            Some(value) => Ok(value),
            None => self.read(read()).await,
        }
    }

    /// Reads the value in any case: the CSP refused the cached one.
    pub async fn get_anew<F>(&self, read: impl FnOnce() -> F) -> Result<T, CallFailure>
    where
        F: Future<Output = Result<T, CallFailure>>,
    {
        let _reading = self.reading.lock().await;
        self.read(read()).await
    }

    fn cached(&self) -> Option<T> {
        let cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        let (read_at, value) = cached.as_ref()?;
        (read_at.elapsed() < REREAD_INTERVAL).then(|| value.clone())
    }

    async fn read(
        &self,
        read: impl Future<Output = Result<T, CallFailure>>,
    ) -> Result<T, CallFailure> {
        // The time before the read: a secret that is replaced meanwhile must
        // not count as newer than it is.
        let read_at = Instant::now();
        let value = read.await?;
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        *cached = Some((read_at, value.clone()));
        Ok(value)
    }
}
