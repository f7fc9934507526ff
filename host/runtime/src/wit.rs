//! The contract with adapters as Rust types, generated from the WIT.
//!
//! Parameters are borrowed and results owned, so that a request of a megabyte is
//! copied once, into the guest.

use wasmtime::AsContextMut;
use wasmtime::component::Component;
use wasmtime::component::ComponentExportIndex;
use wasmtime::component::Func;
use wasmtime::component::Instance;
use wasmtime::component::TypedFunc;

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

type BeginFunc<'a> = TypedFunc<(types::Job<'a>,), (types::Step,)>;
type ResumeFunc<'a> =
    TypedFunc<(types::Job<'a>, types::StateParam<'a>, types::Event<'a>), (types::Step,)>;

/// The functions of [`ADAPTER`] that run jobs, found in a component. Their types
/// are not known yet.
pub(super) struct FoundExports {
    begin: ComponentExportIndex,
    resume: ComponentExportIndex,
}

/// The functions of [`ADAPTER`] that run jobs, found and checked once for all
/// instances of a component: a check of each would take a twentieth of a call.
pub(super) struct EntryExports(FoundExports);

/// `begin` of an instance.
pub(super) struct Begin(Func);

/// `resume` of an instance.
pub(super) struct Resume(Func);

impl FoundExports {
    /// Finds the functions. Returns `None` if the component lacks one.
    pub fn find(component: &Component) -> Option<Self> {
        let adapter = component.get_export_index(None, ADAPTER)?;
        let function = |name| component.get_export_index(Some(&adapter), name);
        Some(Self { begin: function("begin")?, resume: function("resume")? })
    }

    /// Checks the types of the functions on an instance of the component.
    ///
    /// # Errors
    ///
    /// A function has another type.
    pub fn check(
        self,
        instance: &Instance,
        mut store: impl AsContextMut,
    ) -> wasmtime::Result<EntryExports> {
        let _: BeginFunc<'_> = function(instance, &mut store, &self.begin)?.typed(&store)?;
        let _: ResumeFunc<'_> = function(instance, &mut store, &self.resume)?.typed(&store)?;
        Ok(EntryExports(self))
    }
}

impl EntryExports {
    /// Returns `begin` of an instance.
    ///
    /// # Errors
    ///
    /// The instance is one of another component than the one that was checked.
    pub fn begin(&self, instance: &Instance, store: impl AsContextMut) -> wasmtime::Result<Begin> {
        function(instance, store, &self.0.begin).map(Begin)
    }

    /// Returns `resume` of an instance.
    ///
    /// # Errors
    ///
    /// The instance is one of another component than the one that was checked.
    pub fn resume(
        &self,
        instance: &Instance,
        store: impl AsContextMut,
    ) -> wasmtime::Result<Resume> {
        function(instance, store, &self.0.resume).map(Resume)
    }
}

#[expect(unsafe_code, reason = "wasmtime has no other way to leave out the check of a type")]
impl Begin {
    pub fn typed<'a>(self) -> BeginFunc<'a> {
        // SAFETY: `FoundExports::check` has found that the export has this type.
        // The type is part of the component, so all instances have it, and an
        // instance of another component has no function under this index.
        unsafe { TypedFunc::new_unchecked(self.0) }
    }
}

#[expect(unsafe_code, reason = "wasmtime has no other way to leave out the check of a type")]
impl Resume {
    pub fn typed<'a>(self) -> ResumeFunc<'a> {
        // SAFETY: as for `Begin`.
        unsafe { TypedFunc::new_unchecked(self.0) }
    }
}

fn function(
    instance: &Instance,
    store: impl AsContextMut,
    export: &ComponentExportIndex,
) -> wasmtime::Result<Func> {
    let function = instance.get_func(store, export);
    function.ok_or_else(|| wasmtime::Error::msg("the instance lacks a function of its component"))
}
