//! The queue's files on which acts are performed, and the steps of each act.

use std::fmt;
use std::fs;
use std::fs::File;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::ensure;
use rusqlite::Connection;
use rustix::process::Pid;
use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::Signal;
use rustix::process::getrlimit;
use rustix::process::kill_process;
use rustix::process::prlimit;
use tokio::process::Command;

use super::act::Act;
use super::act::By;
use super::act::Expected;
use crate::clients::Shared;
use crate::disk;
use crate::host::Deployment;
use crate::host::Host;

/// The longest wait of another program for the lock of the file.
const LOCK_WAIT: Duration = Duration::from_secs(30);

/// The times for which acts last. The lock is held for longer than a host
/// waits for it.
const READ_FOR: Duration = Duration::from_secs(3);
const LOCK_FOR: Duration = Duration::from_secs(7);
const SUSPEND_FOR: Duration = Duration::from_secs(3);
const LIMIT_FOR: Duration = Duration::from_secs(2);

/// The limits of a process: less than its files have, and less than it has
/// open.
const FILE_SIZE_MAX: u64 = 64 * 1024;
const OPEN_FILES_MAX: u64 = 8;

/// The longest wait until a host accepts jobs again.
const PATIENCE: Duration = Duration::from_secs(60);

/// The places of a queue under test.
pub struct Scene {
    /// The directory of the queue, with nothing else in it.
    folder: PathBuf,
    pub queue: PathBuf,
    /// A directory beside it, for copies and for a second host.
    pub other: PathBuf,
}

/// The observed behaviour of a host.
#[derive(Debug, Default)]
pub struct Seen {
    /// The time after which the host had ended by itself.
    ended_after: Option<Duration>,
    /// The number of acknowledged jobs when the act began.
    pub acknowledged: u64,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ended_after {
            None => write!(f, "went on"),
            Some(after) => write!(f, "ended after {:.1} s", after.as_secs_f64()),
        }
    }
}

impl Scene {
    pub fn new(place: &Path) -> anyhow::Result<Self> {
        let (folder, other) = (place.join("data"), place.join("other"));
        fs::create_dir_all(&folder).context("making a folder")?;
        fs::create_dir_all(&other).context("making a folder")?;
        Ok(Self { queue: folder.join("hoth.db"), folder, other })
    }

    /// Performs an act on a host under load, waits for what the host does about
    /// it, and leaves the queue as an operator would for the next host.
    pub async fn perform(
        &self,
        act: Act,
        host: Host,
        second: Option<&Deployment>,
        clients: &Shared,
    ) -> anyhow::Result<Seen> {
        let acknowledged = clients.ledger().counts().acknowledged;
        let begun_at = Instant::now();
        self.begin(act, &host, second).await?;
        let ended_after = match act.expected() {
            Expected::GoesOn => {
                serves_again(clients).await?;
                host.kill().await?;
                None
            }
            Expected::Ends(expected) => {
                let code = host.exited().await.context("the host goes on")?;
                ensure!(code == expected, "the host ended with {code}");
                Some(begun_at.elapsed())
            }
        };
        self.put_back(act).context("putting the queue back in its place")?;
        Ok(Seen { ended_after, acknowledged })
    }

    async fn begin(
        &self,
        act: Act,
        host: &Host,
        second: Option<&Deployment>,
    ) -> anyhow::Result<()> {
        let queue = &self.queue;
        let process = host.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let process = process.context("the host has ended")?;
        match act {
            Act::CopyFiles => self.copy_files()?,
            Act::Backup => {
                self.backup()?;
                disk::check(&self.backup_file())?;
            }
            Act::Read => {
                self.sql("BEGIN; SELECT COUNT(*) FROM messages", READ_FOR).await?;
            }
            Act::Lock => self.sql("BEGIN IMMEDIATE", LOCK_FOR).await?,
            Act::Vacuum => self.sql("VACUUM", Duration::ZERO).await?,
            Act::Checkpoint => {
                self.sql("PRAGMA wal_checkpoint(TRUNCATE)", Duration::ZERO).await?;
            }
            Act::DeleteArchive => {
                self.sql("DELETE FROM messages WHERE consumed_at IS NOT NULL", Duration::ZERO)
                    .await?;
            }
            Act::Suspend => {
                kill_process(process, Signal::STOP).context("stopping the host")?;
                tokio::time::sleep(SUSPEND_FOR).await;
                kill_process(process, Signal::CONT).context("continuing the host")?;
            }
            Act::LimitFileSize => limit(process, Resource::Fsize, FILE_SIZE_MAX).await?,
            Act::LimitOpenFiles => limit(process, Resource::Nofile, OPEN_FILES_MAX).await?,
            Act::StartSecond(by) => {
                let second = second.context("there is no second host")?;
                match by {
                    By::SymbolicLink => std::os::unix::fs::symlink(queue, &second.queue)?,
                    By::HardLink => fs::hard_link(queue, &second.queue)?,
                    By::SamePath => fs::remove_file(self.beside(".lock"))?,
                }
                refuses(second).await?;
            }
            Act::RestoreAfterStop => {
                kill_process(process, Signal::TERM).context("terminating the host")?;
            }
            Act::RemoveDatabase => fs::remove_file(queue)?,
            Act::MoveDatabase => fs::rename(queue, self.other.join("moved.db"))?,
            Act::ReplaceDatabase => {
                self.backup()?;
                // The host is to check the file after the next close, when
                // another one is in its place.
                drop(File::options().append(true).open(queue)?);
                fs::rename(self.backup_file(), queue)?;
            }
            Act::RemoveFolder => {
                // Not `fs::remove_dir_all`, which ends at its first error: the
                // host adds files to its journals meanwhile, and stores its
                // messages again once it has noticed. `rm` goes on, and its
                // exit code says nothing about the queue.
                let mut remove = Command::new("rm");
                remove.arg("-rf").arg(&self.folder).stderr(Stdio::null());
                remove.status().await.context("running rm")?;
            }
            Act::MoveFolder => fs::rename(&self.folder, self.other.join("moved"))?,
            Act::RemoveLog => fs::remove_file(self.beside("-wal"))?,
            Act::RemoveIndex => fs::remove_file(self.beside("-shm"))?,
            Act::CopyOverDatabase => {
                self.backup()?;
                fs::write(queue, fs::read(self.backup_file())?)?;
            }
            Act::TruncateDatabase => fs::write(queue, [])?,
            Act::TruncateLog => fs::write(self.beside("-wal"), [])?,
        }
        Ok(())
    }

