//! The acts, and what a host does about each.

use std::path::PathBuf;

use super::scene::Scene;

/// One thing that people or programs do to the files or the process of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    CopyFiles,
    Backup,
    Read,
    Lock,
    Vacuum,
    Checkpoint,
    DeleteArchive,
    Suspend,
    LimitFileSize,
    LimitOpenFiles,
    StartSecond(By),
    RestoreAfterStop,
    RemoveDatabase,
    MoveDatabase,
    ReplaceDatabase,
    RemoveFolder,
    MoveFolder,
    RemoveLog,
    RemoveIndex,
    CopyOverDatabase,
    TruncateDatabase,
    TruncateLog,
}

/// The way by which a second host finds the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    SymbolicLink,
    HardLink,
    /// The same path, after the file was removed that older hosts lock.
    SamePath,
}

/// The right behaviour of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// It accepts jobs again after the act, and until it is killed.
    GoesOn,
    /// It ends by itself with this exit code.
    Ends(i32),
}

impl Act {
    /// The acts that destroy nothing. No job is lost by them.
    pub const HARMLESS: [Self; 21] = [
        Self::CopyFiles,
        Self::Backup,
        Self::Read,
        Self::Lock,
        Self::Vacuum,
        Self::Checkpoint,
        Self::DeleteArchive,
        Self::Suspend,
        Self::LimitFileSize,
        Self::LimitOpenFiles,
        Self::StartSecond(By::SymbolicLink),
        Self::StartSecond(By::HardLink),
        Self::StartSecond(By::SamePath),
        Self::RestoreAfterStop,
        Self::RemoveDatabase,
        Self::MoveDatabase,
        Self::ReplaceDatabase,
        Self::RemoveFolder,
        Self::MoveFolder,
        Self::RemoveLog,
        Self::RemoveIndex,
    ];

    /// The acts that destroy content. A host ends when it notices one.
    pub const DESTRUCTIVE: [Self; 3] =
        [Self::CopyOverDatabase, Self::TruncateDatabase, Self::TruncateLog];

    /// Returns the act as it would be typed or told.
    pub fn name(self) -> &'static str {
        match self {
            Self::CopyFiles => "cp hoth.db* elsewhere",
            Self::Backup => "VACUUM INTO a backup",
            Self::Read => "a read transaction, open for 3 s",
            Self::Lock => "BEGIN IMMEDIATE, held for 7 s",
            Self::Vacuum => "VACUUM",
            Self::Checkpoint => "PRAGMA wal_checkpoint(TRUNCATE)",
            Self::DeleteArchive => "DELETE of consumed outcomes",
            Self::Suspend => "SIGSTOP for 3 s",
            Self::LimitFileSize => "a file size limit of 64 KiB (RLIMIT_FSIZE) for 2 s",
            Self::LimitOpenFiles => "no more open files (RLIMIT_NOFILE) for 2 s",
            Self::StartSecond(By::SymbolicLink) => "a second host, by a symbolic link",
            Self::StartSecond(By::HardLink) => "a second host, by a hard link",
            Self::StartSecond(By::SamePath) => "a second host, after rm hoth.db.lock",
            Self::RestoreAfterStop => "a stop, and hoth.db alone restored from a copy",
            Self::RemoveDatabase => "rm hoth.db",
            Self::MoveDatabase => "mv hoth.db",
            Self::ReplaceDatabase => "a backup moved over hoth.db",
            Self::RemoveFolder => "rm -r of the directory",
            Self::MoveFolder => "mv of the directory",
            Self::RemoveLog => "rm hoth.db-wal",
            Self::RemoveIndex => "rm hoth.db-shm",
            Self::CopyOverDatabase => "cp of a backup over hoth.db",
            Self::TruncateDatabase => "> hoth.db",
            Self::TruncateLog => "> hoth.db-wal",
        }
    }

    pub fn expected(self) -> Expected {
        match self {
            Self::CopyFiles
            | Self::Backup
            | Self::Read
            | Self::Lock
            | Self::Vacuum
            | Self::Checkpoint
            | Self::DeleteArchive
            | Self::Suspend
            | Self::LimitFileSize
            | Self::LimitOpenFiles
            | Self::StartSecond(_) => Expected::GoesOn,
            Self::RestoreAfterStop => Expected::Ends(0),
            Self::RemoveDatabase
            | Self::MoveDatabase
            | Self::ReplaceDatabase
            | Self::RemoveFolder
            | Self::MoveFolder
            | Self::RemoveLog
            | Self::RemoveIndex
            | Self::CopyOverDatabase
            | Self::TruncateDatabase
            | Self::TruncateLog => Expected::Ends(1),
        }
    }

    /// Returns the path by which a second host opens the queue, if the act
    /// starts one.
    pub fn other_queue(self, scene: &Scene) -> Option<PathBuf> {
        let Self::StartSecond(by) = self else { return None };
        Some(match by {
            By::SymbolicLink => scene.other.join("symbolic.db"),
            By::HardLink => scene.other.join("hard.db"),
            By::SamePath => scene.queue.clone(),
        })
    }
}
