//! The lifting of guest values to host types, with checks of their sizes and
//! shapes.
//!
//! Nothing that a guest returns is trusted before it has passed through this
//! module. `hoth-egress` decides whether a request may be sent.

mod json;
mod request;
#[cfg(test)]
mod tests;

use std::fmt::Display;

use self::json::is_empty_object;
use self::json::json_object;
use self::request::http_request;
use super::contract::Info;
use super::text::cut;
use super::text::cut_owned;
use super::wit;
use super::wit::types;
use hoth_core::domain::AdapterState;
use hoth_core::domain::Failure;
use hoth_core::domain::FailureClass;
use hoth_core::domain::HttpRequest;
use hoth_core::domain::Manifest;
use hoth_core::domain::Outcome;
use hoth_core::domain::Progress;
use hoth_core::domain::SendStep;
use hoth_core::domain::Step;
use hoth_core::domain::WaitPurpose;
use hoth_core::domain::WaitStep;

/// The largest state, in bytes, by the WIT. Every message of a waiting job
/// carries it.
const STATE_BYTES_MAX: usize = 256 << 10;

/// The longest details of a progress, in bytes, by the WIT. Every message of a
/// waiting job carries them.
const DETAILS_BYTES_MAX: usize = 16 << 10;

/// The longest name of an adapter, an operation, an endpoint, a credential or a
/// failure class, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// The most operations in a description. HOTH has eight.
const NAMES_MAX: usize = 64;

/// The longest message or note for people, in bytes; longer ones are cut.
const MESSAGE_BYTES_MAX: usize = 1_024;

/// The longest reference of the CSP to its work, often a URL, in bytes; longer
/// ones are cut.
const REFERENCE_BYTES_MAX: usize = 2_048;

/// A violation of the contract, as a clause.
pub type Violation = String;

/// Checks a step of `begin` or `resume`. `states` are the versions that
/// `describe` declares.
pub fn step(step: types::Step, states: (u32, u32)) -> Result<Step, Violation> {
    Ok(match step {
        types::Step::Send(types::SendStep { request, state, after_ms, extra }) => {
            extras("the step", &extra)?;
            Step::Send(SendStep {
                request: http_request(request)?,
                state: self::state(state, states)?,
                after_ms,
            })
        }
        types::Step::Wait(step) => Step::Wait(wait(step, states)?),
        types::Step::Done(outcome) => Step::Done(self::outcome(outcome)?),
        types::Step::Fail(types::Failure { class, message, outcome, extra }) => {
            extras("the failure", &extra)?;
            Step::Fail(Failure {
                class: failure_class(&class)?,
                message: cut_owned(message, MESSAGE_BYTES_MAX),
                outcome: self::outcome(outcome)?,
            })
        }
        // The host announces no extension, so the adapter knows that there is
        // none.
        types::Step::Other(types::ExtensionResult { name, .. }) => {
            return Err(format!(
                "it returned a step {:?}, which this host does not know",
                cut(&name, NAME_BYTES_MAX)
            ));
        }
    })
}

fn wait(step: types::WaitStep, states: (u32, u32)) -> Result<WaitStep, Violation> {
    let types::WaitStep { after_ms, purpose, state, progress, extra } = step;
    extras("the step", &extra)?;
    let types::Progress { reference, note, details } = progress;
    at_most("the details of the progress have", details.len(), DETAILS_BYTES_MAX)?;
    let details = json_object("the progress", "details", details)?;
    Ok(WaitStep {
        after_ms,
        purpose: word("purpose of a wait", &purpose, WaitPurpose::from_wit)?,
        state: self::state(state, states)?,
        progress: Progress {
            reference: reference.map(|text| cut_owned(text, REFERENCE_BYTES_MAX)),
            note: cut_owned(note, MESSAGE_BYTES_MAX),
            details: Some(details).filter(|details| !is_empty_object(details)),
        },
    })
}

