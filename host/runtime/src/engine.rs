//! The engine: how components are compiled, checked and given room to run.

use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::sync::SemaphorePermit;
use tracing::warn;
use wasmtime::Enabled;
use wasmtime::EngineWeak;
use wasmtime::PoolingAllocationConfig;
use wasmtime::component::Component;
use wasmtime::component::Linker;

use super::Adapter;
use super::Config;
use super::EngineError;
use super::LoadError;
use super::Usage;
use super::cache;
use super::cache::Cache;
use super::cache::compatibility;
use super::call::Loaded;
use super::compile;
use super::compile::Compiler;
use super::guest::Guest;
use super::host;
use super::host::HostState;
use super::lift;
use super::limiter::Room;
use super::wit;
use super::wit::CspAdapterPre;
use hoth_core::domain::Digest;
use hoth_core::domain::Timestamp;

/// The largest component. CPython with its library has 18 MB.
pub const COMPONENT_BYTES_MAX: usize = 64 << 20;

/// Instances at one time, over all adapters. A call waits for the processor
/// only, so a few per core would do; so many are there because guests that
/// spin or sleep hold theirs until the deadline, and thirty such adapters shall
/// not keep a lawful one waiting.
const INSTANCES_MAX: u32 = 256;

/// Components compiled at one time. Each compiler uses every core that it gets.
const COMPILES_MAX: usize = 2;

/// Calls into one version of an adapter at one time; at least twice as many as
/// there are processors.
const CALLS_PER_ADAPTER_MIN: usize = 8;

/// Memories, and tables, of one component, and of one module in it: a Rust
/// adapter has one memory and two tables, CPython one and three.
const PER_INSTANCE_MAX: u32 = 4;

/// Core instances of one component. Only a count: nothing is reserved for
/// them. Components linked from shared libraries have dozens.
const CORE_INSTANCES_MAX: u32 = 64;

/// Elements of one table. CPython needs over 20 000.
const TABLE_ELEMENTS_MAX: usize = 100_000;

/// Instances' worth of memory kept mapped for versions that do not run right
/// now. More would keep memory of versions that nobody calls.
const WARM_SLOTS_MAX: u32 = 32;

/// What of a memory stays mapped between two calls, as it is cheaper to clear
/// it than to fault it in again: the 1 MiB shadow stack that Rust guests have,
/// and as much heap.
const KEEP_RESIDENT_BYTES: usize = 2 << 20;

/// The same for tables; those of a Rust adapter have a few hundred elements.
const KEEP_RESIDENT_TABLE_BYTES: usize = 16 << 10;

/// The packages of WASI that are there, all of them deaf and blind. Not among
/// them is `wasi:http`: requests are the host's to make.
const WASI: [&str; 6] =
    ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];

/// How long a guest may hold a thread of the runtime before other tasks get
/// their turn. Also how late a deadline may be noticed.
const EPOCH_TICK: Duration = Duration::from_millis(10);

/// Runs adapters. Cheap to clone; the last clone, adapters included, ends the
/// thread behind it.
#[derive(Clone)]
pub struct Engine(Arc<Shared>);

struct Shared {
    wasmtime: wasmtime::Engine,
    /// Links the contract alone.
    contract: Linker<HostState>,
    /// Links the contract and WASI.
    wasi: Linker<HostState>,
    /// None when there is no place for it.
    cache: Option<Cache>,
    /// What this engine's code can be used with.
    compatibility: Digest,
    compiler: Compiler,
    /// Its limits.
    config: Config,
    /// One permit per component that is compiled: each may take as much memory
    /// as a compiler may.
    compiles: Semaphore,
    /// One permit per instance: wasmtime's pool does not wait, it fails.
    instances: Semaphore,
    /// For calls that hold much memory.
    room: Room,
    /// For calls that compute for long; half of the processors, so that they
    /// never have all.
    turns: Arc<Semaphore>,
    processors: usize,
}

