//! The tasks of a host that serves, and their orderly end.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::error;
use tracing::info;
use tracing::warn;

use crate::api;
use crate::supervisor::PartEnded;
use crate::worker::Drained;
use crate::worker::Workers;

/// The time that deletions of collected outcomes have to end.
const DELETIONS_GRACE: Duration = Duration::from_secs(1);

/// The time that the last spans have to be exported, at the end. It is a little
/// more than the exporter takes by itself, unless an export is under way.
const LAST_SPANS_GRACE: Duration = Duration::from_secs(3);

/// The time that open connections of both listeners have to end, after the
/// workers.
const CONNECTIONS_GRACE: Duration = Duration::from_secs(5);

/// The reason for the end of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// A signal asked the process to stop.
    StopRequested,
    /// The storage of the queue cannot be trusted any more.
    StorageFailed,
    /// A part of the host has ended, and a restart starts it again.
    PartEnded(PartEnded),
}

/// The tasks of a host that serves.
pub struct Running {
    pub workers: Workers,
    pub listeners: Vec<JoinHandle<()>>,
    /// Responses whose outcomes are deleted when the last byte has left.
    pub responses: api::InFlightResponses,
    pub exporter: Option<JoinHandle<()>>,
    /// Cancelled first: `/readyz` answers 503.
    pub draining: CancellationToken,
    /// Cancelled when the workers have ended: the listeners close.
    pub closing: CancellationToken,
    /// Cancelled last: no more spans come.
    pub exporting: CancellationToken,
}

impl Running {
    /// Stops the tasks in the order in which they depend on each other: the
    /// workers, then the listeners, then the deletions of collected outcomes,
    /// then the export of spans.
    ///
    /// The listeners stay open for at least `delay`, so that load balancers see
    /// the 503 of `/readyz` before a connection is refused.
    pub async fn drain(self, grace: Duration, delay: Duration, end: &End) {
        let (grace, delay) = match end {
            // The other parts work, so jobs in hand can end.
            End::StopRequested | End::PartEnded(_) => (grace, delay),
            // From here on nothing can be stored, so waiting for jobs is
            // futile.
            End::StorageFailed => {
                error!("Queue storage failed: stopping; a restart recovers the stored messages");
                (Duration::ZERO, Duration::ZERO)
            }
        };
        self.draining.cancel();
        info!("Draining: receiving no more jobs; jobs in hand have {grace:?} to end");
        let (drained, ()) = tokio::join!(self.workers.drain(grace), tokio::time::sleep(delay));
        if drained == Drained::Aborted && *end != End::StorageFailed {
            warn!("Some jobs did not end in time; their messages are back on their queues");
        }
        self.closing.cancel();
        // One bound for both, so that the whole stop has a bound.
        let listeners = futures_util::future::join_all(self.listeners);
        if tokio::time::timeout(CONNECTIONS_GRACE, listeners).await.is_err() {
            warn!("Some connections did not end in time");
        }
        self.responses.wait_for_all(DELETIONS_GRACE).await;
        self.exporting.cancel();
        if let Some(exporter) = self.exporter {
            let _ended = tokio::time::timeout(LAST_SPANS_GRACE, exporter).await;
        }
    }
}
