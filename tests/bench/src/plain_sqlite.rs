//! Plain SQLite: one table of texts, written as durably as the queue is.

use std::path::Path;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio::sync::oneshot;

/// Texts of one commit.
const BATCH: usize = 64;

/// A text to insert, and the caller who waits for its commit.
type Insert = (String, oneshot::Sender<()>);

/// A table with a thread that inserts into it, [`BATCH`] texts a commit at most.
/// All that wait when a commit ends are inserted by the next one.
#[derive(Clone)]
pub struct Store {
    waiting: mpsc::Sender<Insert>,
}

impl Store {
    /// Opens a table in `folder`.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let mut sql = open(folder)?;
        let (waiting, mut arriving) = mpsc::channel::<Insert>(BATCH);
        thread::spawn(move || {
            while let Some(first) = arriving.blocking_recv() {
                let mut batch = vec![first];
                while batch.len() < BATCH
                    && let Ok(next) = arriving.try_recv()
                {
                    batch.push(next);
                }
                let texts = batch.iter().map(|(text, _)| text.as_str());
                insert(&mut sql, texts).expect("the table can be written");
                for (_, committed) in batch {
                    // A caller that has gone needs no answer.
                    let _ = committed.send(());
                }
            }
        });
        Ok(Self { waiting })
    }

    /// Inserts a text, and returns when it is on the disk.
    pub async fn insert(&self, text: String) -> anyhow::Result<()> {
        let (committed, commit) = oneshot::channel();
        self.waiting.send((text, committed)).await.context("the writer has ended")?;
        commit.await.context("the writer has ended")
    }
}

/// Returns the rows per second that SQLite inserts with `text`.
pub fn inserts_per_second(text: &str, time: Duration) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir().context("making a temporary folder")?;
    let mut sql = open(folder.path())?;
    let (mut rows, started_at) = (0_u32, Instant::now());
    while started_at.elapsed() < time {
        insert(&mut sql, [text; BATCH])?;
        rows += u32::try_from(BATCH).expect("a batch is small");
    }
    Ok(f64::from(rows) / started_at.elapsed().as_secs_f64())
}

fn insert<'a>(
    sql: &mut rusqlite::Connection,
    texts: impl IntoIterator<Item = &'a str>,
) -> rusqlite::Result<()> {
    let transaction = sql.transaction()?;
    let mut insert = transaction.prepare_cached("INSERT INTO plain (body) VALUES (?1)")?;
    for text in texts {
        insert.execute([text])?;
    }
    drop(insert);
    transaction.commit()
}

fn open(folder: &Path) -> anyhow::Result<rusqlite::Connection> {
    let sql = rusqlite::Connection::open(folder.join("plain.db")).context("opening a file")?;
    sql.pragma_update(None, "journal_mode", "WAL")?;
    sql.pragma_update(None, "synchronous", "FULL")?;
    sql.execute("CREATE TABLE plain (id INTEGER PRIMARY KEY, body TEXT NOT NULL)", [])?;
    Ok(sql)
}
