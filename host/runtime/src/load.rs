//! The loading of a component: it is checked, compiled, linked, and asked to
//! describe itself.

use std::sync::Arc;

use bytes::Bytes;
use tracing::debug;
use wasmtime::Store;
use wasmtime::component::Component;
use wasmtime::component::Instance;
use wasmtime::component::InstancePre;

use super::Adapter;
use super::Engine;
use super::LoadError;
use super::Usage;
use super::cache;
use super::cache::Cache;
use super::call::Loaded;
use super::compile;
use super::compile::Compiled;
use super::config::Compiler;
use super::guest::Guest;
use super::host::HostState;
use super::lift;
use super::settings::COMPONENT_BYTES_MAX;
use super::wit;
use super::wit::CspAdapter;
use super::wit::CspAdapterPre;
use super::wit::EntryExports;
use hoth_core::domain::Digest;
use hoth_core::domain::Timestamp;

/// The packages of WASI that the host offers, as stubs. `wasi:http` is not
/// among them: the host makes the requests.
const WASI: [&str; 6] =
    ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];

impl Engine {
    /// Compiles a component, checks that it is an adapter, and asks it to
    /// describe itself. `name` is for messages.
    ///
    /// # Errors
    ///
    /// [`LoadError`] says what the component lacks.
    pub async fn load(&self, name: &str, wasm: impl Into<Bytes>) -> Result<Adapter, LoadError> {
        self.load_counting(name, wasm, Arc::default()).await
    }

    /// Loads a component as [`Engine::load`] does, and counts its calls in
    /// `usage`.
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
        // Before the compiler, which is the largest part that reads the bytes.
        check_bytes(&wasm)?;
        let size_bytes = wasm.len();
        let (component, digest) = self.component(wasm).await?;

        // Before the linker, whose error does not say what an adapter may
        // import.
        let imports = self.imports(&component);
        if let Some(import) = imports.iter().find(|import| !is_offered(import)) {
            return Err(LoadError::UnknownImport { import: import.clone() });
        }
        let imports_wasi = imports.iter().any(|import| import.starts_with("wasi:"));
        let linked = self.link(&component, imports_wasi)?;
        let limits = self.config().call_limits(name);
        let guest = Guest::new(name.into(), linked, imports_wasi, limits, self.clone());
        // The description is a property of the component, so time and entropy
        // have fixed values. Here, once for the component, all exports are
        // checked.
        let all = |instance: &Instance, store: &mut Store<HostState>| {
            let adapter = CspAdapter::new(&mut *store, instance)?;
            Ok((adapter, EntryExports::check(&component, instance, store)?))
        };
        let (described, _) = guest
            .run(Timestamp::from_millis(0), (0, 0), all, async |(adapter, exports), store| {
                let info = adapter.hoth_adapter_adapter().call_describe(store).await?;
                Ok((info, exports))
            })
            .await;
        let (info, exports) = described.map_err(LoadError::Undescribed)?;
        let info = lift::info(info).map_err(|what| LoadError::Misdescribed { what })?;
        Ok(Adapter::new(Loaded { guest, exports, digest, size_bytes, imports, info, usage }))
    }

    /// Returns the compiled component, from the cache or from the compiler.
    async fn component(&self, wasm: Bytes) -> Result<(Component, Digest), LoadError> {
        // The cache before the permit: a start with a full cache must not wait
        // for a compiler. Hashing and reading block, so a blocking thread does
        // both.
        let (engine, bytes) = (self.clone(), wasm.clone());
        let (digest, cached) = run_blocking(move || {
            let digest = Digest::of(&bytes);
            let cache = engine.cache();
            Ok((digest, cache.and_then(|cache| cache.load(engine.wasmtime(), &digest))))
        })
        .await?;
        if let Some(component) = cached {
            return Ok((component, digest));
        }
        let _permit = self.compile_permit().await;
        let engine = self.clone();
        let known = move || engine.cache().map(Cache::functions).unwrap_or_default();
        let Compiled { code, functions, reused } = match self.compiler() {
            Compiler::InProcess => {
                run_blocking(move || compile::in_process(known(), &wasm)).await?
            }
            Compiler::Subprocess => {
                let limits = self.config().compile_limits();
                let known = run_blocking(move || Ok(known())).await?;
                compile::in_subprocess(limits, self.compatibility(), &known, &wasm).await?
            }
        };
        debug!(sha256 = %digest, reused, "compiled a component");
        let engine = self.clone();
        run_blocking(move || {
            // Fails if the component needs more than the pool of instances has.
            let component = cache::deserialize(engine.wasmtime(), &code)
                .map_err(|error| LoadError::Invalid { what: format!("{error:#}") })?;
            // Stored after it was loaded, so that the cache has only usable
            // code.
            if let Some(cache) = engine.cache() {
                cache.store(&digest, &code);
                cache.add_functions(&functions);
            }
            Ok((component, digest))
        })
        .await
    }

    fn imports(&self, component: &Component) -> Vec<String> {
        let engine = self.wasmtime();
        component.component_type().imports(engine).map(|(name, _)| name.to_owned()).collect()
    }

    /// Links the component, which checks the types of its imports and exports.
    fn link(
        &self,
        component: &Component,
        imports_wasi: bool,
    ) -> Result<InstancePre<HostState>, LoadError> {
        let linked = self
            .linker(imports_wasi)
            .instantiate_pre(component)
            .map_err(|error| LoadError::Unlinked { what: format!("{error:#}") })?;
        CspAdapterPre::new(linked.clone()).map_err(|error| LoadError::WrongWorld {
            what: self
                .missing_export(component)
                .unwrap_or_else(|| format!("its export `{}`: {error:#}", wit::ADAPTER)),
        })?;
        Ok(linked)
    }

    /// Returns an explanation if the component does not export the interface at
    /// all.
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

/// Runs long work on a blocking thread.
async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_panicked| LoadError::Invalid { what: "the compiler panicked".to_owned() })?
}

fn check_bytes(wasm: &[u8]) -> Result<(), LoadError> {
    /// The bytes after the magic in a component: version 13 in layer 1.
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

/// Returns true if the host offers the import. The linker checks its version
/// and types.
fn is_offered(import: &str) -> bool {
    ["hoth:adapter/types@0.2.0", "hoth:adapter/log@0.2.0"].contains(&import)
        || WASI.iter().any(|package| import.starts_with(package))
}
