//! The data of a store, and the functions that a guest can call.

use wasmtime::component::HasSelf;
use wasmtime::component::Linker;
use wasmtime_wasi::WasiCtxView;
use wasmtime_wasi::WasiView;

use super::guest_log::GuestLog;
use super::limiter::Limiter;
use super::wasi::Wasi;
use super::wit::CspAdapter;
use super::wit::log;
use super::wit::types;
use hoth_core::domain::Timestamp;

/// The host's side of one call.
pub(super) struct HostState {
    pub limiter: Limiter,
    pub log: GuestLog,
    /// `Some` only for a component that imports WASI: making it costs more than
    /// a small call.
    wasi: Option<Box<Wasi>>,
}

impl HostState {
    pub fn new(limiter: Limiter, log: GuestLog) -> Self {
        Self { limiter, log, wasi: None }
    }

    pub fn with_wasi(mut self, now: Timestamp, entropy: (u64, u64)) -> Self {
        self.wasi = Some(Box::new(Wasi::new(now, entropy, &self.log)));
        self
    }
}

impl log::Host for HostState {
    fn log(&mut self, level: log::Level, message: String) {
        self.log.line(level, &message);
    }
}

impl types::Host for HostState {}

impl WasiView for HostState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.wasi.as_mut().expect("stores of components that import WASI are made with it").view()
    }
}

/// Makes a linker with the imports of the contract.
pub(super) fn link_contract(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<HostState>> {
    let mut linker = Linker::new(engine);
    CspAdapter::add_to_linker::<_, HasSelf<HostState>>(&mut linker, |host| host)?;
    Ok(linker)
}

/// Makes a linker with the imports of the contract and of WASI.
pub(super) fn link_wasi(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<HostState>> {
    let mut linker = link_contract(engine)?;
    // Without `wasi:http`: a request is a step, which the host carries out.
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    Ok(linker)
}
