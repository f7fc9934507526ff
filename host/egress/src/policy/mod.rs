//! Egress rules: the targets, headers and addresses that requests may use, and
//! the secrets that responses must not bring back.

pub mod aws_scope;
pub mod headers;
mod lookups;
pub mod network;
pub mod origin;
pub mod resolver;
pub mod scrub;
pub mod target;
pub mod template;
