//! Who waits at which queue, and when a look at it is worth its while.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::time::Instant;

use super::command::Waiter;
use crate::QueueName;
use hoth_core::domain::Timestamp;

/// The receivers that wait, in a line for each queue.
#[derive(Default)]
pub struct Lines(HashMap<QueueName, Line>);

/// The receivers that wait at one queue, first come, first served.
#[derive(Default)]
struct Line {
    waiters: VecDeque<Waiter>,
    /// When something becomes claimable without anybody's doing.
    next_due: Option<Timestamp>,
    /// Something was done to the queue, or somebody came, since the last look.
    touched: bool,
}

impl Lines {
    /// Lets a receiver stand in line.
    pub fn add(&mut self, waiter: Waiter) {
        let line = self.0.entry(waiter.queue.clone()).or_default();
        line.waiters.push_back(waiter);
        line.touched = true;
    }

    /// Puts receivers, in the order in which they were taken, back to where they
    /// stood.
    pub fn put_back(&mut self, taken: impl DoubleEndedIterator<Item = Waiter>) {
        for waiter in taken.rev() {
            let line = self.0.entry(waiter.queue.clone()).or_default();
            line.waiters.push_front(waiter);
            line.touched = true;
        }
    }

    /// Something was done to a queue.
    pub fn touch(&mut self, queue: &QueueName) {
        if let Some(line) = self.0.get_mut(queue) {
            line.touched = true;
        }
    }

    /// The queues at which somebody waits and something may have become
    /// claimable since they were last looked at.
    pub fn worth_a_look(&self, now: Timestamp) -> Vec<QueueName> {
        let worth = |line: &Line| {
            let due = line.next_due.is_some_and(|due| due <= now);
            !line.waiters.is_empty() && (line.touched || due)
        };
        self.0.iter().filter(|(_, line)| worth(line)).map(|(queue, _)| queue.clone()).collect()
    }

    /// The first in line who is still there.
    pub fn first(&mut self, queue: &QueueName) -> Option<&Waiter> {
        let line = self.0.get_mut(queue)?;
        while line.waiters.front().is_some_and(|waiter| waiter.reply.is_closed()) {
            line.waiters.pop_front();
        }
        line.waiters.front()
    }

    /// Takes the first out of the line.
    pub fn take_first(&mut self, queue: &QueueName) -> Option<Waiter> {
        self.0.get_mut(queue)?.waiters.pop_front()
    }

    /// Whatever was claimable at a queue has been handed out; the next comes at
    /// `next_due`.
    pub fn looked_at(&mut self, queue: &QueueName, next_due: Option<Timestamp>) {
        if let Some(line) = self.0.get_mut(queue) {
            line.touched = false;
            line.next_due = next_due;
        }
    }

    /// Nobody is served before `when`, unless something is done to a queue.
    pub fn defer(&mut self, when: Timestamp) {
        for line in self.0.values_mut() {
            line.touched = false;
            line.next_due = Some(when);
        }
    }

    /// Takes out who has waited long enough, or has gone away.
    pub fn over(&mut self, now: Instant) -> Vec<Waiter> {
        let mut over = Vec::new();
        for line in self.0.values_mut() {
            // Mostly nobody has, and then nobody is moved.
            let ends = |waiter: &Waiter| waiter.until <= now || waiter.reply.is_closed();
            if line.waiters.iter().any(ends) {
                let (ended, waiting): (Vec<_>, Vec<_>) =
                    std::mem::take(&mut line.waiters).into_iter().partition(ends);
                line.waiters = waiting.into();
                over.extend(ended);
            }
        }
        over
    }

    /// Takes everybody out.
    pub fn drain(&mut self) -> impl Iterator<Item = Waiter> {
        self.0.drain().flat_map(|(_, line)| line.waiters)
    }

    /// When the first receiver has waited long enough.
    pub fn next_over(&self) -> Option<Instant> {
        self.0.values().flat_map(|line| &line.waiters).map(|waiter| waiter.until).min()
    }

    /// When the first message becomes claimable for which somebody waits.
    pub fn next_due(&self) -> Option<Timestamp> {
        let waited_for = self.0.values().filter(|line| !line.waiters.is_empty());
        waited_for.filter_map(|line| line.next_due).min()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;
    use crate::Holder;
    use crate::Receive;
    use hoth_core::domain::JobKind;

    type Answer = oneshot::Receiver<Result<Vec<super::super::store::Leased>, crate::QueueError>>;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// A receiver that can be told from others by how many messages it takes.
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
    fn those_whose_turn_came_to_nothing_keep_their_places() {
        let queue = QueueName::outcomes(JobKind::Provisioning);
        let (mut lines, mut answers) = (Lines::default(), Vec::new());
        for max in 1..=4 {
            let (waiter, answer) = waiter(&queue, max);
            lines.add(waiter);
            answers.push(answer);
        }
        let taken: Vec<_> = (0..2).filter_map(|_| lines.take_first(&queue)).collect();
        lines.put_back(taken.into_iter());
        // The second one hangs up.
        drop(answers.remove(1));
        let mut order = Vec::new();
        while let Some(first) = lines.first(&queue) {
            order.push(first.receive.max);
            lines.take_first(&queue);
        }
        assert_eq!(order, [1, 3, 4]);
    }

    #[test]
    fn a_queue_is_worth_a_look_when_something_was_done_or_is_due() {
        let queue = QueueName::outcomes(JobKind::Provisioning);
        let mut lines = Lines::default();
        lines.touch(&queue);
        assert!(lines.worth_a_look(at(0)).is_empty(), "nobody waits");
        let (waiter, _answer) = waiter(&queue, 1);
        lines.add(waiter);
        assert_eq!(lines.worth_a_look(at(0)), std::slice::from_ref(&queue), "somebody came");
        lines.looked_at(&queue, Some(at(10)));
        assert!(lines.worth_a_look(at(9)).is_empty(), "nothing is due");
        assert_eq!(lines.worth_a_look(at(10)), std::slice::from_ref(&queue), "something is due");
        lines.looked_at(&queue, None);
        lines.touch(&queue);
        assert_eq!(lines.worth_a_look(at(10)), std::slice::from_ref(&queue), "something was done");
        lines.defer(at(20));
        assert!(lines.worth_a_look(at(19)).is_empty(), "put off");
        assert_eq!(lines.next_due(), Some(at(20)));
    }
}
