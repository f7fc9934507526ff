//! The thread that syncs the log, and then answers.
//!
//! A success is answered, and a message is handed over, after a sync of the log
//! that began when the commit had ended. The writer works on the next
//! transactions meanwhile, and these see the changes of all earlier ones, synced
//! or not. Nothing of that reaches a caller too early: the log is sequential, so
//! the sync of a commit makes all earlier commits durable as well, and with them
//! everything that its answer depends on.
//!
//! The log may be reset between a commit and its sync. SQLite has then copied
//! the commit to the database and has synced that before (see
//! [schema](crate::embedded::schema)), so the answer is right all the same.

use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::mpsc::Sender;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Handle;

use super::file_watch::FileWatch;
use super::storage_failed;
use crate::embedded::command::Command;
use crate::embedded::command::Request;
use crate::embedded::command::Requests;
use crate::embedded::commits::SyncMark;
use crate::embedded::identity::Displaced;
use crate::embedded::log_sync::LogSync;
use crate::embedded::transaction::Served;
use crate::embedded::wait_queues::Undelivered;
use hoth_platform::failpoint;
use hoth_platform::failpoint::FailPoint;

/// The most commits that may wait for their sync. Behind them the writer waits,
/// so that a disk that stalls stops it.
const UNSYNCED_MAX: usize = 64;

/// The longest time for which it goes unnoticed that the file was removed.
const CHECK_FILES_EVERY: Duration = Duration::from_millis(500);

/// A commit whose callers have no answer yet.
pub struct Committed {
    /// Its number, or that of the last commit if it is no commit but only has
    /// callers to answer.
    pub number: u64,
    /// It has written to the log.
    pub wrote: bool,
    pub commands: Vec<Box<dyn Command>>,
    pub served: Served,
}

impl Committed {
    /// Answers every caller with success. Returns the messages of receivers that
    /// have gone away meanwhile.
    fn answer(self) -> Vec<Undelivered> {
        for command in self.commands {
            command.answer(Ok(()));
        }
        let served = self.served.into_iter();
        served.filter_map(|(waiter, leased)| waiter.answer(Ok(leased))).collect()
    }

    /// Answers every caller with the failure of storage.
    pub fn refuse(self) {
        for command in self.commands {
            command.answer(Err(storage_failed()));
        }
        for (waiter, _) in self.served {
            waiter.answer(Err(storage_failed()));
        }
    }
}

/// The writer's end of the thread.
pub struct SyncThread {
    committed: SyncSender<Committed>,
    returned: Receiver<Undelivered>,
    shared: Arc<Shared>,
    thread: JoinHandle<Ended>,
}

/// The state that both threads see.
#[derive(Debug, Default)]
struct Shared {
    /// A sync is running, so a commit now would be synced by the next one.
    syncing: AtomicBool,
    /// The writer waits for the end of that sync.
    is_awaited: AtomicBool,
    /// The thread ends, or has panicked.
    ended: AtomicBool,
}

/// The result of the thread.
pub struct Ended {
    pub reason: EndReason,
    pub file_watch: FileWatch,
}

/// The reason why the thread has ended.
pub enum EndReason {
    /// The writer has asked for it. Every commit is synced and answered.
    Asked,
    /// The content of the log is unknown.
    NotSynced(std::io::Error),
    /// Everything was stored, but not in the file that a restart will open.
    Displaced(Displaced),
}

impl SyncThread {
    /// Starts the thread. `requests` leads to the writer, which is woken when
    /// there is something for it.
    pub fn start(
        log: LogSync,
        file_watch: FileWatch,
        synced: SyncMark,
        requests: Weak<Requests>,
        runtime: Option<Handle>,
    ) -> std::io::Result<Self> {
        let (committed, arriving) = mpsc::sync_channel(UNSYNCED_MAX);
        let (returning, returned) = mpsc::channel();
        let shared = Arc::new(Shared::default());
        let writer = ToWriter { requests, returning };
        let end = End(Arc::clone(&shared), writer.clone());
        let syncing =
            Syncing { committed: arriving, log, file_watch, synced, writer, runtime, end };
        let thread = std::thread::Builder::new()
            .name("queue-sync".to_owned())
            .spawn(move || syncing.run())?;
        Ok(Self { committed, returned, shared, thread })
    }

    /// Has a commit synced and its callers answered.
    pub fn post(&self, committed: Committed) {
        // Fails if the thread has ended, which the writer is about to notice.
        if let Err(mpsc::SendError(committed)) = self.committed.send(committed) {
            committed.refuse();
        }
    }

    /// Returns true if a sync is running. Its end then wakes the writer.
    pub fn awaits_sync(&self) -> bool {
        if !self.shared.syncing.load(Ordering::SeqCst) {
            return false;
        }
        // Read again: a sync that ends before this note wakes no writer.
        self.shared.is_awaited.store(true, Ordering::SeqCst);
        self.shared.syncing.load(Ordering::SeqCst)
    }

    /// Returns true if the thread has ended by itself.
    pub fn has_ended(&self) -> bool {
        self.shared.ended.load(Ordering::SeqCst)
    }

    /// Takes the messages of receivers that have gone away.
    pub fn returned(&self) -> impl Iterator<Item = Undelivered> {
        self.returned.try_iter()
    }

    /// Waits until every commit is synced, and ends the thread. Returns `None`
    /// for the result if the thread has panicked. The channel ends when every
    /// caller has its answer.
    pub fn finish(self) -> (Option<Ended>, Receiver<Undelivered>) {
        drop(self.committed);
        (self.thread.join().ok(), self.returned)
    }
}

