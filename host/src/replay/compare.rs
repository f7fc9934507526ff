//! What two versions want, held against each other.

use std::collections::BTreeSet;

use serde_json::Value;
use serde_json::value::RawValue;

use super::Difference;
use hoth_core::domain::Digest;
use hoth_core::domain::HttpRequest;
use hoth_core::domain::Outcome;
use hoth_core::domain::Step;
use hoth_core::domain::Target;
use hoth_core::domain::WaitStep;
use hoth_runtime::CallError;

/// What an adapter gave when it was called.
pub type StepResult = Result<Step, CallError>;

/// Differences of one pair of steps that are told; a body that is another one
/// altogether has hundreds.
const DIFFERENCES_MAX: usize = 24;

/// Holds the candidate's answer (`after`) against that of the version before.
/// States are the adapter's own affair, and are not compared.
pub fn compare(before: &StepResult, after: &StepResult) -> Vec<Difference> {
    let mut differences = Vec::new();
    match (before, after) {
        (Ok(Step::Send(before)), Ok(Step::Send(after))) => {
            requests(&before.request, &after.request, &mut differences);
        }
        (Ok(Step::Wait(before)), Ok(Step::Wait(after))) => waits(before, after, &mut differences),
        (Ok(Step::Done(before)), Ok(Step::Done(after))) => {
            outcomes(before, after, &mut differences);
        }
        (Ok(Step::Fail(before)), Ok(Step::Fail(after))) => {
            unequal("class", before.class.as_str(), after.class.as_str(), &mut differences);
            unequal("message", &before.message, &after.message, &mut differences);
            outcomes(&before.outcome, &after.outcome, &mut differences);
        }
        (
            Ok(Step::Send(_) | Step::Wait(_) | Step::Done(_) | Step::Fail(_)) | Err(_),
            Ok(Step::Send(_) | Step::Wait(_) | Step::Done(_) | Step::Fail(_)) | Err(_),
        ) => unequal("step", &said(before), &said(after), &mut differences),
    }
    if differences.len() > DIFFERENCES_MAX {
        let more = differences.len() - DIFFERENCES_MAX;
        differences.truncate(DIFFERENCES_MAX);
        differences.push(Difference::new(
            "more differences:",
            None::<String>,
            Some(more.to_string()),
        ));
    }
    differences
}

/// Whether the answer to the one is an answer to the other: the same resource
/// is asked in the same way. Headers and body may differ; what a CSP would say
/// to those is unknown, but it is the best that is known.
pub fn same_resource(before: &HttpRequest, after: &HttpRequest) -> bool {
    before.method == after.method
        && before.target == after.target
        && sorted(&before.query) == sorted(&after.query)
}

/// A step in one line.
pub fn said(asked: &StepResult) -> String {
    match asked {
        Ok(Step::Send(send)) => line(&send.request),
        Ok(Step::Wait(wait)) => match wait.after_ms {
            Some(0) => "checkpoint".to_owned(),
            Some(after_ms) => format!("wait {after_ms} ms"),
            None => "wait".to_owned(),
        },
        Ok(Step::Done(outcome)) => format!("done {}", outcome.code),
        Ok(Step::Fail(failure)) => {
            format!("{} {}: {}", failure.class.as_str(), failure.outcome.code, failure.message)
        }
        Err(error) => error.to_string(),
    }
}

fn line(request: &HttpRequest) -> String {
    let (Target::Path(target) | Target::Location(target)) = &request.target;
    let query: Vec<_> =
        request.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
    format!("{} {target}{query}", request.method.as_str())
}

fn requests(before: &HttpRequest, after: &HttpRequest, differences: &mut Vec<Difference>) {
    if !same_resource(before, after) {
        let mut lines = (line(before), line(after));
        if lines.0 == lines.1 {
            // The same text, once as a path and once as a location.
            let mark = |request: &HttpRequest, line| match request.target {
                Target::Path(_) => format!("{line} (path)"),
                Target::Location(_) => format!("{line} (location)"),
            };
            lines = (mark(before, lines.0), mark(after, lines.1));
        }
        differences.push(Difference::new("request", Some(lines.0), Some(lines.1)));
    }
    headers(&before.headers, &after.headers, differences);
    bodies(before.body.as_deref(), after.body.as_deref(), differences);
    let name = |credential: &Option<String>| credential.clone().unwrap_or("default".to_owned());
    unequal("credential", &name(&before.credential), &name(&after.credential), differences);
    let scopes = |request: &HttpRequest| {
        let scopes: BTreeSet<&str> = request.scopes.iter().map(String::as_str).collect();
        scopes.into_iter().collect::<Vec<_>>().join(" ")
    };
    unequal("scopes", &scopes(before), &scopes(after), differences);
    let flag = |request: &HttpRequest| request.idempotent.to_string();
    unequal("idempotent", &flag(before), &flag(after), differences);
}

