//! Authentication of outgoing requests: API keys, passwords, access tokens, and
//! signatures over whole requests.

mod aws;
pub mod config;
pub mod credential;
pub mod demand;
pub mod destination;
mod expiry;
mod google;
mod grants;
pub mod issuer_client;
mod oauth2;
mod oci;
pub mod parameters;
mod reread;
pub mod scopes;
mod secret;
pub mod sign;
pub mod status;
mod token_endpoint;
mod tokens;
