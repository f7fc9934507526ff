//! Bodies of the ServiceNow API.

use std::collections::BTreeMap;

use hoth_core::domain::Job;
use hoth_core::domain::JobId;
use hoth_core::domain::JobKind;
use hoth_core::domain::QueuedJob;
use hoth_core::domain::SupportedOperations;
use hoth_core::domain::Timestamp;
use hoth_core::domain::request;
use hoth_core::domain::request::Known;
use hoth_core::domain::request::Redelivery;
use hoth_core::domain::request::Refusal;
use hoth_queue::NewMessage;
use serde_json::Value;

/// No answer to a wrong body is longer than this many times the body, and
/// something for the words.
const ERRORS_BYTES_MAX: usize = 64 * 1024;

/// Reads the kind of the body from the first byte, and the body from the
/// others.
pub fn run(input: &[u8]) {
    let Some((route, body)) = input.split_first() else { return };
    let csps =
        BTreeMap::from([("CSP_A".parse().expect("it is a name"), SupportedOperations::default())]);
    let known = Known::of(&csps);
    let new_id = || "made".parse().expect("a valid id");
    match route {
        b'p' => check(request::provisioning(body, known, new_id), |job| {
            request::provisioning(job.request.get().as_bytes(), known, new_id)
        }),
        b'c' => check(request::cost(body, known), |job| {
            request::cost(job.request.get().as_bytes(), known)
        }),
        b'b' => refusal_is_short(request::batch(body).as_ref().err()),
        b'r' => {
            let redelivery = request::redelivery(JobKind::Provisioning, body);
            refusal_is_short(redelivery.as_ref().err());
            if let Ok(Redelivery::Ids(ids)) = redelivery {
                assert!(ids.len() <= request::REDELIVERY_IDS_MAX);
            }
        }
        _ => {}
    }
}

fn check(parsed: Result<Job, Refusal>, again: impl FnOnce(&Job) -> Result<Job, Refusal>) {
    refusal_is_short(parsed.as_ref().err());
    let Ok(job) = parsed else { return };
    assert!(JobId::is_valid(job.id.as_str()), "an id has a bound");

    // The answer of a POST, posted again, is a repetition of it.
    let repeated = again(&job).expect("what was echoed is accepted");
    assert_eq!((&repeated.id, repeated.operation), (&job.id, job.operation));
    assert_eq!(repeated.request.get(), job.request.get());
    assert_eq!(repeated.content_digest(), job.content_digest());

    let input: Value = serde_json::from_str(&job.input()).expect("an adapter's input is JSON");
    assert!(input.is_object(), "an adapter's input is an object");

    let queued = QueuedJob::new(job, Timestamp::from_millis(0));
    NewMessage::accepted(&queued).check().expect("an accepted job fits a queue");
    let read = QueuedJob::decode(&queued.encode()).expect("what was written can be read");
    assert_eq!(read.encode(), queued.encode());
}

fn refusal_is_short(refusal: Option<&Refusal>) {
    if let Some(Refusal::Invalid(errors)) = refusal {
        assert!(!errors.is_empty(), "a refusal says what is wrong");
        let bytes: usize = errors.iter().map(|(path, problem)| path.len() + problem.len()).sum();
        assert!(bytes <= ERRORS_BYTES_MAX, "a refusal has {bytes} bytes");
    }
}
