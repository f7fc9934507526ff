//! The settings of wasmtime: the compiler and the pool of instances.

use wasmtime::Enabled;
use wasmtime::PoolingAllocationConfig;

/// The largest component, in bytes. CPython with its library has 18 MB.
pub const COMPONENT_BYTES_MAX: usize = 64 << 20;

/// The most instances at one time, over all adapters. A call waits only for the
/// processor, so a few per core would do. The others are for guests that spin
/// or sleep and hold their instance until the deadline: thirty such adapters
/// must not keep a well-behaved one waiting.
pub(super) const INSTANCES_MAX: u32 = 256;

/// The most memories, and tables, of one component and of one module in it. A
/// Rust adapter has one memory and two tables, CPython one and three.
const PER_INSTANCE_MAX: u32 = 4;

/// The most core instances of one component. Only a count, without a
/// reservation. Components linked from shared libraries have dozens.
const CORE_INSTANCES_MAX: u32 = 64;

/// The most elements of one table. CPython needs over 20 000.
const TABLE_ELEMENTS_MAX: usize = 100_000;

/// The instances' worth of memory kept mapped for idle versions. More would
/// keep memory of versions that are no longer called.
const WARM_SLOTS_MAX: u32 = 32;

/// The bytes of a memory that stay mapped between two calls, because clearing
/// is cheaper than a page fault: the 1 MiB shadow stack of Rust guests, and as
/// much heap.
const KEEP_RESIDENT_BYTES: usize = 2 << 20;

/// The bytes of a table that stay mapped. A Rust adapter has a few hundred
/// elements.
const KEEP_RESIDENT_TABLE_BYTES: usize = 16 << 10;

/// Returns the settings of an engine that runs adapters of up to
/// `memory_bytes`.
pub(super) fn wasmtime_config(memory_bytes: usize) -> wasmtime::Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(INSTANCES_MAX)
        // Every call is asynchronous, and runs on a stack of its own.
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

/// Returns the settings that the output of the compiler depends on, without the
/// pool of instances, which a compiler does not need.
pub(super) fn compiler_config() -> wasmtime::Config {
    let mut config = wasmtime::Config::new();
    config
        // Cheaper than fuel (wasmtime documentation,
        // `Config::epoch_interruption`), and a deadline is about time.
        .epoch_interruption(true)
        // The asynchronous ABI is not part of the contract, and doing without
        // it makes every call cheaper.
        .concurrency_support(false)
        // Only external debuggers and profilers need it; traps do not.
        .native_unwind_info(false)
        // A third of the size of a compiled component, for the offsets in a
        // backtrace that names functions without them.
        .generate_address_map(false)
        // The same arguments give the same step on every machine.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true);
    config
}
