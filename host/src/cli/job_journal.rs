//! `hoth jobs journal`: shows the journal of a job, or saves it as an input of
//! `hoth adapter run` and `hoth adapter test`.

use std::fs::DirBuilder;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use reqwest::Method;

use super::host::Host;
use super::say;
use super::table::Table;
use crate::replay::Journal;
use hoth_core::domain::printable;

/// The longest name of a saved journal.
const NAME_CHARS_MAX: usize = 100;

/// Runs the command; `path` is that of the job.
pub async fn run(id: &str, path: &str, save: Option<&Path>, host: &Host) -> anyhow::Result<()> {
    let text = host.send(Method::GET, &format!("{path}/journal"), Vec::new()).await?;
    let text = String::from_utf8(text).context("reading the response")?;
    let journal = Journal::decode(&text).context("reading the response")?;
    if let Some(directory) = save {
        let file = write(directory, id, &text)?;
        let file = file.display();
        say(&format!("saved {file}"));
        if !host.json {
            say(&format!("  hoth adapter run FILE.wasm --journal {file}"));
            say(&format!("  hoth adapter test FILE.wasm {file}"));
        }
        return Ok(());
    }
    match host.json {
        // As it was written, so that no number is rounded.
        true => say(&text),
        false => show(&journal),
    }
    Ok(())
}

/// Writes the file, readable by its owner only, and returns its path.
fn write(directory: &Path, id: &str, text: &str) -> anyhow::Result<PathBuf> {
    let file = directory.join(file_name(id));
    let writing = || format!("writing {}", file.display());
    DirBuilder::new().recursive(true).mode(0o700).create(directory).with_context(writing)?;
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    let mut opened = options.open(&file).with_context(writing)?;
    opened.write_all(text.as_bytes()).with_context(writing)?;
    Ok(file)
}

/// Returns a name that no id can use to leave the directory.
fn file_name(id: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let name: String = id.chars().take(NAME_CHARS_MAX).map(plain).collect();
    format!("{name}.json")
}

fn show(journal: &Journal) {
    say(&printable(&format!("{}: {}", journal.job.id, journal.ending())));
    for (name, value) in [
        ("CSP", journal.csp.to_string()),
        ("operation", journal.job.operation.clone()),
        ("adapter", format!("{} {}", journal.adapter, journal.version.short())),
        ("finished", journal.finished_at.to_rfc3339()),
    ] {
        say(&printable(&format!("  {name}: {value}")));
    }
    say("");
    let mut table = Table::new(["CALL", "AT", "INPUT", "STEP"]);
    for (at, call) in journal.calls.iter().enumerate() {
        table.row([
            (at + 1).to_string(),
            call.now.to_rfc3339(),
            call.input.label(),
            call.step.to_string(),
        ]);
    }
    table.lines().iter().for_each(|line| say(line));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_stays_in_its_directory() {
        for (id, expected) in [
            ("0198c1f0-7c1e", "0198c1f0-7c1e.json"),
            ("../../etc/passwd", "______etc_passwd.json"),
            ("a b", "a_b.json"),
        ] {
            assert_eq!(file_name(id), expected);
        }
        assert!(file_name(&"x".repeat(500)).len() < 200);
    }
}
