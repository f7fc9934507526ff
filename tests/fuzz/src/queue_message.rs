//! Messages on a queue. On SQS, any principal with permission can send them.

use hoth_core::domain::AdapterState;
use hoth_core::domain::Digest;
use hoth_core::domain::Failure;
use hoth_core::domain::FailureClass;
use hoth_core::domain::Outcome;
use hoth_core::domain::Progress;
use hoth_core::domain::QueuedJob;
use hoth_core::domain::QueuedOutcome;
use hoth_core::domain::WaitPurpose;
use hoth_core::domain::WaitStep;
use hoth_core::workflow::Decision;
use hoth_core::workflow::RunContext;
use hoth_core::workflow::RunEnd;
use hoth_core::workflow::RunTotals;
use hoth_core::workflow::decide;
use hoth_queue::DeadLetterId;
use hoth_queue::GroupId;
use hoth_queue::NewMessage;
use serde_json::value::RawValue;

use crate::NOW;
use crate::POLICY;

/// Reads the text of a message. Every readable message can be processed.
pub fn run(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    if let Ok(queued) = QueuedJob::decode(text) {
        job(&queued);
    }
    if let Ok(queued) = QueuedOutcome::decode(text) {
        let written = queued.encode();
        let read = QueuedOutcome::decode(&written).expect("an encoded message can be decoded");
        assert_eq!(read.encode(), written);
        let group = GroupId::new("group").expect("a valid group");
        NewMessage::redriven_outcome(&queued, group, &DeadLetterId::new("1"))
            .check()
            .expect("an outcome fits a queue");
    }
}

fn job(queued: &QueuedJob) {
    let written = queued.encode();
    let read = QueuedJob::decode(&written).expect("an encoded message can be decoded");
    assert_eq!(read.encode(), written);
    for message in
        [NewMessage::accepted(queued), NewMessage::waiting(queued), NewMessage::redriven(queued)]
    {
        message.check().expect("a job fits a queue");
    }
    let input: Box<RawValue> = serde_json::from_str(&queued.job.input()).expect("it is JSON");
    assert!(input.get().starts_with('{'), "an adapter's input is an object");
    for end in [wait(), fail(FailureClass::NotFound), fail(FailureClass::Unavailable)] {
        let course = RunContext { job: &queued.job, resumption: queued.resumption.as_ref() };
        if let Decision::Resume(next) =
            decide(&POLICY, course, end, NOW, RunTotals { requests: 1, ..RunTotals::default() })
        {
            assert!(next.due_at >= NOW, "nothing is due before it waits");
        }
    }
}

fn wait() -> RunEnd {
    RunEnd::Wait {
        step: WaitStep {
            purpose: WaitPurpose::Poll,
            after_ms: None,
            state: AdapterState { version: 1, bytes: Vec::new() },
            progress: Progress { reference: None, note: String::new(), details: None },
        },
        adapter: Digest::of(b"adapter"),
    }
}

fn fail(class: FailureClass) -> RunEnd {
    let object = || RawValue::from_string("{}".to_owned()).expect("it is JSON");
    let outcome = Outcome { code: 500, request: object(), response: object() };
    RunEnd::Fail(Failure { class, message: String::new(), outcome })
}
