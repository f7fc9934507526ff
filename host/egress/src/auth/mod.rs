//! Authentication of outgoing requests: API keys, passwords, access tokens, and
//! signatures over whole requests.

#[cfg(test)]
mod aws;
#[cfg(test)]
mod client_assertion;
pub mod config;
pub mod credential;
mod endpoint;
#[cfg(test)]
mod google;
pub mod header;
#[cfg(test)]
mod jwt;
#[cfg(test)]
mod oci_signature;
#[cfg(test)]
pub mod rsa_key;
pub mod scopes;
mod secret;
mod token;

#[cfg(test)]
use std::time::Duration;
#[cfg(test)]
use std::time::SystemTime;

#[cfg(test)]
use hoth_core::domain::Timestamp;

#[cfg(test)]
/// Converts a time to the type of the libraries that format dates.
fn instant(time: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(time.as_millis())
}
