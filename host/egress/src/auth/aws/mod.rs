//! Requests signed for Amazon Web Services.

pub mod scope;
pub mod signature;
