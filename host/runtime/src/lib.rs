//! wasmtime narrowed to what HOTH uses: one call into one component.
//!
//! Every call gets an instance of its own, with a bound on its memory, its
//! time, and what it may say; what comes back is checked before anyone else
//! sees it. Nothing of wasmtime leaves this module.

mod cache;
mod call;
mod compile;
mod config;
mod engine;
mod error;
mod guest;
mod guest_log;
mod host;
mod lift;
mod limiter;
mod lower;
mod pace;
mod usage;
mod wasi;
mod wit;

#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

pub use call::Adapter;
pub use call::Call;
pub use call::Entry;
pub use call::Facts;
pub use call::Info;
pub use compile::COMMAND as COMPILE_COMMAND;
pub use compile::Compiler;
pub use compile::compile_as_child;
pub use config::Config;
pub use config::Limits;
pub use engine::COMPONENT_BYTES_MAX;
pub use engine::Engine;
pub use error::CallError;
pub use error::EngineError;
pub use error::LoadError;
pub use usage::Counted;
pub use usage::Usage;

/// The guest's words, and the host's reading of them, for `tests/fuzz`.
#[cfg(feature = "testing")]
pub mod fuzz {
    pub use super::lift::step;
    pub use super::wit::types::*;
}
