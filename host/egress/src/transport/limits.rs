//! The bounds of a response's header.

/// The bound on names and values of a response's header. Common servers send at
/// most 8 KiB; this much fits into a message of the queue.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;

/// The bound on the fields of a response's header. Security and tracing headers
/// of several proxies in a row make some 100.
pub const HEADER_FIELDS_MAX: usize = 512;
