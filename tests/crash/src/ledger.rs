//! The record of what clients were told of every job, and its rules.
//!
//! The queue keeps exactly one message of a job; what a client sees depends on
//! the answers that reach it. The ledger holds the host to these rules:
//!
//! - A job is *acknowledged* when its client has read a whole 201 or 202. From
//!   then on it is on disk, in one place, until a client has its outcome.
//!   Otherwise the job is **lost**.
//! - An outcome is *consumed* when its client has read a whole answer to a
//!   plain GET. The host deletes it after that, without notifying the client.
//!   If the host dies while the collector's newest answer contained the
//!   outcome, the outcome may still be on disk, and is delivered again:
//!   **repeated in flight**. An older answer is not in flight, because a GET
//!   first settles the previous batch.
//!   While the disk refuses to store, deletions are tried again for some time;
//!   then every answer of the last run is in flight.
//! - A leased outcome comes once, unless its lease runs out. After the 200 to
//!   its acknowledgement it never comes again.
//! - A repeated outcome is byte for byte the same as before.
//!
//! - A job whose cancellation or settlement by hand was answered with success
//!   has that outcome, and no other one.
//!
//! Any other repetition is **repeated**, and an error, as is a second message
//! of one job on disk.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::fmt;

use fastrand::Rng;

/// Broken rules that are printed one by one; the others are only counted.
const PRINTED_MAX: usize = 20;

/// The counts of a trial.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub acknowledged: u64,
    /// Jobs whose client has at least one message, acknowledged or not.
    pub outcomes: u64,
    pub lost: u64,
    /// Outcomes that were delivered again without a permitted reason.
    pub repeated: u64,
    /// Outcomes that came again because an answer was in flight when the host
    /// died.
    pub repeated_in_flight: u64,
    /// Outcomes that came again because a client acknowledged too late.
    pub repeated_after_lease: u64,
    /// Jobs that an operator has ended, with an answer.
    pub by_hand: u64,
    /// Other broken rules.
    pub other: u64,
}

impl Counts {
    /// Returns `true` if nothing was lost and no rule was broken.
    pub fn is_good(&self) -> bool {
        self.lost == 0 && self.repeated == 0 && self.other == 0
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} acknowledged, {} outcomes, {} lost, {} repeated, {} repeated in flight",
            self.acknowledged, self.outcomes, self.lost, self.repeated, self.repeated_in_flight
        )?;
        if self.repeated_after_lease > 0 {
            write!(f, ", {} repeated after their lease", self.repeated_after_lease)?;
        }
        if self.by_hand > 0 {
            write!(f, ", {} ended by hand", self.by_hand)?;
        }
        if self.other > 0 {
            write!(f, ", {} other errors", self.other)?;
        }
        Ok(())
    }
}

/// One outcome as a client got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub job: String,
    pub code: u16,
    /// The hash of its text, which a repetition must share.
    pub hash: u64,
}

#[derive(Debug, Default)]
struct Job {
    acknowledged: bool,
    lost: bool,
    received: Option<Received>,
    /// The code of the outcome that an operator gave the job.
    by_hand: Option<u16>,
}

#[derive(Debug, Clone, Copy)]
struct Received {
    code: u16,
    hash: u64,
    handover: Handover,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Handover {
    /// Consumed with this answer: the number of the collector, and of its
    /// answer.
    Consumed(usize, u64),
    /// Consumed, and found on disk after the host died, so it is delivered
    /// again.
    InFlight,
    Leased,
    LeaseEnded,
    Acknowledged,
}

/// The record of all jobs, and the errors that were found.
#[derive(Debug, Default)]
pub struct Ledger {
    jobs: HashMap<String, Job>,
    /// The number of each collector's newest answer in this run of the host.
    newest: BTreeMap<usize, u64>,
    /// The number of each collector's first answer in this run of the host, if
    /// deletions may fail for some time.
    first: BTreeMap<usize, u64>,
    deletions_fail: bool,
    /// Acknowledged jobs whose outcome no client has for good.
    open: BTreeSet<String>,
    counts: Counts,
    printed: Vec<String>,
}

impl Ledger {
    /// Allows for hosts that cannot store anything for some time.
    pub fn allow_failed_deletions(&mut self) {
        self.deletions_fail = true;
    }

