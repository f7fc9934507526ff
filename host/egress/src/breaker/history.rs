//! The last changes of a breaker since the host started.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use hoth_core::domain::Timestamp;
use hoth_core::domain::TransportCode;

/// The changes that are kept. An outage of a day has a few failed probes and two
/// changes; the probes of a long one are merged.
pub const CHANGES_MAX: usize = 50;

/// The cause for which a call counts as failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureCause {
    /// A gateway answered with this status.
    Status(u16),
    /// There was no usable response.
    Transport(TransportCode),
}

impl fmt::Display for FailureCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status {status}"),
            Self::Transport(code) => f.write_str(code.as_str()),
        }
    }
}

/// A change of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerChange {
    pub at: Timestamp,
    pub what: BreakerChangeKind,
}

/// The kind of a change, with its cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerChangeKind {
    /// Calls of this many different jobs had failed in a row, the last one for
    /// this cause.
    Opened { jobs: usize, cause: FailureCause },
    /// Probes failed, up to this time, the last one for this cause.
    ProbesFailed { probes: u32, until: Timestamp, cause: FailureCause },
    /// The CSP responded; jobs were held, or the breaker had given up, for this
    /// time.
    Closed { after: Duration },
    /// An operator closed the breaker, which had been open for this time.
    Reset { after: Duration },
}

/// The changes, the newest last.
#[derive(Debug, Default)]
pub(super) struct History(VecDeque<BreakerChange>);

impl History {
    /// Adds a change; failed probes that follow each other are one.
    pub fn add(&mut self, at: Timestamp, what: BreakerChangeKind) {
        if let BreakerChangeKind::ProbesFailed { probes: more, until: new, cause: last } = what
            && let Some(BreakerChange {
                what: BreakerChangeKind::ProbesFailed { probes, until, cause },
                ..
            }) = self.0.back_mut()
        {
            *probes = probes.saturating_add(more);
            (*until, *cause) = (new, last);
            return;
        }
        if self.0.len() >= CHANGES_MAX {
            self.0.pop_front();
        }
        self.0.push_back(BreakerChange { at, what });
    }

    /// Returns the changes, the newest first.
    pub fn newest_first(&self) -> Vec<BreakerChange> {
        self.0.iter().rev().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_is_bounded_and_merges_probes() {
        let mut history = History::default();
        let at = Timestamp::from_millis;
        let cause = FailureCause::Status(503);
        let probe = |until| BreakerChangeKind::ProbesFailed { probes: 1, until, cause };
        history.add(at(1), BreakerChangeKind::Opened { jobs: 20, cause });
        history.add(at(2), probe(at(2)));
        history.add(at(3), probe(at(3)));
        let expected = BreakerChangeKind::ProbesFailed { probes: 2, until: at(3), cause };
        assert_eq!(history.newest_first()[0], BreakerChange { at: at(2), what: expected });
        assert_eq!(history.newest_first().len(), 2);
        for n in 0..2 * CHANGES_MAX as u64 {
            history.add(at(n), BreakerChangeKind::Closed { after: Duration::from_secs(n) });
        }
        assert_eq!(history.newest_first().len(), CHANGES_MAX);
        assert_eq!(history.newest_first()[0].at, at(2 * CHANGES_MAX as u64 - 1));
    }
}
