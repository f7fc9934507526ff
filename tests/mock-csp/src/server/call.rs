//! One call, as it was on the wire.

use std::time::Instant;

use bytes::Bytes;

/// A request that a server has read.
#[derive(Debug, Clone)]
pub struct Call {
    pub method: String,
    /// Path and query exactly as on the wire.
    pub target: String,
    /// Names and values in the order and spelling of the wire; bytes that are
    /// not UTF-8 are replaced.
    pub headers: Vec<(String, String)>,
    /// The body, which is also empty if the answer did not wait for it.
    pub body: Bytes,
    /// The time at which the header was complete.
    pub arrived: Instant,
    /// The number of the connection, counted per server from 1.
    pub connection: u64,
    /// `true` if the client expects to use the connection again.
    pub(super) keep_alive: bool,
}

impl Call {
    /// Returns method and target: `GET /portfolios/p-1?x=1`.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }

    /// Returns the target without its query.
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(&self.target, |(path, _)| path)
    }

    /// Returns the query, without its question mark.
    pub fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// Returns the first value of a header. Ignores the case of the name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers_named(name).next()
    }

    /// Returns every value of a header. Ignores the case of the name.
    pub fn headers_named(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers
            .iter()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Returns the approximate memory of the call in bytes.
    pub(super) fn size(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.len());
        size_of::<Self>() + self.target.len() + self.body.len() + headers.sum::<usize>()
    }
}
