//! What a queue promises, as plainly as it can be written down: lists in
//! memory, for tests.
//!
//! It passes the [suite](super::conformance) like any backend, and random
//! sequences compare the embedded queue with it, so it shares no code with that
//! one. Where the trait leaves the order between groups open it does as the
//! embedded queue promises: the group that has been claimable longest comes
//! first.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::time::Duration;
use std::time::Instant;

use async_trait::async_trait;
use tokio::sync::Notify;

use super::BATCH_MAX;
use super::Blocked;
use super::BlockedGroup;
use super::DeadLetter;
use super::Delivery;
use super::Holder;
use super::LEASE_MAX;
use super::Lease;
use super::NewMessage;
use super::Queue;
use super::QueueError;
use super::QueueName;
use super::QueueStats;
use super::Receipt;
use super::Receive;
use super::Received;
use super::Redeliver;
use super::Releases;
use super::Sent;
use super::Stage;
use super::WAIT_MAX;
use hoth_core::domain::Digest;
use hoth_core::domain::Timestamp;
use hoth_platform::clock::Clock;

/// For how long keys are remembered and consumed outcomes kept.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Queues in memory. Clones are the same queues.
#[derive(Clone)]
pub struct Model {
    state: Arc<Mutex<State>>,
    /// Something may have become claimable.
    changed: Arc<Notify>,
    clock: Clock,
}

#[derive(Default)]
struct State {
    /// Messages in the order in which they stand.
    queues: BTreeMap<QueueName, Vec<Message>>,
    dead: BTreeMap<QueueName, Vec<DeadLetter>>,
    archive: BTreeMap<QueueName, Vec<(Message, Timestamp)>>,
    known: HashMap<(&'static str, String), (Digest, Timestamp)>,
    numbers: u64,
}

#[derive(Clone)]
struct Message {
    number: u64,
    group: String,
    key: String,
    body: String,
    sent_at: Timestamp,
    visible_at: Timestamp,
    receive_count: u32,
    lease: Option<(u64, Holder)>,
}

/// A message and its last lease, by their numbers.
#[derive(Clone, Copy)]
struct Held {
    number: u64,
    lease: u64,
}

impl Held {
    fn receipt(self) -> Receipt {
        Receipt::new(format!("{}/{}", self.number, self.lease))
    }

