//! Until when this process holds what it has received, and what it has sent
//! for it.
//!
//! Only a memory, of those that are in hand: SQS has the last word, and knows
//! what other hosts hold. It saves a call where a lease has long to go, and
//! keeps a lease that has run out from doing anything.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;

use crate::Receipt;

/// Leases from which on those that have run out are forgotten. What is held
/// is bounded by the jobs in hand; this bounds what is given back.
const SWEEP_FROM: usize = 1_024;

/// What is known of leases.
#[derive(Default)]
pub struct Leases(Mutex<Known>);

#[derive(Default)]
struct Known {
    held: HashMap<Receipt, Held>,
    sweep_at: usize,
}

struct Held {
    until: Instant,
    /// The deduplication key of the successor that was sent.
    sent: Vec<String>,
}

/// What is known of one lease.
#[derive(Debug, PartialEq, Eq)]
pub enum Standing {
    /// It holds for longer than was asked.
    Held,
    /// It has run out.
    Ended,
    /// SQS must be asked: the end is near, or another host received it.
    Unsure,
}

impl Leases {
    /// Notes that a lease now ends at `until`, whatever was noted before.
    /// Changes nothing for leases that are not in hand.
    pub fn extend(&self, receipt: &Receipt, until: Instant) {
        if let Some(held) = self.lock().held.get_mut(receipt) {
            held.until = until;
        }
    }

    /// Notes that messages are held until `until`.
    pub fn hold(&self, receipts: &[Receipt], until: Instant) {
        let mut known = self.lock();
        if known.held.len() >= known.sweep_at.max(SWEEP_FROM) {
            let now = Instant::now();
            known.held.retain(|_, held| held.until > now);
            known.sweep_at = known.held.len() * 2;
        }
        for receipt in receipts {
            known.held.insert(receipt.clone(), Held { until, sent: Vec::new() });
        }
    }

    /// Forgets a message that is gone.
    pub fn forget(&self, receipt: &Receipt) {
        self.lock().held.remove(receipt);
    }

    /// Whether a lease holds for `margin` from now on.
    pub fn standing(&self, receipt: &Receipt, margin: Duration) -> Standing {
        let now = Instant::now();
        match self.lock().held.get(receipt) {
            Some(held) if held.until <= now => Standing::Ended,
            Some(held) if held.until > now + margin => Standing::Held,
            Some(_) | None => Standing::Unsure,
        }
    }

    /// Notes that a successor was sent under this lease.
    pub fn note_sent(&self, receipt: &Receipt, key: &str) {
        if let Some(held) = self.lock().held.get_mut(receipt) {
            held.sent.push(key.to_owned());
        }
    }

    /// Whether it was.
    pub fn has_sent(&self, receipt: &Receipt, key: &str) -> bool {
        let known = self.lock();
        known.held.get(receipt).is_some_and(|held| held.sent.iter().any(|sent| sent == key))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().expect("no one panics while holding the lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARGIN: Duration = Duration::from_secs(20);

    #[test]
    fn a_lease_is_held_ended_or_for_sqs_to_say() {
        let (leases, receipt) = (Leases::default(), Receipt::new("h"));
        let now = Instant::now();
        let standing = || leases.standing(&receipt, MARGIN);
        let held_until = |until| leases.hold(std::slice::from_ref(&receipt), until);
        assert_eq!(standing(), Standing::Unsure, "another host's");
        held_until(now + MARGIN * 2);
        assert_eq!(standing(), Standing::Held);
        held_until(now + MARGIN);
        assert_eq!(standing(), Standing::Unsure, "near its end");
        held_until(now);
        assert_eq!(standing(), Standing::Ended);
        leases.forget(&receipt);
        leases.extend(&receipt, now + MARGIN * 2);
        assert_eq!(standing(), Standing::Unsure, "not in hand");
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
    fn what_has_run_out_is_forgotten_when_there_is_much() {
        let leases = Leases::default();
        for n in 0..SWEEP_FROM * 3 {
            leases.hold(&[Receipt::new(n.to_string())], Instant::now());
        }
        assert!(leases.lock().held.len() <= SWEEP_FROM);
    }
}
