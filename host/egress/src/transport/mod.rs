//! HTTP calls: connections, TLS files, one request and its response, and the
//! classification of failures.

pub mod call;
pub mod client;
pub mod coding;
mod connector;
pub mod failure;
mod limits;
pub mod request;
pub mod retry_after;
pub mod tls;