    fn parse(receipt: &Receipt) -> Result<Self, QueueError> {
        let parsed = receipt.as_str().split_once('/').and_then(|(number, lease)| {
            Some(Self { number: number.parse().ok()?, lease: lease.parse().ok()? })
        });
        parsed.ok_or(QueueError::Refused("not a receipt of this queue"))
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn queue(&mut self, name: &QueueName) -> &mut Vec<Message> {
        self.queues.entry(name.clone()).or_default()
    }

    fn insert(&mut self, name: &QueueName, new: NewMessage, now: Timestamp) {
        let message = Message {
            number: self.number(),
            group: new.group,
            key: new.key,
            body: new.body,
            sent_at: now,
            visible_at: new.not_before.map_or(now, |due| due.max(now)),
            receive_count: 0,
            lease: None,
        };
        self.queue(name).push(message);
    }

    /// Whether a message that is not held is gone, and not because another holder
    /// has consumed it.
    fn was_deleted(&mut self, name: &QueueName, held: Held, now: Timestamp) -> bool {
        let mut archived = self.archive.get(name).into_iter().flatten();
        let consumed = archived
            .find(|(message, at)| message.number == held.number && now.since(*at) < DAY)
            .and_then(|(message, _)| message.lease);
        self.queue(name).iter().all(|message| message.number != held.number)
            && consumed.is_none_or(|(lease, _)| lease == held.lease)
    }

    /// Where a message stands that is held under this receipt.
    fn held(&mut self, name: &QueueName, held: Held, now: Timestamp) -> Option<usize> {
        self.queue(name).iter().position(|message| {
            message.number == held.number
                && message.lease.is_some_and(|(lease, _)| lease == held.lease)
                && message.visible_at > now
        })
    }

    /// The oldest message of each group, in the order in which groups are
    /// served.
    fn heads(&mut self, name: &QueueName) -> Vec<Message> {
        let mut heads: Vec<Message> = Vec::new();
        for message in self.queue(name).iter() {
            if heads.iter().all(|head| head.group != message.group) {
                heads.push(message.clone());
            }
        }
        heads.sort_by_key(|head| (head.visible_at, head.number));
        heads
    }

    fn receive(
        &mut self,
        name: &QueueName,
        receive: Receive,
        now: Timestamp,
    ) -> Vec<(Held, Received)> {
        let mut taken = Vec::new();
        loop {
            let mut buried = false;
            let claimable = self.heads(name).into_iter().filter(|head| head.visible_at <= now);
            let groups: Vec<_> = claimable.take(receive.max - taken.len()).collect();
            for head in groups {
                buried |= self.receive_group(name, &head.group, receive, now, &mut taken);
            }
            if !buried || taken.len() == receive.max {
                return taken;
            }
        }
    }

    /// Leases the group's messages from its head up to the first in flight.
    /// True: one died instead.
    fn receive_group(
        &mut self,
        name: &QueueName,
        group: &str,
        receive: Receive,
        now: Timestamp,
        taken: &mut Vec<(Held, Received)>,
    ) -> bool {
        let limit = name.deliveries_max().unwrap_or(u32::MAX);
        let numbers: Vec<u64> =
            self.queue(name).iter().filter(|m| m.group == group).map(|m| m.number).collect();
        for number in numbers {
            let lease = self.number();
            let at = self.queue(name).iter().position(|m| m.number == number);
            let at = at.expect("it was just there");
            let message = &mut self.queue(name)[at];
            if taken.len() == receive.max || message.visible_at > now {
                return false;
            }
            message.receive_count += 1;
            if message.receive_count > limit {
                let reason = format!("delivered {limit} times without end");
                message.receive_count -= 1;
                self.bury(name, at, &reason, now);
                return true;
            }
            message.visible_at = now + receive.lease;
            message.lease = Some((lease, receive.holder));
            let received = Received {
                group: message.group.clone(),
                key: message.key.clone(),
                body: message.body.clone(),
                sent_at: message.sent_at,
                receive_count: message.receive_count,
            };
            taken.push((Held { number, lease }, received));
        }
        false
    }

    fn bury(&mut self, name: &QueueName, at: usize, reason: &str, now: Timestamp) {
        let message = self.queue(name).remove(at);
        let letter = DeadLetter {
            id: message.number.to_string(),
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
        letters.sort_by_key(|letter| letter.id.parse::<u64>().expect("a number"));
    }

    /// Forgets a dead letter; whether there was one.
    fn discard(&mut self, name: &QueueName, id: &str) -> bool {
        let letters = self.dead.entry(name.clone()).or_default();
        let before = letters.len();
        letters.retain(|letter| letter.id != id);
        letters.len() < before
    }

    fn redeliver(&mut self, name: &QueueName, which: &Redeliver, now: Timestamp) -> u64 {
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
        queue.sort_by_key(|message| message.number);
        count
    }
}

impl Model {
    pub fn new(clock: Clock) -> Self {
        Self { state: Arc::default(), changed: Arc::default(), clock }
    }

    /// What a restart of the host does: leases of its process end.
    pub fn restart(&self) {
        let now = self.clock.now();
        for message in self.state().queues.values_mut().flatten() {
            let ours = message.lease.is_some_and(|(_, holder)| holder == Holder::Process);
            if ours && message.visible_at > now {
                message.visible_at = now;
            }
        }
        self.poke();
    }

    /// Lets who waits look again, when the clock was moved.
    pub fn poke(&self) {
        self.changed.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no one panics while holding the model")
    }

    /// Does something, and lets who waits look again.
    fn change<T>(&self, act: impl FnOnce(&mut State, Timestamp) -> T) -> T {
        let done = act(&mut self.state(), self.clock.now());
        self.poke();
        done
    }
}

impl Releases for Model {
    fn release(&self, queue: &QueueName, receipt: &Receipt) {
        let Ok(held) = Held::parse(receipt) else { return };
        self.change(|state, now| {
            if let Some(at) = state.held(queue, held, now) {
                state.queue(queue)[at].visible_at = now;
            }
        });
    }
}

fn ended(held: bool) -> Result<(), QueueError> {
    if held { Ok(()) } else { Err(QueueError::LeaseEnded) }
}

#[async_trait]
impl Queue for Model {
    async fn send(&self, queue: &QueueName, message: NewMessage) -> Result<Sent, QueueError> {
        message.check()?;
        let known = (queue.family(), message.dedup.key.clone());
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
        let lease_fits = !receive.lease.is_zero() && receive.lease <= LEASE_MAX;
        if !(1..=BATCH_MAX).contains(&receive.max) || receive.wait > WAIT_MAX || !lease_fits {
            return Err(QueueError::Refused("a receive out of bounds"));
        }
        let until = tokio::time::Instant::from_std(Instant::now() + receive.wait);
        loop {
            let changed = self.changed.notified();
            let taken = {
                let (mut state, now) = (self.state(), self.clock.now());
                state.receive(queue, receive, now)
            };
            if !taken.is_empty() {
                let delivery = |(held, message): (Held, Received)| {
                    let releases = Arc::new(self.clone());
                    Delivery { message, lease: Lease::new(queue.clone(), held.receipt(), releases) }
                };
                return Ok(taken.into_iter().map(delivery).collect());
            }
            if tokio::time::timeout_at(until, changed).await.is_err() {
                return Ok(Vec::new());
            }
        }
    }

    async fn delete(&self, queue: &QueueName, receipts: &[Receipt]) -> Result<(), QueueError> {
        let held = receipts.iter().map(Held::parse).collect::<Result<Vec<_>, _>>()?;
        let archived = queue.stage == Stage::Outcomes;
        ended(self.change(|state, now| {
            let mut all = true;
            for one in held {
                if let Some(at) = state.held(queue, one, now) {
                    let message = state.queue(queue).remove(at);
                    if archived {
                        state.archive.entry(queue.clone()).or_default().push((message, now));
                    }
                } else {
                    all &= state.was_deleted(queue, one, now);
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
        if after > LEASE_MAX {
            return Err(QueueError::Refused("a lease out of bounds"));
        }
        let held = receipts.iter().map(Held::parse).collect::<Result<Vec<_>, _>>()?;
        ended(self.change(|state, now| {
            let mut all = true;
            for one in held {
                match state.held(queue, one, now) {
                    Some(at) => state.queue(queue)[at].visible_at = now + after,
                    None => all = false,
                }
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
        let held = Held::parse(receipt)?;
        ended(self.change(|state, now| {
            let Some(at) = state.held(queue, held, now) else { return false };
            state.queue(queue).remove(at);
            state.insert(successor_queue, successor, now);
            true
        }))
    }

    async fn bury(
        &self,
        queue: &QueueName,
        receipt: &Receipt,
        _: &Received,
        reason: &str,
        report: Option<(QueueName, NewMessage)>,
    ) -> Result<(), QueueError> {
        report.iter().try_for_each(|(_, message)| message.check())?;
        let held = Held::parse(receipt)?;
        ended(self.change(|state, now| {
            let Some(at) = state.held(queue, held, now) else { return false };
            state.bury(queue, at, reason, now);
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
        after: Option<&str>,
        max: usize,
    ) -> Result<Vec<DeadLetter>, QueueError> {
        let number = |id: &str| id.parse::<u64>().map_err(|_| QueueError::Refused("not an id"));
        let after = after.map_or(Ok(0), number)?;
        let letters = self.state().dead.get(queue).cloned().unwrap_or_default();
        let behind = letters
            .into_iter()
            .filter(|letter| letter.id.parse::<u64>().is_ok_and(|number| number > after));
        Ok(behind.take(max).collect())
    }

    async fn revive(
        &self,
        queue: &QueueName,
        id: &str,
        message: NewMessage,
    ) -> Result<bool, QueueError> {
        message.check()?;
        Ok(self.change(|state, now| {
            let found = state.discard(queue, id);
            if found {
                state.insert(queue, message, now);
            }
            found
        }))
    }

    async fn discard(&self, queue: &QueueName, ids: &[String]) -> Result<u64, QueueError> {
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
            self.0.poke();
        }

        fn dedup_window(&self) -> Duration {
            DAY
        }
    }

    crate::full_suite!(InMemory(Model::new(Clock::manual(Timestamp::from_millis(1_000)))));
}
