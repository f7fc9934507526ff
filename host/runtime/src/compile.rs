//! The compiler of components, in a child process with limits of its own.
//!
//! The compiler is the largest part of the host that reads untrusted input. A
//! component that makes it loop or crash ends only the child. The child is this
//! same program. It has neither configuration nor environment, reads the
//! component from standard input, and writes machine code to standard output.

use std::io;
use std::io::Read as _;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::process::Stdio;
use std::thread;

use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::Signal;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Child;
use tokio::process::Command;

use super::LoadError;
use super::cache;
use super::config::CompileLimits;
use super::settings;
use hoth_core::domain::Digest;

/// The hidden subcommand that the child is started with.
pub const COMMAND: &str = "compile-component";

/// The running program, also after its file was replaced by a newer one.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// The bytes of standard error that are read; the rest is dropped.
const STDERR_BYTES_MAX: u64 = 16 << 10;

/// The niceness of the child: jobs have priority on a busy machine, and the
/// child still gets a quarter of the share of one of them, as its time is
/// limited.
const NICENESS: i32 = 5;

/// The messages of an allocation failure: that of Rust before it aborts, and
/// that of cranelift.
const OUT_OF_MEMORY: [&str; 2] = ["memory allocation of", "out of memory"];

/// Signals that a crash of the compiler does not raise: SIGKILL of the kernel
/// when memory is short, or the signal of a terminal or a supervisor.
const FROM_OUTSIDE: [Signal; 5] =
    [Signal::KILL, Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT];

/// Time between SIGXCPU, which ends the compiler and says why, and SIGKILL, in
/// seconds of processor time.
const CPU_GRACE_SECONDS: u64 = 5;

/// Compiles in this process.
pub(super) fn in_process(engine: &wasmtime::Engine, wasm: &[u8]) -> Result<Vec<u8>, LoadError> {
    engine.precompile_component(wasm).map_err(|error| invalid(format!("{error:#}")))
}

/// Compiles in a child process. `compatibility` is the hash of the engine that
/// will run the code.
pub(super) async fn in_subprocess(
    limits: CompileLimits,
    compatibility: &Digest,
    wasm: &[u8],
) -> Result<Vec<u8>, LoadError> {
    let child = start(limits).map_err(LoadError::NoCompiler)?;
    // The child has a limit on its processor time. This one is for a child that
    // waits and uses none.
    let finished = tokio::time::timeout(limits.time, run_child(child, wasm)).await;
    let finished = finished
        .map_err(|_elapsed| LoadError::CompileTime { limit: limits.time })?
        .map_err(LoadError::NoCompiler)?;
    if !finished.status.success() {
        return Err(finished.failure(limits));
    }
    // The hash comes before the code. Loading machine code is unsafe, so only
    // the code of this very build may pass.
    match finished.output.split_first_chunk::<32>() {
        Some((made_for, code)) if made_for == compatibility.as_bytes() => Ok(code.to_vec()),
        Some(_) | None => Err(LoadError::NoCompiler(io::Error::new(
            io::ErrorKind::InvalidData,
            "the compiler is of another build",
        ))),
    }
}

fn start(limits: CompileLimits) -> io::Result<Child> {
    Command::new(THIS_PROGRAM)
        .arg(COMMAND)
        .args(["--memory-bytes", &limits.memory_bytes.to_string()])
        // One second more, because this limit has whole seconds. The exact
        // limit is the parent's timeout.
        .args(["--seconds", &limits.time.as_secs().saturating_add(1).to_string()])
        // The environment holds secrets.
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
}

/// The end of the child process.
struct Finished {
    status: ExitStatus,
    output: Vec<u8>,
    stderr: String,
}

