//! The bounded queue of spans between the jobs and the exporter.

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::span::Span;
use crate::metrics::table;

/// The reason for which spans are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// The queue is full: the receiver is too slow, or down.
    QueueFull,
    /// The receiver refused the spans.
    Refused,
    /// The receiver could not be reached, or was overloaded, at every try.
    Unreachable,
    /// The host stopped before they were exported.
    Stopped,
}

impl DropReason {
    fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue-full",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Stopped => "stopped",
        }
    }
}

/// Counts dropped spans.
pub fn count_dropped(spans: usize, reason: DropReason) {
    if spans > 0 {
        table::SPANS_DROPPED.with(&[reason.as_str()]).increment(spans as u64);
    }
}

/// The end of the queue at which spans are put. Clones share the queue.
#[derive(Debug, Clone)]
pub struct SpanSender(mpsc::Sender<Span>);

/// Makes a queue for up to `spans_max` spans.
pub fn queue(spans_max: usize) -> (SpanSender, mpsc::Receiver<Span>) {
    let (sender, receiver) = mpsc::channel(spans_max);
    (SpanSender(sender), receiver)
}

impl SpanSender {
    /// Puts the spans of one request or run on the queue: all of them, or none
    /// if they do not fit. Never waits.
    pub fn send(&self, spans: Vec<Span>) {
        let count = spans.len();
        if count == 0 {
            return;
        }
        match self.0.try_reserve_many(count) {
            Ok(permits) => permits.zip(spans).for_each(|(permit, span)| permit.send(span)),
            Err(TrySendError::Full(())) => count_dropped(count, DropReason::QueueFull),
            Err(TrySendError::Closed(())) => count_dropped(count, DropReason::Stopped),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traces::span::SpanKind;
    use crate::traces::span::new_span_id;
    use crate::traces::span::new_trace_id;
    use hoth_core::domain::TraceContext;

    #[test]
    fn a_full_queue_takes_all_spans_of_a_run_or_none() {
        let context = TraceContext::root(new_trace_id(), new_span_id(), true);
        let spans =
            |count| vec![Span::new("x", SpanKind::Internal, context.clone(), None, (0, 1)); count];
        let (sender, mut receiver) = queue(5);
        sender.send(spans(3));
        sender.send(spans(3));
        sender.send(spans(2));
        assert_eq!(receiver.len(), 5);
        receiver.try_recv().expect("there are five");
        sender.send(spans(1));
        assert_eq!(receiver.len(), 5);
    }
}
