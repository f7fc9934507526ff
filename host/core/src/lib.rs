//! Jobs, steps and outcomes, and the decisions about them.
//!
//! Everything here is a value or a pure function: no I/O, no async runtime,
//! no clock, no randomness. The manifest holds that: the crate depends on
//! neither tokio nor a framework.

pub mod domain;
pub mod workflow;
