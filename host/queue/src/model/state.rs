//! The lists of the model, and the effect of each act on them.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::time::Duration;

use hoth_core::domain::Digest;
use hoth_core::domain::JobKind;
use hoth_core::domain::Timestamp;

use crate::contract::Holder;
use crate::contract::Receive;
use crate::contract::Redeliver;
use crate::error::InvalidArgument;
use crate::lease::Receipt;
use crate::message::NewMessage;
use crate::message::Received;
use crate::name::QueueName;
use crate::state::DeadLetter;
use crate::state::DeadLetterId;
use crate::state::Location;
use crate::state::MessageId;
use crate::state::MessageLocation;
use crate::state::MessageState;

/// The time for which deduplication keys are remembered and consumed outcomes
/// are kept.
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The queues, and the memory of sent and consumed messages.
#[derive(Default)]
pub struct State {
    /// The messages of each queue, in the order of their numbers.
    pub queues: BTreeMap<QueueName, Vec<Message>>,
    /// The dead letters of each queue, in the order of their ids.
    pub dead: BTreeMap<QueueName, Vec<DeadLetter>>,
    /// Consumed outcomes, each with the time at which it was consumed.
    pub archive: BTreeMap<QueueName, Vec<(Message, Timestamp)>>,
    /// Deduplication keys by queue family, each with its content and the time
    /// at which it is forgotten.
    pub known: HashMap<(&'static str, String), (Digest, Timestamp)>,
    /// The last number that was given to a message or a lease.
    pub last_number: u64,
}

/// A message on a queue.
#[derive(Clone)]
pub struct Message {
    pub number: u64,
    pub group: String,
    pub key: String,
    pub body: String,
    pub sent_at: Timestamp,
    pub visible_at: Timestamp,
    pub receive_count: u32,
    /// The last lease, held or ended.
    pub lease: Option<(u64, Holder)>,
}

/// One lease on one message, by their numbers: a parsed receipt.
#[derive(Clone, Copy)]
pub struct LeaseId {
    pub number: u64,
    pub lease: u64,
}

impl LeaseId {
    /// Writes the lease as a receipt.
    pub fn to_receipt(self) -> Receipt {
        Receipt::new(format!("{}/{}", self.number, self.lease))
    }

    /// Parses a receipt that this model wrote.
    pub fn parse(receipt: &Receipt) -> Result<Self, InvalidArgument> {
        let parsed = receipt.as_str().split_once('/').and_then(|(number, lease)| {
            Some(Self { number: number.parse().ok()?, lease: lease.parse().ok()? })
        });
        parsed.ok_or(InvalidArgument::Receipt)
    }
}

/// The result of leasing from one group.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum GroupReceive {
    Leased,
    /// A message was delivered too often, and is now a dead letter.
    MessageDied,
}

/// The result of taking one message.
pub enum TakenMessage {
    Leased((LeaseId, Received)),
    /// Another holder has it until then.
    InHand(Timestamp),
    NotFound,
}

impl Message {
    /// Returns `true` if a holder has the message.
    pub fn is_held(&self, now: Timestamp) -> bool {
        self.lease.is_some() && self.visible_at > now
    }

    fn state(&self, now: Timestamp) -> MessageState {
        let until = self.visible_at;
        match self.lease {
            _ if until <= now => MessageState::Ready,
            None => MessageState::NotDue { until },
            Some((_, Holder::Process)) => MessageState::LeasedToWorker { until },
            Some((_, Holder::Client)) => MessageState::LeasedToClient { until },
        }
    }

    /// Leases the message, and returns it as it is received.
    fn lease(&mut self, lease: u64, holder: Holder, until: Timestamp) -> (LeaseId, Received) {
        self.receive_count += 1;
        self.visible_at = until;
        self.lease = Some((lease, holder));
        let received = Received {
            group: self.group.clone(),
            key: self.key.clone(),
            body: self.body.clone(),
            sent_at: self.sent_at,
            receive_count: self.receive_count,
        };
        (LeaseId { number: self.number, lease }, received)
    }
}

impl State {
    /// Returns the next number, for a message or a lease.
    pub fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Returns the messages of a queue.
    pub fn queue(&mut self, name: &QueueName) -> &mut Vec<Message> {
        self.queues.entry(name.clone()).or_default()
    }

