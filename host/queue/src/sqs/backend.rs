//! The SQS backend as its owner sees it: opening, closing, and settling in two
//! acts.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::TryStreamExt as _;

use super::background::BackgroundTasks;
use super::client;
use super::encoding;
use super::error;
use super::error::OpenError;
use super::given_back::GivenBack;
use super::leases::LeaseState;
use super::leases::Leases;
use super::setup;
use super::shared::QueuePair;
use super::shared::Shared;
use crate::error::InvalidArgument;
use crate::error::QueueError;
use crate::lease::Receipt;
use crate::message::NewMessage;
use crate::message::check_size;
use crate::name::QueueName;
use crate::sqs_config::SqsConfig;

/// The number of queues that are opened side by side at the start.
const OPENED_AT_ONCE: usize = 8;

/// The time that a lease must have left when a successor is sent: enough to
/// send it and to delete its predecessor, each of which takes one call.
const SETTLE_MARGIN: Duration = client::CALL_TIMEOUT;

/// The time that a stop waits for the polls in progress, so that the messages
/// that they bring are released at once.
const CLOSE_GRACE: Duration = client::POLL_MAX.saturating_add(Duration::from_secs(2));

/// Queues on SQS.
pub struct SqsQueue {
    /// The client and the known leases. Background tasks share them.
    pub(super) shared: Arc<Shared>,
    /// Every queue that this host was opened with.
    pub(super) queues: BTreeMap<QueueName, Arc<QueuePair>>,
}

impl fmt::Debug for SqsQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqsQueue").finish_non_exhaustive()
    }
}

impl SqsQueue {
    /// Finds `queues` on SQS, and makes the missing ones.
    ///
    /// # Errors
    ///
    /// [`OpenError`], for example when a queue lacks an attribute that HOTH
    /// relies on.
    pub async fn open(config: &SqsConfig, queues: Vec<QueueName>) -> Result<Self, OpenError> {
        let client = client::connect(config).await?;
        let queues = futures_util::stream::iter(queues)
            .map(|name| setup::find_or_make(&client, config, name))
            .buffer_unordered(OPENED_AT_ONCE)
            .map_ok(|queue| (queue.name.clone(), Arc::new(queue)))
            .try_collect()
            .await?;
        let shared = Shared {
            client,
            leases: Leases::default(),
            given_back: GivenBack::default(),
            tasks: BackgroundTasks::new(),
        };
        Ok(Self { shared: Arc::new(shared), queues })
    }

    /// Waits, for [`CLOSE_GRACE`] at most, until polls in progress have ended
    /// and their messages are released.
    pub async fn close(&self) {
        // Messages that are not released in time are received again when their
        // leases have run out.
        self.shared.tasks.wait(CLOSE_GRACE).await;
    }

    /// Returns when a background task has panicked.
    pub fn task_panicked(&self) -> impl Future<Output = ()> + use<> {
        self.shared.tasks.panicked()
    }

    pub(super) fn pair(&self, queue: &QueueName) -> Result<&Arc<QueuePair>, QueueError> {
        self.queues.get(queue).ok_or(InvalidArgument::UnopenedQueue.into())
    }

    pub(super) async fn send_to(
        &self,
        queue: &QueuePair,
        message: &NewMessage,
        dedup_id: &str,
    ) -> Result<(), QueueError> {
        let body = encoding::to_body(&message.body);
        // Checked after the encoding, which may make the text longer: SQS would
        // refuse it each time.
        check_size(body.text.len(), queue.text_bytes_max)?;
        let mut call = self
            .shared
            .client
            .send_message()
            .queue_url(&queue.url)
            .message_group_id(message.group.as_str())
            // A retry by the SDK, after a lost answer, has the same id, and SQS
            // drops it.
            .message_deduplication_id(dedup_id);
        if body.escaped {
            call = call.message_attributes(encoding::ESCAPED, encoding::flag());
        }
        call.message_body(body.text)
            .message_attributes(encoding::KEY, encoding::binary(encoding::cut(&message.key)))
            .send()
            .await
            .map_err(error::of_call)?;
        Ok(())
    }

    /// Makes sure that a lease lasts until a successor has been sent and the
    /// message deleted.
    pub(super) async fn hold(
        &self,
        queue: &QueuePair,
        receipt: &Receipt,
    ) -> Result<(), QueueError> {
        match self.shared.leases.state(receipt, SETTLE_MARGIN) {
            LeaseState::Held => Ok(()),
            LeaseState::Ended => Err(QueueError::LeaseEnded),
            // Extending the lease asks SQS if it is still held, and buys time.
            LeaseState::Unknown => {
                self.shared.change(queue, std::slice::from_ref(receipt), SETTLE_MARGIN * 2).await
            }
        }
    }

    /// Sends a successor, unless this process has sent it under this lease. SQS
    /// forgets it after five minutes, and the deletion of its predecessor may
    /// be tried for longer.
    pub(super) async fn send_successor(
        &self,
        receipt: &Receipt,
        queue: &QueueName,
        message: &NewMessage,
    ) -> Result<(), QueueError> {
        let queue = self.pair(queue)?;
        let key = message.dedup.key.as_str();
        if self.shared.leases.has_sent(receipt, key) {
            return Ok(());
        }
        // By the key alone, without the content: a job that runs again after a
        // crash may end with another text, and still has one outcome.
        self.send_to(queue, message, key).await?;
        // After the send: a send that failed must be repeated.
        self.shared.leases.note_sent(receipt, key);
        Ok(())
    }
}
