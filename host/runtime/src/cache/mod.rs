//! A cache on disk of compiled components and functions: a restart does not
//! compile, and a new version of a component compiles what is new in it.
//!
//! A file is used only as this process could have written it: the directory
//! belongs to this user alone, the name holds everything that the compiler's
//! output depends on, and a checksum finds damage. The privacy of the directory
//! is the guard against malice.

mod sealed;

use std::fs;
use std::hash::Hash as _;
use std::hash::Hasher;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;

use tracing::warn;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::functions;
use hoth_core::domain::Digest;

/// The most files; the oldest are removed first. This is enough for a few
/// versions of a few dozen adapters.
const FILES_MAX: usize = 128;

/// The largest compiled component, in bytes. Compiled CPython has
/// 60 MB.
pub(super) const FILE_BYTES_MAX: u64 = 512 << 20;

/// A directory of compiled components and functions.
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
        let path = self.component_path(component);
        let file = match sealed::open(&path, FILE_BYTES_MAX) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                warn!("Cached adapter not read: {}: {error}", path.display());
                return None;
            }
        };
        let compiled = file.and_then(|file| map(engine, &file).ok());
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
        let path = self.component_path(digest);
        // Another process may still write the same file after this check. Its
        // rename then replaces one complete file by another.
        if path.exists() {
            return;
        }
        let stored = sealed::write(&path, &[code]).and_then(|()| self.prune());
        if let Err(error) = stored {
            warn!("Compiled adapter not cached: {}: {error}", path.display());
        }
    }

    /// Returns the functions of earlier components, without a word if there are
    /// none that can be used: they only save time.
    pub fn functions(&self) -> Vec<u8> {
        let path = self.functions_path();
        let read = sealed::read(&path, functions::STORE_BYTES_MAX as u64);
        read.ok().flatten().unwrap_or_default()
    }

    /// Adds the functions of a component. Of two processes that do this at the
    /// same time, one loses its addition, which is then compiled once more.
    pub fn add_functions(&self, added: &[u8]) {
        if added.is_empty() {
            return;
        }
        let path = self.functions_path();
        // Read again: another component may have been compiled meanwhile.
        let known = self.functions();
        let kept = functions::newest(&known, added.len());
        if let Err(error) = sealed::write(&path, &[kept, added]) {
            warn!("Compiled functions not cached: {}: {error}", path.display());
        }
    }

    fn component_path(&self, component: &Digest) -> PathBuf {
        self.directory.join(format!("{component}-{}.cwasm", self.compatibility.short()))
    }

    fn functions_path(&self) -> PathBuf {
        self.directory.join(format!("{}.functions", self.compatibility.short()))
    }

    /// Removes the oldest files, among them temporary files of a crash, and
    /// functions of earlier compilers.
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
    if is_of_another_user(directory) {
        return refused("it belongs to another user");
    }
    Ok(())
}

/// Returns true for a file or a directory of another user than that of this
/// process.
fn is_of_another_user(file: &fs::Metadata) -> bool {
    let this_process = fs::metadata("/proc/self");
    this_process.is_ok_and(|this_process| this_process.uid() != file.uid())
}

#[expect(
    unsafe_code,
    reason = "wasmtime cannot check machine code; this one was just made by this process or its \
              child"
)]
pub(super) fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `code` is what `Engine::precompile_component` gave to a process
    // of this user with an engine of the same compatibility hash.
    unsafe { Component::deserialize(engine, code) }
}

#[expect(
    unsafe_code,
    reason = "wasmtime cannot check machine code; the checksum of this one was checked, it came \
              from a directory that only this user can write, and its name says that this engine \
              made it"
)]
fn map(engine: &Engine, file: &fs::File) -> wasmtime::Result<Component> {
    // The open file and not its path, which may name another file by now.
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    // SAFETY: the file has what `Engine::precompile_component` gave to a
    // process of this user with an engine of the same compatibility hash. It is
    // read-only and never written in place, so the mapping does not change.
    unsafe { Component::deserialize_file(engine, path) }
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
