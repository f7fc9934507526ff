//! Tests of the comparison of steps.

use expect_test::Expect;
use expect_test::expect;
use serde_json::value::RawValue;

use super::*;
use hoth_core::domain::AdapterState;
use hoth_core::domain::CredentialChoice;
use hoth_core::domain::CredentialUse;
use hoth_core::domain::Failure;
use hoth_core::domain::FailureClass;
use hoth_core::domain::HttpRequest;
use hoth_core::domain::Method;
use hoth_core::domain::Progress;
use hoth_core::domain::Retry;
use hoth_core::domain::SendStep;
use hoth_core::domain::Target;
use hoth_core::domain::WaitPurpose;

fn request() -> HttpRequest {
    let pairs = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    };
    HttpRequest {
        method: Method::Post,
        target: Target::Path("/portfolios".to_owned()),
        query: pairs(&[("a", "1"), ("b", "2")]),
        headers: pairs(&[("X-Version", "1"), ("Accept", "x"), ("Accept", "y")]),
        body: Some(br#"{"name": "Blue", "tags": [1, 2], "a/b": null}"#.to_vec().into()),
        credential: CredentialChoice::Default,
        scopes: vec!["r".to_owned(), "w".to_owned()],
        retry: Retry::Safe,
    }
}

fn send(request: HttpRequest) -> StepResult {
    let state = AdapterState { version: 1, bytes: Vec::new() };
    Ok(Step::Send(SendStep { request, state, after_ms: None }))
}

fn outcome(code: u16, response: &str) -> Outcome {
    let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
    Outcome { code, request: raw("{}"), response: raw(response) }
}

fn wait(after_ms: Option<u64>, reference: Option<&str>, note: &str, state: &[u8]) -> StepResult {
    let reference = reference.map(str::to_owned);
    Ok(Step::Wait(WaitStep {
        after_ms,
        purpose: WaitPurpose::Poll,
        state: AdapterState { version: 1, bytes: state.to_vec() },
        progress: Progress { reference, note: note.to_owned(), details: None },
    }))
}

#[track_caller]
fn check(before: &StepResult, after: &StepResult, expected: Expect) {
    let lines: Vec<_> = compare(before, after).iter().map(ToString::to_string).collect();
    expected.assert_eq(&lines.join("\n"));
}

