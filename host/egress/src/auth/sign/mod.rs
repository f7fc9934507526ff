//! Signatures, and the step that authenticates a request. Nothing here reads a
//! file or makes a call.

pub mod account_key;
pub mod aws_refusal;
pub mod aws_signature;
pub mod client_assertion;
pub mod header;
pub mod jwt;
pub mod oci_signature;
pub mod rsa_key;
pub mod signer;
pub mod signing_clock;

use std::time::Duration;
use std::time::SystemTime;

use hoth_core::domain::Timestamp;

/// Converts a time to the type of the libraries that format dates.
fn instant(time: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(time.as_millis())
}
