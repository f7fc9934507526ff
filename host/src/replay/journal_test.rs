//! A journal as a test of one component: `hoth adapter test`.

use std::time::Duration;
use std::time::Instant;

use super::CallDifferences;
use super::Difference;
use super::Journal;
use super::StepKind;
use super::journal_comparison::Comparison;
use super::journal_comparison::Versions;
use super::journal_comparison::call_label;
use super::replay_calls::CallRange;
use super::replay_calls::replay_calls;
use hoth_runtime::Adapter;

/// The longest test of one journal. It has at most 256 calls, each with its own
/// deadline, and an adapter that uses up all of them is no use.
const TEST_MAX: Duration = Duration::from_mins(1);

/// The result of one test.
#[derive(Debug)]
pub enum JournalTest {
    /// The component takes the steps of the journal, or of the reference.
    Same,
    /// It takes other steps. The note says why the test ended early.
    Different { calls: Vec<CallDifferences>, note: Option<String> },
    /// The reference does not take the steps of the recorded job.
    NotComparable(String),
    /// The test took longer than a minute.
    TooLong,
}

/// Replays a journal on a component. Compares its steps with those of
/// `reference`, as the replay gate does, or else with the recorded kinds of
/// steps: method and target of a request, purpose of a wait, code of an end.
pub async fn test_journal(
    journal: &Journal,
    component: &Adapter,
    reference: Option<&Adapter>,
) -> JournalTest {
    let deadline = Instant::now() + TEST_MAX;
    let Some(active) = reference else { return against_record(journal, component, deadline).await };
    let versions = Versions { active, candidate: component };
    match versions.compare_on(journal, deadline).await.map(|compared| compared.comparison) {
        None => JournalTest::TooLong,
        Some(Comparison::Same) => JournalTest::Same,
        Some(Comparison::Different { kind: _, calls, note }) => {
            JournalTest::Different { calls, note }
        }
        Some(Comparison::Diverged(how)) => JournalTest::NotComparable(how),
    }
}

/// Compares the steps of a component with those of the recorded job, up to the
/// first difference: the inputs after it answer other requests.
async fn against_record(journal: &Journal, component: &Adapter, deadline: Instant) -> JournalTest {
    let whole = CallRange::whole(journal);
    let Some(replayed) = replay_calls(component, journal, whole, deadline, |_, _| true).await
    else {
        return JournalTest::TooLong;
    };
    for (at, call) in journal.calls.iter().enumerate() {
        let (place, taken) = match replayed.steps.get(at) {
            Some(Ok(step)) => ("step", StepKind::of(step).to_string()),
            Some(Err(_)) if call.step == StepKind::Broken => continue,
            Some(Err(error)) => ("step", error.to_string()),
            None => ("input", "does not follow the step before".to_owned()),
        };
        let recorded = call.step.to_string();
        if place == "input" || taken != recorded {
            let differences = vec![Difference::new(place, Some(recorded), Some(taken))];
            let calls = vec![CallDifferences { at: call_label(journal, at), differences }];
            return JournalTest::Different { calls, note: None };
        }
    }
    JournalTest::Same
}
