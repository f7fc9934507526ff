//! The wrong fields of a request.

use std::collections::BTreeMap;

use super::Refusal;
use super::path::Path;

/// The most fields that one response names. A client with a hundred wrong
/// fields gains nothing from a longer list.
const ERRORS_MAX: usize = 100;

/// The wrong fields found so far, each with its problem.
#[derive(Debug, Default)]
pub struct Errors(BTreeMap<String, String>);

impl Errors {
    /// Records a problem of the field at `path`, unless it has one already.
    pub fn add(&mut self, path: &Path<'_>, problem: impl Into<String>) {
        // Checked before the path is written out, so that a body with very many
        // wrong fields costs no further time.
        if self.0.len() < ERRORS_MAX {
            self.0.entry(path.text()).or_insert_with(|| problem.into());
        }
    }

    /// Returns `Err` with [`Refusal::Invalid`] if any field is wrong.
    pub fn into_result(self) -> Result<(), Refusal> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(Refusal::Invalid(self.0))
    }
}
