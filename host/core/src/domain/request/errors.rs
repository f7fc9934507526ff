//! What is wrong with a request, field by field.

use std::collections::BTreeMap;

use super::Refusal;

/// Fields that one answer names; a body with more wrong ones is hopeless.
const ERRORS_MAX: usize = 100;

/// A path is cut after so many bytes: clients choose keys, and an answer with
/// a hundred paths is not to be a hundred times as long as the request.
const PATH_BYTES_MAX: usize = 256;

/// Adds a part to a path, or as much of it as there is room for.
pub fn push(path: &mut String, part: &str) {
    let room = PATH_BYTES_MAX.saturating_sub(path.len());
    path.push_str(&part[..part.floor_char_boundary(room)]);
}

/// The wrong fields found so far.
#[derive(Debug, Default)]
pub struct Errors(BTreeMap<String, String>);

impl Errors {
    /// Says what is wrong with the field at `path`; the first word stands.
    pub fn add(&mut self, path: &str, problem: impl Into<String>) {
        if self.0.len() < ERRORS_MAX {
            let mut cut = String::new();
            push(&mut cut, path);
            self.0.entry(cut).or_insert_with(|| problem.into());
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
