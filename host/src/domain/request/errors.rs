//! What is wrong with a request, field by field.

use std::collections::BTreeMap;

use super::Refusal;

/// Fields that one answer names; a body with more wrong ones is hopeless.
const ERRORS_MAX: usize = 100;

/// The wrong fields found so far.
#[derive(Debug, Default)]
pub struct Errors(BTreeMap<String, String>);

impl Errors {
    /// Says what is wrong with the field at `path`; the first word stands.
    pub fn add(&mut self, path: &str, problem: impl Into<String>) {
        if self.0.len() < ERRORS_MAX {
            self.0.entry(path.to_owned()).or_insert_with(|| problem.into());
        }
    }

    /// The refusal, if anything was wrong.
    pub fn into_result(self) -> Result<(), Refusal> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(Refusal::Invalid(self.0))
    }
}
