//! A cache of compiled components on disk, so that a restart does not compile.
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

/// The first bytes of every file: its kind, and the version of its form.
const MAGIC: [u8; 8] = *b"HOTHcw\0\x01";

/// The most files; the oldest are removed first. This is enough for a few
/// versions of a few dozen adapters.
const FILES_MAX: usize = 128;

/// The largest compiled component, in bytes. Compiled CPython has
/// 60 MB.
pub(super) const FILE_BYTES_MAX: u64 = 512 << 20;

/// A directory of compiled components.
#[derive(Debug)]
pub(super) struct Cache {
    directory: PathBuf,
    /// The compatibility hash of this engine's code: the version of wasmtime,
    /// the machine, and every setting of the compiler.
    compatibility: Digest,
}

impl Cache {
    /// Opens the directory, and creates it if it does not exist.
    pub fn open(directory: &Path, engine: &Engine) -> io::Result<Self> {
        // Only the cache is private; its parent may be shared.
        if let Some(parent) = directory.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        // Without following a link, which another user may have put there.
        check_private(&fs::symlink_metadata(directory)?)?;
        Ok(Self { directory: directory.to_owned(), compatibility: compatibility(engine) })
    }

    /// Returns the compiled component, or `None` if it is missing or damaged. A
    /// damaged file is removed.
    pub fn load(&self, engine: &Engine, component: &Digest) -> Option<Component> {
        let path = self.path(component);
        let file = match read(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                warn!("Cached adapter not read: {}: {error}", path.display());
                return None;
            }
        };
        let compiled = verified(&file).and_then(|code| deserialize(engine, code).ok());
        if compiled.is_none() {
            warn!("Cached adapter is damaged and is compiled again: {}", path.display());
            // `store` does not replace a file that exists.
            let _ = fs::remove_file(&path);
        }
        compiled
    }

    /// Stores a compiled component. The cache only saves time, so a failure is
    /// logged and not returned.
    pub fn store(&self, digest: &Digest, code: &[u8]) {
        let path = self.path(digest);
        let stored = self.write(&path, code).and_then(|()| self.prune());
        if let Err(error) = stored {
            warn!("Compiled adapter not cached: {}: {error}", path.display());
        }
    }

    fn path(&self, component: &Digest) -> PathBuf {
        self.directory.join(format!("{component}-{}.cwasm", self.compatibility.short()))
    }

    /// Writes to a temporary file and renames it, so that a file is complete or
    /// absent.
    fn write(&self, path: &Path, code: &[u8]) -> io::Result<()> {
        // Another process may still write the same file after this check. Its
        // rename then replaces one complete file by another.
        if path.try_exists()? {
            return Ok(());
        }
        /// Numbers the writes: two adapters may be the same component, and load
        /// at the same time.
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
        // Synced before the rename: after a power cut the final name has the
        // whole file or does not exist. The directory is synced to make the
        // name last.
        file.sync_all()?;
        fs::rename(&aside, path)?;
        fs::File::open(&self.directory)?.sync_all()
    }

    /// Removes the oldest files, among them temporary files of a crash.
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

/// Returns the compatibility hash of the code of an engine.
pub(super) fn compatibility(engine: &Engine) -> Digest {
    let mut hashed = Hashed(Vec::new());
    engine.precompile_compatibility_hash().hash(&mut hashed);
    Digest::of(&hashed.0)
}

/// Checks that only this user can write to the directory: machine code of
/// another user would run with this user's rights.
fn check_private(directory: &fs::Metadata) -> io::Result<()> {
    let refused = |what| Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    if !directory.is_dir() {
        return refused("not a directory");
    }
    if directory.mode() & 0o077 != 0 {
        return refused(
            "other users may read or write it, and its mode must be 0700: run `chmod 700` on it, \
             or set `adapters.cache_directory` to a folder that only this user can reach; on a \
             Kubernetes volume with `fsGroup`, which changes the mode at each mount, the folder \
             must be outside of that volume",
        );
    }
    // The mode alone is not enough: root could open a directory that is private
    // to another user, and would run that user's code.
    if let Ok(this_process) = fs::metadata("/proc/self")
        && this_process.uid() != directory.uid()
    {
        return refused("it belongs to another user");
    }
    Ok(())
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // A longer file is cut here, and then fails the check of its digest.
    fs::File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Returns the code in a file, or `None` if the file is damaged.
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

/// A hasher that keeps its input: the hashers of std may change with every
/// release.
struct Hashed(Vec<u8>);

impl Hasher for Hashed {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        unreachable!("the bytes are taken, not a hash of them")
    }
}
