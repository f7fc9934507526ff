//! A small HTTP/1.1 server that does exactly what it is told.

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

/// More clients wait in the kernel's queue. Ten thousand slow calls at once is
/// what a host has to bear.
const CONNECTIONS_MAX: usize = 16 * 1024;

/// The pause after an `accept` that failed, which is for want of descriptors:
/// others have to close first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// What a server does with a call that no script answers.
pub trait Behaviour: Send + Sync + 'static {
    /// Judges the call and answers it. May be called on any thread and must
    /// not block.
    fn answer(&self, call: &Call) -> Reply;
}

/// An answer, and which rules the call broke.
#[derive(Debug, Clone)]
pub struct Reply {
    pub answer: Answer,
    /// Each a sentence; none if the call was lawful.
    pub broken: Vec<String>,
}

impl Reply {
    /// An answer to a call that broke no rule.
    pub fn lawful(answer: Answer) -> Self {
        Self { answer, broken: Vec::new() }
    }
}

/// Serves until it is dropped, which also cuts every connection.
pub struct Server {
    origin: String,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// What all connections of one server share.
struct Shared {
    behaviour: Arc<dyn Behaviour>,
    scripts: Scripts,
    record: Record,
}

impl Server {
    /// Serves what arrives at `listener`, and records it.
    ///
    /// # Errors
    ///
    /// When the listener does not know its address.
    pub fn start(listener: TcpListener, behaviour: Arc<dyn Behaviour>) -> io::Result<Self> {
        let origin = origin(listener.local_addr()?);
        let shared =
            Arc::new(Shared { behaviour, scripts: Scripts::default(), record: Record::default() });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { origin, shared, accepting })
    }

    /// Scheme, host and port, such as `http://127.0.0.1:40001`.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Answers every call by this list from now on; the last answer repeats.
    /// An empty list leaves the calls to the behaviour again.
    pub fn script(&self, answers: impl IntoIterator<Item = Answer>) {
        self.shared.scripts.set(Matching::default(), answers.into_iter().collect());
    }

    /// The same for the calls that match, whatever [`Self::script`] says.
    /// Where several scripts match, the one set first answers.
    pub fn script_for(&self, matching: Matching, answers: impl IntoIterator<Item = Answer>) {
        self.shared.scripts.set(matching, answers.into_iter().collect());
    }

    /// Keeps calls from now on, or only counts them.
    pub fn record(&self, on: bool) {
        self.shared.record.switch(on);
    }

    /// The calls that were kept, oldest first: the first [`CALLS_MAX`] at most.
    pub fn calls(&self) -> Vec<Arc<Call>> {
        self.shared.record.calls()
    }

    /// How many calls there have been, kept or not.
    pub fn call_count(&self) -> usize {
        self.shared.record.call_count()
    }

    /// How many calls are being answered now.
    pub fn at_once(&self) -> usize {
        self.shared.record.at_once()
    }

    /// How many calls were being answered at once, at most.
    pub fn most_at_once(&self) -> usize {
        self.shared.record.most_at_once()
    }

    /// Which rules were broken, each with the call that did it. Calls that a
    /// script answers are not judged.
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
        // The connections are tasks in a set that goes with this one.
        self.accepting.abort();
    }
}

/// `http://` and the address.
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
