//! Access tokens of Google Cloud.

pub mod assertion;
