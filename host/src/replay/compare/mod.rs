//! The comparison of the steps of two versions.

mod request;
mod values;

#[cfg(test)]
mod tests;

pub use request::same_resource;

use serde_json::value::RawValue;

use self::request::line;
use self::request::requests;
use self::values::raw;
use self::values::unequal;
use super::Difference;
use hoth_core::domain::Outcome;
use hoth_core::domain::Progress;
use hoth_core::domain::SendStep;
use hoth_core::domain::Step;
use hoth_core::domain::WaitStep;
use hoth_runtime::CallError;

/// The result of a call of an adapter.
pub type StepResult = Result<Step, CallError>;

/// Reported differences of one pair of steps. A completely different body has
/// hundreds.
const DIFFERENCES_MAX: usize = 24;

/// Compares the candidate's step (`after`) with the active version's. States
/// are opaque and not compared.
pub fn compare(before: &StepResult, after: &StepResult) -> Vec<Difference> {
    let mut differences = Vec::new();
    match (before, after) {
        (Ok(Step::Send(before)), Ok(Step::Send(after))) => {
            requests(&before.request, &after.request, &mut differences);
            let pause = |send: &SendStep| send.after_ms.unwrap_or_default().to_string();
            unequal("pause in ms", &pause(before), &pause(after), &mut differences);
        }
        (Ok(Step::Wait(before)), Ok(Step::Wait(after))) => waits(before, after, &mut differences),
        (Ok(Step::Done(before)), Ok(Step::Done(after))) => {
            outcomes(before, after, &mut differences);
        }
        (Ok(Step::Fail(before)), Ok(Step::Fail(after))) => {
            unequal("class", before.class.as_str(), after.class.as_str(), &mut differences);
            unequal("message", &before.message, &after.message, &mut differences);
            outcomes(&before.outcome, &after.outcome, &mut differences);
        }
        (
            Ok(Step::Send(_) | Step::Wait(_) | Step::Done(_) | Step::Fail(_)) | Err(_),
            Ok(Step::Send(_) | Step::Wait(_) | Step::Done(_) | Step::Fail(_)) | Err(_),
        ) => unequal("step", &describe(before), &describe(after), &mut differences),
    }
    if differences.len() > DIFFERENCES_MAX {
        let more = differences.len() - DIFFERENCES_MAX;
        differences.truncate(DIFFERENCES_MAX);
        differences.push(Difference::new(
            "more differences:",
            None::<String>,
            Some(more.to_string()),
        ));
    }
    differences
}

/// Describes a step in one line.
fn describe(step: &StepResult) -> String {
    match step {
        Ok(Step::Send(send)) => line(&send.request),
        Ok(Step::Wait(wait)) => match wait.after_ms {
            Some(after_ms) => format!("{} after {after_ms} ms", wait.purpose.as_str()),
            None => wait.purpose.as_str().to_owned(),
        },
        Ok(Step::Done(outcome)) => format!("done {}", outcome.code),
        Ok(Step::Fail(failure)) => {
            format!("{} {}: {}", failure.class.as_str(), failure.outcome.code, failure.message)
        }
        Err(error) => error.to_string(),
    }
}

fn waits(before: &WaitStep, after: &WaitStep, differences: &mut Vec<Difference>) {
    let delay = |wait: &WaitStep| match wait.after_ms {
        Some(after_ms) => format!("{after_ms} ms"),
        None => "as the schedule says".to_owned(),
    };
    unequal("wait", &delay(before), &delay(after), differences);
    unequal("purpose", before.purpose.as_str(), after.purpose.as_str(), differences);
    let (before, after) = (&before.progress, &after.progress);
    if before.reference != after.reference {
        let (before, after) = (before.reference.clone(), after.reference.clone());
        differences.push(Difference::new("reference", before, after));
    }
    unequal("note", &before.note, &after.note, differences);
    let none = RawValue::from_string("{}".to_owned()).expect("the text is JSON");
    let details = |progress: &Progress| progress.details.clone().unwrap_or_else(|| none.clone());
    raw("details", &details(before), &details(after), differences);
}

fn outcomes(before: &Outcome, after: &Outcome, differences: &mut Vec<Difference>) {
    unequal("code", &before.code.to_string(), &after.code.to_string(), differences);
    raw("outcome.request", &before.request, &after.request, differences);
    raw("outcome.response", &before.response, &after.response, differences);
}
