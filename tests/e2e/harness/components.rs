//! The components that `cargo xtask adapters` builds.

use std::path::Path;
use std::path::PathBuf;

/// Returns the bundled adapter that `cargo xtask adapters` built.
pub fn component(name: &str) -> PathBuf {
    built("adapters", name)
}

/// Returns the test guest that `cargo xtask adapters --guests` built.
pub fn guest(name: &str) -> PathBuf {
    built("guests", name)
}

/// Reads the adapter in another language that `cargo xtask adapters --samples`
/// built.
pub fn sample(name: &str) -> Vec<u8> {
    std::fs::read(built("samples", name)).expect("the sample can be read")
}

fn built(folder: &str, name: &str) -> PathBuf {
    let file = target_directory().join(folder).join(format!("{name}.wasm"));
    let option = if folder == "samples" { "--samples" } else { "--guests" };
    assert!(file.is_file(), "{} is missing: run `cargo xtask adapters {option}`", file.display());
    file
}

/// Returns the folder of compiled adapters, which all tests share.
pub fn compiled_adapters() -> PathBuf {
    target_directory().join("e2e-adapter-cache")
}

fn target_directory() -> PathBuf {
    // The program lies in target/debug.
    let program = Path::new(env!("CARGO_BIN_EXE_hoth"));
    program.ancestors().nth(2).expect("the program lies in target/<profile>").to_owned()
}
