//! Compiling a component, in a child process with limits of its own.
//!
//! The compiler is the largest part of the host that reads what strangers have
//! written. A component that makes it run away, or break, takes a child down
//! and nobody else. The child is this same program; it knows neither the
//! configuration nor the environment, reads the component from its standard
//! input, and writes machine code to its standard output.

use std::io;
use std::io::Read as _;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::Signal;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Child;
use tokio::process::Command;

use super::LoadError;
use super::cache;
use super::engine;
use hoth_core::domain::Digest;

/// The hidden subcommand that the child is started with.
pub const COMMAND: &str = "compile-component";

/// This very program, also after its file was replaced by a newer one.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// What the child may say on standard error, in bytes; the rest is cut.
const WORDS_BYTES_MAX: u64 = 16 << 10;

/// How much the child stands behind: jobs go first on a busy machine, and it
/// still gets a quarter of what one of them gets, as its time is limited.
const NICENESS: i32 = 5;

/// What Rust says when there is no memory, before it aborts; and cranelift,
/// which looks for itself.
const OUT_OF_MEMORY: [&str; 2] = ["memory allocation of", "out of memory"];

/// Where components are compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compiler {
    /// In this process, without limits: for tools and tests that compile what
    /// they know.
    Here,
    /// In a child of this process, which has to be the `hoth` program.
    Apart,
}

/// What compiling one component may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CompileLimits {
    pub time: Duration,
    pub memory_bytes: u64,
}

/// Compiles in this process.
pub(super) fn here(engine: &wasmtime::Engine, wasm: &[u8]) -> Result<Vec<u8>, LoadError> {
    engine.precompile_component(wasm).map_err(|error| invalid(format!("{error:#}")))
}

/// Compiles in a child. `compatibility` is that of the engine that the code is
/// for.
pub(super) async fn apart(
    limits: CompileLimits,
    compatibility: &Digest,
    wasm: &[u8],
) -> Result<Vec<u8>, LoadError> {
    let child = start(limits).map_err(LoadError::NoCompiler)?;
    // The child has a limit on its processor time, which a child that waits
    // does not use up.
    let said = tokio::time::timeout(limits.time, converse(child, wasm)).await;
    let said = said
        .map_err(|_elapsed| LoadError::CompileTime { limit: limits.time })?
        .map_err(LoadError::NoCompiler)?;
    if !said.status.success() {
        return Err(said.failure(limits));
    }
    match said.output.split_first_chunk::<32>() {
        Some((made_for, code)) if made_for == compatibility.as_bytes() => Ok(code.to_vec()),
        Some(_) | None => Err(LoadError::NoCompiler(io::Error::new(
            io::ErrorKind::InvalidData,
            "the compiler is not of this build",
        ))),
    }
}

fn start(limits: CompileLimits) -> io::Result<Child> {
    Command::new(THIS_PROGRAM)
        .arg(COMMAND)
        .args(["--memory-bytes", &limits.memory_bytes.to_string()])
        .args(["--seconds", &limits.time.as_secs().saturating_add(1).to_string()])
        // Secrets are in there.
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
}

struct Said {
    status: ExitStatus,
    output: Vec<u8>,
    words: String,
}

async fn converse(mut child: Child, wasm: &[u8]) -> io::Result<Said> {
    let missing = || io::Error::other("the compiler has no standard streams");
    let mut input = child.stdin.take().ok_or_else(missing)?;
    let output = child.stdout.take().ok_or_else(missing)?;
    let words = child.stderr.take().ok_or_else(missing)?;
    let (mut code, mut said) = (Vec::new(), Vec::new());
    let mut output = output.take(cache::FILE_BYTES_MAX);
    let mut words = words.take(WORDS_BYTES_MAX);
    let give = async {
        // A child that has died reads nothing; its status says why.
        let _ = input.write_all(wasm).await;
        drop(input);
    };
    let ((), read, heard) =
        tokio::join!(give, output.read_to_end(&mut code), words.read_to_end(&mut said));
    read?;
    heard?;
    let status = child.wait().await?;
    Ok(Said { status, output: code, words: String::from_utf8_lossy(&said).trim().to_owned() })
}

impl Said {
    /// Why there is no code.
    fn failure(self, limits: CompileLimits) -> LoadError {
        const REFUSED: i32 = 1;
        let signal = self.status.signal();
        if signal == Some(Signal::XCPU.as_raw()) || signal == Some(Signal::KILL.as_raw()) {
            return LoadError::CompileTime { limit: limits.time };
        }
        if OUT_OF_MEMORY.iter().any(|words| self.words.contains(words)) {
            return LoadError::CompileMemory { limit: limits.memory_bytes };
        }
        if self.status.code() == Some(REFUSED) {
            return invalid(self.words);
        }
        let said = self.words.lines().rfind(|line| !line.starts_with("note:"));
        let last = said.unwrap_or("it said nothing");
        invalid(format!("the compiler broke ({}): {last}", self.status))
    }
}

fn invalid(mut what: String) -> LoadError {
    if what.contains("async") {
        what.push_str("; the host speaks the synchronous ABI only");
    }
    LoadError::Invalid { what }
}

/// What the child does. The error is for the parent.
///
/// # Errors
///
/// The limits cannot be set, the component cannot be read or compiled, or the
/// code cannot be written: the parent may have gone.
pub fn compile_as_child(memory_bytes: u64, seconds: u64) -> Result<(), String> {
    restrict(memory_bytes, seconds).map_err(|error| format!("limits: {error}"))?;
    let config = engine::compiler_config();
    let engine = wasmtime::Engine::new(&config).map_err(|error| format!("{error:#}"))?;
    let mut wasm = Vec::new();
    let limit = engine::COMPONENT_BYTES_MAX as u64 + 1;
    io::stdin().lock().take(limit).read_to_end(&mut wasm).map_err(|error| error.to_string())?;
    let code = engine.precompile_component(&wasm).map_err(|error| format!("{error:#}"))?;
    let mut output = io::stdout().lock();
    output
        .write_all(cache::compatibility(&engine).as_bytes())
        .and_then(|()| output.write_all(&code))
        .and_then(|()| output.flush())
        .map_err(|error| error.to_string())
}

fn restrict(memory_bytes: u64, seconds: u64) -> io::Result<()> {
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    for (resource, limit) in [
        // All private memory; address space alone costs nothing.
        (Resource::Data, memory_bytes),
        // Of all threads together.
        (Resource::Cpu, seconds.saturating_mul(cores)),
        (Resource::Fsize, 0),
        (Resource::Core, 0),
    ] {
        rustix::process::setrlimit(
            resource,
            Rlimit { current: Some(limit), maximum: Some(limit) },
        )?;
    }
    rustix::process::nice(NICENESS)?;
    Ok(())
}
