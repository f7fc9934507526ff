//! The progress of each job: a live table on a terminal, else plain lines.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use hoth_testkit::LogFollower;
use serde_json::Value;

use crate::jobs::DemoJob;

/// The longest time by which a log line trails behind the outcome that it
/// announces.
const TRAILING: Duration = Duration::from_millis(300);

#[derive(Clone)]
pub struct Board {
    rows: Arc<Mutex<Vec<Row>>>,
    live: bool,
}

struct Row {
    id: String,
    csp: &'static str,
    what: &'static str,
    doing: String,
}

impl Board {
    /// Returns a table with a row for each job, and prints it.
    pub fn new(jobs: &[DemoJob]) -> Self {
        let row = |job: &DemoJob| Row {
            id: job.id.clone(),
            csp: job.csp,
            what: job.what,
            doing: "submitted".to_owned(),
        };
        let board = Self {
            rows: Arc::new(Mutex::new(jobs.iter().map(row).collect())),
            live: std::io::stdout().is_terminal(),
        };
        println!();
        if board.live {
            print!("{}", board.table());
        }
        board
    }

    /// Reads a host's log and shows its lines about jobs, each after `prefix`.
    pub async fn follow(self, prefix: &'static str, mut log: LogFollower) {
        while let Some(line) = log.next().await {
            if let Some((id, doing)) = news(&line) {
                self.set(&id, format!("{prefix}{doing}"));
            }
        }
    }

    /// Waits for the last lines.
    pub async fn finish(&self) {
        tokio::time::sleep(TRAILING).await;
    }

    fn set(&self, id: &str, doing: String) {
        let mut rows = self.rows.lock().expect("no thread panics while it holds the rows");
        let Some(row) = rows.iter_mut().find(|row| row.id == id) else { return };
        row.doing = doing;
        if !self.live {
            println!("  {:<22} {}", row.id, row.doing);
            return;
        }
        let up = rows.len();
        drop(rows);
        print!("\x1b[{up}A{}", self.table());
        // A closed terminal ends the demo anyway.
        let _ = std::io::stdout().flush();
    }

    /// Formats the table with one line per row. Long lines are cut off and not
    /// wrapped, because the cursor must move up by the number of rows.
    fn table(&self) -> String {
        let rows = self.rows.lock().expect("no thread panics while it holds the rows");
        let mut table = rows.iter().fold(String::from("\x1b[?7l"), |mut table, row| {
            let Row { id, csp, what, doing } = row;
            let line = writeln!(table, "\x1b[2K  {id:<22} {csp:<10} {what:<16} {doing}");
            line.expect("writing to a string succeeds");
            table
        });
        table.push_str("\x1b[?7h");
        table
    }
}

/// Returns the id of the job that a log line is about, and its message.
fn news(line: &Value) -> Option<(String, String)> {
    let id = line["job.id"].as_str()?;
    Some((id.to_owned(), line["message"].as_str()?.to_owned()))
}
