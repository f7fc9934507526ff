//! The steps that adapters return, as the host reads them.

use std::collections::BTreeMap;

use arbitrary::Arbitrary as _;
use arbitrary::Unstructured;
use hoth_core::domain::Digest;
use hoth_core::domain::QueuedJob;
use hoth_core::domain::QueuedOutcome;
use hoth_core::domain::Resumption;
use hoth_core::domain::Step;
use hoth_core::workflow::Decision;
use hoth_core::workflow::RunContext;
use hoth_core::workflow::RunEnd;
use hoth_core::workflow::RunTotals;
use hoth_core::workflow::decide;
use hoth_egress::UrlTemplate;
use hoth_egress::fuzz as egress;
use hoth_queue::NewMessage;
use hoth_runtime::fuzz as guest;
use url::Url;

use crate::NOW;
use crate::POLICY;

/// The versions of a state that the adapter claims to resume.
const STATES: (u32, u32) = (1, 3);

const WAITING: &str = include_str!("../../../host/core/src/domain/fixtures/job-v1-waiting.json");

/// Reads a step that `arbitrary` makes of the bytes.
pub fn run(input: &[u8]) {
    let mut bytes = Unstructured::new(input);
    let (Ok(polled), Ok(step)) = (bool::arbitrary(&mut bytes), step(&mut bytes)) else { return };
    let Ok(step) = guest::step(step, STATES) else { return };
    let queued = QueuedJob::decode(WAITING).expect("the fixture can be read");
    let resumption = queued.resumption.as_ref().filter(|_| polled);
    let end = match step {
        Step::Send(send) => return request_keeps_the_rules(&send.request),
        Step::Wait(step) => RunEnd::Wait { step, adapter: Digest::of(b"adapter") },
        Step::Done(outcome) => RunEnd::Done(outcome),
        Step::Fail(failure) => RunEnd::Fail(failure),
    };
    let course = RunContext { job: &queued.job, resumption };
    match decide(&POLICY, course, end, NOW, RunTotals { requests: 1, ..RunTotals::default() }) {
        Decision::Report(report) => {
            assert!((200..=599).contains(&report.code), "the code is {}", report.code);
            for text in [&report.request, &report.response] {
                assert!(text.get().starts_with('{'), "a report is made of objects");
            }
            let (_, outcome) = report.into_queued(&queued.job);
            NewMessage::outcome(&queued, &outcome).check().expect("it fits a queue");
            let read = QueuedOutcome::decode(&outcome.encode()).expect("it can be read");
            assert_eq!(read.message.get(), outcome.message.get());
        }
        Decision::Resume(resumption) => can_be_queued(&queued, resumption),
    }
}

