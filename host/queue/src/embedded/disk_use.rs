//! The space that the files of a queue take, and the space that is left.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::lock::beside;
use super::reserve::FILE_SUFFIX;
use hoth_platform::disk::DiskRoom;

/// The unit of `st_blocks` (stat(2)).
const BLOCK_BYTES: u64 = 512;

/// The space of a queue on its disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskUse {
    /// The size of the queue file.
    pub file_bytes: u64,
    /// The space that the reserve occupies: 0 after it was released on a full
    /// disk.
    pub reserve_bytes: u64,
    /// The free space of the file system, for users other than root.
    pub available_bytes: Option<u64>,
}

impl DiskUse {
    /// Reads the space of the queue file at `path`. Blocks on the file system.
    pub fn read(path: &Path) -> Self {
        let file = std::fs::metadata(path);
        // Blocks, not length: a sparse file occupies no disk space.
        let reserve = std::fs::metadata(beside(path, FILE_SUFFIX));
        Self {
            file_bytes: file.map_or(0, |file| file.len()),
            reserve_bytes: reserve.map_or(0, |file| file.blocks() * BLOCK_BYTES),
            available_bytes: DiskRoom::of(path).map(|room| room.free),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_that_is_gone_takes_no_space() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("q.db");
        std::fs::write(&path, [7; 5_000]).unwrap();
        std::fs::write(beside(&path, FILE_SUFFIX), vec![1; 100_000]).unwrap();
        let before = DiskUse::read(&path);
        assert_eq!(before.file_bytes, 5_000);
        assert!(before.available_bytes > Some(0));
        std::fs::remove_file(beside(&path, FILE_SUFFIX)).unwrap();
        assert_eq!(DiskUse::read(&path).reserve_bytes, 0);
    }
}
