//! A small HTTP/1.1 server that follows scripts to the last byte.

mod answer;
mod call;
mod connection;
mod gate;
mod record;
mod refused;
mod request;
mod script;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::task::JoinSet;

pub use answer::Answer;
pub use answer::Then;
pub use call::Call;
pub use gate::Gate;
pub use record::CALLS_MAX;
pub use refused::Refused;
pub use script::Matching;

use connection::Connection;
use record::Record;
use script::Scripts;

/// The largest number of connections; more clients wait in the kernel's queue.
/// A host must bear ten thousand slow calls at once.
const CONNECTIONS_MAX: usize = 16 * 1024;

/// The pause after an `accept` that failed for lack of descriptors: other
/// connections must close first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// The answers to calls that no script answers.
pub trait Behaviour: Send + Sync + 'static {
    /// Checks the call against the rules of the API and answers it. Called on
    /// any thread; must not block.
    fn answer(&self, call: &Call) -> Reply;
}

/// An answer, and the rules that the call broke.
#[derive(Debug, Clone)]
pub struct Reply {
    pub answer: Answer,
    /// One sentence for each broken rule.
    pub broken: Vec<String>,
}

impl Reply {
    /// Returns an answer to a call that broke no rule.
    pub fn valid(answer: Answer) -> Self {
        Self { answer, broken: Vec::new() }
    }
}

/// A server that runs until it is dropped, which also cuts every connection.
pub struct Server {
    origin: String,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// The state that all connections of one server share.
struct Shared {
    behaviour: Arc<dyn Behaviour>,
    scripts: Scripts,
    record: Record,
}

impl Server {
    /// Serves and records the calls that arrive at `listener`.
    ///
    /// # Errors
    ///
    /// Returns an error if the listener does not know its address.
    pub fn start(listener: TcpListener, behaviour: Arc<dyn Behaviour>) -> io::Result<Self> {
        let origin = origin(listener.local_addr()?);
        let shared =
            Arc::new(Shared { behaviour, scripts: Scripts::default(), record: Record::default() });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { origin, shared, accepting })
    }

    /// Returns scheme, host and port, such as `http://127.0.0.1:40001`.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Answers every call from this list from now on; the last answer repeats.
    /// An empty list leaves the calls to the behaviour again.
    pub fn script(&self, answers: impl IntoIterator<Item = Answer>) {
        self.shared.scripts.set(Matching::default(), answers.into_iter().collect());
    }

    /// Answers the matching calls from this list, in preference to
    /// [`Self::script`]. If several scripts match, the one set first answers.
    pub fn script_for(&self, matching: Matching, answers: impl IntoIterator<Item = Answer>) {
        self.shared.scripts.set(matching, answers.into_iter().collect());
    }

    /// Keeps calls from now on if `on`, else only counts them.
    pub fn record(&self, on: bool) {
        self.shared.record.switch(on);
    }

    /// Returns the kept calls, oldest first: at most the first [`CALLS_MAX`].
    pub fn calls(&self) -> Vec<Arc<Call>> {
        self.shared.record.calls()
    }

    /// Returns the number of calls, kept or not.
    pub fn call_count(&self) -> usize {
        self.shared.record.call_count()
    }

    /// Returns the number of calls that are being answered now.
    pub fn at_once(&self) -> usize {
        self.shared.record.at_once()
    }

    /// Returns the largest number of calls that were being answered at once.
    pub fn most_at_once(&self) -> usize {
        self.shared.record.most_at_once()
    }

    /// Returns the broken rules, each with the call that broke it. Calls that a
    /// script answers are not checked.
    pub fn violations(&self) -> Vec<String> {
        self.shared.record.violations(0)
    }

    /// Waits until there have been `count` calls.
    pub async fn wait_for_calls(&self, count: usize) {
        let record = &self.shared.record;
        record.wait_for(|| (record.call_count() >= count).then_some(())).await;
    }

    /// Waits until there are more violations than `seen`, and returns those.
    pub async fn violations_after(&self, seen: usize) -> Vec<String> {
        let record = &self.shared.record;
        record
            .wait_for(|| Some(record.violations(seen)).filter(|violations| !violations.is_empty()))
            .await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The connections are tasks in a set that is dropped with this task.
        self.accepting.abort();
    }
}

/// Returns the origin of an address.
pub fn origin(address: SocketAddr) -> String {
    format!("http://{address}")
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    let mut id = 0;
    loop {
        while connections.len() >= CONNECTIONS_MAX {
            connections.join_next().await;
        }
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    id += 1;
                    connections.spawn(Connection::new(socket, id, Arc::clone(&shared)).serve());
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}
