//! `cargo xtask profile`: records how often a host under load runs each part of
//! its code, for `cargo xtask release`.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::ensure;

use crate::adapters;
use crate::bench;
use crate::debian;
use crate::debian::Program;
use crate::process;
use crate::release;
use crate::toolchain;
use crate::workspace::target;

/// Folder in which nothing can be made. A process without a path of its own in
/// the environment cannot write a profile then: the host's compiler, which must
/// write no file and has an empty environment.
const NOWHERE: &str = "/dev/null";

/// Variable with the path of the profile that a process writes at its end (LLVM
/// documentation, "Source-based Code Coverage").
const FILE_VARIABLE: &str = "LLVM_PROFILE_FILE";

/// Loads that are recorded, each a group of figures of the benchmark: jobs with
/// and without their collection, and accepts alone.
const LOADS: [&str; 3] = ["stored", "jobs", "accepts"];

/// Length of each load, in seconds. The program is slower while it counts.
const LOAD_SECONDS: &str = "4";

/// Longest time for one load, with the starts and ends of its programs.
const LOAD_LIMIT: Duration = Duration::from_secs(300);

/// Record the profile that the program for operators is optimised with
///
/// Builds a host and a benchmark that count how often each part of their code
/// runs, runs some loads, and writes the counts to host/profiles. Record it
/// anew after dependencies or the compiler were updated: a function whose name
/// or shape has changed is optimised without a profile, which costs speed only.
/// Takes two release builds and a minute.
///
/// Needs llvm-profdata of the compiler's LLVM: installs it with apt-get as
/// root, or `rustup component add llvm-tools`.
///
/// Example:
///   cargo xtask profile && cargo xtask release
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {}

/// Runs `cargo xtask profile`.
pub fn run(_: &Arguments) -> anyhow::Result<()> {
    let llvm_profdata = llvm_profdata()?;
    adapters::build()?;
    let folder = target()?.join("profile");
    let counting = || vec![OsString::from(format!("-Cprofile-generate={NOWHERE}"))];
    println!("Building programs that count");
    let program = release::build_into(&folder, "hoth", counting())?;
    // It counts as well: it is also the limit that the host is compared with.
    let bench = release::build_into(&folder, "hoth-bench", counting())?;
    let counts = folder.join("counts");
    // Counts of an earlier build do not fit this one.
    let _ = fs::remove_dir_all(&counts);
    fs::create_dir_all(&counts).with_context(|| format!("creating {}", counts.display()))?;
    for load in LOADS {
        let mut command = bench::command(&bench, &program)?;
        command.args(["--only", load, "--seconds", LOAD_SECONDS]);
        // A file for each process.
        command.env(FILE_VARIABLE, counts.join(format!("{load}-%p.profraw")));
        println!("Running the load `{load}`");
        process::quietly(&mut command, LOAD_LIMIT)?;
    }
    let profile = release::profile()?;
    merge(&llvm_profdata, &counts, &profile)?;
    println!("Recorded {}", profile.display());
    Ok(())
}

/// Merges the counts in a folder to a profile.
fn merge(llvm_profdata: &Path, counts: &Path, profile: &Path) -> anyhow::Result<()> {
    let entries = fs::read_dir(counts).context("reading the folder of the counts")?;
    let files: Result<Vec<_>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let files = files.context("reading the folder of the counts")?;
    // A host and the benchmark for each load, and more.
    ensure!(files.len() >= 2 * LOADS.len(), "only {} programs have written counts", files.len());
    let mut command = Command::new(llvm_profdata);
    // Sparse: code that did not run has no entry, and is optimised as usual. It
    // includes all that compiles adapters, which is not under this load.
    command.args(["merge", "--sparse", "--output"]).arg(profile).args(files);
    process::run(&mut command)
}

/// Finds the tool that merges profiles, or installs it.
fn llvm_profdata() -> anyhow::Result<PathBuf> {
    let of_toolchain = toolchain::tools()?.join("llvm-profdata");
    if of_toolchain.is_file() {
        return Ok(of_toolchain);
    }
    let version = toolchain::llvm_version()?;
    let (name, package) = (format!("llvm-profdata-{version}"), format!("llvm-{version}"));
    debian::ensure(&[Program { name: &name, package: &package }])
        .context("with rustup, `rustup component add llvm-tools` is enough")?;
    Ok(name.into())
}
