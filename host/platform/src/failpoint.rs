//! Fail points: named steps at which a test can kill the process.
//!
//! `HOTH_FAIL_POINT=after-send-before-delete` ends the process by SIGKILL when
//! it reaches that step, and `…@3` when it reaches the step for the third time.
//! With `…:panic` the thread panics instead, and with `…:hang` it never returns
//! from the step, as does every thread that reaches it later.
//! No destructor runs and no buffer is flushed, so the state is that of a crash
//! at this step. Only builds with debug assertions have fail points: in a
//! release build [`reach`] is empty and the variable has no effect.

/// The environment variable that names the step. [`arm`] reads it.
pub const VARIABLE: &str = "HOTH_FAIL_POINT";

/// Makes the enum, its names and the list of each group from one table.
macro_rules! fail_points {
    ($(
        $(#[$about:meta])*
        $group:ident { $($(#[$doc:meta])* $point:ident = $name:literal,)+ }
    )+) => {
        /// A step at which a test can kill the process.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum FailPoint {
            $($($(#[$doc])* $point,)+)+
        }

        impl FailPoint {
            $(
                $(#[$about])*
                pub const $group: &[Self] = &[$(Self::$point,)+];
            )+

            /// Every fail point.
            pub const ALL: &[Self] = &[$($(Self::$point,)+)+];

            /// Returns the name of the step in [`VARIABLE`].
            pub fn name(self) -> &'static str {
                match self {
                    $($(Self::$point => $name,)+)+
                }
            }
        }
    };
}

fail_points! {
    /// The steps of a job, from the request to the collected outcome, in the
    /// order in which a job reaches them.
    JOB {
        /// A request has been read, and is not stored yet.
        RequestReceived = "request-received",
        /// The queue has made its changes, and has not committed them. A job
        /// reaches this step many times.
        BeforeCommit = "before-commit",
        /// The queue has committed its changes, and the log is not synced yet.
        BeforeSync = "before-sync",
        /// The queue's changes are on disk, and its callers have no answer.
        AfterCommit = "after-commit",
        /// A job is on its queue, and its caller has no answer.
        JobAccepted = "job-accepted",
        /// A worker has leased a job, and has not run it.
        JobReceived = "job-received",
        /// An adapter has returned its next step.
        AdapterAnswered = "adapter-answered",
        /// A credential for a request has been obtained; the request has not
        /// been sent.
        CredentialObtained = "credential-obtained",
        /// A request to a CSP is about to be sent.
        BeforeCspCall = "before-csp-call",
        /// A CSP has answered, and the answer has not been read.
        AfterCspCall = "after-csp-call",
        /// A request has failed, and is to be retried after a pause.
        RetryDecided = "retry-decided",
        /// A job is to wait for its CSP, and is not on the queue of polls yet.
        BeforeWait = "before-wait",
        /// A successor has been sent, and its predecessor is not deleted: in
        /// one transaction on the embedded queue, in two calls on SQS.
        AfterSendBeforeDelete = "after-send-before-delete",
        /// A job that waits for its CSP is on the queue of polls.
        AfterWait = "after-wait",
        /// A waiting job is due, and has been received.
        PollReceived = "poll-received",
        /// A job has ended, and its outcome is only in memory.
        BeforeOutcome = "before-outcome",
        /// The outcome is on its queue.
        AfterOutcome = "after-outcome",
        /// A message is to become a dead letter, with a report of it.
        BeforeDeadLetter = "before-burial",
        /// The message is a dead letter, and its report is on its queue.
        AfterDeadLetter = "after-burial",
        /// Outcomes are leased for a response, of which no byte has been sent.
        OutcomesReceived = "outcomes-received",
        /// The kernel has the whole response, and the outcomes are still on
        /// their queue.
        OutcomesLeft = "outcomes-left",
        /// The outcomes of a sent response are deleted.
        OutcomesDeleted = "outcomes-deleted",
        /// An acknowledgement has been read, and is not applied yet.
        AcknowledgementReceived = "acknowledgement-received",
        /// An acknowledged batch is deleted, and its client has no answer.
        BatchAcknowledged = "batch-acknowledged",
        /// A batch is back on its queue, and its client has no answer.
        BatchReleased = "batch-released",
        /// Consumed outcomes are back on their queue, and the client has no
        /// answer.
        OutcomesRedelivered = "outcomes-redelivered",
    }

    /// The steps of the parts that run as long as the host.
    LOOPS {
        /// A consumer is about to receive from its queue.
        ConsumerLoop = "consumer-loop",
        /// The watcher is about to read the adapters directory.
        WatcherPass = "watcher-pass",
        /// The thread that interrupts adapters is about to count up.
        EpochTick = "epoch-tick",
        /// A receive on SQS is about to poll.
        QueuePoll = "queue-poll",
        /// The thread that writes the log is about to wait for lines.
        LogWriter = "log-writer",
    }

    /// The steps from a component to the active version, in their order.
    DEPLOY {
        /// A component is a valid adapter, and is not stored yet.
        ComponentValidated = "component-validated",
        /// The component is in the object store.
        ComponentStored = "component-kept",
        /// A component that came over the API is in the drop directory.
        ComponentInDropDir = "component-at-the-door",
        /// The ledger names the new version, or the one rolled back to, as
        /// active.
        ChoiceRecorded = "choice-recorded",
        /// The version is active, and the caller has no answer.
        VersionActivated = "version-activated",
    }
}

/// The error for a value of [`VARIABLE`] that names no step.
#[derive(Debug, thiserror::Error)]
#[error(
    "{VARIABLE} is {value:?}; expected one of these, optionally with @N for the N-th pass, and with :panic or :hang: {}",
    names()
)]
pub struct BadFailPoint {
    value: String,
}

/// Lists every name, for an error message.
pub fn names() -> String {
    let names: Vec<_> = FailPoint::ALL.iter().map(|point| point.name()).collect();
    names.join(", ")
}

/// Reads [`VARIABLE`]. From then on the process dies at the named step. Does
/// nothing in a build without fail points.
///
/// # Errors
///
/// [`BadFailPoint`] if the variable is set and names no step.
pub fn arm() -> Result<(), BadFailPoint> {
    #[cfg(debug_assertions)]
    armed::arm()?;
    Ok(())
}

/// Marks a step. Does not return if the process is armed to die at it.
#[inline]
pub fn reach(point: FailPoint) {
    #[cfg(debug_assertions)]
    armed::reach(point);
    #[cfg(not(debug_assertions))]
    let _ = point;
}

#[cfg(debug_assertions)]
mod armed {
    use std::num::NonZeroU32;
    use std::sync::OnceLock;
    use std::sync::atomic::AtomicU32;
    use std::sync::atomic::Ordering;

    use rustix::process::Signal;
    use rustix::process::getpid;
    use rustix::process::kill_process;
    use tracing::warn;

    use super::BadFailPoint;
    use super::FailPoint;
    use super::VARIABLE;

    /// The step to die at, and the number of times that it was reached so far.
    struct Armed {
        target: Target,
        reached: AtomicU32,
    }

    /// A step and the pass at which to die.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Target {
        pub point: FailPoint,
        /// The pass, counted from 1.
        pub time: NonZeroU32,
        pub act: Act,
    }

    /// The effect of a fail point.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Act {
        /// Ends the process by SIGKILL.
        Die,
        /// Panics in the thread that reaches the step.
        Panic,
        /// Blocks every thread that reaches the step from then on.
        Hang,
    }

    static ARMED: OnceLock<Armed> = OnceLock::new();

    #[expect(clippy::disallowed_methods, reason = "no configuration of a release has it")]
    pub fn arm() -> Result<(), BadFailPoint> {
        let Ok(value) = std::env::var(VARIABLE) else { return Ok(()) };
        let target = parse(&value).ok_or(BadFailPoint { value })?;
        warn!(
            "This process will fail ({:?}) at {}, pass {}",
            target.act,
            target.point.name(),
            target.time
        );
        ARMED.get_or_init(|| Armed { target, reached: AtomicU32::new(0) });
        Ok(())
    }

    pub fn parse(value: &str) -> Option<Target> {
        let (place, act) = match value.split_once(':') {
            None => (value, Act::Die),
            Some((place, "panic")) => (place, Act::Panic),
            Some((place, "hang")) => (place, Act::Hang),
            Some(_) => return None,
        };
        let (name, time) = match place.split_once('@') {
            None => (place, NonZeroU32::MIN),
            Some((name, time)) => (name, time.parse().ok()?),
        };
        let point = FailPoint::ALL.iter().copied().find(|point| point.name() == name)?;
        Some(Target { point, time, act })
    }

    pub fn reach(point: FailPoint) {
        let Some(armed) = ARMED.get().filter(|armed| armed.target.point == point) else { return };
        // Each pass gets a number of its own, so exactly one thread ends the
        // process even if several reach the step together.
        let pass = armed.reached.fetch_add(1, Ordering::SeqCst) + 1;
        let time = armed.target.time.get();
        match armed.target.act {
            Act::Die if pass == time => {
                // Not `abort`, which would write a core file first.
                let _ = kill_process(getpid(), Signal::KILL);
                unreachable!("a process that kills itself is gone before the call returns");
            }
            Act::Panic if pass == time => panic!("fail point {}", point.name()),
            // Later passes hang as well, so that every thread of a pool can.
            Act::Hang if pass >= time => loop {
                std::thread::park();
            },
            Act::Die | Act::Panic | Act::Hang => {}
        }
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_fail_point_has_a_unique_name() {
        let names: BTreeSet<_> = FailPoint::ALL.iter().map(|point| point.name()).collect();
        assert_eq!(names.len(), FailPoint::ALL.len());
        for name in names {
            let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
            assert!(plain, "{name} goes into an environment variable and a log");
        }
    }

    #[test]
    fn a_value_names_a_fail_point_and_a_pass() {
        let read = |text| armed::parse(text).map(|target| (target.point, target.time.get()));
        for (text, expected) in [
            ("job-received", Some((FailPoint::JobReceived, 1))),
            ("before-commit@7", Some((FailPoint::BeforeCommit, 7))),
            ("", None),
            ("job", None),
            ("job-received@", None),
            ("job-received@0", None),
            ("job-received@-1", None),
            ("job-received@two", None),
            ("job-received:sleep", None),
            ("job-received@3:hang", Some((FailPoint::JobReceived, 3))),
        ] {
            assert_eq!(read(text), expected, "{text:?}");
        }
    }
}
