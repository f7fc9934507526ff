//! HTTP calls: connections, TLS files, one request and its response, and the
//! classification of failures.

pub mod call;
pub mod client;
pub mod coding;
mod connections;
mod connector;
pub mod failure;
mod http1;
mod limits;
mod pool;
pub mod request;
pub mod retry_after;
pub mod tls;
mod wire;
