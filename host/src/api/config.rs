//! The table `[api]`: the API of ServiceNow.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::ops::RangeInclusive;

use axum::http::StatusCode;
use serde::Deserialize;

use crate::http::listener::TlsConfig;
use hoth_core::config::Names;
use hoth_core::config::Problem;
use hoth_core::config::Table;
use hoth_platform::secret::SecretSource;

/// The bounds of the largest body. Above them, with the adapter's state and the queue's own fields, a job would not fit a
/// message of 1 MiB.
const BODY_BYTES: RangeInclusive<u64> = 1..=512 * 1_024;

/// The bounds of the time for a body: up to an hour, as for the other timeouts.
const BODY_TIMEOUT_MS: RangeInclusive<u64> = 1..=3_600_000;

/// The bounds of the time in the archive: up to 31 days. 0 keeps no archive.
const REDELIVERY_HOURS: RangeInclusive<u64> = 0..=744;

/// The bounds of a response. Above them it would have every outcome, as ten of
/// them have at most 10 MiB.
const BATCH_BYTES: RangeInclusive<u64> = 1..=16 * 1_024 * 1_024;

/// The bounds of the number of connections. The system's limit on file
/// descriptors is lower.
const CONNECTIONS: RangeInclusive<u64> = 1..=1_000_000;

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
    /// The largest response to a `GET`, in bytes. A larger outcome is returned
    /// alone.
    pub max_batch_bytes: usize,
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
            // ServiceNow holds strings of up to 5 MB.
            max_batch_bytes: 4 * 1_024 * 1_024,
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
        if !matches!(self.cost_accepted_status, 201 | 202) {
            problems.push(Problem::new("cost_accepted_status", "must be 201 or 202"));
        }
        let bounded = [
            ("max_body_bytes", self.max_body_bytes as u64, &BODY_BYTES),
            ("body_timeout_ms", self.body_timeout_ms.get(), &BODY_TIMEOUT_MS),
            ("redelivery_hours", self.redelivery_hours.into(), &REDELIVERY_HOURS),
            ("max_batch_bytes", self.max_batch_bytes as u64, &BATCH_BYTES),
            ("max_connections", self.max_connections as u64, &CONNECTIONS),
        ];
        let problem = |(key, value, bounds)| Problem::out_of_range(key, value, bounds);
        problems.extend(bounded.into_iter().filter_map(problem));
        problems.extend(self.tls.check(names).into_iter().map(|problem| problem.in_table("tls")));
        problems
    }
}
