//! The engine: the state that all adapters of a process share.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::sync::SemaphorePermit;
use tokio::sync::watch;
use tracing::warn;
use wasmtime::EngineWeak;
use wasmtime::component::Linker;

use super::Config;
use super::EngineError;
use super::cache::Cache;
use super::cache::compatibility;
use super::config::Compiler;
use super::host;
use super::host::HostState;
use super::limiter::MemoryPool;
use super::machine;
use super::settings;
use super::settings::INSTANCES_MAX;
use hoth_core::config::Names;
use hoth_core::config::Table as _;
use hoth_core::domain::Digest;
use hoth_platform::failpoint;
use hoth_platform::failpoint::FailPoint;

/// The most compilers at one time. Each one uses every core that it gets.
const COMPILES_MAX: usize = 2;

/// The calls that one version of an adapter may have at one time. Twice the
/// number of processors replaces it if that is more.
const CALLS_PER_ADAPTER_MIN: usize = 8;

/// The time that a guest may hold a thread of the runtime before other tasks
/// run. A deadline may be noticed this much too late.
const EPOCH_TICK: Duration = Duration::from_millis(10);

/// An engine that runs adapters. Cheap to clone; the last clone, adapters
/// included, ends the thread behind it.
#[derive(Clone)]
pub struct Engine(Arc<Shared>);

/// The state behind all clones of an engine.
struct Shared {
    wasmtime: wasmtime::Engine,
    /// The linker with the contract alone.
    contract: Linker<HostState>,
    /// The linker with the contract and WASI.
    wasi: Linker<HostState>,
    /// `None` if the cache directory cannot be used.
    cache: Option<Cache>,
    /// The compatibility hash of this engine's machine code.
    compatibility: Digest,
    compiler: Compiler,
    /// The limits of adapters.
    config: Config,
    /// One permit per running compiler: each may take as much memory as the
    /// configuration allows.
    compiles: Semaphore,
    /// One permit per instance: wasmtime's pool fails when it is full, so calls
    /// wait here.
    instances: Semaphore,
    /// Memory for calls that hold much.
    memory_pool: MemoryPool,
    /// Permits for calls that compute for long: half of the processors, so that
    /// other work always finds one.
    cpu_slots: Arc<Semaphore>,
    processors: usize,
    /// Closed when the thread that interrupts adapters has ended.
    interrupter: watch::Receiver<()>,
}

impl Engine {
    /// Makes an engine that compiles in this process; see [`Engine::with`].
    ///
    /// # Errors
    ///
    /// The errors of [`Engine::with`].
    pub fn new(config: &Config) -> Result<Self, EngineError> {
        Self::with(config, Compiler::InProcess)
    }

    /// Reserves address space for the instances, and starts the thread that
    /// interrupts them. A compile cache that cannot be used is a warning.
    ///
    /// # Errors
    ///
    /// [`EngineError`]: the configuration is out of bounds, or the machine
    /// cannot run components.
    pub fn with(config: &Config, compiler: Compiler) -> Result<Self, EngineError> {
        Self::build(config, compiler, |wasmtime| {
            let directory = config.cache_directory();
            let opened = Cache::open(&directory, wasmtime);
            opened
                .inspect_err(|error| {
                    warn!(
                        "Compiled adapters are not cached, so every start compiles them again: {}: {error}",
                        directory.display()
                    );
                })
                .ok()
        })
    }

    /// Makes an engine that keeps nothing on disk, for commands that inspect
    /// one component.
    ///
    /// # Errors
    ///
    /// The errors of [`Engine::with`].
    pub fn without_cache(config: &Config, compiler: Compiler) -> Result<Self, EngineError> {
        Self::build(config, compiler, |_| None)
    }

