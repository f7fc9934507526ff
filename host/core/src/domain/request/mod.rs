//! What ServiceNow may ask, and what is said when it asks wrongly.
//!
//! [`provisioning()`] and [`cost()`] turn the body of a POST into a [`Job`], or
//! name every field that is wrong. A body is read strictly: a key that is given
//! twice, nesting without end, or a number that no double can hold is refused,
//! since two readers would understand it in two ways.

mod collecting;
mod cost;
mod errors;
mod fields;
mod input;
mod payload;
mod provisioning;
mod strict;
mod top;

#[cfg(any(test, feature = "testing"))]
pub mod sample;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

pub use collecting::REDELIVERY_IDS_MAX;
pub use collecting::Redelivery;
pub use collecting::batch;
pub use collecting::redelivery;
pub use cost::cost;
pub(super) use input::has_the_shape;
pub(super) use input::provisioning_input;
pub use provisioning::provisioning;

use super::CspName;
use super::Job;
use super::SupportedOperations;

/// The deepest nesting of a request body.
pub const NESTING_MAX: usize = 64;

/// Why a request body was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Not a JSON text, or nothing at all, or `null`.
    NotJson,
    /// Nested deeper than [`NESTING_MAX`] levels.
    TooDeep,
    /// JSON of the wrong shape: every wrong field (the first hundred of them)
    /// with what is wrong, such as `payload.administrators[0].dodId` →
    /// `is required`.
    Invalid(BTreeMap<String, String>),
}

/// What a request is checked against.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The configured CSPs, and what each offers.
    pub csps: &'a BTreeMap<CspName, SupportedOperations>,
}

/// What an accepted request says, whatever its spelling.
pub(super) fn content(request: &RawValue) -> Value {
    strict::read(request.get().as_bytes()).unwrap_or_default()
}

/// The job that a body asks for.
pub type Parsed = Result<Job, Refusal>;
