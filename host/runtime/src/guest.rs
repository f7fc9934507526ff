//! One instance for one call: started, bounded, and dropped afterwards.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tracing::warn;
use wasmtime::Store;
use wasmtime::Trap;
use wasmtime::component::Instance;
use wasmtime::component::InstancePre;
use wasmtime_wasi::I32Exit;

use super::CallError;
use super::config::CallLimits;
use super::engine::Engine;
use super::guest_log::GuestLog;
use super::guest_log::LogVolume;
use super::host::HostState;
use super::limiter::Limiter;
use super::pace::DeadlineExceeded;
use super::pace::Pace;
use super::text::cut;
use hoth_core::domain::LogLevel;
use hoth_core::domain::Timestamp;

/// The bytes that a guest may pass to the host at once: twice the largest step.
/// The other direction needs no bound, as the host holds that data already.
const HOSTCALL_BYTES_MAX: usize = 4 << 20;

/// Handles of WASI objects that a guest may hold at once.
const HANDLES_MAX: usize = 1_024;

/// The longest reason of wasmtime in a message, in bytes; longer ones are cut.
const REASON_BYTES_MAX: usize = 256;

/// A component that can be instantiated and called.
pub(super) struct Guest {
    name: Arc<str>,
    component: InstancePre<HostState>,
    imports_wasi: bool,
    limits: CallLimits,
    engine: Engine,
    /// One permit per concurrent call, so that one adapter cannot take every
    /// instance of the pool.
    calls: Semaphore,
    /// The bound on log output, over all calls.
    log_volume: Arc<LogVolume>,
}

/// The costs of a call, and its log lines.
#[derive(Debug, Clone)]
pub struct Measured {
    /// The time on a thread, without waits for an instance, a processor or
    /// memory. It counts towards the deadline of the call.
    pub time: Duration,
    pub memory_bytes: usize,
    /// The first [`EVENT_LINES_MAX`](hoth_core::domain::EVENT_LINES_MAX) lines
    /// that were written to the log.
    pub log: Vec<(LogLevel, Box<str>)>,
}

/// A call that ended without a result.
enum Broken {
    /// The call ended before the guest's function was entered.
    Starting(wasmtime::Error),
    /// The call ended in the guest's function, or while its result was read.
    Running(wasmtime::Error),
}

impl Guest {
    pub fn new(
        name: Arc<str>,
        component: InstancePre<HostState>,
        imports_wasi: bool,
        limits: CallLimits,
        engine: Engine,
    ) -> Self {
        let calls = Semaphore::new(engine.calls_per_adapter_max());
        let log_volume = Arc::default();
        Self { name, component, imports_wasi, limits, engine, calls, log_volume }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn deadline(&self) -> Duration {
        self.limits.deadline
    }

    /// Makes `call` on a fresh instance, with what `find` returns of it.
    ///
    /// The store is dropped at the end, however the call ends, so that a later
    /// call sees nothing of this one.
    pub async fn run<F, A>(
        &self,
        now: Timestamp,
        entropy: (u64, u64),
        find: impl FnOnce(&Instance, &mut Store<HostState>) -> wasmtime::Result<F>,
        call: impl AsyncFnOnce(F, &mut Store<HostState>) -> wasmtime::Result<A>,
    ) -> (Result<A, CallError>, Measured) {
        // The adapter's own permit first: an adapter whose calls take long then
        // waits for itself, without holding a place in the shared pool.
        let _own = self.calls.acquire().await.expect("the semaphore is never closed");
        let _instance = self.engine.instance_permit().await;
        let limit = self.deadline();
        // The time starts after both waits, which other calls cause.
        let pace = Pace::start(limit, self.engine.cpu_slots());
        let mut store = self.store(now, entropy, &pace);
        let run = async {
            // Within the deadline, because it runs the guest's start functions.
            let instance =
                self.component.instantiate_async(&mut store).await.map_err(Broken::Starting)?;
            let function = find(&instance, &mut store).map_err(Broken::Starting)?;
            call(function, &mut store).await.map_err(Broken::Running)
        };
        let answer = match pace.run(run).await {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(broken)) => Err(self.explain(broken, store.data())),
            None => Err(CallError::DeadlineExceeded { limit }),
        };
        let memory_bytes = store.data().limiter.held();
        let log = store.data().log.take_kept();
        (answer, Measured { time: pace.stopwatch().used(), memory_bytes, log })
    }

    fn store(&self, now: Timestamp, entropy: (u64, u64), pace: &Pace) -> Store<HostState> {
        let mut state = HostState::new(
            Limiter::new(self.memory_bytes(), self.engine.memory_pool(), pace.stopwatch().clone()),
            GuestLog::new(Arc::clone(&self.name), Arc::clone(&self.log_volume)),
        );
        if self.imports_wasi {
            state = state.with_wasi(now, entropy);
        }
        let mut store = Store::new(self.engine.wasmtime(), state);
        store.limiter_async(|state| &mut state.limiter);
        store.set_hostcall_fuel(HOSTCALL_BYTES_MAX);
        store.set_max_component_handles(HANDLES_MAX);
        let mut at_epoch = pace.at_epoch();
        store.epoch_deadline_callback(move |_| at_epoch());
        // The first interruption comes with the next epoch. The callback sets
        // the later ones.
        store.set_epoch_deadline(1);
        store
    }

    /// Returns the memory limit. The engine has checked that it can be
    /// addressed.
    fn memory_bytes(&self) -> usize {
        usize::try_from(self.limits.memory_bytes).unwrap_or(usize::MAX)
    }

    fn explain(&self, broken: Broken, state: &HostState) -> CallError {
        let (Broken::Starting(error) | Broken::Running(error)) = &broken;
        if error.is::<DeadlineExceeded>() {
            return CallError::DeadlineExceeded { limit: self.limits.deadline };
        }
        // A guest that was refused memory mostly ends itself, so this comes
        // before the trap.
        if state.limiter.has_refused() {
            return CallError::MemoryExceeded { limit: self.limits.memory_bytes };
        }
        warn!(adapter = self.name(), "Adapter call failed: {error:?}");
        if let Some(trap) = error.downcast_ref::<Trap>() {
            let trap = trap.to_string();
            let message = trap.strip_prefix("wasm trap: ").unwrap_or(&trap).to_owned();
            return CallError::Trapped { message };
        }
        if let Some(I32Exit(status)) = error.downcast_ref() {
            return CallError::Trapped { message: format!("it exited with status {status}") };
        }
        // These reasons hold nothing of the guest's memory: wasmtime names
        // types, sizes and positions.
        let reason = cut(&error.root_cause().to_string(), REASON_BYTES_MAX).into_owned();
        match broken {
            Broken::Starting(_) => CallError::NotStarted { message: reason },
            Broken::Running(_) => CallError::InvalidStep { what: reason },
        }
    }
}