    /// Records that a client is about to send the job.
    pub fn posting(&mut self, job: &str) {
        self.jobs.entry(job.to_owned()).or_default();
    }

    /// Records that the job's client has read the whole answer.
    pub fn acknowledged(&mut self, job: &str) {
        let entry = self.jobs.entry(job.to_owned()).or_default();
        if !std::mem::replace(&mut entry.acknowledged, true) {
            self.counts.acknowledged += 1;
            if entry.received.is_none() {
                self.open.insert(job.to_owned());
            }
        }
    }

    /// Records that a collector has read a whole answer to a plain GET.
    pub fn consumed(&mut self, collector: usize, answer: u64, items: &[Item]) {
        for item in items {
            self.received(item, Handover::Consumed(collector, answer));
            self.open.remove(&item.job);
        }
        self.newest.insert(collector, answer);
        if self.deletions_fail {
            self.first.entry(collector).or_insert(answer);
        }
    }

    /// Records that a collector has read a whole leased batch.
    pub fn leased(&mut self, items: &[Item]) {
        items.iter().for_each(|item| self.received(item, Handover::Leased));
    }

    /// Records that a collector has returned a batch unread.
    pub fn returned(&mut self, items: &[Item]) {
        for item in items {
            let Some(job) = self.jobs.get_mut(&item.job) else { continue };
            if job.received.is_some_and(|received| received.handover == Handover::Leased) {
                job.received = None;
                self.counts.outcomes -= 1;
            }
        }
    }

    /// Records the answer to the acknowledgement of a batch: done, or too late.
    pub fn settled(&mut self, items: &[Item], in_time: bool) {
        let handover = if in_time { Handover::Acknowledged } else { Handover::LeaseEnded };
        for item in items {
            if let Some(received) =
                self.jobs.get_mut(&item.job).and_then(|job| job.received.as_mut())
            {
                received.handover = handover;
            }
            self.open.remove(&item.job);
        }
    }

    /// Returns one of the acknowledged jobs whose outcome no client has for good.
    pub fn any_open(&self, rng: &mut Rng) -> Option<String> {
        let at = rng.usize(0..self.open.len().max(1));
        self.open.iter().nth(at).cloned()
    }

    /// Records that an operator has ended the job with an outcome of this code.
    pub fn ended_by_hand(&mut self, job: &str, code: u16) {
        let Some(entry) = self.jobs.get_mut(job) else { return };
        let before = entry.by_hand.replace(code);
        let received = entry.received.map(|received| received.code);
        self.counts.by_hand += 1;
        if before.is_some() {
            self.error(format!("{job} was ended by hand twice"));
        }
        if received.is_some_and(|received| received != code) {
            self.error(format!("{job} was ended by hand, after a client had its outcome"));
        }
    }

    fn received(&mut self, item: &Item, handover: Handover) {
        let Some(job) = self.jobs.get_mut(&item.job) else {
            return self.error(format!("an outcome of {}, which no client sent", item.job));
        };
        let received = Received { code: item.code, hash: item.hash, handover };
        let (before, by_hand) = (job.received.replace(received), job.by_hand);
        if by_hand.is_some_and(|code| code != item.code) {
            self.error(format!("{} was ended by hand, and has the code {}", item.job, item.code));
        }
        let Some(before) = before else {
            self.counts.outcomes += 1;
            return;
        };
        if before.hash != item.hash {
            self.error(format!("two different outcomes of {}", item.job));
        }
        match before.handover {
            Handover::InFlight => self.counts.repeated_in_flight += 1,
            Handover::LeaseEnded => self.counts.repeated_after_lease += 1,
            Handover::Consumed(..) | Handover::Leased | Handover::Acknowledged => {
                self.counts.repeated += 1;
                self.report(format!("{} came again, after {:?}", item.job, before.handover));
            }
        }
    }

