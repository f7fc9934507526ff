//! Lists of answers, and the calls that each is for.

use std::sync::Mutex;
use std::sync::PoisonError;

use super::answer::Answer;

/// A filter for the calls that a script answers. The default matches all calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matching {
    method: Option<String>,
    target_part: Option<String>,
}

impl Matching {
    /// Matches calls whose path and query, as on the wire, contain `part`.
    pub fn path(part: &str) -> Self {
        Self { method: None, target_part: Some(part.to_owned()) }
    }

    /// Matches calls by this method.
    pub fn method(method: &str) -> Self {
        Self { method: Some(method.to_owned()), target_part: None }
    }

    /// Restricts the filter to calls by this method.
    pub fn and_method(self, method: &str) -> Self {
        Self { method: Some(method.to_owned()), ..self }
    }

    fn is_general(&self) -> bool {
        *self == Self::default()
    }

    fn matches(&self, method: &str, target: &str) -> bool {
        self.method.as_ref().is_none_or(|wanted| wanted == method)
            && self.target_part.as_ref().is_none_or(|part| target.contains(part))
    }
}

struct Script {
    matching: Matching,
    answers: Vec<Answer>,
    given: usize,
}

/// The scripts of one server; the general one, if any, is last.
#[derive(Default)]
pub struct Scripts(Mutex<Vec<Script>>);

impl Scripts {
    /// Sets the script for these calls, in place of an earlier one.
    pub fn set(&self, matching: Matching, answers: Vec<Answer>) {
        let mut scripts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        scripts.retain(|script| script.matching != matching);
        if !answers.is_empty() {
            scripts.push(Script { matching, answers, given: 0 });
            scripts.sort_by_key(|script| script.matching.is_general());
        }
    }

    /// Returns the next answer to a call, if a script has one.
    pub fn take(&self, method: &str, target: &str) -> Option<Answer> {
        let mut scripts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let script = scripts.iter_mut().find(|script| script.matching.matches(method, target))?;
        let next = script.given.min(script.answers.len() - 1);
        script.given += 1;
        Some(script.answers[next].clone())
    }
}
