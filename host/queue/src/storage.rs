//! The backend that a host was opened with.

use std::sync::Arc;

use crate::contract::Queue;
use crate::embedded::EmbeddedQueue;
#[cfg(feature = "sqs")]
use crate::sqs::SqsQueue;

/// The backend, with the calls that only its owner makes.
#[derive(Debug, Clone)]
pub enum Storage {
    Embedded(Arc<EmbeddedQueue>),
    #[cfg(feature = "sqs")]
    Sqs(Arc<SqsQueue>),
}

impl Storage {
    /// Returns the queues, for all other callers.
    pub fn queue(&self) -> Arc<dyn Queue> {
        match self {
            Self::Embedded(queue) => Arc::clone(queue) as _,
            #[cfg(feature = "sqs")]
            Self::Sqs(queue) => Arc::clone(queue) as _,
        }
    }

    /// Returns when storage has failed so that only a restart helps. On SQS it
    /// never returns: the service recovers by itself.
    pub async fn failed(&self) {
        match self {
            Self::Embedded(queue) => queue.failed().await,
            #[cfg(feature = "sqs")]
            Self::Sqs(_) => std::future::pending().await,
        }
    }

    /// Ends the work in progress, and closes the backend.
    pub async fn close(&self) {
        match self {
            Self::Embedded(queue) => queue.close().await,
            #[cfg(feature = "sqs")]
            Self::Sqs(queue) => queue.close().await,
        }
    }
}
