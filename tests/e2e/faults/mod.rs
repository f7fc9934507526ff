//! Every way in which a CSP or its identity provider can fail, while an
//! operation, a poll or a cost request is under way.
//!
//! [`table`] lists the faults, [`rule`] derives the expected result of each
//! from the contract, [`wire`] produces them, and [`fixture`] runs them all at
//! once on one host: each fault at a CSP of its own, once, twice and
//! permanently, beside a portfolio and a CSP without faults.

mod fixture;
mod rule;
mod table;
mod wire;

use std::time::Duration;

use crate::harness::Outcome;
use serde_json::json;

use fixture::Case;
use fixture::Fixture;
use fixture::Observed;
use rule::Calls;
use rule::Code;
use rule::End;
use rule::Expected;
use table::Answered;
use table::Body;
use table::CallKind;
use table::Fault;
use table::Kind;
use table::Recurrence;
use table::TokenFault;
use table::TransportFault;

/// Returns `true` if the fault can happen at all, and end within a test.
fn applies(fault: &Fault, call_kind: CallKind, recurrence: Recurrence) -> bool {
    let hour = matches!(&fault.kind, Kind::Answers(Answered { retry_after: Some(3_600), .. }));
    let no_token_ever =
        matches!(fault.kind, Kind::NoToken(TokenFault::Transport(TransportFault::Refuses)));
    match call_kind {
        // The host honours a requested wait of an hour, so only the deadline
        // ends the polls.
        CallKind::Poll if hour => recurrence == Recurrence::Permanent,
        // Without a token the CSP accepts no job that could be polled.
        CallKind::Poll if no_token_ever => false,
        CallKind::Sync | CallKind::Async | CallKind::Poll | CallKind::Cost => {
            !fault.is_unreachable() || recurrence == Recurrence::Permanent
        }
    }
}

/// Returns each fault with the recurrences that run at one CSP.
fn selected(
    call_kind: CallKind,
    is_for: impl Fn(&Expected) -> bool,
) -> Vec<(Fault, Vec<(Recurrence, Expected)>)> {
    let mut selected = Vec::new();
    for fault in table::faults() {
        let recurrences = Recurrence::ALL
            .into_iter()
            .filter(|recurrence| applies(&fault, call_kind, *recurrence));
        let recurrences = recurrences
            .map(|recurrence| (recurrence, rule::expected(&fault, call_kind, recurrence)));
        let recurrences: Vec<_> = recurrences.filter(|(_, expected)| is_for(expected)).collect();
        if fault.is_general() {
            selected.extend(
                recurrences.into_iter().map(|recurrence| (fault.clone(), vec![recurrence])),
            );
        } else if !recurrences.is_empty() {
            selected.push((fault, recurrences));
        }
    }
    selected
}

/// Runs the cases on one host, and checks each against the rule.
async fn run(
    call_kind: CallKind,
    polling: &str,
    is_for: impl Fn(&Expected) -> bool,
    with_poll_sequences: bool,
) {
    let mut fixture = Fixture::new(call_kind).await;
    for (fault, recurrences) in selected(call_kind, is_for) {
        fixture.add_fault(&fault, &recurrences).await;
    }
    if with_poll_sequences {
        for sequence in table::POLL_SEQUENCES {
            let (answers, expected) = parse_poll_sequence(sequence);
            fixture.poll_sequence(sequence, answers, expected).await;
        }
    }
    let observed = fixture.run(polling).await;
    let mut wrong = Vec::new();
    for (case, observed) in fixture.cases.iter().zip(&observed) {
        let found = check(&fixture, call_kind, case, observed);
        wrong.extend(found.map(|reason| format!("{}: {reason}: {}", case.name, observed.message)));
    }
    assert!(wrong.is_empty(), "{} cases of {call_kind:?}:\n{}", wrong.len(), wrong.join("\n"));
    assert_no_delay_at_the_healthy_csp(&fixture, &observed);
}

