//! Files that end with a checksum of their contents.
//!
//! The seal is at the end, so that a compiled component can be mapped as it is.
//! It finds a file that is damaged, or incomplete after a power cut: files are
//! not synced, because a lost one is only made again.

use std::fs;
use std::io;
use std::io::Read;
use std::io::Seek as _;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use rapidhash::v3::RapidSecrets;
use rapidhash::v3::RapidStreamHasherV3;

use super::is_of_another_user;

/// The first bytes of every seal: its kind, and the version of its form.
const MAGIC: [u8; 8] = *b"HOTHcw\0\x02";

/// The size of a seal: the magic and the checksum.
const SEAL_BYTES: usize = MAGIC.len() + size_of::<u64>();

/// The bytes that are read at once for the checksum.
const CHUNK_BYTES: usize = 64 << 10;

static SECRETS: LazyLock<RapidSecrets> = LazyLock::new(|| RapidSecrets::seed_cpp(0));

/// Opens a file. Returns `None` if it is damaged, longer than `limit`, or of
/// another user.
pub fn open(path: &Path, limit: u64) -> io::Result<Option<fs::File>> {
    let mut file = fs::File::open(path)?;
    let metadata = file.metadata()?;
    let Some(length) = metadata.len().checked_sub(SEAL_BYTES as u64) else { return Ok(None) };
    if length > limit || is_of_another_user(&metadata) {
        return Ok(None);
    }
    let found = checksum_of(&mut (&file).take(length))?;
    let mut seal = [0; SEAL_BYTES];
    file.read_exact(&mut seal)?;
    Ok((seal == self::seal(found)).then_some(file))
}

/// Reads the contents of a file. Returns `None` as [`open`] does.
pub fn read(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let Some(mut file) = open(path, limit)? else { return Ok(None) };
    let mut contents = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut contents)?;
    contents.truncate(contents.len().saturating_sub(SEAL_BYTES));
    Ok(Some(contents))
}

/// Writes to a temporary file and renames it, so that another process sees the
/// old file or the new one. `parts` are the contents.
pub fn write(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    /// Numbers the writes: two adapters may be the same component, and load at
    /// the same time.
    static WRITES: AtomicU64 = AtomicU64::new(0);
    let write = WRITES.fetch_add(1, Ordering::Relaxed);
    let aside = path.with_extension(format!("{}-{write}.tmp", std::process::id()));
    write_aside(&aside, path, parts)
}

fn write_aside(aside: &Path, path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    // A process that ended while it wrote may have had the same id: in a
    // container, every host has.
    if let Err(error) = fs::remove_file(aside)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let written = write_new(aside, parts).and_then(|()| fs::rename(aside, path));
    if written.is_err() {
        // A full disk must not stay full because of an unfinished file.
        let _ = fs::remove_file(aside);
    }
    written
}

fn write_new(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        // Read-only, because a write in place would change code that runs.
        .mode(0o400)
        .open(path)?;
    let mut hasher = RapidStreamHasherV3::new(&SECRETS);
    for part in parts {
        file.write_all(part)?;
        hasher.write(part);
    }
    file.write_all(&seal(hasher.finish()))
}

fn checksum_of(contents: &mut impl Read) -> io::Result<u64> {
    let mut hasher = RapidStreamHasherV3::new(&SECRETS);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = contents.read(&mut chunk)?;
        let Some(read @ [_, ..]) = chunk.get(..read) else { return Ok(hasher.finish()) };
        hasher.write(read);
    }
}

fn seal(checksum: u64) -> [u8; SEAL_BYTES] {
    let mut seal = [0; SEAL_BYTES];
    let (magic, sum) = seal.split_at_mut(MAGIC.len());
    magic.copy_from_slice(&MAGIC);
    sum.copy_from_slice(&checksum.to_le_bytes());
    seal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unfinished_file_of_an_earlier_process_does_not_prevent_a_write() {
        let directory = tempfile::tempdir().unwrap();
        let (aside, path) = (directory.path().join("1-0.tmp"), directory.path().join("code"));
        fs::write(&aside, b"co").unwrap();
        write_aside(&aside, &path, &[b"co", b"de"]).unwrap();
        assert_eq!(read(&path, 4).unwrap().as_deref(), Some(&b"code"[..]));
        assert!(!aside.exists());
    }

    #[test]
    fn a_write_that_fails_leaves_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let (aside, path) = (directory.path().join("1-0.tmp"), directory.path().join("folder"));
        // A file cannot be renamed to the name of a folder.
        fs::create_dir(&path).unwrap();
        write_aside(&aside, &path, &[b"code"]).unwrap_err();
        assert!(!aside.exists());
    }
}
