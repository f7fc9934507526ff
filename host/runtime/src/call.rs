//! Loaded adapters, and calls into them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tracing::warn;
use wasmtime::Store;
use wasmtime::component::Instance;

use super::CallError;
use super::Usage;
use super::contract::Call;
use super::contract::EntryPoint;
use super::contract::Info;
use super::guest::Guest;
use super::guest::Measured;
use super::host::HostState;
use super::lift;
use super::lower;
use super::usage::FAILURES_IN_A_ROW;
use super::wit::Begin;
use super::wit::EntryExports;
use super::wit::Resume;
use hoth_core::domain::Digest;
use hoth_core::domain::Step;

/// One loaded version of one adapter. Cheap to clone; the last clone unloads
/// the compiled code.
#[derive(Clone)]
pub struct Adapter(Arc<Loaded>);

/// The parts of a loaded adapter.
pub(super) struct Loaded {
    pub guest: Guest,
    pub exports: EntryExports,
    pub digest: Digest,
    pub size_bytes: usize,
    pub imports: Vec<String>,
    pub info: Info,
    /// The counters, which a later load of the same version continues.
    pub usage: Arc<Usage>,
}

impl Adapter {
    pub(super) fn new(loaded: Loaded) -> Self {
        Self(Arc::new(loaded))
    }

    /// Returns the name under which the adapter was loaded.
    pub fn name(&self) -> &str {
        self.0.guest.name()
    }

    /// Returns the SHA-256 of the component.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// Returns the description that the adapter gives of itself.
    pub fn info(&self) -> &Info {
        &self.0.info
    }

    /// Returns the deadline of one call.
    pub fn deadline(&self) -> Duration {
        self.0.guest.deadline()
    }

    /// Returns the size of the component, in bytes.
    pub fn size_bytes(&self) -> usize {
        self.0.size_bytes
    }

    /// Returns the imports of the component, by their names. An adapter without
    /// an import of `wasi:` cannot read even the time.
    pub fn imports(&self) -> &[String] {
        &self.0.imports
    }

    /// Returns true if the adapter resumes states of `version`.
    pub fn resumes(&self, version: u32) -> bool {
        let (oldest, newest) = self.0.info.states;
        (oldest..=newest).contains(&version)
    }

    /// Returns true if the adapter describes this operation.
    pub fn supports(&self, operation: &str) -> bool {
        self.0.info.operations.iter().any(|described| described == operation)
    }

    /// Asks the adapter for its next step, in a fresh instance.
    ///
    /// The instance is dropped when this returns, and when the future is
    /// dropped. A guest that computes yields to other tasks every 10 ms, and
    /// needs a processor slot after 20 ms. The deadline counts the time that
    /// the guest uses, not the waits for an instance, a slot or memory. These
    /// waits are bounded by the deadlines of the calls that hold them.
    ///
    /// # Errors
    ///
    /// [`CallError`], the failure of the job.
    pub async fn call(&self, call: Call<'_>) -> Result<Step, CallError> {
        self.measured_call(call).await.0
    }

    /// Makes a call as [`Adapter::call`] does, and returns its costs and log
    /// lines.
    pub async fn measured_call(&self, call: Call<'_>) -> (Result<Step, CallError>, Measured) {
        let Call { facts, now, entropy, entry } = call;
        let Loaded { guest, exports, info, usage, digest, .. } = &*self.0;
        let context = lower::pairs(&facts.context);
        let job = lower::job(facts, now, entropy, &context);
        let (step, taken) = match entry {
            EntryPoint::Begin => {
                let begin = |instance: &Instance, store: &mut Store<HostState>| {
                    exports.begin(instance, store)
                };
                let call = async |begin: Begin, store: &mut Store<HostState>| {
                    begin.typed().call_async(store, (job,)).await
                };
                guest.run(now, entropy, begin, call).await
            }
            EntryPoint::Resume { state, event } => {
                // The lowered event borrows its headers, so they are made
                // first.
                let headers = lower::headers(&event);
                let event = lower::event(&event, &headers);
                let state = lower::state(state);
                let resume = |instance: &Instance, store: &mut Store<HostState>| {
                    exports.resume(instance, store)
                };
                let call = async |resume: Resume, store: &mut Store<HostState>| {
                    resume.typed().call_async(store, (job, state, event)).await
                };
                guest.run(now, entropy, resume, call).await
            }
        };
        // Checked before the call is counted: a step against the contract is a
        // failure of the version, too.
        let step = step.and_then(|(step,)| {
            lift::step(step, info.states).map_err(|what| CallError::InvalidStep { what })
        });
        if usage.count(taken.time, taken.memory_bytes, step.as_ref().err()) {
            warn!(
                adapter = self.name(), version = info.version, sha256 = %digest,
                "{} {} keeps failing: {FAILURES_IN_A_ROW} calls in a row; `hoth adapters rollback \
                 {}` activates the previous version",
                self.name(), info.version, self.name(),
            );
        }
        (step, taken)
    }

    /// Returns the counters of its calls.
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
