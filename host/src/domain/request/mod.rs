//! What ServiceNow may ask, and what is said when it asks wrongly.

use std::collections::BTreeMap;

/// Why a request body was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Not a JSON text, or nothing at all, or `null`.
    NotJson,
    /// Nested deeper than [`NESTING_MAX`] levels.
    TooDeep,
    /// JSON of the wrong shape: every wrong field with what is wrong, such as
    /// `payload.administrators[0].dodId` → `is required`.
    Invalid(BTreeMap<String, String>),
}

/// The deepest nesting of a request body.
pub const NESTING_MAX: usize = 64;
