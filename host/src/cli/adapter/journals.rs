//! `hoth adapter test`: replays journals on a component, and compares its steps.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::json;

use super::TestArgs;
use super::inputs;
use super::load;
use crate::cli::FAILURE;
use crate::cli::exit_code;
use crate::cli::in_runtime;
use crate::cli::refuse;
use crate::cli::say;
use crate::replay::CallDifferences;
use crate::replay::Journal;
use crate::replay::JournalTest;
use crate::replay::test_journal;
use hoth_core::domain::printable;

/// Runs the command.
pub fn test(arguments: &TestArgs) -> ExitCode {
    // All of them before the first is replayed, so that a wrong name costs no
    // time.
    let journals: anyhow::Result<Vec<Journal>> =
        arguments.journals.iter().map(|file| inputs::journal(file)).collect();
    let journals = match journals {
        Ok(journals) => journals,
        Err(error) => return refuse(&error),
    };
    match in_runtime(test_all(arguments, &journals)) {
        Ok(true) => ExitCode::SUCCESS,
        // The differences have been printed.
        Ok(false) => ExitCode::from(FAILURE),
        Err(error) => exit_code(Err(error)),
    }
}

/// Tests all journals. Returns `true` if the component passed.
async fn test_all(arguments: &TestArgs, journals: &[Journal]) -> anyhow::Result<bool> {
    let component = load(&arguments.file).await?;
    let reference = match &arguments.against {
        Some(file) => Some(load(file).await.context("--against")?),
        None => None,
    };
    let mut passed = 0;
    for (file, journal) in arguments.journals.iter().zip(journals) {
        let result = test_journal(journal, &component, reference.as_ref()).await;
        passed += usize::from(matches!(result, JournalTest::Same));
        print(arguments.json, file, journal, &result);
    }
    let (all, failed) = (journals.len(), journals.len() - passed);
    if !arguments.json {
        say(&format!("{all} {}: {passed} passed, {failed} failed", word(all)));
    }
    Ok(failed == 0)
}

fn word(count: usize) -> &'static str {
    if count == 1 { "journal" } else { "journals" }
}

fn print(as_json: bool, file: &Path, journal: &Journal, result: &JournalTest) {
    let none: &[CallDifferences] = &[];
    let (word, calls, note) = match result {
        JournalTest::Same => ("same", none, None),
        JournalTest::Different { calls, note } => ("different", &calls[..], note.as_deref()),
        JournalTest::NotComparable(how) => ("not-comparable", none, Some(how.as_str())),
        JournalTest::TooLong => ("too-long", none, Some("it took longer than a minute")),
    };
    let (job, operation, ending) = (&journal.job.id, &journal.job.operation, journal.ending());
    if as_json {
        let line = json!({
            "journal": file.display().to_string(), "result": word, "job": job,
            "operation": operation, "ending": ending, "calls": calls, "note": note
        });
        return say(&line.to_string());
    }
    let what = format!("{word:<14}  {operation} {ending}, job {job}  {}", file.display());
    say(&printable(&what));
    for call in calls {
        say(&printable(&format!("  {}", call.at)));
        for difference in &call.differences {
            difference.to_string().lines().for_each(|line| say(&printable(&format!("  {line}"))));
        }
    }
    if let Some(note) = note {
        say(&printable(&format!("  ({note})")));
    }
}