/// The order of headers that have different names means nothing.
fn headers(
    before: &[(String, String)],
    after: &[(String, String)],
    differences: &mut Vec<Difference>,
) {
    let lower = |pairs: &[(String, String)]| -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect()
    };
    let (before, after) = (lower(before), lower(after));
    let names: BTreeSet<&str> =
        before.iter().chain(&after).map(|(name, _)| name.as_str()).collect();
    for name in names {
        let of = |pairs: &[(String, String)]| {
            let values: Vec<_> =
                pairs.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect();
            (!values.is_empty()).then(|| values.join(", "))
        };
        let (before, after) = (of(&before), of(&after));
        if before != after {
            differences.push(Difference::new(format!("header {name}:"), before, after));
        }
    }
}

fn bodies(before: Option<&[u8]>, after: Option<&[u8]>, differences: &mut Vec<Difference>) {
    if before == after {
        return;
    }
    let parsed = |body: Option<&[u8]>| body.and_then(|body| serde_json::from_slice(body).ok());
    match (parsed(before), parsed(after)) {
        (Some(before), Some(after)) => json("body", "", &before, &after, differences),
        (None, _) | (_, None) => {
            let text = |body: Option<&[u8]>| {
                body.map(|body| match str::from_utf8(body) {
                    Ok(text) => format!("{text:?}"),
                    Err(_) => format!("{} bytes, {}", body.len(), Digest::of(body).short()),
                })
            };
            differences.push(Difference::new("body", text(before), text(after)));
        }
    }
}

fn waits(before: &WaitStep, after: &WaitStep, differences: &mut Vec<Difference>) {
    let delay = |wait: &WaitStep| match wait.after_ms {
        Some(after_ms) => format!("{after_ms} ms"),
        None => "as the schedule says".to_owned(),
    };
    unequal("wait", &delay(before), &delay(after), differences);
    let (before, after) = (&before.progress, &after.progress);
    if before.reference != after.reference {
        let (before, after) = (before.reference.clone(), after.reference.clone());
        differences.push(Difference::new("reference", before, after));
    }
    unequal("note", &before.note, &after.note, differences);
}

fn outcomes(before: &Outcome, after: &Outcome, differences: &mut Vec<Difference>) {
    unequal("code", &before.code.to_string(), &after.code.to_string(), differences);
    raw("outcome.request", &before.request, &after.request, differences);
    raw("outcome.response", &before.response, &after.response, differences);
}

fn raw(place: &str, before: &RawValue, after: &RawValue, differences: &mut Vec<Difference>) {
    let parsed = |text: &RawValue| serde_json::from_str(text.get());
    match (parsed(before), parsed(after)) {
        (Ok(before), Ok(after)) => json(place, "", &before, &after, differences),
        // Too deep to be read into values.
        (Err(_), _) | (_, Err(_)) => unequal(place, before.get(), after.get(), differences),
    }
}

/// `pointer` is where the values stand, as RFC 6901 writes it.
fn json(
    place: &str,
    pointer: &str,
    before: &Value,
    after: &Value,
    differences: &mut Vec<Difference>,
) {
    let at = |pointer: &str| match pointer {
        "" => place.to_owned(),
        pointer => format!("{place} {pointer}:"),
    };
    match (before, after) {
        (before, after) if before == after => {}
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let pointer = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
                match (a.get(key), b.get(key)) {
                    (Some(a), Some(b)) => json(place, &pointer, a, b, differences),
                    (a, b) => differences.push(Difference::new(
                        at(&pointer),
                        a.map(Value::to_string),
                        b.map(Value::to_string),
                    )),
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                json(place, &format!("{pointer}/{index}"), a, b, differences);
            }
        }
        (before, after) => differences.push(Difference::new(
            at(pointer),
            Some(before.to_string()),
            Some(after.to_string()),
        )),
    }
}

fn unequal(place: &str, before: &str, after: &str, differences: &mut Vec<Difference>) {
    if before != after {
        differences.push(Difference::new(place, Some(before), Some(after)));
    }
}

