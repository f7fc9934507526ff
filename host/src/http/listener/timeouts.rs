//! Limits on the time that a client may take.

use std::time::Duration;

/// Limits on the time that a client may take.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// Time to send a request's head, counted from when the connection becomes
    /// idle. An idle connection therefore ends after this time too. The default
    /// is longer than the 60 s for which load balancers keep idle connections:
    /// they would send a request at the moment in which HOTH closes its own.
    pub head: Duration,
    /// Time for the TLS handshake.
    pub handshake: Duration,
    /// Time to take a whole response, counted from the first write that has to
    /// wait for the client.
    pub send: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(75),
            handshake: Duration::from_secs(10),
            send: Duration::from_secs(60),
        }
    }
}
