//! The drop directory: components as `<name>.wasm`, their signatures beside
//! them as `<name>.wasm.minisig`.
//!
//! A component that is put there is installed. Other files are left alone, and
//! [`Listed`] has the reason for each.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::AdapterName;
use super::BadAdapterName;
use super::Package;
use super::RegistryError;
use super::files;
use super::files::FileStamp;
use super::ledger::SeenFile;
use super::open_files::OpenFiles;
use hoth_core::domain::Digest;

/// The largest number of adapters in one directory: more than there are CSPs in
/// the world. Further adapters, in alphabetical order, are not loaded.
const ADAPTERS_MAX: usize = 256;

/// The most files whose reasons are listed.
const LEFT_ALONE_MAX: usize = 256;

/// The entry for the files beyond [`LEFT_ALONE_MAX`].
const OTHERS: &str = "(further files)";

/// The most components that are read at one time, each up to 64 MiB.
const READS_MAX: usize = 4;

/// Time between two looks at a file of which no event says that it is complete.
/// Both must find the same contents: a program may still be writing the file.
const SETTLE: Duration = Duration::from_millis(100);

/// The most looks at a file in one pass. A file that changes all the time is
/// read in a later pass.
const LOOKS_MAX: usize = 10;

/// A directory that operators put components into.
#[derive(Debug, Clone)]
pub(super) struct DropDir {
    directory: PathBuf,
    reads: Arc<Semaphore>,
    open_files: Arc<OpenFiles>,
}

/// The contents of the directory.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// The names of the components, sorted.
    pub names: Vec<AdapterName>,
    /// Other files, each with the reason why it is left alone. Hidden files and
    /// usable signatures are not listed.
    pub left_alone: BTreeMap<String, String>,
}

impl DropDir {
    /// Creates a handle to the directory at a path; touches no file.
    pub fn new(directory: &Path) -> Self {
        let reads = Arc::new(Semaphore::new(READS_MAX));
        Self { directory: directory.to_owned(), reads, open_files: Arc::default() }
    }

    /// Returns the files that are being written, for the watcher.
    pub fn open_files(&self) -> &Arc<OpenFiles> {
        &self.open_files
    }

    /// Returns the path, for the watcher.
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// Creates the directory if it does not exist.
    pub fn create(&self) -> Result<(), RegistryError> {
        fs::create_dir_all(&self.directory).map_err(|source| self.unreadable(source))
    }

    /// Lists the directory.
    pub async fn list(&self) -> Result<Listed, RegistryError> {
        let path = self.directory.clone();
        let listed = files::blocking(move || list(&path)).await;
        listed.map_err(|source| self.unreadable(source))
    }

    /// Returns the stamp of a component's file, or `None` if there is none.
    pub async fn stamp(&self, name: &AdapterName) -> io::Result<Option<FileStamp>> {
        let path = self.component(name);
        files::blocking(move || files::stamp(&path)).await
    }

    /// Returns the stamp of a signature's file, or `None` if there is none.
    pub async fn signature_stamp(&self, name: &AdapterName) -> io::Result<Option<FileStamp>> {
        let path = files::signature_of(&self.component(name));
        files::blocking(move || files::signature_stamp(&path)).await
    }

    /// Reads a component and its signature. Returns `None` if there is no
    /// component. Reads at most one byte more than a component may have.
    pub async fn read(&self, name: &AdapterName) -> io::Result<Option<(SeenFile, Package)>> {
        // Before the contents: a write in between then has another stamp, and
        // the next pass reads the file again. The other order would pair old
        // contents with the new stamp.
        let Some(stamp) = self.stamp(name).await? else { return Ok(None) };
        let path = self.component(name);
        let read = files::blocking(move || {
            let package = files::read_package(&path)?;
            Ok((Digest::of(&package.wasm), package))
        });
        let (sha256, package) = read.await?;
        Ok(Some((SeenFile { stamp, sha256 }, package)))
    }

    /// Reads a component as [`DropDir::read`] does, once it is complete: no
    /// program is writing it, and either an event says that it is complete, or
    /// two looks find the same contents. (A part of a component may be a valid
    /// component.) Returns `None` if the file is not complete yet; its next event
    /// or a later pass finds it again.
    pub async fn read_settled(
        &self,
        name: &AdapterName,
    ) -> io::Result<Option<(SeenFile, Package)>> {
        let _read = self.reads.acquire().await.expect("the semaphore is never closed");
        let file_name = format!("{name}.wasm");
        let mut before = None;
        for _ in 0..LOOKS_MAX {
            if self.open_files.contains(&file_name) {
                return Ok(None);
            }
            let completed = self.open_files.was_completed(&file_name);
            let Some((file, package)) = self.read(name).await? else { return Ok(None) };
            let same = match completed {
                true => self.stamp(name).await?.as_ref() == Some(&file.stamp),
                false => before.as_ref() == Some(&file),
            };
            // Asked again: the read takes time.
            if same && !self.open_files.contains(&file_name) {
                return Ok(Some((file, package)));
            }
            before = Some(file);
            tokio::time::sleep(SETTLE).await;
        }
        Ok(None)
    }

