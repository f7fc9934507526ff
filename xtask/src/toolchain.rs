//! Toolchain for components: a compiler with the WebAssembly target, and the
//! linker that produces components.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use anyhow::ensure;

use crate::cargo;
use crate::process;
use crate::workspace::workspace;

/// Target that a component is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Target without any imports but those of the WIT, so that the file of an
    /// adapter shows everything that it may do.
    Bare,
    /// Target whose standard library uses WASI 0.2.
    Wasi,
}

/// Compiler of Debian's packages.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// Libraries of Debian's `wasi-libc`.
const DEBIAN_WASI_LIBC: &str = "/usr/lib/wasm32-wasi";

/// Compiler and linker that work together.
pub struct Toolchain {
    target: Target,
    compiler: Compiler,
    /// Folder of the linkers that come with the toolchain.
    linkers: PathBuf,
}

/// Source of the target's standard library.
#[derive(Clone, Copy)]
enum Compiler {
    /// The toolchain in use, which has it installed.
    Toolchain,
    /// Debian's compiler, which builds it from its sources.
    Debian,
}

impl Target {
    /// Returns the name of the target in rustc.
    pub fn triple(self) -> &'static str {
        match self {
            Self::Bare => "wasm32-unknown-unknown",
            Self::Wasi => "wasm32-wasip2",
        }
    }

    /// Returns Debian's packages for the target: a recent compiler, the sources
    /// of the standard library, and the libraries that it is linked with.
    pub fn debian_packages(self) -> &'static [&'static str] {
        match self {
            Self::Bare => &["rustc-web", "rust-web-src"],
            Self::Wasi => &["rustc-web", "rust-web-src", "wasi-libc"],
        }
    }

    fn linker_variable(self) -> &'static str {
        match self {
            Self::Bare => "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER",
            Self::Wasi => "CARGO_TARGET_WASM32_WASIP2_LINKER",
        }
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = self.target.triple();
        match self.compiler {
            Compiler::Toolchain => write!(f, "the toolchain's own {target}"),
            Compiler::Debian => write!(f, "Debian's {DEBIAN_RUSTC}, for {target}"),
        }
    }
}

impl Toolchain {
    /// Finds an installed toolchain. Returns `None` if the target has to be
    /// fetched.
    ///
    /// # Errors
    ///
    /// Fails if the toolchain in use does not run or lacks the linker. Fetching
    /// the target would not help.
    pub fn find(target: Target) -> anyhow::Result<Option<Self>> {
        let compiler = if has_target(target)? {
            Compiler::Toolchain
        } else if debian_suffices(target)? {
            Compiler::Debian
        } else {
            return Ok(None);
        };
        Ok(Some(Self { target, compiler, linkers: linkers()? }))
    }

    /// Returns a call of `cargo build` for the target, with `folder` as the
    /// target directory.
    pub fn cargo_build(&self, folder: &Path) -> anyhow::Result<Command> {
        let mut command = cargo::command();
        let triple = self.target.triple();
        command.current_dir(&workspace()?.root).args(["build", "--target", triple, "--target-dir"]);
        command.arg(folder);
        // The linker looks for `wasm-ld` on the path.
        let mut path = vec![self.linkers.join("gcc-ld")];
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        command.env("PATH", std::env::join_paths(path).context("a path holds a colon")?);
        command.env(self.target.linker_variable(), self.linkers.join("wasm-component-ld"));
        // Flags for programs of this machine are wrong for this target.
        command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
        match self.compiler {
            Compiler::Toolchain => {}
            Compiler::Debian => {
                command.arg("-Zbuild-std=std,panic_abort");
                command.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1");
                if self.target == Target::Wasi {
                    command.env("RUSTFLAGS", format!("-L{DEBIAN_WASI_LIBC}"));
                }
            }
        }
        Ok(command)
    }
}

/// Returns `true` if the toolchain in use has the target's standard library.
fn has_target(target: Target) -> anyhow::Result<bool> {
    let libraries = ask("rustc", &["--print", "target-libdir", "--target", target.triple()])?;
    let Ok(mut entries) = std::fs::read_dir(libraries) else { return Ok(false) };
    let is_core = |name: OsString| name.to_string_lossy().starts_with("libcore-");
    Ok(entries.any(|entry| entry.is_ok_and(|entry| is_core(entry.file_name()))))
}

/// Returns `true` if Debian's compiler is installed and recent enough, with the
/// sources of the standard library and the libraries that it is linked with.
fn debian_suffices(target: Target) -> anyhow::Result<bool> {
    if target == Target::Wasi && !Path::new(DEBIAN_WASI_LIBC).join("libc.a").is_file() {
        return Ok(false);
    }
    let Ok(version) = ask(DEBIAN_RUSTC, &["--version"]) else { return Ok(false) };
    let members = &workspace()?.members;
    let needed = members
        .iter()
        .filter_map(|member| member.rust_version.as_deref())
        .max_by_key(|version| numbers(version));
    let version = version.split_whitespace().nth(1).unwrap_or_default();
    if needed.is_some_and(|needed| numbers(version) < numbers(needed)) {
        return Ok(false);
    }
    let sysroot = PathBuf::from(ask(DEBIAN_RUSTC, &["--print", "sysroot"])?);
    Ok(sysroot.join("lib/rustlib/src/rust/library/std/Cargo.toml").is_file())
}

fn linkers() -> anyhow::Result<PathBuf> {
    let linkers = tools()?;
    for linker in ["wasm-component-ld", "gcc-ld/wasm-ld"] {
        ensure!(
            linkers.join(linker).is_file(),
            "the linker {} is missing\nhint: toolchains that rustup installs have it",
            linkers.join(linker).display()
        );
    }
    Ok(linkers)
}

/// Returns the folder of the linkers and other tools that come with the
/// toolchain in use.
pub fn tools() -> anyhow::Result<PathBuf> {
    let sysroot = PathBuf::from(ask("rustc", &["--print", "sysroot"])?);
    Ok(sysroot.join("lib/rustlib").join(this_machine()?).join("bin"))
}

/// Returns the target of programs for this machine.
pub fn this_machine() -> anyhow::Result<String> {
    about("host")
}

/// Returns the major version of the compiler's LLVM.
pub fn llvm_version() -> anyhow::Result<u32> {
    let version = about("LLVM version")?;
    numbers(&version).first().copied().with_context(|| format!("LLVM has the version {version}"))
}

/// Returns what the compiler says of itself under `name`.
fn about(name: &str) -> anyhow::Result<String> {
    let about = ask("rustc", &["-vV"])?;
    let mut fields = about.lines().filter_map(|line| line.split_once(": "));
    let found = fields.find_map(|(field, value)| (field == name).then(|| value.to_owned()));
    found.with_context(|| format!("`rustc -vV` prints no {name}"))
}

fn ask(rustc: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new(rustc);
    // The toolchain in use may depend on the folder.
    command.args(arguments).current_dir(&workspace()?.root);
    Ok(process::output(&mut command)?.trim().to_owned())
}

/// Returns the numbers of a version, so that 1.100 comes after 1.95.
fn numbers(version: &str) -> Vec<u32> {
    version.split(['.', '-']).map_while(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        let later = |a, b| numbers(a) > numbers(b);
        assert!(later("1.100.0", "1.95"));
        assert!(later("1.95.0", "1.95"));
        assert!(later("1.96.0-nightly", "1.96"));
        assert!(!later("1.85.0", "1.95"));
    }
}