    /// Compares the record with the disk while the host is dead and no client
    /// is at work. `on_disk` counts the messages of each job.
    pub fn died(&mut self, on_disk: &HashMap<String, u64>) {
        let mut broken = Vec::new();
        let (newest, first) = (std::mem::take(&mut self.newest), std::mem::take(&mut self.first));
        for (id, count) in on_disk {
            let Some(job) = self.jobs.get_mut(id) else {
                broken.push(format!("a message of {id}, which no client sent, is on disk"));
                continue;
            };
            if *count > 1 {
                broken.push(format!("{count} messages of {id} are on disk"));
            }
            let Some(received) = job.received.as_mut() else { continue };
            match received.handover {
                Handover::Consumed(collector, answer)
                    if newest.get(&collector) == Some(&answer)
                        || first.get(&collector).is_some_and(|first| *first <= answer) =>
                {
                    received.handover = Handover::InFlight;
                }
                Handover::Consumed(..) => broken.push(format!("{id} was consumed, and is on disk")),
                Handover::Acknowledged => {
                    broken.push(format!("{id} was acknowledged, and is on disk"))
                }
                Handover::InFlight | Handover::Leased | Handover::LeaseEnded => {}
            }
        }
        let mut lost = Vec::new();
        for id in &self.open {
            let job = self.jobs.get_mut(id).expect("an open job is in the ledger");
            if job.received.is_none() && !on_disk.contains_key(id) {
                job.lost = true;
                lost.push(id.clone());
            }
        }
        self.counts.lost += lost.len() as u64;
        for id in lost {
            self.open.remove(&id);
            self.report(format!("{id} was acknowledged, and is lost"));
        }
        broken.into_iter().for_each(|error| self.error(error));
    }

    /// Returns the number of acknowledged jobs whose outcome no client has for
    /// good.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Records a broken rule that has no count of its own.
    pub fn error(&mut self, error: String) {
        self.counts.other += 1;
        self.report(error);
    }

    fn report(&mut self, error: String) {
        if self.printed.len() < PRINTED_MAX {
            self.printed.push(error);
        }
    }

