//! A file system with one file, which acts as a drive with a write cache.
//!
//! A loop device lies on the file. Its flushes arrive as fsync; it has no FUA
//! of its own, so the kernel makes a flush of each.

use std::ffi::OsStr;
use std::io;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::UNIX_EPOCH;

use fuser::Errno;
use fuser::FileAttr;
use fuser::FileHandle;
use fuser::FileType;
use fuser::Filesystem;
use fuser::FopenFlags;
use fuser::Generation;
use fuser::INodeNo;
use fuser::KernelConfig;
use fuser::LockOwner;
use fuser::OpenFlags;
use fuser::ReplyAttr;
use fuser::ReplyData;
use fuser::ReplyEmpty;
use fuser::ReplyEntry;
use fuser::ReplyOpen;
use fuser::ReplyWrite;
use fuser::Request;
use fuser::WriteFlags;

use crate::drive::cache::Cache;
use crate::drive::cache::Cut;

/// The one file.
pub const NAME: &str = "drive.img";
const FILE: INodeNo = INodeNo(2);

/// The size of the drive in bytes, which also bounds its memory, except for the
/// states of the write cache.
pub const SIZE: u64 = 256 * 1_024 * 1_024;

/// The largest request in bytes.
const REQUEST_MAX: u32 = 1_024 * 1_024;

/// The largest number of requests that wait without an answer after a cut. A
/// loop device has 128 at once; any further request gets an error, which cannot
/// be mistaken for success.
const HELD_MAX: usize = 1_024;

/// The time for which the kernel may cache the attributes of the file.
const TRUE_FOR: Duration = Duration::from_secs(3_600);

/// The longest wait for the kernel to close the file after the unmount.
const PATIENCE: Duration = Duration::from_secs(30);

/// A drive, shared by the file system that serves it and the command that cuts
/// its power.
#[derive(Clone, Default)]
pub struct Drive(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    closed: Condvar,
}

#[derive(Default)]
struct State {
    cache: Cache,
    power: Power,
    held: Vec<Held>,
    open: u32,
    flushes: u64,
    ignores_flushes: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Power {
    #[default]
    On,
    /// No request is answered.
    Silent,
    /// Every request is answered with an error.
    Off,
}

/// A request without an answer.
enum Held {
    Read(ReplyData),
    Write(ReplyWrite),
    Flush(ReplyEmpty),
}

impl Held {
    fn fail(self) {
        match self {
            Self::Read(reply) => reply.error(Errno::EIO),
            Self::Write(reply) => reply.error(Errno::EIO),
            Self::Flush(reply) => reply.error(Errno::EIO),
        }
    }
}

impl State {
    /// Returns the request if the drive has power. Otherwise holds the request,
    /// or fails it.
    fn powered(&mut self, request: Held) -> Option<Held> {
        match self.power {
            Power::On => return Some(request),
            Power::Silent if self.held.len() < HELD_MAX => self.held.push(request),
            Power::Silent | Power::Off => request.fail(),
        }
        None
    }
}

impl Drive {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic leaves no partial change that matters here.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the drive acknowledge flushes without doing them. The next cut
    /// leaves only what has been flushed until now.
    pub fn ignore_flushes(&self) {
        self.state().ignores_flushes = true;
    }

    /// Cuts the power at one moment. Sends no error: every request from now on
    /// waits.
    pub fn cut(&self, seed: u64) -> Cut {
        let mut state = self.state();
        state.power = Power::Silent;
        let flushes = std::mem::take(&mut state.flushes);
        let cut = match state.ignores_flushes {
            true => state.cache.lose_everything(),
            false => state.cache.lose_power(seed),
        };
        Cut { flushes, ..cut }
    }

    /// Fails all waiting and all further requests. Counts only the requests
    /// that have waited.
    pub fn fail(&self) -> Cut {
        let mut state = self.state();
        state.power = Power::Off;
        let mut cut = Cut::default();
        for request in std::mem::take(&mut state.held) {
            cut.held += 1;
            cut.held_flushes += u64::from(matches!(request, Held::Flush(_)));
            request.fail();
        }
        cut
    }

    /// Waits until no process has the drive open any more, and restores the
    /// power.
    ///
    /// # Errors
    ///
    /// Returns an error if a process still has the drive open after
    /// [`PATIENCE`].
    pub fn power_on(&self) -> io::Result<()> {
        let waited = self.0.closed.wait_timeout_while(self.state(), PATIENCE, |s| s.open > 0);
        let (mut state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return Err(io::Error::other("the drive is still open"));
        }
        state.power = Power::On;
        Ok(())
    }
}

impl Filesystem for Drive {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // The error only states the nearest supported value.
        let _ = config.set_max_write(REQUEST_MAX);
        Ok(())
    }

    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match name == NAME {
            true => reply.entry(&TRUE_FOR, &attributes(FILE), Generation(0)),
            false => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&TRUE_FOR, &attributes(ino));
    }

    /// Opens the file without a page cache on the way to the drive.
    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.state().open += 1;
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        reply.ok();
        let mut state = self.state();
        state.open = state.open.saturating_sub(1);
        self.0.closed.notify_all();
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut state = self.state();
        let Some(Held::Read(reply)) = state.powered(Held::Read(reply)) else { return };
        let left = SIZE.saturating_sub(offset);
        let length = u64::from(size.min(REQUEST_MAX)).min(left);
        let mut bytes = vec![0; usize::try_from(length).expect("a request is short")];
        state.cache.read(offset, &mut bytes);
        reply.data(&bytes);
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut state = self.state();
        let Some(Held::Write(reply)) = state.powered(Held::Write(reply)) else { return };
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        if offset.checked_add(u64::from(length)).is_none_or(|end| end > SIZE) {
            return reply.error(Errno::EFBIG);
        }
        state.cache.write(offset, data);
        reply.written(length);
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let mut state = self.state();
        let Some(Held::Flush(reply)) = state.powered(Held::Flush(reply)) else { return };
        if !state.ignores_flushes {
            state.cache.flush();
        }
        state.flushes += 1;
        reply.ok();
    }
}

fn attributes(ino: INodeNo) -> FileAttr {
    let (kind, size) = match ino == FILE {
        true => (FileType::RegularFile, SIZE),
        false => (FileType::Directory, 0),
    };
    FileAttr {
        ino,
        size,
        blocks: size / 512,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind,
        perm: 0o700,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 4_096,
        flags: 0,
    }
}
