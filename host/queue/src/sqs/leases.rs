//! The leases of this process: their ends, and the successors that were sent
//! under them.
//!
//! These are notes only: SQS decides, and knows the leases of other hosts. The
//! notes save a call if a lease has long to go, and stop every act under a
//! lease that has run out.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::time::Duration;
use std::time::Instant;

use crate::lease::Receipt;

/// The number of known leases at which ended leases are forgotten.
/// Leases in use are bounded by the jobs in progress; this bounds the rest.
const SWEEP_FROM: usize = 1_024;

/// The known leases.
#[derive(Default)]
pub struct Leases(Mutex<Known>);

#[derive(Default)]
struct Known {
    held: HashMap<Receipt, Held>,
    /// The size at which the next sweep is due: twice the size after the last
    /// one, so that sweeps cost a constant share of the calls.
    sweep_at: usize,
}

struct Held {
    /// SQS's id of the message, which is the same in every receive.
    message: String,
    end: LeaseEnd,
    /// The deduplication keys of the successors that were sent.
    sent: Vec<String>,
}

/// The end of a lease. SQS counts from some time within the call that took or
/// changed the lease: a receive may wait for seconds before that time.
#[derive(Debug, Clone, Copy)]
pub struct LeaseEnd {
    earliest: Instant,
    latest: Instant,
}

impl LeaseEnd {
    /// Returns the end of a lease of this length that a call has taken; the
    /// call began at `started` and has just ended.
    pub fn of_call(started: Instant, lease: Duration) -> Self {
        Self { earliest: started + lease, latest: Instant::now() + lease }
    }
}

/// The state of one lease, as far as this process knows.
#[derive(Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// The lease lasts for the margin at least.
    Held,
    /// The lease has run out.
    Ended,
    /// SQS must be asked: the end is near, or another host received the
    /// message.
    Unknown,
}

impl Leases {
    /// Notes that a lease now ends at `end`, sooner or later than before.
    /// Changes nothing if the lease is not known.
    pub fn extend(&self, receipt: &Receipt, end: LeaseEnd) {
        if let Some(held) = self.lock().held.get_mut(receipt) {
            held.end = end;
        }
    }

    /// Notes that messages are held until `end`; each receipt comes with SQS's
    /// id of its message.
    pub fn hold(&self, received: impl IntoIterator<Item = (Receipt, String)>, end: LeaseEnd) {
        let mut known = self.lock();
        if known.held.len() >= known.sweep_at.max(SWEEP_FROM) {
            // A forgotten lease becomes `Unknown`, and SQS itself refuses a
            // late act under it.
            let now = Instant::now();
            known.held.retain(|_, held| held.end.latest > now);
            known.sweep_at = known.held.len() * 2;
        }
        for (receipt, message) in received {
            // Each receive has a new receipt handle, so no successor was sent
            // yet.
            known.held.insert(receipt, Held { message, end, sent: Vec::new() });
        }
    }

    /// Forgets the lease of a message that was deleted, given back or left to
    /// its holder. Returns SQS's id of the message, if the lease was known.
    pub fn forget(&self, receipt: &Receipt) -> Option<String> {
        self.lock().held.remove(receipt).map(|held| held.message)
    }

    /// Returns SQS's id of the message, if the lease is known.
    pub fn message(&self, receipt: &Receipt) -> Option<String> {
        self.lock().held.get(receipt).map(|held| held.message.clone())
    }

    /// Compares the end of a lease with `margin` from now.
    pub fn state(&self, receipt: &Receipt, margin: Duration) -> LeaseState {
        let now = Instant::now();
        match self.lock().held.get(receipt) {
            Some(held) if held.end.latest <= now => LeaseState::Ended,
            Some(held) if held.end.earliest > now + margin => LeaseState::Held,
            Some(_) | None => LeaseState::Unknown,
        }
    }

    /// Notes that a successor was sent under this lease.
    pub fn note_sent(&self, receipt: &Receipt, key: &str) {
        if let Some(held) = self.lock().held.get_mut(receipt) {
            held.sent.push(key.to_owned());
        }
    }

    /// Returns true if a successor with this key was sent under this lease.
    pub fn has_sent(&self, receipt: &Receipt, key: &str) -> bool {
        let known = self.lock();
        known.held.get(receipt).is_some_and(|held| held.sent.iter().any(|sent| sent == key))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().expect("nothing panics while holding the lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARGIN: Duration = Duration::from_secs(20);

    fn at(time: Instant) -> LeaseEnd {
        LeaseEnd { earliest: time, latest: time }
    }

    fn hold(leases: &Leases, receipt: &Receipt, end: LeaseEnd) {
        leases.hold([(receipt.clone(), "m".to_owned())], end);
    }

    #[test]
    fn a_lease_is_held_ended_or_unknown() {
        let (leases, receipt) = (Leases::default(), Receipt::new("h"));
        let now = Instant::now();
        let state = || leases.state(&receipt, MARGIN);
        let held_until = |time| hold(&leases, &receipt, at(time));
        assert_eq!(state(), LeaseState::Unknown, "of another host");
        held_until(now + MARGIN * 2);
        assert_eq!(state(), LeaseState::Held);
        held_until(now + MARGIN);
        assert_eq!(state(), LeaseState::Unknown, "near its end");
        held_until(now);
        assert_eq!(state(), LeaseState::Ended);
        assert_eq!(leases.forget(&receipt).as_deref(), Some("m"));
        leases.extend(&receipt, at(now + MARGIN * 2));
        assert_eq!(state(), LeaseState::Unknown, "forgotten");
    }

    #[test]
    fn sqs_may_have_counted_from_any_time_of_the_call() {
        let (leases, receipt) = (Leases::default(), Receipt::new("h"));
        let call = Duration::from_secs(10);
        let Some(started) = Instant::now().checked_sub(call) else { return };
        for (lease, expected) in [
            (MARGIN + call / 2, LeaseState::Unknown),
            (MARGIN + call * 2, LeaseState::Held),
            (call / 2, LeaseState::Unknown),
            (Duration::ZERO, LeaseState::Ended),
        ] {
            hold(&leases, &receipt, LeaseEnd::of_call(started, lease));
            assert_eq!(leases.state(&receipt, MARGIN), expected, "{lease:?}");
        }
    }

    #[test]
    fn a_successor_is_remembered_while_the_lease_is_extended() {
        let (leases, receipt) = (Leases::default(), Receipt::new("h"));
        let until = Instant::now() + MARGIN;
        leases.note_sent(&receipt, "k");
        assert!(!leases.has_sent(&receipt, "k"), "nothing is held");
        hold(&leases, &receipt, at(until));
        leases.note_sent(&receipt, "k");
        leases.extend(&receipt, at(until + MARGIN));
        assert!(leases.has_sent(&receipt, "k") && !leases.has_sent(&receipt, "other"));
    }

    #[test]
    fn ended_leases_are_forgotten_when_there_are_many() {
        let leases = Leases::default();
        for n in 0..SWEEP_FROM * 3 {
            hold(&leases, &Receipt::new(n.to_string()), at(Instant::now()));
        }
        assert!(leases.lock().held.len() <= SWEEP_FROM);
    }
}
