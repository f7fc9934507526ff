//! The retry policy of calls to a CSP.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::domain::Retry;

/// The number of calls of one request, and the pauses between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Calls in all.
    pub attempts: NonZeroU32,
    /// The pause before the second call; doubled before each further one.
    pub initial_backoff: Duration,
    /// The longest pause that this policy chooses by itself.
    pub max_backoff: Duration,
    /// The longest pause that a CSP may ask for. A CSP that asks for a longer
    /// one gets no further call.
    pub max_retry_after: Duration,
}

/// The end of an unsuccessful call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// The CSP answered.
    Answered { status: u16, retry_after: Option<Duration> },
    /// No answer: refused, reset, timed out, or no token to send.
    Unanswered {
        /// True if the CSP may have received the request.
        sent: bool,
        /// True if the cause may pass.
        transient: bool,
        /// The pause that the issuer of tokens asks for.
        retry_after: Option<Duration>,
    },
}

impl RetryPolicy {
    /// A single call, never repeated.
    pub const ONCE: Self = Self {
        attempts: NonZeroU32::MIN,
        initial_backoff: Duration::ZERO,
        max_backoff: Duration::ZERO,
        max_retry_after: Duration::ZERO,
    };

    /// Returns the pause before the next call, or `None` if there is no next
    /// call.
    ///
    /// `made` calls were made so far; the last one ended as `attempt`. `jitter`
    /// returns a number, uniform in 0 to 1, that spreads a computed backoff over
    /// 80 to 120 %, so that jobs which failed together do not return together.
    pub fn next(
        &self,
        made: u32,
        retry: Retry,
        attempt: Attempt,
        jitter: impl FnOnce() -> f64,
    ) -> Option<Duration> {
        if made >= self.attempts.get() || !self.repeats(retry, attempt) {
            return None;
        }
        match attempt.retry_after() {
            // Never cut short: a CSP that is called early may throttle its
            // caller for longer.
            Some(asked) => Some(asked),
            None => {
                let doubled = 2_u32.saturating_pow(made.saturating_sub(1));
                let backoff = self.initial_backoff.saturating_mul(doubled);
                // The bound comes last, so that jitter cannot exceed it.
                Some(backoff.mul_f64(0.8 + 0.4 * jitter().clamp(0.0, 1.0)).min(self.max_backoff))
            }
        }
    }

    /// Returns the pause before a request for which an adapter asks for a pause
    /// of `after_ms`: at most the longest pause that this policy chooses.
    pub fn pause(&self, after_ms: u64) -> Duration {
        Duration::from_millis(after_ms).min(self.max_backoff)
    }

    /// Returns the pause that `attempt` asks for if it is longer than the policy
    /// allows, so that the call is not repeated.
    pub fn too_long(&self, attempt: Attempt) -> Option<Duration> {
        let repeats = self.attempts > NonZeroU32::MIN && attempt.may_pass();
        attempt.retry_after().filter(|asked| repeats && *asked > self.max_retry_after)
    }

    /// Returns true if this end of a first call leads to a second one.
    pub fn repeats(&self, retry: Retry, attempt: Attempt) -> bool {
        self.attempts > NonZeroU32::MIN
            && attempt.may_pass()
            && self.too_long(attempt).is_none()
            && match retry {
                Retry::Safe => true,
                Retry::Unsent => !attempt.may_have_acted(),
                Retry::Never => false,
            }
    }
}