    /// Writes a component and its signature.
    pub async fn write(&self, name: &AdapterName, package: Package) -> io::Result<FileStamp> {
        let path = self.component(name);
        files::blocking(move || files::write_package(&path, &package)).await
    }

    /// Adds the directory to an error.
    pub fn unreadable(&self, source: io::Error) -> RegistryError {
        RegistryError::Directory { directory: self.directory.clone(), source }
    }

    fn component(&self, name: &AdapterName) -> PathBuf {
        self.directory.join(format!("{name}.wasm"))
    }
}

fn list(directory: &Path) -> io::Result<Listed> {
    let mut listed = Listed::default();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let Some(file) = path.file_name().map(|name| name.to_string_lossy().into_owned()) else {
            continue;
        };
        // Hidden files are HOTH's own, or those of an editor or an orchestrator.
        if file.starts_with('.') {
            continue;
        }
        if file.ends_with(".wasm.minisig") {
            if let Err(reason) = is_usable(&path) {
                listed.leave(file, reason);
            }
            continue;
        }
        match component_name(&file).and_then(|name| is_usable(&path).map(|()| name)) {
            Ok(name) => listed.names.push(name),
            Err(reason) => listed.leave(file, reason),
        }
    }
    listed.names.sort_unstable();
    let surplus = listed.names.len().min(ADAPTERS_MAX);
    for name in listed.names.split_off(surplus) {
        let reason = format!("only the first {ADAPTERS_MAX} adapters are loaded");
        listed.leave(format!("{name}.wasm"), reason);
    }
    Ok(listed)
}

impl Listed {
    fn leave(&mut self, file: String, reason: String) {
        if self.left_alone.len() < LEFT_ALONE_MAX {
            self.left_alone.insert(file, reason);
        } else {
            let reason = format!("more than {LEFT_ALONE_MAX} files are left alone");
            self.left_alone.insert(OTHERS.to_owned(), reason);
        }
    }
}

/// Returns the adapter that a file name stands for, or the reason why it stands
/// for none.
fn component_name(file: &str) -> Result<AdapterName, String> {
    let Some(name) = file.strip_suffix(".wasm") else {
        return Err("its name does not end in `.wasm`".to_owned());
    };
    name.parse().map_err(|bad: BadAdapterName| bad.to_string())
}

/// Returns the reason why a file cannot be read as a component. Follows links,
/// which operators use to switch versions.
fn is_usable(path: &Path) -> Result<(), String> {
    match fs::metadata(path) {
        Ok(file) if file.is_file() => Ok(()),
        Ok(file) if file.is_dir() => Err("it is a directory".to_owned()),
        Ok(_) => Err("it is not a regular file".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_file_is_listed_whatever_stands_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let at = |file: &str| directory.path().join(file);
        for file in
            ["good.wasm", "good.wasm.minisig", ".hidden", "X.WASM", "atat-1.2.wasm", "notes"]
        {
            fs::write(at(file), "").unwrap();
        }
        fs::create_dir(at("folder.wasm")).unwrap();
        fs::create_dir(at("signed.wasm.minisig")).unwrap();
        std::os::unix::fs::symlink("loop.wasm", at("loop.wasm")).unwrap();
        std::os::unix::fs::symlink("gone", at("dangling.wasm")).unwrap();

        let listed = list(directory.path()).unwrap();
        assert_eq!(listed.names, ["good".parse().unwrap()]);
        let left: Vec<_> =
            listed.left_alone.iter().map(|(file, why)| (&file[..], &why[..])).collect();
        assert_eq!(
            left,
            [
                ("X.WASM", "its name does not end in `.wasm`"),
                (
                    "atat-1.2.wasm",
                    "`atat-1.2` is not an adapter name (1 to 64 letters, digits, `-` and `_`)"
                ),
                ("dangling.wasm", "No such file or directory (os error 2)"),
                ("folder.wasm", "it is a directory"),
                ("loop.wasm", "Too many levels of symbolic links (os error 40)"),
                ("notes", "its name does not end in `.wasm`"),
                ("signed.wasm.minisig", "it is a directory"),
            ]
        );
    }
}
