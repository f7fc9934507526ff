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
    until: Instant,
    /// The deduplication keys of the successors that were sent.
    sent: Vec<String>,
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
    /// Notes that a lease now ends at `until`, sooner or later than before.
    /// Changes nothing if the lease is not known.
    pub fn extend(&self, receipt: &Receipt, until: Instant) {
        if let Some(held) = self.lock().held.get_mut(receipt) {
            held.until = until;
        }
    }

    /// Notes that messages are held until `until`.
    pub fn hold(&self, receipts: &[Receipt], until: Instant) {
        let mut known = self.lock();
        if known.held.len() >= known.sweep_at.max(SWEEP_FROM) {
            // A forgotten lease becomes `Unknown`, and SQS itself refuses a
            // late act under it.
            let now = Instant::now();
            known.held.retain(|_, held| held.until > now);
            known.sweep_at = known.held.len() * 2;
        }
        for receipt in receipts {
            // Each receive has a new receipt handle, so no successor was sent
            // yet.
            known.held.insert(receipt.clone(), Held { until, sent: Vec::new() });
        }
    }

    /// Forgets the lease of a message that was deleted or left to its holder.
    pub fn forget(&self, receipt: &Receipt) {
        self.lock().held.remove(receipt);
    }

    /// Compares the end of a lease with `margin` from now.
    pub fn state(&self, receipt: &Receipt, margin: Duration) -> LeaseState {
        let now = Instant::now();
        match self.lock().held.get(receipt) {
            Some(held) if held.until <= now => LeaseState::Ended,
            Some(held) if held.until > now + margin => LeaseState::Held,
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

    #[test]
    fn a_lease_is_held_ended_or_unknown() {
        let (leases, receipt) = (Leases::default(), Receipt::new("h"));
        let now = Instant::now();
        let state = || leases.state(&receipt, MARGIN);
        let held_until = |until| leases.hold(std::slice::from_ref(&receipt), until);
        assert_eq!(state(), LeaseState::Unknown, "of another host");
        held_until(now + MARGIN * 2);
        assert_eq!(state(), LeaseState::Held);
        held_until(now + MARGIN);
        assert_eq!(state(), LeaseState::Unknown, "near its end");
        held_until(now);
        assert_eq!(state(), LeaseState::Ended);
        leases.forget(&receipt);
        leases.extend(&receipt, now + MARGIN * 2);
        assert_eq!(state(), LeaseState::Unknown, "forgotten");
    }

    #[test]
    fn a_successor_is_remembered_while_the_lease_is_extended() {
        let (leases, receipt) = (Leases::default(), Receipt::new("h"));
        let until = Instant::now() + MARGIN;
        leases.note_sent(&receipt, "k");
        assert!(!leases.has_sent(&receipt, "k"), "nothing is held");
        leases.hold(std::slice::from_ref(&receipt), until);
        leases.note_sent(&receipt, "k");
        leases.extend(&receipt, until + MARGIN);
        assert!(leases.has_sent(&receipt, "k") && !leases.has_sent(&receipt, "other"));
    }

    #[test]
    fn ended_leases_are_forgotten_when_there_are_many() {
        let leases = Leases::default();
        for n in 0..SWEEP_FROM * 3 {
            leases.hold(&[Receipt::new(n.to_string())], Instant::now());
        }
        assert!(leases.lock().held.len() <= SWEEP_FROM);
    }
}