    /// Puts the queue where the next host opens it: what the last sentence of
    /// the host asks for, and nothing else.
    fn put_back(&self, act: Act) -> anyhow::Result<()> {
        match act {
            Act::StartSecond(By::SymbolicLink) => {
                fs::remove_file(self.other.join("symbolic.db"))?;
            }
            Act::StartSecond(By::HardLink) => fs::remove_file(self.other.join("hard.db"))?,
            Act::RestoreAfterStop => {
                let copy = self.other.join("copy.db");
                fs::copy(&self.queue, &copy)?;
                fs::remove_dir_all(&self.folder)?;
                fs::create_dir(&self.folder)?;
                fs::rename(copy, &self.queue)?;
            }
            Act::MoveDatabase => fs::rename(self.other.join("moved.db"), &self.queue)?,
            Act::MoveFolder => {
                if self.folder.exists() {
                    fs::remove_dir_all(&self.folder)?;
                }
                fs::rename(self.other.join("moved"), &self.folder)?;
            }
            Act::ReplaceDatabase => fs::rename(self.saved()?, &self.queue)?,
            Act::CopyFiles
            | Act::Backup
            | Act::Read
            | Act::Lock
            | Act::Vacuum
            | Act::Checkpoint
            | Act::DeleteArchive
            | Act::Suspend
            | Act::LimitFileSize
            | Act::LimitOpenFiles
            | Act::StartSecond(By::SamePath)
            | Act::RemoveDatabase
            | Act::RemoveFolder
            | Act::RemoveLog
            | Act::RemoveIndex
            | Act::CopyOverDatabase
            | Act::TruncateDatabase
            | Act::TruncateLog => {}
        }
        Ok(())
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        self.folder.join(format!("hoth.db{suffix}"))
    }

    fn backup_file(&self) -> PathBuf {
        self.other.join("backup.db")
    }

    /// Copies the files one after the other, as `cp` does. The copy is thrown
    /// away, because it may be unusable.
    fn copy_files(&self) -> anyhow::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if !entry.file_type()?.is_file() {
                continue;
            }
            match fs::copy(entry.path(), self.other.join(entry.file_name())) {
                // The log's files come and go.
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    fn backup(&self) -> anyhow::Result<()> {
        let file = self.backup_file();
        if file.exists() {
            fs::remove_file(&file)?;
        }
        let sql = self.open()?;
        sql.execute("VACUUM INTO ?1", [file.to_str().context("a path is not UTF-8")?])?;
        Ok(())
    }

    fn open(&self) -> anyhow::Result<Connection> {
        let sql = Connection::open(&self.queue).context("opening the queue")?;
        sql.busy_timeout(LOCK_WAIT)?;
        Ok(sql)
    }

    /// Runs statements as another process, and ends its connection after a
    /// while.
    async fn sql(&self, statements: &'static str, hold: Duration) -> anyhow::Result<()> {
        let sql = self.open()?;
        let ran = tokio::task::spawn_blocking(move || {
            sql.execute_batch(statements).with_context(|| statements.to_owned())?;
            anyhow::Ok(sql)
        });
        let sql = ran.await??;
        tokio::time::sleep(hold).await;
        drop(sql);
        Ok(())
    }

    /// Returns the file in which a host has saved its messages.
    fn saved(&self) -> anyhow::Result<PathBuf> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("hoth.db.saved-") {
                return Ok(entry.path());
            }
        }
        anyhow::bail!("the host has saved nothing in {}", self.folder.display())
    }
}

/// Sets a soft limit of a process for a while.
async fn limit(process: Pid, resource: Resource, to: u64) -> anyhow::Result<()> {
    // A child inherits the hard limit, which only root may raise.
    let limits = Rlimit { current: Some(to), ..getrlimit(resource) };
    let before = prlimit(Some(process), resource, limits);
    let before = before.context("limiting the host")?;
    tokio::time::sleep(LIMIT_FOR).await;
    prlimit(Some(process), resource, before).context("lifting the limit")?;
    Ok(())
}

/// Checks that a second host does not start.
async fn refuses(second: &Deployment) -> anyhow::Result<()> {
    let mut second = second.spawn()?;
    let status = second.wait().await.context("the second host did not refuse")?;
    second.log().ended().await;
    let log = second.log().text();
    ensure!(status.code() == Some(1), "the second host ended with {status}: {log}");
    ensure!(log.contains("in use by another host"), "the second host gives another reason: {log}");
    Ok(())
}

/// Waits until the host accepts a job.
async fn serves_again(clients: &Shared) -> anyhow::Result<()> {
    let before = clients.ledger().counts().acknowledged;
    let started_at = Instant::now();
    while clients.ledger().counts().acknowledged == before {
        ensure!(started_at.elapsed() < PATIENCE, "the host accepts nothing any more");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