async fn run_child(mut child: Child, wasm: &[u8]) -> io::Result<Finished> {
    let missing = || io::Error::other("the compiler has no standard streams");
    let mut input = child.stdin.take().ok_or_else(missing)?;
    let output = child.stdout.take().ok_or_else(missing)?;
    let words = child.stderr.take().ok_or_else(missing)?;
    let (mut code, mut said) = (Vec::new(), Vec::new());
    let mut output = output.take(cache::FILE_BYTES_MAX);
    let mut words = words.take(STDERR_BYTES_MAX);
    let write = async {
        // A child that has died reads nothing; its status gives the reason.
        let _ = input.write_all(wasm).await;
        drop(input);
    };
    // All streams at once: a child that blocks on a full pipe would not read
    // the rest of its input.
    let ((), read, heard) =
        tokio::join!(write, output.read_to_end(&mut code), words.read_to_end(&mut said));
    read?;
    heard?;
    let status = child.wait().await?;
    Ok(Finished { status, output: code, stderr: String::from_utf8_lossy(&said).trim().to_owned() })
}

impl Finished {
    /// Returns the reason that the child made no code.
    fn failure(self, limits: CompileLimits) -> LoadError {
        /// The exit status of a child that refuses the component.
        const REFUSED: i32 = 1;
        // The kernel sends SIGXCPU at the limit of the processor time. The host
        // itself kills only children that it no longer waits for.
        if self.status.signal() == Some(Signal::XCPU.as_raw()) {
            return LoadError::CompileTime { limit: limits.time };
        }
        if let Some(signal) = self.status.signal()
            && FROM_OUTSIDE.iter().any(|outside| outside.as_raw() == signal)
        {
            return LoadError::CompilerKilled { signal };
        }
        if OUT_OF_MEMORY.iter().any(|words| self.stderr.contains(words)) {
            return LoadError::CompileMemory { limit: limits.memory_bytes };
        }
        if self.status.code() == Some(REFUSED) {
            return invalid(self.stderr);
        }
        // A panic ends with its message, which only notes follow.
        let said = self.stderr.lines().rfind(|line| !line.starts_with("note:"));
        let last = said.unwrap_or("no message");
        invalid(format!("the compiler crashed ({}): {last}", self.status))
    }
}

fn invalid(mut what: String) -> LoadError {
    if what.contains("async") {
        what.push_str("; the host supports the synchronous ABI only");
    }
    LoadError::Invalid { what }
}

/// Runs as the child process. The error text is for the parent.
///
/// # Errors
///
/// The limits cannot be set, the component cannot be read or compiled, or the
/// code cannot be written: the parent may have gone.
pub fn compile_as_child(memory_bytes: u64, seconds: u64) -> Result<(), String> {
    // Before the first byte of the component is read.
    restrict(memory_bytes, seconds).map_err(|error| format!("limits: {error}"))?;
    let config = settings::compiler_config();
    let engine = wasmtime::Engine::new(&config).map_err(|error| format!("{error:#}"))?;
    let mut wasm = Vec::new();
    let limit = settings::COMPONENT_BYTES_MAX as u64 + 1;
    io::stdin().lock().take(limit).read_to_end(&mut wasm).map_err(|error| error.to_string())?;
    let code = engine.precompile_component(&wasm).map_err(|error| format!("{error:#}"))?;
    // The hash first, so that the parent can refuse the code of another build.
    let mut output = io::stdout().lock();
    output
        .write_all(cache::compatibility(&engine).as_bytes())
        .and_then(|()| output.write_all(&code))
        .and_then(|()| output.flush())
        .map_err(|error| error.to_string())
}

fn restrict(memory_bytes: u64, seconds: u64) -> io::Result<()> {
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    for (resource, limit, grace) in [
        // All private memory; address space alone costs nothing.
        (Resource::Data, memory_bytes, 0),
        // Of all threads together. The limits differ, because the kernel sends
        // SIGKILL without a word when both are the same.
        (Resource::Cpu, seconds.saturating_mul(cores), CPU_GRACE_SECONDS),
        // No files: the output goes to a pipe, which this limit does not count.
        (Resource::Fsize, 0, 0),
        // A core file would be a copy of the component, of any size.
        (Resource::Core, 0, 0),
    ] {
        // A limit that a service manager has set cannot be raised again.
        let inherited = rustix::process::getrlimit(resource).maximum.unwrap_or(u64::MAX);
        let within = |limit: u64| Some(limit.min(inherited));
        let (current, maximum) = (within(limit), within(limit.saturating_add(grace)));
        rustix::process::setrlimit(resource, Rlimit { current, maximum })?;
    }
    rustix::process::nice(NICENESS)?;
    Ok(())
}
