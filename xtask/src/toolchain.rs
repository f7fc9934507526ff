//! What builds components: a compiler with the WebAssembly target, and the
//! linker that makes components.

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

/// What components are built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Has no imports but those of the WIT, so what an adapter may do can be
    /// read off its file.
    Bare,
    /// Has the standard library's view of the world, by WASI 0.2.
    Wasi,
}

/// Where Debian's packages put their compiler.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// Where Debian's `wasi-libc` puts its libraries.
const DEBIAN_WASI_LIBC: &str = "/usr/lib/wasm32-wasi";

/// A compiler and a linker that work together.
pub struct Toolchain {
    target: Target,
    compiler: Compiler,
    /// Where the toolchain keeps its linkers.
    linkers: PathBuf,
}

/// Where the target's standard library comes from.
#[derive(Clone, Copy)]
enum Compiler {
    /// The toolchain in use has it.
    Toolchain,
    /// Debian's compiler, which builds it from the sources beside it.
    Debian,
}

impl Target {
    /// The name that rustc has for it.
    pub fn triple(self) -> &'static str {
        match self {
            Self::Bare => "wasm32-unknown-unknown",
            Self::Wasi => "wasm32-wasip2",
        }
    }

    /// Debian's packages: a compiler new enough, the sources to build the
    /// target's standard library from, and what that is linked with.
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
    /// The one that is installed; nothing, where the target has to be fetched.
    ///
    /// # Errors
    ///
    /// When the toolchain in use cannot be asked or lacks the linker, which
    /// fetching the target would not mend.
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

    /// `cargo build` for the target, with `folder` as its target directory.
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
        // What is set for the host's code is wrong for this target.
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

/// Whether the toolchain in use has the target's standard library.
fn has_target(target: Target) -> anyhow::Result<bool> {
    let libraries = ask("rustc", &["--print", "target-libdir", "--target", target.triple()])?;
    let Ok(mut entries) = std::fs::read_dir(libraries) else { return Ok(false) };
    let is_core = |name: OsString| name.to_string_lossy().starts_with("libcore-");
    Ok(entries.any(|entry| entry.is_ok_and(|entry| is_core(entry.file_name()))))
}

/// Whether Debian's compiler is here, new enough, and has its sources and what
/// they are linked with.
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
    let sysroot = PathBuf::from(ask("rustc", &["--print", "sysroot"])?);
    let about = ask("rustc", &["-vV"])?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("`rustc -vV` names no host")?;
    let linkers = sysroot.join("lib/rustlib").join(host).join("bin");
    for linker in ["wasm-component-ld", "gcc-ld/wasm-ld"] {
        ensure!(
            linkers.join(linker).is_file(),
            "{} is missing, which makes components\nhint: a toolchain that rustup installed has it",
            linkers.join(linker).display()
        );
    }
    Ok(linkers)
}

fn ask(rustc: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new(rustc);
    // Which toolchain is in use may depend on the folder.
    command.args(arguments).current_dir(&workspace()?.root);
    Ok(process::output(&mut command)?.trim().to_owned())
}

/// The numbers of a version, so that 1.100 comes after 1.95.
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
