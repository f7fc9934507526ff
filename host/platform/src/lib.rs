//! The edge to the machine that several crates share.
//!
//! - [`clock`]: the one place that asks the machine for the time.
//! - [`failpoint`]: steps at which a test can kill the process.
//! - [`secret`]: secrets by environment variable or file, never in the clear.
//! - [`descriptors`]: how many connections the system grants.

pub mod clock;
pub mod descriptors;
pub mod failpoint;
pub mod secret;