    /// Returns the first errors as text.
    pub fn errors(&self) -> &[String] {
        &self.printed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(job: &str) -> Item {
        Item { job: job.to_owned(), code: 200, hash: 1 }
    }

    fn ledger(jobs: &[&str]) -> Ledger {
        let mut ledger = Ledger::default();
        for job in jobs {
            ledger.posting(job);
            ledger.acknowledged(job);
        }
        ledger
    }

    fn on_disk(jobs: &[&str]) -> HashMap<String, u64> {
        jobs.iter().map(|job| ((*job).to_owned(), 1)).collect()
    }

    #[test]
    fn an_acknowledged_job_without_a_message_is_lost() {
        let mut ledger = ledger(&["a", "b"]);
        ledger.posting("unanswered");
        ledger.died(&on_disk(&["a"]));
        assert_eq!(ledger.counts().lost, 1);
        assert_eq!(ledger.errors(), ["b was acknowledged, and is lost"]);
        assert_eq!(ledger.open(), 1);
    }

    #[test]
    fn only_the_newest_answer_may_be_repeated_and_only_after_a_crash() {
        let mut ledger = ledger(&["a", "b"]);
        ledger.consumed(0, 1, &[item("a")]);
        ledger.consumed(0, 2, &[item("b")]);
        ledger.died(&on_disk(&["b"]));
        assert!(ledger.counts().is_good());
        ledger.consumed(1, 1, &[item("b")]);
        assert_eq!(ledger.counts().repeated_in_flight, 1);
        assert!(ledger.counts().is_good());
        ledger.consumed(1, 2, &[item("b")]);
        assert_eq!(ledger.counts().repeated, 1);
    }

    #[test]
    fn an_outcome_consumed_earlier_must_be_deleted() {
        let mut ledger = ledger(&["a", "b"]);
        ledger.consumed(0, 1, &[item("a")]);
        ledger.consumed(0, 2, &[item("b")]);
        ledger.died(&on_disk(&["a"]));
        assert_eq!(ledger.errors(), ["a was consumed, and is on disk"]);
    }

    #[test]
    fn an_acknowledged_outcome_is_never_repeated() {
        let mut ledger = ledger(&["a"]);
        ledger.leased(&[item("a")]);
        ledger.died(&on_disk(&["a"]));
        assert!(ledger.counts().is_good(), "the client has it, and has not said so");
        ledger.settled(&[item("a")], true);
        ledger.died(&on_disk(&["a"]));
        ledger.leased(&[item("a")]);
        assert_eq!((ledger.counts().other, ledger.counts().repeated), (1, 1));
    }

    #[test]
    fn only_an_expired_lease_or_a_release_permits_a_second_delivery() {
        let mut ledger = ledger(&["a", "b"]);
        ledger.leased(&[item("a")]);
        ledger.settled(&[item("a")], false);
        ledger.leased(&[item("a")]);
        ledger.leased(&[item("b")]);
        ledger.returned(&[item("b")]);
        ledger.leased(&[item("b")]);
        assert_eq!((ledger.counts().outcomes, ledger.counts().repeated_after_lease), (2, 1));
        assert!(ledger.counts().is_good());
        ledger.leased(&[item("b")]);
        assert_eq!(ledger.counts().repeated, 1);
    }

    #[test]
    fn every_answer_of_a_run_is_in_flight_while_deletions_may_fail() {
        for deletions_fail in [false, true] {
            let mut ledger = Ledger { deletions_fail, ..Ledger::default() };
            ["a", "b", "c"].iter().for_each(|job| ledger.posting(job));
            ledger.consumed(0, 1, &[item("a")]);
            ledger.died(&HashMap::new());
            ledger.consumed(0, 2, &[item("b")]);
            ledger.consumed(0, 3, &[item("c")]);
            ledger.died(&HashMap::from([("b".to_owned(), 1), ("c".to_owned(), 1)]));
            assert_eq!(ledger.counts().is_good(), deletions_fail, "{:?}", ledger.errors());
            ledger.died(&HashMap::from([("a".to_owned(), 1)]));
            assert!(!ledger.counts().is_good(), "an answer of an earlier run is not in flight");
        }
    }

    #[test]
    fn two_outcomes_of_one_job_are_an_error_on_disk_and_at_a_client() {
        let mut ledger = ledger(&["a", "b"]);
        ledger.died(&HashMap::from([("a".to_owned(), 2), ("b".to_owned(), 1)]));
        ledger.leased(&[item("b")]);
        ledger.settled(&[item("b")], false);
        ledger.leased(&[Item { hash: 2, ..item("b") }]);
        assert_eq!(ledger.errors(), ["2 messages of a are on disk", "two different outcomes of b"]);
    }

    #[test]
    fn a_job_that_was_ended_by_hand_has_that_outcome_alone() {
        let mut ledger = ledger(&["a", "b", "c"]);
        ledger.ended_by_hand("a", 500);
        ledger.consumed(0, 1, &[Item { code: 500, ..item("a") }]);
        // The client may have it before the operator has the answer.
        ledger.consumed(0, 2, &[Item { code: 500, ..item("b") }]);
        ledger.ended_by_hand("b", 500);
        assert!(ledger.counts().is_good(), "{:?}", ledger.errors());
        ledger.ended_by_hand("c", 500);
        ledger.consumed(0, 3, &[item("c")]);
        ledger.ended_by_hand("b", 299);
        assert_eq!(
            ledger.errors(),
            [
                "c was ended by hand, and has the code 200",
                "b was ended by hand twice",
                "b was ended by hand, after a client had its outcome",
            ]
        );
        assert_eq!(ledger.counts().by_hand, 4);
    }
}
