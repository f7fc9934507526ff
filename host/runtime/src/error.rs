//! Errors of adapters, by the caller that acts on them.

use std::time::Duration;

use hoth_core::config::Problem;

/// An engine that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The first setting of the table that is out of bounds.
    #[error("adapters.{0}")]
    Config(Problem),
    /// The operating system does not let this process make code executable.
    #[error(
        "this process may not execute memory that it has written, which components need; remove \
         `MemoryDenyWriteExecute=yes` from the systemd unit, or the rule of seccomp or SELinux \
         that denies it"
    )]
    NotExecutable,
    /// A limit on address space, most of which is never used as memory.
    #[error(
        "the address space of this process is limited, and components need 5 TiB of it, most of \
         which is never used as memory; remove `LimitAS=` from the systemd unit, or the limit of \
         `ulimit -v`, and limit memory with `MemoryMax=` or cgroups"
    )]
    AddressSpace,
    /// The machine refuses the instructions, or something else.
    #[error("the machine does not let components run: {0}")]
    Unsupported(String),
    #[error("starting the thread that interrupts adapters")]
    Thread(#[source] std::io::Error),
}

/// A component that cannot be used as an adapter. The texts are for operators.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("the component has {size} bytes, more than the {limit} that are allowed")]
    TooLarge { size: usize, limit: usize },
    /// Machine code would run outside of the sandbox.
    #[error("this is compiled machine code; only a WebAssembly component can be an adapter")]
    Precompiled,
    #[error("not a WebAssembly component: {what}")]
    NotAComponent { what: String },
    #[error("the component does not compile: {what}")]
    Invalid { what: String },
    #[error(
        "compiling the component takes longer than {} ms (`adapters.compile_timeout_ms`)",
        limit.as_millis()
    )]
    CompileTime { limit: Duration },
    #[error(
        "compiling the component takes more than {limit} bytes of memory \
         (`adapters.compile_max_memory_bytes`)"
    )]
    CompileMemory { limit: u64 },
    /// The compiler process cannot run; the component is not the cause.
    #[error("the compiler cannot be run: {0}")]
    NoCompiler(std::io::Error),
    /// A signal from outside of the host ended the compiler process; the
    /// component is not the cause.
    #[error(
        "the compiler was killed (signal {signal}), probably because the machine or its container \
         has no more memory; this says nothing about the component: raise the memory limit of the \
         container, or lower `adapters.compile_max_memory_bytes`"
    )]
    CompilerKilled { signal: i32 },
    #[error(
        "the component imports `{import}`, which the host does not offer: an adapter may import \
         `hoth:adapter/log@0.2.0` and WASI 0.2 without `wasi:http`; requests are steps that it \
         returns"
    )]
    UnknownImport { import: String },
    #[error(
        "the component imports something that the host does not offer: {what}; build it for the \
         world `csp-adapter` of `wit/v0.2` and WASI 0.2"
    )]
    Unlinked { what: String },
    #[error(
        "the component is not a CSP adapter: {what}; build it for the world `csp-adapter` of `wit/v0.2`"
    )]
    WrongWorld { what: String },
    #[error("the component does not describe itself: {0}")]
    Undescribed(CallError),
    #[error("the component describes itself wrongly: {what}")]
    Misdescribed { what: String },
}

impl LoadError {
    /// Returns one word of a closed set, for metrics and the admin API.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too-large",
            Self::Precompiled => "precompiled",
            Self::NotAComponent { .. } => "not-a-component",
            Self::Invalid { .. } => "invalid",
            Self::CompileTime { .. } | Self::CompileMemory { .. } => "compile-limit",
            Self::NoCompiler(_) | Self::CompilerKilled { .. } => "no-compiler",
            Self::UnknownImport { .. } | Self::Unlinked { .. } => "import",
            Self::WrongWorld { .. } => "wrong-world",
            Self::Undescribed(_) | Self::Misdescribed { .. } => "description",
        }
    }
}

impl LoadError {
    /// Returns `true` if the cause is the machine, so that the same component
    /// may load at a later try.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NoCompiler(_) | Self::CompilerKilled { .. } => true,
            Self::TooLarge { .. }
            | Self::Precompiled
            | Self::NotAComponent { .. }
            | Self::Invalid { .. }
            | Self::CompileTime { .. }
            | Self::CompileMemory { .. }
            | Self::UnknownImport { .. }
            | Self::Unlinked { .. }
            | Self::WrongWorld { .. }
            | Self::Undescribed(_)
            | Self::Misdescribed { .. } => false,
        }
    }
}

/// A call into an adapter that returned no step. Only its own job fails. The
/// texts may be shown to ServiceNow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The guest trapped. The backtrace is in the log.
    #[error("the adapter trapped: {message}")]
    Trapped { message: String },
    #[error("the adapter did not answer within {} ms", limit.as_millis())]
    DeadlineExceeded { limit: Duration },
    #[error("the adapter asked for more than its {limit} bytes of memory")]
    MemoryExceeded { limit: u64 },
    /// The guest returned a step against the contract.
    #[error("the adapter answered against its contract: {what}")]
    InvalidStep { what: String },
    /// No instance could be made.
    #[error("the adapter could not be started: {message}")]
    NotStarted { message: String },
}
