//! Receives that do not count, because this process gave their messages back.
//!
//! SQS counts every receive, and cannot take one back. These notes are
//! subtracted from its count. Other hosts and later processes do not have them,
//! so they see a higher count: at worst a message that was held back many times
//! ends early, and with a report.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::MutexGuard;

/// The most messages in one generation. Together they bound the memory; the
/// oldest notes are forgotten first.
const GENERATION_MAX: usize = 8_192;

/// The numbers of receives that do not count, by the ids of their messages.
#[derive(Default)]
pub struct GivenBack(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    current: HashMap<String, u32>,
    previous: HashMap<String, u32>,
}

impl GivenBack {
    /// Notes that one more receive of a message does not count.
    pub fn add(&self, message: &str) {
        let mut all = self.lock();
        let known = all.take(message);
        if all.current.len() >= GENERATION_MAX {
            all.previous = std::mem::take(&mut all.current);
        }
        all.current.insert(message.to_owned(), known.saturating_add(1));
    }

    /// Notes that a receive counts after all.
    pub fn undo(&self, message: &str) {
        let mut all = self.lock();
        match all.take(message) {
            0 | 1 => {}
            known => drop(all.current.insert(message.to_owned(), known - 1)),
        }
    }

    /// Returns the number of receives that do not count.
    pub fn count(&self, message: &str) -> u32 {
        let all = self.lock();
        all.current.get(message).or_else(|| all.previous.get(message)).copied().unwrap_or(0)
    }

    /// Forgets a message that was deleted.
    pub fn forget(&self, message: &str) {
        self.lock().take(message);
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.0.lock().expect("nothing panics while holding the lock")
    }
}

impl Generations {
    fn take(&mut self, message: &str) -> u32 {
        let current = self.current.remove(message);
        let previous = self.previous.remove(message);
        current.or(previous).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receives_that_were_given_back_are_counted_by_message() {
        let given_back = GivenBack::default();
        assert_eq!(given_back.count("m"), 0);
        for count in 1..=3 {
            given_back.add("m");
            assert_eq!((given_back.count("m"), given_back.count("n")), (count, 0));
        }
        given_back.undo("m");
        assert_eq!(given_back.count("m"), 2);
        given_back.forget("m");
        assert_eq!(given_back.count("m"), 0);
    }

    #[test]
    fn the_oldest_notes_are_forgotten_when_there_are_many() {
        let given_back = GivenBack::default();
        for n in 0..GENERATION_MAX * 3 {
            given_back.add(&n.to_string());
            given_back.add("often");
        }
        let all = given_back.lock();
        assert!(all.current.len() + all.previous.len() <= GENERATION_MAX * 2);
        drop(all);
        assert_eq!(given_back.count("0"), 0);
        assert_eq!(given_back.count("often") as usize, GENERATION_MAX * 3);
    }
}
