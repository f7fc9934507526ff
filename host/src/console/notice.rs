//! The sentence that the page after an act shows.
//!
//! The act redirects to a page, and the result is in the query: a word of a
//! closed list and a number, so that no link can put words into a page.

use serde::Deserialize;

/// The query parameters of a page after an act.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Notice {
    done: String,
    n: u64,
}

impl Notice {
    /// Returns the sentence of the notice, if there is one.
    pub fn sentence(&self) -> Option<String> {
        let n = self.n;
        let letters = if n == 1 { "dead letter" } else { "dead letters" };
        Some(match self.done.as_str() {
            "paused" => "The CSP is paused: its jobs wait, and jobs in hand go on.".to_owned(),
            "reset" if n == 0 => "No breaker was open.".to_owned(),
            "reset" => {
                "The breaker is closed: jobs run, and it opens again if calls fail.".to_owned()
            }
            "resumed" => "The CSP is resumed.".to_owned(),
            "drained" => "The host takes no more jobs; jobs in hand go on.".to_owned(),
            "host-resumed" => "The host takes jobs again.".to_owned(),
            "redriven" => format!("{n} {letters} went back to the queue."),
            "purged" => format!("{n} {letters} deleted."),
            "replayed" => "The journals were replayed; nothing else has changed.".to_owned(),
            "deployed" => "The version is active.".to_owned(),
            "rolled-back" => "The earlier version is active again.".to_owned(),
            "looked-now" => "The job is due now: the next free worker asks the CSP.".to_owned(),
            "cancelled" => {
                "The job is cancelled. ServiceNow collects a failure message.".to_owned()
            }
            "settled" => {
                "The job is settled. ServiceNow collects the outcome that you gave.".to_owned()
            }
            _ => return None,
        })
    }
}

/// Returns the query of a notice.
pub fn query(done: &str, n: u64) -> String {
    format!("?done={done}&n={n}")
}
