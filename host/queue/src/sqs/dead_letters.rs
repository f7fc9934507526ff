//! Dead letters: a second SQS queue beside each queue.
//!
//! SQS cannot list a queue without receiving from it. So a scan receives every
//! dead letter, which hides them for a moment, and then releases them. Each
//! dead letter is sent in a group of its own, so that a scan sees all of them.
//! Dead letters that SQS itself moves keep their group, of which a scan sees
//! ten: the first batch blocks the group until the scan is over.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_sqs::types::Message;
use aws_sdk_sqs::types::MessageSystemAttributeName;
use tokio::sync::MutexGuard;
use tracing::warn;

use super::encoding;
use super::encoding::Read;
use super::encoding::whole_seconds;
use super::error;
use super::shared::QueuePair;
use super::shared::Shared;
use crate::error::InvalidArgument;
use crate::error::QueueError;
use crate::limits::BATCH_MAX;
use crate::message::Received;
use crate::state::DeadLetter;
use crate::state::DeadLetterId;
use hoth_core::domain::Digest;
use hoth_core::domain::Timestamp;

/// The time for which a scan hides the dead letters that it has seen. A scan
/// that is cancelled leaves them hidden for no longer.
const SCAN_LEASE: Duration = Duration::from_secs(60);

/// The most dead letters that one scan sees: as many as are received in about
/// half of [`SCAN_LEASE`], so that none comes back during the scan.
const SCAN_MAX: usize = 20_000;

/// The wait of each receive of a scan. A receive with a wait asks all of SQS's
/// servers, so an empty result means that there are no more.
const SCAN_WAIT: Duration = Duration::from_secs(1);

/// The most digits of a sequence number, which has 128 bits.
const DIGITS: usize = 39;

/// The sequence number of a dead letter, by which it is named and ordered. SQS
/// gives it when the letter arrives. The digits are padded with zeros, so that
/// texts compare as numbers do.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SequenceNumber(String);

impl SequenceNumber {
    /// Parses the id of a dead letter.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument::DeadLetterId`] if it is no sequence number.
    pub fn parse(id: &DeadLetterId) -> Result<Self, InvalidArgument> {
        Self::from_digits(id.as_str()).ok_or(InvalidArgument::DeadLetterId)
    }

    fn of(message: &Message) -> Option<Self> {
        Self::from_digits(Read(message).system(&MessageSystemAttributeName::SequenceNumber))
    }

    fn from_digits(text: &str) -> Option<Self> {
        let digits = (1..=DIGITS).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| Self(format!("{text:0>DIGITS$}")))
    }

    fn to_id(&self) -> DeadLetterId {
        DeadLetterId::new(self.0.trim_start_matches('0'))
    }
}

impl Shared {
    /// Sends a message to the dead letters of its queue.
    pub async fn send_dead_letter(
        &self,
        queue: &QueuePair,
        message: &Received,
        reason: &str,
    ) -> Result<(), QueueError> {
        let sent = message.sent_at.as_millis();
        // The id depends on the message alone, so SQS takes a second attempt
        // for a repetition.
        let dedup = Digest::of_fields(&[
            &message.group,
            &message.key,
            &sent.to_string(),
            &message.receive_count.to_string(),
            &message.body,
        ])
        .short();
        let body = encoding::to_body(&message.body);
        let mut call = self.client.send_message().queue_url(&queue.dead_url);
        if body.escaped {
            call = call.message_attributes(encoding::ESCAPED, encoding::flag());
        }
        call.message_group_id(&dedup)
            .message_deduplication_id(&dedup)
            .message_body(body.text)
            .message_attributes(encoding::KEY, encoding::binary(encoding::cut(&message.key)))
            .message_attributes(encoding::REASON, encoding::binary(encoding::cut(reason)))
            .message_attributes(encoding::GROUP, encoding::binary(&message.group))
            .message_attributes(encoding::SENT, encoding::number(sent))
            .message_attributes(encoding::RECEIVES, encoding::number(message.receive_count.into()))
            .send()
            .await
            .map_err(error::of_call)?;
        Ok(())
    }

    /// Begins a scan of a queue's dead letters. Other scans in this process
    /// wait until it is dropped.
    pub async fn scan<'a>(&'a self, queue: &'a QueuePair) -> Scan<'a> {
        let turn = queue.scanning.lock().await;
        Scan { shared: self, queue, seen: Vec::new(), _turn: turn }
    }

    /// Lists the first `max` of the wanted dead letters, in the order in which
    /// they died.
    pub async fn dead_letters(
        &self,
        queue: &QueuePair,
        is_wanted: impl Fn(&SequenceNumber) -> bool,
        max: usize,
    ) -> Result<Vec<DeadLetter>, QueueError> {
        let mut scan = self.scan(queue).await;
        let mut letters: BTreeMap<SequenceNumber, DeadLetter> = BTreeMap::new();
        let scanned = scan
            .visit(|number, message| {
                if is_wanted(&number) {
                    letters.insert(number.clone(), letter(&number, message));
                    // SQS delivers groups in any order, so every letter is
                    // seen; only a page of them is kept in memory.
                    if letters.len() > max {
                        letters.pop_last();
                    }
                }
                Visit::Release
            })
            .await;
        // Also after an error: the letters seen so far must show again.
        scan.release().await;
        scanned?;
        Ok(letters.into_values().collect())
    }
}

