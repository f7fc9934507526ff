//! Wait queues of pending receives, and which to re-check after a commit.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::time::Instant;

use tokio::sync::oneshot;

use super::receipt::LeaseId;
use super::store::Leased;
use crate::contract::Receive;
use crate::error::QueueError;
use crate::name::QueueName;
use hoth_core::domain::Timestamp;

/// The answer to a receive.
pub type ReceiveResult = Result<Vec<Leased>, QueueError>;

/// A receive that waits for messages.
pub struct Waiter {
    pub queue: QueueName,
    pub receive: Receive,
    /// The end of the wait: then the answer is empty.
    pub until: Instant,
    pub reply: oneshot::Sender<ReceiveResult>,
}

/// Messages that were leased for a receiver that has gone away. Their leases
/// must be ended, or the messages stay hidden until these run out.
pub struct Undelivered {
    pub queue: QueueName,
    pub leases: Vec<LeaseId>,
}

impl Waiter {
    /// Answers the receiver. Returns the messages that it can no longer take,
    /// if there are any.
    pub fn answer(self, leased: ReceiveResult) -> Option<Undelivered> {
        let unsent = self.reply.send(leased).err()?.ok()?;
        (!unsent.is_empty()).then(|| Undelivered {
            queue: self.queue,
            leases: unsent.iter().map(|message| message.lease).collect(),
        })
    }
}

/// The pending receives of every queue.
#[derive(Default)]
pub struct WaitQueues(HashMap<QueueName, WaitQueue>);

/// The pending receives of one queue, first come, first served.
#[derive(Default)]
struct WaitQueue {
    waiters: VecDeque<Waiter>,
    /// The time at which the next message becomes claimable without any
    /// command: a lease runs out, or a delayed message is due.
    next_due: Option<Timestamp>,
    /// The queue was changed, or a receiver arrived, since the last check. A
    /// check costs two queries, so a clean queue is not checked.
    dirty: bool,
}

impl WaitQueues {
    /// Appends a receiver to its queue.
    pub fn add(&mut self, waiter: Waiter) {
        let queue = self.0.entry(waiter.queue.clone()).or_default();
        queue.waiters.push_back(waiter);
        queue.dirty = true;
    }

    /// Returns receivers to the front of their queues. They must be in the
    /// order in which they were taken.
    pub fn put_back(&mut self, taken: impl DoubleEndedIterator<Item = Waiter>) {
        // Each is put at the front, so the first taken must be put back last.
        for waiter in taken.rev() {
            let queue = self.0.entry(waiter.queue.clone()).or_default();
            queue.waiters.push_front(waiter);
            queue.dirty = true;
        }
    }

    /// Notes that a command changed a queue.
    pub fn mark_dirty(&mut self, queue: &QueueName) {
        if let Some(queue) = self.0.get_mut(queue) {
            queue.dirty = true;
        }
    }

    /// Lists the queues that have receivers and may have become claimable since
    /// their last check.
    pub fn dirty(&self, now: Timestamp) -> Vec<QueueName> {
        let may_serve = |queue: &WaitQueue| {
            let due = queue.next_due.is_some_and(|due| due <= now);
            !queue.waiters.is_empty() && (queue.dirty || due)
        };
        let found = self.0.iter().filter(|(_, queue)| may_serve(queue));
        found.map(|(name, _)| name.clone()).collect()
    }

    /// Returns the first receiver that is still waiting. Drops those before it
    /// that have gone away, so that nothing is leased for them.
    pub fn first(&mut self, queue: &QueueName) -> Option<&Waiter> {
        let queue = self.0.get_mut(queue)?;
        while queue.waiters.front().is_some_and(|waiter| waiter.reply.is_closed()) {
            queue.waiters.pop_front();
        }
        queue.waiters.front()
    }

    /// Removes and returns the first receiver.
    pub fn take_first(&mut self, queue: &QueueName) -> Option<Waiter> {
        self.0.get_mut(queue)?.waiters.pop_front()
    }

    /// Notes that everything claimable of a queue has been leased. The next
    /// message becomes claimable at `next_due`, if any does by itself.
    pub fn mark_clean(&mut self, queue: &QueueName, next_due: Option<Timestamp>) {
        if let Some(queue) = self.0.get_mut(queue) {
            queue.dirty = false;
            queue.next_due = next_due;
        }
    }

