//! The contract with adapters as Rust types, generated from the WIT.
//!
//! Parameters are borrowed and results owned, so that a request of a megabyte is
//! copied once, into the guest.

wasmtime::component::bindgen!({
    path: "../../wit/v0.2",
    world: "csp-adapter",
    exports: { default: async },
    ownership: Borrowing { duplicate_if_necessary: true },
});

pub(super) use exports::hoth::adapter::adapter::Info;
pub(super) use hoth::adapter::log;
pub use hoth::adapter::types;

/// The export that makes a component an adapter.
pub(super) const ADAPTER: &str = "hoth:adapter/adapter@0.2.0";
