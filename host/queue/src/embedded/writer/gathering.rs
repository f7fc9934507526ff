//! The requests that share one transaction.

use std::sync::mpsc::Receiver;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use crate::embedded::command::Request;

/// The most requests of one transaction: enough to share a sync among all
/// callers, few enough that no caller waits long for the rest.
const BATCH_MAX: usize = 512;

/// The most bytes of messages in one transaction, unless one message alone has
/// more: they are written and synced while every caller waits.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The requests of a transaction that is worth its commit while a sync runs. A
/// commit writes whole pages, so a small one costs almost as much as a large
/// one, and no caller would have its answer sooner: the sync of the next commits
/// begins when the running one ends.
const WORTH_A_COMMIT: usize = 32;

/// The longest sleep while a sync runs, whose end is a reason to wake up.
const SYNC_WAIT: Duration = Duration::from_millis(500);

/// The number of requests of a transaction from which on the queue is busy: its
/// callers come back soon. The writer then sleeps for this time before the next
/// transaction, unless enough requests are there. Awake, it would be woken for
/// each of them.
const BUSY_FROM: usize = 4;
const BUSY_PAUSE: Duration = Duration::from_millis(1);

/// Adds the requests that have arrived meanwhile, which share the next
/// transaction. While `awaits_sync` returns true, waits for more, up to a number
/// that is worth a commit. `last` is the number of requests of the last
/// transaction.
pub fn gather(
    requests: &Receiver<Request>,
    batch: &mut Vec<Request>,
    last: usize,
    awaits_sync: impl Fn() -> bool,
) {
    let mut pauses = last >= BUSY_FROM;
    let mut bytes: usize = batch.iter().map(Request::bytes).sum();
    // The first request above the bound still joins: requests cannot be put
    // back, and a message has a bound of its own.
    while batch.len() < BATCH_MAX && bytes < BATCH_BYTES_MAX {
        let next = match requests.try_recv() {
            Ok(request) => Ok(request),
            Err(_) if batch.len() < WORTH_A_COMMIT && std::mem::take(&mut pauses) => {
                std::thread::sleep(BUSY_PAUSE);
                continue;
            }
            Err(_) if batch.len() < WORTH_A_COMMIT && awaits_sync() => {
                requests.recv_timeout(SYNC_WAIT)
            }
            Err(_) => return,
        };
        match next {
            Ok(request) => {
                bytes = bytes.saturating_add(request.bytes());
                batch.push(request);
            }
            Err(RecvTimeoutError::Timeout) => {}
            // The next `recv_timeout` ends the loop of the writer, when this
            // batch has its answers.
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::conformance::message;
    use crate::conformance::outcomes;
    use crate::conformance::requests;
    use crate::embedded::command::Call;
    use crate::embedded::operations::CheckStorage;
    use crate::embedded::operations::DeadLetterMessage;
    use crate::embedded::operations::SendMessage;
    use crate::embedded::operations::SettleMessage;
    use crate::embedded::receipt::LeaseId;
    use crate::message::NewMessage;

    const MEBIBYTE: usize = 1024 * 1024;

    /// Returns the sizes of the transactions that serve these requests.
    fn transactions(all: Vec<Request>) -> Vec<usize> {
        let (sender, receiver) = mpsc::channel();
        all.into_iter().for_each(|request| sender.send(request).expect("it is open"));
        let mut sizes = Vec::new();
        while let Ok(first) = receiver.try_recv() {
            let mut batch = vec![first];
            gather(&receiver, &mut batch, 0, || false);
            sizes.push(batch.len());
        }
        sizes
    }

    #[test]
    fn a_commit_gathers_while_a_sync_runs_up_to_a_number_that_is_worth_it() {
        let check = || Request::Apply(Call::without_caller(CheckStorage));
        for (syncs, sizes) in [(0, vec![2, 2]), (1, vec![4])] {
            let (sender, receiver) = mpsc::channel();
            let send = |count| (0..count).for_each(|_| sender.send(check()).expect("it is open"));
            send(2);
            let left = std::cell::Cell::new(syncs);
            let awaits_sync = || {
                // The sync ends when two more requests are there.
                let awaits = left.replace(0) > 0;
                awaits.then(|| send(2));
                awaits
            };
            let mut found = Vec::new();
            for late in [2, 0] {
                let Ok(first) = receiver.try_recv() else { break };
                let mut batch = vec![first];
                gather(&receiver, &mut batch, 0, awaits_sync);
                found.push(batch.len());
                if syncs == 0 {
                    send(late);
                }
            }
            assert_eq!(found, sizes);
        }
        let (sender, receiver) = mpsc::channel();
        let mut batch = Vec::new();
        (0..WORTH_A_COMMIT).for_each(|_| sender.send(check()).expect("it is open"));
        gather(&receiver, &mut batch, 0, || true);
        assert_eq!(batch.len(), WORTH_A_COMMIT, "it did not wait for the end of the sync");
    }

    #[test]
    fn a_commit_has_a_bound_in_requests_and_in_bytes() {
        let large = || NewMessage { body: "x".repeat(MEBIBYTE), ..message("g", "m") };
        let (lease, queue) = (LeaseId { seq: 1, lease: 1 }, requests());
        let send = || SendMessage { queue: requests(), message: large() };
        let settle = || SettleMessage {
            queue: requests(),
            lease,
            successor_queue: outcomes(),
            successor: large(),
        };
        let dead_letter = || DeadLetterMessage {
            queue: queue.clone(),
            lease,
            reason: String::new(),
            report: Some((outcomes(), large())),
        };
        let check = || Request::Apply(Call::without_caller(CheckStorage));
        assert_eq!(transactions((0..1_000).map(|_| check()).collect()), [512, 488]);
        let sends = (0..9).map(|_| Request::Apply(Call::without_caller(send())));
        assert_eq!(transactions(sends.collect()), [4, 4, 1]);
        let settlements = (0..9).map(|_| Request::Apply(Call::without_caller(settle())));
        assert_eq!(transactions(settlements.collect()), [4, 4, 1]);
        let letters = (0..9).map(|_| Request::Apply(Call::without_caller(dead_letter())));
        assert_eq!(transactions(letters.collect()), [4, 4, 1]);
        let sends = (0..3).map(|_| Request::Apply(Call::without_caller(send())));
        assert_eq!(transactions(sends.chain((0..100).map(|_| check())).collect()), [103]);
    }
}
