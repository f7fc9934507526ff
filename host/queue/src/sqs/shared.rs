//! The state that the SQS backend shares with its background tasks.

use std::collections::HashMap;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;

use super::background::BackgroundTasks;
use super::error;
use super::given_back::GivenBack;
use super::leases::Leases;
use super::release::Releases;
use crate::error::QueueError;
use crate::name::QueueName;

/// One queue on SQS, and the queue of its dead letters.
pub struct QueuePair {
    pub name: QueueName,
    pub url: String,
    pub dead_url: String,
    /// The largest text of a message, as SQS stores it.
    pub text_bytes_max: usize,
    /// Messages that are being released.
    pub releases: Releases,
    /// The lock that serializes scans of the dead letters in this process. A
    /// scan hides the letters that it has seen, so a second one would see only
    /// a part.
    pub scanning: tokio::sync::Mutex<()>,
}

/// The client, and the memory of this process. Polls and releases outlive the
/// calls that started them, so they share it.
pub struct Shared {
    pub client: Client,
    /// The leases of this process, as far as they are known.
    pub leases: Leases,
    /// Receives of this process that do not count.
    pub given_back: GivenBack,
    /// Polls and releases in progress. A stop waits for them.
    pub tasks: BackgroundTasks,
}

/// Approximate counts of messages.
pub struct Counts {
    pub waiting: u64,
    pub in_flight: u64,
}

impl Shared {
    /// Asks SQS for attributes of a queue.
    pub async fn attributes(
        &self,
        url: &str,
        wanted: Vec<QueueAttributeName>,
    ) -> Result<HashMap<QueueAttributeName, String>, QueueError> {
        let call = self.client.get_queue_attributes().queue_url(url);
        let got = call.set_attribute_names(Some(wanted)).send().await.map_err(error::of_call)?;
        Ok(got.attributes.unwrap_or_default())
    }

    /// Asks SQS for the number of messages in a queue.
    pub async fn counts(&self, url: &str) -> Result<Counts, QueueError> {
        const VISIBLE: QueueAttributeName = QueueAttributeName::ApproximateNumberOfMessages;
        const DELAYED: QueueAttributeName = QueueAttributeName::ApproximateNumberOfMessagesDelayed;
        const HELD: QueueAttributeName = QueueAttributeName::ApproximateNumberOfMessagesNotVisible;
        // Counts settle about a minute after the last change (AWS
        // documentation, "GetQueueAttributes").
        let counted = self.attributes(url, vec![VISIBLE, DELAYED, HELD]).await?;
        let count = |name| counted.get(&name).and_then(|n: &String| n.parse().ok()).unwrap_or(0);
        Ok(Counts { waiting: count(VISIBLE) + count(DELAYED), in_flight: count(HELD) })
    }
}
