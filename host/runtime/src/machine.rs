//! The abilities that components need of the machine, and the remedy where one
//! is missing.
//!
//! Hardened services deny some of them. Without this check the first component
//! would be refused, although it is not the cause.

use std::io;

use super::EngineError;

/// A core module with one empty function: `(module (func))`.
const SMALLEST_MODULE: [u8; 24] = [
    0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, // magic, version
    0x01, 0x04, 0x01, 0x60, 0x00, 0x00, // one type: a function of nothing
    0x03, 0x02, 0x01, 0x00, // one function of this type
    0x0a, 0x04, 0x01, 0x02, 0x00, 0x0b, // its body: end
];

/// Checks that machine code can be made executable.
///
/// # Errors
///
/// [`EngineError`] with the remedy.
pub(super) fn check(engine: &wasmtime::Engine) -> Result<(), EngineError> {
    wasmtime::Module::new(engine, SMALLEST_MODULE).map(drop).map_err(|error| explain(&error))
}

/// Returns the remedy for an error of wasmtime's.
pub(super) fn explain(error: &wasmtime::Error) -> EngineError {
    let mut kinds = error.chain().filter_map(|cause| {
        let errno = cause.downcast_ref::<rustix::io::Errno>().map(|errno| errno.kind());
        errno.or_else(|| cause.downcast_ref::<io::Error>().map(io::Error::kind))
    });
    match kinds.next() {
        Some(io::ErrorKind::PermissionDenied) => EngineError::NotExecutable,
        Some(io::ErrorKind::OutOfMemory) => EngineError::AddressSpace,
        Some(_) | None => EngineError::Unsupported(format!("{error:#}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_machine_has_a_remedy() {
        for (number, remedy) in [
            (13, "`MemoryDenyWriteExecute=yes`"),
            (1, "`MemoryDenyWriteExecute=yes`"),
            (12, "`ulimit -v`"),
            (22, "while mapping: Invalid argument"),
        ] {
            let error = wasmtime::Error::new(io::Error::from_raw_os_error(number));
            let text = explain(&error.context("while mapping")).to_string();
            assert!(text.contains(remedy), "{number}: {text}");
        }
    }

    #[test]
    fn this_machine_runs_components() {
        check(&wasmtime::Engine::default()).expect("machine code can be made executable");
    }
}