impl Engine {
    /// An engine that compiles in this process; see [`Engine::with`].
    ///
    /// # Errors
    ///
    /// As for [`Engine::with`].
    pub fn new(config: &Config) -> Result<Self, EngineError> {
        Self::with(config, Compiler::Here)
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
                        "Compiled adapters are not kept, so every start compiles them again: {}: {error}",
                        directory.display()
                    );
                })
                .ok()
        })
    }

    /// The same, for a command that looks at one component: nothing is kept on
    /// disk.
    ///
    /// # Errors
    ///
    /// As for [`Engine::with`].
    pub fn without_cache(config: &Config, compiler: Compiler) -> Result<Self, EngineError> {
        Self::build(config, compiler, |_| None)
    }

    fn build(
        config: &Config,
        compiler: Compiler,
        cache: impl FnOnce(&wasmtime::Engine) -> Option<Cache>,
    ) -> Result<Self, EngineError> {
        config.check()?;
        let unsupported = |error: wasmtime::Error| EngineError::Unsupported(format!("{error:#}"));
        let memory_bytes = usize::try_from(config.memory_bytes_max())
            .map_err(|error| EngineError::Unsupported(error.to_string()))?;
        let wasmtime =
            wasmtime::Engine::new(&wasmtime_config(memory_bytes)).map_err(unsupported)?;
        let cache = cache(&wasmtime);
        let processors = thread::available_parallelism().map_or(1, usize::from);
        start_epochs(wasmtime.weak()).map_err(EngineError::Thread)?;
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
            room: Room::new(),
            turns: Arc::new(Semaphore::new((processors / 2).max(1))),
            processors,
        })))
    }

    /// Compiles a component, checks that it is an adapter, and asks it to
    /// describe itself. `name` is for messages.
    ///
    /// # Errors
    ///
    /// [`LoadError`] says what the component lacks.
    pub async fn load(&self, name: &str, wasm: impl Into<Bytes>) -> Result<Adapter, LoadError> {
        self.load_counting(name, wasm, Arc::default()).await
    }

    /// The same; its calls are counted into `usage`.
    ///
    /// # Errors
    ///
    /// [`LoadError`] says what the component lacks.
    pub async fn load_counting(
        &self,
        name: &str,
        wasm: impl Into<Bytes>,
        usage: Arc<Usage>,
    ) -> Result<Adapter, LoadError> {
        let wasm = wasm.into();
        check_bytes(&wasm)?;
        let size_bytes = wasm.len();
        let (component, digest) = self.component(wasm).await?;

        let imports = self.imports(&component);
        if let Some(import) = imports.iter().find(|import| !is_offered(import)) {
            return Err(LoadError::UnknownImport { import: import.clone() });
        }
        let imports_wasi = imports.iter().any(|import| import.starts_with("wasi:"));
        let linked = self.link(&component, imports_wasi)?;
        let limits = self.0.config.call_limits(name);
        let guest = Guest::new(name.into(), linked, imports_wasi, limits, self.clone());
        let (info, _) = guest
            .run(Timestamp::from_millis(0), (0, 0), async |adapter, store| {
                adapter.call_describe(store).await
            })
            .await;
        let info = info.map_err(LoadError::Undescribed)?;
        let info = lift::info(info).map_err(|what| LoadError::Misdescribed { what })?;
        Ok(Adapter::new(Loaded { guest, digest, size_bytes, imports, info, usage }))
    }

    pub(super) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.0.wasmtime
    }

    pub(super) fn room(&self) -> Room {
        self.0.room.clone()
    }

    pub(super) fn turns(&self) -> Arc<Semaphore> {
        Arc::clone(&self.0.turns)
    }

    pub(super) fn calls_per_adapter_max(&self) -> usize {
        CALLS_PER_ADAPTER_MIN.max(2 * self.0.processors)
    }

    /// Waits for room in the pool.
    pub(super) async fn instance(&self) -> SemaphorePermit<'_> {
        self.0.instances.acquire().await.expect("the semaphore is never closed")
    }

    /// From the cache, or by compiling.
    async fn component(&self, wasm: Bytes) -> Result<(Component, Digest), LoadError> {
        let (engine, bytes) = (self.clone(), wasm.clone());
        let (digest, cached) = apart_from_tasks(move || {
            let digest = Digest::of(&bytes);
            let cache = engine.0.cache.as_ref();
            Ok((digest, cache.and_then(|cache| cache.load(engine.wasmtime(), &digest))))
        })
        .await?;
        if let Some(component) = cached {
            return Ok((component, digest));
        }
        let _turn = self.0.compiles.acquire().await.expect("the semaphore is never closed");
        let engine = self.clone();
        let code = match self.0.compiler {
            Compiler::Here => {
                apart_from_tasks(move || compile::here(engine.wasmtime(), &wasm)).await?
            }
            Compiler::Apart => {
                let limits = self.0.config.compile_limits();
                compile::apart(limits, &self.0.compatibility, &wasm).await?
            }
        };
        let engine = self.clone();
        apart_from_tasks(move || {
            // Here it is seen whether what the component needs is within the
            // engine's bounds.
            let component = cache::deserialize(engine.wasmtime(), &code)
                .map_err(|error| LoadError::Invalid { what: format!("{error:#}") })?;
            if let Some(cache) = &engine.0.cache {
                cache.store(&digest, &code);
            }
            Ok((component, digest))
        })
        .await
    }

    fn imports(&self, component: &Component) -> Vec<String> {
        let engine = self.wasmtime();
        component.component_type().imports(engine).map(|(name, _)| name.to_owned()).collect()
    }

    /// Checks the types of everything that goes in and out.
    fn link(
        &self,
        component: &Component,
        imports_wasi: bool,
    ) -> Result<CspAdapterPre<HostState>, LoadError> {
        let linker = if imports_wasi { &self.0.wasi } else { &self.0.contract };
        let linked = linker
            .instantiate_pre(component)
            .map_err(|error| LoadError::Unlinked { what: format!("{error:#}") })?;
        CspAdapterPre::new(linked).map_err(|error| LoadError::WrongWorld {
            what: self
                .missing_export(component)
                .unwrap_or_else(|| format!("its export `{}`: {error:#}", wit::ADAPTER)),
        })
    }

    /// What to say when the component does not export the interface at all.
    fn missing_export(&self, component: &Component) -> Option<String> {
        let ty = component.component_type();
        let exports: Vec<_> = ty.exports(self.wasmtime()).collect();
        if exports.iter().any(|(name, _)| *name == wit::ADAPTER) {
            return None;
        }
        let others: Vec<_> = exports.iter().map(|(name, _)| format!("`{name}`")).collect();
        let others = if others.is_empty() { "nothing".to_owned() } else { others.join(", ") };
        Some(format!("it must export `{}`, and exports {others}", wit::ADAPTER))
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("compiler", &self.0.compiler).finish_non_exhaustive()
    }
}

