//! Programs of Debian that tests and benchmarks start: finds them, or installs
//! their packages.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::bail;
use anyhow::ensure;

use crate::process;

const APT_GET: &str = "/usr/bin/apt-get";

/// Longest time for one run of `apt-get`, which fetches about 150 MB and may
/// have to wait for another run to end.
const APT_LIMIT: Duration = Duration::from_secs(600);

/// Executable bits of a file's mode.
const EXECUTABLE: u32 = 0o111;

/// Program that is found on `PATH`, and the Debian package that contains it.
#[derive(Debug, Clone, Copy)]
pub struct Program<'a> {
    pub name: &'a str,
    pub package: &'a str,
}

/// Programs that `cargo xtask test` starts: Prometheus, which checks the
/// metrics, the rules and the dashboards; and a browser with its driver.
pub const TEST_PROGRAMS: [Program<'static>; 4] = [
    Program { name: "promtool", package: "prometheus" },
    Program { name: "prometheus", package: "prometheus" },
    Program { name: "chromium", package: "chromium" },
    Program { name: "chromedriver", package: "chromium-driver" },
];

/// Makes sure that `programs` are on `PATH`. Installs the packages of those
/// that are missing, which needs root and Debian.
///
/// # Errors
///
/// Fails if a program is missing and cannot be installed. The message names the
/// command that installs it.
pub fn ensure(programs: &[Program<'_>]) -> anyhow::Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let packages = missing_packages(programs, &path);
    if packages.is_empty() {
        return Ok(());
    }
    let installed = install(&packages);
    let missing: Vec<_> = missing(programs, &path).map(|program| program.name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let reason = installed.err().map(|reason| format!("\nreason: {reason:#}"));
    bail!(
        "missing on PATH: {}\nhint: `apt-get install {}` as root on Debian; elsewhere, install \
         these programs by other means{}",
        missing.join(", "),
        packages.join(" "),
        reason.unwrap_or_default()
    )
}

/// Installs Debian's packages with these names.
///
/// # Errors
///
/// Fails if this system is not Debian, if the user is not root, or if
/// `apt-get` fails or takes longer than [`APT_LIMIT`].
pub fn install(packages: &[&str]) -> anyhow::Result<()> {
    ensure!(Path::new(APT_GET).is_file(), "this system is not Debian");
    let user = std::fs::metadata("/proc/self").context("reading the user id")?.uid();
    ensure!(user == 0, "only root may install packages");
    println!("Installing Debian's {}", packages.join(" and "));
    process::quietly(apt_get().arg("update"), APT_LIMIT)?;
    let mut install = apt_get();
    install.args(["install", "--yes", "--no-install-recommends"]).args(packages);
    process::quietly(&mut install, APT_LIMIT)
}

fn apt_get() -> Command {
    let mut command = Command::new(APT_GET);
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command.args(["-qq", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"]);
    command
}

/// Returns each package once that a missing program needs.
fn missing_packages<'a>(programs: &[Program<'a>], path: &OsStr) -> Vec<&'a str> {
    let packages: BTreeSet<_> = missing(programs, path).map(|program| program.package).collect();
    packages.into_iter().collect()
}

/// Returns the programs without an executable file in a folder of `path`.
fn missing<'p, 'a>(
    programs: &'p [Program<'a>],
    path: &OsStr,
) -> impl Iterator<Item = &'p Program<'a>> {
    let folders: Vec<_> = std::env::split_paths(path).collect();
    let is_executable = |file: &Path| {
        std::fs::metadata(file)
            .is_ok_and(|file| file.is_file() && file.permissions().mode() & EXECUTABLE != 0)
    };
    programs.iter().filter(move |program| {
        !folders.iter().any(|folder| is_executable(&folder.join(program.name)))
    })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::Program;
    use super::missing_packages;

    #[test]
    fn a_package_is_needed_once_for_all_its_missing_programs() {
        let here = std::env::current_exe().expect("the test has a file");
        let folder = here.parent().expect("a file is in a folder");
        let name = here.file_name().and_then(OsStr::to_str).expect("the name is UTF-8");
        let present = Program { name: name.to_owned().leak(), package: "present" };
        let absent = |name, package| Program { name, package };
        let programs =
            [absent("no-such-b", "b"), present, absent("no-such-a", "a"), absent("no-such-c", "b")];
        assert_eq!(missing_packages(&programs, folder.as_os_str()), ["a", "b"]);
        assert_eq!(missing_packages(&[present], folder.as_os_str()), [""; 0]);
    }
}
