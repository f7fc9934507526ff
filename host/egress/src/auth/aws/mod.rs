//! The keys that sign requests to Amazon Web Services.

pub mod credential;
mod static_keys;
mod sts;
mod web_identity;
