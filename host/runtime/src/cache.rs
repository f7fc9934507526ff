//! Compiled components on disk, so that a restart does not compile.
//!
//! A file is used only as this process could have written it: the directory
//! belongs to this user alone, the name holds the digest of the component and
//! everything that the compiler's output depends on, and the contents hold
//! their own digest.

use std::fs;
use std::hash::Hash as _;
use std::hash::Hasher;
use std::io;
use std::io::Read as _;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use tracing::warn;
use wasmtime::Engine;
use wasmtime::component::Component;

use hoth_core::domain::Digest;

/// The first bytes of every file: what it is, and the form of what follows.
const MAGIC: [u8; 8] = *b"HOTHcw\0\x01";

/// Files kept; the oldest go first. A few versions of a few dozen adapters.
const FILES_MAX: usize = 128;

/// A compiled component: CPython's has 60 MB.
pub(super) const FILE_BYTES_MAX: u64 = 512 << 20;

/// A directory of compiled components.
#[derive(Debug)]
pub(super) struct Cache {
    directory: PathBuf,
    /// What this engine's code can be used with: wasmtime's version, the
    /// machine, and every setting of the compiler.
    compatibility: Digest,
}

impl Cache {
    /// Opens the directory, and creates it where it does not exist.
    pub fn open(directory: &Path, engine: &Engine) -> io::Result<Self> {
        // Only the cache itself is private, not what it lies in.
        if let Some(parent) = directory.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        check_private(&fs::symlink_metadata(directory)?)?;
        Ok(Self { directory: directory.to_owned(), compatibility: compatibility(engine) })
    }

    /// The compiled component, if it is there and undamaged.
    pub fn load(&self, engine: &Engine, component: &Digest) -> Option<Component> {
        let path = self.path(component);
        let file = match read(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                warn!("A compiled adapter cannot be read: {}: {error}", path.display());
                return None;
            }
        };
        let compiled = verified(&file).and_then(|code| deserialize(engine, code).ok());
        if compiled.is_none() {
            warn!("A compiled adapter was damaged and is made anew: {}", path.display());
            // The new one would not replace it.
            let _ = fs::remove_file(&path);
        }
        compiled
    }

    /// Keeps a compiled component. It only saves time, so a failure is only
    /// logged.
    pub fn store(&self, digest: &Digest, code: &[u8]) {
        let path = self.path(digest);
        let stored = self.write(&path, code).and_then(|()| self.prune());
        if let Err(error) = stored {
            warn!("A compiled adapter cannot be kept: {}: {error}", path.display());
        }
    }

    fn path(&self, component: &Digest) -> PathBuf {
        self.directory.join(format!("{component}-{}.cwasm", self.compatibility.short()))
    }

    /// Writes aside and renames, so that a file is whole or not there.
    fn write(&self, path: &Path, code: &[u8]) -> io::Result<()> {
        if path.try_exists()? {
            return Ok(());
        }
        /// Two adapters may be one component, and arrive at once.
        static WRITES: AtomicU64 = AtomicU64::new(0);
        let write = WRITES.fetch_add(1, Ordering::Relaxed);
        let aside = path.with_extension(format!("{}-{write}.tmp", std::process::id()));
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&aside)?;
        file.write_all(&MAGIC)?;
        file.write_all(Digest::of(code).as_bytes())?;
        file.write_all(code)?;
        file.sync_all()?;
        fs::rename(&aside, path)?;
        fs::File::open(&self.directory)?.sync_all()
    }

    /// Removes the oldest files, and with them what a crash left behind.
    fn prune(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            files.push((entry.metadata()?.modified()?, entry.path()));
        }
        files.sort_unstable();
        let surplus = files.len().saturating_sub(FILES_MAX);
        files.drain(..surplus).try_for_each(|(_, path)| fs::remove_file(path))
    }
}

/// What the code of an engine can be used with.
pub(super) fn compatibility(engine: &Engine) -> Digest {
    let mut hashed = Hashed(Vec::new());
    engine.precompile_compatibility_hash().hash(&mut hashed);
    Digest::of(&hashed.0)
}

/// Code of another user's making would run with this user's rights.
fn check_private(directory: &fs::Metadata) -> io::Result<()> {
    let refused = |what| Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    if !directory.is_dir() {
        return refused("not a directory");
    }
    if directory.mode() & 0o077 != 0 {
        return refused("others may read or write it; its mode must be 0700");
    }
    // Root can read what is private to others.
    if let Ok(this_process) = fs::metadata("/proc/self")
        && this_process.uid() != directory.uid()
    {
        return refused("it belongs to another user");
    }
    Ok(())
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The code in a file, if the file is as it was written.
fn verified(file: &[u8]) -> Option<&[u8]> {
    let (digest, code) = file.strip_prefix(&MAGIC)?.split_first_chunk::<32>()?;
    (Digest::of(code).as_bytes() == digest).then_some(code)
}

#[expect(
    unsafe_code,
    reason = "wasmtime cannot check machine code; this one was just made by this process or its \
              child, or its digest was checked, it came from a directory that only this user can \
              write, and its name says that this engine made it"
)]
pub(super) fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `code` is what `Engine::precompile_component` gave to a process
    // of this user with an engine of the same compatibility hash.
    unsafe { Component::deserialize(engine, code) }
}

/// Keeps what is hashed: std's own hashers may change with every release.
struct Hashed(Vec<u8>);

impl Hasher for Hashed {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        unreachable!("the bytes are taken, not a hash of them")
    }
}
