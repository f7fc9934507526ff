//! The backend that a host was opened with.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::contract::Queue;
use crate::embedded::DiskUse;
use crate::embedded::EmbeddedQueue;
use crate::embedded::StorageFailure;
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

    /// Returns when a background task of the backend has panicked. The embedded
    /// backend has none; [`Self::failed`] notices the end of its writer.
    pub fn task_panicked(&self) -> BoxFuture<'static, ()> {
        match self {
            Self::Embedded(_) => std::future::pending().boxed(),
            #[cfg(feature = "sqs")]
            Self::Sqs(queue) => queue.task_panicked().boxed(),
        }
    }

    /// Returns the failure of storage, if there is one. Complete after
    /// [`Self::close`].
    pub fn failure(&self) -> Option<StorageFailure> {
        match self {
            Self::Embedded(queue) => queue.failure(),
            #[cfg(feature = "sqs")]
            Self::Sqs(_) => None,
        }
    }

    /// Returns the size of the embedded backend's log on disk.
    pub fn log_bytes(&self) -> Option<u64> {
        match self {
            Self::Embedded(queue) => Some(queue.log_bytes()),
            #[cfg(feature = "sqs")]
            Self::Sqs(_) => None,
        }
    }

    /// Returns the space of the embedded backend on its disk. Blocks on the file
    /// system.
    pub fn disk_use(&self) -> Option<DiskUse> {
        match self {
            Self::Embedded(queue) => Some(queue.disk_use()),
            #[cfg(feature = "sqs")]
            Self::Sqs(_) => None,
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
