//! A journal as the input of `hoth adapter run`: the job, the settings, and the
//! answers of the CSP.

use serde_json::Value;

use super::Journal;
use hoth_core::domain::Event;
use hoth_core::domain::Job;
use hoth_core::domain::JobKind;
use hoth_core::domain::Operation;
use hoth_core::domain::Timestamp;

/// The input of a run that repeats a recorded job.
#[derive(Debug)]
pub struct RunInput {
    pub job: Job,
    /// The settings of the CSP, a JSON object.
    pub settings: String,
    /// The events after each request and wait, in order.
    pub events: Vec<Event>,
    /// The time and the entropy of each call.
    pub moments: Vec<Moment>,
}

/// The values of one call that are different in every run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    pub now: Timestamp,
    pub entropy: (u64, u64),
}

/// A journal cannot be run as a job.
#[derive(Debug, thiserror::Error)]
pub enum NotRunnable {
    #[error("its operation `{0}` is not one of this release")]
    Operation(String),
    #[error("its job has no valid id")]
    Id,
    #[error("its input is not a request")]
    Input,
}

impl RunInput {
    /// Returns the input of a run that repeats the job of `journal`. Its request
    /// is the adapter's input, so the message for ServiceNow lacks what adapters
    /// are not told, such as the name of the operation.
    ///
    /// # Errors
    ///
    /// Returns [`NotRunnable`] for a job that no host of this release could have
    /// accepted, such as one of a file that was edited.
    pub fn of(journal: &Journal) -> Result<Self, NotRunnable> {
        let facts = &journal.job;
        let known = Operation::ALL.into_iter().find(|known| known.wit_name() == facts.operation);
        let operation = known.ok_or_else(|| NotRunnable::Operation(facts.operation.clone()))?;
        let input: Value =
            serde_json::from_str(facts.input.get()).map_err(|_| NotRunnable::Input)?;
        // An input with another form could not be made into a call.
        let has_form = match operation.kind() {
            JobKind::Provisioning => {
                input.is_object() && input.get("payload").is_none_or(Value::is_object)
            }
            JobKind::Cost => input.is_object(),
        };
        if !has_form {
            return Err(NotRunnable::Input);
        }
        let portfolio = input["portfolioId"].as_str().and_then(|id| id.parse().ok());
        let job = Job {
            id: facts.id.parse().map_err(|_| NotRunnable::Id)?,
            kind: operation.kind(),
            operation,
            csp: journal.csp.clone(),
            portfolio_id: portfolio,
            content: None,
            request: facts.input.clone(),
        };
        let moments = journal.calls.iter();
        Ok(Self {
            job,
            settings: facts.settings.get().to_owned(),
            events: journal.calls.iter().filter_map(|call| call.input.to_event()).collect(),
            moments: moments.map(|call| Moment { now: call.now, entropy: call.entropy }).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIXTURE: &str = include_str!("fixtures/journal-v2.json");

    #[test]
    fn a_run_gets_the_input_that_the_adapter_had() {
        let journal = Journal::decode(FIXTURE).expect("the fixture is a journal");
        let input = RunInput::of(&journal).expect("it can be run");
        assert_eq!(input.job.input(), journal.job.input.get());
        assert_eq!(input.settings, r#"{"api_version":"1.3.1"}"#);
        assert_eq!(input.job.portfolio_id.as_ref().map(|id| id.as_str()), Some("p-1"));
        assert_eq!((input.events.len(), input.moments.len()), (3, 4));
        assert_eq!(input.moments[1].entropy, (2, 3));
        assert!(matches!(input.events[1], Event::Timer));
    }

    #[test]
    fn a_journal_that_was_edited_is_named() {
        for (from, to, expected) in [
            ("add-environment", "add-moon", "its operation `add-moon`"),
            (r#""id":"job-1""#, r#""id":"""#, "its job has no valid id"),
            (r#""payload":{"administrators""#, r#""payload":[],"x":{"a""#, "its input"),
        ] {
            let text = FIXTURE.replacen(from, to, 1);
            assert_ne!(text, FIXTURE, "{from}");
            let journal = Journal::decode(&text).expect(to);
            let error = RunInput::of(&journal).expect_err(to).to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
