//! Jobs, steps and outcomes, the decisions about them, and the rule for tables
//! of the configuration.
//!
//! Everything here is a value or a pure function: no I/O, no async runtime,
//! no clock, no randomness. The manifest holds that: the crate depends on
//! neither tokio nor a framework.

pub mod config;
pub mod domain;
pub mod workflow;