/// Runs what takes long where it holds up no task.
async fn apart_from_tasks<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_panicked| LoadError::Invalid { what: "the compiler broke".to_owned() })?
}

fn check_bytes(wasm: &[u8]) -> Result<(), LoadError> {
    /// What follows the magic in a component: version 13 in layer 1.
    const COMPONENT: [u8; 4] = [0x0d, 0, 1, 0];
    const CORE_MODULE: [u8; 4] = [1, 0, 0, 0];
    let not = |what: &str| LoadError::NotAComponent { what: what.to_owned() };
    if wasm.len() > COMPONENT_BYTES_MAX {
        return Err(LoadError::TooLarge { size: wasm.len(), limit: COMPONENT_BYTES_MAX });
    }
    if wasm.starts_with(b"\x7fELF") || wasmtime::Engine::detect_precompiled(wasm).is_some() {
        return Err(LoadError::Precompiled);
    }
    match wasm.split_first_chunk::<4>() {
        Some((b"\0asm", rest)) if rest.starts_with(&COMPONENT) => {}
        Some((b"\0asm", rest)) if rest.starts_with(&CORE_MODULE) => {
            return Err(not("this is a core module; wrap it with `wasm-tools component new`"));
        }
        Some(_) | None => return Err(not("it does not begin like one")),
    }
    Ok(())
}

/// Whether an import belongs to what the host offers. Its version and its types
/// are for the linker to check.
fn is_offered(import: &str) -> bool {
    ["hoth:adapter/types@0.1.0", "hoth:adapter/log@0.1.0"].contains(&import)
        || WASI.iter().any(|package| import.starts_with(package))
}

fn wasmtime_config(memory_bytes: usize) -> wasmtime::Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(INSTANCES_MAX)
        .total_stacks(INSTANCES_MAX)
        .total_memories(INSTANCES_MAX * PER_INSTANCE_MAX)
        .total_tables(INSTANCES_MAX * PER_INSTANCE_MAX)
        .total_core_instances(INSTANCES_MAX * CORE_INSTANCES_MAX)
        .max_memories_per_module(PER_INSTANCE_MAX)
        .max_tables_per_module(PER_INSTANCE_MAX)
        .max_memories_per_component(PER_INSTANCE_MAX)
        .max_tables_per_component(PER_INSTANCE_MAX)
        .max_core_instances_per_component(CORE_INSTANCES_MAX)
        .max_memory_size(memory_bytes)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_unused_warm_slots(WARM_SLOTS_MAX)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(KEEP_RESIDENT_TABLE_BYTES)
        .pagemap_scan(Enabled::Auto);
    let mut config = compiler_config();
    config.allocation_strategy(pool);
    config
}

/// Everything that the compiler's output depends on. A compiler alone needs no
/// room for instances.
pub(super) fn compiler_config() -> wasmtime::Config {
    let mut config = wasmtime::Config::new();
    config
        .epoch_interruption(true)
        // The asynchronous ABI is not part of the contract, and doing without
        // it makes every call cheaper.
        .concurrency_support(false)
        // For debuggers and profilers of other makes; traps are told without.
        .native_unwind_info(false)
        // The same arguments give the same step on every machine.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true);
    config
}

/// Counts epochs until the engine is gone.
fn start_epochs(engine: EngineWeak) -> std::io::Result<()> {
    let count = move || {
        loop {
            thread::sleep(EPOCH_TICK);
            match engine.upgrade() {
                Some(engine) => engine.increment_epoch(),
                None => return,
            }
        }
    };
    thread::Builder::new().name("adapter-epochs".to_owned()).spawn(count).map(drop)
}