    fn build(
        config: &Config,
        compiler: Compiler,
        cache: impl FnOnce(&wasmtime::Engine) -> Option<Cache>,
    ) -> Result<Self, EngineError> {
        // The host has checked the table by now, but tools build engines too.
        if let Some(problem) = config.check(&Names::default()).into_iter().next() {
            return Err(EngineError::Config(problem));
        }
        let memory_bytes = usize::try_from(config.memory_bytes_max())
            .map_err(|error| EngineError::Unsupported(error.to_string()))?;
        let unsupported = |error| machine::explain(&error);
        let wasmtime =
            wasmtime::Engine::new(&settings::wasmtime_config(memory_bytes)).map_err(unsupported)?;
        machine::check(&wasmtime)?;
        let cache = cache(&wasmtime);
        let processors = thread::available_parallelism().map_or(1, usize::from);
        // A weak handle, so that the thread does not keep the engine alive.
        let interrupter = start_epochs(wasmtime.weak()).map_err(EngineError::Thread)?;
        Ok(Self(Arc::new(Shared {
            contract: host::link_contract(&wasmtime).map_err(unsupported)?,
            wasi: host::link_wasi(&wasmtime).map_err(unsupported)?,
            compatibility: compatibility(&wasmtime),
            wasmtime,
            cache,
            compiler,
            config: config.clone(),
            compiles: Semaphore::new(COMPILES_MAX),
            instances: Semaphore::new(INSTANCES_MAX as usize),
            memory_pool: MemoryPool::new(),
            cpu_slots: Arc::new(Semaphore::new((processors / 2).max(1))),
            processors,
            interrupter,
        })))
    }

    /// Returns when the thread that interrupts adapters has ended: after the
    /// engine, or by a panic. Without it, an adapter that computes without end
    /// keeps a thread for ever.
    pub fn interrupter_ended(&self) -> impl Future<Output = ()> + use<> {
        let mut interrupter = self.0.interrupter.clone();
        async move { while interrupter.changed().await.is_ok() {} }
    }

    pub(super) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.0.wasmtime
    }

    pub(super) fn memory_pool(&self) -> MemoryPool {
        self.0.memory_pool.clone()
    }

    pub(super) fn cpu_slots(&self) -> Arc<Semaphore> {
        Arc::clone(&self.0.cpu_slots)
    }

    pub(super) fn calls_per_adapter_max(&self) -> usize {
        CALLS_PER_ADAPTER_MIN.max(2 * self.0.processors)
    }

    /// Returns the linker for a component: with WASI only if it imports WASI,
    /// which makes its calls more expensive.
    pub(super) fn linker(&self, imports_wasi: bool) -> &Linker<HostState> {
        if imports_wasi { &self.0.wasi } else { &self.0.contract }
    }

    pub(super) fn cache(&self) -> Option<&Cache> {
        self.0.cache.as_ref()
    }

    pub(super) fn compatibility(&self) -> &Digest {
        &self.0.compatibility
    }

    pub(super) fn compiler(&self) -> Compiler {
        self.0.compiler
    }

    pub(super) fn config(&self) -> &Config {
        &self.0.config
    }

    /// Waits for the permission to run a compiler.
    pub(super) async fn compile_permit(&self) -> SemaphorePermit<'_> {
        self.0.compiles.acquire().await.expect("the semaphore is never closed")
    }

    /// Waits for a place in the pool of instances.
    pub(super) async fn instance_permit(&self) -> SemaphorePermit<'_> {
        self.0.instances.acquire().await.expect("the semaphore is never closed")
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("compiler", &self.0.compiler).finish_non_exhaustive()
    }
}

/// Starts the thread that increments the epoch until the engine is dropped. The
/// returned channel is closed when the thread ends.
fn start_epochs(engine: EngineWeak) -> std::io::Result<watch::Receiver<()>> {
    let (running, ended) = watch::channel(());
    let count = move || {
        // Dropped by a panic as well.
        let _running = running;
        loop {
            thread::sleep(EPOCH_TICK);
            failpoint::reach(FailPoint::EpochTick);
            match engine.upgrade() {
                Some(engine) => engine.increment_epoch(),
                None => return,
            }
        }
    };
    thread::Builder::new().name("adapter-epochs".to_owned()).spawn(count)?;
    Ok(ended)
}
