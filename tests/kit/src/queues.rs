//! The contents of a host's queues, in numbers.

use std::fmt;

use anyhow::Context as _;
use serde_json::Value;

/// The messages and dead letters of every queue, from an answer to
/// `GET /queues` of the admin API.
#[derive(Debug, Clone)]
pub struct QueueCounts(Vec<QueueCount>);

#[derive(Debug, Clone)]
struct QueueCount {
    name: String,
    /// `None` for the queues of outcomes, which all CSPs share.
    csp: Option<String>,
    depth: u64,
    in_flight: u64,
    dead_letters: u64,
}

impl QueueCounts {
    /// Reads an answer to `GET /queues`.
    ///
    /// # Errors
    ///
    /// Returns an error if it is not a list of queues with their counts.
    pub fn parse(answer: &Value) -> anyhow::Result<Self> {
        let queues = answer["queues"].as_array();
        let queues = queues.with_context(|| format!("no list of queues: {answer}"))?;
        queues.iter().map(QueueCount::parse).collect::<anyhow::Result<_>>().map(Self)
    }

    /// Returns the number of messages on all queues, including leased ones.
    pub fn messages(&self) -> u64 {
        self.0.iter().map(QueueCount::messages).sum()
    }

    /// Returns the number of messages on the queues of requests and polls: the
    /// work that hosts still have to do.
    pub fn unfinished(&self) -> u64 {
        self.0.iter().filter(|queue| queue.csp.is_some()).map(QueueCount::messages).sum()
    }

    /// Returns the number of messages on the queues of one CSP.
    pub fn of_csp(&self, name: &str) -> u64 {
        let own = self.0.iter().filter(|queue| queue.csp.as_deref() == Some(name));
        own.map(QueueCount::messages).sum()
    }

    /// Returns `true` if no queue holds a message or a dead letter.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(QueueCount::is_empty)
    }
}

impl fmt::Display for QueueCounts {
    /// Lists the queues that are not empty.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for queue in self.0.iter().filter(|queue| !queue.is_empty()) {
            let QueueCount { name, depth, in_flight, dead_letters, .. } = queue;
            write!(
                f,
                "{separator}{name}: {depth} waiting, {in_flight} in flight, {dead_letters} dead letters"
            )?;
            separator = "; ";
        }
        Ok(())
    }
}

impl QueueCount {
    fn parse(queue: &Value) -> anyhow::Result<Self> {
        let count =
            |field: &str| queue[field].as_u64().with_context(|| format!("no {field} in {queue}"));
        let name = queue["name"].as_str().with_context(|| format!("no name in {queue}"))?;
        Ok(Self {
            name: name.to_owned(),
            csp: queue["csp"].as_str().map(str::to_owned),
            depth: count("depth")?,
            in_flight: count("inFlight")?,
            dead_letters: count("deadLetters")?,
        })
    }

    fn messages(&self) -> u64 {
        self.depth + self.in_flight
    }

    fn is_empty(&self) -> bool {
        self.messages() + self.dead_letters == 0
    }
}