/// The way back to the writer.
#[derive(Clone)]
struct ToWriter {
    requests: Weak<Requests>,
    returning: Sender<Undelivered>,
}

impl ToWriter {
    fn wake(&self) {
        // Without callers, the writer is about to end.
        if let Some(requests) = self.requests.upgrade() {
            let _ = requests.send(Request::Wake);
        }
    }

    /// Gives messages back whose receiver has gone away.
    fn give_back(&self, undelivered: Undelivered) {
        // The writer takes them until it has closed the file.
        let _ = self.returning.send(undelivered);
        self.wake();
    }
}

/// The end of the thread, by a panic or not, which the writer notices.
struct End(Arc<Shared>, ToWriter);

impl Drop for End {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::SeqCst);
        // A panic in a sync must not leave the writer waiting for its end.
        self.0.syncing.store(false, Ordering::SeqCst);
        self.1.wake();
    }
}

/// The state of the thread.
struct Syncing {
    committed: Receiver<Committed>,
    log: LogSync,
    file_watch: FileWatch,
    synced: SyncMark,
    writer: ToWriter,
    /// The runtime of the callers, if there is one.
    runtime: Option<Handle>,
    end: End,
}

impl Syncing {
    fn run(mut self) -> Ended {
        let reason = loop {
            let done = match self.committed.recv_timeout(CHECK_FILES_EVERY) {
                Ok(first) => self.sync_and_answer(first),
                Err(RecvTimeoutError::Timeout) => {
                    self.file_watch.check().map_err(EndReason::Displaced)
                }
                Err(RecvTimeoutError::Disconnected) => break EndReason::Asked,
            };
            if let Err(reason) = done {
                break reason;
            }
        };
        // Refused here, and not in a channel that ends: a caller learns why.
        self.committed.try_iter().for_each(Committed::refuse);
        Ended { reason, file_watch: self.file_watch }
    }

    /// Syncs and answers all commits that have ended by now.
    fn sync_and_answer(&mut self, first: Committed) -> Result<(), EndReason> {
        let mut group = vec![first];
        group.extend(self.committed.try_iter().take(UNSYNCED_MAX));
        let on_disk = match group.iter().any(|committed| committed.wrote) {
            true => self.sync(),
            false => Ok(()),
        };
        // The check comes last before the answers: a success is for the file
        // that a restart will open.
        if let Err(reason) =
            on_disk.and_then(|()| self.file_watch.check().map_err(EndReason::Displaced))
        {
            group.into_iter().for_each(Committed::refuse);
            return Err(reason);
        }
        let last = group.last().map_or(0, |committed| committed.number);
        self.synced.up_to(last);
        self.answer(group);
        Ok(())
    }

    /// Answers a group, as one task of the runtime. From this thread, each answer
    /// would take the lock of the runtime's queue and wake a thread.
    fn answer(&self, group: Vec<Committed>) {
        group.iter().for_each(|_| failpoint::reach(FailPoint::AfterCommit));
        let writer = self.writer.clone();
        let answer = move || {
            let undelivered = group.into_iter().flat_map(Committed::answer);
            undelivered.for_each(|undelivered| writer.give_back(undelivered));
        };
        match &self.runtime {
            Some(runtime) => drop(runtime.spawn(async move { answer() })),
            None => answer(),
        }
    }

    fn sync(&self) -> Result<(), EndReason> {
        let shared = &self.end.0;
        shared.syncing.store(true, Ordering::SeqCst);
        failpoint::reach(FailPoint::BeforeSync);
        let synced = self.log.sync();
        shared.syncing.store(false, Ordering::SeqCst);
        if shared.is_awaited.swap(false, Ordering::SeqCst) {
            self.writer.wake();
        }
        synced.map_err(EndReason::NotSynced)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::AtomicU64;

    use tokio::sync::oneshot;

    use super::*;
    use crate::embedded::command::Call;
    use crate::embedded::commits;
    use crate::embedded::identity::QueueFiles;
    use crate::embedded::lock::FileLock;
    use crate::embedded::operations::CheckStorage;
    use crate::embedded::schema;
    use crate::error::QueueError;

    type Answer = oneshot::Receiver<Result<(), QueueError>>;

    fn committed(number: u64) -> (Committed, Answer) {
        let (reply, answer) = oneshot::channel();
        let commands = vec![Call::with_caller(CheckStorage, reply)];
        (Committed { number, wrote: true, commands, served: Vec::new() }, answer)
    }

    #[test]
    fn a_commit_whose_sync_fails_is_refused_with_all_later_ones() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("hoth.db");
        let lock = FileLock::take(&path).expect("a new file");
        let sql = schema::open_writer(&path).expect("a new file");
        let files = QueueFiles::note(&path, &lock).expect("the files are there");
        let file_watch = FileWatch::new(files, None, Arc::new(AtomicU64::new(0)));
        // A device that cannot be synced.
        let log = LogSync::open(Path::new("/dev/null")).expect("a device");
        let (_counter, synced, _wait) = commits::numbered();
        let sync = SyncThread::start(log, file_watch, synced, Weak::new(), None).expect("a thread");
        let answers = [1, 2, 3].map(|number| {
            let (committed, answer) = committed(number);
            sync.post(committed);
            answer
        });
        let (ended, _returned) = sync.finish();
        let Some(Ended { reason: EndReason::NotSynced(_), file_watch }) = ended else {
            panic!("the sync did not fail");
        };
        for answer in answers {
            let answer = answer.blocking_recv();
            assert!(!matches!(answer, Ok(Ok(()))), "{answer:?}");
        }
        drop(sql);
        drop(file_watch);
    }
}