    /// Puts a message at the end of a queue.
    pub fn insert(&mut self, name: &QueueName, new: NewMessage, now: Timestamp) {
        let message = Message {
            number: self.next_number(),
            group: new.group.as_str().to_owned(),
            key: new.key,
            body: new.body,
            sent_at: now,
            visible_at: new.not_before.map_or(now, |due| due.max(now)),
            receive_count: 0,
            lease: None,
        };
        self.queue(name).push(message);
    }

    /// Tells a repeated deletion from a late one: returns true if the message
    /// is gone, and was not consumed by another holder.
    pub fn was_deleted(&mut self, name: &QueueName, lease: LeaseId, now: Timestamp) -> bool {
        let mut archived = self.archive.get(name).into_iter().flatten();
        let consumed = archived
            .find(|(message, at)| message.number == lease.number && now.since(*at) < DAY)
            .and_then(|(message, _)| message.lease);
        self.queue(name).iter().all(|message| message.number != lease.number)
            && consumed.is_none_or(|(consumer, _)| consumer == lease.lease)
    }

    /// Returns the place of a message in its queue, or `None` if the lease has
    /// ended.
    pub fn held(&mut self, name: &QueueName, lease: LeaseId, now: Timestamp) -> Option<usize> {
        self.queue(name).iter().position(|message| {
            message.number == lease.number
                && message.lease.is_some_and(|(last, _)| last == lease.lease)
                && message.visible_at > now
        })
    }

    /// Makes a lease end `after` from now. Returns false if it has ended.
    pub fn change_lease(
        &mut self,
        name: &QueueName,
        lease: LeaseId,
        now: Timestamp,
        after: Duration,
    ) -> bool {
        let Some(at) = self.held(name, lease, now) else { return false };
        self.queue(name)[at].visible_at = now + after;
        true
    }

    /// Ends a lease whose receive does not count, and hides the message for
    /// `after`. Returns false if the lease has ended.
    pub fn give_back(
        &mut self,
        name: &QueueName,
        lease: LeaseId,
        now: Timestamp,
        after: Duration,
    ) -> bool {
        let Some(at) = self.held(name, lease, now) else { return false };
        let message = &mut self.queue(name)[at];
        message.visible_at = now + after;
        message.receive_count -= 1;
        message.lease = None;
        true
    }

    /// Returns the oldest message of each group, in the order in which groups
    /// are served.
    pub fn heads(&mut self, name: &QueueName) -> Vec<Message> {
        let mut heads: Vec<Message> = Vec::new();
        for message in self.queue(name).iter() {
            if heads.iter().all(|head| head.group != message.group) {
                heads.push(message.clone());
            }
        }
        heads.sort_by_key(|head| (head.visible_at, head.number));
        heads
    }

    /// Leases messages, group by group.
    pub fn receive(
        &mut self,
        name: &QueueName,
        receive: Receive,
        now: Timestamp,
    ) -> Vec<(LeaseId, Received)> {
        let mut taken = Vec::new();
        loop {
            let mut new_heads = false;
            let claimable = self.heads(name).into_iter().filter(|head| head.visible_at <= now);
            let groups: Vec<_> = claimable.take(receive.max - taken.len()).collect();
            for head in groups {
                let received = self.receive_group(name, &head.group, receive, now, &mut taken);
                new_heads |= received == GroupReceive::MessageDied;
            }
            if !new_heads || taken.len() == receive.max {
                return taken;
            }
        }
    }

    /// Leases the group's messages from its head up to the first in flight.
    pub fn receive_group(
        &mut self,
        name: &QueueName,
        group: &str,
        receive: Receive,
        now: Timestamp,
        taken: &mut Vec<(LeaseId, Received)>,
    ) -> GroupReceive {
        let limit = name.deliveries_max().unwrap_or(u32::MAX);
        let numbers: Vec<u64> =
            self.queue(name).iter().filter(|m| m.group == group).map(|m| m.number).collect();
        for number in numbers {
            // The number may stay unused. Only the order of numbers matters.
            let lease = self.next_number();
            let at = self.queue(name).iter().position(|m| m.number == number);
            let at = at.expect("it was just there");
            let message = &mut self.queue(name)[at];
            if taken.len() == receive.max || message.visible_at > now {
                return GroupReceive::Leased;
            }
            if message.receive_count == limit {
                let reason = format!("received {limit} times and never settled");
                self.dead_letter(name, at, &reason, now);
                return GroupReceive::MessageDied;
            }
            taken.push(message.lease(lease, receive.holder, now + receive.lease));
        }
        GroupReceive::Leased
    }