/// Asserts that jobs at another CSP did not wait for hanging calls.
fn assert_no_delay_at_the_healthy_csp(fixture: &Fixture, observed: &[Observed]) {
    let cases = || fixture.cases.iter().zip(observed);
    let healthy = cases().filter(|(case, _)| fixture.is_at_the_healthy_csp(case));
    let healthy =
        healthy.map(|(_, observed)| observed.after).max().expect("there is a healthy CSP");
    let hanging = cases().filter(|(case, _)| case.name == "hangs permanently");
    if let Some(hanging) = hanging.map(|(_, observed)| observed.after).min() {
        assert!(healthy < hanging, "healthy jobs took {healthy:?}, hanging ones {hanging:?}");
    }
    for (case, entry) in cases().map(|(case, _)| (case, &fixture.csps[case.at])) {
        if fixture.is_at_the_healthy_csp(case) {
            crate::csp::assert_no_violations(&entry.csp);
        }
    }
}

/// Returns the first deviation of a case from the rule.
fn check(
    fixture: &Fixture,
    call_kind: CallKind,
    case: &Case,
    observed: &Observed,
) -> Option<String> {
    let expected = &case.expected;
    let message = check_message(call_kind, case, &observed.message);
    let calls = check_calls(case, observed);
    let found = message.or(calls).or_else(|| check_pace(fixture, case, observed));
    found.map(|reason| format!("{reason}, but expected {expected:?}"))
}

fn check_message(call_kind: CallKind, case: &Case, message: &Outcome) -> Option<String> {
    let wrong = |what: &str| Some(what.to_owned());
    let code = message["code"].as_u64()?;
    let (request, response) = (message.request(), message.response());
    if !request.is_object() || !response.is_object() {
        return wrong("no objects");
    }
    match &case.expected.end {
        End::Success => {
            if code != 200 || response.as_object().is_none_or(serde_json::Map::is_empty) {
                return wrong("no success");
            }
        }
        End::JobFailed(word) => {
            if code != 500 || response["status"]["status"] != *word {
                return wrong("not failed as the CSP said");
            }
        }
        End::Refused { code: expected, response: words, adds } => {
            if code != u64::from(*expected) || !is_body_with(response, words, adds) {
                return wrong("not refused as the CSP did");
            }
        }
        End::Failure { code: expected, says, csp_response, has_status } => {
            let fits = match expected {
                Code::Is(expected) => code == u64::from(*expected),
                Code::OfServerError => (500..600).contains(&code),
            };
            let details = response["details"].as_str().unwrap_or_default();
            if !fits {
                return wrong("another code");
            }
            if details.is_empty() || !details.contains(says.as_str()) {
                return wrong("other details");
            }
            if csp_response.as_ref().is_some_and(|words| response["cspResponse"] != *words) {
                return wrong("another answer of the CSP");
            }
            let status = json!({
                "provisioningJobId": message["initialSnowRequest"]["jobId"],
                "portfolioId": case.portfolio,
                "status": "FAILURE"
            });
            if *has_status && response["status"] != status {
                return wrong("no status");
            }
        }
    }
    if call_kind == CallKind::Cost && !response["status"].is_null() {
        return wrong("costs have no status");
    }
    None
}

/// Returns `true` if a response is the CSP's body, and its details also contain
/// what HOTH adds.
fn is_body_with(response: &serde_json::Value, body: &serde_json::Value, adds: &str) -> bool {
    if adds.is_empty() {
        return response == body;
    }
    let details = |of: &serde_json::Value| of["details"].as_str().unwrap_or_default().to_owned();
    let without = |of: &serde_json::Value| {
        let mut rest = of.clone();
        rest.as_object_mut().map(|entries| entries.remove("details"));
        rest
    };
    let is_kept = details(response).starts_with(&details(body));
    is_kept && details(response).contains(adds) && without(response) == without(body)
}

