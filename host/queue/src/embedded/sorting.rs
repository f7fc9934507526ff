//! Storage errors by what they mean for the queue.

use std::io;

use rusqlite::Connection;
use rusqlite::ErrorCode;
use rusqlite::ffi;

/// The meaning of a storage error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing was stored, and nothing is in doubt. A later try may succeed.
    Wait,
    /// There is no room. Nothing was stored, and deletions may still succeed.
    Full,
    /// The stored state is unknown, or the file is unusable: only a new process
    /// can read it.
    Stop,
}

/// The part of a transaction that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Its begin, before anything was written.
    Begin,
    /// Its commands, or its commit.
    Inside,
}

/// Sorts an error of a transaction on this connection.
pub fn sort(sql: &Connection, error: &rusqlite::Error, phase: Phase) -> Verdict {
    verdict(error, &system_error(sql), phase)
}

/// Returns the error of the operating system behind the last I/O error of a
/// connection.
#[expect(unsafe_code, reason = "rusqlite has no safe wrapper for this call")]
fn system_error(sql: &Connection) -> io::Error {
    // SAFETY: the handle is that of an open connection, and the call only reads
    // a number from it.
    io::Error::from_raw_os_error(unsafe { ffi::sqlite3_system_errno(sql.handle()) })
}

fn verdict(error: &rusqlite::Error, system: &io::Error, phase: Phase) -> Verdict {
    let rusqlite::Error::SqliteFailure(failure, _) = error else {
        // A value that another program has written and that cannot be read. The
        // transaction was rolled back.
        return Verdict::Wait;
    };
    // SQLite reports a quota, and a limit of the process or of the file system
    // for one file, as a failed write, and only ENOSPC as a full disk.
    let no_room = matches!(
        system.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    );
    match (failure.code, phase) {
        (ErrorCode::DiskFull, _) => Verdict::Full,
        // A frame of the log that was written in part has no valid checksum, so
        // nothing was stored, as after SQLITE_FULL.
        (ErrorCode::SystemIoFailure, _)
            if failure.extended_code == ffi::SQLITE_IOERR_WRITE && no_room =>
        {
            Verdict::Full
        }
        // The log's index grows. At a commit the log is already written when
        // this fails, so there it stays unknown.
        (ErrorCode::SystemIoFailure, Phase::Begin)
            if failure.extended_code == ffi::SQLITE_IOERR_SHMSIZE && no_room =>
        {
            Verdict::Full
        }
        // Another process holds a lock.
        (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _) => Verdict::Wait,
        // A race for locks that SQLite gave up, no memory, and no descriptor:
        // before anything was written.
        (
            ErrorCode::FileLockingProtocolFailed | ErrorCode::OutOfMemory | ErrorCode::CannotOpen,
            Phase::Begin,
        ) => Verdict::Wait,
        // One command is refused because of what it, or another program, has
        // written. The transaction was rolled back.
        (
            ErrorCode::ConstraintViolation
            | ErrorCode::TypeMismatch
            | ErrorCode::TooBig
            | ErrorCode::OperationInterrupted,
            _,
        ) => Verdict::Wait,
        _ => Verdict::Stop,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EIO: i32 = 5;
    const EFBIG: i32 = 27;
    const ENOSPC: i32 = 28;
    const EROFS: i32 = 30;
    const EDQUOT: i32 = 122;

    #[test]
    fn every_storage_error_has_its_verdict() {
        use Phase::Begin;
        use Phase::Inside;
        use Verdict::Full;
        use Verdict::Stop;
        use Verdict::Wait;
        for (code, errno, begin, inside) in [
            (ffi::SQLITE_BUSY, 0, Wait, Wait),
            (ffi::SQLITE_BUSY_RECOVERY, 0, Wait, Wait),
            (ffi::SQLITE_BUSY_SNAPSHOT, 0, Wait, Wait),
            (ffi::SQLITE_LOCKED, 0, Wait, Wait),
            (ffi::SQLITE_PROTOCOL, 0, Wait, Stop),
            (ffi::SQLITE_NOMEM, 0, Wait, Stop),
            (ffi::SQLITE_CANTOPEN, 0, Wait, Stop),
            (ffi::SQLITE_CONSTRAINT_PRIMARYKEY, 0, Wait, Wait),
            (ffi::SQLITE_MISMATCH, 0, Wait, Wait),
            (ffi::SQLITE_TOOBIG, 0, Wait, Wait),
            (ffi::SQLITE_INTERRUPT, 0, Wait, Wait),
            (ffi::SQLITE_FULL, ENOSPC, Full, Full),
            (ffi::SQLITE_FULL, 0, Full, Full),
            (ffi::SQLITE_IOERR_WRITE, ENOSPC, Full, Full),
            (ffi::SQLITE_IOERR_WRITE, EDQUOT, Full, Full),
            (ffi::SQLITE_IOERR_WRITE, EFBIG, Full, Full),
            (ffi::SQLITE_IOERR_WRITE, EIO, Stop, Stop),
            (ffi::SQLITE_IOERR_WRITE, EROFS, Stop, Stop),
            (ffi::SQLITE_IOERR_SHMSIZE, ENOSPC, Full, Stop),
            (ffi::SQLITE_IOERR_SHMSIZE, EDQUOT, Full, Stop),
            (ffi::SQLITE_IOERR_SHMSIZE, EFBIG, Full, Stop),
            (ffi::SQLITE_IOERR_SHMSIZE, EIO, Stop, Stop),
            // After a failed sync nothing is known, whatever the reason.
            (ffi::SQLITE_IOERR_FSYNC, EIO, Stop, Stop),
            (ffi::SQLITE_IOERR_FSYNC, ENOSPC, Stop, Stop),
            (ffi::SQLITE_IOERR_FSYNC, EDQUOT, Stop, Stop),
            (ffi::SQLITE_IOERR_READ, EIO, Stop, Stop),
            (ffi::SQLITE_IOERR_SHORT_READ, 0, Stop, Stop),
            (ffi::SQLITE_IOERR_TRUNCATE, EIO, Stop, Stop),
            (ffi::SQLITE_IOERR_LOCK, EIO, Stop, Stop),
            (ffi::SQLITE_IOERR_SHMMAP, EIO, Stop, Stop),
            (ffi::SQLITE_READONLY, 0, Stop, Stop),
            (ffi::SQLITE_READONLY_DBMOVED, 0, Stop, Stop),
            (ffi::SQLITE_CORRUPT, 0, Stop, Stop),
            (ffi::SQLITE_NOTADB, 0, Stop, Stop),
            (ffi::SQLITE_ERROR, 0, Stop, Stop),
            (ffi::SQLITE_PERM, 0, Stop, Stop),
            (ffi::SQLITE_INTERNAL, 0, Stop, Stop),
        ] {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            let system = || io::Error::from_raw_os_error(errno);
            let found = (verdict(&error, &system(), Begin), verdict(&error, &system(), Inside));
            assert_eq!(found, (begin, inside), "{error:?}, {}", system());
        }
        let foreign = rusqlite::Error::IntegralValueOutOfRange(0, -1);
        assert_eq!(verdict(&foreign, &io::Error::from_raw_os_error(0), Inside), Wait);
    }
}
