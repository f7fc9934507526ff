//! Deleting messages and changing their leases, ten in a call.

use std::time::Duration;
use std::time::Instant;

use aws_sdk_sqs::types::BatchResultErrorEntry;
use aws_sdk_sqs::types::ChangeMessageVisibilityBatchRequestEntry;
use aws_sdk_sqs::types::DeleteMessageBatchRequestEntry;

use super::Place;
use super::Shared;
use super::error;
use super::leases::Standing;
use super::receive::whole_seconds;
use crate::BATCH_MAX;
use crate::QueueError;
use crate::Receipt;

impl Shared {
    /// Deletes messages; those whose lease has ended stay.
    pub async fn delete(&self, place: &Place, receipts: &[Receipt]) -> Result<(), QueueError> {
        let (receipts, ended) = self.not_ended(receipts);
        let mut worst = Worst::new(ended);
        for some in receipts.chunks(BATCH_MAX) {
            let handles = some.iter().map(|receipt| receipt.as_str().to_owned());
            let failed = self.delete_handles(&place.url, handles.collect()).await?;
            for (at, receipt) in some.iter().enumerate() {
                match failed.iter().find(|entry| entry.id() == at.to_string()) {
                    None => self.leases.forget(receipt),
                    Some(entry) => worst.add(error::of_entry(entry)),
                }
            }
        }
        worst.into_result()
    }

    /// Makes leases end `after` from now.
    pub async fn change(
        &self,
        place: &Place,
        receipts: &[Receipt],
        after: Duration,
    ) -> Result<(), QueueError> {
        let (receipts, ended) = self.not_ended(receipts);
        let mut worst = Worst::new(ended);
        for some in receipts.chunks(BATCH_MAX) {
            let handles = some.iter().map(|receipt| receipt.as_str().to_owned());
            let failed = self.change_handles(&place.url, handles.collect(), after).await?;
            for (at, receipt) in some.iter().enumerate() {
                match failed.iter().find(|entry| entry.id() == at.to_string()) {
                    None => self.leases.extend(receipt, Instant::now() + after),
                    Some(entry) => worst.add(error::of_entry(entry)),
                }
            }
        }
        worst.into_result()
    }

    /// Deletes up to ten messages by their receipt handles, and returns what
    /// failed, by its place in the list.
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

    /// The same for changing when they can be received again.
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

    /// The receipts that may still hold something, and whether there were
    /// others.
    fn not_ended(&self, receipts: &[Receipt]) -> (Vec<Receipt>, bool) {
        let ended =
            |receipt: &&Receipt| self.leases.standing(receipt, Duration::ZERO) == Standing::Ended;
        let (ended, rest): (Vec<&Receipt>, Vec<&Receipt>) = receipts.iter().partition(ended);
        (rest.into_iter().cloned().collect(), !ended.is_empty())
    }
}

/// The error that says most to the caller: what may be tried again, then what
/// was never right, then what came too late.
struct Worst(Option<QueueError>);

impl Worst {
    fn new(ended: bool) -> Self {
        Self(ended.then_some(QueueError::LeaseEnded))
    }

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
