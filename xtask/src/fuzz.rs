//! `cargo xtask fuzz`: searches for inputs that break an invariant.
//!
//! The program is linked against libFuzzer, and the host is compiled with
//! coverage counters, by a stable compiler. Both are flags for a few crates of
//! the workspace. Cargo calls this program in place of rustc for the crates of
//! the workspace, and this program adds the flags. Dependencies are therefore
//! built once, for the tests and for the fuzzer.

use std::ffi::OsString;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::ExitCode;

use anyhow::Context as _;
use serde::Deserialize;

use crate::cargo;
use crate::process;
use crate::workspace::target;
use crate::workspace::workspace;

/// Fuzz the parsers and rules that read untrusted input
///
/// Inputs that reach new code are kept in `target/fuzz/corpus` for the next
/// run. An input that breaks an invariant is written to `target/fuzz/found`,
/// and its name ends the output. Needs a C++ compiler; without one, varies the
/// corpus without feedback from coverage.
///
/// Examples:
///   cargo xtask fuzz --seconds 20
///   cargo xtask fuzz location request-body
///   cargo xtask fuzz location --again target/fuzz/found/location-crash-…
///   cargo xtask fuzz --keep
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// Targets to fuzz; all of them if none is given
    #[arg(value_parser = TARGETS)]
    targets: Vec<String>,
    /// Time for each target, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Run only this input, to reproduce a failure
    #[arg(long, requires = "targets")]
    again: Option<PathBuf>,
    /// Afterwards, add to `tests/fuzz/corpus` the smallest inputs that reach
    /// the same code
    #[arg(long)]
    keep: bool,
}

/// Names of the targets, as in `tests/fuzz/src/lib.rs`.
const TARGETS: [&str; 5] =
    ["request-body", "signature", "adapter-step", "location", "queue-message"];

/// Environment variable with the folder of libFuzzer. Set for cargo, which
/// passes it to this program when it calls it in place of rustc.
const ENGINE: &str = "HOTH_FUZZ_ENGINE";

/// Crates that are compiled with coverage counters.
const COUNTED: [&str; 2] = ["hoth", "hoth_fuzz"];
/// Crates that are linked against libFuzzer.
const LINKED: [&str; 2] = ["hoth_fuzzer", "corpora"];

/// Compiler flags of `cargo fuzz`, without those for sanitizers. Sanitizers
/// need a nightly compiler, and code without `unsafe` needs them less.
const COUNTERS: [&str; 7] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "-Copt-level=1",
];

/// Longest input, beyond the largest body that the API reads by default.
const INPUT_BYTES_MAX: u64 = 160 * 1024;

/// Largest input that is kept in the repository.
const KEPT_BYTES_MAX: u64 = 2 * 1024;

/// Longest time for one input. A slow input is a failure, because the API reads
/// bodies between other requests.
const INPUT_SECONDS_MAX: u64 = 5;

/// Memory limit of the fuzzer, in MiB.
const MEMORY_MIB_MAX: u64 = 1024;

/// Runs `cargo xtask fuzz`.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let targets: Vec<&str> = match arguments.targets.as_slice() {
        [] => TARGETS.to_vec(),
        named => named.iter().map(String::as_str).collect(),
    };
    let Some(program) = build()? else {
        println!("libFuzzer needs a C++ compiler; the corpora are varied without coverage");
        return vary_corpora(&targets, arguments.seconds);
    };
    for name in targets {
        let target = Target::new(name)?;
        match &arguments.again {
            Some(input) => process::run(target.command(&program).arg(input))?,
            None => target.explore(&program, arguments.seconds)?,
        }
        if arguments.keep {
            target.keep(&program)?;
        }
    }
    Ok(())
}

/// Target and its folders.
struct Target {
    name: String,
    committed: PathBuf,
    grown: PathBuf,
    found: PathBuf,
}