fn sorted(query: &[(String, String)]) -> Vec<&(String, String)> {
    let mut query: Vec<_> = query.iter().collect();
    // By name: the order of values of one name may mean something.
    query.sort_by(|a, b| a.0.cmp(&b.0));
    query
}

#[cfg(test)]
mod tests {
    use expect_test::Expect;
    use expect_test::expect;

    use super::*;
    use hoth_core::domain::AdapterState;
    use hoth_core::domain::Failure;
    use hoth_core::domain::FailureClass;
    use hoth_core::domain::Method;
    use hoth_core::domain::Progress;
    use hoth_core::domain::SendStep;

    fn request() -> HttpRequest {
        let pairs = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
        };
        HttpRequest {
            method: Method::Post,
            target: Target::Path("/portfolios".to_owned()),
            query: pairs(&[("a", "1"), ("b", "2")]),
            headers: pairs(&[("X-Version", "1"), ("Accept", "x"), ("Accept", "y")]),
            body: Some(br#"{"name": "Blue", "tags": [1, 2], "a/b": null}"#.to_vec()),
            credential: None,
            scopes: vec!["r".to_owned(), "w".to_owned()],
            idempotent: true,
        }
    }

    fn send(request: HttpRequest) -> StepResult {
        let state = AdapterState { version: 1, bytes: Vec::new() };
        Ok(Step::Send(SendStep { request, state }))
    }

    fn outcome(code: u16, response: &str) -> Outcome {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        Outcome { code, request: raw("{}"), response: raw(response) }
    }

    fn wait(
        after_ms: Option<u64>,
        reference: Option<&str>,
        note: &str,
        state: &[u8],
    ) -> StepResult {
        let reference = reference.map(str::to_owned);
        Ok(Step::Wait(WaitStep {
            after_ms,
            state: AdapterState { version: 1, bytes: state.to_vec() },
            progress: Progress { reference, note: note.to_owned() },
        }))
    }

    #[track_caller]
    fn check(before: &StepResult, after: &StepResult, expected: Expect) {
        let lines: Vec<_> = compare(before, after).iter().map(ToString::to_string).collect();
        expected.assert_eq(&lines.join("\n"));
    }

    #[test]
    fn what_means_the_same_is_the_same() {
        let mut other = request();
        other.query.reverse();
        other.headers = vec![
            ("accept".to_owned(), "x".to_owned()),
            ("accept".to_owned(), "y".to_owned()),
            ("x-version".to_owned(), "1".to_owned()),
        ];
        other.body = Some(br#"{"a/b":null,"tags":[1,2],"name":"Blue"}"#.to_vec());
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
    fn headers_and_what_the_host_shall_do_with_a_request_are_compared() {
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
            &with(|r| r.credential = Some("billing".to_owned())),
            expect![[r#"
            - credential default
            + credential billing"#]],
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
            &with(|r| r.idempotent = false),
            expect![[r#"
            - idempotent true
            + idempotent false"#]],
        );
    }

    #[test]
    fn bodies_are_compared_as_json_where_they_are() {
        let before = send(request());
        check(
            &before,
            &with(|r| r.body = None),
            expect![[r#"- body "{\"name\": \"Blue\", \"tags\": [1, 2], \"a/b\": null}""#]],
        );
        check(
            &before,
            &with(|r| r.body = Some(b"\xff\xfe".to_vec())),
            expect![[r#"
            - body "{\"name\": \"Blue\", \"tags\": [1, 2], \"a/b\": null}"
            + body 2 bytes, b3d510ef04275ca8e698e5b3cbb0ece3"#]],
        );
        check(
            &before,
            &with(|r| r.body = Some(br#"{"Name": "Blue", "tags": [1, 3], "a/b": {}}"#.to_vec())),
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
            &with(|r| r.body = Some(br#"{"name": "Blue", "tags": [1], "a/b": null}"#.to_vec())),
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
    fn steps_of_two_kinds_are_told_in_a_line_each() {
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
            + step checkpoint"#]],
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
    fn a_report_tells_of_so_many_differences_and_no_more() {
        let object = |value: u32| {
            let fields: Vec<_> = (0..100).map(|n| format!("\"k{n}\":{value}")).collect();
            Ok(Step::Done(outcome(200, &format!("{{{}}}", fields.join(",")))))
        };
        let differences = compare(&object(1), &object(2));
        assert_eq!(differences.len(), DIFFERENCES_MAX + 1);
        assert_eq!(differences[DIFFERENCES_MAX].to_string(), "+ more differences: 76");
    }
}
