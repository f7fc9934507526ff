//! Facts about an exchange that the host knows better than an adapter.

use std::time::Duration;

/// A fact about an exchange that the host knows and an adapter need not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// The host refused the request of the adapter, and would refuse it again.
    RequestRefused,
    /// The CSP asked for this pause, which is longer than the host waits.
    AskedToWait(Duration),
}
