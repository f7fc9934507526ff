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

/// The functions of [`ADAPTER`] that run jobs, found and checked once for all
/// instances of a component: a check of each would take a twentieth of a call.
pub(super) struct EntryExports {
    begin: ComponentExportIndex,
    resume: ComponentExportIndex,
}

/// `begin` of an instance.
pub(super) struct Begin(Func);

/// `resume` of an instance.
pub(super) struct Resume(Func);

impl EntryExports {
    /// Finds the functions of a component, and checks their types on an instance
    /// of it.
    ///
    /// # Errors
    ///
    /// A function is missing or has another type.
    pub fn check(
        component: &Component,
        instance: &Instance,
        mut store: impl AsContextMut,
    ) -> wasmtime::Result<Self> {
        let find = |parent, name: &str| {
            let index = component.get_export_index(parent, name);
            index.ok_or_else(|| wasmtime::Error::msg(format!("the component lacks `{name}`")))
        };
        let adapter = find(None, ADAPTER)?;
        let exports =
            Self { begin: find(Some(&adapter), "begin")?, resume: find(Some(&adapter), "resume")? };
        let _: BeginFunc<'_> = function(instance, &mut store, &exports.begin)?.typed(&store)?;
        let _: ResumeFunc<'_> = function(instance, &mut store, &exports.resume)?.typed(&store)?;
        Ok(exports)
    }

    /// Returns `begin` of an instance.
    ///
    /// # Errors
    ///
    /// The instance is one of another component than the one that was checked.
    pub fn begin(&self, instance: &Instance, store: impl AsContextMut) -> wasmtime::Result<Begin> {
        function(instance, store, &self.begin).map(Begin)
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
        function(instance, store, &self.resume).map(Resume)
    }
}

#[expect(unsafe_code, reason = "wasmtime has no other way to leave out the check of a type")]
impl Begin {
    /// Returns the function with its type.
    pub fn typed<'a>(self) -> BeginFunc<'a> {
        // SAFETY: `EntryExports::check` has found that the export has this type.
        // The type has no resources, so it is that of the component and the same
        // in all instances. An instance of another component has no function
        // under this index.
        unsafe { TypedFunc::new_unchecked(self.0) }
    }
}

#[expect(unsafe_code, reason = "wasmtime has no other way to leave out the check of a type")]
impl Resume {
    /// Returns the function with its type.
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

#[cfg(test)]
mod tests {
    use wasmtime::Engine;
    use wasmtime::Store;
    use wasmtime::component::Linker;

    use super::*;
    use crate::testing::TestGuest;

    fn component(engine: &Engine, wasm: &[u8]) -> (Component, Instance, Store<()>) {
        let component = Component::new(engine, wasm).expect("valid");
        let mut linker = Linker::new(engine);
        linker.define_unknown_imports_as_traps(&component).expect("all can be defined");
        let mut store = Store::new(engine, ());
        let instance = linker.instantiate(&mut store, &component).expect("it starts");
        (component, instance, store)
    }

    #[test]
    fn only_functions_of_the_contract_are_called() {
        let engine = Engine::default();
        let good = TestGuest::default().build();
        let (component_1, instance_1, mut store_1) = component(&engine, &good);
        let exports = EntryExports::check(&component_1, &instance_1, &mut store_1);
        let exports = exports.expect("the types are those of the contract");
        assert!(exports.begin(&instance_1, &mut store_1).is_ok());
        assert!(exports.resume(&instance_1, &mut store_1).is_ok());

        // Another component, although of the same bytes.
        let (_, instance_2, mut store_2) = component(&engine, &good);
        assert!(exports.begin(&instance_2, &mut store_2).is_err());
        assert!(exports.resume(&instance_2, &mut store_2).is_err());

        // A function without parameters and results, under both names, under the
        // first one, and under none.
        for names in [&["begin", "resume"][..], &["begin"], &[]] {
            let exported = names.iter().map(|name| format!(r#"(export "{name}" (func $f))"#));
            let wasm = wat::parse_str(format!(
                r#"(component
                    (core module $m (func (export "f")))
                    (core instance $i (instantiate $m))
                    (func $f (canon lift (core func $i "f")))
                    (instance $a {})
                    (export "{ADAPTER}" (instance $a)))"#,
                exported.collect::<String>()
            ));
            let wasm = wasm.expect("valid WAT");
            let (component, instance, mut store) = component(&engine, &wasm);
            assert!(EntryExports::check(&component, &instance, &mut store).is_err(), "{names:?}");
        }
    }
}
