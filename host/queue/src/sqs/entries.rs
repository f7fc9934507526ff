//! Deletions and changes of leases, ten in a call: the entries of SQS batches.

use std::time::Duration;
use std::time::Instant;

use aws_sdk_sqs::types::BatchResultErrorEntry;
use aws_sdk_sqs::types::ChangeMessageVisibilityBatchRequestEntry;
use aws_sdk_sqs::types::DeleteMessageBatchRequestEntry;

use super::encoding::whole_seconds;
use super::error;
use super::leases::LeaseEnd;
use super::leases::LeaseState;
use super::shared::QueuePair;
use super::shared::Shared;
use crate::error::QueueError;
use crate::lease::Receipt;
use crate::limits::BATCH_MAX;

impl Shared {
    /// Deletes messages. Messages whose lease has ended stay.
    pub async fn delete(&self, queue: &QueuePair, receipts: &[Receipt]) -> Result<(), QueueError> {
        let mut worst = Worst::default();
        let receipts = self.not_ended(receipts, &mut worst);
        for some in receipts.chunks(BATCH_MAX) {
            let handles = some.iter().map(|receipt| receipt.as_str().to_owned());
            // An error of the whole call ends the loop. The caller tries all
            // receipts again, which is harmless for those that were deleted.
            let failed = self.delete_handles(&queue.url, handles.collect()).await?;
            for (at, receipt) in some.iter().enumerate() {
                match failed.iter().find(|entry| entry.id() == at.to_string()) {
                    None => {
                        if let Some(message) = self.leases.forget(receipt) {
                            self.given_back.forget(&message);
                        }
                    }
                    Some(entry) => worst.add(error::of_entry(entry)),
                }
            }
        }
        worst.into_result()
    }

    /// Makes leases end `after` from now, and notes that their receives do not
    /// count.
    pub async fn give_back(
        &self,
        queue: &QueuePair,
        receipts: &[Receipt],
        after: Duration,
    ) -> Result<(), QueueError> {
        let mut all = Ok(());
        for some in receipts.chunks(BATCH_MAX) {
            // Noted first: another receive of this process may get the message
            // before the call returns.
            let known: Vec<_> = some.iter().map(|receipt| self.leases.message(receipt)).collect();
            known.iter().flatten().for_each(|message| self.given_back.add(message));
            match self.change(queue, some, after).await {
                // A second return of the same receive must not count.
                Ok(()) => some.iter().for_each(|receipt| drop(self.leases.forget(receipt))),
                Err(error) => {
                    // At least one receive counts. Which of them is not known,
                    // so all do.
                    known.iter().flatten().for_each(|message| self.given_back.undo(message));
                    all = Err(error);
                }
            }
        }
        all
    }

    /// Makes leases end `after` from now.
    pub async fn change(
        &self,
        queue: &QueuePair,
        receipts: &[Receipt],
        after: Duration,
    ) -> Result<(), QueueError> {
        let mut worst = Worst::default();
        let receipts = self.not_ended(receipts, &mut worst);
        for some in receipts.chunks(BATCH_MAX) {
            let handles = some.iter().map(|receipt| receipt.as_str().to_owned());
            let started = Instant::now();
            let failed = self.change_handles(&queue.url, handles.collect(), after).await?;
            for (at, receipt) in some.iter().enumerate() {
                match failed.iter().find(|entry| entry.id() == at.to_string()) {
                    None => self.leases.extend(receipt, LeaseEnd::of_call(started, after)),
                    Some(entry) => worst.add(error::of_entry(entry)),
                }
            }
        }
        worst.into_result()
    }

    /// Deletes up to ten messages by their receipt handles. Returns the entries
    /// that failed; their ids are places in the list.
    pub async fn delete_handles(
        &self,
        url: &str,
        handles: Vec<String>,
    ) -> Result<Vec<BatchResultErrorEntry>, QueueError> {
        let entry = |(at, handle): (usize, String)| {
            let entry = DeleteMessageBatchRequestEntry::builder().id(at.to_string());
            entry.receipt_handle(handle).build().expect("both fields are set")
        };
        let entries = handles.into_iter().enumerate().map(entry).collect();
        let call = self.client.delete_message_batch().queue_url(url).set_entries(Some(entries));
        Ok(call.send().await.map_err(error::of_call)?.failed)
    }

    /// Makes the leases of up to ten messages end `after` from now. Returns the
    /// entries that failed, as [`Shared::delete_handles`] does.
    pub async fn change_handles(
        &self,
        url: &str,
        handles: Vec<String>,
        after: Duration,
    ) -> Result<Vec<BatchResultErrorEntry>, QueueError> {
        let entry = |(at, handle): (usize, String)| {
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(at.to_string());
            let entry = entry.receipt_handle(handle).visibility_timeout(whole_seconds(after));
            entry.build().expect("both fields are set")
        };
        let entries = handles.into_iter().enumerate().map(entry).collect();
        let call = self.client.change_message_visibility_batch().queue_url(url);
        Ok(call.set_entries(Some(entries)).send().await.map_err(error::of_call)?.failed)
    }

    /// Returns the receipts of leases that may still be held, and counts the
    /// others as [`QueueError::LeaseEnded`]. A handle is not sent to SQS after
    /// its lease has ended here: SQS might accept it (statement V6 of the suite
    /// names a server that does).
    fn not_ended(&self, receipts: &[Receipt], worst: &mut Worst) -> Vec<Receipt> {
        let mut held = Vec::with_capacity(receipts.len());
        for receipt in receipts {
            match self.leases.state(receipt, Duration::ZERO) {
                LeaseState::Held | LeaseState::Unknown => held.push(receipt.clone()),
                LeaseState::Ended => worst.add(QueueError::LeaseEnded),
            }
        }
        held
    }
}

/// The error of a batch that is most useful to the caller. Errors that may pass
/// come first, then errors of a wrong call, then errors of a late one.
#[derive(Default)]
struct Worst(Option<QueueError>);

impl Worst {
    fn add(&mut self, error: QueueError) {
        let rank = |error: &QueueError| match error {
            QueueError::LeaseEnded => 0,
            QueueError::NotOffered(_) | QueueError::Refused(_) => 1,
            QueueError::Full | QueueError::Unreachable(_) => 2,
        };
        if self.0.as_ref().is_none_or(|known| rank(&error) > rank(known)) {
            self.0 = Some(error);
        }
    }

    fn into_result(self) -> Result<(), QueueError> {
        self.0.map_or(Ok(()), Err)
    }
}
