//! A model of the queue contract: lists in memory, for tests.
//!
//! The model is as plain as possible. It passes the [suite](crate::conformance)
//! like any backend, and random sequences compare the embedded queue with it,
//! so it shares no code with that backend. The contract leaves the order
//! between groups open; here the model does as the embedded queue promises: the
//! group that has been claimable longest comes first.

mod state;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::time::Duration;
use std::time::Instant;

use async_trait::async_trait;
use hoth_core::domain::JobKind;
use hoth_core::domain::PortfolioId;
use hoth_core::domain::Timestamp;
use hoth_platform::clock::Clock;
use tokio::sync::Notify;

use self::state::DAY;
use self::state::LeaseId;
use self::state::Message;
use self::state::State;
use self::state::TakenMessage;
use self::state::letter_number;
use crate::contract::Holder;
use crate::contract::Queue;
use crate::contract::Receive;
use crate::contract::Redeliver;
use crate::contract::Redrive;
use crate::contract::Sent;
use crate::contract::Take;
use crate::contract::check_lease;
use crate::contract::check_new_lease;
use crate::error::InvalidArgument;
use crate::error::QueueError;
use crate::lease::Delivery;
use crate::lease::Dropped;
use crate::lease::Lease;
use crate::lease::Receipt;
use crate::lease::Releases;
use crate::limits::DEAD_LETTERS_MAX;
use crate::limits::PANIC_PAUSE;
use crate::message::NewMessage;
use crate::message::Received;
use crate::name::QueueName;
use crate::name::Stage;
use crate::state::Blocked;
use crate::state::BlockedGroup;
use crate::state::DeadLetter;
use crate::state::DeadLetterId;
use crate::state::Location;
use crate::state::MessageId;
use crate::state::QueueStats;

/// Queues in memory. Clones share the queues, so that a lease can hold a clone.
#[derive(Clone)]
pub struct Model {
    state: Arc<Mutex<State>>,
    /// Notified when a message may have become claimable. Every receive checks
    /// again then.
    changed: Arc<Notify>,
    clock: Clock,
    /// False if no message can be found or taken, as on SQS.
    can_be_looked_into: bool,
}

impl Model {
    /// Makes empty queues.
    pub fn new(clock: Clock) -> Self {
        let (state, changed) = (Arc::default(), Arc::default());
        Self { state, changed, clock, can_be_looked_into: true }
    }

    /// Makes empty queues that cannot be looked into, like those of SQS.
    pub fn opaque(clock: Clock) -> Self {
        Self { can_be_looked_into: false, ..Self::new(clock) }
    }

    /// Ends the leases of the process, as a restart of the host does.
    pub fn restart(&self) {
        let now = self.clock.now();
        for message in self.state().queues.values_mut().flatten() {
            let ours = message.lease.is_some_and(|(_, holder)| holder == Holder::Process);
            if ours && message.visible_at > now {
                message.visible_at = now;
            }
        }
        self.wake_waiters();
    }

    /// Has waiting receives check again, after a test has moved the clock.
    pub fn wake_waiters(&self) {
        self.changed.notify_waiters();
    }

    /// Returns the id of the first message of a queue with this key.
    #[cfg(test)]
    pub fn id_of(&self, queue: &QueueName, key: &str) -> Option<MessageId> {
        let mut state = self.state();
        let found = state.queue(queue).iter().find(|message| message.key == key)?;
        Some(MessageId::new(found.number.to_string()))
    }

    fn delivery(&self, queue: &QueueName, (lease, message): (LeaseId, Received)) -> Delivery {
        let releases = Arc::new(self.clone());
        Delivery { message, lease: Lease::new(queue.clone(), lease.to_receipt(), releases) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while holding the model")
    }

    /// Changes the state, and has waiting receives check again.
    fn change<T>(&self, change: impl FnOnce(&mut State, Timestamp) -> T) -> T {
        // The lock ends with this statement, before the receives wake up.
        let done = change(&mut self.state(), self.clock.now());
        self.wake_waiters();
        done
    }
}

impl Releases for Model {
    fn release(&self, queue: &QueueName, receipt: &Receipt, dropped: Dropped) {
        let Ok(lease) = LeaseId::parse(receipt) else { return };
        self.change(|state, now| match dropped {
            Dropped::NotStarted => state.give_back(queue, lease, now, Duration::ZERO),
            Dropped::Cancelled => state.change_lease(queue, lease, now, Duration::ZERO),
            Dropped::Panicked => state.change_lease(queue, lease, now, PANIC_PAUSE),
        });
    }
}

/// Returns the result of an act that needs its leases held.
fn ended(held: bool) -> Result<(), QueueError> {
    if held { Ok(()) } else { Err(QueueError::LeaseEnded) }
}

#[async_trait]
impl Queue for Model {
    async fn send(&self, queue: &QueueName, message: NewMessage) -> Result<Sent, QueueError> {
        message.check()?;
        let known = (queue.family(), message.dedup.key.as_str().to_owned());
        Ok(self.change(|state, now| match state.known.get(&known) {
            Some((content, until)) if *until > now => match *content == message.dedup.content {
                true => Sent::Duplicate,
                false => Sent::Conflict,
            },
            Some(_) | None => {
                state.known.insert(known, (message.dedup.content, now + DAY));
                state.insert(queue, message, now);
                Sent::Queued
            }
        }))
    }

