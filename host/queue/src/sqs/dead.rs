//! Dead letters: a queue beside each queue.
//!
//! SQS has no way to look at a queue without receiving from it. A look
//! receives everything, hidden for a moment, and gives it back. So that a look
//! sees all letters, each is sent in a group of its own; those that SQS itself
//! moves keep their group, of which a look sees ten.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_sqs::types::Message;
use aws_sdk_sqs::types::MessageSystemAttributeName;
use tokio::sync::MutexGuard;
use tracing::warn;

use super::Place;
use super::Shared;
use super::error;
use super::receive::whole_seconds;
use super::text;
use super::text::Read;
use crate::BATCH_MAX;
use crate::DeadLetter;
use crate::QueueError;
use crate::Received;
use hoth_core::domain::Digest;
use hoth_core::domain::Timestamp;

/// How long a look hides what it has seen; a look that breaks off leaves the
/// letters hidden for no longer.
const LOOK_LEASE: Duration = Duration::from_secs(60);

/// The letters that one look sees: so many are received in about half the time
/// for which they are hidden.
const LOOK_MAX: usize = 20_000;

/// A receive that waits asks all of SQS's servers, so nothing means nothing.
const LOOK_WAIT: Duration = Duration::from_secs(1);

/// Digits of a sequence number, which has 128 bits.
const DIGITS: usize = 39;

/// Names a dead letter by its sequence number, in the order of dying.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id(String);

impl Id {
    /// # Errors
    ///
    /// [`QueueError::Refused`] for a text that names no dead letter on SQS.
    pub fn parse(text: &str) -> Result<Self, QueueError> {
        let digits = (1..=DIGITS).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        let refused = || QueueError::Refused("not the id of a dead letter of this queue");
        digits.then(|| Self(format!("{text:0>DIGITS$}"))).ok_or_else(refused)
    }

    fn of(message: &Message) -> Option<Self> {
        Self::parse(Read(message).system(&MessageSystemAttributeName::SequenceNumber)).ok()
    }

    fn as_text(&self) -> String {
        self.0.trim_start_matches('0').to_owned()
    }
}

/// Which letters to list.
pub struct Page {
    pub after: Option<Id>,
    pub max: usize,
}

impl Shared {
    /// Sends a message to the dead letters of its queue.
    pub async fn bury(
        &self,
        place: &Place,
        message: &Received,
        reason: &str,
    ) -> Result<(), QueueError> {
        let sent = message.sent_at.as_millis();
        // The same when it is tried again.
        let dedup = Digest::of_fields(&[
            &message.group,
            &message.key,
            &sent.to_string(),
            &message.receive_count.to_string(),
            &message.body,
        ])
        .short();
        let body = text::to_body(&message.body);
        let mut call = self.client.send_message().queue_url(&place.dead_url);
        if body.escaped {
            call = call.message_attributes(text::ESCAPED, text::flag());
        }
        call.message_group_id(&dedup)
            .message_deduplication_id(&dedup)
            .message_body(body.text)
            .message_attributes(text::KEY, text::binary(text::cut(&message.key)))
            .message_attributes(text::REASON, text::binary(text::cut(reason)))
            .message_attributes(text::GROUP, text::binary(&message.group))
            .message_attributes(text::SENT, text::number(sent))
            .message_attributes(text::RECEIVES, text::number(message.receive_count.into()))
            .send()
            .await
            .map_err(error::of_call)?;
        Ok(())
    }

    /// Begins to look at the dead letters of a queue. Others of this process
    /// wait until this look is over.
    pub async fn look<'a>(&'a self, place: &'a Place) -> Look<'a> {
        let turn = place.looking.lock().await;
        Look { shared: self, place, seen: Vec::new(), _turn: turn }
    }

    /// A page of dead letters, in the order in which they died.
    pub async fn dead_letters(
        &self,
        place: &Place,
        page: Page,
    ) -> Result<Vec<DeadLetter>, QueueError> {
        let mut look = self.look(place).await;
        let mut letters: BTreeMap<Id, DeadLetter> = BTreeMap::new();
        let looked = look
            .at_all(|id, message| {
                if page.after.as_ref().is_none_or(|after| id > *after) {
                    letters.insert(id.clone(), letter(&id, message));
                    if letters.len() > page.max {
                        letters.pop_last();
                    }
                }
                Kept::Back
            })
            .await;
        look.give_back().await;
        looked?;
        Ok(letters.into_values().collect())
    }
}

