//! The room on the disk of a file.

use std::path::Path;

/// The room of a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskRoom {
    /// The free space, for users other than root.
    pub free: u64,
    pub total: u64,
}

impl DiskRoom {
    /// Returns the room of the file system that holds `path`, or `None` if the
    /// system does not tell.
    pub fn of(path: &Path) -> Option<Self> {
        let stat = rustix::fs::statvfs(path).ok()?;
        let size = stat.f_frsize;
        Some(Self {
            free: stat.f_bavail.saturating_mul(size),
            total: stat.f_blocks.saturating_mul(size),
        })
    }

    /// Returns the free share in percent, rounded down.
    pub fn free_percent(&self) -> u64 {
        match self.total {
            0 => 100,
            total => u64::try_from(u128::from(self.free) * 100 / u128::from(total)).unwrap_or(100),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_of_a_disk_is_known() {
        let room = DiskRoom::of(Path::new("/")).expect("the root is on a file system");
        assert!(room.free <= room.total && room.total > 0, "{room:?}");
        assert_eq!(DiskRoom::of(Path::new("/does/not/exist")), None);
        for (free, total, percent) in [(0, 10, 0), (1, 3, 33), (10, 10, 100), (0, 0, 100)] {
            assert_eq!(DiskRoom { free, total }.free_percent(), percent);
        }
    }
}