    /// Puts off the next check of every queue until `when`, or until a command
    /// changes the queue.
    pub fn defer(&mut self, when: Timestamp) {
        for queue in self.0.values_mut() {
            queue.dirty = false;
            queue.next_due = Some(when);
        }
    }

    /// Removes and returns the receivers whose wait is over, and the receivers
    /// that have gone away.
    pub fn take_expired(&mut self, now: Instant) -> Vec<Waiter> {
        let mut expired = Vec::new();
        for queue in self.0.values_mut() {
            let ends = |waiter: &Waiter| waiter.until <= now || waiter.reply.is_closed();
            // This runs after every transaction, and mostly finds no receiver:
            // only then is the queue rebuilt.
            if queue.waiters.iter().any(ends) {
                let (ended, waiting): (Vec<_>, Vec<_>) =
                    std::mem::take(&mut queue.waiters).into_iter().partition(ends);
                queue.waiters = waiting.into();
                expired.extend(ended);
            }
        }
        expired
    }

    /// Removes and returns all receivers.
    pub fn drain(&mut self) -> impl Iterator<Item = Waiter> {
        self.0.drain().flat_map(|(_, queue)| queue.waiters)
    }

    /// Returns the time at which the first wait is over, or `None` if there is
    /// no receiver.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.0.values().flat_map(|queue| &queue.waiters).map(|waiter| waiter.until).min()
    }

    /// Returns the time at which the first message becomes claimable that a
    /// receiver waits for, or `None` if there is none.
    pub fn next_due(&self) -> Option<Timestamp> {
        let waited_for = self.0.values().filter(|queue| !queue.waiters.is_empty());
        waited_for.filter_map(|queue| queue.next_due).min()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::contract::Holder;
    use hoth_core::domain::JobKind;

    type Answer = oneshot::Receiver<ReceiveResult>;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// Makes a receiver. Tests tell receivers apart by `max`, the number of
    /// messages that they ask for.
    fn waiter(queue: &QueueName, max: usize) -> (Waiter, Answer) {
        let (reply, answer) = oneshot::channel();
        let receive = Receive {
            max,
            wait: Duration::from_secs(20),
            lease: Duration::from_secs(30),
            holder: Holder::Process,
        };
        let until = Instant::now() + receive.wait;
        (Waiter { queue: queue.clone(), receive, until, reply }, answer)
    }

    #[test]
    fn receivers_that_were_put_back_keep_their_places() {
        let queue = QueueName::outcomes(JobKind::Provisioning);
        let (mut waiting, mut answers) = (WaitQueues::default(), Vec::new());
        for max in 1..=4 {
            let (waiter, answer) = waiter(&queue, max);
            waiting.add(waiter);
            answers.push(answer);
        }
        let taken: Vec<_> = (0..2).filter_map(|_| waiting.take_first(&queue)).collect();
        waiting.put_back(taken.into_iter());
        // The second receiver goes away.
        drop(answers.remove(1));
        let mut order = Vec::new();
        while let Some(first) = waiting.first(&queue) {
            order.push(first.receive.max);
            waiting.take_first(&queue);
        }
        assert_eq!(order, [1, 3, 4]);
    }

    #[test]
    fn a_queue_is_checked_when_it_was_changed_or_a_message_is_due() {
        let queue = QueueName::outcomes(JobKind::Provisioning);
        let mut waiting = WaitQueues::default();
        waiting.mark_dirty(&queue);
        assert!(waiting.dirty(at(0)).is_empty(), "no receiver waits");
        let (waiter, _answer) = waiter(&queue, 1);
        waiting.add(waiter);
        assert_eq!(waiting.dirty(at(0)), std::slice::from_ref(&queue), "a receiver arrived");
        waiting.mark_clean(&queue, Some(at(10)));
        assert!(waiting.dirty(at(9)).is_empty(), "no message is due");
        assert_eq!(waiting.dirty(at(10)), std::slice::from_ref(&queue), "a message is due");
        waiting.mark_clean(&queue, None);
        waiting.mark_dirty(&queue);
        assert_eq!(waiting.dirty(at(10)), std::slice::from_ref(&queue), "the queue was changed");
        waiting.defer(at(20));
        assert!(waiting.dirty(at(19)).is_empty(), "the check was put off");
        assert_eq!(waiting.next_due(), Some(at(20)));
    }
}
