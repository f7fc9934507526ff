//! The table `[api]`: the API of ServiceNow.

use std::net::SocketAddr;
use std::num::NonZeroU64;

use axum::http::StatusCode;
use serde::Deserialize;

use crate::http::listener::TlsConfig;
use hoth_core::config::Names;
use hoth_core::config::Problem;
use hoth_core::config::Table;
use hoth_platform::secret::SecretSource;

/// The largest body that can be configured. With the adapter's state and the
/// queue's own fields it must fit a message of 1 MiB.
const BODY_BYTES_MAX: usize = 512 * 1_024;

/// The longest time in the archive: 31 days.
const REDELIVERY_HOURS_MAX: u32 = 744;

/// The table `[api]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The address to bind. Without a key it must be a loopback address.
    pub listen: SocketAddr,
    /// 202, or 201 for clients that expect it.
    pub cost_accepted_status: u16,
    /// The largest body of a request, in bytes.
    pub max_body_bytes: usize,
    /// The longest time that a client may take to send a body.
    pub body_timeout_ms: NonZeroU64,
    /// The time for which a consumed outcome can be redelivered. It bounds the
    /// size of the archive.
    pub redelivery_hours: u32,
    /// The largest number of open connections. A further one evicts an idle one.
    pub max_connections: usize,
    /// The certificate; plain HTTP if missing.
    pub tls: Option<TlsConfig>,
    /// The key that signs the names of leased batches. All hosts that share
    /// queues need the same one.
    pub batch_key: Option<SecretSource>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            cost_accepted_status: 202,
            max_body_bytes: 128 * 1_024,
            body_timeout_ms: const { NonZeroU64::new(30_000).expect("it is not zero") },
            redelivery_hours: 24,
            max_connections: 10_000,
            tls: None,
            batch_key: None,
        }
    }
}

impl Config {
    /// Returns the status of an accepted cost request.
    pub fn cost_accepted(&self) -> StatusCode {
        match self.cost_accepted_status {
            201 => StatusCode::CREATED,
            _ => StatusCode::ACCEPTED,
        }
    }
}

impl Table for Config {
    fn check(&self, names: &Names<'_>) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut wrong = |key, message| problems.push(Problem::new(key, message));
        if !matches!(self.cost_accepted_status, 201 | 202) {
            wrong("cost_accepted_status", "must be 201 or 202".to_owned());
        }
        if !(1..=BODY_BYTES_MAX).contains(&self.max_body_bytes) {
            wrong("max_body_bytes", format!("must be 1 to {BODY_BYTES_MAX}"));
        }
        if self.redelivery_hours > REDELIVERY_HOURS_MAX {
            wrong("redelivery_hours", format!("must be at most {REDELIVERY_HOURS_MAX}"));
        }
        if self.max_connections == 0 {
            wrong("max_connections", "must be at least 1".to_owned());
        }
        problems.extend(self.tls.check(names).into_iter().map(|problem| problem.in_table("tls")));
        problems
    }
}
