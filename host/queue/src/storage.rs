//! The backend that a host was opened with.

use std::sync::Arc;

use super::Queue;
use super::embedded::EmbeddedQueue;
#[cfg(feature = "sqs")]
use super::sqs::SqsQueue;

/// One of the backends, with what only its owner does to it.
#[derive(Debug, Clone)]
pub enum Storage {
    Embedded(Arc<EmbeddedQueue>),
    #[cfg(feature = "sqs")]
    Sqs(Arc<SqsQueue>),
}

impl Storage {
    /// The queues, for all others.
    pub fn queue(&self) -> Arc<dyn Queue> {
        match self {
            Self::Embedded(queue) => Arc::clone(queue) as _,
            #[cfg(feature = "sqs")]
            Self::Sqs(queue) => Arc::clone(queue) as _,
        }
    }

    /// Returns when storage has failed in a way that only a restart helps. SQS
    /// recovers by itself.
    pub async fn failed(&self) {
        match self {
            Self::Embedded(queue) => queue.failed().await,
            #[cfg(feature = "sqs")]
            Self::Sqs(_) => std::future::pending().await,
        }
    }

    /// Ends what is under way.
    pub async fn close(&self) {
        match self {
            Self::Embedded(queue) => queue.close().await,
            #[cfg(feature = "sqs")]
            Self::Sqs(queue) => queue.close().await,
        }
    }
}