impl Target {
    fn new(name: &str) -> anyhow::Result<Self> {
        let folder = target()?.join("fuzz");
        let fuzzed = Self {
            name: name.to_owned(),
            committed: workspace()?.root.join("tests/fuzz/corpus").join(name),
            grown: folder.join("corpus").join(name),
            found: folder.join("found"),
        };
        for folder in [&fuzzed.grown, &fuzzed.found] {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("creating the folder {}", folder.display()))?;
        }
        Ok(fuzzed)
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("HOTH_FUZZ_TARGET", &self.name);
        command.arg(format!("-artifact_prefix={}/{}-", self.found.display(), self.name));
        command.arg(format!("-timeout={INPUT_SECONDS_MAX}"));
        command.arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"));
        command.arg(format!("-max_len={INPUT_BYTES_MAX}"));
        command
    }

    fn explore(&self, program: &Path, seconds: u64) -> anyhow::Result<()> {
        println!("Fuzzing {} for {seconds} s", self.name);
        let mut command = self.command(program);
        command.arg(format!("-max_total_time={seconds}"));
        command.args(["-print_final_stats=1", "-verbosity=0", "-use_value_profile=1"]);
        process::run(command.arg(&self.grown).arg(&self.committed))
    }

    /// Adds a few small inputs that reach more code to the committed ones.
    fn keep(&self, program: &Path) -> anyhow::Result<()> {
        let mut command = self.command(program);
        command.args(["-set_cover_merge=1", "-use_counters=0"]);
        command.arg(format!("-max_len={KEPT_BYTES_MAX}"));
        process::run(command.arg(&self.committed).arg(&self.grown))
    }
}

/// Builds the fuzzer. Returns `None` if there is no C++ compiler.
fn build() -> anyhow::Result<Option<PathBuf>> {
    let root = &workspace()?.root;
    let engine = cargo::command()
        .args(["build", "--quiet", "--locked", "--message-format", "json", "--manifest-path"])
        .arg(root.join("tests/fuzz/engine/Cargo.toml"))
        .arg("--target-dir")
        .arg(target()?.join("fuzz/engine"))
        .output()
        .context("running `cargo build`")?;
    let Some(folder) = built_library(&engine.stdout) else { return Ok(None) };
    let this = std::env::current_exe().context("finding the path of this program")?;
    let mut command = cargo::native("build")?;
    command.args(["--features", "hoth-fuzz/engine", "--bin", "hoth-fuzzer", "--test", "corpora"]);
    command.env("RUSTC_WORKSPACE_WRAPPER", this).env(ENGINE, folder);
    process::run(command.env("CARGO_INCREMENTAL", "0"))?;
    Ok(Some(target()?.join("debug/hoth-fuzzer")))
}

/// Returns the folder of the library that the build script of `libfuzzer-sys`
/// made, from cargo's messages.
fn built_library(messages: &[u8]) -> Option<PathBuf> {
    #[derive(Deserialize)]
    struct Executed {
        reason: String,
        out_dir: Option<PathBuf>,
    }
    let messages = messages.split(|byte| *byte == b'\n');
    messages
        .filter_map(|line| serde_json::from_slice::<Executed>(line).ok())
        .filter(|message| message.reason == "build-script-executed")
        .filter_map(|message| message.out_dir)
        .find(|folder| folder.join("libfuzzer.a").exists())
}

/// Runs the tests of the corpora for as long as the fuzzer would have run.
fn vary_corpora(targets: &[&str], seconds: u64) -> anyhow::Result<()> {
    let mut command = cargo::native("test")?;
    command.args(["--test", "corpora", "--", "--test-threads", "1"]);
    command.args(targets.iter().map(|name| name.replace('-', "_")));
    process::run(command.env("HOTH_FUZZ_SECONDS", seconds.to_string()))
}

/// Returns `true` if cargo called this program in place of rustc.
pub fn is_rustc() -> bool {
    std::env::var_os(ENGINE).is_some()
}

/// Runs rustc with the arguments from cargo, and more flags for some crates.
pub fn rustc() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let rustc = arguments.next().unwrap_or_else(|| "rustc".into());
    let arguments: Vec<OsString> = arguments.collect();
    let name = arguments.iter().skip_while(|argument| *argument != "--crate-name").nth(1);
    let name = name.and_then(|name| name.to_str()).unwrap_or_default();
    let mut command = Command::new(rustc);
    command.args(&arguments);
    if COUNTED.contains(&name) {
        command.args(COUNTERS);
    }
    if LINKED.contains(&name) {
        let engine = std::env::var_os(ENGINE).unwrap_or_default();
        let mut folder = OsString::from("-Lnative=");
        folder.push(engine);
        command.arg(folder).args(["-lstatic=fuzzer", "-lstdc++"]);
    }
    match command.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: running rustc: {error}");
            ExitCode::FAILURE
        }
    }
}