#[test]
fn equivalent_steps_have_no_differences() {
    let mut other = request();
    other.query.reverse();
    other.headers = vec![
        ("accept".to_owned(), "x".to_owned()),
        ("accept".to_owned(), "y".to_owned()),
        ("x-version".to_owned(), "1".to_owned()),
    ];
    other.body = Some(br#"{"a/b":null,"tags":[1,2],"name":"Blue"}"#.to_vec().into());
    other.scopes.reverse();
    check(&send(request()), &send(other), expect![""]);
    let done = |response| Ok(Step::Done(outcome(200, response)));
    check(&done(r#"{"a": 1, "b": 2}"#), &done(r#"{"b":2,"a":1}"#), expect![""]);
    check(&wait(None, None, "", b"one"), &wait(None, None, "", b"two"), expect![""]);
}

fn with(change: fn(&mut HttpRequest)) -> StepResult {
    let mut request = request();
    change(&mut request);
    send(request)
}

#[test]
fn method_target_and_query_of_a_request_are_compared() {
    let before = send(request());
    check(
        &before,
        &with(|r| r.method = Method::Put),
        expect![[r#"
        - request POST /portfolios?a=1&b=2
        + request PUT /portfolios?a=1&b=2"#]],
    );
    check(
        &before,
        &with(|r| r.target = Target::Path("/v2".to_owned())),
        expect![[r#"
        - request POST /portfolios?a=1&b=2
        + request POST /v2?a=1&b=2"#]],
    );
    check(
        &before,
        &with(|r| r.target = Target::Location("/portfolios".to_owned())),
        expect![[r#"
            - request POST /portfolios?a=1&b=2 (path)
            + request POST /portfolios?a=1&b=2 (location)"#]],
    );
    check(
        &before,
        &with(|r| r.query[0].1 = "3".to_owned()),
        expect![[r#"
        - request POST /portfolios?a=1&b=2
        + request POST /portfolios?a=3&b=2"#]],
    );
}

#[test]
fn headers_and_instructions_for_the_host_are_compared() {
    let before = send(request());
    check(
        &before,
        &with(|r| r.headers[0].1 = "2".to_owned()),
        expect![[r#"
        - header x-version: 1
        + header x-version: 2"#]],
    );
    check(
        &before,
        &with(|r| drop(r.headers.remove(2))),
        expect![[r#"
        - header accept: x, y
        + header accept: x"#]],
    );
    check(
        &before,
        &with(|r| {
            let parameters = vec![("account".to_owned(), "1".to_owned())];
            let name = "billing".to_owned();
            r.credential = CredentialChoice::Named(CredentialUse { name, parameters });
        }),
        expect![[r#"
        - credential default
        + credential "billing" account=1"#]],
    );
    check(
        &before,
        &with(|r| drop(r.scopes.remove(0))),
        expect![[r#"
        - scopes r w
        + scopes w"#]],
    );
    check(
        &before,
        &with(|r| r.retry = Retry::Unsent),
        expect![[r#"
        - retry safe
        + retry unsent"#]],
    );
}

#[test]
fn bodies_are_compared_as_json_if_they_are_json() {
    let before = send(request());
    check(
        &before,
        &with(|r| r.body = None),
        expect![[r#"- body "{\"name\": \"Blue\", \"tags\": [1, 2], \"a/b\": null}""#]],
    );
    check(
        &before,
        &with(|r| r.body = Some(b"\xff\xfe".to_vec().into())),
        expect![[r#"
        - body "{\"name\": \"Blue\", \"tags\": [1, 2], \"a/b\": null}"
        + body 2 bytes, b3d510ef04275ca8e698e5b3cbb0ece3"#]],
    );
    check(
        &before,
        &with(|r| r.body = Some(br#"{"Name": "Blue", "tags": [1, 3], "a/b": {}}"#.to_vec().into())),
        expect![[r#"
            + body /Name: "Blue"
            - body /a~1b: null
            + body /a~1b: {}
            - body /name: "Blue"
            - body /tags/1: 2
            + body /tags/1: 3"#]],
    );
    check(
        &before,
        &with(|r| r.body = Some(br#"{"name": "Blue", "tags": [1], "a/b": null}"#.to_vec().into())),
        expect![[r#"
            - body /tags: [1,2]
            + body /tags: [1]"#]],
    );
}

#[test]
fn waits_and_ends_are_compared() {
    check(
        &wait(None, Some("/s/1"), "busy", b""),
        &wait(Some(5_000), Some("/s/2"), "at work", b""),
        expect![[r#"
            - wait as the schedule says
            + wait 5000 ms
            - reference /s/1
            + reference /s/2
            - note busy
            + note at work"#]],
    );
    check(
        &Ok(Step::Done(outcome(200, r#"{"id": "p-1"}"#))),
        &Ok(Step::Done(outcome(202, r#"{"id": "p-2"}"#))),
        expect![[r#"
            - code 200
            + code 202
            - outcome.response /id: "p-1"
            + outcome.response /id: "p-2""#]],
    );
    let fail = |class, message: &str| {
        let (message, outcome) = (message.to_owned(), outcome(404, "{}"));
        Ok(Step::Fail(Failure { class, message, outcome }))
    };
    check(
        &fail(FailureClass::NotFound, "no such thing"),
        &fail(FailureClass::Refused, "refused"),
        expect![[r#"
            - class not-found
            + class refused
            - message no such thing
            + message refused"#]],
    );
}

#[test]
fn steps_of_different_kinds_are_described_in_a_line_each() {
    let done = Ok(Step::Done(outcome(200, "{}")));
    check(
        &send(request()),
        &done,
        expect![[r#"
        - step POST /portfolios?a=1&b=2
        + step done 200"#]],
    );
    check(
        &done,
        &wait(Some(0), None, "", b""),
        expect![[r#"
        - step done 200
        + step poll after 0 ms"#]],
    );
    let trapped = Err(CallError::Trapped { message: "unreachable".to_owned() });
    check(
        &done,
        &trapped,
        expect![[r#"
        - step done 200
        + step the adapter trapped: unreachable"#]],
    );
    check(&trapped, &trapped.clone(), expect![""]);
}

#[test]
fn the_number_of_differences_is_limited() {
    let object = |value: u32| {
        let fields: Vec<_> = (0..100).map(|n| format!("\"k{n}\":{value}")).collect();
        Ok(Step::Done(outcome(200, &format!("{{{}}}", fields.join(",")))))
    };
    let differences = compare(&object(1), &object(2));
    assert_eq!(differences.len(), DIFFERENCES_MAX + 1);
    assert_eq!(differences[DIFFERENCES_MAX].to_string(), "+ more differences: 76");
}
