//! Named steps at which a test can kill the process, as the machine would.
//!
//! `HOTH_FAIL_POINT=after-send-before-delete` ends the process by SIGKILL when
//! it comes to that step, and `…@3` when it comes there for the third time. No
//! destructor runs and no buffer is flushed, so what is left is what a crash at
//! this very step leaves. Only builds with debug assertions have fail points:
//! in a release build [`reach`] is empty and the variable means nothing.

/// Names the step to die at; read by [`arm`].
pub const VARIABLE: &str = "HOTH_FAIL_POINT";

/// Makes the enum, its names and the list of each group from one table.
macro_rules! fail_points {
    ($(
        $(#[$about:meta])*
        $group:ident { $($(#[$doc:meta])* $point:ident = $name:literal,)+ }
    )+) => {
        /// A step at which the process can be made to die.
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

            /// What [`VARIABLE`] calls it.
            pub fn name(self) -> &'static str {
                match self {
                    $($(Self::$point => $name,)+)+
                }
            }
        }
    };
}

fail_points! {
    /// The steps of a job, from the request to the outcome that ServiceNow has
    /// taken, in the order in which a job comes to them.
    JOB {
        /// A request has been read, and nothing of it is stored.
        RequestReceived = "request-received",
        /// The queue has made its changes, and has not committed them. A job
        /// comes here again and again.
        BeforeCommit = "before-commit",
        /// They are on disk, and nobody has been told.
        AfterCommit = "after-commit",
        /// A job is on its queue, and its caller has no answer.
        JobAccepted = "job-accepted",
        /// A worker has leased a job, and has done nothing about it.
        JobReceived = "job-received",
        /// An adapter has said what it wants next.
        AdapterAnswered = "adapter-answered",
        /// There is a credential for a request, and no request.
        CredentialObtained = "credential-obtained",
        /// A request to a CSP is about to be sent.
        BeforeCspCall = "before-csp-call",
        /// A CSP has answered, and nobody has looked at it.
        AfterCspCall = "after-csp-call",
        /// A request has failed and is to be made again after a pause.
        RetryDecided = "retry-decided",
        /// A job is to wait for its CSP, and the queue does not know.
        BeforeWait = "before-wait",
        /// A successor has been sent, and its predecessor is still there: in
        /// one transaction on the embedded queue, two acts on SQS.
        AfterSendBeforeDelete = "after-send-before-delete",
        /// A job waits for its CSP, on its queue.
        AfterWait = "after-wait",
        /// A job that waited is due, and has been received.
        PollReceived = "poll-received",
        /// A job has ended, and its outcome is nowhere but in memory.
        BeforeOutcome = "before-outcome",
        /// Its outcome is on the result queue.
        AfterOutcome = "after-outcome",
        /// A message is to become a dead letter, with a report of it.
        BeforeBurial = "before-burial",
        /// It has become one.
        AfterBurial = "after-burial",
        /// Outcomes are leased for an answer, of which no byte has left.
        OutcomesReceived = "outcomes-received",
        /// The kernel has the whole answer, and the outcomes are still on
        /// their queue.
        OutcomesLeft = "outcomes-left",
        /// They have left, and have been let go of.
        OutcomesDeleted = "outcomes-deleted",
        /// An acknowledgement has been read, and nothing done about it.
        AcknowledgementReceived = "acknowledgement-received",
        /// An acknowledged batch is deleted, and its client has no answer.
        BatchAcknowledged = "batch-acknowledged",
        /// A batch is back on its queue, and its client has no answer.
        BatchReleased = "batch-released",
        /// Consumed outcomes are back on their queue, and nobody was told.
        OutcomesRedelivered = "outcomes-redelivered",
    }

    /// The steps of a component to the active version, in their order.
    DEPLOY {
        /// A component is an adapter that can run, and nothing of it is kept.
        ComponentValidated = "component-validated",
        /// The store has it.
        ComponentKept = "component-kept",
        /// It came over the API, and lies in the directory.
        ComponentAtTheDoor = "component-at-the-door",
        /// The ledger says that it, or what was rolled back to, is active.
        ChoiceRecorded = "choice-recorded",
        /// It is active, and nobody has been told.
        VersionActivated = "version-activated",
    }
}

/// Why [`VARIABLE`] cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "{VARIABLE} is {value:?}; it is one of these, and perhaps @N for the N-th time: {}",
    names()
)]
pub struct BadFailPoint {
    value: String,
}

/// Every name, for a listing.
pub fn names() -> String {
    let names: Vec<_> = FailPoint::ALL.iter().map(|point| point.name()).collect();
    names.join(", ")
}

/// Reads [`VARIABLE`]: from now on the process dies at the step it names. Does
/// nothing in a build without fail points.
///
/// # Errors
///
/// [`BadFailPoint`] when it names none.
pub fn arm() -> Result<(), BadFailPoint> {
    #[cfg(debug_assertions)]
    armed::arm()?;
    Ok(())
}

/// Says that the process has come to `point`. Does not return when this is
/// where it is to die.
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

    /// Where to die, and how often that step was reached so far.
    struct Armed {
        target: Target,
        reached: AtomicU32,
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Target {
        pub point: FailPoint,
        /// From 1.
        pub time: NonZeroU32,
    }

    static ARMED: OnceLock<Armed> = OnceLock::new();

    #[expect(clippy::disallowed_methods, reason = "no configuration of a release has it")]
    pub fn arm() -> Result<(), BadFailPoint> {
        let Ok(value) = std::env::var(VARIABLE) else { return Ok(()) };
        let target = parse(&value).ok_or(BadFailPoint { value })?;
        warn!("This process is to die at {}, time {}", target.point.name(), target.time);
        ARMED.get_or_init(|| Armed { target, reached: AtomicU32::new(0) });
        Ok(())
    }

    pub fn parse(value: &str) -> Option<Target> {
        let (name, time) = match value.split_once('@') {
            None => (value, NonZeroU32::MIN),
            Some((name, time)) => (name, time.parse().ok()?),
        };
        let point = FailPoint::ALL.iter().copied().find(|point| point.name() == name)?;
        Some(Target { point, time })
    }

    pub fn reach(point: FailPoint) {
        let Some(armed) = ARMED.get().filter(|armed| armed.target.point == point) else { return };
        if armed.reached.fetch_add(1, Ordering::SeqCst) + 1 == armed.target.time.get() {
            warn!("Dying at {}", point.name());
            // Not `abort`, which would write a core file first.
            let _ = kill_process(getpid(), Signal::KILL);
            unreachable!("a process that kills itself is gone before the call returns");
        }
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_fail_point_has_a_name_of_its_own() {
        let names: BTreeSet<_> = FailPoint::ALL.iter().map(|point| point.name()).collect();
        assert_eq!(names.len(), FailPoint::ALL.len());
        for name in names {
            let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
            assert!(plain, "{name} goes into an environment variable and a log");
        }
    }

    #[test]
    fn a_fail_point_is_named_with_the_time_to_die_at() {
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
        ] {
            assert_eq!(read(text), expected, "{text:?}");
        }
    }
}