fn check_calls(case: &Case, observed: &Observed) -> Option<String> {
    let unreachable = case.fault.as_ref().is_some_and(Fault::is_unreachable);
    // A CSP that refuses connections counts no calls; the host's log does.
    let calls = if unreachable { observed.tries } else { observed.calls.len() };
    let tokens = observed.token_calls;
    let fits = match case.expected.calls {
        Calls::Csp(expected) => calls == expected,
        Calls::CspAtLeast(least) => calls >= least,
        Calls::IdentityProvider(expected) if unreachable => calls == expected,
        Calls::IdentityProvider(expected) => tokens == expected && calls == 0,
        // One token was granted, for the operation's call.
        Calls::IdentityProviderAtLeast(least) => tokens > least && calls == 0,
    };
    (!fits).then(|| format!("{calls} calls, {tokens} tokens asked for"))
}

/// Checks that every copy of a request has the same key, and that none is
/// early.
fn check_pace(fixture: &Fixture, case: &Case, observed: &Observed) -> Option<String> {
    let requested_wait = case.expected.gap.min(fixture.gap_max());
    // The deadline does not wait for the next interval.
    let last = matches!(case.expected.calls, Calls::CspAtLeast(_)).then_some(observed.calls.len());
    for (number, pair) in observed.calls.windows(2).enumerate() {
        let gap = pair[1].arrived.duration_since(pair[0].arrived);
        let keys = [0, 1].map(|n| pair[n].header("idempotency-key"));
        let polls = pair[0].method == "GET" && pair[0].target.ends_with("/status");
        if !polls && keys[0] != keys[1] {
            return Some(format!("the keys {keys:?}"));
        }
        let token = is_401(case);
        let least = if token { Duration::ZERO } else { fixture.gap_min() };
        let least = if number == 0 { least.max(requested_wait.mul_f64(0.98)) } else { least };
        let zero = matches!(
            case.fault.as_ref().map(|fault| &fault.kind),
            Some(Kind::Answers(Answered { retry_after: Some(0), .. }))
        );
        if gap < least && !zero && last != Some(number + 2) {
            return Some(format!("call {} came after {gap:?}", number + 2));
        }
    }
    None
}

/// Returns `true` if the fault is a 401, after which a fresh token gets a call
/// at once.
fn is_401(case: &Case) -> bool {
    case.name.contains("401")
        || matches!(
            case.fault.as_ref().map(|fault| &fault.kind),
            Some(Kind::Answers(Answered { status: 401, .. }))
        )
}

/// Parses a sequence of answers to polls, and returns the answers with the
/// expected result.
fn parse_poll_sequence(sequence: &'static str) -> (Vec<mock_csp::Answer>, Expected) {
    let answers: Vec<Answered> = sequence
        .split(' ')
        .map(|answer| {
            let status = answer.parse();
            let body = if status.is_ok() { Body::Object } else { Body::Status(answer) };
            Answered { status: status.unwrap_or(200), body, retry_after: None, location: None }
        })
        .collect();
    let (end, polls) = rule::poll_sequence(&answers);
    let expected = Expected { end, calls: Calls::Csp(polls), gap: Duration::ZERO };
    (answers.iter().map(|answer| wire::answer(answer, "polled", "")).collect(), expected)
}

fn ends_at_the_deadline(expected: &Expected) -> bool {
    matches!(expected.end, End::Failure { code: Code::Is(504), ref says, .. } if says == "working on it")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_in_an_operation_ends_as_the_contract_says() {
    run(CallKind::Sync, "", |_| true, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_in_an_operation_for_later_ends_as_the_contract_says() {
    run(CallKind::Async, "", |_| true, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_in_a_cost_request_ends_as_the_contract_says() {
    run(CallKind::Cost, "", |_| true, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_in_a_poll_ends_as_the_contract_says() {
    run(CallKind::Poll, "", |expected| !ends_at_the_deadline(expected), true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polls_that_always_fail_continue_until_the_deadline() {
    // The deadline is about four seconds.
    run(CallKind::Poll, "deadline_hours = 0.001", ends_at_the_deadline, false).await;
}