/// Reads a word of an open set whose unknown members have no safe meaning.
fn word<T>(what: &str, text: &str, read: impl Fn(&str) -> Option<T>) -> Result<T, Violation> {
    read(text).ok_or_else(|| format!("this host knows no {what} {:?}", cut(text, NAME_BYTES_MAX)))
}

/// Checks pairs that the host does not read.
fn extras(what: &str, extra: &[types::PairResult]) -> Result<(), Violation> {
    bounded(format_args!("extra pairs of {what}"), extra)
}

/// Checks the result of `describe`.
pub(super) fn info(info: wit::Info) -> Result<Info, Violation> {
    let wit::Info { name, version, operations, states, manifest } = info;
    short("its name", &name)?;
    short("its version", &version)?;
    names("operation", &operations)?;
    if operations.is_empty() {
        return Err("it has no operation".to_owned());
    }
    if states.0 > states.1 {
        return Err(format!("it resumes the states {} to {}, an empty range", states.0, states.1));
    }
    let manifest =
        Manifest::parse(&manifest).map_err(|bad| format!("its manifest cannot be used: {bad}"))?;
    Ok(Info { name, version, operations, states, manifest })
}

fn state(state: types::StateResult, states: (u32, u32)) -> Result<AdapterState, Violation> {
    let types::StateResult { version, bytes } = state;
    at_most("the state has", bytes.len(), STATE_BYTES_MAX)?;
    let (oldest, newest) = states;
    if !(oldest..=newest).contains(&version) {
        return Err(format!(
            "the state has version {version}, and the adapter resumes {oldest} to {newest}"
        ));
    }
    Ok(AdapterState { version, bytes })
}

fn outcome(outcome: types::Outcome) -> Result<Outcome, Violation> {
    let types::Outcome { code, request, response, extra } = outcome;
    extras("the outcome", &extra)?;
    checked_outcome(code, request, response)
}

/// Makes an outcome of the texts of two JSON objects.
///
/// # Errors
///
/// A sentence that says which rule of the WIT the outcome breaks.
pub fn checked_outcome(code: u16, request: String, response: String) -> Result<Outcome, String> {
    if !(200..=599).contains(&code) {
        return Err(format!("the outcome's code is {code}, not 200 to 599"));
    }
    Ok(Outcome {
        code,
        request: json_object("the outcome", "request", request)?,
        response: json_object("the outcome", "response", response)?,
    })
}

fn failure_class(word: &str) -> Result<FailureClass, Violation> {
    short("the class of the failure", word)?;
    Ok(FailureClass::from_wit(word))
}

/// Checks the number and the size of pairs.
fn bounded(what: impl Display, pairs: &[types::PairResult]) -> Result<(), Violation> {
    if pairs.len() > HttpRequest::PAIRS_MAX {
        return Err(format!("{} {what}, more than {}", pairs.len(), HttpRequest::PAIRS_MAX));
    }
    let bytes = pairs.iter().map(|pair| pair.name.len() + pair.value.len()).sum();
    at_most(format_args!("the {what} have"), bytes, HttpRequest::PAIRS_BYTES_MAX)
}

fn names(what: &str, names: &[String]) -> Result<(), Violation> {
    if names.len() > NAMES_MAX {
        return Err(format!("it has {} {what}s, more than {NAMES_MAX}", names.len()));
    }
    names.iter().try_for_each(|name| short(format_args!("the {what} name"), name))
}

fn short(what: impl Display, name: &str) -> Result<(), Violation> {
    if name.is_empty() {
        return Err(format!("{what} is empty"));
    }
    at_most(format_args!("{what} has"), name.len(), NAME_BYTES_MAX)
}

/// Checks a size. `what` is written only for a message: every step passes here.
fn at_most(what: impl Display, bytes: usize, limit: usize) -> Result<(), Violation> {
    if bytes > limit {
        return Err(format!("{what} {bytes} bytes, more than {limit}"));
    }
    Ok(())
}
