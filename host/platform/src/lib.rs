//! The interface to the machine that several crates share.
//!
//! - [`clock`]: the one place that reads the machine's time.
//! - [`process`]: the resources that this process uses.
//! - [`certificate`]: the end of the validity of certificates.
//! - [`failpoint`]: steps at which a test can kill the process.
//! - [`secret`]: references to secrets in environment variables or files.
//! - [`disk`]: the room on the disk of a file.
//! - [`descriptors`]: the limit on file descriptors, divided among listeners.
//! - [`loopback`]: recognizes this machine in URLs and host names.

pub mod certificate;
pub mod clock;
pub mod descriptors;
pub mod disk;
pub mod failpoint;
pub mod loopback;
pub mod process;
pub mod secret;
