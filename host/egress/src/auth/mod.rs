//! Authentication of outgoing requests: API keys, passwords and OAuth 2.0
//! access tokens.

pub mod config;
pub mod credential;
mod endpoint;
pub mod header;
pub mod scopes;
mod secret;
mod token;
