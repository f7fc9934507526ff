//! The contract with adapters as Rust types, generated from the WIT.
//!
//! Parameters are borrowed and results owned, so that a request of a megabyte is
//! copied once, into the guest.

use wasmtime::component::Component;
use wasmtime::component::ComponentExportIndex;

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

/// The functions of [`ADAPTER`] that run jobs, found once for all instances.
pub(super) struct EntryExports {
    pub begin: ComponentExportIndex,
    pub resume: ComponentExportIndex,
}

impl EntryExports {
    /// Finds the functions. Returns `None` if the component lacks one.
    pub fn find(component: &Component) -> Option<Self> {
        let adapter = component.get_export_index(None, ADAPTER)?;
        let function = |name| component.get_export_index(Some(&adapter), name);
        Some(Self { begin: function("begin")?, resume: function("resume")? })
    }
}
