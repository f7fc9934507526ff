//! `cargo xtask fuzz`: looks for inputs that break a promise.
//!
//! The program is linked against libFuzzer, and the host is compiled with
//! coverage counters, by a stable compiler: both are flags for two crates of
//! the workspace, given by this program, which cargo calls in place of rustc
//! for them. So all that they depend on is built once, for the tests and for
//! this.

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

/// Gives targets inputs that nobody thought of.
///
/// What leads to new code is kept in `target/fuzz/corpus` for the next run; an
/// input that broke a promise lies in `target/fuzz/found`, and its name ends
/// the output. Needs a C++ compiler; without one, varies the corpus blindly.
///
/// Examples:
///   cargo xtask fuzz --seconds 20
///   cargo xtask fuzz location request-body
///   cargo xtask fuzz location --again target/fuzz/found/location-crash-…
///   cargo xtask fuzz --keep
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// Which targets; all of them where none is named
    #[arg(value_parser = TARGETS)]
    targets: Vec<String>,
    /// For each target
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Only this input, to see what it does
    #[arg(long, requires = "targets")]
    again: Option<PathBuf>,
    /// Afterwards, keep the smallest inputs that reach all that was reached in
    /// `tests/fuzz/corpus`
    #[arg(long)]
    keep: bool,
}

/// The names of the targets, as `tests/fuzz/src/lib.rs` has them.
const TARGETS: [&str; 5] =
    ["request-body", "signature", "adapter-step", "location", "queue-message"];

/// Set for cargo, which hands it on to this program in rustc's place.
const ENGINE: &str = "HOTH_FUZZ_ENGINE";

/// The crates that are counted, and those that are linked against libFuzzer.
const COUNTED: [&str; 2] = ["hoth", "hoth_fuzz"];
const LINKED: [&str; 2] = ["hoth_fuzzer", "corpora"];

/// As `cargo fuzz` has them, but for the sanitizers, which want a nightly
/// compiler, and which a house without unsafe code needs less.
const COUNTERS: [&str; 7] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "-Copt-level=1",
];

/// Inputs longer than the largest body that the API reads by default.
const INPUT_BYTES_MAX: u64 = 160 * 1024;

/// The largest input that is kept in the repository.
const KEPT_BYTES_MAX: u64 = 2 * 1024;

/// A slow input is a finding: the API reads bodies between other requests.
const INPUT_SECONDS_MAX: u64 = 5;

const MEMORY_MIB_MAX: u64 = 1024;

/// Runs `cargo xtask fuzz`.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let targets: Vec<&str> = match arguments.targets.as_slice() {
        [] => TARGETS.to_vec(),
        named => named.iter().map(String::as_str).collect(),
    };
    let Some(program) = build()? else {
        println!("There is no C++ compiler for libFuzzer: the corpora are varied blindly");
        return blindly(&targets, arguments.seconds);
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

/// The places of one target.
struct Target {
    name: String,
    committed: PathBuf,
    grown: PathBuf,
    found: PathBuf,
}

impl Target {
    fn new(name: &str) -> anyhow::Result<Self> {
        let folder = target()?.join("fuzz");
        let place = Self {
            name: name.to_owned(),
            committed: workspace()?.root.join("tests/fuzz/corpus").join(name),
            grown: folder.join("corpus").join(name),
            found: folder.join("found"),
        };
        for folder in [&place.grown, &place.found] {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("making the folder {}", folder.display()))?;
        }
        Ok(place)
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

    /// Adds to the committed inputs a few small ones that reach more code.
    fn keep(&self, program: &Path) -> anyhow::Result<()> {
        let mut command = self.command(program);
        command.args(["-set_cover_merge=1", "-use_counters=0"]);
        command.arg(format!("-max_len={KEPT_BYTES_MAX}"));
        process::run(command.arg(&self.committed).arg(&self.grown))
    }
}

/// Builds the program; none without a C++ compiler.
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
    let this = std::env::current_exe().context("asking for this program's path")?;
    let mut command = cargo::native("build")?;
    command.args(["--features", "hoth-fuzz/engine", "--bin", "hoth-fuzzer", "--test", "corpora"]);
    command.env("RUSTC_WORKSPACE_WRAPPER", this).env(ENGINE, folder);
    process::run(command.env("CARGO_INCREMENTAL", "0"))?;
    Ok(Some(target()?.join("debug/hoth-fuzzer")))
}

/// Where the build script of `libfuzzer-sys` has put the library, as cargo
/// says.
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

/// Runs the plain tests for as long as the fuzzer would have run.
fn blindly(targets: &[&str], seconds: u64) -> anyhow::Result<()> {
    let mut command = cargo::native("test")?;
    command.args(["--test", "corpora", "--", "--test-threads", "1"]);
    command.args(targets.iter().map(|name| name.replace('-', "_")));
    process::run(command.env("HOTH_FUZZ_SECONDS", seconds.to_string()))
}

/// Whether cargo has called this program in place of rustc.
pub fn is_rustc() -> bool {
    std::env::var_os(ENGINE).is_some()
}

/// Runs rustc as cargo wants it, with more flags for some crates.
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
            eprintln!("error: rustc cannot be run: {error}");
            ExitCode::FAILURE
        }
    }
}
