//! The requests of ServiceNow: their shapes, and reading them.
//!
//! [`provisioning()`] and [`cost()`] turn the body of a POST into a [`Job`], or
//! name every field that is wrong. The fields stand in one table, [`shape`]. A
//! body is read strictly: a key that is given twice, nesting without end, or a
//! number that no double can hold is refused, since two readers would
//! understand it in two ways.

mod check;
mod collecting;
mod cost;
mod errors;
pub mod field;
mod formats;
mod input;
mod path;
mod provisioning;
pub mod shape;
mod strict;
mod top;

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

pub use collecting::Redelivery;
pub use collecting::batch;
pub use collecting::redelivery;
pub use cost::cost;
pub(super) use input::is_well_formed;
pub(super) use input::provisioning_input;
pub use provisioning::provisioning;
pub use shape::REDELIVERY_IDS_MAX;

use super::CspName;
use super::Job;
use super::SupportedOperations;

/// The deepest nesting of a request body.
pub const NESTING_MAX: usize = 64;

/// The reason for refusing a request body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Text that is not JSON, an empty body, or `null`.
    NotJson,
    /// Nested deeper than [`NESTING_MAX`] levels.
    TooDeep,
    /// JSON of the wrong shape: every wrong field (the first hundred of them)
    /// with what is wrong, such as `payload.administrators[0].dodId` →
    /// `is required`.
    Invalid(BTreeMap<String, String>),
}

/// The configuration that a request is checked against.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The configured CSPs, and what each offers.
    pub csps: &'a BTreeMap<CspName, SupportedOperations>,
}

/// Returns the content of an accepted request, independent of its spelling.
pub(super) fn content(request: &RawValue) -> Value {
    strict::read(request.get().as_bytes()).unwrap_or_default()
}

/// The job that a body asks for, or the reason for refusing it.
pub type Parsed = Result<Job, Refusal>;
