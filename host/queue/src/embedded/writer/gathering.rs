//! The requests that share one transaction.

use std::sync::mpsc::Receiver;

use crate::embedded::command::Request;

/// The most requests of one transaction: enough to share a sync among all
/// callers, few enough that no caller waits long for the rest.
const BATCH_MAX: usize = 512;

/// The most bytes of messages in one transaction, unless one message alone has
/// more: they are written and synced while every caller waits.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Adds the requests that arrived during the last sync, which share the next
/// one.
pub fn gather(requests: &Receiver<Request>, batch: &mut Vec<Request>) {
    let mut bytes: usize = batch.iter().map(Request::bytes).sum();
    // The first request above the bound still joins: requests cannot be put
    // back, and a message has a bound of its own.
    while batch.len() < BATCH_MAX && bytes < BATCH_BYTES_MAX {
        match requests.try_recv() {
            Ok(request) => {
                bytes = bytes.saturating_add(request.bytes());
                batch.push(request);
            }
            // After a disconnect the next `recv_timeout` ends the loop, when
            // this batch has its answers.
            Err(_) => return,
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
            gather(&receiver, &mut batch);
            sizes.push(batch.len());
        }
        sizes
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