    async fn receive(
        &self,
        queue: &QueueName,
        receive: Receive,
    ) -> Result<Vec<Delivery>, QueueError> {
        receive.check()?;
        let until = tokio::time::Instant::from_std(Instant::now() + receive.wait);
        loop {
            // Before the check: a change between the two must end the wait. The
            // future is notified from its creation on (tokio documentation,
            // `Notify::notified`).
            let changed = self.changed.notified();
            let taken = {
                let (mut state, now) = (self.state(), self.clock.now());
                state.receive(queue, receive, now)
            };
            if !taken.is_empty() {
                return Ok(taken.into_iter().map(|one| self.delivery(queue, one)).collect());
            }
            if tokio::time::timeout_at(until, changed).await.is_err() {
                return Ok(Vec::new());
            }
        }
    }

    async fn take(
        &self,
        queue: &QueueName,
        id: &MessageId,
        lease: Duration,
    ) -> Result<Take, QueueError> {
        check_new_lease(lease)?;
        if !self.can_be_looked_into {
            return Err(QueueError::NotOffered("taking one message"));
        }
        let number = id.as_str().parse().map_err(|_| InvalidArgument::MessageId)?;
        Ok(match self.change(|state, now| state.take(queue, number, lease, now)) {
            TakenMessage::NotFound => Take::NotFound,
            TakenMessage::InHand(until) => Take::InHand { until },
            TakenMessage::Leased(taken) => Take::Taken(self.delivery(queue, taken)),
        })
    }

    async fn delete(&self, queue: &QueueName, receipts: &[Receipt]) -> Result<(), QueueError> {
        let leases = receipts.iter().map(LeaseId::parse).collect::<Result<Vec<_>, _>>()?;
        let archived = queue.stage == Stage::Outcomes;
        ended(self.change(|state, now| {
            let mut all = true;
            for lease in leases {
                if let Some(at) = state.held(queue, lease, now) {
                    let message = state.queue(queue).remove(at);
                    if archived {
                        state.archive.entry(queue.clone()).or_default().push((message, now));
                    }
                } else {
                    all &= state.was_deleted(queue, lease, now);
                }
            }
            all
        }))
    }

    async fn change_lease(
        &self,
        queue: &QueueName,
        receipts: &[Receipt],
        after: Duration,
    ) -> Result<(), QueueError> {
        check_lease(after)?;
        let leases = receipts.iter().map(LeaseId::parse).collect::<Result<Vec<_>, _>>()?;
        ended(self.change(|state, now| {
            let mut all = true;
            for lease in leases {
                all &= state.change_lease(queue, lease, now, after);
            }
            all
        }))
    }

    async fn give_back(
        &self,
        queue: &QueueName,
        receipts: &[Receipt],
        after: Duration,
    ) -> Result<(), QueueError> {
        check_lease(after)?;
        let leases = receipts.iter().map(LeaseId::parse).collect::<Result<Vec<_>, _>>()?;
        ended(self.change(|state, now| {
            let mut all = true;
            for lease in leases {
                all &= state.give_back(queue, lease, now, after);
            }
            all
        }))
    }

    async fn settle(
        &self,
        queue: &QueueName,
        receipt: &Receipt,
        successor_queue: &QueueName,
        successor: NewMessage,
    ) -> Result<(), QueueError> {
        successor.check()?;
        let lease = LeaseId::parse(receipt)?;
        ended(self.change(|state, now| {
            let Some(at) = state.held(queue, lease, now) else { return false };
            state.queue(queue).remove(at);
            state.insert(successor_queue, successor, now);
            true
        }))
    }

    async fn dead_letter(
        &self,
        queue: &QueueName,
        receipt: &Receipt,
        _: &Received,
        reason: &str,
        report: Option<(QueueName, NewMessage)>,
    ) -> Result<(), QueueError> {
        report.iter().try_for_each(|(_, message)| message.check())?;
        let lease = LeaseId::parse(receipt)?;
        ended(self.change(|state, now| {
            let Some(at) = state.held(queue, lease, now) else { return false };
            state.dead_letter(queue, at, reason, now);
            if let Some((to, message)) = report {
                state.insert(&to, message, now);
            }
            true
        }))
    }

    async fn redeliver(&self, queue: &QueueName, which: Redeliver) -> Result<u64, QueueError> {
        Ok(self.change(|state, now| state.redeliver(queue, &which, now)))
    }