fn letter(id: &Id, message: &Message) -> DeadLetter {
    let read = Read(message);
    let moved = || format!("received {} times and never settled", read.receive_count());
    let received = read.received();
    DeadLetter {
        id: id.as_text(),
        group: read.bytes(text::GROUP).unwrap_or(received.group),
        key: received.key,
        body: received.body,
        reason: read.bytes(text::REASON).unwrap_or_else(moved),
        sent_at: read.number(text::SENT).map_or(read.sent_at(), Timestamp::from_millis),
        died_at: read.sent_at(),
        receive_count: read
            .number(text::RECEIVES)
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(received.receive_count),
    }
}

/// What is to become of a letter that a look has come to.
enum Kept {
    /// It goes back when the look is over.
    Back,
    /// It stays hidden.
    Hidden,
    /// So does it, and the look is over.
    HiddenLast,
}

/// A look at the dead letters of one queue, which hides them.
pub struct Look<'a> {
    shared: &'a Shared,
    place: &'a Place,
    /// Receipt handles that have to go back.
    seen: Vec<String>,
    _turn: MutexGuard<'a, ()>,
}

impl Look<'_> {
    /// The receipt handles of the letters `ids`, as far as there are; all
    /// others go back.
    pub async fn find(&mut self, ids: &[Id]) -> Result<Vec<String>, QueueError> {
        let mut found = Vec::new();
        let looked = self
            .at_all(|id, message| {
                let Some(handle) = message.receipt_handle().filter(|_| ids.contains(&id)) else {
                    return Kept::Back;
                };
                found.push(handle.to_owned());
                if found.len() == ids.len() { Kept::HiddenLast } else { Kept::Hidden }
            })
            .await;
        if looked.is_err() {
            self.seen.append(&mut found);
        }
        self.give_back().await;
        looked.map(|()| found)
    }

    /// Deletes letters by their receipt handles.
    pub async fn forget(&mut self, handles: Vec<String>) -> Result<(), QueueError> {
        for some in handles.chunks(BATCH_MAX) {
            let failed = self.shared.delete_handles(&self.place.dead_url, some.to_vec()).await?;
            if let Some(entry) = failed.first() {
                return Err(error::of_entry(entry));
            }
        }
        Ok(())
    }

    /// Receives letter after letter, until there are no more or `see` has seen
    /// enough.
    async fn at_all(
        &mut self,
        mut see: impl FnMut(Id, &Message) -> Kept,
    ) -> Result<(), QueueError> {
        let mut count = 0;
        loop {
            let messages = self.receive().await?;
            count += messages.len();
            let mut enough = messages.is_empty();
            for message in &messages {
                let kept = Id::of(message).map_or(Kept::Back, |id| see(id, message));
                match kept {
                    Kept::Back => self.seen.extend(message.receipt_handle().map(str::to_owned)),
                    Kept::Hidden => {}
                    Kept::HiddenLast => enough = true,
                }
            }
            if count >= LOOK_MAX {
                warn!(queue = %self.place.name, "There are more than {LOOK_MAX} dead letters; only so many are looked at");
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
            .queue_url(&self.place.dead_url)
            .max_number_of_messages(i32::try_from(BATCH_MAX).unwrap_or(i32::MAX))
            .wait_time_seconds(whole_seconds(LOOK_WAIT))
            .visibility_timeout(whole_seconds(LOOK_LEASE))
            .set_message_system_attribute_names(Some(text::SYSTEM.to_vec()))
            .message_attribute_names("All");
        Ok(call.send().await.map_err(error::of_call)?.messages.unwrap_or_default())
    }

    /// Shows again what was seen. What fails here shows by itself soon.
    async fn give_back(&mut self) {
        for some in self.seen.chunks(BATCH_MAX) {
            let url = &self.place.dead_url;
            if self.shared.change_handles(url, some.to_vec(), Duration::ZERO).await.is_err() {
                break;
            }
        }
        self.seen.clear();
    }
}