    /// Leases one message, unless another holder has it.
    pub fn take(
        &mut self,
        name: &QueueName,
        number: u64,
        lease: Duration,
        now: Timestamp,
    ) -> TakenMessage {
        let number_of_lease = self.next_number();
        let found = self.queue(name).iter_mut().find(|message| message.number == number);
        match found {
            None => TakenMessage::NotFound,
            Some(message) if message.is_held(now) => TakenMessage::InHand(message.visible_at),
            Some(message) => {
                TakenMessage::Leased(message.lease(number_of_lease, Holder::Process, now + lease))
            }
        }
    }

    /// Finds the first message with this key, its newest dead letter, and its
    /// last consumed outcome.
    pub fn locate(&self, kind: JobKind, key: &str, now: Timestamp) -> Location {
        let message = self.queues.iter().filter(|(queue, _)| queue.kind == kind).find_map(
            |(queue, messages)| {
                let at = messages.iter().position(|message| message.key == key)?;
                let found = &messages[at];
                let before = messages[..at].iter().filter(|other| other.group == found.group);
                Some(MessageLocation {
                    queue: queue.clone(),
                    id: MessageId::new(found.number.to_string()),
                    sent_at: found.sent_at,
                    state: found.state(now),
                    receive_count: found.receive_count,
                    before: before.count() as u64,
                    body: found.body.clone(),
                })
            },
        );
        let letters = self.dead.iter().filter(|(queue, _)| queue.kind == kind);
        let mut dead_letters = letters.flat_map(|(queue, letters)| {
            letters
                .iter()
                .filter(|letter| letter.key == key)
                .map(|one| (queue.clone(), one.clone()))
        });
        let archive = self.archive.iter().filter(|(queue, _)| queue.kind == kind);
        let mut collected = archive
            .flat_map(|(_, archived)| archived)
            .filter(|(message, at)| message.key == key && now.since(*at) < DAY)
            .map(|(message, at)| (*at, message.body.clone()));
        Location {
            message,
            dead_letter: dead_letters.next_back(),
            collected: collected.next_back(),
        }
    }

    /// Moves the message at a place of its queue to the dead letters.
    pub fn dead_letter(&mut self, name: &QueueName, at: usize, reason: &str, now: Timestamp) {
        let message = self.queue(name).remove(at);
        let letter = DeadLetter {
            id: DeadLetterId::new(message.number.to_string()),
            group: message.group,
            key: message.key,
            body: message.body,
            reason: reason.to_owned(),
            sent_at: message.sent_at,
            died_at: now,
            receive_count: message.receive_count,
        };
        let letters = self.dead.entry(name.clone()).or_default();
        letters.push(letter);
        letters.sort_by_key(|letter| letter_number(&letter.id).expect("it is a number"));
    }

    /// Deletes a dead letter. Returns false if there is none.
    pub fn discard(&mut self, name: &QueueName, id: &DeadLetterId) -> bool {
        let letters = self.dead.entry(name.clone()).or_default();
        let before = letters.len();
        letters.retain(|letter| letter.id != *id);
        letters.len() < before
    }

    /// Moves messages from the archive back to their old places, and returns
    /// their number.
    pub fn redeliver(&mut self, name: &QueueName, which: &Redeliver, now: Timestamp) -> u64 {
        let archived = self.archive.remove(name).unwrap_or_default();
        let (back, stays): (Vec<_>, Vec<_>) = archived.into_iter().partition(|(message, at)| {
            now.since(*at) < DAY
                && match which {
                    Redeliver::Keys(keys) => keys.contains(&message.key),
                    Redeliver::Since(since) => *at >= *since,
                }
        });
        self.archive.insert(name.clone(), stays);
        let count = back.len() as u64;
        let queue = self.queue(name);
        queue.extend(back.into_iter().map(|(message, _)| Message {
            sent_at: now,
            visible_at: now,
            receive_count: 0,
            lease: None,
            ..message
        }));
        // Back in their old places, perhaps in front of the present heads.
        queue.sort_by_key(|message| message.number);
        count
    }
}

/// Parses a dead letter's id: here the number of its message.
pub fn letter_number(id: &DeadLetterId) -> Result<u64, InvalidArgument> {
    id.as_str().parse().map_err(|_| InvalidArgument::DeadLetterId)
}
