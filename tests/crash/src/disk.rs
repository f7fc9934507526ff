//! The contents of the queue file, seen by another reader than the host.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::ensure;
use rusqlite::Connection;
use rusqlite::OpenFlags;

/// The longest wait of a reader for the host, which is at work on the file.
const PATIENCE: Duration = Duration::from_secs(10);

fn open(queue: &Path) -> anyhow::Result<Connection> {
    let sql = Connection::open_with_flags(queue, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .with_context(|| format!("opening {}", queue.display()))?;
    sql.busy_timeout(PATIENCE)?;
    Ok(sql)
}

/// Returns the number of messages of each job on all queues of the file
/// together, at one moment. A host may be at work on the file.
///
/// # Errors
///
/// Returns an error if the file is damaged, or if there are dead letters: no
/// job of these trials may become one.
pub fn messages(queue: &Path) -> anyhow::Result<HashMap<String, u64>> {
    let sql = open(queue)?;
    let mut statement =
        sql.prepare("SELECT key, COUNT(*) FROM messages WHERE consumed_at IS NULL GROUP BY key")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))?;
    let counted = rows.map(|row| row.map(|(key, count)| (key, count.unsigned_abs())));
    let counted = counted.collect::<Result<_, _>>().context("reading the messages")?;
    let dead: i64 = sql.query_row("SELECT COUNT(*) FROM dead_letters", [], |row| row.get(0))?;
    ensure!(dead == 0, "{dead} dead letters in {}", queue.display());
    Ok(counted)
}

/// Has SQLite check every page and index.
///
/// # Errors
///
/// Returns an error that names the damage.
pub fn check(queue: &Path) -> anyhow::Result<()> {
    let sql = open(queue)?;
    let report: String = sql.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    ensure!(report == "ok", "{} is damaged: {report}", queue.display());
    Ok(())
}

/// Returns the number of provisioning outcomes that wait for ServiceNow.
pub fn outcomes(queue: &Path) -> anyhow::Result<usize> {
    let sql = open(queue)?;
    let counting = "SELECT COUNT(*) FROM messages JOIN queues ON queues.id = messages.queue
                    WHERE queues.name = 'provisioning-jobs' AND consumed_at IS NULL";
    let count: i64 = sql.query_row(counting, [], |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(0))
}