impl Attempt {
    /// Returns true if the same call may succeed later.
    pub fn may_pass(self) -> bool {
        match self {
            // Timeout (RFC 9110 section 15.5.9), too early (RFC 8470), too many
            // requests (RFC 6585), and every failure of the server.
            Self::Answered { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
            Self::Unanswered { transient, .. } => transient,
        }
    }

    /// Returns the pause that the other side asks for.
    fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Answered { retry_after, .. } | Self::Unanswered { retry_after, .. } => {
                retry_after
            }
        }
    }

    /// Returns true if the CSP may have acted on the request. 425 and 429 say
    /// that it did not process it (RFC 8470 section 5.2, RFC 6585 section 4).
    fn may_have_acted(self) -> bool {
        match self {
            Self::Answered { status, .. } => !matches!(status, 425 | 429),
            Self::Unanswered { sent, .. } => sent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        attempts: NonZeroU32::new(3).unwrap(),
        initial_backoff: Duration::from_secs(1),
        max_backoff: Duration::from_secs(30),
        max_retry_after: Duration::from_secs(900),
    };

    fn answered(status: u16, retry_after: Option<u64>) -> Attempt {
        Attempt::Answered { status, retry_after: retry_after.map(Duration::from_secs) }
    }

    #[track_caller]
    fn check(made: u32, retry: Retry, attempt: Attempt, expected_ms: Option<u64>) {
        let next = POLICY.next(made, retry, attempt, || 0.5);
        assert_eq!(next, expected_ms.map(Duration::from_millis), "{attempt:?} after {made}");
    }

    #[test]
    fn transient_failures_are_tried_three_times_in_all() {
        for status in [408, 425, 429, 500, 502, 503, 504, 599] {
            check(1, Retry::Safe, answered(status, None), Some(1_000));
            check(2, Retry::Safe, answered(status, None), Some(2_000));
            check(3, Retry::Safe, answered(status, None), None);
        }
        let refused = Attempt::Unanswered { sent: false, transient: true, retry_after: None };
        check(1, Retry::Safe, refused, Some(1_000));
        check(2, Retry::Safe, refused, Some(2_000));
        check(3, Retry::Safe, refused, None);
    }

    #[test]
    fn every_other_answer_is_final() {
        for status in (100..=599).filter(|s| !matches!(s, 408 | 425 | 429 | 500..=599)) {
            check(1, Retry::Safe, answered(status, Some(1)), None);
        }
        check(
            1,
            Retry::Safe,
            Attempt::Unanswered { sent: false, transient: false, retry_after: None },
            None,
        );
    }

    #[test]
    fn retry_after_is_honoured_in_full_or_ends_the_request() {
        check(1, Retry::Safe, answered(503, Some(0)), Some(0));
        check(1, Retry::Safe, answered(429, Some(7)), Some(7_000));
        check(1, Retry::Safe, answered(429, Some(900)), Some(900_000));
        check(1, Retry::Safe, answered(429, Some(901)), None);
        let long = Some(Duration::from_secs(901));
        assert_eq!(POLICY.too_long(answered(429, Some(901))), long);
        assert_eq!(POLICY.too_long(answered(429, Some(900))), None);
        assert_eq!(POLICY.too_long(answered(403, Some(901))), None);
        assert_eq!(RetryPolicy::ONCE.too_long(answered(429, Some(901))), None);
        check(
            1,
            Retry::Safe,
            Attempt::Unanswered { sent: false, transient: true, retry_after: long },
            None,
        );
    }

    #[test]
    fn a_request_that_is_not_idempotent_is_repeated_only_if_it_cannot_have_acted() {
        check(
            1,
            Retry::Unsent,
            Attempt::Unanswered { sent: false, transient: true, retry_after: None },
            Some(1_000),
        );
        check(
            1,
            Retry::Unsent,
            Attempt::Unanswered { sent: true, transient: true, retry_after: None },
            None,
        );
        check(1, Retry::Unsent, answered(503, None), None);
        check(1, Retry::Unsent, answered(408, None), None);
        check(1, Retry::Unsent, answered(429, None), Some(1_000));
        check(1, Retry::Unsent, answered(425, None), Some(1_000));
    }

    #[test]
    fn a_request_that_is_never_repeated_has_one_try() {
        for status in [408, 425, 429, 500, 503] {
            check(1, Retry::Never, answered(status, Some(1)), None);
        }
        let refused = Attempt::Unanswered { sent: false, transient: true, retry_after: None };
        check(1, Retry::Never, refused, None);
    }

    #[test]
    fn a_pause_of_the_adapter_has_the_bound_of_a_backoff() {
        for (after_ms, expected) in [(0, 0), (7_000, 7_000), (u64::MAX, 30_000)] {
            assert_eq!(POLICY.pause(after_ms), Duration::from_millis(expected));
        }
    }

    #[test]
    fn jitter_spreads_by_a_fifth_each_way_and_never_beyond_the_bound() {
        let attempt = answered(500, None);
        assert_eq!(POLICY.next(1, Retry::Safe, attempt, || 0.0), Some(Duration::from_millis(800)));
        assert_eq!(
            POLICY.next(1, Retry::Safe, attempt, || 1.0),
            Some(Duration::from_millis(1_200))
        );
        let short = RetryPolicy { max_backoff: Duration::from_millis(900), ..POLICY };
        assert_eq!(short.next(1, Retry::Safe, attempt, || 1.0), Some(Duration::from_millis(900)));
    }
}