fn letter(number: &SequenceNumber, message: &Message) -> DeadLetter {
    let read = Read(message);
    let moved = || format!("received {} times and never settled", read.receive_count());
    let received = read.received();
    // A letter that SQS itself moved has none of HOTH's attributes. Its own
    // group, time and count stand in for them.
    DeadLetter {
        id: number.to_id(),
        group: read.bytes(encoding::GROUP).unwrap_or(received.group),
        key: received.key,
        body: received.body,
        reason: read.bytes(encoding::REASON).unwrap_or_else(moved),
        sent_at: read.number(encoding::SENT).map_or(read.sent_at(), Timestamp::from_millis),
        died_at: read.sent_at(),
        receive_count: read
            .number(encoding::RECEIVES)
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(received.receive_count),
    }
}

/// The decision on a dead letter that a scan has received.
enum Visit {
    /// Release it when the scan is over.
    Release,
    /// Leave it hidden.
    Keep,
    /// Leave it hidden, and end the scan.
    KeepAndStop,
}

/// A scan of the dead letters of one queue, which hides them.
pub struct Scan<'a> {
    shared: &'a Shared,
    queue: &'a QueuePair,
    /// Receipt handles of the letters to release.
    seen: Vec<String>,
    /// The permission to scan: see [`QueuePair::scanning`].
    _turn: MutexGuard<'a, ()>,
}

impl Scan<'_> {
    /// Returns the receipt handles of those letters that exist, and releases
    /// all others.
    pub async fn find(&mut self, numbers: &[SequenceNumber]) -> Result<Vec<String>, QueueError> {
        let mut found = Vec::new();
        let scanned = self
            .visit(|number, message| {
                let wanted = numbers.contains(&number);
                let Some(handle) = message.receipt_handle().filter(|_| wanted) else {
                    return Visit::Release;
                };
                found.push(handle.to_owned());
                if found.len() == numbers.len() { Visit::KeepAndStop } else { Visit::Keep }
            })
            .await;
        if scanned.is_err() {
            // The caller gets no handles, so these must show again, too.
            self.seen.append(&mut found);
        }
        self.release().await;
        scanned.map(|()| found)
    }

    /// Deletes letters by their receipt handles.
    pub async fn delete(&mut self, handles: Vec<String>) -> Result<(), QueueError> {
        for some in handles.chunks(BATCH_MAX) {
            let failed = self.shared.delete_handles(&self.queue.dead_url, some.to_vec()).await?;
            if let Some(entry) = failed.first() {
                return Err(error::of_entry(entry));
            }
        }
        Ok(())
    }

    /// Receives letter after letter, until there are no more or `visit` stops
    /// the scan.
    async fn visit(
        &mut self,
        mut visit: impl FnMut(SequenceNumber, &Message) -> Visit,
    ) -> Result<(), QueueError> {
        let mut count = 0;
        loop {
            let messages = self.receive().await?;
            count += messages.len();
            let mut enough = messages.is_empty();
            for message in &messages {
                let number = SequenceNumber::of(message);
                match number.map_or(Visit::Release, |number| visit(number, message)) {
                    Visit::Release => {
                        self.seen.extend(message.receipt_handle().map(str::to_owned));
                    }
                    Visit::Keep => {}
                    // The rest of the batch is visited, too, because it must be
                    // released.
                    Visit::KeepAndStop => enough = true,
                }
            }
            if count >= SCAN_MAX {
                warn!(queue = %self.queue.name, "More than {SCAN_MAX} dead letters; the rest is not listed");
                enough = true;
            }
            if enough {
                return Ok(());
            }
        }
    }

    async fn receive(&self) -> Result<Vec<Message>, QueueError> {
        let call = self
            .shared
            .client
            .receive_message()
            .queue_url(&self.queue.dead_url)
            .max_number_of_messages(i32::try_from(BATCH_MAX).unwrap_or(i32::MAX))
            .wait_time_seconds(whole_seconds(SCAN_WAIT))
            .visibility_timeout(whole_seconds(SCAN_LEASE))
            .set_message_system_attribute_names(Some(encoding::SYSTEM.to_vec()))
            .message_attribute_names("All");
        Ok(call.send().await.map_err(error::of_call)?.messages.unwrap_or_default())
    }

    /// Makes the letters that were seen visible again. If this fails, the
    /// letters come back by themselves after [`SCAN_LEASE`].
    async fn release(&mut self) {
        for some in self.seen.chunks(BATCH_MAX) {
            let url = &self.queue.dead_url;
            if self.shared.change_handles(url, some.to_vec(), Duration::ZERO).await.is_err() {
                break;
            }
        }
        self.seen.clear();
    }
}
