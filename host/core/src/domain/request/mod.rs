//! The requests of ServiceNow: their shapes, and reading them.
//!
//! [`provisioning()`] and [`cost()`] turn the body of a POST into a [`Job`], or
//! name every field that is wrong. The fields stand in one table, [`shape`].

mod check;
mod collecting;
mod cost;
pub mod field;
mod formats;
mod provisioning;
pub mod shape;
mod top;

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use collecting::Redelivery;
pub use collecting::batch;
pub use collecting::redelivery;
pub use cost::cost;
pub use provisioning::provisioning;
pub use shape::REDELIVERY_IDS_MAX;

use super::CspName;
use super::Job;
use super::SupportedOperations;
pub use super::json::NESTING_MAX;
pub use super::json::Refusal;

/// The configuration that a request is checked against.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// The configured CSPs, and the operations that the configuration lists for
    /// each.
    pub csps: &'a BTreeMap<CspName, SupportedOperations>,
    /// Returns the operations of the adapter that serves a CSP now.
    pub served: &'a dyn Fn(&CspName) -> SupportedOperations,
}

impl<'a> Known<'a> {
    /// Makes a configuration whose adapters have every operation.
    pub fn of(csps: &'a BTreeMap<CspName, SupportedOperations>) -> Self {
        Self { csps, served: &|_| SupportedOperations::Any }
    }
}

/// The job that a body asks for, or the reason for refusing it.
pub type Parsed = Result<Job, Refusal>;