fn request_keeps_the_rules(request: &hoth_core::domain::HttpRequest) {
    let base = Url::parse("https://csp.example.com/atat").expect("it is a URL");
    let template = |url| UrlTemplate::parse(url).expect("it is a URL");
    let endpoints = BTreeMap::from([
        ("costs".to_owned(), template("https://costs.csp.example.com/v1")),
        ("regional".to_owned(), template("https://{region}.csp.example.com")),
    ]);
    let policy = egress::TargetPolicy::new(base, endpoints, Vec::new());
    if let Ok((url, _)) = policy.url(&request.target, &request.query, None) {
        let host = url.host_str().expect("it has a host");
        assert!(host == "csp.example.com" || host.ends_with(".csp.example.com"), "{url}");
        assert_eq!((url.scheme(), url.port()), ("https", None));
        assert!(!url.as_str().contains(char::is_control));
    }
    if let Ok(headers) = egress::assemble(request.method, &request.headers, Some("key"), &[]) {
        for name in ["host", "authorization", "cookie", "content-length", "transfer-encoding"] {
            assert!(!headers.contains_key(name), "an adapter set `{name}`");
        }
        for value in headers.values() {
            assert!(!value.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
        }
    }
}

fn can_be_queued(queued: &QueuedJob, resumption: Resumption) {
    assert!(resumption.due_at >= NOW, "nothing is due before it waits");
    let waiting = queued.clone().waiting(resumption);
    NewMessage::waiting(&waiting).check().expect("a waiting job fits a queue");
    let read = QueuedJob::decode(&waiting.encode()).expect("what was written can be read");
    assert_eq!(read.encode(), waiting.encode());
}

fn step(u: &mut Unstructured<'_>) -> arbitrary::Result<guest::Step> {
    Ok(match u.int_in_range(0..=4)? {
        0 => guest::Step::Send(guest::SendStep {
            request: request(u)?,
            state: state(u)?,
            after_ms: u.arbitrary()?,
            extra: pairs(u)?,
        }),
        1 => guest::Step::Wait(guest::WaitStep {
            after_ms: u.arbitrary()?,
            purpose: word(u, &["poll", "pause", "checkpoint"])?,
            state: state(u)?,
            progress: guest::Progress {
                reference: u.arbitrary()?,
                note: u.arbitrary()?,
                details: word(u, &["{}", r#"{"id":1}"#])?,
            },
            extra: pairs(u)?,
        }),
        2 => guest::Step::Done(outcome(u)?),
        3 => guest::Step::Other(guest::ExtensionResult {
            name: u.arbitrary()?,
            value: u.arbitrary()?,
        }),
        _ => guest::Step::Fail(guest::Failure {
            class: word(u, &["unavailable", "not-found", "refused", "job-failed"])?,
            message: u.arbitrary()?,
            outcome: outcome(u)?,
            extra: pairs(u)?,
        }),
    })
}

fn request(u: &mut Unstructured<'_>) -> arbitrary::Result<guest::HttpRequest> {
    let methods = [
        guest::Method::Get,
        guest::Method::Head,
        guest::Method::Post,
        guest::Method::Put,
        guest::Method::Patch,
        guest::Method::Delete,
    ];
    Ok(guest::HttpRequest {
        method: *u.choose(&methods)?,
        target: match u.int_in_range(0..=2)? {
            0 => guest::Target::Path(u.arbitrary()?),
            1 => guest::Target::Endpoint(guest::EndpointPath {
                endpoint: word(u, &["costs", "regional"])?,
                path: u.arbitrary()?,
                parameters: pairs(u)?,
            }),
            _ => guest::Target::Location(u.arbitrary()?),
        },
        query: pairs(u)?,
        headers: pairs(u)?,
        body: u.arbitrary()?,
        credential: match u.int_in_range(0..=2)? {
            0 => guest::Credential::Default,
            1 => guest::Credential::None,
            _ => guest::Credential::Named(guest::CredentialUse {
                name: u.arbitrary()?,
                parameters: pairs(u)?,
            }),
        },
        scopes: u.arbitrary()?,
        retry: word(u, &["safe", "unsent", "never"])?,
        extra: pairs(u)?,
    })
}

fn pairs(u: &mut Unstructured<'_>) -> arbitrary::Result<Vec<guest::PairResult>> {
    let pairs: Vec<(String, String)> = u.arbitrary()?;
    Ok(pairs.into_iter().map(|(name, value)| guest::PairResult { name, value }).collect())
}

fn state(u: &mut Unstructured<'_>) -> arbitrary::Result<guest::StateResult> {
    Ok(guest::StateResult { version: u.int_in_range(0..=4)?, bytes: u.arbitrary()? })
}

fn outcome(u: &mut Unstructured<'_>) -> arbitrary::Result<guest::Outcome> {
    Ok(guest::Outcome {
        code: u.int_in_range(190..=610)?,
        request: word(u, &["{}", r#"{"location":"/x"}"#, "{\"a\":1e999}"])?,
        response: word(u, &["{}", r#"{"details":"\ud800"}"#, " {} "])?,
        extra: pairs(u)?,
    })
}

/// Returns one of `words`, which random bytes would not produce, or any text.
fn word(u: &mut Unstructured<'_>, words: &[&str]) -> arbitrary::Result<String> {
    match u.arbitrary()? {
        true => u.choose(words).map(|word| (*word).to_owned()),
        false => u.arbitrary(),
    }
}