    async fn dead_letters(
        &self,
        queue: &QueueName,
        after: Option<&DeadLetterId>,
        max: usize,
    ) -> Result<Vec<DeadLetter>, QueueError> {
        let after = after.map_or(Ok(0), letter_number)?;
        let letters = self.state().dead.get(queue).cloned().unwrap_or_default();
        let behind = letters
            .into_iter()
            .filter(|letter| letter_number(&letter.id).is_ok_and(|number| number > after));
        Ok(behind.take(max).collect())
    }

    async fn find_dead_letters(
        &self,
        queue: &QueueName,
        ids: &[DeadLetterId],
    ) -> Result<Vec<DeadLetter>, QueueError> {
        if ids.len() > DEAD_LETTERS_MAX {
            return Err(InvalidArgument::DiscardIds.into());
        }
        let letters = self.state().dead.get(queue).cloned().unwrap_or_default();
        Ok(letters.into_iter().filter(|letter| ids.contains(&letter.id)).collect())
    }

    async fn redrive(
        &self,
        queue: &QueueName,
        id: &DeadLetterId,
        message: NewMessage,
    ) -> Result<Redrive, QueueError> {
        message.check()?;
        Ok(self.change(|state, now| match state.discard(queue, id) {
            true => {
                state.insert(queue, message, now);
                Redrive::Sent
            }
            false => Redrive::NotFound,
        }))
    }

    async fn discard(&self, queue: &QueueName, ids: &[DeadLetterId]) -> Result<u64, QueueError> {
        Ok(self.change(|state, _| ids.iter().filter(|id| state.discard(queue, id)).count() as u64))
    }

    async fn blocked(&self, queue: &QueueName) -> Result<Vec<BlockedGroup>, QueueError> {
        let (mut state, now) = (self.state(), self.clock.now());
        let mut heads = state.heads(queue);
        heads.sort_by_key(|head| head.number);
        let messages = state.queue(queue);
        let blocked = heads.into_iter().filter(|head| head.visible_at > now).map(|head| {
            let waiting = messages.iter().filter(|message| message.group == head.group).count();
            BlockedGroup {
                group: head.group,
                head: head.key,
                sent_at: head.sent_at,
                waiting: waiting as u64,
                why: match head.lease {
                    None => Blocked::NotDue,
                    Some((_, Holder::Process)) => Blocked::LeasedToWorker,
                    Some((_, Holder::Client)) => Blocked::LeasedToClient,
                },
                until: head.visible_at,
            }
        });
        Ok(blocked.collect())
    }

    async fn check(&self) -> Result<(), QueueError> {
        Ok(())
    }

    async fn in_use(&self) -> Result<Vec<QueueName>, QueueError> {
        let state = self.state();
        let full = state.queues.iter().filter(|(_, messages)| !messages.is_empty());
        let dead = state.dead.iter().filter(|(_, letters)| !letters.is_empty());
        let names: BTreeSet<_> =
            full.map(|(name, _)| name).chain(dead.map(|(name, _)| name)).collect();
        Ok(names.into_iter().cloned().collect())
    }

    async fn stats(&self, queue: &QueueName) -> Result<QueueStats, QueueError> {
        let (mut state, now) = (self.state(), self.clock.now());
        let heads = state.heads(queue);
        let messages = state.queue(queue);
        let leased = |message: &&Message| message.lease.is_some() && message.visible_at > now;
        let in_flight = messages.iter().filter(leased).count();
        let oldest = |heads: &mut dyn Iterator<Item = &Message>| {
            heads.map(|head| head.sent_at).min().map(|sent_at| now.since(sent_at))
        };
        Ok(QueueStats {
            depth: (messages.len() - in_flight) as u64,
            in_flight: in_flight as u64,
            oldest_age: oldest(&mut heads.iter()),
            oldest_claimable_age: oldest(&mut heads.iter().filter(|head| head.visible_at <= now)),
            dead_letters: state.dead.get(queue).map_or(0, |letters| letters.len() as u64),
        })
    }

    async fn locate(
        &self,
        kind: JobKind,
        id: &str,
        _: Option<&PortfolioId>,
    ) -> Result<Location, QueueError> {
        if !self.can_be_looked_into {
            return Err(QueueError::NotOffered("finding the message of a job"));
        }
        let now = self.clock.now();
        Ok(self.state().locate(kind, id, now))
    }
}

#[cfg(test)]
mod suite {
    use std::time::Duration;

    use super::*;
    use crate::conformance::Fixture;

    struct InMemory(Model);

    impl Fixture for InMemory {
        fn queue(&self) -> &dyn Queue {
            &self.0
        }

        async fn advance(&self, by: Duration) {
            self.0.clock.advance(by);
            self.0.wake_waiters();
        }

        fn dedup_window(&self) -> Duration {
            DAY
        }
    }

    fn clock() -> Clock {
        Clock::manual(Timestamp::from_millis(1_000))
    }

    crate::full_conformance_suite!(InMemory(Model::new(clock())));

    mod opaque {
        use super::*;

        crate::conformance_checks! { InMemory(Model::opaque(clock()));
            a_sent_message_is_located,
            a_message_in_hand_is_not_taken,
        }
    }
}
