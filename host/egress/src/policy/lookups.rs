//! DNS lookups on threads of their own: one for each name at a time.
//!
//! `getaddrinfo` blocks for half a minute where no name server answers. The
//! threads for blocking work are shared by the whole host, so the calls to one
//! CSP with a dead zone could occupy all of them.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::thread;

use tokio::sync::watch;

/// The most names that are looked up at one time for one CSP. Its configuration
/// names fewer hosts; the bound is that of the threads.
const LOOKUPS_MAX: usize = 64;

/// A function that resolves a name. It blocks.
type LookUp = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// The result of a lookup, shared by all calls that wait for it. The error is a
/// text with its kind, because an [`io::Error`] cannot be cloned.
type Answer = Result<Arc<[SocketAddr]>, (io::ErrorKind, String)>;

/// A running lookup. `None` until it has ended.
type Pending = watch::Receiver<Option<Answer>>;

/// The lookups of one CSP. Cheap to clone; clones share them.
#[derive(Clone)]
pub struct Lookups(Arc<Inner>);

struct Inner {
    look_up: Box<LookUp>,
    running: Mutex<BTreeMap<String, Pending>>,
}

impl Lookups {
    /// Makes the lookups of one CSP.
    pub fn new(
        look_up: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner { look_up: Box::new(look_up), running: Mutex::default() }))
    }

    /// Resolves a name, by the lookup that runs already if there is one.
    ///
    /// Cancellation-safe: the lookup goes on without its caller.
    pub async fn addresses(&self, name: &str) -> io::Result<Arc<[SocketAddr]>> {
        let mut pending = self.join(name)?;
        let ended = pending.wait_for(Option::is_some).await;
        let answer = ended.map(|answer| answer.clone()).unwrap_or_default();
        match answer {
            Some(Ok(addresses)) => Ok(addresses),
            Some(Err((kind, text))) => Err(io::Error::new(kind, text)),
            None => Err(io::Error::other("the DNS lookup panicked")),
        }
    }

    /// Returns the running lookup of a name, after starting it if there is none.
    fn join(&self, name: &str) -> io::Result<Pending> {
        let mut running = self.0.running();
        if let Some(pending) = running.get(name) {
            return Ok(pending.clone());
        }
        if running.len() >= LOOKUPS_MAX {
            return Err(io::Error::other(format!(
                "{LOOKUPS_MAX} other names are being looked up; is the name server reachable?"
            )));
        }
        let (ended, pending) = watch::channel(None);
        let entry = Entry { inner: Arc::clone(&self.0), name: name.to_owned() };
        thread::Builder::new().name("dns".to_owned()).spawn(move || {
            let resolved = (entry.inner.look_up)(&entry.name);
            let answer = resolved.map(Arc::from).map_err(|error| (error.kind(), error.to_string()));
            ended.send_replace(Some(answer));
        })?;
        running.insert(name.to_owned(), pending.clone());
        Ok(pending)
    }
}

impl Inner {
    fn running(&self) -> MutexGuard<'_, BTreeMap<String, Pending>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The entry of a running lookup, which its thread removes at its end, also
/// after a panic.
struct Entry {
    inner: Arc<Inner>,
    name: String,
}

impl Drop for Entry {
    fn drop(&mut self) {
        // Waits for `join`, which holds the lock until the entry is there.
        self.inner.running().remove(&self.name);
    }
}

impl fmt::Debug for Lookups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.running().keys().cloned().collect();
        f.debug_struct("Lookups").field("running", &names).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering;
    use std::sync::mpsc;

    use futures_util::FutureExt as _;
    use futures_util::future::join_all;

    use super::*;

    /// Calls to a CSP whose name server does not answer: more than the threads
    /// for blocking work.
    const CALLS: usize = 600;

    fn loopback() -> Vec<SocketAddr> {
        vec![SocketAddr::from(([127, 0, 0, 1], 0))]
    }

    #[tokio::test]
    async fn a_name_server_that_does_not_answer_delays_no_other_name_and_takes_one_thread() {
        let (answer, answers) = mpsc::channel::<()>();
        let (answers, started) = (Mutex::new(answers), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&started);
        let lookups = Lookups::new(move |name| {
            if name == "dead.example" {
                count.fetch_add(1, Ordering::SeqCst);
                answers.lock().unwrap().recv().unwrap();
            }
            Ok(loopback())
        });
        let calls = join_all((0..CALLS).map(|_| lookups.addresses("dead.example")));
        // Polls all of them, whatever the budget of this task: a call that came
        // after the answer would start another lookup.
        let mut calls = pin!(tokio::task::unconstrained(calls));
        assert!(calls.as_mut().now_or_never().is_none());
        // A call that gives up leaves the lookup to the others.
        let gives_up = lookups.addresses("dead.example");
        assert!(tokio::time::timeout(std::time::Duration::ZERO, gives_up).await.is_err());
        assert_eq!(*lookups.addresses("well.example").await.unwrap(), loopback());
        assert!(tokio::task::spawn_blocking(|| true).await.unwrap(), "the shared threads are free");

        answer.send(()).unwrap();
        for call in calls.await {
            assert_eq!(*call.unwrap(), loopback());
        }
        assert_eq!(started.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn lookups_are_bounded_and_an_error_or_a_panic_reaches_the_caller() {
        let (answer, answers) = mpsc::channel::<()>();
        let answers = Mutex::new(answers);
        let lookups = Lookups::new(move |name| match name {
            "unknown" => Err(io::Error::other("no such name")),
            "panics" => panic!("boom"),
            _ => {
                // Ends with the sender.
                let _ = answers.lock().unwrap().recv();
                Ok(loopback())
            }
        });
        let error = async |name: &str| lookups.addresses(name).await.unwrap_err().to_string();
        assert_eq!(error("unknown").await, "no such name");
        assert_eq!(error("panics").await, "the DNS lookup panicked");
        // A lookup ends a moment after its caller has the answer.
        while !lookups.0.running().is_empty() {
            tokio::task::yield_now().await;
        }
        for number in 0..LOOKUPS_MAX {
            lookups.join(&format!("dead-{number}")).unwrap();
        }
        let refused = error("one-more").await;
        assert!(refused.starts_with("64 other names are being looked up"), "{refused}");
        drop(answer);
    }
}
