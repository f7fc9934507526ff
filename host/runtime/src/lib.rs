//! The runtime of adapters: wasmtime narrowed to one call into one component.
//!
//! Every call has its own instance, with limits on memory, time and log output.
//! Results are checked before they leave this crate, and no type of wasmtime
//! leaves it.

mod cache;
mod call;
mod compile;
mod config;
mod contract;
mod engine;
mod error;
mod functions;
mod guest;
mod guest_log;
mod host;
mod lift;
mod limiter;
mod load;
mod lower;
mod machine;
mod pace;
mod settings;
mod text;
mod usage;
mod wasi;
mod wit;

#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

pub use call::Adapter;
pub use compile::COMMAND as COMPILE_COMMAND;
pub use compile::compile_as_child;
pub use config::Compiler;
pub use config::Config;
pub use config::Limits;
pub use contract::Call;
pub use contract::EntryPoint;
pub use contract::Info;
pub use contract::JobContext;
pub use engine::Engine;
pub use error::CallError;
pub use error::EngineError;
pub use error::LoadError;
pub use guest::Measured;
pub use lift::checked_outcome;
pub use settings::COMPONENT_BYTES_MAX;
pub use usage::CALL_SECONDS_BOUNDS;
pub use usage::Counted;
pub use usage::Usage;

/// The types of the WIT and their lifting, for fuzz targets.
#[cfg(feature = "testing")]
pub mod fuzz {
    pub use super::lift::step;
    pub use super::wit::types::*;
}
