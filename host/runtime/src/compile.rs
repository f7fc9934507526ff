//! The compiler of components, in a child process with limits of its own.
//!
//! The compiler is the largest part of the host that reads untrusted input. A
//! component that makes it loop or crash ends only the child. The child is this
//! same program. It has neither configuration nor environment. It reads known
//! functions and the component from standard input, and writes new functions
//! and machine code to standard output.

use std::io;
use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::process::Stdio;
use std::sync::Arc;
use std::thread;

use bytes::Buf as _;
use bytes::Bytes;
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
use super::functions;
use super::functions::Functions;
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

/// Makes the allocator of the program, mimalloc, take memory from the system as
/// it is needed. By default it maps 1 GiB when a process starts, and whole pages
/// of blocks, which count against the limit whether they are used or not.
const ALLOCATE_AS_NEEDED: [(&str, &str); 2] =
    [("MIMALLOC_ARENA_EAGER_COMMIT", "0"), ("MIMALLOC_PAGE_COMMIT_ON_DEMAND", "1")];

/// Time between SIGXCPU, which ends the compiler and says why, and SIGKILL, in
/// seconds of processor time.
const CPU_GRACE_SECONDS: u64 = 5;

/// The output of the compiler.
#[derive(Debug)]
pub(super) struct Compiled {
    pub code: Bytes,
    /// The functions that were not known, in the form of [`Functions`].
    pub functions: Bytes,
    /// The number of functions that were known.
    pub reused: usize,
}

/// Compiles in this process. `functions` are those of earlier components.
pub(super) fn in_process(functions: Vec<u8>, wasm: &[u8]) -> Result<Compiled, LoadError> {
    let (_, compiled) = compile(functions, wasm).map_err(invalid)?;
    Ok(compiled)
}

/// Compiles in a child process. `compatibility` is the hash of the engine that
/// will run the code.
pub(super) async fn in_subprocess(
    limits: CompileLimits,
    compatibility: &Digest,
    functions: &[u8],
    wasm: &[u8],
) -> Result<Compiled, LoadError> {
    let child = start(limits).map_err(LoadError::NoCompiler)?;
    // The child has a limit on its processor time. This one is for a child that
    // waits and uses none.
    let finished = tokio::time::timeout(limits.time, run_child(child, functions, wasm)).await;
    let finished = finished
        .map_err(|_elapsed| LoadError::CompileTime { limit: limits.time })?
        .map_err(LoadError::NoCompiler)?;
    if !finished.status.success() {
        return Err(finished.failure(limits));
    }
    // Loading machine code is unsafe, so only the code of this very build may
    // pass.
    decode(finished.output, compatibility).ok_or_else(|| {
        LoadError::NoCompiler(io::Error::new(
            io::ErrorKind::InvalidData,
            "the compiler is of another build",
        ))
    })
}

/// Compiles with an engine for this component alone, which runs nothing.
/// Returns the compatibility hash of the code, too.
fn compile(functions: Vec<u8>, wasm: &[u8]) -> Result<(Digest, Compiled), String> {
    let functions = Arc::new(Functions::new(functions));
    let mut config = settings::compiler_config();
    let engine = config
        .enable_incremental_compilation(Arc::<Functions>::clone(&functions))
        .and_then(|config| wasmtime::Engine::new(config))
        .map_err(|error| format!("{error:#}"))?;
    let code = engine.precompile_component(wasm).map_err(|error| format!("{error:#}"))?;
    let compiled = Compiled {
        code: code.into(),
        functions: functions.take_added().into(),
        reused: functions.reused(),
    };
    Ok((cache::compatibility(&engine), compiled))
}

/// Writes the output of the child: the compatibility hash first, so that the
/// parent can refuse that of another build.
fn encode(output: &mut impl io::Write, made_for: &Digest, compiled: &Compiled) -> io::Result<()> {
    output.write_all(made_for.as_bytes())?;
    output.write_all(&(compiled.reused as u64).to_le_bytes())?;
    output.write_all(&(compiled.functions.len() as u64).to_le_bytes())?;
    output.write_all(&compiled.functions)?;
    output.write_all(&compiled.code)?;
    output.flush()
}

/// Returns `None` if the output is not of this build.
fn decode(output: Vec<u8>, compatibility: &Digest) -> Option<Compiled> {
    let mut output = Bytes::from(output);
    if output.get(..32)? != compatibility.as_bytes() {
        return None;
    }
    output.advance(32);
    let mut number = || usize::try_from(output.try_get_u64_le().ok()?).ok();
    let (reused, length) = (number()?, number()?);
    let functions = (length <= output.len()).then(|| output.split_to(length))?;
    Some(Compiled { code: output, functions, reused })
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
        .envs(ALLOCATE_AS_NEEDED)
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

async fn run_child(mut child: Child, functions: &[u8], wasm: &[u8]) -> io::Result<Finished> {
    let missing = || io::Error::other("the compiler has no standard streams");
    let mut input = child.stdin.take().ok_or_else(missing)?;
    let output = child.stdout.take().ok_or_else(missing)?;
    let words = child.stderr.take().ok_or_else(missing)?;
    let (mut code, mut said) = (Vec::new(), Vec::new());
    let mut output = output.take(cache::FILE_BYTES_MAX);
    let mut words = words.take(STDERR_BYTES_MAX);
    let write = async {
        let length = (functions.len() as u64).to_le_bytes();
        for part in [&length, functions, wasm] {
            // A child that has died reads nothing; its status gives the reason.
            let _ = input.write_all(part).await;
        }
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
    let (functions, wasm) = read_input().map_err(|error| error.to_string())?;
    let (made_for, compiled) = compile(functions, &wasm)?;
    encode(&mut io::stdout().lock(), &made_for, &compiled).map_err(|error| error.to_string())
}

/// Reads the known functions and the component.
fn read_input() -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut input = io::stdin().lock();
    let mut length = [0; 8];
    input.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length).min(functions::STORE_BYTES_MAX as u64);
    let (mut functions, mut wasm) = (Vec::new(), Vec::new());
    input.by_ref().take(length).read_to_end(&mut functions)?;
    let limit = settings::COMPONENT_BYTES_MAX as u64 + 1;
    input.take(limit).read_to_end(&mut wasm)?;
    Ok((functions, wasm))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_another_build_is_refused() {
        let build = Digest::of(b"this build");
        let compiled = Compiled { code: "code".into(), functions: "functions".into(), reused: 3 };
        let mut output = Vec::new();
        encode(&mut output, &build, &compiled).unwrap();
        let read = decode(output.clone(), &build).unwrap();
        assert_eq!((&*read.code, &*read.functions), (&b"code"[..], &b"functions"[..]));
        assert_eq!(read.reused, 3);
        assert!(decode(output.clone(), &Digest::of(b"another")).is_none());
        for length in [0, 31, 40, 48, 56] {
            assert!(decode(output[..length].to_vec(), &build).is_none(), "{length}");
        }
    }
}
