//! `cargo xtask release`: the program as operators run it.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::cargo;
use crate::process;
use crate::toolchain;
use crate::workspace::target;
use crate::workspace::workspace;

/// Profile of cargo that the program for operators is built with.
const CARGO_PROFILE: &str = "dist";

/// Variable with flags for the compiler, which may contain spaces, and their
/// separator.
const FLAGS_VARIABLE: &str = "CARGO_ENCODED_RUSTFLAGS";
const SEPARATOR: &str = "\u{1f}";

/// Build the program for operators: target/dist/hoth
///
/// A release build without debug information. The compiler optimises it with
/// the recorded profile of a host under load (see `cargo xtask profile`), if
/// there is one for this kind of machine. Takes some minutes.
///
/// Example:
///   cargo xtask release
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {}

/// Runs `cargo xtask release`.
pub fn run(_: &Arguments) -> anyhow::Result<()> {
    let built = build("hoth")?;
    let folder = target()?.join(CARGO_PROFILE);
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    // Renamed, because a program that runs cannot be overwritten.
    let (program, new) = (folder.join("hoth"), folder.join("hoth.new"));
    fs::copy(&built, &new).with_context(|| format!("copying {}", built.display()))?;
    fs::rename(&new, &program).with_context(|| format!("replacing {}", program.display()))?;
    println!("Built {}", program.display());
    Ok(())
}

/// Builds the program of a package, with the recorded profile if there is one
/// for this kind of machine, and returns its path.
pub fn build(package: &str) -> anyhow::Result<PathBuf> {
    let profile = profile()?;
    let mut flags = Vec::new();
    if profile.is_file() {
        println!("Building {package} with the profile {}", profile.display());
        let mut flag = OsString::from("-Cprofile-use=");
        flag.push(&profile);
        flags.push(flag);
    } else {
        println!("Building {package} without a profile: {} is missing", profile.display());
    }
    build_into(target()?, package, flags)
}

/// Builds the program of a package into the target directory `folder`, with
/// more flags for the compiler, and returns its path.
pub fn build_into(folder: &Path, package: &str, flags: Vec<OsString>) -> anyhow::Result<PathBuf> {
    let machine = toolchain::this_machine()?;
    let mut command = cargo::command();
    command.current_dir(&workspace()?.root);
    // Alone, because the names of functions depend on the features of all
    // packages in a build, and a profile has them by their names. With a
    // target, the flags are not for build scripts and procedural macros.
    command.args(["build", "--package", package, "--profile", CARGO_PROFILE]);
    command.args(["--target", &machine, "--target-dir"]).arg(folder);
    let [encoded, plain] = [FLAGS_VARIABLE, "RUSTFLAGS"].map(std::env::var_os);
    command.env(FLAGS_VARIABLE, with_flags(encoded, plain, flags));
    process::run(&mut command)?;
    Ok(folder.join(machine).join(CARGO_PROFILE).join(package))
}

/// Returns the path of the recorded profile for this kind of machine.
pub fn profile() -> anyhow::Result<PathBuf> {
    let machine = toolchain::this_machine()?;
    Ok(workspace()?.root.join(format!("host/profiles/{machine}.profdata")))
}

/// Adds flags to those of the environment, of which cargo reads the encoded
/// ones first (The Cargo Book, "build.rustflags").
fn with_flags(
    encoded: Option<OsString>,
    plain: Option<OsString>,
    flags: Vec<OsString>,
) -> OsString {
    let plain = plain.unwrap_or_default();
    let encoded = encoded.unwrap_or_else(|| {
        let words: Vec<_> = plain.to_str().unwrap_or_default().split_whitespace().collect();
        words.join(SEPARATOR).into()
    });
    let given = (!encoded.is_empty()).then_some(encoded);
    let all: Vec<OsString> = given.into_iter().chain(flags).collect();
    all.join(OsStr::new(SEPARATOR))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn flags_are_added_to_those_of_the_environment() {
        let flags = || vec![OsString::from("-Cb"), OsString::from("-Cc=/a folder")];
        let added = |encoded: Option<&str>, plain: Option<&str>| {
            let [encoded, plain] = [encoded, plain].map(|given| given.map(OsString::from));
            let all = with_flags(encoded, plain, flags()).into_string().expect("it is UTF-8");
            all.replace(SEPARATOR, "|")
        };
        assert_eq!(added(None, None), "-Cb|-Cc=/a folder");
        assert_eq!(added(None, Some(" -Ca  -Cd ")), "-Ca|-Cd|-Cb|-Cc=/a folder");
        assert_eq!(added(Some("-Ce\u{1f}-Cf"), Some("-Ca")), "-Ce|-Cf|-Cb|-Cc=/a folder");
    }

    #[test]
    fn the_compiler_in_use_reads_every_recorded_profile() {
        let folder = workspace().expect("cargo runs").root.join("host/profiles");
        let profiles: Vec<_> = fs::read_dir(folder).expect("the folder is there").collect();
        assert!(!profiles.is_empty());
        for profile in profiles {
            let profile = profile.expect("the folder can be read").path();
            let empty = folder_of_test().join("empty.rs");
            fs::write(&empty, "").expect("the folder can be written to");
            let mut rustc = Command::new("rustc");
            rustc.arg(format!("-Cprofile-use={}", profile.display()));
            rustc.args(["--crate-type", "lib", "--emit", "obj", "-o"]);
            rustc.arg(folder_of_test().join("empty.o")).arg(&empty);
            let read = process::output(&mut rustc);
            assert!(read.is_ok(), "{}: {read:?}", profile.display());
        }
    }

    fn folder_of_test() -> PathBuf {
        let folder = target().expect("cargo runs").join("tmp/profiles");
        fs::create_dir_all(&folder).expect("the target directory can be written to");
        folder
    }
}
