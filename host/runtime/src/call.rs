//! One call into one adapter.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use super::CallError;
use super::Usage;
use super::guest::Guest;
use super::lift;
use super::lower;
use super::usage::FAILURES_IN_A_ROW;
use hoth_core::domain::AdapterState;
use hoth_core::domain::Digest;
use hoth_core::domain::Event;
use hoth_core::domain::Step;
use hoth_core::domain::Timestamp;

/// One loaded version of one adapter. Cheap to clone; the compiled code goes
/// with the last clone.
#[derive(Clone)]
pub struct Adapter(Arc<Loaded>);

pub(super) struct Loaded {
    pub guest: Guest,
    pub digest: Digest,
    pub size_bytes: usize,
    pub imports: Vec<String>,
    pub info: Info,
    pub usage: Arc<Usage>,
}

/// How an adapter describes itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// For people.
    pub name: String,
    /// For people.
    pub version: String,
    /// The words of `job.operation` that it knows.
    pub operations: Vec<String>,
    /// The oldest and the newest version of a state that it resumes.
    pub states: (u32, u32),
    /// Credentials that it asks for by name.
    pub credentials: Vec<String>,
}

/// What is the same at every call of one job: the WIT's `job` without the time
/// and the entropy.
#[derive(Debug, Clone)]
pub struct Facts {
    pub id: String,
    pub operation: String,
    /// One JSON object.
    pub input: String,
    /// One JSON object.
    pub settings: String,
    /// From 1.
    pub attempt: u32,
    pub context: Vec<(String, String)>,
}

/// One question to an adapter.
#[derive(Debug)]
pub struct Call<'a> {
    pub facts: &'a Facts,
    pub now: Timestamp,
    pub entropy: (u64, u64),
    pub entry: Entry<'a>,
}

/// Where a call enters.
#[derive(Debug)]
pub enum Entry<'a> {
    Begin,
    Resume { state: &'a AdapterState, event: Event },
}

impl Adapter {
    pub(super) fn new(loaded: Loaded) -> Self {
        Self(Arc::new(loaded))
    }

    /// The name under which it was loaded.
    pub fn name(&self) -> &str {
        self.0.guest.name()
    }

    /// SHA-256 of the component.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// How it describes itself.
    pub fn info(&self) -> &Info {
        &self.0.info
    }

    /// What one call may take.
    pub fn deadline(&self) -> Duration {
        self.0.guest.deadline()
    }

    /// The size of the component.
    pub fn size_bytes(&self) -> usize {
        self.0.size_bytes
    }

    /// Everything that the component imports, as it names it. An adapter that
    /// imports nothing of `wasi:` cannot even ask for the time.
    pub fn imports(&self) -> &[String] {
        &self.0.imports
    }

    /// Whether it can resume a state of `version`.
    pub fn resumes(&self, version: u32) -> bool {
        let (oldest, newest) = self.0.info.states;
        (oldest..=newest).contains(&version)
    }

    /// Whether it says that it can do this word of `job.operation`.
    pub fn offers(&self, operation: &str) -> bool {
        self.0.info.operations.iter().any(|offered| offered == operation)
    }

    /// Asks the adapter for its next step, in a fresh instance.
    ///
    /// The instance is gone when this returns, and also when the future is
    /// dropped before. A guest that computes lets other tasks run every 10 ms,
    /// and after 20 ms goes on by turns with others of its kind. The deadline
    /// counts what the guest uses, not the wait for an instance, a turn, or
    /// room for much memory; those waits are bounded by the deadlines of those
    /// who have them.
    ///
    /// # Errors
    ///
    /// [`CallError`]: the job's failure.
    pub async fn call(&self, call: Call<'_>) -> Result<Step, CallError> {
        self.measured_call(call).await.0
    }

    /// The same, and what the call used: the time that its deadline counts.
    pub async fn measured_call(&self, call: Call<'_>) -> (Result<Step, CallError>, Duration) {
        let Call { facts, now, entropy, entry } = call;
        let Loaded { guest, info, usage, digest, .. } = &*self.0;
        let context = lower::pairs(&facts.context);
        let job = lower::job(facts, now, entropy, &context);
        let (step, taken) = match entry {
            Entry::Begin => {
                guest
                    .run(now, entropy, async |adapter, store| adapter.call_begin(store, job).await)
                    .await
            }
            Entry::Resume { state, event } => {
                let headers = lower::headers(&event);
                let event = lower::event(&event, &headers);
                let state = lower::state(state);
                guest
                    .run(now, entropy, async |adapter, store| {
                        adapter.call_resume(store, job, state, event).await
                    })
                    .await
            }
        };
        let step = step.and_then(|step| {
            lift::step(step, info.states).map_err(|what| CallError::InvalidStep { what })
        });
        if usage.count(taken.time, taken.memory_bytes, step.as_ref().err()) {
            warn!(
                adapter = self.name(), version = info.version, sha256 = %digest,
                "{} {} keeps failing: {FAILURES_IN_A_ROW} calls in a row; `hoth adapters rollback \
                 {}` goes back to the version before",
                self.name(), info.version, self.name(),
            );
        }
        (step, taken.time)
    }

    /// What its calls have cost.
    pub fn usage(&self) -> &Arc<Usage> {
        &self.0.usage
    }
}

impl fmt::Debug for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adapter")
            .field("name", &self.name())
            .field("digest", &self.0.digest)
            .finish_non_exhaustive()
    }
}
